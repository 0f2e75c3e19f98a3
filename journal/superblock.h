/*
 * The superblock: who a store is, one fixed record in "mbj.store", replaced
 * as a whole.  Its bytes are docs/FORMAT.md section "Superblock":
 *
 *	  0   8  magic "MBJSTORE"
 *	  8   4  format version, 1
 *	 12   4  size of the record, checksum included, 256
 *	 16   4  compatible flags: unknown ones pass and are kept
 *	 20   4  incompatible flags: unknown ones refuse
 *		 1: it is being restored, what it holds is not whole
 *		 2: contents may be packed
 *	 24   4  role, 1 primary, 2 replica
 *	 28   4  with flag 2: level of zstd that contents are packed with
 *	 32  16  lineage, zero: a replica before its first stream
 *	 48  16  instance
 *	 64   8  epoch
 *	 72  16  instance that began the epoch
 *	 88   8  anchor: LSN of the journal's first group
 *	 96  32  anchor: chain value before that group
 *	128 124  zero
 *	252   4  CRC32C of all before
 *
 * A later version may be longer; magic, version, size and a CRC32C as the
 * last four bytes stay, so that "newer" is told from "damaged".
 *
 * Threads: pure but for load and save, which touch one file.
 */
#ifndef MBJ_JOURNAL_SUPERBLOCK_H
#define MBJ_JOURNAL_SUPERBLOCK_H

#include <mbj/store.h>

#define SUPERBLOCK_NAME "mbj.store"

enum { SUPERBLOCK_SIZE = 256, SUPERBLOCK_SIZE_MAX = 4096 };

struct superblock {
	struct mbj_identity identity;
	uint32_t compatible;	 /* flags as found, written back */
	bool is_restoring;	 /* the incompatible flag 1 */
	unsigned contents_level; /* 0: without the incompatible flag 2 */
};

void superblock_encode(const struct superblock *superblock,
		       uint8_t bytes[SUPERBLOCK_SIZE]);
/*
 * path is for messages.  Returns: MBJ_ECORRUPT (foreign or damaged),
 * MBJ_EUNSUPPORTED (newer).
 */
enum mbj_rc superblock_decode(struct mbj_bytes bytes, const char *path,
			      struct superblock *ret_superblock,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* MBJ_ENOTFOUND: what dir is, as it is no store. */
enum mbj_rc store_missing(const struct mbj_sys *sys, const char *dir,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* Returns: MBJ_ENOTFOUND, naming dir, where there is none; as _decode. */
enum mbj_rc superblock_load(const struct mbj_sys *sys, const char *dir,
			    struct superblock *ret_superblock,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Replace dir/name (SUPERBLOCK_NAME but while a store is being made).
 * Durability: on return the new record is on disk, never a mixture.
 */
enum mbj_rc superblock_save(const struct mbj_sys *sys, const char *dir,
			    const char *name,
			    const struct superblock *superblock,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* Why a journal could not be opened, with advice where there is none at all. */
enum mbj_rc superblock_journal_fault(const struct mbj_sys *sys, const char *dir,
				     const char *journal_dir, enum mbj_rc rc,
				     struct mbj_error *err);

#endif
