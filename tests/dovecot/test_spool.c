/*
 * The file of the plugin's spool: read back, torn, damaged, cut off from power
 * and refused by the disk.
 */
#include "disk.h"
#include "spool.h"
#include "support.h"

#include <errno.h>
#include <string.h>

enum { HEAD = 12, RECORD = 61, CUT_SEED = 7 };

static struct mbj_id id_of(unsigned number)
{
	struct mbj_id id = {{0}};

	id.b[0] = (uint8_t)(number >> 8);
	id.b[1] = (uint8_t)number;
	id.b[15] = 1;
	return id;
}

static enum mbj_rc add(struct spool *spool, unsigned number)
{
	struct mbj_id id = id_of(number);
	struct mbj_error err;
	enum mbj_rc rc = spool_load(spool, &err);

	return rc < 0 ? rc : spool_add(spool, id_of(77), &id, 1, &err);
}

static void must_load(struct spool *spool)
{
	struct mbj_error err = {.rc = MBJ_OK};

	ck_assert_msg(spool_load(spool, &err) == MBJ_OK, "%s", err.message);
}

/* ------------------------------------------------------- one after another */

struct lab {
	char *dir;
	struct disk *disk;
	const struct mbj_sys *sys;
	struct spool one, two; /* processes */
};

static void lab_begin(struct lab *lab)
{
	lab->dir = test_tmpdir_new();
	lab->disk = disk_new(lab->dir, CUT_SEED);
	lab->sys = disk_sys(lab->disk);
	spool_init(&lab->one, lab->sys, disk_root(lab->disk));
	spool_init(&lab->two, lab->sys, disk_root(lab->disk));
}

static void lab_end(struct lab *lab)
{
	spool_done(&lab->one);
	spool_done(&lab->two);
	disk_free(&lab->disk);
	test_tmpdir_free(&lab->dir);
}

static bool file_is_there(const struct lab *lab)
{
	char path[MBJ_PATH_TEXT_MAX];

	ck_assert_int_eq(mbj_path_join(path, disk_root(lab->disk), SPOOL_NAME,
				       NULL),
			 MBJ_OK);
	return disk_has(lab->disk, path);
}

/*
 * Goal: what one process notes another one knows, each mailbox once, until it
 * is told; the last one takes the file along.
 */
START_TEST(spool_round)
{
	struct lab lab;
	struct spool *two = &lab.two;
	struct mbj_error err = {.rc = MBJ_OK};
	uint64_t writes;

	lab_begin(&lab);
	must_load(two);
	ck_assert(spool_is_empty(two));
	ck_assert_int_eq(spool_since(two), 0);
	ck_assert_int_eq(add(&lab.one, 1), MBJ_OK);
	ck_assert_int_eq(add(&lab.one, 2), MBJ_OK);
	writes = disk_step(lab.disk);
	ck_assert_int_eq(add(&lab.one, 1), MBJ_OK);
	ck_assert_uint_eq(disk_step(lab.disk), writes);
	must_load(two);
	ck_assert_uint_eq(two->count, 2);
	ck_assert(two->tree_since != 0 && two->whole_since == 0);
	ck_assert(mbj_id_equal(two->inbox, id_of(77)));
	ck_assert(spool_has(two, id_of(1)) && spool_has(two, id_of(2)));
	ck_assert(!spool_has(two, id_of(3)));
	/* It does not know that all of it is on disk. */
	ck_assert_int_eq(add(two, 1), MBJ_OK);
	ck_assert_uint_gt(disk_step(lab.disk), writes);
	ck_assert_int_eq(spool_settled(two, NULL, 0, &err), MBJ_OK);
	two->entries[0].is_done = true;
	two->entries[1].is_new_told = two->entries[1].is_stopped = true;
	ck_assert_int_eq(spool_save(two, &err), MBJ_OK);
	must_load(&lab.one);
	ck_assert_uint_eq(lab.one.count, 1);
	ck_assert(lab.one.tree_since == 0 && lab.one.entries[0].is_stopped);
	ck_assert(mbj_id_equal(lab.one.entries[0].mailbox, id_of(2)));
	ck_assert(lab.one.entries[0].is_new_told);
	ck_assert_int_eq(add(&lab.one, 3), MBJ_OK);
	ck_assert(lab.one.tree_since != 0);
	/* It is changed again: it begins anew. */
	ck_assert(lab.one.entries[0].is_stopped);
	ck_assert_int_eq(add(&lab.one, 2), MBJ_OK);
	must_load(two);
	ck_assert(!two->entries[0].is_stopped && !two->entries[0].is_new_told);
	two->entries[0].is_new_told = two->is_changed = true;
	ck_assert_int_eq(spool_save(two, &err), MBJ_OK);
	must_load(&lab.one);
	ck_assert(lab.one.entries[0].is_new_told);
	ck_assert(!lab.one.entries[0].is_stopped);
	must_load(two);
	ck_assert_uint_eq(two->count, 2);
	ck_assert_int_eq(add(two, 4), MBJ_OK);
	ck_assert_int_eq(add(two, 5), MBJ_OK);
	ck_assert_int_eq(spool_drop(two, id_of(4), &err), MBJ_OK);
	ck_assert_int_eq(spool_drop(two, id_of(4), &err), MBJ_OK);
	must_load(&lab.one);
	ck_assert(!spool_has(&lab.one, id_of(4)));
	ck_assert(spool_has(&lab.one, id_of(5)));
	ck_assert_int_eq(spool_drop(two, id_of(5), &err), MBJ_OK);
	must_load(two);
	ck_assert_uint_eq(two->count, 2);
	ck_assert(two->tree_since != 0);
	ck_assert_int_eq(spool_settled(two, NULL, 0, &err), MBJ_OK);
	two->entries[0].is_done = two->entries[1].is_done = true;
	ck_assert_int_eq(spool_save(two, &err), MBJ_OK);
	ck_assert(!file_is_there(&lab));
	must_load(&lab.one);
	ck_assert(spool_is_empty(&lab.one));
	lab_end(&lab);
}
END_TEST

/* Goal: it is bounded.  More mailboxes are all, and all are some again. */
START_TEST(spool_whole)
{
	static struct mbj_id ids[SPOOL_ENTRIES_MAX + 1];
	struct mbj_error err = {.rc = MBJ_OK};
	const struct mbj_id known = id_of(9);
	struct lab lab;
	int64_t since;

	lab_begin(&lab);
	for (unsigned i = 0; i <= SPOOL_ENTRIES_MAX; i++)
		ids[i] = id_of(i);
	must_load(&lab.one);
	ck_assert_int_eq(spool_add(&lab.one, id_of(0), ids, SPOOL_ENTRIES_MAX,
				   &err),
			 MBJ_OK);
	since = spool_since(&lab.one);
	ck_assert_int_eq(lab.one.whole_since, 0);
	ck_assert_int_eq(spool_add(&lab.one, id_of(0), ids,
				   SPOOL_ENTRIES_MAX + 1, &err),
			 MBJ_OK);
	must_load(&lab.two);
	ck_assert_uint_eq(lab.two.count, 0);
	ck_assert_int_eq(lab.two.whole_since, since);
	ck_assert(spool_has(&lab.two, id_of(60000)));
	ck_assert_int_eq(add(&lab.two, 5), MBJ_OK);
	ck_assert_uint_eq(lab.two.count, 0);
	ck_assert_int_eq(spool_settled(&lab.two, &known, 1, &err), MBJ_OK);
	ck_assert_int_eq(spool_save(&lab.two, &err), MBJ_OK);
	must_load(&lab.one);
	ck_assert_uint_eq(lab.one.count, 1);
	ck_assert(spool_has(&lab.one, known) && !spool_has(&lab.one, ids[5]));
	lab_end(&lab);
}
END_TEST

/* ---------------------------------------------------------------- damaged */

static void file_put(const struct lab *lab, const uint8_t *p, size_t n)
{
	ck_assert_int_eq(mbj_file_replace(lab->sys, disk_root(lab->disk),
					  SPOOL_NAME, mbj_bytes_make(p, n),
					  NULL),
			 MBJ_OK);
}

static void must_be_whole(struct lab *lab)
{
	must_load(&lab->two);
	ck_assert_int_ne(lab->two.whole_since, 0);
	ck_assert_int_ne(lab->two.tree_since, 0);
}

/*
 * Goal: of a file that is not what was written all mailboxes are in doubt, and
 * the next one to write makes it a good one.  Method: each byte is another one,
 * the file ends at each but between records.
 */
START_TEST(spool_damaged)
{
	uint8_t good[HEAD + 3 * RECORD + 1], bad[sizeof(good)];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(add(&lab.one, 1), MBJ_OK);
	ck_assert_int_eq(add(&lab.one, 2), MBJ_OK);
	mbj_buf_init(&buf, sizeof(good));
	ck_assert_int_eq(mbj_path_join(path, disk_root(lab.disk), SPOOL_NAME,
				       NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_file_load(lab.sys, path, sizeof(good), &buf, NULL),
			 MBJ_OK);
	ck_assert_uint_eq(buf.n, sizeof(good) - 1);
	memcpy(good, buf.p, buf.n);
	good[sizeof(good) - 1] = 'x';
	for (size_t i = 0; i < sizeof(good); i++) {
		memcpy(bad, good, sizeof(bad));
		bad[i] ^= 1;
		file_put(&lab, bad, sizeof(bad) - (i < sizeof(bad) - 1));
		must_be_whole(&lab);
		if (i >= HEAD && (i - HEAD) % RECORD == 0)
			continue;
		file_put(&lab, good, i);
		must_be_whole(&lab);
	}
	file_put(&lab, good, sizeof(good));
	must_be_whole(&lab);
	ck_assert_int_eq(add(&lab.two, 3), MBJ_OK);
	must_load(&lab.one);
	ck_assert_uint_eq(lab.one.count, 0);
	ck_assert(spool_has(&lab.one, id_of(1)));
	mbj_buf_done(&buf);
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------------------- cut, faults */

/* What was acknowledged, and not told yet. */
struct promise {
	bool has[6];
	bool is_failed;
};

static void promise_add(struct promise *promise, struct spool *spool,
			unsigned number)
{
	if (add(spool, number) == MBJ_OK)
		promise->has[number] = true;
	else
		promise->is_failed = true;
}

/* Each mailbox that is told stops being promised before the file says so. */
static void promise_tell(struct promise *promise, struct spool *spool,
			 unsigned number)
{
	struct mbj_error err;

	if (spool_load(spool, &err) < 0 ||
	    spool_settled(spool, NULL, 0, &err) < 0)
		return;
	promise->has[number] = false;
	for (size_t i = 0; i < spool->count; i++)
		if (mbj_id_equal(spool->entries[i].mailbox, id_of(number)))
			spool->entries[i].is_done = true;
	if (spool_save(spool, &err) < 0)
		promise->is_failed = true;
}

/* Two processes, one after the other, and a third one that begins late. */
static struct promise script(struct lab *lab)
{
	struct promise promise = {.is_failed = false};
	struct spool three;

	spool_init(&three, lab->sys, disk_root(lab->disk));
	promise_add(&promise, &lab->one, 1);
	promise_add(&promise, &lab->one, 2);
	promise_add(&promise, &lab->two, 2);
	promise_add(&promise, &lab->two, 3);
	promise_add(&promise, &lab->one, 4);
	promise_tell(&promise, &three, 2);
	promise_add(&promise, &three, 5);
	promise_add(&promise, &three, 0);
	spool_done(&three);
	return promise;
}

static void promise_judge(const struct promise *promise, struct disk *disk,
			  const char *when, uint64_t at)
{
	struct mbj_error err = {.rc = MBJ_OK};
	struct spool spool;

	spool_init(&spool, disk_sys(disk), disk_root(disk));
	ck_assert_msg(spool_load(&spool, &err) == MBJ_OK, "%s", err.message);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_msg(!promise->has[i] || spool_has(&spool, id_of(i)),
			      "%s at call %u: mailbox %u is lost", when,
			      (unsigned)at, i);
	spool_done(&spool);
}

/* Returns: there was no such call. */
static bool cut_at(uint64_t at, enum disk_cut_kind kind)
{
	const struct disk_fault fault = {DISK_CALL_CHANGE, at, EIO, true};
	struct disk_choice choice = {.count = 0};
	struct promise promise;
	struct disk *after;
	struct lab lab;
	bool is_past;

	lab_begin(&lab);
	disk_fail(lab.disk, &fault);
	promise = script(&lab);
	is_past = !disk_has_failed(lab.disk);
	disk_fail(lab.disk, &(struct disk_fault){.at = 0});
	after = disk_new(lab.dir, CUT_SEED);
	disk_choose(lab.disk, kind, at, &choice);
	disk_cut(after, lab.disk, kind, &choice);
	promise_judge(&promise, after, disk_cut_name(kind), at);
	disk_choice_done(&choice);
	disk_free(&after);
	lab_end(&lab);
	return is_past;
}

/*
 * Goal: what was noted is there after a power cut or a kill, wherever it was.
 * Method: the disk takes no call from each on, and is cut in all ways.
 */
START_TEST(spool_cut)
{
	uint64_t at = 1;

	for (int kind = 0; kind < DISK_CUT_COUNT; kind++) {
		at = 1;
		while (!cut_at(at, (enum disk_cut_kind)kind))
			at++;
		ck_assert_uint_gt(at, 20);
	}
}
END_TEST

/*
 * Goal: one call that fails, a full disk, say, is told, and what was noted
 * before, or is after, is there, also after a power cut.
 */
START_TEST(spool_fault)
{
	static const int errors[] = {EIO, ENOSPC, 0};

	for (size_t e = 0; e < 3; e++)
		for (uint64_t at = 1;; at++) {
			const struct disk_fault fault = {
				errors[e] == 0 ? DISK_CALL_WRITE
					       : DISK_CALL_CHANGE,
				at, errors[e], false};
			struct disk_choice choice = {.count = 0};
			struct promise promise;
			struct disk *after;
			struct lab lab;
			bool is_past;

			lab_begin(&lab);
			disk_fail(lab.disk, &fault);
			promise = script(&lab);
			is_past = !disk_has_failed(lab.disk);
			disk_fail(lab.disk, &(struct disk_fault){.at = 0});
			ck_assert(!is_past || !promise.is_failed);
			promise_judge(&promise, lab.disk, "failed", at);
			after = disk_new(lab.dir, CUT_SEED);
			disk_choose(lab.disk, DISK_CUT_NOTHING, at, &choice);
			disk_cut(after, lab.disk, DISK_CUT_NOTHING, &choice);
			promise_judge(&promise, after, "failed, cut", at);
			disk_choice_done(&choice);
			disk_free(&after);
			lab_end(&lab);
			if (is_past)
				break;
		}
}
END_TEST

static TCase *spool_case(void)
{
	TCase *cases = tcase_create("spool");

	tcase_add_test(cases, spool_round);
	tcase_add_test(cases, spool_whole);
	tcase_add_test(cases, spool_damaged);
	tcase_add_test(cases, spool_cut);
	tcase_add_test(cases, spool_fault);
	return cases;
}

int main(void)
{
	static const test_case_fn cases[] = {spool_case};

	return test_run("spool", cases, sizeof(cases) / sizeof(cases[0]));
}
