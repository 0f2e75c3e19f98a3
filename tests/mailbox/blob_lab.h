/*
 * What the tests of the blob folder share: contents by number, and what is
 * there compared with what should be.
 */
#ifndef TEST_BLOB_LAB_H
#define TEST_BLOB_LAB_H

#include <fcntl.h>
#include <unistd.h>

#include <mbj/blob.h>
#include <mbj/hash.h>

#include "cases.h"

/* A directory, and the path of a blob folder in it, which is not there yet. */
extern char *blob_tmp;
extern char *blob_dir;

/* Where no file can be linked: another file system. */
int blob_link_refused(void *ctx, const char *from, const char *to);
void blob_lab_setup(void);
void blob_lab_teardown(void);

enum { CONTENT_MAX = 6000, CONTENT_NOISE_MAX = 700 };

struct content {
	uint8_t p[CONTENT_MAX];
	size_t n;
	struct mbj_hash digest;
};

/* What takes half as much when it is packed: any of sixteen letters. */
static inline void text_fill(uint64_t seed, uint8_t *p, size_t n)
{
	struct test_rng rng;

	test_rng_init(&rng, seed);
	test_rng_fill(&rng, p, n);
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)('a' + p[i] % 16);
}

static inline void content_digest(struct content *content)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_bytes bytes = mbj_bytes_make(content->p, content->n);

	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_digest(sha, &bytes, 1, &content->digest,
					   NULL),
			 MBJ_OK);
	mbj_sha256_free(&sha);
}

/* A content of its own for each number, of a few hundred bytes. */
static inline void content_make(struct content *content, unsigned number)
{
	struct test_rng rng;

	test_rng_init(&rng, number + 1);
	content->n = 1 + (number * 97) % CONTENT_NOISE_MAX;
	test_rng_fill(&rng, content->p, content->n);
	content_digest(content);
}

/* The same of two blocks, one when it is packed. */
static inline void content_make_text(struct content *content, unsigned number)
{
	content->n = CONTENT_MAX - number;
	text_fill(number, content->p, content->n);
	content_digest(content);
}

static inline struct mbj_bytes content_bytes(const struct content *content)
{
	return mbj_bytes_make(content->p, content->n);
}

static inline void file_make(const char *path, struct mbj_bytes bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes.p, bytes.n), (ssize_t)bytes.n);
	close(fd);
}

static inline bool digest_equal(const struct mbj_hash *a,
				const struct mbj_hash *b)
{
	return memcmp(a->b, b->b, MBJ_HASH_SIZE) == 0;
}

/* dir/ab/cdef... of a digest. */
static inline void blob_file(char path[MBJ_PATH_TEXT_MAX], const char *dir,
			     const struct mbj_hash *digest)
{
	char text[MBJ_BLOB_TEXT_SIZE];

	mbj_blob_print(digest, text);
	(void)snprintf(path, MBJ_PATH_TEXT_MAX, "%s/%.2s/%s", dir, text,
		       text + 2);
}

/* The same of a packed one. */
static inline void blob_packed_file(char path[MBJ_PATH_TEXT_MAX],
				    const char *dir,
				    const struct mbj_hash *digest)
{
	blob_file(path, dir, digest);
	(void)snprintf(path + strlen(path), MBJ_PATH_TEXT_MAX - strlen(path),
		       ".zst");
}

/* Blobs present, each of which is what its name says. */
static inline unsigned blobs_count(struct mbj_blobs *blobs)
{
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_hash last = {{0}};
	struct mbj_error err;
	unsigned count = 0;

	test_ok(mbj_blobs_scan_begin(blobs, &scan, &err), err);
	for (;;) {
		struct mbj_blob_reader *reader = NULL;
		struct mbj_hash digest;
		uint64_t size = 0;
		bool is_there;

		test_ok(mbj_blobs_scan_next(scan, &digest, &is_there, &err),
			err);
		if (!is_there)
			break;
		ck_assert(count == 0 ||
			  memcmp(last.b, digest.b, MBJ_HASH_SIZE) < 0);
		test_ok(mbj_blob_reader_open(blobs, &digest, &reader, &size,
					     &err),
			err);
		mbj_blob_reader_close(&reader);
		test_ok(mbj_blob_verify(blobs, &digest, size, &err), err);
		last = digest;
		count++;
	}
	mbj_blobs_scan_end(&scan);
	return count;
}

/* Read in pieces of step bytes, compare, and have it verified. */
static inline void blob_read_check(struct mbj_blobs *blobs,
				   const struct mbj_hash *digest,
				   const uint8_t *p, size_t n, size_t step)
{
	struct mbj_blob_reader *reader = NULL;
	struct mbj_error err;
	uint8_t *piece = malloc(step);
	uint64_t size = 0;
	size_t at = 0, got = 0;

	ck_assert_ptr_nonnull(piece);
	test_ok(mbj_blob_reader_open(blobs, digest, &reader, &size, &err), err);
	ck_assert_uint_eq(size, n);
	do {
		test_ok(mbj_blob_reader_read(reader, piece, step, &got, &err),
			err);
		ck_assert_uint_le(got, n - at);
		ck_assert(got == 0 || memcmp(piece, p + at, got) == 0);
		at += got;
	} while (got > 0);
	ck_assert_uint_eq(at, n);
	mbj_blob_reader_close(&reader);
	free(piece);
	test_ok(mbj_blob_verify(blobs, digest, n, &err), err);
}

static inline size_t lab_file_read(const char *path, uint8_t *p, size_t n)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	ck_assert_int_ge(fd, 0);
	got = read(fd, p, n);
	ck_assert_int_ge(got, 0);
	close(fd);
	return (size_t)got;
}

#endif
