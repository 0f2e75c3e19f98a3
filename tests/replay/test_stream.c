/*
 * Both ends of a stream, in one thread (stream_lab.h).  Two processes and a
 * live stream are in tests/cli/test_stream.py.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "stream_lab.h"

/* Goal: a replica gets groups and contents.  Method: all of them, at once. */
START_TEST(stream_whole)
{
	struct mbj_stream_result result;
	struct lab lab;

	lab_begin(&lab);
	OK(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers), &result,
			err));
	ck_assert_uint_eq(result.replay.groups, GROUPS);
	ck_assert_uint_eq(result.replay.applied.v, GROUPS);
	ck_assert_uint_eq(result.replay.source_end.v, GROUPS);
	ck_assert_uint_eq(result.replay.blobs_missing, 0);
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: wherever a connection ends, what came whole is kept and the next one
 * brings the rest.  Method: cut at every byte (a run takes those of one rest
 * modulo STRIDE, from a seed), go on.
 */
enum { STRIDE = 23 };

START_TEST(stream_cut)
{
	struct mbj_stream_result result;
	struct mbj_error why;
	struct test_rng rng;
	struct mbj_buf whole;
	struct lab lab;

	test_rng_seed(&rng);
	lab_begin(&lab);
	mbj_buf_init(&whole, BYTES_MAX);
	mbj_buf_put_bytes(&whole, mbj_buf_view(&lab.answers));
	for (size_t n = test_rng_below(&rng, STRIDE); n < whole.n;
	     n += STRIDE) {
		enum mbj_rc rc;

		replica_renew(&lab, (int)n);
		rc = replica_hear(lab.f.replica, mbj_bytes_make(whole.p, n),
				  &result, &why);
		ck_assert_int_eq(rc, MBJ_EIO);
		ck_assert(result.is_lost && !result.is_stopped);
		replica_resume(&lab);
	}
	mbj_buf_done(&whole);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: what is damaged on the way is never journaled, and the next connection
 * brings it.  Method: a bit of one byte, places as above; in the journal there
 * is what the primary has.
 */
START_TEST(stream_flipped)
{
	struct mbj_stream_result result;
	struct mbj_error why;
	struct test_rng rng;
	struct mbj_buf whole;
	struct lab lab;

	test_rng_seed(&rng);
	lab_begin(&lab);
	mbj_buf_init(&whole, BYTES_MAX);
	mbj_buf_put_bytes(&whole, mbj_buf_view(&lab.answers));
	for (size_t n = test_rng_below(&rng, STRIDE); n < whole.n;
	     n += STRIDE) {
		uint8_t bit = (uint8_t)(1 << test_rng_below(&rng, 8));

		replica_renew(&lab, (int)n);
		whole.p[n] ^= bit;
		ck_assert_int_eq(replica_hear(lab.f.replica,
					      mbj_buf_view(&whole), &result,
					      &why),
				 n < whole.n ? why.rc : MBJ_OK);
		ck_assert(why.rc == MBJ_ECORRUPT || why.rc == MBJ_EIO);
		ck_assert(result.is_lost);
		whole.p[n] ^= bit;
		replica_resume(&lab);
	}
	mbj_buf_done(&whole);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: memory that is not to be had loses nothing.  Method: each allocation
 * (every seventh) of a whole replay fails, as ENOMEM, or as EIO where a state
 * cannot follow its journal; afterwards it goes on.
 */
START_TEST(stream_no_memory)
{
	struct mbj_stream_result result;
	struct mbj_error why;
	struct mbj_buf whole;
	struct lab lab;
	uint64_t step = 7;

	lab_begin(&lab);
	mbj_buf_init(&whole, BYTES_MAX);
	mbj_buf_put_bytes(&whole, mbj_buf_view(&lab.answers));
	for (uint64_t k = 1;; k += step) {
		enum mbj_rc rc;

		replica_renew(&lab, (int)k);
		test_alloc_fail_at(k);
		rc = replica_hear(lab.f.replica, mbj_buf_view(&whole), &result,
				  &why);
		if (test_alloc_count() < k)
			break;
		test_alloc_fail_at(0);
		if (rc < 0)
			ck_assert_msg(rc == MBJ_ENOMEM || rc == MBJ_EIO,
				      "%s: %s", mbj_rc_name(rc), why.message);
		mbj_store_close(&lab.f.replica);
		OK(mbj_replica_open(lab.f.replica_dir, lab.f.options,
				    &lab.f.replica, err));
		replica_resume(&lab);
	}
	test_alloc_fail_at(0);
	replica_check(&lab);
	mbj_buf_done(&whole);
	lab_end(&lab);
}
END_TEST

/* ----------------------------------------------------------- who may not */

/*
 * Goal: what mbj_replay_journal refuses is refused of a stream.  Method: a
 * welcome of another store, of an older epoch, of the same epoch under another
 * owner, of one that ends before the replica, of another history there, of a
 * source that has nothing yet, of one that was trimmed past the replica.
 */
START_TEST(stream_fenced)
{
	struct mbj_stream_result result;
	struct mbj_watermark applied;
	struct stream_message m;
	struct mbj_error why;
	struct mbj_buf answer;
	struct lab lab;

	lab_begin(&lab);
	OK(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers), &result,
			err));
	OK(mbj_store_applied(lab.f.replica, &applied, err));
	m = (struct stream_message){
		.version = STREAM_VERSION,
		.identity = *mbj_store_identity(lab.f.primary),
		.end = {GROUPS},
		.has_chain = true,
		.chain = applied.chain,
	};
	if (_i == 0)
		m.identity.lineage.b[3] ^= 1;
	else if (_i == 2)
		m.identity.epoch_owner.b[3] ^= 1;
	else if (_i == 3)
		m.has_chain = false, m.end.v--;
	else if (_i == 4)
		m.chain.b[7] ^= 1;
	else if (_i == 5)
		m.identity.lineage = MBJ_ID_ROOT;
	else if (_i == 6)
		m.identity.anchor.first.v = GROUPS + 2;
	mbj_buf_init(&answer, BYTES_MAX);
	if (_i == 1) {
		/* It has met a later reign. */
		m.identity.epoch.v++;
		stream_encode(&answer, STREAM_WELCOME, &m);
		OK(replica_hear(lab.f.replica, mbj_buf_view(&answer), &result,
				err));
		mbj_buf_clear(&answer);
		m.identity.epoch.v--;
	}
	stream_encode(&answer, STREAM_WELCOME, &m);
	if (_i == 7) {
		OK(replica_hear(lab.f.replica, mbj_buf_view(&answer), &result,
				err));
	} else {
		ck_assert_int_eq(replica_hear(lab.f.replica,
					      mbj_buf_view(&answer), &result,
					      &why),
				 _i == 5 ? MBJ_EBUSY : MBJ_EFENCED);
		/* One that has nothing yet will have something. */
		ck_assert(result.is_lost == (_i == 5) && !result.is_met);
	}
	mbj_buf_done(&answer);
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: another protocol is said to be one, on both sides.  Method: a hello of
 * later versions, a welcome of another one, something that is no hello, and no
 * mbj at all.
 */
START_TEST(stream_other_protocol)
{
	struct stream_message m = {.version = STREAM_VERSION + 1};
	struct mbj_stream_result result;
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_clear(&lab.requests);
	hello_put(&lab.requests, STREAM_VERSION + 1, STREAM_VERSION + 2, 0);
	ck_assert_int_eq(source_ask(lab.f.primary_dir, &lab.requests,
				    &lab.answers, &why),
			 MBJ_EUNSUPPORTED);
	/* The replica says what it was told. */
	ck_assert_int_eq(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers),
				      &result, &why),
			 MBJ_EUNSUPPORTED);
	ck_assert(!result.is_lost);
	m.identity = *mbj_store_identity(lab.f.primary);
	mbj_buf_clear(&lab.answers);
	stream_encode(&lab.answers, STREAM_WELCOME, &m);
	ck_assert_int_eq(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers),
				      &result, &why),
			 MBJ_EUNSUPPORTED);
	mbj_buf_clear(&lab.requests);
	fetch_put(&lab.requests, 1, 1);
	ck_assert_int_eq(source_ask(lab.f.primary_dir, &lab.requests,
				    &lab.answers, &why),
			 MBJ_EINVALID);
	mbj_buf_clear(&lab.requests);
	mbj_buf_put_str(&lab.requests, "EHLO example.org\r\n\r\n");
	ck_assert_int_eq(source_ask(lab.f.primary_dir, &lab.requests,
				    &lab.answers, &why),
			 MBJ_ECORRUPT);
	ck_assert_uint_eq(lab.answers.n, 0);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a peer that says nothing is left.  Method: nobody at the other end,
 * with time-outs of milliseconds.
 */
START_TEST(stream_silent)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct mbj_error why;
	struct pair pair;
	struct lab lab;

	lab_begin(&lab);
	pair_open(&pair);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.timeout_ms = 20;
	ck_assert_int_eq(mbj_stream_follow(lab.f.replica, &options, &result,
					   &why),
			 MBJ_EIO);
	ck_assert(result.is_lost);
	ck_assert_int_eq(mbj_stream_send(lab.f.primary_dir, &options, &why),
			 MBJ_EIO);
	/* Told to stop, it does so at once and in good order. */
	options.timeout_ms = 60000;
	options.stop_fd = pair.far;
	ck_assert_int_eq(send(pair.near, "x", 1, 0), 1);
	OK(mbj_stream_follow(lab.f.replica, &options, &result, err));
	ck_assert(result.is_stopped);
	OK(mbj_stream_send(lab.f.primary_dir, &options, err));
	pair_close(&pair);
	lab_end(&lab);
}
END_TEST

/* -------------------------------------------------------------- the source */

/*
 * Goal: what cannot be had of the source is said and is no end.  Method:
 * groups that it has not, in windows of one; a content that is not there, is of
 * another size, is damaged; after each the whole content.
 */
START_TEST(stream_lacking)
{
	struct mbj_hash none = {{7}};
	struct mbj_buf requests;
	struct mbj_bytes rest;
	struct lab lab;
	static const enum stream_kind expected[] = {
		STREAM_WELCOME, STREAM_FAULT, STREAM_GROUPS, STREAM_END,
		STREAM_GROUPS,	STREAM_END,   STREAM_END,    STREAM_LOST,
		STREAM_LOST,	STREAM_PIECE, STREAM_HERE};

	lab_begin(&lab);
	mbj_buf_init(&requests, BYTES_MAX);
	hello_put(&requests, 1, 1, 0);
	fetch_put(&requests, GROUPS + 2, 1);
	fetch_put(&requests, 1, 1);
	fetch_put(&requests, 2, 1);
	fetch_put(&requests, GROUPS + 1, 1);
	contents_put(&requests, &none, 1);
	contents_put(&requests, &lab.blob, LAB_TEXT_SIZE + 1);
	contents_put(&requests, &lab.blob, LAB_TEXT_SIZE);
	OK(source_ask(lab.f.primary_dir, &requests, &lab.answers, err));
	rest = mbj_buf_view(&lab.answers);
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++) {
		struct stream_message m = {.count = 0};
		struct stream_head head;

		ck_assert_uint_ge(rest.n, STREAM_HEAD_SIZE);
		OK(stream_head_decode(rest.p, STREAM_SOURCE, &head, err));
		ck_assert_int_eq(head.kind, expected[i]);
		OK(stream_body_decode(&head,
				      mbj_bytes_make(rest.p + STREAM_HEAD_SIZE,
						     head.size),
				      &m, err));
		if (head.kind == STREAM_END)
			ck_assert_uint_eq(m.count, i < 6);
		rest.p += STREAM_HEAD_SIZE + head.size;
		rest.n -= STREAM_HEAD_SIZE + head.size;
	}
	ck_assert_uint_eq(rest.n, 0);
	mbj_buf_done(&requests);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a content that the source has lost is counted, costs no group, and is
 * asked for again.  Method: a "lost" for it; then its bytes under another
 * digest; then its own.
 */
START_TEST(stream_content_lost)
{
	struct mbj_stream_result result;
	struct mbj_buf answers;
	struct lab lab;
	size_t head;

	lab_begin(&lab);
	/* Piece (head and text) and "here" are its last two frames. */
	head = lab.answers.n - 2 * STREAM_HEAD_SIZE - (LAB_TEXT_SIZE);
	mbj_buf_init(&answers, BYTES_MAX);
	mbj_buf_put(&answers, lab.answers.p, head);
	for (int i = 0; i < 2; i++) {
		struct stream_message m = {
			.data = mbj_bytes_make("Subject: y\r\n\r\n",
					       LAB_TEXT_SIZE)};

		(void)mbj_error_set(&m.error, MBJ_ENOTFOUND, "not there");
		if (_i == 0) {
			stream_encode(&answers, STREAM_LOST, &m);
			continue;
		}
		stream_encode(&answers, STREAM_PIECE, &m);
		stream_encode(&answers, STREAM_HERE, &m);
	}
	OK(replica_hear(lab.f.replica, mbj_buf_view(&answers), &result, err));
	ck_assert_uint_eq(result.replay.groups, GROUPS);
	ck_assert_uint_eq(result.replay.blobs_missing, 1);
	ck_assert_int_eq(result.replay.blobs_why.rc,
			 _i == 0 ? MBJ_ENOTFOUND : MBJ_ECORRUPT);
	mbj_buf_done(&answers);
	replica_resume(&lab);
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------------------------- live */

/*
 * Goal: a group larger than a frame comes through, and a replica feeds others.
 * Method: an edit of 20,000 names, to a replica, and from it to a second one.
 */
START_TEST(stream_large_and_chained)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct lab lab;

	lab_begin(&lab);
	large_import(&lab);
	options.is_once = true;
	for (int i = 0; i < 2; i++) {
		char before[MBJ_PATH_TEXT_MAX];
		struct sender sender = {.dir = lab.f.primary_dir};
		pthread_t thread;
		struct pair pair;

		memcpy(before, lab.f.replica_dir, sizeof(before));
		if (i == 1) {
			sender.dir = before;
			replica_renew(&lab, 1);
		}
		pair_open(&pair);
		sender.fd = pair.far;
		options.in_fd = pair.near;
		options.out_fd = pair.near;
		ck_assert_int_eq(pthread_create(&thread, NULL, sender_run,
						&sender),
				 0);
		OK(mbj_stream_follow(lab.f.replica, &options, &result, err));
		(void)shutdown(pair.near, SHUT_RDWR);
		ck_assert_int_eq(pthread_join(thread, NULL), 0);
		ck_assert_int_eq(sender.rc, MBJ_OK);
		pair_close(&pair);
		ck_assert_uint_eq(result.replay.groups, GROUPS + 1);
		replica_check(&lab);
	}
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a replica that hangs up within a question broke the connection, however
 * long that question is.  Method: one whose body is as long as a head.
 */
START_TEST(stream_hung_up_within)
{
	struct stream_message m = {.snapshot = {1}};
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_clear(&lab.requests);
	hello_put(&lab.requests, 1, 1, 0);
	stream_encode(&lab.requests, STREAM_SNAPSHOT, &m);
	lab.requests.n -= STREAM_HEAD_SIZE;
	ck_assert_int_eq(source_ask(lab.f.primary_dir, &lab.requests,
				    &lab.answers, &why),
			 MBJ_EIO);
	lab_end(&lab);
}
END_TEST

TCase *test_stream_case(void)
{
	TCase *tcase = tcase_create("stream");

	tcase_add_test(tcase, stream_whole);
	tcase_add_test(tcase, stream_cut);
	tcase_add_test(tcase, stream_flipped);
	tcase_add_test(tcase, stream_no_memory);
	tcase_add_loop_test(tcase, stream_fenced, 0, 8);
	tcase_add_test(tcase, stream_other_protocol);
	tcase_add_test(tcase, stream_silent);
	tcase_add_test(tcase, stream_lacking);
	tcase_add_loop_test(tcase, stream_content_lost, 0, 2);
	tcase_add_test(tcase, stream_hung_up_within);
	tcase_add_test(tcase, stream_large_and_chained);
	return tcase;
}
