/*
 * Tests of plans as documents: as JSON to the letter and as lines for people,
 * from trees and from groups alike.  Drawings have tests of their own.
 */
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

static const char *print(const struct mbj_jmap_plan *plan)
{
	struct mbj_error err;

	mbj_buf_clear(&buf);
	lab_ok(mbj_jmap_plan_print(plan, &buf, &err), err);
	return lab_text(&buf);
}

static const char *text(const struct mbj_jmap_plan *plan)
{
	struct mbj_error err;

	mbj_buf_clear(&buf);
	lab_ok(mbj_jmap_plan_text(plan, &buf, &err), err);
	return lab_text(&buf);
}

static const char *dot(const struct mbj_jmap_plan *plan)
{
	struct mbj_error err;

	mbj_buf_clear(&buf);
	lab_ok(mbj_jmap_plan_dot(plan, &buf, &err), err);
	return lab_text(&buf);
}

/* A swap with everything that is recorded beside the steps. */
static const char swap_before[] =
	"{\"list\":["
	"{\"id\":\"x\",\"name\":\"a\",\"parentId\":null,\"isSubscribed\":true},"
	"{\"id\":\"y\",\"name\":\"b\",\"parentId\":null},"
	"{\"id\":\"g\",\"name\":\"gone\",\"parentId\":\"y\"}]}";
static const char swap_after[] =
	"{\"list\":["
	"{\"id\":\"x\",\"name\":\"b\",\"parentId\":null,\"uidValidity\":7},"
	"{\"id\":\"y\",\"name\":\"a\",\"parentId\":null,\"role\":\"junk\"},"
	"{\"id\":\"n\",\"name\":\"new\",\"parentId\":\"x\","
	"\"isSelectable\":false}]}";

/* A plan for the swap that does not depend on the planner's taste. */
static void swap_init(struct lab_plan *lab)
{
	/* Items: x, y, g by the list before, n by the list after. */
	static const struct mbj_step steps[] = {
		{2, MBJ_STEP_DELETE, false, false},
		{0, MBJ_STEP_MOVE, false, true},
		{1, MBJ_STEP_MOVE, false, false},
		{0, MBJ_STEP_MOVE, true, false},
		{3, MBJ_STEP_CREATE, false, false},
	};
	struct mbj_error err;

	lab_plan_init(lab, swap_before, swap_after);
	ck_assert_uint_eq(lab->plan.count, 5);
	memcpy(lab->plan.steps, steps, sizeof(steps));
	mbj_jmap_plan_free(&lab->shown);
	lab_ok(mbj_plan_check(&lab->diff, lab->plan.steps, 5, &err), err);
	lab_ok(mbj_jmap_plan_make(mbj_jmap_list_tree(lab->lists[0]),
				  mbj_jmap_list_tree(lab->lists[1]), &lab->diff,
				  &lab->plan, lab->map, '/', &lab->shown, &err),
	       err);
}

/*
 * Goal: the document is the one that is agreed, key by key.
 * Method: a golden of a swap with a create and a delete.
 */
START_TEST(the_plan_document_is_golden)
{
	struct lab_plan lab;

	swap_init(&lab);
	lab_same(print(lab.shown),
		 "{\n\"schema\":\"mbj.plan/1\",\n\"lowerBound\":4,\n"
		 "\"parks\":1,\n\"proven\":true,\n\"steps\":[\n"
		 "{\"op\":\"delete\",\"id\":\"g\",\"from\":{\"parentId\":\"y\","
		 "\"name\":\"gone\"},\"to\":null,\"temp\":false},\n"
		 "{\"op\":\"move\",\"id\":\"x\",\"from\":{\"parentId\":null,"
		 "\"name\":\"a\"},\"to\":{\"parentId\":\"temp\","
		 "\"name\":\"x\"},\"temp\":true},\n"
		 "{\"op\":\"move\",\"id\":\"y\",\"from\":{\"parentId\":null,"
		 "\"name\":\"b\"},\"to\":{\"parentId\":null,\"name\":\"a\"},"
		 "\"temp\":false},\n"
		 "{\"op\":\"move\",\"id\":\"x\",\"from\":{\"parentId\":"
		 "\"temp\",\"name\":\"x\"},\"to\":{\"parentId\":null,"
		 "\"name\":\"b\"},\"temp\":false},\n"
		 "{\"op\":\"create\",\"id\":\"n\",\"from\":null,\"to\":{"
		 "\"parentId\":\"x\",\"name\":\"new\"},\"temp\":false}],\n"
		 "\"also\":[\n"
		 "{\"op\":\"uidvalidity\",\"id\":\"x\",\"uidValidity\":7},\n"
		 "{\"op\":\"mailbox-set\",\"id\":\"y\",\"role\":\"junk\","
		 "\"isSelectable\":true},\n"
		 "{\"op\":\"mailbox-set\",\"id\":\"n\",\"role\":null,"
		 "\"isSelectable\":false},\n"
		 "{\"op\":\"unsubscribe\",\"name\":\"a\"},\n"
		 "{\"op\":\"subscribe\",\"name\":\"b\"}]}\n");
	ck_assert_uint_eq(mbj_jmap_plan_step_count(lab.shown), 5);
	ck_assert_ptr_eq(mbj_jmap_plan_after(lab.shown),
			 mbj_jmap_list_tree(lab.lists[1]));
	lab_plan_done(&lab);
}
END_TEST

/*
 * Goal: people read what happens to whom, by paths.
 * Method: a golden of the same plan, and of none.
 */
START_TEST(the_plan_text_is_golden)
{
	struct lab_plan lab;

	swap_init(&lab);
	lab_same(text(lab.shown),
		 "5 steps: 4 changes and 1 park (proven shortest)\n"
		 "   1  delete  b/gone\n"
		 "   2  park    a\n"
		 "   3  move    b -> a\n"
		 "   4  place   a -> b\n"
		 "   5  create  b/new\n"
		 "also\n"
		 "      uidvalidity 7 for b\n"
		 "      mailbox-set role junk, selectable for a\n"
		 "      mailbox-set role none, not selectable for b/new\n"
		 "      unsubscribe a\n"
		 "      subscribe b\n");
	lab_plan_done(&lab);
	lab_plan_init(&lab, swap_before, swap_before);
	lab_same(text(lab.shown), "no mailbox changes its place\n");
	lab_plan_done(&lab);
}
END_TEST

/*
 * Goal: subscriptions are by name: what counts is which paths are subscribed.
 * Method: two subscribed mailboxes change places, a subscribed parent moves
 * with its children, a folding key is not needed.
 */
START_TEST(subscriptions_follow_paths)
{
	struct lab_plan lab;

	lab_plan_init(&lab,
		      "{\"list\":[{\"id\":\"x\",\"name\":\"a\",\"parentId\":"
		      "null,\"isSubscribed\":true},{\"id\":\"y\",\"name\":"
		      "\"b\",\"parentId\":null,\"isSubscribed\":true}]}",
		      "{\"list\":[{\"id\":\"x\",\"name\":\"b\",\"parentId\":"
		      "null},{\"id\":\"y\",\"name\":\"a\",\"parentId\":null}"
		      "]}");
	lab_has(print(lab.shown), "\"also\":[]}");
	lab_plan_done(&lab);
	lab_plan_init(&lab,
		      "{\"list\":[{\"id\":\"x\",\"name\":\"a\",\"parentId\":"
		      "null},{\"id\":\"y\",\"name\":\"b\",\"parentId\":\"x\","
		      "\"isSubscribed\":true}]}",
		      "{\"list\":[{\"id\":\"x\",\"name\":\"c\",\"parentId\":"
		      "null},{\"id\":\"y\",\"name\":\"b\",\"parentId\":\"x\"}"
		      "]}");
	lab_has(print(lab.shown),
		"\"also\":[\n{\"op\":\"unsubscribe\",\"name\":\"a/b\"},\n"
		"{\"op\":\"subscribe\",\"name\":\"c/b\"}]}");
	lab_plan_done(&lab);
}
END_TEST

/* Names in short. */
static struct mbj_name name(const char *word)
{
	return (struct mbj_name){mbj_bytes_str(word), mbj_bytes_str(word)};
}

#define ID_1 "00000000000000000000000000000001"
#define ID_2 "00000000000000000000000000000002"
#define ID_9 "00000000000000000000000000000009"

/* The swap of 1 and 2, a create of 9, and what goes with it. */
static size_t swap_ops(struct mbj_op ops[10])
{
	static const char path[] = "b\0c";
	size_t n = 0;

	ops[n++] = (struct mbj_op){.kind = MBJ_OP_MAILBOX_MOVE,
				   .id = lab_id(1),
				   .rev = 4,
				   .from = {MBJ_ID_ROOT, name("a")},
				   .to = {MBJ_ID_TEMP, name(ID_1)}};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_MAILBOX_MOVE,
				   .id = lab_id(2),
				   .rev = 1,
				   .from = {MBJ_ID_ROOT, name("b")},
				   .to = {MBJ_ID_ROOT, name("a")}};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_MAILBOX_MOVE,
				   .id = lab_id(1),
				   .rev = 5,
				   .from = {MBJ_ID_TEMP, name(ID_1)},
				   .to = {MBJ_ID_ROOT, name("b")},
				   .uidvalidity = 21};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_MAILBOX_CREATE,
				   .id = lab_id(9),
				   .to = {lab_id(1), name("c")},
				   .uidvalidity = 22,
				   .role = MBJ_ROLE_SENT,
				   .is_selectable = 1};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_MAILBOX_SET,
				   .id = lab_id(2),
				   .rev = 2,
				   .is_selectable_before = 1,
				   .uidvalidity = 0};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_NAME_RETIRE,
				   .name_hash = {{0xab, 1}},
				   .uidvalidity = 3};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_SUBSCRIBE,
				   .path = {mbj_bytes_make(path, 3),
					    mbj_bytes_make(path, 3)}};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_UNSUBSCRIBE,
				   .path = {mbj_bytes_str("a"),
					    mbj_bytes_str("a")}};
	ops[n++] = (struct mbj_op){.kind = MBJ_OP_ACCOUNT_RENAME,
				   .name = mbj_bytes_str("al"),
				   .value = mbj_bytes_str("bo")};
	return n;
}

static const char swap_golden[] =
	"\"lowerBound\":3,\n\"parks\":1,\n\"proven\":false,\n\"steps\":[\n"
	"{\"op\":\"move\",\"id\":\"" ID_1 "\",\"from\":{\"parentId\":null,"
	"\"name\":\"a\"},\"to\":{\"parentId\":\"temp\",\"name\":\"" ID_1
	"\"},\"temp\":true},\n"
	"{\"op\":\"move\",\"id\":\"" ID_2 "\",\"from\":{\"parentId\":null,"
	"\"name\":\"b\"},\"to\":{\"parentId\":null,\"name\":\"a\"},"
	"\"temp\":false},\n"
	"{\"op\":\"move\",\"id\":\"" ID_1 "\",\"from\":{\"parentId\":\"temp\","
	"\"name\":\"" ID_1 "\"},\"to\":{\"parentId\":null,\"name\":\"b\"},"
	"\"temp\":false},\n"
	"{\"op\":\"create\",\"id\":\"" ID_9 "\",\"from\":null,\"to\":{"
	"\"parentId\":\"" ID_1 "\",\"name\":\"c\"},\"temp\":false}],\n"
	"\"also\":[\n"
	"{\"op\":\"uidvalidity\",\"id\":\"" ID_1 "\",\"uidValidity\":21},\n"
	"{\"op\":\"uidvalidity\",\"id\":\"" ID_9 "\",\"uidValidity\":22},\n"
	"{\"op\":\"mailbox-set\",\"id\":\"" ID_9 "\",\"role\":\"sent\","
	"\"isSelectable\":true},\n"
	"{\"op\":\"mailbox-set\",\"id\":\"" ID_2 "\",\"role\":null,"
	"\"isSelectable\":false},\n"
	"{\"op\":\"name-retire\",\"nameHash\":\"ab01000000000000000000000000"
	"000000000000000000000000000000000000\",\"uidValidity\":3},\n"
	"{\"op\":\"subscribe\",\"name\":\"b.c\"},\n"
	"{\"op\":\"unsubscribe\",\"name\":\"a\"},\n"
	"{\"op\":\"account-rename\",\"name\":\"al\",\"value\":\"bo\"}]}\n";

static struct mbj_tree *swap_tree(void)
{
	struct mbj_tree *tree = NULL;
	struct mbj_error err;

	lab_ok(mbj_tree_new(1, &tree, &err), err);
	for (uint32_t i = 0; i < 2; i++) {
		struct mbj_node node = {.id = lab_id(i + 1),
					.parent = MBJ_NODE_ROOT,
					.uidvalidity = i + 1,
					.name = name(i == 0 ? "a" : "b"),
					.is_selectable = true};
		uint32_t index;

		lab_ok(mbj_tree_add(tree, &node, &index, &err), err);
	}
	return tree;
}

/*
 * Goal: a group shows the same document with and without trees; with them it
 * shows paths and the tree that will be.
 * Method: goldens from a group with each kind of operation.
 */
START_TEST(groups_are_plans)
{
	struct mbj_tree *tree = swap_tree();
	const struct mbj_tree *after;
	struct mbj_jmap_plan *plan = NULL;
	struct mbj_outcome outcome;
	struct mbj_op ops[10];
	struct mbj_error err;
	uint32_t at;

	lab_outcome_init(&outcome, ops, swap_ops(ops));
	outcome.lower_bound = 3;
	outcome.parks = 1;
	lab_ok(mbj_jmap_plan_load(&outcome, NULL, '.', &plan, &err), err);
	lab_has(print(plan), swap_golden);
	lab_has(text(plan),
		"4 steps: 3 changes and 1 park (not proven shortest)\n"
		"   1  park    a\n"
		"   2  move    b -> a\n"
		"   3  place   " ID_1 " -> b\n"
		"   4  create  c in " ID_1 "\n"
		"also\n"
		"      uidvalidity 21 for " ID_1 "\n"
		"      uidvalidity 22 for " ID_9 "\n"
		"      mailbox-set role sent, selectable for " ID_9 "\n"
		"      mailbox-set role none, not selectable for " ID_2 "\n"
		"      subscribe b.c\n"
		"      unsubscribe a\n"
		"      account-rename ");
	lab_has(text(plan),
		"      UIDVALIDITY kept in mind for 1 name given up\n");
	ck_assert_ptr_null(mbj_jmap_plan_after(plan));
	mbj_buf_clear(&buf);
	lab_rc(mbj_jmap_plan_dot(plan, &buf, &err), MBJ_EINVALID);
	mbj_jmap_plan_free(&plan);

	lab_ok(mbj_jmap_plan_load(&outcome, tree, '.', &plan, &err), err);
	lab_has(print(plan), swap_golden);
	lab_has(text(plan), "   3  place   a -> b\n   4  create  b.c\n");
	lab_has(dot(plan), "parked");
	after = mbj_jmap_plan_after(plan);
	lab_ok(mbj_tree_check(after, &err), err);
	ck_assert_uint_eq(mbj_tree_live_count(after), 3);
	at = mbj_tree_find(after, lab_id(1));
	ck_assert_uint_eq(mbj_tree_get(after, at)->uidvalidity, 21);
	at = mbj_tree_find(after, lab_id(2));
	ck_assert(!mbj_tree_get(after, at)->is_selectable);
	mbj_jmap_plan_free(&plan);
	mbj_tree_free(&tree);
	mbj_buf_done(&outcome.record);
}
END_TEST

/*
 * Goal: an edit that needs no group is a plan without steps, and bytes that
 * are no group, or of another tree, are refused.
 * Method: an empty record, a cut one, a flipped byte, a tree that lacks one.
 */
START_TEST(odd_records_are_told_apart)
{
	struct mbj_tree *tree = NULL;
	struct mbj_jmap_plan *plan = NULL;
	struct mbj_outcome outcome = {.lower_bound = 0};
	struct mbj_op ops[10];
	struct mbj_error err;

	mbj_buf_init(&outcome.record, 64);
	lab_ok(mbj_jmap_plan_load(&outcome, NULL, '/', &plan, &err), err);
	lab_has(print(plan), "\"steps\":[],\n\"also\":[]}\n");
	mbj_jmap_plan_free(&plan);
	mbj_buf_done(&outcome.record);

	lab_outcome_init(&outcome, ops, swap_ops(ops));
	lab_ok(mbj_tree_new(1, &tree, &err), err);
	lab_rc(mbj_jmap_plan_load(&outcome, tree, '/', &plan, &err),
	       MBJ_ECORRUPT);
	lab_has(err.message, "the group does not fit the tree");
	outcome.record.n--;
	ck_assert_int_lt(mbj_jmap_plan_load(&outcome, NULL, '/', &plan, &err),
			 0);
	outcome.record.n++;
	/* In the body: the last bytes are its CRC32C and the chain. */
	outcome.record.p[outcome.record.n - 40] ^= 1;
	lab_rc(mbj_jmap_plan_load(&outcome, NULL, '/', &plan, &err),
	       MBJ_ECORRUPT);
	ck_assert_ptr_null(plan);
	mbj_tree_free(&tree);
	mbj_buf_done(&outcome.record);
}
END_TEST

#define INBOX_I                                                           \
	"{\"list\":[{\"id\":\"i\",\"name\":\"inbox\",\"parentId\":null}," \
	"{\"id\":\"x\",\"name\":\"x\",\"parentId\":null}]}"

static const struct {
	const char *before;
	const char *after;
	const char *id; /* refused for it, or NULL */
} inboxes[] = {
	{INBOX_I, INBOX_I, NULL},
	{"{\"list\":[]}", INBOX_I, NULL},
	{"{\"list\":[]}", "{\"list\":[]}", NULL},
	{INBOX_I, "{\"list\":[]}", "i"},
	{INBOX_I,
	 "{\"list\":[{\"id\":\"i\",\"name\":\"old\",\"parentId\":null}]}", "i"},
	{INBOX_I,
	 "{\"list\":[{\"id\":\"i\",\"name\":\"INBOX\",\"parentId\":\"x\"},"
	 "{\"id\":\"x\",\"name\":\"x\",\"parentId\":null}]}",
	 "i"},
	{INBOX_I,
	 "{\"list\":[{\"id\":\"x\",\"name\":\"INBOX\",\"parentId\":null},"
	 "{\"id\":\"i\",\"name\":\"x\",\"parentId\":null}]}",
	 "i"},
	{"{\"list\":[{\"id\":\"x\",\"name\":\"x\",\"parentId\":null}]}",
	 "{\"list\":[{\"id\":\"x\",\"name\":\"INBOX\",\"parentId\":null}]}",
	 "x"},
};

/*
 * Goal: INBOX keeps its slot and its id, where a list has one.
 * Method: a table of lists before and after.
 */
START_TEST(inbox_stays)
{
	struct mbj_error err = {.rc = MBJ_OK};
	struct lab_plan lab;

	lab_plan_init(&lab, inboxes[_i].before, inboxes[_i].after);
	lab_rc(mbj_jmap_inbox_check(mbj_jmap_list_tree(lab.lists[0]),
				    mbj_jmap_list_tree(lab.lists[1]), lab.map,
				    &err),
	       inboxes[_i].id == NULL ? MBJ_OK : MBJ_EINVALID);
	if (inboxes[_i].id != NULL) {
		ck_assert_int_eq(err.refusal, MBJ_REFUSAL_FORBIDDEN);
		ck_assert_str_eq(err.subject_kind, "id");
		ck_assert_str_eq(err.subject, inboxes[_i].id);
	}
	lab_plan_done(&lab);
}
END_TEST

/*
 * Goal: a long path does not make a long line.
 * Method: a chain of 3,000 moved to the top end first; lines stay short.
 */
START_TEST(long_paths_are_cut)
{
	enum { COUNT = 3000 };
	struct mbj_buf lists[2];
	struct lab_plan lab;
	const char *lines;

	for (int side = 0; side < 2; side++) {
		mbj_buf_init(&lists[side], 1 << 20);
		mbj_buf_put_str(&lists[side], "{\"list\":[");
		for (int i = 0; i < COUNT; i++) {
			int above = side == 0 ? i - 1 : i + 1;

			mbj_buf_format(&lists[side],
				       "%s{\"id\":\"m%d\",\"name\":\"n\",",
				       i == 0 ? "" : ",", i);
			if (above < 0 || above == COUNT)
				mbj_buf_put_str(&lists[side],
						"\"parentId\":null}");
			else
				mbj_buf_format(&lists[side],
					       "\"parentId\":\"m%d\"}", above);
		}
		mbj_buf_put_str(&lists[side], "]}");
	}
	lab_plan_init(&lab, lab_text(&lists[0]), lab_text(&lists[1]));
	lines = text(lab.shown);
	lab_has(lines, "\xe2\x80\xa6/n/n/n/n/n/n/n/n -> ");
	for (const char *at = lines, *end; *at != '\0'; at = end + 1) {
		end = strchr(at, '\n');
		ck_assert_int_le(end - at, 100);
	}
	lab_plan_done(&lab);
	mbj_buf_done(&lists[0]);
	mbj_buf_done(&lists[1]);
}
END_TEST

TCase *test_jmap_plan_case(void)
{
	TCase *tc = tcase_create("jmap_plan");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, the_plan_document_is_golden);
	tcase_add_test(tc, the_plan_text_is_golden);
	tcase_add_test(tc, subscriptions_follow_paths);
	tcase_add_test(tc, groups_are_plans);
	tcase_add_test(tc, odd_records_are_told_apart);
	tcase_add_loop_test(tc, inbox_stays, 0,
			    (int)(sizeof(inboxes) / sizeof(inboxes[0])));
	tcase_add_test(tc, long_paths_are_cut);
	return tc;
}
