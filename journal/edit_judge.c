/*
 * SET, second part: which changes can stand together.  The tree in which all
 * of them stand is looked at; what breaks it is refused, its mailbox goes back
 * to where it was, which may break something else; until nothing is broken.
 *
 * What is refused, in this order of looking:
 *   1. a create or move below a create that was refused; a create or move to
 *      a slot whose owner stays: certain, whatever else becomes of the rest;
 *   2. of the parents that form a cycle the latest move;
 *   3. of several claims on one free slot all but the earliest;
 *   4. a destroy of a mailbox with children (mailboxHasChild);
 *   5. a place too deep or a path too long: the highest ones.
 * Early and late are processing order: creates, updates, destroys, each in the
 * request's order.  So of two contradictory changes exactly one is refused,
 * and the same one each time.
 *
 * Cost: each change is refused at most once.  1, 3 and 4 follow links, so they
 * are linear over all rounds; 2 and 5 walk, and each walk follows a refusal.
 * A request made so that the walks add up is cut off after JUDGE_STEPS_MAX:
 * whatever has not been refused then is, as too large.
 *
 * Invariants:
 *   1. a slot with a keeper has no claimants once the queue is empty;
 *   2. claimants are linked in processing order;
 *   3. child_count counts live children by their present parent.
 *
 * Threads: one at a time.
 */
#include "edit_judge.h"

#include <stdio.h>

#include <mbj/check.h>

#include "edit_claims.h"
#include "edit_text.h"

/* Items looked at by walks: about a tenth of a second. */
enum { JUDGE_STEPS_MAX = 64 << 20 };

enum judge_state {
	JUDGE_KEEP,   /* stays, or is back */
	JUDGE_MOVE,   /* has its wanted slot */
	JUDGE_CREATE, /* likewise */
	JUDGE_DELETE, /* is going */
	JUDGE_GONE,   /* a create refused */
};

struct judge_item {
	enum judge_state state;
	uint32_t slot_before; /* MBJ_NODE_NONE: a create */
	uint32_t slot_wanted; /* MBJ_NODE_NONE: neither move nor create */
	uint32_t child_count;
	uint32_t dependent;	 /* first item that wants to lie in a create */
	uint32_t dependent_next; /* the next of the same create */
	uint32_t doomed_next;	 /* destroys to be looked at again */
	bool is_doomed;
	bool is_excessive; /* it, or something above it */
	uint32_t seen;	   /* number of the last walk through it */
};

struct judge {
	struct edit_work *work;
	struct edit_draft *draft;
	struct judge_item *items; /* [draft->count] */
	struct edit_claims claims;
	uint32_t *queue; /* items that are back, or gone */
	uint32_t queue_at;
	uint32_t queue_end;
	uint32_t *suspects; /* items with a new parent since the last walk */
	uint32_t suspect_count;
	uint32_t *victims; /* one of each cycle */
	uint32_t doomed;
	uint32_t walk; /* number of the last walk */
	uint64_t steps_left;
	bool is_paired; /* 3 was done */
	struct mbj_error *err;
};

/* ------------------------------------------------------------- counts */

static void child_add(struct judge *judge, uint32_t parent)
{
	struct judge_item *entry;

	if (parent == MBJ_NODE_ROOT)
		return;
	entry = &judge->items[parent];
	entry->child_count++;
	if (entry->state != JUDGE_DELETE || entry->is_doomed)
		return;
	entry->is_doomed = true;
	entry->doomed_next = judge->doomed;
	judge->doomed = parent;
}

static void child_remove(struct judge *judge, uint32_t parent)
{
	if (parent == MBJ_NODE_ROOT)
		return;
	MBJ_ASSERT(judge->items[parent].child_count > 0);
	judge->items[parent].child_count--;
}

/* ------------------------------------------------------------ refusing */

/* Take a refused item's wish back. */
static void judge_withdraw(struct judge *judge, uint32_t item)
{
	struct judge_item *entry = &judge->items[item];
	struct edit_item *wanted = &judge->draft->items[item];
	const struct mbj_node *node;

	MBJ_ASSERT(entry->state != JUDGE_KEEP && entry->state != JUDGE_GONE);
	if (entry->state != JUDGE_DELETE) {
		edit_claims_unlink(&judge->claims, entry->slot_wanted, item);
		child_remove(judge, wanted->parent);
	}
	judge->queue[judge->queue_end++] = item;
	if (entry->state == JUDGE_CREATE) {
		entry->state = JUDGE_GONE;
		wanted->is_live = false;
		return;
	}
	node = mbj_tree_get(judge->draft->before, item);
	if (wanted->parent != node->parent)
		judge->suspects[judge->suspect_count++] = item;
	entry->state = JUDGE_KEEP;
	wanted->parent = node->parent;
	wanted->name = node->name;
	wanted->is_live = true;
	child_add(judge, node->parent);
	MBJ_ASSERT(judge->claims.slots[entry->slot_before].keeper ==
		   MBJ_NODE_NONE);
	judge->claims.slots[entry->slot_before].keeper = item;
}

static enum mbj_rc judge_refuse(struct judge *judge, uint32_t item,
				enum mbj_refusal refusal, const char *property,
				const char *why)
{
	enum mbj_rc rc;

	MBJ_ASSERT(judge->draft->items[item].change != MBJ_NODE_NONE);
	rc = edit_result_set(judge->work, judge->draft->items[item].change,
			     refusal, property, judge->err, "%s", why);
	if (rc == MBJ_OK)
		judge_withdraw(judge, item);
	return rc;
}

static enum mbj_rc judge_refuse_taken(struct judge *judge, uint32_t item)
{
	struct edit_text name;
	char why[MBJ_ERROR_MESSAGE_MAX];

	edit_text_show(&name, judge->draft->items[item].name.stored);
	(void)snprintf(why, sizeof(why), "another mailbox is \"%s\" there",
		       name.s);
	return judge_refuse(judge, item, MBJ_REFUSAL_ALREADY_EXISTS, "name",
			    why);
}

/* ----------------------------------------------------- what is certain */

static enum mbj_rc drain_gone(struct judge *judge, uint32_t item)
{
	uint32_t next = judge->items[item].dependent;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && next != MBJ_NODE_NONE) {
		const struct judge_item *entry = &judge->items[next];

		if ((entry->state == JUDGE_MOVE ||
		     entry->state == JUDGE_CREATE) &&
		    judge->draft->items[next].parent == item)
			rc = judge_refuse(judge, next,
					  MBJ_REFUSAL_INVALID_PROPERTIES,
					  "parentId",
					  "the parent cannot be created");
		next = entry->dependent_next;
	}
	return rc;
}

/* Everything that follows from items being back, or gone. */
static enum mbj_rc judge_drain(struct judge *judge)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && judge->queue_at < judge->queue_end) {
		uint32_t item = judge->queue[judge->queue_at++];
		uint32_t slot = judge->items[item].slot_before;

		if (judge->items[item].state == JUDGE_GONE) {
			rc = drain_gone(judge, item);
			continue;
		}
		MBJ_ASSERT(judge->claims.slots[slot].keeper == item);
		while (rc == MBJ_OK &&
		       judge->claims.slots[slot].first != MBJ_NODE_NONE)
			rc = judge_refuse_taken(
				judge, judge->claims.slots[slot].first);
	}
	return rc;
}

/* Several claims on a free slot: the earliest stands. */
static enum mbj_rc judge_pairs(struct judge *judge)
{
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < judge->claims.count; i++) {
		const struct edit_slot *slot = &judge->claims.slots[i];

		while (rc == MBJ_OK && slot->last != slot->first)
			rc = judge_refuse_taken(judge, slot->last);
	}
	judge->is_paired = true;
	return rc;
}

/* ------------------------------------------------------------- cycles */

/* Processing order: creates, updates, destroys, each as requested. */
static uint64_t judge_rank(const struct judge *judge, uint32_t item)
{
	uint32_t change = judge->draft->items[item].change;

	MBJ_ASSERT(change < judge->work->edit->change_count);
	return (uint64_t)judge->work->edit->changes[change].kind << 32 | change;
}

/* The latest change of a cycle that put somebody under a new parent. */
static uint32_t cycle_victim(const struct judge *judge, uint32_t start)
{
	uint32_t victim = MBJ_NODE_NONE, at = start;
	uint64_t rank = 0;

	do {
		enum judge_state state = judge->items[at].state;
		uint32_t parent = judge->draft->items[at].parent;
		bool is_new = state == JUDGE_CREATE;

		if (state == JUDGE_MOVE)
			is_new = mbj_tree_get(judge->draft->before, at)
					 ->parent != parent;
		if (is_new && judge_rank(judge, at) >= rank) {
			rank = judge_rank(judge, at);
			victim = at;
		}
		at = parent;
		MBJ_ASSERT(at < judge->draft->count);
	} while (at != start);
	MBJ_ASSERT(victim != MBJ_NODE_NONE);
	return victim;
}

/*
 * Walk up from item until the top or where a walk of this round has been.
 * Yields an item of the cycle that the walk has just closed, or NONE.
 */
static uint32_t cycle_walk(struct judge *judge, uint32_t item, uint32_t round)
{
	uint32_t walk = ++judge->walk;

	while (item != MBJ_NODE_ROOT) {
		struct judge_item *entry = &judge->items[item];

		if (entry->seen == walk)
			return item;
		if (entry->seen >= round)
			return MBJ_NODE_NONE;
		entry->seen = walk;
		if (judge->steps_left > 0)
			judge->steps_left--;
		item = judge->draft->items[item].parent;
	}
	return MBJ_NODE_NONE;
}

/* One round: a cycle can only go through an item whose parent is new. */
static enum mbj_rc judge_cycles(struct judge *judge)
{
	uint32_t round = judge->walk + 1, count = 0;
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; i < judge->suspect_count; i++) {
		uint32_t found = cycle_walk(judge, judge->suspects[i], round);

		if (found != MBJ_NODE_NONE)
			judge->victims[count++] = cycle_victim(judge, found);
	}
	judge->suspect_count = 0;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = judge_refuse(judge, judge->victims[i],
				  MBJ_REFUSAL_INVALID_PROPERTIES, "parentId",
				  "the mailbox would lie below itself");
	return rc;
}

/* ------------------------------------------------- destroys and depth */

static enum mbj_rc judge_destroys(struct judge *judge)
{
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && judge->doomed != MBJ_NODE_NONE) {
		uint32_t item = judge->doomed;
		struct judge_item *entry = &judge->items[item];

		judge->doomed = entry->doomed_next;
		entry->is_doomed = false;
		if (entry->state == JUDGE_DELETE && entry->child_count > 0)
			rc = judge_refuse(judge, item, MBJ_REFUSAL_HAS_CHILD,
					  NULL, "the mailbox has children");
	}
	return rc;
}

static enum mbj_rc judge_excess(struct judge *judge, uint32_t item,
				enum edit_excess excess)
{
	char why[MBJ_ERROR_MESSAGE_MAX];

	if (excess == EDIT_EXCESS_DEPTH) {
		(void)snprintf(why, sizeof(why),
			       "the mailbox would be deeper than %d levels",
			       (int)MBJ_DEPTH_MAX);
		return judge_refuse(judge, item, MBJ_REFUSAL_INVALID_PROPERTIES,
				    "parentId", why);
	}
	(void)snprintf(why, sizeof(why),
		       "the whole name would be longer than %d bytes",
		       (int)MBJ_PATH_MAX);
	return judge_refuse(judge, item, MBJ_REFUSAL_INVALID_PROPERTIES, "name",
			    why);
}

/* The highest places over a limit; what lies below is judged again. */
static enum mbj_rc judge_depths(struct judge *judge)
{
	struct edit_draft *draft = judge->draft;
	uint32_t cycle;
	enum mbj_rc rc;

	rc = edit_draft_sort(draft, &cycle, judge->err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(cycle == MBJ_NODE_NONE);
	judge->steps_left -= judge->steps_left < draft->count
				     ? judge->steps_left
				     : draft->count;
	for (uint32_t i = 0; rc == MBJ_OK && i < draft->order_count; i++) {
		uint32_t item = draft->order[i];
		uint32_t parent = draft->items[item].parent;
		struct judge_item *entry = &judge->items[item];
		enum edit_excess excess = EDIT_EXCESS_NONE;

		entry->is_excessive = parent != MBJ_NODE_ROOT &&
				      judge->items[parent].is_excessive;
		if (entry->is_excessive || (entry->state != JUDGE_MOVE &&
					    entry->state != JUDGE_CREATE))
			continue;
		excess = edit_draft_excess(draft, item);
		entry->is_excessive = excess != EDIT_EXCESS_NONE;
		if (entry->is_excessive)
			rc = judge_excess(judge, item, excess);
	}
	return rc;
}

/* ------------------------------------------------------ from the draft */

static enum mbj_rc item_intern(struct judge *judge, uint32_t parent,
			       struct mbj_bytes key, uint32_t *ret_slot)
{
	return edit_claims_intern(&judge->claims,
				  edit_hash_slot(judge->work, parent, key),
				  parent, key, ret_slot, judge->err);
}

static enum mbj_rc item_enter(struct judge *judge, uint32_t item)
{
	const struct edit_draft *draft = judge->draft;
	const struct edit_item *wanted = &draft->items[item];
	struct judge_item *entry = &judge->items[item];
	const struct mbj_node *node;
	enum mbj_rc rc;

	entry->slot_before = MBJ_NODE_NONE;
	entry->slot_wanted = MBJ_NODE_NONE;
	entry->dependent = MBJ_NODE_NONE;
	if (item >= draft->before_count) {
		entry->state = wanted->is_live ? JUDGE_CREATE : JUDGE_GONE;
	} else {
		node = mbj_tree_get(draft->before, item);
		rc = item_intern(judge, node->parent, node->name.key,
				 &entry->slot_before);
		if (rc < 0)
			return rc;
		entry->state = JUDGE_KEEP;
		if (!wanted->is_live)
			entry->state = JUDGE_DELETE;
		else if (edit_draft_is_placed(draft, item))
			entry->state = JUDGE_MOVE;
	}
	if (entry->state == JUDGE_KEEP)
		judge->claims.slots[entry->slot_before].keeper = item;
	if (entry->state == JUDGE_KEEP || entry->state == JUDGE_GONE)
		judge->queue[judge->queue_end++] = item;
	if (entry->state != JUDGE_MOVE && entry->state != JUDGE_CREATE)
		return MBJ_OK;
	return item_intern(judge, wanted->parent, wanted->name.key,
			   &entry->slot_wanted);
}

/* Claim, dependence and suspicion of one item that wants a place. */
static void item_claim(struct judge *judge, uint32_t item)
{
	const struct edit_draft *draft = judge->draft;
	struct judge_item *entry = &judge->items[item];
	uint32_t parent = draft->items[item].parent;

	if (entry->state != JUDGE_MOVE && entry->state != JUDGE_CREATE)
		return;
	edit_claims_link(&judge->claims, entry->slot_wanted, item);
	if (entry->state == JUDGE_CREATE ||
	    mbj_tree_get(draft->before, item)->parent != parent)
		judge->suspects[judge->suspect_count++] = item;
	if (parent == MBJ_NODE_ROOT || parent < draft->before_count)
		return;
	entry->dependent_next = judge->items[parent].dependent;
	judge->items[parent].dependent = item;
}

/* Creates by item, then updates by change: claims in processing order. */
static enum mbj_rc judge_claims(struct judge *judge)
{
	const struct edit_draft *draft = judge->draft;
	size_t count = judge->work->edit->change_count;
	uint32_t *placed;

	placed = mbj_calloc(count + 1, sizeof(*placed));
	if (placed == NULL)
		return mbj_error_nomem(judge->err);
	for (uint32_t i = 0; i < draft->before_count; i++)
		if (draft->items[i].change != MBJ_NODE_NONE)
			placed[draft->items[i].change] = i + 1;
	for (uint32_t i = draft->before_count; i < draft->count; i++)
		item_claim(judge, i);
	for (size_t i = 0; i < count; i++)
		if (placed[i] > 0)
			item_claim(judge, placed[i] - 1);
	mbj_free(placed);
	return MBJ_OK;
}

static enum mbj_rc judge_enter(struct judge *judge)
{
	uint32_t count = judge->draft->count;
	enum mbj_rc rc = MBJ_OK;

	/* Each item once at the beginning and once when it is refused. */
	judge->items = mbj_calloc((size_t)count + 1, sizeof(*judge->items));
	judge->queue = mbj_calloc(2 * (size_t)count + 1, sizeof(uint32_t));
	judge->suspects = mbj_calloc(2 * (size_t)count + 1, sizeof(uint32_t));
	judge->victims = mbj_calloc((size_t)count + 1, sizeof(uint32_t));
	if (judge->items == NULL || judge->queue == NULL ||
	    judge->suspects == NULL || judge->victims == NULL)
		return mbj_error_nomem(judge->err);
	rc = edit_claims_init(&judge->claims, count, judge->err);
	judge->doomed = MBJ_NODE_NONE;
	for (uint32_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = item_enter(judge, i);
	if (rc == MBJ_OK)
		rc = judge_claims(judge);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < count; i++)
		if (judge->draft->items[i].is_live)
			child_add(judge, judge->draft->items[i].parent);
	return MBJ_OK;
}

/* --------------------------------------------------------------- rounds */

static enum mbj_rc judge_give_up(struct judge *judge)
{
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < judge->draft->count; i++) {
		enum judge_state state = judge->items[i].state;

		if (state == JUDGE_MOVE || state == JUDGE_CREATE ||
		    state == JUDGE_DELETE)
			rc = judge_refuse(judge, i, MBJ_REFUSAL_TOO_LARGE, NULL,
					  "the changes contradict each other "
					  "in too many ways; send fewer at "
					  "once");
	}
	return rc;
}

/*
 * Look in the order given above; after a refusal from the top again.  Ends,
 * because each round but the last refuses something.
 */
static enum mbj_rc judge_rounds(struct judge *judge)
{
	uint32_t before;
	enum mbj_rc rc;

	do {
		rc = judge_drain(judge);
		before = judge->queue_end;
		if (rc == MBJ_OK && judge->steps_left == 0)
			rc = judge_give_up(judge);
		if (rc == MBJ_OK && judge->suspect_count > 0)
			rc = judge_cycles(judge);
		if (rc < 0 || judge->queue_end > before)
			continue;
		if (!judge->is_paired)
			rc = judge_pairs(judge);
		if (rc < 0 || judge->queue_end > before)
			continue;
		rc = judge_destroys(judge);
		if (rc < 0 || judge->queue_end > before)
			continue;
		rc = judge_depths(judge);
	} while (rc == MBJ_OK && judge->queue_end > before);
	return rc;
}

enum mbj_rc edit_judge_run(struct edit_work *work, struct mbj_error *err)
{
	struct judge judge = {
		.work = work,
		.draft = &work->draft,
		.steps_left = JUDGE_STEPS_MAX,
		.err = err,
	};
	enum mbj_rc rc;

	MBJ_ASSERT(work->draft.items != NULL);
	MBJ_ASSERT(work->outcome.results != NULL);
	rc = judge_enter(&judge);
	if (rc == MBJ_OK)
		rc = judge_rounds(&judge);
	edit_claims_done(&judge.claims);
	mbj_free(judge.items);
	mbj_free(judge.queue);
	mbj_free(judge.suspects);
	mbj_free(judge.victims);
	return rc;
}
