/*
 * Replay where something fails in the middle: memory, reads of the state, the
 * source's bytes.  What was good before is kept, nothing is taken in part, and
 * the same replay goes on afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "fixture.h"
#include "read_fault.h"
#include "store_impl.h"

enum { GROUPS = 7 };

/*
 * Both stores on the engine in memory, nothing cached between transactions;
 * behind by groups 3 to 7: a conflict, groups of the account that it parks,
 * and groups of another.
 */
static void behind_begin(struct fixture *f, struct mbj_store_options *options)
{
	*options = MBJ_STORE_OPTIONS_INIT;
	options->state.engine = MBJ_STATE_MEMORY;
	options->state.records_cached_max = 0;
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 4);
	fixture_import(f, "bob", 4);
	(void)fixture_replay(f);
	fixture_diverge(f, "alice", fixture_id(2), "elsewhere");
	fixture_rename(f, "alice", "m2", "a");
	fixture_rename(f, "bob", "m2", "b");
	fixture_rename(f, "alice", "m3", "c");
	fixture_rename(f, "bob", "m3", "d");
	fixture_import(f, "carol", 2);
}

static enum mbj_rc behind_try(struct fixture *f,
			      struct mbj_replay_result *ret_result,
			      struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;

	return mbj_replay_journal(f->replica, f->primary_dir, &options,
				  ret_result, err);
}

static uint64_t applied_get(struct mbj_store *store)
{
	struct mbj_watermark watermark;

	OK(mbj_store_applied(store, &watermark, err));
	return watermark.lsn.v;
}

/* All groups are there, one account parked, nobody else behind. */
static void behind_end(struct fixture *f)
{
	struct mbj_verify_totals totals;
	char name[MBJ_NAME_MAX + 1];

	ck_assert_uint_eq(applied_get(f->replica), GROUPS);
	fixture_name(f->replica, "alice", fixture_id(3), name);
	ck_assert_str_eq(name, "m3");
	fixture_name(f->replica, "bob", fixture_id(3), name);
	ck_assert_str_eq(name, "d");
	(void)fixture_differences(f, &totals);
	ck_assert_uint_eq(totals.accounts_parked, 1);
	fixture_end(f);
}

/* What a failed attempt left is where it began. */
static void behind_reopen(struct fixture *f,
			  const struct mbj_store_options *options)
{
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, options, &f->replica, err));
	ck_assert_uint_eq(applied_get(f->replica), 2);
}

/*
 * Goal: no failed allocation parks an account or takes a group in part.
 * Method: each allocation of a replay with a conflict fails, once and from
 * then on, until one goes through.
 */
START_TEST(replay_no_memory)
{
	struct mbj_store_options options;
	struct mbj_replay_result result;
	struct fixture f;
	unsigned failures = 0;

	behind_begin(&f, &options);
	for (uint64_t k = 1; applied_get(f.replica) < GROUPS; k++) {
		struct mbj_error why = {.rc = MBJ_OK};
		enum mbj_rc rc;

		behind_reopen(&f, &options);
		if (_i == 0)
			test_alloc_fail_at(k);
		else
			test_alloc_fail_from(k);
		rc = behind_try(&f, &result, &why);
		test_alloc_fail_at(0);
		if (rc == MBJ_OK)
			break;
		ck_assert_int_eq(rc, MBJ_ENOMEM);
		ck_assert_str_ne(why.message, "");
		failures++;
	}
	ck_assert_uint_gt(failures, 20);
	behind_end(&f);
}
END_TEST

/*
 * Goal: a state that cannot be read is no conflict.  Method: each read of the
 * replica's state fails, once and from then on; nobody is parked for it.
 */
START_TEST(replay_reads_fail)
{
	struct mbj_store_options options;
	struct mbj_replay_result result;
	struct fixture f;
	unsigned failures = 0;

	behind_begin(&f, &options);
	for (uint64_t k = 1; applied_get(f.replica) < GROUPS; k++) {
		struct mbj_error why = {.rc = MBJ_OK};
		enum mbj_rc rc;

		behind_reopen(&f, &options);
		read_fault_begin(f.replica->state);
		read_fault_at(k, _i != 0);
		rc = behind_try(&f, &result, &why);
		read_fault_at(0, false);
		if (rc == MBJ_OK)
			continue;
		ck_assert_int_eq(rc, MBJ_EIO);
		ck_assert_str_ne(why.message, "");
		failures++;
	}
	ck_assert_uint_gt(failures, 10);
	behind_end(&f);
}
END_TEST

/* Flip a bit of the primary's last byte but `behind` that is not zero. */
static void journal_flip(struct fixture *f, size_t behind)
{
	static uint8_t bytes[1 << 20];
	char path[MBJ_PATH_TEXT_MAX];
	ssize_t n;
	int fd;

	OK(mbj_path_join(path, f->primary_dir,
			 "journal/00000001-0000000000000001.seg", err));
	fd = open(path, O_RDWR);
	ck_assert_int_ge(fd, 0);
	n = pread(fd, bytes, sizeof(bytes), 0);
	while (n > 0 && bytes[n - 1] == 0)
		n--;
	ck_assert_int_gt(n, (ssize_t)behind);
	bytes[(size_t)n - behind - 1] ^= 0x80;
	ck_assert_int_eq(pwrite(fd, bytes, (size_t)n, 0), n);
	ck_assert_int_eq(close(fd), 0);
}

/*
 * Goal: damage in the source stops the stream behind what is good, says so,
 * and is over when the source is mended.  Method: a bit of the last group's
 * chain value, checksum, body and header in turn, far enough in to be behind
 * the batch's own header.
 */
START_TEST(replay_source_damaged)
{
	static const size_t behind[] = {5, 33, 40, 120};
	struct mbj_store_options options;
	struct mbj_replay_result result;
	struct fixture f;

	behind_begin(&f, &options);
	for (size_t i = 0; i < sizeof(behind) / sizeof(behind[0]); i++) {
		struct mbj_error why = {.rc = MBJ_OK};

		journal_flip(&f, behind[i]);
		ck_assert_int_eq(behind_try(&f, &result, i == 3 ? NULL : &why),
				 MBJ_ECORRUPT);
		ck_assert(i == 3 || strstr(why.message, f.primary_dir) != NULL);
		ck_assert_uint_eq(applied_get(f.replica), GROUPS - 1);
		journal_flip(&f, behind[i]);
	}
	OK(behind_try(&f, &result, err));
	behind_end(&f);
}
END_TEST

/* A message of the primary, with its content. */
static void text_append(struct fixture *f, const char *account,
			const char *body, struct mbj_hash *ret_digest)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(1)};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_bytes text = mbj_bytes_str(body);
	struct mbj_blobs *blobs = NULL;

	OK(mbj_store_blobs(f->primary, &blobs, err));
	OK(mbj_blob_put(blobs, text, &step.blob, err));
	step.size = text.n;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(account);
	edit.messages = &step;
	edit.message_count = 1;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	*ret_digest = step.blob;
}

static void message_append(struct fixture *f, const char *account)
{
	struct mbj_hash digest;

	text_append(f, account, "Subject: x\r\n\r\n", &digest);
}

/*
 * Goal: content that is at the source and cannot be stored here stops the
 * replay before its group; when there is room again it goes on.  Method: a
 * file where the replica's folder of blobs is to be.
 */
START_TEST(replay_blobs_refused)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_bytes nothing = {NULL, 0};
	struct mbj_store_options options;
	struct mbj_replay_result result;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_verify_totals totals;
	char path[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	options = MBJ_STORE_OPTIONS_INIT;
	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 2);
	message_append(&f, "alice");
	fixture_rename(&f, "alice", "m2", "a");
	OK(mbj_path_join(path, f.replica_dir, "blobs", err));
	OK(mbj_file_replace(sys, f.replica_dir, "blobs", nothing, err));
	ck_assert_int_lt(behind_try(&f, &result, &why), 0);
	ck_assert_ptr_nonnull(strstr(why.message, f.replica_dir));
	ck_assert_uint_eq(applied_get(f.replica), 0);
	OK(mbj_file_remove(sys, path, err));
	OK(behind_try(&f, &result, err));
	ck_assert_uint_eq(result.blobs_missing, 0);
	ck_assert_uint_eq(applied_get(f.replica), 3);
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	fixture_end(&f);
}
END_TEST

/* A system where somebody else's round takes what the replica has stored. */
struct rounds {
	struct mbj_sys table;
	struct mbj_blobs *blobs; /* NULL: nobody has one */
	unsigned files;		 /* that come before it */
	bool is_failing;
};

static void rounds_come(struct rounds *r)
{
	struct mbj_blobs *blobs = r->blobs;

	if (blobs == NULL || r->files-- > 0)
		return;
	r->blobs = NULL;
	r->is_failing = true;
	ck_assert_int_eq(mbj_blobs_sync(blobs, NULL), MBJ_EIO);
	r->is_failing = false;
}

static int rounds_open(void *ctx, const char *path, int flags, mode_t mode)
{
	if ((flags & O_EXCL) != 0)
		rounds_come(ctx);
	return mbj_sys_posix()->open(NULL, path, flags, mode);
}

static int rounds_link(void *ctx, const char *from, const char *to)
{
	rounds_come(ctx);
	return mbj_sys_posix()->link(NULL, from, to);
}

static int rounds_fdatasync(void *ctx, int fd)
{
	const struct rounds *r = ctx;

	return r->is_failing ? -EIO : mbj_sys_posix()->fdatasync(NULL, fd);
}

static void blobs_move(const struct fixture *f, const char *from,
		       const char *to)
{
	char a[MBJ_PATH_TEXT_MAX];
	char b[MBJ_PATH_TEXT_MAX];

	OK(mbj_path_join(a, f->primary_dir, from, err));
	OK(mbj_path_join(b, f->primary_dir, to, err));
	ck_assert_int_eq(rename(a, b), 0);
}

/*
 * Goal: content that a replica has fetched, and that a round of somebody else
 * could not store, is not taken for stored: not with its group (0), nor where
 * it was wanted (1).  Method: that round, when the next content comes.
 */
START_TEST(replay_round_fails)
{
	static const char *const texts[] = {"one", "two"};
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct rounds rounds = {.table = *mbj_sys_posix(), .files = 1};
	struct mbj_blobs *blobs = NULL;
	struct mbj_replay_result result;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_hash digests[2];
	struct fixture f;

	fixture_begin(&f);
	fixture_import(&f, "alice", 2);
	for (unsigned i = 0; i < 2; i++)
		text_append(&f, "alice", texts[i], &digests[i]);
	rounds.table.ctx = &rounds;
	rounds.table.open = rounds_open;
	rounds.table.link = rounds_link;
	rounds.table.fdatasync = rounds_fdatasync;
	mbj_store_close(&f.replica);
	options.sys = &rounds.table;
	OK(mbj_replica_open(f.replica_dir, &options, &f.replica, err));
	if (_i == 1) {
		blobs_move(&f, "blobs", "aside");
		OK(behind_try(&f, &result, err));
		ck_assert_uint_eq(result.blobs_missing, 2);
		blobs_move(&f, "aside", "blobs");
	}
	OK(mbj_store_blobs(f.replica, &blobs, err));
	rounds.blobs = blobs;
	ck_assert_int_eq(behind_try(&f, &result, &why), MBJ_EIO);
	ck_assert_ptr_null(rounds.blobs);
	ck_assert_uint_eq(mbj_blobs_drops(blobs), 1);
	OK(behind_try(&f, &result, err));
	ck_assert_uint_eq(result.blobs_missing, 0);
	for (unsigned i = 0; i < 2; i++)
		OK(mbj_blob_verify(blobs, &digests[i], strlen(texts[i]), err));
	ck_assert_uint_eq(applied_get(f.replica), 3);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a group of an epoch that its source cannot have is not taken.  Method:
 * a primary that writes one with an epoch that its superblock does not have.
 */
START_TEST(replay_later_epoch)
{
	struct mbj_store_options options;
	struct mbj_replay_result result;
	struct mbj_error why = {.rc = MBJ_OK};
	struct fixture f;

	behind_begin(&f, &options);
	f.primary->superblock.identity.epoch.v++;
	fixture_rename(&f, "bob", "m4", "e");
	ck_assert_int_eq(behind_try(&f, &result, &why), MBJ_EFENCED);
	ck_assert_ptr_nonnull(strstr(why.message, "epoch"));
	ck_assert_uint_eq(why.lsn, GROUPS + 1);
	behind_end(&f);
}
END_TEST

TCase *test_fault_case(void)
{
	TCase *tcase = tcase_create("fault");

	tcase_add_loop_test(tcase, replay_no_memory, 0, 2);
	tcase_add_loop_test(tcase, replay_reads_fail, 0, 2);
	tcase_add_test(tcase, replay_source_damaged);
	tcase_add_test(tcase, replay_blobs_refused);
	tcase_add_loop_test(tcase, replay_round_fails, 0, 2);
	tcase_add_test(tcase, replay_later_epoch);
	return tcase;
}
