/*
 * What messages cost, in processor time: a message appended, a flag changed, a
 * message replayed; and INBOX renamed, full beside nearly empty.
 *
 *	bench_message [--quick] [DIRECTORY]
 *
 * append        1,000 messages an edit, their content not stored here
 * flags         1,000 messages a primitive, one primitive an edit
 * replay        the journal of both, onto a new replica
 * rename-inbox  with all of these messages, beside one with 10: the ratio is
 *               what has to stay near 1
 *
 * Output: one JSON object a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/replay.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { EACH = 1000, FEW = 10, SIZE = 2048, RENAMES = 9 };

struct bench {
	unsigned messages;
	char dir[512];
	char primary[600];
	char replica[600];
	struct mbj_store *store;
};

static _Noreturn void stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_message: %s: %s\n", what, why);
	exit(1);
}

static struct mbj_id inbox_id(unsigned account)
{
	return (struct mbj_id){{0xbe, (uint8_t)account}};
}

static void submit(struct bench *bench, struct mbj_edit *edit, unsigned account,
		   bool has_group)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit->account = mbj_bytes_str(name);
	if (mbj_store_submit(bench->store, edit, &outcome, &err) < 0)
		stop("edit", err.message);
	if ((outcome.lsn.v > 0) != has_group)
		stop("edit", "it did something else than it should");
	mbj_outcome_done(&outcome);
	edit->account = (struct mbj_bytes){NULL, 0};
}

static void account_import(struct bench *bench, unsigned account)
{
	struct mbj_change inbox = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = inbox_id(account),
		.name = mbj_bytes_str("INBOX"),
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &inbox;
	edit.change_count = 1;
	submit(bench, &edit, account, true);
}

/* Messages of one edit: content that nobody else has. */
static void append(struct bench *bench, unsigned account, unsigned first,
		   unsigned count)
{
	struct mbj_message_edit *steps = calloc(count, sizeof(*steps));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	if (steps == NULL)
		stop("append", "out of memory");
	for (unsigned i = 0; i < count; i++) {
		steps[i].kind = MBJ_MESSAGE_APPEND;
		steps[i].mailbox = inbox_id(account);
		steps[i].size = SIZE;
		steps[i].time = 1767225600 + first + i;
		/* Digests are anywhere, as real ones are. */
		mbj_store_u32(steps[i].blob.b, (first + i) * 2654435761u);
		mbj_store_u32(steps[i].blob.b + 4, first + i);
		steps[i].blob.b[8] = (uint8_t)account;
	}
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = count;
	submit(bench, &edit, account, true);
	free(steps);
}

static double append_time(struct bench *bench, unsigned account, unsigned count)
{
	double begin = bench_cpu_s();

	for (unsigned at = 0; at < count; at += EACH)
		append(bench, account, at,
		       count - at < EACH ? count - at : EACH);
	return bench_cpu_s() - begin;
}

static double flags_time(struct bench *bench, unsigned count)
{
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_FLAGS,
		.mailbox = inbox_id(0),
		.mode = MBJ_FLAGS_ADD,
		.flags = MBJ_FLAG_SEEN,
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	uint8_t range[MBJ_UID_RANGE_SIZE];
	double begin = bench_cpu_s();

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	step.uids = mbj_bytes_make(range, sizeof(range));
	for (unsigned at = 0; at < count; at += EACH) {
		mbj_store_u32(range, at + 1);
		mbj_store_u32(range + 4, at + EACH);
		submit(bench, &edit, 0, true);
	}
	return bench_cpu_s() - begin;
}

static double replay_time(struct bench *bench)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *replica = NULL;
	struct mbj_error err;
	double begin;

	if (mbj_store_init(bench->replica, MBJ_STORE_REPLICA, NULL, &err) < 0 ||
	    mbj_replica_open(bench->replica, NULL, &replica, &err) < 0)
		stop("replica", err.message);
	begin = bench_cpu_s();
	if (mbj_replay_journal(replica, bench->primary, &options, &result,
			       &err) < 0)
		stop("replay", err.message);
	begin = bench_cpu_s() - begin;
	/* Nobody stored any content: every message says so. */
	if (result.groups_parked != 0 ||
	    result.blobs_missing != bench->messages)
		stop("replay", "not all groups were applied");
	mbj_store_close(&replica);
	return begin;
}

/* INBOX renamed, and filled again from where its messages went. */
static double rename_time(struct bench *bench, unsigned account, unsigned count)
{
	double times[RENAMES];

	for (unsigned i = 0; i < RENAMES; i++) {
		struct mbj_edit edit = MBJ_EDIT_INIT;
		struct mbj_rename rename;
		char target[32];

		if (i > 0)
			(void)append_time(bench, account, count);
		(void)snprintf(target, sizeof(target), "old-%u", i);
		rename = (struct mbj_rename){mbj_bytes_str("INBOX"),
					     mbj_bytes_str(target)};
		edit.kind = MBJ_EDIT_RENAME;
		edit.renames = &rename;
		edit.rename_count = 1;
		times[i] = bench_cpu_s();
		submit(bench, &edit, account, true);
		times[i] = bench_cpu_s() - times[i];
	}
	return bench_median(times, RENAMES);
}

static void report(const char *name, double seconds, unsigned count)
{
	printf("{\"bench\":\"message\",\"case\":\"%s\",\"count\":%u,"
	       "\"us_each\":%.2f,\"each_s\":%.0f}\n",
	       name, count, seconds * 1e6 / count, count / seconds);
}

int main(int argc, char **argv)
{
	struct bench bench = {.messages = 100000};
	const char *where = getenv("TMPDIR");
	struct mbj_error err;
	double full, few;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0)
			bench.messages = 2 * EACH;
		else
			where = argv[i];
	}
	bench_dir_make(bench.dir, sizeof(bench.dir), where);
	(void)snprintf(bench.primary, sizeof(bench.primary), "%s/p", bench.dir);
	(void)snprintf(bench.replica, sizeof(bench.replica), "%s/r", bench.dir);
	if (mbj_store_init(bench.primary, MBJ_STORE_PRIMARY, NULL, &err) < 0 ||
	    mbj_store_open(bench.primary, NULL, &bench.store, &err) < 0)
		stop("primary", err.message);
	account_import(&bench, 0);
	account_import(&bench, 1);
	report("append", append_time(&bench, 0, bench.messages),
	       bench.messages);
	report("flags", flags_time(&bench, bench.messages), bench.messages);
	report("replay", replay_time(&bench), 2 * bench.messages);
	full = rename_time(&bench, 0, bench.messages);
	append(&bench, 1, 0, FEW);
	few = rename_time(&bench, 1, FEW);
	printf("{\"bench\":\"message\",\"case\":\"rename-inbox\",\"count\":%u,"
	       "\"us\":%.1f,\"us_few\":%.1f,\"ratio\":%.2f}\n",
	       bench.messages, full * 1e6, few * 1e6, full / few);
	mbj_store_close(&bench.store);
	if (bench_dir_remove(bench.dir) != 0)
		stop(bench.dir, "cannot be removed");
	return 0;
}
