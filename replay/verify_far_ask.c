/*
 * Asking the two sides of a far comparison; see verify_far.h.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/engine.h>
#include <mbj/log.h>

#include "verify_far.h"

enum {
	WAIT_MS = 50, /* between looks */
	/* A source that hears nothing for minutes hangs up. */
	PING_MS = 20000,
	/* Whoever waits looks so often whether that is due. */
	LOOK_MS = 1000,
	/* Rest is taken once it is worth it. */
	REST_MS = 20,
};

const char *far_word(enum far_side side)
{
	return side == FAR_SOURCE ? "source" : "replica";
}

/* ------------------------------------------------------------------ hello */

/* Another store, a fork, a source that was replaced: the engine knows. */
static enum mbj_rc source_judge(struct mbj_verify_far *v,
				const struct mbj_identity *identity,
				const struct mbj_watermark *where,
				struct mbj_error *err)
{
	const struct mbj_engine_start start = {
		identity->lineage, identity->epoch, identity->epoch_owner,
		where->lsn,	   where->chain,    where->epoch};
	struct mbj_engine *engine = NULL;
	struct mbj_action action;
	enum mbj_rc rc = mbj_engine_new(&start, &engine, err);

	if (rc < 0)
		return rc;
	mbj_engine_hello(engine, &v->source.hello, &action);
	if (action.kind == MBJ_ACTION_REFUSE)
		rc = mbj_error_set(err, action.rc, "%s", action.reason);
	mbj_engine_free(&engine);
	if (rc == MBJ_OK && !v->source.hello.has_chain && where->lsn.v > 0)
		rc = mbj_error_set(err, MBJ_ENOTFOUND,
				   "the source has trimmed group %llu, where "
				   "the replica stands: let it catch up first",
				   (unsigned long long)where->lsn.v);
	if (rc == MBJ_OK && v->source.version < STREAM_VERSION_SURVEY)
		rc = mbj_error_set(err, MBJ_EUNSUPPORTED,
				   "the source speaks version %u of the "
				   "stream, which cannot compare: use a newer "
				   "mbj there",
				   v->source.version);
	return rc;
}

enum mbj_rc far_meet(struct mbj_verify_far *v,
		     const struct mbj_stream_options *options,
		     struct mbj_error *err)
{
	const struct mbj_identity *identity = mbj_client_identity(v->replica);
	const struct mbj_survey_question question = {.kind = MBJ_SURVEY_LIST,
						     .account = MBJ_ID_ROOT,
						     .limit = 1};
	struct mbj_watermark where;
	enum mbj_rc rc;

	v->source.pin = options->pin;
	rc = stream_link_begin(&v->source.link, options->in_fd, options->out_fd,
			       options->stop_fd, options->timeout_ms,
			       STREAM_SOURCE, err);
	stream_link_use(&v->source.link, options->channel);
	if (rc == MBJ_OK && mbj_id_is_root(identity->lineage))
		rc = mbj_error_set(err, MBJ_ENOTFOUND,
				   "the replica has received nothing yet");
	if (rc == MBJ_OK)
		rc = far_ask(v, FAR_REPLICA, &question, err);
	if (rc < 0)
		return rc;
	where = v->answers[FAR_REPLICA].a.watermark;
	rc = source_stream_hello(&v->source, identity, &where, err);
	if (rc == MBJ_OK)
		rc = source_judge(v, identity, &where, err);
	v->totals.source = v->source.end;
	v->totals.replica = where.lsn;
	v->heard_ms = mbj_monotonic_ms();
	return rc;
}

/* ----------------------------------------------------------------- asking */

static enum mbj_rc source_answer_take(struct mbj_verify_far *v,
				      const struct stream_message *m,
				      struct mbj_error *err)
{
	struct far_answer *to = &v->answers[FAR_SOURCE];
	enum mbj_rc rc;

	mbj_buf_clear(&to->bytes);
	mbj_buf_put_bytes(&to->bytes, m->survey);
	rc = mbj_buf_ok(&to->bytes, err);
	if (rc < 0)
		return rc;
	return mbj_survey_answer_decode(mbj_buf_view(&to->bytes), &to->a, err);
}

/* What it says to that, borrowed from the link. */
static enum mbj_rc source_say(struct mbj_verify_far *v,
			      const struct mbj_survey_question *question,
			      struct stream_message *ret_answer,
			      struct mbj_error *err)
{
	struct stream_message m = {.count = 0};
	enum stream_kind kind = STREAM_HELLO; /* which no source says */
	struct mbj_buf bytes;
	enum mbj_rc rc;

	mbj_buf_init(&bytes, MBJ_SURVEY_QUESTION_MAX);
	mbj_survey_question_encode(&bytes, question);
	rc = mbj_buf_ok(&bytes, err);
	m.survey = mbj_buf_view(&bytes);
	if (rc == MBJ_OK)
		rc = stream_link_send(&v->source.link, STREAM_SURVEY, &m, err);
	mbj_buf_done(&bytes);
	if (rc == MBJ_OK)
		rc = stream_link_receive(&v->source.link, STREAM_WAIT_MAX,
					 &kind, ret_answer, err);
	if (rc < 0)
		return rc;
	v->heard_ms = mbj_monotonic_ms();
	if (kind == STREAM_FAULT)
		return stream_fault_take(&v->source, &ret_answer->error, err);
	if (kind == STREAM_SURVEYED)
		return MBJ_OK;
	v->source.link.is_lost = true;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the source sent something else than what was "
			     "asked for");
}

static enum mbj_rc source_ask(struct mbj_verify_far *v,
			      const struct mbj_survey_question *question,
			      struct mbj_error *err)
{
	struct stream_message m;
	enum mbj_rc rc = source_say(v, question, &m, err);

	return rc == MBJ_OK ? source_answer_take(v, &m, err) : rc;
}

static enum mbj_rc replica_ask(struct mbj_verify_far *v,
			       const struct mbj_survey_question *question,
			       struct mbj_error *err)
{
	struct far_answer *to = &v->answers[FAR_REPLICA];
	struct mbj_client_survey survey;
	enum mbj_rc rc = mbj_client_survey(v->replica, question, &survey, err);

	if (rc < 0)
		return rc;
	mbj_buf_done(&to->bytes);
	to->a = survey.answer;
	to->bytes = survey.bytes;
	return MBJ_OK;
}

/*
 * What cannot be: more than was asked for, or no way on.  Whoever answers so
 * would have us ask for ever.
 */
static enum mbj_rc answer_check(const struct mbj_survey_question *q,
				const struct mbj_survey_answer *a,
				struct mbj_error *err)
{
	bool is_good = a->count <= q->limit && a->entry_count <= q->limit;

	if (!a->is_whole && q->from.n > 0 &&
	    mbj_bytes_compare(a->last, q->from) <= 0)
		is_good = false;
	if (q->until.n > 0 && a->last.n > 0 &&
	    mbj_bytes_compare(a->last, q->until) > 0)
		is_good = false;
	return is_good ? MBJ_OK
		       : mbj_error_set(err, MBJ_ECORRUPT,
				       "a survey's answer is of another "
				       "question");
}

/* What the source says to it nobody needs: what it said last stays. */
static enum mbj_rc ping(struct mbj_verify_far *v, struct mbj_error *err)
{
	const struct mbj_survey_question question = {.kind = MBJ_SURVEY_LIST,
						     .account = MBJ_ID_ROOT,
						     .limit = 1};
	struct stream_message m;

	if (v->heard_ms == 0 || mbj_monotonic_ms() - v->heard_ms < PING_MS)
		return MBJ_OK;
	return source_say(v, &question, &m, err);
}

/* Until then nobody asks anything; one that hangs up is noticed at once. */
static enum mbj_rc quiet_wait(struct mbj_verify_far *v, int64_t until,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	int64_t left = until - mbj_monotonic_ms();

	while (rc == MBJ_OK && left > 0) {
		rc = stream_link_rest(&v->source.link,
				      left < LOOK_MS ? left : LOOK_MS, err);
		if (rc == MBJ_OK)
			rc = ping(v, err);
		left = until - mbj_monotonic_ms();
	}
	return rc;
}

/* Not more than its share of the time is spent with asking. */
static enum mbj_rc rest_take(struct mbj_verify_far *v, int64_t ms,
			     struct mbj_error *err)
{
	int64_t rest;

	v->owed += (uint64_t)ms * (100 - v->share);
	rest = (int64_t)(v->owed / v->share);
	/* Before the hello there is nobody whom to spare. */
	if (rest < REST_MS || v->heard_ms == 0)
		return MBJ_OK;
	v->owed = 0;
	return quiet_wait(v, mbj_monotonic_ms() + rest, err);
}

enum mbj_rc far_ask(struct mbj_verify_far *v, enum far_side side,
		    const struct mbj_survey_question *question,
		    struct mbj_error *err)
{
	int64_t began = mbj_monotonic_ms();
	enum mbj_rc rc;

	if (side == FAR_SOURCE) {
		rc = source_ask(v, question, err);
	} else {
		rc = ping(v, err);
		if (rc == MBJ_OK)
			rc = replica_ask(v, question, err);
	}
	if (rc < 0)
		return rc;
	rc = answer_check(question, &v->answers[side].a, err);
	if (rc < 0) {
		v->source.link.is_lost = true;
		return rc;
	}
	v->totals.records += v->answers[side].a.count;
	return rest_take(v, mbj_monotonic_ms() - began, err);
}

bool far_is_damage(const struct mbj_verify_far *v, enum mbj_rc rc)
{
	return rc == MBJ_ECORRUPT && !v->source.link.is_lost;
}

enum mbj_rc far_wait(struct mbj_verify_far *v, bool *ret_is_over,
		     struct mbj_error *err)
{
	int64_t now = mbj_monotonic_ms();

	*ret_is_over = now >= v->until_ms;
	return *ret_is_over ? MBJ_OK : quiet_wait(v, now + WAIT_MS, err);
}

/* ---------------------------------------------------------------- journal */

static enum mbj_rc group_digest(struct mbj_log_reader *reader,
				struct mbj_id account,
				struct mbj_digest *ret_digest,
				bool *ret_is_known, struct mbj_error *err)
{
	struct mbj_group_account named;
	struct mbj_group group;
	enum mbj_rc rc = mbj_log_reader_next(reader, &group, err);

	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < group.header.account_count; i++) {
		mbj_group_account_get(&group, i, &named);
		if (!mbj_id_equal(named.id, account))
			continue;
		*ret_digest = named.digest;
		*ret_is_known = true;
	}
	return MBJ_OK;
}

enum mbj_rc far_recorded(struct mbj_verify_far *v, struct mbj_lsn lsn,
			 struct mbj_digest *ret_digest, bool *ret_is_known,
			 struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	enum mbj_rc rc;

	*ret_is_known = false;
	/* As far as it is published by now. */
	if (mbj_client_store(v->replica) != NULL)
		rc = mbj_store_log_reader_own(mbj_client_store(v->replica),
					      &reader, err);
	else
		rc = mbj_store_log_reader(mbj_sys_posix(), v->dir, &reader,
					  err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, lsn, err);
	if (rc == MBJ_OK)
		rc = group_digest(reader, v->account, ret_digest, ret_is_known,
				  err);
	mbj_log_reader_close(&reader);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
