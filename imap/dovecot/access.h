/*
 * Access control lists of Dovecot's plugin acl, as the journal has them:
 * identifiers and rights as IMAP shows them (RFC 4314), those taken away with
 * '-' in front of the identifier.
 *
 * The plugin is met where it is loaded, and not needed: nothing of it is linked
 * (as a mailbox has it, it is called through its own tables).
 */
#ifndef MBJ_DOVECOT_ACCESS_H
#define MBJ_DOVECOT_ACCESS_H

#include "attribute.h"

struct acl_object;
struct acl_rights;

/*
 * An entry without rights, which takes the place of what is less specific: to
 * the journal no rights are no entry, so that it has one that is none of
 * Dovecot's (RFC 4314 section 2: digits are a server's own).
 */
#define ACCESS_NONE "0"

/* The plugin is loaded, and keeps a list for box. */
bool access_is_on(struct mailbox *box);
/* Requires: access_is_on. */
struct acl_object *access_of(struct mailbox *box);

/*
 * As IMAP shows it; NULL: it would be taken for something else, is long, or not
 * what the journal can have (mbj/edit.h).
 */
const char *access_identifier(const struct acl_rights *rights);
/* Of Dovecot's words, in the journal's order; NULL: IMAP has not one of them.
 */
const char *access_letters(const char *const *words);
/* Of a set of letters (access_order.h).  In memory of the data stack. */
struct mbj_bytes access_print(uint32_t rights);
/* Of recorded rights those that Dovecot has.  In memory of the data stack. */
struct mbj_bytes access_known(struct mbj_bytes letters);
/*
 * One identifier's rights, and those that are taken away: none to two of
 * *list.
 * Returns: false, the journal cannot have it: *ret_why, a sentence's end.
 */
bool access_name(const struct acl_rights *rights, ARRAY_TYPE(attribute) * list,
		 const char **ret_why);
/* All but global ones.  Returns: -1, in Dovecot's log. */
int access_read(struct mailbox *box, bool is_telling,
		ARRAY_TYPE(attribute) * list);
/*
 * A change, of kind ACL, in a mailbox's list.
 * Returns: -1 with *ret_why.
 */
int access_write(struct mailbox *box, const struct attribute *change,
		 const char **ret_why);

#endif
