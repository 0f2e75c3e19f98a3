/*
 * Memory for long requests, and for long answers: what a connection that keeps
 * it costs others, which is that they wait, for a while.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/sys.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "wire.h"

enum {
	SMALL = 64 << 10, /* what each has in any case */
	GUESTS = 4,
	LONG = 5 * SMALL / 2,
	PART = LONG / 2, /* more than each has */
	TIMEOUT_MS = 2000,
};

static void room_begin(struct served *s, size_t memory_max, uint32_t timeout_ms)
{
	struct mbj_service_options options;

	served_options(&options);
	options.memory_max = memory_max;
	options.timeout_ms = timeout_ms;
	served_begin_with(s, &options);
}

static int guest_greet(const struct served *s)
{
	int fd = guest_come(s);

	ck_assert_int_eq(guest_hear(fd), WIRE_ANSWER);
	return fd;
}

static void head_say(int fd, enum wire_kind kind, size_t size)
{
	struct wire_head head = {.kind = kind,
				 .side = WIRE_REQUEST,
				 .size = (uint32_t)size};
	uint8_t bytes[WIRE_HEAD_SIZE];

	wire_head_encode(&head, bytes);
	guest_say(fd, bytes, sizeof(bytes));
}

/* A piece of a body of a message, as a request has it. */
static uint8_t *piece_make(size_t size)
{
	uint8_t *piece = calloc(1, size);

	ck_assert_ptr_nonnull(piece);
	mbj_store_u32(piece, (uint32_t)(size - 4));
	return piece;
}

/* A message that is long, by a client that waits for its turn. */
static void body_put(struct served *s)
{
	uint8_t *body = piece_make(WIRE_PIECE_MAX);
	struct mbj_hash digest;

	SITE_OK(mbj_body_put(s->client, mbj_bytes_make(body, WIRE_PIECE_MAX),
			     &digest, err));
	free(body);
}

static void until(struct served *s, uint64_t connections)
{
	while (served_stats(s->client).connections != connections)
		(void)poll(NULL, 0, 5);
}

/* They are as far as they come: nothing more is counted for a moment. */
static uint64_t memory_settle(struct served *s)
{
	uint64_t last;
	uint64_t memory = served_stats(s->client).memory;

	do {
		last = memory;
		(void)poll(NULL, 0, 50);
		memory = served_stats(s->client).memory;
	} while (memory != last);
	return memory;
}

/*
 * Goal: what a head says that will come costs nothing.  Method: heads of the
 * longest edits, of several times the memory that there is, and no more of
 * them; a long message meanwhile.
 */
START_TEST(room_heads)
{
	struct served s;
	int fds[GUESTS];

	room_begin(&s, 2 * WIRE_PIECE_MAX, 60000);
	for (int i = 0; i < GUESTS; i++) {
		fds[i] = guest_greet(&s);
		head_say(fds[i], WIRE_SUBMIT, WIRE_EDIT_MAX);
	}
	ck_assert_uint_eq(memory_settle(&s), 0);
	body_put(&s);
	ck_assert_uint_eq(memory_settle(&s), 0);
	for (int i = 0; i < GUESTS; i++)
		socket_close(fds[i]);
	served_end(&s);
}
END_TEST

/*
 * Goal: bodies that have come in part and hold all memory are not there for
 * ever: each is read to its end, one beyond the limit.  Method: four of which
 * each needs more than there is, half of each first.
 */
START_TEST(room_halves)
{
	uint8_t *piece = piece_make(LONG);
	struct served s;
	int fds[GUESTS];

	room_begin(&s, 2 * SMALL, 600000);
	for (int i = 0; i < GUESTS; i++) {
		fds[i] = guest_greet(&s);
		head_say(fds[i], WIRE_BLOB_WRITE, LONG);
		guest_say(fds[i], piece, PART);
	}
	ck_assert_uint_eq(memory_settle(&s), 4 * SMALL);
	for (int i = 0; i < GUESTS; i++)
		guest_say(fds[i], piece + PART, LONG - PART);
	for (int i = 0; i < GUESTS; i++)
		ck_assert_int_eq(guest_hear(fds[i]), WIRE_ANSWER);
	body_put(&s);
	for (int i = 0; i < GUESTS; i++)
		socket_close(fds[i]);
	ck_assert_uint_eq(memory_settle(&s), 0);
	served_end(&s);
	free(piece);
}
END_TEST

/*
 * Goal: a body that gets no further is given up as soon as a head that does, or
 * sooner, where somebody waits for its memory, however long it said that it
 * will be.  Method: bodies of 64 MiB of which nothing comes any more, and which
 * hold all memory; a long message waits for it.
 */
START_TEST(room_stalled)
{
	uint8_t *piece = piece_make(WIRE_PIECE_MAX);
	struct served s;
	int fds[GUESTS];

	room_begin(&s, WIRE_PIECE_MAX, TIMEOUT_MS);
	for (int i = 0; i < GUESTS; i++) {
		fds[i] = guest_greet(&s);
		head_say(fds[i], WIRE_SUBMIT, WIRE_EDIT_MAX);
		guest_say(fds[i], piece, PART);
	}
	body_put(&s);
	for (int i = 0; i < GUESTS; i++) {
		int side;

		do {
			side = guest_hear(fds[i]);
			ck_assert_int_ne(side, WIRE_ANSWER);
		} while (side != -1);
		socket_close(fds[i]);
	}
	served_end(&s);
	free(piece);
}
END_TEST

/*
 * Goal: who waits for memory and goes gives his place back.  Method: one holds
 * it, one is beyond it, two wait, of whom the first goes; there is no deadline
 * that would end any of them.
 */
START_TEST(room_hang_up)
{
	uint8_t *piece = piece_make(LONG);
	struct served s;
	int fds[GUESTS];

	room_begin(&s, 2 * SMALL, 600000);
	for (int i = 0; i < GUESTS; i++) {
		fds[i] = guest_greet(&s);
		head_say(fds[i], WIRE_BLOB_WRITE, LONG);
		guest_say(fds[i], piece, PART);
	}
	ck_assert_uint_eq(memory_settle(&s), 4 * SMALL);
	until(&s, GUESTS + 1);
	socket_close(fds[2]);
	until(&s, GUESTS);
	/* The last one has its turn, too. */
	for (int i = 0; i < GUESTS; i++)
		if (i != 2)
			guest_say(fds[i], piece + PART, LONG - PART);
	for (int i = 0; i < GUESTS; i++)
		if (i != 2) {
			ck_assert_int_eq(guest_hear(fds[i]), WIRE_ANSWER);
			socket_close(fds[i]);
		}
	until(&s, 1);
	ck_assert_uint_eq(memory_settle(&s), 0);
	served_end(&s);
	free(piece);
}
END_TEST

/* ----------------------------------------------------------------- answers */

enum {
	MAILBOXES = 12000,
	BIG = 99,
	NEAR = 98, /* a list that is tried in vain, but then takes no share */
	NEARLY = 1420,
	ANSWER = 1 << 20, /* what their tree takes: a power of two */
	FIT = 4,	  /* of which the last is the one beyond */
	READERS = 7,
};

/* Memory for four, made by two at once, who have two of it each. */
static void readers_begin(struct served *s, int fds[READERS],
			  uint32_t timeout_ms)
{
	struct mbj_service_options options;

	served_options(&options);
	options.memory_max = (size_t)2 * FIT * ANSWER;
	options.workers_max = 2;
	options.timeout_ms = timeout_ms;
	served_begin_with(s, &options);
	site_import(s->site.store, BIG, MAILBOXES);
	for (size_t i = 0; i < READERS; i++)
		fds[i] = guest_greet(s);
}

static void near_ask(int fd)
{
	head_say(fd, WIRE_TREE, 7);
	guest_say(fd, "\x03\0\0\0u98", 7);
}

/* TREE of the account that is long; before it, in the same breath, ACCOUNT. */
static void tree_ask(int fd, bool is_behind)
{
	uint8_t bytes[2 * (WIRE_HEAD_SIZE + 7)];
	struct wire_head head = {.side = WIRE_REQUEST, .size = 7};
	size_t n = 0;

	for (int i = is_behind ? 0 : 1; i < 2; i++) {
		head.kind = i == 0 ? WIRE_ACCOUNT : WIRE_TREE;
		wire_head_encode(&head, bytes + n);
		memcpy(bytes + n + WIRE_HEAD_SIZE, "\x03\0\0\0u99", 7);
		n += WIRE_HEAD_SIZE + 7;
	}
	guest_say(fd, bytes, n);
}

/* An answer that guest_hear has no place for, as far as it is read. */
struct heard {
	int fd;
	size_t got;
	size_t whole;
};

/* At most so many bytes more.  False: that was all. */
static bool tree_taste(struct heard *h, size_t most)
{
	static uint8_t bytes[SMALL];
	struct pollfd wait = {h->fd, POLLIN, 0};
	struct wire_head head;
	size_t left = h->whole - h->got;
	ssize_t n;

	(void)poll(&wait, 1, -1);
	n = socket_receive(h->fd, bytes, left < most ? left : most);
	ck_assert(n > 0 || n == -EAGAIN);
	h->got += n > 0 ? (size_t)n : 0;
	if (h->got == WIRE_HEAD_SIZE && h->whole == WIRE_HEAD_SIZE) {
		SITE_OK(wire_head_decode(bytes, &head, err));
		ck_assert_int_eq(head.kind, WIRE_TREE);
		ck_assert_int_eq(head.side, WIRE_ANSWER);
		ck_assert_uint_gt(head.size, ANSWER / 2);
		h->whole += head.size;
	}
	return h->got < h->whole;
}

static void tree_hear(int fd)
{
	struct heard h = {.fd = fd, .whole = WIRE_HEAD_SIZE};

	while (tree_taste(&h, SMALL))
		continue;
}

/* What the service has of answers, which is never more than there is. */
static uint64_t answers_now(struct served *s)
{
	struct mbj_service_stats stats = served_stats(s->client);

	ck_assert_uint_eq(stats.answers_max, (uint64_t)FIT * ANSWER);
	/* Two for the one beyond, as long as it is being made. */
	ck_assert_uint_le(stats.answers, (uint64_t)(FIT + 2) * ANSWER);
	ck_assert_uint_eq(stats.memory, 0);
	return stats.answers;
}

/* As many as have room ask, each once the one before has it. */
static void readers_fill(struct served *s, const int fds[READERS])
{
	for (size_t i = 0; i < FIT; i++) {
		tree_ask(fds[i], i % 2 == 1);
		while (answers_now(s) != (uint64_t)(i + 1) * ANSWER)
			(void)poll(NULL, 0, 5);
	}
}

/* And all others at once. */
static void readers_crowd(const int fds[READERS])
{
	for (size_t i = FIT; i < READERS; i++)
		tree_ask(fds[i], false);
}

static void tree_get(struct served *s, const char *account, size_t count)
{
	struct mbj_tree *tree = NULL;
	struct mbj_account found;

	SITE_OK(mbj_client_tree(s->client, mbj_bytes_str(account), &found,
				&tree, err));
	ck_assert_uint_eq(mbj_tree_live_count(tree), count);
	mbj_tree_free(&tree);
}

/* All are gone, and have left nothing. */
static void readers_end(struct served *s, const int fds[READERS])
{
	for (size_t i = 0; i < READERS; i++)
		socket_close(fds[i]);
	until(s, 1);
	ck_assert_uint_eq(answers_now(s), 0);
	served_end(s);
}

/*
 * Goal: lists that nobody reads take no more memory than there is for them, and
 * give way to who asks for one; no edit waits with those.  Method: more than
 * have room ask and do not read, some behind what a worker would stay for; an
 * edit, and a list behind all of theirs, while no deadline would end any of
 * them.
 */
START_TEST(room_unread)
{
	struct served s;
	int fds[READERS];

	readers_begin(&s, fds, 600000);
	readers_fill(&s, fds);
	readers_crowd(fds);
	SITE_OK(served_rename(s.client, 3, "m2", "there", NULL, err));
	while (served_stats(s.client).unread == 0)
		(void)answers_now(&s);
	tree_get(&s, "u99", MAILBOXES);
	(void)answers_now(&s);
	readers_end(&s, fds);
}
END_TEST

/*
 * Goal: where there is no memory for long answers, nobody waits for it who has
 * no need of it: short lists are answered, and bytes of messages come in
 * shorter pieces.  Method: as many as have room do not read; nobody gives way
 * as long as nobody waits.
 */
START_TEST(room_short)
{
	enum { BODY = 5 * SMALL + 1 };
	static uint8_t bytes[BODY];
	uint8_t *body = malloc(BODY);
	struct mbj_body_reader *reader = NULL;
	struct mbj_client_bodies bodies;
	struct mbj_hash digests[2];
	struct served s;
	uint64_t size;
	size_t at = 0;
	size_t got;
	int fds[READERS];

	ck_assert_ptr_nonnull(body);
	for (size_t i = 0; i < BODY; i++)
		body[i] = (uint8_t)(i * 7 + i / 251);
	readers_begin(&s, fds, 600000);
	SITE_OK(mbj_body_put(s.client, mbj_bytes_make(body, 100), &digests[0],
			     err));
	SITE_OK(mbj_body_put(s.client, mbj_bytes_make(body, BODY), &digests[1],
			     err));
	readers_fill(&s, fds);
	tree_get(&s, "u3", 3);
	SITE_OK(mbj_client_bodies(s.client, digests, 2, &bodies, err));
	ck_assert_uint_eq(bodies.count, 1);
	ck_assert_uint_eq(bodies.bodies[0].n, 100);
	mbj_client_bodies_done(&bodies);
	SITE_OK(mbj_body_open(s.client, &digests[1], &reader, &size, err));
	ck_assert_uint_eq(size, BODY);
	do {
		SITE_OK(mbj_body_read(reader, bytes + at, BODY - at, &got,
				      err));
		at += got;
	} while (got > 0);
	mbj_body_close(&reader);
	ck_assert_uint_eq(at, BODY);
	ck_assert_mem_eq(bytes, body, BODY);
	ck_assert_uint_eq(served_stats(s.client).unread, 0);
	readers_end(&s, fds);
	free(body);
}
END_TEST

/*
 * Goal: who reads slowly gets all of his answer, whoever waits.  Method: one
 * that reads 160 KiB a second, for two seconds, and as many as have room beside
 * him, and more, who do not.
 */
START_TEST(room_slow)
{
	struct served s;
	int fds[READERS];
	struct heard slow = {.whole = WIRE_HEAD_SIZE};

	readers_begin(&s, fds, 600000);
	readers_fill(&s, fds);
	slow.fd = fds[0];
	while (slow.got < SMALL)
		(void)tree_taste(&slow, SMALL);
	readers_crowd(fds);
	while (slow.got < ANSWER / 3) {
		(void)tree_taste(&slow, SMALL / 4);
		(void)poll(NULL, 0, 100);
	}
	ck_assert_uint_gt(served_stats(s.client).unread, 0);
	while (tree_taste(&slow, SMALL))
		continue;
	readers_end(&s, fds);
}
END_TEST

/* What is there to be read, once it is no more than a moment before. */
static int unread_settle(int fd, struct heard *slow)
{
	int count = 0;
	int last;

	do {
		last = count;
		(void)tree_taste(slow, SMALL / 8);
		(void)poll(NULL, 0, 100);
		ck_assert_int_eq(ioctl(fd, FIONREAD, &count), 0);
	} while (count == 0 || count != last);
	return count;
}

/*
 * Goal: who may go beyond the limit, and then has no need to, keeps the next
 * one from it no longer, though he does not read.  Method: memory for one list,
 * which is read slowly all the time; one that does not read has asked for more
 * lists than his socket holds, each all but short; one asks behind him.
 */
START_TEST(room_beyond)
{
	struct heard slow = {.whole = WIRE_HEAD_SIZE};
	struct pollfd wait = {.events = POLLIN};
	struct mbj_service_options options;
	struct served s;
	int fd;

	served_options(&options);
	options.memory_max = (size_t)2 * ANSWER;
	options.workers_max = 1;
	options.timeout_ms = 600000;
	served_begin_with(&s, &options);
	site_import(s.site.store, BIG, MAILBOXES);
	site_import(s.site.store, NEAR, NEARLY);
	slow.fd = guest_greet(&s);
	tree_ask(slow.fd, false);
	while (slow.got < SMALL)
		(void)tree_taste(&slow, SMALL);
	ck_assert_uint_eq(served_stats(s.client).answers, ANSWER);
	fd = guest_greet(&s);
	for (int i = 0; i < 16; i++)
		near_ask(fd);
	/* On a busy machine a moment is not long enough. */
	while (unread_settle(fd, &slow) <= SMALL)
		continue;
	ck_assert_uint_eq(served_stats(s.client).answers, ANSWER);
	wait.fd = guest_greet(&s);
	tree_ask(wait.fd, false);
	while (poll(&wait, 1, 100) == 0)
		(void)tree_taste(&slow, SMALL / 8);
	ck_assert_uint_gt(served_stats(s.client).answers, ANSWER);
	tree_hear(wait.fd);
	while (tree_taste(&slow, SMALL))
		continue;
	socket_close(slow.fd);
	socket_close(wait.fd);
	socket_close(fd);
	until(&s, 1);
	ck_assert_uint_eq(served_stats(s.client).answers, 0);
	ck_assert_uint_eq(served_stats(s.client).unread, 0);
	served_end(&s);
}
END_TEST

/*
 * Goal: an answer of which nothing is read is given up after the timeout, as a
 * request is of which nothing comes, not after the time that all of it might
 * take, although nobody waits.
 */
START_TEST(room_deaf)
{
	struct served s;
	int64_t began_ms;
	int fds[READERS];

	readers_begin(&s, fds, TIMEOUT_MS / 2);
	began_ms = mbj_monotonic_ms();
	tree_ask(fds[0], false);
	until(&s, READERS);
	ck_assert_int_lt(mbj_monotonic_ms() - began_ms, ANSWER / 2 / 64);
	ck_assert_uint_eq(served_stats(s.client).unread, 1);
	readers_end(&s, fds);
}
END_TEST

/*
 * Goal: what was received whole is carried out and answered, also where it
 * waits for memory while the service is told to stop, and where its client has
 * said that it asks nothing more.  Method: more ask than have room; then it
 * stops, and those read who have waited.
 */
START_TEST(room_stop)
{
	struct served s;
	int fds[READERS];

	readers_begin(&s, fds, 600000);
	readers_fill(&s, fds);
	readers_crowd(fds);
	ck_assert_int_eq(shutdown(fds[READERS - 1], SHUT_WR), 0);
	/* What they said is received before what this asks is. */
	(void)answers_now(&s);
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	for (int i = FIT; i < READERS; i++)
		tree_hear(fds[i]);
	for (int i = 0; i < READERS; i++)
		socket_close(fds[i]);
	served_join(&s);
	ck_assert(site_is_sound(s.site.store));
	site_end(&s.site);
}
END_TEST

TCase *test_room_case(void)
{
	TCase *tc = tcase_create("room");

	tcase_add_test(tc, room_heads);
	tcase_add_test(tc, room_halves);
	tcase_add_test(tc, room_stalled);
	tcase_add_test(tc, room_hang_up);
	tcase_add_test(tc, room_unread);
	tcase_add_test(tc, room_short);
	tcase_add_test(tc, room_slow);
	tcase_add_test(tc, room_beyond);
	tcase_add_test(tc, room_deaf);
	tcase_add_test(tc, room_stop);
	tcase_set_timeout(tc, 20);
	return tc;
}
