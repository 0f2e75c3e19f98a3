/*
 * Fetching the content of messages; see replay_blobs.h.
 */
#include "replay_blobs.h"

#include <mbj/blob.h>
#include <mbj/check.h>

static enum mbj_rc blobs_open(struct replay_blobs *blobs, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (blobs->from != NULL)
		return MBJ_OK;
	rc = mbj_store_blobs(blobs->store, &blobs->to, err);
	if (rc == MBJ_OK)
		rc = mbj_store_blobs_read(mbj_store_sys(blobs->store),
					  blobs->source_dir, &blobs->from, err);
	return rc;
}

static enum mbj_rc blob_fetch(struct replay_blobs *blobs,
			      const struct mbj_op *op, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	bool is_there = false;
	enum mbj_rc rc;

	rc = blobs_open(blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_has(blobs->to, &op->blob, op->size, &is_there,
				  err);
	if (rc < 0 || is_there)
		return rc;
	rc = mbj_blob_copy(blobs->from, blobs->to, &op->blob, op->size, &why);
	if (rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT) {
		if (blobs->result->blobs_missing++ == 0)
			blobs->result->blobs_why = why;
		return MBJ_OK;
	}
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

enum mbj_rc replay_blobs_fetch(struct replay_blobs *blobs,
			       const struct mbj_group *group,
			       struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	if (blobs->source_dir == NULL)
		return MBJ_OK;
	MBJ_ASSERT(group->is_body_good);
	mbj_reader_init(&reader, group->body);
	while (rc == MBJ_OK) {
		/* What cannot be decoded is the apply's to judge. */
		if (mbj_group_op_next(group, &reader, &op, NULL) != MBJ_OK)
			break;
		if (op.kind == MBJ_OP_MESSAGE_APPEND)
			rc = blob_fetch(blobs, &op, err);
	}
	return rc;
}

void replay_blobs_done(struct replay_blobs *blobs)
{
	mbj_blobs_close(&blobs->from);
}
