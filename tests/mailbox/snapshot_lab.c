/*
 * What the tests of snapshots share; see snapshot_lab.h.
 */
#include "snapshot_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <mbj/attribute.h>

static struct mbj_error err;

static int64_t frozen_us(void *ctx)
{
	(void)ctx;
	return 1767225600000000;
}

const struct mbj_sys *snapshot_lab_sys(void)
{
	static struct mbj_sys sys;

	sys = *mbj_sys_posix();
	sys.now_us = frozen_us;
	return &sys;
}

/* Accounts that are there, were deleted, are parked; attributes, names. */
static void strangers_add(struct mbj_txn *txn)
{
	struct mbj_account account = {
		.policy = MBJ_NAME_POLICY_DEFAULT,
	};
	struct mbj_mailbox mailbox = {
		.parent = MBJ_ID_ROOT,
		.uidvalidity = 7,
		.is_selectable = true,
		.name = {mbj_bytes_str("Ünter"), mbj_bytes_str("ünter")},
	};
	const struct mbj_parked parked = {
		.account = test_id(777),
		.first.v = 3,
		.last.v = 4,
		.count = 2,
		.reason = mbj_bytes_str("no such account"),
	};
	struct mbj_path path = {mbj_bytes_str("Some\0where"),
				mbj_bytes_str("Some\0where")};
	char name[16];

	for (uint32_t i = 0; i < 5; i++) {
		account.id = test_id(2000 + i);
		(void)snprintf(name, sizeof(name), "other%u", i);
		account.name = mbj_bytes_str(name);
		test_ok(mbj_txn_account_create(txn, &account, &err), err);
		mailbox.id = test_id(3000 + i);
		test_ok(mbj_txn_mailbox_create(txn, account.id, &mailbox, &err),
			err);
	}
	path.stored.n = path.key.n = sizeof("Some\0where") - 1;
	test_ok(mbj_txn_subscribe(txn, test_id(2001), &path, &err), err);
	test_ok(mbj_txn_mailbox_set_attr(txn, test_id(2001), test_id(3001), 1,
					 MBJ_ATTR_ACL, mbj_bytes_str("bob"),
					 mbj_bytes_str("lrs"), &err),
		err);
	test_ok(mbj_txn_account_set_quota(txn, test_id(2002), 5, 6, &err), err);
	test_ok(mbj_txn_account_set_attr(txn, test_id(2002),
					 mbj_bytes_str("/shared/admin"),
					 mbj_bytes_str("mailto:a@b"), &err),
		err);
	test_ok(mbj_txn_account_delete(txn, test_id(2003), (struct mbj_lsn){9},
				       &err),
		err);
	test_ok(mbj_txn_parked_set(txn, &parked, &err), err);
}

static void watermark_set(struct mbj_txn *txn, uint64_t lsn)
{
	const struct mbj_watermark watermark = {{lsn},
						{3},
						{{0xc0, 0xff, 0xee}}};

	test_ok(mbj_txn_watermark_set(txn, &watermark, &err), err);
}

void snapshot_lab_take(struct mbj_state *state, const char *dir,
		       struct mbj_snapshot_info *ret_info,
		       char path[MBJ_PATH_TEXT_MAX])
{
	char name[MBJ_SNAPSHOT_NAME_SIZE];
	struct mbj_txn *txn = NULL;

	test_ok(mbj_txn_begin_read(state, &txn, &err), err);
	test_ok(mbj_snapshot_write(snapshot_lab_sys(), dir, txn, NULL, ret_info,
				   &err),
		err);
	mbj_txn_abort(&txn);
	mbj_snapshot_name_print(ret_info->watermark.lsn, name);
	test_ok(mbj_path_join(path, dir, name, &err), err);
}

void snapshot_lab_begin(struct snapshot_lab *lab, int engine, unsigned steps)
{
	struct mbj_buf uids;

	content_lab_begin(&lab->content, engine);
	mbj_buf_init(&uids, 1 << 12);
	for (unsigned i = 0; i < steps; i++)
		content_step(&lab->content, &uids);
	mbj_buf_done(&uids);
	/* The last steps may have left none. */
	content_append(&lab->content, &lab->content.model->boxes[0]);
	strangers_add(lab->content.txn);
	watermark_set(lab->content.txn, 41);
	test_ok(mbj_txn_commit(&lab->content.txn, &err), err);
	(void)snprintf(lab->dir, sizeof(lab->dir), "%s/snapshots",
		       lab->content.tmpdir);
	ck_assert_int_eq(mkdir(lab->dir, 0700), 0);
	snapshot_lab_take(lab->content.state, lab->dir, &lab->info, lab->path);
}

void snapshot_lab_end(struct snapshot_lab *lab)
{
	test_ok(mbj_txn_begin(lab->content.state, &lab->content.txn, &err),
		err);
	content_lab_end(&lab->content);
}

uint8_t *snapshot_lab_load(const char *path, size_t *ret_n)
{
	struct mbj_buf buf;
	uint8_t *bytes;

	mbj_buf_init(&buf, 64 << 20);
	test_ok(mbj_file_load(mbj_sys_posix(), path, 64 << 20, &buf, &err),
		err);
	bytes = malloc(buf.n);
	ck_assert_ptr_nonnull(bytes);
	memcpy(bytes, buf.p, buf.n);
	*ret_n = buf.n;
	mbj_buf_done(&buf);
	return bytes;
}

struct mbj_state *snapshot_lab_open(const struct snapshot_lab *lab,
				    const char *name, int engine)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_state *state = NULL;
	char home[MBJ_PATH_TEXT_MAX];

	(void)snprintf(home, sizeof(home), "%s/%s", lab->content.tmpdir, name);
	options.cache_size = 4 << 20;
	options.engine = (enum mbj_state_engine)engine;
	test_ok(mbj_state_open(mbj_sys_posix(), home, test_id(999), &options,
			       &state, &err),
		err);
	return state;
}

struct mbj_snapshot *snapshot_lab_opened(const char *path)
{
	struct mbj_snapshot *snapshot = NULL;

	test_ok(mbj_snapshot_open(NULL, path, &snapshot, &err), err);
	return snapshot;
}

void snapshot_lab_check(struct mbj_state *state, unsigned expected)
{
	struct mbj_account account;
	struct mbj_digest digest;
	struct mbj_scan scan = {0};
	struct mbj_txn *txn = NULL;
	unsigned count = 0;
	enum mbj_rc rc;

	test_ok(mbj_txn_begin_read(state, &txn, &err), err);
	test_ok(mbj_scan_accounts(txn, &scan, &err), err);
	while ((rc = mbj_scan_next_account(&scan, &account, &err)) == MBJ_OK) {
		test_ok(mbj_txn_account_check(txn, account.id, &digest, &err),
			err);
		test_ok(mbj_txn_account_find(txn, account.name, &account, &err),
			err);
		count++;
	}
	ck_assert_int_eq(rc, MBJ_ENOTFOUND);
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	ck_assert_uint_eq(count, expected);
}
