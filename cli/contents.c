/*
 * The contents of all messages; see contents.h.
 */
#include "contents.h"

#include <inttypes.h>

#include <mbj/collect.h>

static enum mbj_rc needs_begin(struct contents *c, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_store_read(c->store, &c->txn, err);

	c->count = 0;
	return rc == MBJ_OK ? mbj_scan_blobs(c->txn, false, &c->scan, err) : rc;
}

static void needs_end(struct contents *c)
{
	mbj_scan_done(&c->scan);
	mbj_txn_abort(&c->txn);
}

/*
 * What deleted mailboxes left behind needs contents that a collection may have
 * removed: in a state that was made anew it is there again.  It goes first, if
 * there is room for that, and all are looked at once more.
 */
static enum mbj_rc needs_reap(struct contents *c, struct mbj_error *err)
{
	enum mbj_rc rc;

	needs_end(c);
	c->is_reaped = true;
	rc = mbj_store_reap(c->store, err);
	return rc == MBJ_OK || rc == MBJ_ENOSPC ? needs_begin(c, err) : rc;
}

enum mbj_rc contents_begin(struct contents *c, struct mbj_store *store,
			   const char *dir, bool is_deep, struct mbj_error *err)
{
	enum mbj_rc rc;

	*c = (struct contents){.store = store, .is_deep = is_deep};
	rc = mbj_store_blobs_read(NULL, dir, &c->blobs, err);
	if (rc == MBJ_OK && store == NULL)
		rc = mbj_blobs_scan_begin(c->blobs, &c->files, err);
	else if (rc == MBJ_OK)
		rc = needs_begin(c, err);
	return rc;
}

void contents_end(struct contents *c)
{
	needs_end(c);
	mbj_blobs_scan_end(&c->files);
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

/* A content that is there, with whatever size; *ret_is_gone: no longer. */
static enum mbj_rc file_check(const struct contents *c,
			      const struct mbj_hash *blob, bool *ret_is_gone,
			      struct mbj_error *why)
{
	struct mbj_blob_reader *reader = NULL;
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_blob_reader_open(c->blobs, blob, &reader, &size, why);
	mbj_blob_reader_close(&reader);
	if (rc == MBJ_OK)
		rc = mbj_blob_verify(c->blobs, blob, size, why);
	*ret_is_gone = rc == MBJ_ENOTFOUND;
	return rc;
}

static enum mbj_rc files_next_fault(struct contents *c,
				    struct mbj_error *ret_why,
				    struct mbj_error *err)
{
	struct mbj_hash blob;
	bool is_there, is_gone;
	enum mbj_rc rc;

	for (;;) {
		rc = mbj_blobs_scan_next(c->files, &blob, &is_there, err);
		if (rc < 0)
			return rc;
		if (!is_there)
			return MBJ_ENOTFOUND;
		rc = file_check(c, &blob, &is_gone, ret_why);
		c->count += !is_gone;
		if (rc < 0 && !is_gone)
			return MBJ_OK;
	}
}

enum mbj_rc contents_next_fault(struct contents *c, struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct mbj_hash blob;
	uint64_t count, size;
	enum mbj_rc rc;

	if (c->files != NULL)
		return files_next_fault(c, ret_why, err);
	for (;;) {
		rc = mbj_scan_next_blob(&c->scan, &blob, &count, &size, err);
		if (rc < 0)
			return rc;
		c->count += count > 0;
		if (count == 0 || content_check(c, &blob, size, ret_why) == 0)
			continue;
		if (c->is_reaped)
			return MBJ_OK;
		rc = needs_reap(c, err);
		if (rc < 0)
			return rc;
	}
}
