/*
 * The board of mbj/upstream.h.
 *
 * Invariants:
 *   1. current_ms never lies after known_ms, which is when the source was asked
 *      for what it said last: only as of then is it known what it had;
 *   2. neither goes back.
 */
#include <pthread.h>
#include <stdio.h>

#include <mbj/memory.h>
#include <mbj/sys.h>
#include <mbj/upstream.h>

struct mbj_upstream {
	pthread_mutex_t mutex;
	struct mbj_upstream_status status; /* its times are made when asked */
	struct mbj_lsn applied;
	/* An end that was heard of and is not reached yet, the oldest such. */
	struct mbj_lsn mark;
	int64_t mark_ms;
	int64_t began_ms;
	int64_t heard_ms;
	int64_t known_ms;
	int64_t current_ms;
	int64_t paused_until_ms; /* 0: it is not */
	int64_t refused_ms;	 /* since when it is; 0: it is not */
};

static void behind_put(struct mbj_upstream_status *status,
		       const struct mbj_log_behind *left)
{
	status->behind_known = 0;
	status->behind = 0;
	status->behind_bulk = 0;
	if (left == NULL)
		return;
	status->behind_known = left->is_exact ? 2 : 1;
	status->behind = left->bytes;
	status->behind_bulk = left->bulk;
}

/*
 * The replica was current at the latest moment of which it is known what the
 * source had then.  A source that writes all the time is never caught up with:
 * what is reached are ends that were heard of, one after the other.
 */
static void upstream_settle(struct mbj_upstream *upstream)
{
	struct mbj_upstream_status *status = &upstream->status;

	if (status->was_met && upstream->applied.v >= status->end)
		behind_put(status,
			   &(const struct mbj_log_behind){.is_exact = true});
	if (!status->was_met || upstream->applied.v < upstream->mark.v)
		return;
	status->was_current = true;
	upstream->current_ms = upstream->mark_ms;
	if (upstream->applied.v >= status->end)
		upstream->current_ms = upstream->known_ms;
	upstream->mark.v = status->end;
	upstream->mark_ms = upstream->known_ms;
}

const char *mbj_upstream_word(enum mbj_upstream_state state)
{
	switch (state) {
#define X(name, number, word, what) \
	case MBJ_UPSTREAM_##name:   \
		return word;
		MBJ_UPSTREAM_MAP(X)
#undef X
	}
	return "unknown";
}

const char *mbj_resync_word(enum mbj_resync_stage stage)
{
	switch (stage) {
#define X(name, number, word, what) \
	case MBJ_RESYNC_##name:     \
		return word;
		MBJ_RESYNC_MAP(X)
#undef X
	}
	return "unknown";
}

enum mbj_rc mbj_upstream_new(struct mbj_upstream **ret_upstream,
			     struct mbj_error *err)
{
	struct mbj_upstream *upstream = mbj_calloc(1, sizeof(*upstream));

	if (upstream == NULL)
		return mbj_error_nomem(err);
	if (pthread_mutex_init(&upstream->mutex, NULL) != 0) {
		mbj_free(upstream);
		return mbj_error_nomem(err);
	}
	upstream->began_ms = mbj_monotonic_ms();
	upstream->status.state = MBJ_UPSTREAM_CONNECTING;
	*ret_upstream = upstream;
	return MBJ_OK;
}

void mbj_upstream_free(struct mbj_upstream **upstream)
{
	if (*upstream == NULL)
		return;
	pthread_mutex_destroy(&(*upstream)->mutex);
	mbj_free(*upstream);
	*upstream = NULL;
}

void mbj_upstream_connect(struct mbj_upstream *upstream)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	upstream->status.state = MBJ_UPSTREAM_CONNECTING;
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_meet(struct mbj_upstream *upstream)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	upstream->status.state = MBJ_UPSTREAM_FOLLOWING;
	upstream->status.connections++;
	upstream->status.reason[0] = '\0';
	upstream->paused_until_ms = 0;
	upstream->refused_ms = 0;
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_pause(struct mbj_upstream *upstream, uint64_t ms)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	upstream->paused_until_ms = mbj_monotonic_ms() + (int64_t)ms;
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_hear(struct mbj_upstream *upstream, struct mbj_lsn end,
		       int64_t asked_ms)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	upstream->heard_ms = mbj_monotonic_ms();
	upstream->known_ms = asked_ms;
	/* One that ends earlier is another source: the mark is not its. */
	if (!upstream->status.was_met || end.v < upstream->mark.v) {
		upstream->mark = end;
		upstream->mark_ms = asked_ms;
	}
	upstream->status.end = end.v;
	upstream->status.was_met = true;
	upstream_settle(upstream);
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_left(struct mbj_upstream *upstream,
		       const struct mbj_log_behind *left)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	behind_put(&upstream->status, left);
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_lose(struct mbj_upstream *upstream, uint64_t lost)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	upstream->status.lost = lost;
	pthread_mutex_unlock(&upstream->mutex);
}

/* With the mutex. */
static void resync_put(struct mbj_upstream_status *status,
		       const struct mbj_resync_progress *progress)
{
	status->resync = (uint8_t)progress->stage;
	status->is_resync_whole = progress->is_whole;
	status->resync_here = progress->here;
	status->resync_size = progress->size;
}

void mbj_upstream_resync(struct mbj_upstream *upstream,
			 const struct mbj_resync_progress *progress)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	resync_put(&upstream->status, progress);
	pthread_mutex_unlock(&upstream->mutex);
}

/* With the mutex. */
static void pack_put(struct mbj_upstream_status *status, unsigned asked,
		     unsigned level)
{
	status->level_asked = asked;
	status->level = level;
}

void mbj_upstream_pack(struct mbj_upstream *upstream, unsigned asked,
		       unsigned level)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	pack_put(&upstream->status, asked, level);
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_apply(struct mbj_upstream *upstream, struct mbj_lsn applied)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	upstream->applied = applied;
	upstream_settle(upstream);
	pthread_mutex_unlock(&upstream->mutex);
}

/* With the mutex: what was so of a connection alone is over. */
static void part_put(struct mbj_upstream_status *status,
		     enum mbj_upstream_state state, const char *why)
{
	status->state = state;
	resync_put(status, &(const struct mbj_resync_progress){0});
	pack_put(status, 0, 0);
	(void)snprintf(status->reason, sizeof(status->reason), "%s", why);
}

void mbj_upstream_part(struct mbj_upstream *upstream, bool is_for_good,
		       const struct mbj_error *why)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	part_put(&upstream->status,
		 is_for_good ? MBJ_UPSTREAM_ENDED : MBJ_UPSTREAM_WAITING,
		 why != NULL ? why->message : "");
	upstream->refused_ms = 0;
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_refuse(struct mbj_upstream *upstream,
			 const struct mbj_error *why)
{
	if (upstream == NULL)
		return;
	pthread_mutex_lock(&upstream->mutex);
	part_put(&upstream->status, MBJ_UPSTREAM_WAITING, why->message);
	if (upstream->refused_ms == 0)
		upstream->refused_ms = mbj_monotonic_ms();
	pthread_mutex_unlock(&upstream->mutex);
}

void mbj_upstream_get(struct mbj_upstream *upstream,
		      struct mbj_upstream_status *ret_status)
{
	int64_t now;

	pthread_mutex_lock(&upstream->mutex);
	/* Under the mutex, so that nothing noted lies after it. */
	now = mbj_monotonic_ms();
	*ret_status = upstream->status;
	ret_status->up_ms = (uint64_t)(now - upstream->began_ms);
	ret_status->heard_ms = ret_status->up_ms;
	ret_status->lag_ms = ret_status->up_ms;
	if (ret_status->was_met)
		ret_status->heard_ms = (uint64_t)(now - upstream->heard_ms);
	if (ret_status->was_current)
		ret_status->lag_ms = (uint64_t)(now - upstream->current_ms);
	if (upstream->paused_until_ms > now)
		ret_status->paused_ms =
			(uint64_t)(upstream->paused_until_ms - now);
	/* One that has just been refused is. */
	if (upstream->refused_ms > 0)
		ret_status->refused_ms =
			(uint64_t)(now - upstream->refused_ms) + 1;
	pthread_mutex_unlock(&upstream->mutex);
}
