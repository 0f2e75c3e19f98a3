/*
 * The plugin's parts that know Dovecot to each other.
 */
#ifndef MBJ_DOVECOT_PLUGIN_H
#define MBJ_DOVECOT_PLUGIN_H

/* What <config.h> of Dovecot says of its own compiler is not ours. */
#include <lib.h>

#include <mail-namespace.h>
#include <mail-storage-private.h>
#include <mail-user.h>
#include <mailbox-list-iter.h>
#include <mailbox-list-private.h>

#include <array.h>

#include "account.h"
#include "spool.h"

struct acl_object;
struct acl_rights_update;
struct kept;

/* Past indexes, ACLs and mailboxes that are only made when they are opened. */
#define CAPTURE_LIST_FLAGS                                              \
	(MAILBOX_LIST_ITER_RAW_LIST | MAILBOX_LIST_ITER_NO_AUTO_BOXES | \
	 MAILBOX_LIST_ITER_SKIP_ALIASES)

_Static_assert(GUID_128_SIZE == MBJ_ID_SIZE, "a GUID is a MAILBOXID");

ARRAY_DEFINE_TYPE(mbj_id, struct mbj_id);
ARRAY_DEFINE_TYPE(capture_user, struct capture_user *);

struct capture_user {
	union mail_user_module_context module_ctx;
	struct mail_user *user;
	struct mail_namespace *inbox; /* whose list's lock is the account's */
	const char *lock_dir;	      /* which that is in; NULL: not shown */
	/* Of another user's (others.h): */
	const char *prefix; /* of his namespace here */
	const char *mark;   /* the reign of his own sessions, or NULL */
	struct account account;
	bool is_renewing; /* folder_renew */
	/* What is done comes from the journal, or is in no account. */
	bool is_aside;
	/* What changes mailboxes may have Dovecot make others on its way. */
	bool is_in_turn;
	bool is_nested; /* one was changed so, and not told yet */
	/* The turn is one of messages: the account's tree is nobody's. */
	bool is_tree_free;
	bool has_renewed;   /* mailboxes, of which the spool has the mail */
	bool is_spooling;   /* plugin { mbj_when_away = spool } */
	struct spool spool; /* as of the turn's lock */
	const char *reign;  /* as noted beside the mail (reign.h), or NULL */
	uint64_t arrivals;  /* how often something that came in was told */
	bool is_spooled;    /* the turn goes there, or a part of it */
	bool is_away_told;  /* in the log, once while it is away */
	int64_t away_ms;    /* until then the service is not asked: monotonic */
	struct timeout *idle; /* then the connection is given back */
	/* GUIDs of mailboxes that were compared with the store. */
	ARRAY_TYPE(mbj_id) compared;
	/* The same of users whose mailboxes this one sees (others.h). */
	ARRAY_TYPE(capture_user) others;
	/* What the plugin acl does for a change of a list, where it is. */
	int (*acl_update)(struct acl_object *object,
			  const struct acl_rights_update *update);
};

struct capture_box {
	union mailbox_module_context module_ctx;
	bool is_copied_to; /* in a transaction that is not told yet */
};

ARRAY_DEFINE_TYPE(metadata_edit, struct mbj_metadata_edit);

/* What a transaction does, until it is committed. */
struct capture_transaction {
	union mailbox_transaction_module_context module_ctx;
	pool_t pool;
	/* Entries of METADATA that it sets, without the mailbox. */
	ARRAY_TYPE(metadata_edit) steps;
	struct kept *kept; /* messages that it saves (kept.h), or NULL */
};

/* NULL: nothing of this user is captured. */
struct capture_user *capture_user_of(struct mail_user *user);
struct capture_box *capture_box_of(struct mailbox *box);
/* NULL: it has none. */
struct capture_transaction *
capture_transaction_of(struct mailbox_transaction_context *t);
/* The same, or a new one. */
struct capture_transaction *
capture_transaction_need(struct mailbox_transaction_context *t);
/* The same, or NULL, which is the caller's from now on. */
struct capture_transaction *
capture_transaction_take(struct mailbox_transaction_context *t);
void capture_transaction_free(struct capture_transaction **mine);

/* No turn is: the service is left unless there is one soon. */
void capture_idle(struct capture_user *capture);

/* In a format that keeps GUIDs. */
bool capture_keeps(const struct mail_storage *storage);
/* The user's own, in such a one, under its first name. */
bool capture_covers(const struct mail_namespace *ns);
/* The namespace of which one shows the mailboxes once more, or itself. */
struct mail_namespace *capture_unalias(struct mail_namespace *ns);

/*
 * Stand in front of what a mailbox does: of itself, to its messages, and to
 * its attributes, in this order.
 */
void capture_mailbox(struct mailbox *box, struct mailbox_vfuncs *v);
void capture_messages(struct mailbox *box, struct mailbox_vfuncs *v);
void capture_attributes(struct mailbox *box, struct mailbox_vfuncs *v);
/*
 * A transaction, as far as it is about messages, of which kept has what it
 * saves; NULL: nothing is kept.
 */
int capture_messages_commit(struct mailbox_transaction_context *t,
			    struct kept *kept,
			    struct mail_transaction_commit_changes *changes);

/* ------------------------------------------------------------ reading */

enum folder_kind {
	FOLDER_NONE,
	FOLDER_PLACE, /* \NoSelect, \NonExistent */
	FOLDER_MAILBOX,
};

/*
 * The mailbox at a name.  id ROOT: none is there; is_unread: one is, and cannot
 * be opened, since its deletion was begun, or, with -1, for another reason.
 * Returns: -1 with *ret_why.
 */
int mailbox_look(struct mailbox_list *list, const char *vname,
		 struct account_folder *ret_folder, const char **ret_why);

/*
 * What is at a name now: id and UIDVALIDITY are of a mailbox.
 * Returns: -1 with *ret_why, a sentence for the log.
 */
int folder_look(struct mailbox_list *list, const char *vname,
		enum folder_kind *ret_kind, struct account_folder *ret_folder,
		const char **ret_why);

/*
 * A symbolic link has that name, or one above it.  No list has such: the
 * mailbox that is found there has another name, or is nobody's here.
 */
bool name_is_linked(struct mailbox_list *list, const char *vname);

/*
 * Give a mailbox another GUID.
 * Returns: -1 with *ret_why.
 */
int folder_renew(struct capture_user *capture, struct mailbox_list *list,
		 const char *vname, struct mbj_id id, const char **ret_why);

/* Unicode's tables aside; told to the log. */
bool path_is_storable(struct capture_user *capture, const char *path);
/*
 * Dovecot has a name of the path in another form of Unicode (NFC, NFD) only:
 * made in this one, too, it would have two folders of one name of the
 * account's.  leaves: does not count, or NULL.  Returns: -1, *ret_why.
 */
int path_has_other_form(struct mailbox_list *list, const char *path,
			const char *leaves, bool *ret_has,
			const char **ret_why);

/*
 * All that is captured of a user, or, where the account is in no doubt, its
 * subscriptions and one folder that shows whose storage this is.  Names that no
 * store can have are left out, with a word in the log.  In memory of the data
 * stack.
 * Returns: -1 with *ret_why.
 */
int listing_read(struct capture_user *capture,
		 struct account_listing *ret_listing, const char **ret_why);

#endif
