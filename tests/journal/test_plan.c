/*
 * Tests of the planner on edits that one can read, and on large ones whose
 * right answer is known without a search.
 */
#include <stdlib.h>

#include "journal_cases.h"
#include "plan_sketch.h"

static const struct mbj_plan_options standard = {32, 200000};

static void make(const struct mbj_diff *diff, struct mbj_plan *ret_plan)
{
	struct mbj_error err;

	if (mbj_plan_make(diff, &standard, ret_plan, &err) != MBJ_OK)
		ck_abort_msg("%s", err.message);
	ck_assert_uint_eq(ret_plan->count,
			  ret_plan->lower_bound + ret_plan->parks);
}

struct edit {
	const char *before;
	const char *after;
	size_t parks;
	const char *steps; /* NULL: any */
};

static const struct edit edits[] = {
	{"", "", 0, ""},
	{"a=A", "a=A", 0, ""},
	{"", "a=A b=A/B", 0, "+a +b"},
	{"a=A b=A/B", "", 0, "-b -a"},
	{"a=A", "a=B", 0, "a"},
	/* Only the stored name changes: its slot is its own. */
	{"a=Work", "a=WORK", 0, "a"},
	{"a=A b=B", "a=b b=a", 1, NULL},
	{"a=A b=B c=C", "a=B b=C c=A", 1, NULL},
	{"a=A b=B c=C d=D", "a=B b=A c=D d=C", 2, NULL},
	{"a=A b=B c=C", "a=B b=C c=D", 0, "c b a"},
	/* A mailbox and its child change places; a parent goes under its. */
	{"a=A b=A/B", "b=A a=A/B", 1, NULL},
	{"a=A b=A/B", "b=B a=B/A", 0, "b a"},
	{"a=A b=A/B c=A/B/C", "c=C b=C/B a=C/B/A", 0, "c b a"},
	/*
	 * v could go first, into b while that is still below w, and then w
	 * could not go below v any more; from the top down each waits for the
	 * next.  w goes below v before v has its place.
	 */
	{"w=W b=W/B v=V", "b=W v=W/V w=W/V/X", 0, "w b v"},
	/* Under a created one; a name used again after a delete. */
	{"a=A", "n=N a=N/A", 0, "+n a"},
	{"a=A", "n=A a=A/B", 1, NULL},
	{"a=A", "n=A", 0, "-a +n"},
	{"a=A b=A/B", "b=A", 1, NULL},
	{"a=A b=A/B", "n=A b=B", 0, "b -a +n"},
	{"a=A b=A/B", "n=A b=A/B", 1, NULL},
	/* A child takes its deleted parent's name. */
	{"a=A b=A/B c=A/C", "b=A c=A/C", 1, NULL},
	/*
	 * Parking what is to be deleted carries i out from below t, so that t
	 * can go below i.
	 */
	{"t=A d=A/A i=A/A/B j=A/A/A", "i=A t=A/A j=A/A/A", 1, NULL},
	{"a=A b=B c=B/C", "b=A c=A/C", 0, "-a b"},
};

/*
 * Goal: each of these gets as few parks as it needs, proven.  Method: a table
 * of edits with the number of parks and, where only one order is right, the
 * steps.
 */
START_TEST(test_edits)
{
	const struct edit *edit = &edits[_i];
	struct sketch sketch;
	struct mbj_plan plan;
	char text[SKETCH_TEXT_MAX];

	sketch_make(&sketch, edit->before, edit->after);
	make(&sketch.diff, &plan);
	sketch_print(&sketch, plan.steps, plan.count, text);
	ck_assert_msg(plan.parks == edit->parks, "%s -> %s: %s", edit->before,
		      edit->after, text);
	ck_assert(plan.is_proven);
	if (edit->steps != NULL)
		ck_assert_str_eq(text, edit->steps);
	mbj_plan_done(&plan);
	ck_assert_ptr_null(plan.steps);
}
END_TEST

/* An edit of many mailboxes, each with a name of its own. */
struct large {
	struct mbj_diff diff;
};

static void large_init(struct large *large, uint32_t count)
{
	struct mbj_diff *diff = &large->diff;

	*diff = (struct mbj_diff){.count = count, .key_count = count};
	diff->items = calloc(count, sizeof(*diff->items));
	diff->kind = calloc(count, 1);
	ck_assert(diff->items != NULL && diff->kind != NULL);
	for (uint32_t i = 0; i < count; i++) {
		diff->items[i] =
			(struct mbj_diff_item){{MBJ_NODE_ROOT, MBJ_NODE_ROOT},
					       {i, i}};
		diff->kind[i] = MBJ_DIFF_MOVE;
	}
}

static void large_done(struct large *large)
{
	free(large->diff.items);
	free(large->diff.kind);
}

/*
 * Goal: one cycle of 10,000 slots needs exactly one park, proven, although no
 * search looks at so many.  Method: everybody takes the next one's name.
 */
START_TEST(test_cycle)
{
	const uint32_t count = 10000;
	struct large large;
	struct mbj_plan plan;

	large_init(&large, count);
	for (uint32_t i = 0; i < count; i++)
		large.diff.items[i].key[1] = (i + 1) % count;
	make(&large.diff, &plan);
	ck_assert_uint_eq(plan.parks, 1);
	ck_assert_uint_eq(plan.count, count + 1);
	ck_assert(plan.is_proven);
	mbj_plan_done(&plan);
	large_done(&large);
}
END_TEST

/*
 * Goal: a chain of 3,000 turned upside down needs no park, one whose ends also
 * exchange the top slot needs one; no recursion overflows.  Method: as said.
 */
START_TEST(test_chain)
{
	const uint32_t count = 3000;
	struct large large;
	struct mbj_plan plan;

	large_init(&large, count);
	for (uint32_t i = 0; i + 1 < count; i++) {
		large.diff.items[i + 1].parent[0] = i;
		large.diff.items[i].parent[1] = i + 1;
	}
	make(&large.diff, &plan);
	ck_assert_uint_eq(plan.count, count);
	ck_assert(plan.is_proven);
	mbj_plan_done(&plan);
	large.diff.items[count - 1].key[1] = 0;
	make(&large.diff, &plan);
	/* Best, but too large a knot to prove it. */
	ck_assert_uint_eq(plan.parks, 1);
	mbj_plan_done(&plan);
	large_done(&large);
}
END_TEST

/*
 * Goal: trees in between may be deeper than any limit.  Method: flat trees
 * before and after, but every mailbox goes below the child of the one before
 * it, last first, so that the chain grows to 20,000.
 */
START_TEST(test_deep_between)
{
	const uint32_t half = 10000;
	struct large large;
	struct mbj_plan plan;

	large_init(&large, 2 * half);
	for (uint32_t i = 0; i < half; i++) {
		large.diff.items[half + i].parent[0] = i;
		large.diff.items[half + i].key[1] = half + i;
		if (i > 0)
			large.diff.items[i].parent[1] = half + i - 1;
		else
			large.diff.kind[i] = MBJ_DIFF_KEEP;
	}
	make(&large.diff, &plan);
	ck_assert_uint_eq(plan.parks, 0);
	ck_assert(plan.is_proven);
	mbj_plan_done(&plan);
	large_done(&large);
}
END_TEST

/* Five exchanges of a mailbox with its child, all below each other. */
static void sketch_tangled(struct sketch *sketch)
{
	sketch_make(sketch, "a=A b=A/A c=A/A/A d=A/A/A/A e=A/B f=A/B/A g=G",
		    "d=A g=A/A b=A/A/A a=A/A/A/A e=A/A/B c=A/B f=G");
}

/*
 * Goal: options bound the search, and the plan says what is not proven.
 * Method: an edit whose heuristics miss the lower bound, without any search.
 */
START_TEST(test_options)
{
	const struct mbj_plan_options none[] = {{0, 200000}, {32, 0}};
	struct sketch sketch;
	struct mbj_plan best;
	struct mbj_plan plan;
	struct mbj_error err;

	sketch_tangled(&sketch);
	make(&sketch.diff, &best);
	ck_assert(best.is_proven);
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(mbj_plan_make(&sketch.diff, &none[i], &plan,
					       &err),
				 MBJ_OK);
		ck_assert_uint_ge(plan.count, best.count);
		ck_assert(!plan.is_proven);
		mbj_plan_done(&plan);
	}
	mbj_plan_done(&best);
}
END_TEST

/*
 * Goal: a failed allocation is reported, leaks nothing and gives no plan.
 * Method: fail each one in turn, for planning and for the drawing's graph.
 */
START_TEST(test_memory)
{
	struct sketch sketch;
	struct mbj_plan plan;
	struct mbj_waits waits;
	struct mbj_error err;
	enum mbj_rc rc = MBJ_ENOMEM;

	sketch_tangled(&sketch);
	for (uint64_t k = 1; rc != MBJ_OK; k++) {
		test_alloc_fail_at(k);
		rc = mbj_plan_make(&sketch.diff, &standard, &plan, &err);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
	}
	mbj_plan_done(&plan);
	rc = MBJ_ENOMEM;
	for (uint64_t k = 1; rc != MBJ_OK; k++) {
		test_alloc_fail_at(k);
		rc = mbj_plan_waits(&sketch.diff, &waits, &err);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
	}
	mbj_waits_done(&waits);
	test_alloc_fail_at(0);
}
END_TEST

static bool waits_has(const struct sketch *sketch,
		      const struct mbj_waits *waits, char from, char to)
{
	for (uint32_t i = 0; i < waits->count; i++)
		if (waits->edges[i][0] == sketch_item(sketch, from) &&
		    waits->edges[i][1] == sketch_item(sketch, to))
			return true;
	return false;
}

/*
 * Goal: the graph for drawings names each wait once and groups who interacts.
 * Method: an edit with one wait of every kind.
 */
START_TEST(test_waits)
{
	struct sketch sketch;
	struct mbj_waits waits;
	struct mbj_error err;

	/* a waits for b's slot, b for the created n, d for its child e, */
	/* p for what is above its target, q; k is kept. */
	sketch_make(&sketch, "a=A b=B d=D e=D/E k=K p=P q=P/Q",
		    "a=B n=N b=N/B e=E k=K q=Q p=Q/P");
	ck_assert_int_eq(mbj_plan_waits(&sketch.diff, &waits, &err), MBJ_OK);
	ck_assert(waits_has(&sketch, &waits, 'a', 'b'));
	ck_assert(waits_has(&sketch, &waits, 'b', 'n'));
	ck_assert(waits_has(&sketch, &waits, 'd', 'e'));
	ck_assert(waits_has(&sketch, &waits, 'p', 'q'));
	ck_assert_uint_eq(waits.count, 4);
	ck_assert_uint_eq(waits.component[sketch_item(&sketch, 'k')],
			  MBJ_NODE_NONE);
	ck_assert_uint_eq(waits.component_size[sketch_item(&sketch, 'a')], 1);
	mbj_waits_done(&waits);
	sketch_make(&sketch, "a=A b=A/B k=K c=C", "b=A a=A/B k=K c=D");
	ck_assert_int_eq(mbj_plan_waits(&sketch.diff, &waits, &err), MBJ_OK);
	ck_assert_uint_eq(waits.component_size[0], 2);
	ck_assert_uint_eq(waits.component_size[1], 2);
	ck_assert_uint_eq(waits.component[0], waits.component[1]);
	ck_assert_uint_ne(waits.component[0],
			  waits.component[sketch_item(&sketch, 'c')]);
	ck_assert_uint_eq(waits.component_size[sketch_item(&sketch, 'c')], 1);
	mbj_waits_done(&waits);
}
END_TEST

/*
 * Goal: who goes below a kept mailbox waits for the nearest moved one above
 * it, however many go there.  Method: v and w go below kept ones whose parent
 * p moves out of v; v's way there is the longer one.
 */
START_TEST(test_waits_above_kept)
{
	struct sketch sketch;
	struct mbj_waits waits;
	struct mbj_error err;

	sketch_make(&sketch,
		    "w=W v=W/V p=W/V/P k=W/V/P/K j=W/V/P/K/J i=W/V/P/K/J/I",
		    "p=P k=P/K j=P/K/J i=P/K/J/I v=P/K/J/I/V w=P/K/J/W");
	ck_assert_int_eq(mbj_plan_waits(&sketch.diff, &waits, &err), MBJ_OK);
	ck_assert(waits_has(&sketch, &waits, 'v', 'p'));
	ck_assert(waits_has(&sketch, &waits, 'w', 'p'));
	ck_assert_uint_eq(waits.count, 2);
	mbj_waits_done(&waits);
}
END_TEST

TCase *test_plan_case(void)
{
	TCase *tc = tcase_create("plan");

	tcase_add_loop_test(tc, test_edits, 0,
			    (int)(sizeof(edits) / sizeof(edits[0])));
	tcase_add_test(tc, test_cycle);
	tcase_add_test(tc, test_chain);
	tcase_add_test(tc, test_deep_between);
	tcase_add_test(tc, test_options);
	tcase_add_test(tc, test_memory);
	tcase_add_test(tc, test_waits);
	tcase_add_test(tc, test_waits_above_kept);
	return tc;
}
