/*
 * The register's parts to each other.  Private to journal/.
 */
#ifndef MBJ_REPLICAS_IMPL_H
#define MBJ_REPLICAS_IMPL_H

#include <mbj/replicas.h>

/* Bytes of the names of all files there. */
enum { REPLICAS_NAMES_MAX = MBJ_REPLICAS_MAX * 128 };

/* The register's directory, of the store in dir. */
enum mbj_rc replicas_path(char path[MBJ_PATH_TEXT_MAX], const char *dir,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The register that the store in dir has, with the lock, which closing gives
 * back.
 * Returns: MBJ_ENOTFOUND: it has none; MBJ_EBUSY.
 */
enum mbj_rc replicas_take(const struct mbj_sys *sys, const char *dir,
			  char path[MBJ_PATH_TEXT_MAX],
			  struct mbj_file *ret_lock,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * As mbj_boot_id, by a store's own seam: a disk in memory, whose power is cut,
 * has no boot that went on.
 */
struct mbj_id boot_id_read(const struct mbj_sys *sys);

/* ------------------------------------------------------- replica_pause.c */

/*
 * What is left of a replica's pause, 0: it is not paused.
 * Returns: MBJ_ECORRUPT, MBJ_EIO, ...: it cannot be read, *ret_ms 0.
 */
enum mbj_rc replica_pause_left(const struct mbj_sys *sys, const char *path,
			       struct mbj_id instance, uint64_t *ret_ms,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* With the lock.  Returns: MBJ_ENOTFOUND (without words), there is none. */
enum mbj_rc replica_pause_remove(const struct mbj_sys *sys, const char *path,
				 struct mbj_id instance,
				 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
