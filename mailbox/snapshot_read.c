/*
 * Reading a snapshot: its two ends, then chunk by chunk, record by record.
 *
 * Everything is judged as it comes by: the chunk before any of its records is
 * handed out, an account at its last record, the file at the last one of all.
 * So whoever has come to the end knows that all was good, and whoever acts
 * before it takes that back when the end does not come.
 *
 * Invariants:
 *   1. no record is handed out whose chunk has not its checksum, or that has
 *      not the form of its table;
 *   2. chunks are numbered without a gap, accounts ascend, and an account is
 *      left only at the chunk that says so;
 *   3. of an account no record comes before one that it is to come behind, and
 *      none twice.
 *
 * Memory: one chunk; of an account its mailboxes, contents and the series that
 * wait to be reaped; of each account what tells its name from another's.
 *
 * Threads: one at a time per snapshot.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "snapshot_priv.h"

static enum mbj_rc fault(const struct mbj_snapshot *snapshot, const char *what,
			 struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT, "%s at byte %llu of %s", what,
			   (unsigned long long)snapshot->place,
			   snapshot->called);
	mbj_error_at(err, snapshot->called, snapshot->place,
		     snapshot->info.watermark.lsn.v);
	return rc;
}
#define fault(...) MBJ_FAILURE(fault(__VA_ARGS__))

/* What is wrong with the records is wrong with the file. */
static enum mbj_rc judged(const struct mbj_snapshot *snapshot, enum mbj_rc rc,
			  const struct mbj_error *why, struct mbj_error *err)
{
	if (rc == MBJ_ECORRUPT || rc == MBJ_ELIMIT)
		return fault(snapshot, why->message, err);
	if (rc < 0 && err != NULL)
		*err = *why;
	return rc;
}

/* ------------------------------------------------------- open and close */

static enum mbj_rc exactly_read(struct mbj_snapshot *snapshot, uint64_t at,
				void *p, size_t n, struct mbj_error *err)
{
	size_t got = 0;
	enum mbj_rc rc;

	snapshot->place = at;
	rc = mbj_file_read(&snapshot->file, at, p, n, &got, err);
	if (rc == MBJ_OK && got < n)
		return fault(snapshot, "the snapshot is cut off", err);
	return rc;
}

static enum mbj_rc ends_read(struct mbj_snapshot *snapshot,
			     struct mbj_error *err)
{
	uint8_t head[SNAPSHOT_HEAD_SIZE];
	uint8_t end[SNAPSHOT_END_SIZE];
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_file_size(&snapshot->file, &size, err);
	if (rc == MBJ_OK)
		rc = exactly_read(snapshot, 0, head, sizeof(head), err);
	if (rc < 0)
		return rc;
	rc = snapshot_head_decode(head, &snapshot->info, err);
	if (rc < 0) {
		mbj_error_at(err, snapshot->called, 0, 0);
		return mbj_error_prefix(err, rc, "%s", snapshot->called);
	}
	if (size < sizeof(head) + sizeof(end))
		return fault(snapshot, "the snapshot is cut off", err);
	rc = exactly_read(snapshot, size - sizeof(end), end, sizeof(end), err);
	if (rc < 0)
		return rc;
	if (!snapshot_end_decode(end, &snapshot->info, &snapshot->chunks,
				 &snapshot->hash))
		return fault(snapshot, "the end of the snapshot is damaged",
			     err);
	snapshot->info.size = size;
	return MBJ_OK;
}

/*
 * What is wrong with one that came from another host is wrong there: the file
 * here goes once that is known.
 */
static void called_print(struct mbj_snapshot *snapshot, const char *path)
{
	const char *slash = strrchr(path, '/');
	char name[MBJ_SNAPSHOT_NAME_SIZE];
	struct mbj_lsn lsn;

	if (mbj_snapshot_part_parse(slash != NULL ? slash + 1 : path, &lsn)) {
		mbj_snapshot_name_print(lsn, name);
		(void)snprintf(snapshot->called, sizeof(snapshot->called),
			       "the source's snapshots/%s", name);
	} else {
		(void)snprintf(snapshot->called, sizeof(snapshot->called), "%s",
			       path);
	}
}

enum mbj_rc mbj_snapshot_open(const struct mbj_sys *sys, const char *path,
			      struct mbj_snapshot **ret_snapshot,
			      struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = mbj_calloc(1, sizeof(*snapshot));
	enum mbj_rc rc;

	if (snapshot == NULL)
		return mbj_error_nomem(err);
	snapshot->sys = sys != NULL ? sys : mbj_sys_posix();
	snapshot->summing.sys = snapshot->sys;
	snapshot->file = MBJ_FILE_CLOSED;
	snapshot_sum_init(&snapshot->sum);
	called_print(snapshot, path);
	rc = mbj_file_open(snapshot->sys, path, O_RDONLY | O_NOFOLLOW,
			   &snapshot->file, err);
	if (rc == MBJ_OK)
		rc = ends_read(snapshot, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&snapshot->summing.sha, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&snapshot->sha_all, err);
	if (rc == MBJ_OK)
		rc = mbj_digest_key(snapshot->summing.sha,
				    snapshot->info.lineage,
				    &snapshot->summing.key, err);
	if (rc == MBJ_OK)
		rc = snapshot_across_init(&snapshot->across, snapshot->sys,
					  err);
	if (rc == MBJ_OK) {
		snapshot->payload = mbj_alloc(SNAPSHOT_CHUNK_MAX);
		if (snapshot->payload == NULL)
			rc = mbj_error_nomem(err);
	}
	if (rc < 0)
		mbj_snapshot_close(&snapshot);
	else
		*ret_snapshot = snapshot;
	return rc;
}

void mbj_snapshot_close(struct mbj_snapshot **snapshot)
{
	struct mbj_snapshot *s = *snapshot;

	if (s == NULL)
		return;
	mbj_file_close(&s->file);
	mbj_sha256_free(&s->summing.sha);
	mbj_sha256_free(&s->sha_all);
	snapshot_sum_done(&s->sum);
	snapshot_across_done(&s->across);
	mbj_free(s->payload);
	mbj_free(s);
	*snapshot = NULL;
}

const struct mbj_snapshot_info *
mbj_snapshot_info_get(const struct mbj_snapshot *snapshot)
{
	return &snapshot->info;
}

/* --------------------------------------------------------------- chunks */

static uint64_t chunks_end(const struct mbj_snapshot *snapshot)
{
	return snapshot->info.size - SNAPSHOT_END_SIZE;
}

/* The head of the chunk at next_at. */
static enum mbj_rc chunk_look(struct mbj_snapshot *snapshot,
			      uint8_t bytes[SNAPSHOT_CHUNK_HEAD_SIZE],
			      struct snapshot_chunk *ret_chunk,
			      struct mbj_error *err)
{
	uint64_t room = chunks_end(snapshot) - snapshot->next_at;
	enum mbj_rc rc;

	snapshot->place = snapshot->next_at;
	if (room < SNAPSHOT_CHUNK_HEAD_SIZE)
		return fault(snapshot, "a chunk is cut off", err);
	rc = exactly_read(snapshot, snapshot->next_at, bytes,
			  SNAPSHOT_CHUNK_HEAD_SIZE, err);
	if (rc < 0)
		return rc;
	if (!snapshot_chunk_decode(bytes, ret_chunk) ||
	    ret_chunk->number != snapshot->next_number ||
	    ret_chunk->size > room - SNAPSHOT_CHUNK_HEAD_SIZE)
		return fault(snapshot, "the head of a chunk is damaged", err);
	return MBJ_OK;
}

static void chunk_pass(struct mbj_snapshot *snapshot,
		       const struct snapshot_chunk *chunk)
{
	snapshot->next_at += SNAPSHOT_CHUNK_HEAD_SIZE + chunk->size;
	snapshot->next_number++;
}

static enum mbj_rc whole_hash(struct mbj_snapshot *snapshot,
			      struct mbj_bytes piece, struct mbj_error *err)
{
	if (!snapshot->is_whole)
		return MBJ_OK;
	return mbj_sha256_update(snapshot->sha_all, piece, err);
}

/* Read the chunk at next_at, whose head was looked at. */
static enum mbj_rc chunk_read(struct mbj_snapshot *snapshot,
			      const uint8_t head[SNAPSHOT_CHUNK_HEAD_SIZE],
			      const struct snapshot_chunk *chunk,
			      struct mbj_error *err)
{
	struct mbj_bytes payload = {snapshot->payload, chunk->size};
	enum mbj_rc rc;

	rc = exactly_read(snapshot,
			  snapshot->next_at + SNAPSHOT_CHUNK_HEAD_SIZE,
			  snapshot->payload, chunk->size, err);
	if (rc < 0)
		return rc;
	if (mbj_crc32c(0, payload) != chunk->crc)
		return fault(snapshot, "a chunk is damaged", err);
	rc = whole_hash(snapshot,
			mbj_bytes_make(head, SNAPSHOT_CHUNK_HEAD_SIZE), err);
	if (rc == MBJ_OK)
		rc = whole_hash(snapshot, payload, err);
	if (rc < 0)
		return rc;
	chunk_pass(snapshot, chunk);
	snapshot->chunk = *chunk;
	snapshot->at = 0;
	snapshot->left = chunk->count;
	return MBJ_OK;
}

/* The account of the chunk that was left goes on, or another one begins. */
static enum mbj_rc chunk_follow(struct mbj_snapshot *snapshot,
				const struct snapshot_chunk *chunk,
				struct mbj_error *err)
{
	const struct snapshot_chunk *before = &snapshot->chunk;
	int order = mbj_id_compare(before->account, chunk->account);

	if (mbj_id_is_temp(chunk->account))
		return fault(snapshot, "a chunk is of a reserved account", err);
	if (!snapshot->is_begun ? mbj_id_is_root(chunk->account)
				: (before->is_last ? order < 0 : order == 0)) {
		if (!snapshot->is_begun || before->is_last)
			snapshot_sum_begin(&snapshot->sum, chunk->account);
		snapshot->is_begun = true;
		return MBJ_OK;
	}
	return fault(snapshot, "a chunk is out of order", err);
}

static enum mbj_rc chunk_enter(struct mbj_snapshot *snapshot,
			       struct mbj_error *err)
{
	uint8_t head[SNAPSHOT_CHUNK_HEAD_SIZE];
	struct snapshot_chunk chunk = {.number = 0};
	enum mbj_rc rc;

	rc = chunk_look(snapshot, head, &chunk, err);
	if (rc == MBJ_OK)
		rc = chunk_follow(snapshot, &chunk, err);
	if (rc == MBJ_OK)
		rc = chunk_read(snapshot, head, &chunk, err);
	return rc;
}

/* -------------------------------------------------------------- records */

enum mbj_rc snapshot_rewind(struct mbj_snapshot *snapshot,
			    struct mbj_error *err)
{
	uint8_t head[SNAPSHOT_HEAD_SIZE];
	enum mbj_rc rc;

	snapshot->next_at = SNAPSHOT_HEAD_SIZE;
	snapshot->next_number = 0;
	snapshot->left = 0;
	snapshot->is_whole = true;
	snapshot->is_begun = false;
	snapshot->chunk = (struct snapshot_chunk){.number = 0};
	snapshot->found = (struct mbj_snapshot_info){.records = 0};
	snapshot_across_begin(&snapshot->across);
	snapshot_sum_begin(&snapshot->sum, MBJ_ID_ROOT);
	rc = exactly_read(snapshot, 0, head, sizeof(head), err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_begin(snapshot->sha_all, err);
	if (rc == MBJ_OK)
		rc = mbj_sha256_update(snapshot->sha_all,
				       mbj_bytes_make(head, sizeof(head)), err);
	return rc;
}

enum mbj_rc snapshot_seek(struct mbj_snapshot *snapshot, struct mbj_id account,
			  struct mbj_error *err)
{
	uint8_t head[SNAPSHOT_CHUNK_HEAD_SIZE];
	struct snapshot_chunk chunk = {.number = 0};
	char text[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	MBJ_ASSERT(!mbj_id_is_reserved(account));
	snapshot->next_at = SNAPSHOT_HEAD_SIZE;
	snapshot->next_number = 0;
	snapshot->is_whole = false;
	while (snapshot->next_at < chunks_end(snapshot)) {
		rc = chunk_look(snapshot, head, &chunk, err);
		if (rc < 0)
			return rc;
		if (mbj_id_compare(chunk.account, account) >= 0)
			break;
		chunk_pass(snapshot, &chunk);
	}
	if (snapshot->next_at < chunks_end(snapshot) &&
	    mbj_id_equal(chunk.account, account)) {
		snapshot->is_begun = true;
		snapshot_sum_begin(&snapshot->sum, account);
		return chunk_read(snapshot, head, &chunk, err);
	}
	mbj_id_print(account, text);
	return mbj_error_set(err, MBJ_ENOTFOUND, "%s has no account %s",
			     snapshot->file.path, text);
}

/* An account has come by: counted, and the sum over all goes on. */
static enum mbj_rc account_finish(struct mbj_snapshot *snapshot,
				  struct mbj_error *err)
{
	struct mbj_snapshot_info *found = &snapshot->found;
	struct snapshot_sum *sum = &snapshot->sum;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = snapshot_sum_judge(sum, snapshot->info.watermark.lsn, &why);
	if (rc < 0)
		return judged(snapshot, rc, &why, err);
	found->accounts += sum->is_account;
	found->mailboxes += sum->mailboxes;
	found->messages += sum->message_count;
	mbj_digest_join(&found->digest, &sum->digest);
	return MBJ_OK;
}

static enum mbj_rc whole_finish(struct mbj_snapshot *snapshot,
				struct mbj_error *err)
{
	const struct mbj_snapshot_info *found = &snapshot->found;
	const struct mbj_snapshot_info *said = &snapshot->info;
	struct mbj_hash hash;
	enum mbj_rc rc;

	rc = mbj_sha256_end(snapshot->sha_all, &hash, err);
	if (rc < 0)
		return rc;
	snapshot->place = chunks_end(snapshot);
	if (!snapshot->is_begun || !snapshot->chunk.is_last ||
	    snapshot->next_number != snapshot->chunks ||
	    memcmp(hash.b, snapshot->hash.b, MBJ_HASH_SIZE) != 0 ||
	    found->records != said->records ||
	    found->accounts != said->accounts ||
	    found->mailboxes != said->mailboxes ||
	    found->messages != said->messages ||
	    !mbj_digest_equal(&found->digest, &said->digest))
		return fault(snapshot, "the snapshot is not what its end says",
			     err);
	if (!snapshot_across_is_good(&snapshot->across))
		return fault(snapshot,
			     "the counts of contents are not those of its "
			     "messages",
			     err);
	return MBJ_ENOTFOUND;
}

/* Behind the last record of a chunk.  MBJ_ENOTFOUND: that was all. */
static enum mbj_rc chunk_leave(struct mbj_snapshot *snapshot,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	if (snapshot->is_begun && snapshot->at != snapshot->chunk.size)
		return fault(snapshot, "a chunk has more than its records",
			     err);
	if (snapshot->is_begun && snapshot->chunk.is_last) {
		rc = account_finish(snapshot, err);
		if (rc < 0)
			return rc;
		if (!snapshot->is_whole)
			return MBJ_ENOTFOUND;
	}
	if (snapshot->next_at == chunks_end(snapshot) && snapshot->is_whole)
		return whole_finish(snapshot, err);
	return chunk_enter(snapshot, err);
}

/* Records of no account are in the first chunks, all others behind. */
static bool table_is_local(enum db_table table)
{
	return table == TABLE_BLOBS || table == TABLE_WANTED;
}

enum mbj_rc snapshot_next(struct mbj_snapshot *snapshot,
			  struct snapshot_record *ret_record,
			  struct mbj_error *err)
{
	struct snapshot_record record;
	struct mbj_error why;
	size_t size = 0;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && snapshot->left == 0)
		rc = chunk_leave(snapshot, err);
	if (rc < 0)
		return rc;
	if (!snapshot_record_decode(
		    mbj_bytes_make(snapshot->payload + snapshot->at,
				   snapshot->chunk.size - snapshot->at),
		    &record, &size) ||
	    !snapshot_record_is_good(&record) ||
	    table_is_local(record.table) !=
		    mbj_id_is_root(snapshot->chunk.account))
		return fault(snapshot, "a record is damaged", err);
	snapshot->at += size;
	snapshot->left--;
	snapshot->found.records++;
	rc = snapshot_sum_add(&snapshot->sum, &snapshot->summing, &record,
			      &why);
	if (rc == MBJ_OK && snapshot->is_whole)
		rc = snapshot_across_add(&snapshot->across, &record, &why);
	if (rc < 0)
		return judged(snapshot, rc, &why, err);
	*ret_record = record;
	return MBJ_OK;
}

enum mbj_rc mbj_snapshot_verify(struct mbj_snapshot *snapshot,
				struct mbj_error *err)
{
	return snapshot_judge(snapshot, NULL, err);
}

enum mbj_rc mbj_snapshot_verify_begin(struct mbj_snapshot *snapshot,
				      struct mbj_error *err)
{
	return snapshot_rewind(snapshot, err);
}

enum mbj_rc mbj_snapshot_verify_some(struct mbj_snapshot *snapshot,
				     unsigned records, struct mbj_error *err)
{
	struct snapshot_record record;
	enum mbj_rc rc = MBJ_OK;

	for (unsigned i = 0; rc == MBJ_OK && i < records; i++)
		rc = snapshot_next(snapshot, &record, err);
	return rc;
}

enum mbj_rc snapshot_judge(struct mbj_snapshot *snapshot,
			   const struct mbj_halt *halt, struct mbj_error *err)
{
	struct snapshot_record record;
	enum mbj_rc rc;

	rc = snapshot_rewind(snapshot, err);
	while (rc == MBJ_OK) {
		rc = mbj_halt_check(halt, snapshot->file.path, err);
		if (rc == MBJ_OK)
			rc = snapshot_next(snapshot, &record, err);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_snapshot_account_get(struct mbj_snapshot *snapshot,
				     struct mbj_id id,
				     struct mbj_account *ret_account,
				     struct mbj_error *err)
{
	struct snapshot_record record;
	enum mbj_rc rc;

	rc = snapshot_seek(snapshot, id, err);
	if (rc < 0)
		return rc;
	while (rc == MBJ_OK)
		rc = snapshot_next(snapshot, &record, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	if (!snapshot->sum.is_account)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s has that account as a deleted one",
				     snapshot->file.path);
	*ret_account = snapshot->sum.account;
	return MBJ_OK;
}

/* Each account is read as one that was looked for. */
enum mbj_rc mbj_snapshot_accounts_begin(struct mbj_snapshot *snapshot,
					struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = snapshot_rewind(snapshot, err);
	snapshot->is_whole = false;
	return rc;
}

enum mbj_rc mbj_snapshot_accounts_next(struct mbj_snapshot *snapshot,
				       struct mbj_snapshot_account *ret_account,
				       struct mbj_error *err)
{
	const struct snapshot_sum *sum = &snapshot->sum;
	struct snapshot_record record;
	enum mbj_rc rc;

	do {
		if (snapshot->next_at == chunks_end(snapshot))
			return MBJ_ENOTFOUND;
		rc = chunk_enter(snapshot, err);
		while (rc == MBJ_OK)
			rc = snapshot_next(snapshot, &record, err);
		if (rc != MBJ_ENOTFOUND)
			return rc;
	} while (mbj_id_is_root(snapshot->chunk.account));
	*ret_account = (struct mbj_snapshot_account){
		.id = snapshot->chunk.account,
		.is_there = sum->is_account,
		.is_dead = sum->is_dead,
		.is_parked = sum->is_parked,
		.is_skipped = sum->is_skipped,
		.lsn = sum->is_account ? sum->account.lsn : sum->died,
		.records = sum->records,
	};
	if (sum->is_account)
		ret_account->digest = sum->account.digest;
	ret_account->recorded = ret_account->digest;
	ret_account->recorded_lsn = ret_account->lsn;
	if (sum->is_skipped) {
		mbj_digest_join(&ret_account->recorded, &sum->skipped.lack);
		if (!sum->is_account)
			ret_account->recorded_lsn = sum->skipped.last;
	}
	return MBJ_OK;
}
