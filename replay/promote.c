/*
 * Making a primary of a store that was restored.  What its journal has of an
 * account that is set aside, or of which groups were given up, is not what the
 * account is, and never will be: so that is written down, before the store is a
 * primary.
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
#include <string.h>

#include <mbj/blob.h>
#include <mbj/check.h>
#include <mbj/message.h>
#include <mbj/trim.h>

#include "promote_targets.h"

/* The store's accounts bound it. */
enum { ACCOUNTS_MAX = 1 << 24 };

enum { MICROSECONDS = 1000000 };

#define FILLER_TEXT "Subject: UIDs up to this one were given up\r\n\r\n"
static const struct mbj_bytes FILLER = {(const uint8_t *)FILLER_TEXT,
					sizeof(FILLER_TEXT) - 1};

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
	struct mbj_txn *txn; /* of the group that is being written */
	uint32_t index;	     /* of the account in it */
	struct mbj_audit audit;
	struct targets targets;
	const struct promote_lost *lost;
	struct mbj_hash filler;
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

/* ------------------------------------------------------------- their groups */

/* Into the group that is being written, and carried out. */
static enum mbj_rc op_add(struct promoting *p, struct mbj_op *op,
			  struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_verdict verdict;
	enum mbj_rc rc;

	op->account = p->index;
	mbj_group_writer_op(&p->writer, op);
	rc = mbj_apply_op(p->txn, p->writer.accounts[p->index].id,
			  p->writer.header.lsn, op, &verdict, &why);
	if (rc < 0 && err != NULL)
		*err = why;
	if (rc < 0 || verdict == MBJ_VERDICT_APPLY)
		return rc;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "%s: an account that is set aside is not what the "
			     "state says of it: %s",
			     mbj_store_dir(p->store), why.message);
}

/* It comes and goes within the group, under a name that nobody has. */
static enum mbj_rc absent_declare(struct promoting *p, struct mbj_id id,
				  struct mbj_error *err)
{
	char name[MBJ_ID_TEXT_SIZE];
	struct mbj_op op = {
		.kind = MBJ_OP_ACCOUNT_CREATE,
		.delimiter = '/',
	};
	enum mbj_rc rc;

	mbj_id_print(id, name);
	op.name = mbj_bytes_str(name);
	rc = op_add(p, &op, err);
	op = (struct mbj_op){
		.kind = MBJ_OP_ACCOUNT_DELETE,
		.name = mbj_bytes_str(name),
	};
	return rc == MBJ_OK ? op_add(p, &op, err) : rc;
}

/* The group names it. */
static enum mbj_rc account_declare(struct promoting *p, struct mbj_id id,
				   struct mbj_error *err)
{
	struct mbj_account account;
	bool is_there = false;
	bool is_dead = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(p->txn, id, &account, &is_there, err);
	if (rc == MBJ_OK && !is_there) {
		account = (struct mbj_account){.id = id};
		rc = mbj_txn_account_is_dead(p->txn, id, &is_dead, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_group_writer_account(&p->writer, id, account.lsn,
					      &p->index, err);
	if (rc < 0 || is_there || is_dead)
		return rc;
	return absent_declare(p, id, err);
}

/*
 * Above what the account and what was given up ever had; an account counts
 * from the time on, so above what nobody here knows of, too.
 */
static enum mbj_rc uidvalidity_fresh(struct promoting *p, struct mbj_id id,
				     uint32_t *ret_uidvalidity,
				     struct mbj_error *err)
{
	const struct given *given =
		given_up_find(&p->targets.given_up, id, MBJ_ID_ROOT);
	int64_t seconds = p->writer.header.time_us / MICROSECONDS;
	struct mbj_account account;
	uint32_t last;
	enum mbj_rc rc = mbj_txn_account_get(p->txn, id, &account, err);

	if (rc < 0)
		return rc;
	last = account.uidvalidity_last;
	if (last < given->uidvalidity)
		last = given->uidvalidity;
	if (last < seconds && seconds < UINT32_MAX)
		last = (uint32_t)seconds;
	if (last == UINT32_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "account \"%.*s\", which is set aside, "
				     "has used up its 2^32 - 1 UIDVALIDITY "
				     "values",
				     (int)account.name.n,
				     (const char *)account.name.p);
	*ret_uidvalidity = last + 1;
	return MBJ_OK;
}

/*
 * A message comes and goes under the highest UID that was given up: none is
 * given twice by who keeps UIDs whatever UIDVALIDITY is.
 */
static enum mbj_rc uids_pass(struct promoting *p, struct mbj_id account,
			     struct mbj_id mailbox, struct mbj_error *err)
{
	const struct given *given =
		given_up_find(&p->targets.given_up, account, mailbox);
	struct mbj_op op = {.kind = MBJ_OP_MESSAGE_APPEND, .id = mailbox};
	struct mbj_content content;
	struct mbj_buf uids;
	enum mbj_rc rc;

	if (given == NULL)
		return MBJ_OK;
	rc = mbj_txn_content_get(p->txn, account, mailbox, &content, err);
	if (rc < 0 || given->uid < content.uidnext)
		return rc;
	op.rev = content.rev;
	op.uid = given->uid;
	op.blob = p->filler;
	op.size = FILLER.n;
	op.time = p->writer.header.time_us / MICROSECONDS;
	op.modseq =
		given->modseq > content.modseq ? given->modseq : content.modseq;
	op.modseq += op.modseq < MBJ_MODSEQ_MAX;
	rc = op_add(p, &op, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&uids, MBJ_UID_RANGE_SIZE);
	mbj_uids_put(&uids, op.uid, op.uid);
	op = (struct mbj_op){.kind = MBJ_OP_MESSAGE_EXPUNGE,
			     .id = mailbox,
			     .rev = op.rev + 1,
			     .uids = mbj_buf_view(&uids),
			     .modseq = op.modseq};
	rc = mbj_buf_ok(&uids, err);
	if (rc == MBJ_OK)
		rc = op_add(p, &op, err);
	mbj_buf_done(&uids);
	return rc;
}

static int hash_order(const void *a, const void *b)
{
	return memcmp(a, b, MBJ_HASH_SIZE);
}

static bool message_is_lost(const struct promoting *p,
			    const struct mbj_message *message)
{
	return bsearch(&message->blob, p->lost->list, p->lost->count,
		       sizeof(*p->lost->list), hash_order) != NULL;
}

/* From *next on, as many as one primitive takes; *next: 0 behind the last. */
static enum mbj_rc lost_find(struct promoting *p, struct mbj_id account,
			     const struct mbj_content *content, uint32_t *next,
			     struct mbj_buf *uids, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_message message;
	size_t ranges = 0;
	enum mbj_rc rc;

	rc = mbj_scan_messages(p->txn, account, content->series, *next, &scan,
			       err);
	*next = 0;
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc < 0 || !message_is_lost(p, &message))
			continue;
		if (ranges++ == MBJ_UID_RANGES_MAX) {
			*next = message.uid;
			break;
		}
		mbj_uids_put(uids, message.uid, message.uid);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Messages whose contents nobody has: no replica could ever be whole. */
static enum mbj_rc lost_expunge(struct promoting *p, struct mbj_id account,
				struct mbj_id mailbox, struct mbj_error *err)
{
	struct mbj_op op = {.kind = MBJ_OP_MESSAGE_EXPUNGE, .id = mailbox};
	struct mbj_content content;
	struct mbj_buf uids;
	uint32_t next = 1;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&uids, (size_t)MBJ_UID_RANGE_SIZE * MBJ_UID_RANGES_MAX);
	while (rc == MBJ_OK && next > 0 && p->lost->count > 0) {
		mbj_buf_clear(&uids);
		rc = mbj_txn_content_get(p->txn, account, mailbox, &content,
					 err);
		if (rc == MBJ_OK)
			rc = lost_find(p, account, &content, &next, &uids, err);
		if (rc == MBJ_OK)
			rc = mbj_buf_ok(&uids, err);
		if (rc < 0 || uids.n == 0)
			break;
		op.rev = content.rev;
		op.uids = mbj_buf_view(&uids);
		op.modseq = content.modseq + (content.modseq < MBJ_MODSEQ_MAX);
		rc = op_add(p, &op, err);
	}
	mbj_buf_done(&uids);
	return rc;
}

/* Another mailbox for whoever knew it: what it shows has changed under it. */
static enum mbj_rc mailbox_declare(struct promoting *p, struct mbj_id account,
				   struct mbj_id id, struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_op op = {.kind = MBJ_OP_MAILBOX_SET, .id = id};
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_get(p->txn, account, id, &mailbox, err);
	if (rc == MBJ_OK)
		rc = uidvalidity_fresh(p, account, &op.uidvalidity, err);
	if (rc < 0)
		return rc;
	op.rev = mailbox.rev;
	op.role = mailbox.role;
	op.role_before = mailbox.role;
	op.is_selectable = mailbox.is_selectable;
	op.is_selectable_before = mailbox.is_selectable;
	rc = op_add(p, &op, err);
	if (rc == MBJ_OK)
		rc = uids_pass(p, account, id, err);
	return rc == MBJ_OK ? lost_expunge(p, account, id, err) : rc;
}

/* What the accounts are behind the group. */
static enum mbj_rc accounts_close(struct promoting *p, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < p->writer.header.account_count;
	     i++) {
		struct mbj_id id = p->writer.accounts[i].id;
		struct mbj_account account = {.id = id};
		bool is_there = false;

		rc = mbj_txn_account_seek(p->txn, id, &account, &is_there, err);
		if (rc == MBJ_OK && is_there)
			rc = mbj_txn_account_set_lsn(p->txn, id,
						     p->writer.header.lsn, err);
		if (rc == MBJ_OK && !is_there)
			account = (struct mbj_account){.id = id};
		if (rc == MBJ_OK)
			mbj_group_writer_digest(&p->writer, i, &account.digest);
	}
	return rc;
}

/* It is what the group says, and lacks nothing. */
static enum mbj_rc marks_clear(struct promoting *p, struct mbj_id account,
			       struct mbj_error *err)
{
	enum mbj_rc rc = mbj_txn_parked_clear(p->txn, account, err);

	return rc == MBJ_OK ? mbj_txn_skipped_clear(p->txn, account, err) : rc;
}

static enum mbj_rc targets_declare(struct promoting *p,
				   const struct target *targets, size_t count,
				   struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		bool is_account = mbj_id_is_root(targets[i].mailbox);

		if (is_account || i == 0)
			rc = account_declare(p, targets[i].account, err);
		if (rc == MBJ_OK && !is_account)
			rc = mailbox_declare(p, targets[i].account,
					     targets[i].mailbox, err);
		if (rc == MBJ_OK && targets[i].is_last)
			rc = marks_clear(p, targets[i].account, err);
	}
	return rc == MBJ_OK ? accounts_close(p, err) : rc;
}

static enum mbj_rc group_make(struct promoting *p, struct mbj_batch *batch,
			      const struct target *targets, size_t count,
			      struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_store_sys(p->store);
	const struct mbj_id none = MBJ_ID_ROOT;
	struct mbj_log_end end = mbj_store_end(p->store);
	struct mbj_group group;
	enum mbj_rc rc;

	p->txn = mbj_batch_txn(batch);
	mbj_buf_clear(&p->record);
	mbj_group_writer_begin(&p->writer, (struct mbj_lsn){end.lsn.v + 1},
			       mbj_store_identity(p->store)->epoch,
			       sys->now_us(sys->ctx), MBJ_ORIGIN_SALVAGE, none);
	rc = targets_declare(p, targets, count, err);
	if (rc == MBJ_OK)
		rc = mbj_group_writer_finish(&p->writer, p->sha, &end.chain,
					     &p->record, err);
	if (rc == MBJ_OK)
		rc = mbj_group_parse(mbj_buf_view(&p->record), &group, err);
	return rc == MBJ_OK ? mbj_batch_add(batch, &group, err) : rc;
}

static enum mbj_rc group_write(struct promoting *p,
			       const struct target *targets, size_t count,
			       struct mbj_error *err)
{
	struct mbj_batch *batch = NULL;
	enum mbj_rc rc = mbj_batch_begin(p->store, &batch, err);

	if (rc < 0)
		return rc;
	rc = group_make(p, batch, targets, count, err);
	if (rc < 0) {
		mbj_batch_abort(&batch);
		return rc;
	}
	return mbj_batch_commit(&batch, err);
}

/* On disk before a group needs it. */
static enum mbj_rc filler_put(struct promoting *p, struct mbj_error *err)
{
	struct mbj_blobs *blobs = NULL;
	enum mbj_rc rc = mbj_store_blobs(p->store, &blobs, err);

	if (rc == MBJ_OK)
		rc = mbj_blob_put(blobs, FILLER, &p->filler, err);
	return rc == MBJ_OK ? mbj_blobs_sync(blobs, err) : rc;
}

static enum mbj_rc groups_write(struct promoting *p, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_audit_flush(&p->audit, err);
	size_t count;

	if (rc == MBJ_OK && p->targets.first.v > 0)
		rc = filler_put(p, err);
	for (size_t at = 0; rc == MBJ_OK && at < p->targets.count;
	     at += count) {
		count = p->targets.count - at;
		if (count > MBJ_GROUP_ACCOUNTS_MAX)
			count = MBJ_GROUP_ACCOUNTS_MAX;
		rc = group_write(p, p->targets.list + at, count, err);
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
	/* Damage of what is void must not be damage of what is not. */
	if (rc == MBJ_OK && mbj_store_end(p->store).lsn.v == behind->lsn.v)
		rc = mbj_store_segment_begin(p->store, err);
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
			const struct promote_lost *lost, uint64_t *ret_accounts,
			struct mbj_error *err)
{
	struct promoting p = {.store = store, .lost = lost};
	enum mbj_rc rc;

	*ret_accounts = 0;
	mbj_group_writer_init(&p.writer);
	mbj_buf_init(&p.record, MBJ_GROUP_MAX);
	mbj_audit_begin(&p.audit, store, true);
	rc = mbj_sha256_new(&p.sha, err);
	if (rc == MBJ_OK)
		rc = targets_read(&p.targets, store, behind->lsn, &p.audit,
				  err);
	if (rc == MBJ_OK && p.targets.count == 0 &&
	    !mbj_store_reign_is_begun(store))
		rc = mbj_store_restored(store, MBJ_STORE_PRIMARY, NULL, err);
	else if (rc == MBJ_OK)
		rc = reign_make(&p, behind, ret_accounts, err);
	targets_done(&p.targets);
	mbj_audit_end(&p.audit);
	mbj_buf_done(&p.record);
	mbj_group_writer_done(&p.writer);
	mbj_sha256_free(&p.sha);
	return rc;
}
