/*
 * An account as a whole: its tree in memory, and every invariant of its
 * records.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "gather.h"
#include "state_priv.h"

/* Only the scan's own end is an end: all else that is not found is a fault. */
static enum mbj_rc nodes_load(struct mbj_txn *txn, struct mbj_id account,
			      struct gather *g, struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	rc = mbj_scan_mailboxes(txn, account, &scan, err);
	if (rc != MBJ_OK)
		return rc;
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc == MBJ_OK)
			rc = gather_mailbox(g, &mailbox, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The node at a path of keys, or NONE: subscriptions may name nothing. */
static uint32_t path_find(const struct mbj_tree *tree, struct mbj_bytes path)
{
	uint32_t at = MBJ_NODE_ROOT;
	size_t begin = 0;

	for (size_t i = 0; i <= path.n; i++) {
		if (i < path.n && path.p[i] != '\0')
			continue;
		at = mbj_tree_find_slot(tree, at,
					mbj_bytes_make(path.p + begin,
						       i - begin));
		if (at == MBJ_NODE_NONE)
			return at;
		begin = i + 1;
	}
	return at;
}

static enum mbj_rc subscriptions_mark(struct mbj_txn *txn,
				      struct mbj_id account,
				      struct mbj_tree *tree,
				      struct mbj_error *err)
{
	struct mbj_bytes all = {NULL, 0};
	struct mbj_scan scan = {0};
	struct mbj_path path;
	uint32_t index;
	enum mbj_rc rc;

	rc = mbj_scan_subscriptions(txn, account, all, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_subscription(&scan, &path, err);
		if (rc < 0)
			break;
		index = path_find(tree, path.key);
		if (index != MBJ_NODE_NONE)
			mbj_tree_edit(tree, index)->is_subscribed = true;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The account's tree, in what is gathered of it. */
static enum mbj_rc tree_gather(struct mbj_txn *txn, struct mbj_id account,
			       struct gather *g, struct mbj_error *err)
{
	enum mbj_rc rc = gather_begin(g, txn->state->sys, err);

	if (rc == MBJ_OK)
		rc = nodes_load(txn, account, g, err);
	if (rc == MBJ_OK)
		rc = gather_settle(g, err);
	return rc;
}

enum mbj_rc mbj_txn_tree_load(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_tree **ret_tree, struct mbj_error *err)
{
	struct gather g;
	enum mbj_rc rc;

	rc = tree_gather(txn, account, &g, err);
	if (rc == MBJ_OK)
		rc = subscriptions_mark(txn, account, g.tree, err);
	if (rc == MBJ_OK) {
		*ret_tree = g.tree;
		g.tree = NULL;
	}
	gather_done(&g);
	return rc;
}

/* Sum and count what a digested table holds of an account. */
static enum mbj_rc table_sum(struct mbj_txn *txn, enum db_table table,
			     struct mbj_id account, struct mbj_digest *digest,
			     uint64_t *ret_count, struct mbj_error *err)
{
	struct mbj_bytes prefix = mbj_bytes_make(account.b, sizeof(account.b));
	struct db_cursor *cursor = NULL;
	struct mbj_bytes key;
	struct mbj_bytes value;
	enum mbj_rc rc;

	*ret_count = 0;
	rc = db_cursor_open(txn->txn, table, prefix, &cursor, err);
	while (rc == MBJ_OK) {
		rc = db_cursor_next(cursor, &key, &value, err);
		if (rc < 0 || key.n < prefix.n ||
		    memcmp(key.p, prefix.p, prefix.n) != 0)
			break;
		rc = record_sum(txn, table, key, value, true, digest, err);
		++*ret_count;
	}
	db_cursor_close(&cursor);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Each slot names a live mailbox that is in it, and there are as many. */
static enum mbj_rc slots_check(struct mbj_txn *txn, struct mbj_id account,
			       const struct mbj_tree *tree,
			       struct mbj_error *err)
{
	struct mbj_bytes prefix = mbj_bytes_make(account.b, sizeof(account.b));
	struct db_cursor *cursor = NULL;
	const struct mbj_node *node;
	struct mbj_bytes key;
	struct mbj_bytes value;
	struct mbj_id parent;
	struct mbj_id id;
	uint64_t count = 0;
	enum mbj_rc rc;

	rc = db_cursor_open(txn->txn, TABLE_SLOTS, prefix, &cursor, err);
	while (rc == MBJ_OK) {
		uint32_t index;

		rc = db_cursor_next(cursor, &key, &value, err);
		if (rc < 0 || key.n < prefix.n ||
		    memcmp(key.p, prefix.p, prefix.n) != 0)
			break;
		if (key.n <= 2 * MBJ_ID_SIZE || !record_id_decode(value, &id)) {
			rc = record_damaged(TABLE_SLOTS, key, err);
			break;
		}
		memcpy(parent.b, key.p + MBJ_ID_SIZE, sizeof(parent.b));
		index = mbj_tree_find(tree, id);
		node = index == MBJ_NODE_NONE ? NULL
					      : mbj_tree_get(tree, index);
		if (!node ||
		    !mbj_bytes_equal(node->name.key,
				     mbj_bytes_make(key.p + 2 * MBJ_ID_SIZE,
						    key.n - 2 * MBJ_ID_SIZE)) ||
		    !mbj_id_equal(
			    parent,
			    node->parent == MBJ_NODE_ROOT
				    ? MBJ_ID_ROOT
				    : mbj_tree_get(tree, node->parent)->id)) {
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "a slot names a mailbox that is not "
					   "in it");
			break;
		}
		count++;
	}
	db_cursor_close(&cursor);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return rc;
	if (count != mbj_tree_live_count(tree))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "%llu slots for %u mailboxes",
				     (unsigned long long)count,
				     mbj_tree_live_count(tree));
	return MBJ_OK;
}

static enum mbj_rc temp_check(const struct mbj_tree *tree,
			      struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];

	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		if (!node->is_live || node->parent != MBJ_NODE_TEMP)
			continue;
		mbj_id_print(node->id, text);
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "mailbox %s is still parked", text);
	}
	return MBJ_OK;
}

/* Sums and counts against what the account's record says. */
static enum mbj_rc sums_check(struct mbj_txn *txn,
			      const struct mbj_account *account,
			      struct mbj_digest *ret_digest,
			      struct mbj_error *err)
{
	static const enum db_table tables[] = {
		TABLE_MAILBOXES,  TABLE_SUBSCRIPTIONS, TABLE_FLOORS,
		TABLE_ATTRIBUTES, TABLE_CONTENTS,      TABLE_INTENTS};
	struct mbj_digest digest = {{0}};
	uint64_t counts[sizeof(tables) / sizeof(*tables)] = {0};
	enum mbj_rc rc;

	rc = account_sum(txn, account, true, &digest, err);
	for (size_t i = 0; rc == MBJ_OK && i < sizeof(tables) / sizeof(*tables);
	     i++)
		rc = table_sum(txn, tables[i], account->id, &digest, &counts[i],
			       err);
	if (rc != MBJ_OK)
		return rc;
	*ret_digest = digest;
	if (counts[0] != account->mailbox_count ||
	    counts[1] != account->subscription_count)
		return mbj_error_set(
			err, MBJ_ECORRUPT,
			"the account counts %llu mailboxes and %llu "
			"subscriptions, but has %llu and %llu",
			(unsigned long long)account->mailbox_count,
			(unsigned long long)account->subscription_count,
			(unsigned long long)counts[0],
			(unsigned long long)counts[1]);
	if (!mbj_digest_equal(&digest, &account->digest))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the account's records do not sum to its "
				     "digest");
	return MBJ_OK;
}

enum mbj_rc mbj_txn_account_check(struct mbj_txn *txn, struct mbj_id account,
				  struct mbj_digest *ret_digest,
				  struct mbj_error *err)
{
	struct gather g = {.tree = NULL};
	struct mbj_account a;
	enum mbj_rc rc;

	rc = mbj_txn_account_get(txn, account, &a, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_flush(txn, err);
	if (rc == MBJ_OK)
		rc = sums_check(txn, &a, ret_digest, err);
	if (rc == MBJ_OK)
		rc = tree_gather(txn, account, &g, err);
	if (rc == MBJ_OK)
		rc = temp_check(g.tree, err);
	if (rc == MBJ_OK)
		rc = slots_check(txn, account, g.tree, err);
	if (rc == MBJ_OK)
		rc = contents_check(txn, &a, &g, err);
	gather_done(&g);
	if (rc == MBJ_ECORRUPT)
		atomic_store(&txn->state->is_suspect, true);
	return rc;
}
