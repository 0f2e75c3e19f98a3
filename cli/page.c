/*
 * Filling the template; see page.h.
 */
#include "page.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <mbj/check.h>

#include "behind.h"
#include "html.h"
#include "page_data.h"
#include "parked.h"
#include "replicas.h"

enum {
	PARKED_SHOWN = 100, /* accounts; the command lists all */
	REPLICAS_SHOWN = 100,
	VALUE_MAX = 1024,
};

/* X(level, class, mark): no signal is a colour alone. */
#define LEVEL_MAP(X)                            \
	X(OK, "ok", "\xe2\x9c\x94")             \
	X(WARNING, "warning", "\xe2\x96\xb2")   \
	X(CRITICAL, "critical", "\xe2\x9c\x96") \
	X(UNKNOWN, "unknown", "?")

static const char *const level_classes[] = {
#define X(name, class, mark) [VERDICT_##name] = (class),
	LEVEL_MAP(X)
#undef X
};

static const char *const level_marks[] = {
#define X(name, class, mark) [VERDICT_##name] = (mark),
	LEVEL_MAP(X)
#undef X
};

/* ----------------------------------------------------------------- pieces */

static void put(struct mbj_buf *out, const char *markup)
{
	mbj_buf_put_str(out, markup);
}

/* A row of facts: what is formatted is text. */
MBJ_PRINTF(3, 4)
static void fact(struct mbj_buf *out, const char *what, const char *format, ...)
{
	char value[VALUE_MAX];
	va_list args;

	va_start(args, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	(void)vsnprintf(value, sizeof(value), format, args);
	va_end(args);
	mbj_buf_format(out, "<tr><th scope=\"row\">%s</th><td>", what);
	html_str(out, value);
	put(out, "</td></tr>\n");
}

static void facts_begin(struct mbj_buf *out, const char *title)
{
	mbj_buf_format(out,
		       "<section><h2>%s</h2>\n"
		       "<table class=\"facts\"><tbody>\n",
		       title);
}

static void facts_end(struct mbj_buf *out)
{
	put(out, "</tbody></table></section>\n");
}

static void rows_begin(struct mbj_buf *out, const char *const *heads)
{
	put(out, "<table class=\"rows\"><thead><tr>");
	for (; *heads != NULL; heads++)
		mbj_buf_format(out, "<th scope=\"col\">%s</th>", *heads);
	put(out, "</tr></thead><tbody>\n");
}

static void rows_end(struct mbj_buf *out)
{
	put(out, "</tbody></table>\n");
}

static void cell(struct mbj_buf *out, const char *head)
{
	mbj_buf_format(out, "<td data-label=\"%s\">", head);
}

/* ---------------------------------------------------------------- verdict */

static void put_finding(struct mbj_buf *out, const struct verdict *v,
			const struct verdict_finding *f)
{
	mbj_buf_format(out, "<li class=\"%s\"><p class=\"what\"><b>%s:</b> ",
		       level_classes[f->level], verdict_word(f->level));
	html_text(out, verdict_text(v, f));
	put(out, "</p>");
	if (f->level != VERDICT_OK && verdict_advice(f->kind)[0] != '\0') {
		put(out, "<p>");
		html_str(out, verdict_advice(f->kind));
		put(out, "</p>");
	}
	if (f->level != VERDICT_OK && verdict_command(f->kind)[0] != '\0') {
		put(out, "<code class=\"command\" tabindex=\"0\">");
		html_str(out, verdict_command(f->kind));
		put(out, "</code>");
	}
	put(out, "</li>\n");
}

static void put_verdict(struct mbj_buf *out, const struct verdict *v)
{
	mbj_buf_format(out,
		       "<section id=\"verdict\" class=\"box %s\">"
		       "<h2><span aria-hidden=\"true\">%s</span> %s</h2>\n"
		       "<ul>\n",
		       level_classes[v->level], level_marks[v->level],
		       verdict_word(v->level));
	/* What is worst stands first. */
	for (int level = VERDICT_UNKNOWN; level >= VERDICT_OK; level--)
		for (size_t i = 0; i < v->count; i++)
			if ((int)v->findings[i].level == level)
				put_finding(out, v, &v->findings[i]);
	put(out, "</ul></section>\n");
}

/* ------------------------------------------------------------------- lag */

/* As mbj status says it, where it says something. */
static void put_told(struct mbj_buf *out, const char *what,
		     const struct mbj_client_status *s,
		     void (*tell)(const struct mbj_client_status *status,
				  struct mbj_buf *text))
{
	struct mbj_buf text;

	mbj_buf_init(&text, VALUE_MAX);
	tell(s, &text);
	if (text.n > 0) {
		mbj_buf_format(out, "<tr><th scope=\"row\">%s</th><td>", what);
		html_text(out, mbj_buf_view(&text));
		put(out, "</td></tr>\n");
	}
	mbj_buf_done(&text);
}

static void put_upstream(struct mbj_buf *out, const struct mbj_client_status *s)
{
	const struct mbj_upstream_status *u = &s->upstream;

	if (u->state == MBJ_UPSTREAM_NONE)
		return;
	facts_begin(out, "Source");
	fact(out, "Connection", "%s, %" PRIu64 " connections so far",
	     mbj_upstream_word(u->state), u->connections);
	put(out, "<tr><th scope=\"row\">Current</th><td>");
	if (!u->was_current)
		put(out, "not since following began, ");
	html_duration(out, u->lag_ms);
	put(out, " ago</td></tr>\n");
	if (u->was_met)
		fact(out, "Behind", "%" PRIu64 " of %" PRIu64 " groups",
		     cli_status_behind(s), u->end);
	put_told(out, "Behind in bytes", s, cli_status_left_text);
	put(out, "<tr><th scope=\"row\">Heard</th><td>");
	if (u->was_met)
		html_duration(out, u->heard_ms);
	put(out, u->was_met ? " ago</td></tr>\n" : "never</td></tr>\n");
	if (u->paused_ms > 0) {
		put(out, "<tr><th scope=\"row\">Paused by it</th><td>for ");
		html_duration(out, u->paused_ms);
		put(out, " more</td></tr>\n");
	}
	put_told(out, "Made again", s, cli_resync_text);
	put_told(out, "What comes", s, cli_pack_text);
	if (u->lost > 0)
		fact(out, "Contents lost there", "%" PRIu64, u->lost);
	if (u->reason[0] != '\0') {
		put(out, "<tr><th scope=\"row\">Last end</th><td>");
		html_name(out, mbj_bytes_str(u->reason));
		put(out, "</td></tr>\n");
	}
	facts_end(out);
}

static void put_replica_behind(struct mbj_buf *out,
			       const struct mbj_client_status *s,
			       const struct mbj_replica_note *note)
{
	cell(out, "Behind");
	mbj_buf_format(out, "%" PRIu64 " groups",
		       s->end.lsn.v > note->applied.v
			       ? s->end.lsn.v - note->applied.v
			       : 0);
	if (note->is_behind_known) {
		put(out, ", ");
		cli_behind_text(&note->behind, out);
	}
	put(out, "</td>");
}

static void put_taking(struct mbj_buf *out, const struct mbj_replica_note *note,
		       struct mbj_id boot)
{
	struct mbj_buf text;

	mbj_buf_init(&text, VALUE_MAX);
	cli_replica_take(note, boot, &text);
	html_text(out, mbj_buf_view(&text));
	mbj_buf_done(&text);
}

static void put_replica(struct mbj_buf *out, const struct mbj_client_status *s,
			const struct mbj_replica_note *note, struct mbj_id boot)
{
	uint64_t heard_s = cli_replica_heard_s(note, boot);
	char id[MBJ_ID_TEXT_SIZE];
	uint64_t lag;

	mbj_id_print(note->instance, id);
	put(out, "<tr><th scope=\"row\"><bdi>");
	html_name(out, mbj_bytes_str(note->name[0] != '\0' ? note->name : id));
	put(out, "</bdi></th>");
	cell(out, "From");
	html_name(out, mbj_bytes_str(note->address[0] != '\0' ? note->address
							      : "not known"));
	put(out, "</td>");
	cell(out, "State");
	if (cli_replica_is_taking(note, boot)) {
		put_taking(out, note, boot);
	} else if (note->paused_ms == 0) {
		put(out, cli_replica_is_connected(note, boot)
				 ? "connected"
				 : "\xe2\x96\xb2 away");
	} else {
		put(out, "paused, for ");
		html_duration(out, note->paused_ms);
		put(out, " more");
	}
	put(out, "</td>");
	cell(out, "Current");
	if (mbj_replica_lag(note, boot, &lag)) {
		html_duration(out, lag);
		put(out, " ago");
	} else {
		put(out, "not known");
	}
	put(out, "</td>");
	put_replica_behind(out, s, note);
	cell(out, "Heard");
	html_duration(out, heard_s * 1000);
	put(out, " ago</td>");
	cell(out, "Set aside");
	if (note->parked.v == 0)
		put(out, "nothing</td></tr>\n");
	else
		mbj_buf_format(out,
			       "\xe2\x96\xb2 from group %" PRIu64
			       "</td></tr>\n",
			       note->parked.v);
}

static void put_pauses(struct mbj_buf *out, const struct cli_status *status)
{
	size_t shown = status->pause_count;
	char id[MBJ_ID_TEXT_SIZE];
	struct mbj_buf state;

	if (shown > REPLICAS_SHOWN)
		shown = REPLICAS_SHOWN;
	for (size_t i = 0; i < shown; i++) {
		mbj_id_print(status->pauses[i].instance, id);
		mbj_buf_init(&state, VALUE_MAX);
		cli_pause_state(&status->pauses[i], &state);
		mbj_buf_format(out, "<p><bdi>%s</bdi>: ", id);
		html_text(out, mbj_buf_view(&state));
		put(out, "</p>\n");
		mbj_buf_done(&state);
	}
}

static void put_replicas(struct mbj_buf *out, const struct cli_status *status)
{
	static const char *const heads[] = {"Replica",	 "From",   "State",
					    "Current",	 "Behind", "Heard",
					    "Set aside", NULL};
	const struct mbj_id boot = mbj_boot_id();
	size_t shown = status->replica_count;

	if (!status->has_replicas || (shown == 0 && status->pause_count == 0))
		return;
	if (shown > REPLICAS_SHOWN)
		shown = REPLICAS_SHOWN;
	put(out, "<section id=\"replicas\"><h2>Replicas</h2>\n");
	if (shown > 0)
		rows_begin(out, heads);
	for (size_t i = 0; i < shown; i++)
		put_replica(out, &status->store, &status->replicas[i], boot);
	if (shown > 0)
		rows_end(out);
	put_pauses(out, status);
	if (shown < status->replica_count)
		mbj_buf_format(out,
			       "<p>and %zu more: <code>mbj replicas "
			       "STORE</code></p>\n",
			       status->replica_count - shown);
	put(out, "</section>\n");
}

/* ------------------------------------------------------------- quarantine */

/* A row's account, and the end of a section that shows so many of them. */
static void aside_account(struct mbj_buf *out, struct mbj_bytes name)
{
	put(out, "<tr><th scope=\"row\"><bdi>");
	html_name(out, parked_name(name));
	put(out, "</bdi></th>");
}

static void aside_end(struct mbj_buf *out, size_t count, size_t shown)
{
	rows_end(out);
	if (shown < count)
		mbj_buf_format(out,
			       "<p>and %zu more: <code>mbj quarantine STORE "
			       "list</code></p>\n",
			       count - shown);
	put(out, "</section>\n");
}

static void put_parked(struct mbj_buf *out, const struct mbj_client_status *s)
{
	static const char *const heads[] = {"Account", "Waiting", "Why", NULL};
	size_t shown = s->parked_count;

	if (shown == 0)
		return;
	if (shown > PARKED_SHOWN)
		shown = PARKED_SHOWN;
	put(out, "<section id=\"parked\"><h2>Accounts that are set "
		 "aside</h2>\n");
	rows_begin(out, heads);
	for (size_t i = 0; i < shown; i++) {
		const struct mbj_client_parked *p = &s->parked[i];

		aside_account(out, p->name);
		cell(out, "Waiting");
		mbj_buf_format(out, "%" PRIu64 " groups from %" PRIu64 "</td>",
			       p->parked.count, p->parked.first.v);
		cell(out, "Why");
		html_name(out, p->parked.reason);
		put(out, "</td></tr>\n");
	}
	aside_end(out, s->parked_count, shown);
}

static void put_skipped(struct mbj_buf *out, const struct mbj_client_status *s)
{
	static const char *const heads[] = {"Account", "Since", "Given up",
					    NULL};
	size_t shown = s->skipped_count;

	if (shown == 0)
		return;
	if (shown > PARKED_SHOWN)
		shown = PARKED_SHOWN;
	put(out, "<section id=\"skipped\"><h2>Accounts that are known to "
		 "differ</h2>\n");
	rows_begin(out, heads);
	for (size_t i = 0; i < shown; i++) {
		const struct mbj_client_skipped *k = &s->skipped[i];

		aside_account(out, k->name);
		cell(out, "Since");
		mbj_buf_format(out, "group %" PRIu64 "</td>",
			       k->skipped.first.v);
		cell(out, "Given up");
		mbj_buf_format(out, "%" PRIu64 " groups, the last %" PRIu64,
			       k->skipped.count, k->skipped.last.v);
		put(out, "</td></tr>\n");
	}
	aside_end(out, s->skipped_count, shown);
}

/* ------------------------------------------------------------------ store */

static void size_fact(struct mbj_buf *out, const char *what, uint64_t bytes,
		      const char *more)
{
	mbj_buf_format(out, "<tr><th scope=\"row\">%s</th><td>", what);
	html_size(out, bytes);
	html_str(out, more);
	put(out, "</td></tr>\n");
}

static void put_house(struct mbj_buf *out, const struct mbj_client_status *s,
		      bool is_served)
{
	facts_begin(out, "House");
	fact(out, "Journal",
	     "groups %" PRIu64 " to %" PRIu64 " in %" PRIu64 " segments",
	     s->identity.anchor.first.v, s->end.lsn.v, s->usage.segments);
	size_fact(out, "Journal's size", s->usage.size, "");
	if (is_served && s->space.left != UINT64_MAX) {
		size_fact(out, "Disk left", s->space.left,
			  s->space.left < s->space.min ? ": edits are refused"
						       : "");
		size_fact(out, "Edits are refused below", s->space.min, "");
		size_fact(out, "Reserve", s->space.reserve,
			  ", for when no space is left");
	}
	if (!is_served) {
		facts_end(out);
		return;
	}
	put(out, "<tr><th scope=\"row\">Under way</th><td>");
	if (s->house.work == MBJ_HOUSE_NONE) {
		put(out, "nothing");
	} else {
		mbj_buf_format(out, "a %s, for ",
			       mbj_house_word(s->house.work));
		html_duration(out, s->house.ms);
	}
	put(out, "</td></tr>\n");
	facts_end(out);
}

static void put_store(struct mbj_buf *out, const struct mbj_client_status *s)
{
	const struct mbj_service_stats *service = &s->service;
	char id[MBJ_ID_TEXT_SIZE];

	facts_begin(out, "Store");
	fact(out, "Role", "%s, reign %" PRIu64,
	     mbj_store_role_name(s->identity.role), s->identity.epoch.v);
	mbj_id_print(s->identity.instance, id);
	fact(out, "Instance", "%s", id);
	fact(out, "State", "applied to group %" PRIu64, s->applied.lsn.v);
	fact(out, "Accounts", "%" PRIu64 ", %zu set aside", s->account_count,
	     s->parked_count);
	if (s->intent_count > 0)
		fact(out, "Intents",
		     "%" PRIu64 " open, the oldest for %" PRId64 " s",
		     s->intent_count, cli_status_intent_age(s));
	if (s->recovery.is_rebuilt)
		fact(out, "Rebuilt", "%s", s->recovery.reason);
	fact(out, "Service",
	     "process %" PRIu64 ", %" PRIu64 " of %" PRIu64
	     " connections, %" PRIu64 " requests, %" PRIu64 " edits",
	     service->process, service->connections, service->connections_max,
	     service->requests, service->edits);
	put(out, "<tr><th scope=\"row\">Up for</th><td>");
	html_duration(out, service->up_ms);
	put(out, "</td></tr>\n");
	facts_end(out);
}

/* ------------------------------------------------------------------ page */

static void put_title(struct mbj_buf *out, const char *name,
		      const struct lookout_view *view)
{
	mbj_buf_format(out, "%s: ", verdict_word(view->verdict.level));
	html_name(out, mbj_bytes_str(name));
}

void page_state_print(const char *name, const struct lookout_view *view,
		      struct mbj_buf *out)
{
	const struct mbj_client_status *s = &view->status.store;
	bool is_served = view->is_known && view->status.is_served;

	mbj_buf_format(out,
		       "<main id=\"state\" data-level=\"%s\" data-title=\"",
		       verdict_word(view->verdict.level));
	put_title(out, name, view);
	put(out, "\" data-name=\"");
	html_name(out, mbj_bytes_str(name));
	put(out, "\">\n");
	put_verdict(out, &view->verdict);
	put(out, "<p class=\"note\">As of ");
	html_time(out, view->time_us);
	put(out, ". STORE in a command stands for the store's "
		 "directory.</p>\n");
	if (is_served) {
		put_replicas(out, &view->status);
		put_upstream(out, s);
	}
	put(out, "<section id=\"lag\" data-own hidden><h2>Lag, the last "
		 "hour</h2>\n<div id=\"plots\" class=\"plots\"></div>"
		 "</section>\n");
	if (is_served) {
		put_parked(out, s);
		put_skipped(out, s);
		put_house(out, s, true);
		put_store(out, s);
	} else if (view->is_known && view->status.has_journal) {
		put_house(out, s, false);
	}
	put(out, "</main>\n");
}

static void word_print(const char *word, const char *name,
		       const struct lookout_view *view, const char *nonce,
		       struct mbj_buf *out)
{
	if (strcmp(word, "title") == 0) {
		put_title(out, name, view);
	} else if (strcmp(word, "name") == 0) {
		html_name(out, mbj_bytes_str(name));
	} else if (strcmp(word, "nonce") == 0) {
		html_str(out, nonce);
	} else if (strcmp(word, "state") == 0) {
		page_state_print(name, view, out);
	} else if (strcmp(word, "css") == 0) {
		mbj_buf_put(out, page_css, sizeof(page_css));
	} else {
		MBJ_ASSERT(strcmp(word, "js") == 0);
		mbj_buf_put(out, page_js, sizeof(page_js));
	}
}

void page_print(const char *name, const struct lookout_view *view,
		const char *nonce, struct mbj_buf *out)
{
	struct mbj_bytes rest = mbj_bytes_make(page_html, sizeof(page_html));
	char word[16];

	while (rest.n > 0) {
		size_t n = 0;

		if (rest.n < 2 || rest.p[0] != '{' || rest.p[1] != '{') {
			mbj_buf_put_u8(out, *rest.p);
			rest = mbj_bytes_make(rest.p + 1, rest.n - 1);
			continue;
		}
		rest = mbj_bytes_make(rest.p + 2, rest.n - 2);
		while (n + 1 < rest.n && rest.p[n] != '}')
			n++;
		MBJ_ASSERT(n < sizeof(word) && n + 1 < rest.n);
		memcpy(word, rest.p, n);
		word[n] = '\0';
		word_print(word, name, view, nonce, out);
		rest = mbj_bytes_make(rest.p + n + 2, rest.n - n - 2);
	}
}
