/*
 * Somebody between both ends of a stream; see between.h.
 */
#include "between.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

struct between {
	int source;
	int replica;
	size_t cut;  /* after so many bytes of the source */
	size_t flip; /* a bit of that byte */
	size_t said; /* by the source */
};

/* One direction, once; false: that side is done. */
static bool bytes_pass(int from, int to, struct between *b, bool is_source)
{
	uint8_t bytes[4096];
	ssize_t n = read(from, bytes, sizeof(bytes));

	if (n <= 0)
		return false;
	if (is_source) {
		size_t left = b->cut - b->said;

		if (b->flip >= b->said && b->flip < b->said + (size_t)n)
			bytes[b->flip - b->said] ^= 4;
		n = (size_t)n < left ? n : (ssize_t)left;
		b->said += (size_t)n;
	}
	if (n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
		return false;
	return !is_source || b->said < b->cut;
}

static void *between_run(void *context)
{
	struct between *b = context;
	struct pollfd fds[2] = {{.fd = b->source, .events = POLLIN},
				{.fd = b->replica, .events = POLLIN}};
	bool is_going = true;

	while (is_going) {
		ck_assert_int_gt(poll(fds, 2, -1), 0);
		if (fds[1].revents != 0)
			is_going = bytes_pass(b->replica, b->source, b, false);
		if (is_going && fds[0].revents != 0)
			is_going = bytes_pass(b->source, b->replica, b, true);
	}
	(void)shutdown(b->source, SHUT_RDWR);
	(void)shutdown(b->replica, SHUT_RDWR);
	return NULL;
}

static enum mbj_rc replica_run(struct fixture *f, const struct encounter *how,
			       int fd, struct meeting *ret)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;

	options.in_fd = fd;
	options.out_fd = fd;
	options.is_once = true;
	options.is_mending = how->is_mending;
	options.timeout_ms = 20000;
	if (!mbj_id_is_root(how->account))
		return mbj_stream_resync(f->replica, how->account, &options,
					 &ret->resync, &ret->why);
	return mbj_stream_follow(f->replica, &options, &ret->result, &ret->why);
}

enum mbj_rc meet_with(struct fixture *f, const char *dir,
		      const struct encounter *how, struct meeting *ret)
{
	struct between between = {.cut = how->cut, .flip = how->flip};
	struct sender sender = {.dir = dir};
	struct pair left;
	struct pair right;
	pthread_t threads[2];
	enum mbj_rc rc;

	(void)signal(SIGPIPE, SIG_IGN);
	pair_open(&left);
	pair_open(&right);
	sender.fd = left.near;
	between.source = left.far;
	between.replica = right.far;
	ck_assert_int_eq(pthread_create(&threads[0], NULL, sender_run, &sender),
			 0);
	ck_assert_int_eq(pthread_create(&threads[1], NULL, between_run,
					&between),
			 0);
	rc = replica_run(f, how, right.near, ret);
	(void)shutdown(right.near, SHUT_RDWR);
	for (int i = 0; i < 2; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ret->said = between.said;
	pair_close(&left);
	pair_close(&right);
	return rc;
}

enum mbj_rc meet(struct lab *lab, const char *dir, size_t cut, size_t flip,
		 struct meeting *ret)
{
	return meet_with(&lab->f, dir,
			 &(struct encounter){.cut = cut, .flip = flip}, ret);
}
