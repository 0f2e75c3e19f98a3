/*
 * One change of a user's mailboxes: the lock, the account, an intent, the
 * outcome, and what is done where one of them fails.
 *
 * All of it is under the lock of the user's list of mailboxes, which Dovecot
 * takes for create, delete and rename anyway: so one user's changes are in one
 * order in Dovecot and in the journal, and an intent that is found open is
 * nobody's any more.  It is settled by what Dovecot has, before anything else.
 */
#ifndef MBJ_DOVECOT_TURN_H
#define MBJ_DOVECOT_TURN_H

#include "others.h"

/* Where a mailbox is: by its first name, where its namespace is an alias. */
struct spot {
	struct mailbox_list *list;
	const char *vname;
};

struct turn {
	struct capture_user *capture;
	struct account *account;
	struct mailbox *box;
	struct spot at; /* box's */
	struct spot to; /* where it goes, of a rename */
	struct mailbox_list *locked;
	struct mailbox_vfuncs *super;
	bool is_settling; /* what fails is not what was asked for */
	/*
	 * The service is away, nothing was changed, and nobody is told: the
	 * change is to be made with turn_spool instead.  Only where changes go
	 * to the spool then.
	 */
	bool is_away;
	/* Likewise, whatever is wanted: another user's, whose owner has to
	 * settle something first. */
	bool is_deferred;
	/* Another user's, of whom nothing is known: made, and told to nobody.
	 */
	bool is_passed;
	bool is_settled;  /* by a whole listing, in this turn */
	bool is_renewed;  /* settling gave box another GUID */
	const char *why;  /* Dovecot's own failure, or NULL */
	int64_t begin_ms; /* monotonic, as all of these: the lock was had */
	/*
	 * Messages from before, which many may be, wait for the next
	 * turn then.  Half of the time that the service may take.
	 */
	int64_t deadline_ms;
	/* The same of what this change itself brought in: most of it. */
	int64_t last_ms;
	/* A change of messages that another turn makes on its way. */
	bool is_inner;
	const struct account_aim *aim; /* of one of messages, or NULL */
	struct mbj_error err;
};

/* In memory of the data stack. */
struct spot turn_spot(struct mailbox *box);
/* The account is not changed for box, or by what a change itself does. */
bool turn_passes(struct mailbox *box);
/* Messages of box are in no account. */
bool turn_passes_messages(struct mailbox *box);

/*
 * Lock, and settle what is open.  Returns: -1, told to the client, or 0, where
 * is_away may be.
 */
int turn_begin(struct turn *turn, struct mailbox *box);
/*
 * The same for a change of its messages, which may be within another turn.
 * aim: what is to be changed, but for its path, where the change may be
 * announced by the way; or NULL.
 */
int turn_begin_messages(struct turn *turn, struct mailbox *box,
			struct account_aim *aim);
void turn_end(struct turn *turn);

/*
 * Nothing was changed: a NO to the client, the reason to the log, or is_away.
 * -1.
 */
int turn_refuse(struct turn *turn);
int turn_refuse_text(struct turn *turn, const char *text);
/*
 * A folder may come to that name: refused where it would have another one's, in
 * another form of Unicode.  leaves: the name that it has now, or NULL.
 */
int turn_check_form(struct turn *turn, struct spot at, const char *leaves);
/*
 * Another user's mailbox, and something that is its owner's to settle: -1,
 * which turn_refuse makes is_away.
 */
int turn_defer(struct turn *turn, const char *why);

/*
 * What is at a name through a symbolic link is in the account by its own name:
 * at becomes that.  -1, with why or err.
 */
int turn_follow(struct turn *turn);

/* The account and Dovecot are not the same: they are made so.  0 or -1. */
int turn_refresh(struct turn *turn);
/* What was found so when the turn began.  0, or -1, with why or err. */
int turn_enter_settle(struct turn *turn);
/* Likewise, for what intents about messages were left open; told to the log. */
void turn_settle_messages(struct turn *turn);
void turn_settle_attributes(struct turn *turn);
/* The account's own attributes are made Dovecot's.  -1, with why or err. */
int turn_settle_server(struct turn *turn);
/*
 * The store's mailbox is made Dovecot's, whatever was done without this plugin.
 * is_cut: not all of it yet, since that takes long, or it has become another
 * mailbox; uidnext is the store's before.  is_lenient: what cannot be read is
 * left out.  -1, with why or err.
 */
int turn_compare_messages(struct turn *turn, bool is_lenient,
			  uint32_t *ret_uidnext, bool *ret_is_cut);
/*
 * UIDNEXT or HIGHESTMODSEQ of the mailbox rise by hand: announced, done, and
 * told as what Dovecot has then.  Returns: Dovecot's, or -1, told to the
 * client.
 */
int turn_update_counters(struct turn *turn,
			 const struct mailbox_update *update);
/*
 * What came in, and nothing else: where what moved is to be in its new mailbox
 * before it is gone from the old one.  Nothing where it is another mailbox.
 * is_told: all that can be read; is_late: the rest waits for time.
 */
int turn_tell_new(struct turn *turn, bool *ret_is_told, bool *ret_is_late);
/*
 * is_meantime: the list of access gives nobody more than before, nor than it
 * will, as long as the mailbox's messages are not what they are to be.
 */
int turn_compare_attributes(struct turn *turn, bool is_meantime);
/*
 * The outcome of account->intent, about attributes of mailbox, is what Dovecot
 * has; is_in_transaction: HIGHESTMODSEQ is about to rise.  What the store
 * refuses is left out, and named in the log.  -1, with why or err.
 */
int turn_tell_attributes(struct turn *turn, struct spot at,
			 struct mbj_id mailbox, bool is_in_transaction);
/*
 * Where a mailbox of the account's tree is, in memory of the data stack.
 * Returns: false, it is nowhere.
 */
bool turn_find(struct turn *turn, struct mbj_id mailbox, struct spot *ret_at);

/* ------------------------------------------------------ while it is away */

/* As of turn_lock: what was changed while the service was away. */
int turn_spool_load(struct turn *turn);
/* It was begun where one of the account's mailboxes was. */
bool turn_spool_is_ours(struct turn *turn);
/* What failed is that the service is away, and changes go to the spool then. */
bool turn_can_spool(struct turn *turn);
/*
 * The change is to be made, and is in the journal once the service is there
 * again: mailboxes of which the messages or attributes change, and the tree.
 * Durable once it returns.  -1, told to the client.
 */
int turn_spool(struct turn *turn, const struct mbj_id *mailboxes, size_t count);
#define TURN_NAME_REFUSED "The journal cannot have this name"
#define TURN_FORM_REFUSED \
	"A mailbox has this name, or one above it, in another form of Unicode"
/*
 * Without a turn, and without anything being opened: the mailbox and the tree
 * are told with the next one.  What is wrong is told to the log.
 */
void spool_note(struct capture_user *capture, struct mbj_id mailbox);
/* The same of turn->box. */
int turn_spool_box(struct turn *turn);
/* A mailbox is made, or gets another GUID, with that.  Returns: Dovecot's. */
int turn_create_away(struct turn *turn, const struct mailbox_update *update,
		     bool directory);
int turn_update_away(struct turn *turn, const struct mailbox_update *update);
/*
 * A mailbox gets another GUID, and is another one in the journal once the tree
 * is settled: with its mail, which is told as of a spool, whoever has the next
 * turn if this process is killed.  ours: a mailbox of the journal that shows
 * whose storage it was.  -1, with why or err.
 */
int turn_give_guid(struct turn *turn, struct spot at, struct mbj_id ours);
/* Their mail, before anybody else has the lock, where the tree is settled. */
void turn_drain_renewed(struct turn *turn);
/*
 * Before the tree is settled, whereby mailboxes go: what came into others.  For
 * a while; told to the log.
 */
void turn_drain_new(struct turn *turn);
/*
 * The tree is settled, and mailboxes of the spool are made Dovecot's, for a
 * while; what is left waits for the next turn.
 */
void turn_drain(struct turn *turn);

/* Announce.  Returns: -1, told to the client. */
int turn_intent(struct turn *turn, const struct changes *changes);
/* What came out, where making the changes gave rc. */
void turn_done(struct turn *turn, const struct changes *changes,
	       enum mbj_rc rc);
/*
 * What came out is not what was announced: the outcome is what Dovecot has.
 * Where even that fails, the next change begins with it.
 */
void turn_look_again(struct turn *turn);
/*
 * It was to be refused, and so not announced: where it was done after all, or
 * left something at box's name, that is told.  Returns: ret.
 */
int turn_unannounced(struct turn *turn, int ret, struct mailbox *box);

/*
 * The node of a mailbox or place that Dovecot has; where the account has it not
 * there it is made as Dovecot is.
 * Returns: -1, told to the client.
 */
int turn_node(struct turn *turn, enum folder_kind kind,
	      const struct account_folder *folder, uint32_t *ret_node);
/* Places above node that nothing keeps any more, and Dovecot has not. */
enum mbj_rc turn_orphans(struct turn *turn, struct changes *changes,
			 uint32_t node);

#endif
