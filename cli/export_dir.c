/*
 * The mark: the account's id, then a name of a folder a line, each ending with
 * LF.  It is replaced as a whole, by what it was and what this run adds, before
 * the run makes anything.
 *
 * Invariant: nothing is removed but what the mark names and what is called as
 * nobody but an export calls it.  A folder that has anything else stays.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "export_dir.h"

/* ------------------------------------------------------------------ names */

void export_names_init(struct export_names *names)
{
	*names = (struct export_names){.count = 0};
	mbj_buf_init(&names->text, MBJ_MAILDIR_LIST_MAX);
}

void export_names_done(struct export_names *names)
{
	mbj_buf_done(&names->text);
	mbj_free(names->names);
	mbj_free(names->is_wanted);
}

static int name_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum mbj_rc export_names_sort(struct export_names *names, struct mbj_error *err)
{
	const struct mbj_buf *text = &names->text;
	size_t count = 0;
	enum mbj_rc rc = mbj_buf_ok(text, err);

	if (rc < 0)
		return rc;
	for (size_t i = 0; i < text->n; i++)
		count += text->p[i] == '\0';
	names->names = mbj_calloc(count + 1, sizeof(*names->names));
	names->is_wanted = mbj_calloc(count + 1, sizeof(*names->is_wanted));
	if (names->names == NULL || names->is_wanted == NULL)
		return mbj_error_nomem(err);
	for (const char *name = mbj_names_next(text, NULL); name != NULL;
	     name = mbj_names_next(text, name))
		names->names[names->count++] = name;
	qsort(names->names, count, sizeof(*names->names), name_order);
	return MBJ_OK;
}

bool export_names_want(struct export_names *names, const char *name)
{
	const char **found = NULL;

	if (names->count > 0)
		found = bsearch(&name, names->names, names->count,
				sizeof(*names->names), name_order);
	if (found == NULL)
		return false;
	names->is_wanted[found - names->names] = true;
	return true;
}

const char *export_names_want_base(struct export_names *names, const char *base)
{
	size_t low = 0, high = names->count, n = strlen(base);

	/* Whatever begins with it lies together. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(names->names[middle], base) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < names->count && strncmp(names->names[low], base, n) == 0;
	     low++) {
		char end = names->names[low][n];

		if (names->is_wanted[low] || (end != ':' && end != '\0'))
			continue;
		names->is_wanted[low] = true;
		return names->names[low];
	}
	return NULL;
}

bool export_name_is_ours(const char *name)
{
	static const char digits[] = "0123456789";
	static const struct {
		const char *before;
		const char *bytes;
	} parts[] = {
		{"", digits},	       {".U", digits},
		{"V", digits},	       {"D", "0123456789abcdef"},
		{EXPORT_HOST, digits},
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t n = strlen(parts[i].before);

		if (strncmp(name, parts[i].before, n) != 0)
			return false;
		name += n;
		n = strspn(name, parts[i].bytes);
		if (n == 0)
			return false;
		name += n;
	}
	return *name == '\0' || *name == ':';
}

/* --------------------------------------------------------------- the mark */

/* A folder's name, as a run of ours may have put it into the mark. */
static bool line_is_folder(struct mbj_bytes line)
{
	return line.n >= 2 && line.n <= MBJ_MAILDIR_NAME_MAX &&
	       line.p[0] == '.' && line.p[1] != '.' &&
	       memchr(line.p, '/', line.n) == NULL &&
	       memchr(line.p, '\0', line.n) == NULL;
}

static bool line_next(struct mbj_bytes *rest, struct mbj_bytes *ret_line)
{
	const uint8_t *end =
		rest->n > 0 ? memchr(rest->p, '\n', rest->n) : NULL;

	if (end == NULL)
		return false;
	*ret_line = mbj_bytes_make(rest->p, (size_t)(end - rest->p));
	*rest = mbj_bytes_make(end + 1, rest->n - ret_line->n - 1);
	return true;
}

/* Whether it is this account's, and the folders that it names. */
static enum mbj_rc mark_read(const struct export_dir *dir,
			     struct export_names *left, bool *ret_is_ours,
			     struct mbj_error *err)
{
	char id[MBJ_ID_TEXT_SIZE];
	struct mbj_bytes rest, line;
	struct mbj_buf text;
	bool is_there;

	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	is_there = mbj_maildir_list_load(dir->sys, dir->path, MAIL_EXPORT_MARK,
					 &text, err);
	mbj_id_print(dir->account, id);
	rest = mbj_buf_view(&text);
	*ret_is_ours = is_there && line_next(&rest, &line) &&
		       mbj_bytes_equal(line, mbj_bytes_str(id));
	while (*ret_is_ours && line_next(&rest, &line)) {
		if (!line_is_folder(line))
			continue;
		mbj_buf_put_bytes(&left->text, line);
		mbj_buf_put_u8(&left->text, 0);
	}
	mbj_buf_done(&text);
	return is_there ? MBJ_OK : err->rc;
}

/* What was left, and what is now. */
static enum mbj_rc mark_write(const struct export_dir *dir,
			      struct export_names *left,
			      const struct export_names *folders,
			      struct mbj_error *err)
{
	char id[MBJ_ID_TEXT_SIZE];
	struct mbj_buf text;
	enum mbj_rc rc;

	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	mbj_id_print(dir->account, id);
	mbj_buf_format(&text, "%s\n", id);
	for (size_t i = 0; i < left->count; i++)
		mbj_buf_format(&text, "%s\n", left->names[i]);
	for (size_t i = 0; i < folders->count; i++)
		if (!export_names_want(left, folders->names[i]))
			mbj_buf_format(&text, "%s\n", folders->names[i]);
	rc = mbj_buf_ok(&text, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(dir->sys, dir->path, MAIL_EXPORT_MARK,
				      mbj_buf_view(&text), err);
	mbj_buf_done(&text);
	return rc;
}

/* ----------------------------------------------------- what is left of runs */

static bool is_dir(const struct mbj_sys *sys, const char *path)
{
	mode_t mode;
	uid_t uid;

	return sys->stat(sys->ctx, path, &mode, &uid) == 0 && S_ISDIR(mode);
}

enum mbj_rc export_part_sweep(const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	bool is_changed = false;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	rc = mbj_dir_list(sys, dir, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (!export_name_is_ours(name))
			continue;
		is_changed = true;
		rc = mbj_path_join(path, dir, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(sys, path, err);
	}
	mbj_buf_done(&names);
	return rc == MBJ_OK && is_changed ? mbj_dir_sync(sys, dir, err) : rc;
}

/* What a folder of ours has beside messages, parts last. */
static const char *const folder_entries[] = {
	MBJ_MAILDIR_UIDLIST,
	MBJ_MAILDIR_KEYWORDS,
	MBJ_MAILDIR_ACL,
	"maildirfolder",
	MBJ_MAILDIR_UIDLIST ".new",
	MBJ_MAILDIR_KEYWORDS ".new",
	MBJ_MAILDIR_ACL ".new",
	"cur",
	"new",
	"tmp",
};

enum {
	ENTRY_COUNT = sizeof(folder_entries) / sizeof(folder_entries[0]),
	PART_FIRST = ENTRY_COUNT - 3,
};

/* Without messages of ours, and with nothing that we do not make. */
static enum mbj_rc folder_look(const struct mbj_sys *sys, const char *folder,
			       bool *ret_is_bare, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	rc = mbj_dir_list(sys, folder, &names, err);
	*ret_is_bare = true;
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		size_t i = 0;

		while (i < ENTRY_COUNT && strcmp(name, folder_entries[i]) != 0)
			i++;
		*ret_is_bare &= i < ENTRY_COUNT;
	}
	for (size_t i = PART_FIRST; rc == MBJ_OK && i < ENTRY_COUNT; i++) {
		rc = mbj_path_join(path, folder, folder_entries[i], err);
		if (rc < 0 || !mbj_path_exists(sys, path))
			continue;
		if (!is_dir(sys, path)) {
			*ret_is_bare = false;
			continue;
		}
		mbj_buf_clear(&names);
		if (i != PART_FIRST + 1)
			rc = export_part_sweep(sys, path, err);
		if (rc == MBJ_OK)
			rc = mbj_dir_list(sys, path, &names, err);
		*ret_is_bare &= names.n == 0;
	}
	mbj_buf_done(&names);
	return rc;
}

static enum mbj_rc dir_remove(const struct mbj_sys *sys, const char *path,
			      struct mbj_error *err)
{
	int code = sys->rmdir(sys->ctx, path);

	return code < 0 ? mbj_error_errno(err, -code, "cannot remove", path)
			: MBJ_OK;
}

/* A folder of ours that no mailbox has any more. */
static enum mbj_rc folder_remove(const struct mbj_sys *sys, const char *folder,
				 struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	bool is_bare;
	enum mbj_rc rc;

	if (!is_dir(sys, folder))
		return MBJ_OK;
	rc = folder_look(sys, folder, &is_bare, err);
	if (rc < 0 || !is_bare)
		return rc;
	for (size_t i = 0; rc == MBJ_OK && i < ENTRY_COUNT; i++) {
		rc = mbj_path_join(path, folder, folder_entries[i], err);
		if (rc < 0)
			break;
		rc = i < PART_FIRST ? mbj_file_remove(sys, path, err)
				    : dir_remove(sys, path, err);
		if (rc == MBJ_ENOTFOUND)
			rc = MBJ_OK;
	}
	return rc == MBJ_OK ? dir_remove(sys, folder, err) : rc;
}

/* Folders that this run does not write, but whoever reads the Maildir reads. */
static enum mbj_rc strange_tell(const struct export_dir *dir,
				struct export_names *folders,
				struct mbj_error *err)
{
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	rc = mbj_maildir_folders(dir->sys, dir->path, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (!export_names_want(folders, name))
			mail_note(dir->report, name,
				  "no mailbox of the account is called so, and "
				  "it has what no export is known to have "
				  "written: it stays in %s",
				  dir->path);
	}
	mbj_buf_done(&names);
	return rc;
}

static enum mbj_rc left_sweep(const struct export_dir *dir,
			      const struct export_names *left,
			      struct export_names *folders,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0; rc == MBJ_OK && i < left->count; i++) {
		if (export_names_want(folders, left->names[i]))
			continue;
		rc = mbj_path_join(path, dir->path, left->names[i], err);
		if (rc == MBJ_OK)
			rc = folder_remove(dir->sys, path, err);
	}
	return rc == MBJ_OK ? strange_tell(dir, folders, err) : rc;
}

/* ---------------------------------------------------------- the directory */

/* Nothing of anybody's is touched. */
static enum mbj_rc dir_check(const struct export_dir *dir,
			     struct export_names *left, struct mbj_error *err)
{
	struct mbj_buf names;
	bool is_ours = true;
	enum mbj_rc rc;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	rc = mbj_dir_list(dir->sys, dir->path, &names, err);
	/* A mark on its way in, alone, is no more than nothing. */
	if (rc == MBJ_OK && names.n > 0 &&
	    (names.n != sizeof(MAIL_EXPORT_MARK ".new") ||
	     memcmp(names.p, MAIL_EXPORT_MARK ".new", names.n) != 0))
		rc = mark_read(dir, left, &is_ours, err);
	mbj_buf_done(&names);
	if (rc == MBJ_OK && !is_ours)
		return mbj_error_set(err, MBJ_EEXISTS,
				     "%s is not empty, and no unfinished "
				     "export of this account",
				     dir->path);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* The directory that holds dir, so that its name can be synced. */
static enum mbj_rc parent_sync(const struct export_dir *dir,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = strlen(dir->path);

	if (n >= sizeof(path))
		return mbj_error_set(err, MBJ_ELIMIT, "a path is too long: %s",
				     dir->path);
	memcpy(path, dir->path, n + 1);
	while (n > 1 && path[n - 1] == '/')
		n--;
	while (n > 0 && path[n - 1] != '/')
		n--;
	path[n] = '\0';
	return mbj_dir_sync(dir->sys, n > 0 ? path : ".", err);
}

static enum mbj_rc dir_make(const struct export_dir *dir, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_dir_make(dir->sys, dir->path, err);

	if (rc == MBJ_OK)
		rc = parent_sync(dir, err);
	return rc == MBJ_EEXISTS ? MBJ_OK : rc;
}

/*
 * Two runs would take each other's messages for those of a run that was killed,
 * and the first to end would say that both are complete.  Where a directory
 * cannot be locked, as on some NFS, nobody watches.
 */
static enum mbj_rc dir_lock(struct export_dir *dir, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_file_open(dir->sys, dir->path,
				       O_RDONLY | O_DIRECTORY, &dir->lock, err);

	if (rc < 0)
		return rc;
	rc = mbj_file_lock(&dir->lock, err);
	return rc == MBJ_EBUSY ? rc : MBJ_OK;
}

enum mbj_rc export_dir_begin(struct export_dir *dir,
			     struct export_names *folders, bool is_dry_run,
			     struct mbj_error *err)
{
	struct export_names left;
	enum mbj_rc rc = MBJ_OK;

	export_names_init(&left);
	if (!is_dry_run) {
		rc = dir_make(dir, err);
		if (rc == MBJ_OK)
			rc = dir_lock(dir, err);
	}
	if (rc == MBJ_OK)
		rc = dir_check(dir, &left, err);
	if (rc == MBJ_OK && !is_dry_run) {
		rc = export_names_sort(&left, err);
		if (rc == MBJ_OK)
			rc = mark_write(dir, &left, folders, err);
		if (rc == MBJ_OK)
			rc = left_sweep(dir, &left, folders, err);
	}
	export_names_done(&left);
	return rc;
}

enum mbj_rc export_dir_end(const struct export_dir *dir, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mbj_path_join(path, dir->path, MAIL_EXPORT_MARK, err);

	if (rc == MBJ_OK)
		rc = mbj_dir_sync(dir->sys, dir->path, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(dir->sys, path, err);
	return rc == MBJ_OK ? mbj_dir_sync(dir->sys, dir->path, err) : rc;
}

void export_dir_done(struct export_dir *dir)
{
	mbj_file_close(&dir->lock);
}
