/*
 * The engine: each event in each situation, as plain values.
 */
#include <string.h>

#include "fixture.h"

/* A group that parses, naming count accounts. */
struct made {
	struct mbj_buf record;
	struct mbj_group group;
};

static void made_init(struct made *made, uint64_t lsn, uint64_t epoch,
		      uint8_t account, uint32_t count)
{
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash chain = {{0}};
	uint32_t index;

	mbj_group_writer_init(&writer);
	mbj_buf_init(&made->record, 1 << 20);
	OK(mbj_sha256_new(&sha, err));
	mbj_group_writer_begin(&writer, (struct mbj_lsn){lsn},
			       (struct mbj_epoch){epoch}, 0, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	for (uint32_t i = 0; i < count; i++)
		OK(mbj_group_writer_account(&writer,
					    fixture_id((uint8_t)(account + i)),
					    (struct mbj_lsn){0}, &index, err));
	OK(mbj_group_writer_finish(&writer, sha, &chain, &made->record, err));
	OK(mbj_group_parse(mbj_buf_view(&made->record), &made->group, err));
	mbj_sha256_free(&sha);
	mbj_group_writer_done(&writer);
}

static struct mbj_engine *engine_at(uint64_t lsn)
{
	struct mbj_engine_start start = {
		.lineage = fixture_id(9),
		.epoch = {3},
		.epoch_owner = fixture_id(8),
		.applied = {lsn},
		.applied_epoch = {lsn > 0 ? 2 : 0},
	};
	struct mbj_engine *engine = NULL;

	OK(mbj_engine_new(&start, &engine, err));
	return engine;
}

static enum mbj_action_kind offer(struct mbj_engine *engine,
				  const struct made *made, bool is_chained)
{
	struct mbj_action action;

	OK(mbj_engine_group(engine, &made->group, is_chained, &action, err));
	return action.kind;
}

static enum mbj_action_kind report(struct mbj_engine *engine,
				   const struct made *made,
				   enum mbj_verdict verdict)
{
	struct mbj_apply_report report = {.verdict = verdict};
	struct mbj_action action;

	report.why.rc = verdict == MBJ_VERDICT_APPLY ? MBJ_OK : MBJ_ECONFLICT;
	OK(mbj_engine_applied_group(engine, &made->group, &report, &action,
				    err));
	return action.kind;
}

/*
 * Goal: order and repetition are decided by LSN alone.  Method: offer the
 * groups before, at, and after the next one.
 */
START_TEST(test_order)
{
	struct mbj_engine *engine = engine_at(5);
	struct mbj_action action;
	struct made made;

	made_init(&made, 5, 3, 1, 1);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_SKIP);
	mbj_buf_done(&made.record);
	made_init(&made, 7, 3, 1, 1);
	OK(mbj_engine_group(engine, &made.group, true, &action, err));
	ck_assert_int_eq(action.kind, MBJ_ACTION_ASK);
	ck_assert_uint_eq(action.from.v, 6);
	mbj_buf_done(&made.record);
	made_init(&made, 6, 3, 1, 1);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
	ck_assert_int_eq(report(engine, &made, MBJ_VERDICT_APPLY),
			 MBJ_ACTION_DONE);
	ck_assert_uint_eq(mbj_engine_applied(engine).v, 6);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_SKIP);
	mbj_buf_done(&made.record);
	mbj_engine_free(&engine);
}
END_TEST

/*
 * Goal: a failing group costs its accounts and nobody else.  Method: a
 * conflict in a group of two accounts; groups of one, the other, a third.
 */
START_TEST(test_park)
{
	static const enum mbj_verdict bad[] = {MBJ_VERDICT_GAP,
					       MBJ_VERDICT_CONFLICT,
					       MBJ_VERDICT_CORRUPT};
	struct mbj_engine *engine = engine_at(0);
	uint64_t lsn = 1;
	struct made made;

	for (size_t i = 0; i < 3; i++) {
		uint8_t account = (uint8_t)(10 + 10 * i);

		made_init(&made, lsn++, 3, account, 2);
		ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
		ck_assert_int_eq(report(engine, &made, bad[i]),
				 MBJ_ACTION_PARK);
		mbj_buf_done(&made.record);
		ck_assert_uint_eq(mbj_engine_parked_count(engine), 2 * i + 2);
		made_init(&made, lsn++, 3, (uint8_t)(account + 1), 1);
		ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_KEEP);
		mbj_buf_done(&made.record);
		made_init(&made, lsn++, 3, 200, 1);
		ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
		ck_assert_int_eq(report(engine, &made, MBJ_VERDICT_ALREADY),
				 MBJ_ACTION_DONE);
		mbj_buf_done(&made.record);
	}
	ck_assert(!mbj_engine_is_parked(engine, fixture_id(200)));
	/* A group of a parked account and another parks both. */
	made_init(&made, lsn, 3, 31, 2);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_KEEP);
	ck_assert(mbj_engine_is_parked(engine, fixture_id(32)));
	mbj_buf_done(&made.record);
	mbj_engine_free(&engine);
}
END_TEST

/*
 * Goal: damage and impossible epochs stop the stream before anything moves.
 * Method: a broken chain, a bad body, a later epoch than the source's.
 */
START_TEST(test_refuse)
{
	struct mbj_engine *engine = engine_at(0);
	struct made made;

	made_init(&made, 1, 3, 1, 1);
	ck_assert_int_eq(offer(engine, &made, false), MBJ_ACTION_REFUSE);
	made.group.is_body_good = false;
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_REFUSE);
	mbj_buf_done(&made.record);
	made_init(&made, 1, 4, 1, 1);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_REFUSE);
	mbj_buf_done(&made.record);
	ck_assert_uint_eq(mbj_engine_applied(engine).v, 0);
	mbj_engine_free(&engine);
}
END_TEST

/*
 * Goal: from group to group the epoch never falls, though the journal's older
 * groups are of older epochs.  Method: behind a group of epoch 2, groups of
 * epochs 1, 2, 3 and 2 again; the same where nothing is applied yet.
 */
START_TEST(test_epoch)
{
	static const struct {
		uint64_t lsn;
		uint64_t epoch;
		bool is_taken;
	} groups[] = {{6, 1, false}, {6, 2, true},  {7, 1, false},
		      {7, 3, true},  {8, 2, false}, {8, 3, true}};
	struct mbj_engine *engine = engine_at(5);
	struct mbj_action action;
	struct made made;

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		made_init(&made, groups[i].lsn, groups[i].epoch, 1, 1);
		OK(mbj_engine_group(engine, &made.group, true, &action, err));
		if (groups[i].is_taken) {
			ck_assert_int_eq(action.kind, MBJ_ACTION_APPLY);
			ck_assert_int_eq(report(engine, &made,
						MBJ_VERDICT_APPLY),
					 MBJ_ACTION_DONE);
		} else {
			ck_assert_int_eq(action.kind, MBJ_ACTION_REFUSE);
			ck_assert_int_eq(action.rc, MBJ_EFENCED);
			ck_assert_uint_eq(mbj_engine_applied(engine).v,
					  groups[i].lsn - 1);
		}
		mbj_buf_done(&made.record);
	}
	mbj_engine_free(&engine);
	engine = engine_at(0);
	made_init(&made, 1, 1, 1, 1);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
	mbj_buf_done(&made.record);
	mbj_engine_free(&engine);
}
END_TEST

/*
 * Goal: a group of a later version waits for an upgrade: nobody is parked and
 * the same group is offered again.  Method: such a report.
 */
START_TEST(test_unsupported)
{
	struct mbj_apply_report report = {.verdict = MBJ_VERDICT_CONFLICT};
	struct mbj_engine *engine = engine_at(0);
	struct mbj_action action;
	struct made made;

	made_init(&made, 1, 3, 1, 1);
	mbj_error_set(&report.why, MBJ_EUNSUPPORTED, "a kind of tomorrow");
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
		OK(mbj_engine_applied_group(engine, &made.group, &report,
					    &action, err));
		ck_assert_int_eq(action.kind, MBJ_ACTION_REFUSE);
		ck_assert_int_eq(action.rc, MBJ_EUNSUPPORTED);
		ck_assert_ptr_nonnull(strstr(action.reason, "of tomorrow"));
	}
	ck_assert_uint_eq(mbj_engine_parked_count(engine), 0);
	ck_assert_uint_eq(mbj_engine_applied(engine).v, 0);
	mbj_buf_done(&made.record);
	mbj_engine_free(&engine);
}
END_TEST

/*
 * Goal: where there is no memory to note a parked account, nothing moves.
 * Method: each allocation of parking fails, for a group that fails and for
 * one of an account that is parked already together with a new one.
 */
START_TEST(test_park_no_memory)
{
	struct mbj_apply_report report = {.verdict = MBJ_VERDICT_CONFLICT};
	unsigned failures = 0;
	struct made made;

	mbj_error_set(&report.why, MBJ_ECONFLICT, "not here");
	made_init(&made, 1, 3, 10, 2);
	for (int is_keep = 0; is_keep < 2; is_keep++) {
		enum mbj_rc rc = MBJ_ENOMEM;

		for (uint64_t k = 1; rc != MBJ_OK; k++) {
			struct mbj_engine *engine = engine_at(0);
			struct mbj_action action;

			if (is_keep)
				OK(mbj_engine_park(engine, fixture_id(10),
						   err));
			else
				ck_assert_int_eq(offer(engine, &made, true),
						 MBJ_ACTION_APPLY);
			/* The first ones were made with room for more. */
			for (uint8_t i = 20; is_keep && i < 27; i++)
				OK(mbj_engine_park(engine, fixture_id(i), err));
			test_alloc_fail_at(k);
			rc = is_keep ? mbj_engine_group(engine, &made.group,
							true, &action, NULL)
				     : mbj_engine_applied_group(engine,
								&made.group,
								&report,
								&action, NULL);
			test_alloc_fail_at(0);
			failures += rc != MBJ_OK;
			ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
			ck_assert_uint_eq(mbj_engine_applied(engine).v,
					  rc == MBJ_OK);
			mbj_engine_free(&engine);
		}
	}
	ck_assert_uint_gt(failures, 2);
	mbj_buf_done(&made.record);
}
END_TEST

/*
 * Goal: only the replica's own line of primaries is followed.  Method: one
 * hello with one fact wrong at a time.
 */
START_TEST(test_hello)
{
	const struct mbj_hello good = {
		.lineage = fixture_id(9),
		.epoch = {3},
		.epoch_owner = fixture_id(8),
		.end = {5},
		.has_chain = true,
	};
	struct mbj_engine *engine = engine_at(5);
	struct mbj_action action;
	struct mbj_hello bad[5];

	for (size_t i = 0; i < 5; i++)
		bad[i] = good;
	bad[0].lineage = fixture_id(7);
	bad[1].epoch.v = 2;
	bad[2].epoch_owner = fixture_id(7);
	bad[3].end.v = 4;
	bad[4].chain_there.b[0] = 1;
	for (size_t i = 0; i < 5; i++) {
		mbj_engine_hello(engine, &bad[i], &action);
		ck_assert_int_eq(action.kind, MBJ_ACTION_REFUSE);
		ck_assert_int_eq(action.rc, MBJ_EFENCED);
		ck_assert_str_ne(action.reason, "");
	}
	mbj_engine_hello(engine, &good, &action);
	ck_assert_int_eq(action.kind, MBJ_ACTION_DONE);
	/* Nothing to compare: the first group's own chain value decides. */
	bad[4].has_chain = false;
	mbj_engine_hello(engine, &bad[4], &action);
	ck_assert_int_eq(action.kind, MBJ_ACTION_DONE);
	/* A later epoch is followed, and the earlier one then fenced off. */
	bad[0] = good;
	bad[0].epoch.v = 4;
	bad[0].epoch_owner = fixture_id(6);
	mbj_engine_hello(engine, &bad[0], &action);
	ck_assert_int_eq(action.kind, MBJ_ACTION_DONE);
	mbj_engine_hello(engine, &good, &action);
	ck_assert_int_eq(action.kind, MBJ_ACTION_REFUSE);
	mbj_engine_free(&engine);
}
END_TEST

/*
 * Goal: back at a mark the engine is as it was, and takes the same groups
 * again.  Method: a group in hand, applied, set aside, kept; each taken back,
 * and offered once more.
 */
START_TEST(test_back)
{
	struct mbj_engine *engine = engine_at(0);
	struct mbj_engine_mark mark;
	struct made made;

	made_init(&made, 1, 3, 10, 1);
	mark = mbj_engine_mark(engine);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
	mbj_engine_back(engine, &mark);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
	ck_assert_int_eq(report(engine, &made, MBJ_VERDICT_APPLY),
			 MBJ_ACTION_DONE);
	mbj_engine_back(engine, &mark);
	ck_assert_uint_eq(mbj_engine_applied(engine).v, 0);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
	ck_assert_int_eq(report(engine, &made, MBJ_VERDICT_CONFLICT),
			 MBJ_ACTION_PARK);
	mbj_buf_done(&made.record);
	/* 10 is aside before, 11 and 12 by this group. */
	mark = mbj_engine_mark(engine);
	made_init(&made, 2, 3, 10, 3);
	for (unsigned i = 0; i < 3; i++) {
		ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_KEEP);
		ck_assert_uint_eq(mbj_engine_parked_count(engine), 3);
		mbj_engine_back(engine, &mark);
		ck_assert_uint_eq(mbj_engine_applied(engine).v, 1);
		ck_assert_uint_eq(mbj_engine_parked_count(engine), 1);
		ck_assert(mbj_engine_is_parked(engine, fixture_id(10)));
		ck_assert(!mbj_engine_is_parked(engine, fixture_id(11)));
		ck_assert(!mbj_engine_is_parked(engine, fixture_id(12)));
	}
	mbj_buf_done(&made.record);
	made_init(&made, 2, 3, 11, 2);
	ck_assert_int_eq(offer(engine, &made, true), MBJ_ACTION_APPLY);
	mbj_buf_done(&made.record);
	mbj_engine_free(&engine);
}
END_TEST

/* The first, one within and the last: the table has each in its place. */
START_TEST(test_names)
{
	ck_assert_str_eq(mbj_action_name(MBJ_ACTION_SKIP), "skip");
	ck_assert_str_eq(mbj_action_name(MBJ_ACTION_PARK), "park");
	ck_assert_str_eq(mbj_action_name(MBJ_ACTION_REFUSE), "refuse");
}
END_TEST

TCase *test_engine_case(void)
{
	TCase *tcase = tcase_create("engine");

	tcase_add_test(tcase, test_order);
	tcase_add_test(tcase, test_park);
	tcase_add_test(tcase, test_refuse);
	tcase_add_test(tcase, test_epoch);
	tcase_add_test(tcase, test_unsupported);
	tcase_add_test(tcase, test_park_no_memory);
	tcase_add_test(tcase, test_hello);
	tcase_add_test(tcase, test_back);
	tcase_add_test(tcase, test_names);
	return tcase;
}
