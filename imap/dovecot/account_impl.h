/*
 * What account.c and account_settle.c share.  Private to these.
 */
#ifndef MBJ_DOVECOT_ACCOUNT_IMPL_H
#define MBJ_DOVECOT_ACCOUNT_IMPL_H

#include "account.h"

/* One of this plugin's that is not about messages. */
bool account_intent_is_of_tree(const struct mbj_client_intent *open);
/* The intents that are open, and the tree at one instant. */
enum mbj_rc account_look(struct account *account,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
