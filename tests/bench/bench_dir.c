/*
 * See bench_dir.h.
 */
#define _XOPEN_SOURCE 700 /* mkdtemp, nftw */
#include "bench_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

void bench_dir_make(char *ret_path, size_t size, const char *parent)
{
	int n;

	if (parent == NULL)
		parent = "/tmp";
	n = snprintf(ret_path, size, "%s/mbj-bench-XXXXXX", parent);
	if (n >= 0 && (size_t)n < size && mkdtemp(ret_path) != NULL)
		return;
	(void)fprintf(stderr, "bench: %s: no directory can be made there\n",
		      parent);
	exit(1);
}

static int entry_remove(const char *path, const struct stat *status, int kind,
			struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

int bench_dir_remove(const char *path)
{
	return nftw(path, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
}
