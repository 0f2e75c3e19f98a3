/*
 * Files of the golden tests.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "golden.h"

void golden_load(const char *path, struct mbj_buf *bytes)
{
	mbj_buf_clear(bytes);
	GOLDEN_OK(mbj_file_load(mbj_sys_posix(), path, GOLDEN_FILE_MAX, bytes,
				err));
}

void golden_save(const char *path, struct mbj_bytes bytes)
{
	/* O_EXCL: a golden file is written once. */
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

	ck_assert_msg(fd >= 0, "%s cannot be made", path);
	ck_assert_int_eq(write(fd, bytes.p, bytes.n), (ssize_t)bytes.n);
	ck_assert_int_eq(close(fd), 0);
}

static int entry_is_visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

size_t golden_list(const char *dir, char *names[GOLDEN_FILES_MAX])
{
	struct dirent **entries = NULL;
	int count = scandir(dir, &entries, entry_is_visible, alphasort);

	ck_assert_msg(count >= 0 && count <= GOLDEN_FILES_MAX, "%s: %d entries",
		      dir, count);
	for (int i = 0; i < count; i++) {
		names[i] = strdup(entries[i]->d_name);
		ck_assert_ptr_nonnull(names[i]);
		free(entries[i]);
	}
	free(entries);
	return (size_t)count;
}

static void file_copy(const char *from, const char *to, const char *name)
{
	char *source = test_path_dup(from, name);
	char *target = test_path_dup(to, name);
	struct mbj_buf bytes;

	mbj_buf_init(&bytes, GOLDEN_FILE_MAX);
	golden_load(source, &bytes);
	golden_save(target, mbj_buf_view(&bytes));
	mbj_buf_done(&bytes);
	free(source);
	free(target);
}

void golden_copy(const char *from, const char *to)
{
	char *source = test_path_dup(from, "journal");
	char *target = test_path_dup(to, "journal");
	char *names[GOLDEN_FILES_MAX];
	size_t count = golden_list(source, names);

	ck_assert_int_eq(mkdir(to, 0700), 0);
	ck_assert_int_eq(mkdir(target, 0700), 0);
	file_copy(from, to, "mbj.store");
	for (size_t i = 0; i < count; i++) {
		file_copy(source, target, names[i]);
		free(names[i]);
	}
	free(source);
	free(target);
}
