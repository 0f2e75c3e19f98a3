/*
 * Comparing a replica with its source, account by account; see verify_far.h.
 *
 * An account that both have is equal where each side's records sum to what the
 * journal recorded for it at the group at which that side stood.  One that only
 * one side has may have come or gone meanwhile: ids are never used twice, so
 * that one side is asked, then the other until it stands there, and both again.
 */
#include <string.h>

#include <mbj/check.h>

#include "verify_far.h"

enum { PAGE_ACCOUNTS = 256, PLACE_SIZE = 1 + MBJ_ID_SIZE };

/* How an account looked, once. */
struct far_look {
	struct far_pass passes[FAR_SIDES];
	/* Times in succession that only one side had it: which, and where the
	 * replica stood. */
	int alone;
	bool is_missing;
	struct mbj_lsn alone_at;
};

static bool is_options_good(const struct mbj_verify_far_options *options)
{
	return options->size == sizeof(*options) && options->share >= 1 &&
	       options->share <= 100;
}

enum mbj_rc mbj_verify_far_begin(struct mbj_client *replica, const char *dir,
				 const struct mbj_stream_options *stream,
				 const struct mbj_verify_far_options *options,
				 struct mbj_verify_far **ret_verify,
				 struct mbj_error *err)
{
	struct mbj_verify_far *v;
	enum mbj_rc rc;

	MBJ_ASSERT(stream->size == sizeof(*stream));
	if (!is_options_good(options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "a share of %lu per cent is none from 1 "
				     "to 100",
				     (unsigned long)options->share);
	v = mbj_calloc(1, sizeof(*v));
	if (v == NULL)
		return mbj_error_nomem(err);
	v->replica = replica;
	v->dir = dir;
	v->share = options->share;
	v->patience_ms = options->patience_ms;
	for (int i = 0; i < FAR_SIDES; i++) {
		mbj_buf_init(&v->answers[i].bytes, MBJ_SURVEY_ANSWER_MAX);
		mbj_buf_init(&v->pages[i].ids,
			     (size_t)PAGE_ACCOUNTS * MBJ_ID_SIZE);
		v->pages[i].behind = MBJ_ID_ROOT;
	}
	mbj_buf_init(&v->account_name, MBJ_ACCOUNT_NAME_MAX * 8 + 1);
	rc = mbj_arena_new((size_t)VERIFY_ACCOUNT_MAX * 2048, &v->list.arena,
			   err);
	if (rc == MBJ_OK)
		rc = far_meet(v, stream, err);
	if (rc < 0)
		mbj_verify_far_end(&v);
	else
		*ret_verify = v;
	return rc;
}

void mbj_verify_far_end(struct mbj_verify_far **verify)
{
	struct mbj_verify_far *v = *verify;

	if (v == NULL)
		return;
	stream_link_done(&v->source.link);
	for (int i = 0; i < FAR_SIDES; i++) {
		mbj_buf_done(&v->answers[i].bytes);
		mbj_buf_done(&v->pages[i].ids);
	}
	mbj_buf_done(&v->account_name);
	mbj_free(v->list.items);
	mbj_arena_free(&v->list.arena);
	mbj_free(v);
	*verify = NULL;
}

void mbj_verify_far_totals_get(const struct mbj_verify_far *verify,
			       struct mbj_verify_far_totals *ret_totals)
{
	*ret_totals = verify->totals;
}

/* --------------------------------------------------------------- accounts */

/* Ids ascend, or the source has us go round in circles. */
static enum mbj_rc page_take(struct mbj_verify_far *v, enum far_side side,
			     struct mbj_error *err)
{
	const struct mbj_survey_answer *a = &v->answers[side].a;
	struct far_page *page = &v->pages[side];
	struct mbj_bytes entries = a->entries;
	struct mbj_survey_entry entry;
	struct mbj_id id;

	while (mbj_survey_entry_next(&entries, &entry)) {
		if (entry.place.n != PLACE_SIZE)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "an account's place is of another "
					     "size");
		memcpy(id.b, entry.place.p + 1, MBJ_ID_SIZE);
		if (mbj_id_is_reserved(id) ||
		    (!mbj_id_is_root(page->behind) &&
		     mbj_id_compare(id, page->behind) <= 0))
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "accounts are not in their order");
		mbj_buf_put_id(&page->ids, id);
		page->behind = id;
	}
	page->is_last = a->is_whole || page->ids.n == 0;
	return mbj_buf_ok(&page->ids, err);
}

/* The next account of a side; *ret_has: there is one. */
static enum mbj_rc page_look(struct mbj_verify_far *v, enum far_side side,
			     struct mbj_id *ret_id, bool *ret_has,
			     struct mbj_error *err)
{
	struct far_page *page = &v->pages[side];
	struct mbj_survey_question question = {.kind = MBJ_SURVEY_LIST,
					       .account = page->behind,
					       .limit = PAGE_ACCOUNTS};
	enum mbj_rc rc = MBJ_OK;

	if (page->at == page->ids.n && !page->is_last) {
		mbj_buf_clear(&page->ids);
		page->at = 0;
		rc = far_ask(v, side, &question, err);
		if (rc == MBJ_OK)
			rc = page_take(v, side, err);
	}
	*ret_has = rc == MBJ_OK && page->at < page->ids.n;
	if (*ret_has)
		memcpy(ret_id->b, page->ids.p + page->at, MBJ_ID_SIZE);
	return rc;
}

/* The next one of both; MBJ_ENOTFOUND: none is left. */
static enum mbj_rc account_next(struct mbj_verify_far *v, struct mbj_error *err)
{
	struct mbj_id ids[FAR_SIDES];
	bool has[FAR_SIDES];
	int order = 0;

	for (int i = 0; i < FAR_SIDES; i++) {
		enum mbj_rc rc =
			page_look(v, (enum far_side)i, &ids[i], &has[i], err);

		if (rc < 0)
			return rc;
	}
	if (!has[0] && !has[1])
		return MBJ_ENOTFOUND;
	if (has[0] && has[1])
		order = mbj_id_compare(ids[0], ids[1]);
	else
		order = has[0] ? -1 : 1;
	v->account = ids[order > 0];
	if (order <= 0)
		v->pages[0].at += MBJ_ID_SIZE;
	if (order >= 0)
		v->pages[1].at += MBJ_ID_SIZE;
	return MBJ_OK;
}

/* ----------------------------------------------------------------- judging */

static enum mbj_rc name_note(struct mbj_verify_far *v, enum far_side side,
			     struct mbj_error *err)
{
	const struct mbj_survey_answer *a = &v->answers[side].a;

	if (!a->is_there)
		return MBJ_OK;
	mbj_buf_clear(&v->account_name);
	mbj_name_escape(&v->account_name, a->name);
	mbj_buf_put_u8(&v->account_name, 0);
	return mbj_buf_ok(&v->account_name, err);
}

/* One side knows that it is not what the journal says: which, and why. */
static enum mbj_rc aside_add(struct mbj_verify_far *v,
			     const struct far_look *look, bool *ret_is_aside,
			     struct mbj_error *err)
{
	enum far_side side = FAR_REPLICA;
	const struct far_pass *pass = &look->passes[side];
	struct mbj_bytes reason;

	if (!pass->is_parked && !pass->is_skipped) {
		side = FAR_SOURCE;
		pass = &look->passes[side];
	}
	*ret_is_aside = pass->is_parked || pass->is_skipped;
	if (!*ret_is_aside)
		return MBJ_OK;
	reason = v->answers[side].a.reason;
	if (pass->is_parked)
		v->totals.accounts_parked++;
	else
		v->totals.accounts_skipped++;
	return verify_list_add(&v->list,
			       pass->is_parked ? MBJ_DIFFERENCE_ACCOUNT_PARKED
					       : MBJ_DIFFERENCE_ACCOUNT_SKIPPED,
			       MBJ_ID_ROOT, err, "in the %s: %.*s",
			       far_word(side), (int)reason.n,
			       (const char *)reason.p);
}

static enum mbj_rc busy_add(struct mbj_verify_far *v, const char *why,
			    struct mbj_error *err)
{
	v->totals.accounts_busy++;
	return verify_list_add(&v->list, MBJ_DIFFERENCE_ACCOUNT_BUSY,
			       MBJ_ID_ROOT, err,
			       "%s: neither equal nor "
			       "different, ask again later",
			       why);
}

/* Both sides, the replica's until it stands where the source stood. */
static enum mbj_rc both_look(struct mbj_verify_far *v, struct far_look *look,
			     bool *ret_is_over, struct mbj_error *err)
{
	struct far_pass *source = &look->passes[FAR_SOURCE];
	struct far_pass *replica = &look->passes[FAR_REPLICA];
	enum mbj_rc rc = far_pass_run(v, FAR_SOURCE, source, err);

	if (rc == MBJ_OK)
		rc = name_note(v, FAR_SOURCE, err);
	do {
		if (rc == MBJ_OK)
			rc = far_pass_run(v, FAR_REPLICA, replica, err);
		/* Alone it is, or not yet: only then its place matters. */
		if (rc < 0 || source->is_there == replica->is_there ||
		    replica->at.v >= source->at.v)
			break;
		rc = far_wait(v, ret_is_over, err);
	} while (rc == MBJ_OK && !*ret_is_over);
	if (rc == MBJ_OK)
		rc = name_note(v, FAR_REPLICA, err);
	return rc;
}

/*
 * Does what a side has sum to what the journal says?  Waits until the replica's
 * journal has that group, but for one that the replica is past: it was trimmed.
 */
static enum mbj_rc side_prove(struct mbj_verify_far *v,
			      const struct far_pass *pass, struct mbj_lsn past,
			      bool *ret_is_known, bool *ret_is_equal,
			      struct mbj_error *err)
{
	struct mbj_digest recorded;
	bool is_over = false;
	enum mbj_rc rc;

	do {
		rc = far_recorded(v, pass->lsn, &recorded, ret_is_known, err);
		if (rc < 0 || *ret_is_known || pass->lsn.v <= past.v)
			break;
		rc = far_wait(v, &is_over, err);
	} while (rc == MBJ_OK && !is_over);
	if (rc == MBJ_OK && *ret_is_known)
		*ret_is_equal = mbj_digest_equal(&recorded, &pass->digest);
	return rc;
}

/* Both have it, whole: by their groups, or by the journal. */
static enum mbj_rc both_prove(struct mbj_verify_far *v,
			      const struct far_look *look, bool *ret_is_known,
			      bool *ret_is_equal, struct mbj_error *err)
{
	const struct far_pass *a = &look->passes[FAR_SOURCE];
	const struct far_pass *b = &look->passes[FAR_REPLICA];
	bool is_equal = false;
	enum mbj_rc rc;

	*ret_is_known = a->lsn.v == b->lsn.v;
	*ret_is_equal = mbj_digest_equal(&a->digest, &b->digest);
	if (*ret_is_known)
		return MBJ_OK;
	rc = side_prove(v, a, b->at, ret_is_known, ret_is_equal, err);
	if (rc < 0 || !*ret_is_known)
		return rc;
	rc = side_prove(v, b, b->at, ret_is_known, &is_equal, err);
	*ret_is_equal = *ret_is_equal && is_equal;
	return rc;
}

static enum mbj_rc damage_add(struct mbj_verify_far *v,
			      const struct far_look *look,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && i < FAR_SIDES; i++)
		if (look->passes[i].is_damaged)
			rc = verify_list_add(&v->list,
					     MBJ_DIFFERENCE_ACCOUNT_DAMAGED,
					     MBJ_ID_ROOT, err, "in the %s: %s",
					     far_word((enum far_side)i),
					     look->passes[i].why.message);
	return rc;
}

/* Only one side has it, again. */
static enum mbj_rc alone_judge(struct mbj_verify_far *v, struct far_look *look,
			       bool *ret_is_done, struct mbj_error *err)
{
	const struct far_pass *a = &look->passes[FAR_SOURCE];
	bool is_missing = a->is_there;

	/* What went between two looks of one side is gone in the next one. */
	if (look->alone > 0 &&
	    (look->is_missing != is_missing || a->at.v < look->alone_at.v))
		look->alone = 0;
	look->is_missing = is_missing;
	look->alone_at = look->passes[FAR_REPLICA].at;
	*ret_is_done = ++look->alone > 1;
	if (!*ret_is_done)
		return MBJ_OK;
	return verify_list_add(&v->list,
			       is_missing ? MBJ_DIFFERENCE_ACCOUNT_MISSING
					  : MBJ_DIFFERENCE_ACCOUNT_EXTRA,
			       MBJ_ID_ROOT, err, "only in the %s",
			       far_word(is_missing ? FAR_SOURCE : FAR_REPLICA));
}

/* What one look at both says; *ret_is_done: all that is to be said. */
static enum mbj_rc look_judge(struct mbj_verify_far *v, struct far_look *look,
			      bool *ret_is_done, struct mbj_error *err)
{
	const struct far_pass *a = &look->passes[FAR_SOURCE];
	const struct far_pass *b = &look->passes[FAR_REPLICA];
	bool is_known = false, is_equal = false;
	enum mbj_rc rc;

	rc = aside_add(v, look, ret_is_done, err);
	if (rc < 0 || *ret_is_done)
		return rc;
	*ret_is_done = true;
	if (a->is_there != b->is_there)
		return alone_judge(v, look, ret_is_done, err);
	look->alone = 0;
	if (!a->is_there)
		return MBJ_OK;
	if (a->is_damaged || b->is_damaged) {
		rc = damage_add(v, look, err);
		return rc == MBJ_OK ? far_name(v, err) : rc;
	}
	*ret_is_done = false;
	if (a->is_moving || b->is_moving)
		return MBJ_OK;
	rc = both_prove(v, look, &is_known, &is_equal, err);
	*ret_is_done = is_known;
	return rc == MBJ_OK && is_known && !is_equal ? far_name(v, err) : rc;
}

static enum mbj_rc account_compare(struct mbj_verify_far *v,
				   struct mbj_error *err)
{
	struct far_look look = {.alone = 0};
	bool is_done = false;
	bool is_over = false;
	int looks = 0;
	enum mbj_rc rc = MBJ_OK;

	v->until_ms = mbj_monotonic_ms() + v->patience_ms;
	while (rc == MBJ_OK && !is_done && !is_over) {
		rc = both_look(v, &look, &is_over, err);
		if (rc == MBJ_OK && !is_over)
			rc = look_judge(v, &look, &is_done, err);
		/* One that only one side has is looked at again at once. */
		if (rc == MBJ_OK && !is_done && !is_over &&
		    (look.alone == 0 || ++looks > 1))
			rc = far_wait(v, &is_over, err);
	}
	if (rc < 0 || is_done)
		return rc;
	return busy_add(v,
			"it changes all the time, or the replica has not "
			"what the source has",
			err);
}

enum mbj_rc mbj_verify_far_next(struct mbj_verify_far *verify,
				struct mbj_difference *ret_difference,
				struct mbj_error *err)
{
	struct mbj_verify_far *v = verify;
	enum mbj_rc rc;

	while (v->next == v->list.count) {
		rc = account_next(v, err);
		if (rc < 0)
			return rc;
		mbj_arena_reset(v->list.arena);
		v->list.count = 0;
		v->next = 0;
		v->totals.accounts++;
		rc = account_compare(v, err);
		if (rc < 0)
			return rc;
		v->totals.differences = v->list.total;
	}
	*ret_difference = v->list.items[v->next++];
	ret_difference->account = v->account;
	ret_difference->account_name = (const char *)v->account_name.p;
	return MBJ_OK;
}
