/*
 * Damage to the state: Berkeley DB's tables and its log, after a clean close
 * and after a kill.
 */
#include <stdio.h>

#include "damage_cases.h"
#include "sample.h"

#include <mbj/replay.h>

enum {
	FLIPS_QUICK = 500,
	BURSTS_QUICK = 200,
	FLIPS_ZEROES = 20,
	LOG_TAIL = 16 << 10,
	LOG_STEP = 40,
	PAGE = STATE_PAGE_SIZE,
	SECTOR = 512,
	SHARE_SMALL = 10, /* what is small is for the long setting */
};

struct state_trial {
	struct sample sample;
	const struct sample_image *image;
	const char *name;
	size_t share; /* quick setting: one of so many flips and bursts */
	/*
	 * A kill took the parking with it, and damage of the log may take what
	 * bent the state: then it opens as the journal says.
	 */
	bool is_bend_in_log;
};

/* Open, and ask for everything. */
static enum mbj_rc content_get(struct sample *sample,
			       struct sample_content *ret_content,
			       struct mbj_store_recovery *ret_recovery,
			       struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(sample->dir, &sample->options, &store, err);
	if (rc < 0)
		return rc;
	*ret_recovery = *mbj_store_recovery_get(store);
	rc = sample_content_get(store, ret_content, err);
	mbj_store_close(&store);
	return rc;
}

/*
 * The journal is whole, so whatever became of the state, the store opens and
 * holds what it held; where that needed a new state, it says why.  Damage that
 * is met only when it is read is told, and mended by the next opening.
 */
static enum damage_outcome state_try(void *ctx, const struct damage *damage,
				     char why[DAMAGE_WHY_MAX])
{
	struct state_trial *trial = ctx;
	struct sample *sample = &trial->sample;
	struct mbj_store_recovery recovery = {.is_rebuilt = false};
	struct mbj_error err = {.rc = MBJ_OK};
	struct sample_content content;
	bool is_named = false;
	bool is_anew;
	enum mbj_rc rc;

	sample_restore(sample, trial->image, damage, (struct mbj_bytes){0});
	rc = content_get(sample, &content, &recovery, &err);
	if (rc == MBJ_ECORRUPT) {
		is_named = true;
		rc = content_get(sample, &content, &recovery, &err);
	}
	if (rc < 0)
		return damage_wrong(why, "open", &err);
	is_anew = sample_content_equal(&content, &sample->anew);
	if (recovery.is_rebuilt || trial->is_bend_in_log
		    ? !is_anew
		    : !sample_content_equal(&content, &sample->content))
		return damage_wrong(why, "other content", &err);
	if (recovery.is_rebuilt && recovery.reason[0] == '\0')
		return damage_wrong(why, "no reason", &err);
	if (is_named)
		return DAMAGE_NAMED;
	return recovery.is_rebuilt ? DAMAGE_REBUILT : DAMAGE_HARMLESS;
}

/* Each record at the end of the log, of which some are short. */
static void log_plan(struct damage_plan *plan, unsigned index,
		     const struct sample_file *file)
{
	struct damage damage = {(uint16_t)index, DAMAGE_FLIP, 1, 0, 1};
	size_t at = file->used < LOG_TAIL ? 0 : file->used - LOG_TAIL;

	if (strncmp(file->name, "state/log.", 10) != 0)
		return;
	for (; at < file->used; at += LOG_STEP) {
		damage.at = 8 * (uint64_t)at;
		damage_plan_add(plan, &damage);
	}
}

/* As it is, it needs no new state: else no damage of it would say anything. */
static void sound_check(struct state_trial *trial)
{
	struct mbj_store_recovery recovery = {.is_rebuilt = false};
	struct sample *sample = &trial->sample;
	struct sample_content content;

	sample_restore(sample, trial->image, NULL, (struct mbj_bytes){0});
	SITE_OK(content_get(sample, &content, &recovery, err));
	ck_assert_msg(recovery.is_rebuilt == trial->is_bend_in_log, "%s: %s",
		      trial->name, recovery.reason);
	ck_assert(sample_content_equal(&content, trial->is_bend_in_log
							 ? &sample->anew
							 : &sample->content));
}

/* Every bit of what there is, zeroes and all. */
static void all_plan(struct damage_plan *plan, unsigned index,
		     const struct sample_file *file, struct test_rng *rng)
{
	damage_plan_blocks(plan, index, file->n, PAGE);
	damage_plan_flips(plan, index, 0, file->n, 0, rng);
	damage_plan_bytes(plan, index, file->n, rng);
}

static void share_plan(const struct state_trial *trial,
		       struct damage_plan *plan, unsigned index,
		       const struct sample_file *file, struct test_rng *rng)
{
	size_t share = trial->share * (SAMPLE_IS_SMALL ? SHARE_SMALL : 1);

	damage_plan_blocks(plan, index, file->used, PAGE);
	damage_plan_flips(plan, index, 0, file->used, FLIPS_QUICK / share, rng);
	damage_plan_bursts(plan, index, 0, file->used, BURSTS_QUICK / share,
			   rng);
	if (damage_is_long())
		damage_plan_blocks(plan, index, file->used, SECTOR);
	if (trial->is_bend_in_log)
		log_plan(plan, index, file);
	/* A log ends in megabytes of zeroes: some of them. */
	if (file->n > file->used + PAGE)
		damage_plan_flips(plan, index, file->used, file->used + PAGE,
				  FLIPS_ZEROES, rng);
}

static void state_run(struct state_trial *trial, uint64_t seed)
{
	const char *names[DAMAGE_FILES_MAX];
	struct damage_plan plan = {.list = NULL};
	struct test_rng rng;

	sound_check(trial);
	test_rng_init(&rng, seed);
	sample_names(trial->image, names);
	for (unsigned i = 0; i < trial->image->count; i++) {
		const struct sample_file *file = &trial->image->files[i];

		if (strncmp(names[i], "state/", 6) != 0)
			continue;
		if (SAMPLE_IS_SMALL && damage_is_long())
			all_plan(&plan, i, file, &rng);
		else
			share_plan(trial, &plan, i, file, &rng);
	}
	damage_run("state", trial->name, &plan, names, state_try, trial);
	damage_plan_done(&plan);
}

/*
 * Goal: whatever happens to the files of a state that was closed, the store
 * holds what it held.  Method: bits, bursts, pages and sectors of zeroes,
 * cuts, files gone.
 */
START_TEST(state_closed)
{
	struct state_trial trial = {.name = "state_closed", .share = 1};

	sample_begin(&trial.sample, 5);
	trial.image = &trial.sample.late;
	state_run(&trial, 5);
	sample_end(&trial.sample);
}
END_TEST

/*
 * Goal: the same after a kill, when Berkeley DB has to recover first.
 * Method: the files as they were in the middle of use.
 */
START_TEST(state_killed)
{
	struct state_trial trial = {.name = "state_killed", .share = 1};

	sample_begin(&trial.sample, 6);
	trial.image = &trial.sample.live;
	state_run(&trial, 6);
	sample_end(&trial.sample);
}
END_TEST

/*
 * Goal: the same of a replica with a parked account that was closed: what was
 * parked stays so, or the state is made anew and is what the journal says, with
 * nothing parked. Method: as above.
 */
START_TEST(state_parked)
{
	struct state_trial trial = {.name = "state_parked", .share = 5};

	sample_replica_begin(&trial.sample, 9, false);
	trial.image = &trial.sample.late;
	state_run(&trial, 9);
	sample_end(&trial.sample);
}
END_TEST

/*
 * Goal: the same after a kill, when the replica's own journal has groups that
 * its state has to take once more.  Method: as above.
 */
START_TEST(state_parked_killed)
{
	struct state_trial trial = {.name = "state_parked_killed", .share = 5};

	sample_replica_begin(&trial.sample, 10, true);
	trial.image = &trial.sample.live;
	state_run(&trial, 10);
	sample_end(&trial.sample);
}
END_TEST

/*
 * Goal: the same where the kill took the parking with it, so that the state
 * contradicts its own journal: it is made anew, or what bent it was lost too
 * and the journal's groups are taken once more.  Method: as above, and each
 * record at the end of the log.
 */
START_TEST(state_parking_killed)
{
	struct state_trial trial = {.name = "state_parking_killed",
				    .share = 5,
				    .is_bend_in_log = true};

	sample_replica_begin(&trial.sample, 11, false);
	trial.image = &trial.sample.live;
	state_run(&trial, 11);
	sample_end(&trial.sample);
}
END_TEST

/* What must become of a store whose files are of two times or two stores. */
enum swap_end { SWAP_EQUAL, SWAP_REBUILT, SWAP_REFUSED };

struct swap {
	const char *what;
	struct sample_image image;
	enum swap_end end;
	const char *word; /* in the refusal */
};

static void swap_check(struct sample *sample, const struct swap *swap)
{
	struct mbj_store_recovery recovery = {.is_rebuilt = false};
	struct mbj_error error = {.rc = MBJ_OK};
	struct sample_content content;
	enum mbj_rc rc;

	sample_restore(sample, &swap->image, NULL, (struct mbj_bytes){0});
	rc = content_get(sample, &content, &recovery, &error);
	if (swap->end == SWAP_REFUSED) {
		ck_assert_msg(rc < 0, "%s: opened", swap->what);
		ck_assert_msg(strstr(error.message, swap->word) != NULL &&
				      strstr(error.message, sample->dir),
			      "%s: %s", swap->what, error.message);
		return;
	}
	ck_assert_msg(rc == MBJ_OK, "%s: %s", swap->what, error.message);
	ck_assert_msg(sample_content_equal(&content, &sample->content),
		      "%s: other content", swap->what);
	ck_assert_msg(recovery.is_rebuilt == (swap->end == SWAP_REBUILT),
		      "%s: %s", swap->what, recovery.reason);
}

/*
 * Goal: a file of another time or of another store is never taken for one of
 * ours.  Method: each kind of file, alone and with what belongs to it, from a
 * copy taken half-way and from a store with another lineage.
 */
START_TEST(state_swapped)
{
	static struct sample ours;
	static struct sample other;
	const struct sample_image *late = &ours.late;

	sample_begin(&ours, 7);
	sample_begin(&other, 8);
	const struct swap swaps[] = {
		{"old state", sample_mix(late, "state/", &ours.early),
		 SWAP_EQUAL, NULL},
		{"old tables", sample_mix(late, "state/state.db", &ours.early),
		 SWAP_REBUILT, NULL},
		{"old log", sample_mix(late, "state/log", &ours.early),
		 SWAP_REBUILT, NULL},
		{"old seal", sample_mix(late, "state/seal", &ours.early),
		 SWAP_REBUILT, NULL},
		{"old mark", sample_mix(late, "journal/pub", &ours.early),
		 SWAP_EQUAL, NULL},
		{"old journal", sample_mix(late, "journal/", &ours.early),
		 SWAP_REFUSED, "journal"},
		{"their tables",
		 sample_mix(late, "state/state.db", &other.late), SWAP_REBUILT,
		 NULL},
		{"their state", sample_mix(late, "state/", &other.late),
		 SWAP_REFUSED, "lineage"},
		{"their journal", sample_mix(late, "journal/0", &other.late),
		 SWAP_REFUSED, "lineage"},
		{"their mark", sample_mix(late, "journal/pub", &other.late),
		 SWAP_REFUSED, "chain value"},
		{"their superblock", sample_mix(late, "mbj.store", &other.late),
		 SWAP_REFUSED, "lineage"},
	};

	for (size_t i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++)
		swap_check(&ours, &swaps[i]);
	sample_end(&ours);
	sample_end(&other);
}
END_TEST

TCase *test_state_case(void)
{
	TCase *tc = tcase_create("state");

	tcase_set_timeout(tc, 360000);
	tcase_add_test(tc, state_closed);
	tcase_add_test(tc, state_killed);
	tcase_add_test(tc, state_parked);
	tcase_add_test(tc, state_parked_killed);
	tcase_add_test(tc, state_parking_killed);
	tcase_add_test(tc, state_swapped);
	return tc;
}
