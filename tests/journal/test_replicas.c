/*
 * The register of replicas: what was written comes back, what is damaged is
 * named, what is forgotten is gone, and a trim is held.  How it is written is
 * in tests/cli/test_watch.py.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/replicas.h>
#include <mbj/sys.h>
#include <mbj/trim.h>

#include "journal_cases.h"
#include "store_lab.h"

enum { RENAMES = 100, SEGMENT = 8192 };

static struct mbj_error error;

struct lab {
	char *dir;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_replica_note note;
};

static void lab_begin(struct lab *lab)
{
	*lab = (struct lab){
		.dir = test_tmpdir_new(),
		.note = {.instance = {{7, 8, 9}},
			 .name = "replica-2",
			 .received = {30},
			 .applied = {20},
			 .parked = {10},
			 .heard_us = 1234567,
			 .boot = mbj_boot_id(),
			 .heard_ms = 4,
			 .current_ms = mbj_monotonic_ms(),
			 .was_current = true,
			 .is_connected = true,
			 .session = {{5}}},
	};
	(void)snprintf(lab->path, sizeof(lab->path), "%s/replicas/", lab->dir);
	mbj_id_print(lab->note.instance, lab->path + strlen(lab->path));
	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab->dir, &lab->note,
				      MBJ_NOTE_FIRST, err));
}

static void lab_end(struct lab *lab)
{
	test_tmpdir_free(&lab->dir);
}

static enum mbj_rc load(struct lab *lab, struct mbj_replica_note **ret_notes,
			size_t *ret_count, struct mbj_error *err)
{
	return mbj_replica_notes_load(NULL, lab->dir, ret_notes, ret_count,
				      NULL, err);
}

/* Goal: every member comes back, those of several replicas by instance. */
START_TEST(register_round_trip)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 0;
	struct lab lab;

	lab_begin(&lab);
	lab.note.instance = (struct mbj_id){{3}};
	memset(lab.note.name, 'n', MBJ_REPLICA_NAME_MAX);
	lab.note.was_current = false;
	lab.note.is_connected = false;
	for (int i = 0; i < 2; i++)
		SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab.dir,
					      &lab.note, MBJ_NOTE_FIRST, err));
	SITE_OK(load(&lab, &notes, &count, err));
	ck_assert_uint_eq(count, 2);
	ck_assert(mbj_id_equal(notes[0].instance, lab.note.instance));
	ck_assert_str_eq(notes[0].name, lab.note.name);
	ck_assert(!notes[0].was_current && !notes[0].is_connected);
	ck_assert_str_eq(notes[1].name, "replica-2");
	ck_assert_uint_eq(notes[1].received.v, 30);
	ck_assert_uint_eq(notes[1].applied.v, 20);
	ck_assert_uint_eq(notes[1].parked.v, 10);
	ck_assert_int_eq(notes[1].heard_us, 1234567);
	ck_assert_int_eq(notes[1].heard_ms, 4);
	ck_assert(notes[1].was_current && notes[1].is_connected);
	ck_assert(mbj_id_equal(notes[1].boot, mbj_boot_id()));
	mbj_free(notes);
	lab_end(&lab);
}
END_TEST

/* Goal: lag is of one boot, and only where it was ever current. */
START_TEST(register_lag)
{
	uint64_t lag = UINT64_MAX;
	struct lab lab;

	lab_begin(&lab);
	ck_assert(!mbj_id_is_root(mbj_boot_id()));
	ck_assert(mbj_replica_lag(&lab.note, mbj_boot_id(), &lag));
	ck_assert_uint_lt(lag, 60000);
	lab.note.was_current = false;
	ck_assert(!mbj_replica_lag(&lab.note, mbj_boot_id(), &lag));
	lab.note.was_current = true;
	lab.note.boot.b[3] ^= 1;
	ck_assert(!mbj_replica_lag(&lab.note, mbj_boot_id(), &lag));
	lab.note.boot = MBJ_ID_ROOT;
	ck_assert(!mbj_replica_lag(&lab.note, mbj_boot_id(), &lag));
	lab.note.boot = mbj_boot_id();
	ck_assert(!mbj_replica_lag(&lab.note, MBJ_ID_ROOT, &lag));
	lab.note.current_ms = INT64_MAX;
	ck_assert(!mbj_replica_lag(&lab.note, mbj_boot_id(), &lag));
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a file that is damaged is named, and can be got rid of.  Method: each
 * byte changed, each length; one that has another's name; then forgotten.
 */
START_TEST(register_damaged)
{
	struct mbj_replica_note *notes = NULL;
	uint8_t bytes[512];
	size_t count = 0;
	struct lab lab;
	ssize_t size;
	int fd;

	lab_begin(&lab);
	fd = open(lab.path, O_RDWR);
	size = pread(fd, bytes, sizeof(bytes), 0);
	ck_assert_int_gt(size, 100);
	for (ssize_t i = 0; i < size; i++) {
		bytes[i] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &bytes[i], 1, i), 1);
		ck_assert_int_eq(load(&lab, &notes, &count, &error),
				 MBJ_ECORRUPT);
		ck_assert_ptr_nonnull(strstr(error.message, "replicas/"));
		ck_assert_ptr_null(notes);
		bytes[i] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &bytes[i], 1, i), 1);
	}
	for (ssize_t i = size - 1; i >= 0; i--) {
		ck_assert_int_eq(ftruncate(fd, i), 0);
		ck_assert_int_eq(load(&lab, &notes, &count, &error),
				 MBJ_ECORRUPT);
	}
	ck_assert_int_eq(pwrite(fd, bytes, (size_t)size, 0), size);
	SITE_OK(load(&lab, &notes, &count, err));
	mbj_free(notes);
	close(fd);
	SITE_OK(mbj_replica_forget(NULL, lab.dir, lab.note.instance, err));
	ck_assert_int_eq(mbj_replica_forget(NULL, lab.dir, lab.note.instance,
					    &error),
			 MBJ_ENOTFOUND);
	SITE_OK(load(&lab, &notes, &count, err));
	ck_assert_uint_eq(count, 0);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a trim keeps what a replica has not received, until it is forgotten.
 * Method: one that has nothing, and half.
 */
START_TEST(register_holds)
{
	struct mbj_trim_options options = MBJ_TRIM_OPTIONS_INIT;
	struct mbj_replica_note note = {.instance = {{9}}};
	struct mbj_trim_result result;
	struct site site;
	uint64_t all;
	uint64_t end;

	site_begin(&site);
	site.options.log.segment_size = SEGMENT;
	site.options.log.reserve_max = SEGMENT / 2;
	site_reopen(&site);
	site_import(site.store, 1, 4);
	for (int i = 0; i < RENAMES; i++)
		SITE_OK(site_rename(site.store, 1, i % 2 ? "x" : "m2",
				    i % 2 ? "m2" : "x", NULL, err));
	end = mbj_store_end(site.store).lsn.v;
	options.keep_us = 0;
	options.keep_requests = 0;
	options.is_dry_run = true;
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	all = result.segments;
	ck_assert_uint_gt(all, 2);
	for (int i = 0; i < 2; i++) {
		note.received.v = i == 0 ? 0 : end / 2;
		SITE_OK(mbj_replica_note_save(mbj_sys_posix(), site.dir, &note,
					      MBJ_NOTE_FIRST, err));
		SITE_OK(mbj_store_trim(site.store, &options, &result, err));
		ck_assert_int_eq(result.why, MBJ_TRIM_REPLICA);
		ck_assert_uint_le(result.first.v, note.received.v + 1);
		ck_assert_uint_lt(result.segments, all);
		ck_assert_int_eq(result.segments > 0, i == 1);
	}
	SITE_OK(mbj_replica_forget(NULL, site.dir, note.instance, err));
	SITE_OK(mbj_store_trim(site.store, &options, &result, err));
	ck_assert_uint_eq(result.segments, all);
	site_end(&site);
}
END_TEST

static struct mbj_replica_note only_note(struct lab *lab)
{
	struct mbj_replica_note *notes = NULL;
	struct mbj_replica_note note;
	size_t count = 0;

	SITE_OK(load(lab, &notes, &count, err));
	ck_assert_uint_eq(count, 1);
	note = notes[0];
	mbj_free(notes);
	return note;
}

static void save(struct lab *lab, enum mbj_note_turn turn)
{
	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab->dir, &lab->note,
				      turn, err));
}

/*
 * Goal: sessions of one instance lose nothing that another knows.  Method: a
 * second one that begins, one that is heard no more, the last word of the
 * first; one that was forgotten.
 */
START_TEST(register_sessions)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 9;
	int64_t current;
	struct lab lab;

	lab_begin(&lab);
	current = lab.note.current_ms;
	lab.note.heard_ms = 1000000;
	save(&lab, MBJ_NOTE_NEXT);
	/* Another begins: it knows nothing yet, and has received more. */
	lab.note.session.b[0] = 6;
	lab.note.received.v = 40;
	lab.note.was_current = false;
	lab.note.heard_ms += 59000;
	save(&lab, MBJ_NOTE_FIRST);
	ck_assert_uint_eq(only_note(&lab).received.v, 30);
	ck_assert(only_note(&lab).was_current);
	ck_assert_int_eq(only_note(&lab).current_ms, current);
	save(&lab, MBJ_NOTE_NEXT);
	ck_assert_uint_eq(only_note(&lab).received.v, 40);
	/* The first one's last word comes late, and is nobody's. */
	lab.note.session.b[0] = 5;
	lab.note.received.v = 30;
	lab.note.is_connected = false;
	save(&lab, MBJ_NOTE_LAST);
	ck_assert_uint_eq(only_note(&lab).received.v, 40);
	ck_assert(only_note(&lab).is_connected);
	/* One that has not been heard for a minute holds nothing. */
	lab.note.session.b[0] = 7;
	lab.note.received.v = 50;
	lab.note.heard_ms += 120000;
	save(&lab, MBJ_NOTE_FIRST);
	ck_assert_uint_eq(only_note(&lab).received.v, 50);
	/* Of another boot nothing is taken. */
	lab.note.boot.b[0] ^= 1;
	save(&lab, MBJ_NOTE_FIRST);
	ck_assert(!only_note(&lab).was_current);
	SITE_OK(mbj_replica_forget(NULL, lab.dir, lab.note.instance, err));
	save(&lab, MBJ_NOTE_NEXT);
	save(&lab, MBJ_NOTE_LAST);
	SITE_OK(load(&lab, &notes, &count, err));
	ck_assert_uint_eq(count, 0);
	lab_end(&lab);
}
END_TEST

/* Goal: one that cannot be read hides no other, where that is asked for. */
START_TEST(register_bad_one)
{
	struct mbj_replica_note *notes = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	size_t count = 0;
	size_t bad = 0;
	struct lab lab;
	int fd;

	lab_begin(&lab);
	(void)snprintf(path, sizeof(path), "%s/replicas/%032x", lab.dir, 77);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	SITE_OK(mbj_replica_notes_load(NULL, lab.dir, &notes, &count, &bad,
				       err));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(bad, 1);
	ck_assert(mbj_id_equal(notes[0].instance, lab.note.instance));
	mbj_free(notes);
	lab_end(&lab);
}
END_TEST

/* ----------------------------------------------------------------- pauses */

enum {
	HOUR_MS = 3600000,
	PAUSE_SIZE = 72,
	PAUSE_BOOT_AT = 28,
	PAUSE_MS_AT = 44,
	PAUSE_US_AT = 52,
	PAUSE_FOR_AT = 60,
};

static uint64_t paused(struct lab *lab)
{
	return mbj_replica_paused(mbj_sys_posix(), lab->dir,
				  lab->note.instance);
}

static int pause_open(struct lab *lab, int flags)
{
	char path[MBJ_PATH_TEXT_MAX + 8];
	int fd;

	(void)snprintf(path, sizeof(path), "%s.pause", lab->path);
	fd = open(path, flags);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void pause_read(struct lab *lab, uint8_t bytes[PAUSE_SIZE + 1])
{
	int fd = pause_open(lab, O_RDONLY);

	ck_assert_int_eq(read(fd, bytes, PAUSE_SIZE + 1), PAUSE_SIZE);
	close(fd);
}

static void pause_put(struct lab *lab, uint8_t *bytes, size_t n)
{
	int fd = pause_open(lab, O_WRONLY | O_TRUNC);

	ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
	close(fd);
}

static void pause_mend(uint8_t bytes[PAUSE_SIZE])
{
	mbj_store_u32(bytes + PAUSE_SIZE - 4,
		      mbj_crc32c(0, mbj_bytes_make(bytes, PAUSE_SIZE - 4)));
}

static void pause_hour(struct lab *lab)
{
	SITE_OK(mbj_replica_pause(NULL, lab->dir, lab->note.instance, HOUR_MS,
				  err));
}

/*
 * Goal: a pause is kept, for so long and no longer, and touches no note.
 * Method: as long as can be and longer, none, made shorter, ended, that of
 * another one, one that is forgotten.
 */
START_TEST(pause_round_trip)
{
	struct lab lab;

	lab_begin(&lab);
	ck_assert_uint_eq(paused(&lab), 0);
	ck_assert_int_eq(mbj_replica_pause(NULL, lab.dir, lab.note.instance,
					   MBJ_PAUSE_MS_MAX + UINT64_C(1),
					   &error),
			 MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(error.message, "604800 s"));
	SITE_OK(mbj_replica_pause(NULL, lab.dir, lab.note.instance,
				  MBJ_PAUSE_MS_MAX, err));
	ck_assert_uint_gt(paused(&lab), MBJ_PAUSE_MS_MAX - HOUR_MS);
	pause_hour(&lab);
	ck_assert_uint_gt(paused(&lab), 0);
	ck_assert_uint_le(paused(&lab), HOUR_MS);
	/* Whoever serves it writes its note meanwhile. */
	save(&lab, MBJ_NOTE_NEXT);
	ck_assert_uint_gt(only_note(&lab).paused_ms, 0);
	ck_assert_uint_eq(only_note(&lab).received.v, 30);
	ck_assert_int_eq(mbj_replica_pause(NULL, lab.dir, (struct mbj_id){{1}},
					   1, &error),
			 MBJ_ENOTFOUND);
	for (int i = 0; i < 2; i++) {
		SITE_OK(mbj_replica_pause(NULL, lab.dir, lab.note.instance, 0,
					  err));
		ck_assert_uint_eq(paused(&lab), 0);
	}
	pause_hour(&lab);
	SITE_OK(mbj_replica_forget(NULL, lab.dir, lab.note.instance, err));
	save(&lab, MBJ_NOTE_FIRST);
	ck_assert_uint_eq(paused(&lab), 0);
	ck_assert_int_eq(mbj_replica_pause(NULL, "/nowhere", lab.note.instance,
					   1, &error),
			 MBJ_ENOTFOUND);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: in its own boot a pause ends by the monotonic clock, whatever the time
 * of day is; after another boot by that, and never late.  Method: begun two
 * hours ago, and in an hour, by each of both clocks, in this boot and another.
 */
START_TEST(pause_clocks)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	bool is_other_boot = _i % 2;
	bool is_wall = _i / 2 % 2;
	int64_t by_ms = _i / 4 ? HOUR_MS : -2 * (int64_t)HOUR_MS;
	uint8_t bytes[PAUSE_SIZE + 1];
	struct lab lab;

	lab_begin(&lab);
	pause_hour(&lab);
	pause_read(&lab, bytes);
	if (is_other_boot)
		bytes[PAUSE_BOOT_AT] ^= 1;
	if (is_wall)
		mbj_store_u64(bytes + PAUSE_US_AT,
			      (uint64_t)(sys->now_us(sys->ctx) + by_ms * 1000));
	else
		mbj_store_u64(bytes + PAUSE_MS_AT,
			      (uint64_t)(mbj_monotonic_ms() + by_ms));
	pause_mend(bytes);
	pause_put(&lab, bytes, PAUSE_SIZE);
	/* The clock that counts says so: over, or set back since. */
	ck_assert_int_eq(paused(&lab) > 0, is_other_boot != is_wall);
	lab_end(&lab);
}
END_TEST

/*
 * Goal: a pause's file that is damaged pauses nobody, is named, and goes.
 * Method: each byte, each length; with checksums that are right another magic,
 * a later version, another's instance, and a pause that is too long.
 */
START_TEST(pause_damaged)
{
	static const size_t at[] = {0, 8, 12, PAUSE_FOR_AT + 7};
	struct mbj_replica_note *notes = NULL;
	uint8_t bytes[PAUSE_SIZE + 1];
	size_t count = 0;
	size_t bad = 0;
	struct lab lab;

	lab_begin(&lab);
	pause_hour(&lab);
	pause_read(&lab, bytes);
	bytes[PAUSE_SIZE] = 0;
	for (size_t n = 0; n <= PAUSE_SIZE + 1; n++) {
		pause_put(&lab, bytes, n);
		ck_assert_int_eq(paused(&lab) > 0, n == PAUSE_SIZE);
	}
	for (size_t i = 0; i < PAUSE_SIZE; i++) {
		bytes[i] ^= 0x10;
		pause_put(&lab, bytes, PAUSE_SIZE);
		ck_assert_uint_eq(paused(&lab), 0);
		bytes[i] ^= 0x10;
	}
	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		bytes[at[i]] ^= 1;
		pause_mend(bytes);
		pause_put(&lab, bytes, PAUSE_SIZE);
		ck_assert_uint_eq(paused(&lab), 0);
		bytes[at[i]] ^= 1;
	}
	ck_assert_int_eq(load(&lab, &notes, &count, &error), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(error.message, ".pause is damaged"));
	SITE_OK(mbj_replica_notes_load(NULL, lab.dir, &notes, &count, &bad,
				       err));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(bad, 1);
	ck_assert_uint_eq(notes[0].paused_ms, 0);
	mbj_free(notes);
	SITE_OK(mbj_replica_pause(NULL, lab.dir, lab.note.instance, 0, err));
	ck_assert_uint_eq(only_note(&lab).received.v, 30);
	lab_end(&lab);
}
END_TEST

/* Goal: no peer fills the directory.  Method: at the maximum and one more. */
START_TEST(register_limit)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct lab lab;

	lab_begin(&lab);
	for (int i = 2; i < MBJ_REPLICAS_MAX; i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s/replicas/%032x", lab.dir,
			       i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		ck_assert_int_ge(fd, 0);
		close(fd);
	}
	lab.note.instance = (struct mbj_id){{0xab}};
	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab.dir, &lab.note,
				      MBJ_NOTE_FIRST, err));
	lab.note.instance = (struct mbj_id){{0xac}};
	ck_assert_int_eq(mbj_replica_note_save(mbj_sys_posix(), lab.dir,
					       &lab.note, MBJ_NOTE_FIRST,
					       &error),
			 MBJ_ELIMIT);
	lab.note.instance = (struct mbj_id){{0xab}};
	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab.dir, &lab.note,
				      MBJ_NOTE_FIRST, err));
	lab_end(&lab);
}
END_TEST

/* Goal: memory that ends loses nothing.  Method: each allocation fails. */
START_TEST(register_no_memory)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 0;
	struct lab lab;

	lab_begin(&lab);
	for (uint64_t k = 1;; k++) {
		enum mbj_rc rc;

		test_alloc_fail_at(k);
		rc = mbj_replica_note_save(mbj_sys_posix(), lab.dir, &lab.note,
					   MBJ_NOTE_FIRST, &error);
		if (rc == MBJ_OK)
			rc = load(&lab, &notes, &count, &error);
		if (test_alloc_count() < k)
			break;
		test_alloc_fail_at(0);
		ck_assert_int_eq(rc, MBJ_ENOMEM);
		ck_assert_ptr_null(notes);
	}
	test_alloc_fail_at(0);
	ck_assert_uint_eq(count, 1);
	mbj_free(notes);
	lab_end(&lab);
}
END_TEST

TCase *test_replicas_case(void)
{
	TCase *tc = tcase_create("replicas");

	tcase_add_test(tc, register_round_trip);
	tcase_add_test(tc, register_lag);
	tcase_add_test(tc, register_damaged);
	tcase_add_test(tc, register_holds);
	tcase_add_test(tc, register_sessions);
	tcase_add_test(tc, register_bad_one);
	tcase_add_test(tc, register_limit);
	tcase_add_test(tc, register_no_memory);
	tcase_add_test(tc, pause_round_trip);
	tcase_add_loop_test(tc, pause_clocks, 0, 8);
	tcase_add_test(tc, pause_damaged);
	return tc;
}
