/*
 * A blob folder on the disk in memory, and what was done to it: what was
 * stored, and what of that was called durable.
 */
#ifndef TEST_BLOB_COURSE_H
#define TEST_BLOB_COURSE_H

#include <fcntl.h>

#include "blob_lab.h"
#include "blob_priv.h"
#include "disk_impl.h"

enum { CONTENTS = 6 };

#define DISK_ROOT "/d"
#define BLOBS_DIR "/d/blobs"
#define OTHER_DIR "/d/other"
#define MAIL_PATH "/d/mail"

/* A script's course: what it stored, and what of that was called durable. */
struct course {
	struct disk *disk;
	bool is_loose;	     /* each content a file of its own */
	bool is_small;	     /* packs of one or two, compacted when they can */
	uint64_t closing_at; /* calls before it closes */
	struct content contents[CONTENTS];
	bool is_stored[CONTENTS];
	bool is_promised[CONTENTS];
	unsigned failures;
};

enum kind { PACKED, LOOSE, SMALL, KINDS };

static inline void course_init(struct course *course, enum kind kind)
{
	memset(course, 0, sizeof(*course));
	course->is_loose = kind == LOOSE;
	course->is_small = kind == SMALL;
	course->disk = disk_new(DISK_ROOT, 1);
	for (unsigned i = 0; i < CONTENTS; i++)
		content_make(&course->contents[i], i);
}

static inline void shape(const struct course *course, struct mbj_blobs *blobs)
{
	if (course->is_loose)
		blobs->packs.body_max = 0;
	if (!course->is_small)
		return;
	blobs->packs.size_max = 500;
	blobs->packs.index_step = 200;
	blobs->packs.dead_min = 0;
}

/* A message outside, and a second folder with content 4. */
static inline void outside_make(struct course *course)
{
	const struct mbj_sys *sys = disk_sys(course->disk);
	const struct content *mail = &course->contents[3];
	const struct content *four = &course->contents[4];
	struct mbj_file file = MBJ_FILE_CLOSED;
	struct mbj_blobs *other = NULL;
	struct mbj_hash digest;
	struct mbj_error err;

	test_ok(mbj_file_open(sys, MAIL_PATH, O_WRONLY | O_CREAT, &file, &err),
		err);
	test_ok(mbj_file_write(&file, 0, mail->p, mail->n, &err), err);
	test_ok(mbj_file_sync(&file, &err), err);
	mbj_file_close(&file);
	test_ok(mbj_blobs_open(sys, OTHER_DIR, true, &other, &err), err);
	shape(course, other);
	test_ok(mbj_blob_put(other, content_bytes(four), &digest, &err), err);
	test_ok(mbj_blobs_sync(other, &err), err);
	mbj_blobs_close(&other);
}

static inline void put(struct course *course, struct mbj_blobs *blobs,
		       unsigned number)
{
	const struct content *content = &course->contents[number];
	struct mbj_hash digest;
	struct mbj_error err;

	if (mbj_blob_put(blobs, content_bytes(content), &digest, &err) < 0) {
		course->failures++;
		return;
	}
	ck_assert(digest_equal(&digest, &content->digest));
	course->is_stored[number] = true;
	/* Some are settled by themselves. */
	if (number % 2 != 0)
		course->failures += mbj_blob_settle(blobs, &digest, &err) < 0;
}

/* Where it is, all of it is on disk. */
static inline void place_check(struct course *course, struct mbj_blobs *blobs,
			       const struct content *content)
{
	struct pack_place place = {NULL, 0, 0};
	char path[MBJ_PATH_TEXT_MAX];
	bool is_packed = false;
	struct mbj_error err;

	blob_file(path, BLOBS_DIR, &content->digest);
	/* Memory may end here as well; the next one looks. */
	if (packs_find(blobs, &content->digest, &place, &is_packed, &err) < 0)
		return;
	ck_assert(course->is_loose || is_packed);
	if (is_packed)
		memcpy(path, place.pack->file.path, sizeof(path));
	ck_assert(disk_is_entered(course->disk, path));
	if (is_packed)
		ck_assert_uint_lt(place.at, place.pack->synced);
	/* Of a pack there may be more, of a write that failed. */
	if (!is_packed)
		ck_assert(disk_is_synced(course->disk, path));
}

/* MBJ_OK means: all that was stored is on disk, entry and bytes. */
static inline void sync_check(struct course *course, struct mbj_blobs *blobs)
{
	struct mbj_error err;

	if (mbj_blobs_sync(blobs, &err) < 0) {
		course->failures++;
		return;
	}
	for (unsigned i = 0; i < CONTENTS; i++) {
		if (!course->is_stored[i])
			continue;
		course->is_promised[i] = true;
		place_check(course, blobs, &course->contents[i]);
	}
}

#endif
