/*
 * A new replica through a stream, from a source whose journal does not reach
 * back to group 1.  Both ends run, with somebody between them who cuts and
 * bends; what a hostile source says is made by hand.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mbj/trim.h>

#include "mend_lab.h"

enum { SEEDED = 3, ALL = GROUPS + 1 };

/* ------------------------------------------------------------ the source */

/*
 * A store that begins behind a snapshot of the first SEEDED groups, and the one
 * message; path is its directory.
 */
static void source_make(struct lab *lab, char path[MBJ_PATH_TEXT_MAX])
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_snapshot_result snapshot;
	struct mbj_store *store = NULL;
	struct mbj_lsn lsn;

	OK(mbj_path_join(path, lab->f.tmpdir, "source", err));
	OK(mbj_store_snapshot(lab->f.primary, &snapshot, err));
	OK(mbj_replica_init(path, lab->f.primary_dir, lab->f.options, &lsn,
			    err));
	fixture_rename(&lab->f, "alice", "b", "c");
	OK(mbj_replica_open(path, lab->f.options, &store, err));
	OK(mbj_replay_journal(store, lab->f.primary_dir, &usual, &result, err));
	ck_assert_uint_eq(result.source_end.v, result.applied.v);
	ck_assert_uint_eq(result.blobs_missing, 0);
	mbj_store_close(&store);
}

#define snapshot_of(dir, lsn, path) \
	OK(mbj_snapshot_path(path, dir, (struct mbj_lsn){lsn}, err))

/* It has all that there is, and began behind a snapshot. */
static void seeded_check(struct lab *lab, const struct meeting *meeting)
{
	const struct mbj_identity *id = mbj_store_identity(lab->f.replica);

	ck_assert_msg(meeting->why.rc == MBJ_OK || !meeting->result.is_lost,
		      "%s", meeting->why.message);
	ck_assert_uint_eq(meeting->result.replay.applied.v, ALL);
	ck_assert_uint_eq(meeting->result.replay.blobs_missing, 0);
	ck_assert_uint_gt(id->anchor.first.v, 1);
	ck_assert_uint_eq(part_size(&lab->f, GROUPS), 0);
	replica_check(lab);
}

static void replica_is_new(struct lab *lab)
{
	struct fixture *f = &lab->f;

	ck_assert(mbj_id_is_root(mbj_store_identity(f->replica)->lineage));
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, f->options, &f->replica, err));
	ck_assert(mbj_id_is_root(mbj_store_identity(f->replica)->lineage));
}

/* ------------------------------------------------------------------ tests */

/*
 * Goal: a new replica is filled from the source's snapshot, and goes on from
 * there.  Method: once; opened again it is the same.
 */
START_TEST(seed_whole)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	seeded_check(&lab, &meeting);
	ck_assert_uint_eq(meeting.result.replay.groups, 1);
	mbj_store_close(&lab.f.replica);
	OK(mbj_replica_open(lab.f.replica_dir, lab.f.options, &lab.f.replica,
			    err));
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: wherever the connection ends or its bytes are bent, the next one goes
 * on, with what came of the snapshot.  Method: each place, in strides from a
 * seed; bytes that are here are not sent again.
 */
enum { STRIDE = 61 };

START_TEST(seed_cut)
{
	char source[MBJ_PATH_TEXT_MAX];
	bool is_bent = _i == 1;
	struct meeting meeting;
	struct test_rng rng;
	uint64_t resumed = 0;
	struct lab lab;
	size_t whole;

	test_rng_seed(&rng);
	lab_begin(&lab);
	source_make(&lab, source);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	whole = meeting.said;
	for (size_t n = test_rng_below(&rng, STRIDE); n < whole; n += STRIDE) {
		enum mbj_rc rc;
		uint64_t here;

		replica_renew(&lab, (int)n);
		rc = meet(&lab, source, is_bent ? ENOUGH : n,
			  is_bent ? n : ENOUGH, &meeting);
		/* Contents come last, and are wanted where they broke off. */
		ck_assert_msg(rc < 0 ? meeting.result.is_lost
				     : meeting.result.replay.blobs_missing == 1,
			      "%zu: %s", n, meeting.why.message);
		here = part_size(&lab.f, GROUPS);
		resumed += here > 0;
		ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting),
				 MBJ_OK);
		ck_assert_uint_le(meeting.said + here, whole);
		seeded_check(&lab, &meeting);
	}
	ck_assert_uint_gt(resumed, 0);
	lab_end(&lab);
}
END_TEST

/* Messages of different contents in alice's INBOX, as one group. */
enum { MANY = 300, MANY_LOST = 140 };

static void many_append(struct lab *lab, struct mbj_hash *ret_lost)
{
	static struct mbj_message_edit steps[MANY];
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;
	char text[16];

	OK(mbj_store_blobs(lab->f.primary, &blobs, err));
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "number %03d", i);
		steps[i] = (struct mbj_message_edit){.kind = MBJ_MESSAGE_APPEND,
						     .mailbox = fixture_id(1),
						     .size = strlen(text)};
		OK(mbj_blob_put(blobs, mbj_bytes_str(text), &steps[i].blob,
				err));
	}
	*ret_lost = steps[MANY_LOST].blob;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("alice");
	edit.messages = steps;
	edit.message_count = MANY;
	OK(mbj_store_submit(lab->f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

static unsigned wanted_count(struct mbj_store *store)
{
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	struct mbj_hash blob;
	uint64_t count, size;
	unsigned wanted = 0;

	OK(mbj_store_read(store, &txn, err));
	OK(mbj_scan_blobs(txn, true, &scan, err));
	while (mbj_scan_next_blob(&scan, &blob, &count, &size, NULL) == MBJ_OK)
		wanted++;
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return wanted;
}

static void blob_at(const char *dir, const struct mbj_hash *blob,
		    char path[MBJ_PATH_TEXT_MAX])
{
	char text[MBJ_BLOB_TEXT_SIZE];
	char name[MBJ_BLOB_TEXT_SIZE + 16];

	mbj_blob_print(blob, text);
	(void)snprintf(name, sizeof(name), "blobs/%.2s/%s", text, text + 2);
	OK(mbj_path_join(path, dir, name, err));
}

/*
 * Goal: of many contents that are wanted, those that come are wanted no longer
 * at once, and one that the source has lost is named, and asked for again.
 * Method: more than are asked for together, one taken away; then put back.
 */
START_TEST(seed_contents)
{
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	char aside[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct mbj_hash lost;
	struct lab lab;

	lab_begin(&lab);
	many_append(&lab, &lost);
	source_make(&lab, source);
	blob_at(source, &lost, path);
	OK(mbj_path_join(aside, lab.f.tmpdir, "aside", err));
	ck_assert_int_eq(rename(path, aside), 0);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	ck_assert_uint_eq(meeting.result.replay.blobs_missing, 1);
	ck_assert_ptr_nonnull(
		strstr(meeting.result.replay.blobs_why.message, "no blob"));
	ck_assert_uint_eq(wanted_count(lab.f.replica), 1);
	ck_assert_int_eq(rename(aside, path), 0);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	ck_assert_uint_eq(meeting.result.replay.blobs_missing, 0);
	ck_assert_uint_eq(wanted_count(lab.f.replica), 0);
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a snapshot that is bad where it is costs an older one, and without one
 * nothing is taken.  Method: two, a byte flipped in the middle of the newer
 * one, then of both; then none at all.
 */
START_TEST(seed_damaged)
{
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot_result snapshot;
	struct mbj_store *store = NULL;
	struct meeting meeting;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	OK(mbj_replica_open(source, lab.f.options, &store, err));
	OK(mbj_store_snapshot(store, &snapshot, err));
	ck_assert_uint_eq(snapshot.info.watermark.lsn.v, ALL);
	mbj_store_close(&store);
	snapshot_of(source, ALL, path);
	bit_turn(path, 400);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	seeded_check(&lab, &meeting);
	ck_assert_uint_eq(mbj_store_identity(lab.f.replica)->anchor.first.v,
			  GROUPS + 1);
	replica_renew(&lab, 1);
	snapshot_of(source, GROUPS, path);
	bit_turn(path, 400);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(meeting.why.message, "no snapshot that"));
	replica_is_new(&lab);
	ck_assert_int_eq(unlink(path), 0);
	snapshot_of(source, ALL, path);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_EIO);
	ck_assert_ptr_nonnull(strstr(meeting.why.message, "mbj snapshot"));
	ck_assert(meeting.result.is_lost);
	replica_is_new(&lab);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a snapshot with an account that is set aside is not taken, since what
 * is made of it would never heal.  Method: one that no source makes, newer than
 * a good one.
 */
START_TEST(seed_aside)
{
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot_info info;
	struct mbj_store *store = NULL;
	struct mbj_batch *batch = NULL;
	struct mbj_txn *txn = NULL;
	struct meeting meeting;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	OK(mbj_replica_open(source, lab.f.options, &store, err));
	OK(mbj_batch_begin(store, &batch, err));
	OK(mbj_txn_parked_set(
		mbj_batch_txn(batch),
		&(struct mbj_parked){.account = fixture_account(lab.f.primary,
								"alice"),
				     .first = {2},
				     .last = {3},
				     .count = 2,
				     .reason = mbj_bytes_str("no reason")},
		err));
	mbj_batch_touch(batch);
	OK(mbj_batch_commit(&batch, err));
	OK(mbj_store_read(store, &txn, err));
	OK(mbj_path_join(path, source, "snapshots", err));
	OK(mbj_snapshot_write(mbj_sys_posix(), path, txn, NULL, &info, err));
	ck_assert_uint_eq(info.watermark.lsn.v, ALL);
	mbj_txn_abort(&txn);
	mbj_store_close(&store);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	seeded_check(&lab, &meeting);
	ck_assert_uint_eq(mbj_store_identity(lab.f.replica)->anchor.first.v,
			  GROUPS + 1);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: what was left of a snapshot that is not what it was is given up.
 * Method: garbage under the name of the one that is offered, shorter and longer
 * than it; and of ones that the source has not, newer and older than what it
 * has.
 */
START_TEST(seed_leftover)
{
	static const struct {
		uint64_t lsn;
		long size;
	} left[] = {{GROUPS, 500},
		    {GROUPS, 1 << 20},
		    {GROUPS + 7, 500},
		    {SEEDED, 500}};
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct lab lab;
	char name[64];
	FILE *file;

	lab_begin(&lab);
	source_make(&lab, source);
	OK(mbj_path_join(path, lab.f.replica_dir, "snapshots", err));
	OK(mbj_dir_make(mbj_sys_posix(), path, err));
	(void)snprintf(name, sizeof(name), "snapshots/%016llx.snap.part",
		       (unsigned long long)left[_i].lsn);
	OK(mbj_path_join(path, lab.f.replica_dir, name, err));
	file = fopen(path, "wb");
	ck_assert_ptr_nonnull(file);
	for (long i = 0; i < left[_i].size; i++)
		ck_assert_int_eq(fputc('x', file), 'x');
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting), MBJ_OK);
	seeded_check(&lab, &meeting);
	ck_assert_uint_eq(part_size(&lab.f, left[_i].lsn), 0);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: an answer that cannot be ends the connection, fills nothing and costs
 * no more than was offered.  Method: each by hand, behind a good welcome.
 */
struct answer {
	enum stream_kind kind;
	uint64_t lsn;
	uint64_t size; /* of the snapshot, or bytes of a piece */
};

static const struct {
	struct answer answers[3];
	enum mbj_rc rc;
	const char *says;
} hostile[] = {
	{{{STREAM_HERE, 0, 0}}, MBJ_ECORRUPT, "no offer"},
	{{{STREAM_OFFER, 0, 9}}, MBJ_ECORRUPT, "another snapshot"},
	{{{STREAM_OFFER, SEEDED, 9}}, MBJ_ECORRUPT, "another snapshot"},
	{{{STREAM_OFFER, UINT64_MAX, 9}}, MBJ_ECORRUPT, "another snapshot"},
	{{{STREAM_OFFER, GROUPS, 0}}, MBJ_ECORRUPT, "another snapshot"},
	{{{STREAM_OFFER, GROUPS, UINT64_MAX}}, MBJ_ENOSPC, "kept free"},
	{{{STREAM_OFFER, GROUPS, 9}, {STREAM_PIECE, 0, 10}},
	 MBJ_ECORRUPT,
	 "more of a snapshot"},
	{{{STREAM_OFFER, GROUPS, 9}, {STREAM_PIECE, 0, 8}, {STREAM_HERE, 0, 0}},
	 MBJ_ECORRUPT,
	 "something else"},
	{{{STREAM_OFFER, GROUPS, 9}, {STREAM_END, 0, 0}},
	 MBJ_ECORRUPT,
	 "something else"},
	{{{STREAM_OFFER, GROUPS, 9}, {STREAM_LOST, 0, 0}}, MBJ_EIO, "gone"},
	{{{STREAM_OFFER, GROUPS, 9}, {STREAM_PIECE, 0, 9}, {STREAM_HERE, 0, 0}},
	 MBJ_ECORRUPT,
	 "no snapshot that"},
	{{{STREAM_FAULT, 0, 0}}, MBJ_EIO, "gone"},
};

START_TEST(seed_hostile)
{
	struct stream_message m = {.version = 1, .end = {ALL}};
	char source[MBJ_PATH_TEXT_MAX];
	uint8_t bytes[16] = {0};
	struct mbj_stream_result result;
	struct mbj_buf answers;
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	OK(mbj_identity_load(mbj_sys_posix(), source, &m.identity, err));
	mbj_buf_init(&answers, BYTES_MAX);
	stream_encode(&answers, STREAM_WELCOME, &m);
	(void)mbj_error_set(&m.error, MBJ_EIO, "gone");
	for (size_t i = 0; i < 3 && hostile[_i].answers[i].kind != 0; i++) {
		const struct answer *answer = &hostile[_i].answers[i];

		m.snapshot.v = answer->lsn;
		m.size = answer->size;
		m.data = mbj_bytes_make(bytes, (size_t)answer->size & 15);
		stream_encode(&answers, answer->kind, &m);
	}
	ck_assert_int_eq(replica_hear(lab.f.replica, mbj_buf_view(&answers),
				      &result, &why),
			 hostile[_i].rc);
	ck_assert_msg(strstr(why.message, hostile[_i].says) != NULL, "%s",
		      why.message);
	replica_is_new(&lab);
	mbj_buf_done(&answers);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a snapshot whose chain value the source's journal has not is not taken.
 * Method: a good one, and a welcome that says another value, or none.
 */
START_TEST(seed_forked)
{
	struct stream_message m = {.version = 1, .end = {ALL}};
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_stream_result result;
	struct mbj_buf answers;
	struct mbj_buf bytes;
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	snapshot_of(source, GROUPS, path);
	mbj_buf_init(&answers, BYTES_MAX);
	mbj_buf_init(&bytes, BYTES_MAX);
	OK(mbj_file_load(mbj_sys_posix(), path, BYTES_MAX, &bytes, err));
	OK(mbj_identity_load(mbj_sys_posix(), source, &m.identity, err));
	stream_encode(&answers, STREAM_WELCOME, &m);
	m.snapshot.v = GROUPS;
	m.size = bytes.n;
	m.data = mbj_buf_view(&bytes);
	stream_encode(&answers, STREAM_OFFER, &m);
	stream_encode(&answers, STREAM_PIECE, &m);
	stream_encode(&answers, STREAM_HERE, &m);
	m.has_chain = _i == 1;
	m.chain.b[0] = 1;
	stream_encode(&answers, STREAM_WELCOME, &m);
	ck_assert_int_eq(replica_hear(lab.f.replica, mbj_buf_view(&answers),
				      &result, &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "two histories"));
	replica_is_new(&lab);
	mbj_buf_done(&bytes);
	mbj_buf_done(&answers);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: what the source is asked for out of order is an error of the connection
 * alone.  Method: a second hello with no snapshot before it, and behind a fetch
 * that followed one; contents between the two are no harm.
 */
START_TEST(seed_order)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct stream_message m = {.snapshot = {0}};
	struct mbj_buf requests;
	struct mbj_buf answers;
	struct mbj_error why;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	mbj_buf_init(&requests, BYTES_MAX);
	mbj_buf_init(&answers, BYTES_MAX);
	hello_put(&requests, 1, 1, 0);
	if (_i > 0) {
		stream_encode(&requests, STREAM_SNAPSHOT, &m);
		hello_put(&requests, 1, 1, GROUPS);
	}
	if (_i > 1) {
		stream_encode(&requests, STREAM_SNAPSHOT, &m);
		fetch_put(&requests, GROUPS + 1, 1 << 20);
	}
	OK(source_ask(source, &requests, &answers, err));
	hello_put(&requests, 1, 1, GROUPS);
	ck_assert_int_eq(source_ask(source, &requests, &answers, &why),
			 MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(why.message, "hello twice"));
	mbj_buf_done(&requests);
	mbj_buf_done(&answers);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: memory that is not to be had leaves a replica that goes on.  Method:
 * each allocation of the replica's (every eleventh) fails once.
 */
START_TEST(seed_no_memory)
{
	char source[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct lab lab;

	lab_begin(&lab);
	source_make(&lab, source);
	for (uint64_t k = 1;; k += 11) {
		enum mbj_rc rc;

		replica_renew(&lab, (int)k);
		test_alloc_fail_at(k);
		rc = meet(&lab, source, ENOUGH, ENOUGH, &meeting);
		if (test_alloc_count() < k)
			break;
		test_alloc_fail_at(0);
		ck_assert_msg(rc == MBJ_OK || rc == MBJ_ENOMEM || rc == MBJ_EIO,
			      "%s", meeting.why.message);
		mbj_store_close(&lab.f.replica);
		OK(mbj_replica_open(lab.f.replica_dir, lab.f.options,
				    &lab.f.replica, err));
		ck_assert_int_eq(meet(&lab, source, ENOUGH, ENOUGH, &meeting),
				 MBJ_OK);
		seeded_check(&lab, &meeting);
	}
	test_alloc_fail_at(0);
	lab_end(&lab);
}
END_TEST

TCase *test_seed_case(void)
{
	TCase *tc = tcase_create("seed");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, seed_whole);
	tcase_add_loop_test(tc, seed_cut, 0, 2);
	tcase_add_test(tc, seed_contents);
	tcase_add_test(tc, seed_damaged);
	tcase_add_test(tc, seed_aside);
	tcase_add_loop_test(tc, seed_leftover, 0, 4);
	tcase_add_loop_test(tc, seed_hostile, 0,
			    (int)(sizeof(hostile) / sizeof(hostile[0])));
	tcase_add_loop_test(tc, seed_forked, 0, 2);
	tcase_add_loop_test(tc, seed_order, 0, 3);
	tcase_add_test(tc, seed_no_memory);
	return tc;
}
