/*
 * Mailboxes without the journal's GUID that are to have it.  See apply_renew.h.
 */
#include "apply_renew.h"

#include "apply_step.h"

bool apply_is_journals(struct apply *apply, const ARRAY_TYPE(apply_id) * kept,
		       struct mbj_id id)
{
	const struct mbj_id *one;

	array_foreach(kept, one)
	{
		if (mbj_id_equal(*one, id))
			return false;
	}
	return mbj_tree_find(apply->wanted, id) != MBJ_NODE_NONE ||
	       known_find(&apply->known, id) != NULL;
}

/* By its stored name, whatever siblings are compared by. */
static uint32_t slot_of(const struct mbj_tree *tree, uint32_t parent,
			struct mbj_bytes name)
{
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		if (node->is_live && node->parent == parent &&
		    mbj_bytes_equal(node->name.stored, name))
			return i;
	}
	return MBJ_NODE_NONE;
}

static uint32_t selectable(const struct mbj_tree *tree, uint32_t at)
{
	return at != MBJ_NODE_NONE && mbj_tree_get(tree, at)->is_selectable
		       ? at
		       : MBJ_NODE_NONE;
}

/* The account's mailbox at a path, or NONE. */
static uint32_t wanted_at(const struct apply *apply, const char *path)
{
	const char separators[] = {mail_namespace_get_sep(apply->inbox), '\0'};
	uint32_t at = MBJ_NODE_ROOT;

	for (const char *const *names = t_strsplit(path, separators);
	     *names != NULL && at != MBJ_NODE_NONE; names++)
		at = slot_of(apply->wanted, at, mbj_bytes_str(*names));
	return selectable(apply->wanted, at);
}

static bool folders_have(const ARRAY_TYPE(apply_folder) * folders,
			 struct mbj_id id)
{
	const struct apply_folder *folder;

	array_foreach(folders, folder)
	{
		if (mbj_id_equal(folder->id, id))
			return true;
	}
	return false;
}

/*
 * INBOX cannot be deleted, and in a Maildir not be renamed.  One of the
 * journal's with UIDs given goes by the plan, or they would be the next one's.
 * Others that are new and empty were made by Dovecot itself, by the same
 * settings (auto = create) on both hosts.
 */
static bool folder_is_renewed(struct apply *apply, bool is_journals,
			      const struct apply_folder *folder)
{
	if (strcmp(folder->vname, "INBOX") == 0)
		return strcmp(apply->inbox->storage->name, "maildir") == 0 ||
		       !is_journals ||
		       (mbj_tree_find(apply->wanted, folder->id) ==
				MBJ_NODE_NONE &&
			step_is_new(apply, folder->vname));
	return !is_journals && step_is_new(apply, folder->vname);
}

/* A killed run was making it: whose it was to be is not in it yet. */
static bool folder_is_begun(struct apply *apply, bool is_journals,
			    const struct apply_folder *folder)
{
	return !is_journals && strcmp(folder->vname, "INBOX") != 0 &&
	       null_strcmp(folder->vname, apply->note.making) == 0 &&
	       step_is_new(apply, folder->vname);
}

static int folder_renew(struct apply *apply,
			const ARRAY_TYPE(apply_folder) * folders,
			bool is_journals, struct apply_folder *folder)
{
	uint32_t at = wanted_at(apply, folder->vname);
	const struct mbj_node *node;

	if (folder_is_begun(apply, is_journals, folder)) {
		folder->id = MBJ_ID_ROOT;
		return step_delete_new(apply, folder->vname);
	}
	if (at == MBJ_NODE_NONE)
		return 0;
	node = mbj_tree_get(apply->wanted, at);
	if (mbj_id_equal(folder->id, node->id) ||
	    !folder_is_renewed(apply, is_journals, folder))
		return 0;
	if (folders_have(folders, node->id)) {
		/* INBOX stays what it is, and is told of later. */
		if (strcmp(folder->vname, "INBOX") == 0)
			return 0;
		folder->id = MBJ_ID_ROOT;
		return step_delete_new(apply, folder->vname);
	}
	if (known_forget(apply, node->id) < 0 ||
	    step_update(apply, folder->vname, node) < 0)
		return -1;
	folder->id = node->id;
	folder->uidvalidity = node->uidvalidity;
	return 0;
}

int folders_renew(struct apply *apply, ARRAY_TYPE(apply_folder) * folders,
		  const ARRAY_TYPE(apply_id) * kept)
{
	struct apply_folder *folder;
	int ret = 0;

	array_foreach_modifiable(folders, folder)
	{
		bool is_journals = apply_is_journals(apply, kept, folder->id);

		if (ret < 0)
			break;
		if (!mbj_id_is_root(folder->id) &&
		    (!is_journals || strcmp(folder->vname, "INBOX") == 0))
			ret = folder_renew(apply, folders, is_journals, folder);
	}
	return ret;
}
