/*
 * The contents of all messages; see contents.h.
 */
#include "contents.h"

#include <inttypes.h>

enum mbj_rc contents_begin(struct contents *c, struct mbj_txn *txn,
			   const char *dir, bool is_deep, struct mbj_error *err)
{
	enum mbj_rc rc;

	*c = (struct contents){.txn = txn, .is_deep = is_deep};
	rc = mbj_store_blobs_read(NULL, dir, &c->blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_blobs(txn, false, &c->scan, err);
	return rc;
}

void contents_end(struct contents *c)
{
	mbj_scan_done(&c->scan);
	mbj_blobs_close(&c->blobs);
}

/* One content as it should be, or why not. */
static enum mbj_rc content_check(const struct contents *c,
				 const struct mbj_hash *blob, uint64_t size,
				 struct mbj_error *why)
{
	struct mbj_blob_reader *reader = NULL;
	char text[MBJ_BLOB_TEXT_SIZE];
	uint64_t found;
	enum mbj_rc rc;

	if (c->is_deep)
		return mbj_blob_verify(c->blobs, blob, size, why);
	rc = mbj_blob_reader_open(c->blobs, blob, &reader, &found, why);
	mbj_blob_reader_close(&reader);
	mbj_blob_print(blob, text);
	if (rc == MBJ_OK && found != size)
		rc = mbj_error_set(why, MBJ_ECORRUPT,
				   "blob %s has %" PRIu64
				   " bytes, not %" PRIu64,
				   text, found, size);
	return rc;
}

enum mbj_rc contents_next_fault(struct contents *c, struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct mbj_hash blob;
	uint64_t count, size;
	enum mbj_rc rc;

	for (;;) {
		rc = mbj_scan_next_blob(&c->scan, &blob, &count, &size, err);
		if (rc < 0)
			return rc;
		if (count > 0 && content_check(c, &blob, size, ret_why) < 0)
			return MBJ_OK;
	}
}
