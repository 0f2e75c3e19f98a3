/*
 * mbj serve: own a store for all who use it, until told to stop.
 *
 * Signals become readable at a descriptor, so that the service stops in good
 * order wherever it is.  systemd hands over a socket (LISTEN_FDS) and is told
 * (NOTIFY_SOCKET), without any library of its own.  A replica that follows a
 * source meanwhile has a thread for that; clients read beside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <mbj/replay.h>
#include <mbj/service.h>

#include "follower.h"
#include "http.h"
#include "keeper.h"
#include "listener.h"
#include "number.h"

enum { LISTEN_FD = 3 }; /* the first one that systemd hands over */

/*
 * The socket that was handed to this very process, or -1.  Of several, whoever
 * connects to one that nobody accepts of would wait for ever.
 * Returns: false, it was said what is wrong.
 */
static bool listen_fd_find(const struct cli_call *call, int *ret_fd)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");

	*ret_fd = -1;
	if (pid == NULL || count == NULL ||
	    strtol(pid, NULL, 10) != (long)getpid())
		return true;
	if (strcmp(count, "1") != 0) {
		cli_say(call,
			"%s sockets were handed over (LISTEN_FDS), and a "
			"service has one: give its unit one ListenStream=",
			count);
		return false;
	}
	/* Not for the command that connects to a source. */
	(void)fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC);
	*ret_fd = LISTEN_FD;
	return true;
}

/* Each connection takes some: all that we may have. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* Where it is refused, the service takes fewer connections. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * One heap for all threads.  Else each has its own, pages of the state's cache
 * stay in the heap of whoever led the batch that read them, and what the others
 * have free there is of no use to it: twice the memory, and growing.
 */
static void heap_unite(void)
{
#ifdef M_ARENA_MAX
	(void)mallopt(M_ARENA_MAX, 1);
#endif
}

static bool number_take(const struct cli_call *call, const char *word,
			uint64_t number, uint32_t *ret_number)
{
	if (number == 0)
		return true;
	if (!number_check(call, word, number, INT_MAX))
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

/* Who waits for replicas leaves places to everybody else. */
static bool places_take(const struct cli_call *call,
			struct mbj_service_options *options)
{
	uint64_t connections = call->options.connections;
	uint64_t waiters = call->options.waiters;
	uint32_t most;

	if (!number_check(call, "connections", connections,
			  MBJ_SERVICE_CONNECTIONS_MAX))
		return false;
	if (connections != 0)
		options->connections_max = (uint32_t)connections;
	most = options->connections_max > 1 ? options->connections_max / 2 : 1;
	if (waiters > most) {
		cli_say(call,
			"--waiters is at most %" PRIu32
			", half of --connections, not %" PRIu64,
			most, waiters);
		return false;
	}
	if (waiters != 0)
		options->waiters_max = (uint32_t)waiters;
	return true;
}

static bool recent_take(const struct cli_call *call,
			struct mbj_service_options *options)
{
	uint32_t seconds = options->recent_ms / 1000;

	if (!number_check(call, "keep-recent", call->options.keep_recent,
			  UINT32_MAX / 1000) ||
	    !number_take(call, "keep-recent", call->options.keep_recent,
			 &seconds))
		return false;
	options->recent_ms = seconds * 1000;
	return true;
}

/* ------------------------------------------------------------- following */

/* What keeps the store where a source is, while it is served. */
struct following {
	struct follower follower;
	struct mbj_upstream *upstream;
	struct mbj_store *store;
	pthread_t thread;
	int stop_fd; /* ours to write */
	bool is_running;
};

static void *following_run(void *context)
{
	struct following *following = context;
	struct follower *f = &following->follower;

	/* What is here goes on being served, until the store is to be opened
	 * again. */
	if (follower_run(f, following->store) < 0)
		(void)cli_complain(f->call, &f->err);
	return NULL;
}

static int following_begin(struct following *following,
			   const struct cli_call *call)
{
	struct mbj_error err;
	int status;

	if (mbj_upstream_new(&following->upstream, &err) < 0)
		return cli_fail(call, &err);
	following->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (following->stop_fd < 0) {
		cli_say(call, "no descriptor to stop by: %s", strerror(errno));
		return CLI_FAILED;
	}
	status = follower_init(&following->follower, call, following->stop_fd,
			       following->upstream);
	if (status != CLI_OK)
		return status;
	following->follower.is_lasting = true;
	if (pthread_create(&following->thread, NULL, following_run,
			   following) != 0) {
		cli_say(call, "no thread to follow with");
		return CLI_TEMPORARY;
	}
	following->is_running = true;
	return CLI_OK;
}

static void following_end(struct following *following)
{
	if (following->is_running) {
		(void)eventfd_write(following->stop_fd, 1);
		(void)pthread_join(following->thread, NULL);
	}
	mbj_upstream_free(&following->upstream);
	if (following->stop_fd >= 0)
		(void)close(following->stop_fd);
}

/* ---------------------------------------------------------- being followed */

/* What serves the store's own replicas. */
struct followed {
	struct listener listener;
	pthread_t thread;
	int stop_fd; /* ours to write */
	bool is_running;
};

static void *followed_run(void *context)
{
	listener_run(context);
	return NULL;
}

static int followed_begin(struct followed *followed,
			  const struct cli_call *call)
{
	int status;

	followed->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (followed->stop_fd < 0) {
		cli_say(call, "no descriptor to stop by: %s", strerror(errno));
		return CLI_FAILED;
	}
	status = listener_begin(&followed->listener, call,
				call->options.replicas, LISTENER_SENDERS_USUAL,
				followed->stop_fd);
	if (status != CLI_OK)
		return status;
	if (pthread_create(&followed->thread, NULL, followed_run,
			   &followed->listener) != 0) {
		cli_say(call, "no thread to listen with");
		return CLI_TEMPORARY;
	}
	followed->is_running = true;
	return CLI_OK;
}

static void followed_end(struct followed *followed)
{
	if (followed->is_running) {
		(void)eventfd_write(followed->stop_fd, 1);
		(void)pthread_join(followed->thread, NULL);
	}
	if (followed->stop_fd < 0)
		return;
	listener_done(&followed->listener);
	(void)close(followed->stop_fd);
}

/* --------------------------------------------------------------- serving */

static bool is_following(const struct cli_call *call)
{
	return call->options.exec != NULL || call->options.from_address != NULL;
}

/* It asks the service like anybody, where the service will be. */
static int http_serve(const struct cli_call *call,
		      const struct mbj_service_options *options,
		      struct http **ret_http)
{
	const char *socket = options->socket;
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = "";
	struct sockaddr_un at = {0};
	socklen_t size = sizeof(at);

	if (options->listen_fd >= 0 &&
	    getsockname(options->listen_fd, (struct sockaddr *)&at, &size) ==
		    0) {
		memcpy(path, at.sun_path, sizeof(at.sun_path));
		socket = path;
	}
	return http_begin(call, socket, ret_http);
}

static int serve_run(const struct cli_call *call,
		     struct mbj_service_options *options,
		     struct mbj_store *store)
{
	struct following following = {.store = store, .stop_fd = -1};
	struct followed followed = {.stop_fd = -1};
	struct keeper *keeper = NULL;
	struct http *http = NULL;
	struct mbj_error err;
	int status = CLI_OK;

	if (is_following(call) &&
	    mbj_store_identity(store)->role != MBJ_STORE_REPLICA) {
		(void)mbj_error_set(&err, MBJ_EFENCED,
				    "%s is a primary: it follows nobody",
				    call->operands[0]);
		return cli_fail(call, &err);
	}
	if (is_following(call))
		status = following_begin(&following, call);
	if (status == CLI_OK && call->options.replicas != NULL)
		status = followed_begin(&followed, call);
	if (status == CLI_OK)
		status = keeper_begin(call, store, options->stop_fd, &keeper);
	if (status == CLI_OK)
		status = http_serve(call, options, &http);
	options->upstream = following.upstream;
	if (status == CLI_OK && mbj_service_run(store, options, &err) < 0)
		status = cli_fail(call, &err);
	http_end(&http);
	keeper_end(&keeper);
	followed_end(&followed);
	following_end(&following);
	return status;
}

int verb_serve(const struct cli_call *call)
{
	struct mbj_service_options options = MBJ_SERVICE_OPTIONS_INIT;
	struct mbj_store_options usual = MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	struct mbj_trim_options keep = MBJ_TRIM_OPTIONS_INIT;
	/* Their users': what is wrong is said before they are. */
	unsigned level_max;
	uint64_t rate;
	int status;

	options.socket = call->options.socket;
	options.group = call->options.group;
	options.notify = getenv("NOTIFY_SOCKET");
	if (!listen_fd_find(call, &options.listen_fd) ||
	    !places_take(call, &options) ||
	    !number_take(call, "timeout", call->options.timeout,
			 &options.timeout_ms))
		return CLI_USAGE;
	if (!recent_take(call, &options) || !number_rate_read(call, &rate) ||
	    !number_level_max_read(call, &level_max) ||
	    !number_cache_read(call, &usual.state.cache_size) ||
	    !number_free_read(call, &usual.space_min) ||
	    keep_options(call, &keep) != CLI_OK)
		return CLI_USAGE;
	options.stop_fd = cli_stop_open(call);
	if (options.stop_fd < 0)
		return CLI_FAILED;
	usual.reserve_size = usual.space_min;
	descriptors_raise();
	heap_unite();
	if (call->options.http != NULL)
		options.files_else += HTTP_FILES;
	if (call->options.replicas != NULL)
		options.files_else += LISTENER_FILES;
	if (mbj_replica_open(call->operands[0], &usual, &store, &err) < 0)
		status = cli_fail(call, &err);
	else
		status = serve_run(call, &options, store);
	mbj_store_close(&store);
	(void)close(options.stop_fd);
	return status;
}
