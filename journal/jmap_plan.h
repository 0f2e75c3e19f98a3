/*
 * A plan with what is needed to show it.  Private to journal/jmap* and
 * plan_dot.c.
 *
 * Two sources, one form: the planner's steps over two trees, or the group
 * that an edit made of them.  Steps are told by id and slot; paths need the
 * trees.
 */
#ifndef MBJ_JMAP_PLAN_H
#define MBJ_JMAP_PLAN_H

#include <mbj/jmap.h>

/* Where a step takes a mailbox from or to. */
struct plan_slot {
	bool is_absent;	       /* before a create, after a delete */
	struct mbj_id parent;  /* ROOT, TEMP or a mailbox */
	struct mbj_bytes name; /* empty where parent is TEMP */
};

struct plan_step {
	uint8_t kind; /* enum mbj_step_kind */
	struct mbj_id id;
	struct plan_slot from;
	struct plan_slot to;
};

/* What the plan records beside its steps, told by a node of one tree. */
enum plan_note_kind {
	PLAN_NOTE_SET = 1,	   /* role or selectability; node after */
	PLAN_NOTE_UIDVALIDITY = 2, /* node after */
	PLAN_NOTE_UNSUBSCRIBE = 3, /* path of the node before */
	PLAN_NOTE_SUBSCRIBE = 4,   /* path of the node after */
};

struct plan_note {
	uint32_t kind; /* enum plan_note_kind */
	uint32_t node;
};

struct mbj_jmap_plan {
	const struct mbj_tree *before; /* or NULL: no trees */
	const struct mbj_tree *after;
	struct mbj_tree *after_made; /* ours, or NULL */
	const struct mbj_diff *diff;
	struct mbj_diff diff_made; /* ours, or empty */
	const struct mbj_jmap_map *map;
	char delimiter;
	struct plan_step *steps;
	size_t steps_capacity;
	size_t count;
	size_t lower_bound;
	size_t parks;
	bool is_proven;
	struct plan_note *notes; /* of a plan made from trees */
	size_t notes_capacity;
	size_t note_count;
	const struct mbj_jmap_set *set; /* whose refusals are shown, or NULL */
	const struct mbj_outcome *outcome;
	struct mbj_group group; /* of a plan loaded from a group */
	bool has_group;
};

/* Compare the trees' attributes and subscriptions into plan->notes. */
enum mbj_rc plan_notes_make(struct mbj_jmap_plan *plan,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* One thing that is recorded beside the steps. */
enum {
	PLAN_ALSO_ID = 1 << 0,
	PLAN_ALSO_ROLE = 1 << 1,
	PLAN_ALSO_SELECTABLE = 1 << 2,
	PLAN_ALSO_UIDVALIDITY = 1 << 3,
	PLAN_ALSO_NAME = 1 << 4,
	PLAN_ALSO_HASH = 1 << 5,
	PLAN_ALSO_FIELDS = 1 << 6, /* the operation's own */
};

struct plan_also {
	const char *word; /* "uidvalidity", or an operation's */
	unsigned has;
	struct mbj_id id;
	uint8_t role;
	bool is_selectable;
	uint32_t uidvalidity;
	struct mbj_bytes name; /* a path, lives until the next one */
	const struct mbj_op *op;
};

/* A walk over all of it: init, next until it yields NOTFOUND, done. */
struct plan_also_walk {
	const struct mbj_jmap_plan *plan;
	size_t note;
	struct mbj_reader reader;
	struct mbj_op op;
	bool is_op_kept; /* op has more to say */
	struct mbj_buf path;
};

void plan_also_init(struct plan_also_walk *walk,
		    const struct mbj_jmap_plan *plan);
enum mbj_rc plan_also_next(struct plan_also_walk *walk,
			   struct plan_also *ret_also,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void plan_also_done(struct plan_also_walk *walk);

#endif
