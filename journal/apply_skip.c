/*
 * A group that is given up for one account: it takes no effect there, and the
 * account goes on behind it, known to lack what it was to bring.
 *
 * Threads: as the transaction.
 */
#include <mbj/apply.h>
#include <mbj/check.h>

static struct mbj_digest recorded_digest(const struct mbj_group *group,
					 struct mbj_id id)
{
	struct mbj_group_account recorded;
	uint32_t i = 0;

	do
		mbj_group_account_get(group, i++, &recorded);
	while (!mbj_id_equal(recorded.id, id));
	return recorded.digest;
}

enum mbj_rc mbj_apply_skip(struct mbj_txn *txn, const struct mbj_group *group,
			   struct mbj_id id, struct mbj_error *err)
{
	static const struct mbj_digest nothing = {{0}};
	struct mbj_lsn lsn = group->header.lsn;
	struct mbj_skipped skipped = {.account = id, .first = lsn};
	struct mbj_account account;
	bool was_skipped = false;
	bool is_there = false;
	enum mbj_rc rc;

	MBJ_ASSERT(mbj_group_names(group, id));
	rc = mbj_txn_account_seek(txn, id, &account, &is_there, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_skipped_seek(txn, id, &skipped, &was_skipped, err);
	if (rc == MBJ_OK && is_there)
		rc = mbj_txn_account_set_lsn(txn, id, lsn, err);
	if (rc < 0)
		return rc;
	skipped.last = lsn;
	skipped.count++;
	skipped.lack = recorded_digest(group, id);
	if (is_there)
		mbj_digest_part(&skipped.lack, &account.digest);
	if (!mbj_digest_equal(&skipped.lack, &nothing))
		return mbj_txn_skipped_set(txn, &skipped, err);
	/* What was to come is there already, or what was to go is not. */
	rc = mbj_txn_skipped_clear(txn, id, err);
	if (rc == MBJ_OK && !is_there)
		rc = mbj_txn_account_bury(txn, id, lsn, err);
	return rc;
}
