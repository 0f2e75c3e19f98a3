/*
 * Journal and state against each other: a state that is missing, damaged or
 * behind is brought up by itself; one that contradicts is refused.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/trim.h>

#include "journal_cases.h"
#include "store_lab.h"

enum { ACCOUNTS = 3, MAILBOXES = 20, RENAMES = 120 };

/* A store with some history; the digest of what it implies. */
static struct mbj_digest history_make(struct site *site)
{
	struct mbj_digest digest;
	char from[16];
	char to[16];

	site_begin(site);
	for (unsigned a = 1; a <= ACCOUNTS; a++)
		site_import(site->store, a, MAILBOXES);
	for (unsigned i = 0; i < RENAMES; i++) {
		unsigned box = 2 + i % (MAILBOXES - 1);
		unsigned turn = i / (MAILBOXES - 1);

		(void)snprintf(from, sizeof(from), turn == 0 ? "m%u" : "m%u.%u",
			       box, turn);
		(void)snprintf(to, sizeof(to), "m%u.%u", box, turn + 1);
		SITE_OK(site_rename(site->store, 1, from, to, NULL, err));
	}
	digest = site_digest(site->store);
	mbj_store_close(&site->store);
	return digest;
}

static uint64_t history_end(void)
{
	return ACCOUNTS + RENAMES;
}

/* Open; the state must have been made anew, and be what it was. */
static void rebuilt_check(struct site *site, struct mbj_digest expected,
			  const char *what)
{
	const struct mbj_store_recovery *recovery;
	struct mbj_digest digest;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;
	struct mbj_error error = {.rc = MBJ_OK};

	rc = mbj_store_open(site->dir, &site->options, &site->store, &error);
	ck_assert_msg(rc == MBJ_OK, "%s: %s", what, error.message);
	recovery = mbj_store_recovery_get(site->store);
	ck_assert_msg(recovery->is_rebuilt, "%s was not noticed", what);
	ck_assert_msg(recovery->reason[0] != '\0', "%s: no reason", what);
	ck_assert_msg(recovery->groups_applied == history_end(), "%s: %llu",
		      what, (unsigned long long)recovery->groups_applied);
	digest = site_digest(site->store);
	ck_assert_msg(mbj_digest_equal(&digest, &expected), "%s", what);
	site_path(site, "state.old", path);
	ck_assert_msg(access(path, F_OK) != 0, "%s: state.old stays", what);
	SITE_OK(site_rename(site->store, 2, "m2", "after", NULL, err));
	SITE_OK(site_rename(site->store, 2, "after", "m2", NULL, err));
	mbj_store_close(&site->store);
	SITE_OK(mbj_store_open(site->dir, &site->options, &site->store, err));
	ck_assert(!mbj_store_recovery_get(site->store)->is_rebuilt);
	mbj_store_close(&site->store);
}

static void remove_tree(const char *path)
{
	SITE_OK(mbj_state_destroy(mbj_sys_posix(), path, err));
}

/*
 * Goal: the state is a copy, and a lost copy is made again.  Method: the
 * directory removed, emptied, and thrown away on demand.
 */
START_TEST(rebuild_missing)
{
	struct mbj_digest digest;
	char path[MBJ_PATH_TEXT_MAX];
	struct site site;

	digest = history_make(&site);
	site_path(&site, "state", path);
	remove_tree(path);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	ck_assert(mbj_store_recovery_get(site.store)->is_rebuilt);
	ck_assert_ptr_nonnull(
		strstr(mbj_store_recovery_get(site.store)->reason, "missing"));
	mbj_store_close(&site.store);

	remove_tree(path);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	ck_assert(mbj_store_recovery_get(site.store)->is_rebuilt);
	mbj_store_close(&site.store);

	site.options.is_rebuild_forced = true;
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	ck_assert(mbj_store_recovery_get(site.store)->is_rebuilt);
	mbj_store_close(&site.store);
	site.options.is_rebuild_forced = false;

	remove_tree(path);
	rebuilt_check(&site, digest, "missing directory");
	site_end(&site);
}
END_TEST

/* Overwrite size bytes of a file at an offset with zeroes, or flip them. */
static void file_damage(const char *path, long at, long size, bool is_flip)
{
	int fd = open(path, O_RDWR);
	uint8_t *p = calloc(1, (size_t)size + 1);
	ssize_t n;

	ck_assert(fd >= 0 && p != NULL);
	n = pread(fd, p, (size_t)size, at);
	ck_assert(n >= 0 && n <= size);
	for (ssize_t i = 0; i < n; i++)
		p[i] = is_flip ? p[i] ^ 0x40 : 0;
	ck_assert_int_eq(pwrite(fd, p, (size_t)n, at), n);
	close(fd);
	free(p);
}

static long file_size(const char *path)
{
	struct stat st;

	ck_assert_int_eq(stat(path, &st), 0);
	return (long)st.st_size;
}

/* The index-th regular file of state/ by name, or NULL behind the last. */
static char *state_file(const struct site *site, int index)
{
	char dir[MBJ_PATH_TEXT_MAX];
	struct dirent **entries = NULL;
	char *path = NULL;
	int count;
	int seen = 0;

	site_path(site, "state", dir);
	count = scandir(dir, &entries, NULL, alphasort);
	ck_assert_int_ge(count, 0);
	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.' && seen++ == index)
			path = test_path_dup(dir, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return path;
}

/*
 * Goal: no file of the environment is needed.  Method: each file in turn is
 * removed, zeroed whole, cut to nothing; each time the store opens with the
 * same content.
 */
START_TEST(rebuild_files)
{
	struct mbj_digest expected;
	struct mbj_digest digest;
	char *path;
	struct site site;
	unsigned rebuilds = 0;

	expected = history_make(&site);
	for (int i = 0; (path = state_file(&site, i)) != NULL; i++) {
		for (int how = 0; how < 3; how++) {
			free(path);
			path = state_file(&site, i);
			if (path == NULL)
				break;
			if (how == 0)
				file_damage(path, 0, file_size(path), false);
			else if (how == 1)
				ck_assert_int_eq(truncate(path, 0), 0);
			else
				ck_assert_int_eq(unlink(path), 0);
			SITE_OK(mbj_store_open(site.dir, &site.options,
					       &site.store, err));
			rebuilds +=
				mbj_store_recovery_get(site.store)->is_rebuilt;
			digest = site_digest(site.store);
			ck_assert_msg(mbj_digest_equal(&digest, &expected),
				      "%s, way %d", path, how);
			mbj_store_close(&site.store);
		}
		free(path);
	}
	ck_assert_uint_gt(rebuilds, 0);
	site_end(&site);
}
END_TEST

/* A random byte of a random file of the environment. */
static void random_flip(const struct site *site, struct test_rng *rng)
{
	char *path = NULL;
	long at;

	while (path == NULL || file_size(path) == 0) {
		free(path);
		path = state_file(site, (int)test_rng_below(rng, 4));
	}
	at = (long)test_rng_below(rng, (uint64_t)file_size(path));
	file_damage(path, at, 1, true);
	free(path);
}

/*
 * Goal: a flipped byte in any file of the environment costs nothing and is
 * mended without anybody's help.  Method: one random byte of a random file
 * per round; the content is right, or reading it fails by name and the next
 * opening makes it anew.
 */
START_TEST(rebuild_flips)
{
	struct mbj_digest expected;
	unsigned failures = 0;
	unsigned rebuilds = 0;
	struct test_rng rng;
	struct site site;

	(void)test_rng_seed(&rng);
	expected = history_make(&site);
	for (int round = 0; round < 60; round++) {
		struct mbj_error error = {.rc = MBJ_OK};
		struct mbj_digest digest;
		enum mbj_rc rc;

		random_flip(&site, &rng);
		SITE_OK(mbj_store_open(site.dir, &site.options, &site.store,
				       err));
		rebuilds += mbj_store_recovery_get(site.store)->is_rebuilt;
		rc = site_digest_try(site.store, &digest, &error);
		if (rc != MBJ_OK) {
			failures++;
			ck_assert_msg(rc == MBJ_ECORRUPT, "%s", error.message);
			site_reopen(&site);
			ck_assert(
				mbj_store_recovery_get(site.store)->is_rebuilt);
			digest = site_digest(site.store);
		}
		ck_assert(mbj_digest_equal(&digest, &expected));
		mbj_store_close(&site.store);
	}
	printf("%u rebuilt when opened, %u when read\n", rebuilds, failures);
	site_end(&site);
}
END_TEST

/*
 * Goal: a state that lags is brought forward by the tail alone.  Method: a
 * copy of the environment taken early replaces the one of the end.
 */
START_TEST(rebuild_tail)
{
	struct mbj_digest expected;
	struct mbj_digest digest;
	char state[MBJ_PATH_TEXT_MAX];
	char early[MBJ_PATH_TEXT_MAX];
	char command[2 * MBJ_PATH_TEXT_MAX + 32];
	const struct mbj_store_recovery *recovery;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, MAILBOXES);
	mbj_store_close(&site.store);
	site_path(&site, "state", state);
	(void)snprintf(early, sizeof(early), "%s/early", site.tmp);
	(void)snprintf(command, sizeof(command), "cp -a '%s' '%s'", state,
		       early);
	ck_assert_int_eq(system(command), 0);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	for (unsigned i = 2; i <= MAILBOXES; i++) {
		char from[16];
		char to[16];

		(void)snprintf(from, sizeof(from), "m%u", i);
		(void)snprintf(to, sizeof(to), "r%u", i);
		SITE_OK(site_rename(site.store, 1, from, to, NULL, err));
	}
	expected = site_digest(site.store);
	mbj_store_close(&site.store);
	remove_tree(state);
	ck_assert_int_eq(rename(early, state), 0);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	recovery = mbj_store_recovery_get(site.store);
	ck_assert(!recovery->is_rebuilt);
	ck_assert_uint_eq(recovery->groups_applied, MAILBOXES - 1);
	digest = site_digest(site.store);
	ck_assert(mbj_digest_equal(&digest, &expected));
	site_end(&site);
}
END_TEST

/*
 * Goal: a state that has more than the journal, or another journal's, is
 * refused and left alone.  Method: the states of two stores with equally long
 * journals change places; then a state meets a journal that is shorter.
 */
START_TEST(rebuild_contradiction)
{
	char ours[MBJ_PATH_TEXT_MAX];
	char theirs[MBJ_PATH_TEXT_MAX];
	char command[3 * MBJ_PATH_TEXT_MAX + 64];
	struct mbj_error error;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, 3);
	mbj_store_close(&site.store);
	(void)snprintf(command, sizeof(command), "cp -a '%s' '%s/fork'",
		       site.dir, site.tmp);
	ck_assert_int_eq(system(command), 0);

	/* Both go on from the same group, differently. */
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	SITE_OK(site_rename(site.store, 1, "m2", "ours", NULL, err));
	mbj_store_close(&site.store);
	(void)snprintf(theirs, sizeof(theirs), "%s/fork", site.tmp);
	SITE_OK(mbj_store_open(theirs, &site.options, &site.store, err));
	SITE_OK(site_rename(site.store, 1, "m2", "theirs", NULL, err));
	mbj_store_close(&site.store);

	site_path(&site, "state", ours);
	remove_tree(ours);
	(void)snprintf(command, sizeof(command), "cp -a '%s/fork/state' '%s'",
		       site.tmp, ours);
	ck_assert_int_eq(system(command), 0);
	SITE_FAILS(mbj_store_open(site.dir, &site.options, &site.store, err),
		   MBJ_ECORRUPT, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "different histories"));
	ck_assert_int_eq(access(ours, F_OK), 0);

	/* The fork goes on; its state holds more than our journal has. */
	SITE_OK(mbj_store_open(theirs, &site.options, &site.store, err));
	SITE_OK(site_rename(site.store, 1, "theirs", "more", NULL, err));
	mbj_store_close(&site.store);
	remove_tree(ours);
	ck_assert_int_eq(system(command), 0);
	SITE_FAILS(mbj_store_open(site.dir, &site.options, &site.store, err),
		   MBJ_ECORRUPT, &error);
	ck_assert_int_eq(access(ours, F_OK), 0);

	/* A person decides: the journal is right. */
	site.options.is_rebuild_forced = true;
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	ck_assert_uint_eq(mbj_store_end(site.store).lsn.v, 2);
	site_end(&site);
}
END_TEST

/*
 * Goal: a snapshot of a state that had lost its way does not keep a store from
 * what its journal says, where that is all there.  Method: one of a state that
 * was bent, and put away until the state was made anew and went on; then the
 * state is lost.
 */
START_TEST(rebuild_bent_snapshot)
{
	const struct mbj_store_recovery *recovery;
	struct mbj_snapshot_result snapshot;
	char path[MBJ_PATH_TEXT_MAX], away[MBJ_PATH_TEXT_MAX];
	char name[MBJ_NAME_MAX + 1];
	struct mbj_id lineage;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, 3);
	lineage = mbj_store_identity_copy(site.store).lineage;
	mbj_store_close(&site.store);
	site.options.sys = mbj_sys_posix();
	site_bend(&site.options, site.dir, lineage, 2);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	SITE_OK(mbj_store_snapshot(site.store, &snapshot, err));
	mbj_store_close(&site.store);
	SITE_OK(mbj_snapshot_path(path, site.dir, (struct mbj_lsn){1}, err));
	site_path(&site, "away", away);
	ck_assert_int_eq(rename(path, away), 0);
	site.options.is_rebuild_forced = true;
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	SITE_OK(site_rename(site.store, 1, "m2", "x", NULL, err));
	mbj_store_close(&site.store);
	ck_assert_int_eq(rename(away, path), 0);
	SITE_OK(mbj_store_open(site.dir, &site.options, &site.store, err));
	recovery = mbj_store_recovery_get(site.store);
	ck_assert(recovery->is_rebuilt);
	ck_assert_uint_eq(recovery->snapshot.v, 0);
	ck_assert_uint_eq(recovery->groups_applied, 2);
	site_name(site.store, 1, 2, name);
	ck_assert_str_eq(name, "x");
	ck_assert(site_is_sound(site.store));
	site_end(&site);
}
END_TEST

/*
 * Goal: a rebuild that is interrupted is completed later.  Method: fail every
 * single call of the rebuild in turn, for good; then open without faults.
 */
START_TEST(rebuild_interrupted)
{
	struct mbj_digest expected;
	struct site_sys sys;
	char path[MBJ_PATH_TEXT_MAX];
	bool is_done = false;
	struct site site;

	expected = history_make(&site);
	site_path(&site, "state", path);
	site_sys_init(&sys);
	for (long k = 1; !is_done; k++) {
		struct mbj_digest digest;
		enum mbj_rc rc;

		ck_assert_int_lt(k, 2000);
		remove_tree(path);
		site.options.sys = &sys.table;
		site_sys_arm(&sys, SITE_CALL_ALL, k, EIO, true);
		rc = mbj_store_open(site.dir, &site.options, &site.store, NULL);
		is_done = atomic_load(&sys.count) < k;
		ck_assert(!is_done || rc == MBJ_OK);
		site_sys_arm(&sys, 0, 0, 0, false);
		mbj_store_close(&site.store);
		site.options.sys = NULL;
		SITE_OK(mbj_store_open(site.dir, &site.options, &site.store,
				       err));
		digest = site_digest(site.store);
		ck_assert(mbj_digest_equal(&digest, &expected));
		mbj_store_close(&site.store);
	}
	site_end(&site);
}
END_TEST

TCase *test_rebuild_case(void)
{
	TCase *tc = tcase_create("rebuild");

	tcase_set_timeout(tc, 240); /* every opening syncs */
	tcase_add_test(tc, rebuild_missing);
	tcase_add_test(tc, rebuild_files);
	tcase_add_test(tc, rebuild_flips);
	tcase_add_test(tc, rebuild_tail);
	tcase_add_test(tc, rebuild_contradiction);
	tcase_add_test(tc, rebuild_bent_snapshot);
	tcase_add_test(tc, rebuild_interrupted);
	return tc;
}
