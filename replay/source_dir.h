/*
 * A store's directory as a source of groups and contents: its superblock,
 * segments and blobs, in use or dead.  Private to replay/.
 */
#ifndef MBJ_SOURCE_DIR_H
#define MBJ_SOURCE_DIR_H

#include "replay_run.h"

struct source_dir {
	struct replay_source source; /* first */
	const struct mbj_sys *sys;
	const char *dir; /* NULL: the replica's own journal */
	struct mbj_identity identity;
	struct mbj_log_reader *reader;
	struct mbj_blobs *blobs; /* opened with the first content */
};

/* Nothing is opened yet. */
void source_dir_init(struct source_dir *from, const struct mbj_sys *sys,
		     const char *dir);
/* The replica's own journal, behind its watermark. */
enum mbj_rc source_dir_own(struct source_dir *from, struct mbj_store *store,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void source_dir_done(struct source_dir *from);

/* What a source says of itself at a replica's watermark. */
enum mbj_rc source_hello_read(const struct mbj_identity *source,
			      struct mbj_log_reader *reader,
			      struct mbj_lsn applied,
			      struct mbj_hello *ret_hello,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#endif
