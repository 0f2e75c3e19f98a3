/*
 * The waits-for graph for people: drawings and diagnosis of why an edit needs
 * parks.  The same graphs as the planner's (plan_work.c), but the hub of a
 * tangle, which no reader would understand, is shown as what it stands for:
 * an arc to the nearest changed mailbox above the target in the same tangle.
 */
#include "plan_priv.h"

struct edges {
	uint32_t (*pairs)[2]; /* NULL: only count */
	uint32_t count;
};

static void edges_add(struct edges *edges, uint32_t from, uint32_t to)
{
	if (to == PLAN_NONE)
		return;
	MBJ_ASSERT(from != to);
	if (edges->pairs != NULL) {
		edges->pairs[edges->count][0] = from;
		edges->pairs[edges->count][1] = to;
	}
	edges->count++;
}

/*
 * The nearest moved or created mailbox at or above the parent after of a
 * dangerous item.  There is one, and in its tangle: a kept one leads nowhere
 * but to its only parent, so that all that it is tangled with lies beyond.
 * Kept ones in between are noted, so that the next walk is short.
 */
static uint32_t waits_above(const struct plan_work *work, uint32_t item,
			    uint32_t *memo)
{
	const struct mbj_diff_item *items = work->diff->items;
	uint32_t first = items[item].parent[MBJ_AFTER];
	uint32_t at = first;
	uint32_t found;

	while (plan_kind(work, at) == MBJ_DIFF_KEEP &&
	       memo[at] == MBJ_NODE_TEMP) {
		at = items[at].parent[MBJ_AFTER];
		MBJ_ASSERT(at < work->count &&
			   work->tangle[at] == work->tangle[item]);
	}
	found = plan_kind(work, at) != MBJ_DIFF_KEEP ? at : memo[at];
	for (uint32_t w = first; w != at; w = items[w].parent[MBJ_AFTER])
		memo[w] = found;
	return found;
}

static void waits_list(const struct plan_work *work, uint32_t *memo,
		       struct edges *edges)
{
	const struct mbj_diff_item *items = work->diff->items;

	for (uint32_t i = 0; i < work->count; i++) {
		enum mbj_diff_kind kind = plan_kind(work, i);
		uint32_t before = items[i].parent[MBJ_BEFORE];
		uint32_t after = items[i].parent[MBJ_AFTER];
		uint32_t above = PLAN_NONE;

		if (kind == MBJ_DIFF_KEEP)
			continue;
		if (kind != MBJ_DIFF_CREATE && before < work->count &&
		    plan_kind(work, before) == MBJ_DIFF_DELETE)
			edges_add(edges, before, i);
		if (kind == MBJ_DIFF_DELETE)
			continue;
		edges_add(edges, i, work->occupant[i]);
		if (after < work->count &&
		    plan_kind(work, after) == MBJ_DIFF_CREATE)
			edges_add(edges, i, after);
		else
			after = PLAN_NONE;
		if (plan_is_dangerous(work, i))
			above = waits_above(work, i, memo);
		if (above != after && above != work->occupant[i])
			edges_add(edges, i, above);
	}
}

/* Number components by their first item; hubs are nobody. */
static void waits_components(const struct plan_work *work,
			     struct mbj_waits *waits, uint32_t *number_of)
{
	uint32_t number = 0;

	for (uint32_t i = 0; i < work->waits.count; i++)
		number_of[i] = PLAN_NONE;
	for (uint32_t i = 0; i < work->count; i++) {
		uint32_t component = work->component[i];

		waits->component[i] = PLAN_NONE;
		waits->component_size[i] = 0;
		if (component == PLAN_NONE)
			continue;
		if (number_of[component] == PLAN_NONE)
			number_of[component] = number++;
		waits->component[i] = number_of[component];
	}
	/* The map is spent: count members in it, then hand the counts out. */
	for (uint32_t i = 0; i < number; i++)
		number_of[i] = 0;
	for (uint32_t i = 0; i < work->count; i++)
		if (waits->component[i] != PLAN_NONE)
			number_of[waits->component[i]]++;
	for (uint32_t i = 0; i < work->count; i++)
		if (waits->component[i] != PLAN_NONE)
			waits->component_size[i] =
				number_of[waits->component[i]];
}

static enum mbj_rc waits_fill(const struct plan_work *work,
			      struct mbj_waits *waits, struct mbj_error *err)
{
	size_t count = work->count;
	struct edges edges = {0};
	uint32_t *memo = mbj_alloc(work->waits.count * sizeof(*memo));
	enum mbj_rc rc = MBJ_OK;

	waits->component = mbj_alloc(count * sizeof(*waits->component));
	waits->component_size =
		mbj_alloc(count * sizeof(*waits->component_size));
	if (memo == NULL || waits->component == NULL ||
	    waits->component_size == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	waits_components(work, waits, memo);
	for (uint32_t i = 0; i < count; i++)
		memo[i] = MBJ_NODE_TEMP;
	waits_list(work, memo, &edges);
	waits->edges = mbj_alloc(edges.count * sizeof(*waits->edges));
	if (waits->edges == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	waits->count = edges.count;
	edges = (struct edges){.pairs = waits->edges};
	waits_list(work, memo, &edges);
	MBJ_ASSERT(edges.count == waits->count);
out:
	mbj_free(memo);
	return rc;
}

enum mbj_rc mbj_plan_waits(const struct mbj_diff *diff,
			   struct mbj_waits *ret_waits, struct mbj_error *err)
{
	struct plan_work work;
	struct mbj_waits waits = {0};
	enum mbj_rc rc;

	rc = plan_work_init(&work, diff, err);
	if (rc < 0)
		return rc;
	rc = waits_fill(&work, &waits, err);
	if (rc == MBJ_OK)
		*ret_waits = waits;
	else
		mbj_waits_done(&waits);
	plan_work_done(&work);
	return rc;
}

void mbj_waits_done(struct mbj_waits *waits)
{
	mbj_free(waits->component_size);
	mbj_free(waits->component);
	mbj_free(waits->edges);
	*waits = (struct mbj_waits){0};
}
