/*
 * The register of replicas; see mbj/replicas.h.
 *
 *	  0  8  magic "MBJREPLI"
 *	  8  4  version, 2
 *	 12 16  instance
 *	 28  8  received, 8 applied, 8 parked
 *	 52  8  heard, microseconds since 1970
 *	 60 16  boot, 8 heard, 8 current (its milliseconds)
 *	 92  1  1: was current, 2: is connected, 4: all of it takes a snapshot
 *	 93 16  session
 *	109     name BYTES, address BYTES
 *	     8  snapshot that it takes or 0, 8 sent of it, 8 its size, 8 began
 *	     4  CRC32C of all before
 */
#include <mbj/replicas.h>

#include <fcntl.h>
#include <poll.h>
#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

#include "received_look.h"
#include "replicas_impl.h"
#include "store_impl.h"

enum {
	REPLICA_VERSION = 2,
	REPLICA_VERSION_PLAIN = 1, /* which ends with the name */
	REPLICA_SIZE_MAX = 1024,
	LOCK_MS = 1000,
	OTHER_MS = 60000, /* another session lives if it was heard since */
	WAS_CURRENT = 1,
	IS_CONNECTED = 2,
	IS_WHOLE = 4,
};

#define LOCK_NAME "lock"

static const char magic[8] = {'M', 'B', 'J', 'R', 'E', 'P', 'L', 'I'};

struct mbj_id mbj_boot_id(void)
{
	return boot_id_read(mbj_sys_posix());
}

struct mbj_id boot_id_read(const struct mbj_sys *sys)
{
	static const char path[] = "/proc/sys/kernel/random/boot_id";
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
				      (note->is_connected ? IS_CONNECTED : 0) |
				      (note->take.is_whole ? IS_WHOLE : 0)));
	mbj_buf_put_id(out, note->session);
	mbj_buf_put_block(out, mbj_bytes_str(note->name));
	mbj_buf_put_block(out, mbj_bytes_str(note->address));
	mbj_buf_put_u64(out, note->take.lsn.v);
	mbj_buf_put_u64(out, note->take.sent);
	mbj_buf_put_u64(out, note->take.size);
	mbj_buf_put_u64(out, (uint64_t)note->take.began_ms);
	mbj_buf_put_u32(out, mbj_crc32c(0, mbj_buf_view(out)));
}

/* A text of max bytes at most, for so many and one. */
static bool text_decode(struct mbj_reader *reader, size_t max, char *ret_text)
{
	struct mbj_bytes text = mbj_read_block(reader, max);

	if (text.n > 0)
		memcpy(ret_text, text.p, text.n);
	ret_text[text.n] = '\0';
	return mbj_reader_ok(reader) && strlen(ret_text) == text.n;
}

/* What a note has behind its name; one of version 1 has nothing. */
static bool take_decode(struct mbj_reader *reader, uint32_t version,
			bool is_whole, struct mbj_replica_note *note)
{
	struct mbj_replica_take *take = &note->take;

	note->address[0] = '\0';
	*take = (struct mbj_replica_take){.is_whole = is_whole};
	if (version == REPLICA_VERSION_PLAIN)
		return !is_whole;
	if (!text_decode(reader, MBJ_REPLICA_ADDRESS_MAX, note->address))
		return false;
	take->lsn.v = mbj_read_u64(reader);
	take->sent = mbj_read_u64(reader);
	take->size = mbj_read_u64(reader);
	take->began_ms = (int64_t)mbj_read_u64(reader);
	return take->sent <= take->size;
}

static bool note_decode(struct mbj_bytes bytes, struct mbj_replica_note *note)
{
	struct mbj_reader reader;
	struct mbj_bytes head;
	uint32_t version;
	uint8_t flags;
	bool is_text;

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
	note->session = mbj_read_id(&reader);
	is_text = text_decode(&reader, MBJ_REPLICA_NAME_MAX, note->name);
	if (!is_text || memcmp(head.p, magic, sizeof(magic)) != 0 ||
	    version < REPLICA_VERSION_PLAIN || version > REPLICA_VERSION ||
	    flags > (WAS_CURRENT | IS_CONNECTED | IS_WHOLE) ||
	    !take_decode(&reader, version, (flags & IS_WHOLE) != 0, note) ||
	    !mbj_reader_is_spent(&reader))
		return false;
	note->was_current = (flags & WAS_CURRENT) != 0;
	note->is_connected = (flags & IS_CONNECTED) != 0;
	note->is_certified = false;
	note->paused_ms = 0;
	note->is_pause_damaged = false;
	note->is_behind_known = false;
	return true;
}

enum mbj_rc replicas_path(char path[MBJ_PATH_TEXT_MAX], const char *dir,
			  struct mbj_error *err)
{
	return mbj_path_join(path, dir, STORE_REPLICAS_NAME, err);
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

/* Peers choose their instances: so many have a file, and no more. */
static enum mbj_rc room_check(const struct mbj_sys *sys, const char *path,
			      struct mbj_error *err)
{
	struct mbj_buf names;
	struct mbj_id id;
	size_t count = 0;
	enum mbj_rc rc;

	mbj_buf_init(&names, REPLICAS_NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		count += mbj_id_parse(mbj_bytes_str(name), &id);
	}
	mbj_buf_done(&names);
	if (rc == MBJ_OK && count >= MBJ_REPLICAS_MAX)
		rc = mbj_error_set(err, MBJ_ELIMIT,
				   "%s has %d replicas, as many as it can: "
				   "forget some",
				   path, MBJ_REPLICAS_MAX);
	return rc;
}

/* What another session knows is not lost. */
static void note_merge(struct mbj_replica_note *note,
		       const struct mbj_replica_note *old)
{
	if (!mbj_id_equal(note->boot, old->boot))
		return;
	if (old->was_current &&
	    (!note->was_current || note->current_ms < old->current_ms)) {
		note->was_current = true;
		note->current_ms = old->current_ms;
	}
	if (!mbj_id_equal(note->session, old->session) && old->is_connected &&
	    note->heard_ms - old->heard_ms < OTHER_MS &&
	    old->received.v < note->received.v)
		note->received = old->received;
}

/* Peers choose their instances: not one that somebody has under his name. */
static bool name_is_its(const struct mbj_replica_note *note,
			const struct mbj_replica_note *old)
{
	return !note->is_certified || old->name[0] == '\0' ||
	       strcmp(note->name, old->name) == 0;
}

/* With the lock. */
static enum mbj_rc note_write(const struct mbj_sys *sys, const char *path,
			      const struct mbj_replica_note *note,
			      enum mbj_note_turn turn, struct mbj_error *err)
{
	struct mbj_replica_note merged = *note;
	struct mbj_replica_note old;
	char name[MBJ_ID_TEXT_SIZE];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	rc = note_load(sys, path, note->instance, &old, err);
	if (rc == MBJ_OK && !name_is_its(note, &old))
		return mbj_error_set(
			err, MBJ_EFENCED,
			"its instance is registered as \"%.100s\", "
			"its certificate is for \"%.64s\": only "
			"\"mbj replicas --forget\" gives it away",
			old.name, note->name);
	if (rc == MBJ_ENOTFOUND && turn != MBJ_NOTE_FIRST)
		return MBJ_OK;
	if (rc == MBJ_ENOTFOUND)
		rc = room_check(sys, path, err);
	else if (rc == MBJ_OK && turn == MBJ_NOTE_LAST &&
		 !mbj_id_equal(old.session, note->session))
		return MBJ_OK;
	else if (rc == MBJ_OK)
		note_merge(&merged, &old);
	else if (rc == MBJ_ECORRUPT)
		rc = MBJ_OK;
	if (rc < 0)
		return rc;
	mbj_id_print(note->instance, name);
	mbj_buf_init(&bytes, REPLICA_SIZE_MAX);
	note_encode(&merged, &bytes);
	rc = mbj_buf_ok(&bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, path, name, mbj_buf_view(&bytes),
				      err);
	mbj_buf_done(&bytes);
	return rc;
}

/* Others are done in a moment, or something is wrong. */
static enum mbj_rc replicas_lock(const struct mbj_sys *sys, const char *path,
				 struct mbj_file *ret_lock,
				 struct mbj_error *err)
{
	char file[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_path_join(file, path, LOCK_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, file, O_RDWR | O_CREAT, ret_lock, err);
	if (rc < 0)
		return rc;
	for (int i = 0; i < LOCK_MS; i++) {
		rc = mbj_file_lock(ret_lock, err);
		if (rc != MBJ_EBUSY)
			break;
		(void)poll(NULL, 0, 1);
	}
	if (rc < 0)
		mbj_file_close(ret_lock);
	return rc;
}

enum mbj_rc replicas_take(const struct mbj_sys *sys, const char *dir,
			  char path[MBJ_PATH_TEXT_MAX],
			  struct mbj_file *ret_lock, struct mbj_error *err)
{
	enum mbj_rc rc = replicas_path(path, dir, err);

	if (rc < 0)
		return rc;
	if (!mbj_path_exists(sys, path))
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s has no register of replicas", dir);
	return replicas_lock(sys, path, ret_lock, err);
}

static enum mbj_rc directory_make(const struct mbj_sys *sys, const char *dir,
				  const char *path, struct mbj_error *err)
{
	enum mbj_rc rc;

	if (mbj_path_exists(sys, path))
		return MBJ_OK;
	rc = mbj_dir_make(sys, path, err);
	if (rc == MBJ_OK || rc == MBJ_EEXISTS)
		rc = mbj_dir_sync(sys, dir, err);
	return rc;
}

enum mbj_rc store_replicas_lock(const struct mbj_store *store,
				struct mbj_file *ret_lock,
				struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = replicas_path(path, store->dir, err);

	if (rc == MBJ_OK)
		rc = directory_make(store->sys, store->dir, path, err);
	if (rc == MBJ_OK)
		rc = replicas_lock(store->sys, path, ret_lock, err);
	return rc;
}

enum mbj_rc mbj_replica_note_save(const struct mbj_sys *sys, const char *dir,
				  const struct mbj_replica_note *note,
				  enum mbj_note_turn turn,
				  struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file lock = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	/* What root writes there nobody else can read, nor trim beside it. */
	rc = store_owner_check(sys, dir, err);
	if (rc == MBJ_OK)
		rc = replicas_path(path, dir, err);
	if (rc == MBJ_OK)
		rc = directory_make(sys, dir, path, err);
	if (rc == MBJ_OK)
		rc = replicas_lock(sys, path, &lock, err);
	if (rc < 0)
		return rc;
	rc = note_write(sys, path, note, turn, err);
	mbj_file_close(&lock);
	return rc;
}

/* None where it cannot be read: then nothing that was received counts. */
static struct mbj_id lineage_get(const struct mbj_sys *sys, const char *dir)
{
	struct mbj_identity identity = {.lineage = MBJ_ID_ROOT};

	(void)!mbj_identity_load(sys, dir, &identity, NULL);
	return identity.lineage;
}

/*
 * What is in files beside the note.  Of a pause that cannot be read it is noted
 * that it is so.
 */
static enum mbj_rc beside_note(const struct mbj_sys *sys, const char *path,
			       struct mbj_id lineage,
			       struct mbj_replica_note *note,
			       struct mbj_error *err)
{
	enum mbj_rc rc = replica_pause_left(sys, path, note->instance,
					    &note->paused_ms, err);

	note->counted = received_mark_read(sys, path, lineage, note->instance);
	note->is_pause_damaged = rc < 0 && rc != MBJ_ENOMEM;
	return note->is_pause_damaged ? MBJ_OK : rc;
}

enum mbj_rc mbj_replica_notes_load(const struct mbj_sys *sys, const char *dir,
				   struct mbj_replica_note **ret_notes,
				   size_t *ret_count, size_t *ret_bad,
				   struct mbj_error *err)
{
	struct mbj_replica_note *notes = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_id lineage;
	struct mbj_buf names;
	size_t capacity = 0;
	size_t count = 0;
	enum mbj_rc rc;

	*ret_notes = NULL;
	*ret_count = 0;
	if (ret_bad != NULL)
		*ret_bad = 0;
	sys = sys != NULL ? sys : mbj_sys_posix();
	rc = replicas_path(path, dir, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	lineage = lineage_get(sys, dir);
	mbj_buf_init(&names, REPLICAS_NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		void *array = notes;
		struct mbj_id id;

		/* One that is being replaced, or that is nobody's. */
		if (!mbj_id_parse(mbj_bytes_str(name), &id))
			continue;
		rc = mbj_array_reserve(&array, &capacity, count + 1,
				       sizeof(*notes), 2 * MBJ_REPLICAS_MAX,
				       err);
		if (rc < 0)
			break;
		notes = array;
		rc = note_load(sys, path, id, &notes[count], err);
		if (rc == MBJ_OK)
			rc = beside_note(sys, path, lineage, &notes[count++],
					 err);
		if (rc == MBJ_ENOTFOUND) { /* forgotten meanwhile */
			rc = MBJ_OK;
		} else if (rc < 0 && ret_bad != NULL && rc != MBJ_ENOMEM) {
			rc = MBJ_OK;
			(*ret_bad)++;
		}
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

/* With the lock. */
static enum mbj_rc replica_remove(const struct mbj_sys *sys, const char *dir,
				  const char *path, struct mbj_id instance,
				  struct mbj_error *err)
{
	char file[MBJ_PATH_TEXT_MAX];
	char name[MBJ_ID_TEXT_SIZE];
	bool is_there;
	enum mbj_rc rc;

	mbj_id_print(instance, name);
	rc = mbj_path_join(file, path, name, err);
	if (rc < 0)
		return rc;
	is_there = mbj_path_exists(sys, file);
	/* A pause without a replica would be one that comes back's. */
	rc = replica_pause_remove(sys, path, instance, err);
	if (rc == MBJ_ENOTFOUND && !is_there)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s knows no replica %s", dir, name);
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	if (rc == MBJ_OK)
		rc = received_mark_remove(sys, path, instance, err);
	if (rc == MBJ_OK && is_there)
		rc = mbj_file_remove(sys, file, err);
	if (rc == MBJ_OK && is_there)
		rc = mbj_dir_sync(sys, path, err);
	return rc;
}

enum mbj_rc mbj_replica_forget(const struct mbj_sys *sys, const char *dir,
			       struct mbj_id instance, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file lock = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	sys = sys != NULL ? sys : mbj_sys_posix();
	rc = replicas_take(sys, dir, path, &lock, err);
	if (rc < 0)
		return rc;
	rc = replica_remove(sys, dir, path, instance, err);
	mbj_file_close(&lock);
	return rc;
}

bool mbj_replica_lag(const struct mbj_replica_note *note, struct mbj_id boot,
		     uint64_t *ret_ms)
{
	int64_t now = mbj_monotonic_ms();

	if (!note->was_current || mbj_id_is_root(note->boot) ||
	    !mbj_id_equal(note->boot, boot) || now < note->current_ms)
		return false;
	*ret_ms = (uint64_t)(now - note->current_ms);
	return true;
}
