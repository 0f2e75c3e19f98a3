/*
 * The file in which runs of apply note what came from the journal: its name,
 * and how its first line begins.  See apply_known.c, reign.h.
 */
#ifndef MBJ_DOVECOT_APPLIED_H
#define MBJ_DOVECOT_APPLIED_H

#define APPLIED_NAME "mbj-apply"
#define APPLIED_HEAD "mbj-apply 3"

#endif
