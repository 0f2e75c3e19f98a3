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
 * One that has something, of which the source has trimmed what comes next, goes
 * the same way: its accounts are compared, and the superblock says that its
 * journal begins behind the snapshot; what it had goes when it is opened again.
 *
 * Threads: the caller's, alone with the replica.
 */
#include <string.h>

#include <mbj/audit.h>
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
	struct mbj_lsn end;   /* the state's watermark */
	uint64_t size;	      /* in all, as was offered */
};

bool source_stream_needs_seed(const struct source_stream *s)
{
	const struct mbj_identity *own = mbj_store_identity(s->store);

	return own->role == MBJ_STORE_REPLICA && mbj_id_is_root(own->lineage) &&
	       s->identity.anchor.first.v > 1;
}

bool source_stream_is_behind(const struct source_stream *s)
{
	const struct mbj_identity *own = mbj_store_identity(s->store);

	/* Another store and an older reign are refused where all are. */
	return own->role == MBJ_STORE_REPLICA &&
	       !mbj_id_is_root(own->lineage) &&
	       mbj_id_equal(own->lineage, s->identity.lineage) &&
	       s->identity.epoch.v >= own->epoch.v &&
	       s->applied.v + 1 < s->identity.anchor.first.v;
}

/* What a peer said cannot be: the connection is no use. */
static void progress_note(const struct seed *seed, enum mbj_resync_stage stage)
{
	stream_resync_note(seed->stream, stage, true, seed->part.here,
			   seed->size);
}

static enum mbj_rc peer_bad(struct seed *seed, struct mbj_error *err,
			    const char *what)
{
	seed->stream->link.is_lost = true;
	return mbj_error_set(err, MBJ_ECORRUPT, "the source sent %s", what);
}

/* --------------------------------------------------------------- the bytes */

/* For what is to come, and for a state and its log, each as large as all. */
static uint64_t room_needed(uint64_t more, uint64_t size)
{
	return size > (UINT64_MAX - more) / 2 ? UINT64_MAX : more + 2 * size;
}

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
	rc = snapshot_copy_room(seed->store, room_needed(more, seed->size),
				err);
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
		progress_note(seed, MBJ_RESYNC_FETCHING);
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
static enum mbj_rc head_judge(struct seed *seed, struct mbj_error *err)
{
	const struct mbj_identity *identity = &seed->stream->identity;
	const struct mbj_snapshot_info *info = &seed->part.copy.info;
	enum mbj_rc rc;

	rc = snapshot_copy_look(&seed->part.copy, err);
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

/* One, and what is wrong with the one before it is said with what it is not. */
static enum mbj_rc snapshot_next(struct seed *seed, bool is_first,
				 struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	enum mbj_rc rc = snapshot_receive(seed, &said);

	if (rc == MBJ_OK || err == NULL)
		return rc;
	if (!is_first)
		(void)mbj_error_prefix(&said, rc, "%s; asked for another one",
				       err->message);
	*err = said;
	return rc;
}

static enum mbj_rc snapshot_find(struct seed *seed, struct mbj_error *err)
{
	bool is_over = false;
	enum mbj_rc rc = MBJ_ECORRUPT;

	for (int i = 0; rc != MBJ_OK && !is_over && i < TRIES_MAX; i++) {
		enum mbj_rc greeted = MBJ_OK;

		rc = snapshot_next(seed, i == 0, err);
		if (rc < 0)
			return rc;
		progress_note(seed, MBJ_RESYNC_JUDGING);
		rc = head_judge(seed, err);
		/*
		 * Asked before all of it is judged, which may take longer than
		 * the source waits for a question.  What is wrong with its
		 * journal is not the snapshot's fault.
		 */
		if (rc == MBJ_OK)
			greeted = source_stream_greet(
				seed->stream, &seed->part.copy.info.watermark,
				err);
		if (greeted < 0)
			return greeted;
		if (rc == MBJ_OK)
			rc = chain_judge(seed, err);
		if (rc == MBJ_OK)
			rc = snapshot_copy_judge(&seed->part.copy, err);
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

/* ---------------------------------------------------------- begin anew */

/* Accounts of the replica, in the order of ids, beside those of a snapshot. */
struct comparing {
	struct seed *seed;
	struct mbj_txn *txn;
	struct mbj_scan scan;
	struct mbj_account own; /* the next one, while has_own */
	bool has_own;
};

static enum mbj_rc own_next(struct comparing *c, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_scan_next_account(&c->scan, &c->own, err);

	c->has_own = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What waits, or was given up, is not in what is here. */
static enum mbj_rc is_aside(struct comparing *c, struct mbj_id id, bool *ret_is,
			    struct mbj_error *err)
{
	struct mbj_skipped skipped;
	struct mbj_parked parked;
	enum mbj_rc rc = mbj_txn_parked_get(c->txn, id, &parked, err);

	*ret_is = rc == MBJ_OK;
	return rc != MBJ_ENOTFOUND ? rc
				   : mbj_txn_skipped_seek(c->txn, id, &skipped,
							  ret_is, err);
}

/* lsn: of the last group that is known to name it. */
static enum mbj_rc otherwise(struct comparing *c, struct mbj_id id,
			     struct mbj_lsn lsn, struct mbj_error *err)
{
	char text[MBJ_ID_TEXT_SIZE];
	bool is_known = false;
	enum mbj_rc rc = is_aside(c, id, &is_known, err);

	if (rc < 0 || is_known)
		return rc;
	mbj_id_print(id, text);
	return mbj_error_set(err, MBJ_EFENCED,
			     "the source has trimmed what the replica lacks, "
			     "and its snapshot of group %llu has account %s "
			     "otherwise than it is here since group %llu: make "
			     "a new replica, with \"mbj clone\"",
			     (unsigned long long)c->seed->part.lsn.v, text,
			     (unsigned long long)lsn.v);
}

/* Those that are here, and that the snapshot does not know, up to one. */
static enum mbj_rc unknown_compare(struct comparing *c,
				   const struct mbj_id *before,
				   struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && c->has_own &&
	       (before == NULL || mbj_id_compare(c->own.id, *before) < 0)) {
		rc = otherwise(c, c->own.id, c->own.lsn, err);
		if (rc == MBJ_OK)
			rc = own_next(c, err);
	}
	return rc;
}

/* Of an account that nobody has named since, what it has is what is here. */
static enum mbj_rc account_compare(struct comparing *c,
				   const struct mbj_snapshot_account *theirs,
				   struct mbj_error *err)
{
	bool is_since = theirs->lsn.v > c->seed->end.v;
	const struct mbj_account *own = &c->own;
	bool is_same = !theirs->is_there;
	enum mbj_rc rc = unknown_compare(c, &theirs->id, err);

	if (rc == MBJ_OK && c->has_own && mbj_id_equal(own->id, theirs->id)) {
		is_same = theirs->is_there && own->lsn.v == theirs->lsn.v &&
			  mbj_digest_equal(&own->digest, &theirs->digest);
		rc = own_next(c, err);
	}
	if (rc < 0 || is_same || is_since ||
	    !(theirs->is_there || theirs->is_dead))
		return rc;
	return otherwise(c, theirs->id, theirs->lsn, err);
}

/*
 * Nothing links the chain of what is here to that of the snapshot: what the
 * source has trimmed lies in between.  Accounts do: those of the snapshot, and
 * those that are here and were never there.
 */
static enum mbj_rc accounts_compare(struct seed *seed, struct mbj_error *err)
{
	const struct snapshot_copy *copy = &seed->part.copy;
	struct comparing c = {.seed = seed};
	struct mbj_snapshot_account account;
	struct mbj_snapshot *snapshot = NULL;
	enum mbj_rc rc;

	rc = mbj_snapshot_open(copy->sys, copy->temp, &snapshot, err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(seed->store, &c.txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_accounts(c.txn, &c.scan, err);
	if (rc == MBJ_OK)
		rc = own_next(&c, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_accounts_begin(snapshot, err);
	while (rc == MBJ_OK) {
		rc = mbj_snapshot_accounts_next(snapshot, &account, err);
		if (rc == MBJ_OK)
			rc = account_compare(&c, &account, err);
		else if (rc == MBJ_ENOTFOUND) {
			rc = unknown_compare(&c, NULL, err);
			break;
		}
	}
	mbj_scan_done(&c.scan);
	mbj_txn_abort(&c.txn);
	mbj_snapshot_close(&snapshot);
	return rc;
}

/* Those that are aside come back with it. */
static enum mbj_rc aside_note(struct seed *seed, struct mbj_error *err)
{
	struct waiting_list list = {.count = 0};
	struct mbj_audit audit;
	enum mbj_rc rc = waiting_load(seed->store, &list, err);

	if (rc < 0)
		return rc;
	mbj_audit_begin(&audit, seed->store, false);
	for (size_t i = 0; i < list.count; i++)
		mbj_audit_note(&audit, &(struct mbj_audit_entry){
					       .kind = MBJ_AUDIT_RESYNC,
					       .account = list.items[i].account,
					       .first = list.items[i].first,
					       .snapshot = seed->part.lsn,
					       .count = list.items[i].count});
	rc = mbj_audit_flush(&audit, err);
	mbj_audit_end(&audit);
	waiting_done(&list);
	return rc;
}

/*
 * Until the superblock says so, all that the replica has is as it was.  What is
 * refused stays: a service asks again, and is not sent all of it each time.
 */
static enum mbj_rc begin_anew(struct seed *seed, struct mbj_error *err)
{
	struct source_stream *s = seed->stream;
	enum mbj_rc rc = accounts_compare(seed, err);

	if (rc == MBJ_OK)
		rc = snapshot_copy_keep(&seed->part.copy, err);
	if (rc == MBJ_OK)
		rc = aside_note(seed, err);
	if (rc == MBJ_OK)
		rc = mbj_store_begin_anew(s->store, &s->identity,
					  &seed->part.copy.info, err);
	if (rc < 0)
		return rc;
	s->is_renewed = true;
	return mbj_error_set(
		err, MBJ_EBUSY,
		"the source has trimmed what the replica lacks: it "
		"begins anew behind group %llu, and is to be "
		"opened again",
		(unsigned long long)seed->part.lsn.v);
}

/* One that has nothing has its state at once. */
static enum mbj_rc begin_first(struct seed *seed, struct mbj_error *err)
{
	struct source_stream *s = seed->stream;
	enum mbj_rc rc = snapshot_copy_keep(&seed->part.copy, err);

	if (rc == MBJ_OK)
		rc = mbj_store_adopt_snapshot(s->store, &s->identity,
					      &seed->part.copy.info, err);
	return rc;
}

enum mbj_rc source_stream_seed(struct source_stream *s, struct mbj_error *err)
{
	bool is_behind = source_stream_is_behind(s);
	struct seed *seed;
	enum mbj_rc rc;

	MBJ_ASSERT(is_behind || source_stream_needs_seed(s));
	seed = mbj_calloc(1, sizeof(*seed));
	if (seed == NULL)
		return mbj_error_nomem(err);
	seed->stream = s;
	seed->store = s->store;
	seed->end = s->applied;
	snapshot_part_init(&seed->part, s->store);
	rc = snapshot_part_find(&seed->part, err);
	seed->until = seed->part.lsn;
	if (rc == MBJ_OK)
		rc = snapshot_find(seed, err);
	snapshot_part_close(&seed->part);
	progress_note(seed, MBJ_RESYNC_MAKING);
	if (rc == MBJ_OK)
		rc = is_behind ? begin_anew(seed, err) : begin_first(seed, err);
	progress_note(seed, MBJ_RESYNC_NONE);
	mbj_free(seed);
	return rc;
}
