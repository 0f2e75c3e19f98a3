/*
 * What Dovecot has: one folder, or all of a user.
 *
 * Lists are read raw, past indexes, ACLs and mailboxes that would only be made
 * when somebody opens them.  The list's index is as old as the command that
 * waited for the user's lock, and says of a mailbox what some session has known
 * that has it open; so what it says is checked where the journal has something
 * else.
 */
#include "plugin.h"

#include <sys/stat.h>

#include <array.h>
#include <index-storage.h>
#include <mail-index-alloc-cache.h>
#include <mailbox-list-iter.h>
#include <str-sanitize.h>
#include <unichar.h>

#include <mbj/limits.h>
#include <mbj/name.h>

enum { NAME_SHOWN_MAX = 200 };

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

/* The account has that mailbox at that name. */
static bool folder_is_told(const struct account *account,
			   const struct account_folder *folder)
{
	const struct mbj_node *node;
	struct changes known;
	uint32_t at;

	if (account->tree == NULL)
		return false;
	changes_init(&known, account->tree, account->delimiter);
	at = changes_find(&known, folder->path);
	if (at == MBJ_NODE_NONE)
		return false;
	node = mbj_tree_get(account->tree, at);
	return mbj_id_equal(node->id, folder->id) &&
	       node->uidvalidity == folder->uidvalidity;
}

/*
 * As it is on disk: an index that this process has had open may be in its
 * memory, as it was, also where the mailbox is another one by now.
 */
static int box_open_afresh(struct mailbox *box)
{
	mail_index_alloc_cache_destroy_unrefed();
	if (mailbox_open(box) < 0)
		return -1;
	if (mail_index_refresh(box->index) < 0) {
		mailbox_set_index_error(box);
		return -1;
	}
	mailbox_close(box);
	return mailbox_open(box);
}

/*
 * What the list's index says without the mailbox being opened, or, where the
 * account has another one there, the mailbox itself.  The index is told.
 */
static int box_ask(struct mailbox *box, struct account_folder *folder)
{
	const struct capture_user *capture =
		capture_user_of(box->storage->user);
	struct account_folder said;
	int ret = box_read(box, folder);

	if (ret < 0 || folder_is_told(&capture->account, folder))
		return ret;
	said = *folder;
	mailbox_close(box);
	ret = box_open_afresh(box);
	if (ret == 0)
		ret = box_read(box, folder);
	else if (mailbox_get_last_mail_error(box) != MAIL_ERROR_NOTFOUND)
		return 0; /* nobody can say more */
	/* For others: nothing here depends on it. */
	if (ret == 0 && !mbj_id_equal(said.id, folder->id) &&
	    mailbox_sync(box, 0) < 0)
		e_warning(box->event,
			  "mbj: the list's index is not told of it: %s",
			  mailbox_get_last_internal_error(box, NULL));
	return ret;
}

static bool box_is_maildir(const struct mailbox *box)
{
	return strcmp(box->storage->name, "maildir") == 0;
}

/*
 * A Maildir++ is its INBOX: opening it is all that makes it, unannounced.
 * Where there is none, or with other layouts, opening it would create it.
 */
static bool inbox_is_implied(struct mailbox *box)
{
	const char *layout = box->list->name, *path;
	struct stat st;

	return box->inbox_user && box_is_maildir(box) &&
	       (strcmp(layout, MAILBOX_LIST_NAME_MAILDIRPLUSPLUS) == 0 ||
		strcmp(layout, MAILBOX_LIST_NAME_IMAPDIR) == 0) &&
	       mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_MAILBOX, &path) >
		       0 &&
	       stat(path, &st) == 0;
}

/*
 * A directory that may not be entered is a place to Dovecot, or nothing: what
 * the account has at its name did not go.
 */
static bool box_is_closed(struct mailbox *box)
{
	const struct account *account =
		&capture_user_of(box->storage->user)->account;
	struct changes known;
	struct stat st;
	const char *path;

	if (account->tree == NULL)
		return false;
	changes_init(&known, account->tree, account->delimiter);
	if (changes_find(&known, mbj_bytes_str(box->vname)) == MBJ_NODE_NONE ||
	    mailbox_get_path_to(box, MAILBOX_LIST_PATH_TYPE_MAILBOX, &path) <=
		    0)
		return false;
	if (box_is_maildir(box))
		path = t_strconcat(path, "/cur", NULL);
	if (stat(path, &st) == 0 || errno == ENOENT || errno == ENOTDIR)
		return false;
	mailbox_set_critical(box, "stat(%s): %s", path, strerror(errno));
	return true;
}

/* In the file system, where there is a directory of that name. */
static int box_exists(struct mailbox *box, enum mailbox_existence *ret_is)
{
	if (strcmp(box->list->name, MAILBOX_LIST_NAME_INDEX) == 0 ||
	    box->open_error != 0 || mailbox_verify_name(box) < 0)
		return mailbox_exists(box, false, ret_is);
	return index_storage_mailbox_exists_full(box,
						 box_is_maildir(box) ? "cur"
								     : NULL,
						 ret_is);
}

/*
 * id ROOT: no mailbox is there.  is_unread: one is, and cannot be opened, since
 * its deletion was begun, or, with -1, for another reason.
 */
static int mailbox_look(struct mailbox_list *list, const char *vname,
			struct account_folder *folder, const char **ret_why)
{
	enum mailbox_existence existence = MAILBOX_EXISTENCE_NONE;
	struct mailbox *box =
		mailbox_alloc(list, vname, MAILBOX_FLAG_IGNORE_ACLS);
	int ret = box_exists(box, &existence);

	memset(folder, 0, sizeof(*folder));
	folder->path = mbj_bytes_str(vname);
	folder->id = MBJ_ID_ROOT;
	if (ret == 0 && existence != MAILBOX_EXISTENCE_SELECT) {
		folder->is_closed = box_is_closed(box);
		ret = folder->is_closed ? -1 : 0;
	}
	if (ret == 0 &&
	    (existence == MAILBOX_EXISTENCE_SELECT || inbox_is_implied(box)))
		ret = box_ask(box, folder);
	folder->is_unread = ret < 0;
	if (ret < 0 && mailbox_get_last_mail_error(box) == MAIL_ERROR_NOTFOUND)
		ret = 0;
	/* What another session deleted may be in this one's list yet. */
	if (ret == 0 && folder->is_unread &&
	    (box_exists(box, &existence) < 0 ||
	     existence != MAILBOX_EXISTENCE_SELECT))
		folder->is_unread = false;
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
	/* Dovecot says that there is none, and may bring it back. */
	*ret_kind = FOLDER_NONE;
	if (ret_folder->is_unread)
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
		mailbox_list_iter_init(ns->list, "*", LIST_FLAGS);
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
