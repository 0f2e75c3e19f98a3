/*
 * Is everything that a mailbox of ours has there ours, too?  Then it may go
 * along with it; see push_mail.h.  Ours is also what was marked \Deleted by us,
 * and what an APPEND brought whose answer did not come.
 */
#include "push_mail.h"

/* What the server says that there is. */
struct owned {
	uint64_t exists;
	uint32_t uidvalidity, uidnext;
};

static void response_take(struct owned *owned,
			  const struct mbj_imap_response *response)
{
	if (response->kind == MBJ_IMAP_EXISTS)
		owned->exists = response->messages;
	if (response->kind == MBJ_IMAP_CONDITION && response->uidvalidity > 0)
		owned->uidvalidity = response->uidvalidity;
	if (response->kind == MBJ_IMAP_CONDITION && response->uidnext > 0)
		owned->uidnext = response->uidnext;
}

static enum mbj_rc ask(struct push *p, struct owned *owned)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	enum mbj_rc rc = push_wire_send(&p->wire, &p->command, &p->err);

	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc == MBJ_OK)
			response_take(owned, &response);
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

/* One that is not of the map may be what a cut APPEND brought. */
static enum mbj_rc doubt_ask(struct push *p, struct push_same *same)
{
	const struct push_attempt *attempt = &same->map->attempt;
	struct mbj_sha256 *sha = NULL;
	uint32_t there = 0, next = 0;
	enum mbj_rc rc;

	if (same->alien != 1 || attempt->uid == 0)
		return MBJ_OK;
	rc = mbj_sha256_new(&sha, &p->err);
	if (rc == MBJ_OK)
		rc = push_evidence(p, sha, attempt, &next, &there);
	mbj_sha256_free(&sha);
	same->alien -= there != 0;
	return rc;
}

/* Read-only, so that CLOSE expunges nothing. */
static enum mbj_rc server_ask(struct push *p, struct mbj_bytes name,
			      bool has_heads, struct push_same *same,
			      struct owned *owned)
{
	enum mbj_rc rc;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "EXAMINE ");
	mbj_imap_quote_put(&p->command, name);
	rc = ask(p, owned);
	if (rc == MBJ_OK)
		rc = push_same_ask(same, has_heads, true);
	if (rc == MBJ_OK)
		rc = doubt_ask(p, same);
	if (rc < 0)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "CLOSE");
	return push_wire_run(&p->wire, &p->command, &p->err);
}

static enum mbj_rc map_ask(struct push *p, struct mbj_bytes name,
			   struct push_map *map, bool has_heads,
			   bool *ret_is_owned)
{
	struct owned owned = {.exists = 0};
	struct push_same same;
	enum mbj_rc rc = MBJ_OK;

	push_same_begin(&same, p, map);
	for (size_t i = 0; rc == MBJ_OK && i < map->count; i++) {
		if (map->entries[i].uid != 0)
			rc = push_same_add(&same, &map->entries[i]);
	}
	if (rc == MBJ_OK)
		rc = server_ask(p, name, has_heads, &same, &owned);
	if (rc == MBJ_OK)
		*ret_is_owned = same.alien == 0 && same.others == 0 &&
				same.told == owned.exists &&
				owned.uidnext >= map->next &&
				owned.uidvalidity == map->of.there;
	push_same_end(&same);
	return rc;
}

enum mbj_rc push_map_read(struct push *p, const struct push_record *record,
			  struct push_map *map)
{
	const struct push_map_of of = {.lineage = p->file.lineage,
				       .account = p->file.account,
				       .mailbox = record->id,
				       .there = record->uidvalidity,
				       .next = record->next,
				       .target = p->file.target};
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	*map = (struct push_map){.count = 0};
	rc = push_map_path(p, record->id, path);
	return rc == MBJ_OK ? push_map_open(path, &of, PUSH_MAP_OLD, true, map,
					    &p->err)
			    : rc;
}

enum mbj_rc push_is_owned(struct push *p, struct mbj_id id,
			  struct mbj_bytes name, bool has_heads,
			  bool *ret_is_owned)
{
	const struct push_record *record = push_file_find(&p->file, id);
	struct push_map map;
	enum mbj_rc rc;

	*ret_is_owned = false;
	if (record == NULL || !record->has_map)
		return MBJ_OK;
	rc = push_map_read(p, record, &map);
	/* What cannot be told is not ours. */
	if (rc == MBJ_OK)
		rc = map_ask(p, name, &map, has_heads, ret_is_owned);
	push_map_close(&map);
	return rc == MBJ_ECONFLICT || rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
