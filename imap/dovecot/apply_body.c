/*
 * Bytes of messages as Dovecot reads them.  See apply_body.h.
 */
#include "apply_body.h"

#include <istream-private.h>

/* Of one question: bounds the answer, which is in memory here and there. */
enum { BODIES_SIZE = 768 << 10 };

struct body_istream {
	struct istream_private istream;
	struct mbj_body_reader *reader;
};

static void body_destroy(struct iostream_private *stream)
{
	struct body_istream *body =
		container_of(stream, struct body_istream, istream.iostream);

	mbj_body_close(&body->reader);
	i_free(body->istream.w_buffer);
}

static ssize_t body_read(struct istream_private *stream)
{
	struct body_istream *body =
		container_of(stream, struct body_istream, istream);
	struct mbj_error err;
	size_t size, got;

	if (!i_stream_try_alloc(stream, 1, &size))
		return -2;
	if (mbj_body_read(body->reader, stream->w_buffer + stream->pos, size,
			  &got, &err) < 0) {
		io_stream_set_error(&stream->iostream, "%s", err.message);
		stream->istream.stream_errno = EIO;
		return -1;
	}
	if (got == 0) {
		stream->istream.eof = true;
		return -1;
	}
	stream->pos += got;
	return (ssize_t)got;
}

static struct istream *body_stream(struct mbj_body_reader *reader)
{
	struct body_istream *body = i_new(struct body_istream, 1);

	body->reader = reader;
	body->istream.max_buffer_size = IO_BLOCK_SIZE;
	body->istream.read = body_read;
	body->istream.iostream.destroy = body_destroy;
	body->istream.istream.blocking = true;
	return i_stream_create(&body->istream, NULL, -1, 0);
}

/* ------------------------------------------------------------ many at once */

void body_ahead_begin(struct body_ahead *ahead,
		      const struct mbj_client_messages *page)
{
	body_ahead_end(ahead);
	ahead->messages = page->messages;
	ahead->count = page->count;
}

void body_ahead_end(struct body_ahead *ahead)
{
	mbj_client_bodies_done(&ahead->got);
	ahead->messages = NULL;
	ahead->count = 0;
}

/* That one, and as many behind it as are not much for one answer. */
static void ahead_ask(struct body_ahead *ahead, struct mbj_client *client,
		      size_t at)
{
	struct mbj_hash *digests =
		t_new(struct mbj_hash, MBJ_CLIENT_BODIES_MAX);
	struct mbj_error err;
	uint64_t size = 0;
	size_t count = 0;

	mbj_client_bodies_done(&ahead->got);
	while (at + count < ahead->count && count < MBJ_CLIENT_BODIES_MAX &&
	       size < BODIES_SIZE) {
		digests[count] = ahead->messages[at + count].blob;
		size += ahead->messages[at + count++].size;
	}
	ahead->first = at;
	/* A long one is not kept in memory as a whole. */
	if (ahead->messages[at].size >= BODIES_SIZE)
		return;
	/* A service of an earlier version does not know the question. */
	ahead->is_refused = mbj_client_bodies(client, digests, count,
					      &ahead->got, &err) < 0;
}

static const struct mbj_bytes *ahead_find(struct body_ahead *ahead,
					  struct mbj_client *client,
					  const struct mbj_message *message)
{
	size_t at;

	if (ahead->is_refused || ahead->count == 0)
		return NULL;
	at = (size_t)(message - ahead->messages);
	i_assert(at < ahead->count);
	if (at < ahead->first || at - ahead->first >= ahead->got.count)
		ahead_ask(ahead, client, at);
	return ahead->got.count > at - ahead->first
		       ? &ahead->got.bodies[at - ahead->first]
		       : NULL;
}

struct istream *body_open(struct body_ahead *ahead, struct mbj_client *client,
			  const struct mbj_message *message,
			  const char **ret_why)
{
	const struct mbj_bytes *body = ahead_find(ahead, client, message);
	struct mbj_body_reader *reader = NULL;
	struct mbj_error err;
	uint64_t size;

	if (body != NULL)
		return i_stream_create_from_data(body->p, body->n);
	if (mbj_body_open(client, &message->blob, &reader, &size, &err) == 0)
		return body_stream(reader);
	*ret_why = t_strdup(err.message);
	return NULL;
}
