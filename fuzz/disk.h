/*
 * A disk in memory under the system table (mbj/sys.h), for whole stores in a
 * fuzz target: made once, copied for each run, cut at any call.
 *
 * The model: a write or a change of a directory survives a power cut once it
 * was synced; of what was not, the first bytes of each file may survive.  Each
 * top-level directory is a machine of its own, which dies alone.
 *
 * Not here: reordered writes and single sectors, which the tests of the
 * journal cover; a fuzz target wants speed.
 *
 * Threads: one.
 */
#ifndef FUZZ_DISK_H
#define FUZZ_DISK_H

#include <mbj/sys.h>

struct disk;

/* Ends the process where there is no memory. */
struct disk *disk_new(void);
void disk_free(struct disk **disk);
/* Make to what from is; nothing is open on it, nobody is dead. */
void disk_copy(struct disk *to, const struct disk *from);
const struct mbj_sys *disk_sys(struct disk *disk);
/* What random ids follow from. */
void disk_seed(struct disk *disk, uint64_t seed);

/*
 * The machine that owns top-level directory name dies in its at-th call from
 * now on that changes something (1: the first; 0: never); that call still has
 * its effect, unsynced.  Every later call of it fails until disk_cut.
 */
void disk_arm(struct disk *disk, const char *name, unsigned at);
bool disk_is_dead(const struct disk *disk);
/* Die now. */
void disk_kill(struct disk *disk, const char *name);
/*
 * Power comes back: of what was not synced the first kept bytes of each file
 * are there.
 */
void disk_cut(struct disk *disk, const char *name, size_t kept);

#endif
