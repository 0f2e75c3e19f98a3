/*
 * What the files that include <db.h> share.  Private to mailbox/db*.c; a file
 * that includes this defines _DEFAULT_SOURCE at its top (u_int in db.h).
 */
#ifndef MBJ_MAILBOX_DB_IMPL_H
#define MBJ_MAILBOX_DB_IMPL_H

#include <db.h>
#include <pthread.h>
#include <stdatomic.h>

#include "db_engine.h"

enum {
	/* Bytes of a key or value: a folded path and its account. */
	DB_RECORD_MAX = 1 << 20,
	DB_MESSAGE_MAX = 160,
};

struct db {
	DB_ENV *env;
	DB *tables[TABLE_COUNT];
	size_t checkpoint_log_size;
	atomic_bool is_failed;
	/* The engine's latest message, for the next error; any thread's. */
	pthread_mutex_t message_mutex;
	char message[DB_MESSAGE_MAX];
};

struct db_txn {
	struct db *db;
	DB_TXN *txn;
	size_t cursor_count; /* open ones */
	bool is_broken;	     /* a write failed half-way: it can only abort */
};

/* The error of a code other than 0; the environment may have failed by it. */
enum mbj_rc db_error(struct db *db, int code, const char *what,
		     const char *where, struct mbj_error *err);
/* MBJ_EIO where the environment has failed before. */
enum mbj_rc db_usable(const struct db *db, struct mbj_error *err);

/* Keys and values given to the engine are const, its parameters are not. */
static inline DBT dbt_in(struct mbj_bytes b)
{
	const void *p = b.p;
	DBT dbt;

	memset(&dbt, 0, sizeof(dbt));
	memcpy(&dbt.data, &p, sizeof(p));
	dbt.size = (uint32_t)b.n;
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
