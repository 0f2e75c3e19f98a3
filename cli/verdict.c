/*
 * Judging a store; see verdict.h.
 */
#include "verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include <mbj/check.h>

#include "behind.h"
#include "replicas.h"

enum {
	WARNING_S = 60,
	CRITICAL_S = REPLICA_AWAY_S,
	VERDICT_TEXT_MAX = 64 << 10,
	RESYNC_TEXT_MAX = 256,
	LEFT_TEXT_MAX = 128,
};

static const char *const level_words[] = {
	[VERDICT_OK] = "OK",
	[VERDICT_WARNING] = "WARNING",
	[VERDICT_CRITICAL] = "CRITICAL",
	[VERDICT_UNKNOWN] = "UNKNOWN",
};

MBJ_PRINTF(4, 5)
static void found(struct verdict *v, enum verdict_level level,
		  enum verdict_kind kind, const char *format, ...)
{
	char text[2 * MBJ_ERROR_MESSAGE_MAX];
	struct verdict_finding *finding;
	va_list args;

	MBJ_ASSERT(v->count < VERDICT_FINDINGS_MAX);
	finding = &v->findings[v->count++];

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (level > v->level)
		v->level = level;
	if (v->text.n > 0)
		mbj_buf_put_str(&v->text, "; ");
	/* A bar would begin the figures. */
	for (char *c = text; *c != '\0'; c++)
		if (*c == '|')
			*c = '/';
	*finding = (struct verdict_finding){level, kind, v->text.n, 0};
	mbj_name_escape(&v->text, mbj_bytes_str(text));
	finding->n = v->text.n - finding->at;
}

static enum verdict_level lag_level(const struct verdict *v,
				    const struct mbj_upstream_status *upstream)
{
	if (upstream->lag_ms / 1000 >= v->critical_s)
		return VERDICT_CRITICAL;
	/* Not known to have been current: it may be hours behind. */
	if (upstream->lag_ms / 1000 >= v->warning_s || !upstream->was_current)
		return VERDICT_WARNING;
	return VERDICT_OK;
}

/* Being mended is no news; what it lacks until then is. */
static void judge_resync(struct verdict *v, const struct mbj_client_status *s)
{
	struct mbj_buf text;

	if (s->upstream.resync == MBJ_RESYNC_NONE)
		return;
	mbj_buf_init(&text, RESYNC_TEXT_MAX);
	cli_resync_text(s, &text);
	found(v, VERDICT_OK, VERDICT_KIND_RESYNC, "%.*s", (int)text.n,
	      text.n > 0 ? (const char *)text.p : "");
	mbj_buf_done(&text);
}

/* How long it is tells how bad it is; of what, is for whoever looks. */
static void judge_lag(struct verdict *v, const struct mbj_client_status *s)
{
	const struct mbj_upstream_status *u = &s->upstream;
	struct mbj_buf text;

	mbj_buf_init(&text, LEFT_TEXT_MAX);
	if (u->behind > 0) {
		mbj_buf_put_str(&text, " (");
		cli_status_left_text(s, &text);
		mbj_buf_put_str(&text, ")");
	}
	found(v, lag_level(v, u), VERDICT_KIND_LAG,
	      "current %" PRIu64 ".%" PRIu64 " s ago, %" PRIu64
	      " groups behind%.*s, %s",
	      u->lag_ms / 1000, u->lag_ms / 100 % 10, cli_status_behind(s),
	      (int)text.n, text.n > 0 ? (const char *)text.p : "",
	      mbj_upstream_word(u->state));
	mbj_buf_done(&text);
}

static void judge_upstream(struct verdict *v, const struct mbj_client_status *s)
{
	const struct mbj_upstream_status *u = &s->upstream;
	const char *colon = u->reason[0] != '\0' ? ": " : "";

	if (s->identity.role != MBJ_STORE_REPLICA)
		return;
	if (u->state == MBJ_UPSTREAM_NONE) {
		found(v, VERDICT_WARNING, VERDICT_KIND_FOLLOWS_NOBODY,
		      "a replica that follows nobody: serve it with --exec");
		return;
	}
	if (u->state == MBJ_UPSTREAM_ENDED)
		found(v, VERDICT_CRITICAL, VERDICT_KIND_ENDED,
		      "it follows no more%s%s", colon, u->reason);
	if (u->refused_ms > 0)
		found(v, VERDICT_CRITICAL, VERDICT_KIND_CANNOT,
		      "it cannot follow its source, for %" PRIu64 " s%s%s",
		      u->refused_ms / 1000, colon, u->reason);
	if (u->was_current)
		judge_lag(v, s);
	else
		found(v, lag_level(v, u), VERDICT_KIND_LAG,
		      "not current since it began, %" PRIu64 " s ago, %s%s%s",
		      u->up_ms / 1000, mbj_upstream_word(u->state), colon,
		      u->reason);
	if (u->paused_ms > 0)
		found(v, VERDICT_OK, VERDICT_KIND_PAUSED,
		      "paused by its source for %" PRIu64 " s more",
		      (u->paused_ms + 999) / 1000);
	judge_resync(v, s);
	if (u->lost > 0)
		found(v, VERDICT_WARNING, VERDICT_KIND_LOST,
		      "%" PRIu64 " contents that the source has lost", u->lost);
}

/* Others than the best: how long they are away is nobody's loss yet. */
static void judge_away(struct verdict *v, const struct cli_status *status,
		       uint64_t best_ms)
{
	size_t away = cli_replicas_away(status->replicas, status->replica_count,
					v->critical_s * 1000);

	if (away > 0 && best_ms / 1000 < v->critical_s)
		found(v, VERDICT_WARNING, VERDICT_KIND_AWAY,
		      "%zu of %zu replicas were not current in the last "
		      "%" PRIu64 " s",
		      away, status->replica_count, v->critical_s);
}

/* Wanted, and no surprise; that nothing comes there counts all the same. */
static void judge_paused(struct verdict *v, const struct cli_status *status)
{
	uint64_t ms = 0;
	size_t paused = cli_replicas_paused(status->replicas,
					    status->replica_count, &ms);

	if (paused > 0)
		found(v, VERDICT_OK, VERDICT_KIND_PAUSED,
		      "%zu of %zu replicas paused, for %" PRIu64
		      " s more at most",
		      paused, status->replica_count, (ms + 999) / 1000);
}

/* Whoever comes back as one of them is held, and nobody thinks of it. */
static void judge_left(struct verdict *v, const struct cli_status *status)
{
	if (status->pause_count > 0)
		found(v, VERDICT_OK, VERDICT_KIND_PAUSED,
		      "%zu pauses of replicas that are not registered",
		      status->pause_count);
}

/* A primary that dies is only as well as its best replica. */
/* That it is being made, or mended, is no news; how it stands is. */
static void judge_taking(struct verdict *v, const struct cli_status *status)
{
	uint64_t left = 0;
	size_t taking = cli_replicas_taking(status->replicas,
					    status->replica_count, &left);

	if (taking > 0)
		found(v, VERDICT_OK, VERDICT_KIND_TAKING,
		      "%zu replicas take a snapshot of this store, %" PRIu64
		      " KiB are left",
		      taking, (left + 1023) / 1024);
}

static void judge_replicas(struct verdict *v, const struct cli_status *status)
{
	uint64_t lag = 0;
	size_t damaged;

	if (status->replicas_bad > 0)
		found(v, VERDICT_WARNING, VERDICT_KIND_REPLICAS_BAD,
		      "%zu replicas of the register cannot be read",
		      status->replicas_bad);
	judge_left(v, status);
	if (status->replica_count == 0)
		return;
	damaged = cli_replicas_pause_damaged(status->replicas,
					     status->replica_count);
	if (damaged > 0)
		found(v, VERDICT_WARNING, VERDICT_KIND_PAUSE_BAD,
		      "the pause of %zu replicas cannot be read", damaged);
	judge_paused(v, status);
	judge_taking(v, status);
	if (!cli_replicas_best(status->replicas, status->replica_count, &lag)) {
		found(v, VERDICT_WARNING, VERDICT_KIND_REPLICAS,
		      "of no replica, of %zu, is it known how far it is",
		      status->replica_count);
		return;
	}
	judge_away(v, status, lag);
	found(v,
	      lag / 1000 >= v->critical_s  ? VERDICT_CRITICAL
	      : lag / 1000 >= v->warning_s ? VERDICT_WARNING
					   : VERDICT_OK,
	      VERDICT_KIND_REPLICAS,
	      "the best of %zu replicas was current %" PRIu64 ".%" PRIu64
	      " s ago",
	      status->replica_count, lag / 1000, lag / 100 % 10);
}

static void judge_store(struct verdict *v, const struct cli_status *status)
{
	const struct mbj_client_status *s = &status->store;

	judge_upstream(v, s);
	judge_replicas(v, status);
	if (s->parked_count > 0)
		found(v, VERDICT_WARNING, VERDICT_KIND_PARKED,
		      "%zu accounts parked", s->parked_count);
	if (s->skipped_count > 0)
		found(v, VERDICT_WARNING, VERDICT_KIND_SKIPPED,
		      "%zu accounts known to differ", s->skipped_count);
	if (s->space.left < s->space.min)
		found(v, VERDICT_CRITICAL, VERDICT_KIND_SPACE,
		      "%" PRIu64 " bytes of disk left, edits are refused",
		      s->space.left);
	else if (s->space.left / 2 < s->space.min)
		found(v, VERDICT_WARNING, VERDICT_KIND_SPACE,
		      "%" PRIu64 " bytes of disk left, edits are refused "
		      "below %" PRIu64,
		      s->space.left, s->space.min);
	if (v->text.n == 0)
		found(v, VERDICT_OK, VERDICT_KIND_WELL, "%s, to group %" PRIu64,
		      mbj_store_role_name(s->identity.role), s->end.lsn.v);
}

/* For graphs: label=value;warning;critical */
static void put_figures(const struct verdict *v,
			const struct mbj_client_status *s, struct mbj_buf *out)
{
	struct mbj_log_behind left;

	mbj_buf_format(out,
		       " | groups=%" PRIu64 "c accounts=%" PRIu64
		       " parked=%zu;0 skipped=%zu;0 intents=%" PRIu64,
		       s->end.lsn.v, s->account_count, s->parked_count,
		       s->skipped_count, s->intent_count);
	if (s->space.left != UINT64_MAX)
		mbj_buf_format(out, " space=%" PRIu64 "B;;%" PRIu64 ":",
			       s->space.left, s->space.min);
	if (s->upstream.state != MBJ_UPSTREAM_NONE)
		mbj_buf_format(out,
			       " lag=%" PRIu64 ".%03" PRIu64 "s;%" PRIu64
			       ";%" PRIu64 " behind=%" PRIu64,
			       s->upstream.lag_ms / 1000,
			       s->upstream.lag_ms % 1000, v->warning_s,
			       v->critical_s, cli_status_behind(s));
	if (cli_status_left(s, &left))
		mbj_buf_format(out, " bytes=%" PRIu64 "B bulk=%" PRIu64 "B",
			       left.bytes, left.bulk);
}

const char *verdict_word(enum verdict_level level)
{
	return level_words[level];
}

const char *verdict_advice(enum verdict_kind kind)
{
	static const char *const texts[] = {
#define X(name, what, command) what,
		VERDICT_MAP(X)
#undef X
	};

	return texts[kind];
}

const char *verdict_command(enum verdict_kind kind)
{
	static const char *const texts[] = {
#define X(name, what, command) command,
		VERDICT_MAP(X)
#undef X
	};

	return texts[kind];
}

bool verdict_options_check(const struct cli_call *call)
{
	uint64_t warning = call->options.warning;
	uint64_t critical = call->options.critical;

	if (critical == 0 || warning <= critical)
		return true;
	cli_say(call,
		"--warning %" PRIu64 " is above --critical %" PRIu64
		": it would never warn",
		warning, critical);
	return false;
}

void verdict_init(struct verdict *v, const struct cli_options *options)
{
	memset(v, 0, sizeof(*v));
	v->warning_s = options->warning != 0 ? options->warning : WARNING_S;
	v->critical_s = options->critical != 0 ? options->critical : CRITICAL_S;
	mbj_buf_init(&v->text, VERDICT_TEXT_MAX);
}

void verdict_done(struct verdict *v)
{
	mbj_buf_done(&v->text);
}

void verdict_judge(struct verdict *v, const struct cli_status *status)
{
	if (status->is_served)
		judge_store(v, status);
	else if (status->why.rc == MBJ_EINVALID)
		found(v, VERDICT_CRITICAL, VERDICT_KIND_SILENT, "%s",
		      status->why.message);
	else if (status->why.rc != MBJ_ENOTFOUND)
		found(v, VERDICT_CRITICAL, VERDICT_KIND_SILENT,
		      "the service does not answer: %s", status->why.message);
	else if (status->is_owned)
		found(v, VERDICT_UNKNOWN, VERDICT_KIND_OWNED,
		      "process %ld has the store, and there is no service: %s; "
		      "--socket names the place of one that is elsewhere",
		      status->pid, status->why.message);
	else
		found(v, VERDICT_CRITICAL, VERDICT_KIND_UNSERVED,
		      "nobody serves the store");
}

void verdict_fail(struct verdict *v, const struct mbj_error *why)
{
	found(v, why->rc == MBJ_ECORRUPT ? VERDICT_CRITICAL : VERDICT_UNKNOWN,
	      why->rc == MBJ_EBUSY ? VERDICT_KIND_SILENT
				   : VERDICT_KIND_UNREADABLE,
	      "%s", why->message);
}

void verdict_look_fail(struct verdict *v, const char *path,
		       const struct mbj_error *why)
{
	if (why->rc == MBJ_ENOTFOUND && !mbj_path_exists(mbj_sys_posix(), path))
		found(v, VERDICT_CRITICAL, VERDICT_KIND_UNSERVED,
		      "nobody serves: nothing is at %s", path);
	else
		verdict_fail(v, why);
}

struct mbj_bytes verdict_text(const struct verdict *v,
			      const struct verdict_finding *finding)
{
	struct mbj_bytes text = mbj_buf_view(&v->text);

	return mbj_bytes_make(text.p + finding->at, finding->n);
}

void verdict_line(const struct verdict *v, const struct cli_status *status,
		  struct mbj_buf *out)
{
	mbj_buf_format(out, "MBJ %s: ", level_words[v->level]);
	mbj_buf_put_bytes(out, mbj_buf_view(&v->text));
	if (status != NULL && status->is_served)
		put_figures(v, &status->store, out);
	mbj_buf_put_str(out, "\n");
}
