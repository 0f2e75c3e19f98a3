/*
 * GUIDs of messages in edits: who has which.  edit_lab applies every group to a
 * replica too and checks both states in full.
 */
#include <string.h>

#include "edit_lab.h"
#include "journal_cases.h"

static struct edit_lab lab;

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
	edit_lab_import(&lab, "u", "A B C");
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

static enum mbj_rc try(const struct mbj_message_edit *steps, size_t count)
{
	return edit_lab_messages(&lab, "u", steps, count);
}

static void run(const struct mbj_message_edit *steps, size_t count)
{
	EDIT_LAB_OK(&lab, try(steps, count));
}

/* Of all messages that there may be. */
static struct mbj_message_edit of_all(enum mbj_message_edit_kind kind,
				      const char *source, const char *target)
{
	static const uint8_t all[MBJ_UID_RANGE_SIZE] = {1, 0, 0, 0, 9};

	return (struct mbj_message_edit){
		.kind = kind,
		.mailbox = edit_lab_id(source),
		.target = edit_lab_id(target),
		.uids = mbj_bytes_make(all, sizeof(all)),
		.mode = MBJ_FLAGS_ADD,
		.flags = MBJ_FLAG_SEEN,
	};
}

static struct mbj_message_edit append(uint8_t blob, const char *guid)
{
	return (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_APPEND,
		.mailbox = edit_lab_id("A"),
		.blob = {{blob}},
		.size = blob,
		.guid = mbj_bytes_str(guid),
	};
}

static struct mbj_message_edit give(uint32_t uid, const char *guid)
{
	return (struct mbj_message_edit){
		.kind = MBJ_MESSAGE_GUID,
		.mailbox = edit_lab_id("A"),
		.uid = uid,
		.guid = mbj_bytes_str(guid),
	};
}

static struct mbj_content content(int end, const char *mailbox)
{
	struct mbj_account account = edit_lab_account(&lab, "u");
	struct mbj_content content;

	ck_assert_int_eq(mbj_txn_content_get(lab.txns[end], account.id,
					     edit_lab_id(mailbox), &content,
					     NULL),
			 MBJ_OK);
	return content;
}

/* At both ends; "": it has none. */
static void check(const char *mailbox, uint32_t uid, const char *guid)
{
	struct mbj_account account = edit_lab_account(&lab, "u");
	struct mbj_message m;

	for (int end = 0; end < 2; end++) {
		ck_assert_int_eq(
			mbj_txn_message_get(lab.txns[end], account.id,
					    content(end, mailbox).series, uid,
					    &m, NULL),
			MBJ_OK);
		ck_assert(mbj_bytes_equal(m.guid, mbj_bytes_str(guid)));
	}
}

/* Two that come with one, and one without. */
static void come(void)
{
	struct mbj_message_edit steps[] = {append(1, "one"), append(2, ""),
					   append(3, "three")};

	run(steps, 3);
	ck_assert_uint_eq(edit_lab_ops(&lab, MBJ_OP_MESSAGE_GUID), 2);
	check("A", 1, "one");
	check("A", 2, "");
	check("A", 3, "three");
}

/*
 * Goal: a message has the GUID that it came with, or was given last, and
 * clients see nothing of that: no modseq rises.
 */
START_TEST(guid_given)
{
	struct mbj_message_edit steps[] = {give(2, "two"), give(1, "two")};
	struct mbj_content before;

	come();
	before = content(0, "A");
	run(steps, 2);
	check("A", 1, "two");
	check("A", 2, "two");
	check("A", 3, "three");
	ck_assert_uint_eq(content(0, "A").modseq, before.modseq);
	ck_assert_uint_eq(content(0, "A").rev, before.rev + 2);
	ck_assert_uint_eq(lab.outcome.messages[1].message_count, 1);
}
END_TEST

/* Goal: what has it already, or is not there, is no group. */
START_TEST(guid_nothing)
{
	struct mbj_message_edit steps[] = {give(1, "one"), give(4, "four"),
					   give(0, "none")};

	come();
	run(steps, 3);
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(lab.outcome.messages[i].message_count, 0);
}
END_TEST

/*
 * Goal: it stays through flags, MOVE and RENAME INBOX, where it is the same
 * message; a copy is another one, and has none.
 */
START_TEST(guid_kept)
{
	struct mbj_message_edit steps[] = {
		of_all(MBJ_MESSAGE_FLAGS, "A", "A"),
		of_all(MBJ_MESSAGE_COPY, "A", "B"),
		of_all(MBJ_MESSAGE_MOVE, "A", "B"),
		of_all(MBJ_MESSAGE_TAKE_ALL, "B", "C"),
	};

	come();
	run(steps, 4);
	ck_assert_uint_eq(content(0, "C").message_count, 6);
	for (uint32_t uid = 1; uid <= 3; uid++)
		check("C", uid, "");
	check("C", 4, "one");
	check("C", 5, "");
	check("C", 6, "three");
}
END_TEST

static void refused(const struct mbj_message_edit *step)
{
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(edit_lab_id("A"), id);
	EDIT_LAB_REFUSED(&lab, try(step, 1), "invalidProperties", id);
	ck_assert_int_eq(lab.rc, MBJ_EINVALID);
}

/* Goal: what is no GUID is refused, by either step, and nothing is done. */
START_TEST(guid_refused)
{
	char longest[MBJ_GUID_MAX + 1];
	const struct mbj_bytes bad[] = {
		mbj_bytes_str("a guid"),
		mbj_bytes_str("a\x7fz"),
		mbj_bytes_str("\xc3\xa4"),
		mbj_bytes_make("guid", 5),
		mbj_bytes_make(longest, sizeof(longest)),
	};
	struct mbj_message_edit step;

	come();
	memset(longest, 'g', sizeof(longest));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		step = append(4, "");
		step.guid = bad[i];
		refused(&step);
		step = give(1, "");
		refused(&step);
		step.guid = bad[i];
		refused(&step);
	}
	step = append(4, "");
	step.guid = mbj_bytes_make(longest, MBJ_GUID_MAX);
	run(&step, 1);
	check("A", 1, "one");
}
END_TEST

TCase *test_edit_guid_case(void)
{
	TCase *tc = tcase_create("edit_guid");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, guid_given);
	tcase_add_test(tc, guid_nothing);
	tcase_add_test(tc, guid_kept);
	tcase_add_test(tc, guid_refused);
	return tc;
}
