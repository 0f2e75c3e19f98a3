/*
 * Subscriptions of an edit: names follow their mailboxes, those of deleted
 * ones go, and the edit's own wishes come last.  What is to change is found
 * before anything is changed, and emitted as the last of the group.
 * Private to journal/edit*.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_JOURNAL_EDIT_SUBSCRIBE_H
#define MBJ_JOURNAL_EDIT_SUBSCRIBE_H

#include <mbj/diff.h>

#include "edit_work.h"

/* One name, now and then. */
struct edit_subscribed {
	struct mbj_path path;		/* as it is to be */
	struct mbj_bytes stored_before; /* as it is; empty: unknown */
	bool was;
	bool will;
};

struct edit_subscriptions {
	struct edit_work *work;
	struct mbj_arena *arena; /* all paths */
	struct edit_subscribed *names;
	size_t capacity;
	uint32_t count;
	struct mbj_table by_key;
	uint32_t *chain;       /* scratch: a node and its ancestors */
	struct mbj_buf stored; /* scratch: a path */
	struct mbj_buf key;
};

/*
 * Find what changes.  Requires: diff joins work->view.tree and work->after,
 * and nothing has been emitted.
 */
enum mbj_rc edit_subscribe_plan(struct edit_subscriptions *subscriptions,
				struct edit_work *work,
				const struct mbj_diff *diff,
				struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc edit_subscribe_emit(const struct edit_subscriptions *subscriptions,
				struct mbj_error *err) MBJ_MUST_CHECK;
void edit_subscribe_done(struct edit_subscriptions *subscriptions);

#endif
