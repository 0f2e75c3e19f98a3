/*
 * Children on the disk in memory: what fault_child.h promises, and what the
 * disk has below Berkeley DB.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault_child.h"
#include "fault_lab.h"

enum { FAILED_OPENS = 24 };

static void lab_begin(struct fault_lab *lab)
{
	memset(lab, 0, sizeof(*lab));
	lab->root = test_tmpdir_new();
	lab->options = MBJ_STORE_OPTIONS_INIT;
	lab->disk = disk_new(lab->root, 1);
	lab->options.sys = disk_sys(lab->disk);
	(void)disk_db_use(lab->disk);
	SITE_OK(mbj_path_join(lab->primary, lab->root, "primary", err));
	SITE_OK(mbj_store_init(lab->primary, MBJ_STORE_PRIMARY, &lab->options,
			       err));
}

static void lab_end(struct fault_lab *lab)
{
	(void)disk_db_use(NULL);
	disk_free(&lab->disk);
	test_tmpdir_free(&lab->root);
}

/* Without the store, which would make it anew. */
static enum mbj_rc state_open(struct fault_lab *lab, struct mbj_error *err)
{
	struct mbj_state *state = NULL;
	struct mbj_identity identity;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_identity_load(lab->options.sys, lab->primary, &identity, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(path, lab->primary, "state", err);
	if (rc == MBJ_OK)
		rc = mbj_state_open(lab->options.sys, path, identity.lineage,
				    &lab->options.state, &state, err);
	mbj_state_close(&state);
	return rc;
}

static void child_open(void *context)
{
	struct mbj_error err = {.rc = MBJ_OK};

	if (state_open(context, &err) != MBJ_OK) {
		printf("in a child: %s\n", err.message);
		fflush(stdout);
		_exit(1);
	}
}

/* An opening that ends early. */
static void state_open_failing(struct fault_lab *lab, uint64_t at)
{
	const struct disk_fault fault = {DISK_CALL_OPEN, at, EIO, true};
	struct mbj_error err = {.rc = MBJ_OK};

	disk_fail(lab->disk, &fault);
	ck_assert_int_ne(state_open(lab, &err), MBJ_OK);
	disk_fail(lab->disk, &(struct disk_fault){.calls = 0});
}

/*
 * Goal: what a child reads is not read for its parent, nor for the next child.
 * Method: each in turn opens the same state, after an opening that failed
 * somewhere, so that descriptors are in several ways of use.
 */
START_TEST(children_are_alone)
{
	static struct fault_lab lab;

	lab_begin(&lab);
	for (uint64_t at = 1; at <= FAILED_OPENS; at++) {
		state_open_failing(&lab, at);
		ck_assert_int_eq(fault_child_run(child_open, &lab),
				 FAULT_CHILD_DONE);
		ck_assert_int_eq(fault_child_run(child_open, &lab),
				 FAULT_CHILD_DONE);
		SITE_OK(state_open(&lab, err));
	}
	lab_end(&lab);
}
END_TEST

static TCase *test_child_case(void)
{
	TCase *tc = tcase_create("child");

	tcase_add_test(tc, children_are_alone);
	return tc;
}

int main(void)
{
	static const test_case_fn cases[] = {test_child_case};

	return test_run("child", cases, 1);
}
