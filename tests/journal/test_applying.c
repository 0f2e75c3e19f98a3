/*
 * The note of what is being applied, and groups that ended the program: a
 * process that ends is one that opens the store and never takes its note back.
 * Real ones are in tests/cli/test_stopper.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/hash.h>

#include "applying.h"
#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

enum { USUAL = 100 };

static struct mbj_lsn lsn(uint64_t v)
{
	return (struct mbj_lsn){v};
}

/* Open again, as after whatever became of the process before. */
static struct mbj_store *again(struct site *site)
{
	site_reopen(site);
	mbj_applying_load(site->store);
	return site->store;
}

/* A process that ends in it, with this note. */
static struct mbj_store *die(struct site *site, uint64_t v, uint32_t usual)
{
	mbj_applying_begin(site->store, lsn(v), usual);
	return again(site);
}

/*
 * Goal: two processes that end in one group alone make it a stopper, and
 * nothing else does.  Method: one ends in a batch; the next ones go well with
 * all groups but one; batches and single groups in which processes end one
 * after the other.
 */
START_TEST(applying_stops)
{
	struct mbj_store *store;
	struct site site;

	site_begin(&site);
	store = again(&site);
	ck_assert_uint_eq(mbj_applying_span(store, lsn(5), USUAL), USUAL);
	mbj_applying_begin(store, lsn(5), USUAL);
	mbj_applying_end(store);
	mbj_applying_end(store);
	store = again(&site);
	ck_assert_uint_eq(mbj_applying_span(store, lsn(5), USUAL), USUAL);
	mbj_applying_begin(store, lsn(5), USUAL);
	/* One note for all of a batch. */
	store = die(&site, 6, USUAL);
	for (int i = 0; i < 2; i++) {
		ck_assert(!mbj_applying_is_stopper(store, lsn(5)));
		ck_assert(!mbj_applying_is_stopper(store, lsn(6)));
		ck_assert_uint_eq(mbj_applying_span(store, lsn(4), USUAL),
				  USUAL);
		ck_assert_uint_eq(mbj_applying_span(store, lsn(5), USUAL), 1);
		ck_assert_uint_eq(mbj_applying_span(store, lsn(104), USUAL), 1);
		ck_assert_uint_eq(mbj_applying_span(store, lsn(105), USUAL),
				  USUAL);
		/* Behind one that was noted with others. */
		mbj_applying_begin(store, lsn(4), USUAL);
		mbj_applying_begin(store, lsn(5), USUAL);
		mbj_applying_end(store);
		store = die(&site, 6 + (uint64_t)i, USUAL);
	}
	/* Once in each of two. */
	ck_assert(!mbj_applying_is_stopper(store, lsn(6)));
	ck_assert(!mbj_applying_is_stopper(store, lsn(7)));
	store = die(&site, 6, USUAL);
	ck_assert(!mbj_applying_is_stopper(store, lsn(5)));
	ck_assert(mbj_applying_is_stopper(store, lsn(6)));
	ck_assert(!mbj_applying_is_stopper(store, lsn(7)));
	store = again(&site);
	ck_assert(mbj_applying_is_stopper(store, lsn(6)));
	/* Known once, also where it ends more processes. */
	for (int i = 0; i < 3; i++) {
		store = die(&site, 6, 1);
		ck_assert(mbj_applying_is_stopper(store, lsn(6)));
	}
	/* As many as may be in batches say nothing of any group. */
	for (int i = 0; i < 3; i++) {
		store = die(&site, 400, USUAL);
		mbj_applying_pass(store);
	}
	ck_assert(!mbj_applying_is_stopper(store, lsn(400)));
	site_end(&site);
}
END_TEST

/*
 * Goal: what was suspected is so no longer once it has gone well.  Method: the
 * whole span is passed; the source has no more; one in which a process ended,
 * and a stopper, that went well in what was committed, and in what was not.
 */
START_TEST(applying_passes)
{
	struct mbj_store *store;
	struct site site;

	site_begin(&site);
	store = again(&site);
	mbj_applying_pass(store);
	for (int how = 0; how < 2; how++) {
		store = die(&site, 5, USUAL);
		ck_assert_uint_eq(mbj_applying_span(store, lsn(9), USUAL), 1);
		mbj_applying_begin(store, lsn(9), USUAL);
		mbj_applying_end(store);
		ck_assert_uint_eq(mbj_applying_span(store, lsn(9), USUAL), 1);
		if (how == 0) {
			mbj_applying_begin(store, lsn(104), USUAL);
			mbj_applying_end(store);
		} else {
			mbj_applying_pass(store);
		}
		ck_assert_uint_eq(mbj_applying_span(store, lsn(9), USUAL),
				  USUAL);
		store = again(&site);
		ck_assert_uint_eq(mbj_applying_span(store, lsn(9), USUAL),
				  USUAL);
	}
	for (int deaths = 1; deaths <= 2; deaths++) {
		for (int i = 0; i < deaths; i++)
			store = die(&site, 3, 1);
		for (int is_committed = 0; is_committed < 2; is_committed++) {
			ck_assert_uint_eq(mbj_applying_span(store, lsn(3),
							    USUAL),
					  1);
			ck_assert_int_eq(mbj_applying_is_stopper(store, lsn(3)),
					 deaths == 2);
			mbj_applying_begin(store, lsn(3), USUAL);
			mbj_applying_end(store);
			mbj_applying_well(store, lsn(3));
			mbj_applying_settle(store, is_committed);
			mbj_applying_settle(store, true);
			store = again(&site);
		}
		ck_assert_uint_eq(mbj_applying_span(store, lsn(3), USUAL),
				  USUAL);
		ck_assert(!mbj_applying_is_stopper(store, lsn(3)));
	}
	site_end(&site);
}
END_TEST

static void stop_at(struct site *site, uint64_t v)
{
	for (int i = 0; i < 2; i++)
		(void)die(site, v, 1);
	ck_assert(mbj_applying_is_stopper(site->store, lsn(v)));
}

/*
 * Goal: a store knows so many stoppers, and the oldest groups go; one of
 * another version is none.  Method: one more than there may be; a place of the
 * file changed.
 */
START_TEST(applying_is_bounded)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct site site;
	uint8_t place[48];
	int fd;

	site_begin(&site);
	(void)again(&site);
	for (uint64_t v = 10; v < 10 + MBJ_STOPPERS_MAX; v++)
		stop_at(&site, v);
	ck_assert(mbj_applying_is_stopper(site.store, lsn(10)));
	stop_at(&site, 1000);
	ck_assert(!mbj_applying_is_stopper(site.store, lsn(10)));
	ck_assert(mbj_applying_is_stopper(site.store, lsn(11)));
	/* The first place has the one that came last. */
	site_path(&site, "applying", path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, place, sizeof(place), 64), sizeof(place));
	ck_assert_uint_eq(mbj_load_u64(place), 1000);
	place[8] = '9';
	mbj_store_u32(place + 44, mbj_crc32c(0, mbj_bytes_make(place, 44)));
	ck_assert_int_eq(pwrite(fd, place, sizeof(place), 64), sizeof(place));
	(void)again(&site);
	ck_assert(!mbj_applying_is_stopper(site.store, lsn(1000)));
	/* It ends this version, too. */
	stop_at(&site, 1000);
	place[9] ^= 1;
	ck_assert_int_eq(pwrite(fd, place, sizeof(place), 64), sizeof(place));
	(void)again(&site);
	ck_assert(!mbj_applying_is_stopper(site.store, lsn(1000)));
	ck_assert_int_eq(close(fd), 0);
	site_end(&site);
}
END_TEST

/*
 * Goal: a note that is no note, or that cannot be read or written, says
 * nothing, and keeps nobody from anything.  Method: each byte of it changed;
 * another magic under its checksum; a file that is short; calls that fail; a
 * directory in its place.
 */
START_TEST(applying_is_damaged)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct site_sys faulty;
	struct site site;
	uint8_t note[64];
	int fd;

	site_begin(&site);
	(void)again(&site);
	mbj_applying_begin(site.store, lsn(5), USUAL);
	site_path(&site, "applying", path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, note, sizeof(note), 0), sizeof(note));
	for (size_t i = 0; i <= sizeof(note) + 32; i++) {
		uint8_t bad[64];

		/* Behind each byte: the magic, and the boot, as it should be.
		 */
		if (i > sizeof(note) && i < sizeof(note) + 32)
			continue;

		memcpy(bad, note, sizeof(bad));
		bad[i % sizeof(bad)] ^= 1;
		if (i >= sizeof(note))
			mbj_store_u32(bad + 60,
				      mbj_crc32c(0, mbj_bytes_make(bad, 60)));
		ck_assert_int_eq(pwrite(fd, bad, sizeof(bad), 0), sizeof(bad));
		(void)again(&site);
		ck_assert_uint_eq(mbj_applying_span(site.store, lsn(5), USUAL),
				  USUAL);
	}
	ck_assert_int_eq(pwrite(fd, note, sizeof(note), 0), sizeof(note));
	ck_assert_int_eq(ftruncate(fd, 63), 0);
	(void)again(&site);
	ck_assert_uint_eq(mbj_applying_span(site.store, lsn(5), USUAL), USUAL);
	ck_assert_int_eq(close(fd), 0);
	site_sys_init(&faulty);
	site.options.sys = &faulty.table;
	(void)again(&site);
	mbj_applying_begin(site.store, lsn(5), USUAL);
	site_reopen(&site);
	site_sys_arm(&faulty, SITE_CALL_PREAD, 1, EIO, true);
	mbj_applying_load(site.store);
	ck_assert_uint_eq(mbj_applying_span(site.store, lsn(5), USUAL), USUAL);
	site_sys_arm(&faulty, SITE_CALL_ALL, 0, 0, false);
	(void)again(&site);
	(void)die(&site, 5, 1);
	mbj_applying_begin(site.store, lsn(5), 1);
	for (int which = 0; which < 2; which++) {
		site_reopen(&site);
		site_sys_arm(&faulty,
			     which == 0 ? SITE_CALL_SYNC : SITE_CALL_PWRITE, 1,
			     ENOSPC, true);
		mbj_applying_load(site.store);
		site_sys_arm(&faulty, SITE_CALL_ALL, 0, 0, false);
		ck_assert(mbj_applying_is_stopper(site.store, lsn(5)));
		mbj_applying_begin(site.store, lsn(5), 1);
	}
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	(void)again(&site);
	mbj_applying_begin(site.store, lsn(5), USUAL);
	mbj_applying_end(site.store);
	(void)die(&site, 5, 1);
	site_end(&site);
}
END_TEST

/*
 * Goal: where nobody knows which boot it is, as without /proc, a note says
 * nothing: the machine may have stopped in between.  What was known before it
 * does.  Method: processes that end there, with one group and with many.
 */
START_TEST(applying_without_boot)
{
	struct site site;

	site_begin(&site);
	(void)again(&site);
	stop_at(&site, 7);
	for (int i = 0; i < 4; i++) {
		site_reopen(&site);
		applying_load_in(site.store, MBJ_ID_ROOT);
		ck_assert_uint_eq(mbj_applying_span(site.store, lsn(5), USUAL),
				  USUAL);
		ck_assert(mbj_applying_is_stopper(site.store, lsn(7)));
		mbj_applying_begin(site.store, lsn(5), i % 2 == 0 ? 1 : USUAL);
	}
	site_end(&site);
}
END_TEST

/*
 * Goal: a note that is over and cannot be written is none, whatever it was for;
 * what else is known stays where there is room again.  Method: the end of a
 * note that has no room, also where the file cannot be removed; then a process
 * that goes in order.  A note alone is damaged.
 */
START_TEST(applying_is_full)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct site_sys faulty;
	struct site site;
	int fd;

	site_begin(&site);
	site_sys_init(&faulty);
	site.options.sys = &faulty.table;
	(void)again(&site);
	stop_at(&site, 7);
	for (int i = 0; i < 2; i++) {
		mbj_applying_begin(site.store, lsn(5), 1);
		site_sys_arm(&faulty, SITE_CALL_PWRITE, 1, ENOSPC, true);
		mbj_applying_end(site.store);
		mbj_applying_begin(site.store, lsn(6), 1);
		mbj_applying_end(site.store);
		site_sys_arm(&faulty, SITE_CALL_ALL, 0, 0, false);
		/* There is room again, or was none to the end. */
		if (i == 0) {
			mbj_applying_begin(site.store, lsn(8), USUAL);
			mbj_applying_end(site.store);
		}
		(void)again(&site);
		for (uint64_t v = 5; v < 9; v++)
			ck_assert_int_eq(mbj_applying_is_stopper(site.store,
								 lsn(v)),
					 v == 7 && i == 0);
		ck_assert_uint_eq(mbj_applying_span(site.store, lsn(5), USUAL),
				  USUAL);
	}
	stop_at(&site, 7);
	site_path(&site, "applying", path);
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, "x", 1, 20), 1);
	ck_assert_int_eq(close(fd), 0);
	(void)again(&site);
	ck_assert(mbj_applying_is_stopper(site.store, lsn(7)));
	/* What cannot be removed either says what it said. */
	mbj_applying_begin(site.store, lsn(5), 1);
	site_sys_arm(&faulty, SITE_CALL_PWRITE | SITE_CALL_UNLINK, 1, EIO,
		     true);
	mbj_applying_end(site.store);
	site_sys_arm(&faulty, SITE_CALL_ALL, 0, 0, false);
	(void)again(&site);
	ck_assert_uint_eq(mbj_applying_span(site.store, lsn(5), USUAL), 1);
	ck_assert(!mbj_applying_is_stopper(site.store, lsn(5)));
	site_end(&site);
}
END_TEST

TCase *test_applying_case(void)
{
	TCase *tc = tcase_create("applying");

	tcase_add_test(tc, applying_stops);
	tcase_add_test(tc, applying_passes);
	tcase_add_test(tc, applying_is_bounded);
	tcase_add_test(tc, applying_is_damaged);
	tcase_add_test(tc, applying_is_full);
	tcase_add_test(tc, applying_without_boot);
	return tc;
}
