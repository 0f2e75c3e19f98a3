/*
 * Errors: what went wrong, travelling with the call.
 *
 * Three worlds, never mixed.  Our own bug stops the process (mbj/check.h).
 * The world failing, and bad bytes from disk or peer, return a code.
 * A code exists only where it means a different decision for the caller.
 *
 * Rules.  Every fallible function returns enum mbj_rc and takes a
 * struct mbj_error *err last, which may be NULL.  ret_ outputs are written
 * only on success, *err only on failure.  The error is set once, where the
 * fact is known; a level above may add one short prefix.
 *
 * Threads: a struct mbj_error belongs to one thread; the functions are pure.
 */
#ifndef MBJ_ERROR_H
#define MBJ_ERROR_H

#include <stdbool.h>
#include <stdint.h>

#include <mbj/export.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, value, text): the closed list of return codes. */
#define MBJ_RC_MAP(X)                                         \
	X(OK, 0, "ok")                                        \
	X(ENOTFOUND, -1, "not found")                         \
	X(EEXISTS, -2, "exists already")                      \
	X(ECONFLICT, -3, "conflicts with the state")          \
	X(EFENCED, -4, "fenced by lineage, role or epoch")    \
	X(ECORRUPT, -5, "damaged data")                       \
	X(EUNSUPPORTED, -6, "unsupported version or feature") \
	X(EIO, -7, "input or output failed")                  \
	X(ENOSPC, -8, "no space left")                        \
	X(ENOMEM, -9, "out of memory")                        \
	X(EBUSY, -10, "in use by another process")            \
	X(ELIMIT, -11, "over a limit")                        \
	X(EINVALID, -12, "invalid input")                     \
	X(EBEHIND, -13, "durable, but the state is behind")   \
	X(EUNRECEIVED, -14, "durable, but not received in time")

enum mbj_rc {
#define X(name, value, text) MBJ_##name = (value),
	MBJ_RC_MAP(X)
#undef X
};

/*
 * X(name, type): why an edit was refused, as RFC 8620 section 3.6 and 5.3 and
 * RFC 8621 section 2.5 call it where they have a word for it.
 */
#define MBJ_REFUSAL_MAP(X)                         \
	X(NONE, "")                                \
	X(INVALID_ARGUMENTS, "invalidArguments")   \
	X(NOT_JSON, "notJSON")                     \
	X(INVALID_PROPERTIES, "invalidProperties") \
	X(NOT_FOUND, "notFound")                   \
	X(ALREADY_EXISTS, "alreadyExists")         \
	X(HAS_CHILD, "mailboxHasChild")            \
	X(HAS_EMAIL, "mailboxHasEmail")            \
	X(FORBIDDEN, "forbidden")                  \
	X(TOO_LARGE, "tooLarge")                   \
	X(STATE_MISMATCH, "stateMismatch")         \
	X(WILL_DESTROY, "willDestroy")             \
	X(ACCOUNT_NOT_FOUND, "accountNotFound")    \
	X(OVER_QUOTA, "overQuota")

enum mbj_refusal {
#define X(name, type) MBJ_REFUSAL_##name,
	MBJ_REFUSAL_MAP(X)
#undef X
};

enum {
	MBJ_ERROR_MESSAGE_MAX = 512,
	MBJ_ERROR_SUBJECT_MAX = 256,
	MBJ_ERROR_FILE_MAX = 256,
};

/*
 * One failure, owned by the caller, valid until it is set again.  message is
 * one line without a final newline, escaped for a terminal where it quotes
 * input.  subject_kind is a static word ("id", "path", "name", "parentId",
 * "account", ...) or NULL; subject is the thing itself, cut with an ellipsis
 * at a character boundary where it is too long.
 */
struct mbj_error {
	enum mbj_rc rc;
	enum mbj_refusal refusal;
	const char *subject_kind;
	char subject[MBJ_ERROR_SUBJECT_MAX];
	char message[MBJ_ERROR_MESSAGE_MAX];
	char file[MBJ_ERROR_FILE_MAX]; /* the file concerned, or "" */
	uint64_t offset;	       /* byte in that file, or 0 */
	uint64_t lsn;		       /* group concerned, or 0 */
};

#if defined(__GNUC__)
#define MBJ_MUST_CHECK	 __attribute__((warn_unused_result))
#define MBJ_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define MBJ_MUST_CHECK
#define MBJ_PRINTF(f, a)
#endif

/* Static words for a code ("ENOSPC", "no space left") and a refusal. */
MBJ_API const char *mbj_rc_name(enum mbj_rc rc);
MBJ_API const char *mbj_rc_text(enum mbj_rc rc);
MBJ_API const char *mbj_refusal_type(enum mbj_refusal refusal);

/*
 * Fill *err (may be NULL) with a code and a formatted message, clearing all
 * else.  Returns rc, so that callers write: return mbj_error_set(err, ...).
 */
MBJ_API enum mbj_rc mbj_error_set(struct mbj_error *err, enum mbj_rc rc,
				  const char *format, ...) MBJ_PRINTF(3, 4);

/*
 * The same for an edit refused: rc is MBJ_EINVALID, subject may be NULL.
 * Requires: subject_kind static.
 */
MBJ_API enum mbj_rc mbj_error_refuse(struct mbj_error *err,
				     enum mbj_refusal refusal,
				     const char *subject_kind,
				     const char *subject, const char *format,
				     ...) MBJ_PRINTF(5, 6);

/*
 * The same for a failed system call: the code follows errnum (ENOSPC and
 * EDQUOT -> ENOSPC, ENOMEM -> ENOMEM, ENOENT -> ENOTFOUND, EEXIST -> EEXISTS,
 * else EIO), the message is "<what> <path>: <strerror>", file is path; a long
 * path loses its beginning.  Requires: errnum > 0; path may be NULL.
 */
MBJ_API enum mbj_rc mbj_error_errno(struct mbj_error *err, int errnum,
				    const char *what, const char *path);

/* Note where it happened; err may be NULL. */
MBJ_API void mbj_error_at(struct mbj_error *err, const char *file,
			  uint64_t offset, uint64_t lsn);

/* Put "prefix: " in front of the message; returns err->rc (or fallback). */
MBJ_API enum mbj_rc mbj_error_prefix(struct mbj_error *err, enum mbj_rc rc,
				     const char *format, ...) MBJ_PRINTF(3, 4);

/* MBJ_ENOMEM with the standard message. */
MBJ_API enum mbj_rc mbj_error_nomem(struct mbj_error *err);

/*
 * Static analyzers read one file at a time and cannot see that a function of
 * another one returns nothing but failures: an output that is written on
 * success only would look forgotten to them.  MBJ_FAILURE(call) tells them,
 * and is the mere call to everybody else.
 */
#if defined(__clang_analyzer__) || defined(MBJ_ANALYZER)
static inline enum mbj_rc mbj_failure(enum mbj_rc rc)
{
	if (rc >= MBJ_OK)
		__builtin_unreachable();
	return rc;
}
#define MBJ_FAILURE(call)     mbj_failure(call)
#define mbj_error_set(...)    MBJ_FAILURE(mbj_error_set(__VA_ARGS__))
#define mbj_error_refuse(...) MBJ_FAILURE(mbj_error_refuse(__VA_ARGS__))
#define mbj_error_errno(...)  MBJ_FAILURE(mbj_error_errno(__VA_ARGS__))
#define mbj_error_prefix(...) MBJ_FAILURE(mbj_error_prefix(__VA_ARGS__))
#define mbj_error_nomem(err)  MBJ_FAILURE(mbj_error_nomem(err))
#else
#define MBJ_FAILURE(call) (call)
#endif

/*
 * Any bytes as one line of valid UTF-8 that a terminal shows and does not
 * obey: controls and bad bytes become \n, \x1b, \u{202e}; what does not fit
 * is cut with an ellipsis.  Error messages have been through it already.
 * Requires: size >= 4; no overlap.  Returns the length without the NUL.
 */
MBJ_API size_t mbj_text_escape(char *ret_text, size_t size,
			       struct mbj_bytes text);

#ifdef __cplusplus
}
#endif

#endif
