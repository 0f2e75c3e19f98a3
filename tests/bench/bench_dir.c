/*
 * See bench_dir.h.
 */
#define _XOPEN_SOURCE 700 /* nftw */
#include "bench_dir.h"

#include <ftw.h>
#include <stdio.h>

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
