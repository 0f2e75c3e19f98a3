/*
 * What is made of a state that was not closed: pages of zeroes behind the last
 * checkpoint are the engine's to write, those before it are lost.
 *
 * Closed states, and damage of whole stores, are in tests/damage; kills in
 * tests/crash.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "cases.h"
#include "db_engine.h"
#include "seal.h"

enum { PAGE = 4096, RECORDS = 400, BEHIND = 3 };

struct lab {
	char *home;
	char tables[MBJ_PATH_TEXT_MAX];
	char note[MBJ_PATH_TEXT_MAX];
	uint64_t count; /* pages at the checkpoint */
	struct mbj_error err;
};

static int file_open(const char *path)
{
	int fd = open(path, O_RDWR);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Some pages of tables, checkpointed, and then closed as by a kill. */
static void lab_begin(struct lab *lab)
{
	const struct db_options options = {
		.cache_size = 4 << 20,
		.log_file_size = 1 << 20,
		.checkpoint_log_size = 1 << 20,
		.is_new = true,
		.engine = MBJ_STATE_BERKELEY_DB,
		.sys = mbj_sys_posix(),
	};
	struct db_txn *txn = NULL;
	struct db *db = NULL;
	char text[128];
	int fd;

	lab->home = test_tmpdir_new();
	test_ok(mbj_path_join(lab->tables, lab->home, "state.db", &lab->err),
		lab->err);
	test_ok(mbj_path_join(lab->note, lab->home, SEAL_PAGES_NAME, &lab->err),
		lab->err);
	test_ok(db_open(lab->home, &options, &db, &lab->err), lab->err);
	test_ok(db_begin(db, false, &txn, &lab->err), lab->err);
	for (int i = 0; i < RECORDS; i++) {
		(void)snprintf(text, sizeof(text), "%0100d", i);
		test_ok(db_put(txn, TABLE_SLOTS, mbj_bytes_str(text),
			       mbj_bytes_str("x"), &lab->err),
			lab->err);
	}
	test_ok(db_commit(&txn, &lab->err), lab->err);
	test_ok(db_checkpoint(db, true, &lab->err), lab->err);
	db_close(&db);
	fd = file_open(lab->tables);
	lab->count = (uint64_t)lseek(fd, 0, SEEK_END) / PAGE;
	close(fd);
	ck_assert_uint_gt(lab->count, 10);
}

static void lab_end(struct lab *lab)
{
	test_tmpdir_free(&lab->home);
}

static enum mbj_rc check(struct lab *lab)
{
	return seal_pages_check(mbj_sys_posix(), lab->home, &lab->err);
}

static void page_zero(const struct lab *lab, uint64_t page)
{
	static const uint8_t zeroes[PAGE];
	int fd = file_open(lab->tables);

	ck_assert_int_eq(pwrite(fd, zeroes, PAGE, (off_t)(page * PAGE)), PAGE);
	close(fd);
}

/* The file grew, and only its last page was written. */
static void tables_grow(const struct lab *lab)
{
	uint8_t page[PAGE];
	int fd = file_open(lab->tables);

	memset(page, 1, sizeof(page));
	ck_assert_int_eq(pwrite(fd, page, PAGE,
				(off_t)((lab->count + BEHIND) * PAGE)),
			 PAGE);
	close(fd);
}

/* Goal: what recovery writes is no damage.  Method: pages behind the last. */
START_TEST(holes_behind_a_checkpoint)
{
	struct lab lab;

	lab_begin(&lab);
	test_ok(check(&lab), lab.err);
	tables_grow(&lab);
	test_ok(check(&lab), lab.err);
	lab_end(&lab);
}
END_TEST

/* Goal: what was checkpointed is missed.  Method: each page, in turn. */
START_TEST(holes_before_a_checkpoint)
{
	struct lab lab;

	lab_begin(&lab);
	tables_grow(&lab);
	for (uint64_t i = lab.count; i-- > 0;) {
		char place[64];

		page_zero(&lab, i);
		ck_assert_int_eq(check(&lab), MBJ_ECORRUPT);
		(void)snprintf(place, sizeof(place), "page %llu of ",
			       (unsigned long long)i);
		ck_assert_ptr_nonnull(strstr(lab.err.message, place));
	}
	lab_end(&lab);
}
END_TEST

/* Goal: pages that were cut off are missed.  Method: at each page. */
START_TEST(cut_before_a_checkpoint)
{
	struct lab lab;

	lab_begin(&lab);
	for (uint64_t i = lab.count; i-- > 0;) {
		ck_assert_int_eq(truncate(lab.tables, (off_t)(i * PAGE)), 0);
		ck_assert_int_eq(check(&lab), MBJ_ECORRUPT);
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a note that says nothing, or that is not to be believed, allows
 * nothing.  Method: each of its bytes changed, cut off, gone.
 */
START_TEST(notes_that_are_damaged)
{
	uint8_t bytes[64];
	struct lab lab;
	ssize_t size;
	int fd;

	lab_begin(&lab);
	tables_grow(&lab);
	fd = file_open(lab.note);
	size = pread(fd, bytes, sizeof(bytes), 0);
	ck_assert_int_eq(size, 20);
	for (ssize_t i = 0; i < size; i++) {
		bytes[i] ^= 1;
		ck_assert_int_eq(pwrite(fd, bytes, 20, 0), 20);
		ck_assert_int_eq(check(&lab), MBJ_ECORRUPT);
		bytes[i] ^= 1;
	}
	ck_assert_int_eq(pwrite(fd, bytes, 20, 0), 20);
	test_ok(check(&lab), lab.err);
	ck_assert_int_eq(ftruncate(fd, 19), 0);
	ck_assert_int_eq(check(&lab), MBJ_ECORRUPT);
	ck_assert_int_eq(unlink(lab.note), 0);
	ck_assert_int_eq(check(&lab), MBJ_ECORRUPT);
	close(fd);
	lab_end(&lab);
}
END_TEST

TCase *test_seal_case(void)
{
	TCase *tc = tcase_create("seal");

	tcase_add_test(tc, holes_behind_a_checkpoint);
	tcase_add_test(tc, holes_before_a_checkpoint);
	tcase_add_test(tc, cut_before_a_checkpoint);
	tcase_add_test(tc, notes_that_are_damaged);
	return tc;
}
