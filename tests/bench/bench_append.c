/*
 * How fast durable appends are, against the disk itself.
 *
 *	bench_append [--quick] [DIRECTORY]
 *
 * raw       a bare loop: the bytes of such groups, one by one, into a file
 *           written with zeroes beforehand, fdatasync after each
 * one       one thread, one rename per edit, mbj_store_submit
 * crowd     32 threads, each its own account
 * cpu       one thread, the sync taken out: what an edit costs the processor
 * size-N    the same on an account with N mailboxes
 * sync+N    one/raw and crowd/one again where each sync takes N us longer:
 *           another disk, in so far as that is what disks differ in
 *
 * raw, one and crowd take turns within a run, on one file system, and the
 * median of the rounds counts: disks change their mind by the minute.
 * Output: a table, and one JSON object a line.  --quick is for tests: few
 * rounds, nothing is demanded of the speed.
 */
#include "bench_dir.h"
#include "bench_figures.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/store.h>

enum {
	THREADS_MAX = 32,
	ROUNDS_MAX = 15,
	BOXES = 20, /* of each account but the sized ones */
	RAW_FILE_SIZE = 32 << 20,
};

struct setting {
	unsigned rounds;
	unsigned raw_count;   /* appends of one round */
	unsigned one_count;   /* edits of one round */
	unsigned crowd_count; /* edits of one thread and round */
	unsigned cpu_count;
	unsigned size_max; /* mailboxes of the largest account */
	unsigned late_max; /* microseconds that the slowest sync takes longer */
};

static const struct setting setting_full = {9,	   2000,   2000, 500,
					    20000, 100000, 4000};
static const struct setting setting_quick = {1, 50, 50, 10, 200, 1000, 125};

struct bench {
	struct setting setting;
	char dir[512];
	struct mbj_store_options options;
	struct mbj_store *store;
	unsigned late_us;		/* that each sync takes longer */
	_Atomic size_t record_size;	/* of one rename's group */
	unsigned turn[THREADS_MAX + 8]; /* of each account: renames so far */
};

_Noreturn static void stop(const char *what, const struct mbj_error *err)
{
	fprintf(stderr, "bench_append: %s: %s\n", what,
		err != NULL ? err->message : "failed");
	exit(1);
}

/* -------------------------------------------------------------- store */

static struct mbj_id box_id(unsigned account, unsigned number)
{
	struct mbj_id id = {{0xbe}};

	mbj_store_u32(id.b + 4, account);
	mbj_store_u32(id.b + 8, number);
	return id;
}

/* An account "uN" with INBOX and m2..mCOUNT, in one edit. */
static void account_import(struct mbj_store *store, unsigned account,
			   unsigned count)
{
	struct mbj_change *changes = calloc(count, sizeof(*changes));
	char(*names)[12] = calloc(count, sizeof(*names));
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;
	char name[16];

	if (changes == NULL || names == NULL)
		stop("import", NULL);
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u", i + 1);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = box_id(account, i + 1),
			.name = mbj_bytes_str(i == 0 ? "INBOX" : names[i]),
		};
	}
	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(name);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = count;
	if (mbj_store_submit(store, &edit, &outcome, &err) < 0)
		stop("import", &err);
	mbj_outcome_done(&outcome);
	free(changes);
	free(names);
}

/* The name that mailbox number has after so many turns round all of them. */
static void box_name(char name[24], unsigned number, unsigned round)
{
	if (round == 0)
		(void)snprintf(name, 24, "m%u", number);
	else
		(void)snprintf(name, 24, "m%u-%u", number, round);
}

/* One rename of one account: its mailboxes take turns. */
static void account_rename(struct bench *bench, unsigned account,
			   unsigned boxes)
{
	unsigned turn = bench->turn[account]++;
	unsigned number = 2 + turn % (boxes - 1);
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_rename rename;
	struct mbj_error err;
	char source[24];
	char target[24];
	char name[16];

	box_name(source, number, turn / (boxes - 1));
	box_name(target, number, turn / (boxes - 1) + 1);
	(void)snprintf(name, sizeof(name), "u%u", account);
	rename.source = mbj_bytes_str(source);
	rename.target = mbj_bytes_str(target);
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str(name);
	edit.renames = &rename;
	edit.rename_count = 1;
	if (mbj_store_submit(bench->store, &edit, &outcome, &err) < 0)
		stop("rename", &err);
	if (outcome.record.n > 0)
		bench->record_size = outcome.record.n;
	mbj_outcome_done(&outcome);
}

static void store_make(struct bench *bench, const char *name,
		       const struct mbj_sys *sys)
{
	struct mbj_error err;
	char dir[600];

	bench->options = MBJ_STORE_OPTIONS_INIT;
	bench->options.sys = sys;
	(void)snprintf(dir, sizeof(dir), "%s/%s", bench->dir, name);
	if (mbj_store_init(dir, MBJ_STORE_PRIMARY, &bench->options, &err) < 0 ||
	    mbj_store_open(dir, &bench->options, &bench->store, &err) < 0)
		stop(dir, &err);
	memset(bench->turn, 0, sizeof(bench->turn));
}

/* -------------------------------------------------------------- cases */

/* ctx: microseconds, as bench.late_us. */
static int sync_late(void *ctx, int fd)
{
	const unsigned *late_us = ctx;
	const struct mbj_sys *posix = mbj_sys_posix();
	struct timespec rest = {.tv_nsec = (long)*late_us * 1000};
	int ret = posix->fdatasync(posix->ctx, fd);

	if (*late_us > 0)
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &rest, NULL);
	return ret;
}

/* Appends a second of the disk itself. */
static double case_raw(struct bench *bench)
{
	static const uint8_t zeroes[1 << 16];
	uint8_t *record = calloc(1, bench->record_size);
	char path[600];
	off_t at = 0;
	double begin;
	double rate;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/raw", bench->dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || record == NULL)
		stop(path, NULL);
	for (off_t i = 0; i < RAW_FILE_SIZE; i += (off_t)sizeof(zeroes))
		if (pwrite(fd, zeroes, sizeof(zeroes), i) < 0)
			stop(path, NULL);
	if (fsync(fd) < 0)
		stop(path, NULL);
	memset(record, 0x5a, bench->record_size);
	begin = bench_now_s();
	for (unsigned i = 0; i < bench->setting.raw_count; i++) {
		if (pwrite(fd, record, bench->record_size, at) < 0 ||
		    sync_late(&bench->late_us, fd) < 0)
			stop(path, NULL);
		at += (off_t)bench->record_size;
	}
	rate = bench->setting.raw_count / (bench_now_s() - begin);
	close(fd);
	unlink(path);
	free(record);
	return rate;
}

static double case_one(struct bench *bench, unsigned account, unsigned boxes,
		       unsigned count)
{
	double begin = bench_now_s();

	for (unsigned i = 0; i < count; i++)
		account_rename(bench, account, boxes);
	return count / (bench_now_s() - begin);
}

struct thread {
	struct bench *bench;
	unsigned account;
};

static void *thread_run(void *context)
{
	struct thread *thread = context;

	for (unsigned i = 0; i < thread->bench->setting.crowd_count; i++)
		account_rename(thread->bench, thread->account, BOXES);
	return NULL;
}

static double case_crowd(struct bench *bench)
{
	struct thread crew[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	double begin = bench_now_s();

	for (unsigned i = 0; i < THREADS_MAX; i++) {
		crew[i] = (struct thread){bench, i};
		if (pthread_create(&threads[i], NULL, thread_run, &crew[i]) !=
		    0)
			stop("threads", NULL);
	}
	for (unsigned i = 0; i < THREADS_MAX; i++)
		pthread_join(threads[i], NULL);
	return THREADS_MAX * bench->setting.crowd_count /
	       (bench_now_s() - begin);
}

static int sync_nothing(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

/* ------------------------------------------------------------- results */

static void report(const char *name, double value, const char *unit,
		   const char *bar)
{
	printf("%-20s %12.2f %-6s %s\n", name, value, unit, bar);
	printf("{\"bench\":\"append\",\"case\":\"%s\",\"value\":%.3f,"
	       "\"unit\":\"%s\"}\n",
	       name, value, unit);
	fflush(stdout);
}

struct rates {
	double raw, one, crowd, one_raw, crowd_one;
};

/* Medians of rounds in which the three take turns. */
static struct rates rates_take(struct bench *bench)
{
	const struct setting *setting = &bench->setting;
	double taken[5][ROUNDS_MAX];

	for (unsigned i = 0; i < setting->rounds; i++) {
		double raw = case_raw(bench);
		double one = case_one(bench, 0, BOXES, setting->one_count);
		double crowd = case_crowd(bench);

		taken[0][i] = raw;
		taken[1][i] = one;
		taken[2][i] = crowd;
		taken[3][i] = one / raw;
		taken[4][i] = crowd / one;
	}
	return (struct rates){
		.raw = bench_median(taken[0], setting->rounds),
		.one = bench_median(taken[1], setting->rounds),
		.crowd = bench_median(taken[2], setting->rounds),
		.one_raw = bench_median(taken[3], setting->rounds),
		.crowd_one = bench_median(taken[4], setting->rounds),
	};
}

static void bench_durable(struct bench *bench)
{
	struct rates rates;

	store_make(bench, "durable", NULL);
	for (unsigned i = 0; i < THREADS_MAX; i++)
		account_import(bench->store, i, BOXES);
	(void)case_one(bench, 0, BOXES, bench->setting.one_count / 4 + 1);
	rates = rates_take(bench);
	report("record", (double)bench->record_size, "B", "");
	report("raw", rates.raw, "1/s", "");
	report("one", rates.one, "1/s", "");
	report("crowd", rates.crowd, "1/s", "");
	report("one/raw", rates.one_raw, "x", "bar 0.7");
	report("crowd/one", rates.crowd_one, "x", "bar 8");
	mbj_store_close(&bench->store);
}

/* A third of the rounds, and of the edits where they only wait. */
static void bench_late(struct bench *bench)
{
	const struct setting setting = bench->setting;
	struct mbj_sys sys = *mbj_sys_posix();

	sys.ctx = &bench->late_us;
	sys.fdatasync = sync_late;
	bench->late_us = 0;
	store_make(bench, "late", &sys);
	for (unsigned i = 0; i < THREADS_MAX; i++)
		account_import(bench->store, i, BOXES);
	bench->setting.rounds = setting.rounds / 3 + 1;
	bench->setting.raw_count = setting.raw_count / 4;
	bench->setting.one_count = setting.one_count / 4;
	for (unsigned late = 125; late <= setting.late_max; late *= 2) {
		char name[32];
		struct rates rates;

		bench->late_us = late;
		rates = rates_take(bench);
		(void)snprintf(name, sizeof(name), "sync+%u", late);
		report(name, 1e6 / rates.raw, "us", "of raw, each");
		(void)snprintf(name, sizeof(name), "sync+%u one/raw", late);
		report(name, rates.one_raw, "x", "bar 0.7");
		(void)snprintf(name, sizeof(name), "sync+%u crowd/one", late);
		report(name, rates.crowd_one, "x", "bar 8");
	}
	bench->setting = setting;
	bench->late_us = 0;
	mbj_store_close(&bench->store);
}

static void bench_cpu(struct bench *bench)
{
	const struct setting *setting = &bench->setting;
	struct mbj_sys sys = *mbj_sys_posix();
	double least = 0;
	unsigned account = 1;

	sys.fdatasync = sync_nothing;
	sys.fsync = sync_nothing;
	store_make(bench, "cpu", &sys);
	account_import(bench->store, 0, BOXES);
	report("cpu", 1e6 / case_one(bench, 0, BOXES, setting->cpu_count), "us",
	       "");
	for (unsigned size = 10; size <= setting->size_max; size *= 10) {
		char name[32];
		double us;

		account_import(bench->store, account, size);
		(void)case_one(bench, account, size, setting->cpu_count / 10);
		us = 1e6 /
		     case_one(bench, account, size, setting->cpu_count / 2);
		(void)snprintf(name, sizeof(name), "size-%u", size);
		report(name, us, "us", "");
		if (size == 10)
			least = us;
		if (size * 10 > setting->size_max)
			report("largest/10", us / least, "x", "bar 1.5");
		account++;
	}
	mbj_store_close(&bench->store);
}

int main(int argc, char **argv)
{
	struct bench bench = {.setting = setting_full};
	const char *parent = ".";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			bench.setting = setting_quick;
		else
			parent = argv[i];
	}
	bench_dir_make(bench.dir, sizeof(bench.dir), parent);
	bench_durable(&bench);
	bench_cpu(&bench);
	bench_late(&bench);
	if (bench_dir_remove(bench.dir) != 0)
		stop(bench.dir, NULL);
	return 0;
}
