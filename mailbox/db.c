/*
 * Berkeley DB behind db_engine.h.
 *
 * Settings and why (docs/decisions/0005): private regions, so that a full disk
 * cannot become SIGBUS and a killed neighbour cannot wedge a lock; checksums
 * on every database; multi-version tables, so that snapshot readers neither
 * wait for the writer nor stop it; commits without sync, since the journal is
 * the truth; no messages to standard error.
 *
 * Invariant: once failed, nothing is read or written until it is reopened.
 * Threads: the handles are free-threaded; see db_engine.h for the rule of
 * writers.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <db.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "db_engine.h"

enum {
	DB_PAGE_SIZE = 4096,
	DB_LOCKS_INIT = 4000,
	DB_TXNS_MAX = 1000,
	DB_LOG_BUFFER_SIZE = 1 << 20,
	DB_VALUE_GUESS = 512,
	/* Bytes of a key or value: a folded path and its account. */
	DB_RECORD_MAX = 1 << 20,
};

struct db {
	DB_ENV *env;
	DB *tables[TABLE_COUNT];
	size_t checkpoint_log_size;
	atomic_bool is_failed;
};

struct db_txn {
	struct db *db;
	DB_TXN *txn;
};

struct db_cursor {
	struct db *db;
	DBC *cursor;
	enum db_table table;
	uint8_t *key;	/* [DB_RECORD_MAX] the start, then the last one */
	uint8_t *value; /* [DB_RECORD_MAX] */
	size_t start_size;
	bool is_begun;
};

static const char *const table_names[] = {
#define X(name, word) [TABLE_##name] = (word),
	DB_TABLE_MAP(X)
#undef X
};

const char *db_table_name(enum db_table table)
{
	MBJ_ASSERT(table < TABLE_COUNT);
	return table_names[table];
}

/*
 * What a code means to us.  Anything that says "these bytes are wrong" asks
 * for a rebuild; that costs time, never data.
 */
static enum mbj_rc code_rc(int code)
{
	switch (code) {
	case ENOSPC:
		return MBJ_ENOSPC;
	case ENOMEM:
		return MBJ_ENOMEM;
	case DB_RUNRECOVERY:
	case DB_PAGE_NOTFOUND:
	case DB_VERIFY_BAD:
	case DB_OLD_VERSION:
	case DB_VERSION_MISMATCH:
	case ENOENT:
	case EINVAL:
		return MBJ_ECORRUPT;
	default:
		return MBJ_EIO;
	}
}

static enum mbj_rc db_error(struct db *db, int code, const char *what,
			    const char *where, struct mbj_error *err)
{
	enum mbj_rc rc = code_rc(code);

	MBJ_ASSERT(code != 0);
	if (rc == MBJ_ECORRUPT && db)
		atomic_store(&db->is_failed, true);
	return mbj_error_set(err, rc, "Berkeley DB cannot %s %s: %s", what,
			     where, db_strerror(code));
}

static enum mbj_rc failed_error(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EIO,
			     "the state failed earlier; close and reopen the "
			     "store");
}

/* Messages are for the caller's error, not for standard error. */
static void swallow_error(const DB_ENV *env, const char *prefix,
			  const char *message)
{
	(void)env;
	(void)prefix;
	(void)message;
}

static void swallow_message(const DB_ENV *env, const char *message)
{
	(void)env;
	(void)message;
}

static int env_configure(DB_ENV *env, const struct db_options *options)
{
	int code;

	env->set_errcall(env, swallow_error);
	env->set_msgcall(env, swallow_message);
	code = env->set_cachesize(env, (uint32_t)(options->cache_size >> 30),
				  (uint32_t)(options->cache_size &
					     ((1u << 30) - 1)),
				  1);
	if (code == 0)
		code = env->set_lg_bsize(env, DB_LOG_BUFFER_SIZE);
	if (code == 0)
		code = env->set_lg_max(env, (uint32_t)options->log_file_size);
	/* Room to begin with; private regions grow on the heap as needed. */
	if (code == 0)
		code = env->set_memory_init(env, DB_MEM_LOCK, DB_LOCKS_INIT);
	if (code == 0)
		code = env->set_memory_init(env, DB_MEM_LOCKOBJECT,
					    DB_LOCKS_INIT);
	if (code == 0)
		code = env->set_tx_max(env, DB_TXNS_MAX);
	if (code == 0)
		code = env->set_lk_detect(env, DB_LOCK_DEFAULT);
	if (code == 0)
		code = env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1);
	return code;
}

static enum mbj_rc env_open(struct db *db, const char *home,
			    const struct db_options *options,
			    struct mbj_error *err)
{
	const uint32_t flags = DB_CREATE | DB_PRIVATE | DB_INIT_TXN |
			       DB_INIT_LOG | DB_INIT_MPOOL | DB_INIT_LOCK |
			       DB_THREAD | DB_RECOVER;
	int code;

	code = db_env_create(&db->env, 0);
	if (code != 0)
		return db_error(db, code, "make an environment for", home, err);
	code = env_configure(db->env, options);
	if (code == 0)
		code = db->env->open(db->env, home, flags, 0600);
	/* A handle whose open failed may only be closed. */
	if (code != 0)
		return db_error(db, code, "open the environment in", home, err);
	return MBJ_OK;
}

static enum mbj_rc table_open(struct db *db, enum db_table table,
			      struct mbj_error *err)
{
	const uint32_t flags =
		DB_CREATE | DB_AUTO_COMMIT | DB_THREAD | DB_MULTIVERSION;
	const char *name = table_names[table];
	DB *handle;
	int code;

	code = db_create(&handle, db->env, 0);
	if (code != 0)
		return db_error(db, code, "make a handle for", name, err);
	db->tables[table] = handle;
	code = handle->set_pagesize(handle, DB_PAGE_SIZE);
	if (code == 0)
		code = handle->set_flags(handle, DB_CHKSUM);
	if (code == 0)
		code = handle->open(handle, NULL, "state.db", name, DB_BTREE,
				    flags, 0600);
	if (code != 0)
		return db_error(db, code, "open table", name, err);
	return MBJ_OK;
}

enum mbj_rc db_open(const char *home, const struct db_options *options,
		    struct db **ret_db, struct mbj_error *err)
{
	struct db *db = mbj_calloc(1, sizeof(*db));
	enum mbj_rc rc;

	if (!db)
		return mbj_error_nomem(err);
	db->checkpoint_log_size = options->checkpoint_log_size;
	rc = env_open(db, home, options, err);
	for (int i = 0; rc == MBJ_OK && i < TABLE_COUNT; i++)
		rc = table_open(db, (enum db_table)i, err);
	/* Recovering the same log again would cost the same again. */
	if (rc == MBJ_OK)
		rc = db_checkpoint(db, true, err);
	if (rc < 0)
		db_close(&db);
	else
		*ret_db = db;
	return rc;
}

void db_close(struct db **db)
{
	struct db *d = *db;

	if (!d)
		return;
	for (int i = 0; i < TABLE_COUNT; i++) {
		if (d->tables[i])
			(void)d->tables[i]->close(d->tables[i], DB_NOSYNC);
	}
	if (d->env)
		(void)d->env->close(d->env, 0);
	mbj_free(d);
	*db = NULL;
}

bool db_is_failed(const struct db *db)
{
	return atomic_load(&db->is_failed);
}

enum mbj_rc db_checkpoint(struct db *db, bool is_forced, struct mbj_error *err)
{
	uint32_t kib = (uint32_t)(db->checkpoint_log_size >> 10);
	int code;

	if (db_is_failed(db))
		return failed_error(err);
	code = db->env->txn_checkpoint(db->env, is_forced ? 0 : kib, 0,
				       is_forced ? DB_FORCE : 0);
	if (code != 0)
		return db_error(db, code, "checkpoint", "the state", err);
	return MBJ_OK;
}

enum mbj_rc db_begin(struct db *db, bool is_reading, struct db_txn **ret_txn,
		     struct mbj_error *err)
{
	struct db_txn *txn;
	int code;

	if (db_is_failed(db))
		return failed_error(err);
	txn = mbj_calloc(1, sizeof(*txn));
	if (!txn)
		return mbj_error_nomem(err);
	txn->db = db;
	code = db->env->txn_begin(db->env, NULL, &txn->txn,
				  is_reading ? DB_TXN_SNAPSHOT : DB_TXN_NOSYNC);
	if (code != 0) {
		mbj_free(txn);
		return db_error(db, code, "begin", "a transaction", err);
	}
	*ret_txn = txn;
	return MBJ_OK;
}

enum mbj_rc db_commit(struct db_txn **txn, struct mbj_error *err)
{
	struct db *db = (*txn)->db;
	int code = (*txn)->txn->commit((*txn)->txn, DB_TXN_NOSYNC);

	mbj_free(*txn);
	*txn = NULL;
	if (code != 0)
		return db_error(db, code, "commit", "a transaction", err);
	return MBJ_OK;
}

void db_abort(struct db_txn **txn)
{
	if (!*txn)
		return;
	/* An abort that fails has made the environment panic already. */
	if ((*txn)->txn->abort((*txn)->txn) != 0)
		atomic_store(&(*txn)->db->is_failed, true);
	mbj_free(*txn);
	*txn = NULL;
}

/* Berkeley DB's parameter is not const, but keys and values given are. */
static DBT dbt_in(struct mbj_bytes b)
{
	DBT dbt;
	const void *p = b.p;

	memset(&dbt, 0, sizeof(dbt));
	memcpy(&dbt.data, &p, sizeof(p));
	dbt.size = (uint32_t)b.n;
	MBJ_ASSERT(b.n <= UINT32_MAX);
	return dbt;
}

/* Room for at least n bytes at the end of buf. */
static DBT dbt_out(struct mbj_buf *buf, size_t n)
{
	size_t begin = buf->n;
	DBT dbt;

	memset(&dbt, 0, sizeof(dbt));
	mbj_buf_put_zero(buf, n);
	if (buf->failed != MBJ_OK)
		return dbt;
	buf->n = begin;
	dbt.data = buf->p + begin;
	dbt.ulen = (uint32_t)n;
	dbt.flags = DB_DBT_USERMEM;
	return dbt;
}

enum mbj_rc db_get(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_buf *ret_value,
		   struct mbj_error *err)
{
	DB *handle = txn->db->tables[table];
	DBT k = dbt_in(key);
	size_t room = DB_VALUE_GUESS;
	DBT v;
	int code;

	if (db_is_failed(txn->db))
		return failed_error(err);
	do {
		v = dbt_out(ret_value, room);
		if (ret_value->failed != MBJ_OK)
			return mbj_buf_ok(ret_value, err);
		code = handle->get(handle, txn->txn, &k, &v, 0);
		room = v.size;
	} while (code == DB_BUFFER_SMALL);
	if (code == DB_NOTFOUND)
		return MBJ_ENOTFOUND;
	if (code != 0)
		return db_error(txn->db, code, "read table", table_names[table],
				err);
	ret_value->n += v.size;
	return MBJ_OK;
}

enum mbj_rc db_put(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_bytes value,
		   struct mbj_error *err)
{
	DB *handle = txn->db->tables[table];
	DBT k = dbt_in(key);
	DBT v = dbt_in(value);
	int code;

	if (db_is_failed(txn->db))
		return failed_error(err);
	code = handle->put(handle, txn->txn, &k, &v, 0);
	if (code != 0)
		return db_error(txn->db, code, "write table",
				table_names[table], err);
	return MBJ_OK;
}

enum mbj_rc db_del(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_error *err)
{
	DB *handle = txn->db->tables[table];
	DBT k = dbt_in(key);
	int code;

	if (db_is_failed(txn->db))
		return failed_error(err);
	code = handle->del(handle, txn->txn, &k, 0);
	if (code != 0 && code != DB_NOTFOUND)
		return db_error(txn->db, code, "delete from table",
				table_names[table], err);
	return MBJ_OK;
}

enum mbj_rc db_cursor_open(struct db_txn *txn, enum db_table table,
			   struct mbj_bytes start,
			   struct db_cursor **ret_cursor, struct mbj_error *err)
{
	DB *handle = txn->db->tables[table];
	struct db_cursor *cursor;
	enum mbj_rc rc = MBJ_OK;
	int code;

	if (db_is_failed(txn->db))
		return failed_error(err);
	MBJ_ASSERT(start.n <= DB_RECORD_MAX);
	cursor = mbj_calloc(1, sizeof(*cursor));
	if (!cursor)
		return mbj_error_nomem(err);
	cursor->db = txn->db;
	cursor->table = table;
	cursor->start_size = start.n;
	cursor->key = mbj_alloc(DB_RECORD_MAX);
	cursor->value = mbj_alloc(DB_RECORD_MAX);
	if (!cursor->key || !cursor->value) {
		rc = mbj_error_nomem(err);
	} else {
		if (start.n)
			memcpy(cursor->key, start.p, start.n);
		code = handle->cursor(handle, txn->txn, &cursor->cursor, 0);
		if (code != 0)
			rc = db_error(txn->db, code, "scan table",
				      table_names[table], err);
	}
	if (rc < 0)
		db_cursor_close(&cursor);
	else
		*ret_cursor = cursor;
	return rc;
}

enum mbj_rc db_cursor_next(struct db_cursor *cursor, struct mbj_bytes *ret_key,
			   struct mbj_bytes *ret_value, struct mbj_error *err)
{
	DBT k;
	DBT v;
	int code;

	if (db_is_failed(cursor->db))
		return failed_error(err);
	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	k.data = cursor->key;
	k.size = (uint32_t)cursor->start_size;
	v.data = cursor->value;
	k.ulen = v.ulen = DB_RECORD_MAX;
	k.flags = v.flags = DB_DBT_USERMEM;
	code = cursor->cursor->get(cursor->cursor, &k, &v,
				   cursor->is_begun ? DB_NEXT : DB_SET_RANGE);
	if (code == DB_NOTFOUND)
		return MBJ_ENOTFOUND;
	if (code != 0)
		return db_error(cursor->db, code, "scan table",
				table_names[cursor->table], err);
	cursor->is_begun = true;
	*ret_key = mbj_bytes_make(cursor->key, k.size);
	*ret_value = mbj_bytes_make(cursor->value, v.size);
	return MBJ_OK;
}

void db_cursor_close(struct db_cursor **cursor)
{
	struct db_cursor *c = *cursor;

	if (!c)
		return;
	if (c->cursor)
		(void)c->cursor->close(c->cursor);
	mbj_free(c->key);
	mbj_free(c->value);
	mbj_free(c);
	*cursor = NULL;
}
