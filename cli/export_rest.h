/*
 * What an account has and a Maildir++ has no place for.  Mail is not among it:
 * what is lost of that is said where it is written.
 */
#ifndef MBJ_CLI_EXPORT_REST_H
#define MBJ_CLI_EXPORT_REST_H

#include <mbj/tree.h>

#include "mail.h"

/* Note it, a line for each kind. */
enum mbj_rc export_rest_tell(struct mbj_txn *txn,
			     const struct mbj_account *account,
			     const struct mbj_tree *tree,
			     struct mail_report *report,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
