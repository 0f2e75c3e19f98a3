/*
 * Changes of mailboxes as edits of the store's tree.  See changes.h.
 *
 * Threads: pure, but for the random numbers of new places.
 */
#include "changes.h"

#include <mbj/check.h>
#include <mbj/limits.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

void changes_init(struct changes *changes, const struct mbj_tree *tree,
		  char delimiter)
{
	memset(changes, 0, sizeof(*changes));
	changes->tree = tree;
	changes->delimiter = delimiter;
}

void changes_done(struct changes *changes)
{
	mbj_free(changes->list);
	memset(changes, 0, sizeof(*changes));
}

/* Cut the first component off. */
static struct mbj_bytes component_next(const struct changes *changes,
				       struct mbj_bytes *path)
{
	const uint8_t *end =
		path->n > 0 ? memchr(path->p, changes->delimiter, path->n)
			    : NULL;
	struct mbj_bytes name = *path;

	if (end != NULL)
		name.n = (size_t)(end - path->p);
	path->p += name.n + (end != NULL);
	path->n -= name.n + (end != NULL);
	return name;
}

uint32_t changes_find(const struct changes *changes, struct mbj_bytes path)
{
	uint32_t node = MBJ_NODE_ROOT;

	while (path.n > 0 && node != MBJ_NODE_NONE)
		node = mbj_tree_find_slot(changes->tree, node,
					  component_next(changes, &path));
	return node;
}

static enum mbj_rc change_add(struct changes *changes,
			      const struct mbj_change *change,
			      struct mbj_error *err)
{
	void *list = changes->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &changes->capacity, changes->count + 1,
			       sizeof(*changes->list), MBJ_NODE_MAX, err);
	changes->list = list;
	if (rc == MBJ_OK)
		changes->list[changes->count++] = *change;
	return rc;
}

static enum mbj_rc create_add(struct changes *changes, struct mbj_id id,
			      struct mbj_id parent, struct mbj_bytes name,
			      bool is_selectable, struct mbj_error *err)
{
	const struct mbj_change change = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
		       MBJ_CHANGE_HAS_SELECTABLE,
		.id = id,
		.parent = parent,
		.name = name,
		.is_selectable = is_selectable,
	};

	return change_add(changes, &change, err);
}

static enum mbj_rc destroy_add(struct changes *changes, uint32_t node,
			       struct mbj_error *err)
{
	const struct mbj_change change = {
		.kind = MBJ_CHANGE_DESTROY,
		.id = mbj_tree_get(changes->tree, node)->id,
	};

	return change_add(changes, &change, err);
}

static struct mbj_id id_of(const struct changes *changes, uint32_t node)
{
	return node == MBJ_NODE_ROOT ? MBJ_ID_ROOT
				     : mbj_tree_get(changes->tree, node)->id;
}

/* The slot of a path: its parent, made with all above where there is none. */
static enum mbj_rc slot_make(struct changes *changes, struct mbj_bytes path,
			     struct mbj_id *ret_parent,
			     struct mbj_bytes *ret_name, uint32_t *ret_holder,
			     struct mbj_error *err)
{
	uint32_t node = MBJ_NODE_ROOT;
	struct mbj_bytes name = component_next(changes, &path);
	struct mbj_id parent = MBJ_ID_ROOT;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK && path.n > 0) {
		struct mbj_id id;

		if (node != MBJ_NODE_NONE)
			node = mbj_tree_find_slot(changes->tree, node, name);
		if (node != MBJ_NODE_NONE) {
			id = id_of(changes, node);
		} else {
			rc = mbj_id_generate(mbj_sys_posix(), &id, err);
			if (rc == MBJ_OK)
				rc = create_add(changes, id, parent, name,
						false, err);
		}
		if (rc == MBJ_OK)
			parent = id;
		name = component_next(changes, &path);
	}
	if (rc < 0)
		return rc;
	*ret_parent = parent;
	*ret_name = name;
	*ret_holder = node == MBJ_NODE_NONE
			      ? MBJ_NODE_NONE
			      : mbj_tree_find_slot(changes->tree, node, name);
	return MBJ_OK;
}

/* What is below node is below id from now on, but for id itself. */
static enum mbj_rc children_hand(struct changes *changes, uint32_t node,
				 struct mbj_id id, struct mbj_error *err)
{
	struct mbj_change change = {.kind = MBJ_CHANGE_UPDATE, .parent = id};
	enum mbj_rc rc = MBJ_OK;

	if (mbj_tree_child_count(changes->tree, node) == 0)
		return MBJ_OK;
	for (uint32_t i = 0; rc == MBJ_OK && i < mbj_tree_size(changes->tree);
	     i++) {
		const struct mbj_node *child = mbj_tree_get(changes->tree, i);

		if (!child->is_live || child->parent != node ||
		    mbj_id_equal(child->id, id))
			continue;
		change.id = child->id;
		/* Its clients see no change. */
		change.has = MBJ_CHANGE_HAS_PARENT;
		if (child->uidvalidity != 0)
			change.has |= MBJ_CHANGE_HAS_UIDVALIDITY;
		change.uidvalidity = child->uidvalidity;
		rc = change_add(changes, &change, err);
	}
	return rc;
}

/* Whoever holds the slot makes room: a place does, a mailbox does not. */
static enum mbj_rc holder_replace(struct changes *changes, uint32_t holder,
				  struct mbj_bytes path, struct mbj_id id,
				  struct mbj_error *err)
{
	enum mbj_rc rc;

	if (holder == MBJ_NODE_NONE)
		return MBJ_OK;
	if (mbj_tree_get(changes->tree, holder)->is_selectable)
		return mbj_error_refuse(err, MBJ_REFUSAL_ALREADY_EXISTS, NULL,
					NULL,
					"the journal has another mailbox "
					"called \"%.*s\"",
					(int)(path.n < 200 ? path.n : 200),
					(const char *)path.p);
	rc = children_hand(changes, holder, id, err);
	if (rc == MBJ_OK)
		rc = destroy_add(changes, holder, err);
	return rc;
}

enum mbj_rc changes_create(struct changes *changes, struct mbj_bytes path,
			   struct mbj_id id, bool is_selectable,
			   struct mbj_error *err)
{
	uint32_t holder = MBJ_NODE_NONE;
	struct mbj_bytes name = {NULL, 0};
	struct mbj_id parent = MBJ_ID_ROOT;
	enum mbj_rc rc;

	rc = slot_make(changes, path, &parent, &name, &holder, err);
	if (rc == MBJ_OK)
		rc = create_add(changes, id, parent, name, is_selectable, err);
	if (rc == MBJ_OK)
		rc = holder_replace(changes, holder, path, id, err);
	return rc;
}

enum mbj_rc changes_whole_add(struct changes *changes, struct mbj_tree *wanted,
			      struct mbj_bytes path, struct mbj_id id,
			      bool is_selectable, struct mbj_error *err)
{
	size_t i = changes->count;
	enum mbj_rc rc;

	MBJ_ASSERT(changes->tree == wanted);
	rc = changes_create(changes, path, id, is_selectable, err);
	for (; rc == MBJ_OK && i < changes->count; i++) {
		const struct mbj_change *change = &changes->list[i];
		struct mbj_node node = {
			.id = change->id,
			.parent = MBJ_NODE_ROOT,
			.name = {change->name, change->name},
			.is_selectable = change->is_selectable,
			.is_live = true,
		};
		uint32_t index;

		if (!mbj_id_is_root(change->parent))
			node.parent = mbj_tree_find(wanted, change->parent);
		rc = mbj_tree_add(wanted, &node, &index, err);
	}
	return rc;
}

enum mbj_rc changes_move(struct changes *changes, uint32_t node,
			 struct mbj_bytes path, struct mbj_error *err)
{
	struct mbj_change change = {
		.kind = MBJ_CHANGE_UPDATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = id_of(changes, node),
	};
	uint32_t holder = MBJ_NODE_NONE;
	enum mbj_rc rc;

	rc = slot_make(changes, path, &change.parent, &change.name, &holder,
		       err);
	if (rc == MBJ_OK)
		rc = change_add(changes, &change, err);
	/* To itself: only the form of its name in Dovecot is another one. */
	if (rc == MBJ_OK && holder != node)
		rc = holder_replace(changes, holder, path, change.id, err);
	return rc;
}

void changes_role(struct changes *changes, struct mbj_id id, enum mbj_role role)
{
	for (size_t i = 0; i < changes->count; i++) {
		struct mbj_change *change = &changes->list[i];

		if (change->kind == MBJ_CHANGE_DESTROY ||
		    !mbj_id_equal(change->id, id))
			continue;
		change->has |= MBJ_CHANGE_HAS_ROLE;
		change->role = (uint8_t)role;
	}
}

enum mbj_rc changes_inbox_move(struct changes *changes, uint32_t inbox,
			       struct mbj_bytes path, struct mbj_id new_inbox,
			       struct mbj_error *err)
{
	const struct mbj_node *node = mbj_tree_get(changes->tree, inbox);
	enum mbj_rc rc;

	rc = create_add(changes, new_inbox, MBJ_ID_ROOT, node->name.stored,
			true, err);
	if (rc == MBJ_OK)
		rc = changes_move(changes, inbox, path, err);
	if (rc == MBJ_OK && node->role == MBJ_ROLE_INBOX) {
		changes_role(changes, new_inbox, MBJ_ROLE_INBOX);
		changes_role(changes, node->id, MBJ_ROLE_NONE);
	}
	return rc;
}

enum mbj_rc changes_delete(struct changes *changes, uint32_t node,
			   bool is_place_left, struct mbj_error *err)
{
	const struct mbj_node *gone = mbj_tree_get(changes->tree, node);
	struct mbj_id id;
	enum mbj_rc rc = MBJ_OK;

	if (is_place_left) {
		rc = mbj_id_generate(mbj_sys_posix(), &id, err);
		if (rc == MBJ_OK)
			rc = create_add(changes, id,
					id_of(changes, gone->parent),
					gone->name.stored, false, err);
		if (rc == MBJ_OK)
			rc = children_hand(changes, node, id, err);
	}
	if (rc == MBJ_OK)
		rc = destroy_add(changes, node, err);
	return rc;
}

enum mbj_rc changes_replace(struct changes *changes, uint32_t node,
			    struct mbj_id id, struct mbj_error *err)
{
	const struct mbj_node *old = mbj_tree_get(changes->tree, node);
	const struct mbj_change same = {.kind = MBJ_CHANGE_UPDATE,
					.id = old->id};
	enum mbj_rc rc;

	if (mbj_id_equal(id, old->id))
		return change_add(changes, &same, err);
	rc = create_add(changes, id, id_of(changes, old->parent),
			old->name.stored, true, err);
	if (rc == MBJ_OK && old->role != MBJ_ROLE_NONE)
		changes_role(changes, id, (enum mbj_role)old->role);
	if (rc == MBJ_OK)
		rc = children_hand(changes, node, id, err);
	if (rc == MBJ_OK)
		rc = destroy_add(changes, node, err);
	return rc;
}

uint32_t changes_orphan(const struct changes *changes, uint32_t node)
{
	uint32_t parent = mbj_tree_get(changes->tree, node)->parent;
	const struct mbj_node *place;

	if (parent == MBJ_NODE_ROOT || parent == MBJ_NODE_TEMP)
		return MBJ_NODE_NONE;
	place = mbj_tree_get(changes->tree, parent);
	if (place->is_selectable ||
	    mbj_tree_child_count(changes->tree, parent) != 1)
		return MBJ_NODE_NONE;
	for (size_t i = 0; i < changes->count; i++)
		if ((changes->list[i].has & MBJ_CHANGE_HAS_PARENT) &&
		    mbj_id_equal(changes->list[i].parent, place->id))
			return MBJ_NODE_NONE;
	return parent;
}

void changes_uidvalidity(struct changes *changes, struct mbj_id id,
			 uint32_t uidvalidity)
{
	for (size_t i = 0; i < changes->count; i++) {
		struct mbj_change *change = &changes->list[i];

		if (change->kind == MBJ_CHANGE_DESTROY ||
		    !mbj_id_equal(change->id, id) || uidvalidity == 0)
			continue;
		change->has |= MBJ_CHANGE_HAS_UIDVALIDITY;
		change->uidvalidity = uidvalidity;
	}
}
