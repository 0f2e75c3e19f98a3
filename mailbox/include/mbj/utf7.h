/*
 * IMAP's modified UTF-7 (RFC 3501 section 5.1.3, RFC 9051 appendix A.1):
 * wire names to UTF-8 and back.  Strict: exactly one wire form per name is
 * accepted (no superfluous shifts, no encoded printable ASCII, no stray bits,
 * no lone surrogates, no controls).  ICU's converter does the conversion, a
 * re-encoding proves that the form was the canonical one; pure ASCII without
 * '&' never reaches ICU.
 *
 * Threads: a converter belongs to one thread at a time.
 */
#ifndef MBJ_UTF7_H
#define MBJ_UTF7_H

#include <mbj/error.h>
#include <mbj/memory.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_utf7;

MBJ_API enum mbj_rc mbj_utf7_new(struct mbj_utf7 **ret_utf7,
				 struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_utf7_free(struct mbj_utf7 **utf7);

/* Whole paths may be given: the delimiter is ordinary ASCII. */
MBJ_API enum mbj_rc mbj_utf7_decode(struct mbj_utf7 *utf7,
				    struct mbj_bytes wire,
				    struct mbj_buf *ret_utf8,
				    struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API enum mbj_rc mbj_utf7_encode(struct mbj_utf7 *utf7,
				    struct mbj_bytes utf8,
				    struct mbj_buf *ret_wire,
				    struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
