/*
 * Tests of documents when memory runs out: every single allocation of the
 * library fails once; what comes is MBJ_ENOMEM, no leak and no crash.
 */
#include "jmap_lab.h"

/* Lists, their plan and its forms; the code of what failed first. */
static enum mbj_rc run_lists(struct mbj_error *err)
{
	static const char list_json[] =
		"{\"list\":[{\"id\":\"x\",\"name\":\"e\\u0301\",\"parentId\":"
		"null,\"isSubscribed\":true},{\"id\":\"y\",\"name\":\"b\","
		"\"parentId\":\"x\"}]}";
	static const char after_json[] =
		"{\"list\":[{\"id\":\"y\",\"name\":\"e\\u0301\",\"parentId\":"
		"null},{\"id\":\"x\",\"name\":\"b\",\"parentId\":\"y\"}]}";
	struct mbj_plan_options plan_options = MBJ_PLAN_OPTIONS_DEFAULT;
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;
	struct mbj_jmap_map *map = NULL;
	struct mbj_jmap_list *lists[2] = {NULL, NULL};
	struct mbj_jmap_plan *shown = NULL;
	struct mbj_diff diff = {.count = 0};
	struct mbj_plan plan = {.count = 0};
	struct mbj_buf buf;
	enum mbj_rc rc;

	mbj_buf_init(&buf, 1 << 20);
	options.sys = mbj_sys_posix();
	options.mode = MBJ_JMAP_PLAN;
	rc = mbj_jmap_map_new(options.sys, &map, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_list_parse(mbj_bytes_str(list_json), &options,
					 map, &lists[0], err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_list_parse(mbj_bytes_str(after_json), &options,
					 map, &lists[1], err);
	if (rc == MBJ_OK)
		rc = mbj_diff_make(mbj_jmap_list_tree(lists[0]),
				   mbj_jmap_list_tree(lists[1]), &diff, err);
	if (rc == MBJ_OK)
		rc = mbj_plan_make(&diff, &plan_options, &plan, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_make(mbj_jmap_list_tree(lists[0]),
					mbj_jmap_list_tree(lists[1]), &diff,
					&plan, map, '/', &shown, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_print(shown, &buf, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_text(shown, &buf, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_dot(shown, &buf, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_tree_print(mbj_jmap_list_tree(lists[0]),
					 mbj_bytes_str("a"),
					 (struct mbj_lsn){1}, map, &buf, err);
	mbj_buf_done(&buf);
	mbj_jmap_plan_free(&shown);
	mbj_plan_done(&plan);
	mbj_diff_done(&diff);
	mbj_jmap_list_free(&lists[0]);
	mbj_jmap_list_free(&lists[1]);
	mbj_jmap_map_free(&map);
	return rc;
}

/* A request, its answer, and the group behind it in each form. */
static enum mbj_rc run_set(const struct mbj_outcome *outcome,
			   struct mbj_error *err)
{
	static const char json[] =
		"{\"accountId\":\"a\",\"create\":{\"k\":{\"name\":\"n\"},"
		"\"l\":{\"x\":1,\"y\":2,\"z\":3,\"parentId\":\"#k\"},"
		"\"m\":{\"name\":\"m\",\"parentId\":\"#l\"}},\"update\":{"
		"\"00000000000000000000000000000001\":{\"name\":\"p\"}},"
		"\"destroy\":[\"q\"]}";
	struct mbj_jmap_set *set = NULL;
	struct mbj_jmap_plan *plan = NULL;
	struct mbj_group group;
	struct mbj_buf buf;
	enum mbj_rc rc;

	mbj_buf_init(&buf, 1 << 20);
	rc = mbj_jmap_set_parse(mbj_bytes_str(json), MBJ_JMAP_INPUT_MAX,
				mbj_sys_posix(), &set, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_set_print(set, mbj_bytes_str("a"), outcome, &buf,
					err);
	if (rc == MBJ_OK)
		rc = mbj_group_parse(mbj_buf_view(&outcome->record), &group,
				     err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_log_group(&group, true, &buf, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_load(outcome, NULL, '/', &plan, err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_text(plan, &buf, err);
	mbj_jmap_plan_free(&plan);
	mbj_jmap_set_free(&set);
	mbj_buf_done(&buf);
	return rc;
}

/*
 * Goal: no allocation is forgotten.
 * Method: fail the k-th for k = 1, 2 .. until none is left to fail.
 */
START_TEST(every_allocation_may_fail)
{
	struct mbj_op op = {.kind = MBJ_OP_MAILBOX_MOVE,
			    .id = lab_id(1),
			    .rev = 1,
			    .from = {MBJ_ID_ROOT,
				     {mbj_bytes_str("o"), mbj_bytes_str("o")}},
			    .to = {MBJ_ID_ROOT,
				   {mbj_bytes_str("p"), mbj_bytes_str("p")}}};
	struct mbj_outcome outcome;
	struct mbj_error err;
	enum mbj_rc rc;

	lab_outcome_init(&outcome, &op, 1);
	for (int which = 0; which < 2; which++) {
		for (uint64_t k = 1;; k++) {
			uint64_t made;

			test_alloc_fail_at(k);
			rc = which == 0 ? run_lists(&err)
					: run_set(&outcome, &err);
			made = test_alloc_count();
			test_alloc_fail_at(0);
			if (made < k)
				break;
			ck_assert_msg(rc == MBJ_ENOMEM, "k=%d: %s", (int)k,
				      mbj_rc_name(rc));
		}
		lab_ok(rc, err);
	}
	mbj_buf_done(&outcome.record);
}
END_TEST

TCase *test_jmap_memory_case(void)
{
	TCase *tc = tcase_create("jmap_memory");

	tcase_add_test(tc, every_allocation_may_fail);
	return tc;
}
