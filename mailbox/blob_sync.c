/*
 * Rounds: the folders of what was stored or found since the last one are
 * synced once, for all who wait; see mbj/blob.h.
 *
 *	stored, found --> pending --round--> on disk: forgotten
 *	                     ^         |
 *	   written anew -----+         +--> its folder's sync failed: doubtful
 *
 * A round syncs one folder after the other.  Threads that have a blob or two
 * each sync theirs before, at the same time (mbj_blob_settle): the disk then
 * does many at once, and the round finds little left.
 *
 * The kernel tells of what it could not write once, to one of those who sync.
 * So a folder is synced by one thread at a time, and what became of that is
 * noted before the next one begins.
 *
 * Not here: writing (blob_write.c).
 *
 * Invariants:
 *   1. of an entry that may not be on disk there is a note, or its folder is
 *      not clean and whoever finds it makes one, or the log has it;
 *   2. the folder of a note that is not doubtful is dirty;
 *   3. no round succeeds while a doubtful note is left;
 *   4. of a folder there is one sync under way at most.
 *
 * Threads: see mbj/blob.h; one at a time leads a round.  Nobody has the mutex
 * while he syncs.
 */
#include <mbj/check.h>

#include "blob_priv.h"

/* A round's storage grows with notes; storing threads may overshoot a bit. */
enum { NOTES_MAX = 2 * BLOB_PENDING_MAX };

static struct blob_pending *note_at(const struct mbj_blobs *blobs, size_t i)
{
	return (struct blob_pending *)blobs->pending + i;
}

static bool digest_equal(const struct mbj_hash *a, const struct mbj_hash *b)
{
	return memcmp(a->b, b->b, MBJ_HASH_SIZE) == 0;
}

/* ----------------------------------------------------------------- notes */

bool blob_is_doubtful(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest)
{
	if (blobs->doubtful_count == 0)
		return false;
	for (size_t i = 0; i < blobs->pending_count; i++) {
		if (note_at(blobs, i)->is_doubtful &&
		    digest_equal(&note_at(blobs, i)->digest, digest))
			return true;
	}
	return false;
}

enum mbj_rc blob_note_reserve(struct mbj_blobs *blobs, struct mbj_error *err)
{
	/* Names that are given without the mutex had their room before. */
	return mbj_array_reserve(&blobs->pending, &blobs->pending_capacity,
				 blobs->pending_count + blobs->placing_count +
					 1,
				 sizeof(struct blob_pending), NOTES_MAX, err);
}

/* Take the i-th note away; the last one comes in its place. */
static void note_drop(struct mbj_blobs *blobs, size_t i)
{
	MBJ_ASSERT(i < blobs->pending_count);
	if (note_at(blobs, i)->is_doubtful) {
		MBJ_ASSERT(blobs->doubtful_count > 0);
		blobs->doubtful_count--;
	}
	*note_at(blobs, i) = *note_at(blobs, --blobs->pending_count);
}

static void doubt_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	if (blobs->doubtful_count == 0)
		return;
	for (size_t i = blobs->pending_count; i-- > 0;) {
		if (note_at(blobs, i)->is_doubtful &&
		    digest_equal(&note_at(blobs, i)->digest, digest))
			note_drop(blobs, i);
	}
}

static void note_add(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	MBJ_ASSERT(blobs->pending_count < blobs->pending_capacity);
	*note_at(blobs, blobs->pending_count++) = (struct blob_pending){
		.digest = *digest,
		.round = blobs->round,
	};
	blobs->is_dirty[digest->b[0]] = true;
}

/* What its round should have put on disk may not be there. */
static void note_doubt(struct mbj_blobs *blobs, struct blob_pending *note)
{
	MBJ_ASSERT(!note->is_doubtful);
	note->is_doubtful = true;
	blobs->doubtful_count++;
}

void blob_note_doubt(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	for (size_t i = 0; i < blobs->pending_count; i++) {
		struct blob_pending *note = note_at(blobs, i);

		if (!note->is_doubtful && digest_equal(&note->digest, digest))
			note_doubt(blobs, note);
	}
}

void blob_note_made(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		    bool is_there)
{
	/* Nothing was written: a sync has nothing to tell of it. */
	if (!is_there)
		doubt_forget(blobs, digest);
	note_add(blobs, digest);
}

enum mbj_rc blob_note_found(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest,
			    struct mbj_error *err)
{
	unsigned folder = digest->b[0];
	enum mbj_rc rc;

	/*
	 * A pending one has its own note, in the next round at the latest; one
	 * that is only being placed not yet.
	 */
	if (!blobs->is_owner ||
	    (blobs->is_clean[folder] && blobs->placing[folder] == 0))
		return MBJ_OK;
	rc = blob_note_reserve(blobs, err);
	if (rc < 0)
		return rc;
	note_add(blobs, digest);
	/* It may be one of those. */
	if (blobs->suspect[folder] > 0)
		blob_note_doubt(blobs, digest);
	return MBJ_OK;
}

void blob_note_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	for (size_t i = blobs->pending_count; i-- > 0;) {
		if (digest_equal(&note_at(blobs, i)->digest, digest))
			note_drop(blobs, i);
	}
}

enum mbj_rc blob_pending_bound(struct mbj_blobs *blobs, struct mbj_error *err)
{
	bool is_full;

	pthread_mutex_lock(&blobs->mutex);
	is_full = blobs->pending_count >= BLOB_PENDING_MAX ||
		  blob_deferred_are_many(blobs);
	pthread_mutex_unlock(&blobs->mutex);
	return is_full ? mbj_blobs_sync(blobs, err) : MBJ_OK;
}

void blob_doubt_all(struct mbj_blobs *blobs, const struct mbj_error *why)
{
	blobs->doubt = *why;
	blobs->doubts++;
	for (size_t i = 0; i < blobs->pending_count; i++)
		if (!note_at(blobs, i)->is_doubtful)
			note_doubt(blobs, note_at(blobs, i));
	for (unsigned folder = 0; folder < BLOB_FOLDERS; folder++) {
		blobs->failures[folder]++;
		blobs->suspect[folder] = blobs->placing[folder];
	}
	blobs->deferred_doubtful = blobs->deferred_count;
	blob_log_doubt(blobs);
}

/* ------------------------------------------------------------- one folder */

/* Under the mutex: what was noted in it up to this round; why it failed. */
static void folder_settle(struct mbj_blobs *blobs, unsigned folder,
			  uint64_t round, const struct mbj_error *why)
{
	bool is_failed = why != NULL;
	bool is_left = false;

	for (size_t i = blobs->pending_count; i-- > 0;) {
		struct blob_pending *note = note_at(blobs, i);

		if (note->digest.b[0] != folder || note->is_doubtful)
			continue;
		/* Whatever its round: it may have been made meanwhile. */
		if (is_failed)
			note_doubt(blobs, note);
		else if (note->round > round)
			is_left = true;
		else
			note_drop(blobs, i);
	}
	blobs->is_clean[folder] = !is_failed;
	if (is_failed) {
		blobs->doubt = *why;
		blobs->failures[folder]++;
		blobs->suspect[folder] = blobs->placing[folder];
		blob_log_doubt(blobs);
	}
	if (!is_failed && !is_left)
		blobs->is_dirty[folder] = false;
}

/*
 * Under the mutex, which is let go meanwhile.  Whoever waited for another's
 * sync may find that it was about his blob, too; where it failed the folder is
 * still dirty, and its blobs are doubtful.
 */
static enum mbj_rc folder_sync(struct mbj_blobs *blobs, unsigned folder,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	uint64_t round;
	enum mbj_rc rc;

	while (blobs->is_syncing[folder])
		(void)pthread_cond_wait(&blobs->sync_over, &blobs->mutex);
	if (!blobs->is_dirty[folder])
		return MBJ_OK;
	blobs->is_syncing[folder] = true;
	round = blobs->round++;
	pthread_mutex_unlock(&blobs->mutex);
	rc = blob_folder_path(blobs, folder, path, &why);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(blobs->sys, path, &why);
	pthread_mutex_lock(&blobs->mutex);
	folder_settle(blobs, folder, round, rc < 0 ? &why : NULL);
	blobs->is_syncing[folder] = false;
	blobs->ends[folder]++;
	(void)pthread_cond_broadcast(&blobs->sync_over);
	return rc < 0 ? blob_tell(&why, err) : MBJ_OK;
}

void blob_syncs_wait(struct mbj_blobs *blobs)
{
	for (unsigned folder = 0; folder < BLOB_FOLDERS; folder++) {
		uint32_t ends = blobs->ends[folder];

		while (blobs->is_syncing[folder] && blobs->ends[folder] == ends)
			(void)pthread_cond_wait(&blobs->sync_over,
						&blobs->mutex);
	}
}

/* ---------------------------------------------------------------- a round */

struct round {
	uint64_t number;
	enum mbj_rc rc; /* the first failure */
	struct mbj_error error;
};

static void round_failed(struct round *round, enum mbj_rc rc,
			 const struct mbj_error *why)
{
	if (round->rc < 0)
		return;
	round->rc = rc;
	round->error = *why;
}

/* Some doubtful blob, if there is one. */
static bool doubt_pick(struct mbj_blobs *blobs, struct mbj_hash *ret_digest)
{
	bool is_there = false;

	pthread_mutex_lock(&blobs->mutex);
	for (size_t i = 0;
	     blobs->doubtful_count > 0 && !is_there && i < blobs->pending_count;
	     i++) {
		is_there = note_at(blobs, i)->is_doubtful;
		if (is_there)
			*ret_digest = note_at(blobs, i)->digest;
	}
	pthread_mutex_unlock(&blobs->mutex);
	return is_there;
}

static size_t doubt_count(struct mbj_blobs *blobs)
{
	size_t count;

	pthread_mutex_lock(&blobs->mutex);
	count = blobs->doubtful_count;
	pthread_mutex_unlock(&blobs->mutex);
	return count;
}

/*
 * What an earlier round failed to sync is written anew, for this one.  No more
 * than there is now: what others come to doubt meanwhile, again and again
 * where a folder does not get well, fails the round (round_doubt) and is the
 * next one's.
 */
static void round_renew(struct mbj_blobs *blobs, struct round *round)
{
	struct mbj_hash digest;
	struct mbj_error error;

	for (size_t left = doubt_count(blobs);
	     round->rc == MBJ_OK && left > 0 && doubt_pick(blobs, &digest);
	     left--) {
		enum mbj_rc rc = blob_renew(blobs, &digest, &error);

		if (rc < 0)
			round_failed(round, rc, &error);
	}
}

/* Under the mutex, which is let go meanwhile. */
static void round_sync(struct mbj_blobs *blobs, struct round *round)
{
	round->number = blobs->round++;
	for (unsigned folder = 0; folder < BLOB_FOLDERS; folder++) {
		struct mbj_error error;
		enum mbj_rc rc = folder_sync(blobs, folder, &error);

		if (rc < 0)
			round_failed(round, rc, &error);
	}
}

/*
 * Invariant 3, against a thread that synced a folder of the round by itself
 * (mbj_blob_settle), in vain.
 */
static void round_doubt(const struct mbj_blobs *blobs, struct round *round)
{
	if (blobs->doubtful_count > 0)
		round_failed(round, blobs->doubt.rc, &blobs->doubt);
}

/* Under the mutex: what becomes of those who wait. */
static void round_settle(struct mbj_blobs *blobs, struct round *round)
{
	round_doubt(blobs, round);
	for (struct blob_waiter **at = &blobs->waiters; *at != NULL;) {
		struct blob_waiter *waiter = *at;

		if (waiter->round > round->number) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->rc = round->rc;
		if (round->rc < 0 && waiter->err != NULL)
			*waiter->err = round->error;
		waiter->is_done = true;
	}
}

/* Under the mutex, which is let go meanwhile. */
static void round_lead(struct mbj_blobs *blobs)
{
	struct round round = {.rc = MBJ_OK};

	MBJ_ASSERT(!blobs->is_leading);
	blobs->is_leading = true;
	pthread_mutex_unlock(&blobs->mutex);
	round_renew(blobs, &round);
	pthread_mutex_lock(&blobs->mutex);
	round_sync(blobs, &round);
	round_settle(blobs, &round);
	blobs->is_leading = false;
	(void)pthread_cond_broadcast(&blobs->round_over);
}

enum mbj_rc mbj_blobs_sync(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct blob_waiter self = {.err = err};
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL);
	pthread_mutex_lock(&blobs->mutex);
	rc = blob_bulk_round(blobs, err);
	if (rc < 0 || blobs->pending_count == 0) {
		pthread_mutex_unlock(&blobs->mutex);
		return rc;
	}
	self.round = blobs->round;
	self.next = blobs->waiters;
	blobs->waiters = &self;
	while (!self.is_done) {
		if (blobs->is_leading)
			(void)pthread_cond_wait(&blobs->round_over,
						&blobs->mutex);
		else
			round_lead(blobs);
	}
	pthread_mutex_unlock(&blobs->mutex);
	MBJ_ASSERT(self.rc <= MBJ_OK);
	return self.rc;
}

/* ------------------------------------------------- one blob by itself */

enum mbj_rc mbj_blob_settle(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest,
			    struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	if (!blob_is_logged(blobs, digest)) {
		if (blob_is_deferred(blobs, digest))
			rc = blob_bulk_round(blobs, err);
		if (rc == MBJ_OK)
			rc = folder_sync(blobs, digest->b[0], err);
	}
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

bool mbj_blob_is_settled(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	bool is_pending;

	pthread_mutex_lock(&blobs->mutex);
	is_pending = blob_is_deferred(blobs, digest);
	for (size_t i = 0; !is_pending && i < blobs->pending_count; i++)
		is_pending = digest_equal(&note_at(blobs, i)->digest, digest);
	pthread_mutex_unlock(&blobs->mutex);
	return !is_pending;
}
