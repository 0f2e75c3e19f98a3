/*
 * How blobs are read: piece by piece, compared with their names at the end;
 * and which ones there are.  See mbj/blob.h.
 *
 * Invariants:
 *   1. whoever was given the last byte of a blob was told whether all of them
 *      are the blob's;
 *   2. a scan holds the names of one folder.
 *
 * Threads: see mbj/blob.h.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/hash.h>

#include "blob_priv.h"

enum {
	FOLDER_NAMES_MAX = 64 << 20,
	NAME_SIZE = MBJ_BLOB_TEXT_SIZE - 3, /* without its folder and NUL */
};

struct mbj_blob_reader {
	struct mbj_file file;
	struct blob_source source;
	struct mbj_sha256 *sha;
	struct mbj_hash digest;
	bool is_judged; /* the end was reached */
	enum mbj_rc rc; /* the failure that stays */
	struct mbj_error error;
};

/* ----------------------------------------------------------------- reader */

/* Without a file. */
static enum mbj_rc reader_new(const struct mbj_hash *digest,
			      struct mbj_blob_reader **ret_reader,
			      struct mbj_error *err)
{
	struct mbj_blob_reader *reader;
	enum mbj_rc rc;

	reader = mbj_calloc(1, sizeof(*reader));
	if (reader == NULL)
		return mbj_error_nomem(err);
	reader->file = MBJ_FILE_CLOSED;
	reader->digest = *digest;
	rc = mbj_sha256_new(&reader->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(reader->sha, err);
	if (rc == MBJ_OK)
		*ret_reader = reader;
	else
		mbj_blob_reader_close(&reader);
	return rc;
}

/* What only waits for its name gets it. */
static enum mbj_rc blob_name_wait(struct mbj_blobs *blobs,
				  const struct mbj_hash *digest,
				  struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	if (blob_is_logged(blobs, digest))
		rc = blob_bulk_round(blobs, err);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

enum mbj_rc mbj_blob_reader_open(struct mbj_blobs *blobs,
				 const struct mbj_hash *digest,
				 struct mbj_blob_reader **ret_reader,
				 uint64_t *ret_size, struct mbj_error *err)
{
	struct mbj_blob_reader *reader = NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && digest != NULL);
	MBJ_ASSERT(ret_reader != NULL && ret_size != NULL);
	rc = reader_new(digest, &reader, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(reader != NULL);
	rc = blob_name_wait(blobs, digest, err);
	if (rc == MBJ_OK)
		rc = blob_find(blobs, digest, &reader->file, &reader->source,
			       err);
	if (rc < 0) {
		mbj_blob_reader_close(&reader);
		return rc;
	}
	*ret_size = reader->source.size;
	*ret_reader = reader;
	return MBJ_OK;
}

void mbj_blob_reader_close(struct mbj_blob_reader **reader)
{
	if (reader == NULL || *reader == NULL)
		return;
	blob_source_done(&(*reader)->source);
	mbj_file_close(&(*reader)->file);
	mbj_sha256_free(&(*reader)->sha);
	mbj_free(*reader);
	*reader = NULL;
}

static enum mbj_rc reader_judge(struct mbj_blob_reader *reader,
				struct mbj_error *err)
{
	struct mbj_hash found;
	enum mbj_rc rc;

	rc = mbj_sha256_end(reader->sha, &found, err);
	if (rc < 0)
		return rc;
	reader->is_judged = true;
	if (memcmp(found.b, reader->digest.b, MBJ_HASH_SIZE) != 0)
		return blob_damaged(reader->file.path,
				    "is not what its name says", err);
	return MBJ_OK;
}

static enum mbj_rc reader_next(struct mbj_blob_reader *reader, void *p,
			       size_t n, size_t *ret_got, struct mbj_error *err)
{
	struct blob_source *source = &reader->source;
	uint64_t left = source->size - source->at;
	enum mbj_rc rc;

	if (n > left)
		n = (size_t)left;
	rc = blob_source_read(source, p, n, ret_got, err);
	if (rc < 0)
		return rc;
	if (*ret_got < n)
		return blob_damaged(reader->file.path,
				    "became shorter while it was read", err);
	rc = mbj_sha256_update(reader->sha, mbj_bytes_make(p, n), err);
	if (rc == MBJ_OK && source->at == source->size && !reader->is_judged)
		rc = reader_judge(reader, err);
	return rc;
}

enum mbj_rc mbj_blob_reader_read(struct mbj_blob_reader *reader, void *p,
				 size_t n, size_t *ret_got,
				 struct mbj_error *err)
{
	size_t got = 0;

	MBJ_ASSERT(reader != NULL && ret_got != NULL);
	MBJ_ASSERT(p != NULL || n == 0);
	if (reader->rc == MBJ_OK)
		reader->rc = reader_next(reader, p, n, &got, &reader->error);
	if (reader->rc == MBJ_OK)
		*ret_got = got;
	else if (err != NULL)
		*err = reader->error;
	return reader->rc;
}

static enum mbj_rc reader_spend(struct mbj_blob_reader *reader,
				struct mbj_error *err)
{
	uint8_t *piece = mbj_alloc(BLOB_PIECE_SIZE);
	enum mbj_rc rc = MBJ_OK;

	if (piece == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK && !reader->is_judged) {
		size_t got;

		rc = mbj_blob_reader_read(reader, piece, BLOB_PIECE_SIZE, &got,
					  err);
	}
	mbj_free(piece);
	return rc;
}

enum mbj_rc mbj_blob_verify(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest, uint64_t size,
			    struct mbj_error *err)
{
	struct mbj_blob_reader *reader = NULL;
	uint64_t found = 0;
	enum mbj_rc rc;

	rc = mbj_blob_reader_open(blobs, digest, &reader, &found, err);
	if (rc < 0)
		return rc;
	if (found != size)
		rc = blob_damaged(reader->file.path,
				  "is not as long as its blob", err);
	else
		rc = reader_spend(reader, err);
	mbj_blob_reader_close(&reader);
	return rc;
}

/* Is its file of that form there, and the blob? */
static enum mbj_rc form_judge(const struct mbj_blobs *blobs,
			      const struct mbj_hash *digest,
			      enum blob_form form, bool *ret_is_whole,
			      struct mbj_error *err)
{
	struct mbj_blob_reader *reader = NULL;
	enum mbj_rc rc;

	rc = reader_new(digest, &reader, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(reader != NULL);
	rc = blob_form_open(blobs, digest, form, &reader->file, &reader->source,
			    err);
	if (rc == MBJ_OK)
		rc = reader_spend(reader, err);
	mbj_blob_reader_close(&reader);
	*ret_is_whole = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT ? MBJ_OK : rc;
}

enum mbj_rc mbj_blob_spare(const struct mbj_blobs *blobs,
			   const struct mbj_hash *digest, bool *ret_is_spare,
			   bool *ret_is_packed, struct mbj_error *err)
{
	bool is_whole = false;
	enum mbj_rc rc;

	rc = form_judge(blobs, digest, BLOB_PACKED, &is_whole, err);
	*ret_is_packed = !is_whole;
	if (rc == MBJ_OK && !is_whole)
		rc = form_judge(blobs, digest, BLOB_PLAIN, &is_whole, err);
	*ret_is_spare = is_whole;
	return rc;
}

/* ------------------------------------------------------------------- scan */

struct mbj_blobs_scan {
	const struct mbj_blobs *blobs;
	unsigned folder; /* the one that comes next */
	struct mbj_buf names;
	size_t at;
	bool has_last;
	struct mbj_hash last; /* that was given */
};

enum mbj_rc mbj_blobs_scan_begin(struct mbj_blobs *blobs,
				 struct mbj_blobs_scan **ret_scan,
				 struct mbj_error *err)
{
	struct mbj_blobs_scan *scan;

	MBJ_ASSERT(blobs != NULL);
	MBJ_ASSERT(ret_scan != NULL);
	scan = mbj_calloc(1, sizeof(*scan));
	if (scan == NULL)
		return mbj_error_nomem(err);
	scan->blobs = blobs;
	mbj_buf_init(&scan->names, FOLDER_NAMES_MAX);
	*ret_scan = scan;
	return MBJ_OK;
}

void mbj_blobs_scan_end(struct mbj_blobs_scan **scan)
{
	if (scan == NULL || *scan == NULL)
		return;
	mbj_buf_done(&(*scan)->names);
	mbj_free(*scan);
	*scan = NULL;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The digest of a file's name in a folder; false: it is no blob's. */
static bool name_parse(unsigned folder, const char *name,
		       struct mbj_hash *ret_digest)
{
	size_t n = strlen(name);

	if (n != NAME_SIZE &&
	    (n != NAME_SIZE + sizeof(MBJ_BLOB_PACKED_END) - 1 ||
	     strcmp(name + NAME_SIZE, MBJ_BLOB_PACKED_END) != 0))
		return false;
	ret_digest->b[0] = (uint8_t)folder;
	for (size_t i = 1; i < MBJ_HASH_SIZE; i++) {
		int high = digit_value(name[2 * i - 2]);
		int low = digit_value(name[2 * i - 1]);

		if (high < 0 || low < 0)
			return false;
		ret_digest->b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* The names of the next folder, none where it is not there. */
static enum mbj_rc scan_fill(struct mbj_blobs_scan *scan, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_folder_path(scan->blobs, scan->folder, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_list(scan->blobs->sys, path, &scan->names, err);
	if (rc == MBJ_ENOTFOUND) {
		mbj_buf_clear(&scan->names);
		rc = MBJ_OK;
	}
	if (rc < 0)
		return rc;
	scan->folder++;
	scan->at = 0;
	return MBJ_OK;
}

enum mbj_rc mbj_blobs_scan_next(struct mbj_blobs_scan *scan,
				struct mbj_hash *ret_digest, bool *ret_is_there,
				struct mbj_error *err)
{
	struct mbj_hash digest;

	MBJ_ASSERT(scan != NULL);
	MBJ_ASSERT(ret_digest != NULL && ret_is_there != NULL);
	for (;;) {
		while (scan->at < scan->names.n) {
			const char *name =
				(const char *)scan->names.p + scan->at;

			scan->at += strlen(name) + 1;
			/* Both forms of one are side by side. */
			if (!name_parse(scan->folder - 1, name, &digest) ||
			    (scan->has_last && memcmp(scan->last.b, digest.b,
						      MBJ_HASH_SIZE) == 0))
				continue;
			scan->has_last = true;
			scan->last = digest;
			*ret_digest = digest;
			*ret_is_there = true;
			return MBJ_OK;
		}
		if (scan->folder == BLOB_FOLDERS) {
			*ret_is_there = false;
			return MBJ_OK;
		}
		enum mbj_rc rc = scan_fill(scan, err);

		if (rc < 0)
			return rc;
	}
}

bool mbj_blobs_scan_is_twin(const struct mbj_blobs_scan *scan)
{
	const char *next = (const char *)scan->names.p + scan->at;
	struct mbj_hash digest;

	return scan->at < scan->names.n &&
	       name_parse(scan->folder - 1, next, &digest) &&
	       memcmp(digest.b, scan->last.b, MBJ_HASH_SIZE) == 0;
}
