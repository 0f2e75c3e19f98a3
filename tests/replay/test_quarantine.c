/*
 * What waits for accounts that are set aside is carried out when it is asked
 * for: in order, once, as far as it goes.
 */
#include <string.h>

#include "aside_lab.h"
#include "reason.h"
#include "store_impl.h"

/*
 * Goal: what waits is carried out in order, and once; who still fails stays
 * aside, with the reason of now.  Method: two accounts aside, one mended; then
 * the other; asked again, also in a transaction for each group.
 */
START_TEST(quarantine_retry_order)
{
	struct mbj_retry_result result;
	struct fixture f;

	aside_begin(&f, true, NULL);
	aside_waits(&f, "alice", 3, 3,
		    "group 3, after its 2 primitives: conflict");
	aside_waits(&f, "bob", 3, 4, "group 4");
	result = aside_retry(&f, NULL);
	ck_assert_uint_eq(result.groups, 0);
	ck_assert_uint_eq(result.accounts_healed, 0);
	ck_assert_uint_eq(result.accounts_parked, 2);
	aside_waits(&f, "alice", 3, 3, "another content");
	aside_ghost(&f, "alice", false);
	result = aside_retry_with(&f, NULL, _i == 0 ? 1000 : 1, 0);
	ck_assert_uint_eq(result.groups, 3);
	ck_assert_uint_eq(result.accounts_healed, 1);
	ck_assert_uint_eq(result.accounts_parked, 1);
	aside_waits(&f, "alice", 0, 0, "");
	aside_waits(&f, "bob", 3, 4, "group 4");
	mbj_store_close(&f.replica);
	OK(mbj_replica_open(f.replica_dir, NULL, &f.replica, err));
	aside_ghost(&f, "bob", false);
	ck_assert_uint_eq(
		aside_retry_with(&f, "bob", _i == 0 ? 1000 : 2, 0).groups, 3);
	aside_equal(&f);
	result = aside_retry(&f, NULL);
	ck_assert_uint_eq(result.groups + result.accounts_parked, 0);
	/* They take part again. */
	fixture_rename(&f, "alice", "a", "m4");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: who has not had a turn when a transaction ends waits on as before.
 * Method: two accounts, a transaction for each group.
 */
START_TEST(quarantine_retry_singly)
{
	struct fixture f;

	aside_begin(&f, true, NULL);
	aside_ghost(&f, "alice", false);
	aside_ghost(&f, "bob", false);
	ck_assert_uint_eq(aside_retry_with(&f, NULL, 1, 0).groups, 6);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: bytes bound a transaction as well as groups do.  Method: one byte.
 */
START_TEST(quarantine_retry_size)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;
	struct fixture f;

	aside_begin(&f, false, NULL);
	aside_ghost(&f, "alice", false);
	options.batch_size_max = 1;
	OK(mbj_quarantine_retry(f.replica, &options, &result, err));
	ck_assert_uint_eq(result.groups, 3);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a pass that may read so many groups only goes on where it ended.
 * Method: two groups at a time, until nothing waits.
 */
START_TEST(quarantine_retry_bounded)
{
	struct mbj_retry_result result;
	unsigned passes = 0;
	struct fixture f;

	aside_begin(&f, true, NULL);
	aside_ghost(&f, "alice", false);
	aside_ghost(&f, "bob", false);
	result = aside_retry_with(&f, "alice", 1000, 1);
	ck_assert_uint_eq(result.groups, 1);
	aside_waits(&f, "alice", 2, 4, "being carried out");
	aside_waits(&f, "bob", 3, 4, "group 4");
	/* Who had no turn waits from where the pass ended, too. */
	ck_assert_uint_eq(aside_retry_with(&f, NULL, 1000, 1).groups, 1);
	aside_waits(&f, "alice", 2, 5, "being carried out");
	do {
		result = aside_retry_with(&f, NULL, 1000, 2);
		passes++;
	} while (result.accounts_parked > 0);
	ck_assert_uint_eq(passes, 2);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: an account that stops in the middle waits from there.  Method: the
 * state diverges again when half of what waits was carried out.
 */
START_TEST(quarantine_retry_stops)
{
	struct fixture f;

	aside_begin(&f, false, NULL);
	aside_ghost(&f, "alice", false);
	ck_assert_uint_eq(aside_retry_with(&f, "alice", 1, 1).groups, 1);
	aside_ghost(&f, "alice", true);
	ck_assert_uint_eq(aside_retry(&f, "alice").groups, 0);
	aside_waits(&f, "alice", 2, 5, "group 5, after");
	/* What comes meanwhile waits behind it. */
	fixture_rename(&f, "alice", "a", "z");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	aside_waits(&f, "alice", 3, 5, "group 5");
	aside_ghost(&f, "alice", false);
	ck_assert_uint_eq(aside_retry(&f, "alice").accounts_healed, 1);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: it is refused with words where nothing can be retried.  Method: an
 * account that is not aside, a primary, a replica without a lineage.
 */
START_TEST(quarantine_retry_refused)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;
	struct mbj_error why;
	struct fixture f;

	fixture_begin(&f);
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options, &result,
					      &why),
			 MBJ_EFENCED);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	ck_assert_int_eq(mbj_quarantine_retry(f.primary, &options, &result,
					      &why),
			 MBJ_EFENCED);
	options.account = fixture_account(f.primary, "alice");
	ck_assert_int_eq(mbj_quarantine_retry(f.replica, &options, &result,
					      &why),
			 MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(why.message, "not set aside"));
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a record of an account for whom nothing waits ends.  Method: accounts
 * parked by hand, one of which no journal knows.
 */
START_TEST(quarantine_retry_nothing)
{
	struct mbj_retry_result result;
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 4);
	(void)fixture_replay(&f);
	fixture_park(&f, fixture_id(77), "by hand");
	fixture_park(&f, fixture_account(f.replica, "alice"), "by hand");
	result = aside_retry(&f, NULL);
	ck_assert_uint_eq(result.accounts_healed, 2);
	ck_assert_uint_eq(result.accounts_parked, 0);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/* ------------------------------------------------------- several accounts */

/* A group of the two accounts that subscribes this name in both. */
static void both_make(struct fixture *f, const char *text,
		      struct mbj_buf *record)
{
	static const char *const names[] = {"alice", "bob"};
	const struct mbj_bytes name = mbj_bytes_str(text);
	struct mbj_log_end end = mbj_store_end(f->replica);
	struct mbj_op op = {.kind = MBJ_OP_SUBSCRIBE, .path = {name, name}};
	struct mbj_group_writer writer;
	struct mbj_account account;
	struct mbj_sha256 *sha = NULL;
	struct mbj_txn *txn = NULL;

	mbj_group_writer_init(&writer);
	OK(mbj_sha256_new(&sha, err));
	mbj_group_writer_begin(&writer, (struct mbj_lsn){end.lsn.v + 1},
			       (struct mbj_epoch){1}, 0, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	OK(mbj_txn_begin(f->replica->state, &txn, err));
	for (size_t i = 0; i < 2; i++) {
		OK(mbj_txn_account_find(txn, mbj_bytes_str(names[i]), &account,
					err));
		OK(mbj_group_writer_account(&writer, account.id, account.lsn,
					    &op.account, err));
		mbj_group_writer_op(&writer, &op);
		OK(mbj_txn_subscribe(txn, account.id, &op.path, err));
		OK(mbj_txn_account_get(txn, account.id, &account, err));
		mbj_group_writer_digest(&writer, op.account, &account.digest);
	}
	mbj_txn_abort(&txn);
	OK(mbj_group_writer_finish(&writer, sha, &end.chain, record, err));
	mbj_group_writer_done(&writer);
	mbj_sha256_free(&sha);
}

/* Into the replica's journal, kept for both. */
static void both_keep(struct fixture *f, const struct mbj_buf *record)
{
	static const char *const names[] = {"alice", "bob"};
	struct mbj_parked parked = {.count = 1};
	struct mbj_batch *batch = NULL;
	struct mbj_group group;

	OK(mbj_group_parse(mbj_buf_view(record), &group, err));
	OK(mbj_batch_begin(f->replica, &batch, err));
	parked.first = parked.last = group.header.lsn;
	parked.reason = mbj_bytes_str("by hand");
	for (size_t i = 0; i < 2; i++) {
		parked.account = fixture_account(f->primary, names[i]);
		OK(mbj_txn_parked_set(mbj_batch_txn(batch), &parked, err));
	}
	OK(mbj_batch_add(batch, &group, err));
	OK(mbj_batch_commit(&batch, err));
}

/* Two accounts that a replica has, and such a group that it keeps. */
static void both_begin(struct fixture *f, const char *text,
		       struct mbj_buf *record)
{
	fixture_begin_two(f);
	(void)fixture_replay(f);
	mbj_buf_init(record, 1 << 20);
	both_make(f, text, record);
	both_keep(f, record);
}

/* What the group says of both is what they are. */
static void both_compare(struct fixture *f, const struct mbj_buf *record)
{
	struct mbj_group group;
	struct mbj_txn *txn = NULL;

	OK(mbj_group_parse(mbj_buf_view(record), &group, err));
	ck_assert_uint_eq(group.header.account_count, 2);
	OK(mbj_store_read(f->replica, &txn, err));
	for (uint32_t i = 0; i < 2; i++) {
		struct mbj_group_account named;
		struct mbj_account account;
		struct mbj_digest digest;

		mbj_group_account_get(&group, i, &named);
		OK(mbj_txn_account_get(txn, named.id, &account, err));
		ck_assert_uint_eq(account.lsn.v, group.header.lsn.v);
		OK(mbj_txn_account_check(txn, named.id, &digest, err));
		ck_assert(mbj_digest_equal(&digest, &named.digest));
	}
	mbj_txn_abort(&txn);
}

/*
 * Goal: a group of two accounts takes effect for both or for neither.  Method:
 * one of the two fails, then neither; only one of them is asked for.
 */
START_TEST(quarantine_retry_both)
{
	struct mbj_retry_result result;
	struct mbj_buf record;
	struct fixture f;

	both_begin(&f, "both", &record);
	aside_ghost(&f, "bob", true);
	ck_assert_uint_eq(aside_retry(&f, "alice").groups, 0);
	aside_waits(&f, "alice", 1, 3, "account ");
	aside_waits(&f, "bob", 1, 3, "by hand");
	aside_ghost(&f, "bob", false);
	result = aside_retry(&f, "alice");
	ck_assert_uint_eq(result.groups, 1);
	ck_assert_uint_eq(result.accounts_healed, 2);
	aside_waits(&f, "alice", 0, 0, "");
	aside_waits(&f, "bob", 0, 0, "");
	both_compare(&f, &record);
	mbj_buf_done(&record);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a group of two accounts is given up for one of them, the other one goes
 * on waiting for it; whoever has what it was to bring is not called different.
 * Method: one account that has it already, one with a ghost.
 */
START_TEST(quarantine_skip_both)
{
	const struct mbj_lsn lsn = {3};
	struct mbj_skip_result result;
	struct mbj_buf record;
	struct fixture f;

	both_begin(&f, "ghost", &record);
	aside_ghost(&f, "alice", true);
	fixture_diverge(&f, "bob", fixture_id(2), "elsewhere");
	OK(mbj_quarantine_skip(f.replica, fixture_account(f.primary, "alice"),
			       lsn, false, &result, err));
	ck_assert(!result.is_different);
	aside_waits(&f, "alice", 0, 0, "");
	aside_waits(&f, "bob", 1, 3, "by hand");
	OK(mbj_quarantine_skip(f.replica, fixture_account(f.primary, "bob"),
			       lsn, false, &result, err));
	ck_assert(result.is_different);
	aside_waits(&f, "bob", 0, 0, "");
	mbj_buf_done(&record);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a group that names an account which is not aside takes effect for that
 * one, too, as its own guards say.  Method: the record of one of two gone.
 */
START_TEST(quarantine_retry_other)
{
	struct mbj_retry_result result;
	struct mbj_txn *txn = NULL;
	struct mbj_buf record;
	struct fixture f;

	both_begin(&f, "both", &record);
	OK(mbj_txn_begin(f.replica->state, &txn, err));
	OK(mbj_txn_parked_clear(txn, fixture_account(f.primary, "bob"), err));
	OK(mbj_txn_commit(&txn, err));
	result = aside_retry(&f, NULL);
	ck_assert_uint_eq(result.groups, 1);
	ck_assert_uint_eq(result.accounts_healed, 1);
	ck_assert_uint_eq(result.accounts_parked, 0);
	both_compare(&f, &record);
	mbj_buf_done(&record);
	fixture_end(&f);
}
END_TEST

/* ---------------------------------------------------------------- words */

enum body { BODY_DAMAGED, BODY_GOOD, BODY_CUT };

static void reason_is(const struct mbj_op *op, uint32_t at, enum body body,
		      const char *expected)
{
	struct mbj_apply_report report = {.verdict = MBJ_VERDICT_GAP,
					  .op_index = at};
	char reason[MBJ_ERROR_MESSAGE_MAX];
	struct mbj_group_writer writer;
	struct mbj_hash chain = {{0}};
	struct mbj_sha256 *sha = NULL;
	struct mbj_buf record;
	struct mbj_group group;
	uint32_t index;

	OK(mbj_sha256_new(&sha, err));
	mbj_buf_init(&record, 1 << 20);
	mbj_group_writer_init(&writer);
	mbj_group_writer_begin(&writer, (struct mbj_lsn){7},
			       (struct mbj_epoch){1}, 0, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	OK(mbj_group_writer_account(&writer, fixture_id(9), (struct mbj_lsn){3},
				    &index, err));
	mbj_group_writer_op(&writer, op);
	OK(mbj_group_writer_finish(&writer, sha, &chain, &record, err));
	OK(mbj_group_parse(mbj_buf_view(&record), &group, err));
	ck_assert(mbj_group_names(&group, fixture_id(9)));
	ck_assert(!mbj_group_names(&group, fixture_id(8)));
	group.is_body_good = body != BODY_DAMAGED;
	if (body == BODY_CUT)
		group.body.n = 3;
	mbj_error_set(&report.why, MBJ_ECONFLICT, "why");
	replay_reason_print(&group, &report, reason);
	ck_assert_str_eq(reason, expected);
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	mbj_sha256_free(&sha);
}

/*
 * Goal: the reason names primitive and mailbox.  Method: primitives with a
 * name, without, with one that is too long, with no mailbox; none at all.
 */
START_TEST(quarantine_reason)
{
	char name[MBJ_NAME_MAX + 1];
	struct mbj_op op = {.kind = MBJ_OP_MAILBOX_CREATE,
			    .id = fixture_id(5),
			    .uidvalidity = 1,
			    .is_selectable = 1};

	op.to.name =
		(struct mbj_name){mbj_bytes_str("Work"), mbj_bytes_str("Work")};
	reason_is(&op, 0, BODY_GOOD,
		  "group 7, primitive 0 (mailbox-create "
		  "00000000000000000000000000000005 \"Work\"): gap: why");
	reason_is(&op, 1, BODY_GOOD,
		  "group 7, after its 1 primitives: gap: why");
	reason_is(&op, 0, BODY_DAMAGED, "group 7, primitive 0: gap: why");
	reason_is(&op, 0, BODY_CUT, "group 7, primitive 0: gap: why");
	memset(name, 'n', MBJ_NAME_MAX);
	name[MBJ_NAME_MAX] = '\0';
	op.to.name =
		(struct mbj_name){mbj_bytes_str(name), mbj_bytes_str(name)};
	reason_is(&op, 0, BODY_GOOD,
		  "group 7, primitive 0 (mailbox-create "
		  "00000000000000000000000000000005): gap: why");
	op = (struct mbj_op){.kind = MBJ_OP_SUBSCRIBE,
			     .path = {mbj_bytes_str("a"), mbj_bytes_str("a")}};
	reason_is(&op, 0, BODY_GOOD,
		  "group 7, primitive 0 (subscribe): gap: why");
	op = (struct mbj_op){.kind = MBJ_OP_MAILBOX_DELETE,
			     .id = fixture_id(5),
			     .rev = 1};
	op.from.name =
		(struct mbj_name){mbj_bytes_str("Old"), mbj_bytes_str("Old")};
	reason_is(&op, 0, BODY_GOOD,
		  "group 7, primitive 0 (mailbox-delete "
		  "00000000000000000000000000000005 \"Old\"): gap: why");
}
END_TEST

TCase *test_quarantine_case(void)
{
	TCase *tcase = tcase_create("quarantine");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, quarantine_retry_order, 0, 2);
	tcase_add_test(tcase, quarantine_retry_singly);
	tcase_add_test(tcase, quarantine_retry_size);
	tcase_add_test(tcase, quarantine_retry_bounded);
	tcase_add_test(tcase, quarantine_retry_stops);
	tcase_add_test(tcase, quarantine_retry_refused);
	tcase_add_test(tcase, quarantine_retry_nothing);
	tcase_add_test(tcase, quarantine_retry_both);
	tcase_add_test(tcase, quarantine_skip_both);
	tcase_add_test(tcase, quarantine_retry_other);
	tcase_add_test(tcase, quarantine_reason);
	return tcase;
}
