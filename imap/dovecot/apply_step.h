/*
 * One change of Dovecot's tree, carried out.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_STEP_H
#define MBJ_DOVECOT_APPLY_STEP_H

#include "apply.h"

/* All return -1, told. */
/* has_inbox: there is one by now.  To be listed once all are made. */
int step_create(struct apply *apply, const char *vname,
		const struct mbj_node *node, bool has_inbox);
/* The list's index has the GUID of who had a new one's name before. */
int step_list(struct apply *apply, const char *vname);
/* What is below a mailbox that is moved. */
enum step_below {
	STEP_BELOW_NOTHING,
	STEP_BELOW_SHORT, /* mailboxes */
	STEP_BELOW_LONG,  /* or one whose name Dovecot may find too long */
};
/* is_place: where nothing is there any more, nothing is to be done. */
int step_move(struct apply *apply, const char *from, const char *to,
	      bool is_place, enum step_below below);
int step_delete(struct apply *apply, const char *vname, bool is_place);
/* One that is new, if it still is. */
int step_delete_new(struct apply *apply, const char *vname);
/* GUID and UIDVALIDITY of what is there. */
int step_update(struct apply *apply, const char *vname,
		const struct mbj_node *node);

/* No message was ever in it. */
bool step_is_new(struct apply *apply, const char *vname);

#endif
