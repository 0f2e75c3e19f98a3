/*
 * Fuzz target: any bytes as a Mailbox/get list in each mode, and as Mailbox/set
 * arguments.  What is refused says why; what is read can be printed, and what
 * is printed can be read again.
 */
#include <jansson.h>

#include <mbj/check.h>
#include <mbj/jmap.h>

#include "fuzz.h"

/* The same ids for the same input: what is found can be found again. */
static int fuzz_random(void *ctx, void *p, size_t n)
{
	uint32_t *counter = ctx;

	memset(p, 0x5a, n);
	memcpy(p, counter, n < sizeof(*counter) ? n : sizeof(*counter));
	++*counter;
	return 0;
}

static void fuzz_list(const struct mbj_sys *sys, struct mbj_bytes input,
		      enum mbj_jmap_mode mode, int rounds)
{
	struct mbj_jmap_list_options options = MBJ_JMAP_LIST_OPTIONS_INIT;
	struct mbj_jmap_list *list = NULL;
	struct mbj_jmap_map *map = NULL;
	struct mbj_error err;
	struct mbj_buf buf;

	options.mode = mode;
	options.sys = sys;
	mbj_buf_init(&buf, (size_t)64 << 20);
	MBJ_ASSERT(mbj_jmap_map_new(sys, &map, &err) == MBJ_OK);
	if (mbj_jmap_list_parse(input, &options, map, &list, &err) < 0) {
		MBJ_ASSERT(err.refusal != MBJ_REFUSAL_NONE && rounds > 1);
	} else if (rounds > 1) {
		MBJ_ASSERT(
			mbj_jmap_tree_print(mbj_jmap_list_tree(list),
					    mbj_bytes_str("a"),
					    (struct mbj_lsn){1},
					    mode == MBJ_JMAP_PLAN ? map : NULL,
					    &buf, &err) == MBJ_OK);
		fuzz_list(sys, mbj_buf_view(&buf), mode, rounds - 1);
	}
	mbj_jmap_list_free(&list);
	mbj_jmap_map_free(&map);
	mbj_buf_done(&buf);
}

static void fuzz_set(const struct mbj_sys *sys, struct mbj_bytes input)
{
	struct mbj_outcome outcome = {.lsn = {1}};
	struct mbj_jmap_set *set = NULL;
	struct mbj_error err;
	struct mbj_buf buf;
	json_t *json;

	if (mbj_jmap_set_parse(input, 1 << 20, sys, &set, &err) < 0) {
		MBJ_ASSERT(err.refusal != MBJ_REFUSAL_NONE);
		return;
	}
	mbj_buf_init(&buf, (size_t)64 << 20);
	MBJ_ASSERT(mbj_jmap_set_print(set, mbj_bytes_str("a"), &outcome, &buf,
				      &err) == MBJ_OK);
	json = json_loadb((const char *)buf.p, buf.n,
			  JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	MBJ_ASSERT(json != NULL);
	json_decref(json);
	FUZZ_CANARY(buf.n > 100);
	mbj_buf_done(&buf);
	mbj_jmap_set_free(&set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mbj_sys sys = *mbj_sys_posix();
	uint32_t counter = 0;

	if (size > 1 << 20)
		return 0;
	sys.ctx = &counter;
	sys.random = fuzz_random;
	for (int mode = MBJ_JMAP_IMPORT; mode <= MBJ_JMAP_PLAN; mode++)
		fuzz_list(&sys, mbj_bytes_make(data, size),
			  (enum mbj_jmap_mode)mode, 2);
	fuzz_set(&sys, mbj_bytes_make(data, size));
	return 0;
}
