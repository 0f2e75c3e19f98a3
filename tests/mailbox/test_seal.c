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

enum { PAGE = 4096, RECORDS = 400, MORE = 4000, BEHIND = 3 };

struct lab {
	char *home;
	char tables[MBJ_PATH_TEXT_MAX];
	char note[MBJ_PATH_TEXT_MAX];
	struct db *db;
	uint64_t count; /* pages at the checkpoint */
	struct mbj_error err;
};

static int file_open(const char *path)
{
	int fd = open(path, O_RDWR);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void db_begin_at(struct lab *lab, bool is_new)
{
	const struct db_options options = {
		.cache_size = 16 << 20,
		.log_file_size = 1 << 20,
		.checkpoint_log_size = 64 << 20,
		.is_new = is_new,
		.engine = MBJ_STATE_BERKELEY_DB,
		.sys = mbj_sys_posix(),
	};

	test_ok(db_open(lab->home, &options, &lab->db, &lab->err), lab->err);
}

/* Records of TABLE_SLOTS from first on, each in a transaction of its own. */
static void records_put(struct lab *lab, int first, int count)
{
	struct db_txn *txn = NULL;
	char text[128];

	for (int i = first; i < first + count; i++) {
		(void)snprintf(text, sizeof(text), "%0100d", i);
		test_ok(db_begin(lab->db, false, &txn, &lab->err), lab->err);
		test_ok(db_put(txn, TABLE_SLOTS, mbj_bytes_str(text),
			       mbj_bytes_str(text), &lab->err),
			lab->err);
		test_ok(db_commit(&txn, &lab->err), lab->err);
	}
}

/* How many there are: they are the first ones, and each is itself. */
static int records_count(struct lab *lab)
{
	struct db_txn *txn = NULL;
	struct mbj_buf value;
	char text[128];
	int count = 0;

	mbj_buf_init(&value, 1 << 10);
	test_ok(db_begin(lab->db, true, &txn, &lab->err), lab->err);
	for (int i = 0; i < RECORDS + MORE; i++) {
		enum mbj_rc rc;

		(void)snprintf(text, sizeof(text), "%0100d", i);
		mbj_buf_clear(&value);
		rc = db_get(txn, TABLE_SLOTS, mbj_bytes_str(text), &value,
			    &lab->err);
		if (rc == MBJ_ENOTFOUND)
			continue;
		test_ok(rc, lab->err);
		ck_assert_int_eq(i, count);
		ck_assert(mbj_bytes_equal(mbj_buf_view(&value),
					  mbj_bytes_str(text)));
		count++;
	}
	db_abort(&txn);
	mbj_buf_done(&value);
	return count;
}

static void home_set(struct lab *lab, char *home)
{
	lab->home = home;
	test_ok(mbj_path_join(lab->tables, lab->home, "state.db", &lab->err),
		lab->err);
	test_ok(mbj_path_join(lab->note, lab->home, SEAL_PAGES_NAME, &lab->err),
		lab->err);
}

static uint64_t tables_count(const struct lab *lab)
{
	int fd = file_open(lab->tables);
	uint64_t count = (uint64_t)lseek(fd, 0, SEEK_END) / PAGE;

	close(fd);
	return count;
}

/* Some pages of tables, checkpointed, and open. */
static void lab_open(struct lab *lab)
{
	*lab = (struct lab){.db = NULL};
	home_set(lab, test_tmpdir_new());
	db_begin_at(lab, true);
	records_put(lab, 0, RECORDS);
	test_ok(db_checkpoint(lab->db, true, &lab->err), lab->err);
	lab->count = tables_count(lab);
	ck_assert_uint_gt(lab->count, 10);
}

/* The same, closed as by a kill. */
static void lab_begin(struct lab *lab)
{
	lab_open(lab);
	db_close(&lab->db);
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

	memset(page, 5, sizeof(page)); /* of a type that there is */
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

/* What a kill leaves: all files as they are now. */
static char *home_copy(struct lab *lab)
{
	char *copy = test_tmpdir_new();
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	struct mbj_buf bytes;

	mbj_buf_init(&names, 1 << 20);
	mbj_buf_init(&bytes, 64 << 20);
	test_ok(mbj_dir_list(mbj_sys_posix(), lab->home, &names, &lab->err),
		lab->err);
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		FILE *file;

		test_ok(mbj_path_join(path, lab->home, name, &lab->err),
			lab->err);
		test_ok(mbj_file_load(mbj_sys_posix(), path, 64 << 20, &bytes,
				      &lab->err),
			lab->err);
		test_ok(mbj_path_join(path, copy, name, &lab->err), lab->err);
		file = fopen(path, "wb");
		ck_assert_ptr_nonnull(file);
		ck_assert_uint_eq(fwrite(bytes.p, 1, bytes.n, file), bytes.n);
		ck_assert_int_eq(fclose(file), 0);
		mbj_buf_clear(&bytes);
	}
	mbj_buf_done(&names);
	mbj_buf_done(&bytes);
	return copy;
}

/*
 * Goal: what is allowed behind a checkpoint is what recovery mends.  Method: as
 * many records again, a copy of the files as a kill leaves them, in which the
 * tables end at the checkpoint, or go on with pages of zeroes; then the engine
 * has them all, but for what its log had not got.
 */
START_TEST(recovery_writes_what_is_behind)
{
	struct lab lab;
	char *first;
	int count;

	lab_open(&lab);
	records_put(&lab, RECORDS, MORE);
	first = lab.home;
	home_set(&lab, home_copy(&lab));
	ck_assert_int_eq(truncate(lab.tables, (off_t)(lab.count * PAGE)), 0);
	if (_i == 1)
		ck_assert_int_eq(truncate(lab.tables,
					  (off_t)((lab.count + 40) * PAGE)),
				 0);
	db_close(&lab.db);
	test_ok(check(&lab), lab.err);
	db_begin_at(&lab, false);
	count = records_count(&lab);
	ck_assert_int_gt(count, RECORDS + MORE / 2);
	ck_assert_int_le(count, RECORDS + MORE);
	db_close(&lab.db);
	ck_assert_uint_gt(tables_count(&lab), lab.count + 40);
	test_ok(check(&lab), lab.err);
	test_tmpdir_free(&first);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a table's pages are not read without their checksums.  Method: each bit
 * of the byte that says so, alone and with each of the one before, of each page
 * that has it, which are as many as there are tables and the one of the file;
 * each type of a page with records, of which the known ones have a checksum.
 */
START_TEST(tables_without_checksums)
{
	enum { FIRST_TYPE = 9, TYPE_AT = 25 };
	struct lab lab;
	int tables = 0;
	int fd;

	lab_begin(&lab);
	fd = file_open(lab.tables);
	for (uint64_t i = 0; i < lab.count; i++) {
		const off_t at = (off_t)(i * PAGE + TYPE_AT);
		uint8_t bytes[2];

		ck_assert_int_eq(pread(fd, bytes, 2, at), 2);
		if (bytes[0] != FIRST_TYPE)
			continue;
		tables++;
		for (unsigned bits = 0; bits < 9 * 8; bits++) {
			uint8_t bad[2] = {bytes[0], bytes[1]};

			bad[0] ^= (uint8_t)(1u << bits / 8); /* or none */
			bad[1] ^= (uint8_t)(1u << bits % 8);
			ck_assert_int_eq(pwrite(fd, bad, 2, at), 2);
			ck_assert_int_eq(check(&lab), MBJ_ECORRUPT);
			ck_assert_ptr_nonnull(
				strstr(lab.err.message, "no checksum"));
		}
		ck_assert_int_eq(pwrite(fd, bytes, 2, at), 2);
	}
	ck_assert_int_eq(tables, TABLE_COUNT + 1);
	for (unsigned type = 0; type < 256; type++) {
		const off_t at = (off_t)((lab.count - 1) * PAGE + TYPE_AT);
		bool is_known = type == 3 || type == 5 || type == 7;
		uint8_t byte = (uint8_t)type;
		uint8_t good;

		ck_assert_int_eq(pread(fd, &good, 1, at), 1);
		ck_assert_int_eq(good, 5);
		ck_assert_int_eq(pwrite(fd, &byte, 1, at), 1);
		ck_assert_int_eq(check(&lab), is_known ? MBJ_OK : MBJ_ECORRUPT);
		ck_assert_int_eq(pwrite(fd, &good, 1, at), 1);
	}
	test_ok(check(&lab), lab.err);
	close(fd);
	lab_end(&lab);
}
END_TEST

static void sealed_check(struct lab *lab, enum mbj_rc expected,
			 struct mbj_buf *ret_tables)
{
	bool is_sealed = false;

	ck_assert_int_eq(seal_check(mbj_sys_posix(), lab->home, &is_sealed,
				    ret_tables, &lab->err),
			 expected);
	ck_assert(is_sealed);
}

/* Sealed, opened, and what the seal said of the tables. */
static void lab_reopen(struct lab *lab, struct mbj_buf *ret_tables)
{
	db_close(&lab->db);
	test_ok(seal_make(mbj_sys_posix(), lab->home, mbj_bytes_make(NULL, 0),
			  &lab->err),
		lab->err);
	sealed_check(lab, MBJ_OK, ret_tables);
	ck_assert_uint_eq(ret_tables->n,
			  sizeof(uint64_t) +
				  tables_count(lab) * sizeof(uint32_t));
	test_ok(seal_break(mbj_sys_posix(), lab->home, &lab->err), lab->err);
	db_begin_at(lab, false);
}

/*
 * Goal: tables that were only read are sealed by what they were, so that what
 * damages them meanwhile is found.  Method: a byte of a page that was not read
 * is changed while they are open.
 */
START_TEST(tables_that_were_read)
{
	struct mbj_buf tables;
	struct mbj_buf after;
	struct lab lab;
	uint8_t byte = 0xa5;
	int fd;

	lab_open(&lab);
	lab_reopen(&lab, &tables);
	ck_assert_int_eq(records_count(&lab), RECORDS);
	test_ok(db_checkpoint(lab.db, true, &lab.err), lab.err);
	ck_assert(db_tables_are_as_opened(lab.db));
	db_close(&lab.db);
	test_ok(seal_make(mbj_sys_posix(), lab.home, mbj_buf_view(&tables),
			  &lab.err),
		lab.err);
	sealed_check(&lab, MBJ_OK, &after);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&after), mbj_buf_view(&tables)));
	mbj_buf_done(&after);
	fd = file_open(lab.tables);
	ck_assert_int_eq(pwrite(fd, &byte, 1, 3 * PAGE + 1000), 1);
	close(fd);
	test_ok(seal_make(mbj_sys_posix(), lab.home, mbj_buf_view(&tables),
			  &lab.err),
		lab.err);
	sealed_check(&lab, MBJ_ECORRUPT, &after);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "page 3 of "));
	ck_assert_uint_eq(after.n, 0);
	mbj_buf_done(&tables);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: tables that changed are not taken for what they were.  Method: a record
 * in the cache; on disk; put and given up, which leaves its page changed.
 */
START_TEST(tables_that_were_written)
{
	struct db_txn *txn = NULL;
	struct mbj_buf tables;
	struct lab lab;

	lab_open(&lab);
	lab_reopen(&lab, &tables);
	if (_i < 2) {
		records_put(&lab, RECORDS, 1);
	} else {
		test_ok(db_begin(lab.db, false, &txn, &lab.err), lab.err);
		test_ok(db_put(txn, TABLE_SLOTS, mbj_bytes_str("k"),
			       mbj_bytes_str("v"), &lab.err),
			lab.err);
		db_abort(&txn);
	}
	if (_i == 1)
		test_ok(db_checkpoint(lab.db, true, &lab.err), lab.err);
	ck_assert(!db_tables_are_as_opened(lab.db));
	db_close(&lab.db);
	mbj_buf_done(&tables);
	lab_end(&lab);
}
END_TEST

static enum mbj_rc logs_check(struct lab *lab)
{
	return seal_logs_check(mbj_sys_posix(), lab->home, &lab->err);
}

/*
 * Goal: the engine is not shown a log file whose first record says another
 * length than it has, by which it would read what is not its own.  Method: each
 * bit of the length, and each shorter one; what the engine's checksum covers,
 * and files that are not written to yet, are left to it.
 */
START_TEST(logs_that_begin_wrongly)
{
	uint8_t head[DB_LOG_HEAD_SIZE];
	const uint8_t zeroes[DB_LOG_HEAD_SIZE] = {0};
	const off_t size = sizeof(head);
	char path[MBJ_PATH_TEXT_MAX];
	struct lab lab;
	int fd;

	lab_begin(&lab);
	test_ok(logs_check(&lab), lab.err);
	test_ok(mbj_path_join(path, lab.home, "log.0000000001", &lab.err),
		lab.err);
	fd = file_open(path);
	ck_assert_int_eq(pread(fd, head, sizeof(head), 0), size);
	for (unsigned bit = 0; bit < 8 * sizeof(head); bit++) {
		bool is_length = bit / 32 == 1;

		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(pwrite(fd, head, sizeof(head), 0), size);
		ck_assert_int_eq(logs_check(&lab),
				 is_length ? MBJ_ECORRUPT : MBJ_OK);
		if (is_length)
			ck_assert_ptr_nonnull(strstr(lab.err.message, path));
		head[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (unsigned length = 0; length < sizeof(head); length++) {
		uint8_t byte = (uint8_t)length;

		ck_assert_int_eq(pwrite(fd, &byte, 1, 4), 1);
		ck_assert_int_eq(logs_check(&lab), MBJ_ECORRUPT);
	}
	ck_assert_int_eq(pwrite(fd, zeroes, sizeof(zeroes), 0), size);
	test_ok(logs_check(&lab), lab.err);
	ck_assert_int_eq(pwrite(fd, head, sizeof(head), 0), size);
	test_ok(logs_check(&lab), lab.err);
	ck_assert_int_eq(ftruncate(fd, size - 1), 0);
	test_ok(logs_check(&lab), lab.err);
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
	tcase_add_test(tc, tables_without_checksums);
	tcase_add_test(tc, logs_that_begin_wrongly);
	tcase_add_loop_test(tc, recovery_writes_what_is_behind, 0, 2);
	tcase_add_test(tc, tables_that_were_read);
	tcase_add_loop_test(tc, tables_that_were_written, 0, 3);
	return tc;
}
