/*
 * The source's side of a stream: answers what one replica asks.
 *
 * Reads what mbj_replay_journal reads of a directory, and locks nothing.  A
 * store without an owner is read to where its last segment ends; what an owner
 * publishes later is followed from then on.
 *
 * Invariants:
 *   1. no group is sent above what is durable (the log reader's);
 *   2. no group with a damaged body is sent: the fault is named instead;
 *   3. one batch of groups and one piece are all that is in memory.
 *
 * Not here: contents and snapshots (stream_files.c), what is kept of the
 * replica and whether it is paused (stream_register.c).
 *
 * Threads: one.
 */
#include <mbj/check.h>

#include "source_dir.h"
#include "stream_serve.h"

enum {
	/* Where nobody tells us that something was published. */
	POLL_MS = 20,
	/* Whoever connects says hello at once. */
	HELLO_MS = 30000,
};

void stream_why_note(enum mbj_rc rc, const struct mbj_error *said,
		     struct mbj_error *ret_why)
{
	if (rc < 0)
		*ret_why = *said;
}

enum mbj_rc stream_fault_send(struct stream_server *s,
			      const struct mbj_error *why,
			      struct mbj_error *err)
{
	struct stream_message m = {.error = *why};

	s->next.v = 0;
	return stream_link_send(&s->link, STREAM_FAULT, &m, err);
}

/* ----------------------------------------------------------------- hello */

static enum mbj_rc welcome_make(struct stream_server *s,
				const struct stream_message *hello,
				struct stream_message *ret_welcome,
				struct mbj_error *err)
{
	struct mbj_hello there = {.end = {0}};
	enum mbj_rc rc = MBJ_OK;

	if (hello->version_lowest > STREAM_VERSION ||
	    hello->version_highest < 1)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the replica speaks versions %u to %u of "
				     "the stream, the source speaks 1 to %d",
				     hello->version_lowest,
				     hello->version_highest, STREAM_VERSION);
	s->version = hello->version_highest < STREAM_VERSION
			     ? hello->version_highest
			     : STREAM_VERSION;
	if (!mbj_id_is_root(s->identity.lineage)) {
		rc = mbj_store_log_reader(s->sys, s->dir, &s->reader, err);
		if (rc == MBJ_OK)
			rc = source_hello_read(&s->identity, s->reader,
					       hello->applied, &there, err);
	}
	if (rc < 0)
		return rc;
	*ret_welcome = (struct stream_message){
		.version = s->version,
		.identity = s->identity,
		.end = there.end,
		.has_chain = there.has_chain,
		.chain = there.chain_there,
	};
	return MBJ_OK;
}

/*
 * The replica has a snapshot, and asks what is here where that ends.  Nothing
 * was fetched since: the readers stand nowhere.
 */
static enum mbj_rc hello_again(struct stream_server *s, struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_error why = {.rc = MBJ_OK};
	struct stream_message welcome;

	s->is_seeding = false;
	stream_why_note(stream_identity_check(s, &said), &said, &why);
	mbj_log_reader_close(&s->reader);
	mbj_log_reader_close(&s->live);
	s->is_live = false;
	s->next.v = 0;
	if (why.rc == MBJ_OK)
		stream_why_note(welcome_make(s, &s->request, &welcome, &said),
				&said, &why);
	if (why.rc == MBJ_OK)
		return stream_link_send(&s->link, STREAM_WELCOME, &welcome,
					err);
	return stream_fault_send(s, &why, err);
}

/* May it be served, by what is certain of it? */
static enum mbj_rc peer_check(const struct stream_server *s,
			      const struct stream_message *hello,
			      struct mbj_error *err)
{
	const struct mbj_stream_pin *pin = s->pin;
	char certain[MBJ_ID_TEXT_SIZE];
	char ours[MBJ_ID_TEXT_SIZE];

	if (s->refusal != NULL)
		return mbj_error_set(err, s->refusal->rc, "%s",
				     s->refusal->message);
	if (pin == NULL)
		return MBJ_OK;
	/* One that has no lineage yet serves nothing. */
	if (!mbj_id_is_root(s->identity.lineage) &&
	    !mbj_id_equal(pin->lineage, s->identity.lineage)) {
		mbj_id_print(pin->lineage, certain);
		mbj_id_print(s->identity.lineage, ours);
		return mbj_error_set(err, MBJ_EFENCED,
				     "the certificate of replica \"%.64s\" is "
				     "for lineage %s, the source is of %s",
				     pin->name, certain, ours);
	}
	if (hello->name.n > 0 &&
	    (hello->name.n != strlen(pin->name) ||
	     memcmp(hello->name.p, pin->name, hello->name.n) != 0))
		return mbj_error_set(err, MBJ_EFENCED,
				     "a replica says another name than its "
				     "certificate, which is for \"%.64s\"",
				     pin->name);
	return MBJ_OK;
}

/* Tell it why, and ourselves: the connection is over. */
static enum mbj_rc peer_refuse(struct stream_server *s,
			       const struct mbj_error *why,
			       struct mbj_error *err)
{
	enum mbj_rc rc = stream_fault_send(s, why, err);

	if (rc == MBJ_OK && err != NULL)
		*err = *why;
	return rc == MBJ_OK ? why->rc : rc;
}

static enum mbj_rc hello_answer(struct stream_server *s, struct mbj_error *err)
{
	int64_t timeout_ms = s->link.timeout_ms;
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_error why = {.rc = MBJ_OK};
	struct stream_message welcome;
	struct stream_message hello;
	enum stream_kind kind;
	enum mbj_rc rc;

	if (timeout_ms > HELLO_MS)
		s->link.timeout_ms = HELLO_MS;
	rc = stream_link_receive(&s->link, 0, &kind, &hello, err);
	s->link.timeout_ms = timeout_ms;
	if (rc < 0)
		return rc;
	if (kind != STREAM_HELLO)
		(void)mbj_error_set(&why, MBJ_EINVALID,
				    "a stream begins with hello, not %s",
				    stream_kind_word(kind));
	else
		stream_why_note(peer_check(s, &hello, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(welcome_make(s, &hello, &welcome, &said), &said,
				&why);
	if (why.rc == MBJ_OK && s->is_registering)
		stream_why_note(stream_register_begin(s, &hello, &said), &said,
				&why);
	if (why.rc == MBJ_OK && stream_pause_look(s, hello.instance))
		return stream_pause_tell(s, hello.version_highest, err);
	if (why.rc == MBJ_OK)
		return stream_link_send(&s->link, STREAM_WELCOME, &welcome,
					err);
	return peer_refuse(s, &why, err);
}

/* ---------------------------------------------------------------- groups */

enum mbj_rc stream_piece_flush(struct stream_server *s, enum stream_kind kind,
			       struct mbj_error *err)
{
	struct stream_message m = {.data = mbj_buf_view(&s->piece)};
	enum mbj_rc rc = MBJ_OK;

	if (s->piece.n > 0)
		rc = stream_link_send(&s->link, kind, &m, err);
	mbj_buf_clear(&s->piece);
	return rc;
}

void stream_pace_take(struct stream_server *s, uint64_t rate)
{
	stream_link_pace(&s->link, rate);
	s->piece_size = stream_rate_piece(&s->link.rate, STREAM_PIECE_SIZE);
}

/* A record, of whatever size, behind what is in the piece. */
static enum mbj_rc record_send(struct stream_server *s, struct mbj_bytes record,
			       struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && record.n > 0) {
		size_t n = s->piece_size - s->piece.n;

		n = n < record.n ? n : record.n;
		mbj_buf_put(&s->piece, record.p, n);
		rc = mbj_buf_ok(&s->piece, err);
		record.p += n;
		record.n -= n;
		if (rc == MBJ_OK && s->piece.n == s->piece_size)
			rc = stream_piece_flush(s, STREAM_GROUPS, err);
	}
	return rc;
}

/*
 * What there is from where the reader stands, at least one group and no more
 * than begin within bytes_max.  What is wrong with the source is *ret_why.
 */
static enum mbj_rc groups_send(struct stream_server *s, uint32_t bytes_max,
			       struct stream_message *sent,
			       struct mbj_error *ret_why, struct mbj_error *err)
{
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_group group;
	enum mbj_rc rc;

	while (sent->size < bytes_max) {
		enum mbj_rc is_there;

		is_there = mbj_log_reader_next(s->reader, &group, &said);
		if (is_there == MBJ_ENOTFOUND)
			break;
		if (is_there == MBJ_OK && !group.is_body_good)
			is_there =
				mbj_log_reader_fault(s->reader, &group, &said);
		stream_why_note(is_there, &said, ret_why);
		if (is_there < 0)
			break;
		rc = record_send(s, group.record, err);
		if (rc < 0)
			return rc;
		s->next.v = group.header.lsn.v + 1;
		sent->size += group.record.n;
		if (group.header.origin == MBJ_ORIGIN_BULK)
			sent->left.bulk += group.record.n;
		sent->count++;
	}
	return stream_piece_flush(s, STREAM_GROUPS, err);
}

/* What is published now, where that is more than the reader can read. */
static enum mbj_rc reader_renew(struct stream_server *s, bool *ret_is_more,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_log_end end = {{0}, {{0}}};
	enum mbj_rc rc = MBJ_OK;

	*ret_is_more = false;
	if (s->is_live)
		return MBJ_OK;
	if (s->live == NULL) {
		rc = mbj_path_join(path, s->dir, STREAM_JOURNAL_NAME, err);
		if (rc == MBJ_OK)
			rc = mbj_log_reader_open(s->sys, path,
						 s->identity.lineage,
						 &s->identity.anchor, true,
						 &s->live, err);
	}
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(s->live, &end, err);
	/* Torn by a crash, and nobody has the store: its owner mends it. */
	if (rc == MBJ_ECORRUPT)
		return MBJ_OK;
	if (rc < 0 || end.lsn.v < s->next.v)
		return rc;
	mbj_log_reader_close(&s->reader);
	s->reader = s->live;
	s->live = NULL;
	s->is_live = true;
	*ret_is_more = true;
	return mbj_log_reader_seek(s->reader, s->next, err);
}

/*
 * Another store in its place, another reign, or a journal that was trimmed, is
 * for another hello.
 */
enum mbj_rc stream_identity_check(struct stream_server *s,
				  struct mbj_error *err)
{
	struct mbj_identity now;
	enum mbj_rc rc = mbj_identity_load(s->sys, s->dir, &now, err);

	if (rc < 0)
		return rc;
	if (s->reader == NULL ||
	    !mbj_id_equal(now.lineage, s->identity.lineage) ||
	    !mbj_id_equal(now.instance, s->identity.instance) ||
	    now.anchor.first.v != s->identity.anchor.first.v ||
	    now.epoch.v != s->identity.epoch.v ||
	    !mbj_id_equal(now.epoch_owner, s->identity.epoch_owner))
		return mbj_error_set(err, MBJ_EBUSY,
				     "the source is not what it was when the "
				     "connection was made: make it again");
	return MBJ_OK;
}

static enum mbj_rc fetch_stand(struct stream_server *s, struct mbj_lsn from,
			       struct mbj_error *err)
{
	enum mbj_rc rc = stream_identity_check(s, err);

	s->is_seeding = false;
	if (rc == MBJ_OK && s->next.v != from.v)
		rc = mbj_log_reader_seek(s->reader, from, err);
	if (rc == MBJ_OK)
		s->next = from;
	return rc;
}

/* Until there is more, the time is over, or the replica says something. */
static enum mbj_rc change_wait(struct stream_server *s, int64_t until,
			       bool *ret_is_over, struct mbj_error *err)
{
	int64_t left = until - mbj_monotonic_ms();
	bool is_input = false;
	enum mbj_rc rc;

	*ret_is_over = left <= 0;
	if (*ret_is_over)
		return MBJ_OK;
	/* Nor does anybody tell us that it is paused. */
	if (left > STREAM_PAUSE_MS)
		left = STREAM_PAUSE_MS;
	if (s->watch.fd < 0 && left > POLL_MS)
		left = POLL_MS;
	rc = stream_pause_check(s, err);
	if (rc < 0)
		return rc;
	rc = stream_link_wait(&s->link, s->watch.fd, left, &is_input, err);
	mbj_watch_drain(&s->watch);
	*ret_is_over = is_input;
	return rc;
}

static enum mbj_rc fetch_answer(struct stream_server *s,
				const struct stream_message *want,
				struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + want->wait_ms;
	struct mbj_error said = {.rc = MBJ_OK};
	struct mbj_error why = {.rc = MBJ_OK};
	struct stream_message sent = {.count = 0};
	struct mbj_log_end end;
	bool is_over = false;
	bool is_more = false;
	enum mbj_rc rc;

	stream_why_note(fetch_stand(s, want->from, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(stream_register(s, want, &said), &said, &why);
	while (why.rc == MBJ_OK) {
		rc = groups_send(s, want->bytes_max, &sent, &why, err);
		if (rc < 0)
			return rc;
		if (sent.count > 0 || is_over || why.rc != MBJ_OK)
			break;
		stream_why_note(reader_renew(s, &is_more, &said), &said, &why);
		if (why.rc != MBJ_OK || is_more)
			continue;
		rc = change_wait(s, until, &is_over, err);
		if (rc < 0)
			return rc;
	}
	/* Its end is to be what there is now, not what there was. */
	if (why.rc == MBJ_OK && !s->is_live)
		stream_why_note(reader_renew(s, &is_more, &said), &said, &why);
	/* Segments that are gone were trimmed, or it is damage. */
	if (why.rc == MBJ_ECORRUPT || why.rc == MBJ_ENOTFOUND)
		stream_why_note(stream_identity_check(s, &said), &said, &why);
	if (why.rc == MBJ_OK)
		stream_why_note(mbj_log_reader_end(s->reader, &end, &said),
				&said, &why);
	/* Another one's instance. */
	if (why.rc == MBJ_EFENCED)
		return peer_refuse(s, &why, err);
	if (why.rc != MBJ_OK)
		return stream_fault_send(s, &why, err);
	sent.end = end.lsn;
	mbj_upstream_hear(s->board, end.lsn, mbj_monotonic_ms());
	rc = stream_left_tell(s, want, &sent, err);
	return rc == MBJ_OK ? stream_link_send(&s->link, STREAM_END, &sent, err)
			    : rc;
}

/* ------------------------------------------------------------------ all */

/* No higher than is allowed here, which may be not at all. */
static enum mbj_rc pack_answer(struct stream_server *s, struct mbj_error *err)
{
	struct stream_message m = {.level = s->request.level};
	enum mbj_rc rc = MBJ_OK;

	if (m.level > s->level_max)
		m.level = (uint8_t)s->level_max;
	if (m.level > 0)
		rc = stream_link_pack(&s->link, m.level, err);
	if (rc == MBJ_OK && s->version >= STREAM_VERSION_PACKS)
		rc = stream_link_send(&s->link, STREAM_PACKS, &m, err);
	return rc;
}

static enum mbj_rc requests_answer(struct stream_server *s,
				   struct mbj_error *err)
{
	enum stream_kind kind;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK) {
		rc = stream_link_receive(&s->link, STREAM_WAIT_MAX, &kind,
					 &s->request, err);
		if (rc == MBJ_OK)
			rc = stream_pause_check(s, err);
		if (rc < 0)
			break;
		if (kind == STREAM_FETCH)
			rc = fetch_answer(s, &s->request, err);
		else if (kind == STREAM_CONTENTS)
			rc = stream_contents_answer(s, err);
		else if (kind == STREAM_SNAPSHOT)
			rc = stream_snapshot_answer(s, err);
		else if (kind == STREAM_PART)
			rc = stream_part_answer(s, err);
		else if (kind == STREAM_PACE)
			stream_pace_take(s, s->request.rate);
		else if (kind == STREAM_PACK)
			rc = pack_answer(s, err);
		else if (kind == STREAM_SURVEY)
			rc = stream_survey_answer(s, err);
		else if (s->is_seeding)
			rc = hello_again(s, err);
		else
			rc = mbj_error_set(err, MBJ_EINVALID,
					   "the replica said hello twice");
	}
	return rc;
}

/* Its owner writes "published" after each batch. */
static void journal_watch(struct stream_server *s)
{
	char path[MBJ_PATH_TEXT_MAX];

	s->watch = MBJ_WATCH_CLOSED;
	if (mbj_path_join(path, s->dir, STREAM_JOURNAL_NAME, NULL) == MBJ_OK)
		mbj_watch_open(&s->watch, path);
}

static enum mbj_rc serve(struct stream_server *s,
			 const struct mbj_stream_options *options,
			 struct mbj_error *err)
{
	enum mbj_rc rc;

	mbj_buf_init(&s->piece, STREAM_PIECE_SIZE);
	/* All of it at once: contents are read into it. */
	mbj_buf_put_zero(&s->piece, STREAM_PIECE_SIZE);
	journal_watch(s);
	rc = stream_link_begin(&s->link, options->in_fd, options->out_fd,
			       options->stop_fd, options->timeout_ms,
			       STREAM_REPLICA, err);
	stream_link_use(&s->link, options->channel);
	stream_link_look(&s->link, stream_look, s);
	stream_pace_take(s, options->rate);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&s->piece, err);
	mbj_buf_clear(&s->piece);
	if (rc == MBJ_OK)
		rc = hello_answer(s, err);
	if (rc == MBJ_OK)
		rc = requests_answer(s, err);
	if (s->link.is_ended || s->link.is_told || s->paused_ms > 0)
		rc = MBJ_OK;
	stream_register_end(s);
	stream_link_done(&s->link);
	mbj_watch_close(&s->watch);
	mbj_log_reader_close(&s->reader);
	mbj_log_reader_close(&s->live);
	mbj_blobs_close(&s->blobs);
	mbj_client_close(&s->service);
	mbj_buf_done(&s->piece);
	return rc;
}

void mbj_stream_refuse(int fd, const struct mbj_error *why)
{
	struct stream_message m = {.error = *why};

	stream_frame_throw(fd, STREAM_FAULT, &m);
}

enum mbj_rc mbj_stream_send(const char *dir,
			    const struct mbj_stream_options *options,
			    struct mbj_error *err)
{
	struct stream_server *s;
	enum mbj_rc rc;

	MBJ_ASSERT(options->size == sizeof(*options));
	s = mbj_calloc(1, sizeof(*s));
	if (s == NULL)
		return mbj_error_nomem(err);
	s->sys = options->sys != NULL ? options->sys : mbj_sys_posix();
	s->dir = dir;
	s->mark = MBJ_RECEIVED_MARK_CLOSED;
	s->is_registering = options->is_registering;
	s->level_max = options->level_max;
	s->pin = options->pin;
	s->refusal = options->refusal;
	s->service_path = options->service;
	s->address = options->address;
	/* Whoever asks is told that, as of all else that is wrong here. */
	if (mbj_identity_load(s->sys, dir, &s->identity, &s->unread) < 0)
		s->refusal = &s->unread;
	rc = serve(s, options, err);
	if (s->unread.rc < 0) {
		rc = s->unread.rc;
		if (err != NULL)
			*err = s->unread;
	}
	mbj_free(s);
	return rc;
}
