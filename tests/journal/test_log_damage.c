/*
 * Damaged journals: no flipped bit and no missing byte is accepted or makes
 * the journal silently shorter, and a batch torn by a crash is no damage.
 */
#include <stdio.h>
#include <stdlib.h>

#include "journal_cases.h"
#include "log_lab.h"

enum { BATCHES_MAX = 64 };

/* A log on a disk, and where its batches are in its last segment. */
struct damage {
	struct disk *disk;
	struct lab_chain chain;
	uint64_t last;			 /* LSN */
	char segment[MBJ_PATH_TEXT_MAX]; /* name of the last one */
	size_t begin[BATCHES_MAX + 1];	 /* of each batch in it; the end */
	uint64_t first[BATCHES_MAX + 1]; /* LSN of each; last + 1 */
	size_t count;
};

/* Where the frames of the last segment are. */
static void damage_measure(struct damage *d)
{
	struct segment_header header;
	struct segment_frame frame;
	const uint8_t *p;
	size_t n = 0;
	size_t at = SEGMENT_HEADER_SIZE;

	(void)snprintf(d->segment, sizeof(d->segment), "%s",
		       lab_segment(d->disk));
	p = disk_file(d->disk, d->segment, &n);
	LAB_OK(segment_header_decode(mbj_bytes_make(p, n), d->segment, &header,
				     err));
	d->count = 0;
	while (at + SEGMENT_FRAME_SIZE <= n &&
	       segment_frame_decode(p + at, header.salt, &frame)) {
		ck_assert_uint_lt(d->count, BATCHES_MAX);
		d->begin[d->count] = at;
		d->first[d->count] = frame.first.v;
		d->count++;
		at += SEGMENT_FRAME_SIZE + (size_t)frame.payload_size;
	}
	d->begin[d->count] = at;
	d->first[d->count] = d->last + 1;
}

/* batches of up to groups small groups each, closed cleanly. */
static void damage_begin(struct damage *d, uint64_t seed, unsigned batches,
			 unsigned groups, unsigned ops)
{
	struct mbj_log *log;

	memset(d, 0, sizeof(*d));
	d->disk = disk_new(seed);
	lab_chain_init(&d->chain, seed);
	log = lab_log_open(d->disk, 0);
	d->last = d->chain.end.lsn.v;
	for (unsigned i = 0; i < batches; i++) {
		for (unsigned j = 0; j <= i % groups; j++)
			(void)lab_chain_add(&d->chain, ops);
		LAB_OK(lab_append(log, &d->chain, d->last + 1,
				  d->chain.end.lsn.v, err));
		d->last = d->chain.end.lsn.v;
	}
	mbj_log_close(&log);
	disk_cut(d->disk, DISK_CUT_ALL);
	damage_measure(d);
}

static void damage_end(struct damage *d)
{
	lab_chain_done(&d->chain);
	disk_free(&d->disk);
}

/* The batch of the last segment that holds byte at; count: behind them. */
static size_t damage_batch(const struct damage *d, size_t at)
{
	size_t i = 0;

	while (i < d->count && at >= d->begin[i + 1])
		i++;
	return i;
}

/* Opening must fail and name file, place and LSN of the byte at. */
static void damage_named(const struct damage *d, struct disk *disk,
			 uint64_t known, size_t at)
{
	struct mbj_error error = {.rc = MBJ_OK};
	size_t batch = damage_batch(d, at);
	struct mbj_log *log = NULL;

	ck_assert_int_eq(lab_log_try(disk, known, &log, &error), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.file, d->segment));
	ck_assert_ptr_nonnull(strstr(error.message, d->segment));
	ck_assert_uint_le(error.offset, at);
	if (at < SEGMENT_HEADER_SIZE) {
		ck_assert_uint_eq(error.offset, 0);
	} else {
		ck_assert_uint_ge(error.offset, d->begin[batch]);
		ck_assert_uint_eq(error.lsn, d->first[batch]);
	}
}

/*
 * Without an owner: groups are read as they were, a damaged body is said to be
 * damaged, and nothing ends before the last LSN without a word.
 */
static void damage_read(const struct damage *d, struct disk *disk,
			bool is_harmless)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_error error = {.rc = MBJ_OK};
	bool is_noticed = false;
	struct mbj_group group;
	uint64_t lsn = d->chain.first.v - 1;
	enum mbj_rc rc;

	rc = lab_reader_try(disk, false, &reader, &error);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, &error);
		if (rc < 0)
			break;
		ck_assert_uint_eq(group.header.lsn.v, ++lsn);
		if (group.is_body_good)
			ck_assert(
				mbj_bytes_equal(group.record,
						lab_chain_get(&d->chain, lsn)));
		else
			is_noticed = true;
	}
	if (rc == MBJ_ENOTFOUND) {
		ck_assert_uint_eq(lsn, d->last);
		ck_assert_int_ne(is_noticed, is_harmless);
	} else {
		ck_assert_int_eq(rc, MBJ_ECORRUPT);
		ck_assert(!is_harmless);
		ck_assert_uint_gt(strlen(error.file), 0);
	}
	mbj_log_reader_close(&reader);
}

/* Without any evidence: a prefix of whole batches, and nothing else. */
static void damage_guess(const struct damage *d, struct disk *disk, size_t at)
{
	size_t batch = damage_batch(d, at);
	struct mbj_log *log = NULL;
	uint64_t end;
	enum mbj_rc rc;

	disk_remove(disk, "published");
	rc = lab_log_try(disk, 0, &log, NULL);
	if (rc == MBJ_ECORRUPT) {
		ck_assert_uint_lt(batch, d->count);
		return;
	}
	ck_assert_int_eq(rc, MBJ_OK);
	end = mbj_log_end_get(log).lsn.v;
	/* What can pass for torn is the last batch alone. */
	if (batch < d->count) {
		ck_assert_uint_eq(batch, d->count - 1);
		ck_assert_uint_eq(end, d->first[batch] - 1);
		ck_assert_uint_gt(mbj_log_torn_get(log), 0);
	} else {
		ck_assert_uint_eq(end, d->last);
	}
	lab_read_all(disk, true, &d->chain, end);
	mbj_log_close(&log);
}

static struct disk *flipped(const struct damage *d, const char *name,
			    size_t bit)
{
	struct disk *disk = disk_dup(d->disk);
	size_t n = 0;
	uint8_t *p = disk_file(disk, name, &n);

	ck_assert_uint_lt(bit / 8, n);
	p[bit / 8] ^= (uint8_t)(1u << bit % 8);
	return disk;
}

/* Behind the last frame: nobody is to see it. */
static void damage_unseen(const struct damage *d, struct disk *disk,
			  uint64_t known)
{
	struct mbj_log *log = NULL;

	LAB_OK(lab_log_try(disk, known, &log, err));
	ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, d->last);
	mbj_log_close(&log);
}

/*
 * Goal: every flipped bit of the last segment is noticed and named, never
 * accepted, never the silent end.  Method: each bit in turn, opened with the
 * state's watermark, with the published LSN alone, read without an owner, and
 * opened without any evidence.
 */
START_TEST(damage_flips)
{
	struct damage d;
	size_t n = 0;

	damage_begin(&d, 21, 3, 2, 2);
	ck_assert_uint_eq(d.count, 3);
	(void)disk_file(d.disk, d.segment, &n);
	for (size_t bit = 0; bit < n * 8; bit++) {
		bool is_behind = bit / 8 >= d.begin[d.count];
		struct disk *disk;

		for (unsigned i = 0; i < 2; i++) {
			uint64_t known = i == 0 ? d.last : 0;

			disk = flipped(&d, d.segment, bit);
			if (is_behind)
				damage_unseen(&d, disk, known);
			else
				damage_named(&d, disk, known, bit / 8);
			disk_free(&disk);
		}
		disk = flipped(&d, d.segment, bit);
		damage_read(&d, disk, is_behind);
		damage_guess(&d, disk, bit / 8);
		disk_free(&disk);
	}
	damage_end(&d);
}
END_TEST

/*
 * Goal: a damaged "published" costs evidence and nothing else.  Method: every
 * bit, every shorter and an empty file; a whole record that says too much.
 */
START_TEST(damage_published)
{
	struct mbj_log *log = NULL;
	struct disk *disk;
	struct damage d;

	damage_begin(&d, 22, 5, 2, 2);
	for (size_t bit = 0; bit < 64 * 8; bit++) {
		disk = flipped(&d, "published", bit);
		log = lab_log_open(disk, d.last);
		ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, d.last);
		lab_read_all(disk, true, &d.chain, d.last);
		mbj_log_close(&log);
		disk_free(&disk);
	}
	for (size_t n = 0; n < 64; n++) {
		disk = disk_dup(d.disk);
		(void)disk_resize(disk, "published", n);
		lab_read_all(disk, false, &d.chain, d.last);
		log = lab_log_open(disk, d.last);
		mbj_log_close(&log);
		lab_read_all(disk, true, &d.chain, d.last);
		disk_free(&disk);
	}
	damage_end(&d);
}
END_TEST

/*
 * Goal: damage in the middle of a journal is met by whoever reads it, and its
 * headers by whoever opens it.  Method: every bit of the first of several
 * segments.
 */
START_TEST(damage_older)
{
	struct mbj_log *log = NULL;
	struct disk *disk;
	char name[64] = "00000001-0000000000000029.seg";
	struct damage d;
	size_t n = 0;
	size_t used;
	uint8_t *p;

	damage_begin(&d, 23, 24, 2, 2);
	ck_assert_str_ne(d.segment, name);
	p = disk_file(d.disk, name, &n);
	for (used = n; used > 0 && p[used - 1] == 0;)
		used--;
	for (size_t bit = 0; bit < n * 8; bit++) {
		disk = flipped(&d, name, bit);
		if (bit / 8 < SEGMENT_HEADER_SIZE) {
			LAB_FAILS(lab_log_try(disk, d.last, &log, err),
				  MBJ_ECORRUPT);
		} else if (bit % 64 == 0) {
			log = lab_log_open(disk, d.last);
			mbj_log_close(&log);
		}
		/* A record ends with up to seven zero bytes. */
		if (bit / 8 < used || bit / 8 >= used + 8)
			damage_read(&d, disk, bit / 8 >= used);
		disk_free(&disk);
	}
	damage_end(&d);
}
END_TEST

/*
 * Goal: a journal cut off anywhere is either refused, where evidence says that
 * there was more, or ends with the last whole batch.  Method: the last segment
 * shortened to every length.
 */
START_TEST(damage_truncated)
{
	struct mbj_log *log = NULL;
	struct disk *disk;
	struct damage d;

	damage_begin(&d, 24, 4, 3, 2);
	for (size_t n = 0; n < d.begin[d.count]; n++) {
		size_t whole = damage_batch(&d, n);

		for (unsigned i = 0; i < 2; i++) {
			disk = disk_dup(d.disk);
			(void)disk_resize(disk, d.segment, n);
			LAB_FAILS(lab_log_try(disk, i == 0 ? d.last : 0, &log,
					      err),
				  MBJ_ECORRUPT);
			if (i == 0)
				damage_read(&d, disk, false);
			disk_free(&disk);
		}
		disk = disk_dup(d.disk);
		(void)disk_resize(disk, d.segment, n);
		disk_remove(disk, "published");
		if (n < SEGMENT_HEADER_SIZE) {
			LAB_FAILS(lab_log_try(disk, 0, &log, err),
				  MBJ_ECORRUPT);
		} else {
			log = lab_log_open(disk, 0);
			ck_assert_uint_eq(mbj_log_end_get(log).lsn.v,
					  d.first[whole] - 1);
			ck_assert_int_eq(mbj_log_torn_get(log) > 0,
					 n > d.begin[whole]);
			lab_read_all(disk, true, &d.chain, d.first[whole] - 1);
			mbj_log_close(&log);
		}
		disk_free(&disk);
	}
	damage_end(&d);
}
END_TEST

/* ---------------------------------------------------------- torn tails */

/* What a crash left of the last batch, cut at one place. */
enum torn {
	TORN_FRONT,   /* the beginning is there */
	TORN_BACK,    /* the end is there */
	TORN_GARBAGE, /* a sector of something else */
	TORN_KINDS,
};

/* Returns false where the batch is whole all the same, or wholly absent. */
static bool tear(const struct damage *d, struct disk *disk, enum torn how,
		 size_t at)
{
	size_t begin = d->begin[d->count - 1];
	size_t end = d->begin[d->count];
	uint8_t *copy = malloc(end - begin);
	bool is_torn = false;
	size_t n = 0;
	uint8_t *p;

	ck_assert_ptr_nonnull(copy);
	p = disk_file(disk, d->segment, &n);
	memcpy(copy, p + begin, end - begin);
	if (how == TORN_FRONT)
		memset(p + at, 0, end - at);
	else if (how == TORN_BACK)
		memset(p + begin, 0, at - begin);
	else
		for (size_t i = at; i < end && i < at + 512; i++)
			p[i] ^= 0x5a;
	/* Nothing of it, not even a byte that is not zero: no trace. */
	for (size_t i = begin; i < end; i++)
		is_torn = is_torn || p[i] != 0;
	is_torn = is_torn && memcmp(copy, p + begin, end - begin) != 0;
	free(copy);
	return is_torn;
}

/* A chain with the same groups before lsn, and others from there on. */
static void fork_init(struct lab_chain *fork, const struct damage *d,
		      uint64_t seed, uint64_t lsn)
{
	lab_chain_init(fork, seed);
	mbj_buf_put_bytes(&fork->records,
			  lab_chain_range(&d->chain, d->chain.first.v,
					  lsn - 1));
	LAB_OK(mbj_buf_ok(&fork->records, err));
	fork->count = (size_t)(lsn - fork->first.v);
	fork->capacity = fork->count + 2;
	fork->begins = malloc(fork->capacity * sizeof(size_t));
	ck_assert_ptr_nonnull(fork->begins);
	memcpy(fork->begins, d->chain.begins,
	       (fork->count + 1) * sizeof(size_t));
	fork->end = lab_chain_end(&d->chain, lsn - 1);
	for (unsigned i = 0; i < 4; i++)
		(void)lab_chain_add(fork, 2);
}

/* Open without evidence: the batch is gone, and others take its LSNs. */
static void torn_continue(const struct damage *d, struct disk *disk,
			  bool is_torn)
{
	uint64_t lost = d->first[d->count - 1];
	struct lab_chain fork;
	struct mbj_log *log;

	log = lab_log_open(disk, lost - 1);
	ck_assert_uint_eq(mbj_log_end_get(log).lsn.v, lost - 1);
	ck_assert_int_eq(mbj_log_torn_get(log) > 0, is_torn);
	fork_init(&fork, d, 99, lost);
	LAB_OK(lab_append(log, &fork, lost, lost + 1, err));
	mbj_log_close(&log);
	lab_read_all(disk, false, &fork, lost + 1);
	disk_cut(disk, DISK_CUT_NOTHING);
	log = lab_log_open(disk, lost + 1);
	ck_assert_uint_eq(mbj_log_torn_get(log), 0);
	LAB_OK(lab_append(log, &fork, lost + 2, lost + 2, err));
	lab_read_all(disk, true, &fork, lost + 2);
	mbj_log_close(&log);
	lab_chain_done(&fork);
}

/*
 * Goal: a batch that a crash tore is dropped, its LSNs are used again, and the
 * same bytes are damage where it was durable.  Method: the last batch cut at
 * every eighth byte and every sector, in three ways.
 */
START_TEST(damage_torn)
{
	struct mbj_log *log = NULL;
	unsigned torn = 0;
	struct damage d;

	damage_begin(&d, 25, 6, 3, 3);
	for (unsigned how = 0; how < TORN_KINDS; how++) {
		for (size_t at = d.begin[d.count - 1]; at < d.begin[d.count];
		     at = at % 8 ? at / 8 * 8 + 8 : at + 8) {
			struct disk *disk = disk_dup(d.disk);
			bool is_torn = tear(&d, disk, (enum torn)how, at);

			if (!is_torn && !(how == TORN_FRONT &&
					  at == d.begin[d.count - 1])) {
				disk_free(&disk);
				continue;
			}
			LAB_FAILS(lab_log_try(disk, d.last, &log, err),
				  MBJ_ECORRUPT);
			LAB_FAILS(lab_log_try(disk, 0, &log, err),
				  MBJ_ECORRUPT);
			damage_read(&d, disk, false);
			disk_remove(disk, "published");
			LAB_FAILS(lab_log_try(disk, d.first[d.count - 1], &log,
					      err),
				  MBJ_ECORRUPT);
			torn_continue(&d, disk, is_torn);
			torn += is_torn;
			disk_free(&disk);
		}
	}
	ck_assert_uint_gt(torn, 100);
	damage_end(&d);
}
END_TEST

/*
 * Goal: bytes that a user chose cannot make a torn batch look like damage.
 * Method: a value full of frame headers that are right but for the salt, in a
 * batch that is torn; with the salt, which nobody knows, it works.
 */
START_TEST(damage_forged)
{
	struct segment_header header;
	struct segment_frame frame = {.payload_size = 112, .count = 1};
	uint8_t value[10 * SEGMENT_FRAME_SIZE];
	struct mbj_log *log = NULL;
	struct mbj_op op;
	struct damage d;
	uint8_t *p;
	size_t n = 0;

	damage_begin(&d, 26, 3, 1, 2);
	p = disk_file(d.disk, d.segment, &n);
	LAB_OK(segment_header_decode(mbj_bytes_make(p, n), d.segment, &header,
				     err));
	frame.first.v = d.last + 2;
	for (unsigned salted = 0; salted < 2; salted++) {
		struct disk *disk = disk_dup(d.disk);
		struct mbj_buf bytes;

		for (size_t at = 0; at < sizeof(value);
		     at += SEGMENT_FRAME_SIZE)
			segment_frame_encode(&frame,
					     salted ? header.salt : at / 100,
					     value + at);
		op = lab_op(&d.chain.lab, MBJ_OP_MAILBOX_SET_ATTR, 1);
		op.value = mbj_bytes_make(value, sizeof(value));
		mbj_buf_init(&bytes, 1 << 16);
		/* So that the headers are aligned, whatever comes before. */
		for (unsigned i = 0; i < 8; i++) {
			op.name = lab_random_text(&d.chain.lab, 1 + i);
			mbj_op_encode(&bytes, &op);
		}
		LAB_OK(mbj_buf_ok(&bytes, err));
		p = disk_resize(disk, d.segment, d.begin[d.count] + bytes.n);
		memcpy(p + d.begin[d.count], bytes.p, bytes.n);
		if (salted) {
			LAB_FAILS(lab_log_try(disk, 0, &log, err),
				  MBJ_ECORRUPT);
		} else {
			log = lab_log_open(disk, d.last);
			ck_assert_uint_gt(mbj_log_torn_get(log),
					  bytes.n - SEGMENT_FRAME_SIZE);
			lab_read_all(disk, true, &d.chain, d.last);
			mbj_log_close(&log);
		}
		mbj_buf_done(&bytes);
		disk_free(&disk);
	}
	damage_end(&d);
}
END_TEST

/*
 * Goal: a segment that continues another history is noticed, although all its
 * checksums hold.  Method: the last segment of a fork in place of its own,
 * with an empty one behind it too.
 */
START_TEST(damage_history)
{
	struct mbj_log *log = NULL;
	struct damage d, other;
	struct disk *disk;
	size_t n = 0;
	uint8_t *p;

	damage_begin(&d, 27, 24, 1, 2);
	damage_begin(&other, 28, 24, 1, 2);
	for (size_t i = 1; disk_name(other.disk, i) != NULL; i++) {
		const char *name = disk_name(other.disk, i);
		uint8_t *target;

		p = disk_file(other.disk, name, &n);
		if (strstr(name, ".seg") == NULL)
			continue;
		/* All of d's before it, this one of the other's. */
		disk = disk_dup(d.disk);
		for (size_t j = i; disk_name(disk, j) != NULL;) {
			if (strstr(disk_name(disk, j), ".seg") != NULL)
				disk_remove(disk, disk_name(disk, j));
			else
				j++;
		}
		target = disk_resize(disk, name, n);
		memcpy(target, p, n);
		disk_remove(disk, "published");
		damage_read(&d, disk, false);
		/* Its header alone: the one before does not end like that. */
		memset(target + SEGMENT_HEADER_SIZE, 0,
		       n - SEGMENT_HEADER_SIZE);
		LAB_FAILS(lab_log_try(disk, 0, &log, err), MBJ_ECORRUPT);
		disk_free(&disk);
	}
	damage_end(&other);
	damage_end(&d);
}
END_TEST

TCase *test_log_damage_case(void)
{
	TCase *tc = tcase_create("log_damage");

	tcase_set_timeout(tc, 240);
	tcase_add_test(tc, damage_flips);
	tcase_add_test(tc, damage_published);
	tcase_add_test(tc, damage_older);
	tcase_add_test(tc, damage_truncated);
	tcase_add_test(tc, damage_torn);
	tcase_add_test(tc, damage_forged);
	tcase_add_test(tc, damage_history);
	return tc;
}
