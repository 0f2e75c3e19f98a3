/*
 * Backups, from inside: the mark's bytes, what a caller may ask for, and what
 * an attempt before has left.  tests/cli/test_backup.py has the rest, from
 * outside; tests/crash cuts and fails every step.
 */
#include <string.h>

#include <mbj/backup.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "fixture.h"

enum { MARK_SIZE = 160, INCOMPATIBLE = 20 };

struct lab {
	struct fixture f;
	char backup[MBJ_PATH_TEXT_MAX];
	char restored[MBJ_PATH_TEXT_MAX];
	struct mbj_backup_result result;
	struct mbj_error err;
};

static void lab_begin(struct lab *lab)
{
	memset(lab, 0, sizeof(*lab));
	fixture_begin(&lab->f);
	OK(mbj_path_join(lab->backup, lab->f.tmpdir, "b", err));
	OK(mbj_path_join(lab->restored, lab->f.tmpdir, "back", err));
	fixture_import(&lab->f, "alice", 4);
	for (int i = 0; i < 4; i++)
		fixture_rename(&lab->f, "alice", i % 2 ? "x2" : "m2",
			       i % 2 ? "m2" : "x2");
}

static enum mbj_rc backup(struct lab *lab)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;

	return mbj_backup(lab->f.primary_dir, lab->backup, &options,
			  &lab->result, &lab->err);
}

static enum mbj_rc restore(struct lab *lab, uint64_t until)
{
	struct mbj_restore_options options = MBJ_RESTORE_OPTIONS_INIT;

	options.until.v = until;
	return mbj_restore(lab->backup, lab->restored, &options, &lab->result,
			   &lab->err);
}

static void file_of(const struct lab *lab, const char *dir, const char *name,
		    struct mbj_buf *ret_bytes)
{
	char path[MBJ_PATH_TEXT_MAX];

	(void)lab;
	OK(mbj_path_join(path, dir, name, err));
	mbj_buf_init(ret_bytes, 4096);
	OK(mbj_file_load(mbj_sys_posix(), path, 4096, ret_bytes, err));
}

static enum mbj_rc mark_try(struct lab *lab, const uint8_t *p, size_t n)
{
	struct mbj_backup_mark mark;

	OK(mbj_file_replace(mbj_sys_posix(), lab->backup, "mbj.backup",
			    mbj_bytes_make(p, n), err));
	return mbj_backup_mark_load(mbj_sys_posix(), lab->backup, &mark,
				    &lab->err);
}

/* Make the checksum right again. */
static void mark_seal(uint8_t *p, size_t n)
{
	mbj_store_u32(p + n - 4, mbj_crc32c(0, mbj_bytes_make(p, n - 4)));
}

/*
 * Goal: a mark that is damaged is never believed, a newer one is told from it,
 * and compatible flags are kept.  Method: every bit flipped, every length; a
 * version, a flag and a length that nobody writes yet; one brought forward.
 */
START_TEST(mark_bytes)
{
	static uint8_t longer[4100];
	struct mbj_buf good;
	uint8_t bytes[MARK_SIZE];
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	file_of(&lab, lab.backup, "mbj.backup", &good);
	ck_assert_uint_eq(good.n, MARK_SIZE);
	memcpy(bytes, good.p, sizeof(bytes));
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(mark_try(&lab, bytes, sizeof(bytes)),
				 MBJ_ECORRUPT);
		ck_assert_ptr_nonnull(strstr(lab.err.file, "mbj.backup"));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < sizeof(bytes); n++)
		ck_assert_int_eq(mark_try(&lab, bytes, n), MBJ_ECORRUPT);
	ck_assert_int_eq(mark_try(&lab, longer, sizeof(longer)), MBJ_ECORRUPT);
	/* Whole, of this version, and longer than it is. */
	memcpy(longer, bytes, sizeof(bytes));
	mbj_store_u32(longer + 12, MARK_SIZE + 8);
	mark_seal(longer, MARK_SIZE + 8);
	ck_assert_int_eq(mark_try(&lab, longer, MARK_SIZE + 8), MBJ_ECORRUPT);
	mbj_store_u32(longer + 8, 2);
	mark_seal(longer, MARK_SIZE + 8);
	ck_assert_int_eq(mark_try(&lab, longer, MARK_SIZE + 8),
			 MBJ_EUNSUPPORTED);
	bytes[INCOMPATIBLE] = 2;
	mark_seal(bytes, sizeof(bytes));
	ck_assert_int_eq(mark_try(&lab, bytes, sizeof(bytes)),
			 MBJ_EUNSUPPORTED);
	ck_assert_int_eq(backup(&lab), MBJ_EUNSUPPORTED);
	ck_assert_int_eq(restore(&lab, 0), MBJ_EUNSUPPORTED);
	bytes[INCOMPATIBLE] = 0;
	bytes[16] = 4;
	mark_seal(bytes, sizeof(bytes));
	ck_assert_int_eq(mark_try(&lab, bytes, sizeof(bytes)), MBJ_OK);
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	mbj_buf_done(&good);
	file_of(&lab, lab.backup, "mbj.backup", &good);
	ck_assert_uint_eq(good.p[16], 4);
	mbj_buf_done(&good);
	fixture_end(&lab.f);
}
END_TEST

/*
 * Goal: a first attempt that was stopped is no backup, and is gone on with; a
 * replica is never taken for one.  Method: a replica as such an attempt leaves
 * it, with and without its mark; one that received something.
 */
START_TEST(first_attempt)
{
	const struct mbj_backup_mark none = {.lineage = MBJ_ID_ROOT};
	struct lab lab;

	lab_begin(&lab);
	OK(mbj_store_init(lab.backup, MBJ_STORE_REPLICA, NULL, err));
	ck_assert_int_eq(restore(&lab, 0), MBJ_ENOTFOUND);
	OK(mbj_backup_mark_save(mbj_sys_posix(), lab.backup, &none, err));
	ck_assert_int_eq(restore(&lab, 0), MBJ_EFENCED);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "never finished"));
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	ck_assert_uint_eq(lab.result.end.v, 5);
	ck_assert_int_eq(restore(&lab, 0), MBJ_OK);
	(void)fixture_replay(&lab.f);
	mbj_store_close(&lab.f.replica);
	memcpy(lab.backup, lab.f.replica_dir, sizeof(lab.backup));
	ck_assert_int_eq(backup(&lab), MBJ_EEXISTS);
	fixture_end(&lab.f);
}
END_TEST

/*
 * Goal: a backup that was stopped while it was brought forward is what its mark
 * says, and nothing of that is collected.  Method: groups replayed onto it
 * behind its mark; then the mark and the journal made to differ.
 */
START_TEST(mark_rules)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_collect_result collected;
	struct mbj_replay_result replayed;
	struct mbj_store *store = NULL;
	struct mbj_backup_mark mark;
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	OK(mbj_replica_open(lab.backup, NULL, &store, err));
	OK(mbj_store_collect(store, false, &collected, err));
	fixture_rename(&lab.f, "alice", "m3", "x3");
	OK(mbj_replay_journal(store, lab.f.primary_dir, &options, &replayed,
			      err));
	ck_assert_int_eq(mbj_store_collect(store, false, &collected, &lab.err),
			 MBJ_EFENCED);
	mbj_store_close(&store);
	ck_assert_int_eq(restore(&lab, 6), MBJ_EINVALID);
	ck_assert_int_eq(restore(&lab, 0), MBJ_OK);
	ck_assert_uint_eq(lab.result.end.v, 5);
	OK(mbj_path_join(lab.restored, lab.f.tmpdir, "second", err));
	OK(mbj_backup_mark_load(mbj_sys_posix(), lab.backup, &mark, err));
	mark.end.chain.b[0] ^= 1;
	OK(mbj_backup_mark_save(mbj_sys_posix(), lab.backup, &mark, err));
	ck_assert_int_eq(restore(&lab, 0), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "its mark"));
	/* And of a group that it has not. */
	mark.end.lsn.v = 9;
	OK(mbj_backup_mark_save(mbj_sys_posix(), lab.backup, &mark, err));
	ck_assert_int_eq(restore(&lab, 0), MBJ_ECORRUPT);
	fixture_end(&lab.f);
}
END_TEST

/*
 * Goal: what a restore that was stopped left is gone on with, and is no store
 * for anybody else.  Method: one that is refused at its end; opened, asked and
 * replayed from; then one group less than it has, then the right one.
 */
START_TEST(restore_again)
{
	struct mbj_restore_options options = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_store_options restoring = MBJ_STORE_OPTIONS_INIT;
	struct mbj_log_reader *reader = NULL;
	struct mbj_store *store = NULL;
	struct mbj_identity identity;
	struct mbj_backup_mark mark;
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	OK(mbj_backup_mark_load(mbj_sys_posix(), lab.backup, &mark, err));
	mark.end.chain.b[0] ^= 1;
	OK(mbj_backup_mark_save(mbj_sys_posix(), lab.backup, &mark, err));
	ck_assert_int_eq(restore(&lab, 0), MBJ_ECORRUPT);
	mark.end.chain.b[0] ^= 1;
	OK(mbj_backup_mark_save(mbj_sys_posix(), lab.backup, &mark, err));
	ck_assert_int_eq(mbj_store_open(lab.restored, NULL, &store, &lab.err),
			 MBJ_EFENCED);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "being restored"));
	ck_assert_int_eq(mbj_identity_load(NULL, lab.restored, &identity,
					   &lab.err),
			 MBJ_EFENCED);
	ck_assert_int_eq(mbj_store_log_reader(NULL, lab.restored, &reader,
					      &lab.err),
			 MBJ_EFENCED);
	ck_assert_int_eq(restore(&lab, 4), MBJ_EFENCED);
	ck_assert_ptr_nonnull(strstr(lab.err.message, "begin again"));
	options.role = MBJ_STORE_PRIMARY;
	OK(mbj_restore(lab.backup, lab.restored, &options, &lab.result, err));
	OK(mbj_store_open(lab.restored, NULL, &store, err));
	ck_assert_uint_eq(mbj_store_end(store).lsn.v, 5);
	ck_assert_uint_eq(mbj_store_identity(store)->epoch.v, 2);
	ck_assert(mbj_id_equal(mbj_store_identity(store)->epoch_owner,
			       mbj_store_identity(store)->instance));
	mbj_store_close(&store);
	restoring.is_restoring = true;
	ck_assert_int_eq(mbj_store_open(lab.restored, &restoring, &store,
					&lab.err),
			 MBJ_EEXISTS);
	ck_assert_int_eq(restore(&lab, 0), MBJ_EEXISTS);
	fixture_end(&lab.f);
}
END_TEST

/*
 * Goal: a restored store whose state lost what its journal has takes it from
 * there, as any does.  Method: its state goes before it is gone on with.
 */
START_TEST(restore_without_state)
{
	struct mbj_store_options restoring = MBJ_STORE_OPTIONS_INIT;
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result replayed;
	struct mbj_store *store = NULL;
	char state[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab);
	ck_assert_int_eq(backup(&lab), MBJ_OK);
	restoring.is_restoring = true;
	OK(mbj_store_init(lab.restored, MBJ_STORE_REPLICA, &restoring, err));
	OK(mbj_replica_open(lab.restored, &restoring, &store, err));
	options.until.v = 3;
	OK(mbj_replay_journal(store, lab.backup, &options, &replayed, err));
	mbj_store_close(&store);
	OK(mbj_path_join(state, lab.restored, "state", err));
	OK(mbj_state_destroy(mbj_sys_posix(), state, err));
	ck_assert_int_eq(restore(&lab, 0), MBJ_OK);
	mbj_store_close(&lab.f.replica);
	memcpy(lab.f.replica_dir, lab.restored, sizeof(lab.restored));
	OK(mbj_replica_open(lab.restored, NULL, &lab.f.replica, err));
	ck_assert_uint_eq(fixture_differences(&lab.f,
					      &(struct mbj_verify_totals){
						      .accounts = 0}),
			  0);
	fixture_end(&lab.f);
}
END_TEST

/*
 * Goal: what cannot be is refused with words.  Method: options of another
 * size; a primary of nothing; one behind the last epoch.
 */
START_TEST(impossible)
{
	struct mbj_restore_options restoring = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_store_options store_options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_identity identity;
	struct lab lab;

	lab_begin(&lab);
	options.size--;
	ck_assert_int_eq(mbj_backup(lab.f.primary_dir, lab.backup, &options,
				    &lab.result, &lab.err),
			 MBJ_EINVALID);
	restoring.size--;
	ck_assert_int_eq(mbj_restore(lab.backup, lab.restored, &restoring,
				     &lab.result, &lab.err),
			 MBJ_EINVALID);
	store_options.is_restoring = true;
	OK(mbj_store_init(lab.restored, MBJ_STORE_REPLICA, &store_options,
			  err));
	OK(mbj_store_open(lab.restored, &store_options, &store, err));
	ck_assert_int_eq(mbj_store_restored(store, MBJ_STORE_PRIMARY, NULL,
					    &lab.err),
			 MBJ_EFENCED);
	identity = *mbj_store_identity(lab.f.primary);
	identity.epoch.v = UINT64_MAX;
	OK(mbj_store_adopt(store, &identity, err));
	ck_assert_int_eq(mbj_store_restored(store, MBJ_STORE_PRIMARY, NULL,
					    &lab.err),
			 MBJ_ELIMIT);
	OK(mbj_store_restored(store, MBJ_STORE_REPLICA, NULL, err));
	mbj_store_close(&store);
	OK(mbj_store_open(lab.restored, NULL, &store, err));
	mbj_store_close(&store);
	fixture_end(&lab.f);
}
END_TEST

TCase *test_backup_case(void)
{
	TCase *tc = tcase_create("backup");

	tcase_add_test(tc, mark_bytes);
	tcase_add_test(tc, first_attempt);
	tcase_add_test(tc, mark_rules);
	tcase_add_test(tc, restore_again);
	tcase_add_test(tc, restore_without_state);
	tcase_add_test(tc, impossible);
	return tc;
}
