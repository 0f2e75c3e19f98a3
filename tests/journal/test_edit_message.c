/*
 * Edits of messages: what each step chooses, what it refuses, and INBOX that
 * is renamed.  edit_lab applies every group to a replica too and checks both
 * states in full.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/codec.h>

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

/* -------------------------------------------------------- ways of writing */

enum { STEPS_MAX = 8, SET_SIZE = 256 };

struct steps {
	struct mbj_message_edit list[STEPS_MAX];
	uint8_t sets[STEPS_MAX][SET_SIZE];
	size_t count;
};

static struct mbj_message_edit *step_add(struct steps *steps,
					 enum mbj_message_edit_kind kind,
					 const char *mailbox)
{
	struct mbj_message_edit *step = &steps->list[steps->count++];

	ck_assert_uint_le(steps->count, STEPS_MAX);
	*step = (struct mbj_message_edit){
		.kind = kind,
		.mailbox = edit_lab_id(mailbox),
		.mode = MBJ_FLAGS_ADD,
	};
	return step;
}

/* A set that is written as IMAP does; * is 4294967294. */
static void step_uids(struct steps *steps, const char *text)
{
	uint8_t *set = steps->sets[steps->count - 1];
	struct mbj_buf uids;

	mbj_buf_init(&uids, SET_SIZE);
	ck_assert_int_eq(mbj_uids_parse(mbj_bytes_str(text),
					MBJ_UIDNEXT_MAX - 1, &uids, NULL),
			 MBJ_OK);
	memcpy(set, uids.p, uids.n);
	steps->list[steps->count - 1].uids = mbj_bytes_make(set, uids.n);
	mbj_buf_done(&uids);
}

static struct mbj_message_edit *append(struct steps *steps, const char *mailbox,
				       uint8_t blob)
{
	struct mbj_message_edit *step =
		step_add(steps, MBJ_MESSAGE_APPEND, mailbox);

	step->blob.b[0] = blob;
	step->size = 100 + (uint64_t)blob;
	step->time = 1700000000 + blob;
	return step;
}

static enum mbj_rc run(struct steps *steps)
{
	enum mbj_rc rc =
		edit_lab_messages(&lab, "u", steps->list, steps->count);

	steps->count = 0;
	return rc;
}

static const struct mbj_message_result *result(size_t step)
{
	ck_assert_uint_lt(step, lab.outcome.message_count);
	return &lab.outcome.messages[step];
}

/* The UIDs that COPY or MOVE found. */
static void check_uids(size_t step, const char *expected)
{
	struct mbj_buf text;

	mbj_buf_init(&text, SET_SIZE);
	mbj_uids_print(&text, mbj_buf_view(&result(step)->uids));
	ck_assert_uint_eq(text.n, strlen(expected));
	if (text.n > 0)
		ck_assert_mem_eq(text.p, expected, text.n);
	mbj_buf_done(&text);
}

static struct mbj_content content(const char *mailbox)
{
	struct mbj_account account = edit_lab_account(&lab, "u");
	struct mbj_content content;

	ck_assert_int_eq(mbj_txn_content_get(lab.txns[0], account.id,
					     edit_lab_id(mailbox), &content,
					     NULL),
			 MBJ_OK);
	return content;
}

/* "uid:blob:flags:modseq[:keywords] ..." of what is in a mailbox. */
static void check_content(struct mbj_id mailbox, const char *expected)
{
	struct mbj_account account = edit_lab_account(&lab, "u");
	struct mbj_scan scan = {0};
	struct mbj_content found;
	struct mbj_message m;
	char text[4096] = "";
	size_t n = 0;

	ck_assert_int_eq(mbj_txn_content_get(lab.txns[1], account.id, mailbox,
					     &found, NULL),
			 MBJ_OK);
	ck_assert_int_eq(mbj_scan_messages(lab.txns[1], account.id,
					   found.series, 1, &scan, NULL),
			 MBJ_OK);
	while (mbj_scan_next_message(&scan, &m, NULL) == MBJ_OK) {
		struct mbj_bytes rest = m.keywords;
		struct mbj_bytes keyword;

		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      "%s%lu:%u:%u:%llu", n == 0 ? "" : " ",
				      (unsigned long)m.uid,
				      (unsigned)m.blob.b[0], (unsigned)m.flags,
				      (unsigned long long)m.modseq);
		while (mbj_keywords_next(&rest, &keyword))
			n += (size_t)snprintf(text + n, sizeof(text) - n,
					      ":%.*s", (int)keyword.n,
					      (const char *)keyword.p);
	}
	mbj_scan_done(&scan);
	ck_assert_str_eq(text, expected);
}

static void check_box(const char *mailbox, const char *expected)
{
	check_content(edit_lab_id(mailbox), expected);
}

/* ----------------------------------------------------------------- tests */

/*
 * Goal: UIDs and modseqs are the next ones unless given, flags and dates are
 * kept by COPY and MOVE, which say what they did.
 */
START_TEST(message_steps)
{
	struct steps s = {.count = 0};

	edit_lab_import(&lab, "u", "A B");
	append(&s, "A", 1);
	append(&s, "A", 2)->flags = MBJ_FLAG_SEEN;
	append(&s, "A", 3)->uid = 10;
	append(&s, "A", 1)->keywords = mbj_bytes_make("k\0l", 4);
	EDIT_LAB_OK(&lab, run(&s));
	check_box("A", "1:1:0:2 2:2:8:3 10:3:0:4 11:1:0:5:k:l");
	ck_assert_uint_eq(result(2)->uid, 10);
	ck_assert_uint_eq(result(3)->uid, 11);
	ck_assert_uint_eq(result(3)->modseq, 5);
	ck_assert_uint_eq(result(0)->uidvalidity,
			  edit_lab_mailbox(&lab, "u", "A").uidvalidity);

	step_add(&s, MBJ_MESSAGE_COPY, "A")->target = edit_lab_id("B");
	step_uids(&s, "2:*");
	EDIT_LAB_OK(&lab, run(&s));
	check_box("B", "1:2:8:2 2:3:0:2 3:1:0:2:k:l");
	ck_assert_uint_eq(result(0)->uid, 1);
	ck_assert_uint_eq(result(0)->message_count, 3);
	check_uids(0, "2,10:11");
	ck_assert_uint_eq(result(0)->uidvalidity,
			  edit_lab_mailbox(&lab, "u", "B").uidvalidity);

	step_add(&s, MBJ_MESSAGE_MOVE, "A")->target = edit_lab_id("B");
	step_uids(&s, "1,10,500");
	step_add(&s, MBJ_MESSAGE_FLAGS, "B")->flags = MBJ_FLAG_DELETED;
	step_uids(&s, "4:5,99:*");
	step_add(&s, MBJ_MESSAGE_EXPUNGE, "B");
	step_uids(&s, "1,4");
	EDIT_LAB_OK(&lab, run(&s));
	check_box("A", "2:2:8:3 11:1:0:5:k:l");
	check_box("B", "2:3:0:2 3:1:0:2:k:l 5:3:4:4");
	ck_assert_uint_eq(result(0)->uid, 4);
	ck_assert_uint_eq(result(0)->message_count, 2);
	check_uids(0, "1,10");
	check_uids(1, "");
	ck_assert_uint_eq(content("A").modseq, 6);
	ck_assert_uint_eq(content("B").uidnext, 6);
	ck_assert_uint_eq(edit_lab_account(&lab, "u").message_count, 5);
	/* Into itself: no more than there were. */
	step_add(&s, MBJ_MESSAGE_COPY, "A")->target = edit_lab_id("A");
	step_uids(&s, "1:*");
	EDIT_LAB_OK(&lab, run(&s));
	check_box("A", "2:2:8:3 11:1:0:5:k:l 12:2:8:7 13:1:0:7:k:l");
	step_add(&s, MBJ_MESSAGE_MOVE, "A")->target = edit_lab_id("A");
	step_uids(&s, "12:13");
	EDIT_LAB_OK(&lab, run(&s));
	check_box("A", "2:2:8:3 11:1:0:5:k:l 14:2:8:8 15:1:0:8:k:l");
}
END_TEST

/* Goal: what changes nothing is no group.  Method: the LSN stays. */
START_TEST(message_nothing)
{
	struct steps s = {.count = 0};

	edit_lab_import(&lab, "u", "A B");
	EDIT_LAB_OK(&lab, run(&s));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->flags = MBJ_FLAG_SEEN;
	step_uids(&s, "1:*");
	step_add(&s, MBJ_MESSAGE_EXPUNGE, "A");
	step_uids(&s, "1:*");
	step_add(&s, MBJ_MESSAGE_COPY, "A")->target = edit_lab_id("B");
	step_uids(&s, "1:*");
	step_add(&s, MBJ_MESSAGE_MOVE, "A")->target = edit_lab_id("B");
	step_uids(&s, "7");
	step_add(&s, MBJ_MESSAGE_TAKE_ALL, "A")->target = edit_lab_id("B");
	EDIT_LAB_OK(&lab, run(&s));
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	ck_assert_uint_eq(result(2)->uid, 0);
}
END_TEST

/*
 * Goal: flags that are as they are to be make no primitive, though others of
 * the edit do.  Method: modseq and revision of the mailbox stay.
 */
START_TEST(message_flags_nothing)
{
	struct steps s = {.count = 0};
	struct mbj_content before;

	edit_lab_import(&lab, "u", "A B");
	append(&s, "A", 1)->flags = MBJ_FLAG_SEEN;
	append(&s, "A", 2)->keywords = mbj_bytes_make("k", 2);
	EDIT_LAB_OK(&lab, run(&s));
	before = content("A");
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->flags = MBJ_FLAG_SEEN;
	step_uids(&s, "1");
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->keywords = mbj_bytes_make("K", 2);
	step_uids(&s, "2:9");
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->mode = MBJ_FLAGS_REMOVE;
	s.list[2].flags = MBJ_FLAG_DRAFT;
	step_uids(&s, "1:*");
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->mode = MBJ_FLAGS_REPLACE;
	s.list[3].flags = MBJ_FLAG_SEEN;
	step_uids(&s, "1");
	append(&s, "B", 3);
	EDIT_LAB_OK(&lab, run(&s));
	check_box("A", "1:1:8:2 2:2:0:3:k");
	ck_assert_uint_eq(content("A").rev, before.rev);
	ck_assert_uint_eq(content("A").modseq, before.modseq);
	ck_assert_uint_eq(result(0)->modseq, before.modseq);
	check_box("B", "1:3:0:2");
	/* But a modseq above HIGHESTMODSEQ is one, if there was a message. */
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->modseq = 77;
	step_uids(&s, "1");
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->modseq = 77;
	step_uids(&s, "1");
	step_add(&s, MBJ_MESSAGE_FLAGS, "B")->modseq = 77;
	step_uids(&s, "9");
	EDIT_LAB_OK(&lab, run(&s));
	check_box("A", "1:1:8:2 2:2:0:3:k");
	ck_assert_uint_eq(content("A").rev, before.rev + 1);
	ck_assert_uint_eq(content("A").modseq, 77);
	ck_assert_uint_lt(content("B").modseq, 77);
}
END_TEST

/* Goal: each refusal, with its word and its mailbox; nothing is done then. */
START_TEST(message_refused)
{
	static const uint8_t bad_set[] = {2, 0, 0, 0, 1, 0, 0, 0};
	struct steps s = {.count = 0};
	struct mbj_message_edit *step;
	char id[MBJ_ID_TEXT_SIZE];

	edit_lab_import(&lab, "u", "A !N");
	append(&s, "A", 1);
	append(&s, "A", 1);
	EDIT_LAB_OK(&lab, run(&s));
#define REFUSED(code, type, tag)                                            \
	do {                                                                \
		mbj_id_print(edit_lab_id(tag), id);                         \
		EDIT_LAB_REFUSED(&lab, run(&s),                             \
				 mbj_refusal_type(MBJ_REFUSAL_##type), id); \
		ck_assert_int_eq(lab.rc, code);                             \
		check_box("A", "1:1:0:2 2:1:0:3");                          \
	} while (0)
	append(&s, "A", 1);
	append(&s, "X", 1);
	REFUSED(MBJ_ENOTFOUND, NOT_FOUND, "X");
	append(&s, "N", 1);
	REFUSED(MBJ_EINVALID, FORBIDDEN, "N");
	step_add(&s, MBJ_MESSAGE_COPY, "A")->target = edit_lab_id("X");
	step_uids(&s, "1");
	REFUSED(MBJ_ENOTFOUND, NOT_FOUND, "X");
	step_add(&s, MBJ_MESSAGE_MOVE, "A")->target = edit_lab_id("N");
	step_uids(&s, "1");
	REFUSED(MBJ_EINVALID, FORBIDDEN, "N");
	append(&s, "A", 1)->uid = 2;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->uid = MBJ_UIDNEXT_MAX;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->modseq = 2;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->modseq = MBJ_MODSEQ_MAX / 2 + 1;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	ck_assert_ptr_nonnull(strstr(lab.error.message, "above 46116860184"));
	append(&s, "A", 1)->modseq = MBJ_MODSEQ_MAX + 1;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->size = (uint64_t)UINT32_MAX + 1;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->size = 7;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->flags = 0x20;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	append(&s, "A", 1)->keywords = mbj_bytes_make("b\0a", 4);
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	step = step_add(&s, MBJ_MESSAGE_FLAGS, "A");
	step_uids(&s, "1");
	step->mode = (enum mbj_flag_mode)4;
	REFUSED(MBJ_EINVALID, INVALID_PROPERTIES, "A");
	step_add(&s, MBJ_MESSAGE_EXPUNGE, "A")->uids =
		mbj_bytes_make(bad_set, sizeof(bad_set));
	REFUSED(MBJ_EINVALID, INVALID_ARGUMENTS, "A");
	step_add(&s, MBJ_MESSAGE_EXPUNGE, "A");
	REFUSED(MBJ_EINVALID, INVALID_ARGUMENTS, "A");
	step_add(&s, (enum mbj_message_edit_kind)7, "A");
	step_uids(&s, "1");
	REFUSED(MBJ_EINVALID, INVALID_ARGUMENTS, "A");
	step_add(&s, MBJ_MESSAGE_TAKE_ALL, "A")->target = edit_lab_id("A");
	REFUSED(MBJ_EINVALID, FORBIDDEN, "A");
#undef REFUSED
}
END_TEST

/* Goal: keywords that become too many are refused, with the message's UID. */
START_TEST(message_keywords_full)
{
	char keywords[MBJ_KEYWORDS_MAX];
	struct steps s = {.count = 0};

	for (size_t i = 0; i < sizeof(keywords); i += 8)
		(void)snprintf(keywords + i, 8, "%07zu", i);
	edit_lab_import(&lab, "u", "A");
	append(&s, "A", 1);
	append(&s, "A", 2)->keywords =
		mbj_bytes_make(keywords, sizeof(keywords));
	EDIT_LAB_OK(&lab, run(&s));
	step_add(&s, MBJ_MESSAGE_FLAGS, "A")->keywords = mbj_bytes_make("k", 2);
	step_uids(&s, "1:*");
	EDIT_LAB_REFUSED(&lab, run(&s), "tooLarge", "");
	ck_assert_int_eq(lab.rc, MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(lab.error.message, "message 2"));
	ck_assert_uint_eq(content("A").modseq, 3);
}
END_TEST

/* Goal: the account's limits count copies, not moves; 0 is no limit. */
START_TEST(message_quota)
{
	struct mbj_account account;
	struct steps s = {.count = 0};

	edit_lab_import(&lab, "u", "A B");
	append(&s, "A", 1);
	append(&s, "A", 2);
	EDIT_LAB_OK(&lab, run(&s));
	account = edit_lab_account(&lab, "u");
	ck_assert_uint_eq(account.message_size, 203);
	for (int i = 0; i < 2; i++) {
		uint64_t count = i == 0 ? 3 : 0, size = i == 0 ? 0 : 304;

		for (int side = 0; side < 2; side++)
			ck_assert_int_eq(mbj_txn_account_set_quota(
						 lab.txns[side], account.id,
						 count, size, NULL),
					 MBJ_OK);
		append(&s, "A", 1);
		append(&s, "A", 3);
		EDIT_LAB_REFUSED(&lab, run(&s), "overQuota", "");
		ck_assert_int_eq(lab.rc, MBJ_ELIMIT);
		step_add(&s, MBJ_MESSAGE_COPY, "A")->target = edit_lab_id("B");
		step_uids(&s, "1:*");
		EDIT_LAB_REFUSED(&lab, run(&s), "overQuota", "");
		step_add(&s, MBJ_MESSAGE_MOVE, "A")->target =
			edit_lab_id(i == 0 ? "B" : "A");
		step_uids(&s, i == 0 ? "1" : "2");
		EDIT_LAB_OK(&lab, run(&s));
	}
	append(&s, "A", 1);
	EDIT_LAB_OK(&lab, run(&s));
	append(&s, "A", 1);
	EDIT_LAB_REFUSED(&lab, run(&s), "overQuota", "");
}
END_TEST

/*
 * Goal: a mailbox with messages goes only where that is said, whatever is in
 * it, and the account counts them no more (RFC 8621 2.5).
 */
START_TEST(message_destroyed)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_DESTROY,
				    .id = edit_lab_id("A")};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct steps s = {.count = 0};

	edit_lab_import(&lab, "u", "A B");
	append(&s, "A", 1);
	append(&s, "B", 1);
	EDIT_LAB_OK(&lab, run(&s));
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str("u");
	edit.changes = &change;
	edit.change_count = 1;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(edit_lab_results(&lab), "mailboxHasEmail");
	check_box("A", "1:1:0:2");
	edit.is_emptying = true;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(edit_lab_results(&lab), "ok");
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "B=B");
	ck_assert_uint_eq(edit_lab_account(&lab, "u").message_count, 1);
	/* What is empty goes without a word. */
	step_add(&s, MBJ_MESSAGE_EXPUNGE, "B");
	step_uids(&s, "1");
	EDIT_LAB_OK(&lab, run(&s));
	change.id = edit_lab_id("B");
	edit.is_emptying = false;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_str_eq(edit_lab_tree(&lab, "u"), "");
}
END_TEST

/* ------------------------------------------------------------------ INBOX */

static struct mbj_id id_of(const char *path)
{
	struct mbj_account account = edit_lab_account(&lab, "u");
	struct mbj_id id = MBJ_ID_ROOT;

	ck_assert_int_eq(mbj_txn_slot_get(lab.txns[0], account.id, id,
					  mbj_bytes_str(path), &id, NULL),
			 MBJ_OK);
	return id;
}

/*
 * Goal: INBOX keeps its id, its inferiors and UIDNEXT; its messages are in a
 * new mailbox with their UIDs; the cost does not depend on how many they are.
 */
START_TEST(inbox_renamed)
{
	struct steps s = {.count = 0};
	struct mbj_content before;
	struct mbj_mailbox made;
	size_t size;

	edit_lab_import(&lab, "u", "INBOX/sub B");
	append(&s, "INBOX", 1);
	append(&s, "INBOX", 2);
	append(&s, "INBOX", 3)->uid = 9;
	step_add(&s, MBJ_MESSAGE_EXPUNGE, "INBOX");
	step_uids(&s, "2");
	EDIT_LAB_OK(&lab, run(&s));
	before = content("INBOX");
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "inbox>Old"));
	size = lab.record.n;
	check_content(id_of("Old"), "1:1:0:2 9:3:0:4");
	check_box("INBOX", "");
	ck_assert_uint_eq(content("INBOX").uidnext, before.uidnext);
	ck_assert_uint_gt(content("INBOX").modseq, before.modseq);
	ck_assert_str_eq(edit_lab_tree(&lab, "u"),
			 "B=B INBOX/sub=INBOX/sub Old=?");
	ck_assert_int_eq(mbj_txn_mailbox_get(lab.txns[0],
					     edit_lab_account(&lab, "u").id,
					     id_of("Old"), &made, NULL),
			 MBJ_OK);
	ck_assert(made.is_selectable);
	ck_assert_uint_gt(made.uidvalidity,
			  edit_lab_mailbox(&lab, "u", "INBOX").uidvalidity);
	/* Again, with more in it, and together with other renames. */
	for (unsigned i = 0; i < 20; i++) {
		append(&s, "INBOX", 4);
		EDIT_LAB_OK(&lab, run(&s));
	}
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "INBOX>B B>INBOX/x"));
	ck_assert_uint_lt(lab.record.n, 2 * size);
	check_box("INBOX", "");
	check_box("B", "");
	ck_assert_uint_eq(edit_lab_account(&lab, "u").message_count, 22);
	ck_assert_uint_eq(content("INBOX").births, 2);
	/* Below itself: INBOX is where it was. */
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "INBOX>INBOX/new/er"));
	append(&s, "INBOX", 5);
	EDIT_LAB_OK(&lab, run(&s));
	check_box("INBOX", "30:5:0:28");
}
END_TEST

START_TEST(inbox_refused)
{
	static const struct {
		const char *renames;
		const char *type;
		const char *path;
	} cases[] = {
		{"INBOX>A", "alreadyExists", "A"},
		{"A>INBOX", "alreadyExists", "INBOX"},
		{"INBOX>INBOX", "alreadyExists", "INBOX"},
		{"INBOX>B A>INBOX", "alreadyExists", "INBOX"},
		{"INBOX>B inbox>C", "invalidArguments", "inbox"},
		{"INBOX>B A>B", "alreadyExists", "B"},
	};
	struct steps s = {.count = 0};

	edit_lab_import(&lab, "u", "A");
	append(&s, "INBOX", 1);
	EDIT_LAB_OK(&lab, run(&s));
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		EDIT_LAB_REFUSED(&lab,
				 edit_lab_rename(&lab, "u", cases[i].renames),
				 cases[i].type, cases[i].path);
	check_box("INBOX", "1:1:0:2");
}
END_TEST

/*
 * Goal: memory that ends is an error and nothing is done.  Method: each
 * allocation of an edit with all kinds of steps fails once.
 */
START_TEST(message_no_memory)
{
	struct steps s = {.count = 0};
	enum mbj_rc rc = MBJ_ENOMEM;
	uint64_t at;

	edit_lab_import(&lab, "u", "A B C");
	for (at = 1; rc != MBJ_OK; at++) {
		lab.fail_at = at;
		append(&s, "A", 1)->keywords = mbj_bytes_make("k", 2);
		step_add(&s, MBJ_MESSAGE_FLAGS, "A")->flags = MBJ_FLAG_SEEN;
		step_uids(&s, "1:*");
		step_add(&s, MBJ_MESSAGE_COPY, "A")->target = edit_lab_id("B");
		step_uids(&s, "1:*");
		step_add(&s, MBJ_MESSAGE_MOVE, "B")->target = edit_lab_id("A");
		step_uids(&s, "1:*");
		step_add(&s, MBJ_MESSAGE_EXPUNGE, "A");
		step_uids(&s, "1:*");
		rc = run(&s);
		ck_assert(rc == MBJ_OK || rc == MBJ_ENOMEM);
	}
	ck_assert_uint_gt(at, 5);
	check_box("A", "");
}
END_TEST

TCase *test_edit_message_case(void)
{
	TCase *tc = tcase_create("edit_message");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, message_steps);
	tcase_add_test(tc, message_nothing);
	tcase_add_test(tc, message_flags_nothing);
	tcase_add_test(tc, message_refused);
	tcase_add_test(tc, message_keywords_full);
	tcase_add_test(tc, message_quota);
	tcase_add_test(tc, message_destroyed);
	tcase_add_test(tc, inbox_renamed);
	tcase_add_test(tc, inbox_refused);
	tcase_add_test(tc, message_no_memory);
	return tc;
}
