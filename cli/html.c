/*
 * Text into HTML; see html.h.
 */
#include "html.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include <mbj/name.h>

enum { ESCAPED_MAX = 1 << 20 };

void html_text(struct mbj_buf *out, struct mbj_bytes text)
{
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
		case '&':
			mbj_buf_put_str(out, "&amp;");
			break;
		case '<':
			mbj_buf_put_str(out, "&lt;");
			break;
		case '>':
			mbj_buf_put_str(out, "&gt;");
			break;
		case '"':
			mbj_buf_put_str(out, "&quot;");
			break;
		case '\'':
			mbj_buf_put_str(out, "&#39;");
			break;
		default:
			mbj_buf_put_u8(out, text.p[i]);
		}
	}
}

void html_str(struct mbj_buf *out, const char *text)
{
	html_text(out, mbj_bytes_str(text));
}

void html_name(struct mbj_buf *out, struct mbj_bytes name)
{
	struct mbj_buf escaped;

	mbj_buf_init(&escaped, ESCAPED_MAX);
	mbj_name_escape(&escaped, name);
	html_text(out, mbj_buf_view(&escaped));
	mbj_buf_done(&escaped);
}

void html_duration(struct mbj_buf *out, uint64_t ms)
{
	uint64_t s = ms / 1000;

	if (s < 60)
		mbj_buf_format(out, "%" PRIu64 ".%" PRIu64 " s", s,
			       ms / 100 % 10);
	else if (s < 3600)
		mbj_buf_format(out, "%" PRIu64 " min %" PRIu64 " s", s / 60,
			       s % 60);
	else if (s < 86400)
		mbj_buf_format(out, "%" PRIu64 " h %" PRIu64 " min", s / 3600,
			       s / 60 % 60);
	else
		mbj_buf_format(out, "%" PRIu64 " d %" PRIu64 " h", s / 86400,
			       s / 3600 % 24);
}

void html_size(struct mbj_buf *out, uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	uint64_t size = bytes;
	size_t unit = 0;

	if (bytes < 1024) {
		mbj_buf_format(out, "%" PRIu64 " B", bytes);
		return;
	}
	for (; size >= 1024 * UINT64_C(1024); size /= 1024)
		unit++;
	mbj_buf_format(out, "%" PRIu64 ".%" PRIu64 " %ciB", size / 1024,
		       size % 1024 * 10 / 1024, units[unit]);
}

void html_time(struct mbj_buf *out, int64_t time_us)
{
	time_t seconds = (time_t)(time_us / 1000000);
	char text[64];
	struct tm tm;

	if (gmtime_r(&seconds, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		mbj_buf_put_str(out, text);
}
