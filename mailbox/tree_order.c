/*
 * The order of a listing: every mailbox after its parent, right behind it
 * all that lies below it, siblings by comparison key.
 *
 * Nodes are grouped by parent with a counting sort, each group is merge
 * sorted bottom-up on eight-byte prefixes of the keys, and the tree is then
 * walked with a stack of its own: O(n log n) at worst, no recursion, and
 * memory only through our allocator (which qsort would go around).
 *
 * Threads: a reader.
 */
#include "tree_impl.h"

struct order_entry {
	uint64_t prefix; /* first bytes of the key, most significant first */
	uint32_t index;
};

struct order {
	const struct mbj_tree *tree;
	uint32_t *begin;	     /* [size + 3] first entry of a group */
	struct order_entry *entries; /* [live] grouped by parent */
	struct order_entry *scratch; /* [live] */
	uint32_t *stack;	     /* [live] */
};

/* Groups: one a node, then that of ROOT, then that of TEMP. */
static uint32_t order_group(const struct mbj_tree *tree, uint32_t parent)
{
	if (parent == MBJ_NODE_ROOT)
		return tree->size;
	if (parent == MBJ_NODE_TEMP)
		return tree->size + 1;
	MBJ_ASSERT(parent < tree->size);
	return parent;
}

static uint64_t key_prefix(struct mbj_bytes key)
{
	uint64_t prefix = 0;

	for (size_t i = 0; i < 8; i++)
		prefix = prefix << 8 | (i < key.n ? key.p[i] : 0);
	return prefix;
}

static bool entry_is_less(const struct mbj_tree *tree,
			  const struct order_entry *a,
			  const struct order_entry *b)
{
	if (a->prefix != b->prefix)
		return a->prefix < b->prefix;
	return mbj_bytes_compare(tree->nodes[a->index].name.key,
				 tree->nodes[b->index].name.key) < 0;
}

static void order_group_nodes(struct order *order)
{
	const struct mbj_tree *tree = order->tree;
	uint32_t sum = 0;

	/* Counts, shifted by one, become begins by summing up. */
	for (uint32_t i = 0; i < tree->size; i++) {
		if (tree->nodes[i].is_live)
			order->begin[order_group(tree, tree->nodes[i].parent) +
				     1]++;
	}
	for (uint32_t i = 0; i < tree->size + 3; i++) {
		sum += order->begin[i];
		order->begin[i] = sum;
	}
	MBJ_ASSERT(sum == tree->live_count);
	/* Filling moves each begin to its end: the next group's begin. */
	for (uint32_t i = 0; i < tree->size; i++) {
		const struct mbj_node *node = &tree->nodes[i];
		uint32_t *at;

		if (!node->is_live)
			continue;
		at = &order->begin[order_group(tree, node->parent)];
		order->entries[*at].prefix = key_prefix(node->name.key);
		order->entries[*at].index = i;
		(*at)++;
	}
	memmove(order->begin + 1, order->begin,
		(tree->size + 2) * sizeof(*order->begin));
	order->begin[0] = 0;
}

static void order_merge(const struct mbj_tree *tree,
			const struct order_entry *from, size_t middle, size_t n,
			struct order_entry *to)
{
	size_t left = 0, right = middle;

	for (size_t i = 0; i < n; i++) {
		if (right == n ||
		    (left < middle &&
		     !entry_is_less(tree, &from[right], &from[left])))
			to[i] = from[left++];
		else
			to[i] = from[right++];
	}
}

/* Runs of width, then of twice that; the result ends up in entries. */
static void order_sort(struct order *order, uint32_t begin, uint32_t end)
{
	size_t n = end - begin;
	struct order_entry *from = order->entries + begin;
	struct order_entry *to = order->scratch + begin;

	for (size_t width = 1; width < n; width *= 2) {
		struct order_entry *swap = from;

		for (size_t at = 0; at < n; at += 2 * width) {
			size_t run = n - at < 2 * width ? n - at : 2 * width;
			size_t middle = run < width ? run : width;

			order_merge(order->tree, from + at, middle, run,
				    to + at);
		}
		from = to;
		to = swap;
	}
	if (from != order->entries + begin)
		memcpy(order->entries + begin, from, n * sizeof(*from));
}

/* Push a group so that its first entry comes off first. */
static uint32_t order_push(struct order *order, uint32_t group, uint32_t top)
{
	for (uint32_t i = order->begin[group + 1]; i > order->begin[group];
	     i--) {
		MBJ_ASSERT(top < order->tree->live_count);
		order->stack[top++] = order->entries[i - 1].index;
	}
	return top;
}

static void order_walk(struct order *order, uint32_t *indexes)
{
	uint32_t size = order->tree->size;
	uint32_t top, n = 0;

	top = order_push(order, size + 1, 0);
	top = order_push(order, size, top);
	while (top > 0) {
		uint32_t index = order->stack[--top];

		indexes[n++] = index;
		top = order_push(order, index, top);
	}
	MBJ_ASSERT(n == order->tree->live_count);
}

enum mbj_rc mbj_tree_order(const struct mbj_tree *tree, uint32_t **ret_indexes,
			   size_t *ret_count, struct mbj_error *err)
{
	struct order order = {.tree = tree};
	uint32_t *indexes = NULL;
	enum mbj_rc rc = MBJ_OK;
	size_t live;

	MBJ_ASSERT(tree != NULL && ret_indexes != NULL && ret_count != NULL);
	MBJ_ASSERT(tree->loose_count == 0);
	live = tree->live_count;
	order.begin = mbj_calloc((size_t)tree->size + 3, sizeof(uint32_t));
	order.entries = mbj_calloc(live, sizeof(*order.entries));
	order.scratch = mbj_calloc(live, sizeof(*order.scratch));
	order.stack = mbj_calloc(live, sizeof(*order.stack));
	indexes = mbj_calloc(live, sizeof(*indexes));
	if (order.begin == NULL || order.entries == NULL ||
	    order.scratch == NULL || order.stack == NULL || indexes == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	order_group_nodes(&order);
	for (uint32_t i = 0; i < tree->size + 2; i++)
		order_sort(&order, order.begin[i], order.begin[i + 1]);
	order_walk(&order, indexes);
	*ret_indexes = indexes;
	*ret_count = live;
	indexes = NULL;
out:
	mbj_free(indexes);
	mbj_free(order.stack);
	mbj_free(order.scratch);
	mbj_free(order.entries);
	mbj_free(order.begin);
	return rc;
}
