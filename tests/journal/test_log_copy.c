/*
 * A log whose disk failed is copied into a new segment when it is opened:
 * what gets its name there is what was read, or nothing does.
 */
#include "journal_cases.h"
#include "log_impl.h"
#include "log_meddle.h"

enum {
	COPY_GROUPS = 8, /* a batch each */
	/* Bytes of a group of seven accounts and nothing else: seven frames. */
	FILLER_ACCOUNTS = 7,
};

/* A log of one segment on a disk that failed in use. */
struct copy {
	struct meddle meddle;
	struct disk *disk;
	struct lab_chain chain;
	struct mbj_buf filler; /* the group that would come next */
	uint64_t last;
	unsigned how; /* what to change in the copy */
};

static void filler_make(struct copy *c)
{
	struct mbj_group_writer *writer = &c->chain.writer;
	struct mbj_hash chain = c->chain.end.chain;
	uint32_t index;

	mbj_buf_init(&c->filler, 1 << 20);
	mbj_group_writer_begin(writer, (struct mbj_lsn){c->last + 1},
			       (struct mbj_epoch){7}, 0, MBJ_ORIGIN_LIVE,
			       MBJ_ID_ROOT);
	for (uint32_t i = 0; i < FILLER_ACCOUNTS; i++)
		LAB_OK(mbj_group_writer_account(writer,
						lab_random_id(&c->chain.lab),
						(struct mbj_lsn){0}, &index,
						err));
	LAB_OK(mbj_group_writer_finish(writer, c->chain.sha, &chain, &c->filler,
				       err));
	ck_assert_uint_eq(c->filler.n, (COPY_GROUPS - 1) * SEGMENT_FRAME_SIZE);
}

static void copy_begin(struct copy *c, unsigned how)
{
	struct mbj_log *log = NULL;

	c->disk = disk_new(41);
	c->how = how;
	lab_chain_init(&c->chain, 41);
	log = lab_log_open(c->disk, c->chain.first.v - 1);
	for (unsigned i = 0; i < COPY_GROUPS; i++) {
		(void)lab_chain_add(&c->chain, 0);
		c->last = c->chain.end.lsn.v;
		LAB_OK(lab_append(log, &c->chain, c->last, c->last, err));
	}
	ck_assert_uint_eq(log->number, 1);
	filler_make(c);
	disk_fail(c->disk, DISK_CALL_WRITE, 1, 5, false);
	(void)lab_chain_add(&c->chain, 0);
	LAB_FAILS(lab_append(log, &c->chain, c->last + 1, c->last + 1, err),
		  MBJ_EIO);
	disk_fail(c->disk, 0, 0, 0, false);
	mbj_log_close(&log);
	ck_assert(disk_has(c->disk, LOG_SUSPECT_NAME));
	meddle_init(&c->meddle, c->disk);
}

static void copy_end(struct copy *c)
{
	mbj_buf_done(&c->filler);
	lab_chain_done(&c->chain);
	disk_free(&c->disk);
}

/* It was refused, and the next opening, left alone, makes the copy. */
static void copy_again(struct copy *c)
{
	struct mbj_log *log = NULL;

	ck_assert(!disk_has(c->disk, LOG_TEMP_NAME));
	ck_assert(disk_has(c->disk, LOG_SUSPECT_NAME));
	ck_assert_ptr_nonnull(strstr(lab_segment(c->disk), "00000001-"));
	log = lab_log_open(c->disk, c->last);
	ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, c->last);
	ck_assert_ptr_nonnull(strstr(lab_segment(c->disk), "00000002-"));
	ck_assert(!disk_has(c->disk, LOG_SUSPECT_NAME));
	lab_read_all(c->disk, true, &c->chain, c->last);
	mbj_log_close(&log);
}

/* All but its header and a few bytes. */
static void source_shorten(struct meddle *meddle)
{
	const char *name = lab_segment(meddle->disk);

	(void)disk_resize(meddle->disk, name, SEGMENT_HEADER_SIZE + 8);
}

/*
 * Goal: a segment that gets shorter while it is copied is not copied in part.
 * Method: cut before each read of opening it.
 */
START_TEST(copy_source_shortens)
{
	unsigned refused = 0;
	bool is_read = false;
	struct copy c;

	copy_begin(&c, 0);
	for (uint64_t k = 1; !is_read; k++) {
		struct disk *disk = disk_dup(c.disk);
		struct mbj_error why = {.rc = MBJ_OK};
		struct mbj_log *log = NULL;
		struct meddle meddle;
		enum mbj_rc rc;

		meddle_init(&meddle, disk);
		meddle_change(&meddle, MEDDLE_READ, k, source_shorten);
		rc = meddle_log_try(&meddle, DISK_DIR, c.last, &log, &why);
		if (rc == MBJ_OK) {
			ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, c.last);
			is_read = meddle.count < k;
		} else if (rc == MBJ_EIO) {
			ck_assert_ptr_nonnull(
				strstr(why.message, "became shorter"));
			ck_assert_ptr_nonnull(
				strstr(lab_segment(disk), "00000001-"));
			refused++;
		} else {
			ck_assert_int_eq(rc, MBJ_ECORRUPT);
		}
		mbj_log_close(&log);
		disk_free(&disk);
	}
	ck_assert_uint_gt(refused, 0);
	copy_again(&c);
	copy_end(&c);
}
END_TEST

/* --------------------------------------------- other bytes than were written
 */

/* One frame at p of the groups first and second; returns where it ends. */
static uint8_t *frame_put(uint8_t *p, const struct segment_header *header,
			  const struct mbj_log_end *before, uint32_t count,
			  struct mbj_bytes first, struct mbj_bytes second)
{
	struct segment_frame frame = {
		.payload_size = first.n + second.n,
		.first = {before->lsn.v + 1},
		.count = count,
		.payload_crc = mbj_crc32c(mbj_crc32c(0, first), second),
		.chain = before->chain,
	};

	segment_frame_encode(&frame, header->salt, p);
	p += SEGMENT_FRAME_SIZE;
	memcpy(p, first.p, first.n);
	memcpy(p + first.n, second.p, second.n);
	return p + first.n + second.n;
}

enum {
	COPY_FLIPPED,	   /* a bit of the last group */
	COPY_GARBAGE,	   /* bytes behind the last batch */
	COPY_LONGER,	   /* a batch more that could be the next one */
	COPY_OTHER_GROUPS, /* as long, with a group more: fewer batches */
	COPY_COUNT,
};

static void copy_bend(struct meddle *meddle)
{
	struct copy *c = (struct copy *)(void *)meddle;
	struct mbj_log_end before = lab_chain_end(&c->chain, c->last);
	struct mbj_bytes filler = mbj_buf_view(&c->filler);
	struct mbj_bytes none = mbj_bytes_make(filler.p, 0);
	struct segment_header header;
	size_t n = 0;
	uint8_t *p = disk_file(c->disk, LOG_TEMP_NAME, &n);

	ck_assert_ptr_nonnull(p);
	LAB_OK(segment_header_decode(mbj_bytes_make(p, n), LOG_TEMP_NAME,
				     &header, err));
	switch (c->how) {
	case COPY_FLIPPED:
		p[n - 9] ^= 1;
		return;
	case COPY_GARBAGE:
		p = disk_resize(c->disk, LOG_TEMP_NAME, n + 8);
		p[n + 3] = 1;
		return;
	case COPY_LONGER:
		p = disk_resize(c->disk, LOG_TEMP_NAME,
				n + SEGMENT_FRAME_SIZE + filler.n);
		(void)frame_put(p + n, &header, &before, 1, filler, none);
		return;
	case COPY_OTHER_GROUPS:
		before = lab_chain_end(&c->chain, c->chain.first.v - 1);
		ck_assert_ptr_eq(frame_put(p + SEGMENT_HEADER_SIZE, &header,
					   &before, COPY_GROUPS + 1,
					   lab_chain_range(&c->chain,
							   c->chain.first.v,
							   c->last),
					   filler),
				 p + n);
		return;
	default:
		ck_abort_msg("no such change");
	}
}

/*
 * Goal: a copy gets its name only where the disk gives back what was copied.
 * Method: other bytes in it before its sync, each of four kinds, with and
 * without somebody to tell.  Three of them are whole segments.
 */
START_TEST(copy_differs)
{
	struct mbj_log *log = NULL;
	struct copy c;

	copy_begin(&c, (unsigned)_i);
	/* The syncs: of the segment, of the directory, of the copy. */
	meddle_change(&c.meddle, MEDDLE_SYNC, 3, copy_bend);
	LAB_FAILS(meddle_log_try(&c.meddle, DISK_DIR, c.last, &log, err),
		  MBJ_ECORRUPT);
	ck_assert_uint_eq(c.meddle.count, 3);
	meddle_change(&c.meddle, MEDDLE_SYNC, 3, copy_bend);
	ck_assert_int_eq(meddle_log_try(&c.meddle, DISK_DIR, c.last, &log,
					NULL),
			 MBJ_ECORRUPT);
	copy_again(&c);
	copy_end(&c);
}
END_TEST

TCase *test_log_copy_case(void)
{
	TCase *tc = tcase_create("log_copy");

	tcase_add_test(tc, copy_source_shortens);
	tcase_add_loop_test(tc, copy_differs, 0, COPY_COUNT);
	return tc;
}
