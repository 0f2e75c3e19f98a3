/*
 * Names for people's eyes: escaped, so that nothing in a name can move a
 * cursor, reverse a line, or pass for another name by what is invisible in
 * it.  Also the safety checks of names, which, like all here, need no ICU.
 *
 * The list of invisible code points is ours and may grow with Unicode;
 * nothing stored depends on it.
 *
 * Threads: pure functions.
 */
#include <stdio.h>

#include <mbj/check.h>

#include "name_impl.h"

/* The longest piece: \u{10FFFF} and its NUL. */
enum { ESCAPE_PIECE_SIZE = 12 };

/*
 * Shown as numbers: soft hyphen, Arabic letter mark, fillers, Mongolian
 * selectors, zero-width and directional marks, line and paragraph separators,
 * invisible operators, byte order mark, annotations, shorthand and musical
 * controls, tags.  Sorted.
 */
static const uint32_t hidden_ranges[][2] = {
	{0x00ad, 0x00ad},   {0x034f, 0x034f},	{0x061c, 0x061c},
	{0x115f, 0x1160},   {0x17b4, 0x17b5},	{0x180b, 0x180f},
	{0x200b, 0x200f},   {0x2028, 0x202e},	{0x2060, 0x206f},
	{0x3164, 0x3164},   {0xfeff, 0xfeff},	{0xffa0, 0xffa0},
	{0xfff9, 0xfffb},   {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
};

enum { HIDDEN_COUNT = sizeof(hidden_ranges) / sizeof(hidden_ranges[0]) };

size_t name_decode_point(const uint8_t *p, size_t n, uint32_t *ret_point)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t point;
	size_t length;

	MBJ_ASSERT(p != NULL && n > 0);
	MBJ_ASSERT(ret_point != NULL);
	if (p[0] < 0x80) {
		*ret_point = p[0];
		return 1;
	}
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	length = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (length > n)
		return 0;
	point = p[0] & (0x7fu >> length);
	for (size_t i = 1; i < length; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (p[i] & 0x3fu);
	}
	/* Overlong forms, surrogates, beyond Unicode. */
	if (point < least[length] || point > 0x10ffff ||
	    (point >= 0xd800 && point <= 0xdfff))
		return 0;
	*ret_point = point;
	return length;
}

static bool point_is_hidden(uint32_t point)
{
	if (name_is_control(point) || name_is_noncharacter(point))
		return true;
	for (int i = 0; i < HIDDEN_COUNT; i++) {
		if (point >= hidden_ranges[i][0] &&
		    point <= hidden_ranges[i][1])
			return true;
	}
	return false;
}

/* The bytes taken from p, 1 to 4; piece shows them, NUL-terminated. */
static size_t escape_next(const uint8_t *p, size_t n,
			  char piece[ESCAPE_PIECE_SIZE])
{
	uint32_t point = 0;
	size_t length;

	length = name_decode_point(p, n, &point);
	if (length == 0) {
		(void)snprintf(piece, ESCAPE_PIECE_SIZE, "\\x%02X",
			       (unsigned)p[0]);
		return 1;
	}
	if (point == '\\') {
		(void)snprintf(piece, ESCAPE_PIECE_SIZE, "\\\\");
	} else if (point_is_hidden(point)) {
		(void)snprintf(piece, ESCAPE_PIECE_SIZE, "\\u{%04X}",
			       (unsigned)point);
	} else {
		memcpy(piece, p, length);
		piece[length] = '\0';
	}
	return length;
}

void mbj_name_escape(struct mbj_buf *buf, struct mbj_bytes utf8)
{
	char piece[ESCAPE_PIECE_SIZE];
	size_t at = 0;

	MBJ_ASSERT(buf != NULL);
	MBJ_ASSERT(utf8.p != NULL || utf8.n == 0);
	while (at < utf8.n && buf->failed == MBJ_OK) {
		size_t run = at;

		while (run < utf8.n && utf8.p[run] >= 0x20 &&
		       utf8.p[run] < 0x7f && utf8.p[run] != '\\')
			run++;
		mbj_buf_put(buf, utf8.p + at, run - at);
		at = run;
		if (at == utf8.n)
			break;
		at += escape_next(utf8.p + at, utf8.n - at, piece);
		mbj_buf_put_str(buf, piece);
	}
}

void name_quote(struct mbj_bytes utf8, char text[NAME_QUOTE_SIZE])
{
	static const char ending[] = "\xe2\x80\xa6\"";
	char piece[ESCAPE_PIECE_SIZE];
	size_t length = 0;

	MBJ_ASSERT(text != NULL);
	MBJ_ASSERT(utf8.p != NULL || utf8.n == 0);
	text[length++] = '"';
	for (size_t at = 0; at < utf8.n;) {
		size_t size;

		at += escape_next(utf8.p + at, utf8.n - at, piece);
		size = strlen(piece);
		if (length + size + sizeof(ending) > NAME_QUOTE_SIZE) {
			memcpy(text + length, ending, sizeof(ending));
			return;
		}
		/* A NUL was escaped: piece is all there is to show. */
		memcpy(text + length, piece, size);
		length += size;
	}
	text[length++] = '"';
	text[length] = '\0';
}

void name_subject(struct mbj_bytes utf8, char text[NAME_SUBJECT_SIZE])
{
	size_t n = utf8.n < NAME_SUBJECT_SIZE ? utf8.n : NAME_SUBJECT_SIZE - 1;

	if (n > 0)
		memcpy(text, utf8.p, n);
	text[n] = '\0';
}

static bool bytes_have_nul(struct mbj_bytes b)
{
	return memchr(b.p, 0, b.n) != NULL;
}

bool mbj_name_is_safe(struct mbj_bytes stored, struct mbj_bytes key)
{
	MBJ_ASSERT(stored.p != NULL || stored.n == 0);
	MBJ_ASSERT(key.p != NULL || key.n == 0);
	if (stored.n == 0 || stored.n > MBJ_NAME_MAX)
		return false;
	if (key.n == 0 || key.n > MBJ_KEY_MAX)
		return false;
	return !bytes_have_nul(stored) && !bytes_have_nul(key);
}

bool mbj_name_is_inbox(struct mbj_bytes key)
{
	return mbj_bytes_equal(key, mbj_bytes_str("INBOX"));
}
