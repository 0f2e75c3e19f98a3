/*
 * The processes that serve a listener's replicas.
 *
 * One that does not know yet whom it serves is a stranger's.  Strangers
 * have places of their own, so that they take none of the replicas': once
 * whoever is there has proven who it is, its process asks for one at its
 * door, a pair of sockets; and where strangers are too many, the oldest
 * has had its time.
 *
 *	sender -> listener	a byte: who is there is known
 *	listener -> sender	4 bytes, little-endian: 0 there is a place,
 *				else the number of places, all of them taken
 *
 * Threads: one.
 */
#ifndef MBJ_CLI_SENDERS_H
#define MBJ_CLI_SENDERS_H

#include <poll.h>
#include <stdbool.h>
#include <sys/types.h>

#include <mbj/error.h>

enum { SENDERS_STRANGERS_MAX = 32 };

struct sender {
	pid_t process;
	int door; /* -1: none, or it was answered */
	bool is_stranger;
};

struct senders {
	struct sender *list; /* the oldest first */
	size_t count;
	size_t max; /* replicas at once */
};

enum mbj_rc senders_init(struct senders *s, size_t max,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* Wait until all are gone; nobody comes any more. */
void senders_end(struct senders *s);
void senders_done(struct senders *s);
/* Forget those that ended. */
void senders_reap(struct senders *s);
size_t senders_count(const struct senders *s, bool is_stranger);
/* A process that began; door is ours from now on, -1: it is a replica's. */
void senders_add(struct senders *s, pid_t process, int door);
/* Room for one more stranger; true: the oldest was sent away for it. */
bool senders_make_room(struct senders *s);
/* Doors to be waited at, at most SENDERS_STRANGERS_MAX; how many. */
size_t senders_doors(const struct senders *s, struct pollfd *fds);
/* Answer at those that are knocked at; how many found no place. */
size_t senders_answer(struct senders *s);

/*
 * The sender's part: ask at door.
 * Returns: MBJ_EBUSY, in words for the replica, MBJ_EIO (no listener).
 */
enum mbj_rc senders_ask(int door, struct mbj_error *err) MBJ_MUST_CHECK;

#endif
