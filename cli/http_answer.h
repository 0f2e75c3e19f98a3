/*
 * What is answered: a table of paths.
 *
 * Pure, but for the random number of a page.
 */
#ifndef MBJ_CLI_HTTP_ANSWER_H
#define MBJ_CLI_HTTP_ANSWER_H

#include "lookout.h"

enum { HTTP_BODY_MAX = 64 << 20, HTTP_POLICY_MAX = 512 };

struct http_answer {
	unsigned code;
	const char *type;
	char policy[HTTP_POLICY_MAX]; /* Content-Security-Policy */
	struct mbj_buf body;
};

/*
 * name: what the store is called.  Ownership: mbj_buf_done of the body,
 * whatever comes of it.
 */
void http_answer(const char *path, const char *name,
		 const struct lookout_view *view,
		 struct http_answer *ret_answer);
/* A line of text, for those that get nothing else. */
void http_answer_text(unsigned code, const char *text,
		      struct http_answer *ret_answer);

#endif
