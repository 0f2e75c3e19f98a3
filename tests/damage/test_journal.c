/*
 * Damage to the journal's files, with and without Berkeley DB beside them.
 */
#include <stdio.h>

#include "damage_cases.h"
#include "sample.h"

#include <mbj/replay.h>

enum { BURSTS_QUICK = 2000, WHOLE_QUICK = 60, BLOCK = 512 };

/* A failure names the place: the directory at least, and what is wrong. */
static bool error_names(const struct sample *sample,
			const struct mbj_error *err)
{
	return (err->rc == MBJ_ECORRUPT || err->rc == MBJ_EFENCED ||
		err->rc == MBJ_EUNSUPPORTED || err->rc == MBJ_ENOTFOUND) &&
	       strstr(err->message, sample->dir) != NULL;
}

struct log_trial {
	struct sample sample;
	struct sample_image files; /* the journal's */
};

/* A flip before the zeroes that end a segment; the mark is only a hint. */
static bool is_in_use(const struct sample_image *files,
		      const struct damage *damage)
{
	const struct sample_file *file = &files->files[damage->file];

	return damage->kind <= DAMAGE_BURST &&
	       strstr(file->name, ".seg") != NULL &&
	       damage->at / 8 < file->used;
}

/*
 * The journal alone: the opening that writes, then a reader of everything.
 * What the state would know is its watermark: the end was durable.
 */
static enum damage_outcome log_try(void *ctx, const struct damage *damage,
				   char why[DAMAGE_WHY_MAX])
{
	struct log_trial *trial = ctx;
	struct sample *sample = &trial->sample;
	const struct mbj_log_end *end = &sample->content.end;
	const struct mbj_identity *id = &sample->identity;
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_log *log = NULL;
	struct mbj_log_end found;
	bool is_same = false;
	enum mbj_rc rc;

	sample_restore(sample, &trial->files, damage, (struct mbj_bytes){0});
	rc = mbj_log_open(disk_sys(sample->disk), sample->journal_dir,
			  id->lineage, &id->anchor, end->lsn,
			  &sample->options.log, &log, &err);
	if (rc < 0)
		return error_names(sample, &err)
			       ? DAMAGE_NAMED
			       : damage_wrong(why, "open", &err);
	found = mbj_log_end_get(log);
	mbj_log_close(&log);
	if (found.lsn.v != end->lsn.v ||
	    memcmp(found.chain.b, end->chain.b, MBJ_HASH_SIZE) != 0)
		return damage_wrong(why, "another end", &err);
	rc = sample_journal_read(sample, true, &is_same, &err);
	if (rc < 0)
		return error_names(sample, &err)
			       ? DAMAGE_NAMED
			       : damage_wrong(why, "read", &err);
	if (!is_same)
		return damage_wrong(why, "other groups", &err);
	if (is_in_use(&trial->files, damage))
		return damage_wrong(why, "a byte in use", &err);
	return DAMAGE_HARMLESS;
}

/* The whole store: what opens must hold what it held. */
static enum damage_outcome store_try(void *ctx, const struct damage *damage,
				     char why[DAMAGE_WHY_MAX])
{
	struct sample *sample = ctx;
	struct mbj_error err = {.rc = MBJ_OK};
	struct sample_content content;
	struct mbj_store *store = NULL;
	bool is_rebuilt;
	bool is_same = false;
	enum mbj_rc rc;

	sample_restore(sample, &sample->late, damage, (struct mbj_bytes){0});
	rc = mbj_replica_open(sample->dir, &sample->options, &store, &err);
	if (rc < 0)
		return error_names(sample, &err)
			       ? DAMAGE_NAMED
			       : damage_wrong(why, "open", &err);
	is_rebuilt = mbj_store_recovery_get(store)->is_rebuilt;
	rc = sample_content_get(store, &content, &err);
	if (rc == MBJ_OK && !sample_content_equal(&content, &sample->content))
		rc = mbj_error_set(&err, MBJ_EINVALID, "other content");
	if (rc == MBJ_OK) {
		rc = sample_journal_read(sample, true, &is_same, &err);
		if (rc < 0 && error_names(sample, &err)) {
			mbj_store_close(&store);
			return DAMAGE_NAMED;
		}
	}
	mbj_store_close(&store);
	if (rc < 0 || !is_same)
		return damage_wrong(why, "read", &err);
	return is_rebuilt ? DAMAGE_REBUILT : DAMAGE_HARMLESS;
}

/*
 * Goal: no bit of the journal can change without a word.  Method: every bit
 * of every segment and of the mark, bursts, zeroed blocks, cuts, files gone.
 */
START_TEST(journal_files)
{
	const char *names[DAMAGE_FILES_MAX];
	struct damage_plan plan = {.list = NULL};
	struct log_trial trial;
	struct test_rng rng;

	test_rng_init(&rng, 3);
	sample_begin(&trial.sample, 3);
	trial.files = sample_part(&trial.sample.late, "journal/");
	sample_names(&trial.files, names);
	for (unsigned i = 0; i < trial.files.count; i++) {
		size_t n = trial.files.files[i].n;

		damage_plan_flips(&plan, i, 0, n, 0, &rng);
		damage_plan_bursts(&plan, i, 0, n, BURSTS_QUICK, &rng);
		damage_plan_blocks(&plan, i, n, BLOCK);
	}
	damage_run("journal", "files", &plan, names, log_try, &trial);
	damage_plan_done(&plan);
	sample_end(&trial.sample);
}
END_TEST

/*
 * Goal: the same through the front door: the store opens equal, or names what
 * is wrong.  Method: a seeded share of the same damages, and those of the
 * superblock and the lock file.
 */
START_TEST(journal_stores)
{
	const char *names[DAMAGE_FILES_MAX];
	struct damage_plan plan = {.list = NULL};
	struct test_rng rng;
	struct sample sample;

	test_rng_init(&rng, 4);
	sample_begin(&sample, 4);
	sample_names(&sample.late, names);
	for (unsigned i = 0; i < sample.late.count; i++) {
		size_t n = sample.late.files[i].n;

		if (strncmp(names[i], "state/", 6) == 0)
			continue;
		damage_plan_flips(&plan, i, 0, n, WHOLE_QUICK, &rng);
		damage_plan_bursts(&plan, i, 0, n, WHOLE_QUICK, &rng);
		damage_plan_blocks(&plan, i, n, BLOCK);
	}
	damage_run("journal", "stores", &plan, names, store_try, &sample);
	damage_plan_done(&plan);
	sample_end(&sample);
}
END_TEST

TCase *test_journal_case(void)
{
	TCase *tc = tcase_create("journal");

	tcase_set_timeout(tc, 360000);
	tcase_add_test(tc, journal_files);
	tcase_add_test(tc, journal_stores);
	return tc;
}
