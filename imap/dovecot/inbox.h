/*
 * INBOX's other name: in a namespace with a prefix Dovecot takes that and
 * "INBOX", as in "INBOX.INBOX", for INBOX itself, and lists it where something
 * is below it.
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_INBOX_H
#define MBJ_DOVECOT_INBOX_H

#include <lib.h>

#include <mail-storage-private.h>

static inline bool box_is_inbox_alias(const struct mailbox *box)
{
	return box->inbox_user && strcmp(box->vname, "INBOX") != 0;
}

#endif
