/*
 * The two tables as data, and the parser that obeys them.
 *
 * getopt_long is not used: which options are legal depends on the verb, and
 * the message must say so.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/check.h>

#include "cli.h"
#include "durability.h"
#include "together.h"
#include "verdict.h"

static const struct cli_verb verbs[] = {
#define MBJ_VERB(name, word, run, operands, min, max, summary, details, \
		 example)                                               \
	{CLI_VERB_##name, word,	   run,	   operands, min, max,          \
	 summary,	  details, example},
#include "verbs.def"
#undef MBJ_VERB
};

#define FOR(name) (UINT64_C(1) << CLI_VERB_##name)
static const struct cli_option options[] = {
#define MBJ_OPTION(kind, member, word, letter, metavar, verbs, help) \
	{CLI_##kind, word,  letter,                                  \
	 metavar,    verbs, offsetof(struct cli_options, member),    \
	 help},
#include "options.def"
#undef MBJ_OPTION
};

_Static_assert(CLI_VERB_COUNT <= 64, "option bits are 64");

const struct cli_verb *cli_verb_get(size_t index)
{
	return index < CLI_VERB_COUNT ? &verbs[index] : NULL;
}

const struct cli_verb *cli_verb_find(const char *word)
{
	for (size_t i = 0; i < CLI_VERB_COUNT; i++) {
		if (strcmp(verbs[i].word, word) == 0)
			return &verbs[i];
	}
	return NULL;
}

const struct cli_option *cli_option_get(size_t index)
{
	return index < sizeof(options) / sizeof(*options) ? &options[index]
							  : NULL;
}

bool cli_option_is_for(const struct cli_option *option,
		       const struct cli_verb *verb)
{
	return (option->verbs & UINT64_C(1) << verb->id) != 0;
}

const struct cli_option *cli_option_find(const struct cli_verb *verb,
					 const char *word, size_t n,
					 char letter)
{
	const struct cli_option *option;

	for (size_t i = 0; (option = cli_option_get(i)); i++) {
		if (!cli_option_is_for(option, verb))
			continue;
		if (letter ? option->letter == letter
			   : strlen(option->word) == n &&
				     memcmp(option->word, word, n) == 0)
			return option;
	}
	return NULL;
}

static int option_store(const struct cli_call *call,
			const struct cli_option *option, const char *value,
			struct cli_options *ret_options)
{
	char *at = (char *)ret_options + option->offset;
	unsigned long long number;
	char *end;

	if (option->kind == CLI_FLAG) {
		*(bool *)(void *)at = true;
		return CLI_OK;
	}
	if (option->kind == CLI_TEXT) {
		*(const char **)(void *)at = value;
		return CLI_OK;
	}
	errno = 0;
	number = strtoull(value, &end, 10);
	/* strtoull takes spaces and signs, and negative numbers for large. */
	if (errno != 0 || *end != '\0' || *value < '0' || *value > '9') {
		cli_say(call, "--%s wants a number, not \"%s\"", option->word,
			value);
		return CLI_USAGE;
	}
	if (number == 0 && option->kind == CLI_COUNT) {
		cli_say(call, "--%s wants a %s from 1 on, not \"%s\"",
			option->word,
			strcmp(option->metavar, "LSN") == 0 ? "group,"
							    : "number",
			value);
		return CLI_USAGE;
	}
	*(uint64_t *)(void *)at = number;
	return CLI_OK;
}

/*
 * Empty, as of a variable that is not set, a path would be the root's, and a
 * name the one that is taken without.
 */
static bool option_is_never_empty(const struct cli_option *option)
{
	static const char *const words[] = {"DIR",  "FILE",  "STORE", "PATH",
					    "NAME", "GROUP", "TEXT"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(option->metavar, words[i]) != NULL)
			return true;
	return strcmp(option->word, "exec") == 0;
}

/* One argument that begins with a dash; *at moves over a separate value. */
static int option_take(struct cli_call *call, int argc, char **argv, int *at)
{
	const char *argument = argv[*at];
	bool is_long = argument[1] == '-';
	const char *word = argument + (is_long ? 2 : 1);
	const char *equals = is_long ? strchr(word, '=') : NULL;
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	const char *value = equals ? equals + 1 : NULL;
	const struct cli_option *option;

	option = cli_option_find(call->verb, word, n,
				 is_long || n != 1 ? 0 : word[0]);
	if (!option || (!is_long && n != 1)) {
		cli_say(call, "%s has no option \"%s\"; see: mbj help %s",
			call->verb->word, argument, call->verb->word);
		return CLI_USAGE;
	}
	if (option->kind == CLI_FLAG && value) {
		cli_say(call, "--%s takes no value", option->word);
		return CLI_USAGE;
	}
	if (option->kind != CLI_FLAG && !value) {
		if (*at + 1 >= argc) {
			cli_say(call, "--%s needs a value: %s", option->word,
				option->metavar);
			return CLI_USAGE;
		}
		value = argv[++*at];
	}
	if (option->kind == CLI_TEXT && *value == '\0' &&
	    option_is_never_empty(option)) {
		cli_say(call, "--%s is empty; it wants %s", option->word,
			option->metavar);
		return CLI_USAGE;
	}
	return option_store(call, option, value, &call->options);
}

/* Of the operand with that number: a store, or a directory. */
static bool operand_is_path(const struct cli_verb *verb, size_t i)
{
	enum cli_verb_id id = verb->id;

	if (i == 0)
		return id != CLI_VERB_HELP;
	if (id == CLI_VERB_EXPORT)
		return i == 2;
	/* What is done comes first; of a CA a store is last, else a name. */
	if (id == CLI_VERB_KEYGEN)
		return true;
	if (id == CLI_VERB_ACCOUNT)
		return i == 1;
	return id == CLI_VERB_REPLAY || id == CLI_VERB_VERIFY ||
	       id == CLI_VERB_BACKUP || id == CLI_VERB_RESTORE;
}

/* As of a variable that is not set: see option_is_never_empty. */
static int paths_check(const struct cli_call *call)
{
	for (size_t i = 0; i < call->operand_count; i++) {
		if (call->operands[i][0] != '\0' ||
		    !operand_is_path(call->verb, i))
			continue;
		cli_say(call,
			"operand %zu is empty; usage: mbj %s [OPTION...] %s",
			i + 1, call->verb->word, call->verb->operands);
		return CLI_USAGE;
	}
	return CLI_OK;
}

static int operands_check(const struct cli_call *call)
{
	const struct cli_verb *verb = call->verb;

	if (call->operand_count >= verb->operands_min &&
	    call->operand_count <= verb->operands_max)
		return CLI_OK;
	cli_say(call, "usage: mbj %s [OPTION...]%s%s", verb->word,
		verb->operands[0] ? " " : "", verb->operands);
	return CLI_USAGE;
}

/* "mbj VERB --help", wherever it stands, is "mbj help VERB". */
static int help_verb(struct cli_call *ret_call, char **argv)
{
	memset(&ret_call->options, 0, sizeof(ret_call->options));
	ret_call->verb = &verbs[CLI_VERB_HELP];
	ret_call->operands = (const char *const *)(argv + 1);
	ret_call->operand_count = 1;
	return CLI_OK;
}

int cli_parse(int argc, char **argv, struct cli_call *ret_call)
{
	struct durability durability;
	bool is_literal = false;
	int kept = 2;
	int status;

	if (argc < 2) {
		cli_say(ret_call, "no verb given; see: mbj help");
		return CLI_USAGE;
	}
	ret_call->verb = cli_verb_find(argv[1]);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		ret_call->verb = &verbs[CLI_VERB_HELP];
	if (strcmp(argv[1], "--version") == 0)
		ret_call->verb = &verbs[CLI_VERB_VERSION];
	if (!ret_call->verb) {
		cli_say(ret_call, "there is no verb \"%s\"; see: mbj help",
			argv[1]);
		return CLI_USAGE;
	}
	for (int i = 2; i < argc; i++) {
		if (is_literal || argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[kept++] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			is_literal = true;
		} else if (strcmp(argv[i], "--help") == 0 ||
			   strcmp(argv[i], "-h") == 0) {
			return help_verb(ret_call, argv);
		} else {
			status = option_take(ret_call, argc, argv, &i);
			if (status != CLI_OK)
				return status;
		}
	}
	ret_call->operands = (const char *const *)(argv + 2);
	ret_call->operand_count = (size_t)(kept - 2);
	status = operands_check(ret_call);
	if (status == CLI_OK)
		status = paths_check(ret_call);
	if (status == CLI_OK &&
	    (!together_check(ret_call) || !verdict_options_check(ret_call) ||
	     !durability_read(ret_call, &durability)))
		status = CLI_USAGE;
	return status;
}
