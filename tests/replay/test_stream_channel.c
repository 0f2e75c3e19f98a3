/*
 * A stream over a channel that somebody has made over its descriptors, with a
 * peer of whom something is certain.  The channel here is a toy, and real:
 * bytes are other ones on the way, and it takes from a descriptor what there
 * is.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/replicas.h>

#include "stream_lab.h"
#include "stream_link.h"

enum { AHEAD_SIZE = 1 << 16, MASK = 0x5a };

struct toy {
	int fd;
	uint8_t ahead[AHEAD_SIZE];
	size_t at;
	size_t n;
	bool is_failing;
	bool takes_nothing; /* and says that this is the end */
	unsigned wants_out; /* so many reads wait for the way out first */
};

static enum mbj_rc toy_read(void *ctx, void *p, size_t n, size_t *ret_n,
			    short *ret_events, struct mbj_error *err)
{
	struct toy *toy = ctx;
	uint8_t *bytes = p;

	*ret_n = 0;
	*ret_events = 0;
	if (toy->is_failing)
		return mbj_error_set(err, MBJ_EFENCED, "the toy is broken");
	if (toy->wants_out > 0) {
		toy->wants_out--;
		*ret_events = POLLOUT;
		return MBJ_OK;
	}
	if (toy->at == toy->n) {
		ssize_t got =
			recv(toy->fd, toy->ahead, AHEAD_SIZE, MSG_DONTWAIT);

		if (got < 0)
			*ret_events = POLLIN;
		if (got <= 0)
			return MBJ_OK;
		toy->at = 0;
		toy->n = (size_t)got;
	}
	while (*ret_n < n && toy->at < toy->n)
		bytes[(*ret_n)++] = toy->ahead[toy->at++] ^ MASK;
	return MBJ_OK;
}

/* A few bytes at a time. */
static enum mbj_rc toy_write(void *ctx, const void *p, size_t n, size_t *ret_n,
			     short *ret_events, struct mbj_error *err)
{
	struct toy *toy = ctx;
	const uint8_t *bytes = p;
	uint8_t other[1000];
	ssize_t sent;

	*ret_n = 0;
	*ret_events = 0;
	if (toy->is_failing)
		return mbj_error_set(err, MBJ_EFENCED, "the toy is broken");
	if (toy->takes_nothing)
		return MBJ_OK;
	n = n < sizeof(other) ? n : sizeof(other);
	for (size_t i = 0; i < n; i++)
		other[i] = bytes[i] ^ MASK;
	sent = send(toy->fd, other, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent > 0)
		*ret_n = (size_t)sent;
	else if (errno == EAGAIN || errno == EWOULDBLOCK)
		*ret_events = POLLOUT;
	return MBJ_OK;
}

static bool toy_is_pending(void *ctx)
{
	const struct toy *toy = ctx;

	return toy->at < toy->n;
}

static struct mbj_stream_channel toy_channel(struct toy *toy, int fd)
{
	memset(toy, 0, sizeof(*toy));
	toy->fd = fd;
	return (struct mbj_stream_channel){toy, toy_read, toy_write,
					   toy_is_pending};
}

/* Both ends, and what is certain of each. */
struct meeting {
	struct lab lab;
	struct pair pair;
	struct toy toys[2];
	struct mbj_stream_channel channels[2];
	struct mbj_stream_options source;
	struct mbj_stream_options replica;
	struct mbj_stream_pin certain_replica;
	struct mbj_stream_pin certain_source;
	struct mbj_stream_result result;
	enum mbj_rc source_rc;
	struct mbj_error source_why;
	struct mbj_error replica_why;
};

static void *source_run(void *context)
{
	struct meeting *m = context;

	m->source_rc = mbj_stream_send(m->lab.f.primary_dir, &m->source,
				       &m->source_why);
	(void)shutdown(m->source.in_fd, SHUT_RDWR);
	return NULL;
}

static void meeting_begin(struct meeting *m)
{
	struct mbj_id lineage;

	memset(m, 0, sizeof(*m));
	lab_begin(&m->lab);
	lineage = mbj_store_identity(m->lab.f.primary)->lineage;
	m->certain_replica = (struct mbj_stream_pin){lineage, "certain"};
	m->certain_source = (struct mbj_stream_pin){lineage, "source"};
	m->source = MBJ_STREAM_OPTIONS_INIT;
	m->source.pin = &m->certain_replica;
	m->source.channel = &m->channels[0];
	m->source.is_registering = true;
	m->replica = MBJ_STREAM_OPTIONS_INIT;
	m->replica.pin = &m->certain_source;
	m->replica.channel = &m->channels[1];
	m->replica.is_once = true;
}

/* They meet; what the replica comes to. */
static enum mbj_rc meeting_run(struct meeting *m)
{
	pthread_t thread;
	enum mbj_rc rc;

	pair_open(&m->pair);
	m->channels[0] = toy_channel(&m->toys[0], m->pair.far);
	m->channels[1] = toy_channel(&m->toys[1], m->pair.near);
	m->source.in_fd = m->pair.far;
	m->source.out_fd = m->pair.far;
	m->replica.in_fd = m->pair.near;
	m->replica.out_fd = m->pair.near;
	ck_assert_int_eq(pthread_create(&thread, NULL, source_run, m), 0);
	rc = mbj_stream_follow(m->lab.f.replica, &m->replica, &m->result,
			       &m->replica_why);
	(void)shutdown(m->pair.near, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pair_close(&m->pair);
	return rc;
}

static void refused(struct meeting *m, const char *words)
{
	ck_assert_int_eq(meeting_run(m), MBJ_EFENCED);
	ck_assert(!m->result.is_lost && !m->result.is_met);
	ck_assert_msg(strstr(m->replica_why.message, words) != NULL, "%s",
		      m->replica_why.message);
}

/*
 * Goal: all comes through a channel, and the register has the name that is
 * certain.  Method: a replica that says no name, or the same one.
 */
START_TEST(channel_carries)
{
	struct mbj_replica_note *notes = NULL;
	struct meeting *m = calloc(1, sizeof(*m));
	size_t count = 0;

	ck_assert_ptr_nonnull(m);
	meeting_begin(m);
	if (_i == 1)
		m->replica.name = "certain";
	ck_assert_int_eq(meeting_run(m), MBJ_OK);
	ck_assert_uint_eq(m->result.replay.groups, GROUPS);
	ck_assert_uint_eq(m->result.replay.blobs_missing, 0);
	ck_assert_int_eq(m->source_rc, MBJ_OK);
	OK(mbj_replica_notes_load(NULL, m->lab.f.primary_dir, &notes, &count,
				  NULL, err));
	ck_assert_uint_eq(count, 1);
	ck_assert_str_eq(notes[0].name, "certain");
	mbj_free(notes);
	lab_end(&m->lab);
	free(m);
}
END_TEST

/*
 * Goal: what is certain is not what is said: refused, in words that both sides
 * have, and for good.  Method: a replica for another store, one that says
 * another name, a longer one; one that was refused before.
 */
START_TEST(channel_source_refuses)
{
	static const char *const words[] = {
		"the certificate of replica \"certain\" is for lineage",
		"another name than its certificate, which is for \"certain\"",
		"another name than its certificate, which is for \"certain\"",
		"no such peer"};
	struct meeting *m = calloc(1, sizeof(*m));
	struct mbj_error refusal;

	ck_assert_ptr_nonnull(m);
	meeting_begin(m);
	(void)mbj_error_set(&refusal, MBJ_EFENCED, "no such peer");
	if (_i == 0)
		m->certain_replica.lineage.b[0] ^= 1;
	else if (_i == 1)
		m->replica.name = "Certain";
	else if (_i == 2)
		m->replica.name = "certainly";
	else
		m->source.refusal = &refusal;
	refused(m, words[_i]);
	ck_assert_int_eq(m->source_rc, MBJ_EFENCED);
	ck_assert_str_eq(m->source_why.message, m->replica_why.message);
	lab_end(&m->lab);
	free(m);
}
END_TEST

/*
 * Goal: a source that serves another store than it is certain to is left.
 * Method: a pin of another lineage, for a replica that has none itself.
 */
START_TEST(channel_replica_refuses)
{
	struct meeting *m = calloc(1, sizeof(*m));

	ck_assert_ptr_nonnull(m);
	meeting_begin(m);
	m->certain_source.lineage.b[15] ^= 1;
	refused(m, "the certificate of source \"source\" is for lineage");
	lab_end(&m->lab);
	free(m);
}
END_TEST

/*
 * Goal: nobody takes over an instance of another certain name, and one without
 * a name is had.  Method: the same replica under another name, and again after
 * it was forgotten.
 */
START_TEST(channel_instance)
{
	struct meeting *m = calloc(1, sizeof(*m));

	ck_assert_ptr_nonnull(m);
	meeting_begin(m);
	ck_assert_int_eq(meeting_run(m), MBJ_OK);
	fixture_rename(&m->lab.f, "alice", "b", "c");
	m->certain_replica.name = "other";
	ck_assert_int_eq(meeting_run(m), MBJ_EFENCED);
	ck_assert(strstr(m->replica_why.message, "registered as \"certain\"") !=
		  NULL);
	OK(mbj_replica_forget(NULL, m->lab.f.primary_dir,
			      mbj_store_identity(m->lab.f.replica)->instance,
			      err));
	ck_assert_int_eq(meeting_run(m), MBJ_OK);
	lab_end(&m->lab);
	free(m);
}
END_TEST

/*
 * Goal: what a channel has in hand is input, though no descriptor shows it; a
 * channel that fails says why, and is lost; one that takes no more has ended.
 * Method: two frames at once, of which one is read; broken channels.
 */
START_TEST(channel_link)
{
	struct mbj_stream_channel channels[2];
	struct stream_message m = {.end = {7}};
	struct toy *toys = calloc(2, sizeof(*toys));
	struct stream_link links[2];
	enum stream_kind kind;
	bool is_input = false;
	struct mbj_error why;
	struct pair pair;

	ck_assert_ptr_nonnull(toys);
	pair_open(&pair);
	channels[0] = toy_channel(&toys[0], pair.far);
	channels[1] = toy_channel(&toys[1], pair.near);
	OK(stream_link_begin(&links[0], pair.far, pair.far, -1, 60000,
			     STREAM_REPLICA, err));
	OK(stream_link_begin(&links[1], pair.near, pair.near, -1, 60000,
			     STREAM_SOURCE, err));
	stream_link_use(&links[0], &channels[0]);
	stream_link_use(&links[1], &channels[1]);
	for (int i = 0; i < 2; i++)
		OK(stream_link_send(&links[0], STREAM_END, &m, err));
	OK(stream_link_receive(&links[1], 0, &kind, &m, err));
	/* For ever, if it did not know. */
	OK(stream_link_wait(&links[1], -1, INT64_MAX / 2, &is_input, err));
	ck_assert(is_input);
	OK(stream_link_receive(&links[1], 0, &kind, &m, err));
	ck_assert_uint_eq(m.end.v, 7);
	OK(stream_link_wait(&links[1], -1, 0, &is_input, err));
	ck_assert(!is_input);
	if (_i == 0)
		toys[0].takes_nothing = true;
	else
		toys[0].is_failing = true;
	ck_assert_int_eq(stream_link_send(&links[0], STREAM_END, &m, &why),
			 _i == 0 ? MBJ_EIO : MBJ_EFENCED);
	ck_assert(links[0].is_lost);
	ck_assert_int_eq(links[0].is_ended, _i == 0);
	toys[1].is_failing = true;
	ck_assert_int_eq(stream_link_receive(&links[1], 0, &kind, &m, &why),
			 MBJ_EFENCED);
	ck_assert_str_eq(why.message, "the toy is broken");
	ck_assert(links[1].is_lost && !links[1].is_ended);
	for (int i = 0; i < 2; i++)
		stream_link_done(&links[i]);
	pair_close(&pair);
	free(toys);
}
END_TEST

/* What ends a rest, and how. */
enum rest {
	REST_OVER,
	REST_ENDED,
	REST_SPOKEN,
	REST_FAILED,
	REST_RESET,
	REST_COUNT
};

/*
 * Goal: while nobody is asked anything, a channel that fails, a peer that says
 * something, or hangs up, ends the rest, each for what it is; and what only the
 * channel has to say does not.  Method: a toy that wants to write first; one
 * that is broken; descriptors alone, whose peer goes without having read.
 */
START_TEST(channel_rests)
{
	static const enum mbj_rc ends[REST_COUNT] = {MBJ_OK, MBJ_EIO,
						     MBJ_ECORRUPT, MBJ_EFENCED,
						     MBJ_EIO};
	struct mbj_stream_channel channel;
	struct toy *toy = malloc(sizeof(*toy));
	struct stream_link link;
	struct mbj_error why;
	struct pair pair;
	int far;

	ck_assert_ptr_nonnull(toy);
	pair_open(&pair);
	far = pair.far;
	channel = toy_channel(toy, pair.near);
	OK(stream_link_begin(&link, pair.near, pair.near, -1, 60000,
			     STREAM_SOURCE, err));
	if (_i != REST_RESET)
		stream_link_use(&link, &channel);
	toy->wants_out = 3;
	OK(stream_link_rest(&link, 20, err));
	ck_assert_uint_eq(toy->wants_out, _i == REST_RESET ? 3 : 0);
	if (_i == REST_ENDED)
		ck_assert_int_eq(shutdown(far, SHUT_WR), 0);
	if (_i == REST_SPOKEN)
		ck_assert_int_eq(send(far, "x", 1, 0), 1);
	toy->is_failing = _i == REST_FAILED;
	if (_i == REST_RESET) {
		/* One that goes with bytes unread resets it. */
		ck_assert_int_eq(send(pair.near, "x", 1, 0), 1);
		ck_assert_int_eq(close(far), 0);
		pair.far = dup(pair.near);
	}
	ck_assert_int_eq(stream_link_rest(&link, 20, &why), ends[_i]);
	ck_assert_int_eq(link.is_lost, _i != REST_OVER);
	ck_assert_int_eq(link.is_ended, _i == REST_ENDED);
	if (_i == REST_RESET)
		ck_assert_str_eq(why.message, "the peer is gone");
	if (_i != REST_OVER) {
		ck_assert_int_eq(stream_link_rest(&link, 20, &why), MBJ_EIO);
		ck_assert_str_eq(why.message, "the connection is lost");
	}
	stream_link_done(&link);
	pair_close(&pair);
	free(toy);
}
END_TEST

TCase *test_stream_channel_case(void)
{
	TCase *tcase = tcase_create("stream_channel");

	tcase_add_loop_test(tcase, channel_carries, 0, 2);
	tcase_add_loop_test(tcase, channel_source_refuses, 0, 4);
	tcase_add_test(tcase, channel_replica_refuses);
	tcase_add_test(tcase, channel_instance);
	tcase_add_loop_test(tcase, channel_link, 0, 2);
	tcase_add_loop_test(tcase, channel_rests, 0, REST_COUNT);
	return tcase;
}
