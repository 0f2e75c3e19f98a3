/*
 * Tests of groups as JSON: each operation of the table with all its fields,
 * damage said and not shown, any number of groups one valid document.
 */
#include <jansson.h>

#include <mbj/op.h>

#include "jmap_lab.h"

static struct mbj_buf buf;

static void setup(void)
{
	mbj_buf_init(&buf, 16 << 20);
}

static void teardown(void)
{
	mbj_buf_done(&buf);
}

#define ID_1	   "00000000000000000000000000000001"
#define ID_2	   "00000000000000000000000000000002"
#define ID_ACCOUNT "00000000000000000000000000000acc"

enum { EVERY_OP_MAX = 32 };

/* One operation of each kind, every field with a value that shows. */
static size_t every_op(struct mbj_op ops[EVERY_OP_MAX])
{
	static const char path[] = "B\0c", key[] = "b\0c";
	static const uint8_t uids[] = {1, 0, 0, 0, 4, 0, 0, 0,
				       7, 0, 0, 0, 7, 0, 0, 0};
	static const char keywords[] = {'$', 'x', 0, 'a', 'B', 0};
	struct mbj_slot slots[2] = {
		{MBJ_ID_ROOT, {mbj_bytes_str("A"), mbj_bytes_str("a")}},
		{lab_id(2), {mbj_bytes_str("b"), mbj_bytes_str("b")}},
	};
	size_t n = 0;

	for (size_t i = 0; i < mbj_op_info_count(); i++)
		ops[n++] = (struct mbj_op){
			.kind = mbj_op_info_at(i)->kind,
			.id = lab_id(1),
			.rev = 5,
			.from = slots[0],
			.to = slots[1],
			.path = {mbj_bytes_make(path, 3),
				 mbj_bytes_make(key, 3)},
			.name = mbj_bytes_str("n\"m"),
			.value = mbj_bytes_str("v"),
			.name_hash = {{0xff, 0x01}},
			.edit_hash = {{0xfe, 0x01}},
			.quota_messages = UINT64_C(9007199254740993),
			.quota_size = 12,
			.uidvalidity = 13,
			.role = MBJ_ROLE_TRASH,
			.role_before = MBJ_ROLE_NONE,
			.is_selectable = 1,
			.is_selectable_before = 0,
			.is_folding = 1,
			.delimiter = '.',
			.attr_kind = MBJ_ATTR_ACL,
			.result = MBJ_INTENT_OTHER,
			.is_found = 1,
			.target = lab_id(2),
			.uid = 14,
			.uids = mbj_bytes_make(uids, sizeof(uids)),
			.blob = {{0xab, 0xcd}},
			.size = 15,
			.time = 951827696,
			.flags = MBJ_FLAG_SEEN | MBJ_FLAG_ANSWERED,
			.flag_mode = MBJ_FLAGS_REPLACE,
			.keywords = mbj_bytes_make(keywords, sizeof(keywords)),
			.guid = mbj_bytes_str("g\"uid"),
			.modseq = UINT64_C(9007199254740995),
		};
	ck_assert_uint_le(n, EVERY_OP_MAX);
	return n;
}

static const char golden[] =
	"{\"schema\":\"mbj.log/1\",\"groups\":[\n"
	"{\"lsn\":7,\"epoch\":2,\"time\":\"2024-02-29T12:34:56.789012Z\","
	"\"origin\":\"live\",\"request\":null,\"accounts\":[{\"id\":\"" ID_ACCOUNT
	"\",\"previous\":6,\"digest\":\"0000000000000000000000000000"
	"000000000000000000000000000000000000\"}],\"operations\":["
	"{\"op\":\"account-create\",\"account\":\"" ID_ACCOUNT
	"\",\"name\":\"n\\\"m\",\"is_folding\":true,\"delimiter\":\".\","
	"\"uidvalidity\":13},"
	"{\"op\":\"account-delete\",\"account\":\"" ID_ACCOUNT
	"\",\"name\":\"n\\\"m\"},"
	"{\"op\":\"account-rename\",\"account\":\"" ID_ACCOUNT
	"\",\"name\":\"n\\\"m\",\"value\":\"v\"},"
	"{\"op\":\"account-set\",\"account\":\"" ID_ACCOUNT
	"\",\"quota_messages\":9007199254740993,\"quota_size\":12},"
	"{\"op\":\"account-set-attr\",\"account\":\"" ID_ACCOUNT
	"\",\"name\":\"n\\\"m\",\"value\":\"v\"},"
	"{\"op\":\"mailbox-create\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1 "\",\"to\":{\"parentId\":\"" ID_2
	"\",\"name\":\"b\"},\"uidvalidity\":13,\"role\":\"trash\","
	"\"is_selectable\":true},"
	"{\"op\":\"mailbox-move\",\"account\":\"" ID_ACCOUNT "\",\"id\":\"" ID_1
	"\",\"rev\":5,\"from\":{\"parentId\":null,"
	"\"name\":\"A\",\"key\":\"a\"},\"to\":{\"parentId\":\"" ID_2
	"\",\"name\":\"b\"},\"uidvalidity\":13},"
	"{\"op\":\"mailbox-delete\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1 "\",\"rev\":5,\"from\":{\"parentId\":null,"
	"\"name\":\"A\",\"key\":\"a\"}},"
	"{\"op\":\"mailbox-set\",\"account\":\"" ID_ACCOUNT "\",\"id\":\"" ID_1
	"\",\"rev\":5,\"role_before\":null,"
	"\"role\":\"trash\",\"is_selectable_before\":false,"
	"\"is_selectable\":true,\"uidvalidity\":13},"
	"{\"op\":\"mailbox-set-attr\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1 "\",\"rev\":5,\"attr_kind\":\"acl\","
	"\"name\":\"n\\\"m\",\"value\":\"v\"},"
	"{\"op\":\"name-retire\",\"account\":\"" ID_ACCOUNT
	"\",\"name_hash\":\"ff0100000000000000000000000000000000000000000000"
	"0000000000000000\",\"uidvalidity\":13},"
	"{\"op\":\"message-append\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1
	"\",\"rev\":5,\"uid\":14,\"blob\":\"abcd000000000000000000000000"
	"000000000000000000000000000000000000\",\"size\":15,"
	"\"time\":\"2000-02-29T12:34:56.000000Z\","
	"\"flags\":[\"\\\\Answered\",\"\\\\Seen\"],"
	"\"keywords\":[\"$x\",\"aB\"],\"modseq\":9007199254740995},"
	"{\"op\":\"message-flags\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1 "\",\"rev\":5,\"uids\":\"1:4,7\","
	"\"flag_mode\":\"replace\",\"flags\":[\"\\\\Answered\","
	"\"\\\\Seen\"],\"keywords\":[\"$x\",\"aB\"],"
	"\"modseq\":9007199254740995},"
	"{\"op\":\"message-expunge\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1 "\",\"rev\":5,\"uids\":\"1:4,7\","
	"\"modseq\":9007199254740995},"
	"{\"op\":\"message-take-all\",\"account\":\"" ID_ACCOUNT
	"\",\"id\":\"" ID_1 "\",\"rev\":5,\"target\":\"" ID_2
	"\",\"modseq\":9007199254740995},"
	"{\"op\":\"message-guid\",\"account\":\"" ID_ACCOUNT "\",\"id\":\"" ID_1
	"\",\"rev\":5,\"uid\":14,\"guid\":\"g\\\"uid\"},"
	"{\"op\":\"subscribe\",\"account\":\"" ID_ACCOUNT
	"\",\"path\":[\"B\",\"c\"],\"key\":[\"b\",\"c\"]},"
	"{\"op\":\"unsubscribe\",\"account\":\"" ID_ACCOUNT
	"\",\"path\":[\"B\",\"c\"],\"key\":[\"b\",\"c\"]},"
	"{\"op\":\"intent\",\"account\":\"" ID_ACCOUNT "\",\"id\":\"" ID_1
	"\",\"name\":\"n\\\"m\",\"time\":\"2000-02-29T12:34:56.000000Z\","
	"\"value\":{\"hex\":\"76\"}},"
	"{\"op\":\"outcome\",\"account\":\"" ID_ACCOUNT "\",\"id\":\"" ID_1
	"\",\"result\":\"other\",\"is_found\":true},"
	"{\"op\":\"receipt\",\"account\":\"" ID_ACCOUNT
	"\",\"edit_hash\":\"fe01000000000000000000000000000000000000000000000"
	"000000000000000\",\"value\":{\"hex\":\"76\"}}],\"chain\":\"";

static struct mbj_group parse(const struct mbj_outcome *outcome)
{
	struct mbj_group group;
	struct mbj_error err;

	lab_ok(mbj_group_parse(mbj_buf_view(&outcome->record), &group, &err),
	       err);
	return group;
}

/*
 * Goal: every field of every operation is shown under its name.
 * Method: a golden of a group with one operation of each kind.
 */
START_TEST(every_field_is_shown)
{
	struct mbj_outcome outcome;
	struct mbj_op ops[EVERY_OP_MAX];
	struct mbj_group group;
	struct mbj_error err;
	char *shown;

	lab_outcome_init(&outcome, ops, every_op(ops));
	group = parse(&outcome);
	lab_ok(mbj_jmap_log_begin(&buf, &err), err);
	lab_ok(mbj_jmap_log_group(&group, true, &buf, &err), err);
	lab_ok(mbj_jmap_log_end(&buf, &err), err);
	(void)lab_text(&buf);
	shown = (char *)buf.p;
	/* The chain is the record's own; its form is all that is fixed. */
	ck_assert_uint_eq(buf.n, strlen(golden) + 64 + strlen("\"}]}\n"));
	lab_same(shown + strlen(golden) + 64, "\"}]}\n");
	shown[strlen(golden)] = '\0';
	lab_same(shown, golden);
	mbj_buf_done(&outcome.record);
}
END_TEST

/*
 * Goal: the fields come from the table: none is forgotten when one is added.
 * Method: the document's operations against mbj_op_info, key by key.
 */
START_TEST(fields_are_the_tables)
{
	struct mbj_outcome outcome;
	struct mbj_op ops[EVERY_OP_MAX];
	struct mbj_group group;
	struct mbj_error err;
	json_t *document, *list;

	lab_outcome_init(&outcome, ops, every_op(ops));
	group = parse(&outcome);
	lab_ok(mbj_jmap_log_begin(&buf, &err), err);
	lab_ok(mbj_jmap_log_group(&group, true, &buf, &err), err);
	lab_ok(mbj_jmap_log_end(&buf, &err), err);
	document = json_loadb((const char *)buf.p, buf.n,
			      JSON_REJECT_DUPLICATES, NULL);
	ck_assert_ptr_nonnull(document);
	list = json_object_get(
		json_array_get(json_object_get(document, "groups"), 0),
		"operations");
	ck_assert_uint_eq(json_array_size(list), mbj_op_info_count());
	for (size_t i = 0; i < mbj_op_info_count(); i++) {
		const struct mbj_op_info *info = mbj_op_info_at(i);
		json_t *op = json_array_get(list, i);

		ck_assert_str_eq(json_string_value(json_object_get(op, "op")),
				 info->word);
		for (size_t k = 0; k < info->field_count; k++)
			ck_assert_msg(json_object_get(op,
						      info->fields[k].name) !=
					      NULL,
				      "%s.%s", info->word,
				      info->fields[k].name);
	}
	json_decref(document);
	mbj_buf_done(&outcome.record);
}
END_TEST

/*
 * Goal: no group, one and several are one valid document each.
 * Method: parsed by jansson, groups counted.
 */
START_TEST(any_number_of_groups_is_a_document)
{
	struct mbj_outcome outcome;
	struct mbj_op ops[EVERY_OP_MAX];
	struct mbj_group group;
	struct mbj_error err;

	lab_outcome_init(&outcome, ops, every_op(ops));
	group = parse(&outcome);
	for (size_t count = 0; count < 4; count++) {
		json_t *document;

		mbj_buf_clear(&buf);
		lab_ok(mbj_jmap_log_begin(&buf, &err), err);
		for (size_t i = 0; i < count; i++)
			lab_ok(mbj_jmap_log_group(&group, i == 0, &buf, &err),
			       err);
		lab_ok(mbj_jmap_log_end(&buf, &err), err);
		document = json_loadb((const char *)buf.p, buf.n, 0, NULL);
		ck_assert_ptr_nonnull(document);
		ck_assert_uint_eq(json_array_size(
					  json_object_get(document, "groups")),
				  count);
		json_decref(document);
	}
	mbj_buf_done(&outcome.record);
}
END_TEST

/*
 * Goal: damage and odd values are said, and the document stays valid.
 * Method: a body with a flipped byte; a value that is no text; times that
 * have no date; a request id.
 */
START_TEST(odd_groups_stay_documents)
{
	struct mbj_op op = {.kind = MBJ_OP_MAILBOX_SET_ATTR,
			    .id = lab_id(1),
			    .rev = 1,
			    .attr_kind = MBJ_ATTR_METADATA,
			    .name = mbj_bytes_str("/private/comment"),
			    .value = mbj_bytes_str("\xff\x01")};
	struct mbj_outcome outcome;
	struct mbj_group group;
	struct mbj_error err;

	lab_outcome_init(&outcome, &op, 1);
	group = parse(&outcome);
	group.header.time_us = INT64_MAX;
	group.header.request = lab_id(2);
	lab_ok(mbj_jmap_log_group(&group, true, &buf, &err), err);
	lab_has(lab_text(&buf), "\"time\":null");
	lab_has(lab_text(&buf), "\"request\":\"" ID_2 "\"");
	lab_has(lab_text(&buf),
		"\"attr_kind\":\"metadata\",\"name\":\"/private/comment\","
		"\"value\":{\"hex\":\"ff01\"}");
	mbj_buf_clear(&buf);
	outcome.record.p[outcome.record.n - 40] ^= 1;
	group = parse(&outcome);
	ck_assert(!group.is_body_good);
	lab_ok(mbj_jmap_log_group(&group, false, &buf, &err), err);
	lab_has(lab_text(&buf), "\"operations\":null,\"damaged\":true,");
	ck_assert_int_eq(buf.p[0], ',');
	mbj_buf_done(&outcome.record);
}
END_TEST

/*
 * Goal: a document that does not fit its buffer is an error, not a part.
 * Method: every printer with room for less than it needs.
 */
START_TEST(full_buffers_are_errors)
{
	struct mbj_outcome outcome;
	struct mbj_op ops[EVERY_OP_MAX];
	struct mbj_group group;
	struct mbj_error error, err;
	struct mbj_buf small;

	lab_outcome_init(&outcome, ops, every_op(ops));
	group = parse(&outcome);
	mbj_buf_init(&small, 100);
	lab_rc(mbj_jmap_log_group(&group, true, &small, &err), MBJ_ELIMIT);
	mbj_buf_clear(&small);
	(void)mbj_error_set(&error, MBJ_EIO, "%0120d", 0);
	lab_rc(mbj_jmap_error_print(&error, &small, &err), MBJ_ELIMIT);
	mbj_buf_done(&small);
	mbj_buf_done(&outcome.record);
}
END_TEST

TCase *test_jmap_log_case(void)
{
	TCase *tc = tcase_create("jmap_log");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, every_field_is_shown);
	tcase_add_test(tc, fields_are_the_tables);
	tcase_add_test(tc, any_number_of_groups_is_a_document);
	tcase_add_test(tc, odd_groups_stay_documents);
	tcase_add_test(tc, full_buffers_are_errors);
	return tc;
}
