/*
 * What an engine brings: one table of functions, and three objects that begin
 * with the seam's own part.  Private to mailbox/db*.c.
 *
 * The meaning of each function is that of its namesake in db_engine.h; those
 * that end an object free it, the caller's pointer is db.c's concern.
 */
#ifndef MBJ_MAILBOX_DB_OPS_H
#define MBJ_MAILBOX_DB_OPS_H

#include "db_engine.h"

/* Bytes of a key or value: a folded path and its account. */
enum { DB_RECORD_MAX = 1 << 20 };

struct db_ops {
	enum mbj_rc (*open)(const char *home, const struct db_options *options,
			    struct db **ret_db, struct mbj_error *err);
	void (*close)(struct db *db);
	bool (*is_failed)(const struct db *db);
	bool (*tables_are_as_opened)(struct db *db);
	enum mbj_rc (*checkpoint)(struct db *db, bool is_forced,
				  struct mbj_error *err);

	enum mbj_rc (*begin)(struct db *db, bool is_reading,
			     struct db_txn **ret_txn, struct mbj_error *err);
	enum mbj_rc (*commit)(struct db_txn *txn, struct mbj_error *err);
	void (*abort)(struct db_txn *txn);

	enum mbj_rc (*get)(struct db_txn *txn, enum db_table table,
			   struct mbj_bytes key, struct mbj_buf *ret_value,
			   struct mbj_error *err);
	enum mbj_rc (*write)(struct db_txn *txn,
			     const struct db_change *changes, size_t count,
			     struct mbj_error *err);
	enum mbj_rc (*put)(struct db_txn *txn, enum db_table table,
			   struct mbj_bytes key, struct mbj_bytes value,
			   struct mbj_error *err);
	enum mbj_rc (*del)(struct db_txn *txn, enum db_table table,
			   struct mbj_bytes key, struct mbj_error *err);

	enum mbj_rc (*cursor_open)(struct db_txn *txn, enum db_table table,
				   struct mbj_bytes start,
				   struct db_cursor **ret_cursor,
				   struct mbj_error *err);
	enum mbj_rc (*cursor_next)(struct db_cursor *cursor,
				   struct mbj_bytes *ret_key,
				   struct mbj_bytes *ret_value,
				   struct mbj_error *err);
	void (*cursor_close)(struct db_cursor *cursor);
};

/* The first member of an engine's own objects. */
struct db {
	const struct db_ops *ops;
};

struct db_txn {
	struct db *db;
	size_t cursor_count; /* open ones */
};

struct db_cursor {
	struct db_txn *txn;
};

extern const struct db_ops db_berkeley_ops;
extern const struct db_ops db_memory_ops;

#endif
