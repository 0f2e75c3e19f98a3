/*
 * A store in numbers; see metrics.h.
 */
#include "metrics.h"

#include <inttypes.h>

#include "behind.h"
#include "replicas.h"

enum { LABEL_MAX = 16 << 10, STORE_MAX = 4 * MBJ_PATH_TEXT_MAX };

struct metrics {
	struct mbj_buf *out;
	struct mbj_buf label; /* {store="..."} */
};

/*
 * The format escapes backslash and quote, and takes UTF-8 alone: whoever
 * scrapes anything else has none of the numbers.  A path may be any bytes.
 */
static void label_make(struct mbj_buf *label, const char *path)
{
	char text[STORE_MAX];

	(void)mbj_text_escape(text, sizeof(text), mbj_bytes_str(path));
	mbj_buf_put_str(label, "{store=\"");
	for (const char *c = text; *c != '\0'; c++) {
		if (*c == '\\' || *c == '"')
			mbj_buf_put_u8(label, '\\');
		mbj_buf_put_u8(label, (uint8_t)*c);
	}
	mbj_buf_put_str(label, "\"}");
}

static void put_head(struct metrics *m, const char *name, const char *type,
		     const char *help)
{
	mbj_buf_format(m->out, "# HELP mbj_%s %s\n# TYPE mbj_%s %s\nmbj_%s",
		       name, help, name, type, name);
	mbj_buf_put_bytes(m->out, mbj_buf_view(&m->label));
}

static void put_number(struct metrics *m, const char *name, const char *type,
		       uint64_t value, const char *help)
{
	put_head(m, name, type, help);
	mbj_buf_format(m->out, " %" PRIu64 "\n", value);
}

static void put_seconds(struct metrics *m, const char *name, uint64_t ms,
			const char *help)
{
	put_head(m, name, "gauge", help);
	mbj_buf_format(m->out, " %" PRIu64 ".%03" PRIu64 "\n", ms / 1000,
		       ms % 1000);
}

/* X(name, type, value, help): of any store, s being its status. */
#define METRICS_STORE_MAP(X)                                            \
	X("primary", "gauge", s->identity.role == MBJ_STORE_PRIMARY,    \
	  "1: edits are taken here.")                                   \
	X("epoch", "gauge", s->identity.epoch.v, "Reign of a primary.") \
	X("journal_first_lsn", "gauge", s->identity.anchor.first.v,     \
	  "First group that the journal keeps.")                        \
	X("journal_end_lsn", "counter", s->end.lsn.v,                   \
	  "Last group of the journal.")                                 \
	X("journal_segments", "gauge", s->usage.segments,               \
	  "Segment files of the journal.")                              \
	X("journal_bytes", "gauge", s->usage.size, "Bytes of the journal.")

/* X: of one that is served. */
#define METRICS_SERVED_MAP(X)                                              \
	X("applied_lsn", "counter", s->applied.lsn.v,                      \
	  "Last group that the state has.")                                \
	X("accounts", "gauge", s->account_count, "Accounts.")              \
	X("accounts_parked", "gauge", s->parked_count,                     \
	  "Accounts whose groups are set aside.")                          \
	X("accounts_skipped", "gauge", s->skipped_count,                   \
	  "Accounts that are known to differ, groups given up.")           \
	X("intents_open", "gauge", s->intent_count,                        \
	  "Intents without an outcome.")                                   \
	X("intent_oldest_seconds", "gauge",                                \
	  (uint64_t)cli_status_intent_age(s),                              \
	  "For how long the oldest of them is open.")                      \
	X("space_min_bytes", "gauge", s->space.min,                        \
	  "Free space below which edits are refused.")                     \
	X("connections", "gauge", s->service.connections,                  \
	  "Connections of the service.")                                   \
	X("connections_max", "gauge", s->service.connections_max,          \
	  "Connections that it takes.")                                    \
	X("connections_accepted_total", "counter", s->service.accepted,    \
	  "Connections that it took.")                                     \
	X("connections_refused_total", "counter", s->service.refused,      \
	  "Connections that it turned away.")                              \
	X("connections_unread_total", "counter", s->service.unread,        \
	  "Connections that it gave up: they read no answer.")             \
	X("requests_total", "counter", s->service.requests,                \
	  "Requests that were answered.")                                  \
	X("edits_total", "counter", s->service.edits,                      \
	  "Edits that were carried out.")                                  \
	X("outcomes_early_total", "counter", s->service.taken,             \
	  "Outcomes that were answered before they were durable.")         \
	X("outcomes_lost_total", "counter", s->service.taken_lost,         \
	  "Of these, those that never became durable.")                    \
	X("announced_standing_total", "counter", s->service.stood,         \
	  "Changes that an intent which stood announced, without a sync.") \
	X("request_memory_bytes", "gauge", s->service.memory,              \
	  "Bytes of long requests, and of answers to long edits.")         \
	X("request_memory_max_bytes", "gauge", s->service.memory_max,      \
	  "Bytes beyond which such a request waits.")                      \
	X("answer_memory_bytes", "gauge", s->service.answers,              \
	  "Bytes of long answers.")                                        \
	X("answer_memory_max_bytes", "gauge", s->service.answers_max,      \
	  "Bytes beyond which who asks for one waits.")                    \
	X("content_log", "gauge", s->service.content_log,                  \
	  "1: short contents share their syncs in a log.")                 \
	X("content_log_failures_total", "counter",                         \
	  s->service.content_log_failures,                                 \
	  "Times that this log could not be written or given up.")

/* Nothing where the source, of an older version, does not say it. */
static void put_left(struct metrics *m, const struct mbj_client_status *s)
{
	struct mbj_log_behind left;

	if (!cli_status_left(s, &left))
		return;
	put_number(m, "lag_bytes", "gauge", left.bytes,
		   "Bytes of groups that the source is known to have more.");
	put_number(m, "lag_bulk_bytes", "gauge", left.bulk,
		   "Bytes of those that are of imports and the like.");
}

static void put_least(struct metrics *m, const struct cli_status *status)
{
	struct mbj_log_behind least;

	if (!cli_replicas_least(status->replicas, status->replica_count,
				&least))
		return;
	put_number(m, "replica_lag_bytes_least", "gauge", least.bytes,
		   "Bytes of groups that the replica which lacks least has "
		   "not applied.");
	put_number(m, "replica_lag_bulk_bytes_least", "gauge", least.bulk,
		   "Bytes of those that are of imports and the like.");
}

static void put_upstream(struct metrics *m, const struct mbj_client_status *s)
{
	const struct mbj_upstream_status *u = &s->upstream;

	if (u->state == MBJ_UPSTREAM_NONE)
		return;
	put_number(m, "upstream_connected", "gauge",
		   u->state == MBJ_UPSTREAM_FOLLOWING,
		   "1: the source is connected and accepted.");
	put_number(m, "upstream_connections_total", "counter", u->connections,
		   "Connections to the source that were accepted.");
	put_number(m, "upstream_end_lsn", "gauge", u->end,
		   "Last group of the source, as it said last.");
	put_number(m, "lag_groups", "gauge", cli_status_behind(s),
		   "Groups that the source is known to have more.");
	put_left(m, s);
	put_number(m, "lag_known", "gauge", u->was_current,
		   "0: not current since the service began.");
	put_seconds(m, "lag_seconds", u->lag_ms,
		    "Since the replica was known to have all that its source "
		    "had; it grows while nothing is heard.");
	put_seconds(m, "upstream_paused_seconds", u->paused_ms,
		    "For how long the source pauses it, 0: it does not.");
	put_seconds(m, "upstream_refused_seconds", u->refused_ms,
		    "Since when it cannot follow the source, as one of both "
		    "refuses the other, 0: it can.");
	put_number(m, "resync_stage", "gauge", u->resync,
		   "What is made again from a snapshot of the source: 0 "
		   "nothing, 1 it comes, 2 it is judged, 3 it is put in "
		   "place.");
	put_number(m, "resync_all", "gauge", u->is_resync_whole,
		   "1: that is all of the replica, 0: accounts aside.");
	put_number(m, "resync_here_bytes", "gauge", u->resync_here,
		   "Bytes of that snapshot that are here.");
	put_number(m, "resync_size_bytes", "gauge", u->resync_size,
		   "Bytes that it has.");
	put_number(m, "upstream_compress_asked", "gauge", u->level_asked,
		   "Level at which the source was asked to pack, 0: it was "
		   "not.");
	put_number(m, "upstream_compress_level", "gauge", u->level,
		   "Level at which it packs, 0: it does not.");
	put_number(m, "contents_lost", "gauge", u->lost,
		   "Contents needed here that the source has lost.");
}

static void put_store(struct metrics *m, const struct cli_status *status)
{
	const struct mbj_client_status *s = &status->store;
	uint64_t paused_ms = 0;
	uint64_t left = 0;
	uint64_t lag = 0;

	put_number(m, "up", "gauge", status->is_served,
		   "1: a service answers for the store.");
#define X(name, type, value, help) put_number(m, name, type, value, help);
	if (status->is_served || status->has_journal) {
		METRICS_STORE_MAP(X)
	}
	if (!status->is_served)
		return;
	METRICS_SERVED_MAP(X)
#undef X
	if (s->space.left != UINT64_MAX)
		put_number(m, "space_left_bytes", "gauge", s->space.left,
			   "Free space of the file system.");
	put_seconds(m, "house_seconds", s->house.ms,
		    "For how long a snapshot, trim or collection is under way, "
		    "0: none is.");
	put_seconds(m, "up_seconds", s->service.up_ms,
		    "Since the service began.");
	put_upstream(m, s);
	if (!status->has_replicas)
		return;
	put_number(m, "replicas", "gauge", status->replica_count,
		   "Replicas in the register.");
	put_number(m, "replicas_damaged", "gauge", status->replicas_bad,
		   "Replicas that cannot be read there.");
	put_number(m, "replicas_away", "gauge",
		   cli_replicas_away(status->replicas, status->replica_count,
				     REPLICA_AWAY_S * UINT64_C(1000)),
		   "Replicas that are not known to have been current in "
		   "the last 300 s, and are not paused.");
	put_number(m, "replicas_paused", "gauge",
		   cli_replicas_paused(status->replicas, status->replica_count,
				       &paused_ms),
		   "Replicas that are paused.");
	put_number(m, "replica_pauses_left", "gauge", status->pause_count,
		   "Pauses of replicas that are not in the register.");
	put_seconds(m, "replica_paused_seconds_most", paused_ms,
		    "For how long the last of them stays so.");
	put_number(m, "replicas_taking_snapshot", "gauge",
		   cli_replicas_taking(status->replicas, status->replica_count,
				       &left),
		   "Replicas that take a snapshot of this store, for all of "
		   "it or for accounts that are set aside.");
	put_number(m, "replica_snapshot_left_bytes", "gauge", left,
		   "Bytes of snapshots that they are still to get.");
	put_number(m, "replica_lag_known", "gauge",
		   cli_replicas_best(status->replicas, status->replica_count,
				     &lag),
		   "0: of none is it known how far it is.");
	if (cli_replicas_best(status->replicas, status->replica_count, &lag))
		put_seconds(m, "replica_lag_seconds_least", lag,
			    "Since the best of them was current.");
	put_least(m, status);
}

void metrics_print(const struct cli_status *status, const char *store,
		   struct mbj_buf *out)
{
	struct metrics m = {.out = out};

	mbj_buf_init(&m.label, LABEL_MAX);
	label_make(&m.label, store);
	put_store(&m, status);
	mbj_buf_done(&m.label);
}
