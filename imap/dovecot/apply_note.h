/*
 * The file that has the lock of a user's run of apply, and says what a run has
 * begun that a kill would leave half done:
 *
 *	saving		messages are coming into files of a Maildir or an mdbox
 *	making PATH	a mailbox is being made there, without its GUID yet
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_APPLY_NOTE_H
#define MBJ_DOVECOT_APPLY_NOTE_H

#include <lib.h>

struct apply;

struct apply_note {
	const char *path;
	int fd;
	bool is_new; /* the file */
	bool has_text;
	/* Of an earlier run that was killed, or failed. */
	bool is_untidy;	    /* it was saving */
	const char *making; /* or NULL */
	/* Of this one. */
	bool is_saving;
	bool is_left; /* files of a save that failed may be */
};

/* Lock and read the file beside the list of what is known.  -1, told. */
int note_open(struct apply *apply, const char *known_path);
void note_close(struct apply_note *note);
/* Files are about to come into a Maildir; durable.  -1, told. */
int note_saving(struct apply *apply);
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
