/*
 * Tests of Mailbox/set: what is read becomes changes in order, what cannot be
 * done is answered item by item, and every item is answered once.
 */
#include "jmap_json.h"
#include "jmap_lab.h"
#include "jmap_set.h"

static struct mbj_jmap_set *set;
static struct mbj_edit edit;
static struct mbj_buf buf;

static void setup(void)
{
	mbj_buf_init(&buf, 1 << 20);
	edit = MBJ_EDIT_INIT;
}

static void teardown(void)
{
	mbj_jmap_set_free(&set);
	mbj_buf_done(&buf);
}

/* Parse, and fill edit. */
static void parse(const char *json)
{
	struct mbj_error err;

	mbj_jmap_set_free(&set);
	lab_ok(mbj_jmap_set_parse(mbj_bytes_str(json), MBJ_JMAP_INPUT_MAX,
				  mbj_sys_posix(), &set, &err),
	       err);
	mbj_jmap_set_fill(set, &edit);
}

/* The response, with each fresh id replaced by the creation id it is for. */
static const char *respond(const struct mbj_outcome *outcome)
{
	struct mbj_error err;

	mbj_buf_clear(&buf);
	lab_ok(mbj_jmap_set_print(set, mbj_bytes_str("alice"), outcome, &buf,
				  &err),
	       err);
	for (uint32_t i = 0; i < set->create_count; i++) {
		struct mbj_bytes text = set->items[i].text;
		char id[MBJ_ID_TEXT_SIZE], *at;

		mbj_id_print(set->items[i].change.id, id);
		ck_assert_uint_le(text.n, 32);
		while (lab_text(&buf), (at = strstr((char *)buf.p, id))) {
			memcpy(at, text.p, text.n);
			memmove(at + text.n, at + 32, strlen(at + 32));
			buf.n -= 32 - text.n;
		}
	}
	return lab_text(&buf);
}

#define ID_1 "00000000000000000000000000000001"
#define ID_2 "00000000000000000000000000000002"
#define ID_3 "00000000000000000000000000000003"

static const struct {
	const char *json;
	enum mbj_refusal refusal;
	const char *kind;
	const char *subject;
} refused[] = {
	{"[]", MBJ_REFUSAL_INVALID_ARGUMENTS, "property", "the document"},
	{"{\"creat\":{}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property", "creat"},
	{"{\"create\":[]}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "create"},
	{"{\"update\":[]}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "update"},
	{"{\"destroy\":{}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "destroy"},
	{"{\"destroy\":[1]}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "destroy"},
	{"{\"create\":{\"k\":1}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "create"},
	{"{\"create\":{\"#k\":{}}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "create"},
	{"{\"update\":{\"" ID_1 "\":null}}", MBJ_REFUSAL_INVALID_ARGUMENTS,
	 "property", "update"},
	{"{\"update\":{\"a b\":{}}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "update"},
	{"{\"update\":{\"\":{}}}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "update"},
	{"{\"destroy\":[\"#\"]}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "destroy"},
	{"{\"destroy\":[\"a\\u0000\"]}", MBJ_REFUSAL_INVALID_ARGUMENTS,
	 "property", "destroy"},
	{"{\"accountId\":1}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "accountId"},
	{"{\"accountId\":\"\"}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "accountId"},
	{"{\"onDestroyRemoveEmails\":1}", MBJ_REFUSAL_INVALID_ARGUMENTS,
	 "property", "onDestroyRemoveEmails"},
	{"{\"ifInState\":1}", MBJ_REFUSAL_INVALID_ARGUMENTS, "property",
	 "ifInState"},
	{"{\"ifInState\":\"\"}", MBJ_REFUSAL_STATE_MISMATCH, "ifInState", ""},
	{"{\"ifInState\":\"07\"}", MBJ_REFUSAL_STATE_MISMATCH, "ifInState",
	 "07"},
	{"{\"ifInState\":\"-1\"}", MBJ_REFUSAL_STATE_MISMATCH, "ifInState",
	 "-1"},
	{"{\"ifInState\":\"18446744073709551616\"}", MBJ_REFUSAL_STATE_MISMATCH,
	 "ifInState", "18446744073709551616"},
	{"{\"create\":{\"k\":{\"name\":\"a\"},\"k\":{\"name\":\"b\"}}}",
	 MBJ_REFUSAL_NOT_JSON, "position", "1:29"},
	{"{\"update\":{\"x\":{},\"x\":{}}}", MBJ_REFUSAL_NOT_JSON, "position",
	 "1:19"},
};

/*
 * Goal: a request that is none is refused as a whole, naming the argument.
 * Method: a table.
 */
START_TEST(bad_requests_are_refused)
{
	struct mbj_error err;

	lab_rc(mbj_jmap_set_parse(mbj_bytes_str(refused[_i].json),
				  MBJ_JMAP_INPUT_MAX, mbj_sys_posix(), &set,
				  &err),
	       MBJ_EINVALID);
	ck_assert_ptr_null(set);
	ck_assert_msg(err.refusal == refused[_i].refusal, "%s", err.message);
	ck_assert_str_eq(err.subject_kind, refused[_i].kind);
	ck_assert_str_eq(err.subject, refused[_i].subject);
}
END_TEST

/*
 * Goal: a request becomes changes in its own order: creates, updates,
 * destroys; references meet what they name, whichever comes first.
 * Method: one request with all of it, in an unhelpful order.
 */
START_TEST(requests_become_changes)
{
	parse("{\"destroy\":[\"" ID_3 "\",\"#z\",\"" ID_3 "\"],\"update\":{"
	      "\"" ID_2 "\":{\"name\":\"n\",\"parentId\":\"#a\"},"
	      "\"" ID_1 "\":{\"parentId\":null,\"role\":null,"
	      "\"isSubscribed\":null,\"id\":\"" ID_1 "\"},"
	      "\"#z\":{\"role\":\"junk\"}},"
	      "\"ifInState\":\"41\",\"accountId\":\"alice\",\"create\":{"
	      "\"z\":{\"name\":\"Z\",\"parentId\":\"#a\"},"
	      "\"a\":{\"name\":\"A\",\"isSubscribed\":true,"
	      "\"parentId\":\"" ID_1 "\"}}}");
	ck_assert_uint_eq(mbj_jmap_set_refused_count(set), 0);
	ck_assert_int_eq(edit.kind, MBJ_EDIT_SET);
	ck_assert(edit.has_if_in_state);
	ck_assert_uint_eq(edit.if_in_state.v, 41);
	ck_assert_uint_eq(edit.change_count, 6);
	ck_assert_int_eq(edit.changes[0].kind, MBJ_CHANGE_CREATE);
	ck_assert(mbj_bytes_equal(edit.changes[0].name, mbj_bytes_str("Z")));
	ck_assert(mbj_id_equal(edit.changes[0].parent, edit.changes[1].id));
	ck_assert(mbj_id_equal(edit.changes[1].parent, lab_id(1)));
	ck_assert_uint_eq(edit.changes[1].has,
			  MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
				  MBJ_CHANGE_HAS_SUBSCRIBED);
	ck_assert_int_eq(edit.changes[2].kind, MBJ_CHANGE_UPDATE);
	ck_assert(mbj_id_equal(edit.changes[2].id, lab_id(2)));
	ck_assert(mbj_id_equal(edit.changes[2].parent, edit.changes[1].id));
	ck_assert(mbj_id_equal(edit.changes[3].id, lab_id(1)));
	ck_assert(mbj_id_is_root(edit.changes[3].parent));
	ck_assert_uint_eq(edit.changes[3].has,
			  MBJ_CHANGE_HAS_PARENT | MBJ_CHANGE_HAS_ROLE |
				  MBJ_CHANGE_HAS_SUBSCRIBED);
	ck_assert_uint_eq(edit.changes[3].role, MBJ_ROLE_NONE);
	ck_assert(!edit.changes[3].is_subscribed);
	ck_assert_int_eq(edit.changes[4].kind, MBJ_CHANGE_DESTROY);
	ck_assert(mbj_id_equal(edit.changes[4].id, lab_id(3)));
	ck_assert(mbj_id_equal(edit.changes[5].id, edit.changes[0].id));
	/* An update of a create is one with it. */
	ck_assert(edit.changes[0].has & MBJ_CHANGE_HAS_ROLE);
	ck_assert_uint_eq(edit.changes[0].role, MBJ_ROLE_JUNK);
}
END_TEST

/*
 * Goal: an empty request is a request.
 * Method: nothing at all, and null for each argument.
 */
START_TEST(nothing_is_a_request)
{
	struct mbj_outcome outcome = {.old_state = {4}, .new_state = {4}};

	parse("{\"accountId\":null,\"ifInState\":null,\"create\":null,"
	      "\"update\":null,\"destroy\":null,"
	      "\"onDestroyRemoveEmails\":null}");
	ck_assert_uint_eq(edit.change_count, 0);
	ck_assert(!edit.has_if_in_state);
	parse("{}");
	ck_assert_uint_eq(edit.change_count, 0);
	lab_same(respond(&outcome),
		 "{\n\"schema\":\"mbj.set/1\",\n\"accountId\":\"alice\",\n"
		 "\"oldState\":\"4\",\n\"newState\":\"4\",\n\"lsn\":null,\n"
		 "\"created\":null,\n\"updated\":null,\n\"destroyed\":null,\n"
		 "\"notCreated\":null,\n\"notUpdated\":null,\n"
		 "\"notDestroyed\":null}\n");
}
END_TEST

/* Every fault that an item can have by itself. */
static const char bad_items[] =
	"{\"create\":{"
	"\"good\":{\"name\":\"g\",\"parentId\":null,\"role\":\"junk\","
	"\"sortOrder\":0},"
	"\"sort\":{\"name\":\"s\",\"sortOrder\":1,\"x\":2},"
	"\"bare\":{},"
	"\"kinds\":{\"name\":1,\"parentId\":2,\"role\":\"boss\","
	"\"isSubscribed\":\"yes\"},"
	"\"lost\":{\"name\":\"l\",\"parentId\":\"#nobody\"},"
	"\"below\":{\"name\":\"b\",\"parentId\":\"#sort\"},"
	"\"deeper\":{\"name\":\"d\",\"parentId\":\"#below\"},"
	"\"temp\":{\"name\":\"t\",\"parentId\":\"temp\"}},"
	"\"update\":{"
	"\"" ID_1 "\":{\"totalEmails\":0,\"myRights\":{}},"
	"\"" ID_2 "\":{},"
	"\"x\":{\"name\":\"n\"},"
	"\"#bare\":{\"name\":\"n\"},"
	"\"" ID_3 "\":{\"parentId\":\"#deeper\",\"name/0\":null}},"
	"\"destroy\":[\"y\",\"#q\",\"#sort\","
	"\"0000000000000000000000000000000A\",\"" ID_3 "\"]}";

static const char bad_items_answer[] =
	"{\n\"schema\":\"mbj.set/1\",\n\"accountId\":\"alice\",\n"
	"\"oldState\":\"8\",\n\"newState\":\"9\",\n\"lsn\":9,\n"
	"\"created\":{\n\"good\":{\"id\":\"good\",\"parentId\":null,\"isSubscribed\":false}},\n"
	"\"updated\":{\n\"" ID_2 "\":null},\n"
	"\"destroyed\":[\n\"" ID_3 "\"],\n"
	"\"notCreated\":{\n"
	"\"sort\":{\"type\":\"invalidProperties\",\"description\":"
	"\"no sort order is kept here: sortOrder is 0 for every mailbox\","
	"\"properties\":[\"sortOrder\",\"x\"]},\n"
	"\"bare\":{\"type\":\"invalidProperties\",\"description\":"
	"\"a new mailbox needs a name\",\"properties\":[\"name\"]},\n"
	"\"kinds\":{\"type\":\"invalidProperties\",\"description\":"
	"\"name must be a string\",\"properties\":[\"name\","
	"\"parentId\",\"role\",\"isSubscribed\"]},\n"
	"\"lost\":{\"type\":\"invalidProperties\",\"description\":"
	"\"parentId names a create that is not in the request\","
	"\"properties\":[\"parentId\"]},\n"
	"\"below\":{\"type\":\"invalidProperties\",\"description\":"
	"\"the create that parentId names was refused\","
	"\"properties\":[\"parentId\"]},\n"
	"\"deeper\":{\"type\":\"invalidProperties\",\"description\":"
	"\"the create that parentId names was refused\","
	"\"properties\":[\"parentId\"]},\n"
	"\"temp\":{\"type\":\"invalidProperties\",\"description\":"
	"\"parentId is not the id of a mailbox\","
	"\"properties\":[\"parentId\"]}},\n"
	"\"notUpdated\":{\n"
	"\"" ID_1 "\":{\"type\":\"invalidProperties\","
	"\"description\":\"the server alone sets this property\","
	"\"properties\":[\"totalEmails\",\"myRights\"]},\n"
	"\"x\":{\"type\":\"notFound\",\"description\":"
	"\"no mailbox has this id\"},\n"
	"\"#bare\":{\"type\":\"notFound\",\"description\":"
	"\"the create that this names was refused\"},\n"
	"\"" ID_3 "\":{\"type\":\"invalidProperties\","
	"\"description\":\"a mailbox has no property for a pointer to "
	"lead into\",\"properties\":[\"name/0\",\"parentId\"]}},\n"
	"\"notDestroyed\":{\n"
	"\"y\":{\"type\":\"notFound\",\"description\":"
	"\"no mailbox has this id\"},\n"
	"\"#q\":{\"type\":\"notFound\",\"description\":"
	"\"the request has no such create\"},\n"
	"\"#sort\":{\"type\":\"notFound\",\"description\":"
	"\"the create that this names was refused\"},\n"
	"\"0000000000000000000000000000000A\":{\"type\":\"notFound\","
	"\"description\":\"no mailbox has this id\"}}}\n";

/*
 * Goal: what is wrong with one item is said for that item, with all its
 * properties, and the others go on.
 * Method: one request with each fault; the whole response is a golden.
 */
START_TEST(bad_items_are_answered_one_by_one)
{
	struct mbj_outcome outcome = {.lsn = {9},
				      .old_state = {8},
				      .new_state = {9}};

	parse(bad_items);
	ck_assert_uint_eq(edit.change_count, 3);
	ck_assert_uint_eq(mbj_jmap_set_refused_count(set), 15);
	lab_same(respond(&outcome), bad_items_answer);
}
END_TEST

/*
 * Goal: what the edit refused is answered with its words, and what the server
 * made of a name and gave as UIDVALIDITY is told.
 * Method: an outcome with results and a group, as the edit would give it.
 */
START_TEST(the_response_follows_the_group)
{
	char sentence[] = "a sibling has this name";
	struct mbj_change_result results[5] = {
		[1] = {MBJ_REFUSAL_ALREADY_EXISTS, "name", sentence},
		[3] = {MBJ_REFUSAL_HAS_CHILD, NULL, NULL},
	};
	struct mbj_op ops[3] = {
		{.kind = MBJ_OP_MAILBOX_CREATE,
		 .to = {.name = {mbj_bytes_str("\xc3\xa9"),
				 mbj_bytes_str("\xc3\xa9")}},
		 .uidvalidity = 77,
		 .is_selectable = 1},
		{.kind = MBJ_OP_MAILBOX_MOVE,
		 .id = lab_id(2),
		 .rev = 1,
		 .from = {.name = {mbj_bytes_str("x"), mbj_bytes_str("x")}},
		 .to = {MBJ_ID_TEMP,
			{mbj_bytes_str(ID_2), mbj_bytes_str(ID_2)}}},
		{.kind = MBJ_OP_MAILBOX_MOVE,
		 .id = lab_id(2),
		 .rev = 2,
		 .from = {MBJ_ID_TEMP,
			  {mbj_bytes_str(ID_2), mbj_bytes_str(ID_2)}},
		 .to = {.name = {mbj_bytes_str("INBOX2"),
				 mbj_bytes_str("INBOX2")}},
		 .uidvalidity = 78},
	};
	struct mbj_outcome outcome;

	parse("{\"create\":{\"k\":{\"name\":\"e\\u0301\",\"parentId\":null,"
	      "\"role\":null,\"isSubscribed\":true},"
	      "\"l\":{\"name\":\"taken\"}},"
	      "\"update\":{\"" ID_2 "\":{\"name\":\"Inbox2\"},"
	      "\"#k\":{\"role\":\"junk\"}},\"destroy\":[\"" ID_3 "\"]}");
	ck_assert_uint_eq(edit.change_count, 4);
	ops[0].id = edit.changes[0].id;
	lab_outcome_init(&outcome, ops, 3);
	outcome.results = results;
	outcome.result_count = 4;
	outcome.refused_count = 2;
	lab_same(
		respond(&outcome),
		"{\n\"schema\":\"mbj.set/1\",\n\"accountId\":\"alice\",\n"
		"\"oldState\":\"6\",\n\"newState\":\"7\",\n\"lsn\":7,\n"
		"\"created\":{\n\"k\":{\"id\":\"k\",\"name\":\"\xc3\xa9\",\"parentId\":null,"
		"\"uidValidity\":77}},\n"
		"\"updated\":{\n\"" ID_2 "\":{\"name\":\"INBOX2\","
		"\"uidValidity\":78},\n"
		"\"k\":null},\n"
		"\"destroyed\":null,\n"
		"\"notCreated\":{\n\"l\":{\"type\":\"alreadyExists\","
		"\"description\":\"a sibling has this name\","
		"\"properties\":[\"name\"]}},\n"
		"\"notUpdated\":null,\n"
		"\"notDestroyed\":{\n\"" ID_3
		"\":{\"type\":\"mailboxHasChild\"}}}\n");
	mbj_buf_done(&outcome.record);
}
END_TEST

/*
 * Goal: long chains and cycles of creates are walked, once, without a stack.
 * Method: 50,000 creates below a refused one, and as many in a ring, which is
 * for the edit to judge.
 */
START_TEST(chains_of_creates_cascade)
{
	enum { COUNT = 50000 };
	struct mbj_error err;

	for (int is_ring = 0; is_ring < 2; is_ring++) {
		struct mbj_buf json;

		mbj_buf_init(&json, 16 << 20);
		mbj_buf_put_str(&json, "{\"create\":{");
		for (int i = 0; i < COUNT; i++)
			mbj_buf_format(&json,
				       "\"k%d\":{\"name\":\"n\",\"parentId\":"
				       "\"#k%d\"},",
				       i, i + 1);
		mbj_buf_format(&json, "\"k%d\":{\"parentId\":%s,%s}}}", COUNT,
			       is_ring ? "\"#k0\"" : "null",
			       is_ring ? "\"name\":\"n\"" : "\"x\":1");
		lab_ok(mbj_buf_ok(&json, &err), err);
		mbj_jmap_set_free(&set);
		lab_ok(mbj_jmap_set_parse(mbj_buf_view(&json),
					  MBJ_JMAP_INPUT_MAX, mbj_sys_posix(),
					  &set, &err),
		       err);
		ck_assert_uint_eq(mbj_jmap_set_refused_count(set),
				  is_ring ? 0 : COUNT + 1);
		mbj_buf_done(&json);
	}
}
END_TEST

/*
 * Goal: a request for another account is not carried out on this one.
 * Method: name, id, none, and something else.
 */
START_TEST(the_account_is_checked)
{
	static const struct {
		const char *json;
		enum mbj_rc rc;
	} table[] = {
		{"{}", MBJ_OK},
		{"{\"accountId\":null}", MBJ_OK},
		{"{\"accountId\":\"alice\"}", MBJ_OK},
		{"{\"accountId\":\"" ID_1 "\"}", MBJ_OK},
		{"{\"accountId\":\"bob\"}", MBJ_EINVALID},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct mbj_error err = {.refusal = MBJ_REFUSAL_NONE};

		parse(table[i].json);
		lab_rc(mbj_jmap_set_account_check(set, mbj_bytes_str("alice"),
						  lab_id(1), &err),
		       table[i].rc);
		ck_assert_int_eq(err.refusal,
				 table[i].rc == MBJ_OK
					 ? MBJ_REFUSAL_NONE
					 : MBJ_REFUSAL_ACCOUNT_NOT_FOUND);
	}
}
END_TEST

TCase *test_jmap_set_case(void)
{
	TCase *tc = tcase_create("jmap_set");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, bad_requests_are_refused, 0,
			    (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, requests_become_changes);
	tcase_add_test(tc, nothing_is_a_request);
	tcase_add_test(tc, bad_items_are_answered_one_by_one);
	tcase_add_test(tc, the_response_follows_the_group);
	tcase_add_test(tc, chains_of_creates_cascade);
	tcase_add_test(tc, the_account_is_checked);
	return tc;
}
