/*
 * What backup and restore share: a replica that is brought to where another
 * store is, and proof that all of it is there.  Private to replay/.
 */
#ifndef MBJ_REPLAY_BACKUP_COPY_H
#define MBJ_REPLAY_BACKUP_COPY_H

#include <mbj/backup.h>

struct backup_copy {
	const char *source;
	struct mbj_store *store;
	struct mbj_lsn until; /* 0: all there is */
	struct mbj_lsn from;  /* groups up to here were read back before */
	bool is_deep;
	bool is_taken; /* all groups, by an earlier attempt */
	bool is_last;  /* no later groups come, but to accounts set aside */
	struct mbj_backup_result *result;
	/* Contents that messages have, neither here nor there; ascending. */
	struct mbj_hash *lost_list;
	size_t lost_count;
};

/*
 * Groups and contents, as far as source has them.  A collection at the source
 * meanwhile is met by going on to where it knew more.
 * Returns: MBJ_ECORRUPT where a content is lost that messages need of an
 * account of which nothing waits, nor was given up.
 * Durability: all of it is on disk on return.
 */
enum mbj_rc backup_copy_run(struct backup_copy *copy,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* The journal as it is on disk: sums, density, chain, primitives. */
enum mbj_rc backup_copy_read(const struct backup_copy *copy,
			     struct mbj_log_end *ret_end,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* What a run has left of memory. */
void backup_copy_done(struct backup_copy *copy);

#endif
