/*
 * What a stream costs, and how far behind it is.
 *
 *	bench_stream [--quick] [DIRECTORY]
 *
 * throughput: a journal of one-rename groups, and one of messages, from a
 * source process through a pair of sockets to a new replica, against
 * mbj_replay_journal of the same journal; groups a second.
 *
 * latency: a primary commits 100, and 1,000, groups a second; for each the time
 * from the return of mbj_store_submit, when it is on disk, to when the
 * replica's journal has published it; beside it what one fdatasync of a file
 * there takes.
 *
 * Output: a table, and one JSON object a line.
 */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/stream.h>

#include "bench_dir.h"
#include "bench_figures.h"
#include "bench_journal.h"

extern char **environ;

enum { ROUNDS_MAX = 9, SYNCS = 200 };

struct bench {
	unsigned rounds;
	unsigned groups;
	unsigned messages;
	unsigned live; /* groups of the latency */
	char dir[512];
};

static void sleep_until(double s)
{
	struct timespec t = {(time_t)s, (long)((s - (double)(time_t)s) * 1e9)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
		;
}

/* ------------------------------------------------------------- streams */

/* This program as the source, on standard input and output. */
static int source_main(const char *dir)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_error err;

	return mbj_stream_send(dir, &options, &err) < 0;
}

/*
 * A process that serves dir at the other end of *ret_fd.  Another program's, as
 * it is in life: a fork would leave the replica's memory to be copied.
 */
static pid_t source_begin(const char *dir, int *ret_fd)
{
	char path[700];
	char word[] = "--send";
	char program[] = "bench_stream";
	char *arguments[] = {program, word, path, NULL};
	posix_spawn_file_actions_t actions;
	pid_t process = -1;
	int fds[2];

	(void)snprintf(path, sizeof(path), "%s", dir);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0 ||
	    fcntl(fds[0], F_SETFD, FD_CLOEXEC) != 0 ||
	    fcntl(fds[1], F_SETFD, FD_CLOEXEC) != 0 ||
	    posix_spawn_file_actions_init(&actions) != 0)
		bench_stop("socket", "cannot be made");
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], 0);
	(void)posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	if (posix_spawn(&process, "/proc/self/exe", &actions, NULL, arguments,
			environ) != 0)
		bench_stop("source", "cannot be started");
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(fds[1]);
	*ret_fd = fds[0];
	return process;
}

static void source_end(pid_t process, int fd)
{
	int status = 0;

	(void)close(fd);
	if (waitpid(process, &status, 0) != process || status != 0)
		bench_stop("source", "failed");
}

static void replica_open(const char *dir, struct mbj_store **ret_store)
{
	struct mbj_error err;

	if (mbj_store_init(dir, MBJ_STORE_REPLICA, NULL, &err) < 0 ||
	    mbj_replica_open(dir, NULL, ret_store, &err) < 0)
		bench_stop("replica", err.message);
}

/*
 * Seconds that a new replica takes for all of it, through a stream or not, and
 * of them seconds of its processor.
 */
static double replica_time(const char *primary, const char *dir,
			   uint64_t groups, bool is_stream, double *ret_cpu)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_replay_options usual = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_stream_result result = {.is_met = false};
	struct mbj_store *store = NULL;
	struct mbj_error err;
	pid_t process = 0;
	double begin;
	enum mbj_rc rc;

	replica_open(dir, &store);
	begin = bench_now_s();
	*ret_cpu = bench_cpu_s();
	if (is_stream) {
		process = source_begin(primary, &options.in_fd);
		options.out_fd = options.in_fd;
		options.is_once = true;
		rc = mbj_stream_follow(store, &options, &result, &err);
	} else {
		rc = mbj_replay_journal(store, primary, &usual, &result.replay,
					&err);
	}
	begin = bench_now_s() - begin;
	*ret_cpu = bench_cpu_s() - *ret_cpu;
	if (rc < 0)
		bench_stop("replica", err.message);
	if (result.replay.groups != groups || result.replay.blobs_missing != 0)
		bench_stop("replica", "not all came");
	if (is_stream)
		source_end(process, options.in_fd);
	mbj_store_close(&store);
	return begin;
}

/* ------------------------------------------------------------- latency */

static void report(const char *name, double value, const char *unit)
{
	(void)printf("%-28s %12.4g %s\n", name, value, unit);
	(void)printf("{\"bench\":\"stream\",\"case\":\"%s\",\"value\":%.4g,"
		     "\"unit\":\"%s\"}\n",
		     name, value, unit);
}

/* A process that follows primary until it is killed. */
static pid_t follower_begin(const char *primary, const char *dir)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	pid_t process = fork();

	if (process < 0)
		bench_stop("follower", "cannot fork");
	if (process > 0)
		return process;
	replica_open(dir, &store);
	(void)source_begin(primary, &options.in_fd);
	options.out_fd = options.in_fd;
	_exit(mbj_stream_follow(store, &options, &result, &err) < 0);
}

/* The LSN that is published, 0: none. */
static uint64_t published(int *fd, const char *dir)
{
	char path[700];
	uint8_t bytes[16];

	(void)snprintf(path, sizeof(path), "%s/journal/published", dir);
	if (*fd < 0)
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	if (*fd < 0 || pread(*fd, bytes, sizeof(bytes), 0) != sizeof(bytes))
		return 0;
	return mbj_load_u64(bytes + 8);
}

static void pause_us(long us)
{
	struct timespec pause = {0, us * 1000};

	(void)nanosleep(&pause, NULL);
}

/* What a thread sees of a replica's journal. */
struct watch {
	const char *dir;
	double *seen; /* when group 2 + i was there */
	unsigned count;
};

static void *watch_run(void *ctx)
{
	struct watch *watch = ctx;
	double until = bench_now_s() + 300;
	unsigned done = 0;
	int fd = -1;

	while (done < watch->count) {
		uint64_t lsn = published(&fd, watch->dir);
		double now = bench_now_s();

		if (now > until)
			bench_stop("replica", "does not follow");
		while (done < watch->count && 2 + done <= lsn)
			watch->seen[done++] = now;
		pause_us(50);
	}
	(void)close(fd);
	return NULL;
}

static void first_wait(const char *dir)
{
	double until = bench_now_s() + 30;
	int fd = -1;

	while (published(&fd, dir) < 1) {
		if (bench_now_s() > until)
			bench_stop("replica", "does not follow");
		pause_us(100);
	}
	(void)close(fd);
}

static void syncs_report(const char *dir)
{
	double times[SYNCS];
	char path[700];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/sync", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		bench_stop(path, "cannot be made");
	for (int i = 0; i < SYNCS; i++) {
		times[i] = bench_now_s();
		if (pwrite(fd, path, 256, 256 * (off_t)i) != 256 ||
		    fdatasync(fd) != 0)
			bench_stop(path, "cannot be written");
		times[i] = 1e3 * (bench_now_s() - times[i]);
	}
	(void)close(fd);
	report("fdatasync-p50", bench_quantile(times, SYNCS, 50), "ms");
	report("fdatasync-p99", bench_quantile(times, SYNCS, 99), "ms");
}

/* Commit count groups, rate a second; how long each took to be there. */
static void latency_measure(struct mbj_store *store, const char *dir,
			    unsigned count, unsigned rate)
{
	double *committed = calloc(count, 2 * sizeof(*committed));
	struct watch watch = {.dir = dir, .count = count};
	pthread_t thread;
	char what[64];
	double begin;

	if (committed == NULL)
		bench_stop("latency", "out of memory");
	watch.seen = committed + count;
	if (pthread_create(&thread, NULL, watch_run, &watch) != 0)
		bench_stop("latency", "no thread");
	begin = bench_now_s();
	for (unsigned i = 0; i < count; i++) {
		sleep_until(begin + (double)i / rate);
		bench_rename(store, 0, i);
		committed[i] = bench_now_s();
	}
	(void)snprintf(what, sizeof(what), "latency-%u-rate", rate);
	report(what, count / (bench_now_s() - begin), "groups/s");
	(void)pthread_join(thread, NULL);
	for (unsigned i = 0; i < count; i++) {
		double late = watch.seen[i] - committed[i];

		committed[i] = late > 0 ? 1e3 * late : 0;
	}
	(void)snprintf(what, sizeof(what), "latency-%u-p50", rate);
	report(what, bench_quantile(committed, count, 50), "ms");
	(void)snprintf(what, sizeof(what), "latency-%u-p99", rate);
	report(what, bench_quantile(committed, count, 99), "ms");
	free(committed);
}

static void latency_run(const struct bench *bench, unsigned rate)
{
	struct bench_journal journal = {.accounts = 1};
	struct mbj_store *store = NULL;
	struct mbj_error err;
	char primary[640];
	char dir[640];
	pid_t follower;

	(void)snprintf(primary, sizeof(primary), "%s/lp%u", bench->dir, rate);
	(void)snprintf(dir, sizeof(dir), "%s/lr%u", bench->dir, rate);
	bench_journal_make(primary, &journal);
	follower = follower_begin(primary, dir);
	first_wait(dir);
	if (mbj_store_open(primary, NULL, &store, &err) < 0)
		bench_stop("primary", err.message);
	latency_measure(store, dir, bench->live, rate);
	(void)kill(follower, SIGKILL);
	(void)waitpid(follower, NULL, 0);
	mbj_store_close(&store);
}

static void throughput_run(const struct bench *bench, const char *name,
			   const struct bench_journal *journal)
{
	const unsigned count = bench_journal_groups(journal);
	double ratios[ROUNDS_MAX];
	double local[ROUNDS_MAX];
	double stream[ROUNDS_MAX];
	double cpus[ROUNDS_MAX];
	char primary[640];
	char dir[700];
	char what[64];

	(void)snprintf(primary, sizeof(primary), "%s/p-%s", bench->dir, name);
	bench_journal_make(primary, journal);
	for (unsigned i = 0; i < bench->rounds; i++) {
		double local_cpu;
		double stream_cpu;

		(void)snprintf(dir, sizeof(dir), "%s-l%u", primary, i);
		local[i] = replica_time(primary, dir, count, false, &local_cpu);
		(void)snprintf(dir, sizeof(dir), "%s-s%u", primary, i);
		stream[i] =
			replica_time(primary, dir, count, true, &stream_cpu);
		ratios[i] = local[i] / stream[i];
		cpus[i] = local_cpu / stream_cpu;
	}
	(void)snprintf(what, sizeof(what), "%s-local", name);
	report(what, count / bench_quantile(local, bench->rounds, 50),
	       "groups/s");
	(void)snprintf(what, sizeof(what), "%s-stream", name);
	report(what, count / bench_quantile(stream, bench->rounds, 50),
	       "groups/s");
	(void)snprintf(what, sizeof(what), "%s-ratio", name);
	report(what, bench_quantile(ratios, bench->rounds, 50), "1");
	(void)snprintf(what, sizeof(what), "%s-cpu-ratio", name);
	report(what, bench_quantile(cpus, bench->rounds, 50), "1");
}

int main(int argc, char **argv)
{
	struct bench bench = {.rounds = 5,
			      .groups = 20000,
			      .messages = 3000,
			      .live = 2000};
	const char *parent = "/tmp";

	if (argc == 3 && strcmp(argv[1], "--send") == 0)
		return source_main(argv[2]);
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench = (struct bench){.rounds = 1,
					       .groups = 100,
					       .messages = 10,
					       .live = 20};
		} else {
			parent = argv[i];
		}
	}
	(void)signal(SIGPIPE, SIG_IGN);
	bench_dir_make(bench.dir, sizeof(bench.dir), parent);
	throughput_run(&bench, "renames",
		       &(struct bench_journal){.accounts = 1,
					       .renames = bench.groups});
	throughput_run(&bench, "messages",
		       &(struct bench_journal){.accounts = 1,
					       .messages = bench.messages});
	latency_run(&bench, 100);
	latency_run(&bench, 1000);
	syncs_report(bench.dir);
	if (bench_dir_remove(bench.dir) != 0)
		bench_stop(bench.dir, "cannot be removed");
	return 0;
}
