/*
 * Berkeley DB behind db_engine.h: transactions and records.
 *
 * The engine keeps one version of a page and has no locks.  So it is written to
 * by who is alone at the gate, a snapshot reads it in there, and what of it is
 * no longer what the snapshot saw, db_past.h has.  A snapshot is no transaction
 * to the engine.  The writer reads as he likes: nobody else writes.
 *
 * Invariants:
 *   1. a transaction in which a write failed is never committed: what the
 *      engine did of that write is not known;
 *   2. a snapshot is of the last commit before its transaction began.
 *
 * Threads: a transaction and its cursors belong to one thread.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <string.h>

#include <mbj/check.h>

#include "db_berkeley.h"

enum {
	/* What the log has of a change beside key and value, roughly. */
	DB_LOG_OVERHEAD = 192,
	/* Bytes of keys and values behind which others may go in. */
	WRITE_SIZE = 64 << 10,
};

static enum mbj_rc writer_begin(struct berkeley *db, struct berkeley_txn *txn,
				struct mbj_error *err)
{
	int code;

	code = db->env->txn_begin(db->env, NULL, &txn->handle, DB_TXN_NOSYNC);
	if (code != 0)
		return berkeley_error(db, code, "begin", "a transaction", err);
	return MBJ_OK;
}

enum mbj_rc berkeley_begin(struct db *base, bool is_reading,
			   struct db_txn **ret_txn, struct mbj_error *err)
{
	struct berkeley *db = berkeley_of(base);
	struct berkeley_txn *txn;
	enum mbj_rc rc;

	rc = berkeley_usable(db, err);
	if (rc < 0)
		return rc;
	txn = mbj_calloc(1, sizeof(*txn));
	if (!txn)
		return mbj_error_nomem(err);
	txn->base.db = base;
	rc = is_reading ? past_reader_begin(&db->past, &txn->reader, err)
			: writer_begin(db, txn, err);
	if (rc < 0) {
		mbj_free(txn);
		return rc;
	}
	*ret_txn = &txn->base;
	return MBJ_OK;
}

enum mbj_rc berkeley_commit(struct db_txn *base, struct mbj_error *err)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)base;
	struct berkeley *db = berkeley_env(base);
	int code;

	if (txn->is_broken) {
		berkeley_abort(base);
		return mbj_error_set(err, MBJ_EIO,
				     "a write of this transaction failed; it "
				     "was not committed");
	}
	past_enter_alone(&db->past);
	code = txn->handle->commit(txn->handle, DB_TXN_NOSYNC);
	past_ended(&db->past);
	past_leave(&db->past);
	mbj_free(txn);
	if (code != 0)
		return berkeley_error(db, code, "commit", "a transaction", err);
	return MBJ_OK;
}

void berkeley_abort(struct db_txn *base)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)base;
	struct berkeley *db = berkeley_env(base);

	if (txn->handle == NULL) {
		past_reader_end(&db->past, &txn->reader);
		mbj_free(txn);
		return;
	}
	past_enter_alone(&db->past);
	/* An abort that fails has made the environment panic already. */
	if (txn->handle->abort(txn->handle) != 0)
		atomic_store(&db->is_failed, true);
	past_ended(&db->past);
	past_leave(&db->past);
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

static enum mbj_rc engine_get(struct db_txn *txn, enum db_table table,
			      struct mbj_bytes key, struct mbj_buf *ret_value,
			      struct mbj_error *err)
{
	DB *handle = berkeley_env(txn)->tables[table];
	size_t room = DB_VALUE_GUESS;
	DBT k = dbt_in(key);
	DBT v;
	int code;

	do {
		if (room > DB_RECORD_MAX)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "the state's table %s holds a "
					     "record of %zu bytes",
					     db_table_name(table), room);
		v = value_room(ret_value, room);
		if (ret_value->failed != MBJ_OK)
			return mbj_buf_ok(ret_value, err);
		code = handle->get(handle, berkeley_handle(txn), &k, &v, 0);
		room = v.size;
	} while (code == DB_BUFFER_SMALL);
	if (code == DB_NOTFOUND)
		return MBJ_ENOTFOUND;
	if (code != 0)
		return berkeley_table_error(txn, code, "read table", table,
					    err);
	ret_value->n += v.size;
	return MBJ_OK;
}

/* In: what the snapshot has of it, or else the engine. */
static enum mbj_rc snapshot_get(struct berkeley_txn *txn, enum db_table table,
				struct mbj_bytes key, struct mbj_buf *ret_value,
				struct mbj_error *err)
{
	struct past_record record;
	enum mbj_rc rc;

	rc = past_reader_check(&txn->reader, err);
	if (rc < 0)
		return rc;
	if (!past_find(&txn->reader, table, key, &record))
		return engine_get(&txn->base, table, key, ret_value, err);
	if (!record.was_there)
		return MBJ_ENOTFOUND;
	mbj_buf_put_bytes(ret_value, record.value);
	return mbj_buf_ok(ret_value, err);
}

enum mbj_rc berkeley_get(struct db_txn *base, enum db_table table,
			 struct mbj_bytes key, struct mbj_buf *ret_value,
			 struct mbj_error *err)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)base;
	struct berkeley *db = berkeley_env(base);
	enum mbj_rc rc;

	rc = berkeley_usable(db, err);
	if (rc < 0)
		return rc;
	if (txn->handle != NULL)
		return engine_get(base, table, key, ret_value, err);
	past_enter(&db->past);
	rc = snapshot_get(txn, table, key, ret_value, err);
	past_leave(&db->past);
	return rc;
}

/* -------------------------------------------------------------- writing */

/* Alone. */
static enum mbj_rc record_put(struct berkeley_txn *txn, enum db_table table,
			      struct mbj_bytes key, struct mbj_bytes value,
			      struct mbj_error *err)
{
	struct berkeley *db = berkeley_env(&txn->base);
	DB *handle = db->tables[table];
	DBT k = dbt_in(key);
	DBT v = dbt_in(value);
	int code;

	db->log_estimate += key.n + value.n + DB_LOG_OVERHEAD;
	code = handle->put(handle, txn->handle, &k, &v, 0);
	if (code == 0)
		return MBJ_OK;
	txn->is_broken = true;
	return berkeley_table_error(&txn->base, code, "write table", table,
				    err);
}

/* Alone. */
static enum mbj_rc record_del(struct berkeley_txn *txn, enum db_table table,
			      struct mbj_bytes key, struct mbj_error *err)
{
	struct berkeley *db = berkeley_env(&txn->base);
	DB *handle = db->tables[table];
	DBT k = dbt_in(key);
	int code;

	db->log_estimate += key.n + DB_LOG_OVERHEAD;
	code = handle->del(handle, txn->handle, &k, 0);
	if (code == 0 || code == DB_NOTFOUND)
		return MBJ_OK;
	txn->is_broken = true;
	return berkeley_table_error(&txn->base, code, "delete from table",
				    table, err);
}

/* How many of these are written at once: one, or what is short. */
static size_t run_count(const struct db_change *changes, size_t count,
			size_t *ret_size)
{
	size_t n = 0;

	*ret_size = 0;
	while (n < count && *ret_size < WRITE_SIZE) {
		*ret_size += changes[n].key.n + changes[n].value.n;
		n++;
	}
	return n;
}

static enum mbj_rc run_write(struct berkeley_txn *txn,
			     const struct db_change *changes, size_t count,
			     struct mbj_error *err)
{
	struct past *past = &berkeley_env(&txn->base)->past;
	enum mbj_rc rc;

	past_enter_alone(past);
	rc = past_note(past, changes, count, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		const struct db_change *c = &changes[i];

		rc = c->is_there
			     ? record_put(txn, c->table, c->key, c->value, err)
			     : record_del(txn, c->table, c->key, err);
	}
	past_leave(past);
	return rc;
}

enum mbj_rc berkeley_write(struct db_txn *base, const struct db_change *changes,
			   size_t count, struct mbj_error *err)
{
	struct berkeley *db = berkeley_env(base);
	enum mbj_rc rc = MBJ_OK;
	size_t size;

	for (size_t n; rc == MBJ_OK && count > 0; changes += n, count -= n) {
		n = run_count(changes, count, &size);
		rc = berkeley_usable(db, err);
		/* It may sync: not while others wait. */
		if (rc == MBJ_OK)
			rc = berkeley_log_count(db, n, size, err);
		if (rc == MBJ_OK)
			rc = run_write((struct berkeley_txn *)base, changes, n,
				       err);
	}
	return rc;
}

enum mbj_rc berkeley_put(struct db_txn *base, enum db_table table,
			 struct mbj_bytes key, struct mbj_bytes value,
			 struct mbj_error *err)
{
	struct berkeley *db = berkeley_env(base);
	enum mbj_rc rc;

	rc = berkeley_usable(db, err);
	if (rc == MBJ_OK)
		rc = berkeley_log_count(db, 1, key.n + value.n, err);
	if (rc < 0)
		return rc;
	past_enter_alone(&db->past);
	past_note_nothing(&db->past);
	rc = record_put((struct berkeley_txn *)base, table, key, value, err);
	past_leave(&db->past);
	return rc;
}

enum mbj_rc berkeley_del(struct db_txn *base, enum db_table table,
			 struct mbj_bytes key, struct mbj_error *err)
{
	struct berkeley *db = berkeley_env(base);
	enum mbj_rc rc;

	rc = berkeley_usable(db, err);
	if (rc == MBJ_OK)
		rc = berkeley_log_count(db, 1, key.n, err);
	if (rc < 0)
		return rc;
	past_enter_alone(&db->past);
	past_note_nothing(&db->past);
	rc = record_del((struct berkeley_txn *)base, table, key, err);
	past_leave(&db->past);
	return rc;
}
