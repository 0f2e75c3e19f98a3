/*
 * A replica that has nothing yet, and a source whose journal does not begin at
 * group 1: the source's newest snapshot comes through the stream, is judged,
 * and the state is filled from it; groups and contents follow as always.
 *
 *	ask --offer--> bytes into snapshots/<LSN>.snap.part --whole--> judge
 *	  ^               | connection lost: kept,               | bad: an older
 *	  +---------------+ the next one goes on                 v one
 *	                                  hello at its group -> name -> adopt
 *
 * Invariants:
 *   1. nothing gets a snapshot's name but what was judged, is of the source's
 *      lineage, and has the chain value that the source's journal has there;
 *   2. it has its name before the superblock says that the journal begins
 *      behind it;
 *   3. what a source sends is bounded by what it offered, that by the room
 *      that there is, and the offers by TRIES_MAX.
 *
 * Threads: the caller's, alone with the replica.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/trim.h>

#include "snapshot_part.h"
#include "source_stream.h"

enum { TRIES_MAX = 8 };

struct seed {
	struct source_stream *stream;
	struct mbj_store *store;
	struct snapshot_part part;
	struct mbj_lsn until; /* what is asked for, 0: the newest */
	uint64_t size;	      /* in all, as was offered */
};

bool source_stream_needs_seed(const struct source_stream *s)
{
	const struct mbj_identity *own = mbj_store_identity(s->store);

	return own->role == MBJ_STORE_REPLICA && mbj_id_is_root(own->lineage) &&
	       s->identity.anchor.first.v > 1;
}

/* What a peer said cannot be: the connection is no use. */
static enum mbj_rc peer_bad(struct seed *seed, struct mbj_error *err,
			    const char *what)
{
	seed->stream->link.is_lost = true;
	return mbj_error_set(err, MBJ_ECORRUPT, "the source sent %s", what);
}

/* --------------------------------------------------------------- the bytes */

/* What is offered, and where what comes of it begins. */
static enum mbj_rc offer_take(struct seed *seed,
			      const struct stream_message *offer,
			      struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &seed->stream->identity.anchor;
	struct snapshot_part *part = &seed->part;
	uint64_t more;
	enum mbj_rc rc;

	if (offer->snapshot.v == 0 || offer->snapshot.v == UINT64_MAX ||
	    offer->snapshot.v + 1 < anchor->first.v || offer->size == 0 ||
	    (seed->until.v != 0 && offer->snapshot.v > seed->until.v))
		return peer_bad(seed, err,
				"another snapshot than was asked for");
	if (snapshot_part_is_open(part) &&
	    (offer->snapshot.v != part->lsn.v || offer->size < part->here))
		snapshot_part_drop(part);
	part->lsn = offer->snapshot;
	seed->size = offer->size;
	more = seed->size - part->here;
	rc = snapshot_copy_room(seed->store, more, err);
	if (rc == MBJ_OK && !snapshot_part_is_open(part))
		rc = snapshot_part_open(part, part->lsn, err);
	/* One that a crash left whose name nobody had seen. */
	if (rc == MBJ_OK && part->here > seed->size)
		rc = peer_bad(seed, err, "less of a snapshot than is here");
	return rc;
}

static enum mbj_rc piece_take(struct seed *seed, struct mbj_bytes piece,
			      struct mbj_error *err)
{
	if (piece.n > seed->size - seed->part.here)
		return peer_bad(seed, err,
				"more of a snapshot than it offered");
	return snapshot_part_write(&seed->part, piece, err);
}

/* All of what was offered. */
static enum mbj_rc pieces_take(struct seed *seed, struct mbj_error *err)
{
	struct stream_message m;
	enum stream_kind kind = STREAM_FAULT;
	enum mbj_rc rc;

	for (;;) {
		rc = stream_link_receive(&seed->stream->link, 0, &kind, &m,
					 err);
		if (rc < 0)
			return rc;
		if (kind == STREAM_HERE && seed->part.here == seed->size)
			return mbj_file_sync(&seed->part.file, err);
		if (kind == STREAM_LOST)
			return stream_fault_take(seed->stream, &m.error, err);
		if (kind != STREAM_PIECE)
			return peer_bad(seed, err,
					"something else than a snapshot");
		rc = piece_take(seed, m.data, err);
		if (rc < 0)
			return rc;
	}
}

static enum mbj_rc snapshot_ask(struct seed *seed, enum stream_kind *ret_kind,
				struct stream_message *m, struct mbj_error *err)
{
	enum mbj_rc rc;

	m->snapshot = seed->until;
	m->size = seed->part.here;
	rc = stream_link_send(&seed->stream->link, STREAM_SNAPSHOT, m, err);
	if (rc == MBJ_OK)
		rc = stream_link_receive(&seed->stream->link, 0, ret_kind, m,
					 err);
	return rc;
}

static enum mbj_rc snapshot_receive(struct seed *seed, struct mbj_error *err)
{
	struct stream_message m = {.size = 0};
	enum stream_kind kind = STREAM_FAULT;
	enum mbj_rc rc;

	rc = snapshot_ask(seed, &kind, &m, err);
	/* What is left of one that the source keeps no more is no use. */
	if (rc == MBJ_OK && kind == STREAM_FAULT && seed->part.is_resumed) {
		snapshot_part_drop(&seed->part);
		seed->until.v = 0;
		rc = snapshot_ask(seed, &kind, &m, err);
	}
	if (rc != MBJ_OK)
		return rc;
	if (kind == STREAM_FAULT)
		return stream_fault_take(seed->stream, &m.error, err);
	if (kind != STREAM_OFFER)
		return peer_bad(seed, err, "no offer of a snapshot");
	rc = offer_take(seed, &m, err);
	if (rc == MBJ_OK)
		rc = pieces_take(seed, err);
	return rc;
}

/* ----------------------------------------------------------------- judging */

/* It is what it says, of this store and of a reign that the source knows. */
static enum mbj_rc snapshot_judge(struct seed *seed, struct mbj_error *err)
{
	const struct mbj_identity *identity = &seed->stream->identity;
	const struct mbj_snapshot_info *info = &seed->part.copy.info;
	enum mbj_rc rc;

	rc = snapshot_copy_judge(&seed->part.copy, err);
	if (rc < 0)
		return rc;
	if (info->watermark.lsn.v == seed->part.lsn.v &&
	    info->watermark.epoch.v <= identity->epoch.v &&
	    mbj_id_equal(info->lineage, identity->lineage))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the source's snapshot of group %llu is another "
			     "store's, another group's or of a later reign",
			     (unsigned long long)seed->part.lsn.v);
}

/*
 * What the source's journal goes on from: that is asked for, since an anchor
 * has the chain value of its own beginning only.
 */
static enum mbj_rc chain_judge(const struct seed *seed, struct mbj_error *err)
{
	const struct mbj_hello *hello = &seed->stream->hello;

	if (hello->has_chain &&
	    memcmp(hello->chain_there.b, seed->part.copy.info.watermark.chain.b,
		   MBJ_HASH_SIZE) == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the source's snapshot of group %llu and its "
			     "journal are of two histories",
			     (unsigned long long)seed->part.lsn.v);
}

/*
 * One that is no good is not asked for again, unless it was put together from
 * the answers of two connections.  *ret_is_over: no other one is left.
 */
static void snapshot_refuse(struct seed *seed, bool *ret_is_over)
{
	bool was_resumed = seed->part.is_resumed;

	snapshot_part_drop(&seed->part);
	seed->until.v = was_resumed ? seed->part.lsn.v : seed->part.lsn.v - 1;
	*ret_is_over =
		seed->until.v == 0 ||
		seed->until.v + 1 < seed->stream->identity.anchor.first.v;
}

static enum mbj_rc snapshot_find(struct seed *seed, struct mbj_error *err)
{
	bool is_over = false;
	enum mbj_rc rc = MBJ_ECORRUPT;

	for (int i = 0; rc != MBJ_OK && !is_over && i < TRIES_MAX; i++) {
		enum mbj_rc greeted = MBJ_OK;

		rc = snapshot_receive(seed, err);
		if (rc < 0)
			return rc;
		rc = snapshot_judge(seed, err);
		/* What is wrong with its journal is not the snapshot's fault.
		 */
		if (rc == MBJ_OK)
			greeted = source_stream_greet(
				seed->stream, &seed->part.copy.info.watermark,
				err);
		if (greeted < 0)
			return greeted;
		if (rc == MBJ_OK)
			rc = chain_judge(seed, err);
		if (rc < 0 && !snapshot_copy_is_fault(rc))
			return rc;
		if (rc < 0)
			snapshot_refuse(seed, &is_over);
	}
	if (rc == MBJ_OK)
		return MBJ_OK;
	return mbj_error_prefix(err, rc,
				"the source has no snapshot that is good; the "
				"last that it offered");
}

enum mbj_rc source_stream_seed(struct source_stream *s, struct mbj_error *err)
{
	struct seed *seed;
	enum mbj_rc rc;

	MBJ_ASSERT(source_stream_needs_seed(s));
	seed = mbj_calloc(1, sizeof(*seed));
	if (seed == NULL)
		return mbj_error_nomem(err);
	seed->stream = s;
	seed->store = s->store;
	snapshot_part_init(&seed->part, s->store);
	rc = snapshot_part_find(&seed->part, err);
	seed->until = seed->part.lsn;
	if (rc == MBJ_OK)
		rc = snapshot_find(seed, err);
	snapshot_part_close(&seed->part);
	if (rc == MBJ_OK)
		rc = snapshot_copy_keep(&seed->part.copy, err);
	if (rc == MBJ_OK)
		rc = mbj_store_adopt_snapshot(s->store, &s->identity,
					      &seed->part.copy.info, err);
	mbj_free(seed);
	return rc;
}
