/*
 * doveadm mbj apply: its command.  See apply.h.
 */
#include "apply.h"

#include "apply_beside.h"
#include "apply_follow.h"
#include "apply_history.h"
#include "apply_mdbox.h"
#include "commands.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

#include <doveadm-mail.h>
#include <doveadm.h>

enum { APPLY_CONNECTIONS = 4 };

struct apply_command {
	struct doveadm_mail_cmd_context ctx;
	const char *socket; /* NULL: as the settings say */
	bool is_following;
	struct follower *follower; /* NULL: not yet */
	struct beside beside;
};

int apply_fail(struct apply *apply, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	e_error(apply->user->event, "mbj: %s", t_strdup_vprintf(format, args));
	va_end(args);
	apply->failures++;
	return -1;
}

static int content_order(const void *a, const void *b)
{
	const struct mbj_client_content *x = a, *y = b;

	return mbj_id_compare(x->mailbox, y->mailbox);
}

const struct mbj_client_content *apply_content(const struct apply *apply,
					       struct mbj_id id)
{
	const struct mbj_client_content key = {.mailbox = id};

	if (apply->contents.count == 0)
		return NULL;
	return bsearch(&key, apply->contents.contents, apply->contents.count,
		       sizeof(key), content_order);
}

/* ------------------------------------------------------------------- run */

static int account_read(struct apply *apply, const char *socket)
{
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	struct mbj_client_status status;
	struct mbj_error err;
	enum mbj_rc rc;
	int ret;

	memset(&status, 0, sizeof(status));
	options.timeout_ms = APPLY_TIMEOUT_MS;
	options.connections_max = APPLY_CONNECTIONS;
	rc = mbj_client_connect(socket, &options, &apply->client, &err);
	if (rc == MBJ_ENOTFOUND)
		return apply_fail(apply, "nobody listens at %s", socket);
	if (rc == MBJ_OK)
		apply->identity = *mbj_client_identity(apply->client);
	if (rc == MBJ_OK)
		rc = mbj_client_tree(apply->client, mbj_bytes_str(apply->name),
				     &apply->account, &apply->wanted, &err);
	/* A service of an earlier version is asked mailbox by mailbox. */
	if (rc == MBJ_OK)
		apply->is_former =
			mbj_client_contents(apply->client,
					    mbj_bytes_str(apply->name),
					    &apply->contents, &err) < 0;
	/* Behind all that was read of the account. */
	if (rc == MBJ_OK)
		rc = mbj_client_status(apply->client, &status, &err);
	ret = rc < 0 ? apply_fail(apply, "%s", err.message)
		     : history_check(apply, &status);
	mbj_client_status_done(&status);
	return ret;
}

/* Under the locks that Dovecot has on the user's lists of mailboxes. */
static int folders_apply(struct apply *apply)
{
	int ret;

	if (apply_lists_lock(apply) < 0)
		return -1;
	ret = mdbox_tidy(apply);
	if (ret == 0)
		ret = apply_tree(apply);
	apply_lists_unlock(apply);
	return ret;
}

static void apply_run(struct apply *apply, const char *socket)
{
	apply->inbox = mail_namespace_find_inbox(apply->user->namespaces);
	if (known_open(apply) < 0 || account_read(apply, socket) < 0 ||
	    known_add_wanted(apply) < 0 || folders_apply(apply) < 0)
		return;
	(void)apply_subscriptions(apply);
	/* Also those of mailboxes that get no messages. */
	apply_attributes(apply);
	apply_messages(apply);
	(void)known_write(apply);
}

/* --------------------------------------------------------------- command */

static int command_run(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user)
{
	struct apply_command *command = (struct apply_command *)ctx;
	struct apply apply = {.user = user, .note = {.fd = -1}};
	const char *socket = command->socket;

	if (socket == NULL)
		socket = mail_user_plugin_getenv(user, "mbj_socket");
	apply.name = mail_user_plugin_getenv(user, "mbj_account");
	if (apply.name == NULL)
		apply.name = user->username;
	if (socket == NULL || socket[0] == '\0') {
		(void)apply_fail(&apply, "no service: say --socket, or set "
					 "plugin { mbj_socket }");
	} else {
		capture_stand_aside(user);
		apply_run(&apply, socket);
	}
	note_close(&apply.note);
	mbj_client_contents_done(&apply.contents);
	mbj_tree_free(&apply.wanted);
	mbj_tree_free(&apply.told);
	mbj_client_close(&apply.client);
	if (apply.failures == 0) {
		if (command->follower != NULL)
			follower_applied(command->follower, apply.account.lsn);
		return 0;
	}
	doveadm_mail_failed_error(ctx, MAIL_ERROR_TEMP);
	return -1;
}

static bool command_parse(struct doveadm_mail_cmd_context *ctx, int c)
{
	struct apply_command *command = (struct apply_command *)ctx;

	if (c == 'f') {
		command->is_following = true;
		return true;
	}
	if (c != 's')
		return false;
	command->socket = p_strdup(ctx->pool, optarg);
	return true;
}

/* Instead of all users, one by one: whoever the store has news of. */
static int command_next(struct doveadm_mail_cmd_context *ctx,
			const char **ret_user)
{
	struct apply_command *command = (struct apply_command *)ctx;

	/* What failed before is tried again. */
	ctx->exit_code = 0;
	return follower_next(command->follower, ret_user) ? 1 : 0;
}

static void command_preinit(struct doveadm_mail_cmd_context *ctx)
{
	struct apply_command *command = (struct apply_command *)ctx;

	beside_begin(&command->beside);
	if (command->is_following)
		ctx->v.get_next_user = command_next;
}

static void command_init(struct doveadm_mail_cmd_context *ctx,
			 const char *const args[] ATTR_UNUSED)
{
	struct apply_command *command = (struct apply_command *)ctx;
	const char *socket = command->socket;

	if (!command->is_following)
		return;
	if (ctx->iterate_single_user)
		i_fatal_status(EX_USAGE, "mbj: --follow is for all users, -A, "
					 "or for those of a mask, -u");
	if (socket == NULL)
		socket = doveadm_plugin_getenv("mbj_socket");
	if (socket == NULL || socket[0] == '\0')
		i_fatal_status(EX_USAGE, "mbj: no service: say --socket, or "
					 "set plugin { mbj_socket }");
	command->follower = follower_new(socket);
}

static void command_deinit(struct doveadm_mail_cmd_context *ctx)
{
	struct apply_command *command = (struct apply_command *)ctx;

	follower_free(&command->follower);
	beside_end();
}

static struct doveadm_mail_cmd_context *command_alloc(void)
{
	struct apply_command *command =
		doveadm_mail_cmd_alloc(struct apply_command);

	command->ctx.getopt_args = "fs:";
	command->ctx.v.parse_arg = command_parse;
	command->ctx.v.preinit = command_preinit;
	command->ctx.v.init = command_init;
	command->ctx.v.deinit = command_deinit;
	command->ctx.v.run = command_run;
	return &command->ctx;
}

/* clang-format off: Dovecot's macros are no statements. */
const struct doveadm_cmd_ver2 mbj_command_apply = {
	.name = "mbj apply",
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[-f|--follow] "
					       "[-s|--socket <path>]",
	.mail_cmd = command_alloc,
	DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON
		DOVEADM_CMD_PARAM('f', "follow", CMD_PARAM_BOOL, 0)
			DOVEADM_CMD_PARAM('s', "socket", CMD_PARAM_STR, 0)
				DOVEADM_CMD_PARAMS_END};
/* clang-format on */
