/*
 * Berkeley DB behind db_engine.h: the environment and its tables.
 * Transactions and records are in db_berkeley_txn.c, scans in
 * db_berkeley_cursor.c.
 *
 * Settings and why (docs/decisions/0005, 0050, 0065): private regions, so that
 * a full disk cannot become SIGBUS and a killed neighbour cannot wedge a latch;
 * no locks, since one transaction writes, alone; checksums on every page; one
 * version of each, since a full cache that has several is slow: db_past.h has
 * what snapshots need; commits without sync, since the journal is the truth; no
 * messages to standard error.
 *
 * Invariants:
 *   1. once failed, nothing is read or written until it is reopened;
 *   2. tables are created with the environment and never afterwards: one that
 *      is missing later is damage, not an empty one.
 *
 * Threads: the handles are free-threaded; see db_engine.h for the rule of
 * writers.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "db_berkeley.h"
#include "seal.h"

enum {
	DB_LOG_BUFFER_SIZE_MAX = 1 << 20,
	/* Times that a checkpoint is asked for until one is due. */
	DB_CHECKPOINT_ASKS = 8,
};

/* Where the library keeps it from version 4.1 on: a u32 in our order. */
uint32_t db_berkeley_last_page(struct mbj_bytes first_page)
{
	enum { LAST_PAGE_AT = 32 };
	uint32_t number;

	MBJ_ASSERT(first_page.n >= LAST_PAGE_AT + sizeof(number));
	memcpy(&number, first_page.p + LAST_PAGE_AT, sizeof(number));
	return number;
}

static uint32_t page_u32(struct mbj_bytes page, size_t at)
{
	uint32_t number;

	memcpy(&number, page.p + at, sizeof(number));
	return number;
}

/*
 * Likewise.  A table's first page is known by its type or, where that is
 * damaged too, by what is so far before it that one burst has not both.
 * A page that is free has no entries.
 */
bool db_berkeley_page_is_sane(struct mbj_bytes page)
{
	enum {
		MAGIC_AT = 12,
		VERSION_AT = 16,
		ENTRIES_AT = 20,
		TYPE_AT = 25,
		FLAGS_AT = 26,
		MAGIC = 0x53162,
		VERSION = 9,
		CHECKSUMS = 1
	};
	enum { FREE = 0, INNER = 3, LEAF = 5, OVERFLOWING = 7, FIRST = 9 };
	bool is_first = page_u32(page, MAGIC_AT) == MAGIC &&
			page_u32(page, VERSION_AT) == VERSION;

	MBJ_ASSERT(page.n > FLAGS_AT);
	switch (page.p[TYPE_AT]) {
	case FIRST:
		return page.p[FLAGS_AT] == CHECKSUMS;
	case FREE:
		return !is_first && page.p[ENTRIES_AT] == 0 &&
		       page.p[ENTRIES_AT + 1] == 0;
	case INNER:
	case LEAF:
	case OVERFLOWING:
		return !is_first;
	default:
		return false;
	}
}

/* Likewise: the record's place before, its length, its checksum, its body. */
bool db_berkeley_log_is_sane(struct mbj_bytes head)
{
	static const uint8_t zeroes[DB_LOG_HEAD_SIZE];
	enum { LENGTH_AT = 4 };
	uint32_t length;

	MBJ_ASSERT(head.n == DB_LOG_HEAD_SIZE);
	memcpy(&length, head.p + LENGTH_AT, sizeof(length));
	return length == DB_LOG_HEAD_SIZE ||
	       memcmp(head.p, zeroes, DB_LOG_HEAD_SIZE) == 0;
}

/*
 * What a code means to us.  Anything that says "these bytes are wrong" asks
 * for a rebuild; that costs time, never data.
 */
static enum mbj_rc code_rc(int code)
{
	switch (code) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return MBJ_ENOSPC;
	case ENOMEM:
		return MBJ_ENOMEM;
	case DB_RUNRECOVERY:
	case DB_PAGE_NOTFOUND:
	case DB_VERIFY_BAD:
	case DB_LOG_VERIFY_BAD:
	case DB_OLD_VERSION:
	case DB_VERSION_MISMATCH:
	case DB_NOTFOUND: /* of a log file; of a record it is no error */
	case ENOENT:
	case EINVAL:
		return MBJ_ECORRUPT;
	default:
		return MBJ_EIO;
	}
}

/* Take the engine's message, "" where there is none. */
static void message_take(struct berkeley *db, char text[DB_MESSAGE_MAX])
{
	pthread_mutex_lock(&db->message_mutex);
	memcpy(text, db->message, DB_MESSAGE_MAX);
	db->message[0] = '\0';
	pthread_mutex_unlock(&db->message_mutex);
}

/* What was said of a call that succeeded is not why a later one fails. */
static void message_forget(struct berkeley *db)
{
	char text[DB_MESSAGE_MAX];

	message_take(db, text);
}

/*
 * Recovery that cannot write says no more than that it failed; what it met, it
 * tells in words only.  The files are good then, and are recovered once there
 * is room.
 */
static bool is_full_disk(const struct berkeley *db, int code, const char *text)
{
	return code == DB_RUNRECOVERY && !db->is_up &&
	       (strstr(text, db_strerror(ENOSPC)) != NULL ||
		strstr(text, db_strerror(EDQUOT)) != NULL);
}

enum mbj_rc berkeley_error(struct berkeley *db, int code, const char *what,
			   const char *where, struct mbj_error *err)
{
	enum mbj_rc rc = code_rc(code);
	char text[DB_MESSAGE_MAX];

	MBJ_ASSERT(code != 0);
	if (rc == MBJ_ECORRUPT)
		atomic_store(&db->is_failed, true);
	message_take(db, text);
	if (is_full_disk(db, code, text))
		rc = MBJ_ENOSPC;
	return mbj_error_set(err, rc, "Berkeley DB cannot %s %s: %s%s%s%s",
			     what, where, db_strerror(code),
			     text[0] != '\0' ? " (" : "", text,
			     text[0] != '\0' ? ")" : "");
}

enum mbj_rc berkeley_usable(const struct berkeley *db, struct mbj_error *err)
{
	if (!atomic_load(&db->is_failed))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EIO,
			     "the state failed earlier; close and reopen the "
			     "store");
}

/*
 * Messages are for the caller's error, not for standard error.  The first one
 * says why; those after it say what came of that: a panic, and where the
 * opening fails, that there is no environment to remove.
 */
static void message_note(const DB_ENV *env, const char *prefix,
			 const char *message)
{
	struct berkeley *db = env->app_private;

	(void)prefix;
	pthread_mutex_lock(&db->message_mutex);
	if (db->message[0] == '\0')
		(void)snprintf(db->message, sizeof(db->message), "%s", message);
	pthread_mutex_unlock(&db->message_mutex);
}

static void message_drop(const DB_ENV *env, const char *message)
{
	(void)env;
	(void)message;
}

/* A panic need not be told of by the call that met it: an abort's is not. */
static void event_note(DB_ENV *env, uint32_t event, void *info)
{
	struct berkeley *db = env->app_private;

	(void)info;
	if (event == DB_EVENT_PANIC)
		atomic_store(&db->is_failed, true);
}

/* The engine hands out memory that is ours to free. */
static void *memory_resize(void *p, size_t n)
{
	return mbj_realloc_array(p, 1, n);
}

/*
 * No size of the transaction region: in private memory it would only be a
 * limit, and many readers would meet it.
 */
static int env_configure(struct berkeley *db, const struct db_options *options)
{
	DB_ENV *env = db->env;
	/* The engine wants a log file to hold four of its buffers. */
	size_t buffer_size = options->log_file_size / 4;
	int code;

	if (buffer_size > DB_LOG_BUFFER_SIZE_MAX)
		buffer_size = DB_LOG_BUFFER_SIZE_MAX;
	env->app_private = db;
	env->set_errcall(env, message_note);
	env->set_msgcall(env, message_drop);
	code = env->set_event_notify(env, event_note);
	if (code == 0)
		code = env->set_alloc(env, mbj_alloc, memory_resize, mbj_free);
	if (code == 0)
		code = env->set_cachesize(
			env, (uint32_t)(options->cache_size >> 30),
			(uint32_t)(options->cache_size & ((1u << 30) - 1)), 1);
	if (code == 0)
		code = env->set_lg_bsize(env, (uint32_t)buffer_size);
	if (code == 0)
		code = env->set_lg_max(env, (uint32_t)options->log_file_size);
	if (code == 0)
		code = env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1);
	return code;
}

static enum mbj_rc env_open(struct berkeley *db, const char *home,
			    const struct db_options *options,
			    struct mbj_error *err)
{
	const uint32_t flags = DB_CREATE | DB_PRIVATE | DB_INIT_TXN |
			       DB_INIT_LOG | DB_INIT_MPOOL | DB_THREAD |
			       DB_RECOVER;
	int code;

	code = db_env_create(&db->env, 0);
	if (code != 0)
		return berkeley_error(db, code, "make an environment for", home,
				      err);
	code = env_configure(db, options);
	if (code == 0)
		code = db->env->open(db->env, home, flags, 0600);
	/* A handle whose open failed may only be closed. */
	if (code != 0)
		return berkeley_error(db, code, "open the environment in", home,
				      err);
	return MBJ_OK;
}

/*
 * Keys in the order of their bytes, the shorter first: the engine's own order,
 * which it takes byte by byte.  Ours share an account id and often a parent's,
 * so that most of a search was that loop.  A table is the same with either.
 */
static int key_compare(DB *handle, const DBT *a, const DBT *b)
{
	size_t n = a->size < b->size ? a->size : b->size;
	int order = n == 0 ? 0 : memcmp(a->data, b->data, n);

	(void)handle;
	if (order != 0)
		return order;
	return (a->size > b->size) - (a->size < b->size);
}

/*
 * How much of b separates it from a before it: what inner pages keep.  The
 * engine does not presume this of an order that it does not know.
 */
static size_t key_prefix(DB *handle, const DBT *a, const DBT *b)
{
	const uint8_t *x = a->data;
	const uint8_t *y = b->data;
	size_t n = a->size < b->size ? a->size : b->size;

	(void)handle;
	for (size_t i = 0; i < n; i++)
		if (x[i] != y[i])
			return i + 1;
	/* The same so far: one byte more of the longer one. */
	return n < b->size ? n + 1 : n;
}

static int table_open(struct berkeley *db, enum db_table table, DB_TXN *txn,
		      bool is_new)
{
	DB *handle;
	int code;

	code = db_create(&handle, db->env, 0);
	if (code != 0)
		return code;
	db->tables[table] = handle;
	code = handle->set_pagesize(handle, STATE_PAGE_SIZE);
	if (code == 0)
		code = handle->set_flags(handle, DB_CHKSUM);
	if (code == 0)
		code = handle->set_bt_compare(handle, key_compare);
	if (code == 0)
		code = handle->set_bt_prefix(handle, key_prefix);
	if (code == 0)
		code = handle->open(handle, txn, "state.db",
				    db_table_name(table), DB_BTREE,
				    DB_THREAD | (is_new ? DB_CREATE : 0), 0600);
	return code;
}

/* All tables in one transaction: they are all there, or none is. */
static enum mbj_rc tables_open(struct berkeley *db, bool is_new,
			       struct mbj_error *err)
{
	DB_TXN *txn = NULL;
	int code;

	code = db->env->txn_begin(db->env, NULL, &txn, 0);
	if (code != 0)
		return berkeley_error(db, code, "begin", "a transaction", err);
	for (int i = 0; i < TABLE_COUNT; i++) {
		enum mbj_rc rc;

		code = table_open(db, (enum db_table)i, txn, is_new);
		if (code == 0)
			continue;
		rc = berkeley_error(db, code, "open table",
				    db_table_name((enum db_table)i), err);
		if (code == ENOENT)
			rc = mbj_error_set(err, rc,
					   "state.db has no table %s: an "
					   "earlier version made it, or it is "
					   "damaged",
					   db_table_name((enum db_table)i));
		(void)txn->abort(txn);
		return rc;
	}
	code = txn->commit(txn, 0);
	if (code != 0)
		return berkeley_error(db, code, "commit", "the tables", err);
	return MBJ_OK;
}

/*
 * The engine closes nothing of an environment that panics, and would leave all
 * of its memory, cache and all, behind.  So it is told to go on, and to write
 * nothing, as if the process had been killed.
 */
static void panic_pass_over(struct berkeley *db)
{
	if (db->env && atomic_load(&db->is_failed))
		(void)db->env->set_flags(db->env, DB_NOPANIC | DB_NOFLUSH, 1);
}

static void berkeley_close(struct db *base)
{
	struct berkeley *db = berkeley_of(base);

	/* Closing a table is logged, and may be what it panics of. */
	for (int i = 0; i < TABLE_COUNT; i++) {
		panic_pass_over(db);
		if (db->tables[i])
			(void)db->tables[i]->close(db->tables[i], DB_NOSYNC);
	}
	panic_pass_over(db);
	if (db->env)
		(void)db->env->close(db->env, 0);
	past_done(&db->past);
	(void)pthread_mutex_destroy(&db->message_mutex);
	mbj_free(db);
}

static bool berkeley_is_failed(const struct db *base)
{
	const struct berkeley *db = (const struct berkeley *)base;

	return atomic_load(&db->is_failed);
}

/*
 * All pages of the tables pass through the cache, which counts them: none went
 * out, and none waits there to go.  What is asked of the engine may be refused.
 */
static bool berkeley_tables_are_as_opened(struct db *base)
{
	struct berkeley *db = berkeley_of(base);
	DB_MPOOL_STAT *cache = NULL;
	bool are_as_opened;

	if (atomic_load(&db->is_failed) ||
	    db->env->memp_stat(db->env, &cache, NULL, 0) != 0)
		return false;
	are_as_opened = cache->st_page_out == 0 && cache->st_page_dirty == 0 &&
			cache->st_page_create == 0;
	mbj_free(cache);
	return are_as_opened;
}

/* Has there been one since the last that we know of?  Asking may be refused. */
static bool checkpoint_is_new(struct berkeley *db)
{
	DB_TXN_STAT *stat = NULL;
	bool is_new;

	if (db->env->txn_stat(db->env, &stat, 0) != 0)
		return false;
	is_new = stat->st_last_ckp.file != db->checkpoint.file ||
		 stat->st_last_ckp.offset != db->checkpoint.offset;
	db->checkpoint = stat->st_last_ckp;
	mbj_free(stat);
	return is_new;
}

/*
 * Asking is not free, even where no checkpoint is due: the engine looks for
 * log files to remove, which opens and reads some.  After each batch that cost
 * a lone edit a quarter of its time, so it is asked by volume.
 */
static enum mbj_rc berkeley_checkpoint(struct db *base, bool is_forced,
				       struct mbj_error *err)
{
	struct berkeley *db = berkeley_of(base);
	uint32_t kib = (uint32_t)(db->checkpoint_log_size >> 10);
	enum mbj_rc rc;
	int code;

	rc = berkeley_usable(db, err);
	if (rc < 0)
		return rc;
	if (!is_forced &&
	    db->log_estimate < db->checkpoint_log_size / DB_CHECKPOINT_ASKS)
		return MBJ_OK;
	db->log_estimate = 0;
	code = db->env->txn_checkpoint(db->env, is_forced ? 0 : kib, 0,
				       is_forced ? DB_FORCE : 0);
	if (code != 0)
		return berkeley_error(db, code, "checkpoint", "the state", err);
	/* Log files that it could not remove, for one. */
	message_forget(db);
	if (checkpoint_is_new(db))
		seal_pages_note(db->sys, db->home);
	return MBJ_OK;
}

/* Everything in its order; what fails is closed by the caller. */
static enum mbj_rc berkeley_bring_up(struct berkeley *db,
				     const struct db_options *options,
				     struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = options->is_new ? berkeley_log_begin(db, err)
			     : berkeley_home_sync(db, err);
	if (rc == MBJ_OK)
		rc = env_open(db, db->home, options, err);
	if (rc == MBJ_OK)
		rc = berkeley_log_ahead(db, err);
	if (rc == MBJ_OK)
		rc = tables_open(db, options->is_new, err);
	if (rc == MBJ_OK && options->is_new)
		rc = mbj_dir_sync(db->sys, db->home, err);
	/* Recovering the same log again would cost the same again. */
	if (rc == MBJ_OK)
		rc = berkeley_checkpoint(&db->base, true, err);
	db->is_up = rc == MBJ_OK;
	return rc;
}

static enum mbj_rc berkeley_open(const char *home,
				 const struct db_options *options,
				 struct db **ret_db, struct mbj_error *err)
{
	struct berkeley *db = mbj_calloc(1, sizeof(*db));
	size_t n = strlen(home);
	enum mbj_rc rc;

	MBJ_ASSERT(n < MBJ_PATH_TEXT_MAX);
	if (!db)
		return mbj_error_nomem(err);
	if (pthread_mutex_init(&db->message_mutex, NULL) != 0) {
		mbj_free(db);
		return mbj_error_nomem(err);
	}
	rc = past_init(&db->past, err);
	if (rc < 0) {
		(void)pthread_mutex_destroy(&db->message_mutex);
		mbj_free(db);
		return rc;
	}
	db->base.ops = &db_berkeley_ops;
	db->sys = options->sys;
	memcpy(db->home, home, n + 1);
	db->log_file_size = options->log_file_size;
	db->checkpoint_log_size = options->checkpoint_log_size;
	rc = berkeley_bring_up(db, options, err);
	if (rc < 0)
		berkeley_close(&db->base);
	else
		*ret_db = &db->base;
	return rc;
}

const struct db_ops db_berkeley_ops = {
	.open = berkeley_open,
	.close = berkeley_close,
	.is_failed = berkeley_is_failed,
	.tables_are_as_opened = berkeley_tables_are_as_opened,
	.checkpoint = berkeley_checkpoint,
	.begin = berkeley_begin,
	.commit = berkeley_commit,
	.abort = berkeley_abort,
	.get = berkeley_get,
	.write = berkeley_write,
	.put = berkeley_put,
	.del = berkeley_del,
	.cursor_open = berkeley_cursor_open,
	.cursor_next = berkeley_cursor_next,
	.cursor_close = berkeley_cursor_close,
};
