/*
 * Where a server's responses end: at the first CRLF that belongs to no literal.
 *
 * Text for people may end like the announcement of a literal, so conditions and
 * continuations have none.
 *
 * Threads: one at a time per reader.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/imap.h>

/* A piece of the next response comes along with the one before. */
enum { READER_MAX = 2 * MBJ_IMAP_RESPONSE_MAX };

void mbj_imap_reader_init(struct mbj_imap_reader *reader)
{
	*reader = (struct mbj_imap_reader){.begin = 0};
	mbj_buf_init(&reader->buf, READER_MAX);
}

void mbj_imap_reader_done(struct mbj_imap_reader *reader)
{
	mbj_buf_done(&reader->buf);
}

void mbj_imap_reader_feed(struct mbj_imap_reader *reader,
			  struct mbj_bytes bytes)
{
	struct mbj_buf *buf = &reader->buf;

	/* What was handed out is not needed any more. */
	if (reader->begin > 0 && mbj_buf_ok(buf, NULL) == MBJ_OK) {
		memmove(buf->p, buf->p + reader->begin, buf->n - reader->begin);
		buf->n -= reader->begin;
		reader->line -= reader->begin;
		reader->scanned -= reader->begin;
		reader->begin = 0;
	}
	mbj_buf_put_bytes(buf, bytes);
}

/* Does it begin with a condition or a continuation? */
static bool is_text(struct mbj_bytes line)
{
	struct mbj_imap_token token = mbj_imap_token_next(&line);

	if (mbj_imap_token_is(&token, "+"))
		return true;
	token = mbj_imap_token_next(&line);
	return mbj_imap_token_is(&token, "OK") ||
	       mbj_imap_token_is(&token, "NO") ||
	       mbj_imap_token_is(&token, "BAD") ||
	       mbj_imap_token_is(&token, "BYE") ||
	       mbj_imap_token_is(&token, "PREAUTH");
}

/* The length that "{N}" at the end of a line announces. */
static bool literal_size(struct mbj_bytes line, size_t *ret_size)
{
	size_t at = line.n, size = 0, place = 1;

	if (at == 0 || line.p[at - 1] != '}')
		return false;
	for (at--; at > 0 && line.p[at - 1] >= '0' && line.p[at - 1] <= '9';
	     at--) {
		if (size <= MBJ_IMAP_RESPONSE_MAX)
			size += place * (size_t)(line.p[at - 1] - '0');
		if (place <= MBJ_IMAP_RESPONSE_MAX)
			place *= 10;
	}
	if (at == 0 || line.p[at - 1] != '{' || at == line.n - 1)
		return false;
	*ret_size = size;
	return true;
}

static enum mbj_rc too_long(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ELIMIT,
			     "a response of the server is longer than %d bytes",
			     MBJ_IMAP_RESPONSE_MAX);
}

static enum mbj_rc more(const struct mbj_imap_reader *reader,
			struct mbj_error *err)
{
	if (reader->buf.n - reader->begin > MBJ_IMAP_RESPONSE_MAX)
		return too_long(err);
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "the response is not whole yet");
}

enum mbj_rc mbj_imap_reader_next(struct mbj_imap_reader *reader,
				 struct mbj_bytes *ret_response,
				 struct mbj_error *err)
{
	const struct mbj_buf *buf = &reader->buf;
	enum mbj_rc rc = mbj_buf_ok(buf, err);

	while (rc == MBJ_OK) {
		struct mbj_bytes line;
		const uint8_t *end;
		size_t size, next;

		if (reader->scanned >= buf->n)
			return more(reader, err);
		end = memchr(buf->p + reader->scanned, '\n',
			     buf->n - reader->scanned);
		if (end == NULL) {
			reader->scanned = buf->n;
			return more(reader, err);
		}
		next = (size_t)(end - buf->p) + 1;
		if (next - reader->begin > MBJ_IMAP_RESPONSE_MAX)
			return too_long(err);
		if (next - reader->line < 2 || end[-1] != '\r')
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "a line of the server does not "
					     "end in CRLF");
		line = mbj_bytes_make(buf->p + reader->line,
				      next - reader->line - 2);
		if (!literal_size(line, &size) ||
		    (reader->line == reader->begin && is_text(line))) {
			*ret_response =
				mbj_bytes_make(buf->p + reader->begin,
					       next - reader->begin - 2);
			reader->begin = reader->line = reader->scanned = next;
			return MBJ_OK;
		}
		if (size > MBJ_IMAP_RESPONSE_MAX)
			return too_long(err);
		reader->line = reader->scanned = next + size;
		if (reader->line - reader->begin > MBJ_IMAP_RESPONSE_MAX)
			return too_long(err);
	}
	return rc;
}
