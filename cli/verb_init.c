/*
 * mbj init: make a store.
 */
#include <string.h>

#include "cli.h"

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

static int init_report(const struct cli_call *call, const char *dir)
{
	struct mbj_identity identity;
	struct mbj_error err;
	struct mbj_buf out;
	char lineage[MBJ_ID_TEXT_SIZE];
	char instance[MBJ_ID_TEXT_SIZE];

	if (mbj_identity_load(mbj_sys_posix(), dir, &identity, &err) < 0)
		return cli_fail(call, &err);
	mbj_id_print(identity.lineage, lineage);
	mbj_id_print(identity.instance, instance);
	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.init/1\",\"role\":\"%s\","
			       "\"lineage\":%s%s%s,\"instance\":\"%s\"}\n",
			       mbj_store_role_name(identity.role),
			       identity.role == MBJ_STORE_PRIMARY ? "\"" : "",
			       identity.role == MBJ_STORE_PRIMARY ? lineage
								  : "null",
			       identity.role == MBJ_STORE_PRIMARY ? "\"" : "",
			       instance);
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

int verb_init(const struct cli_call *call)
{
	const char *dir = call->operands[0];
	enum mbj_store_role role = MBJ_STORE_PRIMARY;
	struct mbj_error err;
	int status = cli_role_parse(call, &role);

	if (status != CLI_OK)
		return status;
	if (call->options.is_dry_run) {
		if (mbj_store_init_check(dir, NULL, &err) < 0)
			return cli_fail(call, &err);
		return init_report_dry(call, role);
	}
	if (mbj_store_init(dir, role, NULL, &err) < 0)
		return cli_fail(call, &err);
	return init_report(call, dir);
}
