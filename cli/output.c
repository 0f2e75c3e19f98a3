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

/* The longest message, with a path or two; what is mostly escaped is cut. */
enum { SAY_MAX = 2048, SAY_ESCAPED_MAX = 5120 };

/* A code means a decision, and so does a status: this is the map. */
int cli_exit_status(const struct mbj_error *err)
{
	/* Nothing was refused where there was nothing to do it to. */
	if (err->refusal == MBJ_REFUSAL_ACCOUNT_NOT_FOUND &&
	    err->rc == MBJ_ENOTFOUND)
		return CLI_FAILED;
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
	case MBJ_EUNRECEIVED: /* done, but not all that was asked for */
		return CLI_PARTIAL;
	case MBJ_ENOSPC:
	case MBJ_ENOMEM:
		return CLI_TEMPORARY;
	case MBJ_ENOTFOUND:
	case MBJ_EIO:
	case MBJ_EBEHIND:
		return CLI_FAILED;
	}
	return CLI_FAILED;
}

void cli_say(const struct cli_call *call, const char *format, ...)
{
	char escaped[SAY_ESCAPED_MAX];
	char text[SAY_MAX];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	/* Operands are quoted as they came; what was escaped stays as it is. */
	(void)mbj_text_escape(escaped, sizeof(escaped), mbj_bytes_str(text));
	(void)fprintf(stderr, "mbj%s%s: %s\n", call->verb ? " " : "",
		      call->verb ? call->verb->word : "", escaped);
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

int cli_complain(const struct cli_call *call, const struct mbj_error *err)
{
	char place[512];

	say_place(err, place, sizeof(place));
	cli_say(call, "%s%s", err->message, place);
	return cli_exit_status(err);
}

/* Those that can be asked again by a request id, and import. */
static bool verb_edits(const struct cli_verb *verb)
{
	const struct cli_option *option;

	if (verb == NULL || verb->id == CLI_VERB_IMPORT)
		return verb != NULL;
	for (size_t i = 0; (option = cli_option_get(i)) != NULL; i++)
		if (strcmp(option->word, "request-id") == 0)
			return cli_option_is_for(option, verb);
	return false;
}

int cli_fail(const struct cli_call *call, const struct mbj_error *err)
{
	int status = cli_complain(call, err);
	struct mbj_buf document;

	if (err->refusal != MBJ_REFUSAL_NONE || call->options.is_json ||
	    (status == CLI_REFUSED && verb_edits(call->verb))) {
		mbj_buf_init(&document, 64 << 10);
		if (mbj_jmap_error_print(err, &document, NULL) == MBJ_OK)
			(void)cli_write(call, mbj_buf_view(&document));
		mbj_buf_done(&document);
	}
	return status;
}

enum mbj_rc cli_no_account(const struct cli_call *call, struct mbj_error *err)
{
	const char *store = call->operands[0];
	const char *account = call->operands[1];

	(void)mbj_error_refuse(err, MBJ_REFUSAL_ACCOUNT_NOT_FOUND, "account",
			       account,
			       "there is no account \"%s\" in %s; mbj "
			       "accounts lists them, mbj import makes one",
			       account, store);
	err->rc = MBJ_ENOTFOUND;
	return MBJ_ENOTFOUND;
}

enum mbj_rc cli_no_mailbox(const char *path, struct mbj_error *err)
{
	(void)mbj_error_refuse(err, MBJ_REFUSAL_NOT_FOUND, "mailbox", path,
			       "there is no mailbox \"%.200s\"; mbj tree "
			       "lists them",
			       path);
	err->rc = MBJ_ENOTFOUND;
	return MBJ_ENOTFOUND;
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
