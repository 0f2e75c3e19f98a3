/*
 * A worker that stays with its connection for a moment, and a connection that
 * gives way: what is read where, and that all is counted.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"

enum {
	ROUNDS = 50,
	MOMENT_MS = 20, /* longer than a worker stays */
	IDLE_MS = 1100, /* longer than a connection is kept from others */
};

static struct mbj_service_stats stats_get(struct mbj_client *client)
{
	struct mbj_client_status status = {0};
	struct mbj_service_stats stats;

	SITE_OK(mbj_client_status(client, &status, err));
	stats = status.service;
	mbj_client_status_done(&status);
	return stats;
}

/* One who speaks by hand. */
static int guest_come(const struct served *s)
{
	uint8_t hello[WIRE_HEAD_SIZE + 12];
	struct wire_head head = {.kind = WIRE_HELLO,
				 .side = WIRE_REQUEST,
				 .size = 12};
	int fd;

	wire_head_encode(&head, hello);
	memcpy(hello + WIRE_HEAD_SIZE, "mbj wire\x01\0\x03\0", 12);
	SITE_OK(socket_connect(s->path, -1, &fd, err));
	ck_assert_int_eq(socket_send(fd, hello, sizeof(hello)), sizeof(hello));
	return fd;
}

/* The side of the next answer; its body is read.  -1: none, it was ended. */
static int guest_hear(int fd)
{
	static uint8_t bytes[1 << 16];
	struct wire_head head = {.size = 0};
	size_t got = 0;

	while (got < WIRE_HEAD_SIZE + (size_t)head.size) {
		struct pollfd wait = {fd, POLLIN, 0};
		ssize_t n;

		(void)poll(&wait, 1, -1);
		n = socket_receive(fd, bytes + got,
				   WIRE_HEAD_SIZE + head.size - got);
		if (n == 0 || n == -ECONNRESET)
			return -1;
		ck_assert(n > 0 || n == -EAGAIN);
		got += n > 0 ? (size_t)n : 0;
		if (got == WIRE_HEAD_SIZE)
			SITE_OK(wire_head_decode(bytes, &head, err));
	}
	return (int)head.side;
}

static void guest_say(int fd, const void *p, size_t n)
{
	ck_assert_int_eq(socket_send(fd, p, n), (ssize_t)n);
}

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
	before = stats_get(s.client);
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
	after = stats_get(s.client);
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

/*
 * Goal: who has asked nothing for a second gives way to who comes when all
 * places are taken, and finds another one with his next request; who has just
 * asked, who is in the middle of a body, and who has begun to ask, stays.
 */
START_TEST(stay_give_way)
{
	enum { PLACES = SERVED_ACCOUNTS + 2 };
	struct mbj_body_writer *writer = NULL;
	struct mbj_body_reader *reader = NULL;
	struct mbj_client *clients[PLACES];
	struct mbj_account account;
	struct mbj_error error;
	struct mbj_hash digest;
	struct served s;
	uint8_t *body = calloc(1, WIRE_PIECE_MAX + 1);
	uint64_t size;
	size_t got;
	int fd;

	ck_assert_ptr_nonnull(body);
	served_begin(&s);
	clients[0] = s.client;
	for (int i = 1; i < PLACES; i++) {
		clients[i] = NULL;
		SITE_OK(mbj_client_connect(s.path, NULL, &clients[i], err));
	}
	SITE_FAILS(mbj_client_connect(s.path, NULL, &s.client, err), MBJ_EBUSY,
		   &error);
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
	SITE_FAILS(mbj_client_account(clients[0], mbj_bytes_str("u3"), &account,
				      err),
		   MBJ_EBUSY, &error);
	SITE_OK(mbj_body_finish(&writer, &digest, &size, err));
	SITE_OK(mbj_body_read(reader, body, 4, &got, err));
	ck_assert_uint_eq(got, 4);
	mbj_body_close(&reader);
	socket_close(fd);
	mbj_client_close(&clients[2]);
	(void)poll(NULL, 0, MOMENT_MS);
	SITE_OK(mbj_client_account(clients[0], mbj_bytes_str("u3"), &account,
				   err));
	for (int i = 0; i < PLACES; i++)
		mbj_client_close(&clients[i]);
	free(body);
	served_end(&s);
}
END_TEST

TCase *test_stay_case(void)
{
	TCase *tc = tcase_create("stay");

	tcase_add_test(tc, stay_counts);
	tcase_add_test(tc, stay_pieces);
	tcase_add_test(tc, stay_give_way);
	tcase_set_timeout(tc, 60);
	return tc;
}
