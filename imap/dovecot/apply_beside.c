/*
 * Other plugins while apply is at work.  See apply_beside.h.
 */
#include "apply_beside.h"

#include <stdbool.h>

#include <array.h>
#include <mail-storage-hooks.h>
#include <mail-storage-private.h>
#include <mail-storage-service.h>
#include <mail-storage-settings.h>
#include <mailbox-list-private.h>

/* Before the name of a setting that nobody is to find. */
#define ASIDE "mbj-aside/"

/*
 * Of plugins that ask for it when a user is made, or a mailbox: who copies what
 * is expunged, refuses a large message, tells the replicator, or writes to a
 * new user.
 */
static const char *const SETTINGS[] = {"lazy_expunge", "quota_max_mail_size",
				       "mail_replica", "welcome_script"};

/* Of any root: quota_warning, quota_warning2, quota2_over_script. */
static bool setting_is_to_warn(const char *name)
{
	return str_begins(name, "quota") &&
	       (strstr(name, "_warning") != NULL ||
		strstr(name, "_over_script") != NULL);
}

static bool setting_is_known(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(SETTINGS); i++)
		if (strcmp(name, SETTINGS[i]) == 0)
			return true;
	return setting_is_to_warn(name);
}

/* The user's settings are his own, a copy. */
static void settings_set_aside(struct mail_user *user)
{
	const char **envs;
	unsigned int count;

	if (!array_is_created(&user->set->plugin_envs))
		return;
	envs = array_get_modifiable(&user->set->plugin_envs, &count);
	for (unsigned int i = 0; i + 1 < count; i += 2)
		if (setting_is_known(envs[i]))
			envs[i] = p_strconcat(user->pool, ASIDE, envs[i], NULL);
}

/* A namespace for what was expunged does not count, as lazy_expunge has it. */
static void list_created(struct mailbox_list *list)
{
	struct mail_namespace *ns = list->ns;
	const char *prefix =
		mail_user_plugin_getenv(ns->user, ASIDE "lazy_expunge");

	if (prefix != NULL && prefix[0] != '\0' &&
	    strcmp(ns->prefix, prefix) == 0)
		ns->flags |= NAMESPACE_FLAG_NOQUOTA;
}

static const struct mail_storage_hooks HOOKS = {
	.mail_user_created = settings_set_aside,
	.mailbox_list_created = list_created,
};

/* Hooks are carried out as their modules' names sort: acl is 01. */
void beside_begin(struct beside *beside)
{
	memcpy(beside->path, "lib00_mbj", sizeof("lib00_mbj"));
	beside->first = (struct module){.path = beside->path};
	mail_storage_hooks_add_forced(&beside->first, &HOOKS);
}

void beside_end(void)
{
	mail_storage_hooks_remove(&HOOKS);
}

/* What we do is in the journal: the plugin that writes it looks away. */
void capture_stand_aside(struct mail_user *user)
{
	struct module *module =
		module_dir_find(mail_storage_service_modules, "mbj_plugin");
	void (*aside)(struct mail_user *) = NULL;
	void *symbol;

	if (module == NULL)
		return;
	symbol = module_get_symbol(module, "mbj_plugin_stand_aside");
	memcpy(&aside, &symbol, sizeof(aside));
	if (aside != NULL)
		aside(user);
}

/*
 * The plugin quota asks here whether dsync is at work, and only here.  Others
 * ask elsewhere, and make more of it: Sieve's makes scripts METADATA of INBOX.
 */
struct mailbox_transaction_context *
beside_transaction_begin(struct mailbox *box,
			 enum mailbox_transaction_flags flags)
{
	struct mail_user *user = box->storage->user;
	struct mailbox_transaction_context *t;
	bool was = user->dsyncing;

	user->dsyncing = TRUE;
	t = mailbox_transaction_begin(box, flags, "mbj apply");
	user->dsyncing = was;
	return t;
}
