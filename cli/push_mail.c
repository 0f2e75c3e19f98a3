/*
 * The two walks over mailboxes; see push_mail.h.
 */
#include "push_mail.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <mbj/jmap.h>

enum {
	PAGE = 1000,
	ASKED = 100 /* messages that the server is asked for at once */
};

/* A mailbox that has something to be expunged. */
struct again {
	uint32_t node;
	uint64_t rev; /* of the first walk */
	bool is_whole;
	uint64_t appended, size, flagged, left_out; /* that is not told yet */
};

struct walk {
	struct push *p;
	struct push_body body;
	struct again *again;
	size_t count, capacity;
};

/* ---------------------------------------------------------- what is left out
 */

static int blob_compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

bool push_is_lost(const struct push *p, uint64_t blob)
{
	return p->lost_count > 0 && bsearch(&blob, p->lost, p->lost_count,
					    sizeof(blob), blob_compare) != NULL;
}

/* What has that content stays wherever it is. */
static enum mbj_rc lose(struct push *p, uint64_t blob)
{
	void *lost = p->lost;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&lost, &p->lost_capacity, p->lost_count + 1,
			       sizeof(*p->lost), UINT32_MAX, &p->err);
	p->lost = lost;
	if (rc == MBJ_OK)
		p->lost[p->lost_count++] = blob;
	return rc;
}

enum mbj_rc push_leave_out(struct push_box *box, uint64_t count, uint64_t blob,
			   const char *format, ...)
{
	char text[MBJ_ERROR_MESSAGE_MAX + 128];
	struct push *p = box->p;
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	push_say(p, box->record.name, "%s", text);
	box->left_out += count;
	p->count.left_out += count;
	return blob == 0 ? MBJ_OK : lose(p, blob);
}

static void box_init(struct push_box *box, struct walk *w, uint32_t node)
{
	const struct mbj_node *it = mbj_tree_get(w->p->wanted, node);
	const struct push_record *record = NULL;

	if (it->is_live && it->is_selectable)
		record = push_file_find(&w->p->file, it->id);
	*box = (struct push_box){.p = w->p, .node = it, .body = &w->body};
	if (record != NULL)
		box->record = *record;
	mbj_buf_init(&box->flags, MBJ_IMAP_RESPONSE_MAX);
}

static void box_done(struct push_box *box)
{
	push_map_close(&box->map);
	mbj_buf_done(&box->flags);
}

/* ------------------------------------------------------------------ pages */

static enum mbj_rc page_get(struct push_box *box, uint32_t uid, uint32_t limit,
			    uint64_t rev, struct mbj_client_messages *page)
{
	struct push *p = box->p;

	return mbj_client_messages(p->client, p->account.id, box->node->id, uid,
				   limit, rev, page, &p->err);
}

/* Is it in the map?  Then it is seen. */
static bool message_see(struct push_box *box, uint32_t uid)
{
	struct push_entry *entry = push_map_find(&box->map, uid);

	if (entry == NULL)
		return false;
	box->seen += !entry->is_seen;
	entry->is_seen = true;
	return true;
}

static enum mbj_rc page_push(struct push_box *box,
			     const struct mbj_client_messages *page)
{
	enum mbj_rc rc = MBJ_OK;

	if (box->is_passed)
		return MBJ_OK;
	box->known = box->map.count;
	for (size_t i = 0; rc == MBJ_OK && !box->is_passed && i < page->count;
	     i++) {
		if (message_see(box, page->messages[i].uid))
			continue;
		rc = push_append(box, &page->messages[i]);
		(void)message_see(box, page->messages[i].uid);
		if (rc == MBJ_OK && !box->is_passed &&
		    box->map.count - box->map.asked >= ASKED)
			rc = push_same_learn(box, false);
	}
	if (rc < 0 || box->is_passed)
		return rc;
	rc = push_same_learn(box, false);
	return rc == MBJ_OK ? push_flags(box, page->messages, page->count) : rc;
}

static enum mbj_rc page_count(struct push_box *box,
			      const struct mbj_client_messages *page)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < page->count; i++) {
		const struct mbj_message *message = &page->messages[i];
		const struct push_entry *entry;

		if (!message_see(box, message->uid)) {
			rc = push_append_count(box, message);
			continue;
		}
		entry = push_map_find(&box->map, message->uid);
		box->flagged += entry->modseq != message->modseq;
	}
	return rc;
}

static enum mbj_rc page_see(struct push_box *box,
			    const struct mbj_client_messages *page)
{
	for (size_t i = 0; i < page->count; i++)
		(void)message_see(box, page->messages[i].uid);
	return MBJ_OK;
}

/* What may not be there stays wherever else it is. */
static enum mbj_rc page_lose(struct push_box *box,
			     const struct mbj_client_messages *page)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < page->count; i++)
		rc = lose(box->p, push_map_blob(&page->messages[i].blob));
	return rc;
}

enum mbj_rc push_pages(struct push_box *box, push_page_do *take, uint64_t rev,
		       bool *ret_is_changed)
{
	struct mbj_client_messages page;
	uint32_t uid = 1;
	enum mbj_rc rc = MBJ_OK;

	*ret_is_changed = false;
	while (rc == MBJ_OK && uid != 0) {
		rc = page_get(box, uid, PAGE, rev, &page);
		*ret_is_changed = rc == MBJ_ECONFLICT || rc == MBJ_ENOTFOUND;
		if (*ret_is_changed)
			return MBJ_OK;
		if (rc < 0)
			break;
		rc = take(box, &page);
		uid = page.next_uid;
		mbj_client_messages_done(&page);
	}
	return rc;
}

/* ------------------------------------------------------------- two walks */

/* All of it that a dry run counts is told at once. */
static enum mbj_rc again_add(struct walk *w, uint32_t node,
			     struct push_box *box)
{
	void *array = w->again;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, &w->capacity, w->count + 1,
			       sizeof(*w->again), UINT32_MAX, &w->p->err);
	w->again = array;
	if (rc < 0)
		return rc;
	w->again[w->count] = (struct again){.node = node,
					    .rev = box->rev,
					    .is_whole = box->left_out == 0};
	if (w->p->call->options.is_dry_run) {
		w->again[w->count].appended = box->appended;
		w->again[w->count].size = box->size;
		w->again[w->count].flagged = box->flagged;
		w->again[w->count].left_out = box->left_out;
		box->appended = box->flagged = box->left_out = 0;
	}
	w->count++;
	return MBJ_OK;
}

/* What was begun is on disk, and what is whole need not be looked at again. */
static enum mbj_rc box_note(struct push_box *box, bool is_whole)
{
	struct push *p = box->p;
	enum mbj_rc rc;

	if (p->call->options.is_dry_run)
		return MBJ_OK;
	rc = push_map_sync(&box->map, &p->err);
	return rc == MBJ_OK && is_whole && box->left_out == 0
		       ? push_file_messages(&p->file, box->node->id, box->rev,
					    box->map.next, &p->err)
		       : rc;
}

/*
 * Does anything there differ from what is here?  box->rev is the content's
 * revision here.
 */
static enum mbj_rc box_look(struct push_box *box, bool *ret_differs)
{
	struct mbj_client_messages page;
	struct push *p = box->p;
	enum mbj_rc rc;

	*ret_differs = false;
	if (box->record.name.n == 0) {
		/* The server cannot have its name. */
		box->is_passed = box->node->is_live && box->node->is_selectable;
		return MBJ_OK;
	}
	rc = page_get(box, 1, 1, 0, &page);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK; /* deleted meanwhile */
	if (rc < 0)
		return rc;
	box->rev = page.content.rev;
	*ret_differs = box->rev != box->record.rev &&
		       (box->record.has_map || page.count > 0);
	mbj_client_messages_done(&page);
	return box->rev < box->record.rev
		       ? mbj_error_set(&p->err, MBJ_EFENCED,
				       "mailbox %.*s has a newer content at "
				       "the server: this store is behind",
				       (int)box->record.name.n,
				       (const char *)box->record.name.p)
		       : MBJ_OK;
}

static enum mbj_rc changed_say(struct push_box *box)
{
	box->p->is_changing = true;
	return push_leave_out(box, 1, 0,
			      "is being changed; what is left the next push "
			      "brings");
}

/* What is appended while it is walked over the next push looks at. */
static enum mbj_rc box_push(struct walk *w, uint32_t node, struct push_box *box)
{
	bool is_dry = w->p->call->options.is_dry_run;
	bool is_it = false, is_changed = false;
	uint64_t over;
	enum mbj_rc rc;

	rc = box_look(box, &is_it);
	if (rc == MBJ_OK && is_it)
		rc = push_box_open(box, &is_it);
	if (rc == MBJ_OK && box->is_passed)
		return push_pages(box, page_lose, 0, &is_changed);
	if (rc < 0 || !is_it)
		return rc;
	rc = push_pages(box, is_dry ? page_count : page_push, 0, &is_changed);
	if (rc == MBJ_OK && is_changed)
		rc = changed_say(box);
	/* Which of them are there nobody knows: that came out on the way. */
	if (rc == MBJ_OK && box->is_passed)
		rc = push_pages(box, page_lose, 0, &is_changed);
	if (rc < 0)
		return rc;
	over = is_changed || box->is_passed ? 0 : box->map.live - box->seen;
	if (over > 0)
		rc = again_add(w, node, box);
	return rc == MBJ_OK ? box_note(box, over == 0) : rc;
}

static enum mbj_rc box_expunge(const struct again *again, struct push_box *box)
{
	bool is_it = false, is_changed = false;
	enum mbj_rc rc;

	box->rev = again->rev;
	box->appended = again->appended;
	box->size = again->size;
	box->flagged = again->flagged;
	box->left_out = again->left_out;
	rc = push_box_open(box, &is_it);
	if (rc < 0 || !is_it)
		return rc;
	rc = push_pages(box, page_see, again->rev, &is_changed);
	if (rc == MBJ_OK)
		rc = is_changed ? changed_say(box) : push_expunge(box);
	return rc == MBJ_OK ? box_note(box, again->is_whole) : rc;
}

static void box_json(struct push_box *box)
{
	struct push *p = box->p;
	struct mbj_buf *out = &p->boxes;

	mbj_buf_put_str(out, out->n > 0 ? ",{\"name\":" : "{\"name\":");
	mbj_jmap_string_print(push_name_text(p, box->record.name), out);
	mbj_buf_format(out,
		       ",\"appended\":%" PRIu64 ",\"appendedBytes\":%" PRIu64
		       ",\"flagged\":%" PRIu64 ",\"expunged\":%" PRIu64
		       ",\"leftOut\":%" PRIu64 "}",
		       box->appended, box->size, box->flagged, box->expunged,
		       box->left_out);
}

/* For people only in a dry run: else there is its sum. */
static void box_report(struct push_box *box)
{
	struct push *p = box->p;

	p->count.appended += box->appended;
	p->count.flagged += box->flagged;
	p->count.expunged += box->expunged;
	if (box->appended + box->flagged + box->expunged + box->left_out == 0)
		return;
	if (p->call->options.is_json) {
		box_json(box);
	} else if (p->call->options.is_dry_run) {
		mbj_name_escape(&p->out, push_name_text(p, box->record.name));
		mbj_buf_format(&p->out,
			       ": %" PRIu64 " messages to be appended (%" PRIu64
			       " bytes), %" PRIu64 " with other flags, %" PRIu64
			       " to be expunged\n",
			       box->appended, box->size, box->flagged,
			       box->expunged);
	}
}

static enum mbj_rc walks(struct walk *w)
{
	struct push *p = w->p;
	uint32_t size = mbj_tree_size(p->wanted);
	struct push_box box;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < size; i++) {
		box_init(&box, w, i);
		rc = box_push(w, i, &box);
		box_report(&box);
		box_done(&box);
	}
	if (p->lost_count > 1)
		qsort(p->lost, p->lost_count, sizeof(*p->lost), blob_compare);
	for (size_t i = 0; rc == MBJ_OK && i < w->count; i++) {
		box_init(&box, w, w->again[i].node);
		rc = box_expunge(&w->again[i], &box);
		box_report(&box);
		box_done(&box);
	}
	return rc;
}

enum mbj_rc push_mail(struct push *p)
{
	struct walk w = {.p = p};
	enum mbj_rc rc = push_body_init(&w.body, p->client, &p->err);

	if (rc == MBJ_OK)
		rc = walks(&w);
	push_body_done(&w.body);
	mbj_free(w.again);
	return rc;
}
