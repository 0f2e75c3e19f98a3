/*
 * A disk in memory, under both ways to the disk: the library's own system
 * table (struct mbj_sys) and real Berkeley DB (db_env_set_func_*).  Both write
 * into one ordered trace.  What was synced survives a power cut; what was not
 * may survive, in any part and any order.
 *
 * The model, stricter than any file system we know:
 *   - an unsynced write survives sector by sector (512 bytes), or not; where
 *     it made the file longer, the file may be longer with zeroes in it;
 *   - an entry made, renamed or removed survives once its directory is synced;
 *     of those after, some first ones do, directory by directory.  Syncing a
 *     file says nothing about its entry.  A rename into another directory is
 *     two such changes: a cut may leave both names, either, or none;
 *   - a sync that fails loses the writes before it for good, while reading
 *     still shows them (as Linux does).
 *
 * A power cut does not stop the program: an observer is told after each call
 * that changes something, cuts a copy, and lets the program go on.
 *
 * Paths are absolute and begin with the disk's root, a real and otherwise
 * empty directory: Berkeley DB asks stat(2) for the identity of a new file,
 * and that one call cannot be put aside.
 *
 * Threads: one.
 */
#ifndef TEST_DISK_H
#define TEST_DISK_H

#include <mbj/hash.h>
#include <mbj/sys.h>

#include "support.h"

/* X(name, word): what a power cut leaves of what was not synced. */
#define DISK_CUT_MAP(X)                                                     \
	X(NOTHING, "nothing")	  /* all of it is lost */                   \
	X(ALL, "all")		  /* all of it is there */                  \
	X(DATA, "data")		  /* writes are there, entries are not */   \
	X(NAMES, "names")	  /* entries are there, writes are not */   \
	X(PREFIX, "prefix")	  /* the first writes, the last one torn */ \
	X(TORN_512, "torn512")	  /* each sector for itself */              \
	X(TORN_4096, "torn4096")  /* each block for itself */               \
	X(REORDERED, "reordered") /* each write for itself */               \
	X(KILL, "kill") /* no cut: the process died, the cache lives */

enum disk_cut_kind {
#define X(name, word) DISK_CUT_##name,
	DISK_CUT_MAP(X)
#undef X
		DISK_CUT_COUNT
};

const char *disk_cut_name(enum disk_cut_kind kind);

/* X(name, bit, word): calls that can be counted and told to fail. */
#define DISK_CALL_MAP(X)                                             \
	X(CREATE, 0, "create") /* of an entry; or cutting it to 0 */ \
	X(WRITE, 1, "write")                                         \
	X(SYNC, 2, "sync") /* of files and directories */            \
	X(RENAME, 3, "rename")                                       \
	X(UNLINK, 4, "unlink") /* and rmdir */                       \
	X(READ, 5, "read")                                           \
	X(MKDIR, 6, "mkdir")                                         \
	X(TRUNCATE, 7, "truncate")                                   \
	X(OPEN, 8, "open") /* of what is there */                    \
	X(LOOK, 9, "look") /* stat, list, size, lock */

enum disk_call {
#define X(name, bit, word) DISK_CALL_##name = 1 << (bit),
	DISK_CALL_MAP(X)
#undef X
		DISK_CALL_CHANGE =
			DISK_CALL_CREATE | DISK_CALL_WRITE | DISK_CALL_SYNC |
			DISK_CALL_RENAME | DISK_CALL_UNLINK | DISK_CALL_MKDIR |
			DISK_CALL_TRUNCATE,
	DISK_CALL_KINDS = 10,
	DISK_CALL_ALL = (1 << DISK_CALL_KINDS) - 1,
};

const char *disk_call_name(enum disk_call call);

struct disk;

/* root: a real directory, outliving the disk. */
struct disk *disk_new(const char *root, uint64_t seed);
void disk_free(struct disk **disk);
/* What is on source and in its cache; nothing is open, nothing fails. */
void disk_copy(struct disk *target, const struct disk *source);
const struct mbj_sys *disk_sys(struct disk *disk);
const char *disk_root(const struct disk *disk);
/* A clock and a randomness that go on from a seed, whatever went before. */
void disk_begin(struct disk *disk, uint64_t seed);

/* ---------------------------------------------------------------- failing */

struct disk_fault {
	unsigned calls;	  /* which ones count: enum disk_call */
	uint64_t at;	  /* the one that fails, from 1; 0: none */
	int errnum;	  /* with this; 0: a write that stays short */
	bool is_for_good; /* all later ones too */
};

/* Counts from 0 again. */
void disk_fail(struct disk *disk, const struct disk_fault *fault);
/* Calls that counted since then, and whether one failed. */
uint64_t disk_calls(const struct disk *disk);
bool disk_has_failed(const struct disk *disk);
/* Calls of these kinds since then, whether they counted or not. */
uint64_t disk_calls_of(const struct disk *disk, unsigned calls);
/* Limit of all files together; writing more is ENOSPC.  0: none. */
void disk_limit(struct disk *disk, uint64_t size);
uint64_t disk_used(const struct disk *disk);

/* --------------------------------------------------------------- the trace */

/*
 * Called after each call that changed something, inside it: the disk must not
 * be changed; another one may be used.
 */
typedef void disk_watch_fn(void *context, struct disk *disk,
			   enum disk_call call, const char *path);
/* NULL: nobody watches. */
void disk_watch(struct disk *disk, disk_watch_fn *watch, void *context);
/* Changing calls since the disk was made or copied: the step in the trace. */
uint64_t disk_step(const struct disk *disk);

/* ---------------------------------------------------------------- cutting */

/*
 * What becomes of each unit that was not synced, in the order of the disk: a
 * sector of a write, or an entry of a directory.
 */
enum disk_fate { DISK_LOST, DISK_KEPT, DISK_ZEROED /* length, no bytes */ };

struct disk_choice {
	uint8_t *fates;
	size_t count;
	size_t capacity;
};

void disk_choice_done(struct disk_choice *choice);
/* The same disk, kind and seed: the same choice. */
void disk_choose(const struct disk *disk, enum disk_cut_kind kind,
		 uint64_t seed, struct disk_choice *choice);
/* What is there when power comes back, as a disk of its own. */
void disk_cut(struct disk *target, const struct disk *source,
	      enum disk_cut_kind kind, const struct disk_choice *choice);
/* One unit in words, for a report. */
void disk_unit_print(const struct disk *disk, size_t unit, char *text,
		     size_t size);

/* ------------------------------------------------------------ Berkeley DB */

/*
 * Send Berkeley DB's calls to this disk (NULL: to nobody, they fail), all of
 * them in this process; returns where they went before.  An environment is
 * used only while its disk is the one in use.
 */
struct disk *disk_db_use(struct disk *disk);
/* Berkeley DB's allocations: count, and fail the at-th (0: none). */
void disk_db_alloc_fail(uint64_t at, bool is_for_good);
uint64_t disk_db_allocs(void);
/*
 * Its calls that a signal can interrupt: count, and interrupt the at-th (0:
 * none).  Of ours none can: base/sys.c begins them again.
 */
void disk_db_interrupt(uint64_t at);
uint64_t disk_db_calls(void);
/*
 * That one is not begun again: of calls that are replaced, Berkeley DB repeats
 * reads alone (of those that are not, all but open).
 */
bool disk_db_is_struck(void);
/* Blocks that Berkeley DB holds. */
int64_t disk_db_blocks(void);

/* --------------------------------------------------------------- contents */

bool disk_has(const struct disk *disk, const char *path);
/* Its entry would survive a power cut now; nothing of it would be lost. */
bool disk_is_entered(const struct disk *disk, const char *path);
bool disk_is_synced(const struct disk *disk, const char *path);
/*
 * Names and contents of path and below, as they are read; zeroes where it is
 * not there.  Not where calls to look fail.
 */
void disk_hash(struct disk *disk, const char *path, struct mbj_sha256 *sha,
	       struct mbj_hash *ret_hash);
/* Of a file as it is read; false where there is none. */
bool disk_file_size(const struct disk *disk, const char *path, size_t *ret_n);

#endif
