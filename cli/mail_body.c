/*
 * A message's bytes, into the blob store or, in a dry run, only past a hash.
 */
#include <mbj/hash.h>

#include "mail.h"

enum mbj_rc mail_body_begin(struct mail_body *body, struct mbj_blobs *blobs,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	*body = (struct mail_body){.size = 0};
	if (blobs != NULL)
		return mbj_blob_writer_begin(blobs, &body->writer, err);
	rc = mbj_sha256_new(&body->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(body->sha, err);
	return rc;
}

enum mbj_rc mail_body_write(struct mail_body *body, struct mbj_bytes piece,
			    struct mbj_error *err)
{
	if (piece.n > MBJ_BLOB_MAX - body->size)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "it has more than %llu bytes",
				     (unsigned long long)MBJ_BLOB_MAX);
	body->size += piece.n;
	return body->writer != NULL
		       ? mbj_blob_writer_write(body->writer, piece, err)
		       : mbj_sha256_update(body->sha, piece, err);
}

enum mbj_rc mail_body_finish(struct mail_body *body, struct mbj_hash *ret_blob,
			     uint64_t *ret_size, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (body->writer != NULL)
		return mbj_blob_writer_finish(&body->writer, ret_blob, ret_size,
					      err);
	*ret_size = body->size;
	rc = mbj_sha256_end(body->sha, ret_blob, err);
	mail_body_abort(body);
	return rc;
}

void mail_body_abort(struct mail_body *body)
{
	mbj_blob_writer_abort(&body->writer);
	mbj_sha256_free(&body->sha);
}
