/*
 * doveadm mbj capture: all of a user's into the journal, as the plugin that
 * captures does it (whole.c).
 */
#include <lib.h>

#include <doveadm-mail.h>
#include <doveadm.h>
#include <mail-storage-service.h>
#include <mail-user.h>
#include <module-dir.h>

static int command_run(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user)
{
	struct module *module =
		module_dir_find(mail_storage_service_modules, "mbj_plugin");
	int (*capture)(struct mail_user *) = NULL;
	void *symbol = NULL;
	int ret = -1;

	if (module != NULL)
		symbol = module_get_symbol(module, "mbj_plugin_capture");
	memcpy(&capture, &symbol, sizeof(symbol));
	if (capture != NULL)
		ret = capture(user);
	else
		e_error(user->event, "mbj: mail_plugins has no mbj here");
	if (ret < 0)
		doveadm_mail_failed_error(ctx, MAIL_ERROR_TEMP);
	return ret;
}

static struct doveadm_mail_cmd_context *command_alloc(void)
{
	struct doveadm_mail_cmd_context *ctx =
		doveadm_mail_cmd_alloc(struct doveadm_mail_cmd_context);

	ctx->v.run = command_run;
	return ctx;
}

/* clang-format off: Dovecot's macros are no statements. */
static struct doveadm_cmd_ver2 COMMAND = {
	.name = "mbj capture",
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX,
	.mail_cmd = command_alloc,
	DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON
		DOVEADM_CMD_PARAMS_END};
/* clang-format on */

/* As of mbj apply: in any directory, before doveadm looks for it. */
static void __attribute__((constructor)) command_register(void)
{
	doveadm_cmd_register_ver2(&COMMAND);
}
