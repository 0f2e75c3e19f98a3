/*
 * One group onto an open transaction: back-links and digests of the accounts
 * it names, and every primitive in order (apply_op.c), whole or not at all.
 *
 * Not here: which groups to apply and what to do about a verdict (replay/),
 * durability and the watermark (batch.c).
 *
 * Invariants:
 *   1. on return the transaction holds the whole group or nothing of it;
 *   2. an account at or above the group's LSN is not looked at any further,
 *      so a group of several accounts completes what an earlier run left;
 *   3. a group leaves no mailbox parked: as many leave TEMP as enter it.
 *
 * Threads: as the transaction.
 */
#include <mbj/apply.h>
#include <mbj/check.h>

enum { BITS_PER_WORD = 64 };

/* One group on its way in. */
struct group_run {
	struct mbj_txn *txn;
	const struct mbj_group *group;
	uint64_t settled[MBJ_GROUP_ACCOUNTS_MAX / BITS_PER_WORD]; /* by index */
	uint32_t settled_count;
	int64_t parked; /* mailboxes that entered TEMP and did not leave it */
	struct mbj_apply_report report;
};

static bool run_is_settled(const struct group_run *run, uint32_t index)
{
	MBJ_ASSERT(index < MBJ_GROUP_ACCOUNTS_MAX);
	return run->settled[index / BITS_PER_WORD] >> index % BITS_PER_WORD & 1;
}

/*
 * Decide the group: the verdict and, beyond rc and words, where it was.
 * Words are already in run->report.why.
 */
static void run_decide(struct group_run *run, enum mbj_verdict verdict)
{
	MBJ_ASSERT(verdict > MBJ_VERDICT_ALREADY);
	run->report.verdict = verdict;
	mbj_error_at(&run->report.why, "", 0, run->group->header.lsn.v);
}

static bool run_is_decided(const struct group_run *run)
{
	return run->report.verdict > MBJ_VERDICT_ALREADY;
}

/* An account that is not there: dead, about to be created, or missing. */
static enum mbj_rc link_judge_absent(struct group_run *run,
				     const struct mbj_group_account *recorded,
				     bool *ret_is_settled,
				     struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_skipped skipped;
	bool is_skipped = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_is_dead(run->txn, recorded->id, ret_is_settled,
				     err);
	if (rc < 0 || *ret_is_settled)
		return rc;
	/* Where groups of it were given up, these have the account's LSN. */
	rc = mbj_txn_skipped_seek(run->txn, recorded->id, &skipped, &is_skipped,
				  err);
	if (rc < 0)
		return rc;
	*ret_is_settled =
		is_skipped && skipped.last.v >= run->group->header.lsn.v;
	if (recorded->previous.v == 0 ||
	    (is_skipped && skipped.last.v >= recorded->previous.v))
		return MBJ_OK;
	mbj_id_print(recorded->id, text);
	mbj_error_set(&run->report.why, MBJ_ENOTFOUND,
		      "account %s is not known here, its last group is %llu",
		      text, (unsigned long long)recorded->previous.v);
	run_decide(run, MBJ_VERDICT_GAP);
	return MBJ_OK;
}

/* The back-link of one account against the account's LSN. */
static enum mbj_rc link_judge(struct group_run *run,
			      const struct mbj_group_account *recorded,
			      bool *ret_is_settled, struct mbj_error *err)
{
	struct mbj_account account;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(run->txn, recorded->id, &account, &is_found,
				  err);
	if (rc < 0)
		return rc;
	if (!is_found)
		return link_judge_absent(run, recorded, ret_is_settled, err);
	*ret_is_settled = account.lsn.v >= run->group->header.lsn.v;
	if (*ret_is_settled || account.lsn.v == recorded->previous.v)
		return MBJ_OK;
	mbj_id_print(recorded->id, text);
	mbj_error_set(&run->report.why, MBJ_ECONFLICT,
		      "account %s is at group %llu, the record follows %llu",
		      text, (unsigned long long)account.lsn.v,
		      (unsigned long long)recorded->previous.v);
	run_decide(run, account.lsn.v < recorded->previous.v
				? MBJ_VERDICT_GAP
				: MBJ_VERDICT_CONFLICT);
	return MBJ_OK;
}

static enum mbj_rc run_links(struct group_run *run, struct mbj_error *err)
{
	uint32_t count = run->group->header.account_count;

	MBJ_ASSERT(count <= MBJ_GROUP_ACCOUNTS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_group_account recorded;
		bool is_settled = false;
		enum mbj_rc rc;

		mbj_group_account_get(run->group, i, &recorded);
		rc = link_judge(run, &recorded, &is_settled, err);
		if (rc < 0 || run_is_decided(run))
			return rc;
		if (!is_settled)
			continue;
		run->settled[i / BITS_PER_WORD] |= (uint64_t)1
						   << i % BITS_PER_WORD;
		run->settled_count++;
	}
	return MBJ_OK;
}

/* Mailboxes entering TEMP minus those leaving it, of what was applied. */
static int64_t op_parks(const struct mbj_op *op)
{
	int64_t parks = 0;

	if (op->kind == MBJ_OP_MAILBOX_CREATE ||
	    op->kind == MBJ_OP_MAILBOX_MOVE)
		parks += mbj_id_is_temp(op->to.parent);
	if (op->kind == MBJ_OP_MAILBOX_MOVE ||
	    op->kind == MBJ_OP_MAILBOX_DELETE)
		parks -= mbj_id_is_temp(op->from.parent);
	return parks;
}

static enum mbj_rc run_op(struct group_run *run, const struct mbj_op *op,
			  struct mbj_error *err)
{
	struct mbj_group_account recorded;
	enum mbj_verdict verdict;
	enum mbj_rc rc;

	if (run_is_settled(run, op->account)) {
		run->report.already++;
		return MBJ_OK;
	}
	mbj_group_account_get(run->group, op->account, &recorded);
	rc = mbj_apply_op(run->txn, recorded.id, run->group->header.lsn, op,
			  &verdict, &run->report.why);
	if (rc < 0) {
		if (err != NULL)
			*err = run->report.why;
		return rc;
	}
	if (verdict > MBJ_VERDICT_ALREADY) {
		run_decide(run, verdict);
		return MBJ_OK;
	}
	if (verdict == MBJ_VERDICT_APPLY) {
		run->report.applied++;
		run->parked += op_parks(op);
	} else {
		run->report.already++;
	}
	return MBJ_OK;
}

/* The end of the body: as many primitives as promised, nobody left parked. */
static void run_ops_end(struct group_run *run)
{
	if (run->report.op_index != run->group->header.op_count) {
		mbj_error_set(&run->report.why, MBJ_ECORRUPT,
			      "the group has %u primitives, its header says %u",
			      run->report.op_index,
			      run->group->header.op_count);
		run_decide(run, MBJ_VERDICT_CORRUPT);
	} else if (run->parked != 0) {
		mbj_error_set(&run->report.why, MBJ_ECONFLICT,
			      "the group leaves mailboxes parked");
		run_decide(run, MBJ_VERDICT_CONFLICT);
	}
}

static enum mbj_rc run_ops(struct group_run *run, struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc;

	mbj_reader_init(&reader, run->group->body);
	for (;;) {
		rc = mbj_group_op_next(run->group, &reader, &op,
				       &run->report.why);
		if (rc < 0)
			break;
		rc = run_op(run, &op, err);
		if (rc < 0 || run_is_decided(run))
			return rc;
		run->report.op_index++;
	}
	if (rc == MBJ_ENOTFOUND)
		run_ops_end(run);
	else if (rc == MBJ_EUNSUPPORTED)
		run_decide(run, MBJ_VERDICT_CONFLICT);
	else
		run_decide(run, MBJ_VERDICT_CORRUPT);
	return MBJ_OK;
}

/* What an account must be after the group: nothing where it was deleted. */
static enum mbj_rc account_digest(struct group_run *run, struct mbj_id id,
				  struct mbj_digest *ret_digest,
				  struct mbj_error *err)
{
	struct mbj_account account;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_found = false;
	bool is_dead = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_seek(run->txn, id, &account, &is_found, err);
	if (rc == MBJ_OK && is_found) {
		*ret_digest = account.digest;
		return mbj_txn_account_set_lsn(run->txn, id,
					       run->group->header.lsn, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_txn_account_is_dead(run->txn, id, &is_dead, err);
	if (rc < 0)
		return rc;
	*ret_digest = (struct mbj_digest){{0}};
	if (is_dead)
		return MBJ_OK;
	mbj_id_print(id, text);
	mbj_error_set(&run->report.why, MBJ_ECONFLICT,
		      "the group names account %s and does not create it",
		      text);
	run_decide(run, MBJ_VERDICT_CONFLICT);
	return MBJ_OK;
}

/*
 * Is it what the record says?  One that lacks what was given up differs by that
 * much, and by nothing else; and lacks it no more once it is what it is to be.
 */
static enum mbj_rc digest_compare(struct group_run *run,
				  const struct mbj_group_account *recorded,
				  struct mbj_digest digest, bool *ret_is_equal,
				  struct mbj_error *err)
{
	struct mbj_skipped skipped;
	bool is_skipped = false;
	enum mbj_rc rc;

	*ret_is_equal = mbj_digest_equal(&digest, &recorded->digest);
	rc = mbj_txn_skipped_seek(run->txn, recorded->id, &skipped, &is_skipped,
				  err);
	if (rc < 0 || !is_skipped)
		return rc;
	if (*ret_is_equal)
		return mbj_txn_skipped_clear(run->txn, recorded->id, err);
	mbj_digest_join(&digest, &skipped.lack);
	*ret_is_equal = mbj_digest_equal(&digest, &recorded->digest);
	return MBJ_OK;
}

/* Note the group in one account and compare what it has become. */
static enum mbj_rc account_close(struct group_run *run,
				 const struct mbj_group_account *recorded,
				 struct mbj_error *err)
{
	struct mbj_digest digest;
	char text[MBJ_ID_TEXT_SIZE];
	bool is_equal = false;
	enum mbj_rc rc;

	rc = account_digest(run, recorded->id, &digest, err);
	if (rc < 0 || run_is_decided(run))
		return rc;
	rc = digest_compare(run, recorded, digest, &is_equal, err);
	if (rc < 0 || is_equal)
		return rc;
	mbj_id_print(recorded->id, text);
	mbj_error_set(&run->report.why, MBJ_ECONFLICT,
		      "account %s has another content than the record says",
		      text);
	run_decide(run, MBJ_VERDICT_CONFLICT);
	return MBJ_OK;
}

static enum mbj_rc run_close(struct group_run *run, struct mbj_error *err)
{
	for (uint32_t i = 0; i < run->group->header.account_count; i++) {
		struct mbj_group_account recorded;
		enum mbj_rc rc;

		if (run_is_settled(run, i))
			continue;
		mbj_group_account_get(run->group, i, &recorded);
		rc = account_close(run, &recorded, err);
		if (rc < 0 || run_is_decided(run))
			return rc;
	}
	return MBJ_OK;
}

static enum mbj_rc run_group(struct group_run *run, struct mbj_error *err)
{
	const struct mbj_group_header *header = &run->group->header;
	enum mbj_rc rc;

	if (!run->group->is_body_good) {
		mbj_error_set(&run->report.why, MBJ_ECORRUPT,
			      "the body of the group fails its checksum");
		run_decide(run, MBJ_VERDICT_CORRUPT);
		return MBJ_OK;
	}
	rc = run_links(run, err);
	if (rc < 0 || run_is_decided(run))
		return rc;
	if (run->settled_count == header->account_count) {
		run->report.verdict = MBJ_VERDICT_ALREADY;
		run->report.already = header->op_count;
		run->report.op_index = header->op_count;
		return MBJ_OK;
	}
	rc = run_ops(run, err);
	if (rc < 0 || run_is_decided(run))
		return rc;
	return run_close(run, err);
}

enum mbj_rc mbj_apply_group(struct mbj_txn *txn, const struct mbj_group *group,
			    struct mbj_apply_report *ret_report,
			    struct mbj_error *err)
{
	struct group_run run = {.txn = txn, .group = group};
	size_t savepoint;
	enum mbj_rc rc;

	MBJ_ASSERT(txn != NULL && group != NULL);
	MBJ_ASSERT(group->header.lsn.v > 0);
	savepoint = mbj_txn_savepoint(txn);
	rc = run_group(&run, err);
	if (rc < 0 || run_is_decided(&run))
		mbj_txn_rollback(txn, savepoint);
	if (rc == MBJ_OK)
		*ret_report = run.report;
	return rc;
}
