/*
 * What must be on disk before what, looked at in the trace itself.
 */
#include <stdio.h>
#include <string.h>

#include <mbj/trim.h>

#include "cut_lab.h"
#include "store_impl.h"

struct order {
	struct cut_lab lab;
	unsigned pages; /* writes of tables that were looked at */
};

/* The log files of the primary's state that hold something. */
static void log_files_each(struct order *order, struct disk *disk,
			   void (*see)(struct disk *disk, const char *path))
{
	char path[MBJ_PATH_TEXT_MAX];

	for (unsigned i = 1; i < 64; i++) {
		size_t n = 0;

		(void)snprintf(path, sizeof(path), "%.900s/state/log.%010u",
			       order->lab.primary.dir, i);
		if (disk_file_size(disk, path, &n) && n > 0)
			see(disk, path);
	}
}

static void entry_see(struct disk *disk, const char *path)
{
	ck_assert_msg(disk_is_entered(disk, path),
		      "a page goes out before the entry of %s", path);
}

static void entries_watch(void *context, struct disk *disk, enum disk_call call,
			  const char *path)
{
	struct order *order = context;

	if (call != DISK_CALL_WRITE || strcmp(path, "state.db") != 0)
		return;
	order->pages++;
	log_files_each(order, disk, entry_see);
}

static void order_begin(struct order *order)
{
	memset(order, 0, sizeof(*order));
	cut_lab_init(&order->lab, 1);
	order->lab.options.state.log_file_size = 16u << 10;
	order->lab.options.state.checkpoint_log_size = 1u << 10;
	order->lab.options.sys = disk_sys(order->lab.live);
	(void)disk_db_use(order->lab.live);
	(void)snprintf(order->lab.primary.dir, MBJ_PATH_TEXT_MAX, "%.900s/p",
		       order->lab.root);
	SITE_OK(mbj_store_init(order->lab.primary.dir, MBJ_STORE_PRIMARY,
			       &order->lab.options, err));
	SITE_OK(mbj_store_open(order->lab.primary.dir, &order->lab.options,
			       &order->lab.primary.store, err));
}

static void order_end(struct order *order)
{
	mbj_store_close(&order->lab.primary.store);
	cut_lab_done(&order->lab);
}

/*
 * Goal: no page is written on the strength of a log file whose entry a power
 * cut could take away: recovery would take the shorter log for the whole.
 * Method: many small log files; at each write of a page look at all of them.
 */
START_TEST(log_entries_before_pages)
{
	static struct order order;

	order_begin(&order);
	disk_watch(order.lab.live, entries_watch, &order);
	for (unsigned i = 1; i <= 12; i++)
		site_import(order.lab.primary.store, i, 12);
	mbj_store_close(&order.lab.primary.store);
	SITE_OK(mbj_store_open(order.lab.primary.dir, &order.lab.options,
			       &order.lab.primary.store, err));
	site_import(order.lab.primary.store, 13, 12);
	ck_assert_uint_gt(order.pages, 50);
	order_end(&order);
}
END_TEST

static void content_see(struct disk *disk, const char *path)
{
	ck_assert_msg(disk_is_synced(disk, path),
		      "recovery follows what is not on disk: %s", path);
}

/* The first page of a recovery: everything that it read is on disk. */
static void recovery_watch(void *context, struct disk *disk,
			   enum disk_call call, const char *path)
{
	struct order *order = context;
	char table[MBJ_PATH_TEXT_MAX];

	if (order->pages > 0 || call != DISK_CALL_WRITE ||
	    (strcmp(path, "state.db") != 0 && strncmp(path, "log.", 4) != 0))
		return;
	order->pages++;
	if (strcmp(path, "state.db") == 0) {
		log_files_each(order, disk, content_see);
		return;
	}
	(void)snprintf(table, sizeof(table), "%.900s/state/state.db",
		       order->lab.primary.dir);
	content_see(disk, table);
}

/* The process dies here, and whoever opens the store next is watched. */
static void kill_and_open(struct order *order, struct disk *disk,
			  void (*watch)(void *context, struct disk *disk,
					enum disk_call call, const char *path))
{
	struct disk *killed = order->lab.first;
	struct mbj_store_options options = order->lab.options;
	struct mbj_store *store = NULL;

	disk_copy(killed, disk);
	options.sys = disk_sys(killed);
	(void)disk_db_use(killed);
	disk_watch(killed, watch, order);
	SITE_OK(mbj_store_open(order->lab.primary.dir, &options, &store, err));
	disk_watch(killed, NULL, NULL);
	mbj_store_close(&store);
	(void)disk_db_use(disk);
}

/*
 * Goal: a recovery after a kill does not build on what is in the page cache
 * alone, which a power cut soon after would take from under it.  Method: kill
 * at each step of some edits; at the first write of the recovery look at what
 * it read.
 */
static void kill_watch(void *context, struct disk *disk, enum disk_call call,
		       const char *path)
{
	struct order *order = context;

	(void)call;
	(void)path;
	order->pages = 0;
	kill_and_open(order, disk, recovery_watch);
}

START_TEST(recovery_begins_on_disk)
{
	static struct order order;

	order_begin(&order);
	site_import(order.lab.primary.store, 1, 3);
	disk_watch(order.lab.live, kill_watch, &order);
	for (unsigned i = 2; i <= 4; i++)
		site_import(order.lab.primary.store, i, 12);
	disk_watch(order.lab.live, NULL, NULL);
	order_end(&order);
}
END_TEST

static void segment_watch(void *context, struct disk *disk, enum disk_call call,
			  const char *path)
{
	struct order *order = context;
	char superblock[MBJ_PATH_TEXT_MAX];

	if (call != DISK_CALL_UNLINK || strstr(path, ".seg") == NULL)
		return;
	order->pages++;
	(void)snprintf(superblock, sizeof(superblock), "%.900s/mbj.store",
		       order->lab.primary.dir);
	ck_assert_msg(disk_is_entered(disk, superblock),
		      "%s goes before the superblock that says so", path);
}

static void trim_watch(void *context, struct disk *disk, enum disk_call call,
		       const char *path)
{
	(void)call;
	(void)path;
	kill_and_open(context, disk, segment_watch);
}

/*
 * Goal: no segment goes before it is on disk that the journal begins behind it,
 * also where a kill came in between: a power cut would bring back a superblock
 * without its journal.  Method: kill at each step of a trim, and look at each
 * segment that the next opening removes.
 */
START_TEST(segments_behind_superblock)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_trim_result result;
	static struct order order;

	order_begin(&order);
	for (unsigned i = 1; i <= 6; i++)
		site_import(order.lab.primary.store, i, 12);
	options.keep_us = 0;
	options.keep_requests = 0;
	order.pages = 0;
	disk_watch(order.lab.live, trim_watch, &order);
	SITE_OK(mbj_store_trim(order.lab.primary.store, &options, &result,
			       err));
	disk_watch(order.lab.live, NULL, NULL);
	ck_assert_uint_gt(result.segments, 0);
	ck_assert_uint_gt(order.pages, 0);
	order_end(&order);
}
END_TEST

/* Open intents of the account, and whether its rename is there, after a cut. */
static void outcome_see(struct order *order, struct mbj_store *store)
{
	struct mbj_account account;
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	struct mbj_txn *txn = NULL;
	char name[MBJ_NAME_MAX + 1];
	unsigned open = 0;

	SITE_OK(mbj_store_read(store, &txn, err));
	SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str("u1"), &account, err));
	SITE_OK(mbj_scan_intents(txn, account.id, &scan, err));
	while (mbj_scan_next_intent(&scan, &intent, NULL) == MBJ_OK)
		open++;
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	site_name(store, 1, 2, name);
	ck_assert_str_eq(name, open == 1 ? "m2" : "new");
	order->pages += open;
}

static void outcome_watch(void *context, struct disk *disk, enum disk_call call,
			  const char *path)
{
	struct order *order = context;
	struct mbj_store_options options = order->lab.options;
	struct mbj_store *store = NULL;

	(void)call;
	(void)path;
	for (int kind = 0; kind < DISK_CUT_COUNT; kind++) {
		struct disk *cut = order->lab.first;
		struct disk_choice choice = {0};

		disk_choose(disk, (enum disk_cut_kind)kind, 1, &choice);
		disk_cut(cut, disk, (enum disk_cut_kind)kind, &choice);
		disk_choice_done(&choice);
		options.sys = disk_sys(cut);
		(void)disk_db_use(cut);
		SITE_OK(mbj_store_open(order->lab.primary.dir, &options, &store,
				       err));
		outcome_see(order, store);
		mbj_store_close(&store);
		(void)disk_db_use(disk);
	}
}

/*
 * Goal: wherever power fails behind the early answer to an outcome, it is
 * recorded, or its intent is open: never neither.  Method: cut in every way
 * when it is answered, and at each step until it is durable.
 */
START_TEST(outcome_or_intent)
{
	static struct order order;
	struct mbj_outcome outcome = {0};
	struct request *request = NULL;
	struct site_rename rename;
	struct mbj_store *store;
	unsigned lost;

	order_begin(&order);
	store = order.lab.primary.store;
	site_import(store, 1, 3);
	site_rename_make(&rename, 1, "m2", "new");
	rename.edit.stage = MBJ_STAGE_INTENT;
	rename.edit.producer = mbj_bytes_str("imap");
	SITE_OK(mbj_store_submit(store, &rename.edit, &outcome, err));
	rename.edit.stage = MBJ_STAGE_DONE;
	rename.edit.producer = mbj_bytes_make(NULL, 0);
	rename.edit.intent = outcome.intent;
	mbj_outcome_done(&outcome);
	SITE_OK(store_take(store, &rename.edit, store_removals(store), false,
			   &request, err));
	ck_assert_ptr_nonnull(request);
	outcome_watch(&order, order.lab.live, DISK_CALL_SYNC, "");
	ck_assert_uint_eq(order.pages, DISK_CUT_COUNT);
	disk_watch(order.lab.live, outcome_watch, &order);
	SITE_OK(store_taken_end(store, &request, err));
	disk_watch(order.lab.live, NULL, NULL);
	lost = order.pages;
	ck_assert_uint_gt(lost, DISK_CUT_COUNT);
	outcome_watch(&order, order.lab.live, DISK_CALL_SYNC, "");
	ck_assert_uint_eq(order.pages, lost);
	order_end(&order);
}
END_TEST

static TCase *test_order_case(void)
{
	TCase *tc = tcase_create("order");

	tcase_add_test(tc, log_entries_before_pages);
	tcase_add_test(tc, recovery_begins_on_disk);
	tcase_add_test(tc, segments_behind_superblock);
	tcase_add_test(tc, outcome_or_intent);
	return tc;
}

int main(void)
{
	static const test_case_fn cases[] = {test_order_case};

	return test_run("order", cases, 1);
}
