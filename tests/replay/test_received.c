/*
 * When a source says that a replica has received a group: not before it is on
 * the replica's disk, with its contents.  What is counted, and who waits, is in
 * tests/journal/test_received.c; other processes are in
 * tests/cli/test_received.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "stream_lab.h"

enum { LONG_MS = MBJ_RECEIVED_WAIT_MAX, FEW_MS = 50 };

static struct mbj_error error;

/* How many replicas have received a group, as it is now or once it is so. */
static bool is_received(struct fixture *f, uint64_t lsn, uint32_t wait_ms)
{
	enum mbj_rc rc = mbj_store_received(f->primary, (struct mbj_lsn){lsn},
					    1, wait_ms, NULL, &error);

	ck_assert_msg(rc == MBJ_OK || rc == MBJ_EUNRECEIVED, "%s",
		      error.message);
	return rc == MBJ_OK;
}

/* ------------------------------------------------------ a replica's words */

static void registered_put(struct mbj_buf *buf)
{
	struct stream_message m = {.version_lowest = 1,
				   .version_highest = 2,
				   .instance = fixture_id(77)};

	mbj_buf_clear(buf);
	stream_encode(buf, STREAM_HELLO, &m);
}

static void has_put(struct mbj_buf *buf, uint64_t received, uint32_t wait_ms)
{
	struct stream_message m = {.from = {received + 1},
				   .bytes_max = 1 << 20,
				   .wait_ms = wait_ms,
				   .received = {received}};

	stream_encode(buf, STREAM_FETCH, &m);
}

/* The source, on this system or the usual one, hears that. */
static enum mbj_rc say_to(struct fixture *f, const struct mbj_sys *sys,
			  const struct mbj_buf *requests)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct pair pair;
	enum mbj_rc rc;

	pair_open(&pair);
	ck_assert_int_eq(write(pair.far, requests->p, requests->n),
			 (ssize_t)requests->n);
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.is_registering = true;
	options.sys = sys;
	rc = mbj_stream_send(f->primary_dir, &options, &error);
	pair_close(&pair);
	return rc;
}

/* The same, from one that it registers and serves to its end. */
static void say(struct fixture *f, const struct mbj_buf *requests)
{
	ck_assert_msg(say_to(f, NULL, requests) == MBJ_OK, "%s", error.message);
}

/*
 * Goal: what a replica says counts once it has had the time to ask for what it
 * lacks, for the rest of the connection; less than before at once; a snapshot
 * that it is offered is another beginning.  Method: raw frames, a connection
 * for each step.
 */
START_TEST(received_words)
{
	struct mbj_snapshot_result snapshot;
	struct stream_message offer = {.snapshot = {0}};
	struct mbj_buf buf;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_init(&buf, BYTES_MAX);
	registered_put(&buf);
	has_put(&buf, 4, 0);
	say(&lab.f, &buf);
	ck_assert(!is_received(&lab.f, 1, 0));
	registered_put(&buf);
	has_put(&buf, 3, 1);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 3, 0) && !is_received(&lab.f, 4, 0));
	registered_put(&buf);
	has_put(&buf, 3, 1);
	has_put(&buf, 4, 0);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 4, 0));
	registered_put(&buf);
	has_put(&buf, 2, 0);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 2, 0) && !is_received(&lab.f, 3, 0));

	OK(mbj_store_snapshot(lab.f.primary, &snapshot, err));
	fixture_rename(&lab.f, "alice", "b", "c");
	registered_put(&buf);
	has_put(&buf, 4, 1);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 4, 0));
	registered_put(&buf);
	has_put(&buf, 4, 1);
	stream_encode(&buf, STREAM_SNAPSHOT, &offer);
	has_put(&buf, 5, 0);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 4, 0) && !is_received(&lab.f, 5, 0));
	registered_put(&buf);
	has_put(&buf, 5, 1);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 5, 0));
	mbj_buf_done(&buf);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: where it cannot be written what a replica has, it is served all the
 * same, and counts for nobody; the next connection counts.  Method: a directory
 * where the file is to be.
 */
START_TEST(received_unwritten)
{
	char id[MBJ_ID_TEXT_SIZE];
	char name[MBJ_ID_TEXT_SIZE + 16];
	char dir[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf buf;
	struct lab lab;

	lab_begin(&lab);
	mbj_buf_init(&buf, BYTES_MAX);
	mbj_id_print(fixture_id(77), id);
	(void)snprintf(name, sizeof(name), "%s.received", id);
	OK(mbj_path_join(dir, lab.f.primary_dir, "replicas", err));
	OK(mbj_path_join(path, dir, name, err));
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	ck_assert_int_eq(mkdir(path, 0700), 0);
	registered_put(&buf);
	has_put(&buf, 3, 1);
	has_put(&buf, 4, 1);
	say(&lab.f, &buf);
	ck_assert(!is_received(&lab.f, 1, 0));
	ck_assert_int_eq(rmdir(path), 0);
	say(&lab.f, &buf);
	ck_assert(is_received(&lab.f, 4, 0));
	mbj_buf_done(&buf);
	lab_end(&lab);
}
END_TEST

/* ------------------------------------------------------- a replica's disk */

/* Calls that wait, while it is shut. */
static atomic_bool is_shut;
static atomic_int held;

static void gate_pass(void)
{
	if (!atomic_load(&is_shut))
		return;
	atomic_fetch_add(&held, 1);
	while (atomic_load(&is_shut))
		(void)poll(NULL, 0, 1);
	atomic_fetch_sub(&held, 1);
}

static void held_wait(void)
{
	while (atomic_load(&held) == 0)
		(void)poll(NULL, 0, 1);
}

static int gated_fdatasync(void *ctx, int fd)
{
	gate_pass();
	return mbj_sys_posix()->fdatasync(ctx, fd);
}

/* Contents have their folders' name before theirs. */
static int gated_open(void *ctx, const char *path, int flags, mode_t mode)
{
	if (strstr(path, "/p/blobs/") != NULL)
		gate_pass();
	return mbj_sys_posix()->open(ctx, path, flags, mode);
}

/* A source and a follower, each in a thread. */
struct live {
	struct fixture *f;
	const struct mbj_sys *sys; /* the source's, or NULL */
	struct pair pair;
	pthread_t source;
	pthread_t replica;
	int stop_fd;
	enum mbj_rc rc;
};

static void *source_main(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct live *live = context;

	options.in_fd = live->pair.far;
	options.out_fd = live->pair.far;
	options.is_registering = true;
	options.sys = live->sys;
	(void)!mbj_stream_send(live->f->primary_dir, &options, NULL);
	(void)shutdown(live->pair.far, SHUT_RDWR);
	return NULL;
}

static void *replica_main(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct live *live = context;

	options.in_fd = live->pair.near;
	options.out_fd = live->pair.near;
	options.stop_fd = live->stop_fd;
	live->rc = mbj_stream_follow(live->f->replica, &options, &result, NULL);
	return NULL;
}

static void live_begin(struct live *live, struct fixture *f,
		       const struct mbj_sys *sys)
{
	*live = (struct live){.f = f, .sys = sys};
	(void)signal(SIGPIPE, SIG_IGN);
	live->stop_fd = eventfd(0, EFD_CLOEXEC);
	pair_open(&live->pair);
	ck_assert_int_eq(pthread_create(&live->source, NULL, source_main, live),
			 0);
	ck_assert_int_eq(pthread_create(&live->replica, NULL, replica_main,
					live),
			 0);
}

static void live_end(struct live *live)
{
	const uint64_t one = 1;

	ck_assert_int_eq(write(live->stop_fd, &one, sizeof(one)), sizeof(one));
	ck_assert_int_eq(pthread_join(live->replica, NULL), 0);
	ck_assert_int_eq(live->rc, MBJ_OK);
	(void)shutdown(live->pair.near, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(live->source, NULL), 0);
	pair_close(&live->pair);
	(void)close(live->stop_fd);
}

/*
 * Goal: a group is received once it is on the replica's disk, not before.
 * Method: a replica whose syncs are held, and let go.
 */
START_TEST(received_synced)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_sys sys = *mbj_sys_posix();
	struct fixture f;
	struct live live;
	uint64_t lsn;

	sys.fdatasync = gated_fdatasync;
	options.sys = &sys;
	atomic_store(&is_shut, false);
	fixture_begin(&f);
	fixture_import(&f, "alice", 3);
	mbj_store_close(&f.replica);
	OK(mbj_replica_open(f.replica_dir, &options, &f.replica, err));
	live_begin(&live, &f, NULL);
	ck_assert(is_received(&f, mbj_store_end(f.primary).lsn.v, LONG_MS));

	atomic_store(&is_shut, true);
	fixture_rename(&f, "alice", "m2", "a");
	lsn = mbj_store_end(f.primary).lsn.v;
	held_wait();
	ck_assert(!is_received(&f, lsn, FEW_MS));
	ck_assert_uint_lt(mbj_store_end(f.replica).lsn.v, lsn);
	atomic_store(&is_shut, false);
	ck_assert(is_received(&f, lsn, LONG_MS));
	ck_assert_uint_eq(mbj_store_end(f.replica).lsn.v, lsn);
	live_end(&live);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a group whose content a broken connection kept from the replica is not
 * received before that content is there.  Method: a connection that ends within
 * the content of group 3; the next one, of a source that holds it back.
 */
START_TEST(received_content)
{
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_stream_result result;
	struct mbj_blobs *blobs = NULL;
	struct mbj_bytes answers;
	struct live live;
	struct lab lab;

	sys.open = gated_open;
	atomic_store(&is_shut, true);
	lab_begin(&lab);
	answers = mbj_buf_view(&lab.answers);
	answers.n -= STREAM_HEAD_SIZE + 2;
	ck_assert_int_lt(replica_hear(lab.f.replica, answers, &result, &error),
			 0);
	ck_assert_uint_eq(mbj_store_end(lab.f.replica).lsn.v, 3);

	live_begin(&live, &lab.f, &sys);
	held_wait();
	ck_assert(!is_received(&lab.f, 1, FEW_MS));
	atomic_store(&is_shut, false);
	ck_assert(is_received(&lab.f, 3, LONG_MS));
	OK(mbj_store_blobs_read(NULL, lab.f.replica_dir, &blobs, err));
	OK(mbj_blob_verify(blobs, &lab.blob, LAB_TEXT_SIZE, err));
	mbj_blobs_close(&blobs);
	ck_assert(is_received(&lab.f, GROUPS, LONG_MS));
	live_end(&live);
	replica_check(&lab);
	lab_end(&lab);
}
END_TEST

/* What opening a content fails with, 0: nothing, and how many times. */
static atomic_int content_errno;
static atomic_int content_faults;

static int failing_open(void *ctx, const char *path, int flags, mode_t mode)
{
	int errnum = atomic_load(&content_errno);

	if (errnum != 0 && strstr(path, "/p/blobs/") != NULL &&
	    (flags & O_DIRECTORY) == 0 &&
	    atomic_fetch_sub(&content_faults, 1) > 0)
		return -errnum;
	return mbj_sys_posix()->open(ctx, path, flags, mode);
}

/*
 * Goal: a content that the source has and could not read for once is nothing
 * that a replica has received; one that it has lost is no reason to wait.
 * Method: asked for, once or again, where opening it fails in each way, then a
 * word that would count; the next connection's counts.
 */
START_TEST(received_blind)
{
	static const struct {
		int errnum;
		int faults;
		int asks;
		enum mbj_rc rc;
		bool is_received;
	} table[] = {
		{EMFILE, 1, 1, MBJ_OK, false},
		{EMFILE, 2, 2, MBJ_OK, false},
		{EMFILE, 1, 2, MBJ_OK, true},
		{EACCES, 1, 1, MBJ_OK, false},
		{ENOENT, 1, 1, MBJ_OK, true},
		{ENOMEM, 1, 1, MBJ_ENOMEM, false},
		{0, 0, 1, MBJ_OK, true},
	};
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_buf buf;
	struct lab lab;

	sys.open = failing_open;
	mbj_buf_init(&buf, BYTES_MAX);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		lab_begin(&lab);
		registered_put(&buf);
		for (int asked = 0; asked < table[i].asks; asked++)
			contents_put(&buf, &lab.blob, LAB_TEXT_SIZE);
		has_put(&buf, 3, 1);
		atomic_store(&content_errno, table[i].errnum);
		atomic_store(&content_faults, table[i].faults);
		ck_assert_msg(say_to(&lab.f, &sys, &buf) == table[i].rc,
			      "%zu: %s", i, error.message);
		ck_assert_msg(is_received(&lab.f, 3, 0) == table[i].is_received,
			      "%zu", i);
		registered_put(&buf);
		has_put(&buf, 3, 1);
		say(&lab.f, &buf);
		ck_assert(is_received(&lab.f, 3, 0));
		lab_end(&lab);
	}
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: who has more than a journal that lost its end does not count for other
 * groups of those numbers.  Method: a mark above the end, the store opened
 * again, and a group more.
 */
START_TEST(received_above)
{
	struct mbj_replica_note note = {.instance = fixture_id(77)};
	struct mbj_received_mark mark;
	struct fixture f;
	struct mbj_id lineage;
	uint64_t end;

	fixture_begin(&f);
	fixture_import(&f, "alice", 3);
	lineage = mbj_store_identity(f.primary)->lineage;
	end = mbj_store_end(f.primary).lsn.v;
	OK(mbj_replica_note_save(mbj_sys_posix(), f.primary_dir, &note,
				 MBJ_NOTE_FIRST, err));
	OK(mbj_received_open(&mark, mbj_sys_posix(), f.primary_dir, lineage,
			     note.instance, err));
	for (uint64_t above = 0; above < 2; above++) {
		OK(mbj_received_set(&mark, (struct mbj_lsn){end + above}, err));
		mbj_store_close(&f.primary);
		OK(mbj_store_open(f.primary_dir, NULL, &f.primary, err));
		fixture_rename(&f, "alice", above == 0 ? "m2" : "b",
			       above == 0 ? "b" : "c");
		ck_assert_int_eq(is_received(&f, end, 0), above == 0);
		ck_assert(!is_received(&f, end + 1, 0));
		end++;
	}
	mbj_received_close(&mark);
	fixture_end(&f);
}
END_TEST

TCase *test_received_case(void)
{
	TCase *tc = tcase_create("received");

	tcase_add_test(tc, received_words);
	tcase_add_test(tc, received_unwritten);
	tcase_add_test(tc, received_synced);
	tcase_add_test(tc, received_content);
	tcase_add_test(tc, received_blind);
	tcase_add_test(tc, received_above);
	return tc;
}
