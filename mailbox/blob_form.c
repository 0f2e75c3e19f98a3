/*
 * The two forms of a blob's file: its bytes as they are, or one frame of zstd
 * behind a head; finding the file, and reading the bytes whichever it is.
 *
 *	ab/cdef...	the bytes
 *	ab/cdef....zst	size u64, the file's own length u64, CRC32C u32 of both;
 *			one frame that has the bytes
 *
 * Not here: who judges the digest (blob_read.c, blob_write.c), how files come
 * to be packed (blob_pack.c).
 *
 * Invariants:
 *   1. of a packed file come exactly as many bytes as its head says, or
 *      MBJ_ECORRUPT: no more are made, nor is room taken by what it says;
 *   2. where a crash left both forms, either is the blob: whoever asks for one
 *      finds a file that is not known to be damaged, if there is one;
 *   3. as of a plain file, its length tells of a packed one that was cut.
 *
 * Threads: a source from one at a time.
 */
#include <fcntl.h>
#include <stdio.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/pack.h>

#include "blob_priv.h"

/* ------------------------------------------------------------------ paths */

enum mbj_rc blob_path(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest, enum blob_form form,
		      char path[MBJ_PATH_TEXT_MAX], struct mbj_error *err)
{
	char text[MBJ_BLOB_TEXT_SIZE];
	char name[MBJ_BLOB_TEXT_SIZE + sizeof(MBJ_BLOB_PACKED_END)];
	char folder[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_folder_path(blobs, digest->b[0], folder, err);
	if (rc < 0)
		return rc;
	mbj_blob_print(digest, text);
	(void)snprintf(name, sizeof(name), "%s%s", text + 2,
		       form == BLOB_PACKED ? MBJ_BLOB_PACKED_END : "");
	return mbj_path_join(path, folder, name, err);
}

enum blob_form blob_form_other(enum blob_form form)
{
	return form == BLOB_PLAIN ? BLOB_PACKED : BLOB_PLAIN;
}

bool blob_is_packing(const struct mbj_blobs *blobs)
{
	return !blobs->is_owner || blobs->level > 0;
}

/* ------------------------------------------------------------------- head */

enum { HEAD_FILE_SIZE = 8, HEAD_CRC = 16 };

void blob_head_put(uint64_t size, uint64_t file_size,
		   uint8_t head[BLOB_HEAD_SIZE])
{
	mbj_store_u64(head, size);
	mbj_store_u64(head + HEAD_FILE_SIZE, file_size);
	mbj_store_u32(head + HEAD_CRC,
		      mbj_crc32c(0, mbj_bytes_make(head, HEAD_CRC)));
}

static enum mbj_rc head_read(struct mbj_file *file, uint64_t *ret_size,
			     struct mbj_error *err)
{
	uint8_t head[BLOB_HEAD_SIZE];
	uint64_t file_size = 0;
	size_t got;
	enum mbj_rc rc;

	rc = mbj_file_read(file, 0, head, sizeof(head), &got, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(file, &file_size, err);
	if (rc < 0)
		return rc;
	if (got < sizeof(head) ||
	    mbj_load_u32(head + HEAD_CRC) !=
		    mbj_crc32c(0, mbj_bytes_make(head, HEAD_CRC)))
		return blob_damaged(file->path, "has no head of a packed blob",
				    err);
	if (mbj_load_u64(head + HEAD_FILE_SIZE) != file_size)
		return blob_damaged(file->path, "is not as long as it says",
				    err);
	*ret_size = mbj_load_u64(head);
	if (*ret_size > MBJ_BLOB_MAX)
		return blob_damaged(file->path,
				    "says that it is longer than a blob can be",
				    err);
	return MBJ_OK;
}

/* ---------------------------------------------------------------- finding */

enum mbj_rc blob_source_begin(struct mbj_file *file, enum blob_form form,
			      struct blob_source *ret_source,
			      struct mbj_error *err)
{
	struct blob_source source = {.file = file,
				     .path = file->path,
				     .form = form};
	enum mbj_rc rc;

	rc = form == BLOB_PACKED ? head_read(file, &source.size, err)
				 : mbj_file_size(file, &source.size, err);
	if (rc == MBJ_OK)
		*ret_source = source;
	return rc;
}

enum mbj_rc blob_form_open(const struct mbj_blobs *blobs,
			   const struct mbj_hash *digest, enum blob_form form,
			   struct mbj_file *file,
			   struct blob_source *ret_source,
			   struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = blob_path(blobs, digest, form, path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(blobs->sys, path, O_RDONLY | O_NOFOLLOW,
				   file, err);
	if (rc < 0)
		return rc;
	rc = blob_source_begin(file, form, ret_source, err);
	if (rc < 0)
		mbj_file_close(file);
	return rc;
}

enum mbj_rc blob_find(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest, struct mbj_file *file,
		      struct blob_source *ret_source, struct mbj_error *err)
{
	enum blob_form form = blob_is_packing(blobs) ? BLOB_PACKED : BLOB_PLAIN;
	struct mbj_error why;
	enum mbj_rc first, rc;

	first = blob_form_open(blobs, digest, form, file, ret_source, &why);
	rc = first;
	if (first == MBJ_ENOTFOUND || first == MBJ_ECORRUPT)
		rc = blob_form_open(blobs, digest, blob_form_other(form), file,
				    ret_source, err);
	else if (first < 0 && err != NULL)
		*err = why;
	if (rc != MBJ_ENOTFOUND)
		return rc;
	/* It may have come in the first one since, and gone in the other. */
	if (first == MBJ_ENOTFOUND) {
		rc = blob_form_open(blobs, digest, form, file, ret_source, err);
		return rc == MBJ_ENOTFOUND ? blob_missing(blobs, digest, err)
					   : rc;
	}
	/* The damaged one is all there is. */
	if (err != NULL)
		*err = why;
	return first;
}

enum mbj_rc mbj_blob_stored_size(struct mbj_blobs *blobs,
				 const struct mbj_hash *digest,
				 uint64_t *ret_size, struct mbj_error *err)
{
	uint64_t sum = 0;
	bool is_there = false;

	for (int form = 0; form < BLOB_FORMS; form++) {
		struct mbj_file file = MBJ_FILE_CLOSED;
		uint64_t size = 0;
		enum mbj_rc rc;

		rc = blob_path(blobs, digest, (enum blob_form)form, file.path,
			       err);
		if (rc == MBJ_OK)
			rc = mbj_file_open(blobs->sys, file.path,
					   O_RDONLY | O_NOFOLLOW, &file, err);
		if (rc == MBJ_ENOTFOUND)
			continue;
		if (rc == MBJ_OK)
			rc = mbj_file_size(&file, &size, err);
		mbj_file_close(&file);
		if (rc < 0)
			return rc;
		sum += size;
		is_there = true;
	}
	if (!is_there)
		return blob_missing(blobs, digest, err);
	*ret_size = sum;
	return MBJ_OK;
}

enum mbj_rc blob_files_remove(const struct mbj_blobs *blobs,
			      const struct mbj_hash *digest,
			      struct mbj_error *err)
{
	bool is_any_gone = false;

	for (int form = 0; form < BLOB_FORMS; form++) {
		char path[MBJ_PATH_TEXT_MAX];
		enum mbj_rc rc;

		rc = blob_path(blobs, digest, (enum blob_form)form, path, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(blobs->sys, path, err);
		if (rc < 0 && rc != MBJ_ENOTFOUND)
			return rc;
		is_any_gone = is_any_gone || rc == MBJ_OK;
	}
	return is_any_gone ? MBJ_OK : blob_missing(blobs, digest, err);
}

/* ---------------------------------------------------------------- reading */

void blob_source_done(struct blob_source *source)
{
	mbj_unpacker_free(&source->unpacker);
	mbj_free(source->piece);
	source->piece = NULL;
	source->left = mbj_bytes_make(NULL, 0);
}

/* The end was reached, and all was well. */
static bool is_over(const struct blob_source *source)
{
	return source->is_end && source->unpacker == NULL;
}

static enum mbj_rc bad(const struct blob_source *source, const char *why,
		       struct mbj_error *err)
{
	struct mbj_error text;

	(void)mbj_error_set(&text, MBJ_ECORRUPT, "cannot be unpacked: %s", why);
	return blob_damaged(source->path, text.message, err);
}

/* The next bytes of the file, none at its end. */
static enum mbj_rc piece_fill(struct blob_source *source, struct mbj_error *err)
{
	size_t got;
	enum mbj_rc rc;

	rc = mbj_file_read(source->file, source->file_at, source->piece,
			   BLOB_PIECE_SIZE, &got, err);
	if (rc < 0)
		return rc;
	source->left = mbj_bytes_make(source->piece, got);
	source->file_at += got;
	return MBJ_OK;
}

static enum mbj_rc unpack_begin(struct blob_source *source,
				struct mbj_error *err)
{
	struct mbj_error why;
	enum mbj_rc rc;

	source->piece = mbj_alloc(BLOB_PIECE_SIZE);
	if (source->piece == NULL)
		return mbj_error_nomem(err);
	rc = mbj_unpacker_new(&source->unpacker, err);
	source->file_at = BLOB_HEAD_SIZE;
	if (rc == MBJ_OK)
		rc = piece_fill(source, err);
	if (rc == MBJ_OK &&
	    mbj_unpacker_begin(source->unpacker, source->left, &why) < 0)
		rc = bad(source, why.message, err);
	return rc;
}

/* Up to n bytes more, fewer where the file or the frame ends. */
static enum mbj_rc unpack(struct blob_source *source, uint8_t *p, size_t n,
			  size_t *ret_got, struct mbj_error *err)
{
	bool is_cut = false;
	size_t at = 0;

	while (at < n && !source->is_end && !is_cut) {
		struct mbj_error why;
		size_t got;
		enum mbj_rc rc = MBJ_OK;

		if (source->left.n == 0)
			rc = piece_fill(source, err);
		if (rc < 0)
			return rc;
		is_cut = source->left.n == 0;
		rc = mbj_unpacker_run(source->unpacker, &source->left, p + at,
				      n - at, &got, &source->is_end, &why);
		if (rc == MBJ_ENOMEM)
			return mbj_error_nomem(err);
		if (rc < 0)
			return bad(source, why.message, err);
		at += got;
	}
	*ret_got = at;
	return MBJ_OK;
}

/*
 * All bytes came: so does the end, and nothing but it.  What unpacks goes: who
 * reads may keep the source for long.
 */
static enum mbj_rc unpack_end(struct blob_source *source, struct mbj_error *err)
{
	uint8_t more;
	size_t got = 0;
	enum mbj_rc rc;

	rc = unpack(source, &more, 1, &got, err);
	if (rc < 0)
		return rc;
	if (got > 0)
		return bad(source, "it has more bytes than it says", err);
	if (!source->is_end)
		return bad(source, "it is cut off", err);
	if (source->left.n == 0)
		rc = piece_fill(source, err);
	if (rc == MBJ_OK && source->left.n > 0)
		rc = bad(source, "there is something behind it", err);
	if (rc == MBJ_OK)
		blob_source_done(source);
	return rc;
}

static enum mbj_rc packed_read(struct blob_source *source, void *p, size_t n,
			       size_t *ret_got, struct mbj_error *err)
{
	uint64_t left = source->size - source->at;
	size_t got = 0;
	enum mbj_rc rc = MBJ_OK;

	if (n > left)
		n = (size_t)left;
	if (is_over(source)) {
		*ret_got = 0;
		return MBJ_OK;
	}
	if (source->unpacker == NULL)
		rc = unpack_begin(source, err);
	if (rc == MBJ_OK)
		rc = unpack(source, p, n, &got, err);
	if (rc == MBJ_OK && got < n)
		rc = bad(source,
			 source->is_end ? "it has fewer bytes than it says"
					: "it is cut off",
			 err);
	if (rc < 0)
		return rc;
	source->at += got;
	if (source->at == source->size)
		rc = unpack_end(source, err);
	*ret_got = got;
	return rc;
}

enum mbj_rc blob_source_read(struct blob_source *source, void *p, size_t n,
			     size_t *ret_got, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (source->form == BLOB_PACKED)
		return packed_read(source, p, n, ret_got, err);
	rc = mbj_file_read(source->file, source->at, p, n, ret_got, err);
	if (rc == MBJ_OK)
		source->at += *ret_got;
	return rc;
}
