/*
 * A replica's memory of its source's snapshots; see mend_memory.h.
 */
#include "mend_memory.h"

#include <mbj/check.h>

enum { GAP_MAX = 64 }; /* occasions that pass between two tries */

bool mend_is_due(struct mbj_mend_memory *memory)
{
	if (memory->left == 0)
		return true;
	memory->left--;
	return false;
}

void mend_went(struct mbj_mend_memory *memory)
{
	memory->gap = 0;
	memory->left = 0;
}

void mend_stuck(struct mbj_mend_memory *memory)
{
	if (memory->gap == 0)
		memory->gap = 1;
	else if (memory->gap < GAP_MAX)
		memory->gap *= 2;
	memory->left = memory->gap - 1;
}

void mend_tried(struct mbj_mend_memory *memory, struct mbj_lsn snapshot,
		struct mbj_lsn end)
{
	if (snapshot.v > memory->tried.v)
		memory->tried = snapshot;
	memory->tried_end = end;
}

void mend_refuse(struct mbj_mend_memory *memory, struct mbj_lsn snapshot,
		 bool was_resumed, int64_t now)
{
	struct mbj_lsn *refused = memory->refused;
	uint32_t at = memory->refused_count;

	if (was_resumed && memory->suspect.v != snapshot.v) {
		memory->suspect = snapshot;
		return;
	}
	MBJ_ASSERT(at < MBJ_REFUSED_MAX);
	if (at == 0)
		memory->refused_ms = now;
	for (; at > 0 && refused[at - 1].v < snapshot.v; at--)
		refused[at] = refused[at - 1];
	refused[at] = snapshot;
	memory->refused_count++;
}

void mend_accept(struct mbj_mend_memory *memory, struct mbj_lsn snapshot)
{
	uint32_t *count = &memory->refused_count;

	while (*count > 0 && memory->refused[*count - 1].v <= snapshot.v)
		(*count)--;
}

void mend_forget(struct mbj_mend_memory *memory, int64_t now)
{
	if (now - memory->refused_ms >= MBJ_REFUSED_MS)
		memory->refused_count = 0;
}

bool mend_gap_next(const struct mbj_mend_memory *memory, uint32_t *at,
		   struct mbj_lsn first, struct mbj_lsn end,
		   struct mbj_lsn *ret_least, struct mbj_lsn *ret_most)
{
	const struct mbj_lsn *refused = memory->refused;
	uint32_t count = memory->refused_count;

	if (count == MBJ_REFUSED_MAX)
		return false;
	while (*at <= count) {
		uint32_t i = (*at)++;

		*ret_most = end;
		*ret_least = first;
		if (i > 0 && refused[i - 1].v <= end.v)
			ret_most->v = refused[i - 1].v - 1;
		if (i < count && refused[i].v >= first.v)
			ret_least->v = refused[i].v + 1;
		if (ret_least->v <= ret_most->v)
			return true;
	}
	return false;
}
