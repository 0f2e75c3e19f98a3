/*
 * What a push has done, in a file of its own: which mailbox of the server is
 * which of ours, what we subscribed, how far the journal was, and the one step
 * whose outcome is not known.
 *
 * The file is a log of lines (push_log.h), words and quoted strings as IMAP
 * writes them:
 *
 *	mbj-push 1 LINEAGE ACCOUNT "USER@HOST:PORT"
 *	mailbox ID UIDVALIDITY UIDNEXT "SERVER'S MAILBOXID" "NAME"
 *	moved "NAME" "NAME" "DELIMITER"	with all that is below it
 *	gone ID
 *	messages ID REVISION UIDNEXT	all of its content's revision is there,
 *				below that UIDNEXT; 0: the file of which
 *				messages are has been begun
 *	create ID 0 "" "" "NAME"	a step that is about to be taken
 *	rename ID UIDVALIDITY "SERVER'S MAILBOXID" "NAME" "NAME"
 *	delete ID UIDVALIDITY "SERVER'S MAILBOXID" "NAME" ""
 *	settled			nothing is open any more
 *	subscribed "NAME"
 *	unsubscribed "NAME"
 *	pushing LSN		from here on the server may be ahead
 *	pushed LSN
 *
 * NAMEs are those of the wire.  A step is closed by settled; a rename by moved,
 * a create by mailbox, a delete by gone of its ID as well.  Opening writes it
 * anew, without what is over.
 * FILE.lock keeps a second push away.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_CLI_PUSH_FILE_H
#define MBJ_CLI_PUSH_FILE_H

#include <mbj/hash.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

#include "push_log.h"

/* One of our mailboxes, at the server. */
struct push_record {
	struct mbj_id id;
	uint32_t uidvalidity;
	uint32_t uidnext;	 /* that it had at least */
	struct mbj_bytes object; /* its MAILBOXID there, or empty */
	struct mbj_bytes name;	 /* on the wire; empty: it is gone */
	bool has_map;		 /* of its messages (push_map.h) */
	bool is_lost;		 /* in memory: it is not there any more */
	uint32_t next;		 /* UIDNEXT, as that map had it */
	uint64_t rev; /* of our content when all of it was there; 0: never */
};

/* X(name, word): steps that may be open. */
#define PUSH_STEP_MAP(X)    \
	X(CREATE, "create") \
	X(RENAME, "rename") \
	X(DELETE, "delete")

enum push_step_kind {
	PUSH_STEP_NONE,
#define X(name, word) PUSH_STEP_##name,
	PUSH_STEP_MAP(X)
#undef X
};

struct push_doubt {
	enum push_step_kind kind;
	struct mbj_id id; /* ROOT: nobody's of ours */
	uint32_t uidvalidity;
	struct mbj_bytes object;
	struct mbj_bytes from, to;
};

struct push_names {
	struct mbj_bytes *list;
	size_t count, capacity;
};

struct push_file {
	struct mbj_arena *arena; /* all strings */
	struct push_record *records;
	size_t count, capacity;
	struct mbj_table by_id;
	struct push_names subscribed;
	struct push_doubt doubt;
	struct mbj_id lineage, account;
	struct mbj_bytes target;
	uint64_t lsn;	  /* pushed up to it; 0: never */
	uint64_t pushing; /* begun to be, at least once */
	bool is_dry;	  /* nothing is written */
	struct push_log log;
	struct mbj_file lock;
};

/*
 * The file of a push of the account to target; a new one where there is none
 * (a dry one makes none).
 * Returns: MBJ_EBUSY, MBJ_ECORRUPT, MBJ_EINVALID (it is of another push).
 */
enum mbj_rc push_file_open(const char *path, bool is_dry, struct mbj_id lineage,
			   struct mbj_id account, struct mbj_bytes target,
			   struct push_file *file,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one that is zero. */
void push_file_close(struct push_file *file);

/* NULL: none. */
struct push_record *push_file_find(const struct push_file *file,
				   struct mbj_id id);

/*
 * Each of these is so in memory at once and on disk when it returns.
 * push_file_step announces a step: on disk before it is taken.
 */
enum mbj_rc push_file_step(struct push_file *file,
			   const struct push_doubt *step,
			   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_settled(struct push_file *file,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_mailbox(struct push_file *file,
			      const struct push_record *record,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_moved(struct push_file *file, struct mbj_bytes from,
			    struct mbj_bytes to, char delimiter,
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_gone(struct push_file *file, struct mbj_id id,
			   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_messages(struct push_file *file, struct mbj_id id,
			       uint64_t rev, uint32_t next,
			       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_subscribed(struct push_file *file, struct mbj_bytes name,
				 bool is_subscribed,
				 struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_pushing(struct push_file *file, uint64_t lsn,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc push_file_pushed(struct push_file *file, uint64_t lsn,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* push_line.c: do in memory what a line without its checksum says. */
enum mbj_rc push_line_do(struct push_file *file, struct mbj_bytes line,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* Is name below above, at this delimiter? */
bool push_is_below(struct mbj_bytes name, struct mbj_bytes above,
		   char delimiter);
/* In the arena of the file; {NULL, 0} and MBJ_ENOMEM. */
enum mbj_rc push_text(struct push_file *file, struct mbj_bytes text,
		      struct mbj_bytes *ret_copy,
		      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
