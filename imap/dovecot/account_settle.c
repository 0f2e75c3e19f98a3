/*
 * Make the account as Dovecot is: the tree by its list, then subscriptions.
 */
#include "account_impl.h"

#include <stdlib.h>

#include <mbj/memory.h>
#include <mbj/sys.h>

enum {
	ACCOUNT_ENTRIES_MAX = MBJ_NODE_MAX,
	ACCOUNT_MEMORY_MAX = 256 << 20,
};

/* --------------------------------------------------------- subscriptions */

static int bytes_order(const void *a, const void *b)
{
	return mbj_bytes_compare(*(const struct mbj_bytes *)a,
				 *(const struct mbj_bytes *)b);
}

struct steps {
	struct mbj_metadata_edit *list;
	size_t count;
	size_t capacity;
};

static enum mbj_rc step_add(struct steps *steps,
			    enum mbj_metadata_edit_kind kind,
			    struct mbj_bytes name, struct mbj_error *err)
{
	void *list = steps->list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &steps->capacity, steps->count + 1,
			       sizeof(*steps->list), ACCOUNT_ENTRIES_MAX, err);
	steps->list = list;
	if (rc == MBJ_OK)
		steps->list[steps->count++] =
			(struct mbj_metadata_edit){.kind = kind, .name = name};
	return rc;
}

/* Recorded paths have NUL between their names, as no name can have. */
static enum mbj_rc paths_join(const struct account *account,
			      const struct mbj_client_subscriptions *have,
			      struct mbj_arena *arena,
			      struct mbj_bytes **ret_paths,
			      struct mbj_error *err)
{
	struct mbj_bytes *paths;

	paths = mbj_arena_alloc(arena, (have->count + 1) * sizeof(*paths));
	if (paths == NULL)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < have->count; i++) {
		struct mbj_bytes from = have->paths[i].stored;
		uint8_t *to = mbj_arena_alloc(arena, from.n);

		if (to == NULL)
			return mbj_error_nomem(err);
		for (size_t k = 0; k < from.n; k++)
			to[k] = from.p[k] == 0 ? (uint8_t)account->delimiter
					       : from.p[k];
		paths[i] = mbj_bytes_make(to, from.n);
	}
	*ret_paths = paths;
	return MBJ_OK;
}

/* Both sorted: what has only one of them. */
static enum mbj_rc steps_find(struct steps *steps,
			      const struct account_listing *listing,
			      const struct mbj_bytes *have, size_t have_count,
			      struct mbj_error *err)
{
	size_t i = 0, k = 0;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK &&
	       (i < listing->subscription_count || k < have_count)) {
		int order =
			i == listing->subscription_count ? 1
			: k == have_count
				? -1
				: mbj_bytes_compare(listing->subscriptions[i],
						    have[k]);

		if (order < 0)
			rc = step_add(steps, MBJ_METADATA_SUBSCRIBE,
				      listing->subscriptions[i], err);
		else if (order > 0)
			rc = step_add(steps, MBJ_METADATA_UNSUBSCRIBE, have[k],
				      err);
		i += order <= 0;
		k += order >= 0;
	}
	return rc;
}

/* The difference as one edit, or as what came out of the first open intent. */
static enum mbj_rc subscriptions_tell(struct account *account,
				      const struct mbj_client_intents *open,
				      const struct steps *steps,
				      struct mbj_error *err)
{
	struct mbj_edit edit =
		account_metadata(account, steps->list, steps->count);
	bool is_told = steps->count == 0;
	enum mbj_rc rc = MBJ_OK;

	/* Mailboxes are told by then: what is left open is told here. */
	for (size_t i = 0; rc == MBJ_OK && i < open->count; i++) {
		if (!account_intent_is_of_tree(&open->intents[i]))
			continue;
		account->intent = open->intents[i].intent.id;
		rc = is_told ? account_failed_tell(account, err)
			     : account_done_tell(account, &edit, err);
		is_told = true;
	}
	if (rc == MBJ_OK && !is_told)
		rc = account_tell(account, &edit, err);
	return rc;
}

static enum mbj_rc subscriptions_settle(struct account *account,
					const struct account_listing *listing,
					struct mbj_error *err)
{
	struct mbj_bytes name = mbj_bytes_str(account->name);
	struct mbj_client_subscriptions have = {.count = 0};
	struct mbj_client_intents open = {.count = 0};
	struct steps steps = {.count = 0};
	struct mbj_arena *arena = NULL;
	struct mbj_bytes *paths = NULL;
	enum mbj_rc rc;

	rc = mbj_client_subscriptions(account->client, name, &have, err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(ACCOUNT_MEMORY_MAX, &arena, err);
	if (rc == MBJ_OK)
		rc = paths_join(account, &have, arena, &paths, err);
	if (rc == MBJ_OK)
		rc = mbj_client_intents(account->client, name, &open, err);
	if (rc == MBJ_OK) {
		qsort(listing->subscriptions, listing->subscription_count,
		      sizeof(*listing->subscriptions), bytes_order);
		qsort(paths, have.count, sizeof(*paths), bytes_order);
		rc = steps_find(&steps, listing, paths, have.count, err);
	}
	if (rc == MBJ_OK)
		rc = subscriptions_tell(account, &open, &steps, err);
	mbj_free(steps.list);
	mbj_arena_free(&arena);
	mbj_client_intents_done(&open);
	mbj_client_subscriptions_done(&have);
	return rc;
}

/* -------------------------------------------------------------- settling */

static bool path_is_inbox(struct mbj_bytes path)
{
	return mbj_bytes_equal(path, mbj_bytes_str("INBOX"));
}

static int path_length(struct mbj_bytes path)
{
	return path.n < 200 ? (int)path.n : 200;
}

/*
 * One folder of the whole wanted tree.  A place keeps the id that it has in the
 * store, unless that is a mailbox's there.
 */
static enum mbj_rc whole_take(const struct account *account,
			      const struct account_folder *folder,
			      struct mbj_tree *wanted, struct changes *whole,
			      struct mbj_error *err)
{
	bool is_place = mbj_id_is_root(folder->id);
	const struct mbj_node *node = NULL;
	struct mbj_id id = folder->id;
	struct changes known;
	uint32_t at = MBJ_NODE_NONE;
	enum mbj_rc rc = MBJ_OK;

	changes_init(&known, account->tree, account->delimiter);
	if (account->tree != NULL)
		at = is_place ? changes_find(&known, folder->path)
			      : mbj_tree_find(account->tree, id);
	if (at != MBJ_NODE_NONE)
		node = mbj_tree_get(account->tree, at);
	if (folder->is_unread) {
		if (node == NULL || !(node->is_selectable || folder->is_closed))
			return mbj_error_set(err, MBJ_ECONFLICT,
					     "mailbox %.*s cannot be read, and "
					     "the journal has none of that "
					     "name",
					     path_length(folder->path),
					     (const char *)folder->path.p);
		id = node->id;
		is_place = !node->is_selectable;
	} else if (is_place && node != NULL && !node->is_selectable)
		id = node->id;
	else if (is_place)
		rc = mbj_id_generate(mbj_sys_posix(), &id, err);
	if (rc == MBJ_OK)
		rc = changes_whole_add(whole, wanted, folder->path, id,
				       !is_place, err);
	if (rc < 0)
		return rc;
	changes_uidvalidity(whole, id, folder->uidvalidity);
	if (path_is_inbox(folder->path))
		changes_role(whole, id, MBJ_ROLE_INBOX);
	else if (node != NULL && node->role == MBJ_ROLE_INBOX)
		changes_role(whole, id, MBJ_ROLE_NONE);
	return MBJ_OK;
}

/*
 * INBOX is always there.  Where Dovecot has not made it yet, it is the one of
 * the store, or another one, where that got another name.
 * Returns: there was none in the list.
 */
static bool inbox_lacks(const struct account *account,
			const struct account_listing *listing,
			struct account_folder *ret_inbox)
{
	uint32_t at = MBJ_NODE_NONE;
	struct changes known;

	changes_init(&known, account->tree, account->delimiter);
	if (account->tree != NULL)
		at = changes_find(&known, mbj_bytes_str("INBOX"));
	*ret_inbox = (struct account_folder){.path = mbj_bytes_str("INBOX")};
	if (at != MBJ_NODE_NONE)
		ret_inbox->id = mbj_tree_get(account->tree, at)->id;
	for (size_t i = 0; i < listing->folder_count; i++) {
		if (path_is_inbox(listing->folders[i].path))
			return false;
		if (mbj_id_equal(listing->folders[i].id, ret_inbox->id))
			ret_inbox->id = MBJ_ID_ROOT;
	}
	return true;
}

static enum mbj_rc whole_make(const struct account *account,
			      const struct account_listing *listing,
			      struct changes *ret_whole, struct mbj_error *err)
{
	struct account_folder inbox;
	struct mbj_tree *wanted = NULL;
	enum mbj_rc rc = mbj_tree_new(0, &wanted, err);

	changes_init(ret_whole, wanted, account->delimiter);
	if (rc == MBJ_OK && inbox_lacks(account, listing, &inbox)) {
		if (mbj_id_is_root(inbox.id))
			rc = mbj_id_generate(mbj_sys_posix(), &inbox.id, err);
		if (rc == MBJ_OK)
			rc = whole_take(account, &inbox, wanted, ret_whole,
					err);
	}
	for (size_t i = 0; rc == MBJ_OK && i < listing->folder_count; i++)
		rc = whole_take(account, &listing->folders[i], wanted,
				ret_whole, err);
	mbj_tree_free(&wanted);
	ret_whole->tree = NULL;
	return rc;
}

/* IMPORT where there is no account, else the list that settles doubts. */
static enum mbj_rc tree_settle(struct account *account,
			       const struct account_listing *listing,
			       struct mbj_error *err)
{
	struct changes whole;
	struct mbj_edit edit;
	enum mbj_rc rc;

	rc = whole_make(account, listing, &whole, err);
	edit = account_set(account, &whole);
	if (account->tree == NULL) {
		edit.kind = MBJ_EDIT_IMPORT;
		edit.policy.delimiter = account->delimiter;
	} else {
		edit.kind = MBJ_EDIT_RECONCILE;
		edit.stage = MBJ_STAGE_RESOLVE;
		edit.has_if_in_state = true;
		edit.if_in_state = account->state;
	}
	if (rc == MBJ_OK)
		rc = account_tell(account, &edit, err);
	changes_done(&whole);
	return rc;
}

/* An import gives mailboxes that have one UIDVALIDITY different ones. */
static bool uidvalidity_differs(const struct account *account,
				const struct account_listing *listing)
{
	for (size_t i = 0; i < listing->folder_count; i++) {
		const struct account_folder *folder = &listing->folders[i];
		uint32_t at = mbj_tree_find(account->tree, folder->id);

		if (!mbj_id_is_root(folder->id) && at != MBJ_NODE_NONE &&
		    folder->uidvalidity != 0 &&
		    mbj_tree_get(account->tree, at)->uidvalidity !=
			    folder->uidvalidity)
			return true;
	}
	return false;
}

/* It has at least one of the account's mailboxes, or there is but INBOX. */
static bool listing_is_ours(const struct account *account,
			    const struct account_listing *listing)
{
	const struct mbj_tree *tree = account->tree;
	uint32_t inbox;
	struct changes known;

	changes_init(&known, tree, account->delimiter);
	inbox = changes_find(&known, mbj_bytes_str("INBOX"));
	for (size_t i = 0; i < listing->folder_count; i++)
		if (!mbj_id_is_root(listing->folders[i].id) &&
		    mbj_tree_find(tree, listing->folders[i].id) !=
			    MBJ_NODE_NONE)
			return true;
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++)
		if (mbj_tree_get(tree, i)->is_live &&
		    mbj_tree_get(tree, i)->is_selectable && i != inbox)
			return false;
	return true;
}

enum mbj_rc account_settle(struct account *account,
			   const struct account_listing *listing,
			   struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (account->tree != NULL && !account->is_adopting &&
	    !listing_is_ours(account, listing))
		return mbj_error_refuse(
			err, MBJ_REFUSAL_FORBIDDEN, "account", account->name,
			"no mailbox of account %s is in this mail storage: it "
			"is another one, or not mounted (mbj_adopt = yes takes "
			"it)",
			account->name);
	if (account->tree == NULL) {
		rc = tree_settle(account, listing, err);
		if (rc == MBJ_OK)
			rc = account_look(account, err);
		if (rc == MBJ_OK)
			account->is_stale =
				uidvalidity_differs(account, listing);
	}
	if (rc == MBJ_OK && account_is_doubtful(account))
		rc = tree_settle(account, listing, err);
	if (rc == MBJ_OK)
		rc = subscriptions_settle(account, listing, err);
	if (rc == MBJ_OK)
		rc = account_look(account, err);
	if (rc == MBJ_OK) {
		account->is_subscribed = true;
		account->is_stale = false;
	}
	return rc;
}
