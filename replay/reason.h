/*
 * Why a group was not carried out, in words.  Private to replay/.
 */
#ifndef MBJ_REPLAY_REASON_H
#define MBJ_REPLAY_REASON_H

#include <mbj/apply.h>

/*
 * "group 7, primitive 2 (mailbox-move <id> "Work"): conflict: ...".  Pure.
 * Requires: a verdict that parks.
 */
void replay_reason_print(const struct mbj_group *group,
			 const struct mbj_apply_report *report,
			 char reason[MBJ_ERROR_MESSAGE_MAX]);

/* As op_index of a report: the group was not applied (stopper.h). */
#define STOPPER_INDEX UINT32_MAX

#endif
