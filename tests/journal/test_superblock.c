/*
 * The superblock's bytes: what is written comes back, and everything that is
 * not ours, not whole or not of today is refused with its reason.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/log.h>

#include "journal_cases.h"
#include "superblock.h"

static struct superblock superblock_sample(enum mbj_store_role role)
{
	struct superblock superblock = {.compatible = 0};
	struct mbj_identity *id = &superblock.identity;

	id->role = role;
	memset(id->lineage.b, 0x11, MBJ_ID_SIZE);
	memset(id->instance.b, 0x22, MBJ_ID_SIZE);
	memset(id->epoch_owner.b, 0x33, MBJ_ID_SIZE);
	memset(id->anchor.chain.b, 0x44, MBJ_HASH_SIZE);
	id->epoch.v = UINT64_C(0x0102030405060708);
	id->anchor.first.v = 1;
	return superblock;
}

/* Make the checksum right again after a change. */
static void superblock_seal(uint8_t bytes[SUPERBLOCK_SIZE])
{
	mbj_store_u32(bytes + SUPERBLOCK_SIZE - 4,
		      mbj_crc32c(0,
				 mbj_bytes_make(bytes, SUPERBLOCK_SIZE - 4)));
}

static enum mbj_rc superblock_try(const uint8_t bytes[SUPERBLOCK_SIZE],
				  struct mbj_error *err)
{
	struct superblock superblock;

	return superblock_decode(mbj_bytes_make(bytes, SUPERBLOCK_SIZE),
				 "store/mbj.store", &superblock, err);
}

/*
 * Goal: what is written comes back, every field.  Method: both roles, and a
 * replica without a lineage; distinct bytes in each field.
 */
START_TEST(superblock_round_trip)
{
	struct superblock samples[3];
	uint8_t bytes[SUPERBLOCK_SIZE];
	struct mbj_error err;

	samples[0] = superblock_sample(MBJ_STORE_PRIMARY);
	samples[1] = superblock_sample(MBJ_STORE_REPLICA);
	samples[1].compatible = 0x80000001u;
	samples[2] = (struct superblock){.compatible = 0};
	samples[2].identity.role = MBJ_STORE_REPLICA;
	samples[2].identity.instance.b[3] = 7;
	for (size_t i = 0; i < 3; i++) {
		struct superblock back;

		memset(&back, 0xee, sizeof(back));
		superblock_encode(&samples[i], bytes);
		ck_assert_int_eq(
			superblock_decode(mbj_bytes_make(bytes, sizeof(bytes)),
					  "x", &back, &err),
			MBJ_OK);
		ck_assert_uint_eq(back.compatible, samples[i].compatible);
		ck_assert_int_eq(back.identity.role, samples[i].identity.role);
		ck_assert(mbj_id_equal(back.identity.lineage,
				       samples[i].identity.lineage));
		ck_assert(mbj_id_equal(back.identity.instance,
				       samples[i].identity.instance));
		ck_assert(mbj_id_equal(back.identity.epoch_owner,
				       samples[i].identity.epoch_owner));
		ck_assert_uint_eq(back.identity.epoch.v,
				  samples[i].identity.epoch.v);
		ck_assert_uint_eq(back.identity.anchor.first.v,
				  samples[i].identity.anchor.first.v);
		ck_assert_mem_eq(back.identity.anchor.chain.b,
				 samples[i].identity.anchor.chain.b,
				 MBJ_HASH_SIZE);
	}
}
END_TEST

/*
 * Goal: the bytes are those of docs/FORMAT.md for ever.  Method: compare the
 * offsets that the table in superblock.h names with literal bytes.
 */
START_TEST(superblock_golden)
{
	struct superblock superblock = superblock_sample(MBJ_STORE_REPLICA);
	uint8_t bytes[SUPERBLOCK_SIZE];

	superblock_encode(&superblock, bytes);
	ck_assert_mem_eq(bytes, "MBJSTORE", 8);
	ck_assert_mem_eq(bytes + 8, "\1\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\2\0\0\0",
			 20);
	ck_assert_uint_eq(bytes[32], 0x11);
	ck_assert_uint_eq(bytes[48], 0x22);
	ck_assert_mem_eq(bytes + 64, "\x08\x07\x06\x05\x04\x03\x02\x01", 8);
	ck_assert_uint_eq(bytes[72], 0x33);
	ck_assert_mem_eq(bytes + 88, "\1\0\0\0\0\0\0\0", 8);
	ck_assert_uint_eq(bytes[96], 0x44);
	ck_assert_uint_eq(bytes[127], 0x44);
	for (size_t i = 128; i < 252; i++)
		ck_assert_uint_eq(bytes[i], 0);
}
END_TEST

/*
 * Goal: a damaged superblock is never used.  Method: flip every single bit of
 * the record, and cut it at every length.
 */
START_TEST(superblock_damage)
{
	struct superblock superblock = superblock_sample(MBJ_STORE_PRIMARY);
	struct superblock back;
	uint8_t bytes[SUPERBLOCK_SIZE];
	uint8_t longer[SUPERBLOCK_SIZE + 8];
	struct mbj_error err;

	superblock_encode(&superblock, bytes);
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		ck_assert_int_eq(superblock_try(bytes, &err), MBJ_ECORRUPT);
		ck_assert_ptr_nonnull(strstr(err.message, "store/mbj.store"));
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t n = 0; n < sizeof(bytes); n++)
		ck_assert_int_eq(superblock_decode(mbj_bytes_make(bytes, n),
						   "x", &back, NULL),
				 MBJ_ECORRUPT);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_OK);
	/* Whole, of this version, and longer than it is. */
	memset(longer, 0, sizeof(longer));
	memcpy(longer, bytes, sizeof(bytes));
	mbj_store_u32(longer + sizeof(longer) - 4,
		      mbj_crc32c(0,
				 mbj_bytes_make(longer, sizeof(longer) - 4)));
	ck_assert_int_eq(superblock_decode(mbj_bytes_make(longer,
							  sizeof(longer)),
					   "x", &back, &err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "264 bytes"));
	/* The same where it says so. */
	mbj_store_u32(longer + 12, sizeof(longer));
	mbj_store_u32(longer + sizeof(longer) - 4,
		      mbj_crc32c(0,
				 mbj_bytes_make(longer, sizeof(longer) - 4)));
	ck_assert_int_eq(superblock_decode(mbj_bytes_make(longer,
							  sizeof(longer)),
					   "x", &back, &err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "264 bytes instead of 256"));
}
END_TEST

/*
 * Goal: a newer store is told from a damaged one.  Method: a whole record of
 * another version, with unknown flags of both kinds, of another length.
 */
START_TEST(superblock_newer)
{
	struct superblock superblock = superblock_sample(MBJ_STORE_PRIMARY);
	struct superblock back;
	uint8_t bytes[SUPERBLOCK_SIZE];
	uint8_t longer[512] = {0};
	struct mbj_error err;

	superblock_encode(&superblock, bytes);
	mbj_store_u32(bytes + 8, 2);
	superblock_seal(bytes);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_EUNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.message, "format 2"));

	superblock_encode(&superblock, bytes);
	mbj_store_u32(bytes + 20, 4);
	superblock_seal(bytes);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_EUNSUPPORTED);
	ck_assert_ptr_nonnull(strstr(err.message, "0x4"));

	superblock_encode(&superblock, bytes);
	mbj_store_u32(bytes + 16, 4);
	superblock_seal(bytes);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_OK);

	memcpy(longer, bytes, sizeof(bytes));
	mbj_store_u32(longer + 8, 2);
	mbj_store_u32(longer + 12, sizeof(longer));
	mbj_store_u32(longer + sizeof(longer) - 4,
		      mbj_crc32c(0,
				 mbj_bytes_make(longer, sizeof(longer) - 4)));
	ck_assert_int_eq(superblock_decode(mbj_bytes_make(longer,
							  sizeof(longer)),
					   "x", &back, &err),
			 MBJ_EUNSUPPORTED);
}
END_TEST

/*
 * Goal: values that no program of ours writes are not believed, whatever the
 * checksum says.  Method: one such value at a time, sealed.
 */
START_TEST(superblock_values)
{
	static const struct {
		size_t at, n;
		uint8_t value;
	} faults[] = {
		{24, 4, 0},		     /* role */
		{24, 1, 3},	{32, 16, 0}, /* a primary without lineage */
		{32, 16, 0xff},		     /* TEMP as lineage */
		{48, 16, 0},		     /* no instance */
		{64, 8, 0},		     /* no epoch */
		{72, 16, 0},		     /* nobody's epoch */
		{88, 8, 0},		     /* no first LSN */
	};
	struct superblock superblock = superblock_sample(MBJ_STORE_PRIMARY);
	uint8_t bytes[SUPERBLOCK_SIZE];

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		superblock_encode(&superblock, bytes);
		memset(bytes + faults[i].at, faults[i].value, faults[i].n);
		superblock_seal(bytes);
		ck_assert_int_eq(superblock_try(bytes, NULL), MBJ_ECORRUPT);
	}
}
END_TEST

/*
 * Goal: that a store is being restored comes back, and only a replica can be.
 */
START_TEST(superblock_restoring)
{
	struct superblock sample, found;
	uint8_t bytes[SUPERBLOCK_SIZE];
	struct mbj_error err;

	sample = superblock_sample(MBJ_STORE_REPLICA);
	sample.is_restoring = true;
	superblock_encode(&sample, bytes);
	ck_assert_int_eq(superblock_decode(mbj_bytes_make(bytes, sizeof(bytes)),
					   "s", &found, &err),
			 MBJ_OK);
	ck_assert(found.is_restoring);
	sample.identity.role = MBJ_STORE_PRIMARY;
	superblock_encode(&sample, bytes);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_ECORRUPT);
}
END_TEST

/*
 * Goal: that contents may be packed is a feature which a program that does not
 * know it refuses, its level comes back up to the highest, and no other level
 * is believed.  Method: flag and level as bytes; none, the first, the last, one
 * more.
 */
START_TEST(superblock_contents)
{
	struct superblock sample = superblock_sample(MBJ_STORE_PRIMARY);
	struct superblock found;
	uint8_t bytes[SUPERBLOCK_SIZE];
	struct mbj_error err;

	for (unsigned level = 0; level <= MBJ_PACK_LEVEL_MAX; level++) {
		sample.contents_level = level;
		superblock_encode(&sample, bytes);
		ck_assert_uint_eq(mbj_load_u32(bytes + 20), level > 0 ? 2 : 0);
		ck_assert_uint_eq(mbj_load_u32(bytes + 28), level);
		ck_assert_int_eq(
			superblock_decode(mbj_bytes_make(bytes, sizeof(bytes)),
					  "s", &found, &err),
			MBJ_OK);
		ck_assert_uint_eq(found.contents_level, level);
	}
	mbj_store_u32(bytes + 28, MBJ_PACK_LEVEL_MAX + 1);
	superblock_seal(bytes);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_ECORRUPT);
	mbj_store_u32(bytes + 28, 0);
	superblock_seal(bytes);
	ck_assert_int_eq(superblock_try(bytes, &err), MBJ_ECORRUPT);
}
END_TEST

/*
 * Goal: load says what is the matter with a directory.  Method: none, a name
 * too long, empty, foreign file, file too long, good file.
 */
START_TEST(superblock_files)
{
	char *dir = test_tmpdir_new();
	char *path = test_path_dup(dir, SUPERBLOCK_NAME);
	const struct mbj_sys *sys = mbj_sys_posix();
	struct superblock superblock = superblock_sample(MBJ_STORE_PRIMARY);
	struct superblock back;
	struct mbj_error err;
	FILE *file;
	char deep[MBJ_PATH_TEXT_MAX] = "";

	ck_assert_int_eq(superblock_load(sys, "/nonexistent", &back, &err),
			 MBJ_ENOTFOUND);
	/* The longest that leaves room for the name is looked at. */
	memset(deep, '/', sizeof(deep) - sizeof("/" SUPERBLOCK_NAME));
	deep[strlen(deep) - 1] = '.';
	ck_assert_int_eq(superblock_load(sys, deep, &back, &err),
			 MBJ_ENOTFOUND);
	deep[strlen(deep)] = '.';
	ck_assert_int_eq(superblock_load(sys, deep, &back, &err), MBJ_ELIMIT);
	ck_assert_int_eq(superblock_load(sys, dir, &back, &err), MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, dir));

	file = fopen(path, "w");
	fputs("something else entirely, and not a store of ours", file);
	fclose(file);
	ck_assert_int_eq(superblock_load(sys, dir, &back, &err), MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "not the superblock"));
	ck_assert_str_eq(err.file, path);

	file = fopen(path, "w");
	for (int i = 0; i < SUPERBLOCK_SIZE_MAX + 1; i++)
		fputc('M', file);
	fclose(file);
	ck_assert_int_eq(superblock_load(sys, dir, &back, &err), MBJ_ECORRUPT);

	ck_assert_int_eq(superblock_save(sys, dir, SUPERBLOCK_NAME, &superblock,
					 &err),
			 MBJ_OK);
	ck_assert_int_eq(superblock_load(sys, dir, &back, &err), MBJ_OK);
	ck_assert(mbj_id_equal(back.identity.lineage,
			       superblock.identity.lineage));
	free(path);
	test_tmpdir_free(&dir);
}
END_TEST

/*
 * Goal: a store that lost its journal's folder is told so, and what to do.
 * Method: no folder, then one that cannot be read.
 */
START_TEST(superblock_without_journal)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	char *dir = test_tmpdir_new();
	char *path = test_path_dup(dir, "journal");
	struct mbj_log_usage usage;
	struct mbj_error err;
	enum mbj_rc rc = mbj_log_usage_get(sys, path, &usage, &err);

	ck_assert_int_eq(rc, MBJ_ENOTFOUND);
	ck_assert_int_eq(superblock_journal_fault(sys, dir, path, rc, &err),
			 MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "it has no journal"));
	/* With one it is what it was. */
	ck_assert_int_eq(mkdir(path, 0700), 0);
	rc = mbj_error_set(&err, MBJ_EIO, "cannot read %s", path);
	ck_assert_int_eq(superblock_journal_fault(sys, dir, path, rc, &err),
			 MBJ_EIO);
	ck_assert_ptr_nonnull(strstr(err.message, "cannot read"));
	free(path);
	test_tmpdir_free(&dir);
}
END_TEST

/* Goal: what is no store is called what it is. */
START_TEST(superblock_missing)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct superblock back;
	struct mbj_error err;
	char *dir = test_tmpdir_new();
	char *path;
	int fd;

	ck_assert_int_eq(superblock_load(sys, dir, &back, &err), MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "make one with init"));
	ck_assert_ptr_null(strstr(err.message, "nothing is there"));
	path = test_path_dup(dir, "socket");
	ck_assert_int_eq(superblock_load(sys, path, &back, &err),
			 MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "nothing is there"));
	ck_assert_uint_lt(strlen(path), sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	ck_assert_int_eq(superblock_load(sys, path, &back, &err),
			 MBJ_ENOTFOUND);
	ck_assert_ptr_nonnull(strstr(err.message, "is a socket"));
	(void)close(fd);
	free(path);
	test_tmpdir_free(&dir);
}
END_TEST

TCase *test_superblock_case(void)
{
	TCase *tc = tcase_create("superblock");

	tcase_add_test(tc, superblock_round_trip);
	tcase_add_test(tc, superblock_golden);
	tcase_add_test(tc, superblock_damage);
	tcase_add_test(tc, superblock_newer);
	tcase_add_test(tc, superblock_values);
	tcase_add_test(tc, superblock_restoring);
	tcase_add_test(tc, superblock_contents);
	tcase_add_test(tc, superblock_files);
	tcase_add_test(tc, superblock_without_journal);
	tcase_add_test(tc, superblock_missing);
	return tc;
}
