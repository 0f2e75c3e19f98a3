/*
 * The record of accounts that were set aside; see audit.h.
 */
#include "audit.h"

#include <inttypes.h>
#include <stdlib.h>

#include <mbj/jmap.h>
#include <mbj/name.h>

static int account_order(const void *key, const void *item)
{
	const struct mbj_id *id = key;
	const struct mbj_account *account = item;

	return mbj_id_compare(*id, account->id);
}

static struct mbj_bytes name_of(const struct mbj_client_accounts *names,
				struct mbj_id id)
{
	const struct mbj_account *found = NULL;

	if (names != NULL && names->count > 0)
		found = bsearch(&id, names->accounts, names->count,
				sizeof(*names->accounts), account_order);
	return found != NULL ? found->name : mbj_bytes_str("");
}

static void entry_json(const struct mbj_audit_entry *e, struct mbj_bytes name,
		       bool is_first, struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(e->account, id);
	mbj_buf_format(out, "%s{\"number\":%" PRIu64 ",\"time\":\"",
		       is_first ? "" : ",", e->number);
	(void)mbj_jmap_time_print(e->time_us, out);
	mbj_buf_format(out, "\",\"kind\":\"%s\",\"accountId\":\"%s\",",
		       mbj_audit_kind_word(e->kind), id);
	if (name.n > 0) {
		mbj_buf_put_str(out, "\"account\":");
		mbj_jmap_string_print(name, out);
		mbj_buf_put_str(out, ",");
	}
	mbj_buf_format(out,
		       "\"byItself\":%s,\"uid\":%" PRIu32 ",\"first\":%" PRIu64
		       ",\"groups\":%" PRIu64 ",\"snapshot\":%" PRIu64
		       ",\"reason\":",
		       e->is_asked ? "false" : "true", e->uid, e->first.v,
		       e->count, e->snapshot.v);
	mbj_jmap_string_print(e->reason, out);
	mbj_buf_put_str(out, "}");
}

static void entry_text(const struct mbj_audit_entry *e, struct mbj_bytes name,
		       struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(e->account, id);
	(void)mbj_jmap_time_print(e->time_us, out);
	mbj_buf_put_str(out, "  ");
	if (name.n > 0)
		mbj_name_escape(out, name);
	mbj_buf_format(out, "%s(%s): %s", name.n > 0 ? " " : "", id,
		       mbj_audit_kind_text(e->kind));
	if (e->snapshot.v > 0)
		mbj_buf_format(out, ", that of group %" PRIu64, e->snapshot.v);
	if (e->first.v > 0)
		mbj_buf_format(out, ", %" PRIu64 " groups %s %" PRIu64,
			       e->count,
			       e->kind == MBJ_AUDIT_HEAL ? "before" : "from",
			       e->first.v);
	if (e->reason.n > 0) {
		mbj_buf_put_str(out, ": ");
		mbj_name_escape(out, e->reason);
	}
	if (e->is_asked)
		mbj_buf_format(out, " (asked for by user %" PRIu32 ")\n",
			       e->uid);
	else
		mbj_buf_put_str(out, " (by itself)\n");
}

enum mbj_rc audit_print(const char *dir, struct mbj_id account,
			const struct mbj_client_accounts *names, bool is_json,
			struct mbj_buf *out, struct mbj_error *err)
{
	struct mbj_audit_entry entry;
	struct mbj_audit_list list;
	bool is_first = true;
	enum mbj_rc rc = mbj_audit_load(NULL, dir, &list, err);

	if (rc < 0)
		return rc;
	while (mbj_audit_next(&list, &entry)) {
		if (!mbj_id_is_root(account) &&
		    !mbj_id_equal(entry.account, account))
			continue;
		if (is_json)
			entry_json(&entry, name_of(names, entry.account),
				   is_first, out);
		else
			entry_text(&entry, name_of(names, entry.account), out);
		is_first = false;
	}
	mbj_audit_list_done(&list);
	return MBJ_OK;
}
