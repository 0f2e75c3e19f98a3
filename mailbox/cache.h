/*
 * The write-back record cache: what a writing transaction has read and
 * changed, over one engine transaction, with an undo log for savepoints.
 * Private to mailbox/.
 *
 * Keys and values live in one arena that is emptied between transactions
 * only, so what cache_get hands out is good until the transaction ends, and
 * an undo is a pointer.  Between transactions clean records stay, as a read
 * cache, until they are too many: then all go.
 *
 * Invariants:
 *   1. a record that differs from the engine's is dirty and in the dirty list;
 *   2. a value is changed only by cache_set, which logs the old one.
 *
 * Threads: the writer's.
 */
#ifndef MBJ_MAILBOX_CACHE_H
#define MBJ_MAILBOX_CACHE_H

#include "db_engine.h"

struct cache;

enum mbj_rc cache_new(size_t records_max, struct mbj_id seed,
		      struct cache **ret_cache,
		      struct mbj_error *err) MBJ_MUST_CHECK;
void cache_free(struct cache **cache);

/* Through to the engine where it is not known; MBJ_ENOTFOUND (err untouched).
 */
enum mbj_rc cache_get(struct cache *cache, struct db_txn *txn,
		      enum db_table table, struct mbj_bytes key,
		      struct mbj_bytes *ret_value,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* value NULL: delete. */
enum mbj_rc cache_set(struct cache *cache, struct db_txn *txn,
		      enum db_table table, struct mbj_bytes key,
		      const struct mbj_bytes *value,
		      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Bytes that the engine's files grow by at most, for a moment, with all that
 * this transaction has changed so far: its log, then its pages.
 */
uint64_t cache_growth(const struct cache *cache);

size_t cache_savepoint(const struct cache *cache);
void cache_rollback(struct cache *cache, size_t savepoint);
enum mbj_rc cache_flush(struct cache *cache, struct db_txn *txn,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* The engine has committed; nothing is dirty. */
void cache_committed(struct cache *cache);
/* The engine has forgotten the transaction: so does the cache. */
void cache_aborted(struct cache *cache);

#endif
