/*
 * libmbj's plugin for Dovecot: the module, its settings, what it hangs on users
 * and mailboxes.  docs/DOVECOT.md.
 *
 * Not here: what is done around a change (capture.c), reading what Dovecot has
 * (folder.c, list.c).
 */
#include "plugin.h"

#include "kept.h"
#include "others.h"
#include "parked.h"

#include <ioloop.h>
#include <mail-storage-hooks.h>
#include <mailbox-list-index.h>
#include <module-context.h>
#include <settings-parser.h>

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

enum {
	TIMEOUT_SECONDS = 30,
	TIMEOUT_SECONDS_MAX = 50,
	KEEP_MS = 5000, /* a connection, behind a change */
};

void mbj_plugin_init(struct module *module);
void mbj_plugin_deinit(void);
void mbj_plugin_stand_aside(struct mail_user *user);
extern const char *mbj_plugin_version;

/* Dovecot loads no module that was built for another of its versions. */
const char *mbj_plugin_version = DOVECOT_ABI_VERSION;

static MODULE_CONTEXT_DEFINE_INIT(capture_user_module,
				  &mail_user_module_register);
static MODULE_CONTEXT_DEFINE_INIT(capture_box_module,
				  &mail_storage_module_register);

struct capture_user *capture_user_of(struct mail_user *user)
{
	return MODULE_CONTEXT(user, capture_user_module);
}

struct capture_box *capture_box_of(struct mailbox *box)
{
	return MODULE_CONTEXT_REQUIRE(box, capture_box_module);
}

struct capture_transaction *
capture_transaction_of(struct mailbox_transaction_context *t)
{
	return MODULE_CONTEXT(t, capture_box_module);
}

struct capture_transaction *
capture_transaction_need(struct mailbox_transaction_context *t)
{
	struct capture_transaction *mine = capture_transaction_of(t);
	pool_t pool;

	if (mine != NULL)
		return mine;
	pool = pool_alloconly_create("mbj transaction", 1024);
	mine = p_new(pool, struct capture_transaction, 1);
	mine->pool = pool;
	p_array_init(&mine->steps, pool, 4);
	MODULE_CONTEXT_SET(t, capture_box_module, mine);
	return mine;
}

struct capture_transaction *
capture_transaction_take(struct mailbox_transaction_context *t)
{
	struct capture_transaction *mine = capture_transaction_of(t);

	if (mine != NULL)
		MODULE_CONTEXT_UNSET(t, capture_box_module);
	return mine;
}

void capture_transaction_free(struct capture_transaction **mine)
{
	struct capture_transaction *old = *mine;

	*mine = NULL;
	if (old == NULL)
		return;
	kept_free(&old->kept);
	pool_unref(&old->pool);
}

bool capture_keeps(const struct mail_storage *storage)
{
	static const char *const FORMATS[] = {"sdbox", "mdbox", "maildir"};

	for (size_t i = 0; i < N_ELEMENTS(FORMATS); i++)
		if (strcmp(storage->name, FORMATS[i]) == 0)
			return true;
	return false;
}

bool capture_covers(const struct mail_namespace *ns)
{
	return ns->type == MAIL_NAMESPACE_TYPE_PRIVATE &&
	       ns->alias_for == NULL && ns->owner == ns->user &&
	       ns->storage != NULL && capture_keeps(ns->storage);
}

struct mail_namespace *capture_unalias(struct mail_namespace *ns)
{
	return ns->alias_for != NULL ? ns->alias_for : ns;
}

/* ------------------------------------------------------------------ idle */

static void idle_end(struct capture_user *capture)
{
	if (capture->is_in_turn)
		return;
	timeout_remove(&capture->idle);
	account_done(&capture->account);
}

/* Sessions are many, and most change nothing for long. */
void capture_idle(struct capture_user *capture)
{
	if (capture->idle != NULL)
		timeout_reset(capture->idle);
	else if (current_ioloop != NULL)
		capture->idle = timeout_add_to(io_loop_get_root(), KEEP_MS,
					       idle_end, capture);
	else
		account_done(&capture->account);
}

/* ----------------------------------------------------------------- hooks */

static void user_deinit(struct mail_user *user)
{
	struct capture_user *capture = capture_user_of(user);

	others_done(capture);
	timeout_remove(&capture->idle);
	account_done(&capture->account);
	spool_done(&capture->spool);
	capture->module_ctx.super.deinit(user);
}

/* Others wait for the user's lock, for a minute. */
static bool timeout_get(struct mail_user *user, uint32_t *ret_ms)
{
	const char *text = mail_user_plugin_getenv(user, "mbj_timeout");
	unsigned int seconds = TIMEOUT_SECONDS;

	if (text != NULL && (str_to_uint(text, &seconds) < 0 || seconds < 1 ||
			     seconds > TIMEOUT_SECONDS_MAX))
		return false;
	*ret_ms = seconds * 1000;
	return true;
}

static bool when_away_get(struct mail_user *user, bool *ret_is_spooling)
{
	const char *text = mail_user_plugin_getenv(user, "mbj_when_away");

	*ret_is_spooling = text != NULL && strcmp(text, "spool") == 0;
	return text == NULL || *ret_is_spooling || strcmp(text, "refuse") == 0;
}

static void user_created(struct mail_user *user)
{
	struct mail_user_vfuncs *v = user->vlast;
	struct capture_user *capture;

	/* Others' folders that are shared, a message in a file. */
	if (user->autocreated)
		return;
	capture = p_new(user->pool, struct capture_user, 1);
	capture->user = user;
	p_array_init(&capture->compared, user->pool, 8);
	spool_init(&capture->spool, mbj_sys_posix(), "");
	capture->account.socket = mail_user_plugin_getenv(user, "mbj_socket");
	capture->account.name = mail_user_plugin_getenv(user, "mbj_account");
	capture->account.is_adopting =
		mail_user_plugin_getenv_bool(user, "mbj_adopt");
	if (capture->account.name == NULL)
		capture->account.name = user->username;
	if (capture->account.socket == NULL ||
	    capture->account.socket[0] == '\0') {
		user->error = "mbj: plugin { mbj_socket } is not set";
		return;
	}
	if (!timeout_get(user, &capture->account.patience_ms)) {
		user->error = "mbj: plugin { mbj_timeout } is not 1 to 50 "
			      "seconds";
		return;
	}
	if (!when_away_get(user, &capture->is_spooling)) {
		user->error = "mbj: plugin { mbj_when_away } is neither refuse "
			      "nor spool";
		return;
	}
	capture->module_ctx.super = *v;
	user->vlast = &capture->module_ctx.super;
	v->deinit = user_deinit;
	MODULE_CONTEXT_SET(user, capture_user_module, capture);
}

/*
 * It is in no settings: doveadm import reads a storage by the place that it was
 * given, as if it were the user's.
 */
static bool namespace_is_given(const struct mail_namespace *ns)
{
	const struct mail_user_settings *user_set = ns->user->set;
	struct mail_namespace_settings *set;

	if (ns->unexpanded_set == NULL ||
	    !str_begins(ns->unexpanded_set->location, SETTING_STRVAR_EXPANDED))
		return false;
	if (!array_is_created(&user_set->namespaces))
		return ns->mail_set->mail_location[0] != '\0';
	array_foreach_elem(&user_set->namespaces, set)
	{
		if (set == ns->set)
			return false;
	}
	return true;
}

static void namespaces_created(struct mail_namespace *namespaces)
{
	struct mail_user *user = namespaces->user;
	struct capture_user *capture = capture_user_of(user);
	const char *path, *why = NULL;

	if (capture == NULL || user->error != NULL)
		return;
	/* Whatever format that has, nothing is changed there. */
	capture->is_aside = namespace_is_given(namespaces);
	if (capture->is_aside)
		return;
	capture->inbox = mail_namespace_find_inbox(namespaces);
	capture->account.delimiter = mail_namespace_get_sep(capture->inbox);
	/* Under its prefix "INBOX" is not INBOX then, but a folder. */
	if (capture->inbox->alias_for != NULL)
		why = "an alias of INBOX's namespace comes before it";
	else if (!capture_covers(capture->inbox))
		why = "INBOX is not in a private sdbox, mdbox or Maildir";
	for (struct mail_namespace *ns = namespaces; ns != NULL;
	     ns = ns->next) {
		if (!capture_covers(ns))
			continue;
		if (mail_namespace_get_sep(ns) != capture->account.delimiter)
			why = "private namespaces have different separators";
		else if (!mailbox_list_get_root_path(
				 ns->list, MAILBOX_LIST_PATH_TYPE_INDEX, &path))
			why = "indexes are in memory, where no other process "
			      "sees what changes";
	}
	/* Beside the mail: whoever moves or removes that has it along. */
	if (mailbox_list_get_root_path(capture->inbox->list,
				       MAILBOX_LIST_PATH_TYPE_CONTROL, &path))
		capture->spool.dir = p_strdup(user->pool, path);
	else
		why = "INBOX's namespace has no directory";
	if (capture->inbox->list->set.volatile_dir == NULL &&
	    mailbox_list_get_root_path(capture->inbox->list,
				       MAILBOX_LIST_PATH_TYPE_INDEX, &path))
		capture->lock_dir = p_strdup(user->pool, path);
	if (why != NULL)
		user->error = p_strdup_printf(user->pool,
					      "mbj: %s: nothing of it "
					      "can be captured",
					      why);
}

/*
 * Dovecot's list of mailboxes looks into one that it has just found, with the
 * lock of its index.  Where that went meanwhile, and its settings have it made
 * by whoever opens it (auto = create, subscribe), it would be made in there,
 * under the user's lock, while others have that one and want the index's:
 * Dovecot panics (EDEADLK).  So nobody makes mailboxes for a look.
 */
static bool list_is_reading(struct mailbox_list *list)
{
	const struct mailbox_list_index *index = INDEX_LIST_CONTEXT(list);

	return index != NULL && index->syncing;
}

/* INBOX is made by whoever finds that there is none. */
static int inbox_look(struct mailbox *box)
{
	int ret = capture_box_of(box)->module_ctx.super.open(box);

	if (ret < 0 && mailbox_get_last_mail_error(box) == MAIL_ERROR_NOTFOUND)
		mail_storage_set_error(box->storage, MAIL_ERROR_TEMP,
				       "INBOX is being made or renamed");
	return ret;
}

static void mailbox_allocated(struct mailbox *box)
{
	const struct capture_user *user = capture_user_of(box->storage->user);
	struct mailbox_vfuncs *v = box->vlast;
	struct capture_box *mine;

	if (list_is_reading(box->list))
		box->set = NULL;
	if (user == NULL || user->is_aside)
		return;
	mine = p_new(box->pool, struct capture_box, 1);
	mine->module_ctx.super = *v;
	box->vlast = &mine->module_ctx.super;
	MODULE_CONTEXT_SET(box, capture_box_module, mine);
	if (list_is_reading(box->list) && box->inbox_user)
		v->open = inbox_look;
	capture_mailbox(box, v);
	capture_messages(box, v);
	capture_attributes(box, v);
}

/* Mailboxes that are opened from now on are changed by who has the journal. */
void mbj_plugin_stand_aside(struct mail_user *user)
{
	struct capture_user *capture = capture_user_of(user);

	if (capture != NULL)
		capture->is_aside = true;
}

static const struct mail_storage_hooks HOOKS = {
	.mail_user_created = user_created,
	.mail_namespaces_created = namespaces_created,
	.mailbox_list_created = parked_hide,
	.mailbox_allocated = mailbox_allocated,
};

void mbj_plugin_init(struct module *module)
{
	mail_storage_hooks_add(module, &HOOKS);
}

void mbj_plugin_deinit(void)
{
	mail_storage_hooks_remove(&HOOKS);
}
