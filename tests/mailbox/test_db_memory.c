/*
 * What only the engine in memory can get wrong: its pages, copied on write,
 * and its file.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "cases.h"
#include "db_engine.h"

static struct mbj_error err;

static enum mbj_rc db_try(const char *home, bool is_new, struct db **ret_db)
{
	const struct db_options options = {
		.checkpoint_log_size = 1 << 20,
		.is_new = is_new,
		.engine = MBJ_STATE_MEMORY,
		.sys = mbj_sys_posix(),
	};

	return db_open(home, &options, ret_db, &err);
}

static struct db *db_new(const char *home)
{
	struct db *db = NULL;

	test_ok(db_try(home, true, &db), err);
	return db;
}

/* ---------------------------------------------------------------- model */

enum { KEYS = 600, STEPS = 6000, SNAPSHOTS = 7 };

/* The value of each key, 0: none. */
struct model {
	uint32_t value[KEYS];
};

struct snapshot {
	struct model model;
	struct db_txn *txn;
};

static struct mbj_bytes key_of(uint32_t number, uint8_t bytes[4])
{
	mbj_store_u32(bytes, number);
	/* Big-endian, so that the order of bytes is that of numbers. */
	for (int i = 0; i < 2; i++) {
		uint8_t byte = bytes[i];

		bytes[i] = bytes[3 - i];
		bytes[3 - i] = byte;
	}
	return mbj_bytes_make(bytes, 4);
}

/* A scan from first meets what the model holds, and its end. */
static void model_compare(const struct model *model, struct db_txn *txn,
			  uint32_t first)
{
	struct db_cursor *cursor = NULL;
	struct mbj_bytes key;
	struct mbj_bytes value;
	uint8_t bytes[4];

	test_ok(db_cursor_open(txn, TABLE_SLOTS, key_of(first, bytes), &cursor,
			       &err),
		err);
	for (uint32_t i = first; i < KEYS; i++) {
		if (model->value[i] == 0)
			continue;
		test_ok(db_cursor_next(cursor, &key, &value, &err), err);
		ck_assert(mbj_bytes_equal(key, key_of(i, bytes)));
		ck_assert_uint_eq(value.n, 4);
		ck_assert_uint_eq(mbj_load_u32(value.p), model->value[i]);
	}
	test_rc(db_cursor_next(cursor, &key, &value, &err), MBJ_ENOTFOUND);
	db_cursor_close(&cursor);
}

static void model_change(struct model *model, struct db_txn *txn,
			 struct test_rng *rng, uint32_t step)
{
	uint32_t number = test_pick(rng, KEYS);
	/* Phases that fill and phases that empty. */
	bool is_put = test_rng_chance(rng, step / 1000 % 2 ? 1 : 4, 5);
	uint8_t value[4];
	uint8_t key[4];

	if (is_put) {
		mbj_store_u32(value, step + 1);
		test_ok(db_put(txn, TABLE_SLOTS, key_of(number, key),
			       mbj_bytes_make(value, 4), &err),
			err);
	} else {
		test_ok(db_del(txn, TABLE_SLOTS, key_of(number, key), &err),
			err);
	}
	model->value[number] = is_put ? step + 1 : 0;
}

static void snapshot_turn(struct snapshot *snapshot, struct db *db,
			  const struct model *model, struct test_rng *rng)
{
	if (snapshot->txn != NULL) {
		model_compare(&snapshot->model, snapshot->txn,
			      test_pick(rng, KEYS));
		db_abort(&snapshot->txn);
	}
	snapshot->model = *model;
	test_ok(db_begin(db, true, &snapshot->txn, &err), err);
}

/*
 * Goal: tables are ordered maps and snapshots never change, whatever is put,
 * deleted, committed, aborted, saved and loaded in between.  Method: a random
 * walk beside an array, with snapshots of several ages.
 */
START_TEST(tables_are_maps)
{
	static struct snapshot snapshots[SNAPSHOTS];
	struct model committed = {{0}};
	char *home = test_tmpdir_new();
	struct db *db = db_new(home);
	struct model model = {{0}};
	struct db_txn *txn = NULL;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	test_ok(db_begin(db, false, &txn, &err), err);
	for (uint32_t step = 0; step < STEPS; step++) {
		model_change(&model, txn, &rng, step);
		if (!test_rng_chance(&rng, 1, 20))
			continue;
		model_compare(&model, txn, test_pick(&rng, KEYS));
		if (test_rng_chance(&rng, 1, 3)) {
			db_abort(&txn);
			model = committed;
		} else {
			test_ok(db_commit(&txn, &err), err);
			committed = model;
		}
		snapshot_turn(&snapshots[test_pick(&rng, SNAPSHOTS)], db,
			      &committed, &rng);
		test_ok(db_begin(db, false, &txn, &err), err);
	}
	db_abort(&txn);
	for (size_t i = 0; i < SNAPSHOTS; i++)
		db_abort(&snapshots[i].txn);
	test_ok(db_checkpoint(db, true, &err), err);
	db_close(&db);
	test_ok(db_try(home, false, &db), err);
	test_ok(db_begin(db, true, &txn, &err), err);
	model_compare(&committed, txn, 0);
	db_abort(&txn);
	db_close(&db);
	test_tmpdir_free(&home);
}
END_TEST

/* ----------------------------------------------------------------- file */

static void put_some(struct db *db, uint32_t count)
{
	struct db_txn *txn = NULL;
	uint8_t key[4];

	test_ok(db_begin(db, false, &txn, &err), err);
	for (uint32_t i = 0; i < count; i++)
		test_ok(db_put(txn, (enum db_table)(i % TABLE_COUNT),
			       key_of(i, key), mbj_bytes_str("value"), &err),
			err);
	test_ok(db_commit(&txn, &err), err);
}

static void file_write(const char *path, struct mbj_bytes bytes)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes.p, bytes.n), (ssize_t)bytes.n);
	ck_assert_int_eq(close(fd), 0);
}

/*
 * Goal: no damaged file is believed.  Method: each bit flipped, each length
 * short of the whole, the file missing.
 */
START_TEST(damage_is_found)
{
	char *home = test_tmpdir_new();
	char *path = test_path_dup(home, DB_MEMORY_NAME);
	struct db *db = db_new(home);
	struct mbj_buf whole;

	put_some(db, 12);
	test_ok(db_checkpoint(db, true, &err), err);
	db_close(&db);
	mbj_buf_init(&whole, 1 << 20);
	test_ok(mbj_file_load(mbj_sys_posix(), path, 1 << 20, &whole, &err),
		err);
	for (size_t bit = 0; bit < whole.n * 8; bit++) {
		whole.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		file_write(path, mbj_buf_view(&whole));
		whole.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
		test_rc(db_try(home, false, &db), MBJ_ECORRUPT);
	}
	for (size_t n = 0; n < whole.n; n++) {
		file_write(path, mbj_bytes_make(whole.p, n));
		test_rc(db_try(home, false, &db), MBJ_ECORRUPT);
	}
	ck_assert_int_eq(unlink(path), 0);
	test_rc(db_try(home, false, &db), MBJ_ECORRUPT);
	file_write(path, mbj_buf_view(&whole));
	test_ok(db_try(home, false, &db), err);
	db_close(&db);
	mbj_buf_done(&whole);
	free(path);
	test_tmpdir_free(&home);
}
END_TEST

/*
 * Goal: what a crash leaves is the last checkpoint, and an unforced checkpoint
 * waits for its volume.  Method: a second look at the file while the first
 * environment goes on.
 */
START_TEST(crashes_leave_the_last_checkpoint)
{
	struct mbj_buf value;
	char *home = test_tmpdir_new();
	struct db *db = db_new(home);
	struct db *crashed = NULL;
	struct db_txn *txn = NULL;
	uint8_t key[4];

	mbj_buf_init(&value, 64);
	for (int round = 0; round < 2; round++) {
		put_some(db, 1);
		test_ok(db_checkpoint(db, round == 1, &err), err);
		test_ok(db_try(home, false, &crashed), err);
		test_ok(db_begin(crashed, true, &txn, &err), err);
		test_rc(db_get(txn, TABLE_META, key_of(0, key), &value, &err),
			round == 1 ? MBJ_OK : MBJ_ENOTFOUND);
		db_abort(&txn);
		db_close(&crashed);
	}
	mbj_buf_done(&value);
	db_close(&db);
	test_tmpdir_free(&home);
}
END_TEST

/*
 * Goal: without memory nothing is lost and nothing half done.  Method: each
 * allocation of a transaction fails in turn; before and after are compared.
 */
START_TEST(no_memory_is_no_loss)
{
	char *home = test_tmpdir_new();
	struct db *db = db_new(home);
	struct model model = {{0}};
	struct db_txn *txn = NULL;
	enum mbj_rc rc = MBJ_ENOMEM;
	uint8_t key[4];

	put_some(db, 500);
	for (uint64_t k = 1; rc != MBJ_OK; k++) {
		test_alloc_fail_at(k);
		rc = db_begin(db, false, &txn, &err);
		for (uint32_t i = 0; rc == MBJ_OK && i < 120; i++)
			rc = db_put(txn, TABLE_SLOTS, key_of(i, key),
				    mbj_bytes_make(key, 4), &err);
		if (rc == MBJ_OK)
			rc = db_del(txn, TABLE_SLOTS, key_of(7, key), &err);
		test_alloc_fail_at(0);
		if (rc == MBJ_OK)
			break;
		test_rc(rc, MBJ_ENOMEM);
		if (txn != NULL)
			test_rc(db_commit(&txn, &err), MBJ_EIO);
	}
	test_ok(db_commit(&txn, &err), err);
	for (uint32_t i = 0; i < 120; i++)
		model.value[i] = i == 7 ? 0 : mbj_load_u32(key_of(i, key).p);
	test_ok(db_begin(db, false, &txn, &err), err);
	for (uint32_t i = 120; i < 500; i++)
		test_ok(db_del(txn, TABLE_SLOTS, key_of(i, key), &err), err);
	/* Key and value are the same four bytes; 0 stands for "none". */
	test_ok(db_del(txn, TABLE_SLOTS, key_of(0, key), &err), err);
	model.value[0] = 0;
	model_compare(&model, txn, 0);
	db_abort(&txn);
	db_close(&db);
	test_tmpdir_free(&home);
}
END_TEST

TCase *test_db_memory_case(void)
{
	TCase *tc = tcase_create("db_memory");

	tcase_add_test(tc, tables_are_maps);
	tcase_add_test(tc, damage_is_found);
	tcase_add_test(tc, crashes_leave_the_last_checkpoint);
	tcase_add_test(tc, no_memory_is_no_loss);
	return tc;
}
