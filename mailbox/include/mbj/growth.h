/*
 * What a transaction of the state will take on disk.
 *
 * Threads: the transaction's.
 */
#ifndef MBJ_GROWTH_H
#define MBJ_GROWTH_H

#include <stdint.h>

struct mbj_txn;

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Bytes that the state's files grow by at most, until it is checkpointed, with
 * all that a writing transaction has changed: the log of it, which goes then,
 * and pages.  From what was measured (cache.c), more rather than less.
 */
uint64_t mbj_txn_growth(const struct mbj_txn *txn);

/*
 * From now on nothing is told to the engine, and so written, with a growth
 * above max: what has to be fails with MBJ_ENOSPC, and the transaction goes on.
 * UINT64_MAX, as at its beginning: whatever it comes to.
 */
void mbj_txn_growth_limit(struct mbj_txn *txn, uint64_t max);
/* The growth that was refused last since then, 0: none was. */
uint64_t mbj_txn_growth_refused(const struct mbj_txn *txn);

#ifdef __cplusplus
}
#endif

#endif
