/*
 * The planner: bytes become two trees of the same mailboxes; its plan must
 * pass the checker that shares no code with it.  Two bytes a mailbox and side:
 * parent (one that came before in a shuffled order, so that there is no
 * cycle) and name.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/plan.h>

#include "fuzz.h"

enum { ITEMS_MAX = 48, NAMES = 5 };

struct pair {
	struct mbj_diff diff;
	struct mbj_diff_item items[ITEMS_MAX];
	uint8_t kinds[ITEMS_MAX];
};

/* One side: false for an absent mailbox; slots are kept unique by name. */
static void side_make(struct pair *pair, enum mbj_side side,
		      const uint8_t *data, const uint8_t *order)
{
	uint32_t count = pair->diff.count;
	bool is_there[ITEMS_MAX] = {false};

	for (uint32_t k = 0; k < count; k++) {
		uint32_t i = order[k];
		uint8_t parent = data[2 * i];
		uint32_t p = k ? order[parent % k] : 0;
		uint32_t above =
			k && parent % 5 && is_there[p] ? p : MBJ_NODE_ROOT;
		uint32_t name = data[2 * i + 1] % NAMES;

		pair->items[i].parent[side] = MBJ_NODE_NONE;
		if (data[2 * i + 1] >= 230)
			continue;
		for (uint32_t j = 0; j < count; j++) {
			if (is_there[j] &&
			    pair->items[j].parent[side] == above &&
			    pair->items[j].key[side] == name) {
				name++;
				j = UINT32_MAX;
			}
		}
		is_there[i] = true;
		pair->items[i].parent[side] = above;
		pair->items[i].key[side] = name;
	}
}

static void kinds_make(struct pair *pair)
{
	for (uint32_t i = 0; i < pair->diff.count; i++) {
		const struct mbj_diff_item *item = &pair->items[i];
		bool before = item->parent[0] != MBJ_NODE_NONE;
		bool after = item->parent[1] != MBJ_NODE_NONE;

		if (before && after)
			pair->kinds[i] =
				item->parent[0] == item->parent[1] &&
						item->key[0] == item->key[1]
					? MBJ_DIFF_KEEP
					: MBJ_DIFF_MOVE;
		else
			pair->kinds[i] =
				before ? MBJ_DIFF_DELETE : MBJ_DIFF_CREATE;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	uint8_t order[2][ITEMS_MAX];
	struct mbj_plan plan = {0};
	struct pair pair;
	uint32_t count = (uint32_t)(size / 5);

	if (count == 0 || count > ITEMS_MAX)
		return 0;
	memset(&pair, 0, sizeof(pair));
	options.nodes_max = 2000;
	pair.diff = (struct mbj_diff){.count = count,
				      .key_count = NAMES + ITEMS_MAX,
				      .items = pair.items,
				      .kind = pair.kinds};
	for (uint32_t i = 0; i < count; i++)
		order[0][i] = order[1][i] = (uint8_t)i;
	for (uint32_t i = count - 1; i > 0; i--) {
		uint32_t j = data[4 * count + i] % (i + 1);
		uint8_t held = order[1][i];

		order[1][i] = order[1][j];
		order[1][j] = held;
	}
	side_make(&pair, MBJ_BEFORE, data, order[0]);
	side_make(&pair, MBJ_AFTER, data + 2 * count, order[1]);
	for (uint32_t i = 0; i < count; i++) {
		/* In neither tree: it is no item at all. */
		if (pair.items[i].parent[0] == MBJ_NODE_NONE &&
		    pair.items[i].parent[1] == MBJ_NODE_NONE)
			return 0;
	}
	kinds_make(&pair);
	MBJ_ASSERT(mbj_plan_make(&pair.diff, &options, &plan, NULL) == MBJ_OK);
	MBJ_ASSERT(mbj_plan_check(&pair.diff, plan.steps, plan.count, NULL) ==
		   MBJ_OK);
	MBJ_ASSERT(plan.count == plan.lower_bound + plan.parks);
	FUZZ_CANARY(plan.parks > 1);
	mbj_plan_done(&plan);
	return 0;
}
