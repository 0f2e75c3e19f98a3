/*
 * INBOX that is another mailbox of ours by now: some servers' RENAME of INBOX
 * makes a folder of the mailbox, and a new one INBOX; see push.h.
 *
 * At the target INBOX stays what it is.  What was pushed there is the old
 * one's, and comes to wherever that is by now; then it goes from INBOX, as
 * anything that was moved.  So the new one gets the old one's map, all of which
 * is over.
 */
#include <inttypes.h>

#include "push_mail.h"

/* Nobody knows which of INBOX's messages the map's are. */
static enum mbj_rc unknown_say(struct push *p, struct mbj_bytes name,
			       const char *why)
{
	push_say(p, name,
		 "is another mailbox here by now, and keeps what the old one "
		 "had: %s",
		 why);
	p->count.left_out++;
	return MBJ_OK;
}

static enum mbj_rc map_hand(struct push *p, const struct mbj_node *to,
			    struct push_map *map, uint64_t *ret_unknown)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = push_map_path(p, to->id, path);

	return rc == MBJ_OK ? push_map_hand(map,
					    p->call->options.is_dry_run ? NULL
									: path,
					    to->id, to->uidvalidity,
					    ret_unknown, &p->err)
			    : rc;
}

enum mbj_rc push_hand_read(struct push *p, const struct push_record *from,
			   const struct mbj_node *to, struct push_map *map,
			   uint64_t *ret_unknown)
{
	enum mbj_rc rc = push_map_read(p, from, map);

	*ret_unknown = 0;
	if (rc == MBJ_ENOTFOUND)
		rc = mbj_error_set(&p->err, MBJ_ECORRUPT,
				   "%s is missing: which messages of mailbox "
				   "%.*s are at the server is not known "
				   "without it",
				   map->log.path, (int)from->name.n,
				   (const char *)from->name.p);
	return rc == MBJ_OK ? map_hand(p, to, map, ret_unknown) : rc;
}

enum mbj_rc push_hand(struct push *p, struct push_record from,
		      const struct mbj_node *to, bool is_empty)
{
	const struct push_record *old = push_file_find(&p->file, to->id);
	struct push_map map = {.count = 0};
	uint64_t unknown = 0;
	uint32_t next = 0;
	enum mbj_rc rc = MBJ_OK;

	/* A killed run has done it; or it was another mailbox there, whose
	 * messages are in no INBOX. */
	if (!from.has_map || old == NULL || old->has_map)
		return push_gone(p, from.id);
	/* UIDs of a map from before it was made again there name nothing. */
	from.uidvalidity = old->uidvalidity;
	rc = push_hand_read(p, &from, to, &map, &unknown);
	next = map.next;
	push_map_close(&map);
	if (rc == MBJ_OK)
		p->handed = from;
	if (rc == MBJ_ECONFLICT ||
	    (rc == MBJ_ECORRUPT && is_empty && p->call->options.is_overruling))
		rc = unknown_say(p, from.name, p->err.message);
	else if (rc == MBJ_OK)
		rc = push_file_messages(&p->file, to->id, 0, next, &p->err);
	if (rc == MBJ_OK && unknown > 0)
		rc = unknown_say(p, from.name,
				 "of some the server did not tell which they "
				 "are");
	return rc == MBJ_OK ? push_gone(p, from.id) : rc;
}
