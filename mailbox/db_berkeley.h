/*
 * What the files that include <db.h> share.  Private to mailbox/db*.c; a file
 * that includes this defines _DEFAULT_SOURCE at its top (u_int in db.h).
 */
#ifndef MBJ_MAILBOX_DB_IMPL_H
#define MBJ_MAILBOX_DB_IMPL_H

#include <db.h>
#include <pthread.h>
#include <stdatomic.h>

#include "db_ops.h"
#include "db_past.h"

enum {
	DB_MESSAGE_MAX = 160,
	DB_VALUE_GUESS = 512, /* bytes that most values have room in */
};

struct berkeley {
	struct db base;
	DB_ENV *env;
	DB *tables[TABLE_COUNT];
	const struct mbj_sys *sys;
	char home[MBJ_PATH_TEXT_MAX];
	size_t log_file_size;
	uint32_t log_file_last; /* the last one whose entry is on disk */
	size_t log_volume;	/* written since that was looked at */
	size_t checkpoint_log_size;
	DB_LSN checkpoint; /* the last one that was noted (seal.h) */
	/*
	 * Log bytes, roughly, since the engine was last asked for a
	 * checkpoint; the writer's.  It only says when to ask: how much log
	 * there is, and so whether one is due, the engine knows.
	 */
	size_t log_estimate;
	bool is_up; /* the opening has come to its end */
	atomic_bool is_failed;
	struct past past; /* and the gate to the tables */
	/* The engine's first message for the next error; any thread's. */
	pthread_mutex_t message_mutex;
	char message[DB_MESSAGE_MAX];
};

struct berkeley_txn {
	struct db_txn base;
	DB_TXN *handle;		   /* NULL: a snapshot, */
	struct past_reader reader; /* which has this */
	bool is_broken; /* a write failed half-way: it can only abort */
};

/* The error of a code other than 0; the environment may have failed by it. */
enum mbj_rc berkeley_error(struct berkeley *db, int code, const char *what,
			   const char *where, struct mbj_error *err);
/* MBJ_EIO where the environment has failed before. */
enum mbj_rc berkeley_usable(const struct berkeley *db, struct mbj_error *err);

/* ------------------------------------------------- db_berkeley_log.c */

/* Entries of the first log files, on disk, before there is an environment. */
enum mbj_rc berkeley_log_begin(struct berkeley *db,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Everything that recovery will read is on disk. */
enum mbj_rc berkeley_home_sync(struct berkeley *db,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Entries of the log files that may be written next, on disk. */
enum mbj_rc berkeley_log_ahead(struct berkeley *db,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* The same from time to time, before so many records and bytes are written. */
enum mbj_rc berkeley_log_count(struct berkeley *db, size_t count, size_t size,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* db_berkeley_txn.c and db_berkeley_cursor.c, for the table of functions. */
enum mbj_rc berkeley_begin(struct db *db, bool is_reading,
			   struct db_txn **ret_txn, struct mbj_error *err);
enum mbj_rc berkeley_commit(struct db_txn *txn, struct mbj_error *err);
void berkeley_abort(struct db_txn *txn);
enum mbj_rc berkeley_get(struct db_txn *txn, enum db_table table,
			 struct mbj_bytes key, struct mbj_buf *ret_value,
			 struct mbj_error *err);
enum mbj_rc berkeley_write(struct db_txn *txn, const struct db_change *changes,
			   size_t count, struct mbj_error *err);
enum mbj_rc berkeley_put(struct db_txn *txn, enum db_table table,
			 struct mbj_bytes key, struct mbj_bytes value,
			 struct mbj_error *err);
enum mbj_rc berkeley_del(struct db_txn *txn, enum db_table table,
			 struct mbj_bytes key, struct mbj_error *err);
enum mbj_rc berkeley_cursor_open(struct db_txn *txn, enum db_table table,
				 struct mbj_bytes start,
				 struct db_cursor **ret_cursor,
				 struct mbj_error *err);
enum mbj_rc berkeley_cursor_next(struct db_cursor *cursor,
				 struct mbj_bytes *ret_key,
				 struct mbj_bytes *ret_value,
				 struct mbj_error *err);
void berkeley_cursor_close(struct db_cursor *cursor);

/* Every environment of this engine begins with the seam's part. */
static inline struct berkeley *berkeley_of(struct db *base)
{
	return (struct berkeley *)base;
}

static inline struct berkeley *berkeley_env(const struct db_txn *txn)
{
	return berkeley_of(txn->db);
}

/* NULL of a snapshot. */
static inline DB_TXN *berkeley_handle(struct db_txn *txn)
{
	return ((struct berkeley_txn *)txn)->handle;
}

static inline enum mbj_rc berkeley_table_error(struct db_txn *txn, int code,
					       const char *what,
					       enum db_table table,
					       struct mbj_error *err)
{
	return berkeley_error(berkeley_env(txn), code, what,
			      db_table_name(table), err);
}

/* Keys and values given to the engine are const, its parameters are not. */
static inline DBT dbt_in(struct mbj_bytes b)
{
	const void *p = b.p;
	DBT dbt;

	memset(&dbt, 0, sizeof(dbt));
	memcpy(&dbt.data, &p, sizeof(p));
	dbt.size = (uint32_t)b.n;
	/* Tables with an order of ours would give back the key found, too. */
	dbt.flags = DB_DBT_READONLY;
	return dbt;
}

/* The engine writes up to size bytes to p. */
static inline DBT dbt_out(void *p, size_t size)
{
	DBT dbt;

	memset(&dbt, 0, sizeof(dbt));
	dbt.data = p;
	dbt.ulen = (uint32_t)size;
	dbt.flags = DB_DBT_USERMEM;
	return dbt;
}

#endif
