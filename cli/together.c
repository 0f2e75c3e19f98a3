/*
 * See together.h.
 */
#include "together.h"

#include <string.h>

#include <mbj/check.h>

#define FOR(name) (UINT64_C(1) << CLI_VERB_##name)
static const struct rule {
	bool is_need;
	uint64_t verbs;
	const char *words;
	const char *others;
	const char *rest;
} rules[] = {
#define MBJ_NEEDS(verbs, words, others, rest) \
	{true, verbs, words, others, rest},
#define MBJ_EXCLUDES(verbs, words, others, rest) \
	{false, verbs, words, others, rest},
#include "together.def"
#undef MBJ_NEEDS
#undef MBJ_EXCLUDES
};

/* The value of a text, "" of another option; NULL: it was not given. */
static const char *value_get(const struct cli_call *call,
			     const struct cli_option *option)
{
	const char *at = (const char *)&call->options + option->offset;

	if (option->kind == CLI_TEXT)
		return *(const char *const *)(const void *)at;
	if (option->kind == CLI_FLAG)
		return *(const bool *)(const void *)at ? "" : NULL;
	return *(const uint64_t *)(const void *)at != 0 ? "" : NULL;
}

/* Of the word that a list begins with. */
static bool is_given(const struct cli_call *call, const char *word)
{
	size_t n = strcspn(word, "= ");
	const struct cli_option *option =
		cli_option_find(call->verb, word, n, 0);
	const char *value;

	MBJ_ASSERT(option != NULL);
	value = value_get(call, option);
	if (value == NULL || word[n] != '=')
		return value != NULL;
	word += n + 1;
	return strncmp(value, word, strcspn(word, ":") + 1) == 0;
}

static const char *word_next(const char *word)
{
	word += strcspn(word, " ");
	return word + strspn(word, " ");
}

/* The first one of a list that was given, or NULL. */
static const char *given_find(const struct cli_call *call, const char *word)
{
	for (; *word != '\0'; word = word_next(word))
		if (is_given(call, word))
			return word;
	return NULL;
}

/* "--a, --b or --from tls:HOST:PORT" */
static void others_print(const char *word, char text[TOGETHER_TEXT_SIZE])
{
	const char *between = "";
	size_t at = 0;

	while (*word != '\0') {
		size_t n = strcspn(word, "= ");
		size_t rest = strcspn(word + n, " ");

		at += (size_t)snprintf(text + at, TOGETHER_TEXT_SIZE - at,
				       "%s--%.*s%s%.*s", between, (int)n, word,
				       rest > 0 ? " " : "",
				       rest > 0 ? (int)rest - 1 : 0,
				       word + n + (rest > 0));
		MBJ_ASSERT(at < TOGETHER_TEXT_SIZE);
		word = word_next(word);
		between = *word_next(word) == '\0' ? " or " : ", ";
	}
}

static bool is_for(const struct rule *rule, const struct cli_verb *verb)
{
	return (rule->verbs & UINT64_C(1) << verb->id) != 0;
}

bool together_check(const struct cli_call *call)
{
	char others[TOGETHER_TEXT_SIZE];
	const char *word;
	bool has_other;

	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const struct rule *rule = &rules[i];

		if (!is_for(rule, call->verb))
			continue;
		word = given_find(call, rule->words);
		has_other = given_find(call, rule->others) != NULL;
		if (word == NULL || has_other == rule->is_need)
			continue;
		others_print(rule->others, others);
		cli_say(call,
			rule->is_need ? "--%.*s is for %s%s"
				      : "--%.*s and %s exclude each other%s",
			(int)strcspn(word, " "), word, others, rule->rest);
		return false;
	}
	return true;
}

bool together_needs(const struct cli_verb *verb,
		    const struct cli_option *option,
		    char text[TOGETHER_TEXT_SIZE])
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const char *word = rules[i].words;

		if (!rules[i].is_need || !is_for(&rules[i], verb))
			continue;
		for (; *word != '\0'; word = word_next(word)) {
			size_t n = strcspn(word, " ");

			if (cli_option_find(verb, word, n, 0) != option)
				continue;
			others_print(rules[i].others, text);
			return true;
		}
	}
	return false;
}
