/*
 * Whose account another user's mailbox is in.  See others.h.
 *
 * That this is the owner's storage, and that its list's lock is the one that
 * the owner's own sessions take, shows in a file that they, or runs of apply,
 * have left (reign.h) where that lock is, and where a spool would be: settings
 * say for each user what another one's locations are, and may have indexes of
 * their own.
 */
#include "others.h"

#include "applied.h"
#include "reign.h"

#include <ioloop.h>

#include <sys/stat.h>

bool box_is_others(struct mailbox *box)
{
	const struct mail_namespace *ns = box->list->ns;

	return ns->type == MAIL_NAMESPACE_TYPE_SHARED && ns->owner != NULL &&
	       ns->owner != ns->user;
}

static bool file_is_ours(const char *dir, const char *name)
{
	struct stat st;

	return lstat(t_strconcat(dir, "/", name, NULL), &st) == 0 &&
	       S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

/* Of a process that could write there, and whose files the owner can read. */
static bool dir_is_known(const char *dir)
{
	return file_is_ours(dir, REIGN_NAME) || file_is_ours(dir, APPLIED_NAME);
}

/* The lock of a list is in its indexes' directory (mailbox_list_lock). */
static bool ns_is_known(const struct capture_user *own,
			const struct mail_namespace *ns, const char **ret_dir)
{
	struct mailbox_list *list = ns->list;
	const char *lock;

	return own->inbox != NULL && ns->storage != NULL &&
	       capture_keeps(ns->storage) && list->set.volatile_dir == NULL &&
	       mailbox_list_get_hierarchy_sep(list) ==
		       mailbox_list_get_hierarchy_sep(own->inbox->list) &&
	       mailbox_list_get_root_path(list, MAILBOX_LIST_PATH_TYPE_CONTROL,
					  ret_dir) &&
	       mailbox_list_get_root_path(list, MAILBOX_LIST_PATH_TYPE_INDEX,
					  &lock) &&
	       dir_is_known(*ret_dir) &&
	       (strcmp(*ret_dir, lock) == 0 || dir_is_known(lock));
}

static struct capture_user *
others_new(struct capture_user *own, struct mail_namespace *ns, const char *dir)
{
	pool_t pool = own->user->pool;
	struct capture_user *capture = p_new(pool, struct capture_user, 1);
	const char *name = mail_user_plugin_getenv(ns->owner, "mbj_account");

	capture->user = own->user;
	capture->inbox = ns;
	capture->is_spooling = own->is_spooling;
	capture->account.socket = own->account.socket;
	capture->account.patience_ms = own->account.patience_ms;
	capture->account.delimiter = own->account.delimiter;
	capture->account.name =
		p_strdup(pool, name != NULL ? name : ns->owner->username);
	p_array_init(&capture->compared, pool, 8);
	spool_init(&capture->spool, mbj_sys_posix(), p_strdup(pool, dir));
	if (!array_is_created(&own->others))
		p_array_init(&own->others, pool, 4);
	array_push_back(&own->others, &capture);
	return capture;
}

static struct capture_user *others_find(const struct capture_user *own,
					const struct mail_namespace *ns)
{
	struct capture_user *capture;

	if (!array_is_created(&own->others))
		return NULL;
	array_foreach_elem(&own->others, capture)
	{
		if (capture->inbox == ns)
			return capture;
	}
	return NULL;
}

struct capture_user *capture_of(struct mailbox *box)
{
	struct capture_user *own = capture_user_of(box->storage->user);
	struct mail_namespace *ns = box->list->ns;
	struct capture_user *capture;
	const char *dir;

	if (own == NULL)
		return NULL;
	if (!box_is_others(box))
		return capture_covers(capture_unalias(ns)) ? own : NULL;
	capture = others_find(own, ns);
	if (capture == NULL && ns_is_known(own, ns, &dir))
		capture = others_new(own, ns, dir);
	return capture;
}

const char *capture_path(struct mailbox *box, const char *vname)
{
	const struct capture_user *own = capture_user_of(box->storage->user);

	return box_is_others(box)
		       ? mailbox_list_get_vname(own->inbox->list, box->name)
		       : vname;
}

void others_done(struct capture_user *own)
{
	struct capture_user *capture;

	if (!array_is_created(&own->others))
		return;
	array_foreach_elem(&own->others, capture)
	{
		timeout_remove(&capture->idle);
		account_done(&capture->account);
		spool_done(&capture->spool);
	}
}
