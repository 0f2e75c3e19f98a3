/*
 * A plan as a Graphviz drawing: the tree before, the tree after, and the
 * waits-for graph, in which a cycle is why somebody must be parked.
 *
 * Colours tell what happens: green is created, red is deleted, blue is moved.
 * In the waits-for graph each knot (mailboxes that wait for each other) has a
 * colour of its own and parked mailboxes have a double border.
 *
 * Invariants:
 *   1. whatever a name holds, the drawing is valid: a label is escaped for
 *      terminals first, for DOT's strings, escapes and entities then;
 *   2. of a large tree only what changes and its ancestors are drawn.
 *
 * Threads: one at a time per plan.
 */
#include <inttypes.h>

#include <mbj/check.h>

#include "jmap_plan.h"

/* Mailboxes of a tree that is drawn whole. */
enum { DOT_WHOLE_MAX = 400 };

struct dot {
	const struct mbj_jmap_plan *plan;
	struct mbj_buf *buf;
	struct mbj_buf scratch; /* one escaped name */
	uint8_t *kinds[2];	/* diff kind of each node, by side */
	uint8_t *is_drawn[2];
	bool *is_parked; /* of each item */
};

static const struct mbj_tree *dot_tree(const struct dot *dot, int side)
{
	return side == MBJ_BEFORE ? dot->plan->before : dot->plan->after;
}

/* The inside of a quoted string that DOT shows as the name. */
static void put_label(struct dot *dot, struct mbj_bytes name)
{
	mbj_buf_clear(&dot->scratch);
	mbj_name_escape(&dot->scratch, name);
	/* The next label clears it: the failure must not go with it. */
	if (dot->scratch.failed != MBJ_OK && dot->buf->failed == MBJ_OK)
		dot->buf->failed = dot->scratch.failed;
	for (size_t i = 0; i < dot->scratch.n; i++) {
		char c = (char)dot->scratch.p[i];

		if (c == '"' || c == '\\')
			mbj_buf_format(dot->buf, "\\%c", c);
		else if (c == '&')
			mbj_buf_put_str(dot->buf, "&amp;");
		else
			mbj_buf_put(dot->buf, &c, 1);
	}
}

static const char *kind_style(uint8_t kind)
{
	switch ((enum mbj_diff_kind)kind) {
	case MBJ_DIFF_CREATE:
		return ", fillcolor=\"#c7e9c0\"";
	case MBJ_DIFF_DELETE:
		return ", fillcolor=\"#fcbba1\"";
	case MBJ_DIFF_MOVE:
		return ", fillcolor=\"#c6dbef\"";
	case MBJ_DIFF_KEEP:
		break;
	}
	return "";
}

/* ---------------------------------------------------------------- trees */

/* Mark what changes, and the way up from there. */
static void side_mark(struct dot *dot, int side)
{
	const struct mbj_tree *tree = dot_tree(dot, side);
	uint32_t size = mbj_tree_size(tree);
	bool is_whole = mbj_tree_live_count(tree) <= DOT_WHOLE_MAX;

	for (uint32_t i = 0; i < size; i++) {
		if (!mbj_tree_get(tree, i)->is_live ||
		    (!is_whole && dot->kinds[side][i] == MBJ_DIFF_KEEP))
			continue;
		for (uint32_t at = i; at < size && !dot->is_drawn[side][at];
		     at = mbj_tree_get(tree, at)->parent)
			dot->is_drawn[side][at] = 1;
	}
}

static void put_node(struct dot *dot, int side, uint32_t index)
{
	const struct mbj_node *node = mbj_tree_get(dot_tree(dot, side), index);
	char letter = side == MBJ_BEFORE ? 'b' : 'a';

	mbj_buf_format(dot->buf, "    %c%" PRIu32 " [label=\"", letter, index);
	put_label(dot, node->name.stored);
	mbj_buf_format(dot->buf, "\"%s];\n",
		       kind_style(dot->kinds[side][index]));
	if (node->parent == MBJ_NODE_ROOT)
		mbj_buf_format(dot->buf, "    %croot", letter);
	else
		mbj_buf_format(dot->buf, "    %c%" PRIu32, letter,
			       node->parent);
	mbj_buf_format(dot->buf, " -> %c%" PRIu32 ";\n", letter, index);
}

static void put_tree(struct dot *dot, int side)
{
	const struct mbj_tree *tree = dot_tree(dot, side);
	uint32_t size = mbj_tree_size(tree), skipped = 0;
	const char *word = side == MBJ_BEFORE ? "before" : "after";

	mbj_buf_format(dot->buf,
		       "  subgraph cluster_%s {\n"
		       "    label=\"%s\";\n"
		       "    %croot [shape=point];\n",
		       word, word, word[0]);
	for (uint32_t i = 0; i < size; i++) {
		if (!mbj_tree_get(tree, i)->is_live)
			continue;
		if (dot->is_drawn[side][i])
			put_node(dot, side, i);
		else
			skipped++;
	}
	if (skipped > 0)
		mbj_buf_format(dot->buf,
			       "    %cmore [shape=plaintext, label=\"and "
			       "%" PRIu32 " that do not change\"];\n",
			       word[0], skipped);
	mbj_buf_put_str(dot->buf, "  }\n");
}

/* ------------------------------------------------------------ waits-for */

static const char *knot_colour(uint32_t component)
{
	static const char *const colours[] = {
		"#e41a1c", "#377eb8", "#4daf4a", "#984ea3",
		"#ff7f00", "#a65628", "#f781bf", "#666666",
	};

	return colours[component % (sizeof(colours) / sizeof(colours[0]))];
}

static const struct mbj_node *item_node(const struct dot *dot, uint32_t item)
{
	const struct mbj_diff *diff = dot->plan->diff;
	int side = diff->at[MBJ_BEFORE][item] != MBJ_NODE_NONE ? MBJ_BEFORE
							       : MBJ_AFTER;

	return mbj_tree_get(dot_tree(dot, side), diff->at[side][item]);
}

static void put_item(struct dot *dot, const struct mbj_waits *waits,
		     const bool *is_knotted, uint32_t item)
{
	const struct mbj_diff *diff = dot->plan->diff;

	mbj_buf_format(dot->buf, "    w%" PRIu32 " [label=\"", item);
	put_label(dot, item_node(dot, item)->name.stored);
	mbj_buf_format(dot->buf, "%s\"%s",
		       dot->is_parked[item] ? "\\nparked" : "",
		       kind_style(diff->kind[item]));
	if (dot->is_parked[item])
		mbj_buf_put_str(dot->buf, ", peripheries=2");
	if (is_knotted[item])
		mbj_buf_format(dot->buf, ", color=\"%s\", penwidth=2",
			       knot_colour(waits->component[item]));
	mbj_buf_put_str(dot->buf, "];\n");
}

static void put_edge(struct dot *dot, const struct mbj_waits *waits,
		     const bool *is_knotted, uint32_t from, uint32_t to)
{
	bool is_cyclic = is_knotted[from] &&
			 waits->component[from] == waits->component[to];

	mbj_buf_format(dot->buf, "    w%" PRIu32 " -> w%" PRIu32, from, to);
	if (is_cyclic)
		mbj_buf_format(dot->buf, " [color=\"%s\", penwidth=2]",
			       knot_colour(waits->component[from]));
	mbj_buf_put_str(dot->buf, ";\n");
}

static void put_waits(struct dot *dot, const struct mbj_waits *waits,
		      bool *is_knotted)
{
	const struct mbj_diff *diff = dot->plan->diff;

	for (uint32_t i = 0; i < diff->count; i++)
		is_knotted[i] = waits->component[i] != MBJ_NODE_NONE &&
				waits->component_size[i] > 1;
	mbj_buf_put_str(dot->buf, "  subgraph cluster_waits {\n"
				  "    label=\"waits for\";\n"
				  "    node [shape=box];\n");
	for (uint32_t i = 0; i < diff->count; i++)
		if (diff->kind[i] != MBJ_DIFF_KEEP)
			put_item(dot, waits, is_knotted, i);
	for (uint32_t i = 0; i < waits->count; i++)
		put_edge(dot, waits, is_knotted, waits->edges[i][0],
			 waits->edges[i][1]);
	mbj_buf_put_str(dot->buf, "  }\n");
}

/* -------------------------------------------------------------- drawing */

static enum mbj_rc dot_alloc(struct dot *dot, struct mbj_error *err)
{
	size_t items = dot->plan->diff->count;

	for (int side = 0; side < 2; side++) {
		size_t size = mbj_tree_size(dot_tree(dot, side));

		dot->kinds[side] = mbj_calloc(size, 1);
		dot->is_drawn[side] = mbj_calloc(size, 1);
		if (dot->kinds[side] == NULL || dot->is_drawn[side] == NULL)
			return mbj_error_nomem(err);
	}
	dot->is_parked = mbj_calloc(items, sizeof(*dot->is_parked));
	return dot->is_parked == NULL ? mbj_error_nomem(err) : MBJ_OK;
}

static void dot_free(struct dot *dot)
{
	for (int side = 0; side < 2; side++) {
		mbj_free(dot->kinds[side]);
		mbj_free(dot->is_drawn[side]);
	}
	mbj_free(dot->is_parked);
	mbj_buf_done(&dot->scratch);
}

/* Which node is which kind of item, and which items are parked. */
static void dot_learn(struct dot *dot)
{
	const struct mbj_diff *diff = dot->plan->diff;

	for (uint32_t i = 0; i < diff->count; i++) {
		for (int side = 0; side < 2; side++) {
			uint32_t at = diff->at[side][i];

			if (at != MBJ_NODE_NONE)
				dot->kinds[side][at] = diff->kind[i];
		}
	}
	side_mark(dot, MBJ_BEFORE);
	side_mark(dot, MBJ_AFTER);
}

/* Nodes of both trees are looked up by id: steps know nothing else. */
static enum mbj_rc dot_learn_parks(struct dot *dot, struct mbj_error *err)
{
	const struct mbj_jmap_plan *plan = dot->plan;
	uint32_t *item_of[2] = {NULL, NULL};
	enum mbj_rc rc = MBJ_OK;

	for (int side = 0; side < 2; side++) {
		item_of[side] = mbj_calloc(mbj_tree_size(dot_tree(dot, side)),
					   sizeof(uint32_t));
		if (item_of[side] == NULL) {
			rc = mbj_error_nomem(err);
			goto out;
		}
		for (uint32_t i = 0; i < plan->diff->count; i++)
			if (plan->diff->at[side][i] != MBJ_NODE_NONE)
				item_of[side][plan->diff->at[side][i]] = i;
	}
	for (size_t i = 0; i < plan->count; i++) {
		const struct plan_step *step = &plan->steps[i];

		if (step->to.is_absent || !mbj_id_is_temp(step->to.parent))
			continue;
		for (int side = 0; side < 2; side++) {
			uint32_t at =
				mbj_tree_find(dot_tree(dot, side), step->id);

			if (at != MBJ_NODE_NONE)
				dot->is_parked[item_of[side][at]] = true;
		}
	}
out:
	mbj_free(item_of[0]);
	mbj_free(item_of[1]);
	return rc;
}

static enum mbj_rc dot_put(struct dot *dot, struct mbj_error *err)
{
	struct mbj_waits waits = {.count = 0};
	bool *is_knotted = NULL;
	enum mbj_rc rc;

	rc = mbj_plan_waits(dot->plan->diff, &waits, err);
	if (rc < 0)
		return rc;
	is_knotted = mbj_calloc(dot->plan->diff->count, sizeof(*is_knotted));
	if (is_knotted == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	mbj_buf_format(dot->buf,
		       "digraph plan {\n"
		       "  label=\"%zu steps, at least %zu needed, %zu "
		       "parked%s\";\n"
		       "  labelloc=t;\n"
		       "  fontname=\"sans-serif\";\n"
		       "  node [shape=box, style=\"rounded,filled\", "
		       "fillcolor=\"#f7f7f7\", fontname=\"sans-serif\"];\n"
		       "  edge [arrowsize=0.7];\n",
		       dot->plan->count, dot->plan->lower_bound,
		       dot->plan->parks,
		       dot->plan->is_proven ? ", proven shortest" : "");
	put_tree(dot, MBJ_BEFORE);
	put_tree(dot, MBJ_AFTER);
	put_waits(dot, &waits, is_knotted);
	mbj_buf_put_str(dot->buf, "}\n");
	rc = mbj_buf_ok(dot->buf, err);
out:
	mbj_free(is_knotted);
	mbj_waits_done(&waits);
	return rc;
}

enum mbj_rc mbj_jmap_plan_dot(const struct mbj_jmap_plan *plan,
			      struct mbj_buf *ret_dot, struct mbj_error *err)
{
	struct dot dot = {.plan = plan, .buf = ret_dot};
	enum mbj_rc rc;

	MBJ_ASSERT(plan != NULL);
	MBJ_ASSERT(ret_dot != NULL);
	if (plan->before == NULL)
		return mbj_error_set(err, MBJ_EINVALID,
				     "a drawing needs the tree before, and "
				     "this plan came without one");
	mbj_buf_init(&dot.scratch, (size_t)16 * MBJ_NAME_MAX);
	rc = dot_alloc(&dot, err);
	if (rc == MBJ_OK) {
		dot_learn(&dot);
		rc = dot_learn_parks(&dot, err);
	}
	if (rc == MBJ_OK)
		rc = dot_put(&dot, err);
	dot_free(&dot);
	return rc;
}
