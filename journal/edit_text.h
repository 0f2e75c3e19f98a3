/*
 * Names and paths of an edit in messages: short, and safe on a terminal.
 * Private to journal/edit*.
 */
#ifndef MBJ_JOURNAL_EDIT_TEXT_H
#define MBJ_JOURNAL_EDIT_TEXT_H

#include <mbj/error.h>
#include <mbj/types.h>

struct edit_text {
	char s[MBJ_ERROR_SUBJECT_MAX];
};

/* Escaped, and cut with an ellipsis where it is long; returns text->s. */
const char *edit_text_show(struct edit_text *text, struct mbj_bytes utf8);

/*
 * As it is, up to a NUL or to what fits, at a character boundary: a subject
 * for mbj_error_refuse.  Returns text->s.
 */
const char *edit_text_raw(struct edit_text *text, struct mbj_bytes utf8);

/*
 * What is wrong with a text that is to be UTF-8 without control characters, as
 * words that follow its name; NULL for nothing.
 */
const char *edit_text_fault(struct mbj_bytes text);

/* err->rc where the code of a refusal is not MBJ_EINVALID; returns rc. */
enum mbj_rc edit_text_recode(struct mbj_error *err, enum mbj_rc rc);

#endif
