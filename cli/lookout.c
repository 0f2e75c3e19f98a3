/*
 * Looking every second; see lookout.h.
 */
#define _GNU_SOURCE /* pthread_clockjoin_np(3) */
#include "lookout.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
	LOOK_EVERY_MS = 1000,
	/* A service that begins is soon there. */
	LOOK_AGAIN_MS = 100,
	/* A look takes no more than a twentieth of the time, */
	LOOK_SHARE = 20,
	LOOK_LEAST_MS = 60000, /* and comes every minute all the same. */
	/* A look that takes longer hangs, and sooner where lag is critical. */
	STALE_MS = 15000,
	STALE_LEAST_MS = 3000,
	END_S = 2, /* for a look to end that is under way */
};

struct lookout {
	const struct cli_call *call;
	struct cli_watcher watcher;
	char socket[MBJ_PATH_TEXT_MAX];
	pthread_mutex_t mutex;	      /* of what follows */
	struct lookout_view views[2]; /* one is looked at, one is made */
	size_t now;		      /* which is looked at */
	int64_t seen_ms;
	int64_t wait_ms; /* until the next look */
	struct history *history;
	int stop_fd;
	pthread_t thread;
};

static void view_done(struct lookout_view *view)
{
	if (view->is_known)
		cli_status_done(&view->status);
	view->is_known = false;
	verdict_done(&view->verdict);
}

static int64_t wait_choose(int64_t took_ms, bool is_served)
{
	int64_t wait_ms = LOOK_SHARE * took_ms;

	/* Why it got no answer may be over: whoever asks is to know that. */
	if (!is_served)
		return LOOK_AGAIN_MS;
	if (wait_ms > LOOK_LEAST_MS)
		return LOOK_LEAST_MS;
	return LOOK_EVERY_MS > wait_ms ? LOOK_EVERY_MS : wait_ms;
}

/* Into the view that nobody reads; returns for how long to wait then. */
static int64_t look(struct lookout *l)
{
	struct lookout_view *view = &l->views[1 - l->now];
	const struct mbj_sys *sys = mbj_sys_posix();
	int64_t began_ms = mbj_monotonic_ms();
	int64_t wait_ms;

	view_done(view);
	verdict_init(&view->verdict, &l->call->options);
	view->is_known =
		cli_status_watch(&l->watcher, &view->status, &view->err) == 0;
	if (view->is_known)
		verdict_judge(&view->verdict, &view->status);
	else
		verdict_fail(&view->verdict, &view->err);
	view->time_us = sys->now_us(sys->ctx);
	pthread_mutex_lock(&l->mutex);
	l->now = 1 - l->now;
	l->seen_ms = mbj_monotonic_ms();
	l->wait_ms = wait_ms =
		wait_choose(l->seen_ms - began_ms,
			    view->is_known && view->status.is_served);
	history_note(view->history, view->is_known ? &view->status : NULL,
		     l->seen_ms);
	pthread_mutex_unlock(&l->mutex);
	return wait_ms;
}

static void *lookout_run(void *context)
{
	struct lookout *l = context;
	struct pollfd stop = {l->stop_fd, POLLIN, 0};
	int64_t wait_ms;

	do {
		wait_ms = look(l);
	} while (poll(&stop, 1, (int)wait_ms) <= 0);
	return NULL;
}

static int lookout_start(struct lookout *l)
{
	l->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->stop_fd < 0) {
		cli_say(l->call, "no descriptor to stop by: %s",
			strerror(errno));
		return CLI_FAILED;
	}
	if (pthread_create(&l->thread, NULL, lookout_run, l) == 0)
		return CLI_OK;
	cli_say(l->call, "no thread to look at the store with");
	(void)close(l->stop_fd);
	return CLI_TEMPORARY;
}

static void lookout_free(struct lookout *l)
{
	for (size_t i = 0; i < 2; i++)
		view_done(&l->views[i]);
	history_free(&l->history);
	cli_watcher_done(&l->watcher);
	pthread_mutex_destroy(&l->mutex);
	mbj_free(l);
}

int lookout_begin(const struct cli_call *call, const char *dir,
		  const char *socket, struct lookout **ret_lookout)
{
	struct lookout *l = mbj_calloc(1, sizeof(*l));
	struct lookout_view *view;
	struct mbj_error err;
	int status;

	*ret_lookout = NULL;
	if (l == NULL || pthread_mutex_init(&l->mutex, NULL) != 0) {
		mbj_free(l);
		(void)mbj_error_nomem(&err);
		return cli_fail(call, &err);
	}
	l->call = call;
	l->watcher = (struct cli_watcher){.path = dir};
	if (socket != NULL) {
		(void)snprintf(l->socket, sizeof(l->socket), "%s", socket);
		l->watcher.socket = l->socket;
	}
	view = &l->views[l->now];
	verdict_init(&view->verdict, &call->options);
	(void)mbj_error_set(&view->err, MBJ_EBUSY, "the service begins");
	verdict_fail(&view->verdict, &view->err);
	l->seen_ms = mbj_monotonic_ms();
	l->history = history_new();
	for (size_t i = 0; i < 2; i++)
		l->views[i].history = l->history;
	if (l->history != NULL) {
		status = lookout_start(l);
	} else {
		(void)mbj_error_nomem(&err);
		status = cli_fail(call, &err);
	}
	if (status == CLI_OK)
		*ret_lookout = l;
	else
		lookout_free(l);
	return status;
}

/*
 * A look may hang, as on a disk that does not answer: nobody's stop waits for
 * that.  What the thread has is left to it; the process ends soon.
 */
void lookout_end(struct lookout **lookout)
{
	struct lookout *l = *lookout;
	struct timespec until;
	bool is_over;

	if (l == NULL)
		return;
	*lookout = NULL;
	(void)eventfd_write(l->stop_fd, 1);
	/* Not the time of day, which somebody may set meanwhile. */
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += END_S;
	is_over = pthread_clockjoin_np(l->thread, NULL, CLOCK_MONOTONIC,
				       &until) == 0;
	if (!is_over) {
		cli_say(l->call, "what looks at the store hangs; it is left "
				 "there");
		(void)pthread_detach(l->thread);
		return;
	}
	(void)close(l->stop_fd);
	lookout_free(l);
}

static int64_t stale_ms(const struct lookout *l,
			const struct lookout_view *view)
{
	const uint64_t most_s = (STALE_MS - STALE_LEAST_MS) / 1000;
	uint64_t s = view->verdict.critical_s;

	return l->wait_ms + STALE_LEAST_MS +
	       (int64_t)(s < most_s ? s : most_s) * 1000;
}

/* What hangs is a finding, too. */
static void view_judge(const struct lookout *l, struct lookout_view *view)
{
	view->is_stale = view->age_ms > (uint64_t)stale_ms(l, view);
	if (!view->is_stale)
		return;
	(void)mbj_error_set(&view->err, MBJ_EBUSY,
			    "nothing was learnt of the store for %" PRIu64 " s",
			    view->age_ms / 1000);
	verdict_done(&view->verdict);
	verdict_init(&view->verdict, &l->call->options);
	verdict_fail(&view->verdict, &view->err);
}

const struct lookout_view *lookout_hold(struct lookout *lookout)
{
	struct lookout_view *view;

	pthread_mutex_lock(&lookout->mutex);
	view = &lookout->views[lookout->now];
	view->age_ms = (uint64_t)(mbj_monotonic_ms() - lookout->seen_ms);
	view_judge(lookout, view);
	return view;
}

void lookout_release(struct lookout *lookout)
{
	pthread_mutex_unlock(&lookout->mutex);
}
