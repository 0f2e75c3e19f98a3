/*
 * The engine seam, see db_engine.h: which engine an environment is opened
 * with, and the rules that hold for every engine.
 *
 * Not here: an engine.  db_berkeley*.c is the one of real stores,
 * db_memory*.c the one of tests.
 *
 * Invariants:
 *   1. no transaction ends while a cursor of it is open;
 *   2. no key or value is longer than DB_RECORD_MAX.
 *
 * Threads: the engine's.
 */
#include <mbj/check.h>

#include "db_ops.h"

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

static const struct db_ops *engine_ops(enum mbj_state_engine engine)
{
	static const struct db_ops *const engines[] = {
		[MBJ_STATE_BERKELEY_DB] = &db_berkeley_ops,
		[MBJ_STATE_MEMORY] = &db_memory_ops,
	};

	MBJ_ASSERT((size_t)engine < sizeof(engines) / sizeof(engines[0]));
	return engines[engine];
}

enum mbj_rc db_open(const char *home, const struct db_options *options,
		    struct db **ret_db, struct mbj_error *err)
{
	return engine_ops(options->engine)->open(home, options, ret_db, err);
}

void db_close(struct db **db)
{
	if (*db)
		(*db)->ops->close(*db);
	*db = NULL;
}

bool db_is_failed(const struct db *db)
{
	return db->ops->is_failed(db);
}

bool db_tables_are_as_opened(struct db *db)
{
	return db->ops->tables_are_as_opened(db);
}

enum mbj_rc db_checkpoint(struct db *db, bool is_forced, struct mbj_error *err)
{
	return db->ops->checkpoint(db, is_forced, err);
}

enum mbj_rc db_begin(struct db *db, bool is_reading, struct db_txn **ret_txn,
		     struct mbj_error *err)
{
	return db->ops->begin(db, is_reading, ret_txn, err);
}

enum mbj_rc db_commit(struct db_txn **txn, struct mbj_error *err)
{
	struct db_txn *t = *txn;

	MBJ_ASSERT(t->cursor_count == 0);
	*txn = NULL;
	return t->db->ops->commit(t, err);
}

void db_abort(struct db_txn **txn)
{
	struct db_txn *t = *txn;

	if (!t)
		return;
	MBJ_ASSERT(t->cursor_count == 0);
	*txn = NULL;
	t->db->ops->abort(t);
}

enum mbj_rc db_get(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_buf *ret_value,
		   struct mbj_error *err)
{
	return txn->db->ops->get(txn, table, key, ret_value, err);
}

enum mbj_rc db_write(struct db_txn *txn, const struct db_change *changes,
		     size_t count, struct mbj_error *err)
{
	for (size_t i = 0; i < count; i++)
		MBJ_ASSERT(changes[i].key.n <= DB_RECORD_MAX &&
			   changes[i].value.n <= DB_RECORD_MAX);
	return txn->db->ops->write(txn, changes, count, err);
}

enum mbj_rc db_put(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_bytes value,
		   struct mbj_error *err)
{
	MBJ_ASSERT(key.n <= DB_RECORD_MAX && value.n <= DB_RECORD_MAX);
	return txn->db->ops->put(txn, table, key, value, err);
}

enum mbj_rc db_del(struct db_txn *txn, enum db_table table,
		   struct mbj_bytes key, struct mbj_error *err)
{
	MBJ_ASSERT(key.n <= DB_RECORD_MAX);
	return txn->db->ops->del(txn, table, key, err);
}

enum mbj_rc db_cursor_open(struct db_txn *txn, enum db_table table,
			   struct mbj_bytes start,
			   struct db_cursor **ret_cursor, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(start.n <= DB_RECORD_MAX);
	rc = txn->db->ops->cursor_open(txn, table, start, ret_cursor, err);
	if (rc == MBJ_OK)
		txn->cursor_count++;
	return rc;
}

enum mbj_rc db_cursor_next(struct db_cursor *cursor, struct mbj_bytes *ret_key,
			   struct mbj_bytes *ret_value, struct mbj_error *err)
{
	return cursor->txn->db->ops->cursor_next(cursor, ret_key, ret_value,
						 err);
}

void db_cursor_close(struct db_cursor **cursor)
{
	struct db_cursor *c = *cursor;

	if (!c)
		return;
	MBJ_ASSERT(c->txn->cursor_count > 0);
	c->txn->cursor_count--;
	*cursor = NULL;
	c->txn->db->ops->cursor_close(c);
}
