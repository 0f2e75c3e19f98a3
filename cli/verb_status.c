/*
 * mbj status: who a store is and where it stands.  While another process owns
 * the store, what its superblock and segments say; else the state too.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/replay.h>

#include "cli.h"

enum { STATUS_OUTPUT_MAX = 64 << 20 };

struct status {
	struct mbj_identity identity;
	struct mbj_log_end end;
	struct mbj_log_usage usage;
	struct mbj_watermark applied;
	struct mbj_store_recovery recovery;
	uint64_t accounts;
	uint64_t parked;
	bool is_owned;
	long pid;
	struct mbj_buf parked_text; /* lines, or JSON objects */
};

static enum mbj_rc status_journal(const char *dir, struct status *status,
				  struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_log_reader *reader = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_identity_load(sys, dir, &status->identity, err);
	if (rc < 0)
		return rc;
	rc = mbj_store_is_owned(sys, dir, &status->is_owned, &status->pid, err);
	if (rc < 0)
		return rc;
	rc = mbj_path_join(path, dir, "journal", err);
	if (rc < 0)
		return rc;
	rc = mbj_log_usage_get(sys, path, &status->usage, err);
	if (rc < 0 || mbj_id_is_root(status->identity.lineage))
		return rc;
	rc = mbj_store_log_reader(sys, dir, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(reader, &status->end, err);
	mbj_log_reader_close(&reader);
	return rc;
}

static void put_parked(struct status *status, bool is_json,
		       const struct mbj_parked *parked, struct mbj_bytes name)
{
	struct mbj_buf *out = &status->parked_text;
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(parked->account, id);
	if (is_json) {
		mbj_buf_format(out, "%s{\"accountId\":\"%s\",\"account\":",
			       status->parked ? "," : "", id);
		mbj_jmap_string_print(name, out);
		mbj_buf_format(out,
			       ",\"first\":%" PRIu64 ",\"last\":%" PRIu64
			       ",\"groups\":%" PRIu64 ",\"reason\":",
			       parked->first.v, parked->last.v, parked->count);
		mbj_jmap_string_print(parked->reason, out);
		mbj_buf_put_str(out, "}");
		return;
	}
	mbj_buf_put_str(out, "parked     ");
	mbj_name_escape(out, name);
	mbj_buf_format(out, " (%s): %" PRIu64 " groups from %" PRIu64 ": ", id,
		       parked->count, parked->first.v);
	mbj_name_escape(out, parked->reason);
	mbj_buf_put_str(out, "\n");
}

static enum mbj_rc status_accounts(struct mbj_txn *txn, struct status *status,
				   struct mbj_error *err)
{
	struct mbj_account account;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		status->accounts += rc == MBJ_OK;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc status_parked(struct mbj_txn *txn, bool is_json,
				 struct status *status, struct mbj_error *err)
{
	struct mbj_account account;
	struct mbj_parked parked;
	struct mbj_scan scan = {0};
	struct mbj_bytes name;
	enum mbj_rc rc;

	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc < 0)
			break;
		name = mbj_bytes_str("(an account this replica lacks)");
		if (mbj_txn_account_get(txn, parked.account, &account, NULL) ==
		    MBJ_OK)
			name = account.name;
		put_parked(status, is_json, &parked, name);
		status->parked++;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc status_state(const char *dir, bool is_json,
				struct status *status, struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(dir, NULL, &store, err);
	if (rc < 0)
		return rc;
	status->end = mbj_store_end(store);
	status->recovery = *mbj_store_recovery_get(store);
	rc = mbj_store_applied(store, &status->applied, err);
	if (rc < 0)
		goto out;
	rc = mbj_store_read(store, &txn, err);
	if (rc < 0)
		goto out;
	rc = status_accounts(txn, status, err);
	if (rc == MBJ_OK)
		rc = status_parked(txn, is_json, status, err);
out:
	mbj_txn_abort(&txn);
	mbj_store_close(&store);
	return rc;
}

static void put_json(const struct status *s, struct mbj_buf *out)
{
	char lineage[MBJ_ID_TEXT_SIZE];
	char instance[MBJ_ID_TEXT_SIZE];

	mbj_id_print(s->identity.lineage, lineage);
	mbj_id_print(s->identity.instance, instance);
	mbj_buf_format(out, "{\"schema\":\"mbj.status/1\",\"role\":\"%s\",",
		       mbj_store_role_name(s->identity.role));
	if (mbj_id_is_root(s->identity.lineage))
		mbj_buf_put_str(out, "\"lineage\":null,");
	else
		mbj_buf_format(out, "\"lineage\":\"%s\",", lineage);
	mbj_buf_format(out,
		       "\"instance\":\"%s\",\"epoch\":%" PRIu64
		       ",\"journalEnd\":%" PRIu64 ",\"segments\":%" PRIu64
		       ",\"journalSize\":%" PRIu64 ",",
		       instance, s->identity.epoch.v, s->end.lsn.v,
		       s->usage.segments, s->usage.size);
	if (s->is_owned)
		mbj_buf_format(out, "\"ownedBy\":%ld}\n", s->pid);
	else
		mbj_buf_format(out,
			       "\"ownedBy\":null,\"applied\":%" PRIu64
			       ",\"accounts\":%" PRIu64 ",\"parked\":[%.*s]}\n",
			       s->applied.lsn.v, s->accounts,
			       (int)s->parked_text.n,
			       s->parked_text.n ? (const char *)s->parked_text.p
						: "");
}

static void put_text(const struct status *s, struct mbj_buf *out)
{
	char lineage[MBJ_ID_TEXT_SIZE];
	char instance[MBJ_ID_TEXT_SIZE];

	mbj_id_print(s->identity.lineage, lineage);
	mbj_id_print(s->identity.instance, instance);
	mbj_buf_format(out, "role       %s\nlineage    %s\ninstance   %s\n",
		       mbj_store_role_name(s->identity.role),
		       mbj_id_is_root(s->identity.lineage) ? "none yet"
							   : lineage,
		       instance);
	mbj_buf_format(out,
		       "epoch      %" PRIu64 "\njournal    to group %" PRIu64
		       ", %" PRIu64 " segments, %" PRIu64 " bytes\n",
		       s->identity.epoch.v, s->end.lsn.v, s->usage.segments,
		       s->usage.size);
	if (s->is_owned) {
		mbj_buf_format(out, "in use     by process %ld\n", s->pid);
		return;
	}
	mbj_buf_format(out,
		       "applied    to group %" PRIu64 "\naccounts   %" PRIu64
		       ", %" PRIu64 " parked\n",
		       s->applied.lsn.v, s->accounts, s->parked);
	mbj_buf_put_bytes(out, mbj_buf_view(&s->parked_text));
	if (s->recovery.is_rebuilt)
		mbj_buf_format(out, "rebuilt    %s\n", s->recovery.reason);
}

int verb_status(const struct cli_call *call)
{
	const char *dir = call->operands[0];
	struct status status;
	struct mbj_error err;
	struct mbj_buf out;
	enum mbj_rc rc;
	int written;

	memset(&status, 0, sizeof(status));
	mbj_buf_init(&status.parked_text, STATUS_OUTPUT_MAX);
	mbj_buf_init(&out, STATUS_OUTPUT_MAX);
	rc = status_journal(dir, &status, &err);
	if (rc == MBJ_OK && !status.is_owned)
		rc = status_state(dir, call->options.is_json, &status, &err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&status.parked_text, &err);
	if (rc < 0) {
		mbj_buf_done(&status.parked_text);
		return cli_fail(call, &err);
	}
	if (call->options.is_json)
		put_json(&status, &out);
	else
		put_text(&status, &out);
	mbj_buf_done(&status.parked_text);
	written = cli_write_done(call, &out);
	if (written != CLI_OK)
		return written;
	return status.parked > 0 ? CLI_PARTIAL : CLI_OK;
}
