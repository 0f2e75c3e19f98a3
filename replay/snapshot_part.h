/*
 * A snapshot on its way in through a stream: a file beside the snapshots, under
 * a name of its own (<LSN>.snap.part), with which a later connection goes on.
 * Private to replay/.
 */
#ifndef MBJ_REPLAY_SNAPSHOT_PART_H
#define MBJ_REPLAY_SNAPSHOT_PART_H

#include "snapshot_copy.h"

struct snapshot_part {
	struct mbj_store *store;
	struct snapshot_copy copy;
	struct mbj_file file;
	struct mbj_lsn lsn; /* of what is here, or was last; 0: none */
	uint64_t here;	    /* bytes of it */
	bool is_resumed;    /* some came by an earlier connection */
};

/* What earlier connections left is of no use: nobody will go on with it. */
enum mbj_rc snapshot_parts_remove(struct mbj_store *store,
				  struct mbj_error *err) MBJ_MUST_CHECK;
void snapshot_part_init(struct snapshot_part *part, struct mbj_store *store);
/*
 * What an earlier connection left: the newest stays, and is opened; others were
 * given up for it.  Without one lsn stays 0.
 */
enum mbj_rc snapshot_part_find(struct snapshot_part *part,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* That of this group, with what there is of it. */
enum mbj_rc snapshot_part_open(struct snapshot_part *part, struct mbj_lsn lsn,
			       struct mbj_error *err) MBJ_MUST_CHECK;
bool snapshot_part_is_open(const struct snapshot_part *part);
enum mbj_rc snapshot_part_write(struct snapshot_part *part,
				struct mbj_bytes bytes,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* What is here stays for a later one. */
void snapshot_part_close(struct snapshot_part *part);
void snapshot_part_drop(struct snapshot_part *part);

#endif
