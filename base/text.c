/*
 * Text on its way to a human: escaping what a terminal would obey, and
 * cutting what is too long.
 *
 * It is not where names are judged (that is the mailbox layer's, with ICU):
 * here every byte string has a printable form.
 *
 * Invariants:
 *  1. The result is valid UTF-8 of one line, and it is NUL-terminated.
 *  2. No result holds a control character, nor one that hides or reorders
 *     its neighbours (Unicode bidirectional and zero-width controls).
 *  3. Escaping twice changes nothing: a backslash stays as it is.
 *  4. A cut never splits a character nor an escape, and shows an ellipsis.
 *
 * Threads: pure.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "text.h"

static const char ellipsis[] = "\xe2\x80\xa6";

enum { ELLIPSIS_SIZE = sizeof(ellipsis) - 1, PIECE_MAX = 16 };

static bool is_continuation(uint8_t byte)
{
	return (byte & 0xc0) == 0x80;
}

/* Bytes and least code of the sequence that starts with lead; 0 if none. */
static size_t sequence_size(uint8_t lead, uint32_t *ret_least)
{
	if (lead < 0x80) {
		*ret_least = 0;
		return 1;
	}
	if (lead >= 0xc2 && lead <= 0xdf) {
		*ret_least = 0x80;
		return 2;
	}
	if (lead >= 0xe0 && lead <= 0xef) {
		*ret_least = 0x800;
		return 3;
	}
	if (lead >= 0xf0 && lead <= 0xf4) {
		*ret_least = 0x10000;
		return 4;
	}
	return 0;
}

/* Bytes of the valid character (RFC 3629) at p, or 0. */
static size_t character_size(struct mbj_bytes b, uint32_t *ret_code)
{
	uint32_t least = 0, code;
	size_t size = sequence_size(b.p[0], &least);

	if (size == 0 || size > b.n)
		return 0;
	code = size == 1 ? b.p[0] : b.p[0] & (0xffu >> (size + 1));
	for (size_t i = 1; i < size; i++) {
		if (!is_continuation(b.p[i]))
			return 0;
		code = code << 6 | (b.p[i] & 0x3f);
	}
	if (code < least || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return size;
}

/* Shows as itself and leaves its neighbours alone. */
static bool is_plain(uint32_t code)
{
	static const struct {
		uint32_t first, last;
	} odd[] = {
		{0x00, 0x1f},	    {0x7f, 0x9f},     {0xad, 0xad},
		{0x061c, 0x061c},   {0x200b, 0x200f}, {0x2028, 0x202e},
		{0x2060, 0x206f},   {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
		{0xe0000, 0xe007f},
	};

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		if (code >= odd[i].first && code <= odd[i].last)
			return false;
	}
	return true;
}

/* How much from there on, at most max, is its own form: most text, as a rule.
 */
static size_t printable_size(struct mbj_bytes text, size_t at, size_t max)
{
	size_t n = 0;

	while (n < max && at + n < text.n && text.p[at + n] >= 0x20 &&
	       text.p[at + n] < 0x7f)
		n++;
	return n;
}

/* The printable form of what stands at b.p; returns the bytes it covers. */
static size_t piece_make(struct mbj_bytes b, char piece[PIECE_MAX])
{
	uint32_t code = 0;
	size_t size = character_size(b, &code);

	if (size == 0) {
		(void)snprintf(piece, PIECE_MAX, "\\x%02x", (unsigned)b.p[0]);
		return 1;
	}
	if (is_plain(code)) {
		memcpy(piece, b.p, size);
		piece[size] = '\0';
		return size;
	}
	if (code == '\n' || code == '\t' || code == '\r')
		(void)snprintf(piece, PIECE_MAX, "\\%c",
			       code == '\n'   ? 'n'
			       : code == '\t' ? 't'
					      : 'r');
	else if (code < 0x80)
		(void)snprintf(piece, PIECE_MAX, "\\x%02x", (unsigned)code);
	else
		(void)snprintf(piece, PIECE_MAX, "\\u{%x}", (unsigned)code);
	return size;
}

size_t mbj_text_escape(char *ret_text, size_t size, struct mbj_bytes text)
{
	size_t cut_max = size - 1 - ELLIPSIS_SIZE;
	size_t n = 0, cut = 0;

	MBJ_ASSERT(ret_text != NULL && size > ELLIPSIS_SIZE);
	MBJ_ASSERT(text.p != NULL || text.n == 0);
	for (size_t at = 0; at < text.n;) {
		size_t length = printable_size(text, at, cut_max - cut);
		char piece[PIECE_MAX];

		/* As long as there is room for an ellipsis behind it. */
		if (n == cut && length > 0) {
			memcpy(ret_text + n, text.p + at, length);
			n += length;
			cut = n;
			at += length;
			continue;
		}
		at += piece_make(mbj_bytes_make(text.p + at, text.n - at),
				 piece);
		length = strlen(piece);
		if (n + length > size - 1) {
			memcpy(ret_text + cut, ellipsis, ELLIPSIS_SIZE);
			n = cut + ELLIPSIS_SIZE;
			break;
		}
		memcpy(ret_text + n, piece, length);
		n += length;
		if (n <= cut_max)
			cut = n;
	}
	ret_text[n] = '\0';
	return n;
}

void text_cut_tail(char *ret_text, size_t size, const char *text)
{
	size_t n = strlen(text), kept = n;

	MBJ_ASSERT(ret_text != NULL && size > ELLIPSIS_SIZE);
	if (n >= size) {
		kept = size - 1 - ELLIPSIS_SIZE;
		/* At most three back: longer runs are not UTF-8. */
		for (int i = 0; i < 3 && kept > 0; i++) {
			if (!is_continuation((uint8_t)text[kept]))
				break;
			kept--;
		}
	}
	memcpy(ret_text, text, kept);
	if (kept < n) {
		memcpy(ret_text + kept, ellipsis, ELLIPSIS_SIZE);
		kept += ELLIPSIS_SIZE;
	}
	ret_text[kept] = '\0';
}

void text_cut_head(char *ret_text, size_t size, const char *text)
{
	size_t n = strlen(text), begin, at = 0;

	MBJ_ASSERT(ret_text != NULL && size > ELLIPSIS_SIZE);
	if (n < size) {
		memcpy(ret_text, text, n + 1);
		return;
	}
	begin = n - (size - 1 - ELLIPSIS_SIZE);
	for (int i = 0; i < 3 && begin < n; i++) {
		if (!is_continuation((uint8_t)text[begin]))
			break;
		begin++;
	}
	memcpy(ret_text, ellipsis, ELLIPSIS_SIZE);
	at = ELLIPSIS_SIZE;
	memcpy(ret_text + at, text + begin, n - begin + 1);
}
