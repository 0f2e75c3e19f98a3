/*
 * What an import or an export says: bad messages, notes, progress, the sum.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <unistd.h>

#include "mail.h"

/* What and why have to fit into a line of cli_say. */
enum { PROGRESS_US = 100000, WHY_MAX = 1024, WHAT_MAX = 900 };

void mail_report_init(struct mail_report *report, const struct cli_call *call)
{
	*report = (struct mail_report){.call = call,
				       .has_progress =
					       isatty(STDERR_FILENO) == 1};
}

static void progress_clear(struct mail_report *report)
{
	if (report->is_shown)
		(void)fputs("\r\033[K", stderr);
	report->is_shown = false;
}

static bool is_inner(char byte)
{
	return ((uint8_t)byte & 0xc0) == 0x80;
}

/* A path may be longer than a line: its ends, so that the line says why. */
static void what_fit(const char *what, char ret_text[WHAT_MAX])
{
	size_t n = strlen(what), head = WHAT_MAX / 2 - 4;
	const char *tail = what + n;

	if (n < WHAT_MAX) {
		memcpy(ret_text, what, n + 1);
		return;
	}
	tail -= head;
	while (head > 0 && is_inner(what[head]))
		head--;
	while (is_inner(*tail))
		tail++;
	(void)snprintf(ret_text, WHAT_MAX, "%.*s...%s", (int)head, what, tail);
}

MBJ_PRINTF(4, 0)
static void say(struct mail_report *report, const char *kind, const char *what,
		const char *format, va_list args)
{
	char why[WHY_MAX], ends[WHAT_MAX];

	what_fit(what, ends);
	(void)vsnprintf(why, sizeof(why), format, args);
	progress_clear(report);
	cli_say(report->call, "%s: %s: %s", kind, ends, why);
}

void mail_left_out(struct mail_report *report, const char *what,
		   const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(report, "left out", what, format, args);
	va_end(args);
	report->left_out_count++;
}

void mail_note(struct mail_report *report, const char *what, const char *format,
	       ...)
{
	va_list args;

	va_start(args, format);
	say(report, "note", what, format, args);
	va_end(args);
	report->note_count++;
}

void mail_progress(struct mail_report *report, const char *what, uint64_t done,
		   uint64_t total)
{
	char escaped[256];
	int64_t now;

	if (!report->has_progress)
		return;
	now = mbj_sys_posix()->now_us(mbj_sys_posix()->ctx);
	if (now - report->shown_us < PROGRESS_US && now >= report->shown_us)
		return;
	report->shown_us = now;
	report->is_shown = true;
	(void)mbj_text_escape(escaped, sizeof(escaped), mbj_bytes_str(what));
	if (total > 0)
		(void)fprintf(stderr, "\r\033[K%s: %" PRIu64 " of %" PRIu64,
			      escaped, done, total);
	else
		(void)fprintf(stderr, "\r\033[K%s: %" PRIu64, escaped, done);
	(void)fflush(stderr);
}

static void report_put(struct mail_report *report, const char *word,
		       const char *verb, struct mbj_buf *out)
{
	const struct cli_options *options = &report->call->options;

	if (options->is_json)
		mbj_buf_format(out,
			       "{\"schema\":\"mbj.%s/1\",\"dryRun\":%s,"
			       "\"mailboxes\":%" PRIu64
			       ",\"mailboxesCreated\":%" PRIu64
			       ",\"messages\":%" PRIu64 ",\"size\":%" PRIu64
			       ",\"present\":%" PRIu64 ",\"leftOut\":%" PRIu64
			       ",\"notes\":%" PRIu64 "}\n",
			       word, options->is_dry_run ? "true" : "false",
			       report->mailbox_count, report->created_count,
			       report->message_count, report->message_size,
			       report->present_count, report->left_out_count,
			       report->note_count);
	else
		mbj_buf_format(out,
			       "%s%s %" PRIu64 " messages of %" PRIu64
			       " mailboxes; %" PRIu64 " were there already, "
			       "%" PRIu64 " left out\n",
			       options->is_dry_run ? "would have " : "", verb,
			       report->message_count, report->mailbox_count,
			       report->present_count, report->left_out_count);
}

int mail_report_end(struct mail_report *report, struct session *s,
		    enum mbj_rc rc, const char *word, const char *verb)
{
	int status;

	progress_clear(report);
	if (rc == MBJ_OK)
		report_put(report, word, verb, &s->out);
	else if (report->message_count > 0 && !s->edit.is_dry_run)
		cli_say(report->call,
			"%s %" PRIu64 " messages before it stopped; run it "
			"again to go on",
			verb, report->message_count);
	status = session_end(s, rc);
	return status == CLI_OK && report->left_out_count > 0 ? CLI_PARTIAL
							      : status;
}
