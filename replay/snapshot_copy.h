/*
 * A snapshot of another store, on its way into one's own directory.  Private to
 * replay/.
 *
 * The copy has a temporary name until it was judged, by what a snapshot says of
 * itself and by whatever its user knows besides.
 */
#ifndef MBJ_REPLAY_SNAPSHOT_COPY_H
#define MBJ_REPLAY_SNAPSHOT_COPY_H

#include <mbj/snapshot.h>
#include <mbj/store.h>

struct snapshot_copy {
	const struct mbj_sys *sys;
	struct mbj_snapshot_info info;
	char dir[MBJ_PATH_TEXT_MAX];  /* of one's own snapshots */
	char temp[MBJ_PATH_TEXT_MAX]; /* where it is */
	char path[MBJ_PATH_TEXT_MAX]; /* where it is to be */
};

/*
 * Its paths in the store's own directory, which is made; one on its way in
 * through a stream has a temporary name of its own, so that a later connection
 * may go on with it.
 */
enum mbj_rc snapshot_copy_paths(struct mbj_store *store, struct mbj_lsn lsn,
				bool is_part, struct snapshot_copy *ret_copy,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Room for so many bytes, what is kept free aside.  Returns: MBJ_ENOSPC. */
enum mbj_rc snapshot_copy_room(const struct mbj_store *store, uint64_t size,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* What its head and its end say: copy->info.  Returns: as _make. */
enum mbj_rc snapshot_copy_look(struct snapshot_copy *copy,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* By what it says of itself: copy->info.  Returns: as _make. */
enum mbj_rc snapshot_copy_judge(struct snapshot_copy *copy,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Copy the snapshot of source at lsn, and judge the copy.
 * Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT, MBJ_EUNSUPPORTED: it is not to be had;
 * nothing of it is left then.
 */
enum mbj_rc snapshot_copy_make(struct mbj_store *store, const char *source,
			       struct mbj_lsn lsn,
			       struct snapshot_copy *ret_copy,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Its name, in place of one that has it.  Durability: on disk on return. */
enum mbj_rc snapshot_copy_keep(const struct snapshot_copy *copy,
			       struct mbj_error *err) MBJ_MUST_CHECK;
void snapshot_copy_drop(const struct snapshot_copy *copy);
/* Another snapshot may be better. */
bool snapshot_copy_is_fault(enum mbj_rc rc);

#endif
