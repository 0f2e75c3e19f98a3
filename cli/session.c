/*
 * One edit of one account from the command line: open, submit, say what became
 * of it.  See session.h.
 */
#include "session.h"

#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/log.h>
#include <mbj/replay.h>
#include <mbj/utf7.h>

enum { EDIT_OUTPUT_MAX = 512 << 20 };

void session_init(struct session *s, const struct cli_call *call)
{
	memset(s, 0, sizeof(*s));
	s->call = call;
	s->edit = MBJ_EDIT_INIT;
	if (call->operand_count > 1)
		s->edit.account = mbj_bytes_str(call->operands[1]);
	s->edit.is_dry_run = call->options.is_dry_run;
	s->edit.is_subscription_kept = call->options.is_subscription_kept;
	s->edit.is_emptying = call->options.is_emptying;
	/* cli_parse has seen to it that they are good. */
	if (!durability_read(call, &s->durability))
		s->durability.replicas = 0;
	mbj_buf_init(&s->out, EDIT_OUTPUT_MAX);
}

static void session_done(struct session *s)
{
	mbj_outcome_done(&s->outcome);
	mbj_client_close(&s->client);
	mbj_buf_done(&s->input);
	mbj_buf_done(&s->out);
}

enum mbj_rc session_request(struct session *s)
{
	const char *text = s->call->options.request_id;

	if (text == NULL)
		return MBJ_OK;
	return mbj_request_id_make(mbj_bytes_str(text), &s->edit.request,
				   &s->err);
}

enum mbj_rc session_open(struct session *s)
{
	enum mbj_rc rc = session_request(s);

	if (rc < 0)
		return rc;
	return mbj_client_open(s->call->operands[0], &s->client, &s->err);
}

/* Where most verbs would go to a service. */
static enum mbj_rc store_taken(struct session *s)
{
	const struct mbj_error why = s->err;

	return mbj_error_set(&s->err, MBJ_EBUSY,
			     "%s; this goes through no service: stop mbj serve "
			     "first",
			     why.message);
}

enum mbj_rc session_open_store(struct session *s)
{
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = mbj_replica_open(s->call->operands[0], NULL, &store, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_client_take(store, &s->client, &s->err);
	if (rc < 0)
		mbj_store_close(&store);
	else
		s->store = store;
	return rc == MBJ_EBUSY ? store_taken(s) : rc;
}

/* The account as it stands, for its policy and its id. */
enum mbj_rc session_account(struct session *s,
			    struct mbj_name_policy *ret_policy,
			    struct mbj_id *ret_id)
{
	struct mbj_account account;
	enum mbj_rc rc;

	rc = mbj_client_account(s->client, s->edit.account, &account, &s->err);
	if (rc == MBJ_OK) {
		*ret_policy = account.policy;
		*ret_id = account.id;
	} else if (rc == MBJ_ENOTFOUND) {
		rc = cli_no_account(s->call, &s->err);
	}
	return rc;
}

enum mbj_rc session_path(struct session *s, const char *path,
			 struct mbj_buf *ret_utf8)
{
	struct mbj_utf7 *utf7 = NULL;
	enum mbj_rc rc;

	if (!s->call->options.is_utf7) {
		mbj_buf_put_str(ret_utf8, path);
		return mbj_buf_ok(ret_utf8, &s->err);
	}
	rc = mbj_utf7_new(&utf7, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_utf7_decode(utf7, mbj_bytes_str(path), ret_utf8,
				     &s->err);
	mbj_utf7_free(&utf7);
	return rc;
}

int session_policy(const struct cli_call *call, struct mbj_name_policy *policy)
{
	const char *delimiter = call->options.delimiter;

	policy->is_folding = call->options.is_folding;
	if (!delimiter)
		return CLI_OK;
	if (strcmp(delimiter, "/") != 0 && strcmp(delimiter, ".") != 0) {
		cli_say(call, "--delimiter is / or ., not \"%s\"", delimiter);
		return CLI_USAGE;
	}
	policy->delimiter = delimiter[0];
	return CLI_OK;
}

enum mbj_rc session_policy_take(struct session *s,
				const struct mbj_account *account)
{
	const struct cli_options *options = &s->call->options;
	const char *other = NULL;

	if (options->is_folding && !account->policy.is_folding)
		other = "--fold-case";
	else if (options->delimiter != NULL &&
		 options->delimiter[0] != account->policy.delimiter)
		other = "--delimiter";
	s->edit.policy = account->policy;
	if (other == NULL)
		return MBJ_OK;
	return mbj_error_refuse(&s->err, MBJ_REFUSAL_INVALID_ARGUMENTS,
				"account", s->call->operands[1],
				"%s: account \"%.100s\" is there, and was made "
				"otherwise, which stays",
				other, s->call->operands[1]);
}

enum mbj_rc session_mailbox(struct session *s, const char *path,
			    const char *uids, struct mbj_place *ret_place)
{
	bool is_last_wanted = uids != NULL && strchr(uids, '*') != NULL;
	struct mbj_buf utf8;
	enum mbj_rc rc;

	mbj_buf_init(&utf8, 4 * MBJ_PATH_MAX);
	rc = session_path(s, path, &utf8);
	if (rc == MBJ_OK)
		rc = mbj_client_mailbox(s->client, s->edit.account,
					mbj_buf_view(&utf8), is_last_wanted,
					ret_place, &s->err);
	if (rc == MBJ_ENOTFOUND)
		rc = s->err.refusal == MBJ_REFUSAL_ACCOUNT_NOT_FOUND
			     ? cli_no_account(s->call, &s->err)
			     : cli_no_mailbox(path, &s->err);
	mbj_buf_done(&utf8);
	return rc;
}

enum mbj_rc session_uids(struct session *s, const char *text,
			 const struct mbj_place *place,
			 struct mbj_buf *ret_uids)
{
	enum mbj_rc rc;

	rc = mbj_uids_parse(mbj_bytes_str(text), place->last_uid, ret_uids,
			    &s->err);
	if (rc != MBJ_EINVALID)
		return rc;
	return mbj_error_refuse(&s->err, MBJ_REFUSAL_INVALID_ARGUMENTS, "uids",
				text,
				"a set of UIDs is written like 1:4,7,9:*, not "
				"\"%.100s\"",
				text);
}

/* The account's tree, from which lines get their paths; empty for import. */
static enum mbj_rc session_tree(struct session *s, struct mbj_tree **ret_tree,
				char *ret_delimiter)
{
	struct mbj_account account;
	uint64_t seed;
	enum mbj_rc rc;

	rc = mbj_client_tree(s->client, s->edit.account, &account, ret_tree,
			     &s->err);
	if (rc == MBJ_ENOTFOUND) {
		*ret_delimiter = s->edit.policy.delimiter;
		/* The id to be is random, and nobody's to choose. */
		memcpy(&seed, s->outcome.account.b, sizeof(seed));
		return mbj_tree_new(seed, ret_tree, &s->err);
	}
	if (rc < 0)
		return rc;
	*ret_delimiter = account.policy.delimiter;
	/* Others may have been there between the plan and this. */
	if (account.lsn.v != s->outcome.old_state.v)
		return mbj_error_set(&s->err, MBJ_ECONFLICT,
				     "the account was changed meanwhile: try "
				     "again");
	return MBJ_OK;
}

/* A dry run prints what would be journaled: for people, with paths. */
enum mbj_rc session_put_plan(struct session *s)
{
	bool is_json = s->call->options.is_json;
	struct mbj_jmap_plan *plan = NULL;
	struct mbj_tree *before = NULL;
	char delimiter = '/';
	enum mbj_rc rc = MBJ_OK;

	if (!is_json)
		rc = session_tree(s, &before, &delimiter);
	if (rc == MBJ_OK)
		rc = mbj_jmap_plan_load(&s->outcome, before, delimiter, &plan,
					&s->err);
	if (rc == MBJ_OK && s->set != NULL)
		mbj_jmap_plan_refusals(plan, s->set, &s->outcome);
	if (rc == MBJ_OK && is_json)
		rc = mbj_jmap_plan_print(plan, &s->out, &s->err);
	else if (rc == MBJ_OK)
		rc = mbj_jmap_plan_text(plan, &s->out, &s->err);
	mbj_jmap_plan_free(&plan);
	mbj_tree_free(&before);
	return rc;
}

/* What became of intents, where the edit has a stage. */
static void session_put_intents(struct session *s)
{
	const struct mbj_outcome *outcome = &s->outcome;
	bool is_json = s->call->options.is_json;
	char id[MBJ_ID_TEXT_SIZE];

	mbj_id_print(outcome->intent, id);
	if (s->edit.stage == MBJ_STAGE_RESOLVE && is_json)
		mbj_buf_format(&s->out,
			       ",\"intentsClosed\":%" PRIu64
			       ",\"intentsLeft\":%" PRIu64,
			       outcome->intents_closed, outcome->intents_left);
	else if (s->edit.stage == MBJ_STAGE_RESOLVE)
		mbj_buf_format(&s->out,
			       "%" PRIu64 " intents closed, %" PRIu64 " left\n",
			       outcome->intents_closed, outcome->intents_left);
	else if (s->edit.stage != MBJ_STAGE_NONE && is_json)
		mbj_buf_format(&s->out, ",\"id\":\"%s\"", id);
	else if (s->edit.stage == MBJ_STAGE_INTENT)
		mbj_buf_format(&s->out, "intent %s is open\n", id);
}

/* What rename and reconcile print: the group, in a line or an object. */
enum mbj_rc session_put_group(struct session *s)
{
	const struct mbj_outcome *outcome = &s->outcome;
	struct mbj_group group;
	uint32_t ops = 0;
	enum mbj_rc rc;

	if (outcome->record.n > 0) {
		rc = mbj_group_parse(mbj_buf_view(&outcome->record), &group,
				     &s->err);
		if (rc < 0)
			return rc;
		ops = group.header.op_count;
	}
	if (s->call->options.is_json)
		mbj_buf_format(
			&s->out,
			"{\"schema\":\"mbj.%s/1\",\"oldState\":\"%" PRIu64
			"\",\"newState\":\"%" PRIu64
			"\",\"primitives\":%" PRIu32
			",\"lowerBound\":%zu,\"parks\":%zu,"
			"\"proven\":%s",
			s->call->verb->word, outcome->old_state.v,
			outcome->new_state.v, ops, outcome->lower_bound,
			outcome->parks, outcome->is_proven ? "true" : "false");
	else if (outcome->lsn.v == 0)
		mbj_buf_put_str(&s->out, "nothing to do\n");
	else
		mbj_buf_format(&s->out,
			       "group %" PRIu64 ": %" PRIu32
			       " primitives, %zu parked\n",
			       outcome->lsn.v, ops, outcome->parks);
	session_put_intents(s);
	if (s->call->options.is_json)
		mbj_buf_put_str(&s->out, "}\n");
	return mbj_buf_ok(&s->out, &s->err);
}

int session_end(struct session *s, enum mbj_rc rc)
{
	int status;

	if (rc < 0)
		status = cli_fail(s->call, &s->err);
	else
		status = cli_write(s->call, mbj_buf_view(&s->out));
	/* The answer is lost, the deed is not: say so, or it is tried again. */
	if (rc == MBJ_OK && status != CLI_OK && s->outcome.lsn.v > 0 &&
	    !s->edit.is_dry_run)
		cli_say(s->call,
			"the edit is done all the same: group %" PRIu64,
			s->outcome.lsn.v);
	if (status == CLI_OK && s->is_unreceived)
		status = CLI_PARTIAL;
	session_done(s);
	return status;
}

/*
 * Of one that changed nothing, the state that it found is to be there.  The
 * edit is done in any case, and what it came to is printed.
 */
static void session_wait(struct session *s)
{
	struct mbj_lsn lsn =
		s->outcome.lsn.v > 0 ? s->outcome.lsn : s->outcome.new_state;
	enum mbj_rc rc;

	if (s->durability.replicas == 0 || s->edit.is_dry_run || lsn.v == 0)
		return;
	rc = mbj_client_received(s->client, lsn, s->durability.replicas,
				 s->durability.wait_ms, NULL, &s->err);
	s->is_unreceived = rc < 0;
	if (rc == MBJ_EUNRECEIVED)
		cli_say(s->call, "%s", s->err.message);
	else if (rc < 0)
		cli_say(s->call,
			"group %" PRIu64 " is durable here, whether replicas "
			"have received it is not known: %s",
			lsn.v, s->err.message);
}

/* What is said of a request by its id is said by what was asked for, too. */
static void request_say(struct session *s)
{
	const char *text = s->call->options.request_id;
	char id[MBJ_ID_TEXT_SIZE];

	if (text == NULL)
		return;
	mbj_id_print(s->edit.request, id);
	if (strstr(s->err.message, id) != NULL)
		(void)mbj_error_prefix(&s->err, s->err.rc,
				       "--request-id %.200s", text);
}

/* Where the verb has the option, whoever is refused for mail hears of it. */
static enum mbj_rc emptying_say(struct session *s)
{
	const struct mbj_error why = s->err;

	if (why.refusal != MBJ_REFUSAL_HAS_EMAIL || s->edit.is_emptying ||
	    cli_option_find(s->call->verb, "remove-messages", 15, 0) == NULL)
		return why.rc;
	return mbj_error_refuse(&s->err, why.refusal, why.subject_kind,
				why.subject,
				"%s; --remove-messages deletes them, too",
				why.message);
}

static enum mbj_rc session_submitted(struct session *s, enum mbj_rc rc)
{
	if (rc == MBJ_OK)
		session_wait(s);
	if (rc == MBJ_ENOTFOUND &&
	    s->err.refusal == MBJ_REFUSAL_ACCOUNT_NOT_FOUND)
		rc = cli_no_account(s->call, &s->err);
	if (rc < 0) {
		rc = emptying_say(s);
		request_say(s);
	}
	return rc;
}

enum mbj_rc session_submit(struct session *s)
{
	return session_submitted(s, mbj_client_submit(s->client, &s->edit,
						      &s->outcome, &s->err));
}

enum mbj_rc session_submit_body(struct session *s,
				struct mbj_body_writer **body)
{
	return session_submitted(s, mbj_body_submit(body, &s->edit, &s->outcome,
						    &s->err));
}

/* Of a dry run: what would be journaled, primitive by primitive. */
static enum mbj_rc session_put_ops(struct session *s)
{
	struct mbj_reader reader;
	struct mbj_group group;
	struct mbj_op op;
	enum mbj_rc rc;

	if (s->outcome.record.n == 0) {
		mbj_buf_put_str(&s->out, "nothing to do\n");
		return mbj_buf_ok(&s->out, &s->err);
	}
	rc = mbj_group_parse(mbj_buf_view(&s->outcome.record), &group, &s->err);
	if (rc < 0)
		return rc;
	mbj_reader_init(&reader, group.body);
	while ((rc = mbj_group_op_next(&group, &reader, &op, &s->err)) ==
	       MBJ_OK) {
		mbj_op_print(&s->out, &op);
		mbj_buf_put_str(&s->out, "\n");
	}
	return rc == MBJ_ENOTFOUND ? mbj_buf_ok(&s->out, &s->err) : rc;
}

enum mbj_rc session_run(struct session *s)
{
	enum mbj_rc rc = session_submit(s);

	if (rc < 0)
		return rc;
	if (!s->edit.is_dry_run)
		return session_put_group(s);
	return s->call->options.is_json ? session_put_plan(s)
					: session_put_ops(s);
}
