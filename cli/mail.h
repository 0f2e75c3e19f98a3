/*
 * What import and export of mail share: what is said while they run and at
 * their end, the mailboxes that a source has, and filling one of them.
 *
 * A message that cannot be had is said by its path, counted, and left out;
 * what the store itself cannot do ends the run.  Errors of the two kinds never
 * mix: the first are taken where they come up, the second are returned.
 */
#ifndef MBJ_CLI_MAIL_H
#define MBJ_CLI_MAIL_H

#include <mbj/blob.h>
#include <mbj/maildir.h>
#include <mbj/mbox.h>

#include "session.h"

enum { MAIL_STEP = 65536 };

/* A file in the directory of an export that has not come to its end. */
#define MAIL_EXPORT_MARK "mbj-export.unfinished"

/* ---------------------------------------------------------- mail_report.c */

struct mail_report {
	const struct cli_call *call;
	uint64_t mailbox_count;
	uint64_t created_count;	 /* mailboxes */
	uint64_t message_count;	 /* that came over */
	uint64_t message_size;	 /* bytes of them */
	uint64_t present_count;	 /* that were there already */
	uint64_t left_out_count; /* that are bad, whole mailboxes among them */
	uint64_t note_count;
	bool has_progress; /* standard error is a terminal */
	bool is_shown;	   /* and shows some */
	int64_t shown_us;  /* when it was shown */
};

void mail_report_init(struct mail_report *report, const struct cli_call *call);
/* "left out: WHAT: WHY", counted. */
MBJ_PRINTF(3, 4)
void mail_left_out(struct mail_report *report, const char *what,
		   const char *format, ...);
/* What is not kept though nothing is lost. */
MBJ_PRINTF(3, 4)
void mail_note(struct mail_report *report, const char *what, const char *format,
	       ...);
/* On a terminal, ten times a second at most; total 0: not known. */
void mail_progress(struct mail_report *report, const char *what, uint64_t done,
		   uint64_t total);
/*
 * The last line, or the object mbj.WORD/1, or how far it came; ends the
 * session.  CLI_PARTIAL where anything was left out and nothing else failed.
 */
int mail_report_end(struct mail_report *report, struct session *s,
		    enum mbj_rc rc, const char *word, const char *verb);

/* ------------------------------------------------------------ mail_body.c */

/* A message's bytes on their way: stored, or in a dry run only hashed. */
struct mail_body {
	struct mbj_blob_writer *writer;
	struct mbj_sha256 *sha;
	uint64_t size;
};

/* blobs NULL: a dry run. */
enum mbj_rc mail_body_begin(struct mail_body *body, struct mbj_blobs *blobs,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Returns: MBJ_ELIMIT, above MBJ_BLOB_MAX; all else is the store's. */
enum mbj_rc mail_body_write(struct mail_body *body, struct mbj_bytes piece,
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mail_body_finish(struct mail_body *body, struct mbj_hash *ret_blob,
			     uint64_t *ret_size,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void mail_body_abort(struct mail_body *body);

/* ---------------------------------------------------------- mail_folder.c */

/* A mailbox of the source. */
struct mail_folder {
	struct mbj_bytes path; /* UTF-8, components joined by NUL */
	const char *place;     /* its directory or file */
	uint32_t uidvalidity;  /* 0: it has none */
	struct mbj_id id;      /* its own, or ROOT */
	bool is_subscribed;
	bool is_left_out;
	struct mbj_id mailbox; /* where its messages go */
};

struct mail_folders {
	struct mbj_arena *arena;
	struct mail_folder *folders;
	size_t count;
	size_t capacity;
};

enum mbj_rc mail_folders_init(struct mail_folders *folders,
			      struct mbj_error *err) MBJ_MUST_CHECK;
void mail_folders_done(struct mail_folders *folders);
/* Path and place are copied.  *ret_folder is borrowed until the next call. */
enum mbj_rc mail_folders_add(struct mail_folders *folders,
			     struct mbj_bytes path, const char *place,
			     struct mail_folder **ret_folder,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Make the account, or in one that exists the mailboxes that it lacks, as
 * session->edit.policy and the folders say, in one edit; folders get their
 * mailboxes, or are left out.
 */
enum mbj_rc mail_folders_make(struct mail_folders *folders, struct session *s,
			      struct mail_report *report) MBJ_MUST_CHECK;

/* ---------------------------------------------------------- mail_target.c */

/* A mailbox that is being filled. */
struct mail_target;

/*
 * is_new: the mailbox is not there yet (a dry run).  What it holds already is
 * read.
 */
enum mbj_rc mail_target_open(struct session *s, struct mail_report *report,
			     const struct mail_folder *folder,
			     struct mail_target **ret_target) MBJ_MUST_CHECK;
void mail_target_close(struct mail_target **target);
/* The mailbox has the UIDVALIDITY of the folder: UIDs mean the same. */
bool mail_target_has_uids(const struct mail_target *target);

enum mail_place {
	MAIL_FREE,    /* the UID is above all that were used */
	MAIL_PRESENT, /* that message has it; taken */
	MAIL_ALIKE,   /* one of that size has it: mail_target_same says more */
	MAIL_USED,    /* another had it, or has it */
};
enum mail_place mail_target_look(struct mail_target *target, uint32_t uid,
				 uint64_t size);
/* Of MAIL_ALIKE, by its bytes: it is that message (taken), or another. */
bool mail_target_same(struct mail_target *target, uint32_t uid,
		      const struct mbj_hash *blob);
/*
 * One more message, unless it is there already under any UID that nobody took;
 * with uid 0, the next.  It goes with the next group.  *ret_is_full: it does
 * not, for want of a UID, as err says.
 */
enum mbj_rc mail_target_append(struct mail_target *target, uint32_t uid,
			       const struct mbj_message *message,
			       bool *ret_is_full) MBJ_MUST_CHECK;
/* All that was appended is durable; UIDNEXT is uidnext at least. */
enum mbj_rc mail_target_flush(struct mail_target *target,
			      uint32_t uidnext) MBJ_MUST_CHECK;

/* ---------------------------------------------------------- mail_import.c */

/* An import on its way, whatever it is of. */
struct mail_import {
	struct session s;
	struct mail_report report;
	struct mail_folders folders;
	const struct mbj_sys *sys;
	struct mbj_blobs *blobs; /* NULL: a dry run */
	struct mbj_utf7 *utf7;	 /* where the source's names need it */
	uint8_t *step;		 /* MAIL_STEP bytes of a message or a file */
};

enum mbj_rc
mail_import_begin(struct mail_import *m, const struct cli_call *call,
		  const struct mbj_name_policy *policy) MBJ_MUST_CHECK;
/* The store, and where bodies go. */
enum mbj_rc mail_import_open(struct mail_import *m) MBJ_MUST_CHECK;
/* Say how it went and free everything, begun whole or not. */
int mail_import_end(struct mail_import *m, enum mbj_rc rc);

/* ------------------------------------------------------------- mail_acl.c */

/* The folder's dovecot-acl, as far as IMAP can say it. */
enum mbj_rc mail_acl_import(struct mail_import *m,
			    const struct mail_folder *folder) MBJ_MUST_CHECK;

/* And out, before the folder is synced; what its file cannot hold is noted. */
struct mail_acl_source {
	struct mbj_txn *txn;
	struct mbj_id account;
	struct mbj_id mailbox;
	const char *title; /* for people */
	const char *dir;   /* the folder; NULL: a dry run */
};
enum mbj_rc mail_acl_export(const struct mail_acl_source *source,
			    struct mail_report *report,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------ mail_maildir.c, mail_mbox.c */

int mail_import_maildir(const struct cli_call *call,
			const struct mbj_name_policy *policy);
int mail_import_mbox(const struct cli_call *call,
		     const struct mbj_name_policy *policy);

#endif
