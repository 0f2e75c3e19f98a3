/*
 * Flags of messages that are there; see push_mail.h.
 *
 * They become what they are here, all of them: what others have changed in a
 * message of ours lasts until it is changed here, or the server takes keywords
 * that it did not.  A STORE may be done again, so that nothing is in doubt.
 */
#include <inttypes.h>

#include "push_mail.h"

enum {
	SET_MAX = 7000 /* bytes of a UID set: servers take 8192 of a command */
};

static bool is_taken(const struct push_box *box, struct mbj_bytes keyword)
{
	struct mbj_bytes rest = mbj_buf_view(&box->flags);
	struct mbj_imap_token token;
	char text[MBJ_KEYWORD_MAX + 1];

	if (!box->has_flags)
		return true;
	/* Whoever takes new ones takes any. */
	while ((token = mbj_imap_token_next(&rest)).kind == MBJ_IMAP_ATOM) {
		if (mbj_imap_token_is(&token, "\\*"))
			return true;
	}
	(void)mbj_text_escape(text, sizeof(text), keyword);
	rest = mbj_buf_view(&box->flags);
	while ((token = mbj_imap_token_next(&rest)).kind == MBJ_IMAP_ATOM) {
		if (mbj_imap_token_is(&token, text))
			return true;
	}
	return false;
}

void push_flags_put(const struct push_box *box,
		    const struct mbj_message *message,
		    enum push_flags_kind kind, struct mbj_buf *out,
		    uint64_t *ret_sent)
{
	static const enum mbj_flag FLAGS[] = {
#define X(name, bit, word) MBJ_FLAG_##name,
		MBJ_FLAG_MAP(X)
#undef X
	};
	struct mbj_bytes keywords = message->keywords, keyword;
	const char *gap = "";
	bool is_dropped = false;
	size_t begin = out->n;

	mbj_buf_put_str(out, "(");
	for (size_t i = 0; i < sizeof(FLAGS) / sizeof(*FLAGS); i++) {
		if ((message->flags & FLAGS[i]) == 0)
			continue;
		if (kind == PUSH_FLAGS_NONE) {
			is_dropped = true;
			continue;
		}
		mbj_buf_format(out, "%s%s", gap, mbj_flag_name(FLAGS[i]));
		gap = " ";
	}
	while (mbj_keywords_next(&keywords, &keyword)) {
		if (kind != PUSH_FLAGS_ALL || !is_taken(box, keyword)) {
			is_dropped = true;
			continue;
		}
		mbj_buf_put_str(out, gap);
		mbj_buf_put_bytes(out, keyword);
		gap = " ";
	}
	mbj_buf_put_str(out, ")");
	*ret_sent = 0;
	if (is_dropped && out->failed == MBJ_OK)
		*ret_sent = push_map_sent(&box->map,
					  mbj_bytes_make(out->p + begin,
							 out->n - begin));
}

/* Messages of one page that are to have the same flags, as one command. */
struct batch {
	struct push_box *box;
	const struct mbj_message *messages;
	size_t count;
	uint32_t *chosen; /* indexes, chosen_count of them */
	size_t chosen_count;
	bool *is_done, *is_current; /* nothing is to be done */
	struct mbj_buf set;
};

/* Is its entry there, and of other flags? */
static struct push_entry *entry_of(const struct batch *b, size_t at)
{
	struct push_entry *entry =
		push_map_find(&b->box->map, b->messages[at].uid);

	/* What was appended a moment ago has what can be had. */
	if (entry == NULL || b->is_current[at] ||
	    entry >= b->box->map.entries + b->box->known)
		return NULL;
	return entry->modseq != b->messages[at].modseq || entry->sent != 0
		       ? entry
		       : NULL;
}

static bool is_alike(const struct batch *b, size_t one, size_t other)
{
	const struct mbj_message *x = &b->messages[one];
	const struct mbj_message *y = &b->messages[other];
	const struct push_entry *a = entry_of(b, one), *c = entry_of(b, other);

	return x->flags == y->flags &&
	       mbj_bytes_equal(x->keywords, y->keywords) && a != NULL &&
	       c != NULL && a->sent == c->sent;
}

/* The first one, and all behind it that are like it, as far as they go. */
static void batch_choose(struct batch *b, size_t first)
{
	b->chosen_count = 0;
	mbj_buf_clear(&b->set);
	for (size_t i = first; i < b->count && b->set.n < SET_MAX; i++) {
		const struct push_entry *entry;

		if (b->is_done[i] || !is_alike(b, first, i))
			continue;
		entry = entry_of(b, i);
		if (entry == NULL || entry->there == 0)
			continue;
		mbj_buf_format(&b->set, "%s%" PRIu32,
			       b->chosen_count > 0 ? "," : "", entry->there);
		b->chosen[b->chosen_count++] = (uint32_t)i;
		b->is_done[i] = true;
	}
}

static enum mbj_rc store_run(struct batch *b, const struct mbj_message *message,
			     enum push_flags_kind kind, uint64_t sent,
			     uint64_t *ret_sent)
{
	struct push *p = b->box->p;
	enum mbj_rc rc = mbj_buf_ok(&b->set, &p->err);

	if (rc < 0)
		return rc;
	mbj_buf_clear(&p->command);
	mbj_buf_put_str(&p->command, "UID STORE ");
	mbj_buf_put_bytes(&p->command, mbj_buf_view(&b->set));
	mbj_buf_put_str(&p->command, " FLAGS.SILENT ");
	push_flags_put(b->box, message, kind, &p->command, ret_sent);
	/* It has that already: others' flags there stay. */
	if (sent != 0 && *ret_sent == sent)
		return MBJ_OK;
	return push_wire_run(&p->wire, &p->command, &p->err);
}

static enum mbj_rc batch_note(struct batch *b, uint64_t sent)
{
	struct push *p = b->box->p;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < b->chosen_count; i++) {
		size_t at = b->chosen[i];
		const struct push_entry *old = entry_of(b, at);
		struct push_entry entry;

		if (old == NULL)
			continue;
		entry = *old;
		entry.modseq = b->messages[at].modseq;
		entry.sent = sent;
		b->box->flagged += sent == 0 || old->sent != sent;
		rc = push_map_message(&b->box->map, &entry, &p->err);
	}
	return rc;
}

static enum mbj_rc short_say(struct push_box *box, size_t count)
{
	return push_leave_out(box, count, 0,
			      "has %zu messages without keywords that the "
			      "server does not take",
			      count);
}

static enum mbj_rc batch_run(struct batch *b, size_t first)
{
	const struct mbj_message *message = &b->messages[first];
	struct push *p = b->box->p;
	const struct push_entry *entry = entry_of(b, first);
	uint64_t was = entry != NULL ? entry->sent : 0, sent = 0;
	enum mbj_rc rc;

	batch_choose(b, first);
	if (b->chosen_count == 0)
		return MBJ_OK;
	rc = store_run(b, message, PUSH_FLAGS_ALL, was, &sent);
	if (rc == MBJ_ECONFLICT && message->keywords.n > 0)
		rc = store_run(b, message, PUSH_FLAGS_BARE, was, &sent);
	if (rc == MBJ_ECONFLICT)
		return push_leave_out(b->box, b->chosen_count, 0,
				      "keeps the flags of %zu messages: %s",
				      b->chosen_count, p->err.message);
	if (rc == MBJ_OK && sent != 0)
		rc = short_say(b->box, b->chosen_count);
	return rc == MBJ_OK ? batch_note(b, sent) : rc;
}

/*
 * What has all that the server takes, and lacks keywords still, is left as it
 * is: a STORE would take away what others set there.
 */
static enum mbj_rc shorts_pass(struct batch *b)
{
	struct push *p = b->box->p;
	size_t count = 0;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < b->count; i++) {
		const struct push_entry *old = entry_of(b, i);
		struct push_entry entry;
		uint64_t sent;

		if (old == NULL || old->sent == 0)
			continue;
		mbj_buf_clear(&p->command);
		push_flags_put(b->box, &b->messages[i], PUSH_FLAGS_ALL,
			       &p->command, &sent);
		if (sent != old->sent)
			continue;
		entry = *old;
		entry.modseq = b->messages[i].modseq;
		count++;
		b->is_current[i] = true;
		if (entry.modseq != old->modseq)
			rc = push_map_message(&b->box->map, &entry, &p->err);
	}
	return rc == MBJ_OK && count > 0 ? short_say(b->box, count) : rc;
}

/* Those that have the UIDs there may be others' by now. */
static enum mbj_rc entries_judge(struct batch *b)
{
	struct push_same same;
	enum mbj_rc rc = MBJ_OK;

	push_same_begin(&same, b->box->p, &b->box->map);
	for (size_t i = 0; rc == MBJ_OK && i < b->count; i++) {
		const struct push_entry *entry = entry_of(b, i);

		if (entry != NULL)
			rc = push_same_add(&same, entry);
	}
	if (rc == MBJ_OK)
		rc = push_same_judge(b->box, &same, false);
	push_same_end(&same);
	return rc;
}

enum mbj_rc push_flags(struct push_box *box, const struct mbj_message *messages,
		       size_t count)
{
	struct batch b = {.box = box, .messages = messages, .count = count};
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&b.set, SET_MAX + 32);
	b.chosen = mbj_calloc(count + 1, sizeof(*b.chosen));
	b.is_done = mbj_calloc(count + 1, sizeof(*b.is_done));
	b.is_current = mbj_calloc(count + 1, sizeof(*b.is_current));
	if (b.chosen == NULL || b.is_done == NULL || b.is_current == NULL)
		rc = mbj_error_nomem(&box->p->err);
	if (rc == MBJ_OK)
		rc = shorts_pass(&b);
	if (rc == MBJ_OK)
		rc = entries_judge(&b);
	for (size_t i = 0; rc == MBJ_OK && !box->is_passed && i < count; i++) {
		if (!b.is_done[i] && entry_of(&b, i) != NULL)
			rc = batch_run(&b, i);
	}
	mbj_free(b.chosen);
	mbj_free(b.is_done);
	mbj_free(b.is_current);
	mbj_buf_done(&b.set);
	return rc;
}
