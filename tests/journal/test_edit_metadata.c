/*
 * Edits of metadata: quota, access control lists, METADATA, subscribed names.
 * edit_lab applies every group to a replica too and checks both states in
 * full; what is looked at here is the replica's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/attribute.h>

#include "edit_lab.h"
#include "journal_cases.h"

static struct edit_lab lab;

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
	edit_lab_import(&lab, "u", "A A/x !N *S");
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

/* -------------------------------------------------------- ways of writing */

static enum mbj_rc run(const struct mbj_metadata_edit *steps, size_t count)
{
	return edit_lab_metadata(&lab, "u", steps, count);
}

static enum mbj_rc acl(const char *mailbox, const char *name,
		       enum mbj_rights_mode mode, const char *rights)
{
	const struct mbj_metadata_edit step = {
		.kind = MBJ_METADATA_ACL,
		.mailbox = edit_lab_id(mailbox),
		.name = mbj_bytes_str(name),
		.value = mbj_bytes_str(rights),
		.mode = mode,
	};

	return run(&step, 1);
}

/* value NULL: NIL. */
static enum mbj_rc entry(const char *mailbox, const char *name,
			 const char *value)
{
	const struct mbj_metadata_edit step = {
		.kind = MBJ_METADATA_ENTRY,
		.mailbox = edit_lab_id(mailbox),
		.name = mbj_bytes_str(name),
		.value = mbj_bytes_str(value == NULL ? "" : value),
		.is_removed = value == NULL,
	};

	return run(&step, 1);
}

static enum mbj_rc subscription(const char *path, bool is_wanted)
{
	const struct mbj_metadata_edit step = {
		.kind = is_wanted ? MBJ_METADATA_SUBSCRIBE
				  : MBJ_METADATA_UNSUBSCRIBE,
		.name = mbj_bytes_str(path),
	};

	return run(&step, 1);
}

static enum mbj_rc quota(unsigned has, uint64_t messages, uint64_t size)
{
	const struct mbj_metadata_edit step = {
		.kind = MBJ_METADATA_QUOTA,
		.has = has,
		.quota_messages = messages,
		.quota_size = size,
	};

	return run(&step, 1);
}

/* "kind name=value" of a mailbox on the replica, in order, with ", ". */
static const char *shown(const char *mailbox)
{
	static char text[4096];
	struct mbj_account account = edit_lab_account(&lab, "u");
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	size_t n = 0;

	text[0] = '\0';
	LAB_OK(mbj_scan_attrs(lab.txns[1], account.id, edit_lab_id(mailbox),
			      MBJ_ATTR_ANY, &scan, err));
	while (mbj_scan_next_attr(&scan, &attr, NULL) == MBJ_OK) {
		ck_assert(mbj_id_equal(attr.mailbox, edit_lab_id(mailbox)));
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "%s%s %.*s=%.*s", n > 0 ? ", " : "",
				      mbj_attr_kind_name(attr.kind),
				      (int)attr.name.n,
				      (const char *)attr.name.p,
				      (int)attr.value.n,
				      (const char *)attr.value.p);
		ck_assert_uint_lt(n, sizeof(text));
	}
	mbj_scan_done(&scan);
	return text;
}

/* ------------------------------------------------------------------- ACL */

/* Rights are set, added and removed; what changes nothing is no group. */
static const struct {
	const char *name;
	enum mbj_rights_mode mode;
	const char *rights;
	const char *after;
	bool is_change;
} acl_rows[] = {
	{"bob", MBJ_RIGHTS_REPLACE, "wsrl", "acl bob=lrsw", true},
	{"bob", MBJ_RIGHTS_REPLACE, "llrsw", "acl bob=lrsw", false},
	{"bob", MBJ_RIGHTS_ADD, "l", "acl bob=lrsw", false},
	{"bob", MBJ_RIGHTS_REMOVE, "a", "acl bob=lrsw", false},
	{"bob", MBJ_RIGHTS_REPLACE, "cd", "acl bob=kxte", true},
	{"bob", MBJ_RIGHTS_REMOVE, "c", "acl bob=te", true},
	{"bob", MBJ_RIGHTS_ADD, "9a0i", "acl bob=itea09", true},
	{"-bob", MBJ_RIGHTS_ADD, "p", "acl -bob=p, acl bob=itea09", true},
	{"bob", MBJ_RIGHTS_REMOVE, "d0aip9", "acl -bob=p", true},
	{"bob", MBJ_RIGHTS_REMOVE, "l", "acl -bob=p", false},
	{"bob", MBJ_RIGHTS_REPLACE, "", "acl -bob=p", false},
	{"\xc3\xa9@example.org", MBJ_RIGHTS_REPLACE, "lrswipkxtea0123456789",
	 "acl -bob=p, acl \xc3\xa9@example.org=lrswipkxtea0123456789", true},
	{"-bob", MBJ_RIGHTS_REPLACE, "",
	 "acl \xc3\xa9@example.org=lrswipkxtea0123456789", true},
};

/* Goal: as the table has it.  Method: row after row, on one mailbox. */
START_TEST(acl_table)
{
	for (size_t i = 0; i < sizeof(acl_rows) / sizeof(*acl_rows); i++) {
		EDIT_LAB_OK(&lab, acl("A", acl_rows[i].name, acl_rows[i].mode,
				      acl_rows[i].rights));
		ck_assert_str_eq(shown("A"), acl_rows[i].after);
		ck_assert_int_eq(lab.outcome.lsn.v > 0, acl_rows[i].is_change);
	}
	ck_assert_str_eq(shown("A/x"), "");
}
END_TEST

/* Goal: what is no identifier and no right is refused, and named. */
START_TEST(acl_refused)
{
	char name[MBJ_ATTR_NAME_MAX + 2];

	EDIT_LAB_REFUSED(&lab, acl("A", "", 0, "l"), "invalidProperties", "");
	ck_assert_str_eq(lab.error.subject_kind, "identifier");
	EDIT_LAB_REFUSED(&lab, acl("A", "-", 0, "l"), "invalidProperties", "-");
	EDIT_LAB_REFUSED(&lab, acl("A", "a\nb", 0, "l"), "invalidProperties",
			 "a\nb");
	ck_assert_ptr_null(strchr(lab.error.message, '\n'));
	EDIT_LAB_REFUSED(&lab, acl("A", "a\xff", 0, "l"), "invalidProperties",
			 "a\xff");
	for (int mode = 0; mode <= MBJ_RIGHTS_REMOVE; mode++) {
		static const char *const bad[] = {"lz", "L", "l r", "lrb",
						  "\xc3\xa9"};

		for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
			EDIT_LAB_REFUSED(&lab,
					 acl("A", "bob",
					     (enum mbj_rights_mode)mode,
					     bad[i]),
					 "invalidProperties", bad[i]);
		ck_assert_str_eq(lab.error.subject_kind, "rights");
	}
	ck_assert_int_eq(acl("A", "bob", (enum mbj_rights_mode)3, "l"),
			 MBJ_EINVALID);
	ck_assert_int_eq(acl("none", "bob", 0, "l"), MBJ_ENOTFOUND);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_NOT_FOUND);
	memset(name, 'b', sizeof(name));
	name[MBJ_ATTR_NAME_MAX + 1] = '\0';
	ck_assert_int_eq(acl("A", name, 0, "l"), MBJ_EINVALID);
	name[MBJ_ATTR_NAME_MAX] = '\0';
	EDIT_LAB_OK(&lab, acl("A", name, 0, "l"));
	ck_assert_uint_eq(edit_lab_mailbox(&lab, "u", "A").rev, 2);
}
END_TEST

/* --------------------------------------------------------------- METADATA */

/*
 * Goal: entries are set, replaced and removed; case of their names means
 * nothing; what changes nothing is no group; a \NonExistent mailbox has them
 * as well.
 */
START_TEST(entries)
{
	static const uint8_t bytes[] = {0, 255, '\n', 0};
	struct mbj_metadata_edit step = {
		.kind = MBJ_METADATA_ENTRY,
		.mailbox = edit_lab_id("A"),
		.name = mbj_bytes_str("/shared/vendor/x"),
		.value = mbj_bytes_make(bytes, sizeof(bytes)),
	};
	struct mbj_bytes value;
	bool is_found = false;

	EDIT_LAB_OK(&lab, entry("A", "/Private/COMMENT", "Hi"));
	EDIT_LAB_OK(&lab, entry("A", "/shared/comment", "All"));
	ck_assert_str_eq(shown("A"), "metadata /private/comment=Hi, "
				     "metadata /shared/comment=All");
	EDIT_LAB_OK(&lab, entry("A", "/private/comment", "Hi"));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, entry("A", "/private/Comment", "hi"));
	ck_assert_uint_gt(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, entry("A", "/SHARED/comment", NULL));
	EDIT_LAB_OK(&lab, entry("A", "/shared/comment", NULL));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	ck_assert_str_eq(shown("A"), "metadata /private/comment=hi");
	EDIT_LAB_OK(&lab, entry("N", "/shared/a b", "x"));
	ck_assert_str_eq(shown("N"), "metadata /shared/a b=x");
	EDIT_LAB_OK(&lab, run(&step, 1));
	LAB_OK(mbj_txn_attr_seek(lab.txns[1], edit_lab_account(&lab, "u").id,
				 step.mailbox, MBJ_ATTR_METADATA, step.name,
				 &value, &is_found, err));
	ck_assert(is_found && mbj_bytes_equal(value, step.value));
}
END_TEST

static const char *const bad_entries[] = {
	"",
	"/",
	"comment",
	"/comment",
	"/private",
	"/shared",
	"/private/",
	"/shared//a",
	"//shared/a",
	"/shared/a/",
	"/shared/a*",
	"/shared/%",
	"/sharedx/a",
	"/privat",
	"/shared/\t",
	"/shared/\x7f",
	"/shared/\xc3\xa9",
};

/* Goal: RFC 5464 section 3.2 of names, and the limits of both. */
START_TEST(entries_refused)
{
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ENTRY};
	char name[MBJ_ATTR_NAME_MAX + 1];
	char *value = calloc(1, MBJ_ATTR_VALUE_MAX + 1);

	ck_assert_ptr_nonnull(value);
	for (size_t i = 0; i < sizeof(bad_entries) / sizeof(*bad_entries);
	     i++) {
		EDIT_LAB_REFUSED(&lab, entry("A", bad_entries[i], "x"),
				 "invalidProperties", bad_entries[i]);
		ck_assert_str_eq(lab.error.subject_kind, "entry");
		EDIT_LAB_REFUSED(&lab, entry("A", bad_entries[i], NULL),
				 "invalidProperties", bad_entries[i]);
	}
	EDIT_LAB_REFUSED(&lab, entry("A", "/shared/a", ""), "invalidProperties",
			 "/shared/a");
	ck_assert_int_eq(entry("none", "/shared/a", "x"), MBJ_ENOTFOUND);
	(void)memset(name, 'n', sizeof(name));
	memcpy(name, "/shared/", 8);
	step.mailbox = edit_lab_id("A");
	step.value = mbj_bytes_make(value, MBJ_ATTR_VALUE_MAX);
	step.name = mbj_bytes_make(name, MBJ_ATTR_NAME_MAX + 1);
	ck_assert_int_eq(run(&step, 1), MBJ_EINVALID);
	step.name.n--;
	EDIT_LAB_OK(&lab, run(&step, 1));
	step.value.n++;
	ck_assert_int_eq(run(&step, 1), MBJ_ELIMIT);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
	step.is_removed = true;
	EDIT_LAB_OK(&lab, run(&step, 1));
	ck_assert_str_eq(shown("A"), "");
	free(value);
}
END_TEST

/*
 * Goal: a mailbox has so many entries and no more, of both kinds together; one
 * that is there can still be changed, and another mailbox has its own.
 */
START_TEST(entries_limit)
{
	enum { COUNT = MBJ_MAILBOX_ATTRS_MAX + 1 };
	static struct mbj_metadata_edit steps[COUNT];
	static char names[COUNT][32];

	for (int i = 0; i < COUNT; i++) {
		bool is_acl = i % 2 == 0;

		(void)snprintf(names[i], sizeof(names[i]), "/shared/e%d", i);
		steps[i].kind = is_acl ? MBJ_METADATA_ACL : MBJ_METADATA_ENTRY;
		steps[i].mailbox = edit_lab_id("A");
		steps[i].name = mbj_bytes_str(names[i]);
		steps[i].value = mbj_bytes_str("l");
	}
	ck_assert_int_eq(run(steps, COUNT), MBJ_ELIMIT);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
	ck_assert_str_eq(shown("A"), "");
	EDIT_LAB_OK(&lab, run(steps, COUNT - 1));
	ck_assert_int_eq(run(steps + COUNT - 1, 1), MBJ_ELIMIT);
	steps[0].value = mbj_bytes_str("lr");
	EDIT_LAB_OK(&lab, run(steps, 1));
	steps[COUNT - 1].mailbox = edit_lab_id("A/x");
	EDIT_LAB_OK(&lab, run(steps + COUNT - 1, 1));
	steps[1].is_removed = true;
	EDIT_LAB_OK(&lab, run(steps + 1, 1));
	steps[COUNT - 1].mailbox = edit_lab_id("A");
	EDIT_LAB_OK(&lab, run(steps + COUNT - 1, 1));
}
END_TEST

/* ---------------------------------------------------------- subscriptions */

/*
 * Goal: a name is subscribed whether or not there is a mailbox, and stays so
 * when one comes and goes (RFC 9051 6.3.7); INBOX has one name.
 */
START_TEST(names)
{
	EDIT_LAB_OK(&lab, subscription("no/such", true));
	EDIT_LAB_OK(&lab, subscription("inBox", true));
	EDIT_LAB_OK(&lab, subscription("A", true));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "A INBOX S no/such");
	EDIT_LAB_OK(&lab, subscription("INBOX", true));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, subscription("nowhere", false));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "+n:no +m:n/such"));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "A INBOX S no/such");
	EDIT_LAB_OK(&lab, subscription("no/such", false));
	EDIT_LAB_OK(&lab, subscription("S", false));
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "A INBOX");
}
END_TEST

START_TEST(names_refused)
{
	static const char *const bad[] = {"",	"/",	 "a//b", "/a",
					  "a/", "a\x01", "\xff", ".mbj.x"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		for (int wanted = 0; wanted < 2; wanted++) {
			EDIT_LAB_REFUSED(&lab, subscription(bad[i], wanted),
					 "invalidProperties", bad[i]);
			ck_assert_str_eq(lab.error.subject_kind, "path");
		}
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "S");
}
END_TEST

/* Goal: an account subscribes so many names and no more. */
START_TEST(names_limit)
{
	enum { COUNT = MBJ_ACCOUNT_SUBSCRIPTIONS_MAX };
	struct mbj_metadata_edit *steps = calloc(COUNT, sizeof(*steps));
	char(*texts)[16] = calloc(COUNT, sizeof(*texts));

	ck_assert_ptr_nonnull(steps);
	ck_assert_ptr_nonnull(texts);
	/* S is one already. */
	for (int i = 0; i < COUNT; i++) {
		(void)snprintf(texts[i], sizeof(texts[i]), "n%d", i);
		steps[i].kind = MBJ_METADATA_SUBSCRIBE;
		steps[i].name = mbj_bytes_str(texts[i]);
	}
	EDIT_LAB_OK(&lab, run(steps, COUNT - 1));
	ck_assert_int_eq(run(steps + COUNT - 1, 1), MBJ_ELIMIT);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
	EDIT_LAB_OK(&lab, subscription("n7", false));
	EDIT_LAB_OK(&lab, run(steps + COUNT - 1, 1));
	free(texts);
	free(steps);
}
END_TEST

/* ------------------------------------------------------------------ quota */

static enum mbj_rc append(const char *mailbox, uint8_t blob, uint64_t size)
{
	const struct mbj_message_edit step = {
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = edit_lab_id(mailbox),
		.blob = {{blob}},
		.size = size,
	};

	return edit_lab_messages(&lab, "u", &step, 1);
}

/*
 * Goal: each limit is set by itself, up to its maximum; one below what is
 * there removes nothing and lets nothing in, and nothing is no message; 0 lets
 * everything in again.
 */
START_TEST(quota_limits)
{
	const unsigned both = MBJ_METADATA_HAS_MESSAGES | MBJ_METADATA_HAS_SIZE;
	static const uint8_t uid_77[] = {77, 0, 0, 0, 77, 0, 0, 0};
	struct mbj_message_edit nothing = {
		.kind = MBJ_MESSAGE_COPY,
		.mailbox = edit_lab_id("A"),
		.target = edit_lab_id("S"),
	};
	struct mbj_account account;

	EDIT_LAB_OK(&lab, append("A", 1, 100));
	EDIT_LAB_OK(&lab, append("A", 2, 200));
	EDIT_LAB_OK(&lab, quota(MBJ_METADATA_HAS_MESSAGES, 3, 77));
	EDIT_LAB_OK(&lab, quota(MBJ_METADATA_HAS_SIZE, 88, 300));
	account = edit_lab_account(&lab, "u");
	ck_assert_uint_eq(account.quota_messages, 3);
	ck_assert_uint_eq(account.quota_size, 300);
	EDIT_LAB_OK(&lab, quota(both, 3, 300));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, quota(0, 1, 1));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_REFUSED(&lab, append("A", 3, 1), "overQuota", "");
	ck_assert_int_eq(lab.rc, MBJ_ELIMIT);
	EDIT_LAB_OK(&lab, quota(both, 1, 10));
	account = edit_lab_account(&lab, "u");
	ck_assert_uint_eq(account.message_count, 2);
	ck_assert_uint_eq(account.message_size, 300);
	nothing.uids = mbj_bytes_make(uid_77, sizeof(uid_77));
	EDIT_LAB_OK(&lab, edit_lab_messages(&lab, "u", &nothing, 1));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	EDIT_LAB_OK(&lab, quota(MBJ_METADATA_HAS_SIZE, 0, 0));
	EDIT_LAB_REFUSED(&lab, append("A", 3, 1), "overQuota", "");
	EDIT_LAB_OK(&lab, quota(both, 0, 0));
	EDIT_LAB_OK(&lab, append("A", 3, 1));
	EDIT_LAB_OK(&lab, quota(both, MBJ_QUOTA_MAX, MBJ_QUOTA_MAX));
	EDIT_LAB_OK(&lab, append("A", 4, UINT32_MAX));
	ck_assert_int_eq(quota(both, MBJ_QUOTA_MAX + 1, 1), MBJ_EINVALID);
	ck_assert_str_eq(lab.error.subject_kind, "quota");
	ck_assert_int_eq(quota(both, 1, MBJ_QUOTA_MAX + 1), MBJ_EINVALID);
	ck_assert_int_eq(quota(both + 1, 1, 1), MBJ_EINVALID);
}
END_TEST

/* --------------------------------------------------------------- together */

/*
 * Goal: what hangs on a mailbox goes where it goes: a swap swaps it, a delete
 * drops it, a new mailbox of the old name has none.
 */
START_TEST(follows_the_mailbox)
{
	EDIT_LAB_OK(&lab, acl("A", "bob", 0, "lr"));
	EDIT_LAB_OK(&lab, entry("A/x", "/shared/comment", "x"));
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "A>S S>A"));
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "!N=N A=S S/x=A/x S=A");
	ck_assert_str_eq(shown("A"), "acl bob=lr");
	ck_assert_str_eq(shown("A/x"), "metadata /shared/comment=x");
	ck_assert_str_eq(shown("S"), "");
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-A -A/x +n:S"));
	ck_assert_str_eq(shown("A"), "");
	ck_assert_str_eq(shown("A/x"), "");
	ck_assert_str_eq(shown("n"), "");
	ck_assert_int_eq(acl("A", "bob", 0, "lr"), MBJ_ENOTFOUND);
}
END_TEST

/* Goal: all or nothing, in one group, on what the steps before left. */
START_TEST(all_or_nothing)
{
	struct mbj_metadata_edit steps[] = {
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = edit_lab_id("A"),
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("l")},
		{.kind = MBJ_METADATA_ACL,
		 .mailbox = edit_lab_id("A"),
		 .name = mbj_bytes_str("bob"),
		 .value = mbj_bytes_str("r"),
		 .mode = MBJ_RIGHTS_ADD},
		{.kind = MBJ_METADATA_ENTRY,
		 .mailbox = edit_lab_id("A"),
		 .name = mbj_bytes_str("/shared/comment"),
		 .value = mbj_bytes_str("x")},
		{.kind = MBJ_METADATA_SUBSCRIBE, .name = mbj_bytes_str("gone")},
		{.kind = MBJ_METADATA_QUOTA,
		 .has = MBJ_METADATA_HAS_MESSAGES,
		 .quota_messages = 9},
		{.kind = MBJ_METADATA_UNSUBSCRIBE, .name = mbj_bytes_str("S")},
		{.kind = (enum mbj_metadata_edit_kind)7},
	};
	uint64_t k = 0;

	ck_assert_int_eq(run(steps, 7), MBJ_EINVALID);
	ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_INVALID_ARGUMENTS);
	ck_assert_str_eq(shown("A"), "");
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "S");
	lab.is_dry_run = true;
	EDIT_LAB_OK(&lab, run(steps, 6));
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_MAILBOX_SET_ATTR), 3);
	lab.is_dry_run = false;
	ck_assert_str_eq(shown("A"), "");
	/* Each allocation fails once before it is done. */
	do {
		lab.fail_at = ++k;
		if (run(steps, 6) != MBJ_OK)
			ck_assert_int_eq(lab.rc, MBJ_ENOMEM);
	} while (lab.rc != MBJ_OK);
	ck_assert_uint_gt(k, 1);
	ck_assert_str_eq(shown("A"), "acl bob=lr, metadata /shared/comment=x");
	ck_assert_str_eq(edit_lab_subscribed(&lab, "u"), "gone");
	EDIT_LAB_OK(&lab, run(NULL, 0));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
}
END_TEST

/* Goal: an account with messages is deleted only where that is said. */
START_TEST(account_with_messages)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.account = mbj_bytes_str("u");
	EDIT_LAB_OK(&lab, append("A", 1, 100));
	EDIT_LAB_OK(&lab, acl("A", "bob", 0, "lr"));
	EDIT_LAB_REFUSED(&lab, edit_lab_run(&lab, &edit), "mailboxHasEmail",
			 "u");
	edit.is_emptying = true;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_ENOTFOUND);
}
END_TEST

TCase *test_edit_metadata_case(void)
{
	TCase *tc = tcase_create("edit_metadata");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, acl_table);
	tcase_add_test(tc, acl_refused);
	tcase_add_test(tc, entries);
	tcase_add_test(tc, entries_refused);
	tcase_add_test(tc, entries_limit);
	tcase_add_test(tc, names);
	tcase_add_test(tc, names_refused);
	tcase_add_test(tc, names_limit);
	tcase_add_test(tc, quota_limits);
	tcase_add_test(tc, follows_the_mailbox);
	tcase_add_test(tc, all_or_nothing);
	tcase_add_test(tc, account_with_messages);
	return tc;
}
