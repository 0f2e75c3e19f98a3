/*
 * What the tests of accounts that are set aside share; see aside_lab.h.
 */
#define _GNU_SOURCE /* memmem(3) */

#include "aside_lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "store_impl.h"

void aside_ghost(struct fixture *f, const char *account, bool is_there)
{
	const struct mbj_bytes name = mbj_bytes_str("ghost");
	const struct mbj_path path = {name, name};
	struct mbj_account found;
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(f->replica->state, &txn, err));
	OK(mbj_txn_account_find(txn, mbj_bytes_str(account), &found, err));
	OK(is_there ? mbj_txn_subscribe(txn, found.id, &path, err)
		    : mbj_txn_unsubscribe(txn, found.id, &path, err));
	OK(mbj_txn_commit(&txn, err));
}

static bool parked_get(struct fixture *f, const char *account,
		       struct mbj_parked *ret_parked,
		       char reason[MBJ_ERROR_MESSAGE_MAX])
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	OK(mbj_store_read(f->replica, &txn, err));
	rc = mbj_txn_parked_get(txn, fixture_account(f->primary, account),
				ret_parked, NULL);
	if (rc == MBJ_OK)
		(void)snprintf(reason, MBJ_ERROR_MESSAGE_MAX, "%.*s",
			       (int)ret_parked->reason.n,
			       (const char *)ret_parked->reason.p);
	mbj_txn_abort(&txn);
	return rc == MBJ_OK;
}

/* So many wait for the account, from this group on; 0: it is not aside. */
void aside_waits(struct fixture *f, const char *account, uint64_t count,
		 uint64_t first, const char *words)
{
	char reason[MBJ_ERROR_MESSAGE_MAX] = "";
	struct mbj_parked parked;

	if (!parked_get(f, account, &parked, reason)) {
		ck_assert_uint_eq(count, 0);
		return;
	}
	ck_assert_uint_eq(parked.count, count);
	ck_assert_uint_eq(parked.first.v, first);
	ck_assert_msg(strstr(reason, words) != NULL, "%s", reason);
}

struct mbj_retry_result aside_retry_with(struct fixture *f, const char *account,
					 uint32_t batch, uint64_t read_max)
{
	struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result result;

	if (account != NULL)
		options.account = fixture_account(f->primary, account);
	options.batch_groups_max = batch;
	options.read_max = read_max;
	OK(mbj_quarantine_retry(f->replica, &options, &result, err));
	return result;
}

struct mbj_retry_result aside_retry(struct fixture *f, const char *account)
{
	return aside_retry_with(f, account, 1000, 0);
}

void aside_equal(struct fixture *f)
{
	struct mbj_verify_totals totals;

	ck_assert_uint_eq(fixture_differences(f, &totals), 0);
	ck_assert_uint_eq(totals.accounts_parked, 0);
	ck_assert_uint_eq(totals.first.v, totals.second.v);
}

/*
 * Groups 3 to 8, alternately of alice and bob, of whom those wait that have a
 * ghost.
 */
void aside_delete(struct fixture *f, const char *account)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};

	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.account = mbj_bytes_str(account);
	edit.is_emptying = true;
	OK(mbj_store_submit(f->primary, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

void aside_rename(struct fixture *f, bool is_bob)
{
	static const char *const names[] = {"m2", "m3", "m4"};

	(void)fixture_replay(f);
	aside_ghost(f, "alice", true);
	if (is_bob)
		aside_ghost(f, "bob", true);
	for (size_t i = 0; i < 3; i++) {
		fixture_rename(f, "alice", names[i],
			       i == 0 ? "a" : names[i - 1]);
		fixture_rename(f, "bob", names[i], i == 0 ? "b" : names[i - 1]);
	}
	ck_assert_uint_eq(fixture_replay(f).groups_parked, is_bob ? 6 : 3);
}

void aside_begin(struct fixture *f, bool is_bob,
		 const struct mbj_store_options *options)
{
	fixture_begin_with(f, options);
	fixture_import(f, "alice", 4);
	fixture_import(f, "bob", 4);
	aside_rename(f, is_bob);
}

void aside_by_hand(struct fixture *f, unsigned count, struct mbj_id id,
		   uint64_t first)
{
	struct mbj_parked parked = {.first = {first},
				    .last = {first},
				    .count = 1,
				    .reason = mbj_bytes_str("by hand")};
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin(f->replica->state, &txn, err));
	for (unsigned i = 0; i < count; i++) {
		parked.account = id;
		parked.account.b[0] = (uint8_t)(id.b[0] + i);
		OK(mbj_txn_parked_set(txn, &parked, err));
	}
	OK(mbj_txn_commit(&txn, err));
}

/* In a file of these bytes; false: it is not there. */
static bool record_damage(const char *path, struct mbj_bytes bytes,
			  const struct mbj_group *group, bool is_header)
{
	const uint8_t *found =
		memmem(bytes.p, bytes.n, group->record.p, group->record.n);
	uint8_t byte;
	int fd;

	if (found == NULL)
		return false;
	if (!is_header)
		found += group->body.p - group->record.p;
	fd = open(path, O_WRONLY);
	byte = found[20] ^ 0x40;
	ck_assert_int_eq(pwrite(fd, &byte, 1, found + 20 - bytes.p), 1);
	ck_assert_int_eq(close(fd), 0);
	return true;
}

void aside_damage(struct fixture *f, uint64_t lsn, bool is_header)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	struct mbj_buf names, bytes;
	char dir[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	bool is_done = false;

	OK(mbj_store_log_reader(NULL, f->replica_dir, &reader, err));
	OK(mbj_log_reader_seek(reader, (struct mbj_lsn){lsn}, err));
	OK(mbj_log_reader_next(reader, &group, err));
	OK(mbj_path_join(dir, f->replica_dir, "journal", err));
	mbj_buf_init(&names, 1 << 16);
	mbj_buf_init(&bytes, 256 << 20);
	OK(mbj_dir_list(mbj_sys_posix(), dir, &names, err));
	for (const char *name = mbj_names_next(&names, NULL);
	     !is_done && name != NULL; name = mbj_names_next(&names, name)) {
		if (strstr(name, ".seg") == NULL)
			continue;
		OK(mbj_path_join(path, dir, name, err));
		mbj_buf_clear(&bytes);
		OK(mbj_file_load(mbj_sys_posix(), path, 256 << 20, &bytes,
				 err));
		is_done = record_damage(path, mbj_buf_view(&bytes), &group,
					is_header);
	}
	ck_assert(is_done);
	mbj_log_reader_close(&reader);
	mbj_buf_done(&names);
	mbj_buf_done(&bytes);
}
