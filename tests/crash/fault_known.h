/*
 * What was judged already.  Most faults leave a store behind that another fault
 * left just so, to the byte: it is judged once.  What judging reads is all in
 * the key: the bytes of the stores, what was acknowledged of them, and a clock
 * and a randomness that begin anew each time.
 *
 * Children of this process share it with their parent and each other, one at a
 * time.  Threads: one.
 */
#ifndef TEST_CRASH_FAULT_KNOWN_H
#define TEST_CRASH_FAULT_KNOWN_H

#include "disk.h"

struct fault_known;

struct fault_known *fault_known_new(void);
void fault_known_free(struct fault_known **known);

struct fault_key {
	struct mbj_hash hash;
};

/*
 * Of count paths of a disk, and of n bytes of what else matters.  Paths that
 * are NULL are not there.
 */
void fault_key_make(struct fault_known *known, struct disk *disk,
		    const char *const *paths, size_t count, const void *p,
		    size_t n, struct fault_key *ret_key);
/* The same was found good. */
bool fault_known_has(struct fault_known *known, const struct fault_key *key);
/* It was found good; forgotten where there is no space for more. */
void fault_known_add(struct fault_known *known, const struct fault_key *key);
/* How many were asked for, and how many of them were known. */
uint64_t fault_known_asked(const struct fault_known *known);
uint64_t fault_known_found(const struct fault_known *known);

#endif
