/*
 * See behind.h.
 */
#include "behind.h"

#include <inttypes.h>

void cli_behind_text(const struct mbj_log_behind *behind, struct mbj_buf *out)
{
	mbj_buf_format(out, "%s%" PRIu64 " bytes",
		       behind->is_exact ? "" : "about ", behind->bytes);
	if (behind->bulk > 0)
		mbj_buf_format(out, ", %s%" PRIu64 " of them in bulk",
			       behind->is_exact ? "" : "at least ",
			       behind->bulk);
}

bool cli_status_left(const struct mbj_client_status *status,
		     struct mbj_log_behind *ret_behind)
{
	const struct mbj_upstream_status *u = &status->upstream;

	*ret_behind = (struct mbj_log_behind){
		.bytes = u->behind,
		.bulk = u->behind_bulk,
		.is_exact = u->behind_known > 1,
	};
	return u->was_met && u->behind_known > 0;
}

void cli_status_left_text(const struct mbj_client_status *status,
			  struct mbj_buf *out)
{
	struct mbj_log_behind behind;

	if (cli_status_left(status, &behind))
		cli_behind_text(&behind, out);
}

bool cli_replicas_least(const struct mbj_replica_note *notes, size_t count,
			struct mbj_log_behind *ret_behind)
{
	bool is_known = false;

	for (size_t i = 0; i < count; i++) {
		if (!notes[i].is_behind_known ||
		    (is_known && notes[i].behind.bytes >= ret_behind->bytes))
			continue;
		*ret_behind = notes[i].behind;
		is_known = true;
	}
	return is_known;
}
