/*
 * Messages that are gone here, and were put there by us; see push_mail.h.
 *
 * \Deleted and UID EXPUNGE (RFC 4315) of their UIDs and no others.  Without
 * UIDPLUS there is EXPUNGE only, which takes what others have marked along: the
 * mark stays then, and that is said.  Both may be done again, so that nothing
 * is in doubt, once what has the UIDs is known to be ours.
 */
#include <inttypes.h>

#include "push_mail.h"

enum { SET_MAX = 7000 };

struct expunge {
	struct push_box *box;
	struct mbj_buf set;
	size_t first, end; /* entries of the map */
	size_t count;	   /* UIDs of the set */
	uint64_t kept;	   /* since what they are elsewhere is not there */
	uint64_t marked;   /* and no more */
	uint64_t unknown;  /* which they are */
};

static bool is_over(const struct push_entry *entry)
{
	return entry->uid != 0 && !entry->is_seen && !entry->is_marked;
}

static bool is_chosen(const struct expunge *e, const struct push_entry *entry)
{
	return is_over(entry) && entry->there != 0 &&
	       !push_is_lost(e->box->p, entry->blob);
}

/* The next entries that are over, as many as a command holds. */
static void set_make(struct expunge *e)
{
	const struct push_map *map = &e->box->map;

	mbj_buf_clear(&e->set);
	e->first = e->end;
	e->count = 0;
	for (; e->end < map->count && e->set.n < SET_MAX; e->end++) {
		const struct push_entry *entry = &map->entries[e->end];

		if (!is_chosen(e, entry)) {
			e->kept += is_over(entry) && entry->there != 0;
			continue;
		}
		mbj_buf_format(&e->set, "%s%" PRIu32, e->count > 0 ? "," : "",
			       entry->there);
		e->count++;
	}
}

static enum mbj_rc command_run(struct expunge *e, const char *before,
			       const char *behind)
{
	struct push *p = e->box->p;
	enum mbj_rc rc = mbj_buf_ok(&e->set, &p->err);

	if (rc < 0 || p->call->options.is_dry_run)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, before);
	mbj_buf_put_bytes(&p->command, mbj_buf_view(&e->set));
	mbj_buf_put_str(&p->command, behind);
	return push_wire_run(&p->wire, &p->command, &p->err);
}

static enum mbj_rc set_note(struct expunge *e)
{
	bool is_gone = push_can(e->box->p, MBJ_IMAP_CAPABILITY_UIDPLUS);
	struct push_map *map = &e->box->map;
	struct mbj_error *err = &e->box->p->err;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = e->first; rc == MBJ_OK && i < e->end; i++) {
		const struct push_entry *entry = &map->entries[i];

		if (is_chosen(e, entry))
			rc = is_gone ? push_map_gone(map, entry, err)
				     : push_map_marked(map, entry, err);
	}
	return rc;
}

static enum mbj_rc set_run(struct expunge *e)
{
	struct push *p = e->box->p;
	enum mbj_rc rc;

	rc = command_run(e, "UID STORE ", " +FLAGS.SILENT (\\Deleted)");
	if (rc == MBJ_OK && push_can(p, MBJ_IMAP_CAPABILITY_UIDPLUS))
		rc = command_run(e, "UID EXPUNGE ", "");
	if (rc == MBJ_ECONFLICT)
		return push_leave_out(e->box, e->count, 0,
				      "keeps %zu messages that are gone: %s",
				      e->count, p->err.message);
	if (rc < 0)
		return rc;
	if (push_can(p, MBJ_IMAP_CAPABILITY_UIDPLUS))
		e->box->expunged += e->count;
	else
		e->marked += e->count;
	return set_note(e);
}

/* Nothing can be done about them: that is said once. */
static enum mbj_rc unknown_note(struct expunge *e)
{
	struct push_map *map = &e->box->map;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < map->count; i++) {
		const struct push_entry *entry = &map->entries[i];

		if (!is_over(entry) || entry->there != 0)
			continue;
		e->unknown++;
		rc = push_map_gone(map, entry, &e->box->p->err);
	}
	return rc == MBJ_OK && e->unknown > 0
		       ? push_leave_out(e->box, e->unknown, 0,
					"keeps %" PRIu64
					" messages that are gone: which they "
					"are the server did not tell",
					e->unknown)
		       : rc;
}

static enum mbj_rc chosen_judge(struct expunge *e)
{
	struct push_map *map = &e->box->map;
	struct push_same same;
	enum mbj_rc rc = MBJ_OK;

	push_same_begin(&same, e->box->p, map);
	for (size_t i = 0; rc == MBJ_OK && i < map->count; i++) {
		if (is_chosen(e, &map->entries[i]))
			rc = push_same_add(&same, &map->entries[i]);
	}
	if (rc == MBJ_OK)
		rc = push_same_judge(e->box, &same, true);
	push_same_end(&same);
	return rc;
}

enum mbj_rc push_expunge(struct push_box *box)
{
	struct expunge e = {.box = box};
	enum mbj_rc rc;

	rc = box->p->call->options.is_dry_run ? MBJ_OK : chosen_judge(&e);
	if (rc < 0 || box->is_passed)
		return rc;
	mbj_buf_init(&e.set, SET_MAX + 32);
	while (rc == MBJ_OK && e.end < box->map.count) {
		set_make(&e);
		if (e.count > 0)
			rc = set_run(&e);
	}
	mbj_buf_done(&e.set);
	if (rc == MBJ_OK)
		rc = unknown_note(&e);
	if (rc == MBJ_OK && e.marked > 0)
		rc = push_leave_out(box, e.marked, 0,
				    "keeps %" PRIu64
				    " messages that are gone, marked "
				    "\\Deleted: the server has no UIDPLUS, and "
				    "any EXPUNGE would take others' along",
				    e.marked);
	if (rc == MBJ_OK && e.kept > 0)
		rc = push_leave_out(box, e.kept, 0,
				    "keeps %" PRIu64
				    " messages that are gone: what they are "
				    "elsewhere by now is not there yet",
				    e.kept);
	return rc;
}
