/*
 * A disk that hangs, for LD_PRELOAD: what is read of the file that the symbolic
 * link MBJ_HANG leads to comes once that link is gone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOOK_MS = 20 };

static int hangs(const char *link, int fd)
{
	char there[PATH_MAX] = "", here[PATH_MAX] = "", self[64];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return readlink(link, there, sizeof(there) - 1) > 0 &&
	       readlink(self, here, sizeof(here) - 1) > 0 &&
	       strcmp(there, here) == 0;
}

__attribute__((visibility("default"))) ssize_t pread64(int fd, void *p,
						       size_t n, __off64_t at)
{
	ssize_t (*next)(int, void *, size_t, __off64_t);
	const char *link = getenv("MBJ_HANG");
	void *symbol = dlsym(RTLD_NEXT, "pread64");

	memcpy(&next, &symbol, sizeof(next));
	while (link && hangs(link, fd))
		(void)poll(NULL, 0, LOOK_MS);
	return next(fd, p, n, at);
}
