/*
 * mdbox: what a killed save leaves in a file of many messages, and what Dovecot
 * makes of it.
 *
 * A save writes messages behind the others of storage/m.N, then says in the
 * storage's index (dovecot.map.index) where they are.  Between the two a kill
 * leaves a tail that no index knows; the next save into that file finds it, and
 * Dovecot makes all indexes anew, and puts what it finds into mailboxes, under
 * UIDs that come next: those are used up then.
 */
#ifndef MBJ_DOVECOT_APPLY_MDBOX_H
#define MBJ_DOVECOT_APPLY_MDBOX_H

#include "apply.h"

bool mdbox_is(const struct mailbox *box);
/*
 * Tails that an earlier run has left are cut off, where nothing is in them but
 * messages of ours and a last one that is not whole; where the journal may
 * never have had them Dovecot puts them into their mailboxes instead.  Does
 * nothing where no such run was killed.  Returns: -1, told.
 */
int mdbox_tidy(struct apply *apply);
/*
 * How often the user's storages had their indexes made anew.  What is due is
 * made now, not when they are closed.
 */
uint32_t mdbox_rebuilds(struct apply *apply);

#endif
