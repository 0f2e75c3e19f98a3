/*
 * Private to base: cutting text to a fixed size, at a character boundary and
 * with an ellipsis.  Neither result overlaps text; size counts the NUL.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <mbj/error.h>
#include <mbj/types.h>

/* Keep the beginning: for what a user named. */
void text_cut_tail(char *ret_text, size_t size, const char *text);
/* Keep the end: for paths, whose last components say most. */
void text_cut_head(char *ret_text, size_t size, const char *text);

#endif
