/*
 * What a replica that is far behind pays for changes that undo or repeat each
 * other, against the one change that they come to, and against as many that do
 * not.
 *
 *	bench_net [--quick] [DIRECTORY [DIRECTORY]]
 *
 * flags-one     a flag of a message changed, in a group
 * flags-same    a flag of one message, set and taken away, a group each time
 * flags-each    a flag of as many messages, a group for each
 * rename-one    a mailbox renamed
 * rename-same   a mailbox renamed there and back, as often
 * rename-each   as many mailboxes renamed
 * gone          messages of 2 KiB appended, ten a group, and all expunged
 * stay          the same, and nothing expunged
 *
 * Each is a journal of its own, of which what comes before is replayed first;
 * CPU time and time on the clock of the rest, without syncs, cases in turns,
 * medians.  Primaries are in DIRECTORY, replicas in the second one, if there is
 * one: on another file system contents are copied, else linked.
 *
 * Output: one JSON object a line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbj/blob.h>
#include <mbj/codec.h>
#include <mbj/replay.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { EACH = 10, SIZE = 2048, ROUNDS_MAX = 9 };

enum mode {
	FLAGS_ONE,
	FLAGS_SAME,
	FLAGS_EACH,
	RENAME_ONE,
	RENAME_SAME,
	RENAME_EACH,
	GONE,
	STAY,
	MODES
};

static const char *const mode_names[MODES] = {
	"flags-one",   "flags-same",  "flags-each", "rename-one",
	"rename-same", "rename-each", "gone",	    "stay",
};

struct bench {
	unsigned rounds;
	unsigned count;
	char here[512];	    /* primaries */
	char there[512];    /* replicas */
	struct mbj_sys sys; /* without syncs, which others measure */
	struct mbj_store_options options;
	struct mbj_store *store; /* the primary that is being filled */
	unsigned groups;	 /* in it */
};

struct figures {
	double cpu[ROUNDS_MAX];
	double wall[ROUNDS_MAX];
};

static _Noreturn void stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_net: %s: %s\n", what, why);
	exit(1);
}

static int sync_not(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static struct mbj_id box_id(unsigned number)
{
	struct mbj_id id = {{0xbe}};

	mbj_store_u32(id.b + 8, number * 2246822519u);
	mbj_store_u32(id.b + 12, number);
	return id;
}

/* -------------------------------------------------------------- primary */

static void submit(struct bench *bench, struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;

	edit->account = mbj_bytes_str("u");
	if (mbj_store_submit(bench->store, edit, &outcome, &err) < 0)
		stop("edit", err.message);
	bench->groups++;
	if (outcome.lsn.v != bench->groups)
		stop("edit", "it was to be a group");
	mbj_outcome_done(&outcome);
}

/* INBOX and count mailboxes beside it. */
static void account_import(struct bench *bench)
{
	struct mbj_change *changes = calloc(bench->count + 1, sizeof(*changes));
	char(*names)[32] = calloc(bench->count + 1, sizeof(*names));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	if (changes == NULL || names == NULL)
		stop("import", "out of memory");
	for (unsigned i = 0; i <= bench->count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "mailbox-%u", i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = box_id(i),
			.name = mbj_bytes_str(i > 0 ? names[i] : "INBOX"),
		};
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = bench->count + 1;
	submit(bench, &edit);
	free(names);
	free(changes);
}

static void rename_box(struct bench *bench, unsigned box, unsigned turn)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME,
		.id = box_id(box),
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char name[32];

	(void)snprintf(name, sizeof(name), "%s-%u",
		       turn % 2 ? "mailbox" : "elsewhere", box);
	change.name = mbj_bytes_str(name);
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	submit(bench, &edit);
}

static void message_edit(struct bench *bench, struct mbj_message_edit *steps,
			 unsigned count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = steps;
	edit.message_count = count;
	submit(bench, &edit);
}

/* With bytes that nobody else has. */
static void append(struct bench *bench, unsigned first)
{
	struct mbj_message_edit steps[EACH];
	struct mbj_blobs *blobs;
	struct mbj_error err;
	uint8_t bytes[SIZE];

	if (mbj_store_blobs(bench->store, &blobs, &err) < 0)
		stop("content", err.message);
	memset(bytes, 'x', sizeof(bytes));
	for (unsigned i = 0; i < EACH; i++) {
		steps[i] = (struct mbj_message_edit){
			.kind = MBJ_MESSAGE_APPEND,
			.mailbox = box_id(0),
			.size = SIZE,
			.time = 1767225600 + first + i,
		};
		mbj_store_u32(bytes, first + i);
		if (mbj_blob_put(blobs, mbj_bytes_make(bytes, SIZE),
				 &steps[i].blob, &err) < 0)
			stop("content", err.message);
	}
	message_edit(bench, steps, EACH);
}

static void mark(struct bench *bench, unsigned uid, unsigned turn)
{
	uint8_t range[MBJ_UID_RANGE_SIZE];
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_FLAGS,
		.mailbox = box_id(0),
		.mode = turn % 2 ? MBJ_FLAGS_REMOVE : MBJ_FLAGS_ADD,
		.flags = MBJ_FLAG_SEEN,
		.uids = mbj_bytes_make(range, sizeof(range)),
	};

	mbj_store_u32(range, uid);
	mbj_store_u32(range + 4, uid);
	message_edit(bench, &step, 1);
}

static void expunge_all(struct bench *bench)
{
	uint8_t range[MBJ_UID_RANGE_SIZE];
	struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_EXPUNGE,
		.mailbox = box_id(0),
		.uids = mbj_bytes_make(range, sizeof(range)),
	};

	mbj_store_u32(range, 1);
	mbj_store_u32(range + 4, bench->count);
	message_edit(bench, &step, 1);
}

static void appends(struct bench *bench)
{
	for (unsigned at = 0; at < bench->count; at += EACH)
		append(bench, at);
}

/* What is measured: so many groups behind what every journal has. */
static void changes_make(struct bench *bench, enum mode mode)
{
	for (unsigned i = 0; i < bench->count; i++) {
		if (mode == FLAGS_SAME || mode == FLAGS_EACH)
			mark(bench, mode == FLAGS_SAME ? 1 : i + 1,
			     mode == FLAGS_SAME ? i : 0);
		else if (mode == RENAME_SAME || mode == RENAME_EACH)
			rename_box(bench, mode == RENAME_SAME ? 1 : i + 1,
				   mode == RENAME_SAME ? i : 0);
	}
	if (mode == FLAGS_ONE)
		mark(bench, 1, 0);
	if (mode == RENAME_ONE)
		rename_box(bench, 1, 0);
	if (mode == GONE || mode == STAY)
		appends(bench);
	if (mode == GONE)
		expunge_all(bench);
}

/* How many groups come before what is measured. */
static unsigned primary_make(struct bench *bench, enum mode mode,
			     const char *dir)
{
	struct mbj_error err;
	unsigned before;

	bench->groups = 0;
	if (mbj_store_init(dir, MBJ_STORE_PRIMARY, &bench->options, &err) < 0 ||
	    mbj_store_open(dir, &bench->options, &bench->store, &err) < 0)
		stop("primary", err.message);
	account_import(bench);
	if (mode != GONE && mode != STAY)
		appends(bench);
	before = bench->groups;
	changes_make(bench, mode);
	mbj_store_close(&bench->store);
	return before;
}

/* ------------------------------------------------------------- measured */

static void replay(const struct bench *bench, const char *primary,
		   unsigned before, const char *dir, double *ret_cpu,
		   double *ret_wall)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	struct mbj_error err;

	options.until.v = before;
	if (mbj_store_init(dir, MBJ_STORE_REPLICA, &bench->options, &err) < 0 ||
	    mbj_replica_open(dir, &bench->options, &store, &err) < 0 ||
	    mbj_replay_journal(store, primary, &options, &result, &err) < 0)
		stop("replica", err.message);
	options.until.v = 0;
	*ret_cpu = bench_cpu_s();
	*ret_wall = bench_now_s();
	if (mbj_replay_journal(store, primary, &options, &result, &err) < 0)
		stop("replay", err.message);
	*ret_cpu = bench_cpu_s() - *ret_cpu;
	*ret_wall = bench_now_s() - *ret_wall;
	if (result.groups == 0 || result.groups_parked != 0 ||
	    result.blobs_missing != 0)
		stop("replay", "not all groups were applied");
	mbj_store_close(&store);
}

static void report(const char *name, unsigned count, double cpu, double wall)
{
	(void)printf("{\"bench\":\"net\",\"case\":\"%s\",\"count\":%u,"
		     "\"cpu_us\":%.1f,\"wall_us\":%.1f}\n",
		     name, count, cpu * 1e6, wall * 1e6);
}

int main(int argc, char **argv)
{
	static struct figures figures[MODES];
	struct bench bench = {.rounds = 5, .count = 2000};
	const char *here = NULL;
	const char *there = NULL;
	unsigned before[MODES];
	char primaries[MODES][600];

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench.rounds = 1;
			bench.count = 50;
		} else {
			here = here == NULL ? argv[i] : here;
			there = argv[i];
		}
	}
	if (here == NULL)
		here = there = getenv("TMPDIR");
	bench.sys = *mbj_sys_posix();
	bench.sys.fdatasync = sync_not;
	bench.sys.fsync = sync_not;
	bench.sys.syncfs = sync_not;
	bench.options = MBJ_STORE_OPTIONS_INIT;
	bench.options.sys = &bench.sys;
	/* Berkeley DB has syncs of its own. */
	if (bench.rounds == 1)
		bench.options.state.engine = MBJ_STATE_MEMORY;
	bench_dir_make(bench.here, sizeof(bench.here), here);
	bench_dir_make(bench.there, sizeof(bench.there), there);
	for (enum mode mode = 0; mode < MODES; mode++) {
		(void)snprintf(primaries[mode], sizeof(primaries[mode]),
			       "%s/p-%s", bench.here, mode_names[mode]);
		before[mode] = primary_make(&bench, mode, primaries[mode]);
	}
	for (unsigned round = 0; round < bench.rounds; round++) {
		for (enum mode mode = 0; mode < MODES; mode++) {
			char dir[640];

			(void)snprintf(dir, sizeof(dir), "%s/r-%s-%u",
				       bench.there, mode_names[mode], round);
			replay(&bench, primaries[mode], before[mode], dir,
			       &figures[mode].cpu[round],
			       &figures[mode].wall[round]);
		}
	}
	for (enum mode mode = 0; mode < MODES; mode++)
		report(mode_names[mode], bench.count,
		       bench_median(figures[mode].cpu, bench.rounds),
		       bench_median(figures[mode].wall, bench.rounds));
	if (bench_dir_remove(bench.here) != 0 ||
	    bench_dir_remove(bench.there) != 0)
		stop("directories", "cannot be removed");
	return 0;
}
