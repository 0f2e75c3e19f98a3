/*
 * mbj keygen: keys and certificates for streams by TLS.
 */
#include <string.h>

#include "cli.h"
#include "number.h"
#include "tls_make.h"

/* What is made, and for what: bits 1 << enum tls_role. */
static const struct {
	const char *word;
	unsigned roles;
} kinds[] = {
	{"ca", 1U << TLS_CA},
	{"source", 1U << TLS_SOURCE},
	{"replica", 1U << TLS_REPLICA},
	{"both", 1U << TLS_SOURCE | 1U << TLS_REPLICA},
};

static int ca_make(const struct cli_call *call, unsigned days)
{
	const char *keys = call->operands[1];
	const char *dir = call->operands[2];
	struct mbj_identity identity;
	struct mbj_error err;

	if (mbj_identity_load(mbj_sys_posix(), dir, &identity, &err) < 0)
		return cli_fail(call, &err);
	if (mbj_id_is_root(identity.lineage)) {
		(void)mbj_error_set(&err, MBJ_EINVALID,
				    "%s has received nothing yet: what store "
				    "it is of is not known",
				    dir);
		return cli_fail(call, &err);
	}
	if (tls_make_ca(keys, identity.lineage, days, &err) < 0)
		return cli_fail(call, &err);
	return CLI_OK;
}

static int host_make(const struct cli_call *call, unsigned roles, unsigned days)
{
	const char *name = call->operands[2];
	struct mbj_error err;

	if (!tls_name_is_good(name)) {
		cli_say(call,
			"a name is at most %d letters, digits, \".\", \"-\" or "
			"\"_\", not \"%.100s\"",
			TLS_NAME_MAX, name);
		return CLI_USAGE;
	}
	if (tls_make_host(call->operands[1], name, roles, days, &err) < 0)
		return cli_fail(call, &err);
	return CLI_OK;
}

int verb_keygen(const struct cli_call *call)
{
	const char *text = call->options.days;
	uint64_t days = TLS_DAYS_USUAL;

	if (text != NULL &&
	    (!number_read(text, TLS_DAYS_MAX, &days) || days == 0)) {
		cli_say(call, "--days wants a number from 1 to %d, not \"%s\"",
			TLS_DAYS_MAX, text);
		return CLI_USAGE;
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(call->operands[0], kinds[i].word) != 0)
			continue;
		return kinds[i].roles == 1U << TLS_CA
			       ? ca_make(call, (unsigned)days)
			       : host_make(call, kinds[i].roles,
					   (unsigned)days);
	}
	cli_say(call, "what is made is ca, source, replica or both, not \"%s\"",
		call->operands[0]);
	return CLI_USAGE;
}
