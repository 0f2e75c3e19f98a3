/*
 * Memory for long requests: what a connection that keeps it costs others, which
 * is that they wait, for a while.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

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

	room_begin(&s, 2 * SMALL, 60000);
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
 * Goal: a body that gets no further is given up as soon as a head that does,
 * however long it said that it will be, and who waited for its memory goes on.
 * Method: bodies of 64 MiB of which nothing comes any more, and which hold all
 * memory; a long message waits for it.
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
		ck_assert_int_eq(guest_hear(fds[i]), -1);
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

enum { MAILBOXES = 10000, BIG = 99, READERS = 6 };

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

/* All of an answer that guest_hear has no place for. */
static void tree_hear(int fd)
{
	static uint8_t bytes[SMALL];
	struct wire_head head = {.size = 0};
	size_t got = 0;

	while (got < WIRE_HEAD_SIZE + (size_t)head.size) {
		size_t left = WIRE_HEAD_SIZE + (size_t)head.size - got;
		struct pollfd wait = {fd, POLLIN, 0};
		ssize_t n;

		(void)poll(&wait, 1, -1);
		n = socket_receive(fd, bytes, left < SMALL ? left : SMALL);
		ck_assert(n > 0 || n == -EAGAIN);
		got += n > 0 ? (size_t)n : 0;
		if (got == WIRE_HEAD_SIZE)
			SITE_OK(wire_head_decode(bytes, &head, err));
	}
	ck_assert_int_eq(head.kind, WIRE_TREE);
	ck_assert_int_eq(head.side, WIRE_ANSWER);
}

/* What one such answer takes, as long as nobody reads it. */
static size_t answer_size(void)
{
	struct served s;
	size_t size;
	int fd;

	room_begin(&s, 64 << 20, 60000);
	site_import(s.site.store, BIG, MAILBOXES);
	fd = guest_greet(&s);
	tree_ask(fd, false);
	do
		size = memory_settle(&s);
	while (size == 0);
	tree_hear(fd);
	ck_assert_uint_eq(memory_settle(&s), 0);
	socket_close(fd);
	served_end(&s);
	return size;
}

/* Two workers, and memory for four such answers: three for lists. */
static void readers_begin(struct served *s, int fds[READERS], size_t size,
			  uint32_t timeout_ms)
{
	struct mbj_service_options options;

	served_options(&options);
	options.memory_max = 4 * size;
	options.workers_max = 2;
	options.timeout_ms = timeout_ms;
	served_begin_with(s, &options);
	site_import(s->site.store, BIG, MAILBOXES);
	for (int i = 0; i < READERS; i++)
		fds[i] = guest_greet(s);
	for (int i = 0; i < READERS; i++) {
		tree_ask(fds[i], i >= READERS / 2);
		if (i == READERS / 2 - 1)
			ck_assert_uint_le(memory_settle(s), 4 * size);
	}
}

/*
 * Goal: answers that nobody reads take no more memory than there is, keep no
 * edit waiting, and go when their time is over: whoever asks for a list then
 * gets it.  Method: six who ask and do not read, three of them with a worker
 * that would stay; an edit, and a list behind all of theirs.
 */
START_TEST(room_unread)
{
	size_t size = answer_size();
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	struct served s;
	int fds[READERS];

	readers_begin(&s, fds, size, TIMEOUT_MS);
	ck_assert_uint_le(memory_settle(&s), 4 * size);
	SITE_OK(served_rename(s.client, 3, "m2", "there", NULL, err));
	SITE_OK(mbj_client_tree(s.client, mbj_bytes_str("u99"), &account, &tree,
				err));
	ck_assert_uint_eq(mbj_tree_live_count(tree), MAILBOXES);
	mbj_tree_free(&tree);
	for (int i = 0; i < READERS; i++)
		socket_close(fds[i]);
	until(&s, 1);
	ck_assert_uint_eq(memory_settle(&s), 0);
	served_end(&s);
}
END_TEST

/*
 * Goal: what was received whole is carried out and answered, also where it
 * waits for memory while the service is told to stop.  Method: six ask, fewer
 * have room; then it stops, and all read.
 */
START_TEST(room_stop)
{
	size_t size = answer_size();
	struct served s;
	int fds[READERS];

	readers_begin(&s, fds, size, 60000);
	(void)memory_settle(&s);
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	for (int i = 0; i < READERS; i++) {
		if (i >= READERS / 2)
			ck_assert_int_eq(guest_hear(fds[i]), WIRE_ANSWER);
		tree_hear(fds[i]);
		socket_close(fds[i]);
	}
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
	tcase_add_test(tc, room_stop);
	tcase_set_timeout(tc, 30);
	return tc;
}
