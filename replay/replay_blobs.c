/*
 * Fetching the content of messages; see replay_blobs.h.
 *
 * Invariant: what a group in the journal needs and is not here is noted in the
 * state, in the group's transaction.
 */
#include "replay_blobs.h"

#include <mbj/blob.h>
#include <mbj/check.h>

/* Of what is wanted, asked for together. */
enum { LIST_MAX = 256 };

static enum mbj_rc blobs_open(struct replay_blobs *blobs, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (blobs->to != NULL)
		return MBJ_OK;
	rc = mbj_store_blobs(blobs->store, &blobs->to, err);
	/* What is read back at once has no time to wait for a round. */
	if (rc == MBJ_OK && !blobs->is_duplicating)
		rc = mbj_blobs_bulk(blobs->to, true, err);
	return rc;
}

/* Fetch, unless it is here. */
static enum mbj_rc blob_fetch(struct replay_blobs *blobs,
			      struct replay_content *content, bool *ret_is_here,
			      struct mbj_error *ret_why, struct mbj_error *err)
{
	struct replay_source *source = blobs->source;
	enum mbj_rc rc;

	*ret_is_here = true;
	rc = blobs_open(blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_has(blobs->to, content->digest, content->size,
				  ret_is_here, err);
	if (rc < 0 || *ret_is_here || source->is_own)
		return rc;
	content->is_duplicating = blobs->is_duplicating;
	return source->ops->content(source, blobs->to, content, ret_is_here,
				    ret_why, err);
}

enum mbj_rc replay_blobs_fetch(struct replay_blobs *blobs, struct mbj_txn *txn,
			       const struct mbj_group *group,
			       struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(group->is_body_good);
	mbj_reader_init(&reader, group->body);
	while (rc == MBJ_OK) {
		struct replay_content content = {.next_count = 0};
		bool is_here = true;

		/* What cannot be decoded is the apply's to judge. */
		if (mbj_group_op_next(group, &reader, &op, NULL) != MBJ_OK)
			break;
		content.digest = &op.blob;
		content.size = op.size;
		if (op.kind == MBJ_OP_MESSAGE_APPEND)
			rc = blob_fetch(blobs, &content, &is_here, NULL, err);
		if (rc == MBJ_OK && !is_here)
			rc = mbj_txn_blob_want(txn, &op.blob, op.size, true,
					       err);
	}
	return rc;
}

/*
 * Whether any message has it; of accounts that are parked, whose messages the
 * state does not know yet, one may.
 */
static enum mbj_rc blob_is_needed(const struct replay_blobs *blobs,
				  struct mbj_txn *txn,
				  const struct mbj_hash *blob, bool *ret_is,
				  struct mbj_error *err)
{
	uint64_t count = 0;
	uint64_t size;
	enum mbj_rc rc = mbj_txn_blob_count(txn, blob, &count, &size, err);

	*ret_is = count > 0 || blobs->result->accounts_parked > 0;
	return rc;
}

static enum mbj_rc scan_next(const struct replay_blobs *blobs,
			     struct mbj_scan *scan, struct mbj_hash *ret_blob,
			     uint64_t *ret_size, bool *ret_is_needed,
			     struct mbj_error *err)
{
	uint64_t count;
	enum mbj_rc rc;

	*ret_is_needed = false;
	rc = mbj_scan_next_blob(scan, ret_blob, &count, ret_size, err);
	if (rc < 0)
		return rc;
	return blob_is_needed(blobs, scan->txn, ret_blob, ret_is_needed, err);
}

enum mbj_rc replay_blobs_settle(struct replay_blobs *blobs, struct mbj_txn *txn,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_hash blob;
	uint64_t size;
	enum mbj_rc rc;

	rc = mbj_scan_blobs(txn, true, &scan, err);
	while (rc == MBJ_OK) {
		bool is_needed, is_here = true;

		rc = scan_next(blobs, &scan, &blob, &size, &is_needed, err);
		if (rc == MBJ_OK && is_needed)
			rc = blobs_open(blobs, err);
		if (rc == MBJ_OK && is_needed)
			rc = mbj_blob_has(blobs->to, &blob, size, &is_here,
					  err);
		/* Into the cache: no table is touched under the scan. */
		if (rc == MBJ_OK)
			rc = mbj_txn_blob_want(txn, &blob, size, !is_here, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The next ones that are wanted; MBJ_ENOTFOUND: behind them there is none. */
static enum mbj_rc list_fill(const struct replay_blobs *blobs,
			     struct mbj_scan *scan, struct replay_blob *list,
			     size_t *ret_count, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	*ret_count = 0;
	while (rc == MBJ_OK && *ret_count < LIST_MAX) {
		struct replay_blob *blob = &list[*ret_count];
		bool is_needed;

		rc = scan_next(blobs, scan, &blob->digest, &blob->size,
			       &is_needed, err);
		*ret_count += rc == MBJ_OK && is_needed;
	}
	return rc;
}

static enum mbj_rc list_fetch(struct replay_blobs *blobs,
			      const struct replay_blob *list, size_t count,
			      struct mbj_error *err)
{
	struct mbj_replay_result *result = blobs->result;
	bool is_asked = false;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		struct replay_content content = {
			.digest = &list[i].digest,
			.size = list[i].size,
			.next = list + i + 1,
			.next_count = is_asked ? 0 : count - i - 1,
		};
		struct mbj_error why = {.rc = MBJ_OK};
		bool is_here = true;

		rc = blob_fetch(blobs, &content, &is_here, &why, err);
		if (rc == MBJ_OK && !is_here && result->blobs_missing++ == 0)
			result->blobs_why = why;
		/* Those behind it that do not come now are not to be had. */
		is_asked = true;
	}
	return rc;
}

/* All that is wanted, a list at a time. */
static enum mbj_rc wanted_fetch(struct replay_blobs *blobs,
				struct mbj_scan *scan, struct mbj_error *err)
{
	struct replay_blob *list = mbj_calloc(LIST_MAX, sizeof(*list));
	enum mbj_rc rc = MBJ_OK;

	if (list == NULL)
		return mbj_error_nomem(err);
	while (rc == MBJ_OK) {
		enum mbj_rc fetched;
		size_t count;

		rc = list_fill(blobs, scan, list, &count, err);
		if (rc < 0 && rc != MBJ_ENOTFOUND)
			break;
		fetched = list_fetch(blobs, list, count, err);
		if (fetched < 0)
			rc = fetched;
	}
	mbj_free(list);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc replay_blobs_finish(struct replay_blobs *blobs,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(blobs->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_blobs(txn, true, &scan, err);
	if (rc == MBJ_OK && !blobs->source->is_brief)
		rc = wanted_fetch(blobs, &scan, err);
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK && blobs->to != NULL)
		rc = mbj_blobs_sync(blobs->to, err);
	return rc;
}

void replay_blobs_done(struct replay_blobs *blobs)
{
	/* Of a run that failed nothing was promised, and nothing is now. */
	if (blobs->to != NULL && mbj_blobs_bulk(blobs->to, false, NULL) < 0)
		blobs->to = NULL;
}
