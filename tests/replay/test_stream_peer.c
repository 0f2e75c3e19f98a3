/*
 * A stream whose other end is not what one would wish: a source that is
 * hostile, or not well.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "source_stream.h"
#include "stream_lab.h"

/*
 * Goal: a source that says what no superblock can keep is not believed, by a
 * replica that would adopt it or has a lineage.  Method: a welcome without an
 * epoch, with a reserved owner of it, with a reserved instance.
 */
START_TEST(peer_impossible)
{
	struct mbj_stream_result result;
	struct stream_message m = {.version = STREAM_VERSION, .end = {GROUPS}};
	struct mbj_error why;
	struct mbj_buf answer;
	struct lab lab;

	lab_begin(&lab);
	m.identity = *mbj_store_identity(lab.f.primary);
	if (_i == 0)
		m.identity.epoch.v = 0;
	else if (_i == 1)
		m.identity.epoch_owner = MBJ_ID_ROOT;
	else
		m.identity.instance = MBJ_ID_ROOT;
	mbj_buf_init(&answer, BYTES_MAX);
	stream_encode(&answer, STREAM_WELCOME, &m);
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(replica_hear(lab.f.replica,
					      mbj_buf_view(&answer), &result,
					      &why),
				 MBJ_ECORRUPT);
		ck_assert(result.is_lost && !result.is_met);
		if (again == 0)
			OK(replica_hear(lab.f.replica,
					mbj_buf_view(&lab.answers), &result,
					err));
	}
	mbj_buf_done(&answer);
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: what the source says is wrong with it is never taken for its end, and
 * another connection is worth it unless it is damage.  Method: each such fault
 * behind the first window, once; behind all groups, live, twice: the first is
 * what is told.
 */
START_TEST(peer_fault)
{
	static const enum mbj_rc codes[] = {MBJ_ENOTFOUND, MBJ_EIO, MBJ_ENOMEM,
					    MBJ_EBUSY, MBJ_ECORRUPT};
	bool is_once = _i % 2;
	enum mbj_rc code = codes[_i / 2];
	uint64_t groups = is_once ? 1 : GROUPS;
	struct stream_message m = {.count = 0};
	struct mbj_stream_result result;
	struct mbj_error why;
	struct lab lab;
	enum mbj_rc rc;

	lab_begin(&lab);
	mbj_buf_clear(&lab.requests);
	hello_put(&lab.requests, 1, 1, 0);
	fetch_put(&lab.requests, 1, is_once ? 1 : 1 << 20);
	if (!is_once)
		contents_put(&lab.requests, &lab.blob, LAB_TEXT_SIZE);
	OK(source_ask(lab.f.primary_dir, &lab.requests, &lab.answers, err));
	(void)mbj_error_set(&m.error, code, "a segment is what it is");
	stream_encode(&lab.answers, STREAM_FAULT, &m);
	stream_encode(&lab.answers, STREAM_FAULT, &m);
	rc = (is_once ? replica_hear : replica_stay)(lab.f.replica,
						     mbj_buf_view(&lab.answers),
						     &result, &why);
	ck_assert_int_eq(rc, code == MBJ_ENOTFOUND ? MBJ_EIO : code);
	ck_assert_int_eq(why.rc, rc);
	ck_assert_str_eq(why.message, "a segment is what it is");
	ck_assert_int_eq(result.is_lost, code != MBJ_ECORRUPT);
	ck_assert(result.is_met);
	ck_assert_uint_eq(result.replay.groups, groups);
	ck_assert_uint_eq(result.replay.applied.v, groups);
	replica_resume(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a source that has nothing is not asked again at once, whatever it says
 * of its end.  Method: a window of one group and three empty ones, with an end
 * that is far away; live, that waits once more and hears the end.
 */
START_TEST(peer_far_end)
{
	struct stream_message m = {.end = {UINT64_MAX - 1}};
	struct mbj_stream_result result;
	struct mbj_buf answers;
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_clear(&lab.requests);
	hello_put(&lab.requests, 1, 1, 0);
	fetch_put(&lab.requests, 1, 1);
	OK(source_ask(lab.f.primary_dir, &lab.requests, &lab.answers, err));
	mbj_buf_init(&answers, BYTES_MAX);
	mbj_buf_put_bytes(&answers, mbj_buf_view(&lab.answers));
	stream_encode(&answers, STREAM_END, &m);
	OK(replica_hear(lab.f.replica, mbj_buf_view(&answers), &result, err));
	ck_assert_uint_eq(result.replay.groups, 1);
	ck_assert_uint_eq(result.replay.source_end.v, m.end.v);
	ck_assert(result.is_met && !result.is_lost);
	replica_renew(&lab, 1);
	for (int i = 0; i < 2; i++)
		stream_encode(&answers, STREAM_END, &m);
	ck_assert_int_eq(replica_stay(lab.f.replica, mbj_buf_view(&answers),
				      &result, &why),
			 MBJ_EIO);
	ck_assert(result.is_met && result.is_lost);
	ck_assert_uint_eq(result.replay.groups, 1);
	mbj_buf_done(&answers);
	replica_resume(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: the memory of a large group is not kept.  Method: one behind others,
 * handed out; what the windows hold as more is waited for.
 */
START_TEST(peer_memory)
{
	enum { WINDOW_USUAL = 2 << 20 };
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct sender sender;
	struct source_stream s;
	struct mbj_group group;
	pthread_t thread;
	struct pair pair;
	struct lab lab;
	bool is_more = true;

	lab_begin(&lab);
	large_import(&lab);
	pair_open(&pair);
	sender = (struct sender){.dir = lab.f.primary_dir, .fd = pair.far};
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	ck_assert_int_eq(pthread_create(&thread, NULL, sender_run, &sender), 0);
	OK(source_stream_begin(&s, lab.f.replica, &options, err));
	OK(s.source.ops->seek(&s.source, (struct mbj_lsn){1}, err));
	for (uint64_t lsn = 1; lsn <= GROUPS + 1; lsn++) {
		OK(s.source.ops->next(&s.source, &group, err));
		ck_assert_uint_eq(group.header.lsn.v, lsn);
	}
	ck_assert_uint_gt(group.record.n, WINDOW_USUAL);
	ck_assert_int_eq(s.source.ops->next(&s.source, &group, NULL),
			 MBJ_ENOTFOUND);
	OK(source_stream_wait(&s, 0, &is_more, err));
	ck_assert(!is_more);
	ck_assert_uint_le(s.window.records.capacity, WINDOW_USUAL);
	ck_assert_uint_le(s.ahead.records.capacity, WINDOW_USUAL);
	source_stream_done(&s);
	(void)shutdown(pair.near, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pair_close(&pair);
	lab_end(&lab);
}
END_TEST

TCase *test_stream_peer_case(void)
{
	TCase *tcase = tcase_create("stream_peer");

	tcase_add_loop_test(tcase, peer_impossible, 0, 3);
	tcase_add_loop_test(tcase, peer_fault, 0, 10);
	tcase_add_test(tcase, peer_far_end);
	tcase_add_test(tcase, peer_memory);
	return tcase;
}
