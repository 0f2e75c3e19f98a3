/*
 * Stages of an edit whose storage is elsewhere (mbj/edit.h): what an intent
 * puts in doubt, its record, its outcome.  Private to journal/edit*.
 *
 * Threads: as the transaction.
 */
#ifndef MBJ_JOURNAL_EDIT_INTENT_H
#define MBJ_JOURNAL_EDIT_INTENT_H

#include <mbj/doubt.h>

#include "edit_work.h"

/* An intent being made, from what its edit would do.  In the arena. */
struct edit_intent {
	struct mbj_id account;
	char delimiter;
	struct mbj_doubt *doubts;
	uint32_t count;
	size_t size;	     /* bytes of the paths so far */
	uint8_t *text;	     /* for one path at a time */
	uint32_t last;	     /* that was looked at */
	struct mbj_buf body; /* complete once edit_intent_before is through */
	/* Of the edit's plan. */
	size_t lower_bound;
	size_t parks;
	bool is_proven;
};

/* Is the stage one, and the kind one of its kinds? */
enum mbj_rc edit_stage_check(const struct mbj_edit *edit,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* All or nothing: the first change that was refused refuses the edit. */
enum mbj_rc edit_stage_whole(const struct mbj_edit *edit,
			     const struct mbj_outcome *outcome,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * After edit was carried out, for a look: record is its group, empty where
 * it had nothing to do.  Which mailboxes it touches, and what they became.
 */
enum mbj_rc edit_intent_after(struct edit_intent *intent,
			      struct edit_context *context,
			      const struct mbj_edit *edit,
			      const struct mbj_outcome *outcome,
			      struct mbj_bytes record,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* And once it was rolled back: what they are.  Makes the body. */
enum mbj_rc edit_intent_before(struct edit_intent *intent,
			       struct edit_context *context,
			       const struct mbj_edit *edit,
			       struct mbj_error *err) MBJ_MUST_CHECK;
void edit_intent_done(struct edit_intent *intent);

/* INTENT, emitted. */
enum mbj_rc edit_intent_emit(struct edit_work *work,
			     const struct edit_intent *intent,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * DONE of MBJ_EDIT_INTENT: work->edit becomes the edit that the intent holds.
 */
enum mbj_rc edit_intent_recorded(struct edit_work *work,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* The outcome of an open intent, emitted. */
enum mbj_rc edit_outcome_emit(struct edit_work *work, struct mbj_id id,
			      enum mbj_intent_result result, bool is_found,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* DONE and FAILED: the edit's intent must be open.  Its outcome, emitted. */
enum mbj_rc edit_intent_find(struct edit_work *work,
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc edit_intent_close(struct edit_work *work,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * RESOLVE, once the list was reconciled with: the outcomes of all intents that
 * it settles.
 */
enum mbj_rc edit_resolve_run(struct edit_work *work,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The path of a mailbox in the transaction, in text, which has room for
 * MBJ_INTENT_SIZE_MAX bytes; empty where it is not there.
 * Returns: MBJ_ELIMIT, refused, where it is longer than an intent.
 */
enum mbj_rc edit_intent_path(struct edit_context *context,
			     struct mbj_id account, char delimiter,
			     struct mbj_id id, uint8_t *text,
			     struct mbj_bytes *ret_path,
			     struct mbj_error *err) MBJ_MUST_CHECK;

#endif
