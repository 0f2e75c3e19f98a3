/*
 * The mission's own fuzzer: bytes are a script (script.h) of compound edits,
 * deliveries, crashes; play.h says what must hold.
 *
 * Here the records are kept by states alone, on the engine in memory, within
 * one transaction a side that is never committed: a run costs what its steps
 * cost.  A crash of a replica takes it back to where an earlier commit was, a
 * crash of the primary makes it forget its last edit, and another may take its
 * place, which begins an epoch.  Whole stores, with
 * their files, are fuzz_store's.
 *
 * The states are made once and begin each run as they were.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/apply.h>
#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/engine.h>
#include <mbj/group.h>

#include "disk.h"
#include "edit_run.h"
#include "fuzz.h"
#include "mend.h"
#include "play.h"

enum { FIRST_LSN = 1, FIRST_EPOCH = 2, RECORDS_MAX = 1 << 20 };
enum { GROUP_OFFSET_EPOCH = 24, GROUP_OFFSET_TIME = 32 };

/* What one run needs of one side. */
struct side {
	struct mbj_txn *txn;
	struct mbj_engine *engine;	     /* a replica's */
	size_t savepoints[PLAY_LSN_MAX + 2]; /* by the LSN applied */
};

struct site {
	struct disk *disk;
	struct mbj_state *states[PLAY_SIDES];
	struct mbj_sha256 *sha;
	struct mbj_arena *arena;
	struct mbj_group_writer writer;
	struct mbj_id lineage;
	struct mbj_hash first_chain;
	struct mbj_id account;
	/* Of the run. */
	struct side sides[PLAY_SIDES];
	struct mbj_buf records;
	size_t ends[PLAY_LSN_MAX + 2]; /* of each group in records */
	struct mbj_hash chains[PLAY_LSN_MAX + 2];
	uint64_t epochs[PLAY_LSN_MAX + 2];
	uint64_t epoch; /* the primary's */
	bool is_next_lost;
};

static struct site *site_of(struct play *play)
{
	return play->context;
}

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

static struct mbj_bytes record_of(const struct site *site, uint64_t lsn)
{
	size_t begin = site->ends[lsn - 1];

	return mbj_bytes_make(site->records.p + begin, site->ends[lsn] - begin);
}

/* -------------------------------------------------------------- primary */

static enum mbj_rc edit_carry_out(struct site *site, struct mbj_txn *txn,
				  uint64_t lsn, const struct mbj_edit *edit,
				  struct mbj_hash *chain,
				  struct mbj_outcome *outcome,
				  struct mbj_error *err)
{
	struct edit_context context = {
		.sys = disk_sys(site->disk),
		.txn = txn,
		.sha = site->sha,
		.writer = &site->writer,
		.arena = site->arena,
		.lsn = {lsn},
		.epoch = {site->epoch},
		.time_us = 1,
		.chain = *chain,
	};
	enum mbj_rc rc;

	mbj_arena_reset(site->arena);
	rc = edit_run(&context, edit, &site->records, outcome, err);
	*chain = context.chain;
	return rc;
}

static enum mbj_rc site_submit(struct play *play, const struct mbj_edit *edit,
			       bool *ret_is_lost, struct mbj_outcome *outcome,
			       struct mbj_error *err)
{
	struct site *site = site_of(play);
	struct mbj_txn *txn = site->sides[PLAY_PRIMARY].txn;
	struct mbj_hash chain = site->chains[play->lsn];
	size_t savepoint = mbj_txn_savepoint(txn);
	uint64_t lsn = play->lsn + 1;
	size_t before = site->records.n;
	enum mbj_rc rc;

	rc = edit_carry_out(site, txn, lsn, edit, &chain, outcome, err);
	if (rc < 0 || site->records.n == before)
		return rc;
	if (site->is_next_lost) {
		site->is_next_lost = false;
		mbj_txn_rollback(txn, savepoint);
		site->records.n = before;
		*ret_is_lost = true;
		return rc;
	}
	site->chains[lsn] = chain;
	site->epochs[lsn] = site->epoch;
	site->ends[lsn] = site->records.n;
	play->record = record_of(site, lsn);
	return rc;
}

/* ------------------------------------------------------------- replicas */

static uint64_t site_applied(struct play *play, int side)
{
	return mbj_engine_applied(site_of(play)->sides[side].engine).v;
}

/* Each epoch is another store's reign. */
static struct mbj_id owner_of(uint64_t epoch)
{
	return (struct mbj_id){{1, (uint8_t)epoch}};
}

static void engine_begin(struct site *site, struct side *side, uint64_t lsn)
{
	const struct mbj_engine_start start = {
		.lineage = site->lineage,
		.epoch = {site->epochs[lsn]},
		.epoch_owner = owner_of(site->epochs[lsn]),
		.applied = {lsn},
		.chain = site->chains[lsn],
		.applied_epoch = {site->epochs[lsn]},
	};

	mbj_engine_free(&side->engine);
	OK(mbj_engine_new(&start, &side->engine, NULL));
}

static struct side *side_begin(struct site *site, int number)
{
	struct side *side = &site->sides[number];

	if (side->txn != NULL)
		return side;
	OK(mbj_txn_begin(site->states[number], &side->txn, NULL));
	engine_begin(site, side, FIRST_LSN);
	side->savepoints[FIRST_LSN] = mbj_txn_savepoint(side->txn);
	return side;
}

/* One record as it came; what the engine says of it is done. */
static enum mbj_action_kind record_take(struct play *play, struct side *side,
					struct mbj_bytes record)
{
	struct site *site = site_of(play);
	uint64_t applied = mbj_engine_applied(side->engine).v;
	struct mbj_apply_report report;
	struct mbj_action action;
	struct mbj_group group;
	struct mbj_error err;
	bool is_chained;

	if (mbj_group_parse(record, &group, &err) < 0 ||
	    mbj_group_check(&group, &err) < 0)
		return MBJ_ACTION_REFUSE;
	is_chained =
		group.is_body_good &&
		mbj_group_chain_check(&group, site->sha, &site->chains[applied],
				      NULL) == MBJ_OK;
	OK(mbj_engine_group(side->engine, &group, is_chained, &action, &err));
	if (action.kind != MBJ_ACTION_APPLY)
		return action.kind;
	OK(mbj_apply_group(side->txn, &group, &report, &err));
	OK(mbj_engine_applied_group(side->engine, &group, &report, &action,
				    &err));
	play_check(play, action.kind == MBJ_ACTION_DONE, "group %llu: %s",
		   (unsigned long long)group.header.lsn.v, action.reason);
	side->savepoints[group.header.lsn.v] = mbj_txn_savepoint(side->txn);
	FUZZ_CANARY(report.applied > 3);
	return action.kind;
}

/* The primary says who it is, which is how a replica learns of a takeover. */
static void primary_hear(struct play *play, struct side *side)
{
	const struct site *site = site_of(play);
	uint64_t applied = mbj_engine_applied(side->engine).v;
	const struct mbj_hello hello = {
		.lineage = site->lineage,
		.epoch = {site->epoch},
		.epoch_owner = owner_of(site->epoch),
		.end = {play->lsn},
		.has_chain = true,
		.chain_there = site->chains[applied],
	};
	struct mbj_action action;

	mbj_engine_hello(side->engine, &hello, &action);
	play_check(play, action.kind == MBJ_ACTION_DONE,
		   "the primary is not heard: %s", action.reason);
}

/* In order, up to the given group. */
static void groups_take(struct play *play, int number, uint64_t until)
{
	struct side *side = side_begin(site_of(play), number);

	primary_hear(play, side);
	for (uint64_t lsn = mbj_engine_applied(side->engine).v + 1;
	     lsn <= until; lsn++)
		play_check(play,
			   record_take(play, side,
				       record_of(site_of(play), lsn)) ==
				   MBJ_ACTION_DONE,
			   "group %llu is not taken", (unsigned long long)lsn);
}

/* Late, twice, or out of turn. */
static void group_take_alone(struct play *play, struct side *side, uint64_t lsn)
{
	uint64_t applied = mbj_engine_applied(side->engine).v;
	enum mbj_action_kind got;
	enum mbj_action_kind expected = lsn <= applied	     ? MBJ_ACTION_SKIP
					: lsn == applied + 1 ? MBJ_ACTION_DONE
							     : MBJ_ACTION_ASK;

	primary_hear(play, side);
	got = record_take(play, side, record_of(site_of(play), lsn));
	play_check(play, got == expected, "group %llu after %llu: %s, not %s",
		   (unsigned long long)lsn, (unsigned long long)applied,
		   mbj_action_name(got), mbj_action_name(expected));
}

/* Cut short, or with one bit flipped: never applied. */
static void group_take_damaged(struct play *play, struct side *side,
			       uint64_t lsn, const struct script_step *step,
			       bool is_cut)
{
	struct mbj_bytes record = record_of(site_of(play), lsn);
	uint64_t applied = mbj_engine_applied(side->engine).v;
	size_t at = (step->a * 256u + step->b * 37u + step->c) % record.n;
	uint8_t *copy = malloc(record.n);

	if (copy == NULL)
		abort();
	memcpy(copy, record.p, record.n);
	copy[at] ^= (uint8_t)(1u << step->c % 8);
	(void)record_take(play, side,
			  mbj_bytes_make(copy, is_cut ? at : record.n));
	free(copy);
	play_check(play, mbj_engine_applied(side->engine).v == applied,
		   "a damaged group %llu was applied", (unsigned long long)lsn);
}

/*
 * A group of another history, with checksums that are right: written by a
 * primary that was replaced, or by one that is yet to come, half of them with
 * a chain value that follows; or at another time, with one that does not.
 */
static struct mbj_bytes group_forge(const struct site *site, uint64_t lsn,
				    uint8_t how, uint8_t *copy)
{
	struct mbj_bytes record = record_of(site, lsn);
	struct mbj_hash chain = site->chains[lsn - 1];
	bool is_other_epoch = (how & 0x20) == 0;
	bool is_chained = is_other_epoch && (how & 0x40) != 0;

	memcpy(copy, record.p, record.n);
	if (is_other_epoch)
		mbj_store_u64(copy + GROUP_OFFSET_EPOCH,
			      how < 0x80 ? site->epochs[lsn - 1] - 1
					 : site->epoch + 1);
	else
		mbj_store_u64(copy + GROUP_OFFSET_TIME, how);
	MBJ_ASSERT(mend_group(copy, record.n, is_chained ? chain.b : NULL) ==
		   record.n);
	return mbj_bytes_make(copy, record.n);
}

/* Known already, out of turn, or refused, and all as it was. */
static void group_take_forged(struct play *play, struct side *side,
			      uint64_t lsn, uint8_t how)
{
	const struct site *site = site_of(play);
	uint64_t applied = mbj_engine_applied(side->engine).v;
	size_t savepoint = mbj_txn_savepoint(side->txn);
	uint8_t *copy = malloc(record_of(site, lsn).n);
	enum mbj_action_kind got;

	if (copy == NULL)
		abort();
	primary_hear(play, side);
	got = record_take(play, side, group_forge(site, lsn, how, copy));
	free(copy);
	play_check(play,
		   got == (lsn <= applied	? MBJ_ACTION_SKIP
			   : lsn == applied + 1 ? MBJ_ACTION_REFUSE
						: MBJ_ACTION_ASK),
		   "group %llu, forged, after group %llu: %s",
		   (unsigned long long)lsn, (unsigned long long)applied,
		   mbj_action_name(got));
	play_check(play,
		   mbj_engine_applied(side->engine).v == applied &&
			   mbj_txn_savepoint(side->txn) == savepoint,
		   "group %llu, forged, left a trace", (unsigned long long)lsn);
}

/* A source of an earlier epoch, a rival, a stranger: never heard. */
static void stranger_refuse(struct play *play, struct side *side, uint8_t which)
{
	const struct site *site = site_of(play);
	struct mbj_lsn applied = mbj_engine_applied(side->engine);
	struct mbj_hello hello = {
		.lineage = site->lineage,
		.epoch = {site->epoch - (which % 3 == 0)},
		.epoch_owner = owner_of(site->epoch + (which % 3 == 1)),
		.end = {which % 3 == 2 ? applied.v - 1 : play->lsn},
	};
	struct mbj_action action;

	primary_hear(play, side);
	mbj_engine_hello(side->engine, &hello, &action);
	play_check(play, action.kind == MBJ_ACTION_REFUSE,
		   "a stranger is heard");
}

static void site_deliver(struct play *play, const struct script_step *step)
{
	int number = 1 + step->a % PLAY_REPLICAS;
	struct side *side = side_begin(site_of(play), number);
	uint64_t lsn = FIRST_LSN;

	if (play->lsn > FIRST_LSN)
		lsn += 1 + step->b % (play->lsn - FIRST_LSN);
	play_say(play, "deliver to replica %d, group %llu, way %d", number,
		 (unsigned long long)lsn, step->c % 8);
	switch (step->c % 8) {
	case 0:
		groups_take(play, number, play->lsn);
		break;
	case 1:
		groups_take(play, number, lsn);
		break;
	case 2:
	case 3:
		if (lsn > FIRST_LSN)
			group_take_alone(play, side, lsn);
		break;
	case 4:
	case 5:
		if (lsn > FIRST_LSN)
			group_take_damaged(play, side, lsn, step,
					   step->c % 8 == 4);
		break;
	case 6:
		if (lsn > FIRST_LSN)
			group_take_forged(play, side, lsn, step->c);
		break;
	default:
		stranger_refuse(play, side, step->b);
		break;
	}
}

/* Back to an earlier commit, as after a crash without a checkpoint. */
static void site_crash(struct play *play, const struct script_step *step)
{
	struct site *site = site_of(play);
	int number = step->a % PLAY_SIDES;
	struct side *side = &site->sides[number];
	uint64_t lsn;

	if (number == PLAY_PRIMARY) {
		/* Another store may take over before the next edit. */
		site->epoch += step->c >= 0x80;
		site->is_next_lost = step->c < 0xc0;
		play_say(play, "the primary %s, epoch %llu",
			 site->is_next_lost ? "will crash" : "is replaced",
			 (unsigned long long)site->epoch);
		return;
	}
	if (side->txn == NULL)
		return;
	lsn = mbj_engine_applied(side->engine).v;
	lsn = FIRST_LSN + step->b % (lsn - FIRST_LSN + 1);
	play_say(play, "replica %d crashes, and is at group %llu", number,
		 (unsigned long long)lsn);
	mbj_txn_rollback(side->txn, side->savepoints[lsn]);
	engine_begin(site, side, lsn);
}

static void site_catch_up(struct play *play, int side)
{
	groups_take(play, side, play->lsn);
}

static struct mbj_txn *site_look(struct play *play, int side)
{
	return site_of(play)->sides[side].txn;
}

static void site_looked(struct play *play, int side, struct mbj_txn **txn)
{
	(void)play;
	(void)side;
	*txn = NULL;
}

/* ----------------------------------------------------------------- runs */

/* The account, on every side, by the same group. */
static void site_import(struct site *site)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_hash chain = {{0}};
	struct mbj_change changes[16];
	struct mbj_apply_report report;
	struct mbj_txn *txn = NULL;
	struct mbj_group group;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(PLAY_ACCOUNT);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = play_first_tree(changes);
	OK(mbj_txn_begin(site->states[PLAY_PRIMARY], &txn, NULL));
	OK(edit_carry_out(site, txn, FIRST_LSN, &edit, &chain, &outcome, NULL));
	OK(mbj_txn_commit(&txn, NULL));
	site->account = outcome.account;
	site->first_chain = chain;
	mbj_outcome_done(&outcome);
	OK(mbj_group_parse(mbj_buf_view(&site->records), &group, NULL));
	for (int side = 1; side < PLAY_SIDES; side++) {
		OK(mbj_txn_begin(site->states[side], &txn, NULL));
		OK(mbj_apply_group(txn, &group, &report, NULL));
		MBJ_ASSERT(report.verdict == MBJ_VERDICT_APPLY);
		OK(mbj_txn_commit(&txn, NULL));
	}
}

static struct site *site_new(void)
{
	static const char *const homes[PLAY_SIDES] = {"p", "q", "r"};
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct site *site = calloc(1, sizeof(*site));

	if (site == NULL)
		abort();
	options.engine = MBJ_STATE_MEMORY;
	site->disk = disk_new();
	site->lineage.b[0] = 0xed;
	site->epoch = FIRST_EPOCH;
	for (int side = 0; side < PLAY_SIDES; side++)
		OK(mbj_state_open(disk_sys(site->disk), homes[side],
				  site->lineage, &options, &site->states[side],
				  NULL));
	OK(mbj_sha256_new(&site->sha, NULL));
	OK(mbj_arena_new(64u << 20, &site->arena, NULL));
	mbj_group_writer_init(&site->writer);
	mbj_buf_init(&site->records, RECORDS_MAX);
	site_import(site);
	return site;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct play_site calls = {
		.submit = site_submit,
		.deliver = site_deliver,
		.crash = site_crash,
		.catch_up = site_catch_up,
		.look = site_look,
		.looked = site_looked,
		.applied = site_applied,
	};
	static struct site *site; /* made once, the same for each run */
	static struct play play;

	if (size > SCRIPT_STEPS_MAX * SCRIPT_STEP_SIZE)
		return 0;
	if (site == NULL)
		site = site_new();
	disk_seed(site->disk, 1);
	mbj_buf_clear(&site->records);
	site->is_next_lost = false;
	site->epoch = FIRST_EPOCH;
	site->epochs[FIRST_LSN] = FIRST_EPOCH;
	site->chains[FIRST_LSN] = site->first_chain;
	site->ends[FIRST_LSN] = 0;
	OK(mbj_txn_begin(site->states[PLAY_PRIMARY],
			 &site->sides[PLAY_PRIMARY].txn, NULL));
	play.site = &calls;
	play.context = site;
	play.is_verbose = fuzz_is_verbose();
	play.account = site->account;
	play.lsn = FIRST_LSN;
	play_script(&play, data, size);
	for (int side = 0; side < PLAY_SIDES; side++) {
		mbj_txn_abort(&site->sides[side].txn);
		mbj_engine_free(&site->sides[side].engine);
	}
	return 0;
}
