/*
 * Packs and indexes that are damaged, cut short, gone, or of a format to come.
 */
#define _DEFAULT_SOURCE /* truncate(2) */

#include "pack_lab.h"

/* A pack of three, with or without its index, and damaged since. */
static void damaged_check(const char *path, bool is_owner, bool is_pack)
{
	struct mbj_blobs *some = NULL;
	unsigned bad = 0;

	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, is_owner, &some, &err),
		err);
	for (unsigned i = 1; i <= 3; i++) {
		enum mbj_rc rc = verify(some, i);

		if (rc == MBJ_OK)
			continue;
		ck_assert(rc == MBJ_ECORRUPT || rc == MBJ_ENOTFOUND);
		ck_assert_msg(rc == MBJ_ENOTFOUND ||
				      strstr(err.message, path) != NULL,
			      "%s", err.message);
		bad++;
	}
	ck_assert_uint_le(bad, is_pack);
	mbj_blobs_close(&some);
}

/*
 * Goal: a damaged byte anywhere costs one content at most, which is named, and
 * none where it is the index that was damaged.  Method: each byte of a small
 * pack and its index, to one beside and to the owner.
 */
START_TEST(pack_damage)
{
	bool is_owner = _i % 2 == 1;
	bool has_index = _i >= 2;
	char pack[MBJ_PATH_TEXT_MAX], index[MBJ_PATH_TEXT_MAX];
	uint8_t *bytes, *index_bytes = NULL;
	size_t n = 0, end, index_n = 0;

	for (unsigned i = 1; i <= 3; i++) {
		put(i);
		sync_all();
	}
	end = (size_t)blobs->packs.open->end;
	test_ok(pack_index_write(blobs, blobs->packs.open, &err), err);
	path_pack(pack, dir, 1);
	path_index(index, 1);
	bytes = file_load(pack, &n);
	index_bytes = file_load(index, &index_n);
	mbj_blobs_close(&blobs);
	for (size_t at = 0; at < end + index_n; at++) {
		uint8_t *p = at < end ? bytes + at : index_bytes + (at - end);

		*p ^= 0x55;
		file_save(pack, bytes, n);
		if (has_index || at >= end)
			file_save(index, index_bytes, index_n);
		else
			(void)unlink(index);
		damaged_check(pack, is_owner, at < end);
		*p ^= 0x55;
	}
	owner_open();
	mbj_free(bytes);
	mbj_free(index_bytes);
}
END_TEST

/*
 * Goal: a pack that is shorter than it was is named for each content that is
 * gone with its end.
 */
START_TEST(pack_short)
{
	char pack[MBJ_PATH_TEXT_MAX];
	size_t end, first;

	put(1);
	sync_all();
	first = (size_t)blobs->packs.open->end;
	put(2);
	put(3);
	sync_all();
	end = (size_t)blobs->packs.open->end;
	test_ok(pack_index_write(blobs, blobs->packs.open, &err), err);
	mbj_blobs_close(&blobs);
	path_pack(pack, dir, 1);
	for (size_t n = end - 8; n >= first; n -= 8) {
		ck_assert_int_eq(truncate(pack, (off_t)n), 0);
		test_ok(mbj_blobs_open(mbj_sys_posix(), dir, _i == 1, &blobs,
				       &err),
			err);
		test_ok(verify(blobs, 1), err);
		test_rc(verify(blobs, 3), MBJ_ECORRUPT);
		ck_assert_str_eq(err.file, pack);
		mbj_blobs_close(&blobs);
	}
	owner_open();
	/* It gets nothing any more. */
	take_away(3);
	put(3);
	sync_all();
	test_ok(verify(blobs, 3), err);
	owner_again();
	test_ok(verify(blobs, 1), err);
	test_ok(verify(blobs, 3), err);
}
END_TEST

/*
 * Goal: a pack that is gone is named for what it had, and storing that again
 * mends it.
 */
START_TEST(pack_missing)
{
	char pack[MBJ_PATH_TEXT_MAX];

	for (unsigned i = 0; i < MANY; i++)
		put(i);
	sync_all();
	path_pack(pack, dir, 1);
	ck_assert_int_eq(unlink(pack), 0);
	owner_again();
	test_rc(verify(blobs, 0), MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, pack));
	ck_assert(!has(blobs, 0));
	test_rc(verify(blobs, MANY), MBJ_ENOTFOUND);
	ck_assert_ptr_null(strstr(err.message, pack));
	put(0);
	sync_all();
	test_ok(verify(blobs, 0), err);
	test_ok(verify(blobs, MANY - 1), err);
	test_ok(mbj_blobs_compact(blobs, &err), err);
}
END_TEST

/*
 * Goal: a pack or an index of a format to come is refused as that.
 */
START_TEST(pack_newer)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_blobs *beside = NULL;
	struct content content;
	bool is_there;
	uint8_t *bytes;
	size_t n = 0;

	put(1);
	sync_all();
	if (_i == 1)
		test_ok(pack_index_write(blobs, blobs->packs.open, &err), err);
	mbj_blobs_close(&blobs);
	path_pack(path, dir, 1);
	if (_i == 1)
		path_index(path, 1);
	bytes = file_load(path, &n);
	bytes[8] = 2;
	if (_i == 0) {
		uint32_t crc = mbj_crc32c(0, mbj_bytes_make(bytes, 60));

		memcpy(bytes + 60, &crc, sizeof(crc));
	} else {
		uint32_t crc =
			mbj_crc32c(mbj_crc32c(0, mbj_bytes_make(bytes, 60)),
				   mbj_bytes_make(bytes + 64, n - 64));

		memcpy(bytes + 60, &crc, sizeof(crc));
	}
	file_save(path, bytes, n);
	mbj_free(bytes);
	test_rc(mbj_blobs_open(mbj_sys_posix(), dir, true, &blobs, &err),
		MBJ_EUNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, false, &beside, &err),
		err);
	content_make(&content, 1);
	test_rc(mbj_blob_has(beside, &content.digest, content.n, &is_there,
			     &err),
		MBJ_EUNSUPPORTED);
	mbj_blobs_close(&beside);
	ck_assert_int_eq(unlink(path), 0);
	owner_open();
}
END_TEST

TCase *test_pack_damage_case(void)
{
	TCase *tc = tcase_create("pack_damage");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, pack_damage, 0, 4);
	tcase_add_loop_test(tc, pack_short, 0, 2);
	tcase_add_test(tc, pack_missing);
	tcase_add_loop_test(tc, pack_newer, 0, 2);
	return tc;
}
