/*
 * Accounts made again through a stream, with one end alone: what a source
 * answers, and what a replica makes of what is said to it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "quarantine_run.h"
#include "resync_lab.h"
#include "stream_lab.h"

enum { LAST = 8 }; /* group, and snapshot */

struct talk {
	struct fixture f;
	struct mbj_store_options options;
	struct mbj_buf requests;
	struct mbj_buf answers;
};

/* sys NULL: as it is. */
static void talk_begin_on(struct talk *talk, const struct mbj_sys *sys)
{
	memset(talk, 0, sizeof(*talk));
	talk->options = MBJ_STORE_OPTIONS_INIT;
	talk->options.state.engine = MBJ_STATE_MEMORY;
	talk->options.sys = sys;
	aside_begin(&talk->f, true, &talk->options);
	mbj_buf_init(&talk->requests, BYTES_MAX);
	mbj_buf_init(&talk->answers, BYTES_MAX);
}

static void talk_begin(struct talk *talk)
{
	talk_begin_on(talk, NULL);
}

static void talk_end(struct talk *talk)
{
	mbj_buf_done(&talk->requests);
	mbj_buf_done(&talk->answers);
	fixture_end(&talk->f);
}

static void part_put(struct mbj_buf *buf, uint64_t least, uint64_t most,
		     uint64_t at, uint32_t max)
{
	struct stream_message m = {.least = {least},
				   .snapshot = {most},
				   .size = at,
				   .bytes_max = max};

	stream_encode(buf, STREAM_PART, &m);
}

/* What the source says to what was put. */
static enum mbj_rc asked(struct talk *talk, struct mbj_error *why)
{
	return source_ask(talk->f.primary_dir, &talk->requests, &talk->answers,
			  why);
}

/* The next frame of the answers. */
static enum stream_kind frame_next(const struct talk *talk, size_t *at,
				   struct stream_message *m)
{
	const uint8_t *p = talk->answers.p + *at;
	struct stream_head head;

	ck_assert_uint_lt(*at, talk->answers.n);
	OK(stream_head_decode(p, STREAM_SOURCE, &head, err));
	OK(stream_body_decode(&head,
			      mbj_bytes_make(p + STREAM_HEAD_SIZE, head.size),
			      m, err));
	*at += STREAM_HEAD_SIZE + head.size;
	return head.kind;
}

/* An offer, so many bytes, and that this was all; its size. */
static uint64_t part_check(const struct talk *talk, size_t *at, uint64_t lsn,
			   uint64_t bytes)
{
	struct stream_message m;
	enum stream_kind kind;
	uint64_t size;

	ck_assert_int_eq(frame_next(talk, at, &m), STREAM_OFFER);
	ck_assert_uint_eq(m.snapshot.v, lsn);
	size = m.size;
	while ((kind = frame_next(talk, at, &m)) == STREAM_PIECE) {
		ck_assert_uint_le(m.data.n, bytes);
		bytes -= m.data.n;
	}
	ck_assert_int_eq(kind, STREAM_HERE);
	ck_assert_uint_eq(bytes, 0);
	return size;
}

/* -------------------------------------------------------------- the source */

/*
 * Goal: a source offers the newest of the groups that are asked for, and sends
 * of it what was asked for.  Method: two snapshots; none of it, some of its
 * middle, its end; of older groups; of none; more than it has.
 */
START_TEST(part_answers)
{
	struct stream_message m;
	struct mbj_error why;
	struct talk talk;
	uint64_t size;
	size_t at = 0;

	talk_begin(&talk);
	snapshot_make(talk.f.primary);
	fixture_rename(&talk.f, "alice", "m3", "x");
	snapshot_make(talk.f.primary);
	hello_put(&talk.requests, 1, STREAM_VERSION + 1, LAST);
	part_put(&talk.requests, 1, UINT64_MAX, 0, 0);
	part_put(&talk.requests, 1, LAST, 0, 100);
	part_put(&talk.requests, LAST, LAST, 100, 70000);
	part_put(&talk.requests, LAST, LAST, 1 << 30, 1);
	part_put(&talk.requests, 2, LAST - 1, 0, 1);
	ck_assert_int_eq(asked(&talk, &why), MBJ_OK);
	ck_assert_int_eq(frame_next(&talk, &at, &m), STREAM_WELCOME);
	ck_assert_uint_eq(m.version, STREAM_VERSION);
	(void)part_check(&talk, &at, LAST + 1, 0);
	size = part_check(&talk, &at, LAST, 100);
	ck_assert_uint_lt(size, 70000);
	ck_assert_uint_eq(part_check(&talk, &at, LAST, size - 100), size);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(frame_next(&talk, &at, &m), STREAM_FAULT);
		ck_assert_int_eq(m.error.rc, MBJ_ENOTFOUND);
	}
	ck_assert_uint_eq(at, talk.answers.n);
	talk_end(&talk);
}
END_TEST

/*
 * Goal: each side knows what the other one speaks.  Method: a replica of the
 * first version, which must not ask for a part; a source of the first version,
 * by itself and asked for an account; a source of a version that is not.
 */
START_TEST(part_versions)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_resync_result resynced;
	struct mbj_stream_result result;
	struct stream_message m;
	struct mbj_error why;
	struct talk talk;
	struct pair pair;
	size_t at = 0;

	talk_begin(&talk);
	snapshot_make(talk.f.primary);
	hello_put(&talk.requests, 1, 1, LAST);
	part_put(&talk.requests, 1, LAST, 0, 1);
	ck_assert_int_eq(asked(&talk, &why), MBJ_EINVALID);
	ck_assert_msg(strstr(why.message, "version 1") != NULL, "%s",
		      why.message);
	ck_assert_int_eq(frame_next(&talk, &at, &m), STREAM_WELCOME);
	ck_assert_uint_eq(m.version, 1);
	ck_assert_uint_eq(at, talk.answers.n);
	options.is_once = true;
	options.is_mending = true;
	for (int i = 0; i < 2; i++) {
		pair_open(&pair);
		options.in_fd = pair.near;
		options.out_fd = pair.near;
		ck_assert_int_eq(write(pair.far, talk.answers.p, at),
				 (ssize_t)at);
		if (i == 0) {
			OK(mbj_stream_follow(talk.f.replica, &options, &result,
					     err));
			ck_assert_uint_eq(result.replay.accounts_parked, 2);
		} else {
			ck_assert_int_eq(mbj_stream_resync(
						 talk.f.replica,
						 fixture_account(talk.f.primary,
								 "alice"),
						 &options, &resynced, &why),
					 MBJ_EUNSUPPORTED);
			ck_assert_msg(strstr(why.message, "newer mbj") != NULL,
				      "%s", why.message);
		}
		pair_close(&pair);
	}
	m.version = STREAM_VERSION + 1;
	mbj_buf_clear(&talk.answers);
	stream_encode(&talk.answers, STREAM_WELCOME, &m);
	ck_assert_int_eq(replica_hear(talk.f.replica,
				      mbj_buf_view(&talk.answers), &result,
				      &why),
			 MBJ_EUNSUPPORTED);
	talk_end(&talk);
}
END_TEST

/* ------------------------------------------------------------- the replica */

/* What it is told, in a connection that stays; it hangs up in the end. */
static enum mbj_rc replica_told(struct talk *talk, const struct mbj_buf *told,
				struct mbj_stream_result *ret_result,
				struct mbj_error *ret_why)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct pair pair;
	enum mbj_rc rc;

	pair_open(&pair);
	ck_assert_int_eq(write(pair.far, told->p, told->n), (ssize_t)told->n);
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.timeout_ms = 2000;
	options.is_mending = true;
	rc = mbj_stream_follow(talk->f.replica, &options, ret_result, ret_why);
	pair_close(&pair);
	return rc;
}

/* All but the welcome of what the source says. */
static void told_add(struct talk *talk, struct mbj_buf *told)
{
	struct stream_message m;
	struct mbj_error why;
	size_t at = 0;

	ck_assert_int_eq(asked(talk, &why), MBJ_OK);
	ck_assert_int_eq(frame_next(talk, &at, &m), STREAM_WELCOME);
	if (told->n == 0)
		at = 0;
	mbj_buf_put(told, talk->answers.p + at, talk->answers.n - at);
	mbj_buf_clear(&talk->requests);
	hello_put(&talk->requests, 1, 2, LAST);
}

/*
 * Goal: groups that come while a snapshot is on its way are applied at once,
 * and what waits is carried out behind it, once and in order.  Method: the
 * order of questions that a replica which stays has, with groups of the
 * account and of another one between the parts.
 */
START_TEST(mend_between_groups)
{
	struct mbj_stream_result result;
	struct mbj_error why;
	struct mbj_buf told;
	struct talk talk;

	talk_begin(&talk);
	mbj_buf_init(&told, BYTES_MAX);
	snapshot_make(talk.f.primary);
	hello_put(&talk.requests, 1, 2, LAST);
	part_put(&talk.requests, 1, LAST, 0, 0);
	part_put(&talk.requests, LAST, LAST, 0, 1 << 20);
	told_add(&talk, &told);
	fixture_rename(&talk.f, "alice", "m3", "x");
	fixture_rename(&talk.f, "bob", "b", "y");
	fetch_put(&talk.requests, LAST + 1, 1 << 20);
	/* Three bits of judging, the last one with an account; the other one.
	 */
	for (int i = 0; i < 4; i++)
		fetch_put(&talk.requests, LAST + 3, 1 << 20);
	told_add(&talk, &told);
	fixture_rename(&talk.f, "alice", "x", "z");
	fetch_put(&talk.requests, LAST + 3, 1 << 20);
	fetch_put(&talk.requests, LAST + 4, 1 << 20);
	fetch_put(&talk.requests, LAST + 4, 1 << 20);
	told_add(&talk, &told);
	ck_assert_int_eq(replica_told(&talk, &told, &result, &why), MBJ_EIO);
	ck_assert(result.is_lost);
	ck_assert_uint_eq(result.replay.accounts_resynced, 2);
	ck_assert_uint_eq(result.replay.accounts_parked, 0);
	aside_equal(&talk.f);
	rebuild(&talk.f);
	aside_equal(&talk.f);
	mbj_buf_done(&told);
	talk_end(&talk);
}
END_TEST

/* Snapshots of the replica's own, and what is on its way to be one. */
static void snapshots_are(const struct talk *talk, bool has_part, bool has_own)
{
	static const char *const names[] = {
		"snapshots/0000000000000008.snap.part",
		"snapshots/0000000000000008.snap"};
	char path[MBJ_PATH_TEXT_MAX];

	for (int i = 0; i < 2; i++) {
		OK(mbj_path_join(path, talk->f.replica_dir, names[i], err));
		ck_assert_int_eq(mbj_path_exists(mbj_sys_posix(), path),
				 i == 0 ? has_part : has_own);
	}
}

static size_t aside_count(const struct talk *talk)
{
	struct waiting_list list = {.count = 0};
	size_t count;

	OK(waiting_load(talk->f.replica, &list, err));
	count = list.count;
	waiting_done(&list);
	return count;
}

/*
 * Goal: a snapshot that came whole is not fetched again where the link breaks
 * while it is judged, or before all accounts are made; what the replica has of
 * its own is used before anything is asked.  Method: a source that is gone
 * after each number of answers; the next one breaks off at once, then is there.
 */
START_TEST(mend_judged)
{
	struct mbj_stream_result result;
	struct mbj_error why;
	struct mbj_buf told;
	struct talk talk;
	bool is_own = _i >= 4;

	talk_begin(&talk);
	mbj_buf_init(&told, BYTES_MAX);
	snapshot_make(talk.f.primary);
	hello_put(&talk.requests, 1, 2, LAST);
	part_put(&talk.requests, 1, LAST, 0, 0);
	part_put(&talk.requests, LAST, LAST, 0, 1 << 20);
	for (int i = 0; i < _i; i++)
		fetch_put(&talk.requests, LAST + 1, 1 << 20);
	told_add(&talk, &told);
	ck_assert_int_eq(replica_told(&talk, &told, &result, &why), MBJ_EIO);
	ck_assert(result.is_lost);
	ck_assert_uint_eq(aside_count(&talk), is_own ? 1 : 2);
	snapshots_are(&talk, !is_own, is_own);
	/* Nothing of the snapshot comes any more. */
	mbj_buf_clear(&told);
	part_put(&talk.requests, 1, LAST, 0, 0);
	for (int i = 0; !is_own && i < 4; i++)
		fetch_put(&talk.requests, LAST + 1, 1 << 20);
	told_add(&talk, &told);
	ck_assert_int_eq(replica_told(&talk, &told, &result, &why), MBJ_EIO);
	ck_assert(result.is_lost);
	ck_assert_msg(strstr(why.message, "hung up") != NULL, "%s",
		      why.message);
	ck_assert_uint_eq(aside_count(&talk), is_own ? 0 : 1);
	snapshots_are(&talk, false, true);
	mbj_buf_done(&told);
	talk_end(&talk);
}
END_TEST

/* A disk that is full once there is a part of a snapshot. */
struct full {
	struct mbj_sys sys;
	bool is_told; /* by how much is left; else by a write that fails */
	int part;     /* descriptor, -1: not open */
};

static int full_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct full *full = ctx;
	int fd = mbj_sys_posix()->open(NULL, path, flags, mode);

	if (strstr(path, ".snap.part") != NULL)
		full->part = fd;
	return fd;
}

static int full_close(void *ctx, int fd)
{
	struct full *full = ctx;

	if (fd == full->part)
		full->part = -1;
	return mbj_sys_posix()->close(NULL, fd);
}

static ssize_t full_write(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	struct full *full = ctx;

	if (fd == full->part && !full->is_told)
		return -ENOSPC;
	return mbj_sys_posix()->pwrite(NULL, fd, p, n, at);
}

static int64_t full_space(void *ctx, const char *path)
{
	struct full *full = ctx;

	(void)path;
	return full->part >= 0 && full->is_told ? 0 : (int64_t)1 << 40;
}

/*
 * Goal: where there is no room any more for the rest of a snapshot, what is
 * here of it goes, nobody is blamed for it, and the replica stays current.
 * Method: a write that fails, in the middle of an answer; a file system that
 * says so between two.
 */
START_TEST(mend_full)
{
	struct full full = {.sys = *mbj_sys_posix(),
			    .is_told = _i == 1,
			    .part = -1};
	struct mbj_stream_result result;
	struct mbj_error why;
	struct mbj_buf told;
	struct talk talk;

	full.sys.ctx = &full;
	full.sys.open = full_open;
	full.sys.close = full_close;
	full.sys.pwrite = full_write;
	full.sys.space = full_space;
	talk_begin_on(&talk, &full.sys);
	mbj_buf_init(&told, BYTES_MAX);
	snapshot_make(talk.f.primary);
	hello_put(&talk.requests, 1, 2, LAST);
	part_put(&talk.requests, 1, LAST, 0, 0);
	if (_i == 0)
		part_put(&talk.requests, LAST, LAST, 0, 1 << 20);
	fetch_put(&talk.requests, LAST + 1, 1 << 20);
	told_add(&talk, &told);
	fixture_rename(&talk.f, "alice", "m3", "x");
	fetch_put(&talk.requests, LAST + 1, 1 << 20);
	told_add(&talk, &told);
	ck_assert_int_eq(replica_told(&talk, &told, &result, &why), MBJ_EIO);
	ck_assert(result.is_lost);
	ck_assert_msg(strstr(why.message, "hung up") != NULL, "%s",
		      why.message);
	ck_assert_uint_eq(mbj_store_end(talk.f.replica).lsn.v, LAST + 1);
	aside_waits(&talk.f, "alice", 4, 3, "group 3");
	snapshots_are(&talk, false, false);
	mbj_buf_done(&told);
	talk_end(&talk);
}
END_TEST

static void offer_put(struct mbj_buf *buf, uint64_t lsn, uint64_t size)
{
	struct stream_message m = {.snapshot = {lsn}, .size = size};

	stream_encode(buf, STREAM_OFFER, &m);
}

static void piece_put(struct mbj_buf *buf, size_t n)
{
	static const uint8_t zeros[5000];
	struct stream_message m = {.data = mbj_bytes_make(zeros, n)};

	stream_encode(buf, STREAM_PIECE, &m);
}

static void error_put(struct mbj_buf *buf, enum stream_kind kind,
		      enum mbj_rc rc)
{
	struct stream_message m = {.count = 0};

	(void)mbj_error_set(&m.error, rc, "as it says");
	stream_encode(buf, kind, &m);
}

/* What a source that is not as it should be says to the first question... */
static void bad_first(struct mbj_buf *told, int what)
{
	struct stream_message none = {.count = 0};

	if (what == 0)
		stream_encode(told, STREAM_END, &none);
	else if (what == 1)
		offer_put(told, LAST + 1, 5000);
	else if (what == 2)
		offer_put(told, LAST, 0);
	else if (what == 3)
		error_put(told, STREAM_FAULT, MBJ_EBUSY);
	else if (what == 4)
		offer_put(told, LAST, 5000);
	if (what == 4)
		piece_put(told, 1);
}

/* ... or to the second one. */
static void bad_second(struct mbj_buf *told, int what)
{
	struct stream_message none = {.count = 0};

	offer_put(told, LAST, 5000);
	stream_encode(told, STREAM_HERE, &none);
	if (what == 6) {
		offer_put(told, LAST - 1, 5000);
	} else {
		offer_put(told, LAST, what == 8 ? 4000 : 5000);
		piece_put(told, 1000);
	}
	if (what == 7)
		piece_put(told, 4001);
	else if (what == 5)
		stream_encode(told, STREAM_HERE, &none);
	else if (what == 8)
		piece_put(told, 3000);
	else if (what == 9)
		error_put(told, STREAM_LOST, MBJ_ECORRUPT);
	else if (what == 10)
		piece_put(told, 4000);
	if (what == 8 || what == 10)
		stream_encode(told, STREAM_HERE, &none);
}

/*
 * Goal: whatever a source says, an account is what it was, and the next
 * connection heals it.  Method: each wrong answer; those that are the
 * connection's fault end it, others are for later.
 */
enum { BAD_COUNT = 11 };

START_TEST(mend_hostile)
{
	static const bool is_later[BAD_COUNT] = {
		[8] = true, [9] = true, [10] = true};
	struct mbj_stream_result result;
	struct mbj_error why;
	struct mbj_buf told;
	struct talk talk;

	talk_begin(&talk);
	mbj_buf_init(&told, BYTES_MAX);
	hello_put(&talk.requests, 1, 2, LAST);
	told_add(&talk, &told);
	if (_i < 5)
		bad_first(&told, _i);
	else
		bad_second(&told, _i);
	ck_assert_int_eq(replica_told(&talk, &told, &result, &why),
			 _i == 3	? MBJ_EBUSY
			 : is_later[_i] ? MBJ_EIO
					: MBJ_ECORRUPT);
	ck_assert(result.is_lost);
	if (is_later[_i])
		ck_assert_msg(strstr(why.message, "hung up") != NULL, "%s",
			      why.message);
	aside_waits(&talk.f, "alice", 3, 3, "group 3");
	aside_waits(&talk.f, "bob", 3, 4, "group 4");
	snapshot_make(talk.f.primary);
	(void)resync(&talk.f, "alice");
	(void)resync(&talk.f, "bob");
	aside_equal(&talk.f);
	mbj_buf_done(&told);
	talk_end(&talk);
}
END_TEST

TCase *test_mend_peer_case(void)
{
	TCase *tcase = tcase_create("mend_peer");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, part_answers);
	tcase_add_test(tcase, part_versions);
	tcase_add_test(tcase, mend_between_groups);
	tcase_add_loop_test(tcase, mend_judged, 0, 5);
	tcase_add_loop_test(tcase, mend_full, 0, 2);
	tcase_add_loop_test(tcase, mend_hostile, 0, BAD_COUNT);
	return tcase;
}
