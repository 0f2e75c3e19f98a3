/*
 * Listing a folder that somebody may be using: a message may be renamed, for
 * its flags, or go from new to cur, while a directory is read, which then shows
 * it under both names, or under none.
 *
 * Threads: one at a time.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include <mbj/check.h>

#include "maildir_entries.h"

/*
 * Of 3000 messages that are renamed all the time one listing misses ten to a
 * hundred, and two none.
 */
enum { LISTINGS_MAX = 4 };

void maildir_entries_init(struct maildir_entries *entries,
			  const struct mbj_sys *sys, const char *dir)
{
	*entries = (struct maildir_entries){.sys = sys, .dir = dir};
	mbj_buf_init(&entries->names[0], MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&entries->names[1], MBJ_MAILDIR_LIST_MAX);
}

void maildir_entries_done(struct maildir_entries *entries)
{
	mbj_buf_done(&entries->names[0]);
	mbj_buf_done(&entries->names[1]);
	mbj_free(entries->list);
}

static struct mbj_bytes entry_base(const struct maildir_entry *entry)
{
	return mbj_bytes_make(entry->name, entry->base_n);
}

static int by_base(const void *a, const void *b)
{
	const struct maildir_entry *one = a, *two = b;
	int order = mbj_bytes_compare(entry_base(one), entry_base(two));

	/* Twice the same base: cur before new, so that runs agree. */
	if (order == 0 && one->is_new != two->is_new)
		return one->is_new ? 1 : -1;
	return order != 0 ? order : strcmp(one->name, two->name);
}

static int by_place(const void *a, const void *b)
{
	const struct maildir_entry *one = a, *two = b;
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

struct maildir_entry *
maildir_entries_find(const struct maildir_entries *entries,
		     struct mbj_bytes base)
{
	size_t low = 0, high = entries->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (mbj_bytes_compare(entry_base(&entries->list[middle]),
				      base) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == entries->count ||
	    !mbj_bytes_equal(entry_base(&entries->list[low]), base))
		return NULL;
	return &entries->list[low];
}

static enum mbj_rc entries_put(struct maildir_entries *entries, bool is_new,
			       size_t *capacity, struct mbj_error *err)
{
	const struct mbj_buf *names = &entries->names[is_new];

	for (const char *name = mbj_names_next(names, NULL); name != NULL;
	     name = mbj_names_next(names, name)) {
		struct mbj_maildir_name parsed;
		void *list = entries->list;
		enum mbj_rc rc;

		/* What begins with a '.' is no message, says the format. */
		if (name[0] == '.')
			continue;
		rc = mbj_array_reserve(&list, capacity, entries->count + 1,
				       sizeof(*entries->list),
				       MBJ_MAILDIR_MESSAGES_MAX, err);
		entries->list = list;
		if (rc < 0)
			return rc;
		mbj_maildir_name_parse(mbj_bytes_str(name), &parsed);
		entries->list[entries->count++] =
			(struct maildir_entry){.name = name,
					       .base_n =
						       (uint32_t)parsed.base.n,
					       .is_new = is_new};
	}
	return MBJ_OK;
}

static void entries_sort(struct maildir_entries *entries,
			 int (*order)(const void *, const void *))
{
	if (entries->count > 0)
		qsort(entries->list, entries->count,
		      sizeof(struct maildir_entry), order);
}

/* Whose mail is behind a link, whoever imports a Maildir cannot know. */
static enum mbj_rc link_refuse(const struct mbj_sys *sys, const char *dir,
			       struct mbj_error *err)
{
	mode_t mode;
	uid_t uid;

	return sys->stat(sys->ctx, dir, &mode, &uid) == 0 && S_ISLNK(mode)
		       ? mbj_error_set(err, MBJ_EINVALID,
				       "%s is a symbolic link", dir)
		       : MBJ_OK;
}

/*
 * The names in new or cur, none where there is no such directory; *ret_is_there
 * says that there is.
 */
static enum mbj_rc part_list(const struct maildir_entries *entries, bool is_new,
			     char dir[MBJ_PATH_TEXT_MAX],
			     struct mbj_buf *ret_names, bool *ret_is_there,
			     struct mbj_error *err)
{
	enum mbj_rc rc =
		mbj_path_join(dir, entries->dir, is_new ? "new" : "cur", err);

	mbj_buf_clear(ret_names);
	if (rc == MBJ_OK)
		rc = link_refuse(entries->sys, dir, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_list(entries->sys, dir, ret_names, err);
	*ret_is_there = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Those of found whose base no entry has. */
static void names_pick(const struct maildir_entries *entries,
		       const struct mbj_buf *found, struct mbj_buf *ret_fresh)
{
	for (const char *name = mbj_names_next(found, NULL); name != NULL;
	     name = mbj_names_next(found, name)) {
		struct mbj_maildir_name parsed;

		mbj_maildir_name_parse(mbj_bytes_str(name), &parsed);
		if (name[0] != '.' &&
		    maildir_entries_find(entries, parsed.base) == NULL)
			mbj_buf_put(ret_fresh, name, strlen(name) + 1);
	}
}

/*
 * What is in new and cur and no entry yet.  First new, then cur, the way that
 * messages go: what moves meanwhile is in both lists, not in none.
 */
static enum mbj_rc names_list(const struct maildir_entries *entries,
			      struct mbj_buf ret_fresh[2],
			      struct mbj_error *err)
{
	char dir[MBJ_PATH_TEXT_MAX];
	bool is_there, is_any = false;
	struct mbj_buf found;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&found, MBJ_MAILDIR_LIST_MAX);
	for (int is_new = 1; rc == MBJ_OK && is_new >= 0; is_new--) {
		rc = part_list(entries, is_new != 0, dir, &found, &is_there,
			       err);
		is_any |= is_there;
		mbj_buf_clear(&ret_fresh[is_new]);
		if (rc < 0)
			break;
		names_pick(entries, &found, &ret_fresh[is_new]);
		rc = mbj_buf_ok(&ret_fresh[is_new], err);
	}
	mbj_buf_done(&found);
	/* Of what part_list said last. */
	return rc == MBJ_OK && !is_any ? MBJ_ENOTFOUND : rc;
}

enum mbj_rc maildir_entry_path(const struct maildir_entries *entries,
			       const struct maildir_entry *entry,
			       char path[MBJ_PATH_TEXT_MAX],
			       struct mbj_error *err)
{
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(dir, entries->dir, entry->is_new ? "new" : "cur",
			   err);
	return rc == MBJ_OK ? mbj_path_join(path, dir, entry->name, err) : rc;
}

static bool entry_is_there(const struct maildir_entries *entries,
			   const struct maildir_entry *entry)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error err;

	return maildir_entry_path(entries, entry, path, &err) < 0 ||
	       mbj_path_exists(entries->sys, path);
}

/* What was renamed and named as before while it was listed is there twice. */
static bool is_same(const struct maildir_entry *one,
		    const struct maildir_entry *two)
{
	return one->is_new == two->is_new && strcmp(one->name, two->name) == 0;
}

/* Those whose files are there go to the front; how many they are. */
static size_t twins_look(const struct maildir_entries *entries,
			 struct maildir_entry *twins, size_t count)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if ((kept == 0 || !is_same(&twins[kept - 1], &twins[i])) &&
		    entry_is_there(entries, &twins[i]))
			twins[kept++] = twins[i];
	return kept;
}

/*
 * Of entries with one base, which lie together, those that are gone: somebody
 * gave the message another name while it was listed.  One of them stays, since
 * reading it finds what it is called by now.  Looked at twice: who renames them
 * in the same order may be just between the two names, and keep pace.
 */
static void twins_settle(struct maildir_entries *entries)
{
	struct maildir_entry *list = entries->list;
	size_t kept = 0;

	for (size_t i = 0, end; i < entries->count; i = end) {
		size_t n = 1;

		while (i + n < entries->count &&
		       mbj_bytes_equal(entry_base(&list[i + n]),
				       entry_base(&list[i])))
			n++;
		end = i + n;
		for (int look = 0; look < 2 && n > 1; look++) {
			n = twins_look(entries, &list[i], n);
			n += n == 0;
		}
		memmove(&list[kept], &list[i], n * sizeof(*list));
		kept += n;
	}
	entries->count = kept;
}

enum mbj_rc maildir_entries_load(struct maildir_entries *entries,
				 struct mbj_error *err)
{
	struct mbj_buf fresh[2];
	size_t capacity = 0;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&fresh[0], MBJ_MAILDIR_LIST_MAX);
	mbj_buf_init(&fresh[1], MBJ_MAILDIR_LIST_MAX);
	for (int i = 0; rc == MBJ_OK && i < LISTINGS_MAX; i++) {
		rc = names_list(entries, fresh, err);
		if (rc < 0 || fresh[0].n + fresh[1].n == 0)
			break;
		entries->count = 0;
		for (int is_new = 1; rc == MBJ_OK && is_new >= 0; is_new--) {
			mbj_buf_put_bytes(&entries->names[is_new],
					  mbj_buf_view(&fresh[is_new]));
			rc = mbj_buf_ok(&entries->names[is_new], err);
			if (rc == MBJ_OK)
				rc = entries_put(entries, is_new != 0,
						 &capacity, err);
		}
		entries_sort(entries, by_base);
	}
	mbj_buf_done(&fresh[0]);
	mbj_buf_done(&fresh[1]);
	if (rc == MBJ_OK)
		twins_settle(entries);
	return rc;
}

void maildir_entries_place(struct maildir_entries *entries)
{
	entries_sort(entries, by_place);
}

/* ------------------------------------------------------------------ paths */

enum mbj_rc maildir_entry_path_again(const struct maildir_entries *entries,
				     const struct maildir_entry *entry,
				     char path[MBJ_PATH_TEXT_MAX],
				     struct mbj_error *err)
{
	char dir[MBJ_PATH_TEXT_MAX];
	bool is_there, is_found = false;
	enum mbj_rc rc = MBJ_OK;
	struct mbj_buf names;

	mbj_buf_init(&names, MBJ_MAILDIR_LIST_MAX);
	/* In the order of names_list. */
	for (int is_new = 1; rc == MBJ_OK && !is_found && is_new >= 0;
	     is_new--) {
		rc = part_list(entries, is_new != 0, dir, &names, &is_there,
			       err);
		for (const char *name = mbj_names_next(&names, NULL);
		     rc == MBJ_OK && !is_found && name != NULL;
		     name = mbj_names_next(&names, name)) {
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
