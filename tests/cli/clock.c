/*
 * A wall clock that is wrong by MBJ_CLOCK_SHIFT seconds, for LD_PRELOAD, also
 * as time(2) and gettimeofday(2) have it, and a monotonic one that is an hour
 * ahead as soon as there is a file MBJ_CLOCK_JUMP.  All other clocks are left
 * alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int
clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int (*next)(clockid_t, struct timespec *);
	const char *shift = getenv("MBJ_CLOCK_SHIFT");
	const char *jump = getenv("MBJ_CLOCK_JUMP");
	void *symbol = dlsym(RTLD_NEXT, "clock_gettime");
	int status;

	memcpy(&next, &symbol, sizeof(next));
	status = next(clock, ret_time);
	if (status == 0 && clock == CLOCK_REALTIME && shift)
		ret_time->tv_sec += strtol(shift, NULL, 10);
	if (status == 0 && clock == CLOCK_MONOTONIC && jump &&
	    access(jump, F_OK) == 0)
		ret_time->tv_sec += 3600;
	return status;
}

__attribute__((visibility("default"))) time_t time(time_t *ret_time)
{
	struct timespec now = {0, 0};

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret_time)
		*ret_time = now.tv_sec;
	return now.tv_sec;
}

__attribute__((visibility("default"))) int
gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
	struct timespec now = {0, 0};

	(void)zone; /* which nobody uses */
	(void)clock_gettime(CLOCK_REALTIME, &now);
	ret_time->tv_sec = now.tv_sec;
	ret_time->tv_usec = now.tv_nsec / 1000;
	return 0;
}
