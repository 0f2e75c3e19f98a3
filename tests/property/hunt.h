/*
 * Taking a family of small edits through the exam, in a process of its own,
 * so that a bug that ends the process is a failing case like any other.  A
 * failing case is made as small as it gets while it still fails, and the one
 * command that repeats it is printed.
 */
#ifndef TEST_HUNT_H
#define TEST_HUNT_H

#include "exam.h"
#include "family.h"

/* A family; what its numbers mean is its own affair. */
typedef bool hunt_source(const uint32_t numbers[3], family_each *each,
			 void *context);

struct hunt {
	const char *name;
	hunt_source *source;
	uint32_t numbers[3];
	uint64_t one_in; /* of so many edits one is taken; 1: all */
	uint64_t seed;	 /* chooses which */
	bool is_hasty;	 /* without point 4 of the exam */
};

/* False where a case failed; it has been printed. */
bool hunt_run(const struct hunt *hunt, struct exam_tally *ret_tally);

/* One case given as text: true where it passes.  Its plan is printed. */
bool hunt_repeat(const char *text);

void hunt_print(const char *name, const struct exam_tally *tally,
		double seconds);

#endif
