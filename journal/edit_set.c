/*
 * SET, first part: each change judged by itself, and what it touches loaded.
 * JMAP's Mailbox/set (RFC 8620 section 5.3, RFC 8621 section 2.5) is partial:
 * a change that cannot be done is refused and the others go on.  What depends
 * on other changes is edit_judge.c's.
 *
 * Rules of contradiction kept here: an update of a mailbox that the same
 * request destroys is refused with willDestroy, even where the destroy is
 * refused later; of several changes of one kind for one id the first counts.
 *
 * Invariants:
 *   1. all loading ends before the draft begins;
 *   2. a refused change leaves no trace in the draft but a create's dead
 *      item, so that its dependents find it.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "edit_judge.h"
#include "edit_roles.h"
#include "edit_text.h"

/* What a change asks for, as far as it stands by itself. */
struct set_target {
	struct mbj_id parent;
	struct mbj_name name;
	uint32_t node;	/* view index of what is updated or destroyed */
	uint32_t item;	/* of a create, once the draft is made */
	bool is_placed; /* a new slot or a new stored name */
};

struct set_run {
	struct edit_work *work;
	const struct mbj_change *changes;
	uint32_t count;
	struct mbj_table by_id; /* first change of each kind and id */
	struct set_target *targets;
	uint64_t room;		 /* mailboxes that may still be created */
	struct edit_roles roles; /* before; loaded where a role is given */
};

/* The first change of this kind for this id, or MBJ_NODE_NONE. */
static uint32_t set_find(const struct set_run *run, enum mbj_change_kind kind,
			 struct mbj_id id)
{
	uint64_t hash = edit_hash_id(run->work, id);
	uint32_t at = mbj_table_seek(&run->by_id, hash);
	uint32_t i;

	while (mbj_table_next(&run->by_id, hash, &at, &i)) {
		MBJ_ASSERT(i < run->count);
		if (run->changes[i].kind == kind &&
		    mbj_id_equal(run->changes[i].id, id))
			return i;
	}
	return MBJ_NODE_NONE;
}

static enum mbj_rc set_index(struct set_run *run, struct mbj_error *err)
{
	for (uint32_t i = 0; i < run->count; i++) {
		const struct mbj_change *change = &run->changes[i];
		enum mbj_rc rc;

		if (set_find(run, change->kind, change->id) != MBJ_NODE_NONE)
			continue;
		rc = mbj_table_add(&run->by_id,
				   edit_hash_id(run->work, change->id), i, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

#define SET_REFUSE(run, i, refusal, property, err, ...)                 \
	edit_result_set((run)->work, (i), (refusal), (property), (err), \
			__VA_ARGS__)

/* Members that are wrong whatever the tree looks like. */
static enum mbj_rc set_judge_members(struct set_run *run, uint32_t i,
				     struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];

	if (set_find(run, change->kind, change->id) != i)
		return SET_REFUSE(run, i,
				  change->kind == MBJ_CHANGE_DESTROY
					  ? MBJ_REFUSAL_NOT_FOUND
					  : MBJ_REFUSAL_INVALID_PROPERTIES,
				  "id", err,
				  "an earlier change of this request has the "
				  "same id");
	if ((change->has & MBJ_CHANGE_HAS_UIDVALIDITY) &&
	    (!edit_has_storage(run->work->edit) || change->uidvalidity == 0 ||
	     change->kind == MBJ_CHANGE_DESTROY))
		return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				  "uidValidity", err,
				  "only an import, or a server with a "
				  "storage of its own, can give a "
				  "UIDVALIDITY");
	if ((change->has & MBJ_CHANGE_HAS_ROLE) &&
	    mbj_role_name((enum mbj_role)change->role) == NULL)
		return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				  "role", err, "there is no role %u",
				  (unsigned)change->role);
	return MBJ_OK;
}

/*
 * The name, judged: a name that policy refuses refuses the change; only the
 * world's failures are errors.
 */
static enum mbj_rc set_judge_name(struct set_run *run, uint32_t i,
				  struct mbj_bytes utf8, bool is_top,
				  const struct mbj_node *before,
				  struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = edit_name_make(run->work, utf8, is_top, before,
			    &run->targets[i].name, &why);
	if (rc == MBJ_EINVALID)
		return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				  "name", err, "%s", why.message);
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

/*
 * The wanted parent: the top, a create of this request, or a mailbox, which
 * then is loaded.  *ret_node is its view index, or MBJ_NODE_NONE of a create.
 */
static enum mbj_rc set_judge_parent(struct set_run *run, uint32_t i,
				    struct mbj_id parent, uint32_t *ret_node,
				    struct mbj_error *err)
{
	enum mbj_rc rc;

	run->targets[i].parent = parent;
	*ret_node = MBJ_NODE_ROOT;
	if (mbj_id_is_root(parent))
		return MBJ_OK;
	*ret_node = MBJ_NODE_NONE;
	if (!mbj_id_is_temp(parent) &&
	    set_find(run, MBJ_CHANGE_CREATE, parent) != MBJ_NODE_NONE)
		return MBJ_OK;
	rc = edit_view_mailbox(&run->work->view, parent, ret_node, err);
	if (rc < 0 || *ret_node != MBJ_NODE_NONE)
		return rc;
	return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES, "parentId",
			  err, "there is no mailbox with this id");
}

/* Load whoever has the wanted slot. */
static enum mbj_rc set_load_slot(struct set_run *run, uint32_t i,
				 uint32_t parent, struct mbj_error *err)
{
	uint32_t holder;

	if (parent == MBJ_NODE_NONE)
		return MBJ_OK; /* below a create there is nobody yet */
	return edit_view_slot(&run->work->view, parent,
			      run->targets[i].name.key, &holder, err);
}

/* ------------------------------------------------------------- create */

static enum mbj_rc set_judge_new_id(struct set_run *run, uint32_t i,
				    struct mbj_error *err)
{
	struct mbj_id id = run->changes[i].id;
	bool is_dead;
	uint32_t node;
	enum mbj_rc rc;

	if (mbj_id_is_reserved(id))
		return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES, "id",
				  err, "the id is reserved");
	rc = edit_view_mailbox(&run->work->view, id, &node, err);
	if (rc < 0)
		return rc;
	if (node != MBJ_NODE_NONE)
		return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES, "id",
				  err, "a mailbox has this id already");
	rc = edit_view_is_dead(&run->work->view, id, &is_dead, err);
	if (rc < 0 || !is_dead)
		return rc;
	return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES, "id", err,
			  "a deleted mailbox had this id");
}

static enum mbj_rc set_judge_create(struct set_run *run, uint32_t i,
				    struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];
	struct mbj_id parent = MBJ_ID_ROOT;
	uint32_t parent_node = MBJ_NODE_NONE;
	enum mbj_rc rc;

	if (!(change->has & MBJ_CHANGE_HAS_NAME))
		return SET_REFUSE(run, i, MBJ_REFUSAL_INVALID_PROPERTIES,
				  "name", err, "a new mailbox needs a name");
	if (run->room == 0)
		return SET_REFUSE(run, i, MBJ_REFUSAL_TOO_LARGE, NULL, err,
				  "an account holds at most %d mailboxes",
				  (int)MBJ_ACCOUNT_MAILBOXES_MAX);
	rc = set_judge_new_id(run, i, err);
	if (rc < 0 || edit_result_is_refused(run->work, i))
		return rc;
	if (change->has & MBJ_CHANGE_HAS_PARENT)
		parent = change->parent;
	rc = set_judge_parent(run, i, parent, &parent_node, err);
	if (rc < 0 || edit_result_is_refused(run->work, i))
		return rc;
	rc = set_judge_name(run, i, change->name, mbj_id_is_root(parent), NULL,
			    err);
	if (rc < 0 || edit_result_is_refused(run->work, i))
		return rc;
	run->room--;
	run->targets[i].is_placed = true;
	return set_load_slot(run, i, parent_node, err);
}

/* ------------------------------------------------------------- update */

/* Where a mailbox is to go, given either member or both. */
static enum mbj_rc set_judge_place(struct set_run *run, uint32_t i,
				   struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];
	struct set_target *target = &run->targets[i];
	const struct mbj_tree *tree = run->work->view.tree;
	struct mbj_node node = *mbj_tree_get(tree, target->node);
	struct mbj_id parent = MBJ_ID_ROOT;
	uint32_t parent_node = node.parent;
	struct mbj_bytes name = node.name.stored;
	enum mbj_rc rc;

	if (change->has & MBJ_CHANGE_HAS_PARENT)
		parent = change->parent;
	else if (node.parent != MBJ_NODE_ROOT)
		parent = mbj_tree_get(tree, node.parent)->id;
	if (change->has & MBJ_CHANGE_HAS_NAME)
		name = change->name;
	rc = set_judge_parent(run, i, parent, &parent_node, err);
	if (rc < 0 || edit_result_is_refused(run->work, i))
		return rc;
	rc = set_judge_name(run, i, name, parent_node == MBJ_NODE_ROOT, &node,
			    err);
	if (rc < 0 || edit_result_is_refused(run->work, i))
		return rc;
	target->is_placed =
		parent_node != node.parent ||
		!mbj_bytes_equal(target->name.key, node.name.key) ||
		!mbj_bytes_equal(target->name.stored, node.name.stored);
	if (!target->is_placed)
		return MBJ_OK;
	if (edit_is_inbox(&node) && !edit_has_storage(run->work->edit))
		return SET_REFUSE(run, i, MBJ_REFUSAL_FORBIDDEN,
				  parent_node != node.parent ? "parentId"
							     : "name",
				  err, "INBOX keeps its name and place");
	return set_load_slot(run, i, parent_node, err);
}

/* A mailbox that is no more than a place in names has no messages. */
static enum mbj_rc set_judge_selectable(struct set_run *run, uint32_t i,
					struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];
	const struct mbj_node *node =
		mbj_tree_get(run->work->view.tree, run->targets[i].node);
	struct mbj_content content;
	enum mbj_rc rc;

	if (!(change->has & MBJ_CHANGE_HAS_SELECTABLE) || change->is_selectable)
		return MBJ_OK;
	if (edit_is_inbox(node))
		return SET_REFUSE(run, i, MBJ_REFUSAL_FORBIDDEN, "isSelectable",
				  err, "INBOX is always selectable");
	if (!node->is_selectable)
		return MBJ_OK;
	rc = mbj_txn_content_get(run->work->context->txn, run->work->account.id,
				 node->id, &content, err);
	if (rc == MBJ_OK && content.message_count > 0)
		rc = SET_REFUSE(run, i, MBJ_REFUSAL_HAS_EMAIL, "isSelectable",
				err, "the mailbox has messages");
	return rc;
}

static enum mbj_rc set_judge_update(struct set_run *run, uint32_t i,
				    struct mbj_error *err)
{
	const struct mbj_change *change = &run->changes[i];
	enum mbj_rc rc;

	rc = edit_view_mailbox(&run->work->view, change->id,
			       &run->targets[i].node, err);
	if (rc < 0)
		return rc;
	if (run->targets[i].node == MBJ_NODE_NONE)
		return SET_REFUSE(run, i, MBJ_REFUSAL_NOT_FOUND, NULL, err,
				  "there is no mailbox with this id");
	if (set_find(run, MBJ_CHANGE_DESTROY, change->id) != MBJ_NODE_NONE)
		return SET_REFUSE(run, i, MBJ_REFUSAL_WILL_DESTROY, NULL, err,
				  "the same request destroys the mailbox");
	rc = set_judge_selectable(run, i, err);
	if (rc < 0 || edit_result_is_refused(run->work, i) ||
	    !(change->has & (MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT)))
		return rc;
	return set_judge_place(run, i, err);
}

/* ------------------------------------------------------------ destroy */

static enum mbj_rc set_judge_destroy(struct set_run *run, uint32_t i,
				     struct mbj_error *err)
{
	struct set_target *target = &run->targets[i];
	struct mbj_content content;
	enum mbj_rc rc;

	rc = edit_view_mailbox(&run->work->view, run->changes[i].id,
			       &target->node, err);
	if (rc < 0)
		return rc;
	if (target->node == MBJ_NODE_NONE)
		return SET_REFUSE(run, i, MBJ_REFUSAL_NOT_FOUND, NULL, err,
				  "there is no mailbox with this id");
	if (edit_is_inbox(mbj_tree_get(run->work->view.tree, target->node)) &&
	    !edit_has_storage(run->work->edit))
		return SET_REFUSE(run, i, MBJ_REFUSAL_FORBIDDEN, NULL, err,
				  "INBOX cannot be deleted");
	if (run->work->edit->is_emptying)
		return MBJ_OK;
	rc = mbj_txn_content_get(run->work->context->txn, run->work->account.id,
				 run->changes[i].id, &content, err);
	if (rc == MBJ_OK && content.message_count > 0)
		rc = SET_REFUSE(run, i, MBJ_REFUSAL_HAS_EMAIL, NULL, err,
				"the mailbox has messages, and "
				"onDestroyRemoveEmails is not true");
	return rc;
}

/*
 * What is left below those to be destroyed: asked after all updates and
 * destroys, which name everything that may leave, have been loaded.
 */
static enum mbj_rc set_load_children(struct set_run *run, struct mbj_error *err)
{
	for (uint32_t i = 0; i < run->count; i++) {
		enum mbj_rc rc;

		if (run->changes[i].kind != MBJ_CHANGE_DESTROY ||
		    edit_result_is_refused(run->work, i))
			continue;
		rc = edit_view_stranger(&run->work->view, run->targets[i].node,
					err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

static enum mbj_rc set_judge_each(struct set_run *run, struct mbj_error *err)
{
	for (uint32_t i = 0; i < run->count; i++) {
		enum mbj_change_kind kind = run->changes[i].kind;
		enum mbj_rc rc;

		run->targets[i].node = MBJ_NODE_NONE;
		run->targets[i].item = MBJ_NODE_NONE;
		rc = set_judge_members(run, i, err);
		if (rc < 0)
			return rc;
		if (edit_result_is_refused(run->work, i))
			continue;
		if (kind == MBJ_CHANGE_CREATE)
			rc = set_judge_create(run, i, err);
		else if (kind == MBJ_CHANGE_UPDATE)
			rc = set_judge_update(run, i, err);
		else
			rc = set_judge_destroy(run, i, err);
		if (rc < 0)
			return rc;
	}
	return set_load_children(run, err);
}

/* -------------------------------------------------------------- draft */

/* Items of the creates, in request order; the refused ones are dead. */
static enum mbj_rc set_draft_creates(struct set_run *run, struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;

	for (uint32_t i = 0; i < run->count; i++) {
		struct set_target *target = &run->targets[i];
		enum mbj_rc rc;

		if (run->changes[i].kind != MBJ_CHANGE_CREATE ||
		    mbj_id_is_reserved(run->changes[i].id) ||
		    set_find(run, MBJ_CHANGE_CREATE, run->changes[i].id) != i)
			continue;
		rc = edit_draft_create(draft, run->changes[i].id, MBJ_NODE_ROOT,
				       &target->name, i, &target->item, err);
		if (rc < 0)
			return rc;
		if (edit_result_is_refused(run->work, i))
			draft->items[target->item].is_live = false;
	}
	return MBJ_OK;
}

static uint32_t set_item_of(const struct set_run *run, struct mbj_id id)
{
	uint32_t change, node;

	if (mbj_id_is_root(id))
		return MBJ_NODE_ROOT;
	change = set_find(run, MBJ_CHANGE_CREATE, id);
	if (change != MBJ_NODE_NONE)
		return run->targets[change].item;
	node = mbj_tree_find(run->work->view.tree, id);
	MBJ_ASSERT(node != MBJ_NODE_NONE);
	return node;
}

static enum mbj_rc set_draft(struct set_run *run, struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;
	enum mbj_rc rc;

	rc = edit_draft_init(draft, run->work->view.tree, err);
	if (rc == MBJ_OK)
		rc = set_draft_creates(run, err);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < run->count; i++) {
		const struct set_target *target = &run->targets[i];
		struct edit_item *item;

		if (edit_result_is_refused(run->work, i))
			continue;
		if (run->changes[i].kind == MBJ_CHANGE_DESTROY) {
			draft->items[target->node].is_live = false;
			draft->items[target->node].change = i;
		}
		if (!target->is_placed)
			continue;
		item = &draft->items[target->item != MBJ_NODE_NONE
					     ? target->item
					     : target->node];
		item->parent = set_item_of(run, target->parent);
		item->name = target->name;
		item->change = i;
	}
	return MBJ_OK;
}

/* What else the changes that stand ask for. */
static enum mbj_rc set_attributes(struct set_run *run, struct mbj_error *err)
{
	struct edit_draft *draft = &run->work->draft;

	for (uint32_t i = 0; i < run->count; i++) {
		const struct mbj_change *change = &run->changes[i];
		const struct set_target *target = &run->targets[i];
		uint32_t item = target->item != MBJ_NODE_NONE ? target->item
							      : target->node;
		enum mbj_rc rc;

		if (edit_result_is_refused(run->work, i) ||
		    change->kind == MBJ_CHANGE_DESTROY)
			continue;
		MBJ_ASSERT(draft->items[item].is_live);
		if (change->has & MBJ_CHANGE_HAS_ROLE)
			draft->items[item].role = change->role;
		if (change->has & MBJ_CHANGE_HAS_SELECTABLE)
			draft->items[item].is_selectable =
				change->is_selectable;
		rc = MBJ_OK;
		if (change->has & MBJ_CHANGE_HAS_UIDVALIDITY)
			rc = edit_uidvalidity_tell(run->work,
						   &draft->items[item],
						   change->uidvalidity, err);
		if (rc == MBJ_OK && (change->has & MBJ_CHANGE_HAS_SUBSCRIBED))
			rc = edit_wish_add(run->work, item,
					   change->is_subscribed, err);
		if (rc < 0)
			return rc;
	}
	return MBJ_OK;
}

/*
 * The tree in which all changes stand, then what of it must go.  A role is
 * free once its holder is known to lose it, which the tree after decides;
 * where that refuses another change, all begins again without it.  A change
 * is refused but once, and each role has at most two turns: the first takes
 * all claims but one, the second that one, where the holder stays after all.
 */
static enum mbj_rc set_settle(struct set_run *run, struct mbj_error *err)
{
	struct edit_work *work = run->work;
	bool is_refused;
	enum mbj_rc rc;

	do {
		edit_draft_done(&work->draft);
		work->wish_count = 0;
		rc = set_draft(run, err);
		if (rc == MBJ_OK)
			rc = edit_judge_run(work, err);
		if (rc == MBJ_OK)
			rc = set_attributes(run, err);
		if (rc == MBJ_OK)
			rc = edit_roles_judge(&run->roles, work, &is_refused,
					      err);
	} while (rc == MBJ_OK && is_refused);
	return rc;
}

static enum mbj_rc set_check_kinds(const struct set_run *run,
				   struct mbj_error *err)
{
	for (uint32_t i = 0; i < run->count; i++)
		if (run->changes[i].kind != MBJ_CHANGE_CREATE &&
		    run->changes[i].kind != MBJ_CHANGE_UPDATE &&
		    run->changes[i].kind != MBJ_CHANGE_DESTROY)
			return mbj_error_refuse(err,
						MBJ_REFUSAL_INVALID_ARGUMENTS,
						NULL, NULL,
						"change %u is neither create "
						"nor update nor destroy",
						i);
	return MBJ_OK;
}

enum mbj_rc edit_set_resolve(struct edit_work *work, struct mbj_error *err)
{
	struct set_run run = {
		.work = work,
		.changes = work->edit->changes,
		.count = (uint32_t)work->edit->change_count,
	};
	struct mbj_outcome *outcome = &work->outcome;
	enum mbj_rc rc;

	MBJ_ASSERT(work->edit->change_count <= EDIT_CHANGES_MAX);
	rc = set_check_kinds(&run, err);
	if (rc < 0)
		return rc;
	if (work->account.mailbox_count < MBJ_ACCOUNT_MAILBOXES_MAX)
		run.room =
			MBJ_ACCOUNT_MAILBOXES_MAX - work->account.mailbox_count;
	outcome->results =
		mbj_calloc((size_t)run.count + 1, sizeof(*outcome->results));
	run.targets = mbj_calloc((size_t)run.count + 1, sizeof(*run.targets));
	if (outcome->results == NULL || run.targets == NULL) {
		rc = mbj_error_nomem(err);
		goto out;
	}
	outcome->result_count = run.count;
	rc = set_index(&run, err);
	if (rc == MBJ_OK)
		rc = set_judge_each(&run, err);
	if (rc == MBJ_OK)
		rc = edit_roles_load(&run.roles, work, err);
	if (rc == MBJ_OK)
		rc = set_settle(&run, err);
	if (rc == MBJ_OK)
		rc = edit_inbox_check(work, err);
out:
	edit_roles_done(&run.roles);
	mbj_table_done(&run.by_id);
	mbj_free(run.targets);
	return rc;
}
