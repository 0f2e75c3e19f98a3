/*
 * Somebody else at the disk in memory; see log_meddle.h.
 */
#include "log_meddle.h"

#include <errno.h>
#include <stdio.h>

static int meddle_judge(struct meddle *meddle, unsigned call)
{
	if ((meddle->calls & call) == 0)
		return 0;
	meddle->count++;
	if (meddle->at == 0 || meddle->count < meddle->at)
		return 0;
	if (meddle->change != NULL && meddle->count == meddle->at)
		meddle->change(meddle);
	return meddle->is_failing ? -EIO : 0;
}

/* The name that the disk in memory knows. */
static const char *known_path(const char *path, char known[MBJ_PATH_TEXT_MAX])
{
	size_t length = strlen(DISK_DIR);
	const char *name = path + length;

	ck_assert_msg(strncmp(path, DISK_DIR, length) == 0, "strange path %s",
		      path);
	name += strspn(name, "/");
	if (*name == '.' && (name[1] == '/' || name[1] == '\0'))
		name += 1 + strspn(name + 1, "/");
	(void)snprintf(known, MBJ_PATH_TEXT_MAX, "%s%s%s", DISK_DIR,
		       *name == '\0' ? "" : "/", name);
	return known;
}

static const struct mbj_sys *below(struct meddle *meddle)
{
	return disk_sys(meddle->disk);
}

static int meddle_open(void *ctx, const char *path, int flags, mode_t mode)
{
	char known[MBJ_PATH_TEXT_MAX];
	struct meddle *meddle = ctx;
	int judged = meddle_judge(meddle, MEDDLE_OPEN);

	if (judged < 0)
		return judged;
	return below(meddle)->open(meddle->disk, known_path(path, known), flags,
				   mode);
}

static int meddle_close(void *ctx, int fd)
{
	struct meddle *meddle = ctx;

	return below(meddle)->close(meddle->disk, fd);
}

static ssize_t meddle_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	struct meddle *meddle = ctx;
	int judged = meddle_judge(meddle, MEDDLE_READ);

	if (judged < 0)
		return judged;
	return below(meddle)->pread(meddle->disk, fd, p, n, at);
}

static ssize_t meddle_pwrite(void *ctx, int fd, const void *p, size_t n,
			     off_t at)
{
	struct meddle *meddle = ctx;

	return below(meddle)->pwrite(meddle->disk, fd, p, n, at);
}

static int meddle_sync(void *ctx, int fd)
{
	struct meddle *meddle = ctx;
	int judged = meddle_judge(meddle, MEDDLE_SYNC);

	if (judged < 0)
		return judged;
	return below(meddle)->fsync(meddle->disk, fd);
}

static int64_t meddle_size(void *ctx, int fd)
{
	struct meddle *meddle = ctx;

	return below(meddle)->size(meddle->disk, fd);
}

static int meddle_rename(void *ctx, const char *from, const char *to)
{
	char source[MBJ_PATH_TEXT_MAX], target[MBJ_PATH_TEXT_MAX];
	struct meddle *meddle = ctx;

	return below(meddle)->rename(meddle->disk, known_path(from, source),
				     known_path(to, target));
}

static int meddle_unlink(void *ctx, const char *path)
{
	char known[MBJ_PATH_TEXT_MAX];
	struct meddle *meddle = ctx;

	return below(meddle)->unlink(meddle->disk, known_path(path, known));
}

static int meddle_list(void *ctx, const char *path, struct mbj_buf *names)
{
	char known[MBJ_PATH_TEXT_MAX];
	struct meddle *meddle = ctx;

	return below(meddle)->list(meddle->disk, known_path(path, known),
				   names);
}

static int meddle_stat(void *ctx, const char *path, mode_t *mode, uid_t *uid)
{
	char known[MBJ_PATH_TEXT_MAX];
	struct meddle *meddle = ctx;

	return below(meddle)->stat(meddle->disk, known_path(path, known), mode,
				   uid);
}

static int64_t meddle_now(void *ctx)
{
	struct meddle *meddle = ctx;

	return below(meddle)->now_us(meddle->disk);
}

static int meddle_random(void *ctx, void *p, size_t n)
{
	struct meddle *meddle = ctx;

	return below(meddle)->random(meddle->disk, p, n);
}

void meddle_init(struct meddle *meddle, struct disk *disk)
{
	*meddle = (struct meddle){
		.sys = {.ctx = meddle,
			.open = meddle_open,
			.close = meddle_close,
			.pread = meddle_pread,
			.pwrite = meddle_pwrite,
			.fdatasync = meddle_sync,
			.fsync = meddle_sync,
			.size = meddle_size,
			.rename = meddle_rename,
			.unlink = meddle_unlink,
			.list = meddle_list,
			.stat = meddle_stat,
			.now_us = meddle_now,
			.random = meddle_random},
		.disk = disk,
	};
}

void meddle_change(struct meddle *meddle, unsigned calls, uint64_t at,
		   void (*change)(struct meddle *meddle))
{
	meddle->calls = calls;
	meddle->count = 0;
	meddle->at = at;
	meddle->change = change;
	meddle->is_failing = false;
}

void meddle_fail(struct meddle *meddle, unsigned calls, uint64_t at)
{
	meddle_change(meddle, calls, at, NULL);
	meddle->is_failing = at > 0;
}

enum mbj_rc meddle_log_try(struct meddle *meddle, const char *dir,
			   uint64_t known, struct mbj_log **ret_log,
			   struct mbj_error *err)
{
	struct mbj_anchor anchor = lab_anchor();

	return mbj_log_open(&meddle->sys, dir, lab_lineage(), &anchor,
			    (struct mbj_lsn){known}, &lab_options, ret_log,
			    err);
}

enum mbj_rc meddle_reader_try(struct meddle *meddle, const char *dir,
			      bool is_owned, struct mbj_log_reader **ret_reader,
			      struct mbj_error *err)
{
	struct mbj_anchor anchor = lab_anchor();

	return mbj_log_reader_open(&meddle->sys, dir, lab_lineage(), &anchor,
				   is_owned, ret_reader, err);
}
