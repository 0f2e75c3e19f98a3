/*
 * The log of contents: what many producers store one by one is in one file
 * with one sync, before it has its name; its own file is synced later, with
 * many others (docs/decisions/0057).
 *
 *	deferred --flush--> in the log, named --rest--> on disk by itself
 *
 * Of two files one is written, from its begin to its end; a full one is at rest
 * once the file system was synced, and is written again from its begin.
 * Opening the folder writes what is in them anew, whatever is there
 * (blob_redo.c).
 *
 *	file	header, zeroes to 4,096, batches, zeroes
 *	header	 0   8  "mbjblob1"
 *		 8  16  generation: batches of another one are none
 *		24  36  zero
 *		60   4  CRC32C of the above
 *	batch	each begins at a multiple of 4,096
 *		 0   4  "BLOB"
 *		 4   4  CRC32C of what follows, records and all
 *		 8  16  generation
 *		24   8  bytes of the records
 *		32  32  zero
 *	record	 0   4  bytes of the file
 *		 4   1  form, as blob_form.c has it
 *		 5   3  zero
 *		 8   8  bytes of the blob
 *		16  32  digest
 *		48      the file, zeroes to a multiple of 8
 *
 * A batch is whole or was promised to nobody.  None shares a block with another
 * one, so none is written over, but by the next generation.
 *
 * Not here: when a round flushes (blob_bulk.c).
 *
 * Invariants:
 *   1. a name that stands for bytes which may not be on disk by themselves has
 *      them in a file that is not free;
 *   2. a file becomes free when all that it has is on disk by itself, and what
 *      it has is known by then: no batch comes to a full one, and the round
 *      that wrote the last one is over;
 *   3. a log that failed takes nothing more.
 *
 * Threads: a round's leader writes, one at a time; one at a time rests; the
 * rest under the mutex.
 */
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "blob_priv.h"

enum {
	RESERVE_STEP = 1 << 20,
	ZERO_PIECE = 64 << 10,
	BATCH_MAX = 1 << 20,
	REST_RETRY_MS = 1000,
};

static const char *const file_names[BLOB_LOG_FILES] = {"log.0", "log.1"};

enum mbj_rc blob_log_path(const struct mbj_blobs *blobs, unsigned number,
			  char path[MBJ_PATH_TEXT_MAX], struct mbj_error *err)
{
	return mbj_path_join(path, blobs->dir, file_names[number], err);
}

bool mbj_blobs_are_logged(const struct mbj_sys *sys, const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];

	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		if (mbj_path_join(path, dir, file_names[i], NULL) == MBJ_OK &&
		    mbj_path_exists(sys, path))
			return true;
	return false;
}

/* -------------------------------------------------------- begin and end */

enum mbj_rc blob_log_init(struct blob_log *log, struct mbj_error *err)
{
	pthread_condattr_t attr;
	bool is_made = pthread_condattr_init(&attr) == 0;

	if (!is_made)
		return mbj_error_nomem(err);
	is_made = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 &&
		  pthread_cond_init(&log->is_due, &attr) == 0;
	(void)pthread_condattr_destroy(&attr);
	if (!is_made)
		return mbj_error_nomem(err);
	mbj_buf_init(&log->batch, BATCH_MAX);
	mbj_buf_init(&log->spare, BATCH_MAX);
	log->fs = MBJ_FILE_CLOSED;
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		log->files[i].file = MBJ_FILE_CLOSED;
	return MBJ_OK;
}

void blob_log_done(struct blob_log *log)
{
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		mbj_file_close(&log->files[i].file);
	mbj_file_close(&log->fs);
	mbj_buf_done(&log->batch);
	mbj_buf_done(&log->spare);
	(void)pthread_cond_destroy(&log->is_due);
}

/*
 * What could not be written is told to each descriptor of the file system that
 * was open before, and else to whoever asks first, in any process: so this one
 * is open before anything is in the log.
 */
static bool fs_open(struct mbj_blobs *blobs)
{
	struct blob_log *log = &blobs->log;

	return log->fs.fd >= 0 ||
	       mbj_file_open(blobs->sys, blobs->dir, O_RDONLY | O_DIRECTORY,
			     &log->fs, NULL) == MBJ_OK;
}

void mbj_blobs_log(struct mbj_blobs *blobs, uint64_t size)
{
	MBJ_ASSERT(blobs->is_owner && blobs->deferred_count == 0);
	MBJ_ASSERT(size == 0 || size >= 2 * BLOB_LOG_BLOCK);
	blobs->log.is_on = size > 0 && fs_open(blobs);
	blobs->log.size = blobs->log.is_on ? size : 0;
	blobs->log.is_halted = false;
}

/* ----------------------------------------------------------------- adding */

/* Under the mutex: will there be a file for a batch of that size? */
static bool log_has_room(const struct blob_log *log, uint64_t size)
{
	const struct blob_log_file *file = &log->files[log->current];

	if (blob_log_room(size) > log->size - BLOB_LOG_BLOCK)
		return false;
	if (file->state == BLOB_LOG_CURRENT &&
	    file->at + blob_log_room(size) <= log->size)
		return true;
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		if (log->files[i].state == BLOB_LOG_FREE)
			return true;
	return false;
}

bool blob_log_takes(const struct mbj_blobs *blobs, uint64_t file_size)
{
	const struct blob_log *log = &blobs->log;
	uint64_t size = log->batch.n > 0 ? log->batch.n : BLOB_LOG_BATCH_SIZE;

	if (!log->is_on || blobs->is_bulk || file_size > BLOB_LOG_CONTENT_MAX)
		return false;
	size += blob_log_record_size(file_size);
	return size <= BATCH_MAX && log_has_room(log, size);
}

enum mbj_rc blob_log_add(struct mbj_blobs *blobs,
			 const struct blob_deferred *deferred,
			 struct mbj_bytes bytes, struct mbj_error *err)
{
	struct mbj_buf *batch = &blobs->log.batch;
	size_t before = batch->n;
	enum mbj_rc rc;

	if (before == 0)
		mbj_buf_put_zero(batch, BLOB_LOG_BATCH_SIZE);
	mbj_buf_put_u32(batch, (uint32_t)bytes.n);
	mbj_buf_put_u8(batch, (uint8_t)deferred->form);
	mbj_buf_put_zero(batch, 3);
	mbj_buf_put_u64(batch, deferred->size);
	mbj_buf_put(batch, deferred->digest.b, MBJ_HASH_SIZE);
	mbj_buf_put_bytes(batch, bytes);
	mbj_buf_put_zero(batch, (size_t)blob_log_record_size(bytes.n) -
					BLOB_LOG_RECORD_SIZE - bytes.n);
	rc = mbj_buf_ok(batch, err);
	if (rc == MBJ_OK)
		return MBJ_OK;
	/* What others have in it is as it was. */
	batch->failed = MBJ_OK;
	batch->n = before;
	return rc;
}

/* ---------------------------------------------------------------- flushing */

/* Under the mutex: no batch comes to it any more. */
static void file_fill(struct blob_log *log, struct blob_log_file *file)
{
	file->state = BLOB_LOG_FULL;
	(void)pthread_cond_broadcast(&log->is_due);
}

/* Under the mutex: where a batch of that size goes; NULL: nowhere. */
static struct blob_log_file *file_pick(struct blob_log *log, uint64_t size)
{
	struct blob_log_file *file = &log->files[log->current];

	if (file->state == BLOB_LOG_CURRENT) {
		if (file->at + blob_log_room(size) <= log->size)
			return file;
		file_fill(log, file);
	}
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++) {
		if (log->files[i].state != BLOB_LOG_FREE)
			continue;
		log->current = i;
		log->files[i].state = BLOB_LOG_CURRENT;
		log->files[i].at = BLOB_LOG_BLOCK;
		return &log->files[i];
	}
	return NULL;
}

static enum mbj_rc header_write(struct mbj_blobs *blobs,
				struct blob_log_file *file,
				struct mbj_error *err)
{
	uint8_t header[BLOB_LOG_HEADER_SIZE] = BLOB_LOG_MAGIC;
	enum mbj_rc rc;

	rc = mbj_id_generate(blobs->sys, &file->generation, err);
	if (rc < 0)
		return rc;
	memcpy(header + 8, file->generation.b, MBJ_ID_SIZE);
	mbj_store_u32(header + BLOB_LOG_HEADER_SIZE - 4,
		      mbj_crc32c(0, mbj_bytes_make(header,
						   BLOB_LOG_HEADER_SIZE - 4)));
	return mbj_file_write(&file->file, 0, header, sizeof(header), err);
}

/*
 * Under the mutex, as where a folder is made: no other sync of where it has its
 * entry fails meanwhile, and keeps to itself that it did.
 */
static enum mbj_rc file_make(struct mbj_blobs *blobs,
			     struct blob_log_file *file, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	file->reserved = 0;
	rc = blob_log_path(blobs, (unsigned)(file - blobs->log.files), path,
			   err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(blobs->sys, path,
				   O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW,
				   &file->file, err);
	if (rc < 0)
		return rc;
	rc = mbj_dir_sync(blobs->sys, blobs->dir, err);
	if (rc < 0)
		mbj_file_close(&file->file);
	return rc;
}

/* Zeroes ahead: a sync of what is written over them changes no metadata. */
static enum mbj_rc file_reserve(const struct mbj_blobs *blobs,
				struct blob_log_file *file, uint64_t end,
				struct mbj_error *err)
{
	static const uint8_t zeroes[ZERO_PIECE];
	uint64_t target = end + RESERVE_STEP;
	enum mbj_rc rc = MBJ_OK;

	if (end <= file->reserved)
		return MBJ_OK;
	if (target > blobs->log.size)
		target = blobs->log.size;
	for (uint64_t at = end; rc == MBJ_OK && at < target;) {
		size_t n = target - at < ZERO_PIECE ? (size_t)(target - at)
						    : ZERO_PIECE;

		rc = mbj_file_write(&file->file, at, zeroes, n, err);
		at += n;
	}
	if (rc == MBJ_OK)
		file->reserved = target;
	return rc;
}

static void batch_seal(const struct blob_log_file *file, struct mbj_buf *batch)
{
	memcpy(batch->p, BLOB_LOG_BATCH_MAGIC, 4);
	memcpy(batch->p + 8, file->generation.b, MBJ_ID_SIZE);
	mbj_store_u64(batch->p + 24, batch->n - BLOB_LOG_BATCH_SIZE);
	mbj_store_u32(batch->p + 4,
		      mbj_crc32c(0,
				 mbj_bytes_make(batch->p + 8, batch->n - 8)));
}

/* Without the mutex. */
static enum mbj_rc batch_write(struct mbj_blobs *blobs,
			       struct blob_log_file *file, uint64_t at,
			       struct mbj_buf *batch, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (at == BLOB_LOG_BLOCK)
		rc = header_write(blobs, file, err);
	if (rc == MBJ_OK)
		rc = file_reserve(blobs, file, at + blob_log_room(batch->n),
				  err);
	if (rc < 0)
		return rc;
	batch_seal(file, batch);
	rc = mbj_file_write(&file->file, at, batch->p, batch->n, err);
	return rc < 0 ? rc : mbj_file_sync(&file->file, err);
}

/* Under the mutex, which is let go meanwhile; the next one has its place. */
static enum mbj_rc batch_flush(struct mbj_blobs *blobs,
			       struct blob_log_file *file,
			       struct mbj_buf *batch, struct mbj_error *err)
{
	uint64_t at = file->at;
	enum mbj_rc rc = MBJ_OK;

	file->at = at + blob_log_room(batch->n);
	if (file->file.fd < 0)
		rc = file_make(blobs, file, err);
	if (rc < 0)
		return rc;
	pthread_mutex_unlock(&blobs->mutex);
	rc = batch_write(blobs, file, at, batch, err);
	pthread_mutex_lock(&blobs->mutex);
	return rc;
}

bool blob_log_flush(struct mbj_blobs *blobs)
{
	struct blob_log *log = &blobs->log;
	struct mbj_buf batch = log->batch;
	struct blob_log_file *file;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs->is_rounding);
	if (!log->is_on || batch.n == 0)
		return false;
	file = file_pick(log, batch.n);
	log->batch = log->spare;
	if (file != NULL) {
		rc = batch_flush(blobs, file, &batch, NULL);
		log->is_on = rc == MBJ_OK;
		file->is_doubtful |= blobs->deferred_doubtful > 0;
		if (rc < 0)
			file_fill(log, file);
	}
	mbj_buf_clear(&batch);
	log->spare = batch;
	return file != NULL && log->is_on;
}

void blob_log_doubt(struct mbj_blobs *blobs)
{
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		blobs->log.files[i].is_doubtful |=
			blobs->log.files[i].state != BLOB_LOG_FREE;
}

/* ----------------------------------------------------------------- resting */

static struct blob_log_file *file_due(struct blob_log *log)
{
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		if (log->files[i].state == BLOB_LOG_FULL)
			return &log->files[i];
	return NULL;
}

/* A second later than it failed. */
static void retry_wait(struct mbj_blobs *blobs)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += REST_RETRY_MS / 1000;
	while (!blobs->log.is_halted &&
	       pthread_cond_timedwait(&blobs->log.is_due, &blobs->mutex,
				      &until) != ETIMEDOUT)
		continue;
	blobs->log.is_failing = false;
}

bool mbj_blobs_rest_wait(struct mbj_blobs *blobs)
{
	struct blob_log *log = &blobs->log;
	bool is_halted;

	pthread_mutex_lock(&blobs->mutex);
	if (log->is_failing)
		retry_wait(blobs);
	while (!log->is_halted && file_due(log) == NULL)
		(void)pthread_cond_wait(&log->is_due, &blobs->mutex);
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

/* Under the mutex: a full file is written from its begin again. */
static void file_free(struct blob_log_file *file)
{
	static const uint8_t zeroes[BLOB_LOG_HEADER_SIZE];

	file->state = BLOB_LOG_FREE;
	/* Best effort: what is written anew once more is the same. */
	if (file->file.fd >= 0 &&
	    mbj_file_write(&file->file, 0, zeroes, sizeof(zeroes), NULL) < 0)
		mbj_file_close(&file->file);
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
	const struct mbj_sys *sys = blobs->sys;

	for (unsigned i = 0; i < BLOB_LOG_FILES; i++) {
		struct blob_log_file *file = &blobs->log.files[i];
		char path[MBJ_PATH_TEXT_MAX];

		if (file->state != BLOB_LOG_FREE || file->file.fd < 0)
			continue;
		mbj_file_close(&file->file);
		if (blob_log_path(blobs, i, path, NULL) == MBJ_OK)
			(void)sys->unlink(sys->ctx, path);
	}
}

enum mbj_rc mbj_blobs_rest(struct mbj_blobs *blobs, bool is_all,
			   struct mbj_error *err)
{
	struct blob_log *log = &blobs->log;
	struct blob_log_file *file;
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	while (log->is_resting || (is_all && blobs->is_rounding))
		(void)pthread_cond_wait(&blobs->sync_over, &blobs->mutex);
	log->is_resting = true;
	file = &log->files[log->current];
	if (is_all && file->state == BLOB_LOG_CURRENT)
		file_fill(log, file);
	while (rc == MBJ_OK && (file = file_due(log)) != NULL)
		rc = file_rest(blobs, file, err);
	log->is_failing = rc < 0;
	if (is_all && rc == MBJ_OK)
		files_remove(blobs);
	log->is_resting = false;
	(void)pthread_cond_broadcast(&blobs->sync_over);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}
