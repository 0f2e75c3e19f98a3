/*
 * Every edit of whole families of small trees through the exam (exam.h): the
 * shortest plan, a valid tree after every step, every interruption resumed.
 *
 *	test_exhaustive                 all of 8 flat names, small families
 *	                                whole, a tenth of the large ones
 *	test_exhaustive --long          everything
 *	test_exhaustive --case "..."    one edit, written as in small.h
 *
 * CK_RUN_CASE=flat|forests|types|pairs runs one part, MBJ_SEED=<number>
 * chooses the tenth.
 */
#ifndef TEST_EXHAUSTIVE_H
#define TEST_EXHAUSTIVE_H

#include "hunt.h"
#include "support.h"

TCase *test_flat_case(void);
TCase *test_forests_case(void);
TCase *test_types_case(void);
TCase *test_pairs_case(void);

bool hunt_is_long(void);
/* Of a large family one edit in so many is taken: a tenth, or all. */
uint64_t hunt_one_in(void);
/* Which: a seed that is printed; nothing to choose in a long run. */
uint64_t hunt_seed(void);

/* Hunt and print; the test fails where a case does or is not proven. */
void hunt_expect(const struct hunt *hunt, struct exam_tally *ret_tally);

/* One libcheck case of one test, run for rows 0 .. rows - 1. */
TCase *hunt_case(const char *noun, const TTest *test, int rows);

#endif
