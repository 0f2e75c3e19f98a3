/*
 * Blobs that are packed on disk: which are, what comes of them again, both
 * forms side by side, between stores of different kinds, and long ones where
 * calls fail.
 */
#define _DEFAULT_SOURCE /* truncate(2) */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/pack.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk.h"

enum { LEVEL = 3, LONG = 300000 };

static struct mbj_blobs *blobs;
static struct mbj_error err;
static uint8_t bytes[LONG];

static void reopen(unsigned level)
{
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	mbj_blobs_pack(blobs, level);
}

static void setup(void)
{
	blob_lab_setup();
	reopen(LEVEL);
}

static void teardown(void)
{
	mbj_blobs_close(&blobs);
	blob_lab_teardown();
}

/* Bytes of the file of that form; -1: there is none. */
static int64_t file_size(const struct mbj_hash *digest, bool is_packed)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;

	if (is_packed)
		blob_packed_file(path, blob_dir, digest);
	else
		blob_file(path, blob_dir, digest);
	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

static unsigned fresh_count(void)
{
	char *path = test_path_dup(blob_dir, "new");
	struct mbj_buf names;
	unsigned count = 0;

	mbj_buf_init(&names, 1 << 20);
	test_ok(mbj_dir_list(mbj_sys_posix(), path, &names, &err), err);
	for (size_t i = 0; i < names.n; i++)
		count += names.p[i] == '\0';
	mbj_buf_done(&names);
	free(path);
	return count;
}

static struct mbj_hash put(const uint8_t *p, size_t n, size_t step)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_hash digest;
	uint64_t size = 0;

	test_ok(mbj_blob_writer_begin(blobs, &writer, &err), err);
	for (size_t at = 0; at < n; at += step)
		test_ok(mbj_blob_writer_write(
				writer,
				mbj_bytes_make(p + at,
					       n - at < step ? n - at : step),
				&err),
			err);
	test_ok(mbj_blob_writer_finish(&writer, &digest, &size, &err), err);
	ck_assert_uint_eq(size, n);
	ck_assert_uint_eq(fresh_count(), 0);
	return digest;
}

/* ---------------------------------------------------------- which are */

/*
 * Goal: what takes fewer blocks is packed and comes out as it was, whatever
 * its size and the pieces; what has one block, or is noise, stays as it is.
 * Method: sizes around a block, the first piece and several, text and noise,
 * all levels.
 */
START_TEST(pack_round_trip)
{
	static const size_t sizes[] = {0,     100,   4096,  4097,   9000,
				       65535, 65536, 65537, 131072, LONG};
	static const size_t steps[] = {LONG, 7000, 65536, 4097};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t n = sizes[i];
		unsigned level = 1 + (unsigned)i % MBJ_PACK_LEVEL_MAX;
		struct mbj_hash digest;
		struct test_rng rng;
		uint64_t stored = 0;
		bool is_there = false;

		reopen(level);
		if (_i < 4) {
			text_fill(n, bytes, n);
		} else {
			test_rng_init(&rng, n);
			test_rng_fill(&rng, bytes, n);
		}
		digest = put(bytes, n, steps[_i % 4]);
		if (n > 4096 && _i < 4) {
			ck_assert_int_eq(file_size(&digest, false), -1);
			ck_assert_int_gt(file_size(&digest, true),
					 BLOB_HEAD_SIZE);
			ck_assert_int_le(file_size(&digest, true),
					 (int64_t)(n - 1) / 4096 * 4096);
		} else {
			ck_assert_int_eq(file_size(&digest, true), -1);
			ck_assert_int_eq(file_size(&digest, false), (int64_t)n);
		}
		blob_read_check(blobs, &digest, bytes, n, 65536);
		blob_read_check(blobs, &digest, bytes, n, 1000);
		test_ok(mbj_blob_has(blobs, &digest, n, &is_there, &err), err);
		ck_assert(is_there);
		test_ok(mbj_blob_has(blobs, &digest, n + 1, &is_there, &err),
			err);
		ck_assert(!is_there);
		test_ok(mbj_blob_stored_size(blobs, &digest, &stored, &err),
			err);
		ck_assert_int_eq((int64_t)stored,
				 file_size(&digest, n > 4096 && _i < 4));
	}
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs_count(blobs), sizeof(sizes) / sizeof(sizes[0]));
}
END_TEST

/*
 * Goal: what looks as if it were worth it and takes no block less stays as it
 * is, held or in the file; the attempt leaves nothing.  Method: noise, in whose
 * first piece one byte comes too often.
 */
START_TEST(pack_in_vain)
{
	size_t n = _i == 0 ? 20000 : 30 * 4096;
	struct mbj_hash digest;
	struct test_rng rng;

	test_rng_init(&rng, 1);
	test_rng_fill(&rng, bytes, n);
	for (size_t i = 0; i < n && i < 65536; i++)
		if (test_rng_below(&rng, 12) == 0)
			bytes[i] = 'a';
	ck_assert(mbj_pack_is_worth(mbj_bytes_make(bytes, 20000)));
	digest = put(bytes, n, 30000);
	ck_assert_int_eq(file_size(&digest, false), (int64_t)n);
	blob_read_check(blobs, &digest, bytes, n, 65536);
	ck_assert_uint_eq(blobs_count(blobs), 1);
}
END_TEST

/*
 * Goal: equal content is stored once, packed or not, one by one or in bulk, and
 * found whatever its form.  Method: store it again, in a store that packs and
 * then in one that does not.
 */
START_TEST(pack_once)
{
	static struct content content;
	struct mbj_hash digest;
	bool is_there = false;

	content_make_text(&content, 1);
	for (int i = 0; i < 2; i++) {
		test_ok(mbj_blobs_bulk(blobs, _i == 1, &err), err);
		digest = (struct mbj_hash){{0}};
		test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest,
				     &err),
			err);
		test_ok(mbj_blob_has(blobs, &digest, content.n, &is_there,
				     &err),
			err);
		ck_assert(is_there);
		ck_assert_uint_eq(fresh_count(), _i == 1 && i == 0 ? 1 : 0);
		test_ok(mbj_blobs_sync(blobs, &err), err);
	}
	ck_assert_uint_eq(blobs_count(blobs), 1);
	ck_assert_int_gt(file_size(&digest, true), 0);
	ck_assert_int_eq(file_size(&digest, false), -1);
	ck_assert(digest_equal(&digest, &content.digest));
	test_ok(mbj_blob_remove(blobs, &digest, &err), err);
	ck_assert_int_eq(file_size(&digest, true), -1);
	test_rc(mbj_blob_remove(blobs, &digest, &err), MBJ_ENOTFOUND);
	test_rc(mbj_blob_stored_size(blobs, &digest, &(uint64_t){0}, &err),
		MBJ_ENOTFOUND);
}
END_TEST

/* -------------------------------------------------------- between stores */

/*
 * Goal: a link takes the form of the source, but into a store that packs
 * nothing nothing packed comes; a copy has the form of where it goes.  All of
 * it is the same content.  Method: both kinds of both sides, with links and
 * without, by copy and by duplicate.
 */
START_TEST(pack_copy)
{
	bool is_from_packed = (_i & 1) != 0, is_to_packed = (_i & 2) != 0;
	bool may_link = (_i & 4) != 0, is_copy = (_i & 8) != 0;
	bool is_linked =
		may_link && is_copy && (!is_from_packed || is_to_packed);
	struct mbj_sys sys = *mbj_sys_posix();
	char *from_dir = test_path_dup(blob_tmp, "from");
	struct mbj_blobs *from = NULL;
	static struct content content;
	struct mbj_hash digest;
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;

	if (!may_link)
		sys.link = blob_link_refused;
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(&sys, blob_dir, true, &blobs, &err), err);
	mbj_blobs_pack(blobs, is_to_packed ? LEVEL : 0);
	test_ok(mbj_blobs_open(&sys, from_dir, true, &from, &err), err);
	mbj_blobs_pack(from, is_from_packed ? LEVEL : 0);
	content_make_text(&content, 3);
	test_ok(mbj_blob_put(from, content_bytes(&content), &digest, &err),
		err);
	mbj_blobs_close(&from);
	test_ok(mbj_blobs_open(&sys, from_dir, false, &from, &err), err);
	test_ok(is_copy ? mbj_blob_copy(from, blobs, &digest, content.n, &err)
			: mbj_blob_duplicate(from, blobs, &digest, content.n,
					     &err),
		err);
	ck_assert((file_size(&digest, true) > 0) ==
		  (is_linked ? is_from_packed : is_to_packed));
	ck_assert((file_size(&digest, false) < 0) ==
		  (file_size(&digest, true) > 0));
	if (file_size(&digest, true) > 0)
		blob_packed_file(path, blob_dir, &digest);
	else
		blob_file(path, blob_dir, &digest);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_nlink, is_linked ? 2 : 1);
	ck_assert_uint_eq(fresh_count(), 0);
	blob_read_check(blobs, &digest, content.p, content.n, 777);
	/* What is damaged there does not come, and is named as it is there. */
	test_ok(mbj_blob_remove(blobs, &digest, &err), err);
	if (is_from_packed)
		blob_packed_file(path, from_dir, &digest);
	else
		blob_file(path, from_dir, &digest);
	ck_assert_int_eq(truncate(path, 1000), 0);
	test_rc(mbj_blob_copy(from, blobs, &digest, content.n, &err),
		MBJ_ECORRUPT);
	ck_assert_str_eq(err.file, path);
	ck_assert_uint_eq(fresh_count(), 0);
	mbj_blobs_close(&from);
	mbj_blobs_close(&blobs);
	reopen(LEVEL);
	free(from_dir);
}
END_TEST

/* What it says it wrote is not what is there. */
static ssize_t pwrite_bent(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	static uint8_t bent[CONTENT_MAX];

	ck_assert_uint_le(n, sizeof(bent));
	memcpy(bent, p, n);
	bent[n / 2] ^= 1;
	return mbj_sys_posix()->pwrite(ctx, fd, bent, n, at);
}

/*
 * Goal: a duplicate is read back before it counts: its disk may have something
 * else by then.  Method: a disk that bends what is written; a copy takes its
 * word for it.
 */
START_TEST(pack_read_back)
{
	struct mbj_sys sys = *mbj_sys_posix();
	char *second_dir = test_path_dup(blob_tmp, "second");
	struct mbj_blobs *second = NULL;
	static struct content content;
	struct mbj_hash digest;

	test_ok(mbj_blobs_open(&sys, second_dir, true, &second, &err), err);
	content_make(&content, 1);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	sys.pwrite = pwrite_bent;
	test_rc(mbj_blob_duplicate(blobs, second, &digest, content.n, &err),
		MBJ_ECORRUPT);
	test_ok(mbj_blob_remove(second, &digest, &err), err);
	sys.pwrite = mbj_sys_posix()->pwrite;
	test_ok(mbj_blob_duplicate(blobs, second, &digest, content.n, &err),
		err);
	mbj_blobs_close(&second);
	free(second_dir);
}
END_TEST

/*
 * Goal: what is not as long as was said is not unpacked, nor copied.  Method:
 * each form, one byte more and less; a frame that is no frame, which nobody who
 * looks at the length reads.
 */
START_TEST(pack_copy_size)
{
	char *from_dir = test_path_dup(blob_tmp, "from");
	struct mbj_blobs *from = NULL;
	static struct content content;
	struct mbj_hash digest;

	test_ok(mbj_blobs_open(mbj_sys_posix(), from_dir, true, &from, &err),
		err);
	mbj_blobs_pack(from, _i == 0 ? 0 : LEVEL);
	content_make_text(&content, 3);
	test_ok(mbj_blob_put(from, content_bytes(&content), &digest, &err),
		err);
	if (_i == 2) {
		char path[MBJ_PATH_TEXT_MAX];
		size_t n;

		blob_packed_file(path, from_dir, &digest);
		n = lab_file_read(path, bytes, sizeof(bytes));
		memset(bytes + BLOB_HEAD_SIZE, 0, n - BLOB_HEAD_SIZE);
		file_make(path, mbj_bytes_make(bytes, n));
	}
	for (int more = -1; more <= 1; more += 2) {
		test_rc(mbj_blob_copy(from, blobs, &digest,
				      content.n + (uint64_t)more, &err),
			MBJ_ECORRUPT);
		ck_assert_ptr_nonnull(strstr(err.message, "is not as long as"));
		ck_assert_ptr_nonnull(strstr(err.file, from_dir));
		ck_assert_uint_eq(fresh_count(), 0);
	}
	mbj_blobs_close(&from);
	free(from_dir);
}
END_TEST

/*
 * Goal: a store that packs nothing stays one that an mbj without packing can
 * read, whatever somebody put there; what is there is read.
 */
START_TEST(pack_by_hand)
{
	static struct content content;
	struct mbj_hash digest;
	bool is_there = true;

	content_make_text(&content, 4);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	reopen(0);
	blob_read_check(blobs, &digest, content.p, content.n, 777);
	test_ok(mbj_blob_has(blobs, &digest, content.n, &is_there, &err), err);
	ck_assert(!is_there);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	ck_assert_int_eq(file_size(&digest, false), (int64_t)content.n);
	ck_assert_uint_eq(blobs_count(blobs), 1);
}
END_TEST

/* ----------------------------------------------------------------- faults */

/* A long one, packed in a second file; true: it is called stored. */
static bool long_put(struct disk *disk)
{
	struct mbj_blobs *folder = NULL;
	struct mbj_hash digest;
	bool is_stored = false;

	if (mbj_blobs_open(disk_sys(disk), "/d/blobs", true, &folder, &err) < 0)
		return false;
	mbj_blobs_pack(folder, 1);
	is_stored = mbj_blob_put(folder, mbj_bytes_make(bytes, 100000), &digest,
				 &err) == MBJ_OK &&
		    mbj_blobs_sync(folder, &err) == MBJ_OK &&
		    mbj_blob_verify(folder, &digest, 100000, &err) == MBJ_OK;
	mbj_blobs_close(&folder);
	return is_stored;
}

/*
 * Goal: of a long blob that is packed behind its back nothing is called stored
 * that is not, nothing leaks, and the next life finds new/ swept.  Method: each
 * call fails, once or from then on, by an error or for want of space; each
 * allocation (what packing lacks is no failure).
 */
START_TEST(pack_long_fails)
{
	int64_t blocks = test_alloc_blocks();
	bool has_failed = true;

	text_fill(9, bytes, 100000);
	for (uint64_t at = 1; has_failed; at++) {
		struct disk *disk = disk_new("/d", 1);
		bool is_stored;

		if (_i < 4)
			disk_fail(disk,
				  &(struct disk_fault){
					  .calls = DISK_CALL_ALL,
					  .at = at,
					  .errnum = _i % 2 == 0 ? EIO : ENOSPC,
					  .is_for_good = _i >= 2});
		else
			test_alloc_fail_at(at);
		is_stored = long_put(disk);
		has_failed = _i < 4 ? disk_has_failed(disk)
				    : test_alloc_count() >= at;
		test_alloc_fail_at(0);
		disk_fail(disk, &(struct disk_fault){.calls = 0});
		ck_assert_int_eq(test_alloc_blocks(), blocks);
		ck_assert(is_stored || has_failed);
		ck_assert(_i < 2 || _i == 4 || !has_failed || !is_stored);
		ck_assert(long_put(disk));
		disk_free(&disk);
		ck_assert(!has_failed || at < 1000);
	}
}
END_TEST

/*
 * Goal: where the disk has room for the bytes, and none for the packed ones
 * beside them, they are stored as they are, and nothing is left beside; where
 * it has not even that it says so.  Method: limits around the first byte of the
 * second file, its last ones, and its head.
 */
START_TEST(pack_long_full)
{
	struct disk *disk = disk_new("/d", 1);
	struct mbj_buf names;
	size_t packed = 0;
	char path[MBJ_PATH_TEXT_MAX], plain[MBJ_PATH_TEXT_MAX];
	struct mbj_hash digest;

	text_fill(9, bytes, 100000);
	digest = put(bytes, 100000, LONG);
	blob_packed_file(path, "/d/blobs", &digest);
	blob_file(plain, "/d/blobs", &digest);
	ck_assert(long_put(disk));
	ck_assert(disk_file_size(disk, path, &packed));
	disk_free(&disk);
	for (int i = 0; i < 5; i++) {
		const uint64_t room[] = {99999, 100000, 100000 + packed / 2,
					 100000 + packed - 1, 100000 + packed};

		disk = disk_new("/d", 1);
		disk_limit(disk, room[i]);
		ck_assert(long_put(disk) == (i > 0));
		ck_assert(i > 0 || err.rc == MBJ_ENOSPC);
		ck_assert(disk_has(disk, path) == (i == 4));
		ck_assert(disk_has(disk, plain) == (i > 0 && i < 4));
		mbj_buf_init(&names, 1000);
		test_ok(mbj_dir_list(disk_sys(disk), "/d/blobs/new", &names,
				     &err),
			err);
		ck_assert_uint_eq(names.n, 0);
		mbj_buf_done(&names);
		disk_free(&disk);
	}
}
END_TEST

/*
 * Goal: what there is no memory to pack is stored as it is, held or in the
 * file.  Method: each allocation fails; what is called stored then is plain
 * where it was one of packing: room for the packed bytes, what packs, and of a
 * long one room for the bytes.
 */
START_TEST(pack_without_memory)
{
	size_t n = _i == 0 ? 6000 : 100000;
	int64_t blocks = test_alloc_blocks();
	bool has_failed = true;
	int plain = 0;

	text_fill(9, bytes, n);
	for (uint64_t at = 1; has_failed; at++) {
		struct mbj_hash digest;
		enum mbj_rc rc;

		test_alloc_fail_at(at);
		rc = mbj_blob_put(blobs, mbj_bytes_make(bytes, n), &digest,
				  &err);
		has_failed = test_alloc_count() >= at;
		test_alloc_fail_at(0);
		ck_assert_uint_eq(fresh_count(), 0);
		if (rc < 0) {
			ck_assert_int_eq(rc, MBJ_ENOMEM);
			continue;
		}
		ck_assert((file_size(&digest, true) > 0) == !has_failed);
		ck_assert((file_size(&digest, false) > 0) == has_failed);
		plain += has_failed;
		blob_read_check(blobs, &digest, bytes, n, 777);
		test_ok(mbj_blob_remove(blobs, &digest, &err), err);
	}
	ck_assert_int_eq(plain, _i == 0 ? 2 : 3);
	mbj_blobs_close(&blobs);
	ck_assert_int_le(test_alloc_blocks(), blocks);
	reopen(LEVEL);
}
END_TEST

/*
 * Goal: a reader that waits keeps nothing of what unpacked, once the end was
 * reached; it may read on, and finds nothing.  Method: the allocations that are
 * left, at the end and after one more reading.
 */
START_TEST(pack_end_releases)
{
	static struct content content;
	struct mbj_blob_reader *reader = NULL;
	struct mbj_hash digest;
	uint64_t size = 0;
	size_t got = 0;
	int64_t opened;

	content_make_text(&content, 5);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	test_ok(mbj_blob_reader_open(blobs, &digest, &reader, &size, &err),
		err);
	opened = test_alloc_blocks();
	test_ok(mbj_blob_reader_read(reader, bytes, content.n - 1, &got, &err),
		err);
	ck_assert_int_gt(test_alloc_blocks(), opened);
	test_ok(mbj_blob_reader_read(reader, bytes, 1, &got, &err), err);
	ck_assert_uint_eq(got, 1);
	ck_assert_int_eq(test_alloc_blocks(), opened);
	test_ok(mbj_blob_reader_read(reader, bytes, 1, &got, &err), err);
	ck_assert_uint_eq(got, 0);
	ck_assert_int_eq(test_alloc_blocks(), opened);
	mbj_blob_reader_close(&reader);
}
END_TEST

TCase *test_blob_pack_case(void)
{
	TCase *tc = tcase_create("blob_pack");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, pack_round_trip, 0, 8);
	tcase_add_loop_test(tc, pack_in_vain, 0, 2);
	tcase_add_loop_test(tc, pack_once, 0, 2);
	tcase_add_loop_test(tc, pack_copy, 0, 16);
	tcase_add_test(tc, pack_read_back);
	tcase_add_loop_test(tc, pack_copy_size, 0, 3);
	tcase_add_test(tc, pack_by_hand);
	tcase_add_loop_test(tc, pack_long_fails, 0, 5);
	tcase_add_test(tc, pack_long_full);
	tcase_add_loop_test(tc, pack_without_memory, 0, 2);
	tcase_add_test(tc, pack_end_releases);
	return tc;
}
