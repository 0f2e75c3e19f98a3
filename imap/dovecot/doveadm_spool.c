/*
 * doveadm mbj spool: which users have changes in their spools (spool.h), and
 * since when.  Asks nobody, locks nothing: for people and for monitoring.
 */
#include <lib.h>
#include <str-sanitize.h>

#include <doveadm-mail.h>
#include <doveadm-print.h>
#include <doveadm.h>
#include <mail-namespace.h>
#include <mail-user.h>
#include <mailbox-list.h>
#include <time-util.h>

#include <limits.h>
#include <time.h>

#include "commands.h"
#include "spool.h"

enum { OPTION_SHOWN = 100 }; /* bytes of a wrong one */

struct spool_command {
	struct doveadm_mail_cmd_context ctx;
	unsigned int age_max; /* seconds, 0: not said, none is too old */
};

static void spool_print(const struct spool *spool, int64_t age)
{
	doveadm_print(
		t_strfgmtime("%Y-%m-%dT%H:%M:%SZ", (time_t)spool_since(spool)));
	doveadm_print(t_strdup_printf("%lld", (long long)age));
	doveadm_print(spool->whole_since != 0
			      ? "all"
			      : t_strdup_printf("%zu", spool->count));
}

static int spool_show(struct spool_command *command, struct spool *spool)
{
	int64_t age;

	if (spool_is_empty(spool))
		return 0;
	age = (int64_t)time(NULL) - spool_since(spool);
	spool_print(spool, age);
	if (command->age_max == 0 || age <= (int64_t)command->age_max)
		return 0;
	doveadm_mail_failed_error(&command->ctx, MAIL_ERROR_TEMP);
	return -1;
}

static int command_run(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user)
{
	struct spool_command *command = (struct spool_command *)ctx;
	struct mail_namespace *inbox =
		mail_namespace_find_inbox(user->namespaces);
	struct mbj_error err;
	struct spool spool;
	const char *dir;
	int ret;

	if (!mailbox_list_get_root_path(inbox->list,
					MAILBOX_LIST_PATH_TYPE_CONTROL, &dir))
		return 0;
	spool_init(&spool, mbj_sys_posix(), dir);
	if (spool_load(&spool, &err) < 0) {
		e_error(user->event, "mbj: %s", err.message);
		doveadm_mail_failed_error(ctx, MAIL_ERROR_TEMP);
		ret = -1;
	} else
		ret = spool_show(command, &spool);
	spool_done(&spool);
	return ret;
}

static bool command_parse(struct doveadm_mail_cmd_context *ctx, int c)
{
	struct spool_command *command = (struct spool_command *)ctx;

	if (c != 'm')
		return false;
	if (str_to_uint(optarg, &command->age_max) < 0 || command->age_max == 0)
		i_fatal_status(EX_USAGE,
			       "mbj: --max-age is a number of seconds, 1 to "
			       "%u, not \"%s\"; without it no spool is too old",
			       UINT_MAX, str_sanitize(optarg, OPTION_SHOWN));
	return true;
}

static void command_init(struct doveadm_mail_cmd_context *ctx ATTR_UNUSED,
			 const char *const args[] ATTR_UNUSED)
{
	doveadm_print_header_simple("since");
	doveadm_print_header_simple("seconds");
	doveadm_print_header_simple("mailboxes");
}

static struct doveadm_mail_cmd_context *command_alloc(void)
{
	struct spool_command *command =
		doveadm_mail_cmd_alloc(struct spool_command);

	command->ctx.getopt_args = "m:";
	command->ctx.v.parse_arg = command_parse;
	command->ctx.v.init = command_init;
	command->ctx.v.run = command_run;
	doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
	return &command->ctx;
}

/* clang-format off: Dovecot's macros are no statements. */
const struct doveadm_cmd_ver2 mbj_command_spool = {
	.name = "mbj spool",
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[-m|--max-age <seconds>]",
	.mail_cmd = command_alloc,
	DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON DOVEADM_CMD_PARAM(
		'm', "max-age", CMD_PARAM_STR, 0) DOVEADM_CMD_PARAMS_END};
/* clang-format on */
