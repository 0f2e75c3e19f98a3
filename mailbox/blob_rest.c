/*
 * How the log of contents comes to rest: what a full file of it has is on disk
 * by itself once the file system was synced; then it is written again from its
 * begin.  See blob_log.c.
 *
 *	free --batch--> current --full, or failed--> full --rest--> free
 *
 * A log that failed is tried again here, too.
 *
 * Invariants:
 *   1. a file becomes free when all that it has is on disk by itself, and what
 *      it has is known by then: the round that wrote the last batch is over;
 *   2. what failed is tried again after a pause, which becomes longer: a disk
 *      that does not get well is not worn, nor is a full one asked all the
 *      time.
 *
 * Threads: one at a time rests.
 */
#define _DEFAULT_SOURCE /* CLOCK_MONOTONIC */

#include <errno.h>
#include <time.h>

#include <mbj/check.h>

#include "blob_priv.h"

static struct blob_log_file *file_due(struct blob_log *log)
{
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		if (log->files[i].state == BLOB_LOG_FULL)
			return &log->files[i];
	return NULL;
}

/* ---------------------------------------------------------------- waiting */

/*
 * When there is something to do; INT64_MAX: not before somebody says so.  What
 * does not come to rest keeps the log off, however long that has paused.
 */
static int64_t due_ms(struct blob_log *log)
{
	if (file_due(log) != NULL)
		return log->rest.until_ms;
	return blob_log_is_stopped(log) ? log->stop.until_ms : INT64_MAX;
}

bool mbj_blobs_rest_wait(struct mbj_blobs *blobs)
{
	struct blob_log *log = &blobs->log;
	bool is_halted;
	int64_t due;

	pthread_mutex_lock(&blobs->mutex);
	while (!log->is_halted && (due = due_ms(log)) > mbj_monotonic_ms()) {
		struct timespec until = {.tv_sec = (time_t)(due / 1000),
					 .tv_nsec = due % 1000 * 1000000};

		if (due == INT64_MAX)
			(void)pthread_cond_wait(&log->is_due, &blobs->mutex);
		else
			(void)pthread_cond_timedwait(&log->is_due,
						     &blobs->mutex, &until);
	}
	is_halted = log->is_halted;
	pthread_mutex_unlock(&blobs->mutex);
	return !is_halted;
}

void mbj_blobs_rest_halt(struct mbj_blobs *blobs)
{
	pthread_mutex_lock(&blobs->mutex);
	blobs->log.is_halted = true;
	(void)pthread_cond_broadcast(&blobs->log.is_due);
	pthread_mutex_unlock(&blobs->mutex);
}

/* ---------------------------------------------------------------- resting */

/* Under the mutex: a full file is written from its begin again. */
static void file_free(struct blob_log_file *file)
{
	static const uint8_t zeroes[BLOB_LOG_HEADER_SIZE];

	file->state = BLOB_LOG_FREE;
	/* Best effort: what is written anew once more is the same. */
	if (file->file.fd >= 0 &&
	    mbj_file_write(&file->file, 0, zeroes, sizeof(zeroes), NULL) < 0) {
		mbj_file_close(&file->file);
		file->reserved = 0;
	}
}

/* Without the mutex.  *ret_is_told: what failed is the sync itself. */
static enum mbj_rc file_settle(struct mbj_blobs *blobs, unsigned number,
			       bool is_doubtful, bool *ret_is_told,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (is_doubtful)
		rc = blob_log_redo(blobs, number, err);
	*ret_is_told = rc == MBJ_OK;
	return rc < 0 ? rc : mbj_file_sync_fs(&blobs->log.fs, err);
}

/*
 * Under the mutex, which is let go meanwhile: all that a full file has is on
 * disk by itself.  After a sync that failed nobody knows what of it is, and
 * another one would not tell: it is written anew before.
 */
static enum mbj_rc file_rest(struct mbj_blobs *blobs,
			     struct blob_log_file *file, struct mbj_error *err)
{
	unsigned number = (unsigned)(file - blobs->log.files);
	bool was_doubtful = file->is_doubtful;
	bool is_told = false;
	struct mbj_error why;
	enum mbj_rc rc;

	file->is_doubtful = false;
	pthread_mutex_unlock(&blobs->mutex);
	rc = file_settle(blobs, number, was_doubtful, &is_told, &why);
	pthread_mutex_lock(&blobs->mutex);
	if (rc < 0 && is_told)
		blob_doubt_all(blobs, &why);
	else if (rc < 0)
		file->is_doubtful = true;
	/* One that runs may have been told what was to be told here. */
	blob_syncs_wait(blobs);
	if (rc < 0)
		return blob_tell(&why, err);
	if (file->is_doubtful)
		return blob_tell(&blobs->doubt, err);
	file_free(file);
	return MBJ_OK;
}

/* Under the mutex: nothing is in them that anybody needs. */
static void files_remove(struct mbj_blobs *blobs)
{
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++) {
		struct blob_log_file *file = &blobs->log.files[i];
		char path[MBJ_PATH_TEXT_MAX];
		enum mbj_rc rc;

		if (file->state != BLOB_LOG_FREE || !file->is_there)
			continue;
		mbj_file_close(&file->file);
		file->reserved = 0;
		rc = blob_log_path(blobs, i, path, NULL);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(blobs->sys, path, NULL);
		file->is_there = rc < 0 && rc != MBJ_ENOTFOUND;
	}
}

enum mbj_rc mbj_blobs_rest(struct mbj_blobs *blobs, bool is_all,
			   struct mbj_error *err)
{
	struct blob_log *log = &blobs->log;
	struct blob_log_file *file;
	struct mbj_error why;
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	while (log->is_resting || (is_all && blobs->is_rounding))
		(void)pthread_cond_wait(&blobs->sync_over, &blobs->mutex);
	log->is_resting = true;
	file = &log->files[log->current];
	if (is_all && file->state == BLOB_LOG_CURRENT)
		blob_log_fill(log, file);
	while (rc == MBJ_OK && (file = file_due(log)) != NULL)
		rc = file_rest(blobs, file, &why);
	if (is_all && rc == MBJ_OK)
		files_remove(blobs);
	log->is_failing = rc < 0;
	if (rc < 0) {
		blob_log_fail(log, &why);
		blob_pause_begin(&log->rest);
	} else {
		blob_pause_end(&log->rest);
		blob_log_resume(blobs);
	}
	log->is_resting = false;
	(void)pthread_cond_broadcast(&blobs->sync_over);
	pthread_mutex_unlock(&blobs->mutex);
	return rc < 0 ? blob_tell(&why, err) : MBJ_OK;
}
