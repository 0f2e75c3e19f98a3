/*
 * New messages of one mailbox, saved under their UIDs.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_SAVE_H
#define MBJ_DOVECOT_APPLY_SAVE_H

#include "apply_body.h"

struct apply_save {
	struct apply *apply;
	struct mailbox *box;
	struct mbj_id mailbox;
	struct mailbox_transaction_context *t; /* NULL: none is begun */
	ARRAY_TYPE(seq_range) uids;	       /* of the transaction */
	unsigned int count;
	uint32_t next_uid;		 /* that Dovecot would give */
	struct body_ahead ahead;	 /* the page at hand */
	const struct mbj_message *noted; /* of it, up to here; or NULL */
};

/* NULL: told, since Dovecot does not take one of them. */
struct mail_keywords *apply_keywords(struct apply *apply, struct mailbox *box,
				     const struct mbj_message *message);

/* Messages that are saved are of a page, as long as that is there. */
void save_page_begin(struct apply_save *save,
		     const struct mbj_client_messages *page);
void save_page_end(struct apply_save *save);
/* Returns: -1, told; nothing behind it can be saved, as its UID would pass. */
int save_message(struct apply_save *save, const struct mbj_message *message);
/* Commit what was saved.  Returns: -1, told. */
int save_done(struct apply_save *save);
void save_abort(struct apply_save *save);

#endif
