/*
 * mbj plan: what an edit would journal, without a store from two lists, or
 * with one from an account's tree to a list.
 */
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/open.h>

#include "cli.h"

enum { PLAN_OUTPUT_MAX = 1 << 30 };

/* One list of a plan without a store. */
struct document {
	struct mbj_buf bytes;
	struct mbj_jmap_list *list;
};

static void document_done(struct document *document)
{
	mbj_jmap_list_free(&document->list);
	mbj_buf_done(&document->bytes);
}

/* Of bytes that were read from path. */
static enum mbj_rc document_parse(const char *path, enum mbj_jmap_mode mode,
				  struct mbj_name_policy policy,
				  const struct mbj_tree *base,
				  struct mbj_jmap_map *map,
				  struct document *ret_document,
				  struct mbj_error *err)
{
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;
	enum mbj_rc rc;

	options.mode = mode;
	options.sys = mbj_sys_posix();
	options.policy = policy;
	options.base = base;
	rc = mbj_jmap_list_parse(mbj_buf_view(&ret_document->bytes), &options,
				 map, &ret_document->list, err);
	if (rc < 0 && strcmp(path, "-") != 0)
		return mbj_error_prefix(err, rc, "%s", path);
	return rc;
}

static enum mbj_rc document_read(const char *path, const struct mbj_tree *base,
				 struct mbj_jmap_map *map,
				 struct document *ret_document,
				 struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = cli_read(path, &ret_document->bytes, err);
	if (rc < 0)
		return rc;
	return document_parse(path, MBJ_JMAP_PLAN, MBJ_NAME_POLICY_DEFAULT,
			      base, map, ret_document, err);
}

static int plan_show(const struct cli_call *call,
		     const struct mbj_jmap_plan *plan)
{
	struct mbj_error err;
	struct mbj_buf out;
	enum mbj_rc rc;

	mbj_buf_init(&out, PLAN_OUTPUT_MAX);
	if (call->options.is_dot)
		rc = mbj_jmap_plan_dot(plan, &out, &err);
	else if (call->options.is_json)
		rc = mbj_jmap_plan_print(plan, &out, &err);
	else
		rc = mbj_jmap_plan_text(plan, &out, &err);
	if (rc == MBJ_OK)
		return cli_write_done(call, &out);
	mbj_buf_done(&out);
	return cli_fail(call, &err);
}

/* Two trees: difference, plan, document. */
static int plan_trees(const struct cli_call *call,
		      const struct mbj_tree *before,
		      const struct mbj_tree *after,
		      const struct mbj_jmap_map *map)
{
	struct mbj_plan_options options = MBJ_PLAN_OPTIONS_DEFAULT;
	struct mbj_jmap_plan *shown = NULL;
	struct mbj_diff diff = {0};
	struct mbj_plan plan = {0};
	struct mbj_error err;
	enum mbj_rc rc;
	int status;

	rc = mbj_jmap_inbox_check(before, after, map, &err);
	if (rc == MBJ_OK)
		rc = mbj_diff_make(before, after, &diff, &err);
	if (rc == MBJ_OK)
		rc = mbj_plan_make(&diff, &options, &plan, &err);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_make(before, after, &diff, &plan, map, '/',
					&shown, &err);
	status = rc < 0 ? cli_fail(call, &err) : plan_show(call, shown);
	mbj_jmap_plan_free(&shown);
	mbj_plan_done(&plan);
	mbj_diff_done(&diff);
	return status;
}

static int plan_documents(const struct cli_call *call)
{
	struct document before = {0};
	struct document after = {0};
	struct mbj_jmap_map *map = NULL;
	const struct mbj_tree *tree = NULL;
	struct mbj_error err;
	enum mbj_rc rc;
	int status;

	rc = mbj_jmap_map_new(mbj_sys_posix(), &map, &err);
	if (rc == MBJ_OK)
		rc = document_read(call->options.before, NULL, map, &before,
				   &err);
	if (rc == MBJ_OK) {
		tree = mbj_jmap_list_tree(before.list);
		rc = document_read(call->options.after, tree, map, &after,
				   &err);
	}
	if (rc < 0)
		status = cli_fail(call, &err);
	else
		status = plan_trees(call, tree, mbj_jmap_list_tree(after.list),
				    map);
	document_done(&after);
	document_done(&before);
	mbj_jmap_map_free(&map);
	return status;
}

/* The account's policy, state and whole tree, for parsing and for drawing. */
static enum mbj_rc account_load(const struct cli_call *call,
				struct mbj_client *client,
				struct mbj_account *ret_account,
				struct mbj_tree **ret_tree,
				struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_client_tree(client, mbj_bytes_str(call->operands[1]),
			     ret_account, ret_tree, err);
	return rc == MBJ_ENOTFOUND ? MBJ_FAILURE(cli_no_account(call, err))
				   : rc;
}

static int plan_account(const struct cli_call *call)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_jmap_plan *shown = NULL;
	struct mbj_jmap_map *map = NULL;
	struct mbj_client *client = NULL;
	struct mbj_tree *tree = NULL;
	struct document after = {0};
	struct mbj_account account;
	struct mbj_error err;
	enum mbj_rc rc;
	int status;

	edit.account = mbj_bytes_str(call->operands[1]);
	edit.is_dry_run = true;
	rc = mbj_jmap_map_new(mbj_sys_posix(), &map, &err);
	/* Before the store is opened: its own tree may be piped in. */
	if (rc == MBJ_OK)
		rc = cli_read(call->options.after, &after.bytes, &err);
	if (rc == MBJ_OK)
		rc = mbj_client_open(call->operands[0], &client, &err);
	if (rc == MBJ_OK)
		rc = account_load(call, client, &account, &tree, &err);
	if (rc == MBJ_OK)
		rc = document_parse(call->options.after, MBJ_JMAP_RECONCILE,
				    account.policy, NULL, map, &after, &err);
	if (rc == MBJ_OK) {
		mbj_jmap_list_fill(after.list, &edit);
		/* The plan is for this tree, whoever else is at work. */
		edit.has_if_in_state = true;
		edit.if_in_state = account.lsn;
		rc = mbj_client_submit(client, &edit, &outcome, &err);
	}
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_load(&outcome, tree,
					account.policy.delimiter, &shown, &err);
	status = rc < 0 ? cli_fail(call, &err) : plan_show(call, shown);
	mbj_jmap_plan_free(&shown);
	mbj_outcome_done(&outcome);
	document_done(&after);
	mbj_tree_free(&tree);
	mbj_jmap_map_free(&map);
	mbj_client_close(&client);
	return status;
}

int verb_plan(const struct cli_call *call)
{
	const struct cli_options *options = &call->options;

	if (options->before && options->after &&
	    strcmp(options->before, "-") == 0 &&
	    strcmp(options->after, "-") == 0) {
		cli_say(call, "--before and --after cannot both be standard "
			      "input");
		return CLI_USAGE;
	}
	if (call->operand_count == 2 && options->after && !options->before)
		return plan_account(call);
	if (call->operand_count == 0 && options->after && options->before)
		return plan_documents(call);
	cli_say(call, "usage: mbj plan --before FILE --after FILE, or mbj plan "
		      "STORE ACCOUNT --after FILE");
	return CLI_USAGE;
}
