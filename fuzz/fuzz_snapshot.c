/*
 * A snapshot of any bytes, checksums and digests right or not: it is refused,
 * by its name, by whoever judges it and by whoever loads it alike, and then
 * nothing is left that passes for a state.  Or it is good: then it makes a
 * state in which every account holds every invariant, of which all can be read,
 * and whose own snapshot has the same records; and each account alone can be
 * taken out of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <mbj/attribute.h>
#include <mbj/check.h>
#include <mbj/intent.h>
#include <mbj/message.h>
#include <mbj/tree.h>

#include "disk.h"
#include "forge.h"
#include "fuzz.h"
#include "snapshot_priv.h"

enum { LEFT_MAX = 1 << 20 };

#define OK(call) MBJ_ASSERT((call) == MBJ_OK)

static const char path[] = "d/in.snap";

/* Of a walk that has an end, and no other. */
static bool is_next(enum mbj_rc rc)
{
	MBJ_ASSERT(rc == MBJ_OK || rc == MBJ_ENOTFOUND);
	return rc == MBJ_OK;
}

static void file_put(const struct mbj_sys *sys, struct mbj_bytes bytes)
{
	struct mbj_file file;

	OK(mbj_dir_make(sys, "d", NULL));
	OK(mbj_file_open(sys, path, O_RDWR | O_CREAT, &file, NULL));
	OK(mbj_file_write(&file, 0, bytes.p, bytes.n, NULL));
	mbj_file_close(&file);
}

static bool refused(enum mbj_rc rc, const struct mbj_error *err)
{
	if (rc == MBJ_OK)
		return false;
	MBJ_ASSERT(rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED);
	MBJ_ASSERT(strstr(err->message, path) != NULL);
	if (fuzz_is_verbose())
		(void)fprintf(stderr, "refused: %s\n", err->message);
	return true;
}

static struct mbj_state *state_new(const struct mbj_sys *sys, const char *home,
				   struct mbj_id lineage)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_state *state = NULL;

	options.engine = MBJ_STATE_MEMORY;
	OK(mbj_state_open(sys, home, lineage, &options, &state, NULL));
	return state;
}

/* ------------------------------------------------------------------ a state */

static void account_read(struct mbj_txn *txn, const struct mbj_account *account)
{
	struct mbj_watermark watermark;
	struct mbj_scan scan = {0};
	struct mbj_mailbox mailbox;
	struct mbj_account found;
	struct mbj_digest digest;
	struct mbj_attr attr;
	struct mbj_path at;
	struct mbj_error err;
	bool is_dead;

	OK(mbj_txn_account_check(txn, account->id, &digest, &err));
	OK(mbj_txn_account_find(txn, account->name, &found, &err));
	MBJ_ASSERT(mbj_id_equal(found.id, account->id));
	OK(mbj_txn_watermark(txn, &watermark, &err));
	MBJ_ASSERT(account->lsn.v <= watermark.lsn.v);
	OK(mbj_txn_account_is_dead(txn, account->id, &is_dead, &err));
	MBJ_ASSERT(!is_dead);
	OK(mbj_scan_mailboxes(txn, account->id, &scan, &err));
	while (is_next(mbj_scan_next_mailbox(&scan, &mailbox, &err)))
		MBJ_ASSERT(mbj_role_name((enum mbj_role)mailbox.role) != NULL);
	mbj_scan_done(&scan);
	OK(mbj_scan_account_attrs(txn, account->id, &scan, &err));
	while (is_next(mbj_scan_next_attr(&scan, &attr, &err)))
		MBJ_ASSERT(attr.value.n > 0);
	mbj_scan_done(&scan);
	OK(mbj_scan_subscriptions(txn, account->id, mbj_bytes_make(NULL, 0),
				  &scan, &err));
	while (is_next(mbj_scan_next_subscription(&scan, &at, &err)))
		MBJ_ASSERT(mbj_path_is_safe(&at));
	mbj_scan_done(&scan);
}

static void strangers_read(struct mbj_txn *txn)
{
	struct mbj_intent intent;
	struct mbj_scan scan = {0};
	struct mbj_parked parked;
	struct mbj_skipped skipped;
	uint64_t count, size;
	struct mbj_hash blob;

	OK(mbj_scan_intents(txn, MBJ_ID_ROOT, &scan, NULL));
	while (is_next(mbj_scan_next_intent(&scan, &intent, NULL)))
		MBJ_ASSERT(intent.producer.n > 0);
	mbj_scan_done(&scan);
	OK(mbj_scan_parked(txn, &scan, NULL));
	while (is_next(mbj_scan_next_parked(&scan, &parked, NULL)))
		MBJ_ASSERT(!mbj_id_is_reserved(parked.account));
	mbj_scan_done(&scan);
	OK(mbj_scan_parked(txn, &scan, NULL));
	while (is_next(mbj_scan_next_skipped(&scan, &skipped, NULL)))
		MBJ_ASSERT(!mbj_id_is_reserved(skipped.account));
	mbj_scan_done(&scan);
	for (int is_wanted = 0; is_wanted < 2; is_wanted++) {
		OK(mbj_scan_blobs(txn, is_wanted != 0, &scan, NULL));
		while (is_next(
			mbj_scan_next_blob(&scan, &blob, &count, &size, NULL)))
			MBJ_ASSERT(is_wanted == 0 || count == 0);
		mbj_scan_done(&scan);
	}
}

/* Every account is without fault; so many of them. */
static uint64_t state_read(struct mbj_state *state)
{
	struct mbj_account account;
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	uint64_t count = 0;

	OK(mbj_txn_begin_read(state, &txn, NULL));
	OK(mbj_scan_accounts(txn, &scan, NULL));
	while (is_next(mbj_scan_next_account(&scan, &account, NULL))) {
		account_read(txn, &account);
		count++;
	}
	mbj_scan_done(&scan);
	strangers_read(txn);
	mbj_txn_abort(&txn);
	return count;
}

/* A snapshot of it, judged by whoever wrote it. */
static struct mbj_snapshot *state_write(const struct mbj_sys *sys,
					struct mbj_state *state)
{
	char name[MBJ_SNAPSHOT_NAME_SIZE];
	char again[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot *snapshot = NULL;
	struct mbj_snapshot_info info;
	struct mbj_txn *txn = NULL;

	OK(mbj_txn_begin_read(state, &txn, NULL));
	OK(mbj_snapshot_write(sys, "d", txn, NULL, &info, NULL));
	mbj_txn_abort(&txn);
	mbj_snapshot_name_print(info.watermark.lsn, name);
	OK(mbj_path_join(again, "d", name, NULL));
	OK(mbj_snapshot_open(sys, again, &snapshot, NULL));
	return snapshot;
}

static void records_compare(struct mbj_snapshot *one, struct mbj_snapshot *two)
{
	struct snapshot_record x, y;

	OK(snapshot_rewind(one, NULL));
	OK(snapshot_rewind(two, NULL));
	while (is_next(snapshot_next(one, &x, NULL))) {
		OK(snapshot_next(two, &y, NULL));
		MBJ_ASSERT(x.table == y.table);
		MBJ_ASSERT(
			mbj_id_equal(one->chunk.account, two->chunk.account));
		MBJ_ASSERT(mbj_bytes_equal(x.key, y.key));
		MBJ_ASSERT(mbj_bytes_equal(x.value, y.value));
	}
	MBJ_ASSERT(snapshot_next(two, &y, NULL) == MBJ_ENOTFOUND);
}

/* What deleted mailboxes left behind goes, and nothing else. */
static void state_reap(struct mbj_state *state)
{
	struct mbj_txn *txn = NULL;
	bool is_done = false;

	OK(mbj_txn_begin(state, &txn, NULL));
	OK(mbj_txn_reap(txn, LEFT_MAX, (struct mbj_lsn){1}, &is_done, NULL));
	MBJ_ASSERT(is_done);
	OK(mbj_txn_commit(&txn, NULL));
}

/* ------------------------------------------------------------ one by one */

/* Each of its accounts alone, again, into what has it already. */
static uint64_t accounts_take(struct mbj_snapshot *snapshot,
			      const struct mbj_sys *sys,
			      struct mbj_state *state)
{
	struct mbj_snapshot_account account;
	struct mbj_snapshot *other = NULL;
	struct mbj_txn *txn = NULL;
	struct mbj_account found;
	uint64_t count = 0;
	enum mbj_rc rc;

	OK(mbj_snapshot_open(sys, path, &other, NULL));
	OK(mbj_txn_begin(state, &txn, NULL));
	OK(mbj_snapshot_accounts_begin(snapshot, NULL));
	while (is_next(mbj_snapshot_accounts_next(snapshot, &account, NULL))) {
		rc = mbj_snapshot_account_get(other, account.id, &found, NULL);
		MBJ_ASSERT(rc == (account.is_there ? MBJ_OK : MBJ_ENOTFOUND));
		OK(mbj_snapshot_account_load(other, account.id, txn, false,
					     NULL));
		count += account.is_there;
	}
	OK(mbj_txn_commit(&txn, NULL));
	mbj_snapshot_close(&other);
	return count;
}

/* What one account becomes, taken out of a snapshot that is no good. */
static void account_try(struct mbj_snapshot *snapshot, struct mbj_state *state,
			const struct mbj_snapshot_account *account)
{
	struct mbj_txn *txn = NULL;
	struct mbj_digest digest;
	struct mbj_error err;
	enum mbj_rc rc;

	OK(mbj_txn_begin(state, &txn, NULL));
	rc = mbj_snapshot_account_load(snapshot, account->id, txn, true, &err);
	if (rc == MBJ_OK && account->is_there) {
		OK(mbj_txn_account_check(txn, account->id, &digest, NULL));
		MBJ_ASSERT(mbj_digest_equal(&digest, &account->digest));
	}
	/* A content may have two sizes in two messages. */
	MBJ_ASSERT(rc == MBJ_OK || rc == MBJ_ECONFLICT || refused(rc, &err));
	mbj_txn_abort(&txn);
}

/* Of one that is no good each account is good or refused, by its name. */
static void accounts_try(struct mbj_snapshot *snapshot,
			 const struct mbj_sys *sys, struct mbj_id lineage)
{
	struct mbj_snapshot_account account;
	struct mbj_snapshot *other = NULL;
	struct mbj_state *state = state_new(sys, "t", lineage);
	struct mbj_error err;
	enum mbj_rc rc;

	OK(mbj_snapshot_open(sys, path, &other, NULL));
	rc = mbj_snapshot_accounts_begin(snapshot, &err);
	while (rc == MBJ_OK) {
		rc = mbj_snapshot_accounts_next(snapshot, &account, &err);
		if (rc == MBJ_OK)
			account_try(other, state, &account);
	}
	MBJ_ASSERT(rc == MBJ_ENOTFOUND || refused(rc, &err));
	mbj_snapshot_close(&other);
	mbj_state_close(&state);
}

/* -------------------------------------------------------------------- runs */

static void good_check(struct mbj_snapshot *snapshot, const struct mbj_sys *sys,
		       struct mbj_state *state)
{
	const struct mbj_snapshot_info *info = mbj_snapshot_info_get(snapshot);
	struct mbj_snapshot *again;

	MBJ_ASSERT(state_read(state) == info->accounts);
	again = state_write(sys, state);
	MBJ_ASSERT(mbj_digest_equal(&mbj_snapshot_info_get(again)->digest,
				    &info->digest));
	records_compare(snapshot, again);
	mbj_snapshot_close(&again);
	MBJ_ASSERT(accounts_take(snapshot, sys, state) == info->accounts);
	MBJ_ASSERT(state_read(state) == info->accounts);
	state_reap(state);
	MBJ_ASSERT(state_read(state) == info->accounts);
	again = state_write(sys, state);
	mbj_snapshot_close(&again);
	FUZZ_CANARY(info->accounts > 1 && info->messages > 0);
}

/* Whoever judges and whoever loads say the same. */
static void snapshot_try(struct mbj_snapshot *snapshot,
			 const struct mbj_sys *sys, bool is_wanting)
{
	const struct mbj_snapshot_info *info = mbj_snapshot_info_get(snapshot);
	struct mbj_watermark watermark;
	struct mbj_txn *txn = NULL;
	struct mbj_state *state;
	struct mbj_error err;
	bool is_good;
	enum mbj_rc rc;

	is_good = !refused(mbj_snapshot_verify(snapshot, &err), &err);
	state = state_new(sys, is_wanting ? "w" : "s", info->lineage);
	rc = mbj_snapshot_load(snapshot, state, is_wanting, &err);
	MBJ_ASSERT(refused(rc, &err) == !is_good);
	OK(mbj_txn_begin_read(state, &txn, NULL));
	OK(mbj_txn_watermark(txn, &watermark, NULL));
	mbj_txn_abort(&txn);
	MBJ_ASSERT(watermark.lsn.v == (is_good ? info->watermark.lsn.v : 0));
	if (is_good && is_wanting)
		MBJ_ASSERT(state_read(state) == info->accounts);
	else if (is_good)
		good_check(snapshot, sys, state);
	else if (!is_wanting)
		accounts_try(snapshot, sys, info->lineage);
	mbj_state_close(&state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_snapshot *snapshot = NULL;
	const struct mbj_sys *sys;
	struct mbj_error err;
	struct disk *disk;

	if (size > FORGE_SIZE_MAX)
		return 0;
	disk = disk_new();
	sys = disk_sys(disk);
	file_put(sys, mbj_bytes_make(data, size));
	if (!refused(mbj_snapshot_open(sys, path, &snapshot, &err), &err)) {
		snapshot_try(snapshot, sys, false);
		snapshot_try(snapshot, sys, true);
	}
	mbj_snapshot_close(&snapshot);
	disk_free(&disk);
	return 0;
}
