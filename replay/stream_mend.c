/*
 * Accounts made again through a stream; see stream_mend.h.
 *
 *	  +--------------------------- no good ----------------+
 *	  v                                                    |
 *	ask --> fetch into snapshots/<LSN>.snap.part --> judge-+
 *	  |                                                |
 *	  +--own, good-------------> make <--its name------+
 *
 * Invariants:
 *   1. only a snapshot of a group that the replica's own journal has is taken,
 *      and only if that journal says the same of every account (resync.c): a
 *      source that is behind, forked or bent changes nothing here;
 *   2. each account is exchanged in one transaction, and what waits for it
 *      behind the snapshot is carried out in order;
 *   3. with one snapshot an account is tried once for as long as it waits from
 *      the same group on, and a snapshot that is no good is asked for once:
 *      others are, newer and older (mend_memory.c);
 *   4. a fault of the replica's own, of its journal, memory or disk, speaks
 *      against no snapshot, and what came of one stays.
 */
#include "stream_mend.h"

#include <mbj/check.h>

#include "mend_memory.h"
#include "quarantine_run.h"
#include "snapshot_judge.h"
#include "snapshot_part.h"
#include "stream_part.h"

enum { PART_SIZE = 1 << 20 };

enum mend_stage {
	MEND_ASK = MBJ_RESYNC_NONE, /* what the source has */
	MEND_FETCH = MBJ_RESYNC_FETCHING,
	MEND_JUDGE = MBJ_RESYNC_JUDGING,
	/* Account by account, of one that has its name. */
	MEND_MAKE = MBJ_RESYNC_MAKING,
	MEND_OVER,
};

struct stream_mend {
	struct source_stream *stream;
	struct mbj_store *store;
	struct resync resync;
	struct snapshot_part part;
	struct waiting_list list; /* is_active: to be made again */
	size_t at;		  /* the next of them */
	struct mbj_lsn lsn;	  /* of the snapshot */
	uint64_t size;		  /* of it, in all */
	bool is_one;		  /* its account alone, whatever it is */
	enum mend_stage stage;
	/* The store's, or, of one account, our own. */
	struct mbj_mend_memory *memory;
	struct mbj_mend_memory one_memory;
	struct mbj_error refused; /* the first that was no good, and why */
	struct judging *judging;  /* or NULL */
	struct mbj_lsn began;	  /* the state, when it was seen who is aside */
	uint64_t count;		  /* that are not aside any more */
	bool is_wanting;	  /* some were made */
	bool is_stuck;		  /* some were not, and may be another time */
	struct mbj_resync_result result; /* of the last one */
};

/* -------------------------------------------------------- who is to be made */

/* What keeps one account aside, and no other. */
static bool is_its_own(enum mbj_rc rc)
{
	return rc == MBJ_ELIMIT || rc == MBJ_ECONFLICT || rc == MBJ_EFENCED ||
	       snapshot_copy_is_fault(rc);
}

/*
 * The account is still aside, and a snapshot of that group takes it no way
 * back.  One that nobody asked for must not: what it would undo comes back
 * only where all that follows can be carried out again.
 */
static enum mbj_rc may_help(const struct stream_mend *mend,
			    struct mbj_lsn snapshot, struct mbj_id account,
			    bool *ret_may, struct mbj_error *err)
{
	struct mbj_parked parked;
	struct mbj_account found;
	struct mbj_txn *txn = NULL;
	struct mbj_error why;
	enum mbj_rc rc;

	*ret_may = false;
	rc = mbj_store_read(mend->store, &txn, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_parked_get(txn, account, &parked, &why);
	if (rc == MBJ_OK) {
		rc = mbj_txn_account_get(txn, account, &found, &why);
		/* One that it does not have at all cannot go back. */
		*ret_may = rc == MBJ_ENOTFOUND ||
			   (rc == MBJ_OK && found.lsn.v <= snapshot.v);
	}
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK || rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (err != NULL)
		*err = why;
	return rc;
}

/* Those whom it may help; *ret_is_any false: nobody. */
static enum mbj_rc list_choose(struct stream_mend *mend, bool *ret_is_any,
			       struct mbj_error *err)
{
	const struct mbj_mend_memory *memory = mend->memory;
	bool is_newer = mend->lsn.v > memory->tried.v;
	/* Where the source has none one's own may do: make_step looks at it. */
	struct mbj_lsn lsn = {mend->lsn.v > 0 ? mend->lsn.v : UINT64_MAX};
	enum mbj_rc rc = MBJ_OK;

	*ret_is_any = false;
	for (size_t i = 0; rc == MBJ_OK && i < mend->list.count; i++) {
		struct waiting *w = &mend->list.items[i];

		w->is_active = false;
		if (is_newer || w->first.v > memory->tried_end.v)
			rc = may_help(mend, lsn, w->account, &w->is_active,
				      err);
		if (is_its_own(rc))
			rc = MBJ_OK;
		*ret_is_any = *ret_is_any || w->is_active;
	}
	return rc;
}

/* ------------------------------------------------------------ the snapshot */

/*
 * The newest that the source has, but for those that are refused; mend->lsn
 * stays 0 where it has none.
 */
static enum mbj_rc offer_ask(struct stream_mend *mend, struct mbj_error *err)
{
	uint64_t first = mbj_store_identity_copy(mend->store).anchor.first.v;
	struct mbj_mend_memory *memory = mend->memory;
	struct part_want want = {.max = 0};
	enum mbj_rc rc = MBJ_ENOTFOUND;
	uint32_t at = 0;

	first = first > 1 ? first - 1 : 1;
	mend->lsn.v = 0;
	mend_forget(memory, mbj_monotonic_ms());
	while (rc == MBJ_ENOTFOUND &&
	       mend_gap_next(memory, &at, (struct mbj_lsn){first},
			     mend->resync.end, &want.least, &want.most))
		rc = stream_part_ask(mend->stream, &mend->part, &want,
				     &mend->lsn, &mend->size, err);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* For the rest of it.  Others may fill the disk while it comes. */
static enum mbj_rc room_look(const struct stream_mend *mend,
			     struct mbj_error *err)
{
	uint64_t left = mend->size - mend->part.here;

	return left > 0 ? snapshot_copy_room(mend->store, left, err) : MBJ_OK;
}

/* What an earlier connection left of it is gone on with, if there is room. */
static enum mbj_rc fetch_begin(struct stream_mend *mend, struct mbj_error *err)
{
	struct snapshot_part *part = &mend->part;
	enum mbj_rc rc;

	snapshot_part_init(part, mend->store);
	rc = snapshot_part_find(part, err);
	if (rc == MBJ_OK && snapshot_part_is_open(part) &&
	    (part->lsn.v != mend->lsn.v || part->here > mend->size))
		snapshot_part_drop(part);
	if (rc == MBJ_OK)
		rc = room_look(mend, err);
	if (rc == MBJ_ENOSPC && snapshot_part_is_open(part))
		snapshot_part_drop(part);
	if (rc == MBJ_OK && !snapshot_part_is_open(part))
		rc = snapshot_part_open(part, mend->lsn, err);
	if (rc == MBJ_OK)
		mend->stage = MEND_FETCH;
	return rc;
}

/* What is tried again, and all that was, is noted. */
static void over(struct stream_mend *mend)
{
	mend->stage = MEND_OVER;
	if (mend->is_stuck) {
		mend_stuck(mend->memory);
		return;
	}
	mend_went(mend->memory);
	mend_tried(mend->memory, mend->lsn, mend->began);
}

/* Where somebody asks, that is an error. */
static enum mbj_rc none_good(struct stream_mend *mend, struct mbj_lsn least,
			     struct mbj_error *err)
{
	over(mend);
	if (!mend->is_one)
		return MBJ_OK;
	if (mend->refused.rc < 0) {
		if (err != NULL)
			*err = mend->refused;
		return mbj_error_prefix(err, mend->refused.rc,
					"the source has no snapshot that is "
					"good; the newest");
	}
	return mbj_error_set(err, MBJ_EFENCED,
			     "the source has no snapshot of a group from %llu "
			     "to %llu, which the replica could begin with: "
			     "\"mbj snapshot\" makes one there",
			     (unsigned long long)least.v,
			     (unsigned long long)mend->resync.end.v);
}

/*
 * One's own where that is as new, else that of the source is to be fetched.
 * What is left: MBJ_EFENCED.
 */
static enum mbj_rc snapshot_choose(struct stream_mend *mend,
				   struct mbj_error *err)
{
	struct mbj_lsn least = {0};
	enum mbj_rc rc;

	rc = resync_least_find(&mend->resync, &least, err);
	if (rc < 0)
		return rc;
	rc = resync_own_try(&mend->resync,
			    mend->lsn.v < least.v ? least : mend->lsn, err);
	if (rc == MBJ_OK)
		mend->stage = MEND_MAKE;
	if (!snapshot_copy_is_fault(rc))
		return rc;
	if (mend->lsn.v < least.v)
		return none_good(mend, least, err);
	/* Of what nothing can be said nothing is fetched; later it may be. */
	rc = snapshot_judge_can(mend->store, mend->lsn, err);
	return rc == MBJ_OK ? fetch_begin(mend, err) : rc;
}

/* What of, and for whom. */
static enum mbj_rc ask_step(struct stream_mend *mend, struct mbj_error *err)
{
	bool is_any = mend->is_one;
	enum mbj_rc rc = offer_ask(mend, err);

	if (rc == MBJ_OK && !mend->is_one)
		rc = list_choose(mend, &is_any, err);
	if (rc == MBJ_OK && is_any)
		return snapshot_choose(mend, err);
	if (rc < 0)
		return rc;
	mend_went(mend->memory);
	mend->stage = MEND_OVER;
	return MBJ_OK;
}

/* It is no good: it is asked for once more, or another one is. */
static void refuse(struct stream_mend *mend, const struct mbj_error *why)
{
	mend_refuse(mend->memory, mend->lsn, mend->part.is_resumed,
		    mbj_monotonic_ms());
	snapshot_part_drop(&mend->part);
	if (mend->refused.rc == MBJ_OK)
		mend->refused = *why;
	mend->stage = MEND_ASK;
}

/* What failed here says nothing of it. */
static enum mbj_rc judge_fail(struct stream_mend *mend, enum mbj_rc rc,
			      const struct mbj_error *why,
			      struct mbj_error *err)
{
	snapshot_judging_end(&mend->judging);
	if (rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED) {
		refuse(mend, why);
		return MBJ_OK;
	}
	if (err != NULL)
		*err = *why;
	return rc;
}

/* It is here: nothing is made of it but what one's own journal says. */
static enum mbj_rc judge_begin(struct stream_mend *mend, struct mbj_error *err)
{
	struct snapshot_part *part = &mend->part;
	struct mbj_error why;
	enum mbj_rc rc = mbj_file_sync(&part->file, &why);

	snapshot_part_close(part);
	mend->stage = MEND_JUDGE;
	if (rc == MBJ_OK)
		rc = snapshot_judging_begin(mend->store, part->copy.temp,
					    &mend->judging, &why);
	if (rc == MBJ_OK) {
		part->copy.info = *snapshot_judging_info(mend->judging);
		rc = resync_group_check(&part->copy.info, mend->lsn, &why);
	}
	return rc < 0 ? judge_fail(mend, rc, &why, err) : rc;
}

/*
 * Some of it: groups are fetched in between, and a stop is heard.  A good one
 * has its name before any account is made of it, whatever comes of that: it
 * does not come again.
 */
static enum mbj_rc judge_step(struct stream_mend *mend, struct mbj_error *err)
{
	struct mbj_error why;
	bool is_over = false;
	enum mbj_rc rc;

	rc = snapshot_judging_step(mend->judging, &is_over, &why);
	if (rc < 0)
		return judge_fail(mend, rc, &why, err);
	if (!is_over)
		return MBJ_OK;
	snapshot_judging_end(&mend->judging);
	mend->resync.copy = mend->part.copy;
	rc = resync_copy_keep(&mend->resync, err);
	if (rc < 0)
		return rc;
	mend_accept(mend->memory, mend->lsn);
	mend->stage = MEND_MAKE;
	return MBJ_OK;
}

static enum mbj_rc fetch_step(struct stream_mend *mend, struct mbj_error *err)
{
	struct part_want want = {.least = mend->lsn,
				 .most = mend->lsn,
				 .at = mend->part.here,
				 .max = PART_SIZE};
	uint64_t size = 0;
	enum mbj_rc rc = MBJ_OK;

	if (mend->part.here < mend->size) {
		rc = room_look(mend, err);
		if (rc == MBJ_OK)
			rc = stream_part_ask(mend->stream, &mend->part, &want,
					     &mend->lsn, &size, err);
		if (rc == MBJ_OK && size != mend->size)
			rc = mbj_error_set(err, MBJ_ENOTFOUND,
					   "the source's snapshot of group "
					   "%llu is not what it was",
					   (unsigned long long)mend->lsn.v);
		/* What has come stays only where the rest may come. */
		if ((snapshot_copy_is_fault(rc) || rc == MBJ_ENOSPC) &&
		    !mend->stream->link.is_lost)
			snapshot_part_drop(&mend->part);
	}
	if (rc == MBJ_OK && mend->part.here == mend->size)
		rc = judge_begin(mend, err);
	return rc;
}

/* ------------------------------------------------------------ the accounts */

/* What another occasion may find otherwise, and is nobody's fault. */
static bool is_passing(enum mbj_rc rc)
{
	return rc == MBJ_ENOSPC || rc == MBJ_ENOMEM;
}

static enum mbj_rc account_make(struct stream_mend *mend, struct mbj_id account,
				struct mbj_error *err)
{
	bool is_aside = false;
	enum mbj_rc rc;

	mend->resync.account = account;
	mend->result = (struct mbj_resync_result){.groups = 0};
	rc = resync_account(&mend->resync, &mend->result, err);
	if (rc == MBJ_OK) {
		mend->is_wanting = true;
		rc = resync_aside_get(&mend->resync, &is_aside, err);
		mend->count += !is_aside;
	}
	return rc;
}

static bool list_step(struct stream_mend *mend, struct mbj_id *ret_account)
{
	while (mend->at < mend->list.count) {
		const struct waiting *w = &mend->list.items[mend->at++];

		if (w->is_active) {
			*ret_account = w->account;
			return true;
		}
	}
	return false;
}

/* One of the list: what keeps it aside is no error. */
static enum mbj_rc next_make(struct stream_mend *mend, struct mbj_id account,
			     struct mbj_error *err)
{
	bool may = false;
	enum mbj_rc rc;

	/* It may have come back meanwhile, by a retry or with another one. */
	rc = may_help(mend, mend->resync.copy.info.watermark.lsn, account, &may,
		      err);
	if (rc == MBJ_OK && may)
		rc = account_make(mend, account, err);
	mend->is_stuck = mend->is_stuck || is_passing(rc);
	return is_its_own(rc) || is_passing(rc) ? MBJ_OK : rc;
}

static enum mbj_rc make_step(struct stream_mend *mend, struct mbj_error *err)
{
	struct mbj_id account = mend->resync.account;

	if (mend->is_one) {
		mend->stage = MEND_OVER;
		return account_make(mend, account, err);
	}
	if (list_step(mend, &account))
		return next_make(mend, account, err);
	over(mend);
	return MBJ_OK;
}

/* ------------------------------------------------------------------- calls */

static enum mbj_rc told_to_stop(struct stream_mend *mend, struct mbj_error *err)
{
	mend->stream->link.is_lost = true;
	return mbj_error_set(err, MBJ_EIO, "told to stop");
}

static enum mbj_rc stage_step(struct stream_mend *mend, struct mbj_error *err)
{
	switch (mend->stage) {
	case MEND_ASK:
		return ask_step(mend, err);
	case MEND_FETCH:
		return fetch_step(mend, err);
	case MEND_JUDGE:
		return judge_step(mend, err);
	case MEND_MAKE:
		return make_step(mend, err);
	case MEND_OVER:
		return MBJ_OK;
	}
	MBJ_UNREACHABLE();
}

/* Some of it.  Of all, what another occasion may find otherwise is left. */
static enum mbj_rc some_do(struct stream_mend *mend, struct mbj_error *err)
{
	struct mbj_watermark applied;
	enum mend_stage stage;
	enum mbj_rc rc;

	/* Groups may have come since the last one. */
	rc = mbj_store_applied(mend->store, &applied, err);
	if (rc < 0)
		return rc;
	mend->resync.end = applied.lsn;
	stage = mend->stage;
	rc = stage_step(mend, err);
	/* What was judged is of use even where the link breaks right now. */
	if (rc == MBJ_OK && stage == MEND_JUDGE && mend->stage == MEND_MAKE)
		rc = make_step(mend, err);
	if (mend->is_one || mend->stream->link.is_lost ||
	    !(is_its_own(rc) || is_passing(rc)))
		return rc;
	mend->is_stuck = true;
	over(mend);
	return MBJ_OK;
}

/* For whoever looks at the board. */
static void progress_note(const struct stream_mend *mend)
{
	stream_resync_note(mend->stream,
			   mend->stage == MEND_OVER
				   ? MBJ_RESYNC_NONE
				   : (enum mbj_resync_stage)mend->stage,
			   false, mend->part.here, mend->size);
}

enum mbj_rc stream_mend_step(struct stream_mend *mend, bool *ret_is_over,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	*ret_is_over = false;
	if (stream_link_is_told(&mend->stream->link))
		return told_to_stop(mend, err);
	rc = some_do(mend, err);
	progress_note(mend);
	*ret_is_over = mend->stage == MEND_OVER;
	return rc;
}

/* Who is to be made again, and what of. */
static enum mbj_rc mend_prepare(struct stream_mend *mend, struct mbj_error *err)
{
	struct mbj_watermark applied;
	enum mbj_rc rc;

	rc = mbj_store_applied(mend->store, &applied, err);
	if (rc == MBJ_OK && !mend->is_one)
		rc = waiting_load(mend->store, &mend->list, err);
	if (rc < 0)
		return rc;
	mend->began = applied.lsn;
	if (mend->is_one || (mend->list.count > 0 && mend_is_due(mend->memory)))
		return some_do(mend, err);
	mend->stage = MEND_OVER;
	return MBJ_OK;
}

enum mbj_rc stream_mend_begin(struct source_stream *s, struct mbj_id account,
			      struct stream_mend **ret_mend,
			      struct mbj_error *err)
{
	bool is_one = !mbj_id_is_root(account);
	struct stream_mend *mend;
	enum mbj_rc rc;

	*ret_mend = NULL;
	if (s->version < STREAM_VERSION_PARTS && !is_one)
		return MBJ_OK;
	if (s->version < STREAM_VERSION_PARTS)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the source speaks version %u of the "
				     "stream, in which it has no snapshots for "
				     "an account: a newer mbj there has",
				     s->version);
	mend = mbj_calloc(1, sizeof(*mend));
	if (mend == NULL)
		return mbj_error_nomem(err);
	mend->stream = s;
	mend->store = s->store;
	mend->is_one = is_one;
	mend->memory = is_one ? &mend->one_memory
			      : &mbj_store_retry_pace(s->store)->mend;
	mend->resync = (struct resync){.store = s->store,
				       .account = account,
				       .source = "the source",
				       .is_asked = is_one};
	snapshot_part_init(&mend->part, s->store);
	rc = mend_prepare(mend, err);
	progress_note(mend);
	if (rc < 0 || mend->stage == MEND_OVER)
		stream_mend_end(&mend);
	*ret_mend = mend;
	return rc;
}

uint64_t stream_mend_count(const struct stream_mend *mend)
{
	return mend->count;
}

bool stream_mend_is_wanting(const struct stream_mend *mend)
{
	return mend->is_wanting;
}

const struct resync *stream_mend_resync(const struct stream_mend *mend)
{
	return &mend->resync;
}

const struct mbj_resync_result *
stream_mend_result(const struct stream_mend *mend)
{
	return &mend->result;
}

void stream_mend_end(struct stream_mend **mend)
{
	struct stream_mend *m = *mend;

	if (m == NULL)
		return;
	m->stage = MEND_OVER;
	progress_note(m);
	snapshot_part_close(&m->part);
	snapshot_judging_end(&m->judging);
	waiting_done(&m->list);
	mbj_free(m);
	*mend = NULL;
}
