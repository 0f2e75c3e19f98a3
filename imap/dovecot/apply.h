/*
 * doveadm mbj apply: a user's mailboxes in Dovecot are made equal to the
 * account in a replica's store (docs/decisions/0026-dovecot-apply.md).
 *
 * By state: what the account has now is read over the service's socket, what
 * Dovecot has through lib-storage, and the difference is carried out.  A
 * mailbox is known by its GUID, never by its name, so that a run which was
 * killed anywhere is ended by the next one.
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_APPLY_H
#define MBJ_DOVECOT_APPLY_H

/* What <config.h> of Dovecot says of its own compiler is not ours. */
#include <lib.h>

#include <array.h>
#include <mail-namespace.h>
#include <mail-storage-private.h>
#include <mail-user.h>
#include <mailbox-list-private.h>

#include <mbj/client.h>

#include "applied.h"
#include "apply_note.h"
#include "attribute.h"

/*
 * What earlier runs left: which mailboxes came from the journal, so that one
 * which nobody told it is not taken for deleted there; of which store and
 * account, and of which of its groups, so that neither another one nor one that
 * is behind, or went another way, to which what came later is not there, has
 * anything deleted.  A file in the user's control directory, replaced as a
 * whole.
 */
struct known_box {
	struct mbj_id id;
	/* As the last run left it that left nothing out; mark 0: none did. */
	uint64_t rev;  /* of the account's content, 0: not walked since */
	uint32_t mark; /* below are no UIDs but the journal's */
	/*
	 * Below, but not below the mark, nothing that says that a message came
	 * from the journal (apply_origin.h) counts: it may be of a history that
	 * the journal never had.
	 */
	uint32_t doubt;
	/* Of Dovecot's mailbox. */
	uint32_t uidvalidity, uidnext, messages;
	uint64_t modseq;
};
ARRAY_DEFINE_TYPE(known_box, struct known_box);

#define KNOWN_DOUBT_ALL UINT32_MAX /* whatever is there when it is opened */

struct known {
	const char *path;
	struct applied applied;
	ARRAY_TYPE(known_box) boxes; /* by id */
	bool is_changed;
};

/* What Dovecot says of a mailbox. */
static const enum mailbox_status_items APPLY_STATUS =
	STATUS_UIDVALIDITY | STATUS_UIDNEXT | STATUS_MESSAGES |
	STATUS_HIGHESTMODSEQ;

/* A mailbox as it was when the run looked at the tree. */
struct seen_box {
	struct mbj_id id;
	struct mailbox_status status; /* APPLY_STATUS */
};
ARRAY_DEFINE_TYPE(seen_box, struct seen_box);

ARRAY_DEFINE_TYPE(apply_id, struct mbj_id);

/* How far a mailbox's access is. */
enum apply_access {
	APPLY_ACCESS_DONE,
	/* Rights are to be given, behind its mail. */
	APPLY_ACCESS_WAITS,
	/* It is not what it is to be: there is no mail for it. */
	APPLY_ACCESS_SHUT,
};

/* A path of the account's, and the one that it has here (apply_name.h). */
struct apply_fitted {
	const char *from, *to;
};

struct apply {
	struct mail_user *user;
	struct mail_namespace *inbox;
	const char *name; /* of the account */
	struct mbj_client *client;
	struct mbj_identity identity; /* of the store, as the run began */
	bool is_elsewhere;	      /* it is another one by now: told */
	struct mbj_account account;
	/* As the account has it, but for names that cannot be here. */
	struct mbj_tree *wanted;
	ARRAY(struct apply_fitted) fitted; /* on the data stack */
	struct mbj_tree *told; /* with all names, or NULL: so has wanted */
	/* Not before that. */
	struct mbj_client_contents contents;
	bool is_former;		   /* the service gives nothing many at once */
	ARRAY_TYPE(seen_box) seen; /* by id */
	struct known known;
	struct apply_note note;
	/* All that came of the account is what it was when its tree was read.
	 */
	bool is_of_one_moment;
	bool is_looking;       /* nothing of Dovecot's is changed */
	unsigned int failures; /* each is in the log */
	/* The account has some, and this Dovecot cannot have any. */
	bool lacks_entries, lacks_acl;
	uint8_t *access; /* of each node that is wanted */
};

/* A question to the service waits no longer. */
enum { APPLY_TIMEOUT_MS = 60000 };

/* One thing that is not as the journal has it.  Returns: -1. */
int apply_fail(struct apply *apply, const char *format, ...) ATTR_FORMAT(2, 3);

/* ----------------------------------------------------------------- known */

/* Lock and read.  Returns: -1, told. */
int known_open(struct apply *apply);
const struct known_box *known_find(struct known *known, struct mbj_id id);
/*
 * What is known, where it is not the mailbox that the last run left, with
 * whatever came since.  box is open, and now is its status.
 */
void known_adapt(struct apply *apply, struct known_box *known,
		 const struct mailbox *box, const struct mailbox_status *now);
/* Of something that is there nobody knows whether the journal ever had it. */
bool known_is_in_doubt(const struct known *known);
/* Requires: it is known. */
void known_set(struct known *known, const struct known_box *box);
/*
 * What was known of a mailbox that is another one by now, though under the same
 * id: on disk, before anything comes into it.  Returns: -1, told.
 */
int known_forget(struct apply *apply, struct mbj_id id);
/* All of it, on disk.  Returns: -1, told. */
int known_replace(struct apply *apply);
/*
 * All mailboxes of the account, and where it is, before anything is changed.
 * -1, told.
 */
int known_add_wanted(struct apply *apply);
/*
 * The run is over: mailboxes that the account has no more are forgotten; where
 * nothing failed, all that the account had is there; and of saves nothing is
 * left half done.  -1, told.
 */
int known_write(struct apply *apply);

/* ------------------------------------------------------------------ tree */

/* One mailbox or place of both trees. */
struct apply_folder {
	const char *vname;
	struct mbj_id id; /* ROOT: a place */
	uint32_t uidvalidity;
};
ARRAY_DEFINE_TYPE(apply_folder, struct apply_folder);

/*
 * Under which a run changes them: of INBOX's namespace last, as a session has
 * them that changes one of the others with the plugin (turn.h).
 * Returns: -1, told.
 */
int apply_lists_lock(struct apply *apply);
void apply_lists_unlock(struct apply *apply);
/* It is in the user's own namespaces, or would be. */
bool apply_is_own(struct apply *apply, const char *vname);
/* The namespace in which a mailbox of the user's is, or NULL, told. */
struct mail_namespace *apply_namespace(struct apply *apply, const char *vname);
struct mailbox *apply_box(struct apply *apply, const char *vname);
/* With all that there is in it.  Returns: -1, also where it has another id. */
int apply_box_open(struct apply *apply, struct mailbox *box, struct mbj_id id);
/* The path of a node of the account's tree, with Dovecot's separator. */
const char *apply_path(const struct apply *apply, const struct mbj_tree *tree,
		       uint32_t node);

/* All of the user's, in memory of the data stack.  Returns: -1, told. */
int folders_read(struct apply *apply, ARRAY_TYPE(apply_folder) * ret_folders);
/* What the journal deleted, and has mail that is not the journal's.  Told. */
void folders_find_own(struct apply *apply,
		      const ARRAY_TYPE(apply_folder) * folders,
		      ARRAY_TYPE(apply_id) * own);
/* Mailboxes, with GUID, UIDVALIDITY and name.  Returns: -1, told. */
int apply_tree(struct apply *apply);
/* What is in them; what fails is told. */
void apply_messages(struct apply *apply);
/*
 * A mailbox of the journal's has mail that is not, or cannot be looked into:
 * deleting it would lose that.
 */
bool apply_has_own(struct apply *apply, const char *vname, struct mbj_id id);
/*
 * A Maildir is about to get node's UIDVALIDITY, and with it an index that knows
 * nothing: what came from the journal is noted by UID.  Where it gets another
 * id as well, and has nothing else, that goes instead (*ret_is_emptied): who
 * has its id now gets it.  Returns: -1, an error of the box, or told.
 */
int apply_own_part(struct apply *apply, struct mailbox *box,
		   const struct mbj_node *node, bool *ret_is_emptied);
/* Keywords of a message in Dovecot, without regard to case. */
bool apply_keywords_are_same(struct mail *mail,
			     const struct mbj_message *message);
/*
 * Names that only the account subscribes, and that only Dovecot does: sorted,
 * on the data stack.  Returns: -1, told.
 */
int subscriptions_differ(struct apply *apply,
			 ARRAY_TYPE(const_string) * ret_missing,
			 ARRAY_TYPE(const_string) * ret_extra);
/* What the account had in one when the run began, or NULL: not known. */
const struct mbj_client_content *apply_content(const struct apply *apply,
					       struct mbj_id id);
/* Returns: -1, told. */
int apply_subscriptions(struct apply *apply);
/*
 * METADATA, and of access control lists what lets in nobody who is not let in
 * already; what fails is told.
 */
void apply_attributes(struct apply *apply);
/*
 * Of one mailbox.  *ret_gives is what is left of its list, for
 * apply_mailbox_gives once its mail is what it was to be when this was called.
 * In memory of the data stack.
 * Returns: -1 where its access is not what it is to be, told.
 */
int apply_mailbox_attributes(struct apply *apply, uint32_t node,
			     ARRAY_TYPE(attribute) * ret_gives);
int apply_mailbox_gives(struct apply *apply, uint32_t node,
			const ARRAY_TYPE(attribute) * gives);

#endif
