/*
 * Accounts of which a backup, or what is restored from one, has groups that
 * wait, or were given up, while its source gives up none of theirs: they were
 * made again there (docs/decisions/0035).  Private to replay/.
 *
 * Threads: the caller's, alone with the copy.
 */
#ifndef MBJ_REPLAY_BACKUP_STALE_H
#define MBJ_REPLAY_BACKUP_STALE_H

#include <mbj/replay.h>

#include "backup_copy.h"

/*
 * They are made again in the copy, too, each from a snapshot of the source
 * that is of no earlier group than the one that waits, or the last one that was
 * given up; those that none helps stay as they are.  In one that becomes a
 * primary the record of what was given up names them from then on.
 * *replayed: where the copy is then.
 */
enum mbj_rc backup_stale_mend(struct backup_copy *copy,
			      struct mbj_replay_result *replayed,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
