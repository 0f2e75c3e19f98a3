/*
 * From a diff to the planner's two graphs: what each item does, tangles
 * (components of the old-and-new-parent graph H), hubs, the waits-for graph W
 * and its components, the knots.  No decisions here; all of it is linear.
 *
 * Graph W, as docs/PLANNING.md defines it:
 *   moved, created  -> who holds the wanted slot
 *                   -> the new parent, if that is created; or, if dangerous,
 *                      its tangle's hub (which leads to that parent too)
 *   deleted         -> each of its children before
 *   hub             -> every changed member of its tangle: parking a deleted
 *                      one takes what is below it out of the way as well
 * A tangle has a hub if one of its moved members is dangerous.
 */
#include "plan_priv.h"

static bool kind_moves(enum mbj_diff_kind kind)
{
	return kind == MBJ_DIFF_MOVE || kind == MBJ_DIFF_CREATE;
}

static void work_set_roles(struct plan_work *work)
{
	const struct mbj_diff *diff = work->diff;

	for (uint32_t i = 0; i < work->count; i++) {
		const struct mbj_diff_item *item = &diff->items[i];

		for (int side = 0; side < 2; side++)
			MBJ_ASSERT(item->parent[side] < work->count ||
				   item->parent[side] == MBJ_NODE_ROOT ||
				   item->parent[side] == MBJ_NODE_NONE);
		MBJ_ASSERT(diff->kind[i] <= MBJ_DIFF_DELETE);
		work->role[i] = diff->kind[i];
		if (diff->kind[i] == MBJ_DIFF_MOVE &&
		    item->parent[0] == item->parent[1] &&
		    item->key[0] == item->key[1])
			work->role[i] = PLAN_ROLE_RELABEL;
	}
}

/* ------------------------------------------------------------- tangles */

/*
 * Arcs of H for the items that may lie on a cycle of it; is_loose says which.
 * An item whose parents are the root or items that cannot lie on a cycle
 * cannot either; where parents come before children, one pass finds them all.
 */
static uint32_t tangle_arcs(const struct plan_work *work, uint8_t *is_loose,
			    uint32_t (*arcs)[2])
{
	uint32_t loose_count = 0;

	for (uint32_t i = 0; i < work->count; i++)
		is_loose[i] = 1;
	for (uint32_t i = 0; i < work->count; i++) {
		const uint32_t *parent = work->diff->items[i].parent;

		is_loose[i] = 0;
		for (int side = 0; side < 2; side++) {
			uint32_t p = parent[side];

			arcs[i][side] = PLAN_NONE;
			if (p >= work->count || is_loose[p] == 0)
				continue;
			if (side == 0 || parent[0] != p)
				arcs[i][side] = p;
			is_loose[i] = 1;
		}
		loose_count += is_loose[i];
	}
	return loose_count;
}

/*
 * Mark dangerous items and number the hubs.  work->tangle holds components of
 * H on entry, hub numbers afterwards.
 */
static void tangle_hubs(struct plan_work *work, uint32_t *hub_of)
{
	const struct mbj_diff_item *items = work->diff->items;
	uint32_t *tangle = work->tangle;

	for (uint32_t i = 0; i < work->count; i++)
		hub_of[i] = PLAN_NONE;
	for (uint32_t i = 0; i < work->count; i++) {
		uint32_t parent = items[i].parent[MBJ_AFTER];

		if (!kind_moves(plan_kind(work, i)) || parent >= work->count ||
		    tangle[i] == PLAN_NONE || tangle[i] != tangle[parent])
			continue;
		work->role[i] |= PLAN_ROLE_DANGEROUS;
		if (plan_kind(work, i) == MBJ_DIFF_MOVE &&
		    hub_of[tangle[i]] == PLAN_NONE)
			hub_of[tangle[i]] = work->hub_count++;
	}
	for (uint32_t i = 0; i < work->count; i++) {
		if (tangle[i] != PLAN_NONE)
			tangle[i] = hub_of[tangle[i]];
		if (tangle[i] == PLAN_NONE)
			work->role[i] &= (uint8_t)~PLAN_ROLE_DANGEROUS;
	}
}

static enum mbj_rc work_find_tangles(struct plan_work *work,
				     struct mbj_error *err)
{
	uint32_t count = work->count;
	struct plan_graph graph = {.count = count};
	uint8_t *is_loose = mbj_alloc(count);
	uint32_t order_count;
	enum mbj_rc rc;

	graph.arcs = mbj_alloc((size_t)count * sizeof(*graph.arcs));
	if (is_loose == NULL || graph.arcs == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	rc = MBJ_OK;
	if (tangle_arcs(work, is_loose, graph.arcs) == 0) {
		for (uint32_t i = 0; i < count; i++)
			work->tangle[i] = PLAN_NONE;
		goto out;
	}
	rc = plan_graph_components(&graph, is_loose, count, work->tangle, NULL,
				   &order_count, err);
	if (rc < 0)
		goto out;
	/* The arcs are spent: their memory maps components to hubs. */
	tangle_hubs(work, (uint32_t *)graph.arcs);
out:
	mbj_free(graph.arcs);
	mbj_free(is_loose);
	return rc;
}

/* ----------------------------------------------------------- waits-for */

/* The list node that waits for item to leave its place before, if any. */
static uint32_t waits_keeper(const struct plan_work *work, uint32_t item)
{
	uint32_t parent = work->diff->items[item].parent[MBJ_BEFORE];

	if (plan_kind(work, item) == MBJ_DIFF_KEEP || parent >= work->count ||
	    plan_kind(work, parent) != MBJ_DIFF_DELETE)
		return PLAN_NONE;
	return parent;
}

/* The hub that has item as a member, if any. */
static uint32_t waits_hub(const struct plan_work *work, uint32_t item)
{
	if (plan_kind(work, item) == MBJ_DIFF_KEEP ||
	    work->tangle[item] == PLAN_NONE)
		return PLAN_NONE;
	return work->count + work->tangle[item];
}

static uint32_t waits_upward(const struct plan_work *work, uint32_t item)
{
	uint32_t parent = work->diff->items[item].parent[MBJ_AFTER];

	if (plan_is_dangerous(work, item))
		return work->count + work->tangle[item];
	if (parent < work->count && plan_kind(work, parent) == MBJ_DIFF_CREATE)
		return parent;
	return PLAN_NONE;
}

/* Lengths of the lists, kept in the second number of each list node's pair. */
static void waits_count(struct plan_work *work)
{
	uint32_t(*arcs)[2] = work->waits.arcs;

	for (uint32_t i = 0; i < work->waits.count; i++)
		arcs[i][1] = 0;
	for (uint32_t i = 0; i < work->count; i++) {
		uint32_t keeper = waits_keeper(work, i);
		uint32_t hub = waits_hub(work, i);

		if (keeper != PLAN_NONE)
			arcs[keeper][1]++;
		if (hub != PLAN_NONE)
			arcs[hub][1]++;
	}
}

/* Turn lengths into {begin, begin} and give everybody else its two arcs. */
static uint32_t waits_place(struct plan_work *work)
{
	uint32_t(*arcs)[2] = work->waits.arcs;
	uint32_t total = 0;

	for (uint32_t i = 0; i < work->waits.count; i++) {
		bool is_hub = i >= work->count;

		if (is_hub || plan_kind(work, i) == MBJ_DIFF_DELETE) {
			uint32_t length = arcs[i][1];

			arcs[i][0] = PLAN_LIST | total;
			arcs[i][1] = total;
			total += length;
		} else if (kind_moves(plan_kind(work, i))) {
			arcs[i][0] = work->occupant[i];
			arcs[i][1] = waits_upward(work, i);
		} else {
			arcs[i][0] = PLAN_NONE;
			arcs[i][1] = PLAN_NONE;
		}
	}
	return total;
}

static void waits_fill(struct plan_work *work)
{
	uint32_t(*arcs)[2] = work->waits.arcs;
	uint32_t *lists = work->waits.lists;

	for (uint32_t i = 0; i < work->count; i++) {
		uint32_t keeper = waits_keeper(work, i);
		uint32_t hub = waits_hub(work, i);

		if (keeper != PLAN_NONE)
			lists[arcs[keeper][1]++] = i;
		if (hub != PLAN_NONE)
			lists[arcs[hub][1]++] = i;
	}
}

static enum mbj_rc work_find_knots(struct plan_work *work,
				   struct mbj_error *err)
{
	struct plan_graph *waits = &work->waits;
	uint32_t total;

	waits->count = work->count + work->hub_count;
	waits->arcs = mbj_alloc((size_t)waits->count * sizeof(*waits->arcs));
	if (waits->arcs == NULL)
		return mbj_error_nomem(err);
	waits_count(work);
	total = waits_place(work);
	MBJ_ASSERT(total <= 2 * work->count);
	waits->lists = mbj_alloc((size_t)total * sizeof(*waits->lists));
	work->component =
		mbj_alloc((size_t)waits->count * sizeof(*work->component));
	work->order = mbj_alloc((size_t)waits->count * sizeof(*work->order));
	if (waits->lists == NULL || work->component == NULL ||
	    work->order == NULL)
		return mbj_error_nomem(err);
	waits_fill(work);
	return plan_graph_components(waits, work->role, work->count,
				     work->component, work->order,
				     &work->order_count, err);
}

enum mbj_rc plan_work_init(struct plan_work *work, const struct mbj_diff *diff,
			   struct mbj_error *err)
{
	uint32_t count = diff->count;
	enum mbj_rc rc;

	MBJ_ASSERT(count <= PLAN_COUNT_MAX);
	*work = (struct plan_work){.diff = diff, .count = count};
	work->role = mbj_alloc(count);
	work->occupant = mbj_alloc((size_t)count * sizeof(*work->occupant));
	work->tangle = mbj_alloc((size_t)count * sizeof(*work->tangle));
	if (work->role == NULL || work->occupant == NULL ||
	    work->tangle == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	work_set_roles(work);
	rc = work_find_tangles(work, err);
	if (rc < 0)
		goto out;
	rc = plan_slots_match(diff, work->role, work->occupant, err);
	if (rc < 0)
		goto out;
	rc = work_find_knots(work, err);
out:
	if (rc < 0)
		plan_work_done(work);
	return rc;
}

void plan_work_done(struct plan_work *work)
{
	mbj_free(work->order);
	mbj_free(work->component);
	mbj_free(work->waits.lists);
	mbj_free(work->waits.arcs);
	mbj_free(work->tangle);
	mbj_free(work->occupant);
	mbj_free(work->role);
	*work = (struct plan_work){0};
}
