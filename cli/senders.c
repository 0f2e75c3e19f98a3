/*
 * Processes of a listener; see senders.h.
 */
#include "senders.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/memory.h>

#include "process.h"

enum { ANSWER_SIZE = 4 };

enum mbj_rc senders_init(struct senders *s, size_t max, struct mbj_error *err)
{
	*s = (struct senders){.max = max};
	s->list = mbj_calloc(max + SENDERS_STRANGERS_MAX, sizeof(*s->list));
	return s->list != NULL ? MBJ_OK : mbj_error_nomem(err);
}

static void door_close(struct sender *sender)
{
	if (sender->door >= 0)
		(void)close(sender->door);
	sender->door = -1;
}

void senders_end(struct senders *s)
{
	for (size_t i = 0; i < s->count; i++) {
		door_close(&s->list[i]);
		process_end(s->list[i].process);
	}
	s->count = 0;
}

void senders_done(struct senders *s)
{
	mbj_free(s->list);
	s->list = NULL;
}

void senders_reap(struct senders *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (process_is_gone(s->list[i].process))
			door_close(&s->list[i]);
		else
			s->list[kept++] = s->list[i];
	}
	s->count = kept;
}

size_t senders_count(const struct senders *s, bool is_stranger)
{
	size_t count = 0;

	for (size_t i = 0; i < s->count; i++)
		count += s->list[i].is_stranger == is_stranger;
	return count;
}

void senders_add(struct senders *s, pid_t process, int door)
{
	MBJ_ASSERT(s->count < s->max + SENDERS_STRANGERS_MAX);
	s->list[s->count++] = (struct sender){.process = process,
					      .door = door,
					      .is_stranger = door >= 0};
}

bool senders_make_room(struct senders *s)
{
	size_t oldest = 0;

	if (senders_count(s, true) < SENDERS_STRANGERS_MAX)
		return false;
	while (!s->list[oldest].is_stranger)
		oldest++;
	/* It has nothing yet but the connection. */
	process_kill(s->list[oldest].process);
	door_close(&s->list[oldest]);
	s->count--;
	for (size_t i = oldest; i < s->count; i++)
		s->list[i] = s->list[i + 1];
	return true;
}

size_t senders_doors(const struct senders *s, struct pollfd *fds)
{
	size_t count = 0;

	for (size_t i = 0; i < s->count; i++)
		if (s->list[i].door >= 0)
			fds[count++] = (struct pollfd){.fd = s->list[i].door,
						       .events = POLLIN};
	return count;
}

/* Does it ask?  One that hung up does not, and will not. */
static bool is_asking(struct sender *sender)
{
	ssize_t n;
	char byte;

	if (sender->door < 0)
		return false;
	do {
		n = recv(sender->door, &byte, 1, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
		door_close(sender);
	return n == 1;
}

size_t senders_answer(struct senders *s)
{
	size_t refused = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct sender *sender = &s->list[i];
		uint8_t answer[ANSWER_SIZE] = {0};

		if (!is_asking(sender))
			continue;
		if (senders_count(s, false) < s->max) {
			sender->is_stranger = false;
		} else {
			mbj_store_u32(answer, (uint32_t)s->max);
			refused++;
		}
		(void)!send(sender->door, answer, sizeof(answer), MSG_NOSIGNAL);
		door_close(sender);
	}
	return refused;
}

/* ---------------------------------------------------------- a sender's part */

enum mbj_rc senders_ask(int door, struct mbj_error *err)
{
	uint8_t answer[ANSWER_SIZE] = {0};
	ssize_t n = -1;
	uint32_t max;

	if (send(door, "", 1, MSG_NOSIGNAL) == 1) {
		do {
			n = recv(door, answer, sizeof(answer), MSG_WAITALL);
		} while (n < 0 && errno == EINTR);
	}
	(void)close(door);
	if (n != (ssize_t)sizeof(answer))
		return mbj_error_set(err, MBJ_EIO, "the listener is gone");
	max = mbj_load_u32(answer);
	if (max == 0)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EBUSY,
			     "the source serves %u replicas, as many as it "
			     "takes: try again",
			     max);
}
