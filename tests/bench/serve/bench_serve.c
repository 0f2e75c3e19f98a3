/*
 * What the service does with messages of 2 KiB, against the disk itself and a
 * queue of Berkeley DB.
 *
 *	bench_serve [--quick] [--rounds N] [--count N] [--operations N]
 *	            [DIRECTORY]
 *
 * one, crowd   durable appends (an edit that comes with a body) through the
 *              service: one client, 32 clients
 * files-1/-32  a bare program that does to files what the store does
 * log-1/-32    the same bytes into one file, a sync for 1 or 32 messages
 * queue        the same bytes into a Berkeley DB queue that 32 processes share
 * p50, p99     how long an append of the crowd takes; sync: one write and sync
 *              of 4 KiB meanwhile, by a thread beside it
 * flags        changes of flags, 1,000 messages an edit, by the processor time
 *              of the service
 * memory       resident memory of the service, caches and all, before and after
 *              so many appends and changes of flags
 *
 * The service is a process of its own.  Cases take turns within a run, on one
 * file system, and the median of the rounds counts.  Output: a table, and one
 * JSON object a line.  --quick is for tests: nothing is demanded of the speed.
 */
#include "bench_serve.h"
#include "bench_dir.h"
#include "bench_figures.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mbj/client.h>
#include <mbj/codec.h>
#include <mbj/service.h>

enum { ROUNDS_MAX = 15, PATH_SIZE = 600 };

struct bench {
	unsigned rounds;
	unsigned one_count;   /* appends of one round */
	unsigned crowd_count; /* the same, of all clients */
	unsigned flag_count;  /* edits */
	unsigned flagged;     /* messages of one */
	unsigned operations;  /* for the memory */
	char dir[400];
	char store[PATH_SIZE];
	char socket[PATH_SIZE + 8];
	pid_t server;
	int stop_fd;
	struct mbj_client *client;
	struct mbj_place places[CLIENTS];
	uint64_t serial; /* no content comes twice */
	double *times;	 /* [crowd_count], of the last crowd */
};

_Noreturn void stop(const char *what, const struct mbj_error *err)
{
	fprintf(stderr, "bench_serve: %s: %s\n", what,
		err != NULL ? err->message : "failed");
	exit(1);
}

/* ---------------------------------------------------------------- service */

static void server_run(const char *dir, int stop_fd)
{
	struct mbj_service_options options = MBJ_SERVICE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error err;

	if (mbj_store_init(dir, MBJ_STORE_PRIMARY, NULL, &err) < 0 ||
	    mbj_store_open(dir, NULL, &store, &err) < 0)
		stop(dir, &err);
	options.stop_fd = stop_fd;
	if (mbj_service_run(store, &options, &err) < 0)
		stop("service", &err);
	mbj_store_close(&store);
	exit(0);
}

static void server_begin(struct bench *bench)
{
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_ENOTFOUND;
	int fds[2];

	if (pipe(fds) < 0)
		stop("pipe", NULL);
	bench->server = fork();
	if (bench->server == 0) {
		close(fds[1]);
		server_run(bench->store, fds[0]);
	}
	close(fds[0]);
	bench->stop_fd = fds[1];
	for (int i = 0; i < 1000 && rc == MBJ_ENOTFOUND; i++) {
		rc = mbj_client_connect(bench->socket, NULL, &bench->client,
					&err);
		if (rc == MBJ_ENOTFOUND)
			nanosleep(&(struct timespec){0, 10000000}, NULL);
	}
	if (bench->server < 0 || rc < 0)
		stop("service", &err);
}

static void server_end(struct bench *bench)
{
	int status = 1;

	mbj_client_close(&bench->client);
	close(bench->stop_fd);
	if (waitpid(bench->server, &status, 0) < 0 || status != 0)
		stop("service", NULL);
}

/* Seconds of processor that the service has had. */
static double server_cpu(const struct bench *bench)
{
	unsigned long user = 0, system = 0;
	char path[64];
	FILE *file;
	int got = 0;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)bench->server);
	file = fopen(path, "re");
	if (file != NULL) {
		got = fscanf(file,
			     "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u "
			     "%*u %*u %*u %lu %lu",
			     &user, &system);
		(void)fclose(file);
	}
	if (got != 2)
		stop(path, NULL);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

/* MiB that are resident of the service. */
static double server_memory(const struct bench *bench)
{
	static const char what[] = "VmRSS:";
	unsigned long kib = 0;
	char path[64], line[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "/proc/%d/status",
		       (int)bench->server);
	file = fopen(path, "re");
	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, what, sizeof(what) - 1) == 0)
			kib = strtoul(line + sizeof(what) - 1, NULL, 10);
	if (file == NULL || kib == 0)
		stop(path, NULL);
	(void)fclose(file);
	return (double)kib / 1024;
}

static void submit(struct bench *bench, const struct mbj_edit *what,
		   unsigned account)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = *what;
	struct mbj_error err;
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.account = mbj_bytes_str(name);
	if (mbj_client_submit(bench->client, &edit, &outcome, &err) < 0)
		stop("edit", &err);
	mbj_outcome_done(&outcome);
}

static void accounts_make(struct bench *bench)
{
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct mbj_edit edit = MBJ_EDIT_INIT;
		struct mbj_error err;
		char name[16];

		edit.kind = MBJ_EDIT_IMPORT;
		edit.policy = MBJ_NAME_POLICY_DEFAULT;
		submit(bench, &edit, i);
		(void)snprintf(name, sizeof(name), "u%u", i);
		if (mbj_client_mailbox(bench->client, mbj_bytes_str(name),
				       mbj_bytes_str("INBOX"), false,
				       &bench->places[i], &err) < 0)
			stop("mailbox", &err);
	}
}

/* ---------------------------------------------------------------- appends */

static void append(struct bench *bench, unsigned account, uint64_t serial)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = bench->places[account].mailbox.id,
		.time = MBJ_TIME_NOW,
	};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	uint8_t bytes[BODY_SIZE];
	struct mbj_error err;
	char name[16];

	memset(bytes, 0x5a, sizeof(bytes));
	mbj_store_u64(bytes, serial);
	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str(name);
	edit.messages = &step;
	edit.message_count = 1;
	if (mbj_client_submit_body(bench->client, &edit,
				   mbj_bytes_make(bytes, sizeof(bytes)),
				   &outcome, &err) < 0)
		stop("append", &err);
	mbj_outcome_done(&outcome);
}

struct member {
	struct bench *bench;
	unsigned account;
	unsigned count;
	uint64_t serial;
	double *times;
};

static void *member_run(void *context)
{
	struct member *m = context;

	for (unsigned i = 0; i < m->count; i++) {
		double begin = bench_now_s();

		append(m->bench, m->account, m->serial + i);
		m->times[i] = bench_now_s() - begin;
	}
	return NULL;
}

/* Appends a second of so many clients; how long each took is in times. */
static double case_clients(struct bench *bench, unsigned clients,
			   unsigned count)
{
	struct member crew[CLIENTS];
	pthread_t ids[CLIENTS];
	unsigned each = count / clients;
	double begin = bench_now_s();

	for (unsigned i = 0; i < clients; i++) {
		crew[i] = (struct member){bench, i, each, bench->serial,
					  bench->times + (size_t)i * each};
		bench->serial += each;
		if (pthread_create(&ids[i], NULL, member_run, &crew[i]) != 0)
			stop("threads", NULL);
	}
	for (unsigned i = 0; i < clients; i++)
		pthread_join(ids[i], NULL);
	return each * clients / (bench_now_s() - begin);
}

/* One that syncs beside the crowd, until it is told to end. */
struct beside {
	int fd;
	_Atomic bool is_ending;
	double time;
};

static void *beside_run(void *context)
{
	struct beside *beside = context;
	double sum = 0;
	unsigned count = 0;

	while (!beside->is_ending) {
		sum += bare_sync_time(beside->fd, 10);
		count++;
	}
	beside->time = count > 0 ? sum / count : 0;
	return NULL;
}

/* ---------------------------------------------------------------- results */

static void report(const char *name, double value, const char *unit,
		   const char *bar)
{
	printf("%-16s %12.2f %-6s %s\n", name, value, unit, bar);
	printf("{\"bench\":\"serve\",\"case\":\"%s\",\"value\":%.3f,"
	       "\"unit\":\"%s\"}\n",
	       name, value, unit);
	fflush(stdout);
}

/* The medians of what was measured in turn, and of their quotients. */
enum { ONE, CROWD, FILES_1, FILES_32, LOG_1, LOG_32, QUEUE, CASES };

static void rate_report(double rates[CASES][ROUNDS_MAX], unsigned rounds,
			const char *name, int above, int below, const char *bar)
{
	double values[ROUNDS_MAX];

	for (unsigned i = 0; i < rounds; i++)
		values[i] = rates[above][i] /
			    (below == CASES ? 1 : rates[below][i]);
	report(name, bench_quantile(values, rounds, 50),
	       below == CASES ? "1/s" : "x", bar);
}

static void bench_rates(struct bench *bench)
{
	double rates[CASES][ROUNDS_MAX];
	unsigned rounds = bench->rounds;
	unsigned few = bench->one_count, many = bench->crowd_count;

	for (unsigned i = 0; i < rounds; i++) {
		rates[FILES_1][i] = bare_files(bench->dir, 1, few);
		rates[ONE][i] = case_clients(bench, 1, few);
		rates[LOG_1][i] = bare_log(bench->dir, 1, few);
		rates[FILES_32][i] = bare_files(bench->dir, CLIENTS, many);
		rates[CROWD][i] = case_clients(bench, CLIENTS, many);
		rates[LOG_32][i] = bare_log(bench->dir, CLIENTS, many);
		rates[QUEUE][i] = bare_queue(bench->dir, CLIENTS, many);
	}
	rate_report(rates, rounds, "one", ONE, CASES, "");
	rate_report(rates, rounds, "crowd", CROWD, CASES, "");
	rate_report(rates, rounds, "files-1", FILES_1, CASES, "");
	rate_report(rates, rounds, "files-32", FILES_32, CASES, "");
	rate_report(rates, rounds, "log-1", LOG_1, CASES, "");
	rate_report(rates, rounds, "log-32", LOG_32, CASES, "");
	rate_report(rates, rounds, "queue", QUEUE, CASES, "");
	rate_report(rates, rounds, "one/files-1", ONE, FILES_1, "bar 0.6");
	rate_report(rates, rounds, "crowd/files-32", CROWD, FILES_32,
		    "bar 0.6");
	rate_report(rates, rounds, "one/log-1", ONE, LOG_1, "");
	rate_report(rates, rounds, "crowd/log-32", CROWD, LOG_32, "");
	rate_report(rates, rounds, "crowd/one", CROWD, ONE, "bar 8");
	rate_report(rates, rounds, "crowd/queue", CROWD, QUEUE, "bar 1.3");
}

static void bench_latency(struct bench *bench)
{
	struct beside beside = {.fd = bare_sync_begin(bench->dir)};
	unsigned count = bench->crowd_count / CLIENTS * CLIENTS;
	double alone = bare_sync_time(beside.fd, 100);
	pthread_t id;
	double p99;

	if (pthread_create(&id, NULL, beside_run, &beside) != 0)
		stop("threads", NULL);
	(void)case_clients(bench, CLIENTS, count);
	beside.is_ending = true;
	pthread_join(id, NULL);
	close(beside.fd);
	p99 = bench_quantile(bench->times, count, 99);
	report("sync alone", alone * 1e6, "us", "");
	report("sync beside", beside.time * 1e6, "us", "");
	report("p50", bench_quantile(bench->times, count, 50) * 1e6, "us", "");
	report("p99", p99 * 1e6, "us", "");
	report("p99/beside", p99 / beside.time, "x", "bar 5");
	report("p99/alone", p99 / alone, "x", "");
}

/* All of the first account's messages, marked and unmarked. */
static void flags_change(struct bench *bench, unsigned turn)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_FLAGS,
		.mailbox = bench->places[0].mailbox.id,
		.mode = turn % 2 == 0 ? MBJ_FLAGS_ADD : MBJ_FLAGS_REMOVE,
		.flags = MBJ_FLAG_SEEN,
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_buf uids;

	mbj_buf_init(&uids, 64);
	mbj_uids_put(&uids, 1, bench->flagged);
	step.uids = mbj_buf_view(&uids);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	submit(bench, &edit, 0);
	mbj_buf_done(&uids);
}

static void bench_flags(struct bench *bench)
{
	double cpu;

	(void)case_clients(bench, 1, bench->flagged);
	cpu = server_cpu(bench);
	for (unsigned i = 0; i < bench->flag_count; i++)
		flags_change(bench, i);
	cpu = server_cpu(bench) - cpu;
	/* What is less than a tick of the clock says nothing. */
	if (cpu > 0)
		report("flags",
		       bench->flag_count * (double)bench->flagged / cpu, "1/s",
		       "bar 200000");
}

static void bench_memory(struct bench *bench)
{
	unsigned step = bench->crowd_count;
	double before = server_memory(bench);
	unsigned done = 0;

	for (unsigned turn = 0; done < bench->operations; turn++) {
		(void)case_clients(bench, CLIENTS, step);
		flags_change(bench, turn);
		done += step + bench->flagged;
	}
	report("operations", done, "", "");
	report("memory before", before, "MiB", "");
	report("memory after", server_memory(bench), "MiB",
	       "bar 64 and caches");
}

/* ------------------------------------------------------------------- main */

static unsigned number(const char *text)
{
	unsigned long value = text == NULL ? 0 : strtoul(text, NULL, 10);

	if (value == 0 || value > 100000000)
		stop("a number", NULL);
	return (unsigned)value;
}

int main(int argc, char **argv)
{
	struct bench bench = {.rounds = 5,
			      .one_count = 1000,
			      .crowd_count = 9600,
			      .flag_count = 500,
			      .flagged = 1000,
			      .operations = 200000};
	const char *parent = ".";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			bench = (struct bench){.rounds = 1,
					       .one_count = 20,
					       .crowd_count = 64,
					       .flag_count = 2,
					       .flagged = 20,
					       .operations = 64};
		else if (strcmp(argv[i], "--rounds") == 0)
			bench.rounds = number(argv[++i]);
		else if (strcmp(argv[i], "--count") == 0)
			bench.crowd_count = number(argv[++i]);
		else if (strcmp(argv[i], "--operations") == 0)
			bench.operations = number(argv[++i]);
		else
			parent = argv[i];
	}
	if (bench.rounds > ROUNDS_MAX || bench.crowd_count < CLIENTS)
		stop("a number", NULL);
	bench_dir_make(bench.dir, sizeof(bench.dir), parent);
	/* Also what one client alone needs. */
	bench.times =
		calloc(bench.crowd_count + bench.one_count + bench.flagged,
		       sizeof(*bench.times));
	if (bench.times == NULL)
		stop("memory", NULL);
	(void)snprintf(bench.store, sizeof(bench.store), "%s/store", bench.dir);
	(void)snprintf(bench.socket, sizeof(bench.socket), "%s/socket",
		       bench.store);
	server_begin(&bench);
	accounts_make(&bench);
	(void)case_clients(&bench, 1, bench.one_count);
	bench_rates(&bench);
	bench_latency(&bench);
	bench_flags(&bench);
	bench_memory(&bench);
	server_end(&bench);
	if (bench_dir_remove(bench.dir) != 0)
		stop(bench.dir, NULL);
	free(bench.times);
	return 0;
}
