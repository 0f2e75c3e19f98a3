/*
 * Comparing two stores, account by account; see mbj/verify.h.
 *
 * Accounts come in id order from both snapshots and are merged.  An account's
 * records are summed again on both sides (a recorded digest proves nothing
 * about a damaged page), then compared; trees are loaded only where the sums
 * differ.
 */
#include <string.h>

#include <mbj/check.h>

#include "verify_priv.h"

/* One of the two stores. */
struct side {
	struct mbj_txn *txn;
	struct mbj_scan scan;
	struct mbj_account account; /* the next one, while has_account */
	struct mbj_buf name;	    /* owns account.name */
	bool has_account;
};

struct mbj_verify {
	struct side sides[2];
	struct verify_list list;
	size_t next; /* in list */
	struct mbj_id account;
	struct mbj_buf account_name; /* escaped, NUL-terminated */
	struct mbj_verify_totals totals;
};

static const char *const difference_names[] = {
#define X(name, word) [MBJ_DIFFERENCE_##name] = (word),
	MBJ_DIFFERENCE_MAP(X)
#undef X
};

const char *mbj_difference_name(enum mbj_difference_kind kind)
{
	MBJ_ASSERT((size_t)kind <
		   sizeof(difference_names) / sizeof(*difference_names));
	return difference_names[kind];
}

static enum mbj_rc side_next(struct side *side, struct mbj_error *err)
{
	enum mbj_rc rc =
		mbj_scan_next_account(&side->scan, &side->account, err);

	side->has_account = rc == MBJ_OK;
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	mbj_buf_clear(&side->name);
	mbj_buf_put_bytes(&side->name, side->account.name);
	side->account.name = mbj_buf_view(&side->name);
	return mbj_buf_ok(&side->name, err);
}

static enum mbj_rc side_begin(struct side *side, struct mbj_store *store,
			      struct mbj_lsn *ret_lsn, struct mbj_error *err)
{
	struct mbj_watermark watermark;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &side->txn, err);
	if (rc < 0)
		return rc;
	rc = mbj_txn_watermark(side->txn, &watermark, err);
	if (rc < 0)
		return rc;
	*ret_lsn = watermark.lsn;
	rc = mbj_scan_accounts(side->txn, &side->scan, err);
	if (rc < 0)
		return rc;
	return side_next(side, err);
}

enum mbj_rc mbj_verify_begin(struct mbj_store *first, struct mbj_store *second,
			     struct mbj_verify **ret_verify,
			     struct mbj_error *err)
{
	struct mbj_verify *verify = mbj_calloc(1, sizeof(*verify));
	enum mbj_rc rc;

	if (!verify)
		return mbj_error_nomem(err);
	for (int i = 0; i < 2; i++)
		mbj_buf_init(&verify->sides[i].name, MBJ_ACCOUNT_NAME_MAX);
	mbj_buf_init(&verify->account_name, MBJ_ACCOUNT_NAME_MAX * 8 + 1);
	rc = mbj_arena_new((size_t)VERIFY_ACCOUNT_MAX * 2048,
			   &verify->list.arena, err);
	if (rc < 0)
		goto out;
	rc = side_begin(&verify->sides[0], first, &verify->totals.first, err);
	if (rc < 0)
		goto out;
	rc = side_begin(&verify->sides[1], second, &verify->totals.second, err);
out:
	if (rc < 0)
		mbj_verify_end(&verify);
	else
		*ret_verify = verify;
	return rc;
}

void mbj_verify_end(struct mbj_verify **verify)
{
	struct mbj_verify *v = *verify;

	if (!v)
		return;
	for (int i = 0; i < 2; i++) {
		mbj_scan_done(&v->sides[i].scan);
		mbj_txn_abort(&v->sides[i].txn);
		mbj_buf_done(&v->sides[i].name);
	}
	mbj_buf_done(&v->account_name);
	mbj_free(v->list.items);
	mbj_arena_free(&v->list.arena);
	mbj_free(v);
	*verify = NULL;
}

void mbj_verify_totals_get(const struct mbj_verify *verify,
			   struct mbj_verify_totals *ret_totals)
{
	*ret_totals = verify->totals;
}

static enum mbj_rc account_name_set(struct mbj_verify *verify,
				    const struct mbj_account *account,
				    struct mbj_error *err)
{
	verify->account = account->id;
	mbj_buf_clear(&verify->account_name);
	mbj_name_escape(&verify->account_name, account->name);
	mbj_buf_put_u8(&verify->account_name, 0);
	return mbj_buf_ok(&verify->account_name, err);
}

/* Sum one side's records; damage becomes a difference, not an error. */
static enum mbj_rc side_sum(struct mbj_verify *verify, int which,
			    struct mbj_digest *ret_digest, bool *ret_is_good,
			    struct mbj_error *err)
{
	struct side *side = &verify->sides[which];
	struct mbj_error why;
	enum mbj_rc rc;

	*ret_is_good = true;
	rc = mbj_txn_account_check(side->txn, side->account.id, ret_digest,
				   &why);
	if (rc == MBJ_OK)
		return MBJ_OK;
	*ret_is_good = false;
	if (rc == MBJ_ECORRUPT)
		return verify_list_add(&verify->list,
				       MBJ_DIFFERENCE_ACCOUNT_DAMAGED,
				       MBJ_ID_ROOT, err, "in the %s store: %s",
				       which == 0 ? "first" : "second",
				       why.message);
	if (err)
		*err = why;
	return rc;
}

/* The digests differ: find what does. */
static enum mbj_rc account_explain(struct mbj_verify *verify,
				   struct mbj_error *err)
{
	struct verify_pair pair = {.txns = {NULL, NULL}};
	uint64_t before = verify->list.total;
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && i < 2; i++) {
		pair.txns[i] = verify->sides[i].txn;
		pair.accounts[i] = verify->sides[i].account;
		rc = mbj_txn_tree_load(pair.txns[i], pair.accounts[i].id,
				       &pair.trees[i], err);
	}
	if (rc == MBJ_OK)
		rc = verify_trees(pair.trees[0], pair.trees[1],
				  pair.accounts[0].policy.delimiter,
				  &verify->list, err);
	if (rc == MBJ_OK)
		rc = verify_account(&pair, &verify->list, err);
	if (rc == MBJ_OK && verify->list.total == before)
		rc = verify_list_add(&verify->list,
				     MBJ_DIFFERENCE_ACCOUNT_DIFFERS,
				     MBJ_ID_ROOT, err,
				     "the mailboxes and their metadata are "
				     "equal; messages or UIDVALIDITY records "
				     "differ");
	for (int i = 0; i < 2; i++)
		mbj_tree_free(&pair.trees[i]);
	return rc;
}

/* Either store may be the replica, and lack what is parked altogether. */
static enum mbj_rc account_parked(struct mbj_verify *verify,
				  struct mbj_id account, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_ENOTFOUND;
	struct mbj_parked parked;

	for (int i = 0; i < 2 && rc == MBJ_ENOTFOUND; i++)
		rc = mbj_txn_parked_get(verify->sides[i].txn, account, &parked,
					err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	verify->totals.accounts_parked++;
	return verify_list_add(&verify->list, MBJ_DIFFERENCE_ACCOUNT_PARKED,
			       MBJ_ID_ROOT, err,
			       "%llu groups set aside from group %llu on: %.*s",
			       (unsigned long long)parked.count,
			       (unsigned long long)parked.first.v,
			       (int)parked.reason.n,
			       (const char *)parked.reason.p);
}

/* Either store may lack what was given up. */
static enum mbj_rc account_skipped(struct mbj_verify *verify,
				   struct mbj_id account, struct mbj_error *err)
{
	struct mbj_skipped skipped;
	bool is_found = false;
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && i < 2 && !is_found; i++)
		rc = mbj_txn_skipped_seek(verify->sides[i].txn, account,
					  &skipped, &is_found, err);
	if (rc < 0 || !is_found)
		return rc;
	verify->totals.accounts_skipped++;
	return verify_list_add(
		&verify->list, MBJ_DIFFERENCE_ACCOUNT_SKIPPED, MBJ_ID_ROOT, err,
		"it differs, knowingly, since group %llu: %llu groups were "
		"given up, the last of them %llu",
		(unsigned long long)skipped.first.v,
		(unsigned long long)skipped.count,
		(unsigned long long)skipped.last.v);
}

/* The same account on both sides. */
static enum mbj_rc account_compare(struct mbj_verify *verify,
				   struct mbj_error *err)
{
	struct mbj_digest digests[2];
	bool is_good[2];
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; i < 2 && rc == MBJ_OK; i++)
		rc = side_sum(verify, i, &digests[i], &is_good[i], err);
	if (rc != MBJ_OK)
		return rc;
	if (!is_good[0] || !is_good[1])
		return MBJ_OK;
	if (mbj_digest_equal(&digests[0], &digests[1]))
		return MBJ_OK;
	return account_explain(verify, err);
}

/* Take the next account of the merged order and list what differs in it. */
static enum mbj_rc account_take(struct mbj_verify *verify,
				struct mbj_error *err)
{
	struct side *a = &verify->sides[0];
	struct side *b = &verify->sides[1];
	int order;
	enum mbj_rc rc;

	if (!a->has_account)
		order = 1;
	else if (!b->has_account)
		order = -1;
	else
		order = mbj_id_compare(a->account.id, b->account.id);
	mbj_arena_reset(verify->list.arena);
	verify->list.count = 0;
	verify->next = 0;
	verify->totals.accounts++;
	rc = account_name_set(verify, order <= 0 ? &a->account : &b->account,
			      err);
	if (rc == MBJ_OK)
		rc = account_parked(verify, verify->account, err);
	if (rc == MBJ_OK)
		rc = account_skipped(verify, verify->account, err);
	if (rc < 0)
		return rc;
	if (order == 0)
		rc = account_compare(verify, err);
	else
		rc = verify_list_add(&verify->list,
				     order < 0 ? MBJ_DIFFERENCE_ACCOUNT_MISSING
					       : MBJ_DIFFERENCE_ACCOUNT_EXTRA,
				     MBJ_ID_ROOT, err, "only in the %s store",
				     order < 0 ? "first" : "second");
	if (rc == MBJ_OK && order <= 0)
		rc = side_next(a, err);
	if (rc == MBJ_OK && order >= 0)
		rc = side_next(b, err);
	return rc;
}

enum mbj_rc mbj_verify_next(struct mbj_verify *verify,
			    struct mbj_difference *ret_difference,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	while (verify->next == verify->list.count) {
		if (!verify->sides[0].has_account &&
		    !verify->sides[1].has_account)
			return MBJ_ENOTFOUND;
		rc = account_take(verify, err);
		if (rc < 0)
			return rc;
		verify->totals.differences = verify->list.total;
	}
	*ret_difference = verify->list.items[verify->next++];
	ret_difference->account = verify->account;
	ret_difference->account_name = (const char *)verify->account_name.p;
	return MBJ_OK;
}
