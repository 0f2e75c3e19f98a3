/*
 * Tests of SET: partial, each refusal with JMAP's word for it, everything
 * judged on the final tree.
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

/*
 * What can be done is done, the rest is refused with the right word.  One
 * account a row: import, set, compare refusals and tree.
 */
static const struct {
	const char *before;
	const char *changes;
	const char *results;
	const char *after;
} rows[] = {
	/* The plain ones. */
	{"A", "+n:N", "ok", "A=A N=n"},
	{"A", "+n:A/N", "ok", "A/N=n A=A"},
	{"A B", "=A:B/A", "ok", "B/A=A B=B"},
	{"A", "-A", "ok", ""},
	{"A", "=A:A", "ok", "A=A"},
	{"A", "+n:N +m:n/M +o:m/O", "ok ok ok", "A=A N/M/O=o N/M=m N=n"},
	/* A child may be created before its parent in the request. */
	{"", "+m:n/M +n:N", "ok ok", "N/M=m N=n"},

	/* Judged by itself. */
	{"A", "=X:B", "notFound", "A=A"},
	{"A", "-X", "notFound", "A=A"},
	{"A", "-A -A", "ok notFound", ""},
	{"A", "=A:B =A:C", "ok invalidProperties", "B=A"},
	{"A", "+n:X/N", "invalidProperties", "A=A"},
	{"A", "=A:X/N", "invalidProperties", "A=A"},
	{"A", "+A:B", "invalidProperties", "A=A"},
	{"A", "+n:N +n:M", "ok invalidProperties", "A=A N=n"},
	{"A", "=A?role=99", "invalidProperties", "A=A"},
	{"A", "=A?uid=9", "invalidProperties", "A=A"},
	{"A", "=A:A/B", "invalidProperties", "A=A"},
	{"A B", "=A:B =B:A -A", "willDestroy ok ok", "A=B"},
	{"A A/x", "=A:B -A", "willDestroy mailboxHasChild", "A/x=A/x A=A"},

	/* On the final tree. */
	{"A B", "=A:B =B:A", "ok ok", "A=B B=A"},
	{"A B C", "=A:B =B:C =C:A", "ok ok ok", "A=C B=A C=B"},
	{"A", "+n:A", "alreadyExists", "A=A"},
	{"A", "+n:A =A:B", "ok ok", "A=n B=A"},
	{"A", "+n:A -A", "ok ok", "A=n"},
	{"A A/x", "-A =A/x:x", "ok ok", "x=A/x"},
	{"A A/x", "-A/x -A", "ok ok", ""},
	{"A A/x", "-A -A/x", "ok ok", ""},
	{"A A/x", "-A", "mailboxHasChild", "A/x=A/x A=A"},
	{"A A/x A/y", "-A =A/x:x", "mailboxHasChild ok", "A/y=A/y A=A x=A/x"},
	{"A B", "-A =B:A/B", "mailboxHasChild ok", "A/B=B A=A"},
	{"A", "-A +n:A/N", "mailboxHasChild ok", "A/N=n A=A"},
	{"A A/x", "=A/x:A =A:A/x/A", "ok ok", "A/A=A A=A/x"},

	/* Contradictions: the later goes. */
	{"A B", "=A:B/A =B:A/B", "ok invalidProperties", "B/A=A B=B"},
	{"A B", "=B:A/B =A:B/A", "ok invalidProperties", "A/B=B A=A"},
	{"A B C", "=A:B/A =B:C/B =C:A/C", "ok ok invalidProperties",
	 "C/B/A=A C/B=B C=C"},
	{"A B", "=A:X =B:X", "ok alreadyExists", "B=B X=A"},
	{"A B", "=A:X +n:X", "alreadyExists ok", "A=A B=B X=n"},
	{"", "+n:X +m:X", "ok alreadyExists", "X=n"},
	{"A", "+n:A/N =A:n/A", "ok invalidProperties", "A/N=n A=A"},
	/* Destroys are the last: whoever comes in wins. */
	{"A B", "-A +n:A/N", "mailboxHasChild ok", "A/N=n A=A B=B"},

	/* What depends on something refused. */
	{"A", "+n:A +m:n/M +o:m/O",
	 "alreadyExists invalidProperties "
	 "invalidProperties",
	 "A=A"},
	{"A", "+n:A//x +m:n/M", "invalidProperties invalidProperties", "A=A"},
	{"A B", "+n:A =B:n/B", "alreadyExists invalidProperties", "A=A B=B"},
	{"A B C", "=A:B =B:C", "alreadyExists alreadyExists", "A=A B=B C=C"},
	{"A B C D", "=C:D =B:C =A:B +n:A",
	 "alreadyExists alreadyExists alreadyExists alreadyExists",
	 "A=A B=B C=C D=D"},
	{"A A/x B", "=A/x:B -A", "alreadyExists mailboxHasChild",
	 "A/x=A/x A=A B=B"},
	/* A refused destroy keeps its name. */
	{"A A/x B", "-A =B:A", "mailboxHasChild alreadyExists",
	 "A/x=A/x A=A B=B"},
	{"A A/x A/x/y B", "-A/x -A =B:A",
	 "mailboxHasChild mailboxHasChild alreadyExists",
	 "A/x/y=A/x/y A/x=A/x A=A B=B"},

	/* INBOX. */
	{"A", "=INBOX:B", "forbidden", "A=A"},
	{"A", "=INBOX:A/INBOX", "forbidden", "A=A"},
	{"A", "=INBOX:inbox", "ok", "A=A"},
	{"A", "-INBOX", "forbidden", "A=A"},
	{"A", "=A:inbox", "alreadyExists", "A=A"},
	{"A", "+n:Inbox", "alreadyExists", "A=A"},
	{"A", "=INBOX?sel=0", "forbidden", "A=A"},
	{"A", "=INBOX?role=6,sub=1", "ok", "A=A"},
	{"A", "=A:A/INBOX", "invalidProperties", "A=A"},
	{"A B", "=A:B/inbox", "ok", "B/inbox=A B=B"},
	{"A A/inbox", "=A/inbox:inbox", "alreadyExists", "A/inbox=A/inbox A=A"},
	{"A", "+n:INBOX/N", "ok", "A=A INBOX/N=n"},

	/* Selectability. */
	{"A", "=A?sel=0", "ok", "!A=A"},
	{"!A", "=A?sel=1", "ok", "A=A"},
	{"A B", "=A:B/A?sel=0 +n:A?sel=0", "ok ok", "!A=n !B/A=A B=B"},
};

/*
 * A role has one holder in the tree after: whoever keeps it, else the first
 * change that gives it.  Import A (archive), A/x, B (trash) and C; set.
 */
static const struct {
	const char *changes;
	const char *results;
	const char *after; /* who has archive and trash */
} role_rows[] = {
	{"=C?role=2", "invalidProperties", "A B"},
	{"+n:N?role=2", "invalidProperties", "A B"},
	{"=A?role=2", "ok", "A B"},
	{"=A?role=0 =C?role=2", "ok ok", "C B"},
	{"=C?role=2 =A?role=0", "ok ok", "C B"},
	{"=A?role=10 =B?role=2", "ok ok", "B A"},
	{"=A?role=10", "invalidProperties", "A B"},
	{"=C?role=7 +n:N?role=7", "invalidProperties ok", "A B"},
	{"=C?role=10 -B", "ok ok", "A C"},
	{"+n:B?role=10 -B", "ok ok", "A n"},
	/* Its holder stays after all: for its child, for another refusal. */
	{"=C?role=2 -A", "invalidProperties mailboxHasChild", "A B"},
	{"=A:B?role=0 =C?role=2", "alreadyExists invalidProperties", "A B"},
	{"=A:B?role=0 =C?role=2 +n:N?role=2",
	 "alreadyExists invalidProperties invalidProperties", "A B"},
	/* The rest of a refused change goes with it, and what needs it. */
	{"=C:D?role=2 +n:C", "invalidProperties alreadyExists", "A B"},
	{"+n:N?role=2 +m:n/M -C", "invalidProperties invalidProperties ok",
	 "A B"},
	/* One role's refusal can be another's. */
	{"=B:C?role=2 =A?role=0 =C:B?role=10", "ok ok ok", "B C"},
	{"=B:C?role=2 =C:B?role=10", "invalidProperties alreadyExists", "A B"},
};

/* The tag of the only holder, "-" for none, "!" for several. */
static void role_holder(uint8_t role, char tag[MBJ_ID_SIZE + 1])
{
	struct mbj_mailbox mailbox;
	struct mbj_scan scan = {0};

	(void)snprintf(tag, MBJ_ID_SIZE + 1, "-");
	LAB_OK(mbj_scan_mailboxes(lab.txns[0], edit_lab_account(&lab, "u").id,
				  &scan, err));
	while (mbj_scan_next_mailbox(&scan, &mailbox, NULL) == MBJ_OK)
		if (mailbox.role == role)
			(void)snprintf(tag, MBJ_ID_SIZE + 1, "%.16s",
				       tag[0] == '-'
					       ? (const char *)mailbox.id.b
					       : "!");
	mbj_scan_done(&scan);
}

START_TEST(roles)
{
	char archive[MBJ_ID_SIZE + 1], trash[MBJ_ID_SIZE + 1], after[64];

	edit_lab_import(&lab, "u", "A A/x B C");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A?role=2 =B?role=10"));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", role_rows[_i].changes));
	ck_assert_str_eq(edit_lab_results(&lab), role_rows[_i].results);
	role_holder(MBJ_ROLE_ARCHIVE, archive);
	role_holder(MBJ_ROLE_TRASH, trash);
	(void)snprintf(after, sizeof(after), "%s %s", archive, trash);
	ck_assert_str_eq(after, role_rows[_i].after);
}
END_TEST

START_TEST(row)
{
	edit_lab_import(&lab, "u", rows[_i].before);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", rows[_i].changes));
	ck_assert_str_eq(edit_lab_results(&lab), rows[_i].results);
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), rows[_i].after);
}
END_TEST

/*
 * A destroyed id is gone for ever.  Create with it again, and destroy it
 * again.
 */
START_TEST(tombstone)
{
	edit_lab_import(&lab, "u", "A");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-A"));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+A:A -A =A:B"));
	ck_assert_str_eq(edit_lab_results(&lab),
			 "invalidProperties notFound notFound");
	ck_assert_uint_eq(lab.outcome.refused_count, 3);
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	ck_assert_uint_eq(lab.outcome.new_state.v, lab.outcome.old_state.v);
}
END_TEST

/*
 * Refusals name the property that is at fault.  One set, one of each.
 */
START_TEST(properties)
{
	static const char *const expected[] = {"name", "parentId", "id", NULL};

	edit_lab_import(&lab, "u", "A A/x");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:A +m:X/M +A:Z -A"));
	ck_assert_uint_eq(lab.outcome.result_count, 4);
	for (int i = 0; i < 4; i++) {
		const char *property = lab.outcome.results[i].property;

		if (expected[i] == NULL)
			ck_assert_ptr_null(property);
		else
			ck_assert_str_eq(property, expected[i]);
	}
}
END_TEST

/* Create a chain c1/c2/.. of count mailboxes below the mailbox at tag top. */
static void make_chain(struct edit_lab *l, const char *account, unsigned count)
{
	struct mbj_change *changes = calloc(count, sizeof(*changes));
	struct mbj_edit edit = MBJ_EDIT_INIT;

	ck_assert_ptr_nonnull(changes);
	for (unsigned i = 0; i < count; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "c%u", i);
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		changes[i].id = edit_lab_id(tag);
		changes[i].name = mbj_bytes_str("c");
		if (i > 0) {
			(void)snprintf(tag, sizeof(tag), "c%u", i - 1);
			changes[i].parent = edit_lab_id(tag);
		}
	}
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str(account);
	edit.changes = changes;
	edit.change_count = count;
	EDIT_LAB_OK(l, edit_lab_run(l, &edit));
	free(changes);
}

/*
 * Depth is judged for the mailbox that is named.  A chain one level too long
 * loses its end and no more, and a subtree can be moved to the last level.
 */
START_TEST(depth)
{
	const struct mbj_change_result *last;
	char words[64];

	edit_lab_import(&lab, "u", "A A/x");
	make_chain(&lab, "u", MBJ_DEPTH_MAX + 2);
	ck_assert_uint_eq(lab.outcome.refused_count, 2);
	last = &lab.outcome.results[MBJ_DEPTH_MAX];
	ck_assert_int_eq(last[0].refusal, MBJ_REFUSAL_INVALID_PROPERTIES);
	ck_assert_str_eq(last[0].property, "parentId");
	ck_assert_int_eq(last[1].refusal, MBJ_REFUSAL_INVALID_PROPERTIES);
	(void)snprintf(words, sizeof(words), "=A:c%d/A", MBJ_DEPTH_MAX - 1);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", words));
	ck_assert_str_eq(edit_lab_results(&lab), "invalidProperties");
	(void)snprintf(words, sizeof(words), "=A:c%d/A", MBJ_DEPTH_MAX - 2);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", words));
	ck_assert_str_eq(edit_lab_results(&lab), "ok");
	/* Of two moves too deep the upper goes; the lower one is fine then. */
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:N +m:M"));
	(void)snprintf(words, sizeof(words), "=n:c%d/N =m:n/M",
		       MBJ_DEPTH_MAX - 1);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", words));
	ck_assert_str_eq(edit_lab_results(&lab), "invalidProperties ok");
	/* A/x is too deep now: it may stay, but not be renamed there. */
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A/x:A/y"));
	ck_assert_str_eq(edit_lab_results(&lab), "invalidProperties");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A/x?role=2"));
	ck_assert_str_eq(edit_lab_results(&lab), "ok");
}
END_TEST

/*
 * The whole name is limited in bytes.  Build a chain of long names up to the
 * limit, and add one byte more.
 */
START_TEST(length)
{
	enum { LEVELS = MBJ_PATH_MAX / (MBJ_NAME_MAX + 1) };
	struct mbj_change changes[LEVELS + 2] = {{0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char name[MBJ_NAME_MAX], tag[16] = "";

	memset(name, 'n', sizeof(name));
	edit_lab_import(&lab, "u", "");
	for (int i = 0; i < LEVELS + 2; i++) {
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		changes[i].parent = edit_lab_id(tag);
		if (i <= LEVELS)
			(void)snprintf(tag, sizeof(tag), "l%d", i);
		changes[i].id = edit_lab_id(tag);
		changes[i].name = mbj_bytes_make(name, sizeof(name));
	}
	/* 256 bytes a level: the last name ends one byte before the limit. */
	ck_assert_int_eq(LEVELS * (MBJ_NAME_MAX + 1), MBJ_PATH_MAX);
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u");
	edit.changes = changes;
	edit.change_count = LEVELS + 1;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_uint_eq(lab.outcome.refused_count, 1);
	ck_assert_str_eq(lab.outcome.results[LEVELS].property, "name");
}
END_TEST

/*
 * A state that is not the account's is a conflict, and nothing is done.  Set
 * with the right and the wrong one.
 */
START_TEST(if_in_state)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_CREATE,
				    .has = MBJ_CHANGE_HAS_NAME};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit_lab_import(&lab, "u", "");
	change.id = edit_lab_id("n");
	change.name = mbj_bytes_str("N");
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u");
	edit.changes = &change;
	edit.change_count = 1;
	edit.has_if_in_state = true;
	edit.if_in_state = edit_lab_account(&lab, "u").lsn;
	edit.if_in_state.v++;
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_ECONFLICT);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_STATE_MISMATCH);
	edit.if_in_state.v--;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_uint_eq(lab.outcome.old_state.v, edit.if_in_state.v);
	ck_assert_uint_eq(lab.outcome.new_state.v, lab.lsn.v);
}
END_TEST

/*
 * A dry run says everything and changes nothing.  Run it, then the real one,
 * and compare.
 */
START_TEST(dry_run)
{
	struct mbj_rename renames[2] = {
		{mbj_bytes_str("A"), mbj_bytes_str("B")},
		{mbj_bytes_str("B"), mbj_bytes_str("A")},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	size_t size;

	edit_lab_import(&lab, "u", "A B");
	edit.kind = MBJ_EDIT_RENAME;
	edit.account = mbj_bytes_str("u");
	edit.renames = renames;
	edit.rename_count = 2;
	edit.is_dry_run = true;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	size = lab.record.n;
	ck_assert_uint_gt(size, 0);
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "A=A B=B");
	edit.is_dry_run = false;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_uint_eq(lab.record.n, size);
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "A=B B=A");
}
END_TEST

/*
 * Attributes go with the change that they are in: a refused update changes
 * none.  Refuse one for its name, do another.
 */
START_TEST(attributes)
{
	edit_lab_import(&lab, "u", "A B");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u",
				       "=A:B?role=2,sub=1 "
				       "=B?role=10,sub=1"));
	ck_assert_str_eq(edit_lab_results(&lab), "alreadyExists ok");
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "A").role, 0);
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "A").rev, 1);
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "B").role, 10);
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "B").rev, 2);
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "B");
}
END_TEST

/*
 * Setting what is there already journals nothing.  Repeat a set.
 */
START_TEST(nothing_new)
{
	edit_lab_import(&lab, "u", "A");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A:B?role=2,sub=1"));
	ck_assert_uint_gt(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A:B?role=2,sub=1,sel=1"));
	ck_assert_str_eq(edit_lab_results(&lab), "ok");
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	ck_assert_uint_eq(lab.record.n, 0);
}
END_TEST

TCase *test_edit_set_case(void)
{
	TCase *tc = tcase_create("edit_set");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, row, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(tc, roles, 0,
			    (int)(sizeof(role_rows) / sizeof(role_rows[0])));
	tcase_add_test(tc, tombstone);
	tcase_add_test(tc, properties);
	tcase_add_test(tc, depth);
	tcase_add_test(tc, length);
	tcase_add_test(tc, if_in_state);
	tcase_add_test(tc, dry_run);
	tcase_add_test(tc, attributes);
	tcase_add_test(tc, nothing_new);
	return tc;
}
