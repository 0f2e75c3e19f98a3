/*
 * Tests of refusing Mailbox/get lists: whatever is wrong with an entry, or
 * with the whole, is said for the right entry, in each mode that it concerns.
 */
#include "jmap_lab.h"

static struct mbj_jmap_map *map;

static void setup(void)
{
	struct mbj_error err;

	lab_ok(mbj_jmap_map_new(mbj_sys_posix(), &map, &err), err);
}

static void teardown(void)
{
	mbj_jmap_map_free(&map);
}

#define ID_A "00000000000000000000000000000a01"
#define ID_B "00000000000000000000000000000b02"

static const struct {
	enum mbj_jmap_mode mode; /* 0: all three */
	const char *list;
	enum mbj_refusal refusal;
	const char *kind;
	const char *subject;
	const char *part;
} refused[] = {
	/* The document. */
	{0, "[]", MBJ_REFUSAL_INVALID_ARGUMENTS, "property", "the document",
	 "must be an object"},
	{0, "{}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property", "list",
	 "no \"list\""},
	{0, "{\"list\":{}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property", "list",
	 "must be an array"},
	{0, "{\"list\":[],\"list\":[]}", MBJ_REFUSAL_NOT_JSON, "position",
	 "1:12", "was there before"},
	{0, "{\"list\":[1]}", MBJ_REFUSAL_INVALID_PROPERTIES, "entry", "0",
	 "must be an object, not a number"},
	/* Ids. */
	{MBJ_JMAP_PLAN, "{\"list\":[{\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "entry", "0",
	 "id must be a string, not missing"},
	{0, "{\"list\":[{\"id\":null,\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "entry", "0", "not null"},
	{0, "{\"list\":[{\"id\":7,\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "entry", "0", "not a number"},
	{0, "{\"list\":[{\"id\":\"\",\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", "", "1 to 255"},
	{0, "{\"list\":[{\"id\":\"a b\",\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", "a b", "1 to 255"},
	{0, "{\"list\":[{\"id\":\"temp\",\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", "temp", "reserved"},
	{MBJ_JMAP_RECONCILE,
	 "{\"list\":[{\"id\":\"a1\",\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", "a1", "32 hexadecimal"},
	{MBJ_JMAP_RECONCILE, "{\"list\":[{\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "entry", "0", "missing"},
	{MBJ_JMAP_RECONCILE,
	 "{\"list\":[{\"id\":\"00000000000000000000000000000000\","
	 "\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id",
	 "00000000000000000000000000000000", "reserved"},
	{MBJ_JMAP_IMPORT,
	 "{\"list\":[{\"id\":\"FfffffffffffffffffffffffffffffFf\","
	 "\"name\":\"a\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id",
	 "FfffffffffffffffffffffffffffffFf", "reserved"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null},"
	 "{\"id\":\"" ID_A "\",\"name\":\"b\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "list[1]"},
	{MBJ_JMAP_IMPORT,
	 "{\"list\":[{\"id\":\"x\",\"name\":\"a\",\"parentId\":null},"
	 "{\"id\":\"x\",\"name\":\"b\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", "x", "before"},
	{MBJ_JMAP_RECONCILE,
	 "{\"list\":[{\"id\":\"000000000000000000000000000000ab\","
	 "\"name\":\"a\",\"parentId\":null},"
	 "{\"id\":\"000000000000000000000000000000AB\","
	 "\"name\":\"b\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id",
	 "000000000000000000000000000000AB", "before"},
	/* Properties. */
	{0, "{\"list\":[{\"id\":\"" ID_A "\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A,
	 "name must be a string, not missing"},
	{0, "{\"list\":[{\"id\":\"" ID_A "\",\"name\":[],\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "not an array"},
	{0, "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A,
	 "parentId must be an id, or null at the top, not missing"},
	{0, "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":1}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "parentId"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\","
	 "\"parentId\":\"temp\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "parentId"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\","
	 "\"parentId\":\"" ID_B "\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A,
	 "parentId \"" ID_B "\" is not in the list"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"role\":\"boss\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "role \"boss\""},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"role\":\"\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "role"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"role\":{}}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A,
	 "role must be a string or null, not an object"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"isSubscribed\":0}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A,
	 "isSubscribed must be true or false, not a number"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"isSelectable\":\"yes\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "isSelectable"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"uidValidity\":1.5}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "whole number"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\",\"parentId\":null,"
	 "\"uidValidity\":4294967296}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "from 1 to"},
	/* Names, judged by mbj_name_make. */
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"\",\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "(id \"" ID_A "\")"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a/b\","
	 "\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "delimiter"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\\u0000b\","
	 "\"parentId\":null}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "control"},
	/* The whole. */
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\","
	 "\"parentId\":\"" ID_A "\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", ID_A, "its own parent"},
	{0,
	 "{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\","
	 "\"parentId\":\"" ID_B "\"},{\"id\":\"" ID_B "\",\"name\":\"b\","
	 "\"parentId\":\"" ID_A "\"}]}",
	 MBJ_REFUSAL_INVALID_PROPERTIES, "id", NULL, "below itself"},
	{MBJ_JMAP_PLAN,
	 "{\"list\":[{\"id\":\"x\",\"name\":\"\\u00e9\",\"parentId\":null},"
	 "{\"id\":\"y\",\"name\":\"e\\u0301\",\"parentId\":null}]}",
	 MBJ_REFUSAL_ALREADY_EXISTS, "id", "y", "list[1] (id \"y\")"},
	{MBJ_JMAP_IMPORT,
	 "{\"list\":[{\"name\":\"inbox\",\"parentId\":null},"
	 "{\"name\":\"INBOX\",\"parentId\":null}]}",
	 MBJ_REFUSAL_ALREADY_EXISTS, "entry", "1", "list[1]: "},
};

/*
 * Goal: a list that cannot be used is refused for the right entry, naming the
 * property, by the id that the reader knows.
 * Method: a table, in the modes that each line concerns.
 */
START_TEST(bad_lists_are_refused)
{
	for (int mode = MBJ_JMAP_IMPORT; mode <= MBJ_JMAP_PLAN; mode++) {
		struct mbj_jmap_list *list = NULL;
		struct mbj_error err;

		if (refused[_i].mode != 0 && (int)refused[_i].mode != mode)
			continue;
		lab_rc(lab_list(refused[_i].list, (enum mbj_jmap_mode)mode, map,
				NULL, &list, &err),
		       MBJ_EINVALID);
		ck_assert_ptr_null(list);
		ck_assert_msg(err.refusal == refused[_i].refusal, "%s: %s",
			      mbj_refusal_type(err.refusal), err.message);
		lab_has(err.message, refused[_i].part);
		ck_assert_ptr_nonnull(err.subject_kind);
		ck_assert_str_eq(err.subject_kind, refused[_i].kind);
		if (refused[_i].subject != NULL)
			ck_assert_str_eq(err.subject, refused[_i].subject);
		teardown();
		setup();
	}
}
END_TEST

/*
 * Goal: a name of five megabytes is refused like any that is too long.
 * Method: one such entry; the message stays short and names the entry.
 */
START_TEST(a_huge_name_is_refused)
{
	struct mbj_jmap_list *list = NULL;
	struct mbj_buf buf;
	struct mbj_error err;

	mbj_buf_init(&buf, 8 << 20);
	mbj_buf_put_str(&buf, "{\"list\":[{\"id\":\"x\",\"parentId\":null,"
			      "\"name\":\"");
	for (int i = 0; i < 5 << 20; i++)
		mbj_buf_put_u8(&buf, 'n');
	mbj_buf_put_str(&buf, "\"}]}");
	lab_ok(mbj_buf_ok(&buf, &err), err);
	lab_rc(lab_list_bytes(mbj_buf_view(&buf), MBJ_JMAP_PLAN, map, &list,
			      &err),
	       MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_INVALID_PROPERTIES);
	lab_has(err.message, "list[0] (id \"x\")");
	lab_has(err.message, "255");
	mbj_buf_done(&buf);
}
END_TEST

TCase *test_jmap_entry_case(void)
{
	TCase *tc = tcase_create("jmap_entry");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, bad_lists_are_refused, 0,
			    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, a_huge_name_is_refused);
	return tc;
}
