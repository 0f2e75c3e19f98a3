/*
 * The user's tree of mailboxes, by a plan.  See apply.h.
 *
 * Two trees, Dovecot's and the one that is to be, are joined by the GUIDs of
 * mailboxes.  Places in paths have none in Dovecot: one is the same in both
 * where its path is.  The planner says in which order mailboxes are made, moved
 * and deleted so that each step is valid; what has to step aside meanwhile gets
 * a name made of its own GUID, which a run that follows a kill finds by that.
 */
#include "apply_name.h"
#include "apply_renew.h"
#include "apply_step.h"

#include <mail-index-alloc-cache.h>

#include <mbj/plan.h>

#include "parked.h"

/* A node of the tree to be: what becomes of it beside its place. */
struct aim {
	uint32_t wanted; /* in the account's tree, or NONE: the user's own */
	bool is_left;	 /* the mailbox there goes, a place stays */
	bool is_filled;	 /* the place there becomes a mailbox */
};
ARRAY_DEFINE_TYPE(aim, struct aim);

struct plan_run {
	struct apply *apply;
	struct mbj_tree *before;
	struct mbj_tree *after;
	struct mbj_tree *now; /* before, as far as it is changed */
	ARRAY_TYPE(apply_folder) folders;
	ARRAY_TYPE(aim) aims; /* of after's nodes */
	/* The journal's, which it has no more, with mail of the user's. */
	ARRAY_TYPE(apply_id) kept;
	ARRAY_TYPE(apply_id) made; /* mailboxes of the account, by this run */
	struct mbj_diff diff;
	struct mbj_plan plan;
	struct mbj_error err;
};

static int run_fail(struct plan_run *run)
{
	return apply_fail(run->apply, "the tree of mailboxes: %s",
			  run->err.message);
}

/* ---------------------------------------------------------------- trees */

static struct mbj_name name_of(struct mbj_bytes bytes)
{
	/* Dovecot compares bytes. */
	return (struct mbj_name){bytes, bytes};
}

/*
 * The node of a path, which is made with all above it where it is not there:
 * places, under ids of their own, or what like has there.
 */
static enum mbj_rc path_node(struct plan_run *run, struct mbj_tree *tree,
			     const char *path, const struct mbj_node *last,
			     uint32_t *ret_node)
{
	const char separators[] = {mail_namespace_get_sep(run->apply->inbox),
				   '\0'};
	const char *const *names = t_strsplit(path, separators);
	uint32_t parent = MBJ_NODE_ROOT;
	enum mbj_rc rc = MBJ_OK;

	for (; rc == MBJ_OK && *names != NULL; names++) {
		struct mbj_bytes name = mbj_bytes_str(*names);
		uint32_t node = mbj_tree_find_slot(tree, parent, name);
		struct mbj_node fresh = {.parent = parent, .is_live = true};

		if (node == MBJ_NODE_NONE) {
			if (names[1] == NULL && last != NULL)
				fresh = *last;
			else
				rc = mbj_id_generate(mbj_sys_posix(), &fresh.id,
						     &run->err);
			fresh.parent = parent;
			fresh.name = name_of(name);
			if (rc == MBJ_OK)
				rc = mbj_tree_add(tree, &fresh, &node,
						  &run->err);
		}
		parent = node;
	}
	*ret_node = parent;
	return rc;
}

static enum mbj_rc before_make(struct plan_run *run)
{
	const struct apply_folder *folder;
	enum mbj_rc rc = mbj_tree_new(0, &run->before, &run->err);

	if (rc < 0)
		return rc;
	array_foreach(&run->folders, folder)
	{
		struct mbj_node node = {.id = folder->id,
					.uidvalidity = folder->uidvalidity,
					.is_selectable = true,
					.is_live = true};
		bool is_place = mbj_id_is_root(folder->id);
		uint32_t at;

		rc = path_node(run, run->before, folder->vname,
			       is_place ? NULL : &node, &at);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/* Nodes that are not told are not the account's. */
static void aim_put(struct plan_run *run, uint32_t node, struct aim aim)
{
	static const struct aim NONE = {.wanted = MBJ_NODE_NONE};

	while (array_count(&run->aims) < node)
		array_push_back(&run->aims, &NONE);
	array_idx_set(&run->aims, node, &aim);
}

/*
 * A node of the account, at its place in the tree to be.  What Dovecot has at
 * that path becomes it where the two are no mailboxes of their own.
 */
static enum mbj_rc after_add(struct plan_run *run, uint32_t wanted,
			     uint32_t parent, uint32_t *ret_node)
{
	const struct mbj_tree *account = run->apply->wanted;
	const struct mbj_node *from = mbj_tree_get(account, wanted);
	struct mbj_node node = {.id = from->id,
				.parent = parent,
				.uidvalidity = from->uidvalidity,
				.name = name_of(from->name.stored),
				.is_selectable = from->is_selectable,
				.is_live = true};
	struct aim aim = {.wanted = wanted};
	const struct mbj_node *there = NULL;
	uint32_t at = MBJ_NODE_ROOT;
	const char *path = apply_path(run->apply, account, wanted);
	const char separators[] = {mail_namespace_get_sep(run->apply->inbox),
				   '\0'};
	enum mbj_rc rc;

	for (const char *const *names = t_strsplit(path, separators);
	     *names != NULL && at != MBJ_NODE_NONE; names++)
		at = mbj_tree_find_slot(run->before, at, mbj_bytes_str(*names));
	if (at != MBJ_NODE_NONE)
		there = mbj_tree_get(run->before, at);
	if (there != NULL && !from->is_selectable &&
	    (!there->is_selectable ||
	     (mbj_tree_find(account, there->id) == MBJ_NODE_NONE &&
	      apply_is_journals(run->apply, &run->kept, there->id)))) {
		node.id = there->id;
		aim.is_left = there->is_selectable;
	} else if (there != NULL && from->is_selectable &&
		   !there->is_selectable &&
		   mbj_tree_find(run->before, from->id) == MBJ_NODE_NONE) {
		node.id = there->id;
		aim.is_filled = true;
	}
	rc = mbj_tree_add(run->after, &node, ret_node, &run->err);
	if (rc == MBJ_OK)
		aim_put(run, *ret_node, aim);
	return rc;
}

/* Places of the account that lead to no mailbox have nothing in Dovecot. */
static enum mbj_rc after_make(struct plan_run *run)
{
	const struct mbj_tree *account = run->apply->wanted;
	uint32_t size = mbj_tree_size(account);
	uint32_t *order = NULL, *nodes = t_new(uint32_t, size + 1);
	bool *is_needed = t_new(bool, size + 1);
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_tree_new(0, &run->after, &run->err);
	if (rc == MBJ_OK)
		rc = mbj_tree_order(account, &order, &count, &run->err);
	for (size_t i = count; rc == MBJ_OK && i-- > 0;) {
		const struct mbj_node *node = mbj_tree_get(account, order[i]);

		is_needed[order[i]] |= node->is_selectable;
		if (is_needed[order[i]] && node->parent < size)
			is_needed[node->parent] = true;
	}
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		uint32_t parent = mbj_tree_get(account, order[i])->parent;

		if (is_needed[order[i]])
			rc = after_add(run, order[i],
				       parent < size ? nodes[parent] : parent,
				       &nodes[order[i]]);
	}
	mbj_free(order);
	return rc;
}

/*
 * A mailbox that the journal never had is the user's: it stays, below what it
 * is below, or, where that goes, at its path.
 */
static int own_keep(struct plan_run *run, uint32_t at)
{
	const struct mbj_node *node = mbj_tree_get(run->before, at);
	const char *path = apply_path(run->apply, run->before, at);
	struct aim aim = {.wanted = MBJ_NODE_NONE};
	struct mbj_node own = *node;
	uint32_t parent = MBJ_NODE_NONE, added;
	enum mbj_rc rc;

	if (node->parent < mbj_tree_size(run->before))
		parent = mbj_tree_find(
			run->after,
			mbj_tree_get(run->before, node->parent)->id);
	(void)apply_fail(run->apply,
			 "mailbox %s is not the journal's, and is "
			 "kept",
			 path);
	own.parent = parent;
	rc = parent == MBJ_NODE_NONE
		     ? path_node(run, run->after, path, &own, &added)
		     : mbj_tree_add(run->after, &own, &added, &run->err);
	if (rc == MBJ_EEXISTS ||
	    (rc == MBJ_OK &&
	     !mbj_id_equal(mbj_tree_get(run->after, added)->id, own.id)))
		return apply_fail(run->apply,
				  "mailbox %s, which is not the journal's, has "
				  "the name of one that is: rename it",
				  path);
	if (rc < 0)
		return run_fail(run);
	aim_put(run, added, aim);
	return 0;
}

static int owns_keep(struct plan_run *run)
{
	uint32_t size = mbj_tree_size(run->before);
	int ret = 0;

	/* Each was added behind what it is below. */
	for (uint32_t i = 0; ret == 0 && i < size; i++) {
		const struct mbj_node *node = mbj_tree_get(run->before, i);

		if (node->is_selectable &&
		    !apply_is_journals(run->apply, &run->kept, node->id))
			ret = own_keep(run, i);
	}
	return ret;
}

/* ----------------------------------------------------------------- steps */

static const char *now_path(struct plan_run *run, uint32_t node)
{
	const char *path = apply_path(run->apply, run->now, node);
	uint32_t top = node;

	while (mbj_tree_get(run->now, top)->parent < mbj_tree_size(run->now))
		top = mbj_tree_get(run->now, top)->parent;
	if (mbj_tree_get(run->now, top)->parent != MBJ_NODE_TEMP)
		return path;
	return t_strconcat(run->apply->inbox->prefix, path, NULL);
}

/* The node above one of the tree to be, as it is now. */
static uint32_t now_parent(struct plan_run *run, const struct mbj_node *node)
{
	if (node->parent >= mbj_tree_size(run->after))
		return node->parent;
	return mbj_tree_find(run->now,
			     mbj_tree_get(run->after, node->parent)->id);
}

static const char *parked_name(struct mbj_id id)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	return t_strconcat(PARKED_PREFIX, text, NULL);
}

/* Where a step takes the node of that id: its place, or aside. */
static void step_target(struct plan_run *run, const struct mbj_step *step,
			struct mbj_id id, struct mbj_name *ret_name,
			uint32_t *ret_parent)
{
	uint32_t at = run->diff.at[MBJ_AFTER][step->item];

	if (!step->is_to_temp) {
		*ret_name = mbj_tree_get(run->after, at)->name;
		*ret_parent = now_parent(run, mbj_tree_get(run->after, at));
		return;
	}
	*ret_name = name_of(mbj_bytes_str(parked_name(id)));
	*ret_parent = MBJ_NODE_TEMP;
}

static int mailbox_make(struct plan_run *run, const char *vname,
			const struct mbj_node *node)
{
	uint32_t at = mbj_tree_find_slot(run->now, MBJ_NODE_ROOT,
					 mbj_bytes_str("INBOX"));
	bool has_inbox = at != MBJ_NODE_NONE &&
			 mbj_tree_get(run->now, at)->is_selectable;

	array_push_back(&run->made, &node->id);
	return step_create(run->apply, vname, node, has_inbox);
}

/* A mailbox may be made aside, for what is to be below it. */
static int step_run_create(struct plan_run *run, const struct mbj_step *step)
{
	uint32_t at = run->diff.at[MBJ_AFTER][step->item], added;
	struct mbj_node node = *mbj_tree_get(run->after, at);

	step_target(run, step, node.id, &node.name, &node.parent);
	if (mbj_tree_add(run->now, &node, &added, &run->err) < 0)
		return run_fail(run);
	/* Places come with what is below them. */
	if (!node.is_selectable)
		return 0;
	return mailbox_make(run, now_path(run, added),
			    mbj_tree_get(run->now, added));
}

/* At its place by now. */
static enum step_below below_of(struct plan_run *run, uint32_t at)
{
	bool is_long = false;

	if (mbj_tree_child_count(run->now, at) == 0)
		return STEP_BELOW_NOTHING;
	for (uint32_t i = 0; !is_long && i < mbj_tree_size(run->now); i++) {
		if (!mbj_tree_get(run->now, i)->is_live ||
		    !mbj_tree_is_ancestor(run->now, at, i))
			continue;
		T_BEGIN
		{
			is_long = strlen(now_path(run, i)) >=
				  MAILBOX_LIST_NAME_MAX_LENGTH;
		}
		T_END;
	}
	return is_long ? STEP_BELOW_LONG : STEP_BELOW_SHORT;
}

static int step_run_move(struct plan_run *run, const struct mbj_step *step)
{
	uint32_t at = run->diff.at[MBJ_BEFORE][step->item];
	const char *from, *to;
	struct mbj_name name;
	uint32_t parent;
	bool is_place;

	/* One that was made aside. */
	if (at == MBJ_NODE_NONE)
		at = mbj_tree_find(
			run->now,
			mbj_tree_get(run->after,
				     run->diff.at[MBJ_AFTER][step->item])
				->id);
	is_place = !mbj_tree_get(run->now, at)->is_selectable;
	from = now_path(run, at);
	step_target(run, step, mbj_tree_get(run->now, at)->id, &name, &parent);
	if (mbj_tree_move(run->now, at, parent, &name, &run->err) < 0)
		return run_fail(run);
	to = now_path(run, at);
	/* An earlier run may have put it aside. */
	return strcmp(from, to) == 0 ? 0
				     : step_move(run->apply, from, to, is_place,
						 below_of(run, at));
}

static int step_run_delete(struct plan_run *run, const struct mbj_step *step)
{
	uint32_t at = run->diff.at[MBJ_BEFORE][step->item];
	bool is_place = !mbj_tree_get(run->now, at)->is_selectable;
	const char *path = now_path(run, at), *aside;

	aside = t_strconcat(run->apply->inbox->prefix,
			    parked_name(mbj_tree_get(run->now, at)->id), NULL);
	if (mbj_tree_remove(run->now, at, &run->err) < 0)
		return run_fail(run);
	/* Under that name Dovecot deletes nothing. */
	if (strcmp(path, "INBOX") == 0) {
		if (step_move(run->apply, path, aside, is_place,
			      STEP_BELOW_LONG) < 0)
			return -1;
		path = aside;
	}
	return step_delete(run->apply, path, is_place);
}

static int step_run(struct plan_run *run, const struct mbj_step *step)
{
	switch (step->kind) {
	case MBJ_STEP_CREATE:
		return step_run_create(run, step);
	case MBJ_STEP_MOVE:
		return step_run_move(run, step);
	default:
		return step_run_delete(run, step);
	}
}

static int steps_run(struct plan_run *run)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < run->plan.count; i++)
		T_BEGIN
		{
			ret = step_run(run, &run->plan.steps[i]);
		}
	T_END;
	return ret;
}

/* Before all steps: mailboxes whose name stays for what is below. */
static int places_leave(struct plan_run *run)
{
	for (uint32_t i = 0; i < array_count(&run->aims); i++) {
		const struct aim *aim = array_idx(&run->aims, i);
		uint32_t at;

		if (!aim->is_left)
			continue;
		at = mbj_tree_find(run->now, mbj_tree_get(run->after, i)->id);
		if (step_delete(run->apply, now_path(run, at), false) < 0)
			return -1;
		mbj_tree_edit(run->now, at)->is_selectable = false;
	}
	return 0;
}

/* Behind all steps: mailboxes in the places of paths, and UIDVALIDITY. */
static int mailboxes_fill(struct plan_run *run)
{
	int ret = 0;

	for (uint32_t i = 0; i < array_count(&run->aims); i++) {
		const struct aim *aim = array_idx(&run->aims, i);
		const struct mbj_node *node;
		uint32_t was;

		if (aim->wanted == MBJ_NODE_NONE)
			continue;
		node = mbj_tree_get(run->apply->wanted, aim->wanted);
		was = mbj_tree_find(run->before, node->id);
		if (aim->is_filled)
			ret |= mailbox_make(run,
					    apply_path(run->apply, run->after,
						       i),
					    node);
		else if (node->is_selectable && was != MBJ_NODE_NONE &&
			 mbj_tree_get(run->before, was)->uidvalidity !=
				 node->uidvalidity)
			ret |= step_update(run->apply,
					   apply_path(run->apply, run->after,
						      i),
					   node);
	}
	return ret;
}

/* Once, where each has its name: the first has the list read anew. */
static int mailboxes_list(struct plan_run *run)
{
	const struct mbj_id *id;
	int ret = 0;

	array_foreach(&run->made, id)
	{
		uint32_t at = mbj_tree_find(run->apply->wanted, *id);

		T_BEGIN
		{
			ret |= step_list(run->apply,
					 apply_path(run->apply,
						    run->apply->wanted, at));
		}
		T_END;
	}
	return ret;
}

static int run_plan(struct plan_run *run)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	enum mbj_rc rc;

	rc = mbj_diff_make(run->before, run->after, &run->diff, &run->err);
	if (rc == MBJ_OK)
		rc = mbj_plan_make(&run->diff, &options, &run->plan, &run->err);
	if (rc == MBJ_OK)
		rc = mbj_tree_dup(run->before, &run->now, &run->err);
	if (rc < 0)
		return run_fail(run);
	/* Those of mailboxes that were read. */
	mail_index_alloc_cache_destroy_unrefed();
	if (places_leave(run) < 0 || steps_run(run) < 0)
		return -1;
	if (mailboxes_fill(run) < 0)
		return -1;
	return mailboxes_list(run);
}

int apply_tree(struct apply *apply)
{
	struct plan_run run = {.apply = apply};
	int ret;

	t_array_init(&run.aims, 64);
	t_array_init(&run.kept, 4);
	i_array_init(&run.made, 64);
	ret = folders_read(apply, &run.folders);
	if (ret == 0)
		ret = note_tidied(apply);
	if (ret == 0)
		ret = names_fit(apply, &run.folders);
	if (ret == 0)
		folders_find_own(apply, &run.folders, &run.kept);
	if (ret == 0)
		ret = folders_renew(run.apply, &run.folders, &run.kept);
	if (ret == 0 && (before_make(&run) < 0 || after_make(&run) < 0))
		ret = run_fail(&run);
	if (ret == 0)
		ret = owns_keep(&run);
	if (ret == 0)
		ret = run_plan(&run);
	array_free(&run.made);
	mbj_plan_done(&run.plan);
	mbj_diff_done(&run.diff);
	mbj_tree_free(&run.now);
	mbj_tree_free(&run.after);
	mbj_tree_free(&run.before);
	return ret;
}
