/*
 * Fetching the content of messages; see replay_blobs.h.
 *
 * Invariant: what a message of the state needs, or a group that is set aside,
 * and is not here is noted in the state, in the group's transaction.
 */
#include "replay_blobs.h"

#include <mbj/blob.h>
#include <mbj/check.h>

enum {
	NOTED_MAX = 1 << 12, /* of a batch, at a time */
	LIST_MAX = 1024,     /* of what is wanted, at a time */
	ASK_MAX = 255,	     /* named with the one that is asked for */
	PART_MS = 5000,	     /* until groups are to come in between */
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

/* Fetch, unless it is here, which is no question to the source. */
static enum mbj_rc blob_fetch(struct replay_blobs *blobs,
			      struct replay_content *content,
			      bool *ret_is_asked, bool *ret_is_here,
			      struct mbj_error *ret_why, struct mbj_error *err)
{
	struct replay_source *source = blobs->source;
	enum mbj_rc rc;

	*ret_is_here = true;
	rc = blobs_open(blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_has(blobs->to, content->digest, content->size,
				  ret_is_here, err);
	*ret_is_asked = !*ret_is_here && !source->is_own;
	if (rc < 0 || !*ret_is_asked)
		return rc;
	content->is_duplicating = blobs->is_duplicating;
	return source->ops->content(source, blobs->to, content, ret_is_here,
				    ret_why, err);
}

/* A list that is asked for, each with some of those behind it. */
struct asking {
	const struct replay_blob *list;
	size_t count;
	size_t named; /* so many, with one before */
};

/*
 * One of a list.  What was named when one before was asked for and did not come
 * is not to be had, and is not asked for once more, but for a reason.
 */
static enum mbj_rc listed_fetch(struct replay_blobs *blobs,
				struct asking *asking, size_t i,
				bool is_reason_due, bool *ret_is_here,
				struct mbj_error *ret_why,
				struct mbj_error *err)
{
	size_t left = asking->count - i - 1;
	struct replay_content content = {
		.digest = &asking->list[i].digest,
		.size = asking->list[i].size,
		.next = &asking->list[i] + 1,
		.next_count = i < asking->named ? 0
			      : left < ASK_MAX	? left
						: ASK_MAX,
	};
	bool is_asked = false;
	enum mbj_rc rc;

	if (i < asking->named && !is_reason_due)
		return mbj_blob_has(blobs->to, content.digest, content.size,
				    ret_is_here, err);
	rc = blob_fetch(blobs, &content, &is_asked, ret_is_here, ret_why, err);
	if (is_asked && blobs->source->is_batching && content.next_count > 0)
		asking->named = i + 1 + content.next_count;
	return rc;
}

/* ------------------------------------------------------------- of a batch */

static enum mbj_rc list_add(struct replay_blob_list *list,
			    const struct mbj_hash *digest, uint64_t size,
			    struct mbj_error *err)
{
	void *items = list->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&items, &list->capacity, list->count + 1,
			       sizeof(*list->list), NOTED_MAX, err);
	list->list = items;
	if (rc == MBJ_OK)
		list->list[list->count++] = (struct replay_blob){*digest, size};
	return rc;
}

static void list_done(struct replay_blob_list *list)
{
	mbj_free(list->list);
	*list = (struct replay_blob_list){NULL, 0, 0};
}

enum mbj_rc replay_blobs_note(struct replay_blobs *blobs, struct mbj_txn *txn,
			      const struct mbj_group *group, bool is_aside,
			      struct mbj_error *err)
{
	/* From a backup an earlier state may be restored. */
	bool is_needed = is_aside || blobs->is_duplicating;
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(group->is_body_good);
	mbj_reader_init(&reader, group->body);
	/* What cannot be decoded is the apply's to judge. */
	while (rc == MBJ_OK &&
	       mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK) {
		if (op.kind != MBJ_OP_MESSAGE_APPEND)
			continue;
		if (blobs->noted.count + blobs->needed.count == NOTED_MAX)
			rc = replay_blobs_settle(blobs, txn, err);
		if (rc == MBJ_OK)
			rc = list_add(is_needed ? &blobs->needed
						: &blobs->noted,
				      &op.blob, op.size, err);
		if (rc == MBJ_OK)
			blobs->size += op.size;
	}
	return rc;
}

/* What messages have, of what was noted, joins what is needed anyhow. */
static enum mbj_rc noted_judge(struct replay_blobs *blobs, struct mbj_txn *txn,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < blobs->noted.count; i++) {
		const struct replay_blob *blob = &blobs->noted.list[i];
		uint64_t count = 0;
		uint64_t size;

		rc = mbj_txn_blob_count(txn, &blob->digest, &count, &size, err);
		if (rc == MBJ_OK && count > 0)
			rc = list_add(&blobs->needed, &blob->digest, blob->size,
				      err);
	}
	blobs->noted.count = 0;
	return rc;
}

enum mbj_rc replay_blobs_settle(struct replay_blobs *blobs, struct mbj_txn *txn,
				struct mbj_error *err)
{
	enum mbj_rc rc = noted_judge(blobs, txn, err);
	struct asking asking = {blobs->needed.list, blobs->needed.count, 0};

	for (size_t i = 0; rc == MBJ_OK && i < asking.count; i++) {
		const struct replay_blob *blob = &asking.list[i];
		bool is_here = true;

		rc = listed_fetch(blobs, &asking, i, false, &is_here, NULL,
				  err);
		if (rc < 0 || is_here)
			continue;
		blobs->source->missed++;
		rc = mbj_txn_blob_want(txn, &blob->digest, blob->size, true,
				       err);
	}
	blobs->needed.count = 0;
	blobs->size = 0;
	return rc;
}

/* ----------------------------------------------------------------- wanted */

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

/* As far as the source gives something, and there is time. */
static enum mbj_rc wanted_fetch(struct replay_blobs *blobs,
				struct wanted *wanted, struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + PART_MS;
	struct replay_source *source = blobs->source;
	struct mbj_replay_result *result = blobs->result;
	struct asking asking = {wanted->list, wanted->count, 0};
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < wanted->count; i++) {
		struct mbj_error why = {.rc = MBJ_OK};
		bool is_here = true;

		if (source->is_lost) {
			result->blobs_missing += wanted->count - i;
			break;
		}
		if (source->is_partial && i >= asking.named && i > 0 &&
		    mbj_monotonic_ms() > until) {
			wanted->next = wanted->list[i].digest;
			wanted->is_end = false;
			break;
		}
		rc = listed_fetch(blobs, &asking, i, result->blobs_missing == 0,
				  &is_here, &why, err);
		if (rc < 0)
			break;
		if (is_here)
			wanted->over[wanted->over_count++] = wanted->list[i];
		else if (result->blobs_missing++ == 0)
			result->blobs_why = why;
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
	list_done(&blobs->noted);
	list_done(&blobs->needed);
	/* Of a run that failed nothing was promised, and nothing is now. */
	if (blobs->to != NULL && mbj_blobs_bulk(blobs->to, false, NULL) < 0)
		blobs->to = NULL;
}
