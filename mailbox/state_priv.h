/*
 * What the files of the state share.  Private to mailbox/.
 */
#ifndef MBJ_MAILBOX_STATE_PRIV_H
#define MBJ_MAILBOX_STATE_PRIV_H

#include <stdatomic.h>

#include <mbj/hash.h>
#include <mbj/state.h>

#include "cache.h"
#include "record.h"

/* Account ids that are dead are kept as tombstones of this mailbox id. */
#define DEAD_ACCOUNT MBJ_ID_TEMP

struct gather; /* gather.h */

struct mbj_state {
	const struct mbj_sys *sys;
	char home[MBJ_PATH_TEXT_MAX];
	struct db *db;
	struct cache *cache;
	struct mbj_hash digest_key;
	struct mbj_txn
		*writer; /* the writing one's memory, kept when it ends */
	bool is_sealed_when_closed;
	struct mbj_buf tables_sealed; /* what its seal said of them (seal.h) */
	bool was_sealed;	 /* or new: no kill came before this opening */
	atomic_bool is_suspect;	 /* a check of its records failed */
	bool is_writing;	 /* a writing transaction is open */
	bool has_orphans;	 /* there may be something to reap */
	bool cannot_reap;	 /* it is damaged: whatever is rolled back */
	atomic_bool has_skipped; /* there may be accounts that lack groups */
	atomic_size_t readers;	 /* reading ones that are open */
};

struct mbj_txn {
	struct mbj_state *state;
	struct db_txn *txn;
	struct mbj_sha256 *sha;
	struct mbj_arena *arena; /* what a reading one hands out */
	struct mbj_buf key;
	struct mbj_buf value;
	struct mbj_buf element; /* what an account adds to its digest */
	/* The account looked up last, and the value it was taken from. */
	struct mbj_account account;
	const uint8_t *account_value;
	uint64_t growth_max; /* with which the engine is told anything */
	uint64_t growth_refused;
	bool is_reading;
};

/* Before the engine is told anything (mbj/growth.h).  Returns: MBJ_ENOSPC. */
enum mbj_rc txn_growth_check(struct mbj_txn *txn,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Whose the state is. */
enum mbj_rc txn_lineage_get(struct mbj_txn *txn, struct mbj_id *ret_lineage,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* The record at txn->key; MBJ_ENOTFOUND (err untouched) where none is. */
enum mbj_rc txn_get(struct mbj_txn *txn, enum db_table table,
		    struct mbj_bytes *ret_value,
		    struct mbj_error *err) MBJ_MUST_CHECK;
/* Put txn->value at txn->key. */
enum mbj_rc txn_put(struct mbj_txn *txn, enum db_table table,
		    struct mbj_error *err) MBJ_MUST_CHECK;
/* Delete what is at txn->key. */
enum mbj_rc txn_del(struct mbj_txn *txn, enum db_table table,
		    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The same for tables that are in the account's digest: *account's digest
 * follows, and the caller writes the account.
 */
enum mbj_rc txn_put_summed(struct mbj_txn *txn, enum db_table table,
			   struct mbj_account *account,
			   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc txn_del_summed(struct mbj_txn *txn, enum db_table table,
			   struct mbj_account *account,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* An attribute as it is recorded; likewise. */
enum mbj_rc attribute_put(struct mbj_txn *txn, struct mbj_account *account,
			  struct mbj_id mailbox, uint8_t kind,
			  struct mbj_bytes name, struct mbj_bytes value,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* What a record adds to a digest: its key behind the account, its value. */
enum mbj_rc record_sum(struct mbj_txn *txn, enum db_table table,
		       struct mbj_bytes key, struct mbj_bytes value,
		       bool is_added, struct mbj_digest *digest,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* The account's own element, by its values as they are. */
enum mbj_rc account_sum(struct mbj_txn *txn, const struct mbj_account *account,
			bool is_added, struct mbj_digest *digest,
			struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc account_put(struct mbj_txn *txn, const struct mbj_account *account,
			struct mbj_error *err) MBJ_MUST_CHECK;

/* MBJ_ECONFLICT where there is none. */
enum mbj_rc account_expect(struct mbj_txn *txn, struct mbj_id id,
			   struct mbj_account *ret_account,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* Are there accounts of which groups were given up? */
enum mbj_rc state_skipped_look(struct mbj_state *state,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* Scans: from txn->key on, as far as its first prefix_size bytes go. */
enum mbj_rc scan_begin(struct mbj_txn *txn, enum db_table table,
		       size_t prefix_size, struct mbj_scan *ret_scan,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* The next record; rest is the key behind the prefix.  MBJ_ENOTFOUND: none. */
enum mbj_rc scan_next(struct mbj_scan *scan, struct mbj_bytes *ret_key,
		      struct mbj_bytes *ret_rest, struct mbj_bytes *ret_value,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* The same where an id, and nothing else, is behind the prefix. */
enum mbj_rc scan_next_id(struct mbj_scan *scan, struct mbj_bytes *ret_key,
			 struct mbj_id *ret_id, struct mbj_bytes *ret_value,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* The next of the contents of an account. */
enum mbj_rc scan_next_content(struct mbj_scan *scan, struct mbj_id *ret_mailbox,
			      struct mbj_content *ret_content,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The content of a mailbox goes: out of the account, whom the caller writes,
 * and onto the list of what is to be reaped.
 */
enum mbj_rc content_drop(struct mbj_txn *txn, struct mbj_account *account,
			 struct mbj_id mailbox,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* All contents of an account that goes; their records are left to the caller.
 */
enum mbj_rc contents_drop(struct mbj_txn *txn, struct mbj_id account,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* All messages of the account, whatever mailbox or none has them. */
enum mbj_rc messages_wipe(struct mbj_txn *txn, struct mbj_id account,
			  struct mbj_lsn lsn,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* The account's contents against its tree and its messages: fsck. */
enum mbj_rc contents_check(struct mbj_txn *txn,
			   const struct mbj_account *account,
			   struct gather *gather,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* One message more or less has this blob. */
enum mbj_rc blob_take(struct mbj_txn *txn, const struct mbj_hash *blob,
		      uint64_t size, struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc blob_leave(struct mbj_txn *txn, const struct mbj_hash *blob,
		       struct mbj_lsn lsn,
		       struct mbj_error *err) MBJ_MUST_CHECK;

/* MBJ_ECONFLICT. */
MBJ_PRINTF(2, 3)
enum mbj_rc conflict(struct mbj_error *err, const char *format, ...);
#define conflict(...) MBJ_FAILURE(conflict(__VA_ARGS__))

#endif
