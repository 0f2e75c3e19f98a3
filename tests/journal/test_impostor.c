/*
 * Who listens where the service should, and answers as it should not, or as one
 * of another version: spoken by hand.
 */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>

#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "wire.h"

enum { CALLS = 2, RECORDS_MAX = 64 };

/*
 * One connection after the other.  The first ends when hello is answered where
 * there are two; what else is asked is answered by the same body.
 */
struct impostor {
	struct site site;
	char path[MBJ_PATH_TEXT_MAX];
	int listen_fd;
	uint16_t versions[CALLS]; /* 0: there is no such connection */
	const struct wire_message *answer;
	pthread_t thread;
	sem_t is_over; /* the first of two */
	struct mbj_client *client;
};

/* All of it; false: the peer has gone. */
static bool hear_all(int fd, void *p, size_t size)
{
	uint8_t *at = p;

	while (size > 0) {
		struct pollfd wait = {fd, POLLIN, 0};
		ssize_t n;

		(void)poll(&wait, 1, -1);
		n = socket_receive(fd, at, size);
		if (n == 0 || n == -ECONNRESET)
			return false;
		ck_assert(n > 0 || n == -EAGAIN);
		at += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

static void answer_say(int fd, const struct wire_head *asked,
		       const struct wire_message *message)
{
	struct wire_head head = *asked;
	struct mbj_buf out;

	mbj_buf_init(&out, 1 << 16);
	mbj_buf_put_zero(&out, WIRE_HEAD_SIZE);
	wire_encode(&out, head.kind, WIRE_ANSWER, message);
	SITE_OK(mbj_buf_ok(&out, err));
	head.side = WIRE_ANSWER;
	head.size = (uint32_t)(out.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, out.p);
	guest_say(fd, out.p, out.n);
	mbj_buf_done(&out);
}

/* One request; false: there is none. */
static bool call_answer(const struct impostor *impostor, int fd,
			uint16_t version)
{
	const struct mbj_identity *identity =
		mbj_store_identity(impostor->site.store);
	struct wire_message hello = {
		.welcome = {.version = version, .identity = *identity}};
	uint8_t bytes[WIRE_HEAD_SIZE], body[1 << 12];
	struct wire_head head;

	if (!hear_all(fd, bytes, sizeof(bytes)))
		return false;
	SITE_OK(wire_head_decode(bytes, &head, err));
	ck_assert_uint_le(head.size, sizeof(body));
	ck_assert(hear_all(fd, body, head.size));
	answer_say(fd, &head,
		   head.kind == WIRE_HELLO ? &hello : impostor->answer);
	return true;
}

static void *impostor_run(void *arg)
{
	struct impostor *impostor = arg;

	for (int i = 0; i < CALLS && impostor->versions[i] > 0; i++) {
		bool is_left = i + 1 < CALLS && impostor->versions[i + 1] > 0;
		struct pollfd come = {impostor->listen_fd, POLLIN, 0};
		int fd;

		ck_assert_int_eq(poll(&come, 1, -1), 1);
		fd = socket_accept(impostor->listen_fd);
		ck_assert_int_ge(fd, 0);
		while (call_answer(impostor, fd, impostor->versions[i]) &&
		       !is_left)
			;
		socket_close(fd);
		if (is_left)
			sem_post(&impostor->is_over);
	}
	return NULL;
}

static void impostor_begin(struct impostor *impostor, uint16_t first,
			   uint16_t second, const struct wire_message *answer)
{
	memset(impostor, 0, sizeof(*impostor));
	impostor->answer = answer;
	impostor->versions[0] = first;
	impostor->versions[1] = second;
	site_begin(&impostor->site);
	site_path(&impostor->site, "impostor", impostor->path);
	ck_assert_int_eq(sem_init(&impostor->is_over, 0, 0), 0);
	SITE_OK(socket_listen(impostor->path, 0600, NULL, &impostor->listen_fd,
			      err));
	ck_assert_int_eq(pthread_create(&impostor->thread, NULL, impostor_run,
					impostor),
			 0);
	SITE_OK(mbj_client_connect(impostor->path, NULL, &impostor->client,
				   err));
	if (second > 0)
		ck_assert_int_eq(sem_wait(&impostor->is_over), 0);
}

static void impostor_end(struct impostor *impostor)
{
	mbj_client_close(&impostor->client);
	ck_assert_int_eq(pthread_join(impostor->thread, NULL), 0);
	socket_close(impostor->listen_fd);
	sem_destroy(&impostor->is_over);
	site_end(&impostor->site);
}

/* --------------------------------------------------------------- vanished */

/* First and last UIDs in turn, and whether they can be meant. */
static const struct {
	uint32_t uids[8];
	bool is_good;
	size_t count_more; /* than there are */
	size_t bytes_more;
} histories[] = {
	{{0}, true, 0, 0},
	{{1, 1}, true, 0, 0},
	{{1, 3, 5, 9, 11, 11}, true, 0, 0},
	{{7, UINT32_MAX}, true, 0, 0},
	/* The same UID twice, or one that joins the last range. */
	{{1, 3, 3, 9}, false, 0, 0},
	{{1, 3, 4, 9}, false, 0, 0},
	{{5, 9, 1, 3}, false, 0, 0},
	{{5, 5, 5, 5}, false, 0, 0},
	/* Behind the last that there can be: no sum may begin at 0 again. */
	{{1, UINT32_MAX, 1, 3}, false, 0, 0},
	{{9, 5}, false, 0, 0},
	{{1, 3, 9, 5}, false, 0, 0},
	/* Another number than was said. */
	{{1, 3}, false, 1, 0},
	{{1, 3}, false, 0, 4},
	{{1, 3}, false, 0, 8},
	{{0}, false, 0, 1},
};

enum { HISTORIES = sizeof(histories) / sizeof(histories[0]) };

/*
 * Goal: what a service says of UIDs that went is handed out where it is a list
 * of ranges above each other, and nothing else is: whoever tells it a client of
 * his relies on it.  Method: lists that are, and are not.
 */
START_TEST(impostor_vanished)
{
	struct wire_message answer = {.is_whole = true};
	struct mbj_client_vanished vanished;
	struct impostor impostor;
	struct mbj_error error;
	struct mbj_buf list;

	mbj_buf_init(&list, RECORDS_MAX);
	for (size_t i = 0; i < 8 && histories[_i].uids[i] > 0; i++) {
		mbj_buf_put_u32(&list, histories[_i].uids[i]);
		answer.count += i % 2 == 1;
	}
	mbj_buf_put_zero(&list, histories[_i].bytes_more);
	answer.list = mbj_buf_view(&list);
	answer.count += (uint32_t)histories[_i].count_more;
	impostor_begin(&impostor, WIRE_VERSION, 0, &answer);
	if (histories[_i].is_good) {
		SITE_OK(mbj_client_vanished(impostor.client, MBJ_ID_ROOT,
					    MBJ_ID_ROOT, 0, &vanished, err));
		ck_assert(mbj_bytes_equal(vanished.uids, mbj_buf_view(&list)));
		ck_assert(vanished.is_whole);
		mbj_client_vanished_done(&vanished);
	} else {
		SITE_FAILS(mbj_client_vanished(impostor.client, MBJ_ID_ROOT,
					       MBJ_ID_ROOT, 0, &vanished, err),
			   MBJ_ECORRUPT, &error);
		ck_assert_ptr_nonnull(strstr(error.message, "frame's "));
	}
	impostor_end(&impostor);
	mbj_buf_done(&list);
}
END_TEST

/* ------------------------------------------------------------------ lists */

static enum mbj_rc accounts_get(struct mbj_client *client,
				struct mbj_error *err)
{
	struct mbj_client_accounts list;

	return mbj_client_accounts(client, &list, err);
}

static enum mbj_rc attrs_get(struct mbj_client *client, struct mbj_error *err)
{
	struct mbj_client_attrs list;

	return mbj_client_attrs(client, mbj_bytes_str("u1"),
				mbj_bytes_str("m2"), &list, err);
}

static enum mbj_rc bodies_get(struct mbj_client *client, struct mbj_error *err)
{
	const struct mbj_hash digest = {{1}};
	struct mbj_client_bodies list;

	return mbj_client_bodies(client, &digest, 1, &list, err);
}

static enum mbj_rc contents_get(struct mbj_client *client,
				struct mbj_error *err)
{
	struct mbj_client_contents list;

	return mbj_client_contents(client, mbj_bytes_str("u1"), &list, err);
}

static enum mbj_rc intents_get(struct mbj_client *client, struct mbj_error *err)
{
	struct mbj_client_intents list;

	return mbj_client_intents(client, mbj_bytes_str("u1"), &list, err);
}

static enum mbj_rc messages_get(struct mbj_client *client,
				struct mbj_error *err)
{
	struct mbj_client_messages page;

	return mbj_client_messages(client, MBJ_ID_ROOT, MBJ_ID_ROOT, 1, 0, 0,
				   &page, err);
}

static enum mbj_rc subscriptions_get(struct mbj_client *client,
				     struct mbj_error *err)
{
	struct mbj_client_subscriptions list;

	return mbj_client_subscriptions(client, mbj_bytes_str("u1"), &list,
					err);
}

static enum mbj_rc tree_get(struct mbj_client *client, struct mbj_error *err)
{
	struct mbj_account account;
	struct mbj_tree *tree;

	return mbj_client_tree(client, mbj_bytes_str("u1"), &account, &tree,
			       err);
}

static enum mbj_rc (*const lists[])(struct mbj_client *client,
				    struct mbj_error *err) = {
	accounts_get, attrs_get,    bodies_get,	       contents_get,
	intents_get,  messages_get, subscriptions_get, tree_get,
};

enum { LISTS = sizeof(lists) / sizeof(lists[0]) };

/*
 * Goal: a list that has more than the records that were said is none: what a
 * client does not see is not there, for him.  Method: each kind with no record,
 * and bytes.
 */
START_TEST(impostor_list)
{
	static const uint8_t bytes[RECORDS_MAX];
	const struct wire_message answer = {
		.account = {.name = mbj_bytes_str("u1")},
		.list = mbj_bytes_make(bytes, sizeof(bytes)),
	};
	struct impostor impostor;
	struct mbj_error error;

	impostor_begin(&impostor, WIRE_VERSION, 0, &answer);
	SITE_FAILS(lists[_i](impostor.client, err), MBJ_ECORRUPT, &error);
	ck_assert_msg(strstr(error.message, "list") != NULL, "%s",
		      error.message);
	impostor_end(&impostor);
}
END_TEST

/*
 * Goal: nobody gets more bodies than he asked for.  Method: two, where one was
 * asked.
 */
START_TEST(impostor_bodies)
{
	struct wire_message answer = {.count = 2};
	struct impostor impostor;
	struct mbj_error error;
	struct mbj_buf list;

	mbj_buf_init(&list, RECORDS_MAX);
	mbj_buf_put_block(&list, mbj_bytes_str("one"));
	mbj_buf_put_block(&list, mbj_bytes_str("two"));
	answer.list = mbj_buf_view(&list);
	impostor_begin(&impostor, WIRE_VERSION, 0, &answer);
	SITE_FAILS(bodies_get(impostor.client, err), MBJ_ECORRUPT, &error);
	impostor_end(&impostor);
	mbj_buf_done(&list);
}
END_TEST

/* --------------------------------------------------------------- upgrades */

static enum mbj_rc chain_ask(struct mbj_client *client, struct mbj_error *err)
{
	struct mbj_chain_at at;

	return mbj_client_chain(client, (struct mbj_lsn){1}, &at, err);
}

static enum mbj_rc vanished_ask(struct mbj_client *client,
				struct mbj_error *err)
{
	struct mbj_client_vanished vanished;
	enum mbj_rc rc;

	rc = mbj_client_vanished(client, MBJ_ID_ROOT, MBJ_ID_ROOT, 0, &vanished,
				 err);
	if (rc == MBJ_OK)
		mbj_client_vanished_done(&vanished);
	return rc;
}

static enum mbj_rc guid_ask(struct mbj_client *client, struct mbj_error *err)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_APPEND,
		.size = 1,
		.guid = mbj_bytes_make("guid", 4),
	};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.messages = &step;
	edit.message_count = 1;
	rc = mbj_client_submit(client, &edit, &outcome, err);
	mbj_outcome_done(&outcome);
	return rc;
}

static const struct {
	enum mbj_rc (*ask)(struct mbj_client *client, struct mbj_error *err);
	uint16_t version; /* the first that can be asked */
} questions[] = {
	{chain_ask, WIRE_VERSION_CHAIN},
	{guid_ask, WIRE_VERSION_GUID},
	{vanished_ask, WIRE_VERSION_VANISHED},
};

enum { QUESTIONS = sizeof(questions) / sizeof(questions[0]) };

/*
 * Goal: a service that was upgraded under a client is asked what the one before
 * did not know, at once; one that is what it was is not.  Method: a connection
 * to an old one, which ends; behind it another old one, or a new one.
 */
START_TEST(impostor_upgraded)
{
	uint16_t version = questions[_i / 2].version;
	const struct wire_message answer = {.count = 0};
	bool is_upgraded = _i % 2 == 1;
	struct impostor impostor;
	struct mbj_error error;

	impostor_begin(&impostor, (uint16_t)(version - 1),
		       (uint16_t)(version - !is_upgraded), &answer);
	if (is_upgraded) {
		SITE_OK(questions[_i / 2].ask(impostor.client, err));
	} else {
		SITE_FAILS(questions[_i / 2].ask(impostor.client, err),
			   MBJ_EUNSUPPORTED, &error);
		ck_assert_ptr_nonnull(strstr(error.message, "earlier version"));
	}
	impostor_end(&impostor);
}
END_TEST

TCase *test_impostor_case(void)
{
	TCase *tc = tcase_create("impostor");

	tcase_add_loop_test(tc, impostor_vanished, 0, HISTORIES);
	tcase_add_loop_test(tc, impostor_list, 0, LISTS);
	tcase_add_test(tc, impostor_bodies);
	tcase_add_loop_test(tc, impostor_upgraded, 0, 2 * QUESTIONS);
	return tc;
}
