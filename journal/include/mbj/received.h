/*
 * Durability beyond this machine: waiting until so many replicas have received
 * a group, which is durable here already.
 *
 * A replica has received a group once it has said so, having it on its own
 * disk, with the contents of its messages where the source has them.  Those
 * count that are in the register (mbj/replicas.h) and not paused, each
 * instance once; that they are connected is not asked for.  What they said is
 * written by whoever serves them (mbj_stream_send), as soon as they say it,
 * into a small file beside each one's note.  A sender that keeps no register,
 * or is of a version before this, tells nothing here.
 *
 * Nothing is undone where that does not come to be in time: the group stands,
 * and whoever wants to know goes on waiting, by its LSN, or by asking again for
 * the same edit with the same request id (mbj/request.h), which has the same
 * LSN.
 */
#ifndef MBJ_RECEIVED_H
#define MBJ_RECEIVED_H

#include <mbj/store.h>
#include <mbj/sys.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MBJ_RECEIVED_WAIT_MAX = 600000 }; /* milliseconds: ten minutes */

/*
 * Wait until so many replicas have received all groups up to lsn, for so many
 * milliseconds; 0: as it is now.  *ret_count, which may be NULL, is how many
 * have.  Of an edit that changed nothing the state that it found is worth
 * waiting for: its outcome's new_state.
 * Returns: MBJ_EUNRECEIVED (not within that time; err->lsn is the group),
 * MBJ_EINVALID (no such group yet, no replicas or more than MBJ_REPLICAS_MAX,
 * longer than MBJ_RECEIVED_WAIT_MAX), MBJ_EIO and others where the register
 * cannot be read.  Thread-safe.
 * Durability: on MBJ_OK so many replicas have it on disk.
 */
MBJ_API enum mbj_rc mbj_store_received(struct mbj_store *store,
				       struct mbj_lsn lsn, uint32_t replicas,
				       uint32_t wait_ms, uint32_t *ret_count,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------ the mark, for replay/ */

/* Where it is written how far one replica is. */
struct mbj_received_mark {
	struct mbj_file file;
	struct mbj_id lineage;
	struct mbj_id instance;
	struct mbj_lsn lsn; /* as it is written, 0: nothing is */
};

#define MBJ_RECEIVED_MARK_CLOSED \
	((struct mbj_received_mark){.file = MBJ_FILE_CLOSED})

/*
 * Of the replica with this instance of the store in dir, as earlier sessions
 * left it.  Requires: it is registered.
 */
enum mbj_rc mbj_received_open(struct mbj_received_mark *mark,
			      const struct mbj_sys *sys, const char *dir,
			      struct mbj_id lineage, struct mbj_id instance,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Whoever waits is told.  Durability: none: it is true as long as it can be
 * read, since the replica has it on disk.
 */
enum mbj_rc mbj_received_set(struct mbj_received_mark *mark, struct mbj_lsn lsn,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_received_close(struct mbj_received_mark *mark);

#ifdef __cplusplus
}
#endif

#endif
