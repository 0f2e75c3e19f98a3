/*
 * Strongly connected components in linear time and without recursion (Tarjan
 * 1972, in the one-array form of Pearce 2016).  Knows nothing of mailboxes.
 *
 * One array, mark[], holds for each node in turn: 0 while it is unseen, the
 * lowest visit index it reaches while it is open, MARK_TOP minus its
 * component's number once that is complete.
 *
 * Invariants:
 *   1. open marks are below all complete ones;
 *   2. components complete dependencies first: their numbers follow every arc
 *      downwards;
 *   3. frames and stack together hold each node at most once.
 */
#include "plan_priv.h"

#define MARK_TOP ((uint32_t)0xfffffff0u)

_Static_assert(2 * PLAN_COUNT_MAX < 0x7ffffff0, "indexes stay below marks");

struct frame {
	uint32_t node;
	uint32_t cursor; /* arcs taken */
	uint32_t index;	 /* when it was visited */
};

struct search {
	const struct plan_graph *graph;
	uint32_t *mark;
	struct frame *frames;
	size_t depth;
	uint32_t *stack; /* closed nodes of open components */
	uint32_t stack_count;
	uint32_t next_index;
	uint32_t component_count;
	uint32_t *order; /* or NULL */
	uint32_t order_count;
};

/* The next arc out of a frame's node; false when there is none left. */
static bool frame_next(const struct plan_graph *graph, struct frame *frame,
		       uint32_t *ret_target)
{
	const uint32_t *arcs = graph->arcs[frame->node];

	if (plan_arc_is_list(arcs[0])) {
		uint32_t at = (arcs[0] & ~PLAN_LIST) + frame->cursor;

		if (at >= arcs[1])
			return false;
		frame->cursor++;
		*ret_target = graph->lists[at];
		MBJ_ASSERT(*ret_target < graph->count);
		return true;
	}
	while (frame->cursor < 2) {
		uint32_t target = arcs[frame->cursor++];

		if (target < graph->count) {
			*ret_target = target;
			return true;
		}
	}
	return false;
}

static void search_open(struct search *search, uint32_t node)
{
	const uint32_t *arcs = search->graph->arcs[node];

	for (int i = 0; i < 2; i++)
		if (arcs[i] < search->graph->count) {
			PLAN_PREFETCH(&search->mark[arcs[i]]);
			PLAN_PREFETCH(&search->graph->arcs[arcs[i]]);
		}
	search->mark[node] = search->next_index;
	search->frames[search->depth++] =
		(struct frame){.node = node,
			       .cursor = 0,
			       .index = search->next_index};
	search->next_index++;
}

static void search_settle(struct search *search, uint32_t node)
{
	search->mark[node] = MARK_TOP - search->component_count;
	search->next_index--;
	if (search->order != NULL)
		search->order[search->order_count++] = node;
}

/* The top frame has no arcs left: it ends a component or joins the stack. */
static void search_close(struct search *search)
{
	const struct frame *frame = &search->frames[--search->depth];
	uint32_t node = frame->node;
	uint32_t low = search->mark[node];

	MBJ_ASSERT(low >= 1 && low <= frame->index);
	if (low < frame->index) {
		uint32_t above;

		MBJ_ASSERT(search->depth > 0);
		search->stack[search->stack_count++] = node;
		above = search->frames[search->depth - 1].node;
		if (low < search->mark[above])
			search->mark[above] = low;
		return;
	}
	search_settle(search, node);
	while (search->stack_count > 0) {
		uint32_t member = search->stack[search->stack_count - 1];

		if (search->mark[member] < low)
			break;
		search->stack_count--;
		search_settle(search, member);
	}
	search->component_count++;
}

static void search_from(struct search *search, uint32_t root)
{
	search_open(search, root);
	while (search->depth > 0) {
		struct frame *frame = &search->frames[search->depth - 1];
		uint32_t target;

		if (!frame_next(search->graph, frame, &target))
			search_close(search);
		else if (search->mark[target] == 0)
			search_open(search, target);
		else if (search->mark[target] < search->mark[frame->node])
			search->mark[frame->node] = search->mark[target];
	}
	MBJ_ASSERT(search->stack_count == 0 && search->next_index == 1);
}

enum mbj_rc plan_graph_components(const struct plan_graph *graph,
				  const uint8_t *is_root, uint32_t root_count,
				  uint32_t *component, uint32_t *order,
				  uint32_t *ret_order_count,
				  struct mbj_error *err)
{
	struct search search = {.graph = graph,
				.mark = component,
				.next_index = 1,
				.order = order};
	uint32_t count = graph->count;
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(root_count <= count && count <= 2 * PLAN_COUNT_MAX);
	search.frames = mbj_alloc((size_t)count * sizeof(*search.frames));
	search.stack = mbj_alloc((size_t)count * sizeof(*search.stack));
	if (search.frames == NULL || search.stack == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	memset(component, 0, (size_t)count * sizeof(*component));
	for (uint32_t i = 0; i < root_count; i++)
		if (is_root[i] != 0 && search.mark[i] == 0)
			search_from(&search, i);
	for (uint32_t i = 0; i < count; i++)
		component[i] =
			component[i] == 0 ? PLAN_NONE : MARK_TOP - component[i];
	*ret_order_count = search.order_count;
out:
	mbj_free(search.stack);
	mbj_free(search.frames);
	return rc;
}
