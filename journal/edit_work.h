/*
 * One edit being worked on: what the parts of edit*.c share.
 *
 *	edit.c           which parts, in which order; accounts
 *	edit_view.c      the tree before, loaded on demand
 *	edit_set.c       SET: each change by itself
 *	edit_judge.c     SET: all changes together, on the final tree
 *	edit_rename.c    RENAME: paths to places
 *	edit_roles.c     one mailbox for each role
 *	edit_whole.c     RECONCILE, IMPORT: a whole wanted tree
 *	edit_draft.c     the wanted tree
 *	edit_ops.c       both trees, through the planner, to primitives
 *	edit_names.c     UIDVALIDITY of names
 *	edit_subscribe.c subscriptions
 *	edit_emit.c      primitives into group and transaction
 *	edit_intent.c    stages: intents, and their outcomes
 *	edit_resolve.c   RESOLVE: which intents a list settles
 *	edit_message.c   MESSAGES: step by step to primitives
 *	edit_message_set.c  of these what is there already
 *	edit_metadata.c  METADATA: quota, rights, entries, subscribed names
 *	edit_rights.c    rights as RFC 4314 writes them
 *	edit_work.c      what the resolvers share
 *
 * Private to journal/edit*.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_JOURNAL_EDIT_WORK_H
#define MBJ_JOURNAL_EDIT_WORK_H

#include "edit_draft.h"
#include "edit_emit.h"
#include "edit_run.h"
#include "edit_view.h"

/* Elements of one edit: as many as an account can hold mailboxes. */
enum { EDIT_CHANGES_MAX = MBJ_ACCOUNT_MAILBOXES_MAX };

/* An item whose name the edit itself subscribes or unsubscribes. */
struct edit_wish {
	uint32_t item;
	bool is_subscribed;
};

struct edit_work {
	struct edit_context *context;
	const struct mbj_edit *edit;
	struct mbj_account account; /* before; of an import: as created */
	struct mbj_sip_key sip;	    /* keys this edit's tables */
	uint64_t seed;		    /* keys its trees */
	struct edit_view view;
	struct edit_draft draft;
	struct mbj_tree *after;
	struct edit_wish *wishes;
	size_t wish_count;
	size_t wish_capacity;
	uint32_t uidvalidity_last; /* the account's counter as it rises */
	struct mbj_id inbox;	   /* whose messages the taker gets */
	struct mbj_id inbox_taker; /* RENAME of INBOX: its new name's mailbox */
	struct edit_emit emit;
	struct mbj_outcome outcome; /* in the making */
};

/*
 * From the edit to work->draft, valid but for slots that two items want,
 * which only a draft of a whole tree may have.  Loads what it needs.
 */
enum mbj_rc edit_set_resolve(struct edit_work *work,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc edit_rename_resolve(struct edit_work *work,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc edit_whole_resolve(struct edit_work *work,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* MESSAGES, emitted; no tree is looked at. */
enum mbj_rc edit_messages_run(struct edit_work *work,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* METADATA, emitted; likewise. */
enum mbj_rc edit_metadata_run(struct edit_work *work,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* A RENAME of INBOX: what is in it goes to target (RFC 9051 6.3.6). */
enum mbj_rc edit_take_all(struct edit_work *work, struct mbj_id inbox,
			  struct mbj_id target,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* From work->draft, sorted, to all mailbox primitives, emitted. */
enum mbj_rc edit_ops_run(struct edit_work *work,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* --------------------------------------------------------- edit_work.c */

/*
 * Judge the name that an item is to get below parent.  A mailbox that keeps
 * its stored name keeps its key, whatever the policy of today says of it.
 */
enum mbj_rc edit_name_make(struct edit_work *work, struct mbj_bytes utf8,
			   bool is_top, const struct mbj_node *before,
			   struct mbj_name *ret_name,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* True for the node that is the account's INBOX. */
bool edit_is_inbox(const struct mbj_node *node);

/*
 * With a stage another mailbox may become INBOX, and INBOX get another name (as
 * Dovecot's RENAME of INBOX has it).  Where it leaves its place one that can be
 * selected takes it.
 */
enum mbj_rc edit_inbox_check(const struct edit_work *work,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What a server with a storage of its own says of a mailbox's UIDVALIDITY, also
 * where it was another value: its clients see it.  Messages known under
 * another one are not those that it has now: MBJ_ECONFLICT, hasEmail.
 */
enum mbj_rc edit_uidvalidity_tell(struct edit_work *work,
				  struct edit_item *item, uint32_t uidvalidity,
				  struct mbj_error *err) MBJ_MUST_CHECK;

enum mbj_rc edit_wish_add(struct edit_work *work, uint32_t item,
			  bool is_subscribed,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* All-or-nothing kinds: refuse, naming an id.  why follows "mailbox <id> ". */
enum mbj_rc edit_refuse_id(struct mbj_error *err, enum mbj_refusal refusal,
			   const char *kind, struct mbj_id id,
			   const char *why) MBJ_MUST_CHECK;

/* The same with a code of its own. */
enum mbj_rc edit_refuse_id_as(struct mbj_error *err, enum mbj_refusal refusal,
			      const char *kind, struct mbj_id id,
			      enum mbj_rc rc, const char *why) MBJ_MUST_CHECK;
/* A mailbox of the account, refused as notFound where it is none. */
enum mbj_rc edit_mailbox_find(struct edit_work *work, struct mbj_id id,
			      const char *kind, struct mbj_mailbox *ret_mailbox,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* The server of the edit's account keeps its mail itself. */
static inline bool edit_has_storage(const struct mbj_edit *edit)
{
	return edit->stage != MBJ_STAGE_NONE;
}

static inline uint64_t edit_hash_id(const struct edit_work *work,
				    struct mbj_id id)
{
	return mbj_siphash(work->sip, mbj_bytes_make(id.b, sizeof(id.b)));
}

/* The hash of a slot, or of anything that is a number and a name. */
static inline uint64_t edit_hash_slot(const struct edit_work *work,
				      uint32_t parent, struct mbj_bytes key)
{
	struct mbj_sip_key sip = work->sip;

	sip.k0 ^= (uint64_t)parent << 32 | parent;
	return mbj_siphash(sip, key);
}

#endif
