/*
 * Random edits of metadata between renames, deletes and creates, against a
 * naive model; then all groups onto a second replica, twice.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/attribute.h>

#include "edit_lab.h"
#include "journal_cases.h"

enum {
	ROUNDS = 60,
	RUNS = 5,
	BOXES = 8,
	NAMES = 5,
	PATHS = 6,
	STEPS_MAX = 6,
	RIGHT_COUNT = 11,
};

/* A right is a bit; 0 is no entry. */
struct model_box {
	bool is_live;
	unsigned rights[NAMES];
	char values[NAMES]; /* of entries, '\0' for none */
};

struct model {
	struct model_box boxes[BOXES];
	struct model_box own; /* entries of the account */
	bool subscribed[PATHS];
	uint64_t messages, size;
};

static struct edit_lab lab;
static struct test_rng rng;
static const char rights_order[] = "lrswipkxtea";
static const char *const identifiers[NAMES] = {"ann", "bob", "-bob", "anyone",
					       "\xc3\xa9"};
static const char *const entries[NAMES] = {"/private/comment",
					   "/shared/comment", "/shared/a",
					   "/shared/a/b", "/private/vendor/x"};
static const char *const paths[PATHS] = {"n0",	 "n1", "n0/x",
					 "n1/x", "q",  "q/x"};

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	(void)test_rng_seed(&rng);
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

static unsigned below(unsigned bound)
{
	return (unsigned)test_rng_below(&rng, bound);
}

static struct mbj_id box_id(unsigned generation, unsigned box)
{
	char tag[16];

	(void)snprintf(tag, sizeof(tag), "g%u-%u", generation, box);
	return edit_lab_id(tag);
}

/* ----------------------------------------------------------------- steps */

/* What a step borrows. */
struct scratch {
	char rights[2 * RIGHT_COUNT + 1];
	char name[64];
	char value;
};

static struct mbj_metadata_edit random_acl(struct model_box *box,
					   struct scratch *scratch)
{
	unsigned who = below(NAMES), given = 0;
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ACL};
	size_t n = below(RIGHT_COUNT);

	for (size_t i = 0; i < n; i++) {
		unsigned right = below(RIGHT_COUNT);

		given |= 1u << right;
		scratch->rights[i] = rights_order[right];
	}
	step.name = mbj_bytes_str(identifiers[who]);
	step.value = mbj_bytes_make(scratch->rights, n);
	step.mode = (enum mbj_rights_mode)below(3);
	step.is_removed = below(6) == 0;
	if (step.is_removed)
		box->rights[who] = 0;
	else if (step.mode == MBJ_RIGHTS_REPLACE)
		box->rights[who] = given;
	else if (step.mode == MBJ_RIGHTS_ADD)
		box->rights[who] |= given;
	else
		box->rights[who] &= ~given;
	return step;
}

static struct mbj_metadata_edit random_entry(struct model_box *box,
					     struct scratch *scratch)
{
	unsigned which = below(NAMES);
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_ENTRY};

	(void)snprintf(scratch->name, sizeof(scratch->name), "%s",
		       entries[which]);
	if (below(2) == 0)
		scratch->name[1] = (char)(scratch->name[1] - 'a' + 'A');
	scratch->value = (char)('a' + below(3));
	step.name = mbj_bytes_str(scratch->name);
	step.value = mbj_bytes_make(&scratch->value, 1);
	step.is_removed = below(3) == 0;
	box->values[which] = step.is_removed ? '\0' : scratch->value;
	return step;
}

static struct mbj_metadata_edit
random_step(struct model *model, unsigned generation, struct scratch *scratch)
{
	struct mbj_metadata_edit step = {.kind = MBJ_METADATA_QUOTA};
	unsigned kind = below(7), box = below(BOXES), path = below(PATHS);

	while (!model->boxes[box].is_live)
		box = below(BOXES);
	if (kind < 2) {
		step = random_acl(&model->boxes[box], scratch);
	} else if (kind < 4) {
		step = random_entry(&model->boxes[box], scratch);
	} else if (kind == 4) {
		step = random_entry(&model->own, scratch);
		step.kind = MBJ_METADATA_ACCOUNT_ENTRY;
	} else if (kind == 5) {
		model->subscribed[path] = below(2) == 0;
		step.kind = model->subscribed[path] ? MBJ_METADATA_SUBSCRIBE
						    : MBJ_METADATA_UNSUBSCRIBE;
		step.name = mbj_bytes_str(paths[path]);
	} else {
		step.has = below(4);
		step.quota_messages = below(3);
		step.quota_size = below(3);
		if (step.has & MBJ_METADATA_HAS_MESSAGES)
			model->messages = step.quota_messages;
		if (step.has & MBJ_METADATA_HAS_SIZE)
			model->size = step.quota_size;
	}
	step.mailbox = box_id(generation, box);
	return step;
}

static void run_metadata(struct model *model, const char *account,
			 unsigned generation)
{
	struct mbj_metadata_edit steps[STEPS_MAX];
	struct scratch scratches[STEPS_MAX];
	size_t count = 1 + below(STEPS_MAX);

	for (size_t i = 0; i < count; i++)
		steps[i] = random_step(model, generation, &scratches[i]);
	EDIT_LAB_OK(&lab, edit_lab_metadata(&lab, account, steps, count));
}

/* ------------------------------------------------------------- mailboxes */

static struct mbj_change change_of(enum mbj_change_kind kind,
				   unsigned generation, unsigned box)
{
	return (struct mbj_change){.kind = kind, .id = box_id(generation, box)};
}

/* Two mailboxes exchange their names, one goes, or one that is gone is new. */
static void run_set(struct model *model, const char *account,
		    unsigned generation, char names[BOXES][8])
{
	unsigned one = below(BOXES), two = below(BOXES), live = 0;
	struct mbj_change changes[2];
	struct mbj_edit edit = MBJ_EDIT_INIT;
	size_t count = 1;
	char swap[8];

	for (unsigned i = 0; i < BOXES; i++)
		live += model->boxes[i].is_live;
	changes[0] = change_of(MBJ_CHANGE_DESTROY, generation, one);
	if (!model->boxes[one].is_live)
		return;
	if (one != two && model->boxes[two].is_live) {
		memcpy(swap, names[one], sizeof(swap));
		memcpy(names[one], names[two], sizeof(swap));
		memcpy(names[two], swap, sizeof(swap));
		changes[0] = change_of(MBJ_CHANGE_UPDATE, generation, one);
		changes[1] = change_of(MBJ_CHANGE_UPDATE, generation, two);
		changes[0].has = changes[1].has = MBJ_CHANGE_HAS_NAME;
		changes[0].name = mbj_bytes_str(names[one]);
		changes[1].name = mbj_bytes_str(names[two]);
		count = 2;
	} else if (live > 2) {
		model->boxes[one] = (struct model_box){.is_live = false};
	} else {
		return;
	}
	edit.kind = MBJ_EDIT_SET;
	edit.account = mbj_bytes_str(account);
	edit.changes = changes;
	edit.change_count = count;
	edit.is_subscription_kept = true;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	ck_assert_uint_eq(lab.outcome.refused_count, 0);
}

static void run_account_rename(char account[16])
{
	struct mbj_rename rename = {.target = {NULL, 0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	char to[16];

	(void)snprintf(to, sizeof(to), "u%u", below(1000000));
	rename.target = mbj_bytes_str(to);
	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = mbj_bytes_str(account);
	edit.renames = &rename;
	edit.rename_count = 1;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
	memcpy(account, to, sizeof(to));
}

static void import(struct model *model, const char *account,
		   unsigned generation, char names[BOXES][8])
{
	struct mbj_change changes[BOXES] = {{0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;

	memset(model, 0, sizeof(*model));
	for (unsigned i = 0; i < BOXES; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "n%u", i);
		model->boxes[i].is_live = true;
		changes[i] = change_of(MBJ_CHANGE_CREATE, generation, i);
		changes[i].has = MBJ_CHANGE_HAS_NAME;
		changes[i].name = mbj_bytes_str(names[i]);
	}
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(account);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = BOXES;
	EDIT_LAB_OK(&lab, edit_lab_run(&lab, &edit));
}

/* ---------------------------------------------------------------- compare */

/* What the model expects of one attribute, "" for none. */
static void expected_of(const struct model_box *box, unsigned kind,
			unsigned which, char text[RIGHT_COUNT + 1])
{
	size_t n = 0;

	if (kind == MBJ_ATTR_METADATA && box->values[which] != '\0')
		text[n++] = box->values[which];
	for (unsigned i = 0; kind == MBJ_ATTR_ACL && i < RIGHT_COUNT; i++)
		if (box->rights[which] & 1u << i)
			text[n++] = rights_order[i];
	text[n] = '\0';
}

static unsigned compare_box(struct mbj_txn *txn, struct mbj_id account,
			    const struct model_box *box, struct mbj_id id)
{
	unsigned count = 0;

	for (unsigned kind = MBJ_ATTR_ACL; kind <= MBJ_ATTR_METADATA; kind++)
		for (unsigned i = 0; i < NAMES; i++) {
			const char *name = kind == MBJ_ATTR_ACL ? identifiers[i]
								: entries[i];
			char text[RIGHT_COUNT + 1];
			struct mbj_bytes value = {NULL, 0};
			bool is_found;

			expected_of(box, kind, i, text);
			LAB_OK(mbj_txn_attr_seek(txn, account, id,
						 (uint8_t)kind,
						 mbj_bytes_str(name), &value,
						 &is_found, err));
			ck_assert_int_eq(is_found, text[0] != '\0');
			ck_assert(mbj_bytes_equal(value, mbj_bytes_str(text)));
			count += is_found;
		}
	return count;
}

static void compare(const struct model *model, const char *name,
		    unsigned generation)
{
	struct mbj_account account = edit_lab_account(&lab, name);
	struct mbj_scan scan = {0};
	struct mbj_attr attr;
	unsigned count = 0, subscribed = 0;

	for (unsigned i = 0; i < BOXES; i++)
		count += compare_box(lab.txns[1], account.id, &model->boxes[i],
				     box_id(generation, i));
	count += compare_box(lab.txns[1], account.id, &model->own, MBJ_ID_ROOT);
	LAB_OK(mbj_scan_account_attrs(lab.txns[1], account.id, &scan, err));
	while (mbj_scan_next_attr(&scan, &attr, NULL) == MBJ_OK)
		count--;
	mbj_scan_done(&scan);
	ck_assert_uint_eq(count, 0);
	for (unsigned i = 0; i < PATHS; i++)
		subscribed += model->subscribed[i];
	ck_assert_uint_eq(account.subscription_count, subscribed);
	ck_assert_uint_eq(account.quota_messages, model->messages);
	ck_assert_uint_eq(account.quota_size, model->size);
}

/* ----------------------------------------------------------------- replay */

/* All groups onto a state, from the first; how many were there already. */
static unsigned replay(struct mbj_txn *txn, struct mbj_bytes records)
{
	struct mbj_apply_report report;
	struct mbj_group group;
	unsigned already = 0;

	while (records.n > 0) {
		LAB_OK(mbj_group_parse(records, &group, err));
		LAB_OK(mbj_apply_group(txn, &group, &report, err));
		ck_assert_int_le(report.verdict, MBJ_VERDICT_ALREADY);
		already += report.verdict == MBJ_VERDICT_ALREADY;
		records.p += group.record.n;
		records.n -= group.record.n;
	}
	return already;
}

static void replay_twice(struct mbj_bytes records, unsigned groups,
			 const char *name)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_account account = edit_lab_account(&lab, name);
	struct mbj_id lineage = {{0xed}};
	char *home = test_path_dup(lab.dir, "twice");
	struct mbj_state *state = NULL;
	struct mbj_txn *txn = NULL;
	struct mbj_digest digest;

	options.engine = MBJ_STATE_MEMORY;
	LAB_OK(mbj_state_open(mbj_sys_posix(), home, lineage, &options, &state,
			      err));
	LAB_OK(mbj_txn_begin(state, &txn, err));
	for (unsigned i = 0; i < 2; i++) {
		ck_assert_uint_eq(replay(txn, records), i * groups);
		LAB_OK(mbj_txn_account_check(txn, account.id, &digest, err));
		ck_assert(mbj_digest_equal(&digest, &account.digest));
	}
	mbj_txn_abort(&txn);
	mbj_state_close(&state);
	free(home);
}

/*
 * Goal: steps do what the model says whatever happens to mailboxes and account
 * between them, and a replica comes to the same from the groups, once.
 */
START_TEST(model_runs)
{
	char account[16] = "u", names[BOXES][8];
	struct mbj_buf records;
	unsigned generation = (unsigned)_i, groups = 0;
	struct model model;

	mbj_buf_init(&records, 64u << 20);
	import(&model, account, generation, names);
	for (int round = 0; round < ROUNDS; round++) {
		unsigned kind;

		groups += lab.record.n > 0;
		mbj_buf_put_bytes(&records, mbj_buf_view(&lab.record));
		mbj_buf_clear(&lab.record);
		kind = below(10);
		if (kind == 0)
			run_account_rename(account);
		else if (kind < 4)
			run_set(&model, account, generation, names);
		else
			run_metadata(&model, account, generation);
		compare(&model, account, generation);
	}
	groups += lab.record.n > 0;
	mbj_buf_put_bytes(&records, mbj_buf_view(&lab.record));
	ck_assert_int_eq(records.failed, MBJ_OK);
	ck_assert_uint_gt(groups, ROUNDS / 3);
	replay_twice(mbj_buf_view(&records), groups, account);
	mbj_buf_done(&records);
}
END_TEST

TCase *test_edit_metadata_model_case(void)
{
	TCase *tc = tcase_create("edit_metadata_model");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, model_runs, 0, RUNS);
	return tc;
}
