/*
 * Rights of an access control list as RFC 4314 writes them: a letter or digit
 * each.  Private to journal/edit*.
 */
#ifndef MBJ_JOURNAL_EDIT_RIGHTS_H
#define MBJ_JOURNAL_EDIT_RIGHTS_H

#include <mbj/types.h>

/* Every right once, and a NUL. */
enum { EDIT_RIGHTS_SIZE = 22 };

/*
 * A set of rights, in whatever order and however often each was written; c and
 * d of RFC 2086 stand for what they became (RFC 4314 section 2.1.1).  False
 * where a character is no right.
 */
bool edit_rights_parse(struct mbj_bytes text, uint32_t *ret_rights);
/* The one form of a set; *ret_text is NUL-terminated. */
void edit_rights_print(uint32_t rights, char ret_text[EDIT_RIGHTS_SIZE]);

#endif
