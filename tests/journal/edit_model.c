/*
 * The naive model of SET.
 */
#include "edit_model.h"

struct run {
	const struct model *model;
	struct model_wish *wishes;
	int count;
	struct model now; /* the tree with all wishes that stand */
};

/* Processing order: creates, updates, destroys, each as given. */
static bool is_later(const struct run *run, int a, int b)
{
	if (run->wishes[a].kind != run->wishes[b].kind)
		return run->wishes[a].kind > run->wishes[b].kind;
	return a > b;
}

static bool is_placing(const struct run *run, int i)
{
	const struct model_wish *wish = &run->wishes[i];
	const struct model_box *box = &run->model->boxes[wish->box];

	if (wish->is_refused || wish->kind == MODEL_DESTROY)
		return false;
	return wish->kind == MODEL_CREATE || box->parent != wish->parent ||
	       box->name != wish->name;
}

/* The tree as it would be. */
static void look(struct run *run)
{
	run->now = *run->model;
	for (int i = 0; i < run->count; i++) {
		const struct model_wish *wish = &run->wishes[i];

		if (wish->is_refused)
			continue;
		run->now.boxes[wish->box].is_live = wish->kind != MODEL_DESTROY;
		if (wish->kind == MODEL_DESTROY)
			continue;
		run->now.boxes[wish->box].parent = wish->parent;
		run->now.boxes[wish->box].name = wish->name;
	}
}

static bool is_staying(const struct run *run, int box)
{
	for (int i = 0; i < run->count; i++)
		if (!run->wishes[i].is_refused && run->wishes[i].box == box &&
		    (is_placing(run, i) ||
		     run->wishes[i].kind == MODEL_DESTROY))
			return false;
	return run->model->boxes[box].is_live;
}

static bool is_certain(const struct run *run, int i)
{
	const struct model_wish *wish = &run->wishes[i];

	for (int k = 0; k < run->count; k++)
		if (run->wishes[k].kind == MODEL_CREATE &&
		    run->wishes[k].is_refused &&
		    run->wishes[k].box == wish->parent)
			return true;
	for (int box = 0; box < run->model->count; box++)
		if (is_staying(run, box) &&
		    run->model->boxes[box].parent == wish->parent &&
		    run->model->boxes[box].name == wish->name)
			return true;
	return false;
}

static void refuse_certain(struct run *run)
{
	bool is_again;

	do {
		is_again = false;
		for (int i = 0; i < run->count; i++) {
			if (!is_placing(run, i) || !is_certain(run, i))
				continue;
			run->wishes[i].is_refused = true;
			is_again = true;
		}
	} while (is_again);
	look(run);
}

/* True where walking up from a comes to b, and b is not a. */
static bool is_below(const struct run *run, int a, int b)
{
	int at = run->now.boxes[a].parent;

	for (int steps = 0; at != MODEL_NONE && steps < MODEL_BOXES_MAX;
	     steps++) {
		if (at == b)
			return true;
		at = run->now.boxes[at].parent;
	}
	return false;
}

static bool is_reparenting(const struct run *run, int i)
{
	const struct model_wish *wish = &run->wishes[i];

	return is_placing(run, i) &&
	       (wish->kind == MODEL_CREATE ||
		run->model->boxes[wish->box].parent != wish->parent);
}

static bool refuse_all(struct run *run, const bool *is_victim)
{
	bool is_any = false;

	for (int i = 0; i < run->count; i++) {
		run->wishes[i].is_refused |= is_victim[i];
		is_any |= is_victim[i];
	}
	return is_any;
}

/* The latest new parent of each cycle. */
static bool refuse_cycles(struct run *run)
{
	bool is_victim[MODEL_WISHES_MAX] = {false};

	for (int i = 0; i < run->count; i++) {
		int box = run->wishes[i].box;

		if (!is_reparenting(run, i) || !is_below(run, box, box))
			continue;
		is_victim[i] = true;
		for (int k = 0; k < run->count; k++)
			if (k != i && is_reparenting(run, k) &&
			    is_below(run, box, run->wishes[k].box) &&
			    is_below(run, run->wishes[k].box, box) &&
			    is_later(run, k, i))
				is_victim[i] = false;
	}
	return refuse_all(run, is_victim);
}

static bool refuse_pairs(struct run *run)
{
	bool is_victim[MODEL_WISHES_MAX] = {false};

	for (int i = 0; i < run->count; i++)
		for (int k = 0; k < run->count; k++)
			if (k != i && is_placing(run, i) &&
			    is_placing(run, k) && is_later(run, i, k) &&
			    run->wishes[i].parent == run->wishes[k].parent &&
			    run->wishes[i].name == run->wishes[k].name)
				is_victim[i] = true;
	return refuse_all(run, is_victim);
}

static bool has_child(const struct run *run, int box)
{
	for (int i = 0; i < run->now.count; i++)
		if (run->now.boxes[i].is_live &&
		    run->now.boxes[i].parent == box)
			return true;
	return false;
}

static bool refuse_destroys(struct run *run)
{
	bool is_any = false, is_again;

	do {
		is_again = false;
		look(run);
		for (int i = 0; i < run->count; i++) {
			if (run->wishes[i].kind != MODEL_DESTROY ||
			    run->wishes[i].is_refused ||
			    !has_child(run, run->wishes[i].box))
				continue;
			run->wishes[i].is_refused = true;
			is_again = is_any = true;
		}
	} while (is_again);
	return is_any;
}

void model_set(struct model *model, struct model_wish *wishes, int count)
{
	struct run run = {.model = model, .wishes = wishes, .count = count};
	bool is_paired = false;

	for (;;) {
		refuse_certain(&run);
		if (refuse_cycles(&run))
			continue;
		if (!is_paired) {
			is_paired = true;
			if (refuse_pairs(&run))
				continue;
		}
		if (!refuse_destroys(&run))
			break;
	}
	*model = run.now;
}
