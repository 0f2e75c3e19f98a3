/*
 * What a source holds for a replica to which it offers a snapshot, and what is
 * made of a snapshot of a reign that its source has not reached.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/trim.h>

#include "between.h"
#include "resync_lab.h"
#include "store_impl.h"

enum { OLDER = 2, NEWER = 3 };

/* Two snapshots of the primary. */
static void two_begin(struct fixture *f)
{
	fixture_begin_two(f);
	ck_assert_uint_eq(snapshot_make(f->primary), OLDER);
	fixture_rename(f, "alice", "m2", "a");
	ck_assert_uint_eq(snapshot_make(f->primary), NEWER);
}

/* ------------------------------------------------------------ the register */

static struct {
	unsigned notes;	    /* that were written */
	const char *turned; /* store that is another one after the first */
} watched;

/* Of a later reign: somebody else's, as far as a connection goes. */
static void identity_turn(const char *dir)
{
	struct superblock superblock;

	OK(superblock_load(mbj_sys_posix(), dir, &superblock, err));
	superblock.identity.epoch.v++;
	OK(superblock_save(mbj_sys_posix(), dir, SUPERBLOCK_NAME, &superblock,
			   err));
}

static int watched_rename(void *ctx, const char *from, const char *to)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	int result = sys->rename(sys->ctx, from, to);

	(void)ctx;
	if (strstr(to, "/replicas/") == NULL)
		return result;
	if (watched.notes++ == 0 && watched.turned != NULL)
		identity_turn(watched.turned);
	return result;
}

/* A replica's questions, of one that is registered. */
static void register_ask(struct fixture *f, const struct mbj_buf *requests,
			 struct mbj_buf *ret_answers)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_sys sys = *mbj_sys_posix();
	uint8_t bytes[4096];
	struct pair pair;
	ssize_t n;

	sys.rename = watched_rename;
	pair_open(&pair);
	ck_assert_int_eq(write(pair.far, requests->p, requests->n),
			 (ssize_t)requests->n);
	ck_assert_int_eq(shutdown(pair.far, SHUT_WR), 0);
	options.in_fd = pair.near;
	options.out_fd = pair.near;
	options.timeout_ms = 2000;
	options.is_registering = true;
	options.sys = &sys;
	OK(mbj_stream_send(f->primary_dir, &options, err));
	ck_assert_int_eq(shutdown(pair.near, SHUT_WR), 0);
	while ((n = read(pair.far, bytes, sizeof(bytes))) > 0)
		mbj_buf_put(ret_answers, bytes, (size_t)n);
	pair_close(&pair);
}

static void snapshot_put(struct mbj_buf *buf, uint64_t until)
{
	struct stream_message m = {.snapshot = {until}};

	stream_encode(buf, STREAM_SNAPSHOT, &m);
}

static void registered_put(struct mbj_buf *buf)
{
	struct stream_message m = {.version_lowest = 1,
				   .version_highest = 2,
				   .instance = fixture_id(77)};

	stream_encode(buf, STREAM_HELLO, &m);
}

/* The kinds of all frames of the source. */
static size_t kinds_read(const struct mbj_buf *answers, enum stream_kind *kinds,
			 size_t max)
{
	struct stream_head head;
	size_t count = 0;

	for (size_t at = 0; at < answers->n;
	     at += STREAM_HEAD_SIZE + head.size) {
		OK(stream_head_decode(answers->p + at, STREAM_SOURCE, &head,
				      err));
		ck_assert_uint_lt(count, max);
		kinds[count++] = head.kind;
	}
	return count;
}

/*
 * Goal: with an older snapshot that is offered the register goes back at once,
 * not in a while: a trim would not know.  Method: notes are counted: with the
 * first offer, with the second one, at the end; the same again, twice in all.
 */
START_TEST(offer_older)
{
	struct mbj_buf requests, answers;
	struct fixture f;

	two_begin(&f);
	mbj_buf_init(&requests, BYTES_MAX);
	mbj_buf_init(&answers, BYTES_MAX);
	watched.notes = 0;
	watched.turned = NULL;
	registered_put(&requests);
	snapshot_put(&requests, 0);
	snapshot_put(&requests, _i == 0 ? OLDER : NEWER);
	register_ask(&f, &requests, &answers);
	ck_assert_uint_eq(watched.notes, _i == 0 ? 3 : 2);
	mbj_buf_done(&requests);
	mbj_buf_done(&answers);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a source that became another one before a replica was registered does
 * not serve it: a trim may have come in between.  Method: it changes with the
 * first note, for a snapshot and for groups.
 */
START_TEST(offer_second_look)
{
	enum stream_kind kinds[16];
	struct mbj_buf requests, answers;
	struct fixture f;
	size_t count;

	two_begin(&f);
	mbj_buf_init(&requests, BYTES_MAX);
	mbj_buf_init(&answers, BYTES_MAX);
	watched.notes = 0;
	watched.turned = f.primary_dir;
	registered_put(&requests);
	if (_i == 0)
		snapshot_put(&requests, 0);
	else
		fetch_put(&requests, 1, 1 << 20);
	register_ask(&f, &requests, &answers);
	count = kinds_read(&answers, kinds, 16);
	ck_assert_uint_eq(count, 2);
	ck_assert_int_eq(kinds[0], STREAM_WELCOME);
	ck_assert_int_eq(kinds[1], STREAM_FAULT);
	mbj_buf_done(&requests);
	mbj_buf_done(&answers);
	fixture_end(&f);
}
END_TEST

/* --------------------------------------------------------------- the reign */

/*
 * Goal: a snapshot of a later reign than its source's is refused: a replica of
 * it would refuse its source for ever.  Method: one that no source makes, newer
 * than a good one; the good one is taken.
 */
START_TEST(offer_later_reign)
{
	const struct encounter how = {.cut = ENOUGH,
				      .flip = ENOUGH,
				      .is_mending = false};
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_snapshot_info info;
	struct mbj_watermark watermark;
	struct mbj_store *store = NULL;
	struct mbj_txn *txn = NULL;
	struct meeting meeting;
	struct fixture f;
	struct mbj_lsn lsn;

	two_begin(&f);
	OK(mbj_path_join(source, f.tmpdir, "source", err));
	OK(mbj_replica_init(source, f.primary_dir, NULL, &lsn, err));
	ck_assert_uint_eq(lsn.v, NEWER);
	fixture_rename(&f, "alice", "a", "b");
	OK(mbj_replica_open(source, NULL, &store, err));
	OK(mbj_replay_journal(store, f.primary_dir, &usual,
			      &meeting.result.replay, err));
	OK(mbj_txn_begin(store->state, &txn, err));
	OK(mbj_txn_watermark(txn, &watermark, err));
	watermark.epoch.v = 99;
	OK(mbj_txn_watermark_set(txn, &watermark, err));
	OK(mbj_txn_commit(&txn, err));
	OK(mbj_store_read(store, &txn, err));
	OK(mbj_path_join(path, source, "snapshots", err));
	OK(mbj_snapshot_write(mbj_sys_posix(), path, txn, NULL, &info, err));
	mbj_txn_abort(&txn);
	ck_assert_uint_eq(info.watermark.lsn.v, NEWER + 1);
	ck_assert_uint_eq(info.watermark.epoch.v, 99);
	mbj_store_close(&store);
	ck_assert_int_eq(meet_with(&f, source, &how, &meeting), MBJ_OK);
	ck_assert_uint_eq(mbj_store_identity(f.replica)->anchor.first.v,
			  NEWER + 1);
	ck_assert_uint_eq(meeting.result.replay.applied.v, NEWER + 1);
	aside_equal(&f);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: nothing is asked of the source after all of a snapshot was judged,
 * which may take longer than it waits.  Method: one that is bad in its middle,
 * and a source that leaves after it has said what it has there: the next
 * question is for another one, and finds nobody.
 */
START_TEST(offer_asked_first)
{
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result replayed;
	struct mbj_stream_result result;
	struct mbj_store *store = NULL;
	struct mbj_buf requests, answers;
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct fixture f;
	struct mbj_lsn lsn;
	FILE *file;

	two_begin(&f);
	OK(mbj_path_join(source, f.tmpdir, "source", err));
	OK(mbj_replica_init(source, f.primary_dir, NULL, &lsn, err));
	fixture_rename(&f, "alice", "a", "b");
	OK(mbj_replica_open(source, NULL, &store, err));
	OK(mbj_replay_journal(store, f.primary_dir, &usual, &replayed, err));
	lsn.v = snapshot_make(store);
	mbj_store_close(&store);
	OK(mbj_snapshot_path(path, source, lsn, err));
	file = fopen(path, "r+b");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, 400, SEEK_SET), 0);
	ck_assert_int_eq(fputc('x', file), 'x');
	ck_assert_int_eq(fclose(file), 0);
	mbj_buf_init(&requests, BYTES_MAX);
	mbj_buf_init(&answers, BYTES_MAX);
	hello_put(&requests, 1, 2, 0);
	snapshot_put(&requests, 0);
	hello_put(&requests, 1, 2, lsn.v);
	OK(source_ask(source, &requests, &answers, err));
	ck_assert_int_eq(replica_hear(f.replica, mbj_buf_view(&answers),
				      &result, &why),
			 MBJ_EIO);
	ck_assert_msg(strstr(why.message, "hung up") != NULL, "%s",
		      why.message);
	ck_assert(result.is_lost);
	mbj_buf_done(&requests);
	mbj_buf_done(&answers);
	fixture_end(&f);
}
END_TEST

static int64_t space_left;

static int64_t space_get(void *ctx, const char *path)
{
	(void)ctx;
	(void)path;
	return space_left;
}

/*
 * Goal: a snapshot is not begun with where there is no room for it and for the
 * state that is made of it.  Method: room for it, but not three times.
 */
START_TEST(offer_room)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct encounter how = {.cut = ENOUGH, .flip = ENOUGH};
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_file file = MBJ_FILE_CLOSED;
	char source[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	struct meeting meeting;
	struct fixture f;
	struct mbj_lsn lsn;
	uint64_t size;

	two_begin(&f);
	OK(mbj_path_join(source, f.tmpdir, "source", err));
	OK(mbj_replica_init(source, f.primary_dir, NULL, &lsn, err));
	OK(mbj_snapshot_path(path, source, lsn, err));
	OK(mbj_file_open(mbj_sys_posix(), path, 0, &file, err));
	OK(mbj_file_size(&file, &size, err));
	mbj_file_close(&file);
	sys.space = space_get;
	options.sys = &sys;
	options.space_min = 1;
	for (int times = 2; times <= 4; times += 2) {
		space_left = (int64_t)size * times;
		mbj_store_close(&f.replica);
		OK(mbj_replica_open(f.replica_dir, &options, &f.replica, err));
		ck_assert_int_eq(meet_with(&f, source, &how, &meeting),
				 times == 2 ? MBJ_ENOSPC : MBJ_OK);
	}
	ck_assert_uint_eq(meeting.result.replay.applied.v, NEWER);
	fixture_end(&f);
}
END_TEST

TCase *test_offer_case(void)
{
	TCase *tcase = tcase_create("offer");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, offer_older, 0, 2);
	tcase_add_loop_test(tcase, offer_second_look, 0, 2);
	tcase_add_test(tcase, offer_later_reign);
	tcase_add_test(tcase, offer_asked_first);
	tcase_add_test(tcase, offer_room);
	return tcase;
}
