/*
 * Failing reads of a state: the engine behind it keeps its word in all but
 * that the k-th record asked for cannot be had, or comes damaged.  What the
 * cache knows is not asked for: open the state with records_cached_max 0 and
 * begin a transaction.
 *
 * Threads: one.
 */
#ifndef TEST_JOURNAL_READ_FAULT_H
#define TEST_JOURNAL_READ_FAULT_H

#include <mbj/state.h>

/* Stand between a state and its engine until the state is closed. */
void read_fault_begin(struct mbj_state *state);
/* The k-th read from now on fails with EIO, once or from then on; 0: none. */
void read_fault_at(uint64_t k, bool is_for_good);
/* The k-th read from now on gives one byte, and not the right one. */
void read_fault_damage(uint64_t k);
/* Reads since read_fault_at. */
uint64_t read_fault_count(void);

#endif
