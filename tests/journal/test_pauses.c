/*
 * Pauses of replicas: how long each lasts, by which clock, what of one that is
 * damaged or left behind.  Streams are in tests/replay/test_pace.c, services in
 * tests/cli/test_pause.py.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/replicas.h>
#include <mbj/sys.h>

#include "journal_cases.h"
#include "replica_lab.h"
#include "store_lab.h"

static struct mbj_error error;

enum {
	HOUR_MS = 3600000,
	PAUSE_SIZE = 72,
	PAUSE_BOOT_AT = 28,
	PAUSE_MS_AT = 44,
	PAUSE_US_AT = 52,
	PAUSE_FOR_AT = 60,
};

static uint64_t paused(struct replica_lab *lab)
{
	return mbj_replica_paused(mbj_sys_posix(), lab->dir,
				  lab->note.instance);
}

static int pause_open(struct replica_lab *lab, int flags)
{
	char path[MBJ_PATH_TEXT_MAX + 8];
	int fd;

	(void)snprintf(path, sizeof(path), "%s.pause", lab->path);
	fd = open(path, flags);
	ck_assert_int_ge(fd, 0);
	return fd;
}

static void pause_read(struct replica_lab *lab, uint8_t bytes[PAUSE_SIZE + 1])
{
	int fd = pause_open(lab, O_RDONLY);

	ck_assert_int_eq(read(fd, bytes, PAUSE_SIZE + 1), PAUSE_SIZE);
	close(fd);
}

static void pause_put(struct replica_lab *lab, uint8_t *bytes, size_t n)
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

static void pause_hour(struct replica_lab *lab)
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
	struct replica_lab lab;

	replica_lab_begin(&lab);
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
	replica_lab_save(&lab, MBJ_NOTE_NEXT);
	ck_assert_uint_gt(replica_lab_note(&lab).paused_ms, 0);
	ck_assert_uint_eq(replica_lab_note(&lab).received.v, 30);
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
	replica_lab_save(&lab, MBJ_NOTE_FIRST);
	ck_assert_uint_eq(paused(&lab), 0);
	ck_assert_int_eq(mbj_replica_pause(NULL, "/nowhere", lab.note.instance,
					   1, &error),
			 MBJ_ENOTFOUND);
	replica_lab_end(&lab);
}
END_TEST

static int lock_none(void *ctx, int fd, bool is_shared)
{
	(void)ctx;
	(void)fd;
	(void)is_shared;
	return -EIO;
}

/*
 * Goal: a pause whose replica has no note is seen, with what is left of it.
 * Method: a note that is there, is damaged, is removed; a pause that is
 * damaged, and one that is over; no register.
 */
START_TEST(pause_listed)
{
	struct mbj_pause_left *pauses = NULL;
	uint8_t bytes[PAUSE_SIZE + 1];
	struct replica_lab lab;
	size_t count = 7;

	replica_lab_begin(&lab);
	SITE_OK(mbj_replica_pauses_left(NULL, "/nowhere", &pauses, &count,
					err));
	ck_assert_uint_eq(count, 0);
	pause_hour(&lab);
	for (int i = 0; i < 3; i++) {
		SITE_OK(mbj_replica_pauses_left(NULL, lab.dir, &pauses, &count,
						err));
		ck_assert_uint_eq(count, i == 0 ? 0 : 1);
		if (i > 0) {
			ck_assert(mbj_id_equal(pauses[0].instance,
					       lab.note.instance));
			ck_assert_uint_gt(pauses[0].ms, 0);
			ck_assert_uint_le(pauses[0].ms, HOUR_MS);
			ck_assert(!pauses[0].is_damaged);
		}
		mbj_free(pauses);
		if (i == 0)
			ck_assert_int_eq(truncate(lab.path, 5), 0);
		else if (i == 1)
			ck_assert_int_eq(unlink(lab.path), 0);
	}
	pause_read(&lab, bytes);
	bytes[PAUSE_FOR_AT] ^= 1;
	pause_put(&lab, bytes, PAUSE_SIZE);
	SITE_OK(mbj_replica_pauses_left(NULL, lab.dir, &pauses, &count, err));
	ck_assert_uint_eq(count, 1);
	ck_assert(pauses[0].is_damaged);
	ck_assert_uint_eq(pauses[0].ms, 0);
	mbj_free(pauses);
	mbj_store_u64(bytes + PAUSE_FOR_AT, 0);
	pause_mend(bytes);
	pause_put(&lab, bytes, PAUSE_SIZE);
	SITE_OK(mbj_replica_pauses_left(NULL, lab.dir, &pauses, &count, err));
	ck_assert_uint_eq(count, 0);
	replica_lab_end(&lab);
}
END_TEST

/*
 * Goal: no pause is left without a replica, and one that is left goes.  Method:
 * forget and pause, where the lock is not to be had; a note that is removed.
 */
START_TEST(pause_left)
{
	struct mbj_sys sys = *mbj_sys_posix();
	struct replica_lab lab;

	replica_lab_begin(&lab);
	pause_hour(&lab);
	sys.lock = lock_none;
	ck_assert_int_eq(mbj_replica_forget(&sys, lab.dir, lab.note.instance,
					    &error),
			 MBJ_EIO);
	ck_assert_int_eq(mbj_replica_pause(&sys, lab.dir, lab.note.instance, 0,
					   &error),
			 MBJ_EIO);
	ck_assert_uint_gt(replica_lab_note(&lab).paused_ms, 0);
	for (int i = 0; i < 2; i++) {
		replica_lab_save(&lab, MBJ_NOTE_FIRST);
		pause_hour(&lab);
		ck_assert_int_eq(unlink(lab.path), 0);
		ck_assert_uint_gt(paused(&lab), 0);
		for (int again = 0; again < 2; again++) {
			enum mbj_rc rc;

			rc = i == 0 ? mbj_replica_pause(NULL, lab.dir,
							lab.note.instance, 0,
							&error)
				    : mbj_replica_forget(NULL, lab.dir,
							 lab.note.instance,
							 &error);
			ck_assert_int_eq(rc, again ? MBJ_ENOTFOUND : MBJ_OK);
			ck_assert_uint_eq(paused(&lab), 0);
		}
	}
	ck_assert_int_eq(mbj_replica_forget(NULL, "/nowhere", lab.note.instance,
					    &error),
			 MBJ_ENOTFOUND);
	replica_lab_end(&lab);
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
	struct replica_lab lab;

	replica_lab_begin(&lab);
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
	replica_lab_end(&lab);
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
	struct mbj_replica_note note;
	uint8_t bytes[PAUSE_SIZE + 1];
	size_t count = 0;
	size_t bad = 0;
	struct replica_lab lab;

	replica_lab_begin(&lab);
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
	/* It hides nothing, and is nobody's reason to stop. */
	SITE_OK(mbj_replica_notes_load(NULL, lab.dir, &notes, &count, &bad,
				       err));
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(bad, 0);
	mbj_free(notes);
	note = replica_lab_note(&lab);
	ck_assert_uint_eq(note.received.v, 30);
	ck_assert_uint_eq(note.paused_ms, 0);
	ck_assert(note.is_pause_damaged);
	SITE_OK(mbj_replica_pause(NULL, lab.dir, lab.note.instance, 0, err));
	ck_assert(!replica_lab_note(&lab).is_pause_damaged);
	replica_lab_end(&lab);
}
END_TEST

TCase *test_pauses_case(void)
{
	TCase *tc = tcase_create("pauses");

	tcase_add_test(tc, pause_round_trip);
	tcase_add_test(tc, pause_listed);
	tcase_add_test(tc, pause_left);
	tcase_add_loop_test(tc, pause_clocks, 0, 8);
	tcase_add_test(tc, pause_damaged);
	return tc;
}
