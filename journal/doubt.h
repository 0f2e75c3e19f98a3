/*
 * Bodies of intents, written; mbj/doubt.h reads them.  Private to journal/.
 *
 * Threads: one at a time per buffer.
 */
#ifndef MBJ_JOURNAL_DOUBT_H
#define MBJ_JOURNAL_DOUBT_H

#include <mbj/codec.h>
#include <mbj/doubt.h>

/*
 * The edit, and how many doubts will follow.  The buffer's failure says what
 * cannot be said: MBJ_ELIMIT.
 */
void doubt_body_begin(struct mbj_buf *body, const struct mbj_edit *edit,
		      uint32_t count);
void doubt_put(struct mbj_buf *body, const struct mbj_doubt *doubt);

#endif
