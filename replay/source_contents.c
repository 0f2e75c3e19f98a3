/*
 * Contents of a stream; see source_stream.h.
 *
 * What a connection cannot give because it broke is noted as any content that
 * is not to be had: the group that needs it stands, and the next connection is
 * asked.
 *
 * Invariants:
 *   1. nothing is in place under a digest that its bytes have not; the writer
 *      takes the digest from the bytes;
 *   2. each operation of a window has its content asked for once: a question
 *      begins with what is wanted, names what comes behind it, and what of that
 *      the source has not is known until another one is asked.
 */
#include <mbj/check.h>

#include "source_stream.h"

static bool is_asked(const struct source_stream *s,
		     const struct mbj_hash *digest)
{
	for (size_t at = 0; at < s->asked.n; at += STREAM_CONTENT_SIZE)
		if (memcmp(s->asked.p + at, digest->b, MBJ_HASH_SIZE) == 0)
			return true;
	return false;
}

/* It said so when it was asked last, in this window. */
static bool is_known_lost(const struct source_stream *s,
			  const struct mbj_hash *digest)
{
	for (size_t at = 0; at < s->lost.n; at += MBJ_HASH_SIZE)
		if (memcmp(s->lost.p + at, digest->b, MBJ_HASH_SIZE) == 0)
			return true;
	return false;
}

static bool is_full(const struct source_stream *s)
{
	return s->asked.n == s->asked.max;
}

/*
 * Those of one group that are not here, behind the one that is wanted: those
 * before it have been asked for.
 */
static enum mbj_rc group_ask(struct source_stream *s, struct mbj_blobs *to,
			     const struct mbj_group *group,
			     const struct mbj_hash *wanted, bool *is_behind,
			     struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	mbj_reader_init(&reader, group->body);
	while (rc == MBJ_OK && !is_full(s)) {
		bool is_here;

		if (mbj_group_op_next(group, &reader, &op, NULL) != MBJ_OK)
			break;
		if (op.kind != MBJ_OP_MESSAGE_APPEND)
			continue;
		if (memcmp(op.blob.b, wanted->b, MBJ_HASH_SIZE) == 0)
			*is_behind = true;
		if (!*is_behind || is_asked(s, &op.blob))
			continue;
		rc = mbj_blob_has(to, &op.blob, op.size, &is_here, err);
		if (rc == MBJ_OK && !is_here)
			stream_content_put(&s->asked, &op.blob, op.size);
	}
	return rc;
}

/*
 * From what is wanted, of the group that was handed out last, to the end of the
 * window.  What is not of that group is wanted of an earlier one.
 */
static enum mbj_rc window_ask(struct source_stream *s, struct mbj_blobs *to,
			      const struct mbj_hash *wanted,
			      struct mbj_error *err)
{
	const struct mbj_buf *records = &s->window.records;
	struct mbj_group group;
	size_t at = s->held;
	bool is_behind = false;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && at < records->n && !is_full(s) &&
	       (is_behind || at == s->held)) {
		/* What is wrong with it is said when it is handed out. */
		if (mbj_group_parse(mbj_bytes_make(records->p + at,
						   records->n - at),
				    &group, NULL) < 0 ||
		    !group.is_body_good)
			break;
		rc = group_ask(s, to, &group, wanted, &is_behind, err);
		at += group.record.n;
	}
	return rc;
}

/* Its pieces into a writer: here, or why not.  An error is ours. */
static enum mbj_rc pieces_take(struct source_stream *s,
			       struct mbj_blob_writer *writer, uint64_t size,
			       struct mbj_error *ret_why, struct mbj_error *err)
{
	struct stream_message m;
	enum stream_kind kind;
	uint64_t got = 0;
	enum mbj_rc rc;

	for (;;) {
		if (stream_link_receive(&s->link, 0, &kind, &m, ret_why) < 0)
			return MBJ_OK;
		if (kind == STREAM_HERE && got == size)
			return MBJ_OK;
		if (kind == STREAM_LOST) {
			*ret_why = m.error;
			return MBJ_OK;
		}
		if (kind != STREAM_PIECE || m.data.n > size - got) {
			s->link.is_lost = true;
			(void)mbj_error_set(ret_why, MBJ_ECORRUPT,
					    "the source sent other bytes than "
					    "those of a content");
			return MBJ_OK;
		}
		got += m.data.n;
		rc = mbj_blob_writer_write(writer, m.data, err);
		if (rc < 0)
			return rc;
	}
}

static enum mbj_rc content_take(struct source_stream *s, struct mbj_blobs *to,
				const struct mbj_hash *digest, uint64_t size,
				struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	struct mbj_hash got;
	uint64_t got_size;
	enum mbj_rc rc;

	rc = mbj_blob_writer_begin(to, &writer, err);
	if (rc == MBJ_OK)
		rc = pieces_take(s, writer, size, ret_why, err);
	if (rc == MBJ_OK && ret_why->rc == MBJ_OK)
		rc = mbj_blob_writer_finish(&writer, &got, &got_size, err);
	mbj_blob_writer_abort(&writer);
	if (rc < 0 || ret_why->rc != MBJ_OK)
		return rc;
	/* In place under its own name, where nobody looks for it. */
	if (memcmp(got.b, digest->b, MBJ_HASH_SIZE) != 0)
		(void)mbj_error_set(ret_why, MBJ_ECORRUPT,
				    "the source sent other bytes than those "
				    "of a content");
	return MBJ_OK;
}

/* What is wanted next, and is not here: one question for all of it. */
static enum mbj_rc next_ask(struct source_stream *s, struct mbj_blobs *to,
			    const struct replay_content *content,
			    struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (size_t i = 0;
	     rc == MBJ_OK && i < content->next_count && !is_full(s); i++) {
		const struct replay_blob *blob = &content->next[i];
		bool is_here;

		rc = mbj_blob_has(to, &blob->digest, blob->size, &is_here, err);
		if (rc == MBJ_OK && !is_here && !is_asked(s, &blob->digest))
			stream_content_put(&s->asked, &blob->digest,
					   blob->size);
	}
	return rc;
}

/* All that was asked for, in order; the first is the one that is wanted. */
static enum mbj_rc answers_take(struct source_stream *s, struct mbj_blobs *to,
				struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct stream_message asked = {
		.count = (uint32_t)(s->asked.n / STREAM_CONTENT_SIZE),
		.contents = mbj_buf_view(&s->asked),
	};
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < asked.count; i++) {
		struct mbj_error why = {.rc = MBJ_OK};
		struct mbj_hash digest;
		uint64_t size;

		stream_content_get(&asked, i, &digest, &size);
		rc = content_take(s, to, &digest, size, &why, err);
		if (i == 0)
			*ret_why = why;
		if (s->link.is_lost)
			break;
		if (rc == MBJ_OK && why.rc != MBJ_OK)
			mbj_buf_put(&s->lost, digest.b, MBJ_HASH_SIZE);
	}
	return rc == MBJ_OK ? mbj_buf_ok(&s->lost, err) : rc;
}

enum mbj_rc source_stream_content(struct replay_source *source,
				  struct mbj_blobs *to,
				  const struct replay_content *content,
				  bool *ret_is_here, struct mbj_error *ret_why,
				  struct mbj_error *err)
{
	struct source_stream *s = (struct source_stream *)source;
	struct mbj_error why = {.rc = MBJ_OK};
	struct stream_message m = {.count = 0};
	bool is_of_group = ret_why == NULL;
	enum mbj_rc rc;

	MBJ_ASSERT(!content->is_duplicating);
	if (stream_link_is_told(&s->link))
		s->link.is_lost = true;
	/* Of a group; a reason is worth a question. */
	if (is_of_group && is_known_lost(s, content->digest)) {
		source->is_lost = s->link.is_lost;
		*ret_is_here = false;
		return MBJ_OK;
	}
	mbj_buf_clear(&s->lost);
	mbj_buf_clear(&s->asked);
	stream_content_put(&s->asked, content->digest, content->size);
	rc = next_ask(s, to, content, err);
	if (rc == MBJ_OK && is_of_group)
		rc = window_ask(s, to, content->digest, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s->asked, err);
	if (rc < 0)
		return rc;
	m.count = (uint32_t)(s->asked.n / STREAM_CONTENT_SIZE);
	m.contents = mbj_buf_view(&s->asked);
	if (source_stream_settle(s, &why) == MBJ_OK &&
	    stream_link_send(&s->link, STREAM_CONTENTS, &m, &why) == MBJ_OK)
		rc = answers_take(s, to, &why, err);
	source->is_lost = s->link.is_lost;
	*ret_is_here = rc == MBJ_OK && why.rc == MBJ_OK;
	if (ret_why != NULL && why.rc != MBJ_OK)
		*ret_why = why;
	return rc;
}
