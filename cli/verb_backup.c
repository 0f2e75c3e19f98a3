/*
 * mbj backup and mbj restore: a verified copy of a store, and a store again.
 */
#include <inttypes.h>

#include <mbj/backup.h>

#include "cli.h"

/* Who is not what the journal says, in these words; the exit status. */
static int accounts_report(const struct cli_call *call,
			   const struct mbj_backup_result *result,
			   const char *parked, const char *skipped)
{
	if (result->accounts_parked > 0)
		cli_say(call,
			"%" PRIu64 " accounts %s; of their contents %" PRIu64
			" are not here",
			result->accounts_parked, parked, result->contents_lost);
	if (result->accounts_skipped > 0)
		cli_say(call,
			"%" PRIu64
			" accounts are known to differ in it from what the "
			"journal says: groups of them were given up; %s",
			result->accounts_skipped, skipped);
	if (result->accounts_parked == 0 && result->contents_lost > 0)
		cli_say(call, "%" PRIu64 " contents are not here",
			result->contents_lost);
	return result->accounts_parked > 0 || result->accounts_skipped > 0
		       ? CLI_PARTIAL
		       : CLI_OK;
}

/* What both print. */
static int copy_report(const struct cli_call *call, const char *schema,
		       const char *done, const char *would,
		       const struct mbj_backup_result *result)
{
	bool is_dry_run = call->options.is_dry_run;
	struct mbj_buf out;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"%s\",\"before\":%" PRIu64
			       ",\"group\":%" PRIu64 ",\"contents\":%" PRIu64
			       ",\"size\":%" PRIu64 ",\"mended\":%" PRIu64,
			       schema, result->before.v, result->end.v,
			       result->contents, result->size, result->mended);
	/* Known once it was done. */
	if (call->options.is_json && !is_dry_run)
		mbj_buf_format(&out,
			       ",\"contentsLost\":%" PRIu64
			       ",\"accountsParked\":%" PRIu64
			       ",\"accountsSkipped\":%" PRIu64,
			       result->contents_lost, result->accounts_parked,
			       result->accounts_skipped);
	if (call->options.is_json)
		mbj_buf_format(&out, ",\"dryRun\":%s}\n",
			       is_dry_run ? "true" : "false");
	else if (is_dry_run)
		mbj_buf_format(&out, "would %s to group %" PRIu64 "\n", would,
			       result->end.v);
	else
		mbj_buf_format(&out,
			       "%s group %" PRIu64 ", %" PRIu64
			       " contents of %" PRIu64 " bytes\n",
			       done, result->end.v, result->contents,
			       result->size);
	return cli_write_done(call, &out);
}

int verb_backup(const struct cli_call *call)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_store_options store = MBJ_STORE_OPTIONS_INIT;
	struct mbj_backup_result result;
	struct mbj_error err;
	int status;

	status = cli_contents_take(call, call->operands[1], &store);
	if (status != CLI_OK)
		return status;
	options.store = &store;
	options.is_deep = call->options.is_deep;
	options.is_dry_run = call->options.is_dry_run;
	if (mbj_backup(call->operands[0], call->operands[1], &options, &result,
		       &err) < 0)
		return cli_fail(call, &err);
	if (result.mended > 0)
		cli_say(call,
			"%" PRIu64 " contents were missing or damaged in %s: "
			"they were copied again",
			result.mended, call->operands[1]);
	status = copy_report(call, "mbj.backup/1", "backed up to", "back up",
			     &result);
	if (status != CLI_OK)
		return status;
	return accounts_report(call, &result,
			       "are parked in it: their groups are there",
			       "where the source has made them again, \"mbj "
			       "snapshot\" of it and another backup make them "
			       "again here, too");
}

int verb_restore(const struct cli_call *call)
{
	struct mbj_restore_options options = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_store_options store = MBJ_STORE_OPTIONS_INIT;
	struct mbj_backup_result result;
	struct mbj_error err;
	int status;

	status = cli_role_parse(call, &options.role);
	if (status == CLI_OK)
		status = cli_contents_take(call, call->operands[1], &store);
	if (status != CLI_OK)
		return status;
	options.store = &store;
	options.until.v = call->options.until;
	options.is_dry_run = call->options.is_dry_run;
	if (mbj_restore(call->operands[0], call->operands[1], &options, &result,
			&err) < 0)
		return cli_fail(call, &err);
	status = copy_report(call, "mbj.restore/1", "restored to", "restore",
			     &result);
	if (status != CLI_OK)
		return status;
	return accounts_report(
		call, &result,
		options.role == MBJ_STORE_PRIMARY
			? "were set aside, or had groups given up: what waited "
			  "for them is given up, and what they are holds from "
			  "now on"
			: "are parked in it: their groups are there",
		"\"mbj quarantine\" with \"list\" says which");
}
