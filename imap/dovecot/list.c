/*
 * What Dovecot has of a user: all folders, looked at one by one (folder.c), and
 * subscriptions.
 */
#include "plugin.h"

#include <array.h>
#include <str-sanitize.h>
#include <unichar.h>

#include <mbj/limits.h>
#include <mbj/name.h>

enum { NAME_SHOWN_MAX = 200 };

ARRAY_DEFINE_TYPE(account_folder, struct account_folder);
ARRAY_DEFINE_TYPE(mbj_bytes, struct mbj_bytes);

static int folder_order(const struct account_folder *a,
			const struct account_folder *b)
{
	return mbj_bytes_compare(a->path, b->path);
}

static bool point_is_storable(unichar_t point)
{
	return point >= 0x20 && (point < 0x7f || point > 0x9f) &&
	       point != 0x2028 && point != 0x2029 && point != 0xfeff &&
	       (point & 0xfffe) != 0xfffe && (point < 0xfdd0 || point > 0xfdef);
}

static bool name_is_storable(const char *name, size_t n)
{
	if (n == 0 || n > MBJ_NAME_MAX ||
	    (n >= strlen(MBJ_NAME_RESERVED_PREFIX) &&
	     str_begins(name, MBJ_NAME_RESERVED_PREFIX)))
		return false;
	for (const char *end = name + n; name < end;) {
		unichar_t point;
		int size = uni_utf8_get_char(name, &point);

		if (size <= 0 || !point_is_storable(point))
			return false;
		name += size;
	}
	return true;
}

/*
 * What mbj/name.h refuses without Unicode's tables: folders from before the
 * plugin, whose names would have all others refused.
 */
bool path_is_storable(struct capture_user *capture, const char *path)
{
	const char separators[] = {capture->account.delimiter, '\0'};
	bool is_storable = strlen(path) <= MBJ_PATH_MAX;
	const char *name = path;
	unsigned int depth = 0;

	for (; is_storable; depth++) {
		size_t n = strcspn(name, separators);

		is_storable =
			name_is_storable(name, n) && depth < MBJ_DEPTH_MAX;
		if (name[n] == '\0')
			break;
		name += n + 1;
	}
	if (!is_storable)
		e_warning(capture->user->event,
			  "mbj: the journal cannot have this name, nor what is "
			  "below it: %s",
			  str_sanitize(path, NAME_SHOWN_MAX));
	return is_storable;
}

/* What is read: all folders, or until one of the account's is met. */
struct reading {
	struct capture_user *capture;
	bool is_whole;
	bool is_met;
	bool has_closed; /* with what is below it */
	ARRAY_TYPE(account_folder) folders;
	ARRAY_TYPE(mbj_bytes) subscriptions;
	const char *why;
};

static int folder_read(struct reading *reading, struct mailbox_list *list,
		       const char *vname)
{
	const struct mbj_tree *tree = reading->capture->account.tree;
	struct account_folder folder;

	if (mailbox_look(list, vname, &folder, &reading->why) < 0 &&
	    !folder.is_unread)
		return -1;
	if (folder.is_unread)
		e_error(reading->capture->user->event,
			"mbj: taken as it was: %s",
			reading->why != NULL
				? reading->why
				: t_strdup_printf("mailbox %s is there, and "
						  "opens as deleted",
						  vname));
	reading->why = NULL;
	reading->has_closed |= folder.is_closed &&
			       strcmp(list->name, MAILBOX_LIST_NAME_FS) == 0;
	/* INBOX is none where nobody has opened it, or it was given away. */
	if (strcmp(vname, "INBOX") != 0 || folder.is_unread ||
	    !mbj_id_is_root(folder.id))
		array_push_back(&reading->folders, &folder);
	reading->is_met = !reading->is_whole && tree != NULL &&
			  !mbj_id_is_root(folder.id) &&
			  mbj_tree_find(tree, folder.id) != MBJ_NODE_NONE;
	return 0;
}

/* A folder of that path, or that mailbox elsewhere, was read. */
static bool node_is_read(const struct reading *reading,
			 const struct mbj_node *node, struct mbj_bytes path)
{
	for (unsigned int i = 0; i < array_count(&reading->folders); i++) {
		const struct account_folder *folder =
			array_idx(&reading->folders, i);

		if (mbj_bytes_equal(folder->path, path) ||
		    mbj_id_equal(folder->id, node->id))
			return true;
	}
	return false;
}

/* What the account has below a directory that may not be entered. */
static void closed_read(struct reading *reading, const char *vname)
{
	const struct account *account = &reading->capture->account;
	const char *above = t_strdup_printf("%s%c", vname, account->delimiter);

	for (uint32_t i = 0; i < mbj_tree_size(account->tree); i++) {
		const struct mbj_node *node = mbj_tree_get(account->tree, i);
		struct account_folder folder = {.id = MBJ_ID_ROOT,
						.is_unread = true,
						.is_closed = true};
		struct mbj_buf path;
		const char *name;

		if (!node->is_live)
			continue;
		mbj_buf_init(&path, MBJ_PATH_MAX + 1);
		mbj_tree_path(account->tree, i, account->delimiter, &path);
		mbj_buf_put_u8(&path, 0);
		name = path.failed == MBJ_OK ? t_strdup((const char *)path.p)
					     : "";
		mbj_buf_done(&path);
		folder.path = mbj_bytes_str(name);
		if (str_begins(name, above) &&
		    !node_is_read(reading, node, folder.path))
			array_push_back(&reading->folders, &folder);
	}
}

/* Nobody has listed these. */
static void all_closed_read(struct reading *reading)
{
	unsigned int count = array_count(&reading->folders);

	for (unsigned int i = 0; i < count; i++) {
		const struct account_folder *folder =
			array_idx(&reading->folders, i);

		if (folder->is_closed)
			closed_read(reading, (const char *)folder->path.p);
	}
}

static bool info_is_inbox(const struct mailbox_info *info)
{
	return (info->ns->flags & NAMESPACE_FLAG_INBOX_USER) != 0 &&
	       strcasecmp(info->vname, "INBOX") == 0;
}

static int folders_read(struct reading *reading, struct mail_namespace *ns)
{
	struct mailbox_list_iterate_context *iter =
		mailbox_list_iter_init(ns->list, "*", CAPTURE_LIST_FLAGS);
	const struct mailbox_info *info;
	int ret = 0;

	while (ret == 0 && !reading->is_met &&
	       (info = mailbox_list_iter_next(iter)) != NULL) {
		if (info_is_inbox(info) ||
		    !path_is_storable(reading->capture, info->vname))
			continue;
		ret = folder_read(reading, ns->list, t_strdup(info->vname));
	}
	if (mailbox_list_iter_deinit(&iter) < 0 && ret == 0) {
		reading->why = t_strdup_printf(
			"cannot list the mailboxes: %s",
			mailbox_list_get_last_internal_error(ns->list, NULL));
		ret = -1;
	}
	return ret;
}

static int subscriptions_read(struct reading *reading,
			      struct mail_namespace *ns)
{
	struct mailbox_list_iterate_context *iter = mailbox_list_iter_init(
		ns->list, "*",
		MAILBOX_LIST_ITER_SELECT_SUBSCRIBED |
			MAILBOX_LIST_ITER_RETURN_NO_FLAGS);
	const struct mailbox_info *info;

	while ((info = mailbox_list_iter_next(iter)) != NULL) {
		struct mbj_bytes name = mbj_bytes_str(t_strdup(info->vname));

		if (path_is_storable(reading->capture, info->vname))
			array_push_back(&reading->subscriptions, &name);
	}
	if (mailbox_list_iter_deinit(&iter) == 0)
		return 0;
	reading->why =
		t_strdup_printf("cannot list the subscriptions: %s",
				mailbox_list_get_last_internal_error(ns->list,
								     NULL));
	return -1;
}

int listing_read(struct capture_user *capture,
		 struct account_listing *ret_listing, const char **ret_why)
{
	struct mail_namespace *ns = capture->user->namespaces;
	struct reading reading = {.capture = capture};
	unsigned int count;
	int ret;

	reading.is_whole = account_is_doubtful(&capture->account);
	t_array_init(&reading.folders, 64);
	t_array_init(&reading.subscriptions, 64);
	ret = folder_read(&reading, capture->inbox->list, "INBOX");
	for (; ret == 0 && ns != NULL; ns = ns->next) {
		if (!capture_covers(ns))
			continue;
		if (!reading.is_met)
			ret = folders_read(&reading, ns);
		if (ret == 0)
			ret = subscriptions_read(&reading, ns);
	}
	if (ret < 0) {
		*ret_why = reading.why;
		return ret;
	}
	if (reading.has_closed)
		all_closed_read(&reading);
	array_sort(&reading.folders, folder_order);
	ret_listing->is_partial = reading.is_met;
	ret_listing->folders = array_get_modifiable(&reading.folders, &count);
	ret_listing->folder_count = count;
	ret_listing->subscriptions =
		array_get_modifiable(&reading.subscriptions, &count);
	ret_listing->subscription_count = count;
	return 0;
}
