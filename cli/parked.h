/*
 * Accounts that are set aside, and the groups that wait, as verbs print them.
 */
#ifndef MBJ_CLI_PARKED_H
#define MBJ_CLI_PARKED_H

#include <mbj/group.h>
#include <mbj/status.h>

/* An account's name, or what stands for one that this store lacks. */
struct mbj_bytes parked_name(struct mbj_bytes name);
/* One of a list. */
void parked_json(const struct mbj_client_parked *parked, bool is_first,
		 struct mbj_buf *out);
/* One line. */
void parked_text(const struct mbj_client_parked *parked, struct mbj_buf *out);

/* The same of accounts that are known to differ. */
void skipped_json(const struct mbj_client_skipped *skipped, bool is_first,
		  struct mbj_buf *out);
void skipped_text(const struct mbj_client_skipped *skipped,
		  struct mbj_buf *out);

#endif
