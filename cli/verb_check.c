/*
 * mbj check: is a store well?  One line and an exit status as monitoring
 * plugins give them (0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN), for whoever
 * wakes people.
 *
 * It looks, and never opens a store that nobody serves: that would be work for
 * whoever begins the service, done by whoever watches.
 */
#include <inttypes.h>
#include <stdarg.h>

#include "replicas.h"
#include "status.h"

enum {
	WARNING_S = 60,
	CRITICAL_S = 300,
	CHECK_OUTPUT_MAX = 64 << 10,
};

enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_CRITICAL, LEVEL_UNKNOWN };

struct check {
	const struct cli_call *call;
	uint64_t warning_s;
	uint64_t critical_s;
	enum level level;
	struct mbj_buf text; /* what was found, the worst is not first */
};

static const char *const level_words[] = {
	[LEVEL_OK] = "OK",
	[LEVEL_WARNING] = "WARNING",
	[LEVEL_CRITICAL] = "CRITICAL",
	[LEVEL_UNKNOWN] = "UNKNOWN",
};

MBJ_PRINTF(3, 4)
static void found(struct check *check, enum level level, const char *format,
		  ...)
{
	char text[2 * MBJ_ERROR_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (level > check->level)
		check->level = level;
	if (check->text.n > 0)
		mbj_buf_put_str(&check->text, "; ");
	/* A bar would begin the figures. */
	for (char *c = text; *c != '\0'; c++)
		if (*c == '|')
			*c = '/';
	mbj_name_escape(&check->text, mbj_bytes_str(text));
}

static enum level lag_level(const struct check *check,
			    const struct mbj_upstream_status *upstream)
{
	if (upstream->lag_ms / 1000 >= check->critical_s)
		return LEVEL_CRITICAL;
	/* Not known to have been current: it may be hours behind. */
	if (upstream->lag_ms / 1000 >= check->warning_s ||
	    !upstream->was_current)
		return LEVEL_WARNING;
	return LEVEL_OK;
}

static void check_upstream(struct check *check,
			   const struct mbj_client_status *s)
{
	const struct mbj_upstream_status *u = &s->upstream;
	const char *colon = u->reason[0] != '\0' ? ": " : "";

	if (s->identity.role != MBJ_STORE_REPLICA)
		return;
	if (u->state == MBJ_UPSTREAM_NONE) {
		found(check, LEVEL_WARNING,
		      "a replica that follows nobody: serve it with --exec");
		return;
	}
	if (u->state == MBJ_UPSTREAM_ENDED)
		found(check, LEVEL_CRITICAL, "it follows no more%s%s", colon,
		      u->reason);
	if (u->was_current)
		found(check, lag_level(check, u),
		      "current %" PRIu64 ".%" PRIu64 " s ago, %" PRIu64
		      " groups behind, %s",
		      u->lag_ms / 1000, u->lag_ms / 100 % 10,
		      cli_status_behind(s), mbj_upstream_word(u->state));
	else
		found(check, lag_level(check, u),
		      "not current since it began, %" PRIu64 " s ago, %s%s%s",
		      u->up_ms / 1000, mbj_upstream_word(u->state), colon,
		      u->reason);
	if (u->lost > 0)
		found(check, LEVEL_WARNING,
		      "%" PRIu64 " contents that the source has lost", u->lost);
}

/* A primary that dies is only as well as its best replica. */
static void check_replicas(struct check *check, const struct cli_status *status)
{
	uint64_t lag = 0;

	if (status->replicas_bad > 0)
		found(check, LEVEL_WARNING,
		      "%zu replicas of the register cannot be read",
		      status->replicas_bad);
	if (status->replica_count == 0)
		return;
	if (!cli_replicas_best(status->replicas, status->replica_count, &lag)) {
		found(check, LEVEL_WARNING,
		      "of no replica, of %zu, is it known how far it is",
		      status->replica_count);
		return;
	}
	found(check,
	      lag / 1000 >= check->critical_s  ? LEVEL_CRITICAL
	      : lag / 1000 >= check->warning_s ? LEVEL_WARNING
					       : LEVEL_OK,
	      "the best of %zu replicas was current %" PRIu64 ".%" PRIu64
	      " s ago",
	      status->replica_count, lag / 1000, lag / 100 % 10);
}

static void check_store(struct check *check, const struct cli_status *status)
{
	const struct mbj_client_status *s = &status->store;

	check_upstream(check, s);
	check_replicas(check, status);
	if (s->parked_count > 0)
		found(check, LEVEL_WARNING, "%zu accounts parked",
		      s->parked_count);
	if (s->space.left < s->space.min)
		found(check, LEVEL_CRITICAL,
		      "%" PRIu64 " bytes of disk left, edits are refused",
		      s->space.left);
	else if (s->space.left / 2 < s->space.min)
		found(check, LEVEL_WARNING,
		      "%" PRIu64 " bytes of disk left, edits are refused "
		      "below %" PRIu64,
		      s->space.left, s->space.min);
	if (check->text.n == 0)
		found(check, LEVEL_OK, "%s, to group %" PRIu64,
		      mbj_store_role_name(s->identity.role), s->end.lsn.v);
}

/* For graphs: label=value;warning;critical */
static void put_figures(const struct check *check,
			const struct mbj_client_status *s, struct mbj_buf *out)
{
	mbj_buf_format(out,
		       " | groups=%" PRIu64 "c accounts=%" PRIu64
		       " parked=%zu;0 intents=%" PRIu64,
		       s->end.lsn.v, s->account_count, s->parked_count,
		       s->intent_count);
	if (s->space.left != UINT64_MAX)
		mbj_buf_format(out, " space=%" PRIu64 "B;;%" PRIu64 ":",
			       s->space.left, s->space.min);
	if (s->upstream.state != MBJ_UPSTREAM_NONE)
		mbj_buf_format(out,
			       " lag=%" PRIu64 ".%03" PRIu64 "s;%" PRIu64
			       ";%" PRIu64 " behind=%" PRIu64,
			       s->upstream.lag_ms / 1000,
			       s->upstream.lag_ms % 1000, check->warning_s,
			       check->critical_s, cli_status_behind(s));
}

static int check_end(struct check *check, const struct cli_status *status)
{
	struct mbj_buf out;

	mbj_buf_init(&out, CHECK_OUTPUT_MAX);
	mbj_buf_format(&out, "MBJ %s: ", level_words[check->level]);
	mbj_buf_put_bytes(&out, mbj_buf_view(&check->text));
	if (status != NULL && status->is_served)
		put_figures(check, &status->store, &out);
	mbj_buf_put_str(&out, "\n");
	mbj_buf_done(&check->text);
	if (cli_write_done(check->call, &out) != CLI_OK)
		return LEVEL_UNKNOWN;
	return (int)check->level;
}

int verb_check(const struct cli_call *call)
{
	const struct cli_options *options = &call->options;
	struct check check = {.call = call,
			      .warning_s = WARNING_S,
			      .critical_s = CRITICAL_S};
	struct cli_status status;
	struct mbj_error err;
	int level;

	if (options->warning != 0)
		check.warning_s = options->warning;
	if (options->critical != 0)
		check.critical_s = options->critical;
	mbj_buf_init(&check.text, CHECK_OUTPUT_MAX / 2);
	if (cli_status_look(call->operands[0], &status, &err) < 0) {
		found(&check,
		      err.rc == MBJ_ECORRUPT ? LEVEL_CRITICAL : LEVEL_UNKNOWN,
		      "%s", err.message);
		return check_end(&check, NULL);
	}
	if (status.is_served)
		check_store(&check, &status);
	else if (status.why.rc != MBJ_ENOTFOUND)
		found(&check, LEVEL_CRITICAL, "the service does not answer: %s",
		      status.why.message);
	else if (status.is_owned)
		found(&check, LEVEL_UNKNOWN,
		      "process %ld has the store, and is no service",
		      status.pid);
	else
		found(&check, LEVEL_CRITICAL, "nobody serves the store");
	level = check_end(&check, &status);
	cli_status_done(&status);
	return level;
}
