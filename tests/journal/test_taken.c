/*
 * Outcomes that are answered before they are durable: who sees what, what is
 * refused, and what is left where they are lost.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "store_impl.h"

enum { MOMENT_MS = 50, ACCOUNT = 3, OTHER = 4 };

/* A rename that was announced, and its outcome. */
struct change {
	struct site_rename rename;
};

static void change_announce(struct mbj_client *client, struct change *change,
			    unsigned account, const char *source,
			    const char *target)
{
	static uint8_t number;
	struct mbj_edit *edit = &change->rename.edit;
	struct mbj_outcome outcome = {0};

	site_rename_make(&change->rename, account, source, target);
	edit->stage = MBJ_STAGE_INTENT;
	edit->producer = mbj_bytes_str("imap");
	SITE_OK(mbj_client_submit(client, edit, &outcome, err));
	edit->stage = MBJ_STAGE_DONE;
	edit->producer = mbj_bytes_make(NULL, 0);
	edit->intent = outcome.intent;
	edit->request.b[0] = 7;
	edit->request.b[1] = ++number;
	mbj_outcome_done(&outcome);
}

static enum mbj_rc change_done(struct mbj_client *client,
			       const struct change *change,
			       struct mbj_error *err)
{
	return mbj_client_outcome(client, &change->rename.edit, err);
}

static size_t intents_open(struct mbj_client *client, const char *account)
{
	struct mbj_client_intents open = {.count = 0};
	size_t count;

	SITE_OK(mbj_client_intents(client, mbj_bytes_str(account), &open, err));
	count = open.count;
	mbj_client_intents_done(&open);
	return count;
}

static bool path_is_there(struct mbj_client *client, const char *account,
			  const char *path)
{
	struct mbj_place place;
	enum mbj_rc rc;

	rc = mbj_client_mailbox(client, mbj_bytes_str(account),
				mbj_bytes_str(path), false, &place, NULL);
	ck_assert(rc == MBJ_OK || rc == MBJ_ENOTFOUND);
	return rc == MBJ_OK;
}

/* The journal and its syncs stand still. */
static void disk_hold(struct served *s)
{
	site_sys_arm(&s->sys, SITE_CALL_PWRITE | SITE_CALL_SYNC, 0, 0, false);
	atomic_store(&s->sys.is_held, true);
}

static void disk_go(struct served *s)
{
	atomic_store(&s->sys.is_held, false);
}

/* ----------------------------------------------------------------- order */

static void ask_intents(struct mbj_client *client)
{
	ck_assert_uint_eq(intents_open(client, "u3"), 0);
}

static void ask_all_intents(struct mbj_client *client)
{
	ck_assert_uint_eq(intents_open(client, ""), 0);
}

static void ask_path(struct mbj_client *client)
{
	ck_assert(path_is_there(client, "u3", "new"));
	ck_assert(!path_is_there(client, "u3", "m2"));
}

static void ask_tree(struct mbj_client *client)
{
	struct mbj_tree *tree = NULL;
	struct mbj_account account;

	SITE_OK(mbj_client_tree(client, mbj_bytes_str("u3"), &account, &tree,
				err));
	ck_assert_uint_ne(mbj_tree_find_slot(tree, MBJ_NODE_ROOT,
					     mbj_bytes_str("new")),
			  MBJ_NODE_NONE);
	mbj_tree_free(&tree);
}

static void ask_account(struct mbj_client *client)
{
	struct mbj_account account;

	SITE_OK(mbj_client_account(client, mbj_bytes_str("u3"), &account, err));
	/* Its import, the intent, the outcome. */
	ck_assert_uint_eq(account.lsn.v, SERVED_ACCOUNTS + 2);
}

static void ask_accounts(struct mbj_client *client)
{
	struct mbj_client_accounts list;
	uint64_t last = 0;

	SITE_OK(mbj_client_accounts(client, &list, err));
	for (size_t i = 0; i < list.count; i++)
		if (list.accounts[i].lsn.v > last)
			last = list.accounts[i].lsn.v;
	ck_assert_uint_eq(last, SERVED_ACCOUNTS + 2);
	mbj_client_accounts_done(&list);
}

/* Only behind it: there is no mailbox of that name before. */
static void ask_rename(struct mbj_client *client)
{
	SITE_OK(served_rename(client, ACCOUNT, "new", "new", NULL, err));
}

/*
 * Goal: the answer does not wait for the disk; whoever asks about that account
 * afterwards, by any connection, sees what was answered, and waits for it as
 * long as that takes; others do not wait.  Method: the disk stands still.
 */
START_TEST(taken_order)
{
	static void (*const asks[])(struct mbj_client * client) = {
		ask_intents, ask_all_intents, ask_path,	  ask_tree,
		ask_account, ask_accounts,    ask_rename,
	};
	enum { ASKS = sizeof(asks) / sizeof(asks[0]) };
	struct mbj_client_status status;
	struct served_asker askers[ASKS];
	struct mbj_account account;
	struct change change;
	struct served s;
	uint64_t before;

	served_begin(&s);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	before = mbj_store_end(s.site.store).lsn.v;
	disk_hold(&s);
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v, before);
	for (int i = 0; i < ASKS; i++)
		served_ask(&askers[i], &s, asks[i]);
	/* The connection that told it is free for more. */
	SITE_OK(mbj_client_account(s.client, mbj_bytes_str("u4"), &account,
				   err));
	(void)poll(NULL, 0, MOMENT_MS);
	for (int i = 0; i < ASKS; i++)
		ck_assert_msg(!atomic_load(&askers[i].is_answered), "ask %d",
			      i);
	disk_go(&s);
	for (int i = 0; i < ASKS; i++)
		ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v, before + 1);
	SITE_OK(mbj_client_status(s.client, &status, err));
	ck_assert_uint_eq(status.service.taken, 1);
	ck_assert_uint_eq(status.service.taken_lost, 0);
	mbj_client_status_done(&status);
	served_end(&s);
}
END_TEST

/*
 * Goal: a lost answer is no second outcome.  Method: the same edit once more,
 * while the first waits for the disk, and after it.
 */
START_TEST(taken_again)
{
	struct change change;
	struct served s;
	uint64_t before;

	served_begin(&s);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	before = mbj_store_end(s.site.store).lsn.v;
	SITE_OK(change_done(s.client, &change, err));
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(intents_open(s.client, "u3"), 0);
	SITE_OK(change_done(s.client, &change, err));
	ck_assert(path_is_there(s.client, "u3", "new"));
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v, before + 1);
	served_end(&s);
}
END_TEST

/* ---------------------------------------------------------------- refused */

static void refused_try(struct mbj_client *client, const struct mbj_edit *edit)
{
	struct wire_message request = {.edit = *edit};
	struct mbj_error error;
	struct answer answer;

	SITE_FAILS(mbj_client_outcome(client, edit, err), MBJ_EINVALID, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_INVALID_ARGUMENTS);
	/* The service does not rely on that. */
	SITE_FAILS(client_call(client, WIRE_TAKE, &request, &answer, err),
		   MBJ_EINVALID, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "open intent"));
	answer_done(&answer);
}

/*
 * Goal: nothing but the outcome of an open intent is answered early, and what
 * the store refuses is refused before the answer.
 */
START_TEST(taken_refused)
{
	struct change change, gone;
	struct mbj_error error;
	struct mbj_edit edit;
	struct served s;
	uint64_t before;

	served_begin(&s);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	before = mbj_store_end(s.site.store).lsn.v;
	edit = change.rename.edit;
	edit.stage = MBJ_STAGE_NONE;
	refused_try(s.client, &edit);
	edit.stage = MBJ_STAGE_INTENT;
	refused_try(s.client, &edit);
	edit.stage = MBJ_STAGE_RESOLVE;
	refused_try(s.client, &edit);
	edit.stage = MBJ_STAGE_FAILED;
	refused_try(s.client, &edit);
	edit.stage = MBJ_STAGE_DONE;
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	refused_try(s.client, &edit);
	edit = change.rename.edit;
	edit.is_dry_run = true;
	refused_try(s.client, &edit);
	gone = change;
	gone.rename.edit.intent.b[3] ^= 1;
	gone.rename.edit.request.b[2] = 1;
	SITE_FAILS(change_done(s.client, &gone, err), MBJ_ENOTFOUND, &error);
	ck_assert_ptr_nonnull(strstr(error.message, "is not open"));
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v, before);
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(intents_open(s.client, "u3"), 0);
	served_end(&s);
}
END_TEST

/*
 * Goal: with a service of before, and with a store of its own, a client's
 * outcome is durable when it returns; a client of before is told its version.
 */
START_TEST(taken_versions)
{
	uint8_t hello[WIRE_HEAD_SIZE + 12], answer[WIRE_HEAD_SIZE + 2];
	struct wire_head head = {.kind = WIRE_HELLO,
				 .side = WIRE_REQUEST,
				 .size = 12};
	struct change change;
	struct served s;
	size_t got = 0;
	int fd;

	served_begin(&s);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	ck_assert_uint_eq(s.client->version, WIRE_VERSION);
	s.client->version = 1;
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v,
			  SERVED_ACCOUNTS + 2);
	wire_head_encode(&head, hello);
	memcpy(hello + WIRE_HEAD_SIZE, "mbj wire\x01\0\x01\0", 12);
	SITE_OK(socket_connect(s.path, -1, -1, &fd, err));
	ck_assert_int_eq(socket_send(fd, hello, sizeof(hello)), sizeof(hello));
	while (got < sizeof(answer)) {
		ssize_t n =
			socket_receive(fd, answer + got, sizeof(answer) - got);

		ck_assert(n > 0 || n == -EAGAIN);
		got += n > 0 ? (size_t)n : 0;
	}
	socket_close(fd);
	ck_assert_uint_eq(answer[WIRE_HEAD_SIZE], 1);
	served_end(&s);
}
END_TEST

/* ----------------------------------------------------------------- bounds */

static struct change second; /* a thread's */

static void ask_second(struct mbj_client *client)
{
	SITE_OK(change_done(client, &second, err));
}

/* A value that makes the edit longer than what is answered early. */
static void ask_long(struct mbj_client *client)
{
	static char value[MBJ_ATTR_VALUE_MAX];
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ACCOUNT_ENTRY,
					 .name = mbj_bytes_str(
						 "/private/long")};
	struct mbj_edit edit = second.rename.edit;

	memset(value, 'x', sizeof(value));
	step.value = mbj_bytes_make(value, sizeof(value));
	edit.kind = MBJ_EDIT_METADATA;
	edit.rename_count = 0;
	edit.metadata = &step;
	edit.metadata_count = 1;
	SITE_OK(mbj_client_outcome(client, &edit, err));
}

/*
 * Goal: an outcome that finds another batch under way is answered behind that;
 * one that is too long, once it is durable.  Method: the disk stands still.
 */
START_TEST(taken_bounds)
{
	struct change first;
	struct served_asker asker;
	struct served s;

	served_begin(&s);
	for (int i = 0; i < 2; i++) {
		bool is_long = i == 1;

		change_announce(s.client, &first, ACCOUNT, is_long ? "a" : "m2",
				is_long ? "b" : "a");
		change_announce(s.client, &second, OTHER, "m2", "second");
		disk_hold(&s);
		if (!is_long)
			SITE_OK(change_done(s.client, &first, err));
		served_ask(&asker, &s, is_long ? ask_long : ask_second);
		(void)poll(NULL, 0, MOMENT_MS);
		ck_assert(!atomic_load(&asker.is_answered));
		disk_go(&s);
		ck_assert_int_eq(pthread_join(asker.thread, NULL), 0);
		if (!is_long)
			SITE_OK(served_rename(s.client, OTHER, "second", "m2",
					      NULL, err));
	}
	ck_assert_uint_eq(intents_open(s.client, "u4"), 0);
	served_end(&s);
}
END_TEST

/* ------------------------------------------------------------------- ends */

/* Goal: a stop in good order carries out what was answered. */
START_TEST(taken_stop)
{
	struct mbj_client *client = NULL;
	struct change change;
	struct served s;

	served_begin(&s);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	disk_hold(&s);
	SITE_OK(change_done(s.client, &change, err));
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	(void)poll(NULL, 0, MOMENT_MS);
	disk_go(&s);
	served_join(&s);
	site_reopen(&s.site);
	SITE_OK(mbj_client_take(s.site.store, &client, err));
	ck_assert_uint_eq(intents_open(client, "u3"), 0);
	ck_assert(path_is_there(client, "u3", "new"));
	s.site.store = NULL;
	mbj_client_close(&client);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: an outcome that was answered and cannot be made durable leaves its
 * intent open, and is counted; the same one can be told later, with its body,
 * which a disk that failed is not trusted to have.  Method: what came out is a
 * message, whose content cannot be synced.
 */
START_TEST(taken_lost)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.size = 4,
					.mailbox = site_mailbox(ACCOUNT, 2)};
	struct mbj_client_status status;
	struct change change;
	struct mbj_place place;
	struct served s;

	served_begin(&s);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	SITE_OK(mbj_body_put(s.client, mbj_bytes_str("body"), &step.blob, err));
	change.rename.edit.kind = MBJ_EDIT_MESSAGES;
	change.rename.edit.rename_count = 0;
	change.rename.edit.messages = &step;
	change.rename.edit.message_count = 1;
	site_sys_arm(&s.sys, SITE_CALL_SYNC, 1, EIO, true);
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(intents_open(s.client, "u3"), 1);
	site_sys_arm(&s.sys, 0, 0, 0, false);
	SITE_OK(mbj_client_status(s.client, &status, err));
	ck_assert_uint_eq(status.service.taken_lost, 1);
	mbj_client_status_done(&status);
	SITE_OK(mbj_body_put(s.client, mbj_bytes_str("body"), &step.blob, err));
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(intents_open(s.client, "u3"), 0);
	SITE_OK(mbj_client_mailbox(s.client, mbj_bytes_str("u3"),
				   mbj_bytes_str("m2"), true, &place, err));
	ck_assert_uint_eq(place.content.message_count, 1);
	served_end(&s);
}
END_TEST

/* Memory of this process and of those that it makes. */
static void *shared_map(const struct site *site, size_t size)
{
	char path[MBJ_PATH_TEXT_MAX];
	void *p;
	int fd;

	(void)snprintf(path, sizeof(path), "%.900s/shared", site->tmp);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	(void)close(fd);
	return p;
}

/* The service in a process of its own, whose disk can be made to stand. */
static pid_t served_fork(struct served *s, struct site_sys *sys)
{
	pid_t pid;

	mbj_store_close(&s->site.store);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid > 0)
		return pid;
	s->site.options.sys = &sys->table;
	if (mbj_store_open(s->site.dir, &s->site.options, &s->site.store,
			   NULL) < 0 ||
	    mbj_service_run(s->site.store, &s->options, NULL) < 0)
		_exit(1);
	_exit(0);
}

static void client_wait(const char *path, struct mbj_client **ret_client)
{
	enum mbj_rc rc = MBJ_ENOTFOUND;

	for (int i = 0; i < 2000 && rc == MBJ_ENOTFOUND; i++) {
		rc = mbj_client_connect(path, NULL, ret_client, NULL);
		if (rc == MBJ_ENOTFOUND)
			(void)poll(NULL, 0, 5);
	}
	ck_assert_int_eq(rc, MBJ_OK);
}

/*
 * Goal: SIGKILL between the answer and the disk leaves the intent open; the
 * outcome can be told to the next service, once.  Method: the disk of a service
 * in another process stands still.
 */
START_TEST(taken_killed)
{
	struct site_sys *sys;
	struct served s;
	struct change change;
	int status;
	pid_t pid;

	memset(&s, 0, sizeof(s));
	site_begin(&s.site);
	sys = shared_map(&s.site, sizeof(*sys));
	site_sys_init(sys);
	site_import(s.site.store, ACCOUNT, 3);
	s.options = MBJ_SERVICE_OPTIONS_INIT;
	site_path(&s.site, "socket", s.path);
	pid = served_fork(&s, sys);
	client_wait(s.path, &s.client);
	change_announce(s.client, &change, ACCOUNT, "m2", "new");
	site_sys_arm(sys, SITE_CALL_PWRITE | SITE_CALL_SYNC, 0, 0, false);
	atomic_store(&sys->is_held, true);
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_int_eq(kill(pid, SIGKILL), 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	mbj_client_close(&s.client);
	(void)munmap(sys, sizeof(*sys));
	SITE_OK(mbj_store_open(s.site.dir, &s.site.options, &s.site.store,
			       err));
	SITE_OK(mbj_client_take(s.site.store, &s.client, err));
	ck_assert_uint_eq(intents_open(s.client, "u3"), 1);
	ck_assert(path_is_there(s.client, "u3", "m2"));
	SITE_OK(change_done(s.client, &change, err));
	ck_assert_uint_eq(intents_open(s.client, "u3"), 0);
	ck_assert(path_is_there(s.client, "u3", "new"));
	s.site.store = NULL;
	mbj_client_close(&s.client);
	site_end(&s.site);
}
END_TEST

TCase *test_taken_case(void)
{
	TCase *tc = tcase_create("taken");

	tcase_add_test(tc, taken_order);
	tcase_add_test(tc, taken_again);
	tcase_add_test(tc, taken_refused);
	tcase_add_test(tc, taken_versions);
	tcase_add_test(tc, taken_bounds);
	tcase_add_test(tc, taken_stop);
	tcase_add_test(tc, taken_lost);
	tcase_add_test(tc, taken_killed);
	return tc;
}
