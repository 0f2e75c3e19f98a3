/*
 * What producers notice of a house that is kept: how long an edit takes while
 * nobody else is there, while snapshots are made one after the other, and while
 * the journal is trimmed again and again.
 *
 *	bench_house [--quick] [DIRECTORY]
 *
 * A store of 100,000 mailboxes with 1,000,000 messages that a service has; 4
 * producers append a message an edit, all of them at once.
 *
 * Output: one JSON object a line: microseconds of an edit (median, 99th of a
 * hundred, the longest), and what was kept meanwhile.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/service.h>
#include <mbj/trim.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { PRODUCERS = 4, EACH = 1000, SIZE = 2048, TIMES_MAX = 1 << 20 };

struct bench {
	unsigned accounts;
	unsigned mailboxes; /* of an account */
	unsigned messages;  /* of an account */
	double seconds;	    /* a part takes */
	char dir[512];
	char path[600];
	struct mbj_store *store;
	int stop[2];	    /* of the service */
	atomic_uint number; /* of messages */
	atomic_bool is_over;
};

struct producer {
	struct bench *bench;
	unsigned account;
	pthread_t thread;
	double *times;
	size_t count;
};

static _Noreturn void stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_house: %s: %s\n", what, why);
	exit(1);
}

static struct mbj_id mailbox_id(unsigned account, unsigned number)
{
	struct mbj_id id = {{0xbe}};

	mbj_store_u32(id.b + 4, account);
	mbj_store_u32(id.b + 8, number);
	return id;
}

static void submit(struct bench *bench, const struct mbj_edit *what,
		   unsigned account)
{
	struct mbj_edit edit = *what;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.account = mbj_bytes_str(name);
	if (mbj_store_submit(bench->store, &edit, &outcome, &err) < 0)
		stop("edit", err.message);
	mbj_outcome_done(&outcome);
}

static void account_import(struct bench *bench, unsigned account)
{
	struct mbj_change *changes = calloc(bench->mailboxes, sizeof(*changes));
	char(*names)[16] = calloc(bench->mailboxes, sizeof(*names));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	if (changes == NULL || names == NULL)
		stop("import", "out of memory");
	for (unsigned i = 0; i < bench->mailboxes; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u", i);
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		changes[i].id = mailbox_id(account, i);
		changes[i].name = mbj_bytes_str(i == 0 ? "INBOX" : names[i]);
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = bench->mailboxes;
	submit(bench, &edit, account);
	free(names);
	free(changes);
}

/* Messages of one edit, spread over the mailboxes; nobody has their bytes. */
static void append(struct bench *bench, unsigned account, unsigned count)
{
	struct mbj_message_edit *steps = calloc(count, sizeof(*steps));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	if (steps == NULL)
		stop("append", "out of memory");
	for (unsigned i = 0; i < count; i++) {
		unsigned number = atomic_fetch_add(&bench->number, 1);

		steps[i].kind = MBJ_MESSAGE_APPEND;
		steps[i].mailbox =
			mailbox_id(account, number % bench->mailboxes);
		steps[i].size = SIZE;
		steps[i].time = 1767225600 + number;
		/* Digests are anywhere, as real ones are. */
		mbj_store_u32(steps[i].blob.b, number * 2654435761u);
		mbj_store_u32(steps[i].blob.b + 4, number);
	}
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = count;
	submit(bench, &edit, account);
	free(steps);
}

/* ----------------------------------------------------------- producers */

static void *producer_run(void *context)
{
	struct producer *producer = context;
	struct bench *bench = producer->bench;

	while (!atomic_load(&bench->is_over) && producer->count < TIMES_MAX) {
		double begin = bench_now_s();

		append(bench,
		       (producer->account +
			(unsigned)producer->count * PRODUCERS) %
			       bench->accounts,
		       1);
		producer->times[producer->count++] = bench_now_s() - begin;
	}
	return NULL;
}

static void report(const char *what, struct producer *producers, unsigned kept,
		   double kept_s)
{
	size_t count = 0;
	double *all;

	for (unsigned i = 0; i < PRODUCERS; i++)
		count += producers[i].count;
	all = calloc(count, sizeof(*all));
	if (all == NULL || count == 0)
		stop(what, "nothing was measured");
	count = 0;
	for (unsigned i = 0; i < PRODUCERS; i++) {
		memcpy(all + count, producers[i].times,
		       producers[i].count * sizeof(*all));
		count += producers[i].count;
	}
	(void)printf("{\"bench\":\"house\",\"beside\":\"%s\",\"edits\":%zu,"
		     "\"medianUs\":%.0f,\"p99Us\":%.0f,\"maxUs\":%.0f,"
		     "\"kept\":%u,\"keptS\":%.3f}\n",
		     what, count, bench_quantile(all, count, 50) * 1e6,
		     bench_quantile(all, count, 99) * 1e6,
		     bench_quantile(all, count, 100) * 1e6, kept,
		     kept > 0 ? kept_s / kept : 0);
	(void)fflush(stdout);
	free(all);
}

static void snapshot(struct bench *bench)
{
	struct mbj_snapshot_result result;
	struct mbj_error err;

	if (mbj_store_snapshot(bench->store, &result, &err) < 0)
		stop("snapshot", err.message);
}

static void trim(struct bench *bench)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_trim_result result;
	struct mbj_error err;

	options.keep_us = 0;
	options.keep_requests = 1;
	if (mbj_store_trim(bench->store, &options, &result, &err) < 0)
		stop("trim", err.message);
}

/* Producers for so long, and meanwhile that, as often as it goes. */
static void part_run(struct bench *bench, const char *what,
		     void (*keep)(struct bench *bench))
{
	struct producer producers[PRODUCERS];
	double begin = bench_now_s();
	double kept_s = 0;
	unsigned kept = 0;

	atomic_store(&bench->is_over, false);
	for (unsigned i = 0; i < PRODUCERS; i++) {
		producers[i] = (struct producer){.bench = bench, .account = i};
		producers[i].times =
			calloc(TIMES_MAX, sizeof(*producers[i].times));
		if (producers[i].times == NULL ||
		    pthread_create(&producers[i].thread, NULL, producer_run,
				   &producers[i]) != 0)
			stop(what, "no producer");
	}
	do {
		struct timespec moment = {0, 10 * 1000 * 1000};

		if (keep != NULL) {
			double at = bench_now_s();

			keep(bench);
			kept_s += bench_now_s() - at;
			kept++;
		}
		(void)nanosleep(&moment, NULL);
	} while (bench_now_s() - begin < bench->seconds);
	atomic_store(&bench->is_over, true);
	for (unsigned i = 0; i < PRODUCERS; i++)
		(void)pthread_join(producers[i].thread, NULL);
	report(what, producers, kept, kept_s);
	for (unsigned i = 0; i < PRODUCERS; i++)
		free(producers[i].times);
}

static void *service_run(void *context)
{
	struct mbj_service_options options = MBJ_SERVICE_OPTIONS_INIT;
	struct bench *bench = context;
	struct mbj_error err;

	options.stop_fd = bench->stop[0];
	if (mbj_service_run(bench->store, &options, &err) < 0)
		stop("service", err.message);
	return NULL;
}

static void bench_run(struct bench *bench)
{
	pthread_t service;
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_error err;

	options.log.segment_size = 1 << 20;
	(void)snprintf(bench->path, sizeof(bench->path), "%s/p", bench->dir);
	if (mbj_store_init(bench->path, MBJ_STORE_PRIMARY, &options, &err) <
		    0 ||
	    mbj_store_open(bench->path, &options, &bench->store, &err) < 0)
		stop("store", err.message);
	for (unsigned a = 0; a < bench->accounts; a++) {
		account_import(bench, a);
		for (unsigned at = 0; at < bench->messages; at += EACH)
			append(bench, a,
			       bench->messages - at < EACH
				       ? bench->messages - at
				       : EACH);
	}
	if (pthread_create(&service, NULL, service_run, bench) != 0)
		stop("service", "no thread");
	part_run(bench, "nothing", NULL);
	part_run(bench, "snapshots", snapshot);
	part_run(bench, "nothing", NULL);
	part_run(bench, "trims", trim);
	(void)close(bench->stop[1]);
	(void)pthread_join(service, NULL);
	mbj_store_close(&bench->store);
}

int main(int argc, char **argv)
{
	struct bench bench = {.accounts = 100,
			      .mailboxes = 1000,
			      .messages = 10000,
			      .seconds = 10};
	const char *where = getenv("TMPDIR");
	int at = 1;

	if (argc > at && strcmp(argv[at], "--quick") == 0) {
		bench.accounts = 8;
		bench.mailboxes = 20;
		bench.messages = 100;
		bench.seconds = 0.3;
		at++;
	}
	if (argc > at)
		where = argv[at];
	bench_dir_make(bench.dir, sizeof(bench.dir), where);
	if (pipe(bench.stop) < 0)
		stop("pipe", "cannot be made");
	bench_run(&bench);
	(void)bench_dir_remove(bench.dir);
	return 0;
}
