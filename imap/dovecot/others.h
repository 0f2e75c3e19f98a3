/*
 * Mailboxes of another user that a user sees (namespaces of type shared): what
 * is done to their messages is in the owner's account, told by whoever does it.
 *
 * Nothing but messages, of the mailbox at hand: a user sees a part of the
 * owner's folders, under other names, so he settles nothing of them.  What
 * would need that is noted in the owner's spool, and told by the owner's next
 * change or by doveadm mbj drain.
 */
#ifndef MBJ_DOVECOT_OTHERS_H
#define MBJ_DOVECOT_OTHERS_H

#include "plugin.h"

/* Of a namespace that has an owner, who is not its user. */
bool box_is_others(struct mailbox *box);

/*
 * Whose account a mailbox's messages are in: the user's own, or, of another
 * user's mailbox, the owner's; NULL where it is in none.
 */
struct capture_user *capture_of(struct mailbox *box);

/*
 * The path that a mailbox has in its account.  A guess of another's, by this
 * user's own names: whoever asks for what is there compares the GUID.  In
 * memory of the data stack.
 */
const char *capture_path(struct mailbox *box, const char *vname);

struct turn;
/*
 * It shows that this is the owner's storage, and the lock of its list, and the
 * service's reign is the one of the owner's own sessions.  Behind
 * account_enter.
 */
bool others_can_tell(const struct turn *turn);

/* The same as far as it shows without the service, or a run of apply was. */
bool others_is_known(const struct capture_user *capture);

/* Connections, and what else there is of them. */
void others_done(struct capture_user *own);

#endif
