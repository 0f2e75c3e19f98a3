/*
 * Limits of edits and documents that no other test meets: each at its maximum,
 * and one above it.  docs/LIMITS.md says where the others are.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/message.h>

#include "edit_lab.h"
#include "jmap_lab.h"
#include "journal_cases.h"

static struct edit_lab lab;

/* ------------------------------------------------------------------ edits */

static enum mbj_rc messages(const struct mbj_message_edit *steps, size_t count)
{
	return edit_lab_messages(&lab, "u", steps, count);
}

/*
 * Goal: one step copies and moves MBJ_EDIT_MESSAGES_MAX messages and no more,
 * and says which mailbox has more of them.
 */
START_TEST(edit_messages)
{
	enum { COUNT = MBJ_EDIT_MESSAGES_MAX + 1 };
	struct mbj_message_edit *steps = calloc(COUNT, sizeof(*steps));
	uint8_t all[MBJ_UID_RANGE_SIZE], first[MBJ_UID_RANGE_SIZE];
	struct mbj_message_edit step = {.mailbox = edit_lab_id("A"),
					.target = edit_lab_id("B"),
					.uids = {all, sizeof(all)}};

	ck_assert_ptr_nonnull(steps);
	mbj_store_u32(all, 1);
	mbj_store_u32(all + 4, COUNT);
	mbj_store_u32(first, 1);
	mbj_store_u32(first + 4, 1);
	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
	edit_lab_import(&lab, "u", "A B C");
	for (size_t i = 0; i < COUNT; i++)
		steps[i] = (struct mbj_message_edit){.kind = MBJ_MESSAGE_APPEND,
						     .mailbox = step.mailbox,
						     .blob = {{1}},
						     .size = 1};
	EDIT_LAB_OK(&lab, messages(steps, COUNT));
	free(steps);
	for (int is_move = 0; is_move < 2; is_move++) {
		step.kind = is_move ? MBJ_MESSAGE_MOVE : MBJ_MESSAGE_COPY;
		ck_assert_int_eq(messages(&step, 1), MBJ_ELIMIT);
		ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
		ck_assert_str_eq(lab.error.subject_kind, "mailbox");
		ck_assert_str_eq(lab.error.subject,
				 "41000000000000000000000000000000");
	}
	step.kind = MBJ_MESSAGE_EXPUNGE;
	step.uids.p = first;
	EDIT_LAB_OK(&lab, messages(&step, 1));
	step.kind = MBJ_MESSAGE_MOVE;
	step.uids.p = all;
	EDIT_LAB_OK(&lab, messages(&step, 1));
	ck_assert_uint_eq(lab.outcome.messages[0].message_count,
			  MBJ_EDIT_MESSAGES_MAX);
	edit_lab_end(&lab);
}
END_TEST

/* Goal: the last UID and the highest modseq that an edit may ask for. */
START_TEST(edit_numbers)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND,
					.mailbox = edit_lab_id("A"),
					.blob = {{1}},
					.size = 1,
					.modseq = MBJ_MODSEQ_MAX / 2 + 1};

	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
	edit_lab_import(&lab, "u", "A");
	EDIT_LAB_REFUSED(&lab, messages(&step, 1), "invalidProperties",
			 "41000000000000000000000000000000");
	step.modseq--;
	step.uid = MBJ_UIDNEXT_MAX;
	EDIT_LAB_REFUSED(&lab, messages(&step, 1), "invalidProperties",
			 "41000000000000000000000000000000");
	step.uid--;
	EDIT_LAB_OK(&lab, messages(&step, 1));
	step.uid = 0;
	step.modseq = 0;
	EDIT_LAB_REFUSED(&lab, messages(&step, 1), "invalidProperties",
			 "41000000000000000000000000000000");
	lab_has(lab.error.message, "no UID left");
	edit_lab_end(&lab);
}
END_TEST

/*
 * Goal: the fields of a primitive have MBJ_OP_SIZE_MAX bytes at most.  Method:
 * one of no kind that is known, which is what is said of it as long as it is
 * not too long.
 */
START_TEST(op_size)
{
	for (uint32_t more = 0; more < 2; more++) {
		size_t n = MBJ_OP_SIZE_MAX + more;
		struct mbj_error err = {.rc = MBJ_OK};
		struct mbj_reader reader;
		struct mbj_buf bytes;
		struct mbj_op op;

		mbj_buf_init(&bytes, n + 12);
		mbj_buf_put_u16(&bytes, 0x7fff);
		mbj_buf_put_u16(&bytes, 0);
		mbj_buf_put_u32(&bytes, 0);
		mbj_buf_put_u32(&bytes, (uint32_t)n);
		for (size_t i = 0; i < n; i++)
			mbj_buf_put_u8(&bytes, 0);
		mbj_reader_init(&reader, mbj_buf_view(&bytes));
		ck_assert_int_eq(mbj_op_decode(&reader, &op, &err),
				 more == 0 ? MBJ_EUNSUPPORTED : MBJ_ECORRUPT);
		lab_has(err.message, more == 0 ? "32767" : "524288");
		mbj_buf_done(&bytes);
	}
}
END_TEST

/*
 * Goal: no edit has more steps than an account has mailboxes; it is refused by
 * its count, before a step is looked at.
 */
START_TEST(edit_steps)
{
	static const enum mbj_edit_kind kinds[] = {MBJ_EDIT_SET,
						   MBJ_EDIT_RENAME,
						   MBJ_EDIT_MESSAGES,
						   MBJ_EDIT_METADATA};
	size_t count = (size_t)MBJ_ACCOUNT_MAILBOXES_MAX + 1;

	edit_lab_begin(&lab, MBJ_STATE_MEMORY);
	edit_lab_import(&lab, "u", "A");
	for (size_t i = 0; i < 4; i++) {
		struct mbj_edit edit = MBJ_EDIT_INIT;

		edit.kind = kinds[i];
		edit.account = mbj_bytes_str("u");
		edit.change_count = i == 0 ? count : 0;
		edit.rename_count = i == 1 ? count : 0;
		edit.message_count = i == 2 ? count : 0;
		edit.metadata_count = i == 3 ? count : 0;
		ck_assert_int_eq(edit_lab_run(&lab, &edit), MBJ_ELIMIT);
		ck_assert_int_eq(lab.error.refusal, MBJ_REFUSAL_TOO_LARGE);
		lab_has(lab.error.message, "4000000");
	}
	edit_lab_end(&lab);
}
END_TEST

/* -------------------------------------------------------------- documents */

static enum mbj_rc list_read(struct mbj_bytes json, struct mbj_error *err)
{
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_map *map = NULL;
	struct lab_sys sys;
	enum mbj_rc rc;

	lab_sys_init(&sys);
	rc = mbj_jmap_map_new(&sys.sys, &map, err);
	if (rc == MBJ_OK)
		rc = lab_list_bytes(json, MBJ_JMAP_PLAN, map, &list, err);
	mbj_jmap_list_free(&list);
	mbj_jmap_map_free(&map);
	return rc;
}

static void put_many(struct mbj_buf *buf, const char *unit, int count)
{
	for (int i = 0; i < count; i++)
		mbj_buf_put_str(buf, unit);
}

/* Goal: an Id has MBJ_JMAP_ID_MAX bytes at most (RFC 8620 section 1.2). */
START_TEST(jmap_id)
{
	for (int more = 0; more < 2; more++) {
		struct mbj_error err = {.rc = MBJ_OK};
		struct mbj_buf json;

		mbj_buf_init(&json, 4096);
		mbj_buf_put_str(&json, "{\"list\":[{\"id\":\"");
		put_many(&json, "i", MBJ_JMAP_ID_MAX + more);
		mbj_buf_put_str(&json,
				"\",\"name\":\"a\",\"parentId\":null}]}");
		if (more == 0) {
			lab_ok(list_read(mbj_buf_view(&json), &err), err);
		} else {
			lab_rc(list_read(mbj_buf_view(&json), &err),
			       MBJ_EINVALID);
			ck_assert_str_eq(err.subject_kind, "id");
			lab_has(err.message, "255");
		}
		mbj_buf_done(&json);
	}
}
END_TEST

/* Goal: an item is nested MBJ_JMAP_NESTING_MAX deep at most, itself counted. */
START_TEST(jmap_nesting)
{
	for (int more = 0; more < 2; more++) {
		struct mbj_error err = {.rc = MBJ_OK};
		struct mbj_buf json;

		mbj_buf_init(&json, 4096);
		mbj_buf_put_str(&json,
				"{\"list\":[{\"id\":\"x\",\"name\":\"a\","
				"\"parentId\":null,\"other\":");
		put_many(&json, "[", MBJ_JMAP_NESTING_MAX - 1 + more);
		put_many(&json, "]", MBJ_JMAP_NESTING_MAX - 1 + more);
		mbj_buf_put_str(&json, "}]}");
		if (more == 0) {
			lab_ok(list_read(mbj_buf_view(&json), &err), err);
		} else {
			lab_rc(list_read(mbj_buf_view(&json), &err),
			       MBJ_EINVALID);
			lab_has(err.message, "nested deeper");
			ck_assert_str_eq(err.subject_kind, "position");
		}
		mbj_buf_done(&json);
	}
}
END_TEST

/* Goal: an item of a document has MBJ_JMAP_ITEM_MAX bytes at most. */
START_TEST(jmap_item)
{
	static const char head[] = "{\"id\":\"x\",\"name\":\"a\","
				   "\"parentId\":null,\"other\":\"";

	for (int more = 0; more < 2; more++) {
		struct mbj_error err = {.rc = MBJ_OK};
		struct mbj_buf json;

		mbj_buf_init(&json, (size_t)2 * MBJ_JMAP_ITEM_MAX);
		mbj_buf_put_str(&json, "{\"list\":[");
		mbj_buf_put_str(&json, head);
		put_many(&json, "x",
			 MBJ_JMAP_ITEM_MAX - (int)strlen(head) - 2 + more);
		mbj_buf_put_str(&json, "\"}]}");
		if (more == 0) {
			lab_ok(list_read(mbj_buf_view(&json), &err), err);
		} else {
			lab_rc(list_read(mbj_buf_view(&json), &err),
			       MBJ_EINVALID);
			ck_assert_int_eq(err.refusal, MBJ_REFUSAL_TOO_LARGE);
			lab_has(err.message, "16777217");
		}
		mbj_buf_done(&json);
	}
}
END_TEST

TCase *test_limits_case(void)
{
	TCase *tc = tcase_create("limits");

	tcase_add_test(tc, edit_messages);
	tcase_add_test(tc, edit_numbers);
	tcase_add_test(tc, op_size);
	tcase_add_test(tc, edit_steps);
	tcase_add_test(tc, jmap_id);
	tcase_add_test(tc, jmap_nesting);
	tcase_add_test(tc, jmap_item);
	return tc;
}
