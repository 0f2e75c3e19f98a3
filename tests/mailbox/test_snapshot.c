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

#include <mbj/hash.h>

#include "snapshot_lab.h"
#include "state_priv.h"

enum { SMALL_STEPS = 24 };

static struct mbj_error err;

static void bytes_store(const char *path, const uint8_t *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
	close(fd);
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

	snapshot_lab_begin(&lab, _i, SNAPSHOT_LAB_STEPS);
	first = snapshot_lab_load(lab.path, &n);
	ck_assert_uint_eq(n, lab.info.size);
	(void)snprintf(again_dir, sizeof(again_dir), "%s/again",
		       lab.content.tmpdir);
	ck_assert_int_eq(mkdir(again_dir, 0700), 0);
	for (int engine = 0; engine < 2; engine++) {
		struct mbj_state *state =
			snapshot_lab_open(&lab, engine ? "filled1" : "filled0",
					  engine);

		snapshot = snapshot_lab_opened(lab.path);
		test_ok(mbj_snapshot_load(snapshot, state, false, &err), err);
		mbj_snapshot_close(&snapshot);
		snapshot_lab_check(state, 5);
		snapshot_lab_take(state, again_dir, &info, again);
		second = snapshot_lab_load(again, &m);
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
	bytes = snapshot_lab_load(lab.path, &n);
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
	bytes = snapshot_lab_load(lab.path, &n);
	(void)snprintf(path, sizeof(path), "%s/forged", lab.content.tmpdir);
	state = snapshot_lab_open(&lab, "forged.state", MBJ_STATE_MEMORY);
	for (size_t at = 256; at < n - 128; at += 48 + size) {
		memcpy(&size, bytes + at + 16, sizeof(size));
		memcpy(id.b, bytes + at + 32, sizeof(id.b));
		for (size_t i = 0; i < size; i += 7, tried++) {
			bytes[at + 48 + i] ^= 1;
			chunk_mend(bytes + at, size);
			bytes_store(path, bytes, n);
			snapshot = snapshot_lab_opened(path);
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
	} newer[] = {{8, 2}, {20, 2}, {24, 99}};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_snapshot *snapshot = NULL;
	struct snapshot_lab lab;
	uint8_t *bytes;
	uint32_t crc;
	size_t n;

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SMALL_STEPS);
	bytes = snapshot_lab_load(lab.path, &n);
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
		rc = mbj_snapshot_write(snapshot_lab_sys(), lab.dir, txn, NULL,
					&info, &err);
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

/*
 * Goal: how many messages have a content is judged by the messages: on it
 * depends what is collected, and what a new replica fetches.  Method: one count
 * more, one less, and a content that none has.
 */
START_TEST(snapshot_counts)
{
	struct mbj_hash blob = {{0xfe}};
	uint64_t count = 0, size = 1;
	struct mbj_snapshot_info info;
	struct mbj_scan scan = {0};
	struct snapshot_lab lab;
	struct mbj_txn *txn;
	char dir[MBJ_PATH_TEXT_MAX];

	snapshot_lab_begin(&lab, MBJ_STATE_MEMORY, SNAPSHOT_LAB_STEPS);
	(void)snprintf(dir, sizeof(dir), "%s/bent", lab.content.tmpdir);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	test_ok(mbj_txn_begin(lab.content.state, &txn, &err), err);
	test_ok(mbj_scan_blobs(txn, false, &scan, &err), err);
	while (_i < 2 && count == 0)
		test_ok(mbj_scan_next_blob(&scan, &blob, &count, &size, &err),
			err);
	mbj_scan_done(&scan);
	if (_i == 1)
		test_ok(blob_leave(txn, &blob, (struct mbj_lsn){1}, &err), err);
	else
		test_ok(blob_take(txn, &blob, size, &err), err);
	test_ok(mbj_txn_commit(&txn, &err), err);
	test_ok(mbj_txn_begin_read(lab.content.state, &txn, &err), err);
	ck_assert_int_eq(mbj_snapshot_write(mbj_sys_posix(), dir, txn, NULL,
					    &info, &err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "counts of contents"));
	mbj_txn_abort(&txn);
	snapshot_lab_end(&lab);
}
END_TEST

TCase *test_snapshot_case(void)
{
	TCase *tc = tcase_create("snapshot");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, snapshot_whole, 0, 2);
	tcase_add_test(tc, snapshot_damage);
	tcase_add_test(tc, snapshot_forged);
	tcase_add_test(tc, snapshot_versions);
	tcase_add_test(tc, snapshot_names);
	tcase_add_loop_test(tc, snapshot_counts, 0, 3);
	tcase_add_test(tc, snapshot_memory);
	return tc;
}
