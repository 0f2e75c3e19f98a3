/*
 * An index of texts: each distinct text gets a number, in order of arrival.
 * Keys of a JSON object (unique, RFC 8259 section 4 and RFC 7493), creation
 * ids, JMAP ids.  Private to journal/jmap*.
 *
 * Invariants:
 *   1. texts[i] was the i-th to arrive and lives as long as the index;
 *   2. no text has two numbers.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JMAP_INDEX_H
#define MBJ_JMAP_INDEX_H

#include <mbj/hash.h>
#include <mbj/memory.h>
#include <mbj/sys.h>

struct jmap_index {
	struct mbj_arena *arena;
	struct mbj_table table;
	struct mbj_sip_key key; /* drawn anew: users choose the texts */
	struct mbj_bytes *texts;
	size_t capacity;
	uint32_t count;
};

/* Random bytes from the system seam. */
enum mbj_rc jmap_random(const struct mbj_sys *sys, void *p, size_t n,
			struct mbj_error *err) MBJ_MUST_CHECK;

enum mbj_rc jmap_index_init(struct jmap_index *index, const struct mbj_sys *sys,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts all zeroes. */
void jmap_index_done(struct jmap_index *index);
bool jmap_index_find(const struct jmap_index *index, struct mbj_bytes text,
		     uint32_t *ret_number);
/* Requires: text is not in it.  text is copied. */
enum mbj_rc jmap_index_add(struct jmap_index *index, struct mbj_bytes text,
			   struct mbj_error *err) MBJ_MUST_CHECK;

#endif
