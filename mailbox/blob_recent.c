/*
 * What was stored or found here of late: for a collector beside those who store
 * content and have not said yet what it is for.
 *
 * Two filters of bits, filled one after the other: a digest has four bits in
 * the one that is filled now.  So what is asked for is found for a period at
 * least, and for two at most; what was never there is found now and then, and
 * then stays until the next collection.  Memory is the same for any number.
 *
 * Threads: under the mutex.
 */
#include <mbj/check.h>
#include <mbj/codec.h>

#include "blob_priv.h"

enum {
	RECENT_BITS = 1 << 24,
	RECENT_WORDS = RECENT_BITS / 64,
	RECENT_PLACES = 4, /* of a digest; u32 each, of its 32 bytes */
};

/* Digests are spread as they are; who makes them alike keeps what is his. */
static uint32_t place_of(const struct mbj_hash *digest, int number)
{
	return mbj_load_u32(digest->b + 4 + 4 * (size_t)number) &
	       (RECENT_BITS - 1);
}

static bool filter_has(const uint64_t *filter, const struct mbj_hash *digest)
{
	bool has = true;

	for (int i = 0; has && i < RECENT_PLACES; i++) {
		uint32_t place = place_of(digest, i);

		has = (filter[place / 64] >> (place % 64) & 1) != 0;
	}
	return has;
}

/* The filter of now is empty at most a period later. */
static void recent_turn(struct mbj_blobs *blobs)
{
	int64_t passed = mbj_monotonic_ms() - blobs->recent_ms;
	uint64_t *older = blobs->recent[1];

	if (passed < blobs->recent_period_ms)
		return;
	memset(older, 0, RECENT_WORDS * sizeof(*older));
	blobs->recent[1] = blobs->recent[0];
	blobs->recent[0] = older;
	if (passed >= 2 * blobs->recent_period_ms)
		memset(blobs->recent[1], 0, RECENT_WORDS * sizeof(*older));
	blobs->recent_ms += passed;
}

void blob_recent_note(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	if (blobs->recent[0] == NULL)
		return;
	recent_turn(blobs);
	for (int i = 0; i < RECENT_PLACES; i++) {
		uint32_t place = place_of(digest, i);

		blobs->recent[0][place / 64] |= UINT64_C(1) << (place % 64);
	}
}

bool blob_recent_renew(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	if (blobs->recent[0] != NULL && !blob_is_recent(blobs, digest))
		return false;
	blob_recent_note(blobs, digest);
	return true;
}

bool blob_is_recent(struct mbj_blobs *blobs, const struct mbj_hash *digest)
{
	if (blobs->recent[0] == NULL)
		return false;
	recent_turn(blobs);
	return filter_has(blobs->recent[0], digest) ||
	       filter_has(blobs->recent[1], digest);
}

void blob_recent_drop(struct mbj_blobs *blobs)
{
	for (int i = 0; i < 2; i++) {
		mbj_free(blobs->recent[i]);
		blobs->recent[i] = NULL;
	}
}

enum mbj_rc mbj_blobs_remember(struct mbj_blobs *blobs, uint32_t period_ms,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	blob_recent_drop(blobs);
	for (int i = 0; period_ms > 0 && i < 2; i++) {
		blobs->recent[i] =
			mbj_calloc(RECENT_WORDS, sizeof(*blobs->recent[i]));
		if (blobs->recent[i] == NULL)
			rc = mbj_error_nomem(err);
	}
	if (rc < 0)
		blob_recent_drop(blobs);
	blobs->recent_period_ms = period_ms;
	blobs->recent_ms = mbj_monotonic_ms();
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}
