/*
 * Fetching the content of messages; see replay_blobs.h.
 *
 * Invariant: what a group in the journal needs and is not here is noted in the
 * state, in the group's transaction.
 */
#include "replay_blobs.h"

#include <mbj/applying.h>
#include <mbj/blob.h>
#include <mbj/check.h>

enum {
	LIST_MAX = 1024, /* of what is wanted, at a time */
	PART_MS = 5000,	 /* until groups are to come in between */
};

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
	mbj_applying_end(blobs->store);
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
		if (rc != MBJ_OK || is_here)
			continue;
		blobs->source->missed++;
		rc = mbj_txn_blob_want(txn, &op.blob, op.size, true, err);
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

/* What is wanted, a part of it at a time, by digest. */
struct wanted {
	struct mbj_hash next; /* where the next part begins */
	bool is_end;
	struct replay_blob *list; /* [LIST_MAX], what messages need */
	size_t count;
	struct replay_blob *over; /* [LIST_MAX], wanted no longer */
	size_t over_count;
	uint64_t drops; /* before any of it came: mbj_blobs_drops */
};

static enum mbj_rc wanted_look(const struct replay_blobs *blobs,
			       struct wanted *wanted, struct mbj_scan *scan,
			       struct mbj_error *err)
{
	struct replay_blob blob;
	bool is_needed;
	uint64_t count;
	enum mbj_rc rc;

	rc = mbj_scan_next_blob(scan, &blob.digest, &count, &blob.size, err);
	if (rc == MBJ_OK)
		rc = blob_is_needed(blobs, scan->txn, &blob.digest, &is_needed,
				    err);
	if (rc != MBJ_OK)
		return rc;
	if (is_needed)
		wanted->list[wanted->count++] = blob;
	else
		wanted->over[wanted->over_count++] = blob;
	wanted->next = blob.digest;
	wanted->is_end = !mbj_blob_step(&wanted->next);
	return MBJ_OK;
}

/* The next part; the transaction is over before anything of it is asked for. */
static enum mbj_rc wanted_fill(const struct replay_blobs *blobs,
			       struct wanted *wanted, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	wanted->count = 0;
	wanted->over_count = 0;
	rc = mbj_store_read(blobs->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_blobs_from(txn, true, &wanted->next, &scan, err);
	while (rc == MBJ_OK && !wanted->is_end &&
	       wanted->count + wanted->over_count < LIST_MAX)
		rc = wanted_look(blobs, wanted, &scan, err);
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	wanted->is_end = true;
	return MBJ_OK;
}

/*
 * One that did not come when it was named with another one is not to be had,
 * and is not asked for once more, but for a reason where none is known.
 */
static enum mbj_rc wanted_one(struct replay_blobs *blobs, struct wanted *wanted,
			      size_t i, bool was_named, size_t *ret_covered,
			      struct mbj_error *err)
{
	struct mbj_replay_result *result = blobs->result;
	bool is_known = was_named && result->blobs_missing > 0;
	struct replay_content content = {
		.digest = &wanted->list[i].digest,
		.size = wanted->list[i].size,
		.next = &wanted->list[i] + 1,
		.next_count = was_named ? 0 : wanted->count - i - 1,
	};
	struct mbj_error why = {.rc = MBJ_OK};
	bool is_here = true;
	enum mbj_rc rc;

	if (is_known)
		rc = mbj_blob_has(blobs->to, content.digest, content.size,
				  &is_here, err);
	else
		rc = blob_fetch(blobs, &content, &is_here, &why, err);
	if (rc < 0)
		return rc;
	*ret_covered = content.covered;
	if (is_here)
		wanted->over[wanted->over_count++] = wanted->list[i];
	else if (result->blobs_missing++ == 0)
		result->blobs_why = why;
	return MBJ_OK;
}

/* As far as the source gives something, and there is time. */
static enum mbj_rc wanted_fetch(struct replay_blobs *blobs,
				struct wanted *wanted, struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + PART_MS;
	struct replay_source *source = blobs->source;
	size_t named = 0; /* up to here, with one before */
	enum mbj_rc rc = MBJ_OK;

	if (wanted->count > 0)
		rc = blobs_open(blobs, err);
	wanted->drops = blobs->to == NULL ? 0 : mbj_blobs_drops(blobs->to);

	for (size_t i = 0; rc == MBJ_OK && i < wanted->count; i++) {
		bool was_named = i < named;
		size_t covered = 0;

		/* What was named with one that came may have come, too. */
		if (source->is_lost && !was_named) {
			blobs->result->blobs_missing += wanted->count - i;
			break;
		}
		if (source->is_partial && !was_named && i > 0 &&
		    mbj_monotonic_ms() > until) {
			wanted->next = wanted->list[i].digest;
			wanted->is_end = false;
			break;
		}
		rc = wanted_one(blobs, wanted, i, was_named, &covered, err);
		if (covered > 0)
			named = i + 1 + covered;
	}
	return rc;
}

/* Contents first: nobody asks again for what is not wanted. */
static enum mbj_rc wanted_settle(struct replay_blobs *blobs,
				 const struct wanted *wanted,
				 struct mbj_error *err)
{
	struct mbj_batch *batch = NULL;
	enum mbj_rc rc = MBJ_OK;

	if (wanted->over_count == 0)
		return MBJ_OK;
	if (blobs->to != NULL)
		rc = mbj_blobs_sync(blobs->to, err);
	/* In a round of somebody else, who was told. */
	if (rc == MBJ_OK && blobs->to != NULL &&
	    mbj_blobs_drops(blobs->to) != wanted->drops)
		rc = mbj_error_set(err, MBJ_EIO,
				   "content that came to %s could not be "
				   "stored",
				   mbj_store_dir(blobs->store));
	if (rc == MBJ_OK)
		rc = mbj_batch_begin(blobs->store, &batch, err);
	for (size_t i = 0; rc == MBJ_OK && i < wanted->over_count; i++)
		rc = mbj_txn_blob_want(mbj_batch_txn(batch),
				       &wanted->over[i].digest,
				       wanted->over[i].size, false, err);
	if (rc == MBJ_OK) {
		mbj_batch_touch(batch);
		rc = mbj_batch_commit(&batch, err);
	}
	mbj_batch_abort(&batch);
	return rc;
}

enum mbj_rc replay_blobs_finish(struct replay_blobs *blobs,
				struct mbj_error *err)
{
	struct replay_source *source = blobs->source;
	struct wanted wanted = {.next = source->wanted,
				.is_end = source->is_brief};
	enum mbj_rc rc = MBJ_OK;

	source->is_wanting = false;

	if (!wanted.is_end) {
		wanted.list = mbj_calloc(LIST_MAX, sizeof(*wanted.list));
		wanted.over = mbj_calloc(LIST_MAX, sizeof(*wanted.over));
		if (wanted.list == NULL || wanted.over == NULL)
			rc = mbj_error_nomem(err);
	}
	while (rc == MBJ_OK && !wanted.is_end) {
		enum mbj_rc settled;

		rc = wanted_fill(blobs, &wanted, err);
		if (rc < 0)
			break;
		rc = wanted_fetch(blobs, &wanted, err);
		settled = wanted_settle(blobs, &wanted, rc < 0 ? NULL : err);
		rc = rc < 0 ? rc : settled;
		if (source->is_lost)
			wanted.is_end = true;
		source->is_wanting = source->is_partial && !wanted.is_end;
		if (source->is_wanting)
			break;
	}
	if (!source->is_brief)
		source->wanted = source->is_wanting ? wanted.next
						    : (struct mbj_hash){{0}};
	mbj_free(wanted.list);
	mbj_free(wanted.over);
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
