/*
 * What it costs to have an edit on a replica's disk as well.
 *
 *	bench_received [--quick] [DIRECTORY]
 *
 * durable   a rename through the service, on its disk when it is answered
 * received  the same, and then waited for one replica to have received it
 *
 * Service, sender and follower are processes of their own, the last two with a
 * socket between them, all on one file system.  Blocks of both take turns
 * within a run; the follower is at its source's end when one begins.  Output: a
 * table, and a JSON object.  --quick is for tests: nothing is demanded of the
 * speed.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mbj/client.h>
#include <mbj/open.h>
#include <mbj/received.h>
#include <mbj/service.h>
#include <mbj/stream.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { BLOCK = 50, BLOCKS_MAX = 40, LONG_MS = 60000, PATH_SIZE = 600 };

struct bench {
	unsigned blocks;
	char dir[400];
	char primary[PATH_SIZE];
	char replica[PATH_SIZE];
	char socket[PATH_SIZE + 8];
	pid_t pids[3];
	struct mbj_client *client;
	unsigned turn;
	double times[2][BLOCK * BLOCKS_MAX]; /* durable, received */
};

_Noreturn static void stop(const char *what, const struct mbj_error *err)
{
	fprintf(stderr, "bench_received: %s: %s\n", what,
		err != NULL ? err->message : "failed");
	exit(1);
}

/* ------------------------------------------------------------- processes */

_Noreturn static void service_run(const struct bench *bench)
{
	struct mbj_service_options options = MBJ_SERVICE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error err;

	if (mbj_store_open(bench->primary, NULL, &store, &err) < 0 ||
	    mbj_service_run(store, &options, &err) < 0)
		stop("service", &err);
	mbj_store_close(&store);
	exit(0);
}

_Noreturn static void sender_run(const struct bench *bench, int fd)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_error err;

	options.in_fd = fd;
	options.out_fd = fd;
	options.is_registering = true;
	if (mbj_stream_send(bench->primary, &options, &err) < 0)
		stop("sender", &err);
	exit(0);
}

_Noreturn static void follower_run(const struct bench *bench, int fd)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct mbj_stream_result result;
	struct mbj_store *store = NULL;
	struct mbj_error err;

	options.in_fd = fd;
	options.out_fd = fd;
	if (mbj_replica_open(bench->replica, NULL, &store, &err) < 0)
		stop("replica", &err);
	/* It ends when its sender is ended. */
	(void)!mbj_stream_follow(store, &options, &result, &err);
	mbj_store_close(&store);
	exit(0);
}

static void processes_begin(struct bench *bench)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		stop("socketpair", NULL);
	bench->pids[0] = fork();
	if (bench->pids[0] == 0)
		service_run(bench);
	bench->pids[1] = fork();
	if (bench->pids[1] == 0) {
		close(fds[1]);
		sender_run(bench, fds[0]);
	}
	bench->pids[2] = fork();
	if (bench->pids[2] == 0) {
		close(fds[0]);
		follower_run(bench, fds[1]);
	}
	close(fds[0]);
	close(fds[1]);
	for (int i = 0; i < 3; i++)
		if (bench->pids[i] < 0)
			stop("fork", NULL);
}

static void client_begin(struct bench *bench)
{
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_ENOTFOUND;

	for (int i = 0; i < 6000 && rc == MBJ_ENOTFOUND; i++) {
		rc = mbj_client_connect(bench->socket, NULL, &bench->client,
					&err);
		if (rc == MBJ_ENOTFOUND)
			nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	if (rc < 0)
		stop("service", &err);
}

static void processes_end(struct bench *bench)
{
	struct mbj_error err;
	int status;

	if (mbj_client_stop(bench->client, &err) < 0)
		stop("service", &err);
	mbj_client_close(&bench->client);
	(void)kill(bench->pids[1], SIGTERM);
	for (int i = 0; i < 3; i++)
		(void)waitpid(bench->pids[i], &status, 0);
}

/* ----------------------------------------------------------------- edits */

static void account_make(struct bench *bench)
{
	struct mbj_change changes[2];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;

	for (uint8_t i = 0; i < 2; i++)
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = {{0xbe, i}},
			.name = mbj_bytes_str(i == 0 ? "INBOX" : "m0"),
		};
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("alice");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = 2;
	if (mbj_client_submit(bench->client, &edit, &outcome, &err) < 0)
		stop("import", &err);
	mbj_outcome_done(&outcome);
}

/* One rename, and its group. */
static struct mbj_lsn rename_run(struct bench *bench)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_rename rename;
	struct mbj_error err;
	struct mbj_lsn lsn;
	char source[24];
	char target[24];

	(void)snprintf(source, sizeof(source), "m%u", bench->turn);
	(void)snprintf(target, sizeof(target), "m%u", ++bench->turn);
	rename.source = mbj_bytes_str(source);
	rename.target = mbj_bytes_str(target);
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str("alice");
	edit.renames = &rename;
	edit.rename_count = 1;
	if (mbj_client_submit(bench->client, &edit, &outcome, &err) < 0)
		stop("rename", &err);
	lsn = outcome.lsn;
	mbj_outcome_done(&outcome);
	return lsn;
}

static void received_wait(struct bench *bench, struct mbj_lsn lsn)
{
	struct mbj_error err;

	if (mbj_client_received(bench->client, lsn, 1, LONG_MS, NULL, &err) < 0)
		stop("received", &err);
}

static void block_run(struct bench *bench, bool is_received, double *ret_times)
{
	struct mbj_lsn lsn = {0};

	for (int i = 0; i < BLOCK; i++) {
		double start = bench_now_s();

		lsn = rename_run(bench);
		if (is_received)
			received_wait(bench, lsn);
		ret_times[i] = bench_now_s() - start;
	}
	received_wait(bench, lsn);
}

/* ------------------------------------------------------------------ main */

static void report(struct bench *bench)
{
	size_t n = (size_t)bench->blocks * BLOCK;
	double p50[2];
	double p99[2];

	for (int i = 0; i < 2; i++) {
		p50[i] = bench_quantile(bench->times[i], n, 50) * 1e6;
		p99[i] = bench_quantile(bench->times[i], n, 99) * 1e6;
	}
	printf("%-10s %10s %10s\n", "", "p50 us", "p99 us");
	printf("%-10s %10.0f %10.0f\n", "durable", p50[0], p99[0]);
	printf("%-10s %10.0f %10.0f\n", "received", p50[1], p99[1]);
	printf("%-10s %10.2f %10.2f\n", "ratio", p50[1] / p50[0],
	       p99[1] / p99[0]);
	printf("{\"bench\":\"received\",\"edits\":%zu,\"durableP50Us\":%.0f,"
	       "\"durableP99Us\":%.0f,\"receivedP50Us\":%.0f,"
	       "\"receivedP99Us\":%.0f,\"ratioP50\":%.3f}\n",
	       n, p50[0], p99[0], p50[1], p99[1], p50[1] / p50[0]);
}

static void stores_make(struct bench *bench, const char *parent)
{
	struct mbj_error err;

	bench_dir_make(bench->dir, sizeof(bench->dir), parent);
	(void)snprintf(bench->primary, PATH_SIZE, "%s/p", bench->dir);
	(void)snprintf(bench->replica, PATH_SIZE, "%s/r", bench->dir);
	(void)snprintf(bench->socket, sizeof(bench->socket), "%s/socket",
		       bench->primary);
	if (mbj_store_init(bench->primary, MBJ_STORE_PRIMARY, NULL, &err) < 0 ||
	    mbj_store_init(bench->replica, MBJ_STORE_REPLICA, NULL, &err) < 0)
		stop("init", &err);
}

int main(int argc, char **argv)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	const char *parent = getenv("TMPDIR");

	if (bench == NULL)
		stop("memory", NULL);
	bench->blocks = BLOCKS_MAX;
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--quick") == 0)
			bench->blocks = 1;
		else
			parent = argv[i];
	(void)signal(SIGPIPE, SIG_IGN);
	stores_make(bench, parent);
	processes_begin(bench);
	client_begin(bench);
	account_make(bench);
	for (unsigned i = 0; i < bench->blocks; i++)
		for (int kind = 0; kind < 2; kind++)
			block_run(bench, kind == 1,
				  bench->times[kind] + (size_t)i * BLOCK);
	report(bench);
	processes_end(bench);
	if (bench_dir_remove(bench->dir) < 0)
		stop(bench->dir, NULL);
	free(bench);
	return 0;
}
