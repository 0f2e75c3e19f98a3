/*
 * Tests of simultaneous renames.
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

static void check_tree(const char *words)
{
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), words);
}

/*
 * Every shape of compound rename that has one meaning gets it.  One account a
 * row: import, rename, compare the tree.
 */
static const struct {
	const char *before;
	const char *renames;
	const char *after;
	unsigned steps;
} shapes[] = {
	{"A", "A>B", "B=A", 1},
	{"A A/x", "A>B", "B/x=A/x B=A", 1},
	{"Work Work/x Old", "Work>Old Old>Work",
	 "Old/x=Work/x Old=Work "
	 "Work=Old",
	 3},
	{"A B C", "A>B B>C C>A", "A=C B=A C=B", 4},
	{"A A/B", "A/B>A A>A/B", "A/B=A A=A/B", 3},
	{"A A/B A/B/C", "A>A/B A/B>A", "A/B=A A/C=A/B/C A=A/B", 3},
	{"A", "A>X/A", "!X=? X/A=A", 2},
	{"A", "A>X/Y/A", "!X/Y=? !X=? X/Y/A=A", 3},
	{"A B", "A>X/A B>X/B", "!X=? X/A=A X/B=B", 3},
	{"A C", "A>X C>A/D", "!A=? A/D=C X=A", 3},
	{"A A/C", "A>X A/C>X/C", "X/C=A/C X=A", 1},
	{"A A/C", "A>X A/C>X/D", "X/D=A/C X=A", 2},
	{"A A/B", "A>X A/B>A/B", "!A=? A/B=A/B X=A", 3},
	{"A B", "A>B/X B>A/Y", "!A=? !B=? A/Y=B B/X=A", 5},
	{"A A/B A/B/C", "A/B/C>A A>A/B/C A/B>Z", "!A/B=? A/B/C=A A=A/B/C Z=A/B",
	 4},
	{"A B", "A>A", "A=A B=B", 0},
	/* The example that a greedy order of steps walks into a dead end on. */
	{"w w/b v", "w/b>w v>w/b2 w>w/b2/w2", "w/b2/w2=w w/b2=v w=w/b", 3},
};

START_TEST(shape)
{
	edit_lab_import(&lab, "u", shapes[_i].before);
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", shapes[_i].renames));
	check_tree(shapes[_i].after);
	ck_assert_uint_eq(lab.outcome.lower_bound + lab.outcome.parks,
			  shapes[_i].steps);
	ck_assert((lab.outcome.lsn.v > 0) == (shapes[_i].steps > 0));
}
END_TEST

/*
 * Renames that mean nothing are refused whole, naming the path.  One account
 * a row: import, rename, compare reason, path and the tree, which stays.
 */
static const struct {
	const char *before;
	const char *renames;
	const char *type;
	const char *path;
} refusals[] = {
	{"A", "B>C", "notFound", "B"},
	{"A", "A/B>C", "notFound", "A/B"},
	{"A", "A>A/B", "invalidProperties", "A/B"},
	{"A A/B", "A/B>A/B/C", "invalidProperties", "A/B/C"},
	{"A B", "A>B", "alreadyExists", "B"},
	{"A A/B", "A/B>A", "alreadyExists", "A"},
	{"A B", "A>C B>C", "alreadyExists", "C"},
	{"A", "A>B A>C", "invalidArguments", "A"},
	{"A", "A>Inbox", "alreadyExists", "Inbox"},
	{"A", "A>", "invalidProperties", ""},
	{"A", "A>B//C", "invalidProperties", "B//C"},
	{"A B", "B>C A>B/", "invalidProperties", "B/"},
};

START_TEST(refusal)
{
	char before[256];

	edit_lab_import(&lab, "u", refusals[_i].before);
	(void)snprintf(before, sizeof(before), "%s", edit_lab_tree(&lab, "u"));
	EDIT_LAB_REFUSED(&lab, edit_lab_rename(&lab, "u", refusals[_i].renames),
			 refusals[_i].type, refusals[_i].path);
	ck_assert_str_eq(lab.error.subject_kind, "path");
	ck_assert_int_eq(lab.rc, MBJ_EINVALID);
	check_tree(before);
}
END_TEST

/*
 * INBOX keeps its inferiors where they are, and they move like any other.
 * Move one out and one in.
 */
START_TEST(inbox_inferiors)
{
	edit_lab_import(&lab, "u", "INBOX/a B");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "INBOX/a>A B>inbox/b"));
	check_tree("A=INBOX/a INBOX/b=B");
}
END_TEST

/*
 * In a folding account names differ by more than case.  Swap the case of one
 * name, and refuse a target that differs from another name in case alone.
 */
START_TEST(folding)
{
	struct mbj_change changes[2] = {{0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (int i = 0; i < 2; i++) {
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME;
		changes[i].id = edit_lab_id(i == 0 ? "A" : "B");
		changes[i].name = mbj_bytes_str(i == 0 ? "Mixed" : "Other");
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("u");
	edit.policy = (struct mbj_name_policy){true, '/'};
	edit.changes = changes;
	edit.change_count = 2;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "mixed>MIXED"));
	check_tree("MIXED=A Other=B");
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "A").rev, 2);
	EDIT_LAB_REFUSED(&lab, edit_lab_rename(&lab, "u", "OTHER>mixed"),
			 "alreadyExists", "mixed");
	/* A name is spelled as in its own target, whoever names it before. */
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "MIXED>New/x other>nEW"));
	check_tree("nEW/x=A nEW=B");
}
END_TEST

/*
 * A swap leaves nothing parked and moves the parked mailbox twice.  Look at
 * the revisions after it.
 */
START_TEST(swap_revisions)
{
	uint64_t sum;

	edit_lab_import(&lab, "u", "A B");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B B>A"));
	ck_assert_uint_eq(lab.outcome.parks, 1);
	ck_assert(lab.outcome.is_proven);
	sum = edit_lab_mailbox(&lab, "u", "A").rev +
	      edit_lab_mailbox(&lab, "u", "B").rev;
	ck_assert_uint_eq(sum, 1 + 1 + 3);
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_MAILBOX_MOVE), 3);
}
END_TEST

/*
 * A parent that a rename leaves empty stays, \NonExistent ones too.  Move the
 * only child out.
 */
START_TEST(empty_parent)
{
	edit_lab_import(&lab, "u", "!A A/B");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A/B>C"));
	check_tree("!A=A C=A/B");
}
END_TEST

/* A path of count components, the last one its own. */
static void deep_path(char *path, unsigned count, char last)
{
	for (unsigned i = 1; i < count; i++) {
		*path++ = 'd';
		*path++ = '/';
	}
	*path++ = last;
	*path = '\0';
}

/*
 * Depth is limited for the mailbox that is named, not for what comes along.
 * Rename to the deepest legal path, then one deeper, then move it down.
 */
START_TEST(depth)
{
	static char words[4 * MBJ_DEPTH_MAX + 16];
	size_t n;

	edit_lab_import(&lab, "u", "A A/x B");
	(void)snprintf(words, sizeof(words), "A>");
	deep_path(words + 2, MBJ_DEPTH_MAX + 1, 'a');
	ck_assert_int_eq(edit_lab_rename(&lab, "u", words), MBJ_EINVALID);
	deep_path(words + 2, MBJ_DEPTH_MAX, 'a');
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", words));
	/* A/x is one too deep now; it can be renamed to where it is not. */
	deep_path(words, MBJ_DEPTH_MAX, 'a');
	n = strlen(words);
	(void)snprintf(words + n, sizeof(words) - n, "/x>y");
	ck_assert_int_eq(edit_lab_rename(&lab, "u", words), MBJ_EINVALID);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A/x:y"));
	ck_assert(mbj_id_is_root(edit_lab_mailbox(&lab, "u", "A/x").parent));
}
END_TEST

TCase *test_edit_rename_case(void)
{
	TCase *tc = tcase_create("edit_rename");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, shape, 0,
			    (int)(sizeof(shapes) / sizeof(shapes[0])));
	tcase_add_loop_test(tc, refusal, 0,
			    (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tc, inbox_inferiors);
	tcase_add_test(tc, folding);
	tcase_add_test(tc, swap_revisions);
	tcase_add_test(tc, empty_parent);
	tcase_add_test(tc, depth);
	return tc;
}
