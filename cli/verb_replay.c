/*
 * mbj replay: apply to a replica what it lacks of a journal.
 */
#include <inttypes.h>

#include <mbj/replay.h>

#include "cli.h"
#include "number.h"

int cli_replay_report(const struct cli_call *call,
		      const struct mbj_replay_result *result)
{
	const char *would =
		call->options.is_dry_run ? "would replay" : "replayed";
	struct mbj_buf out;
	int status;

	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(
			&out,
			"{\"schema\":\"mbj.replay/1\",\"groups\":%" PRIu64
			",\"groupsParked\":%" PRIu64
			",\"accountsParked\":%" PRIu64 ",\"applied\":%" PRIu64
			",\"sourceEnd\":%" PRIu64 ",\"blobsMissing\":%" PRIu64
			",\"groupsRetried\":%" PRIu64
			",\"accountsHealed\":%" PRIu64
			",\"accountsResynced\":%" PRIu64 ",\"dryRun\":%s}\n",
			result->groups, result->groups_parked,
			result->accounts_parked, result->applied.v,
			result->source_end.v, result->blobs_missing,
			result->groups_retried, result->accounts_healed,
			result->accounts_resynced,
			call->options.is_dry_run ? "true" : "false");
	else
		mbj_buf_format(&out,
			       "%s %" PRIu64 " groups; at group %" PRIu64
			       " of %" PRIu64 "\n",
			       would, result->groups, result->applied.v,
			       result->source_end.v);
	status = cli_write_done(call, &out);
	if (status == CLI_OK && result->groups_retried > 0)
		cli_say(call,
			"%" PRIu64 " groups that had been set aside are "
			"carried out, %" PRIu64 " accounts go on",
			result->groups_retried, result->accounts_healed);
	if (status == CLI_OK && result->accounts_resynced > 0)
		cli_say(call,
			"%" PRIu64 " accounts that had been set aside were "
			"made again from a snapshot of the source",
			result->accounts_resynced);
	if (status != CLI_OK ||
	    (result->accounts_parked == 0 && result->blobs_missing == 0))
		return status;
	if (result->blobs_missing > 0)
		cli_say(call,
			"%" PRIu64
			" contents of messages could not be fetched, "
			"the next replay asks again; the first: %s",
			result->blobs_missing, result->blobs_why.message);
	if (result->accounts_parked == 0)
		return CLI_PARTIAL;
	cli_say(call,
		"%" PRIu64
		" accounts are parked: mbj quarantine shows them, all "
		"others go on",
		result->accounts_parked);
	return CLI_PARTIAL;
}

int verb_replay(const struct cli_call *call)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_store_options usual = MBJ_STORE_OPTIONS_INIT;
	const char *source = call->operands[0];
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	int status;

	options.until.v = call->options.until;
	options.is_dry_run = call->options.is_dry_run;
	if (!number_cache_read(call, &usual.state.cache_size))
		return CLI_USAGE;
	if (mbj_replica_open(call->operands[1], &usual, &store, &err) < 0)
		return cli_fail(call, &err);
	if (mbj_replay_journal(store, source, &options, &result, &err) < 0)
		status = cli_fail(call, &err);
	else
		status = cli_replay_report(call, &result);
	mbj_store_close(&store);
	return status;
}
