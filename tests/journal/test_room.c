/*
 * Memory for long requests: what a connection that keeps it costs others, which
 * is that they wait, for a while.
 */
#include <poll.h>
#include <stdlib.h>

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

TCase *test_room_case(void)
{
	TCase *tc = tcase_create("room");

	tcase_add_test(tc, room_heads);
	tcase_add_test(tc, room_halves);
	tcase_add_test(tc, room_stalled);
	tcase_add_test(tc, room_hang_up);
	tcase_set_timeout(tc, 60);
	return tc;
}
