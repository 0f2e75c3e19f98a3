/*
 * A group of the journal and its primitives, for people.
 */
#include <inttypes.h>

#include <mbj/jmap.h>

#include "cli.h"

/* Whose it is, by the id that mbj accounts prints. */
static void account_print(const struct mbj_group *group, uint32_t index,
			  struct mbj_buf *out)
{
	struct mbj_group_account account;
	char id[MBJ_ID_TEXT_SIZE];

	mbj_group_account_get(group, index, &account);
	mbj_id_print(account.id, id);
	mbj_buf_format(out, "  account %s", id);
}

static void header_print(const struct mbj_group *group, struct mbj_buf *out)
{
	const struct mbj_group_header *header = &group->header;

	mbj_buf_format(out, "group %" PRIu64 "  epoch %" PRIu64 "  ",
		       header->lsn.v, header->epoch.v);
	(void)mbj_jmap_time_print(header->time_us, out);
	mbj_buf_format(out, "  %s",
		       mbj_origin_name((enum mbj_origin)header->origin));
	if (header->account_count == 1)
		account_print(group, 0, out);
	else
		mbj_buf_format(out, "  %" PRIu32 " accounts",
			       header->account_count);
	mbj_buf_format(out, ", %" PRIu32 " primitives\n", header->op_count);
}

enum mbj_rc cli_group_print(const struct mbj_group *group, struct mbj_buf *out,
			    struct mbj_error *err)
{
	/* One alone is in the first line. */
	uint32_t shown = group->header.account_count == 1 ? 0 : UINT32_MAX;
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
		if (op.account != shown) {
			account_print(group, op.account, out);
			mbj_buf_put_str(out, "\n");
		}
		shown = op.account;
		mbj_buf_put_str(out, "    ");
		mbj_op_print(out, &op);
		mbj_buf_put_str(out, "\n");
	}
	if (rc == MBJ_ENOTFOUND)
		return mbj_buf_ok(out, err);
	return rc;
}
