/*
 * A stream whose other end is not what one would wish: a source that is
 * hostile, or not well, or changes while it is asked.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/applying.h>
#include <mbj/blob.h>
#include <mbj/codec.h>

#include "source_dir.h"
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

/* ------------------------------------------------------ what is waited for */

/* The first group that STORE/applying says is applied now. */
static uint64_t noted_get(const char *dir)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint8_t first[8];
	FILE *file;

	OK(mbj_path_join(path, dir, "applying", err));
	file = fopen(path, "r");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, 8, SEEK_SET), 0);
	ck_assert_uint_eq(fread(first, 1, sizeof(first), file), sizeof(first));
	ck_assert_int_eq(fclose(file), 0);
	return mbj_load_u64(first);
}

/* A source that looks at the note before it answers. */
struct noted {
	struct source_dir from;
	struct replay_source_ops ops;
	const struct replay_source_ops *real;
	const char *replica;
	unsigned asked;
};

static enum mbj_rc noted_content(struct replay_source *source,
				 struct mbj_blobs *to,
				 struct replay_content *content,
				 bool *ret_is_here, struct mbj_error *ret_why,
				 struct mbj_error *err)
{
	struct noted *noted = (struct noted *)source;

	ck_assert_uint_eq(noted_get(noted->replica), 0);
	noted->asked++;
	return noted->real->content(source, to, content, ret_is_here, ret_why,
				    err);
}

/*
 * Goal: what is being applied is over before contents are waited for.  Method:
 * a source that looks.
 */
START_TEST(peer_content_noted)
{
	const struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct noted noted = {.asked = 0};
	struct lab lab;

	lab_begin(&lab);
	source_dir_init(&noted.from, mbj_sys_posix(), lab.f.primary_dir);
	noted.real = noted.from.source.ops;
	noted.ops = *noted.real;
	noted.ops.content = noted_content;
	noted.from.source.ops = &noted.ops;
	noted.replica = lab.f.replica_dir;
	OK(replay_source_run(lab.f.replica, &noted.from.source, &options,
			     &result, err));
	ck_assert_uint_eq(noted.asked, 1);
	ck_assert_uint_eq(result.groups, GROUPS);
	source_dir_done(&noted.from);
	lab_end(&lab);
}
END_TEST

/* The same before groups are: whoever asks and whoever hears ends it. */
START_TEST(peer_groups_noted)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct sender sender;
	struct source_stream s;
	struct mbj_group group;
	pthread_t thread;
	struct pair pair;
	struct lab lab;

	lab_begin(&lab);
	pair_open(&pair);
	sender = (struct sender){.dir = lab.f.primary_dir, .fd = pair.far};
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	ck_assert_int_eq(pthread_create(&thread, NULL, sender_run, &sender), 0);
	OK(source_stream_begin(&s, lab.f.replica, &options, err));
	OK(s.source.ops->seek(&s.source, (struct mbj_lsn){1}, err));
	mbj_applying_begin(lab.f.replica, (struct mbj_lsn){1}, 100);
	ck_assert_uint_eq(noted_get(lab.f.replica_dir), 1);
	OK(s.source.ops->next(&s.source, &group, err));
	ck_assert_uint_eq(noted_get(lab.f.replica_dir), 0);
	/* This one is here already. */
	mbj_applying_begin(lab.f.replica, (struct mbj_lsn){1}, 100);
	OK(s.source.ops->next(&s.source, &group, err));
	ck_assert_uint_eq(noted_get(lab.f.replica_dir), 1);
	mbj_applying_end(lab.f.replica);
	source_stream_done(&s);
	(void)shutdown(pair.near, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pair_close(&pair);
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------- a source that is unlike */

/*
 * Goal: what a store without an owner lacks is no fault.  Method: its lock file
 * is removed, and its "published" damaged, which costs evidence only; all of it
 * comes, and then that there is no more.
 */
START_TEST(peer_unowned)
{
	char lock[MBJ_PATH_TEXT_MAX];
	char published[MBJ_PATH_TEXT_MAX];
	struct mbj_stream_result result;
	struct mbj_buf requests;
	struct lab lab;
	size_t whole;
	FILE *file;

	lab_begin(&lab);
	mbj_store_close(&lab.f.primary);
	OK(mbj_path_join(lock, lab.f.primary_dir, "lock", err));
	OK(mbj_path_join(published, lab.f.primary_dir, "journal/published",
			 err));
	if (_i == 0) {
		ck_assert_int_eq(unlink(lock), 0);
	} else {
		file = fopen(published, "r+");
		ck_assert_ptr_nonnull(file);
		ck_assert_int_eq(fseek(file, 9, SEEK_SET), 0);
		ck_assert_int_ne(fputc(0x5a, file), EOF);
		ck_assert_int_eq(fclose(file), 0);
	}
	whole = lab.answers.n;
	OK(source_ask(lab.f.primary_dir, &lab.requests, &lab.answers, err));
	ck_assert_uint_eq(lab.answers.n, whole);
	OK(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers), &result,
			err));
	ck_assert_uint_eq(result.replay.groups, GROUPS);
	ck_assert_uint_eq(result.replay.blobs_missing, 0);
	mbj_buf_init(&requests, BYTES_MAX);
	hello_put(&requests, 1, 1, GROUPS);
	fetch_put(&requests, GROUPS + 1, 1);
	OK(source_ask(lab.f.primary_dir, &requests, &lab.answers, err));
	/* An end as its last frame: of 20 bytes, which no fault has. */
	ck_assert_uint_gt(lab.answers.n, STREAM_HEAD_SIZE + 20);
	ck_assert_uint_eq(mbj_load_u16(lab.answers.p + lab.answers.n - 20 -
				       STREAM_HEAD_SIZE + 4),
			  STREAM_END);
	mbj_buf_done(&requests);
	lab_end(&lab);
}
END_TEST

/* A source that is asked from here, one thing after the other. */
struct talk {
	struct pair pair;
	struct sender sender;
	pthread_t thread;
	struct stream_link link;
};

static enum stream_kind talk_ask(struct talk *talk, enum stream_kind kind,
				 const struct stream_message *request,
				 struct stream_message *ret_answer)
{
	enum stream_kind answer = kind;

	OK(stream_link_send(&talk->link, kind, request, err));
	OK(stream_link_receive(&talk->link, 0, &answer, ret_answer, err));
	return answer;
}

static void talk_begin(struct talk *talk, const char *dir)
{
	struct stream_message m = {.version_lowest = STREAM_VERSION,
				   .version_highest = STREAM_VERSION};

	pair_open(&talk->pair);
	talk->sender = (struct sender){.dir = dir, .fd = talk->pair.far};
	ck_assert_int_eq(pthread_create(&talk->thread, NULL, sender_run,
					&talk->sender),
			 0);
	OK(stream_link_begin(&talk->link, talk->pair.near, talk->pair.near, -1,
			     10000, STREAM_SOURCE, err));
	ck_assert_int_eq(talk_ask(talk, STREAM_HELLO, &m, &m), STREAM_WELCOME);
}

static void talk_end(struct talk *talk)
{
	stream_link_done(&talk->link);
	(void)shutdown(talk->pair.near, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(talk->thread, NULL), 0);
	pair_close(&talk->pair);
}

/*
 * Goal: another store in the source's place is noticed, whose lineage, reign
 * and journal are the same.  Method: a replica is asked, and exchanged for
 * another one.
 */
START_TEST(peer_replaced)
{
	struct stream_message want = {.from = {GROUPS + 1}, .bytes_max = 1};
	struct mbj_stream_result result;
	struct stream_message m;
	char first[MBJ_PATH_TEXT_MAX];
	char away[MBJ_PATH_TEXT_MAX];
	struct talk talk;
	struct lab lab;

	lab_begin(&lab);
	OK(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers), &result,
			err));
	memcpy(first, lab.f.replica_dir, sizeof(first));
	replica_renew(&lab, 1);
	OK(replica_hear(lab.f.replica, mbj_buf_view(&lab.answers), &result,
			err));
	mbj_store_close(&lab.f.replica);
	talk_begin(&talk, lab.f.replica_dir);
	ck_assert_int_eq(talk_ask(&talk, STREAM_FETCH, &want, &m), STREAM_END);
	OK(mbj_path_join(away, lab.f.tmpdir, "away", err));
	ck_assert_int_eq(rename(lab.f.replica_dir, away), 0);
	ck_assert_int_eq(rename(first, lab.f.replica_dir), 0);
	ck_assert_int_eq(talk_ask(&talk, STREAM_FETCH, &want, &m),
			 STREAM_FAULT);
	ck_assert_int_eq(m.error.rc, MBJ_EBUSY);
	talk_end(&talk);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a content that came to the source after it was first asked for others
 * is found, and is not called lost because it was looked for twice.  Method:
 * one that is there, one that is not, and then is.
 */
START_TEST(peer_content_late)
{
	struct mbj_bytes text = mbj_bytes_str("Subject: late\r\n\r\n");
	struct stream_message want = {.count = 1};
	struct mbj_blobs *blobs = NULL;
	struct mbj_buf contents;
	struct mbj_hash digest;
	struct stream_message m;
	enum stream_kind kind;
	struct talk talk;
	struct lab lab;

	lab_begin(&lab);
	talk_begin(&talk, lab.f.primary_dir);
	mbj_buf_init(&contents, BYTES_MAX);
	/* Its digest, by a store that is not asked. */
	OK(mbj_store_blobs(lab.f.replica, &blobs, err));
	OK(mbj_blob_put(blobs, text, &digest, err));
	stream_content_put(&contents, &digest, text.n);
	want.contents = mbj_buf_view(&contents);
	ck_assert_int_eq(talk_ask(&talk, STREAM_CONTENTS, &want, &m),
			 STREAM_LOST);
	ck_assert_int_eq(m.error.rc, MBJ_ENOTFOUND);
	OK(mbj_store_blobs(lab.f.primary, &blobs, err));
	OK(mbj_blob_put(blobs, text, &digest, err));
	OK(mbj_blobs_sync(blobs, err));
	ck_assert_int_eq(talk_ask(&talk, STREAM_CONTENTS, &want, &m),
			 STREAM_PIECE);
	ck_assert(mbj_bytes_equal(m.data, text));
	OK(stream_link_receive(&talk.link, 0, &kind, &m, err));
	ck_assert_int_eq(kind, STREAM_HERE);
	mbj_buf_done(&contents);
	talk_end(&talk);
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
	tcase_add_loop_test(tcase, peer_unowned, 0, 2);
	tcase_add_test(tcase, peer_replaced);
	tcase_add_test(tcase, peer_content_late);
	tcase_add_test(tcase, peer_content_noted);
	tcase_add_test(tcase, peer_groups_noted);
	return tcase;
}
