/*
 * 128-bit identities: their text, the two reserved ones, and fresh ones.
 *
 * They are not UUIDs: all 128 bits are random, so that no version bits need
 * checking and none can be wrong.
 *
 * Invariants:
 *  1. Text is 32 lower-case hexadecimal digits; both cases are read, so that
 *     an operator may type what another tool printed.
 *  2. A generated id is never a reserved one.
 *
 * Threads: pure, but for the randomness of the system table.
 */
#include <mbj/check.h>
#include <mbj/sys.h>

bool mbj_id_is_root(struct mbj_id id)
{
	return mbj_id_equal(id, MBJ_ID_ROOT);
}

bool mbj_id_is_temp(struct mbj_id id)
{
	return mbj_id_equal(id, MBJ_ID_TEMP);
}

bool mbj_id_is_reserved(struct mbj_id id)
{
	return mbj_id_is_root(id) || mbj_id_is_temp(id);
}

void mbj_id_print(struct mbj_id id, char text[MBJ_ID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";

	MBJ_ASSERT(text != NULL);
	for (size_t i = 0; i < MBJ_ID_SIZE; i++) {
		text[2 * i] = digits[id.b[i] >> 4];
		text[2 * i + 1] = digits[id.b[i] & 0xf];
	}
	text[MBJ_ID_TEXT_SIZE - 1] = '\0';
}

/* The value of a hexadecimal digit, or -1. */
static int digit_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool mbj_id_parse(struct mbj_bytes text, struct mbj_id *ret_id)
{
	struct mbj_id id;

	MBJ_ASSERT(ret_id != NULL);
	if (text.n != MBJ_ID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < MBJ_ID_SIZE; i++) {
		int high = digit_value(text.p[2 * i]);
		int low = digit_value(text.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
	}
	*ret_id = id;
	return true;
}

int mbj_bytes_compare(struct mbj_bytes a, struct mbj_bytes b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (order != 0)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

enum mbj_rc mbj_id_generate(const struct mbj_sys *sys, struct mbj_id *ret_id,
			    struct mbj_error *err)
{
	struct mbj_id id;
	int rc;

	MBJ_ASSERT(sys != NULL);
	MBJ_ASSERT(ret_id != NULL);
	rc = sys->random(sys->ctx, id.b, sizeof(id.b));
	if (rc < 0)
		return mbj_error_errno(err, -rc, "cannot draw randomness for",
				       "a new id");
	/* One in 2^127 by chance: rather a source that does not work. */
	if (mbj_id_is_reserved(id))
		return mbj_error_set(err, MBJ_EIO,
				     "the system's random source yields "
				     "constant bytes; no id can be made");
	*ret_id = id;
	return MBJ_OK;
}
