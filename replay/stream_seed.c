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
#include <fcntl.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/trim.h>

#include "snapshot_copy.h"
#include "source_stream.h"

enum {
	TRIES_MAX = 8,
	/* Of the listing of a directory that is the store's own. */
	NAMES_MAX = 1 << 20,
};

struct seed {
	struct source_stream *stream;
	struct mbj_store *store;
	struct snapshot_copy copy;
	struct mbj_file part;
	struct mbj_lsn until; /* what is asked for, 0: the newest */
	struct mbj_lsn lsn;   /* of what is here and what was offered */
	uint64_t here;	      /* bytes of it; 0: there is no file */
	uint64_t size;	      /* in all, as was offered */
	bool is_resumed;      /* some came by an earlier connection */
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

/* ------------------------------------------------------------- what is here */

static void part_drop(struct seed *seed)
{
	mbj_file_close(&seed->part);
	snapshot_copy_drop(&seed->copy);
	seed->here = 0;
	seed->is_resumed = false;
}

/* The newest stays, if any; others were given up for it. */
static enum mbj_rc parts_look(struct seed *seed, const struct mbj_buf *names,
			      const char *dir, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	const char *name;
	struct mbj_lsn lsn;
	enum mbj_rc rc = MBJ_OK;

	for (size_t at = 0; at < names->n; at += strlen(name) + 1) {
		name = (const char *)names->p + at;
		if (mbj_snapshot_part_parse(name, &lsn) && lsn.v > seed->lsn.v)
			seed->lsn = lsn;
	}
	for (size_t at = 0; rc == MBJ_OK && at < names->n;
	     at += strlen(name) + 1) {
		name = (const char *)names->p + at;
		if (!mbj_snapshot_part_parse(name, &lsn) ||
		    lsn.v == seed->lsn.v)
			continue;
		rc = mbj_path_join(path, dir, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(mbj_store_sys(seed->store), path,
					     err);
	}
	return rc;
}

static enum mbj_rc part_open(struct seed *seed, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = snapshot_copy_paths(seed->store, seed->lsn, true, &seed->copy,
				 err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(seed->copy.sys, seed->copy.temp,
				   O_RDWR | O_CREAT | O_NOFOLLOW, &seed->part,
				   err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&seed->part, &seed->here, err);
	return rc;
}

/* What an earlier connection left. */
static enum mbj_rc part_find(struct seed *seed, struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_store_sys(seed->store);
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	rc = mbj_store_snapshots_make(seed->store, dir, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&names, NAMES_MAX);
	rc = mbj_dir_list(sys, dir, &names, err);
	if (rc == MBJ_OK)
		rc = parts_look(seed, &names, dir, err);
	mbj_buf_done(&names);
	if (rc < 0 || seed->lsn.v == 0)
		return rc;
	seed->until = seed->lsn;
	rc = part_open(seed, err);
	seed->is_resumed = seed->here > 0;
	return rc;
}

/* --------------------------------------------------------------- the bytes */

/* What is offered, and where what comes of it begins. */
static enum mbj_rc offer_take(struct seed *seed,
			      const struct stream_message *offer,
			      struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &seed->stream->identity.anchor;
	uint64_t more;
	enum mbj_rc rc;

	if (offer->snapshot.v == 0 || offer->snapshot.v == UINT64_MAX ||
	    offer->snapshot.v + 1 < anchor->first.v || offer->size == 0 ||
	    (seed->until.v != 0 && offer->snapshot.v > seed->until.v))
		return peer_bad(seed, err,
				"another snapshot than was asked for");
	if (seed->part.fd >= 0 &&
	    (offer->snapshot.v != seed->lsn.v || offer->size < seed->here))
		part_drop(seed);
	seed->lsn = offer->snapshot;
	seed->size = offer->size;
	more = seed->size - seed->here;
	rc = snapshot_copy_room(seed->store, more, err);
	if (rc == MBJ_OK && seed->part.fd < 0)
		rc = part_open(seed, err);
	/* One that a crash left whose name nobody had seen. */
	if (rc == MBJ_OK && seed->here > seed->size)
		rc = peer_bad(seed, err, "less of a snapshot than is here");
	return rc;
}

static enum mbj_rc piece_take(struct seed *seed, struct mbj_bytes piece,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	if (piece.n > seed->size - seed->here)
		return peer_bad(seed, err,
				"more of a snapshot than it offered");
	rc = mbj_file_write(&seed->part, seed->here, piece.p, piece.n, err);
	if (rc == MBJ_OK)
		seed->here += piece.n;
	return rc;
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
		if (kind == STREAM_HERE && seed->here == seed->size)
			return mbj_file_sync(&seed->part, err);
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
	m->size = seed->here;
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
	if (rc == MBJ_OK && kind == STREAM_FAULT && seed->is_resumed) {
		part_drop(seed);
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
	const struct mbj_snapshot_info *info = &seed->copy.info;
	enum mbj_rc rc;

	rc = snapshot_copy_judge(&seed->copy, err);
	if (rc < 0)
		return rc;
	if (info->watermark.lsn.v == seed->lsn.v &&
	    info->watermark.epoch.v <= identity->epoch.v &&
	    mbj_id_equal(info->lineage, identity->lineage))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the source's snapshot of group %llu is another "
			     "store's, another group's or of a later reign",
			     (unsigned long long)seed->lsn.v);
}

/*
 * What the source's journal goes on from: that is asked for, since an anchor
 * has the chain value of its own beginning only.
 */
static enum mbj_rc chain_judge(const struct seed *seed, struct mbj_error *err)
{
	const struct mbj_hello *hello = &seed->stream->hello;

	if (hello->has_chain &&
	    memcmp(hello->chain_there.b, seed->copy.info.watermark.chain.b,
		   MBJ_HASH_SIZE) == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the source's snapshot of group %llu and its "
			     "journal are of two histories",
			     (unsigned long long)seed->lsn.v);
}

/*
 * One that is no good is not asked for again, unless it was put together from
 * the answers of two connections.  *ret_is_over: no other one is left.
 */
static void snapshot_refuse(struct seed *seed, bool *ret_is_over)
{
	bool was_resumed = seed->is_resumed;

	part_drop(seed);
	seed->until.v = was_resumed ? seed->lsn.v : seed->lsn.v - 1;
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
			greeted =
				source_stream_greet(seed->stream,
						    &seed->copy.info.watermark,
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
	seed->part = MBJ_FILE_CLOSED;
	rc = part_find(seed, err);
	if (rc == MBJ_OK)
		rc = snapshot_find(seed, err);
	mbj_file_close(&seed->part);
	if (rc == MBJ_OK)
		rc = snapshot_copy_keep(&seed->copy, err);
	if (rc == MBJ_OK)
		rc = mbj_store_adopt_snapshot(s->store, &s->identity,
					      &seed->copy.info, err);
	mbj_free(seed);
	return rc;
}
