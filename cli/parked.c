/*
 * Accounts that are set aside, as JSON and as a line; see parked.h.
 */
#include "parked.h"

#include <inttypes.h>

#include <mbj/jmap.h>

struct mbj_bytes parked_name(const struct mbj_client_parked *parked)
{
	if (parked->name.n > 0)
		return parked->name;
	return mbj_bytes_str("(an account this replica lacks)");
}

void parked_json(const struct mbj_client_parked *p, bool is_first,
		 struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(p->parked.account, id);
	mbj_buf_format(out, "%s{\"accountId\":\"%s\",\"account\":",
		       is_first ? "" : ",", id);
	mbj_jmap_string_print(parked_name(p), out);
	mbj_buf_format(out,
		       ",\"first\":%" PRIu64 ",\"last\":%" PRIu64
		       ",\"groups\":%" PRIu64 ",\"reason\":",
		       p->parked.first.v, p->parked.last.v, p->parked.count);
	mbj_jmap_string_print(p->parked.reason, out);
	mbj_buf_put_str(out, "}");
}

void parked_text(const struct mbj_client_parked *p, struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(p->parked.account, id);
	mbj_name_escape(out, parked_name(p));
	mbj_buf_format(out, " (%s): %" PRIu64 " groups from %" PRIu64 ": ", id,
		       p->parked.count, p->parked.first.v);
	mbj_name_escape(out, p->parked.reason);
	mbj_buf_put_str(out, "\n");
}
