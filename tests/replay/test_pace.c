/*
 * Streams that are paused, and that are slow on purpose.  What a pause's file
 * holds is in tests/journal/test_pauses.c, services of both sides in
 * tests/cli/test_pause.py.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/blob.h>
#include <mbj/replicas.h>

#include "stream_lab.h"
#include "stream_link.h"
#include "stream_rate.h"

enum { HOUR_MS = 3600000, LARGE_SIZE = 1 << 20, LARGE_RATE = 4096 };

/* The replica is known, and paused. */
static void replica_pause(struct lab *lab)
{
	struct mbj_replica_note note = {
		.instance = mbj_store_identity(lab->f.replica)->instance};

	OK(mbj_replica_note_save(mbj_sys_posix(), lab->f.primary_dir, &note,
				 MBJ_NOTE_FIRST, err));
	OK(mbj_replica_pause(NULL, lab->f.primary_dir, note.instance, HOUR_MS,
			     err));
}

/* The kind of the first answer to a hello and a fetch. */
static enum stream_kind answered(struct lab *lab, struct mbj_id instance,
				 uint16_t highest, struct stream_message *ret_m)
{
	struct stream_message hello = {.version_lowest = 1,
				       .version_highest = highest,
				       .instance = instance};
	struct stream_head head;
	struct mbj_bytes body;

	mbj_buf_clear(&lab->requests);
	stream_encode(&lab->requests, STREAM_HELLO, &hello);
	fetch_put(&lab->requests, 1, 1);
	OK(source_ask(lab->f.primary_dir, &lab->requests, &lab->answers, err));
	ck_assert_uint_ge(lab->answers.n, STREAM_HEAD_SIZE);
	OK(stream_head_decode(lab->answers.p, STREAM_SOURCE, &head, err));
	body = mbj_bytes_make(lab->answers.p + STREAM_HEAD_SIZE, head.size);
	*ret_m = (struct stream_message){.count = 0};
	OK(stream_body_decode(&head, body, ret_m, err));
	return head.kind;
}

/*
 * Goal: a paused replica is told so and for how long, by whatever version it
 * speaks, and nobody else.  Method: a hello of it, of an older one, of another
 * instance; what the replica makes of it.
 */
START_TEST(pace_told)
{
	struct mbj_stream_result result;
	struct stream_message m;
	struct mbj_id instance;
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	replica_pause(&lab);
	instance = mbj_store_identity(lab.f.replica)->instance;
	for (uint16_t version = 2; version <= 3; version++) {
		enum stream_kind kind = answered(&lab, instance, version, &m);

		ck_assert_int_eq(replica_hear(lab.f.replica,
					      mbj_buf_view(&lab.answers),
					      &result, &why),
				 MBJ_EBUSY);
		ck_assert(result.is_lost && !result.is_met);
		ck_assert_ptr_nonnull(strstr(why.message, "has paused"));
		if (version < 3) {
			ck_assert_int_eq(kind, STREAM_FAULT);
			ck_assert_uint_eq(result.paused_ms, 0);
			continue;
		}
		ck_assert_int_eq(kind, STREAM_PAUSED);
		ck_assert_uint_eq(result.paused_ms, m.paused_ms);
		ck_assert_uint_le(m.paused_ms, HOUR_MS);
	}
	instance.b[0] ^= 1;
	ck_assert_int_eq(answered(&lab, instance, 3, &m), STREAM_WELCOME);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a pause ends a connection that is there, also one whose replica waits,
 * in good order.  Method: a fetch that would wait for a minute.
 */
START_TEST(pace_ends_connection)
{
	struct stream_message m;
	struct stream_link link;
	struct sender sender;
	enum stream_kind kind;
	struct mbj_error why;
	pthread_t thread;
	struct pair pair;
	struct lab lab;

	lab_begin(&lab);
	pair_open(&pair);
	sender = (struct sender){.dir = lab.f.primary_dir, .fd = pair.far};
	ck_assert_int_eq(pthread_create(&thread, NULL, sender_run, &sender), 0);
	OK(stream_link_begin(&link, pair.near, pair.near, -1, 60000,
			     STREAM_SOURCE, err));
	m = (struct stream_message){
		.version_lowest = 1,
		.version_highest = STREAM_VERSION,
		.instance = mbj_store_identity(lab.f.replica)->instance};
	OK(stream_link_send(&link, STREAM_HELLO, &m, err));
	OK(stream_link_receive(&link, 0, &kind, &m, err));
	ck_assert_int_eq(kind, STREAM_WELCOME);
	m = (struct stream_message){.from = {GROUPS + 1},
				    .bytes_max = 1,
				    .wait_ms = STREAM_WAIT_MAX};
	OK(stream_link_send(&link, STREAM_FETCH, &m, err));
	replica_pause(&lab);
	ck_assert_int_eq(stream_link_receive(&link, 0, &kind, &m, &why),
			 MBJ_EIO);
	ck_assert(link.is_ended);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(sender.rc, MBJ_OK);
	stream_link_done(&link);
	pair_close(&pair);
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------------------------ rates */

/*
 * Goal: over any time no more goes than the rate, what is saved up in a tenth
 * of a second, and a frame; and all of it, where there is enough to send.
 * Method: an hour of virtual time, in frames of all sizes.
 */
START_TEST(rate_bucket)
{
	static const uint64_t rates[] = {1024, 1000000, 1u << 30};
	uint64_t rate = rates[_i];
	struct stream_rate r;
	struct test_rng rng;
	uint64_t sent = 0;
	int64_t busy_ms = 0;
	int64_t now = 5;

	test_rng_seed(&rng);
	stream_rate_init(&r, now);
	stream_rate_lower(&r, rate, now);
	while (busy_ms < HOUR_MS) {
		size_t n = 1 + test_rng_below(&rng, STREAM_FRAME_MAX);
		int64_t wait = stream_rate_wait(&r, now);

		ck_assert_int_ge(wait, 0);
		if (wait > 1)
			/* Not a moment before. */
			ck_assert_int_gt(stream_rate_wait(&r, now + wait - 1),
					 0);
		now += wait;
		busy_ms += wait;
		ck_assert_int_eq(stream_rate_wait(&r, now), 0);
		ck_assert_uint_le(sent,
				  rate * (uint64_t)(busy_ms + 200) / 1000 +
					  STREAM_FRAME_MAX);
		ck_assert_uint_ge(sent + rate / 500 + STREAM_FRAME_MAX,
				  rate * (uint64_t)busy_ms / 1000);
		stream_rate_spend(&r, n);
		sent += n;
	}
	/* Years of silence are worth a tenth of a second. */
	now += INT64_C(100000000000);
	ck_assert_int_eq(stream_rate_wait(&r, now), 0);
	for (uint64_t left = rate / 10; left > 0;) {
		size_t n = left < 1000 ? (size_t)left : 1000;

		ck_assert_int_eq(stream_rate_wait(&r, now), 0);
		stream_rate_spend(&r, n);
		left -= n;
	}
	stream_rate_spend(&r, 1000);
	ck_assert_int_gt(stream_rate_wait(&r, now), 0);
}
END_TEST

/* Goal: the lesser of two rates counts; none is as fast as it goes. */
START_TEST(rate_lower)
{
	struct stream_rate r;

	stream_rate_init(&r, 0);
	stream_rate_spend(&r, STREAM_FRAME_MAX);
	ck_assert_int_eq(stream_rate_wait(&r, 0), 0);
	ck_assert_uint_eq(stream_rate_piece(&r, 65536), 65536);
	stream_rate_lower(&r, 0, 1);
	ck_assert_uint_eq(r.rate, 0);
	stream_rate_lower(&r, 2000, 1);
	stream_rate_lower(&r, 4000, 1);
	stream_rate_lower(&r, 0, 1);
	ck_assert_uint_eq(stream_rate_piece(&r, 65536), 500);
	stream_rate_spend(&r, 1000);
	ck_assert_int_eq(stream_rate_wait(&r, 1), 500);
	stream_rate_lower(&r, 1000, 251);
	ck_assert_int_eq(stream_rate_wait(&r, 251), 500);
	ck_assert_int_eq(stream_rate_wait(&r, 751), 0);
}
END_TEST

/*
 * Goal: what does not wait is never owed for long, however much it is; a frame
 * is owed as a whole.  Method: many that nobody held; a large one.
 */
START_TEST(rate_owed)
{
	struct stream_rate r;
	int64_t now = 1;

	stream_rate_init(&r, now);
	stream_rate_lower(&r, MBJ_STREAM_RATE_MIN, now);
	for (int i = 0; i < 100000; i++)
		stream_rate_spend(&r, 170);
	ck_assert_int_eq(stream_rate_wait(&r, now), 2000);
	now += 2000;
	ck_assert_int_eq(stream_rate_wait(&r, now), 0);
	for (int i = 0; i < 2; i++)
		stream_rate_spend(&r, 64 * MBJ_STREAM_RATE_MIN);
	ck_assert_int_eq(stream_rate_wait(&r, now), 64000);
}
END_TEST

/* What cannot be counted is as fast as it goes: nobody waits, or for ever. */
START_TEST(rate_huge)
{
	const uint64_t rates[] = {UINT64_MAX, INT64_MAX, UINT64_C(1) << 62,
				  UINT64_C(1) << 57, UINT64_C(1) << 41};
	int64_t now = 0;
	struct stream_rate r;

	stream_rate_init(&r, now);
	stream_rate_lower(&r, rates[_i], now);
	for (; now < 1000; now += 100) {
		ck_assert_int_eq(stream_rate_wait(&r, now), 0);
		stream_rate_spend(&r, STREAM_FRAME_MAX);
	}
	ck_assert_int_eq(stream_rate_wait(&r, INT64_MAX), 0);
	ck_assert_uint_eq(stream_rate_piece(&r, 65536), 65536);
}
END_TEST

/* A clock that goes ten seconds whenever somebody looks. */
static int64_t hasty_us(void *ctx)
{
	int64_t *now = ctx;

	return *now += 10000000;
}

/* A content at the source that takes its time, and its question. */
static void large_put(struct lab *lab, size_t size, struct mbj_buf *requests)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest;
	struct mbj_buf text;

	mbj_buf_init(&text, LARGE_SIZE);
	mbj_buf_put_zero(&text, size);
	OK(mbj_store_blobs(lab->f.primary, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_buf_view(&text), &digest, err));
	OK(mbj_blobs_sync(blobs, err));
	contents_put(requests, &digest, size);
	mbj_buf_done(&text);
}

/*
 * Goal: a replica that asks for it gets no more than that a second, in pieces
 * that come all the time.  Method: 3,000 bytes at 4,096 a second are three
 * pieces, and two of them are waited for.
 */
START_TEST(rate_asked)
{
	struct stream_message m = {.rate = LARGE_RATE};
	struct mbj_bytes rest;
	int64_t began;
	int pieces = 0;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_clear(&lab.requests);
	hello_put(&lab.requests, 1, STREAM_VERSION, 0);
	stream_encode(&lab.requests, STREAM_PACE, &m);
	large_put(&lab, 3000, &lab.requests);
	began = mbj_monotonic_ms();
	OK(source_ask(lab.f.primary_dir, &lab.requests, &lab.answers, err));
	ck_assert_int_ge(mbj_monotonic_ms() - began, 500);
	for (rest = mbj_buf_view(&lab.answers); rest.n > 0;) {
		struct stream_head head;

		OK(stream_head_decode(rest.p, STREAM_SOURCE, &head, err));
		ck_assert_uint_le(head.size, LARGE_RATE / 4);
		pieces += head.kind == STREAM_PIECE;
		rest.p += STREAM_HEAD_SIZE + head.size;
		rest.n -= STREAM_HEAD_SIZE + head.size;
	}
	ck_assert_int_eq(pieces, 3);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: that contents are lost is told no faster than they would come.  Method:
 * a question for as many as there may be, of which the source has none.
 */
START_TEST(rate_lost)
{
	enum { RATE = 65536, LOST = STREAM_CONTENTS_MAX };
	struct stream_message m = {.rate = RATE};
	struct stream_message asked = {.count = LOST};
	struct mbj_hash digest = {{0xd0}};
	struct mbj_buf contents;
	int64_t began;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_init(&contents, BYTES_MAX);
	for (int i = 0; i < LOST; i++) {
		digest.b[1] = (uint8_t)i;
		stream_content_put(&contents, &digest, 1);
	}
	asked.contents = mbj_buf_view(&contents);
	mbj_buf_clear(&lab.requests);
	hello_put(&lab.requests, 1, STREAM_VERSION, 0);
	stream_encode(&lab.requests, STREAM_PACE, &m);
	stream_encode(&lab.requests, STREAM_CONTENTS, &asked);
	began = mbj_monotonic_ms();
	OK(source_ask(lab.f.primary_dir, &lab.requests, &lab.answers, err));
	ck_assert_uint_gt(lab.answers.n, (size_t)LOST * STREAM_HEAD_SIZE);
	ck_assert_uint_le(lab.answers.n,
			  (size_t)(mbj_monotonic_ms() - began + 100) * RATE /
					  1000 +
				  2 * STREAM_SMALL_MAX);
	mbj_buf_done(&contents);
	lab_end(&lab);
}
END_TEST

/* Says that something is wrong at that look. */
struct looker {
	int looks;
	int fails_at;
};

static enum mbj_rc looker_look(void *ctx, struct mbj_error *err)
{
	struct looker *looker = ctx;

	if (++looker->looks < looker->fails_at)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EBUSY, "looked at");
}

/*
 * Goal: who waits for the rate looks around, before and meanwhile, and sees
 * that the peer is gone.  Method: a frame that is owed for a minute, one that
 * does not wait, and behind them one of each kind that does.
 */
START_TEST(rate_looks)
{
	static const struct {
		enum stream_kind kind;
		int fails_at;
	} cases[] = {{STREAM_PIECE, 2}, {STREAM_GROUPS, 2}, {STREAM_HERE, 2},
		     {STREAM_LOST, 2},	{STREAM_OFFER, 2},  {STREAM_PIECE, 3},
		     {STREAM_PIECE, 0}};
	enum { OWED = 64 * MBJ_STREAM_RATE_MIN };
	static uint8_t bytes[OWED];
	struct stream_message m = {.data = mbj_bytes_make(bytes, OWED),
				   .error = {.rc = MBJ_ENOTFOUND}};
	struct looker looker = {0, cases[_i].fails_at};
	bool is_gone = looker.fails_at == 0;
	struct stream_link link;
	struct mbj_error why;
	struct pair pair;
	enum mbj_rc rc;

	pair_open(&pair);
	OK(stream_link_begin(&link, pair.near, pair.near, -1, 60000,
			     STREAM_REPLICA, err));
	stream_link_pace(&link, MBJ_STREAM_RATE_MIN);
	stream_link_look(&link, is_gone ? NULL : looker_look, &looker);
	OK(stream_link_send(&link, STREAM_PIECE, &m, err));
	OK(stream_link_send(&link, STREAM_END, &m, err));
	if (is_gone)
		(void)shutdown(pair.far, SHUT_RDWR);
	m.data.n = 1;
	rc = stream_link_send(&link, cases[_i].kind, &m, &why);
	ck_assert_int_eq(rc, is_gone ? MBJ_EIO : MBJ_EBUSY);
	ck_assert_int_eq(looker.looks, looker.fails_at);
	ck_assert(link.is_ended == is_gone && link.is_lost == is_gone);
	stream_link_done(&link);
	pair_close(&pair);
}
END_TEST

/*
 * Goal: a replica that takes what is sent is heard, however long one answer
 * lasts.  Method: a content of sixteen pieces after the only fetch; time goes
 * ten seconds with each look at it.
 */
START_TEST(rate_heard)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct stream_message hello = {.version_lowest = 1,
				       .version_highest = STREAM_VERSION};
	struct mbj_replica_note *notes = NULL;
	struct mbj_sys sys = *mbj_sys_posix();
	int64_t began = 1000000000;
	int64_t now = began;
	size_t count = 0;
	struct pair pair;
	struct lab lab;

	lab_begin(&lab);
	pair_open(&pair);
	sys.now_us = hasty_us;
	sys.ctx = &now;
	hello.instance = mbj_store_identity(lab.f.replica)->instance;
	mbj_buf_clear(&lab.requests);
	stream_encode(&lab.requests, STREAM_HELLO, &hello);
	fetch_put(&lab.requests, 1, 1);
	large_put(&lab, LARGE_SIZE / 2, &lab.requests);
	ck_assert_int_eq(send(pair.far, lab.requests.p, lab.requests.n, 0),
			 (ssize_t)lab.requests.n);
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.sys = &sys;
	options.is_registering = true;
	OK(mbj_stream_send(lab.f.primary_dir, &options, err));
	OK(mbj_replica_notes_load(NULL, lab.f.primary_dir, &notes, &count, NULL,
				  err));
	ck_assert_uint_eq(count, 1);
	ck_assert_int_ge(notes[0].heard_us, began + 8 * INT64_C(10000000));
	ck_assert(!notes[0].is_connected);
	mbj_free(notes);
	pair_close(&pair);
	lab_end(&lab);
}
END_TEST

static void *slow_run(void *context)
{
	struct mbj_stream_options *options = context;
	enum mbj_rc rc;

	rc = mbj_stream_send((const char *)options->name, options, NULL);
	(void)shutdown(options->in_fd, SHUT_RDWR);
	return rc == MBJ_OK ? context : NULL;
}

/*
 * Goal: a source that waits for its rate hears that it is to stop, and that its
 * replica is paused.  Method: a content that would take a quarter of an hour.
 */
START_TEST(rate_interrupted)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct stream_message hello = {.version_lowest = 1,
				       .version_highest = STREAM_VERSION};
	uint8_t bytes[4096];
	void *done = NULL;
	pthread_t thread;
	struct pair stop;
	struct pair pair;
	ssize_t n = 0;
	struct lab lab;

	lab_begin(&lab);
	pair_open(&pair);
	pair_open(&stop);
	hello.instance = mbj_store_identity(lab.f.replica)->instance;
	mbj_buf_clear(&lab.requests);
	stream_encode(&lab.requests, STREAM_HELLO, &hello);
	large_put(&lab, LARGE_SIZE, &lab.requests);
	ck_assert_int_eq(send(pair.far, lab.requests.p, lab.requests.n, 0),
			 (ssize_t)lab.requests.n);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.stop_fd = stop.near;
	options.rate = MBJ_STREAM_RATE_MIN;
	options.name = lab.f.primary_dir;
	ck_assert_int_eq(pthread_create(&thread, NULL, slow_run, &options), 0);
	/* It is at it. */
	while (n < 300) {
		ssize_t got = read(pair.far, bytes, sizeof(bytes));

		ck_assert_int_gt(got, 0);
		n += got;
	}
	if (_i == 0)
		ck_assert_int_eq(send(stop.far, "x", 1, 0), 1);
	else
		replica_pause(&lab);
	ck_assert_int_eq(pthread_join(thread, &done), 0);
	ck_assert_ptr_nonnull(done);
	pair_close(&stop);
	pair_close(&pair);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a replica follows at a rate, and says so where the source is too old
 * for one.  Method: a live source; a welcome of version 2.
 */
START_TEST(rate_followed)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct stream_message m = {.version = STREAM_VERSION_PACE - 1,
				   .end = {GROUPS}};
	struct mbj_stream_result result;
	struct mbj_error why;
	struct sender sender;
	pthread_t thread;
	struct pair pair;
	struct lab lab;

	lab_begin(&lab);
	options.is_once = true;
	options.rate = 1 << 20;
	pair_open(&pair);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	m.identity = *mbj_store_identity(lab.f.primary);
	mbj_buf_clear(&lab.answers);
	stream_encode(&lab.answers, STREAM_WELCOME, &m);
	ck_assert_int_eq(send(pair.far, lab.answers.p, lab.answers.n, 0),
			 (ssize_t)lab.answers.n);
	ck_assert_int_eq(mbj_stream_follow(lab.f.replica, &options, &result,
					   &why),
			 MBJ_EUNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(why.message, "which has no rate"));
	ck_assert(!result.is_lost);
	pair_close(&pair);
	pair_open(&pair);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	sender = (struct sender){.dir = lab.f.primary_dir, .fd = pair.far};
	ck_assert_int_eq(pthread_create(&thread, NULL, sender_run, &sender), 0);
	OK(mbj_stream_follow(lab.f.replica, &options, &result, err));
	(void)shutdown(pair.near, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(sender.rc, MBJ_OK);
	pair_close(&pair);
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

TCase *test_pace_case(void)
{
	TCase *tcase = tcase_create("pace");

	tcase_add_test(tcase, pace_told);
	tcase_add_test(tcase, pace_ends_connection);
	tcase_add_loop_test(tcase, rate_bucket, 0, 3);
	tcase_add_test(tcase, rate_lower);
	tcase_add_loop_test(tcase, rate_huge, 0, 5);
	tcase_add_test(tcase, rate_owed);
	tcase_add_test(tcase, rate_lost);
	tcase_add_loop_test(tcase, rate_looks, 0, 7);
	tcase_add_test(tcase, rate_asked);
	tcase_add_test(tcase, rate_heard);
	tcase_add_loop_test(tcase, rate_interrupted, 0, 2);
	tcase_add_test(tcase, rate_followed);
	return tcase;
}
