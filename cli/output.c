/*
 * What all verbs say and how: messages, exit statuses, standard output.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <mbj/jmap.h>

#include "cli.h"

/* A code means a decision, and so does a status: this is the map. */
int cli_exit_status(const struct mbj_error *err)
{
	if (err->refusal != MBJ_REFUSAL_NONE)
		return CLI_REFUSED;
	switch (err->rc) {
	case MBJ_OK:
		return CLI_OK;
	case MBJ_EEXISTS:
	case MBJ_ECONFLICT:
	case MBJ_EFENCED:
	case MBJ_EUNSUPPORTED:
	case MBJ_ELIMIT:
	case MBJ_EINVALID:
		return CLI_REFUSED;
	case MBJ_ECORRUPT:
		return CLI_CORRUPT;
	case MBJ_EBUSY:
		return CLI_LOCKED;
	case MBJ_ENOSPC:
	case MBJ_ENOMEM:
		return CLI_TEMPORARY;
	case MBJ_ENOTFOUND:
	case MBJ_EIO:
		return CLI_FAILED;
	}
	return CLI_FAILED;
}

void cli_say(const struct cli_call *call, const char *format, ...)
{
	va_list args;

	(void)fprintf(stderr, "mbj%s%s: ", call->verb ? " " : "",
		      call->verb ? call->verb->word : "");
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	(void)fputc('\n', stderr);
}

/* Where it happened, unless the message says so already. */
static void say_place(const struct mbj_error *err, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	if (err->file[0] != '\0' && !strstr(err->message, err->file))
		at += (size_t)snprintf(text, size, " [%s", err->file);
	if (err->offset != 0 && at < size)
		at += (size_t)snprintf(text + at, size - at, "%sbyte %" PRIu64,
				       at ? ", " : " [", err->offset);
	if (err->lsn != 0 && at < size)
		at += (size_t)snprintf(text + at, size - at, "%sgroup %" PRIu64,
				       at ? ", " : " [", err->lsn);
	if (at > 0 && at + 1 < size)
		memcpy(text + at, "]", 2);
}

int cli_fail(const struct cli_call *call, const struct mbj_error *err)
{
	int status = cli_exit_status(err);
	struct mbj_buf document;
	char place[512];

	say_place(err, place, sizeof(place));
	cli_say(call, "%s%s", err->message, place);
	if (status == CLI_REFUSED &&
	    (err->refusal != MBJ_REFUSAL_NONE || call->options.is_json)) {
		mbj_buf_init(&document, 64 << 10);
		if (mbj_jmap_error_print(err, &document, NULL) == MBJ_OK)
			(void)cli_write(call, mbj_buf_view(&document));
		mbj_buf_done(&document);
	}
	return status;
}

int cli_write(const struct cli_call *call, struct mbj_bytes bytes)
{
	size_t done = 0;

	while (done < bytes.n) {
		ssize_t n =
			write(STDOUT_FILENO, bytes.p + done, bytes.n - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			cli_say(call, "cannot write to standard output: %s",
				strerror(errno));
			return CLI_FAILED;
		}
		done += (size_t)n;
	}
	return CLI_OK;
}

int cli_write_done(const struct cli_call *call, struct mbj_buf *buf)
{
	struct mbj_error err;
	int status;

	if (mbj_buf_ok(buf, &err) < 0)
		status = cli_fail(call, &err);
	else
		status = cli_write(call, mbj_buf_view(buf));
	mbj_buf_done(buf);
	return status;
}
