/*
 * The deepest inputs on a small stack: what a server's worker thread has.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/jmap.h>

#include "fixture.h"

#if defined(__SANITIZE_ADDRESS__)
#define STACK_FACTOR 8
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STACK_FACTOR 8 /* red zones and no sharing of slots */
#endif
#endif
#ifndef STACK_FACTOR
#define STACK_FACTOR 1
#endif

enum {
	STACK_SIZE = STACK_FACTOR * 256 * 1024,
	JSON_LEVELS = 100000,
};

struct stack_run {
	enum mbj_state_engine engine;
	char *tmpdir;
};

static void on_small_stack(void *(*body)(void *), void *context)
{
	pthread_attr_t attr;
	pthread_t thread;

	ck_assert_int_eq(pthread_attr_init(&attr), 0);
	ck_assert_int_eq(pthread_attr_setstacksize(&attr, STACK_SIZE), 0);
	ck_assert_int_eq(pthread_create(&thread, &attr, body, context), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	pthread_attr_destroy(&attr);
}

static struct mbj_id chain_id(uint32_t i)
{
	struct mbj_id id = MBJ_ID_ROOT;

	id.b[0] = 1;
	id.b[MBJ_ID_SIZE - 2] = (uint8_t)(i >> 8);
	id.b[MBJ_ID_SIZE - 1] = (uint8_t)i;
	return id;
}

/* A chain as deep as it may be; upside down: the first is the deepest. */
static void chain_fill(struct mbj_change *changes, bool is_upside_down)
{
	for (uint32_t i = 0; i < MBJ_DEPTH_MAX; i++) {
		uint32_t above = is_upside_down ? i + 1 : i - 1;

		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = chain_id(i),
			.parent = above < MBJ_DEPTH_MAX ? chain_id(above)
							: MBJ_ID_ROOT,
			.name = mbj_bytes_str("x"),
		};
	}
}

static void submit(struct mbj_store *store, enum mbj_edit_kind kind,
		   const struct mbj_change *changes, size_t count,
		   bool is_dry_run)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};

	edit.kind = kind;
	edit.account = mbj_bytes_str("deep");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = count;
	edit.is_dry_run = is_dry_run;
	OK(mbj_store_submit(store, &edit, &outcome, err));
	ck_assert_uint_eq(outcome.refused_count, 0);
	ck_assert_uint_gt(outcome.record.n, 0);
	mbj_outcome_done(&outcome);
}

static void edits_make(struct mbj_store *store)
{
	struct mbj_change *changes = calloc(MBJ_DEPTH_MAX, sizeof(*changes));
	struct mbj_change deepest;

	ck_assert_ptr_nonnull(changes);
	chain_fill(changes, false);
	submit(store, MBJ_EDIT_IMPORT, changes, MBJ_DEPTH_MAX, false);
	deepest = (struct mbj_change){
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME,
		.id = chain_id(MBJ_DEPTH_MAX - 1),
		.name = mbj_bytes_str("y"),
	};
	submit(store, MBJ_EDIT_SET, &deepest, 1, false);
	chain_fill(changes, true);
	submit(store, MBJ_EDIT_RECONCILE, changes, MBJ_DEPTH_MAX, true);
	submit(store, MBJ_EDIT_RECONCILE, changes, MBJ_DEPTH_MAX, false);
	free(changes);
}

static void account_check(struct mbj_store *store)
{
	struct mbj_id account = fixture_account(store, "deep");
	struct mbj_digest digest;
	struct mbj_txn *txn = NULL;

	OK(mbj_store_read(store, &txn, err));
	OK(mbj_txn_account_check(txn, account, &digest, err));
	mbj_txn_abort(&txn);
}

static void *stores_live(void *context)
{
	const struct stack_run *run = context;
	struct fixture f = {.tmpdir = run->tmpdir};
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_verify_totals totals;

	options.state.engine = run->engine;
	OK(mbj_path_join(f.primary_dir, f.tmpdir, "p", err));
	OK(mbj_path_join(f.replica_dir, f.tmpdir, "r", err));
	OK(mbj_store_init(f.primary_dir, MBJ_STORE_PRIMARY, &options, err));
	OK(mbj_store_init(f.replica_dir, MBJ_STORE_REPLICA, &options, err));
	OK(mbj_replica_open(f.primary_dir, &options, &f.primary, err));
	OK(mbj_replica_open(f.replica_dir, &options, &f.replica, err));
	edits_make(f.primary);
	(void)fixture_replay(&f);
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	account_check(f.primary);
	account_check(f.replica);
	mbj_store_close(&f.primary);
	options.is_rebuild_forced = true;
	OK(mbj_replica_open(f.primary_dir, &options, &f.primary, err));
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	mbj_store_close(&f.primary);
	mbj_store_close(&f.replica);
	return NULL;
}

/*
 * Goal: no path through the library needs more stack than a thread has, at
 * any depth that it accepts.
 * Method: the deepest chain is imported, changed, turned upside down (first
 * only planned), replayed, verified, checked and rebuilt, on 256 KiB.
 */
START_TEST(test_deepest_tree)
{
	static const enum mbj_state_engine engines[] = {MBJ_STATE_MEMORY,
							MBJ_STATE_BERKELEY_DB};
	struct stack_run run = {.engine = engines[_i]};

	run.tmpdir = test_tmpdir_new();
	on_small_stack(stores_live, &run);
	test_tmpdir_free(&run.tmpdir);
}
END_TEST

static void *json_parse(void *context)
{
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;
	struct mbj_bytes json = *(const struct mbj_bytes *)context;
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_set *set = NULL;
	struct mbj_jmap_map *map = NULL;
	struct mbj_error error;

	options.mode = MBJ_JMAP_IMPORT;
	options.sys = mbj_sys_posix();
	OK(mbj_jmap_map_new(options.sys, &map, err));
	ck_assert_int_eq(mbj_jmap_list_parse(json, &options, map, &list,
					     &error),
			 MBJ_EINVALID);
	ck_assert_ptr_null(list);
	ck_assert_int_eq(mbj_jmap_set_parse(json, MBJ_JMAP_INPUT_MAX,
					    options.sys, &set, &error),
			 MBJ_EINVALID);
	ck_assert_ptr_null(set);
	mbj_jmap_map_free(&map);
	return NULL;
}

/*
 * Goal: JSON that opens without end is refused, not followed.
 * Method: 100,000 levels of arrays, and of objects, on 256 KiB.
 */
START_TEST(test_deepest_json)
{
	static const char *const levels[] = {"[", "{\"a\":"};
	size_t n = strlen(levels[_i]);
	char *text = malloc(JSON_LEVELS * n);
	struct mbj_bytes json = mbj_bytes_make(text, JSON_LEVELS * n);

	ck_assert_ptr_nonnull(text);
	for (size_t i = 0; i < JSON_LEVELS * n; i++)
		text[i] = levels[_i][i % n];
	on_small_stack(json_parse, &json);
	free(text);
}
END_TEST

TCase *test_stack_case(void)
{
	TCase *tc = tcase_create("stack");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, test_deepest_tree, 0, 2);
	tcase_add_loop_test(tc, test_deepest_json, 0, 2);
	return tc;
}
