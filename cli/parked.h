/*
 * Accounts that are set aside, and the groups that wait, as verbs print them.
 */
#ifndef MBJ_CLI_PARKED_H
#define MBJ_CLI_PARKED_H

#include <mbj/group.h>
#include <mbj/status.h>

/* One of a list. */
void parked_json(const struct mbj_client_parked *parked, bool is_first,
		 struct mbj_buf *out);
/* One line. */
void parked_text(const struct mbj_client_parked *parked, struct mbj_buf *out);

#endif
