/*
 * One side's records of an account, summed; see verify_far.h.
 *
 * A slice is as many records as a snapshot may be held open for.  An account of
 * more has to stay as it is from slice to slice; one that changes meanwhile is
 * begun again with larger ones, so that only what is too large for the largest
 * and never rests is left.
 */
#include <mbj/check.h>

#include "verify_far.h"

enum { SLICE_FIRST = 4096, SLICE_GROWTH = 4, TRIES_MAX = 6 };

static void head_take(const struct mbj_survey_answer *a, struct far_pass *pass)
{
	*pass = (struct far_pass){
		.is_there = a->is_there,
		.is_parked = a->is_parked,
		.is_skipped = a->is_skipped,
		.lsn = a->lsn,
		.at = a->watermark.lsn,
		.digest = a->digest,
	};
}

static void slice_take(const struct mbj_survey_answer *a, struct far_pass *pass)
{
	pass->at = a->watermark.lsn;
	mbj_digest_join(&pass->records, &a->records);
	mbj_digest_join(&pass->messages, &a->messages);
	mbj_digest_join(&pass->contents, &a->contents);
}

/* Neither is what the journal says, and both say why. */
static bool is_aside(const struct far_pass *pass)
{
	return pass->is_parked || pass->is_skipped;
}

static bool is_moved(const struct mbj_survey_answer *a,
		     const struct far_pass *pass)
{
	return !a->is_there || a->lsn.v != pass->lsn.v ||
	       a->is_parked != pass->is_parked ||
	       a->is_skipped != pass->is_skipped;
}

/* All slices of one size; *ret_is_moved: it changed between two. */
static enum mbj_rc slices_sum(struct mbj_verify_far *v, enum far_side side,
			      uint32_t limit, struct far_pass *pass,
			      bool *ret_is_moved, struct mbj_error *err)
{
	struct mbj_survey_question question = {.kind = MBJ_SURVEY_SUMS,
					       .account = v->account,
					       .limit = limit};
	const struct mbj_survey_answer *a = &v->answers[side].a;
	struct mbj_buf from;
	enum mbj_rc rc = far_ask(v, side, &question, err);

	*ret_is_moved = false;
	if (rc < 0)
		return rc;
	head_take(a, pass);
	slice_take(a, pass);
	mbj_buf_init(&from, MBJ_SURVEY_PLACE_MAX);
	while (rc == MBJ_OK && pass->is_there && !is_aside(pass) &&
	       !a->is_whole && !*ret_is_moved) {
		mbj_buf_clear(&from);
		mbj_buf_put_bytes(&from, a->last);
		rc = mbj_buf_ok(&from, err);
		question.from = mbj_buf_view(&from);
		if (rc == MBJ_OK)
			rc = far_ask(v, side, &question, err);
		if (rc < 0)
			break;
		*ret_is_moved = is_moved(a, pass);
		slice_take(a, pass);
	}
	mbj_buf_done(&from);
	return rc;
}

/* Its records against what it says of itself. */
static void pass_judge(struct far_pass *pass)
{
	if (!pass->is_there || is_aside(pass) || pass->is_moving)
		return;
	if (!mbj_digest_equal(&pass->records, &pass->digest))
		(void)mbj_error_set(&pass->why, MBJ_ECORRUPT,
				    "the account's records do not sum to its "
				    "digest");
	else if (!mbj_digest_equal(&pass->messages, &pass->contents))
		(void)mbj_error_set(&pass->why, MBJ_ECORRUPT,
				    "its messages do not sum to what their "
				    "mailboxes say of them");
	pass->is_damaged = pass->why.rc < 0;
}

enum mbj_rc far_pass_run(struct mbj_verify_far *v, enum far_side side,
			 struct far_pass *ret_pass, struct mbj_error *err)
{
	uint32_t limit = SLICE_FIRST;
	bool is_again = true;
	struct mbj_error why;
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && is_again && i < TRIES_MAX; i++) {
		rc = slices_sum(v, side, limit, ret_pass, &is_again, &why);
		if (limit < MBJ_SURVEY_LIMIT_MAX / SLICE_GROWTH)
			limit *= SLICE_GROWTH;
		else
			limit = MBJ_SURVEY_LIMIT_MAX;
	}
	if (far_is_damage(v, rc)) {
		*ret_pass = (struct far_pass){.is_there = true,
					      .is_damaged = true,
					      .why = why};
		return MBJ_OK;
	}
	if (rc < 0) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	ret_pass->is_moving = is_again;
	pass_judge(ret_pass);
	return MBJ_OK;
}
