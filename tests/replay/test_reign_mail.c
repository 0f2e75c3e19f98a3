/*
 * Messages of accounts whose groups were given up, on a store that becomes a
 * primary: nothing that they gave out is given again, and what is nowhere is
 * let go.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/blob.h>

#include "skip_lab.h"

/* ------------------------------------------------- what was given out */

/*
 * Goal: no UID that a group gave out is given again once the group was given
 * up, nor does any stand under the UIDVALIDITY of then.  Method: three
 * messages; the groups of one, and of all, are given up, the others, or an
 * expunge, wait.
 */
START_TEST(reign_mail_uids)
{
	struct mbj_mailbox was, now;
	struct mbj_content content;
	struct fixture f;

	skip_mail_begin(&f);
	for (int i = 0; i < 3; i++)
		skip_append(&f, "alice", "given up\n");
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &was).uidnext, 5);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 3);
	for (uint64_t lsn = 5; lsn < (_i == 0 ? 6 : 8); lsn++)
		(void)skip_give_up(&f, "alice", lsn);
	if (_i == 2) {
		skip_expunge(&f, "alice", 1);
		ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	}
	(void)skip_reign_begin(&f);
	content = skip_inbox(f.primary, "alice", &now);
	ck_assert_uint_gt(now.uidvalidity, was.uidvalidity);
	ck_assert_uint_eq(content.uidnext, 5);
	ck_assert_uint_eq(content.message_count, 1);
	skip_append(&f, "alice", "new\n");
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &now).uidnext, 6);
	ck_assert_uint_eq(skip_inbox(f.primary, "bob", &now).uidnext, 2);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: the highest UID that was given up is not the first one that is given
 * out.  Method: one message more than the account is left with, so that it is
 * its next one.
 */
START_TEST(reign_mail_next)
{
	struct mbj_mailbox m;
	struct fixture f;

	skip_mail_begin(&f);
	skip_append(&f, "alice", "given up\n");
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	(void)skip_give_up(&f, "alice", 5);
	ck_assert_uint_eq(skip_inbox(f.replica, "alice", &m).uidnext, 2);
	(void)skip_reign_begin(&f);
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &m).uidnext, 3);
	skip_append(&f, "alice", "new\n");
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &m).uidnext, 4);
	fixture_end(&f);
}
END_TEST

/*
 * Goal: UIDs that came into a mailbox with all messages of another one are
 * given out, too.  Method: messages, or none, are given up, and then that all
 * go to a mailbox that was empty.
 */
START_TEST(reign_mail_taken)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_TAKE_ALL,
					.mailbox = fixture_id(1),
					.target = fixture_id(2)};
	uint32_t next = 2 + (uint32_t)_i;
	struct mbj_mailbox m;
	struct fixture f;

	skip_mail_begin(&f);
	for (int i = 0; i < _i; i++)
		skip_append(&f, "alice", "given up\n");
	skip_messages(&f, "alice", &step);
	ck_assert_uint_eq(skip_content(f.primary, "alice", 2, &m).uidnext,
			  next);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, (unsigned)_i + 1);
	for (uint64_t lsn = 5; lsn <= 5 + (unsigned)_i; lsn++)
		(void)skip_give_up(&f, "alice", lsn);
	ck_assert_uint_eq(skip_content(f.replica, "alice", 2, &m).uidnext, 1);
	(void)skip_reign_begin(&f);
	ck_assert_uint_eq(skip_content(f.primary, "alice", 2, &m).uidnext,
			  next);
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &m).uidnext, next);
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &m).message_count, 1);
	fixture_end(&f);
}
END_TEST

/* ------------------------------------------------------- what is nowhere */

static void content_remove(struct mbj_store *store, const char *body)
{
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash hash;

	OK(mbj_store_blobs(store, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_bytes_str(body), &hash, err));
	OK(mbj_blob_remove(blobs, &hash, err));
}

/* alice has none of her messages, so that it can be backed up. */
static void reign_is_whole(struct fixture *f, const char *dir)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_backup_result result;
	char backup[MBJ_PATH_TEXT_MAX];
	struct mbj_store *store = NULL;
	struct mbj_mailbox m;

	OK(mbj_store_open(dir, NULL, &store, err));
	ck_assert_uint_eq(skip_inbox(store, "alice", &m).message_count, 0);
	mbj_store_close(&store);
	OK(mbj_path_join(backup, f->tmpdir, "b3", err));
	OK(mbj_backup(dir, backup, &options, &result, err));
	ck_assert_uint_eq(result.contents_lost, 0);
}

/*
 * Goal: a content that only an account needs whose groups were given up, and
 * that is nowhere, keeps neither backup nor primary, which lets its message go;
 * another one's does, and is named.  Method: an expunge is given up, the
 * content lost; bob's, in the backup, and on the replica, too.
 */
START_TEST(reign_mail_lost)
{
	struct mbj_backup_options options = MBJ_BACKUP_OPTIONS_INIT;
	struct mbj_restore_options restore = MBJ_RESTORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_backup_result result;
	struct mbj_error why;
	char backup[MBJ_PATH_TEXT_MAX];
	char dir[MBJ_PATH_TEXT_MAX];
	struct fixture f;

	skip_mail_begin(&f);
	skip_expunge(&f, "alice", 1);
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	(void)skip_give_up(&f, "alice", 5);
	content_remove(f.replica, "alice's\n");
	OK(mbj_path_join(backup, f.tmpdir, "b1", err));
	OK(mbj_backup(f.replica_dir, backup, &options, &result, err));
	ck_assert_uint_eq(result.contents_lost, 1);
	ck_assert_uint_eq(result.accounts_skipped, 1);
	restore.role = MBJ_STORE_PRIMARY;
	OK(mbj_path_join(dir, f.tmpdir, "p2", err));
	OK(mbj_restore(backup, dir, &restore, &result, err));
	reign_is_whole(&f, dir);
	OK(mbj_replica_open(backup, NULL, &store, err));
	content_remove(store, "bob's\n");
	mbj_store_close(&store);
	OK(mbj_path_join(dir, f.tmpdir, "p3", err));
	ck_assert_int_eq(mbj_restore(backup, dir, &restore, &result, &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "\"bob\""));
	restore.role = MBJ_STORE_REPLICA;
	OK(mbj_path_join(dir, f.tmpdir, "r3", err));
	OK(mbj_restore(backup, dir, &restore, &result, err));
	ck_assert_uint_eq(result.contents_lost, 2);
	content_remove(f.replica, "bob's\n");
	OK(mbj_path_join(backup, f.tmpdir, "b2", err));
	ck_assert_int_eq(mbj_backup(f.replica_dir, backup, &options, &result,
				    &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "\"bob\""));
	fixture_end(&f);
}
END_TEST

enum { MANY = MBJ_UID_RANGES_MAX + 2, STEPS = 1000 };

/* By turns messages of two contents, so many of each, in alice's INBOX. */
static void turns_append(struct fixture *f, size_t count)
{
	struct mbj_message_edit *steps = calloc(STEPS, sizeof(*steps));
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash blob[2];

	ck_assert_ptr_nonnull(steps);
	OK(mbj_store_blobs(f->primary, &blobs, err));
	OK(mbj_blob_put(blobs, mbj_bytes_str("lost\n"), &blob[0], err));
	OK(mbj_blob_put(blobs, mbj_bytes_str("kept\n"), &blob[1], err));
	for (size_t i = 0; i < STEPS; i++)
		steps[i] = (struct mbj_message_edit){
			.kind = MBJ_MESSAGE_APPEND,
			.mailbox = fixture_id(1),
			.blob = blob[i % 2],
			.size = 5,
		};
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("alice");
	edit.messages = steps;
	for (size_t left = 2 * count; left > 0; left -= edit.message_count) {
		struct mbj_outcome outcome = {.lsn = {0}};

		edit.message_count = left < STEPS ? left : STEPS;
		OK(mbj_store_submit(f->primary, &edit, &outcome, err));
		mbj_outcome_done(&outcome);
	}
	free(steps);
}

/*
 * Goal: all messages whose content is nowhere go, and no other.  Method: more
 * of them, each between two others, than one primitive takes.
 */
START_TEST(reign_mail_lost_many)
{
	struct mbj_mailbox m;
	struct fixture f;
	uint64_t end;

	fixture_begin(&f);
	fixture_import(&f, "alice", 1);
	turns_append(&f, MANY);
	(void)fixture_replay(&f);
	skip_bend(&f);
	skip_expunge(&f, "alice", 1);
	end = mbj_store_end(f.primary).lsn.v;
	ck_assert_uint_eq(fixture_replay(&f).groups_parked, 1);
	(void)skip_give_up(&f, "alice", end);
	content_remove(f.replica, "lost\n");
	(void)skip_reign_begin(&f);
	ck_assert_uint_eq(skip_inbox(f.primary, "alice", &m).message_count,
			  MANY);
	fixture_end(&f);
}
END_TEST

TCase *test_reign_mail_case(void)
{
	TCase *tcase = tcase_create("reign_mail");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, reign_mail_uids, 0, 3);
	tcase_add_test(tcase, reign_mail_next);
	tcase_add_loop_test(tcase, reign_mail_taken, 0, 3);
	tcase_add_test(tcase, reign_mail_lost);
	tcase_add_test(tcase, reign_mail_lost_many);
	return tcase;
}
