/*
 * The cases of this layer's tests; main.c runs them.
 */
#ifndef TEST_JOURNAL_CASES_H
#define TEST_JOURNAL_CASES_H

#include "support.h"

TCase *test_apply_case(void);
TCase *test_apply_op_case(void);
TCase *test_batch_case(void);
TCase *test_rebuild_case(void);
TCase *test_store_case(void);
TCase *test_superblock_case(void);

#endif
