/*
 * Lag in bytes, in words.
 */
#ifndef MBJ_CLI_BEHIND_H
#define MBJ_CLI_BEHIND_H

#include "status.h"

/* "3456 bytes", "about 70000000 bytes, 3456 of them in bulk". */
void cli_behind_text(const struct mbj_log_behind *behind, struct mbj_buf *out);
/* What a replica lacks of its source's journal; false: that is not known. */
bool cli_status_left(const struct mbj_client_status *status,
		     struct mbj_log_behind *ret_behind);
/* The words, where it is known. */
void cli_status_left_text(const struct mbj_client_status *status,
			  struct mbj_buf *out);
/* The one that lacks least; false: of none is it known. */
bool cli_replicas_least(const struct mbj_replica_note *notes, size_t count,
			struct mbj_log_behind *ret_behind);

#endif
