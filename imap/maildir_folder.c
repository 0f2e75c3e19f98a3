/*
 * Reading a folder: its lists, then cur and new, joined by the bases of names.
 *
 * Somebody may be changing flags (renames) or delivering meanwhile: a message
 * that is listed under two names, one of them gone, stands here once, and
 * reading what is gone finds what it is called by now; one that came after the
 * listing is not here.
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

#include <mbj/check.h>
#include <mbj/maildir.h>

enum { LIST_STEP = 4096 };

struct entry {
	const char *name;
	uint32_t uid; /* 0: none */
	uint32_t base_n;
	bool is_new; /* in new, not in cur */
};

struct mbj_maildir_folder {
	const struct mbj_sys *sys;
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_uidlist uidlist;
	struct mbj_bytes words[MBJ_MAILDIR_LETTERS];
	struct mbj_buf words_text;
	struct mbj_buf names[2]; /* of cur, of new */
	struct entry *entries;
	size_t count;
	struct mbj_buf keywords[2]; /* the second is scratch */
};

static struct mbj_bytes entry_base(const struct entry *entry)
{
	return mbj_bytes_make(entry->name, entry->base_n);
}

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
	for (size_t at = 0; rc == MBJ_OK && at < all.n;) {
		const char *name = (const char *)all.p + at;

		at += strlen(name) + 1;
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

/* ---------------------------------------------------------------- entries */

static int by_base(const void *a, const void *b)
{
	const struct entry *one = a, *two = b;
	int order = mbj_bytes_compare(entry_base(one), entry_base(two));

	/* Twice the same base: cur before new, so that runs agree. */
	if (order == 0 && one->is_new != two->is_new)
		return one->is_new ? 1 : -1;
	return order != 0 ? order : strcmp(one->name, two->name);
}

static int by_place(const void *a, const void *b)
{
	const struct entry *one = a, *two = b;
	int order;

	if (one->uid != two->uid) {
		/* 0 is behind all others. */
		if (one->uid == 0 || two->uid == 0)
			return one->uid == 0 ? 1 : -1;
		return one->uid < two->uid ? -1 : 1;
	}
	order = mbj_maildir_name_compare(entry_base(one), entry_base(two));
	return order != 0 ? order : by_base(a, b);
}

/* The first entry of a base, or NULL. */
static struct entry *entry_find(const struct mbj_maildir_folder *folder,
				struct mbj_bytes base)
{
	size_t low = 0, high = folder->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mbj_bytes_compare(entry_base(&folder->entries[middle]),
				      base) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == folder->count ||
	    !mbj_bytes_equal(entry_base(&folder->entries[low]), base))
		return NULL;
	return &folder->entries[low];
}

static enum mbj_rc entries_put(struct mbj_maildir_folder *folder, bool is_new,
			       size_t *capacity, struct mbj_error *err)
{
	const struct mbj_buf *names = &folder->names[is_new];

	for (size_t at = 0; at < names->n;) {
		const char *name = (const char *)names->p + at;
		struct mbj_maildir_name parsed;
		void *entries = folder->entries;
		enum mbj_rc rc;

		at += strlen(name) + 1;
		/* What begins with a '.' is no message, says the format. */
		if (name[0] == '.')
			continue;
		rc = mbj_array_reserve(&entries, capacity, folder->count + 1,
				       sizeof(*folder->entries),
				       MBJ_MAILDIR_MESSAGES_MAX, err);
		folder->entries = entries;
		if (rc < 0)
			return rc;
		mbj_maildir_name_parse(mbj_bytes_str(name), &parsed);
		folder->entries[folder->count++] =
			(struct entry){.name = name,
				       .base_n = (uint32_t)parsed.base.n,
				       .is_new = is_new};
	}
	return MBJ_OK;
}

static enum mbj_rc message_path(const struct mbj_maildir_folder *folder,
				bool is_new, const char *name,
				char path[MBJ_PATH_TEXT_MAX],
				struct mbj_error *err)
{
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(dir, folder->dir, is_new ? "new" : "cur", err);
	return rc == MBJ_OK ? mbj_path_join(path, dir, name, err) : rc;
}

/*
 * First new, then cur, the way that messages go: what moves meanwhile is in
 * both lists, not in none.
 */
static enum mbj_rc entries_list(struct mbj_maildir_folder *folder,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t capacity = 0;
	int missing = 0;
	enum mbj_rc rc = MBJ_OK;

	for (int is_new = 1; rc == MBJ_OK && is_new >= 0; is_new--) {
		rc = mbj_path_join(path, folder->dir, is_new ? "new" : "cur",
				   err);
		if (rc == MBJ_OK)
			rc = mbj_dir_list(folder->sys, path,
					  &folder->names[is_new], err);
		if (rc == MBJ_ENOTFOUND && ++missing < 2)
			rc = MBJ_OK;
		else if (rc == MBJ_OK)
			rc = entries_put(folder, is_new != 0, &capacity, err);
	}
	return rc;
}

static bool entry_is_there(const struct mbj_maildir_folder *folder,
			   const struct entry *entry)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	return message_path(folder, entry->is_new, entry->name, path, &err) <
		       0 ||
	       mbj_path_exists(folder->sys, path);
}

/*
 * Of entries with one base, which lie together, those that are gone: somebody
 * gave the message another name while it was listed.  One of them stays, since
 * reading it finds what it is called by now.
 */
static void twins_settle(struct mbj_maildir_folder *folder)
{
	struct entry *entries = folder->entries;
	size_t kept = 0;

	for (size_t i = 0, end; i < folder->count; i = end) {
		size_t before = kept;

		for (end = i + 1; end < folder->count &&
				  mbj_bytes_equal(entry_base(&entries[end]),
						  entry_base(&entries[i]));)
			end++;
		for (size_t k = i; k < end; k++)
			if (end - i == 1 || entry_is_there(folder, &entries[k]))
				entries[kept++] = entries[k];
		if (kept == before)
			entries[kept++] = entries[i];
	}
	folder->count = kept;
}

/* The lines of the list give their UIDs to the entries of their bases. */
static void uids_give(struct mbj_maildir_folder *folder)
{
	struct mbj_bytes line;
	uint32_t uid;

	while (mbj_uidlist_next(&folder->uidlist, &uid, &line)) {
		struct mbj_maildir_name name;
		struct entry *entry;

		mbj_maildir_name_parse(line, &name);
		entry = entry_find(folder, name.base);
		if (entry != NULL && entry->uid == 0)
			entry->uid = uid;
	}
}

static void entries_sort(struct mbj_maildir_folder *folder,
			 int (*order)(const void *, const void *))
{
	if (folder->count > 0)
		qsort(folder->entries, folder->count, sizeof(struct entry),
		      order);
}

/* What is wrong with a list is told, and costs the list alone. */
static void lists_load(struct mbj_maildir_folder *folder,
		       bool *ret_has_list_error, struct mbj_error *err)
{
	struct mbj_buf text;
	struct mbj_error why;

	*ret_has_list_error = false;
	mbj_buf_init(&text, MBJ_MAILDIR_LIST_MAX);
	if (mbj_maildir_list_load(folder->sys, folder->dir, MBJ_MAILDIR_UIDLIST,
				  &text, &why) &&
	    mbj_uidlist_begin(mbj_buf_view(&text), &folder->uidlist, &why) ==
		    MBJ_OK)
		uids_give(folder);
	/* Its lines are used up, and go with the text. */
	folder->uidlist.rest = (struct mbj_bytes){NULL, 0};
	mbj_buf_done(&text);
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
	mbj_buf_init(&folder->words_text, MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&folder->names[0], MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&folder->names[1], MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&folder->keywords[0], 2 * MBJ_KEYWORDS_MAX);
	mbj_buf_init(&folder->keywords[1], 2 * MBJ_KEYWORDS_MAX);
	if (strlen(dir) >= sizeof(folder->dir))
		rc = mbj_error_set(err, MBJ_ELIMIT, "a path is too long: %s",
				   dir);
	if (rc == MBJ_OK) {
		memcpy(folder->dir, dir, strlen(dir) + 1);
		rc = entries_list(folder, err);
	}
	if (rc < 0) {
		mbj_maildir_folder_close(&folder);
		return rc;
	}
	entries_sort(folder, by_base);
	twins_settle(folder);
	lists_load(folder, ret_has_list_error, err);
	entries_sort(folder, by_place);
	*ret_folder = folder;
	return MBJ_OK;
}

void mbj_maildir_folder_close(struct mbj_maildir_folder **folder)
{
	if (*folder == NULL)
		return;
	for (int i = 0; i < 2; i++) {
		mbj_buf_done(&(*folder)->names[i]);
		mbj_buf_done(&(*folder)->keywords[i]);
	}
	mbj_buf_done(&(*folder)->words_text);
	mbj_free((*folder)->entries);
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
	return folder->count;
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
	const struct entry *entry = &folder->entries[index];
	struct mbj_maildir_message message = {.uid = entry->uid};
	struct mbj_maildir_name name;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(index < folder->count);
	mbj_maildir_name_parse(mbj_bytes_str(entry->name), &name);
	message.flags = name.flags;
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
	const struct entry *entry = &folder->entries[index];

	MBJ_ASSERT(index < folder->count);
	return message_path(folder, entry->is_new, entry->name, path, err);
}

/* What a message's base is called now; false: nothing. */
static enum mbj_rc path_again(const struct mbj_maildir_folder *folder,
			      const struct entry *entry,
			      char path[MBJ_PATH_TEXT_MAX],
			      struct mbj_error *err)
{
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = MBJ_OK;
	struct mbj_buf names;
	bool is_found = false;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	for (int is_new = 0; rc == MBJ_OK && !is_found && is_new < 2;
	     is_new++) {
		rc = mbj_path_join(dir, folder->dir, is_new ? "new" : "cur",
				   err);
		mbj_buf_clear(&names);
		if (rc == MBJ_OK)
			rc = mbj_dir_list(folder->sys, dir, &names, err);
		for (size_t at = 0; rc == MBJ_OK && !is_found && at < names.n;
		     at += strlen((const char *)names.p + at) + 1) {
			const char *name = (const char *)names.p + at;
			struct mbj_maildir_name parsed;

			mbj_maildir_name_parse(mbj_bytes_str(name), &parsed);
			is_found =
				mbj_bytes_equal(parsed.base, entry_base(entry));
			if (is_found)
				rc = mbj_path_join(path, dir, name, err);
		}
	}
	mbj_buf_done(&names);
	if (rc == MBJ_OK && !is_found)
		rc = mbj_error_set(err, MBJ_ENOTFOUND, "it is gone");
	return rc;
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
	if (rc != MBJ_ENOTFOUND)
		return rc;
	rc = path_again(folder, &folder->entries[index], path, err);
	return rc == MBJ_OK ? message_open(folder->sys, path, ret_file, err)
			    : rc;
}
