/*
 * Tests of Mailbox/get lists: what is a tree is read and printed back, in
 * each of the three modes.
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

/*
 * Goal: a server's own answer can be read, whatever else it holds.
 * Method: a Mailbox/get response as RFC 8621 section 2.1 shows it, children
 * before parents, and each property of each node looked at.
 */
START_TEST(a_servers_answer_is_read)
{
	static const char json[] =
		"{\"accountId\":\"u33084183\",\"state\":\"78540\",\"list\":[{"
		"\"id\":\"MB674cc24095db49ce\",\"name\":\"Important mail\","
		"\"parentId\":\"MB23cfa8094c0f41e6\",\"role\":null,"
		"\"sortOrder\":10,\"totalEmails\":3,\"unreadEmails\":0,"
		"\"totalThreads\":3,\"unreadThreads\":0,\"myRights\":{"
		"\"mayReadItems\":true,\"mayAddItems\":true},"
		"\"isSubscribed\":true},{\"id\":\"MB23cfa8094c0f41e6\","
		"\"name\":\"Inbox\",\"parentId\":null,\"role\":\"inbox\","
		"\"uidValidity\":7,\"isSelectable\":false}],"
		"\"notFound\":[]}";
	struct mbj_jmap_list *list = NULL;
	const struct mbj_tree *tree;
	const struct mbj_node *node;
	struct mbj_bytes text;
	struct mbj_error err;

	lab_ok(lab_list(json, MBJ_JMAP_PLAN, map, NULL, &list, &err), err);
	tree = mbj_jmap_list_tree(list);
	ck_assert_uint_eq(mbj_tree_live_count(tree), 2);
	lab_ok(mbj_tree_check(tree, &err), err);
	node = mbj_tree_get(tree, 0);
	ck_assert_uint_eq(node->parent, 1);
	ck_assert(node->is_subscribed);
	ck_assert(node->is_selectable);
	ck_assert_uint_eq(node->uidvalidity, 0);
	ck_assert(mbj_jmap_map_find(map, node->id, &text));
	ck_assert(mbj_bytes_equal(text, mbj_bytes_str("MB674cc24095db49ce")));
	node = mbj_tree_get(tree, 1);
	ck_assert_uint_eq(node->parent, MBJ_NODE_ROOT);
	ck_assert_uint_eq(node->role, MBJ_ROLE_INBOX);
	ck_assert(!node->is_selectable);
	ck_assert_uint_eq(node->uidvalidity, 7);
	/* RFC 9051 section 5.1: every case variant is INBOX. */
	ck_assert(mbj_bytes_equal(node->name.stored, mbj_bytes_str("INBOX")));
	mbj_jmap_list_free(&list);
}
END_TEST

/*
 * Goal: an import keeps MAILBOXIDs, gives fresh ones for all else, and says
 * which is which.
 * Method: a list with all three kinds of id; its changes, its map and the
 * printed document are compared.
 */
START_TEST(import_gives_fresh_ids)
{
	static const char json[] =
		"{\"list\":[{\"id\":\"x\",\"name\":\"a\",\"parentId\":"
		"\"000000000000000000000000000000AB\"},"
		"{\"id\":\"000000000000000000000000000000AB\","
		"\"name\":\"b\",\"parentId\":null},"
		"{\"name\":\"e\\u0301\",\"parentId\":\"x\"}]}";
	struct mbj_jmap_list *list = NULL;
	struct mbj_outcome outcome = {.new_state = {1},
				      .lsn = {1},
				      .account = lab_id(5),
				      .inbox = lab_id(6)};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_buf buf;
	struct mbj_bytes text;
	struct mbj_error err;
	struct mbj_id id;
	char wanted[1024], fresh[2][MBJ_ID_TEXT_SIZE];

	lab_ok(lab_list(json, MBJ_JMAP_IMPORT, map, NULL, &list, &err), err);
	mbj_jmap_list_fill(list, &edit);
	ck_assert_int_eq(edit.kind, MBJ_EDIT_IMPORT);
	ck_assert_uint_eq(edit.change_count, 3);
	ck_assert(mbj_id_equal(edit.changes[1].id, lab_id(0xab)));
	ck_assert(mbj_id_equal(edit.changes[0].parent, lab_id(0xab)));
	ck_assert(mbj_id_equal(edit.changes[2].parent, edit.changes[0].id));
	ck_assert_uint_eq(mbj_jmap_map_count(map), 1);
	mbj_jmap_map_get(map, 0, &id, &text);
	ck_assert(mbj_id_equal(id, edit.changes[0].id));
	ck_assert(mbj_bytes_equal(text, mbj_bytes_str("x")));
	ck_assert(!mbj_id_is_reserved(edit.changes[2].id));
	mbj_id_print(edit.changes[0].id, fresh[0]);
	mbj_id_print(edit.changes[2].id, fresh[1]);
	snprintf(wanted, sizeof(wanted),
		 "{\n\"schema\":\"mbj.import/1\",\n"
		 "\"accountId\":\"00000000000000000000000000000005\",\n"
		 "\"newState\":\"1\",\n\"lsn\":1,\n"
		 "\"inbox\":\"00000000000000000000000000000006\",\n"
		 "\"ids\":[\n{\"given\":\"x\",\"id\":\"%s\",\"name\":\"a\"},\n"
		 "{\"given\":null,\"id\":\"%s\",\"name\":\"\xc3\xa9\"}]}\n",
		 fresh[0], fresh[1]);
	mbj_buf_init(&buf, 4096);
	lab_ok(mbj_jmap_import_print(list, &outcome, &buf, &err), err);
	lab_same(lab_text(&buf), wanted);
	mbj_buf_done(&buf);
	mbj_jmap_list_free(&list);
}
END_TEST

/*
 * Goal: a list to reconcile with says what it says and no more.
 * Method: entries with and without each optional property; the has bits.  A
 * UIDVALIDITY is the account's own and counts in an import only.
 */
START_TEST(reconcile_keeps_what_is_not_said_unsaid)
{
	static const char json[] =
		"{\"list\":[{\"id\":\"" ID_A "\",\"name\":\"a\","
		"\"parentId\":null},{\"id\":\"" ID_B "\",\"name\":\"b\","
		"\"parentId\":\"" ID_A "\",\"role\":null,"
		"\"isSubscribed\":false,\"isSelectable\":true,"
		"\"uidValidity\":9}]}";
	const unsigned both = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
	struct mbj_jmap_list *list = NULL;
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_error err;

	lab_ok(lab_list(json, MBJ_JMAP_RECONCILE, NULL, NULL, &list, &err),
	       err);
	mbj_jmap_list_fill(list, &edit);
	ck_assert_int_eq(edit.kind, MBJ_EDIT_RECONCILE);
	ck_assert_uint_eq(edit.changes[0].has, both);
	ck_assert_uint_eq(edit.changes[1].has,
			  both | MBJ_CHANGE_HAS_ROLE |
				  MBJ_CHANGE_HAS_SUBSCRIBED |
				  MBJ_CHANGE_HAS_SELECTABLE);
	ck_assert(mbj_id_equal(edit.changes[0].id, lab_id(0xa01)));
	mbj_jmap_list_free(&list);
}
END_TEST

/*
 * Goal: what the list after leaves out is as it was before, and two lists of
 * one map mean the same mailbox by the same id.
 * Method: a base with every attribute, a list after with none.
 */
START_TEST(a_base_completes_the_tree)
{
	struct mbj_jmap_list *lists[2] = {NULL, NULL};
	const struct mbj_node *nodes[2];
	struct mbj_error err;

	lab_ok(lab_list("{\"list\":[{\"id\":\"x\",\"name\":\"a\","
			"\"parentId\":null,\"role\":\"junk\","
			"\"isSubscribed\":true,\"isSelectable\":false,"
			"\"uidValidity\":3}]}",
			MBJ_JMAP_PLAN, map, NULL, &lists[0], &err),
	       err);
	lab_ok(lab_list("{\"list\":[{\"id\":\"y\",\"name\":\"a\","
			"\"parentId\":null},{\"id\":\"x\",\"name\":\"b\","
			"\"parentId\":\"y\",\"isSubscribed\":false}]}",
			MBJ_JMAP_PLAN, map, mbj_jmap_list_tree(lists[0]),
			&lists[1], &err),
	       err);
	nodes[0] = mbj_tree_get(mbj_jmap_list_tree(lists[0]), 0);
	nodes[1] = mbj_tree_get(mbj_jmap_list_tree(lists[1]), 1);
	ck_assert(mbj_id_equal(nodes[0]->id, nodes[1]->id));
	ck_assert_uint_eq(nodes[1]->role, MBJ_ROLE_JUNK);
	ck_assert(!nodes[1]->is_subscribed);
	ck_assert(!nodes[1]->is_selectable);
	ck_assert_uint_eq(nodes[1]->uidvalidity, 3);
	nodes[0] = mbj_tree_get(mbj_jmap_list_tree(lists[1]), 0);
	ck_assert_uint_eq(nodes[0]->role, MBJ_ROLE_NONE);
	ck_assert(nodes[0]->is_selectable);
	mbj_jmap_list_free(&lists[0]);
	mbj_jmap_list_free(&lists[1]);
}
END_TEST

/* A chain of count mailboxes, the deepest first. */
static struct mbj_buf chain_make(uint32_t count)
{
	struct mbj_buf buf;
	struct mbj_error err;

	mbj_buf_init(&buf, 64 << 20);
	mbj_buf_put_str(&buf, "{\"list\":[");
	for (uint32_t i = count; i > 0; i--) {
		mbj_buf_format(&buf, "{\"id\":\"m%u\",\"name\":\"n\",", i);
		if (i == 1)
			mbj_buf_put_str(&buf, "\"parentId\":null}]}");
		else
			mbj_buf_format(&buf, "\"parentId\":\"m%u\"},", i - 1);
	}
	lab_ok(mbj_buf_ok(&buf, &err), err);
	return buf;
}

/*
 * Goal: depth is limited, exactly, and a deep list costs no stack.
 * Method: chains of the most levels, of one more, and of 100,000.
 */
START_TEST(depth_has_its_limit)
{
	static const uint32_t counts[] = {MBJ_DEPTH_MAX, MBJ_DEPTH_MAX + 1,
					  100000};

	for (size_t i = 0; i < 3; i++) {
		struct mbj_buf json = chain_make(counts[i]);
		struct mbj_jmap_list *list = NULL;
		struct mbj_error err;
		enum mbj_rc rc;

		rc = lab_list_bytes(mbj_buf_view(&json), MBJ_JMAP_PLAN, map,
				    &list, &err);
		ck_assert_int_eq(rc, i == 0 ? MBJ_OK : MBJ_EINVALID);
		if (i > 0) {
			ck_assert_int_eq(err.refusal,
					 MBJ_REFUSAL_INVALID_PROPERTIES);
			lab_has(err.message, "deeper than 4096");
			ck_assert_str_eq(err.subject_kind, "id");
			ck_assert_int_eq(err.subject[0], 'm');
		}
		mbj_jmap_list_free(&list);
		mbj_buf_done(&json);
	}
}
END_TEST

/* --------------------------------------------- parse(print(tree)) = tree */

/* One to six random characters of several scripts and planes. */
static size_t random_name(struct test_rng *rng, uint32_t number, char *name)
{
	static const char *const parts[] = {
		"a",
		"Z",
		"&",
		"\"",
		"\\",
		"e\xcc\x81",
		"\xc3\xa9",
		"\xe6\x97\xa5",
		"\xd0\x96",
		"\xf0\x9f\x93\xac",
		"\xd7\xa9",
		"\xe2\x80\x8d",
		"~",
		"#",
		"\xe2\x80\xae",
		"temp",
	};
	size_t n = 0;

	for (uint64_t k = test_rng_between(rng, 0, 5); k > 0; k--) {
		const char *part =
			parts[test_rng_below(rng,
					     sizeof(parts) / sizeof(parts[0]))];

		memcpy(name + n, part, strlen(part));
		n += strlen(part);
	}
	/* Different from its siblings. */
	return n + (size_t)snprintf(name + n, 16, "%u", number);
}

static struct mbj_tree *random_tree(struct test_rng *rng, uint32_t count)
{
	struct mbj_name_policy policy = MBJ_NAME_POLICY_DEFAULT;
	struct mbj_tree *tree = NULL;
	struct mbj_error err;

	lab_ok(mbj_tree_new(test_rng_next(rng), &tree, &err), err);
	for (uint32_t i = 0; i < count; i++) {
		struct mbj_node node = {
			.id = lab_id(i + 1),
			.parent = MBJ_NODE_ROOT,
			.uidvalidity = (uint32_t)test_rng_below(rng, 3),
			.role = (uint8_t)test_rng_below(rng, 11),
			.is_selectable = test_rng_chance(rng, 1, 2),
			.is_subscribed = test_rng_chance(rng, 1, 2),
		};
		struct mbj_arena *arena = mbj_tree_arena(tree);
		char name[64];
		uint32_t index;

		if (i > 0 && test_rng_chance(rng, 3, 4))
			node.parent = (uint32_t)test_rng_below(rng, i);
		lab_ok(mbj_name_make(&policy,
				     mbj_bytes_make(name,
						    random_name(rng, i, name)),
				     node.parent == MBJ_NODE_ROOT, arena,
				     &node.name, &err),
		       err);
		lab_ok(mbj_tree_add(tree, &node, &index, &err), err);
	}
	return tree;
}

static void same_trees(const struct mbj_tree *a, const struct mbj_tree *b)
{
	ck_assert_uint_eq(mbj_tree_live_count(a), mbj_tree_live_count(b));
	for (uint32_t i = 0; i < mbj_tree_size(a); i++) {
		const struct mbj_node *x = mbj_tree_get(a, i), *y;
		uint32_t at = mbj_tree_find(b, x->id);

		ck_assert_uint_ne(at, MBJ_NODE_NONE);
		y = mbj_tree_get(b, at);
		ck_assert(mbj_bytes_equal(x->name.stored, y->name.stored));
		ck_assert(mbj_bytes_equal(x->name.key, y->name.key));
		ck_assert_uint_eq(x->uidvalidity, y->uidvalidity);
		ck_assert_uint_eq(x->role, y->role);
		ck_assert_int_eq(x->is_selectable, y->is_selectable);
		ck_assert_int_eq(x->is_subscribed, y->is_subscribed);
		ck_assert_int_eq(x->parent == MBJ_NODE_ROOT,
				 y->parent == MBJ_NODE_ROOT);
		if (x->parent != MBJ_NODE_ROOT)
			ck_assert(mbj_id_equal(mbj_tree_get(a, x->parent)->id,
					       mbj_tree_get(b, y->parent)->id));
	}
}

/*
 * Goal: what is printed reads back as the same tree, parents first.
 * Method: random trees with names of many scripts, printed and parsed in the
 * modes that keep ids.
 */
START_TEST(parse_of_print_is_the_same)
{
	struct test_rng rng;
	struct mbj_buf buf;

	(void)test_rng_seed(&rng);
	mbj_buf_init(&buf, 1 << 20);
	for (int round = 0; round < 200; round++) {
		uint32_t count = (uint32_t)test_rng_below(&rng, 40);
		struct mbj_tree *tree = random_tree(&rng, count);
		struct mbj_jmap_list *list = NULL;
		enum mbj_jmap_mode mode =
			round % 2 ? MBJ_JMAP_IMPORT : MBJ_JMAP_RECONCILE;
		const struct mbj_tree *read;
		struct mbj_error err;

		mbj_buf_clear(&buf);
		lab_ok(mbj_jmap_tree_print(tree, mbj_bytes_str("alice"),
					   (struct mbj_lsn){3}, NULL, &buf,
					   &err),
		       err);
		lab_ok(lab_list_bytes(mbj_buf_view(&buf), mode, map, &list,
				      &err),
		       err);
		read = mbj_jmap_list_tree(list);
		same_trees(tree, read);
		for (uint32_t i = 0; i < count; i++)
			ck_assert(mbj_tree_get(read, i)->parent ==
					  MBJ_NODE_ROOT ||
				  mbj_tree_get(read, i)->parent < i);
		mbj_jmap_list_free(&list);
		mbj_tree_free(&tree);
	}
	mbj_buf_done(&buf);
}
END_TEST

/*
 * Goal: the printed form is the one that is documented.
 * Method: a golden, with given ids and with MAILBOXIDs.
 */
START_TEST(the_tree_document_is_golden)
{
	struct mbj_jmap_list *list = NULL;
	struct mbj_buf buf;
	struct mbj_error err;

	lab_ok(lab_list("{\"list\":[{\"id\":\"y\",\"name\":\"b\\u202e\","
			"\"parentId\":\"x\",\"uidValidity\":4},"
			"{\"id\":\"x\",\"name\":\"a\",\"parentId\":null,"
			"\"role\":\"sent\",\"isSubscribed\":true,"
			"\"isSelectable\":false}]}",
			MBJ_JMAP_PLAN, map, NULL, &list, &err),
	       err);
	mbj_buf_init(&buf, 4096);
	lab_ok(mbj_jmap_tree_print(mbj_jmap_list_tree(list),
				   mbj_bytes_str("al\"ice"),
				   (struct mbj_lsn){12}, map, &buf, &err),
	       err);
	lab_same(lab_text(&buf),
		 "{\n\"schema\":\"mbj.tree/1\",\n\"accountId\":\"al\\\"ice\",\n"
		 "\"state\":\"12\",\n\"list\":[\n"
		 "{\"id\":\"x\",\"name\":\"a\",\"parentId\":null,"
		 "\"role\":\"sent\",\"isSubscribed\":true,"
		 "\"isSelectable\":false,\"uidValidity\":null},\n"
		 "{\"id\":\"y\",\"name\":\"b\\u202e\",\"parentId\":\"x\","
		 "\"role\":null,\"isSubscribed\":false,"
		 "\"isSelectable\":true,\"uidValidity\":4}],\n"
		 "\"notFound\":[]}\n");
	mbj_buf_clear(&buf);
	lab_ok(mbj_jmap_tree_print(mbj_jmap_list_tree(list), mbj_bytes_str("a"),
				   (struct mbj_lsn){0}, NULL, &buf, &err),
	       err);
	lab_has(lab_text(&buf),
		"\"id\":\"00000000000000000000000000000002\",\"name\":\"a\"");
	mbj_buf_done(&buf);
	mbj_jmap_list_free(&list);
}
END_TEST

TCase *test_jmap_list_case(void)
{
	TCase *tc = tcase_create("jmap_list");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_servers_answer_is_read);
	tcase_add_test(tc, import_gives_fresh_ids);
	tcase_add_test(tc, reconcile_keeps_what_is_not_said_unsaid);
	tcase_add_test(tc, a_base_completes_the_tree);
	tcase_add_test(tc, depth_has_its_limit);
	tcase_add_test(tc, parse_of_print_is_the_same);
	tcase_add_test(tc, the_tree_document_is_golden);
	return tc;
}
