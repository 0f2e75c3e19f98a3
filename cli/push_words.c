/*
 * Words of the lines of push_log.h.
 */
#include <inttypes.h>
#include <string.h>

#include "push_log.h"

enum { HASH_DIGITS = 2 * MBJ_HASH_SIZE };

struct mbj_buf *push_line_begin(struct push_log *log, const char *word)
{
	mbj_buf_clear(&log->line);
	mbj_buf_put_str(&log->line, word);
	return &log->line;
}

void push_line_string(struct mbj_buf *line, struct mbj_bytes text)
{
	mbj_buf_put_str(line, " ");
	mbj_imap_quote_put(line, text);
}

void push_line_id(struct mbj_buf *line, struct mbj_id id)
{
	char text[MBJ_ID_TEXT_SIZE];

	mbj_id_print(id, text);
	mbj_buf_format(line, " %s", text);
}

void push_line_hash(struct mbj_buf *line, const struct mbj_hash *hash)
{
	mbj_buf_put_str(line, " ");
	for (size_t i = 0; i < sizeof(hash->b); i++)
		mbj_buf_format(line, "%02x", hash->b[i]);
}

bool push_words_split(struct push_words *words, struct mbj_bytes line)
{
	words->count = 0;
	for (size_t i = 0; i <= PUSH_WORDS_MAX; i++) {
		words->tokens[i] = mbj_imap_token_next(&line);
		if (words->tokens[i].kind == MBJ_IMAP_END)
			return i > 0;
		if (words->tokens[i].kind != MBJ_IMAP_ATOM &&
		    words->tokens[i].kind != MBJ_IMAP_STRING)
			return false;
		words->count = i;
	}
	return mbj_imap_token_next(&line).kind == MBJ_IMAP_END;
}

bool push_words_are(const struct push_words *words, const char *word,
		    size_t count)
{
	return words->count == count &&
	       mbj_imap_token_is(&words->tokens[0], word);
}

static bool is_atom(const struct push_words *words, size_t at)
{
	return at <= words->count && words->tokens[at].kind == MBJ_IMAP_ATOM;
}

bool push_word_string(const struct push_words *words, size_t at,
		      struct mbj_arena *arena, struct mbj_bytes *ret_text)
{
	struct mbj_buf text;
	bool is_good;

	if (at > words->count || words->tokens[at].kind != MBJ_IMAP_STRING)
		return false;
	mbj_buf_init(&text, PUSH_LINE_MAX);
	mbj_imap_token_put(&words->tokens[at], &text);
	is_good = mbj_buf_ok(&text, NULL) == MBJ_OK &&
		  mbj_arena_dup(arena, mbj_buf_view(&text), ret_text);
	mbj_buf_done(&text);
	return is_good;
}

bool push_word_id(const struct push_words *words, size_t at,
		  struct mbj_id *ret_id)
{
	return is_atom(words, at) &&
	       mbj_id_parse(words->tokens[at].text, ret_id);
}

static bool digit_parse(uint8_t c, uint8_t *ret_value)
{
	if (c >= '0' && c <= '9')
		*ret_value = (uint8_t)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*ret_value = (uint8_t)(c - 'a' + 10);
	else
		return false;
	return true;
}

bool push_word_hash(const struct push_words *words, size_t at,
		    struct mbj_hash *ret_hash)
{
	if (!is_atom(words, at) || words->tokens[at].text.n != HASH_DIGITS)
		return false;
	for (size_t i = 0; i < MBJ_HASH_SIZE; i++) {
		const uint8_t *pair = words->tokens[at].text.p + 2 * i;
		uint8_t high, low;

		if (!digit_parse(pair[0], &high) || !digit_parse(pair[1], &low))
			return false;
		ret_hash->b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool push_word_number(const struct push_words *words, size_t at, uint64_t max,
		      uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!is_atom(words, at) || words->tokens[at].text.n > 20)
		return false;
	for (size_t i = 0; i < words->tokens[at].text.n; i++) {
		uint64_t digit = (uint64_t)words->tokens[at].text.p[i] - '0';

		if (digit > 9 || number > (max - digit) / 10)
			return false;
		number = 10 * number + digit;
	}
	*ret_number = number;
	return true;
}

bool push_word_u32(const struct push_words *words, size_t at,
		   uint32_t *ret_number)
{
	uint64_t number;

	if (!push_word_number(words, at, UINT32_MAX, &number))
		return false;
	*ret_number = (uint32_t)number;
	return true;
}
