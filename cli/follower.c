/*
 * See follower.h.  Connections end when they will;
 * the library says of each failure whether another one may mend it.
 */
#include "follower.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <mbj/hash.h>

#include "carrier.h"
#include "number.h"

enum {
	TIMEOUT_MS = 60000,
	/* How often the source says that it has nothing new, so that a replica
	 * that is current knows it as of no longer ago. */
	WAIT_MS = 1000,
	/* Between connections: doubled each time, to a limit, less a part by
	 * chance, so that many replicas do not come back all at once. */
	BACKOFF_MIN_MS = 250,
	BACKOFF_MAX_MS = 30000,
};

static bool name_is_text(const char *name)
{
	char escaped[MBJ_REPLICA_NAME_MAX + 1];
	struct mbj_id id;

	return !mbj_id_parse(mbj_bytes_str(name), &id) &&
	       strlen(name) <= MBJ_REPLICA_NAME_MAX &&
	       mbj_text_escape(escaped, sizeof(escaped), mbj_bytes_str(name)) ==
		       strlen(name) &&
	       strcmp(name, escaped) == 0;
}

/* What the source is to call us. */
static bool name_take(struct follower *f)
{
	const char *name = f->call->options.name;

	f->options.name = f->name;
	if (name != NULL && !name_is_text(name)) {
		cli_say(f->call,
			"--name is a text of at most %d bytes, and no id, not "
			"\"%.300s\"",
			MBJ_REPLICA_NAME_MAX, name);
		return false;
	}
	if (name != NULL)
		memcpy(f->name, name, strlen(name) + 1);
	else if (gethostname(f->name, sizeof(f->name) - 1) < 0 ||
		 !name_is_text(f->name))
		f->name[0] = '\0';
	return true;
}

/* What we are to a source by TLS: all of it is there, and in its time. */
static enum mbj_rc own_load(struct follower *f)
{
	struct tls *tls = NULL;
	enum mbj_rc rc = tls_open_late(f->tls_dir, TLS_REPLICA, &tls, &f->err);

	if (rc == MBJ_OK) {
		f->own = *tls_own(tls);
		rc = tls_own_check(tls, &f->err);
	}
	tls_close(&tls);
	return rc;
}

/* It says our name, which the source knows nobody by but by that. */
static enum mbj_rc own_name_take(struct follower *f)
{
	const char *name = f->call->options.name;

	if (name != NULL && strcmp(name, f->own.name) != 0)
		return mbj_error_set(&f->err, MBJ_EFENCED,
				     "--name %s: the certificate in %s is for "
				     "\"%s\"",
				     name, f->tls_dir, f->own.name);
	memcpy(f->name, f->own.name, strlen(f->own.name) + 1);
	return MBJ_OK;
}

static int certificate_take(struct follower *f)
{
	f->tls_dir = f->call->options.tls_dir;
	if (f->tls_dir == NULL) {
		cli_say(f->call, "%s needs --tls-dir", f->source.path);
		return CLI_USAGE;
	}
	/* Out of its time: who serves others meanwhile goes without, and each
	 * connection says it. */
	if (own_load(f) < 0 &&
	    (f->call->verb->id != CLI_VERB_SERVE || f->own.name[0] == '\0'))
		return cli_fail(f->call, &f->err);
	if (own_name_take(f) < 0) {
		cli_say(f->call, "%s", f->err.message);
		return CLI_USAGE;
	}
	return CLI_OK;
}

/* How the source is reached. */
static int source_take(struct follower *f)
{
	const struct cli_options *options = &f->call->options;
	const char *from = options->from_address != NULL ? options->from_address
							 : options->from_store;

	f->command = options->exec;
	if (options->exec != NULL)
		return CLI_OK;
	if (mbj_endpoint_parse(from, &f->source, &f->err) < 0) {
		cli_say(f->call, "%s", f->err.message);
		return CLI_USAGE;
	}
	return f->source.kind == MBJ_ENDPOINT_TLS ? certificate_take(f)
						  : CLI_OK;
}

int follower_init(struct follower *f, const struct cli_call *call, int stop_fd,
		  struct mbj_upstream *upstream)
{
	memset(f, 0, sizeof(*f));
	f->call = call;
	f->options = MBJ_STREAM_OPTIONS_INIT;
	f->options.timeout_ms = TIMEOUT_MS;
	f->options.wait_ms = WAIT_MS;
	f->options.is_once = call->options.is_once;
	f->options.is_mending = true;
	f->options.stop_fd = stop_fd;
	f->options.upstream = upstream;
	f->backoff_ms = BACKOFF_MIN_MS;
	if (!number_rate_read(call, &f->options.rate) ||
	    !number_level_read(call, "--compress", call->options.compress,
			       &f->options.level) ||
	    !name_take(f))
		return CLI_USAGE;
	return source_take(f);
}

/* Counts go on from connection to connection, the rest is as it is now. */
static void total_add(struct follower *f,
		      const struct mbj_stream_result *result)
{
	uint64_t groups = f->total.groups + result->replay.groups;
	uint64_t parked = f->total.groups_parked + result->replay.groups_parked;
	uint64_t retried =
		f->total.groups_retried + result->replay.groups_retried;
	uint64_t healed =
		f->total.accounts_healed + result->replay.accounts_healed;
	uint64_t resynced =
		f->total.accounts_resynced + result->replay.accounts_resynced;

	if (!result->is_met)
		return;
	f->total = result->replay;
	f->total.groups = groups;
	f->total.groups_parked = parked;
	f->total.groups_retried = retried;
	f->total.accounts_healed = healed;
	f->total.accounts_resynced = resynced;
}

/*
 * What another connection would meet again, unless something is mended: is it
 * that one of both refuses the other?
 */
static void failure_note(struct follower *f, enum mbj_rc rc)
{
	f->is_refused = rc == MBJ_EFENCED || rc == MBJ_EUNSUPPORTED ||
			rc == MBJ_EINVALID;
	f->is_over = f->is_over || !f->is_lasting;
}

/* A certificate for another store than that which the replica is of. */
static enum mbj_rc lineage_check(struct follower *f)
{
	struct mbj_id lineage = mbj_store_identity(f->store)->lineage;
	char own[MBJ_ID_TEXT_SIZE];
	char is[MBJ_ID_TEXT_SIZE];

	if (mbj_id_is_root(lineage) || mbj_id_equal(lineage, f->own.lineage))
		return MBJ_OK;
	mbj_id_print(f->own.lineage, own);
	mbj_id_print(lineage, is);
	return mbj_error_set(&f->err, MBJ_EFENCED,
			     "the certificate in %s is for lineage %s, the "
			     "replica is of %s",
			     f->tls_dir, own, is);
}

/* Each time anew: certificates are renewed while we run. */
static enum mbj_rc own_check(struct follower *f)
{
	enum mbj_rc rc;

	if (f->tls_dir == NULL)
		return MBJ_OK;
	rc = own_load(f);
	if (rc < 0)
		return rc;
	rc = own_name_take(f);
	if (rc == MBJ_OK)
		rc = lineage_check(f);
	if (rc < 0)
		failure_note(f, rc);
	return rc;
}

enum mbj_rc follower_reach(struct follower *f, struct carrier *ret_carrier)
{
	enum mbj_rc rc;

	if (f->command != NULL)
		rc = carrier_begin(f->command, ret_carrier, &f->err);
	else
		rc = carrier_connect(&f->source, f->tls_dir, f->options.stop_fd,
				     ret_carrier, &f->err);
	if (rc == MBJ_OK)
		carrier_offer(ret_carrier, &f->options);
	return rc;
}

/* Told to stop while it waited for the source, or for it to prove who it is. */
static bool is_stopped_before(const struct follower *f, enum mbj_rc rc)
{
	struct pollfd fd = {.fd = f->options.stop_fd, .events = POLLIN};

	return rc == MBJ_EBUSY && poll(&fd, 1, 0) > 0;
}

/* It did as it was told; but who wanted it to be there has less. */
static enum mbj_rc stop_note(struct follower *f)
{
	if (!f->options.is_once)
		return MBJ_OK;
	return mbj_error_set(&f->err, MBJ_EIO,
			     "told to stop before it was where its source is: "
			     "it goes on from here when it is run again");
}

/* Once is enough; a service shows it while it is so. */
static void less_say(struct follower *f, const struct mbj_stream_result *result)
{
	if (!result->is_met || f->is_less_said ||
	    result->level >= f->options.level)
		return;
	f->is_less_said = true;
	if (result->level == 0)
		cli_say(f->call, "what the source sends came as it is: it does "
				 "not pack");
	else
		cli_say(f->call,
			"what the source sends came packed at level %u, the "
			"most that it does",
			result->level);
}

/* One connection, from beginning to end. */
static enum mbj_rc connection_run(struct follower *f)
{
	struct mbj_stream_result result = {.is_lost = false};
	int64_t began = mbj_monotonic_ms();
	struct carrier carrier = {.process = 0};
	enum mbj_rc rc;

	f->is_over = f->options.is_once;
	f->is_renewed = false;
	f->is_refused = false;
	f->paused_ms = 0;
	mbj_upstream_connect(f->options.upstream);
	rc = own_check(f);
	if (rc == MBJ_OK)
		rc = follower_reach(f, &carrier);
	if (is_stopped_before(f, rc))
		return stop_note(f);
	if (rc < 0)
		return rc;
	rc = mbj_stream_follow(f->store, &f->options, &result, &f->err);
	carrier_end(&carrier);
	total_add(f, &result);
	less_say(f, &result);
	f->is_renewed = result.is_renewed;
	f->paused_ms = result.paused_ms;
	f->is_heard |= result.is_met || result.paused_ms > 0 ||
		       (rc < 0 && !result.is_lost);
	f->is_over =
		f->options.is_once || result.is_stopped || result.is_renewed;
	if (rc < 0 && result.is_stopped && result.is_lost)
		rc = stop_note(f);
	else if (rc < 0 && !result.is_lost && !result.is_renewed)
		failure_note(f, rc);
	if (result.is_met)
		f->is_said = false;
	/* One that brings nothing, and ends at once, may do so for ever. */
	if (result.is_met && (result.replay.groups > 0 ||
			      mbj_monotonic_ms() - began > f->backoff_ms))
		f->backoff_ms = BACKOFF_MIN_MS;
	return rc;
}

/*
 * For how long to wait: less and less often; while the source has us paused no
 * longer than that lasts, as it may end before its time.
 */
static int64_t backoff_next(struct follower *f)
{
	int64_t ms = f->backoff_ms;

	if (f->paused_ms > 0) {
		f->backoff_ms = BACKOFF_MIN_MS;
		if (f->paused_ms < BACKOFF_MIN_MS)
			return BACKOFF_MIN_MS;
		return f->paused_ms < BACKOFF_MAX_MS ? (int64_t)f->paused_ms
						     : BACKOFF_MAX_MS;
	}
	f->backoff_ms = ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms * 2;
	return ms;
}

/* True: told to stop meanwhile. */
static bool backoff_wait(struct follower *f)
{
	struct pollfd fd = {.fd = f->options.stop_fd, .events = POLLIN};
	int64_t ms = backoff_next(f);
	uint32_t chance = 0;

	if (mbj_sys_posix()->random(NULL, &chance, sizeof(chance)) == 0)
		ms -= (int64_t)(chance % (uint64_t)(ms / 2 + 1));
	return poll(&fd, 1, (int)ms) > 0;
}

/*
 * Why it ended: once is enough until that is something else, or the source was
 * met again, and of a pause, however often it is asked whether it is over.
 */
static void end_say(struct follower *f, bool was_paused)
{
	uint32_t what = mbj_crc32c(0, mbj_bytes_str(f->err.message));

	if (f->paused_ms > 0) {
		if (!was_paused)
			cli_say(f->call, "%s", f->err.message);
		f->is_said = false;
		return;
	}
	if (f->is_said && f->said == what)
		return;
	f->is_said = true;
	f->said = what;
	cli_say(f->call, "%s: %s",
		f->is_refused
			? "it cannot follow its source, and goes on trying"
			: "the connection ended, another one is made",
		f->err.message);
}

/* What the board is to say of a connection that ended. */
static void end_note(struct follower *f)
{
	if (f->is_refused)
		mbj_upstream_refuse(f->options.upstream, &f->err);
	else
		mbj_upstream_part(f->options.upstream, false, &f->err);
}

enum mbj_rc follower_run(struct follower *f, struct mbj_store *store)
{
	enum mbj_rc rc;

	f->store = store;
	for (;;) {
		bool was_paused = f->paused_ms > 0;

		rc = connection_run(f);
		if (rc == MBJ_OK || f->is_over)
			break;
		end_note(f);
		end_say(f, was_paused);
		if (backoff_wait(f)) {
			rc = MBJ_OK;
			break;
		}
	}
	mbj_upstream_part(f->options.upstream, true, rc < 0 ? &f->err : NULL);
	return rc;
}

enum mbj_rc follower_resync(struct follower *f, struct mbj_store *store,
			    struct mbj_id account,
			    struct mbj_resync_result *ret_result)
{
	struct carrier carrier = {.process = 0};
	enum mbj_rc rc = follower_reach(f, &carrier);

	if (rc < 0)
		return rc;
	rc = mbj_stream_resync(store, account, &f->options, ret_result,
			       &f->err);
	carrier_end(&carrier);
	return rc;
}
