/*
 * How far one replica is: replicas/INSTANCE.received; see mbj/received.h.
 *
 *	 0   8  magic "MBJRECVD"
 *	 8  16  instance of the replica
 *	24  16  lineage
 *	40   8  LSN
 *	48   4  version, 1
 *	52   4  CRC32C of all before
 *
 * Written in place and not synced, as the journal's "published" is: whenever it
 * can be read it is true, as a replica says only what is on its disk.  It is a
 * file of its own because a note is replaced and synced, which is too much for
 * each time that a replica says something.
 */
#include "received_look.h"

#include <fcntl.h>

#include <mbj/codec.h>
#include <mbj/hash.h>

#include "replicas_impl.h"

enum {
	MARK_VERSION = 1,
	MARK_INSTANCE = 8,
	MARK_LINEAGE = 24,
	MARK_LSN = 40,
	MARK_VERSION_AT = 48,
	MARK_CRC = RECEIVED_SIZE - 4,
	NAME_SIZE = MBJ_ID_TEXT_SIZE + 9,
	/* A writer needs nanoseconds for so few bytes: this is plenty. */
	READ_ATTEMPTS_MAX = 64,
};

static const char magic[8] = {'M', 'B', 'J', 'R', 'E', 'C', 'V', 'D'};

static enum mbj_rc mark_path(char file[MBJ_PATH_TEXT_MAX], const char *path,
			     struct mbj_id instance, struct mbj_error *err)
{
	char name[NAME_SIZE];

	mbj_id_print(instance, name);
	memcpy(name + MBJ_ID_TEXT_SIZE - 1, ".received", sizeof(".received"));
	return mbj_path_join(file, path, name, err);
}

static void mark_encode(const struct mbj_received_mark *mark,
			struct mbj_lsn lsn, uint8_t bytes[RECEIVED_SIZE])
{
	memcpy(bytes, magic, sizeof(magic));
	memcpy(bytes + MARK_INSTANCE, mark->instance.b, MBJ_ID_SIZE);
	memcpy(bytes + MARK_LINEAGE, mark->lineage.b, MBJ_ID_SIZE);
	mbj_store_u64(bytes + MARK_LSN, lsn.v);
	mbj_store_u32(bytes + MARK_VERSION_AT, MARK_VERSION);
	mbj_store_u32(bytes + MARK_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes, MARK_CRC)));
}

/* True: it is whole.  Of whom it is not the caller finds an LSN of 0. */
static bool mark_decode(const uint8_t bytes[RECEIVED_SIZE],
			struct mbj_id lineage, struct mbj_id instance,
			struct mbj_lsn *ret_lsn)
{
	if (memcmp(bytes, magic, sizeof(magic)) != 0 ||
	    mbj_crc32c(0, mbj_bytes_make(bytes, MARK_CRC)) !=
		    mbj_load_u32(bytes + MARK_CRC))
		return false;
	ret_lsn->v = 0;
	if (mbj_load_u32(bytes + MARK_VERSION_AT) == MARK_VERSION &&
	    memcmp(bytes + MARK_INSTANCE, instance.b, MBJ_ID_SIZE) == 0 &&
	    memcmp(bytes + MARK_LINEAGE, lineage.b, MBJ_ID_SIZE) == 0)
		ret_lsn->v = mbj_load_u64(bytes + MARK_LSN);
	return true;
}

/* It may be read while it is written. */
static struct mbj_lsn mark_load(struct mbj_file *file, struct mbj_id lineage,
				struct mbj_id instance)
{
	struct mbj_lsn lsn = {0};
	uint8_t bytes[RECEIVED_SIZE];
	bool is_whole = false;
	size_t n = 0;

	for (int i = 0; !is_whole && i < READ_ATTEMPTS_MAX; i++) {
		if (mbj_file_read(file, 0, bytes, sizeof(bytes), &n, NULL) < 0)
			break;
		is_whole = n == sizeof(bytes) &&
			   mark_decode(bytes, lineage, instance, &lsn);
	}
	return lsn;
}

struct mbj_lsn received_mark_read(const struct mbj_sys *sys, const char *path,
				  struct mbj_id lineage, struct mbj_id instance)
{
	char name[MBJ_PATH_TEXT_MAX];
	struct mbj_lsn lsn = {0};
	struct mbj_file file;

	if (mark_path(name, path, instance, NULL) < 0 ||
	    mbj_file_open(sys, name, O_RDONLY, &file, NULL) < 0)
		return lsn;
	lsn = mark_load(&file, lineage, instance);
	mbj_file_close(&file);
	return lsn;
}

enum mbj_rc received_mark_remove(const struct mbj_sys *sys, const char *path,
				 struct mbj_id instance, struct mbj_error *err)
{
	char name[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = mark_path(name, path, instance, err);

	if (rc < 0 || !mbj_path_exists(sys, name))
		return rc;
	return mbj_file_remove(sys, name, err);
}

enum mbj_rc mbj_received_open(struct mbj_received_mark *mark,
			      const struct mbj_sys *sys, const char *dir,
			      struct mbj_id lineage, struct mbj_id instance,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	char name[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	*mark = MBJ_RECEIVED_MARK_CLOSED;
	mark->lineage = lineage;
	mark->instance = instance;
	rc = replicas_path(path, dir, err);
	if (rc == MBJ_OK)
		rc = mark_path(name, path, instance, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, name, O_RDWR | O_CREAT, &mark->file,
				   err);
	if (rc == MBJ_OK)
		mark->lsn = mark_load(&mark->file, lineage, instance);
	return rc;
}

enum mbj_rc mbj_received_set(struct mbj_received_mark *mark, struct mbj_lsn lsn,
			     struct mbj_error *err)
{
	uint8_t bytes[RECEIVED_SIZE];
	enum mbj_rc rc;

	if (lsn.v == mark->lsn.v || mark->file.fd < 0)
		return MBJ_OK;
	mark_encode(mark, lsn, bytes);
	rc = mbj_file_write(&mark->file, 0, bytes, sizeof(bytes), err);
	if (rc == MBJ_OK)
		mark->lsn = lsn;
	return rc;
}

void mbj_received_close(struct mbj_received_mark *mark)
{
	mbj_file_close(&mark->file);
}
