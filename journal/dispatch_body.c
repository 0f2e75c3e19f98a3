/*
 * The bytes of one message on their way in, and of one on their way out; an
 * edit that comes with some.
 */
#include "dispatch.h"

#include "edit_run.h"

void dispatch_done(struct dispatcher *dispatcher)
{
	mbj_blob_writer_abort(&dispatcher->writer);
	mbj_blob_reader_close(&dispatcher->reader);
}

enum mbj_rc dispatch_blob_open(struct dispatcher *dispatcher,
			       const struct mbj_hash *digest,
			       uint64_t *ret_size, struct mbj_error *err)
{
	struct mbj_blobs *blobs;
	enum mbj_rc rc;

	mbj_blob_reader_close(&dispatcher->reader);
	/* One file for each connection, and no more: see service.c. */
	if (dispatcher->writer != NULL)
		return mbj_error_set(err, MBJ_EINVALID,
				     "a message is being written here: none is "
				     "read before its end");
	rc = mbj_store_blobs(dispatcher->store, &blobs, err);
	if (rc < 0)
		return rc;
	return mbj_blob_reader_open(blobs, digest, &dispatcher->reader,
				    ret_size, err);
}

enum mbj_rc dispatch_blob_read(struct dispatcher *dispatcher, uint64_t size,
			       struct mbj_buf *piece,
			       struct mbj_bytes *ret_data,
			       struct mbj_error *err)
{
	size_t most = piece->max < WIRE_PIECE_MAX ? piece->max : WIRE_PIECE_MAX;
	size_t n = size < most ? (size_t)size : most;
	size_t got = 0;
	enum mbj_rc rc;

	if (dispatcher->reader == NULL)
		return mbj_error_set(err, MBJ_EINVALID,
				     "no message is being read here");
	mbj_buf_put_zero(piece, n);
	rc = mbj_buf_ok(piece, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_reader_read(dispatcher->reader, piece->p, n, &got,
					  err);
	if (rc < 0)
		return rc;
	*ret_data = mbj_bytes_make(piece->p, got);
	return MBJ_OK;
}

enum mbj_rc dispatch_blob_write(struct dispatcher *dispatcher,
				struct mbj_bytes data, struct mbj_error *err)
{
	struct mbj_blobs *blobs;
	enum mbj_rc rc = MBJ_OK;

	if (dispatcher->writer == NULL)
		rc = mbj_store_blobs(dispatcher->store, &blobs, err);
	if (rc == MBJ_OK && dispatcher->writer == NULL)
		rc = mbj_blob_writer_begin(blobs, &dispatcher->writer, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_write(dispatcher->writer, data, err);
	return rc;
}

enum mbj_rc dispatch_blob_finish(struct dispatcher *dispatcher,
				 struct wire_message *answer,
				 struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	/* No bytes at all are a content, too. */
	if (dispatcher->writer == NULL)
		rc = dispatch_blob_write(dispatcher, mbj_bytes_make(NULL, 0),
					 err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_finish(&dispatcher->writer,
					    &answer->digest, &answer->size,
					    err);
	return rc;
}

/* The last bytes, and with them the end.  Nothing is left of what failed. */
enum mbj_rc dispatch_blob_last(struct dispatcher *dispatcher,
			       struct mbj_bytes data,
			       struct wire_message *answer,
			       struct mbj_error *err)
{
	struct mbj_blobs *blobs;
	enum mbj_rc rc;

	/* They are all that there is. */
	if (dispatcher->writer == NULL) {
		rc = mbj_store_blobs(dispatcher->store, &blobs, err);
		answer->size = data.n;
		return rc < 0 ? rc
			      : mbj_blob_put(blobs, data, &answer->digest, err);
	}
	rc = dispatch_blob_write(dispatcher, data, err);
	if (rc == MBJ_OK)
		rc = dispatch_blob_finish(dispatcher, answer, err);
	mbj_blob_writer_abort(&dispatcher->writer);
	return rc;
}

enum mbj_rc dispatch_submit_body(struct dispatcher *dispatcher,
				 const struct wire_message *request,
				 struct wire_message *answer,
				 struct mbj_error *err)
{
	struct mbj_message_edit *steps = NULL;
	struct mbj_edit edit = request->edit;
	enum mbj_rc rc;

	rc = dispatch_blob_last(dispatcher, request->data, answer, err);
	if (rc == MBJ_OK)
		rc = edit_body_name(&edit, &answer->digest, answer->size,
				    &steps, err);
	if (rc == MBJ_OK)
		rc = dispatch_submit_as(dispatcher, &edit, &answer->outcome,
					err);
	mbj_free(steps);
	return rc;
}
