/*
 * System flags and keywords of messages; see mbj/message.h.
 *
 * Case: ASCII alone, as IMAP compares keywords; ICU has no say here, so that a
 * replica with another version of it agrees.
 *
 * Threads: pure.
 */
#include <string.h>

#include <mbj/check.h>
#include <mbj/message.h>

static uint8_t byte_fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c - 'A' + 'a') : c;
}

static int word_compare(struct mbj_bytes a, struct mbj_bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;

	for (size_t i = 0; i < n; i++) {
		int difference = byte_fold(a.p[i]) - byte_fold(b.p[i]);

		if (difference != 0)
			return difference;
	}
	return (a.n > b.n) - (a.n < b.n);
}

const char *mbj_flag_name(enum mbj_flag flag)
{
	switch ((unsigned)flag) {
#define X(name, bit, word)    \
	case MBJ_FLAG_##name: \
		return (word);
		MBJ_FLAG_MAP(X)
#undef X
	default:
		return NULL;
	}
}

uint8_t mbj_flag_find(struct mbj_bytes word)
{
#define X(name, bit, text)                                \
	if (word_compare(word, mbj_bytes_str(text)) == 0) \
		return MBJ_FLAG_##name;
	MBJ_FLAG_MAP(X)
#undef X
	return 0;
}

/* An atom of RFC 9051: no controls, no specials, ASCII. */
bool mbj_keyword_is_good(struct mbj_bytes keyword)
{
	static const char specials[] = "(){ %*\"\\]";

	if (keyword.n == 0 || keyword.n > MBJ_KEYWORD_MAX)
		return false;
	for (size_t i = 0; i < keyword.n; i++)
		if (keyword.p[i] < 0x20 || keyword.p[i] > 0x7e ||
		    memchr(specials, keyword.p[i], sizeof(specials) - 1))
			return false;
	return true;
}

bool mbj_keywords_next(struct mbj_bytes *keywords,
		       struct mbj_bytes *ret_keyword)
{
	const uint8_t *end = NULL;

	if (keywords->n > 0)
		end = memchr(keywords->p, 0, keywords->n);
	if (end == NULL)
		return false;
	*ret_keyword = mbj_bytes_make(keywords->p, (size_t)(end - keywords->p));
	keywords->n -= ret_keyword->n + 1;
	keywords->p = end + 1;
	return true;
}

bool mbj_keywords_are_good(struct mbj_bytes keywords)
{
	struct mbj_bytes before = {NULL, 0};
	struct mbj_bytes keyword;

	if (keywords.n > MBJ_KEYWORDS_MAX)
		return false;
	while (mbj_keywords_next(&keywords, &keyword)) {
		if (!mbj_keyword_is_good(keyword) ||
		    (before.p != NULL && word_compare(before, keyword) >= 0))
			return false;
		before = keyword;
	}
	return keywords.n == 0;
}

static void keyword_put(struct mbj_buf *buf, struct mbj_bytes keyword)
{
	mbj_buf_put_bytes(buf, keyword);
	mbj_buf_put_u8(buf, 0);
}

void mbj_keywords_change(struct mbj_bytes before, struct mbj_bytes change,
			 enum mbj_flag_mode mode, struct mbj_buf *ret_keywords)
{
	struct mbj_bytes ours = {NULL, 0};
	struct mbj_bytes theirs = {NULL, 0};
	bool has_ours = mbj_keywords_next(&before, &ours);
	bool has_theirs = mbj_keywords_next(&change, &theirs);

	/* Both ascend: one pass through the two of them. */
	while (has_ours || has_theirs) {
		int order = !has_theirs ? -1
			    : !has_ours ? 1
					: word_compare(ours, theirs);

		if (order == 0 ? mode != MBJ_FLAGS_REMOVE
			       : order < 0 && mode != MBJ_FLAGS_REPLACE)
			keyword_put(ret_keywords, ours);
		else if (order > 0 && mode != MBJ_FLAGS_REMOVE)
			keyword_put(ret_keywords, theirs);
		if (order <= 0)
			has_ours = mbj_keywords_next(&before, &ours);
		if (order >= 0)
			has_theirs = mbj_keywords_next(&change, &theirs);
	}
}

bool mbj_guid_is_good(struct mbj_bytes guid)
{
	if (guid.n == 0 || guid.n > MBJ_GUID_MAX)
		return false;
	for (size_t i = 0; i < guid.n; i++)
		if (guid.p[i] <= ' ' || guid.p[i] > '~')
			return false;
	return true;
}
