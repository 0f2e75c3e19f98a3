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
 * on the disk, or changes more than one transaction should.  A guess, from the
 * group's size; an empty batch never is full.  Whether a group that was applied
 * fits mbj_batch_add says.
 */
bool mbj_batch_is_full(const struct mbj_batch *batch,
		       const struct mbj_group *group);

/*
 * It has groups, and nothing is wrong with the state: what was refused now may
 * be let in by a batch of its own, and these without it.
 */
bool mbj_batch_is_shared(const struct mbj_batch *batch);

/*
 * An opening's later part had no space: what can go does, as at an opening, and
 * the store can only be closed.  True: mbj_store_open_scarce may do.  Else err
 * says before it what is left, and how much a state may need.
 */
bool mbj_store_room_make(struct mbj_store *store, struct mbj_error *err);

/*
 * mbj_store_open; is_scarce: after the above, so that the state is brought up
 * in small transactions, a checkpoint behind each.
 */
enum mbj_rc mbj_store_open_scarce(const char *dir,
				  const struct mbj_store_options *options,
				  bool is_scarce, struct mbj_store **ret_store,
				  struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
