/*
 * How fast a replica replays, against Berkeley DB itself.
 *
 *	bench_replay [--quick] [--size N] [DIRECTORY]
 *
 * replay    a journal of one-rename groups of 100 accounts, from the source's
 *           segments to a committed replica: CPU time, groups a second
 * puts      the records that this replay writes, put into bare Berkeley DB
 *           tables of the same settings in equally large transactions
 * batch-B-size-N  renames replayed in an account with N mailboxes, B groups
 *           in a transaction: CPU time a group
 * whole-N   plan and append of these renames on the primary and their replay,
 *           one group in a transaction: CPU time a rename
 * bare-whole-N  what these renames write into the two states, primary's and
 *           replica's, put into bare Berkeley DB, nothing read before
 *
 * The first two take turns within a run and the median of the rounds counts.
 * --size N: the accounts with N mailboxes alone, one group a transaction.
 * Output: a table, and one JSON object a line.
 */
#define _DEFAULT_SOURCE /* u_int in db.h */
#include <db.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/replay.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { ACCOUNTS = 100, BOXES = 10, ROUNDS_MAX = 9, BATCH = 1000 };

struct bench {
	unsigned rounds;
	unsigned groups;
	unsigned boxes_min; /* mailboxes of the accounts of all sizes */
	unsigned boxes_max;
	char dir[512];
	char primary[600];
};

static _Noreturn void stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_replay: %s: %s\n", what, why);
	exit(1);
}

static struct mbj_id box_id(unsigned account, unsigned number)
{
	struct mbj_id id = {{0xbe}};

	mbj_store_u32(id.b + 4, account * 2654435761u);
	mbj_store_u32(id.b + 8, number * 2246822519u);
	mbj_store_u32(id.b + 12, number);
	return id;
}

static void dir_remove(const char *path)
{
	if (bench_dir_remove(path) != 0)
		stop(path, "cannot be removed");
}

/* ------------------------------------------------------------- journal */

static void submit(struct mbj_store *store, const struct mbj_edit *edit)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;

	if (mbj_store_submit(store, edit, &outcome, &err) < 0)
		stop("edit", err.message);
	mbj_outcome_done(&outcome);
}

static void account_import(struct mbj_store *store, unsigned account,
			   unsigned boxes)
{
	struct mbj_change *changes = calloc(boxes + 1, sizeof(*changes));
	char(*names)[32] = calloc(boxes + 1, sizeof(*names));
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char name[16];

	if (changes == NULL || names == NULL)
		stop("import", "out of memory");
	for (unsigned i = 0; i <= boxes; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "mailbox-%u", i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = box_id(account, i),
			.name = mbj_bytes_str(i ? names[i] : "INBOX"),
		};
	}
	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(name);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = boxes + 1;
	submit(store, &edit);
	free(names);
	free(changes);
}

/* The mailbox gets a name of the turn. */
static void box_rename(struct mbj_store *store, unsigned account, unsigned box,
		       unsigned turn)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME,
		.id = box_id(account, box),
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char account_name[16];
	char name[32];

	(void)snprintf(account_name, sizeof(account_name), "u%u", account);
	(void)snprintf(name, sizeof(name), "renamed-%u-%u", box, turn);
	change.name = mbj_bytes_str(name);
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str(account_name);
	edit.changes = &change;
	edit.change_count = 1;
	submit(store, &edit);
}

/* Rename number turn: each account and each mailbox in turn. */
static void rename_one(struct mbj_store *store, unsigned turn)
{
	box_rename(store, turn % ACCOUNTS, 1 + turn / ACCOUNTS % BOXES, turn);
}

static void journal_make(const struct bench *bench)
{
	struct mbj_store *store = NULL;
	struct mbj_error err;

	if (mbj_store_init(bench->primary, MBJ_STORE_PRIMARY, NULL, &err) < 0 ||
	    mbj_store_open(bench->primary, NULL, &store, &err) < 0)
		stop("primary", err.message);
	for (unsigned i = 0; i < ACCOUNTS; i++)
		account_import(store, i, BOXES);
	for (unsigned i = 0; i < bench->groups; i++)
		rename_one(store, i);
	mbj_store_close(&store);
}

/*
 * CPU seconds of replaying count one-rename groups of primary into a new
 * replica in dir; what comes before them is replayed first, untimed.
 */
static double replay_time(const char *primary, const char *dir, unsigned before,
			  unsigned count, unsigned batch)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	struct mbj_replay_result result;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	double begin;

	options.batch_groups_max = batch;
	options.batch_size_max = 64u << 20;
	options.until.v = before;
	if (mbj_store_init(dir, MBJ_STORE_REPLICA, NULL, &err) < 0 ||
	    mbj_replica_open(dir, NULL, &store, &err) < 0 ||
	    mbj_replay_journal(store, primary, &options, &result, &err) < 0)
		stop("replica", err.message);
	options.until.v = 0;
	begin = bench_cpu_s();
	if (mbj_replay_journal(store, primary, &options, &result, &err) < 0)
		stop("replay", err.message);
	begin = bench_cpu_s() - begin;
	if (result.groups != count || result.groups_parked != 0)
		stop("replay", "not all groups were applied");
	mbj_store_close(&store);
	return begin;
}

/*
 * The same for renames all over one account, a group of it, in batches of one
 * or of many: in a small account many share the pages that they change.
 */
static double sized_time(const struct bench *bench, unsigned boxes,
			 unsigned batch, double *ret_edit_time)
{
	unsigned count = bench->groups;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	char primary[640];
	char dir[640];

	(void)snprintf(primary, sizeof(primary), "%s/sp%u-%u", bench->dir,
		       boxes, batch);
	(void)snprintf(dir, sizeof(dir), "%s/sr%u-%u", bench->dir, boxes,
		       batch);
	if (mbj_store_init(primary, MBJ_STORE_PRIMARY, NULL, &err) < 0 ||
	    mbj_store_open(primary, NULL, &store, &err) < 0)
		stop("primary", err.message);
	account_import(store, 0, boxes);
	*ret_edit_time = bench_cpu_s();
	for (unsigned i = 0; i < count; i++)
		box_rename(store, 0, 1 + (i * 7919u) % boxes, i);
	*ret_edit_time = (bench_cpu_s() - *ret_edit_time) / count;
	mbj_store_close(&store);
	return replay_time(primary, dir, 1, count, batch) / count;
}

/* ---------------------------------------------------- bare Berkeley DB */

enum { MAILBOXES, SLOTS, FLOORS, ROWS, TABLES };

/* Of a mailbox's record, without its name. */
enum { MAILBOX_SIZE = 39 };

struct bare {
	DB_ENV *env;
	DB *tables[TABLES];
};

static void check(int code, const char *what)
{
	if (code != 0)
		stop(what, db_strerror(code));
}

static void bare_open(struct bare *bare, const char *dir)
{
	static const char *const names[] = {"mailboxes", "slots", "floors",
					    "rows"};

	if (mkdir(dir, 0700) != 0)
		stop(dir, "cannot be made");
	check(db_env_create(&bare->env, 0), "env");
	check(bare->env->set_cachesize(bare->env, 0, 64 << 20, 1), "cache");
	check(bare->env->set_lg_bsize(bare->env, 1 << 20), "log buffer");
	check(bare->env->set_lg_max(bare->env, 4 << 20), "log file");
	check(bare->env->open(bare->env, dir,
			      DB_CREATE | DB_PRIVATE | DB_INIT_TXN |
				      DB_INIT_LOG | DB_INIT_MPOOL | DB_THREAD,
			      0600),
	      "open");
	for (int i = 0; i < TABLES; i++) {
		check(db_create(&bare->tables[i], bare->env, 0), "table");
		check(bare->tables[i]->set_flags(bare->tables[i], DB_CHKSUM),
		      "checksums");
		check(bare->tables[i]->open(bare->tables[i], NULL, "state.db",
					    names[i], DB_BTREE,
					    DB_CREATE | DB_AUTO_COMMIT |
						    DB_THREAD,
					    0600),
		      "open table");
	}
}

static void bare_put(struct bare *bare, DB_TXN *txn, int table, void *key,
		     size_t key_size, void *value, size_t value_size)
{
	DBT k;
	DBT v;

	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	k.data = key;
	k.size = (u_int32_t)key_size;
	v.data = value;
	v.size = (u_int32_t)value_size;
	check(bare->tables[table]->put(bare->tables[table], txn, &k, &v, 0),
	      "put");
}

/* The slot of box as it was named in its last turn, or at import. */
static size_t slot_key(uint8_t *key, unsigned account, unsigned box, long turn)
{
	struct mbj_id id = box_id(account, 0);

	memset(key, 0, 32);
	memcpy(key, id.b, sizeof(id.b));
	if (turn < 0)
		return 32 + (size_t)snprintf((char *)key + 32, 96, "mailbox-%u",
					     box);
	return 32 + (size_t)snprintf((char *)key + 32, 96, "renamed-%u-%ld",
				     box, turn);
}

/* A name's floor is by a hash, which is nowhere near that of the next name. */
static void floor_key(uint8_t key[48], unsigned box, unsigned turn)
{
	uint64_t state = ((uint64_t)turn << 32 | box) + 1;
	struct mbj_id id = box_id(0, 0);

	memcpy(key, id.b, sizeof(id.b));
	for (unsigned i = 16; i < 48; i += 8) {
		state = state * UINT64_C(0x5851f42d4c957f2d) + 1;
		mbj_store_u64(key + i, state ^ state >> 29);
	}
}

/* What one rename writes: mailbox, old slot gone, new slot, name's floor. */
static void bare_rename(struct bare *bare, DB_TXN *txn, unsigned account,
			unsigned box, long before, unsigned turn)
{
	struct mbj_id id = box_id(account, box);
	uint8_t key[128] = {0};
	uint8_t value[128] = {1};
	size_t n = slot_key(key, account, box, before);
	DBT k;

	memset(&k, 0, sizeof(k));
	k.data = key;
	k.size = (u_int32_t)n;
	check(bare->tables[SLOTS]->del(bare->tables[SLOTS], txn, &k, 0),
	      "delete");
	n = slot_key(key, account, box, turn);
	memcpy(value + 1, id.b, sizeof(id.b));
	bare_put(bare, txn, SLOTS, key, n, value, 17);
	memcpy(key + 16, id.b, sizeof(id.b));
	bare_put(bare, txn, MAILBOXES, key, 32, value, MAILBOX_SIZE + n - 32);
	floor_key(key, box, turn + 1);
	bare_put(bare, txn, FLOORS, key, 48, value, 5);
}

static void bare_close(struct bare *bare)
{
	for (int i = 0; i < TABLES; i++)
		(void)bare->tables[i]->close(bare->tables[i], DB_NOSYNC);
	(void)bare->env->close(bare->env, 0);
}

static double bare_time(const struct bench *bench, unsigned round)
{
	struct bare bare;
	char dir[640];
	uint8_t row[160] = {1};
	double begin;
	DB_TXN *txn;

	(void)snprintf(dir, sizeof(dir), "%s/b%u", bench->dir, round);
	bare_open(&bare, dir);
	check(bare.env->txn_begin(bare.env, NULL, &txn, 0), "begin");
	for (unsigned account = 0; account < ACCOUNTS; account++) {
		for (unsigned box = 1; box <= BOXES; box++) {
			uint8_t key[128];
			size_t n = slot_key(key, account, box, -1);

			bare_put(&bare, txn, SLOTS, key, n, row, 17);
		}
	}
	check(txn->commit(txn, DB_TXN_NOSYNC), "commit");
	begin = bench_cpu_s();
	for (unsigned turn = 0; turn < bench->groups;) {
		check(bare.env->txn_begin(bare.env, NULL, &txn, 0), "begin");
		for (unsigned i = 0; i < BATCH && turn < bench->groups;
		     i++, turn++)
			bare_rename(&bare, txn, turn % ACCOUNTS,
				    1 + turn / ACCOUNTS % BOXES,
				    (long)turn - ACCOUNTS * BOXES, turn);
		/* Accounts and the watermark, once a transaction. */
		for (unsigned i = 0; i <= ACCOUNTS; i++) {
			struct mbj_id id = box_id(i, 0);

			bare_put(&bare, txn, ROWS, id.b, sizeof(id.b), row, 98);
		}
		check(txn->commit(txn, DB_TXN_NOSYNC), "commit");
	}
	begin = bench_cpu_s() - begin;
	bare_close(&bare);
	return begin;
}

/* What an account of many mailboxes has before its first rename. */
static void bare_fill(struct bare *bare, unsigned boxes)
{
	uint8_t value[64] = {1};
	uint8_t key[128];
	DB_TXN *txn;

	for (unsigned box = 1; box <= boxes;) {
		check(bare->env->txn_begin(bare->env, NULL, &txn, 0), "begin");
		for (unsigned i = 0; i < BATCH && box <= boxes; i++, box++) {
			struct mbj_id id = box_id(0, box);
			size_t n = slot_key(key, 0, box, -1);

			bare_put(bare, txn, SLOTS, key, n, value, 17);
			memcpy(key + 16, id.b, sizeof(id.b));
			bare_put(bare, txn, MAILBOXES, key, 32, value,
				 MAILBOX_SIZE + n - 32);
		}
		check(txn->commit(txn, DB_TXN_NOSYNC), "commit");
	}
}

/*
 * CPU seconds of putting what each of these renames writes, in a transaction
 * of its own, into an account of so many mailboxes: bare Berkeley DB, and
 * nothing read first.
 */
static double bare_sized_time(const struct bench *bench, unsigned boxes,
			      const char *name)
{
	uint8_t row[160] = {1};
	struct bare bare;
	char dir[640];
	double begin;

	(void)snprintf(dir, sizeof(dir), "%s/%s%u", bench->dir, name, boxes);
	bare_open(&bare, dir);
	bare_fill(&bare, boxes);
	begin = bench_cpu_s();
	for (unsigned i = 0; i < bench->groups; i++) {
		unsigned box = 1 + (i * 7919u) % boxes;
		long before = i < boxes ? -1 : (long)(i - boxes);
		DB_TXN *txn;

		check(bare.env->txn_begin(bare.env, NULL, &txn, 0), "begin");
		bare_rename(&bare, txn, 0, box, before, i);
		/* The account and the watermark. */
		for (unsigned r = 0; r < 2; r++) {
			struct mbj_id id = box_id(r, 0);

			bare_put(&bare, txn, ROWS, id.b, sizeof(id.b), row, 98);
		}
		check(txn->commit(txn, DB_TXN_NOSYNC), "commit");
	}
	begin = bench_cpu_s() - begin;
	bare_close(&bare);
	return begin / bench->groups;
}

static void report(const char *name, double value, const char *unit)
{
	(void)printf("{\"bench\":\"replay\",\"case\":\"%s\",\"value\":%.4g,"
		     "\"unit\":\"%s\"}\n",
		     name, value, unit);
}

/* One figure of a size, and how much more it is than that of the first one. */
struct growth {
	double first;
	double last;
};

static void growth_add(struct growth *growth, const char *what, unsigned boxes,
		       double us)
{
	char name[64];

	if (growth->first == 0)
		growth->first = us;
	growth->last = us;
	(void)snprintf(name, sizeof(name), "%s-%u", what, boxes);
	(void)printf("%-28s %12.2f us of CPU\n", name, us);
	report(name, us, "us");
}

static void growth_report(const struct growth *growth, const char *name)
{
	double ratio = growth->last / growth->first;

	(void)printf("%-28s %12.2f\n", name, ratio);
	report(name, ratio, "1");
}

/* A group or a rename of an account of each size. */
static void report_sizes(const struct bench *bench, unsigned batch)
{
	struct growth replayed = {.first = 0};
	struct growth whole = {.first = 0};
	struct growth bare = {.first = 0};
	char name[32];

	(void)snprintf(name, sizeof(name), "batch-%u-size", batch);
	for (unsigned boxes = bench->boxes_min; boxes <= bench->boxes_max;
	     boxes *= 10) {
		double edit;
		double replay;

		replay = sized_time(bench, boxes, batch, &edit);
		growth_add(&replayed, name, boxes, 1e6 * replay);
		if (batch > 1)
			continue;
		growth_add(&whole, "whole", boxes, 1e6 * (edit + replay));
		/* What two states take: the primary's and the replica's. */
		growth_add(&bare, "bare-whole", boxes,
			   1e6 * (bare_sized_time(bench, boxes, "bp") +
				  bare_sized_time(bench, boxes, "br")));
	}
	(void)snprintf(name, sizeof(name), "batch-%u-largest/%u", batch,
		       bench->boxes_min);
	growth_report(&replayed, name);
	if (batch > 1)
		return;
	(void)snprintf(name, sizeof(name), "whole-largest/%u",
		       bench->boxes_min);
	growth_report(&whole, name);
	(void)snprintf(name, sizeof(name), "bare-whole-largest/%u",
		       bench->boxes_min);
	growth_report(&bare, name);
}

/* Replay and bare Berkeley DB in turns; medians. */
static void report_replay(const struct bench *bench)
{
	double replays[ROUNDS_MAX];
	double puts[ROUNDS_MAX];
	double ratios[ROUNDS_MAX];
	char dir[640];

	journal_make(bench);
	for (unsigned i = 0; i < bench->rounds; i++) {
		puts[i] = bare_time(bench, i);
		(void)snprintf(dir, sizeof(dir), "%s/r%u", bench->dir, i);
		replays[i] = replay_time(bench->primary, dir, ACCOUNTS,
					 bench->groups, BATCH);
		ratios[i] = puts[i] / replays[i];
	}
	(void)printf("%-28s %12s\n", "case", "median");
	(void)printf("%-28s %12.0f groups/s of CPU\n", "replay",
		     bench->groups / bench_median(replays, bench->rounds));
	(void)printf("%-28s %12.0f groups/s of CPU\n", "bare Berkeley DB puts",
		     bench->groups / bench_median(puts, bench->rounds));
	(void)printf("%-28s %12.2f\n", "ratio",
		     bench_median(ratios, bench->rounds));
	report("replay", bench->groups / bench_median(replays, bench->rounds),
	       "groups/s");
	report("puts", bench->groups / bench_median(puts, bench->rounds),
	       "groups/s");
	report("ratio", bench_median(ratios, bench->rounds), "1");
}

int main(int argc, char **argv)
{
	struct bench bench = {.rounds = 5,
			      .groups = 10000,
			      .boxes_min = 10,
			      .boxes_max = 100000};
	bool is_size_only = false;
	const char *parent = "/tmp";

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--quick") == 0) {
			bench.rounds = 1;
			bench.groups = 500;
			bench.boxes_max = 1000;
		} else if (strcmp(argv[i], "--size") == 0 && i + 1 < argc) {
			bench.boxes_min =
				(unsigned)strtoul(argv[++i], NULL, 10);
			bench.boxes_max = bench.boxes_min;
			is_size_only = true;
		} else {
			parent = argv[i];
		}
	}
	if (bench.boxes_min == 0)
		stop("--size", "a number of mailboxes is wanted");
	bench_dir_make(bench.dir, sizeof(bench.dir), parent);
	(void)snprintf(bench.primary, sizeof(bench.primary), "%s/p", bench.dir);
	if (!is_size_only)
		report_replay(&bench);
	report_sizes(&bench, 1);
	if (!is_size_only)
		report_sizes(&bench, BATCH);
	dir_remove(bench.dir);
	return 0;
}
