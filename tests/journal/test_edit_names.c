/*
 * Tests of UIDVALIDITY: what a name shows only ever rises.
 */
#include <stdio.h>
#include <stdlib.h>

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

static uint32_t value(const char *tag)
{
	return edit_lab_mailbox(&lab, "u", tag).uidvalidity;
}

static uint32_t counter(void)
{
	return edit_lab_account(&lab, "u").uidvalidity_last;
}

/*
 * An import's counter begins at its time, and each mailbox gets its own
 * value.  Import at second 1000.
 */
START_TEST(fresh)
{
	edit_lab_import(&lab, "u", "A B !C");
	ck_assert_uint_gt(value("A"), 1000);
	ck_assert_uint_gt(value("B"), 1000);
	ck_assert_uint_ne(value("A"), value("B"));
	ck_assert_uint_eq(value("C"), 0);
	ck_assert_uint_eq(counter(), 1003);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:N +m:M?sel=0"));
	ck_assert_uint_eq(value("n"), 1004);
	ck_assert_uint_eq(value("m"), 0);
}
END_TEST

/*
 * A mailbox keeps its value when it moves to a name that never showed a
 * higher one, also there and back.  Rename and look.
 */
START_TEST(kept)
{
	uint32_t before;

	edit_lab_import(&lab, "u", "A A/x");
	before = value("A");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B"));
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_NAME_RETIRE), 1);
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "B>A"));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B"));
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_NAME_RETIRE), 0);
	ck_assert_uint_eq(value("A"), before);
	ck_assert_uint_eq(value("A/x"), before + 1);
}
END_TEST

/*
 * The story of one name: renamed away, made anew, deleted, moved back.  The
 * name shows a higher value each time.
 */
START_TEST(monotone)
{
	uint32_t first, second;

	edit_lab_import(&lab, "u", "A");
	first = value("A");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B"));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:A"));
	second = value("n");
	ck_assert_uint_gt(second, first);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-n"));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "B>A"));
	ck_assert_uint_gt(value("A"), second);
	ck_assert_uint_eq(value("A"), counter());
}
END_TEST

/*
 * In a swap the older mailbox takes a name that showed a higher value, and so
 * gets a fresh one; the other keeps its own.  Swap, both in one edit.
 */
START_TEST(swap)
{
	uint32_t a, b;

	edit_lab_import(&lab, "u", "A B");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-B +n:B"));
	a = value("A");
	b = value("n");
	ck_assert_uint_lt(a, b);
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B B>A"));
	ck_assert_uint_eq(value("n"), b);
	ck_assert_uint_gt(value("A"), b);
	/* And back: A showed b, B showed more; each rises again. */
	a = value("A");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B B>A"));
	ck_assert_uint_eq(value("A"), a);
	ck_assert_uint_gt(value("n"), a);
}
END_TEST

/*
 * A name that an edit frees and takes in one group counts as well.  Delete a
 * younger mailbox and move an older one to its name, at once.
 */
START_TEST(within_group)
{
	uint32_t young;

	edit_lab_import(&lab, "u", "A");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:N"));
	young = value("n");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-n =A:N"));
	ck_assert_str_eq(edit_lab_results(&lab), "ok ok");
	ck_assert_uint_gt(value("A"), young);
}
END_TEST

/*
 * Names deeper in the tree count by their whole path.  Move a younger mailbox
 * away from below A, and an older one to its name below a renamed A.
 */
START_TEST(whole_path)
{
	uint32_t young, old;

	edit_lab_import(&lab, "u", "A B");
	old = value("B");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:A/N"));
	young = value("n");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A/N>N A>C"));
	/* C/N never showed anything. */
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "B>C/N"));
	ck_assert_uint_eq(value("B"), old);
	/* A/N did. */
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "C/N>A/N"));
	ck_assert_uint_gt(value("B"), young);
}
END_TEST

/*
 * A mailbox that is made selectable is a new one to clients, and one that is
 * not any more gives its name up.  Switch it off and on.
 */
START_TEST(selectable)
{
	uint32_t before;

	edit_lab_import(&lab, "u", "A B");
	before = value("A");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A?sel=0"));
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_NAME_RETIRE), 1);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A?sel=1"));
	ck_assert_uint_gt(value("A"), before);
	ck_assert_uint_eq(value("A"), counter());
	/* Places in a path show nothing, so they leave nothing behind. */
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:N?sel=0"));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "N>M"));
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_NAME_RETIRE), 0);
}
END_TEST

/* Import an account "u" of two mailboxes with these values. */
static void import_values(uint32_t a, uint32_t b)
{
	struct mbj_change changes[2] = {{0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	for (int i = 0; i < 2; i++) {
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has =
			MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_UIDVALIDITY;
		changes[i].id = edit_lab_id(i == 0 ? "A" : "B");
		changes[i].name = mbj_bytes_str(i == 0 ? "A" : "B");
		changes[i].uidvalidity = i == 0 ? a : b;
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str("u");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = 2;
	(void)edit_lab_run(&lab, &edit);
}

/*
 * Imported values are kept and the counter begins above them.  Import values
 * far above the clock; INBOX, made by the import, gets the next.
 */
START_TEST(imported)
{
	import_values(5, 70000);
	EDIT_LAB_OK(&lab, lab.rc);
	ck_assert_uint_eq(value("A"), 5);
	ck_assert_uint_eq(value("B"), 70000);
	ck_assert_uint_eq(counter(), 70001);
	ck_assert(!mbj_id_is_root(lab.outcome.inbox));
}
END_TEST

/*
 * No value is kept twice: after a swap of the names it would mean other
 * messages.  Import one value for two mailboxes.
 */
START_TEST(imported_twice)
{
	import_values(5, 5);
	EDIT_LAB_OK(&lab, lab.rc);
	ck_assert_uint_eq(value("A"), 5);
	ck_assert_uint_gt(value("B"), 1000);
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>B B>A"));
	ck_assert_uint_gt(value("A"), value("B"));
}
END_TEST

/*
 * The counter ends at 2^32 - 1, with an error that says so.  Import up to two
 * below the end, use them up, ask for one more.
 */
START_TEST(used_up)
{
	import_values(5, UINT32_MAX - 2);
	EDIT_LAB_OK(&lab, lab.rc);
	ck_assert_uint_eq(counter(), UINT32_MAX - 1);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:N"));
	ck_assert_uint_eq(value("n"), UINT32_MAX);
	ck_assert_int_eq(edit_lab_set(&lab, "u", "+m:M"), MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(lab.error.message, "UIDVALIDITY"));
	/* What needs no new value goes on. */
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>X/A"));
	ck_assert_int_eq(edit_lab_rename(&lab, "u", "B>N N>B"), MBJ_ELIMIT);
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "!X=? B=B N=n X/A=A");
}
END_TEST

enum { STORY_NAMES = 5, STORY_STEPS = 60 };

/* Note what every name shows; a name and a value mean one mailbox for ever. */
struct story {
	uint32_t highest[STORY_NAMES];
	char owner[1 << 12][MBJ_ID_SIZE]; /* by value */
};

static void story_note(struct story *story)
{
	struct mbj_account found = edit_lab_account(&lab, "u");
	struct mbj_id id;
	struct mbj_mailbox mailbox;

	for (int i = 0; i < STORY_NAMES; i++) {
		char name[2] = {(char)('a' + i), '\0'};

		if (mbj_txn_slot_get(lab.txns[0], found.id, MBJ_ID_ROOT,
				     mbj_bytes_str(name), &id, NULL) < 0)
			continue;
		LAB_OK(mbj_txn_mailbox_get(lab.txns[0], found.id, id, &mailbox,
					   err));
		ck_assert_uint_ge(mailbox.uidvalidity, story->highest[i]);
		story->highest[i] = mailbox.uidvalidity;
		ck_assert_uint_lt(mailbox.uidvalidity, 1 << 12);
		if (story->owner[mailbox.uidvalidity][0] == 0)
			memcpy(story->owner[mailbox.uidvalidity], id.b,
			       MBJ_ID_SIZE);
		ck_assert_mem_eq(story->owner[mailbox.uidvalidity], id.b,
				 MBJ_ID_SIZE);
	}
}

/*
 * Whatever is renamed, deleted and made, the values of a name rise and no
 * value is shown by two mailboxes.  Random stories on five names.
 */
START_TEST(stories)
{
	static struct story story;
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	memset(&story, 0, sizeof(story));
	edit_lab_import(&lab, "u", "a b c");
	for (unsigned i = 0; i < STORY_STEPS; i++) {
		char words[64];
		char x = (char)('a' + test_rng_below(&rng, STORY_NAMES));
		char y = (char)('a' + test_rng_below(&rng, STORY_NAMES));
		char z = (char)('a' + test_rng_below(&rng, STORY_NAMES));

		if (test_rng_chance(&rng, 1, 3)) {
			(void)snprintf(words, sizeof(words), "+n%u:%c", i, x);
			EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", words));
		} else {
			(void)snprintf(words, sizeof(words),
				       "%c>%c %c>%c %c>%c", x, y, y, z, z, x);
			(void)edit_lab_rename(&lab, "u", words);
			(void)snprintf(words, sizeof(words), "%c>%c", x, y);
			(void)edit_lab_rename(&lab, "u", words);
		}
		story_note(&story);
	}
}
END_TEST

TCase *test_edit_names_case(void)
{
	TCase *tc = tcase_create("edit_names");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, fresh);
	tcase_add_test(tc, kept);
	tcase_add_test(tc, monotone);
	tcase_add_test(tc, swap);
	tcase_add_test(tc, within_group);
	tcase_add_test(tc, whole_path);
	tcase_add_test(tc, selectable);
	tcase_add_test(tc, imported);
	tcase_add_test(tc, imported_twice);
	tcase_add_test(tc, used_up);
	tcase_add_test(tc, stories);
	return tc;
}
