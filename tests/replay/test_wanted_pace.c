/*
 * When contents are asked for again that the source did not have: the pace by
 * itself, and a replica that keeps it.  How they are asked for is in
 * test_wanted.c.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include <mbj/blob.h>

#include "clock_hold.h"
#include "stream_lab.h"
#include "stream_link.h"
#include "wanted_pace.h"

enum { BEGIN_MS = 1000000, MINUTE_MS = WANTED_MOST_MS };

/* ---------------------------------------------------------- the pace alone */

/*
 * Goal: what is lost is asked for soon, then less and less often, and from the
 * beginning where the number of them is another one.  Method: one that does
 * not come; one of two that does; a third; none.
 */
START_TEST(pace_doubles)
{
	struct wanted_pace p = {.gap_ms = 0};
	int64_t now = BEGIN_MS;

	ck_assert_int_eq(wanted_pace_wait(&p, now), 0);
	for (int64_t gap = WANTED_FIRST_MS; gap < MINUTE_MS; gap *= 2) {
		wanted_pace_asked(&p, 1, now);
		ck_assert_int_eq(wanted_pace_wait(&p, now), gap);
		ck_assert_int_eq(wanted_pace_wait(&p, now + gap - 1), 1);
		now += gap;
		ck_assert_int_eq(wanted_pace_wait(&p, now), 0);
		ck_assert_int_eq(wanted_pace_wait(&p, now + 1), 0);
	}
	for (int i = 0; i < 2; i++) {
		wanted_pace_asked(&p, 1, now);
		ck_assert_int_eq(wanted_pace_wait(&p, now), MINUTE_MS);
		now += MINUTE_MS;
	}
	wanted_pace_asked(&p, 2, now);
	ck_assert_int_eq(wanted_pace_wait(&p, now), WANTED_FIRST_MS);
	wanted_pace_asked(&p, 2, now);
	ck_assert_int_eq(wanted_pace_wait(&p, now), WANTED_FIRST_MS * 2);
	wanted_pace_asked(&p, 1, now);
	ck_assert_int_eq(wanted_pace_wait(&p, now), WANTED_FIRST_MS);
	wanted_pace_asked(&p, 0, now);
	ck_assert_int_eq(wanted_pace_wait(&p, now), MINUTE_MS);
}
END_TEST

/*
 * Goal: a content that is missed is asked for soon, whatever the pace of others
 * is, and those that are missed behind it do not put that off.  Method: one
 * after a minute of nothing, with others all the time.
 */
START_TEST(pace_missed)
{
	struct wanted_pace p = {.gap_ms = 0};
	int64_t now = BEGIN_MS;

	wanted_pace_asked(&p, 0, now);
	now += MINUTE_MS / 2;
	wanted_pace_missed(&p, 0, now);
	ck_assert_int_eq(wanted_pace_wait(&p, now), MINUTE_MS / 2);
	wanted_pace_missed(&p, 1, now);
	for (int64_t passed = 0; passed < WANTED_FIRST_MS; passed += 50) {
		wanted_pace_missed(&p, 1, now + passed);
		ck_assert_int_eq(wanted_pace_wait(&p, now + passed),
				 WANTED_FIRST_MS - passed);
	}
	now += WANTED_FIRST_MS;
	wanted_pace_asked(&p, 6, now);
	ck_assert_int_eq(wanted_pace_wait(&p, now), WANTED_FIRST_MS * 2);
}
END_TEST

/*
 * Goal: however often some come and others are missed, what is asked for in
 * vain is no more in a minute than once all that is lost, and SHARE_MAX.
 * Method: an hour in which something is missed at each moment, with one that is
 * lost to very many.
 */
START_TEST(pace_bounded)
{
	static const uint64_t losses[] = {1,	3,    50,      500,
					  1023, 1024, 1000000, UINT64_MAX / 2};
	uint64_t lost = losses[_i];
	struct wanted_pace p = {.gap_ms = 0};
	int64_t end = BEGIN_MS + 60 * MINUTE_MS;
	double questions = 0;

	for (int64_t now = BEGIN_MS; now < end; now += 20) {
		if (wanted_pace_wait(&p, now) == 0) {
			wanted_pace_asked(&p, lost, now);
			questions++;
		}
		wanted_pace_missed(&p, 1, now);
	}
	ck_assert_double_le(questions * (double)lost,
			    60 * ((double)lost + WANTED_SHARE_MAX) +
				    (double)lost);
	ck_assert_double_ge(questions, 60);
}
END_TEST

/* ---------------------------------------------------------------- a replica */

/* A source that is the test, and a replica in a thread. */
struct talk {
	struct lab lab;
	struct pair pair;
	struct stream_link link;
	pthread_t thread;
	int64_t now;
	struct mbj_stream_result result;
	enum mbj_rc rc;
};

static void *replica_run(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct talk *talk = context;

	options.in_fd = talk->pair.near;
	options.out_fd = talk->pair.near;
	options.wait_ms = STREAM_WAIT_MAX;
	talk->rc = mbj_stream_follow(talk->lab.f.replica, &options,
				     &talk->result, NULL);
	return NULL;
}

static void wait_for(struct talk *talk, int64_t ms)
{
	talk->now += ms;
	clock_hold(talk->now);
}

static void bytes_say(struct talk *talk, struct mbj_bytes bytes)
{
	ck_assert_int_eq(send(talk->pair.far, bytes.p, bytes.n, MSG_NOSIGNAL),
			 (ssize_t)bytes.n);
}

/* The question has to be of this kind. */
static struct stream_message heard(struct talk *talk, enum stream_kind expected)
{
	struct stream_message m;
	enum stream_kind kind;

	OK(stream_link_receive(&talk->link, 0, &kind, &m, err));
	ck_assert_str_eq(stream_kind_word(kind), stream_kind_word(expected));
	return m;
}

static void say(struct talk *talk, enum stream_kind kind,
		const struct stream_message *m)
{
	OK(stream_link_send(&talk->link, kind, m, err));
}

static void lost_say(struct talk *talk)
{
	struct stream_message m = {.count = 0};

	ck_assert_uint_eq(heard(talk, STREAM_CONTENTS).count, 1);
	(void)mbj_error_set(&m.error, MBJ_ENOTFOUND, "it is not here yet");
	say(talk, STREAM_LOST, &m);
}

/* The replica would wait so long, and after that there is nothing new. */
static void nothing_say(struct talk *talk, int64_t wait_ms, int64_t passed)
{
	struct stream_message m = {.end = {GROUPS}};

	ck_assert_int_eq(heard(talk, STREAM_FETCH).wait_ms, wait_ms);
	wait_for(talk, passed);
	say(talk, STREAM_END, &m);
}

/* All that the source in the directory has from a group on. */
static void groups_say(struct talk *talk, uint64_t from, bool has_welcome)
{
	struct lab *lab = &talk->lab;
	struct mbj_bytes answers;
	struct stream_head head;

	mbj_buf_clear(&lab->requests);
	hello_put(&lab->requests, 1, STREAM_VERSION, 0);
	fetch_put(&lab->requests, from, 1 << 20);
	OK(source_ask(lab->f.primary_dir, &lab->requests, &lab->answers, err));
	answers = mbj_buf_view(&lab->answers);
	OK(stream_head_decode(answers.p, STREAM_SOURCE, &head, err));
	if (!has_welcome) {
		answers.p += STREAM_HEAD_SIZE + head.size;
		answers.n -= STREAM_HEAD_SIZE + head.size;
	}
	bytes_say(talk, answers);
}

/* All groups are there, and the content of one is not. */
static void talk_begin(struct talk *talk)
{
	memset(talk, 0, sizeof(*talk));
	lab_begin(&talk->lab);
	pair_open(&talk->pair);
	groups_say(talk, 1, true);
	wait_for(talk, BEGIN_MS);
	OK(stream_link_begin(&talk->link, talk->pair.far, talk->pair.far, -1,
			     MINUTE_MS, STREAM_REPLICA, err));
	ck_assert_int_eq(pthread_create(&talk->thread, NULL, replica_run, talk),
			 0);
	(void)heard(talk, STREAM_HELLO);
	ck_assert_uint_eq(heard(talk, STREAM_FETCH).from.v, 1);
	/* For its group, and as what is wanted. */
	lost_say(talk);
	lost_say(talk);
}

static void talk_end(struct talk *talk)
{
	stream_link_done(&talk->link);
	ck_assert_int_eq(shutdown(talk->pair.far, SHUT_RDWR), 0);
	ck_assert_int_eq(pthread_join(talk->thread, NULL), 0);
	ck_assert_int_eq(talk->rc, MBJ_EIO);
	clock_release();
	pair_close(&talk->pair);
	lab_end(&talk->lab);
}

static void other_append(struct lab *lab)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1),
					.size = 5};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;

	OK(mbj_store_blobs(lab->f.primary, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_bytes_str("other"), &step.blob, err));
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("alice");
	edit.messages = &step;
	edit.message_count = 1;
	OK(mbj_store_submit(lab->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

/*
 * Goal: a replica asks again for what its source had not yet, soon and then
 * less and less often, lets the source be silent no longer than until then, and
 * begins anew with what another group misses.  Method: a clock that stands
 * still but for what the source takes to answer; the content comes at last,
 * and another group.
 */
START_TEST(pace_kept)
{
	struct stream_message piece = {.data = mbj_bytes_str(LAB_TEXT)};
	struct mbj_blobs *blobs = NULL;
	struct talk talk;

	talk_begin(&talk);
	for (int64_t gap = WANTED_FIRST_MS; gap < MINUTE_MS; gap *= 2) {
		nothing_say(&talk, gap, gap - 1);
		nothing_say(&talk, 1, 1);
		lost_say(&talk);
	}
	nothing_say(&talk, MINUTE_MS, MINUTE_MS);
	(void)heard(&talk, STREAM_CONTENTS);
	say(&talk, STREAM_PIECE, &piece);
	say(&talk, STREAM_HERE, &piece);
	nothing_say(&talk, MINUTE_MS, MINUTE_MS - 500);
	nothing_say(&talk, 500, 500);
	/* Nothing is wanted, and so nothing is asked for. */
	ck_assert_int_eq(heard(&talk, STREAM_FETCH).wait_ms, MINUTE_MS);
	OK(mbj_store_blobs(talk.lab.f.replica, &blobs, err));
	OK(mbj_blob_verify(blobs, &talk.lab.blob, LAB_TEXT_SIZE, err));
	other_append(&talk.lab);
	groups_say(&talk, GROUPS + 1, false);
	lost_say(&talk);
	ck_assert_int_eq(heard(&talk, STREAM_FETCH).wait_ms, WANTED_FIRST_MS);
	talk_end(&talk);
	ck_assert_uint_eq(talk.result.replay.applied.v, GROUPS + 1);
}
END_TEST

TCase *test_wanted_pace_case(void)
{
	TCase *tcase = tcase_create("wanted_pace");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, pace_doubles);
	tcase_add_test(tcase, pace_missed);
	tcase_add_loop_test(tcase, pace_bounded, 0, 8);
	tcase_add_test(tcase, pace_kept);
	return tcase;
}
