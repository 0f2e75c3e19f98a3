/*
 * mbj verify REPLICA --from ADDRESS: compare a replica with its source while
 * both are served.
 */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/open.h>

#include "carrier.h"
#include "follower.h"
#include "number.h"
#include "verify.h"

static int far_status(const struct verify_count *count)
{
	if (count->real > 0)
		return CLI_REFUSED;
	return count->parked + count->busy > 0 ? CLI_PARTIAL : CLI_OK;
}

/* Which command makes an account again. */
static void heal_say(const struct cli_call *call)
{
	const struct cli_options *options = &call->options;

	cli_say(call,
		"mbj quarantine %s resync ACCOUNT %s '%s' makes an account of "
		"the replica again (with its service stopped)",
		call->operands[0], options->exec != NULL ? "--exec" : "--from",
		options->exec != NULL ? options->exec : options->from_address);
}

static int far_report(const struct cli_call *call,
		      const struct mbj_verify_far_totals *totals,
		      const struct verify_count *count, struct mbj_buf *out)
{
	int status = far_status(count);
	int written;

	if (call->options.is_json)
		mbj_buf_format(out,
			       "],\"accounts\":%" PRIu64
			       ",\"accountsParked\":%" PRIu64
			       ",\"accountsSkipped\":%" PRIu64
			       ",\"accountsBusy\":%" PRIu64
			       ",\"records\":%" PRIu64 ",\"first\":%" PRIu64
			       ",\"second\":%" PRIu64 ",\"equal\":%s}\n",
			       totals->accounts, totals->accounts_parked,
			       totals->accounts_skipped, totals->accounts_busy,
			       totals->records, totals->source.v,
			       totals->replica.v,
			       status == CLI_OK ? "true" : "false");
	else
		mbj_buf_format(out,
			       "%s: %" PRIu64 " accounts, %" PRIu64
			       " parked, %" PRIu64 " known to differ, %" PRIu64
			       " busy, %" PRIu64
			       " records read; from groups %" PRIu64
			       " and %" PRIu64 " on\n",
			       verify_word(status), totals->accounts,
			       totals->accounts_parked,
			       totals->accounts_skipped, totals->accounts_busy,
			       totals->records, totals->source.v,
			       totals->replica.v);
	written = cli_write_done(call, out);
	if (count->real > 0)
		heal_say(call);
	else if (status == CLI_PARTIAL)
		cli_say(call,
			"%" PRIu64 " accounts are set aside, %" PRIu64
			" known to differ, %" PRIu64
			" could not be compared now: ask again",
			totals->accounts_parked, totals->accounts_skipped,
			totals->accounts_busy);
	return written != CLI_OK ? written : status;
}

static int far_print(const struct cli_call *call, struct mbj_verify_far *verify)
{
	bool is_json = call->options.is_json;
	struct verify_count count = {.account_parked = MBJ_ID_TEMP};
	struct mbj_verify_far_totals totals;
	struct mbj_difference difference;
	struct mbj_error err;
	struct mbj_buf out;
	bool is_first = true;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&out, VERIFY_OUTPUT_MAX);
	if (is_json)
		mbj_buf_put_str(&out, "{\"schema\":\"mbj.verify/1\","
				      "\"differences\":[");
	while (rc == MBJ_OK) {
		rc = mbj_verify_far_next(verify, &difference, &err);
		if (rc < 0)
			break;
		verify_put(&out, is_json, is_first, &difference);
		verify_count_add(&count, &difference);
		is_first = false;
	}
	mbj_verify_far_totals_get(verify, &totals);
	if (rc == MBJ_ENOTFOUND)
		return far_report(call, &totals, &count, &out);
	mbj_buf_done(&out);
	return cli_fail(call, &err);
}

/* The replica's files: its own path may be that of its socket. */
static const char *replica_dir(const struct cli_call *call,
			       const struct mbj_client *replica)
{
	struct stat st;

	return stat(call->operands[0], &st) == 0 && S_ISDIR(st.st_mode)
		       ? call->operands[0]
		       : mbj_client_dir(replica);
}

static int connection_run(const struct cli_call *call, struct follower *f,
			  const struct mbj_verify_far_options *options)
{
	struct carrier carrier = {.process = 0};
	struct mbj_verify_far *verify = NULL;
	struct mbj_client *replica = NULL;
	int status;
	enum mbj_rc rc = mbj_client_open(call->operands[0], &replica, &f->err);

	if (rc < 0)
		return cli_fail(call, &f->err);
	rc = follower_reach(f, &carrier);
	if (rc < 0) {
		mbj_client_close(&replica);
		return cli_fail(call, &f->err);
	}
	rc = mbj_verify_far_begin(replica, replica_dir(call, replica),
				  &f->options, options, &verify, &f->err);
	status = rc < 0 ? cli_fail(call, &f->err) : far_print(call, verify);
	mbj_verify_far_end(&verify);
	carrier_end(&carrier);
	mbj_client_close(&replica);
	return status;
}

static bool options_take(const struct cli_call *call,
			 struct mbj_verify_far_options *options)
{
	uint64_t share = call->options.share;
	uint64_t within = call->options.patience;

	if (!number_check(call, "share", share, 100) ||
	    !number_check(call, "within", within, INT_MAX))
		return false;
	if (call->options.is_deep) {
		cli_say(call, "--deep reads what is on this machine: mbj fsck "
			      "--deep does that for the replica");
		return false;
	}
	if (call->operand_count != 1) {
		cli_say(call, "with --from or --exec one store is named, the "
			      "replica");
		return false;
	}
	if (share > 0)
		options->share = (uint32_t)share;
	if (within > 0)
		options->patience_ms = (uint32_t)within;
	return true;
}

int verify_far(const struct cli_call *call)
{
	struct mbj_verify_far_options options = MBJ_VERIFY_FAR_OPTIONS_INIT;
	struct follower f;
	int stop_fd;
	int status;

	if (!options_take(call, &options))
		return CLI_USAGE;
	stop_fd = cli_stop_open(call);
	if (stop_fd < 0)
		return CLI_FAILED;
	(void)signal(SIGPIPE, SIG_IGN);
	status = follower_init(&f, call, stop_fd, NULL);
	if (status == CLI_OK)
		status = connection_run(call, &f, &options);
	(void)close(stop_fd);
	return status;
}
