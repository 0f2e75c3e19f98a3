/*
 * Who waits for edits that were answered early.  See taken.h.
 *
 * Invariant: an edit has its slot from before its answer until what it did can
 * be read, or it is known that it did nothing.
 */
#include "taken.h"

#include <string.h>

#include <mbj/check.h>

enum mbj_rc taken_init(struct taken *taken, struct mbj_error *err)
{
	memset(taken, 0, sizeof(*taken));
	if (pthread_mutex_init(&taken->mutex, NULL) != 0)
		return mbj_error_nomem(err);
	if (pthread_cond_init(&taken->is_less, NULL) != 0) {
		pthread_mutex_destroy(&taken->mutex);
		return mbj_error_nomem(err);
	}
	taken->is_begun = true;
	return MBJ_OK;
}

void taken_done(struct taken *taken)
{
	if (!taken->is_begun)
		return;
	for (size_t i = 0; i < TAKEN_MAX; i++)
		MBJ_ASSERT(taken->slots[i].serial == 0);
	pthread_cond_destroy(&taken->is_less);
	pthread_mutex_destroy(&taken->mutex);
	taken->is_begun = false;
}

bool taken_enter(struct taken *taken, struct mbj_bytes account, size_t size,
		 bool is_carried, size_t *ret_slot)
{
	size_t slot = TAKEN_MAX;
	size_t same = 0;
	bool is_entered;

	if (size > TAKEN_SIZE_MAX)
		return false;
	pthread_mutex_lock(&taken->mutex);
	for (size_t i = 0; i < TAKEN_MAX; i++) {
		const struct taken_slot *s = &taken->slots[i];

		if (s->serial == 0)
			slot = i;
		else
			same += mbj_bytes_equal(s->account, account);
	}
	is_entered = slot < TAKEN_MAX && same < TAKEN_ACCOUNT_MAX;
	if (is_entered) {
		taken->slots[slot] = (struct taken_slot){++taken->serial,
							 account, is_carried};
		*ret_slot = slot;
	}
	pthread_mutex_unlock(&taken->mutex);
	return is_entered;
}

void taken_carry(struct taken *taken, size_t slot)
{
	pthread_mutex_lock(&taken->mutex);
	MBJ_ASSERT(slot < TAKEN_MAX && taken->slots[slot].serial != 0);
	taken->slots[slot].is_carried = true;
	pthread_cond_broadcast(&taken->is_less);
	pthread_mutex_unlock(&taken->mutex);
}

void taken_note(struct taken *taken)
{
	pthread_mutex_lock(&taken->mutex);
	taken->count++;
	pthread_mutex_unlock(&taken->mutex);
}

void taken_leave(struct taken *taken, size_t slot, bool is_lost)
{
	pthread_mutex_lock(&taken->mutex);
	MBJ_ASSERT(slot < TAKEN_MAX && taken->slots[slot].serial != 0);
	taken->slots[slot] = (struct taken_slot){0, {NULL, 0}, false};
	taken->lost += is_lost;
	pthread_cond_broadcast(&taken->is_less);
	pthread_mutex_unlock(&taken->mutex);
}

/* One of an account, or of any, came up to that serial and is here still. */
static bool taken_has(const struct taken *taken, struct mbj_bytes account,
		      enum taken_stage stage, uint64_t serial)
{
	for (size_t i = 0; i < TAKEN_MAX; i++) {
		const struct taken_slot *s = &taken->slots[i];

		if (s->serial != 0 && s->serial <= serial &&
		    (stage == TAKEN_DURABLE || !s->is_carried) &&
		    (account.n == 0 || mbj_bytes_equal(s->account, account)))
			return true;
	}
	return false;
}

void taken_wait(struct taken *taken, struct mbj_bytes account,
		enum taken_stage stage)
{
	uint64_t serial;

	pthread_mutex_lock(&taken->mutex);
	/* Those that come later are not waited for: that may never end. */
	serial = taken->serial;
	while (taken_has(taken, account, stage, serial))
		pthread_cond_wait(&taken->is_less, &taken->mutex);
	pthread_mutex_unlock(&taken->mutex);
}

struct taken_counts taken_counts_get(struct taken *taken)
{
	struct taken_counts counts;

	pthread_mutex_lock(&taken->mutex);
	counts = (struct taken_counts){taken->count, taken->lost};
	pthread_mutex_unlock(&taken->mutex);
	return counts;
}
