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

void blob_lab_setup(void);
void blob_lab_teardown(void);

/* A content of its own for each number, of a few hundred bytes. */
struct content {
	uint8_t p[700];
	size_t n;
	struct mbj_hash digest;
};

static inline void content_make(struct content *content, unsigned number)
{
	struct mbj_sha256 *sha = NULL;
	struct mbj_bytes bytes;
	struct test_rng rng;

	test_rng_init(&rng, number + 1);
	content->n = 1 + (number * 97) % sizeof(content->p);
	test_rng_fill(&rng, content->p, content->n);
	bytes = mbj_bytes_make(content->p, content->n);
	ck_assert_int_eq(mbj_sha256_new(&sha, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_sha256_digest(sha, &bytes, 1, &content->digest,
					   NULL),
			 MBJ_OK);
	mbj_sha256_free(&sha);
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

#endif
