/*
 * The unit tests of the base layer.
 */
#include "cases.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_arena_case,   test_buf_case,    test_check_case,
		test_codec_case,   test_crc32c_case, test_error_case,
		test_file_case,	   test_id_case,     test_interrupt_case,
		test_replace_case, test_sha256_case, test_siphash_case,
		test_sys_case,	   test_table_case,  test_text_case,
	};

	return test_run("base", cases, sizeof(cases) / sizeof(cases[0]));
}
