/*
 * Words for messages.  See edit_text.h.  Nothing here can fail: without
 * memory a message loses the name, and nothing else.
 *
 * Threads: pure functions.
 */
#include "edit_text.h"

#include <mbj/check.h>
#include <mbj/memory.h>
#include <mbj/name.h>

/* Bytes of input shown; escaping makes at most eight of one. */
enum { SHOWN_MAX = 96, ESCAPED_MAX = 8 * SHOWN_MAX, ELLIPSIS_SIZE = 3 };

/* The longest beginning of b of at most max bytes that splits no character. */
static struct mbj_bytes bytes_cut(struct mbj_bytes b, size_t max)
{
	size_t n = b.n;

	if (n <= max)
		return b;
	n = max;
	while (n > 0 && (b.p[n] & 0xc0) == 0x80)
		n--;
	return mbj_bytes_make(b.p, n);
}

/* Copy what fits, mark what was cut. */
static const char *text_fill(struct edit_text *text, struct mbj_bytes b,
			     bool is_cut)
{
	static const char ellipsis[] = "\xe2\x80\xa6";
	struct mbj_bytes kept;

	kept = bytes_cut(b, sizeof(text->s) - ELLIPSIS_SIZE - 1);
	if (kept.n > 0)
		memcpy(text->s, kept.p, kept.n);
	text->s[kept.n] = '\0';
	if (is_cut || kept.n < b.n)
		memcpy(text->s + kept.n, ellipsis, sizeof(ellipsis));
	return text->s;
}

const char *edit_text_show(struct edit_text *text, struct mbj_bytes utf8)
{
	struct mbj_bytes shown = bytes_cut(utf8, SHOWN_MAX);
	struct mbj_buf escaped;

	MBJ_ASSERT(text != NULL);
	mbj_buf_init(&escaped, ESCAPED_MAX);
	mbj_name_escape(&escaped, shown);
	text_fill(text, mbj_buf_view(&escaped), shown.n < utf8.n);
	mbj_buf_done(&escaped);
	return text->s;
}

const char *edit_text_raw(struct edit_text *text, struct mbj_bytes utf8)
{
	const uint8_t *nul = NULL;

	MBJ_ASSERT(text != NULL);
	if (utf8.n > 0)
		nul = memchr(utf8.p, 0, utf8.n);
	if (nul != NULL)
		utf8.n = (size_t)(nul - utf8.p);
	return text_fill(text, utf8, false);
}

enum mbj_rc edit_text_recode(struct mbj_error *err, enum mbj_rc rc)
{
	MBJ_ASSERT(rc < 0);
	if (err != NULL)
		err->rc = rc;
	return rc;
}

/* Length of the UTF-8 character at p (RFC 3629), 0 where there is none. */
static size_t utf8_step(const uint8_t *p, size_t n)
{
	size_t size = p[0] < 0x80   ? 1
		      : p[0] < 0xc2 ? 0
		      : p[0] < 0xe0 ? 2
		      : p[0] < 0xf0 ? 3
		      : p[0] < 0xf5 ? 4
				    : 0;

	if (size == 0 || size > n)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return size;
}

const char *edit_text_fault(struct mbj_bytes text)
{
	size_t size;

	for (size_t at = 0; at < text.n; at += size) {
		const uint8_t *p = text.p + at;

		size = utf8_step(p, text.n - at);
		if (size == 0)
			return "is not valid UTF-8";
		if (p[0] < 0x20 || p[0] == 0x7f ||
		    (p[0] == 0xc2 && p[1] < 0xa0))
			return "contains a control character";
	}
	return NULL;
}
