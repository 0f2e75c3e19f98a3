/*
 * New messages of one mailbox, saved under their UIDs.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_SAVE_H
#define MBJ_DOVECOT_APPLY_SAVE_H

#include "apply_body.h"

struct apply_save {
	struct apply *apply;
	struct mailbox *box;
	struct mailbox_transaction_context *t; /* NULL: none is begun */
	ARRAY_TYPE(seq_range) uids;	       /* of the transaction */
	unsigned int count;
	uint32_t next_uid; /* that Dovecot would give */
	struct body_ahead ahead;
};

enum { APPLY_GUID_SIZE = 33 }; /* hexadecimal, with NUL */

/*
 * Messages from the journal have GUIDs of their own kind, made of the digest
 * of their bytes: so they are told from what somebody else put there.
 */
void apply_guid(const struct mbj_hash *blob, char text[APPLY_GUID_SIZE]);
/* Also where it goes on as a file's name in a Maildir does. */
bool apply_guid_is_ours(const char *guid);
bool apply_guid_is(const char *guid, const struct mbj_hash *blob);

/* NULL: told, since Dovecot does not take one of them. */
struct mail_keywords *apply_keywords(struct apply *apply, struct mailbox *box,
				     const struct mbj_message *message);

/* Returns: -1, told; nothing behind it can be saved, as its UID would pass. */
int save_message(struct apply_save *save, const struct mbj_message *message);
/* Commit what was saved.  Returns: -1, told. */
int save_done(struct apply_save *save);
void save_abort(struct apply_save *save);

#endif
