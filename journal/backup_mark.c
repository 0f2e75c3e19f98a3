/*
 * The mark of a backup: one fixed record in "mbj.backup", replaced as a whole.
 *
 *	  0   8  magic "MBJBACKU"
 *	  8   4  format version, 1
 *	 12   4  size of the record, checksum included, 160
 *	 16   4  compatible flags: unknown ones pass and are kept
 *	 20   4  incompatible flags: unknown ones refuse
 *	 24  16  lineage, zero: not whole yet
 *	 40  16  instance that it was taken from
 *	 56   8  epoch
 *	 64   8  LSN
 *	 72  32  chain value at it
 *	104   8  time
 *	112   8  contents of messages
 *	120   8  their bytes
 *	128  28  zero
 *	156   4  CRC32C of all before
 *
 * Not here: what makes it true (replay/backup.c).
 *
 * Invariant: what _save writes, _load gives back.
 *
 * Threads: one file.
 */
#include <mbj/backup_mark.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "store_impl.h"

static const char mark_magic[8] = {'M', 'B', 'J', 'B', 'A', 'C', 'K', 'U'};

enum {
	MARK_VERSION = 1,
	MARK_SIZE = 160,
	MARK_SIZE_MAX = 4096,
	MARK_HEAD_SIZE = 24, /* up to the flags */
	AT_VERSION = 8,
	AT_SIZE = 12,
	AT_COMPATIBLE = 16,
	AT_INCOMPATIBLE = 20,
	AT_LINEAGE = 24,
	AT_SOURCE = 40,
	AT_EPOCH = 56,
	AT_LSN = 64,
	AT_CHAIN = 72,
	AT_TIME = 104,
	AT_CONTENTS = 112,
	AT_CONTENTS_SIZE = 120,
	AT_CRC = MARK_SIZE - 4,
};

_Static_assert(AT_CHAIN + MBJ_HASH_SIZE == AT_TIME, "fields are back to back");

bool mbj_backup_is_whole(const struct mbj_backup_mark *mark)
{
	return !mbj_id_is_root(mark->lineage);
}

/* Magic, size and checksum, then version and flags. */
static enum mbj_rc mark_check(struct mbj_bytes bytes, struct mbj_error *err)
{
	uint32_t version;

	if (bytes.n < MARK_HEAD_SIZE + 4 ||
	    memcmp(bytes.p, mark_magic, sizeof(mark_magic)) != 0 ||
	    mbj_load_u32(bytes.p + AT_SIZE) != bytes.n ||
	    mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - 4)) !=
		    mbj_load_u32(bytes.p + bytes.n - 4))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the mark of a backup is damaged");
	version = mbj_load_u32(bytes.p + AT_VERSION);
	if (version != MARK_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the backup has format %u, this program "
				     "knows format %d: use a newer one",
				     version, MARK_VERSION);
	if (bytes.n != MARK_SIZE)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the mark of a backup has %zu bytes "
				     "instead of %d",
				     bytes.n, MARK_SIZE);
	if (mbj_load_u32(bytes.p + AT_INCOMPATIBLE) != 0)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the backup uses features 0x%x that this "
				     "program does not know: use a newer one",
				     mbj_load_u32(bytes.p + AT_INCOMPATIBLE));
	return MBJ_OK;
}

static void mark_decode(const uint8_t *p, struct mbj_backup_mark *ret_mark)
{
	ret_mark->compatible = mbj_load_u32(p + AT_COMPATIBLE);
	memcpy(ret_mark->lineage.b, p + AT_LINEAGE, MBJ_ID_SIZE);
	memcpy(ret_mark->source.b, p + AT_SOURCE, MBJ_ID_SIZE);
	ret_mark->epoch.v = mbj_load_u64(p + AT_EPOCH);
	ret_mark->end.lsn.v = mbj_load_u64(p + AT_LSN);
	memcpy(ret_mark->end.chain.b, p + AT_CHAIN, MBJ_HASH_SIZE);
	ret_mark->time_us = (int64_t)mbj_load_u64(p + AT_TIME);
	ret_mark->contents = mbj_load_u64(p + AT_CONTENTS);
	ret_mark->size = mbj_load_u64(p + AT_CONTENTS_SIZE);
}

static void mark_encode(const struct mbj_backup_mark *mark,
			uint8_t p[MARK_SIZE])
{
	memset(p, 0, MARK_SIZE);
	memcpy(p, mark_magic, sizeof(mark_magic));
	mbj_store_u32(p + AT_VERSION, MARK_VERSION);
	mbj_store_u32(p + AT_SIZE, MARK_SIZE);
	mbj_store_u32(p + AT_COMPATIBLE, mark->compatible);
	memcpy(p + AT_LINEAGE, mark->lineage.b, MBJ_ID_SIZE);
	memcpy(p + AT_SOURCE, mark->source.b, MBJ_ID_SIZE);
	mbj_store_u64(p + AT_EPOCH, mark->epoch.v);
	mbj_store_u64(p + AT_LSN, mark->end.lsn.v);
	memcpy(p + AT_CHAIN, mark->end.chain.b, MBJ_HASH_SIZE);
	mbj_store_u64(p + AT_TIME, (uint64_t)mark->time_us);
	mbj_store_u64(p + AT_CONTENTS, mark->contents);
	mbj_store_u64(p + AT_CONTENTS_SIZE, mark->size);
	mbj_store_u32(p + AT_CRC, mbj_crc32c(0, mbj_bytes_make(p, AT_CRC)));
}

enum mbj_rc mbj_backup_mark_load(const struct mbj_sys *sys, const char *dir,
				 struct mbj_backup_mark *ret_mark,
				 struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, STORE_BACKUP_NAME, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&bytes, MARK_SIZE_MAX);
	rc = mbj_file_load(sys, path, MARK_SIZE_MAX, &bytes, err);
	if (rc == MBJ_ENOTFOUND)
		rc = mbj_error_set(err, MBJ_ENOTFOUND, "%s is not a backup",
				   dir);
	else if (rc == MBJ_ELIMIT)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "%s: too long for the mark of a backup",
				   path);
	else if (rc == MBJ_OK) {
		rc = mark_check(mbj_buf_view(&bytes), err);
		if (rc == MBJ_OK)
			mark_decode(bytes.p, ret_mark);
		else
			rc = mbj_error_prefix(err, rc, "%s", path);
	}
	if (rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED)
		mbj_error_at(err, path, 0, 0);
	mbj_buf_done(&bytes);
	return rc;
}

enum mbj_rc mbj_backup_mark_save(const struct mbj_sys *sys, const char *dir,
				 const struct mbj_backup_mark *mark,
				 struct mbj_error *err)
{
	uint8_t bytes[MARK_SIZE];

	mark_encode(mark, bytes);
	return mbj_file_replace(sys, dir, STORE_BACKUP_NAME,
				mbj_bytes_make(bytes, sizeof(bytes)), err);
}
