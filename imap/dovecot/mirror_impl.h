/*
 * What the files of mirror.h share.  Private to these.
 */
#ifndef MBJ_DOVECOT_MIRROR_IMPL_H
#define MBJ_DOVECOT_MIRROR_IMPL_H

#include "kept.h"
#include "mirror.h"

/* Dovecot's own failure is why.  -1 */
int mirror_why(struct mirror *mirror, const char *what);
/* As mailbox_get_seq_range: 0 where there is none. */
void mirror_seqs(const struct mirror *mirror, uint32_t first_uid,
		 uint32_t last_uid, uint32_t *ret_first, uint32_t *ret_last);
/* UID, flags and keywords; mirror->mail, if any, is set to it. */
struct content_message mirror_message(struct mirror *mirror, uint32_t seq);
void mirror_peek_end(struct mirror *mirror);
/*
 * Where the file of a message is that just came in, before anything of it is
 * asked.  In a Maildir it is opened here, by its name at the end of the list.
 * Where that is not found Dovecot is told where it is if it is in new/, as one
 * without flags: it looks there at once for the session alone that gave it its
 * UID, and for all others reads both directories whole to find it.
 */
void mirror_body_hint(struct mirror *mirror);
/* The end of a Maildir's list of messages, read at the first call. */
const char *mirror_list_end(struct mirror *mirror);
/*
 * The GUID of a message that came in, for a service that knows GUIDs; none
 * where the journal could not have it.  In memory of the data stack.
 * Returns: 1, 0 the message is gone, -1 with why.
 */
int mirror_guid(struct mirror *mirror, const struct kept_message *kept,
		struct content_message *message);
/* Or, where it is kept, it is known without the mailbox being opened. */
bool mirror_guid_is_known(struct mirror *mirror,
			  const struct kept_message *kept, uint32_t uid);
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
