/*
 * Names under which apply puts mailboxes that wait for their place.
 */
#ifndef MBJ_DOVECOT_PARKED_H
#define MBJ_DOVECOT_PARKED_H

#include <lib.h>

#define PARKED_PREFIX "mbj-parked-"

struct mailbox_list;

/* A name below prefix is one of these, or is below one. */
bool parked_has(const char *vname, const char *prefix, char separator);
/* Users' lists leave them out. */
void parked_hide(struct mailbox_list *list);

#endif
