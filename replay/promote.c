/*
 * Making a primary of a store that was restored.  What its journal has of an
 * account that is set aside is not what the account is, and never will be: so
 * that is written down, before the store is a primary.
 *
 *	an epoch of its own -> for each of these accounts a group that names it,
 *	  changes nothing, and says what it is -> a snapshot of that
 *	  -> a primary, whose journal begins with these groups
 *
 * By the group replicas find out that theirs is otherwise, set the account
 * aside and make it again from that snapshot, or a later one; and what is
 * recorded last of each account is what every snapshot has of it.  The groups
 * that waited are before the journal's beginning: no state is made from them.
 *
 * An account that is not here at all, since its beginning was set aside, is
 * created and deleted by its group: whoever has it loses it.
 *
 * Not here: bringing the store to where it begins (restore.c).
 *
 * Invariants:
 *   1. nobody opens the store but a restore, until all of it is on disk;
 *   2. stopped anywhere, the same again goes on: who is still set aside then
 *      gets a group, maybe a second one, which says the same.
 *
 * Threads: the caller's, alone with the store.
 */
#include "promote.h"

#include <inttypes.h>
#include <stdlib.h>

#include <mbj/audit.h>
#include <mbj/check.h>
#include <mbj/trim.h>

/* The store's accounts bound it. */
enum { ACCOUNTS_MAX = 1 << 24 };

/* Ids of accounts. */
struct ids {
	struct mbj_id *list;
	size_t count;
	size_t capacity;
};

struct promoting {
	struct mbj_store *store;
	struct mbj_sha256 *sha;
	struct mbj_group_writer writer;
	struct mbj_buf record;
	struct mbj_audit audit;
	struct ids parked;
};

static enum mbj_rc ids_add(struct ids *ids, struct mbj_id id,
			   struct mbj_error *err)
{
	void *list = ids->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &ids->capacity, ids->count + 1,
			       sizeof(*ids->list), ACCOUNTS_MAX, err);
	ids->list = list;
	if (rc == MBJ_OK)
		ids->list[ids->count++] = id;
	return rc;
}

/* ------------------------------------------------------------ who is aside */

static enum mbj_rc parked_read(struct promoting *p, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_store_read(p->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			rc = ids_add(&p->parked, parked.account, err);
		if (rc == MBJ_OK)
			mbj_audit_note(&p->audit,
				       &(struct mbj_audit_entry){
					       .kind = MBJ_AUDIT_END,
					       .account = parked.account,
					       .first = parked.first,
					       .count = parked.count,
					       .reason = parked.reason});
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* ------------------------------------------------------------- their groups */

/* It comes and goes within the group, under a name that nobody has. */
static void absent_declare(struct promoting *p, struct mbj_id id,
			   uint32_t index)
{
	char name[MBJ_ID_TEXT_SIZE];
	struct mbj_op op = {
		.kind = MBJ_OP_ACCOUNT_CREATE,
		.account = index,
		.delimiter = '/',
	};

	mbj_id_print(id, name);
	op.name = mbj_bytes_str(name);
	mbj_group_writer_op(&p->writer, &op);
	op = (struct mbj_op){
		.kind = MBJ_OP_ACCOUNT_DELETE,
		.account = index,
		.name = mbj_bytes_str(name),
	};
	mbj_group_writer_op(&p->writer, &op);
}

/* What it is, into the group that is being written. */
static enum mbj_rc account_declare(struct promoting *p, struct mbj_txn *txn,
				   struct mbj_id id, struct mbj_error *err)
{
	struct mbj_account account;
	bool is_there = false;
	bool is_dead = false;
	uint32_t index = 0;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(txn, id, &account, &is_there, err);
	if (rc == MBJ_OK && !is_there) {
		account = (struct mbj_account){.id = id};
		rc = mbj_txn_account_is_dead(txn, id, &is_dead, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_group_writer_account(&p->writer, id, account.lsn,
					      &index, err);
	if (rc < 0)
		return rc;
	if (!is_there && !is_dead)
		absent_declare(p, id, index);
	mbj_group_writer_digest(&p->writer, index, &account.digest);
	return MBJ_OK;
}

/* As any group is: the state follows from what was written. */
static enum mbj_rc group_apply(const struct promoting *p, struct mbj_txn *txn,
			       struct mbj_group *ret_group,
			       struct mbj_error *err)
{
	struct mbj_apply_report report = {.op_index = 0};
	enum mbj_rc rc;

	rc = mbj_group_parse(mbj_buf_view(&p->record), ret_group, err);
	if (rc == MBJ_OK)
		rc = mbj_apply_group(txn, ret_group, &report, err);
	if (rc < 0 || report.verdict <= MBJ_VERDICT_ALREADY)
		return rc;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s: an account that is set aside is not what the "
			     "state says of it: %s",
			     mbj_store_dir(p->store), report.why.message);
}

static enum mbj_rc group_make(struct promoting *p, struct mbj_batch *batch,
			      const struct mbj_id *ids, size_t count,
			      struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_store_sys(p->store);
	const struct mbj_id none = MBJ_ID_ROOT;
	struct mbj_log_end end = mbj_store_end(p->store);
	struct mbj_txn *txn = mbj_batch_txn(batch);
	struct mbj_group group;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_clear(&p->record);
	mbj_group_writer_begin(&p->writer, (struct mbj_lsn){end.lsn.v + 1},
			       mbj_store_identity(p->store)->epoch,
			       sys->now_us(sys->ctx), MBJ_ORIGIN_SALVAGE, none);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = account_declare(p, txn, ids[i], err);
	if (rc == MBJ_OK)
		rc = mbj_group_writer_finish(&p->writer, p->sha, &end.chain,
					     &p->record, err);
	if (rc == MBJ_OK)
		rc = group_apply(p, txn, &group, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = mbj_txn_parked_clear(txn, ids[i], err);
	return rc == MBJ_OK ? mbj_batch_add(batch, &group, err) : rc;
}

/* Of as many as a group has room for. */
static enum mbj_rc group_write(struct promoting *p, const struct mbj_id *ids,
			       size_t count, struct mbj_error *err)
{
	struct mbj_batch *batch = NULL;
	enum mbj_rc rc = mbj_batch_begin(p->store, &batch, err);

	if (rc < 0)
		return rc;
	rc = group_make(p, batch, ids, count, err);
	if (rc < 0) {
		mbj_batch_abort(&batch);
		return rc;
	}
	return mbj_batch_commit(&batch, err);
}

static enum mbj_rc groups_write(struct promoting *p, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_audit_flush(&p->audit, err);
	size_t count;

	for (size_t at = 0; rc == MBJ_OK && at < p->parked.count; at += count) {
		count = p->parked.count - at;
		if (count > MBJ_GROUP_ACCOUNTS_MAX)
			count = MBJ_GROUP_ACCOUNTS_MAX;
		rc = group_write(p, p->parked.list + at, count, err);
	}
	return rc;
}

/* --------------------------------------------------------- behind the others
 */

static enum mbj_rc reader_at(struct mbj_store *store, struct mbj_lsn lsn,
			     struct mbj_log_reader **ret_reader,
			     struct mbj_error *err)
{
	enum mbj_rc rc = mbj_store_log_reader_own(store, ret_reader, err);

	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(*ret_reader, lsn, err);
	return rc;
}

static enum mbj_rc attempt_refuse(const struct mbj_store *store,
				  struct mbj_lsn until, struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EFENCED,
			     "an earlier attempt made a primary of %s, and not "
			     "of group %" PRIu64 ": remove it and begin again",
			     mbj_store_dir(store), until.v);
}

enum mbj_rc promote_behind(struct mbj_store *store, struct mbj_lsn until,
			   struct mbj_log_end *ret_behind,
			   struct mbj_error *err)
{
	const struct mbj_identity *id = mbj_store_identity(store);
	struct mbj_log_end end = mbj_store_end(store);
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	if (end.lsn.v < until.v || until.v < id->anchor.first.v)
		return attempt_refuse(store, until, err);
	rc = reader_at(store, until, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_next(reader, &group, err);
	if (rc == MBJ_OK && group.header.epoch.v == id->epoch.v)
		rc = attempt_refuse(store, until, err);
	if (rc == MBJ_OK) {
		*ret_behind = (struct mbj_log_end){until, group.chain};
		rc = mbj_log_reader_next(reader, &group, err);
	}
	if (rc == MBJ_OK && group.header.epoch.v != id->epoch.v)
		rc = attempt_refuse(store, until, err);
	mbj_log_reader_close(&reader);
	/* Nothing was written yet. */
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static int id_order(const void *a, const void *b)
{
	const struct mbj_id *x = a;
	const struct mbj_id *y = b;

	return mbj_id_compare(*x, *y);
}

static uint64_t ids_distinct(struct ids *ids)
{
	uint64_t distinct = 0;

	if (ids->count > 0)
		qsort(ids->list, ids->count, sizeof(*ids->list), id_order);
	for (size_t i = 0; i < ids->count; i++)
		distinct +=
			i == 0 || !mbj_id_equal(ids->list[i - 1], ids->list[i]);
	return distinct;
}

/* How many accounts the groups behind it name, by this attempt or another. */
static enum mbj_rc accounts_count(struct mbj_store *store, struct mbj_lsn lsn,
				  uint64_t *ret_count, struct mbj_error *err)
{
	struct mbj_lsn next = {lsn.v + 1};
	struct mbj_log_reader *reader = NULL;
	struct mbj_group_account account;
	struct mbj_group group;
	struct ids ids = {.count = 0};
	enum mbj_rc rc = reader_at(store, next, &reader, err);

	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		for (uint32_t i = 0;
		     rc == MBJ_OK && i < group.header.account_count; i++) {
			mbj_group_account_get(&group, i, &account);
			rc = ids_add(&ids, account.id, err);
		}
	}
	mbj_log_reader_close(&reader);
	*ret_count = ids_distinct(&ids);
	mbj_free(ids.list);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* -------------------------------------------------------------------- calls */

static enum mbj_rc reign_make(struct promoting *p,
			      const struct mbj_log_end *behind,
			      uint64_t *ret_accounts, struct mbj_error *err)
{
	struct mbj_snapshot_result snapshot;
	enum mbj_rc rc;

	rc = mbj_store_reign_begin(p->store, err);
	if (rc == MBJ_OK)
		rc = groups_write(p, err);
	if (rc == MBJ_OK)
		rc = mbj_store_snapshot(p->store, &snapshot, err);
	if (rc == MBJ_OK)
		rc = accounts_count(p->store, behind->lsn, ret_accounts, err);
	return rc == MBJ_OK ? mbj_store_restored(p->store, MBJ_STORE_PRIMARY,
						 behind, err)
			    : rc;
}

enum mbj_rc promote_run(struct mbj_store *store,
			const struct mbj_log_end *behind,
			uint64_t *ret_accounts, struct mbj_error *err)
{
	struct promoting p = {.store = store};
	enum mbj_rc rc;

	*ret_accounts = 0;
	mbj_group_writer_init(&p.writer);
	mbj_buf_init(&p.record, MBJ_GROUP_MAX);
	mbj_audit_begin(&p.audit, store, true);
	rc = mbj_sha256_new(&p.sha, err);
	if (rc == MBJ_OK)
		rc = parked_read(&p, err);
	if (rc == MBJ_OK && p.parked.count == 0 &&
	    !mbj_store_reign_is_begun(store))
		rc = mbj_store_restored(store, MBJ_STORE_PRIMARY, NULL, err);
	else if (rc == MBJ_OK)
		rc = reign_make(&p, behind, ret_accounts, err);
	mbj_free(p.parked.list);
	mbj_audit_end(&p.audit);
	mbj_buf_done(&p.record);
	mbj_group_writer_done(&p.writer);
	mbj_sha256_free(&p.sha);
	return rc;
}
