/*
 * A request that was perhaps carried out before: looked for among the last
 * groups, in the batch that is under way and in the journal, and answered from
 * the group's receipt.
 *
 * The journal is the truth: the window is read from its last groups when the
 * first request with an id comes, so that it costs nobody anything who has
 * none, and follows what is written from then on.
 *
 * Not here: what a receipt holds (receipt.c), the window itself (recall.c).
 *
 * Threads: the leader's.
 */
#include <mbj/check.h>

#include "receipt.h"
#include "store_impl.h"

static enum mbj_rc window_fill(struct recall *recall,
			       struct mbj_log_reader *reader,
			       struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc;

	do {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc < 0 || mbj_id_is_root(group.header.request))
			continue;
		rc = recall_reserve(recall, err);
		if (rc == MBJ_OK)
			recall_add(recall, group.header.request,
				   group.header.lsn);
	} while (rc == MBJ_OK);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc window_load(struct mbj_store *store, struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &store->superblock.identity.anchor;
	struct mbj_lsn end = store_log_end(store).lsn;
	struct mbj_log_reader *reader = NULL;
	struct mbj_lsn lsn = anchor->first;
	enum mbj_rc rc = MBJ_OK;

	if (end.v - lsn.v + 1 > store->recall.window)
		lsn.v = end.v + 1 - store->recall.window;
	recall_clear(&store->recall);
	if (lsn.v <= end.v)
		rc = store_log_reader_open(store, lsn, &reader, err);
	if (reader != NULL)
		rc = window_fill(&store->recall, reader, err);
	mbj_log_reader_close(&reader);
	if (rc < 0)
		return mbj_error_prefix(
			err, rc,
			"whether this request was carried out "
			"before is not known; nothing was done");
	store->is_recall_loaded = true;
	return MBJ_OK;
}

/* A group of the batch under way. */
static enum mbj_rc batch_group(const struct mbj_batch *batch,
			       struct mbj_lsn lsn, struct mbj_group *ret_group,
			       struct mbj_error *err)
{
	struct mbj_bytes rest = mbj_buf_view(&batch->records);
	enum mbj_rc rc;

	do {
		rc = mbj_group_parse(rest, ret_group, err);
		if (rc < 0)
			return rc;
		rest.p += ret_group->record.n;
		rest.n -= ret_group->record.n;
	} while (ret_group->header.lsn.v != lsn.v);
	return MBJ_OK;
}

static enum mbj_rc journal_answer(const struct mbj_store *store,
				  struct mbj_lsn lsn,
				  const struct mbj_hash *hash,
				  struct mbj_outcome *ret_outcome,
				  struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = store_log_reader_open(store, lsn, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK && !group.is_body_good)
		rc = mbj_log_reader_fault(reader, &group, err);
	if (rc == MBJ_OK)
		rc = receipt_read(&group, hash, ret_outcome, err);
	mbj_log_reader_close(&reader);
	return rc;
}

enum mbj_rc store_recall(struct mbj_store *store, const struct mbj_batch *batch,
			 struct mbj_id request, const struct mbj_hash *hash,
			 bool *ret_is_known, struct mbj_outcome *ret_outcome,
			 struct mbj_error *err)
{
	struct mbj_group group;
	struct mbj_lsn lsn;
	enum mbj_rc rc = MBJ_OK;

	if (!store->is_recall_loaded)
		rc = window_load(store, err);
	if (rc < 0)
		return rc;
	recall_end_set(&store->recall, batch->end.lsn);
	*ret_is_known = recall_find(&store->recall, request, &lsn);
	if (!*ret_is_known)
		return recall_reserve(&store->recall, err);
	if (lsn.v <= store_log_end(store).lsn.v)
		return journal_answer(store, lsn, hash, ret_outcome, err);
	rc = batch_group(batch, lsn, &group, err);
	if (rc == MBJ_OK)
		rc = receipt_read(&group, hash, ret_outcome, err);
	return rc;
}
