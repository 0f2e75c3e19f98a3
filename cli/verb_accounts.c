/*
 * mbj accounts: the accounts of a store, in id order.
 */
#include <inttypes.h>

#include <mbj/jmap.h>
#include <mbj/open.h>

#include "cli.h"

enum { ACCOUNTS_OUTPUT_MAX = 512 << 20 };

static void put_account(struct mbj_buf *out, bool is_json, bool is_first,
			const struct mbj_account *account)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(account->id, id);
	if (!is_json) {
		mbj_buf_format(out, "%s  %8" PRIu64 "  %10" PRIu64 "  ", id,
			       account->mailbox_count, account->lsn.v);
		mbj_name_escape(out, account->name);
		mbj_buf_put_str(out, "\n");
		return;
	}
	mbj_buf_format(out, "%s{\"id\":\"%s\",\"name\":", is_first ? "" : ",",
		       id);
	mbj_jmap_string_print(account->name, out);
	mbj_buf_format(out,
		       ",\"mailboxes\":%" PRIu64 ",\"subscriptions\":%" PRIu64
		       ",\"messages\":%" PRIu64 ",\"size\":%" PRIu64
		       ",\"state\":\"%" PRIu64 "\",\"foldsCase\":%s,"
		       "\"delimiter\":\"%c\",\"uidValidity\":%" PRIu32 "}",
		       account->mailbox_count, account->subscription_count,
		       account->message_count, account->message_size,
		       account->lsn.v,
		       account->policy.is_folding ? "true" : "false",
		       account->policy.delimiter, account->uidvalidity_last);
}

int verb_accounts(const struct cli_call *call)
{
	bool is_json = call->options.is_json;
	struct mbj_client_accounts list = {0};
	struct mbj_client *client = NULL;
	struct mbj_error err;
	struct mbj_buf out;
	enum mbj_rc rc;

	rc = mbj_client_open(call->operands[0], &client, &err);
	if (rc == MBJ_OK)
		rc = mbj_client_accounts(client, &list, &err);
	mbj_client_close(&client);
	if (rc < 0)
		return cli_fail(call, &err);
	mbj_buf_init(&out, ACCOUNTS_OUTPUT_MAX);
	if (is_json)
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.accounts/1\","
				      "\"list\":[");
	else if (call->options.is_terminal)
		mbj_buf_put_str(&out,
				"ACCOUNT                           MAILBOXES  "
				"  LAST LSN  NAME\n");
	for (size_t i = 0; i < list.count; i++)
		put_account(&out, is_json, i == 0, &list.accounts[i]);
	if (is_json)
		mbj_buf_put_str(&out, "]}\n");
	mbj_client_accounts_done(&list);
	return cli_write_done(call, &out);
}
