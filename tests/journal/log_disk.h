/*
 * A disk in memory, under the system table: what was synced survives a power
 * cut, what was not may survive, in any part and any order.
 *
 * The model, stricter than any file system we know:
 *   - an unsynced write survives sector by sector (512 bytes), or not;
 *   - an entry made, renamed or removed survives once the directory is
 *     synced; of those after, some first ones do, or, where a test asks for
 *     file systems without a journal, any;
 *   - a sync that fails loses the writes before it for good, while reading
 *     still shows them (as Linux does, and PostgreSQL found out in 2018).
 *
 * One directory, "j"; files are "j/NAME".
 */
#ifndef TEST_JOURNAL_LOG_DISK_H
#define TEST_JOURNAL_LOG_DISK_H

#include <mbj/sys.h>

#include "support.h"

#define DISK_DIR "j"

/* What a power cut leaves of what was not synced. */
enum disk_cut {
	DISK_CUT_NOTHING, /* all of it is lost */
	DISK_CUT_ALL,	  /* all of it is there */
	DISK_CUT_RANDOM,
	DISK_CUT_NAMES, /* the same, and any change of a name by itself */
	DISK_CUT_KILL,	/* no power cut: the process died, the cache lives */
};

/* Calls that can be told to fail, one bit each. */
enum disk_call {
	DISK_CALL_CREATE = 1 << 0,
	DISK_CALL_WRITE = 1 << 1,
	DISK_CALL_SYNC = 1 << 2, /* of files and of the directory */
	DISK_CALL_RENAME = 1 << 3,
	DISK_CALL_UNLINK = 1 << 4,
	DISK_CALL_READ = 1 << 5,
	DISK_CALL_CHANGE = DISK_CALL_CREATE | DISK_CALL_WRITE | DISK_CALL_SYNC |
			   DISK_CALL_RENAME | DISK_CALL_UNLINK,
};

struct disk;

struct disk *disk_new(uint64_t seed);
/* A copy of what is on it and in its cache; nothing is open. */
struct disk *disk_dup(const struct disk *disk);
void disk_free(struct disk **disk);
const struct mbj_sys *disk_sys(struct disk *disk);

/* Calls of these kinds since the last disk_fail or disk_stop. */
uint64_t disk_calls(const struct disk *disk);
/* The at-th of these calls fails, once or from then on; 0: none. */
void disk_fail(struct disk *disk, unsigned calls, uint64_t at, int errnum,
	       bool is_for_good);
/*
 * The machine stops in the at-th call that changes something: that call takes
 * effect but unsynced, and no call works any more until disk_cut.
 */
void disk_stop(struct disk *disk, uint64_t at);
bool disk_is_stopped(const struct disk *disk);
/* Power comes back, or a new process: nothing fails, nothing is open. */
void disk_cut(struct disk *disk, enum disk_cut cut);

/* Limit of all files together; writing more is ENOSPC.  0: none. */
void disk_limit(struct disk *disk, uint64_t size);

bool disk_has(struct disk *disk, const char *name);
/* The content of a file as it is read; NULL where there is none. */
uint8_t *disk_file(struct disk *disk, const char *name, size_t *ret_n);
/* The same, made to have n bytes, zeroes behind. */
uint8_t *disk_resize(struct disk *disk, const char *name, size_t n);
void disk_remove(struct disk *disk, const char *name);
/* Names in byte order; NULL behind the last. */
const char *disk_name(struct disk *disk, size_t index);

#endif
