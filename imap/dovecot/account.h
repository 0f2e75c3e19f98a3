/*
 * A user's account in the store, spoken to through the service.
 *
 * Whoever calls holds the user's lock (turn.c) from account_enter until the
 * outcome was told: so an intent that account_enter finds open was left by
 * somebody who died, or could not tell its outcome.
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_DOVECOT_ACCOUNT_H
#define MBJ_DOVECOT_ACCOUNT_H

#include <mbj/client.h>

#include "changes.h"

#define ACCOUNT_PRODUCER "dovecot"

/* Something of a mailbox that somebody was about to change. */
struct account_doubt {
	struct mbj_id intent;
	struct mbj_id mailbox;
};

struct account {
	const char *socket; /* of the service */
	const char *name;
	char delimiter;
	/*
	 * One turn waits for the service no longer: a user does for the answer,
	 * and that user's other sessions for the lock.
	 */
	uint32_t patience_ms;
	bool is_adopting; /* a storage that has nothing in common, too */
	struct mbj_client *client; /* NULL: not yet */
	bool is_left;		   /* since the last account_enter */
	/* As of account_enter. */
	struct mbj_lsn state;
	struct mbj_tree *tree;
	size_t intent_count; /* open ones of ours, about the tree */
	/* Mailboxes whose messages an open one of ours has in doubt. */
	struct account_doubt *doubts;
	size_t doubt_count;
	/* The same of mailboxes' attributes, and of the account's own. */
	struct account_doubt *attribute_doubts;
	size_t attribute_doubt_count;
	bool has_server_doubt; /* one of intent_count may be about these */
	struct mbj_id intent;
	/* As of account_enter_messages with an aim; intent ROOT: none. */
	struct mbj_place begun;
	struct mbj_id begun_intent;
	bool is_subscribed; /* subscriptions were compared once */
	bool is_stale;	    /* Dovecot has another tree: settle it */
};

/* What Dovecot has, for where the store has nothing or is in doubt. */
struct account_folder {
	struct mbj_bytes path;
	struct mbj_id id; /* ROOT: a place in paths only */
	uint32_t uidvalidity;
	/* A mailbox that cannot be read now: the one that the store has. */
	bool is_unread;
	/*
	 * Nobody may see what is below it: that is as the store has it, and,
	 * where it is unread, too, it itself, mailbox or place.
	 */
	bool is_closed;
};

struct account_listing {
	/* Folders are some only, one of the account's, if there is one. */
	bool is_partial;
	/* Each behind what it is below. */
	struct account_folder *folders;
	size_t folder_count;
	struct mbj_bytes *subscriptions;
	size_t subscription_count;
};

enum account_need {
	ACCOUNT_READY,
	ACCOUNT_LISTING, /* call account_settle first */
};

/* Leave the service; account_enter connects again. */
void account_done(struct account *account);
/* What was read may be otherwise from now on.  The connection is kept. */
void account_leave(struct account *account);

/* Connect where we are not, and see how the account is. */
enum mbj_rc account_enter(struct account *account, enum account_need *ret_need,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* A mailbox whose messages are to be changed, and where it is. */
struct account_aim {
	struct mbj_bytes path;
	struct mbj_id mailbox;
};
/*
 * The same for a change of messages: nothing but open intents is read.  Returns
 * an account without a tree.  With an aim, where no intent is open, that change
 * is announced by the way, and what the store has there is read (begun).
 */
enum mbj_rc account_enter_messages(struct account *account,
				   const struct account_aim *aim,
				   enum account_need *ret_need,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* Its tree has to be settled by a whole listing. */
bool account_is_doubtful(const struct account *account);
/* The open intent about a mailbox that somebody left, or ROOT. */
struct mbj_id account_doubt_find(const struct account *account,
				 struct mbj_id mailbox);
/* One that was closed, or has to be looked for no more. */
void account_doubt_forget(struct account *account, struct mbj_id intent);
/*
 * Make the account, or settle what an earlier change left open, by a listing
 * that was read after account_enter.  The account is entered then.  A listing
 * that has no mailbox of an account with several is another storage's, or of
 * one that is not mounted: forbidden, unless is_adopting.
 */
enum mbj_rc account_settle(struct account *account,
			   const struct account_listing *listing,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* Before: durable once it returns.  Remembers the intent. */
enum mbj_rc account_intent(struct account *account, struct mbj_edit *edit,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* After: it was done, and edit is what came out. */
enum mbj_rc account_done_tell(struct account *account, struct mbj_edit *edit,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* The same where the last step appends body, which comes with it. */
enum mbj_rc account_done_tell_body(struct account *account,
				   struct mbj_edit *edit, struct mbj_bytes body,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* After: it was not done. */
enum mbj_rc account_failed_tell(struct account *account,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* Something that is so, and was not announced. */
enum mbj_rc account_tell(struct account *account, struct mbj_edit *edit,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* A SET of changes, an edit of METADATA, of messages: borrowed. */
struct mbj_edit account_set(const struct account *account,
			    const struct changes *changes);
struct mbj_edit account_metadata(const struct account *account,
				 const struct mbj_metadata_edit *steps,
				 size_t count);
struct mbj_edit account_messages(const struct account *account,
				 const struct mbj_message_edit *steps,
				 size_t count);

#endif
