/*
 * What groups that are given up had given out; see given_up.h.
 *
 * The state at which an account stopped knows nothing of it; the groups that
 * waited are in the journal, and say it themselves.
 */
#include "given_up.h"

#include <mbj/check.h>
#include <mbj/message.h>

/* The store's mailboxes bound it. */
enum { GIVEN_MAX = 1 << 30 };

struct reading {
	struct given_up *given_up;
	struct mbj_txn *txn; /* where the accounts stopped */
};

void given_up_done(struct given_up *given_up)
{
	mbj_table_done(&given_up->index);
	mbj_free(given_up->list);
	*given_up = (struct given_up){.count = 0};
}

/* Ids are as good as random: their ends are hashes of them. */
static uint64_t given_hash(struct mbj_id account, struct mbj_id mailbox)
{
	return mbj_load_u64(account.b + 8) ^ mbj_load_u64(mailbox.b + 8);
}

static struct given *given_find(const struct given_up *given_up,
				struct mbj_id account, struct mbj_id mailbox)
{
	uint64_t hash = given_hash(account, mailbox);
	uint32_t at = mbj_table_seek(&given_up->index, hash);
	uint32_t i;

	while (mbj_table_next(&given_up->index, hash, &at, &i)) {
		struct given *given = &given_up->list[i];

		if (mbj_id_equal(given->account, account) &&
		    mbj_id_equal(given->mailbox, mailbox))
			return given;
	}
	return NULL;
}

const struct given *given_up_find(const struct given_up *given_up,
				  struct mbj_id account, struct mbj_id mailbox)
{
	return given_find(given_up, account, mailbox);
}

static enum mbj_rc given_make(struct given_up *given_up, struct mbj_id account,
			      struct mbj_id mailbox, struct given **ret_given,
			      struct mbj_error *err)
{
	void *list = given_up->list;
	enum mbj_rc rc;

	*ret_given = given_find(given_up, account, mailbox);
	if (*ret_given != NULL)
		return MBJ_OK;
	rc = mbj_array_reserve(&list, &given_up->capacity, given_up->count + 1,
			       sizeof(*given_up->list), GIVEN_MAX, err);
	given_up->list = list;
	if (rc == MBJ_OK)
		rc = mbj_table_add(&given_up->index,
				   given_hash(account, mailbox),
				   (uint32_t)given_up->count, err);
	if (rc < 0)
		return rc;
	*ret_given = &given_up->list[given_up->count++];
	**ret_given = (struct given){.account = account, .mailbox = mailbox};
	return MBJ_OK;
}

enum mbj_rc given_up_watch(struct given_up *given_up, struct mbj_id account,
			   struct mbj_error *err)
{
	struct given *given;

	return given_make(given_up, account, MBJ_ID_ROOT, &given, err);
}

static enum mbj_rc mailbox_note(const struct reading *reading,
				struct mbj_id account, struct mbj_id mailbox,
				uint32_t uid, uint64_t modseq,
				struct mbj_error *err)
{
	struct given *given;
	enum mbj_rc rc;

	rc = given_make(reading->given_up, account, mailbox, &given, err);
	if (rc < 0)
		return rc;
	if (given->uid < uid)
		given->uid = uid;
	if (given->modseq < modseq)
		given->modseq = modseq;
	return MBJ_OK;
}

/* The UIDs of one mailbox become another one's. */
static enum mbj_rc take_note(const struct reading *reading,
			     struct mbj_id account, const struct mbj_op *op,
			     struct mbj_error *err)
{
	const struct given *given =
		given_find(reading->given_up, account, op->id);
	uint32_t uid = given == NULL ? 0 : given->uid;
	struct mbj_content content;
	enum mbj_rc rc;

	rc = mbj_txn_content_get(reading->txn, account, op->id, &content, err);
	if (rc == MBJ_OK && uid < content.uidnext - 1)
		uid = content.uidnext - 1;
	if (rc == MBJ_OK)
		rc = mailbox_note(reading, account, op->target, uid, op->modseq,
				  err);
	return rc;
}

static enum mbj_rc op_note(const struct reading *reading, struct mbj_id account,
			   const struct mbj_op *op, struct mbj_error *err)
{
	struct given *given =
		given_find(reading->given_up, account, MBJ_ID_ROOT);
	enum mbj_rc rc = MBJ_OK;

	if (given == NULL)
		return MBJ_OK;
	if (given->uidvalidity < op->uidvalidity)
		given->uidvalidity = op->uidvalidity;
	if (op->kind == MBJ_OP_MESSAGE_TAKE_ALL)
		rc = take_note(reading, account, op, err);
	if (rc == MBJ_OK && op->modseq > 0)
		rc = mailbox_note(reading, account, op->id, op->uid, op->modseq,
				  err);
	return rc;
}

static enum mbj_rc group_note(const struct reading *reading,
			      const struct mbj_group *group,
			      struct mbj_error *err)
{
	struct mbj_group_account account;
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	/* What it gave out is not known. */
	if (!group->is_body_good)
		return MBJ_OK;
	mbj_reader_init(&reader, group->body);
	while (rc == MBJ_OK &&
	       mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK) {
		mbj_group_account_get(group, op.account, &account);
		rc = op_note(reading, account.id, &op, err);
	}
	return rc;
}

enum mbj_rc given_up_read(struct given_up *given_up, struct mbj_store *store,
			  struct mbj_lsn first, struct mbj_error *err)
{
	struct mbj_lsn begin = mbj_store_identity_copy(store).anchor.first;
	struct reading reading = {.given_up = given_up};
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	if (first.v < begin.v)
		first = begin;
	rc = mbj_store_read(store, &reading.txn, err);
	if (rc == MBJ_OK)
		rc = mbj_store_log_reader_own(store, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, first, err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc == MBJ_OK)
			rc = group_note(&reading, &group, err);
	}
	mbj_log_reader_close(&reader);
	mbj_txn_abort(&reading.txn);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
