/*
 * Writing a snapshot.
 *
 *	temporary name -> records -> sync -> read back, judge, compare
 *	  -> its name -> sync of the directory
 *
 * Method: a cursor on each table that is kept by account; whoever has the
 * lowest account id next is taken out of all of them, table by table.  So
 * accounts come one after the other, dead ones too, of which some tables
 * know nothing.
 *
 * Left out, since mailboxes and accounts say it: slots and accounts' names.
 *
 * Invariants:
 *   1. what has its name was read back and is what was written;
 *   2. memory is bounded: one chunk, and what the cursors read ahead.
 *
 * Threads: the caller's transaction's.
 */
#include <fcntl.h>

#include <mbj/check.h>

#include "snapshot_priv.h"

enum {
	ACCOUNT_TABLES = SNAPSHOT_ACCOUNT_TABLES,
	/* META is in the head; SLOTS and ACCOUNT_NAMES follow from others. */
	TABLES_LEFT_OUT = 3,
};

_Static_assert((int)SNAPSHOT_TABLES + (int)TABLES_LEFT_OUT == (int)TABLE_COUNT,
	       "a new table is in snapshots, or is named here");

/* Where a table is. */
struct source {
	enum db_table table;
	struct db_cursor *cursor;
	struct mbj_bytes key;
	struct mbj_bytes value;
	bool is_spent;
};

struct writing {
	struct mbj_txn *txn;
	const struct mbj_halt *halt;
	struct mbj_file file;
	struct mbj_sha256 *sha;
	struct mbj_snapshot_info info;
	uint64_t at;
	struct snapshot_chunk chunk; /* number and account of the next one */
	struct mbj_buf payload;
	struct source sources[ACCOUNT_TABLES];
};

/* ---------------------------------------------------------------- bytes */

static enum mbj_rc bytes_write(struct writing *w, struct mbj_bytes bytes,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_file_write(&w->file, w->at, bytes.p, bytes.n, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_update(w->sha, bytes, err);
	w->at += bytes.n;
	return rc;
}

static enum mbj_rc chunk_write(struct writing *w, bool is_last,
			       struct mbj_error *err)
{
	uint8_t head[SNAPSHOT_CHUNK_HEAD_SIZE];
	struct mbj_bytes payload = mbj_buf_view(&w->payload);
	enum mbj_rc rc;

	rc = mbj_buf_ok(&w->payload, err);
	if (rc < 0)
		return rc;
	w->chunk.size = (uint32_t)payload.n;
	w->chunk.crc = mbj_crc32c(0, payload);
	w->chunk.is_last = is_last;
	snapshot_chunk_encode(&w->chunk, head);
	rc = bytes_write(w, mbj_bytes_make(head, sizeof(head)), err);
	if (rc == MBJ_OK)
		rc = bytes_write(w, payload, err);
	w->chunk.number++;
	w->chunk.count = 0;
	mbj_buf_clear(&w->payload);
	return rc;
}

static enum mbj_rc record_write(struct writing *w, enum db_table table,
				struct mbj_bytes key, struct mbj_bytes value,
				struct mbj_error *err)
{
	const struct snapshot_record record = {table, key, value};
	struct mbj_account account;
	enum mbj_rc rc;

	if (!snapshot_record_is_good(&record))
		return record_damaged(table, key, err);
	w->info.records++;
	w->chunk.count++;
	w->info.mailboxes += table == TABLE_MAILBOXES;
	if (table == TABLE_ACCOUNTS &&
	    record_account_decode(w->chunk.account, value, &account)) {
		w->info.accounts++;
		w->info.messages += account.message_count;
		mbj_digest_join(&w->info.digest, &account.digest);
	}
	snapshot_record_encode(&w->payload, &record);
	if (w->payload.n < SNAPSHOT_CHUNK_FULL)
		return mbj_buf_ok(&w->payload, err);
	rc = mbj_halt_check(w->halt, w->file.path, err);
	return rc < 0 ? rc : chunk_write(w, false, err);
}

/* --------------------------------------------------------------- tables */

static enum mbj_rc source_step(struct source *source, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = db_cursor_next(source->cursor, &source->key, &source->value, err);
	source->is_spent = rc == MBJ_ENOTFOUND;
	if (rc == MBJ_OK && source->key.n < MBJ_ID_SIZE)
		return record_damaged(source->table, source->key, err);
	return source->is_spent ? MBJ_OK : rc;
}

static enum mbj_rc source_open(struct writing *w, struct source *source,
			       enum db_table table, struct mbj_error *err)
{
	struct mbj_bytes all = {NULL, 0};
	enum mbj_rc rc;

	*source = (struct source){.table = table};
	rc = db_cursor_open(w->txn->txn, table, all, &source->cursor, err);
	if (rc == MBJ_OK)
		rc = source_step(source, err);
	return rc;
}

static bool source_is_of(const struct source *source, struct mbj_id account)
{
	return !source->is_spent &&
	       memcmp(source->key.p, account.b, MBJ_ID_SIZE) == 0;
}

/* The lowest account that any table has left. */
static bool account_next(const struct writing *w, struct mbj_id *ret_account)
{
	struct mbj_id lowest = MBJ_ID_ROOT;
	bool is_found = false;

	for (size_t i = 0; i < ACCOUNT_TABLES; i++) {
		const struct source *source = &w->sources[i];

		if (source->is_spent ||
		    (is_found &&
		     memcmp(source->key.p, lowest.b, MBJ_ID_SIZE) >= 0))
			continue;
		memcpy(lowest.b, source->key.p, MBJ_ID_SIZE);
		is_found = true;
	}
	*ret_account = lowest;
	return is_found;
}

static enum mbj_rc account_write(struct writing *w, struct mbj_id account,
				 struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	w->chunk.account = account;
	for (size_t i = 0; i < ACCOUNT_TABLES; i++) {
		struct source *source = &w->sources[i];

		while (rc == MBJ_OK && source_is_of(source, account)) {
			struct mbj_bytes key = source->key;

			key.p += MBJ_ID_SIZE;
			key.n -= MBJ_ID_SIZE;
			rc = record_write(w, source->table, key, source->value,
					  err);
			if (rc == MBJ_OK)
				rc = source_step(source, err);
		}
	}
	return rc == MBJ_OK ? chunk_write(w, true, err) : rc;
}

static enum mbj_rc accounts_write(struct writing *w, struct mbj_error *err)
{
	struct mbj_id account;
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < ACCOUNT_TABLES; i++)
		rc = source_open(w, &w->sources[i], snapshot_tables[i], err);
	while (rc == MBJ_OK && account_next(w, &account)) {
		if (mbj_id_is_root(account))
			rc = record_damaged(TABLE_ACCOUNTS,
					    mbj_bytes_make(account.b,
							   MBJ_ID_SIZE),
					    err);
		else
			rc = account_write(w, account, err);
	}
	for (size_t i = 0; i < ACCOUNT_TABLES; i++)
		db_cursor_close(&w->sources[i].cursor);
	return rc;
}

/* What belongs to no account. */
static enum mbj_rc local_write(struct writing *w, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = ACCOUNT_TABLES; rc == MBJ_OK && i < SNAPSHOT_TABLES;
	     i++) {
		struct source source;

		rc = source_open(w, &source, snapshot_tables[i], err);
		while (rc == MBJ_OK && !source.is_spent) {
			rc = record_write(w, source.table, source.key,
					  source.value, err);
			if (rc == MBJ_OK)
				rc = source_step(&source, err);
		}
		db_cursor_close(&source.cursor);
	}
	return rc == MBJ_OK ? chunk_write(w, true, err) : rc;
}

/* ----------------------------------------------------------------- file */

static enum mbj_rc body_write(struct writing *w, struct mbj_error *err)
{
	uint8_t head[SNAPSHOT_HEAD_SIZE];
	uint8_t end[SNAPSHOT_END_SIZE];
	struct mbj_hash hash;
	uint64_t skipped = 0;
	enum mbj_rc rc;

	rc = mbj_txn_skipped_count(w->txn, &skipped, err);
	snapshot_head_encode(&w->info, skipped > 0, head);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(w->sha, err);
	if (rc == MBJ_OK)
		rc = bytes_write(w, mbj_bytes_make(head, sizeof(head)), err);
	if (rc == MBJ_OK)
		rc = local_write(w, err);
	if (rc == MBJ_OK)
		rc = accounts_write(w, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_end(w->sha, &hash, err);
	if (rc < 0)
		return rc;
	snapshot_end_encode(&w->info, w->chunk.number, &hash, end);
	rc = mbj_file_write(&w->file, w->at, end, sizeof(end), err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&w->file, err);
	w->info.size = w->at + sizeof(end);
	return rc;
}

static enum mbj_rc file_write(struct writing *w, const char *path,
			      struct mbj_error *err)
{
	const struct mbj_state *state = w->txn->state;
	enum mbj_rc rc;

	mbj_buf_init(&w->payload, SNAPSHOT_CHUNK_MAX);
	rc = mbj_sha256_new(&w->sha, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(state->sys, path,
				   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
				   &w->file, err);
	if (rc == MBJ_OK)
		rc = body_write(w, err);
	mbj_file_close(&w->file);
	mbj_sha256_free(&w->sha);
	mbj_buf_done(&w->payload);
	return rc;
}

/* Sums of the file as it is on disk against those of what was written. */
static enum mbj_rc file_judge(const struct writing *w, const char *path,
			      struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = NULL;
	const struct mbj_snapshot_info *info;
	enum mbj_rc rc;

	rc = mbj_snapshot_open(w->txn->state->sys, path, &snapshot, err);
	if (rc == MBJ_OK)
		rc = snapshot_judge(snapshot, w->halt, err);
	if (rc == MBJ_OK) {
		info = mbj_snapshot_info_get(snapshot);
		if (info->size != w->info.size ||
		    info->records != w->info.records ||
		    info->messages != w->info.messages ||
		    !mbj_digest_equal(&info->digest, &w->info.digest))
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "%s is not what was written", path);
	}
	mbj_snapshot_close(&snapshot);
	return rc;
}

enum mbj_rc mbj_snapshot_write(const struct mbj_sys *sys, const char *dir,
			       struct mbj_txn *txn, const struct mbj_halt *halt,
			       struct mbj_snapshot_info *ret_info,
			       struct mbj_error *err)
{
	struct writing w = {.halt = halt, .txn = txn, .file = MBJ_FILE_CLOSED};
	char name[MBJ_SNAPSHOT_NAME_SIZE];
	char temp[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	MBJ_ASSERT(txn->is_reading);
	rc = mbj_txn_watermark(txn, &w.info.watermark, err);
	if (rc == MBJ_OK)
		rc = txn_lineage_get(txn, &w.info.lineage, err);
	if (rc < 0)
		return rc;
	w.info.time_us = sys->now_us(sys->ctx);
	mbj_snapshot_name_print(w.info.watermark.lsn, name);
	rc = mbj_path_join(temp, dir, MBJ_SNAPSHOT_TEMP_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, dir, name, err);
	if (rc < 0)
		return rc;
	rc = file_write(&w, temp, err);
	if (rc == MBJ_OK)
		rc = file_judge(&w, temp, err);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(sys, temp, path, err);
	if (rc < 0) {
		/* Best effort: the next one overwrites it. */
		(void)sys->unlink(sys->ctx, temp);
		return rc;
	}
	rc = mbj_dir_sync(sys, dir, err);
	if (rc == MBJ_OK)
		*ret_info = w.info;
	return rc;
}

/* ------------------------------------------------------------- counting */

static enum mbj_rc table_count(struct mbj_txn *txn, enum db_table table,
			       struct mbj_bytes prefix, uint64_t max,
			       uint64_t *count, struct mbj_error *err)
{
	struct db_cursor *cursor = NULL;
	struct mbj_bytes key;
	struct mbj_bytes value;
	enum mbj_rc rc;

	rc = db_cursor_open(txn->txn, table, prefix, &cursor, err);
	while (rc == MBJ_OK && *count < max) {
		rc = db_cursor_next(cursor, &key, &value, err);
		if (rc < 0 || key.n < prefix.n ||
		    memcmp(key.p, prefix.p, prefix.n) != 0)
			break;
		(*count)++;
	}
	db_cursor_close(&cursor);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_snapshot_account_count(struct mbj_txn *txn, struct mbj_id id,
				       uint64_t max, uint64_t *ret_count,
				       struct mbj_error *err)
{
	struct mbj_bytes prefix = mbj_bytes_make(id.b, sizeof(id.b));
	enum mbj_rc rc;

	MBJ_ASSERT(!txn->is_reading);
	*ret_count = 0;
	rc = mbj_txn_flush(txn, err);
	for (size_t i = 0; rc == MBJ_OK && i < ACCOUNT_TABLES; i++)
		rc = table_count(txn, snapshot_tables[i], prefix, max,
				 ret_count, err);
	return rc;
}
