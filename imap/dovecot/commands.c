/*
 * The module that doveadm loads, and its commands.
 *
 * They are registered when the module is loaded, since doveadm initialises
 * modules only from its own directory before it looks for a command: so any
 * directory will do.  And they are taken away again when it is unloaded: a
 * module of another ABI than doveadm's is, once it has been loaded, and what
 * it left there would crash every other command.
 */
#include "commands.h"

#include <stdbool.h>

#include <array.h>
#include <module-dir.h>

#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

void doveadm_mbj_plugin_init(struct module *module);
void doveadm_mbj_plugin_deinit(void);
extern const char *doveadm_mbj_plugin_version;

const char *doveadm_mbj_plugin_version = DOVECOT_ABI_VERSION;

static const struct doveadm_cmd_ver2 *const COMMANDS[] = {
	&mbj_command_apply, &mbj_command_capture, &mbj_command_drain,
	&mbj_command_spool, &mbj_command_verify,
};

static bool command_is_ours(const char *name)
{
	for (size_t i = 0; i < N_ELEMENTS(COMMANDS); i++)
		if (name == COMMANDS[i]->name)
			return true;
	return false;
}

static void __attribute__((constructor)) commands_register(void)
{
	/* doveadm copies it. */
	for (size_t i = 0; i < N_ELEMENTS(COMMANDS); i++) {
		struct doveadm_cmd_ver2 command = *COMMANDS[i];

		doveadm_cmd_register_ver2(&command);
	}
}

static void __attribute__((destructor)) commands_unregister(void)
{
	/* doveadm may have ended before it unloads modules. */
	if (!array_is_created(&doveadm_cmds_ver2))
		return;
	for (unsigned int i = array_count(&doveadm_cmds_ver2); i-- > 0;) {
		const struct doveadm_cmd_ver2 *command =
			array_idx(&doveadm_cmds_ver2, i);

		if (command_is_ours(command->name))
			array_delete(&doveadm_cmds_ver2, i, 1);
	}
}

void doveadm_mbj_plugin_init(struct module *module ATTR_UNUSED)
{
}

void doveadm_mbj_plugin_deinit(void)
{
}
