/*
 * mbj init: make a store.
 */
#include <string.h>

#include <mbj/replay.h>
#include <mbj/trim.h>

#include "cli.h"
#include "number.h"

int cli_role_parse(const struct cli_call *call, enum mbj_store_role *role)
{
	const char *word = call->options.role;

	if (word == NULL)
		return CLI_OK;
#define X(name, number, text)             \
	if (strcmp(word, text) == 0) {    \
		*role = MBJ_STORE_##name; \
		return CLI_OK;            \
	}
	MBJ_STORE_ROLE_MAP(X)
#undef X
	cli_say(call, "--role is primary or replica, not \"%s\"", word);
	return CLI_USAGE;
}

int cli_contents_take(const struct cli_call *call, const char *dir,
		      struct mbj_store_options *options)
{
	unsigned level = 0;

	if (call->options.contents == NULL)
		return CLI_OK;
	if (!number_level_read(call, "--contents", call->options.contents,
			       &options->contents_level))
		return CLI_USAGE;
	/* What else may be wrong with it, whoever makes or opens it says. */
	if (mbj_store_contents_load(NULL, dir, &level, NULL) < 0 ||
	    level == options->contents_level)
		return CLI_OK;
	cli_say(call,
		"--contents %s: %s is there, and was made otherwise, which "
		"stays",
		call->options.contents, dir);
	return CLI_USAGE;
}

static int init_report(const struct cli_call *call, const char *dir)
{
	struct mbj_identity identity;
	struct mbj_error err;
	struct mbj_buf out;
	char lineage[MBJ_ID_TEXT_SIZE];
	char instance[MBJ_ID_TEXT_SIZE];
	const char *quote;
	bool is_anybody;

	if (mbj_identity_load(mbj_sys_posix(), dir, &identity, &err) < 0)
		return cli_fail(call, &err);
	is_anybody = !mbj_id_is_root(identity.lineage);
	quote = is_anybody ? "\"" : "";
	mbj_id_print(identity.lineage, lineage);
	mbj_id_print(identity.instance, instance);
	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.init/1\",\"role\":\"%s\","
			       "\"lineage\":%s%s%s,\"instance\":\"%s\"}\n",
			       mbj_store_role_name(identity.role), quote,
			       is_anybody ? lineage : "null", quote, instance);
	else
		mbj_buf_format(&out, "%s store, instance %s\n",
			       mbj_store_role_name(identity.role), instance);
	return cli_write_done(call, &out);
}

static int init_report_dry(const struct cli_call *call,
			   enum mbj_store_role role)
{
	struct mbj_buf out;

	mbj_buf_init(&out, 4096);
	mbj_buf_format(&out,
		       call->options.is_json
			       ? "{\"schema\":\"mbj.init/1\",\"role\":\"%s\","
				 "\"lineage\":null,\"instance\":null}\n"
			       : "would make a %s store\n",
		       mbj_store_role_name(role));
	return cli_write_done(call, &out);
}

/* It is there, and has a snapshot; what it is worth shows when it is read. */
static enum mbj_rc source_check(const char *source, struct mbj_error *err)
{
	struct mbj_identity identity;
	struct mbj_lsn *lsns = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_identity_load(mbj_sys_posix(), source, &identity, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshots_list(mbj_sys_posix(), source, &lsns, &count,
					err);
	mbj_free(lsns);
	if (rc < 0 || count > 0)
		return rc;
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s has no snapshot: \"mbj snapshot\" makes one",
			     source);
}

int verb_init(const struct cli_call *call)
{
	const char *dir = call->operands[0];
	const char *source = call->options.from_snapshot;
	enum mbj_store_role role =
		source == NULL ? MBJ_STORE_PRIMARY : MBJ_STORE_REPLICA;
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	struct mbj_error err;
	struct mbj_lsn lsn;
	int status = cli_role_parse(call, &role);

	if (status == CLI_OK)
		status = cli_contents_take(call, dir, &options);
	if (status != CLI_OK)
		return status;
	if (source != NULL && role != MBJ_STORE_REPLICA) {
		cli_say(call, "--from-snapshot makes a replica");
		return CLI_USAGE;
	}
	if (call->options.is_dry_run) {
		if (mbj_store_init_check(dir, NULL, &err) < 0 ||
		    (source != NULL && source_check(source, &err) < 0))
			return cli_fail(call, &err);
		return init_report_dry(call, role);
	}
	if (source != NULL &&
	    mbj_replica_init(dir, source, &options, &lsn, &err) < 0)
		return cli_fail(call, &err);
	if (source == NULL && mbj_store_init(dir, role, &options, &err) < 0)
		return cli_fail(call, &err);
	return init_report(call, dir);
}
