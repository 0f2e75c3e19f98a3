/*
 * What the tests of this layer share: their cases, ids and nodes in short,
 * and assertions that show the library's own message.
 */
#ifndef TEST_MAILBOX_CASES_H
#define TEST_MAILBOX_CASES_H

#include <stdio.h>
#include <stdlib.h>

#include <mbj/codec.h>
#include <mbj/tree.h>

#include "support.h"

TCase *test_attribute_case(void);
TCase *test_blob_case(void);
TCase *test_blob_crowd_case(void);
TCase *test_blob_doubt_case(void);
TCase *test_blob_fault_case(void);
TCase *test_blob_forms_case(void);
TCase *test_blob_log_case(void);
TCase *test_blob_pack_case(void);
TCase *test_blob_place_case(void);
TCase *test_blob_random_case(void);
TCase *test_blob_rest_case(void);
TCase *test_blob_thread_case(void);
TCase *test_blob_unpack_case(void);
TCase *test_cache_case(void);
TCase *test_db_case(void);
TCase *test_db_memory_case(void);
TCase *test_db_past_case(void);
TCase *test_db_thread_case(void);
TCase *test_diff_case(void);
TCase *test_digest_case(void);
TCase *test_name_case(void);
TCase *test_path_case(void);
TCase *test_seal_case(void);
TCase *test_settle_case(void);
TCase *test_state_case(void);
TCase *test_tree_case(void);
TCase *test_tree_load_case(void);
TCase *test_tree_model_case(void);
TCase *test_utf7_case(void);
TCase *test_vanished_case(void);
TCase *test_content_case(void);
TCase *test_survey_case(void);
TCase *test_snapshot_case(void);
TCase *test_snapshot_account_case(void);
TCase *test_snapshot_forged_case(void);
TCase *test_uids_case(void);

/* The id whose text ends in number; never a reserved one. */
static inline struct mbj_id test_id(uint64_t number)
{
	struct mbj_id id = {{0xa1}};

	mbj_store_be64(id.b + 8, number);
	return id;
}

/* A selectable node whose key equals its stored name. */
static inline struct mbj_node test_node(uint32_t number, uint32_t parent,
					const char *name)
{
	struct mbj_bytes bytes = mbj_bytes_str(name);

	return (struct mbj_node){
		.id = test_id(number),
		.parent = parent,
		.uidvalidity = number + 1,
		.name = {bytes, bytes},
		.rev = 1,
		.is_selectable = true,
	};
}

/* Random numbers that index nodes. */
static inline uint32_t test_pick(struct test_rng *rng, uint32_t bound)
{
	return (uint32_t)test_rng_below(rng, bound);
}

/* Fail with the library's own message. */
#define test_ok(call, err)                                             \
	do {                                                           \
		enum mbj_rc test_got = (call);                         \
		ck_assert_msg(test_got == MBJ_OK, "%s: %s: %s", #call, \
			      mbj_rc_name(test_got), (err).message);   \
	} while (0)

#define test_rc(call, expected)                                                \
	do {                                                                   \
		enum mbj_rc test_got = (call);                                 \
		ck_assert_msg(test_got == (expected), "%s: %s, not %s", #call, \
			      mbj_rc_name(test_got), mbj_rc_name(expected));   \
	} while (0)

#endif
