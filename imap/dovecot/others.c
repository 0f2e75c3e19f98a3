/*
 * Whose account another user's mailbox is in.  See others.h.
 *
 * That this is the owner's storage, and that its list's lock is the one that
 * the owner's own sessions take, they have left in a file where a spool would
 * be (reign.h), with the account's name.  Settings would say it as they are for
 * each user, who may have indexes of his own, or spell the owner's name.
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

/* What a lock of this list is in (mailbox_list_lock). */
static bool lock_is(struct mailbox_list *list, uint64_t inode)
{
	const char *dir;
	struct stat st;

	return list->set.volatile_dir == NULL &&
	       mailbox_list_get_root_path(list, MAILBOX_LIST_PATH_TYPE_INDEX,
					  &dir) &&
	       stat(dir, &st) == 0 && (uint64_t)st.st_ino == inode;
}

/* Whether changes can be told: mark is NULL, they cannot. */
static void mark_look(struct capture_user *capture)
{
	struct reign_mark mark;

	capture->mark = NULL;
	capture->is_spooling = false;
	if (!reign_mark_load(capture->spool.dir, &mark) ||
	    !lock_is(capture->inbox->list, mark.lock))
		return;
	capture->mark = p_strdup(capture->user->pool, mark.reign);
	capture->account.name = p_strdup(capture->user->pool, mark.account);
	capture->is_spooling = capture_user_of(capture->user)->is_spooling;
}

static struct capture_user *
others_new(struct capture_user *own, struct mail_namespace *ns, const char *dir)
{
	pool_t pool = own->user->pool;
	struct capture_user *capture = p_new(pool, struct capture_user, 1);

	capture->user = own->user;
	capture->account.socket = own->account.socket;
	capture->account.patience_ms = own->account.patience_ms;
	capture->account.delimiter = own->account.delimiter;
	capture->account.name = p_strdup(pool, ns->owner->username);
	capture->prefix = p_strdup(pool, ns->prefix);
	p_array_init(&capture->compared, pool, 8);
	spool_init(&capture->spool, mbj_sys_posix(), p_strdup(pool, dir));
	if (!array_is_created(&own->others))
		p_array_init(&own->others, pool, 4);
	array_push_back(&own->others, &capture);
	return capture;
}

/* By prefix: a namespace that nobody uses goes, and comes again. */
static struct capture_user *others_find(const struct capture_user *own,
					const struct mail_namespace *ns)
{
	struct capture_user *capture;

	if (!array_is_created(&own->others))
		return NULL;
	array_foreach_elem(&own->others, capture)
	{
		if (strcmp(capture->prefix, ns->prefix) == 0)
			return capture;
	}
	return NULL;
}

static bool is_applied(const char *dir)
{
	struct stat st;

	return stat(t_strconcat(dir, "/" APPLIED_NAME, NULL), &st) == 0;
}

/* Where nothing is known of the owner's, and no run of apply was: NULL. */
static struct capture_user *others_capture(struct capture_user *own,
					   struct mail_namespace *ns)
{
	struct capture_user *capture = others_find(own, ns);
	struct reign_mark mark;
	const char *dir;

	if (own->inbox == NULL || ns->storage == NULL ||
	    !capture_keeps(ns->storage) ||
	    mailbox_list_get_hierarchy_sep(ns->list) !=
		    mailbox_list_get_hierarchy_sep(own->inbox->list) ||
	    !mailbox_list_get_root_path(ns->list,
					MAILBOX_LIST_PATH_TYPE_CONTROL, &dir))
		return NULL;
	if (capture == NULL && !reign_mark_load(dir, &mark) && !is_applied(dir))
		return NULL;
	if (capture != NULL) {
		capture->inbox = ns;
		return capture;
	}
	capture = others_new(own, ns, dir);
	capture->inbox = ns;
	mark_look(capture);
	return capture;
}

bool others_is_known(const struct capture_user *capture)
{
	return capture->mark != NULL || is_applied(capture->spool.dir);
}

bool others_can_tell(const struct turn *turn)
{
	struct capture_user *capture = turn->capture;

	if (capture->mark == NULL || !turn_is_of_reign(turn, capture->mark))
		mark_look(capture);
	return capture->mark != NULL && turn_is_of_reign(turn, capture->mark);
}

struct capture_user *capture_of(struct mailbox *box)
{
	struct capture_user *own = capture_user_of(box->storage->user);
	struct mail_namespace *ns = box->list->ns;

	if (own == NULL)
		return NULL;
	if (box_is_others(box))
		return others_capture(own, ns);
	return capture_covers(capture_unalias(ns)) ? own : NULL;
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
