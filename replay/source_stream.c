/*
 * Groups of a stream; see source_stream.h.
 */
#include "source_stream.h"

#include <mbj/applying.h>
#include <mbj/check.h>

enum {
	FETCH_SIZE = 1 << 20,
	/* A larger window is a large group: nothing is asked for beside it. */
	AHEAD_MAX = 2 * FETCH_SIZE,
	PUMP_GROUPS = 64,
	WINDOW_MAX = FETCH_SIZE + MBJ_GROUP_MAX,
};

static struct source_stream *stream_of(struct replay_source *source)
{
	return (struct source_stream *)source;
}

/* ------------------------------------------------------------- the source */

static enum mbj_rc stream_identity(struct replay_source *source,
				   struct mbj_identity *ret_identity,
				   struct mbj_error *err)
{
	(void)err;
	*ret_identity = stream_of(source)->identity;
	return MBJ_OK;
}

static enum mbj_rc stream_hello(struct replay_source *source,
				struct mbj_lsn applied,
				struct mbj_hello *ret_hello,
				struct mbj_error *err)
{
	/* Nobody else has the replica: it stands where it said it does. */
	(void)applied;
	(void)err;
	*ret_hello = stream_of(source)->hello;
	return MBJ_OK;
}

/* --------------------------------------------------------------- windows */

/* The memory of a large group is given back: two would be twice the limit. */
static void window_clear(struct stream_window *window)
{
	if (window->records.capacity > AHEAD_MAX)
		mbj_buf_done(&window->records);
	mbj_buf_clear(&window->records);
	window->at = 0;
	window->count = 0;
	window->is_left = false;
	window->fault.rc = MBJ_OK;
}

static enum mbj_rc fetch_ask(struct source_stream *s, uint32_t wait_ms,
			     struct mbj_error *err)
{
	struct stream_message m = {.from = s->fetch,
				   .bytes_max = FETCH_SIZE,
				   .wait_ms = wait_ms,
				   .received = mbj_store_end(s->store).lsn,
				   .applied = s->applied,
				   .parked = s->parked};

	MBJ_ASSERT(!s->is_asked && !s->is_here);
	if (m.received.v < m.applied.v)
		m.received = m.applied;
	s->asked_ms = mbj_monotonic_ms();
	mbj_applying_end(s->store);
	return stream_link_send(&s->link, STREAM_FETCH, &m, err);
}

/*
 * What the replica lacks in bytes.  A source that says nothing of it, and can,
 * has sent all that there is, and nothing in bulk.
 */
static void left_note(struct source_stream *s,
		      const struct stream_window *window)
{
	struct mbj_log_behind sent = {.bytes = window->records.n,
				      .is_exact = s->version >=
						  STREAM_VERSION_LEFT};
	bool is_all = s->fetch.v > s->end.v;

	if (window != &s->window)
		sent.bytes += s->window.records.n - s->window.at;

	if (window->is_left)
		mbj_upstream_left(s->upstream, &window->left);
	else
		mbj_upstream_left(s->upstream, is_all ? &sent : NULL);
}

/* The end of an answer: what it says has to be what came. */
static enum mbj_rc end_take(struct source_stream *s,
			    struct stream_window *window,
			    const struct stream_message *m,
			    struct mbj_error *err)
{
	if (m->size != window->records.n || (m->count == 0) != (m->size == 0) ||
	    m->end.v + 1 < s->fetch.v + m->count)
		return source_stream_bad(
			s, err, "groups, and says that it sent others");
	window->count = m->count;
	s->fetch.v += m->count;
	s->end = m->end;
	left_note(s, window);
	mbj_upstream_hear(s->upstream, s->end, s->asked_ms);
	return MBJ_OK;
}

/* The next frame of an answer; *ret_is_whole: it was the last one. */
static enum mbj_rc frame_receive(struct source_stream *s, uint32_t wait_ms,
				 struct stream_window *window,
				 bool *ret_is_whole, struct mbj_error *err)
{
	struct stream_message m;
	enum stream_kind kind;
	enum mbj_rc rc;

	mbj_applying_end(s->store);
	rc = stream_link_receive(&s->link, wait_ms, &kind, &m, err);
	if (rc < 0)
		return rc;
	*ret_is_whole = kind != STREAM_GROUPS && kind != STREAM_LEFT;
	if (kind == STREAM_END)
		return end_take(s, window, &m, err);
	if (kind == STREAM_FAULT) {
		/* How many groups there are shows as they are read. */
		window->fault = m.error;
		window->count = UINT32_MAX;
		return MBJ_OK;
	}
	if (kind == STREAM_LEFT && s->version >= STREAM_VERSION_LEFT &&
	    !window->is_left) {
		window->is_left = true;
		window->left = m.left;
		return MBJ_OK;
	}
	if (kind != STREAM_GROUPS)
		return source_stream_bad(s, err, "something else than groups");
	mbj_buf_put_bytes(&window->records, m.data);
	rc = mbj_buf_ok(&window->records, err);
	if (rc == MBJ_ELIMIT)
		return source_stream_bad(s, err, "more than a group may have");
	return rc;
}

static enum mbj_rc window_receive(struct source_stream *s, uint32_t wait_ms,
				  struct stream_window *window,
				  struct mbj_error *err)
{
	bool is_whole = false;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && !is_whole)
		rc = frame_receive(s, wait_ms, window, &is_whole, err);
	return rc;
}

enum mbj_rc source_stream_settle(struct source_stream *s, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (!s->is_asked)
		return MBJ_OK;
	s->is_asked = false;
	rc = window_receive(s, 0, &s->ahead, err);
	s->is_here = rc == MBJ_OK;
	return rc;
}

/*
 * Take what has come of the window ahead, so that the source need not wait for
 * room while this one is applied.
 */
static enum mbj_rc ahead_pump(struct source_stream *s, struct mbj_error *err)
{
	bool is_whole = false;
	bool is_input = true;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && s->is_asked && is_input) {
		rc = stream_link_wait(&s->link, -1, 0, &is_input, err);
		if (rc == MBJ_OK && is_input)
			rc = frame_receive(s, 0, &s->ahead, &is_whole, err);
		if (rc == MBJ_OK && is_whole) {
			s->is_asked = false;
			s->is_here = true;
		}
	}
	return rc;
}

/* Have the next window, and ask for the one behind it where there is one. */
static enum mbj_rc window_next(struct source_stream *s, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (!s->is_asked && !s->is_here) {
		window_clear(&s->window);
		s->held = 0;
		rc = fetch_ask(s, 0, err);
		s->is_asked = rc == MBJ_OK;
	}
	if (rc == MBJ_OK)
		rc = source_stream_settle(s, err);
	if (rc == MBJ_OK) {
		struct stream_window spent = s->window;

		s->window = s->ahead;
		s->ahead = spent;
		s->is_here = false;
		window_clear(&s->ahead);
		mbj_buf_clear(&s->lost);
		s->held = 0;
	}
	if (rc == MBJ_OK && s->window.fault.rc == MBJ_OK &&
	    s->fetch.v <= s->end.v && s->window.records.n > 0 &&
	    s->window.records.n <= AHEAD_MAX) {
		rc = fetch_ask(s, 0, err);
		s->is_asked = rc == MBJ_OK;
	}
	return rc;
}

/* ---------------------------------------------------------------- groups */

static enum mbj_rc stream_seek(struct replay_source *source, struct mbj_lsn lsn,
			       struct mbj_error *err)
{
	struct source_stream *s = stream_of(source);
	enum mbj_rc rc;

	MBJ_ASSERT(lsn.v > 0);
	/* Groups are asked for only once the source has been accepted. */
	if (!s->is_met) {
		s->is_met = true;
		mbj_upstream_meet(s->upstream);
		mbj_upstream_hear(s->upstream, s->end, s->asked_ms);
	}
	if (s->next.v == lsn.v)
		return MBJ_OK;
	rc = source_stream_settle(s, err);
	if (rc < 0)
		return rc;
	window_clear(&s->window);
	window_clear(&s->ahead);
	mbj_buf_clear(&s->lost);
	s->is_here = false;
	s->next = lsn;
	s->fetch = lsn;
	s->has_chain = false;
	return MBJ_OK;
}

/* The group at the window's place: it came whole and continues the last. */
static enum mbj_rc group_read(struct source_stream *s,
			      struct mbj_group *ret_group,
			      struct mbj_error *err)
{
	struct stream_window *window = &s->window;
	struct mbj_bytes left = {window->records.p + window->at,
				 window->records.n - window->at};
	struct mbj_group group;
	enum mbj_rc rc;

	rc = mbj_group_parse(left, &group, err);
	if (rc == MBJ_EUNSUPPORTED)
		return rc;
	if (rc < 0 || !group.is_body_good)
		return source_stream_bad(s, err, "a group that is damaged");
	if (group.header.lsn.v != s->next.v || window->count == 0)
		return source_stream_bad(s, err,
					 "another group than was asked for");
	if (s->has_chain)
		rc = mbj_group_chain_check(&group, s->sha, &s->chain, err);
	if (rc == MBJ_ECORRUPT)
		return source_stream_bad(s, err,
					 "a group that does not continue the "
					 "one before");
	if (rc < 0)
		return rc;
	s->held = window->at;
	window->at += group.record.n;
	window->count--;
	s->chain = group.chain;
	s->has_chain = true;
	s->next.v++;
	*ret_group = group;
	return MBJ_OK;
}

static enum mbj_rc stream_next(struct replay_source *source,
			       struct mbj_group *ret_group,
			       struct mbj_error *err)
{
	struct source_stream *s = stream_of(source);
	enum mbj_rc rc;

	while (s->window.at == s->window.records.n) {
		if (s->window.fault.rc != MBJ_OK)
			return stream_fault_take(s, &s->window.fault, err);
		if (s->window.count > 0)
			return source_stream_bad(s, err,
						 "fewer groups than it says");
		if (!s->is_asked && !s->is_here && s->fetch.v > s->end.v)
			return MBJ_ENOTFOUND;
		if (stream_link_is_told(&s->link)) {
			s->link.is_lost = true;
			return mbj_error_set(err, MBJ_EIO, "told to stop");
		}
		rc = window_next(s, err);
		if (rc < 0)
			return rc;
		/* Whatever it says of its end: it has nothing now. */
		if (s->window.records.n == 0 && s->window.count == 0)
			return MBJ_ENOTFOUND;
	}
	if (s->link.is_lost)
		return mbj_error_set(err, MBJ_EIO, "the connection is lost");
	if (s->next.v % PUMP_GROUPS == 0) {
		rc = ahead_pump(s, err);
		if (rc < 0)
			return rc;
	}
	return group_read(s, ret_group, err);
}

enum mbj_rc source_stream_wait(struct source_stream *s, uint32_t wait_ms,
			       bool *ret_is_more, struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(s->window.at == s->window.records.n);
	MBJ_ASSERT(!s->is_asked && !s->is_here);
	window_clear(&s->window);
	mbj_buf_clear(&s->lost);
	rc = fetch_ask(s, wait_ms, err);
	if (rc == MBJ_OK)
		rc = window_receive(s, wait_ms, &s->window, err);
	if (rc < 0)
		return rc;
	s->held = 0;
	*ret_is_more = s->window.records.n > 0 ||
		       s->window.fault.rc != MBJ_OK || s->fetch.v <= s->end.v;
	return MBJ_OK;
}

void stream_resync_note(struct source_stream *s, enum mbj_resync_stage stage,
			bool is_whole, uint64_t here, uint64_t size)
{
	const struct mbj_resync_progress none = {.stage = MBJ_RESYNC_NONE};
	const struct mbj_resync_progress progress = {
		.stage = stage,
		.is_whole = is_whole,
		.here = here,
		.size = size,
	};

	mbj_upstream_resync(s->upstream,
			    stage == MBJ_RESYNC_NONE ? &none : &progress);
}

static void stream_applied(struct replay_source *source, struct mbj_lsn lsn)
{
	struct source_stream *s = stream_of(source);

	s->applied = lsn;
	/* Contents of a group that the link broke in are not here. */
	if (!s->link.is_lost)
		mbj_upstream_apply(s->upstream, lsn);
}

/* ------------------------------------------------------------------- all */

static const struct replay_source_ops stream_ops = {
	.identity = stream_identity,
	.hello = stream_hello,
	.seek = stream_seek,
	.next = stream_next,
	.content = source_stream_content,
	.applied = stream_applied,
};

enum mbj_rc source_stream_begin(struct source_stream *s,
				struct mbj_store *store,
				const struct mbj_stream_options *options,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	*s = (struct source_stream){
		.source = {.ops = &stream_ops,
			   .name = "the source",
			   .is_parking = true,
			   .is_paced = true,
			   .is_partial = !options->is_once},
		.store = store,
		.upstream = options->upstream,
		.pin = options->pin,
	};
	if (options->name != NULL)
		s->name = mbj_bytes_str(options->name);
	mbj_buf_init(&s->window.records, WINDOW_MAX);
	mbj_buf_init(&s->ahead.records, WINDOW_MAX);
	mbj_buf_init(&s->asked, STREAM_CONTENTS_MAX * STREAM_CONTENT_SIZE);
	mbj_buf_init(&s->asking, STREAM_CONTENTS_MAX * STREAM_CONTENT_SIZE);
	mbj_buf_init(&s->lost, STREAM_QUESTIONS_MAX * STREAM_CONTENTS_MAX *
				       MBJ_HASH_SIZE);
	rc = stream_link_begin(&s->link, options->in_fd, options->out_fd,
			       options->stop_fd, options->timeout_ms,
			       STREAM_SOURCE, err);
	stream_link_use(&s->link, options->channel);
	if (rc == MBJ_OK)
		rc = mbj_sha256_new(&s->sha, err);
	if (rc == MBJ_OK)
		rc = source_stream_meet(s, options, err);
	if (rc == MBJ_OK &&
	    (source_stream_needs_seed(s) ||
	     (options->is_mending && source_stream_is_behind(s))))
		rc = source_stream_seed(s, err);
	return rc;
}

void source_stream_done(struct source_stream *s)
{
	stream_link_done(&s->link);
	mbj_sha256_free(&s->sha);
	mbj_buf_done(&s->window.records);
	mbj_buf_done(&s->ahead.records);
	mbj_buf_done(&s->asked);
	mbj_buf_done(&s->asking);
	mbj_buf_done(&s->lost);
}
