/*
 * A worker that stays with its connection for a moment, and a connection that
 * gives way: what is read where, and that all is counted.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "wire.h"

enum {
	ROUNDS = 50,
	MOMENT_MS = 20, /* longer than a worker stays */
	IDLE_MS = 60,	/* longer than a connection is kept from others */
	PLACES = SERVED_ACCOUNTS + 2, /* that the service has */
};

/* ACCOUNT of u3: head and body. */
static size_t question_make(uint8_t *bytes, enum wire_side side)
{
	struct wire_head head = {.kind = WIRE_ACCOUNT, .side = side, .size = 6};

	wire_head_encode(&head, bytes);
	memcpy(bytes + WIRE_HEAD_SIZE, "\x02\0\0\0u3", 6);
	return WIRE_HEAD_SIZE + 6;
}

/*
 * Goal: one thing after the other, by several at once, is answered and counted,
 * whoever reads it.  Method: three clients, of which two have a worker stay;
 * requests, edits, a body and an edit that are too long for that.
 */
START_TEST(stay_counts)
{
	enum { LONG = 100000 }; /* for no worker that stays */
	struct mbj_service_stats before, after;
	struct mbj_client *others[2] = {NULL, NULL};
	struct mbj_client_accounts accounts;
	struct mbj_account account;
	uint8_t *body = calloc(1, LONG);
	struct mbj_hash digest;
	struct served s;

	ck_assert_ptr_nonnull(body);
	served_begin(&s);
	for (int i = 0; i < 2; i++)
		SITE_OK(mbj_client_connect(s.path, NULL, &others[i], err));
	(void)poll(NULL, 0, MOMENT_MS);
	before = served_stats(s.client);
	for (int i = 0; i < ROUNDS; i++) {
		const char *from = i % 2 == 0 ? "m2" : "new";
		const char *to = i % 2 == 0 ? "new" : "m2";

		SITE_OK(served_rename(s.client, 3, from, to, NULL, err));
		SITE_OK(served_rename(others[0], 4, from, to, NULL, err));
		SITE_OK(mbj_client_account(others[1], mbj_bytes_str("u3"),
					   &account, err));
	}
	for (int i = 0; i < 2; i++) {
		SITE_OK(mbj_client_accounts(others[1], &accounts, err));
		mbj_client_accounts_done(&accounts);
	}
	SITE_OK(mbj_body_put(s.client, mbj_bytes_make(body, LONG), &digest,
			     err));
	for (int i = 0; i < 2; i++)
		mbj_client_close(&others[i]);
	(void)poll(NULL, 0, 10 * MOMENT_MS);
	after = served_stats(s.client);
	ck_assert_uint_eq(after.edits - before.edits, 2 * ROUNDS);
	/* The second status. */
	ck_assert_uint_eq(after.requests - before.requests, 3 * ROUNDS + 2 + 2);
	ck_assert_uint_eq(after.connections, 1);
	free(body);
	served_end(&s);
}
END_TEST

/*
 * Goal: what is not whole, or is no request, is the loop's to read, and says
 * what it always said.  Method: a request in two parts, two requests at once,
 * an answer, bytes of another protocol, all behind one that was answered.
 */
START_TEST(stay_pieces)
{
	uint8_t bytes[2 * (WIRE_HEAD_SIZE + 6)];
	size_t n = question_make(bytes, WIRE_REQUEST);
	struct served s;
	int fd;

	served_begin(&s);
	for (size_t cut = 1; cut < n; cut += 5) {
		fd = guest_come(&s);
		ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
		guest_say(fd, bytes, n);
		ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
		guest_say(fd, bytes, cut);
		(void)poll(NULL, 0, cut % 2 == 0 ? 0 : MOMENT_MS);
		guest_say(fd, bytes + cut, n - cut);
		ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
		(void)question_make(bytes + n, WIRE_REQUEST);
		guest_say(fd, bytes, 2 * n);
		ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
		ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
		(void)question_make(bytes + n,
				    cut % 2 == 0 ? WIRE_ANSWER : WIRE_REFUSAL);
		guest_say(fd, bytes + n, n);
		ck_assert_int_eq(guest_hear(fd), WIRE_REFUSAL);
		ck_assert_int_eq(guest_hear(fd), -1);
		socket_close(fd);
	}
	fd = guest_come(&s);
	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	guest_say(fd, "GET / HTTP/1.1\r\n\r\n", 18);
	ck_assert_int_eq(guest_hear(fd), WIRE_REFUSAL);
	ck_assert_int_eq(guest_hear(fd), -1);
	socket_close(fd);
	served_end(&s);
}
END_TEST

/* Of what these n requests were, the loop has counted all but so many. */
static uint64_t requests_uncounted(struct served *s, int fd, unsigned n,
				   int pause_ms)
{
	uint8_t bytes[WIRE_HEAD_SIZE + 6];
	size_t size = question_make(bytes, WIRE_REQUEST);
	uint64_t before = served_stats(s->client).requests;

	for (unsigned i = 0; i < n; i++) {
		guest_say(fd, bytes, size);
		ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
		(void)poll(NULL, 0, pause_ms);
	}
	/* The first status. */
	return n - (served_stats(s->client).requests - before - 1);
}

/*
 * Goal: whoever goes on without a pause is counted nevertheless, soon.  Method:
 * more requests than a worker stays for, and ones that take longer than it
 * stays.
 */
START_TEST(stay_ends)
{
	struct served s;
	int fd;

	served_begin(&s);
	fd = guest_come(&s);
	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	ck_assert_uint_le(requests_uncounted(&s, fd, 300, 0), 66);
	(void)poll(NULL, 0, MOMENT_MS);
	ck_assert_uint_le(requests_uncounted(&s, fd, 60, 3), 40);
	socket_close(fd);
	served_end(&s);
}
END_TEST

/* Bytes with a descriptor beside them. */
static void descriptor_say(int fd, const void *p, size_t n)
{
	union {
		struct cmsghdr head;
		uint8_t bytes[CMSG_SPACE(sizeof(int))];
	} control = {.bytes = {0}};
	struct iovec piece = {(void *)(uintptr_t)p, n};
	struct msghdr message = {.msg_iov = &piece,
				 .msg_iovlen = 1,
				 .msg_control = control.bytes,
				 .msg_controllen = sizeof(control.bytes)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	ck_assert_int_eq(sendmsg(fd, &message, MSG_NOSIGNAL), (ssize_t)n);
}

/* Two requests, the second one cut in two by what no client sends. */
static int guest_cut(const struct served *s, size_t cut, bool is_urgent)
{
	uint8_t bytes[WIRE_HEAD_SIZE + 6];
	size_t n = question_make(bytes, WIRE_REQUEST);
	int fd = guest_come(s);
	int side;

	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	guest_say(fd, bytes, n);
	if (is_urgent) {
		guest_say(fd, bytes, cut);
		/* A kernel that knows none of these takes none. */
		(void)send(fd, "!", 1, MSG_OOB | MSG_NOSIGNAL);
	} else {
		descriptor_say(fd, bytes, cut);
	}
	guest_say(fd, bytes + cut, n - cut);
	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	side = guest_hear(fd);
	socket_close(fd);
	return side;
}

/*
 * Goal: what a client sends beside its bytes costs him his connection at most,
 * nobody else's.  Method: a descriptor and an urgent byte, in the head and in
 * the body of what a worker that stays is to read; at least one is cut off.
 */
START_TEST(stay_cut)
{
	struct mbj_account account;
	struct served s;
	int over = 0;

	served_begin(&s);
	for (int i = 0; i < ROUNDS; i++) {
		size_t cut = i % 4 < 2 ? WIRE_HEAD_SIZE + 3 : 5;
		int side = guest_cut(&s, cut, i % 2 == 0);

		ck_assert(side == WIRE_ANSWER || side == -1);
		over += side == -1;
	}
	ck_assert_int_gt(over, 0);
	SITE_OK(mbj_client_account(s.client, mbj_bytes_str("u3"), &account,
				   err));
	served_end(&s);
}
END_TEST

/* The service has closed what this client keeps. */
static bool link_is_over(const struct mbj_client *client)
{
	uint8_t byte;

	ck_assert_ptr_nonnull(client->idle);
	return socket_receive(client->idle->fd, &byte, 1) == 0;
}

/*
 * Goal: who has asked nothing for a moment gives way to who comes when all
 * places are taken, and finds another one with his next request; who has just
 * asked, who is in the middle of a body, and who has begun to ask, stays.
 */
START_TEST(stay_give_way)
{
	struct mbj_service_options options;
	struct mbj_body_writer *writer = NULL;
	struct mbj_body_reader *reader = NULL;
	struct mbj_client *clients[PLACES];
	struct mbj_account account;
	struct mbj_hash digest;
	struct served s;
	uint8_t *body = calloc(1, WIRE_PIECE_MAX + 1);
	uint64_t size;
	size_t got;
	int fd;

	ck_assert_ptr_nonnull(body);
	served_options(&options);
	/* However slow this is, who has begun to ask is not late. */
	options.timeout_ms *= 100;
	served_begin_with(&s, &options);
	clients[0] = s.client;
	for (int i = 1; i < PLACES; i++) {
		clients[i] = NULL;
		SITE_OK(mbj_client_connect(s.path, NULL, &clients[i], err));
	}
	/* One is in the middle of a body, one reads one, one has begun to ask.
	 */
	mbj_client_close(&clients[4]);
	(void)poll(NULL, 0, MOMENT_MS);
	fd = guest_come(&s);
	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	guest_say(fd, "x", 1);
	SITE_OK(mbj_body_put(clients[3], mbj_bytes_str("read"), &digest, err));
	SITE_OK(mbj_body_open(clients[3], &digest, &reader, &size, err));
	SITE_OK(mbj_body_begin(clients[1], &writer, err));
	SITE_OK(mbj_body_write(writer, mbj_bytes_make(body, WIRE_PIECE_MAX + 1),
			       err));
	(void)poll(NULL, 0, IDLE_MS);
	for (int i = 2; i < PLACES; i++)
		if (i != 3 && i != 4)
			SITE_OK(mbj_client_account(clients[i],
						   mbj_bytes_str("u3"),
						   &account, err));
	SITE_OK(mbj_client_connect(s.path, NULL, &s.client, err));
	ck_assert(link_is_over(clients[0]));
	ck_assert(!link_is_over(clients[2]));
	SITE_OK(mbj_body_finish(&writer, &digest, &size, err));
	SITE_OK(mbj_body_read(reader, body, 4, &got, err));
	ck_assert_uint_eq(got, 4);
	mbj_body_close(&reader);
	socket_close(fd);
	(void)poll(NULL, 0, IDLE_MS);
	SITE_OK(mbj_client_account(clients[0], mbj_bytes_str("u3"), &account,
				   err));
	for (int i = 0; i < PLACES; i++)
		mbj_client_close(&clients[i]);
	free(body);
	served_end(&s);
}
END_TEST

/*
 * Goal: who has asked for a body, did not read it, and has asked something else
 * since, reads none: he gives way as anybody else.
 */
START_TEST(stay_unread)
{
	struct mbj_client *clients[PLACES];
	struct mbj_body_reader *reader = NULL;
	struct mbj_account account;
	struct mbj_hash digest;
	struct served s;
	uint64_t size;

	served_begin(&s);
	clients[0] = s.client;
	SITE_OK(mbj_body_put(s.client, mbj_bytes_str("unread"), &digest, err));
	SITE_OK(mbj_body_open(s.client, &digest, &reader, &size, err));
	mbj_body_close(&reader);
	SITE_OK(mbj_client_account(s.client, mbj_bytes_str("u3"), &account,
				   err));
	(void)poll(NULL, 0, IDLE_MS);
	for (int i = 1; i < PLACES; i++) {
		clients[i] = NULL;
		SITE_OK(mbj_client_connect(s.path, NULL, &clients[i], err));
	}
	SITE_OK(mbj_client_connect(s.path, NULL, &s.client, err));
	ck_assert(link_is_over(clients[0]));
	for (int i = 0; i < PLACES; i++)
		mbj_client_close(&clients[i]);
	served_end(&s);
}
END_TEST

/*
 * Goal: who comes and says nothing, or a byte, pushes out nobody who has said
 * hello: he is the first to give way, and is told so.  Method: two clients with
 * a connection, which are idle, and silent ones in all other places, of whom
 * the first one has begun to speak.
 */
START_TEST(stay_silent)
{
	struct mbj_client *clients[3] = {NULL, NULL, NULL};
	struct served s;
	struct pollfd over[PLACES - 2];
	int fds[PLACES - 2];

	served_begin(&s);
	clients[0] = s.client;
	SITE_OK(mbj_client_connect(s.path, NULL, &clients[1], err));
	(void)poll(NULL, 0, IDLE_MS);
	for (int i = 0; i < PLACES - 2; i++)
		SITE_OK(socket_connect(s.path, -1, -1, &fds[i], err));
	guest_say(fds[0], "x", 1);
	(void)poll(NULL, 0, IDLE_MS);
	SITE_OK(mbj_client_connect(s.path, NULL, &clients[2], err));
	ck_assert(!link_is_over(clients[0]));
	ck_assert(!link_is_over(clients[1]));
	for (int i = 0; i < PLACES - 2; i++)
		over[i] = (struct pollfd){fds[i], POLLIN, 0};
	ck_assert_int_eq(poll(over, PLACES - 2, 0), 1);
	ck_assert_int_ne(over[0].revents, 0);
	ck_assert_int_eq(guest_hear(fds[0]), WIRE_REFUSAL);
	ck_assert_int_eq(guest_hear(fds[0]), -1);
	for (int i = 0; i < PLACES - 2; i++)
		socket_close(fds[i]);
	s.client = clients[0];
	mbj_client_close(&clients[1]);
	mbj_client_close(&clients[2]);
	served_end(&s);
}
END_TEST

/*
 * Goal: nobody is kept out by those who come in a burst and say nothing, or a
 * byte, nor pushed out while he is idle.  Method: one more than there are
 * places, and a client right behind them, again and again.
 */
START_TEST(stay_burst)
{
	struct mbj_client *client = NULL;
	int fds[PLACES + 1];
	struct served s;

	served_begin(&s);
	(void)poll(NULL, 0, IDLE_MS);
	for (int turn = 0; turn < 20; turn++) {
		for (int i = 0; i <= PLACES; i++) {
			SITE_OK(socket_connect(s.path, -1, -1, &fds[i], err));
			if ((i + turn) % 2 == 0)
				(void)socket_send(fds[i], "x", 1);
		}
		SITE_OK(mbj_client_connect(s.path, NULL, &client, err));
		mbj_client_close(&client);
		ck_assert(!link_is_over(s.client));
		for (int i = 0; i <= PLACES; i++)
			socket_close(fds[i]);
	}
	served_end(&s);
}
END_TEST

/*
 * Goal: places bound how many change something at one time, not how many have.
 * Method: three times as many as there are places, none of whom goes.
 */
START_TEST(stay_many)
{
	struct mbj_client *clients[3 * PLACES];
	struct mbj_account account;
	struct served s;

	served_begin(&s);
	for (int i = 0; i < 3 * PLACES; i++) {
		clients[i] = NULL;
		SITE_OK(mbj_client_connect(s.path, NULL, &clients[i], err));
		SITE_OK(mbj_client_account(clients[i], mbj_bytes_str("u3"),
					   &account, err));
		(void)poll(NULL, 0, IDLE_MS / PLACES);
	}
	for (int i = 0; i < 3 * PLACES; i++)
		mbj_client_close(&clients[i]);
	served_end(&s);
}
END_TEST

/* A change of the messages of an account's m2. */
static void change_submit(struct mbj_client *client, unsigned account,
			  enum mbj_intent_stage stage, struct mbj_id *intent)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_DOUBT};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_place place;
	char name[8];

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.account = mbj_bytes_str(name);
	edit.stage = stage;
	if (stage == MBJ_STAGE_INTENT) {
		SITE_OK(mbj_client_mailbox(client, edit.account,
					   mbj_bytes_str("m2"), false, &place,
					   err));
		step.mailbox = place.mailbox.id;
		edit.kind = MBJ_EDIT_MESSAGES;
		edit.producer = mbj_bytes_str("imap");
		edit.messages = &step;
		edit.message_count = 1;
	} else {
		edit.kind = MBJ_EDIT_INTENT;
		edit.intent = *intent;
	}
	SITE_OK(mbj_client_submit(client, &edit, &outcome, err));
	*intent = outcome.intent;
	mbj_outcome_done(&outcome);
}

/* A place is free once the service has seen that one may go. */
static void client_come(const struct served *s, struct mbj_client **ret_client)
{
	enum mbj_rc rc;

	do {
		(void)poll(NULL, 0, IDLE_MS);
		rc = mbj_client_connect(s->path, NULL, ret_client, NULL);
	} while (rc == MBJ_EBUSY);
	ck_assert_int_eq(rc, MBJ_OK);
}

/*
 * Goal: nobody gives way between his intent and its outcome, however long that
 * takes.  Method: all places have one; then one says what came of his, by
 * either way.
 */
START_TEST(stay_in_doubt)
{
	struct mbj_client *clients[PLACES] = {NULL};
	struct mbj_client *other = NULL;
	struct mbj_id intents[PLACES];
	struct mbj_error error;
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct served s;

	served_begin(&s);
	clients[0] = s.client;
	for (unsigned i = 0; i < PLACES; i++) {
		if (i > 0)
			SITE_OK(mbj_client_connect(s.path, NULL, &clients[i],
						   err));
		change_submit(clients[i], i % SERVED_ACCOUNTS, MBJ_STAGE_INTENT,
			      &intents[i]);
	}
	(void)poll(NULL, 0, IDLE_MS);
	SITE_FAILS(mbj_client_connect(s.path, NULL, &other, err), MBJ_EBUSY,
		   &error);
	change_submit(clients[1], 1, MBJ_STAGE_FAILED, &intents[1]);
	client_come(&s, &other);
	ck_assert(link_is_over(clients[1]));
	mbj_client_close(&other);
	edit.kind = MBJ_EDIT_INTENT;
	edit.account = mbj_bytes_str("u2");
	edit.stage = MBJ_STAGE_FAILED;
	edit.intent = intents[2];
	SITE_OK(mbj_client_outcome(clients[2], &edit, err));
	client_come(&s, &other);
	SITE_OK(mbj_client_connect(s.path, NULL, &s.client, err));
	ck_assert(link_is_over(clients[2]));
	mbj_client_close(&other);
	for (int i = 0; i < PLACES; i++)
		mbj_client_close(&clients[i]);
	served_end(&s);
}
END_TEST

TCase *test_stay_case(void)
{
	TCase *tc = tcase_create("stay");

	tcase_add_test(tc, stay_counts);
	tcase_add_test(tc, stay_pieces);
	tcase_add_test(tc, stay_ends);
	tcase_add_test(tc, stay_cut);
	tcase_add_test(tc, stay_give_way);
	tcase_add_test(tc, stay_unread);
	tcase_add_test(tc, stay_silent);
	tcase_add_test(tc, stay_burst);
	tcase_add_test(tc, stay_many);
	tcase_add_test(tc, stay_in_doubt);
	tcase_set_timeout(tc, 60);
	return tc;
}
