/*
 * Lines of the text files that a Maildir has beside its messages.
 */
#ifndef MAILDIR_TEXT_H
#define MAILDIR_TEXT_H

#include <mbj/types.h>

/* Cut the next line off, without its end.  False: nothing is left. */
bool maildir_line_next(struct mbj_bytes *rest, struct mbj_bytes *ret_line);

#endif
