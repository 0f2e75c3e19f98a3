/*
 * An ordered table of records in memory, copied on write: whoever holds a
 * reference sees what it saw when it took it.  The engine in memory is made of
 * them, and so is what snapshots keep (db_past.h).  Private to mailbox/db*.c.
 *
 * A table is an array of pages, a page an array of records; each of the three
 * is counted, and what is counted more than once is never changed.  A copy of
 * a table so costs one pointer a page until it is written.
 *
 * Not here: transactions, files, locks.
 *
 * Threads: counts are plain numbers.  Every function that takes or gives up a
 * reference, or changes a table, is called under one lock of the caller's;
 * looking is free.
 */
#ifndef MBJ_MAILBOX_DB_MEMORY_TABLE_H
#define MBJ_MAILBOX_DB_MEMORY_TABLE_H

#include <mbj/memory.h>
#include <mbj/types.h>

struct mem_record;
struct mem_table;

/* Between two records, or before one. */
struct mem_place {
	size_t page;
	size_t slot;
};

/* NULL: no memory. */
struct mem_table *mem_table_new(void);
struct mem_table *mem_table_ref(struct mem_table *table);
/* Accepts NULL. */
void mem_table_unref(struct mem_table **table);

/*
 * The caller's reference moves to the changed table.  False: no memory, and
 * the table is as it was.
 */
bool mem_table_put(struct mem_table **table, struct mbj_bytes key,
		   struct mbj_bytes value);
bool mem_table_del(struct mem_table **table, struct mbj_bytes key);

/* The first record at or above key. */
struct mem_place mem_table_seek(const struct mem_table *table,
				struct mbj_bytes key);
/* The record there, NULL at the end. */
const struct mem_record *mem_table_at(const struct mem_table *table,
				      struct mem_place place);
void mem_table_step(const struct mem_table *table, struct mem_place *place);

struct mbj_bytes mem_record_key(const struct mem_record *record);
struct mbj_bytes mem_record_value(const struct mem_record *record);

#endif
