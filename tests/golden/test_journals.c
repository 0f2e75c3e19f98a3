/*
 * Journals that earlier versions wrote: each opens, implies the state that it
 * implied then, and is written again byte for byte.
 *
 *	<version>/mbj.store, journal/   what that version's script wrote
 *	<version>/expected.txt          what it meant: golden_describe
 *
 * MBJ_BLESS=1 adds the directory of the current version; one that is there is
 * never written again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "golden.h"
#include "log_impl.h"
#include "superblock.h"

/* A version's directory, or NULL for a file beside them. */
static char *version_dir(const char *name)
{
	char *dir = test_path_dup(GOLDEN_DIR, name);
	struct stat st;

	if (stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
		return dir;
	free(dir);
	return NULL;
}

/* Call fn for each version; there is one at least. */
static void for_each_version(void (*fn)(const char *dir))
{
	char *names[GOLDEN_FILES_MAX];
	size_t count = golden_list(GOLDEN_DIR, names);
	unsigned versions = 0;

	for (size_t i = 0; i < count; i++) {
		char *dir = version_dir(names[i]);

		if (dir != NULL) {
			fn(dir);
			versions++;
		}
		free(dir);
		free(names[i]);
	}
	ck_assert_uint_gt(versions, 0);
}

/* ---------------------------------------------------------------- open */

static void bytes_compare(struct mbj_bytes found, struct mbj_bytes expected,
			  const char *what)
{
	size_t i = 0;

	while (i < found.n && i < expected.n && found.p[i] == expected.p[i])
		i++;
	ck_assert_msg(i == found.n && i == expected.n,
		      "%s: %zu bytes, not %zu; the first other one is %zu",
		      what, found.n, expected.n, i);
}

static void version_open(const char *dir)
{
	char *path = test_path_dup(dir, "expected.txt");
	char *tmp = test_tmpdir_new();
	char *copy = test_path_dup(tmp, "store");
	struct mbj_buf expected;
	struct mbj_buf text;

	mbj_buf_init(&expected, GOLDEN_FILE_MAX);
	mbj_buf_init(&text, GOLDEN_FILE_MAX);
	golden_load(path, &expected);
	golden_copy(dir, copy);
	/* The first opening replays everything, the second nothing. */
	for (unsigned i = 0; i < 2; i++) {
		mbj_buf_clear(&text);
		golden_describe(copy, &text);
		bytes_compare(mbj_buf_view(&text), mbj_buf_view(&expected),
			      path);
	}
	mbj_buf_done(&text);
	mbj_buf_done(&expected);
	free(copy);
	test_tmpdir_free(&tmp);
	free(path);
}

/*
 * Goal: a journal of any earlier version opens, replays to the digests of
 * then, and every group still means what it meant.  Method: a copy without
 * its state is opened, and described as on the day it was written.
 */
START_TEST(journals_open)
{
	for_each_version(version_open);
}
END_TEST

static void version_answers(const char *dir)
{
	struct mbj_store_options options = golden_options();
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char *tmp = test_tmpdir_new();
	char *copy = test_path_dup(tmp, "store");
	struct mbj_store *store = NULL;
	struct mbj_error error;
	uint64_t end;

	golden_copy(dir, copy);
	GOLDEN_OK(mbj_store_open(copy, &options, &store, err));
	end = mbj_store_end(store).lsn.v;
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("somebody new");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	/* What the script of these versions gave to its imports. */
	edit.request.b[0] = MBJ_EDIT_IMPORT;
	ck_assert_int_eq(mbj_store_submit(store, &edit, &outcome, &error),
			 MBJ_EEXISTS);
	ck_assert_uint_gt(error.lsn, 0);
	ck_assert_uint_eq(mbj_store_end(store).lsn.v, end);
	edit.request.b[1] = 1;
	GOLDEN_OK(mbj_store_submit(store, &edit, &outcome, err));
	ck_assert_uint_eq(outcome.lsn.v, end + 1);
	mbj_outcome_done(&outcome);
	mbj_store_close(&store);
	free(copy);
	test_tmpdir_free(&tmp);
}

/*
 * Goal: journals whose groups have request ids and no receipts, as 0.1 and the
 * first of 0.2 wrote them, refuse to do such a request again, whose outcome
 * they cannot tell, and take others.
 */
START_TEST(journals_without_receipts)
{
	char *dirs[] = {test_path_dup(GOLDEN_DIR, "0.1"),
			test_path_dup(GOLDEN_DIR, "0.2")};

	for (unsigned i = 0; i < 2; i++) {
		version_answers(dirs[i]);
		free(dirs[i]);
	}
}
END_TEST

/* ------------------------------------------------------- write it again */

static void file_again(const char *dir, const char *name)
{
	char *path = test_path_dup(dir, name);
	struct mbj_buf again;
	struct mbj_buf file;

	mbj_buf_init(&again, GOLDEN_FILE_MAX);
	mbj_buf_init(&file, GOLDEN_FILE_MAX);
	golden_load(path, &file);
	if (strcmp(name, SUPERBLOCK_NAME) == 0)
		golden_superblock_again(mbj_buf_view(&file), &again);
	else if (strcmp(name, LOG_PUBLISHED_NAME) == 0)
		golden_mark_again(mbj_buf_view(&file), &again);
	else
		golden_segment_again(mbj_buf_view(&file), name, &again);
	GOLDEN_OK(mbj_buf_ok(&again, err));
	bytes_compare(mbj_buf_view(&again), mbj_buf_view(&file), path);
	mbj_buf_done(&file);
	mbj_buf_done(&again);
	free(path);
}

static void version_again(const char *dir)
{
	char *journal = test_path_dup(dir, "journal");
	char *names[GOLDEN_FILES_MAX];
	size_t count = golden_list(journal, names);

	file_again(dir, SUPERBLOCK_NAME);
	ck_assert_uint_gt(count, 1);
	for (size_t i = 0; i < count; i++) {
		file_again(journal, names[i]);
		free(names[i]);
	}
	free(journal);
}

/*
 * Goal: what an earlier version wrote has one form, which is still the one
 * that is written.  Method: superblock, mark, segment headers, frames, groups
 * and primitives are decoded and encoded; every byte of every file compared.
 */
START_TEST(journals_encode_again)
{
	for_each_version(version_again);
}
END_TEST

/* ------------------------------------------------------------ coverage */

enum { KINDS_MAX = 128 };

/* What a journal has in it. */
struct seen {
	bool kinds[KINDS_MAX];
	bool is_parked;
	bool is_placed;
	bool has_new_uidvalidity;
};

static void seen_group(struct seen *seen, const struct mbj_group *group)
{
	struct mbj_reader reader;
	struct mbj_op op;

	mbj_reader_init(&reader, group->body);
	while (mbj_group_op_next(group, &reader, &op, NULL) == MBJ_OK) {
		ck_assert_uint_lt(op.kind, KINDS_MAX);
		seen->kinds[op.kind] = true;
		if (op.kind != MBJ_OP_MAILBOX_MOVE)
			continue;
		seen->is_parked |= mbj_id_equal(op.to.parent, MBJ_ID_TEMP);
		seen->is_placed |= mbj_id_equal(op.from.parent, MBJ_ID_TEMP);
		seen->has_new_uidvalidity |= op.uidvalidity != 0;
	}
}

/*
 * Goal: the script leaves nothing out, and its bytes depend on nothing but the
 * library.  Method: run it twice and compare; look for every primitive, a park
 * and the way back, a changed UIDVALIDITY, several segments.
 */
START_TEST(journals_script)
{
	struct mbj_log_reader *reader = NULL;
	char *tmp = test_tmpdir_new();
	char *dir[2] = {test_path_dup(tmp, "a"), test_path_dup(tmp, "b")};
	char *names[GOLDEN_FILES_MAX];
	char *journal[2];
	struct mbj_buf text[2];
	struct mbj_group group;
	struct seen seen = {.is_parked = false};
	size_t count;

	for (unsigned i = 0; i < 2; i++) {
		golden_write(dir[i]);
		journal[i] = test_path_dup(dir[i], "journal");
		mbj_buf_init(&text[i], GOLDEN_FILE_MAX);
	}
	count = golden_list(journal[0], names);
	ck_assert_uint_gt(count, 3);
	for (size_t f = 0; f < count; f++) {
		for (unsigned i = 0; i < 2; i++) {
			char *path = test_path_dup(journal[i], names[f]);

			golden_load(path, &text[i]);
			free(path);
		}
		bytes_compare(mbj_buf_view(&text[1]), mbj_buf_view(&text[0]),
			      names[f]);
		free(names[f]);
	}
	GOLDEN_OK(mbj_store_log_reader(mbj_sys_posix(), dir[0], &reader, err));
	while (mbj_log_reader_next(reader, &group, NULL) == MBJ_OK)
		seen_group(&seen, &group);
	for (size_t i = 0; i < mbj_op_info_count(); i++)
		ck_assert_msg(seen.kinds[mbj_op_info_at(i)->kind],
			      "no %s in it", mbj_op_info_at(i)->word);
	ck_assert(seen.is_parked && seen.is_placed);
	ck_assert(seen.has_new_uidvalidity);
	mbj_log_reader_close(&reader);
	for (unsigned i = 0; i < 2; i++) {
		mbj_buf_done(&text[i]);
		free(journal[i]);
		free(dir[i]);
	}
	test_tmpdir_free(&tmp);
}
END_TEST

/* --------------------------------------------------------------- bless */

static void bless(const char *target)
{
	char *expected = test_path_dup(target, "expected.txt");
	char *tmp = test_tmpdir_new();
	char *dir = test_path_dup(tmp, "store");
	struct mbj_buf text;

	mbj_buf_init(&text, GOLDEN_FILE_MAX);
	golden_write(dir);
	golden_copy(dir, target);
	golden_describe(dir, &text);
	golden_save(expected, mbj_buf_view(&text));
	printf("%s written\n", target);
	mbj_buf_done(&text);
	free(dir);
	test_tmpdir_free(&tmp);
	free(expected);
}

/*
 * Goal: no version is released without its journal.  Method: the current
 * version's directory is there; with MBJ_BLESS set it is made where it is not.
 */
START_TEST(journals_have_this_version)
{
	char *dir = test_path_dup(GOLDEN_DIR, GOLDEN_VERSION);

	if (access(dir, F_OK) != 0 && getenv("MBJ_BLESS") != NULL)
		bless(dir);
	ck_assert_msg(access(dir, F_OK) == 0,
		      "%s is missing: MBJ_BLESS=1 writes it", dir);
	free(dir);
}
END_TEST

TCase *test_journals_case(void)
{
	TCase *tc = tcase_create("journals");

	tcase_add_test(tc, journals_have_this_version);
	tcase_add_test(tc, journals_open);
	tcase_add_test(tc, journals_without_receipts);
	tcase_add_test(tc, journals_encode_again);
	tcase_add_test(tc, journals_script);
	return tc;
}
