/*
 * Tests of the replay that every plan has to pass: it takes what is right and
 * names what is wrong.
 */
#include <stdlib.h>
#include <string.h>

#include "journal_cases.h"
#include "plan_sketch.h"

struct replay {
	const char *before;
	const char *after;
	const char *steps;
	const char *fault; /* part of the message; NULL: none */
};

static const struct replay replays[] = {
	{"", "", "", NULL},
	{"a=A", "a=A", "", NULL},
	{"a=A b=B", "a=B b=A", "a^ b ^a", NULL},
	{"a=A b=A/B", "b=A a=A/B", "b^ a ^b", NULL},
	{"a=A", "a=a", "a", NULL},
	{"a=A", "a=a", "a^ ^a", NULL},
	{"a=A b=A/B", "n=A", "b^ a^ +n -^b -^a", NULL},
	{"a=A", "n=A a=A/B", "+n^ a ^n", NULL},
	/* Where it ends. */
	{"a=A b=B", "a=B b=A", "", "elsewhere"},
	{"a=A b=B", "a=B b=A", "a^ b", "elsewhere"},
	{"a=A", "a=a", "", "elsewhere"},
	{"a=A", "", "", "elsewhere"},
	{"", "a=A", "", "elsewhere"},
	/* Where a step begins. */
	{"a=A", "a=A", "a", "in its place already"},
	{"a=A", "a=B", "a a", "in its place already"},
	{"a=A", "a=B", "+a", "not a mailbox to create"},
	{"", "a=A", "+^a", "not a mailbox to create"},
	{"", "a=A", "+a^ +a", "exists"},
	{"a=A", "a=B", "-a", "not a mailbox to delete"},
	{"", "a=A", "a", "does not exist"},
	{"a=A", "a=B", "^a", "not parked"},
	{"a=A", "a=B", "a^ a", "not in its slot"},
	{"a=A", "", "a^ -a", "not in its slot"},
	{"a=A", "", "-a -a", "in its place already"},
	/* Where it leads. */
	{"a=A b=B", "a=B b=A", "a b", "slot is taken"},
	{"a=A k=K", "a=B/A b=B k=K", "a +b", "parent does not exist"},
	{"a=A b=A/B", "b=B a=B/A", "a b", "mailbox or below"},
	{"a=A b=A/B c=A/B/C", "c=C b=B a=C/A", "a c b", "mailbox or below"},
	{"a=A b=A/B", "", "-a -b", "has children"},
	{"a=A b=A/B", "b=B", "a^ -^a b", "has children"},
	{"a=A", "", "-a^", "leads nowhere"},
	{"a=A", "a=B", "a^ ^a^", "parked already"},
	{"a=A", "", "a", "no place after"},
};

/*
 * Goal: each precondition is checked, and the end compared.  Method: a table
 * of step sequences, right ones and ones with a single fault.
 */
START_TEST(test_replays)
{
	const struct replay *replay = &replays[_i];
	struct sketch sketch;
	struct mbj_step steps[SKETCH_ITEMS_MAX];
	struct mbj_error err;
	size_t count;
	enum mbj_rc rc;

	sketch_make(&sketch, replay->before, replay->after);
	count = sketch_parse(&sketch, replay->steps, steps);
	rc = mbj_plan_check(&sketch.diff, steps, count, &err);
	if (replay->fault == NULL) {
		ck_assert_msg(rc == MBJ_OK, "%s: %s", replay->steps,
			      err.message);
		return;
	}
	ck_assert_msg(rc == MBJ_ECORRUPT, "%s passed", replay->steps);
	ck_assert_msg(strstr(err.message, replay->fault) != NULL, "%s: %s",
		      replay->steps, err.message);
}
END_TEST

/*
 * Goal: bytes that are no step, and tables that are no trees, are refused.
 * Method: one of each.
 */
START_TEST(test_nonsense)
{
	struct sketch sketch;
	struct mbj_step step = {.item = 1, .kind = MBJ_STEP_MOVE};
	struct mbj_error err;

	sketch_make(&sketch, "a=A", "a=B");
	ck_assert_int_eq(mbj_plan_check(&sketch.diff, &step, 1, &err),
			 MBJ_ECORRUPT);
	step = (struct mbj_step){.item = 0, .kind = 9};
	ck_assert_int_eq(mbj_plan_check(&sketch.diff, &step, 1, &err),
			 MBJ_ECORRUPT);
	sketch.items[0].key[1] = 2;
	ck_assert_int_eq(mbj_plan_check(&sketch.diff, NULL, 0, &err),
			 MBJ_ECORRUPT);
	sketch.items[0].key[1] = 1;
	sketch.items[0].parent[0] = 7;
	ck_assert_int_eq(mbj_plan_check(&sketch.diff, NULL, 0, &err),
			 MBJ_ECORRUPT);
	/* Two that want one slot which nobody has before. */
	sketch_make(&sketch, "a=A b=B", "a=C b=D");
	sketch.items[1].key[1] = sketch.items[0].key[1];
	{
		struct mbj_step steps[2];

		ck_assert_uint_eq(sketch_parse(&sketch, "a b", steps), 2);
		ck_assert_int_eq(mbj_plan_check(&sketch.diff, steps, 2, &err),
				 MBJ_ECORRUPT);
	}
}
END_TEST

static void refuses_below(const struct sketch *sketch, const char *text)
{
	struct mbj_step steps[SKETCH_ITEMS_MAX];
	struct mbj_error err;
	size_t count = sketch_parse(sketch, text, steps);

	ck_assert_int_eq(mbj_plan_check(&sketch->diff, steps, count, &err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "mailbox or below"));
}

/*
 * Goal: no step leads below the mailbox itself, and no walk goes on for ever,
 * in tables that are no trees.  Method: one of its own place after in itself;
 * and one that is to go below a ring.
 */
START_TEST(test_rings)
{
	struct sketch sketch;

	sketch_make(&sketch, "a=A", "a=B");
	sketch.items[0].parent[1] = 0;
	refuses_below(&sketch, "a");
	sketch_make(&sketch, "a=A b=B c=C d=C/D", "a=A b=B c=A/C d=A/C/D");
	for (int side = 0; side < 2; side++) {
		sketch.items[0].parent[side] = 1;
		sketch.items[1].parent[side] = 0;
	}
	refuses_below(&sketch, "c");
}
END_TEST

/*
 * An edit whose trees in between are deep: a chain of count mailboxes, each
 * with one more beside it, taken down from below and built up again.
 */
struct deep {
	struct mbj_diff diff;
	struct mbj_step *steps;
	size_t count;
};

static void deep_init(struct deep *deep, uint32_t count)
{
	struct mbj_diff *diff = &deep->diff;

	*diff = (struct mbj_diff){.count = 2 * count, .key_count = 2 * count};
	diff->items = calloc(2 * (size_t)count, sizeof(*diff->items));
	diff->kind = calloc(2 * (size_t)count, 1);
	deep->steps = calloc(2 * (size_t)count, sizeof(*deep->steps));
	deep->count = count - 1;
	ck_assert(diff->items != NULL && diff->kind != NULL &&
		  deep->steps != NULL);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t above = i == 0 ? MBJ_NODE_ROOT : count + i - 1;

		diff->items[i] =
			(struct mbj_diff_item){{MBJ_NODE_ROOT, above}, {i, i}};
		diff->items[count + i] =
			(struct mbj_diff_item){{i, i}, {count + i, count + i}};
		diff->kind[i] = i == 0 ? MBJ_DIFF_KEEP : MBJ_DIFF_MOVE;
		/* The lowest first would be cheap: each walk is long so. */
		if (i > 0)
			deep->steps[i - 1] =
				(struct mbj_step){.item = i,
						  .kind = MBJ_STEP_MOVE};
	}
}

static void deep_done(struct deep *deep)
{
	free(deep->diff.items);
	free(deep->diff.kind);
	free(deep->steps);
}

/*
 * Goal: chains deeper than any tree may be are checked right, and a mailbox
 * that would go below itself is found there too.  Method: build one of 8,000
 * from the top, so that each walk is as long as it can be; then let the last
 * step make a ring.
 */
START_TEST(test_deep)
{
	const uint32_t count = 4000;
	struct deep deep;
	struct mbj_error err;

	deep_init(&deep, count);
	ck_assert_int_eq(mbj_plan_check(&deep.diff, deep.steps, deep.count,
					&err),
			 MBJ_OK);
	/* The topmost goes below the lowest: no tree after. */
	deep.diff.items[0].parent[MBJ_AFTER] = 2 * count - 1;
	deep.diff.kind[0] = MBJ_DIFF_MOVE;
	deep.steps[deep.count++] =
		(struct mbj_step){.item = 0, .kind = MBJ_STEP_MOVE};
	ck_assert_int_eq(mbj_plan_check(&deep.diff, deep.steps, deep.count,
					&err),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(err.message, "mailbox or below"));
	deep_done(&deep);
}
END_TEST

/*
 * Goal: a failed allocation is reported and leaks nothing, on the deep path
 * too.  Method: fail each in turn.
 */
START_TEST(test_memory)
{
	struct deep deep;
	struct mbj_error err;
	enum mbj_rc rc = MBJ_ENOMEM;
	uint64_t k;

	deep_init(&deep, 2000);
	for (k = 1; rc != MBJ_OK; k++) {
		test_alloc_fail_at(k);
		rc = mbj_plan_check(&deep.diff, deep.steps, deep.count, &err);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
	}
	test_alloc_fail_at(0);
	/* Places, groups of both sides, keys, and the forest. */
	ck_assert_uint_ge(k, 7);
	deep_done(&deep);
}
END_TEST

TCase *test_plan_check_case(void)
{
	TCase *tc = tcase_create("plan_check");

	tcase_add_loop_test(tc, test_replays, 0,
			    (int)(sizeof(replays) / sizeof(replays[0])));
	tcase_add_test(tc, test_nonsense);
	tcase_add_test(tc, test_rings);
	tcase_add_test(tc, test_deep);
	tcase_add_test(tc, test_memory);
	return tc;
}
