/*
 * Feedback vertex sets of a knot's AND graph, by reductions (Levy and Low
 * 1988) and, where they get stuck, by taking the node with the largest product
 * of degrees.  Each reduction keeps the size of a smallest set, so whatever
 * was taken before the first guess is a lower bound.
 *
 *   no arc in or none out   on no cycle: out of the graph
 *   an arc to itself        in every set: taken
 *   one arc in, or one out  every cycle through it passes the neighbour too:
 *                           the two become one node, called the neighbour
 *
 * Becoming one moves the arcs of the smaller side, so that the whole costs
 * O(m log m) for m arcs, whoever chose the graph.  Parallel arcs are looked
 * for among PARALLEL_SCAN_MAX only: one that stays makes a reduction late,
 * never wrong.
 *
 * Threads: no state outlives a call.
 */
#include "plan_priv.h"

enum { OUT = 0, IN = 1 };
enum { PARALLEL_SCAN_MAX = 16 };

struct fvs_arc {
	uint32_t end[2];      /* from, to */
	uint32_t next[2];     /* among the arcs out of end[0], into end[1] */
	uint32_t previous[2]; /* likewise */
};

struct fvs_node {
	uint32_t first[2]; /* arcs out, arcs in */
	uint32_t degree[2];
	uint32_t label; /* member that it stands for */
	bool is_gone;
	bool is_looped; /* has an arc to itself, not among its arcs */
	bool is_queued;
};

struct fvs {
	struct fvs_node *nodes;
	uint32_t node_count;
	uint32_t live_count;
	struct fvs_arc *arcs;
	uint32_t arc_count;
	uint32_t *todo; /* nodes that a rule may apply to */
	uint32_t todo_count;
	uint64_t *heap; /* candidates for a guess, or NULL before the first */
	size_t heap_count;
	size_t heap_capacity;
	uint32_t *taken;
	uint32_t taken_count;
};

/* --------------------------------------------------------------- lists */

static void node_touch(struct fvs *fvs, uint32_t v)
{
	struct fvs_node *node = &fvs->nodes[v];

	if (node->is_gone || node->is_queued ||
	    (node->degree[OUT] > 1 && node->degree[IN] > 1 && !node->is_looped))
		return;
	node->is_queued = true;
	fvs->todo[fvs->todo_count++] = v;
}

static void arc_link(struct fvs *fvs, uint32_t a, int side)
{
	struct fvs_arc *arc = &fvs->arcs[a];
	struct fvs_node *node = &fvs->nodes[arc->end[side]];

	arc->next[side] = node->first[side];
	arc->previous[side] = PLAN_NONE;
	if (node->first[side] != PLAN_NONE)
		fvs->arcs[node->first[side]].previous[side] = a;
	node->first[side] = a;
	node->degree[side]++;
}

static void arc_unlink(struct fvs *fvs, uint32_t a, int side)
{
	struct fvs_arc *arc = &fvs->arcs[a];
	struct fvs_node *node = &fvs->nodes[arc->end[side]];

	if (arc->previous[side] == PLAN_NONE)
		node->first[side] = arc->next[side];
	else
		fvs->arcs[arc->previous[side]].next[side] = arc->next[side];
	if (arc->next[side] != PLAN_NONE)
		fvs->arcs[arc->next[side]].previous[side] = arc->previous[side];
	MBJ_ASSERT(node->degree[side] > 0);
	node->degree[side]--;
}

static void arc_drop(struct fvs *fvs, uint32_t a)
{
	for (int side = OUT; side <= IN; side++) {
		arc_unlink(fvs, a, side);
		node_touch(fvs, fvs->arcs[a].end[side]);
	}
}

/* An arc between node (at its side) and far, found by a bounded look. */
static bool arc_is_parallel(const struct fvs *fvs, uint32_t node, int side,
			    uint32_t far)
{
	bool is_near = fvs->nodes[node].degree[side] <=
		       fvs->nodes[far].degree[1 - side];
	uint32_t from = is_near ? node : far;
	uint32_t wanted = is_near ? far : node;
	int list = is_near ? side : 1 - side;
	uint32_t a = fvs->nodes[from].first[list];

	for (int i = 0; i < PARALLEL_SCAN_MAX && a != PLAN_NONE; i++) {
		if (fvs->arcs[a].end[1 - list] == wanted)
			return true;
		a = fvs->arcs[a].next[list];
	}
	return false;
}

/* --------------------------------------------------------------- rules */

static void node_remove(struct fvs *fvs, uint32_t v)
{
	struct fvs_node *node = &fvs->nodes[v];

	MBJ_ASSERT(!node->is_gone);
	node->is_gone = true;
	fvs->live_count--;
	for (int side = OUT; side <= IN; side++)
		while (node->first[side] != PLAN_NONE)
			arc_drop(fvs, node->first[side]);
}

static void node_take(struct fvs *fvs, uint32_t v)
{
	fvs->taken[fvs->taken_count++] = fvs->nodes[v].label;
	node_remove(fvs, v);
}

/* Give the arcs on one side of a node to another one. */
static void node_give(struct fvs *fvs, uint32_t from, uint32_t to, int side)
{
	while (fvs->nodes[from].first[side] != PLAN_NONE) {
		uint32_t a = fvs->nodes[from].first[side];
		uint32_t far = fvs->arcs[a].end[1 - side];

		arc_unlink(fvs, a, side);
		if (far != to && !arc_is_parallel(fvs, to, side, far)) {
			fvs->arcs[a].end[side] = to;
			arc_link(fvs, a, side);
			continue;
		}
		arc_unlink(fvs, a, 1 - side);
		if (far == to)
			fvs->nodes[to].is_looped = true;
		else
			node_touch(fvs, far);
	}
}

static void heap_push(struct fvs *fvs, uint32_t v);

/* v has one arc on side: it and the neighbour become one. */
static void node_merge(struct fvs *fvs, uint32_t v, int side)
{
	uint32_t a = fvs->nodes[v].first[side];
	uint32_t u = fvs->arcs[a].end[1 - side];
	uint32_t stays = u;
	uint32_t goes = v;

	MBJ_ASSERT(u != v && !fvs->nodes[u].is_gone);
	arc_unlink(fvs, a, OUT);
	arc_unlink(fvs, a, IN);
	if (fvs->nodes[v].degree[1 - side] >
	    fvs->nodes[u].degree[OUT] + fvs->nodes[u].degree[IN]) {
		stays = v;
		goes = u;
		fvs->nodes[v].label = fvs->nodes[u].label;
		fvs->nodes[v].is_looped = fvs->nodes[u].is_looped;
	}
	node_give(fvs, goes, stays, OUT);
	node_give(fvs, goes, stays, IN);
	fvs->nodes[goes].is_gone = true;
	fvs->live_count--;
	node_touch(fvs, stays);
	if (fvs->heap != NULL)
		heap_push(fvs, stays);
}

static void fvs_reduce(struct fvs *fvs)
{
	while (fvs->todo_count > 0) {
		uint32_t v = fvs->todo[--fvs->todo_count];
		struct fvs_node *node = &fvs->nodes[v];

		node->is_queued = false;
		if (node->is_gone)
			continue;
		if (node->is_looped)
			node_take(fvs, v);
		else if (node->degree[IN] == 0 || node->degree[OUT] == 0)
			node_remove(fvs, v);
		else if (node->degree[IN] == 1)
			node_merge(fvs, v, IN);
		else if (node->degree[OUT] == 1)
			node_merge(fvs, v, OUT);
	}
}

/* ------------------------------------------------------------- guesses */

static uint64_t node_score(const struct fvs *fvs, uint32_t v)
{
	uint64_t score =
		(uint64_t)fvs->nodes[v].degree[OUT] * fvs->nodes[v].degree[IN];

	return score < UINT32_MAX ? score : UINT32_MAX;
}

/*
 * A heap of score << 32 | node, largest first.  Scores fall without notice
 * and are corrected when an entry comes up; one that rises is pushed anew.
 */
static void heap_push(struct fvs *fvs, uint32_t v)
{
	uint64_t entry = node_score(fvs, v) << 32 | v;
	size_t at = fvs->heap_count++;

	MBJ_ASSERT(fvs->heap_count <= fvs->heap_capacity);
	while (at > 0 && fvs->heap[(at - 1) / 2] < entry) {
		fvs->heap[at] = fvs->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	fvs->heap[at] = entry;
}

static uint64_t heap_pop(struct fvs *fvs)
{
	uint64_t top = fvs->heap[0];
	uint64_t entry = fvs->heap[--fvs->heap_count];
	size_t count = fvs->heap_count;
	size_t at = 0;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < count &&
		    fvs->heap[child + 1] > fvs->heap[child])
			child++;
		if (child >= count || fvs->heap[child] <= entry)
			break;
		fvs->heap[at] = fvs->heap[child];
		at = child;
	}
	fvs->heap[at] = entry;
	return top;
}

/* The live node with the largest product of degrees. */
static uint32_t fvs_guess(struct fvs *fvs)
{
	for (;;) {
		uint64_t entry;
		uint32_t v;

		MBJ_ASSERT(fvs->heap_count > 0);
		entry = heap_pop(fvs);
		v = (uint32_t)entry;
		if (fvs->nodes[v].is_gone)
			continue;
		/* Where its score has risen, the newer entry came up first. */
		MBJ_ASSERT(entry >> 32 >= node_score(fvs, v));
		if (entry >> 32 == node_score(fvs, v))
			return v;
		heap_push(fvs, v);
	}
}

static enum mbj_rc fvs_start_guessing(struct fvs *fvs, struct mbj_error *err)
{
	/* Each live node once, and once for each time one is merged away. */
	fvs->heap_capacity = 2 * (size_t)fvs->live_count;
	fvs->heap = mbj_alloc(fvs->heap_capacity * sizeof(*fvs->heap));
	if (fvs->heap == NULL)
		return mbj_error_nomem(err);
	for (uint32_t v = 0; v < fvs->node_count; v++)
		if (!fvs->nodes[v].is_gone)
			heap_push(fvs, v);
	return MBJ_OK;
}

/* --------------------------------------------------------------- input */

static void fvs_add_arc(struct fvs *fvs, const uint32_t *node_of, uint32_t from,
			uint32_t to)
{
	if (from == PLAN_NONE || to == PLAN_NONE ||
	    node_of[from] == PLAN_NONE || node_of[to] == PLAN_NONE)
		return;
	fvs->arcs[fvs->arc_count] = (struct fvs_arc){
		.end = {node_of[from], node_of[to]},
	};
	arc_link(fvs, fvs->arc_count, OUT);
	arc_link(fvs, fvs->arc_count, IN);
	fvs->arc_count++;
}

static void fvs_load(struct fvs *fvs, const struct knot *knot, bool with_above,
		     uint32_t *node_of)
{
	for (uint32_t v = 0; v < knot->count; v++) {
		node_of[v] = PLAN_NONE;
		if (knot->members[v].state != KNOT_PENDING)
			continue;
		node_of[v] = fvs->node_count;
		fvs->nodes[fvs->node_count++] = (struct fvs_node){
			.first = {PLAN_NONE, PLAN_NONE},
			.label = v,
		};
	}
	MBJ_ASSERT(fvs->node_count == knot->left);
	for (uint32_t v = 0; v < knot->count; v++) {
		const struct knot_member *member = &knot->members[v];
		uint32_t above = member->above[MBJ_AFTER];

		fvs_add_arc(fvs, node_of, v, member->occupant);
		fvs_add_arc(fvs, node_of, v, member->parent);
		fvs_add_arc(fvs, node_of, member->keeper, v);
		if (with_above && member->is_unsettled &&
		    above != member->occupant && above != member->parent)
			fvs_add_arc(fvs, node_of, v, above);
	}
	fvs->live_count = fvs->node_count;
	for (uint32_t v = 0; v < fvs->node_count; v++)
		node_touch(fvs, v);
}

static size_t fvs_arcs_max(const struct knot *knot)
{
	size_t count = 0;

	for (uint32_t v = 0; v < knot->count; v++) {
		const struct knot_member *member = &knot->members[v];

		if (member->state == KNOT_PENDING)
			count += (size_t)(member->occupant != PLAN_NONE) +
				 (member->parent != PLAN_NONE) +
				 (member->keeper != PLAN_NONE) +
				 member->is_unsettled;
	}
	return count;
}

enum mbj_rc plan_fvs_find(const struct knot *knot, bool with_above,
			  uint32_t *ret_members, uint32_t *ret_count,
			  uint32_t *ret_lower, struct mbj_error *err)
{
	struct fvs fvs = {.taken = ret_members};
	uint32_t *node_of = mbj_alloc(knot->count * sizeof(*node_of));
	uint32_t lower;
	enum mbj_rc rc = MBJ_OK;

	fvs.nodes = mbj_alloc(knot->left * sizeof(*fvs.nodes));
	fvs.arcs = mbj_alloc(fvs_arcs_max(knot) * sizeof(*fvs.arcs));
	fvs.todo = mbj_alloc(knot->left * sizeof(*fvs.todo));
	if (node_of == NULL || fvs.nodes == NULL || fvs.arcs == NULL ||
	    fvs.todo == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	fvs_load(&fvs, knot, with_above, node_of);
	fvs_reduce(&fvs);
	lower = fvs.taken_count + (fvs.live_count > 0);
	if (fvs.live_count > 0)
		rc = fvs_start_guessing(&fvs, err);
	if (rc < 0)
		goto out;
	while (fvs.live_count > 0) {
		node_take(&fvs, fvs_guess(&fvs));
		fvs_reduce(&fvs);
	}
	*ret_count = fvs.taken_count;
	*ret_lower = lower;
out:
	mbj_free(fvs.heap);
	mbj_free(fvs.todo);
	mbj_free(fvs.arcs);
	mbj_free(fvs.nodes);
	mbj_free(node_of);
	return rc;
}
