/*
 * Tests of RECONCILE and IMPORT: a whole wanted tree, all or nothing.
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
 * The list becomes the tree: ids stay, move, go and come.  One account a row:
 * import, reconcile, compare.
 */
static const struct {
	const char *before;
	const char *list;
	const char *after;
} rows[] = {
	{"A B", "A:A B:B", "A=A B=B"},
	{"A B", "B:A A:B", "A=B B=A"},
	{"A A/x B", "A:A", "A=A"},
	{"A A/x", "A/x:A A:A/x/x", "A/x=A A=A/x"},
	{"A", "n:N m:n/M A:m/A", "N/M/A=A N/M=m N=n"},
	{"A", "m:n/M n:N", "N/M=m N=n"},
	{"A B C", "A:B B:C C:A", "A=C B=A C=B"},
	{"A A/x", "", ""},
	/* INBOX stays whether the list has it or not, and may have children. */
	{"A INBOX/x", "INBOX:INBOX A:INBOX/A", "INBOX/A=A"},
	{"A INBOX/x", "A:INBOX/A", "INBOX/A=A"},
	{"A INBOX/x", "INBOX:inbox INBOX/x:x", "x=INBOX/x"},
	/* What is not given stays as it is. */
	{"!A *B", "A:A B:C", "!A=A C=B"},
	{"!A B", "A:A?sel=1 B:B?sel=0", "!B=B A=A"},
};

START_TEST(row)
{
	edit_lab_import(&lab, "u", rows[_i].before);
	EDIT_LAB_OK(&lab, edit_lab_reconcile(&lab, "u", rows[_i].list));
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), rows[_i].after);
	ck_assert_ptr_null(lab.outcome.results);
	EDIT_LAB_OK(&lab, edit_lab_reconcile(&lab, "u", rows[_i].list));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
}
END_TEST

/*
 * A list that is no tree, or not one for this account, is refused whole.  One
 * account a row: import, reconcile, compare reason, kind and tree.
 */
static const struct {
	const char *list;
	const char *type;
	const char *kind;
} refusals[] = {
	{"A:A n:A", "alreadyExists", "name"},
	{"A:A A:B", "invalidProperties", "id"},
	{"n:A n:B", "invalidProperties", "id"},
	{"A:A/A", "invalidProperties", "parentId"},
	{"A:B/A B:A/B", "invalidProperties", "parentId"},
	{"A:n/A", "invalidProperties", "parentId"},
	{"A:B/A", "invalidProperties", "parentId"}, /* B is not listed */
	{"A", "invalidProperties", "name"},
	{"A:A?role=77", "invalidProperties", "role"},
	{"A:A?role=2 B:B?role=2", "invalidProperties", "role"},
	{"A:A B:B n:N?role=6 m:M?role=6", "invalidProperties", "role"},
	{"A:A?uid=7", "invalidProperties", "uidValidity"},
	{"gone:G", "invalidProperties", "id"},
	{"INBOX:A", "forbidden", "id"},
	{"INBOX:A/INBOX A:A", "forbidden", "id"},
	{"A:INBOX", "forbidden", "id"},
	{"n:inbox", "forbidden", "id"},
	{"INBOX:INBOX?sel=0", "forbidden", "isSelectable"},
	{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff:A",
	 "invalidProperties", "id"},
	{":A", "invalidProperties", "id"},
};

START_TEST(refusal)
{
	edit_lab_import(&lab, "u", "A B gone");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-gone"));
	ck_assert_int_eq(edit_lab_reconcile(&lab, "u", refusals[_i].list),
			 MBJ_EINVALID);
	ck_assert_str_eq(mbj_refusal_type(lab.error.refusal),
			 refusals[_i].type);
	ck_assert_str_eq(lab.error.subject_kind, refusals[_i].kind);
	ck_assert_str_ne(lab.error.subject, "");
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "A=A B=B");
}
END_TEST

/*
 * Depth binds what a list puts somewhere.  List a chain at the limit, and one
 * longer.
 */
START_TEST(depth)
{
	static struct mbj_change changes[MBJ_DEPTH_MAX + 1];
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit_lab_import(&lab, "u", "");
	for (int i = 0; i <= MBJ_DEPTH_MAX; i++) {
		char tag[16];

		(void)snprintf(tag, sizeof(tag), "c%d", i);
		changes[i].kind = MBJ_CHANGE_CREATE;
		changes[i].has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
		changes[i].id = edit_lab_id(tag);
		changes[i].name = mbj_bytes_str("c");
		if (i > 0)
			changes[i].parent = changes[i - 1].id;
	}
	edit.kind = MBJ_EDIT_RECONCILE;
	edit.account = mbj_bytes_str("u");
	edit.changes = changes;
	edit.change_count = MBJ_DEPTH_MAX + 1;
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_INVALID_PROPERTIES);
	edit.change_count = MBJ_DEPTH_MAX;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
}
END_TEST

/*
 * A mailbox does not take its messages with it out of everybody's sight.  Have
 * one with a message be selectable no more, in a set and in a list, also where
 * mail may go; then without the message; then have it stay as it is.
 */
START_TEST(unselectable)
{
	static const uint8_t uid_1[] = {1, 0, 0, 0, 1, 0, 0, 0};
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = edit_lab_id("A"),
					.size = 1};
	struct mbj_change place = {.kind = MBJ_CHANGE_CREATE,
				   .id = edit_lab_id("A"),
				   .has = MBJ_CHANGE_HAS_NAME |
					  MBJ_CHANGE_HAS_SELECTABLE,
				   .name = mbj_bytes_str("A")};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit_lab_import(&lab, "u", "A A/x");
	EDIT_LAB_OK(&lab, edit_lab_messages(&lab, "u", &step, 1));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A?sel=0 =A/x?sel=0"));
	ck_assert_str_eq(edit_lab_results(&lab), "mailboxHasEmail ok");
	edit.kind = MBJ_EDIT_RECONCILE;
	edit.account = mbj_bytes_str("u");
	edit.changes = &place;
	edit.change_count = 1;
	edit.is_emptying = true;
	EDIT_LAB_REFUSED(&lab, edit_lab_run(&lab, &edit), "mailboxHasEmail",
			 "41000000000000000000000000000000");
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "!A/x=A/x A=A");
	step.kind = MBJ_MESSAGE_EXPUNGE;
	step.uids = mbj_bytes_make(uid_1, sizeof(uid_1));
	EDIT_LAB_OK(&lab, edit_lab_messages(&lab, "u", &step, 1));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "=A?sel=0"));
	ck_assert_str_eq(edit_lab_results(&lab), "ok");
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "!A=A");
}
END_TEST

/* ---------------------------------------------------------------- import */

static struct mbj_edit
import_edit(const char *account, const struct mbj_change *changes, size_t count)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(account);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = count;
	return edit;
}

static struct mbj_change import_change(const char *tag, const char *name)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_CREATE};

	change.has = MBJ_CHANGE_HAS_NAME;
	change.id = edit_lab_id(tag);
	change.name = mbj_bytes_str(name);
	return change;
}

/*
 * An import without INBOX makes one and says its id, one with INBOX keeps it.
 * Import both ways.
 */
START_TEST(import_inbox)
{
	struct mbj_change changes[2] = {import_change("A", "A"),
					import_change("in", "inBox")};
	struct mbj_edit edit = import_edit("u", changes, 1);
	struct mbj_mailbox mailbox;

	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert(!mbj_id_is_reserved(lab.outcome.inbox));
	LAB_OK(mbj_txn_mailbox_get(lab.txns[0], lab.outcome.account,
				   lab.outcome.inbox, &mailbox, err));
	ck_assert(mbj_bytes_equal(mailbox.name.stored, mbj_bytes_str("INBOX")));
	ck_assert_uint_eq(mailbox.role, MBJ_ROLE_INBOX);
	ck_assert(mailbox.is_selectable);
	edit = import_edit("v", changes, 2);
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert(mbj_id_is_root(lab.outcome.inbox));
	mailbox = edit_lab_mailbox(&lab, "v", "in");
	ck_assert(mbj_bytes_equal(mailbox.name.stored, mbj_bytes_str("INBOX")));
}
END_TEST

/*
 * Two mailboxes that are INBOX are refused, and no account is made.  Import
 * INBOX and inbox.
 */
START_TEST(import_two_inboxes)
{
	struct mbj_change changes[2] = {import_change("A", "INBOX"),
					import_change("B", "inbox")};
	struct mbj_edit edit = import_edit("u", changes, 2);
	struct mbj_account account;

	EDIT_LAB_REFUSED(&lab, edit_lab_run(&lab, &edit), "alreadyExists",
			 "INBOX");
	ck_assert_int_eq(mbj_txn_account_find(lab.txns[0], edit.account,
					      &account, NULL),
			 MBJ_ENOTFOUND);
}
END_TEST

/*
 * An account is imported once, under a name that is text, with a delimiter
 * that is one.  Import wrongly in each way.
 */
START_TEST(import_refused)
{
	static const char *const names[] = {
		"",	    "a\tb",	"a\x7f",	"\xc2\x80",
		"\xff",	    "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
		"a\xe2\x82"};
	char name[MBJ_ACCOUNT_NAME_MAX + 2];
	struct mbj_edit edit = import_edit("u", NULL, 0);

	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EEXISTS);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_ALREADY_EXISTS);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		edit.account = mbj_bytes_str(names[i]);
		ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
		ck_assert_str_eq(lab.error.subject_kind, "account");
	}
	memset(name, 'n', sizeof(name));
	edit.account = mbj_bytes_make(name, MBJ_ACCOUNT_NAME_MAX + 1);
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
	edit.account = mbj_bytes_make(name, MBJ_ACCOUNT_NAME_MAX);
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	edit.account = mbj_bytes_str("\xc3\xa9.x@example.org");
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	edit.account = mbj_bytes_str("v");
	edit.policy.delimiter = ' ';
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
	edit.policy.delimiter = '.';
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_int_eq(edit_lab_account(&lab, "v").policy.delimiter, '.');
}
END_TEST

/*
 * A UIDVALIDITY is not 0.  Import a mailbox with that.
 */
START_TEST(import_uidvalidity_none)
{
	struct mbj_change change = import_change("A", "A");
	struct mbj_edit edit = import_edit("u", &change, 1);

	change.has |= MBJ_CHANGE_HAS_UIDVALIDITY;
	EDIT_LAB_REFUSED(&lab, edit_lab_run(&lab, &edit), "invalidProperties",
			 "41000000000000000000000000000000");
	ck_assert_str_eq(lab.error.subject_kind, "uidValidity");
	change.uidvalidity = 1;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "A").uidvalidity, 1);
}
END_TEST

/*
 * The counter is the clock's second where that is a value at all.  Import
 * under clocks before 1970, at it, and after 2106.
 */
START_TEST(import_clock)
{
	static const struct {
		int64_t time_us;
		uint32_t last; /* with INBOX's */
	} clocks[] = {
		{-5, 2},
		{0, 2},
		{INT64_C(4294967294) * 1000000, UINT32_MAX},
		{INT64_C(4294967296) * 1000000, 2},
	};

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
		char name[2] = {(char)('a' + i), '\0'};
		struct mbj_edit edit = import_edit(name, NULL, 0);

		lab.time_us = clocks[i].time_us;
		EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
		ck_assert_uint_eq(edit_lab_account(&lab, name).uidvalidity_last,
				  clocks[i].last);
	}
}
END_TEST

/* -------------------------------------------------------------- accounts */

static enum mbj_rc account_edit(enum mbj_edit_kind kind, const char *account,
				const char *target)
{
	struct mbj_rename rename = {{NULL, 0}, {NULL, 0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = kind;
	edit.account = mbj_bytes_str(account);
	if (target != NULL) {
		rename.target = mbj_bytes_str(target);
		edit.renames = &rename;
		edit.rename_count = 1;
	}
	return edit_lab_run(&lab, &edit);
}

/*
 * Accounts are renamed to free names and deleted with all they have.  Do each,
 * rightly and wrongly.
 */
START_TEST(accounts)
{
	struct mbj_id first;

	edit_lab_import(&lab, "u", "*A A/x");
	edit_lab_import(&lab, "v", "");
	first = edit_lab_account(&lab, "u").id;
	ck_assert_int_eq(account_edit(MBJ_EDIT_ACCOUNT_RENAME, "u", "v"),
			 MBJ_EEXISTS);
	ck_assert_int_eq(account_edit(MBJ_EDIT_ACCOUNT_RENAME, "u", "\x01"),
			 MBJ_EINVALID);
	ck_assert_int_eq(account_edit(MBJ_EDIT_ACCOUNT_RENAME, "u", NULL),
			 MBJ_EINVALID);
	ck_assert_int_eq(account_edit(MBJ_EDIT_ACCOUNT_RENAME, "w", "x"),
			 MBJ_ENOTFOUND);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_ACCOUNT_NOT_FOUND);
	EDIT_LAB_OK(&lab, account_edit(MBJ_EDIT_ACCOUNT_RENAME, "u", "u"));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, account_edit(MBJ_EDIT_ACCOUNT_RENAME, "u", "w"));
	ck_assert(mbj_id_equal(edit_lab_account(&lab, "w").id, first));
	EDIT_LAB_OK(&lab, account_edit(MBJ_EDIT_ACCOUNT_DELETE, "w", NULL));
	ck_assert_int_eq(account_edit(MBJ_EDIT_ACCOUNT_DELETE, "w", NULL),
			 MBJ_ENOTFOUND);
	ck_assert_int_eq(edit_lab_set(&lab, "w", "-A"), MBJ_ENOTFOUND);
	/* The name is free again, for another account. */
	edit_lab_import(&lab, "w", "A");
	ck_assert(!mbj_id_equal(edit_lab_account(&lab, "w").id, first));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "w"), "");
}
END_TEST

/*
 * An edit that is none is refused before anything is looked at.  Break one
 * member after the other.
 */
START_TEST(no_edits)
{
	struct mbj_edit good = import_edit("u", NULL, 0), edit;

	edit = good;
	edit.size--;
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
	edit = good;
	edit.kind = (enum mbj_edit_kind)99;
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
	edit = good;
	edit.origin = (enum mbj_origin)99;
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_EINVALID);
	edit = good;
	edit.rename_count = MBJ_ACCOUNT_MAILBOXES_MAX + 1;
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_ELIMIT);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &good));
}
END_TEST

TCase *test_edit_whole_case(void)
{
	TCase *tc = tcase_create("edit_whole");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, row, 0, (int)(sizeof(rows) / sizeof(rows[0])));
	tcase_add_loop_test(tc, refusal, 0,
			    (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tc, depth);
	tcase_add_test(tc, unselectable);
	tcase_add_test(tc, import_inbox);
	tcase_add_test(tc, import_two_inboxes);
	tcase_add_test(tc, import_refused);
	tcase_add_test(tc, import_uidvalidity_none);
	tcase_add_test(tc, import_clock);
	tcase_add_test(tc, accounts);
	tcase_add_test(tc, no_edits);
	return tc;
}
