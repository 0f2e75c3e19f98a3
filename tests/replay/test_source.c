/*
 * Replay from sources that cannot be read, that begin behind the replica's
 * first group, or that have another history there: what continues the replica
 * is taken, nothing else is, and each failure is called what it is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/blob.h>

#include "fixture.h"
#include "hash_fault.h"
#include "store_impl.h"
#include "store_lab.h"

/* --------------------------------------------------------------- a source */

/*
 * A replica at group 2 and its primary at group 3; beside them what a source
 * is to a reader, a superblock and segments, which begins at an anchor.
 */
struct source {
	struct mbj_store_options options;
	struct fixture f;
	struct mbj_log_reader *reader; /* of the primary */
	char dir[MBJ_PATH_TEXT_MAX];
	char journal[MBJ_PATH_TEXT_MAX];
	struct mbj_log *log;
	struct mbj_anchor anchor;
};

static struct mbj_group group_get(struct source *s, uint64_t lsn)
{
	struct mbj_group group;

	OK(mbj_log_reader_seek(s->reader, (struct mbj_lsn){lsn}, err));
	OK(mbj_log_reader_next(s->reader, &group, err));
	return group;
}

/* is_forked: with another history before the anchor. */
static void source_begin(struct source *s, uint64_t first, bool is_forked)
{
	const struct mbj_log_options options = MBJ_LOG_OPTIONS_DEFAULT;
	const struct mbj_sys *sys = mbj_sys_posix();
	struct superblock superblock;

	memset(s, 0, sizeof(*s));
	s->options = MBJ_STORE_OPTIONS_INIT;
	s->options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&s->f, &s->options);
	fixture_import(&s->f, "alice", 3);
	fixture_import(&s->f, "bob", 3);
	(void)fixture_replay(&s->f);
	fixture_rename(&s->f, "alice", "m2", "a");
	OK(mbj_store_log_reader(sys, s->f.primary_dir, &s->reader, err));
	s->anchor = (struct mbj_anchor){{first}, group_get(s, first - 1).chain};
	s->anchor.chain.b[5] ^= is_forked;
	OK(mbj_path_join(s->dir, s->f.tmpdir, "s", err));
	OK(mbj_path_join(s->journal, s->dir, "journal", err));
	OK(mbj_dir_make(sys, s->dir, err));
	OK(mbj_dir_make(sys, s->journal, err));
	superblock = s->f.primary->superblock;
	superblock.identity.anchor = s->anchor;
	OK(superblock_save(sys, s->dir, SUPERBLOCK_NAME, &superblock, err));
	OK(mbj_log_open(sys, s->journal, superblock.identity.lineage,
			&s->anchor, (struct mbj_lsn){0}, &options, &s->log,
			err));
}

static void source_end(struct source *s)
{
	mbj_log_close(&s->log);
	mbj_log_reader_close(&s->reader);
	fixture_end(&s->f);
}

/* The next group: of these accounts, without a primitive. */
static void source_append(struct source *s, const struct mbj_id *accounts,
			  uint32_t count)
{
	struct mbj_log_end end = mbj_log_end_get(s->log);
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha = NULL;
	struct mbj_buf record;
	uint32_t index;

	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, 1 << 20);
	OK(mbj_sha256_new(&sha, err));
	mbj_group_writer_begin(&writer, (struct mbj_lsn){end.lsn.v + 1},
			       s->f.primary->superblock.identity.epoch, 0,
			       MBJ_ORIGIN_LIVE, MBJ_ID_ROOT);
	for (uint32_t i = 0; i < count; i++)
		OK(mbj_group_writer_account(&writer, accounts[i],
					    (struct mbj_lsn){1}, &index, err));
	OK(mbj_group_writer_finish(&writer, sha, &end.chain, &record, err));
	OK(mbj_log_append(s->log, mbj_buf_view(&record), 1, err));
	mbj_group_writer_done(&writer);
	mbj_buf_done(&record);
	mbj_sha256_free(&sha);
}

static enum mbj_rc source_try(struct source *s,
			      struct mbj_replay_result *ret_result,
			      struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;

	return mbj_replay_journal(s->f.replica, s->dir, &options, ret_result,
				  err);
}

static uint64_t applied_get(struct mbj_store *store)
{
	struct mbj_watermark watermark;

	OK(mbj_store_applied(store, &watermark, err));
	return watermark.lsn.v;
}

/*
 * Goal: a source that begins right behind the replica's last group, and so
 * cannot say which chain value it had there, is taken where its first group
 * continues ours.  Method: such a source, with the primary's next group.
 */
START_TEST(source_begins_behind)
{
	struct mbj_replay_result result;
	struct mbj_group group;
	char name[MBJ_NAME_MAX + 1];
	struct source s;

	source_begin(&s, 3, false);
	group = group_get(&s, 3);
	OK(mbj_log_append(s.log, group.record, 1, err));
	OK(source_try(&s, &result, err));
	ck_assert_uint_eq(result.groups, 1);
	ck_assert_uint_eq(result.groups_parked, 0);
	ck_assert_uint_eq(applied_get(s.f.replica), 3);
	fixture_name(s.f.replica, "alice", fixture_id(2), name);
	ck_assert_str_eq(name, "a");
	source_end(&s);
}
END_TEST

/*
 * Goal: one that begins there with another history is refused, and nothing of
 * it is taken.  Method: the same, its first group following another chain
 * value, which its anchor says, or does not; with and without somebody to tell.
 */
START_TEST(source_forked_before)
{
	bool is_lying = _i == 1;
	enum mbj_rc expected = is_lying ? MBJ_ECORRUPT : MBJ_EFENCED;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_replay_result result;
	struct superblock superblock;
	struct mbj_id alice;
	struct source s;

	source_begin(&s, 3, true);
	alice = fixture_account(s.f.primary, "alice");
	source_append(&s, &alice, 1);
	if (is_lying) {
		superblock = s.f.primary->superblock;
		superblock.identity.anchor = s.anchor;
		superblock.identity.anchor.chain.b[5] ^= 1;
		OK(superblock_save(mbj_sys_posix(), s.dir, SUPERBLOCK_NAME,
				   &superblock, err));
	}
	ck_assert_int_eq(source_try(&s, &result, NULL), expected);
	ck_assert_int_eq(source_try(&s, &result, &why), expected);
	ck_assert_ptr_nonnull(
		strstr(why.message, is_lying ? "does not follow" : "forked"));
	ck_assert_uint_eq(why.lsn, is_lying ? 3 : 0);
	ck_assert_uint_eq(result.groups, 0);
	ck_assert_uint_eq(applied_get(s.f.replica), 2);
	/* The replica's own line goes on. */
	ck_assert_uint_eq(fixture_replay(&s.f).groups, 1);
	source_end(&s);
}
END_TEST

/*
 * Goal: one that begins behind a group that the replica lacks is no source for
 * it.  Method: a source that begins at group 4.
 */
START_TEST(source_begins_later)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_replay_result result;
	struct mbj_id alice;
	struct source s;

	source_begin(&s, 4, false);
	alice = fixture_account(s.f.primary, "alice");
	source_append(&s, &alice, 1);
	ck_assert_int_eq(source_try(&s, &result, &why), MBJ_EFENCED);
	ck_assert_ptr_nonnull(strstr(why.message, "ends at group 2, "));
	ck_assert_ptr_nonnull(strstr(why.message, "begins at 4: "));
	ck_assert_uint_eq(applied_get(s.f.replica), 2);
	source_end(&s);
}
END_TEST

/*
 * Goal: a replica is not taken back.  Method: a source that ends, and begins
 * its next group, at one that the replica has.
 */
START_TEST(source_ends_before)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_replay_result result;
	struct source s;

	source_begin(&s, 2, false);
	ck_assert_int_eq(source_try(&s, &result, &why), MBJ_EFENCED);
	ck_assert_ptr_nonnull(strstr(why.message, "ahead"));
	ck_assert_uint_eq(applied_get(s.f.replica), 2);
	source_end(&s);
}
END_TEST

/*
 * Goal: where there is no memory to note that a group parks one account more,
 * it is not taken.  Method: a group of an account that is parked and a new
 * one, on a replica that has as many parked as it has room for; each
 * allocation fails until it goes through.
 */
START_TEST(source_park_no_memory)
{
	struct mbj_id accounts[] = {fixture_id(1), fixture_id(77)};
	struct mbj_replay_result result;
	unsigned failures = 0;
	struct source s;
	enum mbj_rc rc;

	source_begin(&s, 3, false);
	for (uint8_t i = 1; i <= 8; i++)
		fixture_park(&s.f, fixture_id(i), "a test");
	source_append(&s, accounts, 2);
	do {
		struct mbj_error why = {.rc = MBJ_OK};

		ck_assert_uint_eq(applied_get(s.f.replica), 2);
		mbj_store_close(&s.f.replica);
		OK(mbj_replica_open(s.f.replica_dir, &s.options, &s.f.replica,
				    err));
		test_alloc_fail_at(++failures);
		rc = source_try(&s, &result, &why);
		test_alloc_fail_at(0);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
		ck_assert(rc == MBJ_OK || why.message[0] != '\0');
	} while (rc != MBJ_OK);
	ck_assert_uint_gt(failures, 10);
	ck_assert_uint_eq(result.groups_parked, 1);
	ck_assert_uint_eq(result.accounts_parked, 9);
	ck_assert_uint_eq(applied_get(s.f.replica), 3);
	source_end(&s);
}
END_TEST

/* ------------------------------------------------------------ the primary */

/*
 * Goal: a digest that fails is no fork, no damage and no conflict.  Method:
 * each digest of a replay fails once; nobody is parked, and the same replay
 * goes on.  The first of them proves that the source continues the replica.
 */
START_TEST(source_digests_fail)
{
	enum mbj_rc rc = MBJ_ENOMEM;
	unsigned failures = 0;

	for (uint64_t k = 1; rc == MBJ_ENOMEM; k++) {
		struct mbj_replay_result result;
		struct mbj_error why = {.rc = MBJ_OK};
		struct source s;

		source_begin(&s, 3, false);
		fixture_rename(&s.f, "bob", "m2", "b");
		for (uint64_t lsn = 3; lsn <= 4; lsn++) {
			struct mbj_group group = group_get(&s, lsn);

			OK(mbj_log_append(s.log, group.record, 1, err));
		}
		hash_fault_at(k);
		rc = source_try(&s, &result, k % 2 == 0 ? NULL : &why);
		ck_assert_int_eq(rc == MBJ_ENOMEM, hash_fault_count() >= k);
		hash_fault_at(0);
		if (rc == MBJ_ENOMEM) {
			ck_assert(k % 2 == 0 || strstr(why.message, "fails"));
			failures++;
			OK(source_try(&s, &result, err));
		}
		ck_assert_uint_eq(result.accounts_parked, 0);
		ck_assert_uint_eq(applied_get(s.f.replica), 4);
		source_end(&s);
	}
	ck_assert_int_eq(rc, MBJ_OK);
	ck_assert_uint_gt(failures, 4);
}
END_TEST

/*
 * Goal: a source that cannot be read is that, and no end.  Method: each read
 * of a replay from a primary in use fails, up to the one that looks for more
 * behind the group that is then taken.
 */
START_TEST(source_reads_fail)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_replay_options replay = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct site_sys sys;
	struct fixture f;
	unsigned failures = 0;
	enum mbj_rc rc;

	site_sys_init(&sys);
	options.sys = &sys.table;
	options.state.engine = MBJ_STATE_MEMORY;
	fixture_begin_with(&f, &options);
	fixture_import(&f, "alice", 3);
	(void)fixture_replay(&f);
	fixture_rename(&f, "alice", "m2", "a");
	do {
		struct mbj_error why = {.rc = MBJ_OK};

		site_sys_arm(&sys, SITE_CALL_PREAD, (long)++failures, EIO,
			     true);
		rc = mbj_replay_journal(f.replica, f.primary_dir, &replay,
					&result, &why);
		site_sys_arm(&sys, 0, 0, 0, false);
		ck_assert(rc == MBJ_OK || rc == MBJ_EIO);
		ck_assert(rc == MBJ_OK || why.message[0] != '\0');
		if (rc == MBJ_EIO && result.groups == 0)
			ck_assert_uint_eq(applied_get(f.replica), 1);
		else
			ck_assert_uint_eq(applied_get(f.replica), 2);
	} while (rc != MBJ_OK);
	ck_assert_uint_gt(failures, 5);
	fixture_end(&f);
}
END_TEST

/*
 * A file of a store's journal; owned by the caller, free(3).  Changed bytes go
 * back by file_put.
 */
static uint8_t *file_get(const char *dir, size_t *ret_n)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	uint8_t *p;

	OK(mbj_path_join(path, dir, "journal/00000001-0000000000000001.seg",
			 err));
	mbj_buf_init(&bytes, 1 << 24);
	OK(mbj_file_load(mbj_sys_posix(), path, 1 << 24, &bytes, err));
	p = malloc(bytes.n);
	ck_assert_ptr_nonnull(p);
	memcpy(p, bytes.p, bytes.n);
	*ret_n = bytes.n;
	mbj_buf_done(&bytes);
	return p;
}

/* Flip a bit of the first occurrence of some bytes in it, at an offset. */
static void file_flip(const char *dir, struct mbj_bytes bytes, size_t offset)
{
	char path[MBJ_PATH_TEXT_MAX];
	size_t n = 0;
	uint8_t *p = file_get(dir, &n);
	size_t at = 0;
	FILE *file;

	while (at + bytes.n <= n && memcmp(p + at, bytes.p, bytes.n) != 0)
		at++;
	ck_assert_uint_le(at + bytes.n, n);
	OK(mbj_path_join(path, dir, "journal/00000001-0000000000000001.seg",
			 err));
	file = fopen(path, "r+b");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, (long)(at + offset), SEEK_SET), 0);
	ck_assert_int_eq(fputc(p[at + offset] ^ 0x10, file) == EOF, 0);
	ck_assert_int_eq(fclose(file), 0);
	free(p);
}

/*
 * Goal: a source that is damaged in the very group that the replica has last
 * says so, and nothing is taken from it.  Method: one bit of that group's
 * header.
 */
START_TEST(source_watermark_damaged)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_replay_result result;
	struct source s;

	source_begin(&s, 3, false);
	file_flip(s.f.primary_dir, group_get(&s, 2).record, 30);
	ck_assert_int_eq(mbj_replay_journal(s.f.replica, s.f.primary_dir,
					    &options, &result, &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, s.f.primary_dir));
	ck_assert_uint_eq(why.lsn, 2);
	ck_assert_uint_eq(applied_get(s.f.replica), 2);
	source_end(&s);
}
END_TEST

/*
 * Goal: damage in a source's journal stops groups, not contents that earlier
 * ones wanted.  Method: a message whose content is away; it comes back, and a
 * group behind it is damaged.
 */
START_TEST(source_damaged_gives_contents)
{
	static const char text[] = "a message\n";
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = fixture_id(3),
					.size = sizeof(text)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_blobs *from = NULL, *to = NULL;
	struct mbj_error why = {.rc = MBJ_OK};
	struct mbj_replay_result result;
	bool is_there = false;
	struct source s;

	source_begin(&s, 3, false);
	OK(mbj_store_blobs(s.f.primary, &from, err));
	OK(mbj_store_blobs(s.f.replica, &to, err));
	OK(mbj_blob_put(from, mbj_bytes_make(text, sizeof(text)), &step.blob,
			err));
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("alice");
	edit.messages = &step;
	edit.message_count = 1;
	OK(mbj_store_submit(s.f.primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	OK(mbj_blob_remove(from, &step.blob, err));
	OK(mbj_replay_journal(s.f.replica, s.f.primary_dir, &options, &result,
			      err));
	ck_assert_uint_eq(result.blobs_missing, 1);
	OK(mbj_blob_put(from, mbj_bytes_make(text, sizeof(text)), &step.blob,
			err));
	fixture_rename(&s.f, "alice", "a", "b");
	fixture_rename(&s.f, "alice", "b", "c");
	file_flip(s.f.primary_dir, group_get(&s, 5).record, 30);
	ck_assert_int_eq(mbj_replay_journal(s.f.replica, s.f.primary_dir,
					    &options, &result, &why),
			 MBJ_ECORRUPT);
	ck_assert_uint_eq(applied_get(s.f.replica), 4);
	ck_assert_uint_eq(result.blobs_missing, 0);
	OK(mbj_blob_has(to, &step.blob, step.size, &is_there, err));
	ck_assert(is_there);
	source_end(&s);
}
END_TEST

/* Batches in a store's first segment. */
static unsigned batches_count(const char *dir)
{
	unsigned count = 0;
	size_t n = 0;
	uint8_t *p = file_get(dir, &n);

	for (size_t i = 0; i + 4 <= n; i += 8)
		count += memcmp(p + i, "MBJF", 4) == 0;
	free(p);
	return count;
}

/* Bytes of a store's first group. */
static size_t first_size(const char *dir)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	size_t size;

	OK(mbj_store_log_reader(NULL, dir, &reader, err));
	OK(mbj_log_reader_next(reader, &group, err));
	size = group.record.n;
	mbj_log_reader_close(&reader);
	return size;
}

/*
 * Goal: a batch ends with the group that makes it as large as it may be.
 * Method: six groups of one size, with a limit of a byte, of one and of two
 * groups less a byte, and the usual one; batches counted in the replica's
 * journal.
 */
START_TEST(source_batch_size)
{
	static const unsigned batches[] = {6, 6, 3, 1};
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_verify_totals totals;
	struct mbj_replay_result result;
	struct fixture f;
	size_t size;

	fixture_begin(&f);
	for (char name[] = "a"; name[0] <= 'f'; name[0]++)
		fixture_import(&f, name, 1);
	size = first_size(f.primary_dir);
	options.batch_size_max = _i == 0   ? 1
				 : _i == 1 ? size
				 : _i == 2 ? 2 * size - 1
					   : options.batch_size_max;
	OK(mbj_replay_journal(f.replica, f.primary_dir, &options, &result,
			      err));
	ck_assert_uint_eq(result.groups, 6);
	ck_assert_uint_eq(batches_count(f.replica_dir), batches[_i]);
	ck_assert_uint_eq(fixture_differences(&f, &totals), 0);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: a snapshot from before the first group fills no replica, which is as
 * new as before.  Method: a primary that has no other; then one that has.
 */
START_TEST(source_has_nothing_kept)
{
	struct mbj_snapshot_result result;
	struct mbj_snapshot_info info;
	struct mbj_lsn any = {0};
	struct mbj_error why;
	struct fixture f;

	fixture_begin(&f);
	OK(mbj_store_snapshot(f.primary, &result, err));
	fixture_import(&f, "alice", 3);
	ck_assert_int_eq(mbj_replica_seed(f.replica, f.primary_dir, any, &info,
					  &why),
			 MBJ_ENOTFOUND);
	ck_assert_msg(strstr(why.message, "has no snapshot") != NULL, "%s",
		      why.message);
	OK(mbj_store_snapshot(f.primary, &result, err));
	OK(mbj_replica_seed(f.replica, f.primary_dir, any, &info, err));
	ck_assert_uint_eq(fixture_replay(&f).applied.v, 1);
	fixture_end(&f);
}
END_TEST

TCase *test_source_case(void)
{
	TCase *tcase = tcase_create("source");

	tcase_add_test(tcase, source_begins_behind);
	tcase_add_loop_test(tcase, source_forked_before, 0, 2);
	tcase_add_test(tcase, source_begins_later);
	tcase_add_test(tcase, source_ends_before);
	tcase_add_test(tcase, source_park_no_memory);
	tcase_add_test(tcase, source_digests_fail);
	tcase_add_test(tcase, source_reads_fail);
	tcase_add_test(tcase, source_watermark_damaged);
	tcase_add_test(tcase, source_damaged_gives_contents);
	tcase_add_test(tcase, source_has_nothing_kept);
	tcase_add_loop_test(tcase, source_batch_size, 0, 4);
	return tcase;
}
