/*
 * Reading a folder: its lists, then cur and new, joined by the bases of names.
 *
 * Somebody may be changing flags (renames) or delivering meanwhile: a message
 * that is listed under two names, one of them gone, stands here once, and
 * reading what is gone finds what it is called by now; one that came after the
 * listing is not here.  A listing may also have neither name of what is renamed
 * behind its back, so that there are several, until one has nothing new.
 *
 * Invariants:
 *   1. entries with a UID come first, UIDs rise; the order of the others is
 * that of their names alone: two readings of the same files agree;
 *   2. nothing in tmp is looked at, no symbolic link followed, no device
 * opened.
 *
 * Threads: one at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "maildir_entries.h"
#include <mbj/check.h>

enum {
	LIST_STEP = 4096,
	/* Of a message, each but the first behind a listing. */
	OPENS_MAX = 3,
};

struct mbj_maildir_folder {
	const struct mbj_sys *sys;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_uidlist uidlist;
	struct mbj_buf list_text; /* of it, for GUIDs */
	struct mbj_bytes words[MBJ_MAILDIR_LETTERS];
	struct mbj_buf words_text;
	struct maildir_entries entries;
	struct mbj_buf keywords[2]; /* the second is scratch */
};

/* ------------------------------------------------------------------ lists */

static bool mode_is(const struct mbj_sys *sys, const char *path, mode_t type)
{
	mode_t mode;
	uid_t uid;

	return sys->stat(sys->ctx, path, &mode, &uid) == 0 &&
	       (mode & S_IFMT) == type;
}

/* No link, and no waiting, should it have become another meanwhile. */
static enum mbj_rc list_read(const struct mbj_sys *sys, const char *path,
			     struct mbj_buf *text, struct mbj_error *err)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	uint8_t step[LIST_STEP];
	size_t got = sizeof(step);
	enum mbj_rc rc;

	rc = mbj_file_open(sys, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &file,
			   err);
	for (uint64_t at = 0; rc == MBJ_OK && got == sizeof(step); at += got) {
		rc = mbj_file_read(&file, at, step, sizeof(step), &got, err);
		if (rc < 0)
			break;
		mbj_buf_put(text, step, got);
		rc = mbj_buf_ok(text, err);
		if (rc < 0)
			(void)mbj_error_prefix(err, rc, "%s", path);
	}
	mbj_file_close(&file);
	if (rc < 0)
		mbj_buf_clear(text);
	return rc;
}

bool mbj_maildir_list_load(const struct mbj_sys *sys, const char *dir,
			   const char *name, struct mbj_buf *ret_text,
			   struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];

	memset(err, 0, sizeof(*err));
	if (mbj_path_join(path, dir, name, err) < 0)
		return false;
	if (!mbj_path_exists(sys, path))
		return false;
	if (!mode_is(sys, path, S_IFREG)) {
		(void)mbj_error_set(err, MBJ_EINVALID,
				    "it is no regular file: %s", path);
		return false;
	}
	return list_read(sys, path, ret_text, err) == MBJ_OK;
}

enum mbj_rc mbj_maildir_folders(const struct mbj_sys *sys, const char *dir,
				struct mbj_buf *ret_names,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf all;
	enum mbj_rc rc;

	mbj_buf_init(&all, MBJ_MAILDIR_LIST_MAX);
	mbj_buf_clear(ret_names);
	rc = mbj_dir_list(sys, dir, &all, err);
	for (const char *name = mbj_names_next(&all, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(&all, name)) {
		if (name[0] != '.')
			continue;
		rc = mbj_path_join(path, dir, name, err);
		if (rc == MBJ_OK && (mode_is(sys, path, S_IFDIR) ||
				     mode_is(sys, path, S_IFLNK)))
			mbj_buf_put(ret_names, name, strlen(name) + 1);
	}
	mbj_buf_done(&all);
	return rc == MBJ_OK ? mbj_buf_ok(ret_names, err) : rc;
}

/* The lines of the list give UIDs and GUIDs to the entries of their bases. */
static void uids_give(struct mbj_maildir_folder *folder)
{
	struct mbj_uidlist_line line;

	while (mbj_uidlist_next(&folder->uidlist, &line)) {
		struct mbj_maildir_name name;
		struct maildir_entry *entry;

		mbj_maildir_name_parse(line.name, &name);
		entry = maildir_entries_find(&folder->entries, name.base);
		if (entry == NULL || entry->uid != 0)
			continue;
		entry->uid = line.uid;
		entry->guid = line.guid;
	}
}

/* What is wrong with a list is told, and costs the list alone. */
static void lists_load(struct mbj_maildir_folder *folder,
		       bool *ret_has_list_error, struct mbj_error *err)
{
	struct mbj_error why;

	*ret_has_list_error = false;
	if (mbj_maildir_list_load(folder->sys, folder->dir, MBJ_MAILDIR_UIDLIST,
				  &folder->list_text, &why) &&
	    mbj_uidlist_begin(mbj_buf_view(&folder->list_text),
			      &folder->uidlist, &why) == MBJ_OK)
		uids_give(folder);
	/* Its lines are used up. */
	folder->uidlist.rest = (struct mbj_bytes){NULL, 0};
	if (why.rc < 0) {
		*ret_has_list_error = true;
		(void)mbj_error_set(err, why.rc, "%s: %s", MBJ_MAILDIR_UIDLIST,
				    why.message);
	}
	if (mbj_maildir_list_load(folder->sys, folder->dir,
				  MBJ_MAILDIR_KEYWORDS, &folder->words_text,
				  &why))
		mbj_maildir_keywords_parse(mbj_buf_view(&folder->words_text),
					   folder->words);
	if (why.rc < 0 && !*ret_has_list_error) {
		*ret_has_list_error = true;
		(void)mbj_error_set(err, why.rc, "%s: %s", MBJ_MAILDIR_KEYWORDS,
				    why.message);
	}
}

enum mbj_rc mbj_maildir_folder_open(const struct mbj_sys *sys, const char *dir,
				    struct mbj_maildir_folder **ret_folder,
				    bool *ret_has_list_error,
				    struct mbj_error *err)
{
	struct mbj_maildir_folder *folder = mbj_calloc(1, sizeof(*folder));
	enum mbj_rc rc = MBJ_OK;

	if (folder == NULL)
		return mbj_error_nomem(err);
	folder->sys = sys;
	mbj_buf_init(&folder->list_text, MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&folder->words_text, MBJ_MAILDIR_LIST_MAX);
	maildir_entries_init(&folder->entries, sys, folder->dir);
	mbj_buf_init(&folder->keywords[0], 2 * MBJ_KEYWORDS_MAX);
	mbj_buf_init(&folder->keywords[1], 2 * MBJ_KEYWORDS_MAX);
	if (strlen(dir) >= sizeof(folder->dir))
		rc = mbj_error_set(err, MBJ_ELIMIT, "a path is too long: %s",
				   dir);
	if (rc == MBJ_OK) {
		memcpy(folder->dir, dir, strlen(dir) + 1);
		rc = maildir_entries_load(&folder->entries, err);
	}
	if (rc < 0) {
		mbj_maildir_folder_close(&folder);
		return rc;
	}
	lists_load(folder, ret_has_list_error, err);
	maildir_entries_place(&folder->entries);
	*ret_folder = folder;
	return MBJ_OK;
}

void mbj_maildir_folder_close(struct mbj_maildir_folder **folder)
{
	if (*folder == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		mbj_buf_done(&(*folder)->keywords[i]);
	}
	mbj_buf_done(&(*folder)->list_text);
	mbj_buf_done(&(*folder)->words_text);
	maildir_entries_done(&(*folder)->entries);
	mbj_free(*folder);
	*folder = NULL;
}

const struct mbj_uidlist *
mbj_maildir_folder_uidlist(const struct mbj_maildir_folder *folder)
{
	return &folder->uidlist;
}

size_t mbj_maildir_folder_count(const struct mbj_maildir_folder *folder)
{
	return folder->entries.count;
}

/* --------------------------------------------------------------- messages */

static void keyword_add(struct mbj_maildir_folder *folder,
			struct mbj_bytes word)
{
	struct mbj_buf *now = &folder->keywords[0];
	struct mbj_buf *next = &folder->keywords[1];
	uint8_t one[MBJ_KEYWORD_MAX + 1];
	struct mbj_buf swap;

	MBJ_ASSERT(word.n <= MBJ_KEYWORD_MAX);
	memcpy(one, word.p, word.n);
	one[word.n] = '\0';
	mbj_buf_clear(next);
	mbj_keywords_change(mbj_buf_view(now), mbj_bytes_make(one, word.n + 1),
			    MBJ_FLAGS_ADD, next);
	swap = *now;
	*now = *next;
	*next = swap;
}

enum mbj_rc mbj_maildir_folder_get(struct mbj_maildir_folder *folder,
				   size_t index,
				   struct mbj_maildir_message *ret_message,
				   struct mbj_error *err)
{
	const struct maildir_entry *entry = &folder->entries.list[index];
	struct mbj_maildir_message message = {.uid = entry->uid};
	struct mbj_maildir_name name;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(index < folder->entries.count);
	mbj_maildir_name_parse(mbj_bytes_str(entry->name), &name);
	message.flags = name.flags;
	message.has_listed_guid = entry->guid.n > 0;
	message.guid = message.has_listed_guid ? entry->guid : name.base;
	if (!mbj_guid_is_good(message.guid))
		message.guid = (struct mbj_bytes){NULL, 0};
	mbj_buf_clear(&folder->keywords[0]);
	if (name.is_passed)
		keyword_add(folder, mbj_bytes_str("$Forwarded"));
	for (unsigned i = 0; rc == MBJ_OK && i < MBJ_MAILDIR_LETTERS; i++) {
		if (!(name.letters & 1u << i))
			continue;
		if (folder->words[i].n == 0)
			message.has_unknown_letters = true;
		else
			keyword_add(folder, folder->words[i]);
		rc = mbj_buf_ok(&folder->keywords[0], err);
	}
	if (rc < 0)
		return rc;
	message.keywords = mbj_buf_view(&folder->keywords[0]);
	*ret_message = message;
	return MBJ_OK;
}

enum mbj_rc mbj_maildir_folder_path(const struct mbj_maildir_folder *folder,
				    size_t index, char path[MBJ_PATH_TEXT_MAX],
				    struct mbj_error *err)
{
	const struct maildir_entry *entry = &folder->entries.list[index];

	MBJ_ASSERT(index < folder->entries.count);
	return maildir_entry_path(&folder->entries, entry, path, err);
}

static enum mbj_rc message_open(const struct mbj_sys *sys, const char *path,
				struct mbj_file *ret_file,
				struct mbj_error *err)
{
	mode_t mode;
	uid_t uid;
	int rc = sys->stat(sys->ctx, path, &mode, &uid);

	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot look at", path);
	if (S_ISLNK(mode))
		return mbj_error_set(err, MBJ_EINVALID,
				     "it is a symbolic link");
	if (!S_ISREG(mode))
		return mbj_error_set(err, MBJ_EINVALID,
				     "it is no regular file");
	/* Should it become one meanwhile: no link, no waiting. */
	return mbj_file_open(sys, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK,
			     ret_file, err);
}

enum mbj_rc mbj_maildir_folder_read(struct mbj_maildir_folder *folder,
				    size_t index, struct mbj_file *ret_file,
				    struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_maildir_folder_path(folder, index, path, err);
	if (rc == MBJ_OK)
		rc = message_open(folder->sys, path, ret_file, err);
	for (int i = 1; rc == MBJ_ENOTFOUND && i < OPENS_MAX; i++) {
		rc = maildir_entry_path_again(&folder->entries,
					      &folder->entries.list[index],
					      path, err);
		if (rc == MBJ_OK)
			rc = message_open(folder->sys, path, ret_file, err);
	}
	return rc;
}
