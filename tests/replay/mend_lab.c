/*
 * What the tests of accounts that are made again through a stream share.
 */
#include "mend_lab.h"

#include <stdio.h>
#include <string.h>

const struct encounter mend_all_of = {.cut = ENOUGH,
				      .flip = ENOUGH,
				      .is_mending = true};

enum mbj_rc one_meet(struct fixture *f, const char *account, size_t cut,
		     struct meeting *ret)
{
	const struct encounter how = {.cut = cut,
				      .flip = ENOUGH,
				      .account = fixture_account(f->primary,
								 account)};

	return meet_with(f, f->primary_dir, &how, ret);
}

struct meeting mend(struct fixture *f)
{
	struct meeting meeting;
	enum mbj_rc rc = meet_with(f, f->primary_dir, &mend_all_of, &meeting);

	ck_assert_msg(rc == MBJ_OK, "%s", meeting.why.message);
	return meeting;
}

/* Bytes of it that are on their way in, 0: none. */
uint64_t part_size(const struct fixture *f, uint64_t lsn)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file file = MBJ_FILE_CLOSED;
	uint64_t size = 0;
	char name[64];

	(void)snprintf(name, sizeof(name), "snapshots/%016llx.snap.part",
		       (unsigned long long)lsn);
	OK(mbj_path_join(path, f->replica_dir, name, err));
	if (!mbj_path_exists(mbj_sys_posix(), path))
		return 0;
	OK(mbj_file_open(mbj_sys_posix(), path, 0, &file, err));
	OK(mbj_file_size(&file, &size, err));
	mbj_file_close(&file);
	return size;
}

/* In its middle: head and end are whole. */
void bend(const char *dir, uint64_t lsn)
{
	char path[MBJ_PATH_TEXT_MAX];
	FILE *file;

	OK(mbj_snapshot_path(path, dir, (struct mbj_lsn){lsn}, err));
	file = fopen(path, "r+b");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, 400, SEEK_SET), 0);
	ck_assert_int_eq(fputc('x', file), 'x');
	ck_assert_int_eq(fclose(file), 0);
}

/* Where the record of the group begins in the replica's only segment. */
static long group_find(const struct fixture *f, uint64_t lsn, const char *path)
{
	struct mbj_log_reader *reader = NULL;
	const uint8_t *found = NULL;
	struct mbj_group group;
	struct mbj_buf bytes;
	long at;

	OK(mbj_store_log_reader(NULL, f->replica_dir, &reader, err));
	OK(mbj_log_reader_seek(reader, (struct mbj_lsn){lsn}, err));
	OK(mbj_log_reader_next(reader, &group, err));
	mbj_buf_init(&bytes, 64 << 20);
	OK(mbj_file_load(mbj_sys_posix(), path, 64 << 20, &bytes, err));
	for (size_t i = 0; found == NULL && i + group.record.n <= bytes.n; i++)
		if (memcmp(bytes.p + i, group.record.p, group.record.n) == 0)
			found = bytes.p + i;
	ck_assert_ptr_nonnull(found);
	at = found - bytes.p;
	mbj_log_reader_close(&reader);
	mbj_buf_done(&bytes);
	return at;
}

void bit_turn(const char *path, long at)
{
	FILE *file = fopen(path, "r+b");
	int byte;

	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
	byte = fgetc(file);
	ck_assert_int_ne(byte, EOF);
	ck_assert_int_eq(fseek(file, at, SEEK_SET), 0);
	ck_assert_int_eq(fputc(byte ^ 0x40, file), byte ^ 0x40);
	ck_assert_int_eq(fclose(file), 0);
}

struct bent group_bend(const struct fixture *f, uint64_t lsn)
{
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	struct bent bent;
	const char *name;

	OK(mbj_path_join(dir, f->replica_dir, "journal", err));
	mbj_buf_init(&names, 1 << 16);
	OK(mbj_dir_list(mbj_sys_posix(), dir, &names, err));
	name = (const char *)names.p;
	while (strstr(name, ".seg") == NULL)
		name += strlen(name) + 1;
	OK(mbj_path_join(bent.path, dir, name, err));
	bent.at = group_find(f, lsn, bent.path) + 20;
	bit_turn(bent.path, bent.at);
	mbj_buf_done(&names);
	return bent;
}

void group_unbend(const struct bent *bent)
{
	bit_turn(bent->path, bent->at);
}
