/*
 * What a message is known by.  See apply_digest.h.
 *
 * Bytes are as the journal has them, whatever is on disk: lines end with CRLF.
 */
#include "apply_digest.h"

#include <istream-crlf.h>
#include <istream.h>
#include <sha2.h>

#include <mbj/message.h>

_Static_assert(SHA256_RESULTLEN == MBJ_HASH_SIZE, "digests are SHA-256");

static int read_fail(struct mail *mail, const char **ret_why)
{
	*ret_why = t_strdup(mailbox_get_last_internal_error(mail->box, NULL));
	return -1;
}

int apply_digest(struct mail *mail, struct mbj_hash *ret_digest,
		 const char **ret_why)
{
	struct istream *input, *lines;
	struct sha256_ctx sha;
	const unsigned char *data;
	size_t n;
	int ret = 0;

	if (mail_get_stream(mail, NULL, NULL, &input) < 0)
		return read_fail(mail, ret_why);
	i_stream_seek(input, 0);
	lines = i_stream_create_crlf(input);
	sha256_init(&sha);
	while (i_stream_read_more(lines, &data, &n) > 0) {
		sha256_loop(&sha, data, n);
		i_stream_skip(lines, n);
	}
	sha256_result(&sha, ret_digest->b);
	if (lines->stream_errno != 0) {
		*ret_why = t_strdup(i_stream_get_error(lines));
		ret = -1;
	}
	i_stream_unref(&lines);
	return ret;
}

int apply_is_same_message(struct mail *mail, const struct mbj_message *message,
			  const char **ret_why)
{
	struct mbj_hash digest;
	uoff_t size;
	time_t date;

	if (mail_get_received_date(mail, &date) < 0 ||
	    mail_get_virtual_size(mail, &size) < 0)
		return read_fail(mail, ret_why);
	if (date != message->time || size != message->size)
		return 0;
	if (apply_digest(mail, &digest, ret_why) < 0)
		return -1;
	return memcmp(digest.b, message->blob.b, sizeof(digest.b)) == 0;
}
