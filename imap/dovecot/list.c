/*
 * What Dovecot has of a user: all folders, looked at one by one (folder.c), and
 * subscriptions.
 *
 * Invariant: what nobody could see, since a directory may not be entered or
 * listed, is not taken for what went.
 */
#include "plugin.h"

#include <dirent.h>

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

/* ------------------------------------------------------- forms of Unicode */

static bool is_ascii(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

/*
 * As far as Dovecot knows, which takes upper case for lower case, too: these
 * have as many characters, and a name and its parts have not.
 */
static bool names_are_forms(const char *a, const char *b)
{
	buffer_t *parts_a = t_buffer_create(64), *parts_b = t_buffer_create(64);

	(void)uni_utf8_to_decomposed_titlecase(a, strlen(a), parts_a);
	(void)uni_utf8_to_decomposed_titlecase(b, strlen(b), parts_b);
	return buffer_cmp(parts_a, parts_b) &&
	       uni_utf8_strlen(a) != uni_utf8_strlen(b);
}

/* Beside a name that is not there; above: up to it. */
static int other_form_look(struct mailbox_list *list, const char *above,
			   const char *name, const char *leaves, bool *ret_has,
			   const char **ret_why)
{
	size_t n = strlen(above);
	struct mailbox_list_iterate_context *iter =
		mailbox_list_iter_init(list, t_strconcat(above, "%", NULL),
				       CAPTURE_LIST_FLAGS);
	const struct mailbox_info *info;

	while ((info = mailbox_list_iter_next(iter)) != NULL)
		*ret_has |= null_strcmp(info->vname, leaves) != 0 &&
			    str_begins(info->vname, above) &&
			    names_are_forms(info->vname + n, name + n);
	if (mailbox_list_iter_deinit(&iter) == 0)
		return 0;
	*ret_why = t_strdup_printf("cannot list what is beside %s: %s", name,
				   mailbox_list_get_last_internal_error(list,
									NULL));
	return -1;
}

int path_has_other_form(struct mailbox_list *list, const char *path,
			const char *leaves, bool *ret_has, const char **ret_why)
{
	const char separators[] = {mail_namespace_get_sep(list->ns), '\0'};
	struct account_folder folder;
	enum folder_kind kind;

	*ret_has = false;
	for (const char *at = path, *end; *at != '\0';
	     at = *end == '\0' ? end : end + 1) {
		const char *name;

		end = at + strcspn(at, separators);
		name = t_strdup_until(path, end);
		if (is_ascii(at, (size_t)(end - at)))
			continue;
		if (folder_look(list, name, &kind, &folder, ret_why) < 0)
			return -1;
		if (kind == FOLDER_NONE)
			return other_form_look(list, t_strdup_until(path, at),
					       name, leaves, ret_has, ret_why);
	}
	return 0;
}

/* ---------------------------------------------------------------- reading */

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

/*
 * Where Dovecot reads which mailboxes there are below one, or, of "", all of
 * them.  NULL: in no directory of its own.
 */
static const char *list_dir(struct mailbox_list *list, const char *name)
{
	bool is_of_index = list->set.iter_from_index_dir;
	bool is_tree = strcmp(list->name, MAILBOX_LIST_NAME_FS) == 0;
	const char *root;

	if (strcmp(list->name, MAILBOX_LIST_NAME_INDEX) == 0 ||
	    (*name != '\0' && !is_tree) ||
	    !mailbox_list_get_root_path(
		    list,
		    is_of_index ? MAILBOX_LIST_PATH_TYPE_INDEX
				: MAILBOX_LIST_PATH_TYPE_MAILBOX,
		    &root))
		return NULL;
	if (is_of_index && is_tree)
		root = t_strconcat(root, "/", list->set.mailbox_dir_name, NULL);
	return *name == '\0' ? root : t_strconcat(root, "/", name, NULL);
}

/* What is in one that may be entered and not listed is nothing to Dovecot. */
static int dir_check(const char *path, const char **ret_why)
{
	DIR *dir = path != NULL ? opendir(path) : NULL;

	if (dir != NULL)
		(void)closedir(dir);
	if (path == NULL || dir != NULL || errno == ENOENT || errno == ENOTDIR)
		return 0;
	*ret_why = t_strdup_printf("cannot list directory %s: %s", path,
				   strerror(errno));
	return -1;
}

/* Where the account has it, whatever its name there. */
static uint32_t folder_node(const struct account *account,
			    const struct account_folder *folder)
{
	struct changes known;

	if (account->tree == NULL)
		return MBJ_NODE_NONE;
	if (!mbj_id_is_root(folder->id))
		return mbj_tree_find(account->tree, folder->id);
	changes_init(&known, account->tree, account->delimiter);
	return changes_find(&known, folder->path);
}

/* Where nobody has opened it, or it was given away. */
static bool inbox_is_none(const struct account_folder *folder)
{
	return strcmp((const char *)folder->path.p, "INBOX") == 0 &&
	       !folder->is_unread && mbj_id_is_root(folder->id);
}

/*
 * What nobody can list did not go: it is as the account has it.  Where that has
 * nothing there it may have it elsewhere, and the look fails.
 */
static int below_check(struct reading *reading, struct mailbox_list *list,
		       struct account_folder *folder)
{
	const struct account *account = &reading->capture->account;
	const char *name =
		mailbox_list_get_storage_name(list,
					      (const char *)folder->path.p);

	if (folder->is_closed ||
	    dir_check(list_dir(list, name), &reading->why) == 0)
		return 0;
	if (account->tree != NULL &&
	    (inbox_is_none(folder) ||
	     folder_node(account, folder) == MBJ_NODE_NONE))
		return -1;
	e_error(reading->capture->user->event,
		"mbj: what is below it is taken as it was: %s", reading->why);
	reading->why = NULL;
	folder->is_closed = true;
	return 0;
}

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
	if (reading->is_whole && below_check(reading, list, &folder) < 0)
		return -1;
	reading->has_closed |= folder.is_closed &&
			       strcmp(list->name, MAILBOX_LIST_NAME_FS) == 0;
	if (!inbox_is_none(&folder))
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

/* On the data stack. */
static const char *node_path(const struct account *account, uint32_t node)
{
	struct mbj_buf path;
	const char *text;

	mbj_buf_init(&path, MBJ_PATH_MAX + 1);
	mbj_tree_path(account->tree, node, account->delimiter, &path);
	mbj_buf_put_u8(&path, 0);
	text = path.failed == MBJ_OK ? t_strdup((const char *)path.p) : "";
	mbj_buf_done(&path);
	return text;
}

/*
 * What the account has below a directory that may not be entered, or listed:
 * it is there still where that has got another name.
 */
static void closed_read(struct reading *reading,
			const struct account_folder *closed)
{
	const struct account *account = &reading->capture->account;
	const char *vname = (const char *)closed->path.p, *above;
	uint32_t top = folder_node(account, closed);

	if (top == MBJ_NODE_NONE)
		return;
	above = t_strdup_printf("%s%c", node_path(account, top),
				account->delimiter);
	for (uint32_t i = 0; i < mbj_tree_size(account->tree); i++) {
		const struct mbj_node *node = mbj_tree_get(account->tree, i);
		struct account_folder folder = {.id = MBJ_ID_ROOT,
						.is_unread = true,
						.is_closed = true};
		const char *name;

		if (!node->is_live)
			continue;
		name = node_path(account, i);
		if (!str_begins(name, above))
			continue;
		name = t_strdup_printf("%s%c%s", vname, account->delimiter,
				       name + strlen(above));
		folder.path = mbj_bytes_str(name);
		if (!mbj_id_is_root(closed->id))
			folder.id = node->id;
		if (!node_is_read(reading, node, folder.path))
			array_push_back(&reading->folders, &folder);
	}
}

/* Nobody has listed these. */
static void all_closed_read(struct reading *reading)
{
	unsigned int count = array_count(&reading->folders);

	for (unsigned int i = 0; i < count; i++) {
		/* The array moves where it grows. */
		struct account_folder folder = *array_idx(&reading->folders, i);

		if (folder.is_closed)
			closed_read(reading, &folder);
	}
}

static bool info_is_inbox(const struct mailbox_info *info)
{
	return (info->ns->flags & NAMESPACE_FLAG_INBOX_USER) != 0 &&
	       strcasecmp(info->vname, "INBOX") == 0;
}

static int folders_read(struct reading *reading, struct mail_namespace *ns)
{
	struct mailbox_list_iterate_context *iter;
	const struct mailbox_info *info;
	int ret = 0;

	if (reading->is_whole &&
	    dir_check(list_dir(ns->list, ""), &reading->why) < 0)
		return -1;
	iter = mailbox_list_iter_init(ns->list, "*", CAPTURE_LIST_FLAGS);
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
