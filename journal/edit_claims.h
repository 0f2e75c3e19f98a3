/*
 * Who claims which slot of the final tree: slots by number, each with the one
 * who stays there, if any, and the queue of those who want it.
 * Private to journal/edit*.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_EDIT_CLAIMS_H
#define MBJ_JOURNAL_EDIT_CLAIMS_H

#include <mbj/hash.h>
#include <mbj/tree.h>

struct edit_slot {
	uint32_t parent; /* item or MBJ_NODE_ROOT */
	struct mbj_bytes key;
	uint32_t keeper; /* who stays there, or MBJ_NODE_NONE */
	uint32_t first;	 /* claimants, in the order of linking, or NONE */
	uint32_t last;
};

struct edit_claims {
	struct edit_slot *slots;
	size_t capacity;
	uint32_t count;
	struct mbj_table by_slot;
	struct edit_claim_link {
		uint32_t next;
		uint32_t previous;
	} * links; /* [items] */
};

enum mbj_rc edit_claims_init(struct edit_claims *claims, uint32_t items,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void edit_claims_done(struct edit_claims *claims);

/*
 * The number of a slot; a new one has no keeper and no claimants.  hash is
 * that of parent and key.
 */
enum mbj_rc edit_claims_intern(struct edit_claims *claims, uint64_t hash,
			       uint32_t parent, struct mbj_bytes key,
			       uint32_t *ret_slot,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* An item claims one slot at most, and is linked there at most once. */
void edit_claims_link(struct edit_claims *claims, uint32_t slot, uint32_t item);
void edit_claims_unlink(struct edit_claims *claims, uint32_t slot,
			uint32_t item);

#endif
