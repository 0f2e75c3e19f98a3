/*
 * What a replica says to its source before all else: who it is and where it
 * stands, and how what comes is to come; and what the source says to that.
 *
 * Threads: one.
 */
#include <mbj/check.h>

#include "source_stream.h"

/* What the peer sent is not what it should be: the connection is no use. */
enum mbj_rc source_stream_bad(struct source_stream *s, struct mbj_error *err,
			      const char *what)
{
	s->link.is_lost = true;
	return mbj_error_set(err, MBJ_ECORRUPT, "the source sent %s", what);
}

/* ----------------------------------------------------------------- hello */

static enum mbj_rc welcome_take(struct source_stream *s,
				const struct stream_message *m,
				struct mbj_error *err)
{
	char certain[MBJ_ID_TEXT_SIZE];
	char said[MBJ_ID_TEXT_SIZE];

	if (m->version < 1 || m->version > STREAM_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the source speaks version %u of the "
				     "stream, not 1 to %d",
				     m->version, STREAM_VERSION);
	s->version = m->version;
	/* That is mended by waiting, for whoever can make another one. */
	if (mbj_id_is_root(m->identity.lineage)) {
		s->link.is_lost = true;
		return mbj_error_set(err, MBJ_EBUSY,
				     "the source is a replica that has not "
				     "received anything yet");
	}
	if (s->pin != NULL &&
	    !mbj_id_equal(s->pin->lineage, m->identity.lineage)) {
		mbj_id_print(s->pin->lineage, certain);
		mbj_id_print(m->identity.lineage, said);
		return mbj_error_set(err, MBJ_EFENCED,
				     "the certificate of source \"%.64s\" is "
				     "for lineage %s, it serves %s",
				     s->pin->name, certain, said);
	}
	s->identity = m->identity;
	s->end = m->end;
	s->hello = (struct mbj_hello){
		.lineage = m->identity.lineage,
		.epoch = m->identity.epoch,
		.epoch_owner = m->identity.epoch_owner,
		.end = m->end,
		.has_chain = m->has_chain,
		.chain_there = m->chain,
	};
	return MBJ_OK;
}

enum mbj_rc stream_fault_take(struct source_stream *s,
			      const struct mbj_error *fault,
			      struct mbj_error *err)
{
	enum mbj_rc rc = fault->rc == MBJ_ENOTFOUND ? MBJ_EIO : fault->rc;

	MBJ_ASSERT(rc < MBJ_OK);
	if (rc == MBJ_EBUSY || rc == MBJ_EIO || rc == MBJ_ENOMEM)
		s->link.is_lost = true;
	if (err != NULL) {
		*err = *fault;
		err->rc = rc;
	}
	return rc;
}

/* It serves nothing for so long: that is for another connection. */
static enum mbj_rc pause_take(struct source_stream *s, uint64_t ms,
			      struct mbj_error *err)
{
	s->link.is_lost = true;
	s->paused_ms = ms;
	mbj_upstream_pause(s->upstream, ms);
	return mbj_error_set(err, MBJ_EBUSY,
			     "the source has paused this replica, for %llu s "
			     "more",
			     (unsigned long long)(ms / 1000));
}

/*
 * Say it, and hear what the source says to that.  One that hung up before it
 * heard us may have said why: its word is worth more than that it is gone.
 */
static enum mbj_rc hello_ask(struct source_stream *s, struct stream_message *m,
			     enum stream_kind *ret_kind, struct mbj_error *err)
{
	struct mbj_error unsaid = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = stream_link_send(&s->link, STREAM_HELLO, m, &unsaid);
	if (rc < 0)
		s->link.is_lost = !s->link.is_ended;
	if (rc == MBJ_OK || s->link.is_ended)
		rc = stream_link_receive(&s->link, 0, ret_kind, m, err);
	if (unsaid.rc == MBJ_OK || (rc == MBJ_OK && *ret_kind == STREAM_FAULT))
		return rc;
	s->link.is_lost = true;
	if (err != NULL)
		*err = unsaid;
	return unsaid.rc;
}

enum mbj_rc source_stream_hello(struct source_stream *s,
				const struct mbj_identity *identity,
				const struct mbj_watermark *where,
				struct mbj_error *err)
{
	struct stream_message m = {.version_lowest = 1,
				   .version_highest = STREAM_VERSION,
				   .lineage = identity->lineage,
				   .epoch = identity->epoch,
				   .instance = identity->instance,
				   .name = s->name,
				   .applied = where->lsn,
				   .chain = where->chain};
	enum stream_kind kind = STREAM_FAULT;
	enum mbj_rc rc;

	s->applied = where->lsn;
	s->asked_ms = mbj_monotonic_ms();
	rc = hello_ask(s, &m, &kind, err);
	if (rc < 0)
		return rc;
	if (kind == STREAM_WELCOME)
		return welcome_take(s, &m, err);
	if (kind == STREAM_PAUSED)
		return pause_take(s, m.paused_ms, err);
	if (kind != STREAM_FAULT)
		return source_stream_bad(s, err, "no welcome");
	return stream_fault_take(s, &m.error, err);
}

enum mbj_rc source_stream_greet(struct source_stream *s,
				const struct mbj_watermark *where,
				struct mbj_error *err)
{
	return source_stream_hello(s, mbj_store_identity(s->store), where, err);
}

/* -------------------------------------------------------- how it is to come */

/* What comes is to be no faster. */
static enum mbj_rc pace_ask(struct source_stream *s, uint64_t rate,
			    struct mbj_error *err)
{
	struct stream_message m = {.rate = rate};

	if (rate == 0)
		return MBJ_OK;
	MBJ_ASSERT(rate >= MBJ_STREAM_RATE_MIN);
	if (s->version < STREAM_VERSION_PACE)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the source speaks version %u of the "
				     "stream, which has no rate: limit it "
				     "there, or use a newer mbj",
				     s->version);
	return stream_link_send(&s->link, STREAM_PACE, &m, err);
}

/*
 * At which level it packs, of what was asked for.  One that says nothing is
 * older, and does as it was asked.
 */
static enum mbj_rc packs_take(struct source_stream *s, unsigned asked,
			      unsigned *ret_level, struct mbj_error *err)
{
	struct stream_message m;
	enum stream_kind kind;
	enum mbj_rc rc;

	*ret_level = asked;
	if (s->version < STREAM_VERSION_PACKS)
		return MBJ_OK;
	rc = stream_link_receive(&s->link, 0, &kind, &m, err);
	if (rc < 0)
		return rc;
	if (kind != STREAM_PACKS)
		return source_stream_bad(s, err, "no word of how it packs");
	if (m.level > asked)
		return source_stream_bad(s, err,
					 "a higher level of packing than was "
					 "asked for");
	*ret_level = m.level;
	return MBJ_OK;
}

/* What comes may be packed.  A source that does not: it is not. */
static enum mbj_rc pack_ask(struct source_stream *s, unsigned asked,
			    struct mbj_error *err)
{
	struct stream_message m = {.level = (uint8_t)asked};
	unsigned level = 0;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(asked <= MBJ_STREAM_LEVEL_MAX);
	if (asked > 0 && s->version >= STREAM_VERSION_PACK) {
		rc = stream_link_send(&s->link, STREAM_PACK, &m, err);
		if (rc == MBJ_OK)
			rc = packs_take(s, asked, &level, err);
	}
	if (rc == MBJ_OK && level > 0)
		rc = stream_link_unpack(&s->link, err);
	if (rc < 0)
		return rc;
	s->level = level;
	mbj_upstream_pack(s->upstream, asked, level);
	return MBJ_OK;
}

enum mbj_rc source_stream_meet(struct source_stream *s,
			       const struct mbj_stream_options *options,
			       struct mbj_error *err)
{
	struct mbj_watermark applied;
	enum mbj_rc rc;

	rc = mbj_store_applied(s->store, &applied, err);
	if (rc == MBJ_OK)
		rc = source_stream_greet(s, &applied, err);
	if (rc == MBJ_OK)
		rc = pace_ask(s, options->rate, err);
	return rc == MBJ_OK ? pack_ask(s, options->level, err) : rc;
}
