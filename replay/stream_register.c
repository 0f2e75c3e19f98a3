/*
 * What a source keeps of the replica that it serves, and whether somebody has
 * paused that one.
 *
 * Of a pause nobody tells us: it is looked for, with each request and piece, no
 * more often than once in a while.  It ends the connection, wherever that is;
 * the next one is told at its hello, and for how long: so nothing of what a
 * replica may ask has an answer more.
 *
 * Threads: one.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "stream_serve.h"

/* Between writes of what is known of the replica. */
enum { REGISTER_MS = 5000, HEARD_US = REGISTER_MS * 1000 };

/* -------------------------------------------------------------- register */

static enum mbj_rc register_write(struct stream_server *s,
				  enum mbj_note_turn turn,
				  struct mbj_error *err)
{
	struct mbj_upstream_status status;
	int64_t now = mbj_monotonic_ms();

	mbj_upstream_get(s->board, &status);
	s->note.was_current = status.was_current;
	s->note.current_ms = now - (int64_t)status.lag_ms;
	s->note_ms = now + REGISTER_MS;
	return mbj_replica_note_save(s->sys, s->dir, &s->note, turn, err);
}

static void note_hear(struct stream_server *s)
{
	s->note.heard_us = s->sys->now_us(s->sys->ctx);
	s->note.heard_ms = mbj_monotonic_ms();
	s->note.is_connected = true;
}

/*
 * It takes what is sent: one answer may last for hours, and it is not away
 * meanwhile.  What cannot be written is so with its next question.
 */
static void register_refresh(struct stream_server *s)
{
	int64_t since;

	if (s->board == NULL || !s->note.is_connected)
		return;
	since = s->sys->now_us(s->sys->ctx) - s->note.heard_us;
	if (since >= 0 && since < HEARD_US)
		return;
	note_hear(s);
	(void)!register_write(s, MBJ_NOTE_NEXT, NULL);
}

/*
 * What the replica has for sure, for those who wait for it.  A connection that
 * broke may have left it with groups without their contents: what it says
 * counts once it has asked for those, when it has nothing to do but to wait for
 * more; from then on each group comes with its contents, or the connection is
 * over; or not, for the rest of it, where the source could not read one that it
 * may have.  A snapshot that it is offered (from no group on) is another
 * beginning. Less than before counts at once.  What cannot be written has those
 * wait in vain, and is tried again with the replica's next word.
 */
static void received_note(struct stream_server *s,
			  const struct stream_message *where)
{
	if (s->mark.file.fd < 0 &&
	    mbj_received_open(&s->mark, s->sys, s->dir, s->identity.lineage,
			      s->note.instance, NULL) < 0)
		return;
	s->is_sound = where->from.v > 0 && !s->is_blind &&
		      (s->is_sound || where->wait_ms > 0);
	if (s->is_sound || where->received.v < s->mark.lsn.v)
		(void)!mbj_received_set(&s->mark, where->received, NULL);
}

void stream_take_begin(struct stream_server *s, struct mbj_lsn lsn,
		       bool is_whole, uint64_t at, uint64_t size)
{
	struct mbj_replica_take *take = &s->note.take;
	bool is_same = take->lsn.v == lsn.v && take->is_whole == is_whole;

	*take = (struct mbj_replica_take){
		.lsn = lsn,
		.is_whole = is_whole,
		.sent = at,
		.size = size,
		.began_ms = is_same ? take->began_ms : mbj_monotonic_ms(),
	};
}

void stream_take_go(struct stream_server *s, uint64_t sent)
{
	s->note.take.sent = sent;
}

void stream_take_end(struct stream_server *s)
{
	s->note.take = (struct mbj_replica_take){.is_whole = false};
}

enum mbj_rc stream_register(struct stream_server *s,
			    const struct stream_message *where,
			    struct mbj_error *err)
{
	bool is_first = !s->note.is_connected;
	bool was_current = s->note.was_current;
	/* An older snapshot was offered: what it needs is to be held at once.
	 */
	bool is_back = where->received.v < s->note.received.v;
	struct mbj_upstream_status status;
	enum mbj_rc rc;

	if (s->board == NULL)
		return MBJ_OK;
	mbj_upstream_apply(s->board, where->applied);
	mbj_upstream_get(s->board, &status);
	s->note.received = where->received;
	s->note.applied = where->applied;
	s->note.parked = where->parked;
	note_hear(s);
	/* It does not wait while there are parts to ask for. */
	if (where->wait_ms > 0)
		stream_take_end(s);
	if (!is_first && !is_back && s->note.heard_ms < s->note_ms &&
	    was_current == status.was_current) {
		received_note(s, where);
		return MBJ_OK;
	}
	rc = register_write(s, is_first ? MBJ_NOTE_FIRST : MBJ_NOTE_NEXT, err);
	if (rc < 0 && is_first) {
		s->note.is_connected = false;
		(void)mbj_error_prefix(err, rc,
				       "the replica cannot be registered");
		/* Another connection may find it otherwise. */
		if (rc != MBJ_EFENCED)
			err->rc = MBJ_EIO;
		return err->rc;
	}
	received_note(s, where);
	/* A trim that did not see it yet has moved the beginning before. */
	return is_first ? stream_identity_check(s, err) : MBJ_OK;
}

enum mbj_rc stream_register_begin(struct stream_server *s,
				  const struct stream_message *hello,
				  struct mbj_error *err)
{
	struct mbj_bytes name;
	enum mbj_rc rc;

	/* What is of another store will not be served, or does not ask. */
	if (mbj_id_is_reserved(hello->instance) ||
	    (!mbj_id_is_root(hello->lineage) &&
	     !mbj_id_equal(hello->lineage, s->identity.lineage)))
		return MBJ_OK;
	s->note.instance = hello->instance;
	s->note.boot = mbj_boot_id();
	s->note.is_certified = s->pin != NULL;
	if (s->address != NULL)
		(void)snprintf(s->note.address, sizeof(s->note.address), "%s",
			       s->address);
	name = s->pin != NULL ? mbj_bytes_str(s->pin->name) : hello->name;
	MBJ_ASSERT(name.n <= MBJ_REPLICA_NAME_MAX);
	if (name.n > 0)
		memcpy(s->note.name, name.p, name.n);
	s->note.name[name.n] = '\0';
	rc = mbj_id_generate(s->sys, &s->note.session, err);
	if (rc == MBJ_OK)
		rc = mbj_upstream_new(&s->board, err);
	return rc;
}

void stream_register_end(struct stream_server *s)
{
	/* One that never fetched was refused, or refused us. */
	if (s->board != NULL && s->note.is_connected) {
		s->note.is_connected = false;
		s->note.take = (struct mbj_replica_take){.is_whole = false};
		(void)!register_write(s, MBJ_NOTE_LAST, NULL);
	}
	mbj_received_close(&s->mark);
	mbj_upstream_free(&s->board);
}

/* ---------------------------------------------------------------- pauses */

bool stream_pause_look(struct stream_server *s, struct mbj_id instance)
{
	s->instance = instance;
	s->look_ms = mbj_monotonic_ms() + STREAM_PAUSE_MS;
	s->paused_ms = mbj_replica_paused(s->sys, s->dir, instance);
	return s->paused_ms > 0;
}

static enum mbj_rc pause_fail(const struct stream_server *s,
			      struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EBUSY,
			     "the source has paused this replica, for %llu s "
			     "more",
			     (unsigned long long)(s->paused_ms / 1000));
}

enum mbj_rc stream_pause_check(struct stream_server *s, struct mbj_error *err)
{
	if (mbj_monotonic_ms() < s->look_ms ||
	    !stream_pause_look(s, s->instance))
		return MBJ_OK;
	return pause_fail(s, err);
}

enum mbj_rc stream_look(void *ctx, struct mbj_error *err)
{
	register_refresh(ctx);
	return stream_pause_check(ctx, err);
}

enum mbj_rc stream_pause_tell(struct stream_server *s, uint16_t version,
			      struct mbj_error *err)
{
	struct stream_message m = {.paused_ms = s->paused_ms};
	enum mbj_rc rc;

	(void)pause_fail(s, &m.error);
	if (version >= STREAM_VERSION_PAUSED)
		rc = stream_link_send(&s->link, STREAM_PAUSED, &m, err);
	else
		rc = stream_fault_send(s, &m.error, err);
	return rc == MBJ_OK ? pause_fail(s, err) : rc;
}
