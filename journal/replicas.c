/*
 * The register of replicas; see mbj/replicas.h.
 *
 *	  0  8  magic "MBJREPLI"
 *	  8  4  version, 1
 *	 12 16  instance
 *	 28  8  received, 8 applied, 8 parked
 *	 52  8  heard, microseconds since 1970
 *	 60 16  boot, 8 heard, 8 current (its milliseconds)
 *	 92  1  1: was current, 2: is connected
 *	 93     name BYTES
 *	     4  CRC32C of all before
 */
#include <mbj/replicas.h>

#include <fcntl.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

#include "store_impl.h"

enum {
	REPLICA_VERSION = 1,
	REPLICA_SIZE_MAX = 512,
	NAMES_MAX = MBJ_REPLICAS_MAX * 64,
	WAS_CURRENT = 1,
	IS_CONNECTED = 2,
};

static const char magic[8] = {'M', 'B', 'J', 'R', 'E', 'P', 'L', 'I'};

struct mbj_id mbj_boot_id(void)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_id boot = MBJ_ID_ROOT;
	struct mbj_file file;
	uint8_t text[64];
	char digits[MBJ_ID_TEXT_SIZE];
	size_t count = 0;
	size_t n = 0;

	if (mbj_file_open(sys, path, O_RDONLY, &file, NULL) < 0)
		return boot;
	(void)!mbj_file_read(&file, 0, text, sizeof(text), &n, NULL);
	mbj_file_close(&file);
	for (size_t i = 0; i < n && count < sizeof(digits) - 1; i++)
		if (text[i] != '-' && text[i] != '\n')
			digits[count++] = (char)text[i];
	if (!mbj_id_parse(mbj_bytes_make(digits, count), &boot))
		boot = MBJ_ID_ROOT;
	return boot;
}

static void note_encode(const struct mbj_replica_note *note,
			struct mbj_buf *out)
{
	mbj_buf_put(out, magic, sizeof(magic));
	mbj_buf_put_u32(out, REPLICA_VERSION);
	mbj_buf_put_id(out, note->instance);
	mbj_buf_put_u64(out, note->received.v);
	mbj_buf_put_u64(out, note->applied.v);
	mbj_buf_put_u64(out, note->parked.v);
	mbj_buf_put_u64(out, (uint64_t)note->heard_us);
	mbj_buf_put_id(out, note->boot);
	mbj_buf_put_u64(out, (uint64_t)note->heard_ms);
	mbj_buf_put_u64(out, (uint64_t)note->current_ms);
	mbj_buf_put_u8(out, (uint8_t)((note->was_current ? WAS_CURRENT : 0) |
				      (note->is_connected ? IS_CONNECTED : 0)));
	mbj_buf_put_block(out, mbj_bytes_str(note->name));
	mbj_buf_put_u32(out, mbj_crc32c(0, mbj_buf_view(out)));
}

static bool note_decode(struct mbj_bytes bytes, struct mbj_replica_note *note)
{
	struct mbj_reader reader;
	struct mbj_bytes head;
	struct mbj_bytes name;
	uint32_t version;
	uint8_t flags;

	if (bytes.n < 4 ||
	    mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - 4)) !=
		    mbj_load_u32(bytes.p + bytes.n - 4))
		return false;
	mbj_reader_init(&reader, mbj_bytes_make(bytes.p, bytes.n - 4));
	head = mbj_read_bytes(&reader, sizeof(magic));
	version = mbj_read_u32(&reader);
	note->instance = mbj_read_id(&reader);
	note->received.v = mbj_read_u64(&reader);
	note->applied.v = mbj_read_u64(&reader);
	note->parked.v = mbj_read_u64(&reader);
	note->heard_us = (int64_t)mbj_read_u64(&reader);
	note->boot = mbj_read_id(&reader);
	note->heard_ms = (int64_t)mbj_read_u64(&reader);
	note->current_ms = (int64_t)mbj_read_u64(&reader);
	flags = mbj_read_u8(&reader);
	name = mbj_read_block(&reader, MBJ_REPLICA_NAME_MAX);
	if (!mbj_reader_is_spent(&reader) ||
	    memcmp(head.p, magic, sizeof(magic)) != 0 ||
	    version != REPLICA_VERSION || flags > (WAS_CURRENT | IS_CONNECTED))
		return false;
	note->was_current = (flags & WAS_CURRENT) != 0;
	note->is_connected = (flags & IS_CONNECTED) != 0;
	if (name.n > 0)
		memcpy(note->name, name.p, name.n);
	note->name[name.n] = '\0';
	return strlen(note->name) == name.n;
}

static enum mbj_rc replicas_path(char path[MBJ_PATH_TEXT_MAX], const char *dir,
				 struct mbj_error *err)
{
	return mbj_path_join(path, dir, STORE_REPLICAS_NAME, err);
}

/* Peers choose their instances: so many have a file, and no more. */
static enum mbj_rc room_check(const struct mbj_sys *sys, const char *path,
			      const char *name, struct mbj_error *err)
{
	char file[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_path_join(file, path, name, err);
	if (rc < 0 || mbj_path_exists(sys, file))
		return rc;
	mbj_buf_init(&names, NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	for (size_t at = 0; rc == MBJ_OK && at < names.n; count++)
		at += strlen((const char *)names.p + at) + 1;
	mbj_buf_done(&names);
	if (rc == MBJ_OK && count >= MBJ_REPLICAS_MAX)
		rc = mbj_error_set(err, MBJ_ELIMIT,
				   "%s has %d replicas, as many as it can: "
				   "forget some",
				   path, MBJ_REPLICAS_MAX);
	return rc;
}

enum mbj_rc mbj_replica_note_save(const struct mbj_sys *sys, const char *dir,
				  const struct mbj_replica_note *note,
				  struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	char name[MBJ_ID_TEXT_SIZE];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	rc = replicas_path(path, dir, err);
	if (rc == MBJ_OK && !mbj_path_exists(sys, path)) {
		rc = mbj_dir_make(sys, path, err);
		if (rc == MBJ_EEXISTS)
			rc = MBJ_OK;
		if (rc == MBJ_OK)
			rc = mbj_dir_sync(sys, dir, err);
	}
	if (rc < 0)
		return rc;
	mbj_id_print(note->instance, name);
	rc = room_check(sys, path, name, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&bytes, REPLICA_SIZE_MAX);
	note_encode(note, &bytes);
	rc = mbj_buf_ok(&bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, path, name, mbj_buf_view(&bytes),
				      err);
	mbj_buf_done(&bytes);
	return rc;
}

static enum mbj_rc note_load(const struct mbj_sys *sys, const char *path,
			     struct mbj_id instance,
			     struct mbj_replica_note *ret_note,
			     struct mbj_error *err)
{
	char name[MBJ_ID_TEXT_SIZE];
	char file[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	mbj_id_print(instance, name);
	rc = mbj_path_join(file, path, name, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&bytes, REPLICA_SIZE_MAX);
	rc = mbj_file_load(sys, file, REPLICA_SIZE_MAX, &bytes, err);
	if (rc == MBJ_OK && (!note_decode(mbj_buf_view(&bytes), ret_note) ||
			     !mbj_id_equal(ret_note->instance, instance)))
		rc = mbj_error_set(
			err, MBJ_ECORRUPT,
			"%s is damaged: \"mbj replicas --forget %s\" "
			"removes it",
			file, name);
	mbj_buf_done(&bytes);
	return rc;
}

enum mbj_rc mbj_replica_notes_load(const struct mbj_sys *sys, const char *dir,
				   struct mbj_replica_note **ret_notes,
				   size_t *ret_count, struct mbj_error *err)
{
	struct mbj_replica_note *notes = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	size_t capacity = 0;
	size_t count = 0;
	enum mbj_rc rc;

	*ret_notes = NULL;
	*ret_count = 0;
	sys = sys != NULL ? sys : mbj_sys_posix();
	rc = replicas_path(path, dir, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	mbj_buf_init(&names, NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	for (size_t at = 0; rc == MBJ_OK && at < names.n;) {
		const char *name = (const char *)names.p + at;
		void *array = notes;
		struct mbj_id id;

		at += strlen(name) + 1;
		/* One that is being replaced, or that is nobody's. */
		if (!mbj_id_parse(mbj_bytes_str(name), &id))
			continue;
		rc = mbj_array_reserve(&array, &capacity, count + 1,
				       sizeof(*notes), MBJ_REPLICAS_MAX, err);
		if (rc < 0)
			break;
		notes = array;
		rc = note_load(sys, path, id, &notes[count], err);
		/* Forgotten meanwhile. */
		if (rc == MBJ_ENOTFOUND)
			rc = MBJ_OK;
		else
			count++;
	}
	mbj_buf_done(&names);
	if (rc < 0) {
		mbj_free(notes);
		return rc;
	}
	*ret_notes = notes;
	*ret_count = count;
	return MBJ_OK;
}

enum mbj_rc mbj_replica_forget(const struct mbj_sys *sys, const char *dir,
			       struct mbj_id instance, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	char file[MBJ_PATH_TEXT_MAX];
	char name[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	sys = sys != NULL ? sys : mbj_sys_posix();
	mbj_id_print(instance, name);
	rc = replicas_path(path, dir, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(file, path, name, err);
	if (rc < 0)
		return rc;
	if (!mbj_path_exists(sys, file))
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s knows no replica %s", dir, name);
	rc = mbj_file_remove(sys, file, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(sys, path, err);
	return rc;
}

bool mbj_replica_lag(const struct mbj_replica_note *note, uint64_t *ret_ms)
{
	int64_t now = mbj_monotonic_ms();

	if (!note->was_current || mbj_id_is_root(note->boot) ||
	    !mbj_id_equal(note->boot, mbj_boot_id()) || now < note->current_ms)
		return false;
	*ret_ms = (uint64_t)(now - note->current_ms);
	return true;
}
