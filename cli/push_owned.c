/*
 * Is everything that a mailbox of ours has there ours, too?  Then it may go
 * along with it; see push_mail.h.
 */
#include <stdlib.h>

#include "push_mail.h"

/* UIDs that we know, and what the server says that there is. */
struct owned {
	uint32_t *uids; /* ascending */
	size_t count;
	uint64_t exists, told;
	uint32_t uidvalidity, uidnext;
	bool is_foreign;
};

static int uid_compare(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static enum mbj_rc uids_take(struct push *p, const struct push_map *map,
			     struct owned *owned)
{
	owned->uids = mbj_calloc(map->count + 1, sizeof(*owned->uids));
	if (owned->uids == NULL)
		return mbj_error_nomem(&p->err);
	for (size_t i = 0; i < map->count; i++) {
		const struct push_entry *entry = &map->entries[i];

		if (entry->uid != 0 && entry->there != 0)
			owned->uids[owned->count++] = entry->there;
	}
	qsort(owned->uids, owned->count, sizeof(*owned->uids), uid_compare);
	return MBJ_OK;
}

static void response_take(struct owned *owned,
			  const struct mbj_imap_response *response)
{
	if (response->kind == MBJ_IMAP_EXISTS)
		owned->exists = response->messages;
	if (response->kind == MBJ_IMAP_CONDITION && response->uidvalidity > 0)
		owned->uidvalidity = response->uidvalidity;
	if (response->kind == MBJ_IMAP_CONDITION && response->uidnext > 0)
		owned->uidnext = response->uidnext;
	if (response->kind != MBJ_IMAP_FETCH || response->uid == 0)
		return;
	owned->told++;
	if (bsearch(&response->uid, owned->uids, owned->count,
		    sizeof(*owned->uids), uid_compare) == NULL)
		owned->is_foreign = true;
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

/* Read-only, so that CLOSE expunges nothing. */
static enum mbj_rc server_ask(struct push *p, struct mbj_bytes name,
			      struct owned *owned)
{
	enum mbj_rc rc;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "EXAMINE ");
	mbj_imap_quote_put(&p->command, name);
	rc = ask(p, owned);
	if (rc < 0)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "UID FETCH 1:* (UID)");
	rc = ask(p, owned);
	if (rc < 0)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "CLOSE");
	return push_wire_run(&p->wire, &p->command, &p->err);
}

enum mbj_rc push_is_owned(struct push *p, struct mbj_id id,
			  struct mbj_bytes name, bool *ret_is_owned)
{
	const struct push_record *record = push_file_find(&p->file, id);
	struct push_map_of of = {.lineage = p->file.lineage,
				 .account = p->file.account,
				 .mailbox = id,
				 .target = p->file.target};
	struct owned owned = {.uids = NULL};
	char path[MBJ_PATH_TEXT_MAX];
	struct push_map map;
	enum mbj_rc rc;

	*ret_is_owned = false;
	if (record == NULL || !record->has_map)
		return MBJ_OK;
	of.there = record->uidvalidity;
	of.next = record->next;
	rc = push_map_path(p, id, path);
	if (rc < 0)
		return rc;
	rc = push_map_open(path, &of, PUSH_MAP_OLD, true, &map, &p->err);
	/* What cannot be told is not ours. */
	if (rc == MBJ_OK)
		rc = uids_take(p, &map, &owned);
	if (rc == MBJ_OK)
		rc = server_ask(p, name, &owned);
	if (rc == MBJ_OK)
		*ret_is_owned = !owned.is_foreign &&
				owned.told == owned.exists &&
				owned.uidnext >= map.next &&
				owned.uidvalidity == of.there;
	push_map_close(&map);
	mbj_free(owned.uids);
	return rc == MBJ_ECONFLICT || rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
