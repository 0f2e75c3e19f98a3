/*
 * See replicas.h.
 */
#include "replicas.h"

#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>

#include "behind.h"

enum { SILENT_S = 300 };

/* Is that clock known, which nobody sets? */
static bool has_boot(const struct mbj_replica_note *note, struct mbj_id boot)
{
	return !mbj_id_is_root(boot) && !mbj_id_is_root(note->boot);
}

uint64_t cli_replica_heard_s(const struct mbj_replica_note *note,
			     struct mbj_id boot)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	int64_t ago_ms = (sys->now_us(sys->ctx) - note->heard_us) / 1000;

	if (has_boot(note, boot) && mbj_id_equal(note->boot, boot))
		ago_ms = mbj_monotonic_ms() - note->heard_ms;
	return ago_ms > 0 ? (uint64_t)ago_ms / 1000 : 0;
}

enum mbj_rc cli_replica_find(const char *dir,
			     const struct mbj_replica_note *notes, size_t count,
			     const char *text, struct mbj_id *ret_instance,
			     struct mbj_error *err)
{
	size_t found = 0;

	if (mbj_id_parse(mbj_bytes_str(text), ret_instance))
		return MBJ_OK;
	for (size_t i = 0; i < count; i++) {
		if (strcmp(notes[i].name, text) != 0)
			continue;
		*ret_instance = notes[i].instance;
		found++;
	}
	if (found == 0)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s knows no replica \"%s\"", dir, text);
	if (found > 1)
		return mbj_error_set(err, MBJ_EINVALID,
				     "%zu replicas are called \"%s\": say "
				     "which by its instance",
				     found, text);
	return MBJ_OK;
}

void cli_replica_state(const struct mbj_replica_note *note, struct mbj_id boot,
		       struct mbj_buf *out)
{
	if (note->paused_ms > 0)
		mbj_buf_format(out, "paused for %" PRIu64 " s more",
			       (note->paused_ms + 999) / 1000);
	else
		mbj_buf_put_str(out, cli_replica_is_connected(note, boot)
					     ? "connected"
					     : "away");
	if (note->is_pause_damaged)
		mbj_buf_put_str(out, ", its pause is damaged and holds nobody "
				     "(mbj resume removes it)");
}

bool cli_replica_is_connected(const struct mbj_replica_note *note,
			      struct mbj_id boot)
{
	/* Whoever served it in another boot is gone. */
	if (has_boot(note, boot) && !mbj_id_equal(note->boot, boot))
		return false;
	return note->is_connected && cli_replica_heard_s(note, boot) < SILENT_S;
}

bool cli_replica_is_taking(const struct mbj_replica_note *note,
			   struct mbj_id boot)
{
	return note->take.lsn.v > 0 && cli_replica_is_connected(note, boot);
}

/* Milliseconds since it began. */
static uint64_t take_ms(const struct mbj_replica_note *note, struct mbj_id boot)
{
	int64_t now = mbj_monotonic_ms();

	return now > note->take.began_ms && mbj_id_equal(note->boot, boot)
		       ? (uint64_t)(now - note->take.began_ms)
		       : 0;
}

void cli_replica_take(const struct mbj_replica_note *note, struct mbj_id boot,
		      struct mbj_buf *out)
{
	const struct mbj_replica_take *take = &note->take;

	if (!cli_replica_is_taking(note, boot))
		return;
	mbj_buf_format(out,
		       "takes the snapshot of group %" PRIu64
		       ", for %s, %" PRIu64 " of %" PRIu64 " KiB in %" PRIu64
		       " s",
		       take->lsn.v,
		       take->is_whole ? "all of it"
				      : "accounts that are set aside",
		       take->sent / 1024, (take->size + 1023) / 1024,
		       take_ms(note, boot) / 1000);
}

static void put_take_json(const struct mbj_replica_note *note,
			  struct mbj_id boot, struct mbj_buf *out)
{
	const struct mbj_replica_take *take = &note->take;

	if (!cli_replica_is_taking(note, boot)) {
		mbj_buf_put_str(out, ",\"taking\":null");
		return;
	}
	mbj_buf_format(out,
		       ",\"taking\":{\"snapshot\":%" PRIu64
		       ",\"all\":%s,\"sent\":%" PRIu64 ",\"size\":%" PRIu64
		       ",\"ms\":%" PRIu64 "}",
		       take->lsn.v, take->is_whole ? "true" : "false",
		       take->sent, take->size, take_ms(note, boot));
}

static void put_behind_json(const struct mbj_replica_note *note,
			    struct mbj_buf *out)
{
	const struct mbj_log_behind *behind = &note->behind;

	if (note->is_behind_known)
		mbj_buf_format(out,
			       ",\"bytesBehind\":%" PRIu64
			       ",\"bulkBytesBehind\":%" PRIu64
			       ",\"bytesBehindExact\":%s",
			       behind->bytes, behind->bulk,
			       behind->is_exact ? "true" : "false");
	else
		mbj_buf_put_str(out, ",\"bytesBehind\":null,"
				     "\"bulkBytesBehind\":null,"
				     "\"bytesBehindExact\":false");
}

size_t cli_replicas_taking(const struct mbj_replica_note *notes, size_t count,
			   uint64_t *ret_left)
{
	const struct mbj_id boot = mbj_boot_id();
	size_t taking = 0;

	*ret_left = 0;
	for (size_t i = 0; i < count; i++) {
		if (!cli_replica_is_taking(&notes[i], boot))
			continue;
		taking++;
		*ret_left += notes[i].take.size - notes[i].take.sent;
	}
	return taking;
}

void cli_replicas_json(const struct mbj_replica_note *notes, size_t count,
		       struct mbj_buf *out)
{
	const struct mbj_id boot = mbj_boot_id();
	char id[MBJ_ID_TEXT_SIZE];
	uint64_t lag;

	mbj_buf_put_str(out, "[");
	for (size_t i = 0; i < count; i++) {
		const struct mbj_replica_note *note = &notes[i];

		mbj_id_print(note->instance, id);
		mbj_buf_format(out,
			       "%s{\"instance\":\"%s\",\"name\":", i ? "," : "",
			       id);
		mbj_jmap_string_print(mbj_bytes_str(note->name), out);
		mbj_buf_put_str(out, ",\"address\":");
		if (note->address[0] != '\0')
			mbj_jmap_string_print(mbj_bytes_str(note->address),
					      out);
		else
			mbj_buf_put_str(out, "null");
		mbj_buf_format(out,
			       ",\"received\":%" PRIu64 ",\"counted\":%" PRIu64
			       ",\"applied\":%" PRIu64 ",\"parked\":%" PRIu64
			       ",\"connected\":%s,\"pausedMs\":%" PRIu64
			       ",\"pauseDamaged\":%s,\"heardAgo\":%" PRIu64,
			       note->received.v, note->counted.v,
			       note->applied.v, note->parked.v,
			       cli_replica_is_connected(note, boot) ? "true"
								    : "false",
			       note->paused_ms,
			       note->is_pause_damaged ? "true" : "false",
			       cli_replica_heard_s(note, boot));
		put_take_json(note, boot, out);
		put_behind_json(note, out);
		if (mbj_replica_lag(note, boot, &lag))
			mbj_buf_format(out, ",\"lagMs\":%" PRIu64 "}", lag);
		else
			mbj_buf_put_str(out, ",\"lagMs\":null}");
	}
	mbj_buf_put_str(out, "]");
}

void cli_replicas_text(const char *head, const struct mbj_replica_note *notes,
		       size_t count, struct mbj_buf *out)
{
	const struct mbj_id boot = mbj_boot_id();
	char id[MBJ_ID_TEXT_SIZE];
	uint64_t lag;

	for (size_t i = 0; i < count; i++) {
		const struct mbj_replica_note *note = &notes[i];

		mbj_id_print(note->instance, id);
		mbj_buf_format(out, "%s%s ", head, id);
		mbj_name_escape(out, mbj_bytes_str(note->name));
		mbj_buf_put_str(out, ": ");
		cli_replica_state(note, boot, out);
		if (note->address[0] != '\0') {
			mbj_buf_put_str(out, ", from ");
			mbj_name_escape(out, mbj_bytes_str(note->address));
		}
		if (cli_replica_is_taking(note, boot))
			mbj_buf_put_str(out, ", ");
		cli_replica_take(note, boot, out);
		if (note->counted.v > 0)
			mbj_buf_format(out, ", received to group %" PRIu64,
				       note->counted.v);
		else
			mbj_buf_put_str(out, ", counts for no group");
		mbj_buf_format(out, ", applied to group %" PRIu64,
			       note->applied.v);
		if (note->is_behind_known) {
			mbj_buf_put_str(out, ", ");
			cli_behind_text(&note->behind, out);
			mbj_buf_put_str(out, " behind");
		}
		if (mbj_replica_lag(note, boot, &lag))
			mbj_buf_format(out,
				       ", current %" PRIu64 ".%" PRIu64
				       " s ago",
				       lag / 1000, lag / 100 % 10);
		else
			mbj_buf_put_str(out, ", not known to be current");
		mbj_buf_format(out, ", heard %" PRIu64 " s ago",
			       cli_replica_heard_s(note, boot));
		if (note->parked.v != 0)
			mbj_buf_format(out,
				       ", with accounts set aside from group "
				       "%" PRIu64,
				       note->parked.v);
		mbj_buf_put_str(out, "\n");
	}
}

void cli_pause_state(const struct mbj_pause_left *pause, struct mbj_buf *out)
{
	if (pause->is_damaged)
		mbj_buf_put_str(out, "not registered, and its pause is damaged "
				     "and holds nobody (mbj resume removes "
				     "it)");
	else
		mbj_buf_format(out,
			       "not registered, and paused for %" PRIu64
			       " s more if it comes back (mbj resume ends it)",
			       (pause->ms + 999) / 1000);
}

void cli_pauses_json(const struct mbj_pause_left *pauses, size_t count,
		     struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_buf_put_str(out, "[");
	for (size_t i = 0; i < count; i++) {
		mbj_id_print(pauses[i].instance, id);
		mbj_buf_format(out,
			       "%s{\"instance\":\"%s\",\"pausedMs\":%" PRIu64
			       ",\"pauseDamaged\":%s}",
			       i ? "," : "", id, pauses[i].ms,
			       pauses[i].is_damaged ? "true" : "false");
	}
	mbj_buf_put_str(out, "]");
}

void cli_pauses_text(const char *head, const struct mbj_pause_left *pauses,
		     size_t count, struct mbj_buf *out)
{
	char id[MBJ_ID_TEXT_SIZE];

	for (size_t i = 0; i < count; i++) {
		mbj_id_print(pauses[i].instance, id);
		mbj_buf_format(out, "%s%s: ", head, id);
		cli_pause_state(&pauses[i], out);
		mbj_buf_put_str(out, "\n");
	}
}

bool cli_replicas_best(const struct mbj_replica_note *notes, size_t count,
		       uint64_t *ret_ms)
{
	const struct mbj_id boot = mbj_boot_id();
	bool is_known = false;
	uint64_t lag;

	for (size_t i = 0; i < count; i++) {
		if (!mbj_replica_lag(&notes[i], boot, &lag) ||
		    (is_known && lag >= *ret_ms))
			continue;
		*ret_ms = lag;
		is_known = true;
	}
	return is_known;
}

size_t cli_replicas_away(const struct mbj_replica_note *notes, size_t count,
			 uint64_t ms)
{
	const struct mbj_id boot = mbj_boot_id();
	size_t away = 0;
	uint64_t lag;

	for (size_t i = 0; i < count; i++)
		away += notes[i].paused_ms == 0 &&
			(!mbj_replica_lag(&notes[i], boot, &lag) || lag >= ms);
	return away;
}

size_t cli_replicas_pause_damaged(const struct mbj_replica_note *notes,
				  size_t count)
{
	size_t damaged = 0;

	for (size_t i = 0; i < count; i++)
		damaged += notes[i].is_pause_damaged;
	return damaged;
}

size_t cli_replicas_paused(const struct mbj_replica_note *notes, size_t count,
			   uint64_t *ret_ms)
{
	size_t paused = 0;

	*ret_ms = 0;
	for (size_t i = 0; i < count; i++) {
		paused += notes[i].paused_ms > 0;
		if (notes[i].paused_ms > *ret_ms)
			*ret_ms = notes[i].paused_ms;
	}
	return paused;
}
