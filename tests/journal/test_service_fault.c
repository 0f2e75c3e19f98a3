/*
 * The service where memory fails: whoever asked is told, or loses the
 * connection, and the next one is served.  And one that hangs.
 */
#include <poll.h>
#include <stdio.h>

#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"

enum { REFUSED_MIN = 50, ALLOCS_MAX = 4000, QUEUE_MAX = 256 };

/* One client's work: a body, its message, and what can be read. */
struct errand {
	const char *path;
	uint64_t number;
	bool is_appended; /* and acknowledged */
};

/* Its bytes come with the edit, or, every other time, before it. */
static enum mbj_rc errand_append(struct errand *errand,
				 struct mbj_client *client,
				 struct mbj_error *err)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_place place;
	struct mbj_bytes body;
	char text[32];
	bool is_along = errand->number % 2 == 0;
	enum mbj_rc rc = MBJ_OK;
	int n = snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)errand->number);

	body = mbj_bytes_make(text, (size_t)n);
	if (!is_along)
		rc = mbj_body_put(client, body, &step.blob, err);
	if (rc == MBJ_OK)
		rc = mbj_client_mailbox(client, mbj_bytes_str("u1"),
					mbj_bytes_str("m2"), false, &place,
					err);
	if (rc < 0)
		return rc;
	step.size = body.n;
	step.mailbox = place.mailbox.id;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.messages = &step;
	edit.message_count = 1;
	rc = is_along ? mbj_client_submit_body(client, &edit, body, &outcome,
					       err)
		      : mbj_client_submit(client, &edit, &outcome, err);
	errand->is_appended = rc == MBJ_OK;
	mbj_outcome_done(&outcome);
	return rc;
}

/*
 * What begins a change, and ends one with a body, as far as they are refused:
 * another mailbox is there, and no such intent is open.
 */
static enum mbj_rc errand_change(struct mbj_client *client,
				 struct mbj_error *err)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_DOUBT};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	struct mbj_place place = {.last_uid = 0};
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.stage = MBJ_STAGE_INTENT;
	edit.messages = &step;
	edit.message_count = 1;
	rc = mbj_client_enter(client, edit.account, mbj_bytes_str("imap"),
			      &account, &tree, err);
	mbj_tree_free(&tree);
	if (rc < 0)
		return rc;
	rc = mbj_client_begin(client, mbj_bytes_str("m2"), &edit, &place,
			      &outcome, err);
	mbj_outcome_done(&outcome);
	if (rc != MBJ_ECONFLICT)
		return rc < 0 ? rc : MBJ_EINVALID;
	edit.stage = MBJ_STAGE_DONE;
	edit.intent.b[0] = 0xee;
	step.kind = MBJ_MESSAGE_APPEND;
	step.mailbox = place.mailbox.id;
	rc = mbj_client_outcome_body(client, &edit, mbj_bytes_str("x"), err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	return rc < 0 ? rc : MBJ_EINVALID;
}

static enum mbj_rc errand_read(struct mbj_client *client, struct mbj_error *err)
{
	struct mbj_client_messages page = {0};
	struct mbj_client_status status = {0};
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	struct mbj_place place;
	enum mbj_rc rc;

	rc = mbj_client_tree(client, mbj_bytes_str("u1"), &account, &tree, err);
	mbj_tree_free(&tree);
	if (rc == MBJ_OK)
		rc = mbj_client_mailbox(client, mbj_bytes_str("u1"),
					mbj_bytes_str("m2"), false, &place,
					err);
	if (rc == MBJ_OK)
		rc = mbj_client_messages(client, account.id, place.mailbox.id,
					 1, 50, 0, &page, err);
	mbj_client_messages_done(&page);
	if (rc == MBJ_OK)
		rc = mbj_client_status(client, &status, err);
	mbj_client_status_done(&status);
	/* As it is now: the first group is received by one replica. */
	if (rc == MBJ_OK)
		rc = mbj_client_received(client, (struct mbj_lsn){1}, 1, 0,
					 NULL, err);
	return rc;
}

static enum mbj_rc errand_run(struct errand *errand, struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	enum mbj_rc rc;

	errand->is_appended = false;
	errand->number++;
	rc = mbj_client_connect(errand->path, NULL, &client, err);
	if (rc == MBJ_OK)
		rc = errand_append(errand, client, err);
	if (rc == MBJ_OK)
		rc = errand_change(client, err);
	if (rc == MBJ_OK)
		rc = errand_read(client, err);
	mbj_client_close(&client);
	return rc;
}

static uint64_t message_count(struct mbj_client *client)
{
	struct mbj_place place;

	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u1"),
				   mbj_bytes_str("m2"), true, &place, err));
	return place.content.message_count;
}

/* Try each allocation; what is acknowledged is counted. */
static uint64_t allocations_fail(struct errand *errand, bool is_for_good)
{
	uint64_t sure = 0, counted = 0;
	unsigned refused = 0;
	struct mbj_error error;
	uint64_t k = 0;

	do {
		enum mbj_rc rc;

		k++;
		if (is_for_good)
			test_alloc_fail_from(k);
		else
			test_alloc_fail_at(k);
		rc = errand_run(errand, &error);
		counted = test_alloc_count();
		test_alloc_fail_at(0);
		refused += rc < 0;
		if (rc < 0)
			ck_assert_msg(rc == MBJ_ENOMEM || rc == MBJ_EIO ||
					      rc == MBJ_ENOTFOUND,
				      "allocation %llu: %s",
				      (unsigned long long)k, error.message);
		sure += errand->is_appended;
		SITE_OK(errand_run(errand, err));
		sure += errand->is_appended;
	} while (counted >= k && k < ALLOCS_MAX);
	ck_assert_uint_lt(k, ALLOCS_MAX);
	ck_assert_uint_gt(refused, REFUSED_MIN);
	return sure;
}

/*
 * Goal: an allocation that fails costs a request or a connection, never the
 * service, and an append that was acknowledged is there.  Method: each one of
 * a client's errand fails, whichever side it is on, alone or with all that
 * follow; after each, the errand succeeds.
 */
START_TEST(test_allocations)
{
	struct errand errand = {.number = 0}; /* no content comes twice */
	struct served s;
	uint64_t sure;

	served_begin(&s);
	served_receive(&s, 1, 1);
	errand.path = s.path;
	sure = allocations_fail(&errand, false);
	sure += allocations_fail(&errand, true);
	ck_assert_uint_ge(message_count(s.client), sure);
	served_end(&s);
}
END_TEST

/*
 * Goal: who listens and does not answer keeps nobody for longer than was said.
 * Method: a socket that listens and of which nobody accepts; clients with
 * patience, until connections wait in vain, too.  Time is not looked at: the
 * test would not end.
 */
START_TEST(test_patience)
{
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	struct mbj_client *client = NULL;
	int fds[QUEUE_MAX];
	enum mbj_rc rc = MBJ_OK;
	struct site site;
	char path[MBJ_PATH_TEXT_MAX];
	int listening = -1;
	int count = 0;

	site_begin(&site);
	site_path(&site, "hung", path);
	SITE_OK(socket_listen(path, 0600, NULL, &listening, err));
	options.timeout_ms = 0;
	options.patience_ms = 20;
	ck_assert_int_eq(mbj_client_connect(path, &options, &client, NULL),
			 MBJ_EIO);
	while (rc == MBJ_OK && count < QUEUE_MAX) {
		rc = socket_connect(path, 0, -1, &fds[count], NULL);
		count += rc == MBJ_OK;
	}
	ck_assert_int_eq(rc, MBJ_EBUSY);
	ck_assert_int_eq(mbj_client_connect(path, &options, &client, NULL),
			 MBJ_EBUSY);
	ck_assert_ptr_null(client);
	while (count > 0)
		socket_close(fds[--count]);
	socket_close(listening);
	site_end(&site);
}
END_TEST

TCase *test_service_fault_case(void)
{
	TCase *tc = tcase_create("service_fault");

	tcase_add_test(tc, test_allocations);
	tcase_add_test(tc, test_patience);
	return tc;
}
