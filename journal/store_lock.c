/*
 * Who owns a store: the lock file, held with flock(2) and naming its holder,
 * and the permissions without which the lock would mean nothing.
 *
 * Not here: what the owner then does.
 *
 * Invariants:
 *   1. the lock ends with the process, however that ends; the number in the
 *      file is for messages, never for decisions about ownership;
 *   2. a lock file that is removed says so first: who opened it before, and
 * gets it once it has no name any more, owns nothing, and opens what is there;
 *   3. asking for the owner holds the lock for an instant, beside others who
 *      ask.  The asker leaves no number, so an opener that meets it tries again
 *      for a moment.
 *
 * Threads: pure but for the files.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/check.h>

#include "store_impl.h"

enum {
	LOCK_TEXT_SIZE = 22, /* "%-20ld\n" and a NUL */
	LOCK_TRIES_MAX = 50, /* one millisecond apart */
	LOCK_REMOVED = -1,   /* in the place of a number */
};

/* ------------------------------------------------------- permissions */

static enum mbj_rc other_user(const char *path, uid_t uid,
			      struct mbj_error *err)
{
	mbj_error_set(err, MBJ_EINVALID,
		      "%s belongs to another user, %lu: run this as that one, "
		      "and not as %lu",
		      path, (unsigned long)uid, (unsigned long)geteuid());
	mbj_error_at(err, path, 0, 0);
	return MBJ_EINVALID;
}

/* shown: what the message calls it. */
static enum mbj_rc path_owner_check(const struct mbj_sys *sys, const char *path,
				    const char *shown, mode_t type,
				    struct mbj_error *err)
{
	mode_t mode = 0;
	uid_t uid = 0;
	int result;
	const char *fault = NULL;

	result = sys->stat(sys->ctx, path, &mode, &uid);
	if (result < 0)
		return mbj_error_errno(err, -result, "cannot look at", shown);
	if ((mode & S_IFMT) != type)
		fault = "is not what belongs there";
	else if (uid != geteuid())
		return other_user(shown, uid, err);
	else if ((mode & (S_IWGRP | S_IWOTH)) != 0)
		fault = "is writable for others: chmod go-w it";
	if (fault == NULL)
		return MBJ_OK;
	mbj_error_set(err, MBJ_EINVALID, "%s %s", shown, fault);
	mbj_error_at(err, shown, 0, 0);
	return MBJ_EINVALID;
}

/* What a store may hold, and what kind of thing each must be. */
static const struct {
	const char *name;
	mode_t type;
} store_entries[] = {
	{SUPERBLOCK_NAME, S_IFREG},    {STORE_LOCK_NAME, S_IFREG},
	{STORE_JOURNAL_NAME, S_IFDIR}, {STORE_STATE_NAME, S_IFDIR},
	{STORE_OLD_NAME, S_IFDIR},     {STORE_BLOBS_NAME, S_IFDIR},
	{STORE_PART_NAME, S_IFDIR},    {STORE_BACKUP_NAME, S_IFREG},
	{STORE_IMAGE_NAME, S_IFDIR},
};

enum mbj_rc store_owner_check(const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	/* With "/." a link to the directory is followed: the operator's. */
	rc = mbj_path_join(path, dir, ".", err);
	if (rc == MBJ_OK)
		rc = mbj_path_exists(sys, path)
			     ? path_owner_check(sys, path, dir, S_IFDIR, err)
			     : MBJ_ENOTFOUND;
	if (rc == MBJ_ENOTFOUND)
		return store_missing(sys, dir, err);
	for (size_t i = 0; rc == MBJ_OK &&
			   i < sizeof(store_entries) / sizeof(store_entries[0]);
	     i++) {
		rc = mbj_path_join(path, dir, store_entries[i].name, err);
		if (rc < 0)
			return rc;
		rc = path_owner_check(sys, path, path, store_entries[i].type,
				      err);
		if (rc == MBJ_ENOTFOUND)
			rc = MBJ_OK;
	}
	return rc;
}

/* --------------------------------------------------------------- lock */

/* The number in the file, 0 where there is none. */
static long lock_pid_read(struct mbj_file *file)
{
	char text[LOCK_TEXT_SIZE] = "";
	size_t n = 0;
	long pid;

	if (mbj_file_read(file, 0, text, sizeof(text) - 1, &n, NULL) < 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, NULL, 10);
	return pid > 0 ? pid : 0;
}

static enum mbj_rc lock_text_write(struct mbj_file *file, long number)
{
	char text[LOCK_TEXT_SIZE];

	(void)snprintf(text, sizeof(text), "%-20ld\n", number);
	return mbj_file_write(file, 0, text, sizeof(text) - 1, NULL);
}

/* A failure costs the message of the next one who asks, nothing else. */
static void lock_pid_write(struct mbj_file *file, long pid)
{
	enum mbj_rc rc = lock_text_write(file, pid);

	(void)rc;
}

static bool lock_is_removed(struct mbj_file *file)
{
	char text[LOCK_TEXT_SIZE] = "";
	size_t n = 0;

	if (mbj_file_read(file, 0, text, sizeof(text) - 1, &n, NULL) < 0)
		return false;
	text[n] = '\0';
	return strtol(text, NULL, 10) == LOCK_REMOVED;
}

/* Somebody with this number is there (or may be: in another namespace). */
static bool pid_is_live(long pid)
{
	return pid > 0 && kill((pid_t)pid, 0) == 0;
}

static enum mbj_rc lock_busy(const char *dir, long pid, struct mbj_error *err)
{
	if (pid > 0)
		return mbj_error_set(err, MBJ_EBUSY,
				     "%s is in use by process %ld", dir, pid);
	return mbj_error_set(err, MBJ_EBUSY, "%s is in use by another process",
			     dir);
}

static enum mbj_rc lock_open(const struct mbj_sys *sys, const char *dir,
			     struct mbj_file *ret_lock, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file file;
	long pid = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, STORE_LOCK_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_RDWR | O_CREAT, &file, err);
	if (rc < 0)
		return rc;
	rc = mbj_file_lock(&file, err);
	for (int i = 0; rc == MBJ_EBUSY && i < LOCK_TRIES_MAX; i++) {
		pid = lock_pid_read(&file);
		if (pid_is_live(pid))
			break;
		(void)poll(NULL, 0, 1);
		rc = mbj_file_lock(&file, err);
	}
	if (rc == MBJ_EBUSY)
		rc = lock_busy(dir, pid, err);
	if (rc < 0) {
		mbj_file_close(&file);
		return rc;
	}
	*ret_lock = file;
	return MBJ_OK;
}

enum mbj_rc store_lock_take(const struct mbj_sys *sys, const char *dir,
			    struct mbj_file *ret_lock, struct mbj_error *err)
{
	struct mbj_file lock = MBJ_FILE_CLOSED;
	enum mbj_rc rc = lock_open(sys, dir, &lock, err);

	if (rc == MBJ_OK && lock_is_removed(&lock)) {
		mbj_file_close(&lock);
		/* Where it says so again, whoever removed it was stopped. */
		rc = lock_open(sys, dir, &lock, err);
	}
	if (rc < 0)
		return rc;
	lock_pid_write(&lock, (long)getpid());
	*ret_lock = lock;
	return MBJ_OK;
}

enum mbj_rc store_lock_remove(const struct mbj_sys *sys, const char *dir,
			      struct mbj_file *lock)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, STORE_LOCK_NAME, NULL);

	if (rc == MBJ_OK)
		rc = lock_text_write(lock, LOCK_REMOVED);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(sys, path, NULL);
	if (rc == MBJ_OK)
		mbj_file_close(lock);
	return rc;
}

void store_lock_drop(struct mbj_file *lock)
{
	if (lock->fd < 0)
		return;
	lock_pid_write(lock, 0);
	mbj_file_close(lock);
}

enum mbj_rc mbj_store_is_owned(const struct mbj_sys *sys, const char *dir,
			       bool *ret_is_owned, long *ret_pid,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct mbj_file file;
	long pid = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(ret_is_owned != NULL && ret_pid != NULL);
	if (sys == NULL)
		sys = mbj_sys_posix();
	rc = mbj_path_join(path, dir, STORE_LOCK_NAME, err);
	if (rc == MBJ_OK)
		/* A FIFO in another's store must not hold us up. */
		rc = mbj_file_open(sys, path, O_RDONLY | O_NONBLOCK, &file,
				   err);
	if (rc == MBJ_ENOTFOUND)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s is not a store (it has no lock file)",
				     dir);
	if (rc < 0)
		return rc;
	/*
	 * That somebody has it is an answer, and no failure.  Beside others
	 * who ask: none of them is to take another one for an owner.
	 */
	rc = mbj_file_lock_shared(&file, &why);
	if (rc == MBJ_EBUSY)
		pid = lock_pid_read(&file);
	mbj_file_close(&file);
	if (rc != MBJ_OK && rc != MBJ_EBUSY) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	*ret_is_owned = rc == MBJ_EBUSY;
	*ret_pid = pid;
	return MBJ_OK;
}
