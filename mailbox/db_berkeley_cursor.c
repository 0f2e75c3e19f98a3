/*
 * Berkeley DB behind db_engine.h: scans.
 *
 * The writer's cursor is one of the engine's.  A snapshot's is none: it seeks
 * again for each piece that it reads ahead, so that nothing of the engine's is
 * held while the writer writes, and puts in between what the snapshot has of
 * records that were written since.  A piece is what the table was when it was
 * read: what is written later, the snapshot has as it is in the piece.
 *
 * Invariants:
 *   1. no cursor outlives its transaction;
 *   2. a snapshot's cursor gives each key once, in order: none below its bound.
 *
 * Threads: those of the transaction.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <string.h>

#include <mbj/check.h>

#include "db_berkeley.h"

enum {
	/* Steps of the writer's one by one, before it takes them in bulk. */
	CURSOR_SINGLE_STEPS = 8,
	CURSOR_BULK_SIZE = 64 << 10,
	/*
	 * Pieces of a snapshot's: first a page, the engine's least, then what
	 * the writer may have to wait for, if the disk has to be asked for it.
	 */
	CURSOR_PIECE_FIRST = 4 << 10,
	CURSOR_PIECE_SIZE = 16 << 10,
	/* Multiple of 1,024, and room for the largest record. */
	CURSOR_BULK_SIZE_MAX = 4 * DB_RECORD_MAX,
};

_Static_assert(CURSOR_BULK_SIZE % 1024 == 0 && CURSOR_PIECE_FIRST % 1024 == 0 &&
		       CURSOR_PIECE_SIZE % 1024 == 0,
	       "the engine's rule");

struct berkeley_cursor {
	struct db_cursor base;
	DBC *cursor; /* the writer's */
	enum db_table table;
	uint32_t steps; /* a snapshot's: pieces */
	void *key;	/* the writer's: where to start, then the last one */
	size_t key_size;
	size_t key_capacity;
	void *value;
	size_t value_capacity;
	void *bulk; /* records read ahead, NULL: none yet */
	size_t bulk_capacity;
	DBT bulk_dbt;
	void *bulk_at; /* the engine's place in bulk, NULL: used up */
	/* A snapshot's: */
	struct mbj_bytes next_key; /* read ahead and not given yet */
	struct mbj_bytes next_value;
	bool has_next;
	bool is_at_end; /* of the engine's */
	void *bound;	/* the least key that may be given next */
	size_t bound_size;
	size_t bound_capacity;
};

/* Room for a key of n bytes. */
static enum mbj_rc key_reserve(struct berkeley_cursor *cursor, size_t n,
			       struct mbj_error *err)
{
	return mbj_array_reserve(&cursor->key, &cursor->key_capacity, n, 1,
				 2 * DB_RECORD_MAX, err);
}

/* So many bytes are the engine's to fill; it wants a multiple of 1,024. */
static enum mbj_rc bulk_reserve(struct berkeley_cursor *cursor, size_t size,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_array_reserve(&cursor->bulk, &cursor->bulk_capacity, size, 1,
			       CURSOR_BULK_SIZE_MAX, err);
	if (rc == MBJ_OK)
		cursor->bulk_dbt = dbt_out(cursor->bulk, size);
	return rc;
}

/*
 * Read ahead from cursor, by flag: DB_NEXT, or DB_SET_RANGE from key on.  Where
 * size is too small for the first record, asking again finds the same one.  The
 * key is given back in the bulk alone: where the engine has no room for it by
 * itself, too, it writes a long one past the bulk's end (5.3.28: __dbc_iget has
 * __bam_bulk go on with a length of 0 then, of which it takes 4).
 * MBJ_ENOTFOUND at the table's end.
 */
static enum mbj_rc bulk_read(struct berkeley_cursor *cursor, DBC *engine,
			     uint32_t flag, struct mbj_bytes key, size_t size,
			     struct mbj_error *err)
{
	DBT k = dbt_in(key);
	int code = DB_BUFFER_SMALL;

	while (code == DB_BUFFER_SMALL) {
		enum mbj_rc rc = bulk_reserve(cursor, size, err);

		if (rc < 0)
			return rc;
		code = engine->get(engine, &k, &cursor->bulk_dbt,
				   flag | DB_MULTIPLE_KEY);
		size *= 2;
	}
	if (code == DB_NOTFOUND)
		return MBJ_ENOTFOUND;
	if (code != 0)
		return berkeley_table_error(cursor->base.txn, code,
					    "scan table", cursor->table, err);
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

/* -------------------------------------------------------- the writer's */

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
			return berkeley_table_error(cursor->base.txn, code,
						    "scan table", cursor->table,
						    err);
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

static enum mbj_rc writer_next(struct berkeley_cursor *cursor,
			       struct mbj_bytes *ret_key,
			       struct mbj_bytes *ret_value,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	if (cursor->steps < CURSOR_SINGLE_STEPS) {
		rc = cursor_single(cursor, ret_key, ret_value, err);
		if (rc == MBJ_OK)
			cursor->steps++;
		return rc;
	}
	while (!bulk_take(cursor, ret_key, ret_value)) {
		rc = bulk_read(cursor, cursor->cursor, DB_NEXT,
			       mbj_bytes_make(NULL, 0), CURSOR_BULK_SIZE, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/* ------------------------------------------------------- a snapshot's */

/* The first key that is not below key, or the first one behind it. */
static enum mbj_rc bound_set(struct berkeley_cursor *cursor,
			     struct mbj_bytes key, bool is_behind,
			     struct mbj_error *err)
{
	uint8_t *bound;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&cursor->bound, &cursor->bound_capacity,
			       key.n + 1, 1, 2 * DB_RECORD_MAX, err);
	if (rc < 0)
		return rc;
	bound = cursor->bound;
	if (key.n > 0)
		memcpy(bound, key.p, key.n);
	bound[key.n] = 0;
	cursor->bound_size = key.n + is_behind;
	return MBJ_OK;
}

/* In: the next piece. */
static enum mbj_rc piece_read(struct berkeley_cursor *cursor,
			      struct mbj_error *err)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)cursor->base.txn;
	DB *handle = berkeley_env(&txn->base)->tables[cursor->table];
	DBC *engine = NULL;
	enum mbj_rc rc;
	int code;

	rc = past_reader_check(&txn->reader, err);
	if (rc < 0)
		return rc;
	code = handle->cursor(handle, NULL, &engine, 0);
	if (code != 0)
		return berkeley_table_error(&txn->base, code, "scan table",
					    cursor->table, err);
	rc = bulk_read(cursor, engine, DB_SET_RANGE,
		       mbj_bytes_make(cursor->bound, cursor->bound_size),
		       cursor->steps == 0 ? CURSOR_PIECE_FIRST
					  : CURSOR_PIECE_SIZE,
		       err);
	(void)engine->close(engine);
	cursor->steps = 1;
	return rc;
}

/* Let the next of the engine's be read ahead, or its end be known. */
static enum mbj_rc next_read(struct berkeley_cursor *cursor,
			     struct mbj_error *err)
{
	struct berkeley *db = berkeley_env(cursor->base.txn);
	enum mbj_rc rc;

	while (!cursor->has_next && !cursor->is_at_end) {
		if (bulk_take(cursor, &cursor->next_key, &cursor->next_value)) {
			cursor->has_next = true;
			return MBJ_OK;
		}
		past_enter(&db->past);
		rc = piece_read(cursor, err);
		past_leave(&db->past);
		if (rc == MBJ_ENOTFOUND)
			cursor->is_at_end = true;
		else if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/* Whether the snapshot has a record before the engine's next one, or of it. */
static enum mbj_rc kept_look(struct berkeley_cursor *cursor,
			     struct past_record *ret_record, bool *ret_is_it,
			     struct mbj_error *err)
{
	struct berkeley_txn *txn = (struct berkeley_txn *)cursor->base.txn;
	struct berkeley *db = berkeley_env(&txn->base);
	enum mbj_rc rc;
	int order;

	*ret_is_it = false;
	if (!past_reader_has(&txn->reader, cursor->table))
		return MBJ_OK;
	past_enter(&db->past);
	rc = past_reader_check(&txn->reader, err);
	if (rc == MBJ_OK)
		*ret_is_it = past_seek(&txn->reader, cursor->table,
				       mbj_bytes_make(cursor->bound,
						      cursor->bound_size),
				       ret_record);
	past_leave(&db->past);
	if (!*ret_is_it || !cursor->has_next)
		return rc;
	order = mbj_bytes_compare(ret_record->key, cursor->next_key);
	if (order == 0)
		cursor->has_next = false;
	*ret_is_it = order <= 0;
	return rc;
}

static enum mbj_rc snapshot_next(struct berkeley_cursor *cursor,
				 struct mbj_bytes *ret_key,
				 struct mbj_bytes *ret_value,
				 struct mbj_error *err)
{
	struct past_record kept;
	bool is_kept;
	enum mbj_rc rc;

	do {
		rc = next_read(cursor, err);
		if (rc == MBJ_OK)
			rc = kept_look(cursor, &kept, &is_kept, err);
		if (rc < 0)
			return rc;
		if (!is_kept && !cursor->has_next)
			return MBJ_ENOTFOUND;
		if (!is_kept)
			kept = (struct past_record){cursor->next_key,
						    cursor->next_value, true};
		cursor->has_next = cursor->has_next && is_kept;
		rc = bound_set(cursor, kept.key, true, err);
		if (rc < 0)
			return rc;
	} while (!kept.was_there);
	*ret_key = kept.key;
	*ret_value = kept.value;
	return MBJ_OK;
}

/* ---------------------------------------------------------------- both */

static enum mbj_rc writer_open(struct berkeley_cursor *cursor,
			       struct mbj_bytes start, struct mbj_error *err)
{
	struct db_txn *txn = cursor->base.txn;
	DB *handle = berkeley_env(txn)->tables[cursor->table];
	enum mbj_rc rc;
	int code;

	rc = key_reserve(cursor, start.n + DB_VALUE_GUESS, err);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&cursor->value, &cursor->value_capacity,
				       DB_VALUE_GUESS, 1, DB_RECORD_MAX, err);
	if (rc < 0)
		return rc;
	if (start.n > 0)
		memcpy(cursor->key, start.p, start.n);
	cursor->key_size = start.n;
	code = handle->cursor(handle, berkeley_handle(txn), &cursor->cursor, 0);
	if (code != 0)
		return berkeley_table_error(txn, code, "scan table",
					    cursor->table, err);
	return MBJ_OK;
}

enum mbj_rc berkeley_cursor_open(struct db_txn *txn, enum db_table table,
				 struct mbj_bytes start,
				 struct db_cursor **ret_cursor,
				 struct mbj_error *err)
{
	struct berkeley_cursor *cursor;
	enum mbj_rc rc;

	rc = berkeley_usable(berkeley_env(txn), err);
	if (rc < 0)
		return rc;
	cursor = mbj_calloc(1, sizeof(*cursor));
	if (!cursor)
		return mbj_error_nomem(err);
	cursor->base.txn = txn;
	cursor->table = table;
	rc = berkeley_handle(txn) != NULL
		     ? writer_open(cursor, start, err)
		     : bound_set(cursor, start, false, err);
	if (rc < 0)
		berkeley_cursor_close(&cursor->base);
	else
		*ret_cursor = &cursor->base;
	return rc;
}

enum mbj_rc berkeley_cursor_next(struct db_cursor *base,
				 struct mbj_bytes *ret_key,
				 struct mbj_bytes *ret_value,
				 struct mbj_error *err)
{
	struct berkeley_cursor *cursor = (struct berkeley_cursor *)base;
	enum mbj_rc rc;

	rc = berkeley_usable(berkeley_env(base->txn), err);
	if (rc < 0)
		return rc;
	if (cursor->cursor == NULL)
		return snapshot_next(cursor, ret_key, ret_value, err);
	return writer_next(cursor, ret_key, ret_value, err);
}

void berkeley_cursor_close(struct db_cursor *base)
{
	struct berkeley_cursor *cursor = (struct berkeley_cursor *)base;

	if (cursor->cursor)
		(void)cursor->cursor->close(cursor->cursor);
	mbj_free(cursor->key);
	mbj_free(cursor->value);
	mbj_free(cursor->bulk);
	mbj_free(cursor->bound);
	mbj_free(cursor);
}
