/*
 * Bytes of messages as Dovecot reads them.  See apply_body.h.
 */
#include "apply_body.h"

#include <istream-private.h>

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

struct istream *body_stream(struct mbj_body_reader *reader)
{
	struct body_istream *body = i_new(struct body_istream, 1);

	body->reader = reader;
	body->istream.max_buffer_size = IO_BLOCK_SIZE;
	body->istream.read = body_read;
	body->istream.iostream.destroy = body_destroy;
	body->istream.istream.blocking = true;
	return i_stream_create(&body->istream, NULL, -1, 0);
}
