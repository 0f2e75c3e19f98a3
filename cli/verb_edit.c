/*
 * The verbs that change an account: import, set, rename, reconcile.
 *
 * Each reads its document, fills a struct mbj_edit, submits it and prints what
 * became of it; -n does the same as a dry run and prints the plan.
 */
#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>
#include <mbj/utf7.h>

#include "mail.h"

/*
 * Parse the list that was read, for mode.  Reading comes before any store is
 * opened: nobody waits for a lock while somebody types, and the tree of the
 * same store can be piped in.
 */
static enum mbj_rc list_parse(struct session *s, enum mbj_jmap_mode mode,
			      struct mbj_name_policy policy,
			      struct mbj_jmap_map **ret_map,
			      struct mbj_jmap_list **ret_list)
{
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;
	enum mbj_rc rc;

	options.mode = mode;
	options.sys = mbj_sys_posix();
	options.policy = policy;
	options.is_server_state = s->call->options.is_resolve;
	rc = mbj_jmap_map_new(options.sys, ret_map, &s->err);
	if (rc < 0)
		return rc;
	rc = mbj_jmap_list_parse(mbj_buf_view(&s->input), &options, *ret_map,
				 ret_list, &s->err);
	if (rc < 0)
		return rc;
	mbj_jmap_list_fill(*ret_list, &s->edit);
	return MBJ_OK;
}

int verb_import(const struct cli_call *call)
{
	struct mbj_name_policy policy = MBJ_NAME_POLICY_DEFAULT;
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_map *map = NULL;
	struct session s;
	enum mbj_rc rc;
	int status;

	status = session_policy(call, &policy);
	if (status != CLI_OK)
		return status;
	if (call->operand_count > 2 && !call->options.mbox) {
		cli_say(call, "a mailbox is named for --mbox alone");
		return CLI_USAGE;
	}
	if (call->options.maildir)
		return mail_import_maildir(call, &policy);
	if (call->options.mbox)
		return mail_import_mbox(call, &policy);
	session_init(&s, call);
	rc = cli_read("-", &s.input, &s.err);
	if (rc == MBJ_OK)
		rc = list_parse(&s, MBJ_JMAP_IMPORT, policy, &map, &list);
	if (rc == MBJ_OK)
		rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_submit(&s);
	if (rc == MBJ_OK && call->options.is_dry_run)
		rc = session_put_plan(&s);
	else if (rc == MBJ_OK)
		rc = mbj_jmap_import_print(list, &s.outcome, &s.out, &s.err);
	if (rc == MBJ_OK && !mbj_id_is_root(s.outcome.inbox))
		cli_say(call, "the list has no INBOX: %s one",
			call->options.is_dry_run ? "would create" : "created");
	mbj_jmap_list_free(&list);
	mbj_jmap_map_free(&map);
	return session_end(&s, rc);
}

int verb_reconcile(const struct cli_call *call)
{
	struct mbj_name_policy policy = MBJ_NAME_POLICY_DEFAULT;
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_map *map = NULL;
	struct mbj_id account;
	struct session s;
	uint64_t left;
	enum mbj_rc rc;
	int status;

	/* An older list would close what was announced since. */
	if (call->options.is_resolve && call->options.as_of == 0) {
		cli_say(call, "--resolve takes --as-of STATE: the account's "
			      "state, read before the list");
		return CLI_USAGE;
	}
	session_init(&s, call);
	rc = cli_read("-", &s.input, &s.err);
	if (rc == MBJ_OK)
		rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_account(&s, &policy, &account);
	if (rc == MBJ_OK)
		rc = list_parse(&s, MBJ_JMAP_RECONCILE, policy, &map, &list);
	if (call->options.is_resolve) {
		s.edit.stage = MBJ_STAGE_RESOLVE;
		s.edit.origin = MBJ_ORIGIN_RECONCILE;
	}
	s.edit.has_if_in_state = call->options.as_of > 0;
	s.edit.if_in_state.v = call->options.as_of;
	if (rc == MBJ_OK)
		rc = session_submit(&s);
	if (rc == MBJ_OK)
		rc = call->options.is_dry_run ? session_put_plan(&s)
					      : session_put_group(&s);
	mbj_jmap_list_free(&list);
	mbj_jmap_map_free(&map);
	left = s.outcome.intents_left;
	status = session_end(&s, rc);
	if (status != CLI_OK || left == 0)
		return status;
	cli_say(call, "%" PRIu64 " %s not to be told from a list of mailboxes",
		left, left == 1 ? "intent is" : "intents are");
	return CLI_PARTIAL;
}

enum mbj_rc session_set(struct session *s, struct mbj_jmap_set **set,
			struct mbj_id *ret_account)
{
	struct mbj_request_sys request_sys;
	struct mbj_name_policy policy;
	enum mbj_rc rc;

	rc = cli_read("-", &s->input, &s->err);
	if (rc == MBJ_OK)
		rc = session_request(s);
	if (rc < 0)
		return rc;
	/* Asked again, it creates mailboxes of the same ids. */
	mbj_request_sys_init(&request_sys, s->edit.request);
	rc = mbj_jmap_set_parse(mbj_buf_view(&s->input), MBJ_JMAP_INPUT_MAX,
				s->call->options.request_id ? &request_sys.table
							    : mbj_sys_posix(),
				set, &s->err);
	if (rc < 0)
		return rc;
	rc = session_open(s);
	if (rc < 0)
		return rc;
	rc = session_account(s, &policy, ret_account);
	if (rc < 0)
		return rc;
	rc = mbj_jmap_set_account_check(*set, s->edit.account, *ret_account,
					&s->err);
	if (rc == MBJ_OK)
		mbj_jmap_set_fill(*set, &s->edit);
	return rc;
}

/* Submit and print the response; *ret_refused counts what was not done. */
static enum mbj_rc set_run(struct session *s, struct mbj_jmap_set **set,
			   size_t *ret_refused)
{
	char text[MBJ_ID_TEXT_SIZE];
	struct mbj_id account;
	enum mbj_rc rc;

	rc = session_set(s, set, &account);
	if (rc == MBJ_OK)
		rc = session_submit(s);
	if (rc < 0)
		return rc;
	*ret_refused =
		s->outcome.refused_count + mbj_jmap_set_refused_count(*set);
	if (*ret_refused > 0)
		s->set = *set;
	if (s->edit.is_dry_run)
		return session_put_plan(s);
	mbj_id_print(account, text);
	return mbj_jmap_set_print(*set, mbj_bytes_str(text), &s->outcome,
				  &s->out, &s->err);
}

int verb_set(const struct cli_call *call)
{
	struct mbj_jmap_set *set = NULL;
	size_t refused = 0;
	struct session s;
	enum mbj_rc rc;
	int status;

	session_init(&s, call);
	rc = set_run(&s, &set, &refused);
	if (rc == MBJ_OK && refused > 0)
		cli_say(call, "%zu of the changes %s refused; the %s says why",
			refused, refused == 1 ? "was" : "were",
			call->options.is_dry_run ? "plan" : "response");
	mbj_jmap_set_free(&set);
	status = session_end(&s, rc);
	return status == CLI_OK && refused > 0 ? CLI_REFUSED : status;
}

/*
 * "SOURCE>TARGET" with \> and \\ for the two characters themselves: unescaped
 * in place in text.  False where there is not exactly one bare >.
 */
static bool rename_split(char *text, struct mbj_rename *ret_rename)
{
	char *to = text;
	char *middle = NULL;

	for (const char *from = text; *from; from++) {
		if (from[0] == '\\' && (from[1] == '>' || from[1] == '\\')) {
			*to++ = *++from;
		} else if (*from == '>') {
			if (middle)
				return false;
			middle = to;
		} else {
			*to++ = *from;
		}
	}
	if (!middle)
		return false;
	ret_rename->source = mbj_bytes_make(text, (size_t)(middle - text));
	ret_rename->target = mbj_bytes_make(middle, (size_t)(to - middle));
	return true;
}

static enum mbj_rc path_from_utf7(struct mbj_utf7 *utf7,
				  struct mbj_arena *arena,
				  struct mbj_bytes *path, struct mbj_error *err)
{
	struct mbj_buf utf8;
	enum mbj_rc rc;

	mbj_buf_init(&utf8, 4 * MBJ_PATH_MAX);
	rc = mbj_utf7_decode(utf7, *path, &utf8, err);
	if (rc == MBJ_OK && !mbj_arena_dup(arena, mbj_buf_view(&utf8), path))
		rc = mbj_error_nomem(err);
	mbj_buf_done(&utf8);
	return rc;
}

/* One operand into one rename, all its bytes in arena. */
static enum mbj_rc rename_read(const struct cli_call *call, const char *operand,
			       struct mbj_arena *arena, struct mbj_utf7 *utf7,
			       struct mbj_rename *ret_rename,
			       struct mbj_error *err)
{
	size_t n = strlen(operand);
	char *text = mbj_arena_alloc(arena, n + 1);
	enum mbj_rc rc;

	if (!text)
		return mbj_error_nomem(err);
	memcpy(text, operand, n + 1);
	if (!rename_split(text, ret_rename))
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					"rename", operand,
					"a rename is SOURCE>TARGET with one "
					"bare >, not \"%.100s\"",
					operand);
	if (ret_rename->source.n == 0 || ret_rename->target.n == 0)
		return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_ARGUMENTS,
					"rename", operand,
					"a rename is SOURCE>TARGET, and one of "
					"the two is empty in \"%.100s\"",
					operand);
	if (!call->options.is_utf7)
		return MBJ_OK;
	rc = path_from_utf7(utf7, arena, &ret_rename->source, err);
	if (rc < 0)
		return rc;
	return path_from_utf7(utf7, arena, &ret_rename->target, err);
}

enum mbj_rc session_renames(struct session *s, struct mbj_arena **ret_arena)
{
	size_t count = s->call->operand_count - 2;
	struct mbj_rename *renames = NULL;
	struct mbj_utf7 *utf7 = NULL;
	enum mbj_rc rc;

	rc = mbj_arena_new(256 << 20, ret_arena, &s->err);
	if (rc == MBJ_OK)
		rc = mbj_utf7_new(&utf7, &s->err);
	if (rc == MBJ_OK) {
		renames = mbj_arena_alloc(*ret_arena, count * sizeof(*renames));
		if (!renames)
			rc = mbj_error_nomem(&s->err);
	}
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = rename_read(s->call, s->call->operands[i + 2], *ret_arena,
				 utf7, &renames[i], &s->err);
	s->edit.kind = MBJ_EDIT_RENAME;
	s->edit.renames = renames;
	s->edit.rename_count = count;
	mbj_utf7_free(&utf7);
	return rc;
}

int verb_rename(const struct cli_call *call)
{
	struct mbj_arena *arena = NULL;
	struct mbj_name_policy policy;
	struct mbj_id account;
	struct session s;
	enum mbj_rc rc;

	session_init(&s, call);
	rc = session_renames(&s, &arena);
	if (rc == MBJ_OK)
		rc = session_open(&s);
	if (rc == MBJ_OK)
		rc = session_account(&s, &policy, &account);
	if (rc == MBJ_OK)
		rc = session_submit(&s);
	if (rc == MBJ_OK)
		rc = call->options.is_dry_run ? session_put_plan(&s)
					      : session_put_group(&s);
	mbj_arena_free(&arena);
	return session_end(&s, rc);
}
