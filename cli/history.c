/*
 * A ring of steps for each replica; see history.h.
 */
#include "history.h"

#include <inttypes.h>

#include <mbj/jmap.h>

enum { UNKNOWN = -1 };

struct series {
	struct mbj_id instance; /* ROOT: the store itself, of its source */
	char name[MBJ_REPLICA_NAME_MAX + 1];
	int64_t last_step; /* when it was known last */
	int64_t lag_ms[HISTORY_POINTS];
};

struct history {
	struct series *series[HISTORY_SERIES_MAX];
	size_t count;
	int64_t first; /* step of the first note, -1: none */
	int64_t last;  /* and of the last */
};

struct history *history_new(void)
{
	struct history *h = mbj_calloc(1, sizeof(*h));

	if (h != NULL)
		h->first = -1;
	return h;
}

void history_free(struct history **history)
{
	struct history *h = *history;

	for (size_t i = 0; h != NULL && i < h->count; i++)
		mbj_free(h->series[i]);
	mbj_free(h);
	*history = NULL;
}

static int64_t *point_at(struct series *series, int64_t step)
{
	return &series->lag_ms[(size_t)step % HISTORY_POINTS];
}

/* Steps that passed unseen are not known. */
static void step_begin(struct history *h, int64_t step)
{
	int64_t from = h->last + 1;

	if (h->first < 0)
		h->first = from = step;
	if (step - from >= HISTORY_POINTS)
		from = step - HISTORY_POINTS + 1;
	for (; from <= step; from++)
		for (size_t i = 0; i < h->count; i++)
			*point_at(h->series[i], from) = UNKNOWN;
	if (step > h->last)
		h->last = step;
}

/* Those of whom there is nothing left to show. */
static void series_drop(struct history *h)
{
	size_t kept = 0;

	for (size_t i = 0; i < h->count; i++) {
		if (h->last - h->series[i]->last_step >= HISTORY_POINTS)
			mbj_free(h->series[i]);
		else
			h->series[kept++] = h->series[i];
	}
	h->count = kept;
}

static struct series *series_get(struct history *h, struct mbj_id instance)
{
	struct series *s;

	for (size_t i = 0; i < h->count; i++)
		if (mbj_id_equal(h->series[i]->instance, instance))
			return h->series[i];
	if (h->count == HISTORY_SERIES_MAX)
		return NULL;
	s = mbj_calloc(1, sizeof(*s));
	if (s == NULL)
		return NULL;
	s->instance = instance;
	for (size_t i = 0; i < HISTORY_POINTS; i++)
		s->lag_ms[i] = UNKNOWN;
	h->series[h->count++] = s;
	return s;
}

static void lag_note(struct history *h, struct mbj_id instance,
		     const char *name, bool is_known, uint64_t lag_ms)
{
	struct series *s = series_get(h, instance);
	int64_t *point;

	if (s == NULL)
		return;
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	s->last_step = h->last;
	point = point_at(s, h->last);
	if (is_known && lag_ms <= INT64_MAX && (int64_t)lag_ms > *point)
		*point = (int64_t)lag_ms;
}

void history_note(struct history *history, const struct cli_status *status,
		  int64_t now_ms)
{
	const struct mbj_upstream_status *u;
	struct mbj_id boot;
	uint64_t lag = 0;
	bool is_known;

	step_begin(history, now_ms / HISTORY_STEP_MS);
	series_drop(history);
	if (status == NULL || !status->is_served)
		return;
	u = &status->store.upstream;
	if (u->state != MBJ_UPSTREAM_NONE)
		lag_note(history, MBJ_ID_ROOT, "this store", u->was_current,
			 u->lag_ms);
	boot = mbj_boot_id();
	for (size_t i = 0; i < status->replica_count; i++) {
		is_known = mbj_replica_lag(&status->replicas[i], boot, &lag);
		lag_note(history, status->replicas[i].instance,
			 status->replicas[i].name, is_known, lag);
	}
}

static void series_json(const struct history *h, struct series *s,
			struct mbj_buf *out)
{
	int64_t step = h->last - HISTORY_POINTS + 1;
	char id[MBJ_ID_TEXT_SIZE];
	const char *comma = "";

	mbj_id_print(s->instance, id);
	mbj_buf_put_str(out, "{\"instance\":");
	if (mbj_id_is_root(s->instance))
		mbj_buf_put_str(out, "null");
	else
		mbj_buf_format(out, "\"%s\"", id);
	mbj_buf_put_str(out, ",\"name\":");
	mbj_jmap_string_print(mbj_bytes_str(s->name), out);
	mbj_buf_put_str(out, ",\"lagMs\":[");
	for (step = step > h->first ? step : h->first; step <= h->last;
	     step++, comma = ",") {
		int64_t lag = *point_at(s, step);

		if (lag == UNKNOWN)
			mbj_buf_format(out, "%snull", comma);
		else
			mbj_buf_format(out, "%s%" PRId64, comma, lag);
	}
	mbj_buf_put_str(out, "]}");
}

void history_json(const struct history *history, uint64_t warning_s,
		  uint64_t critical_s, struct mbj_buf *out)
{
	mbj_buf_format(out,
		       "{\"schema\":\"mbj.history/1\",\"stepMs\":%d,"
		       "\"points\":%d,\"warning\":%" PRIu64
		       ",\"critical\":%" PRIu64 ",\"list\":[",
		       HISTORY_STEP_MS, HISTORY_POINTS, warning_s, critical_s);
	for (size_t i = 0; i < history->count; i++) {
		mbj_buf_put_str(out, i ? "," : "");
		series_json(history, history->series[i], out);
	}
	mbj_buf_put_str(out, "]}\n");
}
