/*
 * What the tests of accounts that are made again share; see resync_lab.h.
 */
#include "resync_lab.h"

#include <string.h>
#include <unistd.h>

uint64_t snapshot_make(struct mbj_store *store)
{
	struct mbj_snapshot_result result;

	OK(mbj_store_snapshot(store, &result, err));
	return result.info.watermark.lsn.v;
}

void resync_begin(struct fixture *f)
{
	fixture_begin_two(f);
	ck_assert_uint_eq(snapshot_make(f->primary), 2);
}

void resync_begin_seeded(struct fixture *f)
{
	struct mbj_snapshot_info info;

	resync_begin(f);
	OK(mbj_replica_seed(f->replica, f->primary_dir, (struct mbj_lsn){0},
			    &info, err));
	ck_assert_uint_eq(mbj_store_identity(f->replica)->anchor.first.v, 3);
}

enum mbj_rc resync_try(struct fixture *f, struct mbj_id account,
		       struct mbj_resync_result *ret_result,
		       struct mbj_error *err)
{
	return mbj_quarantine_resync(f->replica, account, f->primary_dir,
				     ret_result, err);
}

struct mbj_resync_result resync(struct fixture *f, const char *account)
{
	struct mbj_resync_result result;

	OK(resync_try(f, fixture_account(f->primary, account), &result, err));
	return result;
}

void refused(struct fixture *f, const char *account, enum mbj_rc rc,
	     const char *words)
{
	struct mbj_resync_result result;
	struct mbj_error why = {.rc = MBJ_OK};

	ck_assert_int_eq(resync_try(f, fixture_account(f->primary, account),
				    &result, &why),
			 rc);
	ck_assert_msg(strstr(why.message, words) != NULL, "%s", why.message);
}

void newest_is(struct fixture *f, uint64_t lsn)
{
	struct mbj_lsn *lsns = NULL;
	size_t count = 0;

	OK(mbj_snapshots_list(NULL, f->replica_dir, &lsns, &count, err));
	ck_assert_uint_gt(count, 0);
	ck_assert_uint_eq(lsns[0].v, lsn);
	mbj_free(lsns);
}

void damage(const char *dir, uint64_t lsn)
{
	char path[MBJ_PATH_TEXT_MAX];

	OK(mbj_snapshot_path(path, dir, (struct mbj_lsn){lsn}, err));
	ck_assert_int_eq(truncate(path, 1000), 0);
}

void rebuild(struct fixture *f)
{
	struct mbj_store_options options =
		f->options != NULL ? *f->options : MBJ_STORE_OPTIONS_INIT;

	options.is_rebuild_forced = true;
	mbj_store_close(&f->replica);
	OK(mbj_replica_open(f->replica_dir, &options, &f->replica, err));
	ck_assert(mbj_store_recovery_get(f->replica)->is_rebuilt);
}

void account_rename(struct fixture *f, const char *from, const char *to)
{
	const struct mbj_rename rename = {mbj_bytes_str(from),
					  mbj_bytes_str(to)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};

	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = mbj_bytes_str(from);
	edit.renames = &rename;
	edit.rename_count = 1;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}
