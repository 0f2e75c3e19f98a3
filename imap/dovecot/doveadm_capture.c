/*
 * doveadm mbj capture: all of a user's into the journal, as the plugin that
 * captures does it (whole.c); doveadm mbj drain: what is in the user's spool.
 */
#include <lib.h>

#include <doveadm-mail.h>
#include <doveadm.h>
#include <mail-storage-service.h>
#include <mail-user.h>
#include <module-dir.h>

#include "commands.h"

/* What the plugin that captures has under a name. */
static int plugin_call(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user, const char *name)
{
	struct module *module =
		module_dir_find(mail_storage_service_modules, "mbj_plugin");
	int (*function)(struct mail_user *) = NULL;
	void *symbol = NULL;
	int ret = -1;

	if (module != NULL)
		symbol = module_get_symbol(module, name);
	memcpy(&function, &symbol, sizeof(symbol));
	if (function != NULL)
		ret = function(user);
	else
		e_error(user->event, "mbj: mail_plugins has no mbj here");
	if (ret < 0)
		doveadm_mail_failed_error(ctx, MAIL_ERROR_TEMP);
	return ret;
}

static int capture_run(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user)
{
	return plugin_call(ctx, user, "mbj_plugin_capture");
}

static int drain_run(struct doveadm_mail_cmd_context *ctx,
		     struct mail_user *user)
{
	return plugin_call(ctx, user, "mbj_plugin_drain");
}

static struct doveadm_mail_cmd_context *capture_alloc(void)
{
	struct doveadm_mail_cmd_context *ctx =
		doveadm_mail_cmd_alloc(struct doveadm_mail_cmd_context);

	ctx->v.run = capture_run;
	return ctx;
}

static struct doveadm_mail_cmd_context *drain_alloc(void)
{
	struct doveadm_mail_cmd_context *ctx =
		doveadm_mail_cmd_alloc(struct doveadm_mail_cmd_context);

	ctx->v.run = drain_run;
	return ctx;
}

/* clang-format off: Dovecot's macros are no statements. */
const struct doveadm_cmd_ver2 mbj_command_capture = {
	.name = "mbj capture",
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX,
	.mail_cmd = capture_alloc,
	DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON
		DOVEADM_CMD_PARAMS_END};
const struct doveadm_cmd_ver2 mbj_command_drain = {
	.name = "mbj drain",
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX,
	.mail_cmd = drain_alloc,
	DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON
		DOVEADM_CMD_PARAMS_END};
/* clang-format on */
