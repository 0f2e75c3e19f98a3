/*
 * What message.c and message_settle.c share.  Private to these.
 */
#ifndef MBJ_DOVECOT_MESSAGE_IMPL_H
#define MBJ_DOVECOT_MESSAGE_IMPL_H

#include "mirror.h"
#include "turn.h"

/* This process has had the mailbox compared. */
bool compared_has(const struct capture_user *capture, struct mbj_id guid);
void compared_note(struct turn *turn, struct mbj_id guid);

/* It is the same mailbox: a GUID has one UIDVALIDITY in the journal. */
bool content_is_mirrored(const struct content *content,
			 const struct mirror *mirror);
/*
 * The mailbox at a name, in Dovecot and in the store, where it is the same one.
 * Returns: 1, 0 it is another, or not there, -1.
 */
int content_find(struct turn *turn, struct spot at, enum mirror_look look,
		 struct content *content, struct mirror *mirror);
/*
 * Where the two are not the same the account's tree is made Dovecot's.  One
 * that has just got another GUID is not changed by who has it open under the
 * old one, and would give it to the list's index again.  Returns: as
 * content_find.
 */
int content_find_again(struct turn *turn, struct content *content,
		       struct mirror *mirror);

/*
 * The store's mailbox is made Dovecot's, all of it, and the intent about it is
 * closed; what would take too long waits for the next turn.  What cannot be
 * read is passed if is_lenient, or an earlier turn has stopped there.
 */
int content_settle(struct turn *turn, struct mirror *mirror, bool is_lenient);
/* All that was found, and where nothing waits the intent about it. */
int content_finish(struct turn *turn, struct mirror *mirror, bool is_whole);

#endif
