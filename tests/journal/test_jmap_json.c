/*
 * Tests of reading JSON: what is not JSON is refused with its place, whatever
 * is done to it; what is too large or too deep costs nothing; what is written
 * reads back as it was.
 */
#include <stdio.h>
#include <stdlib.h>

#include "jmap_json.h"
#include "jmap_lab.h"
#include "jmap_out.h"

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

/* Refused as a list and as a set, for the same reason. */
static void expect_refusal(struct mbj_bytes json, enum mbj_refusal refusal,
			   const char *place, const char *part)
{
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_set *set = NULL;
	struct mbj_error errs[2];

	lab_rc(lab_list_bytes(json, MBJ_JMAP_PLAN, map, &list, &errs[0]),
	       MBJ_EINVALID);
	lab_rc(mbj_jmap_set_parse(json, MBJ_JMAP_INPUT_MAX, mbj_sys_posix(),
				  &set, &errs[1]),
	       MBJ_EINVALID);
	ck_assert_ptr_null(list);
	ck_assert_ptr_null(set);
	for (int i = 0; i < 2; i++) {
		ck_assert_msg(errs[i].refusal == refusal, "%s",
			      errs[i].message);
		lab_has(errs[i].message, part);
		if (place != NULL)
			ck_assert_str_eq(errs[i].subject, place);
	}
}

static const struct {
	const char *json;
	const char *place; /* line:column */
	const char *part;
} broken[] = {
	{"", "1:1", "empty"},
	{" \n\t ", "2:3", "empty"},
	{"{", "1:2", "not complete"},
	{"{\"accountId\":\"x", "1:16", "not complete"},
	{"{\"accountId\":\"x\\", "1:17", "not complete"},
	{"{\"accountId\"", "1:13", "not complete"},
	{"{\"accountId\":", "1:14", "not complete"},
	{"{\"accountId\":\"x\",", "1:18", "not complete"},
	{"{} {}", "1:4", "follows"},
	{"{},", "1:3", "follows"},
	{"{\"accountId\" \"x\"}", "1:14", "colon"},
	{"{\"accountId\":\"x\" \"a\":1}", "1:18", "comma"},
	{"{\"accountId\":\"x\",}", "1:18", "key in quotes"},
	{"{accountId:1}", "1:2", "key in quotes"},
	{"{\"accountId\":}", "1:14", "value is missing"},
	{"{\n\"accountId\": nul\n}", "2:17", "invalid token"},
	{"{\"accountId\":[1}", "1:17", "not complete"},
	{"{]", "1:2", "key in quotes"},
	{"{\"accountId\":{]}", NULL, "expected"},
	{"{\"accountId\":\"\\ud800\"}", NULL, "Unicode"},
	{"{\"accountId\":\"\xff\"}", NULL, "not UTF-8"},
	{"{\"accountId\":\"\xc0\xaf\"}", NULL, "not UTF-8"},
	{"{\"accountId\":\"a\nb\"}", NULL, "unexpected newline"},
	{"{\"accountId\":1e999}", NULL, "out of range"},
	{"{\"accountId\":01}", NULL, "not valid JSON"},
	{"{\"accountId\":null,\"accountId\":null}", "1:19", "was there before"},
	{"{\"accountId\":{\"a\":1,\"a\":1}}", NULL, "was there before"},
	{"{\"accountId\":{\"a\\u0000\":1}}", NULL, "a key holds a NUL"},
	{"{\"a\\u0000b\":1}", "1:2", "a key holds a NUL"},
	{"\xef\xbb\xbf{}", "1:1", "byte order mark"},
};

/*
 * Goal: text that is not JSON is refused, and the message leads to the place.
 * Method: a table of broken documents with the place and a word expected.
 */
START_TEST(broken_text_is_refused_with_its_place)
{
	expect_refusal(mbj_bytes_str(broken[_i].json), MBJ_REFUSAL_NOT_JSON,
		       broken[_i].place, broken[_i].part);
}
END_TEST

/*
 * Goal: a document cut off anywhere is refused, not misread.
 * Method: every proper prefix of a valid list and of a valid request.
 */
START_TEST(every_prefix_is_refused)
{
	static const char *const documents[2] = {
		"{\"accountId\":\"a\",\"list\":[{\"id\":\"x\",\"name\":\"\\u00e9\","
		"\"parentId\":null,\"n\":[1,{}]}],\"notFound\":[]}",
		"{\"ifInState\":\"1\",\"create\":{\"k\":{\"name\":\"\\u00e9\","
		"\"parentId\":null}},\"update\":{\"x\":{\"name\":\"b\"}},"
		"\"destroy\":[\"y\"]}",
	};

	for (int which = 0; which < 2; which++) {
		size_t n = strlen(documents[which]);

		for (size_t i = 0; i < n; i++) {
			/* A copy of its own size: a sanitizer sees each read.
			 */
			char *copy = malloc(i + 1);

			ck_assert_ptr_nonnull(copy);
			memcpy(copy, documents[which], i);
			expect_refusal(mbj_bytes_make(copy, i),
				       MBJ_REFUSAL_NOT_JSON, NULL,
				       "not valid JSON");
			free(copy);
		}
	}
}
END_TEST

/* head, count times the unit, tail. */
static struct mbj_bytes repeat(const char *head, const char *unit, size_t count,
			       const char *tail)
{
	size_t h = strlen(head), u = strlen(unit), t = strlen(tail);
	uint8_t *text = malloc(h + u * count + t);

	ck_assert_ptr_nonnull(text);
	memcpy(text, head, h);
	for (size_t i = 0; i < count; i++)
		memcpy(text + h + i * u, unit, u);
	memcpy(text + h + u * count, tail, t);
	return mbj_bytes_make(text, h + u * count + t);
}

static void repeat_free(struct mbj_bytes b)
{
	free((void *)(uintptr_t)b.p);
}

/*
 * Goal: nesting without end neither recurses nor is believed.
 * Method: 100,000 levels of arrays and of objects, closed and not, at each
 * place that is skipped, walked or parsed.
 */
START_TEST(deep_json_is_refused)
{
	static const char *const heads[] = {
		"",
		"{\"accountId\":",
		"{\"list\":[",
		"{\"list\":[{\"x\":",
		"{\"create\":{\"k\":",
		"{\"destroy\":[",
	};
	static const char *const units[] = {"[", "{\"a\":"};

	for (size_t h = 0; h < sizeof(heads) / sizeof(heads[0]); h++) {
		for (size_t u = 0; u < 2; u++) {
			struct mbj_bytes json =
				repeat(heads[h], units[u], 100000, "");

			expect_refusal(json, MBJ_REFUSAL_NOT_JSON, NULL,
				       "nested deeper");
			repeat_free(json);
		}
	}
}
END_TEST

/*
 * Goal: one item cannot take much memory, however it is written.
 * Method: an item with too many values, one of too many bytes, a document
 * over the limit; each is refused as too large.
 */
START_TEST(large_items_are_refused)
{
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;
	struct mbj_bytes json;
	struct mbj_error err;

	json = repeat("{\"list\":[{\"x\":[", "0,", JSON_PIECE_VALUES_MAX,
		      "0]}]}");
	lab_rc(lab_list_bytes(json, MBJ_JMAP_PLAN, map, &list, &err),
	       MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_TOO_LARGE);
	repeat_free(json);
	json = repeat("{\"list\":[{\"x\":\"", "x", MBJ_JMAP_ITEM_MAX, "\"}]}");
	lab_rc(lab_list_bytes(json, MBJ_JMAP_PLAN, map, &list, &err),
	       MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_TOO_LARGE);
	repeat_free(json);
	options.mode = MBJ_JMAP_PLAN;
	options.sys = mbj_sys_posix();
	options.input_max = 11;
	json = mbj_bytes_str("{\"list\":[]}");
	lab_ok(mbj_jmap_list_parse(json, &options, map, &list, &err), err);
	mbj_jmap_list_free(&list);
	options.input_max = 10;
	lab_rc(mbj_jmap_list_parse(json, &options, map, &list, &err),
	       MBJ_EINVALID);
	ck_assert_int_eq(err.refusal, MBJ_REFUSAL_TOO_LARGE);
}
END_TEST

/*
 * Goal: random damage to a document is either harmless or refused; nothing
 * else happens.
 * Method: bytes of a valid document replaced, removed and doubled at random.
 */
START_TEST(random_damage_is_survived)
{
	static const char json[] =
		"{\"list\":[{\"id\":\"a\",\"name\":\"x\",\"parentId\":null,"
		"\"role\":\"inbox\"},{\"id\":\"b\",\"name\":\"\\u00e9\xc3\xa9\","
		"\"parentId\":\"a\",\"isSubscribed\":true}],\"state\":\"1\"}";
	static const char bytes[] = "{}[]\",:\\u0an1e-\xff ";
	struct test_rng rng;

	(void)test_rng_seed(&rng);
	for (int round = 0; round < 20000; round++) {
		struct mbj_jmap_list *list = NULL;
		struct mbj_jmap_set *set = NULL;
		struct mbj_error err;
		char copy[sizeof(json)];
		size_t n = sizeof(json) - 1;

		memcpy(copy, json, n);
		for (uint64_t k = test_rng_between(&rng, 1, 4); k > 0; k--) {
			size_t at = (size_t)test_rng_below(&rng, n);

			if (test_rng_chance(&rng, 1, 3)) {
				memmove(copy + at, copy + at + 1, n - at - 1);
				n--;
			} else {
				copy[at] = bytes[test_rng_below(
					&rng, sizeof(bytes) - 1)];
			}
		}
		if (lab_list_bytes(mbj_bytes_make(copy, n), MBJ_JMAP_PLAN, map,
				   &list, &err) < 0)
			ck_assert_int_ne(err.refusal, MBJ_REFUSAL_NONE);
		if (mbj_jmap_set_parse(mbj_bytes_make(copy, n),
				       MBJ_JMAP_INPUT_MAX, mbj_sys_posix(),
				       &set, &err) < 0)
			ck_assert_int_ne(err.refusal, MBJ_REFUSAL_NONE);
		mbj_jmap_list_free(&list);
		mbj_jmap_set_free(&set);
	}
}
END_TEST

/*
 * Goal: every string is written so that it reads back as it was, and so that
 * a terminal neither obeys nor hides anything in it.
 * Method: every code point through the printer and jansson; the ones that
 * must not appear are looked for in the output.
 */
START_TEST(strings_read_back)
{
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4096);
	for (uint32_t point = 1; point < 0x110000; point++) {
		char utf8[4];
		size_t n = 0;
		json_t *value;

		if (point >= 0xd800 && point <= 0xdfff)
			continue;
		if (point < 0x80) {
			utf8[n++] = (char)point;
		} else if (point < 0x800) {
			utf8[n++] = (char)(0xc0 | point >> 6);
		} else if (point < 0x10000) {
			utf8[n++] = (char)(0xe0 | point >> 12);
			utf8[n++] = (char)(0x80 | (point >> 6 & 0x3f));
		} else {
			utf8[n++] = (char)(0xf0 | point >> 18);
			utf8[n++] = (char)(0x80 | (point >> 12 & 0x3f));
			utf8[n++] = (char)(0x80 | (point >> 6 & 0x3f));
		}
		if (n > 0 && point >= 0x80)
			utf8[n++] = (char)(0x80 | (point & 0x3f));
		mbj_buf_clear(&buf);
		mbj_jmap_string_print(mbj_bytes_make(utf8, n), &buf);
		value = json_loadb((const char *)buf.p, buf.n, JSON_DECODE_ANY,
				   NULL);
		ck_assert_msg(value != NULL, "U+%04X", point);
		ck_assert_uint_eq(json_string_length(value), n);
		ck_assert_int_eq(memcmp(json_string_value(value), utf8, n), 0);
		json_decref(value);
		if (point < 0x20 || (point >= 0x7f && point < 0xa0) ||
		    (point >= 0x202a && point <= 0x202e) ||
		    (point >= 0x2066 && point <= 0x2069))
			ck_assert_msg(buf.p[1] == '\\', "U+%04X", point);
	}
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: bytes that are no UTF-8 cannot make a document invalid.
 * Method: truncated, overlong, surrogate and stray sequences become U+FFFD.
 */
START_TEST(bad_bytes_become_replacement_characters)
{
	static const struct {
		const char *bytes;
		const char *json;
	} table[] = {
		{"a\xff"
		 "b",
		 "\"a\xef\xbf\xbd"
		 "b\""},
		{"\xc3", "\"\xef\xbf\xbd\""},
		{"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		{"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
				     "\xef\xbf\xbd\""},
		{"q\"b\\n\nt\tu\x01", "\"q\\\"b\\\\n\\nt\\tu\\u0001\""},
		{"\xf3\xa0\x81\x81", "\"\\udb40\\udc41\""},
	};
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4096);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		mbj_buf_clear(&buf);
		mbj_jmap_string_print(mbj_bytes_str(table[i].bytes), &buf);
		lab_same(lab_text(&buf), table[i].json);
	}
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: times are those of the calendar.
 * Method: known instants, leap days and the edges of four-digit years.
 */
START_TEST(times_are_rfc_3339)
{
	static const struct {
		int64_t us;
		const char *text; /* NULL: none */
	} table[] = {
		{0, "1970-01-01T00:00:00.000000Z"},
		{-1, "1969-12-31T23:59:59.999999Z"},
		{INT64_C(951782400000000), "2000-02-29T00:00:00.000000Z"},
		{INT64_C(1709210096789012), "2024-02-29T12:34:56.789012Z"},
		{INT64_C(4107542400000000), "2100-03-01T00:00:00.000000Z"},
		{INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z"},
		{INT64_C(253402300800000000), NULL},
		{INT64_C(-62167219200000000), "0000-01-01T00:00:00.000000Z"},
		{INT64_C(-62167219200000001), NULL},
		{INT64_MAX, NULL},
		{INT64_MIN, NULL},
	};
	struct mbj_buf buf;

	mbj_buf_init(&buf, 4096);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		bool is_shown;

		mbj_buf_clear(&buf);
		is_shown = mbj_jmap_time_print(table[i].us, &buf);
		ck_assert_int_eq(is_shown, table[i].text != NULL);
		lab_same(lab_text(&buf),
			 table[i].text == NULL ? "" : table[i].text);
	}
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: an error is a document that says what the message says.
 * Method: goldens for a refusal, for a failure with its place, and for a
 * subject that would break the JSON.
 */
START_TEST(errors_are_documents)
{
	struct mbj_buf buf;
	struct mbj_error error, err;

	mbj_buf_init(&buf, 4096);
	(void)mbj_error_refuse(&error, MBJ_REFUSAL_ALREADY_EXISTS, "path",
			       "a\"/b", "the name \"%s\" is taken", "b");
	lab_ok(mbj_jmap_error_print(&error, &buf, &err), err);
	lab_same(lab_text(&buf),
		 "{\"schema\":\"mbj.error/1\",\"type\":\"alreadyExists\","
		 "\"description\":\"the name \\\"b\\\" is taken\","
		 "\"path\":\"a\\\"/b\"}\n");
	mbj_buf_clear(&buf);
	(void)mbj_error_set(&error, MBJ_ECORRUPT, "bad frame");
	mbj_error_at(&error, "x.seg", 4096, 9);
	lab_ok(mbj_jmap_error_print(&error, &buf, &err), err);
	lab_same(lab_text(&buf),
		 "{\"schema\":\"mbj.error/1\",\"type\":\"serverFail\","
		 "\"code\":\"ECORRUPT\",\"description\":\"bad frame\","
		 "\"file\":\"x.seg\",\"offset\":4096,\"lsn\":9}\n");
	mbj_buf_clear(&buf);
	(void)mbj_error_set(&error, MBJ_EFENCED, "a replica");
	error.subject_kind = "account";
	(void)snprintf(error.subject, sizeof(error.subject), "alice");
	lab_ok(mbj_jmap_error_print(&error, &buf, &err), err);
	lab_same(lab_text(&buf),
		 "{\"schema\":\"mbj.error/1\",\"type\":\"accountReadOnly\","
		 "\"code\":\"EFENCED\",\"description\":\"a replica\","
		 "\"account\":\"alice\"}\n");
	for (unsigned i = 0; i < 2; i++) {
		mbj_buf_clear(&buf);
		error.subject_kind = i == 0 ? "path" : NULL;
		lab_ok(mbj_jmap_error_print(&error, &buf, &err), err);
		ck_assert_ptr_nonnull(strstr(lab_text(&buf), "serverFail"));
	}
	mbj_buf_done(&buf);
}
END_TEST

TCase *test_jmap_json_case(void)
{
	TCase *tc = tcase_create("jmap_json");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, broken_text_is_refused_with_its_place, 0,
			    (int)(sizeof(broken) / sizeof(broken[0])));
	tcase_add_test(tc, every_prefix_is_refused);
	tcase_add_test(tc, deep_json_is_refused);
	tcase_add_test(tc, large_items_are_refused);
	tcase_add_test(tc, random_damage_is_survived);
	tcase_add_test(tc, strings_read_back);
	tcase_add_test(tc, bad_bytes_become_replacement_characters);
	tcase_add_test(tc, times_are_rfc_3339);
	tcase_add_test(tc, errors_are_documents);
	return tc;
}
