/*
 * Accounts that are set aside, and the groups that wait, as verbs print them.
 */
#ifndef MBJ_CLI_PARKED_H
#define MBJ_CLI_PARKED_H

#include <mbj/group.h>
#include <mbj/status.h>

/* The account's name, or what stands for one that this store lacks. */
struct mbj_bytes parked_name(const struct mbj_client_parked *parked);
/* One of a list. */
void parked_json(const struct mbj_client_parked *parked, bool is_first,
		 struct mbj_buf *out);
/* One line. */
void parked_text(const struct mbj_client_parked *parked, struct mbj_buf *out);

#endif
