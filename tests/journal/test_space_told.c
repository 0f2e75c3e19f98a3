/*
 * Space, and what an edit has to have written on its way, to scan what it has
 * changed: a batch is let in with all that it writes.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "batch_request.h"
#include "journal_cases.h"
#include "store_impl.h"
#include "store_lab.h"

/* What a small edit takes at most. */
enum { MARK = 1 << 20, SMALL = 32 << 10 };

struct lab {
	struct site site;
	struct mbj_sys sys;
	int64_t left;
	int64_t reserve; /* what there is more without it */
	struct mbj_error err;
};

static bool reserve_is_there(const struct lab *lab)
{
	char path[MBJ_PATH_TEXT_MAX];

	SITE_OK(mbj_path_join(path, lab->site.dir, STORE_RESERVE_NAME, err));
	return mbj_path_exists(mbj_sys_posix(), path);
}

static int64_t lab_space(void *ctx, const char *path)
{
	const struct lab *lab = ctx;

	ck_assert_ptr_nonnull(path);
	return lab->left + (reserve_is_there(lab) ? 0 : lab->reserve);
}

/* "u1", and "u2" with so many mailboxes. */
static void lab_begin(struct lab *lab, unsigned count)
{
	memset(lab, 0, sizeof(*lab));
	site_begin(&lab->site);
	site_import(lab->site.store, 1, 4);
	site_import(lab->site.store, 2, count);
	/* The real one ignores its context. */
	lab->sys = *mbj_sys_posix();
	lab->sys.ctx = lab;
	lab->sys.space = lab_space;
	lab->left = 1 << 30;
	lab->site.options.sys = &lab->sys;
	lab->site.options.space_min = MARK;
	site_reopen(&lab->site);
}

/* Edits of one batch, judged and nothing more. */
struct beside {
	struct site_rename rename;
	struct mbj_edit edits[2];
	struct request requests[2];
	struct judged judged;
	uint64_t growth; /* of what is in the batch */
	uint64_t allocs;
};

/*
 * A rename in "u1", then the other one, in this room; as if we led.  That
 * allocation fails, 0: none.
 */
static void beside_judge(struct lab *lab, struct beside *b,
			 const struct mbj_edit *other, uint64_t room,
			 uint64_t alloc)
{
	struct mbj_store *store = lab->site.store;

	memset(b, 0, sizeof(*b));
	site_rename_make(&b->rename, 1, "m2", "x2");
	b->edits[0] = b->rename.edit;
	b->edits[1] = *other;
	for (int i = 0; i < 2; i++)
		b->requests[i].edit = &b->edits[i];
	b->requests[0].next = &b->requests[1];
	lab->left = (int64_t)(MARK + room);
	SITE_OK(store_turn_take(store, err));
	test_alloc_fail_at(alloc);
	batch_judge(store, b->requests, false, NULL, &b->judged);
	b->allocs = test_alloc_count();
	test_alloc_fail_at(0);
	if (b->judged.rc == MBJ_OK)
		b->growth = batch_growth(&store->batch);
}

static void beside_done(struct lab *lab, struct beside *b)
{
	for (int i = 0; i < 2; i++)
		mbj_outcome_done(&b->requests[i].outcome);
	batch_drop(&lab->site.store->batch);
	store_turn_give(lab->site.store);
}

static uint64_t state_size(const struct lab *lab)
{
	char path[MBJ_PATH_TEXT_MAX], file[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	uint64_t sum = 0;
	struct stat stat_;

	SITE_OK(mbj_path_join(path, lab->site.dir, STORE_STATE_NAME, err));
	mbj_buf_init(&names, 1 << 20);
	SITE_OK(mbj_dir_list(mbj_sys_posix(), path, &names, err));
	for (const char *name = mbj_names_next(&names, NULL); name != NULL;
	     name = mbj_names_next(&names, name)) {
		SITE_OK(mbj_path_join(file, path, name, err));
		ck_assert_int_eq(stat(file, &stat_), 0);
		sum += (uint64_t)stat_.st_blocks * 512;
	}
	mbj_buf_done(&names);
	return sum;
}

/*
 * Goal: a batch writes no more than it was let in for, whatever a request had
 * to have written on its way that was put off, refused, or of a dry run; and
 * what has no room for that writes nothing.  Method: an account with 2,000
 * mailboxes goes behind a rename, in more and more room, until it fits; the
 * same for nothing, and with nothing before it.
 */
START_TEST(told_room)
{
	enum { MAILBOXES = 2000, STEP = 100 << 10 };
	struct mbj_edit edit = MBJ_EDIT_INIT;
	bool was_put_off = false, is_put_off = false;
	uint64_t room_max, small, size;
	struct beside b;
	struct lab lab;

	lab_begin(&lab, MAILBOXES);
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.account = mbj_bytes_str("u2");
	edit.is_dry_run = _i == 1;
	/* It makes room: all that is left is for it. */
	beside_judge(&lab, &b, &edit, SMALL, 0);
	ck_assert_int_eq(b.judged.rc, MBJ_OK);
	ck_assert_ptr_eq(b.judged.end, &b.requests[1]);
	ck_assert_int_eq(b.requests[0].rc, MBJ_OK);
	ck_assert_uint_eq(lab.site.store->batch.count, 1);
	small = b.growth;
	ck_assert_uint_lt(small, SMALL);
	beside_done(&lab, &b);
	room_max = edit.is_dry_run ? SMALL + 40 * STEP : 64 << 20;
	for (uint64_t room = SMALL; room < room_max; room += STEP) {
		bool is_in;

		beside_judge(&lab, &b, &edit, room, 0);
		ck_assert_int_eq(b.judged.rc, MBJ_OK);
		ck_assert_int_eq(b.requests[0].rc, MBJ_OK);
		is_in = b.requests[1].is_in_batch;
		is_put_off = b.judged.end == &b.requests[1];
		ck_assert(is_in || b.growth == small);
		ck_assert(!is_in || b.growth <= MARK + room);
		ck_assert(is_in || is_put_off);
		was_put_off |= is_put_off;
		beside_done(&lab, &b);
		if (is_in)
			break;
	}
	ck_assert(was_put_off);
	/* A dry run never goes with others, whatever room there is. */
	ck_assert_int_eq(is_put_off, edit.is_dry_run);
	lab.left = MARK / 2;
	/* The first may have a checkpoint behind it. */
	for (int i = 0; i < 2; i++) {
		size = state_size(&lab);
		ck_assert_int_eq(mbj_store_submit(lab.site.store, &edit,
						  &(struct mbj_outcome){0},
						  &lab.err),
				 MBJ_ENOSPC);
		ck_assert_ptr_nonnull(strstr(lab.err.message, "more than"));
	}
	ck_assert_uint_eq(state_size(&lab), size);
	ck_assert(site_is_sound(lab.site.store));
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: what makes room gets the reserve as soon as it is known to need it, and
 * goes through; a dry run gets none.  Method: an account with 2,000 mailboxes
 * goes, with less room than it has to have written on its way.
 */
START_TEST(told_reserve)
{
	enum { MAILBOXES = 2000, RESERVE = 32 << 20 };
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	char path[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab, MAILBOXES);
	SITE_OK(mbj_path_join(path, lab.site.dir, STORE_RESERVE_NAME, err));
	SITE_OK(mbj_file_replace(mbj_sys_posix(), lab.site.dir,
				 STORE_RESERVE_NAME, mbj_bytes_str("0"), err));
	ck_assert_int_eq(truncate(path, RESERVE), 0);
	lab.left = MARK / 2;
	lab.reserve = RESERVE;
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.account = mbj_bytes_str("u2");
	edit.is_dry_run = true;
	SITE_FAILS(mbj_store_submit(lab.site.store, &edit, &outcome, err),
		   MBJ_ENOSPC, &lab.err);
	ck_assert(reserve_is_there(&lab));
	edit.is_dry_run = false;
	SITE_OK(mbj_store_submit(lab.site.store, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	ck_assert(!reserve_is_there(&lab));
	ck_assert(site_is_sound(lab.site.store));
	site_end(&lab.site);
}
END_TEST

/*
 * Goal: a batch that cannot begin again is no batch, and one that can is in
 * order.  Method: each allocation fails while a rename and a dry run that has
 * had much written are judged.
 */
START_TEST(told_memory)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	bool has_failed = false;
	uint64_t small;
	struct beside b;
	struct lab lab;

	lab_begin(&lab, 100);
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.account = mbj_bytes_str("u2");
	edit.is_dry_run = true;
	beside_judge(&lab, &b, &edit, SMALL, 0);
	small = b.growth;
	beside_done(&lab, &b);
	for (uint64_t k = 1;; k++) {
		beside_judge(&lab, &b, &edit, 1 << 30, k);
		has_failed |= b.judged.rc < 0;
		ck_assert(b.judged.rc < 0 || !b.requests[0].is_in_batch ||
			  b.growth == small);
		ck_assert(b.judged.rc == MBJ_OK || b.judged.rc == MBJ_ENOMEM);
		ck_assert_uint_eq(lab.site.store->batch.count,
				  b.requests[0].is_in_batch &&
					  b.judged.rc == MBJ_OK);
		beside_done(&lab, &b);
		if (b.allocs < k)
			break;
	}
	ck_assert(has_failed);
	SITE_OK(site_rename(lab.site.store, 1, "m2", "x2", NULL, err));
	ck_assert(site_is_sound(lab.site.store));
	site_end(&lab.site);
}
END_TEST

/* Requests of one list, as if they had queued up; we lead. */
struct many {
	struct mbj_edit edits[3];
	struct request requests[3];
	struct judged judged;
	uint64_t allocs;
};

static void many_judge(struct lab *lab, struct many *m, uint64_t alloc)
{
	SITE_OK(store_turn_take(lab->site.store, err));
	memset(m->requests, 0, sizeof(m->requests));
	for (int i = 0; i < 3; i++) {
		m->requests[i].edit = &m->edits[i];
		m->requests[i].next = i < 2 ? &m->requests[i + 1] : NULL;
	}
	test_alloc_fail_at(alloc);
	batch_judge(lab->site.store, m->requests, false, NULL, &m->judged);
	m->allocs = test_alloc_count();
	test_alloc_fail_at(0);
}

static void many_done(struct lab *lab, struct many *m)
{
	for (int i = 0; i < 3; i++)
		mbj_outcome_done(&m->requests[i].outcome);
	store_turn_give(lab->site.store);
}

/*
 * Goal: a retry in the batch of what it retries is told what became of that,
 * where the batch begins again, too.  Method: an account is made, asked for
 * again under the same request id, and behind both is a dry run that had much
 * written on its way; each allocation of it fails once.
 */
START_TEST(told_retry)
{
	struct many m = {
		.edits = {MBJ_EDIT_INIT, MBJ_EDIT_INIT, MBJ_EDIT_INIT}};
	const struct request *r = m.requests;
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	bool is_over = false;
	struct lab lab;
	char name[32];

	lab_begin(&lab, 100);
	m.edits[2].kind = MBJ_EDIT_ACCOUNT_DELETE;
	m.edits[2].account = mbj_bytes_str("u2");
	m.edits[2].is_dry_run = true;
	for (uint64_t k = 0; !is_over; k++) {
		(void)snprintf(name, sizeof(name), "made%u", (unsigned)k);
		m.edits[0].kind = MBJ_EDIT_IMPORT;
		m.edits[0].account = mbj_bytes_str(name);
		m.edits[0].policy = MBJ_NAME_POLICY_DEFAULT;
		memset(m.edits[0].request.b, (int)(1 + k % 200),
		       sizeof(m.edits[0].request.b));
		memcpy(m.edits[0].request.b, &k, sizeof(k));
		m.edits[1] = m.edits[0];
		many_judge(&lab, &m, k);
		is_over = k > 0 && m.allocs < k;
		batch_answer(lab.site.store, &m.judged, NULL);
		if (m.judged.end != &r[1] && r[1].rc == MBJ_OK) {
			SITE_OK(mbj_store_read(lab.site.store, &txn, err));
			SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str(name),
						     &account, err));
			ck_assert(
				mbj_id_equal(account.id, r[1].outcome.account));
			ck_assert_uint_eq(r[1].outcome.lsn.v, account.lsn.v);
			mbj_txn_abort(&txn);
		}
		if (k == 0 || is_over)
			ck_assert_ptr_eq(m.judged.end, &r[2]);
		many_done(&lab, &m);
	}
	ck_assert(site_is_sound(lab.site.store));
	site_end(&lab.site);
}
END_TEST

TCase *test_space_told_case(void)
{
	TCase *tc = tcase_create("space_told");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, told_room, 0, 2);
	tcase_add_test(tc, told_reserve);
	tcase_add_test(tc, told_memory);
	tcase_add_test(tc, told_retry);
	return tc;
}
