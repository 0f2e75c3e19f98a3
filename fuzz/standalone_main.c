/*
 * Replays inputs without libFuzzer: each argument is a file, or a directory
 * of files.  Fails where it finds none, so that an empty corpus is noticed.
 * With options first, where the target has a mutator of its own (FUZZ_DRIVE):
 * see drive.h.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fuzz.h"
#ifdef FUZZ_DRIVE
#include "drive.h"
#endif

enum { INPUT_MAX = 4 << 20, PATH_TEXT_MAX = 4096 };

static int file_replay(const char *path, uint8_t *bytes)
{
	FILE *file = fopen(path, "rb");
	size_t n;

	if (!file) {
		perror(path);
		return -1;
	}
	n = fread(bytes, 1, INPUT_MAX, file);
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(bytes, n);
	return 1;
}

/* Files replayed, or -1. */
static int path_replay(const char *path, uint8_t *bytes)
{
	char name[PATH_TEXT_MAX];
	struct dirent *entry;
	struct stat status;
	int count = 0;
	DIR *directory;

	if (stat(path, &status) != 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(status.st_mode))
		return file_replay(path, bytes);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		int n;

		if (entry->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%s/%s", path,
			       entry->d_name);
		n = file_replay(name, bytes);
		if (n < 0)
			count = -1;
		if (count < 0)
			break;
		count += n;
	}
	if (directory)
		(void)closedir(directory);
	return count;
}

int main(int argc, char **argv)
{
	uint8_t *bytes;
	int count = 0;
	int total = 0;

#ifdef FUZZ_DRIVE
	if (argc > 1 && argv[1][0] == '-')
		return drive(argc, argv);
#endif
	bytes = malloc(INPUT_MAX);
	for (int i = 1; bytes && count >= 0 && i < argc; i++) {
		count = path_replay(argv[i], bytes);
		total += count;
	}
	free(bytes);
	(void)printf("%d inputs replayed\n", total);
	return count >= 0 && total > 0 ? 0 : 1;
}
