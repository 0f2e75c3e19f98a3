/*
 * Berkeley DB behind db_engine.h: transactions, records, cursors.
 *
 * Invariants:
 *   1. a transaction in which a write failed is never committed: what the
 *      engine did of that write is not known;
 *   2. a snapshot is taken when its transaction begins;
 *   3. no cursor outlives its transaction.
 *
 * Threads: a transaction and its cursors belong to one thread.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <string.h>

#include <mbj/check.h>

#include "db_berkeley.h"

enum {
	DB_VALUE_GUESS = 512,
	/* What the log has of a change beside key and value, roughly. */
	DB_LOG_OVERHEAD = 192,
	/* Steps of a cursor one by one, before it takes them in bulk. */
	CURSOR_SINGLE_STEPS = 8,
	CURSOR_BULK_SIZE = 64 << 10,
	/* Multiple of 1,024, and room for the largest record. */
	CURSOR_BULK_SIZE_MAX = 4 * DB_RECORD_MAX,
};

_Static_assert(CURSOR_BULK_SIZE % 1024 == 0, "the engine's rule");

struct berkeley_cursor {
	struct db_cursor base;
	DBC *cursor;
	enum db_table table;
	uint32_t steps;
	void *key; /* where to start, then the last key */
	size_t key_size;
	size_t key_capacity;
	void *value;
	size_t value_capacity;
	void *bulk; /* records read ahead, NULL: none yet */
	size_t bulk_capacity;
	DBT bulk_dbt;
	void *bulk_at; /* the engine's place in bulk, NULL: used up */
};

static struct berkeley *env_of(const struct db_txn *txn)
{
	return berkeley_of(txn->db);
}

static DB_TXN *handle_of(struct db_txn *txn)
{
	return ((struct berkeley_txn *)txn)->handle;
}

static enum mbj_rc table_error(struct db_txn *txn, int code, const char *what,
			       enum db_table table, struct mbj_error *err)
{
	return berkeley_error(env_of(txn), code, what, db_table_name(table),
			      err);
}

/* The snapshot is the engine's log at the first page read: read one now. */
static int snapshot_pin(struct berkeley *db, DB_TXN *txn)
{
	DB *handle = db->tables[TABLE_META];
	uint8_t byte = 0;
	DBT key = dbt_in(mbj_bytes_make(&byte, sizeof(byte)));
	DBT value = dbt_out(&byte, sizeof(byte));
	int code = handle->get(handle, txn, &key, &value, 0);

	return code == DB_NOTFOUND || code == DB_BUFFER_SMALL ? 0 : code;
}

enum mbj_rc berkeley_begin(struct db *base, bool is_reading,
			   struct db_txn **ret_txn, struct mbj_error *err)
{
	struct berkeley *db = berkeley_of(base);
	struct berkeley_txn *txn;
	enum mbj_rc rc;
	int code;

	rc = berkeley_usable(db, err);
	if (rc < 0)
		return rc;
	txn = mbj_calloc(1, sizeof(*txn));
	if (!txn)
		return mbj_error_nomem(err);
	txn->base.db = base;
	code = db->env->txn_begin(db->env, NULL, &txn->handle,
				  is_reading ? DB_TXN_SNAPSHOT : DB_TXN_NOSYNC);
	if (code != 0) {
		mbj_free(txn);
		return berkeley_error(db, code, "begin", "a transaction", err);
	}
	code = is_reading ? snapshot_pin(db, txn->handle) : 0;
	if (code != 0) {
		rc = berkeley_error(db, code, "take", "a snapshot", err);
		berkeley_abort(&txn->base);
		return rc;
	}
	*ret_txn = &txn->base;
	return MBJ_OK;
}

enum mbj_rc berkeley_commit(struct db_txn *base, struct mbj_error *err)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)base;
	struct berkeley *db = env_of(base);
	int code;

	if (txn->is_broken) {
		berkeley_abort(base);
		return mbj_error_set(err, MBJ_EIO,
				     "a write of this transaction failed; it "
				     "was not committed");
	}
	code = txn->handle->commit(txn->handle, DB_TXN_NOSYNC);
	mbj_free(txn);
	if (code != 0)
		return berkeley_error(db, code, "commit", "a transaction", err);
	return MBJ_OK;
}

void berkeley_abort(struct db_txn *base)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)base;

	/* An abort that fails has made the environment panic already. */
	if (txn->handle->abort(txn->handle) != 0)
		atomic_store(&env_of(base)->is_failed, true);
	mbj_free(txn);
}

/* Room for at least n bytes at the end of buf, as the engine wants it. */
static DBT value_room(struct mbj_buf *buf, size_t n)
{
	size_t begin = buf->n;

	if (buf->capacity - begin < n) {
		mbj_buf_put_zero(buf, n);
		if (buf->failed != MBJ_OK)
			return dbt_out(NULL, 0);
		buf->n = begin;
	}
	return dbt_out(buf->p + begin, n);
}

enum mbj_rc berkeley_get(struct db_txn *txn, enum db_table table,
			 struct mbj_bytes key, struct mbj_buf *ret_value,
			 struct mbj_error *err)
{
	DB *handle = env_of(txn)->tables[table];
	size_t room = DB_VALUE_GUESS;
	DBT k = dbt_in(key);
	DBT v;
	enum mbj_rc rc;
	int code;

	rc = berkeley_usable(env_of(txn), err);
	if (rc < 0)
		return rc;
	do {
		if (room > DB_RECORD_MAX)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "the state's table %s holds a "
					     "record of %zu bytes",
					     db_table_name(table), room);
		v = value_room(ret_value, room);
		if (ret_value->failed != MBJ_OK)
			return mbj_buf_ok(ret_value, err);
		code = handle->get(handle, handle_of(txn), &k, &v, 0);
		room = v.size;
	} while (code == DB_BUFFER_SMALL);
	if (code == DB_NOTFOUND)
		return MBJ_ENOTFOUND;
	if (code != 0)
		return table_error(txn, code, "read table", table, err);
	ret_value->n += v.size;
	return MBJ_OK;
}

enum mbj_rc berkeley_put(struct db_txn *txn, enum db_table table,
			 struct mbj_bytes key, struct mbj_bytes value,
			 struct mbj_error *err)
{
	DB *handle = env_of(txn)->tables[table];
	DBT k = dbt_in(key);
	DBT v = dbt_in(value);
	enum mbj_rc rc;
	int code;

	rc = berkeley_usable(env_of(txn), err);
	if (rc == MBJ_OK)
		rc = berkeley_log_count(env_of(txn), key.n + value.n, err);
	if (rc < 0)
		return rc;
	env_of(txn)->log_estimate += key.n + value.n + DB_LOG_OVERHEAD;
	code = handle->put(handle, handle_of(txn), &k, &v, 0);
	if (code == 0)
		return MBJ_OK;
	((struct berkeley_txn *)txn)->is_broken = true;
	return table_error(txn, code, "write table", table, err);
}

enum mbj_rc berkeley_del(struct db_txn *txn, enum db_table table,
			 struct mbj_bytes key, struct mbj_error *err)
{
	DB *handle = env_of(txn)->tables[table];
	DBT k = dbt_in(key);
	enum mbj_rc rc;
	int code;

	rc = berkeley_usable(env_of(txn), err);
	if (rc == MBJ_OK)
		rc = berkeley_log_count(env_of(txn), key.n, err);
	if (rc < 0)
		return rc;
	env_of(txn)->log_estimate += key.n + DB_LOG_OVERHEAD;
	code = handle->del(handle, handle_of(txn), &k, 0);
	if (code == 0 || code == DB_NOTFOUND)
		return MBJ_OK;
	((struct berkeley_txn *)txn)->is_broken = true;
	return table_error(txn, code, "delete from table", table, err);
}

/* ------------------------------------------------------------- cursors */

/* Room for a key of n bytes, which the engine also wants for bulk reads. */
static enum mbj_rc key_reserve(struct berkeley_cursor *cursor, size_t n,
			       struct mbj_error *err)
{
	return mbj_array_reserve(&cursor->key, &cursor->key_capacity, n, 1,
				 2 * DB_RECORD_MAX, err);
}

enum mbj_rc berkeley_cursor_open(struct db_txn *txn, enum db_table table,
				 struct mbj_bytes start,
				 struct db_cursor **ret_cursor,
				 struct mbj_error *err)
{
	DB *handle = env_of(txn)->tables[table];
	struct berkeley_cursor *cursor;
	enum mbj_rc rc;
	int code;

	rc = berkeley_usable(env_of(txn), err);
	if (rc < 0)
		return rc;
	cursor = mbj_calloc(1, sizeof(*cursor));
	if (!cursor)
		return mbj_error_nomem(err);
	cursor->base.txn = txn;
	cursor->table = table;
	cursor->key_size = start.n;
	rc = key_reserve(cursor, start.n + DB_VALUE_GUESS, err);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&cursor->value, &cursor->value_capacity,
				       DB_VALUE_GUESS, 1, DB_RECORD_MAX, err);
	if (rc == MBJ_OK) {
		if (start.n > 0)
			memcpy(cursor->key, start.p, start.n);
		code = handle->cursor(handle, handle_of(txn), &cursor->cursor,
				      0);
		if (code != 0)
			rc = table_error(txn, code, "scan table", table, err);
	}
	if (rc < 0)
		berkeley_cursor_close(&cursor->base);
	else
		*ret_cursor = &cursor->base;
	return rc;
}

/*
 * One record by the engine's own copy.  Where a buffer is too small, the key
 * has either not been touched or is that of the record wanted: in both cases
 * asking again finds the same one.
 */
static enum mbj_rc cursor_single(struct berkeley_cursor *cursor,
				 struct mbj_bytes *ret_key,
				 struct mbj_bytes *ret_value,
				 struct mbj_error *err)
{
	uint32_t flag = cursor->steps == 0 ? DB_SET_RANGE : DB_NEXT;
	enum mbj_rc rc;

	for (;;) {
		DBT k = dbt_out(cursor->key, cursor->key_capacity);
		DBT v = dbt_out(cursor->value, cursor->value_capacity);
		int code;

		k.size = (uint32_t)cursor->key_size;
		code = cursor->cursor->get(cursor->cursor, &k, &v, flag);
		if (code == DB_NOTFOUND)
			return MBJ_ENOTFOUND;
		if (code != 0 && code != DB_BUFFER_SMALL)
			return table_error(cursor->base.txn, code, "scan table",
					   cursor->table, err);
		if (k.size <= cursor->key_capacity)
			cursor->key_size = k.size;
		if (code == 0) {
			*ret_key = mbj_bytes_make(cursor->key, k.size);
			*ret_value = mbj_bytes_make(cursor->value, v.size);
			return MBJ_OK;
		}
		rc = key_reserve(cursor, k.size, err);
		if (rc == MBJ_OK)
			rc = mbj_array_reserve(&cursor->value,
					       &cursor->value_capacity, v.size,
					       1, DB_RECORD_MAX, err);
		if (rc < 0)
			return rc;
	}
}

/* Read ahead; MBJ_ENOTFOUND at the table's end. */
static enum mbj_rc bulk_fill(struct berkeley_cursor *cursor,
			     struct mbj_error *err)
{
	size_t needed = CURSOR_BULK_SIZE;

	for (;;) {
		DBT k = dbt_out(cursor->key, cursor->key_capacity);
		enum mbj_rc rc;
		int code;

		rc = mbj_array_reserve(&cursor->bulk, &cursor->bulk_capacity,
				       needed, 1, CURSOR_BULK_SIZE_MAX, err);
		if (rc < 0)
			return rc;
		/* The engine wants a multiple of 1,024. */
		cursor->bulk_dbt = dbt_out(cursor->bulk, cursor->bulk_capacity &
								 ~(size_t)1023);
		code = cursor->cursor->get(cursor->cursor, &k,
					   &cursor->bulk_dbt,
					   DB_NEXT | DB_MULTIPLE_KEY);
		if (code == DB_NOTFOUND)
			return MBJ_ENOTFOUND;
		if (code == 0)
			break;
		if (code != DB_BUFFER_SMALL)
			return table_error(cursor->base.txn, code, "scan table",
					   cursor->table, err);
		if (k.size > cursor->key_capacity)
			rc = key_reserve(cursor, k.size, err);
		else
			needed = cursor->bulk_capacity * 2;
		if (rc < 0)
			return rc;
	}
	DB_MULTIPLE_INIT(cursor->bulk_at, &cursor->bulk_dbt);
	return MBJ_OK;
}

/* The next pair of those that were read at once; false at their end. */
static bool bulk_take(struct berkeley_cursor *cursor, struct mbj_bytes *ret_key,
		      struct mbj_bytes *ret_value)
{
	void *key;
	void *value;
	size_t key_size;
	size_t value_size;

	if (cursor->bulk_at == NULL)
		return false;
	DB_MULTIPLE_KEY_NEXT(cursor->bulk_at, &cursor->bulk_dbt, key, key_size,
			     value, value_size);
	if (cursor->bulk_at == NULL)
		return false;
	*ret_key = mbj_bytes_make(key, key_size);
	*ret_value = mbj_bytes_make(value, value_size);
	return true;
}

static enum mbj_rc cursor_bulk(struct berkeley_cursor *cursor,
			       struct mbj_bytes *ret_key,
			       struct mbj_bytes *ret_value,
			       struct mbj_error *err)
{
	while (!bulk_take(cursor, ret_key, ret_value)) {
		enum mbj_rc rc = bulk_fill(cursor, err);

		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

enum mbj_rc berkeley_cursor_next(struct db_cursor *base,
				 struct mbj_bytes *ret_key,
				 struct mbj_bytes *ret_value,
				 struct mbj_error *err)
{
	struct berkeley_cursor *cursor = (struct berkeley_cursor *)base;
	enum mbj_rc rc;

	rc = berkeley_usable(env_of(base->txn), err);
	if (rc < 0)
		return rc;
	if (cursor->steps >= CURSOR_SINGLE_STEPS)
		return cursor_bulk(cursor, ret_key, ret_value, err);
	rc = cursor_single(cursor, ret_key, ret_value, err);
	if (rc == MBJ_OK)
		cursor->steps++;
	return rc;
}

void berkeley_cursor_close(struct db_cursor *base)
{
	struct berkeley_cursor *cursor = (struct berkeley_cursor *)base;

	if (cursor->cursor)
		(void)cursor->cursor->close(cursor->cursor);
	mbj_free(cursor->key);
	mbj_free(cursor->value);
	mbj_free(cursor->bulk);
	mbj_free(cursor);
}
