/*
 * Locks of Maildirs that are renamed.  See maildir_hold.h.
 *
 * Dovecot's own functions for such a lock remove it by the path that it was
 * made at; so they are used to wait for others, and the file is made here, as
 * they make it (file-dotlock.c): whoever finds it can see that this process
 * lives.
 */
#include "maildir_hold.h"

#include <file-dotlock.h>
#include <hostpid.h>
#include <mailbox-list-iter.h>
#include <mailbox-list-private.h>
#include <maildir-storage.h>
#include <maildir-uidlist.h>
#include <write-full.h>

#include <stdbool.h>
#include <sys/stat.h>

#include <mbj/sys.h>

enum { WAIT_MS = 30 * 1000 };

struct held_lock {
	const char *below; /* what box's name has behind it; "": box itself */
	dev_t dev;
	ino_t ino;
};

/* The file that is locked.  NULL: it has none. */
static const char *uidlist_path(struct mailbox *box, const char *below)
{
	const char *name, *dir;

	name = mailbox_list_get_storage_name(box->list,
					     t_strconcat(box->vname, below,
							 NULL));
	if (mailbox_list_get_path(box->list, name,
				  MAILBOX_LIST_PATH_TYPE_CONTROL, &dir) <= 0)
		return NULL;
	return t_strconcat(dir, "/" MAILDIR_UIDLIST_NAME, NULL);
}

static const char *lock_path(const char *uidlist)
{
	return t_strconcat(uidlist, ".lock", NULL);
}

/* Whoever may read the mailbox may read who has it. */
static mode_t umask_set(struct mailbox *box)
{
	return umask(0777 & ~mailbox_get_permissions(box)->file_create_mode);
}

/* Without room for its text it is a lock as well. Returns: -1 with errno. */
static int lock_create(struct mailbox *box, const char *path,
		       struct held_lock *lock)
{
	const char *text = t_strdup_printf("%s:%s", my_pid, my_hostname);
	mode_t mask = umask_set(box);
	int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
	int saved = errno;
	struct stat st;

	(void)umask(mask);
	errno = saved;
	if (fd < 0)
		return -1;
	if (write_full(fd, text, strlen(text)) < 0 && ftruncate(fd, 0) < 0)
		e_warning(box->event, "mbj: ftruncate(%s) failed: %s", path,
			  strerror(errno));
	if (fstat(fd, &st) == 0) {
		lock->dev = st.st_dev;
		lock->ino = st.st_ino;
	}
	(void)close(fd);
	return 0;
}

/* Until nobody has it.  Returns: 1, 0 it takes too long, -1. */
static int lock_wait(struct mailbox *box, const char *uidlist, int64_t until_ms)
{
	int64_t left_ms = until_ms - mbj_monotonic_ms();
	struct dotlock_settings set = {
		.temp_prefix = mailbox_list_get_temp_prefix(box->list),
		.timeout = mail_storage_get_lock_timeout(
			box->storage,
			left_ms > 0 ? (unsigned int)(left_ms / 1000 + 1) : 1),
		.stale_timeout = MAILDIR_UIDLIST_LOCK_STALE_TIMEOUT,
		.use_excl_lock = box->storage->set->dotlock_use_excl,
		.nfs_flush = box->storage->set->mail_nfs_storage,
		.use_io_notify = true,
	};
	mode_t mask = umask_set(box);
	struct dotlock *dotlock;
	int ret = file_dotlock_create(&set, uidlist, 0, &dotlock);

	(void)umask(mask);
	if (ret > 0)
		(void)file_dotlock_delete(&dotlock);
	return ret;
}

/* Of a mailbox without files, or that is none. */
static bool errno_is_nothing(int number)
{
	return number == ENOENT || number == ENOTDIR;
}

/* Returns: 1, 0 it has none, or there is none to be had; -1 somebody has it. */
static int lock_take(struct mailbox *box, const char *below, int64_t until_ms,
		     struct held_lock *lock)
{
	const char *uidlist = uidlist_path(box, below), *path;
	int ret = 1;

	if (uidlist == NULL)
		return 0;
	path = lock_path(uidlist);
	/* Somebody else may be faster, again and again. */
	while (ret > 0 && lock_create(box, path, lock) < 0) {
		if (errno != EEXIST) {
			if (!errno_is_nothing(errno))
				e_warning(box->event,
					  "mbj: renamed without its lock: "
					  "open(%s) failed: %s",
					  path, strerror(errno));
			return 0;
		}
		ret = lock_wait(box, uidlist, until_ms);
		if (ret > 0 && mbj_monotonic_ms() > until_ms)
			ret = 0;
	}
	if (ret < 0 && errno_is_nothing(errno))
		return 0;
	if (ret < 0)
		e_error(box->event, "mbj: cannot wait for %s: %s", path,
			strerror(errno));
	return ret > 0 ? 1 : -1;
}

static int one_take(struct hold *hold, const char *below, int64_t until_ms)
{
	struct held_lock lock = {.below = ""};
	int ret = lock_take(hold->box, below, until_ms, &lock);

	if (ret > 0) {
		lock.below = p_strdup(hold->pool, below);
		array_push_back(&hold->locks, &lock);
	}
	return ret < 0 ? -1 : 0;
}

/* As Dovecot looks for them, to move them. */
static int children_take(struct hold *hold, int64_t until_ms)
{
	struct mailbox *box = hold->box;
	char separator = mail_namespace_get_sep(box->list->ns);
	size_t n = strlen(box->vname);
	struct mailbox_list_iterate_context *iter;
	const struct mailbox_info *info;
	int ret = 0;

	iter = mailbox_list_iter_init(
		box->list, t_strdup_printf("%s%c*", box->vname, separator),
		MAILBOX_LIST_ITER_RETURN_NO_FLAGS | MAILBOX_LIST_ITER_RAW_LIST);
	while (ret == 0 && (info = mailbox_list_iter_next(iter)) != NULL) {
		/* The name may have characters of a pattern. */
		if (strncmp(info->vname, box->vname, n) != 0 ||
		    info->vname[n] != separator)
			continue;
		T_BEGIN
		{
			ret = one_take(hold, info->vname + n, until_ms);
		}
		T_END;
	}
	/* Dovecot will fail at it, too, and say so. */
	(void)mailbox_list_iter_deinit(&iter);
	return ret;
}

int hold_take(struct hold *hold, struct mailbox *box, bool has_children)
{
	int64_t until_ms = mbj_monotonic_ms() + WAIT_MS;

	*hold = (struct hold){.box = box};
	if (strcmp(box->storage->name, MAILDIR_STORAGE_NAME) != 0)
		return 0;
	hold->pool = pool_alloconly_create("mbj hold", 1024);
	p_array_init(&hold->locks, hold->pool, 8);
	if (one_take(hold, "", until_ms) == 0 &&
	    (!has_children || children_take(hold, until_ms) == 0))
		return 0;
	(void)hold_drop(hold, box);
	mail_storage_set_error(box->storage, MAIL_ERROR_INUSE,
			       MAIL_ERRSTR_LOCK_TIMEOUT);
	return -1;
}

static bool lock_drop(struct mailbox *box, const struct held_lock *lock)
{
	const char *uidlist = uidlist_path(box, lock->below), *path;
	struct stat st;

	if (uidlist == NULL)
		return false;
	path = lock_path(uidlist);
	if (lstat(path, &st) < 0 || st.st_ino != lock->ino ||
	    st.st_dev != lock->dev)
		return false;
	if (unlink(path) < 0 && errno != ENOENT)
		e_error(box->event, "mbj: unlink(%s) failed: %s", path,
			strerror(errno));
	return true;
}

bool hold_drop(struct hold *hold, struct mailbox *target)
{
	const struct held_lock *lock;
	bool has_left = false;

	if (hold->pool == NULL)
		return true;
	array_foreach(&hold->locks, lock)
	{
		T_BEGIN
		{
			if (!lock_drop(target, lock))
				has_left |= lock_drop(hold->box, lock);
		}
		T_END;
	}
	pool_unref(&hold->pool);
	return !has_left;
}
