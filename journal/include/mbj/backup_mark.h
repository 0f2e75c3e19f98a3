/*
 * What makes a store a backup (mbj/backup.h): the file "mbj.backup" in it,
 * which says how far all of it was there, read back and compared.  Bytes are
 * docs/FORMAT.md section "Backup".
 *
 * The store beside it may have come further, where bringing it forward was
 * stopped; a restore goes by the mark.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_BACKUP_MARK_H
#define MBJ_BACKUP_MARK_H

#include <mbj/log.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_backup_mark {
	uint32_t compatible;   /* flags as found, written back */
	struct mbj_id lineage; /* ROOT: it was not whole yet */
	struct mbj_id source;  /* instance that it was taken from */
	struct mbj_epoch epoch;
	struct mbj_log_end end;
	int64_t time_us;   /* when it was whole */
	uint64_t contents; /* of messages at the end */
	uint64_t size;	   /* and their bytes */
};

/* Everything up to mark->end was there at least once. */
bool mbj_backup_is_whole(const struct mbj_backup_mark *mark);

/*
 * Returns: MBJ_ENOTFOUND (no mark: err says that dir is no backup),
 * MBJ_ECORRUPT, MBJ_EUNSUPPORTED.
 */
enum mbj_rc mbj_backup_mark_load(const struct mbj_sys *sys, const char *dir,
				 struct mbj_backup_mark *ret_mark,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* Durability: on return the new mark is on disk, never a mixture. */
enum mbj_rc mbj_backup_mark_save(const struct mbj_sys *sys, const char *dir,
				 const struct mbj_backup_mark *mark,
				 struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
