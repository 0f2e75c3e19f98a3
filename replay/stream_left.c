/*
 * What a replica is told of how many bytes it lacks.
 *
 * It is no more than a figure for people: where the journal cannot be read for
 * it, or was a second ago, nothing, or what was true then, is said.
 *
 * Threads: one.
 */
#include "stream_serve.h"

/* Between walks of the journal. */
enum { LEFT_MS = 1000 };

static void left_look(struct stream_server *s, struct mbj_lsn applied,
		      struct mbj_lsn end)
{
	char path[MBJ_PATH_TEXT_MAX];
	int64_t now = mbj_monotonic_ms();

	if (now < s->left_ms)
		return;
	s->left_ms = now + LEFT_MS;
	s->has_left = mbj_path_join(path, s->dir, STREAM_JOURNAL_NAME, NULL) ==
			      MBJ_OK &&
		      mbj_log_behind_get(s->sys, path, s->identity.lineage, end,
					 &applied, 1, &s->left, NULL) == MBJ_OK;
}

enum mbj_rc stream_left_tell(struct stream_server *s,
			     const struct stream_message *want,
			     const struct stream_message *sent,
			     struct mbj_error *err)
{
	struct stream_message m = {.left = {.bytes = sent->size,
					    .bulk = sent->left.bulk,
					    .is_exact = true}};
	bool is_all = s->next.v > sent->end.v;

	/* All is sent: it can count that itself. */
	if (s->version < STREAM_VERSION_LEFT ||
	    (is_all && sent->left.bulk == 0))
		return MBJ_OK;
	if (!is_all || want->applied.v + 1 != want->from.v) {
		left_look(s, want->applied, sent->end);
		if (!s->has_left)
			return MBJ_OK;
		m.left = s->left;
	}
	return stream_link_send(&s->link, STREAM_LEFT, &m, err);
}
