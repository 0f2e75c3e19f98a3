/*
 * Edits for the planner's tests, written as one reads them:
 *
 *	sketch_make("a=A b=A/B", "b=A a=A/B")
 *
 * A letter is a mailbox, what follows its path.  Paths may come in any order;
 * a path's parent has to be there.  Names are compared without case, so that
 * "a=A" before and "a=a" after is a change of stored name alone.
 */
#ifndef TEST_PLAN_SKETCH_H
#define TEST_PLAN_SKETCH_H

#include <mbj/plan.h>

enum { SKETCH_ITEMS_MAX = 26, SKETCH_TEXT_MAX = 400 };

struct sketch {
	struct mbj_diff diff;
	struct mbj_diff_item items[SKETCH_ITEMS_MAX];
	uint8_t kinds[SKETCH_ITEMS_MAX];
	char letters[SKETCH_ITEMS_MAX + 1]; /* of each item */
};

void sketch_make(struct sketch *sketch, const char *before, const char *after);
uint32_t sketch_item(const struct sketch *sketch, char letter);

/*
 * Steps as text: "+a" create, "a" move, "-a" delete; "a^" to TEMP and "^a"
 * from it: "a^ b ^a" is a swap.
 */
void sketch_print(const struct sketch *sketch, const struct mbj_step *steps,
		  size_t count, char text[SKETCH_TEXT_MAX]);
/* And back; returns how many. */
size_t sketch_parse(const struct sketch *sketch, const char *text,
		    struct mbj_step *ret_steps);

#endif
