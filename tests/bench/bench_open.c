/*
 * How long it takes until a store can be used: with a long journal and many
 * mailboxes, and, beside it, with next to nothing; and until a lost state is
 * there again, from the journal alone and from a snapshot.
 *
 *	bench_open [--quick] [DIRECTORY]
 *	bench_open --open STORE
 *	bench_open --cache MIB [DIRECTORY]
 *
 * Both stores were closed in good order, and their files are in the page
 * cache.  Syncs are left out while the journal is written, not afterwards.
 * --open: how long it takes with a store that is there, a copy elsewhere, say.
 * --cache: what a rename costs while many mailboxes are changed, with a page
 * cache of so many MiB.
 *
 * Output: one JSON object a line; times in milliseconds, the median; cpu: of
 * the process, which on a busy machine says more.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/store.h>
#include <mbj/sys.h>
#include <mbj/trim.h>

#include "bench_dir.h"
#include "bench_figures.h"

enum { PER_ACCOUNT = 1000, OPENS = 9 };

struct size {
	const char *name;
	unsigned mailboxes;
	unsigned groups; /* of one rename each */
	unsigned parts;	 /* that they are made in */
};

static double wall_ms(void)
{
	return 1e3 * bench_now_s();
}

static double cpu_ms(void)
{
	return 1e3 * bench_cpu_s();
}

static _Noreturn void stop(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench_open: %s: %s\n", what, why);
	exit(1);
}

static int sync_not(void *ctx, int fd)
{
	(void)ctx;
	(void)fd;
	return 0;
}

static struct mbj_id mailbox_id(unsigned number)
{
	struct mbj_id id = {{0xbe}};

	mbj_store_u32(id.b + 4, number + 1);
	return id;
}

static void submit(struct mbj_store *store, struct mbj_edit *edit,
		   unsigned account)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_error err;
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit->account = mbj_bytes_str(name);
	if (mbj_store_submit(store, edit, &outcome, &err) < 0)
		stop("edit", err.message);
	if (outcome.lsn.v == 0)
		stop("edit", "it changed nothing");
	mbj_outcome_done(&outcome);
	edit->account = (struct mbj_bytes){NULL, 0};
}

static void account_import(struct mbj_store *store, unsigned account,
			   unsigned count)
{
	struct mbj_change *changes = calloc(count, sizeof(*changes));
	char(*names)[16] = calloc(count, sizeof(*names));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	if (changes == NULL || names == NULL)
		stop("import", "out of memory");
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u", i);
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		changes[i].id = mailbox_id(account * PER_ACCOUNT + i);
		changes[i].name = mbj_bytes_str(names[i]);
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = count;
	submit(store, &edit, account);
	free(changes);
	free(names);
}

/* Mailbox after mailbox gets a new name. */
static void renames_make(struct mbj_store *store, const struct size *size,
			 unsigned part)
{
	unsigned count = size->groups / size->parts;

	for (unsigned i = part * count; i < (part + 1) * count; i++) {
		unsigned number = (unsigned)(i * 7919ull % size->mailboxes);
		struct mbj_change change = {.kind = MBJ_CHANGE_UPDATE,
					    .has = MBJ_CHANGE_HAS_NAME,
					    .id = mailbox_id(number)};
		struct mbj_edit edit = MBJ_EDIT_INIT;
		char name[16];

		(void)snprintf(name, sizeof(name), "n%u", i);
		change.name = mbj_bytes_str(name);
		edit.kind = MBJ_EDIT_SET;
		edit.changes = &change;
		edit.change_count = 1;
		submit(store, &edit, number / PER_ACCOUNT);
	}
}

static void part_say(const struct size *size, unsigned part, double ms)
{
	unsigned count = size->groups / size->parts;

	(void)printf("{\"bench\":\"cache\",\"mailboxes\":%u,"
		     "\"renames\":%u,\"cpu_us\":%.1f}\n",
		     size->mailboxes, (part + 1) * count, ms * 1e3 / count);
	(void)fflush(stdout);
}

/* cache_size 0: as it is where nobody says. */
static void store_make(const char *dir, const struct size *size,
		       size_t cache_size)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_sys sys = *mbj_sys_posix();
	struct mbj_store *store = NULL;
	struct mbj_error err;
	unsigned accounts = (size->mailboxes + PER_ACCOUNT - 1) / PER_ACCOUNT;

	sys.fdatasync = sync_not;
	sys.fsync = sync_not;
	options.sys = &sys;
	if (cache_size != 0)
		options.state.cache_size = cache_size;
	if (mbj_store_init(dir, MBJ_STORE_PRIMARY, &options, &err) < 0 ||
	    mbj_store_open(dir, &options, &store, &err) < 0)
		stop(dir, err.message);
	for (unsigned i = 0; i < accounts; i++)
		account_import(store, i,
			       size->mailboxes < PER_ACCOUNT ? size->mailboxes
							     : PER_ACCOUNT);
	for (unsigned i = 0; i < size->parts; i++) {
		double begin = cpu_ms();

		renames_make(store, size, i);
		if (size->parts > 1)
			part_say(size, i, cpu_ms() - begin);
	}
	mbj_store_close(&store);
}

static double opens_run(const char *dir, const struct size *size)
{
	double opened[OPENS], closed[OPENS], cpu[OPENS], ms;
	struct mbj_store *store = NULL;
	struct mbj_error err;

	for (unsigned i = 0; i < OPENS; i++) {
		double begin = wall_ms();
		double cpu_begin = cpu_ms();

		if (mbj_store_open(dir, NULL, &store, &err) < 0)
			stop("open", err.message);
		opened[i] = wall_ms() - begin;
		cpu[i] = cpu_ms() - cpu_begin;
		if (mbj_store_end(store).lsn.v < size->groups ||
		    mbj_store_recovery_get(store)->groups_applied > 0)
			stop("open", "it was not what was closed");
		begin = wall_ms();
		mbj_store_close(&store);
		closed[i] = wall_ms() - begin;
	}
	ms = bench_median(opened, OPENS);
	(void)printf("{\"bench\":\"open\",\"store\":\"%s\",\"groups\":%u,"
		     "\"mailboxes\":%u,\"open_ms\":%.1f,\"open_max_ms\":%.1f,"
		     "\"open_cpu_ms\":%.1f,\"close_ms\":%.1f}\n",
		     size->name, size->groups, size->mailboxes, ms,
		     opened[OPENS - 1], bench_median(cpu, OPENS),
		     bench_median(closed, OPENS));
	(void)fflush(stdout);
	return ms;
}

static double run(const char *root, const struct size *size)
{
	char dir[600];

	(void)snprintf(dir, sizeof(dir), "%s/%s", root, size->name);
	store_make(dir, size, 0);
	return opens_run(dir, size);
}

/* A state made anew: *ret_lsn is the snapshot that it was made from. */
static double rebuild_ms(const char *dir, uint64_t *ret_lsn)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_error err;
	double begin = wall_ms();
	double ms;

	options.is_rebuild_forced = true;
	if (mbj_store_open(dir, &options, &store, &err) < 0)
		stop("rebuild", err.message);
	ms = wall_ms() - begin;
	*ret_lsn = mbj_store_recovery_get(store)->snapshot.v;
	mbj_store_close(&store);
	return ms;
}

static void rebuild_run(const char *root, const struct size *size)
{
	struct mbj_snapshot_result taken;
	struct mbj_store *store = NULL;
	double journal, snapshot, from;
	struct mbj_error err;
	char dir[600];
	uint64_t lsn;

	(void)snprintf(dir, sizeof(dir), "%s/%s", root, size->name);
	journal = rebuild_ms(dir, &lsn);
	if (lsn != 0 || mbj_store_open(dir, NULL, &store, &err) < 0)
		stop(dir, "no store to take a snapshot of");
	snapshot = wall_ms();
	if (mbj_store_snapshot(store, &taken, &err) < 0)
		stop("snapshot", err.message);
	snapshot = wall_ms() - snapshot;
	mbj_store_close(&store);
	from = rebuild_ms(dir, &lsn);
	if (lsn != taken.info.watermark.lsn.v)
		stop("rebuild", "not from the snapshot");
	(void)printf("{\"bench\":\"rebuild\",\"groups\":%u,"
		     "\"mailboxes\":%u,\"journal_ms\":%.0f,"
		     "\"snapshot_ms\":%.0f,\"snapshot_bytes\":%llu,"
		     "\"from_snapshot_ms\":%.0f}\n",
		     size->groups, size->mailboxes, journal, snapshot,
		     (unsigned long long)taken.info.size, from);
	(void)fflush(stdout);
}

static void cache_run(const char *parent, size_t cache_size)
{
	struct size size = {"cache", 100000, 200000, 5};
	char root[512], dir[600];

	bench_dir_make(root, sizeof(root), parent);
	(void)snprintf(dir, sizeof(dir), "%s/%s", root, size.name);
	store_make(dir, &size, cache_size);
	(void)bench_dir_remove(root);
}

int main(int argc, char **argv)
{
	bool is_quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
	const char *parent = argc > 1 + is_quick ? argv[1 + is_quick] : "/tmp";
	struct size small = {"small", 10, 10, 1};
	struct size large = {"large", is_quick ? 2000 : 100000,
			     is_quick ? 2000 : 1000000, 1};
	char root[512];
	double one, other;

	if (argc == 3 && strcmp(argv[1], "--open") == 0) {
		(void)opens_run(argv[2], &(struct size){"given", 0, 0, 1});
		return 0;
	}
	if (argc >= 3 && strcmp(argv[1], "--cache") == 0) {
		cache_run(argc > 3 ? argv[3] : "/tmp",
			  (size_t)strtoul(argv[2], NULL, 10) << 20);
		return 0;
	}
	bench_dir_make(root, sizeof(root), parent);
	one = run(root, &small);
	other = run(root, &large);
	(void)printf("{\"bench\":\"open\",\"ratio\":%.2f}\n", other / one);
	rebuild_run(root, &large);
	(void)bench_dir_remove(root);
	return 0;
}
