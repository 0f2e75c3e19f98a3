/*
 * Other plugins while apply is at work.  See apply_beside.h.
 */
#include "apply_beside.h"

#include <stdbool.h>

#include <array.h>
#include <mail-storage-hooks.h>
#include <mail-storage-service.h>
#include <mail-storage-settings.h>

/*
 * Plugins of Dovecot that copy on the way of a change: each of them asks its
 * setting when a user is made, and does nothing where that is empty.
 */
static const char *const COPYING[] = {"lazy_expunge"};

/* The user's settings are his own, a copy. */
static void settings_empty(struct mail_user *user)
{
	const char **envs;
	unsigned int count;

	if (!array_is_created(&user->set->plugin_envs))
		return;
	envs = array_get_modifiable(&user->set->plugin_envs, &count);
	for (unsigned int i = 0; i + 1 < count; i += 2)
		for (size_t j = 0; j < N_ELEMENTS(COPYING); j++)
			if (strcmp(envs[i], COPYING[j]) == 0)
				envs[i + 1] = "";
}

static const struct mail_storage_hooks HOOKS = {
	.mail_user_created = settings_empty,
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
static void capture_stand_aside(struct mail_user *user)
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
 * As dsync does, so that quota counts what comes and refuses nothing of it,
 * and Dovecot's replicator is not told.
 */
void beside_user(struct mail_user *user)
{
	user->dsyncing = TRUE;
	capture_stand_aside(user);
}
