/*
 * Packing a blob on its way in: see blob_form.c for what a packed file is.
 *
 * A writer holds the first piece.  Most blobs are no longer, and go into the
 * file once, in the form that they keep.  A longer one goes into the file as it
 * comes, and is packed into a second one when all of it is there: so nobody who
 * is slow holds what packing needs, and one thread packs one at a time.
 *
 * A file takes whole blocks of the disk.  What would not take one block less
 * when it is packed stays as it is: all that has one block, and what looks like
 * noise, by its first piece.
 *
 * Invariants:
 *   1. a packed file takes fewer blocks than the blob would;
 *   2. of two files of a writer one is left, its file;
 *   3. what can be stored as it is, is: neither memory nor room that packing
 *      lacks is a failure.
 *
 * Threads: see mbj/blob.h; without the mutex.
 */
#include <mbj/check.h>
#include <mbj/pack.h>

#include "blob_priv.h"

enum { BLOCK_SIZE = 4096 };

/* Bytes that a packed file may have; 0: it cannot take less. */
static uint64_t room_of(uint64_t size)
{
	uint64_t blocks = size / BLOCK_SIZE + (size % BLOCK_SIZE > 0 ? 1 : 0);

	return blocks > 1 ? (blocks - 1) * BLOCK_SIZE : 0;
}

/* ---------------------------------------------------------------- holding */

enum mbj_rc blob_hold(struct mbj_blob_writer *writer, struct mbj_error *err)
{
	writer->held = mbj_alloc(BLOB_PIECE_SIZE);
	return writer->held != NULL ? MBJ_OK : mbj_error_nomem(err);
}

/* Full: what was held is in the file now. */
static enum mbj_rc held_spill(struct mbj_blob_writer *writer,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	writer->is_worth = mbj_pack_is_worth(
		mbj_bytes_make(writer->held, BLOB_PIECE_SIZE));
	rc = mbj_file_write(&writer->file, 0, writer->held, BLOB_PIECE_SIZE,
			    err);
	mbj_free(writer->held);
	writer->held = NULL;
	return rc;
}

enum mbj_rc blob_held_write(struct mbj_blob_writer *writer, uint64_t at,
			    struct mbj_bytes piece, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (writer->held != NULL) {
		size_t room = (size_t)(BLOB_PIECE_SIZE - at);
		size_t n = piece.n < room ? piece.n : room;

		if (n > 0)
			memcpy(writer->held + at, piece.p, n);
		if (piece.n <= room)
			return MBJ_OK;
		rc = held_spill(writer, err);
		if (rc < 0)
			return rc;
		at += n;
		piece = mbj_bytes_make(piece.p + n, piece.n - n);
	}
	return mbj_file_write(&writer->file, at, piece.p, piece.n, err);
}

/* ------------------------------------------------------- what was held */

/* Bytes of the packed file; 0: it is to stay as it is. */
static size_t held_pack(const struct mbj_blob_writer *writer, uint8_t *file,
			uint64_t room)
{
	struct mbj_bytes in =
		mbj_bytes_make(writer->held, (size_t)writer->size);
	struct mbj_packer *packer = NULL;
	bool is_done = false;
	size_t n = 0;
	enum mbj_rc rc;

	rc = mbj_packer_new(writer->blobs->level, &packer, NULL);
	if (rc < 0)
		return 0;
	mbj_packer_begin(packer, writer->size);
	rc = mbj_packer_run(packer, MBJ_PACK_END, &in, file + BLOB_HEAD_SIZE,
			    (size_t)room - BLOB_HEAD_SIZE, &n, &is_done, NULL);
	mbj_packer_free(&packer);
	return rc == MBJ_OK && is_done ? n + BLOB_HEAD_SIZE : 0;
}

static enum mbj_rc held_settle(struct mbj_blob_writer *writer,
			       struct mbj_error *err)
{
	uint64_t room = room_of(writer->size);
	const uint8_t *bytes = writer->held;
	size_t n = (size_t)writer->size;
	uint8_t *packed = NULL;
	size_t packed_n = 0;
	enum mbj_rc rc;

	if (room > 0 && mbj_pack_is_worth(mbj_bytes_make(bytes, n)))
		packed = mbj_alloc((size_t)room);
	if (packed != NULL)
		packed_n = held_pack(writer, packed, room);
	if (packed_n > 0) {
		blob_head_put(writer->size, packed_n, packed);
		writer->form = BLOB_PACKED;
		bytes = packed;
		n = packed_n;
	}
	rc = mbj_file_write(&writer->file, 0, bytes, n, err);
	mbj_free(packed);
	mbj_free(writer->held);
	writer->held = NULL;
	return rc;
}

/* ------------------------------------------------- what is in the file */

struct packing {
	struct mbj_blob_writer *writer;
	struct mbj_packer *packer;
	uint8_t *in; /* BLOB_PIECE_SIZE bytes each */
	uint8_t *out;
	struct mbj_file file;
	struct mbj_id fresh;
	uint64_t at; /* that it has */
	uint64_t room;
};

/* The next bytes of the blob; there are some. */
static enum mbj_rc piece_read(const struct packing *p, uint64_t at,
			      struct mbj_bytes *ret_piece,
			      struct mbj_error *err)
{
	size_t got = 0;
	enum mbj_rc rc;

	rc = mbj_file_read(&p->writer->file, at, p->in, BLOB_PIECE_SIZE, &got,
			   err);
	if (rc == MBJ_OK && got == 0)
		rc = blob_damaged(p->writer->file.path,
				  "became shorter while it was packed", err);
	if (rc == MBJ_OK)
		*ret_piece = mbj_bytes_make(p->in, got);
	return rc;
}

/* *ret_is_done false: there was no room. */
static enum mbj_rc packing_run(struct packing *p, bool *ret_is_done,
			       struct mbj_error *err)
{
	struct mbj_bytes in = {NULL, 0};
	uint64_t read = 0;
	bool is_done = false;
	enum mbj_rc rc = MBJ_OK;

	*ret_is_done = false;
	mbj_packer_begin(p->packer, p->writer->size);
	while (rc == MBJ_OK && !is_done) {
		bool is_last;
		size_t n;

		if (in.n == 0 && read < p->writer->size) {
			rc = piece_read(p, read, &in, err);
			if (rc < 0)
				return rc;
			read += in.n;
		}
		is_last = read == p->writer->size;
		rc = mbj_packer_run(p->packer,
				    is_last ? MBJ_PACK_END : MBJ_PACK_ON, &in,
				    p->out, BLOB_PIECE_SIZE, &n, &is_done, err);
		if (rc < 0 || n > p->room - p->at)
			return rc;
		is_done = is_done && is_last;
		rc = mbj_file_write(&p->file, p->at, p->out, n, err);
		p->at += n;
	}
	if (rc == MBJ_OK)
		*ret_is_done = true;
	return rc;
}

static void file_drop(const struct mbj_blobs *blobs, struct mbj_file *file)
{
	/* Best effort: the next opening sweeps. */
	if (file->fd >= 0)
		(void)blobs->sys->unlink(blobs->sys->ctx, file->path);
	mbj_file_close(file);
}

/* The packed file is the writer's from now on. */
static enum mbj_rc packing_take(struct packing *p, struct mbj_error *err)
{
	uint8_t head[BLOB_HEAD_SIZE];
	enum mbj_rc rc;

	blob_head_put(p->writer->size, p->at, head);
	rc = mbj_file_write(&p->file, 0, head, sizeof(head), err);
	if (rc < 0)
		return rc;
	file_drop(p->writer->blobs, &p->writer->file);
	p->writer->file = p->file;
	p->writer->fresh = p->fresh;
	p->writer->form = BLOB_PACKED;
	p->file = MBJ_FILE_CLOSED;
	return MBJ_OK;
}

static enum mbj_rc file_pack(struct mbj_blob_writer *writer,
			     struct mbj_error *err)
{
	struct packing p = {.writer = writer,
			    .file = MBJ_FILE_CLOSED,
			    .at = BLOB_HEAD_SIZE,
			    .room = room_of(writer->size)};
	bool is_done = false;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(p.room >= BLOB_PIECE_SIZE);
	p.in = mbj_alloc(BLOB_PIECE_SIZE);
	p.out = mbj_alloc(BLOB_PIECE_SIZE);
	if (p.in == NULL || p.out == NULL)
		rc = mbj_error_nomem(err);
	if (rc == MBJ_OK)
		rc = mbj_packer_new(writer->blobs->level, &p.packer, err);
	if (rc == MBJ_OK)
		rc = blob_fresh_open(writer->blobs, &p.file, &p.fresh, err);
	if (rc == MBJ_OK)
		rc = packing_run(&p, &is_done, err);
	if (rc == MBJ_OK && is_done)
		rc = packing_take(&p, err);
	file_drop(writer->blobs, &p.file);
	mbj_packer_free(&p.packer);
	mbj_free(p.in);
	mbj_free(p.out);
	/* All of it is in the writer's file, still. */
	return rc == MBJ_ENOMEM || rc == MBJ_ENOSPC ? MBJ_OK : rc;
}

enum mbj_rc blob_pack(struct mbj_blob_writer *writer, struct mbj_error *err)
{
	MBJ_ASSERT(writer->blobs->level > 0 && !writer->is_link);
	if (writer->held != NULL)
		return held_settle(writer, err);
	return writer->is_worth ? file_pack(writer, err) : MBJ_OK;
}
