/*
 * Looking again and again; see watch.h.
 */
#define _DEFAULT_SOURCE /* struct winsize */
#include "watch.h"

#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <mbj/jmap.h>

#include "html.h"
#include "number.h"
#include "verdict.h"

enum { WATCH_S = 2, WATCH_S_MAX = 86400, ROWS_USUAL = 24, ROWS_LEAST = 4 };

static size_t terminal_rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ||
	    size.ws_row < ROWS_LEAST)
		return ROWS_USUAL;
	return size.ws_row;
}

/*
 * From the upper left corner on, each line's old rest cleared behind it and
 * what is below at the end: nothing flickers.  No line is wrapped, and there
 * are no more than fit.
 */
static void put_screen(struct mbj_buf *out, struct mbj_bytes text)
{
	size_t fit = terminal_rows() - 1;
	size_t lines = 0;

	mbj_buf_put_str(out, "\x1b[?7l\x1b[H");
	for (size_t i = 0; i < text.n; i++) {
		if (lines < fit && text.p[i] == '\n')
			mbj_buf_put_str(out, "\x1b[K\n");
		else if (lines < fit)
			mbj_buf_put_u8(out, text.p[i]);
		lines += text.p[i] == '\n';
	}
	if (lines > fit)
		mbj_buf_format(out, "(%zu lines more)", lines - fit);
	mbj_buf_put_str(out, "\x1b[J\x1b[?7h");
}

static void put_time(struct mbj_buf *out)
{
	const struct mbj_sys *sys = mbj_sys_posix();

	html_time(out, sys->now_us(sys->ctx));
	mbj_buf_put_str(out, "  ");
}

/* status NULL: it could not be had, for why. */
static void put_look(const struct cli_call *call,
		     const struct cli_status *status,
		     const struct mbj_error *why, struct mbj_buf *out)
{
	struct verdict verdict;

	if (call->options.is_json && status != NULL) {
		cli_status_json(status, out);
		return;
	}
	if (call->options.is_json) {
		if (mbj_jmap_error_print(why, out, NULL) < 0)
			mbj_buf_clear(out);
		return;
	}
	verdict_init(&verdict, &call->options);
	if (status != NULL)
		verdict_judge(&verdict, status);
	else
		verdict_look_fail(&verdict, call->operands[0], why);
	put_time(out);
	verdict_line(&verdict, NULL, out);
	if (call->options.is_terminal && status != NULL)
		cli_status_text(status, out);
	verdict_done(&verdict);
}

static int watch_once(const struct cli_call *call, struct cli_watcher *watcher)
{
	struct cli_status status;
	struct mbj_error err;
	struct mbj_buf text;
	struct mbj_buf out;

	mbj_buf_init(&text, STATUS_OUTPUT_MAX);
	if (cli_status_watch(watcher, &status, &err) < 0) {
		put_look(call, NULL, &err, &text);
	} else {
		put_look(call, &status, NULL, &text);
		cli_status_done(&status);
	}
	if (call->options.is_json || !call->options.is_terminal)
		return cli_write_done(call, &text);
	mbj_buf_init(&out, 2 * STATUS_OUTPUT_MAX);
	put_screen(&out, mbj_buf_view(&text));
	mbj_buf_done(&text);
	return cli_write_done(call, &out);
}

int cli_watch(const struct cli_call *call)
{
	struct cli_watcher watcher = {.path = call->operands[0],
				      .socket = call->options.socket};
	struct pollfd stop = {.events = POLLIN};
	uint64_t every_s = call->options.every;
	int status;

	if (every_s == 0)
		every_s = WATCH_S;
	if (!number_check(call, "every", every_s, WATCH_S_MAX))
		return CLI_USAGE;
	stop.fd = cli_stop_open(call);
	if (stop.fd < 0)
		return CLI_FAILED;
	if (call->options.is_terminal && !call->options.is_json)
		(void)cli_write(call, mbj_bytes_str("\x1b[H\x1b[2J"));
	do
		status = watch_once(call, &watcher);
	while (status == CLI_OK && poll(&stop, 1, (int)every_s * 1000) <= 0);
	cli_watcher_done(&watcher);
	(void)close(stop.fd);
	return status;
}
