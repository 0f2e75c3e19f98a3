/*
 * bench_serve's parts to each other: what the service is measured against.
 */
#ifndef MBJ_BENCH_SERVE_H
#define MBJ_BENCH_SERVE_H

#include <mbj/error.h>

enum {
	CLIENTS = 32,
	BODY_SIZE = 2048,
	RECORD_SIZE = 336, /* a group with one append, as the journal has it */
};

_Noreturn void stop(const char *what, const struct mbj_error *err);

/*
 * Calls of fdatasync behind a write of 4 KiB, in seconds each, to a file that
 * is made once: who measures beside others writes no more than that.
 */
int bare_sync_begin(const char *dir);
double bare_sync_time(int fd, unsigned count);
/*
 * Appends a second of a bare program: for each message what the store does to
 * files (written under another name, synced, renamed into one of 256 folders,
 * the folder synced), each thread its own; then, for as many as there are
 * threads, one write and sync of the records.
 */
double bare_files(const char *dir, unsigned threads, unsigned count);
/* The same bytes, one behind the other in one file: one sync for all. */
double bare_log(const char *dir, unsigned group, unsigned count);
/*
 * The same bytes as records of a Berkeley DB queue, one transaction each, which
 * so many processes share.
 */
double bare_queue(const char *dir, unsigned processes, unsigned count);

#endif
