/*
 * Is what has the UIDs of our messages at the server ours, still?  See
 * push_mail.h.
 *
 * A server that was restored from a backup, or a mailbox that was made again,
 * may give UIDs a second time under the same UIDVALIDITY.  So before anything
 * is done to a UID the size of what is there is looked at, and before it goes
 * its first bytes as well: headers, with the times and ids that are in no other
 * message.  As servers may change what they are given, the map has what the
 * server told of a message when it was new.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "push_mail.h"

enum { SET_MAX = 7000 /* bytes of a UID set */ };

struct push_same_uid {
	uint32_t there;
	uint32_t at; /* of the map's entries */
};

void push_same_begin(struct push_same *same, struct push *p,
		     struct push_map *map)
{
	*same = (struct push_same){.p = p, .map = map};
}

void push_same_end(struct push_same *same)
{
	mbj_free(same->uids);
	same->uids = NULL;
}

enum mbj_rc push_same_add(struct push_same *same,
			  const struct push_entry *entry)
{
	void *uids = same->uids;
	enum mbj_rc rc;

	if (entry->there == 0)
		return MBJ_OK;
	rc = mbj_array_reserve(&uids, &same->capacity, same->count + 1,
			       sizeof(*same->uids), UINT32_MAX, &same->p->err);
	same->uids = uids;
	if (rc == MBJ_OK)
		same->uids[same->count++] = (struct push_same_uid){
			entry->there, (uint32_t)(entry - same->map->entries)};
	return rc;
}

static int uid_compare(const void *a, const void *b)
{
	const struct push_same_uid *x = a, *y = b;

	return (x->there > y->there) - (x->there < y->there);
}

/* What is there is not what the map says. */
static enum mbj_rc other_take(struct push_same *same,
			      const struct push_entry *entry, uint32_t size,
			      uint64_t head)
{
	struct push_entry now = *entry;

	if (same->others++ == 0)
		same->first = entry->there;
	if (same->is_learning) {
		now.size = size;
		now.head = head;
	} else if (same->is_forgetting) {
		if (entry->is_over)
			return push_map_gone(same->map, entry, &same->p->err);
		now.there = 0;
	} else {
		return MBJ_OK;
	}
	return push_map_message(same->map, &now, &same->p->err);
}

static enum mbj_rc response_take(struct push_same *same, bool has_heads,
				 const struct mbj_imap_response *response)
{
	const struct push_same_uid key = {.there = response->uid}, *found;
	const struct push_entry *entry;
	uint64_t head;

	if (response->kind != MBJ_IMAP_FETCH || response->uid == 0 ||
	    !response->has_size)
		return MBJ_OK;
	same->told++;
	found = bsearch(&key, same->uids, same->count, sizeof(*same->uids),
			uid_compare);
	if (found == NULL) {
		same->alien++;
		return MBJ_OK;
	}
	if (same->is_learning && !response->has_body)
		return MBJ_OK;
	entry = &same->map->entries[found->at];
	head = has_heads ? push_map_head(same->map, response->body)
			 : entry->head;
	return response->size == entry->size && head == entry->head
		       ? MBJ_OK
		       : other_take(same, entry, response->size, head);
}

static enum mbj_rc fetch(struct push_same *same, struct mbj_bytes set,
			 bool has_heads)
{
	struct mbj_imap_response response = {.kind = MBJ_IMAP_OTHER};
	struct push *p = same->p;
	enum mbj_rc rc;

	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "UID FETCH ");
	mbj_buf_put_bytes(&p->command, set);
	mbj_buf_put_str(&p->command, " (UID RFC822.SIZE");
	if (has_heads)
		mbj_buf_format(&p->command, " BODY.PEEK[]<0.%d>",
			       PUSH_HEAD_MAX);
	mbj_buf_put_str(&p->command, ")");
	rc = push_wire_send(&p->wire, &p->command, &p->err);
	while (rc == MBJ_OK && response.kind != MBJ_IMAP_TAGGED) {
		rc = push_wire_next(&p->wire, &response, &p->err);
		if (rc == MBJ_OK)
			rc = response_take(same, has_heads, &response);
	}
	return rc == MBJ_OK ? push_wire_judge(&p->wire, &response, &p->err)
			    : rc;
}

enum mbj_rc push_same_ask(struct push_same *same, bool has_heads, bool is_all)
{
	struct mbj_buf set;
	enum mbj_rc rc = MBJ_OK;

	if (same->count > 0)
		qsort(same->uids, same->count, sizeof(*same->uids),
		      uid_compare);
	if (is_all)
		return fetch(same, mbj_bytes_str("1:*"), has_heads);
	mbj_buf_init(&set, SET_MAX + 32);
	for (size_t i = 0; rc == MBJ_OK && i < same->count; i++) {
		mbj_buf_format(&set, "%s%" PRIu32, set.n > 0 ? "," : "",
			       same->uids[i].there);
		if (set.n < SET_MAX && i + 1 < same->count)
			continue;
		rc = mbj_buf_ok(&set, &same->p->err);
		if (rc == MBJ_OK)
			rc = fetch(same, mbj_buf_view(&set), has_heads);
		mbj_buf_clear(&set);
	}
	mbj_buf_done(&set);
	return rc;
}

enum mbj_rc push_same_judge(struct push_box *box, struct push_same *same,
			    bool has_heads)
{
	enum mbj_rc rc = push_same_ask(same, has_heads, false);

	if (rc == MBJ_ECONFLICT)
		return push_pass(box, "%s", box->p->err.message);
	if (rc < 0 || same->others == 0)
		return rc;
	return push_pass(box,
			 "the message that has UID %" PRIu32
			 " there is not the one that was pushed: the server "
			 "was restored from a backup, or the mailbox was made "
			 "again; which messages there are ours cannot be told",
			 same->first);
}

enum mbj_rc push_same_learn(struct push_box *box, bool is_late)
{
	struct push_map *map = &box->map;
	struct push *p = box->p;
	struct push_same same;
	enum mbj_rc rc = MBJ_OK;

	if (map->asked == map->count)
		return MBJ_OK;
	push_same_begin(&same, p, map);
	same.is_learning = !is_late;
	same.is_forgetting = is_late;
	for (size_t i = map->asked; rc == MBJ_OK && i < map->count; i++) {
		if (map->entries[i].uid != 0 && !map->entries[i].is_marked)
			rc = push_same_add(&same, &map->entries[i]);
	}
	/* What is new must be known to the server's session first. */
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "NOOP");
	if (rc == MBJ_OK && !is_late)
		rc = push_wire_run(&p->wire, &p->command, &p->err);
	if (rc == MBJ_OK)
		rc = push_same_ask(&same, true, false);
	/* A server may say NO where some of them are gone by now. */
	if (rc == MBJ_OK || rc == MBJ_ECONFLICT)
		rc = push_map_asked(map, &p->err);
	if (rc == MBJ_OK && is_late && same.others > 0)
		rc = push_leave_out(box, same.others, 0,
				    "has %" PRIu64
				    " messages that the server changed, or has "
				    "others in their place, when a push was "
				    "cut: their flags are not followed",
				    same.others);
	push_same_end(&same);
	return rc;
}
