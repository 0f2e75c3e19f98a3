/*
 * Connections of the page; see http.h.  libmicrohttpd speaks HTTP, without a
 * thread of its own; what it does not bound, the loop here does.
 */
#include "http.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/check.h>

#include "http_address.h"
#include "http_answer.h"

enum {
	HTTP_MEMORY = 16 << 10, /* of a connection: its request, mostly */
	HTTP_DEADLINE_MS = 10000,
	HTTP_TICK_MS = 1000,
	HTTP_CROWDED_MS = 10,
	HTTP_BACKLOG = 1024,
	HTTP_ANSWERS_MAX = 128 << 20, /* bytes of all that are being sent */
	/* Those that were cut off and not yet seen to be gone. */
	HTTP_PEERS_MORE = 8,
};

struct http_peer {
	struct MHD_Connection *connection;
	int fd;
	int64_t since_ms;
	bool is_cut;
};

struct http {
	const struct cli_call *call;
	char name[NAME_MAX + 1]; /* the store's, in metrics and on the page */
	struct lookout *lookout;
	struct MHD_Daemon *daemon;
	struct http_peer peers[HTTP_PEERS_MAX + HTTP_PEERS_MORE]; /* by age */
	size_t peer_count;
	size_t answers; /* bytes */
	char why[256];	/* what the library said last */
	int stop_fd;
	pthread_t thread;
};

/* --------------------------------------------------------------- answering */

struct answer {
	struct http *http;
	struct mbj_buf body;
};

static void answer_free(void *context)
{
	struct answer *answer = context;

	answer->http->answers -= answer->body.capacity;
	mbj_buf_done(&answer->body);
	mbj_free(answer);
}

/* NULL: no memory. */
static struct MHD_Response *response_make(struct http *http,
					  struct mbj_buf *body)
{
	struct answer *answer = mbj_alloc(sizeof(*answer));
	struct MHD_Response *response;

	if (answer == NULL) {
		mbj_buf_done(body);
		return NULL;
	}
	answer->http = http;
	answer->body = *body;
	http->answers += body->capacity;
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		answer->body.n, answer->body.p, answer_free, answer);
	if (response == NULL)
		answer_free(answer);
	return response;
}

static enum MHD_Result answer_send(struct http *http,
				   struct MHD_Connection *connection,
				   struct http_answer *answer)
{
	const char *const headers[][2] = {
		{"Content-Type", answer->type},
		{"Content-Security-Policy", answer->policy},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Allow", "GET, HEAD"},
		/* One request each: a connection is not kept for more. */
		{"Connection", "close"},
	};
	struct MHD_Response *response = response_make(http, &answer->body);
	enum MHD_Result result = MHD_YES;

	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < sizeof(headers) / sizeof(*headers); i++)
		if (MHD_add_response_header(response, headers[i][0],
					    headers[i][1]) != MHD_YES)
			result = MHD_NO;
	if (result == MHD_YES)
		result = MHD_queue_response(connection, answer->code, response);
	MHD_destroy_response(response);
	return result;
}

struct hosts {
	const char *name;
	size_t count;
	size_t ours;
};

static enum MHD_Result host_see(void *context, enum MHD_ValueKind kind,
				const char *key, const char *value)
{
	struct hosts *hosts = context;

	(void)kind;
	if (strcasecmp(key, "Host") == 0) {
		hosts->count++;
		hosts->ours +=
			value != NULL && http_host_is_ours(value, hosts->name);
	}
	return MHD_YES;
}

static void request_answer(struct http *http, struct MHD_Connection *connection,
			   const char *path, const char *method,
			   struct http_answer *ret_answer)
{
	struct hosts hosts = {.name = http->call->options.http_name};

	(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, host_see,
					&hosts);
	if (hosts.count != 1 || hosts.ours != 1) {
		http_answer_text(MHD_HTTP_MISDIRECTED_REQUEST,
				 "ask by address or as localhost (or see mbj "
				 "serve --http-name)",
				 ret_answer);
	} else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
		   strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		http_answer_text(MHD_HTTP_METHOD_NOT_ALLOWED,
				 "this is to be read only: GET or HEAD",
				 ret_answer);
	} else if (http->answers > HTTP_ANSWERS_MAX) {
		http_answer_text(MHD_HTTP_SERVICE_UNAVAILABLE,
				 "too much is being sent already: try again",
				 ret_answer);
	} else {
		http_answer(path, http->name, lookout_hold(http->lookout),
			    ret_answer);
		lookout_release(http->lookout);
	}
}

/* Called once the headers are there; what may follow them nobody reads. */
static enum MHD_Result http_request(void *context,
				    struct MHD_Connection *connection,
				    const char *path, const char *method,
				    const char *version, const char *upload,
				    size_t *upload_size, void **request_context)
{
	struct http *http = context;
	struct http_answer answer;

	(void)version;
	(void)upload;
	(void)upload_size;
	(void)request_context;
	request_answer(http, connection, path, method, &answer);
	return answer_send(http, connection, &answer);
}

/* ------------------------------------------------------------- connections */

/*
 * The library's time-out begins anew with every byte, and it takes nobody in
 * when all places are taken: who sends a byte a second would have them for
 * ever.  Its own hands close a descriptor whose other side is gone.
 */
static void peer_cut(struct http_peer *peer)
{
	if (!peer->is_cut)
		(void)shutdown(peer->fd, SHUT_RDWR);
	peer->is_cut = true;
}

/* The oldest that was not cut yet: what is in order lasts milliseconds. */
static void peers_make_room(struct http *http)
{
	size_t open = 0;

	for (size_t i = 0; i < http->peer_count; i++)
		open += !http->peers[i].is_cut;
	for (size_t i = 0; i < http->peer_count && open > HTTP_PEERS_MAX; i++)
		if (!http->peers[i].is_cut) {
			peer_cut(&http->peers[i]);
			open--;
		}
}

static void peers_sweep(struct http *http)
{
	int64_t now_ms = mbj_monotonic_ms();

	for (size_t i = 0; i < http->peer_count; i++)
		if (now_ms - http->peers[i].since_ms > HTTP_DEADLINE_MS)
			peer_cut(&http->peers[i]);
}

static void peer_add(struct http *http, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection,
					MHD_CONNECTION_INFO_CONNECTION_FD);

	MBJ_ASSERT(http->peer_count < HTTP_PEERS_MAX + HTTP_PEERS_MORE);
	http->peers[http->peer_count++] =
		(struct http_peer){connection, info->connect_fd,
				   mbj_monotonic_ms(), false};
	peers_make_room(http);
}

static void peer_remove(struct http *http,
			const struct MHD_Connection *connection)
{
	size_t kept = 0;

	for (size_t i = 0; i < http->peer_count; i++)
		if (http->peers[i].connection != connection)
			http->peers[kept++] = http->peers[i];
	http->peer_count = kept;
}

static void http_notice(void *context, struct MHD_Connection *connection,
			void **socket_context,
			enum MHD_ConnectionNotificationCode code)
{
	(void)socket_context;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
		peer_add(context, connection);
	else
		peer_remove(context, connection);
}

/* -------------------------------------------------------------------- loop */

static void *http_run(void *context)
{
	struct http *http = context;
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd fds[] = {{info->epoll_fd, POLLIN, 0},
			       {http->stop_fd, POLLIN, 0}};
	MHD_UNSIGNED_LONG_LONG wanted;
	int wait_ms;

	do {
		wait_ms = HTTP_TICK_MS;
		/* The library listens again when it runs after that. */
		if (http->peer_count > HTTP_PEERS_MAX / 2)
			wait_ms = HTTP_CROWDED_MS;
		if (MHD_get_timeout(http->daemon, &wanted) == MHD_YES &&
		    wanted < (unsigned)wait_ms)
			wait_ms = (int)wanted;
		(void)poll(fds, 2, wait_ms);
		(void)MHD_run(http->daemon);
		peers_sweep(http);
	} while (fds[1].revents == 0);
	return NULL;
}

/* --------------------------------------------------------------- beginning */

MBJ_PRINTF(2, 0)
static void http_log(void *context, const char *format, va_list args)
{
	struct http *http = context;

	(void)vsnprintf(http->why, sizeof(http->why), format, args);
	http->why[strcspn(http->why, "\n")] = '\0';
}

static int address_take(const struct cli_call *call,
			struct http_address *ret_address)
{
	struct mbj_error err;

	if (http_address_parse(call->options.http, ret_address, &err) < 0) {
		(void)cli_complain(call, &err);
		return CLI_USAGE;
	}
	if (ret_address->is_loopback || call->options.is_http_open)
		return CLI_OK;
	cli_say(call,
		"--http %s is no loopback address: whoever reaches it would "
		"see the names of accounts; say --http-open if they may",
		call->options.http);
	return CLI_REFUSED;
}

static int http_listen(struct http *http, const struct http_address *address)
{
	unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;
	const union MHD_DaemonInfo *info;

	if (address->is_v6)
		flags |= MHD_USE_IPv6;
	/* The port is in the address; here it is for what the library says. */
	http->daemon = MHD_start_daemon(
		flags, address->port, NULL, NULL, http_request, http,
		MHD_OPTION_EXTERNAL_LOGGER, http_log, (void *)http,
		MHD_OPTION_SOCK_ADDR, &address->socket.any,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MEMORY,
		MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)(HTTP_PEERS_MAX + HTTP_PEERS_MORE),
		MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)(HTTP_DEADLINE_MS / 1000),
		MHD_OPTION_LISTEN_BACKLOG_SIZE, (unsigned)HTTP_BACKLOG,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION,
		http_notice, (void *)http, MHD_OPTION_END);
	if (http->daemon == NULL) {
		cli_say(http->call, "cannot listen at %s: %s",
			http->call->options.http, http->why);
		return CLI_FAILED;
	}
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);
	cli_say(http->call, "status at http://%s:%u/", address->host,
		(unsigned)info->port);
	return CLI_OK;
}

static int http_start(struct http *http, const struct http_address *address)
{
	int status;

	http->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (http->stop_fd < 0) {
		cli_say(http->call, "no descriptor to stop by: %s",
			strerror(errno));
		return CLI_FAILED;
	}
	status = http_listen(http, address);
	if (status == CLI_OK &&
	    pthread_create(&http->thread, NULL, http_run, http) != 0) {
		cli_say(http->call, "no thread for --http");
		status = CLI_TEMPORARY;
	}
	return status;
}

static void http_free(struct http *http)
{
	if (http->daemon != NULL)
		MHD_stop_daemon(http->daemon);
	lookout_end(&http->lookout);
	if (http->stop_fd >= 0)
		(void)close(http->stop_fd);
	mbj_free(http);
}

/* Its last part: where a store lies is nobody's business. */
static void store_name(const char *path, char name[NAME_MAX + 1])
{
	size_t end = strlen(path);
	size_t begin;

	while (end > 1 && path[end - 1] == '/')
		end--;
	for (begin = end; begin > 0 && path[begin - 1] != '/'; begin--)
		continue;
	(void)snprintf(name, NAME_MAX + 1, "%.*s", (int)(end - begin),
		       path + begin);
}

int http_begin(const struct cli_call *call, const char *socket,
	       struct http **ret_http)
{
	struct http_address address;
	struct mbj_error err;
	struct http *http;
	int status;

	*ret_http = NULL;
	if (call->options.http == NULL)
		return CLI_OK;
	status = address_take(call, &address);
	if (status != CLI_OK)
		return status;
	http = mbj_calloc(1, sizeof(*http));
	if (http == NULL) {
		(void)mbj_error_nomem(&err);
		return cli_fail(call, &err);
	}
	http->call = call;
	store_name(call->operands[0], http->name);
	http->stop_fd = -1;
	status = lookout_begin(call, call->operands[0], socket, &http->lookout);
	if (status == CLI_OK)
		status = http_start(http, &address);
	if (status == CLI_OK)
		*ret_http = http;
	else
		http_free(http);
	return status;
}

void http_end(struct http **http)
{
	struct http *h = *http;

	if (h == NULL)
		return;
	(void)eventfd_write(h->stop_fd, 1);
	(void)pthread_join(h->thread, NULL);
	http_free(h);
	*http = NULL;
}
