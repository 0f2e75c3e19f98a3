/*
 * Contents that a replica wants, through a stream: how they are asked for. What
 * the source says is in the order of the questions that it is to be asked:
 * another order ends the connection otherwise.  Time stands still, so that
 * nothing is asked for once more; when it is: test_wanted_pace.c.
 */
#define _GNU_SOURCE /* F_SETPIPE_SZ */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "clock_hold.h"
#include "stream_lab.h"
#include "stream_link.h"

enum { MANY = 1100, PART = 1024, TOGETHER = 256, LAST = 2 };

struct many {
	struct fixture f;
	struct mbj_store_options options;
	struct mbj_hash wanted[MANY]; /* in the order of digests */
	uint64_t sizes[MANY];
	unsigned count;
	struct mbj_buf requests;
	struct mbj_buf answers;
};

static void many_append(struct many *m, unsigned count)
{
	static struct mbj_message_edit steps[MANY];
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;
	char text[16];

	OK(mbj_store_blobs(m->f.primary, &blobs, err));
	m->count = count;
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(text, sizeof(text), "number %04u", i);
		steps[i] = (struct mbj_message_edit){.kind = MBJ_MESSAGE_APPEND,
						     .mailbox = fixture_id(1),
						     .size = strlen(text)};
		OK(mbj_blob_put(blobs, mbj_bytes_str(text), &steps[i].blob,
				err));
		m->wanted[i] = steps[i].blob;
		m->sizes[i] = steps[i].size;
	}
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("alice");
	edit.messages = steps;
	edit.message_count = count;
	OK(mbj_store_submit(m->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

static void blobs_move(const struct many *m, const char *from, const char *to)
{
	char a[MBJ_PATH_TEXT_MAX];
	char b[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(a, m->f.primary_dir, from, err));
	OK(mbj_path_join(b, m->f.primary_dir, to, err));
	ck_assert_int_eq(rename(a, b), 0);
}

static void wanted_list(struct many *m)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	struct mbj_hash blob;
	uint64_t count, size;

	m->count = 0;
	OK(mbj_store_read(m->f.replica, &txn, err));
	OK(mbj_scan_blobs(txn, true, &scan, err));
	while (mbj_scan_next_blob(&scan, &blob, &count, &size, NULL) ==
	       MBJ_OK) {
		ck_assert_uint_lt(m->count, MANY);
		m->wanted[m->count] = blob;
		m->sizes[m->count++] = size;
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
}

/* A source that has lost the contents, and a replica that has nothing. */
static void many_put(struct many *m, unsigned count)
{
	memset(m, 0, sizeof(*m));
	clock_hold(1);
	m->options = MBJ_STORE_OPTIONS_INIT;
	m->options.state.engine = MBJ_STATE_MEMORY;
	mbj_buf_init(&m->requests, BYTES_MAX);
	mbj_buf_init(&m->answers, BYTES_MAX);
	fixture_begin_with(&m->f, &m->options);
	fixture_import(&m->f, "alice", 2);
	many_append(m, count);
	blobs_move(m, "blobs", "aside");
}

/* A replica that has the groups, and none of the contents. */
static void many_begin(struct many *m, unsigned count)
{
	many_put(m, count);
	ck_assert_uint_eq(fixture_replay(&m->f).blobs_missing, count);
	wanted_list(m);
	ck_assert_uint_eq(m->count, count);
	hello_put(&m->requests, 1, 2, LAST);
}

static void many_end(struct many *m)
{
	mbj_buf_done(&m->requests);
	mbj_buf_done(&m->answers);
	fixture_end(&m->f);
	clock_release();
}

/* One question for those from one place on. */
static void together_put(struct many *m, unsigned from, unsigned count)
{
	struct stream_message message = {.count = count};
	struct mbj_buf contents;

	mbj_buf_init(&contents, BYTES_MAX);
	for (unsigned i = from; i < from + count; i++)
		stream_content_put(&contents, &m->wanted[i], m->sizes[i]);
	message.contents = mbj_buf_view(&contents);
	stream_encode(&m->requests, STREAM_CONTENTS, &message);
	mbj_buf_done(&contents);
}

/* The replica asks in this order, and is left by the source then. */
static struct mbj_stream_result order_check(struct many *m)
{
	struct mbj_stream_result result;
	struct mbj_error why;

	OK(source_ask(m->f.primary_dir, &m->requests, &m->answers, err));
	ck_assert_int_eq(replica_stay(m->f.replica, mbj_buf_view(&m->answers),
				      &result, &why),
			 MBJ_EIO);
	ck_assert(result.is_lost);
	ck_assert_msg(strstr(why.message, "hung up") != NULL, "%s",
		      why.message);
	wanted_list(m);
	return result;
}

/*
 * Goal: groups come between the parts of what is wanted.  Method: more than a
 * part; a group that is there meanwhile.
 */
START_TEST(wanted_between)
{
	struct mbj_stream_result result;
	struct many m;

	many_begin(&m, MANY);
	blobs_move(&m, "aside", "blobs");
	for (unsigned at = 0; at < PART; at += TOGETHER)
		together_put(&m, at, TOGETHER);
	fetch_put(&m.requests, LAST + 1, 1 << 20);
	together_put(&m, PART, MANY - PART);
	fetch_put(&m.requests, LAST + 1, 1 << 20);
	result = order_check(&m);
	ck_assert_uint_eq(result.replay.blobs_missing, 0);
	ck_assert_uint_eq(m.count, 0);
	many_end(&m);
}
END_TEST

/*
 * Goal: what did not come when it was asked for with others is not asked for
 * once more, and is wanted still, with a reason.  Method: a source that has
 * lost all of it; as much as two questions, and one that finds out why.
 */
START_TEST(wanted_lost)
{
	enum { LOST = TOGETHER + 44 };
	struct mbj_stream_result result;
	struct many m;

	many_begin(&m, LOST);
	together_put(&m, 0, TOGETHER);
	together_put(&m, TOGETHER, LOST - TOGETHER);
	fetch_put(&m.requests, LAST + 1, 1 << 20);
	result = order_check(&m);
	ck_assert_uint_eq(result.replay.blobs_missing, LOST);
	ck_assert_ptr_nonnull(
		strstr(result.replay.blobs_why.message, "no blob"));
	ck_assert_uint_eq(m.count, LOST);
	many_end(&m);
}
END_TEST

/*
 * Goal: what is lost is asked for once as its group comes, and once as what is
 * wanted: the traffic is that of the contents, not of their square.  Method: a
 * group of more than a question, all of it lost.
 */
START_TEST(wanted_lost_in_group)
{
	enum { LOST = TOGETHER + 44 };
	struct mbj_stream_result result;
	struct many m;

	many_put(&m, LOST);
	hello_put(&m.requests, 1, 2, 0);
	fetch_put(&m.requests, 1, 1 << 20);
	for (int i = 0; i < 2; i++) {
		together_put(&m, 0, TOGETHER);
		together_put(&m, TOGETHER, LOST - TOGETHER);
	}
	fetch_put(&m.requests, LAST + 1, 1 << 20);
	result = order_check(&m);
	ck_assert_uint_eq(result.replay.applied.v, LAST);
	ck_assert_uint_eq(m.count, LOST);
	many_end(&m);
}
END_TEST

/*
 * Goal: with the connection gone nothing more is asked for, and what came is
 * not wanted any more.  Method: a source that leaves after the first question.
 */
START_TEST(wanted_left)
{
	struct mbj_stream_result result;
	struct mbj_error why;
	struct many m;

	many_begin(&m, MANY);
	blobs_move(&m, "aside", "blobs");
	together_put(&m, 0, TOGETHER);
	OK(source_ask(m.f.primary_dir, &m.requests, &m.answers, err));
	ck_assert_int_eq(replica_stay(m.f.replica, mbj_buf_view(&m.answers),
				      &result, &why),
			 MBJ_EIO);
	ck_assert(result.is_lost);
	wanted_list(&m);
	ck_assert_uint_eq(m.count, MANY - TOGETHER);
	ck_assert_uint_eq(result.replay.blobs_missing, PART - TOGETHER);
	many_end(&m);
}
END_TEST

/* What a source said to hello, or all behind that. */
static void answers_split_say(int fd, const struct mbj_buf *answers,
			      bool is_welcome)
{
	struct mbj_bytes rest = mbj_buf_view(answers);
	struct stream_head head;
	size_t n;

	OK(stream_head_decode(rest.p, STREAM_SOURCE, &head, err));
	n = STREAM_HEAD_SIZE + head.size;
	rest = is_welcome ? mbj_bytes_make(rest.p, n)
			  : mbj_bytes_make(rest.p + n, rest.n - n);
	ck_assert_int_eq(send(fd, rest.p, rest.n, MSG_NOSIGNAL),
			 (ssize_t)rest.n);
}

struct follower {
	struct mbj_store *replica;
	int fd;
	enum mbj_rc rc;
};

static void *follower_run(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct follower *follower = context;
	struct mbj_stream_result result;

	options.in_fd = follower->fd;
	options.out_fd = follower->fd;
	follower->rc =
		mbj_stream_follow(follower->replica, &options, &result, NULL);
	return NULL;
}

/* The next that it asks is this part of what is wanted. */
static void together_hear(struct stream_link *link, const struct many *m,
			  unsigned from)
{
	struct stream_message asked;
	struct mbj_hash digest;
	enum stream_kind kind;
	uint64_t size;

	OK(stream_link_receive(link, 0, &kind, &asked, err));
	ck_assert_int_eq(kind, STREAM_CONTENTS);
	ck_assert_uint_eq(asked.count, TOGETHER);
	for (unsigned i = 0; i < TOGETHER; i++) {
		stream_content_get(&asked, i, &digest, &size);
		ck_assert_mem_eq(digest.b, m->wanted[from + i].b,
				 MBJ_HASH_SIZE);
	}
}

/*
 * Goal: however long the line is, it is not idle: while the answers to one
 * question are on their way, the next question is, too.  Method: a source that
 * hears two before it answers the first, and leaves after that.
 */
START_TEST(wanted_ahead)
{
	struct follower follower;
	struct stream_link link;
	struct stream_message hello;
	enum stream_kind kind;
	pthread_t thread;
	struct pair pair;
	struct many m;

	many_begin(&m, MANY);
	blobs_move(&m, "aside", "blobs");
	together_put(&m, 0, TOGETHER);
	OK(source_ask(m.f.primary_dir, &m.requests, &m.answers, err));
	pair_open(&pair);
	OK(stream_link_begin(&link, pair.far, pair.far, -1, 60000,
			     STREAM_REPLICA, err));
	follower = (struct follower){.replica = m.f.replica, .fd = pair.near};
	ck_assert_int_eq(pthread_create(&thread, NULL, follower_run, &follower),
			 0);
	OK(stream_link_receive(&link, 0, &kind, &hello, err));
	ck_assert_int_eq(kind, STREAM_HELLO);
	answers_split_say(pair.far, &m.answers, true);
	together_hear(&link, &m, 0);
	together_hear(&link, &m, TOGETHER);
	answers_split_say(pair.far, &m.answers, false);
	together_hear(&link, &m, 2 * TOGETHER);
	stream_link_done(&link);
	ck_assert_int_eq(shutdown(pair.far, SHUT_RDWR), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(follower.rc, MBJ_EIO);
	wanted_list(&m);
	ck_assert_uint_eq(m.count, MANY - TOGETHER);
	pair_close(&pair);
	many_end(&m);
}
END_TEST

struct source {
	const char *dir;
	int in, out;
	enum mbj_rc rc;
};

static void *source_run(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct source *source = context;

	options.in_fd = source->in;
	options.out_fd = source->out;
	source->rc = mbj_stream_send(source->dir, &options, NULL);
	return NULL;
}

/*
 * Goal: where no two questions have room, neither side waits for the other one
 * to read.  Method: pipes of a page between both, where answers are more.
 */
START_TEST(wanted_narrow)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct source source;
	pthread_t thread;
	int up[2], down[2];
	struct many m;

	many_begin(&m, MANY);
	blobs_move(&m, "aside", "blobs");
	ck_assert_int_eq(pipe(up), 0);
	ck_assert_int_eq(pipe(down), 0);
	ck_assert_int_ge(fcntl(up[1], F_SETPIPE_SZ, 4096), 0);
	ck_assert_int_ge(fcntl(down[1], F_SETPIPE_SZ, 4096), 0);
	source = (struct source){.dir = m.f.primary_dir,
				 .in = up[0],
				 .out = down[1]};
	ck_assert_int_eq(pthread_create(&thread, NULL, source_run, &source), 0);
	options.in_fd = down[0];
	options.out_fd = up[1];
	options.is_once = true;
	OK(mbj_stream_follow(m.f.replica, &options, &result, err));
	ck_assert_uint_eq(result.replay.blobs_missing, 0);
	ck_assert_int_eq(close(up[1]), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(source.rc, MBJ_OK);
	ck_assert_int_eq(close(up[0]), 0);
	ck_assert_int_eq(close(down[0]), 0);
	ck_assert_int_eq(close(down[1]), 0);
	many_end(&m);
}
END_TEST

TCase *test_wanted_case(void)
{
	TCase *tcase = tcase_create("wanted");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, wanted_between);
	tcase_add_test(tcase, wanted_lost);
	tcase_add_test(tcase, wanted_lost_in_group);
	tcase_add_test(tcase, wanted_left);
	tcase_add_test(tcase, wanted_ahead);
	tcase_add_test(tcase, wanted_narrow);
	return tcase;
}
