/*
 * Names of segments to ranges of LSNs.
 *
 * A segment voids what older ones hold at or above its first LSN (inv 2 of
 * mbj/log.h): read in file number order, each new one takes from the end of
 * the list whatever begins at or after it.
 *
 * Invariants:
 *   1. firsts and numbers rise strictly from entry to entry;
 *   2. file numbers of a directory have no gap: files go from the lowest
 *      number on, so a number missing between others is a lost file.
 *
 * Threads: one at a time per list.
 */
#include "segment_list.h"

#include <mbj/check.h>

/* A listing taken while files come and go may be torn: look again. */
enum { ATTEMPTS_MAX = 3 };

void segment_list_init(struct segment_list *list)
{
	MBJ_ASSERT(list != NULL);
	*list = (struct segment_list){.entries = NULL};
}

void segment_list_done(struct segment_list *list)
{
	mbj_free(list->entries);
	*list = (struct segment_list){.entries = NULL};
}

static enum mbj_rc list_fault(struct mbj_error *err, const char *dir,
			      uint32_t number, const char *what)
{
	enum mbj_rc rc;

	rc = mbj_error_set(err, MBJ_ECORRUPT, "segment number %08lx %s in %s",
			   (unsigned long)number, what, dir);
	mbj_error_at(err, dir, 0, 0);
	return rc;
}

/* The next segment in file number order (invariant 1). */
static enum mbj_rc list_push(struct segment_list *list, uint32_t number,
			     struct mbj_lsn first, struct mbj_error *err)
{
	void *entries = list->entries;
	enum mbj_rc rc;

	while (list->count > 0 &&
	       list->entries[list->count - 1].first.v >= first.v)
		list->count--;
	rc = mbj_array_reserve(&entries, &list->capacity, list->count + 1,
			       sizeof(*list->entries), SEGMENT_COUNT_MAX, err);
	if (rc < 0)
		return mbj_error_prefix(err, rc, "segments of a journal");
	list->entries = entries;
	list->entries[list->count++] = (struct segment_entry){number, first};
	return MBJ_OK;
}

/* Numbers [from, to) have no file: a fault, unless there is room for them. */
static enum mbj_rc gap_note(struct segment_gaps *gaps, const char *dir,
			    uint32_t from, const struct segment_entry *to,
			    struct mbj_error *err)
{
	if (gaps == NULL || to->number - from > SEGMENT_GAPS_MAX - gaps->count)
		return list_fault(err, dir, from, "is missing");
	for (uint32_t i = from; i < to->number; i++)
		gaps->entries[gaps->count++] =
			(struct segment_entry){i, to->first};
	return MBJ_OK;
}

/* Sorted names: the order of their numbers.  gaps may be NULL: a fault. */
static enum mbj_rc list_fill(struct segment_list *list, const char *dir,
			     const struct mbj_buf *names,
			     struct segment_gaps *gaps, struct mbj_error *err)
{
	struct mbj_lsn first = {0};
	uint32_t number = 0;
	uint32_t last = 0;
	enum mbj_rc rc = MBJ_OK;

	list->count = 0;
	list->lowest = 0;
	if (gaps != NULL)
		gaps->count = 0;
	for (const char *name = mbj_names_next(names, NULL); name != NULL;
	     name = mbj_names_next(names, name)) {
		if (!segment_name_parse(name, &number, &first))
			continue;
		if (number == last)
			return list_fault(err, dir, number, "is there twice");
		if (last == 0)
			list->lowest = number;
		else if (number != last + 1)
			rc = gap_note(gaps, dir, last + 1,
				      &(struct segment_entry){number, first},
				      err);
		if (rc == MBJ_OK)
			rc = list_push(list, number, first, err);
		if (rc < 0)
			return rc;
		last = number;
	}
	return MBJ_OK;
}

#undef segment_list_missing
enum mbj_rc segment_list_missing(const char *dir, struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s is not there: this store has no journal (make "
			     "one with init, or this one again with restore or "
			     "clone)",
			     dir);
}

enum mbj_rc segment_list_load(struct segment_list *list,
			      const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err)
{
	return segment_list_load_gaps(list, sys, dir, NULL, err);
}

enum mbj_rc segment_list_load_gaps(struct segment_list *list,
				   const struct mbj_sys *sys, const char *dir,
				   struct segment_gaps *ret_gaps,
				   struct mbj_error *err)
{
	struct mbj_buf names;
	enum mbj_rc rc;

	MBJ_ASSERT(list != NULL && dir != NULL);
	mbj_buf_init(&names, SEGMENT_NAMES_SIZE_MAX);
	for (int attempt = 1;; attempt++) {
		mbj_buf_clear(&names);
		rc = mbj_dir_list(sys, dir, &names, err);
		if (rc == MBJ_OK)
			rc = list_fill(list, dir, &names, ret_gaps, err);
		if (rc != MBJ_ECORRUPT || attempt == ATTEMPTS_MAX)
			break;
	}
	if (rc == MBJ_ENOTFOUND)
		rc = segment_list_missing(dir, err);
	if (rc < 0)
		list->count = 0;
	mbj_buf_done(&names);
	return rc;
}

size_t segment_list_find(const struct segment_list *list, struct mbj_lsn lsn)
{
	size_t low = 0;
	size_t high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (list->entries[middle].first.v <= lsn.v)
			low = middle + 1;
		else
			high = middle;
	}
	MBJ_ASSERT(low <= list->count);
	return low == 0 ? list->count : low - 1;
}
