/*
 * The cases of the base layer, one per noun.
 */
#ifndef TEST_BASE_CASES_H
#define TEST_BASE_CASES_H

#include "support.h"

TCase *test_arena_case(void);
TCase *test_buf_case(void);
TCase *test_check_case(void);
TCase *test_codec_case(void);
TCase *test_crc32c_case(void);
TCase *test_error_case(void);
TCase *test_file_case(void);
TCase *test_id_case(void);
TCase *test_interrupt_case(void);
TCase *test_replace_case(void);
TCase *test_sha256_case(void);
TCase *test_siphash_case(void);
TCase *test_sys_case(void);
TCase *test_table_case(void);
TCase *test_text_case(void);

#endif
