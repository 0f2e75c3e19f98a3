/*
 * A blob folder whose packs are small, and what is in its files.
 */
#ifndef TEST_PACK_LAB_H
#define TEST_PACK_LAB_H

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob_lab.h"
#include "blob_priv.h"

enum { MANY = 120, SMALL = 4096 };

static char *tmp;
static char *dir;
static struct mbj_blobs *blobs;
static struct mbj_error err;

/* Packs that are full soon. */
static inline void small(struct mbj_blobs *some)
{
	some->packs.size_max = SMALL;
	some->packs.index_step = SMALL / 4;
	some->packs.dead_min = 0;
}

static inline void owner_open(void)
{
	test_ok(mbj_blobs_open(mbj_sys_posix(), dir, true, &blobs, &err), err);
	small(blobs);
}

static inline void owner_again(void)
{
	mbj_blobs_close(&blobs);
	owner_open();
}

static inline void setup(void)
{
	tmp = test_tmpdir_new();
	dir = test_path_dup(tmp, "blobs");
	owner_open();
}

static inline void teardown(void)
{
	mbj_blobs_close(&blobs);
	free(dir);
	test_tmpdir_free(&tmp);
}

static inline void put(unsigned number)
{
	struct content content;
	struct mbj_hash digest;

	content_make(&content, number);
	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
}

static inline void sync_all(void)
{
	test_ok(mbj_blobs_sync(blobs, &err), err);
}

static inline enum mbj_rc verify(struct mbj_blobs *some, unsigned number)
{
	struct content content;

	content_make(&content, number);
	return mbj_blob_verify(some, &content.digest, content.n, &err);
}

static inline bool has(struct mbj_blobs *some, unsigned number)
{
	struct content content;
	bool is_there = false;

	content_make(&content, number);
	test_ok(mbj_blob_has(some, &content.digest, content.n, &is_there, &err),
		err);
	return is_there;
}

static inline void take_away(unsigned number)
{
	struct content content;

	content_make(&content, number);
	test_ok(mbj_blob_remove(blobs, &content.digest, &err), err);
}

/* Files in packs/ whose names end so, and their bytes. */
static inline unsigned files(const char *end, uint64_t *ret_size)
{
	char *packs = test_path_dup(dir, "packs");
	struct mbj_buf names;
	unsigned count = 0;

	*ret_size = 0;
	mbj_buf_init(&names, 1 << 20);
	test_ok(mbj_dir_list(mbj_sys_posix(), packs, &names, &err), err);
	for (size_t at = 0; at < names.n;) {
		const char *name = (const char *)names.p + at;
		size_t n = strlen(name);
		char path[MBJ_PATH_TEXT_MAX];
		struct stat st;

		at += n + 1;
		if (n < strlen(end) || strcmp(name + n - strlen(end), end) != 0)
			continue;
		test_ok(mbj_path_join(path, packs, name, &err), err);
		ck_assert_int_eq(stat(path, &st), 0);
		*ret_size += (uint64_t)st.st_size;
		count++;
	}
	mbj_buf_done(&names);
	free(packs);
	return count;
}

static inline uint8_t *file_load(const char *path, size_t *ret_n)
{
	struct mbj_buf bytes;

	mbj_buf_init(&bytes, 16 << 20);
	test_ok(mbj_file_load(mbj_sys_posix(), path, 16 << 20, &bytes, &err),
		err);
	*ret_n = bytes.n;
	return bytes.p;
}

static inline void file_save(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
}

static inline void path_index(char path[MBJ_PATH_TEXT_MAX], unsigned number)
{
	(void)snprintf(path, MBJ_PATH_TEXT_MAX, "%s/packs/%08x.index", dir,
		       number);
}

#endif
