/*
 * Modified UTF-7 by ICU's converter, with what it accepts too much refused;
 * see mbj/utf7.h.
 *
 * The converter takes superfluous shifts and lone surrogates: the decoded name
 * is encoded again and compared, and surrogates do not become UTF-8.  Encoded
 * controls are refused by hand.
 */
#include <string.h>
#include <unicode/ucnv.h>
#include <unicode/ucnv_err.h>
#include <unicode/ustring.h>

#include <mbj/check.h>
#include <mbj/utf7.h>

#include "name_impl.h"

/*
 * A wire form may be two and a half times as long as its name: two bytes of
 * UTF-8 become "&AOQ-".  So the name is held to MBJ_PATH_MAX and its wire form
 * to this; each byte of either makes one UTF-16 unit at most.
 */
enum { UTF7_WIRE_MAX = 3 * MBJ_PATH_MAX, UTF7_UNITS_MAX = UTF7_WIRE_MAX };

struct mbj_utf7 {
	UConverter *converter;
	UChar *units; /* [UTF7_UNITS_MAX] */
	char *bytes;  /* [UTF7_WIRE_MAX] */
};

enum mbj_rc mbj_utf7_new(struct mbj_utf7 **ret_utf7, struct mbj_error *err)
{
	struct mbj_utf7 *utf7 = mbj_calloc(1, sizeof(*utf7));
	UErrorCode code = U_ZERO_ERROR;

	if (!utf7)
		return mbj_error_nomem(err);
	utf7->units = mbj_calloc(UTF7_UNITS_MAX, sizeof(*utf7->units));
	utf7->bytes = mbj_alloc(UTF7_WIRE_MAX);
	utf7->converter = ucnv_open("IMAP-mailbox-name", &code);
	if (utf7->converter) {
		ucnv_setToUCallBack(utf7->converter, UCNV_TO_U_CALLBACK_STOP,
				    NULL, NULL, NULL, &code);
		ucnv_setFromUCallBack(utf7->converter,
				      UCNV_FROM_U_CALLBACK_STOP, NULL, NULL,
				      NULL, &code);
	}
	if (!utf7->units || !utf7->bytes || U_FAILURE(code)) {
		mbj_utf7_free(&utf7);
		return mbj_error_set(err, MBJ_ENOMEM,
				     "ICU cannot make its converter for "
				     "mailbox names: %s",
				     u_errorName(code));
	}
	*ret_utf7 = utf7;
	return MBJ_OK;
}

void mbj_utf7_free(struct mbj_utf7 **utf7)
{
	if (!*utf7)
		return;
	if ((*utf7)->converter)
		ucnv_close((*utf7)->converter);
	mbj_free((*utf7)->units);
	mbj_free((*utf7)->bytes);
	mbj_free(*utf7);
	*utf7 = NULL;
}

static enum mbj_rc utf7_refuse(struct mbj_error *err, struct mbj_bytes name,
			       const char *why)
{
	char quoted[NAME_QUOTE_SIZE];
	char raw[NAME_SUBJECT_SIZE];

	if (!err)
		return MBJ_EINVALID;
	name_quote(name, quoted);
	name_subject(name, raw);
	return mbj_error_refuse(err, MBJ_REFUSAL_INVALID_PROPERTIES, "name",
				raw, "%s %s", quoted, why);
}

static bool needs_no_converter(struct mbj_bytes name)
{
	return name_is_plain(name) &&
	       (name.n == 0 || !memchr(name.p, '&', name.n));
}

static enum mbj_rc length_judge(struct mbj_bytes name, size_t n, size_t max,
				struct mbj_error *err)
{
	if (n <= max)
		return MBJ_OK;
	return utf7_refuse(err, name, "is longer than any mailbox name");
}

/* UTF-8 to wire, into utf7->bytes. */
static enum mbj_rc wire_make(struct mbj_utf7 *utf7, struct mbj_bytes utf8,
			     struct mbj_bytes *ret_wire, struct mbj_error *err)
{
	UErrorCode code = U_ZERO_ERROR;
	int32_t units = 0;
	int32_t n;

	(void)u_strFromUTF8(utf7->units, UTF7_UNITS_MAX, &units,
			    (const char *)utf8.p, (int32_t)utf8.n, &code);
	ucnv_resetFromUnicode(utf7->converter);
	n = ucnv_fromUChars(utf7->converter, utf7->bytes, UTF7_WIRE_MAX,
			    utf7->units, units, &code);
	if (U_FAILURE(code))
		return utf7_refuse(err, utf8,
				   "cannot be written in modified "
				   "UTF-7");
	*ret_wire = mbj_bytes_make(utf7->bytes, (size_t)n);
	return MBJ_OK;
}

static bool has_control(struct mbj_bytes utf8)
{
	size_t at = 0;

	while (at < utf8.n) {
		uint32_t point;
		size_t n = name_decode_point(utf8.p + at, utf8.n - at, &point);

		if (n == 0 || name_is_control(point))
			return true;
		at += n;
	}
	return false;
}

enum mbj_rc mbj_utf7_encode(struct mbj_utf7 *utf7, struct mbj_bytes utf8,
			    struct mbj_buf *ret_wire, struct mbj_error *err)
{
	struct mbj_bytes wire = utf8;
	enum mbj_rc rc;

	rc = length_judge(utf8, utf8.n, MBJ_PATH_MAX, err);
	if (rc == MBJ_OK && !needs_no_converter(utf8)) {
		if (has_control(utf8))
			return utf7_refuse(err, utf8,
					   "is not UTF-8 or holds a control "
					   "character");
		rc = wire_make(utf7, utf8, &wire, err);
	}
	if (rc < 0)
		return rc;
	mbj_buf_put_bytes(ret_wire, wire);
	return mbj_buf_ok(ret_wire, err);
}

enum mbj_rc mbj_utf7_decode(struct mbj_utf7 *utf7, struct mbj_bytes wire,
			    struct mbj_buf *ret_utf8, struct mbj_error *err)
{
	size_t begin = ret_utf8->n;
	UErrorCode code = U_ZERO_ERROR;
	struct mbj_bytes again;
	int32_t units;
	int32_t n = 0;
	bool is_plain;
	enum mbj_rc rc;

	/* Plain wire is its own name. */
	is_plain = needs_no_converter(wire);
	rc = length_judge(wire, wire.n, is_plain ? MBJ_PATH_MAX : UTF7_WIRE_MAX,
			  err);
	if (rc < 0)
		return rc;
	if (is_plain) {
		mbj_buf_put_bytes(ret_utf8, wire);
		return mbj_buf_ok(ret_utf8, err);
	}
	ucnv_resetToUnicode(utf7->converter);
	units = ucnv_toUChars(utf7->converter, utf7->units, UTF7_UNITS_MAX,
			      (const char *)wire.p, (int32_t)wire.n, &code);
	if (U_SUCCESS(code)) {
		(void)u_strToUTF8(utf7->bytes, UTF7_WIRE_MAX, &n, utf7->units,
				  units, &code);
		/* Then n is the length it would have, which is judged. */
		if (code == U_BUFFER_OVERFLOW_ERROR)
			code = U_ZERO_ERROR;
	}
	if (U_FAILURE(code))
		return utf7_refuse(err, wire, "is not modified UTF-7");
	MBJ_ASSERT(n >= 0);
	rc = length_judge(wire, (size_t)n, MBJ_PATH_MAX, err);
	if (rc < 0)
		return rc;
	mbj_buf_put(ret_utf8, utf7->bytes, (size_t)n);
	rc = mbj_buf_ok(ret_utf8, err);
	if (rc < 0)
		return rc;
	again = mbj_bytes_make(ret_utf8->p + begin, ret_utf8->n - begin);
	if (has_control(again))
		rc = utf7_refuse(err, wire, "encodes a control character");
	if (rc == MBJ_OK)
		rc = wire_make(utf7, again, &again, err);
	if (rc == MBJ_OK && !mbj_bytes_equal(again, wire))
		rc = utf7_refuse(err, wire,
				 "is not the shortest form of its name in "
				 "modified UTF-7");
	if (rc < 0)
		ret_utf8->n = begin;
	return rc;
}
