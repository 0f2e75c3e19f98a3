/*
 * What a store's journal has at a group, for who knows that group: whether the
 * two are one history.
 *
 * Threads: any.
 */
#include "store_impl.h"

static enum mbj_rc chain_read(struct mbj_store *store, struct mbj_lsn lsn,
			      struct mbj_hash *ret_chain, struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_store_log_reader_own(store, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK)
		*ret_chain = group.chain;
	mbj_log_reader_close(&reader);
	return rc;
}

enum mbj_rc mbj_store_chain(struct mbj_store *store, struct mbj_lsn lsn,
			    struct mbj_chain_at *ret_at, struct mbj_error *err)
{
	struct mbj_anchor anchor = mbj_store_identity_copy(store).anchor;
	struct mbj_log_end end = mbj_store_end(store);
	struct mbj_chain_at at = {.first = anchor.first, .last = end.lsn};
	enum mbj_rc rc = MBJ_OK;

	at.is_there = lsn.v <= end.lsn.v && lsn.v + 1 >= anchor.first.v;
	if (lsn.v == end.lsn.v)
		at.chain = end.chain;
	else if (at.is_there && lsn.v < anchor.first.v)
		at.chain = anchor.chain;
	else if (at.is_there)
		rc = chain_read(store, lsn, &at.chain, err);
	if (rc == MBJ_OK)
		*ret_at = at;
	return rc;
}
