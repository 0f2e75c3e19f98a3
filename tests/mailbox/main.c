/*
 * The unit tests of the mailbox layer.
 */
#include "cases.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_cache_case,
		test_db_case,
		test_db_memory_case,
		test_db_past_case,
		test_db_thread_case,
		test_state_case,
		test_tree_case,
		test_tree_load_case,
		test_tree_model_case,
		test_seal_case,
		test_settle_case,
		test_diff_case,
		test_digest_case,
		test_name_case,
		test_path_case,
		test_utf7_case,
		test_content_case,
		test_vanished_case,
		test_uids_case,
		test_blob_case,
		test_blob_crowd_case,
		test_blob_doubt_case,
		test_blob_fault_case,
		test_blob_forms_case,
		test_blob_log_case,
		test_blob_pack_case,
		test_blob_place_case,
		test_blob_random_case,
		test_blob_rest_case,
		test_blob_thread_case,
		test_blob_unpack_case,
		test_attribute_case,
		test_snapshot_case,
		test_snapshot_account_case,
		test_snapshot_forged_case,
		test_survey_case,
	};

	return test_run("mailbox", cases, sizeof(cases) / sizeof(cases[0]));
}
