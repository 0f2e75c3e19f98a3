/*
 * mbj fsck: the whole journal, record by record, then the state, account by
 * account, then the contents of all messages: that they are there, or, with
 * --deep, byte for byte.  It mends nothing but what any opening does, and a
 * state in which it finds fault is made anew by the next one; with --rebuild it
 * is made again from the journal first.  With --repair, and where there is no
 * fault, what belongs to nothing is removed; with --from, too, the journal is
 * mended first by groups of another store.
 *
 * Nothing that is opened stays as it is: with -n the journal alone is looked
 * at, and, with --deep, each content that is there.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/repair.h>
#include <mbj/replay.h>

#include "cli.h"
#include "contents.h"
#include "number.h"

/* Faults of contents that are shown one by one. */
enum { CONTENTS_SHOWN = 100 };

/* Bytes of JSON.  What is said by name must not fail for its size at the end.
 */
enum { FAULTS_SIZE_MAX = 32 << 20, REPAIRS_SIZE_MAX = 512 << 20 };

struct fsck {
	size_t cache_size; /* of the state */
	uint64_t groups;
	uint64_t accounts;
	uint64_t mailboxes;
	uint64_t contents;
	uint64_t faults;
	bool is_journal_bad;
	bool has_accounts; /* they were looked at, and their mailboxes */
	bool has_contents;
	uint64_t torn_size; /* of a torn tail that was found; 0: none */
	uint64_t torn_at;   /* in torn_file */
	char torn_file[MBJ_PATH_TEXT_MAX];
	size_t mended;		     /* segments, or those that would be */
	struct mbj_lsn unsure;	     /* as mbj_mended has it */
	struct mbj_buf mended_json;  /* comma-separated objects */
	struct mbj_buf faults_json;  /* comma-separated objects */
	struct mbj_buf repairs_json; /* likewise */
};

static void fault_add(const struct cli_call *call, struct fsck *fsck,
		      const char *where, const struct mbj_error *err)
{
	struct mbj_buf *out = &fsck->faults_json;

	cli_say(call, "%s: %s", where, err->message);
	mbj_buf_format(out, "%s{\"where\":", fsck->faults ? "," : "");
	mbj_jmap_string_print(mbj_bytes_str(where), out);
	mbj_buf_put_str(out, ",\"text\":");
	mbj_jmap_string_print(mbj_bytes_str(err->message), out);
	mbj_buf_format(out, ",\"file\":");
	mbj_jmap_string_print(mbj_bytes_str(err->file), out);
	mbj_buf_format(out, ",\"offset\":%" PRIu64 ",\"lsn\":%" PRIu64 "}",
		       err->offset, err->lsn);
	fsck->faults++;
}

static void torn_note(struct fsck *fsck, const struct mbj_log_reader *reader)
{
	struct mbj_log_torn torn = mbj_log_reader_torn(reader);

	fsck->torn_size = torn.size;
	fsck->torn_at = torn.at;
	if (torn.size > 0)
		(void)snprintf(fsck->torn_file, sizeof(fsck->torn_file), "%s",
			       torn.file);
}

/* Never acknowledged: no fault. */
static void torn_say(const struct cli_call *call, const struct fsck *fsck,
		     const char *what)
{
	if (fsck->torn_size > 0)
		cli_say(call,
			"%s: a torn tail of %" PRIu64
			" bytes from byte %" PRIu64
			" on, never acknowledged, %s",
			fsck->torn_file, fsck->torn_size, fsck->torn_at, what);
}

/* Every group from the anchor to the end: sums, density, chain, primitives. */
static enum mbj_rc fsck_journal(const struct cli_call *call, const char *dir,
				struct fsck *fsck, struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_log_reader *reader = NULL;
	struct mbj_identity identity;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_identity_load(sys, dir, &identity, err);
	if (rc < 0 || mbj_id_is_root(identity.lineage))
		return rc;
	rc = mbj_store_log_reader(sys, dir, &reader, err);
	if (rc == MBJ_OK) {
		torn_note(fsck, reader);
		rc = mbj_log_reader_seek(reader, identity.anchor.first, err);
		/* Where it is to begin there is nothing: no end, a loss. */
		if (rc == MBJ_ENOTFOUND)
			rc = MBJ_ECORRUPT;
	}
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc < 0)
			break;
		fsck->groups++;
		rc = group.is_body_good
			     ? mbj_group_check(&group, err)
			     : mbj_log_reader_fault(reader, &group, err);
	}
	mbj_log_reader_close(&reader);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc == MBJ_ECORRUPT) {
		fault_add(call, fsck, "journal", err);
		fsck->is_journal_bad = true;
		return MBJ_OK;
	}
	return rc;
}

static enum mbj_rc fsck_accounts(const struct cli_call *call,
				 struct mbj_txn *txn, struct fsck *fsck,
				 struct mbj_error *err)
{
	char where[MBJ_ID_TEXT_SIZE + 16];
	char id[MBJ_ID_TEXT_SIZE];
	struct mbj_account account;
	struct mbj_scan scan = {0};
	struct mbj_digest digest;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc < 0)
			break;
		fsck->accounts++;
		fsck->mailboxes += account.mailbox_count;
		rc = mbj_txn_account_check(txn, account.id, &digest, &why);
		if (rc == MBJ_ECORRUPT) {
			mbj_id_print(account.id, id);
			(void)snprintf(where, sizeof(where), "account %s", id);
			fault_add(call, fsck, where, &why);
			rc = MBJ_OK;
		} else if (rc < 0) {
			*err = why;
		}
	}
	mbj_scan_done(&scan);
	fsck->has_accounts = true;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* store is NULL where it is not opened. */
static enum mbj_rc fsck_contents(const struct cli_call *call, const char *dir,
				 struct mbj_store *store, struct fsck *fsck,
				 struct mbj_error *err)
{
	struct contents contents;
	struct mbj_error why;
	uint64_t wrong = 0;
	enum mbj_rc rc;

	rc = contents_begin(&contents, store, dir, call->options.is_deep, err);
	while (rc == MBJ_OK) {
		rc = contents_next_fault(&contents, &why, err);
		if (rc == MBJ_OK && ++wrong <= CONTENTS_SHOWN)
			fault_add(call, fsck, "content", &why);
	}
	fsck->contents = contents.count;
	fsck->has_contents = true;
	contents_end(&contents);
	if (wrong > CONTENTS_SHOWN) {
		(void)mbj_error_set(&why, MBJ_ECORRUPT,
				    "and %" PRIu64 " contents more",
				    wrong - CONTENTS_SHOWN);
		fault_add(call, fsck, "content", &why);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static void finding_say(const struct cli_call *call,
			const struct mbj_repair_finding *finding)
{
	const char *word = mbj_repair_kind_name(finding->kind);

	if (finding->kind == MBJ_REPAIR_STRANGER)
		cli_say(call, "%s: nothing that is known, left alone",
			finding->path);
	else
		cli_say(call, "%s: %s, %s", finding->path, word,
			finding->is_removed	   ? "removed"
			: call->options.is_dry_run ? "would be removed"
						   : "not removed");
}

static enum mbj_rc fsck_repair(const struct cli_call *call,
			       struct mbj_store *store, struct fsck *fsck,
			       struct mbj_error *err)
{
	struct mbj_repair repair = {.count = 0};
	struct mbj_buf *out = &fsck->repairs_json;
	enum mbj_rc rc;

	rc = mbj_store_repair(store, call->options.is_dry_run, &repair, err);
	/* Also where it failed behind them: what is gone is told. */
	for (size_t i = 0; i < repair.count; i++) {
		const struct mbj_repair_finding *finding = &repair.findings[i];

		finding_say(call, finding);
		mbj_buf_format(out,
			       "%s{\"kind\":\"%s\",\"removed\":%s,"
			       "\"path\":",
			       i > 0 ? "," : "",
			       mbj_repair_kind_name(finding->kind),
			       finding->is_removed ? "true" : "false");
		mbj_jmap_string_print(mbj_bytes_str(finding->path), out);
		mbj_buf_put_str(out, "}");
	}
	mbj_repair_done(&repair);
	return rc;
}

static void mended_say(const struct cli_call *call,
		       const struct mbj_mended_segment *segment,
		       struct fsck *fsck)
{
	const char *what = segment->is_mended	      ? "mended"
			   : call->options.is_dry_run ? "would be mended"
						      : "not mended";
	const char *was = segment->was_missing ? "missing" : "damaged";

	char lost[64] = "";

	if (segment->fetched > 0)
		(void)snprintf(lost, sizeof(lost),
			       " (LSN %" PRIu64 " to %" PRIu64 ")",
			       segment->lost.v, segment->lost_end.v);
	cli_say(call,
		"segment %08" PRIx32 "-%016" PRIx64 " was %s: %s, %" PRIu64
		" groups of its own, %" PRIu64 " from %s%s",
		segment->number, segment->first.v, was, what, segment->kept,
		segment->fetched,
		call->options.from_repair != NULL ? call->options.from_repair
						  : "another store",
		lost);
	mbj_buf_format(&fsck->mended_json,
		       "%s{\"number\":%" PRIu32 ",\"first\":%" PRIu64
		       ",\"was\":\"%s\",\"mended\":%s,\"kept\":%" PRIu64
		       ",\"fetched\":%" PRIu64 ",\"lost\":%" PRIu64
		       ",\"lostEnd\":%" PRIu64 "}",
		       fsck->mended++ ? "," : "", segment->number,
		       segment->first.v, was,
		       segment->is_mended ? "true" : "false", segment->kept,
		       segment->fetched, segment->lost.v, segment->lost_end.v);
}

/* The journal, by groups of another store. */
static enum mbj_rc fsck_mend(const struct cli_call *call, const char *dir,
			     struct fsck *fsck, struct mbj_error *err)
{
	struct mbj_mended mended = {.count = 0};
	struct mbj_error why;
	bool has_kept = false;
	enum mbj_rc rc;

	rc = mbj_journal_mend(NULL, dir, call->options.from_repair,
			      call->options.is_dry_run, &mended, err);
	/* A failure behind some of them: what was done is told. */
	for (size_t i = 0; i < mended.count; i++)
		if (rc == MBJ_OK || mended.segments[i].is_mended)
			mended_say(call, &mended.segments[i], fsck);
	for (size_t i = 0; i < mended.count; i++)
		if (mended.segments[i].is_mended &&
		    !mended.segments[i].was_missing)
			has_kept = true;
	if (rc == MBJ_OK && fsck->mended > 0 && call->options.is_dry_run) {
		(void)mbj_error_set(&why, MBJ_ECORRUPT,
				    "%zu segments are damaged or missing, and "
				    "would be mended",
				    fsck->mended);
		fault_add(call, fsck, "journal", &why);
	}
	/* Also where nobody may be asked again: the mark may be gone. */
	if ((rc == MBJ_OK || fsck->mended > 0) && mended.unsure.v > 0)
		cli_say(call,
			"nothing tells whether the journal had group %" PRIu64
			" and more behind it: ask every other store of its "
			"lineage before this one is edited",
			mended.unsure.v);
	if (has_kept)
		cli_say(call,
			"what they were is kept as %s/journal/*.damaged* "
			"until the next --repair without --from",
			dir);
	fsck->unsure = mended.unsure;
	mbj_mended_done(&mended);
	return rc;
}

static void rebuilt_say(const struct cli_call *call,
			const struct mbj_store_recovery *recovery)
{
	if (recovery->snapshots_damaged > 0)
		cli_say(call, "%" PRIu64 " snapshots were of no use: %s",
			recovery->snapshots_damaged, recovery->snapshot_fault);
	if (recovery->snapshot.v == 0)
		cli_say(call, "the state was made again from the journal: %s",
			recovery->reason);
	else
		cli_say(call,
			"the state was made again from the snapshot of group "
			"%" PRIu64 " and the journal behind it: %s",
			recovery->snapshot.v, recovery->reason);
}

static enum mbj_rc fsck_state(const struct cli_call *call, const char *dir,
			      struct fsck *fsck, struct mbj_error *err)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	const struct mbj_store_recovery *recovery;
	struct mbj_store *store = NULL;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	options.is_rebuild_forced =
		call->options.is_rebuild && !call->options.is_dry_run;
	options.state.cache_size = fsck->cache_size;
	rc = mbj_replica_open(dir, &options, &store, err);
	if (rc < 0)
		return rc;
	recovery = mbj_store_recovery_get(store);
	if (recovery->is_rebuilt)
		rebuilt_say(call, recovery);
	torn_say(call, fsck, "was set aside");
	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = fsck_accounts(call, txn, fsck, err);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK)
		rc = fsck_contents(call, dir, store, fsck, err);
	/* What mended segments were stays as long as one may ask others. */
	if (rc == MBJ_OK && call->options.is_repair && fsck->faults == 0 &&
	    call->options.from_repair == NULL && fsck->mended == 0)
		rc = fsck_repair(call, store, fsck, err);
	mbj_store_close(&store);
	return rc;
}

/* What a dry run leaves out, and whether there is a state. */
static void fsck_say_rest(const struct cli_call *call, const char *dir,
			  const struct fsck *fsck)
{
	char path[MBJ_PATH_TEXT_MAX];

	if (fsck->faults > 0 && call->options.is_deep &&
	    mbj_path_join(path, dir, "blobs", NULL) == MBJ_OK &&
	    mbj_blobs_are_logged(mbj_sys_posix(), path))
		cli_say(call,
			"%s/log.*: contents of the last moments, which the "
			"next opening stores anew: what they have and is "
			"damaged now is no loss",
			path);

	if (mbj_path_join(path, dir, "state", NULL) == MBJ_OK &&
	    !mbj_path_exists(mbj_sys_posix(), path))
		cli_say(call, "the state is missing and would be made again "
			      "from the journal");
	cli_say(call,
		"%s would be looked at: that opens the store, so not with -n",
		call->options.is_deep
			? "accounts, and whether each content that they need "
			  "is there,"
			: "accounts and contents");
}

/* null: that was not looked at. */
static void number_print(struct mbj_buf *out, const char *name, bool is_known,
			 uint64_t number)
{
	if (is_known)
		mbj_buf_format(out, "\"%s\":%" PRIu64 ",", name, number);
	else
		mbj_buf_format(out, "\"%s\":null,", name);
}

static void torn_print(const struct fsck *fsck, struct mbj_buf *out)
{
	if (fsck->torn_size == 0) {
		mbj_buf_put_str(out, "\"tornTail\":null,");
		return;
	}
	mbj_buf_put_str(out, "\"tornTail\":{\"file\":");
	mbj_jmap_string_print(mbj_bytes_str(fsck->torn_file), out);
	mbj_buf_format(out, ",\"offset\":%" PRIu64 ",\"size\":%" PRIu64 "},",
		       fsck->torn_at, fsck->torn_size);
}

static void json_print(const struct cli_call *call, const struct fsck *fsck,
		       bool is_dry_run, struct mbj_buf *out)
{
	mbj_buf_put_str(out, "{\"schema\":\"mbj.fsck/1\",");
	number_print(out, "groups", true, fsck->groups);
	number_print(out, "accounts", fsck->has_accounts, fsck->accounts);
	number_print(out, "mailboxes", fsck->has_accounts, fsck->mailboxes);
	number_print(out, "contents", fsck->has_contents, fsck->contents);
	torn_print(fsck, out);
	mbj_buf_format(out, "\"dryRun\":%s,\"faults\":[",
		       is_dry_run ? "true" : "false");
	mbj_buf_put_bytes(out, mbj_buf_view(&fsck->faults_json));
	mbj_buf_put_str(out, "]");
	if (call->options.is_repair) {
		mbj_buf_put_str(out, ",\"repairs\":[");
		mbj_buf_put_bytes(out, mbj_buf_view(&fsck->repairs_json));
		mbj_buf_put_str(out, "]");
	}
	if (call->options.from_repair != NULL || fsck->mended > 0) {
		mbj_buf_put_str(out, ",\"mended\":[");
		mbj_buf_put_bytes(out, mbj_buf_view(&fsck->mended_json));
		mbj_buf_format(out, "],\"unsure\":%" PRIu64, fsck->unsure.v);
	}
	mbj_buf_put_str(out, "}\n");
}

static void text_print(const struct cli_call *call, const struct fsck *fsck,
		       bool is_dry_run, struct mbj_buf *out)
{
	if (is_dry_run && fsck->faults == 0 && call->options.is_rebuild) {
		mbj_buf_format(out,
			       "would make the state again from %" PRIu64
			       " groups\n",
			       fsck->groups);
		return;
	}
	mbj_buf_format(out, "%s: %" PRIu64 " groups",
		       fsck->faults  ? "damaged"
		       : !is_dry_run ? "sound"
		       : fsck->has_contents
			       ? "the journal and the contents are sound"
			       : "the journal is sound",
		       fsck->groups);
	if (fsck->has_accounts)
		mbj_buf_format(out,
			       ", %" PRIu64 " accounts, %" PRIu64 " mailboxes",
			       fsck->accounts, fsck->mailboxes);
	if (is_dry_run && fsck->has_contents)
		mbj_buf_format(out, ", %" PRIu64 " contents", fsck->contents);
	if (!is_dry_run || fsck->faults > 0)
		mbj_buf_format(out, ", %" PRIu64 " faults", fsck->faults);
	mbj_buf_put_str(out, "\n");
}

static int fsck_report(const struct cli_call *call, const struct fsck *fsck,
		       bool is_dry_run)
{
	struct mbj_buf out;
	int status;

	mbj_buf_init(&out, FAULTS_SIZE_MAX + 2 * REPAIRS_SIZE_MAX + 4096);
	if (call->options.is_json)
		json_print(call, fsck, is_dry_run, &out);
	else
		text_print(call, fsck, is_dry_run, &out);
	status = cli_write_done(call, &out);
	if (status != CLI_OK)
		return status;
	return fsck->faults || fsck->unsure.v > 0 ? CLI_CORRUPT : CLI_OK;
}

/* What was mended is told, also where nothing came of the rest. */
static int fsck_failed(const struct cli_call *call, struct fsck *fsck,
		       bool is_dry_run, const struct mbj_error *err)
{
	if (fsck->mended == 0)
		return cli_fail(call, err);
	fault_add(call, fsck, "store", err);
	(void)fsck_report(call, fsck, is_dry_run);
	return cli_exit_status(err);
}

int verb_fsck(const struct cli_call *call)
{
	const char *dir = call->operands[0];
	bool is_dry_run =
		call->options.is_dry_run &&
		(call->options.is_rebuild || !call->options.is_repair ||
		 call->options.from_repair != NULL);
	struct fsck fsck = {.cache_size = MBJ_STATE_OPTIONS_DEFAULT.cache_size};
	struct mbj_error err;
	enum mbj_rc rc;
	int status;

	if (!number_cache_read(call, &fsck.cache_size))
		return CLI_USAGE;
	mbj_buf_init(&fsck.faults_json, FAULTS_SIZE_MAX);
	mbj_buf_init(&fsck.repairs_json, REPAIRS_SIZE_MAX);
	mbj_buf_init(&fsck.mended_json, REPAIRS_SIZE_MAX);
	/* Without a source it ends what was begun. */
	rc = call->options.is_repair ? fsck_mend(call, dir, &fsck, &err)
				     : MBJ_OK;
	if (rc == MBJ_OK && fsck.faults == 0)
		rc = fsck_journal(call, dir, &fsck, &err);
	if (rc == MBJ_OK && fsck.faults == 0 && is_dry_run)
		torn_say(call, &fsck, "would be set aside by an opening");
	/* A damaged journal cannot be trusted to judge the state by. */
	if (rc == MBJ_OK && fsck.faults == 0 &&
	    (!is_dry_run ||
	     (call->options.is_repair && call->options.from_repair == NULL)))
		rc = fsck_state(call, dir, &fsck, &err);
	/* Whatever the journal is, their names say what they have to be. */
	if (rc == MBJ_OK && is_dry_run && call->options.is_deep &&
	    !fsck.has_contents)
		rc = fsck_contents(call, dir, NULL, &fsck, &err);
	if (rc == MBJ_OK && is_dry_run && !call->options.is_rebuild)
		fsck_say_rest(call, dir, &fsck);
	if (rc == MBJ_OK && call->options.is_repair && fsck.faults > 0)
		cli_say(call, "nothing %sis repaired where there are faults%s",
			fsck.mended > 0 ? "else " : "",
			fsck.is_journal_bad && call->options.from_repair == NULL
				? ", but a journal: --from SOURCE, a store of "
				  "its lineage"
				: "");
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&fsck.repairs_json, &err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&fsck.mended_json, &err);
	if (rc < 0)
		status = fsck_failed(call, &fsck, is_dry_run, &err);
	else
		status = fsck_report(call, &fsck, is_dry_run);
	mbj_buf_done(&fsck.mended_json);
	mbj_buf_done(&fsck.faults_json);
	mbj_buf_done(&fsck.repairs_json);
	return status;
}
