/*
 * Snapshots with every checksum, digest and count right, of records that are no
 * state: they are refused before anybody keeps them, or makes a state of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mbj/attribute.h>
#include <mbj/hash.h>

#include "snapshot_lab.h"
#include "state_priv.h"

enum { SMALL_STEPS = 24 };

static struct mbj_error err;

/* ---------------------------------------------------- states that are none */

static struct mbj_account account_of(struct mbj_txn *txn, struct mbj_id id)
{
	struct mbj_account account;

	test_ok(mbj_txn_account_get(txn, id, &account, &err), err);
	return account;
}

/* What is at txn->key and in txn->value into a table and into the digest. */
static void summed_put(struct mbj_txn *txn, enum db_table table,
		       struct mbj_account *account)
{
	test_ok(txn_put_summed(txn, table, account, &err), err);
	test_ok(account_put(txn, account, &err), err);
}

static void mailbox_put(struct mbj_txn *txn, uint64_t id, struct mbj_id parent,
			const char *name, uint8_t role)
{
	struct mbj_account account = account_of(txn, test_id(2000));
	const struct mbj_mailbox mailbox = {
		.parent = parent,
		.name = {mbj_bytes_str(name), mbj_bytes_str(name)},
		.rev = 1,
		.role = role,
	};
	const struct mbj_id made = test_id(id);

	key_pair(&txn->key, account.id, made.b, sizeof(made.b));
	record_mailbox_encode(&txn->value, &mailbox);
	account.mailbox_count++;
	summed_put(txn, TABLE_MAILBOXES, &account);
	key_slot(&txn->key, account.id, parent, mailbox.name.key);
	record_begin(&txn->value);
	mbj_buf_put_id(&txn->value, made);
	test_ok(txn_put(txn, TABLE_SLOTS, &err), err);
}

static void no_parent(struct mbj_txn *txn)
{
	mailbox_put(txn, 4001, test_id(4711), "a", 0);
}

static void cycle(struct mbj_txn *txn)
{
	mailbox_put(txn, 4001, test_id(4002), "a", 0);
	mailbox_put(txn, 4002, test_id(4001), "b", 0);
}

static void one_slot(struct mbj_txn *txn)
{
	mailbox_put(txn, 4001, MBJ_ID_ROOT, "a", 0);
	mailbox_put(txn, 4002, MBJ_ID_ROOT, "a", 0);
}

static void no_role(struct mbj_txn *txn)
{
	mailbox_put(txn, 4001, MBJ_ID_ROOT, "a", 99);
}

static void content_put(struct mbj_txn *txn, struct mbj_id account_id,
			struct mbj_id id, const struct mbj_content *content)
{
	struct mbj_account account = account_of(txn, account_id);

	key_pair(&txn->key, account.id, id.b, sizeof(id.b));
	record_content_encode(&txn->value, content);
	summed_put(txn, TABLE_CONTENTS, &account);
}

static const struct mbj_content empty = {.rev = 2, .uidnext = 2, .modseq = 2};

static void no_mailbox(struct mbj_txn *txn)
{
	struct mbj_content content = empty;

	content.series.mailbox = test_id(4711);
	content_put(txn, test_id(2000), test_id(4711), &content);
}

/* One content for two mailboxes. */
static void one_series(struct mbj_txn *txn)
{
	struct mbj_content content = empty;

	mailbox_put(txn, 4001, MBJ_ID_ROOT, "a", 0);
	content.series.mailbox = test_id(3000);
	content_put(txn, test_id(2000), test_id(3000), &content);
	content_put(txn, test_id(2000), test_id(4001), &content);
}

/* What a mailbox has would be reaped. */
static void reaped(struct mbj_txn *txn)
{
	const struct orphan orphan = {test_id(2000),
				      {.mailbox = test_id(3000)},
				      test_id(3000)};
	struct mbj_content content = empty;

	content.series = orphan.series;
	content_put(txn, test_id(2000), test_id(3000), &content);
	key_orphan(&txn->key, &orphan);
	record_orphan_encode(&txn->value, &orphan);
	test_ok(txn_put(txn, TABLE_ORPHANS, &err), err);
}

/* The account of the random content, and a mailbox with a message. */
static struct mbj_id content_find(struct mbj_txn *txn, struct mbj_id *ret_box,
				  struct mbj_content *ret_content)
{
	struct mbj_account account;
	struct mbj_scan scan = {0};
	bool is_found = false;

	test_ok(mbj_scan_accounts(txn, &scan, &err), err);
	do
		test_ok(mbj_scan_next_account(&scan, &account, &err), err);
	while (account.message_count == 0);
	mbj_scan_done(&scan);
	key_account(&txn->key, account.id);
	test_ok(scan_begin(txn, TABLE_CONTENTS, txn->key.n, &scan, &err), err);
	while (!is_found) {
		test_ok(scan_next_content(&scan, ret_box, ret_content, &err),
			err);
		is_found = ret_content->message_count > 0;
	}
	mbj_scan_done(&scan);
	return account.id;
}

static void low_uidnext(struct mbj_txn *txn)
{
	struct mbj_content content;
	struct mbj_id box, account = content_find(txn, &box, &content);

	content.uidnext = 1;
	content_put(txn, account, box, &content);
}

static void low_modseq(struct mbj_txn *txn)
{
	struct mbj_content content;
	struct mbj_id box, account = content_find(txn, &box, &content);

	content.modseq = 0;
	content_put(txn, account, box, &content);
}

/* The digest is the sum over all mailboxes' messages, whoever has them. */
static void others_digest(struct mbj_txn *txn)
{
	struct mbj_content content, other = empty;
	struct mbj_id box, account = content_find(txn, &box, &content);

	content.digest.lane[0]++;
	content_put(txn, account, box, &content);
	content.digest.lane[0]--;
	test_ok(mbj_txn_mailbox_create(
			txn, account,
			&(struct mbj_mailbox){.id = test_id(4001),
					      .parent = MBJ_ID_ROOT,
					      .name = {mbj_bytes_str("z"),
						       mbj_bytes_str("z")}},
			&err),
		err);
	other.series.mailbox = test_id(4001);
	other.digest.lane[0]--;
	content_put(txn, account, test_id(4001), &other);
}

static void renamed(struct mbj_txn *txn, const char *name)
{
	struct mbj_account account = account_of(txn, test_id(2000));

	test_ok(account_sum(txn, &account, false, &account.digest, &err), err);
	account.name = mbj_bytes_str(name);
	test_ok(account_sum(txn, &account, true, &account.digest, &err), err);
	test_ok(account_put(txn, &account, &err), err);
}

static void one_name(struct mbj_txn *txn)
{
	renamed(txn, "other1");
}

static void no_name(struct mbj_txn *txn)
{
	renamed(txn, "");
}

static void dead_alive(struct mbj_txn *txn)
{
	const struct mbj_id dead = DEAD_ACCOUNT;
	const struct mbj_tombstone tombstone = {.lsn = {9}};

	key_pair(&txn->key, test_id(2000), dead.b, sizeof(dead.b));
	record_tombstone_encode(&txn->value, &tombstone);
	test_ok(txn_put(txn, TABLE_TOMBSTONES, &err), err);
}

static void attribute(struct mbj_txn *txn, uint8_t kind, const char *value)
{
	struct mbj_account account = account_of(txn, test_id(2000));

	key_attribute(&txn->key, account.id, test_id(3000), kind,
		      mbj_bytes_str("bob"));
	record_begin(&txn->value);
	mbj_buf_put_bytes(&txn->value, mbj_bytes_str(value));
	summed_put(txn, TABLE_ATTRIBUTES, &account);
}

static void no_kind(struct mbj_txn *txn)
{
	attribute(txn, 9, "lrs");
}

static void no_value(struct mbj_txn *txn)
{
	attribute(txn, MBJ_ATTR_ACL, "");
}

/* One component as it is shown, two as it is compared. */
static void no_path(struct mbj_txn *txn)
{
	struct mbj_account account = account_of(txn, test_id(2000));

	key_pair(&txn->key, account.id, "a\0b", 3);
	record_begin(&txn->value);
	mbj_buf_put_bytes(&txn->value, mbj_bytes_str("a"));
	account.subscription_count++;
	summed_put(txn, TABLE_SUBSCRIPTIONS, &account);
}

static void wanted_count(struct mbj_txn *txn)
{
	const struct blob_count count = {.count = 1, .size = 2};
	const struct mbj_hash blob = content_blob(0);

	mbj_buf_clear(&txn->key);
	mbj_buf_put(&txn->key, blob.b, sizeof(blob.b));
	record_blob_encode(&txn->value, &count);
	test_ok(txn_put(txn, TABLE_WANTED, &err), err);
}

/* Groups that it has not seen would count as applied. */
static void ahead(struct mbj_txn *txn)
{
	const struct mbj_lsn late = {42};

	test_ok(mbj_txn_account_set_lsn(txn, test_id(2000), late, &err), err);
}

static void dead_ahead(struct mbj_txn *txn)
{
	const struct mbj_id dead = DEAD_ACCOUNT;
	const struct mbj_tombstone tombstone = {.lsn = {42}};

	key_pair(&txn->key, test_id(2003), dead.b, sizeof(dead.b));
	record_tombstone_encode(&txn->value, &tombstone);
	test_ok(txn_put(txn, TABLE_TOMBSTONES, &err), err);
}

static void skipped_ahead(struct mbj_txn *txn)
{
	const struct record_aside aside = {.is_skipped = true,
					   .skipped = {.first = {3},
						       .last = {42}}};

	key_account(&txn->key, test_id(2000));
	record_aside_encode(&txn->value, &aside);
	test_ok(txn_put(txn, TABLE_PARKED, &err), err);
}

/* is_checked: what a state is asked says so, too. */
static const struct bent {
	void (*bend)(struct mbj_txn *txn);
	const char *why;
	bool is_checked;
} bents[] = {
	{no_parent, "is not there at byte", true},
	{cycle, "lies below itself", true},
	{one_slot, "would share its place", true},
	{no_role, "damaged record", false},
	{no_mailbox, "which there is not", true},
	{one_series, "have the same messages", true},
	{reaped, "wait to be reaped", true},
	{low_uidnext, "UIDNEXT or HIGHESTMODSEQ", true},
	{low_modseq, "UIDNEXT or HIGHESTMODSEQ", true},
	{others_digest, "do not sum to its digest", true},
	{one_name, "the same name", false},
	{no_name, "damaged record", false},
	{dead_alive, "was deleted", false},
	{no_kind, "damaged record", false},
	{no_value, "damaged record", false},
	{no_path, "damaged record", false},
	{wanted_count, "damaged record", false},
	{ahead, "ahead of the snapshot", false},
	{dead_ahead, "ahead of the snapshot", false},
	{skipped_ahead, "ahead of the snapshot", false},
};

enum { BENTS = sizeof(bents) / sizeof(*bents) };

static bool is_refused(struct mbj_txn *txn)
{
	struct mbj_account account;
	struct mbj_digest digest;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	test_ok(mbj_scan_accounts(txn, &scan, &err), err);
	do {
		rc = mbj_scan_next_account(&scan, &account, &err);
		if (rc == MBJ_OK)
			rc = mbj_txn_account_check(txn, account.id, &digest,
						   &err);
	} while (rc == MBJ_OK);
	mbj_scan_done(&scan);
	return rc == MBJ_ECORRUPT;
}

/*
 * Goal: a state whose records contradict each other, with digests and counts
 * that fit, is not kept as a snapshot: a trim would rely on it, and a replica
 * begin with it.  Method: such a state, and the snapshot of it.
 */
START_TEST(snapshot_contradiction)
{
	struct mbj_snapshot_info info;
	struct snapshot_lab lab;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SMALL_STEPS);
	ck_assert_int_eq(unlink(lab.path), 0);
	test_ok(mbj_txn_begin(lab.content.state, &txn, &err), err);
	bents[_i].bend(txn);
	test_ok(mbj_txn_commit(&txn, &err), err);
	test_ok(mbj_txn_begin_read(lab.content.state, &txn, &err), err);
	ck_assert_int_eq(is_refused(txn), bents[_i].is_checked);
	rc = mbj_snapshot_write(snapshot_lab_sys(), lab.dir, txn, NULL, &info,
				&err);
	mbj_txn_abort(&txn);
	ck_assert_msg(rc == MBJ_ECORRUPT, "%d: %s", _i, mbj_rc_name(rc));
	ck_assert_msg(strstr(err.message, bents[_i].why) != NULL, "%d: %s", _i,
		      err.message);
	ck_assert_int_ne(access(lab.path, F_OK), 0);
	snapshot_lab_end(&lab);
}
END_TEST

/* ----------------------------------------------------- bytes that are none */

static uint32_t u32_at(const uint8_t *p)
{
	return mbj_load_u32(p);
}

static void crc_put(uint8_t *at, const uint8_t *p, size_t n)
{
	mbj_store_u32(at, mbj_crc32c(0, mbj_bytes_make(p, n)));
}

/* Every checksum anew. */
static void file_mend(uint8_t *bytes, size_t n)
{
	struct mbj_bytes all = mbj_bytes_make(bytes, n - 128);
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash hash;
	uint8_t *end = bytes + n - 128;

	for (uint8_t *at = bytes + 256; at < end; at += 48 + u32_at(at + 16)) {
		crc_put(at + 20, at + 48, u32_at(at + 16));
		crc_put(at + 4, at + 8, 40);
	}
	test_ok(mbj_sha256_new(&sha, &err), err);
	test_ok(mbj_sha256_digest(sha, &all, 1, &hash, &err), err);
	mbj_sha256_free(&sha);
	memcpy(end + 88, hash.b, sizeof(hash.b));
	crc_put(end + 124, end, 124);
}

/* The account's first two messages that are as long change places. */
static unsigned messages_swap(uint8_t *at, uint8_t *end)
{
	uint8_t swapped[512];
	uint8_t *before = NULL;
	size_t size = 0;

	for (; at < end; at += size) {
		size = 9 + (size_t)u32_at(at + 1) + u32_at(at + 5);
		if (*at == TABLE_MESSAGES && before != NULL &&
		    before + size == at && *before == TABLE_MESSAGES &&
		    size <= sizeof(swapped) && memcmp(before, at, 9) == 0) {
			memcpy(swapped, before, size);
			memcpy(before, at, size);
			memcpy(at, swapped, size);
			return 1;
		}
		before = at;
	}
	return 0;
}

/* The last account's id is the one that nobody has. */
static unsigned account_reserve(uint8_t *bytes, const uint8_t *end)
{
	uint8_t *last = bytes + 256;

	for (uint8_t *at = last; at < end; at += 48 + u32_at(at + 16))
		last = at;
	memset(last + 32, 0xff, MBJ_ID_SIZE);
	return 1;
}

/*
 * Goal: records that are out of order, which a state would have in order, or
 * twice, which it would have once, are damage, and so is an account of a
 * reserved id.  Method: the bytes of a good one, with its checksums made to
 * fit; no digest says in which order its elements came.
 */
START_TEST(snapshot_order)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot *snapshot;
	struct mbj_state *state;
	struct snapshot_lab lab;
	unsigned done = 0;
	uint8_t *bytes;
	size_t n;
	int fd;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SNAPSHOT_LAB_STEPS);
	bytes = snapshot_lab_load(lab.path, &n);
	for (uint8_t *at = bytes + 256; _i == 0 && at < bytes + n - 128;
	     at += 48 + u32_at(at + 16))
		done += messages_swap(at + 48, at + 48 + u32_at(at + 16));
	if (_i == 1)
		done = account_reserve(bytes, bytes + n - 128);
	ck_assert_uint_gt(done, 0);
	file_mend(bytes, n);
	(void)snprintf(path, sizeof(path), "%s/forged", lab.content.tmpdir);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
	state = snapshot_lab_open(&lab, "forged.state", MBJ_STATE_MEMORY);
	snapshot = snapshot_lab_opened(path);
	test_rc(mbj_snapshot_verify(snapshot, &err), MBJ_ECORRUPT);
	ck_assert_msg(strstr(err.message,
			     _i == 0 ? "out of order" : "a reserved account"),
		      "%s", err.message);
	ck_assert_ptr_nonnull(strstr(err.message, path));
	test_rc(mbj_snapshot_load(snapshot, state, false, &err), MBJ_ECORRUPT);
	mbj_snapshot_close(&snapshot);
	mbj_state_close(&state);
	free(bytes);
	snapshot_lab_end(&lab);
}
END_TEST

TCase *test_snapshot_forged_case(void)
{
	TCase *tc = tcase_create("snapshot_forged");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, snapshot_contradiction, 0, BENTS);
	tcase_add_loop_test(tc, snapshot_order, 0, 2);
	return tc;
}
