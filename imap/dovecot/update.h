/*
 * A mailbox that gets another GUID or UIDVALIDITY, or of which UIDNEXT or
 * HIGHESTMODSEQ rise, by doveadm mailbox update, say.
 */
#ifndef MBJ_DOVECOT_UPDATE_H
#define MBJ_DOVECOT_UPDATE_H

#include "turn.h"

/* The outcome: the mailbox at node is what Dovecot says. */
void update_tell(struct turn *turn, uint32_t node);
/* Stands in front of update_box. */
int capture_update_box(struct mailbox *box,
		       const struct mailbox_update *update);

#endif
