/*
 * Which changes of a SET can stand together: the final tree decides.
 * Private to journal/edit*.
 *
 * Requires: in work->draft every change that stands by itself is entered:
 * placed items have their wanted slot and their change's index; a create that
 * was refused, and a mailbox to be destroyed, is not live.
 */
#ifndef MBJ_JOURNAL_EDIT_JUDGE_H
#define MBJ_JOURNAL_EDIT_JUDGE_H

#include "edit_work.h"

/*
 * Refuse what must be refused, in work->outcome.results and in the draft,
 * which then is a valid tree and sorted.
 */
enum mbj_rc edit_judge_run(struct edit_work *work,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* Note a refusal; the first for a change counts.  Cuts format's result. */
enum mbj_rc edit_result_set(struct edit_work *work, uint32_t change,
			    enum mbj_refusal refusal, const char *property,
			    struct mbj_error *err, const char *format, ...)
	MBJ_PRINTF(6, 7) MBJ_MUST_CHECK;
bool edit_result_is_refused(const struct edit_work *work, uint32_t change);

#endif
