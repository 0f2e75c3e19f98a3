/*
 * All places of the service are taken, and somebody comes: who gives way in the
 * moment in which he asks, and what becomes of that; who asks in part, or sends
 * a body in pieces.
 */
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "socket_meddle.h"
#include "wire.h"

enum {
	PLACES = 4,
	IDLE_MS = 60, /* longer than a connection is kept from others */
	/* A request that is not whole has 400 ms where places are short. */
	TIMEOUT_MS = 6000,
	STUCK_MS = 500,
	QUESTION_SIZE = WIRE_HEAD_SIZE + 6,
};

/* ACCOUNT of u3. */
static void question_make(uint8_t bytes[QUESTION_SIZE])
{
	struct wire_head head = {.kind = WIRE_ACCOUNT,
				 .side = WIRE_REQUEST,
				 .size = 6};

	wire_head_encode(&head, bytes);
	memcpy(bytes + WIRE_HEAD_SIZE, "\x02\0\0\0u3", 6);
}

static void place_begin(struct served *s)
{
	struct mbj_service_options options;

	served_options(&options);
	options.connections_max = PLACES;
	options.timeout_ms = TIMEOUT_MS;
	served_begin_with(s, &options);
}

static int guest_greeted(const struct served *s)
{
	int fd = guest_come(s);

	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	return fd;
}

/* The service has closed it. */
static bool guest_is_over(int fd)
{
	struct pollfd look = {fd, POLLIN, 0};

	return poll(&look, 1, 0) > 0 && guest_hear(fd) == -1;
}

/* -------------------------------------------------- while he gives way */

static int asker_fd;

/* In the service, between its look at who is there and its look at places. */
static void asker_ask(int fd)
{
	uint8_t bytes[QUESTION_SIZE];

	(void)fd;
	socket_meddle_set(SOCKET_ACCEPTED, NULL);
	question_make(bytes);
	guest_say(asker_fd, bytes, sizeof(bytes));
}

/*
 * Goal: who asks while he is about to give way is answered, and another one
 * goes.  Method: all places are idle, and the one that is so longest asks once
 * somebody has been taken in, before a place is looked for.
 */
START_TEST(place_heard)
{
	struct mbj_client *second = NULL;
	struct served s;
	int fds[PLACES];

	place_begin(&s);
	fds[0] = asker_fd = guest_greeted(&s);
	(void)poll(NULL, 0, IDLE_MS);
	(void)served_stats(s.client);
	SITE_OK(mbj_client_connect(s.path, NULL, &second, err));
	for (int i = 1; i < PLACES - 2; i++)
		fds[i] = guest_greeted(&s);
	(void)poll(NULL, 0, IDLE_MS);
	socket_meddle_set(SOCKET_ACCEPTED, asker_ask);
	fds[PLACES - 2] = guest_greeted(&s);
	ck_assert_int_eq(guest_hear(asker_fd), WIRE_ANSWER);
	ck_assert(!guest_is_over(asker_fd));
	for (int i = 0; i < PLACES - 1; i++)
		socket_close(fds[i]);
	mbj_client_close(&second);
	served_end(&s);
}
END_TEST

/* ------------------------------------------------ while another one goes */

static struct {
	const struct served *s;
	int old;
	int new;
	sem_t is_new;
} heir;

/* In the service, which is about to look at all connections again. */
static void heir_come(int fd)
{
	(void)fd;
	socket_meddle_set(SOCKET_CLOSING, NULL);
	socket_close(heir.old);
	heir.new = guest_come(heir.s);
	(void)sem_post(&heir.is_new);
}

/* The loop has each connection: what they asked is counted. */
static void guests_settle(struct served *s)
{
	struct mbj_client_status status;
	bool is_settled = false;

	while (!is_settled) {
		is_settled = true;
		status = (struct mbj_client_status){0};
		SITE_OK(mbj_client_status(s->client, &status, err));
		for (size_t i = 0; i < status.peer_count; i++)
			is_settled &= status.peers[i].requests > 0;
		mbj_client_status_done(&status);
	}
}

/*
 * Goal: a place is free as soon as its client has gone, also for who comes in
 * the same moment.  Method: both do while a third one is turned away, as
 * nobody gives way.
 */
START_TEST(place_left)
{
	struct mbj_service_options options;
	struct mbj_body_writer *writer = NULL;
	uint8_t *body = calloc(1, WIRE_PIECE_MAX + 1);
	struct served s;
	int turned;

	ck_assert_ptr_nonnull(body);
	served_options(&options);
	options.connections_max = 2;
	options.timeout_ms *= 100;
	served_begin_with(&s, &options);
	heir.s = &s;
	ck_assert_int_eq(sem_init(&heir.is_new, 0, 0), 0);
	heir.old = guest_greeted(&s);
	guest_say(heir.old, "x", 1);
	guests_settle(&s);
	SITE_OK(mbj_body_begin(s.client, &writer, err));
	SITE_OK(mbj_body_write(writer, mbj_bytes_make(body, WIRE_PIECE_MAX + 1),
			       err));
	socket_meddle_set(SOCKET_CLOSING, heir_come);
	SITE_OK(socket_connect(s.path, -1, -1, &turned, err));
	ck_assert_int_eq(guest_hear(turned), WIRE_REFUSAL);
	ck_assert_int_eq(sem_wait(&heir.is_new), 0);
	ck_assert_int_eq(guest_hear(heir.new), WIRE_ANSWER);
	socket_close(turned);
	socket_close(heir.new);
	mbj_body_abort(&writer);
	(void)sem_destroy(&heir.is_new);
	free(body);
	served_end(&s);
}
END_TEST

/* ------------------------------------------- right before and behind it */

/* What a client asks that may not be carried out twice, or not at all. */
static void call_rename(struct mbj_client *client)
{
	struct mbj_service_stats before;

	/* It has no request id. */
	SITE_OK(served_rename(client, 3, "m2", "new", NULL, err));
	before = served_stats(client);
	SITE_OK(served_rename(client, 3, "new", "m2", NULL, err));
	ck_assert_uint_eq(before.edits, 1);
}

static void call_body(struct mbj_client *client)
{
	struct mbj_hash digest;

	SITE_OK(mbj_body_put(client, mbj_bytes_str("body"), &digest, err));
}

static void call_house(struct mbj_client *client)
{
	struct mbj_collect_result result;

	SITE_OK(mbj_client_collect(client, true, &result, err));
}

static void (*const CALLS[])(struct mbj_client *client) = {call_rename,
							   call_body,
							   call_house};

/* The client has a link that is idle longest, and all places are taken. */
static void crowd_come(struct served *s, int fds[PLACES])
{
	(void)served_stats(s->client);
	(void)poll(NULL, 0, IDLE_MS);
	for (int i = 0; i < PLACES - 1; i++)
		fds[i] = guest_greeted(s);
	(void)poll(NULL, 0, IDLE_MS);
}

static void crowd_go(int fds[PLACES])
{
	for (int i = 0; i < PLACES; i++)
		socket_close(fds[i]);
}

static struct {
	const struct served *s;
	int fd;
	sem_t is_closing;
} late;

/* In the client, which has found its link good: it is gone then. */
static void late_close(int fd)
{
	struct pollfd over = {fd, POLLIN, 0};

	socket_meddle_set(SOCKET_SENDING, NULL);
	late.fd = guest_greeted(late.s);
	ck_assert_int_eq(poll(&over, 1, -1), 1);
}

/*
 * Goal: a client whose link gives way before he has asked does not notice.
 * Method: somebody comes while it is about to send, for requests that are not
 * made twice where that would do harm.
 */
START_TEST(place_gone)
{
	struct served s;
	int fds[PLACES];

	place_begin(&s);
	crowd_come(&s, fds);
	late.s = &s;
	socket_meddle_set(SOCKET_SENDING, late_close);
	CALLS[_i](s.client);
	fds[PLACES - 1] = late.fd;
	crowd_go(fds);
	served_end(&s);
}
END_TEST

/* In the service, which has heard nothing: it is said before that ends. */
static void late_ask(int fd)
{
	struct pollfd asked = {fd, POLLIN, 0};

	socket_meddle_set(SOCKET_CLOSING, NULL);
	(void)sem_post(&late.is_closing);
	ck_assert_int_eq(poll(&asked, 1, -1), 1);
}

/*
 * Goal: so does one who asks when the service will not hear him any more.
 * Method: his request comes before the close, and behind the last look.
 */
START_TEST(place_unheard)
{
	struct served s;
	int fds[PLACES];

	place_begin(&s);
	crowd_come(&s, fds);
	ck_assert_int_eq(sem_init(&late.is_closing, 0, 0), 0);
	socket_meddle_set(SOCKET_CLOSING, late_ask);
	fds[PLACES - 1] = guest_come(&s);
	ck_assert_int_eq(sem_wait(&late.is_closing), 0);
	CALLS[_i](s.client);
	crowd_go(fds);
	(void)sem_destroy(&late.is_closing);
	served_end(&s);
}
END_TEST

/* In the service, whose answer will not arrive. */
static void answer_lose(int fd)
{
	socket_meddle_set(SOCKET_SENDING, NULL);
	(void)shutdown(fd, SHUT_RDWR);
}

/* In the client: the next one to send is the service. */
static void answer_lose_next(int fd)
{
	(void)fd;
	socket_meddle_set(SOCKET_SENDING, answer_lose);
}

/*
 * Goal: what was heard, and may not be carried out twice, is not; that it was
 * is not known.  Method: an edit without a request id, whose answer is lost.
 */
START_TEST(place_once)
{
	struct mbj_error error;
	struct served s;

	place_begin(&s);
	socket_meddle_set(SOCKET_SENDING, answer_lose_next);
	SITE_FAILS(served_rename(s.client, 3, "m2", "new", NULL, err), MBJ_EIO,
		   &error);
	ck_assert_ptr_nonnull(strstr(error.message, "unknown"));
	/* The loop counts it once it has the connection back. */
	while (served_stats(s.client).edits == 0)
		(void)poll(NULL, 0, 1);
	ck_assert_uint_eq(served_stats(s.client).edits, 1);
	served_end(&s);
}
END_TEST

/* -------------------------------------------------------------- in part */

/*
 * Goal: requests that do not go on keep nobody out for long, only where places
 * are short and nobody is idle, and are told why.  Method: all places have half
 * a request, of a head and of a body; one goes on, and is idle then.
 */
START_TEST(place_stuck)
{
	uint8_t bytes[QUESTION_SIZE];
	struct mbj_client *another = NULL;
	struct mbj_error error;
	struct served s;
	int others[PLACES - 1];
	int fds[PLACES];

	question_make(bytes);
	place_begin(&s);
	mbj_client_close(&s.client);
	for (size_t i = 0; i < PLACES; i++) {
		fds[i] = guest_greeted(&s);
		guest_say(fds[i], bytes, i == 0 ? 5 : WIRE_HEAD_SIZE + i);
		(void)poll(NULL, 0, 2);
	}
	SITE_FAILS(mbj_client_connect(s.path, NULL, &another, err), MBJ_EBUSY,
		   &error);
	(void)poll(NULL, 0, STUCK_MS);
	for (int i = 0; i < 2; i++)
		ck_assert(!guest_is_over(fds[i]));
	guest_say(fds[0], bytes + 5, sizeof(bytes) - 5);
	ck_assert_int_eq(guest_hear(fds[0]), WIRE_ANSWER);
	(void)poll(NULL, 0, IDLE_MS);
	for (int i = 0; i < PLACES - 1; i++) {
		others[i] = guest_greeted(&s);
		guest_say(others[i], bytes, 5);
		ck_assert(guest_is_over(fds[0]));
		if (i == 0)
			continue;
		ck_assert_int_eq(guest_hear(fds[i]), WIRE_REFUSAL);
		ck_assert_int_eq(guest_hear(fds[i]), -1);
	}
	ck_assert(!guest_is_over(fds[PLACES - 1]));
	for (int i = 0; i < PLACES - 1; i++)
		socket_close(others[i]);
	crowd_go(fds);
	served_end(&s);
}
END_TEST

/*
 * Goal: bodies of which no more pieces come keep nobody out for longer than
 * the timeout.  Method: all places have one, and one goes on.
 */
START_TEST(place_pieces)
{
	uint8_t piece[WIRE_HEAD_SIZE + 5];
	struct wire_head head = {.kind = WIRE_BLOB_WRITE,
				 .side = WIRE_REQUEST,
				 .size = 5};
	struct mbj_service_options options;
	struct pollfd looks[PLACES];
	struct served s;
	int fds[PLACES];
	int another;

	wire_head_encode(&head, piece);
	memcpy(piece + WIRE_HEAD_SIZE, "\x01\0\0\0x", 5);
	served_options(&options);
	options.connections_max = PLACES;
	options.timeout_ms = 2 * STUCK_MS;
	served_begin_with(&s, &options);
	mbj_client_close(&s.client);
	for (int i = 0; i < PLACES; i++) {
		fds[i] = guest_greeted(&s);
		guest_say(fds[i], piece, sizeof(piece));
		ck_assert_int_eq(guest_hear(fds[i]), WIRE_ANSWER);
	}
	(void)poll(NULL, 0, 2 * STUCK_MS + IDLE_MS);
	for (int i = 0; i < PLACES; i++)
		ck_assert(!guest_is_over(fds[i]));
	guest_say(fds[0], piece, sizeof(piece));
	ck_assert_int_eq(guest_hear(fds[0]), WIRE_ANSWER);
	another = guest_greeted(&s);
	/* The loop had them back in no order. */
	for (int i = 0; i < PLACES; i++)
		looks[i] = (struct pollfd){fds[i], POLLIN, 0};
	ck_assert_int_eq(poll(looks, PLACES, -1), 1);
	ck_assert_int_eq(looks[0].revents, 0);
	for (int i = 1; i < PLACES; i++) {
		if (looks[i].revents == 0)
			continue;
		ck_assert_int_eq(guest_hear(fds[i]), WIRE_REFUSAL);
		ck_assert_int_eq(guest_hear(fds[i]), -1);
	}
	socket_close(another);
	crowd_go(fds);
	served_end(&s);
}
END_TEST

/* ----------------------------------------------------------------- busy */

static atomic_int in_count;
static atomic_bool is_enough;

/*
 * One question after the other.  Who does not get to his next one for a while
 * may have lost his place to who came.
 */
static void call_accounts(struct mbj_client *client)
{
	(void)atomic_fetch_add(&in_count, 1);
	while (!atomic_load_explicit(&is_enough, memory_order_relaxed)) {
		struct mbj_account account;
		enum mbj_rc rc = mbj_client_account(client, mbj_bytes_str("u3"),
						    &account, NULL);

		ck_assert(rc == MBJ_OK || rc == MBJ_EBUSY);
	}
}

/*
 * Goal: who is being answered does not give way, and nothing of him is read
 * that his worker writes.  Method: all places ask all the time, until a few
 * who came were turned away; the second part is for ThreadSanitizer.
 */
START_TEST(place_busy)
{
	enum { TURNED = 20 };
	struct served_asker askers[PLACES];
	struct served s;
	int turned = 0;

	place_begin(&s);
	mbj_client_close(&s.client);
	(void)poll(NULL, 0, IDLE_MS);
	atomic_init(&in_count, 0);
	atomic_init(&is_enough, false);
	for (int i = 0; i < PLACES; i++)
		served_ask(&askers[i], &s, call_accounts);
	while (atomic_load(&in_count) < PLACES)
		(void)poll(NULL, 0, 1);
	while (turned < TURNED) {
		struct mbj_client *another = NULL;
		enum mbj_rc rc =
			mbj_client_connect(s.path, NULL, &another, NULL);

		ck_assert(rc == MBJ_OK || rc == MBJ_EBUSY);
		turned += rc == MBJ_EBUSY;
		mbj_client_close(&another);
	}
	atomic_store(&is_enough, true);
	for (int i = 0; i < PLACES; i++) {
		ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
		ck_assert(atomic_load(&askers[i].is_answered));
	}
	served_end(&s);
}
END_TEST

TCase *test_place_case(void)
{
	int calls = (int)(sizeof(CALLS) / sizeof(CALLS[0]));
	TCase *tc = tcase_create("place");

	tcase_add_test(tc, place_heard);
	tcase_add_test(tc, place_left);
	tcase_add_loop_test(tc, place_gone, 0, calls);
	tcase_add_loop_test(tc, place_unheard, 0, calls);
	tcase_add_test(tc, place_once);
	tcase_add_test(tc, place_stuck);
	tcase_add_test(tc, place_pieces);
	tcase_add_test(tc, place_busy);
	tcase_set_timeout(tc, 60);
	return tc;
}
