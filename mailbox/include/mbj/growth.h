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

#ifdef __cplusplus
}
#endif

#endif
