/*
 * Damage to bytes that a decoder is given: exported groups, the published
 * mark, the superblock.
 */
#include <stdio.h>
#include <stdlib.h>

#include "damage_cases.h"
#include "log_impl.h"
#include "sample.h"
#include "superblock.h"

enum { BURSTS_QUICK = 4000 };

/* One kind of record: its bytes, and whether a damaged copy is detected. */
struct bytes_trial {
	struct mbj_bytes bytes;
	struct mbj_sha256 *sha;
	struct mbj_hash before; /* chain value before the group */
	bool (*is_detected)(struct bytes_trial *trial, struct mbj_bytes bytes);
};

static enum damage_outcome bytes_try(void *ctx, const struct damage *damage,
				     char why[DAMAGE_WHY_MAX])
{
	struct bytes_trial *trial = ctx;
	uint8_t *bytes = NULL;
	bool is_detected;
	bool is_same;
	size_t n = 0;

	if (!damage_apply(damage, trial->bytes, trial->bytes, &bytes, &n))
		return DAMAGE_NAMED;
	is_same = mbj_bytes_equal(mbj_bytes_make(bytes, n), trial->bytes);
	is_detected = trial->is_detected(trial, mbj_bytes_make(bytes, n));
	free(bytes);
	if (is_same)
		return is_detected ? DAMAGE_WRONG : DAMAGE_HARMLESS;
	(void)snprintf(why, DAMAGE_WHY_MAX, "taken for good");
	return is_detected ? DAMAGE_NAMED : DAMAGE_WRONG;
}

static void bytes_run(struct bytes_trial *trial, const char *name)
{
	const char *const names[DAMAGE_FILES_MAX] = {name};
	struct damage_plan plan = {.list = NULL};
	struct test_rng rng;

	test_rng_init(&rng, 1);
	damage_plan_flips(&plan, 0, 0, trial->bytes.n, 0, &rng);
	damage_plan_bursts(&plan, 0, 0, trial->bytes.n, BURSTS_QUICK, &rng);
	damage_plan_blocks(&plan, 0, trial->bytes.n, 16);
	damage_run("bytes", name, &plan, names, bytes_try, trial);
	damage_plan_done(&plan);
}

/*
 * A group may be exported, sent and kept anywhere.  A body that is damaged is
 * still handed out, marked: its header says whose it is.
 */
static bool group_is_detected(struct bytes_trial *trial, struct mbj_bytes bytes)
{
	struct mbj_error err;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_group_parse(bytes, &group, &err);
	if (rc == MBJ_OK && group.is_body_good)
		rc = mbj_group_chain_check(&group, trial->sha, &trial->before,
					   &err);
	return rc < 0 ? err.message[0] != '\0' : !group.is_body_good;
}

/*
 * Goal: no damage to a group's bytes passes.  Method: every bit and bursts of
 * each of a sample's groups, with its chain value known; zeroes, cuts.
 */
START_TEST(bytes_groups)
{
	struct bytes_trial trial = {.is_detected = group_is_detected};
	struct mbj_bytes rest;
	struct sample sample;
	struct mbj_group group;
	char name[24];

	sample_begin(&sample, 1);
	SITE_OK(mbj_sha256_new(&trial.sha, err));
	trial.before = sample.identity.anchor.chain;
	rest = mbj_buf_view(&sample.records);
	for (unsigned i = 1; rest.n > 0; i++) {
		SITE_OK(mbj_group_parse(rest, &group, err));
		trial.bytes = group.record;
		/* One of each kind: all in the long setting. */
		(void)snprintf(name, sizeof(name), "group %u", i);
		if (i <= 5 || damage_is_long())
			bytes_run(&trial, name);
		trial.before = group.chain;
		rest.p += group.record.n;
		rest.n -= group.record.n;
	}
	mbj_sha256_free(&trial.sha);
	sample_end(&sample);
}
END_TEST

static bool mark_is_detected(struct bytes_trial *trial, struct mbj_bytes bytes)
{
	struct mbj_log_end end;

	(void)trial;
	return bytes.n < LOG_PUBLISHED_SIZE ||
	       !log_published_decode(bytes.p, &end);
}

static bool superblock_is_detected(struct bytes_trial *trial,
				   struct mbj_bytes bytes)
{
	struct superblock superblock;
	struct mbj_error err;

	(void)trial;
	return superblock_decode(bytes, "x/mbj.store", &superblock, &err) < 0 &&
	       strstr(err.message, "x/mbj.store") != NULL;
}

/*
 * Goal: no damage to the two small records passes, and the superblock's is
 * named.  Method: as above.
 */
START_TEST(bytes_marks)
{
	struct bytes_trial trial = {.is_detected = mark_is_detected};
	const struct sample_file *file;
	struct sample sample;

	sample_begin(&sample, 2);
	file = &sample.late
			.files[sample_find(&sample.late, "journal/published")];
	trial.bytes = mbj_bytes_make(file->bytes, file->n);
	bytes_run(&trial, "published");
	file = &sample.late.files[sample_find(&sample.late, "mbj.store")];
	trial.bytes = mbj_bytes_make(file->bytes, file->n);
	trial.is_detected = superblock_is_detected;
	bytes_run(&trial, "superblock");
	sample_end(&sample);
}
END_TEST

TCase *test_bytes_case(void)
{
	TCase *tc = tcase_create("bytes");

	tcase_set_timeout(tc, 36000);
	tcase_add_test(tc, bytes_groups);
	tcase_add_test(tc, bytes_marks);
	return tc;
}
