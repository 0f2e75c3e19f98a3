/*
 * Exhaustive search of a small knot: is there a way with fewer parks?
 *
 * A state is two sets of at most 64 bits, done and parked, always closed under
 * safe steps (they never hurt).  From a state lead the unsafe steps that can
 * be taken, at no cost, and the parks, at a cost of one.  States are visited
 * by cost, each once, so that the first complete one has the fewest parks.
 *
 * Memory: at most 32 bytes for each state of the budget.
 */
#include "plan_priv.h"

enum { BITS_MAX = 64 };

struct exact_node {
	uint64_t need;	  /* must be done or parked before */
	uint8_t above[2]; /* nearest above, or BITS_MAX */
	bool is_create;
	uint32_t member;
};

struct exact_state {
	uint64_t done;
	uint64_t parked;
	uint32_t previous; /* state */
	uint32_t move;	   /* node << 1 | is park */
};

struct exact {
	const struct knot *knot;
	struct exact_node nodes[BITS_MAX]; /* above[AFTER] before below */
	uint32_t count;
	uint64_t all;
	struct exact_state *states;
	size_t state_count;
	size_t state_capacity;
	uint32_t *table; /* state + 1 by hash, 0: free */
	size_t table_mask;
	uint64_t *states_left;
	bool is_spent;
	bool is_complete; /* the last state added is */
};

static uint64_t bit(uint32_t b)
{
	return (uint64_t)1 << b;
}

static uint32_t lowest(uint64_t set)
{
	uint32_t b = 0;

	MBJ_ASSERT(set != 0);
#if defined(__GNUC__)
	b = (uint32_t)__builtin_ctzll(set);
#else
	while ((set >> b & 1) == 0)
		b++;
#endif
	return b;
}

/* ------------------------------------------------------------- closure */

static bool node_is_clear(const struct exact_node *node, uint64_t settled)
{
	return node->above[MBJ_AFTER] == BITS_MAX ||
	       (settled >> node->above[MBJ_AFTER] & 1) != 0;
}

/*
 * Take safe steps until there are none.  One pass goes down each tangle, so
 * that what settles above serves those below at once.  Returns the settled.
 */
static uint64_t exact_close(const struct exact *exact,
			    struct exact_state *state)
{
	uint64_t settled;
	uint64_t before;

	do {
		before = state->done;
		settled = state->parked;
		for (uint32_t b = 0; b < exact->count; b++) {
			const struct exact_node *node = &exact->nodes[b];
			uint64_t gone = state->done | state->parked;

			if ((state->parked & bit(b)) != 0 ||
			    !node_is_clear(node, settled))
				continue;
			if ((gone & bit(b)) == 0 && (node->need & ~gone) != 0)
				continue;
			state->done |= bit(b);
			settled |= bit(b);
		}
	} while (state->done != before);
	return settled;
}

/* The walk up from a target now: does it miss the mover? */
static bool exact_walk(const struct exact *exact,
		       const struct exact_state *state, uint32_t mover)
{
	uint32_t at = exact->nodes[mover].above[MBJ_AFTER];

	while (at != BITS_MAX && at != mover) {
		if ((state->parked & bit(at)) != 0)
			return true;
		at = exact->nodes[at]
			     .above[(state->done & bit(at)) != 0 ? MBJ_AFTER
								 : MBJ_BEFORE];
	}
	return at == BITS_MAX;
}

/* The unsafe steps that can be taken from a closed state. */
static uint64_t exact_unsafe(const struct exact *exact,
			     const struct exact_state *state)
{
	uint64_t gone = state->done | state->parked;
	uint64_t found = 0;

	for (uint64_t set = exact->all & ~gone; set != 0; set &= set - 1) {
		uint32_t b = lowest(set);
		const struct exact_node *node = &exact->nodes[b];

		if ((node->need & ~gone) != 0)
			continue;
		if (node->is_create || exact_walk(exact, state, b))
			found |= bit(b);
	}
	return found;
}

/* -------------------------------------------------------------- states */

static size_t exact_hash(const struct exact_state *state)
{
	uint64_t h = state->done * 0x9e3779b97f4a7c15u;

	h ^= h >> 32;
	h = (h + state->parked) * 0xd6e8feb86659fd93u;
	return (size_t)(h ^ h >> 32);
}

/* The place of a state in the table, free or taken by its equal. */
static uint32_t *exact_place(const struct exact *exact,
			     const struct exact_state *state)
{
	size_t at = exact_hash(state) & exact->table_mask;

	while (exact->table[at] != 0) {
		const struct exact_state *other =
			&exact->states[exact->table[at] - 1];

		if (other->done == state->done &&
		    other->parked == state->parked)
			break;
		at = (at + 1) & exact->table_mask;
	}
	return &exact->table[at];
}

/* Twice the room; the table stays at most half full. */
static enum mbj_rc exact_grow(struct exact *exact, struct mbj_error *err)
{
	size_t capacity =
		exact->state_capacity == 0 ? 64 : 2 * exact->state_capacity;
	struct exact_state *states;
	uint32_t *table;

	states = mbj_realloc_array(exact->states, capacity, sizeof(*states));
	if (states == NULL)
		return mbj_error_nomem(err);
	exact->states = states;
	exact->state_capacity = capacity;
	table = mbj_calloc(2 * capacity, sizeof(*table));
	if (table == NULL)
		return mbj_error_nomem(err);
	mbj_free(exact->table);
	exact->table = table;
	exact->table_mask = 2 * capacity - 1;
	for (size_t i = 0; i < exact->state_count; i++)
		*exact_place(exact, &states[i]) = (uint32_t)i + 1;
	return MBJ_OK;
}

/* Close a state and keep it if it is new. */
static enum mbj_rc exact_add(struct exact *exact, struct exact_state state,
			     struct mbj_error *err)
{
	uint32_t *place;

	(void)exact_close(exact, &state);
	if (exact->state_count == exact->state_capacity) {
		enum mbj_rc rc = exact_grow(exact, err);

		if (rc < 0)
			return rc;
	}
	place = exact_place(exact, &state);
	if (*place != 0)
		return MBJ_OK;
	if (*exact->states_left == 0) {
		exact->is_spent = true;
		return MBJ_OK;
	}
	--*exact->states_left;
	exact->states[exact->state_count++] = state;
	*place = (uint32_t)exact->state_count;
	exact->is_complete = (state.done | state.parked) == exact->all;
	return MBJ_OK;
}

/* All that state leads to by moves of one kind. */
static enum mbj_rc exact_expand(struct exact *exact, size_t at, bool is_park,
				struct mbj_error *err)
{
	struct exact_state state = exact->states[at];
	uint64_t gone = state.done | state.parked;
	uint64_t set =
		is_park ? exact->all & ~gone : exact_unsafe(exact, &state);

	while (set != 0 && !exact->is_spent && !exact->is_complete) {
		uint32_t b = lowest(set);
		struct exact_state next = state;
		enum mbj_rc rc;

		set &= set - 1;
		next.previous = (uint32_t)at;
		next.move = b << 1 | is_park;
		*(is_park ? &next.parked : &next.done) |= bit(b);
		rc = exact_add(exact, next, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/* -------------------------------------------------------------- search */

/* The nearest pending member above, on one side, as a node. */
static uint8_t exact_above(const struct knot *knot, const uint8_t *node_of,
			   uint32_t v, enum mbj_side side)
{
	uint32_t at = knot->members[v].above[side];

	/* Done by a safe step: all above it is done too. */
	if (at == PLAN_NONE || knot->members[at].state == KNOT_DONE)
		return BITS_MAX;
	MBJ_ASSERT(knot->members[at].state == KNOT_PENDING);
	return node_of[at];
}

static void exact_need(const struct exact *exact, const uint8_t *node_of,
		       uint32_t needed, uint64_t *need)
{
	const struct knot *knot = exact->knot;

	if (needed != PLAN_NONE && knot->members[needed].state == KNOT_PENDING)
		*need |= bit(node_of[needed]);
}

/* Number the pending members so that above[AFTER] comes before below. */
static void exact_number(struct exact *exact, uint8_t *node_of)
{
	const struct knot *knot = exact->knot;
	uint32_t before;

	for (uint32_t v = 0; v < knot->count; v++)
		node_of[v] = BITS_MAX;
	do {
		before = exact->count;
		for (uint32_t v = 0; v < knot->count; v++) {
			uint32_t above = knot->members[v].above[MBJ_AFTER];

			if (knot->members[v].state != KNOT_PENDING ||
			    node_of[v] != BITS_MAX)
				continue;
			if (above != PLAN_NONE && node_of[above] == BITS_MAX &&
			    knot->members[above].state == KNOT_PENDING)
				continue;
			node_of[v] = (uint8_t)exact->count;
			exact->nodes[exact->count++].member = v;
		}
	} while (exact->count > before);
	MBJ_ASSERT(exact->count == knot->left);
	exact->all =
		exact->count == BITS_MAX ? UINT64_MAX : bit(exact->count) - 1;
}

static enum mbj_rc exact_load(struct exact *exact, struct mbj_error *err)
{
	const struct knot *knot = exact->knot;
	uint8_t *node_of = mbj_alloc(knot->count);

	if (node_of == NULL)
		return mbj_error_nomem(err);
	exact_number(exact, node_of);
	for (uint32_t b = 0; b < exact->count; b++) {
		struct exact_node *node = &exact->nodes[b];
		uint32_t v = node->member;
		const struct knot_member *member = &knot->members[v];

		node->is_create = member->kind == MBJ_DIFF_CREATE;
		exact_need(exact, node_of, member->occupant, &node->need);
		exact_need(exact, node_of, member->parent, &node->need);
		for (int side = 0; side < 2; side++)
			node->above[side] = exact_above(knot, node_of, v,
							(enum mbj_side)side);
		if (member->keeper != PLAN_NONE)
			exact->nodes[node_of[member->keeper]].need |= bit(b);
	}
	mbj_free(node_of);
	return MBJ_OK;
}

/*
 * Visit states by cost.  Ends with is_complete, is_spent, or neither: there
 * is no way with fewer parks.
 */
static enum mbj_rc exact_run(struct exact *exact, uint32_t parks_below,
			     struct mbj_error *err)
{
	size_t begin = 0;
	enum mbj_rc rc = exact_add(exact, (struct exact_state){0}, err);

	for (uint32_t parks = 0; rc == MBJ_OK; parks++) {
		size_t i;
		size_t end;

		for (i = begin; rc == MBJ_OK && i < exact->state_count &&
				!exact->is_spent && !exact->is_complete;
		     i++)
			rc = exact_expand(exact, i, false, err);
		if (exact->is_spent || exact->is_complete ||
		    parks + 1 >= parks_below)
			break;
		end = exact->state_count;
		for (i = begin; rc == MBJ_OK && i < end && !exact->is_spent &&
				!exact->is_complete;
		     i++)
			rc = exact_expand(exact, i, true, err);
		begin = end;
	}
	return rc;
}

/* Take in the knot the way that led to the last state. */
static void exact_replay(const struct exact *exact, struct knot *knot)
{
	uint32_t moves[2 * BITS_MAX];
	uint32_t count = 0;

	for (size_t at = exact->state_count - 1; at != 0;
	     at = exact->states[at].previous) {
		MBJ_ASSERT(count < 2 * BITS_MAX);
		moves[count++] = exact->states[at].move;
	}
	while (count > 0) {
		uint32_t move = moves[--count];
		uint32_t v = exact->nodes[move >> 1].member;

		if ((move & 1) != 0)
			plan_knot_park(knot, v);
		else
			plan_knot_do(knot, v);
		plan_knot_close(knot);
	}
	MBJ_ASSERT(knot->left == 0);
}

enum mbj_rc plan_exact_search(struct knot *knot, uint32_t parks_below,
			      uint64_t *states_left,
			      struct exact_result *ret_result,
			      struct mbj_error *err)
{
	struct exact exact = {.knot = knot, .states_left = states_left};
	enum mbj_rc rc;

	MBJ_ASSERT(knot->left <= BITS_MAX && parks_below > 0);
	rc = exact_load(&exact, err);
	if (rc < 0)
		return rc;
	rc = exact_run(&exact, parks_below, err);
	if (rc < 0)
		goto out;
	if (exact.is_complete)
		exact_replay(&exact, knot);
	*ret_result = (struct exact_result){
		.is_found = exact.is_complete,
		.is_proven = !exact.is_spent,
	};
out:
	mbj_free(exact.table);
	mbj_free(exact.states);
	return rc;
}
