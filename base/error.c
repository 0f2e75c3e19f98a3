/*
 * Filling a struct mbj_error: words for the codes, messages that are safe to
 * show, cuts that are visible.
 *
 * It is not a log: nothing is printed here.
 *
 * Invariants:
 *  1. message is escaped as a whole (text.c, invariants 1 to 4), so no caller
 *     has to remember which of its arguments came from outside.
 *  2. Arguments may lie in *err itself: all is formatted before *err changes.
 *  3. rc is never MBJ_OK in a filled error.
 *
 * Threads: pure.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/error.h>

#include "text.h"

/* Here they are themselves, not what error.h makes analyzers see. */
#undef mbj_error_set
#undef mbj_error_refuse
#undef mbj_error_errno
#undef mbj_error_prefix
#undef mbj_error_nomem

/* Raw text before escaping, which never makes it shorter. */
enum { SCRATCH_SIZE = 2 * MBJ_ERROR_MESSAGE_MAX, PATH_SHOWN_MAX = 320 };

_Static_assert((int)SCRATCH_SIZE > (int)MBJ_ERROR_MESSAGE_MAX,
	       "what does not fit the scratch does not fit the message");

const char *mbj_rc_name(enum mbj_rc rc)
{
	switch (rc) {
#define X(name, value, text) \
	case MBJ_##name:     \
		return #name;
		MBJ_RC_MAP(X)
#undef X
	}
	return "unknown";
}

const char *mbj_rc_text(enum mbj_rc rc)
{
	switch (rc) {
#define X(name, value, text) \
	case MBJ_##name:     \
		return text;
		MBJ_RC_MAP(X)
#undef X
	}
	return "unknown error";
}

const char *mbj_refusal_type(enum mbj_refusal refusal)
{
	switch (refusal) {
#define X(name, type)            \
	case MBJ_REFUSAL_##name: \
		return type;
		MBJ_REFUSAL_MAP(X)
#undef X
	}
	return "";
}

MBJ_PRINTF(2, 0)
static void message_format(char message[MBJ_ERROR_MESSAGE_MAX],
			   const char *format, va_list args)
{
	char scratch[SCRATCH_SIZE];
	int length = vsnprintf(scratch, sizeof(scratch), format, args);

	MBJ_ASSERT(length >= 0);
	(void)mbj_text_escape(message, MBJ_ERROR_MESSAGE_MAX,
			      mbj_bytes_str(scratch));
}

enum mbj_rc mbj_error_set(struct mbj_error *err, enum mbj_rc rc,
			  const char *format, ...)
{
	struct mbj_error made;
	va_list args;

	MBJ_ASSERT(rc < 0);
	MBJ_ASSERT(format != NULL);
	if (err == NULL)
		return rc;
	made = (struct mbj_error){.rc = rc};
	va_start(args, format);
	message_format(made.message, format, args);
	va_end(args);
	*err = made;
	return rc;
}

enum mbj_rc mbj_error_refuse(struct mbj_error *err, enum mbj_refusal refusal,
			     const char *subject_kind, const char *subject,
			     const char *format, ...)
{
	struct mbj_error made = {.rc = MBJ_EINVALID, .refusal = refusal};
	va_list args;

	MBJ_ASSERT(refusal != MBJ_REFUSAL_NONE);
	MBJ_ASSERT(format != NULL);
	if (err == NULL)
		return MBJ_EINVALID;
	made.subject_kind = subject_kind;
	if (subject != NULL)
		text_cut_tail(made.subject, sizeof(made.subject), subject);
	va_start(args, format);
	message_format(made.message, format, args);
	va_end(args);
	*err = made;
	return MBJ_EINVALID;
}

static enum mbj_rc rc_of_errno(int errnum)
{
	switch (errnum) {
	case ENOSPC:
	case EDQUOT:
		return MBJ_ENOSPC;
	case ENOMEM:
		return MBJ_ENOMEM;
	case ENOENT:
		return MBJ_ENOTFOUND;
	case EEXIST:
		return MBJ_EEXISTS;
	default:
		return MBJ_EIO;
	}
}

enum mbj_rc mbj_error_errno(struct mbj_error *err, int errnum, const char *what,
			    const char *path)
{
	enum mbj_rc rc = rc_of_errno(errnum);
	char shown[PATH_SHOWN_MAX] = "";
	char file[MBJ_ERROR_FILE_MAX] = "";
	char reason[128];

	MBJ_ASSERT(errnum > 0);
	MBJ_ASSERT(what != NULL);
	if (err == NULL)
		return rc;
	if (path != NULL) {
		text_cut_head(shown, sizeof(shown), path);
		text_cut_head(file, sizeof(file), path);
	}
	if (strerror_r(errnum, reason, sizeof(reason)) != 0)
		(void)snprintf(reason, sizeof(reason), "system error %d",
			       errnum);
	(void)mbj_error_set(err, rc, "%s%s%s: %s", what,
			    path == NULL ? "" : " ", shown, reason);
	memcpy(err->file, file, sizeof(file));
	return rc;
}

void mbj_error_at(struct mbj_error *err, const char *file, uint64_t offset,
		  uint64_t lsn)
{
	char cut[MBJ_ERROR_FILE_MAX] = "";

	if (err == NULL)
		return;
	MBJ_ASSERT(err->rc < 0);
	if (file != NULL)
		text_cut_head(cut, sizeof(cut), file);
	memcpy(err->file, cut, sizeof(cut));
	err->offset = offset;
	err->lsn = lsn;
}

enum mbj_rc mbj_error_prefix(struct mbj_error *err, enum mbj_rc rc,
			     const char *format, ...)
{
	char prefix[MBJ_ERROR_MESSAGE_MAX];
	char both[2 * MBJ_ERROR_MESSAGE_MAX + 2];
	va_list args;

	MBJ_ASSERT(rc < 0);
	MBJ_ASSERT(format != NULL);
	if (err == NULL)
		return rc;
	MBJ_ASSERT(err->rc < 0);
	va_start(args, format);
	message_format(prefix, format, args);
	va_end(args);
	(void)snprintf(both, sizeof(both), "%s: %s", prefix, err->message);
	(void)mbj_text_escape(err->message, sizeof(err->message),
			      mbj_bytes_str(both));
	return err->rc;
}

enum mbj_rc mbj_error_nomem(struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOMEM,
			     "out of memory; free some or raise the limit of "
			     "this process");
}
