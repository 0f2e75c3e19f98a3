/*
 * Accounts that are set aside or known to differ, as JSON and as a line; see
 * parked.h.
 */
#include "parked.h"

#include <inttypes.h>

#include <mbj/jmap.h>

struct mbj_bytes parked_name(struct mbj_bytes name)
{
	return name.n > 0 ? name
			  : mbj_bytes_str("(an account this replica lacks)");
}

/* What both kinds have: whose groups, and which. */
static void aside_json(struct mbj_id account, struct mbj_bytes name,
		       bool is_first, struct mbj_lsn first, struct mbj_lsn last,
		       uint64_t groups, struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(account, id);
	mbj_buf_format(out, "%s{\"accountId\":\"%s\",\"account\":",
		       is_first ? "" : ",", id);
	mbj_jmap_string_print(parked_name(name), out);
	mbj_buf_format(out,
		       ",\"first\":%" PRIu64 ",\"last\":%" PRIu64
		       ",\"groups\":%" PRIu64,
		       first.v, last.v, groups);
}

void parked_json(const struct mbj_client_parked *p, bool is_first,
		 struct mbj_buf *out)
{
	aside_json(p->parked.account, p->name, is_first, p->parked.first,
		   p->parked.last, p->parked.count, out);
	mbj_buf_put_str(out, ",\"reason\":");
	mbj_jmap_string_print(p->parked.reason, out);
	mbj_buf_put_str(out, "}");
}

void parked_text(const struct mbj_client_parked *p, struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(p->parked.account, id);
	mbj_name_escape(out, parked_name(p->name));
	mbj_buf_format(out, " (%s): %" PRIu64 " groups from %" PRIu64 ": ", id,
		       p->parked.count, p->parked.first.v);
	mbj_name_escape(out, p->parked.reason);
	mbj_buf_put_str(out, "\n");
}

void skipped_json(const struct mbj_client_skipped *s, bool is_first,
		  struct mbj_buf *out)
{
	aside_json(s->skipped.account, s->name, is_first, s->skipped.first,
		   s->skipped.last, s->skipped.count, out);
	mbj_buf_put_str(out, "}");
}

void skipped_text(const struct mbj_client_skipped *s, struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(s->skipped.account, id);
	mbj_name_escape(out, parked_name(s->name));
	mbj_buf_format(out,
		       " (%s): differs, knowingly, since group %" PRIu64
		       "; %" PRIu64 " groups were given up, the last %" PRIu64
		       "\n",
		       id, s->skipped.first.v, s->skipped.count,
		       s->skipped.last.v);
}
