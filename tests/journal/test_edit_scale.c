/*
 * Tests of what edits cost: a small one reads little, a large one is decided
 * in one go, however its changes stand to each other.
 */
#include <stdio.h>
#include <stdlib.h>

#include "edit_lab.h"
#include "edit_view.h"
#include "journal_cases.h"

enum { MANY = 10000 };

static struct edit_lab lab;

static void setup(void)
{
	edit_lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
}

static void teardown(void)
{
	edit_lab_end(&lab);
}

/* Changes and the bytes they borrow. */
struct bulk {
	struct mbj_change *changes;
	char (*names)[16];
	size_t count;
};

static struct bulk bulk_new(size_t count)
{
	struct bulk bulk;

	bulk.changes = calloc(count, sizeof(*bulk.changes));
	bulk.names = calloc(count, sizeof(*bulk.names));
	bulk.count = count;
	ck_assert_ptr_nonnull(bulk.changes);
	ck_assert_ptr_nonnull(bulk.names);
	return bulk;
}

static void bulk_free(struct bulk *bulk)
{
	free(bulk->changes);
	free(bulk->names);
}

static struct mbj_id number_id(unsigned number)
{
	char tag[16];

	(void)snprintf(tag, sizeof(tag), "m%u", number);
	return edit_lab_id(tag);
}

/* The i-th change puts mailbox number under parent, with the name "m<name>". */
static void bulk_put(struct bulk *bulk, size_t i, enum mbj_change_kind kind,
		     unsigned number, struct mbj_id parent, unsigned name)
{
	struct mbj_change *change = &bulk->changes[i];

	ck_assert_uint_lt(i, bulk->count);
	(void)snprintf(bulk->names[i], sizeof(*bulk->names), "m%u", name);
	change->kind = kind;
	change->id = number_id(number);
	change->has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT;
	change->parent = parent;
	change->name = mbj_bytes_str(bulk->names[i]);
}

static enum mbj_rc bulk_run(struct bulk *bulk, enum mbj_edit_kind kind)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = kind;
	edit.account = mbj_bytes_str("u");
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = bulk->changes;
	edit.change_count = bulk->count;
	return edit_lab_run(&lab, &edit);
}

/* Import m0 .. of count mailboxes, flat, or each below the one before. */
static void import(unsigned count, bool is_chain)
{
	struct bulk bulk = bulk_new(count);

	for (unsigned i = 0; i < count; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_CREATE, i,
			 is_chain && i > 0 ? number_id(i - 1) : MBJ_ID_ROOT, i);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_IMPORT));
	bulk_free(&bulk);
}

/* ----------------------------------------------------------------- small */

/*
 * A view holds what was asked for and its ancestors, nothing else.  Ask for a
 * mailbox, a slot and the children of another in an account of many.
 */
START_TEST(view)
{
	struct mbj_account account;
	struct edit_view v;
	uint32_t deep, index;
	bool is_dead;

	import(1000, false);
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u",
				       "+a:m7/a +b:a/b +c:b/c +d:m7/d +e:m7/e "
				       "+f:m8/f"));
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", "-f"));
	account = edit_lab_account(&lab, "u");
	LAB_OK(edit_view_init(&v, lab.txns[0], account.id, 1, err));
	LAB_OK(edit_view_mailbox(&v, edit_lab_id("c"), &deep, err));
	ck_assert_uint_eq(mbj_tree_size(v.tree), 4);
	ck_assert_uint_eq(mbj_tree_depth(v.tree, deep), 4);
	LAB_OK(edit_view_mailbox(&v, edit_lab_id("c"), &index, err));
	ck_assert_uint_eq(index, deep);
	LAB_OK(edit_view_mailbox(&v, edit_lab_id("nobody"), &index, err));
	ck_assert_uint_eq(index, MBJ_NODE_NONE);
	LAB_OK(edit_view_mailbox(&v, MBJ_ID_TEMP, &index, err));
	ck_assert_uint_eq(index, MBJ_NODE_NONE);
	LAB_OK(edit_view_slot(&v, deep, mbj_bytes_str("x"), &index, err));
	ck_assert_uint_eq(index, MBJ_NODE_NONE);
	LAB_OK(edit_view_slot(&v, MBJ_NODE_ROOT, mbj_bytes_str("m9"), &index,
			      err));
	ck_assert(mbj_id_equal(mbj_tree_get(v.tree, index)->id, number_id(9)));
	ck_assert_uint_eq(mbj_tree_size(v.tree), 5);
	/* Of m7's children a is known; d is the first that is not. */
	index = mbj_tree_find(v.tree, number_id(7));
	LAB_OK(edit_view_stranger(&v, index, err));
	ck_assert_uint_eq(mbj_tree_size(v.tree), 6);
	ck_assert_uint_ne(mbj_tree_find(v.tree, edit_lab_id("d")),
			  MBJ_NODE_NONE);
	LAB_OK(edit_view_stranger(&v, deep, err));
	ck_assert_uint_eq(mbj_tree_size(v.tree), 6);
	LAB_OK(edit_view_is_dead(&v, edit_lab_id("f"), &is_dead, err));
	ck_assert(is_dead);
	LAB_OK(edit_view_is_dead(&v, edit_lab_id("d"), &is_dead, err));
	ck_assert(!is_dead);
	LAB_OK(mbj_tree_check(v.tree, err));
	edit_view_done(&v);
}
END_TEST

/* Allocations that one rename in an account of count mailboxes takes. */
static uint64_t rename_cost(unsigned count)
{
	import(count, false);
	EDIT_LAB_OK(&lab, edit_lab_rename(&lab, "u", "m3>x/y"));
	return lab.allocations;
}

/*
 * One rename costs the same whatever else the account holds.  Count its
 * allocations, of which reading a mailbox takes some, in a small and in a
 * large account.
 */
START_TEST(small)
{
	uint64_t few = rename_cost(10), many;

	edit_lab_end(&lab);
	edit_lab_begin(&lab, MBJ_STATE_BERKELEY_DB);
	many = rename_cost(3000);
	ck_assert_uint_gt(few, 0);
	ck_assert_uint_le(many, few + few / 4);
}
END_TEST

/*
 * Allocations that a state which has read nothing yet takes to give mailbox
 * number another name where it is: what it reads is kept.
 */
static uint64_t name_cost(unsigned number, unsigned parent)
{
	struct mbj_state_options options = MBJ_STATE_OPTIONS_DEFAULT;
	struct mbj_id account = edit_lab_account(&lab, "u").id;
	struct mbj_id lineage = {{0xed}};
	struct mbj_txn **txn = &lab.txns[1];
	struct mbj_slot from, to;
	char *home = test_path_dup(lab.dir, "replica");
	char name[16];

	(void)snprintf(name, sizeof(name), "m%u", number);
	from.parent = to.parent = number_id(parent);
	from.name.stored = from.name.key = mbj_bytes_str(name);
	to.name.stored = to.name.key = mbj_bytes_str("other");
	LAB_OK(mbj_txn_commit(txn, err));
	mbj_state_close(&lab.states[1]);
	LAB_OK(mbj_state_open(mbj_sys_posix(), home, lineage, &options,
			      &lab.states[1], err));
	LAB_OK(mbj_txn_begin(lab.states[1], txn, err));
	test_alloc_fail_at(0);
	LAB_OK(mbj_txn_mailbox_move(*txn, account, number_id(number), 1, &from,
				    &to, 0, err));
	free(home);
	return test_alloc_count();
}

/*
 * A replica gives a mailbox another name at the same cost however deep it is:
 * a tree below a long chain may have all of its names changed in one group.
 * Count the allocations near the top of a chain and far below it, of mailboxes
 * that have something below themselves.
 */
START_TEST(deep_name)
{
	enum { DEPTH = 1000 };
	uint64_t high, low;

	import(DEPTH, true);
	high = name_cost(1, 0);
	low = name_cost(DEPTH - 2, DEPTH - 3);
	ck_assert_uint_gt(high, 0);
	ck_assert_uint_le(low, high + high / 4);
}
END_TEST

/* ----------------------------------------------------------------- large */

/*
 * Ten thousand mailboxes exchange their names in one circle: one is parked.
 * Rotate them all.
 */
START_TEST(circle)
{
	struct bulk bulk = bulk_new(MANY);

	import(MANY, false);
	for (unsigned i = 0; i < MANY; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_UPDATE, i, MBJ_ID_ROOT,
			 (i + 1) % MANY);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, 0);
	ck_assert_uint_eq(lab.outcome.parks, 1);
	ck_assert_uint_eq(lab.outcome.lower_bound, MANY);
	bulk_free(&bulk);
}
END_TEST

/*
 * Each takes the next one's name, and the last one stays: all are refused,
 * one because of the other.
 */
START_TEST(dominoes)
{
	struct bulk bulk = bulk_new(MANY);

	import(MANY + 1, false);
	for (unsigned i = 0; i < MANY; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_UPDATE, i, MBJ_ID_ROOT, i + 1);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, MANY);
	ck_assert_uint_eq(lab.outcome.lsn.v, 0);
	bulk_free(&bulk);
}
END_TEST

/*
 * All want the same name: the first gets it.  Create and rename to one name.
 */
START_TEST(one_name)
{
	struct bulk bulk = bulk_new(MANY);

	import(MANY / 2, false);
	for (unsigned i = 0; i < MANY; i++)
		bulk_put(&bulk, i,
			 i < MANY / 2 ? MBJ_CHANGE_UPDATE : MBJ_CHANGE_CREATE,
			 i, MBJ_ID_ROOT, MANY + 1);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, MANY - 1);
	ck_assert_int_eq(lab.outcome.results[MANY / 2].refusal,
			 MBJ_REFUSAL_NONE);
	bulk_free(&bulk);
}
END_TEST

/*
 * A chain of which each member is to go below the last one: each move makes a
 * cycle, and each refusal leaves the next.  All of them are refused.
 */
START_TEST(inward)
{
	enum { DEPTH = MBJ_DEPTH_MAX };
	struct bulk bulk = bulk_new(DEPTH - 1);

	import(DEPTH, true);
	for (unsigned i = 0; i < DEPTH - 1; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_UPDATE, i, number_id(DEPTH - 1),
			 i);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, DEPTH - 1);
	bulk_free(&bulk);
}
END_TEST

/*
 * Where contradictions add up beyond reason, what is left of them is refused
 * in one go.  The same inward moves, on a chain three times as deep as a
 * mailbox may be named, which takes moving its parts below one another.
 */
START_TEST(inward_too_far)
{
	enum { PART = MBJ_DEPTH_MAX - 1, DEPTH = 3 * PART };
	struct bulk bulk = bulk_new(DEPTH - 1);
	unsigned cut_off = 0;
	char words[64];

	edit_lab_import(&lab, "u", "");
	for (unsigned part = 0; part < 3; part++) {
		unsigned first = (2 - part) * PART;
		struct bulk chain = bulk_new(PART);

		for (unsigned i = 0; i < PART; i++)
			bulk_put(&chain, i, MBJ_CHANGE_CREATE, first + i,
				 i > 0 ? number_id(first + i - 1) : MBJ_ID_ROOT,
				 first + i);
		EDIT_LAB_OK(&lab, bulk_run(&chain, MBJ_EDIT_SET));
		bulk_free(&chain);
		if (part == 0)
			continue;
		(void)snprintf(words, sizeof(words), "=m%u:m%u/m%u",
			       first + PART, first + PART - 1, first + PART);
		EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", words));
		ck_assert_str_eq(edit_lab_results(&lab), "ok");
	}
	for (unsigned i = 0; i < DEPTH - 1; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_UPDATE, i, number_id(DEPTH - 1),
			 i);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, DEPTH - 1);
	for (unsigned i = 0; i < DEPTH - 1; i++)
		cut_off +=
			lab.outcome.results[i].refusal == MBJ_REFUSAL_TOO_LARGE;
	ck_assert_uint_gt(cut_off, 0);
	ck_assert_uint_lt(cut_off, DEPTH / 2);
	bulk_free(&bulk);
}
END_TEST

/*
 * A chain turned upside down is legal, however deep.  Give each the place
 * under the one that was below it.
 */
START_TEST(inversion)
{
	enum { DEPTH = 2000 };
	struct bulk bulk = bulk_new(DEPTH);

	import(DEPTH, true);
	for (unsigned i = 0; i < DEPTH; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_UPDATE, i,
			 i + 1 < DEPTH ? number_id(i + 1) : MBJ_ID_ROOT, i);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, 0);
	ck_assert_uint_eq(lab.outcome.lower_bound, DEPTH);
	bulk_free(&bulk);
}
END_TEST

/*
 * Pairs of contradictions, thousands of them: of each exactly the later is
 * refused.  Each pair wants to go below each other.
 */
START_TEST(pairs)
{
	struct bulk bulk = bulk_new(MANY);

	import(MANY, false);
	for (unsigned i = 0; i < MANY; i++)
		bulk_put(&bulk, i, MBJ_CHANGE_UPDATE, i, number_id(i ^ 1), i);
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, MANY / 2);
	for (unsigned i = 0; i < MANY; i++)
		ck_assert((lab.outcome.results[i].refusal !=
			   MBJ_REFUSAL_NONE) == (i % 2 == 1));
	bulk_free(&bulk);
}
END_TEST

/*
 * An account emptied and filled in one go, destroys from the top down.
 * Destroy a chain and as many more, create as many.
 */
START_TEST(replaced)
{
	enum { DEPTH = 2000 };
	struct bulk bulk = bulk_new(2 * DEPTH);

	import(DEPTH, true);
	for (unsigned i = 0; i < DEPTH; i++) {
		bulk.changes[i].kind = MBJ_CHANGE_DESTROY;
		bulk.changes[i].id = number_id(i);
		bulk_put(&bulk, DEPTH + i, MBJ_CHANGE_CREATE, DEPTH + i,
			 i > 0 ? number_id(DEPTH + i - 1) : MBJ_ID_ROOT, i);
	}
	EDIT_LAB_OK(&lab, bulk_run(&bulk, MBJ_EDIT_SET));
	ck_assert_uint_eq(lab.outcome.refused_count, 0);
	ck_assert_uint_eq(edit_lab_account(&lab, "u").mailbox_count, DEPTH + 1);
	bulk_free(&bulk);
}
END_TEST

/* ---------------------------------------------------------------- memory */

/*
 * Without memory an edit fails whole, wherever it runs out.  Fail each
 * allocation of a busy edit in turn; the states are compared by the lab.
 */
START_TEST(no_memory)
{
	static const char *const words =
		"+n:N +m:A/M =A:n/A =B:A?sub=1 -C =D?sel=1 =A/x:C?role=2";
	unsigned failures = 0;
	uint64_t k = 0;

	edit_lab_import(&lab, "u", "*A *A/x B C !D");
	lab.is_dry_run = true;
	do {
		lab.fail_at = ++k;
		failures += edit_lab_set(&lab, "u", words) < 0;
		ck_assert(lab.rc == MBJ_OK || lab.rc == MBJ_ENOMEM);
	} while (lab.allocations >= k);
	/* A lookup is tried twice, so a few failures are got over. */
	ck_assert_uint_gt(failures, 50);
	ck_assert_uint_lt(k - failures, 20);
	lab.is_dry_run = false;
	EDIT_LAB_OK(&lab, edit_lab_set(&lab, "u", words));
	ck_assert_str_eq(edit_lab_results(&lab), "ok ok ok ok ok ok ok");
	ck_assert_str_eq(edit_lab_tree(&lab, "u"),
			 "A=B C=A/x D=D N/A/M=m N/A=A N=n");
}
END_TEST

TCase *test_edit_scale_case(void)
{
	TCase *tc = tcase_create("edit_scale");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, view);
	tcase_add_test(tc, small);
	tcase_add_test(tc, deep_name);
	tcase_add_test(tc, circle);
	tcase_add_test(tc, dominoes);
	tcase_add_test(tc, one_name);
	tcase_add_test(tc, inward);
	tcase_add_test(tc, inward_too_far);
	tcase_add_test(tc, inversion);
	tcase_add_test(tc, pairs);
	tcase_add_test(tc, replaced);
	tcase_add_test(tc, no_memory);
	return tc;
}
