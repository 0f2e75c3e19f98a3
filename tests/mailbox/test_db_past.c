/*
 * Snapshots of the engines beside a writer: what both give, and when they are
 * refused.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/sys.h>

#include "cases.h"
#include "db_engine.h"
#include "db_past.h"

static struct mbj_error err;

enum {
	ENGINES = MBJ_STATE_MEMORY + 1,
	KEYS = 120,
	SNAPSHOTS = 4,
	STEPS = 4000,
	VALUE_MAX = 600, /* pieces that are read ahead are of a few */
	TABLES = 2,
};

static const enum db_table tables[TABLES] = {TABLE_SLOTS, TABLE_ACCOUNTS};

/* A snapshot with a scan, of each engine. */
struct look {
	struct db_txn *txns[ENGINES];
	struct db_cursor *cursors[ENGINES];
};

struct lab {
	char *homes[ENGINES];
	struct db *dbs[ENGINES];
	struct db_txn *writers[ENGINES]; /* both, or none */
	struct look looks[SNAPSHOTS];
	struct mbj_arena *arena; /* of what is written */
	struct mbj_buf committed[TABLES][KEYS];
	bool is_there[TABLES][KEYS];
	struct test_rng rng;
	unsigned found; /* records that scans gave */
};

static void lab_begin(struct lab *lab)
{
	memset(lab, 0, sizeof(*lab));
	(void)test_rng_seed(&lab->rng);
	test_ok(mbj_arena_new((size_t)1 << 30, &lab->arena, &err), err);
	for (int i = 0; i < TABLES * KEYS; i++)
		mbj_buf_init(&lab->committed[i / KEYS][i % KEYS], VALUE_MAX);
	for (int i = 0; i < ENGINES; i++) {
		const struct db_options options = {
			.cache_size = 4 << 20,
			.log_file_size = 1 << 20,
			.checkpoint_log_size = 1 << 20,
			.is_new = true,
			.engine = (enum mbj_state_engine)i,
			.sys = mbj_sys_posix(),
		};

		lab->homes[i] = test_tmpdir_new();
		test_ok(db_open(lab->homes[i], &options, &lab->dbs[i], &err),
			err);
	}
}

static void look_end(struct look *look)
{
	for (int i = 0; i < ENGINES; i++) {
		db_cursor_close(&look->cursors[i]);
		db_abort(&look->txns[i]);
	}
}

static void lab_end(struct lab *lab)
{
	for (int i = 0; i < SNAPSHOTS; i++)
		look_end(&lab->looks[i]);
	for (int i = 0; i < ENGINES; i++) {
		db_abort(&lab->writers[i]);
		db_close(&lab->dbs[i]);
		test_tmpdir_free(&lab->homes[i]);
	}
	for (int i = 0; i < TABLES * KEYS; i++)
		mbj_buf_done(&lab->committed[i / KEYS][i % KEYS]);
	mbj_arena_free(&lab->arena);
}

/* Some keys are the beginning of others. */
static struct mbj_bytes key_of(unsigned at, uint8_t key[8])
{
	memset(key, 0, 8);
	key[0] = (uint8_t)(at / 3);
	return mbj_bytes_make(key, 1 + at % 3);
}

static unsigned draw(struct lab *lab, unsigned below)
{
	return (unsigned)test_rng_below(&lab->rng, below);
}

/* ---------------------------------------------------------- the writer */

static struct mbj_bytes kept(struct lab *lab, struct mbj_bytes bytes)
{
	struct mbj_bytes copy;

	ck_assert(mbj_arena_dup(lab->arena, bytes, &copy));
	return copy;
}

static struct db_change change_draw(struct lab *lab)
{
	unsigned table = draw(lab, TABLES);
	unsigned at = draw(lab, KEYS);
	uint8_t value[VALUE_MAX];
	uint8_t key[8];

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)draw(lab, 256);
	return (struct db_change){
		.table = tables[table],
		.is_there = draw(lab, 3) > 0,
		.was_there = lab->is_there[table][at],
		.key = kept(lab, key_of(at, key)),
		.value = kept(lab, mbj_bytes_make(value, draw(lab, VALUE_MAX))),
		.before = kept(lab, mbj_buf_view(&lab->committed[table][at])),
	};
}

static void writer_write(struct lab *lab)
{
	struct db_change changes[8];
	size_t count = 1 + draw(lab, 8);

	for (size_t i = 0; i < count; i++)
		changes[i] = change_draw(lab);
	for (int i = 0; i < ENGINES; i++) {
		if (lab->writers[i] == NULL)
			test_ok(db_begin(lab->dbs[i], false, &lab->writers[i],
					 &err),
				err);
		test_ok(db_write(lab->writers[i], changes, count, &err), err);
	}
}

/* What a snapshot of the engine in memory sees now. */
static void committed_read(struct lab *lab)
{
	struct db_txn *txn = NULL;

	test_ok(db_begin(lab->dbs[MBJ_STATE_MEMORY], true, &txn, &err), err);
	for (unsigned table = 0; table < TABLES; table++) {
		for (unsigned at = 0; at < KEYS; at++) {
			struct mbj_buf *value = &lab->committed[table][at];
			uint8_t key[8];
			enum mbj_rc rc;

			mbj_buf_clear(value);
			rc = db_get(txn, tables[table], key_of(at, key), value,
				    &err);
			ck_assert(rc == MBJ_OK || rc == MBJ_ENOTFOUND);
			lab->is_there[table][at] = rc == MBJ_OK;
		}
	}
	db_abort(&txn);
}

static void writer_end(struct lab *lab)
{
	bool is_commit = draw(lab, 3) > 0;

	for (int i = 0; i < ENGINES; i++) {
		if (lab->writers[i] == NULL)
			continue;
		if (is_commit)
			test_ok(db_commit(&lab->writers[i], &err), err);
		else
			db_abort(&lab->writers[i]);
	}
	mbj_arena_reset(lab->arena);
	committed_read(lab);
}

/* ----------------------------------------------------------- snapshots */

static void look_begin(struct lab *lab, struct look *look)
{
	unsigned table = draw(lab, TABLES);
	unsigned at = draw(lab, KEYS);
	uint8_t key[8];

	for (int i = 0; i < ENGINES; i++) {
		if (look->txns[i] == NULL)
			test_ok(db_begin(lab->dbs[i], true, &look->txns[i],
					 &err),
				err);
		db_cursor_close(&look->cursors[i]);
		test_ok(db_cursor_open(look->txns[i], tables[table],
				       key_of(at, key), &look->cursors[i],
				       &err),
			err);
	}
}

static void look_get(struct lab *lab, const struct look *look)
{
	unsigned table = draw(lab, TABLES);
	unsigned at = draw(lab, KEYS);
	struct mbj_buf values[ENGINES];
	enum mbj_rc rcs[ENGINES];
	uint8_t key[8];

	for (int i = 0; i < ENGINES; i++) {
		mbj_buf_init(&values[i], VALUE_MAX + 8);
		rcs[i] = db_get(look->txns[i], tables[table], key_of(at, key),
				&values[i], &err);
		ck_assert(rcs[i] == MBJ_OK || rcs[i] == MBJ_ENOTFOUND);
		ck_assert_int_eq(rcs[i], rcs[0]);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&values[i]),
					  mbj_buf_view(&values[0])));
	}
	for (int i = 0; i < ENGINES; i++)
		mbj_buf_done(&values[i]);
}

/* Some steps of the scan, or all to its end. */
static void look_scan(struct lab *lab, struct look *look, unsigned steps)
{
	for (unsigned step = 0; step < steps; step++) {
		struct mbj_bytes keys[ENGINES];
		struct mbj_bytes values[ENGINES];
		enum mbj_rc rcs[ENGINES];

		for (int i = 0; i < ENGINES; i++) {
			rcs[i] = db_cursor_next(look->cursors[i], &keys[i],
						&values[i], &err);
			ck_assert(rcs[i] == MBJ_OK || rcs[i] == MBJ_ENOTFOUND);
			ck_assert_int_eq(rcs[i], rcs[0]);
			if (rcs[i] != MBJ_OK)
				continue;
			ck_assert(mbj_bytes_equal(keys[i], keys[0]));
			ck_assert(mbj_bytes_equal(values[i], values[0]));
		}
		if (rcs[0] != MBJ_OK)
			return;
		lab->found++;
	}
}

static void look_step(struct lab *lab, struct look *look)
{
	switch (draw(lab, 6)) {
	case 0:
		look_end(look);
		break;
	case 1:
		look_begin(lab, look);
		break;
	case 2:
		if (look->txns[0] != NULL)
			look_scan(lab, look, KEYS);
		break;
	default:
		if (look->txns[0] == NULL) {
			look_begin(lab, look);
			break;
		}
		look_get(lab, look);
		look_scan(lab, look, draw(lab, 6));
		break;
	}
}

/*
 * Goal: what a snapshot gives, by key and by scan, is of the last commit before
 * it was taken, whatever is written, committed and given up since, and between
 * its steps.  Method: the same random steps with both engines, whose snapshots
 * have nothing in common; transactions of which some are given up, snapshots
 * taken within them, scans that go on beside them, begun anywhere.
 */
START_TEST(snapshots_are_what_both_engines_give)
{
	struct lab *lab = malloc(sizeof(*lab));

	ck_assert_ptr_nonnull(lab);
	lab_begin(lab);
	for (unsigned step = 0; step < STEPS; step++) {
		switch (draw(lab, 8)) {
		case 0:
			writer_end(lab);
			break;
		case 1:
		case 2:
			writer_write(lab);
			break;
		default:
			look_step(lab, &lab->looks[draw(lab, SNAPSHOTS)]);
			break;
		}
	}
	ck_assert_uint_gt(lab->found, STEPS);
	lab_end(lab);
	free(lab);
}
END_TEST

/* One transaction; each record is, and was, as long as one can be, or half. */
static void long_records_write(struct lab *lab, unsigned count, bool was_there)
{
	struct db *db = lab->dbs[MBJ_STATE_BERKELEY_DB];
	size_t size = (size_t)1 << 20;
	uint8_t *value = calloc(1, size);
	struct db_txn *txn = NULL;
	uint8_t key[8];

	ck_assert_ptr_nonnull(value);
	test_ok(db_begin(db, false, &txn, &err), err);
	for (unsigned i = 0; i < count; i++) {
		struct db_change change = {
			.table = TABLE_SLOTS,
			.is_there = true,
			.was_there = was_there,
			.key = kept(lab, key_of(i, key)),
			.value = mbj_bytes_make(value, size),
			.before = mbj_bytes_make(value, size),
		};

		test_ok(db_write(txn, &change, 1, &err), err);
	}
	test_ok(db_commit(&txn, &err), err);
	free(value);
}

/*
 * Goal: a snapshot that was open for too long is refused, by key and in a scan
 * that had begun, and says why; another one is not, and nor is the writer.
 * Method: a snapshot beside which as much as it may keep is written, which it
 * still reads, and then more.
 */
START_TEST(long_snapshots_are_refused)
{
	enum { COUNT = PAST_SIZE_MAX >> 20 };
	struct lab *lab = malloc(sizeof(*lab));
	struct db_txn *before = NULL;
	struct db_txn *after = NULL;
	struct db_cursor *cursor = NULL;
	struct mbj_bytes value;
	struct mbj_bytes k;
	struct mbj_buf found;
	struct db *db;
	uint8_t key[8];

	ck_assert_ptr_nonnull(lab);
	lab_begin(lab);
	db = lab->dbs[MBJ_STATE_BERKELEY_DB];
	mbj_buf_init(&found, 2 << 20);
	long_records_write(lab, COUNT, false);
	test_ok(db_begin(db, true, &before, &err), err);
	test_ok(db_cursor_open(before, TABLE_SLOTS, key_of(0, key), &cursor,
			       &err),
		err);
	test_ok(db_cursor_next(cursor, &k, &value, &err), err);
	long_records_write(lab, COUNT - 1, true);
	test_ok(db_get(before, TABLE_SLOTS, key_of(0, key), &found, &err), err);
	test_ok(db_cursor_next(cursor, &k, &value, &err), err);
	long_records_write(lab, COUNT, true);
	test_ok(db_begin(db, true, &after, &err), err);
	test_rc(db_get(before, TABLE_SLOTS, key_of(1, key), &found, &err),
		MBJ_ENOMEM);
	ck_assert_ptr_nonnull(strstr(err.message, "64 MiB"));
	test_rc(db_cursor_next(cursor, &k, &value, &err), MBJ_ENOMEM);
	mbj_buf_clear(&found);
	test_ok(db_get(after, TABLE_SLOTS, key_of(1, key), &found, &err), err);
	db_cursor_close(&cursor);
	db_abort(&before);
	db_abort(&after);
	mbj_buf_done(&found);
	lab_end(lab);
	free(lab);
}
END_TEST

/*
 * Goal: no snapshot is taken of tables that are being filled.  Method: one
 * beside a transaction that has put something, and one when it is over.
 */
START_TEST(tables_that_are_filled_give_no_snapshot)
{
	struct lab *lab = malloc(sizeof(*lab));
	struct db_txn *txn = NULL;
	struct db_txn *reading = NULL;
	struct db *db;

	ck_assert_ptr_nonnull(lab);
	lab_begin(lab);
	db = lab->dbs[MBJ_STATE_BERKELEY_DB];
	test_ok(db_begin(db, false, &txn, &err), err);
	test_ok(db_put(txn, TABLE_SLOTS, mbj_bytes_str("k"), mbj_bytes_str("v"),
		       &err),
		err);
	test_rc(db_begin(db, true, &reading, &err), MBJ_EBUSY);
	ck_assert_ptr_null(reading);
	test_ok(db_commit(&txn, &err), err);
	test_ok(db_begin(db, true, &reading, &err), err);
	db_abort(&reading);
	lab_end(lab);
	free(lab);
}
END_TEST

TCase *test_db_past_case(void)
{
	TCase *tc = tcase_create("db_past");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, snapshots_are_what_both_engines_give);
	tcase_add_test(tc, long_snapshots_are_refused);
	tcase_add_test(tc, tables_that_are_filled_give_no_snapshot);
	return tc;
}
