/*
 * The plugin's steps, where a real Dovecot would take minutes to ask for them.
 * The store is a real one, of this process.
 */
#include <mbj/mbj.h>
#include <mbj/message.h>

#include "content.h"
#include "support.h"

static void account_make(const char *dir, struct mbj_client **ret_client)
{
	struct mbj_change inbox = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = {{1}},
		.name = mbj_bytes_str("INBOX"),
	};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("a");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &inbox;
	edit.change_count = 1;
	ck_assert_int_eq(mbj_store_init(dir, MBJ_STORE_PRIMARY, NULL, NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_client_open(dir, ret_client, NULL), MBJ_OK);
	ck_assert_int_eq(mbj_client_submit(*ret_client, &edit, &outcome, NULL),
			 MBJ_OK);
	mbj_outcome_done(&outcome);
}

/*
 * Goal: UIDs in a row that change in one way are one step, as many as the store
 * takes in one, and more are told before.  Method: one more than that, and one
 * that is not the next.
 */
START_TEST(content_run)
{
	const uint32_t last = MBJ_EDIT_MESSAGES_MAX;
	struct account account = {.name = "a", .patience_ms = 30000};
	struct content content;
	struct mbj_uid_range range;
	struct mbj_error err = {.rc = MBJ_OK};
	char *dir = test_tmpdir_new();
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	ck_assert_int_eq(mbj_path_join(path, dir, "store", NULL), MBJ_OK);
	account_make(path, &account.client);
	content_init(&content, &account);
	rc = content_look(&content, mbj_bytes_str("INBOX"), &err);
	for (uint32_t uid = 1; rc == MBJ_OK && uid <= last; uid++)
		rc = content_expunge(&content, uid, &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
	ck_assert_uint_eq(content.step_count, 1);
	range = mbj_uids_get(content.steps[0].uids, 0);
	ck_assert_uint_eq(range.first, 1);
	ck_assert_uint_eq(range.last, last);
	rc = content_expunge(&content, last + 1, &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
	ck_assert(content.has_told);
	ck_assert_uint_eq(content.step_count, 1);
	range = mbj_uids_get(content.steps[0].uids, 0);
	ck_assert_uint_eq(range.first, last + 1);
	ck_assert_uint_eq(range.last, last + 1);
	rc = content_expunge(&content, last + 3, &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
	ck_assert_uint_eq(content.step_count, 2);
	content_done(&content);
	mbj_client_close(&account.client);
	test_tmpdir_free(&dir);
}
END_TEST

static void message_put(struct content *content)
{
	struct mbj_buf none = {.n = 0};
	struct content_message message = {.uid = 1};
	struct mbj_body_writer *writer = NULL;
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = mbj_body_begin(content->account->client, &writer, &err);
	if (rc == MBJ_OK)
		rc = mbj_body_finish(&writer, &message.blob, &message.size,
				     &err);
	mbj_body_abort(&writer);
	if (rc == MBJ_OK)
		rc = content_append(content, &message, &none, &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
}

/* Returns: the revision of the mailbox's content. */
static uint64_t modseq_ends(struct content *content, uint64_t modseq)
{
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc = content_end(content, &err);

	if (rc == MBJ_OK)
		rc = content_look(content, mbj_bytes_str("INBOX"), &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
	ck_assert_uint_eq(content->store.modseq, modseq);
	return content->store.rev;
}

/*
 * Goal: the store has Dovecot's HIGHESTMODSEQ at the end, whatever the steps
 * are about, and nothing is told where it has that.  Method: a message is
 * expunged, and then once more, when there is none.
 */
START_TEST(content_raised)
{
	struct account account = {.name = "a", .patience_ms = 30000};
	struct content content;
	struct mbj_error err = {.rc = MBJ_OK};
	char *dir = test_tmpdir_new();
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;
	uint64_t rev;

	ck_assert_int_eq(mbj_path_join(path, dir, "store", NULL), MBJ_OK);
	account_make(path, &account.client);
	content_init(&content, &account);
	rc = content_look(&content, mbj_bytes_str("INBOX"), &err);
	ck_assert_msg(rc == MBJ_OK, "%s", err.message);
	content.modseq = 5;
	message_put(&content);
	(void)modseq_ends(&content, 5);
	for (content.modseq = 7; content.modseq < 9; content.modseq++) {
		rc = content_expunge(&content, 1, &err);
		ck_assert_msg(rc == MBJ_OK, "%s", err.message);
		(void)modseq_ends(&content, content.modseq);
		ck_assert_uint_eq(content.store.message_count, 0);
	}
	content.modseq = 9;
	rev = modseq_ends(&content, 9);
	ck_assert_uint_eq(modseq_ends(&content, 9), rev);
	content.modseq = 8;
	ck_assert_uint_eq(modseq_ends(&content, 9), rev);
	content_done(&content);
	mbj_client_close(&account.client);
	test_tmpdir_free(&dir);
}
END_TEST

static TCase *content_case(void)
{
	TCase *cases = tcase_create("content");

	tcase_add_test(cases, content_run);
	tcase_add_test(cases, content_raised);
	return cases;
}

int main(void)
{
	static const test_case_fn cases[] = {content_case};

	return test_run("dovecot", cases, sizeof(cases) / sizeof(cases[0]));
}
