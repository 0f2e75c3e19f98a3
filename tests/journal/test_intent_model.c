/*
 * A server with a mail storage of its own, changed at random, that dies between
 * its steps; the store is opened again, its state perhaps made anew.  What was
 * left open is resolved by the server's list: then the store has its tree, and
 * nothing is there twice.
 */
#include <stdio.h>
#include <string.h>

#include <mbj/intent.h>

#include "journal_cases.h"
#include "store_lab.h"

enum { BOXES = 6, TURNS = 150, NAMES = 8, OPEN_MAX = 4 };

/* A mailbox of the server: parent 0 is the top, else a number of a mailbox. */
struct box {
	unsigned parent;
	unsigned name;
};

struct server {
	struct site site;
	struct test_rng rng;
	struct box boxes[BOXES + 1]; /* from 1 */
	struct mbj_id open[OPEN_MAX];
	unsigned open_count;
};

static struct server server;

static struct mbj_id box_id(unsigned number)
{
	struct mbj_id id = MBJ_ID_ROOT;

	if (number > 0) {
		id.b[0] = 'b';
		id.b[15] = (uint8_t)number;
	}
	return id;
}

static struct mbj_bytes box_name(unsigned name)
{
	static const char *const names[NAMES] = {"n0", "n1", "n2", "n3",
						 "n4", "n5", "n6", "n7"};

	return mbj_bytes_str(names[name]);
}

static struct mbj_change box_change(enum mbj_change_kind kind, unsigned number,
				    struct box box)
{
	return (struct mbj_change){
		.kind = kind,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = box_id(number),
		.parent = box_id(box.parent),
		.name = box_name(box.name),
	};
}

/* Would the storage do it: a free name, not below itself? */
static bool box_may(unsigned number, struct box box)
{
	for (unsigned at = box.parent; at != 0; at = server.boxes[at].parent)
		if (at == number)
			return false;
	for (unsigned i = 1; i <= BOXES; i++)
		if (i != number && server.boxes[i].parent == box.parent &&
		    server.boxes[i].name == box.name)
			return false;
	return true;
}

static enum mbj_rc submit(struct mbj_edit *edit,
			  struct mbj_outcome *ret_outcome,
			  struct mbj_error *err)
{
	edit->account = mbj_bytes_str("u");
	edit->producer = mbj_bytes_str("model");
	return mbj_store_submit(server.site.store, edit, ret_outcome, err);
}

/* All mailboxes of the storage, as a list. */
static size_t list_fill(struct mbj_change changes[BOXES])
{
	for (unsigned i = 1; i <= BOXES; i++)
		changes[i - 1] =
			box_change(MBJ_CHANGE_CREATE, i, server.boxes[i]);
	return BOXES;
}

/* What is open here is what was left open, and nothing else. */
static void open_compare(void)
{
	struct mbj_txn *txn = NULL;
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	unsigned count = 0;

	SITE_OK(mbj_store_read(server.site.store, &txn, err));
	SITE_OK(mbj_scan_intents(txn, MBJ_ID_ROOT, &scan, err));
	while (mbj_scan_next_intent(&scan, &intent, NULL) == MBJ_OK) {
		bool is_ours = false;

		for (unsigned i = 0; i < server.open_count; i++)
			is_ours |= mbj_id_equal(server.open[i], intent.id);
		ck_assert(is_ours);
		count++;
	}
	ck_assert_uint_eq(count, server.open_count);
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
}

static void tree_compare(void)
{
	struct mbj_account account;
	struct mbj_tree *tree = NULL;
	struct mbj_txn *txn = NULL;

	SITE_OK(mbj_store_read(server.site.store, &txn, err));
	SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str("u"), &account, err));
	SITE_OK(mbj_txn_tree_load(txn, account.id, &tree, err));
	ck_assert_uint_eq(mbj_tree_live_count(tree), BOXES + 1);
	for (unsigned i = 1; i <= BOXES; i++) {
		uint32_t at = mbj_tree_find(tree, box_id(i));
		const struct mbj_node *node;
		struct mbj_id parent = MBJ_ID_ROOT;

		ck_assert_uint_ne(at, MBJ_NODE_NONE);
		node = mbj_tree_get(tree, at);
		if (node->parent != MBJ_NODE_ROOT)
			parent = mbj_tree_get(tree, node->parent)->id;
		ck_assert(mbj_id_equal(parent, box_id(server.boxes[i].parent)));
		ck_assert(mbj_bytes_equal(node->name.stored,
					  box_name(server.boxes[i].name)));
	}
	mbj_tree_free(&tree);
	mbj_txn_abort(&txn);
}

static struct mbj_lsn account_state(void)
{
	struct mbj_account account;
	struct mbj_txn *txn = NULL;

	SITE_OK(mbj_store_read(server.site.store, &txn, err));
	SITE_OK(mbj_txn_account_find(txn, mbj_bytes_str("u"), &account, err));
	mbj_txn_abort(&txn);
	return account.lsn;
}

/* The next start: everything that was left is settled by the list. */
static void resolve(void)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_change changes[BOXES];

	edit.kind = MBJ_EDIT_RECONCILE;
	edit.stage = MBJ_STAGE_RESOLVE;
	edit.changes = changes;
	edit.change_count = list_fill(changes);
	edit.has_if_in_state = true;
	edit.if_in_state = account_state();
	SITE_OK(submit(&edit, &outcome, err));
	ck_assert_uint_eq(outcome.intents_closed, server.open_count);
	ck_assert_uint_eq(outcome.intents_left, 0);
	mbj_outcome_done(&outcome);
	server.open_count = 0;
	open_compare();
	tree_compare();
}

/* One change, or as much of it as comes before a death. */
static void turn(void)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	unsigned number = (unsigned)test_rng_between(&server.rng, 1, BOXES);
	struct box box = {(unsigned)test_rng_below(&server.rng, BOXES + 1),
			  (unsigned)test_rng_below(&server.rng, NAMES)};
	unsigned death = (unsigned)test_rng_below(&server.rng, 6);
	struct mbj_change change = box_change(MBJ_CHANGE_UPDATE, number, box);
	struct mbj_edit edit = MBJ_EDIT_INIT;
	enum mbj_rc rc;

	edit.kind = MBJ_EDIT_SET;
	edit.stage = MBJ_STAGE_INTENT;
	edit.changes = &change;
	edit.change_count = 1;
	rc = submit(&edit, &outcome, NULL);
	/* Both know the same tree while nothing is open. */
	if (server.open_count == 0)
		ck_assert((rc == MBJ_OK) == box_may(number, box));
	if (rc < 0)
		return;
	edit.intent = outcome.intent;
	mbj_outcome_done(&outcome);
	server.open[server.open_count++] = edit.intent;
	if (death == 0)
		return;
	if (!box_may(number, box) || death == 1) {
		/* The storage refuses. */
		edit.kind = MBJ_EDIT_INTENT;
		edit.stage = MBJ_STAGE_FAILED;
		edit.change_count = 0;
	} else {
		server.boxes[number] = box;
		edit.stage = MBJ_STAGE_DONE;
		if (death == 2)
			return;
	}
	rc = submit(&edit, &outcome, NULL);
	/* Where others are open the tree here may be another: it stays open. */
	ck_assert(rc == MBJ_OK || server.open_count > 1);
	if (rc == MBJ_OK)
		server.open_count--;
	mbj_outcome_done(&outcome);
	/* Told again, it is not open any more. */
	if (rc == MBJ_OK)
		ck_assert_int_eq(submit(&edit, &outcome, NULL), MBJ_ENOTFOUND);
	if (rc == MBJ_OK && server.open_count == 0)
		tree_compare();
}

static void server_begin(void)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_change changes[BOXES];

	memset(&server, 0, sizeof(server));
	site_begin_on(&server.site, MBJ_STATE_MEMORY);
	for (unsigned i = 1; i <= BOXES; i++)
		server.boxes[i] = (struct box){i / 3, i};
	edit.kind = MBJ_EDIT_IMPORT;
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = changes;
	edit.change_count = list_fill(changes);
	SITE_OK(submit(&edit, &outcome, err));
	mbj_outcome_done(&outcome);
	tree_compare();
}

/*
 * Goal: wherever a server dies, what is resolved afterwards is its tree; an
 * outcome is recorded once; open intents outlive the store's process and its
 * state.  Method: see above.
 */
START_TEST(intent_model)
{
	server_begin();
	(void)test_rng_seed(&server.rng);
	for (unsigned i = 0; i < TURNS; i++) {
		turn();
		open_compare();
		if (test_rng_below(&server.rng, 8) == 0) {
			server.site.options.is_rebuild_forced =
				test_rng_below(&server.rng, 2) == 0;
			site_reopen(&server.site);
			open_compare();
		}
		if (server.open_count == OPEN_MAX ||
		    (server.open_count > 0 &&
		     test_rng_below(&server.rng, 3) == 0))
			resolve();
	}
	ck_assert(site_is_sound(server.site.store));
	site_end(&server.site);
}
END_TEST

TCase *test_intent_model_case(void)
{
	TCase *tc = tcase_create("intent_model");

	tcase_add_test(tc, intent_model);
	return tc;
}
