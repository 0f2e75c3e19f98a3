/*
 * Segment files without a log: headers, frames, names, and which segment
 * counts for which LSN.
 */
#include <stdio.h>

#include "journal_cases.h"
#include "log_lab.h"
#include "segment_list.h"
#include "segment_view.h"

enum { ROUNDS = 500 };

static struct segment_header header_random(struct test_rng *rng)
{
	struct segment_header header = {
		.compatible = (uint32_t)test_rng_next(rng),
		.first = {test_rng_between(rng, 1, UINT64_MAX)},
		.number = (uint32_t)test_rng_between(rng, 1, UINT32_MAX),
		.salt = test_rng_next(rng),
		.created_us = (int64_t)test_rng_next(rng),
	};

	test_rng_fill(rng, header.lineage.b, sizeof(header.lineage.b));
	test_rng_fill(rng, header.chain.b, sizeof(header.chain.b));
	return header;
}

static enum mbj_rc header_get(const uint8_t *bytes, size_t n,
			      struct segment_header *ret_header,
			      struct mbj_error *err)
{
	return segment_header_decode(mbj_bytes_make(bytes, n), "j/x.seg",
				     ret_header, err);
}

/*
 * Goal: a segment's header comes back as it was written, and any flipped bit
 * or missing byte is noticed.  Method: random headers, every bit, every
 * prefix.
 */
START_TEST(segment_header_flips)
{
	uint8_t bytes[SEGMENT_HEADER_SIZE], again[SEGMENT_HEADER_SIZE];
	struct segment_header header, copy;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (unsigned round = 0; round < 30; round++) {
		header = header_random(&rng);
		segment_header_encode(&header, bytes);
		LAB_OK(header_get(bytes, sizeof(bytes), &copy, err));
		segment_header_encode(&copy, again);
		ck_assert_mem_eq(bytes, again, sizeof(bytes));
		ck_assert_uint_eq(copy.first.v, header.first.v);
		ck_assert_uint_eq(copy.salt, header.salt);
		ck_assert_int_eq(copy.created_us, header.created_us);
		for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			LAB_FAILS(header_get(bytes, sizeof(bytes), &copy, err),
				  MBJ_ECORRUPT);
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		for (size_t n = 0; n < sizeof(bytes); n++)
			LAB_FAILS(header_get(bytes, n, &copy, err),
				  MBJ_ECORRUPT);
	}
}
END_TEST

static void header_seal(uint8_t bytes[SEGMENT_HEADER_SIZE])
{
	struct mbj_bytes all = mbj_bytes_make(bytes, SEGMENT_HEADER_SIZE - 4);

	mbj_store_u32(bytes + SEGMENT_HEADER_SIZE - 4, mbj_crc32c(0, all));
}

/*
 * Goal: a newer segment is told from a damaged one.  Method: version, flags
 * and impossible values, each sealed again.
 */
START_TEST(segment_header_versions)
{
	static const struct {
		size_t offset;
		uint8_t value;
		enum mbj_rc rc;
	} changes[] = {
		{8, 2, MBJ_EUNSUPPORTED},     {8, 0, MBJ_EUNSUPPORTED},
		{16, 0xff, MBJ_OK},	      {20, 1, MBJ_EUNSUPPORTED},
		{23, 0x80, MBJ_EUNSUPPORTED}, {12, 129, MBJ_ECORRUPT},
		{12, 24, MBJ_ECORRUPT},	      {0, 'm', MBJ_ECORRUPT},
		{48, 0, MBJ_ECORRUPT},	      {40, 0, MBJ_ECORRUPT},
	};
	struct segment_header header = {.first = {1}, .number = 1}, copy;
	uint8_t bytes[SEGMENT_HEADER_SIZE];

	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		segment_header_encode(&header, bytes);
		bytes[changes[i].offset] = changes[i].value;
		header_seal(bytes);
		if (changes[i].rc == MBJ_OK)
			LAB_OK(header_get(bytes, sizeof(bytes), &copy, err));
		else
			LAB_FAILS(header_get(bytes, sizeof(bytes), &copy, err),
				  changes[i].rc);
	}
}
END_TEST

/*
 * Goal: a header that is whole by its own size, but not of this version's, is
 * refused.  Method: shorter and longer ones, each sealed at its own end.
 */
START_TEST(segment_header_sizes)
{
	struct segment_header header = {.first = {1}, .number = 1}, copy;
	uint8_t bytes[SEGMENT_HEADER_SIZE + 64] = {0};

	for (uint32_t size = 76; size <= sizeof(bytes); size += 4) {
		segment_header_encode(&header, bytes);
		mbj_store_u32(bytes + 12, size);
		mbj_store_u32(bytes + size - 4,
			      mbj_crc32c(0, mbj_bytes_make(bytes, size - 4)));
		if (size == SEGMENT_HEADER_SIZE)
			LAB_OK(header_get(bytes, sizeof(bytes), &copy, err));
		else
			LAB_FAILS(header_get(bytes, sizeof(bytes), &copy, err),
				  MBJ_ECORRUPT);
	}
}
END_TEST

/*
 * Goal: a frame's header comes back, and nothing else passes for one.
 * Method: random frames, every flipped bit, another segment's salt.
 */
START_TEST(segment_frames)
{
	uint8_t bytes[SEGMENT_FRAME_SIZE];
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct segment_frame copy,
			frame = {
				.count = (uint32_t)test_rng_between(&rng, 1,
								    1000),
				.payload_crc = (uint32_t)test_rng_next(&rng),
				.first = {test_rng_between(&rng, 1,
							   UINT64_MAX / 2)},
			};
		uint64_t salt = test_rng_next(&rng);

		frame.payload_size = (uint64_t)frame.count * 112 +
				     test_rng_below(&rng, 100) * 8;
		test_rng_fill(&rng, frame.chain.b, MBJ_HASH_SIZE);
		segment_frame_encode(&frame, salt, bytes);
		ck_assert(segment_frame_decode(bytes, salt, &copy));
		ck_assert_uint_eq(copy.payload_size, frame.payload_size);
		ck_assert_uint_eq(copy.first.v, frame.first.v);
		ck_assert_uint_eq(copy.count, frame.count);
		ck_assert_uint_eq(copy.payload_crc, frame.payload_crc);
		ck_assert_mem_eq(copy.chain.b, frame.chain.b, MBJ_HASH_SIZE);
		ck_assert(!segment_frame_decode(bytes, salt + 1, &copy));
		for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			ck_assert(!segment_frame_decode(bytes, salt, &copy));
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}
END_TEST

/*
 * Goal: sizes and counts of frames at their limits, and one beyond.  Method:
 * a good frame with one field changed, sealed again.
 */
START_TEST(segment_frame_limits)
{
	static const struct {
		uint64_t payload_size;
		uint64_t first;
		uint32_t count;
		bool is_good;
	} frames[] = {
		{112, 1, 1, true},
		{104, 1, 1, false},
		{113, 1, 1, false},
		{223, 1, 2, false},
		{224, 1, 2, true},
		{216, 1, 2, false},
		{0, 1, 0, false},
		{112, 1, 0, false},
		{112, 0, 1, false},
		{112, UINT64_MAX - 1, 1, true},
		{112, UINT64_MAX, 1, false},
		{MBJ_LOG_BATCH_MAX, 1, 1, true},
		{(uint64_t)MBJ_LOG_BATCH_MAX + 8, 1, 1, false},
		{UINT64_MAX - 7, 1, 1, false},
	};
	struct segment_frame frame = {.payload_size = 112, .count = 1}, copy;
	uint8_t bytes[SEGMENT_FRAME_SIZE];

	frame.first.v = 1;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		segment_frame_encode(&frame, 5, bytes);
		mbj_store_u64(bytes + 16, frames[i].payload_size);
		mbj_store_u64(bytes + 24, frames[i].first);
		mbj_store_u32(bytes + 32, frames[i].count);
		mbj_store_u32(bytes + 4,
			      mbj_crc32c(0, mbj_bytes_make(bytes + 8, 64)));
		ck_assert_msg(segment_frame_decode(bytes, 5, &copy) ==
				      frames[i].is_good,
			      "frame %zu", i);
	}
}
END_TEST

/*
 * Goal: a name says number and LSN and has one form.  Method: limits, and
 * names that are almost right.
 */
START_TEST(segment_names)
{
	static const char *const strange[] = {
		"",
		"00000001-0000000000000001.se",
		"00000001-0000000000000001.seg~",
		"00000001-0000000000000001.tmp",
		"00000001_0000000000000001.seg",
		"0000000A-0000000000000001.seg",
		"0000000g-0000000000000001.seg",
		"00000001-000000000000000x.seg",
		"00000000-0000000000000001.seg",
		"00000001-0000000000000000.seg",
		"+0000001-0000000000000001.seg",
		"published",
		"suspect",
		"segment.tmp",
	};
	char name[SEGMENT_NAME_SIZE];
	struct mbj_lsn first;
	uint32_t number;

	segment_name_print(0x1a, (struct mbj_lsn){0xbeef}, name);
	ck_assert_str_eq(name, "0000001a-000000000000beef.seg");
	segment_name_print(UINT32_MAX, (struct mbj_lsn){UINT64_MAX}, name);
	ck_assert_str_eq(name, "ffffffff-ffffffffffffffff.seg");
	ck_assert(segment_name_parse(name, &number, &first));
	ck_assert_uint_eq(number, UINT32_MAX);
	ck_assert_uint_eq(first.v, UINT64_MAX);
	for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
		ck_assert_msg(!segment_name_parse(strange[i], &number, &first),
			      "%s", strange[i]);
}
END_TEST

/* A directory of empty files with these numbers and first LSNs. */
static struct disk *list_disk(const uint64_t (*files)[2], size_t count)
{
	struct disk *disk = disk_new(1);
	char name[SEGMENT_NAME_SIZE];

	for (size_t i = 0; i < count; i++) {
		segment_name_print((uint32_t)files[i][0],
				   (struct mbj_lsn){files[i][1]}, name);
		(void)disk_resize(disk, name, 0);
	}
	(void)disk_resize(disk, "published", 0);
	(void)disk_resize(disk, "segment.tmp", 0);
	(void)disk_resize(disk, "zzz", 0);
	return disk;
}

/*
 * Goal: a segment voids what older ones hold from its first LSN on, however
 * many that are.  Method: a directory with torn tails and copies in it, asked
 * for each LSN.
 */
START_TEST(segment_list_voids)
{
	static const uint64_t files[][2] = {
		{3, 10}, {4, 20}, {5, 30}, {6, 30}, {7, 25}, {8, 40}, {9, 40},
	};
	/* What counts then: 10..19 in 3, 20..24 in 4, 25..39 in 7, 40.. in 9.
	 */
	static const uint32_t number_at[][2] = {
		{10, 3}, {19, 3}, {20, 4}, {24, 4},   {25, 7},
		{30, 7}, {39, 7}, {40, 9}, {1000, 9},
	};
	struct disk *disk = list_disk(files, 7);
	struct segment_list list;

	segment_list_init(&list);
	LAB_OK(segment_list_load(&list, disk_sys(disk), DISK_DIR, err));
	ck_assert_uint_eq(list.count, 4);
	for (size_t i = 0; i < sizeof(number_at) / sizeof(number_at[0]); i++) {
		size_t at =
			segment_list_find(&list,
					  (struct mbj_lsn){number_at[i][0]});

		ck_assert_uint_lt(at, list.count);
		ck_assert_uint_eq(list.entries[at].number, number_at[i][1]);
	}
	for (uint64_t lsn = 0; lsn < 10; lsn++)
		ck_assert_uint_eq(segment_list_find(&list,
						    (struct mbj_lsn){lsn}),
				  list.count);
	segment_list_done(&list);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: a lost file is noticed, a number is used once.  Method: directories
 * with a gap, with a number twice, with nothing, and none.
 */
START_TEST(segment_list_gaps)
{
	static const uint64_t gap[][2] = {{1, 1}, {2, 5}, {4, 9}};
	static const uint64_t twice[][2] = {{1, 1}, {2, 5}, {2, 9}};
	struct mbj_error error = {.rc = MBJ_OK};
	struct segment_list list;
	struct disk *disk;

	segment_list_init(&list);
	disk = list_disk(gap, 3);
	ck_assert_int_eq(segment_list_load(&list, disk_sys(disk), DISK_DIR,
					   &error),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.message, "00000003"));
	ck_assert_str_eq(error.file, DISK_DIR);
	disk_free(&disk);
	disk = list_disk(twice, 3);
	LAB_FAILS(segment_list_load(&list, disk_sys(disk), DISK_DIR, err),
		  MBJ_ECORRUPT);
	disk_free(&disk);
	disk = list_disk(gap, 0);
	LAB_OK(segment_list_load(&list, disk_sys(disk), DISK_DIR, err));
	ck_assert_uint_eq(list.count, 0);
	ck_assert_uint_eq(segment_list_find(&list, (struct mbj_lsn){1}), 0);
	disk_free(&disk);
	ck_assert_int_eq(segment_list_load(&list, mbj_sys_posix(),
					   "/nonexistent/journal", &error),
			 MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(error.message, "make one with init"));
	segment_list_done(&list);
}
END_TEST

/*
 * Goal: a view shows the bytes of the file, whatever was asked before.
 * Method: random ranges of a file of three read-aheads, over the end too,
 * next to the file itself.
 */
START_TEST(segment_view_ranges)
{
	enum { SIZE = 700 << 10 };
	struct segment_header header = {.first = {41}, .number = 1}, copy;
	struct disk *disk = disk_new(1);
	char name[SEGMENT_NAME_SIZE];
	struct segment_view view;
	struct mbj_bytes bytes;
	struct test_rng rng;
	uint8_t *p;

	(void)test_rng_seed(&rng);
	header.lineage = lab_lineage();
	segment_name_print(header.number, header.first, name);
	p = disk_resize(disk, name, SIZE);
	test_rng_fill(&rng, p, SIZE);
	segment_header_encode(&header, p);
	segment_view_init(&view);
	LAB_OK(segment_view_open(&view, disk_sys(disk), DISK_DIR, name,
				 header.lineage, &copy, err));
	for (unsigned i = 0; i < 20000; i++) {
		size_t at = (size_t)test_rng_below(&rng, SIZE + 100);
		size_t n = (size_t)test_rng_below(
			&rng, test_rng_chance(&rng, 1, 50) ? SIZE : 600);
		size_t there = at > SIZE ? 0 : SIZE - at;

		LAB_OK(segment_view_get(&view, at, n, &bytes, err));
		ck_assert_uint_eq(bytes.n, n < there ? n : there);
		if (bytes.n > 0)
			ck_assert_mem_eq(bytes.p, p + at, bytes.n);
	}
	ck_assert_uint_le(view.capacity, 1 << 20);
	segment_view_done(&view);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: the buffer grows for a large record, stays for more of them, and is
 * given up with the next small one.  Method: ranges of a large file that no
 * buffer has; its capacity after each.
 */
START_TEST(segment_view_shrinks)
{
	enum { SIZE = 4 << 20, READ = 256 << 10 };
	static const size_t ranges[][3] = {
		/* at, size, capacity afterwards */
		{0, 3 << 20, 3 << 20}, {2 << 20, 2 << 20, 3 << 20},
		{0, READ, READ},       {1 << 20, READ + 1, READ + 1},
		{0, 1, READ + 1},
	};
	struct segment_header header = {.first = {41}, .number = 1}, copy;
	struct disk *disk = disk_new(1);
	char name[SEGMENT_NAME_SIZE];
	struct segment_view view;
	struct mbj_bytes bytes;
	uint8_t *p;

	header.lineage = lab_lineage();
	segment_name_print(header.number, header.first, name);
	p = disk_resize(disk, name, SIZE);
	for (size_t i = 0; i < SIZE; i++)
		p[i] = (uint8_t)(i >> 10);
	segment_header_encode(&header, p);
	segment_view_init(&view);
	LAB_OK(segment_view_open(&view, disk_sys(disk), DISK_DIR, name,
				 header.lineage, &copy, err));
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		LAB_OK(segment_view_get(&view, ranges[i][0], ranges[i][1],
					&bytes, err));
		ck_assert_uint_eq(bytes.n, ranges[i][1]);
		ck_assert(memcmp(bytes.p, p + ranges[i][0], bytes.n) == 0);
		ck_assert_uint_eq(view.capacity, ranges[i][2]);
	}
	segment_view_done(&view);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: a segment under another's name, or of another lineage, is not read.
 * Method: one good file, moved and asked for by a stranger.
 */
START_TEST(segment_view_names)
{
	struct segment_header header = {.first = {41}, .number = 1}, copy;
	struct mbj_id stranger = {{9}};
	struct disk *disk = disk_new(1);
	char name[SEGMENT_NAME_SIZE];
	struct segment_view view;

	header.lineage = lab_lineage();
	segment_view_init(&view);
	for (unsigned i = 0; i < 3; i++) {
		segment_name_print(1 + (i == 1),
				   (struct mbj_lsn){41 + (i == 2)}, name);
		segment_header_encode(&header,
				      disk_resize(disk, name,
						  SEGMENT_HEADER_SIZE));
		if (i == 0)
			LAB_OK(segment_view_open(&view, disk_sys(disk),
						 DISK_DIR, name, header.lineage,
						 &copy, err));
		else
			LAB_FAILS(segment_view_open(&view, disk_sys(disk),
						    DISK_DIR, name,
						    header.lineage, &copy, err),
				  MBJ_ECORRUPT);
	}
	segment_name_print(1, header.first, name);
	LAB_FAILS(segment_view_open(&view, disk_sys(disk), DISK_DIR, name,
				    stranger, &copy, err),
		  MBJ_EFENCED);
	LAB_FAILS(segment_view_open(&view, disk_sys(disk), DISK_DIR, "none",
				    stranger, &copy, err),
		  MBJ_ENOTFOUND);
	segment_view_done(&view);
	disk_free(&disk);
}
END_TEST

TCase *test_segment_case(void)
{
	TCase *tc = tcase_create("segment");

	tcase_add_test(tc, segment_header_flips);
	tcase_add_test(tc, segment_header_versions);
	tcase_add_test(tc, segment_header_sizes);
	tcase_add_test(tc, segment_frames);
	tcase_add_test(tc, segment_frame_limits);
	tcase_add_test(tc, segment_names);
	tcase_add_test(tc, segment_list_voids);
	tcase_add_test(tc, segment_list_gaps);
	tcase_add_test(tc, segment_view_ranges);
	tcase_add_test(tc, segment_view_shrinks);
	tcase_add_test(tc, segment_view_names);
	return tc;
}
