/*
 * Which messages of a mailbox in Dovecot came from the journal, so that nothing
 * else is ever deleted (docs/decisions/0062-messages-origin.md).  Any of these
 * says so:
 *
 *   - a byte of its record in the mailbox's index, which comes with the message
 *     in one transaction, or when it was found equal to the journal's;
 *   - a GUID of a kind that nobody else makes, where the journal's message has
 *     none, or one that this storage cannot have;
 *   - a GUID that an earlier run was saving, or in a Maildir a name that it may
 *     have given a file, which Dovecot takes for one (apply_note.h);
 *   - a GUID that a message of the mailbox has in the journal now, which has
 *     these bytes.
 *
 * Threads: none.
 */
#ifndef MBJ_DOVECOT_APPLY_ORIGIN_H
#define MBJ_DOVECOT_APPLY_ORIGIN_H

#include <lib.h>

#include <array.h>
#include <guid.h>
#include <mail-storage-private.h>

#include <mbj/message.h>

struct apply;

enum { APPLY_GUID_SIZE = 33 }; /* hexadecimal, with NUL */

/* Of our kind, made of the digest of a message's bytes. */
void apply_guid(const struct mbj_hash *blob, char text[APPLY_GUID_SIZE]);
/* Also where it goes on as a file's name in a Maildir does. */
bool apply_guid_is_ours(const char *guid);
/*
 * The GUID that the message has in the journal, where a mailbox can have it;
 * NULL: it has none, or one that could be no file's name in a Maildir, or is 0
 * elsewhere, or may be another's as well in an mdbox.  On the data stack.
 */
const char *apply_guid_of(const struct mailbox *box,
			  const struct mbj_message *message);
/* It is that one, or one of our kind for the same bytes. */
bool apply_guid_is(const char *guid, const struct mbj_message *message);

/* A message that the account has in the mailbox. */
struct origin_message {
	guid_128_t guid;
	struct mbj_hash blob;
};

struct origin {
	struct apply *apply;
	struct mbj_id mailbox;
	uint32_t uidvalidity;
	uint64_t rev; /* of its content in the account; 0: it has none */
	/*
	 * Of a UID below only the journal's mark says anything (struct
	 * known_box).
	 */
	uint32_t doubt;
	/* Those with a GUID, in order; on the heap. */
	bool is_listed;
	ARRAY(struct origin_message) listed;
};

/*
 * The mail, which has that GUID, is that message of the journal's: bytes need
 * not be compared.  One that Dovecot did not make may be another's as well.
 */
bool origin_is_message(const struct origin *origin, struct mail *mail,
		       const char *guid, const struct mbj_message *message);
/* Returns: 1 it came from the journal, 0 nobody knows of it, -1 unreadable. */
int origin_look(struct origin *origin, struct mail *mail);
/* The message at seq, which is there or comes with t, is the journal's. */
void origin_mark(struct mailbox_transaction_context *t, uint32_t seq);
/* Likewise, unless that is known. */
void origin_mark_mail(struct mail *mail);
void origin_done(struct origin *origin);

#endif
