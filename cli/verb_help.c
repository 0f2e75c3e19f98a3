/*
 * mbj help and mbj version: texts made from the tables of verbs and options,
 * so that help, man page and completion cannot disagree with the parser.
 */
#include <string.h>

#include <mbj/version.h>

#include "together.h"

enum { HELP_MAX = 256 << 10 };

static void put_option(struct mbj_buf *out, const struct cli_verb *verb,
		       const struct cli_option *option)
{
	char needs[TOGETHER_TEXT_SIZE] = "";
	char left[64];

	(void)snprintf(left, sizeof(left), "%s%c%s--%s%s%s",
		       option->letter ? "-" : "",
		       option->letter ? option->letter : ' ',
		       option->letter ? ", " : "   ", option->word,
		       option->metavar ? " " : "",
		       option->metavar ? option->metavar : "");
	mbj_buf_format(out, "  %-28s %s%s%s\n", left, option->help,
		       together_needs(verb, option, needs) ? "; with " : "",
		       needs);
}

static void put_verb(struct mbj_buf *out, const struct cli_verb *verb)
{
	const struct cli_option *option;

	mbj_buf_format(out, "mbj %s [OPTION...]%s%s\n\n%s.\n", verb->word,
		       verb->operands[0] ? " " : "", verb->operands,
		       verb->summary);
	if (verb->details[0])
		mbj_buf_format(out, "%s\n", verb->details);
	mbj_buf_put_str(out, "\n");
	for (size_t i = 0; (option = cli_option_get(i)); i++) {
		if (cli_option_is_for(option, verb))
			put_option(out, verb, option);
	}
	mbj_buf_format(out, "\nExample:\n  %s\n", verb->example);
}

static void put_overview(struct mbj_buf *out)
{
	const struct cli_verb *verb;

	mbj_buf_put_str(out, "mbj VERB [OPTION...] [OPERAND...]\n\n"
			     "Rename-safe mailbox operation journal and "
			     "replay.\n\n");
	for (size_t i = 0; (verb = cli_verb_get(i)); i++)
		mbj_buf_format(out, "  %-13s %s\n", verb->word, verb->summary);
	mbj_buf_put_str(
		out,
		"\nExit status: 0 ok, 1 failed, 2 usage, 3 refused or "
		"different,\n4 something is parked, left out or not received "
		"in time,\n5 in use, 6 damaged, 75 temporary (no space, no "
		"memory).\n"
		"More: mbj help VERB\n");
}

static void put_completion(struct mbj_buf *out)
{
	const struct cli_option *option;
	const struct cli_verb *verb;

	mbj_buf_put_str(out, "# bash completion for mbj\n_mbj() {\n"
			     "\tlocal word=${COMP_WORDS[COMP_CWORD]} words\n"
			     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then\n"
			     "\t\twords='");
	for (size_t i = 0; (verb = cli_verb_get(i)); i++)
		mbj_buf_format(out, "%s%s", i ? " " : "", verb->word);
	mbj_buf_put_str(out, "'\n\telse case ${COMP_WORDS[1]} in\n");
	for (size_t i = 0; (verb = cli_verb_get(i)); i++) {
		mbj_buf_format(out, "\t%s) words='", verb->word);
		for (size_t j = 0; (option = cli_option_get(j)); j++) {
			if (cli_option_is_for(option, verb))
				mbj_buf_format(out, "--%s ", option->word);
		}
		mbj_buf_put_str(out, "' ;;\n");
	}
	mbj_buf_put_str(out,
			"\tesac; fi\n\tCOMPREPLY=($(compgen -W \"$words\" -- "
			"\"$word\"))\n"
			"\t[[ $word == -* ]] || [ \"$COMP_CWORD\" -eq 1 ] ||\n"
			"\t\tCOMPREPLY=($(compgen -f -- \"$word\"))\n}\n"
			"complete -o filenames -F _mbj mbj\n");
}

/* troff: a backslash is \e, a dash that is typed is \-. */
static void put_troff(struct mbj_buf *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\')
			mbj_buf_put_str(out, "\\e");
		else if (*text == '-')
			mbj_buf_put_str(out, "\\-");
		else
			mbj_buf_put(out, text, 1);
	}
}

static void put_man_option(struct mbj_buf *out, const struct cli_verb *verb,
			   const struct cli_option *option)
{
	char needs[TOGETHER_TEXT_SIZE];

	mbj_buf_put_str(out, ".TP\n.B ");
	if (option->letter)
		mbj_buf_format(out, "\\-%c, ", option->letter);
	put_troff(out, "--");
	put_troff(out, option->word);
	if (option->metavar)
		mbj_buf_format(out, " %s", option->metavar);
	mbj_buf_put_str(out, "\n");
	put_troff(out, option->help);
	if (together_needs(verb, option, needs)) {
		mbj_buf_put_str(out, "; with ");
		put_troff(out, needs);
	}
	mbj_buf_put_str(out, "\n");
}

static void put_man_verb(struct mbj_buf *out, const struct cli_verb *verb)
{
	const struct cli_option *option;

	mbj_buf_put_str(out, ".SS mbj ");
	put_troff(out, verb->word);
	mbj_buf_put_str(out, " ");
	put_troff(out, verb->operands);
	mbj_buf_put_str(out, "\n");
	put_troff(out, verb->summary);
	mbj_buf_put_str(out, ".\n");
	if (verb->details[0]) {
		put_troff(out, verb->details);
		mbj_buf_put_str(out, "\n");
	}
	for (size_t i = 0; (option = cli_option_get(i)); i++) {
		if (cli_option_is_for(option, verb))
			put_man_option(out, verb, option);
	}
	mbj_buf_put_str(out, ".PP\nExample:\n.RS\n.B ");
	put_troff(out, verb->example);
	mbj_buf_put_str(out, "\n.RE\n");
}

static void put_man(struct mbj_buf *out)
{
	static const struct {
		const char *status;
		const char *meaning;
	} statuses[] = {
		{"0", "done, equal"},
		{"1", "failed"},
		{"2", "usage"},
		{"3", "refused for safety, not current, or different"},
		{"4",
		 "partial: something is parked, was left out, or is not received by replicas in time"},
		{"5", "the store is in use by another process"},
		{"6", "damage was found"},
		{"75", "temporary: no space or memory; try again"},
	};
	const struct cli_verb *verb;

	mbj_buf_format(out,
		       ".TH MBJ 1 \"\" \"mbj %s\" \"User Commands\"\n"
		       ".SH NAME\nmbj \\- rename\\-safe mailbox operation "
		       "journal and replay\n.SH SYNOPSIS\n.B mbj\n"
		       "VERB [OPTION...] [OPERAND...]\n.SH VERBS\n",
		       MBJ_VERSION);
	for (size_t i = 0; (verb = cli_verb_get(i)); i++)
		put_man_verb(out, verb);
	mbj_buf_put_str(out, ".SH EXIT STATUS\n");
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
		mbj_buf_format(out, ".TP\n.B %s\n%s\n", statuses[i].status,
			       statuses[i].meaning);
}

int verb_help(const struct cli_call *call)
{
	const char *shell = call->options.completion;
	const struct cli_verb *verb;
	struct mbj_buf out;

	if (shell && strcmp(shell, "bash") != 0) {
		cli_say(call, "--completion knows bash, not \"%s\"", shell);
		return CLI_USAGE;
	}
	if ((shell || call->options.is_man) && call->operand_count > 0) {
		cli_say(call, "--%s is of all verbs, not of \"%s\"",
			shell ? "completion" : "man", call->operands[0]);
		return CLI_USAGE;
	}
	mbj_buf_init(&out, HELP_MAX);
	if (shell) {
		put_completion(&out);
	} else if (call->options.is_man) {
		put_man(&out);
	} else if (call->operand_count == 0) {
		put_overview(&out);
	} else {
		verb = cli_verb_find(call->operands[0]);
		if (!verb) {
			cli_say(call, "there is no verb \"%s\"; see: mbj help",
				call->operands[0]);
			mbj_buf_done(&out);
			return CLI_USAGE;
		}
		put_verb(&out, verb);
	}
	return cli_write_done(call, &out);
}

int verb_version(const struct cli_call *call)
{
	struct mbj_version version;
	struct mbj_buf out;

	mbj_version_get(&version);
	mbj_buf_init(&out, 4096);
	if (call->options.is_json)
		mbj_buf_format(&out,
			       "{\"schema\":\"mbj.version/1\",\"mbj\":\"%s\","
			       "\"journalFormat\":%u,\"berkeleyDB\":\"%s\","
			       "\"icu\":\"%s\"}\n",
			       version.mbj, version.journal_format,
			       version.berkeley_db, version.icu);
	else
		mbj_buf_format(&out,
			       "mbj %s (journal format %u; Berkeley DB %s; ICU "
			       "%s)\n",
			       version.mbj, version.journal_format,
			       version.berkeley_db, version.icu);
	return cli_write_done(call, &out);
}
