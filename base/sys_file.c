/*
 * Open files over the system table: whole reads and writes, errors with words.
 *
 * It is not a cache and keeps no position.  Directories and whole files are
 * sys_dir.c's.
 *
 * Invariants:
 *  1. A struct mbj_file is closed (fd -1) or owns its descriptor.
 *  2. A result of the table is judged here: nothing above sees an errno, a
 *     short write or a short read that is not the end of the file.
 *
 * Threads: one at a time per file.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <mbj/check.h>
#include <mbj/sys.h>

enum mbj_rc mbj_path_join(char path[MBJ_PATH_TEXT_MAX], const char *dir,
			  const char *name, struct mbj_error *err)
{
	const char *slash;
	size_t n;
	int length;

	MBJ_ASSERT(path != NULL && path != dir && path != name);
	MBJ_ASSERT(dir != NULL && name != NULL);
	n = strlen(dir);
	slash = n > 0 && dir[n - 1] == '/' ? "" : "/";
	length = snprintf(NULL, 0, "%s%s%s", dir, slash, name);
	if (length < 0 || length >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a path is over %d bytes; use a shorter "
				     "directory: %s%s%s",
				     MBJ_PATH_TEXT_MAX - 1, dir, slash, name);
	(void)snprintf(path, MBJ_PATH_TEXT_MAX, "%s%s%s", dir, slash, name);
	return MBJ_OK;
}

enum mbj_rc mbj_file_open(const struct mbj_sys *sys, const char *path,
			  int flags, struct mbj_file *ret_file,
			  struct mbj_error *err)
{
	size_t length;
	int fd;

	MBJ_ASSERT(sys != NULL && ret_file != NULL);
	MBJ_ASSERT(path != NULL);
	length = strlen(path);
	if (length >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a path is over %d bytes; use a shorter "
				     "one: %s",
				     MBJ_PATH_TEXT_MAX - 1, path);
	fd = sys->open(sys->ctx, path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return mbj_error_errno(err, -fd, "cannot open", path);
	/* path may be ret_file->path: opened again under the same name. */
	memmove(ret_file->path, path, length + 1);
	ret_file->sys = sys;
	ret_file->fd = fd;
	return MBJ_OK;
}

void mbj_file_close(struct mbj_file *file)
{
	if (file == NULL || file->fd < 0)
		return;
	MBJ_ASSERT(file->sys != NULL);
	(void)file->sys->close(file->sys->ctx, file->fd);
	file->fd = -1;
}

static void file_check(const struct mbj_file *file)
{
	MBJ_ASSERT(file != NULL && file->sys != NULL);
	MBJ_ASSERT(file->fd >= 0);
}

/* Offsets come from disk and peers too: refuse what off_t cannot hold. */
static enum mbj_rc range_check(const struct mbj_file *file, uint64_t at,
			       size_t n, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (n <= INT64_MAX && at <= (uint64_t)INT64_MAX - n)
		return MBJ_OK;
	rc = mbj_error_set(err, MBJ_ELIMIT,
			   "byte %llu is beyond what any file holds: %s",
			   (unsigned long long)at, file->path);
	mbj_error_at(err, file->path, at, 0);
	return rc;
}

/* Note the byte besides what mbj_error_errno says. */
static enum mbj_rc file_failed(const struct mbj_file *file, int errnum,
			       const char *what, uint64_t at,
			       struct mbj_error *err)
{
	enum mbj_rc rc = mbj_error_errno(err, errnum, what, file->path);

	mbj_error_at(err, file->path, at, 0);
	return rc;
}

enum mbj_rc mbj_file_read(struct mbj_file *file, uint64_t at, void *p, size_t n,
			  size_t *ret_n, struct mbj_error *err)
{
	size_t done = 0;
	enum mbj_rc rc;

	file_check(file);
	MBJ_ASSERT(ret_n != NULL && (p != NULL || n == 0));
	rc = range_check(file, at, n, err);
	if (rc < 0)
		return rc;
	while (done < n) {
		ssize_t got = file->sys->pread(file->sys->ctx, file->fd,
					       (uint8_t *)p + done, n - done,
					       (off_t)(at + done));

		if (got < 0)
			return file_failed(file, (int)-got, "cannot read",
					   at + done, err);
		if (got == 0)
			break;
		done += (size_t)got;
		MBJ_ASSERT(done <= n);
	}
	*ret_n = done;
	return MBJ_OK;
}

enum mbj_rc mbj_file_write(struct mbj_file *file, uint64_t at, const void *p,
			   size_t n, struct mbj_error *err)
{
	size_t done = 0;
	enum mbj_rc rc;

	file_check(file);
	MBJ_ASSERT(p != NULL || n == 0);
	rc = range_check(file, at, n, err);
	if (rc < 0)
		return rc;
	while (done < n) {
		ssize_t put = file->sys->pwrite(file->sys->ctx, file->fd,
						(const uint8_t *)p + done,
						n - done, (off_t)(at + done));

		/* Writing nothing without a reason would never end. */
		if (put <= 0)
			return file_failed(file, put < 0 ? (int)-put : EIO,
					   "cannot write", at + done, err);
		done += (size_t)put;
		MBJ_ASSERT(done <= n);
	}
	return MBJ_OK;
}

enum mbj_rc mbj_file_sync(struct mbj_file *file, struct mbj_error *err)
{
	int rc;

	file_check(file);
	rc = file->sys->fdatasync(file->sys->ctx, file->fd);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot sync", file->path);
	return MBJ_OK;
}

enum mbj_rc mbj_file_sync_fs(struct mbj_file *file, struct mbj_error *err)
{
	int rc;

	file_check(file);
	rc = file->sys->syncfs(file->sys->ctx, file->fd);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot sync what is in",
				       file->path);
	return MBJ_OK;
}

void mbj_file_write_begin(struct mbj_file *file)
{
	file_check(file);
	if (file->sys->write_begin != NULL)
		(void)file->sys->write_begin(file->sys->ctx, file->fd);
}

enum mbj_rc mbj_file_size(struct mbj_file *file, uint64_t *ret_size,
			  struct mbj_error *err)
{
	int64_t size;

	file_check(file);
	MBJ_ASSERT(ret_size != NULL);
	size = file->sys->size(file->sys->ctx, file->fd);
	if (size < 0)
		return mbj_error_errno(err, (int)-size,
				       "cannot ask the size of", file->path);
	*ret_size = (uint64_t)size;
	return MBJ_OK;
}

enum mbj_rc mbj_file_time(struct mbj_file *file, int64_t *ret_time,
			  struct mbj_error *err)
{
	int rc;

	file_check(file);
	MBJ_ASSERT(ret_time != NULL);
	rc = file->sys->mtime(file->sys->ctx, file->fd, ret_time);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot ask the time of",
				       file->path);
	return MBJ_OK;
}

enum mbj_rc mbj_file_set_time(struct mbj_file *file, int64_t time,
			      struct mbj_error *err)
{
	int rc;

	file_check(file);
	rc = file->sys->set_mtime(file->sys->ctx, file->fd, time);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot set the time of",
				       file->path);
	return MBJ_OK;
}

enum mbj_rc mbj_file_sync_all(struct mbj_file *file, struct mbj_error *err)
{
	int rc;

	file_check(file);
	rc = file->sys->fsync(file->sys->ctx, file->fd);
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot sync", file->path);
	return MBJ_OK;
}

static enum mbj_rc file_lock(struct mbj_file *file, bool is_shared,
			     struct mbj_error *err)
{
	enum mbj_rc code;
	int rc;

	file_check(file);
	rc = file->sys->lock(file->sys->ctx, file->fd, is_shared);
	if (rc == 0)
		return MBJ_OK;
	MBJ_ASSERT(rc < 0);
	if (rc != -EWOULDBLOCK)
		return mbj_error_errno(err, -rc, "cannot lock", file->path);
	code = mbj_error_set(err, MBJ_EBUSY,
			     "another process holds the lock; stop it or wait "
			     "for its end: %s",
			     file->path);
	mbj_error_at(err, file->path, 0, 0);
	return code;
}

enum mbj_rc mbj_file_lock(struct mbj_file *file, struct mbj_error *err)
{
	return file_lock(file, false, err);
}

enum mbj_rc mbj_file_lock_shared(struct mbj_file *file, struct mbj_error *err)
{
	return file_lock(file, true, err);
}
