/*
 * What a plan records beside its steps: UIDVALIDITY, subscriptions, roles,
 * marks of retired names.  From a group it is read off the operations; from
 * two trees it is what differs between them.
 *
 * Subscriptions are by name and follow their mailboxes (RFC 9051 section
 * 6.3.6 leaves that open, mbj's default is to follow): what counts is which
 * paths are subscribed before and after, so a swap of two subscribed
 * mailboxes changes nothing.
 *
 * Invariants:
 *   1. equal paths have one number, in both trees, by comparison keys;
 *   2. a path is built as text only where it is shown.
 *
 * Threads: one at a time per plan.
 */
#include "jmap_plan.h"

#include <mbj/check.h>

#include "jmap_group.h"

enum { ALSO_PATH_MAX = 2 << 20 };

#define NOTES_MAX ((size_t)4 * MBJ_ACCOUNT_MAILBOXES_MAX)

static enum mbj_rc note_add(struct mbj_jmap_plan *plan,
			    enum plan_note_kind kind, uint32_t node,
			    struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_array_reserve((void **)&plan->notes, &plan->notes_capacity,
			       plan->note_count + 1, sizeof(*plan->notes),
			       NOTES_MAX, err);
	if (rc < 0)
		return rc;
	plan->notes[plan->note_count++] =
		(struct plan_note){.kind = kind, .node = node};
	return MBJ_OK;
}

/* ---------------------------------------------------------- attributes */

static enum mbj_rc attributes_compare(struct mbj_jmap_plan *plan, uint32_t item,
				      struct mbj_error *err)
{
	static const struct mbj_node fresh = {.is_selectable = true};
	const struct mbj_diff *diff = plan->diff;
	uint32_t at[2] = {diff->at[MBJ_BEFORE][item],
			  diff->at[MBJ_AFTER][item]};
	const struct mbj_node *old = &fresh, *new;
	enum mbj_rc rc = MBJ_OK;

	if (at[MBJ_AFTER] == MBJ_NODE_NONE)
		return MBJ_OK;
	new = mbj_tree_get(plan->after, at[MBJ_AFTER]);
	if (at[MBJ_BEFORE] != MBJ_NODE_NONE)
		old = mbj_tree_get(plan->before, at[MBJ_BEFORE]);
	if (new->role != old->role || new->is_selectable != old->is_selectable)
		rc = note_add(plan, PLAN_NOTE_SET, at[MBJ_AFTER], err);
	if (rc == MBJ_OK && new->uidvalidity != 0 &&
	    new->uidvalidity != old->uidvalidity)
		rc = note_add(plan, PLAN_NOTE_UIDVALIDITY, at[MBJ_AFTER], err);
	return rc;
}

/* ------------------------------------------------------- subscriptions */

/* One path: that of its parent, and a key as the diff numbers them. */
struct path_pair {
	uint32_t parent;
	uint32_t key;
};

/* Bits of a path: which side subscribes it. */
enum { PATH_BEFORE = 1 << MBJ_BEFORE, PATH_AFTER = 1 << MBJ_AFTER };

struct paths {
	struct mbj_jmap_plan *plan;
	struct mbj_table by_pair;
	struct path_pair *pairs;
	uint8_t *bits;
	uint32_t count;
	uint32_t *of_item[2]; /* path of each item, by side */
};

static const struct mbj_tree *side_tree(const struct mbj_jmap_plan *plan,
					int side)
{
	return side == MBJ_BEFORE ? plan->before : plan->after;
}

static uint64_t pair_hash(struct path_pair pair)
{
	/* Numbers of ours, not bytes of somebody's: mixing is enough. */
	uint64_t x = (uint64_t)pair.parent << 32 | pair.key;

	x *= UINT64_C(0x9e3779b97f4a7c15);
	x ^= x >> 32;
	x *= UINT64_C(0xd6e8feb86659fd93);
	return x ^ x >> 29;
}

static enum mbj_rc path_number(struct paths *paths, struct path_pair pair,
			       uint32_t *ret_number, struct mbj_error *err)
{
	uint64_t hash = pair_hash(pair);
	uint32_t at = mbj_table_seek(&paths->by_pair, hash), number;
	enum mbj_rc rc;

	while (mbj_table_next(&paths->by_pair, hash, &at, &number)) {
		if (paths->pairs[number].parent == pair.parent &&
		    paths->pairs[number].key == pair.key) {
			*ret_number = number;
			return MBJ_OK;
		}
	}
	MBJ_ASSERT(paths->count < 2 * paths->plan->diff->count);
	rc = mbj_table_add(&paths->by_pair, hash, paths->count, err);
	if (rc < 0)
		return rc;
	paths->pairs[paths->count] = pair;
	*ret_number = paths->count++;
	return MBJ_OK;
}

/* Number the paths of one side, parents first, and mark the subscribed. */
static enum mbj_rc paths_side(struct paths *paths, int side,
			      struct mbj_error *err)
{
	const struct mbj_tree *tree = side_tree(paths->plan, side);
	const struct mbj_diff *diff = paths->plan->diff;
	uint32_t *order = NULL, *item_of = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_tree_order(tree, &order, &count, err);
	if (rc < 0)
		return rc;
	item_of = mbj_calloc(mbj_tree_size(tree), sizeof(*item_of));
	if (item_of == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	for (uint32_t item = 0; item < diff->count; item++)
		if (diff->at[side][item] != MBJ_NODE_NONE)
			item_of[diff->at[side][item]] = item;
	for (size_t i = 0; i < count && rc == MBJ_OK; i++) {
		uint32_t item = item_of[order[i]];
		uint32_t above = diff->items[item].parent[side];
		struct path_pair pair = {above == MBJ_NODE_ROOT
						 ? MBJ_NODE_ROOT
						 : paths->of_item[side][above],
					 diff->items[item].key[side]};
		uint32_t *number = &paths->of_item[side][item];

		rc = path_number(paths, pair, number, err);
		if (rc == MBJ_OK && mbj_tree_get(tree, order[i])->is_subscribed)
			paths->bits[*number] |= (uint8_t)(1 << side);
	}
out:
	mbj_free(item_of);
	mbj_free(order);
	return rc;
}

/* Paths subscribed on one side alone become notes, in the order of items. */
static enum mbj_rc paths_compare(struct paths *paths, int side,
				 enum plan_note_kind kind,
				 struct mbj_error *err)
{
	struct mbj_jmap_plan *plan = paths->plan;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; i < plan->diff->count && rc == MBJ_OK; i++) {
		uint32_t at = plan->diff->at[side][i];

		if (at == MBJ_NODE_NONE ||
		    paths->bits[paths->of_item[side][i]] != 1 << side)
			continue;
		rc = note_add(plan, kind, at, err);
	}
	return rc;
}

static bool tree_has_subscription(const struct mbj_tree *tree)
{
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++)
		if (mbj_tree_get(tree, i)->is_live &&
		    mbj_tree_get(tree, i)->is_subscribed)
			return true;
	return false;
}

static enum mbj_rc subscriptions_compare(struct mbj_jmap_plan *plan,
					 struct mbj_error *err)
{
	struct paths paths = {.plan = plan};
	size_t n = plan->diff->count;
	enum mbj_rc rc;

	mbj_table_init(&paths.by_pair);
	paths.pairs = mbj_calloc(2 * n, sizeof(*paths.pairs));
	paths.bits = mbj_calloc(2 * n, 1);
	paths.of_item[0] = mbj_calloc(n, sizeof(uint32_t));
	paths.of_item[1] = mbj_calloc(n, sizeof(uint32_t));
	if (paths.pairs == NULL || paths.bits == NULL ||
	    paths.of_item[0] == NULL || paths.of_item[1] == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	rc = paths_side(&paths, MBJ_BEFORE, err);
	if (rc == MBJ_OK)
		rc = paths_side(&paths, MBJ_AFTER, err);
	if (rc == MBJ_OK)
		rc = paths_compare(&paths, MBJ_BEFORE, PLAN_NOTE_UNSUBSCRIBE,
				   err);
	if (rc == MBJ_OK)
		rc = paths_compare(&paths, MBJ_AFTER, PLAN_NOTE_SUBSCRIBE, err);
out:
	mbj_table_done(&paths.by_pair);
	mbj_free(paths.pairs);
	mbj_free(paths.bits);
	mbj_free(paths.of_item[0]);
	mbj_free(paths.of_item[1]);
	return rc;
}

enum mbj_rc plan_notes_make(struct mbj_jmap_plan *plan, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(plan->before != NULL && plan->after != NULL);
	MBJ_ASSERT(plan->note_count == 0);
	for (uint32_t i = 0; i < plan->diff->count && rc == MBJ_OK; i++)
		rc = attributes_compare(plan, i, err);
	if (rc < 0 || !(tree_has_subscription(plan->before) ||
			tree_has_subscription(plan->after)))
		return rc;
	return subscriptions_compare(plan, err);
}

/* ---------------------------------------------------------------- walk */

void plan_also_init(struct plan_also_walk *walk,
		    const struct mbj_jmap_plan *plan)
{
	MBJ_ASSERT(walk != NULL);
	MBJ_ASSERT(plan != NULL);
	*walk = (struct plan_also_walk){.plan = plan};
	mbj_buf_init(&walk->path, ALSO_PATH_MAX);
	if (plan->has_group)
		mbj_reader_init(&walk->reader, plan->group.body);
}

void plan_also_done(struct plan_also_walk *walk)
{
	if (walk != NULL)
		mbj_buf_done(&walk->path);
}

static enum mbj_rc also_note(struct plan_also_walk *walk,
			     const struct plan_note *note,
			     struct plan_also *also, struct mbj_error *err)
{
	bool is_before = note->kind == PLAN_NOTE_UNSUBSCRIBE;
	const struct mbj_tree *tree =
		side_tree(walk->plan, is_before ? MBJ_BEFORE : MBJ_AFTER);
	const struct mbj_node *node = mbj_tree_get(tree, note->node);

	also->id = node->id;
	if (note->kind == PLAN_NOTE_SET) {
		also->word = "mailbox-set";
		also->has =
			PLAN_ALSO_ID | PLAN_ALSO_ROLE | PLAN_ALSO_SELECTABLE;
		also->role = node->role;
		also->is_selectable = node->is_selectable;
		return MBJ_OK;
	}
	if (note->kind == PLAN_NOTE_UIDVALIDITY) {
		also->word = "uidvalidity";
		also->has = PLAN_ALSO_ID | PLAN_ALSO_UIDVALIDITY;
		also->uidvalidity = node->uidvalidity;
		return MBJ_OK;
	}
	also->word = is_before ? "unsubscribe" : "subscribe";
	also->has = PLAN_ALSO_NAME;
	mbj_buf_clear(&walk->path);
	mbj_tree_path(tree, note->node, walk->plan->delimiter, &walk->path);
	also->name = mbj_buf_view(&walk->path);
	return mbj_buf_ok(&walk->path, err);
}

/* A step's operation: its UIDVALIDITY first, its attributes behind. */
static bool also_step(struct plan_also_walk *walk, struct plan_also *also)
{
	const struct mbj_op *op = &walk->op;
	bool is_odd = op->kind == MBJ_OP_MAILBOX_CREATE &&
		      (op->role != MBJ_ROLE_NONE || op->is_selectable != 1);

	also->id = op->id;
	if (!walk->is_op_kept && op->uidvalidity != 0 &&
	    op->kind != MBJ_OP_MAILBOX_DELETE) {
		walk->is_op_kept = is_odd;
		also->word = "uidvalidity";
		also->has = PLAN_ALSO_ID | PLAN_ALSO_UIDVALIDITY;
		also->uidvalidity = op->uidvalidity;
		return true;
	}
	walk->is_op_kept = false;
	if (!is_odd)
		return false;
	also->word = "mailbox-set";
	also->has = PLAN_ALSO_ID | PLAN_ALSO_ROLE | PLAN_ALSO_SELECTABLE;
	also->role = op->role;
	also->is_selectable = op->is_selectable != 0;
	return true;
}

/* Everything that is no step. */
static enum mbj_rc also_op(struct plan_also_walk *walk, struct plan_also *also,
			   struct mbj_error *err)
{
	const struct mbj_op *op = &walk->op;

	also->word = mbj_op_info_get(op->kind)->word;
	also->op = op;
	if (op->kind == MBJ_OP_SUBSCRIBE || op->kind == MBJ_OP_UNSUBSCRIBE) {
		also->has = PLAN_ALSO_NAME;
		mbj_buf_clear(&walk->path);
		jmap_path_text(op->path.stored, walk->plan->delimiter,
			       &walk->path);
		also->name = mbj_buf_view(&walk->path);
		return mbj_buf_ok(&walk->path, err);
	}
	if (op->kind == MBJ_OP_MAILBOX_SET) {
		also->id = op->id;
		also->has =
			PLAN_ALSO_ID | PLAN_ALSO_ROLE | PLAN_ALSO_SELECTABLE;
		also->role = op->role;
		also->is_selectable = op->is_selectable != 0;
	} else if (op->kind == MBJ_OP_NAME_RETIRE) {
		also->has = PLAN_ALSO_HASH;
	} else {
		also->has = PLAN_ALSO_FIELDS;
		return MBJ_OK;
	}
	also->uidvalidity = op->uidvalidity;
	if (op->uidvalidity != 0)
		also->has |= PLAN_ALSO_UIDVALIDITY;
	return MBJ_OK;
}

enum mbj_rc plan_also_next(struct plan_also_walk *walk,
			   struct plan_also *ret_also, struct mbj_error *err)
{
	const struct mbj_jmap_plan *plan = walk->plan;
	enum mbj_rc rc;

	MBJ_ASSERT(ret_also != NULL);
	*ret_also = (struct plan_also){.has = 0};
	if (walk->note < plan->note_count)
		return also_note(walk, &plan->notes[walk->note++], ret_also,
				 err);
	if (!plan->has_group)
		return MBJ_ENOTFOUND;
	if (walk->is_op_kept && also_step(walk, ret_also))
		return MBJ_OK;
	while ((rc = mbj_group_op_next(&plan->group, &walk->reader, &walk->op,
				       err)) == MBJ_OK) {
		if (walk->op.kind < MBJ_OP_MAILBOX_CREATE ||
		    walk->op.kind > MBJ_OP_MAILBOX_DELETE)
			return also_op(walk, ret_also, err);
		if (also_step(walk, ret_also))
			return MBJ_OK;
	}
	return rc;
}
