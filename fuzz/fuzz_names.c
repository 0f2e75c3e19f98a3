/*
 * Names: any bytes are judged, and what is accepted holds its laws.  A stored
 * name made again is itself, a key is a fixed point.
 */
#include <mbj/check.h>
#include <mbj/name.h>

#include "fuzz.h"

static void name_laws(const struct mbj_name_policy *policy,
		      struct mbj_bytes input, struct mbj_arena *arena)
{
	struct mbj_name name;
	struct mbj_name again;

	if (mbj_name_make(policy, input, true, arena, &name, NULL) < 0)
		return;
	MBJ_ASSERT(mbj_name_is_safe(name.stored, name.key));
	MBJ_ASSERT(mbj_name_make(policy, name.stored, true, arena, &again,
				 NULL) == MBJ_OK);
	MBJ_ASSERT(mbj_bytes_equal(again.stored, name.stored));
	MBJ_ASSERT(mbj_bytes_equal(again.key, name.key));
	FUZZ_CANARY(name.key.n > name.stored.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_bytes input = mbj_bytes_make(data, size);
	struct mbj_arena *arena = NULL;
	struct mbj_buf escaped;

	if (size > 8192 || mbj_arena_new(1 << 20, &arena, NULL) < 0)
		return 0;
	name_laws(&(struct mbj_name_policy){false, '/'}, input, arena);
	name_laws(&(struct mbj_name_policy){true, '.'}, input, arena);
	mbj_buf_init(&escaped, 1 << 20);
	mbj_name_escape(&escaped, input);
	mbj_buf_done(&escaped);
	mbj_arena_free(&arena);
	return 0;
}
