/*
 * Which group a request id belongs to, for the last groups of the journal: a
 * window of so many LSNs, whoever wrote them.  In memory, bounded by the
 * window; where it comes from is store_recall.c.  Private to journal/.
 *
 * Threads: one at a time per window.
 */
#ifndef MBJ_JOURNAL_RECALL_H
#define MBJ_JOURNAL_RECALL_H

#include <mbj/hash.h>
#include <mbj/types.h>

struct recall_entry {
	struct mbj_id request;
	struct mbj_lsn lsn;
};

struct recall {
	struct recall_entry *entries; /* a ring, ascending by LSN */
	size_t capacity;	      /* a power of two, or 0 */
	uint64_t first; /* of those there are, counted from ever */
	uint64_t end;
	struct mbj_table table; /* request -> place in the ring */
	struct mbj_sip_key key; /* producers choose the ids */
	uint64_t window;
};

void recall_init(struct recall *recall, struct mbj_sip_key key,
		 uint64_t window);
void recall_done(struct recall *recall);
void recall_clear(struct recall *recall);
/* Room for one more. */
enum mbj_rc recall_reserve(struct recall *recall,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: room for it; no LSN at or above it is there. */
void recall_add(struct recall *recall, struct mbj_id request,
		struct mbj_lsn lsn);
/* The group with this request id, the last one where there are several. */
bool recall_find(const struct recall *recall, struct mbj_id request,
		 struct mbj_lsn *ret_lsn);
/* The journal ends here: what lies above is not, or the window has passed. */
void recall_end_set(struct recall *recall, struct mbj_lsn end);
/* It begins here: what lies below is not any more. */
void recall_first_set(struct recall *recall, struct mbj_lsn first);

#endif
