/*
 * Mending a journal by groups of another one: where the machine stops, calls
 * or allocations fail, each segment is the old one or the mended one; and what
 * does not fit is refused with nothing changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal_cases.h"
#include "log_batches.h"
#include "splice_impl.h"

enum { SEED = 3, CUTS = 10 };

/* Of names and bytes that were not synced any may be there. */
static const enum disk_cut cuts[CUTS] = {DISK_CUT_NOTHING, DISK_CUT_ALL,
					 DISK_CUT_KILL,	   DISK_CUT_RANDOM,
					 DISK_CUT_RANDOM,  DISK_CUT_NAMES,
					 DISK_CUT_NAMES,   DISK_CUT_NAMES,
					 DISK_CUT_NAMES,   DISK_CUT_NAMES};

/* The i-th of them, each with another chance. */
static void cut(struct disk *disk, size_t i)
{
	const struct mbj_sys *sys = disk_sys(disk);
	uint8_t byte;

	for (size_t n = 0; n < i; n++)
		ck_assert_int_eq(sys->random(sys->ctx, &byte, 1), 0);
	disk_cut(disk, cuts[i]);
}

/* A damaged journal, and a good one. */
struct splicing {
	struct batches here;
	struct batches there;
	struct mbj_identity identity;
	struct mbj_log_end known; /* of the state */
	struct mbj_log_end end;
	uint64_t segment_size;
	const char *name; /* of the damaged segment */
	uint8_t *old;	  /* its bytes */
	size_t old_size;
	bool is_alone; /* ends what was begun, by no other store */
};

/* The damaged segment, which a power cut leaves as it is. */
static void splicing_take(struct splicing *f)
{
	const struct mbj_sys *sys = disk_sys(f->here.disk);
	uint8_t *p = disk_file(f->here.disk, f->name, &f->old_size);
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];

	free(f->old);
	f->old = malloc(f->old_size);
	ck_assert_ptr_nonnull(f->old);
	memcpy(f->old, p, f->old_size);
	LAB_OK(mbj_path_join(path, DISK_DIR, f->name, err));
	LAB_OK(mbj_file_open(sys, path, O_RDWR, &file, err));
	LAB_OK(mbj_file_write(&file, 0, f->old, f->old_size, err));
	LAB_OK(mbj_file_sync(&file, err));
	mbj_file_close(&file);
	LAB_OK(mbj_dir_sync(sys, DISK_DIR, err));
}

static void splicing_begin(struct splicing *f, uint64_t seed_there)
{
	uint8_t *p;

	memset(f, 0, sizeof(*f));
	batches_begin(&f->here, SEED);
	batches_begin(&f->there, seed_there);
	f->identity = (struct mbj_identity){.lineage = lab_lineage(),
					    .epoch = {UINT64_MAX},
					    .anchor = lab_anchor()};
	f->segment_size = 16 << 20;
	f->name = disk_name(f->here.disk, 1);
	p = disk_file(f->here.disk, f->name, &f->old_size);
	ck_assert_uint_gt(f->old_size, SEGMENT_HEADER_SIZE + 200);
	/* A frame's header, and a record's in it. */
	p[SEGMENT_HEADER_SIZE + 5] ^= 1;
	p[SEGMENT_HEADER_SIZE + SEGMENT_FRAME_SIZE + 17] ^= 1;
	splicing_take(f);
}

static enum mbj_rc mend(struct splicing *f, struct disk *disk, bool is_dry_run,
			size_t *ret_count, struct mbj_error *err);

/* A primary's, of which the last segment is unreadable, and the mark gone. */
static void splicing_begin_last(struct splicing *f)
{
	size_t count, n;
	uint8_t *p;

	splicing_begin(f, SEED);
	LAB_OK(mend(f, f->here.disk, false, &count, err));
	f->identity.role = MBJ_STORE_PRIMARY;
	f->name = lab_segment(f->here.disk);
	p = disk_file(f->here.disk, f->name, &n);
	memset(p + SEGMENT_HEADER_SIZE, 0xff, n - SEGMENT_HEADER_SIZE);
	p = disk_file(f->here.disk, "published", &n);
	memset(p, 0, n);
	splicing_take(f);
}

static void splicing_begin_any(struct splicing *f, bool is_last)
{
	if (is_last)
		splicing_begin_last(f);
	else
		splicing_begin(f, SEED);
}

static void splicing_end(struct splicing *f)
{
	free(f->old);
	batches_end(&f->here);
	batches_end(&f->there);
}

static enum mbj_rc mend(struct splicing *f, struct disk *disk, bool is_dry_run,
			size_t *ret_count, struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_mended mended = {.count = 0};
	struct splice_job job = {.sys = disk_sys(disk),
				 .dir = DISK_DIR,
				 .identity = f->identity,
				 .from = "there",
				 .known = f->known,
				 .told = f->known.lsn,
				 .segment_size = f->segment_size,
				 .is_dry_run = is_dry_run};
	enum mbj_rc rc;

	rc = lab_reader_try(f->there.disk, false, &reader, err);
	if (!f->is_alone)
		job.source = reader;
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(reader, &f->end, err);
	if (rc == MBJ_OK)
		rc = splice_journal(&job, &mended, err);
	mbj_log_reader_close(&reader);
	*ret_count = mended.count;
	mbj_mended_done(&mended);
	return rc;
}

/* What was begun, if it was, is brought to its end without another store. */
static bool is_ended(struct splicing *f, struct disk *disk)
{
	size_t count;

	if (!disk_has(disk, "mending"))
		return false;
	LAB_FAILS(mend(f, disk, true, &count, err), MBJ_ECORRUPT);
	f->is_alone = true;
	LAB_OK(mend(f, disk, false, &count, err));
	ck_assert_uint_gt(count, 0);
	LAB_OK(mend(f, disk, false, &count, err));
	ck_assert_uint_eq(count, 0);
	f->is_alone = false;
	ck_assert(!disk_has(disk, "mending"));
	return true;
}

/* What it was is beside the mended one, or behind what an earlier mend left. */
static void damaged_is_kept(struct splicing *f, struct disk *disk)
{
	static const char *const ends[] = {"", "1"};
	bool is_kept = false;

	for (size_t i = 0; !is_kept && i < 2; i++) {
		char name[64];
		size_t n = 0;
		uint8_t *p;

		(void)snprintf(name, sizeof(name), "%.*s.damaged%s",
			       (int)strlen(f->name) - 4, f->name, ends[i]);
		p = disk_file(disk, name, &n);
		is_kept = p != NULL && n == f->old_size &&
			  memcmp(p, f->old, n) == 0;
	}
	ck_assert(is_kept);
}

/* True: the old one, false: the mended one.  Another one fails the test. */
static bool is_old(struct splicing *f, struct disk *disk)
{
	size_t count = 1;
	size_t n = 0;
	uint8_t *p = disk_file(disk, f->name, &n);

	ck_assert_ptr_nonnull(p);
	if (n == f->old_size && memcmp(p, f->old, n) == 0)
		return true;
	damaged_is_kept(f, disk);
	(void)is_ended(f, disk);
	LAB_OK(mend(f, disk, true, &count, err));
	ck_assert_uint_eq(count, 0);
	return false;
}

/* Another run mends it, and all groups are there. */
static void mend_at_last(struct splicing *f, struct disk *disk)
{
	size_t count;

	(void)is_old(f, disk);
	if (is_ended(f, disk))
		ck_assert(!is_old(f, disk));
	LAB_OK(mend(f, disk, false, &count, err));
	LAB_OK(mend(f, disk, true, &count, err));
	ck_assert_uint_eq(count, 0);
	lab_read_all(disk, false, &f->here.chain, f->here.last);
}

/*
 * A copy with a mend of so many segments that was cut off in that step; it came
 * to its end where there is no such step.
 */
static struct disk *mend_cut(struct splicing *f, uint64_t step, size_t i,
			     size_t would, bool *ret_is_reached)
{
	struct disk *disk = disk_dup(f->here.disk);
	size_t count;
	enum mbj_rc rc;

	disk_stop(disk, step);
	rc = mend(f, disk, false, &count, NULL);
	*ret_is_reached = disk_is_stopped(disk);
	if (!*ret_is_reached) {
		ck_assert_int_eq(rc, MBJ_OK);
		ck_assert_uint_eq(count, would);
	}
	cut(disk, i);
	return disk;
}

/*
 * Goal: a power cut or a kill at any step leaves the old segment or the mended
 * one.  Method: stopped in every call that changes the disk, with what was not
 * synced lost, kept, torn or still cached.
 */
START_TEST(splice_power_cut)
{
	struct splicing f;
	bool is_reached = true;
	unsigned old = 0;
	unsigned new = 0;

	splicing_begin(&f, SEED);
	for (uint64_t step = 1; is_reached; step++) {
		for (size_t i = 0; i < CUTS; i++) {
			struct disk *disk =
				mend_cut(&f, step, i, 1, &is_reached);

			*(is_old(&f, disk) ? &old : &new) += 1;
			mend_at_last(&f, disk);
			disk_free(&disk);
		}
	}
	ck_assert_uint_gt(old, CUTS);
	ck_assert_uint_gt(new, CUTS);
	splicing_end(&f);
}
END_TEST

/* Goal: the same where calls fail, once or from then on. */
START_TEST(splice_calls_fail)
{
	struct splicing f;
	unsigned failures = 0;
	size_t count;

	splicing_begin_any(&f, _i != 0);
	for (unsigned how = 0; how < 4; how++) {
		bool is_reached = true;

		for (uint64_t k = 1; is_reached; k++) {
			struct disk *disk = disk_dup(f.here.disk);
			struct mbj_error why = {.rc = MBJ_OK};
			enum mbj_rc rc;

			disk_fail(disk, DISK_CALL_CHANGE | DISK_CALL_READ, k,
				  (how & 2) != 0 ? ENOSPC : EIO,
				  (how & 1) != 0);
			rc = mend(&f, disk, false, &count, &why);
			is_reached = disk_calls(disk) >= k;
			disk_fail(disk, DISK_CALL_CHANGE, 0, 0, false);
			if (rc < 0) {
				ck_assert_str_ne(why.message, "");
				failures++;
			}
			/* What is left of a mend is removed where it may. */
			mend_at_last(&f, disk);
			disk_free(&disk);
		}
	}
	ck_assert_uint_gt(failures, 40);
	splicing_end(&f);
}
END_TEST

/* Goal: the same of allocations. */
START_TEST(splice_no_memory)
{
	struct splicing f;
	int64_t blocks;
	unsigned failures = 0;
	size_t count;

	splicing_begin_any(&f, _i != 0);
	blocks = test_alloc_blocks();
	for (uint64_t k = 1;; k++) {
		struct disk *disk = disk_dup(f.here.disk);
		uint64_t calls;
		enum mbj_rc rc;

		test_alloc_fail_at(k);
		rc = mend(&f, disk, false, &count, NULL);
		calls = test_alloc_count();
		test_alloc_fail_at(0);
		if (rc < 0) {
			ck_assert_int_eq(rc, MBJ_ENOMEM);
			ck_assert(is_old(&f, disk));
			failures++;
		}
		mend_at_last(&f, disk);
		disk_free(&disk);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		if (calls < k)
			break;
	}
	ck_assert_uint_gt(failures, 5);
	splicing_end(&f);
}
END_TEST

/*
 * Goal: what does not fit changes nothing.  Method: a journal of other groups;
 * an epoch that this store has not come to; a published chain that is another
 * one.
 */
START_TEST(splice_refuses)
{
	struct splicing f;
	uint8_t *published;
	size_t count, n;

	splicing_begin(&f, SEED + 1);
	LAB_FAILS(mend(&f, f.here.disk, false, &count, err), MBJ_EFENCED);
	ck_assert(is_old(&f, f.here.disk));
	splicing_end(&f);

	splicing_begin(&f, SEED);
	f.identity.epoch.v = 1;
	LAB_FAILS(mend(&f, f.here.disk, false, &count, err), MBJ_EFENCED);
	ck_assert(is_old(&f, f.here.disk));
	f.identity.epoch.v = UINT64_MAX;

	/* Without a mark the batches behind it still say how far it was. */
	published = disk_file(f.here.disk, "published", &n);
	published[20] ^= 1;
	LAB_OK(mend(&f, f.here.disk, true, &count, err));
	ck_assert_uint_eq(count, 1);
	splicing_end(&f);
}
END_TEST

/*
 * Goal: what stays of damage in the last segment's last batch is not guessed.
 * Method: with the mark that says that it was durable, or that of the state;
 * without either on a replica, and on a primary, whose source says it.
 */
START_TEST(splice_last)
{
	struct splicing f;
	struct disk *disk;
	const char *last;
	uint8_t *p;
	size_t count, n;

	splicing_begin(&f, SEED);
	mend_at_last(&f, f.here.disk);
	disk = disk_dup(f.here.disk);
	last = lab_segment(disk);
	/* Its header, and no batch of it is left. */
	p = disk_file(disk, last, &n);
	memset(p, 0xff, n);
	LAB_OK(mend(&f, disk, false, &count, err));
	ck_assert_uint_eq(count, 1);
	lab_read_all(disk, false, &f.here.chain, f.here.last);
	disk_free(&disk);
	splicing_end(&f);

	splicing_begin_last(&f);
	f.identity.role = MBJ_STORE_REPLICA;
	LAB_OK(mend(&f, f.here.disk, true, &count, err));
	ck_assert_uint_eq(count, 0);
	f.known = f.end;
	LAB_OK(mend(&f, f.here.disk, true, &count, err));
	ck_assert_uint_eq(count, 1);
	f.known.chain.b[0] ^= 1;
	LAB_FAILS(mend(&f, f.here.disk, false, &count, err), MBJ_EFENCED);
	ck_assert(is_old(&f, f.here.disk));
	f.known.lsn.v = 0;
	f.identity.role = MBJ_STORE_PRIMARY;
	mend_at_last(&f, f.here.disk);
	splicing_end(&f);
}
END_TEST

/* A primary's, of which the files behind the first are gone, and the mark. */
static void splicing_begin_first(struct splicing *f)
{
	size_t count;

	splicing_begin(f, SEED);
	LAB_OK(mend(f, f->here.disk, false, &count, err));
	f->identity.role = MBJ_STORE_PRIMARY;
	while (strcmp(lab_segment(f->here.disk), disk_name(f->here.disk, 0)) !=
	       0)
		disk_remove(f->here.disk, lab_segment(f->here.disk));
	disk_remove(f->here.disk, "published");
	LAB_OK(mbj_dir_sync(disk_sys(f->here.disk), DISK_DIR, err));
	/* As a journal of small segments would have them. */
	f->segment_size = 2048;
}

static unsigned segments_count(struct disk *disk)
{
	unsigned count = 0;

	for (size_t i = 0; disk_name(disk, i) != NULL; i++)
		count += strstr(disk_name(disk, i), ".seg") != NULL;
	return count;
}

/*
 * Goal: an end of several segments comes back in segments, all or none.
 * Method: as above; what is begun takes no other store, which might have less.
 */
START_TEST(splice_end_is_gone)
{
	struct splicing f;
	bool is_reached = true;
	unsigned ended = 0, whole = 0;
	size_t would, count;

	splicing_begin_first(&f);
	LAB_OK(mend(&f, f.here.disk, true, &would, err));
	ck_assert_uint_gt(would, 2);
	for (uint64_t step = 1; is_reached; step++) {
		for (size_t i = 0; i < CUTS; i++) {
			struct disk *disk =
				mend_cut(&f, step, i, would, &is_reached);

			ended += is_ended(&f, disk);
			if (segments_count(disk) > 1) {
				lab_read_all(disk, false, &f.here.chain,
					     f.here.last);
				whole++;
			}
			LAB_OK(mend(&f, disk, false, &count, err));
			lab_read_all(disk, false, &f.here.chain, f.here.last);
			disk_free(&disk);
		}
	}
	ck_assert_uint_gt(ended, 2 * CUTS);
	ck_assert_uint_gt(whole, ended);
	splicing_end(&f);
}
END_TEST

/* The segment of that place, from 0. */
static void segment_remove(struct disk *disk, size_t index)
{
	for (size_t i = 0;; i++) {
		const char *name = disk_name(disk, i);

		ck_assert_ptr_nonnull(name);
		if (strstr(name, ".seg") == NULL || index-- > 0)
			continue;
		disk_remove(disk, name);
		LAB_OK(mbj_dir_sync(disk_sys(disk), DISK_DIR, err));
		return;
	}
}

/*
 * Goal: no opening, and no reader, takes a journal of which some mended
 * segments are in their places and others not.  Method: a file in the midst is
 * gone, so two segments are put; a cut at each step, and then whatever opens
 * has all groups.
 */
START_TEST(splice_some_in_place)
{
	struct splicing f;
	bool is_reached = true;
	unsigned refused = 0;
	unsigned opened = 0;
	size_t count;

	splicing_begin_first(&f);
	LAB_OK(mend(&f, f.here.disk, false, &count, err));
	segment_remove(f.here.disk, 1);
	LAB_OK(mend(&f, f.here.disk, true, &count, err));
	ck_assert_uint_eq(count, 2);
	for (uint64_t step = 1; is_reached; step++) {
		for (size_t i = 0; i < CUTS; i++) {
			struct disk *disk =
				mend_cut(&f, step, i, 2, &is_reached);
			struct mbj_log_reader *reader = NULL;
			struct mbj_log *log = NULL;
			enum mbj_rc rc;

			rc = lab_reader_try(disk, false, &reader, NULL);
			mbj_log_reader_close(&reader);
			if (rc == MBJ_OK)
				lab_read_all(disk, false, &f.here.chain,
					     f.here.last);
			refused += rc == MBJ_ECORRUPT;
			opened += rc == MBJ_OK;
			ck_assert_int_eq(lab_log_try(disk, f.here.last, &log,
						     NULL),
					 rc);
			mbj_log_close(&log);
			if (is_ended(&f, disk))
				lab_read_all(disk, false, &f.here.chain,
					     f.here.last);
			LAB_OK(mend(&f, disk, false, &count, err));
			lab_read_all(disk, false, &f.here.chain, f.here.last);
			disk_free(&disk);
		}
	}
	ck_assert_uint_gt(refused, 30);
	ck_assert_uint_ge(opened, CUTS);
	splicing_end(&f);
}
END_TEST

TCase *test_splice_case(void)
{
	TCase *tc = tcase_create("splice");

	tcase_add_test(tc, splice_power_cut);
	tcase_add_loop_test(tc, splice_calls_fail, 0, 2);
	tcase_add_loop_test(tc, splice_no_memory, 0, 2);
	tcase_add_test(tc, splice_refuses);
	tcase_add_test(tc, splice_last);
	tcase_add_test(tc, splice_end_is_gone);
	tcase_add_test(tc, splice_some_in_place);
	return tc;
}
