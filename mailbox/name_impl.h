/*
 * Names: what the files of this layer share about showing them.  Not public.
 */
#ifndef MBJ_NAME_IMPL_H
#define MBJ_NAME_IMPL_H

#include <mbj/name.h>

/* Room for a quoted name in a message, its NUL and its ellipsis included. */
enum { NAME_QUOTE_SIZE = 128 };
/* Room for more of one, not shown, than the subject of a refusal takes. */
enum { NAME_SUBJECT_SIZE = 2 * MBJ_ERROR_SUBJECT_MAX };

/*
 * The name in double quotes, escaped as mbj_name_escape does it, cut with an
 * ellipsis at a character boundary.  Work is bounded by the size of text, not
 * by that of the name.
 */
void name_quote(struct mbj_bytes utf8, char text[NAME_QUOTE_SIZE]);
/* For programs: as it is, to be cut by what takes it. */
void name_subject(struct mbj_bytes utf8, char text[NAME_SUBJECT_SIZE]);

/*
 * Length of the well-formed UTF-8 sequence (RFC 3629) at p[0..n), 1 to 4, and
 * its code point; 0 where there is none.
 */
size_t name_decode_point(const uint8_t *p, size_t n, uint32_t *ret_point);

/* C0, DEL or C1. */
static inline bool name_is_control(uint32_t point)
{
	return point < 0x20 || (point >= 0x7f && point <= 0x9f);
}

/* U+FDD0..U+FDEF and the last two of each plane. */
static inline bool name_is_noncharacter(uint32_t point)
{
	return (point >= 0xfdd0 && point <= 0xfdef) ||
	       (point & 0xfffe) == 0xfffe;
}

/* Printable ASCII through and through: needs no Unicode at all. */
static inline bool name_is_plain(struct mbj_bytes b)
{
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] < 0x20 || b.p[i] > 0x7e)
			return false;
	}
	return true;
}

#endif
