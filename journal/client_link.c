/*
 * Links: connections to the service, kept for the next call.
 *
 * Threads: a link belongs to who took it; the idle ones are under the client's
 * mutex.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>

#include <mbj/check.h>
#include <mbj/sys.h>

#include "client_impl.h"
#include "socket.h"

enum { RECEIVE_STEP = 64 << 10 };

/* ----------------------------------------------------------------- bytes */

/* Of one that nothing was asked this is its service's end. */
static bool link_is_silent(const struct link *link)
{
	struct pollfd fd = {link->fd, POLLIN, 0};

	return poll(&fd, 1, 0) == 0;
}

/* How long one wait may be, -1: for ever. */
static int64_t wait_max(struct mbj_client *client, bool is_long,
			uint32_t more_ms)
{
	const struct mbj_client_options *options = &client->options;
	int64_t ms = is_long || options->timeout_ms == 0
			     ? -1
			     : (int64_t)options->timeout_ms + more_ms;
	int64_t left;

	if (options->patience_ms == 0)
		return ms;
	pthread_mutex_lock(&client->mutex);
	left = (int64_t)options->patience_ms - client->waited_ms;
	pthread_mutex_unlock(&client->mutex);
	if (left < 0)
		left = 0;
	return ms < 0 || left < ms ? left : ms;
}

static void wait_count(struct mbj_client *client, int64_t since)
{
	pthread_mutex_lock(&client->mutex);
	client->waited_ms += mbj_monotonic_ms() - since;
	pthread_mutex_unlock(&client->mutex);
}

/* Ready for events, or an error that says why not. */
static enum mbj_rc link_wait(struct mbj_client *client, struct link *link,
			     short events, struct mbj_error *err)
{
	struct pollfd fd = {link->fd, events, 0};
	int64_t since = mbj_monotonic_ms();
	int64_t ms = wait_max(client, link->is_long, link->more_ms);
	int ready;

	do {
		int64_t left = since + ms - mbj_monotonic_ms();

		left = left < 0 ? 0 : left > INT_MAX ? INT_MAX : left;
		ready = poll(&fd, 1, ms < 0 ? -1 : (int)left);
	} while (ready < 0 && errno == EINTR);
	wait_count(client, since);
	if (ready > 0)
		return MBJ_OK;
	link->is_late = true;
	return mbj_error_set(err, MBJ_EIO,
			     "the service at %s does not answer; the outcome "
			     "is unknown",
			     client->path);
}

static enum mbj_rc link_lost(const struct mbj_client *client,
			     struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_EIO,
			     "the service at %s went away; the outcome of what "
			     "was asked is unknown",
			     client->path);
}

static enum mbj_rc link_send(struct mbj_client *client, struct link *link,
			     struct mbj_bytes bytes, struct mbj_error *err)
{
	size_t done = 0;
	enum mbj_rc rc;

	while (done < bytes.n) {
		ssize_t n =
			socket_send(link->fd, bytes.p + done, bytes.n - done);

		if (n == -EAGAIN) {
			rc = link_wait(client, link, POLLOUT, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (n < 0) {
			/* Of what is not whole nothing is carried out. */
			link->is_unheard = true;
			return link_lost(client, err);
		}
		done += (size_t)n;
	}
	return MBJ_OK;
}

static enum mbj_rc link_receive(struct mbj_client *client, struct link *link,
				void *p, size_t n, struct mbj_error *err)
{
	uint8_t *at = p;
	enum mbj_rc rc;

	while (n > 0) {
		ssize_t got = socket_receive(link->fd, at, n);

		if (got == -EAGAIN) {
			rc = link_wait(client, link, POLLIN, err);
			if (rc < 0)
				return rc;
			continue;
		}
		if (got <= 0) {
			/* So the kernel says that not all was read. */
			link->is_unheard |= got == -ECONNRESET;
			return link_lost(client, err);
		}
		at += got;
		n -= (size_t)got;
	}
	return MBJ_OK;
}

/* ------------------------------------------------------------------ calls */

/* Memory grows with what really comes. */
static enum mbj_rc body_receive(struct mbj_client *client, struct link *link,
				size_t size, struct mbj_buf *body,
				struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && size > 0) {
		size_t step = size < RECEIVE_STEP ? size : RECEIVE_STEP;

		mbj_buf_put_zero(body, step);
		rc = mbj_buf_ok(body, err);
		if (rc == MBJ_OK)
			rc = link_receive(client, link,
					  body->p + body->n - step, step, err);
		size -= step;
	}
	return rc;
}

/* The answer to the last request, or the refusal that it got. */
static enum mbj_rc link_answer(struct mbj_client *client, struct link *link,
			       enum wire_kind kind, struct mbj_buf *ret_body,
			       bool *ret_is_broken, struct mbj_error *err)
{
	uint8_t bytes[WIRE_HEAD_SIZE];
	struct wire_head head = {.size = 0};
	enum mbj_rc rc;

	rc = link_receive(client, link, bytes, sizeof(bytes), err);
	if (rc == MBJ_OK)
		rc = wire_head_decode(bytes, &head, err);
	if (rc < 0)
		return rc;
	/* A refusal of the connection itself has no number. */
	if (head.side == WIRE_REQUEST ||
	    (head.side == WIRE_ANSWER &&
	     (head.kind != kind || head.number != link->number)))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the service at %s answers what was not "
				     "asked",
				     client->path);
	rc = body_receive(client, link, head.size, ret_body, err);
	if (rc < 0)
		return rc;
	*ret_is_broken = head.side == WIRE_REFUSAL &&
			 (head.kind != kind || head.number != link->number);
	if (head.side != WIRE_REFUSAL)
		return MBJ_OK;
	return wire_error_decode(mbj_buf_view(ret_body), err);
}

enum mbj_rc link_call(struct mbj_client *client, struct link *link,
		      enum wire_kind kind, const struct wire_message *request,
		      struct mbj_buf *ret_body, bool *ret_is_broken,
		      struct mbj_error *err)
{
	struct wire_head head = {.kind = kind, .side = WIRE_REQUEST};
	struct mbj_buf out;
	enum mbj_rc rc;
	bool is_sent;

	*ret_is_broken = false;
	mbj_buf_init(&out, wire_size_max(kind, WIRE_REQUEST) + WIRE_HEAD_SIZE);
	mbj_buf_put_zero(&out, WIRE_HEAD_SIZE);
	wire_encode(&out, kind, WIRE_REQUEST, request);
	rc = mbj_buf_ok(&out, err);
	if (rc < 0) {
		mbj_buf_done(&out);
		return mbj_error_prefix(err, rc, "cannot be sent to %s",
					client->path);
	}
	head.number = ++link->number;
	link->is_unheard = false;
	link->is_long = wire_kind_is_house(kind);
	link->more_ms = kind == WIRE_RECEIVED ? request->wait.ms : 0;
	head.size = (uint32_t)(out.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, out.p);
	*ret_is_broken = true;
	rc = link_send(client, link, mbj_buf_view(&out), err);
	mbj_buf_done(&out);
	/* Whoever was turned away finds the reason to be read. */
	is_sent = rc == MBJ_OK;
	mbj_buf_clear(ret_body);
	rc = link_answer(client, link, kind, ret_body, ret_is_broken, err);
	if (!is_sent)
		*ret_is_broken = true;
	return rc;
}

/* ------------------------------------------------------------------ links */

static void link_close(struct link **link)
{
	if (*link != NULL)
		socket_close((*link)->fd);
	mbj_free(*link);
	*link = NULL;
}

/* As the first service said: whoever was given it may have it still. */
static void dir_take(struct mbj_client *client, struct mbj_bytes dir)
{
	if (client->dir[0] != '\0' || dir.n >= sizeof(client->dir) ||
	    dir.n == 0 || memchr(dir.p, '\0', dir.n) != NULL)
		return;
	memcpy(client->dir, dir.p, dir.n);
	client->dir[dir.n] = '\0';
}

static enum mbj_rc link_hello(struct mbj_client *client, struct link *link,
			      struct mbj_error *err)
{
	struct answer answer;
	bool is_broken;
	enum mbj_rc rc;

	answer_init(&answer);
	answer.message.version_lowest = WIRE_VERSION_LOWEST;
	answer.message.version_highest = WIRE_VERSION;
	rc = link_call(client, link, WIRE_HELLO, &answer.message, &answer.body,
		       &is_broken, err);
	if (rc == MBJ_OK)
		rc = answer_decode(&answer, WIRE_HELLO, err);
	if (rc == MBJ_OK) {
		link->version = answer.message.welcome.version;
		pthread_mutex_lock(&client->mutex);
		client->identity = answer.message.welcome.identity;
		client->version = answer.message.welcome.version;
		dir_take(client, answer.message.welcome.dir);
		pthread_mutex_unlock(&client->mutex);
	}
	answer_done(&answer);
	return rc;
}

static enum mbj_rc link_open(struct mbj_client *client, struct link **ret_link,
			     struct mbj_error *err)
{
	struct link *link = mbj_calloc(1, sizeof(*link));
	int64_t since;
	enum mbj_rc rc;

	if (link == NULL)
		return mbj_error_nomem(err);
	link->fd = -1;
	since = mbj_monotonic_ms();
	rc = socket_connect(client->path, wait_max(client, false, 0), -1,
			    &link->fd, err);
	wait_count(client, since);
	if (rc == MBJ_OK)
		rc = link_hello(client, link, err);
	if (rc < 0)
		link_close(&link);
	else
		*ret_link = link;
	return rc;
}

/* One of the idle, NULL: make one (it is counted), waiting while it must. */
static struct link *idle_take(struct mbj_client *client, bool is_fresh)
{
	struct link *link;

	pthread_mutex_lock(&client->mutex);
	while (client->idle == NULL &&
	       client->link_count >= client->options.connections_max)
		pthread_cond_wait(&client->is_free, &client->mutex);
	link = client->idle;
	if (link != NULL)
		client->idle = link->next;
	else
		client->link_count++;
	pthread_mutex_unlock(&client->mutex);
	if (link != NULL && (is_fresh || !link_is_silent(link)))
		link_close(&link);
	return link;
}

enum mbj_rc link_take(struct mbj_client *client, bool is_fresh,
		      struct link **ret_link, struct mbj_error *err)
{
	struct link *link = idle_take(client, is_fresh);
	enum mbj_rc rc = MBJ_OK;

	if (link == NULL)
		rc = link_open(client, &link, err);
	if (rc == MBJ_OK) {
		*ret_link = link;
		return MBJ_OK;
	}
	pthread_mutex_lock(&client->mutex);
	client->link_count--;
	pthread_cond_signal(&client->is_free);
	pthread_mutex_unlock(&client->mutex);
	return rc;
}

enum mbj_rc link_need(struct mbj_client *client, bool is_fresh,
		      struct link **ret_link, struct mbj_error *err)
{
	enum mbj_rc rc = link_take(client, is_fresh, ret_link, err);

	/* What is not found is not the service, to who asks it something. */
	if (rc != MBJ_ENOTFOUND)
		return rc;
	return mbj_error_set(err, MBJ_EIO,
			     "the service has gone: nobody listens at %s",
			     client->path);
}

enum mbj_rc link_ask(struct mbj_client *client, struct link **link,
		     enum wire_kind kind, const struct wire_message *request,
		     bool is_again, struct mbj_buf *ret_body,
		     bool *ret_is_broken, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (*link == NULL)
		rc = link_need(client, false, link, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(*link != NULL);
	rc = link_call(client, *link, kind, request, ret_body, ret_is_broken,
		       err);
	/* Whoever does not answer in time would not do so twice. */
	if (!*ret_is_broken || (*link)->is_late ||
	    !(is_again || (*link)->is_unheard))
		return rc;
	link_give(client, link, true);
	rc = link_need(client, true, link, err);
	if (rc != MBJ_OK)
		return rc;
	return link_call(client, *link, kind, request, ret_body, ret_is_broken,
			 err);
}

void link_give(struct mbj_client *client, struct link **link, bool is_broken)
{
	if (*link == NULL)
		return;
	if (is_broken)
		link_close(link);
	pthread_mutex_lock(&client->mutex);
	if (*link != NULL) {
		(*link)->next = client->idle;
		client->idle = *link;
	} else {
		client->link_count--;
	}
	pthread_cond_signal(&client->is_free);
	pthread_mutex_unlock(&client->mutex);
	*link = NULL;
}

void links_close(struct mbj_client *client)
{
	struct link *next;

	for (struct link *link = client->idle; link != NULL; link = next) {
		next = link->next;
		link_close(&link);
		client->link_count--;
	}
	client->idle = NULL;
	MBJ_ASSERT(client->link_count == 0);
}
