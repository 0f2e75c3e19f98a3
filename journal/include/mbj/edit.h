/*
 * Compound edits: what a caller wants to become true at once, before it is
 * planned.  JMAP Mailbox/set, simultaneous renames, reconciliation with a
 * wanted tree, import: all become a tree before and a tree after, and from
 * there one call of the planner.
 *
 * Rules kept here (RFC 9051, RFC 3501, RFC 8474, RFC 8620, RFC 8621):
 *   1. inferiors move along; parents that a rename needs are created as
 *      \NonExistent mailboxes with ids of their own;
 *   2. INBOX: at the top only, one per account, never moved or deleted, but
 *      that a server with a storage of its own says which mailbox it is;
 *   3. a new mailbox takes a fresh UIDVALIDITY of the account's counter; a
 *      moved one keeps its value unless its new name once showed a higher one;
 *   4. subscriptions follow their mailboxes by default, all names at once;
 *   5. alreadyExists, mailboxHasChild, cycles and depth are judged on the final
 *      tree; of contradictory changes the later in processing order (creates,
 *      updates, destroys, each in the request's order) is refused.
 *
 * Structures are inputs: all bytes are borrowed for the call.
 */
#ifndef MBJ_EDIT_H
#define MBJ_EDIT_H

#include <mbj/error.h>
#include <mbj/group.h>
#include <mbj/message.h>
#include <mbj/plan.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum mbj_change_kind {
	MBJ_CHANGE_CREATE = 1,
	MBJ_CHANGE_UPDATE = 2,
	MBJ_CHANGE_DESTROY = 3,
};

/* Which members of a change are given. */
enum {
	MBJ_CHANGE_HAS_NAME = 1 << 0,
	MBJ_CHANGE_HAS_PARENT = 1 << 1,
	MBJ_CHANGE_HAS_ROLE = 1 << 2,
	MBJ_CHANGE_HAS_SUBSCRIBED = 1 << 3,
	MBJ_CHANGE_HAS_SELECTABLE = 1 << 4,
	/* an import, or an edit with a stage: what the server's storage has */
	MBJ_CHANGE_HAS_UIDVALIDITY = 1 << 5,
	MBJ_CHANGE_HAS_UIDNEXT = 1 << 6, /* MBJ_STAGE_RESOLVE only */
};

struct mbj_change {
	enum mbj_change_kind kind;
	unsigned has;
	struct mbj_id id;      /* a create's id is the caller's fresh one */
	struct mbj_id parent;  /* ROOT, a mailbox, or a create of this edit */
	struct mbj_bytes name; /* UTF-8 as given; judged here */
	uint8_t role;
	bool is_subscribed;
	bool is_selectable;
	uint32_t uidvalidity;
	uint32_t uidnext;
};

/*
 * A rename by path, UTF-8 with the account's delimiter.  Sources are names of
 * the tree before, targets of the tree after: on the way to a target each
 * component is the mailbox that another rename moves to that path, else the
 * child of that name that no rename moves away, else made anew, \NonExistent.
 * A target below its own source is refused, unless another mailbox takes the
 * source's name.
 */
struct mbj_rename {
	struct mbj_bytes source;
	struct mbj_bytes target;
};

enum mbj_edit_kind {
	/* changes; partial: what cannot be done is refused one by one */
	MBJ_EDIT_SET = 1,
	/* renames, all at once; all or nothing */
	MBJ_EDIT_RENAME = 2,
	/* changes of kind CREATE are the whole wanted tree; all or nothing */
	MBJ_EDIT_RECONCILE = 3,
	/* a new account with a tree of CREATEs; all or nothing */
	MBJ_EDIT_IMPORT = 4,
	MBJ_EDIT_ACCOUNT_DELETE = 5, /* one with messages: is_emptying */
	MBJ_EDIT_ACCOUNT_RENAME = 6, /* renames[0].target is the new name */
	MBJ_EDIT_MESSAGES = 7,	     /* messages, in order; all or nothing */
	MBJ_EDIT_METADATA = 8,	     /* metadata, in order; all or nothing */
	MBJ_EDIT_INTENT = 9,	     /* what an intent holds: stages below */
};

enum mbj_message_edit_kind {
	MBJ_MESSAGE_APPEND = 1,
	MBJ_MESSAGE_FLAGS = 2,
	MBJ_MESSAGE_EXPUNGE = 3,
	MBJ_MESSAGE_COPY = 4,	  /* flags and dates kept, UIDs given anew */
	MBJ_MESSAGE_MOVE = 5,	  /* likewise, and expunged (RFC 6851) */
	MBJ_MESSAGE_TAKE_ALL = 6, /* RENAME INBOX: all of it, UIDs kept */
	MBJ_MESSAGE_DOUBT = 7,	  /* what it will be is not known yet: INTENT */
	MBJ_MESSAGE_GUID = 8,	  /* of one that is there */
};

/*
 * One step of MBJ_EDIT_MESSAGES.  uids is a set in its one form
 * (mbj/message.h); UIDs that are not there are passed over.  A blob is known by
 * its digest alone: that its bytes are where they belong, and are durable, is
 * the caller's to see to before.
 *
 * FLAGS with a modseq above HIGHESTMODSEQ raises it also where no message
 * changes, if there has been one: a server's rises with its METADATA, too.
 *
 * A GUID is what the server's own storage knows a message by (mbj/message.h).
 * APPEND may bring one; GUID gives one to a message that is there.  MOVE keeps
 * it, a COPY has none.
 *
 * DOUBT changes nothing and puts all messages of mailbox in doubt: for the
 * INTENT of a server that learns UIDs, and what of a change it made, from its
 * own storage afterwards.  DONE says what came out, in steps of the other
 * kinds; none at all is possible.
 */
struct mbj_message_edit {
	enum mbj_message_edit_kind kind;
	struct mbj_id mailbox;
	struct mbj_id target;	 /* COPY, MOVE, TAKE_ALL */
	struct mbj_bytes uids;	 /* FLAGS, EXPUNGE, COPY, MOVE */
	enum mbj_flag_mode mode; /* FLAGS */
	uint32_t uid;		 /* GUID; APPEND, 0: UIDNEXT */
	uint64_t modseq;	 /* of what changes; 0: the next */
	uint8_t flags;		 /* APPEND, FLAGS */
	struct mbj_bytes keywords;
	struct mbj_hash blob; /* APPEND: SHA-256 */
	uint64_t size;	      /* and bytes of it */
	int64_t time;	      /* INTERNALDATE, seconds since 1970 */
	/* or MBJ_TIME_NOW */
	struct mbj_bytes guid; /* APPEND, GUID */
};

enum mbj_metadata_edit_kind {
	MBJ_METADATA_QUOTA = 1, /* limits of the account (RFC 9208) */
	MBJ_METADATA_ACL = 2,	/* rights of an identifier (RFC 4314) */
	MBJ_METADATA_ENTRY = 3, /* an entry of METADATA (RFC 5464) */
	/* a name, whether there is a mailbox of that name or not */
	MBJ_METADATA_SUBSCRIBE = 4,
	MBJ_METADATA_UNSUBSCRIBE = 5,
	/* an entry of the account itself, IMAP's mailbox "" (RFC 5464) */
	MBJ_METADATA_ACCOUNT_ENTRY = 6,
};

/* What the rights given do to those that the identifier has. */
enum mbj_rights_mode {
	MBJ_RIGHTS_REPLACE = 0,
	MBJ_RIGHTS_ADD = 1,
	MBJ_RIGHTS_REMOVE = 2,
};

/* Which limits a step on the quota gives. */
enum {
	MBJ_METADATA_HAS_MESSAGES = 1 << 0,
	MBJ_METADATA_HAS_SIZE = 1 << 1,
};

/*
 * One step of MBJ_EDIT_METADATA; one that changes nothing is no primitive.
 *
 * QUOTA: limits on messages and their bytes in all mailboxes together, each
 * copy counted; IMAP's MESSAGE and, in bytes where IMAP counts units of 1024,
 * STORAGE.  0 is no limit, MBJ_QUOTA_MAX the highest.  A limit below what is
 * there removes nothing: it keeps more from coming.
 *
 * ACL: name is the identifier, UTF-8 without control characters, with "-" in
 * front for rights that are taken away; value the rights, of lrswipkxtea and
 * digits, c for kx and d for te.  They are recorded once each, in that order.
 * An identifier without rights has no entry.
 *
 * ENTRY, ACCOUNT_ENTRY: name is /private/... or /shared/... of printable ASCII
 * without * and
 * %, no component empty; recorded in lower case, since case means nothing.
 * /private is the account's owner's.  value is any bytes but none: an entry
 * that is empty cannot be told from one that is not there.
 *
 * SUBSCRIBE, UNSUBSCRIBE: name is a path, as of a rename.
 */
struct mbj_metadata_edit {
	enum mbj_metadata_edit_kind kind;
	struct mbj_id mailbox; /* ACL, ENTRY */
	struct mbj_bytes name;
	struct mbj_bytes value;
	enum mbj_rights_mode mode; /* ACL */
	bool is_removed;	   /* ACL, entries: it goes (NIL) */
	unsigned has;		   /* QUOTA: which of these */
	uint64_t quota_messages;
	uint64_t quota_size; /* bytes */
};

/*
 * Why an edit with such a name would be refused: words that follow the name, or
 * NULL.  identifier: of ACL; entry: of ENTRY, ACCOUNT_ENTRY (RFC 5464 section
 * 3.2).
 */
const char *mbj_identifier_fault(struct mbj_bytes name);
const char *mbj_entry_fault(struct mbj_bytes name);

#define MBJ_QUOTA_MAX ((uint64_t)INT64_MAX) /* number64 of RFC 9208 */

/*
 * Stages of a change that is not made here, but in the mail storage of the
 * server that tells of it, which cannot share the store's transaction:
 *
 *	INTENT    before: the edit is planned, and so judged, but not carried
 *	          out; that it is about to be is durable when the call returns,
 *	          and the intent open.  An edit that would be refused is refused
 *	          now, while nothing has happened.
 *	DONE      after: the edit, which is what came out and may be another
 *	          one, and the outcome are one group.  As of INTENT, a SET is
 *	          all or nothing.
 *	FAILED    after: it did not come to it.
 *	RESOLVE   whenever intents were left open (somebody died in between):
 *	          RECONCILE with the mailboxes that the server's storage has.
 *	          The difference is planned and becomes one group with the
 *	          outcomes of the intents that it settles.
 *
 * Where a stage is refused the intent stays as it was.  One that is not open
 * any more is MBJ_ENOTFOUND: no outcome is recorded twice.  An INTENT and its
 * outcome are two edits: request ids are for one of them each.
 *
 * INTENT: intent is the id that it gets, ROOT for the request id or, without
 * one, a fresh one; producer says who is asking.  SET, RENAME, RECONCILE,
 * MESSAGES and METADATA, of MBJ_INTENT_SIZE_MAX bytes at most with what they
 * put in doubt.
 *
 * DONE, FAILED: intent is its id.  MBJ_EDIT_INTENT is what the intent itself
 * holds, and the only kind that FAILED takes; what messages came out must be
 * said.
 *
 * Which mailbox is INBOX is the server's to say in a SET or RECONCILE with a
 * stage: it may take another name, or go, where another takes its place in the
 * same edit.
 *
 * RESOLVE: the list is to have been read after the account's state was, which
 * if_in_state says (refused without if_in_state): any change or intent since is
 * a stateMismatch, and so no intent is judged by a list that is older.  It
 * settles intents about mailboxes; where messages were to move with it, as from
 * an INBOX that is renamed, only if it was not done, and otherwise whoever made
 * the list must tell.  One about messages that were to come in is settled where
 * a mailbox's UIDNEXT shows that none did, or the mailbox is gone; others about
 * messages, and about metadata, stay open: a list of mailboxes does not show
 * what became of them.  UIDVALIDITY values that are given are recorded, unless
 * a mailbox has messages under another one.
 */
enum mbj_intent_stage {
	MBJ_STAGE_NONE = 0, /* the store is the storage */
	MBJ_STAGE_INTENT = 1,
	MBJ_STAGE_DONE = 2,
	MBJ_STAGE_FAILED = 3,
	MBJ_STAGE_RESOLVE = 4,
};

/* The INTERNALDATE that the store's clock says when it carries the edit out. */
#define MBJ_TIME_NOW INT64_MIN

struct mbj_edit {
	size_t size; /* sizeof(struct mbj_edit) */
	enum mbj_edit_kind kind;
	struct mbj_bytes account; /* its name */
	const struct mbj_change *changes;
	size_t change_count;
	const struct mbj_rename *renames;
	size_t rename_count;
	const struct mbj_message_edit *messages;
	size_t message_count;
	const struct mbj_metadata_edit *metadata;
	size_t metadata_count;
	struct mbj_name_policy policy; /* IMPORT */
	bool has_if_in_state;
	struct mbj_lsn if_in_state; /* the account's LSN */
	bool is_dry_run;	    /* plan and encode, change nothing */
	/* mailboxes with messages may go: SET, RECONCILE, ACCOUNT_DELETE */
	bool is_emptying;
	bool is_subscription_kept; /* subscriptions stay with the names */
	enum mbj_origin origin;
	struct mbj_id request; /* mbj/request.h; zero for none */
	enum mbj_intent_stage stage;
	struct mbj_id intent;	   /* INTENT, DONE, FAILED */
	struct mbj_bytes producer; /* INTENT: 1 .. MBJ_PRODUCER_MAX bytes */
};

#define MBJ_EDIT_INIT ((struct mbj_edit){.size = sizeof(struct mbj_edit)})

/* Why one change of a partial edit was refused. */
struct mbj_change_result {
	enum mbj_refusal refusal; /* NONE: done */
	const char *property;	  /* static: "name", "parentId", ... or NULL */
	char *description;	  /* one line, owned by the outcome, or NULL */
};

/*
 * What became of one step of MBJ_EDIT_MESSAGES: APPENDUID and COPYUID of RFC
 * 4315 are uidvalidity and, one by one in ascending order, uids -> uid and up.
 * Ownership: uids is the outcome's.
 */
struct mbj_message_result {
	uint32_t uidvalidity;	/* of the mailbox where messages came in */
	uint32_t uid;		/* the first of them there, 0: none */
	uint64_t modseq;	/* HIGHESTMODSEQ of mailbox afterwards */
	uint64_t message_count; /* that came in, changed or went */
	struct mbj_buf uids;	/* that COPY and MOVE found, a set */
};

/*
 * What became of an edit.  Init with zeroes; mbj_outcome_done frees.
 */
struct mbj_outcome {
	struct mbj_lsn lsn;	  /* the group, 0: nothing had to change */
	struct mbj_lsn old_state; /* the account's LSN before */
	struct mbj_lsn new_state; /* and after */
	struct mbj_change_result *results; /* [change_count] for SET, or NULL */
	size_t result_count;
	size_t refused_count;
	struct mbj_message_result *messages; /* [message_count], MESSAGES */
	size_t message_count;
	struct mbj_id account; /* its id */
	struct mbj_id inbox;   /* an INBOX that IMPORT created, else ROOT */
	size_t lower_bound;    /* of the plan */
	size_t parks;
	bool is_proven;
	struct mbj_id intent;	 /* that was opened or closed, else ROOT */
	uint64_t intents_closed; /* by RESOLVE */
	uint64_t intents_left;	 /* that it could not settle */
	struct mbj_buf record;	 /* the group, also of a dry run; empty: none */
};

MBJ_API void mbj_outcome_done(struct mbj_outcome *outcome);

#ifdef __cplusplus
}
#endif

#endif
