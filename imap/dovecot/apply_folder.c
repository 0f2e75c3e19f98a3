/*
 * What Dovecot has of a user: mailboxes, places in their paths, subscriptions.
 * See apply.h.
 *
 * Lists are read raw, past indexes, ACLs and mailboxes that would only be made
 * when somebody opens them.
 */
#include "apply.h"

#include <fcntl.h>
#include <mail-index-alloc-cache.h>
#include <mailbox-list-iter.h>

#include "apply_history.h"
#include "apply_maildir.h"
#include "apply_name.h"
#include "inbox.h"
#include "uidlist.h"

static const enum mailbox_list_iter_flags LIST_FLAGS =
	MAILBOX_LIST_ITER_RAW_LIST | MAILBOX_LIST_ITER_NO_AUTO_BOXES |
	MAILBOX_LIST_ITER_SKIP_ALIASES;

_Static_assert(GUID_128_SIZE == MBJ_ID_SIZE, "a GUID is a MAILBOXID");

static bool namespace_is_own(const struct mail_namespace *ns)
{
	static const char *const FORMATS[] = {"sdbox", "mdbox", "maildir"};

	if (ns->type != MAIL_NAMESPACE_TYPE_PRIVATE || ns->alias_for != NULL ||
	    ns->owner != ns->user || ns->storage == NULL)
		return false;
	for (size_t i = 0; i < N_ELEMENTS(FORMATS); i++)
		if (strcmp(ns->storage->name, FORMATS[i]) == 0)
			return true;
	return false;
}

static bool account_has_in(struct apply *apply, const struct mail_namespace *ns)
{
	bool has = false;

	for (uint32_t i = 0; !has && i < mbj_tree_size(apply->wanted); i++) {
		if (!mbj_tree_get(apply->wanted, i)->is_live)
			continue;
		T_BEGIN
		{
			has = mail_namespace_find(apply->user->namespaces,
						  apply_path(apply,
							     apply->wanted,
							     i)) == ns;
		}
		T_END;
	}
	return has;
}

/*
 * Where its lock is, a directory that cannot be written has nobody changing the
 * list; one that is not there is made for what is to come into it.
 */
static bool list_is_to_lock(struct apply *apply, struct mail_namespace *ns)
{
	struct mailbox_list *list = ns->list;
	const char *dir = list->set.volatile_dir;

	if (dir == NULL &&
	    !mailbox_list_get_root_path(list, MAILBOX_LIST_PATH_TYPE_INDEX,
					&dir) &&
	    !mailbox_list_get_root_path(list, MAILBOX_LIST_PATH_TYPE_DIR, &dir))
		return false;
	if (faccessat(AT_FDCWD, dir, W_OK, AT_EACCESS) == 0)
		return true;
	return errno == ENOENT && account_has_in(apply, ns);
}

static void others_unlock(struct apply *apply)
{
	struct mail_namespace *ns;

	for (ns = apply->user->namespaces; ns != NULL; ns = ns->next)
		if (ns != apply->inbox && namespace_is_own(ns) &&
		    ns->list->lock_refcount > 0)
			mailbox_list_unlock(ns->list);
}

int apply_lists_lock(struct apply *apply)
{
	struct mailbox_list *list = apply->inbox->list;
	struct mail_namespace *ns;

	for (ns = apply->user->namespaces; ns != NULL; ns = ns->next)
		if (ns != apply->inbox && namespace_is_own(ns) &&
		    list_is_to_lock(apply, ns) &&
		    mailbox_list_lock(ns->list) < 0)
			break;
	if (ns != NULL)
		list = ns->list;
	else if (mailbox_list_lock(list) == 0)
		return 0;
	others_unlock(apply);
	return apply_fail(apply, "cannot lock the list of mailboxes: %s",
			  mailbox_list_get_last_internal_error(list, NULL));
}

void apply_lists_unlock(struct apply *apply)
{
	mailbox_list_unlock(apply->inbox->list);
	others_unlock(apply);
}

bool apply_is_own(struct apply *apply, const char *vname)
{
	return namespace_is_own(
		mail_namespace_find(apply->user->namespaces, vname));
}

struct mail_namespace *apply_namespace(struct apply *apply, const char *vname)
{
	struct mail_namespace *ns =
		mail_namespace_find(apply->user->namespaces, vname);

	if (namespace_is_own(ns))
		return ns;
	(void)apply_fail(apply,
			 "%s would be in the namespace \"%s\", which is not "
			 "the user's own in sdbox, mdbox or Maildir",
			 vname, ns->prefix);
	return NULL;
}

struct mailbox *apply_box(struct apply *apply, const char *vname)
{
	struct mail_namespace *ns =
		mail_namespace_find(apply->user->namespaces, vname);

	return mailbox_alloc(ns->list, vname, MAILBOX_FLAG_IGNORE_ACLS);
}

int apply_box_open(struct apply *apply, struct mailbox *box, struct mbj_id id)
{
	struct mailbox_metadata metadata;

	if (mailbox_open(box) < 0 ||
	    mailbox_enable(box, MAILBOX_FEATURE_CONDSTORE) < 0 ||
	    mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) < 0 ||
	    mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0)
		return apply_fail(apply, "cannot open mailbox %s: %s",
				  box->vname,
				  mailbox_get_last_internal_error(box, NULL));
	if (memcmp(metadata.guid, id.b, sizeof(id.b)) != 0)
		return apply_fail(apply, "mailbox %s is another one by now",
				  box->vname);
	return 0;
}

const char *apply_path(const struct apply *apply, const struct mbj_tree *tree,
		       uint32_t node)
{
	char separator = mail_namespace_get_sep(apply->inbox);
	struct mbj_buf buf;
	const char *path;

	mbj_buf_init(&buf, MBJ_PATH_MAX * 2);
	mbj_tree_path(tree, node, separator, &buf);
	path = t_strndup(buf.p, buf.n);
	mbj_buf_done(&buf);
	return path;
}

/* A Maildir is its INBOX: opening it is all that makes it. */
static int box_exists(struct mailbox *box, bool is_looking)
{
	enum mailbox_existence existence;

	if (box->inbox_user && maildir_is(box) && !is_looking)
		return 1;
	if (mailbox_exists(box, false, &existence) < 0)
		return -1;
	return existence == MAILBOX_EXISTENCE_SELECT;
}

/* Its numbers, with what others put into a Maildir. */
static int box_see(struct apply *apply, struct mailbox *box, struct mbj_id id)
{
	struct seen_box *seen = array_append_space(&apply->seen);

	seen->id = id;
	if (maildir_is(box) &&
	    mailbox_sync(box, MAILBOX_SYNC_FLAG_FULL_READ) < 0)
		return -1;
	mailbox_get_open_status(box, APPLY_STATUS, &seen->status);
	return 0;
}

static int box_read(struct apply *apply, struct mailbox *box,
		    struct apply_folder *folder)
{
	struct mailbox_metadata metadata;
	struct mailbox_status status;
	struct mbj_id listed;
	int ret = box_exists(box, apply->is_looking);

	if (ret <= 0)
		return ret;
	/* Unopened it is asked of the list's index, which goes by names. */
	if (box_guid_ask(box, &listed) < 0 || mailbox_open(box) < 0 ||
	    (apply->note.is_untidy && maildir_tidy(apply, box) < 0) ||
	    mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0 ||
	    mailbox_get_status(box, STATUS_UIDVALIDITY, &status) < 0)
		return -1;
	/* dbox gives the value with the first synchronisation. */
	if ((status.uidvalidity == 0 ||
	     memcmp(listed.b, metadata.guid, sizeof(listed.b)) != 0) &&
	    (mailbox_sync(box, 0) < 0 ||
	     mailbox_get_status(box, STATUS_UIDVALIDITY, &status) < 0))
		return -1;
	memcpy(folder->id.b, metadata.guid, sizeof(folder->id.b));
	folder->uidvalidity = status.uidvalidity;
	return box_see(apply, box, folder->id);
}

/*
 * Somebody was killed who deleted it: it can be nothing but deleted.  What is
 * marked so cannot be opened, and is taken for a directory with something in
 * it: without the mark it is deleted as any other is.
 */
static int deletion_end(struct apply *apply, const char *vname)
{
	struct mailbox *box = apply_box(apply, vname);
	int ret;

	(void)mailbox_mark_index_deleted(box, false);
	mailbox_free(&box);
	mail_index_alloc_cache_destroy_unrefed();
	box = apply_box(apply, vname);
	ret = mailbox_delete(box);
	if (ret < 0 && mailbox_get_last_mail_error(box) == MAIL_ERROR_NOTFOUND)
		ret = 0;
	if (ret < 0)
		(void)apply_fail(apply, "cannot end deleting mailbox %s: %s",
				 vname,
				 mailbox_get_last_internal_error(box, NULL));
	mailbox_free(&box);
	return ret;
}

static int folder_read(struct apply *apply, const char *vname,
		       ARRAY_TYPE(apply_folder) * folders)
{
	struct apply_folder folder = {.vname = t_strdup(vname)};
	struct mailbox *box = apply_box(apply, vname);
	/* At the most a place: what it opens is INBOX. */
	int ret = box_is_inbox_alias(box) ? 0 : box_read(apply, box, &folder);

	if (ret < 0 && box->mailbox_deleted && !apply->is_looking) {
		mailbox_free(&box);
		folder.id = MBJ_ID_ROOT;
		array_push_back(folders, &folder);
		return deletion_end(apply, vname);
	}
	if (ret < 0)
		(void)apply_fail(apply, "cannot read mailbox %s: %s", vname,
				 mailbox_get_last_internal_error(box, NULL));
	else if (strcmp(vname, "INBOX") != 0 || !mbj_id_is_root(folder.id))
		array_push_back(folders, &folder);
	mailbox_free(&box);
	return ret;
}

static int folder_order(const struct apply_folder *a,
			const struct apply_folder *b)
{
	return strcmp(a->vname, b->vname);
}

static int namespace_read(struct apply *apply, struct mail_namespace *ns,
			  ARRAY_TYPE(apply_folder) * folders)
{
	struct mailbox_list_iterate_context *iter =
		mailbox_list_iter_init(ns->list, "*", LIST_FLAGS);
	const struct mailbox_info *info;
	int ret = 0;

	while (ret == 0 && (info = mailbox_list_iter_next(iter)) != NULL)
		if (strcasecmp(info->vname, "INBOX") != 0)
			ret = folder_read(apply, info->vname, folders);
	if (mailbox_list_iter_deinit(&iter) < 0 && ret == 0)
		ret = apply_fail(apply, "cannot list the mailboxes: %s",
				 mailbox_list_get_last_internal_error(ns->list,
								      NULL));
	return ret;
}

static int seen_order(const struct seen_box *a, const struct seen_box *b)
{
	return mbj_id_compare(a->id, b->id);
}

int folders_read(struct apply *apply, ARRAY_TYPE(apply_folder) * ret_folders)
{
	struct mail_namespace *ns = apply->user->namespaces;
	int ret;

	if (!namespace_is_own(apply->inbox))
		return apply_fail(apply, "INBOX is not in a private sdbox, "
					 "mdbox or Maildir");
	/* Indexes that an earlier run of this process left open are as they
	 * were.
	 */
	mail_index_alloc_cache_destroy_unrefed();
	t_array_init(ret_folders, 64);
	p_array_init(&apply->seen, apply->user->pool, 64);
	ret = folder_read(apply, "INBOX", ret_folders);
	for (; ret == 0 && ns != NULL; ns = ns->next)
		if (namespace_is_own(ns))
			ret = namespace_read(apply, ns, ret_folders);
	array_sort(ret_folders, folder_order);
	array_sort(&apply->seen, seen_order);
	return ret;
}

/* --------------------------------------------------------- subscriptions */

static int name_order(const char *const *a, const char *const *b)
{
	return strcmp(*a, *b);
}

/* Recorded paths have NUL between their names, as no name can have. */
static int subscriptions_wanted(struct apply *apply,
				ARRAY_TYPE(const_string) * names)
{
	char separator = mail_namespace_get_sep(apply->inbox);
	struct mbj_client_subscriptions list = {.count = 0};
	struct mbj_error err;

	if (mbj_client_subscriptions(apply->client, mbj_bytes_str(apply->name),
				     &list, &err) < 0)
		return apply_fail(apply, "%s", err.message);
	for (size_t i = 0; i < list.count; i++) {
		struct mbj_bytes from = list.paths[i].stored;
		char *name = t_malloc_no0(from.n + 1);
		const char *path;

		for (size_t k = 0; k < from.n; k++)
			name[k] = from.p[k] == 0 ? separator : (char)from.p[k];
		name[from.n] = '\0';
		path = name_fitted(apply, name);
		array_push_back(names, &path);
	}
	mbj_client_subscriptions_done(&list);
	array_sort(names, name_order);
	return 0;
}

static int subscriptions_read(struct apply *apply,
			      ARRAY_TYPE(const_string) * names)
{
	for (struct mail_namespace *ns = apply->user->namespaces; ns != NULL;
	     ns = ns->next) {
		struct mailbox_list_iterate_context *iter;
		const struct mailbox_info *info;

		if (!namespace_is_own(ns))
			continue;
		iter = mailbox_list_iter_init(
			ns->list, "*",
			MAILBOX_LIST_ITER_SELECT_SUBSCRIBED |
				MAILBOX_LIST_ITER_RETURN_NO_FLAGS);
		while ((info = mailbox_list_iter_next(iter)) != NULL) {
			const char *name = t_strdup(info->vname);

			array_push_back(names, &name);
		}
		if (mailbox_list_iter_deinit(&iter) < 0)
			return apply_fail(apply,
					  "cannot list the subscriptions: %s",
					  mailbox_list_get_last_internal_error(
						  ns->list, NULL));
	}
	array_sort(names, name_order);
	return 0;
}

static int subscription_set(struct apply *apply, const char *name, bool set)
{
	struct mailbox *box;
	int ret;

	if (apply_namespace(apply, name) == NULL)
		return -1;
	box = apply_box(apply, name);
	ret = mailbox_set_subscribed(box, set);
	if (ret < 0)
		(void)apply_fail(apply, "cannot %s %s: %s",
				 set ? "subscribe" : "unsubscribe", name,
				 mailbox_get_last_internal_error(box, NULL));
	mailbox_free(&box);
	return ret;
}

int subscriptions_differ(struct apply *apply,
			 ARRAY_TYPE(const_string) * ret_missing,
			 ARRAY_TYPE(const_string) * ret_extra)
{
	ARRAY_TYPE(const_string) wanted, have;
	const char *const *w, *const *h;
	unsigned int i = 0, k = 0, w_count, h_count;

	t_array_init(&wanted, 64);
	t_array_init(&have, 64);
	t_array_init(ret_missing, 8);
	t_array_init(ret_extra, 8);
	if (subscriptions_wanted(apply, &wanted) < 0 ||
	    subscriptions_read(apply, &have) < 0)
		return -1;
	w = array_get(&wanted, &w_count);
	h = array_get(&have, &h_count);
	/* Both sorted: what has only one of them. */
	while (i < w_count || k < h_count) {
		int order = i == w_count   ? 1
			    : k == h_count ? -1
					   : strcmp(w[i], h[k]);

		if (order < 0)
			array_push_back(ret_missing, &w[i]);
		if (order > 0)
			array_push_back(ret_extra, &h[k]);
		i += order <= 0;
		k += order >= 0;
	}
	return 0;
}

int apply_subscriptions(struct apply *apply)
{
	ARRAY_TYPE(const_string) missing, extra;
	const char *name;
	int ret = 0;

	if (subscriptions_differ(apply, &missing, &extra) < 0 ||
	    history_hold(apply) < 0)
		return -1;
	array_foreach_elem(&missing,
			   name) if (subscription_set(apply, name, true) < 0)
		ret = -1;
	array_foreach_elem(&extra,
			   name) if (subscription_set(apply, name, false) < 0)
		ret = -1;
	return ret;
}

/* It becomes the user's: deleting it would lose that. */
void folders_find_own(struct apply *apply,
		      const ARRAY_TYPE(apply_folder) * folders,
		      ARRAY_TYPE(apply_id) * own)
{
	const struct apply_folder *folder;

	array_foreach(folders, folder)
	{
		if (mbj_id_is_root(folder->id) ||
		    mbj_tree_find(apply->wanted, folder->id) != MBJ_NODE_NONE ||
		    known_find(&apply->known, folder->id) == NULL ||
		    !apply_has_own(apply, folder->vname, folder->id))
			continue;
		(void)apply_fail(apply,
				 "mailbox %s, which the journal deleted, has "
				 "mail that is not the journal's",
				 folder->vname);
		array_push_back(own, &folder->id);
	}
}
