/*
 * The write-back record cache over a real engine transaction.
 */
#include <fcntl.h>
#include <string.h>

#include <mbj/memory.h>

#include "cache.h"
#include "cases.h"

static struct mbj_error err;

struct lab {
	char *home;
	struct db *db;
	struct cache *cache;
	struct db_txn *txn;
};

static void lab_begin(struct lab *lab, size_t records_max)
{
	const struct db_options options = {
		.sys = mbj_sys_posix(),
		.cache_size = 4 << 20,
		.log_file_size = 1 << 20,
		.checkpoint_log_size = 1 << 20,
		.is_new = true,
	};

	memset(lab, 0, sizeof(*lab));
	lab->home = test_tmpdir_new();
	test_ok(db_open(lab->home, &options, &lab->db, &err), err);
	test_ok(cache_new(records_max, test_id(1), &lab->cache, &err), err);
	test_ok(db_begin(lab->db, false, &lab->txn, &err), err);
}

static void lab_end(struct lab *lab)
{
	db_abort(&lab->txn);
	cache_free(&lab->cache);
	db_close(&lab->db);
	test_tmpdir_free(&lab->home);
}

static enum mbj_rc lab_commit(struct lab *lab)
{
	enum mbj_rc rc;

	rc = cache_flush(lab->cache, lab->txn, &err);
	if (rc == MBJ_OK)
		rc = db_commit(&lab->txn, &err);
	else
		db_abort(&lab->txn);
	if (rc == MBJ_OK)
		cache_committed(lab->cache);
	else
		cache_aborted(lab->cache);
	return rc;
}

static void lab_abort(struct lab *lab)
{
	db_abort(&lab->txn);
	cache_aborted(lab->cache);
}

/* The next transaction. */
static void lab_again(struct lab *lab)
{
	test_ok(db_begin(lab->db, false, &lab->txn, &err), err);
}

/* ------------------------------------------------------------- a model */

enum { KEYS = 40, TABLES = 3, SAVED_MAX = 8, STEPS = 20000 };

/* A record is a number; 0: none. */
struct model {
	unsigned values[TABLES][KEYS];
};

struct run {
	struct lab lab;
	struct test_rng rng;
	struct model now;
	struct model committed;
	struct model saved[SAVED_MAX];
	size_t places[SAVED_MAX];
	uint64_t growths[SAVED_MAX];
	unsigned flushes[SAVED_MAX];
	unsigned flush_count;
	unsigned saved_count;
	unsigned number; /* of the last value given */
	struct db_txn *snapshot;
	struct model seen; /* by it */
};

static enum db_table table_of(unsigned i)
{
	static const enum db_table tables[TABLES] = {TABLE_META,
						     TABLE_MAILBOXES,
						     TABLE_PARKED};

	return tables[i];
}

static struct mbj_bytes key_of(unsigned key, char text[16])
{
	/* Keys that are the beginning of others. */
	memset(text, 'a' + (int)(key % 4), 16);
	return mbj_bytes_make(text, 1 + key / 4);
}

static struct mbj_bytes value_of(unsigned number, uint8_t bytes[64])
{
	memset(bytes, (int)number, 64);
	mbj_store_u32(bytes, number);
	return mbj_bytes_make(bytes, 4 + number % 60);
}

static void run_compare(struct run *run, unsigned table, unsigned key)
{
	unsigned number = run->now.values[table][key];
	struct mbj_bytes found;
	uint8_t bytes[64];
	char text[16];
	enum mbj_rc rc;

	rc = cache_get(run->lab.cache, run->lab.txn, table_of(table),
		       key_of(key, text), &found, &err);
	if (number == 0) {
		ck_assert_int_eq(rc, MBJ_ENOTFOUND);
		return;
	}
	test_ok(rc, err);
	ck_assert(mbj_bytes_equal(found, value_of(number, bytes)));
}

static void run_compare_all(struct run *run)
{
	for (unsigned table = 0; table < TABLES; table++) {
		for (unsigned key = 0; key < KEYS; key++)
			run_compare(run, table, key);
	}
}

static void run_set(struct run *run)
{
	unsigned table = (unsigned)test_rng_below(&run->rng, TABLES);
	unsigned key = (unsigned)test_rng_below(&run->rng, KEYS);
	bool is_there = !test_rng_chance(&run->rng, 1, 3);
	struct mbj_bytes value;
	uint8_t bytes[64];
	char text[16];

	run->now.values[table][key] = is_there ? ++run->number : 0;
	value = value_of(run->number, bytes);
	test_ok(cache_set(run->lab.cache, run->lab.txn, table_of(table),
			  key_of(key, text), is_there ? &value : NULL, &err),
		err);
}

/* What a transaction of the engine sees of a table is what a model says. */
static void engine_compare(struct db_txn *txn, const struct model *model,
			   unsigned table)
{
	struct mbj_buf found;
	uint8_t bytes[64];
	char text[16];

	mbj_buf_init(&found, 4096);
	for (unsigned key = 0; key < KEYS; key++) {
		unsigned number = model->values[table][key];
		enum mbj_rc rc;

		mbj_buf_clear(&found);
		rc = db_get(txn, table_of(table), key_of(key, text), &found,
			    &err);
		ck_assert_int_eq(rc, number == 0 ? MBJ_ENOTFOUND : MBJ_OK);
		ck_assert(number == 0 ||
			  mbj_bytes_equal(mbj_buf_view(&found),
					  value_of(number, bytes)));
	}
	mbj_buf_done(&found);
}

static void run_flush(struct run *run)
{
	unsigned table = (unsigned)test_rng_below(&run->rng, TABLES);

	test_ok(cache_flush(run->lab.cache, run->lab.txn, &err), err);
	run->flush_count++;
	engine_compare(run->lab.txn, &run->now, table);
}

/* A snapshot beside the transaction, and what the one before still sees. */
static void run_look(struct run *run)
{
	if (run->snapshot != NULL)
		for (unsigned table = 0; table < TABLES; table++)
			engine_compare(run->snapshot, &run->seen, table);
	db_abort(&run->snapshot);
	test_ok(db_begin(run->lab.db, true, &run->snapshot, &err), err);
	run->seen = run->committed;
}

static void run_save(struct run *run)
{
	if (run->saved_count == SAVED_MAX)
		return;
	run->places[run->saved_count] = cache_savepoint(run->lab.cache);
	run->growths[run->saved_count] = cache_growth(run->lab.cache);
	run->flushes[run->saved_count] = run->flush_count;
	run->saved[run->saved_count++] = run->now;
}

static void run_rollback(struct run *run)
{
	unsigned to;

	if (run->saved_count == 0)
		return;
	to = (unsigned)test_rng_below(&run->rng, run->saved_count);
	cache_rollback(run->lab.cache, run->places[to]);
	/* What the engine was not told of is as if it had never been. */
	if (run->flushes[to] == run->flush_count)
		ck_assert_uint_eq(cache_growth(run->lab.cache),
				  run->growths[to]);
	else
		ck_assert_uint_ge(cache_growth(run->lab.cache),
				  run->growths[to]);
	run->now = run->saved[to];
	run->saved_count = to + 1;
	ck_assert_uint_eq(cache_savepoint(run->lab.cache), run->places[to]);
}

static void run_end_transaction(struct run *run)
{
	if (test_rng_chance(&run->rng, 1, 2)) {
		test_ok(lab_commit(&run->lab), err);
		run->committed = run->now;
	} else {
		lab_abort(&run->lab);
		run->now = run->committed;
	}
	lab_again(&run->lab);
	run->saved_count = 0;
	ck_assert_uint_eq(cache_growth(run->lab.cache), 0);
}

static void run_step(struct run *run)
{
	switch (test_rng_below(&run->rng, 40)) {
	case 0:
		run_end_transaction(run);
		run_compare_all(run);
		break;
	case 1:
	case 2:
		run_flush(run);
		break;
	case 3:
	case 4:
		run_rollback(run);
		run_compare_all(run);
		break;
	case 5:
	case 6:
	case 7:
		run_save(run);
		break;
	case 8:
		run_look(run);
		break;
	default:
		run_set(run);
	}
}

/*
 * Goal: what is read is what was last set and not undone, whatever was
 * flushed, rolled back, committed or aborted in between; and by a snapshot what
 * was committed when it was taken.  Method: random steps on the cache and on an
 * array, once with a read cache and once without.
 */
START_TEST(random_steps_agree_with_an_array)
{
	static struct run run;

	memset(&run, 0, sizeof(run));
	lab_begin(&run.lab, _i == 0 ? 1000 : 5);
	(void)test_rng_seed(&run.rng);
	for (unsigned i = 0; i < STEPS; i++)
		run_step(&run);
	db_abort(&run.snapshot);
	lab_abort(&run.lab);
	lab_again(&run.lab);
	run.now = run.committed;
	run_compare_all(&run);
	lab_end(&run.lab);
}
END_TEST

/*
 * Goal: what was handed out stays good until the transaction ends.  Method:
 * views taken before the record is changed, flushed and rolled back.
 */
START_TEST(views_outlive_changes)
{
	struct mbj_bytes key = mbj_bytes_str("k");
	struct mbj_bytes views[3];
	struct mbj_bytes value;
	struct lab lab;
	size_t place;

	lab_begin(&lab, 1000);
	value = mbj_bytes_str("first");
	test_ok(cache_set(lab.cache, lab.txn, TABLE_META, key, &value, &err),
		err);
	test_ok(cache_get(lab.cache, lab.txn, TABLE_META, key, &views[0], &err),
		err);
	place = cache_savepoint(lab.cache);
	value = mbj_bytes_str("second");
	test_ok(cache_set(lab.cache, lab.txn, TABLE_META, key, &value, &err),
		err);
	test_ok(cache_get(lab.cache, lab.txn, TABLE_META, key, &views[1], &err),
		err);
	test_ok(cache_flush(lab.cache, lab.txn, &err), err);
	cache_rollback(lab.cache, place);
	test_ok(cache_set(lab.cache, lab.txn, TABLE_META, key, NULL, &err),
		err);
	for (unsigned i = 0; i < 10000; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "x%u", i);
		value = mbj_bytes_str(text);
		test_ok(cache_set(lab.cache, lab.txn, TABLE_SLOTS, value,
				  &value, &err),
			err);
	}
	ck_assert(mbj_bytes_equal(views[0], mbj_bytes_str("first")));
	ck_assert(mbj_bytes_equal(views[1], mbj_bytes_str("second")));
	lab_end(&lab);
}
END_TEST

/* Bytes of the environment's files. */
static uint64_t home_size(const struct lab *lab)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_buf names;
	uint64_t sum = 0;

	mbj_buf_init(&names, 1 << 20);
	test_ok(mbj_dir_list(sys, lab->home, &names, &err), err);
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		struct mbj_file file = MBJ_FILE_CLOSED;
		char path[MBJ_PATH_TEXT_MAX];
		uint64_t size;

		test_ok(mbj_path_join(path, lab->home, name, &err), err);
		test_ok(mbj_file_open(sys, path, O_RDONLY, &file, &err), err);
		test_ok(mbj_file_size(&file, &size, &err), err);
		mbj_file_close(&file);
		sum += size;
	}
	mbj_buf_done(&names);
	return sum;
}

/*
 * Goal: the engine's files grow by no more than is said, and not by much less,
 * whatever the records' length and order.  Method: new records, the same with
 * other values, then without; one transaction each.
 */
START_TEST(growth_is_what_files_grow_by)
{
	static const size_t sizes[] = {16, 100, 700};
	/* All of a transaction is in the engine's cache. */
	static const uint64_t records[] = {20000, 20000, 5000};
	enum { STEPS_EACH = 3 };
	uint8_t bytes[700];
	struct lab lab;

	lab_begin(&lab, 1000);
	for (unsigned step = 0; step < STEPS_EACH; step++) {
		struct mbj_bytes value = mbj_bytes_make(bytes, sizes[_i]);
		uint64_t before = home_size(&lab);
		uint64_t grown;
		uint64_t said;

		memset(bytes, (int)('a' + step), sizeof(bytes));
		for (uint64_t i = 0; i < records[_i]; i++) {
			/* In no order. */
			uint64_t key[4] = {7, 7,
					   i * UINT64_C(0x9e3779b97f4a7c15), i};

			test_ok(cache_set(lab.cache, lab.txn, TABLE_SLOTS,
					  mbj_bytes_make((uint8_t *)key,
							 sizeof(key)),
					  step < 2 ? &value : NULL, &err),
				err);
		}
		said = cache_growth(lab.cache);
		test_ok(lab_commit(&lab), err);
		/* The log is on disk up to its buffer; its files go later. */
		grown = home_size(&lab) - before;
		test_ok(db_checkpoint(lab.db, true, &err), err);
		if (home_size(&lab) > before)
			grown += home_size(&lab) - before;
		ck_assert_uint_le(grown, said + (1 << 20));
		if (step == 0)
			ck_assert_uint_ge(grown, said / 4);
		lab_again(&lab);
	}
	lab_end(&lab);
}
END_TEST

/* One transaction of so many changes to so many records. */
static void changes_run(struct lab *lab, unsigned changes, unsigned records,
			bool is_committed)
{
	for (unsigned i = 0; i < changes; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "key%u", i % records);
		test_ok(cache_set(lab->cache, lab->txn, TABLE_SLOTS,
				  mbj_bytes_str(text), NULL, &err),
			err);
	}
	if (is_committed)
		test_ok(lab_commit(lab), err);
	else
		lab_abort(lab);
	lab_again(lab);
}

/*
 * Goal: the room that a large transaction took is given back when it ends,
 * whether it changed many records or a few of them often; that of an ordinary
 * one is kept.  Method: blocks that the library holds, after an ordinary one
 * and after a large one, committed and aborted.
 */
START_TEST(room_of_a_large_transaction_is_given_back)
{
	enum { RECORDS_MAX = 100, LARGE = 4000 };
	static const struct {
		unsigned records;
		bool is_committed;
		int64_t blocks; /* that are given back */
	} cases[] = {
		/* Undo. */
		{10, true, 1},
		{10, false, 1},
		/* Records, undo, dirty, and the index. */
		{LARGE, true, 4},
		{LARGE, false, 4},
	};
	int64_t before;
	struct lab lab;

	lab_begin(&lab, RECORDS_MAX);
	changes_run(&lab, RECORDS_MAX, 10, true);
	before = test_alloc_blocks();
	changes_run(&lab, RECORDS_MAX, 10, true);
	ck_assert_int_eq(test_alloc_blocks(), before);
	changes_run(&lab, LARGE, cases[_i].records, cases[_i].is_committed);
	ck_assert_int_eq(test_alloc_blocks(), before - cases[_i].blocks);
	/* And it is taken again. */
	changes_run(&lab, LARGE, cases[_i].records, true);
	lab_end(&lab);
}
END_TEST

/* A transaction of every kind of step; the first failure ends it. */
static enum mbj_rc script(struct lab *lab)
{
	struct mbj_bytes value = mbj_bytes_str("value");
	size_t place = 0;
	enum mbj_rc rc = MBJ_OK;

	for (unsigned i = 0; rc == MBJ_OK && i < 60; i++) {
		char text[16];

		(void)snprintf(text, sizeof(text), "key%u", i % 23);
		if (i == 20)
			place = cache_savepoint(lab->cache);
		if (i == 30)
			rc = cache_flush(lab->cache, lab->txn, &err);
		if (i == 50)
			cache_rollback(lab->cache, place);
		if (rc == MBJ_OK)
			rc = cache_set(lab->cache, lab->txn,
				       i % 2 ? TABLE_SLOTS : TABLE_META,
				       mbj_bytes_str(text),
				       i % 5 ? &value : NULL, &err);
	}
	if (rc == MBJ_OK)
		return lab_commit(lab);
	lab_abort(lab);
	return rc;
}

/*
 * Goal: an allocation that fails is reported, loses nothing that was
 * committed, and the next transaction succeeds.  Method: fail each in turn.
 */
START_TEST(failed_allocations_are_survived)
{
	struct mbj_bytes kept = mbj_bytes_str("kept");
	struct mbj_bytes found;
	uint64_t k = 0;
	enum mbj_rc rc;

	do {
		struct lab lab;

		lab_begin(&lab, 1000);
		test_ok(cache_set(lab.cache, lab.txn, TABLE_PARKED, kept, &kept,
				  &err),
			err);
		test_ok(lab_commit(&lab), err);
		lab_again(&lab);
		test_alloc_fail_at(++k);
		rc = script(&lab);
		test_alloc_fail_at(0);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		lab_again(&lab);
		test_ok(cache_get(lab.cache, lab.txn, TABLE_PARKED, kept,
				  &found, &err),
			err);
		ck_assert(mbj_bytes_equal(found, kept));
		test_ok(script(&lab), err);
		lab_end(&lab);
	} while (rc != MBJ_OK);
	ck_assert_uint_gt(k, 10);
}
END_TEST

TCase *test_cache_case(void)
{
	TCase *tc = tcase_create("cache");

	tcase_add_loop_test(tc, random_steps_agree_with_an_array, 0, 2);
	tcase_add_test(tc, views_outlive_changes);
	tcase_add_loop_test(tc, growth_is_what_files_grow_by, 0, 3);
	tcase_add_loop_test(tc, room_of_a_large_transaction_is_given_back, 0,
			    4);
	tcase_add_test(tc, failed_allocations_are_survived);
	return tc;
}
