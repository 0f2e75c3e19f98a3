/*
 * The log of contents: what many producers store one by one is in one file
 * with one sync, before it has its name; its own file is synced later, with
 * many others (docs/decisions/0057).
 *
 *	deferred --flush--> in the log, named --rest--> on disk by itself
 *
 * Of two files one is written, from its begin to its end; a full one is at rest
 * once the file system was synced, and is written again from its begin
 * (blob_rest.c).  Opening the folder writes what is in them anew, whatever is
 * there (blob_redo.c).
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
 *   2. no batch comes to a full file;
 *   3. a log that failed takes nothing before it came to rest, and has paused;
 *   4. what is kept free of the disk is none of its zeroes'.
 *
 * Threads: a round's leader writes, one at a time; the rest under the mutex.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "blob_priv.h"

enum {
	RESERVE_STEP = 1 << 20,
	ZERO_PIECE = 64 << 10,
	BATCH_MAX = 1 << 20,
	PAUSE_MIN_MS = 1000,
	PAUSE_MAX_MS = 32000,
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

void blob_pause_begin(struct blob_pause *pause)
{
	uint32_t ms = pause->ms == 0 ? PAUSE_MIN_MS : 2 * pause->ms;

	pause->ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
	pause->until_ms = mbj_monotonic_ms() + pause->ms;
}

void blob_pause_end(struct blob_pause *pause)
{
	*pause = (struct blob_pause){0};
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
	if (pthread_mutex_init(&log->reason_mutex, NULL) != 0) {
		(void)pthread_cond_destroy(&log->is_due);
		return mbj_error_nomem(err);
	}
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
	(void)pthread_mutex_destroy(&log->reason_mutex);
	(void)pthread_cond_destroy(&log->is_due);
}

/*
 * What could not be written is told to each descriptor of the file system that
 * was open before, and else to whoever asks first, in any process: so this one
 * is open before anything is in the log.
 */
static bool fs_open(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct blob_log *log = &blobs->log;

	return log->fs.fd >= 0 ||
	       mbj_file_open(blobs->sys, blobs->dir, O_RDONLY | O_DIRECTORY,
			     &log->fs, err) == MBJ_OK;
}

void blob_log_fail(struct blob_log *log, const struct mbj_error *why)
{
	MBJ_ASSERT(why->rc < 0);
	pthread_mutex_lock(&log->reason_mutex);
	memcpy(log->reason, why->message, sizeof(log->reason));
	pthread_mutex_unlock(&log->reason_mutex);
	log->failures++;
}

/* Under the mutex: it failed, and is tried again later. */
static void log_stop(struct blob_log *log, const struct mbj_error *why)
{
	log->is_on = false;
	blob_log_fail(log, why);
	blob_pause_begin(&log->stop);
}

void mbj_blobs_log(struct mbj_blobs *blobs, uint64_t size)
{
	struct blob_log *log = &blobs->log;
	struct mbj_error why;
	bool is_open;

	MBJ_ASSERT(blobs->is_owner);
	MBJ_ASSERT(size == 0 || size >= 2 * BLOB_LOG_BLOCK);
	pthread_mutex_lock(&blobs->mutex);
	/* Who writes a batch has the size without the mutex. */
	while (blobs->is_rounding)
		(void)pthread_cond_wait(&blobs->sync_over, &blobs->mutex);
	log->size = size;
	log->is_halted = false;
	blob_pause_end(&log->stop);
	blob_pause_end(&log->rest);
	is_open = size > 0 && fs_open(blobs, &why);
	log->is_on = is_open;
	if (size > 0 && !is_open)
		log_stop(log, &why);
	pthread_mutex_unlock(&blobs->mutex);
}

void mbj_blobs_log_look(struct mbj_blobs *blobs,
			struct mbj_blobs_log_look *ret_look)
{
	struct blob_log *log = &blobs->log;

	ret_look->is_on = log->is_on && !log->is_failing;
	ret_look->failures = log->failures;
	pthread_mutex_lock(&log->reason_mutex);
	memcpy(ret_look->reason, log->reason, sizeof(log->reason));
	pthread_mutex_unlock(&log->reason_mutex);
}

/* Of the disk, beside what is kept free. */
static bool has_room(const struct mbj_blobs *blobs, uint64_t size)
{
	uint64_t left = mbj_space_left(blobs->sys, blobs->dir);

	return left >= blobs->space_min && left - blobs->space_min >= size;
}

void blob_log_resume(struct mbj_blobs *blobs)
{
	struct blob_log *log = &blobs->log;
	uint64_t lacking = 0;

	if (!blob_log_is_stopped(log) ||
	    mbj_monotonic_ms() < log->stop.until_ms)
		return;
	for (unsigned i = 0; i < BLOB_LOG_FILES; i++)
		if (log->files[i].reserved < log->size)
			lacking += log->size - log->files[i].reserved;
	log->is_on = has_room(blobs, lacking) && fs_open(blobs, NULL);
	/* That is no failure more. */
	if (!log->is_on)
		blob_pause_begin(&log->stop);
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

void blob_log_fill(struct blob_log *log, struct blob_log_file *file)
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
		blob_log_fill(log, file);
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
				   O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW |
					   O_NONBLOCK,
				   &file->file, err);
	if (rc < 0)
		return rc;
	file->is_there = true;
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
	if (!has_room(blobs, target - file->reserved))
		return mbj_error_set(err, MBJ_ENOSPC,
				     "no room for %s beside what is "
				     "kept free",
				     file->file.path);
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
	enum mbj_rc rc;

	rc = file_reserve(blobs, file, at + blob_log_room(batch->n), err);
	if (rc == MBJ_OK && at == BLOB_LOG_BLOCK)
		rc = header_write(blobs, file, err);
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
	/* Zeroes may be among what was lost. */
	if (rc < 0 && rc != MBJ_ENOSPC)
		file->reserved = 0;
	pthread_mutex_lock(&blobs->mutex);
	return rc;
}

bool blob_log_flush(struct mbj_blobs *blobs)
{
	struct blob_log *log = &blobs->log;
	struct mbj_buf batch = log->batch;
	struct blob_log_file *file;
	struct mbj_error why;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs->is_rounding);
	/* What was for a log that is off meanwhile goes without it. */
	if (!log->is_on)
		mbj_buf_clear(&log->batch);
	if (!log->is_on || batch.n == 0)
		return false;
	file = file_pick(log, batch.n);
	log->batch = log->spare;
	if (file != NULL) {
		rc = batch_flush(blobs, file, &batch, &why);
		file->is_doubtful |= blobs->deferred_doubtful > 0;
		if (rc < 0) {
			log_stop(log, &why);
			blob_log_fill(log, file);
		} else {
			blob_pause_end(&log->stop);
		}
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
