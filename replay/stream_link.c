/*
 * Frames over descriptors; see stream_link.h.
 */
#define _GNU_SOURCE /* F_GETPIPE_SZ */
#include "stream_link.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <mbj/check.h>

/* Whoever waits for the rate looks around so often. */
enum { LOOK_MS = 1000 };

static bool nonblock_set(int fd, int *ret_flags)
{
	*ret_flags = fcntl(fd, F_GETFL);
	return *ret_flags >= 0 &&
	       fcntl(fd, F_SETFL, *ret_flags | O_NONBLOCK) == 0;
}

/* ------------------------------------------------------------ descriptors */

static enum mbj_rc plain_read(void *ctx, void *p, size_t n, size_t *ret_n,
			      short *ret_events, struct mbj_error *err)
{
	const struct stream_link *link = ctx;
	ssize_t got;

	do {
		got = read(link->in, p, n);
	} while (got < 0 && errno == EINTR);
	if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		return mbj_error_set(err, MBJ_EIO, "the peer is gone");
	*ret_n = got > 0 ? (size_t)got : 0;
	*ret_events = got < 0 ? POLLIN : 0;
	return MBJ_OK;
}

static enum mbj_rc plain_write(void *ctx, const void *p, size_t n,
			       size_t *ret_n, short *ret_events,
			       struct mbj_error *err)
{
	const struct stream_link *link = ctx;
	ssize_t sent;

	do {
		sent = write(link->out, p, n);
	} while (sent < 0 && errno == EINTR);
	*ret_n = sent > 0 ? (size_t)sent : 0;
	*ret_events = 0;
	if (sent > 0 || errno == EPIPE || errno == ECONNRESET)
		return MBJ_OK;
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		return mbj_error_set(err, MBJ_EIO, "the peer hung up");
	*ret_events = POLLOUT;
	return MBJ_OK;
}

/* The kernel shows all that has come. */
static bool plain_is_pending(void *ctx)
{
	(void)ctx;
	return false;
}

void stream_link_use(struct stream_link *link,
		     const struct mbj_stream_channel *channel)
{
	const struct mbj_stream_channel plain = {link, plain_read, plain_write,
						 plain_is_pending};

	link->channel = channel != NULL ? *channel : plain;
}

void stream_link_look(struct stream_link *link,
		      enum mbj_rc (*look)(void *ctx, struct mbj_error *err),
		      void *ctx)
{
	link->look = look;
	link->look_ctx = ctx;
}

void stream_link_pace(struct stream_link *link, uint64_t rate)
{
	stream_rate_lower(&link->rate, rate, mbj_monotonic_ms());
}

enum mbj_rc stream_link_pack(struct stream_link *link, unsigned level,
			     struct mbj_error *err)
{
	stream_packer_free(&link->packer);
	return stream_packer_new(level, &link->packer, err);
}

enum mbj_rc stream_link_unpack(struct stream_link *link, struct mbj_error *err)
{
	MBJ_ASSERT(link->unpacker == NULL);
	return stream_unpacker_new(&link->unpacker, err);
}

/* ---------------------------------------------------------- begin and end */

enum mbj_rc stream_link_begin(struct stream_link *link, int in, int out,
			      int stop_fd, uint32_t timeout_ms,
			      enum stream_side peer, struct mbj_error *err)
{
	MBJ_ASSERT(in >= 0 && out >= 0 && timeout_ms > 0);
	*link = (struct stream_link){
		.in = in,
		.out = out,
		.stop_fd = stop_fd,
		.in_flags = -1,
		.out_flags = -1,
		.timeout_ms = timeout_ms,
		.peer = peer,
	};
	stream_link_use(link, NULL);
	stream_rate_init(&link->rate, mbj_monotonic_ms());
	mbj_buf_init(&link->output, STREAM_FRAME_MAX);
	link->input = mbj_alloc(STREAM_FRAME_MAX);
	if (link->input == NULL)
		return mbj_error_nomem(err);
	/* Both may be one description: the flags are those from before. */
	if (!nonblock_set(in, &link->in_flags) ||
	    !nonblock_set(out, &link->out_flags))
		return mbj_error_errno(err, errno,
				       "cannot use the descriptors "
				       "of",
				       "a stream");
	return MBJ_OK;
}

void stream_link_done(struct stream_link *link)
{
	if (link->out_flags >= 0)
		(void)fcntl(link->out, F_SETFL, link->out_flags);
	if (link->in_flags >= 0)
		(void)fcntl(link->in, F_SETFL, link->in_flags);
	link->in_flags = -1;
	link->out_flags = -1;
	stream_packer_free(&link->packer);
	stream_unpacker_free(&link->unpacker);
	mbj_buf_done(&link->output);
	mbj_free(link->input);
	link->input = NULL;
}

static enum mbj_rc link_lose(struct stream_link *link, struct mbj_error *err,
			     const char *why)
{
	link->is_lost = true;
	return mbj_error_set(err, MBJ_EIO, "%s", why);
}

static int poll_ms(int64_t until)
{
	int64_t left = until - mbj_monotonic_ms();

	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

bool stream_link_has_room(const struct stream_link *link, size_t n)
{
	int room = fcntl(link->out, F_GETPIPE_SZ);

	return room < 0 || (size_t)room >= n;
}

bool stream_link_is_told(struct stream_link *link)
{
	struct pollfd fd = {.fd = link->stop_fd, .events = POLLIN};

	if (link->stop_fd >= 0 && poll(&fd, 1, 0) > 0)
		link->is_told = true;
	return link->is_told;
}

/* Until one of them is ready, or that time; the second tells us to stop. */
static enum mbj_rc fds_wait(struct stream_link *link, struct pollfd *fds,
			    nfds_t count, int64_t until, struct mbj_error *err)
{
	int n;

	fds[1] = (struct pollfd){.fd = link->stop_fd, .events = POLLIN};
	do {
		n = poll(fds, count, poll_ms(until));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return link_lose(link, err, "cannot wait for the peer");
	if (fds[1].revents != 0) {
		link->is_told = true;
		return link_lose(link, err, "told to stop");
	}
	return MBJ_OK;
}

/*
 * Until fd is ready, or that time.  *ret_is_ready false: the time is over.
 */
static enum mbj_rc fd_wait(struct stream_link *link, int fd, short events,
			   int64_t until, bool *ret_is_ready,
			   struct mbj_error *err)
{
	struct pollfd fds[2] = {{.fd = fd, .events = events}};
	enum mbj_rc rc = fds_wait(link, fds, 2, until, err);

	if (rc == MBJ_OK)
		*ret_is_ready = fds[0].revents != 0;
	return rc;
}

enum mbj_rc stream_link_wait(struct stream_link *link, int fd, int64_t ms,
			     bool *ret_is_input, struct mbj_error *err)
{
	struct pollfd fds[3] = {{.fd = link->in, .events = POLLIN},
				[2] = {.fd = fd, .events = POLLIN}};
	bool is_pending = link->channel.is_pending(link->channel.ctx);
	enum mbj_rc rc;

	/* Told to stop is looked for in any case. */
	rc = fds_wait(link, fds, 3, mbj_monotonic_ms() + (is_pending ? 0 : ms),
		      err);
	if (rc == MBJ_OK)
		*ret_is_input = is_pending || fds[0].revents != 0;
	return rc;
}

/* ------------------------------------------------------------------ bytes */

/* Until that goes on which the bytes wait for, or that time. */
static enum mbj_rc bytes_wait(struct stream_link *link, short events,
			      int64_t until, const char *late,
			      struct mbj_error *err)
{
	int fd = (events & POLLOUT) != 0 ? link->out : link->in;
	bool is_ready = false;
	enum mbj_rc rc = fd_wait(link, fd, events, until, &is_ready, err);

	if (rc == MBJ_OK && !is_ready)
		return link_lose(link, err, late);
	return rc;
}

static enum mbj_rc bytes_send(struct stream_link *link, struct mbj_bytes bytes,
			      struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + link->timeout_ms;
	const struct mbj_stream_channel *channel = &link->channel;

	while (bytes.n > 0) {
		short events = 0;
		size_t n = 0;
		enum mbj_rc rc = channel->write(channel->ctx, bytes.p, bytes.n,
						&n, &events, err);

		bytes.p += n;
		bytes.n -= n;
		if (rc == MBJ_OK && n == 0 && events == 0) {
			link->is_ended = true;
			return link_lose(link, err, "the peer hung up");
		}
		if (rc == MBJ_OK && n == 0)
			rc = bytes_wait(link, events, until,
					"the peer takes nothing any more", err);
		if (rc < 0) {
			link->is_lost = true;
			return rc;
		}
	}
	return MBJ_OK;
}

static enum mbj_rc bytes_receive(struct stream_link *link, uint8_t *p, size_t n,
				 int64_t until, struct mbj_error *err)
{
	const struct mbj_stream_channel *channel = &link->channel;
	size_t got = 0;

	while (got < n) {
		short events = 0;
		size_t more = 0;
		enum mbj_rc rc = channel->read(channel->ctx, p + got, n - got,
					       &more, &events, err);

		got += more;
		if (rc == MBJ_OK && more == 0 && events == 0) {
			link->is_ended = got == 0;
			return link_lose(link, err, "the peer hung up");
		}
		if (rc == MBJ_OK && more == 0)
			rc = bytes_wait(link, events, until,
					"the peer has not been heard of for "
					"too long",
					err);
		if (rc < 0) {
			link->is_lost = true;
			return rc;
		}
	}
	return MBJ_OK;
}

/*
 * What there is to read is none of its words, or it is not quiet; *ret_events
 * is what more would come with.
 */
static enum mbj_rc quiet_check(struct stream_link *link, short *ret_events,
			       struct mbj_error *err)
{
	const struct mbj_stream_channel *channel = &link->channel;
	uint8_t byte;
	size_t n = 0;
	enum mbj_rc rc;

	*ret_events = 0;
	rc = channel->read(channel->ctx, &byte, 1, &n, ret_events, err);
	if (rc < 0) {
		link->is_lost = true;
		return rc;
	}
	if (n > 0) {
		link->is_lost = true;
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the peer said something that nobody had "
				     "asked for");
	}
	if (*ret_events != 0)
		return MBJ_OK;
	link->is_ended = true;
	return link_lose(link, err, "the peer hung up");
}

enum mbj_rc stream_link_rest(struct stream_link *link, int64_t ms,
			     struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + ms;
	bool is_ready = true;
	enum mbj_rc rc = MBJ_OK;

	if (link->is_lost)
		return link_lose(link, err, "the connection is lost");
	/* Records of TLS that have no words in them come, too. */
	while (rc == MBJ_OK && is_ready) {
		short events;

		rc = quiet_check(link, &events, err);
		if (rc == MBJ_OK)
			rc = fd_wait(link,
				     (events & POLLOUT) != 0 ? link->out
							     : link->in,
				     events, until, &is_ready, err);
	}
	return rc;
}

/* ----------------------------------------------------------------- frames */

/* What somebody may wait for, who would think that the peer is gone. */
static bool kind_is_urgent(enum stream_kind kind)
{
	return kind != STREAM_GROUPS && kind != STREAM_PIECE &&
	       kind != STREAM_HERE && kind != STREAM_LOST &&
	       kind != STREAM_OFFER;
}

/*
 * So long, or until the peer is gone.  One that says nothing more may still
 * read: gone is who does not.
 */
static enum mbj_rc peer_watch(struct stream_link *link, int64_t ms,
			      struct mbj_error *err)
{
	bool is_gone = false;
	enum mbj_rc rc;

	rc = fd_wait(link, link->out, 0, mbj_monotonic_ms() + ms, &is_gone,
		     err);
	if (rc < 0 || !is_gone)
		return rc;
	link->is_ended = true;
	return link_lose(link, err, "the peer hung up");
}

/* Until the rate lets something go; all else is looked at meanwhile. */
static enum mbj_rc rate_wait(struct stream_link *link, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;
	int64_t ms = 1;

	while (rc == MBJ_OK && ms > 0) {
		if (link->look != NULL)
			rc = link->look(link->look_ctx, err);
		ms = stream_rate_wait(&link->rate, mbj_monotonic_ms());
		if (rc == MBJ_OK && ms > 0)
			rc = peer_watch(link, ms < LOOK_MS ? ms : LOOK_MS, err);
	}
	return rc;
}

/* The frame as it goes: packed where there is what does that, and it is worth
 * it. */
static enum mbj_rc frame_encode(struct stream_link *link, enum stream_kind kind,
				const struct stream_message *message,
				struct mbj_error *err)
{
	enum stream_packing packing = STREAM_PLAIN;
	struct mbj_bytes packed;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_clear(&link->output);
	if (link->packer != NULL && stream_kind_is_packable(kind))
		rc = stream_pack(link->packer, message->data, &packing, &packed,
				 err);
	if (rc < 0)
		return rc;
	if (packing == STREAM_PLAIN)
		stream_encode(&link->output, kind, message);
	else
		stream_encode_packed(&link->output, kind, packing,
				     (uint32_t)message->data.n, packed);
	return mbj_buf_ok(&link->output, err);
}

enum mbj_rc stream_link_send(struct stream_link *link, enum stream_kind kind,
			     const struct stream_message *message,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	if (link->is_lost)
		return link_lose(link, err, "the connection is lost");
	if (!kind_is_urgent(kind)) {
		rc = rate_wait(link, err);
		if (rc < 0)
			return rc;
	}
	rc = frame_encode(link, kind, message, err);
	if (rc < 0)
		return rc;
	stream_rate_spend(&link->rate, link->output.n);
	return bytes_send(link, mbj_buf_view(&link->output), err);
}

void stream_frame_throw(int fd, enum stream_kind kind,
			const struct stream_message *message)
{
	struct mbj_buf bytes;

	mbj_buf_init(&bytes, STREAM_FRAME_MAX);
	stream_encode(&bytes, kind, message);
	if (mbj_buf_ok(&bytes, NULL) == MBJ_OK)
		(void)!write(fd, bytes.p, bytes.n);
	mbj_buf_done(&bytes);
}

/* Its CRC32C first, whatever it is. */
static enum mbj_rc frame_decode(struct stream_link *link,
				const struct stream_head *head,
				struct stream_message *ret_message,
				struct mbj_error *err)
{
	struct mbj_bytes body = mbj_bytes_make(link->input, head->size);
	struct mbj_bytes packed;
	uint32_t size;
	enum mbj_rc rc;

	if (head->packing == STREAM_PLAIN)
		return stream_body_decode(head, body, ret_message, err);
	rc = stream_packed_decode(head, body, &size, &packed, err);
	if (rc < 0)
		return rc;
	if (link->unpacker == NULL)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "a frame came packed, which nobody asked "
				     "for");
	return stream_unpack(link->unpacker, head->packing, size, packed,
			     &ret_message->data, err);
}

enum mbj_rc stream_link_receive(struct stream_link *link, uint32_t wait_ms,
				enum stream_kind *ret_kind,
				struct stream_message *ret_message,
				struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + link->timeout_ms + wait_ms;
	struct stream_head head;
	enum mbj_rc rc;

	if (link->is_lost)
		return link_lose(link, err, "the connection is lost");
	rc = bytes_receive(link, link->input, STREAM_HEAD_SIZE, until, err);
	if (rc < 0)
		return rc;
	rc = stream_head_decode(link->input, link->peer, &head, err);
	if (rc == MBJ_OK)
		rc = bytes_receive(link, link->input, head.size,
				   mbj_monotonic_ms() + link->timeout_ms, err);
	/* Between frames, not behind a head. */
	if (rc < 0)
		link->is_ended = false;
	memset(ret_message, 0, sizeof(*ret_message));
	if (rc == MBJ_OK)
		rc = frame_decode(link, &head, ret_message, err);
	if (rc < 0) {
		link->is_lost = true;
		return rc;
	}
	if (link->packer != NULL)
		stream_packer_renew(link->packer);
	*ret_kind = head.kind;
	return MBJ_OK;
}
