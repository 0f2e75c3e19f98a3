/*
 * What a log of contents has, written anew; see blob_log.c.
 *
 * Who was killed, or lost power, left names whose bytes may not be on disk, and
 * the log that has them.  Nothing that is there is relied on: each content gets
 * a file of its own once more, as many that come at once do (blob_bulk.c).
 *
 * Invariants:
 *   1. a batch that is not whole is passed over: it was promised to nobody;
 *   2. nothing gets a digest's name that is not what it says.
 *
 * Threads: one, at opening; beside others where a sync failed.
 */
#define _DEFAULT_SOURCE /* S_ISREG */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "blob_priv.h"

/* ---------------------------------------------------------------- reading */

bool blob_log_header_read(struct mbj_bytes log, struct mbj_id *ret_generation)
{
	static const uint8_t magic[] = BLOB_LOG_MAGIC;

	if (log.n < BLOB_LOG_BLOCK || memcmp(log.p, magic, 8) != 0 ||
	    mbj_load_u32(log.p + BLOB_LOG_HEADER_SIZE - 4) !=
		    mbj_crc32c(0,
			       mbj_bytes_make(log.p, BLOB_LOG_HEADER_SIZE - 4)))
		return false;
	memcpy(ret_generation->b, log.p + 8, MBJ_ID_SIZE);
	return true;
}

/* The records of the batch that begins there, if a whole one does. */
static bool batch_read(struct mbj_bytes log, struct mbj_id generation,
		       uint64_t at, struct mbj_bytes *ret_records)
{
	const uint8_t *p = log.p + at;
	uint64_t left = log.n - at;
	uint64_t size;

	if (left < BLOB_LOG_BATCH_SIZE ||
	    memcmp(p, BLOB_LOG_BATCH_MAGIC, 4) != 0 ||
	    memcmp(p + 8, generation.b, MBJ_ID_SIZE) != 0)
		return false;
	size = mbj_load_u64(p + 24);
	if (size > left - BLOB_LOG_BATCH_SIZE ||
	    mbj_load_u32(p + 4) !=
		    mbj_crc32c(0,
			       mbj_bytes_make(p + 8,
					      (size_t)size +
						      BLOB_LOG_BATCH_SIZE - 8)))
		return false;
	*ret_records = mbj_bytes_make(p + BLOB_LOG_BATCH_SIZE, (size_t)size);
	return true;
}

/* False: there is none, or what there is is none. */
static bool record_read(struct mbj_bytes *records, struct blob_record *ret)
{
	const uint8_t *p = records->p;
	uint64_t size, whole;

	if (records->n < BLOB_LOG_RECORD_SIZE)
		return false;
	size = mbj_load_u32(p);
	whole = blob_log_record_size(size);
	if (size > BLOB_LOG_CONTENT_MAX || whole > records->n ||
	    p[4] >= BLOB_FORMS)
		return false;
	ret->form = (enum blob_form)p[4];
	ret->size = mbj_load_u64(p + 8);
	memcpy(ret->digest.b, p + 16, MBJ_HASH_SIZE);
	ret->bytes = mbj_bytes_make(p + BLOB_LOG_RECORD_SIZE, (size_t)size);
	records->p += whole;
	records->n -= (size_t)whole;
	return true;
}

bool blob_log_next(struct mbj_bytes log, struct mbj_id generation,
		   struct blob_log_walk *walk, struct blob_record *ret_record)
{
	for (;;) {
		if (record_read(&walk->records, ret_record))
			return true;
		if (walk->at >= log.n)
			return false;
		walk->records.n = 0;
		if (batch_read(log, generation, walk->at, &walk->records))
			walk->at += blob_log_room(BLOB_LOG_BATCH_SIZE +
						  walk->records.n);
		else
			walk->at += BLOB_LOG_BLOCK;
	}
}

/* ---------------------------------------------------------------- writing */

/* Is it what the record says? */
static enum mbj_rc fresh_judge(struct mbj_file *file,
			       const struct blob_record *record,
			       bool *ret_is_good, struct mbj_error *err)
{
	struct blob_source source;
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash digest;
	uint8_t *piece = mbj_alloc(BLOB_PIECE_SIZE);
	size_t got = BLOB_PIECE_SIZE;
	enum mbj_rc rc;

	*ret_is_good = false;
	if (piece == NULL)
		return mbj_error_nomem(err);
	rc = blob_source_begin(file, record->form, &source, err);
	if (rc < 0) {
		mbj_free(piece);
		return rc == MBJ_ECORRUPT ? MBJ_OK : rc;
	}
	source.path = file->path;
	rc = mbj_sha256_new(&sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(sha, err);
	while (rc == MBJ_OK && got == BLOB_PIECE_SIZE) {
		rc = blob_source_read(&source, piece, BLOB_PIECE_SIZE, &got,
				      err);
		if (rc == MBJ_OK)
			rc = mbj_sha256_update(sha, mbj_bytes_make(piece, got),
					       err);
	}
	if (rc == MBJ_OK)
		rc = mbj_sha256_end(sha, &digest, err);
	*ret_is_good = rc == MBJ_OK && source.size == record->size &&
		       memcmp(digest.b, record->digest.b, MBJ_HASH_SIZE) == 0;
	blob_source_done(&source);
	mbj_sha256_free(&sha);
	mbj_free(piece);
	return rc == MBJ_ECORRUPT ? MBJ_OK : rc;
}

/* In new/, and deferred with many others. */
static enum mbj_rc record_redo(struct mbj_blobs *blobs,
			       const struct blob_record *record,
			       struct mbj_error *err)
{
	struct blob_deferred deferred = {.digest = record->digest,
					 .size = record->size,
					 .form = record->form};
	struct mbj_file file = MBJ_FILE_CLOSED;
	uint32_t doubts = blobs->doubts;
	bool is_deferred = false;
	enum mbj_rc rc;

	rc = blob_fresh_open(blobs, &file, &deferred.fresh, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_write(&file, 0, record->bytes.p, record->bytes.n, err);
	if (rc == MBJ_OK)
		rc = fresh_judge(&file, record, &is_deferred, err);
	if (rc == MBJ_OK && is_deferred) {
		pthread_mutex_lock(&blobs->mutex);
		is_deferred = !blob_is_deferred(blobs, &record->digest);
		/* As writer_defer's. */
		if (blobs->doubts != doubts)
			rc = blob_tell(&blobs->doubt, err);
		else if (is_deferred)
			rc = blob_defer(blobs, &deferred, err);
		pthread_mutex_unlock(&blobs->mutex);
	}
	if (rc < 0 || !is_deferred)
		(void)blobs->sys->unlink(blobs->sys->ctx, file.path);
	mbj_file_close(&file);
	return rc == MBJ_OK ? blob_pending_bound(blobs, err) : rc;
}

/*
 * Where there is no room for many beside those that they replace, those come to
 * their places first.
 */
static enum mbj_rc record_redo_scarce(struct mbj_blobs *blobs,
				      const struct blob_record *record,
				      struct mbj_error *err)
{
	enum mbj_rc rc = record_redo(blobs, record, err);

	if (rc != MBJ_ENOSPC)
		return rc;
	rc = mbj_blobs_sync(blobs, err);
	return rc < 0 ? rc : record_redo(blobs, record, err);
}

static enum mbj_rc bytes_redo(struct mbj_blobs *blobs, struct mbj_bytes log,
			      struct mbj_error *err)
{
	struct blob_log_walk walk = {.at = BLOB_LOG_BLOCK};
	struct blob_record record;
	uint64_t drops = blobs->drops;
	struct mbj_id generation;
	enum mbj_rc rc = MBJ_OK, synced;

	if (!blob_log_header_read(log, &generation))
		return MBJ_OK;
	while (rc == MBJ_OK && blob_log_next(log, generation, &walk, &record))
		rc = record_redo_scarce(blobs, &record, err);
	/* Nothing is left deferred, whatever failed. */
	synced = mbj_blobs_sync(blobs, rc < 0 ? NULL : err);
	rc = rc < 0 ? rc : synced;
	if (rc < 0 || blobs->drops == drops)
		return rc;
	/* In a round that somebody else had to do with, and was told of. */
	pthread_mutex_lock(&blobs->mutex);
	rc = blob_tell(&blobs->drop, err);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

/* What is there is a file: of what is not nobody knows what it has. */
static enum mbj_rc log_look(const struct mbj_sys *sys, const char *path,
			    struct mbj_error *err)
{
	mode_t mode = S_IFREG;
	uid_t uid = 0;
	int rc = sys->stat(sys->ctx, path, &mode, &uid);

	if (rc < 0 && rc != -ENOENT)
		return mbj_error_errno(err, -rc, "cannot look at", path);
	if (S_ISREG(mode))
		return MBJ_OK;
	return blob_damaged(path,
			    "is no file, and named as a log of contents: "
			    "move it away",
			    err);
}

enum mbj_rc blob_log_redo(struct mbj_blobs *blobs, unsigned number,
			  struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct mbj_buf log;
	enum mbj_rc rc;

	rc = blob_log_path(blobs, number, path, err);
	if (rc == MBJ_OK)
		rc = log_look(blobs->sys, path, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&log, BLOB_LOG_SIZE_MAX);
	rc = mbj_file_load(blobs->sys, path, BLOB_LOG_SIZE_MAX, &log, &why);
	if (rc == MBJ_OK)
		rc = bytes_redo(blobs, mbj_buf_view(&log), &why);
	else if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	mbj_buf_done(&log);
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc blob_logs_redo(struct mbj_blobs *blobs, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = MBJ_OK;

	for (unsigned i = 0; rc == MBJ_OK && i < BLOB_LOG_FILES; i++)
		rc = blob_log_redo(blobs, i, err);
	/* Not before all of both is there: what is twice is in either. */
	for (unsigned i = 0; rc == MBJ_OK && i < BLOB_LOG_FILES; i++) {
		rc = blob_log_path(blobs, i, path, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(blobs->sys, path, err);
		if (rc == MBJ_ENOTFOUND)
			rc = MBJ_OK;
	}
	return rc;
}
