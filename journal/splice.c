/*
 * Mending a journal by groups of another store; see mbj/repair.h.
 *
 *	lock, both stores' superblocks -> walk (splice_walk.c)
 *	  -> put the segments that were made again into their places
 *
 * Invariants:
 *   1. nothing that has a segment's name is touched before the whole journal
 *      was walked and everything is pinned.
 *
 * Threads: the caller's, alone with the store.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include <mbj/check.h>
#include <mbj/repair.h>
#include <mbj/snapshot.h>
#include <mbj/trim.h>

#include "log_impl.h"
#include "splice_impl.h"
#include "store_impl.h"

/*
 * Everything is right: the mended segments get their names, or, once the mark
 * is there, the next run gives them.
 */
static enum mbj_rc segments_place(const struct splice *s, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (s->mended->count > 0)
		rc = splice_mark_write(s->sys, s->dir, s->mended, err);
	if (rc == MBJ_OK && s->mended->count > 0)
		rc = splice_mark_carry_out(s->sys, s->dir, s->mended, err);
	return rc;
}

/* Nothing came of them. */
static void segments_drop(const struct splice *s)
{
	if (splice_mark_exists(s->sys, s->dir))
		return;
	for (size_t i = 0; i < s->mended->count; i++) {
		const struct mbj_mended_segment *piece =
			&s->mended->segments[i];

		splice_mended_drop(s->sys, s->dir,
				   &(struct segment_entry){piece->number,
							   piece->first});
	}
}

static enum mbj_rc published_read(struct splice *s, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	bool is_damaged;
	enum mbj_rc rc;

	rc = mbj_path_join(path, s->dir, LOG_PUBLISHED_NAME, err);
	if (rc < 0 || !mbj_path_exists(s->sys, path))
		return rc;
	rc = mbj_file_open(s->sys, path, O_RDONLY, &file, err);
	if (rc == MBJ_OK)
		rc = log_published_read(&file, &s->published, &is_damaged, err);
	mbj_file_close(&file);
	return rc;
}

static enum mbj_rc splice_run(struct splice *s, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = published_read(s, err);
	if (s->told.v < s->published.lsn.v)
		s->told = s->published.lsn;
	/* A mark from before a power cut is old; what is further counts. */
	if (s->known.lsn.v > s->published.lsn.v)
		s->published = s->known;
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&s->sha, err);
	if (rc == MBJ_OK)
		rc = segment_list_load_gaps(&s->list, s->sys, s->dir, &s->gaps,
					    err);
	/* A mark is gone for good before what it may name is written. */
	if (rc == MBJ_OK && !s->is_dry_run)
		rc = mbj_dir_sync(s->sys, s->dir, err);
	if (rc == MBJ_OK)
		rc = splice_walk(s, err);
	/* What is said of the end stays until somebody has more of it. */
	if (rc == MBJ_OK && s->mended->unsure.v == 0 &&
	    s->end.lsn.v < s->doubt.v)
		s->mended->unsure = s->doubt;
	if (rc == MBJ_OK && !s->is_dry_run)
		rc = segments_place(s, err);
	if (rc < 0 && !s->is_dry_run)
		segments_drop(s);
	return rc;
}

static enum mbj_rc journal_run(const struct splice_job *job,
			       struct mbj_lsn doubt, struct mbj_mended *mended,
			       struct mbj_error *err)
{
	struct splice *s = mbj_calloc(1, sizeof(*s));
	enum mbj_rc rc;

	if (s == NULL)
		return mbj_error_nomem(err);
	s->sys = job->sys;
	s->dir = job->dir;
	s->from = job->from;
	s->is_dry_run = job->is_dry_run;
	s->identity = job->identity;
	s->source = job->source;
	s->source_is_twin = job->source_is_twin;
	s->source_is_astray = job->source_is_astray;
	s->source_is_later = job->source_is_later;
	s->known = job->known;
	s->told = job->told;
	s->doubt = doubt;
	s->mended = mended;
	segment_list_init(&s->list);
	segment_view_init(&s->view);
	splice_local_init(&s->local);
	splice_file_init(&s->out, s->sys, s->dir, job->segment_size,
			 s->is_dry_run);
	rc = splice_run(s, err);
	splice_file_done(&s->out);
	splice_local_done(&s->local);
	segment_view_done(&s->view);
	segment_list_done(&s->list);
	mbj_sha256_free(&s->sha);
	mbj_free(s);
	return rc;
}

/* What was begun; the walk behind it may find more to do, or be refused. */
static enum mbj_rc begun_end(const struct splice_job *job,
			     struct mbj_mended *mended, struct mbj_error *err)
{
	if (!splice_mark_exists(job->sys, job->dir))
		return MBJ_OK;
	if (job->is_dry_run)
		return log_mending_refuse(job->sys, job->dir, err);
	return splice_mark_carry_out(job->sys, job->dir, mended, err);
}

/* What this run did, behind what it ended; more is empty then. */
static enum mbj_rc mended_join(struct mbj_mended *mended,
			       struct mbj_mended *more, struct mbj_error *err)
{
	const size_t count = mended->count + more->count;
	const struct mbj_mended ended = *mended;
	void *segments = mended->segments;
	enum mbj_rc rc;

	if (mended->count == 0) {
		*mended = *more;
		*more = ended;
		return MBJ_OK;
	}
	rc = mbj_array_reserve(&segments, &mended->capacity, count,
			       sizeof(*mended->segments), 2 * SEGMENT_COUNT_MAX,
			       err);
	mended->segments = segments;
	if (rc < 0 || more->count == 0)
		return rc;
	memcpy(mended->segments + mended->count, more->segments,
	       more->count * sizeof(*more->segments));
	mended->count = count;
	return MBJ_OK;
}

enum mbj_rc splice_journal(const struct splice_job *job,
			   struct mbj_mended *mended, struct mbj_error *err)
{
	struct mbj_mended more = {.count = 0};
	struct mbj_lsn doubt;
	enum mbj_rc joined;
	enum mbj_rc rc;

	rc = begun_end(job, mended, err);
	if (rc < 0 || job->source == NULL)
		return rc;
	doubt = mended->unsure;
	rc = journal_run(job, doubt, &more, err);
	if (rc == MBJ_OK || more.unsure.v > 0)
		doubt = more.unsure;
	joined = mended_join(mended, &more, rc == MBJ_OK ? err : NULL);
	mended->unsure = doubt;
	mbj_mended_done(&more);
	return rc == MBJ_OK ? joined : rc;
}

/* Whoever wrote there may have left what holds up who opens it. */
static enum mbj_rc source_look(const struct splice_job *job,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	mode_t mode = 0;
	uid_t uid;
	enum mbj_rc rc;

	rc = mbj_path_join(path, job->from, SUPERBLOCK_NAME, err);
	if (rc < 0 || job->sys->stat(job->sys->ctx, path, &mode, &uid) < 0)
		return rc; /* what opens it says why */
	if (S_ISREG(mode))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID, "%s is no file", path);
}

static enum mbj_rc source_open(struct splice_job *job, struct mbj_error *err)
{
	struct mbj_identity theirs;
	enum mbj_rc rc;

	if (job->from == NULL)
		return MBJ_OK;
	rc = source_look(job, err);
	if (rc < 0)
		return rc;
	rc = mbj_identity_load(job->sys, job->from, &theirs, err);
	if (rc < 0)
		return rc;
	if (!mbj_id_equal(theirs.lineage, job->identity.lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is of another lineage: its groups are "
				     "not those of this store; nothing was "
				     "changed",
				     job->from);
	job->source_is_twin = theirs.role == MBJ_STORE_PRIMARY &&
			      theirs.epoch.v <= job->identity.epoch.v;
	job->source_is_astray =
		theirs.epoch.v < job->identity.epoch.v ||
		(theirs.epoch.v == job->identity.epoch.v &&
		 !mbj_id_equal(theirs.epoch_owner, job->identity.epoch_owner));
	job->source_is_later = theirs.epoch.v > job->identity.epoch.v;
	return mbj_store_log_reader(job->sys, job->from, &job->source, err);
}

/*
 * Groups up to a primary's own snapshot were durable; a replica's may be its
 * source's, of groups that it never had.  The newest one that can be read.
 */
static void known_by_snapshot(const char *dir, struct splice_job *job)
{
	struct mbj_snapshot *snapshot = NULL;
	const struct mbj_snapshot_info *info;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_lsn *lsns = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	if (job->identity.role != MBJ_STORE_PRIMARY)
		return;
	rc = mbj_snapshots_list(job->sys, dir, &lsns, &count, NULL);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		if (mbj_snapshot_path(path, dir, lsns[i], NULL) < 0 ||
		    mbj_snapshot_open(job->sys, path, &snapshot, NULL) < 0)
			continue;
		info = mbj_snapshot_info_get(snapshot);
		if (mbj_id_equal(info->lineage, job->identity.lineage) &&
		    info->watermark.lsn.v > job->known.lsn.v)
			job->known =
				(struct mbj_log_end){info->watermark.lsn,
						     info->watermark.chain};
		mbj_snapshot_close(&snapshot);
		break;
	}
	mbj_free(lsns);
}

/*
 * What the state holds was durable.  One that cannot be read, or failed when it
 * was used, tells nothing, and a dry run leaves it closed.  Nobody has compared
 * one that a kill left: it gets no seal by being looked at.
 */
static void known_by_state(const char *dir, struct splice_job *job)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_watermark watermark;
	struct mbj_state *state = NULL;
	struct mbj_txn *txn = NULL;
	char suspect[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, STORE_STATE_NAME, NULL);
	if (rc == MBJ_OK)
		rc = mbj_path_join(suspect, path, STORE_SUSPECT_NAME, NULL);
	if (rc < 0 || job->is_dry_run || !mbj_path_exists(job->sys, path) ||
	    mbj_path_exists(job->sys, suspect))
		return;
	rc = mbj_state_open(job->sys, path, job->identity.lineage, &options,
			    &state, NULL);
	if (rc == MBJ_OK && !mbj_state_was_sealed(state))
		mbj_state_leave_unsealed(state);
	if (rc == MBJ_OK)
		rc = mbj_txn_begin_read(state, &txn, NULL);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(txn, &watermark, NULL);
	mbj_txn_abort(&txn);
	mbj_state_close(&state);
	if (rc < 0)
		return;
	job->known = (struct mbj_log_end){watermark.lsn, watermark.chain};
	job->told = watermark.lsn;
}

/* The store is ours. */
static enum mbj_rc store_mend(const char *dir, struct splice_job *job,
			      struct mbj_mended *mended, struct mbj_error *err)
{
	char journal[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_identity_load(job->sys, dir, &job->identity, err);
	/* A replica that has received nothing has lost nothing. */
	if (rc < 0 || mbj_id_is_root(job->identity.lineage))
		return rc;
	job->dir = journal;
	rc = mbj_path_join(journal, dir, STORE_JOURNAL_NAME, err);
	if (rc == MBJ_OK)
		rc = source_open(job, err);
	if (rc == MBJ_OK) {
		known_by_state(dir, job);
		known_by_snapshot(dir, job);
		rc = splice_journal(job, mended, err);
	}
	mbj_log_reader_close(&job->source);
	return rc;
}

static bool is_begun(const struct mbj_sys *sys, const char *dir)
{
	char journal[MBJ_PATH_TEXT_MAX];

	return mbj_path_join(journal, dir, STORE_JOURNAL_NAME, NULL) ==
		       MBJ_OK &&
	       splice_mark_exists(sys, journal);
}

enum mbj_rc mbj_journal_mend(const struct mbj_sys *sys, const char *dir,
			     const char *from, bool is_dry_run,
			     struct mbj_mended *ret_mended,
			     struct mbj_error *err)
{
	struct splice_job job = {
		.sys = sys != NULL ? sys : mbj_sys_posix(),
		.from = from,
		.segment_size = MBJ_LOG_OPTIONS_DEFAULT.segment_size,
		.is_dry_run = is_dry_run,
	};
	struct mbj_file lock = MBJ_FILE_CLOSED;
	struct mbj_identity identity;
	enum mbj_rc rc;

	*ret_mended = (struct mbj_mended){.count = 0};
	if (from == NULL && !is_begun(job.sys, dir))
		return MBJ_OK;
	rc = store_owner_check(job.sys, dir, err);
	/* Asked before the lock, so that no lock file is left elsewhere. */
	if (rc == MBJ_OK)
		rc = mbj_identity_load(job.sys, dir, &identity, err);
	if (rc == MBJ_OK)
		rc = store_lock_take(job.sys, dir, &lock, err);
	if (rc == MBJ_OK)
		rc = store_mend(dir, &job, ret_mended, err);
	store_lock_drop(&lock);
	return rc;
}

void mbj_mended_done(struct mbj_mended *mended)
{
	mbj_free(mended->segments);
	*mended = (struct mbj_mended){.count = 0};
}
