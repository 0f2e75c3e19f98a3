/*
 * Slots and the queues of their claimants.  See edit_claims.h.  Interning is
 * the only part that looks at names; from there a slot is a number.
 *
 * Threads: one at a time.
 */
#include "edit_claims.h"

#include <mbj/check.h>

enum mbj_rc edit_claims_init(struct edit_claims *claims, uint32_t items,
			     struct mbj_error *err)
{
	MBJ_ASSERT(items <= MBJ_NODE_MAX);
	*claims = (struct edit_claims){0};
	claims->links = mbj_calloc((size_t)items + 1, sizeof(*claims->links));
	if (claims->links == NULL)
		return mbj_error_nomem(err);
	return MBJ_OK;
}

void edit_claims_done(struct edit_claims *claims)
{
	mbj_table_done(&claims->by_slot);
	mbj_free(claims->slots);
	mbj_free(claims->links);
	*claims = (struct edit_claims){0};
}

enum mbj_rc edit_claims_intern(struct edit_claims *claims, uint64_t hash,
			       uint32_t parent, struct mbj_bytes key,
			       uint32_t *ret_slot, struct mbj_error *err)
{
	uint32_t at = mbj_table_seek(&claims->by_slot, hash);
	uint32_t i;
	enum mbj_rc rc;

	while (mbj_table_next(&claims->by_slot, hash, &at, &i)) {
		MBJ_ASSERT(i < claims->count);
		if (claims->slots[i].parent != parent ||
		    !mbj_bytes_equal(claims->slots[i].key, key))
			continue;
		*ret_slot = i;
		return MBJ_OK;
	}
	rc = mbj_array_reserve((void **)&claims->slots, &claims->capacity,
			       (size_t)claims->count + 1,
			       sizeof(*claims->slots), MBJ_NODE_MAX, err);
	if (rc == MBJ_OK)
		rc = mbj_table_add(&claims->by_slot, hash, claims->count, err);
	if (rc < 0)
		return rc;
	claims->slots[claims->count] =
		(struct edit_slot){parent, key, MBJ_NODE_NONE, MBJ_NODE_NONE,
				   MBJ_NODE_NONE};
	*ret_slot = claims->count++;
	return MBJ_OK;
}

void edit_claims_link(struct edit_claims *claims, uint32_t slot, uint32_t item)
{
	struct edit_claim_link *link = &claims->links[item];
	struct edit_slot *wanted = &claims->slots[slot];

	MBJ_ASSERT(slot < claims->count);
	MBJ_ASSERT((wanted->first == MBJ_NODE_NONE) ==
		   (wanted->last == MBJ_NODE_NONE));
	link->next = MBJ_NODE_NONE;
	link->previous = wanted->last;
	if (wanted->last == MBJ_NODE_NONE)
		wanted->first = item;
	else
		claims->links[wanted->last].next = item;
	wanted->last = item;
}

void edit_claims_unlink(struct edit_claims *claims, uint32_t slot,
			uint32_t item)
{
	struct edit_claim_link *link = &claims->links[item];
	struct edit_slot *wanted = &claims->slots[slot];

	MBJ_ASSERT(slot < claims->count);
	MBJ_ASSERT(wanted->first != MBJ_NODE_NONE);
	if (link->previous == MBJ_NODE_NONE)
		wanted->first = link->next;
	else
		claims->links[link->previous].next = link->next;
	if (link->next == MBJ_NODE_NONE)
		wanted->last = link->previous;
	else
		claims->links[link->next].previous = link->previous;
}
