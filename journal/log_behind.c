/*
 * How many bytes of groups a journal has behind some of them.
 *
 * What is walked is headers of frames and of groups alone; nothing is verified
 * but what leads to the next one.  Of a journal that is far longer than what
 * is walked, the older segments count with the size of their files; of a great
 * many one in so many is looked at, and those behind it count as much.
 *
 * Invariants:
 *   1. at most BEHIND_WALK_MAX bytes of segments are walked, or the last
 *      segment; at most BEHIND_FILES_MAX of them, and at most as many older
 *      ones are opened, however long the journal is;
 *   2. a place that is not what it should be ends the walk: what is said then
 *      is not exact, and nothing is called damaged here.
 *
 * Threads: one.
 */
#include <fcntl.h>
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/memory.h>

#include "group_record.h"
#include "segment_list.h"
#include "segment_view.h"

enum { BEHIND_WALK_MAX = 32 << 20, BEHIND_FILES_MAX = 32 };

/* One of the groups that are asked about, and what was counted up to it. */
struct behind_place {
	uint64_t lsn;
	size_t index; /* in what is asked */
	uint64_t bytes;
	uint64_t bulk;
	bool is_exact;
};

struct behind_walk {
	const struct mbj_sys *sys;
	const char *dir;
	struct mbj_id lineage;
	struct segment_list list;
	struct segment_view view;
	struct behind_place *places; /* by LSN */
	size_t count;
	size_t passed; /* places that were counted up to */
	uint64_t end;  /* LSN */
	uint64_t last; /* LSN that was counted last */
	uint64_t bytes;
	uint64_t bulk;
};

static int place_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct behind_place *)a)->lsn;
	uint64_t y = ((const struct behind_place *)b)->lsn;

	return (x > y) - (x < y);
}

/* All that lie before the group lsn have what comes from here on behind them.
 */
static void places_pass(struct behind_walk *walk, uint64_t lsn, bool is_exact)
{
	while (walk->passed < walk->count &&
	       walk->places[walk->passed].lsn < lsn) {
		struct behind_place *place = &walk->places[walk->passed++];

		place->bytes = walk->bytes;
		place->bulk = walk->bulk;
		place->is_exact = is_exact;
	}
}

static enum mbj_rc segment_size(const struct behind_walk *walk, size_t index,
				uint64_t *ret_size, struct mbj_error *err)
{
	const struct segment_entry *entry = &walk->list.entries[index];
	struct mbj_file file = MBJ_FILE_CLOSED;
	char name[SEGMENT_NAME_SIZE];
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	segment_name_print(entry->number, entry->first, name);
	rc = mbj_path_join(path, walk->dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(walk->sys, path, O_RDONLY, &file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&file, ret_size, err);
	mbj_file_close(&file);
	return rc;
}

/* The LSN that a segment does not count for any more. */
static uint64_t segment_end(const struct behind_walk *walk, size_t index)
{
	return index + 1 < walk->list.count
		       ? walk->list.entries[index + 1].first.v
		       : UINT64_MAX;
}

/* Groups of one frame; *ret_is_over: there is no way on. */
static enum mbj_rc groups_count(struct behind_walk *walk, uint64_t at,
				uint64_t void_from, uint32_t count,
				bool *ret_is_over, struct mbj_error *err)
{
	*ret_is_over = true;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t header_size = 0;
		struct mbj_bytes bytes;
		uint64_t size = 0;
		uint64_t lsn;
		enum mbj_rc rc;

		rc = segment_view_get(&walk->view, at, GROUP_HEADER_SIZE_MIN,
				      &bytes, err);
		if (rc < 0)
			return rc;
		if (bytes.n < GROUP_HEADER_SIZE_MIN ||
		    !group_size_peek(bytes, &header_size, &size))
			return MBJ_OK;
		lsn = mbj_load_u64(bytes.p + GROUP_OFFSET_LSN);
		if (lsn > walk->end || lsn >= void_from)
			return MBJ_OK;
		places_pass(walk, lsn, true);
		walk->last = lsn;
		walk->bytes += size;
		if (bytes.p[GROUP_OFFSET_ORIGIN] == MBJ_ORIGIN_BULK)
			walk->bulk += size;
		at += size;
	}
	*ret_is_over = false;
	return MBJ_OK;
}

/* From frame to frame; into those that somebody asks about, or that lie behind.
 */
static enum mbj_rc segment_walk(struct behind_walk *walk, size_t index,
				struct mbj_error *err)
{
	const struct segment_entry *entry = &walk->list.entries[index];
	uint64_t void_from = segment_end(walk, index);
	uint64_t at = SEGMENT_HEADER_SIZE;
	struct segment_header header;
	char name[SEGMENT_NAME_SIZE];
	bool is_over = false;
	enum mbj_rc rc;

	segment_name_print(entry->number, entry->first, name);
	rc = segment_view_open(&walk->view, walk->sys, walk->dir, name,
			       walk->lineage, &header, err);
	while (rc == MBJ_OK && !is_over) {
		struct segment_frame frame;
		struct mbj_bytes bytes;

		rc = segment_view_get(&walk->view, at, SEGMENT_FRAME_SIZE,
				      &bytes, err);
		if (rc < 0 || bytes.n < SEGMENT_FRAME_SIZE ||
		    !segment_frame_decode(bytes.p, header.salt, &frame))
			break;
		at += SEGMENT_FRAME_SIZE;
		if (walk->passed > 0 ||
		    walk->places[0].lsn < frame.first.v + frame.count - 1)
			rc = groups_count(walk, at, void_from, frame.count,
					  &is_over, err);
		at += frame.payload_size;
	}
	return rc;
}

/* The first segment that is walked, of those from first on. */
static enum mbj_rc walk_from(const struct behind_walk *walk, size_t first,
			     size_t *ret_index, struct mbj_error *err)
{
	size_t index = walk->list.count - 1;
	uint64_t sum = 0;
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = segment_size(walk, index, &sum, err);
	while (rc == MBJ_OK && index > first &&
	       walk->list.count - index < BEHIND_FILES_MAX) {
		rc = segment_size(walk, index - 1, &size, err);
		if (rc < 0 || sum + size > BEHIND_WALK_MAX)
			break;
		sum += size;
		index--;
	}
	if (rc == MBJ_OK)
		*ret_index = index;
	return rc;
}

/* Segments that somebody asks about, or that lie behind. */
static enum mbj_rc segments_count(struct behind_walk *walk,
				  struct mbj_error *err)
{
	struct mbj_lsn next = {walk->places[0].lsn + 1};
	size_t index = segment_list_find(&walk->list, next);
	size_t walked = 0;
	size_t stride;
	uint64_t size = 0;
	enum mbj_rc rc;

	if (walk->list.count == 0)
		return MBJ_OK;
	/* Before all that the journal has. */
	if (index == walk->list.count)
		index = 0;
	places_pass(walk, walk->list.entries[index].first.v - 1, false);
	rc = walk_from(walk, index, &walked, err);
	stride = (walked - index) / BEHIND_FILES_MAX + 1;
	for (size_t i = 0; rc == MBJ_OK && index < walked; i++, index++) {
		places_pass(walk, segment_end(walk, index) - 1, false);
		if (i % stride == 0)
			rc = segment_size(walk, index, &size, err);
		walk->bytes += size;
	}
	for (; rc == MBJ_OK && index < walk->list.count; index++)
		rc = segment_walk(walk, index, err);
	return rc;
}

static void places_answer(struct behind_walk *walk,
			  struct mbj_log_behind *ret_behind)
{
	bool is_whole = walk->last == walk->end;

	for (size_t i = 0; i < walk->count; i++) {
		const struct behind_place *place = &walk->places[i];
		struct mbj_log_behind *behind = &ret_behind[place->index];

		*behind = (struct mbj_log_behind){.is_exact = true};
		if (place->lsn >= walk->end)
			continue;
		behind->is_exact = is_whole && place->is_exact;
		if (i >= walk->passed)
			continue;
		behind->bytes = walk->bytes - place->bytes;
		behind->bulk = walk->bulk - place->bulk;
	}
}

enum mbj_rc mbj_log_behind_get(const struct mbj_sys *sys, const char *dir,
			       struct mbj_id lineage, struct mbj_lsn end,
			       const struct mbj_lsn *after, size_t count,
			       struct mbj_log_behind *ret_behind,
			       struct mbj_error *err)
{
	struct behind_walk walk = {
		.sys = sys,
		.dir = dir,
		.lineage = lineage,
		.end = end.v,
		.count = count,
	};
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(count > 0);
	walk.places = mbj_calloc(count, sizeof(*walk.places));
	if (walk.places == NULL)
		return mbj_error_nomem(err);
	for (size_t i = 0; i < count; i++) {
		walk.places[i].lsn = after[i].v;
		walk.places[i].index = i;
	}
	qsort(walk.places, count, sizeof(*walk.places), place_compare);
	segment_list_init(&walk.list);
	segment_view_init(&walk.view);
	if (walk.places[0].lsn < end.v)
		rc = segment_list_load(&walk.list, sys, dir, err);
	if (rc == MBJ_OK && walk.places[0].lsn < end.v)
		rc = segments_count(&walk, err);
	if (rc == MBJ_OK)
		places_answer(&walk, ret_behind);
	segment_view_done(&walk.view);
	segment_list_done(&walk.list);
	mbj_free(walk.places);
	return rc;
}
