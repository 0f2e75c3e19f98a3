/*
 * A group of the journal and its primitives, for people.
 */
#include <inttypes.h>

#include <mbj/jmap.h>

#include "cli.h"

static void header_print(const struct mbj_group *group, struct mbj_buf *out)
{
	const struct mbj_group_header *header = &group->header;

	mbj_buf_format(out, "group %" PRIu64 "  epoch %" PRIu64 "  ",
		       header->lsn.v, header->epoch.v);
	(void)mbj_jmap_time_print(header->time_us, out);
	mbj_buf_format(out,
		       "  %s  %" PRIu32 " accounts, %" PRIu32 " primitives\n",
		       mbj_origin_name((enum mbj_origin)header->origin),
		       header->account_count, header->op_count);
}

enum mbj_rc cli_group_print(const struct mbj_group *group, struct mbj_buf *out,
			    struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	header_print(group, out);
	if (!group->is_body_good) {
		mbj_buf_put_str(out, "    (its body is damaged)\n");
		return mbj_buf_ok(out, err);
	}
	mbj_reader_init(&reader, group->body);
	for (;;) {
		rc = mbj_group_op_next(group, &reader, &op, err);
		if (rc < 0)
			break;
		mbj_buf_put_str(out, "    ");
		mbj_op_print(out, &op);
		mbj_buf_put_str(out, "\n");
	}
	if (rc == MBJ_ENOTFOUND)
		return mbj_buf_ok(out, err);
	return rc;
}
