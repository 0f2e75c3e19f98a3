/*
 * One blob in both forms: what a crash leaves, what is damaged, and what two
 * store at once.
 */
#define _DEFAULT_SOURCE /* truncate(2), usleep(3) */

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum { LEVEL = 3 };

static struct mbj_blobs *blobs;
static struct mbj_error err;
static struct content content;

static void reopen(const struct mbj_sys *sys, unsigned level)
{
	mbj_blobs_close(&blobs);
	test_ok(mbj_blobs_open(sys, blob_dir, true, &blobs, &err), err);
	mbj_blobs_pack(blobs, level);
}

static void setup(void)
{
	blob_lab_setup();
	reopen(mbj_sys_posix(), LEVEL);
	content_make_text(&content, 2);
}

static void teardown(void)
{
	mbj_blobs_close(&blobs);
	blob_lab_teardown();
}

static void content_put(void)
{
	struct mbj_hash digest;

	test_ok(mbj_blob_put(blobs, content_bytes(&content), &digest, &err),
		err);
	ck_assert(digest_equal(&digest, &content.digest));
}

static bool content_is_there(void)
{
	bool is_there = false;

	test_ok(mbj_blob_has(blobs, &content.digest, content.n, &is_there,
			     &err),
		err);
	return is_there;
}

static void form_path(enum blob_form form, char path[MBJ_PATH_TEXT_MAX])
{
	if (form == BLOB_PACKED)
		blob_packed_file(path, blob_dir, &content.digest);
	else
		blob_file(path, blob_dir, &content.digest);
}

/* Bytes of the file in that form; -1: there is none. */
static int64_t form_size(enum blob_form form)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct stat st;

	form_path(form, path);
	return stat(path, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* What may be the matter with one of two files. */
enum flaw {
	FLAW_NONE,
	FLAW_GONE,
	FLAW_SHORT, /* cut off, a packed one behind its head */
	FLAW_HEAD,  /* a packed one without its head */
	FLAW_SIZE,  /* a packed one that says that it has another size */
};

static void flaw_make(enum blob_form form, enum flaw flaw)
{
	static uint8_t bytes[CONTENT_MAX];
	char path[MBJ_PATH_TEXT_MAX];
	size_t n;

	form_path(form, path);
	switch (flaw) {
	case FLAW_NONE:
		break;
	case FLAW_GONE:
		ck_assert_int_eq(unlink(path), 0);
		break;
	case FLAW_SHORT:
		ck_assert_int_eq(truncate(path, 100), 0);
		break;
	case FLAW_HEAD:
		ck_assert_int_eq(truncate(path, BLOB_HEAD_SIZE - 1), 0);
		break;
	case FLAW_SIZE:
		n = lab_file_read(path, bytes, sizeof(bytes));
		blob_head_put(content.n + 1, n, bytes);
		file_make(path, mbj_bytes_make(bytes, n));
		break;
	}
}

/* Both files, as a crash may leave them. */
static void both_make(enum flaw plain, enum flaw packed)
{
	char path[MBJ_PATH_TEXT_MAX];

	content_put();
	form_path(BLOB_PLAIN, path);
	file_make(path, content_bytes(&content));
	ck_assert_int_gt(form_size(BLOB_PACKED), 0);
	flaw_make(BLOB_PLAIN, plain);
	flaw_make(BLOB_PACKED, packed);
}

/* A file outside, which comes as a link: as it is. */
static enum mbj_rc content_import(struct mbj_error *ret_err)
{
	char *path = test_path_dup(blob_tmp, "mail");
	struct mbj_hash digest;
	uint64_t size = 0;
	enum mbj_rc rc;

	file_make(path, content_bytes(&content));
	rc = mbj_blob_import(blobs, path, &digest, &size, ret_err);
	free(path);
	return rc;
}

/*
 * Goal: two forms of one blob count as one, whichever is damaged: read, found,
 * scanned, sized, and removed or collected at once.
 */
START_TEST(forms_are_one)
{
	struct mbj_blobs *beside = NULL;
	uint64_t stored = 0;
	bool is_recent = true;

	static const enum flaw packed[] = {FLAW_NONE, FLAW_HEAD, FLAW_NONE,
					   FLAW_SHORT};

	both_make(_i == 2 ? FLAW_SHORT : FLAW_NONE, packed[_i]);
	blob_read_check(blobs, &content.digest, content.p, content.n, 1000);
	ck_assert(content_is_there());
	ck_assert_uint_eq(blobs_count(blobs), 1);
	test_ok(mbj_blobs_open(mbj_sys_posix(), blob_dir, false, &beside, &err),
		err);
	ck_assert_uint_eq(blobs_count(beside), 1);
	test_ok(mbj_blob_verify(beside, &content.digest, content.n, &err), err);
	mbj_blobs_close(&beside);
	test_ok(mbj_blob_stored_size(blobs, &content.digest, &stored, &err),
		err);
	ck_assert_int_eq((int64_t)stored,
			 form_size(BLOB_PLAIN) + form_size(BLOB_PACKED));
	if (_i == 0)
		test_ok(mbj_blob_remove(blobs, &content.digest, &err), err);
	else
		test_ok(mbj_blob_collect(blobs, &content.digest, false,
					 &is_recent, &err),
			err);
	ck_assert_uint_eq(blobs_count(blobs), 0);
	ck_assert_int_eq(form_size(BLOB_PLAIN), -1);
	ck_assert_int_eq(form_size(BLOB_PACKED), -1);
}
END_TEST

/* Scan to the blob; are both its files there? */
static bool is_twin(void)
{
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_hash digest;
	bool is_there = false, is_both;

	test_ok(mbj_blobs_scan_begin(blobs, &scan, &err), err);
	test_ok(mbj_blobs_scan_next(scan, &digest, &is_there, &err), err);
	ck_assert(is_there && digest_equal(&digest, &content.digest));
	is_both = mbj_blobs_scan_is_twin(scan);
	mbj_blobs_scan_end(&scan);
	return is_both;
}

/*
 * Goal: what comes behind a blob's file is no second one of it.  Method: the
 * file of another blob, and what is nobody's.
 */
START_TEST(forms_no_twin)
{
	char path[MBJ_PATH_TEXT_MAX];
	char *name;

	content_put();
	form_path(BLOB_PLAIN, path);
	name = strrchr(path, '/') + 1;
	memset(name, 'f', strlen(name));
	if (_i == 1)
		memcpy(name, "zz", 3);
	file_make(path, content_bytes(&content));
	ck_assert(!is_twin());
}
END_TEST

/*
 * Goal: of two files the one that is not needed is told, none where neither is
 * whole, and nothing where that cannot be known.  Method: each damaged or not;
 * each allocation fails.
 */
START_TEST(forms_spare)
{
	static const struct {
		enum flaw plain, packed;
		bool is_spare, is_packed;
	} cases[] = {
		{FLAW_NONE, FLAW_NONE, true, false},
		{FLAW_SHORT, FLAW_NONE, true, false},
		{FLAW_NONE, FLAW_SHORT, true, true},
		{FLAW_NONE, FLAW_SIZE, true, true},
		{FLAW_SHORT, FLAW_SIZE, false, true},
		{FLAW_NONE, FLAW_GONE, true, true},
	};
	bool is_spare = false, is_packed = false;
	enum mbj_rc rc = MBJ_ENOMEM;

	both_make(cases[_i].plain, cases[_i].packed);
	ck_assert(is_twin() == (cases[_i].packed != FLAW_GONE));
	for (uint64_t at = 1; rc < 0; at++) {
		int64_t blocks = test_alloc_blocks();

		ck_assert_int_eq(rc, MBJ_ENOMEM);
		test_alloc_fail_at(at);
		rc = mbj_blob_spare(blobs, &content.digest, &is_spare,
				    &is_packed, &err);
		test_alloc_fail_at(0);
		ck_assert_int_eq(test_alloc_blocks(), blocks);
	}
	ck_assert(is_spare == cases[_i].is_spare);
	ck_assert(is_packed == cases[_i].is_packed);
}
END_TEST

/*
 * Goal: what is stored over one that cannot be it is what is read, and leaves
 * one form.  Method: each that can be damaged, with the other or without;
 * stored in either form, in bulk, and as the first of a life.
 */
START_TEST(forms_mend)
{
	static const struct {
		enum flaw plain, packed;
		bool is_link; /* stored plain, else packed */
	} cases[] = {
		{FLAW_SHORT, FLAW_GONE, false}, {FLAW_GONE, FLAW_HEAD, false},
		{FLAW_SHORT, FLAW_HEAD, false}, {FLAW_NONE, FLAW_SIZE, false},
		{FLAW_GONE, FLAW_HEAD, true},	{FLAW_GONE, FLAW_SIZE, true},
		{FLAW_NONE, FLAW_SIZE, true},	{FLAW_GONE, FLAW_SHORT, false},
		{FLAW_GONE, FLAW_SHORT, true},	{FLAW_SHORT, FLAW_SHORT, false},
	};
	bool is_bulk = _i % 3 == 1, is_first = _i % 3 == 2;
	unsigned at = (unsigned)_i / 3;
	bool is_good_beside =
		cases[at].plain == FLAW_NONE && !cases[at].is_link;

	both_make(cases[at].plain, cases[at].packed);
	if (is_first)
		reopen(mbj_sys_posix(), LEVEL);
	test_ok(mbj_blobs_bulk(blobs, is_bulk, &err), err);
	ck_assert(!content_is_there());
	if (cases[at].is_link)
		test_ok(content_import(&err), err);
	else
		content_put();
	test_ok(mbj_blobs_bulk(blobs, false, &err), err);
	/* What has its size stays, in either form. */
	ck_assert((form_size(BLOB_PLAIN) >= 0) ==
		  (cases[at].is_link || is_good_beside));
	ck_assert((form_size(BLOB_PACKED) >= 0) == !cases[at].is_link);
	ck_assert(content_is_there());
	blob_read_check(blobs, &content.digest, content.p, content.n, 6000);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs->pending_count, 0);
}
END_TEST

/* ---------------------------------------------------------------- at once */

/* A disk on which two names are given at the same moment. */
struct once {
	struct mbj_sys table;
	_Atomic unsigned begun;
	_Atomic unsigned over;
};

enum { ONCE_WAIT_US = 200, ONCE_WAITS = 50000 };

static void once_wait(_Atomic unsigned *count)
{
	++*count;
	for (int i = 0; i < ONCE_WAITS && *count < 2; i++)
		usleep(ONCE_WAIT_US);
}

static int once_rename(void *ctx, const char *from, const char *to)
{
	struct once *once = ctx;
	int rc;

	once_wait(&once->begun);
	rc = mbj_sys_posix()->rename(NULL, from, to);
	once_wait(&once->over);
	return rc;
}

static void *once_import(void *argument)
{
	*(enum mbj_rc *)argument = content_import(NULL);
	return NULL;
}

/*
 * Goal: of two who store one blob at once, in two forms, neither takes away
 * what the other one was told is there.  Method: both have looked, and found
 * nothing, or two damaged files; both give their names; then both look whether
 * anything is left of what was damaged.
 */
START_TEST(forms_at_once)
{
	struct once once = {.table = *mbj_sys_posix(), .begun = 2, .over = 2};
	struct content other;
	struct mbj_hash digest;
	enum mbj_rc rc = MBJ_EIO;
	unsigned number = 0;
	pthread_t thread;

	once.table.ctx = &once;
	once.table.rename = once_rename;
	reopen(&once.table, LEVEL);
	/* So that the folder is there, and names need no mutex. */
	do
		content_make(&other, ++number);
	while (other.digest.b[0] != content.digest.b[0]);
	test_ok(mbj_blob_put(blobs, content_bytes(&other), &digest, &err), err);
	if (_i == 1)
		both_make(FLAW_SHORT, FLAW_HEAD);
	once.begun = 0;
	once.over = 0;
	ck_assert_int_eq(pthread_create(&thread, NULL, once_import, &rc), 0);
	content_put();
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert_int_eq(rc, MBJ_OK);
	ck_assert_uint_eq(once.begun, 2);
	ck_assert_int_eq(form_size(BLOB_PLAIN), (int64_t)content.n);
	ck_assert_int_gt(form_size(BLOB_PACKED), BLOB_HEAD_SIZE);
	blob_read_check(blobs, &content.digest, content.p, content.n, 6000);
	test_ok(mbj_blobs_sync(blobs, &err), err);
	ck_assert_uint_eq(blobs_count(blobs), 2);
	mbj_blobs_close(&blobs);
}
END_TEST

/* A disk on which the owner mends a blob while somebody beside it looks. */
struct beside {
	struct mbj_sys table;
	unsigned opens; /* of the packed file */
	char packed[MBJ_PATH_TEXT_MAX];
};

static int beside_open(void *ctx, const char *path, int flags, mode_t mode)
{
	struct beside *b = ctx;
	int rc = mbj_sys_posix()->open(NULL, path, flags, mode);

	if (strcmp(path, b->packed) == 0 && ++b->opens == 1) {
		ck_assert_int_eq(rc, -ENOENT);
		content_put();
		ck_assert_int_eq(form_size(BLOB_PLAIN), -1);
	}
	return rc;
}

/*
 * Goal: who reads beside the owner finds a content that is there all the time.
 * Method: once he has seen that it is not packed, the owner stores it packed
 * and takes away the plain file, which is damaged.
 */
START_TEST(forms_beside)
{
	struct beside b = {.table = *mbj_sys_posix(), .opens = 0};
	struct mbj_blobs *reading = NULL;

	both_make(FLAW_SHORT, FLAW_GONE);
	form_path(BLOB_PACKED, b.packed);
	b.table.ctx = &b;
	b.table.open = beside_open;
	test_ok(mbj_blobs_open(&b.table, blob_dir, false, &reading, &err), err);
	test_ok(mbj_blob_verify(reading, &content.digest, content.n, &err),
		err);
	ck_assert_uint_eq(b.opens, 2);
	/* What is in neither is looked for once more, and not found. */
	test_ok(mbj_blob_remove(blobs, &content.digest, &err), err);
	test_rc(mbj_blob_verify(reading, &content.digest, content.n, &err),
		MBJ_ENOTFOUND);
	ck_assert_uint_eq(b.opens, 4);
	mbj_blobs_close(&reading);
}
END_TEST

/* ---------------------------------------------------------------- crashes */

static const char disk_dir[] = "/d/blobs";
static const char disk_mail[] = "/d/mail";

static void disk_file_make(struct disk *disk, const char *path,
			   struct mbj_bytes bytes)
{
	struct mbj_file file = MBJ_FILE_CLOSED;

	test_ok(mbj_file_open(disk_sys(disk), path,
			      O_WRONLY | O_CREAT | O_TRUNC, &file, &err),
		err);
	test_ok(mbj_file_write(&file, 0, bytes.p, bytes.n, &err), err);
	test_ok(mbj_file_sync(&file, &err), err);
	mbj_file_close(&file);
}

/* A life that stores the blob, as a link to a file outside or not. */
static enum mbj_rc life(struct disk *disk, bool is_link)
{
	struct mbj_blobs *folder = NULL;
	struct mbj_hash digest;
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_blobs_open(disk_sys(disk), disk_dir, true, &folder, &err);
	if (rc < 0)
		return rc;
	mbj_blobs_pack(folder, LEVEL);
	rc = is_link ? mbj_blob_import(folder, disk_mail, &digest, &size, &err)
		     : mbj_blob_put(folder, content_bytes(&content), &digest,
				    &err);
	if (rc == MBJ_OK)
		rc = mbj_blobs_sync(folder, &err);
	if (rc == MBJ_OK)
		rc = mbj_blob_verify(folder, &content.digest, content.n, &err);
	mbj_blobs_close(&folder);
	return rc;
}

/* A disk on which it is damaged in the form that it is not going to have. */
static struct disk *disk_make(bool is_link, enum flaw flaw)
{
	struct disk *disk = disk_new("/d", 1);
	char path[MBJ_PATH_TEXT_MAX];
	uint8_t head[BLOB_HEAD_SIZE];
	struct mbj_bytes bytes = mbj_bytes_make(content.p, 100);

	ck_assert_int_eq(life(disk, false), MBJ_OK);
	blob_packed_file(path, disk_dir, &content.digest);
	if (!is_link) {
		test_ok(mbj_file_remove(disk_sys(disk), path, &err), err);
		blob_file(path, disk_dir, &content.digest);
	} else {
		blob_head_put(content.n + 1, sizeof(head), head);
		bytes = mbj_bytes_make(head,
				       flaw == FLAW_SIZE ? sizeof(head) : 1);
	}
	disk_file_make(disk, path, bytes);
	*strrchr(path, '/') = '\0';
	test_ok(mbj_dir_sync(disk_sys(disk), path, &err), err);
	disk_file_make(disk, disk_mail, content_bytes(&content));
	test_ok(mbj_dir_sync(disk_sys(disk), "/d", &err), err);
	return disk;
}

struct cut {
	struct disk *after;
	unsigned unlinks; /* of what has a name */
};

/* What is left: whatever comes next stores it, and what was promised is read.
 */
static void cut_watch(void *context, struct disk *disk, enum disk_call call,
		      const char *path)
{
	struct disk_choice choice = {.count = 0};
	struct cut *cut = context;

	cut->unlinks += call == DISK_CALL_UNLINK &&
			strncmp(path, "/d/blobs/new", 12) != 0;
	for (unsigned kind = 0; kind < DISK_CUT_COUNT; kind++) {
		disk_choose(disk, kind, 1 + disk_step(disk), &choice);
		for (unsigned i = 0; i < 2; i++) {
			disk_cut(cut->after, disk, kind, &choice);
			test_ok(life(cut->after, i == 0), err);
		}
	}
	disk_choice_done(&choice);
}

/*
 * Goal: a crash at any moment between what is damaged in one form and what is
 * stored in the other leaves a folder in which the next one who stores the blob
 * reads it afterwards.  Method: power is cut after each step; the next life
 * stores it in either form.
 */
START_TEST(forms_cut)
{
	struct cut cut = {.unlinks = 0};
	struct disk *disk = disk_make(_i > 0, _i == 1 ? FLAW_SIZE : FLAW_HEAD);

	cut.after = disk_new("/d", 2);
	disk_watch(disk, cut_watch, &cut);
	ck_assert_int_eq(life(disk, _i > 0), MBJ_OK);
	ck_assert_uint_eq(cut.unlinks, 1);
	disk_free(&cut.after);
	disk_free(&disk);
}
END_TEST

/*
 * Goal: what is damaged and cannot be taken away is no success, as it may be
 * what is read.  Method: each call of the life fails; then it works.
 */
START_TEST(forms_mend_fails)
{
	bool has_failed = true;

	for (uint64_t at = 1; has_failed; at++) {
		struct disk *disk =
			disk_make(_i > 0, _i == 1 ? FLAW_SIZE : FLAW_HEAD);
		struct disk_fault fault = {.calls = DISK_CALL_ALL,
					   .at = at,
					   .errnum = EIO};
		enum mbj_rc rc;

		disk_fail(disk, &fault);
		/* It ends with a look at what was stored. */
		rc = life(disk, _i > 0);
		has_failed = disk_has_failed(disk);
		disk_fail(disk, &(struct disk_fault){.calls = 0});
		ck_assert(rc == MBJ_OK || has_failed);
		ck_assert(rc == MBJ_OK || rc == MBJ_EIO);
		ck_assert_int_eq(life(disk, _i > 0), MBJ_OK);
		disk_free(&disk);
		ck_assert_uint_lt(at, 1000);
	}
}
END_TEST

TCase *test_blob_forms_case(void)
{
	TCase *tc = tcase_create("blob_forms");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, forms_are_one, 0, 4);
	tcase_add_loop_test(tc, forms_no_twin, 0, 2);
	tcase_add_loop_test(tc, forms_spare, 0, 6);
	tcase_add_loop_test(tc, forms_mend, 0, 30);
	tcase_add_loop_test(tc, forms_at_once, 0, 2);
	tcase_add_test(tc, forms_beside);
	tcase_add_loop_test(tc, forms_cut, 0, 3);
	tcase_add_loop_test(tc, forms_mend_fails, 0, 3);
	return tc;
}
