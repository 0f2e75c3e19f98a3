/*
 * Writing a folder: each message by way of tmp, its bytes and time on disk
 * before it gets its name in cur; the lists behind them all.
 *
 * A run that was killed is repeated: what has its name is complete, what is in
 * tmp is written again.
 *
 * Threads: stateless.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <mbj/check.h>
#include <mbj/maildir.h>

/* What is behind a link is not ours to write to, nor to remove from. */
static enum mbj_rc dir_make(const struct mbj_sys *sys, const char *path,
			    bool may_be_link, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_dir_make(sys, path, err);
	mode_t mode;
	uid_t uid;

	if (rc != MBJ_EEXISTS)
		return rc;
	if (may_be_link ||
	    (sys->stat(sys->ctx, path, &mode, &uid) == 0 && S_ISDIR(mode)))
		return MBJ_OK;
	return mbj_error_errno(err, ENOTDIR, "cannot write mail into", path);
}

enum mbj_rc mbj_maildir_folder_make(const struct mbj_sys *sys, const char *dir,
				    bool is_inbox, struct mbj_error *err)
{
	static const char *const parts[] = {"cur", "new", "tmp"};
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = dir_make(sys, dir, is_inbox, err);

	for (size_t i = 0; rc == MBJ_OK && i < 3; i++) {
		rc = mbj_path_join(path, dir, parts[i], err);
		if (rc == MBJ_OK)
			rc = dir_make(sys, path, false, err);
	}
	if (rc < 0 || is_inbox)
		return rc;
	/* An empty file that tells those who deliver where they are. */
	rc = mbj_path_join(path, dir, "maildirfolder", err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path,
				   O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK,
				   &file, err);
	mbj_file_close(&file);
	return rc;
}

static enum mbj_rc path_make(const char *dir, const char *part,
			     const char *name, char path[MBJ_PATH_TEXT_MAX],
			     struct mbj_error *err)
{
	char below[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(below, dir, part, err);

	return rc == MBJ_OK ? mbj_path_join(path, below, name, err) : rc;
}

enum mbj_rc mbj_maildir_message_begin(const struct mbj_sys *sys,
				      const char *dir, const char *base,
				      struct mbj_file *ret_file,
				      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = path_make(dir, "tmp", base, path, err);

	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, path, O_WRONLY | O_CREAT | O_TRUNC,
				   ret_file, err);
	return rc;
}

enum mbj_rc mbj_maildir_message_finish(struct mbj_file *file, const char *dir,
				       const char *name, int64_t time,
				       bool *ret_has_time,
				       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	int64_t got = time;
	enum mbj_rc rc = path_make(dir, "cur", name, path, err);

	if (rc == MBJ_OK)
		rc = mbj_file_set_time(file, time, err);
	/* What is out of its range a file system cuts without a word. */
	if (rc == MBJ_OK)
		rc = mbj_file_time(file, &got, err);
	if (rc == MBJ_OK)
		rc = mbj_file_sync_all(file, err);
	mbj_file_close(file);
	if (rc == MBJ_OK)
		rc = mbj_file_rename(file->sys, file->path, path, err);
	if (rc == MBJ_OK)
		*ret_has_time = got == time;
	return rc;
}

/* Times of 32 bits every file system has. */
static enum mbj_rc time_look(const struct mbj_sys *sys, const char *path,
			     int64_t time, bool *ret_has_time,
			     struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	int64_t got = time;
	enum mbj_rc rc = MBJ_OK;

	if (time < 0 || time > INT32_MAX) {
		rc = mbj_file_open(sys, path,
				   O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &file,
				   err);
		if (rc == MBJ_OK)
			rc = mbj_file_time(&file, &got, err);
		mbj_file_close(&file);
	}
	*ret_has_time = got == time;
	return rc;
}

enum mbj_rc mbj_maildir_message_again(const struct mbj_sys *sys,
				      const char *dir, const char *old,
				      const char *name, int64_t time,
				      bool *ret_has_time, struct mbj_error *err)
{
	char from[MBJ_PATH_TEXT_MAX], to[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = path_make(dir, "cur", old, from, err);

	if (rc == MBJ_OK)
		rc = path_make(dir, "cur", name, to, err);
	if (rc == MBJ_OK && strcmp(old, name) != 0)
		rc = mbj_file_rename(sys, from, to, err);
	return rc == MBJ_OK ? time_look(sys, to, time, ret_has_time, err) : rc;
}

static enum mbj_rc list_remove(const struct mbj_sys *sys, const char *dir,
			       const char *name, const char *suffix,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, name, err);

	if (rc == MBJ_OK && strlen(path) + strlen(suffix) >= sizeof(path))
		rc = mbj_error_set(err, MBJ_ELIMIT, "a path is too long: %s",
				   path);
	if (rc < 0)
		return rc;
	memcpy(path + strlen(path), suffix, strlen(suffix) + 1);
	rc = mbj_file_remove(sys, path, err);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_maildir_list_write(const struct mbj_sys *sys, const char *dir,
				   const char *name, struct mbj_bytes text,
				   struct mbj_error *err)
{
	enum mbj_rc rc;

	if (text.n > 0)
		return mbj_file_replace(sys, dir, name, text, err);
	rc = list_remove(sys, dir, name, "", err);
	/* As mbj_file_replace calls what it had not done with. */
	return rc == MBJ_OK ? list_remove(sys, dir, name, ".new", err) : rc;
}

enum mbj_rc mbj_maildir_folder_end(const struct mbj_sys *sys, const char *dir,
				   struct mbj_bytes uidlist,
				   struct mbj_bytes keywords,
				   struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir, "cur", err);

	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, path, err);
	if (rc == MBJ_OK)
		rc = mbj_maildir_list_write(sys, dir, MBJ_MAILDIR_KEYWORDS,
					    keywords, err);
	/* Syncs the folder, and with it the names of its parts. */
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, dir, MBJ_MAILDIR_UIDLIST, uidlist,
				      err);
	return rc;
}
