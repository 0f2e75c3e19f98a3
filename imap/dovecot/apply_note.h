/*
 * The file that has the lock of a user's run of apply, and says what a run has
 * begun that a kill would leave half done:
 *
 *	saving		messages are coming into files of a Maildir or an mdbox
 *	making PATH	a mailbox is being made there, without its GUID yet
 *	guid MAILBOXID GUID
 *			a message with that GUID of the journal's may have come
 *			into that mailbox
 *	uids MAILBOXID UIDVALIDITY UIDS
 *			these came from the journal, and the index that said so
 *			may be gone
 *	names NAME [UNTIL]
 *			its file may have a name that this process made behind
 *			NAME, where a Maildir's cannot be named by its GUID, up
 *			to that second: the next run says which
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_APPLY_NOTE_H
#define MBJ_DOVECOT_APPLY_NOTE_H

#include <lib.h>

#include <array.h>
#include <hash.h>
#include <seq-range-array.h>
#include <str.h>

#include <mbj/types.h>

struct apply;

/* Of a Maildir's file, as Dovecot makes it: SECONDS.MUSECONDS "P" PID.HOST */
struct note_name {
	uint64_t seconds, useconds;
	const char *maker; /* what is behind these, up to a comma */
	uint64_t until;	   /* likewise seconds; of what was noted only */
};

/* Of a mailbox, as the journal has it. */
struct note_uids {
	struct mbj_id mailbox;
	uint32_t uidvalidity;
	ARRAY_TYPE(seq_range) uids;
};

struct apply_note {
	const char *path;
	int fd;
	bool is_new; /* the file */
	bool has_text;
	/* Of earlier runs that were killed, or failed. */
	bool is_untidy;	    /* one was saving */
	const char *making; /* or NULL */
	string_t *left;	    /* lines of what may have come; may be NULL */
	HASH_TABLE(const char *, const char *) messages; /* with mailboxes */
	HASH_TABLE(const char *, const char *) guids;	 /* of these */
	ARRAY(struct note_name) names;
	ARRAY(struct note_uids) uids;
	/* Of this one. */
	bool is_saving;
	bool is_left;	  /* files of a save that failed may be */
	string_t *coming; /* lines of the transaction at hand; may be NULL */
};

/* Lock and read the file beside the list of what is known.  -1, told. */
int note_open(struct apply *apply, const char *known_path);
void note_close(struct apply_note *note);
/*
 * What comes with the transaction that begins, or, where it has begun, with it
 * as well: not on disk before note_come.
 */
void note_begin(struct apply_note *note);
void note_message(struct apply_note *note, struct mbj_id mailbox,
		  const char *guid);
void note_names(struct apply_note *note, const char *name);
/*
 * All of these may come from now on.  is_untidy: into files of a Maildir or an
 * mdbox, where they use up UIDs if they are left; durable then.  -1, told.
 */
int note_come(struct apply *apply, bool is_untidy);
/* That transaction failed, and may have left some of it. */
void note_failed(struct apply_note *note);
/*
 * An earlier run was saving a message with that GUID into that mailbox.  A copy
 * that a user makes of it elsewhere has the same one in dbox.
 */
bool note_has_message(const struct apply_note *note, struct mbj_id mailbox,
		      const char *guid);
/* Into any: of a file that no index has yet. */
bool note_has_guid(const struct apply_note *note, const char *guid);
/* An earlier run may have given a file that name, without flags. */
bool note_has_name(const struct apply_note *note, const char *name);
/*
 * What came from the journal has these UIDs, though nothing else will say so:
 * durable, for this run and those behind it, up to one in which nothing fails.
 * -1, told.
 */
int note_uids(struct apply *apply, struct mbj_id mailbox, uint32_t uidvalidity,
	      const ARRAY_TYPE(seq_range) * uids);
bool note_has_uid(const struct apply_note *note, struct mbj_id mailbox,
		  uint32_t uidvalidity, uint32_t uid);
/* Another mailbox is about to be made under its id.  -1, told. */
int note_uids_forget(struct apply *apply, struct mbj_id mailbox);
/* What an earlier run left of its saves is gone.  -1, told. */
int note_tidied(struct apply *apply);
/*
 * A mailbox is about to be made, or, NULL, is there.  A kill leaves the note, a
 * power cut may not: then it is taken for the user's, and kept.  -1, told.
 */
int note_making(struct apply *apply, const char *vname);
/* The run is over; of saves nothing is left half done.  -1, told. */
int note_end(struct apply *apply);

#endif
