/*
 * mbj_line ONE TWO SEED DELAY LATE LATER LOSS TWICE
 *
 * A long line between two network interfaces: whatever comes by one of them
 * leaves by the other one, DELAY microseconds later.  Of a million frames LATE
 * come up to LATER microseconds later than that, behind others that were sent
 * after them; LOSS never come; TWICE come a second time.  The seed says which.
 *
 * "ready" is printed once it carries.  From SIGUSR1 to SIGUSR2 nothing comes
 * through, and nobody is told; at SIGTERM it prints what became of the frames.
 *
 * Frames have the kernel's head of what is not done yet (checksums, segments)
 * with them, so that it is done behind the line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	FRAMES_MAX = 1 << 16, /* under way at once; what is more is lost */
	FRAME_MAX = (1 << 16) + 256,
	ROOM = 16 << 20, /* of a socket, for what comes meanwhile */
	MILLION = 1000000,
	BURST = 64,
};

struct frame {
	uint64_t due_ns;
	uint64_t number;
	int side; /* by which it leaves */
	size_t n;
	unsigned char data[];
};

struct line {
	int sides[2];
	int signals;
	uint64_t delay_us, late, later_us, loss, twice;
	bool is_cut;
	uint64_t random;
	struct frame *frames[FRAMES_MAX]; /* a heap, due first on top */
	size_t count;
	uint64_t carried, lost, doubled, overtaken, full;
	uint64_t last[2]; /* the number that left last, for each side */
	uint64_t number;
	unsigned char room[FRAME_MAX];
};

static void die(const char *what)
{
	(void)fprintf(stderr, "mbj_line: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
		die("clock");
	return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* splitmix64; the bias of a remainder is nothing here. */
static uint64_t random_below(struct line *line, uint64_t bound)
{
	uint64_t z = line->random += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (z ^ z >> 31) % bound;
}

/* ------------------------------------------------------------------ heap */

static bool is_before(const struct frame *a, const struct frame *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns
				      : a->number < b->number;
}

static void heap_put(struct line *line, struct frame *frame)
{
	size_t at = line->count++;

	for (; at > 0; at = (at - 1) / 2) {
		if (!is_before(frame, line->frames[(at - 1) / 2]))
			break;
		line->frames[at] = line->frames[(at - 1) / 2];
	}
	line->frames[at] = frame;
}

static struct frame *heap_take(struct line *line)
{
	struct frame *top = line->frames[0];
	struct frame *last = line->frames[--line->count];
	size_t at = 0;

	for (;;) {
		size_t below = 2 * at + 1;

		if (below >= line->count)
			break;
		if (below + 1 < line->count &&
		    is_before(line->frames[below + 1], line->frames[below]))
			below++;
		if (!is_before(line->frames[below], last))
			break;
		line->frames[at] = line->frames[below];
		at = below;
	}
	line->frames[at] = last;
	return top;
}

/* ---------------------------------------------------------------- frames */

static void frame_put(struct line *line, int side, size_t n, uint64_t due_ns)
{
	struct frame *frame;

	if (line->count == FRAMES_MAX) {
		line->full++;
		return;
	}
	frame = malloc(sizeof(*frame) + n);
	if (frame == NULL)
		die("memory");
	frame->due_ns = due_ns;
	frame->number = ++line->number;
	frame->side = side;
	frame->n = n;
	memcpy(frame->data, line->room, n);
	heap_put(line, frame);
}

/* One came by a side.  As many numbers are drawn for each. */
static void frame_come(struct line *line, int side, size_t n)
{
	bool is_lost = random_below(line, MILLION) < line->loss;
	bool is_twice = random_below(line, MILLION) < line->twice;
	bool is_late = random_below(line, MILLION) < line->late;
	uint64_t more_us = random_below(line, line->later_us + 1);
	uint64_t due_ns = now_ns() + line->delay_us * 1000;

	if (is_lost || line->is_cut) {
		line->lost++;
		return;
	}
	if (is_late)
		due_ns += more_us * 1000;
	frame_put(line, !side, n, due_ns);
	if (is_twice) {
		frame_put(line, !side, n, due_ns);
		line->doubled++;
	}
}

static void side_read(struct line *line, int side)
{
	for (int i = 0; i < BURST; i++) {
		ssize_t n = recv(line->sides[side], line->room, FRAME_MAX,
				 MSG_DONTWAIT | MSG_TRUNC);

		/* An interface that is down says so once, and goes on. */
		if (n < 0 && (errno == EAGAIN || errno == ENETDOWN))
			return;
		if (n < 0)
			die("receive");
		if (n > FRAME_MAX)
			line->full++;
		else
			frame_come(line, side, (size_t)n);
	}
}

static void frames_leave(struct line *line)
{
	while (line->count > 0 && line->frames[0]->due_ns <= now_ns()) {
		struct frame *frame = heap_take(line);

		if (send(line->sides[frame->side], frame->data, frame->n,
			 MSG_DONTWAIT) < 0) {
			/* Down, or no room: it is lost there. */
			if (errno != ENETDOWN && errno != EAGAIN &&
			    errno != ENOBUFS)
				die("send");
			line->full++;
		} else {
			line->carried++;
			if (frame->number < line->last[frame->side])
				line->overtaken++;
			else
				line->last[frame->side] = frame->number;
		}
		free(frame);
	}
}

/* ------------------------------------------------------------------ line */

static int side_open(const char *name)
{
	static const int yes = 1, room = ROOM;
	struct sockaddr_ll where = {.sll_family = AF_PACKET,
				    .sll_protocol = htons(ETH_P_ALL)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	where.sll_ifindex = (int)if_nametoindex(name);
	if (fd < 0 || where.sll_ifindex == 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof(yes)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &yes,
		       sizeof(yes)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) ||
	    bind(fd, (const struct sockaddr *)&where, sizeof(where)))
		die(name);
	return fd;
}

static uint64_t number_read(const char *text)
{
	char *end = NULL;
	uint64_t number = strtoull(text, &end, 10);

	if (end == text || *end != '\0') {
		errno = EINVAL;
		die(text);
	}
	return number;
}

static int signals_open(void)
{
	sigset_t signals;
	int fd;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGUSR1);
	(void)sigaddset(&signals, SIGUSR2);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		die("signals");
	return fd;
}

/* False at the end. */
static bool signal_take(struct line *line)
{
	struct signalfd_siginfo info;

	if (read(line->signals, &info, sizeof(info)) != sizeof(info))
		die("signals");
	line->is_cut = info.ssi_signo == SIGUSR1;
	return info.ssi_signo != SIGTERM;
}

static void line_run(struct line *line)
{
	struct pollfd polls[] = {
		{.fd = line->sides[0], .events = POLLIN},
		{.fd = line->sides[1], .events = POLLIN},
		{.fd = line->signals, .events = POLLIN},
	};
	bool is_on = true;

	while (is_on) {
		struct timespec left = {0, 0};
		uint64_t now = now_ns();

		if (line->count > 0 && line->frames[0]->due_ns > now) {
			uint64_t ns = line->frames[0]->due_ns - now;

			left.tv_sec = (time_t)(ns / UINT64_C(1000000000));
			left.tv_nsec = (long)(ns % UINT64_C(1000000000));
		}
		if (ppoll(polls, 3, line->count > 0 ? &left : NULL, NULL) < 0 &&
		    errno != EINTR)
			die("poll");
		frames_leave(line);
		for (int side = 0; side < 2; side++)
			if (polls[side].revents != 0)
				side_read(line, side);
		if (polls[2].revents != 0)
			is_on = signal_take(line);
	}
}

int main(int argc, char **argv)
{
	struct line line = {.count = 0};

	if (argc != 9) {
		(void)fprintf(stderr, "usage: mbj_line ONE TWO SEED DELAY LATE "
				      "LATER LOSS TWICE\n");
		return EXIT_FAILURE;
	}
	line.sides[0] = side_open(argv[1]);
	line.sides[1] = side_open(argv[2]);
	line.signals = signals_open();
	line.random = number_read(argv[3]);
	line.delay_us = number_read(argv[4]);
	line.late = number_read(argv[5]);
	line.later_us = number_read(argv[6]);
	line.loss = number_read(argv[7]);
	line.twice = number_read(argv[8]);
	(void)printf("ready\n");
	(void)fflush(stdout);
	line_run(&line);
	(void)printf("{\"carried\": %" PRIu64 ", \"lost\": %" PRIu64
		     ", \"twice\": %" PRIu64 ", \"late\": %" PRIu64
		     ", \"full\": %" PRIu64 "}\n",
		     line.carried, line.lost, line.doubled, line.overtaken,
		     line.full);
	while (line.count > 0)
		free(heap_take(&line));
	return EXIT_SUCCESS;
}
