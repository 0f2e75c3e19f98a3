/*
 * The plugin's steps, where a real Dovecot would take minutes to ask for them.
 */
#include <mbj/message.h>

#include "content.h"
#include "support.h"

/*
 * Goal: however many UIDs in a row change in one way are one step, and no more
 * memory.  Method: more than fit into what the steps may take at 8 bytes each;
 * then one that is not the next.
 */
START_TEST(content_run)
{
	const uint32_t last = (1U << 20) + 1;
	struct account account = {.name = "a"};
	struct content content;
	struct mbj_uid_range range;
	struct mbj_error err;
	enum mbj_rc rc = MBJ_OK;

	content_init(&content, &account);
	for (uint32_t uid = 1; rc == MBJ_OK && uid <= last; uid++)
		rc = content_expunge(&content, uid, &err);
	ck_assert_int_eq(rc, MBJ_OK);
	ck_assert_uint_eq(content.step_count, 1);
	range = mbj_uids_get(content.steps[0].uids, 0);
	ck_assert_uint_eq(range.first, 1);
	ck_assert_uint_eq(range.last, last);
	rc = content_expunge(&content, last + 2, &err);
	ck_assert_int_eq(rc, MBJ_OK);
	ck_assert_uint_eq(content.step_count, 2);
	range = mbj_uids_get(content.steps[0].uids, 0);
	ck_assert_uint_eq(range.last, last);
	range = mbj_uids_get(content.steps[1].uids, 0);
	ck_assert_uint_eq(range.first, last + 2);
	content_done(&content);
}
END_TEST

static TCase *content_case(void)
{
	TCase *cases = tcase_create("content");

	tcase_add_test(cases, content_run);
	return cases;
}

int main(void)
{
	static const test_case_fn cases[] = {content_case};

	return test_run("dovecot", cases, sizeof(cases) / sizeof(cases[0]));
}
