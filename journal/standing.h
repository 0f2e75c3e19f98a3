/*
 * Intents that stand: of a mailbox whose messages change again and again, one
 * is left open behind each outcome that was told, so that the next change there
 * is announced by it, without another record and another sync.
 *
 * What is on disk is always enough: an intent that stands is open in the state
 * and in the journal, so a kill or a power cut leaves that mailbox in doubt, as
 * one in the middle of a change would.  That nothing is in doubt there, between
 * two changes, is known here alone, in memory, for as long as the service
 * lives.
 *
 *	OPEN	 announced, and its outcome not told: in doubt
 *	IDLE	 the outcome was told, the intent stands: nothing is in doubt
 *	CLOSING	 likewise, and it is being closed, for want of another change
 *	RECENT	 there is none; the mailbox changed not long ago
 *
 * An intent that is not here is as any other: open is in doubt.
 *
 * Threads: any.
 */
#ifndef MBJ_STANDING_H
#define MBJ_STANDING_H

#include <pthread.h>

#include <mbj/error.h>
#include <mbj/types.h>

enum {
	STANDING_MAX = 1024,	    /* mailboxes that are known of */
	STANDING_ACCOUNT_MAX = 4,   /* intents that stand, of an account */
	STANDING_PRODUCER_MAX = 31, /* bytes; who has a longer name has none */
	STANDING_RECENT_MS = 10000, /* a change so soon after another stands */
	STANDING_IDLE_MS = 12000,   /* and for so long without another one */
	STANDING_AGE_MS = 60000,    /* no outcome leaves it open after that */
	STANDING_HALT_MS = 5000,    /* for closing them, once it is halted */
};

struct stand;

/* Whose messages, and who changes them. */
struct standing_place {
	struct mbj_id account;
	struct mbj_id mailbox;
	struct mbj_bytes producer;
	uint64_t asker; /* the connection (standing_asker) */
	bool is_any;	/* whatever may happen to them: such an intent stands */
};

/* What came of asking for one that stands. */
enum standing_gift {
	STANDING_NONE,	/* none stands there: the change is announced */
	STANDING_GIVEN, /* it is OPEN from now on */
	STANDING_AGAIN, /* the same request was given it before */
};

struct standing {
	pthread_mutex_t mutex;
	pthread_cond_t is_due; /* one is IDLE now, or it is halted */
	bool is_quiet;	       /* who closes them has seen none for a second */
	bool is_resting;       /* and sleeps until there is one */
	struct stand *stands;  /* [STANDING_MAX]; NULL: never begun */
	uint64_t serial;       /* of the last one that was announced */
	uint64_t asker;	       /* the last connection */
	uint64_t count; /* changes that one which stood announced, ever */
	size_t idle;	/* how many are */
	size_t unseen;	/* announced just now, and there was no room for them */
	size_t hand;	/* where room is looked for */
	bool is_halted; /* none is left to stand */
	int64_t halted_ms;		   /* when it was */
	uint16_t of_account[STANDING_MAX]; /* by hash: the first, + 1 */
	uint16_t of_intent[STANDING_MAX];
};

enum mbj_rc standing_init(struct standing *standing,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: none is CLOSING. */
void standing_done(struct standing *standing);
/*
 * From now on intents stand: there is somebody who closes them.  Before that,
 * and where there is no memory for it, none does.
 */
void standing_begin(struct standing *standing);
/* No more of them. */
void standing_halt(struct standing *standing);
/* A number for a connection that no other one has or had, and not 0. */
uint64_t standing_asker(struct standing *standing);

/*
 * One that stands is a change's, and OPEN, from now on; none is given while the
 * producer is announcing something in that account.  What it has OPEN there
 * shows in the state, as of then: not here.
 */
enum standing_gift standing_reuse(struct standing *standing,
				  const struct standing_place *place,
				  struct mbj_id request,
				  struct mbj_id *ret_intent);
/* What it was GIVEN for was refused: it is IDLE again. */
void standing_return(struct standing *standing, struct mbj_id intent);
/* It is not open in the state: somebody has closed it by its id. */
void standing_forget(struct standing *standing, struct mbj_id intent);

/*
 * A change is about to be announced, by an intent that is not known yet: OPEN.
 * Returns: what standing_announced is given then, in any case.
 */
uint64_t standing_announce(struct standing *standing,
			   const struct standing_place *place, int64_t now_ms);
/* It was, by that intent; ROOT: it was refused. */
void standing_announced(struct standing *standing, uint64_t serial,
			struct mbj_id intent, struct mbj_id request);

/*
 * Its outcome is told: is it to be left open?  Not by another connection than
 * the change was announced by: whoever settles closes it, so that what comes
 * late of the one before is no outcome of the change that is given it next.
 */
bool standing_stays(struct standing *standing, struct mbj_id intent,
		    uint64_t asker, int64_t now_ms);
/* The outcome was told, and has left it open (is_left), or closed it. */
void standing_told(struct standing *standing, struct mbj_id intent,
		   bool is_left, int64_t now_ms);
/* What was told was lost: it is in doubt again. */
void standing_doubt(struct standing *standing, struct mbj_id intent);

/* It is open, and nothing is in doubt.  NULL: of none. */
bool standing_is_idle(struct standing *standing, struct mbj_id intent);

/*
 * Wait for one to close, CLOSING from then on, until standing_closed.  Once it
 * is halted all are, without waiting, as far as there is time: what is left is
 * open, and in doubt for the next service.  Returns: false, it is halted, and
 * there is none.
 */
bool standing_close(struct standing *standing, struct mbj_id *ret_account,
		    struct mbj_id *ret_intent);
/* Where it could not be closed it is in doubt. */
void standing_closed(struct standing *standing, struct mbj_id intent,
		     bool is_closed);

uint64_t standing_count(struct standing *standing);

#endif
