/*
 * What a transaction will take on disk, and what it may.  See mbj/growth.h.
 *
 * Threads: the transaction's.
 */
#include <mbj/check.h>
#include <mbj/growth.h>

#include "state_priv.h"

uint64_t mbj_txn_growth(const struct mbj_txn *txn)
{
	MBJ_ASSERT(!txn->is_reading);
	return cache_growth(txn->state->cache);
}

void mbj_txn_growth_limit(struct mbj_txn *txn, uint64_t max)
{
	MBJ_ASSERT(!txn->is_reading);
	txn->growth_max = max;
	txn->growth_refused = 0;
}

uint64_t mbj_txn_growth_refused(const struct mbj_txn *txn)
{
	return txn->growth_refused;
}

enum mbj_rc txn_growth_check(struct mbj_txn *txn, struct mbj_error *err)
{
	uint64_t growth = mbj_txn_growth(txn);

	if (growth <= txn->growth_max)
		return MBJ_OK;
	txn->growth_refused = growth;
	return mbj_error_set(err, MBJ_ENOSPC,
			     "the state would grow by %llu bytes or more, and "
			     "there is room for %llu",
			     (unsigned long long)growth,
			     (unsigned long long)txn->growth_max);
}
