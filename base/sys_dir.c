/*
 * Directories, and files as wholes: list, load, replace, rename, remove.
 *
 * It does not walk trees: a store's directory is one level deep where we make
 * it, and Berkeley DB keeps its own.
 *
 * Invariants:
 *  1. mbj_file_replace never opens the final name for writing, and renames
 *     only what was synced: at any instant the name holds old or new content.
 *  2. A temporary name is the final one plus ".new"; left over from a crash,
 *     the next replacement overwrites it.
 *
 * Threads: stateless; two replacements of one name exclude each other by the
 * caller's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/sys.h>

enum { LOAD_CHUNK = 4096, NAMES_MAX = 1 << 20 };

/* One call on a directory's descriptor. */
static enum mbj_rc dir_call(const struct mbj_sys *sys, const char *path,
			    int (*call)(void *ctx, int fd), const char *what,
			    struct mbj_error *err)
{
	int fd, rc;

	MBJ_ASSERT(path != NULL);
	fd = sys->open(sys->ctx, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return mbj_error_errno(err, -fd, "cannot open directory", path);
	rc = call(sys->ctx, fd);
	(void)sys->close(sys->ctx, fd);
	return rc < 0 ? mbj_error_errno(err, -rc, what, path) : MBJ_OK;
}

enum mbj_rc mbj_dir_sync(const struct mbj_sys *sys, const char *path,
			 struct mbj_error *err)
{
	MBJ_ASSERT(sys != NULL);
	return dir_call(sys, path, sys->fsync, "cannot sync directory", err);
}

enum mbj_rc mbj_fs_sync(const struct mbj_sys *sys, const char *path,
			struct mbj_error *err)
{
	MBJ_ASSERT(sys != NULL);
	return dir_call(sys, path, sys->syncfs, "cannot sync what is in", err);
}

enum mbj_rc mbj_dir_make(const struct mbj_sys *sys, const char *path,
			 struct mbj_error *err)
{
	int rc;

	MBJ_ASSERT(sys != NULL);
	MBJ_ASSERT(path != NULL);
	rc = sys->mkdir(sys->ctx, path, 0700);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot make directory", path);
	return MBJ_OK;
}

uint64_t mbj_space_left(const struct mbj_sys *sys, const char *path)
{
	int64_t left;

	MBJ_ASSERT(sys != NULL && path != NULL);
	left = sys->space == NULL ? -1 : sys->space(sys->ctx, path);
	/* What cannot be told is no reason to refuse anything. */
	return left < 0 ? UINT64_MAX : (uint64_t)left;
}

const char *mbj_names_next(const struct mbj_buf *names, const char *name)
{
	const char *next = (const char *)names->p;

	/* NULL has no offsets. */
	if (names->n == 0)
		return NULL;
	if (name != NULL)
		next = name + strlen(name) + 1;
	return next == (const char *)names->p + names->n ? NULL : next;
}

static int name_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Addresses of the NUL-terminated names that lie one after another in b. */
static enum mbj_rc names_index(struct mbj_bytes b, const char ***ret_names,
			       size_t *ret_count, struct mbj_error *err)
{
	void *names = NULL;
	size_t count = 0, capacity = 0;

	MBJ_ASSERT(b.n == 0 || b.p[b.n - 1] == '\0');
	for (size_t at = 0; at < b.n;) {
		const char *name = (const char *)b.p + at;
		enum mbj_rc rc =
			mbj_array_reserve(&names, &capacity, count + 1,
					  sizeof(name), NAMES_MAX, err);

		if (rc < 0) {
			mbj_free(names);
			return rc;
		}
		((const char **)names)[count++] = name;
		at += strlen(name) + 1;
	}
	*ret_names = names;
	*ret_count = count;
	return MBJ_OK;
}

/* Put the names in the order of their bytes; the same n afterwards. */
static enum mbj_rc names_sort(struct mbj_buf *buf, struct mbj_error *err)
{
	const char **names = NULL;
	struct mbj_buf sorted;
	size_t count = 0;
	enum mbj_rc rc;

	if (buf->n == 0)
		return MBJ_OK;
	mbj_buf_init(&sorted, buf->max);
	rc = names_index(mbj_buf_view(buf), &names, &count, err);
	if (rc < 0)
		goto out;
	qsort(names, count, sizeof(*names), name_compare);
	for (size_t i = 0; i < count; i++)
		mbj_buf_put(&sorted, names[i], strlen(names[i]) + 1);
	rc = mbj_buf_ok(&sorted, err);
	if (rc < 0)
		goto out;
	MBJ_ASSERT(sorted.n == buf->n);
	memcpy(buf->p, sorted.p, sorted.n);
out:
	mbj_free(names);
	mbj_buf_done(&sorted);
	return rc;
}

enum mbj_rc mbj_dir_list(const struct mbj_sys *sys, const char *path,
			 struct mbj_buf *names, struct mbj_error *err)
{
	enum mbj_rc rc;
	int result;

	MBJ_ASSERT(sys != NULL && path != NULL);
	MBJ_ASSERT(names != NULL);
	mbj_buf_clear(names);
	result = sys->list(sys->ctx, path, names);
	if (result < 0)
		return mbj_error_errno(err, -result, "cannot list directory",
				       path);
	rc = mbj_buf_ok(names, err);
	if (rc == MBJ_OK)
		rc = names_sort(names, err);
	if (rc < 0)
		return mbj_error_prefix(err, rc, "cannot list directory %s",
					path);
	return MBJ_OK;
}

enum mbj_rc mbj_file_remove(const struct mbj_sys *sys, const char *path,
			    struct mbj_error *err)
{
	int rc;

	MBJ_ASSERT(sys != NULL);
	MBJ_ASSERT(path != NULL);
	rc = sys->unlink(sys->ctx, path);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot remove", path);
	return MBJ_OK;
}

enum mbj_rc mbj_file_rename(const struct mbj_sys *sys, const char *from,
			    const char *to, struct mbj_error *err)
{
	int rc;

	MBJ_ASSERT(sys != NULL);
	MBJ_ASSERT(from != NULL && to != NULL);
	rc = sys->rename(sys->ctx, from, to);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot rename", from);
	return MBJ_OK;
}

/* Words of link(2) for "not between these two, not by you". */
static bool link_is_refused(int errnum)
{
	return errnum == EXDEV || errnum == EPERM || errnum == EACCES ||
	       errnum == EMLINK || errnum == ENOSYS || errnum == EOPNOTSUPP;
}

enum mbj_rc mbj_file_link(const struct mbj_sys *sys, const char *from,
			  const char *to, bool *ret_is_linked,
			  struct mbj_error *err)
{
	int rc;

	MBJ_ASSERT(sys != NULL && ret_is_linked != NULL);
	MBJ_ASSERT(from != NULL && to != NULL);
	rc = sys->link(sys->ctx, from, to);
	if (rc < 0 && !link_is_refused(-rc))
		return mbj_error_errno(err, -rc, "cannot link", from);
	*ret_is_linked = rc == 0;
	return MBJ_OK;
}

static enum mbj_rc load_too_large(const char *path, size_t max,
				  struct mbj_error *err)
{
	enum mbj_rc rc =
		mbj_error_set(err, MBJ_ELIMIT,
			      "over the limit of %zu bytes: %s", max, path);

	mbj_error_at(err, path, 0, 0);
	return rc;
}

static enum mbj_rc load_rest(struct mbj_file *file, size_t max,
			     struct mbj_buf *bytes, struct mbj_error *err)
{
	uint8_t chunk[LOAD_CHUNK];
	uint64_t at = 0;
	size_t got = sizeof(chunk);

	while (got == sizeof(chunk)) {
		enum mbj_rc rc = mbj_file_read(file, at, chunk, sizeof(chunk),
					       &got, err);

		if (rc < 0)
			return rc;
		if (got > max - at)
			return load_too_large(file->path, max, err);
		mbj_buf_put(bytes, chunk, got);
		rc = mbj_buf_ok(bytes, err);
		if (rc < 0)
			return mbj_error_prefix(err, rc, "%s", file->path);
		at += got;
	}
	return MBJ_OK;
}

enum mbj_rc mbj_file_load(const struct mbj_sys *sys, const char *path,
			  size_t max, struct mbj_buf *ret_bytes,
			  struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	size_t begin;
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL && path != NULL);
	MBJ_ASSERT(ret_bytes != NULL && ret_bytes->failed == MBJ_OK);
	begin = ret_bytes->n;
	/* What is no file must not make us wait; reading it fails. */
	rc = mbj_file_open(sys, path, O_RDONLY | O_NONBLOCK, &file, err);
	if (rc < 0)
		return rc;
	rc = load_rest(&file, max, ret_bytes, err);
	if (rc < 0) {
		ret_bytes->n = begin;
		ret_bytes->failed = MBJ_OK;
	}
	mbj_file_close(&file);
	return rc;
}

/* Write and sync a new file; whatever had its name before is overwritten. */
static enum mbj_rc file_make(const struct mbj_sys *sys, const char *path,
			     struct mbj_bytes bytes, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	rc = mbj_file_open(sys, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
			   &file, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_write(&file, 0, bytes.p, bytes.n, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync(&file, err);
	mbj_file_close(&file);
	return rc;
}

enum mbj_rc mbj_file_replace(const struct mbj_sys *sys, const char *dir,
			     const char *name, struct mbj_bytes bytes,
			     struct mbj_error *err)
{
	char final[MBJ_PATH_TEXT_MAX], fresh[MBJ_PATH_TEXT_MAX];
	size_t length;
	enum mbj_rc rc;

	MBJ_ASSERT(sys != NULL && dir != NULL && name != NULL);
	MBJ_ASSERT(bytes.p != NULL || bytes.n == 0);
	rc = mbj_path_join(final, dir, name, err);
	if (rc < 0)
		return rc;
	length = strlen(final);
	if (length + sizeof(".new") > sizeof(fresh))
		return mbj_error_set(
			err, MBJ_ELIMIT,
			"a path leaves no room for \".new\"; use a "
			"shorter directory: %s",
			final);
	memcpy(fresh, final, length);
	memcpy(fresh + length, ".new", sizeof(".new"));
	rc = file_make(sys, fresh, bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(sys, fresh, final, err);
	if (rc < 0) {
		/* Best effort: the next replacement overwrites it anyway. */
		(void)sys->unlink(sys->ctx, fresh);
		return rc;
	}
	return mbj_dir_sync(sys, dir, err);
}

bool mbj_path_exists(const struct mbj_sys *sys, const char *path)
{
	mode_t mode = 0;
	uid_t uid = 0;
	int rc;

	MBJ_ASSERT(sys != NULL);
	MBJ_ASSERT(path != NULL);
	rc = sys->stat(sys->ctx, path, &mode, &uid);
	return rc != -ENOENT && rc != -ENOTDIR;
}
