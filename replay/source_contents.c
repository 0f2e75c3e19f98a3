/*
 * Contents of a stream; see source_stream.h.
 *
 * What a connection cannot give because it broke is noted as any content that
 * is not to be had: the group that needs it stands, and the next connection is
 * asked.
 *
 * A line may be long: while the answers to one question come, the next one is
 * on its way, as far as it is known what that is.  No third one is, so that it
 * fits into whatever is between both sides while the source is still writing.
 *
 * Invariants:
 *   1. nothing is in place under a digest that its bytes have not; the writer
 *      takes the digest from the bytes;
 *   2. each operation of a window has its content asked for once: a question
 *      begins with what is wanted, names what comes behind it, and what of that
 *      the source has not is known until another one is asked;
 *   3. whatever was asked for has been answered when a content is given, or
 *      could not be stored here: the connection may be gone on with.
 */
#include <mbj/check.h>

#include "source_stream.h"

enum {
	/* No further question is asked then: groups have their turn. */
	QUESTIONS_MS = 1000,
	/* Of two, in whatever is between both sides. */
	QUESTIONS_SIZE = 1 << 15,
};
_Static_assert(2 * STREAM_CONTENTS_MAX * STREAM_CONTENT_SIZE + (1 << 12) <
		       QUESTIONS_SIZE,
	       "two questions do not fit");

/* What is asked for together, in questions one after the other. */
struct ask {
	struct source_stream *s;
	struct mbj_blobs *to;
	struct replay_content *content;
	bool is_of_group;
	int64_t until;	/* of the monotonic clock */
	size_t at;	/* in the window: the group that is looked at */
	uint32_t op;	/* so many of its operations were */
	bool is_behind; /* behind what is wanted */
};

static bool is_within(const struct mbj_buf *question,
		      const struct mbj_hash *digest)
{
	for (size_t at = 0; at < question->n; at += STREAM_CONTENT_SIZE)
		if (memcmp(question->p + at, digest->b, MBJ_HASH_SIZE) == 0)
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

static bool is_full(const struct mbj_buf *question)
{
	return question->n == question->max;
}

/* Into a question, unless it is here, was asked for, or is not to be had. */
static enum mbj_rc blob_ask(struct ask *ask, struct mbj_buf *question,
			    const struct mbj_hash *digest, uint64_t size,
			    struct mbj_error *err)
{
	struct source_stream *s = ask->s;
	bool is_here;
	enum mbj_rc rc;

	if (is_within(&s->asked, digest) || is_within(&s->asking, digest) ||
	    is_known_lost(s, digest))
		return MBJ_OK;
	rc = mbj_blob_has(ask->to, digest, size, &is_here, err);
	if (rc == MBJ_OK && !is_here)
		stream_content_put(question, digest, size);
	return rc;
}

/*
 * Those of one group that are not here, behind the one that is wanted: those
 * before it have been asked for.
 */
static enum mbj_rc group_ask(struct ask *ask, struct mbj_buf *question,
			     const struct mbj_group *group,
			     struct mbj_error *err)
{
	struct mbj_reader reader;
	struct mbj_op op;
	enum mbj_rc rc = MBJ_OK;

	mbj_reader_init(&reader, group->body);
	for (uint32_t i = 0; rc == MBJ_OK && !is_full(question); i++) {
		if (mbj_group_op_next(group, &reader, &op, NULL) != MBJ_OK) {
			ask->at += group->record.n;
			ask->op = 0;
			break;
		}
		if (i < ask->op)
			continue;
		ask->op = i + 1;
		if (op.kind != MBJ_OP_MESSAGE_APPEND)
			continue;
		if (memcmp(op.blob.b, ask->content->digest->b, MBJ_HASH_SIZE) ==
		    0)
			ask->is_behind = true;
		if (ask->is_behind)
			rc = blob_ask(ask, question, &op.blob, op.size, err);
	}
	return rc;
}

/*
 * From what is wanted, of the group that was handed out last, to the end of the
 * window.  What is not of that group is wanted of an earlier one.
 */
static enum mbj_rc window_ask(struct ask *ask, struct mbj_buf *question,
			      struct mbj_error *err)
{
	const struct mbj_buf *records = &ask->s->window.records;
	struct mbj_group group;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && ask->at < records->n && !is_full(question) &&
	       (ask->is_behind || ask->at == ask->s->held)) {
		/* What is wrong with it is said when it is handed out. */
		if (mbj_group_parse(mbj_bytes_make(records->p + ask->at,
						   records->n - ask->at),
				    &group, NULL) < 0 ||
		    !group.is_body_good)
			break;
		rc = group_ask(ask, question, &group, err);
	}
	return rc;
}

/*
 * Its pieces into a writer: here, or why not.  An error is ours: then, and
 * where there is no writer, they are received all the same, as what was asked
 * for next comes behind them.
 */
static enum mbj_rc pieces_take(struct source_stream *s,
			       struct mbj_blob_writer *writer, uint64_t size,
			       struct mbj_error *ret_why, struct mbj_error *err)
{
	struct stream_message m;
	enum stream_kind kind;
	uint64_t got = 0;
	enum mbj_rc rc = MBJ_OK;

	for (;;) {
		if (stream_link_receive(&s->link, 0, &kind, &m, ret_why) < 0)
			return rc;
		if (kind == STREAM_HERE && got == size)
			return rc;
		if (kind == STREAM_LOST) {
			*ret_why = m.error;
			return rc;
		}
		if (kind != STREAM_PIECE || m.data.n > size - got) {
			s->link.is_lost = true;
			(void)mbj_error_set(ret_why, MBJ_ECORRUPT,
					    "the source sent other bytes than "
					    "those of a content");
			return rc;
		}
		got += m.data.n;
		if (writer != NULL && rc == MBJ_OK)
			rc = mbj_blob_writer_write(writer, m.data, err);
	}
}

/* to NULL: it is not kept. */
static enum mbj_rc content_take(struct source_stream *s, struct mbj_blobs *to,
				const struct mbj_hash *digest, uint64_t size,
				struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct mbj_blob_writer *writer = NULL;
	enum mbj_rc rc = MBJ_OK;
	struct mbj_hash got;
	uint64_t got_size;
	enum mbj_rc taken;

	if (to != NULL)
		rc = mbj_blob_writer_begin(to, &writer, err);
	taken = pieces_take(s, writer, size, ret_why, err);
	rc = rc == MBJ_OK ? taken : rc;
	if (rc == MBJ_OK && ret_why->rc == MBJ_OK && writer != NULL)
		rc = mbj_blob_writer_finish(&writer, &got, &got_size, err);
	mbj_blob_writer_abort(&writer);
	if (rc < 0 || ret_why->rc != MBJ_OK || to == NULL)
		return rc;
	/* In place under its own name, where nobody looks for it. */
	if (memcmp(got.b, digest->b, MBJ_HASH_SIZE) != 0)
		(void)mbj_error_set(ret_why, MBJ_ECORRUPT,
				    "the source sent other bytes than those "
				    "of a content");
	return MBJ_OK;
}

/* What is wanted next, and is not here, as much as goes into a question. */
static enum mbj_rc question_fill(struct ask *ask, struct mbj_buf *question,
				 struct mbj_error *err)
{
	struct replay_content *content = ask->content;
	enum mbj_rc rc = MBJ_OK;

	for (; rc == MBJ_OK && content->covered < content->next_count &&
	       !is_full(question);
	     content->covered++) {
		const struct replay_blob *blob =
			&content->next[content->covered];

		rc = blob_ask(ask, question, &blob->digest, blob->size, err);
	}
	if (rc == MBJ_OK && ask->is_of_group)
		rc = window_ask(ask, question, err);
	return rc == MBJ_OK ? mbj_buf_ok(question, err) : rc;
}

static enum mbj_rc question_send(struct source_stream *s,
				 const struct mbj_buf *question,
				 struct mbj_error *err)
{
	struct stream_message m = {
		.count = (uint32_t)(question->n / STREAM_CONTENT_SIZE),
		.contents = mbj_buf_view(question),
	};

	return stream_link_send(&s->link, STREAM_CONTENTS, &m, err);
}

/*
 * All of a question, in order; why the first of them is not here.  Once
 * something of ours failed, before (rc) or now, the rest is not kept.
 */
static enum mbj_rc answers_take(struct source_stream *s, struct mbj_blobs *to,
				enum mbj_rc rc, struct mbj_error *ret_why,
				struct mbj_error *err)
{
	struct stream_message asked = {
		.count = (uint32_t)(s->asked.n / STREAM_CONTENT_SIZE),
		.contents = mbj_buf_view(&s->asked),
	};

	for (uint32_t i = 0; !s->link.is_lost && i < asked.count; i++) {
		struct mbj_error why = {.rc = MBJ_OK};
		bool is_kept = rc == MBJ_OK;
		struct mbj_hash digest;
		enum mbj_rc taken;
		uint64_t size;

		stream_content_get(&asked, i, &digest, &size);
		taken = content_take(s, is_kept ? to : NULL, &digest, size,
				     &why, err);
		rc = is_kept ? taken : rc;
		if (i == 0)
			*ret_why = why;
		if (rc == MBJ_OK && why.rc != MBJ_OK && !s->link.is_lost)
			mbj_buf_put(&s->lost, digest.b, MBJ_HASH_SIZE);
	}
	return rc == MBJ_OK ? mbj_buf_ok(&s->lost, err) : rc;
}

/*
 * Ask what comes behind the question that was asked, if that had no room for
 * it; nothing of that is owed to anybody.
 */
static enum mbj_rc behind_ask(struct ask *ask, unsigned questions,
			      struct mbj_error *err)
{
	struct source_stream *s = ask->s;
	enum mbj_rc rc;

	if (!is_full(&s->asked) || questions == STREAM_QUESTIONS_MAX ||
	    mbj_monotonic_ms() > ask->until ||
	    !stream_link_has_room(&s->link, QUESTIONS_SIZE))
		return MBJ_OK;
	rc = question_fill(ask, &s->asking, err);
	if (rc == MBJ_OK &&
	    (s->asking.n == 0 || question_send(s, &s->asking, NULL) == MBJ_OK))
		return rc;
	mbj_buf_clear(&s->asking);
	/* Who hung up may have answered what was asked before. */
	if (rc == MBJ_OK)
		s->link.is_lost = !s->link.is_ended;
	return rc;
}

/* One question has been asked. */
static enum mbj_rc questions_run(struct ask *ask, struct mbj_error *ret_why,
				 struct mbj_error *err)
{
	struct source_stream *s = ask->s;
	enum mbj_rc rc = MBJ_OK;

	for (unsigned questions = 1; !s->link.is_lost && s->asked.n > 0;
	     questions++) {
		struct mbj_error why = {.rc = MBJ_OK};
		struct mbj_buf answered;

		mbj_buf_clear(&s->asking);
		if (rc == MBJ_OK)
			rc = behind_ask(ask, questions, err);
		rc = answers_take(s, ask->to, rc, &why, err);
		if (questions == 1)
			*ret_why = why;
		answered = s->asked;
		s->asked = s->asking;
		s->asking = answered;
	}
	return rc;
}

enum mbj_rc source_stream_content(struct replay_source *source,
				  struct mbj_blobs *to,
				  struct replay_content *content,
				  bool *ret_is_here, struct mbj_error *ret_why,
				  struct mbj_error *err)
{
	struct source_stream *s = (struct source_stream *)source;
	struct mbj_error why = {.rc = MBJ_OK};
	struct ask ask = {.s = s,
			  .to = to,
			  .content = content,
			  .is_of_group = ret_why == NULL,
			  .until = mbj_monotonic_ms() + QUESTIONS_MS,
			  .at = s->held};
	enum mbj_rc rc;

	MBJ_ASSERT(!content->is_duplicating);
	if (stream_link_is_told(&s->link))
		s->link.is_lost = true;
	/* Of a group; a reason is worth a question. */
	if (ask.is_of_group && is_known_lost(s, content->digest)) {
		source->is_lost = s->link.is_lost;
		*ret_is_here = false;
		return MBJ_OK;
	}
	mbj_buf_clear(&s->lost);
	mbj_buf_clear(&s->asked);
	mbj_buf_clear(&s->asking);
	stream_content_put(&s->asked, content->digest, content->size);
	rc = question_fill(&ask, &s->asked, err);
	if (rc < 0)
		return rc;
	if (source_stream_settle(s, &why) == MBJ_OK &&
	    question_send(s, &s->asked, &why) == MBJ_OK)
		rc = questions_run(&ask, &why, err);
	source->is_lost = s->link.is_lost;
	*ret_is_here = rc == MBJ_OK && why.rc == MBJ_OK;
	if (ret_why != NULL && why.rc != MBJ_OK)
		*ret_why = why;
	return rc;
}
