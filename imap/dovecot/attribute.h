/*
 * Attributes of one mailbox, in Dovecot and in the journal: entries of METADATA
 * and of its access control list, compared with each other.
 *
 * Dovecot keeps the server's entries (RFC 5464: those of mailbox "") with
 * INBOX's, under a name of its own; in the journal they are the account's.
 * Entries that only Dovecot may read, under its private prefix, are no
 * attributes here: keys of mail_crypt and the like are one host's.
 */
#ifndef MBJ_DOVECOT_ATTRIBUTE_H
#define MBJ_DOVECOT_ATTRIBUTE_H

/* What <config.h> of Dovecot says of its own compiler is not ours. */
#include <lib.h>

#include <array.h>
#include <mail-storage-private.h>

#include <mbj/client.h>

/*
 * When a change is made: first what makes room.  Of the changes to the list
 * that attributes_meantime makes, and of those from it on, this order lets
 * nobody in who is not to be let in at the end, wherever it is left; between
 * any two lists it does so but for entries that stand in place of others.
 */
enum attribute_turn {
	TURN_ENTRY_GOES,
	TURN_DENY, /* more rights are taken away */
	TURN_TAKE, /* fewer are given */
	TURN_GIVE, /* all others of a list, the most specific first */
	TURN_ENTRY,
};

struct attribute {
	bool is_account;	  /* the account's own, not the mailbox's */
	uint8_t kind;		  /* enum mbj_attr_kind */
	struct mbj_bytes name;	  /* as the journal has it */
	struct mbj_bytes value;	  /* empty, in a comparison: it goes */
	const char *key;	  /* Dovecot's, of METADATA, or NULL */
	enum attribute_turn turn; /* of a change */
};
ARRAY_DEFINE_TYPE(attribute, struct attribute);

struct attributes {
	ARRAY_TYPE(attribute) list; /* by is_account, kind and name */
	/* Which kinds there can be: not without a dictionary, or the plugin. */
	bool has_entries, has_acl;
};

/*
 * All of an open mailbox in Dovecot; those that the journal cannot have are
 * left out, and named in the log if is_telling; then also those that are more
 * than it takes: METADATA first, then what is given, the least specific first,
 * and what is taken away last.  In memory of the data stack.
 * Requires: allocated with MAILBOX_FLAG_IGNORE_ACLS.
 * Returns: -1 with *ret_why.
 */
int attributes_read(struct mailbox *box, bool is_telling,
		    struct attributes *ret_list, const char **ret_why);
/* A mailbox here, open or not, can have some of any kind. */
bool attributes_can_be(struct mailbox *box);
/* What the journal calls an entry of Dovecot's; false: it has none such. */
bool attribute_name(struct mailbox *box, enum mail_attribute_type type,
		    const char *key, struct attribute *ret_attribute);
/* For the log: escaped, and not all of a long one.  On the data stack. */
const char *attribute_show(struct mbj_bytes name);
/* The other way. */
const char *attribute_key(const struct attribute *attribute,
			  enum mail_attribute_type *ret_type);
/* Dovecot's own settings, such as keys, which no user sets. */
bool attribute_is_internal(const struct attribute *attribute);

/*
 * All of a mailbox in the journal, and the account's, if is_inbox.  In memory
 * of the data stack.
 * Returns: refused notFound, accountNotFound.
 */
enum mbj_rc attributes_fetch(struct mbj_client *client,
			     struct mbj_bytes account, struct mbj_bytes path,
			     bool is_inbox, struct mbj_id *ret_mailbox,
			     struct attributes *ret_list,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * What makes a list another one, of kinds that both sides can have, in the
 * order of turns.  Borrowed from both.  In memory of the data stack.
 */
void attributes_compare(const struct attributes *have,
			const struct attributes *wanted,
			ARRAY_TYPE(attribute) * ret_changes);

/*
 * A list that gives nobody more than either: for as long as a mailbox's content
 * is not what it is to be (access_order.h).  METADATA is as wanted.  Borrowed
 * from both.  In memory of the data stack.
 */
void attributes_meantime(const struct attributes *have,
			 const struct attributes *wanted,
			 struct attributes *ret_list);

/* A change as a step of MBJ_EDIT_METADATA: borrowed. */
struct mbj_metadata_edit attribute_step(const struct attribute *attribute,
					struct mbj_id mailbox);

#endif
