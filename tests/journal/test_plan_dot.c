/*
 * Tests of drawings: both trees and the knots are in them, whatever the names
 * hold, and Graphviz renders them.
 */
#define _GNU_SOURCE /* popen(3) */

#include <stdlib.h>

#include "jmap_lab.h"

static struct mbj_buf buf;

static void setup(void)
{
	mbj_buf_init(&buf, 16 << 20);
}

static void teardown(void)
{
	mbj_buf_done(&buf);
}

static const char *dot(const struct mbj_jmap_plan *plan)
{
	struct mbj_error err;

	mbj_buf_clear(&buf);
	lab_ok(mbj_jmap_plan_dot(plan, &buf, &err), err);
	return lab_text(&buf);
}

/* Names that would be something to DOT, SVG or a terminal. */
static const char odd_before[] =
	"{\"list\":[{\"id\":\"a\",\"name\":\"q\\\"\\\\N&lt;<b>\",\"parentId\":"
	"null},{\"id\":\"b\",\"name\":\"\\u202e\xd7\xa9\\\\\",\"parentId\":"
	"null},{\"id\":\"c\",\"name\":\"node -> [x=1];}\",\"parentId\":\"b\"},"
	"{\"id\":\"d\",\"name\":\"gone\",\"parentId\":\"c\"}]}";
static const char odd_after[] =
	"{\"list\":[{\"id\":\"a\",\"name\":\"\\u202e\xd7\xa9\\\\\",\"parentId\""
	":null},{\"id\":\"b\",\"name\":\"q\\\"\\\\N&lt;<b>\",\"parentId\":"
	"null},{\"id\":\"c\",\"name\":\"node -> [x=1];}\",\"parentId\":\"a\"},"
	"{\"id\":\"e\",\"name\":\"new\",\"parentId\":\"c\"}]}";

/*
 * Goal: the drawing shows both trees and the knot with its park, and odd
 * names stay names.
 * Method: parts of the text of a swap between names full of syntax.
 */
START_TEST(drawings_show_the_knot)
{
	struct lab_plan lab;
	const char *drawn;

	lab_plan_init(&lab, odd_before, odd_after);
	drawn = dot(lab.shown);
	lab_has(drawn, "digraph plan {\n  label=\"6 steps, at least 5 needed, "
		       "1 parked, proven shortest\";\n");
	/* Before and after. */
	lab_has(drawn, "b0 [label=\"q\\\"\\\\\\\\N&amp;lt;<b>\", "
		       "fillcolor=\"#c6dbef\"];\n    broot -> b0;\n");
	lab_has(drawn, "b3 [label=\"gone\", fillcolor=\"#fcbba1\"];\n"
		       "    b2 -> b3;\n");
	lab_has(drawn, "a3 [label=\"new\", fillcolor=\"#c7e9c0\"];\n"
		       "    a2 -> a3;\n");
	/* The knot of a and b, one of them parked; c waits for nobody. */
	lab_has(drawn, "w0 -> w1 [color=");
	lab_has(drawn, "w1 -> w0 [color=");
	lab_has(drawn, "\\nparked\", fillcolor=\"#c6dbef\", peripheries=2, "
		       "color=");
	lab_has(drawn, "w2 [label=\"node -> [x=1];}\", "
		       "fillcolor=\"#c6dbef\"];\n");
	lab_plan_done(&lab);
}
END_TEST

/* Is Graphviz here? */
static bool can_render(void)
{
	FILE *pipe = popen("dot -V 2>/dev/null", "r");

	return pipe != NULL && pclose(pipe) == 0;
}

/*
 * Goal: Graphviz renders what is drawn, with every name as its label.
 * Method: dot -Tsvg on the drawing; skipped, visibly, where there is no dot.
 */
START_TEST(graphviz_renders_drawings)
{
	char command[512], chunk[4096], *dir, *path;
	struct lab_plan lab;
	struct mbj_buf svg;
	FILE *file;
	size_t n;

	if (!can_render()) {
		printf("graphviz_renders_drawings: skipped, no dot here\n");
		return;
	}
	dir = test_tmpdir_new();
	path = test_path_dup(dir, "plan.dot");
	lab_plan_init(&lab, odd_before, odd_after);
	(void)dot(lab.shown);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_uint_eq(fwrite(buf.p, 1, buf.n, file), buf.n);
	ck_assert_int_eq(fclose(file), 0);
	ck_assert_int_lt(snprintf(command, sizeof(command),
				  "dot -Tsvg '%s' 2>&1", path),
			 (int)sizeof(command));
	file = popen(command, "r");
	ck_assert_ptr_nonnull(file);
	mbj_buf_init(&svg, 16 << 20);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		mbj_buf_put(&svg, chunk, n);
	ck_assert_int_eq(pclose(file), 0);
	free(path);
	test_tmpdir_free(&dir);
	lab_has(lab_text(&svg), "</svg>");
	ck_assert_ptr_null(strstr(lab_text(&svg), "Error"));
	ck_assert_ptr_null(strstr(lab_text(&svg), "Warning"));
	lab_has(lab_text(&svg), ">q&quot;\\\\N&amp;lt;&lt;b&gt;</text>");
	lab_has(lab_text(&svg), ">\\u{202E}\xd7\xa9\\\\</text>");
	mbj_buf_done(&svg);
	lab_plan_done(&lab);
}
END_TEST

/* A list of count mailboxes at the top, of which the first two are swapped. */
static struct mbj_buf wide_make(int count, bool is_after)
{
	struct mbj_buf list;

	mbj_buf_init(&list, 1 << 20);
	mbj_buf_put_str(&list, "{\"list\":[");
	for (int i = 0; i < count; i++)
		mbj_buf_format(&list,
			       "%s{\"id\":\"m%d\",\"name\":\"n%d\","
			       "\"parentId\":null}",
			       i == 0 ? "" : ",", i,
			       is_after && i < 2 ? 1 - i : i);
	mbj_buf_put_str(&list, "]}");
	return list;
}

/*
 * Goal: of a large tree only what changes is drawn, and the rest counted.
 * Method: a swap in a tree of 400 and in one of 401.
 */
START_TEST(large_trees_are_drawn_in_part)
{
	for (int count = 400; count <= 401; count++) {
		struct mbj_buf lists[2] = {wide_make(count, false),
					   wide_make(count, true)};
		struct lab_plan lab;
		const char *drawn;

		lab_plan_init(&lab, lab_text(&lists[0]), lab_text(&lists[1]));
		drawn = dot(lab.shown);
		lab_has(drawn, "b0 [label=\"n0\"");
		ck_assert_int_eq(strstr(drawn, "\"n7\"") != NULL, count == 400);
		ck_assert_int_eq(strstr(drawn, "and 399 that do not change") !=
					 NULL,
				 count == 401);
		lab_plan_done(&lab);
		mbj_buf_done(&lists[0]);
		mbj_buf_done(&lists[1]);
	}
}
END_TEST

/*
 * Goal: an arrow has a knot's colour where both its ends are in the knot, and
 * none elsewhere.
 * Method: d waits for its children, one of which waits for d's name; e waits
 * for f, and neither is in a knot.
 */
START_TEST(arrows_of_a_knot_have_its_colour)
{
	struct lab_plan lab;
	const char *drawn;

	lab_plan_init(&lab,
		      "{\"list\":[{\"id\":\"d\",\"name\":\"A\",\"parentId\":"
		      "null},{\"id\":\"a\",\"name\":\"B\",\"parentId\":\"d\"},"
		      "{\"id\":\"c\",\"name\":\"C\",\"parentId\":\"d\"},"
		      "{\"id\":\"e\",\"name\":\"E\",\"parentId\":null},"
		      "{\"id\":\"f\",\"name\":\"F\",\"parentId\":null}]}",
		      "{\"list\":[{\"id\":\"a\",\"name\":\"A\",\"parentId\":"
		      "null},{\"id\":\"c\",\"name\":\"C\",\"parentId\":null},"
		      "{\"id\":\"e\",\"name\":\"F\",\"parentId\":null},"
		      "{\"id\":\"f\",\"name\":\"G\",\"parentId\":null}]}");
	drawn = dot(lab.shown);
	lab_has(drawn, "    w0 -> w1 [color=");
	lab_has(drawn, "    w1 -> w0 [color=");
	lab_has(drawn, "    w0 -> w2;\n");
	lab_has(drawn, "    w3 -> w4;\n");
	lab_plan_done(&lab);
}
END_TEST

/*
 * Goal: one that is parked to be deleted is drawn as parked, although the tree
 * after does not have it.
 * Method: parking d takes i out from below t, so that t can go below i, and
 * leaves its slot to j.
 */
START_TEST(deleted_ones_are_drawn_as_parked)
{
	struct lab_plan lab;

	lab_plan_init(&lab,
		      "{\"list\":[{\"id\":\"t\",\"name\":\"A\",\"parentId\":"
		      "null},{\"id\":\"d\",\"name\":\"D\",\"parentId\":\"t\"},"
		      "{\"id\":\"i\",\"name\":\"B\",\"parentId\":\"d\"},"
		      "{\"id\":\"j\",\"name\":\"J\",\"parentId\":\"d\"}]}",
		      "{\"list\":[{\"id\":\"i\",\"name\":\"A\",\"parentId\":"
		      "null},{\"id\":\"t\",\"name\":\"D\",\"parentId\":\"i\"},"
		      "{\"id\":\"j\",\"name\":\"D\",\"parentId\":\"t\"}]}");
	ck_assert_uint_eq(lab.plan.parks, 1);
	lab_has(dot(lab.shown), "    w1 [label=\"D\\nparked\", "
				"fillcolor=\"#fcbba1\", peripheries=2, ");
	lab_plan_done(&lab);
}
END_TEST

/*
 * Goal: what the tree after does not have any more is drawn before only.
 * Method: a group that deletes one of two; the tree that is made of it keeps
 * the number of the one that is gone.
 */
START_TEST(groups_leave_gaps_that_are_not_drawn)
{
	const struct mbj_name names[] = {
		{mbj_bytes_str("left"), mbj_bytes_str("left")},
		{mbj_bytes_str("gone"), mbj_bytes_str("gone")},
	};
	struct mbj_op op = {.kind = MBJ_OP_MAILBOX_DELETE,
			    .id = lab_id(2),
			    .rev = 1,
			    .from = {MBJ_ID_ROOT, names[1]}};
	struct mbj_jmap_plan *plan = NULL;
	struct mbj_outcome outcome;
	struct mbj_tree *tree = NULL;
	struct mbj_error err;
	const char *drawn;

	lab_ok(mbj_tree_new(1, &tree, &err), err);
	for (uint32_t i = 0; i < 2; i++) {
		struct mbj_node node = {.id = lab_id(i + 1),
					.parent = MBJ_NODE_ROOT,
					.name = names[i],
					.rev = 1};
		uint32_t index;

		lab_ok(mbj_tree_add(tree, &node, &index, &err), err);
	}
	lab_outcome_init(&outcome, &op, 1);
	outcome.lower_bound = 1;
	lab_ok(mbj_jmap_plan_load(&outcome, tree, '/', &plan, &err), err);
	drawn = dot(plan);
	lab_has(drawn, "    b1 [label=\"gone\", fillcolor=\"#fcbba1\"];\n");
	lab_has(drawn, "    a0 [label=\"left\"];\n");
	ck_assert_ptr_null(strstr(drawn, "    a1 "));
	ck_assert_ptr_null(strstr(drawn, "amore"));
	mbj_jmap_plan_free(&plan);
	mbj_buf_done(&outcome.record);
	mbj_tree_free(&tree);
}
END_TEST

/*
 * Goal: a drawing that is too large is told so, whatever fails after that.
 * Method: no room for the first lines, and each allocation failing in turn; the
 * last one is a label's, which comes when the room has run out.
 */
START_TEST(the_first_failure_is_told)
{
	struct lab_plan lab;
	struct mbj_error err;
	struct mbj_buf small;
	uint64_t count;

	lab_plan_init(&lab, odd_before, odd_after);
	mbj_buf_init(&small, 64);
	test_alloc_fail_at(0);
	lab_rc(mbj_jmap_plan_dot(lab.shown, &small, &err), MBJ_ELIMIT);
	count = test_alloc_count();
	for (uint64_t k = 1; k <= count; k++) {
		mbj_buf_clear(&small);
		test_alloc_fail_at(k);
		lab_rc(mbj_jmap_plan_dot(lab.shown, &small, &err),
		       k < count ? MBJ_ENOMEM : MBJ_ELIMIT);
	}
	test_alloc_fail_at(0);
	mbj_buf_done(&small);
	lab_plan_done(&lab);
}
END_TEST

TCase *test_plan_dot_case(void)
{
	TCase *tc = tcase_create("plan_dot");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, drawings_show_the_knot);
	tcase_add_test(tc, graphviz_renders_drawings);
	tcase_add_test(tc, large_trees_are_drawn_in_part);
	tcase_add_test(tc, arrows_of_a_knot_have_its_colour);
	tcase_add_test(tc, deleted_ones_are_drawn_as_parked);
	tcase_add_test(tc, groups_leave_gaps_that_are_not_drawn);
	tcase_add_test(tc, the_first_failure_is_told);
	return tc;
}
