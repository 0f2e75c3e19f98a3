/*
 * Backups of a store, and stores from backups.
 *
 * A backup is a directory of its own: a replica of the store (journal, contents
 * of messages, state) with a mark in it (mbj/backup_mark.h) that says up to
 * which group all of it was there, read back and compared.  It is taken while
 * others use the store, of which only superblock, segments and contents are
 * read.  Taken again into the same directory it is brought forward: what is
 * there is not copied again.  Stopped, it is what its mark says: what it was
 * before, or no backup yet.
 *
 * Why a replica: the groups were carried out once, so that every account's
 * digest was compared with what the primary had; which contents belong to it is
 * known from its own state, not guessed; and a mailbox or a message can be
 * taken from it by the verbs that read any store.
 *
 * Threads: one at a time per directory.
 */
#ifndef MBJ_BACKUP_H
#define MBJ_BACKUP_H

#include <mbj/backup_mark.h>
#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_backup_options {
	size_t size;			       /* of this structure */
	const struct mbj_store_options *store; /* NULL: the usual */
	bool is_deep; /* read all contents that are there, mend what is not */
	bool is_dry_run;
};

#define MBJ_BACKUP_OPTIONS_INIT                                               \
	((struct mbj_backup_options){sizeof(struct mbj_backup_options), NULL, \
				     false, false})

struct mbj_backup_result {
	struct mbj_lsn before; /* what it had, 0: nothing whole */
	struct mbj_lsn end;    /* what it has */
	uint64_t contents;     /* that its messages have */
	uint64_t size;	       /* and their bytes */
	uint64_t mended;       /* of these, missing or damaged before */
	/*
	 * With accounts parked, or known to differ: groups that wait, or were
	 * given up, may have expunged them.
	 */
	uint64_t contents_lost;
	uint64_t accounts_parked; /* what they need is not known whole */
	/* Known to differ from what the journal says: mbj_quarantine_skip. */
	uint64_t accounts_skipped;
};

/*
 * Bring dir to where the journal in source is; dir is made where it is not
 * there or empty.
 * Returns: MBJ_EEXISTS (dir holds something else), MBJ_EBUSY (somebody has
 * it), MBJ_EFENCED (another lineage, forked, ahead), MBJ_ECORRUPT naming what
 * is damaged or lost in source, or in dir; the mark is then as it was.  Parked
 * accounts, and those known to differ, are not an error: see the result.  One
 * that source has made again is made again here, too, from a snapshot of
 * source; where it has none that is good, it stays what it is.
 * Durability: on return the mark is on disk, and what it stands for before.
 */
MBJ_API enum mbj_rc mbj_backup(const char *source, const char *dir,
			       const struct mbj_backup_options *options,
			       struct mbj_backup_result *ret_result,
			       struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_restore_options {
	size_t size;			       /* of this structure */
	const struct mbj_store_options *store; /* NULL: the usual */
	/*
	 * A replica unless one says otherwise: two primaries of one lineage
	 * would give the same group numbers to different edits, and what was
	 * written behind the backup may be on a replica still.  As a primary it
	 * begins a new epoch, by which replicas know it from the one before.
	 */
	enum mbj_store_role role;
	struct mbj_lsn until; /* last group, 0: the mark's */
	bool is_dry_run;
};

#define MBJ_RESTORE_OPTIONS_INIT                                          \
	((struct mbj_restore_options){sizeof(struct mbj_restore_options), \
				      NULL,                               \
				      MBJ_STORE_REPLICA,                  \
				      {0},                                \
				      false})

/*
 * Make a store in dir, which must not exist or be empty, or be what an earlier
 * call that was stopped left there: it is gone on with.  All of the backup is
 * read and compared.
 * Returns: MBJ_ENOTFOUND (no backup), MBJ_EFENCED (one that was never whole),
 * MBJ_EEXISTS, MBJ_EINVALID (until lies behind the mark), MBJ_ECORRUPT naming
 * what is damaged or lost in the backup; dir is then no store yet.
 * As a primary: accounts that are set aside in it, or of which groups were
 * given up (accounts_parked, both), are from then on what they are there, and
 * what waits for them is given up; its journal begins with that.  A call that
 * was stopped behind its last group is gone on with as a primary of the same
 * group alone, else MBJ_EFENCED. Durability: on return the store is on disk.
 */
MBJ_API enum mbj_rc mbj_restore(const char *backup, const char *dir,
				const struct mbj_restore_options *options,
				struct mbj_backup_result *ret_result,
				struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
