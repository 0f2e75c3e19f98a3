/*
 * The directory of an export: whose it is, and what an earlier run that did not
 * come to its end left in it.
 *
 * A file in it, the mark, is there until the export is complete.  It says whose
 * account that is, and which folders were or will be made, before any is: so
 * that one whose mailbox has been renamed or deleted since is known for ours,
 * and goes.
 */
#ifndef MBJ_CLI_EXPORT_DIR_H
#define MBJ_CLI_EXPORT_DIR_H

#include "mail.h"

/* Of the base of a message of ours: TIME.UuidVvalidityDdigest.mbj,S=SIZE. */
#define EXPORT_HOST ".mbj,S="

/*
 * Of cur or tmp.  The host alone says nothing: what Dovecot delivers on a host
 * that is called mbj has it, too.
 */
bool export_name_is_ours(const char *name);

/* Names in byte order, and which of them somebody wanted. */
struct export_names {
	struct mbj_buf text; /* NUL-terminated, one behind the other */
	const char **names;  /* [count] */
	bool *is_wanted;     /* [count] */
	size_t count;
};

void export_names_init(struct export_names *names);
void export_names_done(struct export_names *names);
/* Once text is complete. */
enum mbj_rc export_names_sort(struct export_names *names,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* True where it is among them; it is wanted, then. */
bool export_names_want(struct export_names *names, const char *name);
/* One that nobody wanted yet, of a message with this base: wanted; or NULL. */
const char *export_names_want_base(struct export_names *names,
				   const char *base);

/* Remove what is ours of the names in dir, a folder's cur or tmp. */
enum mbj_rc export_part_sweep(const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err) MBJ_MUST_CHECK;

struct export_dir {
	const struct mbj_sys *sys;
	const char *path;
	struct mbj_id account;
	struct mail_report *report;
	struct mbj_file lock; /* the directory itself: one run at a time */
};

/*
 * Look at the directory, and unless it is a dry run make it, lock it, mark it,
 * and remove folders of earlier runs that are not among these.
 * Returns: MBJ_EEXISTS where it has something in it that is not ours, MBJ_EBUSY
 * where another run writes into it.
 */
enum mbj_rc export_dir_begin(struct export_dir *dir,
			     struct export_names *folders, bool is_dry_run,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* It is finished.  Durability: all of it is on disk, and the mark is gone. */
enum mbj_rc export_dir_end(const struct export_dir *dir,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Whatever came of it. */
void export_dir_done(struct export_dir *dir);

#endif
