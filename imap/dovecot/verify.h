/*
 * doveadm mbj verify: what Dovecot has of a user, beside what the account in
 * the store of the service has.  Nothing is changed on either side.
 *
 * Both go on meanwhile, so a difference counts where it is still there when it
 * is looked for again, after a pause and under the lock that whoever captures
 * has during a change.  Bytes of messages do not change: these are read once.
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_VERIFY_H
#define MBJ_DOVECOT_VERIFY_H

#include "apply.h"

/* One row of what is printed. */
struct verify_row {
	const char *mailbox;
	uint32_t uid;	   /* 0: of the mailbox itself */
	const char *what;  /* that differs */
	const char *here;  /* in Dovecot */
	const char *there; /* in the journal */
};
ARRAY_DEFINE_TYPE(verify_row, struct verify_row);

/* What was found in one look at a mailbox, or at the account's names. */
struct verify_rows {
	pool_t pool;
	ARRAY_TYPE(verify_row) list; /* VERIFY_ROWS_MAX at most */
	uint64_t more;		     /* that are not in it */
};

enum {
	VERIFY_ROWS_MAX = 100, /* that are kept of a mailbox, and of names */
	VERIFY_TRIES = 4,
	VERIFY_PAUSE_MS = 250, /* before the second; twice that, and so on */
};

struct verify {
	struct apply apply; /* what is read, and how many failed */
	bool is_quick;	    /* sizes instead of digests */
	bool is_primary;    /* the store is told all changes by this Dovecot */
	uint64_t differences;
};

void verify_rows_clear(struct verify_rows *rows);
/* All are copied. */
void verify_row_add(struct verify_rows *rows, const char *mailbox, uint32_t uid,
		    const char *what, const char *here, const char *there);
/* The user's lock, after so many pauses.  Returns: -1, told. */
int verify_lock(struct verify *verify, unsigned int pauses);
void verify_unlock(struct verify *verify);

/*
 * An open mailbox, which is that node of the account.
 * Returns: 1, it has another name there by now; -1, told.
 */
int verify_attributes(struct verify *verify, struct mailbox *box, uint32_t node,
		      struct verify_rows *rows);
/*
 * Attributes, messages and counters of a mailbox that both have, under that
 * name in Dovecot.  Returns: -1 where they cannot be compared, told.
 */
int verify_mailbox(struct verify *verify, const char *vname, uint32_t node,
		   struct verify_rows *rows);

#endif
