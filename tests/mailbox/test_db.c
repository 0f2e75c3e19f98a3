/*
 * The engine seam: tables, transactions, cursors, snapshots, with each engine;
 * and what is said of an environment with something missing.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "cases.h"
#include "db_engine.h"

static struct mbj_error err;

enum { ENGINES = MBJ_STATE_MEMORY + 1 };

struct lab {
	char *home;
	enum mbj_state_engine engine;
	struct db *db;
};

static enum mbj_rc lab_try(struct lab *lab, bool is_new)
{
	const struct db_options options = {
		.cache_size = 4 << 20,
		.log_file_size = 1 << 20,
		.checkpoint_log_size = 1 << 20,
		.is_new = is_new,
		.engine = lab->engine,
		.sys = mbj_sys_posix(),
	};

	return db_open(lab->home, &options, &lab->db, &err);
}

/* The index of a loop test is the engine. */
static void lab_begin(struct lab *lab, int engine)
{
	lab->db = NULL;
	lab->engine = (enum mbj_state_engine)engine;
	lab->home = test_tmpdir_new();
	test_ok(lab_try(lab, true), err);
}

static void lab_end(struct lab *lab)
{
	db_close(&lab->db);
	test_tmpdir_free(&lab->home);
}

static struct db_txn *begin(struct lab *lab, bool is_reading)
{
	struct db_txn *txn = NULL;

	test_ok(db_begin(lab->db, is_reading, &txn, &err), err);
	return txn;
}

static void put(struct db_txn *txn, const char *key, struct mbj_bytes value)
{
	test_ok(db_put(txn, TABLE_SLOTS, mbj_bytes_str(key), value, &err), err);
}

/* A record that was that, NULL: not there, and is another. */
static void change(struct db_txn *txn, const char *key, const char *before,
		   const char *value)
{
	const struct db_change c = {
		.table = TABLE_SLOTS,
		.is_there = true,
		.was_there = before != NULL,
		.key = mbj_bytes_str(key),
		.value = mbj_bytes_str(value),
		.before = mbj_bytes_str(before != NULL ? before : ""),
	};

	test_ok(db_write(txn, &c, 1, &err), err);
}

static void expect(struct db_txn *txn, const char *key, const char *value)
{
	struct mbj_buf found;
	enum mbj_rc rc;

	mbj_buf_init(&found, 1 << 20);
	rc = db_get(txn, TABLE_SLOTS, mbj_bytes_str(key), &found, &err);
	if (value == NULL) {
		ck_assert_int_eq(rc, MBJ_ENOTFOUND);
	} else {
		test_ok(rc, err);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&found),
					  mbj_bytes_str(value)));
	}
	mbj_buf_done(&found);
}

/*
 * Goal: commits stay and aborts go, in the table they were made in.  Method:
 * a record of each, looked for before and after reopening.
 */
START_TEST(commits_stay_and_aborts_go)
{
	struct db_txn *txn;
	struct lab lab;

	lab_begin(&lab, _i);
	txn = begin(&lab, false);
	put(txn, "a", mbj_bytes_str("1"));
	put(txn, "b", mbj_bytes_str("2"));
	test_ok(db_commit(&txn, &err), err);
	ck_assert_ptr_null(txn);
	txn = begin(&lab, false);
	put(txn, "a", mbj_bytes_str("3"));
	test_ok(db_del(txn, TABLE_SLOTS, mbj_bytes_str("b"), &err), err);
	test_ok(db_del(txn, TABLE_SLOTS, mbj_bytes_str("b"), &err), err);
	expect(txn, "b", NULL);
	db_abort(&txn);
	test_ok(db_checkpoint(lab.db, true, &err), err);
	db_close(&lab.db);
	test_ok(lab_try(&lab, false), err);
	txn = begin(&lab, true);
	expect(txn, "a", "1");
	expect(txn, "b", "2");
	expect(txn, "c", NULL);
	db_abort(&txn);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a snapshot is of the moment its transaction began, even where it
 * reads for the first time after a later commit.  Method: such a commit.
 */
START_TEST(snapshots_are_of_their_beginning)
{
	struct db_txn *early;
	struct db_txn *late;
	struct db_txn *txn;
	struct lab lab;

	lab_begin(&lab, _i);
	txn = begin(&lab, false);
	put(txn, "a", mbj_bytes_str("old"));
	test_ok(db_commit(&txn, &err), err);
	early = begin(&lab, true);
	txn = begin(&lab, false);
	change(txn, "a", "old", "new");
	change(txn, "b", NULL, "new");
	test_ok(db_commit(&txn, &err), err);
	late = begin(&lab, true);
	expect(early, "a", "old");
	expect(early, "b", NULL);
	expect(late, "a", "new");
	expect(late, "b", "new");
	db_abort(&early);
	db_abort(&late);
	lab_end(&lab);
}
END_TEST

/* The value of number: from empty to longer than what is read ahead. */
static size_t value_size(unsigned number)
{
	return number % 37 == 36 ? 150000 : number % 7 * 90;
}

static void value_fill(unsigned number, uint8_t *value)
{
	for (size_t i = 0; i < value_size(number); i++)
		value[i] = (uint8_t)(number + i * 31);
}

/* Longer than all that is read ahead. */
enum { KEY_MAX = 200000 };

/* The key of number: some are longer than a page's quarter, and than pieces. */
static struct mbj_bytes number_key(unsigned number, uint8_t key[KEY_MAX])
{
	static const size_t sizes[] = {3000, 5000, 20000, 70000, KEY_MAX};
	size_t n = number % 11 == 10 ? sizes[number / 11 % 5] : 4;

	memset(key, 'k', n);
	key[0] = (uint8_t)(number >> 8);
	key[1] = (uint8_t)number;
	return mbj_bytes_make(key, n);
}

enum { NUMBERS = 300 };

static void numbers_put(struct lab *lab)
{
	struct db_txn *txn = begin(lab, false);
	uint8_t *value = mbj_alloc(150000);
	static uint8_t key[KEY_MAX];

	ck_assert_ptr_nonnull(value);
	for (unsigned i = 0; i < NUMBERS; i++) {
		value_fill(i, value);
		test_ok(db_put(txn, TABLE_SLOTS, number_key(i, key),
			       mbj_bytes_make(value, value_size(i)), &err),
			err);
	}
	mbj_free(value);
	test_ok(db_commit(&txn, &err), err);
}

/* A scan from number first on meets all that follow, and the end. */
static void numbers_expect(struct db_txn *txn, unsigned first, uint8_t *value)
{
	struct db_cursor *cursor = NULL;
	struct mbj_bytes found_key;
	struct mbj_bytes found;
	uint8_t start[2] = {(uint8_t)(first >> 8), (uint8_t)first};
	static uint8_t key[KEY_MAX];

	test_ok(db_cursor_open(txn, TABLE_SLOTS, mbj_bytes_make(start, 2),
			       &cursor, &err),
		err);
	for (unsigned i = first; i < NUMBERS; i++) {
		test_ok(db_cursor_next(cursor, &found_key, &found, &err), err);
		value_fill(i, value);
		ck_assert(mbj_bytes_equal(found_key, number_key(i, key)));
		ck_assert(
			mbj_bytes_equal(found,
					mbj_bytes_make(value, value_size(i))));
	}
	test_rc(db_cursor_next(cursor, &found_key, &found, &err),
		MBJ_ENOTFOUND);
	db_cursor_close(&cursor);
	ck_assert_ptr_null(cursor);
}

/*
 * Goal: a scan meets every record once, in order, whatever its size, singly
 * and read ahead, committed or not.  Method: sizes from nothing to more than
 * what is read ahead, scans from every start.
 */
START_TEST(scans_meet_every_record)
{
	uint8_t *value = mbj_alloc(150000);
	struct db_txn *txn;
	struct lab lab;

	ck_assert_ptr_nonnull(value);
	lab_begin(&lab, _i);
	numbers_put(&lab);
	txn = begin(&lab, true);
	for (unsigned first = 0; first <= NUMBERS; first++)
		numbers_expect(txn, first, value);
	db_abort(&txn);
	txn = begin(&lab, false);
	numbers_expect(txn, 0, value);
	db_abort(&txn);
	mbj_free(value);
	lab_end(&lab);
}
END_TEST

/* Remove files of home by how their names begin; returns how many. */
static unsigned files_remove(const struct lab *lab, const char *begin_of_name)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_buf names;
	unsigned count = 0;

	mbj_buf_init(&names, 1 << 20);
	test_ok(mbj_dir_list(sys, lab->home, &names, &err), err);
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		char *path;

		if (strncmp(name, begin_of_name, strlen(begin_of_name)) != 0)
			continue;
		path = test_path_dup(lab->home, name);
		ck_assert_int_eq(unlink(path), 0);
		free(path);
		count++;
	}
	mbj_buf_done(&names);
	return count;
}

/*
 * Goal: an environment without its tables is damaged, never an empty one.
 * Method: the file of the tables is removed, with the log and without.
 */
START_TEST(missing_tables_are_damage)
{
	for (int with_log = 0; with_log < 2; with_log++) {
		struct lab lab;

		lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
		numbers_put(&lab);
		db_close(&lab.db);
		ck_assert_uint_eq(files_remove(&lab, "state.db"), 1);
		if (with_log)
			ck_assert_uint_gt(files_remove(&lab, "log."), 0);
		test_rc(lab_try(&lab, false), MBJ_ECORRUPT);
		ck_assert_ptr_null(lab.db);
		lab_end(&lab);
	}
}
END_TEST

/*
 * Goal: the engine's complaints are in the error, not on standard error.
 * Method: standard error is a file while an opening fails.
 */
START_TEST(nothing_is_printed)
{
	struct lab lab;
	char *path;
	struct stat st;
	int saved;

	lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	path = test_path_dup(lab.home, "stderr");
	db_close(&lab.db);
	ck_assert_uint_eq(files_remove(&lab, "state.db"), 1);
	fflush(stderr);
	saved = dup(STDERR_FILENO);
	ck_assert_ptr_nonnull(freopen(path, "w", stderr));
	test_rc(lab_try(&lab, false), MBJ_ECORRUPT);
	fflush(stderr);
	ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
	ck_assert_int_eq(close(saved), 0);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 0);
	ck_assert_ptr_nonnull(strstr(err.message, "meta"));
	free(path);
	lab_end(&lab);
}
END_TEST

/* No log file is one. */
static void logs_spoil(struct lab *lab)
{
	const char zeros[64] = {0};

	for (unsigned number = 1; number < 10; number++) {
		char name[32];
		char *path;
		FILE *file;

		(void)snprintf(name, sizeof(name), "log.%010u", number);
		path = test_path_dup(lab->home, name);
		file = fopen(path, "r+");
		free(path);
		if (file == NULL)
			continue;
		ck_assert_uint_eq(fwrite(zeros, 1, sizeof(zeros), file),
				  sizeof(zeros));
		ck_assert_int_eq(fclose(file), 0);
	}
}

/*
 * Goal: the error says why, not what the engine says of what came of it.
 * Method: an opening that fails, of log files that are none.
 */
START_TEST(the_reason_is_told)
{
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	numbers_put(&lab);
	db_close(&lab.db);
	logs_spoil(&lab);
	test_rc(lab_try(&lab, false), MBJ_ECORRUPT);
	ck_assert_msg(strstr(err.message, "past end of log") != NULL, "%s",
		      err.message);
	lab_end(&lab);
}
END_TEST

/* Goal: files are for the owner alone.  Method: their modes. */
START_TEST(files_are_private)
{
	struct lab lab;
	struct stat st;
	char *path;

	lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	path = test_path_dup(lab.home, "state.db");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 077, 0);
	free(path);
	path = test_path_dup(lab.home, "log.0000000001");
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 077, 0);
	free(path);
	lab_end(&lab);
}
END_TEST

/* Files of the engine's log. */
static unsigned logs_count(const struct lab *lab)
{
	struct mbj_buf names;
	unsigned count = 0;

	mbj_buf_init(&names, 1 << 20);
	test_ok(mbj_dir_list(mbj_sys_posix(), lab->home, &names, &err), err);
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name))
		count += strncmp(name, "log.", 4) == 0;
	mbj_buf_done(&names);
	return count;
}

/*
 * Goal: the log does not grow without a bound although the engine is not
 * asked for a checkpoint after each transaction.  Method: eight times the log
 * between checkpoints, which leaves eight files or more where none is made.
 */
START_TEST(checkpoints_come_by_volume)
{
	uint8_t value[1000];
	struct lab lab;

	lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	for (unsigned i = 0; i < 8000; i += 10) {
		struct db_txn *txn = begin(&lab, false);

		for (unsigned j = i; j < i + 10; j++) {
			char key[16];

			(void)snprintf(key, sizeof(key), "%u", j % 100);
			/* Only what differs from before is logged. */
			memset(value, (int)(j * 7 % 256), sizeof(value));
			put(txn, key, mbj_bytes_make(value, sizeof(value)));
		}
		test_ok(db_commit(&txn, &err), err);
		test_ok(db_checkpoint(lab.db, false, &err), err);
	}
	ck_assert_uint_le(logs_count(&lab), 4);
	lab_end(&lab);
}
END_TEST

/* A key that shares its beginning with many, and may be one's beginning. */
static struct mbj_bytes key_random(struct test_rng *rng, uint8_t key[64])
{
	static const uint8_t bytes[] = {0, 1, 'k', 0x7f, 0x80, 0xff};
	size_t n = 1 + (size_t)test_rng_below(rng, 63);

	memset(key, 'k', 64);
	for (int i = 0; i < 3; i++)
		key[test_rng_below(rng, 64)] =
			bytes[test_rng_below(rng, sizeof(bytes))];
	return mbj_bytes_make(key, n);
}

/*
 * Goal: tables are in the order of their keys' bytes, the shorter first, and
 * every key is found again through inner pages that keep parts of keys.
 * Method: random keys over several levels, looked up, and scanned against the
 * plain comparison.
 */
START_TEST(keys_are_in_the_order_of_their_bytes)
{
	enum { KEYS = 4000 };
	static uint8_t keys[KEYS][64];
	static struct mbj_bytes views[KEYS];
	struct mbj_buf last;
	struct mbj_buf found;
	struct db_cursor *cursor = NULL;
	struct mbj_bytes key, value;
	struct test_rng rng;
	struct db_txn *txn;
	struct lab lab;
	enum mbj_rc rc;

	(void)test_rng_seed(&rng);
	lab_begin(&lab, _i);
	txn = begin(&lab, false);
	for (unsigned i = 0; i < KEYS; i++) {
		views[i] = key_random(&rng, keys[i]);
		test_ok(db_put(txn, TABLE_SLOTS, views[i], views[i], &err),
			err);
	}
	mbj_buf_init(&found, 1 << 20);
	for (unsigned i = 0; i < KEYS; i++) {
		mbj_buf_clear(&found);
		test_ok(db_get(txn, TABLE_SLOTS, views[i], &found, &err), err);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&found), views[i]));
	}
	mbj_buf_init(&last, 1 << 20);
	test_ok(db_cursor_open(txn, TABLE_SLOTS, mbj_bytes_make(NULL, 0),
			       &cursor, &err),
		err);
	while ((rc = db_cursor_next(cursor, &key, &value, &err)) == MBJ_OK) {
		ck_assert_int_lt(mbj_bytes_compare(mbj_buf_view(&last), key),
				 0);
		ck_assert(mbj_bytes_equal(key, value));
		mbj_buf_clear(&last);
		mbj_buf_put_bytes(&last, key);
	}
	test_rc(rc, MBJ_ENOTFOUND);
	ck_assert_uint_gt(last.n, 0);
	db_cursor_close(&cursor);
	db_abort(&txn);
	mbj_buf_done(&last);
	mbj_buf_done(&found);
	lab_end(&lab);
}
END_TEST

TCase *test_db_case(void)
{
	TCase *tc = tcase_create("db");

	tcase_add_loop_test(tc, commits_stay_and_aborts_go, 0, ENGINES);
	tcase_add_loop_test(tc, snapshots_are_of_their_beginning, 0, ENGINES);
	tcase_add_loop_test(tc, scans_meet_every_record, 0, ENGINES);
	tcase_add_loop_test(tc, keys_are_in_the_order_of_their_bytes, 0,
			    ENGINES);
	tcase_add_test(tc, checkpoints_come_by_volume);
	tcase_add_test(tc, missing_tables_are_damage);
	tcase_add_test(tc, nothing_is_printed);
	tcase_add_test(tc, the_reason_is_told);
	tcase_add_test(tc, files_are_private);
	return tc;
}
