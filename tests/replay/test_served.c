/*
 * A replica that is served while it follows: threads of a source, a follower,
 * the service and clients, one store between them.  Other processes are in
 * tests/cli/test_watch.py.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/client.h>
#include <mbj/collect.h>
#include <mbj/service.h>
#include <mbj/skips.h>
#include <mbj/trim.h>

#include "stream_lab.h"

enum { READERS = 3, RENAMES = 60, WAIT_MS_MAX = 60000 };

struct served {
	struct fixture f;
	struct mbj_upstream *upstream;
	struct pair pair;
	int stop_fd;
	char socket[MBJ_PATH_TEXT_MAX];
	enum mbj_rc follow_rc;
	enum mbj_rc serve_rc;
	atomic_bool is_behind; /* a reader found a tree that was never there */
};

static void *follow_main(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct served *s = context;

	options.in_fd = s->pair.near;
	options.out_fd = s->pair.near;
	options.stop_fd = s->stop_fd;
	options.wait_ms = 50;
	options.upstream = s->upstream;
	s->follow_rc = mbj_stream_follow(s->f.replica, &options, &result, NULL);
	return NULL;
}

static void *serve_main(void *context)
{
	struct mbj_service_options options = MBJ_SERVICE_OPTIONS_INIT;
	struct served *s = context;

	options.stop_fd = s->stop_fd;
	options.upstream = s->upstream;
	s->serve_rc = mbj_service_run(s->f.replica, &options, NULL);
	return NULL;
}

static struct mbj_client *client_new(const struct served *s)
{
	struct mbj_client *client = NULL;

	for (int i = 0; i < WAIT_MS_MAX; i++) {
		if (mbj_client_connect(s->socket, NULL, &client, NULL) ==
		    MBJ_OK)
			return client;
		(void)poll(NULL, 0, 1);
	}
	return NULL;
}

/* How many groups this replica has, as its service says. */
static struct mbj_client_status status_of(struct mbj_client *client)
{
	struct mbj_client_status status = {0};

	(void)!mbj_client_status(client, &status, NULL);
	return status;
}

/* States of the account never go back, and it has all its mailboxes. */
static void *read_main(void *context)
{
	struct served *s = context;
	struct mbj_client *client = client_new(s);
	struct mbj_account account;
	struct mbj_tree *tree;
	uint64_t last = 0;

	if (client == NULL) {
		s->is_behind = true;
		return NULL;
	}
	while (last < 1 + RENAMES && !s->is_behind) {
		enum mbj_rc rc;

		tree = NULL;
		rc = mbj_client_tree(client, mbj_bytes_str("alice"), &account,
				     &tree, NULL);
		if (rc == MBJ_ENOTFOUND && last == 0)
			continue;
		if (rc < 0 || account.lsn.v < last ||
		    mbj_tree_live_count(tree) != account.mailbox_count)
			s->is_behind = true;
		else
			last = account.lsn.v;
		mbj_tree_free(&tree);
	}
	mbj_client_close(&client);
	return NULL;
}

/* The status once the replica is known to have this group, and all. */
static void current_wait(struct mbj_client *client, uint64_t lsn)
{
	struct mbj_client_status status;
	bool is_current = false;

	for (int i = 0; i < WAIT_MS_MAX && !is_current; i++) {
		status = status_of(client);
		is_current = status.upstream.was_current &&
			     status.upstream.end == lsn &&
			     status.applied.lsn.v == lsn;
		mbj_client_status_done(&status);
		(void)poll(NULL, 0, 1);
	}
	ck_assert(is_current);
}

static void served_begin(struct served *s)
{
	*s = (struct served){.stop_fd = -1};
	(void)signal(SIGPIPE, SIG_IGN);
	fixture_begin(&s->f);
	fixture_import(&s->f, "alice", 4);
	OK(mbj_upstream_new(&s->upstream, err));
	OK(mbj_path_join(s->socket, s->f.replica_dir, MBJ_SERVICE_SOCKET, err));
	s->stop_fd = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(s->stop_fd, 0);
	pair_open(&s->pair);
}

static void served_end(struct served *s)
{
	struct mbj_verify_totals totals;

	ck_assert_int_eq(s->follow_rc, MBJ_OK);
	ck_assert_int_eq(s->serve_rc, MBJ_OK);
	ck_assert_uint_eq(fixture_differences(&s->f, &totals), 0);
	pair_close(&s->pair);
	(void)close(s->stop_fd);
	mbj_upstream_free(&s->upstream);
	fixture_end(&s->f);
}

static void thread_begin(pthread_t *thread, void *(*run)(void *), void *context)
{
	ck_assert_int_eq(pthread_create(thread, NULL, run, context), 0);
}

static void thread_end(pthread_t thread)
{
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

/*
 * Goal: a replica takes its primary's lineage and its groups while clients read
 * it, and says how it stands.  Method: a source, a follower, a service and
 * three readers at once; 60 renames, one after the other.
 */
START_TEST(served_while_following)
{
	pthread_t source, service, follower, readers[READERS];
	struct mbj_client_status status;
	struct mbj_client *client;
	struct sender sender;
	struct served s;

	served_begin(&s);
	sender = (struct sender){s.f.primary_dir, s.pair.far, MBJ_OK};
	thread_begin(&source, sender_run, &sender);
	thread_begin(&service, serve_main, &s);
	for (int i = 0; i < READERS; i++)
		thread_begin(&readers[i], read_main, &s);
	client = client_new(&s);
	ck_assert_ptr_nonnull(client);
	status = status_of(client);
	ck_assert_int_eq(status.upstream.state, MBJ_UPSTREAM_CONNECTING);
	ck_assert(mbj_id_is_root(status.identity.lineage));
	mbj_client_status_done(&status);
	thread_begin(&follower, follow_main, &s);
	for (int i = 0; i < RENAMES; i++)
		fixture_rename(&s.f, "alice", i % 2 == 0 ? "m2" : "other",
			       i % 2 == 0 ? "other" : "m2");
	for (int i = 0; i < READERS; i++)
		thread_end(readers[i]);
	ck_assert(!s.is_behind);
	current_wait(client, 1 + RENAMES);
	status = status_of(client);
	ck_assert_int_eq(status.upstream.state, MBJ_UPSTREAM_FOLLOWING);
	ck_assert_uint_eq(status.upstream.connections, 1);
	ck_assert(!mbj_id_is_root(status.identity.lineage));
	mbj_client_status_done(&status);
	mbj_client_close(&client);
	ck_assert_int_eq(eventfd_write(s.stop_fd, 1), 0);
	thread_end(follower);
	thread_end(service);
	(void)shutdown(s.pair.near, SHUT_RDWR);
	thread_end(source);
	served_end(&s);
}
END_TEST

/* ----------------------------------------------------- beside who feeds it */

enum { ROUNDS = 100, SKIPS = 100 };

struct keeper {
	struct mbj_store *store;
	pthread_t thread;
	atomic_bool is_over;
	atomic_uint count;
};

static void *trim_main(void *context)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_snapshot_result snapshot;
	struct mbj_trim_result trimmed;
	struct keeper *keeper = context;

	while (!atomic_load(&keeper->is_over)) {
		OK(mbj_store_snapshot(keeper->store, &snapshot, err));
		OK(mbj_store_trim(keeper->store, &options, &trimmed, err));
		(void)atomic_fetch_add(&keeper->count, 1);
	}
	return NULL;
}

static void *collect_main(void *context)
{
	struct mbj_collect_result collected;
	struct keeper *keeper = context;

	while (!atomic_load(&keeper->is_over))
		OK(mbj_store_collect(keeper->store, false, &collected, err));
	return NULL;
}

static void keeper_begin(struct keeper *keeper, struct fixture *f)
{
	fixture_begin(f);
	fixture_import(f, "alice", 4);
	(void)fixture_replay(f);
	memset(keeper, 0, sizeof(*keeper));
	keeper->store = f->replica;
}

static void keeper_end(struct keeper *keeper)
{
	atomic_store(&keeper->is_over, true);
	thread_end(keeper->thread);
}

/*
 * Goal: contents are collected on a replica while groups come.  Method: groups
 * that were given up, whose contents a collection looks for in the journal, as
 * that grows.
 */
START_TEST(served_collected)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_verify_totals totals;
	struct keeper keeper;
	struct fixture f;

	keeper_begin(&keeper, &f);
	for (int i = 1; i <= SKIPS; i++) {
		const struct mbj_skip skip = {fixture_id((uint8_t)i),
					      {1},
					      {1},
					      true};

		OK(mbj_skips_add(f.replica, skip, err));
	}
	for (int i = 0; i < ROUNDS; i++)
		fixture_rename(&f, "alice", i % 2 == 0 ? "m2" : "other",
			       i % 2 == 0 ? "other" : "m2");
	thread_begin(&keeper.thread, collect_main, &keeper);
	for (int i = 0; i < ROUNDS; i++) {
		options.until.v = (uint64_t)i + 2;
		OK(mbj_replay_journal(f.replica, f.primary_dir, &options,
				      &result, err));
	}
	keeper_end(&keeper);
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a replica is trimmed while epochs of its source come.  Method: one
 * after the other.
 */
START_TEST(served_reigned)
{
	struct mbj_identity source;
	struct keeper keeper;
	struct fixture f;

	keeper_begin(&keeper, &f);
	source = mbj_store_identity_copy(f.primary);
	thread_begin(&keeper.thread, trim_main, &keeper);
	while (atomic_load(&keeper.count) < ROUNDS) {
		source.epoch.v++;
		OK(mbj_store_adopt(f.replica, &source, err));
	}
	keeper_end(&keeper);
	ck_assert_uint_eq(mbj_store_identity_copy(f.replica).epoch.v,
			  source.epoch.v);
	fixture_end(&f);
}
END_TEST

TCase *test_served_case(void)
{
	TCase *tc = tcase_create("served");

	tcase_add_test(tc, served_while_following);
	tcase_add_test(tc, served_collected);
	tcase_add_test(tc, served_reigned);
	return tc;
}
