/*
 * mbj push: an account's mailboxes at an IMAP server; see push.h.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <mbj/open.h>

#include "number.h"
#include "push.h"

enum {
	PUSH_OUTPUT_MAX = 512 << 20,
	PUSH_TEXT_MAX = 4 << 20,
	PUSH_SETTLE_S = 10,
	PUSH_SETTLE_MAX_S = 3600,
};

/* Beside the store, and named by whose mailboxes and which server. */
static enum mbj_rc file_path(struct push *p, struct mbj_bytes target,
			     char path[MBJ_PATH_TEXT_MAX])
{
	const char *store = p->call->operands[0];
	char account[MBJ_ID_TEXT_SIZE];
	size_t n = strlen(store);
	struct stat at;
	int length;

	if (p->call->options.state != NULL) {
		length = snprintf(path, MBJ_PATH_TEXT_MAX, "%s",
				  p->call->options.state);
	} else {
		if (stat(store, &at) < 0 || !S_ISDIR(at.st_mode))
			return mbj_error_set(&p->err, MBJ_EINVALID,
					     "%s is no directory: say by "
					     "--state where the file of this "
					     "push is to be",
					     store);
		while (n > 1 && store[n - 1] == '/')
			n--;
		mbj_id_print(p->account.id, account);
		length = snprintf(path, MBJ_PATH_TEXT_MAX,
				  "%.*s.push-%s-%08" PRIx32, (int)n, store,
				  account, mbj_crc32c(0, target));
	}
	return length > 0 && length < MBJ_PATH_TEXT_MAX
		       ? MBJ_OK
		       : mbj_error_set(&p->err, MBJ_ELIMIT,
				       "the path of the push's file is too "
				       "long");
}

static enum mbj_rc account_read(struct push *p)
{
	enum mbj_rc rc;

	rc = mbj_client_open(p->call->operands[0], &p->client, &p->err);
	if (rc < 0)
		return rc;
	rc = mbj_client_tree(p->client, mbj_bytes_str(p->call->operands[1]),
			     &p->account, &p->wanted, &p->err);
	return rc == MBJ_ENOTFOUND ? cli_no_account(p->call, &p->err) : rc;
}

static enum mbj_rc state_open(struct push *p, struct mbj_buf *target)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t lsn = 0;
	enum mbj_rc rc;

	rc = push_wire_target(p->call->operands[2], target, &p->err);
	if (rc == MBJ_OK)
		rc = file_path(p, mbj_buf_view(target), path);
	if (rc == MBJ_OK)
		rc = push_file_open(path, p->call->options.is_dry_run,
				    mbj_client_identity(p->client)->lineage,
				    p->account.id, mbj_buf_view(target),
				    &p->file, &p->err);
	/* A run that was killed has done a part of it. */
	if (rc == MBJ_OK)
		lsn = p->file.lsn > p->file.pushing ? p->file.lsn
						    : p->file.pushing;
	if (lsn > p->account.lsn.v)
		rc = mbj_error_set(&p->err, MBJ_EFENCED,
				   "the account is at group %" PRIu64
				   ", but what group %" PRIu64
				   " came to was pushed already, or begun to "
				   "be: this store is behind",
				   p->account.lsn.v, lsn);
	return rc;
}

/* NULL: there is none to look for. */
static enum mbj_rc input_check(const char *path, struct mbj_error *err)
{
	struct stat st;
	int code = 0;

	if (path != NULL && stat(path, &st) != 0)
		code = errno;
	else if (path != NULL && S_ISDIR(st.st_mode))
		code = EISDIR;
	return code == 0 ? MBJ_OK
			 : mbj_error_errno(err, code, "cannot open", path);
}

/*
 * Before a file is made for it.  They are not read: whoever gives a password
 * by a pipe gives it once.
 */
static enum mbj_rc login_check(struct push *p)
{
	const struct cli_options *o = &p->call->options;
	enum mbj_rc rc = input_check(o->ca_file, &p->err);

	if (rc == MBJ_OK)
		rc = input_check(o->password_file, &p->err);
	if (rc == MBJ_OK && o->password_file == NULL)
		rc = push_wire_has_secret(&p->err);
	return rc;
}

/* What is known of the server, and is to be there. */
static void plan_done(struct push *p)
{
	mbj_plan_done(&p->plan);
	mbj_diff_done(&p->diff);
	mbj_tree_free(&p->now);
	mbj_tree_free(&p->after);
	mbj_tree_free(&p->before);
	mbj_table_done(&p->by_name);
	mbj_table_done(&p->by_object);
	mbj_arena_free(&p->arena);
	mbj_free(p->seen);
	mbj_free(p->before_seen);
	mbj_free(p->aims);
	mbj_free(p->going);
}

/* Nothing, once more. */
static enum mbj_rc plan_begin(struct push *p)
{
	plan_done(p);
	mbj_table_init(&p->by_name);
	mbj_table_init(&p->by_object);
	p->seen = NULL;
	p->seen_count = p->seen_capacity = 0;
	p->before_seen = NULL;
	p->aims = NULL;
	p->aim_count = p->aim_capacity = 0;
	p->going = NULL;
	p->going_count = p->going_capacity = 0;
	p->silence.rc = MBJ_OK;
	p->is_refused = p->is_again = p->is_halved = false;
	return mbj_arena_new(1 << 30, &p->arena, &p->err);
}

static enum mbj_rc plan_run(struct push *p)
{
	enum mbj_rc rc = push_look(p);

	if (rc == MBJ_OK)
		rc = push_match(p);
	if (rc == MBJ_OK)
		rc = push_trees(p);
	if (rc == MBJ_OK)
		rc = push_lost(p);
	if (rc == MBJ_OK && p->account.lsn.v > p->file.pushing)
		rc = push_file_pushing(&p->file, p->account.lsn.v, &p->err);
	return rc == MBJ_OK ? push_steps(p) : rc;
}

static enum mbj_rc run(struct push *p)
{
	enum mbj_rc rc;

	p->login = (struct push_login){.url = p->call->operands[2],
				       .ca_file = p->call->options.ca_file,
				       .password_file =
					       p->call->options.password_file};
	rc = push_wire_secret(&p->login, &p->err);
	if (rc == MBJ_OK)
		rc = push_wire_open(&p->login, &p->wire, &p->err);
	do {
		if (rc == MBJ_OK)
			rc = plan_begin(p);
		if (rc == MBJ_OK)
			rc = plan_run(p);
	} while (rc == MBJ_OK && p->is_again);
	if (rc == MBJ_OK)
		rc = push_subscribe(p);
	if (rc == MBJ_OK && !p->call->options.is_folders_only)
		rc = push_mail(p);
	if (rc == MBJ_OK)
		rc = push_delete_rest(p);
	if (rc == MBJ_OK)
		rc = push_file_pushed(&p->file, p->account.lsn.v, &p->err);
	return rc;
}

static void report(struct push *p)
{
	const struct push_count *n = &p->count;
	bool is_dry_run = p->call->options.is_dry_run;

	if (p->call->options.is_json) {
		mbj_buf_format(&p->out,
			       "{\"schema\":\"mbj.push/1\",\"state\":\"%" PRIu64
			       "\",\"created\":%" PRIu64 ",\"renamed\":%" PRIu64
			       ",\"deleted\":%" PRIu64 ",\"adopted\":%" PRIu64
			       ",\"subscribed\":%" PRIu64
			       ",\"unsubscribed\":%" PRIu64
			       ",\"appended\":%" PRIu64 ",\"flagged\":%" PRIu64
			       ",\"expunged\":%" PRIu64 ",\"leftOut\":%" PRIu64
			       ",\"dryRun\":%s,\"mailboxes\":[",
			       p->account.lsn.v, n->created, n->renamed,
			       n->deleted, n->adopted, n->subscribed,
			       n->unsubscribed, n->appended, n->flagged,
			       n->expunged, n->left_out,
			       is_dry_run ? "true" : "false");
		mbj_buf_put_bytes(&p->out, mbj_buf_view(&p->boxes));
		mbj_buf_put_str(&p->out, "]}\n");
		return;
	}
	mbj_buf_format(&p->out,
		       "%s group %" PRIu64 ": %" PRIu64 " created, %" PRIu64
		       " renamed, %" PRIu64 " deleted, %" PRIu64
		       " adopted, %" PRIu64 " subscribed, %" PRIu64
		       " unsubscribed, %" PRIu64 " messages appended, %" PRIu64
		       " with other flags, %" PRIu64 " expunged, %" PRIu64
		       " left out\n",
		       is_dry_run ? "would push" : "pushed", p->account.lsn.v,
		       n->created, n->renamed, n->deleted, n->adopted,
		       n->subscribed, n->unsubscribed, n->appended, n->flagged,
		       n->expunged, n->left_out);
}

static enum mbj_rc push_init(struct push *p)
{
	mbj_buf_init(&p->out, PUSH_OUTPUT_MAX);
	mbj_buf_init(&p->boxes, PUSH_OUTPUT_MAX);
	mbj_buf_init(&p->command, PUSH_TEXT_MAX);
	mbj_buf_init(&p->path, PUSH_TEXT_MAX);
	mbj_buf_init(&p->name, PUSH_TEXT_MAX);
	mbj_buf_init(&p->prefix, MBJ_PATH_TEXT_MAX);
	mbj_table_init(&p->by_name);
	mbj_table_init(&p->by_object);
	mbj_table_init(&p->by_out);
	return mbj_utf7_new(&p->utf7, &p->err);
}

static void push_done(struct push *p)
{
	push_wire_close(&p->wire);
	mbj_buf_done(&p->login.secret);
	push_file_close(&p->file);
	plan_done(p);
	mbj_tree_free(&p->wanted);
	mbj_client_close(&p->client);
	mbj_utf7_free(&p->utf7);
	mbj_table_done(&p->by_out);
	mbj_free(p->outs);
	mbj_buf_done(&p->command);
	mbj_buf_done(&p->path);
	mbj_buf_done(&p->name);
	mbj_buf_done(&p->prefix);
	mbj_buf_done(&p->out);
	mbj_buf_done(&p->boxes);
	mbj_free(p->lost);
}

static int verb_run(struct push *p, struct mbj_buf *target)
{
	enum mbj_rc rc = push_init(p);
	int status;

	if (rc == MBJ_OK)
		rc = account_read(p);
	if (rc == MBJ_OK)
		rc = login_check(p);
	if (rc == MBJ_OK)
		rc = state_open(p, target);
	if (rc == MBJ_OK)
		rc = run(p);
	if (rc == MBJ_OK)
		report(p);
	/* What a dry run would do up to there is worth knowing. */
	status = p->out.n > 0 ? cli_write(p->call, mbj_buf_view(&p->out))
			      : CLI_OK;
	if (rc < 0)
		return cli_fail(p->call, &p->err);
	return status == CLI_OK && p->count.left_out > 0 ? CLI_PARTIAL : status;
}

int verb_push(const struct cli_call *call)
{
	const char *settle = call->options.settle;
	uint64_t settle_s = PUSH_SETTLE_S;
	struct mbj_buf target;
	struct mbj_error err;
	struct push *p;
	int status;

	if (settle != NULL &&
	    !number_duration_read(settle, PUSH_SETTLE_MAX_S, &settle_s)) {
		cli_say(call,
			"--settle is to be at most %d seconds, and is not: %s",
			PUSH_SETTLE_MAX_S, settle);
		return CLI_USAGE;
	}
	p = mbj_calloc(1, sizeof(*p));
	if (p == NULL) {
		(void)mbj_error_nomem(&err);
		return cli_fail(call, &err);
	}
	p->call = call;
	p->settle_s = settle_s;
	p->begun_ms = mbj_monotonic_ms();
	mbj_buf_init(&target, MBJ_PATH_TEXT_MAX);
	status = verb_run(p, &target);
	push_done(p);
	mbj_free(p);
	mbj_buf_done(&target);
	return status;
}
