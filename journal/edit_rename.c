/*
 * RENAME: simultaneous renames by path, all or nothing.
 *
 * Sources are looked up in the tree before.  A target says where its mailbox
 * is in the tree after, so the mailboxes on the way to it are those that will
 * have these names then.  For each component below the top, in this order:
 *   1. the mailbox that some rename of the request moves to exactly this path;
 *   2. else the child that has this name now and that no rename moves away;
 *   3. else a new \NonExistent mailbox, made for the purpose.
 * Children come along with their parent, so 2 looks among the children of
 * whatever mailbox the path has led to, wherever that was before.
 *
 *	Work>Old Old>Work      change places, with all that is below them
 *	A>A/B A/B>A            likewise: below the mailbox that will be A
 *	A>X A/C>X/C            A/C comes along anyway: below A, which will be X
 *	A>X C>A/D              A is free by then: a new A above A/D
 *	A/B>X/B                X is made where there is none
 *	A>A/B                  refused: A would lie below itself; only where
 *	                       another mailbox takes its name is A another place
 *
 * A path leads to one mailbox of the tree after, and two paths never to the
 * same one; hence renames cannot form a cycle, and the one conflict left is a
 * target whose present owner stays.  A parent left empty is not deleted.
 *
 * INBOX stays where it is, with its id and what is below it: a new mailbox
 * takes the target, and all messages of INBOX (RFC 9051 6.3.6).
 *
 * Invariant: the nodes of the trie are in order, parents before children.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "edit_text.h"
#include "edit_work.h"

/* A mailbox to be created, by number, where a view index is expected. */
#define RENAME_MADE ((uint32_t)0x80000000u)

_Static_assert(MBJ_NODE_MAX < RENAME_MADE, "indexes leave the top bit free");

/* One component of one or more targets. */
struct rename_node {
	uint32_t above; /* node, or MBJ_NODE_ROOT */
	struct mbj_name name;
	uint32_t rename;  /* whose target ends here, or MBJ_NODE_NONE */
	uint32_t mailbox; /* view index, or RENAME_MADE + number */
};

struct rename_run {
	struct edit_work *work;
	const struct mbj_rename *renames;
	uint32_t count;
	uint32_t *sources; /* [count] view index */
	uint32_t *targets; /* [count] node */
	struct mbj_table by_source;
	struct rename_node *nodes;
	size_t node_capacity;
	uint32_t node_count;
	struct mbj_table by_name; /* nodes */
	uint32_t *made;		  /* nodes that are new mailboxes */
	size_t made_capacity;
	uint32_t made_count;
	uint32_t inbox; /* the rename that has INBOX as its source, or NONE */
};

static enum mbj_rc rename_refuse(struct mbj_error *err,
				 enum mbj_refusal refusal,
				 struct mbj_bytes path, const char *before,
				 const char *after)
{
	struct edit_text raw, shown;

	return mbj_error_refuse(err, refusal, "path", edit_text_raw(&raw, path),
				"%s\"%s\"%s", before,
				edit_text_show(&shown, path), after);
}

/* ------------------------------------------------------------ sources */

static uint32_t source_find(const struct rename_run *run, uint32_t mailbox)
{
	uint64_t hash =
		edit_hash_slot(run->work, mailbox, (struct mbj_bytes){0});
	uint32_t at = mbj_table_seek(&run->by_source, hash);
	uint32_t i;

	while (mbj_table_next(&run->by_source, hash, &at, &i)) {
		MBJ_ASSERT(i < run->count);
		if (run->sources[i] == mailbox)
			return i;
	}
	return MBJ_NODE_NONE;
}

/* The components of a path, judged; what is wrong is said of the path. */
static enum mbj_rc rename_split(struct rename_run *run, struct mbj_bytes path,
				struct mbj_name **ret_names, size_t *ret_count,
				struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	struct edit_text raw;
	enum mbj_rc rc;

	rc = mbj_path_split(&run->work->account.policy, path,
			    run->work->context->arena, ret_names, ret_count,
			    &why);
	if (rc == MBJ_EINVALID)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
					"path", edit_text_raw(&raw, path), "%s",
					why.message);
	if (rc < 0 && err != NULL)
		*err = why;
	MBJ_ASSERT(rc < 0 || *ret_count > 0);
	return rc;
}

static enum mbj_rc source_walk(struct rename_run *run, uint32_t i,
			       struct mbj_error *err)
{
	struct mbj_bytes path = run->renames[i].source;
	uint32_t mailbox = MBJ_NODE_ROOT;
	struct mbj_name *names;
	size_t count;
	enum mbj_rc rc;

	rc = rename_split(run, path, &names, &count, err);
	for (size_t at = 0; rc == MBJ_OK && at < count; at++) {
		rc = edit_view_slot(&run->work->view, mailbox, names[at].key,
				    &mailbox, err);
		if (rc == MBJ_OK && mailbox == MBJ_NODE_NONE)
			rc = rename_refuse(err, MBJ_REFUSAL_NOT_FOUND, path,
					   "there is no mailbox ", "");
	}
	if (rc == MBJ_OK)
		run->sources[i] = mailbox;
	return rc;
}

static enum mbj_rc source_enter(struct rename_run *run, uint32_t i,
				struct mbj_error *err)
{
	struct mbj_bytes path = run->renames[i].source;
	const struct mbj_node *node;
	enum mbj_rc rc;

	rc = source_walk(run, i, err);
	if (rc < 0)
		return rc;
	node = mbj_tree_get(run->work->view.tree, run->sources[i]);
	if (source_find(run, run->sources[i]) != MBJ_NODE_NONE ||
	    (edit_is_inbox(node) && run->inbox != MBJ_NODE_NONE))
		return rename_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS, path,
				     "", " is renamed twice");
	/* Not among those that leave their places. */
	if (edit_is_inbox(node)) {
		run->inbox = i;
		return MBJ_OK;
	}
	return mbj_table_add(&run->by_source,
			     edit_hash_slot(run->work, run->sources[i],
					    (struct mbj_bytes){0}),
			     i, err);
}

/* ------------------------------------------------------------ targets */

/* The node for a component, made where it is new. */
static enum mbj_rc node_intern(struct rename_run *run, uint32_t above,
			       const struct mbj_name *name, uint32_t *ret_node,
			       struct mbj_error *err)
{
	uint64_t hash = edit_hash_slot(run->work, above, name->key);
	uint32_t at = mbj_table_seek(&run->by_name, hash);
	uint32_t i;
	enum mbj_rc rc;

	while (mbj_table_next(&run->by_name, hash, &at, &i)) {
		MBJ_ASSERT(i < run->node_count);
		if (run->nodes[i].above == above &&
		    mbj_bytes_equal(run->nodes[i].name.key, name->key)) {
			*ret_node = i;
			return MBJ_OK;
		}
	}
	rc = mbj_array_reserve((void **)&run->nodes, &run->node_capacity,
			       (size_t)run->node_count + 1, sizeof(*run->nodes),
			       MBJ_NODE_MAX, err);
	if (rc == MBJ_OK)
		rc = mbj_table_add(&run->by_name, hash, run->node_count, err);
	if (rc < 0)
		return rc;
	run->nodes[run->node_count] =
		(struct rename_node){above, *name, MBJ_NODE_NONE,
				     MBJ_NODE_NONE};
	*ret_node = run->node_count++;
	return MBJ_OK;
}

static enum mbj_rc target_enter(struct rename_run *run, uint32_t i,
				struct mbj_error *err)
{
	struct mbj_bytes path = run->renames[i].target;
	uint32_t node = MBJ_NODE_ROOT;
	struct mbj_name *names;
	size_t count;
	enum mbj_rc rc;

	rc = rename_split(run, path, &names, &count, err);
	if (rc < 0)
		return rc;
	if (count == 1 && mbj_name_is_inbox(names[0].key))
		return rename_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS, path, "",
				     " exists in every account and cannot be "
				     "replaced");
	for (size_t at = 0; at < count; at++) {
		rc = node_intern(run, node, &names[at], &node, err);
		if (rc < 0)
			return rc;
	}
	if (run->nodes[node].rename != MBJ_NODE_NONE)
		return rename_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS, path,
				     "two renames have the target ", "");
	run->nodes[node].rename = i;
	/* As spelled here, whoever else came by before. */
	run->nodes[node].name = names[count - 1];
	run->targets[i] = node;
	return MBJ_OK;
}

/* True where node is above where rename i is to end. */
static bool target_is_below(const struct rename_run *run, uint32_t i,
			    uint32_t node)
{
	uint32_t at = run->nodes[run->targets[i]].above;

	while (at != MBJ_NODE_ROOT && at != node)
		at = run->nodes[at].above;
	return at == node;
}

/* ------------------------------------------------- the mailbox of a node */

static enum mbj_rc node_make(struct rename_run *run, uint32_t node,
			     struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_array_reserve((void **)&run->made, &run->made_capacity,
			       (size_t)run->made_count + 1, sizeof(*run->made),
			       MBJ_NODE_MAX, err);
	if (rc < 0)
		return rc;
	run->nodes[node].mailbox = RENAME_MADE | run->made_count;
	run->made[run->made_count++] = node;
	return MBJ_OK;
}

/* Who has the node's place now, under whatever its parent was before. */
static enum mbj_rc node_holder(struct rename_run *run, uint32_t node,
			       uint32_t *ret_holder, struct mbj_error *err)
{
	uint32_t above = run->nodes[node].above;
	uint32_t parent = MBJ_NODE_ROOT;

	if (above != MBJ_NODE_ROOT)
		parent = run->nodes[above].mailbox;
	MBJ_ASSERT(parent != MBJ_NODE_NONE);
	if (parent != MBJ_NODE_ROOT && (parent & RENAME_MADE)) {
		*ret_holder = MBJ_NODE_NONE;
		return MBJ_OK;
	}
	return edit_view_slot(&run->work->view, parent,
			      run->nodes[node].name.key, ret_holder, err);
}

static enum mbj_rc node_resolve(struct rename_run *run, uint32_t node,
				struct mbj_error *err)
{
	uint32_t own = run->nodes[node].rename;
	uint32_t holder, leaver = MBJ_NODE_NONE;
	enum mbj_rc rc;

	rc = node_holder(run, node, &holder, err);
	if (rc < 0)
		return rc;
	if (holder != MBJ_NODE_NONE)
		leaver = source_find(run, holder);
	if (own != MBJ_NODE_NONE) {
		run->nodes[node].mailbox = run->sources[own];
		if (own == run->inbox)
			rc = node_make(run, node, err);
		if (rc < 0)
			return rc;
		if (holder != MBJ_NODE_NONE && leaver == MBJ_NODE_NONE)
			return rename_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS,
					     run->renames[own].target, "",
					     " exists and is not renamed");
		return MBJ_OK;
	}
	if (holder != MBJ_NODE_NONE && leaver == MBJ_NODE_NONE) {
		run->nodes[node].mailbox = holder;
		return MBJ_OK;
	}
	if (leaver != MBJ_NODE_NONE && target_is_below(run, leaver, node))
		return rename_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				     run->renames[leaver].target, "at ",
				     " a mailbox would lie below itself");
	return node_make(run, node, err);
}

/* -------------------------------------------------------------- draft */

static uint32_t rename_item_of(const struct rename_run *run, uint32_t node)
{
	uint32_t mailbox;

	if (node == MBJ_NODE_ROOT)
		return MBJ_NODE_ROOT;
	mailbox = run->nodes[node].mailbox;
	if (mailbox & RENAME_MADE)
		return run->work->draft.before_count + (mailbox & ~RENAME_MADE);
	return mailbox;
}

static enum mbj_rc rename_draft(struct rename_run *run, struct mbj_error *err)
{
	struct edit_work *work = run->work;
	struct edit_draft *draft = &work->draft;
	struct mbj_id id;
	uint32_t item = 0;
	enum mbj_rc rc;

	rc = edit_draft_init(draft, work->view.tree, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < run->made_count; i++) {
		const struct rename_node *node = &run->nodes[run->made[i]];

		rc = mbj_id_generate(work->context->sys, &id, err);
		if (rc == MBJ_OK)
			rc = edit_draft_create(draft, id,
					       rename_item_of(run, node->above),
					       &node->name, MBJ_NODE_NONE,
					       &item, err);
		if (rc < 0)
			break;
		draft->items[item].is_selectable = false;
		if (node->rename == MBJ_NODE_NONE)
			continue;
		MBJ_ASSERT(node->rename == run->inbox);
		draft->items[item].is_selectable = true;
		draft->items[item].change = run->inbox;
		work->inbox_taker = id;
	}
	for (uint32_t i = 0; rc == MBJ_OK && i < run->count; i++) {
		const struct rename_node *node = &run->nodes[run->targets[i]];

		if (i == run->inbox)
			continue;
		draft->items[run->sources[i]].parent =
			rename_item_of(run, node->above);
		draft->items[run->sources[i]].name = node->name;
		draft->items[run->sources[i]].change = i;
	}
	return rc;
}

/* Limits hold for the targets; what lies below them comes along. */
static enum mbj_rc rename_check(struct rename_run *run, struct mbj_error *err)
{
	uint32_t cycle;
	enum mbj_rc rc;

	rc = edit_draft_sort(&run->work->draft, &cycle, err);
	if (rc < 0)
		return rc;
	MBJ_ASSERT(cycle == MBJ_NODE_NONE);
	for (uint32_t i = 0; i < run->count; i++) {
		uint32_t item = rename_item_of(run, run->targets[i]);

		if (edit_draft_excess(&run->work->draft, item) ==
		    EDIT_EXCESS_NONE)
			continue;
		return rename_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES,
				     run->renames[i].target, "the name ",
				     " is too deep or too long");
	}
	return MBJ_OK;
}

static enum mbj_rc rename_resolve(struct rename_run *run, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	for (uint32_t i = 0; rc == MBJ_OK && i < run->count; i++)
		rc = source_enter(run, i, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < run->count; i++)
		rc = target_enter(run, i, err);
	for (uint32_t i = 0; rc == MBJ_OK && i < run->node_count; i++)
		rc = node_resolve(run, i, err);
	if (rc == MBJ_OK)
		rc = rename_draft(run, err);
	if (rc == MBJ_OK)
		rc = rename_check(run, err);
	return rc;
}

enum mbj_rc edit_rename_resolve(struct edit_work *work, struct mbj_error *err)
{
	struct rename_run run = {
		.work = work,
		.renames = work->edit->renames,
		.count = (uint32_t)work->edit->rename_count,
		.inbox = MBJ_NODE_NONE,
	};
	enum mbj_rc rc;

	MBJ_ASSERT(work->edit->rename_count <= EDIT_CHANGES_MAX);
	run.sources = mbj_arena_alloc(work->context->arena,
				      run.count * sizeof(*run.sources));
	run.targets = mbj_arena_alloc(work->context->arena,
				      run.count * sizeof(*run.targets));
	if (run.sources == NULL || run.targets == NULL)
		rc = mbj_error_nomem(err);
	else
		rc = rename_resolve(&run, err);
	if (rc == MBJ_OK && run.inbox != MBJ_NODE_NONE)
		work->inbox =
			mbj_tree_get(work->view.tree, run.sources[run.inbox])
				->id;
	mbj_table_done(&run.by_source);
	mbj_table_done(&run.by_name);
	mbj_free(run.nodes);
	mbj_free(run.made);
	return rc;
}
