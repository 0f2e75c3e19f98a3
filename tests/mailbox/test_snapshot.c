/*
 * Snapshots of a state: all of it comes back, into either engine, byte for
 * byte; and nothing that is damaged is taken for one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/attribute.h>
#include <mbj/hash.h>
#include <mbj/snapshot.h>

#include "content_lab.h"

enum { STEPS = 400, SMALL_STEPS = 24 };

static struct mbj_error err;

static int64_t frozen_us(void *ctx)
{
	(void)ctx;
	return 1767225600000000;
}

/* The real system, at one instant: the same state has the same bytes. */
static const struct mbj_sys *frozen_sys(void)
{
	static struct mbj_sys sys;

	sys = *mbj_sys_posix();
	sys.now_us = frozen_us;
	return &sys;
}

struct snapshot_lab {
	struct content_lab content;
	struct mbj_snapshot_info info;
	char dir[MBJ_PATH_TEXT_MAX];
	char path[MBJ_PATH_TEXT_MAX]; /* of the snapshot */
};

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

/* Of what the state has now into the lab's directory. */
static void snapshot_take(struct mbj_state *state, const char *dir,
			  struct mbj_snapshot_info *ret_info,
			  char path[MBJ_PATH_TEXT_MAX])
{
	char name[MBJ_SNAPSHOT_NAME_SIZE];
	struct mbj_txn *txn = NULL;

	test_ok(mbj_txn_begin_read(state, &txn, &err), err);
	test_ok(mbj_snapshot_write(frozen_sys(), dir, txn, ret_info, &err),
		err);
	mbj_txn_abort(&txn);
	mbj_snapshot_name_print(ret_info->watermark.lsn, name);
	test_ok(mbj_path_join(path, dir, name, &err), err);
}

static void snapshot_lab_begin(struct snapshot_lab *lab, int engine,
			       unsigned steps)
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
	snapshot_take(lab->content.state, lab->dir, &lab->info, lab->path);
}

static void snapshot_lab_end(struct snapshot_lab *lab)
{
	test_ok(mbj_txn_begin(lab->content.state, &lab->content.txn, &err),
		err);
	content_lab_end(&lab->content);
}

static uint8_t *bytes_load(const char *path, size_t *ret_n)
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

static void bytes_store(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
}

/* A state of its own beside the lab's. */
static struct mbj_state *other_open(const struct snapshot_lab *lab,
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

static struct mbj_snapshot *opened(const char *path)
{
	struct mbj_snapshot *snapshot = NULL;

	test_ok(mbj_snapshot_open(NULL, path, &snapshot, &err), err);
	return snapshot;
}

static void accounts_check(struct mbj_state *state, unsigned expected)
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

/*
 * Goal: a snapshot has all of a state.  Method: random content, a state filled
 * from its snapshot in each engine: every account passes all checks, and the
 * snapshot of that state is the same file.
 */
START_TEST(snapshot_whole)
{
	char again_dir[MBJ_PATH_TEXT_MAX];
	char again[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot_info info;
	struct mbj_snapshot *snapshot;
	struct snapshot_lab lab;
	uint8_t *first, *second;
	size_t n, m;

	snapshot_lab_begin(&lab, _i, STEPS);
	first = bytes_load(lab.path, &n);
	ck_assert_uint_eq(n, lab.info.size);
	(void)snprintf(again_dir, sizeof(again_dir), "%s/again",
		       lab.content.tmpdir);
	ck_assert_int_eq(mkdir(again_dir, 0700), 0);
	for (int engine = 0; engine < 2; engine++) {
		struct mbj_state *state =
			other_open(&lab, engine ? "filled1" : "filled0",
				   engine);

		snapshot = opened(lab.path);
		test_ok(mbj_snapshot_load(snapshot, state, false, &err), err);
		mbj_snapshot_close(&snapshot);
		accounts_check(state, 5);
		snapshot_take(state, again_dir, &info, again);
		second = bytes_load(again, &m);
		ck_assert_uint_eq(n, m);
		ck_assert_int_eq(memcmp(first, second, n), 0);
		free(second);
		mbj_state_close(&state);
	}
	ck_assert_uint_eq(info.accounts, 5);
	ck_assert_uint_gt(info.messages, 0);
	free(first);
	snapshot_lab_end(&lab);
}
END_TEST

/*
 * Goal: one account can be taken out of a snapshot, whole, and no other comes
 * along.  Method: each into a state of its own; what is not there, was deleted,
 * or is there already, is said.
 */
START_TEST(snapshot_account)
{
	struct mbj_id ids[] = {test_id(2000), test_id(2001), test_id(2004),
			       MBJ_ID_ROOT};
	struct mbj_account account;
	struct mbj_snapshot *snapshot;
	struct snapshot_lab lab;
	struct mbj_txn *txn = NULL;
	char name[16];

	snapshot_lab_begin(&lab, MBJ_STATE_BERKELEY_DB, STEPS);
	ids[3] = lab.content.account;
	snapshot = opened(lab.path);
	for (unsigned i = 0; i < 4; i++) {
		struct mbj_state *state;

		(void)snprintf(name, sizeof(name), "one%u", i);
		state = other_open(&lab, name, MBJ_STATE_MEMORY);
		test_ok(mbj_txn_begin(state, &txn, &err), err);
		test_ok(mbj_snapshot_account_load(snapshot, ids[i], txn, &err),
			err);
		test_rc(mbj_snapshot_account_load(snapshot, ids[i], txn, &err),
			MBJ_ECONFLICT);
		test_ok(mbj_txn_commit(&txn, &err), err);
		accounts_check(state, 1);
		mbj_state_close(&state);
	}
	test_ok(mbj_snapshot_account_get(snapshot, test_id(2001), &account,
					 &err),
		err);
	ck_assert(mbj_bytes_equal(account.name, mbj_bytes_str("other1")));
	ck_assert_uint_eq(account.subscription_count, 1);
	test_rc(mbj_snapshot_account_get(snapshot, test_id(2003), &account,
					 &err),
		MBJ_ENOTFOUND);
	test_rc(mbj_snapshot_account_get(snapshot, test_id(1), &account, &err),
		MBJ_ENOTFOUND);
	test_rc(mbj_snapshot_account_get(snapshot, test_id(999999), &account,
					 &err),
		MBJ_ENOTFOUND);
	mbj_snapshot_close(&snapshot);
	snapshot_lab_end(&lab);
}
END_TEST

/* It must not pass: said when it is opened, or when it is read. */
static void refused(const char *path, const char *what, size_t at)
{
	struct mbj_snapshot *snapshot = NULL;
	enum mbj_rc rc;

	err.message[0] = '\0';
	rc = mbj_snapshot_open(NULL, path, &snapshot, &err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_verify(snapshot, &err);
	mbj_snapshot_close(&snapshot);
	ck_assert_msg(rc == MBJ_ECORRUPT, "%s %zu: %s", what, at,
		      mbj_rc_name(rc));
	ck_assert_msg(strstr(err.message, path) != NULL, "%s %zu: %s", what, at,
		      err.message);
}

/*
 * Goal: no damage passes.  Method: every bit of a small snapshot flipped, every
 * length that is shorter, and some bytes behind it.
 */
START_TEST(snapshot_damage)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct snapshot_lab lab;
	uint8_t *bytes;
	size_t n;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SMALL_STEPS);
	bytes = bytes_load(lab.path, &n);
	(void)snprintf(path, sizeof(path), "%s/bent", lab.content.tmpdir);
	for (size_t bit = 0; bit < 8 * n; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bytes_store(path, bytes, n);
		refused(path, "bit", bit);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t i = 0; i < n; i++) {
		bytes_store(path, bytes, i);
		refused(path, "cut at", i);
	}
	bytes = realloc(bytes, n + 1);
	ck_assert_ptr_nonnull(bytes);
	bytes[n] = 0;
	bytes_store(path, bytes, n + 1);
	refused(path, "longer", n + 1);
	free(bytes);
	snapshot_lab_end(&lab);
}
END_TEST

/* Checksums that fit again over what was changed in a chunk's records. */
static void chunk_mend(uint8_t *head, size_t payload)
{
	uint32_t crc;

	crc = mbj_crc32c(0, mbj_bytes_make(head + 48, payload));
	memcpy(head + 20, &crc, sizeof(crc));
	crc = mbj_crc32c(0, mbj_bytes_make(head + 8, 40));
	memcpy(head + 4, &crc, sizeof(crc));
}

/*
 * Goal: what is wrong although every checksum fits is met by the digests and
 * the forms, also where one account alone is read, and a state that was being
 * filled has no watermark.  Method: bytes of every chunk's records changed one
 * by one, its checksums made to fit.
 */
START_TEST(snapshot_forged)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_watermark watermark;
	struct mbj_snapshot *snapshot;
	struct mbj_state *state;
	struct snapshot_lab lab;
	struct mbj_txn *txn = NULL;
	struct mbj_account account;
	struct mbj_id id;
	unsigned tried = 0;
	uint32_t size;
	uint8_t *bytes;
	enum mbj_rc rc;
	size_t n;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SMALL_STEPS);
	bytes = bytes_load(lab.path, &n);
	(void)snprintf(path, sizeof(path), "%s/forged", lab.content.tmpdir);
	state = other_open(&lab, "forged.state", MBJ_STATE_MEMORY);
	for (size_t at = 256; at < n - 128; at += 48 + size) {
		memcpy(&size, bytes + at + 16, sizeof(size));
		memcpy(id.b, bytes + at + 32, sizeof(id.b));
		for (size_t i = 0; i < size; i += 7, tried++) {
			bytes[at + 48 + i] ^= 1;
			chunk_mend(bytes + at, size);
			bytes_store(path, bytes, n);
			snapshot = opened(path);
			test_rc(mbj_snapshot_load(snapshot, state, false, &err),
				MBJ_ECORRUPT);
			/* What is in no digest may be judged alone as good. */
			rc = mbj_id_is_root(id)
				     ? MBJ_ECORRUPT
				     : mbj_snapshot_account_get(snapshot, id,
								&account, &err);
			ck_assert(rc == MBJ_ECORRUPT || rc == MBJ_OK ||
				  rc == MBJ_ENOTFOUND);
			mbj_snapshot_close(&snapshot);
			bytes[at + 48 + i] ^= 1;
			chunk_mend(bytes + at, size);
		}
	}
	ck_assert_uint_gt(tried, 100);
	test_ok(mbj_txn_begin_read(state, &txn, &err), err);
	test_ok(mbj_txn_watermark(txn, &watermark, &err), err);
	ck_assert_uint_eq(watermark.lsn.v, 0);
	mbj_txn_abort(&txn);
	mbj_state_close(&state);
	free(bytes);
	snapshot_lab_end(&lab);
}
END_TEST

/* Heads of other versions, with a checksum that fits. */
START_TEST(snapshot_versions)
{
	const struct {
		size_t at;
		uint8_t value;
	} newer[] = {{8, 2}, {20, 1}, {24, 99}};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot *snapshot = NULL;
	struct snapshot_lab lab;
	uint8_t *bytes;
	uint32_t crc;
	size_t n;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SMALL_STEPS);
	bytes = bytes_load(lab.path, &n);
	(void)snprintf(path, sizeof(path), "%s/newer", lab.content.tmpdir);
	for (size_t i = 0; i < sizeof(newer) / sizeof(*newer); i++) {
		uint8_t before = bytes[newer[i].at];

		bytes[newer[i].at] = newer[i].value;
		crc = mbj_crc32c(0, mbj_bytes_make(bytes, 252));
		memcpy(bytes + 252, &crc, sizeof(crc));
		bytes_store(path, bytes, n);
		test_rc(mbj_snapshot_open(NULL, path, &snapshot, &err),
			MBJ_EUNSUPPORTED);
		bytes[newer[i].at] = before;
	}
	free(bytes);
	test_rc(mbj_snapshot_open(NULL, "/nonexistent/x", &snapshot, &err),
		MBJ_ENOTFOUND);
	snapshot_lab_end(&lab);
}
END_TEST

START_TEST(snapshot_names)
{
	static const char *const bad[] = {"",
					  "0.snap",
					  "000000000000001g.snap",
					  "0000000000000001.sna",
					  "000000000000000A.snap",
					  "0000000000000001.snapx",
					  "snapshot.tmp"};
	char name[MBJ_SNAPSHOT_NAME_SIZE];
	struct mbj_lsn lsn;

	mbj_snapshot_name_print((struct mbj_lsn){UINT64_MAX}, name);
	ck_assert_str_eq(name, "ffffffffffffffff.snap");
	ck_assert(mbj_snapshot_name_parse(name, &lsn));
	ck_assert_uint_eq(lsn.v, UINT64_MAX);
	mbj_snapshot_name_print((struct mbj_lsn){0x1a}, name);
	ck_assert(mbj_snapshot_name_parse(name, &lsn));
	ck_assert_uint_eq(lsn.v, 0x1a);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!mbj_snapshot_name_parse(bad[i], &lsn), "%s",
			      bad[i]);
}
END_TEST

/*
 * Goal: memory that runs out fails by name and leaves nothing behind.  Method:
 * every allocation of writing and of reading fails in turn.
 */
START_TEST(snapshot_memory)
{
	struct mbj_snapshot *snapshot = NULL;
	struct mbj_snapshot_info info;
	struct snapshot_lab lab;
	struct mbj_txn *txn = NULL;
	bool is_done = false;
	enum mbj_rc rc;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SMALL_STEPS);
	for (uint64_t k = 1; !is_done; k++) {
		test_ok(mbj_txn_begin_read(lab.content.state, &txn, &err), err);
		test_alloc_fail_at(k);
		rc = mbj_snapshot_write(frozen_sys(), lab.dir, txn, &info,
					&err);
		is_done = test_alloc_count() < k;
		test_alloc_fail_at(0);
		ck_assert_int_eq(rc, is_done ? MBJ_OK : MBJ_ENOMEM);
		mbj_txn_abort(&txn);
	}
	is_done = false;
	for (uint64_t k = 1; !is_done; k++) {
		test_alloc_fail_at(k);
		rc = mbj_snapshot_open(NULL, lab.path, &snapshot, &err);
		if (rc == MBJ_OK)
			rc = mbj_snapshot_verify(snapshot, &err);
		mbj_snapshot_close(&snapshot);
		is_done = test_alloc_count() < k;
		test_alloc_fail_at(0);
		ck_assert_int_eq(rc, is_done ? MBJ_OK : MBJ_ENOMEM);
	}
	snapshot_lab_end(&lab);
}
END_TEST

TCase *test_snapshot_case(void)
{
	TCase *tc = tcase_create("snapshot");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, snapshot_whole, 0, 2);
	tcase_add_test(tc, snapshot_account);
	tcase_add_test(tc, snapshot_damage);
	tcase_add_test(tc, snapshot_forged);
	tcase_add_test(tc, snapshot_versions);
	tcase_add_test(tc, snapshot_names);
	tcase_add_test(tc, snapshot_memory);
	return tc;
}
