/*
 * What packing a stream brings, and what it costs.
 *
 *	bench_pack [--quick] [DIRECTORY]
 *
 * Journals of one-rename groups, and of text mails of 2 KiB, and of mails that
 * are noise, each from a source's thread through a pair of sockets to a new
 * replica: as they are, and packed at some levels, in turns.  For each the
 * bytes that came over the wire, as they are against packed; groups a second;
 * and milliseconds of the processor for each MiB that went over the wire as it
 * is, more than that takes as it is, of the source's thread and the replica's.
 * And a group or mail at a time: the same ratio for a replica that waits for
 * each.
 *
 * Output: a table, and one JSON object a line.
 */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/stream.h>

#include "bench_dir.h"
#include "bench_figures.h"
#include "bench_journal.h"

enum { ROUNDS_MAX = 9, LEVELS = 5 };

static const unsigned levels[LEVELS] = {0, 3, 1, 6, 9};

struct bench {
	unsigned rounds;
	unsigned levels;
	unsigned groups;
	unsigned messages;
	unsigned live; /* renames, each waited for */
	char dir[512];
};

/* Seconds of the processor that this thread took. */
static double thread_cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void report(const char *name, double value, const char *unit)
{
	(void)printf("%-32s %10.4g %s\n", name, value, unit);
	(void)printf("{\"bench\":\"pack\",\"case\":\"%s\",\"value\":%.4g,"
		     "\"unit\":\"%s\"}\n",
		     name, value, unit);
}

/* ---------------------------------------------------------------- streams */

/* A descriptor, and what came through it. */
struct wire {
	int fd;
	uint64_t came;
};

static enum mbj_rc wire_read(void *ctx, void *p, size_t n, size_t *ret_n,
			     short *ret_events, struct mbj_error *err)
{
	struct wire *wire = ctx;
	ssize_t got = read(wire->fd, p, n);

	(void)err;
	*ret_n = got > 0 ? (size_t)got : 0;
	*ret_events = got < 0 && errno == EAGAIN ? POLLIN : 0;
	wire->came += *ret_n;
	return MBJ_OK;
}

static enum mbj_rc wire_write(void *ctx, const void *p, size_t n, size_t *ret_n,
			      short *ret_events, struct mbj_error *err)
{
	struct wire *wire = ctx;
	ssize_t sent = write(wire->fd, p, n);

	(void)err;
	*ret_n = sent > 0 ? (size_t)sent : 0;
	*ret_events = sent < 0 && errno == EAGAIN ? POLLOUT : 0;
	return MBJ_OK;
}

static bool wire_is_pending(void *ctx)
{
	(void)ctx;
	return false;
}

struct source {
	const char *dir;
	int fd;
	double cpu;
};

static void *source_run(void *ctx)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct source *source = ctx;
	struct mbj_error err;

	options.in_fd = source->fd;
	options.out_fd = source->fd;
	if (mbj_stream_send(source->dir, &options, &err) < 0)
		bench_stop("source", err.message);
	source->cpu = thread_cpu_s();
	return NULL;
}

/* What one run took. */
struct taken {
	double s;
	double source_cpu;
	double replica_cpu;
	double bytes;
};

/*
 * Both ends of a stream, the source's in a thread of its own, until the
 * replica's returns.  *ret_came: bytes that the replica was sent.
 */
static void stream_run(struct mbj_store *replica,
		       struct mbj_stream_options options, struct source *source,
		       struct mbj_stream_result *ret_result, uint64_t *ret_came)
{
	struct mbj_stream_channel channel = {NULL, wire_read, wire_write,
					     wire_is_pending};
	struct wire wire = {.came = 0};
	struct mbj_error err;
	pthread_t thread;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		bench_stop("socket", "cannot be made");
	source->fd = fds[1];
	wire.fd = fds[0];
	channel.ctx = &wire;
	options.in_fd = fds[0];
	options.out_fd = fds[0];
	options.channel = &channel;
	if (pthread_create(&thread, NULL, source_run, source) != 0)
		bench_stop("source", "no thread");
	if (mbj_stream_follow(replica, &options, ret_result, &err) < 0)
		bench_stop("replica", err.message);
	(void)close(fds[0]);
	(void)pthread_join(thread, NULL);
	(void)close(fds[1]);
	*ret_came = wire.came;
}

/* All that the source has, to a replica that is open. */
static void stream_take(const char *primary, struct mbj_store *replica,
			unsigned level, uint64_t groups, struct taken *taken)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct source source = {.dir = primary};
	struct mbj_stream_result result;
	uint64_t came = 0;

	options.is_once = true;
	options.level = level;
	taken->s = bench_now_s();
	taken->replica_cpu = thread_cpu_s();
	stream_run(replica, options, &source, &result, &came);
	taken->s = bench_now_s() - taken->s;
	taken->replica_cpu = thread_cpu_s() - taken->replica_cpu;
	taken->source_cpu = source.cpu;
	taken->bytes = (double)came;
	if (result.replay.groups != groups || result.replay.blobs_missing != 0)
		bench_stop("replica", "not all came");
}

static void replica_make(const char *dir, struct mbj_store **ret_store)
{
	struct mbj_error err;

	if (mbj_store_init(dir, MBJ_STORE_REPLICA, NULL, &err) < 0 ||
	    mbj_replica_open(dir, NULL, ret_store, &err) < 0)
		bench_stop("replica", err.message);
}

/* ------------------------------------------------------------------- runs */

static double median(const struct taken *taken, unsigned count, size_t offset)
{
	double values[ROUNDS_MAX];

	for (unsigned i = 0; i < count; i++)
		memcpy(&values[i], (const char *)&taken[i] + offset,
		       sizeof(double));
	return bench_median(values, count);
}

#define MEDIAN(all, count, member) \
	median((all), (count), offsetof(struct taken, member))

static void value_report(const char *name, unsigned level, const char *what,
			 double value, const char *unit)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s-%u-%s", name, level, what);
	report(text, value, unit);
}

/* What as it is takes is reported as it is; what packing takes, beside that. */
static void level_report(const char *name, unsigned level, unsigned count,
			 unsigned rounds, const struct taken *plain,
			 const struct taken *packed)
{
	double mib = plain->bytes / (1 << 20);
	double source = MEDIAN(packed, rounds, source_cpu);
	double replica = MEDIAN(packed, rounds, replica_cpu);

	if (level > 0) {
		source -= MEDIAN(plain, rounds, source_cpu);
		replica -= MEDIAN(plain, rounds, replica_cpu);
	}
	value_report(name, level, "wire", packed->bytes / count, "bytes");
	value_report(name, level, "ratio", plain->bytes / packed->bytes, "1");
	value_report(name, level, "rate", count / MEDIAN(packed, rounds, s),
		     "groups/s");
	value_report(name, level, "source-cpu", 1e3 * source / mib, "ms/MiB");
	value_report(name, level, "replica-cpu", 1e3 * replica / mib, "ms/MiB");
}

static void bulk_run(const struct bench *bench, const char *name,
		     const struct bench_journal *journal)
{
	const unsigned count = bench_journal_groups(journal);
	struct taken taken[LEVELS][ROUNDS_MAX] = {{{0, 0, 0, 0}}};
	char primary[640];
	char dir[700];

	(void)snprintf(primary, sizeof(primary), "%s/p-%s", bench->dir, name);
	bench_journal_make(primary, journal);
	for (unsigned i = 0; i < bench->rounds; i++)
		for (unsigned l = 0; l < bench->levels; l++) {
			struct mbj_store *store = NULL;

			(void)snprintf(dir, sizeof(dir), "%s-%u", primary, l);
			replica_make(dir, &store);
			stream_take(primary, store, levels[l], count,
				    &taken[l][i]);
			mbj_store_close(&store);
			if (bench_dir_remove(dir) != 0)
				bench_stop(dir, "cannot be removed");
		}
	for (unsigned l = 0; l < bench->levels; l++)
		level_report(name, levels[l], count, bench->rounds, taken[0],
			     taken[l]);
}

/* ------------------------------------------------------------ one at a time */

/* A replica that follows until it is told to stop. */
struct follower {
	const char *primary;
	struct mbj_store *replica;
	unsigned level;
	int stop_fd;
	uint64_t bytes;
};

static void *follower_run(void *ctx)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct follower *follower = ctx;
	struct source source = {.dir = follower->primary};
	struct mbj_stream_result result;

	options.stop_fd = follower->stop_fd;
	options.level = follower->level;
	stream_run(follower->replica, options, &source, &result,
		   &follower->bytes);
	return NULL;
}

/* Until its journal has published it. */
static void lsn_wait(const char *dir, uint64_t lsn)
{
	double until = bench_now_s() + 300;
	const struct timespec pause = {0, 100000};
	uint8_t bytes[16] = {0};
	char path[700];
	int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/journal/published", dir);
	for (;;) {
		if (fd < 0)
			fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 &&
		    pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes) &&
		    mbj_load_u64(bytes + 8) >= lsn)
			break;
		if (bench_now_s() > until)
			bench_stop("replica", "does not follow");
		(void)nanosleep(&pause, NULL);
	}
	(void)close(fd);
}

/* What so many renames are, each waited for, with what waits for them. */
static uint64_t live_bytes(const struct bench *bench, unsigned level)
{
	struct bench_journal journal = {.accounts = 1};
	struct follower follower = {.level = level};
	struct mbj_store *store = NULL;
	unsigned count = bench->live;
	struct mbj_error err;
	char primary[640];
	char dir[640];
	pthread_t thread;
	int stop[2];

	(void)snprintf(primary, sizeof(primary), "%s/lp%u", bench->dir, level);
	(void)snprintf(dir, sizeof(dir), "%s/lr%u", bench->dir, level);
	bench_journal_make(primary, &journal);
	replica_make(dir, &follower.replica);
	if (pipe(stop) != 0 || mbj_store_open(primary, NULL, &store, &err) < 0)
		bench_stop("primary", "cannot be opened");
	follower.primary = primary;
	follower.stop_fd = stop[0];
	if (pthread_create(&thread, NULL, follower_run, &follower) != 0)
		bench_stop("follower", "no thread");
	lsn_wait(dir, 1);
	for (unsigned i = 0; i < count; i++) {
		bench_rename(store, 0, i);
		lsn_wait(dir, 2 + i);
	}
	(void)close(stop[1]);
	(void)pthread_join(thread, NULL);
	(void)close(stop[0]);
	mbj_store_close(&store);
	mbj_store_close(&follower.replica);
	return follower.bytes / (count > 0 ? count : 1);
}

static void live_run(const struct bench *bench)
{
	uint64_t plain = live_bytes(bench, 0);
	uint64_t packed = live_bytes(bench, 3);

	report("one-rename-plain-bytes", (double)plain, "bytes");
	report("one-rename-3-ratio", (double)plain / (double)packed, "1");
}

int main(int argc, char **argv)
{
	struct bench bench = {.rounds = 5,
			      .levels = LEVELS,
			      .groups = 20000,
			      .messages = 4000,
			      .live = 300};
	const char *parent = "/tmp";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench = (struct bench){.rounds = 1,
					       .levels = 2,
					       .groups = 5,
					       .messages = 5,
					       .live = 5};
		} else {
			parent = argv[i];
		}
	}
	(void)signal(SIGPIPE, SIG_IGN);
	bench_dir_make(bench.dir, sizeof(bench.dir), parent);
	bulk_run(&bench, "renames",
		 &(struct bench_journal){.accounts = 1,
					 .renames = bench.groups});
	bulk_run(&bench, "mails",
		 &(struct bench_journal){.accounts = 1,
					 .messages = bench.messages,
					 .mail = BENCH_TEXT});
	bulk_run(&bench, "noise",
		 &(struct bench_journal){.accounts = 1,
					 .messages = bench.messages,
					 .mail = BENCH_NOISE});
	live_run(&bench);
	if (bench_dir_remove(bench.dir) != 0)
		bench_stop(bench.dir, "cannot be removed");
	return 0;
}
