/*
 * Groups that a hostile peer made, applied to a state that has an account:
 * any verdict will do, but a group applies whole or not at all, and what it
 * leaves holds every invariant of an account.
 *
 * The state is made once, in memory; each run's transaction is given up.
 */
#include <stdlib.h>

#include <mbj/apply.h>
#include <mbj/check.h>

#include "disk.h"
#include "fuzz.h"

enum { MAILBOXES = 5, GROUPS_SIZE_MAX = 16 << 10 };

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

/* Ids that a fuzzer can write: one byte, then zeroes. */
static const struct mbj_id account_id = {{0xa0}};

static void account_make(struct mbj_state *state)
{
	static const char *const names[MAILBOXES] = {"INBOX", "a", "b", "c",
						     "d"};
	struct mbj_account account = {.id = account_id,
				      .name = mbj_bytes_str("u"),
				      .policy = MBJ_NAME_POLICY_DEFAULT};
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(state, &txn, NULL));
	OK(mbj_txn_account_create(txn, &account, NULL));
	for (unsigned i = 0; i < MAILBOXES; i++) {
		struct mbj_bytes name = mbj_bytes_str(names[i]);
		struct mbj_mailbox mailbox = {
			.id = {{(uint8_t)(i + 1)}},
			.parent = {{i > 2 ? 2 : 0}},
			.name = {name, name},
			.uidvalidity = i + 1,
			.is_selectable = true,
		};

		OK(mbj_txn_mailbox_create(txn, account_id, &mailbox, NULL));
	}
	OK(mbj_txn_account_set_lsn(txn, account_id, (struct mbj_lsn){1}, NULL));
	OK(mbj_txn_commit(&txn, NULL));
}

static struct mbj_state *state_new(void)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_state *state = NULL;

	options.engine = MBJ_STATE_MEMORY;
	OK(mbj_state_open(disk_sys(disk_new()), "s", account_id, &options,
			  &state, NULL));
	account_make(state);
	return state;
}

/* The account's digest, which its records must not deny; zero: it is gone. */
static struct mbj_digest account_check(struct mbj_txn *txn)
{
	struct mbj_digest digest = {{0}};
	struct mbj_account account;

	if (mbj_txn_account_get(txn, account_id, &account, NULL) < 0)
		return digest;
	OK(mbj_txn_account_check(txn, account_id, &digest, NULL));
	MBJ_ASSERT(mbj_digest_equal(&digest, &account.digest));
	return digest;
}

/* A primitive alone may park; then the account is only half-way. */
static bool is_settled(struct mbj_txn *txn)
{
	struct mbj_scan scan = {0};
	struct mbj_id id;
	bool is_empty;

	OK(mbj_scan_children(txn, account_id, MBJ_ID_TEMP, &scan, NULL));
	is_empty = mbj_scan_next_child(&scan, &id, NULL) == MBJ_ENOTFOUND;
	mbj_scan_done(&scan);
	return is_empty;
}

/*
 * The primitives one by one, as a primary would: no digest of the group stands
 * in the way.
 */
static void ops_apply(struct mbj_txn *txn, const struct mbj_group *group)
{
	struct mbj_reader reader;
	enum mbj_verdict verdict;
	struct mbj_error err;
	unsigned applied = 0;
	struct mbj_op op;

	mbj_reader_init(&reader, group->body);
	while (mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK) {
		if (mbj_apply_op(txn, account_id, group->header.lsn, &op,
				 &verdict, &err) < 0)
			break;
		applied += verdict == MBJ_VERDICT_APPLY;
	}
	FUZZ_CANARY(applied > 0);
}

static void group_apply(struct mbj_txn *txn, const struct mbj_group *group)
{
	struct mbj_digest before = account_check(txn);
	struct mbj_apply_report report;
	struct mbj_digest after;
	size_t savepoint;

	if (mbj_apply_group(txn, group, &report, NULL) == MBJ_OK &&
	    report.verdict > MBJ_VERDICT_ALREADY) {
		after = account_check(txn);
		MBJ_ASSERT(mbj_digest_equal(&before, &after));
	}
	savepoint = mbj_txn_savepoint(txn);
	before = account_check(txn);
	ops_apply(txn, group);
	if (is_settled(txn))
		(void)account_check(txn);
	mbj_txn_rollback(txn, savepoint);
	after = account_check(txn);
	MBJ_ASSERT(mbj_digest_equal(&before, &after));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct mbj_state *state; /* made once, never changed */
	struct mbj_txn *txn = NULL;
	struct mbj_group group;

	if (size > GROUPS_SIZE_MAX)
		return 0;
	if (state == NULL)
		state = state_new();
	OK(mbj_txn_begin(state, &txn, NULL));
	while (mbj_group_parse(mbj_bytes_make(data, size), &group, NULL) ==
		       MBJ_OK &&
	       mbj_group_check(&group, NULL) == MBJ_OK) {
		group_apply(txn, &group);
		data += group.record.n;
		size -= group.record.n;
	}
	mbj_txn_abort(&txn);
	return 0;
}
