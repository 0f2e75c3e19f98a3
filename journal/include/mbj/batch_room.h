/*
 * Where a replica's batch should end, so that a group that may not fit beside
 * others comes alone.
 *
 * Threads: the batch's.
 */
#ifndef MBJ_BATCH_ROOM_H
#define MBJ_BATCH_ROOM_H

#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The group had better wait for the next batch: with it this one may not fit
 * on the disk, or changes more than one transaction should.  An empty one never
 * is; whether the group fits then mbj_batch_add says.
 */
bool mbj_batch_is_full(const struct mbj_batch *batch,
		       const struct mbj_group *group);

/*
 * An opening's later part had no space: what can go does, as at an opening, and
 * the store can only be closed.  True: there is room to open it once more.
 * Else err says before it how much a state may need.
 */
bool mbj_store_room_make(struct mbj_store *store, struct mbj_error *err);

#ifdef __cplusplus
}
#endif

#endif
