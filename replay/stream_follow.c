/*
 * The replica's side of a stream: meet the source, catch up, stay.
 *
 * Each time that the source has more is a run of the loop that replays a
 * journal (replay.c), so that what came is committed, and counted, before more
 * is waited for.  Accounts that stay aside are made again in steps between two
 * runs (stream_mend.c).
 *
 * Threads: one.
 */
#include <mbj/check.h>
#include <mbj/stream.h>

#include "snapshot_part.h"
#include "stream_mend.h"

/* Who is aside is seen to no more often than this. */
enum { OCCASION_MS = 60000 };

/* The first group that any parked account set aside. */
static enum mbj_rc parked_find(struct mbj_store *store,
			       struct mbj_lsn *ret_parked,
			       struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_lsn oldest = {0};
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK &&
		    (oldest.v == 0 || parked.first.v < oldest.v))
			oldest = parked.first;
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	*ret_parked = oldest;
	return MBJ_OK;
}

/* What the source is told from now on of how far the replica is. */
static enum mbj_rc progress_note(struct source_stream *s,
				 const struct mbj_replay_result *result,
				 struct mbj_error *err)
{
	s->applied = result->applied;
	mbj_upstream_apply(s->upstream, result->applied);
	mbj_upstream_lose(s->upstream, result->blobs_missing);
	s->parked.v = 0;
	if (result->accounts_parked == 0)
		return MBJ_OK;
	return parked_find(s->store, &s->parked, err);
}

/*
 * When what did not come is asked for again.  Where all that was wanted was
 * asked for at the end of the run, what the run missed was, too.
 */
static void pace_note(struct source_stream *s, bool has_asked_all,
		      uint64_t missed, const struct mbj_replay_result *result)
{
	int64_t now = mbj_monotonic_ms();

	if (!s->source.is_brief && !s->source.is_wanting)
		wanted_pace_asked(&s->pace, result->blobs_missing, now);
	if (!has_asked_all)
		wanted_pace_missed(&s->pace, s->source.missed - missed, now);
}

/* What the source has sent, and whatever else it has. */
static enum mbj_rc round_run(struct source_stream *s, bool is_occasion,
			     struct mbj_replay_result *result,
			     struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	bool is_all = !s->source.is_brief && !s->source.is_wanting;
	uint64_t missed = s->source.missed;
	struct mbj_engine *engine = NULL;
	struct mbj_hash chain;
	enum mbj_rc rc;

	/* Of all parts. */
	if (is_all)
		result->blobs_missing = 0;
	rc = replay_engine_start(s->store, &engine, &chain, err);
	if (rc == MBJ_OK)
		rc = replay_run_from(s->store, &s->source, engine, &chain,
				     &options, result, err);
	mbj_engine_free(&engine);
	if (rc == MBJ_OK && is_occasion)
		rc = replay_retry(s->store, &s->source, result, err);
	result->source_end = s->end;
	pace_note(s, is_all, missed, result);
	if (rc == MBJ_OK)
		rc = progress_note(s, result, err);
	return rc;
}

/* What is done beside what comes. */
struct staying {
	const struct mbj_stream_options *options;
	struct mbj_replay_result *result;
	struct stream_mend *mend; /* or NULL */
	bool is_wanting;	  /* what it made lacks contents */
};

/* Begin to see to those who stay aside, if that is wanted. */
static enum mbj_rc mend_begin(struct source_stream *s, struct staying *staying,
			      struct mbj_error *err)
{
	if (!staying->options->is_mending || staying->mend != NULL ||
	    staying->result->accounts_parked == 0)
		return MBJ_OK;
	return stream_mend_begin(s, MBJ_ID_ROOT, &staying->mend, err);
}

static enum mbj_rc mend_step(struct staying *staying, struct mbj_error *err)
{
	bool is_over = false;
	enum mbj_rc rc;

	if (staying->mend == NULL)
		return MBJ_OK;
	rc = stream_mend_step(staying->mend, &is_over, err);
	if (rc < 0 || !is_over)
		return rc;
	staying->is_wanting = stream_mend_is_wanting(staying->mend);
	staying->result->accounts_resynced += stream_mend_count(staying->mend);
	stream_mend_end(&staying->mend);
	return MBJ_OK;
}

/* Contents of accounts that were made again, and how many are aside now. */
static enum mbj_rc mend_finish(struct source_stream *s, struct staying *staying,
			       struct mbj_error *err)
{
	if (!staying->is_wanting)
		return MBJ_OK;
	staying->is_wanting = false;
	s->source.is_brief = false;
	return round_run(s, true, staying->result, err);
}

/*
 * Between two steps: have what the source has by now, so that neither of both
 * waits for the other one for too long.
 */
static enum mbj_rc groups_have(struct source_stream *s,
			       struct mbj_replay_result *result,
			       struct mbj_error *err)
{
	bool is_more = false;
	enum mbj_rc rc = source_stream_wait(s, 0, &is_more, err);

	s->source.is_brief = true;
	return rc == MBJ_OK && is_more ? round_run(s, false, result, err) : rc;
}

/* All of it at once. */
static enum mbj_rc mend_run(struct source_stream *s, struct staying *staying,
			    struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && staying->mend != NULL) {
		rc = mend_step(staying, err);
		if (rc == MBJ_OK && staying->mend != NULL)
			rc = groups_have(s, staying->result, err);
	}
	return rc == MBJ_OK ? mend_finish(s, staying, err) : rc;
}

/* The source may keep silent until there is something to ask of it. */
static uint32_t silence_ms(const struct source_stream *s,
			   const struct staying *staying)
{
	int64_t left = wanted_pace_wait(&s->pace, mbj_monotonic_ms());

	if (staying->mend != NULL || s->source.is_wanting)
		return 0;
	return left < staying->options->wait_ms ? (uint32_t)left
						: staying->options->wait_ms;
}

/* Until something ends it. */
static enum mbj_rc rounds_run(struct source_stream *s, struct staying *staying,
			      struct mbj_error *err)
{
	int64_t seen = mbj_monotonic_ms();
	/*
	 * What was judged at the beginning is of use even where the source has
	 * waited for too long meanwhile.
	 */
	enum mbj_rc rc = mend_step(staying, err);

	if (rc == MBJ_OK)
		rc = mend_finish(s, staying, err);
	while (rc == MBJ_OK) {
		bool is_occasion;
		int64_t now;
		bool is_more;

		rc = source_stream_wait(s, silence_ms(s, staying), &is_more,
					err);
		if (rc < 0)
			break;
		now = mbj_monotonic_ms();
		is_occasion = now - seen >= OCCASION_MS;
		if (is_occasion)
			seen = now;
		s->source.is_brief = wanted_pace_wait(&s->pace, now) > 0 &&
				     !s->source.is_wanting;
		if (is_more || is_occasion || !s->source.is_brief)
			rc = round_run(s, is_occasion, staying->result, err);
		if (rc == MBJ_OK && is_occasion)
			rc = mend_begin(s, staying, err);
		if (rc == MBJ_OK)
			rc = mend_step(staying, err);
		if (rc == MBJ_OK)
			rc = mend_finish(s, staying, err);
	}
	return rc;
}

/* Where the source ends, until something ends it. */
static enum mbj_rc stay(struct source_stream *s,
			const struct mbj_stream_options *options,
			struct mbj_replay_result *result, struct mbj_error *err)
{
	struct staying staying = {.options = options, .result = result};
	enum mbj_rc rc = MBJ_OK;

	/* Nobody is aside, and it has a beginning: none will go on with them.
	 */
	if (options->is_mending && result->accounts_parked == 0)
		rc = snapshot_parts_remove(s->store, err);
	if (rc == MBJ_OK)
		rc = mend_begin(s, &staying, err);

	if (rc == MBJ_OK && options->is_once)
		rc = mend_run(s, &staying, err);
	else if (rc == MBJ_OK)
		rc = rounds_run(s, &staying, err);
	stream_mend_end(&staying.mend);
	return rc;
}

/* Meet the source, and have all that it has. */
static enum mbj_rc catch_up(struct source_stream *s, struct mbj_store *replica,
			    const struct mbj_stream_options *options,
			    struct mbj_replay_result *result,
			    struct mbj_error *err)
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	enum mbj_rc rc;

	MBJ_ASSERT(options->size == sizeof(*options));
	MBJ_ASSERT(options->wait_ms <= STREAM_WAIT_MAX);
	rc = source_stream_begin(s, replica, options, err);
	if (rc == MBJ_OK) {
		rc = replay_source_run(replica, &s->source, &usual, result,
				       err);
		result->source_end = s->end;
		pace_note(s, true, 0, result);
	}
	return rc == MBJ_OK ? progress_note(s, result, err) : rc;
}

enum mbj_rc mbj_stream_follow(struct mbj_store *replica,
			      const struct mbj_stream_options *options,
			      struct mbj_stream_result *ret_result,
			      struct mbj_error *err)
{
	struct source_stream s;
	enum mbj_rc rc;

	memset(ret_result, 0, sizeof(*ret_result));
	rc = catch_up(&s, replica, options, &ret_result->replay, err);
	ret_result->is_met = s.is_met;
	if (rc == MBJ_OK)
		rc = stay(&s, options, &ret_result->replay, err);
	ret_result->is_lost = rc < 0 && s.link.is_lost;
	ret_result->is_stopped = s.link.is_told;
	ret_result->is_renewed = s.is_renewed;
	ret_result->paused_ms = s.paused_ms;
	ret_result->level = s.level;
	if (s.link.is_told && rc < 0 && s.link.is_lost && !options->is_once)
		rc = MBJ_OK;
	source_stream_done(&s);
	return rc;
}

/* The account, and then its contents. */
static enum mbj_rc account_mend(struct source_stream *s,
				struct stream_mend *mend,
				struct mbj_resync_result *result,
				struct mbj_error *err)
{
	bool is_over = false;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && !is_over) {
		rc = stream_mend_step(mend, &is_over, err);
		if (rc == MBJ_OK && !is_over)
			rc = groups_have(s, &result->replay, err);
	}
	if (rc < 0)
		return rc;
	result->snapshot = stream_mend_result(mend)->snapshot;
	result->groups = stream_mend_result(mend)->groups;
	/* All of them, from the first on. */
	s->source.is_brief = false;
	s->source.is_partial = false;
	s->source.is_wanting = false;
	s->source.wanted = (struct mbj_hash){{0}};
	rc = round_run(s, true, &result->replay, err);
	if (rc == MBJ_OK)
		rc = resync_aside_get(stream_mend_resync(mend),
				      &result->is_aside, err);
	return rc;
}

enum mbj_rc mbj_stream_resync(struct mbj_store *replica, struct mbj_id account,
			      const struct mbj_stream_options *options,
			      struct mbj_resync_result *ret_result,
			      struct mbj_error *err)
{
	struct stream_mend *mend = NULL;
	struct source_stream s;
	enum mbj_rc rc;

	MBJ_ASSERT(!mbj_id_is_reserved(account));
	memset(ret_result, 0, sizeof(*ret_result));
	rc = catch_up(&s, replica, options, &ret_result->replay, err);
	if (rc == MBJ_OK)
		rc = stream_mend_begin(&s, account, &mend, err);
	if (rc == MBJ_OK)
		rc = account_mend(&s, mend, ret_result, err);
	stream_mend_end(&mend);
	source_stream_done(&s);
	return rc;
}
