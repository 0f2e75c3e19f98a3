/*
 * Snapshots beside a writer, in threads: Berkeley DB without its locks, and
 * with one version of each page.
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
	/* All has no room there: pages are written out and read again. */
	{512 << 10, 120, true},
};

struct lab {
	char *home;
	struct db *db;
	struct written *written;
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

/* What the open transaction has written, and what that was. */
struct written {
	struct mbj_arena *arena; /* keys and values */
	bool is_known[KEYS];
	bool was_there[KEYS];
	struct mbj_bytes before[KEYS];
};

static struct written *written_new(void)
{
	struct written *written = calloc(1, sizeof(*written));

	ck_assert_ptr_nonnull(written);
	test_ok(mbj_arena_new((size_t)256 << 20, &written->arena, &err), err);
	return written;
}

static void written_forget(struct written *written)
{
	memset(written->is_known, 0, sizeof(written->is_known));
	mbj_arena_reset(written->arena);
}

static void written_free(struct written **written)
{
	mbj_arena_free(&(*written)->arena);
	free(*written);
	*written = NULL;
}

static struct mbj_bytes dup_of(struct written *written, struct mbj_bytes bytes)
{
	struct mbj_bytes copy;

	ck_assert(mbj_arena_dup(written->arena, bytes, &copy));
	return copy;
}

/* One record, NULL: it goes.  *change has table and key. */
static void change_write(struct written *written, struct db_txn *txn,
			 struct db_change *change,
			 const struct mbj_bytes *value)
{
	change->is_there = value != NULL;
	if (value != NULL)
		change->value = *value;
	change->key = dup_of(written, change->key);
	test_ok(db_write(txn, change, 1, &err), err);
}

/* What a record is to a transaction. */
static void before_get(struct written *written, struct db_txn *txn,
		       struct db_change *change)
{
	struct mbj_buf found;
	enum mbj_rc rc;

	mbj_buf_init(&found, 1 << 20);
	rc = db_get(txn, change->table, change->key, &found, &err);
	ck_assert(rc == MBJ_OK || rc == MBJ_ENOTFOUND);
	change->was_there = rc == MBJ_OK;
	change->before = dup_of(written, mbj_buf_view(&found));
	mbj_buf_done(&found);
}

static const struct mbj_bytes turn_key = {(const uint8_t *)"turn", 4};

static void turn_put(struct written *written, struct db_txn *txn, uint32_t turn)
{
	const enum db_table tables[] = {TABLE_META, TABLE_ACCOUNTS};
	uint8_t value[4];
	struct mbj_bytes bytes = mbj_bytes_make(value, sizeof(value));

	mbj_store_u32(value, turn);
	for (size_t i = 0; i < 2; i++) {
		struct db_change change = {.table = tables[i], .key = turn_key};

		before_get(written, txn, &change);
		change_write(written, txn, &change, &bytes);
	}
}

static struct mbj_bytes key_of(unsigned at, uint8_t key[24])
{
	memset(key, 'k', 24);
	key[0] = (uint8_t)(at >> 8);
	key[1] = (uint8_t)at;
	return mbj_bytes_make(key, 24);
}

static void record_put(struct written *written, struct db_txn *txn,
		       const struct model *model, unsigned at, size_t size)
{
	uint8_t value[VALUE_LONG_MAX] = {0};
	uint8_t key[24];
	struct db_change change = {.table = TABLE_SLOTS,
				   .key = key_of(at, key)};
	struct mbj_bytes bytes = mbj_bytes_make(value, 4 + size);

	if (!written->is_known[at]) {
		before_get(written, txn, &change);
		written->is_known[at] = true;
		written->was_there[at] = change.was_there;
		written->before[at] = change.before;
	}
	change.was_there = written->was_there[at];
	change.before = written->before[at];
	mbj_store_u32(value, model->number[at]);
	change_write(written, txn, &change,
		     model->is_there[at] ? &bytes : NULL);
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

static void model_change(struct model *model, struct written *written,
			 struct db_txn *txn, const struct setting *setting,
			 struct test_rng *rng)
{
	for (unsigned i = 0; i < CHANGES / 2; i++) {
		unsigned from = (unsigned)test_rng_below(rng, KEYS);
		unsigned to = (unsigned)test_rng_below(rng, KEYS);
		uint32_t part;

		if (from == to)
			continue;
		part = model->number[from] / 2;
		model->is_there[from] = model->is_there[to] = true;
		model->number[from] -= part;
		model->number[to] += part;
		record_put(written, txn, model, from, size_draw(setting, rng));
		record_put(written, txn, model, to, size_draw(setting, rng));
	}
}

static void model_clear(struct model *model, struct written *written,
			struct db_txn *txn, struct test_rng *rng)
{
	unsigned first = (unsigned)test_rng_below(rng, KEYS - CLEARED);
	unsigned heir = (first + CLEARED) % KEYS;

	for (unsigned i = first; i < first + CLEARED; i++) {
		number_move(model, i, heir);
		model->is_there[i] = false;
		record_put(written, txn, model, i, 0);
	}
	model->is_there[heir] = true;
	record_put(written, txn, model, heir, 4);
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

/*
 * One in five is given up, one in ten clears neighbours.  Between its changes a
 * snapshot is taken, where held is not NULL.
 */
static void writer_turn(struct lab *lab, struct model *model, uint32_t turn,
			struct db_txn **held, struct test_rng *rng)
{
	struct written *written = lab->written;
	struct model before = *model;
	struct db_txn *txn = NULL;

	test_ok(db_begin(lab->db, false, &txn, &err), err);
	turn_put(written, txn, turn);
	if (turn % 10 == 0)
		model_clear(model, written, txn, rng);
	model_change(model, written, txn, lab->setting, rng);
	if (held != NULL)
		test_ok(db_begin(lab->db, true, held, &err), err);
	model_change(model, written, txn, lab->setting, rng);
	if (turn % 5 == 1 && turn > 1) {
		db_abort(&txn);
		*model = before;
	} else {
		test_ok(db_commit(&txn, &err), err);
	}
	written_forget(written);
	test_ok(db_checkpoint(lab->db, turn % 50 == 0, &err), err);
}

/*
 * Beside the readers snapshots of its own, taken within a transaction and old
 * when they are read: one that is given up but for the first, one that is not.
 */
static void writer_run(struct lab *lab, struct model *model,
		       struct test_rng *rng)
{
	const uint32_t taken[] = {1, 3};
	struct reader own = {.rc = MBJ_OK};
	struct db_txn *held[2] = {NULL, NULL};

	for (uint32_t turn = 1;
	     turn <= lab->setting->txns || !readers_have_passed(lab); turn++) {
		uint32_t at = turn % HELD;

		writer_turn(lab, model, turn,
			    at == taken[0]   ? &held[0]
			    : at == taken[1] ? &held[1]
					     : NULL,
			    rng);
		for (unsigned i = 0; i < 2 && at == 0; i++) {
			uint32_t seen = snapshot_look(&own, held[i]);

			test_ok(own.rc, own.err);
			ck_assert_uint_eq(own.wrong, 0);
			ck_assert_uint_eq(seen, turn - HELD + taken[i] - 1);
			db_abort(&held[i]);
		}
	}
	db_abort(&held[0]);
	db_abort(&held[1]);
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
	lab->written = written_new();
	test_ok(db_begin(lab->db, false, &txn, &err), err);
	turn_put(lab->written, txn, 0);
	record_put(lab->written, txn, model, 0, 4);
	test_ok(db_commit(&txn, &err), err);
	written_forget(lab->written);
}

static void lab_end(struct lab *lab)
{
	db_close(&lab->db);
	written_free(&lab->written);
	test_tmpdir_free(&lab->home);
}

/* Pages that were written out of the cache to make room. */
static uintmax_t pages_written_out(const struct lab *lab)
{
	DB_ENV *env = ((const struct berkeley *)lab->db)->env;
	DB_MPOOL_STAT *stat = NULL;
	uintmax_t count;

	ck_assert_int_eq(env->memp_stat(env, &stat, NULL, 0), 0);
	count = stat->st_rw_evict;
	mbj_free(stat);
	return count;
}

/*
 * Goal: a snapshot is of one moment between transactions, in all of a scan and
 * in all tables, whatever the writer does meanwhile.  Method: a sum that each
 * transaction leaves as it is while pages split, fill, become free and are
 * taken again, some transactions being given up; the number of the transaction
 * in two tables, read before and after the scan, by three threads, and by the
 * writer in snapshots that it took between its writes and has held for a while.
 * Once all is in the cache, once the cache holds next to nothing and some
 * values have pages of their own.
 */
START_TEST(snapshots_are_of_one_moment_beside_a_writer)
{
	struct reader readers[READERS] = {{.rc = MBJ_OK}};
	struct model *model = malloc(sizeof(*model));
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
	ck_assert(!lab.setting->has_long || pages_written_out(&lab) > 0);
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
