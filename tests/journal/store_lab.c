/*
 * The fixture of the tests of stores.
 */
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <mbj/codec.h>

#include "store_impl.h"
#include "store_lab.h"

/* --------------------------------------------------------- faulty system */

/* 0, or the error that this call is to fail with. */
static int site_sys_judge(void *ctx, unsigned call)
{
	struct site_sys *sys = ctx;
	long number;

	if ((sys->calls & call) == 0)
		return 0;
	number = atomic_fetch_add(&sys->count, 1) + 1;
	while (atomic_load(&sys->is_held))
		(void)poll(NULL, 0, 1);
	if (sys->fail_at == 0 || number < sys->fail_at)
		return 0;
	if (number > sys->fail_at && !sys->is_for_good)
		return 0;
	return -sys->errnum;
}

#define REAL(name) (mbj_sys_posix()->name)
#define CTX	   (mbj_sys_posix()->ctx)

static int sys_open(void *ctx, const char *path, int flags, mode_t mode)
{
	unsigned calls = SITE_CALL_OPEN |
			 ((flags & O_CREAT) != 0 ? SITE_CALL_CREATE : 0);
	int fault = site_sys_judge(ctx, calls);

	return fault != 0 ? fault : REAL(open)(CTX, path, flags, mode);
}

static ssize_t sys_pread(void *ctx, int fd, void *p, size_t n, off_t at)
{
	int fault = site_sys_judge(ctx, SITE_CALL_PREAD);

	return fault != 0 ? fault : REAL(pread)(CTX, fd, p, n, at);
}

static ssize_t sys_pwrite(void *ctx, int fd, const void *p, size_t n, off_t at)
{
	const struct site_sys *sys = ctx;
	int fault = 0;

	if (n >= sys->write_size_min)
		fault = site_sys_judge(ctx, SITE_CALL_PWRITE);

	return fault != 0 ? fault : REAL(pwrite)(CTX, fd, p, n, at);
}

static int sys_fdatasync(void *ctx, int fd)
{
	int fault = site_sys_judge(ctx, SITE_CALL_SYNC);
	const struct site_sys *sys = ctx;
	const struct timespec time = {.tv_nsec = sys->sync_us * 1000};

	if (sys->sync_us > 0)
		(void)nanosleep(&time, NULL);
	return fault != 0 ? fault : REAL(fdatasync)(CTX, fd);
}

static int sys_fsync(void *ctx, int fd)
{
	int fault = site_sys_judge(ctx, SITE_CALL_SYNC);

	return fault != 0 ? fault : REAL(fsync)(CTX, fd);
}

static int sys_syncfs(void *ctx, int fd)
{
	int fault = site_sys_judge(ctx, SITE_CALL_SYNC);

	return fault != 0 ? fault : REAL(syncfs)(CTX, fd);
}

static int sys_rename(void *ctx, const char *from, const char *to)
{
	int fault = site_sys_judge(ctx, SITE_CALL_RENAME);

	return fault != 0 ? fault : REAL(rename)(CTX, from, to);
}

static int sys_unlink(void *ctx, const char *path)
{
	int fault = site_sys_judge(ctx, SITE_CALL_UNLINK);

	return fault != 0 ? fault : REAL(unlink)(CTX, path);
}

static int sys_mkdir(void *ctx, const char *path, mode_t mode)
{
	int fault = site_sys_judge(ctx, SITE_CALL_MKDIR);

	return fault != 0 ? fault : REAL(mkdir)(CTX, path, mode);
}

void site_sys_init(struct site_sys *sys)
{
	memset(sys, 0, sizeof(*sys));
	sys->table = *mbj_sys_posix();
	sys->table.ctx = sys;
	sys->table.open = sys_open;
	sys->table.pread = sys_pread;
	sys->table.pwrite = sys_pwrite;
	sys->table.fdatasync = sys_fdatasync;
	sys->table.fsync = sys_fsync;
	sys->table.syncfs = sys_syncfs;
	sys->table.rename = sys_rename;
	sys->table.unlink = sys_unlink;
	sys->table.mkdir = sys_mkdir;
}

void site_sys_arm(struct site_sys *sys, unsigned calls, long fail_at,
		  int errnum, bool is_for_good)
{
	atomic_store(&sys->calls, 0);
	atomic_store(&sys->fail_at, fail_at);
	atomic_store(&sys->errnum, errnum);
	atomic_store(&sys->is_for_good, is_for_good);
	atomic_store(&sys->count, 0);
	atomic_store(&sys->calls, calls);
}

/* ----------------------------------------------------------------- site */

struct mbj_store_options site_options(void)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;

	options.state.cache_size = 4u << 20;
	options.state.log_file_size = 4u << 20;
	options.state.checkpoint_log_size = 4u << 20;
	options.log.segment_size = 256u << 10;
	options.log.reserve_max = 64u << 10;
	return options;
}

void site_begin_on(struct site *site, enum mbj_state_engine engine)
{
	memset(site, 0, sizeof(*site));
	site->tmp = test_tmpdir_new();
	site->options = site_options();
	site->options.state.engine = engine;
	(void)snprintf(site->dir, sizeof(site->dir), "%s/store", site->tmp);
	SITE_OK(mbj_store_init(site->dir, MBJ_STORE_PRIMARY, &site->options,
			       err));
	SITE_OK(mbj_store_open(site->dir, &site->options, &site->store, err));
}

void site_begin(struct site *site)
{
	site_begin_on(site, MBJ_STATE_BERKELEY_DB);
}

void site_end(struct site *site)
{
	mbj_store_close(&site->store);
	test_tmpdir_free(&site->tmp);
}

void site_reopen(struct site *site)
{
	mbj_store_close(&site->store);
	SITE_OK(mbj_store_open(site->dir, &site->options, &site->store, err));
}

void site_path(const struct site *site, const char *name,
	       char path[MBJ_PATH_TEXT_MAX])
{
	int n = snprintf(path, MBJ_PATH_TEXT_MAX, "%s/%s", site->dir, name);

	ck_assert_int_lt(n, MBJ_PATH_TEXT_MAX);
}

/* ---------------------------------------------------------------- edits */

struct mbj_id site_mailbox(unsigned account, unsigned number)
{
	struct mbj_id id = {{0xb1}};

	mbj_store_u32(id.b + 4, account);
	mbj_store_u32(id.b + 8, number);
	return id;
}

void site_import(struct mbj_store *store, unsigned account, unsigned count)
{
	struct mbj_change *changes = calloc(count, sizeof(*changes));
	char(*names)[12] = calloc(count, sizeof(*names));
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {.lsn = {0}};
	char name[16];

	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "m%u", i + 1);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
			.id = site_mailbox(account, i + 1),
			.name = mbj_bytes_str(i == 0 ? "INBOX" : names[i]),
		};
	}
	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(name);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = count;
	SITE_OK(mbj_store_submit(store, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	free(changes);
	free(names);
}

void site_rename_make(struct site_rename *ret, unsigned account,
		      const char *source, const char *target)
{
	ret->rename = (struct mbj_rename){mbj_bytes_str(source),
					  mbj_bytes_str(target)};
	(void)snprintf(ret->account, sizeof(ret->account), "u%u", account);
	ret->edit = MBJ_EDIT_INIT;
	ret->edit.kind = MBJ_EDIT_RENAME;
	ret->edit.account = mbj_bytes_str(ret->account);
	ret->edit.renames = &ret->rename;
	ret->edit.rename_count = 1;
}

enum mbj_rc site_rename(struct mbj_store *store, unsigned account,
			const char *source, const char *target,
			struct mbj_lsn *ret_lsn, struct mbj_error *err)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct site_rename rename;
	enum mbj_rc rc;

	site_rename_make(&rename, account, source, target);
	rc = mbj_store_submit(store, &rename.edit, &outcome, err);
	if (rc == MBJ_OK && ret_lsn != NULL)
		*ret_lsn = outcome.lsn;
	mbj_outcome_done(&outcome);
	return rc;
}

static struct mbj_id account_id(struct mbj_txn *txn, unsigned account)
{
	struct mbj_account found = {.lsn = {0}};
	char name[16];

	(void)snprintf(name, sizeof(name), "u%u", account);
	SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str(name), &found, err));
	return found.id;
}

void site_name(struct mbj_store *store, unsigned account, unsigned number,
	       char text[MBJ_NAME_MAX + 1])
{
	struct mbj_mailbox mailbox;
	struct mbj_txn *txn = NULL;

	SITE_OK(mbj_store_read(store, &txn, err));
	SITE_OK(mbj_txn_mailbox_get(txn, account_id(txn, account),
				    site_mailbox(account, number), &mailbox,
				    err));
	memcpy(text, mailbox.name.stored.p, mailbox.name.stored.n);
	text[mailbox.name.stored.n] = '\0';
	mbj_txn_abort(&txn);
}

void site_await_waiting(struct mbj_store *store, size_t count)
{
	size_t waiting;

	do {
		(void)sched_yield();
		pthread_mutex_lock(&store->mutex);
		waiting = store->waiting_count;
		pthread_mutex_unlock(&store->mutex);
	} while (waiting < count);
}

bool site_is_sound(struct mbj_store *store)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_txn *txn = NULL;
	struct mbj_account account;
	struct mbj_digest digest;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, &err);
	if (rc == MBJ_OK)
		rc = mbj_scan_accounts(txn, &scan, &err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, &err);
		if (rc == MBJ_OK)
			rc = mbj_txn_account_check(txn, account.id, &digest,
						   &err);
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return rc == MBJ_ENOTFOUND;
}

/* One account's own digest, after checking its records. */
static enum mbj_rc account_sum(struct mbj_txn *txn,
			       const struct mbj_account *account,
			       struct mbj_digest *sum, struct mbj_error *err)
{
	struct mbj_digest digest;
	enum mbj_rc rc;

	rc = mbj_txn_account_check(txn, account->id, &digest, err);
	if (rc < 0)
		return rc;
	ck_assert(mbj_digest_equal(&digest, &account->digest));
	for (size_t i = 0; i < 4; i++)
		sum->lane[i] += digest.lane[i] * (2 * account->lsn.v + 1);
	return MBJ_OK;
}

enum mbj_rc site_digest_try(struct mbj_store *store,
			    struct mbj_digest *ret_digest,
			    struct mbj_error *err)
{
	struct mbj_digest sum = {{0}};
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_txn *txn = NULL;
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc == MBJ_OK)
			rc = account_sum(txn, &account, &sum, err);
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	*ret_digest = sum;
	return MBJ_OK;
}

struct mbj_digest site_digest(struct mbj_store *store)
{
	struct mbj_digest digest = {{0}};

	SITE_OK(site_digest_try(store, &digest, err));
	return digest;
}

enum mbj_rc site_parked_sum(struct mbj_txn *txn, uint64_t *ret_sum,
			    struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_parked parked;
	uint64_t sum = 0;
	enum mbj_rc rc;

	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			sum += 1 + 100 * parked.count + 10000 * parked.last.v;
	}
	mbj_scan_done(&scan);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	*ret_sum = sum;
	return MBJ_OK;
}

/* --------------------------------------------------------------- damage */

void site_bend(const struct mbj_store_options *options, const char *dir,
	       struct mbj_id lineage, unsigned mailbox)
{
	struct mbj_state *state = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_account account;
	struct mbj_mailbox found;
	struct mbj_slot from;
	struct mbj_slot to;
	struct mbj_txn *txn = NULL;

	SITE_OK(mbj_path_join(path, dir, "state", err));
	SITE_OK(mbj_state_open(options->sys, path, lineage, &options->state,
			       &state, err));
	SITE_OK(mbj_txn_begin(state, &txn, err));
	SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str("u1"), &account, err));
	SITE_OK(mbj_txn_mailbox_get(txn, account.id, site_mailbox(1, mailbox),
				    &found, err));
	from = (struct mbj_slot){found.parent, found.name};
	to.parent = found.parent;
	to.name.stored = mbj_bytes_str("elsewhere");
	to.name.key = to.name.stored;
	SITE_OK(mbj_txn_mailbox_move(txn, account.id, site_mailbox(1, mailbox),
				     found.rev, &from, &to, 0, err));
	SITE_OK(mbj_txn_commit(&txn, err));
	mbj_state_close(&state);
}
