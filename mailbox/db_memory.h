/*
 * The engine in memory: what its two files share.  Private to
 * mailbox/db_memory*.c.
 */
#ifndef MBJ_MAILBOX_DB_MEMORY_H
#define MBJ_MAILBOX_DB_MEMORY_H

#include "db_memory_table.h"
#include "db_ops.h"

/*
 * The tables as one file DB_MEMORY_NAME in home, replaced as a whole.
 * Durability: as mbj_file_replace.
 */
enum mbj_rc memory_file_save(const struct mbj_sys *sys, const char *home,
			     struct mem_table *const tables[TABLE_COUNT],
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Into empty tables.  Returns: MBJ_ECORRUPT where the file is missing or any
 * byte of it is wrong.
 */
enum mbj_rc memory_file_load(const struct mbj_sys *sys, const char *home,
			     struct mem_table *tables[TABLE_COUNT],
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
