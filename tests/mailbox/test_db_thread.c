/*
 * Snapshots beside a writer, in threads: Berkeley DB without its locks.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/codec.h>
#include <mbj/sys.h>

#include "cases.h"
#include "db_berkeley.h"

enum {
	READERS = 3,
	KEYS = 1500,
	CHANGES = 40,
	CLEARED = 300, /* neighbours that go at once: pages become free */
	VALUE_MAX = 400,
	VALUE_LONG_MAX = 3000, /* not in a page with others */
	HELD = 20, /* transactions while the writer's own snapshot is open */
	TOTAL = 1000000, /* that all records together have, at any time */
};

/* With what the engine has to do less, or more. */
struct setting {
	size_t cache_size; /* bytes */
	uint32_t txns;
	bool has_long; /* values */
};

static const struct setting settings[] = {
	{8 << 20, 400, false},
	/* All has no room there: versions are written out and read again. */
	{512 << 10, 120, true},
};

struct lab {
	char *home;
	struct db *db;
	const struct setting *setting;
	struct reader *readers;
	atomic_bool is_over;
};

/* What the writer has put. */
struct model {
	bool is_there[KEYS];
	uint32_t number[KEYS];
};

struct reader {
	pthread_t thread;
	struct lab *lab;
	atomic_uint passes;
	unsigned wrong; /* snapshots that were of no moment */
	enum mbj_rc rc;
	struct mbj_error err;
};

static struct mbj_error err;

static const struct mbj_bytes turn_key = {(const uint8_t *)"turn", 4};

static void turn_put(struct db_txn *txn, uint32_t turn)
{
	uint8_t value[4];
	struct mbj_bytes bytes = mbj_bytes_make(value, sizeof(value));

	mbj_store_u32(value, turn);
	test_ok(db_put(txn, TABLE_META, turn_key, bytes, &err), err);
	test_ok(db_put(txn, TABLE_ACCOUNTS, turn_key, bytes, &err), err);
}

static struct mbj_bytes key_of(unsigned at, uint8_t key[24])
{
	memset(key, 'k', 24);
	key[0] = (uint8_t)(at >> 8);
	key[1] = (uint8_t)at;
	return mbj_bytes_make(key, 24);
}

static void record_put(struct db_txn *txn, const struct model *model,
		       unsigned at, size_t size)
{
	uint8_t value[VALUE_LONG_MAX] = {0};
	uint8_t key[24];

	if (!model->is_there[at]) {
		test_ok(db_del(txn, TABLE_SLOTS, key_of(at, key), &err), err);
		return;
	}
	mbj_store_u32(value, model->number[at]);
	test_ok(db_put(txn, TABLE_SLOTS, key_of(at, key),
		       mbj_bytes_make(value, 4 + size), &err),
		err);
}

/* All that one record has goes to another one. */
static void number_move(struct model *model, unsigned from, unsigned to)
{
	if (from == to || !model->is_there[from])
		return;
	model->is_there[to] = true;
	model->number[to] += model->number[from];
	model->number[from] = 0;
}

static size_t size_draw(const struct setting *setting, struct test_rng *rng)
{
	bool is_long = setting->has_long && test_rng_chance(rng, 1, 8);

	return test_rng_below(rng, (is_long ? VALUE_LONG_MAX : VALUE_MAX) - 4);
}

static void model_change(struct model *model, struct db_txn *txn,
			 const struct setting *setting, struct test_rng *rng)
{
	for (unsigned i = 0; i < CHANGES; i++) {
		unsigned from = (unsigned)test_rng_below(rng, KEYS);
		unsigned to = (unsigned)test_rng_below(rng, KEYS);
		uint32_t part;

		if (from == to)
			continue;
		part = model->number[from] / 2;
		model->is_there[from] = model->is_there[to] = true;
		model->number[from] -= part;
		model->number[to] += part;
		record_put(txn, model, from, size_draw(setting, rng));
		record_put(txn, model, to, size_draw(setting, rng));
	}
}

static void model_clear(struct model *model, struct db_txn *txn,
			struct test_rng *rng)
{
	unsigned first = (unsigned)test_rng_below(rng, KEYS - CLEARED);
	unsigned heir = (first + CLEARED) % KEYS;

	for (unsigned i = first; i < first + CLEARED; i++) {
		number_move(model, i, heir);
		model->is_there[i] = false;
		record_put(txn, model, i, 0);
	}
	model->is_there[heir] = true;
	record_put(txn, model, heir, 4);
}

static uint32_t turn_get(struct reader *reader, struct db_txn *txn,
			 enum db_table table)
{
	struct mbj_buf found;
	uint32_t turn = 0;

	mbj_buf_init(&found, 1 << 20);
	reader->rc = db_get(txn, table, turn_key, &found, &reader->err);
	if (reader->rc == MBJ_OK)
		turn = mbj_load_u32(found.p);
	mbj_buf_done(&found);
	return turn;
}

static uint32_t numbers_sum(struct reader *reader, struct db_txn *txn)
{
	struct db_cursor *cursor = NULL;
	struct mbj_bytes value;
	struct mbj_bytes key;
	uint32_t sum = 0;

	reader->rc = db_cursor_open(txn, TABLE_SLOTS, (struct mbj_bytes){0},
				    &cursor, &reader->err);
	while (reader->rc == MBJ_OK) {
		reader->rc = db_cursor_next(cursor, &key, &value, &reader->err);
		if (reader->rc == MBJ_OK)
			sum += mbj_load_u32(value.p);
	}
	db_cursor_close(&cursor);
	if (reader->rc == MBJ_ENOTFOUND)
		reader->rc = MBJ_OK;
	return sum;
}

/* One scan, between two looks at the transaction's number.  Returns: that. */
static uint32_t snapshot_look(struct reader *reader, struct db_txn *txn)
{
	uint32_t before;
	uint32_t after = 0;
	uint32_t sum = 0;

	before = turn_get(reader, txn, TABLE_META);
	if (reader->rc == MBJ_OK)
		sum = numbers_sum(reader, txn);
	if (reader->rc == MBJ_OK)
		after = turn_get(reader, txn, TABLE_ACCOUNTS);
	reader->wrong += before != after || sum != TOTAL;
	return before;
}

static void *reader_run(void *argument)
{
	struct reader *reader = argument;

	while (reader->rc == MBJ_OK && !atomic_load(&reader->lab->is_over)) {
		struct db_txn *txn = NULL;

		reader->rc =
			db_begin(reader->lab->db, true, &txn, &reader->err);
		if (reader->rc == MBJ_OK) {
			(void)snapshot_look(reader, txn);
			db_abort(&txn);
		}
		atomic_fetch_add(&reader->passes, 1);
	}
	return NULL;
}

/* Once at least, each beside the writer; one that failed has, too. */
static bool readers_have_passed(const struct lab *lab)
{
	for (unsigned i = 0; i < READERS; i++) {
		if (atomic_load(&lab->readers[i].passes) == 0)
			return false;
	}
	return true;
}

/* One in five is given up, one in ten clears neighbours. */
static void writer_turn(struct lab *lab, struct model *model, uint32_t turn,
			struct test_rng *rng)
{
	struct model before = *model;
	struct db_txn *txn = NULL;

	test_ok(db_begin(lab->db, false, &txn, &err), err);
	turn_put(txn, turn);
	if (turn % 10 == 0)
		model_clear(model, txn, rng);
	model_change(model, txn, lab->setting, rng);
	if (turn % 5 == 1 && turn > 1) {
		db_abort(&txn);
		*model = before;
	} else {
		test_ok(db_commit(&txn, &err), err);
	}
	test_ok(db_checkpoint(lab->db, turn % 50 == 0, &err), err);
}

/* Beside the readers a snapshot of its own, which has grown old when read. */
static void writer_run(struct lab *lab, struct model *model,
		       struct test_rng *rng)
{
	struct reader own = {.rc = MBJ_OK};
	struct db_txn *held = NULL;

	for (uint32_t turn = 1;
	     turn <= lab->setting->txns || !readers_have_passed(lab); turn++) {
		uint32_t seen;

		/* After one that was committed. */
		if (turn % HELD == 1)
			test_ok(db_begin(lab->db, true, &held, &err), err);
		writer_turn(lab, model, turn, rng);
		if (turn % HELD != 0)
			continue;
		seen = snapshot_look(&own, held);
		test_ok(own.rc, own.err);
		ck_assert_uint_eq(own.wrong, 0);
		ck_assert_uint_eq(seen, turn - HELD);
		db_abort(&held);
	}
	db_abort(&held);
}

static void lab_begin(struct lab *lab, const struct setting *setting,
		      struct model *model)
{
	const struct db_options options = {
		.cache_size = setting->cache_size,
		.log_file_size = 1 << 20,
		.checkpoint_log_size = 1 << 20,
		.is_new = true,
		.engine = MBJ_STATE_BERKELEY_DB,
		.sys = mbj_sys_posix(),
	};
	struct db_txn *txn = NULL;

	memset(model, 0, sizeof(*model));
	model->is_there[0] = true;
	model->number[0] = TOTAL;
	lab->db = NULL;
	lab->setting = setting;
	atomic_init(&lab->is_over, false);
	lab->home = test_tmpdir_new();
	test_ok(db_open(lab->home, &options, &lab->db, &err), err);
	test_ok(db_begin(lab->db, false, &txn, &err), err);
	turn_put(txn, 0);
	record_put(txn, model, 0, 4);
	test_ok(db_commit(&txn, &err), err);
}

static void lab_end(struct lab *lab)
{
	db_close(&lab->db);
	test_tmpdir_free(&lab->home);
}

/* Versions that were written out of the cache, and those read again. */
static void versions_count(const struct lab *lab, uintmax_t *ret_frozen,
			   uintmax_t *ret_thawed)
{
	DB_ENV *env = ((const struct berkeley *)lab->db)->env;
	DB_MPOOL_STAT *stat = NULL;

	ck_assert_int_eq(env->memp_stat(env, &stat, NULL, 0), 0);
	*ret_frozen = stat->st_mvcc_frozen;
	*ret_thawed = stat->st_mvcc_thawed;
	mbj_free(stat);
}

/*
 * Goal: a snapshot is of one moment between transactions, in all of a scan and
 * in all tables, whatever the writer does meanwhile.  Method: a sum that each
 * transaction leaves as it is while pages split, fill, become free and are
 * taken again, some transactions being given up; the number of the transaction
 * in two tables, read before and after the scan, by three threads, and by the
 * writer in a snapshot that it has held for a while.  Once all is in the cache,
 * once the cache holds next to nothing and some values have pages of their own.
 */
START_TEST(snapshots_are_of_one_moment_beside_a_writer)
{
	struct reader readers[READERS] = {{.rc = MBJ_OK}};
	struct model *model = malloc(sizeof(*model));
	uintmax_t frozen;
	uintmax_t thawed;
	struct test_rng rng;
	struct lab lab;

	ck_assert_ptr_nonnull(model);
	(void)test_rng_seed(&rng);
	lab_begin(&lab, &settings[_i], model);
	lab.readers = readers;
	for (unsigned i = 0; i < READERS; i++) {
		readers[i].lab = &lab;
		ck_assert_int_eq(pthread_create(&readers[i].thread, NULL,
						reader_run, &readers[i]),
				 0);
	}
	writer_run(&lab, model, &rng);
	atomic_store(&lab.is_over, true);
	for (unsigned i = 0; i < READERS; i++) {
		ck_assert_int_eq(pthread_join(readers[i].thread, NULL), 0);
		test_ok(readers[i].rc, readers[i].err);
		ck_assert_uint_eq(readers[i].wrong, 0);
	}
	versions_count(&lab, &frozen, &thawed);
	ck_assert(!lab.setting->has_long || (frozen > 0 && thawed > 0));
	free(model);
	lab_end(&lab);
}
END_TEST

TCase *test_db_thread_case(void)
{
	TCase *tc = tcase_create("db_thread");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, snapshots_are_of_one_moment_beside_a_writer, 0,
			    (int)(sizeof(settings) / sizeof(settings[0])));
	return tc;
}
