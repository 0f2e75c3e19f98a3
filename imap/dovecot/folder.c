/*
 * What Dovecot has at one name.
 *
 * Lists are read raw, past indexes, ACLs and mailboxes that would only be made
 * when somebody opens them.  The list's index is as old as the command that
 * waited for the user's lock, and says of a mailbox what some session has known
 * that has it open; so what it says is checked where the journal has something
 * else.
 */
#include "plugin.h"

#include "inbox.h"
#include "uidlist.h"

#include <sys/stat.h>

#include <index-storage.h>
#include <mail-index-alloc-cache.h>

static int box_read(struct mailbox *box, struct account_folder *folder)
{
	struct mailbox_status status;
	struct uidlist_head head;
	struct mbj_id id;

	if (uidlist_head(box, &head)) {
		folder->id = head.guid;
		folder->uidvalidity = head.uidvalidity;
		/* Or who saves has its index reset under it. */
		return box->opened && box_is_behind(box, &head)
			       ? mailbox_sync(box, 0)
			       : 0;
	}
	if (box_guid_ask(box, &id) < 0 ||
	    mailbox_get_status(box, STATUS_UIDVALIDITY, &status) < 0)
		return -1;
	/* dbox gives the value with the first synchronisation. */
	if (status.uidvalidity == 0 &&
	    (mailbox_sync(box, 0) < 0 ||
	     mailbox_get_status(box, STATUS_UIDVALIDITY, &status) < 0))
		return -1;
	folder->id = id;
	folder->uidvalidity = status.uidvalidity;
	return 0;
}

/* What the account has at that name, or NULL. */
static const struct mbj_node *folder_told(const struct account *account,
					  const struct account_folder *folder)
{
	struct changes known;
	uint32_t at;

	if (account->tree == NULL)
		return NULL;
	changes_init(&known, account->tree, account->delimiter);
	at = changes_find(&known, folder->path);
	return at == MBJ_NODE_NONE ? NULL : mbj_tree_get(account->tree, at);
}

/* The same mailbox, as if nobody had asked it anything. */
static void box_renew(struct mailbox **box)
{
	struct mailbox_list *list = (*box)->list;
	const char *vname = t_strdup((*box)->vname);

	mailbox_free(box);
	*box = mailbox_alloc(list, vname, MAILBOX_FLAG_IGNORE_ACLS);
}

/*
 * As it is on disk: an index that this process has had open may be in its
 * memory, as it was, also where the mailbox is another one by now.  No mailbox
 * is closed twice: Dovecot closes an index of private flags each time, open or
 * not.
 */
static int box_open_afresh(struct mailbox **box)
{
	mail_index_alloc_cache_destroy_unrefed();
	if (mailbox_open(*box) < 0)
		return -1;
	if (mail_index_refresh((*box)->index) < 0) {
		mailbox_set_index_error(*box);
		return -1;
	}
	box_renew(box);
	return mailbox_open(*box);
}

/*
 * What the list's index says, or the head of a Maildir's list of messages,
 * without the mailbox being opened; where the account has another one there,
 * the mailbox itself.  Then the list's index is told.  Of a name that the
 * account has not it is not asked: it would read all names again first, where
 * one has just been given.
 */
static int box_ask(struct mailbox **box, struct account_folder *folder)
{
	const struct mbj_node *told =
		folder_told(&capture_user_of((*box)->storage->user)->account,
			    folder);
	int ret;

	if (told == NULL)
		return box_open_afresh(box) < 0 ? -1 : box_read(*box, folder);
	ret = box_read(*box, folder);
	if (ret < 0 || (mbj_id_equal(told->id, folder->id) &&
			told->uidvalidity == folder->uidvalidity))
		return ret;
	box_renew(box);
	ret = box_open_afresh(box);
	if (ret == 0)
		ret = box_read(*box, folder);
	else if (mailbox_get_last_mail_error(*box) != MAIL_ERROR_NOTFOUND)
		return 0; /* nobody can say more */
	/* For others: nothing here depends on it. */
	if (ret == 0 && mailbox_sync(*box, 0) < 0)
		e_warning((*box)->event,
			  "mbj: the list's index is not told of it: %s",
			  mailbox_get_last_internal_error(*box, NULL));
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

int mailbox_look(struct mailbox_list *list, const char *vname,
		 struct account_folder *folder, const char **ret_why)
{
	enum mailbox_existence existence = MAILBOX_EXISTENCE_NONE;
	struct mailbox *box =
		mailbox_alloc(list, vname, MAILBOX_FLAG_IGNORE_ACLS);
	int ret = 0;

	memset(folder, 0, sizeof(*folder));
	folder->path = mbj_bytes_str(vname);
	folder->id = MBJ_ID_ROOT;
	/* At the most a place: what it opens is INBOX. */
	if (box_is_inbox_alias(box)) {
		mailbox_free(&box);
		return 0;
	}
	ret = box_exists(box, &existence);
	if (ret == 0 && existence != MAILBOX_EXISTENCE_SELECT) {
		folder->is_closed = box_is_closed(box);
		ret = folder->is_closed ? -1 : 0;
	}
	if (ret == 0 &&
	    (existence == MAILBOX_EXISTENCE_SELECT || inbox_is_implied(box)))
		ret = box_ask(&box, folder);
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
		mailbox_list_iter_init(list, vname, CAPTURE_LIST_FLAGS);
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

/* What is above the names is the mail's place, which may well be linked. */
static size_t names_count(struct mailbox_list *list, const char *name)
{
	size_t count = 1;

	if (mailbox_list_get_hierarchy_sep(list) != '/')
		return count;
	for (; *name != '\0'; name++)
		count += *name == '/';
	return count;
}

bool name_is_linked(struct mailbox_list *list, const char *vname)
{
	const char *name = mailbox_list_get_storage_name(list, vname), *path;
	struct stat st;

	if (strcmp(vname, "INBOX") == 0 ||
	    strcmp(list->name, MAILBOX_LIST_NAME_INDEX) == 0 ||
	    mailbox_list_get_path(list, name, MAILBOX_LIST_PATH_TYPE_DIR,
				  &path) <= 0)
		return false;
	for (size_t n = names_count(list, name); n > 0; n--) {
		const char *end = strrchr(path, '/');

		if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode))
			return true;
		if (end == NULL)
			return false;
		path = t_strdup_until(path, end);
	}
	return false;
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
