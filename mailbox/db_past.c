/*
 * What snapshots are given of records that were written since; see db_past.h.
 */
#define _GNU_SOURCE /* writers first, at the gate */

#include <mbj/check.h>

#include "db_past.h"

enum {
	WRITTEN_MAX = 1 << 28,
	/* Room for that many stays between transactions. */
	WRITTEN_KEPT_MAX = 1 << 14,
	RECORD_MAX = 1 << 21, /* a value and its byte */
};

/* A record that was written; keys and values are the writer's. */
struct past_written {
	struct mbj_bytes key;
	struct mbj_bytes before;
	uint8_t table;
	bool was_there;
};

_Static_assert(TABLE_COUNT <= 32, "a bit each");

enum mbj_rc past_init(struct past *past, struct mbj_error *err)
{
	pthread_rwlockattr_t attr;
	bool has_gate = false;

	memset(past, 0, sizeof(*past));
	if (pthread_rwlockattr_init(&attr) != 0)
		return mbj_error_nomem(err);
	/* Else snapshots that overlap would keep the writer out for ever. */
	if (pthread_rwlockattr_setkind_np(
		    &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0)
		has_gate = pthread_rwlock_init(&past->gate, &attr) == 0;
	(void)pthread_rwlockattr_destroy(&attr);
	if (has_gate && pthread_mutex_init(&past->mutex, NULL) == 0) {
		mbj_buf_init(&past->value, RECORD_MAX);
		return MBJ_OK;
	}
	if (has_gate)
		(void)pthread_rwlock_destroy(&past->gate);
	return mbj_error_nomem(err);
}

void past_done(struct past *past)
{
	MBJ_ASSERT(past->readers == NULL);
	past_ended(past);
	mbj_free(past->written);
	mbj_buf_done(&past->value);
	(void)pthread_mutex_destroy(&past->mutex);
	(void)pthread_rwlock_destroy(&past->gate);
}

void past_enter(struct past *past)
{
	MBJ_ASSERT(pthread_rwlock_rdlock(&past->gate) == 0);
}

void past_enter_alone(struct past *past)
{
	MBJ_ASSERT(pthread_rwlock_wrlock(&past->gate) == 0);
}

void past_leave(struct past *past)
{
	MBJ_ASSERT(pthread_rwlock_unlock(&past->gate) == 0);
}

/* -------------------------------------------------------------- tables */

/* In a table: a byte, whether it was there, then what it was. */
static struct past_record record_of(const struct mem_record *kept)
{
	struct mbj_bytes value = mem_record_value(kept);

	return (struct past_record){
		.key = mem_record_key(kept),
		.value = mbj_bytes_make(value.p + 1, value.n - 1),
		.was_there = value.p[0] != 0,
	};
}

static const struct mem_record *table_find(const struct mem_table *table,
					   struct mbj_bytes key)
{
	const struct mem_record *kept =
		mem_table_at(table, mem_table_seek(table, key));

	if (kept != NULL && mbj_bytes_equal(mem_record_key(kept), key))
		return kept;
	return NULL;
}

/* Where nothing is known of it; *ret_size grows by what is kept. */
static bool table_keep(struct past *past, struct mem_table **table,
		       const struct past_written *written, size_t *ret_size)
{
	struct mbj_buf *value = &past->value;

	if (*table == NULL)
		*table = mem_table_new();
	if (*table == NULL)
		return false;
	if (table_find(*table, written->key) != NULL)
		return true;
	mbj_buf_clear(value);
	mbj_buf_put_u8(value, written->was_there);
	if (written->was_there)
		mbj_buf_put_bytes(value, written->before);
	if (value->failed != MBJ_OK ||
	    !mem_table_put(table, written->key, mbj_buf_view(value)))
		return false;
	*ret_size += written->key.n + value->n;
	return true;
}

/* ---------------------------------------------------------- the writer */

static void reader_keep(struct past *past, struct past_reader *reader,
			const struct past_written *written)
{
	if (atomic_load(&reader->lack) != PAST_WHOLE)
		return;
	if (!table_keep(past, &reader->tables[written->table], written,
			&reader->size))
		atomic_store(&reader->lack, PAST_NO_MEMORY);
	else if (reader->size > PAST_SIZE_MAX)
		atomic_store(&reader->lack, PAST_TOO_MUCH);
	else
		atomic_fetch_or(&reader->changed, 1u << written->table);
}

enum mbj_rc past_note(struct past *past, const struct db_change *changes,
		      size_t count, struct mbj_error *err)
{
	size_t first = past->written_count;
	void *written = past->written;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&written, &past->written_capacity, first + count,
			       sizeof(*past->written), WRITTEN_MAX, err);
	past->written = written;
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < count; i++) {
		const struct db_change *change = &changes[i];

		past->written[past->written_count++] =
			(struct past_written){change->key, change->before,
					      (uint8_t)change->table,
					      change->was_there};
	}
	for (struct past_reader *r = past->readers; r != NULL; r = r->next)
		for (size_t i = first; i < past->written_count; i++)
			reader_keep(past, r, &past->written[i]);
	return MBJ_OK;
}

void past_note_nothing(struct past *past)
{
	MBJ_ASSERT(past->readers == NULL);
	past->is_unnoted = true;
}

void past_ended(struct past *past)
{
	for (int i = 0; i < TABLE_COUNT; i++)
		mem_table_unref(&past->tables[i]);
	past->written_count = past->built = 0;
	past->is_unnoted = false;
	if (past->written_capacity > WRITTEN_KEPT_MAX) {
		mbj_free(past->written);
		past->written = NULL;
		past->written_capacity = 0;
	}
}

/* ----------------------------------------------------------- snapshots */

/* All that was written so far into tables, for whoever begins meanwhile. */
static bool written_build(struct past *past)
{
	size_t size = 0;

	for (; past->built < past->written_count; past->built++) {
		const struct past_written *w = &past->written[past->built];

		if (!table_keep(past, &past->tables[w->table], w, &size))
			return false;
	}
	return true;
}

static enum mbj_rc begin_locked(struct past *past, struct past_reader *reader,
				struct mbj_error *err)
{
	unsigned changed = 0;

	if (past->is_unnoted)
		return mbj_error_set(err, MBJ_EBUSY,
				     "the state is being filled: ask again");
	if (!written_build(past))
		return mbj_error_nomem(err);
	for (unsigned i = 0; i < TABLE_COUNT; i++) {
		reader->tables[i] = NULL;
		if (past->tables[i] == NULL)
			continue;
		reader->tables[i] = mem_table_ref(past->tables[i]);
		changed |= 1u << i;
	}
	atomic_init(&reader->changed, changed);
	atomic_init(&reader->lack, PAST_WHOLE);
	reader->size = 0;
	reader->prev = NULL;
	reader->next = past->readers;
	if (reader->next != NULL)
		reader->next->prev = reader;
	past->readers = reader;
	return MBJ_OK;
}

enum mbj_rc past_reader_begin(struct past *past, struct past_reader *reader,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	past_enter(past);
	pthread_mutex_lock(&past->mutex);
	rc = begin_locked(past, reader, err);
	pthread_mutex_unlock(&past->mutex);
	past_leave(past);
	return rc;
}

void past_reader_end(struct past *past, struct past_reader *reader)
{
	past_enter(past);
	pthread_mutex_lock(&past->mutex);
	if (reader->prev != NULL)
		reader->prev->next = reader->next;
	else
		past->readers = reader->next;
	if (reader->next != NULL)
		reader->next->prev = reader->prev;
	for (int i = 0; i < TABLE_COUNT; i++)
		mem_table_unref(&reader->tables[i]);
	pthread_mutex_unlock(&past->mutex);
	past_leave(past);
}

enum mbj_rc past_reader_check(const struct past_reader *reader,
			      struct mbj_error *err)
{
	int lack = atomic_load(&reader->lack);

	if (lack == PAST_WHOLE)
		return MBJ_OK;
	if (lack == PAST_NO_MEMORY)
		return mbj_error_nomem(err);
	return mbj_error_set(err, MBJ_ENOMEM,
			     "a snapshot of the state was open for so long "
			     "that more than %d MiB were written beside it: "
			     "ask again",
			     PAST_SIZE_MAX >> 20);
}

bool past_reader_has(const struct past_reader *reader, enum db_table table)
{
	return (atomic_load(&reader->changed) & 1u << table) != 0;
}

bool past_find(const struct past_reader *reader, enum db_table table,
	       struct mbj_bytes key, struct past_record *ret_record)
{
	const struct mem_record *kept;

	if (!past_reader_has(reader, table))
		return false;
	kept = table_find(reader->tables[table], key);
	if (kept == NULL)
		return false;
	*ret_record = record_of(kept);
	return true;
}

bool past_seek(const struct past_reader *reader, enum db_table table,
	       struct mbj_bytes key, struct past_record *ret_record)
{
	const struct mem_table *t = reader->tables[table];
	const struct mem_record *kept;

	if (!past_reader_has(reader, table))
		return false;
	kept = mem_table_at(t, mem_table_seek(t, key));
	if (kept == NULL)
		return false;
	*ret_record = record_of(kept);
	return true;
}
