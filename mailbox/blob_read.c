/*
 * How blobs are read: piece by piece, compared with their names at the end.
 * See mbj/blob.h.
 *
 * Invariant: whoever was given the last byte of a blob was told whether all of
 * them are the blob's.
 *
 * Threads: see mbj/blob.h.
 */
#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/hash.h>

#include "blob_priv.h"

/*
 * A pack that goes while we look was compacted, by another process; more than
 * a few times in a row is no chance.
 */
enum { LOOKS_MAX = 8 };

struct mbj_blob_reader {
	struct mbj_blobs *blobs;
	struct blob_source source;
	struct mbj_sha256 *sha;
	struct mbj_hash digest;
	uint64_t size;
	uint64_t at;
	bool is_judged; /* the end was reached */
	enum mbj_rc rc; /* the failure that stays */
	struct mbj_error error;
};

/* ----------------------------------------------------------------- source */

/* *ret_is_gone: it was in a pack that is not there any more. */
static enum mbj_rc pack_source(struct mbj_blobs *blobs,
			       const struct mbj_hash *digest,
			       struct blob_source *source, bool *ret_is_there,
			       bool *ret_is_gone, struct mbj_error *err)
{
	struct pack_place place = {NULL, 0, 0};
	enum mbj_rc rc;

	*ret_is_gone = false;
	pthread_mutex_lock(&blobs->mutex);
	rc = packs_find(blobs, digest, &place, ret_is_there, err);
	if (rc == MBJ_OK && *ret_is_there) {
		rc = pack_use(blobs, place.pack, err);
		source->pack = rc == MBJ_OK ? place.pack : NULL;
		source->entry = (struct pack_entry){
			.digest = *digest,
			.at = (uint32_t)(place.at / PACK_ALIGN),
			.size = place.size,
		};
		source->at = place.at + PACK_RECORD_SIZE;
		source->size = place.size;
		*ret_is_gone = rc == MBJ_ENOTFOUND;
	}
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

static enum mbj_rc file_source(const struct mbj_blobs *blobs,
			       const struct mbj_hash *digest,
			       struct blob_source *source,
			       struct mbj_error *err)
{
	enum mbj_rc rc = blob_path(blobs, digest, source->file.path, err);

	if (rc == MBJ_OK)
		rc = mbj_file_open(blobs->sys, source->file.path,
				   O_RDONLY | O_NOFOLLOW, &source->file, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_size(&source->file, &source->size, err);
	if (rc < 0)
		mbj_file_close(&source->file);
	return rc;
}

static enum mbj_rc source_again(struct mbj_blobs *blobs, bool is_thorough,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	pthread_mutex_lock(&blobs->mutex);
	rc = packs_look_again(blobs, is_thorough, err);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

enum mbj_rc blob_source_open(struct mbj_blobs *blobs,
			     const struct mbj_hash *digest,
			     struct blob_source *ret_source,
			     struct mbj_error *err)
{
	bool is_thorough = false;

	*ret_source = (struct blob_source){.file = MBJ_FILE_CLOSED};
	for (int i = 0; i < LOOKS_MAX; i++) {
		bool is_there = false, is_gone = false;
		enum mbj_rc rc;

		rc = pack_source(blobs, digest, ret_source, &is_there, &is_gone,
				 err);
		if (rc == MBJ_OK && !is_there)
			rc = file_source(blobs, digest, ret_source, err);
		if (rc != MBJ_ENOTFOUND)
			return rc;
		if (blobs->is_owner || (is_thorough && !is_gone))
			break;
		is_thorough = i > 0 || is_gone;
		rc = source_again(blobs, is_thorough, err);
		if (rc < 0)
			return rc;
	}
	return blob_missing(blobs, digest, err);
}

void blob_source_close(struct mbj_blobs *blobs, struct blob_source *source)
{
	mbj_file_close(&source->file);
	source->file.fd = -1;
	if (source->pack == NULL)
		return;
	pthread_mutex_lock(&blobs->mutex);
	pack_unuse(blobs, source->pack);
	pthread_mutex_unlock(&blobs->mutex);
	source->pack = NULL;
}

enum mbj_rc blob_source_damaged(const struct mbj_blobs *blobs,
				const struct blob_source *source,
				const char *what, struct mbj_error *err)
{
	if (source->pack == NULL)
		return blob_damaged(source->file.path, what, err);
	return pack_damaged(blobs, source->pack, pack_entry_at(&source->entry),
			    &source->entry.digest, what, err);
}

/* ----------------------------------------------------------------- reader */

enum mbj_rc mbj_blob_reader_open(struct mbj_blobs *blobs,
				 const struct mbj_hash *digest,
				 struct mbj_blob_reader **ret_reader,
				 uint64_t *ret_size, struct mbj_error *err)
{
	struct mbj_blob_reader *reader;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL && digest != NULL);
	MBJ_ASSERT(ret_reader != NULL && ret_size != NULL);
	reader = mbj_calloc(1, sizeof(*reader));
	if (reader == NULL)
		return mbj_error_nomem(err);
	reader->blobs = blobs;
	reader->source.file = MBJ_FILE_CLOSED;
	reader->digest = *digest;
	rc = mbj_sha256_new(&reader->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(reader->sha, err);
	if (rc == MBJ_OK)
		rc = blob_source_open(blobs, digest, &reader->source, err);
	if (rc < 0) {
		mbj_blob_reader_close(&reader);
		return rc;
	}
	reader->size = reader->source.size;
	*ret_size = reader->size;
	*ret_reader = reader;
	return MBJ_OK;
}

void mbj_blob_reader_close(struct mbj_blob_reader **reader)
{
	if (reader == NULL || *reader == NULL)
		return;
	blob_source_close((*reader)->blobs, &(*reader)->source);
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
		return blob_source_damaged(reader->blobs, &reader->source,
					   "is not what its name says", err);
	return MBJ_OK;
}

static enum mbj_rc reader_next(struct mbj_blob_reader *reader, void *p,
			       size_t n, size_t *ret_got, struct mbj_error *err)
{
	struct blob_source *source = &reader->source;
	uint64_t left = reader->size - reader->at;
	enum mbj_rc rc = MBJ_OK;

	if (n > left)
		n = (size_t)left;
	if (source->pack != NULL && reader->at == 0)
		rc = pack_record_check(reader->blobs, source->pack,
				       &source->entry, err);
	if (rc == MBJ_OK)
		rc = mbj_file_read(blob_source_file(source),
				   source->at + reader->at, p, n, ret_got, err);
	if (rc < 0)
		return rc;
	if (*ret_got < n)
		return blob_source_damaged(reader->blobs, source,
					   "became shorter while it was read",
					   err);
	rc = mbj_sha256_update(reader->sha, mbj_bytes_make(p, n), err);
	reader->at += n;
	if (rc == MBJ_OK && reader->at == reader->size && !reader->is_judged)
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
		rc = blob_source_damaged(blobs, &reader->source,
					 "is not as long as its blob", err);
	else
		rc = reader_spend(reader, err);
	mbj_blob_reader_close(&reader);
	return rc;
}
