/*
 * What mirror.c and mirror_body.c share.  Private to these.
 */
#ifndef MBJ_DOVECOT_MIRROR_IMPL_H
#define MBJ_DOVECOT_MIRROR_IMPL_H

#include "kept.h"
#include "mirror.h"

/* Dovecot's own failure is why.  -1 */
int mirror_why(struct mirror *mirror, const char *what);
/*
 * Where the file of a message is that just came in, before anything of it is
 * asked.  In a Maildir it is opened here, by its name at the end of the list.
 * Where that is not found Dovecot is told where it is if it is in new/, as one
 * without flags: it looks there at once for the session alone that gave it its
 * UID, and for all others reads both directories whole to find it.
 */
void mirror_body_hint(struct mail *mail);
/*
 * The bytes of mirror->mail, out of kept unless that is NULL.  What is short,
 * where an outcome is going to be told, is in body, which is empty before; all
 * else is in the store.
 * Returns: 1, 0 the message is gone, -1.
 */
int mirror_body_put(struct mirror *mirror, const struct kept_message *kept,
		    bool is_short, struct content_message *message,
		    struct mbj_buf *body);

#endif
