/*
 * Contents that a replica wants, through a stream: how they are asked for. What
 * the source says is in the order of the questions that it is to be asked:
 * another order ends the connection otherwise.  Time stands still, so that
 * nothing is asked for once more; when it is: test_wanted_pace.c.
 */
#include <stdio.h>
#include <string.h>

#include <mbj/blob.h>

#include "clock_hold.h"
#include "stream_lab.h"

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
 * Goal: with the connection gone nothing more is asked for, or looked for.
 * Method: a source that leaves after the first question.
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

TCase *test_wanted_case(void)
{
	TCase *tcase = tcase_create("wanted");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, wanted_between);
	tcase_add_test(tcase, wanted_lost);
	tcase_add_test(tcase, wanted_lost_in_group);
	tcase_add_test(tcase, wanted_left);
	return tcase;
}
