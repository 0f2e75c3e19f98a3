/*
 * A replica that gets messages with their content: messages a second by the
 * clock and of processor time, beside cp -r and one sync of the same content.
 *
 *	bench_content [--quick] [DIRECTORY [OTHER]]
 *
 * replay    onto a replica beside its primary, which takes hard links
 * copy      onto one in OTHER, on another file system: bytes are copied
 * cp        of the content to where that replica is, and one sync
 *
 * The primary is made without syncs; what is measured has them.
 * Output: one JSON object a line.
 */
#define _XOPEN_SOURCE 700 /* sync */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mbj/blob.h>
#include <mbj/codec.h>
#include <mbj/replay.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { EACH = 100, SIZE = 2048 };

struct bench {
	unsigned messages;
	char here[512];
	char there[512];
	char primary[600];
};

static _Noreturn void stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_content: %s: %s\n", what, why);
	exit(1);
}

static int sync_not(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

/* -------------------------------------------------------------- primary */

static const struct mbj_id inbox_id = {{0xbe}};

static void submit(struct mbj_store *store, struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;

	edit->account = mbj_bytes_str("u");
	if (mbj_store_submit(store, edit, &outcome, &err) < 0)
		stop("edit", err.message);
	mbj_outcome_done(&outcome);
}

static void account_import(struct mbj_store *store)
{
	struct mbj_change inbox = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = inbox_id,
		.name = mbj_bytes_str("INBOX"),
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &inbox;
	edit.change_count = 1;
	submit(store, &edit);
}

/* One edit with messages that nobody else has. */
static void append(struct mbj_store *store, unsigned first, unsigned count)
{
	static struct mbj_message_edit steps[EACH];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_blobs *blobs;
	struct mbj_error err;
	uint8_t bytes[SIZE];

	if (mbj_store_blobs(store, &blobs, &err) < 0)
		stop("content", err.message);
	memset(bytes, 'x', sizeof(bytes));
	for (unsigned i = 0; i < count; i++) {
		steps[i] = (struct mbj_message_edit){
			.kind = MBJ_MESSAGE_APPEND,
			.mailbox = inbox_id,
			.size = SIZE,
			.time = 1767225600 + first + i,
		};
		mbj_store_u32(bytes, first + i);
		if (mbj_blob_put(blobs, mbj_bytes_make(bytes, SIZE),
				 &steps[i].blob, &err) < 0)
			stop("content", err.message);
	}
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = count;
	submit(store, &edit);
}

static void primary_make(const struct bench *bench)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_store *store = NULL;
	struct mbj_error err;

	sys.fdatasync = sync_not;
	sys.fsync = sync_not;
	options.sys = &sys;
	if (mbj_store_init(bench->primary, MBJ_STORE_PRIMARY, &options, &err) <
		    0 ||
	    mbj_store_open(bench->primary, &options, &store, &err) < 0)
		stop(bench->primary, err.message);
	account_import(store);
	for (unsigned at = 0; at < bench->messages; at += EACH)
		append(store, at, EACH);
	mbj_store_close(&store);
	sync();
}

/* ------------------------------------------------------------- measured */

static void report(const struct bench *bench, const char *what, double wall,
		   double cpu)
{
	(void)printf("{\"bench\":\"content\",\"what\":\"%s\",\"messages\":%u,"
		     "\"per_s\":%.0f,\"cpu_us\":%.1f}\n",
		     what, bench->messages, bench->messages / wall,
		     cpu * 1e6 / bench->messages);
	(void)fflush(stdout);
}

static double replay_time(const struct bench *bench, const char *what,
			  const char *parent)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	double wall = bench_now_s();
	double cpu = bench_cpu_s();
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	char dir[600];

	(void)snprintf(dir, sizeof(dir), "%s/%s", parent, what);
	if (mbj_store_init(dir, MBJ_STORE_REPLICA, NULL, &err) < 0 ||
	    mbj_replica_open(dir, NULL, &store, &err) < 0 ||
	    mbj_replay_journal(store, bench->primary, &options, &result, &err) <
		    0)
		stop(what, err.message);
	if (result.blobs_missing > 0 || result.groups_parked > 0)
		stop(what, "not all of it came");
	mbj_store_close(&store);
	wall = bench_now_s() - wall;
	report(bench, what, wall, bench_cpu_s() - cpu);
	return wall;
}

static double cp_time(const struct bench *bench)
{
	double wall = bench_now_s();
	char from[700], to[700];
	int status = -1;
	pid_t pid;

	(void)snprintf(from, sizeof(from), "%s/blobs", bench->primary);
	(void)snprintf(to, sizeof(to), "%s/cp", bench->there);
	pid = fork();
	if (pid == 0) {
		(void)execlp("cp", "cp", "-r", from, to, (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0)
		stop("cp", "it failed");
	sync();
	wall = bench_now_s() - wall;
	report(bench, "cp", wall, 0);
	return wall;
}

int main(int argc, char **argv)
{
	bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	const char *here = argc > 1 + is_quick ? argv[1 + is_quick] : "/tmp";
	const char *there = argc > 2 + is_quick ? argv[2 + is_quick] : here;
	struct bench bench = {.messages = is_quick ? 500 : 100000};
	double linked, copied, cp;

	bench_dir_make(bench.here, sizeof(bench.here), here);
	bench_dir_make(bench.there, sizeof(bench.there), there);
	(void)snprintf(bench.primary, sizeof(bench.primary), "%s/primary",
		       bench.here);
	primary_make(&bench);
	linked = replay_time(&bench, "replay", bench.here);
	copied = replay_time(&bench, "copy", bench.there);
	cp = cp_time(&bench);
	(void)printf("{\"bench\":\"content\",\"replay_to_cp\":%.2f,"
		     "\"copy_to_cp\":%.2f}\n",
		     cp / linked, cp / copied);
	(void)bench_dir_remove(bench.here);
	(void)bench_dir_remove(bench.there);
	return 0;
}
