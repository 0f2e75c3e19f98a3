/*
 * The exam of one small edit through the shipped library: trees (mbj/tree.h),
 * their join (mbj/diff.h), the planner (mbj/plan.h), primitives as they are
 * recorded (journal/plan_op.h), guards and mutations by which primary and
 * replica apply them (mbj/apply.h) to a state (mbj/state.h).
 *
 * It passes where
 *   1. the plan has as many steps as the search of small.h says are needed;
 *   2. each step leaves a valid tree by the rules of small.h, and the last one
 *      the tree after;
 *   3. interrupted after any step k, the state is what the rules say, and when
 *      the whole group is delivered again the first k primitives are `already`
 *      and change nothing, the others apply, and the end is the same state;
 *   4. at every such moment a primitive that comes too early, or begins in
 *      another slot than the mailbox is in, gets the verdict that the rules
 *      give it, and changes nothing where that is not to apply it; a group
 *      (of one edit in eight) that ends elsewhere, follows a missing one,
 *      leaves somebody parked or comes twice likewise;
 *   5. after a later group has undone the edit, all primitives delivered once
 *      more are `already` and change nothing (A-B-A); where mailboxes are
 *      created or deleted nothing can undo it, and this is left out.
 *
 * Threads: one.
 */
#ifndef TEST_EXAM_H
#define TEST_EXAM_H

#include <mbj/memory.h>

#include "small.h"

enum { EXAM_WHY_SIZE = 256, EXAM_PARKS_MAX = SMALL_MAX };

/* What all cases of a run came to. */
struct exam_tally {
	uint64_t cases;
	uint64_t steps;
	uint64_t parks[EXAM_PARKS_MAX + 1]; /* plans by number of parks */
	uint64_t beyond_cycles; /* plans with more parks than slot cycles */
	uint64_t unproven;
	uint64_t resumes;
	uint64_t already; /* primitives delivered again */
	uint64_t early;	  /* primitives delivered too early */
	uint64_t groups;  /* edits delivered as groups, right and wrong */
	uint64_t undone;  /* edits that were undone, then delivered again */
};

struct exam;

/*
 * In a directory of its own; the caller frees.  is_thorough: point 4
 * too, half the time of an exam.
 */
struct exam *exam_new(bool is_thorough);
void exam_free(struct exam **exam);

/*
 * One edit more; false where it fails, and why says how.  parks is what the
 * plan may and must park.
 */
bool exam_case(struct exam *exam, const struct small *small, uint32_t parks,
	       struct exam_tally *tally, char why[EXAM_WHY_SIZE]);

#endif
