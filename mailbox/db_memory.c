/*
 * The engine in memory behind db_engine.h, for tests, fuzzing and simulation:
 * a transaction is a set of references to tables that are copied on write.
 *
 * Its contract is that of the other engine: commits are atomic and not synced,
 * a crash leaves the last checkpoint, what is damaged is said to be so.
 *
 * Invariants:
 *   1. the current tables change only by a commit, all at once;
 *   2. a snapshot's tables never change;
 *   3. the file is that of a moment between two commits.
 *
 * Threads: reading transactions from any; the lock guards the current tables
 * and every reference count.
 */
#include <pthread.h>

#include <mbj/check.h>

#include "db_memory.h"

struct memory {
	struct db base;
	const struct mbj_sys *sys;
	size_t checkpoint_size;
	size_t unsaved_size; /* bytes written since the last checkpoint */
	pthread_mutex_t mutex;
	struct mem_table *tables[TABLE_COUNT];
	char home[MBJ_PATH_TEXT_MAX];
};

struct memory_cursor {
	struct db_cursor base;
	const struct mem_table *table; /* NULL while it is closed */
	struct mem_place place;
};

struct memory_txn {
	struct db_txn base;
	struct mem_table *tables[TABLE_COUNT];
	size_t written_size;
	struct memory_cursor *spare; /* closed, for the next, or NULL */
	bool is_broken;		     /* a write failed: it can only abort */
};

static struct memory *memory_of(struct db *base)
{
	return (struct memory *)base;
}

static struct memory_txn *txn_of(struct db_txn *base)
{
	return (struct memory_txn *)base;
}

static void tables_ref(struct mem_table *to[TABLE_COUNT],
		       struct mem_table *const from[TABLE_COUNT])
{
	for (int i = 0; i < TABLE_COUNT; i++)
		to[i] = mem_table_ref(from[i]);
}

static void tables_unref(struct mem_table *tables[TABLE_COUNT])
{
	for (int i = 0; i < TABLE_COUNT; i++)
		mem_table_unref(&tables[i]);
}

/* --------------------------------------------------------- environment */

static bool memory_is_failed(const struct db *base)
{
	(void)base;
	return false;
}

static bool memory_tables_are_as_opened(struct db *base)
{
	(void)base;
	return false;
}

static void memory_close(struct db *base)
{
	struct memory *memory = memory_of(base);

	tables_unref(memory->tables);
	(void)pthread_mutex_destroy(&memory->mutex);
	mbj_free(memory);
}

static enum mbj_rc memory_save(struct memory *memory, struct mbj_error *err)
{
	struct mem_table *tables[TABLE_COUNT];
	size_t size;
	enum mbj_rc rc;

	pthread_mutex_lock(&memory->mutex);
	tables_ref(tables, memory->tables);
	size = memory->unsaved_size;
	pthread_mutex_unlock(&memory->mutex);
	rc = memory_file_save(memory->sys, memory->home, tables, err);
	pthread_mutex_lock(&memory->mutex);
	tables_unref(tables);
	if (rc == MBJ_OK)
		memory->unsaved_size -= size;
	pthread_mutex_unlock(&memory->mutex);
	return rc;
}

static enum mbj_rc memory_checkpoint(struct db *base, bool is_forced,
				     struct mbj_error *err)
{
	struct memory *memory = memory_of(base);
	size_t size;

	pthread_mutex_lock(&memory->mutex);
	size = memory->unsaved_size;
	pthread_mutex_unlock(&memory->mutex);
	if (size == 0 || (!is_forced && size < memory->checkpoint_size))
		return MBJ_OK;
	return memory_save(memory, err);
}

static enum mbj_rc memory_open(const char *home,
			       const struct db_options *options,
			       struct db **ret_db, struct mbj_error *err)
{
	struct memory *memory;
	size_t n = strlen(home);
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(options->sys != NULL && n < MBJ_PATH_TEXT_MAX);
	memory = mbj_calloc(1, sizeof(*memory));
	if (!memory)
		return mbj_error_nomem(err);
	if (pthread_mutex_init(&memory->mutex, NULL) != 0) {
		mbj_free(memory);
		return mbj_error_nomem(err);
	}
	memory->base.ops = &db_memory_ops;
	memory->sys = options->sys;
	memory->checkpoint_size = options->checkpoint_log_size;
	memcpy(memory->home, home, n + 1);
	for (int i = 0; i < TABLE_COUNT; i++) {
		memory->tables[i] = mem_table_new();
		if (!memory->tables[i])
			rc = mbj_error_nomem(err);
	}
	if (rc == MBJ_OK && options->is_new)
		rc = memory_save(memory, err);
	else if (rc == MBJ_OK)
		rc = memory_file_load(memory->sys, home, memory->tables, err);
	if (rc < 0)
		memory_close(&memory->base);
	else
		*ret_db = &memory->base;
	return rc;
}

/* -------------------------------------------------------- transactions */

static enum mbj_rc memory_begin(struct db *base, bool is_reading,
				struct db_txn **ret_txn, struct mbj_error *err)
{
	struct memory *memory = memory_of(base);
	struct memory_txn *txn = mbj_calloc(1, sizeof(*txn));

	(void)is_reading;
	if (!txn)
		return mbj_error_nomem(err);
	txn->base.db = base;
	pthread_mutex_lock(&memory->mutex);
	tables_ref(txn->tables, memory->tables);
	pthread_mutex_unlock(&memory->mutex);
	*ret_txn = &txn->base;
	return MBJ_OK;
}

static void memory_abort(struct db_txn *base)
{
	struct memory *memory = memory_of(base->db);
	struct memory_txn *txn = txn_of(base);

	pthread_mutex_lock(&memory->mutex);
	tables_unref(txn->tables);
	pthread_mutex_unlock(&memory->mutex);
	mbj_free(txn->spare);
	mbj_free(txn);
}

static enum mbj_rc memory_commit(struct db_txn *base, struct mbj_error *err)
{
	struct memory *memory = memory_of(base->db);
	struct memory_txn *txn = txn_of(base);
	bool is_broken = txn->is_broken;

	pthread_mutex_lock(&memory->mutex);
	for (int i = 0; i < TABLE_COUNT && !is_broken; i++) {
		struct mem_table *before = memory->tables[i];

		memory->tables[i] = txn->tables[i];
		txn->tables[i] = before;
	}
	if (!is_broken)
		memory->unsaved_size += txn->written_size;
	pthread_mutex_unlock(&memory->mutex);
	memory_abort(base);
	if (is_broken)
		return mbj_error_set(err, MBJ_EIO,
				     "a write of this transaction failed; it "
				     "was not committed");
	return MBJ_OK;
}

/* ------------------------------------------------------------- records */

static enum mbj_rc memory_get(struct db_txn *base, enum db_table table,
			      struct mbj_bytes key, struct mbj_buf *ret_value,
			      struct mbj_error *err)
{
	const struct mem_table *t = txn_of(base)->tables[table];
	const struct mem_record *record;

	record = mem_table_at(t, mem_table_seek(t, key));
	if (!record || !mbj_bytes_equal(mem_record_key(record), key))
		return MBJ_ENOTFOUND;
	mbj_buf_put_bytes(ret_value, mem_record_value(record));
	return mbj_buf_ok(ret_value, err);
}

static enum mbj_rc memory_write(struct memory_txn *txn, enum db_table table,
				struct mbj_bytes key,
				const struct mbj_bytes *value,
				struct mbj_error *err)
{
	struct memory *memory = memory_of(txn->base.db);
	struct mem_table **t = &txn->tables[table];
	bool is_done;

	pthread_mutex_lock(&memory->mutex);
	is_done = value ? mem_table_put(t, key, *value) : mem_table_del(t, key);
	pthread_mutex_unlock(&memory->mutex);
	txn->written_size += key.n + (value ? value->n : 0) + 1;
	if (is_done)
		return MBJ_OK;
	txn->is_broken = true;
	return mbj_error_nomem(err);
}

static enum mbj_rc memory_put(struct db_txn *base, enum db_table table,
			      struct mbj_bytes key, struct mbj_bytes value,
			      struct mbj_error *err)
{
	return memory_write(txn_of(base), table, key, &value, err);
}

static enum mbj_rc memory_del(struct db_txn *base, enum db_table table,
			      struct mbj_bytes key, struct mbj_error *err)
{
	return memory_write(txn_of(base), table, key, NULL, err);
}

/* Snapshots have references to what they see: nobody is told of anything. */
static enum mbj_rc memory_changes(struct db_txn *base,
				  const struct db_change *changes, size_t count,
				  struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		const struct db_change *c = &changes[i];

		rc = memory_write(txn_of(base), c->table, c->key,
				  c->is_there ? &c->value : NULL, err);
	}
	return rc;
}

/* ------------------------------------------------------------- cursors */

static enum mbj_rc memory_cursor_open(struct db_txn *base, enum db_table table,
				      struct mbj_bytes start,
				      struct db_cursor **ret_cursor,
				      struct mbj_error *err)
{
	struct memory_txn *txn = txn_of(base);
	struct memory_cursor *cursor = txn->spare;

	if (!cursor)
		cursor = mbj_calloc(1, sizeof(*cursor));
	if (!cursor)
		return mbj_error_nomem(err);
	txn->spare = NULL;
	cursor->base.txn = base;
	cursor->table = txn->tables[table];
	cursor->place = mem_table_seek(cursor->table, start);
	*ret_cursor = &cursor->base;
	return MBJ_OK;
}

static enum mbj_rc memory_cursor_next(struct db_cursor *base,
				      struct mbj_bytes *ret_key,
				      struct mbj_bytes *ret_value,
				      struct mbj_error *err)
{
	struct memory_cursor *cursor = (struct memory_cursor *)base;
	const struct mem_record *record;

	(void)err;
	MBJ_ASSERT(cursor->table != NULL);
	record = mem_table_at(cursor->table, cursor->place);
	if (!record)
		return MBJ_ENOTFOUND;
	*ret_key = mem_record_key(record);
	*ret_value = mem_record_value(record);
	mem_table_step(cursor->table, &cursor->place);
	return MBJ_OK;
}

static void memory_cursor_close(struct db_cursor *base)
{
	struct memory_cursor *cursor = (struct memory_cursor *)base;
	struct memory_txn *txn = txn_of(base->txn);

	MBJ_ASSERT(cursor->table != NULL);
	cursor->table = NULL;
	mbj_free(txn->spare);
	txn->spare = cursor;
}

const struct db_ops db_memory_ops = {
	.open = memory_open,
	.close = memory_close,
	.is_failed = memory_is_failed,
	.tables_are_as_opened = memory_tables_are_as_opened,
	.checkpoint = memory_checkpoint,
	.begin = memory_begin,
	.commit = memory_commit,
	.abort = memory_abort,
	.get = memory_get,
	.write = memory_changes,
	.put = memory_put,
	.del = memory_del,
	.cursor_open = memory_cursor_open,
	.cursor_next = memory_cursor_next,
	.cursor_close = memory_cursor_close,
};
