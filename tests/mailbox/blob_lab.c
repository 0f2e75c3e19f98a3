/*
 * See blob_lab.h.
 */
#include "blob_lab.h"

#include <errno.h>

char *blob_tmp;
char *blob_dir;

int blob_link_refused(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	(void)from;
	(void)to;
	return -EXDEV;
}

void blob_lab_setup(void)
{
	blob_tmp = test_tmpdir_new();
	blob_dir = test_path_dup(blob_tmp, "blobs");
}

void blob_lab_teardown(void)
{
	free(blob_dir);
	blob_dir = NULL;
	test_tmpdir_free(&blob_tmp);
}
