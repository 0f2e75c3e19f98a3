/*
 * Opening and closing the state, and its transactions; see mbj/state.h.
 *
 * Not here: records (record.c), what is in them (state_account.c,
 * state_mailbox.c, state_names.c), scans (state_scan.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/version.h>

#include "seal.h"
#include "state_priv.h"

/* Bytes that one transaction may hand out; a bound, not a reservation. */
#define TXN_ARENA_MAX ((size_t)8 << 30)

enum {
	TXN_RECORD_MAX = 1 << 20,
	STATE_NAMES_MAX = 4 << 20, /* bytes of the file names in home */
};

static const char lineage_key[] = "lineage";
static const char watermark_key[] = "watermark";

#undef conflict
enum mbj_rc conflict(struct mbj_error *err, const char *format, ...)
{
	char message[MBJ_ERROR_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	return mbj_error_set(err, MBJ_ECONFLICT, "%s", message);
}

/* A file that could redirect the environment's files anywhere. */
static enum mbj_rc config_refuse(const struct mbj_sys *sys, const char *home,
				 struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, home, "DB_CONFIG", err);
	if (rc < 0)
		return rc;
	if (mbj_path_exists(sys, path))
		return mbj_error_set(err, MBJ_EINVALID,
				     "%s is not ours and could send files "
				     "anywhere: remove it",
				     path);
	return MBJ_OK;
}

/* An empty log file is one made ahead of an environment, and no more. */
static enum mbj_rc file_is_empty(const struct mbj_sys *sys, const char *home,
				 const char *name, bool *ret_is_empty,
				 struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(path, home, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDONLY, &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&file, &size, err);
	mbj_file_close(&file);
	if (rc == MBJ_OK)
		*ret_is_empty = size == 0;
	return rc;
}

/*
 * Whether there is no environment: neither tables nor anything in a log.
 * Where only one of the two is left it is damaged, which opening it will find.
 */
static enum mbj_rc home_is_new(const struct mbj_sys *sys, const char *home,
			       bool *ret_is_new, struct mbj_error *err)
{
	struct mbj_buf names;
	bool is_new = true;
	enum mbj_rc rc;

	mbj_buf_init(&names, STATE_NAMES_MAX);
	rc = mbj_dir_list(sys, home, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && is_new && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (strcmp(name, "state.db") == 0 ||
		    strcmp(name, DB_MEMORY_NAME) == 0)
			is_new = false;
		else if (strncmp(name, "log.", 4) == 0)
			rc = file_is_empty(sys, home, name, &is_new, err);
	}
	mbj_buf_done(&names);
	if (rc == MBJ_OK)
		*ret_is_new = is_new;
	return rc;
}

/* The environment was made for this lineage, or is new and takes it. */
static enum mbj_rc lineage_check(struct mbj_txn *txn, struct mbj_id lineage,
				 bool is_new, struct mbj_error *err)
{
	struct mbj_bytes value;
	struct mbj_id found;
	enum mbj_rc rc;

	mbj_buf_clear(&txn->key);
	mbj_buf_put_str(&txn->key, lineage_key);
	rc = txn_get(txn, TABLE_META, &value, err);
	if (rc == MBJ_ENOTFOUND && is_new) {
		mbj_buf_clear(&txn->value);
		mbj_buf_put_u8(&txn->value, MBJ_FORMAT_STATE);
		mbj_buf_put_id(&txn->value, lineage);
		return txn_put(txn, TABLE_META, err);
	}
	if (rc == MBJ_ENOTFOUND)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the state does not say whose it is");
	if (rc < 0)
		return rc;
	if (value.n > 0 && value.p[0] > MBJ_FORMAT_STATE)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the state has format %u, this version "
				     "knows %d",
				     value.p[0], MBJ_FORMAT_STATE);
	/* Made anew, where something knows it all, it has today's format. */
	if (value.n > 0 && value.p[0] < MBJ_FORMAT_STATE)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the state has format %u, from an earlier "
				     "version",
				     value.p[0]);
	if (value.n != 1 + sizeof(found.b))
		return record_damaged(TABLE_META, mbj_buf_view(&txn->key), err);
	memcpy(found.b, value.p + 1, sizeof(found.b));
	if (!mbj_id_equal(found, lineage))
		return mbj_error_set(err, MBJ_EINVALID,
				     "%s belongs to another lineage",
				     txn->state->home);
	return MBJ_OK;
}

static enum mbj_rc state_prepare(struct mbj_state *state, struct mbj_id lineage,
				 bool is_new, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_txn_begin(state, &txn, err);
	if (rc < 0)
		return rc;
	rc = mbj_digest_key(txn->sha, lineage, &state->digest_key, err);
	if (rc == MBJ_OK)
		rc = lineage_check(txn, lineage, is_new, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_commit(&txn, err);
	mbj_txn_abort(&txn);
	/* From now on tables without a lineage are damage. */
	if (rc == MBJ_OK && is_new)
		rc = db_checkpoint(state->db, true, err);
	return rc;
}

/*
 * The files are what they were when they were closed, or at least nothing that
 * Berkeley DB would stumble over; from here on they change.
 */
static enum mbj_rc home_check(const struct mbj_sys *sys, const char *home,
			      enum mbj_state_engine engine, bool *ret_is_new,
			      bool *ret_is_sealed, struct mbj_buf *tables,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	*ret_is_sealed = true;
	rc = home_is_new(sys, home, ret_is_new, err);
	/* The engine in memory reads its file as a whole, and checks it. */
	if (rc < 0 || engine == MBJ_STATE_MEMORY)
		return rc;
	rc = seal_check(sys, home, ret_is_sealed, tables, err);
	if (rc < 0)
		return rc;
	if (*ret_is_sealed)
		return seal_break(sys, home, err);
	if (*ret_is_new)
		return MBJ_OK;
	rc = seal_pages_check(sys, home, err);
	return rc < 0 ? rc : seal_logs_check(sys, home, err);
}

enum mbj_rc mbj_state_open(const struct mbj_sys *sys, const char *home,
			   struct mbj_id lineage,
			   const struct mbj_state_options *options,
			   struct mbj_state **ret_state, struct mbj_error *err)
{
	struct db_options db_options = {
		.cache_size = options->cache_size,
		.log_file_size = options->log_file_size,
		.checkpoint_log_size = options->checkpoint_log_size,
		.is_new = true,
		.engine = options->engine,
		.sys = sys,
	};
	struct mbj_state *state = mbj_calloc(1, sizeof(*state));
	bool is_sealed = false;
	struct mbj_id seed;
	enum mbj_rc rc;

	if (!state)
		return mbj_error_nomem(err);
	MBJ_ASSERT(strlen(home) < sizeof(state->home));
	memcpy(state->home, home, strlen(home) + 1);
	state->sys = sys;
	state->has_orphans = true;
	mbj_buf_init(&state->tables_sealed, 0);
	rc = config_refuse(sys, home, err);
	if (rc == MBJ_OK && !mbj_path_exists(sys, home))
		rc = mbj_dir_make(sys, home, err);
	if (rc == MBJ_OK)
		rc = home_check(sys, home, options->engine, &db_options.is_new,
				&is_sealed, &state->tables_sealed, err);
	state->was_sealed = is_sealed || db_options.is_new;
	state->is_sealed_when_closed = options->engine == MBJ_STATE_BERKELEY_DB;
	if (rc == MBJ_OK)
		rc = mbj_id_generate(sys, &seed, err);
	if (rc == MBJ_OK)
		rc = cache_new(options->records_cached_max, seed, &state->cache,
			       err);
	if (rc == MBJ_OK)
		rc = db_open(home, &db_options, &state->db, err);
	if (rc == MBJ_OK)
		rc = state_prepare(state, lineage, db_options.is_new, err);
	if (rc == MBJ_OK)
		rc = state_skipped_look(state, err);
	if (rc < 0) {
		db_close(&state->db);
		mbj_state_close(&state);
	} else {
		*ret_state = state;
	}
	return rc;
}

static void memory_free(struct mbj_txn **txn)
{
	struct mbj_txn *t = *txn;

	if (!t)
		return;
	mbj_buf_done(&t->key);
	mbj_buf_done(&t->value);
	mbj_buf_done(&t->element);
	mbj_arena_free(&t->arena);
	mbj_sha256_free(&t->sha);
	mbj_free(t);
	*txn = NULL;
}

void mbj_state_close(struct mbj_state **state)
{
	struct mbj_state *s = *state;
	struct mbj_bytes tables = mbj_bytes_make(NULL, 0);
	bool is_whole;

	if (!s)
		return;
	MBJ_ASSERT(!s->is_writing);
	MBJ_ASSERT(atomic_load(&s->readers) == 0);
	/* Without checkpoint or seal the next opening takes longer. */
	is_whole = s->db && !db_is_failed(s->db) &&
		   db_checkpoint(s->db, true, NULL) == MBJ_OK;
	if (is_whole && db_tables_are_as_opened(s->db))
		tables = mbj_buf_view(&s->tables_sealed);
	db_close(&s->db);
	if (is_whole && s->is_sealed_when_closed)
		(void)!seal_make(s->sys, s->home, tables, NULL);
	mbj_buf_done(&s->tables_sealed);
	cache_free(&s->cache);
	memory_free(&s->writer);
	mbj_free(s);
	*state = NULL;
}

enum mbj_rc mbj_state_destroy(const struct mbj_sys *sys, const char *home,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;
	int code;

	mbj_buf_init(&names, STATE_NAMES_MAX);
	rc = mbj_dir_list(sys, home, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		rc = mbj_path_join(path, home, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(sys, path, err);
	}
	mbj_buf_done(&names);
	if (rc < 0)
		return rc;
	code = sys->rmdir(sys->ctx, home);
	if (code < 0)
		return mbj_error_errno(err, -code, "cannot remove", home);
	return MBJ_OK;
}

enum mbj_rc mbj_state_checkpoint(struct mbj_state *state, bool is_forced,
				 struct mbj_error *err)
{
	return db_checkpoint(state->db, is_forced, err);
}

bool mbj_state_has_readers(const struct mbj_state *state)
{
	return atomic_load(&state->readers) > 0;
}

bool mbj_state_is_failed(const struct mbj_state *state)
{
	return db_is_failed(state->db);
}

bool mbj_state_is_suspect(const struct mbj_state *state)
{
	return db_is_failed(state->db) || atomic_load(&state->is_suspect);
}

void mbj_state_leave_unsealed(struct mbj_state *state)
{
	state->is_sealed_when_closed = false;
}

bool mbj_state_was_sealed(const struct mbj_state *state)
{
	return state->was_sealed;
}

static enum mbj_rc memory_new(struct mbj_state *state, struct mbj_txn **ret_txn,
			      struct mbj_error *err)
{
	struct mbj_txn *txn = mbj_calloc(1, sizeof(*txn));
	enum mbj_rc rc;

	if (!txn)
		return mbj_error_nomem(err);
	txn->state = state;
	mbj_buf_init(&txn->key, TXN_RECORD_MAX);
	mbj_buf_init(&txn->value, TXN_RECORD_MAX);
	mbj_buf_init(&txn->element, TXN_RECORD_MAX);
	rc = mbj_arena_new(TXN_ARENA_MAX, &txn->arena, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&txn->sha, err);
	if (rc < 0)
		memory_free(&txn);
	else
		*ret_txn = txn;
	return rc;
}

/*
 * The end of a transaction.  There is one writing transaction at a time, and
 * in a busy store one after the other: its memory stays for the next.
 */
static void txn_free(struct mbj_txn **txn)
{
	struct mbj_txn *t = *txn;

	if (!t)
		return;
	if (t->is_reading) {
		atomic_fetch_sub(&t->state->readers, 1);
		memory_free(&t);
	} else {
		MBJ_ASSERT(t == t->state->writer);
		t->state->is_writing = false;
	}
	*txn = NULL;
}

static enum mbj_rc txn_new(struct mbj_state *state, bool is_reading,
			   struct mbj_txn **ret_txn, struct mbj_error *err)
{
	struct mbj_txn *txn = is_reading ? NULL : state->writer;
	enum mbj_rc rc;

	MBJ_ASSERT(is_reading || !state->is_writing);
	if (!txn) {
		rc = memory_new(state, &txn, err);
		if (rc < 0)
			return rc;
	}
	txn->is_reading = is_reading;
	txn->growth_max = UINT64_MAX;
	txn->growth_refused = 0;
	txn->account_value = NULL;
	if (is_reading) {
		atomic_fetch_add(&state->readers, 1);
	} else {
		state->writer = txn;
		state->is_writing = true;
	}
	rc = db_begin(state->db, is_reading, &txn->txn, err);
	if (rc < 0)
		txn_free(&txn);
	else
		*ret_txn = txn;
	return rc;
}

enum mbj_rc mbj_txn_begin(struct mbj_state *state, struct mbj_txn **ret_txn,
			  struct mbj_error *err)
{
	return txn_new(state, false, ret_txn, err);
}

enum mbj_rc mbj_txn_begin_read(struct mbj_state *state,
			       struct mbj_txn **ret_txn, struct mbj_error *err)
{
	return txn_new(state, true, ret_txn, err);
}

enum mbj_rc mbj_txn_flush(struct mbj_txn *txn, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (txn->is_reading)
		return MBJ_OK;
	rc = txn_growth_check(txn, err);
	if (rc < 0)
		return rc;
	return cache_flush(txn->state->cache, txn->txn, err);
}

/* Nothing of the transaction came about: what was reaped is back. */
static void undone(struct mbj_txn *txn)
{
	cache_aborted(txn->state->cache);
	txn->state->has_orphans = true;
}

enum mbj_rc mbj_txn_commit(struct mbj_txn **txn, struct mbj_error *err)
{
	struct cache *cache = (*txn)->state->cache;
	enum mbj_rc rc;

	MBJ_ASSERT(!(*txn)->is_reading);
	rc = mbj_txn_flush(*txn, err);
	if (rc < 0) {
		mbj_txn_abort(txn);
		return rc;
	}
	rc = db_commit(&(*txn)->txn, err);
	if (rc == MBJ_OK)
		cache_committed(cache);
	else
		undone(*txn);
	txn_free(txn);
	return rc;
}

void mbj_txn_abort(struct mbj_txn **txn)
{
	if (!*txn)
		return;
	db_abort(&(*txn)->txn);
	if (!(*txn)->is_reading)
		undone(*txn);
	txn_free(txn);
}

size_t mbj_txn_savepoint(struct mbj_txn *txn)
{
	MBJ_ASSERT(!txn->is_reading);
	return cache_savepoint(txn->state->cache);
}

void mbj_txn_rollback(struct mbj_txn *txn, size_t savepoint)
{
	MBJ_ASSERT(!txn->is_reading);
	cache_rollback(txn->state->cache, savepoint);
	txn->state->has_orphans = true; /* what was reaped may be back */
}

/* Asked before each record, of buffers that seldom fail. */
static inline enum mbj_rc buf_ok(const struct mbj_buf *buf,
				 struct mbj_error *err)
{
	return buf->failed == MBJ_OK ? MBJ_OK : mbj_buf_ok(buf, err);
}

enum mbj_rc txn_get(struct mbj_txn *txn, enum db_table table,
		    struct mbj_bytes *ret_value, struct mbj_error *err)
{
	struct mbj_bytes key = mbj_buf_view(&txn->key);
	enum mbj_rc rc;

	rc = buf_ok(&txn->key, err);
	if (rc < 0)
		return rc;
	if (!txn->is_reading)
		return cache_get(txn->state->cache, txn->txn, table, key,
				 ret_value, err);
	mbj_buf_clear(&txn->value);
	rc = db_get(txn->txn, table, key, &txn->value, err);
	if (rc < 0)
		return rc;
	if (!mbj_arena_dup(txn->arena, mbj_buf_view(&txn->value), ret_value))
		return mbj_error_nomem(err);
	return MBJ_OK;
}

enum mbj_rc txn_put(struct mbj_txn *txn, enum db_table table,
		    struct mbj_error *err)
{
	struct mbj_bytes value = mbj_buf_view(&txn->value);
	enum mbj_rc rc;

	MBJ_ASSERT(!txn->is_reading);
	rc = buf_ok(&txn->value, err);
	if (rc == MBJ_OK)
		rc = buf_ok(&txn->key, err);
	if (rc < 0)
		return rc;
	return cache_set(txn->state->cache, txn->txn, table,
			 mbj_buf_view(&txn->key), &value, err);
}

enum mbj_rc txn_del(struct mbj_txn *txn, enum db_table table,
		    struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(!txn->is_reading);
	rc = buf_ok(&txn->key, err);
	if (rc < 0)
		return rc;
	return cache_set(txn->state->cache, txn->txn, table,
			 mbj_buf_view(&txn->key), NULL, err);
}

enum mbj_rc txn_lineage_get(struct mbj_txn *txn, struct mbj_id *ret_lineage,
			    struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	mbj_buf_clear(&txn->key);
	mbj_buf_put_str(&txn->key, lineage_key);
	rc = txn_get(txn, TABLE_META, &value, err);
	if (rc == MBJ_ENOTFOUND ||
	    (rc == MBJ_OK && value.n != 1 + sizeof(ret_lineage->b)))
		return record_damaged(TABLE_META, mbj_buf_view(&txn->key), err);
	if (rc == MBJ_OK)
		memcpy(ret_lineage->b, value.p + 1, sizeof(ret_lineage->b));
	return rc;
}

enum mbj_rc mbj_txn_watermark(struct mbj_txn *txn,
			      struct mbj_watermark *ret_watermark,
			      struct mbj_error *err)
{
	struct mbj_bytes value;
	enum mbj_rc rc;

	mbj_buf_clear(&txn->key);
	mbj_buf_put_str(&txn->key, watermark_key);
	rc = txn_get(txn, TABLE_META, &value, err);
	if (rc == MBJ_ENOTFOUND) {
		*ret_watermark = (struct mbj_watermark){0};
		return MBJ_OK;
	}
	if (rc < 0)
		return rc;
	if (!record_watermark_decode(value, ret_watermark))
		return record_damaged(TABLE_META, mbj_buf_view(&txn->key), err);
	return MBJ_OK;
}

enum mbj_rc mbj_txn_watermark_set(struct mbj_txn *txn,
				  const struct mbj_watermark *watermark,
				  struct mbj_error *err)
{
	mbj_buf_clear(&txn->key);
	mbj_buf_put_str(&txn->key, watermark_key);
	record_watermark_encode(&txn->value, watermark);
	return txn_put(txn, TABLE_META, err);
}
