/*
 * Who is not what the journal says, in a store that becomes a primary: whose
 * groups wait, and whose were given up (docs/decisions/0035, 0036).  Private to
 * replay/.
 *
 * Threads: the caller's.
 */
#ifndef MBJ_REPLAY_PROMOTE_TARGETS_H
#define MBJ_REPLAY_PROMOTE_TARGETS_H

#include <mbj/audit.h>

#include "given_up.h"

/* What is declared of an account: that it is there, each of its mailboxes. */
struct target {
	struct mbj_id account;
	struct mbj_id mailbox; /* ROOT: the account itself */
	bool is_last;	       /* of the account */
};

struct targets {
	struct target *list; /* account by account */
	size_t count;
	size_t capacity;
	struct mbj_lsn first; /* that waits, or was given up, for anybody */
	struct given_up given_up;
};

/*
 * Whoever the state says is aside, or known to differ: with all mailboxes, what
 * was given up for them, and a note in the audit.  Where that is nobody, and no
 * group behind end has said so, accounts of which groups up to there were given
 * up, and that are what they are to be all the same.
 */
enum mbj_rc targets_read(struct targets *targets, struct mbj_store *store,
			 struct mbj_lsn end, struct mbj_audit *audit,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* Zeroed is empty. */
void targets_done(struct targets *targets);

#endif
