/*
 * What Dovecot has: one folder, or all of a user.
 *
 * Lists are read raw, past indexes, ACLs and mailboxes that would only be made
 * when somebody opens them.
 */
#include "plugin.h"

#include <sys/stat.h>

#include <array.h>
#include <mailbox-list-iter.h>

ARRAY_DEFINE_TYPE(account_folder, struct account_folder);
ARRAY_DEFINE_TYPE(mbj_bytes, struct mbj_bytes);

static const enum mailbox_list_iter_flags LIST_FLAGS =
	MAILBOX_LIST_ITER_RAW_LIST | MAILBOX_LIST_ITER_NO_AUTO_BOXES |
	MAILBOX_LIST_ITER_SKIP_ALIASES;

_Static_assert(GUID_128_SIZE == MBJ_ID_SIZE, "a GUID is a MAILBOXID");

static int box_read(struct mailbox *box, struct account_folder *folder)
{
	struct mailbox_metadata metadata;
	struct mailbox_status status;

	if (mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0 ||
	    mailbox_get_status(box, STATUS_UIDVALIDITY, &status) < 0)
		return -1;
	/* dbox gives the value with the first synchronisation. */
	if (status.uidvalidity == 0 &&
	    (mailbox_sync(box, 0) < 0 ||
	     mailbox_get_status(box, STATUS_UIDVALIDITY, &status) < 0))
		return -1;
	memcpy(folder->id.b, metadata.guid, sizeof(folder->id.b));
	folder->uidvalidity = status.uidvalidity;
	return 0;
}

/*
 * A Maildir++ is its INBOX: opening it is all that makes it, unannounced.
 * Where there is none, or with other layouts, opening it would create it.
 */
static bool inbox_is_implied(struct mailbox *box)
{
	const char *layout = box->list->name, *path;
	struct stat st;

	return box->inbox_user && strcmp(box->storage->name, "maildir") == 0 &&
	       (strcmp(layout, MAILBOX_LIST_NAME_MAILDIRPLUSPLUS) == 0 ||
		strcmp(layout, MAILBOX_LIST_NAME_IMAPDIR) == 0) &&
	       mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_MAILBOX, &path) >
		       0 &&
	       stat(path, &st) == 0;
}

/* id ROOT: no mailbox is there. */
static int mailbox_look(struct mailbox_list *list, const char *vname,
			struct account_folder *folder, const char **ret_why)
{
	enum mailbox_existence existence;
	struct mailbox *box =
		mailbox_alloc(list, vname, MAILBOX_FLAG_IGNORE_ACLS);
	int ret = mailbox_exists(box, false, &existence);

	folder->path = mbj_bytes_str(vname);
	folder->id = MBJ_ID_ROOT;
	folder->uidvalidity = 0;
	if (ret == 0 &&
	    (existence == MAILBOX_EXISTENCE_SELECT || inbox_is_implied(box)))
		ret = box_read(box, folder);
	/* What another session deleted may be in this one's list yet. */
	if (ret < 0 && mailbox_get_last_mail_error(box) == MAIL_ERROR_NOTFOUND)
		ret = 0;
	if (ret < 0)
		*ret_why =
			t_strdup_printf("cannot read mailbox %s: %s", vname,
					mailbox_get_last_internal_error(box,
									NULL));
	mailbox_free(&box);
	return ret;
}

static int place_look(struct mailbox_list *list, const char *vname,
		      bool *ret_is_there, const char **ret_why)
{
	struct mailbox_list_iterate_context *iter =
		mailbox_list_iter_init(list, vname, LIST_FLAGS);
	const struct mailbox_info *info;

	*ret_is_there = false;
	/* Wildcards in a name match it, and more. */
	while ((info = mailbox_list_iter_next(iter)) != NULL)
		if (strcmp(info->vname, vname) == 0)
			*ret_is_there = true;
	if (mailbox_list_iter_deinit(&iter) == 0)
		return 0;
	*ret_why = t_strdup_printf("cannot list %s: %s", vname,
				   mailbox_list_get_last_internal_error(list,
									NULL));
	return -1;
}

int folder_look(struct mailbox_list *list, const char *vname,
		enum folder_kind *ret_kind, struct account_folder *ret_folder,
		const char **ret_why)
{
	bool is_there = true;

	if (mailbox_look(list, vname, ret_folder, ret_why) < 0)
		return -1;
	*ret_kind = FOLDER_MAILBOX;
	if (!mbj_id_is_root(ret_folder->id))
		return 0;
	if (place_look(list, vname, &is_there, ret_why) < 0)
		return -1;
	*ret_kind = is_there ? FOLDER_PLACE : FOLDER_NONE;
	return 0;
}

int folder_renew(struct capture_user *capture, struct mailbox_list *list,
		 const char *vname, struct mbj_id id, const char **ret_why)
{
	struct mailbox_update update = {.uid_validity = 0};
	struct mailbox *box =
		mailbox_alloc(list, vname, MAILBOX_FLAG_IGNORE_ACLS);
	int ret;

	memcpy(update.mailbox_guid, id.b, sizeof(id.b));
	capture->is_renewing = true;
	ret = mailbox_update(box, &update);
	capture->is_renewing = false;
	if (ret < 0)
		*ret_why =
			t_strdup_printf("cannot give mailbox %s a new GUID: %s",
					vname,
					mailbox_get_last_internal_error(box,
									NULL));
	mailbox_free(&box);
	return ret;
}

/* ---------------------------------------------------------------- all */

static int folder_order(const struct account_folder *a,
			const struct account_folder *b)
{
	return mbj_bytes_compare(a->path, b->path);
}

/* One that nobody has opened yet is none, or its mailbox was given away. */
static int inbox_list(struct mail_namespace *ns,
		      ARRAY_TYPE(account_folder) * folders,
		      const char **ret_why)
{
	struct account_folder folder;

	if (mailbox_look(ns->list, "INBOX", &folder, ret_why) < 0)
		return -1;
	if (!mbj_id_is_root(folder.id))
		array_push_back(folders, &folder);
	return 0;
}

static bool info_is_inbox(const struct mailbox_info *info)
{
	return (info->ns->flags & NAMESPACE_FLAG_INBOX_USER) != 0 &&
	       strcasecmp(info->vname, "INBOX") == 0;
}

static int folders_list(struct mail_namespace *ns,
			ARRAY_TYPE(account_folder) * folders,
			const char **ret_why)
{
	struct mailbox_list_iterate_context *iter =
		mailbox_list_iter_init(ns->list, "*", LIST_FLAGS);
	const struct mailbox_info *info;
	struct account_folder folder;
	int ret = 0;

	while (ret == 0 && (info = mailbox_list_iter_next(iter)) != NULL) {
		if (info_is_inbox(info))
			continue;
		ret = mailbox_look(ns->list, t_strdup(info->vname), &folder,
				   ret_why);
		if (ret == 0)
			array_push_back(folders, &folder);
	}
	if (mailbox_list_iter_deinit(&iter) < 0 && ret == 0) {
		*ret_why = t_strdup_printf(
			"cannot list the mailboxes: %s",
			mailbox_list_get_last_internal_error(ns->list, NULL));
		ret = -1;
	}
	return ret;
}

static int subscriptions_list(struct mail_namespace *ns,
			      ARRAY_TYPE(mbj_bytes) * names,
			      const char **ret_why)
{
	struct mailbox_list_iterate_context *iter = mailbox_list_iter_init(
		ns->list, "*",
		MAILBOX_LIST_ITER_SELECT_SUBSCRIBED |
			MAILBOX_LIST_ITER_RETURN_NO_FLAGS);
	const struct mailbox_info *info;

	while ((info = mailbox_list_iter_next(iter)) != NULL) {
		struct mbj_bytes name = mbj_bytes_str(t_strdup(info->vname));

		array_push_back(names, &name);
	}
	if (mailbox_list_iter_deinit(&iter) == 0)
		return 0;
	*ret_why =
		t_strdup_printf("cannot list the subscriptions: %s",
				mailbox_list_get_last_internal_error(ns->list,
								     NULL));
	return -1;
}

int listing_read(struct capture_user *capture,
		 struct account_listing *ret_listing, const char **ret_why)
{
	struct mail_namespace *ns = capture->user->namespaces;
	ARRAY_TYPE(account_folder) folders;
	ARRAY_TYPE(mbj_bytes) names;
	unsigned int count;
	int ret = 0;

	t_array_init(&folders, 64);
	t_array_init(&names, 64);
	for (; ret == 0 && ns != NULL; ns = ns->next) {
		if (!capture_covers(ns))
			continue;
		ret = folders_list(ns, &folders, ret_why);
		if (ret == 0 && ns == capture->inbox)
			ret = inbox_list(ns, &folders, ret_why);
		if (ret == 0)
			ret = subscriptions_list(ns, &names, ret_why);
	}
	if (ret < 0)
		return ret;
	array_sort(&folders, folder_order);
	ret_listing->folders = array_get_modifiable(&folders, &count);
	ret_listing->folder_count = count;
	ret_listing->subscriptions = array_get_modifiable(&names, &count);
	ret_listing->subscription_count = count;
	return 0;
}
