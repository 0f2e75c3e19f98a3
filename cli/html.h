/*
 * Text into HTML.  Whatever comes from a user, a disk or a peer goes through
 * here, in text and in attributes alike.
 *
 * Pure.
 */
#ifndef MBJ_CLI_HTML_H
#define MBJ_CLI_HTML_H

#include <mbj/memory.h>

/*
 * Any bytes: controls, what reorders its neighbours and what is no UTF-8 as
 * \u{XXXX} or \xXX (mbj_name_escape), then markup as character references.
 */
void html_name(struct mbj_buf *out, struct mbj_bytes name);
/* What is printable already. */
void html_text(struct mbj_buf *out, struct mbj_bytes text);
void html_str(struct mbj_buf *out, const char *text);

/* "1.2 s", "3 min 5 s", "2 h 10 min", "3 d 4 h" */
void html_duration(struct mbj_buf *out, uint64_t ms);
/* "12 B", "1.5 MiB" */
void html_size(struct mbj_buf *out, uint64_t bytes);
/* "2026-11-27 03:12:45 UTC" */
void html_time(struct mbj_buf *out, int64_t time_us);

#endif
