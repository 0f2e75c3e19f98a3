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
#include "replica_lab.h"
#include "replicas_impl.h"
#include "store_lab.h"

enum { RENAMES = 100, SEGMENT = 8192 };

static struct mbj_error error;

/* Goal: every member comes back, those of several replicas by instance. */
START_TEST(register_round_trip)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 0;
	struct replica_lab lab;

	replica_lab_begin(&lab);
	lab.note.instance = (struct mbj_id){{3}};
	memset(lab.note.name, 'n', MBJ_REPLICA_NAME_MAX);
	lab.note.was_current = false;
	lab.note.is_connected = false;
	memset(lab.note.address, 'a', MBJ_REPLICA_ADDRESS_MAX);
	lab.note.take = (struct mbj_replica_take){.is_whole = false};
	for (int i = 0; i < 2; i++)
		SITE_OK(mbj_replica_note_save(mbj_sys_posix(), lab.dir,
					      &lab.note, MBJ_NOTE_FIRST, err));
	SITE_OK(replica_lab_load(&lab, &notes, &count, err));
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
	ck_assert_str_eq(notes[0].address, lab.note.address);
	ck_assert(notes[0].take.lsn.v == 0 && !notes[0].take.is_whole);
	ck_assert_str_eq(notes[1].address, "192.0.2.1 port 40112");
	ck_assert_uint_eq(notes[1].take.lsn.v, 9);
	ck_assert(notes[1].take.is_whole);
	ck_assert_uint_eq(notes[1].take.sent, 3);
	ck_assert_uint_eq(notes[1].take.size, 4);
	ck_assert_int_eq(notes[1].take.began_ms, 5);
	mbj_free(notes);
	replica_lab_end(&lab);
}
END_TEST

/* Its checksum made right again. */
static void note_mend(uint8_t *bytes, size_t size)
{
	mbj_store_u32(bytes + size - 4,
		      mbj_crc32c(0, mbj_bytes_make(bytes, size - 4)));
}

/*
 * Goal: a note as it was written before it had an address is read, and no other
 * is.  Method: version 1, which ends with the name; with what only version 2
 * has, in its flags and behind its name; versions that there are not; more sent
 * of a snapshot than it has.
 */
START_TEST(register_older)
{
	enum { NAME_AT = 109, FLAGS_AT = 92 };
	uint8_t bytes[1024];
	struct mbj_replica_note *notes = NULL;
	struct mbj_replica_note note;
	struct replica_lab lab;
	size_t count = 0;
	size_t size, old;
	int fd;

	replica_lab_begin(&lab);
	fd = open(lab.path, O_RDWR);
	size = (size_t)pread(fd, bytes, sizeof(bytes), 0);
	old = NAME_AT + 4 + strlen(lab.note.name) + 4;
	for (int i = 0; i < 5; i++) {
		uint8_t made[1024];
		size_t n = i == 0 ? old : size;

		memcpy(made, bytes, size);
		mbj_store_u32(made + 8, i == 2 ? 0 : i == 3 ? 3 : 1);
		if (i != 0)
			made[FLAGS_AT] &= (uint8_t)(i == 1 ? 3 : 7);
		if (i == 4) {
			mbj_store_u32(made + 8, 2);
			mbj_store_u64(made + size - 4 - 24, 5); /* of 4 */
		}
		note_mend(made, n);
		ck_assert_int_eq(ftruncate(fd, 0), 0);
		ck_assert_int_eq(pwrite(fd, made, n, 0), (ssize_t)n);
		ck_assert_int_eq(replica_lab_load(&lab, &notes, &count, &error),
				 MBJ_ECORRUPT);
	}
	memcpy(bytes + 8, "\1", 1);
	bytes[FLAGS_AT] &= 3;
	note_mend(bytes, old);
	ck_assert_int_eq(ftruncate(fd, 0), 0);
	ck_assert_int_eq(pwrite(fd, bytes, old, 0), (ssize_t)old);
	note = replica_lab_note(&lab);
	ck_assert_str_eq(note.name, lab.note.name);
	ck_assert(note.was_current && note.is_connected);
	ck_assert(note.address[0] == '\0' && note.take.lsn.v == 0);
	close(fd);
	replica_lab_end(&lab);
}
END_TEST

/*
 * Goal: nobody writes a note while another one has the register: of two who
 * read, and then write, one would be lost.  Method: its lock is held, and let
 * go.
 */
START_TEST(register_locked)
{
	struct mbj_file lock = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];
	struct replica_lab lab;

	replica_lab_begin(&lab);
	SITE_OK(replicas_take(mbj_sys_posix(), lab.dir, path, &lock, err));
	lab.note.received.v++;
	SITE_FAILS(mbj_replica_note_save(mbj_sys_posix(), lab.dir, &lab.note,
					 MBJ_NOTE_NEXT, err),
		   MBJ_EBUSY, &error);
	SITE_FAILS(mbj_replica_forget(NULL, lab.dir, lab.note.instance, err),
		   MBJ_EBUSY, &error);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v,
			  lab.note.received.v - 1);
	mbj_file_close(&lock);
	replica_lab_save(&lab, MBJ_NOTE_NEXT);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v,
			  lab.note.received.v);
	replica_lab_end(&lab);
}
END_TEST

/* Goal: lag is of one boot, and only where it was ever current. */
START_TEST(register_lag)
{
	uint64_t lag = UINT64_MAX;
	struct replica_lab lab;

	replica_lab_begin(&lab);
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
	replica_lab_end(&lab);
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
	struct replica_lab lab;
	ssize_t size;
	int fd;

	replica_lab_begin(&lab);
	fd = open(lab.path, O_RDWR);
	size = pread(fd, bytes, sizeof(bytes), 0);
	ck_assert_int_gt(size, 100);
	for (ssize_t i = 0; i < size; i++) {
		bytes[i] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &bytes[i], 1, i), 1);
		ck_assert_int_eq(replica_lab_load(&lab, &notes, &count, &error),
				 MBJ_ECORRUPT);
		ck_assert_ptr_nonnull(strstr(error.message, "replicas/"));
		ck_assert_ptr_null(notes);
		bytes[i] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &bytes[i], 1, i), 1);
	}
	for (ssize_t i = size - 1; i >= 0; i--) {
		ck_assert_int_eq(ftruncate(fd, i), 0);
		ck_assert_int_eq(replica_lab_load(&lab, &notes, &count, &error),
				 MBJ_ECORRUPT);
	}
	ck_assert_int_eq(pwrite(fd, bytes, (size_t)size, 0), size);
	SITE_OK(replica_lab_load(&lab, &notes, &count, err));
	mbj_free(notes);
	close(fd);
	SITE_OK(mbj_replica_forget(NULL, lab.dir, lab.note.instance, err));
	ck_assert_int_eq(mbj_replica_forget(NULL, lab.dir, lab.note.instance,
					    &error),
			 MBJ_ENOTFOUND);
	SITE_OK(replica_lab_load(&lab, &notes, &count, err));
	ck_assert_uint_eq(count, 0);
	replica_lab_end(&lab);
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
	struct replica_lab lab;

	replica_lab_begin(&lab);
	current = lab.note.current_ms;
	lab.note.heard_ms = 1000000;
	replica_lab_save(&lab, MBJ_NOTE_NEXT);
	/* Another begins: it knows nothing yet, and has received more. */
	lab.note.session.b[0] = 6;
	lab.note.received.v = 40;
	lab.note.was_current = false;
	lab.note.heard_ms += 59000;
	replica_lab_save(&lab, MBJ_NOTE_FIRST);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v, 30);
	ck_assert(replica_lab_note(&lab).was_current);
	ck_assert_int_eq(replica_lab_note(&lab).current_ms, current);
	replica_lab_save(&lab, MBJ_NOTE_NEXT);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v, 40);
	/* The first one's last word comes late, and is nobody's. */
	lab.note.session.b[0] = 5;
	lab.note.received.v = 30;
	lab.note.is_connected = false;
	replica_lab_save(&lab, MBJ_NOTE_LAST);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v, 40);
	ck_assert(replica_lab_note(&lab).is_connected);
	/* One that has not been heard for a minute holds nothing. */
	lab.note.session.b[0] = 7;
	lab.note.received.v = 50;
	lab.note.heard_ms += 120000;
	replica_lab_save(&lab, MBJ_NOTE_FIRST);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v, 50);
	/* Of another boot nothing is taken. */
	lab.note.boot.b[0] ^= 1;
	replica_lab_save(&lab, MBJ_NOTE_FIRST);
	ck_assert(!replica_lab_note(&lab).was_current);
	SITE_OK(mbj_replica_forget(NULL, lab.dir, lab.note.instance, err));
	replica_lab_save(&lab, MBJ_NOTE_NEXT);
	replica_lab_save(&lab, MBJ_NOTE_LAST);
	SITE_OK(replica_lab_load(&lab, &notes, &count, err));
	ck_assert_uint_eq(count, 0);
	replica_lab_end(&lab);
}
END_TEST

/* Goal: one that cannot be read hides no other, where that is asked for. */
START_TEST(register_bad_one)
{
	struct mbj_replica_note *notes = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	size_t count = 0;
	size_t bad = 0;
	struct replica_lab lab;
	int fd;

	replica_lab_begin(&lab);
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
	replica_lab_end(&lab);
}
END_TEST

/* Goal: no peer fills the directory.  Method: at the maximum and one more. */
START_TEST(register_limit)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct replica_lab lab;

	replica_lab_begin(&lab);
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
	replica_lab_end(&lab);
}
END_TEST

/* Goal: memory that ends loses nothing.  Method: each allocation fails. */
START_TEST(register_no_memory)
{
	struct mbj_replica_note *notes = NULL;
	size_t count = 0;
	struct replica_lab lab;

	replica_lab_begin(&lab);
	for (uint64_t k = 1;; k++) {
		enum mbj_rc rc;

		test_alloc_fail_at(k);
		rc = mbj_replica_note_save(mbj_sys_posix(), lab.dir, &lab.note,
					   MBJ_NOTE_FIRST, &error);
		if (rc == MBJ_OK)
			rc = replica_lab_load(&lab, &notes, &count, &error);
		if (test_alloc_count() < k)
			break;
		test_alloc_fail_at(0);
		ck_assert_int_eq(rc, MBJ_ENOMEM);
		ck_assert_ptr_null(notes);
	}
	test_alloc_fail_at(0);
	ck_assert_uint_eq(count, 1);
	mbj_free(notes);
	replica_lab_end(&lab);
}
END_TEST

TCase *test_replicas_case(void)
{
	TCase *tc = tcase_create("replicas");

	tcase_add_test(tc, register_round_trip);
	tcase_add_test(tc, register_older);
	tcase_add_test(tc, register_locked);
	tcase_add_test(tc, register_lag);
	tcase_add_test(tc, register_damaged);
	tcase_add_test(tc, register_holds);
	tcase_add_test(tc, register_sessions);
	tcase_add_test(tc, register_bad_one);
	tcase_add_test(tc, register_limit);
	tcase_add_test(tc, register_no_memory);
	return tc;
}
