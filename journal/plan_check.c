/*
 * The replay that every plan has to pass before anybody sees it: each step
 * with every precondition on a copy of the tree before, then the comparison
 * with the tree after.  Shares no code and no idea with the planner: no hash,
 * no graph, no notion of safety.
 *
 * Slots are numbered first.  The slot that item i has before is number i; the
 * one it wants is the number of whoever has it before, or count + the first
 * item that wants it.  They are matched parent by parent: within one, a table
 * indexed by name key holds the last item seen with that key.
 *
 * Invariants of the replay:
 *   1. now[i] is the item's parent at this step: NONE while it is absent;
 *   2. holder[s] is who is in slot s, or NONE; items in TEMP hold none;
 *   3. children[i] counts the items whose parent is i now.
 */
#include <mbj/check.h>
#include <mbj/memory.h>
#include <mbj/plan.h>

#define NONE MBJ_NODE_NONE

struct replay {
	const struct mbj_diff *diff;
	uint32_t count;
	uint32_t *slot;	    /* [count] number of the slot it wants */
	uint32_t *holder;   /* [2 * count] */
	uint32_t *now;	    /* [count] */
	uint32_t *children; /* [count] */
	uint8_t *arrived;   /* [count] is where it is in the tree after */
};

/* --------------------------------------------------------------- slots */

/* Items of one side sorted by parent; group count is those at the top. */
struct groups {
	uint32_t *begin; /* [count + 2] */
	uint32_t *items;
};

static uint32_t group_of(const struct mbj_diff *diff, uint32_t item,
			 enum mbj_side side)
{
	uint32_t parent = diff->items[item].parent[side];

	return parent == MBJ_NODE_ROOT ? diff->count : parent;
}

static enum mbj_rc groups_init(struct groups *groups,
			       const struct mbj_diff *diff, enum mbj_side side,
			       struct mbj_error *err)
{
	uint32_t total = 0;

	groups->begin = mbj_calloc((size_t)diff->count + 2, sizeof(uint32_t));
	groups->items = mbj_alloc((size_t)diff->count * sizeof(uint32_t));
	if (groups->begin == NULL || groups->items == NULL)
		return mbj_error_nomem(err);
	for (uint32_t i = 0; i < diff->count; i++) {
		uint32_t group = group_of(diff, i, side);

		if (group == NONE)
			continue;
		if (group > diff->count ||
		    diff->items[i].key[side] >= diff->key_count)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "item %u has no place", i);
		groups->begin[group + 1]++;
	}
	for (uint32_t i = 0; i <= diff->count; i++) {
		total += groups->begin[i];
		groups->begin[i] = total;
	}
	/* begin[g] runs from the end of g - 1 to the end of g. */
	for (uint32_t i = 0; i < diff->count; i++) {
		uint32_t group = group_of(diff, i, side);

		if (group != NONE)
			groups->items[groups->begin[group]++] = i;
	}
	return MBJ_OK;
}

static void groups_done(struct groups *groups)
{
	mbj_free(groups->begin);
	mbj_free(groups->items);
}

static uint32_t group_begin(const struct groups *groups, uint32_t group)
{
	return group == 0 ? 0 : groups->begin[group - 1];
}

/* Number the wanted slots of one parent's children. */
static void slots_number_group(struct replay *replay, uint32_t group,
			       const struct groups *sides, uint32_t *by_key)
{
	const struct mbj_diff *diff = replay->diff;
	const struct groups *before = &sides[MBJ_BEFORE];
	const struct groups *after = &sides[MBJ_AFTER];

	for (uint32_t i = group_begin(before, group); i < before->begin[group];
	     i++) {
		uint32_t item = before->items[i];

		by_key[diff->items[item].key[MBJ_BEFORE]] = item;
	}
	for (uint32_t i = group_begin(after, group); i < after->begin[group];
	     i++) {
		uint32_t item = after->items[i];
		uint32_t key = diff->items[item].key[MBJ_AFTER];
		uint32_t slot = by_key[key];
		bool is_here = false;

		/* What another parent left behind does not count. */
		if (slot < replay->count)
			is_here = group_of(diff, slot, MBJ_BEFORE) == group;
		else if (slot != NONE)
			is_here = group_of(diff, slot - replay->count,
					   MBJ_AFTER) == group;
		if (!is_here) {
			slot = replay->count + item;
			by_key[key] = slot;
		}
		replay->slot[item] = slot;
	}
}

static enum mbj_rc slots_number(struct replay *replay, struct mbj_error *err)
{
	const struct mbj_diff *diff = replay->diff;
	struct groups sides[2] = {{0}, {0}};
	uint32_t *by_key = mbj_alloc(diff->key_count * sizeof(uint32_t));
	enum mbj_rc rc;

	if (by_key == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	rc = groups_init(&sides[MBJ_BEFORE], diff, MBJ_BEFORE, err);
	if (rc < 0)
		goto out;
	rc = groups_init(&sides[MBJ_AFTER], diff, MBJ_AFTER, err);
	if (rc < 0)
		goto out;
	for (uint32_t i = 0; i < diff->key_count; i++)
		by_key[i] = NONE;
	for (uint32_t group = 0; group <= diff->count; group++)
		slots_number_group(replay, group, sides, by_key);
out:
	groups_done(&sides[MBJ_AFTER]);
	groups_done(&sides[MBJ_BEFORE]);
	mbj_free(by_key);
	return rc;
}

/* -------------------------------------------------------------- replay */

static enum mbj_rc replay_init(struct replay *replay,
			       const struct mbj_diff *diff,
			       struct mbj_error *err)
{
	uint32_t count = diff->count;

	*replay = (struct replay){.diff = diff, .count = count};
	replay->slot = mbj_alloc((size_t)count * sizeof(uint32_t));
	replay->holder = mbj_alloc((size_t)count * 2 * sizeof(uint32_t));
	replay->now = mbj_alloc((size_t)count * sizeof(uint32_t));
	replay->children = mbj_calloc(count, sizeof(uint32_t));
	replay->arrived = mbj_calloc(count, 1);
	if (replay->slot == NULL || replay->holder == NULL ||
	    replay->now == NULL || replay->children == NULL ||
	    replay->arrived == NULL)
		return mbj_error_nomem(err);
	return MBJ_OK;
}

static void replay_done(struct replay *replay)
{
	mbj_free(replay->arrived);
	mbj_free(replay->children);
	mbj_free(replay->now);
	mbj_free(replay->holder);
	mbj_free(replay->slot);
}

/* The tree before. */
static void replay_start(struct replay *replay)
{
	for (uint32_t i = 0; i < replay->count; i++) {
		uint32_t parent = replay->diff->items[i].parent[MBJ_BEFORE];

		replay->now[i] = parent;
		replay->holder[i] = parent == NONE ? NONE : i;
		replay->holder[replay->count + i] = NONE;
		if (parent < replay->count)
			replay->children[parent]++;
	}
}

/* What is wrong with the step's kind or with where it starts, or NULL. */
static const char *source_fault(const struct replay *replay,
				const struct mbj_step *step)
{
	uint32_t item = step->item;
	uint32_t now = replay->now[item];
	uint8_t kind = replay->diff->kind[item];

	if (kind == MBJ_DIFF_KEEP || replay->arrived[item] != 0)
		return "the mailbox is in its place already";
	if (step->kind == MBJ_STEP_CREATE) {
		if (kind != MBJ_DIFF_CREATE || step->is_from_temp)
			return "not a mailbox to create";
		return now == NONE ? NULL : "the mailbox exists";
	}
	if (step->kind == MBJ_STEP_DELETE && kind != MBJ_DIFF_DELETE)
		return "not a mailbox to delete";
	if (step->kind != MBJ_STEP_DELETE && step->kind != MBJ_STEP_MOVE)
		return "no such kind of step";
	if (now == NONE)
		return "the mailbox does not exist";
	if (step->is_from_temp)
		return now == MBJ_NODE_TEMP ? NULL : "it is not parked";
	if (now == MBJ_NODE_TEMP)
		return "it is not in its slot before";
	/* It has not left yet, and a slot that is held is refused to others. */
	MBJ_ASSERT(replay->holder[item] == item);
	return NULL;
}

/* Walk up from where it is to go: true where that meets the mailbox. */
static bool target_is_below(const struct replay *replay, uint32_t item,
			    uint32_t target)
{
	uint32_t at = target;

	if (target == item)
		return true;
	/* Nothing is below a mailbox without children. */
	if (replay->children[item] == 0)
		return false;
	for (uint32_t steps = 0; at < replay->count; steps++) {
		if (at == item || steps > replay->count)
			return true;
		at = replay->now[at];
	}
	return false;
}

/* What is wrong with where the step leads, or NULL. */
static const char *target_fault(const struct replay *replay,
				const struct mbj_step *step)
{
	uint32_t item = step->item;
	uint32_t target = replay->diff->items[item].parent[MBJ_AFTER];
	uint32_t holder;

	if (step->kind == MBJ_STEP_DELETE) {
		if (step->is_to_temp)
			return "a delete leads nowhere";
		return replay->children[item] == 0 ? NULL : "it has children";
	}
	if (step->is_to_temp)
		return step->is_from_temp ? "it is parked already" : NULL;
	if (target == NONE)
		return "it has no place after";
	holder = replay->holder[replay->slot[item]];
	if (holder != NONE && holder != item)
		return "the target slot is taken";
	if (target >= replay->count)
		return NULL;
	if (replay->now[target] == NONE)
		return "the target parent does not exist";
	if (target_is_below(replay, item, target))
		return "the target parent is the mailbox or below it";
	return NULL;
}

static void replay_step(struct replay *replay, const struct mbj_step *step)
{
	uint32_t item = step->item;
	uint32_t old = replay->now[item];
	uint32_t place = replay->diff->items[item].parent[MBJ_AFTER];

	if (step->kind == MBJ_STEP_DELETE)
		place = NONE;
	else if (step->is_to_temp)
		place = MBJ_NODE_TEMP;
	if (step->kind != MBJ_STEP_CREATE && !step->is_from_temp)
		replay->holder[item] = NONE;
	if (place != NONE && place != MBJ_NODE_TEMP)
		replay->holder[replay->slot[item]] = item;
	if (old < replay->count)
		replay->children[old]--;
	if (place < replay->count)
		replay->children[place]++;
	replay->now[item] = place;
	replay->arrived[item] = place != MBJ_NODE_TEMP;
}

static enum mbj_rc replay_run(struct replay *replay,
			      const struct mbj_step *steps, size_t count,
			      struct mbj_error *err)
{
	for (size_t i = 0; i < count; i++) {
		const struct mbj_step *step = &steps[i];
		const char *fault;

		if (step->item >= replay->count)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "plan step %zu: no item %u", i,
					     step->item);
		fault = source_fault(replay, step);
		if (fault == NULL)
			fault = target_fault(replay, step);
		if (fault != NULL)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "plan step %zu, item %u: %s", i,
					     step->item, fault);
		replay_step(replay, step);
	}
	return MBJ_OK;
}

/* The tree after: everybody in place, each change made. */
static enum mbj_rc replay_compare(const struct replay *replay,
				  struct mbj_error *err)
{
	for (uint32_t i = 0; i < replay->count; i++) {
		const struct mbj_diff_item *item = &replay->diff->items[i];
		bool is_kept = replay->diff->kind[i] == MBJ_DIFF_KEEP;
		uint32_t parent = item->parent[MBJ_AFTER];

		if (replay->now[i] != parent ||
		    (parent != NONE && replay->holder[replay->slot[i]] != i) ||
		    replay->arrived[i] == is_kept)
			return mbj_error_set(err, MBJ_ECORRUPT,
					     "the plan leaves item %u "
					     "elsewhere than in its place",
					     i);
	}
	return MBJ_OK;
}

enum mbj_rc mbj_plan_check(const struct mbj_diff *diff,
			   const struct mbj_step *steps, size_t count,
			   struct mbj_error *err)
{
	struct replay replay;
	enum mbj_rc rc;

	MBJ_ASSERT(diff->count <= MBJ_NODE_MAX / 2);
	rc = replay_init(&replay, diff, err);
	if (rc < 0)
		goto out;
	rc = slots_number(&replay, err);
	if (rc < 0)
		goto out;
	replay_start(&replay);
	rc = replay_run(&replay, steps, count, err);
	if (rc < 0)
		goto out;
	rc = replay_compare(&replay, err);
out:
	replay_done(&replay);
	return rc;
}
