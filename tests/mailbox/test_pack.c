/*
 * Packs on a real file system: sealed, indexed, opened again, torn, compacted,
 * read beside their owner.
 */
#include <unistd.h>

#include "pack_lab.h"

/*
 * Goal: what is stored is found, in packs that are full and sealed as in the
 * open one, by the same process, the next one and one beside; each once.
 */
START_TEST(pack_many)
{
	struct mbj_blobs *beside = NULL;
	uint64_t size;

	if (_i == 1) {
		blobs->packs.size_max = 1 << 20;
		blobs->packs.count_max = 10;
	}
	for (unsigned i = 0; i < MANY; i++) {
		put(i);
		put(i / 2);
	}
	sync_all();
	ck_assert_uint_eq(blobs_count(blobs), MANY);
	ck_assert_uint_ge(files(".pack", &size), 10);
	ck_assert_uint_ge(files(".index", &size), 10);
	ck_assert_uint_le(size, MANY * (INDEX_ENTRY_SIZE + INDEX_HEADER_SIZE));
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned i = 0; i < MANY; i++) {
			ck_assert(has(blobs, i));
			test_ok(verify(blobs, i), err);
		}
		ck_assert(!has(blobs, MANY));
		owner_again();
	}
	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, false, &beside, &err),
		err);
	ck_assert_uint_eq(blobs_count(beside), MANY);
	mbj_blobs_close(&beside);
}
END_TEST

/*
 * Goal: a store that is opened and closed again and again goes on with the one
 * pack, and needs no sync to be opened after a clean end.
 */
START_TEST(pack_goes_on)
{
	uint64_t size;

	for (unsigned i = 0; i < 5; i++) {
		put(i);
		sync_all();
		owner_again();
		ck_assert_ptr_nonnull(blobs->packs.open);
		ck_assert_uint_eq(blobs->packs.open->mark,
				  blobs->packs.open->end);
	}
	ck_assert_uint_eq(files(".pack", &size), 1);
	ck_assert_uint_eq(blobs_count(blobs), 5);
}
END_TEST

/* Two contents and a third, each with a round; the pack's bytes, and where the
 * third one is. */
static uint8_t *three(size_t *ret_n, size_t *ret_at)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint8_t *bytes;

	for (unsigned i = 1; i <= 3; i++) {
		if (i == 3)
			*ret_at = (size_t)blobs->packs.open->end;
		put(i);
		sync_all();
	}
	/* No mark: as if it had been killed. */
	*ret_n = (size_t)blobs->packs.open->end;
	path_pack(path, dir, 1);
	bytes = file_load(path, &(size_t){0});
	mbj_blobs_close(&blobs);
	ck_assert_int_eq(unlink(path), 0);
	path_index(path, 1);
	(void)unlink(path);
	return bytes;
}

/*
 * Goal: of a pack that is torn at any byte all that is whole is found, and
 * nothing else; what was torn is stored again.  Method: the last record cut
 * off there; or zeroes, or other bytes, from there on.
 */
START_TEST(pack_torn)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0, third = 0;
	uint8_t *bytes = three(&n, &third);
	uint8_t *torn = malloc(n + 64);

	ck_assert_ptr_nonnull(torn);
	path_pack(path, dir, 1);
	for (size_t at = third; at <= n; at++) {
		bool is_same;

		memset(torn, _i == 2 ? 0xa5 : 0, n + 64);
		memcpy(torn, bytes, at);
		is_same = memcmp(torn + third, bytes + third, n - third) == 0;
		file_save(path, torn, _i == 0 ? at : n + 64);
		owner_open();
		test_ok(verify(blobs, 1), err);
		test_ok(verify(blobs, 2), err);
		if (_i == 0)
			is_same = at >= third + PACK_RECORD_SIZE + 292;
		if (has(blobs, 3))
			test_ok(verify(blobs, 3), err);
		else
			ck_assert(!is_same || at < n);
		put(3);
		put(4);
		sync_all();
		owner_again();
		ck_assert_uint_eq(blobs_count(blobs), 4);
		mbj_blobs_close(&blobs);
		for (unsigned number = 1; number <= 2; number++) {
			path_pack(path, dir, number);
			(void)unlink(path);
			path_index(path, number);
			(void)unlink(path);
		}
		path_pack(path, dir, 1);
	}
	owner_open();
	free(torn);
	mbj_free(bytes);
}
END_TEST

/*
 * Goal: a record whose bytes never came to the disk is not found: its header
 * is there, its content is not.
 */
START_TEST(pack_unwritten)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0, third = 0;
	uint8_t *bytes = three(&n, &third);

	path_pack(path, dir, 1);
	memset(bytes + third + PACK_RECORD_SIZE, 0,
	       n - third - PACK_RECORD_SIZE);
	file_save(path, bytes, n);
	owner_open();
	ck_assert(!has(blobs, 3));
	ck_assert_uint_eq(blobs_count(blobs), 2);
	put(3);
	sync_all();
	test_ok(verify(blobs, 3), err);
	mbj_free(bytes);
}
END_TEST

/*
 * Goal: of several records of a content the last one counts, in one pack and
 * in two; removing it removes all.
 */
START_TEST(pack_twice)
{
	struct content content;
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0, at;
	uint8_t *bytes;

	content_make(&content, 1);
	put(1);
	sync_all();
	at = PACK_HEADER_SIZE + PACK_RECORD_SIZE;
	if (_i == 1) {
		blobs->packs.count_max = 1;
		sync_all();
		ck_assert_ptr_null(blobs->packs.open);
		blobs->packs.count_max = PACKS_COUNT_MAX;
	}
	/* The first record is damaged, and mended as a backup does it. */
	path_pack(path, dir, 1);
	bytes = file_load(path, &n);
	bytes[at] ^= 1;
	file_save(path, bytes, n);
	mbj_free(bytes);
	test_rc(verify(blobs, 1), MBJ_ECORRUPT);
	take_away(1);
	ck_assert(!has(blobs, 1));
	put(1);
	sync_all();
	test_ok(verify(blobs, 1), err);
	owner_again();
	test_ok(verify(blobs, 1), err);
	ck_assert_uint_eq(blobs_count(blobs), 1);
	take_away(1);
	ck_assert(!has(blobs, 1));
	test_rc(verify(blobs, 1), MBJ_ENOTFOUND);
	test_rc(mbj_blob_remove(blobs, &content.digest, &err), MBJ_ENOTFOUND);
}
END_TEST

/*
 * Goal: removing gives space back, and what stays is there, then and after the
 * next opening, where nothing is left to be collected.
 */
START_TEST(pack_compact)
{
	uint64_t before, after, index_size;

	for (unsigned i = 0; i < MANY; i++)
		put(i);
	sync_all();
	(void)files(".pack", &before);
	for (unsigned i = 0; i < MANY; i++)
		if (i % 5 != 0)
			take_away(i);
	test_ok(mbj_blobs_compact(blobs, &err), err);
	(void)files(".pack", &after);
	ck_assert_uint_lt(after, before / 2);
	for (unsigned again = 0; again < 2; again++) {
		ck_assert_uint_eq(blobs_count(blobs), MANY / 5);
		for (unsigned i = 0; i < MANY; i++)
			ck_assert(has(blobs, i) == (i % 5 == 0));
		owner_again();
	}
	/* Of half of a pack nothing is copied, and its index tells. */
	take_away(0);
	test_ok(mbj_blobs_compact(blobs, &err), err);
	owner_again();
	ck_assert(!has(blobs, 0));
	ck_assert_uint_eq(blobs_count(blobs), MANY / 5 - 1);
	/* Nothing left: one pack with nothing in it. */
	for (unsigned i = 5; i < MANY; i += 5)
		take_away(i);
	test_ok(mbj_blobs_compact(blobs, &err), err);
	ck_assert_uint_eq(files(".pack", &after), 1);
	ck_assert_uint_eq(files(".index", &index_size), 0);
	ck_assert_uint_le(after, PACK_HEADER_SIZE);
	put(7);
	sync_all();
	test_ok(verify(blobs, 7), err);
}
END_TEST

/*
 * Goal: a live record that is damaged is not lost by a compaction: its pack
 * stays and names it; the others go their way.
 */
START_TEST(pack_compact_damaged)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0;
	uint8_t *bytes;

	for (unsigned i = 0; i < 30; i++)
		put(i);
	sync_all();
	path_pack(path, dir, 1);
	bytes = file_load(path, &n);
	bytes[PACK_HEADER_SIZE + PACK_RECORD_SIZE] ^= 1;
	file_save(path, bytes, n);
	mbj_free(bytes);
	for (unsigned i = 2; i < 30; i++)
		take_away(i);
	for (unsigned again = 0; again < 2; again++) {
		test_ok(mbj_blobs_compact(blobs, &err), err);
		test_rc(verify(blobs, 0), MBJ_ECORRUPT);
		ck_assert_str_eq(err.file, path);
		test_ok(verify(blobs, 1), err);
		owner_again();
	}
	take_away(0);
	test_ok(mbj_blobs_compact(blobs, &err), err);
	ck_assert_int_ne(access(path, F_OK), 0);
	test_ok(verify(blobs, 1), err);
}
END_TEST

/*
 * Goal: who reads beside the owner finds what was appended since, in the same
 * pack and in new ones, and what a compaction carried away, while he reads it
 * and afterwards.
 */
START_TEST(pack_beside)
{
	struct mbj_blobs *beside = NULL;
	struct mbj_blob_reader *reader = NULL;
	struct content content;
	uint8_t bytes[sizeof(content.p)];
	uint64_t size = 0;
	size_t got = 0;

	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, false, &beside, &err),
		err);
	ck_assert(!has(beside, 0));
	for (unsigned i = 0; i < MANY; i++) {
		put(i);
		sync_all();
		if (i % 2 == 0)
			ck_assert(has(beside, i));
		test_ok(verify(beside, i), err);
	}
	ck_assert_uint_eq(blobs_count(beside), MANY);
	content_make(&content, 5);
	test_ok(mbj_blob_reader_open(beside, &content.digest, &reader, &size,
				     &err),
		err);
	for (unsigned i = 0; i < MANY; i++)
		if (i % 5 != 0)
			take_away(i);
	test_ok(mbj_blobs_compact(blobs, &err), err);
	test_ok(mbj_blob_reader_read(reader, bytes, sizeof(bytes), &got, &err),
		err);
	ck_assert_uint_eq(got, content.n);
	mbj_blob_reader_close(&reader);
	for (unsigned i = 0; i < MANY; i += 5) {
		ck_assert(has(beside, i));
		test_ok(verify(beside, i), err);
	}
	test_rc(verify(beside, MANY), MBJ_ENOTFOUND);
	/* What it knew of packs that stayed it may know still. */
	ck_assert_uint_ge(blobs_count(beside), MANY / 5);
	mbj_blobs_close(&beside);
	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, false, &beside, &err),
		err);
	ck_assert_uint_eq(blobs_count(beside), MANY / 5);
	mbj_blobs_close(&beside);
}
END_TEST

TCase *test_pack_case(void)
{
	TCase *tc = tcase_create("pack");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, pack_many, 0, 2);
	tcase_add_test(tc, pack_goes_on);
	tcase_add_loop_test(tc, pack_torn, 0, 3);
	tcase_add_test(tc, pack_unwritten);
	tcase_add_loop_test(tc, pack_twice, 0, 2);
	tcase_add_test(tc, pack_compact);
	tcase_add_test(tc, pack_compact_damaged);
	tcase_add_test(tc, pack_beside);
	return tc;
}
