/*
 * Streams that are paused.  What a pause's file holds is in
 * tests/journal/test_replicas.c, services of both sides in
 * tests/cli/test_pause.py.
 */
#include <pthread.h>
#include <sys/socket.h>

#include <mbj/replicas.h>

#include "stream_lab.h"
#include "stream_link.h"

enum { HOUR_MS = 3600000 };

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

TCase *test_pace_case(void)
{
	TCase *tcase = tcase_create("pace");

	tcase_add_test(tcase, pace_told);
	tcase_add_test(tcase, pace_ends_connection);
	return tcase;
}
