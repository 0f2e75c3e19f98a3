/*
 * The engine seam: ordered tables of bytes with transactions, by the engine
 * that was chosen when the environment was opened.  Only db*.c includes
 * <db.h>.  Private to mailbox/.
 *
 * One writing transaction at a time (the caller's rule); reading ones are
 * snapshots of the last commit.  One that is open while much is written fails
 * with MBJ_ENOMEM (db_past.h).  Durability is the journal's: commits are
 * atomic, not synced.
 */
#ifndef MBJ_MAILBOX_DB_H
#define MBJ_MAILBOX_DB_H

#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/state.h>
#include <mbj/sys.h>
#include <mbj/types.h>

/* X(name, file word): the tables; the order is the digest's, new ones last. */
#define DB_TABLE_MAP(X)                   \
	X(META, "meta")                   \
	X(ACCOUNTS, "accounts")           \
	X(ACCOUNT_NAMES, "account-names") \
	X(MAILBOXES, "mailboxes")         \
	X(SLOTS, "slots")                 \
	X(FLOORS, "floors")               \
	X(SUBSCRIPTIONS, "subscriptions") \
	X(ATTRIBUTES, "attributes")       \
	X(TOMBSTONES, "tombstones")       \
	X(PARKED, "parked")               \
	X(CONTENTS, "contents")           \
	X(MESSAGES, "messages")           \
	X(VANISHED, "vanished")           \
	X(BLOBS, "blobs")                 \
	X(ORPHANS, "orphans")             \
	X(WANTED, "wanted")               \
	X(INTENTS, "intents")

enum db_table {
#define X(name, word) TABLE_##name,
	DB_TABLE_MAP(X)
#undef X
		TABLE_COUNT
};

const char *db_table_name(enum db_table table);

/* The one file of an environment of the engine in memory. */
#define DB_MEMORY_NAME "state.mem"
/*
 * The number of the last page, as the first page of Berkeley DB's file has it:
 * for a look at files that it is not to see yet.
 */
uint32_t db_berkeley_last_page(struct mbj_bytes first_page);
/*
 * Whether its library may be shown such a page: the first one of a table says
 * in a byte whether pages have checksums, its own too.  Without it they are
 * read as if they had none, each shifted, and it crashes.  Nor does it look at
 * the checksum of a page of a type that it does not know; where it looks for a
 * table's root it then begins anew without end, and fills the disk with log.
 */
bool db_berkeley_page_is_sane(struct mbj_bytes page);
/*
 * What a log file of Berkeley DB begins with; whether its library may be shown
 * it.  It sums up the first record by the length that the record has in it, so
 * another length than it writes makes it read what is not its own, and crash.
 * All zeroes, of a file that is not written to yet, it knows.
 */
enum { DB_LOG_HEAD_SIZE = 28 };
bool db_berkeley_log_is_sane(struct mbj_bytes head);

struct db;
struct db_txn;
struct db_cursor;

struct db_options {
	size_t cache_size;
	size_t log_file_size;
	size_t checkpoint_log_size;
	bool is_new; /* make the tables; else they must be there */
	enum mbj_state_engine engine;
	const struct mbj_sys *sys; /* not for Berkeley DB's own calls */
};

/*
 * Runs recovery.  Durability: the entries of a new environment are on disk.
 * Returns: MBJ_ECORRUPT where that fails.
 */
enum mbj_rc db_open(const char *home, const struct db_options *options,
		    struct db **ret_db, struct mbj_error *err) MBJ_MUST_CHECK;
void db_close(struct db **db);
bool db_is_failed(const struct db *db);
/*
 * No byte of the tables' file was written since the environment was opened, and
 * none will be when it is closed now.  False where that is not known.
 * Requires: no transaction is open.
 */
bool db_tables_are_as_opened(struct db *db);
enum mbj_rc db_checkpoint(struct db *db, bool is_forced,
			  struct mbj_error *err) MBJ_MUST_CHECK;

enum mbj_rc db_begin(struct db *db, bool is_reading, struct db_txn **ret_txn,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The transaction is gone whatever is returned.  One in which a write failed
 * is not committed: MBJ_EIO.
 */
enum mbj_rc db_commit(struct db_txn **txn,
		      struct mbj_error *err) MBJ_MUST_CHECK;
void db_abort(struct db_txn **txn);

/* What a record is to be, and what it was at the last commit. */
struct db_change {
	enum db_table table;
	bool is_there;
	bool was_there;
	struct mbj_bytes key;
	struct mbj_bytes value;	 /* while is_there */
	struct mbj_bytes before; /* while was_there */
};

/*
 * Where one fails, the transaction can only be given up.
 * Requires: keys and what they were before stay until the transaction ends, for
 * whoever reads beside it.
 */
enum mbj_rc db_write(struct db_txn *txn, const struct db_change *changes,
		     size_t count, struct mbj_error *err) MBJ_MUST_CHECK;

/* The value is appended to ret_value.  MBJ_ENOTFOUND leaves err alone. */
enum mbj_rc db_get(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_buf *ret_value,
		   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * One record that nobody is told of: for tables that are filled, which nobody
 * reads.  Requires: no reading transaction is open.  None can begin until this
 * one ends: MBJ_EBUSY.
 */
enum mbj_rc db_put(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_bytes value,
		   struct mbj_error *err) MBJ_MUST_CHECK;
/* Likewise.  Deleting what is not there is no error. */
enum mbj_rc db_del(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * From the first key at or above start.  Read ahead: the table must not be
 * written while it is open.  Never MBJ_ENOTFOUND: where there is no such key,
 * the cursor stands at the end.
 */
enum mbj_rc db_cursor_open(struct db_txn *txn, enum db_table table,
			   struct mbj_bytes start,
			   struct db_cursor **ret_cursor,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Borrowed until the next call; MBJ_ENOTFOUND at the end (err untouched). */
enum mbj_rc db_cursor_next(struct db_cursor *cursor, struct mbj_bytes *ret_key,
			   struct mbj_bytes *ret_value,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void db_cursor_close(struct db_cursor **cursor);

#endif
