/*
 * Keeping house while something else goes wrong, or comes in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/collect.h>
#include <mbj/replicas.h>
#include <mbj/trim.h>

#include "journal_cases.h"
#include "served_lab.h"
#include "store_impl.h"
#include "store_lab.h"

enum { RENAMES = 160, SEGMENT = 8192, BODIES = 70 };

/*
 * What comes in between: a replica that registers as a snapshot gets its name;
 * a disk that has so much left, or where no snapshot fits beside a copy.
 */
struct between {
	struct mbj_sys table;
	const char *dir;
	bool is_armed;
	int64_t left;
	bool is_full;
	bool is_copied;
	struct mbj_store *store; /* told to give up where it touches that */
	const char *halt_at;
	struct mbj_replica_note note;
};

static void between_halt(struct between *between, const char *path)
{
	if (between->halt_at == NULL || strstr(path, between->halt_at) == NULL)
		return;
	between->halt_at = NULL;
	store_house_halt(between->store);
}

static int between_unlink(void *ctx, const char *path)
{
	const struct mbj_sys *posix = mbj_sys_posix();

	between_halt(ctx, path);
	return posix->unlink(posix->ctx, path);
}

static int between_rename(void *ctx, const char *from, const char *to)
{
	const struct mbj_sys *posix = mbj_sys_posix();
	struct between *between = ctx;

	if (between->is_armed && strstr(to, "/snapshots/") != NULL) {
		between->is_armed = false;
		SITE_OK(mbj_replica_note_save(posix, between->dir,
					      &between->note, MBJ_NOTE_FIRST,
					      err));
	}
	return posix->rename(posix->ctx, from, to);
}

static int between_mkdir(void *ctx, const char *path, mode_t mode)
{
	const struct mbj_sys *posix = mbj_sys_posix();
	struct between *between = ctx;

	if (strstr(path, "/state.image") != NULL)
		between->is_copied = true;
	return posix->mkdir(posix->ctx, path, mode);
}

static int between_open(void *ctx, const char *path, int flags, mode_t mode)
{
	const struct mbj_sys *posix = mbj_sys_posix();
	struct between *between = ctx;

	if ((flags & O_CREAT) != 0)
		between_halt(between, path);
	if (between->is_full && (flags & O_CREAT) != 0 &&
	    strstr(path, "/snapshots/") != NULL) {
		between->is_full = false;
		return -ENOSPC;
	}
	return posix->open(posix->ctx, path, flags, mode);
}

static int64_t between_space(void *ctx, const char *path)
{
	const struct between *between = ctx;

	(void)path;
	return between->left;
}

static void between_init(struct between *between)
{
	*between = (struct between){
		.table = *mbj_sys_posix(),
		.note = {.instance = {{7}}, .session = {{5}}},
		.left = INT64_MAX,
	};
	between->table.ctx = between;
	between->table.rename = between_rename;
	between->table.mkdir = between_mkdir;
	between->table.unlink = between_unlink;
	between->table.open = between_open;
	between->table.space = between_space;
}

static void site_fill(struct site *site, const struct mbj_sys *sys)
{
	site_begin(site);
	site->options.sys = sys;
	site->options.log.segment_size = SEGMENT;
	site->options.log.reserve_max = SEGMENT / 2;
	site_reopen(site);
	site_import(site->store, 1, 3);
	for (int i = 0; i < RENAMES; i++)
		SITE_OK(site_rename(site->store, 1, i % 2 ? "x" : "m2",
				    i % 2 ? "m2" : "x", NULL, err));
}

static struct mbj_trim_options keep_nothing(void)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;

	options.keep_us = 0;
	options.keep_requests = 0;
	return options;
}

/*
 * Goal: a replica that registers while a trim makes its snapshot is waited
 * for.  Method: it has little (0: nothing goes) or half (1).
 */
START_TEST(mend_registered)
{
	const struct mbj_trim_options options = keep_nothing();
	struct mbj_trim_result result;
	struct between between;
	struct site site;
	uint64_t end;

	between_init(&between);
	site_fill(&site, &between.table);
	SITE_OK(store_share(site.store, 0, err));
	end = mbj_store_end(site.store).lsn.v;
	between.dir = site.dir;
	between.note.received.v = _i == 0 ? 1 : end / 2;
	between.is_armed = true;
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	ck_assert(!between.is_armed);
	ck_assert_int_eq(result.why, MBJ_TRIM_REPLICA);
	ck_assert_uint_le(result.first.v, between.note.received.v + 1);
	ck_assert_int_eq(result.segments > 0, _i == 1);
	ck_assert_int_eq(result.snapshot.v > 0, _i == 1);
	ck_assert_uint_eq(mbj_store_identity_copy(site.store).anchor.first.v,
			  result.first.v);
	ck_assert(site_is_sound(site.store));
	site_end(&site);
}
END_TEST

/*
 * Goal: nothing is trimmed while somebody holds the register.  Method: its lock
 * taken; let go, the trim goes on.
 */
START_TEST(mend_register_held)
{
	const struct mbj_trim_options options = keep_nothing();
	struct mbj_file lock = MBJ_FILE_CLOSED;
	struct mbj_trim_result result;
	struct mbj_error error;
	struct site site;

	site_fill(&site, NULL);
	SITE_OK(store_replicas_lock(site.store, &lock, err));
	SITE_FAILS(mbj_store_trim(site.store, &options, &result, err),
		   MBJ_EBUSY, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "nothing was trimmed"));
	mbj_file_close(&lock);
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	ck_assert_uint_gt(result.segments, 1);
	site_end(&site);
}
END_TEST

/*
 * Goal: segments that a trim could not remove go with the next one, without an
 * opening.  Method: the second removal fails, of a store that has a snapshot.
 */
START_TEST(mend_left)
{
	const struct mbj_trim_options options = keep_nothing();
	struct mbj_snapshot_result snapshot;
	struct mbj_trim_result result;
	struct mbj_trim_options dry = options;
	struct mbj_error error;
	struct site_sys sys;
	struct site site;
	uint64_t all;

	site_sys_init(&sys);
	site_fill(&site, &sys.table);
	SITE_OK(mbj_store_snapshot(site.store, &snapshot, err));
	dry.is_dry_run = true;
	SITE_OK(mbj_store_trim(site.store, &dry, &result, err));
	all = result.segments;
	ck_assert_uint_gt(all, 2);
	site_sys_arm(&sys, SITE_CALL_UNLINK, 2, 5, false);
	SITE_FAILS(mbj_store_trim(site.store, &options, &result, err), MBJ_EIO,
		   &error);
	ck_assert_ptr_nonnull(strstr(error.message, "the journal begins at"));
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	ck_assert_uint_eq(result.segments, all - 1);
	ck_assert_uint_eq(result.before.v, result.first.v);
	ck_assert_uint_gt(result.first.v, 1);
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	ck_assert_uint_eq(result.segments, 0);
	ck_assert(site_is_sound(site.store));
	site_end(&site);
}
END_TEST

/* Goal: options that mean nothing are refused, whoever gives them. */
START_TEST(mend_options)
{
	struct mbj_trim_options options = keep_nothing();
	struct mbj_trim_result result;
	struct mbj_error error;
	struct site site;

	site_begin(&site);
	if (_i == 0)
		options.keep_us = INT64_MIN;
	else if (_i == 1)
		options.keep_us = MBJ_TRIM_KEEP_US_MAX + 1;
	else
		options.keep_requests = MBJ_REQUEST_WINDOW_MAX + 1;
	SITE_FAILS(mbj_store_trim(site.store, &options, &result, err),
		   MBJ_EINVALID, &error);
	options = keep_nothing();
	options.keep_us = MBJ_TRIM_KEEP_US_MAX;
	options.keep_requests = MBJ_REQUEST_WINDOW_MAX;
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	site_end(&site);
}
END_TEST

/* ----------------------------------------------------------------- space */

static int64_t state_size(const struct site *site)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	int64_t size = 0;

	mbj_buf_init(&names, 1 << 16);
	site_path(site, "state", path);
	SITE_OK(mbj_dir_list(sys, path, &names, err));
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		char file[MBJ_PATH_TEXT_MAX];
		struct stat found;

		SITE_OK(mbj_path_join(file, path, name, err));
		if (stat(file, &found) == 0)
			size += found.st_size;
	}
	mbj_buf_done(&names);
	return size;
}

/*
 * Goal: a snapshot beside others has a copy where there is room for both, and
 * for edits, else the state itself.  Method: a disk with room for both (0), for
 * the copy alone (1), and one that has no room for the snapshot after all (2).
 */
START_TEST(mend_room)
{
	struct mbj_snapshot_result snapshot;
	struct between between;
	struct site site;

	between_init(&between);
	site_begin(&site);
	site.options.sys = &between.table;
	site.options.space_min = 1 << 20;
	site_reopen(&site);
	site_import(site.store, 1, 3);
	SITE_OK(store_share(site.store, 0, err));
	SITE_OK(mbj_state_checkpoint(site.store->state, true, err));
	if (_i == 1)
		between.left = (1 << 20) + state_size(&site) / 4 * 5;
	between.is_full = _i == 2;
	SITE_OK(mbj_store_snapshot(site.store, &snapshot, err));
	ck_assert(snapshot.is_new);
	ck_assert(!between.is_full);
	ck_assert_int_eq(between.is_copied, _i != 1);
	ck_assert(site_is_sound(site.store));
	site_end(&site);
}
END_TEST

/* ----------------------------------------------------------------- turns */

struct waiter {
	struct mbj_store *store;
	bool is_reading;
	pthread_t thread;
};

static void *collect_run(void *context)
{
	struct mbj_collect_result result;
	struct mbj_store *store = context;

	SITE_OK(mbj_store_collect(store, false, &result, err));
	ck_assert_uint_eq(result.removed, BODIES);
	return NULL;
}

/* A turn right after the collection's first one: its next waits meanwhile. */
static void *waiter_run(void *context)
{
	struct waiter *waiter = context;

	SITE_OK(store_turn_take(waiter->store, err));
	site_await_waiting(waiter->store, 1);
	waiter->is_reading = mbj_state_has_readers(waiter->store->state);
	store_turn_give(waiter->store);
	return NULL;
}

/*
 * Goal: a collection that waits for its turn reads nothing meanwhile, so that
 * who leads can mend the state.  Method: turns that are taken before and after
 * its first one, which come in the order in which they queued up.
 */
START_TEST(mend_waiting)
{
	struct mbj_blobs *blobs = NULL;
	struct waiter waiter;
	struct mbj_hash blob;
	pthread_t collector;
	struct site site;

	site_begin(&site);
	site_import(site.store, 1, 3);
	SITE_OK(mbj_store_blobs(site.store, &blobs, err));
	for (int i = 0; i < BODIES; i++) {
		uint8_t body = (uint8_t)i;

		SITE_OK(mbj_blob_put(blobs, mbj_bytes_make(&body, 1), &blob,
				     err));
	}
	waiter = (struct waiter){.store = site.store};
	SITE_OK(store_turn_take(site.store, err));
	ck_assert_int_eq(pthread_create(&collector, NULL, collect_run,
					site.store),
			 0);
	site_await_waiting(site.store, 1);
	ck_assert_int_eq(pthread_create(&waiter.thread, NULL, waiter_run,
					&waiter),
			 0);
	site_await_waiting(site.store, 2);
	store_turn_give(site.store);
	ck_assert_int_eq(pthread_join(waiter.thread, NULL), 0);
	ck_assert_int_eq(pthread_join(collector, NULL), 0);
	ck_assert(!waiter.is_reading);
	site_end(&site);
}
END_TEST

/* ------------------------------------------------------------------ stop */

struct asker {
	struct mbj_client *client;
	enum mbj_rc rc;
	struct mbj_error error;
};

static void *asker_run(void *context)
{
	struct asker *asker = context;
	struct mbj_snapshot_result snapshot;

	asker->rc =
		mbj_client_snapshot(asker->client, &snapshot, &asker->error);
	return NULL;
}

/*
 * Goal: a service that stops is not held by a snapshot.  Method: it waits for
 * its turn when the service is told; the turn is given once the service knows.
 */
START_TEST(mend_stop)
{
	struct mbj_snapshot_result snapshot;
	struct asker asker = {.rc = MBJ_OK};
	struct mbj_store *store;
	struct served s;
	pthread_t thread;

	served_begin(&s);
	store = s.site.store;
	asker.client = s.client;
	SITE_OK(store_turn_take(store, err));
	ck_assert_int_eq(pthread_create(&thread, NULL, asker_run, &asker), 0);
	site_await_waiting(store, 1);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	while (!atomic_load(&store->is_halted))
		(void)sched_yield();
	store_turn_give(store);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(asker.rc, MBJ_EBUSY);
	served_join(&s);
	/* Nobody is halted any more. */
	SITE_OK(mbj_store_snapshot(store, &snapshot, err));
	ck_assert(snapshot.is_new);
	mbj_client_close(&s.client);
	ck_assert(site_is_sound(store));
	site_end(&s.site);
}
END_TEST

/*
 * Goal: whoever is told to give up does so in the middle, and nothing is lost.
 * Method: told as the snapshot's file is made (0), as the first segment (1) or
 * the first content (2) is removed; then the same again.
 */
START_TEST(mend_halt)
{
	const struct mbj_trim_options options = keep_nothing();
	struct mbj_collect_result collected;
	struct mbj_snapshot_result snapshot;
	struct mbj_blobs *blobs = NULL;
	struct mbj_trim_result trim;
	struct between between;
	struct mbj_error error;
	struct mbj_hash blob;
	struct site site;
	static const char *const places[] = {"/snapshots/", "/journal/",
					     "/blobs/"};

	between_init(&between);
	site_fill(&site, &between.table);
	SITE_OK(mbj_store_blobs(site.store, &blobs, err));
	for (int i = 0; i < BODIES; i++) {
		uint8_t body = (uint8_t)i;

		SITE_OK(mbj_blob_put(blobs, mbj_bytes_make(&body, 1), &blob,
				     err));
	}
	between.store = site.store;
	between.halt_at = places[_i];
	if (_i == 0) {
		SITE_FAILS(mbj_store_snapshot(site.store, &snapshot, err),
			   MBJ_EBUSY, &error);
	} else if (_i == 1) {
		SITE_FAILS(mbj_store_trim(site.store, &options, &trim, err),
			   MBJ_EBUSY, &error);
	} else {
		SITE_FAILS(mbj_store_collect(site.store, false, &collected,
					     err),
			   MBJ_EBUSY, &error);
	}
	ck_assert_ptr_null(between.halt_at);
	SITE_FAILS(mbj_store_snapshot(site.store, &snapshot, err), MBJ_EBUSY,
		   &error);
	store_unshare(site.store);
	SITE_OK(mbj_store_trim(site.store, &options, &trim, err));
	ck_assert_uint_gt(trim.segments, 0);
	SITE_OK(mbj_store_collect(site.store, false, &collected, err));
	ck_assert_uint_eq(collected.removed, _i == 2 ? BODIES - 64 : BODIES);
	ck_assert(site_is_sound(site.store));
	site_end(&site);
}
END_TEST

TCase *test_house_mend_case(void)
{
	TCase *tc = tcase_create("house_mend");

	tcase_add_loop_test(tc, mend_registered, 0, 2);
	tcase_add_test(tc, mend_register_held);
	tcase_add_test(tc, mend_left);
	tcase_add_loop_test(tc, mend_options, 0, 3);
	tcase_add_loop_test(tc, mend_room, 0, 3);
	tcase_add_test(tc, mend_waiting);
	tcase_add_test(tc, mend_stop);
	tcase_add_loop_test(tc, mend_halt, 0, 3);
	return tc;
}
