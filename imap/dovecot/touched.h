/*
 * What a transaction is about to do to the messages of a mailbox, as Dovecot's
 * index has it before the commit.
 */
#ifndef MBJ_DOVECOT_TOUCHED_H
#define MBJ_DOVECOT_TOUCHED_H

#include "mirror.h"

struct touched {
	ARRAY_TYPE(uint32_t) uids; /* ascending, of what was there */
	unsigned int save_count;
	uint32_t first_saved; /* UID; 0: none, or it is not known */
	uint32_t last_saved;
	bool is_copied; /* some of it */
	struct mirror_spot before;
	/* UIDs, in an index that nobody else can read: it could not be opened.
	 */
	bool is_in_memory;
	/* What has it all once it is committed. */
	enum mirror_look look;
};

/* UIDs whose flags or keywords change, or that go. */
void touched_list(const struct mailbox_transaction_context *t,
		  ARRAY_TYPE(uint32_t) * uids);
/* Ascending, each once. */
void touched_sort(ARRAY_TYPE(uint32_t) * uids);

/*
 * All that is done is that a body was fetched, and so is seen: a client that
 * only reads.
 */
bool touched_is_only_read(const struct mailbox_transaction_context *t);

#endif
