/*
 * Space that edits leave free: what is refused below the mark, before anything
 * is written, and what goes on.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <mbj/blob.h>
#include <mbj/collect.h>

#include "commit_fault.h"
#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

/* What a small edit takes at most. */
enum { MARK = 1 << 20, SMALL = 32 << 10 };

struct lab {
	struct site site;
	struct mbj_sys sys;
	int64_t left; /* or an error number, negative */
	int64_t now;
	bool is_renamed;
	struct mbj_error err;
};

static int64_t lab_space(void *ctx, const char *path)
{
	const struct lab *lab = ctx;

	ck_assert_ptr_nonnull(path);
	return lab->left;
}

static int64_t lab_now(void *ctx)
{
	const struct lab *lab = ctx;

	return lab->now;
}

static void lab_begin(struct lab *lab)
{
	memset(lab, 0, sizeof(*lab));
	site_begin(&lab->site);
	site_import(lab->site.store, 1, 4);
	/* The real one ignores its context. */
	lab->sys = *mbj_sys_posix();
	lab->sys.ctx = lab;
	lab->sys.space = lab_space;
	lab->sys.now_us = lab_now;
	lab->now = INT64_C(1700000000000000);
	lab->left = MARK + SMALL;
	lab->site.options.sys = &lab->sys;
	lab->site.options.space_min = MARK;
	site_reopen(&lab->site);
}

static enum mbj_rc rename_try(struct lab *lab)
{
	static const char *const names[] = {"m2", "x2"};
	bool from = lab->is_renamed;
	enum mbj_rc rc;

	rc = site_rename(lab->site.store, 1, names[from], names[!from], NULL,
			 &lab->err);
	lab->is_renamed = from != (rc == MBJ_OK);
	return rc;
}

static enum mbj_rc submit(struct lab *lab, struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	enum mbj_rc rc;

	edit->account = mbj_bytes_str("u1");
	rc = mbj_store_submit(lab->site.store, edit, &outcome, &lab->err);
	mbj_outcome_done(&outcome);
	return rc;
}

static enum mbj_rc message_try(struct lab *lab, enum mbj_message_edit_kind kind,
			       const struct mbj_hash *blob, uint64_t size)
{
	static const uint8_t uids[] = {1, 0, 0, 0, 1, 0, 0, 0};
	struct mbj_message_edit step = {.kind = kind,
					.mailbox = site_mailbox(1, 1)};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	if (blob != NULL) {
		step.blob = *blob;
		step.size = size;
	} else {
		step.uids = mbj_bytes_make(uids, sizeof(uids));
	}
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	return submit(lab, &edit);
}

/*
 * Goal: at the mark edits are carried out, one byte below it they are refused,
 * with words, and nothing is written; dry runs, reading and closing go on; so
 * do edits once there is space.  Method: a file system that says what it is
 * told to say.
 */
START_TEST(space_edits)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_rename rename = {mbj_bytes_str("m3"), mbj_bytes_str("x3")};
	struct lab lab;
	uint64_t end;

	lab_begin(&lab);
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	end = mbj_store_end(lab.site.store).lsn.v;
	lab.left = MARK - 1;
	ck_assert_int_eq(rename_try(&lab), MBJ_ENOSPC);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "1048575 bytes"));
	ck_assert_uint_eq(mbj_store_end(lab.site.store).lsn.v, end);
	edit.kind = MBJ_EDIT_RENAME;
	edit.renames = &rename;
	edit.rename_count = 1;
	edit.is_dry_run = true;
	ck_assert_int_eq(submit(&lab, &edit), MBJ_OK);
	ck_assert(site_is_sound(lab.site.store));
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).left, MARK - 1);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).min, MARK);
	site_reopen(&lab.site);
	ck_assert_uint_eq(mbj_store_end(lab.site.store).lsn.v, end);
	lab.left = MARK + SMALL;
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	site_end(&lab.site);
}
END_TEST

/* 3,000 mailboxes at once. */
static struct mbj_edit large_edit(void)
{
	enum { COUNT = 3000 };
	static struct mbj_change changes[COUNT];
	static char names[COUNT][8];
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (unsigned i = 0; i < COUNT; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "n%u", i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = site_mailbox(1, 100 + i),
			.name = mbj_bytes_str(names[i]),
		};
	}
	edit.kind = MBJ_EDIT_SET;
	edit.changes = changes;
	edit.change_count = COUNT;
	return edit;
}

/*
 * Goal: an edit that does not fit above the mark is refused before anything is
 * written, and it is said what it takes.  Method: room for a small one, and
 * 3,000 mailboxes at once; then room for these.
 */
START_TEST(space_large)
{
	struct mbj_edit edit = large_edit();
	struct lab lab;
	uint64_t end;

	lab_begin(&lab);
	end = mbj_store_end(lab.site.store).lsn.v;
	lab.left = MARK + 1000000;
	ck_assert_int_eq(submit(&lab, &edit), MBJ_ENOSPC);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "this takes up to"));
	ck_assert_uint_eq(mbj_store_end(lab.site.store).lsn.v, end);
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	lab.left = MARK + 10000000;
	ck_assert_int_eq(submit(&lab, &edit), MBJ_OK);
	ck_assert(site_is_sound(lab.site.store));
	site_end(&lab.site);
}
END_TEST

/* One that queues up. */
struct queued {
	struct mbj_store *store;
	const struct mbj_edit *edit; /* NULL: a rename */
	enum mbj_rc rc;
	pthread_t thread;
};

static void *queued_run(void *context)
{
	struct queued *q = context;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error why;

	if (q->edit != NULL)
		q->rc = mbj_store_submit(q->store, q->edit, &outcome, &why);
	else
		q->rc = site_rename(q->store, 1, "m2", "x2", NULL, &why);
	mbj_outcome_done(&outcome);
	return NULL;
}

/*
 * Goal: nobody is refused for what comes before him in a batch.  Method: a
 * large edit and a small one wait for the same batch, and there is exactly as
 * much room as the large one says that it takes; or none for the large one,
 * too.
 */
START_TEST(space_beside)
{
	struct mbj_edit edit = large_edit();
	struct queued queued[2];
	unsigned long long takes;
	const char *said;
	struct lab lab;

	lab_begin(&lab);
	lab.left = MARK + SMALL;
	ck_assert_int_eq(submit(&lab, &edit), MBJ_ENOSPC);
	said = strstr(lab.err.message, "up to ");
	ck_assert_ptr_nonnull(said);
	ck_assert_int_eq(sscanf(said, "up to %llu", &takes), 1);
	lab.left = (int64_t)(MARK + takes - (_i == 1));
	SITE_OK(store_turn_take(lab.site.store, err));
	for (size_t i = 0; i < 2; i++) {
		queued[i] = (struct queued){.store = lab.site.store,
					    .edit = i == 0 ? &edit : NULL};
		ck_assert_int_eq(pthread_create(&queued[i].thread, NULL,
						queued_run, &queued[i]),
				 0);
		site_await_waiting(lab.site.store, i + 1);
	}
	store_turn_give(lab.site.store);
	for (size_t i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(queued[i].thread, NULL), 0);
	ck_assert_int_eq(queued[0].rc, _i == 1 ? MBJ_ENOSPC : MBJ_OK);
	ck_assert_int_eq(queued[1].rc, MBJ_OK);
	ck_assert(site_is_sound(lab.site.store));
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: below the mark nothing is stored; what removes messages goes on down
 * to half of it, and a collection whatever is left.  Method: a message of
 * each time.
 */
START_TEST(space_messages)
{
	struct mbj_collect_result collected;
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash blob;
	struct lab lab;

	lab_begin(&lab);
	SITE_OK(mbj_store_blobs(lab.site.store, &blobs, err));
	SITE_OK(mbj_blob_put(blobs, mbj_bytes_str("one"), &blob, err));
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_APPEND, &blob, 3),
			 MBJ_OK);
	lab.left = MARK - 1;
	SITE_FAILS(mbj_blob_put(blobs, mbj_bytes_str("two"), &blob, err),
		   MBJ_ENOSPC, &lab.err);
	SITE_FAILS(mbj_blob_import(blobs, "/etc/passwd", &blob, &(uint64_t){0},
				   err),
		   MBJ_ENOSPC, &lab.err);
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_APPEND, &blob, 3),
			 MBJ_ENOSPC);
	lab.left = MARK / 2 - 1;
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_EXPUNGE, NULL, 0),
			 MBJ_ENOSPC);
	lab.left = MARK / 2;
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_EXPUNGE, NULL, 0),
			 MBJ_OK);
	lab.left = 0;
	SITE_OK(mbj_store_collect(lab.site.store, false, &collected, err));
	ck_assert_uint_eq(collected.removed, 1);
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	ck_assert_int_eq(submit(&lab, &edit), MBJ_ENOSPC);
	lab.left = MARK / 2;
	ck_assert_int_eq(submit(&lab, &edit), MBJ_OK);
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: what cannot be told refuses nothing, and no mark refuses nothing.
 * Method: an error, no such call, a mark of 0.
 */
START_TEST(space_unknown)
{
	struct lab lab;

	lab_begin(&lab);
	lab.left = -EIO;
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).left, UINT64_MAX);
	lab.sys.space = NULL;
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	lab.sys.space = lab_space;
	lab.left = 0;
	ck_assert_int_eq(rename_try(&lab), MBJ_ENOSPC);
	lab.site.options.space_min = 0;
	site_reopen(&lab.site);
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	site_end(&lab.site);
}
END_TEST

static void reserve_path(const struct lab *lab, char path[MBJ_PATH_TEXT_MAX])
{
	SITE_OK(mbj_path_join(path, lab->site.dir, "reserve", err));
}

/*
 * Goal: a reserve is made where there is room for it beside the mark, and
 * given up for what makes room, once: an expunge, a collection; then made
 * again.  Method: a file system that says what it is told to say.
 */
START_TEST(space_reserve)
{
	struct mbj_collect_result collected;
	struct mbj_blobs *blobs = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_hash blob;
	struct lab lab;

	lab_begin(&lab);
	reserve_path(&lab, path);
	lab.site.options.reserve_size = 3 * 4096;
	lab.left = MARK + 3 * 4096 - 1;
	site_reopen(&lab.site);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).reserve, 0);
	lab.left++;
	site_reopen(&lab.site);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).reserve,
			  3 * 4096);
	SITE_OK(mbj_store_blobs(lab.site.store, &blobs, err));
	SITE_OK(mbj_blob_put(blobs, mbj_bytes_str("one"), &blob, err));
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_APPEND, &blob, 3),
			 MBJ_OK);
	/* Nobody's else: neither an edit nor an opening that has room. */
	lab.left = MARK / 2 - 1;
	ck_assert_int_eq(rename_try(&lab), MBJ_ENOSPC);
	site_reopen(&lab.site);
	ck_assert(mbj_path_exists(mbj_sys_posix(), path));
	/* As far as this file system says, giving it up was no help. */
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_EXPUNGE, NULL, 0),
			 MBJ_ENOSPC);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	lab.left = 2 * MARK;
	SITE_OK(mbj_store_collect(lab.site.store, true, &collected, err));
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	SITE_OK(mbj_store_collect(lab.site.store, false, &collected, err));
	ck_assert(mbj_path_exists(mbj_sys_posix(), path));
	lab.left = MARK / 2 - 1;
	SITE_OK(mbj_store_collect(lab.site.store, false, &collected, err));
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	/* A short one is filled up; one that cannot be told is left alone. */
	SITE_OK(mbj_file_replace(mbj_sys_posix(), lab.site.dir, "reserve",
				 mbj_bytes_str("short"), err));
	lab.left = -EIO;
	site_reopen(&lab.site);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).reserve, 0);
	lab.left = 2 * MARK;
	site_reopen(&lab.site);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).reserve,
			  3 * 4096);
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: what is refused, and what removes nothing, gives no reserve away.
 * Method: below the mark, an expunge in a mailbox that is not there, an edit
 * without steps, a true expunge that needs more than the reserve has, and one
 * that does not.
 */
START_TEST(space_reserve_kept)
{
	static const uint8_t uids[] = {1, 0, 0, 0, 1, 0, 0, 0};
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_EXPUNGE};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_hash blob;
	struct lab lab;

	lab_begin(&lab);
	reserve_path(&lab, path);
	SITE_OK(mbj_store_blobs(lab.site.store, &blobs, err));
	SITE_OK(mbj_blob_put(blobs, mbj_bytes_str("one"), &blob, err));
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_APPEND, &blob, 3),
			 MBJ_OK);
	SITE_OK(mbj_file_replace(mbj_sys_posix(), lab.site.dir, "reserve",
				 mbj_bytes_str("0"), err));
	lab.left = MARK / 2 - 1;
	step.mailbox = site_mailbox(1, 99);
	step.uids = mbj_bytes_make(uids, sizeof(uids));
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	ck_assert_int_ne(submit(&lab, &edit), MBJ_OK);
	ck_assert_int_ne(lab.err.rc, MBJ_ENOSPC);
	ck_assert(mbj_path_exists(mbj_sys_posix(), path));
	edit.message_count = 0;
	(void)submit(&lab, &edit);
	ck_assert(mbj_path_exists(mbj_sys_posix(), path));
	/* Nor does one that would not fit with its bytes: one is there. */
	lab.left = MARK / 2 - 2;
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_EXPUNGE, NULL, 0),
			 MBJ_ENOSPC);
	ck_assert(mbj_path_exists(mbj_sys_posix(), path));
	lab.left++;
	ck_assert_int_eq(message_try(&lab, MBJ_MESSAGE_EXPUNGE, NULL, 0),
			 MBJ_ENOSPC);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: a store in use takes its reserve back once there is twice the mark,
 * looked at once a minute, or when the clock was set back; a smaller one where
 * less is asked for, none where the sum is past all numbers.  Method: a file
 * system and a clock that say what they are told to say.
 */
START_TEST(space_reserve_again)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab);
	reserve_path(&lab, path);
	lab.left = MARK;
	lab.site.options.reserve_size = 3 * 4096;
	site_reopen(&lab.site);
	lab.left = 2 * MARK - 1;
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	lab.left = -EIO;
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	lab.left = 2 * MARK;
	for (int64_t i = 0; i < 3; i++) {
		static const int64_t steps[] = {0, 60000000, -1};

		lab.now += steps[i];
		ck_assert_int_eq(rename_try(&lab), MBJ_OK);
		ck_assert_uint_eq(mbj_store_space_get(lab.site.store).reserve,
				  3 * 4096);
		ck_assert_int_eq(remove(path), 0);
		ck_assert_int_eq(rename_try(&lab), MBJ_OK);
		ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
		lab.now += 59999999;
		ck_assert_int_eq(rename_try(&lab), MBJ_OK);
		ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
		lab.now -= 59999999;
	}
	site_reopen(&lab.site);
	lab.site.options.reserve_size = 4096;
	site_reopen(&lab.site);
	ck_assert_uint_eq(mbj_store_space_get(lab.site.store).reserve, 4096);
	ck_assert_int_eq(remove(path), 0);
	lab.site.options.space_min = UINT64_MAX - 4095;
	site_reopen(&lab.site);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	site_end(&lab.site);
}
END_TEST

/* No directory can be made while there is a reserve; then commits go on. */
static int full_mkdir(void *ctx, const char *path, mode_t mode)
{
	const struct mbj_sys *real = mbj_sys_posix();
	char reserve[MBJ_PATH_TEXT_MAX];

	commit_fault_set(false);
	reserve_path(ctx, reserve);
	if (mbj_path_exists(real, reserve))
		return -ENOSPC;
	return real->mkdir(real->ctx, path, mode);
}

/*
 * Goal: an opening that has no space gives the reserve up and goes on.
 * Method: the state has to be made anew, and its directory cannot be, as long
 * as there is a reserve.
 */
START_TEST(space_opening)
{
	char path[MBJ_PATH_TEXT_MAX], state[MBJ_PATH_TEXT_MAX];
	char gone[MBJ_PATH_TEXT_MAX];
	struct lab lab;
	uint64_t end;

	lab_begin(&lab);
	reserve_path(&lab, path);
	end = mbj_store_end(lab.site.store).lsn.v;
	mbj_store_close(&lab.site.store);
	SITE_OK(mbj_file_replace(mbj_sys_posix(), lab.site.dir, "reserve",
				 mbj_bytes_str("0"), err));
	SITE_OK(mbj_path_join(state, lab.site.dir, STORE_STATE_NAME, err));
	SITE_OK(mbj_path_join(gone, lab.site.dir, "gone", err));
	ck_assert_int_eq(rename(state, gone), 0);
	lab.sys.mkdir = full_mkdir;
	SITE_OK(mbj_store_open(lab.site.dir, &lab.site.options, &lab.site.store,
			       err));
	ck_assert(mbj_store_recovery_get(lab.site.store)->is_rebuilt);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	ck_assert_uint_eq(mbj_store_end(lab.site.store).lsn.v, end);
	ck_assert(site_is_sound(lab.site.store));
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: a store in use whose state has to be made anew gives the reserve up for
 * it, and the edit is carried out.  Method: a commit fails, the state is gone,
 * and its directory cannot be made, as long as there is a reserve.
 */
START_TEST(space_in_use)
{
	char path[MBJ_PATH_TEXT_MAX], state[MBJ_PATH_TEXT_MAX];
	char gone[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab);
	reserve_path(&lab, path);
	SITE_OK(mbj_file_replace(mbj_sys_posix(), lab.site.dir, "reserve",
				 mbj_bytes_str("0"), err));
	SITE_OK(mbj_path_join(state, lab.site.dir, STORE_STATE_NAME, err));
	SITE_OK(mbj_path_join(gone, lab.site.dir, "gone", err));
	ck_assert_int_eq(rename(state, gone), 0);
	lab.sys.mkdir = full_mkdir;
	commit_fault_set(true);
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	ck_assert(!mbj_path_exists(mbj_sys_posix(), path));
	ck_assert(site_is_sound(lab.site.store));
	ck_assert_int_eq(rename_try(&lab), MBJ_OK);
	site_end(&lab.site);
}
END_TEST

TCase *test_space_case(void)
{
	TCase *tc = tcase_create("space");

	tcase_add_test(tc, space_edits);
	tcase_add_test(tc, space_large);
	tcase_add_loop_test(tc, space_beside, 0, 2);
	tcase_add_test(tc, space_messages);
	tcase_add_test(tc, space_unknown);
	tcase_add_test(tc, space_reserve);
	tcase_add_test(tc, space_reserve_kept);
	tcase_add_test(tc, space_reserve_again);
	tcase_add_test(tc, space_opening);
	tcase_add_test(tc, space_in_use);
	return tc;
}
