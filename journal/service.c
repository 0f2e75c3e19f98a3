/*
 * The loop: who may come in, who has something to say, who takes too long, and
 * the end of it all.
 *
 * Not here: a connection (service_peer.c), who gives way to whom
 * (service_place.c), who has something to say (service_watch.c), memory
 * (service_room.c, service_answers.c), a request (service_work.c), threads
 * (service_pool.c), calls for sockets (socket.c).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <mbj/check.h>

#include "service_impl.h"
#include "store_impl.h"

enum {
	TICK_MS = 1000,	  /* how often the slow are looked for */
	END_MS = 10000,	  /* for answers to be read, once it stops */
	PAUSE_MS = 100,	  /* no accepting without descriptors */
	POLLS = 4,	  /* what is polled: connections are one of it */
	ACCEPT_MOST = 64, /* connections, in one turn */
	WORKERS_MOST = 1024,
	/* Descriptors: of the store and its environment, of a connection (a
	 * body that comes or goes in pieces has a file), of a request. */
	STORE_FDS = 40,
	CONNECTION_FDS = 2,
	WORKER_FDS = 2,
};

/* ------------------------------------------------------------- beginning */

static enum mbj_rc options_take(const struct mbj_service_options *options,
				struct service *service, struct mbj_error *err)
{
	service->options = MBJ_SERVICE_OPTIONS_INIT;
	if (options != NULL && options->size != sizeof(*options))
		return mbj_error_set(err, MBJ_EINVALID,
				     "struct mbj_service_options has another "
				     "size here: built against other headers");
	if (options != NULL)
		service->options = *options;
	if (service->options.workers_max < 1 ||
	    service->options.workers_max > WORKERS_MOST ||
	    service->options.connections_max < 1 ||
	    service->options.connections_max > MBJ_SERVICE_CONNECTIONS_MAX ||
	    service->options.waiters_max < 1 ||
	    service->options.waiters_max > MBJ_SERVICE_CONNECTIONS_MAX)
		return mbj_error_set(err, MBJ_EINVALID,
				     "a service has 1 to %d workers and 1 to "
				     "%d connections, and as many that wait "
				     "for replicas",
				     WORKERS_MOST, MBJ_SERVICE_CONNECTIONS_MAX);
	return MBJ_OK;
}

/*
 * No more connections than there are descriptors for: one too many is told so,
 * where without a descriptor it would wait and never know.
 */
static enum mbj_rc connections_fit(struct mbj_service_options *options,
				   struct mbj_error *err)
{
	struct rlimit limit;
	rlim_t taken;
	rlim_t fit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur == RLIM_INFINITY)
		return MBJ_OK;
	taken = (rlim_t)STORE_FDS + options->files_else;
	fit = limit.rlim_cur < taken ? 0 : limit.rlim_cur - taken;
	/* Few connections have as many requests; many, as there are workers. */
	if (fit / (CONNECTION_FDS + WORKER_FDS) <= options->workers_max)
		fit /= CONNECTION_FDS + WORKER_FDS;
	else
		fit = (fit - (rlim_t)options->workers_max * WORKER_FDS) /
		      CONNECTION_FDS;
	if (fit == 0)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%ju open files are allowed, and a "
				     "service takes %ju: raise the limit "
				     "(RLIMIT_NOFILE)",
				     (uintmax_t)limit.rlim_cur,
				     (uintmax_t)taken + CONNECTION_FDS +
					     WORKER_FDS);
	if (fit < options->connections_max)
		options->connections_max = (uint32_t)fit;
	return MBJ_OK;
}

static enum mbj_rc service_listen(struct service *service,
				  struct mbj_error *err)
{
	const struct mbj_service_options *options = &service->options;
	enum mbj_rc rc;

	if (options->listen_fd >= 0) {
		service->listen_fd = options->listen_fd;
		return socket_adopt(options->listen_fd, service->path, err);
	}
	if (options->socket == NULL)
		rc = mbj_path_join(service->path, mbj_store_dir(service->store),
				   MBJ_SERVICE_SOCKET, err);
	else if (strlen(options->socket) < sizeof(service->path))
		rc = MBJ_OK;
	else
		rc = mbj_error_set(err, MBJ_EINVALID,
				   "the socket's path is too long");
	if (rc < 0)
		return rc;
	if (options->socket != NULL)
		memcpy(service->path, options->socket,
		       strlen(options->socket) + 1);
	rc = socket_listen(service->path, (mode_t)options->mode, options->group,
			   &service->listen_fd, err);
	service->is_ours = rc == MBJ_OK;
	return rc;
}

static enum mbj_rc service_init(struct service *service,
				struct mbj_store *store,
				const struct mbj_service_options *options,
				struct mbj_error *err)
{
	uint32_t half;
	enum mbj_rc rc;

	memset(service, 0, sizeof(*service));
	service->store = store;
	service->listen_fd = -1;
	service->watch_fd = -1;
	room_init(service);
	rc = options_take(options, service, err);
	if (rc == MBJ_OK)
		rc = connections_fit(&service->options, err);
	if (rc < 0)
		return rc;
	rc = answers_init(&service->answers, &service->options, err);
	if (rc < 0)
		return rc;
	/* Who waits for replicas leaves places to everybody else. */
	half = service->options.connections_max / 2;
	if (service->options.waiters_max > half)
		service->options.waiters_max = half > 0 ? half : 1;
	service->began_ms = mbj_monotonic_ms();
	service->stats.process = (uint64_t)getpid();
	service->stats.connections_max = service->options.connections_max;
	service->stats.memory_max = service->options.memory_max;
	service->stats.answers_max = service->answers.max;
	service->peers = mbj_calloc(service->options.connections_max,
				    sizeof(struct peer *));
	service->scratch = mbj_alloc(SERVICE_SMALL_SIZE);
	if (service->peers == NULL || service->scratch == NULL)
		return mbj_error_nomem(err);
	rc = watch_init(service, err);
	if (rc == MBJ_OK)
		rc = taken_init(&service->taken, err);
	if (rc == MBJ_OK)
		rc = pool_init(&service->pool, service->options.workers_max,
			       err);
	if (rc == MBJ_OK)
		rc = await_init(&service->awaits, store,
				service->options.waiters_max, err);
	if (rc == MBJ_OK)
		rc = service_listen(service, err);
	if (rc == MBJ_OK)
		stand_init(service);
	return rc;
}

static void listener_close(struct service *service)
{
	/* One that was handed to us is its owner's. */
	if (service->is_ours)
		socket_remove(service->path);
	service->is_ours = false;
	socket_close(service->listen_fd);
	service->listen_fd = -1;
}

static void service_done(struct service *service)
{
	listener_close(service);
	await_done(&service->awaits);
	/* What was taken is carried out. */
	pool_done(&service->pool);
	taken_done(&service->taken);
	stand_done(service);
	for (size_t i = 0; i < service->peer_count; i++)
		peer_free(&service->peers[i]);
	watch_done(service);
	answers_done(&service->answers);
	mbj_free(service->peers);
	mbj_free(service->scratch);
}

/* -------------------------------------------------------------- coming in */

/* Not let in, and told why, as far as that goes without waiting. */
static void turn_away(struct service *service, int fd, enum mbj_rc rc,
		      const char *why)
{
	struct peer *peer = peer_new(service, fd);
	struct mbj_error err;

	service->stats.refused++;
	if (peer == NULL) {
		socket_close(fd);
		return;
	}
	(void)mbj_error_set(&err, rc, "%s", why);
	if (peer_refuse(peer, &err))
		peer_flush(peer);
	peer_free(&peer);
}

static void let_in(struct service *service, int fd)
{
	struct socket_peer who;
	struct peer *peer;
	char why[128];

	socket_peer_get(service->path, fd, &who);
	if (!who.is_allowed) {
		turn_away(service, fd, MBJ_EFENCED,
			  "the service is not for this user: it is for its "
			  "own, root and the socket's group");
		return;
	}
	if (!place_find(service, why, sizeof(why))) {
		turn_away(service, fd, MBJ_EBUSY, why);
		return;
	}
	peer = peer_new(service, fd);
	if (peer == NULL) {
		service->stats.refused++;
		socket_close(fd);
		return;
	}
	peer->who = who;
	service->peers[service->peer_count++] = peer;
	service->stats.accepted++;
}

/*
 * Not all that wait, however many come: those that are in are heard meanwhile,
 * and nobody who has just come is sent away for those of the same turn.
 */
static void service_accept(struct service *service)
{
	uint32_t half = service->options.connections_max / 2;
	uint32_t left = half < 1 ? 1 : half < ACCEPT_MOST ? half : ACCEPT_MOST;

	for (; left > 0; left--) {
		int fd = socket_accept(service->listen_fd);

		if (fd >= 0) {
			let_in(service, fd);
			continue;
		}
		if (fd != -EAGAIN)
			service->accept_ms = mbj_monotonic_ms() + PAUSE_MS;
		break;
	}
}

/* ------------------------------------------------------------------- loop */

static void service_stop(struct service *service)
{
	if (service->is_stopping)
		return;
	service->is_stopping = true;
	store_house_halt(service->store);
	await_halt(&service->awaits);
	stay_halt(&service->pool);
	service->end_ms = mbj_monotonic_ms() + END_MS;
	socket_notify(service->options.notify, "STOPPING=1");
	listener_close(service);
}

static void service_take(struct service *service)
{
	struct peer *next;

	for (struct peer *p = pool_take(&service->pool); p != NULL; p = next) {
		next = p->next;
		peer_back(p);
		if (p->is_stopping)
			service_stop(service);
		/* Its next request may be there already. */
		if (p->state == PEER_HEAD && !service->is_stopping)
			peer_read(p);
	}
}

/*
 * A store that can do no more is no help to anybody: whoever watches over the
 * service begins it anew, and the store with it.
 */
static void service_check(struct service *service)
{
	store_state_watch(service->store);
	if (!service->is_failed &&
	    store_check(service->store, &service->failure) < 0) {
		service->is_failed = true;
		service_stop(service);
	}
}

/*
 * At the end: what was not received whole, and, once that has taken too long,
 * what nobody reads and what waits for it.
 */
static bool peer_is_left(const struct service *service, struct peer *peer,
			 int64_t now)
{
	struct mbj_error err;

	if (peer->state == PEER_BUSY)
		return false;
	if (peer->state != PEER_WRITE && peer->state != PEER_LATER)
		return true;
	if (now <= service->end_ms)
		return false;
	if (peer->state == PEER_WRITE)
		return true;
	(void)mbj_error_set(&err, MBJ_EBUSY,
			    "the service stops, and has had no memory for so "
			    "long an answer: ask again");
	if (peer_refuse(peer, &err))
		peer_flush(peer);
	return true;
}

/* Free those that are gone or too slow, and, at the end, those that wait. */
static void service_sweep(struct service *service, int64_t now)
{
	size_t kept = 0;

	for (size_t i = 0; i < service->peer_count; i++) {
		struct peer *p = service->peers[i];
		bool is_over = service->is_stopping
				       ? peer_is_left(service, p, now)
				       : peer_is_late(p, now);

		service->stats.unread += is_over && p->state == PEER_WRITE;
		if (p->state == PEER_GONE || is_over)
			peer_free(&p);
		else
			service->peers[kept++] = p;
	}
	service->peer_count = kept;
	room_sweep(service);
	answers_sweep(service, now);
}

static void polls_fill(const struct service *service, struct pollfd fds[POLLS],
		       int64_t now)
{
	bool is_open = service->listen_fd >= 0 && now >= service->accept_ms;

	fds[0] = (struct pollfd){service->pool.wake_fd, POLLIN, 0};
	fds[1] =
		(struct pollfd){service->is_stopping ? -1
						     : service->options.stop_fd,
				POLLIN, 0};
	fds[2] = (struct pollfd){is_open ? service->listen_fd : -1, POLLIN, 0};
	fds[3] = (struct pollfd){service->watch_fd, POLLIN, 0};
}

static void service_turn(struct service *service)
{
	int64_t now = mbj_monotonic_ms();
	int tick = now < service->accept_ms ? PAUSE_MS : TICK_MS;
	struct pollfd fds[POLLS];
	int ready;

	polls_fill(service, fds, now);
	ready = socket_poll(fds, POLLS, answers_left_ms(service, now, tick));
	if (ready > 0 && fds[1].revents != 0)
		service_stop(service);
	if (ready > 0 && fds[3].revents != 0)
		watch_hear(service);
	if (ready > 0 && fds[0].revents != 0)
		service_take(service);
	service_check(service);
	if (ready > 0 && fds[2].revents != 0 && service->listen_fd >= 0)
		service_accept(service);
	service_sweep(service, mbj_monotonic_ms());
	watch_all(service);
}

enum mbj_rc mbj_service_run(struct mbj_store *store,
			    const struct mbj_service_options *options,
			    struct mbj_error *err)
{
	struct service *service = mbj_alloc(sizeof(*service));
	enum mbj_rc rc;

	MBJ_ASSERT(store != NULL);
	if (service == NULL)
		return mbj_error_nomem(err);
	rc = service_init(service, store, options, err);
	if (rc == MBJ_OK)
		rc = store_share(store, service->options.recent_ms, err);
	if (rc == MBJ_OK) {
		socket_notify(service->options.notify, "READY=1");
		while (!service->is_stopping || service->peer_count > 0)
			service_turn(service);
		if (service->is_failed) {
			rc = service->failure.rc;
			if (err != NULL)
				*err = service->failure;
		}
	}
	service_done(service);
	store_unshare(store);
	mbj_free(service);
	return rc;
}

void mbj_service_notify(const char *notify, const char *text)
{
	socket_notify(notify, text);
}
