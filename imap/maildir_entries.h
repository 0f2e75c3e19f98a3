/*
 * The names of a folder's messages, in cur and new.
 */
#ifndef MBJ_IMAP_MAILDIR_ENTRIES_H
#define MBJ_IMAP_MAILDIR_ENTRIES_H

#include <mbj/maildir.h>

struct maildir_entry {
	const char *name;
	uint32_t uid; /* 0: none */
	uint32_t base_n;
	bool is_new;	       /* in new, not in cur */
	struct mbj_bytes guid; /* borrowed from the list, or empty */
};

struct maildir_entries {
	const struct mbj_sys *sys;
	const char *dir;	 /* borrowed */
	struct mbj_buf names[2]; /* of cur, of new */
	struct maildir_entry *list;
	size_t count;
};

void maildir_entries_init(struct maildir_entries *entries,
			  const struct mbj_sys *sys, const char *dir);
void maildir_entries_done(struct maildir_entries *entries);
/*
 * All that are there, each once, by base.
 * Returns: MBJ_ENOTFOUND where there is neither cur nor new, MBJ_EINVALID where
 * one of them is a symbolic link.
 */
enum mbj_rc maildir_entries_load(struct maildir_entries *entries,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* The first of a base, or NULL.  Requires: they are by base. */
struct maildir_entry *
maildir_entries_find(const struct maildir_entries *entries,
		     struct mbj_bytes base);
/* Those with a UID first, by that; then the others, by name. */
void maildir_entries_place(struct maildir_entries *entries);

enum mbj_rc maildir_entry_path(const struct maildir_entries *entries,
			       const struct maildir_entry *entry,
			       char path[MBJ_PATH_TEXT_MAX],
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* What it is called by now.  Returns: MBJ_ENOTFOUND where it is gone. */
enum mbj_rc maildir_entry_path_again(const struct maildir_entries *entries,
				     const struct maildir_entry *entry,
				     char path[MBJ_PATH_TEXT_MAX],
				     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
