/*
 * Pauses of replicas, beside their notes in the register; see mbj/replicas.h.
 * One is a file of its own, INSTANCE.pause, so that whoever serves the replica
 * and writes its note never writes, nor forgets, what an operator said.
 *
 *	  0  8  magic "MBJPAUSE"
 *	  8  4  version, 1
 *	 12 16  instance
 *	 28 16  boot, 8 began (its milliseconds)
 *	 52  8  began, microseconds since 1970
 *	 60  8  for how long, milliseconds
 *	 68  4  CRC32C of all before
 *
 * It ends by the monotonic clock of the boot in which it began; in another one
 * by the time of day, where it is over as well if that lies before it began: a
 * pause that lasts too short costs nothing, one that never ends does.
 */
#include <mbj/codec.h>
#include <mbj/hash.h>
#include <mbj/memory.h>

#include "replicas_impl.h"
#include "store_impl.h"

enum {
	PAUSE_VERSION = 1,
	PAUSE_SIZE = 72,
	PAUSE_NAME_SIZE = MBJ_ID_TEXT_SIZE + 6,
};

static const char magic[8] = {'M', 'B', 'J', 'P', 'A', 'U', 'S', 'E'};

struct pause {
	struct mbj_id instance;
	struct mbj_id boot;
	int64_t began_ms;
	int64_t began_us;
	uint64_t ms;
};

static void pause_name(struct mbj_id instance, char ret_name[PAUSE_NAME_SIZE])
{
	mbj_id_print(instance, ret_name);
	memcpy(ret_name + MBJ_ID_TEXT_SIZE - 1, ".pause", sizeof(".pause"));
}

static void pause_encode(const struct pause *pause, struct mbj_buf *out)
{
	mbj_buf_put(out, magic, sizeof(magic));
	mbj_buf_put_u32(out, PAUSE_VERSION);
	mbj_buf_put_id(out, pause->instance);
	mbj_buf_put_id(out, pause->boot);
	mbj_buf_put_u64(out, (uint64_t)pause->began_ms);
	mbj_buf_put_u64(out, (uint64_t)pause->began_us);
	mbj_buf_put_u64(out, pause->ms);
	mbj_buf_put_u32(out, mbj_crc32c(0, mbj_buf_view(out)));
}

static bool pause_decode(struct mbj_bytes bytes, struct pause *ret_pause)
{
	struct mbj_reader reader;
	struct mbj_bytes head;
	uint32_t version;

	if (bytes.n != PAUSE_SIZE ||
	    mbj_crc32c(0, mbj_bytes_make(bytes.p, PAUSE_SIZE - 4)) !=
		    mbj_load_u32(bytes.p + PAUSE_SIZE - 4))
		return false;
	mbj_reader_init(&reader, mbj_bytes_make(bytes.p, PAUSE_SIZE - 4));
	head = mbj_read_bytes(&reader, sizeof(magic));
	version = mbj_read_u32(&reader);
	ret_pause->instance = mbj_read_id(&reader);
	ret_pause->boot = mbj_read_id(&reader);
	ret_pause->began_ms = (int64_t)mbj_read_u64(&reader);
	ret_pause->began_us = (int64_t)mbj_read_u64(&reader);
	ret_pause->ms = mbj_read_u64(&reader);
	return memcmp(head.p, magic, sizeof(magic)) == 0 &&
	       version == PAUSE_VERSION && ret_pause->ms <= MBJ_PAUSE_MS_MAX;
}

static uint64_t pause_rest(const struct mbj_sys *sys, const struct pause *pause)
{
	const struct mbj_id boot = mbj_boot_id();
	int64_t since;
	int64_t now;

	if (!mbj_id_is_root(boot) && mbj_id_equal(boot, pause->boot)) {
		now = mbj_monotonic_ms();
		since = pause->began_ms;
	} else {
		now = sys->now_us(sys->ctx) / 1000;
		since = pause->began_us / 1000;
	}
	if (now < since || (uint64_t)now - (uint64_t)since >= pause->ms)
		return 0;
	return pause->ms - ((uint64_t)now - (uint64_t)since);
}

enum mbj_rc replica_pause_left(const struct mbj_sys *sys, const char *path,
			       struct mbj_id instance, uint64_t *ret_ms,
			       struct mbj_error *err)
{
	char name[PAUSE_NAME_SIZE];
	char file[MBJ_PATH_TEXT_MAX];
	struct pause pause;
	struct mbj_buf bytes;
	enum mbj_rc rc;

	*ret_ms = 0;
	pause_name(instance, name);
	rc = mbj_path_join(file, path, name, err);
	/* Usually there is none: that is no error to be made up. */
	if (rc < 0 || !mbj_path_exists(sys, file))
		return rc;
	mbj_buf_init(&bytes, PAUSE_SIZE + 1);
	rc = mbj_file_load(sys, file, PAUSE_SIZE, &bytes, err);
	if (rc == MBJ_ENOTFOUND) /* resumed meanwhile */
		rc = MBJ_OK;
	else if (rc == MBJ_ELIMIT ||
		 (rc == MBJ_OK &&
		  (!pause_decode(mbj_buf_view(&bytes), &pause) ||
		   !mbj_id_equal(pause.instance, instance))))
		rc = mbj_error_set(err, MBJ_ECORRUPT, "%s is damaged", file);
	else if (rc == MBJ_OK)
		*ret_ms = pause_rest(sys, &pause);
	mbj_buf_done(&bytes);
	return rc;
}

uint64_t mbj_replica_paused(const struct mbj_sys *sys, const char *dir,
			    struct mbj_id instance)
{
	char path[MBJ_PATH_TEXT_MAX];
	uint64_t left = 0;

	if (replicas_path(path, dir, NULL) == MBJ_OK)
		(void)!replica_pause_left(sys, path, instance, &left, NULL);
	return left;
}

enum mbj_rc replica_pause_remove(const struct mbj_sys *sys, const char *path,
				 struct mbj_id instance, struct mbj_error *err)
{
	char name[PAUSE_NAME_SIZE];
	char file[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	pause_name(instance, name);
	rc = mbj_path_join(file, path, name, err);
	if (rc < 0)
		return rc;
	if (!mbj_path_exists(sys, file))
		return MBJ_ENOTFOUND;
	rc = mbj_file_remove(sys, file, err);
	return rc == MBJ_OK ? mbj_dir_sync(sys, path, err) : rc;
}

static enum mbj_rc pause_write(const struct mbj_sys *sys, const char *path,
			       struct mbj_id instance, uint64_t ms,
			       struct mbj_error *err)
{
	const struct pause pause = {.instance = instance,
				    .boot = mbj_boot_id(),
				    .began_ms = mbj_monotonic_ms(),
				    .began_us = sys->now_us(sys->ctx),
				    .ms = ms};
	char name[PAUSE_NAME_SIZE];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	pause_name(instance, name);
	mbj_buf_init(&bytes, PAUSE_SIZE);
	pause_encode(&pause, &bytes);
	rc = mbj_buf_ok(&bytes, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(sys, path, name, mbj_buf_view(&bytes),
				      err);
	mbj_buf_done(&bytes);
	return rc;
}

/*
 * With the lock, so that it is not forgotten meanwhile.  A pause may be there
 * without a note, or beside one that is damaged: it ends all the same.
 */
static enum mbj_rc pause_set(const struct mbj_sys *sys, const char *path,
			     struct mbj_id instance, uint64_t ms,
			     struct mbj_error *err)
{
	char id[MBJ_ID_TEXT_SIZE];
	char file[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = MBJ_ENOTFOUND;

	if (ms == 0)
		rc = replica_pause_remove(sys, path, instance, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	mbj_id_print(instance, id);
	rc = mbj_path_join(file, path, id, err);
	if (rc < 0)
		return rc;
	if (!mbj_path_exists(sys, file))
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s knows no replica %s", path, id);
	return ms == 0 ? MBJ_OK : pause_write(sys, path, instance, ms, err);
}

enum mbj_rc mbj_replica_pause(const struct mbj_sys *sys, const char *dir,
			      struct mbj_id instance, uint64_t ms,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_file lock = MBJ_FILE_CLOSED;
	enum mbj_rc rc;

	sys = sys != NULL ? sys : mbj_sys_posix();
	if (ms > MBJ_PAUSE_MS_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a pause of %llu s is longer than %d s, "
				     "which is the longest",
				     (unsigned long long)(ms / 1000),
				     MBJ_PAUSE_MS_MAX / 1000);
	/* What root writes there whoever serves the replica cannot read. */
	rc = ms > 0 ? store_owner_check(sys, dir, err) : MBJ_OK;
	if (rc == MBJ_OK)
		rc = replicas_take(sys, dir, path, &lock, err);
	if (rc < 0)
		return rc;
	rc = pause_set(sys, path, instance, ms, err);
	mbj_file_close(&lock);
	return rc;
}

/* ------------------------------------------------------------------- left */

static bool pause_name_read(const char *name, struct mbj_id *ret_instance)
{
	size_t n = strlen(name);

	return n == PAUSE_NAME_SIZE - 1 &&
	       strcmp(name + MBJ_ID_TEXT_SIZE - 1, ".pause") == 0 &&
	       mbj_id_parse(mbj_bytes_make(name, MBJ_ID_TEXT_SIZE - 1),
			    ret_instance);
}

static bool has_note(const struct mbj_replica_note *notes, size_t count,
		     struct mbj_id instance)
{
	for (size_t i = 0; i < count; i++)
		if (mbj_id_equal(notes[i].instance, instance))
			return true;
	return false;
}

struct left {
	struct mbj_pause_left *pauses;
	size_t capacity;
	size_t count;
};

static enum mbj_rc left_put(struct left *left, const struct mbj_sys *sys,
			    const char *path, struct mbj_id instance,
			    struct mbj_error *err)
{
	struct mbj_pause_left pause = {.instance = instance};
	void *array = left->pauses;
	enum mbj_rc rc;

	rc = replica_pause_left(sys, path, instance, &pause.ms, err);
	if (rc == MBJ_ENOMEM)
		return rc;
	pause.is_damaged = rc < 0;
	if (pause.ms == 0 && !pause.is_damaged)
		return MBJ_OK;
	rc = mbj_array_reserve(&array, &left->capacity, left->count + 1,
			       sizeof(pause), 2 * MBJ_REPLICAS_MAX, err);
	if (rc < 0)
		return rc;
	left->pauses = array;
	left->pauses[left->count++] = pause;
	return MBJ_OK;
}

enum mbj_rc mbj_replica_pauses_left(const struct mbj_sys *sys, const char *dir,
				    struct mbj_pause_left **ret_pauses,
				    size_t *ret_count, struct mbj_error *err)
{
	struct mbj_replica_note *notes = NULL;
	struct left left = {.pauses = NULL};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	struct mbj_id id;
	size_t count = 0;
	size_t bad = 0;
	enum mbj_rc rc;

	*ret_pauses = NULL;
	*ret_count = 0;
	sys = sys != NULL ? sys : mbj_sys_posix();
	rc = replicas_path(path, dir, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	mbj_buf_init(&names, REPLICAS_NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	/* After the names: one that is registered meanwhile has a note. */
	if (rc == MBJ_OK)
		rc = mbj_replica_notes_load(sys, dir, &notes, &count, &bad,
					    err);
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		if (pause_name_read(name, &id) && !has_note(notes, count, id))
			rc = left_put(&left, sys, path, id, err);
	}
	mbj_free(notes);
	mbj_buf_done(&names);
	if (rc < 0) {
		mbj_free(left.pauses);
		return rc;
	}
	*ret_pauses = left.pauses;
	*ret_count = left.count;
	return MBJ_OK;
}
