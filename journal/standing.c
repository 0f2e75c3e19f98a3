/*
 * Which intents stand.  See standing.h.
 *
 * Invariants:
 *   1. an intent is IDLE, or CLOSING, only between an outcome that was carried
 *      out and the next change that it is given to;
 *   2. none is given while one of that producer is being announced in the
 *      account: that of two at once the second is refused is judged in a
 *      batch, which would not see it.  What is announced the state shows;
 *   3. what is not free is in the list of its account's hash, and, with an
 *      intent, in that of its intent's.
 */
#include "standing.h"

#include <time.h>

#include <mbj/check.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

enum {
	LOOK_MAX = 64,	/* of those that may go, for the one that does */
	TICK_MS = 1000, /* how exactly they are closed in time */
};

enum stand_state {
	STAND_NONE,
	STAND_OPEN,
	STAND_IDLE,
	STAND_CLOSING,
	STAND_RECENT,
};

struct stand {
	enum stand_state state;
	bool is_wanted; /* OPEN: its outcome is to leave it open */
	uint8_t producer_size;
	uint8_t producer[STANDING_PRODUCER_MAX];
	struct mbj_id account;
	struct mbj_id mailbox;
	struct mbj_id intent; /* ROOT: not known yet, or none */
	struct mbj_id request;
	uint64_t asker;	  /* whose its outcome is */
	uint64_t serial;  /* of its announcement */
	int64_t began_ms; /* when that was */
	int64_t last_ms;  /* when that was, or an outcome of it */
	uint16_t next_of_account;
	uint16_t next_of_intent;
};

enum mbj_rc standing_init(struct standing *standing, struct mbj_error *err)
{
	pthread_condattr_t attr;
	int failed;

	memset(standing, 0, sizeof(*standing));
	standing->is_halted = true;
	if (pthread_mutex_init(&standing->mutex, NULL) != 0)
		return mbj_error_nomem(err);
	failed = pthread_condattr_init(&attr);
	if (failed == 0) {
		failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
		if (failed == 0)
			failed = pthread_cond_init(&standing->is_due, &attr);
		pthread_condattr_destroy(&attr);
	}
	if (failed == 0)
		return MBJ_OK;
	pthread_mutex_destroy(&standing->mutex);
	return mbj_error_nomem(err);
}

void standing_done(struct standing *standing)
{
	for (size_t i = 0; standing->stands != NULL && i < STANDING_MAX; i++)
		MBJ_ASSERT(standing->stands[i].state != STAND_CLOSING);
	mbj_free(standing->stands);
	pthread_cond_destroy(&standing->is_due);
	pthread_mutex_destroy(&standing->mutex);
}

void standing_begin(struct standing *standing)
{
	pthread_mutex_lock(&standing->mutex);
	if (standing->stands == NULL)
		standing->stands =
			mbj_calloc(STANDING_MAX, sizeof(*standing->stands));
	standing->is_halted = standing->stands == NULL;
	pthread_mutex_unlock(&standing->mutex);
}

void standing_halt(struct standing *standing)
{
	pthread_mutex_lock(&standing->mutex);
	standing->is_halted = true;
	standing->halted_ms = mbj_monotonic_ms();
	pthread_cond_broadcast(&standing->is_due);
	pthread_mutex_unlock(&standing->mutex);
}

uint64_t standing_asker(struct standing *standing)
{
	uint64_t asker;

	pthread_mutex_lock(&standing->mutex);
	asker = ++standing->asker;
	pthread_mutex_unlock(&standing->mutex);
	return asker;
}

/* ------------------------------------------------------------------ lists */

/* Ids are random, or made by who may do everything. */
static size_t hash_of(struct mbj_id id)
{
	return (id.b[14] | (size_t)id.b[15] << 8) % STANDING_MAX;
}

static struct stand *stand_at(const struct standing *s, uint16_t link)
{
	return link == 0 ? NULL : &s->stands[link - 1];
}

static struct stand *account_first(const struct standing *s,
				   struct mbj_id account)
{
	return s->stands == NULL ? NULL
				 : stand_at(s, s->of_account[hash_of(account)]);
}

static void list_remove(struct standing *s, struct stand *stand,
			uint16_t *first, bool is_of_account)
{
	uint16_t link = (uint16_t)(stand - s->stands + 1);

	while (*first != link) {
		struct stand *other = stand_at(s, *first);

		MBJ_ASSERT(other != NULL);
		first = is_of_account ? &other->next_of_account
				      : &other->next_of_intent;
	}
	*first = is_of_account ? stand->next_of_account : stand->next_of_intent;
}

static void intent_set(struct standing *s, struct stand *stand,
		       struct mbj_id intent)
{
	uint16_t *first;

	if (!mbj_id_is_root(stand->intent))
		list_remove(s, stand, &s->of_intent[hash_of(stand->intent)],
			    false);
	stand->intent = intent;
	if (mbj_id_is_root(intent))
		return;
	first = &s->of_intent[hash_of(intent)];
	stand->next_of_intent = *first;
	*first = (uint16_t)(stand - s->stands + 1);
}

/* NONE and RECENT have no intent. */
static void state_set(struct standing *s, struct stand *stand,
		      enum stand_state state)
{
	s->idle -= stand->state == STAND_IDLE;
	s->idle += state == STAND_IDLE;
	/* Who looks each second need not be woken for each change. */
	if (state == STAND_IDLE && s->is_resting)
		pthread_cond_signal(&s->is_due);
	stand->state = state;
	if (state == STAND_NONE || state == STAND_RECENT)
		intent_set(s, stand, MBJ_ID_ROOT);
}

static void stand_free(struct standing *s, struct stand *stand)
{
	if (stand->state == STAND_NONE)
		return;
	state_set(s, stand, STAND_NONE);
	list_remove(s, stand, &s->of_account[hash_of(stand->account)], true);
}

static void stand_fill(struct standing *s, struct stand *stand,
		       const struct standing_place *place)
{
	uint16_t *first = &s->of_account[hash_of(place->account)];

	*stand = (struct stand){
		.account = place->account,
		.mailbox = place->mailbox,
		.asker = place->asker,
		.producer_size = (uint8_t)place->producer.n,
		.next_of_account = *first,
	};
	if (place->producer.n > 0)
		memcpy(stand->producer, place->producer.p, place->producer.n);
	*first = (uint16_t)(stand - s->stands + 1);
}

static bool stand_is_whose(const struct stand *stand,
			   const struct standing_place *place)
{
	return mbj_id_equal(stand->account, place->account) &&
	       mbj_bytes_equal(mbj_bytes_make(stand->producer,
					      stand->producer_size),
			       place->producer);
}

static struct stand *place_find(const struct standing *s,
				const struct standing_place *place)
{
	for (struct stand *stand = account_first(s, place->account);
	     stand != NULL; stand = stand_at(s, stand->next_of_account))
		if (mbj_id_equal(stand->mailbox, place->mailbox) &&
		    stand_is_whose(stand, place))
			return stand;
	return NULL;
}

static struct stand *intent_find(const struct standing *s, struct mbj_id intent)
{
	struct stand *stand = NULL;

	if (s->stands != NULL)
		stand = stand_at(s, s->of_intent[hash_of(intent)]);
	while (stand != NULL && !mbj_id_equal(stand->intent, intent))
		stand = stand_at(s, stand->next_of_intent);
	return stand;
}

/* What is open and in doubt shows in the state, once it is announced. */
static bool stand_is_coming(const struct stand *stand)
{
	return stand->state == STAND_OPEN && mbj_id_is_root(stand->intent);
}

/* Its place may be another's. */
static bool stand_can_go(const struct stand *stand)
{
	return stand->state == STAND_RECENT ||
	       (stand->state == STAND_OPEN && !stand_is_coming(stand));
}

/* A free place, or, of a few, that of the mailbox that changed longest ago. */
static struct stand *place_take(struct standing *s)
{
	struct stand *found = NULL;

	for (size_t i = 0; i < LOOK_MAX; i++) {
		struct stand *stand = &s->stands[s->hand];

		s->hand = (s->hand + 1) % STANDING_MAX;
		if (stand->state == STAND_NONE)
			return stand;
		if (stand_can_go(stand) &&
		    (found == NULL || stand->last_ms < found->last_ms))
			found = stand;
	}
	return found;
}

/* ---------------------------------------------------------------- reusing */

static bool one_is_coming(const struct standing *s,
			  const struct standing_place *place)
{
	for (struct stand *stand = account_first(s, place->account);
	     stand != NULL; stand = stand_at(s, stand->next_of_account))
		if (stand_is_coming(stand) && stand_is_whose(stand, place))
			return true;
	return s->unseen > 0;
}

static enum standing_gift stand_give(struct standing *s, struct stand *stand,
				     const struct standing_place *place,
				     struct mbj_id request)
{
	bool is_again = !mbj_id_is_root(request) &&
			mbj_id_equal(stand->request, request);

	/* Whoever asks again may have told the outcome meanwhile. */
	if (is_again &&
	    (stand->state == STAND_OPEN || stand->state == STAND_IDLE)) {
		stand->asker = place->asker;
		return STANDING_AGAIN;
	}
	if (stand->state != STAND_IDLE)
		return STANDING_NONE;
	state_set(s, stand, STAND_OPEN);
	stand->is_wanted = true;
	stand->request = request;
	stand->asker = place->asker;
	s->count++;
	return STANDING_GIVEN;
}

enum standing_gift standing_reuse(struct standing *standing,
				  const struct standing_place *place,
				  struct mbj_id request,
				  struct mbj_id *ret_intent)
{
	enum standing_gift gift = STANDING_NONE;
	struct standing *s = standing;
	struct stand *stand;

	pthread_mutex_lock(&s->mutex);
	stand = place_find(s, place);
	if (stand != NULL && !one_is_coming(s, place)) {
		gift = stand_give(s, stand, place, request);
		*ret_intent = stand->intent;
	}
	pthread_mutex_unlock(&s->mutex);
	return gift;
}

void standing_return(struct standing *standing, struct mbj_id intent)
{
	struct stand *stand;

	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	if (stand != NULL && stand->state == STAND_OPEN) {
		state_set(standing, stand, STAND_IDLE);
		/* The same request may come again, and was given nothing. */
		stand->request = MBJ_ID_ROOT;
		standing->count--;
	}
	pthread_mutex_unlock(&standing->mutex);
}

void standing_forget(struct standing *standing, struct mbj_id intent)
{
	struct stand *stand;

	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	if (stand != NULL && stand->state == STAND_OPEN)
		stand_free(standing, stand);
	pthread_mutex_unlock(&standing->mutex);
}

/* ------------------------------------------------------------- announcing */

/* One more of the account may be left open. */
static bool account_has_room(const struct standing *s, struct mbj_id account)
{
	size_t count = 0;

	for (struct stand *stand = account_first(s, account); stand != NULL;
	     stand = stand_at(s, stand->next_of_account))
		count += mbj_id_equal(stand->account, account) &&
			 (stand->state == STAND_IDLE ||
			  stand->state == STAND_CLOSING ||
			  (stand->state == STAND_OPEN && stand->is_wanted));
	return count < STANDING_ACCOUNT_MAX;
}

/* NULL: there is no room for it. */
static struct stand *place_open(struct standing *s,
				const struct standing_place *place,
				int64_t now_ms)
{
	struct stand *stand = NULL;
	bool is_wanted = false;

	if (s->is_halted || place->producer.n > STANDING_PRODUCER_MAX)
		return NULL;
	stand = place_find(s, place);
	if (stand == NULL)
		stand = place_take(s);
	else if (stand->state == STAND_RECENT)
		is_wanted = place->is_any &&
			    now_ms - stand->last_ms <= STANDING_RECENT_MS &&
			    account_has_room(s, place->account);
	else if (stand->state != STAND_OPEN || stand_is_coming(stand))
		return NULL; /* it is another intent's */
	if (stand == NULL)
		return NULL;
	stand_free(s, stand);
	stand_fill(s, stand, place);
	state_set(s, stand, STAND_OPEN);
	stand->is_wanted = is_wanted;
	stand->began_ms = stand->last_ms = now_ms;
	/* It says where it is, and no other one there has the same. */
	s->serial += STANDING_MAX;
	stand->serial = s->serial + (uint64_t)(stand - s->stands);
	return stand;
}

uint64_t standing_announce(struct standing *standing,
			   const struct standing_place *place, int64_t now_ms)
{
	struct stand *stand;
	uint64_t serial = 0;

	pthread_mutex_lock(&standing->mutex);
	stand = place_open(standing, place, now_ms);
	if (stand != NULL)
		serial = stand->serial;
	else
		standing->unseen++;
	pthread_mutex_unlock(&standing->mutex);
	return serial;
}

void standing_announced(struct standing *standing, uint64_t serial,
			struct mbj_id intent, struct mbj_id request)
{
	struct standing *s = standing;
	struct stand *stand = NULL;

	pthread_mutex_lock(&s->mutex);
	if (serial != 0) {
		stand = &s->stands[serial % STANDING_MAX];
		/* Its place may be somebody else's meanwhile. */
		if (stand->state != STAND_OPEN || stand->serial != serial)
			stand = NULL;
	} else {
		MBJ_ASSERT(s->unseen > 0);
		s->unseen--;
	}
	if (stand != NULL && mbj_id_is_root(intent)) {
		state_set(s, stand, STAND_RECENT);
	} else if (stand != NULL) {
		intent_set(s, stand, intent);
		stand->request = request;
	}
	pthread_mutex_unlock(&s->mutex);
}

/* --------------------------------------------------------------- outcomes */

bool standing_stays(struct standing *standing, struct mbj_id intent,
		    uint64_t asker, int64_t now_ms)
{
	const struct stand *stand;
	bool stays;

	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	stays = stand != NULL && stand->state == STAND_OPEN &&
		stand->is_wanted && stand->asker == asker &&
		!standing->is_halted &&
		now_ms - stand->began_ms < STANDING_AGE_MS;
	pthread_mutex_unlock(&standing->mutex);
	return stays;
}

void standing_told(struct standing *standing, struct mbj_id intent,
		   bool is_left, int64_t now_ms)
{
	struct stand *stand;

	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	/* Whoever is closing it finds it closed. */
	if (stand != NULL && stand->state != STAND_CLOSING) {
		state_set(standing, stand, is_left ? STAND_IDLE : STAND_RECENT);
		stand->last_ms = now_ms;
	}
	pthread_mutex_unlock(&standing->mutex);
}

void standing_doubt(struct standing *standing, struct mbj_id intent)
{
	struct stand *stand;

	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	if (stand != NULL && stand->state == STAND_IDLE)
		state_set(standing, stand, STAND_OPEN);
	pthread_mutex_unlock(&standing->mutex);
}

bool standing_is_idle(struct standing *standing, struct mbj_id intent)
{
	const struct stand *stand;
	bool is_idle;

	if (standing == NULL)
		return false;
	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	is_idle = stand != NULL && stand->state != STAND_OPEN;
	pthread_mutex_unlock(&standing->mutex);
	return is_idle;
}

/* ---------------------------------------------------------------- closing */

/* One that is IDLE since then, or longer. */
static struct stand *idle_find(const struct standing *s, int64_t since_ms)
{
	for (size_t i = 0; s->idle > 0 && i < STANDING_MAX; i++) {
		struct stand *stand = &s->stands[i];

		if (stand->state == STAND_IDLE && stand->last_ms <= since_ms)
			return stand;
	}
	return NULL;
}

static void due_wait(struct standing *s, int64_t now_ms)
{
	int64_t until = now_ms + TICK_MS;
	const struct timespec at = {.tv_sec = until / 1000,
				    .tv_nsec = until % 1000 * 1000000};

	if (s->idle > 0)
		s->is_quiet = false;
	if (!s->is_quiet) {
		(void)pthread_cond_timedwait(&s->is_due, &s->mutex, &at);
		s->is_quiet = s->idle == 0;
		return;
	}
	s->is_resting = true;
	(void)pthread_cond_wait(&s->is_due, &s->mutex);
	s->is_resting = s->is_quiet = false;
}

bool standing_close(struct standing *standing, struct mbj_id *ret_account,
		    struct mbj_id *ret_intent)
{
	struct standing *s = standing;
	struct stand *stand;

	pthread_mutex_lock(&s->mutex);
	for (;;) {
		int64_t now_ms = mbj_monotonic_ms();

		stand = idle_find(s, s->is_halted ? INT64_MAX
						  : now_ms - STANDING_IDLE_MS);
		if (s->is_halted && now_ms - s->halted_ms >= STANDING_HALT_MS)
			stand = NULL;
		if (stand != NULL || s->is_halted)
			break;
		due_wait(s, now_ms);
	}
	if (stand != NULL) {
		state_set(s, stand, STAND_CLOSING);
		*ret_account = stand->account;
		*ret_intent = stand->intent;
	}
	pthread_mutex_unlock(&s->mutex);
	return stand != NULL;
}

void standing_closed(struct standing *standing, struct mbj_id intent,
		     bool is_closed)
{
	struct stand *stand;

	pthread_mutex_lock(&standing->mutex);
	stand = intent_find(standing, intent);
	if (stand != NULL && is_closed)
		state_set(standing, stand, STAND_RECENT);
	else if (stand != NULL)
		stand_free(standing, stand);
	pthread_mutex_unlock(&standing->mutex);
}

uint64_t standing_count(struct standing *standing)
{
	uint64_t count;

	pthread_mutex_lock(&standing->mutex);
	count = standing->count;
	pthread_mutex_unlock(&standing->mutex);
	return count;
}
