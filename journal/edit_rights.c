/*
 * Rights as sets of bits.  See edit_rights.h.
 *
 * Threads: pure functions.
 */
#include "edit_rights.h"

#include <string.h>

#include <mbj/check.h>

/* Bit i is the i-th: in the order of RFC 4314, then what a server adds. */
static const char order[] = "lrswipkxtea0123456789";

_Static_assert(sizeof(order) == EDIT_RIGHTS_SIZE, "every right once");

/* The bit of a right that is one of its own, 0 for none. */
static uint32_t right_bit(uint8_t right)
{
	const char *at = right == '\0' ? NULL : strchr(order, right);

	return at == NULL ? 0 : UINT32_C(1) << (at - order);
}

bool edit_rights_parse(struct mbj_bytes text, uint32_t *ret_rights)
{
	uint32_t rights = 0;

	for (size_t i = 0; i < text.n; i++) {
		uint32_t bits = right_bit(text.p[i]);

		if (text.p[i] == 'c')
			bits = right_bit('k') | right_bit('x');
		else if (text.p[i] == 'd')
			bits = right_bit('t') | right_bit('e');
		if (bits == 0)
			return false;
		rights |= bits;
	}
	*ret_rights = rights;
	return true;
}

void edit_rights_print(uint32_t rights, char ret_text[EDIT_RIGHTS_SIZE])
{
	size_t n = 0;

	MBJ_ASSERT(rights >> (sizeof(order) - 1) == 0);
	for (size_t i = 0; i < sizeof(order) - 1; i++)
		if (rights & UINT32_C(1) << i)
			ret_text[n++] = order[i];
	MBJ_ASSERT(n < EDIT_RIGHTS_SIZE);
	ret_text[n] = '\0';
}
