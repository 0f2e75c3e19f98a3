/*
 * The mailboxes of a source, and making them in the account.
 *
 * The tree that the account has is walked along each folder's path; what is
 * missing is added to the tree in memory, so that the next folder finds it,
 * and to the edit.  So two folders that are one mailbox meet there.
 */
#include <stdlib.h>

#include <mbj/tree.h>

#include "mail.h"

enum { FOLDERS_ARENA = 1 << 30 };

enum mbj_rc mail_folders_init(struct mail_folders *folders,
			      struct mbj_error *err)
{
	memset(folders, 0, sizeof(*folders));
	return mbj_arena_new(FOLDERS_ARENA, &folders->arena, err);
}

void mail_folders_done(struct mail_folders *folders)
{
	mbj_free(folders->folders);
	mbj_arena_free(&folders->arena);
}

enum mbj_rc mail_folders_add(struct mail_folders *folders,
			     struct mbj_bytes path, const char *place,
			     struct mail_folder **ret_folder,
			     struct mbj_error *err)
{
	struct mail_folder folder = {.is_left_out = false};
	struct mbj_bytes copy;
	void *array = folders->folders;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, &folders->capacity, folders->count + 1,
			       sizeof(folder), MBJ_ACCOUNT_MAILBOXES_MAX, err);
	folders->folders = array;
	if (rc < 0)
		return rc;
	if (!mbj_arena_dup(folders->arena, path, &folder.path) ||
	    !mbj_arena_dup(folders->arena,
			   mbj_bytes_make(place, strlen(place) + 1), &copy))
		return mbj_error_nomem(err);
	folder.place = (const char *)copy.p;
	folders->folders[folders->count] = folder;
	*ret_folder = &folders->folders[folders->count++];
	return MBJ_OK;
}

/* -------------------------------------------------------------- the edit */

struct making {
	struct mail_folders *folders;
	struct session *s;
	struct mail_report *report;
	struct mbj_tree *tree;
	bool *is_taken; /* [tree's size] a folder is this mailbox */
	size_t taken_capacity;
	struct mbj_change *changes;
	size_t count;
	size_t capacity;
	bool is_new; /* the account is made here */
};

static enum mbj_rc change_add(struct making *making,
			      const struct mbj_change *change)
{
	void *array = making->changes;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, &making->capacity, making->count + 1,
			       sizeof(*change), MBJ_ACCOUNT_MAILBOXES_MAX,
			       &making->s->err);
	making->changes = array;
	if (rc == MBJ_OK)
		making->changes[making->count++] = *change;
	return rc;
}

static enum mbj_rc node_take(struct making *making, uint32_t node,
			     bool *ret_was_taken)
{
	size_t before = making->taken_capacity;
	void *array = making->is_taken;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, &making->taken_capacity,
			       (size_t)node + 1, sizeof(bool),
			       MBJ_ACCOUNT_MAILBOXES_MAX, &making->s->err);
	making->is_taken = array;
	if (rc < 0)
		return rc;
	if (making->taken_capacity > before)
		memset(making->is_taken + before, 0,
		       making->taken_capacity - before);
	*ret_was_taken = making->is_taken[node];
	making->is_taken[node] = true;
	return MBJ_OK;
}

/*
 * A mailbox that the account lacks; folder NULL: a place in a path, and no
 * more unless it is INBOX.
 */
static enum mbj_rc node_make(struct making *making, uint32_t parent,
			     const struct mbj_name *name,
			     const struct mail_folder *folder,
			     uint32_t *ret_node)
{
	bool is_inbox = parent == MBJ_NODE_ROOT && mbj_name_is_inbox(name->key);
	struct mbj_node node = {
		.parent = parent,
		.name = *name,
		.rev = 1,
		.is_selectable = folder != NULL || is_inbox,
		.is_subscribed = folder != NULL && folder->is_subscribed,
	};
	struct mbj_change change = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT |
		       MBJ_CHANGE_HAS_SUBSCRIBED | MBJ_CHANGE_HAS_SELECTABLE,
		.name = name->stored,
		.is_selectable = node.is_selectable,
		.is_subscribed = node.is_subscribed,
	};
	enum mbj_rc rc = MBJ_OK;

	/* An id of an account that exists may be that of a deleted one. */
	if (making->is_new && folder != NULL && !mbj_id_is_root(folder->id) &&
	    mbj_tree_find(making->tree, folder->id) == MBJ_NODE_NONE)
		node.id = folder->id;
	else
		rc = mbj_id_generate(mbj_sys_posix(), &node.id,
				     &making->s->err);
	if (rc == MBJ_OK)
		rc = mbj_tree_add(making->tree, &node, ret_node,
				  &making->s->err);
	if (rc < 0)
		return rc;
	change.id = node.id;
	if (parent != MBJ_NODE_ROOT)
		change.parent = mbj_tree_get(making->tree, parent)->id;
	if (making->is_new && folder != NULL && folder->uidvalidity != 0) {
		change.has |= MBJ_CHANGE_HAS_UIDVALIDITY;
		change.uidvalidity = folder->uidvalidity;
	}
	/* As of an INBOX that is made without a folder. */
	if (making->is_new && is_inbox) {
		change.has |= MBJ_CHANGE_HAS_ROLE;
		change.role = MBJ_ROLE_INBOX;
	}
	making->report->created_count += folder != NULL;
	return change_add(making, &change);
}

/* One that is there gets what the folder has. */
static enum mbj_rc node_update(struct making *making, uint32_t index,
			       const struct mail_folder *folder)
{
	struct mbj_node *node = mbj_tree_edit(making->tree, index);
	struct mbj_change change = {.kind = MBJ_CHANGE_UPDATE, .id = node->id};

	if (!node->is_selectable) {
		change.has |= MBJ_CHANGE_HAS_SELECTABLE;
		change.is_selectable = true;
	}
	if (folder->is_subscribed && !node->is_subscribed) {
		change.has |= MBJ_CHANGE_HAS_SUBSCRIBED;
		change.is_subscribed = true;
	}
	return change.has != 0 ? change_add(making, &change) : MBJ_OK;
}

/* The next component of a path, judged. */
static enum mbj_rc component_next(struct making *making, struct mbj_bytes *path,
				  bool is_top, struct mbj_name *ret_name)
{
	const uint8_t *end =
		path->n > 0 ? memchr(path->p, '\0', path->n) : NULL;
	struct mbj_bytes component = *path;

	if (end != NULL)
		component.n = (size_t)(end - path->p);
	path->p += component.n + (end != NULL);
	path->n -= component.n + (end != NULL);
	return mbj_name_make(&making->s->edit.policy, component, is_top,
			     making->folders->arena, ret_name, &making->s->err);
}

/* Bad names cost their folders; *ret_is_bad: this one. */
static enum mbj_rc names_judge(struct making *making,
			       const struct mail_folder *folder,
			       bool *ret_is_bad)
{
	struct mbj_bytes path = folder->path;
	enum mbj_rc rc = MBJ_OK;
	struct mbj_name name;
	size_t depth = 0;

	for (bool is_top = true; rc == MBJ_OK && path.n > 0; is_top = false) {
		rc = component_next(making, &path, is_top, &name);
		if (rc == MBJ_OK && ++depth > MBJ_DEPTH_MAX)
			rc = mbj_error_set(&making->s->err, MBJ_EINVALID,
					   "it is too deep");
	}
	*ret_is_bad = rc == MBJ_EINVALID;
	return *ret_is_bad ? MBJ_OK : rc;
}

static enum mbj_rc folder_make(struct making *making,
			       struct mail_folder *folder)
{
	struct mbj_bytes path = folder->path;
	uint32_t parent = MBJ_NODE_ROOT, node = MBJ_NODE_NONE;
	bool is_bad, was_there = true;
	enum mbj_rc rc = names_judge(making, folder, &is_bad);

	if (rc == MBJ_OK && is_bad) {
		folder->is_left_out = true;
		mail_left_out(making->report, folder->place, "%s",
			      making->s->err.message);
		return MBJ_OK;
	}
	while (rc == MBJ_OK && path.n > 0) {
		struct mbj_name name;

		rc = component_next(making, &path, parent == MBJ_NODE_ROOT,
				    &name);
		if (rc < 0)
			return rc;
		node = mbj_tree_find_slot(making->tree, parent, name.key);
		was_there = node != MBJ_NODE_NONE;
		if (!was_there)
			rc = node_make(making, parent, &name,
				       path.n == 0 ? folder : NULL, &node);
		parent = node;
	}
	if (rc == MBJ_OK)
		rc = node_take(making, node, &is_bad);
	if (rc == MBJ_OK && is_bad) {
		folder->is_left_out = true;
		mail_left_out(making->report, folder->place,
			      "another one has that mailbox's name");
		return MBJ_OK;
	}
	if (rc == MBJ_OK && was_there)
		rc = node_update(making, node, folder);
	if (rc == MBJ_OK)
		folder->mailbox = mbj_tree_get(making->tree, node)->id;
	return rc;
}

/* The account's tree, or an empty one where it is to be made. */
static enum mbj_rc tree_get(struct making *making)
{
	struct session *s = making->s;
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	uint64_t seed;
	enum mbj_rc rc = mbj_store_read(s->store, &txn, &s->err);

	if (rc < 0)
		return rc;
	rc = mbj_txn_account_find(txn, s->edit.account, &account, &s->err);
	if (rc == MBJ_OK) {
		rc = session_policy_take(s, &account);
		if (rc == MBJ_OK)
			rc = mbj_txn_tree_load(txn, account.id, &making->tree,
					       &s->err);
	} else if (rc == MBJ_ENOTFOUND) {
		making->is_new = true;
		rc = mbj_sys_posix()->random(mbj_sys_posix()->ctx, &seed,
					     sizeof(seed)) < 0
			     ? mbj_error_set(&s->err, MBJ_EIO,
					     "there is no randomness")
			     : mbj_tree_new(seed, &making->tree, &s->err);
	}
	mbj_txn_abort(&txn);
	return rc;
}

/* What the edit would not do for one mailbox. */
static enum mbj_rc refusals_take(struct making *making)
{
	const struct mbj_outcome *outcome = &making->s->outcome;

	for (size_t i = 0; i < outcome->result_count; i++) {
		const struct mbj_change_result *result = &outcome->results[i];

		if (result->refusal == MBJ_REFUSAL_NONE)
			continue;
		for (size_t k = 0; k < making->folders->count; k++) {
			struct mail_folder *folder =
				&making->folders->folders[k];

			if (!mbj_id_equal(folder->mailbox,
					  making->changes[i].id))
				continue;
			folder->is_left_out = true;
			mail_left_out(making->report, folder->place, "%s",
				      result->description != NULL
					      ? result->description
					      : mbj_refusal_type(
							result->refusal));
		}
	}
	return MBJ_OK;
}

static enum mbj_rc edit_submit(struct making *making)
{
	struct session *s = making->s;
	enum mbj_rc rc;

	if (!making->is_new && making->count == 0)
		return MBJ_OK;
	s->edit.kind = making->is_new ? MBJ_EDIT_IMPORT : MBJ_EDIT_SET;
	s->edit.origin = MBJ_ORIGIN_BULK;
	s->edit.changes = making->changes;
	s->edit.change_count = making->count;
	rc = session_submit(s);
	if (rc == MBJ_OK)
		rc = refusals_take(making);
	s->edit.changes = NULL;
	s->edit.change_count = 0;
	mbj_outcome_done(&s->outcome);
	return rc;
}

static int folder_order(const void *a, const void *b)
{
	const struct mail_folder *one = a, *two = b;
	int order = mbj_bytes_compare(one->path, two->path);

	return order != 0 ? order : strcmp(one->place, two->place);
}

enum mbj_rc mail_folders_make(struct mail_folders *folders, struct session *s,
			      struct mail_report *report)
{
	struct making making = {.folders = folders, .s = s, .report = report};
	enum mbj_rc rc = tree_get(&making);

	/* Parents before what is below them. */
	if (folders->count > 0)
		qsort(folders->folders, folders->count,
		      sizeof(*folders->folders), folder_order);
	for (size_t i = 0; rc == MBJ_OK && i < folders->count; i++)
		rc = folder_make(&making, &folders->folders[i]);
	if (rc == MBJ_OK)
		rc = edit_submit(&making);
	for (size_t i = 0; i < folders->count; i++)
		report->mailbox_count += !folders->folders[i].is_left_out;
	mbj_free(making.changes);
	mbj_free(making.is_taken);
	mbj_tree_free(&making.tree);
	return rc;
}
