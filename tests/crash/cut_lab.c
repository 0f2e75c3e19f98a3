/*
 * The laboratory of power cuts: running a workload, cutting at its steps,
 * and saying how to repeat what failed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/backup.h>

#include "cut_lab.h"

enum { DEEP_ODDS = 16 };

static void side_init(struct cut_lab *lab, struct cut_side *side,
		      const char *name, enum mbj_store_role role)
{
	memset(side, 0, sizeof(*side));
	side->name = name;
	side->role = role;
	(void)snprintf(side->dir, sizeof(side->dir), "%.900s/%s", lab->root,
		       name);
}

/* Everything small, so that rotation, checkpoints and eviction happen. */
static struct mbj_store_options options_small(void)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;

	options.state.cache_size = 96u << 10;
	options.state.log_file_size = 64u << 10;
	options.state.checkpoint_log_size = 32u << 10;
	options.state.records_cached_max = 16;
	options.log.segment_size = 4u << 10;
	options.log.reserve_max = 2u << 10;
	return options;
}

void cut_lab_init(struct cut_lab *lab, uint64_t seed)
{
	memset(lab, 0, sizeof(*lab));
	lab->root = test_tmpdir_new();
	lab->options = options_small();
	lab->seed = seed;
	lab->rounds = 1;
	lab->step_odds = 1;
	lab->again_odds = 128;
	lab->live = disk_new(lab->root, 0);
	lab->first = disk_new(lab->root, 0);
	lab->second = disk_new(lab->root, 0);
	lab->third = disk_new(lab->root, 0);
}

void cut_lab_done(struct cut_lab *lab)
{
	(void)disk_db_use(NULL);
	disk_free(&lab->live);
	disk_free(&lab->first);
	disk_free(&lab->second);
	disk_free(&lab->third);
	test_tmpdir_free(&lab->root);
}

/* -------------------------------------------------------------- cutting */

/* The same for the same place in the same workload, whatever else is tried. */
static uint64_t place_seed(const struct cut_lab *lab, bool is_again)
{
	const struct cut_place *place = &lab->place;
	uint64_t parts[] = {lab->seed,
			    place->step,
			    place->kind,
			    place->round,
			    is_again ? place->again : 0,
			    is_again ? place->again_kind : 0};
	uint64_t seed = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		struct test_rng rng;

		test_rng_init(&rng, seed ^ parts[i]);
		seed = test_rng_next(&rng);
	}
	return seed;
}

static bool kind_draws(enum disk_cut_kind kind)
{
	return kind == DISK_CUT_PREFIX || kind == DISK_CUT_TORN_512 ||
	       kind == DISK_CUT_TORN_4096 || kind == DISK_CUT_REORDERED;
}

/* One state is repeated: show what is done, where that is wanted. */
static void trace_print(const struct cut_lab *lab, const char *who,
			const struct disk *disk, enum disk_call call,
			const char *path)
{
	if (lab->only != NULL && getenv("MBJ_CUT_TRACE") != NULL)
		printf("%s %" PRIu64 ": %s %s\n", who, disk_step(disk),
		       disk_call_name(call), path);
}

/* During a recovery: power fails again. */
static void again_watch(void *context, struct disk *disk, enum disk_call call,
			const char *path)
{
	struct cut_lab *lab = context;
	const struct cut_place *only = lab->only;
	struct disk_choice choice = {.fates = NULL};
	bool is_right;

	/* A failure names the place that was tried last. */
	if (lab->why[0] != '\0')
		return;
	lab->place.again = disk_step(disk);
	trace_print(lab, "recovery", disk, call, path);
	if (only != NULL && only->again != lab->place.again)
		return;
	if (only == NULL && !test_rng_chance(&lab->draws, 1, lab->again_odds))
		return;
	lab->place.again_kind =
		only != NULL
			? only->again_kind
			: (enum disk_cut_kind)test_rng_below(&lab->draws,
							     DISK_CUT_COUNT);
	disk_choose(disk, lab->place.again_kind, place_seed(lab, true),
		    &choice);
	disk_cut(lab->second, disk, lab->place.again_kind, &choice);
	disk_choice_done(&choice);
	disk_watch(lab->second, NULL, NULL);
	lab->counts.again++;
	is_right = cut_check(lab, lab->second,
			     test_rng_chance(&lab->draws, 1, DEEP_ODDS));
	ck_assert(is_right || lab->why[0] != '\0');
}

/* One state; false where something is wrong. */
static bool state_check(struct cut_lab *lab, const struct disk_choice *choice)
{
	bool is_deep = test_rng_chance(&lab->draws, 1, DEEP_ODDS);

	lab->why[0] = '\0';
	lab->place.again = 0;
	disk_cut(lab->first, lab->live, lab->place.kind, choice);
	if (lab->only == NULL || lab->only->again > 0 ||
	    getenv("MBJ_CUT_TRACE"))
		disk_watch(lab->first, again_watch, lab);
	else
		disk_watch(lab->first, NULL, NULL);
	lab->counts.states++;
	/* What was found after a second cut stands in lab->why alone. */
	return cut_check(lab, lab->first, is_deep || lab->only != NULL) &&
	       lab->why[0] == '\0';
}

/* Keep one lost unit after another for as long as it still fails. */
static void choice_minimise(struct cut_lab *lab, struct disk_choice *choice)
{
	struct cut_place place = lab->place;
	struct cut_place only = place;
	char why[sizeof(lab->why)];

	if (place.kind == DISK_CUT_KILL)
		return;
	memcpy(why, lab->why, sizeof(why));
	only.again = 0;
	lab->only = &only;
	for (size_t i = choice->count; place.again == 0 && i-- > 0;) {
		uint8_t fate = choice->fates[i];

		if (fate == DISK_KEPT)
			continue;
		choice->fates[i] = DISK_KEPT;
		lab->place = place;
		if (state_check(lab, choice))
			choice->fates[i] = fate;
	}
	memcpy(lab->why, why, sizeof(why));
	lab->place = place;
}

static void failure_report(struct cut_lab *lab, struct disk_choice *choice)
{
	const struct cut_place *place = &lab->place;
	char unit[256];
	size_t shown = 0;

	printf("power cut: %s\n", lab->why);
	choice_minimise(lab, choice);
	for (size_t i = 0; i < choice->count && place->kind != DISK_CUT_KILL;
	     i++) {
		if (choice->fates[i] == DISK_KEPT || shown++ > 20)
			continue;
		disk_unit_print(lab->live, i, unit, sizeof(unit));
		printf("  %s: %s\n",
		       choice->fates[i] == DISK_LOST ? "lost" : "zeroed", unit);
	}
	printf("repeat with: MBJ_SEED=0x%" PRIx64 " MBJ_CUT=%s:%" PRIu64
	       ":%s:%u",
	       lab->seed, lab->work->name, place->step,
	       disk_cut_name(place->kind), place->round);
	if (place->again > 0)
		printf(":%" PRIu64 ":%s", place->again,
		       disk_cut_name(place->again_kind));
	printf(" CK_RUN_CASE=cut test_cut\n");
	fflush(stdout);
	ck_abort_msg("%s at step %" PRIu64 ": %s", lab->work->name, place->step,
		     lab->why);
}

/* The same bytes as one of the choices before, at this step. */
static bool choice_is_known(const struct disk_choice *choice, uint64_t *seen,
			    size_t *count)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < choice->count; i++)
		hash = (hash ^ choice->fates[i]) * UINT64_C(0x100000001b3);
	for (size_t i = 0; i < *count; i++) {
		if (seen[i] == hash)
			return true;
	}
	seen[(*count)++] = hash;
	return false;
}

/* After each step of the workload. */
static void live_watch(void *context, struct disk *disk, enum disk_call call,
		       const char *path)
{
	struct cut_lab *lab = context;
	const struct cut_place *only = lab->only;
	struct disk_choice choice = {.fates = NULL};
	uint64_t seen[DISK_CUT_COUNT * 64];
	size_t seen_count = 0;

	lab->counts.steps++;
	if (only != NULL)
		trace_print(lab, lab->work->name, disk, call, path);
	lab->place.step = disk_step(disk);
	if (only != NULL ? only->step != lab->place.step
			 : !test_rng_chance(&lab->draws, 1, lab->step_odds))
		return;
	for (int kind = 0; kind < DISK_CUT_COUNT; kind++) {
		lab->place.kind = (enum disk_cut_kind)kind;
		for (unsigned round = 0;
		     round < (kind_draws(lab->place.kind) ? lab->rounds : 1);
		     round++) {
			lab->place.round = round;
			if (only != NULL && (only->kind != lab->place.kind ||
					     only->round != round))
				continue;
			disk_choose(disk, lab->place.kind,
				    place_seed(lab, false), &choice);
			if (kind != DISK_CUT_KILL &&
			    choice_is_known(&choice, seen, &seen_count))
				continue;
			if (!state_check(lab, &choice))
				failure_report(lab, &choice);
		}
	}
	disk_choice_done(&choice);
}

static void work_pass(struct cut_lab *lab, const struct cut_work *work,
		      bool is_learning)
{
	lab->is_learning = is_learning;
	lab->is_prepared = false;
	disk_free(&lab->live);
	lab->live = disk_new(lab->root, 0);
	lab->options.sys = disk_sys(lab->live);
	(void)disk_db_use(lab->live);
	for (int i = 0; i < 2; i++) {
		struct cut_side *side = i ? &lab->replica : &lab->primary;

		side->store = NULL;
		side->is_tried = false;
		side->is_promised = false;
		side->is_quiet = false;
		side->is_backup = false;
		side->is_restored = false;
		side->is_promoted = false;
		side->marked = 0;
		side->acked = 0;
		side->tried = 0;
	}
	if (work->prepare != NULL)
		work->prepare(lab);
	lab->is_prepared = true;
	if (!is_learning)
		disk_watch(lab->live, live_watch, lab);
	work->run(lab);
	cut_close(lab, &lab->primary);
	cut_close(lab, &lab->replica);
	disk_watch(lab->live, NULL, NULL);
}

void cut_work_run(struct cut_lab *lab, const struct cut_work *work)
{
	lab->work = work;
	lab->options.contents_level = work->contents_level;
	test_rng_init(&lab->draws, lab->seed);
	side_init(lab, &lab->primary, "primary", MBJ_STORE_PRIMARY);
	side_init(lab, &lab->replica, "replica", MBJ_STORE_REPLICA);
	work_pass(lab, work, true);
	work_pass(lab, work, false);
}

/* ---------------------------------------------------- used by workloads */

static bool truth_equal(const struct cut_truth *a, const struct cut_truth *b)
{
	return a->is_known == b->is_known && a->parked == b->parked &&
	       a->messages == b->messages && a->message_sum == b->message_sum &&
	       memcmp(a->chain.b, b->chain.b, sizeof(a->chain.b)) == 0 &&
	       mbj_digest_equal(&a->digest, &b->digest);
}

/*
 * Read what the store holds: to learn it, or to see that the second run is the
 * first one again (reading draws random numbers, so both must read).
 */
static void truth_note(struct cut_lab *lab, struct cut_side *side)
{
	uint64_t lsn = mbj_store_end(side->store).lsn.v;
	struct cut_truth truth = {.is_known = false};

	ck_assert_uint_lt(lsn, CUT_LSN_MAX);
	SITE_OK(cut_truth_read(side->store, &truth, err));
	if (lab->is_learning)
		side->truth[lsn] = truth;
	/* What is prepared may be bent behind the journal's back. */
	if (lab->is_prepared)
		ck_assert(truth_equal(&side->truth[lsn], &truth));
	/* A replica's groups are its primary's, and so is what they imply. */
	if (side == &lab->primary && !lab->replica.truth[lsn].is_known)
		lab->replica.truth[lsn] = truth;
}

void cut_init(struct cut_lab *lab, struct cut_side *side)
{
	side->is_tried = true;
	SITE_OK(mbj_store_init(side->dir, side->role, &lab->options, err));
	side->is_promised = true;
}

void cut_open(struct cut_lab *lab, struct cut_side *side)
{
	SITE_OK(mbj_replica_open(side->dir, &lab->options, &side->store, err));
	truth_note(lab, side);
	cut_content_log(lab, side);
}

void cut_close(struct cut_lab *lab, struct cut_side *side)
{
	(void)lab;
	mbj_store_close(&side->store);
}

void cut_edit_begin(struct cut_lab *lab)
{
	lab->primary.tried = lab->primary.acked + 1;
}

void cut_edit_end(struct cut_lab *lab)
{
	struct cut_side *side = &lab->primary;

	side->acked = mbj_store_end(side->store).lsn.v;
	ck_assert_uint_eq(side->acked, side->tried);
	truth_note(lab, side);
}

static uint64_t replay_once(struct cut_lab *lab, uint64_t until, uint32_t batch)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;

	options.until.v = until;
	options.batch_groups_max = batch;
	SITE_OK(mbj_replay_journal(lab->replica.store, lab->primary.dir,
				   &options, &result, err));
	return result.applied.v;
}

void cut_replay(struct cut_lab *lab, uint64_t until, uint32_t batch)
{
	struct cut_side *side = &lab->replica;

	if (until == 0)
		until = lab->primary.acked;
	side->tried = until;
	/* The truth is that of one group after another. */
	while (lab->is_learning && side->acked < until) {
		side->acked = replay_once(lab, side->acked + 1, 1);
		truth_note(lab, side);
	}
	side->acked = replay_once(lab, until, batch);
	truth_note(lab, side);
	ck_assert_uint_eq(side->acked, until);
}

enum mbj_rc cut_restore(const struct cut_lab *lab, const char *dir,
			const struct mbj_store_options *options,
			struct mbj_error *err)
{
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_result result;

	restore.store = options;
	if (lab->replica.is_promoted)
		restore.role = MBJ_STORE_PRIMARY;
	return mbj_restore(lab->backup, dir, &restore, &result, err);
}

enum mbj_rc cut_seed(const struct cut_lab *lab, const char *dir,
		     const struct mbj_store_options *options,
		     struct mbj_error *err)
{
	struct mbj_lsn lsn;

	return mbj_replica_init(dir, lab->primary.dir, options, &lsn, err);
}
