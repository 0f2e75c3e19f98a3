/*
 * The content of a message on its way to a server; see push_mail.h.
 *
 * A literal says its size first, and cannot be taken back: content is read
 * twice, the second time to be sent, unless it is short.
 */
#include <inttypes.h>
#include <string.h>

#include "push_mail.h"

enum {
	SHORT_MAX = 65536,
	PIECE = 4096,
};

enum mbj_rc push_canon_begin(struct push_canon *canon, struct mbj_error *err)
{
	canon->size = 0;
	canon->is_cr = false;
	return canon->sha == NULL ? MBJ_OK : mbj_sha256_begin(canon->sha, err);
}

static void head_put(struct push_head *head, struct mbj_bytes bytes)
{
	size_t room = sizeof(head->b) - head->n;
	size_t n = bytes.n < room ? bytes.n : room;

	if (n > 0)
		memcpy(head->b + head->n, bytes.p, n);
	head->n += n;
}

static enum mbj_rc canon_put(struct push_canon *canon, struct mbj_bytes bytes,
			     struct mbj_error *err)
{
	canon->size += bytes.n;
	if (canon->head != NULL)
		head_put(canon->head, bytes);
	if (canon->out != NULL)
		mbj_buf_put_bytes(canon->out, bytes);
	return canon->sha != NULL && bytes.n > 0
		       ? mbj_sha256_update(canon->sha, bytes, err)
		       : MBJ_OK;
}

enum mbj_rc push_canon_update(struct push_canon *canon, struct mbj_bytes piece,
			      struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	size_t begin = 0;

	for (size_t i = 0; rc == MBJ_OK && i < piece.n; i++) {
		const uint8_t *end = memchr(piece.p + i, '\n', piece.n - i);
		bool is_cr;

		if (end == NULL)
			break;
		i = (size_t)(end - piece.p);
		is_cr = i == 0 ? canon->is_cr : piece.p[i - 1] == '\r';
		if (is_cr)
			continue;
		rc = canon_put(canon,
			       mbj_bytes_make(piece.p + begin, i - begin), err);
		if (rc == MBJ_OK)
			rc = canon_put(canon, mbj_bytes_str("\r"), err);
		begin = i;
	}
	if (rc == MBJ_OK)
		rc = canon_put(canon,
			       mbj_bytes_make(piece.p + begin, piece.n - begin),
			       err);
	if (piece.n > 0)
		canon->is_cr = piece.p[piece.n - 1] == '\r';
	return rc;
}

enum mbj_rc push_canon_end(struct push_canon *canon, struct mbj_hash *ret_hash,
			   struct mbj_error *err)
{
	return mbj_sha256_end(canon->sha, ret_hash, err);
}

enum mbj_rc push_body_init(struct push_body *body, struct mbj_client *client,
			   struct mbj_error *err)
{
	*body = (struct push_body){.client = client};
	mbj_buf_init(&body->kept, 2 * (size_t)SHORT_MAX);
	return mbj_sha256_new(&body->sha, err);
}

void push_body_done(struct push_body *body)
{
	mbj_body_close(&body->reader);
	mbj_sha256_free(&body->sha);
	mbj_buf_done(&body->kept);
}

/* One more piece, to be looked at. */
static enum mbj_rc piece_take(struct push_body *body, struct mbj_bytes piece,
			      struct mbj_error *err)
{
	if (memchr(piece.p, '\0', piece.n) != NULL)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "it has bytes that are 0, which IMAP "
				     "cannot have in a message");
	return push_canon_update(&body->canon, piece, err);
}

static enum mbj_rc content_look(struct push_body *body, struct mbj_error *err)
{
	uint8_t piece[PIECE];
	uint64_t whole = 0;
	enum mbj_rc rc = MBJ_OK;
	size_t got = 1;

	while (rc == MBJ_OK && got > 0) {
		rc = mbj_body_read(body->reader, piece, sizeof(piece), &got,
				   err);
		if (rc == MBJ_OK && got > 0)
			rc = piece_take(body, mbj_bytes_make(piece, got), err);
		whole += got;
	}
	if (rc == MBJ_OK && whole != body->size)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "its content has %" PRIu64
				   " bytes, and should have %" PRIu64,
				   whole, body->size);
	return rc == MBJ_OK ? mbj_buf_ok(&body->kept, err) : rc;
}

void push_body_again(struct push_body *body)
{
	body->at = 0;
	mbj_body_close(&body->reader);
	if (body->size <= SHORT_MAX)
		return;
	mbj_buf_clear(&body->kept);
	body->canon = (struct push_canon){.out = &body->kept};
}

enum mbj_rc push_body_look(struct push_body *body, const struct mbj_hash *blob,
			   uint64_t size, struct mbj_error *err)
{
	uint64_t length;
	enum mbj_rc rc;

	mbj_body_close(&body->reader);
	mbj_buf_clear(&body->kept);
	body->blob = *blob;
	body->size = size;
	body->canon_head.n = 0;
	body->canon = (struct push_canon){.sha = body->sha,
					  .head = &body->canon_head,
					  .out = size <= SHORT_MAX ? &body->kept
								   : NULL};
	rc = push_canon_begin(&body->canon, err);
	if (rc == MBJ_OK)
		rc = mbj_body_open(body->client, blob, &body->reader, &length,
				   err);
	if (rc == MBJ_OK)
		rc = content_look(body, err);
	if (rc == MBJ_OK)
		rc = push_canon_end(&body->canon, &body->canon_hash, err);
	body->canon_size = body->canon.size;
	push_body_again(body);
	return rc;
}

/* The next piece of a long one, in kept; nothing at its end. */
static enum mbj_rc piece_read(struct push_body *body, struct mbj_error *err)
{
	uint8_t piece[PIECE];
	uint64_t length;
	enum mbj_rc rc = MBJ_OK;
	size_t got = 0;

	mbj_buf_clear(&body->kept);
	body->at = 0;
	if (body->reader == NULL)
		rc = mbj_body_open(body->client, &body->blob, &body->reader,
				   &length, err);
	if (rc == MBJ_OK)
		rc = mbj_body_read(body->reader, piece, sizeof(piece), &got,
				   err);
	if (rc == MBJ_OK)
		rc = push_canon_update(&body->canon, mbj_bytes_make(piece, got),
				       err);
	return rc == MBJ_OK ? mbj_buf_ok(&body->kept, err) : rc;
}

enum mbj_rc push_body_read(void *context, void *p, size_t n, size_t *ret_got,
			   struct mbj_error *err)
{
	struct push_body *body = context;

	if (body->size > SHORT_MAX && body->at == body->kept.n) {
		enum mbj_rc rc = piece_read(body, err);

		if (rc < 0)
			return rc;
	}
	if (n > body->kept.n - body->at)
		n = body->kept.n - body->at;
	if (n > 0)
		memcpy(p, body->kept.p + body->at, n);
	body->at += n;
	*ret_got = n;
	return MBJ_OK;
}
