/*
 * Tests of subscriptions: by name, but following their mailboxes.
 */
#include <stdio.h>

#include "edit_lab.h"
#include "journal_cases.h"

static struct edit_lab lab;

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

/*
 * The net change of all names at once.  One account a row: import, edit,
 * compare what is subscribed and how many primitives that took.
 */
static const struct {
	const char *before;
	const char *edit; /* renames, or changes */
	const char *after;
	unsigned ops;
} rows[] = {
	{"*A B", "A>C", "C", 2},
	{"*A *A/x *A/x/y B", "A>C", "C C/x C/x/y", 6},
	/* A swap with inferiors: only what is not on both sides changes. */
	{"*A *A/x *B *B/y", "A>B B>A", "A A/y B B/x", 4},
	{"*A *A/x *B *B/x", "A>B B>A", "A A/x B B/x", 0},
	{"*A B", "A>B B>A", "B", 2},
	{"*A *A/x B C", "A>B B>C C>A", "B B/x", 4},
	/* Nested moves: the deepest moved mailbox on the way decides. */
	{"*A *A/x *A/x/y", "A>C A/x>D", "C D D/y", 6},
	{"*A *A/x *A/x/y", "A>C A/x>C/z", "C C/z C/z/y", 6},
	{"*A *A/B *A/B/c", "A/B>A A>A/B", "A A/B A/c", 2},
	/* Other names stay. */
	{"*A *Ab *A/x Z", "A>C", "Ab C C/x", 4},
	{"*A *B", "A>A", "A B", 0},
	/* More moves than subscriptions: another way to look for them. */
	{"A B C *C/x D", "A>a B>b C>c D>d", "c/x", 2},
	/* Deleted names are dropped, others at their places are not theirs. */
	{"*A *B", "-A", "B", 1},
	{"*A *A/x", "-A =A/x:x", "x", 3},
	{"*A *B", "-A =B:A", "A", 1},
	{"*A B", "-A =B:A", "", 1},
	{"*A", "+n:A =A:B", "B", 2},
	/* Wishes come last. */
	{"A", "=A?sub=1", "A", 1},
	{"*A", "=A?sub=0", "", 1},
	{"*A", "=A?sub=1", "A", 0},
	{"*A", "=A:B?sub=0", "", 1},
	{"A", "=A:B?sub=1", "B", 1},
	{"*A B", "=A:B?sub=0 =B:A?sub=1", "A", 0},
	{"*A B", "=A:B =B:A?sub=1", "A B", 1},
	{"A", "+n:N?sub=1 +m:M?sub=0", "N", 1},
	{"A", "+n:N?sub=1,sel=0", "N", 1},
	{"*A", "=A:B/A?sub=0", "A", 0}, /* refused as a whole */
};

START_TEST(row)
{
	const char *edit = rows[_i].edit;
	unsigned ops = 0;

	edit_lab_import(&lab, "u", rows[_i].before);
	if (strchr(edit, '>') != NULL)
		EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", edit));
	else
		EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", edit));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), rows[_i].after);
	if (lab.record.n > 0)
		ops = edit_lab_ops(&lab, MBJ_OP_SUBSCRIBE) +
		      edit_lab_ops(&lab, MBJ_OP_UNSUBSCRIBE);
	ck_assert_uint_eq(ops, rows[_i].ops);
}
END_TEST

/*
 * Where subscriptions are to stay with the names, they do.  Swap, move and
 * delete with the flag set.
 */
START_TEST(kept)
{
	struct mbj_rename renames[2] = {
		{mbj_bytes_str("A"), mbj_bytes_str("B")},
		{mbj_bytes_str("B"), mbj_bytes_str("C")},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit_lab_import(&lab, "u", "*A *A/x B");
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str("u");
	edit.renames = renames;
	edit.rename_count = 2;
	edit.is_subscription_kept = true;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "B/x=A/x B=A C=B");
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "A A/x");
}
END_TEST

/*
 * A name that leads nowhere comes along below a moved mailbox, and stays
 * below a deleted one.  Unsubscribe nothing, delete the mailboxes under the
 * flag first.
 */
START_TEST(dangling)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_DESTROY};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit_lab_import(&lab, "u", "*A *A/x");
	change.id = edit_lab_id("A/x");
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u");
	edit.changes = &change;
	edit.change_count = 1;
	edit.is_subscription_kept = true;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "A A/x");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B"));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "B B/x");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-A"));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "B/x");
	/* A new mailbox at a name that is subscribed already stays so. */
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:B +m:n/x?sub=1"));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "B/x");
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_SUBSCRIBE), 0);
}
END_TEST

/*
 * A change of case in a folding account changes the subscribed name, too.
 * Rename to another case and look at the stored form.
 */
START_TEST(respelled)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_CREATE};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	change.id = edit_lab_id("A");
	change.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_SUBSCRIBED;
	change.name = mbj_bytes_str("name");
	change.is_subscribed = true;
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("u");
	edit.policy = (struct mbj_name_policy){true, '/'};
	edit.changes = &change;
	edit.change_count = 1;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "name>NAME"));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "NAME");
}
END_TEST

/*
 * A name that gets deeper than any that can be subscribed is not, and the
 * rename goes on.  Move the top of a chain at the limit down by one, with its
 * ends and a name that leads nowhere subscribed; wish it.
 */
START_TEST(deep)
{
	static struct mbj_change changes[MBJ_DEPTH_MAX];
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (int i = 0; i < MBJ_DEPTH_MAX; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "c%d", i);
		changes[i] = (struct mbj_change){
			.kind = MBJ_CHANGE_CREATE,
			.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
			       MBJ_CHANGE_HAS_SUBSCRIBED,
			.id = edit_lab_id(tag),
			.name = mbj_bytes_str("c"),
			.is_subscribed = i == 0 || i == MBJ_DEPTH_MAX - 1,
		};
		if (i > 0)
			changes[i].parent = changes[i - 1].id;
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("u");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = MBJ_DEPTH_MAX;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+x:x"));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "c>x/d"));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "x/d");
	changes[MBJ_DEPTH_MAX - 1].kind = MBJ_CHANGE_UPDATE;
	changes[MBJ_DEPTH_MAX - 1].has = MBJ_CHANGE_HAS_SUBSCRIBED;
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &changes[MBJ_DEPTH_MAX - 1];
	edit.change_count = 1;
	EDIT_LAB_REFUSED(&lab, edit_lab_run(&lab, &edit), "tooLarge",
			 "63343039350000000000000000000000");
}
END_TEST

TCase *test_edit_subscribe_case(void)
{
	TCase *tc = tcase_create("edit_subscribe");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, row, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_test(tc, kept);
	tcase_add_test(tc, dangling);
	tcase_add_test(tc, respelled);
	tcase_add_test(tc, deep);
	return tc;
}
