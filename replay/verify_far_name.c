/*
 * What differs in an account, named; see verify_far.h.
 *
 * Both sides are asked for the same range of places until they answer at the
 * same group of the account.  A slice that differs is gone through in smaller
 * ones, a small one that differs record by record.
 */
#include <stdio.h>
#include <string.h>

#include "verify_far.h"

enum {
	COARSE = 4096,
	FINE = 256,
	/* Named of one account; who has more makes it again anyway. */
	NAMED_MAX = 1000,
	MESSAGE_KEY_SIZE = MBJ_ID_SIZE + 4,
};

struct naming {
	struct mbj_verify_far *v;
	struct mbj_buf from;   /* up to where all is known, empty: nothing */
	struct mbj_buf end;    /* of the range at hand, empty: no end */
	struct mbj_buf coarse; /* of the slice that is gone through */
	struct mbj_buf entries[FAR_SIDES];
	bool is_fine;
	bool is_met; /* both were asked at one group */
};

static enum mbj_rc buf_set(struct mbj_buf *buf, struct mbj_bytes bytes,
			   struct mbj_error *err)
{
	mbj_buf_clear(buf);
	mbj_buf_put_bytes(buf, bytes);
	return mbj_buf_ok(buf, err);
}

/* Both sides at one group; n->is_met false: they were not, in all the time. */
static enum mbj_rc pair_ask(struct naming *n, enum mbj_survey_kind kind,
			    struct mbj_bytes until, uint32_t limit,
			    struct mbj_error *err)
{
	struct mbj_verify_far *v = n->v;
	const struct mbj_survey_question question = {kind, v->account,
						     mbj_buf_view(&n->from),
						     until, limit};
	const struct mbj_survey_answer *a = &v->answers[FAR_SOURCE].a;
	const struct mbj_survey_answer *b = &v->answers[FAR_REPLICA].a;
	bool is_over = false;
	enum mbj_rc rc = MBJ_OK;

	n->is_met = false;
	while (rc == MBJ_OK && !n->is_met && !is_over) {
		rc = far_ask(v, FAR_SOURCE, &question, err);
		if (rc == MBJ_OK)
			rc = far_ask(v, FAR_REPLICA, &question, err);
		if (rc == MBJ_OK)
			n->is_met = a->is_there && b->is_there &&
				    !b->is_parked && a->lsn.v == b->lsn.v;
		if (rc == MBJ_OK && !n->is_met)
			rc = far_wait(v, &is_over, err);
	}
	return rc;
}

/* How far both answers go; n->end is that place. */
static enum mbj_rc end_find(struct naming *n, struct mbj_bytes until,
			    struct mbj_error *err)
{
	struct mbj_bytes end = until;

	for (int i = 0; i < FAR_SIDES; i++) {
		const struct mbj_survey_answer *a = &n->v->answers[i].a;

		if (!a->is_whole &&
		    (end.n == 0 || mbj_bytes_compare(a->last, end) < 0))
			end = a->last;
	}
	/* It is that already. */
	if (end.p == n->end.p && end.n == n->end.n)
		return MBJ_OK;
	return buf_set(&n->end, end, err);
}

static bool answers_are_equal(const struct mbj_verify_far *v)
{
	const struct mbj_survey_answer *a = &v->answers[FAR_SOURCE].a;
	const struct mbj_survey_answer *b = &v->answers[FAR_REPLICA].a;

	return a->is_whole && b->is_whole && a->count == b->count &&
	       mbj_digest_equal(&a->records, &b->records) &&
	       mbj_digest_equal(&a->messages, &b->messages);
}

/* --------------------------------------------------------------- records */

/* A record as both sides show it. */
struct record {
	enum mbj_survey_section section;
	struct mbj_bytes place;
	struct mbj_id mailbox; /* or ROOT */
	uint32_t uid;
	bool has[FAR_SIDES];
	char path[MBJ_SURVEY_TEXT_MAX + 1];
	char text[FAR_SIDES][MBJ_SURVEY_TEXT_MAX + 1];
};

static void place_read(struct mbj_bytes place, struct record *r)
{
	const uint8_t *uid = place.p + 1 + MBJ_ID_SIZE;

	r->place = place;
	r->section = (enum mbj_survey_section)place.p[0];
	r->mailbox = MBJ_ID_ROOT;
	r->uid = 0;
	if (place.n > MBJ_ID_SIZE && (r->section == MBJ_SURVEY_MAILBOXES ||
				      r->section == MBJ_SURVEY_ATTRIBUTES ||
				      r->section == MBJ_SURVEY_CONTENTS ||
				      r->section == MBJ_SURVEY_MESSAGES))
		memcpy(r->mailbox.b, place.p + 1, MBJ_ID_SIZE);
	if (r->section == MBJ_SURVEY_MESSAGES &&
	    place.n == 1 + MESSAGE_KEY_SIZE)
		r->uid = (uint32_t)uid[0] << 24 | (uint32_t)uid[1] << 16 |
			 (uint32_t)uid[2] << 8 | uid[3];
}

/* The mailbox was named as a whole: what is in it differs, of course. */
static bool is_named(const struct verify_list *list, struct mbj_id mailbox)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct mbj_difference *d = &list->items[i];

		if ((d->kind == MBJ_DIFFERENCE_MAILBOX_MISSING ||
		     d->kind == MBJ_DIFFERENCE_MAILBOX_EXTRA) &&
		    mbj_id_equal(d->mailbox, mailbox))
			return true;
	}
	return false;
}

static void text_take(char *to, struct mbj_bytes text)
{
	if (text.n > 0)
		memcpy(to, text.p, text.n);
	to[text.n] = '\0';
}

/* As it is by now: people are shown it, nothing is concluded. */
static enum mbj_rc record_show(struct mbj_verify_far *v, struct record *r,
			       struct mbj_error *err)
{
	const struct mbj_survey_question question = {
		.kind = MBJ_SURVEY_SHOW,
		.account = v->account,
		.from = r->place,
		.limit = 1,
	};
	enum mbj_rc rc = MBJ_OK;

	r->path[0] = '\0';
	for (int i = 0; i < FAR_SIDES; i++) {
		const struct mbj_survey_answer *a = &v->answers[i].a;

		r->text[i][0] = '\0';
		if (!r->has[i])
			continue;
		rc = far_ask(v, (enum far_side)i, &question, err);
		if (rc < 0)
			return rc;
		text_take(r->text[i], a->text);
		if (a->path.n > 0)
			text_take(r->path, a->path);
	}
	return rc;
}

static enum mbj_difference_kind record_kind(const struct record *r)
{
	int which = !r->has[FAR_REPLICA] ? 0 : !r->has[FAR_SOURCE] ? 1 : 2;
	static const enum mbj_difference_kind mailboxes[] = {
		MBJ_DIFFERENCE_MAILBOX_MISSING,
		MBJ_DIFFERENCE_MAILBOX_EXTRA,
		MBJ_DIFFERENCE_MAILBOX_DIFFERS,
	};
	static const enum mbj_difference_kind messages[] = {
		MBJ_DIFFERENCE_MESSAGE_MISSING,
		MBJ_DIFFERENCE_MESSAGE_EXTRA,
		MBJ_DIFFERENCE_MESSAGE_DIFFERS,
	};

	if (r->section == MBJ_SURVEY_MAILBOXES)
		return mailboxes[which];
	if (r->section == MBJ_SURVEY_MESSAGES)
		return messages[which];
	return mbj_id_is_root(r->mailbox) ? MBJ_DIFFERENCE_ACCOUNT_DIFFERS
					  : MBJ_DIFFERENCE_MAILBOX_DIFFERS;
}

/* What it is, in front of what both sides have. */
static const char *section_word(enum mbj_survey_section section)
{
	switch (section) {
	case MBJ_SURVEY_ACCOUNT:
		return "its record";
	case MBJ_SURVEY_SUBSCRIPTIONS:
		return "subscription";
	case MBJ_SURVEY_FLOORS:
		return "a retired UIDVALIDITY";
	case MBJ_SURVEY_ATTRIBUTES:
		return "attribute";
	case MBJ_SURVEY_CONTENTS:
		return "content";
	case MBJ_SURVEY_INTENTS:
		return "an intent";
	case MBJ_SURVEY_MAILBOXES:
	case MBJ_SURVEY_MESSAGES:
		break;
	}
	return "";
}

static enum mbj_rc record_add(struct mbj_verify_far *v, const struct record *r,
			      struct mbj_error *err)
{
	const char *first = r->text[FAR_SOURCE];
	const char *second = r->text[FAR_REPLICA];
	char head[MBJ_SURVEY_TEXT_MAX + 64];
	const char *word = section_word(r->section);

	if (r->uid != 0)
		(void)snprintf(head, sizeof(head), "%s UID %lu", r->path,
			       (unsigned long)r->uid);
	else
		(void)snprintf(head, sizeof(head), "%s%s%s", r->path,
			       r->path[0] != '\0' && word[0] != '\0' ? ", "
								     : "",
			       word);
	if (r->has[FAR_SOURCE] && r->has[FAR_REPLICA])
		return verify_list_add(&v->list, record_kind(r), r->mailbox,
				       err,
				       "%s: in the source %.300s; in the "
				       "replica %.300s",
				       head, first, second);
	return verify_list_add(&v->list, record_kind(r), r->mailbox, err,
			       "%s only in the %s%s%s", head,
			       far_word(r->has[FAR_SOURCE] ? FAR_SOURCE
							   : FAR_REPLICA),
			       first[0] != '\0' || second[0] != '\0' ? ": "
								     : "",
			       r->has[FAR_SOURCE] ? first : second);
}

/* Go on behind all messages of a mailbox. */
static enum mbj_rc mailbox_pass(struct naming *n, struct mbj_id mailbox,
				struct mbj_error *err)
{
	uint8_t place[1 + MESSAGE_KEY_SIZE];

	place[0] = MBJ_SURVEY_MESSAGES;
	memcpy(place + 1, mailbox.b, MBJ_ID_SIZE);
	memset(place + 1 + MBJ_ID_SIZE, 0xff, 4);
	n->is_fine = false;
	return buf_set(&n->from, mbj_bytes_make(place, sizeof(place)), err);
}

/* One that is not the same on both sides; *ret_is_passed: n->from has moved. */
static enum mbj_rc record_name(struct naming *n, struct mbj_bytes place,
			       bool has_first, bool has_second,
			       bool *ret_is_passed, struct mbj_error *err)
{
	struct record r = {.has = {has_first, has_second}};
	enum mbj_rc rc;

	place_read(place, &r);
	if (r.section != MBJ_SURVEY_MAILBOXES && !mbj_id_is_root(r.mailbox) &&
	    is_named(&n->v->list, r.mailbox)) {
		*ret_is_passed = r.section == MBJ_SURVEY_MESSAGES;
		return *ret_is_passed ? mailbox_pass(n, r.mailbox, err)
				      : MBJ_OK;
	}
	rc = record_show(n->v, &r, err);
	return rc == MBJ_OK ? record_add(n->v, &r, err) : rc;
}

/* ----------------------------------------------------------------- merging */

/* One side's entries up to the end that both have. */
struct side {
	struct mbj_bytes entries;
	struct mbj_survey_entry entry;
	bool has;
};

static void side_next(const struct naming *n, struct side *side)
{
	side->has = mbj_survey_entry_next(&side->entries, &side->entry) &&
		    (n->end.n == 0 ||
		     mbj_bytes_compare(side->entry.place,
				       mbj_buf_view(&n->end)) <= 0);
}

static enum mbj_rc entries_merge(struct naming *n, bool *ret_is_passed,
				 struct mbj_error *err)
{
	struct side sides[FAR_SIDES];
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; i < FAR_SIDES; i++) {
		sides[i].entries = mbj_buf_view(&n->entries[i]);
		side_next(n, &sides[i]);
	}
	while (rc == MBJ_OK && !*ret_is_passed &&
	       (sides[0].has || sides[1].has) && n->v->list.count < NAMED_MAX) {
		int order = !sides[0].has ? 1
			    : !sides[1].has
				    ? -1
				    : mbj_bytes_compare(sides[0].entry.place,
							sides[1].entry.place);

		if (order != 0 || !mbj_digest_equal(&sides[0].entry.digest,
						    &sides[1].entry.digest))
			rc = record_name(n, sides[order > 0].entry.place,
					 order <= 0, order >= 0, ret_is_passed,
					 err);
		if (order <= 0)
			side_next(n, &sides[0]);
		if (order >= 0)
			side_next(n, &sides[1]);
	}
	return rc;
}

/* ------------------------------------------------------------------ ranges */

/* What is up to n->end is known; *ret_is_over: that is all. */
static enum mbj_rc range_pass(struct naming *n, bool *ret_is_over,
			      struct mbj_error *err)
{
	if (n->end.n == 0) {
		*ret_is_over = true;
		return MBJ_OK;
	}
	if (n->is_fine &&
	    mbj_bytes_equal(mbj_buf_view(&n->end), mbj_buf_view(&n->coarse)))
		n->is_fine = false;
	return buf_set(&n->from, mbj_buf_view(&n->end), err);
}

/* Record by record. */
static enum mbj_rc range_name(struct naming *n, bool *ret_is_over,
			      struct mbj_error *err)
{
	struct mbj_bytes until = mbj_buf_view(&n->end);
	bool is_passed = false;
	enum mbj_rc rc;

	rc = pair_ask(n, MBJ_SURVEY_EACH, until, MBJ_SURVEY_EACH_MAX, err);
	if (rc < 0 || !n->is_met)
		return rc;
	for (int i = 0; rc == MBJ_OK && i < FAR_SIDES; i++)
		rc = buf_set(&n->entries[i], n->v->answers[i].a.entries, err);
	if (rc == MBJ_OK)
		rc = end_find(n, until, err);
	if (rc == MBJ_OK)
		rc = entries_merge(n, &is_passed, err);
	if (rc < 0 || is_passed)
		return rc;
	return range_pass(n, ret_is_over, err);
}

/* The next range, as far as both sides go within the limit. */
static enum mbj_rc range_take(struct naming *n, bool *ret_is_over,
			      struct mbj_error *err)
{
	struct mbj_bytes until =
		n->is_fine ? mbj_buf_view(&n->coarse) : mbj_bytes_make(NULL, 0);
	uint32_t limit = n->is_fine ? FINE : COARSE;
	enum mbj_rc rc;

	rc = pair_ask(n, MBJ_SURVEY_SUMS, until, limit, err);
	if (rc == MBJ_OK && n->is_met)
		rc = end_find(n, until, err);
	/* Up to there, both: the one that went further is asked for less. */
	if (rc == MBJ_OK && n->is_met)
		rc = pair_ask(n, MBJ_SURVEY_SUMS, mbj_buf_view(&n->end),
			      2 * limit, err);
	if (rc < 0 || !n->is_met)
		return rc;
	if (answers_are_equal(n->v))
		return range_pass(n, ret_is_over, err);
	if (n->is_fine)
		return range_name(n, ret_is_over, err);
	n->is_fine = true;
	return buf_set(&n->coarse, mbj_buf_view(&n->end), err);
}

static enum mbj_rc ranges_name(struct naming *n, struct mbj_error *err)
{
	struct verify_list *list = &n->v->list;
	bool is_over = false;
	enum mbj_rc rc = MBJ_OK;

	n->is_met = true;
	while (rc == MBJ_OK && n->is_met && !is_over && list->count < NAMED_MAX)
		rc = range_take(n, &is_over, err);
	if (rc < 0)
		return rc;
	if (!n->is_met)
		return verify_list_add(list, MBJ_DIFFERENCE_ACCOUNT_DIFFERS,
				       MBJ_ID_ROOT, err,
				       "it changes all the time: what else "
				       "differs was not found out");
	if (!is_over)
		return verify_list_add(list, MBJ_DIFFERENCE_ACCOUNT_DIFFERS,
				       MBJ_ID_ROOT, err,
				       "there is more that differs");
	if (list->count == 0)
		return verify_list_add(
			list, MBJ_DIFFERENCE_ACCOUNT_DIFFERS, MBJ_ID_ROOT, err,
			"its records are equal, the digests that "
			"it says are not");
	return MBJ_OK;
}

enum mbj_rc far_name(struct mbj_verify_far *v, struct mbj_error *err)
{
	struct naming n = {.v = v};
	struct mbj_error why;
	enum mbj_rc rc;

	v->until_ms = mbj_monotonic_ms() + v->patience_ms;
	mbj_buf_init(&n.from, MBJ_SURVEY_PLACE_MAX);
	mbj_buf_init(&n.end, MBJ_SURVEY_PLACE_MAX);
	mbj_buf_init(&n.coarse, MBJ_SURVEY_PLACE_MAX);
	for (int i = 0; i < FAR_SIDES; i++)
		mbj_buf_init(&n.entries[i], MBJ_SURVEY_ANSWER_MAX);
	rc = ranges_name(&n, &why);
	mbj_buf_done(&n.from);
	mbj_buf_done(&n.end);
	mbj_buf_done(&n.coarse);
	for (int i = 0; i < FAR_SIDES; i++)
		mbj_buf_done(&n.entries[i]);
	/* A record that cannot be read ends it for this account alone. */
	if (far_is_damage(v, rc))
		return verify_list_add(&v->list, MBJ_DIFFERENCE_ACCOUNT_DAMAGED,
				       MBJ_ID_ROOT, err, "%s", why.message);
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}
