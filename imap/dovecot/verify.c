/*
 * doveadm mbj verify: its command, and the user's names: mailboxes,
 * subscriptions, and what is said of each mailbox.  See verify.h.
 */
#include "verify.h"

#include "commands.h"

#include <doveadm-mail.h>
#include <doveadm-print.h>
#include <doveadm.h>
#include <sleep.h>

enum { EXIT_DIFFERENT = 3 }; /* as of mbj verify */

struct verify_command {
	struct doveadm_mail_cmd_context ctx;
	const char *socket; /* NULL: as the settings say */
	bool is_quick;
};

/* ------------------------------------------------------------------ rows */

void verify_rows_clear(struct verify_rows *rows)
{
	p_clear(rows->pool);
	p_array_init(&rows->list, rows->pool, 8);
	rows->more = 0;
}

void verify_row_add(struct verify_rows *rows, const char *mailbox, uint32_t uid,
		    const char *what, const char *here, const char *there)
{
	struct verify_row row = {.uid = uid};

	if (array_count(&rows->list) >= VERIFY_ROWS_MAX) {
		rows->more++;
		return;
	}
	row.mailbox = p_strdup(rows->pool, mailbox);
	row.what = p_strdup(rows->pool, what);
	row.here = p_strdup(rows->pool, here);
	row.there = p_strdup(rows->pool, there);
	array_push_back(&rows->list, &row);
}

static void row_print(const struct verify_row *row)
{
	doveadm_print(row->mailbox);
	doveadm_print(row->uid == 0 ? "" : dec2str(row->uid));
	doveadm_print(row->what);
	doveadm_print(row->here);
	doveadm_print(row->there);
}

static void rows_print(struct verify *verify, const struct verify_rows *rows)
{
	const struct verify_row *row;
	struct verify_row rest = {.what = "more", .there = ""};

	array_foreach(&rows->list, row)
	{
		row_print(row);
		rest.mailbox = row->mailbox;
	}
	if (rows->more > 0) {
		rest.here = t_strdup_printf("%" PRIu64 " more differences",
					    rows->more);
		row_print(&rest);
	}
	verify->differences += array_count(&rows->list) + rows->more;
}

int verify_lock(struct verify *verify, unsigned int pauses)
{
	struct mailbox_list *list = verify->apply.inbox->list;

	i_sleep_msecs(pauses * VERIFY_PAUSE_MS);
	if (mailbox_list_lock(list) == 0)
		return 0;
	return apply_fail(&verify->apply,
			  "cannot lock the list of mailboxes: %s",
			  mailbox_list_get_last_internal_error(list, NULL));
}

void verify_unlock(struct verify *verify)
{
	mailbox_list_unlock(verify->apply.inbox->list);
}

/* ----------------------------------------------------------------- names */

static const char THERE_IS[] = "there is one";
static const char NONE[] = "none";

/* Dovecot makes INBOX at its first use. */
static bool inbox_is_unused(struct verify *verify, uint32_t node)
{
	struct apply *apply = &verify->apply;
	struct mbj_id id = mbj_tree_get(apply->wanted, node)->id;
	struct mbj_client_messages page;
	struct mbj_error err;
	bool is_unused;

	if (strcmp(apply_path(apply, apply->wanted, node), "INBOX") != 0 ||
	    mbj_client_messages(apply->client, apply->account.id, id, 1, 1, 0,
				&page, &err) < 0)
		return false;
	is_unused = page.content.uidnext == 1;
	mbj_client_messages_done(&page);
	return is_unused;
}

/* vnames: of each node, NULL: Dovecot has it not. */
static void folder_compare(struct verify *verify,
			   const struct apply_folder *folder,
			   const char **vnames, struct verify_rows *rows)
{
	const struct mbj_tree *tree = verify->apply.wanted;
	uint32_t node = mbj_tree_find(tree, folder->id);
	const char *path;

	if (mbj_id_is_root(folder->id))
		return;
	if (node == MBJ_NODE_NONE) {
		verify_row_add(rows, folder->vname, 0, "mailbox", THERE_IS,
			       NONE);
		return;
	}
	if (vnames[node] != NULL) {
		verify_row_add(rows, folder->vname, 0, "GUID",
			       t_strconcat("also of ", vnames[node], NULL),
			       "of one");
		return;
	}
	vnames[node] = folder->vname;
	path = apply_path(&verify->apply, tree, node);
	if (strcmp(path, folder->vname) != 0)
		verify_row_add(rows, folder->vname, 0, "name", folder->vname,
			       path);
	if (folder->uidvalidity != mbj_tree_get(tree, node)->uidvalidity)
		verify_row_add(rows, folder->vname, 0, "UIDVALIDITY",
			       dec2str(folder->uidvalidity),
			       dec2str(mbj_tree_get(tree, node)->uidvalidity));
}

static void folders_compare(struct verify *verify,
			    const ARRAY_TYPE(apply_folder) * folders,
			    const char **vnames, struct verify_rows *rows)
{
	const struct mbj_tree *tree = verify->apply.wanted;
	const struct apply_folder *folder;

	array_foreach(folders, folder)
		folder_compare(verify, folder, vnames, rows);
	for (uint32_t i = 0; i < mbj_tree_size(tree); i++) {
		const struct mbj_node *node = mbj_tree_get(tree, i);

		if (node->is_live && node->is_selectable && vnames[i] == NULL &&
		    !inbox_is_unused(verify, i))
			verify_row_add(rows,
				       apply_path(&verify->apply, tree, i), 0,
				       "mailbox", NONE, THERE_IS);
	}
}

static int subscriptions_compare(struct verify *verify,
				 struct verify_rows *rows)
{
	ARRAY_TYPE(const_string) missing, extra;
	const char *name;

	if (subscriptions_differ(&verify->apply, &missing, &extra) < 0)
		return -1;
	array_foreach_elem(&missing, name)
		verify_row_add(rows, name, 0, "subscription", NONE, THERE_IS);
	array_foreach_elem(&extra, name)
		verify_row_add(rows, name, 0, "subscription", THERE_IS, NONE);
	return 0;
}

static int tree_read(struct verify *verify)
{
	struct apply *apply = &verify->apply;
	struct mbj_error err;

	mbj_tree_free(&apply->wanted);
	if (mbj_client_tree(apply->client, mbj_bytes_str(apply->name),
			    &apply->account, &apply->wanted, &err) < 0)
		return apply_fail(apply, "%s", err.message);
	return 0;
}

/* Names of the account's nodes in Dovecot, on the data stack.  -1, told. */
static int names_look(struct verify *verify, struct verify_rows *rows,
		      const char ***ret_vnames)
{
	ARRAY_TYPE(apply_folder) folders;

	verify_rows_clear(rows);
	if (tree_read(verify) < 0 || folders_read(&verify->apply, &folders) < 0)
		return -1;
	*ret_vnames =
		t_new(const char *, mbj_tree_size(verify->apply.wanted) + 1);
	folders_compare(verify, &folders, *ret_vnames, rows);
	return subscriptions_compare(verify, rows);
}

/* Under the lock: a list and what it lists are of one moment. */
static int names_verify(struct verify *verify, struct verify_rows *rows,
			const char ***ret_vnames)
{
	int ret = 1;

	for (unsigned int try = 0; try < VERIFY_TRIES && ret > 0; try++) {
		if (verify_lock(verify, try) < 0)
			return -1;
		ret = names_look(verify, rows, ret_vnames);
		verify_unlock(verify);
		if (ret == 0 && !array_is_empty(&rows->list))
			ret = 1;
	}
	if (ret >= 0)
		rows_print(verify, rows);
	return ret < 0 ? -1 : 0;
}

/* ------------------------------------------------------------ attributes */

static void attribute_tell(struct verify_rows *rows, const char *vname,
			   const struct attribute *change)
{
	bool is_acl = change->kind == MBJ_ATTR_ACL;
	const char *what =
		t_strdup_printf("%s %s", is_acl ? "access of" : "entry",
				attribute_show(change->name));

	if (!is_acl && attribute_is_internal(change))
		return;
	if (change->value.n == 0)
		verify_row_add(rows, vname, 0, what, THERE_IS, NONE);
	else
		verify_row_add(rows, vname, 0, what, "another, or none",
			       attribute_show(change->value));
}

int verify_attributes(struct verify *verify, struct mailbox *box, uint32_t node,
		      struct verify_rows *rows)
{
	struct apply *apply = &verify->apply;
	struct attributes here, there;
	ARRAY_TYPE(attribute) changes;
	const struct attribute *change;
	struct mbj_id found;
	struct mbj_error err;
	struct mbj_buf path;
	const char *why;
	enum mbj_rc rc;

	mbj_buf_init(&path, MBJ_PATH_MAX * 2);
	mbj_tree_path(apply->wanted, node, apply->account.policy.delimiter,
		      &path);
	rc = attributes_fetch(apply->client, mbj_bytes_str(apply->name),
			      mbj_buf_view(&path),
			      strcmp(box->vname, "INBOX") == 0, &found, &there,
			      &err);
	mbj_buf_done(&path);
	if (rc < 0 && err.refusal == MBJ_REFUSAL_NOT_FOUND)
		return 1;
	if (rc < 0)
		return apply_fail(apply, "attributes of mailbox %s: %s",
				  box->vname, err.message);
	if (!mbj_id_equal(found, mbj_tree_get(apply->wanted, node)->id))
		return 1;
	if (attributes_read(box, false, &here, &why) < 0)
		return apply_fail(apply, "%s", why);
	attributes_compare(&here, &there, &changes);
	array_foreach(&changes, change)
		attribute_tell(rows, box->vname, change);
	return 0;
}

/* ------------------------------------------------------------------- run */

static int service_ask(struct verify *verify, const char *socket)
{
	struct apply *apply = &verify->apply;
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	struct mbj_client_status status;
	struct mbj_error err;
	enum mbj_rc rc;

	memset(&status, 0, sizeof(status));
	options.timeout_ms = APPLY_TIMEOUT_MS;
	rc = mbj_client_connect(socket, &options, &apply->client, &err);
	if (rc == MBJ_ENOTFOUND)
		return apply_fail(apply, "nobody listens at %s", socket);
	if (rc == MBJ_OK)
		rc = mbj_client_status(apply->client, &status, &err);
	verify->is_primary = status.identity.role == MBJ_STORE_PRIMARY;
	mbj_client_status_done(&status);
	return rc < 0 ? apply_fail(apply, "%s", err.message) : 0;
}

/*
 * Under the lock: of a change that is under way there is one, too.  A replica
 * has those of its primary that stand, and does not know them from others.
 */
static int intents_look(struct verify *verify)
{
	struct apply *apply = &verify->apply;
	struct mbj_client_intents intents = {.count = 0};
	struct mbj_error err;
	enum mbj_rc rc;

	if (!verify->is_primary)
		return 0;
	if (verify_lock(verify, 0) < 0)
		return -1;
	rc = mbj_client_intents(apply->client, mbj_bytes_str(apply->name),
				&intents, &err);
	verify_unlock(verify);
	if (rc == MBJ_OK && intents.count > 0)
		e_warning(apply->user->event,
			  "mbj: %zu changes are announced whose outcome is not "
			  "told yet: the user's next change tells it",
			  intents.count);
	mbj_client_intents_done(&intents);
	return rc < 0 ? apply_fail(apply, "%s", err.message) : 0;
}

static void verify_run(struct verify *verify, const char *socket)
{
	struct apply *apply = &verify->apply;
	struct verify_rows rows = {
		.pool = pool_alloconly_create("mbj verify", 4096)};
	const char **vnames;

	apply->inbox = mail_namespace_find_inbox(apply->user->namespaces);
	if (service_ask(verify, socket) < 0 || intents_look(verify) < 0 ||
	    names_verify(verify, &rows, &vnames) < 0) {
		pool_unref(&rows.pool);
		return;
	}
	for (uint32_t i = 0; i < mbj_tree_size(apply->wanted); i++) {
		if (vnames[i] == NULL)
			continue;
		T_BEGIN
		{
			if (verify_mailbox(verify, vnames[i], i, &rows) == 0)
				rows_print(verify, &rows);
		}
		T_END;
	}
	pool_unref(&rows.pool);
}

/* --------------------------------------------------------------- command */

static int command_run(struct doveadm_mail_cmd_context *ctx,
		       struct mail_user *user)
{
	struct verify_command *command = (struct verify_command *)ctx;
	struct verify verify = {.apply = {.user = user,
					  .note = {.fd = -1},
					  .is_looking = true},
				.is_quick = command->is_quick};
	const char *socket = command->socket;

	if (socket == NULL)
		socket = mail_user_plugin_getenv(user, "mbj_socket");
	verify.apply.name = mail_user_plugin_getenv(user, "mbj_account");
	if (verify.apply.name == NULL)
		verify.apply.name = user->username;
	if (socket == NULL || socket[0] == '\0')
		(void)apply_fail(&verify.apply,
				 "no service: say --socket, or set "
				 "plugin { mbj_socket }");
	else
		verify_run(&verify, socket);
	mbj_tree_free(&verify.apply.wanted);
	mbj_client_close(&verify.apply.client);
	if (verify.apply.failures > 0) {
		doveadm_mail_failed_error(ctx, MAIL_ERROR_TEMP);
		return -1;
	}
	if (verify.differences > 0 && ctx->exit_code == 0)
		ctx->exit_code = EXIT_DIFFERENT;
	return 0;
}

static bool command_parse(struct doveadm_mail_cmd_context *ctx, int c)
{
	struct verify_command *command = (struct verify_command *)ctx;

	if (c == 'q') {
		command->is_quick = true;
		return true;
	}
	if (c != 's')
		return false;
	command->socket = p_strdup(ctx->pool, optarg);
	return true;
}

static void command_init(struct doveadm_mail_cmd_context *ctx ATTR_UNUSED,
			 const char *const args[] ATTR_UNUSED)
{
	doveadm_print_header_simple("mailbox");
	doveadm_print_header_simple("uid");
	doveadm_print_header_simple("what");
	doveadm_print_header_simple("here");
	doveadm_print_header_simple("journal");
}

static struct doveadm_mail_cmd_context *command_alloc(void)
{
	struct verify_command *command =
		doveadm_mail_cmd_alloc(struct verify_command);

	command->ctx.getopt_args = "qs:";
	command->ctx.v.parse_arg = command_parse;
	command->ctx.v.init = command_init;
	command->ctx.v.run = command_run;
	doveadm_print_init(DOVEADM_PRINT_TYPE_TABLE);
	return &command->ctx;
}

/* clang-format off: Dovecot's macros are no statements. */
const struct doveadm_cmd_ver2 mbj_command_verify = {
	.name = "mbj verify",
	.usage = DOVEADM_CMD_MAIL_USAGE_PREFIX "[-q|--quick] "
					       "[-s|--socket <path>]",
	.mail_cmd = command_alloc,
	DOVEADM_CMD_PARAMS_START DOVEADM_CMD_MAIL_COMMON
		DOVEADM_CMD_PARAM('q', "quick", CMD_PARAM_BOOL, 0)
			DOVEADM_CMD_PARAM('s', "socket", CMD_PARAM_STR, 0)
				DOVEADM_CMD_PARAMS_END};
/* clang-format on */
