/*
 * The marks beside the segments.
 *
 * "published": 64 bytes, written in place after each sync, not synced itself
 * but at a clean close.  It is true whenever it can be read, because it
 * follows the sync; it may be old, or torn by a crash.
 *
 *	 0   8  magic "MBJPUBLI"
 *	 8   8  LSN
 *	16  32  chain at that LSN
 *	48  12  zero
 *	60   4  CRC32C of all before
 *
 * "suspect": an empty file.  A write or a sync failed: what the page cache
 * shows of the last segment may not be on disk, although later syncs succeed.
 *
 * "mending": mended segments are being put into their places.  What it says is
 * splice_mark.c's; here it is a reason to refuse.
 *
 * Threads: none shared; a reader may meet a record half written, and looks
 * again.
 */
#include "log_impl.h"

#include <fcntl.h>

#include <mbj/check.h>
#include <mbj/codec.h>

static const char published_magic[8] = {'M', 'B', 'J', 'P', 'U', 'B', 'L', 'I'};

enum {
	PUBLISHED_LSN = 8,
	PUBLISHED_CHAIN = 16,
	PUBLISHED_CRC = LOG_PUBLISHED_SIZE - 4,
	/* A writer needs nanoseconds for 64 bytes: this is plenty. */
	READ_ATTEMPTS_MAX = 64,
};

void log_published_encode(const struct mbj_log_end *end,
			  uint8_t bytes[LOG_PUBLISHED_SIZE])
{
	memset(bytes, 0, LOG_PUBLISHED_SIZE);
	memcpy(bytes, published_magic, sizeof(published_magic));
	mbj_store_u64(bytes + PUBLISHED_LSN, end->lsn.v);
	memcpy(bytes + PUBLISHED_CHAIN, end->chain.b, MBJ_HASH_SIZE);
	mbj_store_u32(bytes + PUBLISHED_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes, PUBLISHED_CRC)));
}

bool log_published_decode(const uint8_t bytes[LOG_PUBLISHED_SIZE],
			  struct mbj_log_end *ret_end)
{
	if (memcmp(bytes, published_magic, sizeof(published_magic)) != 0 ||
	    mbj_crc32c(0, mbj_bytes_make(bytes, PUBLISHED_CRC)) !=
		    mbj_load_u32(bytes + PUBLISHED_CRC))
		return false;
	ret_end->lsn.v = mbj_load_u64(bytes + PUBLISHED_LSN);
	memcpy(ret_end->chain.b, bytes + PUBLISHED_CHAIN, MBJ_HASH_SIZE);
	return true;
}

enum mbj_rc log_published_read(struct mbj_file *file,
			       struct mbj_log_end *ret_end,
			       bool *ret_is_damaged, struct mbj_error *err)
{
	struct mbj_log_end end = {{0}, {{0}}};
	uint8_t bytes[LOG_PUBLISHED_SIZE];
	bool is_damaged = true;
	size_t n = 0;
	enum mbj_rc rc;

	/* It may be read while it is written. */
	for (int i = 0; is_damaged && i < READ_ATTEMPTS_MAX; i++) {
		rc = mbj_file_read(file, 0, bytes, sizeof(bytes), &n, err);
		if (rc < 0)
			return rc;
		is_damaged = n > 0 && (n < sizeof(bytes) ||
				       !log_published_decode(bytes, &end));
	}
	*ret_end = end;
	*ret_is_damaged = is_damaged;
	return MBJ_OK;
}

enum mbj_rc log_mending_refuse(const struct mbj_sys *sys, const char *dir,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, LOG_MENDING_NAME, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "mending %s was begun and did not come to its "
			     "end: mbj fsck STORE --repair brings it there",
			     dir);
}

enum mbj_rc log_suspect_get(const struct mbj_sys *sys, const char *dir,
			    bool *ret_is_suspect, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	MBJ_ASSERT(ret_is_suspect != NULL);
	rc = mbj_path_join(path, dir, LOG_SUSPECT_NAME, err);
	if (rc < 0)
		return rc;
	*ret_is_suspect = mbj_path_exists(sys, path);
	return MBJ_OK;
}

void log_suspect_set(const struct mbj_sys *sys, const char *dir)
{
	struct mbj_file file = MBJ_FILE_CLOSED;
	char path[MBJ_PATH_TEXT_MAX];

	/* Nothing can be done about a failure here: the disk is failing. */
	if (mbj_path_join(path, dir, LOG_SUSPECT_NAME, NULL) < 0 ||
	    mbj_file_open(sys, path, O_WRONLY | O_CREAT, &file, NULL) < 0)
		return;
	mbj_file_close(&file);
	if (mbj_dir_sync(sys, dir, NULL) < 0)
		return;
}

enum mbj_rc log_suspect_clear(const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, LOG_SUSPECT_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_remove(sys, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, dir, err);
	return rc;
}

enum mbj_rc log_segments_lost(const char *dir, uint64_t durable,
			      struct mbj_error *err)
{
	enum mbj_rc rc = mbj_error_set(err, MBJ_ECORRUPT,
				       "the journal has no segments, but LSN "
				       "%llu was durable: %s",
				       (unsigned long long)durable, dir);

	mbj_error_at(err, dir, 0, durable);
	return rc;
}
