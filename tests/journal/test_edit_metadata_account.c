/*
 * METADATA of the account itself: IMAP's mailbox "" (RFC 5464).
 */
#include <stdio.h>
#include <string.h>

#include <mbj/attribute.h>

#include "edit_lab.h"
#include "journal_cases.h"

static struct edit_lab lab;

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
	edit_lab_import(&lab, "u", "A");
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

static enum mbj_rc run(const struct mbj_metadata_edit *steps, size_t count)
{
	return edit_lab_metadata(&lab, "u", steps, count);
}

/* value NULL: NIL. */
static enum mbj_rc entry(enum mbj_metadata_edit_kind kind, struct mbj_id of,
			 const char *name, const char *value)
{
	const struct mbj_metadata_edit step = {
		.kind = kind,
		.mailbox = of,
		.name = mbj_bytes_str(name),
		.value = mbj_bytes_str(value == NULL ? "" : value),
		.is_removed = value == NULL,
	};

	return run(&step, 1);
}

static enum mbj_rc own(const char *name, const char *value)
{
	return entry(MBJ_METADATA_ACCOUNT_ENTRY, MBJ_ID_ROOT, name, value);
}

/* "name=value" of each entry of the account on the replica. */
static const char *shown(void)
{
	static char text[1024];
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	size_t n = 0;

	text[0] = '\0';
	LAB_OK(mbj_scan_attrs(lab.txns[1], edit_lab_account(&lab, "u").id,
			      MBJ_ID_ROOT, MBJ_ATTR_ANY, &scan, err));
	while (mbj_scan_next_attr(&scan, &attr, NULL) == MBJ_OK) {
		ck_assert_int_eq(attr.kind, MBJ_ATTR_METADATA);
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s=%.*s",
				      n > 0 ? " " : "", (int)attr.name.n,
				      (const char *)attr.name.p,
				      (int)attr.value.n,
				      (const char *)attr.value.p);
		ck_assert_uint_lt(n, sizeof(text));
	}
	mbj_scan_done(&scan);
	return text;
}

/*
 * Goal: an account has entries of its own under the rules of a mailbox's; what
 * changes nothing is no group; a rename of the account keeps them.
 */
START_TEST(entries)
{
	const struct mbj_rename rename = {.target = mbj_bytes_str("v")};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	EDIT_LAB_OK(&lab, own("/Shared/ADMIN", "mailto:a@b"));
	EDIT_LAB_OK(&lab, entry(MBJ_METADATA_ENTRY, edit_lab_id("A"),
				"/shared/admin", "other"));
	EDIT_LAB_OK(&lab, own("/private/x", "y"));
	ck_assert_str_eq(shown(), "/private/x=y /shared/admin=mailto:a@b");
	EDIT_LAB_OK(&lab, own("/shared/admin", "mailto:a@b"));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_REFUSED(&lab, own("/shared//x", "y"), "invalidProperties",
			 "/shared//x");
	EDIT_LAB_REFUSED(&lab, own("/shared/x", ""), "invalidProperties",
			 "/shared/x");
	EDIT_LAB_OK(&lab, own("/shared/admin", NULL));
	EDIT_LAB_OK(&lab, own("/shared/admin", NULL));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	ck_assert_str_eq(shown(), "/private/x=y");
	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = mbj_bytes_str("u");
	edit.renames = &rename;
	edit.rename_count = 1;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	edit.account = mbj_bytes_str("v");
	edit.renames = &(struct mbj_rename){.target = mbj_bytes_str("u")};
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(shown(), "/private/x=y");
}
END_TEST

/* Goal: a mailbox that was not given is not the account. */
START_TEST(no_mailbox)
{
	ck_assert_int_eq(entry(MBJ_METADATA_ENTRY, MBJ_ID_ROOT, "/shared/x",
			       "y"),
			 MBJ_ENOTFOUND);
	ck_assert_int_eq(entry(MBJ_METADATA_ACL, MBJ_ID_ROOT, "bob", "l"),
			 MBJ_ENOTFOUND);
	ck_assert_str_eq(shown(), "");
}
END_TEST

/* Goal: an account has so many entries and no more; a mailbox has its own. */
START_TEST(limit)
{
	enum { COUNT = MBJ_ACCOUNT_ATTRS_MAX + 1 };
	static struct mbj_metadata_edit steps[COUNT];
	static char names[COUNT][32];

	for (int i = 0; i < COUNT; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "/shared/e%d", i);
		steps[i].kind = MBJ_METADATA_ACCOUNT_ENTRY;
		steps[i].name = mbj_bytes_str(names[i]);
		steps[i].value = mbj_bytes_str("v");
	}
	ck_assert_int_eq(run(steps, COUNT), MBJ_ELIMIT);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
	ck_assert_str_eq(lab.error.subject_kind, "account");
	EDIT_LAB_OK(&lab, run(steps, COUNT - 1));
	ck_assert_int_eq(run(steps + COUNT - 1, 1), MBJ_ELIMIT);
	steps[0].value = mbj_bytes_str("w");
	EDIT_LAB_OK(&lab, run(steps, 1));
	EDIT_LAB_OK(&lab, entry(MBJ_METADATA_ENTRY, edit_lab_id("A"),
				"/shared/more", "x"));
}
END_TEST

TCase *test_edit_metadata_account_case(void)
{
	TCase *tc = tcase_create("edit_metadata_account");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, entries);
	tcase_add_test(tc, no_mailbox);
	tcase_add_test(tc, limit);
	return tc;
}
