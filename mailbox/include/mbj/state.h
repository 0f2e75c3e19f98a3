/*
 * The state: what the journal implies, on Berkeley DB.  Accounts, mailboxes
 * by id, slots, UIDVALIDITY floors of names, subscriptions, attributes,
 * tombstones, parked accounts, and the watermark up to which all of that
 * holds.  It can always be rebuilt from the journal; it is never ahead of it.
 *
 * Not here: operations, groups, durability policy (journal/), what to do when
 * something does not fit (replay/).
 *
 * One struct mbj_state is one open environment, owned by one process.  One
 * writing transaction at a time; any number of reading ones, each a snapshot
 * that does not disturb the writer.
 *
 * A writing transaction is a write-back cache over one Berkeley DB
 * transaction: mutations stay in memory with an undo log (savepoints) until
 * mbj_txn_flush or mbj_txn_commit; a record changed by a hundred groups of a
 * batch is written once.
 *
 * Invariants:
 *   1. a slot record exists exactly for each live mailbox, and names it;
 *   2. an account's digest is the sum over its records (mbj/digest.h): the
 *      account element, mailboxes, floors, subscriptions, attributes,
 *      contents (mbj/message.h), open intents (mbj/intent.h); tombstones,
 *      slots and parking stay outside;
 *   3. account, digest, watermark and chain change in one transaction;
 *   4. at commit no mailbox has TEMP as its parent.
 *
 * Threads: a transaction belongs to one thread; begin and commit of the
 * writing one are serialised by the caller (the batch), reading ones are free.
 */
#ifndef MBJ_STATE_H
#define MBJ_STATE_H

#include <mbj/digest.h>
#include <mbj/error.h>
#include <mbj/limits.h>
#include <mbj/memory.h>
#include <mbj/name.h>
#include <mbj/sys.h>
#include <mbj/tree.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_state;
struct mbj_txn;

/*
 * What keeps the records.  The engine in memory is for tests and simulations:
 * all tables in memory, written as one file at each checkpoint and read as a
 * whole when opened, through struct mbj_sys.  It keeps every promise of this
 * header, but its checkpoints cost as much as the state is large.
 */
enum mbj_state_engine {
	MBJ_STATE_BERKELEY_DB,
	MBJ_STATE_MEMORY,
};

struct mbj_state_options {
	size_t cache_size;	    /* bytes of Berkeley DB's page cache */
	size_t log_file_size;	    /* bytes of one Berkeley DB log file */
	size_t checkpoint_log_size; /* bytes of log between checkpoints */
	size_t records_cached_max;  /* records kept between transactions */
	enum mbj_state_engine engine;
};

#define MBJ_STATE_OPTIONS_DEFAULT                                          \
	((struct mbj_state_options){64u << 20, 4u << 20, 16u << 20, 65536, \
				    MBJ_STATE_BERKELEY_DB})

/*
 * Open (or create) the environment in directory home, running recovery.
 * Requires: the caller holds the store's lock.  A DB_CONFIG file in home is
 * refused (it could redirect files anywhere).
 * Returns: MBJ_ECORRUPT where Berkeley DB cannot recover, a checksum fails or
 * a table is missing: rebuild; MBJ_EUNSUPPORTED for another format;
 * MBJ_EINVALID for a lineage other than the one it was made with.
 */
enum mbj_rc mbj_state_open(const struct mbj_sys *sys, const char *home,
			   struct mbj_id lineage,
			   const struct mbj_state_options *options,
			   struct mbj_state **ret_state,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Checkpoints and closes; open transactions are a bug of the caller. */
void mbj_state_close(struct mbj_state **state);
/* Remove an environment with its directory, whatever shape it is in. */
enum mbj_rc mbj_state_destroy(const struct mbj_sys *sys, const char *home,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Checkpoint by log volume; force: now.  Old log files go. */
enum mbj_rc mbj_state_checkpoint(struct mbj_state *state, bool is_forced,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* Whether to give up what takes long; a pointer to it may be NULL: never. */
struct mbj_halt {
	bool (*is_asked)(const void *ctx);
	const void *ctx;
};

/* MBJ_EBUSY, naming what, where it is. */
enum mbj_rc mbj_halt_check(const struct mbj_halt *halt, const char *what,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Checkpoint, and copy the environment as it is then to home, which is not
 * there: opened there it is what it is now, for whoever reads for long.  A long
 * reading transaction of the state itself is refused in the end.
 * Requires: nobody writes meanwhile.
 * Returns: MBJ_ENOSPC, nothing copied, where it is longer than room; MBJ_EBUSY,
 * told to give up.
 * Durability: none; after a failure a part of it may be there.
 */
enum mbj_rc mbj_state_image(struct mbj_state *state, const char *home,
			    uint64_t room, const struct mbj_halt *halt,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* A reading transaction is open: the state cannot be closed now. */
bool mbj_state_has_readers(const struct mbj_state *state);
/* The library could not go on: every further call fails; close and reopen. */
bool mbj_state_is_failed(const struct mbj_state *state);
/* That, or mbj_txn_account_check found records that contradict each other. */
bool mbj_state_is_suspect(const struct mbj_state *state);
/*
 * It was closed before it was opened, and every page compared, or it was new.
 * After a kill nobody has compared anything.
 */
bool mbj_state_was_sealed(const struct mbj_state *state);
/* Closing it seals nothing: the next opening takes it as after a kill. */
void mbj_state_leave_unsealed(struct mbj_state *state);

/* ------------------------------------------------------------ records */

struct mbj_account {
	struct mbj_id id;
	struct mbj_bytes name; /* UTF-8, 1..MBJ_ACCOUNT_NAME_MAX bytes */
	struct mbj_name_policy policy;
	uint32_t uidvalidity_last; /* highest value ever given out */
	uint64_t quota_messages;   /* limit, 0: none */
	uint64_t quota_size;	   /* limit in bytes, 0: none */
	struct mbj_lsn lsn;	   /* last group that named it */
	struct mbj_digest digest;
	uint64_t mailbox_count;
	uint64_t subscription_count;
	uint64_t message_count; /* in all its mailboxes: usage of its quota */
	uint64_t message_size;	/* bytes, each copy counted */
};

struct mbj_mailbox {
	struct mbj_id id;
	struct mbj_id parent; /* ROOT at the top, TEMP while parked */
	struct mbj_name name; /* parked: name and key are the id's text */
	uint32_t uidvalidity;
	uint64_t rev; /* primitives applied to it, create included */
	uint8_t role; /* enum mbj_role */
	bool is_selectable;
};

/* What is remembered of a deleted mailbox. */
struct mbj_tombstone {
	struct mbj_id id;
	uint64_t rev; /* of the delete */
	uint32_t uidvalidity;
	struct mbj_lsn lsn;
};

/* Up to where the state is the journal's. */
struct mbj_watermark {
	struct mbj_lsn lsn;
	struct mbj_epoch epoch;
	struct mbj_hash chain; /* of the group at lsn */
};

/* Groups set aside for one account; they stay in the journal. */
struct mbj_parked {
	struct mbj_id account;
	struct mbj_lsn first; /* that waits; within a retry: at the earliest */
	struct mbj_lsn last;
	uint64_t count;
	struct mbj_bytes reason; /* one line, <= MBJ_ERROR_MESSAGE_MAX */
};

/*
 * Groups of one account that were given up: it is known to differ from what its
 * journal says, and by how much its digest does.
 */
struct mbj_skipped {
	struct mbj_id account;
	struct mbj_lsn first; /* given up: it differs from there on */
	struct mbj_lsn last;
	uint64_t count;
	struct mbj_digest lack; /* the recorded digest less the real one */
};

/* A full mailbox name: components joined by NUL, stored and comparison form. */
struct mbj_path {
	struct mbj_bytes stored;
	struct mbj_bytes key;
};

/*
 * Safety only, as mbj_name_is_safe: both forms have the same number of
 * components, MBJ_DEPTH_MAX at most, all of them safe.
 */
bool mbj_path_is_safe(const struct mbj_path *path);

/* ------------------------------------------------------- transactions */

/* Only one at a time.  Returns: MBJ_EIO once mbj_state_is_failed. */
enum mbj_rc mbj_txn_begin(struct mbj_state *state, struct mbj_txn **ret_txn,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A snapshot for reading; mutations through it are a bug.  Looks fail with
 * MBJ_ENOMEM once too much was written beside it (db_past.h).
 * Returns: MBJ_EBUSY while the state is filled from a snapshot's file.
 */
enum mbj_rc mbj_txn_begin_read(struct mbj_state *state,
			       struct mbj_txn **ret_txn,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Write all cached changes into Berkeley DB's transaction. */
enum mbj_rc mbj_txn_flush(struct mbj_txn *txn,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Flush and commit.  *txn is gone (NULL) whatever is returned.
 * Durability: atomic, but not synced: after a crash the state may be that of
 * an earlier commit, which the journal's tail then brings forward.
 */
enum mbj_rc mbj_txn_commit(struct mbj_txn **txn,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts NULL. */
void mbj_txn_abort(struct mbj_txn **txn);

/* A place in the undo log; rolling back forgets everything after it. */
size_t mbj_txn_savepoint(struct mbj_txn *txn);
void mbj_txn_rollback(struct mbj_txn *txn, size_t savepoint);

/*
 * Borrowed bytes in the results of mbj_txn_*_get live until the transaction
 * ends; those handed out by a scan until the next step of that scan.
 * All _get return MBJ_ENOTFOUND (err set) where there is none.
 */

enum mbj_rc mbj_txn_watermark(struct mbj_txn *txn,
			      struct mbj_watermark *ret_watermark,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_watermark_set(struct mbj_txn *txn,
				  const struct mbj_watermark *watermark,
				  struct mbj_error *err) MBJ_MUST_CHECK;

enum mbj_rc mbj_txn_account_get(struct mbj_txn *txn, struct mbj_id id,
				struct mbj_account *ret_account,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_account_find(struct mbj_txn *txn, struct mbj_bytes name,
				 struct mbj_account *ret_account,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_mailbox_get(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id,
				struct mbj_mailbox *ret_mailbox,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_slot_get(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_id parent, struct mbj_bytes key,
			     struct mbj_id *ret_id,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_tombstone_get(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_id id,
				  struct mbj_tombstone *ret_tombstone,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same where a miss is an answer: it costs no message, and a read that
 * fails is made once, so that its words are those of what was met first.
 */
enum mbj_rc mbj_txn_account_seek(struct mbj_txn *txn, struct mbj_id id,
				 struct mbj_account *ret_account,
				 bool *ret_is_found,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_mailbox_seek(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id,
				 struct mbj_mailbox *ret_mailbox,
				 bool *ret_is_found,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_tombstone_seek(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id id,
				   struct mbj_tombstone *ret_tombstone,
				   bool *ret_is_found,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The mailbox at a path, UTF-8 with the account's delimiter.  Returns:
 * MBJ_EINVALID (no path), MBJ_ENOTFOUND.
 */
enum mbj_rc mbj_txn_path_find(struct mbj_txn *txn,
			      const struct mbj_account *account,
			      struct mbj_bytes path,
			      struct mbj_mailbox *ret_mailbox,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* 0 where the name was never retired. */
enum mbj_rc mbj_txn_floor_get(struct mbj_txn *txn, struct mbj_id account,
			      const struct mbj_hash *name_hash,
			      uint32_t *ret_uidvalidity,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_subscribed(struct mbj_txn *txn, struct mbj_id account,
			       struct mbj_bytes path_key,
			       bool *ret_is_subscribed,
			       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_parked_get(struct mbj_txn *txn, struct mbj_id account,
			       struct mbj_parked *ret_parked,
			       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_skipped_seek(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_skipped *ret_skipped,
				 bool *ret_is_found,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Scans, in key order; they flush first, so that they see everything.
 * Use: init once, then _next until it yields MBJ_ENOTFOUND (err untouched),
 * then _done (accepts a scan never begun, all zero).  The transaction must
 * not be mutated during a scan.
 */
struct mbj_scan {
	struct mbj_txn *txn;
	void *cursor;
	struct mbj_buf prefix; /* key prefix that bounds it */
	uint8_t table;
	bool is_begun;
};

enum mbj_rc mbj_scan_accounts(struct mbj_txn *txn, struct mbj_scan *ret_scan,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_mailboxes(struct mbj_txn *txn, struct mbj_id account,
			       struct mbj_scan *ret_scan,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Ids of the live children of parent, by comparison key. */
enum mbj_rc mbj_scan_children(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id parent, struct mbj_scan *ret_scan,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Subscriptions at path_key or below it; empty: all of the account. */
enum mbj_rc mbj_scan_subscriptions(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_bytes path_key,
				   struct mbj_scan *ret_scan,
				   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_parked(struct mbj_txn *txn, struct mbj_scan *ret_scan,
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_account(struct mbj_scan *scan,
				  struct mbj_account *ret_account,
				  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_mailbox(struct mbj_scan *scan,
				  struct mbj_mailbox *ret_mailbox,
				  struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_child(struct mbj_scan *scan, struct mbj_id *ret_id,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_subscription(struct mbj_scan *scan,
				       struct mbj_path *ret_path,
				       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_scan_next_parked(struct mbj_scan *scan,
				 struct mbj_parked *ret_parked,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* Begun with mbj_scan_parked as well: both are in one table. */
enum mbj_rc mbj_scan_next_skipped(struct mbj_scan *scan,
				  struct mbj_skipped *ret_skipped,
				  struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_scan_done(struct mbj_scan *scan);
/* Accounts of which groups were given up. */
enum mbj_rc mbj_txn_skipped_count(struct mbj_txn *txn, uint64_t *ret_count,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The whole tree of an account, settled and checked, with is_subscribed set.
 * Ownership: the caller frees it.
 */
enum mbj_rc mbj_txn_tree_load(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_tree **ret_tree,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The name hash of a path, component by component:
 * hash(root) = 32 zero bytes, hash(child) = SHA-256(hash(parent), key).
 */
enum mbj_rc mbj_txn_name_hash(struct mbj_txn *txn,
			      const struct mbj_hash *parent,
			      struct mbj_bytes key, struct mbj_hash *ret_hash,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------- mutations */

/*
 * Each checks its preconditions in full and changes nothing where one fails:
 * MBJ_ECONFLICT, naming it.  They are the last line of defence; verdicts by
 * revision are journal/apply's.
 */

/* Requires: id and name unused.  lsn, digest and counts start at zero. */
enum mbj_rc mbj_txn_account_create(struct mbj_txn *txn,
				   const struct mbj_account *account,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* The tombstone of one that is not there: its id is never used again. */
enum mbj_rc mbj_txn_account_bury(struct mbj_txn *txn, struct mbj_id id,
				 struct mbj_lsn lsn,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* Everything of it goes, but the id's tombstone (never used again). */
enum mbj_rc mbj_txn_account_delete(struct mbj_txn *txn, struct mbj_id id,
				   struct mbj_lsn lsn,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same without a trace, for an account that is to be made anew: all its
 * messages at once, also those that wait to be reaped, its tombstones, and its
 * own.  One that is not there, or was deleted, is good, too.
 * Requires: memory for what it had, about 700 bytes for each message.
 */
enum mbj_rc mbj_txn_account_wipe(struct mbj_txn *txn, struct mbj_id id,
				 struct mbj_lsn lsn,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_account_rename(struct mbj_txn *txn, struct mbj_id id,
				   struct mbj_bytes from, struct mbj_bytes to,
				   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_account_set_quota(struct mbj_txn *txn, struct mbj_id id,
				      uint64_t messages, uint64_t size,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/* An entry of the account's own METADATA; an empty value removes it. */
enum mbj_rc mbj_txn_account_set_attr(struct mbj_txn *txn, struct mbj_id id,
				     struct mbj_bytes name,
				     struct mbj_bytes value,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* Note the group that named it; outside the digest. */
enum mbj_rc mbj_txn_account_set_lsn(struct mbj_txn *txn, struct mbj_id id,
				    struct mbj_lsn lsn,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/* True where the id once was an account and was deleted. */
enum mbj_rc mbj_txn_account_is_dead(struct mbj_txn *txn, struct mbj_id id,
				    bool *ret_is_dead,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/* Requires: id never used, slot free, parent live, ROOT or TEMP. */
enum mbj_rc mbj_txn_mailbox_create(struct mbj_txn *txn, struct mbj_id account,
				   const struct mbj_mailbox *mailbox,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/* A position as a primitive records it; key is what identifies. */
struct mbj_slot {
	struct mbj_id parent;
	struct mbj_name name;
};

/*
 * Requires: the mailbox has revision rev and is in slot from; slot to is free
 * (or its own); to's parent is live, ROOT or TEMP, and not at or below it.
 * uidvalidity 0 keeps the value.  The revision becomes rev + 1.
 */
enum mbj_rc mbj_txn_mailbox_move(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_id id, uint64_t rev,
				 const struct mbj_slot *from,
				 const struct mbj_slot *to,
				 uint32_t uidvalidity,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: revision and slot as given, no children.  Leaves a tombstone. */
enum mbj_rc mbj_txn_mailbox_delete(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id id, uint64_t rev,
				   const struct mbj_slot *from,
				   struct mbj_lsn lsn,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* Role, selectability and UIDVALIDITY as given; revision becomes rev + 1. */
enum mbj_rc mbj_txn_mailbox_set(struct mbj_txn *txn, struct mbj_id account,
				struct mbj_id id, uint64_t rev, uint8_t role,
				bool is_selectable, uint32_t uidvalidity,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * An ACL entry or METADATA entry by kind and name; an empty value removes it.
 * The revision becomes rev + 1.
 */
enum mbj_rc mbj_txn_mailbox_set_attr(struct mbj_txn *txn, struct mbj_id account,
				     struct mbj_id id, uint64_t rev,
				     uint8_t kind, struct mbj_bytes name,
				     struct mbj_bytes value,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/* Idempotent: subscribing twice is one subscription. */
enum mbj_rc mbj_txn_subscribe(struct mbj_txn *txn, struct mbj_id account,
			      const struct mbj_path *path,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_unsubscribe(struct mbj_txn *txn, struct mbj_id account,
				const struct mbj_path *path,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Only ever raises. */
enum mbj_rc mbj_txn_floor_raise(struct mbj_txn *txn, struct mbj_id account,
				const struct mbj_hash *name_hash,
				uint32_t uidvalidity,
				struct mbj_error *err) MBJ_MUST_CHECK;

enum mbj_rc mbj_txn_parked_set(struct mbj_txn *txn,
			       const struct mbj_parked *parked,
			       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_parked_clear(struct mbj_txn *txn, struct mbj_id account,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_skipped_set(struct mbj_txn *txn,
				const struct mbj_skipped *skipped,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_txn_skipped_clear(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- fsck */

/*
 * Check every invariant of one account against its records: slots, parents,
 * cycles, counts, digest, TEMP empty.  Returns: MBJ_ECORRUPT naming the first
 * fault; ret_digest is what the records really sum to.  The state is suspect
 * from then on.
 */
enum mbj_rc mbj_txn_account_check(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_digest *ret_digest,
				  struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
