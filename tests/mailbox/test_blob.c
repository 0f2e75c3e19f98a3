/*
 * The blob folder on a real file system: sizes, equal contents, where blobs
 * come from, limits and damage.
 */
#define _DEFAULT_SOURCE /* truncate(2), symlink(2) */

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob_lab.h"

static struct mbj_blobs *blobs;
static struct mbj_error err;

static void setup(void)
{
	blob_lab_setup();
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
}

static void teardown(void)
{
	mbj_blobs_close(&blobs);
	ck_assert_ptr_null(blobs);
	blob_lab_teardown();
}

static unsigned names_in(const char *name)
{
	char *path = test_path_dup(blob_dir, name);
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

/* Read in pieces of step bytes, compare. */
static void read_check(const struct mbj_hash *digest, struct mbj_bytes expected,
		       size_t step)
{
	uint8_t *piece = malloc(step);
	struct mbj_blob_reader *reader = NULL;
	uint64_t size = 0;
	size_t at = 0;
	size_t got = 0;

	ck_assert_ptr_nonnull(piece);
	test_ok(mbj_blob_reader_open(blobs, digest, &reader, &size, &err), err);
	ck_assert_uint_eq(size, expected.n);
	do {
		test_ok(mbj_blob_reader_read(reader, piece, step, &got, &err),
			err);
		ck_assert_uint_le(got, expected.n - at);
		ck_assert(got == 0 || memcmp(piece, expected.p + at, got) == 0);
		at += got;
	} while (got > 0);
	ck_assert_uint_eq(at, expected.n);
	mbj_blob_reader_close(&reader);
	free(piece);
}

/*
 * Goal: whatever its size, a blob is what was written, under SHA-256's name.
 * Method: sizes around the pieces, written and read in pieces of other sizes.
 */
START_TEST(blob_sizes)
{
	static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 10 << 20};
	size_t n = sizes[_i];
	uint8_t *bytes = malloc(n + 1);
	struct mbj_blob_writer *writer = NULL;
	struct mbj_bytes whole = mbj_bytes_make(bytes, n);
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash digest, expected;
	struct stat st;
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t size = 1;
	bool is_there = false;
	struct test_rng rng;

	ck_assert_ptr_nonnull(bytes);
	test_rng_init(&rng, n);
	test_rng_fill(&rng, bytes, n);
	test_ok(mbj_blob_writer_begin(blobs, &writer, &err), err);
	for (size_t at = 0; at < n;) {
		size_t piece = n - at < 50000 ? n - at : 50000;

		test_ok(mbj_blob_writer_write(writer,
					      mbj_bytes_make(bytes + at, piece),
					      &err),
			err);
		at += piece;
	}
	test_ok(mbj_blob_writer_finish(&writer, &digest, &size, &err), err);
	ck_assert_ptr_null(writer);
	ck_assert_uint_eq(size, n);
	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_digest(sha, &whole, 1, &expected, NULL),
			 MBJ_OK);
	mbj_sha256_free(&sha);
	ck_assert(digest_equal(&digest, &expected));
	test_ok(mbj_blobs_sync(blobs, &err), err);
	test_ok(mbj_blob_has(blobs, &digest, n, &is_there, &err), err);
	ck_assert(is_there);
	test_ok(mbj_blob_has(blobs, &digest, n + 1, &is_there, &err), err);
	ck_assert(!is_there);
	test_ok(mbj_blob_verify(blobs, &digest, n, &err), err);
	read_check(&digest, whole, n < 100 ? 7 : 65537);
	read_check(&digest, whole, n + 1);
	blob_file(path, blob_dir, &digest);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_uint_eq(names_in("new"), 0);
	free(bytes);
}
END_TEST

/*
 * Goal: equal content is stored once, and a given-up writer leaves nothing.
 * Method: write it twice, give a third up; look at files.
 */
START_TEST(blob_once)
{
	struct mbj_blob_writer *writer = NULL;
	static struct content content;
	struct mbj_hash digest;
	struct stat before, after;
	char path[MBJ_PATH_TEXT_MAX];

	content_make(&content, 3);
	blob_file(path, blob_dir, &content.digest);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	ck_assert_int_eq(stat(path, &before), 0);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	ck_assert(digest_equal(&digest, &content.digest));
	ck_assert_int_eq(stat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	test_ok(mbj_blob_writer_begin(blobs, &writer, &err), err);
	ck_assert_uint_eq(names_in("new"), 1);
	mbj_blob_writer_abort(&writer);
	ck_assert_ptr_null(writer);
	mbj_blob_writer_abort(&writer);
	ck_assert_uint_eq(names_in("new"), 0);
	ck_assert_uint_eq(blobs_count(blobs), 1);
}
END_TEST

/* Nothing can be made. */
static int full_open(void *ctx, const char *path, int flags, mode_t mode)
{
	if ((flags & O_CREAT) != 0)
		return -ENOSPC;
	return mbj_sys_posix()->open(ctx, path, flags, mode);
}

/*
 * Goal: what is there is found before a file is made for it, from memory, and
 * whatever its size; a writer has one before it knows.  Method: a disk on which
 * nothing more can be made, and what must stay free is not.
 */
START_TEST(blob_found)
{
	static const size_t sizes[] = {0, 1, 2048, 65537, 3 << 20};
	static struct mbj_sys full; /* until the teardown */
	size_t n = sizes[_i];
	uint8_t *bytes = calloc(1, n + 1);
	struct mbj_bytes content = mbj_bytes_make(bytes, n);
	struct mbj_blob_writer *writer = NULL;
	struct mbj_hash first, again;

	ck_assert_ptr_nonnull(bytes);
	test_ok(mbj_blob_put(blobs, content, &first, &err), err);
	mbj_blobs_close(&blobs);
	full = *mbj_sys_posix();
	full.open = full_open;
	test_ok(mbj_blobs_open(&full, blob_dir, true, &blobs, &err), err);
	mbj_blobs_keep_free(blobs, UINT64_MAX);
	test_ok(mbj_blob_put(blobs, content, &again, &err), err);
	ck_assert_mem_eq(first.b, again.b, MBJ_HASH_SIZE);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	bytes[n] = 1;
	ck_assert_int_eq(mbj_blob_put(blobs, mbj_bytes_make(bytes, n + 1),
				      &again, &err),
			 MBJ_ENOSPC);
	mbj_blobs_keep_free(blobs, 0);
	ck_assert_int_eq(mbj_blob_put(blobs, mbj_bytes_make(bytes, n + 1),
				      &again, &err),
			 MBJ_ENOSPC);
	ck_assert_int_eq(mbj_blob_writer_begin(blobs, &writer, &err),
			 MBJ_ENOSPC);
	ck_assert_uint_eq(names_in("new"), 0);
	read_check(&first, content, 65536);
	free(bytes);
}
END_TEST

/* There is room for the first look, and for no other. */
static int64_t falling_space(void *ctx, const char *path)
{
	static bool is_looked_at;

	(void)ctx;
	(void)path;
	is_looked_at = !is_looked_at;
	return is_looked_at ? INT64_MAX : 0;
}

/*
 * Goal: a long content ends where what is to stay free is reached, and leaves
 * no file.  Method: room that is gone at the second look.
 */
START_TEST(blob_falling)
{
	static struct mbj_sys falling; /* until the teardown */
	size_t n = 3 << 20;
	uint8_t *bytes = calloc(1, n);
	struct mbj_hash digest;

	ck_assert_ptr_nonnull(bytes);
	mbj_blobs_close(&blobs);
	falling = *mbj_sys_posix();
	falling.space = falling_space;
	test_ok(mbj_blobs_open(&falling, blob_dir, true, &blobs, &err), err);
	mbj_blobs_keep_free(blobs, 1);
	ck_assert_int_eq(mbj_blob_put(blobs, mbj_bytes_make(bytes, n), &digest,
				      &err),
			 MBJ_ENOSPC);
	ck_assert_uint_eq(names_in("new"), 0);
	ck_assert_uint_eq(blobs_count(blobs), 0);
	free(bytes);
}
END_TEST

/*
 * Goal: of many blobs none has its name before the round, and one that fits is
 * found meanwhile and not stored twice; what is left at the end of the bulk is
 * stored, what is left at closing is not.
 */
START_TEST(blob_bulk)
{
	enum { MANY = 5 };
	static struct content content[MANY];
	struct mbj_hash digest;
	char path[MBJ_PATH_TEXT_MAX];
	bool is_there = false;

	test_ok(mbj_blobs_bulk(blobs, true, &err), err);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < MANY; i++) {
			content_make(&content[i], 10 * round + i);
			for (unsigned again = 0; again < 2; again++)
				test_ok(mbj_blob_put(blobs,
						     content_bytes(&content[i]),
						     &digest, &err),
					err);
			test_ok(mbj_blob_has(blobs, &digest, content[i].n,
					     &is_there, &err),
				err);
			ck_assert(is_there);
			test_ok(mbj_blob_has(blobs, &digest, content[i].n + 1,
					     &is_there, &err),
				err);
			ck_assert(!is_there);
			blob_file(path, blob_dir, &digest);
			ck_assert_int_ne(access(path, F_OK), 0);
			/* A batch must not think that it is on disk. */
			ck_assert(!mbj_blob_is_settled(blobs, &digest));
		}
		ck_assert_uint_eq(names_in("new"), MANY);
		ck_assert_uint_eq(blobs_count(blobs), round * MANY);
		if (round == 0)
			test_ok(mbj_blobs_sync(blobs, &err), err);
		else
			test_ok(mbj_blobs_bulk(blobs, false, &err), err);
		ck_assert_uint_eq(names_in("new"), 0);
		ck_assert_uint_eq(blobs_count(blobs), (round + 1) * MANY);
		read_check(&digest, content_bytes(&content[MANY - 1]), 100);
	}
	test_ok(mbj_blobs_sync(blobs, &err), err);
	test_ok(mbj_blobs_bulk(blobs, true, &err), err);
	content_make(&content[0], 100);
	test_ok(mbj_blob_put(blobs, content_bytes(&content[0]), &digest, &err),
		err);
	test_ok(mbj_blob_settle(blobs, &digest, &err), err);
	ck_assert(mbj_blob_is_settled(blobs, &digest));
	read_check(&digest, content_bytes(&content[0]), 100);
	content_make(&content[0], 101);
	test_ok(mbj_blob_put(blobs, content_bytes(&content[0]), &digest, &err),
		err);
	mbj_blobs_close(&blobs);
	ck_assert_uint_eq(names_in("new"), 0);
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	ck_assert_uint_eq(blobs_count(blobs), 2 * MANY + 1);
}
END_TEST

/*
 * Goal: no blob is longer than MBJ_BLOB_MAX, and the failure stays.  Method:
 * one byte more than that, which is refused before anybody looks at it.
 */
START_TEST(blob_limit)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_hash digest;
	uint64_t size;

	test_ok(mbj_blob_writer_begin(blobs, &writer, &err), err);
	test_ok(mbj_blob_writer_write(writer, mbj_bytes_str("x"), &err), err);
	test_rc(mbj_blob_writer_write(writer,
				      mbj_bytes_make((const uint8_t *)"x",
						     UINT32_MAX),
				      &err),
		MBJ_ELIMIT);
	test_rc(mbj_blob_writer_write(writer, mbj_bytes_str("x"), &err),
		MBJ_ELIMIT);
	test_rc(mbj_blob_writer_finish(&writer, &digest, &size, &err),
		MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(err.message, "4294967295"));
	ck_assert_ptr_null(writer);
	ck_assert_uint_eq(names_in("new"), 0);
	ck_assert_uint_eq(blobs_count(blobs), 0);
}
END_TEST

static nlink_t links_of(const struct mbj_hash *digest)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;

	blob_file(path, blob_dir, digest);
	ck_assert_int_eq(stat(path, &st), 0);
	return st.st_nlink;
}

/*
 * Goal: a file is linked where nobody else may write to it, and copied
 * otherwise; what is no file is refused.  Method: one of each.
 */
START_TEST(blob_import)
{
	static struct content content, other;
	struct mbj_hash digest;
	uint64_t size = 0;
	char *path = test_path_dup(blob_tmp, "mail");
	char *link_path = test_path_dup(blob_tmp, "symlink");

	content_make(&content, 1);
	content_make(&other, 2);
	file_make(path, content_bytes(&content));
	for (int i = 0; i < 2; i++) {
		test_ok(mbj_blob_import(blobs, path, &digest, &size, &err),
			err);
		ck_assert(digest_equal(&digest, &content.digest));
		ck_assert_uint_eq(size, content.n);
		ck_assert_uint_eq(links_of(&digest), 2);
	}
	ck_assert_int_eq(unlink(path), 0);
	file_make(path, content_bytes(&other));
	ck_assert_int_eq(chmod(path, 0660), 0);
	test_ok(mbj_blob_import(blobs, path, &digest, &size, &err), err);
	ck_assert(digest_equal(&digest, &other.digest));
	ck_assert_uint_eq(links_of(&digest), 1);
	test_ok(mbj_blob_remove(blobs, &digest, &err), err);
	ck_assert_int_eq(symlink(path, link_path), 0);
	test_ok(mbj_blob_import(blobs, link_path, &digest, &size, &err), err);
	ck_assert_uint_eq(links_of(&digest), 1);
	test_rc(mbj_blob_import(blobs, blob_tmp, &digest, &size, &err),
		MBJ_EIO);
	ck_assert_int_eq(unlink(path), 0);
	test_rc(mbj_blob_import(blobs, path, &digest, &size, &err),
		MBJ_ENOTFOUND);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	test_rc(mbj_blob_import(blobs, path, &digest, &size, &err), MBJ_EIO);
	ck_assert_uint_eq(names_in("new"), 0);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs_count(blobs), 2);
	free(path);
	free(link_path);
}
END_TEST

/*
 * Goal: a copy is verified before it counts, linked or not.  Method: copy what
 * is good, damaged and missing, with and without hard links.
 */
START_TEST(blob_copy)
{
	struct mbj_sys sys = *mbj_sys_posix();
	char *second_dir = test_path_dup(blob_tmp, "second");
	struct mbj_blobs *second = NULL;
	static struct content good, bad, gone;
	struct mbj_hash digest;
	char path[MBJ_PATH_TEXT_MAX];

	if (_i == 1)
		sys.link = blob_link_refused;
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(&sys, blob_dir, true, &blobs, &err), err);
	test_ok(mbj_blobs_open(&sys, second_dir, true, &second, &err), err);
	content_make(&good, 1);
	content_make(&bad, 2);
	content_make(&gone, 4);
	test_ok(mbj_blob_put(second, content_bytes(&good), &digest, &err), err);
	test_ok(mbj_blob_put(second, content_bytes(&bad), &digest, &err), err);
	blob_file(path, second_dir, &bad.digest);
	bad.p[0] ^= 1;
	file_make(path, content_bytes(&bad));
	for (int i = 0; i < 2; i++)
		test_ok(mbj_blob_copy(second, blobs, &good.digest, good.n,
				      &err),
			err);
	ck_assert_uint_eq(links_of(&good.digest), _i == 0 ? 2 : 1);
	test_rc(mbj_blob_copy(second, blobs, &bad.digest, bad.n, &err),
		MBJ_ECORRUPT);
	ck_assert_str_eq(err.file, path);
	test_rc(mbj_blob_copy(second, blobs, &bad.digest, bad.n + 1, &err),
		MBJ_ECORRUPT);
	test_rc(mbj_blob_copy(second, blobs, &gone.digest, gone.n, &err),
		MBJ_ENOTFOUND);
	ck_assert_uint_eq(names_in("new"), 0);
	ck_assert_uint_eq(blobs_count(blobs), 1);
	mbj_blobs_close(&second);
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	free(second_dir);
}
END_TEST

/*
 * Goal: a damaged blob is never read to its end unnoticed; the file is named.
 * Method: a bit, a byte less, a byte more, nothing left, no file; then store
 * the content again, which mends what has another length.
 */
START_TEST(blob_damage)
{
	struct mbj_blob_reader *reader = NULL;
	static struct content content;
	char path[MBJ_PATH_TEXT_MAX], text[MBJ_BLOB_TEXT_SIZE];
	struct mbj_hash digest;
	static uint8_t bytes[CONTENT_MAX + 1];
	uint64_t size = 0;
	size_t got;

	content_make(&content, 5);
	blob_file(path, blob_dir, &content.digest);
	mbj_blob_print(&content.digest, text);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	memcpy(bytes, content.p, content.n);
	bytes[content.n] = 0;
	bytes[content.n / 2] ^= _i == 0 ? 4 : 0;
	if (_i < 4)
		file_make(path, mbj_bytes_make(bytes,
					       _i == 3 ? 0
						       : content.n - (_i == 1) +
								 (_i == 2)));
	else
		ck_assert_int_eq(unlink(path), 0);
	test_rc(mbj_blob_verify(blobs, &digest, content.n, &err),
		_i < 4 ? MBJ_ECORRUPT : MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, _i < 4 ? path : text));
	if (_i < 4) {
		test_ok(mbj_blob_reader_open(blobs, &digest, &reader, &size,
					     &err),
			err);
		for (int i = 0; i < 2; i++)
			test_rc(mbj_blob_reader_read(reader, bytes,
						     sizeof(bytes), &got, &err),
				MBJ_ECORRUPT);
		ck_assert_str_eq(err.file, path);
		mbj_blob_reader_close(&reader);
	} else {
		test_rc(mbj_blob_reader_open(blobs, &digest, &reader, &size,
					     &err),
			MBJ_ENOTFOUND);
		test_rc(mbj_blob_remove(blobs, &digest, &err), MBJ_ENOTFOUND);
		ck_assert_ptr_nonnull(strstr(err.message, text));
	}
	if (_i == 0)
		test_ok(mbj_blob_remove(blobs, &digest, &err), err);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	test_ok(mbj_blob_verify(blobs, &digest, content.n, &err), err);
}
END_TEST

/*
 * Goal: who does not own the folder changes nothing and finds what is there.
 * Method: open it beside the owner, and where there is none; what crashed
 * writers left, and foreign names, are for the owner and nobody.
 */
START_TEST(blob_reader_beside)
{
	char *left = test_path_dup(blob_dir, "new/left");
	char *none = test_path_dup(blob_tmp, "none");
	struct mbj_blobs *beside = NULL;
	static struct content content;
	struct mbj_hash digest;
	char path[MBJ_PATH_TEXT_MAX];
	bool is_there = false;

	content_make(&content, 6);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	blob_file(path, blob_dir, &digest);
	memcpy(path + strlen(path) - 2, "zz", 2);
	file_make(path, mbj_bytes_str("foreign"));
	path[strlen(path) - 2] = '\0';
	file_make(path, mbj_bytes_str("foreign"));
	file_make(left, mbj_bytes_str("left"));
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, false, &beside, &err),
		err);
	test_ok(mbj_blob_has(beside, &digest, content.n, &is_there, &err), err);
	ck_assert(is_there);
	ck_assert_uint_eq(blobs_count(beside), 1);
	test_ok(mbj_blobs_sync(beside, &err), err);
	mbj_blobs_close(&beside);
	ck_assert_uint_eq(names_in("new"), 1);
	test_ok(mbj_blobs_open(mbj_sys_posix(), none, false, &beside, &err),
		err);
	test_ok(mbj_blob_has(beside, &digest, content.n, &is_there, &err), err);
	ck_assert(!is_there);
	ck_assert_uint_eq(blobs_count(beside), 0);
	mbj_blobs_close(&beside);
	ck_assert_int_eq(access(none, F_OK), -1);
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, true, &blobs, &err),
		err);
	ck_assert_uint_eq(names_in("new"), 0);
	free(left);
	free(none);
}
END_TEST

TCase *test_blob_case(void)
{
	TCase *tc = tcase_create("blob");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, blob_sizes, 0, 6);
	tcase_add_test(tc, blob_once);
	tcase_add_loop_test(tc, blob_found, 0, 5);
	tcase_add_test(tc, blob_falling);
	tcase_add_test(tc, blob_bulk);
	tcase_add_test(tc, blob_limit);
	tcase_add_test(tc, blob_import);
	tcase_add_loop_test(tc, blob_copy, 0, 2);
	tcase_add_loop_test(tc, blob_damage, 0, 5);
	tcase_add_test(tc, blob_reader_beside);
	return tc;
}
