/*
 * The status page: a template (page/) and what fills it.  All of it is made
 * here, once, with script or without; the page's own script fetches the part
 * that changes and puts it in place, and draws the plots.
 *
 * Pure.
 */
#ifndef MBJ_CLI_PAGE_H
#define MBJ_CLI_PAGE_H

#include "lookout.h"

/* name: what the store is called; nonce: of its style and script. */
void page_print(const char *name, const struct lookout_view *view,
		const char *nonce, struct mbj_buf *out);
/* The part that changes. */
void page_state_print(const char *name, const struct lookout_view *view,
		      struct mbj_buf *out);

#endif
