/*
 * Who gets no further, or hardly, while others wait: for a place that he has,
 * or for memory.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "wire.h"

enum {
	GUESTS = 4,
	PART = 160 << 10, /* of a body: more than each has in any case */
	/* Of which others wait for a fifteenth: 1 s. */
	TIMEOUT_MS = 15000,
	STUCK_MS = 1200,
	ANSWERS = 150, /* of 1.3 KB: the kernel does not hold so many */
};

/* Who left before may have his place for a moment still. */
static int guest_enter(const struct served *s)
{
	int fd = guest_come(s);

	while (guest_hear(fd) != WIRE_ANSWER) {
		socket_close(fd);
		(void)poll(NULL, 0, 1);
		fd = guest_come(s);
	}
	return fd;
}

static void stuck_begin(struct served *s, size_t memory_max, int fds[GUESTS])
{
	struct mbj_service_options options;

	served_options(&options);
	options.connections_max = memory_max == 0 ? GUESTS : 2 * GUESTS;
	if (memory_max > 0)
		options.memory_max = memory_max;
	options.timeout_ms = TIMEOUT_MS;
	served_begin_with(s, &options);
	mbj_client_close(&s->client);
	for (int i = 0; i < GUESTS; i++)
		fds[i] = guest_enter(s);
}

static void stuck_end(struct served *s, int fds[GUESTS])
{
	for (int i = 0; i < GUESTS; i++)
		socket_close(fds[i]);
	served_end(s);
}

static void head_say(int fd, enum wire_kind kind, uint32_t size)
{
	struct wire_head head = {.kind = kind,
				 .side = WIRE_REQUEST,
				 .size = size};
	uint8_t bytes[WIRE_HEAD_SIZE];

	wire_head_encode(&head, bytes);
	guest_say(fd, bytes, sizeof(bytes));
}

/* A message that is long. */
static void body_bring(struct mbj_client *client)
{
	uint8_t *body = calloc(1, WIRE_PIECE_MAX);
	struct mbj_hash digest;

	ck_assert_ptr_nonnull(body);
	SITE_OK(mbj_body_put(client, mbj_bytes_make(body, WIRE_PIECE_MAX),
			     &digest, err));
	free(body);
}

/* One byte more, where there is room for it, and it was not ended. */
static void guest_trickle(int fd)
{
	ssize_t sent = send(fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);

	ck_assert(sent == 1 || errno == EAGAIN || errno == EPIPE);
}

/*
 * Goal: bodies that come byte by byte keep the memory from others for a moment
 * only.  Method: bodies of 64 MiB hold all of it, and one is beyond it; each
 * goes on all the time, and would for minutes; a long message waits.
 */
START_TEST(stuck_memory)
{
	uint8_t *part = calloc(1, PART);
	struct served_asker asker;
	struct served s;
	int fds[GUESTS];

	ck_assert_ptr_nonnull(part);
	stuck_begin(&s, WIRE_PIECE_MAX, fds);
	for (int i = 0; i < GUESTS; i++) {
		head_say(fds[i], WIRE_SUBMIT, WIRE_EDIT_MAX);
		guest_say(fds[i], part, PART);
	}
	served_ask(&asker, &s, body_bring);
	while (!atomic_load(&asker.is_answered)) {
		for (int i = 0; i < GUESTS; i++)
			guest_trickle(fds[i]);
		(void)poll(NULL, 0, 10);
	}
	ck_assert_int_eq(pthread_join(asker.thread, NULL), 0);
	ck_assert_int_eq(guest_hear(fds[0]), WIRE_REFUSAL);
	stuck_end(&s, fds);
	free(part);
}
END_TEST

/*
 * Goal: who does not read his answers keeps nobody out for longer than that
 * either, and who reads, slowly, has all of them.  Method: all places have more
 * to read than the kernel holds; one reads.
 */
START_TEST(stuck_unread)
{
	struct mbj_client *another = NULL;
	struct mbj_error error;
	struct served s;
	int fds[GUESTS];
	int heard = 0;

	stuck_begin(&s, 0, fds);
	for (int i = 0; i < GUESTS; i++)
		for (int k = 0; k < ANSWERS; k++)
			head_say(fds[i], WIRE_ACCOUNTS, 0);
	(void)poll(NULL, 0, 100);
	SITE_FAILS(mbj_client_connect(s.path, NULL, &another, err), MBJ_EBUSY,
		   &error);
	for (; heard < STUCK_MS / 20; heard++) {
		ck_assert_int_eq(guest_hear(fds[0]), WIRE_ANSWER);
		(void)poll(NULL, 0, 20);
	}
	SITE_OK(mbj_client_connect(s.path, NULL, &another, err));
	ck_assert_uint_eq(served_stats(another).unread, 1);
	for (; heard < ANSWERS; heard++)
		ck_assert_int_eq(guest_hear(fds[0]), WIRE_ANSWER);
	mbj_client_close(&another);
	stuck_end(&s, fds);
}
END_TEST

/*
 * Goal: a service that has more connections than it may have open files by now
 * hears them all the same, and stops.  Method: the limit is lowered, as
 * prlimit(1) does, while all places are taken.
 */
START_TEST(stuck_limit)
{
	struct rlimit usual, low;
	struct served s;
	int fds[GUESTS];

	stuck_begin(&s, 0, fds);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
	low = usual;
	low.rlim_cur = GUESTS;
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < GUESTS; i++) {
		head_say(fds[i], WIRE_ACCOUNTS, 0);
		ck_assert_int_eq(guest_hear(fds[i]), WIRE_ANSWER);
	}
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	for (int i = 0; i < GUESTS; i++)
		ck_assert_int_eq(guest_hear(fds[i]), -1);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);
	stuck_end(&s, fds);
}
END_TEST

TCase *test_stuck_case(void)
{
	TCase *tc = tcase_create("stuck");

	tcase_add_test(tc, stuck_memory);
	tcase_add_test(tc, stuck_unread);
	tcase_add_test(tc, stuck_limit);
	tcase_set_timeout(tc, 30);
	return tc;
}
