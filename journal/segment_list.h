/*
 * The segments of a journal directory, and which of them counts for an LSN.
 * Private to journal/.
 *
 * Threads: one at a time per list.
 */
#ifndef MBJ_JOURNAL_SEGMENT_LIST_H
#define MBJ_JOURNAL_SEGMENT_LIST_H

#include <mbj/sys.h>

#include "segment.h"

/* Segments of one journal. */
enum {
	SEGMENT_COUNT_MAX = 1 << 20,
	/* Their directory's listing, with some room for strangers. */
	SEGMENT_NAMES_SIZE_MAX = SEGMENT_COUNT_MAX * 32 + (1 << 20),
};

struct segment_entry {
	uint32_t number;
	struct mbj_lsn first;
};

/*
 * entries are those that are not wholly void, in file number order, which is
 * then LSN order; each counts from its first LSN to the next one's.
 */
struct segment_list {
	struct segment_entry *entries;
	size_t count;
	size_t capacity;
	uint32_t lowest; /* number of any file, 0: there is none */
};

/* Files that are missing: as many as a repair makes again. */
enum { SEGMENT_GAPS_MAX = 1024 };

/* File numbers that no file has, and the first LSN of the next file. */
struct segment_gaps {
	struct segment_entry entries[SEGMENT_GAPS_MAX];
	size_t count;
};

void segment_list_init(struct segment_list *list);
void segment_list_done(struct segment_list *list);
/*
 * Read the directory.  Returns: MBJ_ECORRUPT where a file number is missing
 * between others or is there twice.
 */
enum mbj_rc segment_list_load(struct segment_list *list,
			      const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same, for who fills gaps: they are no fault but more than
 * SEGMENT_GAPS_MAX of them.
 */
enum mbj_rc segment_list_load_gaps(struct segment_list *list,
				   const struct mbj_sys *sys, const char *dir,
				   struct segment_gaps *ret_gaps,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_ENOTFOUND: there is no such directory, and what helps. */
enum mbj_rc segment_list_missing(const char *dir, struct mbj_error *err);
#define segment_list_missing(...) MBJ_FAILURE(segment_list_missing(__VA_ARGS__))

/* The index of the segment that counts for lsn; count where none does. */
size_t segment_list_find(const struct segment_list *list, struct mbj_lsn lsn);

#endif
