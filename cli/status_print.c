/*
 * A store's status in JSON and in lines; see status.h.
 */
#include <inttypes.h>

#include <mbj/jmap.h>

#include "behind.h"
#include "parked.h"
#include "replicas.h"
#include "status.h"

static void put_service_json(const struct mbj_client_status *s,
			     struct mbj_buf *out)
{
	mbj_buf_put_str(out, ",\"service\":{");
#define X(member, word, what) \
	mbj_buf_format(out, "\"" word "\":%" PRIu64 ",", s->service.member);
	MBJ_SERVICE_STATS_MAP(X)
#undef X
	mbj_buf_put_str(out, "\"contentLogReason\":");
	if (s->content_log_reason != NULL)
		mbj_jmap_string_print(mbj_bytes_str(s->content_log_reason),
				      out);
	else
		mbj_buf_put_str(out, "null");
	mbj_buf_put_str(out, ",\"clients\":[");
	for (size_t i = 0; i < s->peer_count; i++)
		mbj_buf_format(out,
			       "%s{\"process\":%" PRIu64 ",\"uid\":%" PRIu32
			       ",\"gid\":%" PRIu32 ",\"requests\":%" PRIu64
			       ",\"idleMs\":%" PRIu64 "}",
			       i ? "," : "", s->peers[i].process,
			       s->peers[i].uid, s->peers[i].gid,
			       s->peers[i].requests, s->peers[i].idle_ms);
	mbj_buf_put_str(out, "]}");
}

/* Only while it is so: what failed once, and does not, is no news. */
static void put_content_log_text(const struct mbj_client_status *s,
				 struct mbj_buf *out)
{
	if (s->service.content_log != 0 || s->service.content_log_failures == 0)
		return;
	mbj_buf_put_str(out, "contents   their log failed, and is tried again: "
			     "each is synced by itself\n");
	if (s->content_log_reason != NULL)
		mbj_buf_format(out, "           %s\n", s->content_log_reason);
}

static void put_service_text(const struct mbj_client_status *s,
			     struct mbj_buf *out)
{
	const struct mbj_service_stats *service = &s->service;

	mbj_buf_format(out,
		       "service    process %" PRIu64 ", %" PRIu64 " of %" PRIu64
		       " connections, %" PRIu64 " requests, %" PRIu64
		       " edits\n",
		       service->process, service->connections,
		       service->connections_max, service->requests,
		       service->edits);
	put_content_log_text(s, out);
	for (size_t i = 0; i < s->peer_count; i++)
		mbj_buf_format(out,
			       "client     process %" PRIu64 ", user %" PRIu32
			       ", group %" PRIu32 ", %" PRIu64 " requests\n",
			       s->peers[i].process, s->peers[i].uid,
			       s->peers[i].gid, s->peers[i].requests);
}

void cli_resync_text(const struct mbj_client_status *status,
		     struct mbj_buf *out)
{
	const struct mbj_upstream_status *u = &status->upstream;

	if (u->resync == MBJ_RESYNC_NONE)
		return;
	if (u->is_resync_whole)
		mbj_buf_put_str(out, "all of it is");
	else
		mbj_buf_put_str(out, "accounts that are set aside are");
	mbj_buf_format(out, " made again from a snapshot of the source: %s",
		       mbj_resync_word((enum mbj_resync_stage)u->resync));
	if (u->resync == MBJ_RESYNC_FETCHING)
		mbj_buf_format(out, ", %" PRIu64 " of %" PRIu64 " KiB",
			       u->resync_here / 1024,
			       (u->resync_size + 1023) / 1024);
}

void cli_pack_text(const struct mbj_client_status *status, struct mbj_buf *out)
{
	const struct mbj_upstream_status *u = &status->upstream;

	if (u->level_asked == 0)
		return;
	if (u->level == 0)
		mbj_buf_put_str(out, "not packed, as the source does not");
	else
		mbj_buf_format(out, "packed by zstd at level %" PRIu64,
			       u->level);
	if (u->level > 0 && u->level < u->level_asked)
		mbj_buf_format(out,
			       ", the most that the source does, not %" PRIu64,
			       u->level_asked);
}

static void put_upstream_json(const struct mbj_client_status *s,
			      struct mbj_buf *out)
{
	const struct mbj_upstream_status *u = &s->upstream;

	if (u->state == MBJ_UPSTREAM_NONE)
		return;
	mbj_buf_format(out,
		       ",\"upstream\":{\"state\":\"%s\",\"met\":%s,"
		       "\"wasCurrent\":%s,\"groupsBehind\":%" PRIu64,
		       mbj_upstream_word(u->state),
		       u->was_met ? "true" : "false",
		       u->was_current ? "true" : "false", cli_status_behind(s));
#define X(member, word, what) \
	mbj_buf_format(out, ",\"" word "\":%" PRIu64, u->member);
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
	mbj_buf_format(out, ",\"resync\":\"%s\",\"resyncAll\":%s,\"reason\":",
		       mbj_resync_word((enum mbj_resync_stage)u->resync),
		       u->is_resync_whole ? "true" : "false");
	mbj_jmap_string_print(mbj_bytes_str(u->reason), out);
	mbj_buf_put_str(out, "}");
}

static void put_upstream_text(const struct mbj_client_status *s,
			      struct mbj_buf *out)
{
	const struct mbj_upstream_status *u = &s->upstream;

	if (u->state == MBJ_UPSTREAM_NONE)
		return;
	mbj_buf_format(out, "upstream   %s", mbj_upstream_word(u->state));
	if (u->was_current)
		mbj_buf_format(out, ", current %" PRIu64 ".%" PRIu64 " s ago",
			       u->lag_ms / 1000, u->lag_ms / 100 % 10);
	else
		mbj_buf_format(out,
			       ", not current for %" PRIu64 " s, since it "
			       "began",
			       u->up_ms / 1000);
	if (u->was_met)
		mbj_buf_format(out,
			       ", %" PRIu64
			       " groups behind the source's %" PRIu64,
			       cli_status_behind(s), u->end);
	if (u->was_met && u->behind_known > 0)
		mbj_buf_put_str(out, ", ");
	cli_status_left_text(s, out);
	if (u->paused_ms > 0)
		mbj_buf_format(out, ", paused by it for %" PRIu64 " s more",
			       (u->paused_ms + 999) / 1000);
	if (u->refused_ms > 0)
		mbj_buf_format(out, ", cannot follow it for %" PRIu64 " s",
			       u->refused_ms / 1000);
	if (u->resync != MBJ_RESYNC_NONE)
		mbj_buf_put_str(out, ", ");
	cli_resync_text(s, out);
	if (u->level_asked > 0)
		mbj_buf_put_str(out, ", ");
	cli_pack_text(s, out);
	if (u->lost > 0)
		mbj_buf_format(out, ", %" PRIu64 " contents lost there",
			       u->lost);
	if (u->reason[0] != '\0') {
		mbj_buf_put_str(out, ": ");
		mbj_name_escape(out, mbj_bytes_str(u->reason));
	}
	mbj_buf_put_str(out, "\n");
}

static void put_replicas_json(const struct cli_status *status,
			      struct mbj_buf *out)
{
	if (!status->has_replicas) {
		mbj_buf_put_str(out, ",\"replicas\":null,\"pausesLeft\":null");
		return;
	}
	mbj_buf_put_str(out, ",\"replicas\":");
	cli_replicas_json(status->replicas, status->replica_count, out);
	mbj_buf_put_str(out, ",\"pausesLeft\":");
	cli_pauses_json(status->pauses, status->pause_count, out);
}

void cli_status_json(const struct cli_status *status, struct mbj_buf *out)
{
	const struct mbj_client_status *s = &status->store;
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
		       ",\"journalFirst\":%" PRIu64 ",\"journalEnd\":%" PRIu64
		       ",\"segments\":%" PRIu64 ",\"journalSize\":%" PRIu64 ",",
		       instance, s->identity.epoch.v,
		       s->identity.anchor.first.v, s->end.lsn.v,
		       s->usage.segments, s->usage.size);
	if (status->contents_level > 0)
		mbj_buf_format(out, "\"contentsPacked\":\"zstd:%u\",",
			       status->contents_level);
	else if (status->has_contents_level)
		mbj_buf_put_str(out, "\"contentsPacked\":null,");
	if (!status->has_state) {
		if (status->is_owned)
			mbj_buf_format(out, "\"ownedBy\":%ld}\n", status->pid);
		else
			mbj_buf_put_str(out, "\"ownedBy\":null}\n");
		return;
	}
	if (s->service.process == 0)
		mbj_buf_put_str(out, "\"ownedBy\":null");
	else
		mbj_buf_format(out, "\"ownedBy\":%" PRIu64, s->service.process);
	mbj_buf_format(out,
		       ",\"applied\":%" PRIu64 ",\"accounts\":%" PRIu64
		       ",\"parked\":[",
		       s->applied.lsn.v, s->account_count);
	for (size_t i = 0; i < s->parked_count; i++)
		parked_json(&s->parked[i], i == 0, out);
	mbj_buf_put_str(out, "],\"skipped\":[");
	for (size_t i = 0; i < s->skipped_count; i++)
		skipped_json(&s->skipped[i], i == 0, out);
	mbj_buf_format(out, "],\"openIntents\":%" PRIu64, s->intent_count);
	if (s->intent_count > 0)
		mbj_buf_format(out, ",\"oldestIntentAge\":%" PRId64,
			       cli_status_intent_age(s));
	if (s->space.left != UINT64_MAX)
		mbj_buf_format(out,
			       ",\"spaceLeft\":%" PRIu64
			       ",\"spaceMin\":%" PRIu64
			       ",\"spaceReserve\":%" PRIu64,
			       s->space.left, s->space.min, s->space.reserve);
	if (s->house.work == MBJ_HOUSE_NONE)
		mbj_buf_put_str(out, ",\"house\":null");
	else
		mbj_buf_format(out,
			       ",\"house\":{\"work\":\"%s\",\"ms\":%" PRIu64
			       "}",
			       mbj_house_word(s->house.work), s->house.ms);
	put_replicas_json(status, out);
	put_upstream_json(s, out);
	if (s->service.process != 0)
		put_service_json(s, out);
	mbj_buf_put_str(out, "}\n");
}

static void put_house_text(const struct mbj_client_status *s,
			   struct mbj_buf *out)
{
	if (s->space.left != UINT64_MAX)
		mbj_buf_format(out, "space      %" PRIu64 " bytes left%s\n",
			       s->space.left,
			       s->space.left < s->space.min
				       ? ", edits are refused before there is "
					 "more"
				       : "");
	if (s->space.left != UINT64_MAX && s->space.reserve > 0)
		mbj_buf_format(out,
			       "reserve    %" PRIu64
			       " bytes, for when no space is left\n",
			       s->space.reserve);
	if (s->house.work != MBJ_HOUSE_NONE)
		mbj_buf_format(out,
			       "house      a %s for %" PRIu64 ".%" PRIu64
			       " s\n",
			       mbj_house_word(s->house.work),
			       s->house.ms / 1000, s->house.ms / 100 % 10);
}

void cli_status_text(const struct cli_status *status, struct mbj_buf *out)
{
	const struct mbj_client_status *s = &status->store;
	char lineage[MBJ_ID_TEXT_SIZE];
	char instance[MBJ_ID_TEXT_SIZE];

	mbj_id_print(s->identity.lineage, lineage);
	mbj_id_print(s->identity.instance, instance);
	mbj_buf_format(out, "role       %s\nlineage    %s\ninstance   %s\n",
		       mbj_store_role_name(s->identity.role),
		       mbj_id_is_root(s->identity.lineage) ? "none yet"
							   : lineage,
		       instance);
	mbj_buf_format(out, "epoch      %" PRIu64 "\njournal    ",
		       s->identity.epoch.v);
	if (s->identity.anchor.first.v > 1)
		mbj_buf_format(out, "from group %" PRIu64 " ",
			       s->identity.anchor.first.v);
	mbj_buf_format(out,
		       "to group %" PRIu64 ", %" PRIu64 " segments, %" PRIu64
		       " bytes\n",
		       s->end.lsn.v, s->usage.segments, s->usage.size);
	if (status->contents_level > 0)
		mbj_buf_format(out, "contents   packed, zstd:%u\n",
			       status->contents_level);
	if (!status->has_state) {
		if (status->is_owned)
			mbj_buf_format(out, "in use     by process %ld\n",
				       status->pid);
		else
			mbj_buf_put_str(out, "in use     by nobody\n");
		return;
	}
	mbj_buf_format(out,
		       "applied    to group %" PRIu64 "\naccounts   %" PRIu64
		       ", %zu parked\n",
		       s->applied.lsn.v, s->account_count, s->parked_count);
	for (size_t i = 0; i < s->parked_count; i++) {
		mbj_buf_put_str(out, "parked     ");
		parked_text(&s->parked[i], out);
	}
	for (size_t i = 0; i < s->skipped_count; i++) {
		mbj_buf_put_str(out, "skipped    ");
		skipped_text(&s->skipped[i], out);
	}
	if (s->intent_count > 0)
		mbj_buf_format(out,
			       "intents    %" PRIu64
			       " open, the oldest for %" PRId64 " s\n",
			       s->intent_count, cli_status_intent_age(s));
	put_house_text(s, out);
	put_upstream_text(s, out);
	cli_replicas_text("replica    ", status->replicas,
			  status->replica_count, out);
	cli_pauses_text("pause      ", status->pauses, status->pause_count,
			out);
	if (status->replicas_bad > 0)
		mbj_buf_format(out,
			       "replicas   %zu cannot be read: mbj replicas "
			       "says which\n",
			       status->replicas_bad);
	if (s->recovery.is_rebuilt)
		mbj_buf_format(out, "rebuilt    %s\n", s->recovery.reason);
	if (s->service.process != 0)
		put_service_text(s, out);
}
