/*
 * The bytes of messages as a transaction saves them, until the journal has
 * them.  To read them back costs more, and a process that may save mail need
 * not have the key to read it: mail_crypt's private keys may have passwords.
 *
 * Invariants:
 *   1. what is kept of a message is all of what its storage was given, or
 *      nothing;
 *   2. memory is bounded (kept.c): what is longer is in a file without a name
 *      where keys are needed, and is read back from the storage otherwise.
 */
#ifndef MBJ_DOVECOT_KEPT_H
#define MBJ_DOVECOT_KEPT_H

#include "plugin.h"

enum { KEPT_GUID_SIZE = 33 }; /* hexadecimal, with NUL */

struct kept_message {
	/* Which one of the transaction's it is, those counted that are not
	 * kept. */
	unsigned int number;
	uint32_t uid; /* 0 before the commit */
	bool is_in_file;
	uoff_t at, size;	   /* in the file, or in memory */
	time_t received_date;	   /* -1: Dovecot's mail says it */
	char guid[KEPT_GUID_SIZE]; /* "": likewise */
};

struct kept;

/* Ownership is the caller's; NULL: nothing. */
struct kept *kept_new(struct mailbox *box);
void kept_free(struct kept **kept);

/*
 * A message is saved, one at a time.  guid: what it will have, as far as that
 * is known.  Returns: what its storage is to read instead; the caller
 * unreferences it.
 */
struct istream *kept_begin(struct kept *kept, unsigned int number,
			   const char *guid, struct istream *input);
/* It was saved.  No message need have begun. */
void kept_end(struct kept *kept, struct mail *saved);
/* From that number on nothing was saved.  kept may be NULL. */
void kept_forget(struct kept *kept, unsigned int number);

/* As the commit gave them, in the order of numbers; count: of all numbers. */
void kept_number(struct kept *kept, const ARRAY_TYPE(seq_range) * uids,
		 unsigned int count);
/* NULL: it is not kept.  kept may be NULL. */
const struct kept_message *kept_find(const struct kept *kept, uint32_t uid);
/* Its bytes as the storage has them.  Ownership is the caller's. */
struct istream *kept_open(const struct kept *kept,
			  const struct kept_message *message);

#endif
