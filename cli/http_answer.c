/*
 * The table of paths; see http_answer.h.
 */
#include "http_answer.h"

#include <inttypes.h>
#include <string.h>

#include <mbj/jmap.h>

#include "metrics.h"
#include "page.h"

enum { OK = 200, NO_CONTENT = 204, NOT_FOUND = 404, FAILED = 500, AWAY = 503 };

#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define TYPE_HTML "text/html; charset=utf-8"

/* What belongs to no page may do nothing at all. */
#define POLICY_NONE "default-src 'none'; frame-ancestors 'none'"

struct asked {
	const char *name;
	const struct lookout_view *view;
};

static void page_answer(const struct asked *asked, struct http_answer *a)
{
	char nonce[MBJ_ID_TEXT_SIZE];
	struct mbj_id id;

	if (mbj_id_generate(mbj_sys_posix(), &id, NULL) < 0) {
		a->code = FAILED;
		return;
	}
	mbj_id_print(id, nonce);
	(void)snprintf(a->policy, sizeof(a->policy),
		       "default-src 'none'; style-src 'nonce-%s'; "
		       "script-src 'nonce-%s'; connect-src 'self'; "
		       "img-src 'self'; base-uri 'none'; form-action 'none'; "
		       "frame-ancestors 'none'",
		       nonce, nonce);
	page_print(asked->name, asked->view, nonce, &a->body);
}

static void state_answer(const struct asked *asked, struct http_answer *a)
{
	page_state_print(asked->name, asked->view, &a->body);
}

static void failure_put(struct http_answer *a, const struct mbj_error *err)
{
	a->code = AWAY;
	if (mbj_jmap_error_print(err, &a->body, NULL) < 0)
		a->code = FAILED;
}

static void status_answer(const struct asked *asked, struct http_answer *a)
{
	const struct lookout_view *view = asked->view;

	if (!view->is_known || view->is_stale)
		failure_put(a, &view->err);
	else if (!view->status.is_served)
		failure_put(a, &view->status.why);
	else
		cli_status_json(&view->status, &a->body);
}

static void metrics_answer(const struct asked *asked, struct http_answer *a)
{
	if (asked->view->is_known && !asked->view->is_stale) {
		metrics_print(&asked->view->status, asked->name, &a->body);
		return;
	}
	a->code = AWAY;
	mbj_buf_put_str(&a->body, asked->view->err.message);
	mbj_buf_put_str(&a->body, "\n");
}

static void health_answer(const struct asked *asked, struct http_answer *a)
{
	const struct lookout_view *view = asked->view;
	const struct verdict *v = &view->verdict;

	/* A store whose replicas are away is still the one to send users to. */
	for (size_t i = 0; i < v->count; i++)
		if (v->findings[i].level > VERDICT_WARNING &&
		    v->findings[i].kind != VERDICT_KIND_REPLICAS)
			a->code = AWAY;
	verdict_line(&view->verdict, view->is_known ? &view->status : NULL,
		     &a->body);
}

static void history_answer(const struct asked *asked, struct http_answer *a)
{
	const struct verdict *v = &asked->view->verdict;

	history_json(asked->view->history, v->warning_s, v->critical_s,
		     &a->body);
}

/* Asked for by every browser. */
static void icon_answer(const struct asked *asked, struct http_answer *a)
{
	(void)asked;
	a->code = NO_CONTENT;
}

static const struct {
	const char *path;
	const char *type;
	void (*run)(const struct asked *asked, struct http_answer *a);
} paths[] = {
	{"/", TYPE_HTML, page_answer},
	{"/state", TYPE_HTML, state_answer},
	{"/status.json", TYPE_JSON, status_answer},
	{"/metrics", "text/plain; version=0.0.4; charset=utf-8",
	 metrics_answer},
	{"/healthz", TYPE_TEXT, health_answer},
	{"/history.json", TYPE_JSON, history_answer},
	{"/favicon.ico", "image/x-icon", icon_answer},
};

void http_answer_text(unsigned code, const char *text,
		      struct http_answer *ret_answer)
{
	*ret_answer = (struct http_answer){.code = code,
					   .type = TYPE_TEXT,
					   .policy = POLICY_NONE};
	mbj_buf_init(&ret_answer->body, HTTP_BODY_MAX);
	mbj_buf_put_str(&ret_answer->body, text);
	mbj_buf_put_str(&ret_answer->body, "\n");
}

void http_answer(const char *path, const char *name,
		 const struct lookout_view *view,
		 struct http_answer *ret_answer)
{
	const struct asked asked = {name, view};
	struct http_answer *a = ret_answer;
	size_t i = 0;

	while (i < sizeof(paths) / sizeof(*paths) &&
	       strcmp(paths[i].path, path) != 0)
		i++;
	if (i == sizeof(paths) / sizeof(*paths)) {
		http_answer_text(NOT_FOUND,
				 "there is /, /status.json, /metrics, /healthz "
				 "and /history.json",
				 a);
		return;
	}
	*a = (struct http_answer){.code = OK,
				  .type = paths[i].type,
				  .policy = POLICY_NONE};
	mbj_buf_init(&a->body, HTTP_BODY_MAX);
	paths[i].run(&asked, a);
	if (mbj_buf_ok(&a->body, NULL) < 0 || a->code == FAILED) {
		mbj_buf_done(&a->body);
		http_answer_text(FAILED, "too much for one answer", a);
	}
}
