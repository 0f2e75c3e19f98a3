/*
 * The unit tests of the journal layer.
 */
#include "journal_cases.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_apply_case,
		test_apply_fault_case,
		test_apply_op_case,
		test_batch_case,
		test_batch_crowd_case,
		test_collect_case,
		test_edit_model_case,
		test_edit_names_case,
		test_edit_message_case,
		test_edit_metadata_case,
		test_edit_metadata_model_case,
		test_edit_rename_case,
		test_edit_scale_case,
		test_edit_set_case,
		test_edit_subscribe_case,
		test_edit_whole_case,
		test_group_case,
		test_group_writer_case,
		test_jmap_entry_case,
		test_jmap_json_case,
		test_jmap_list_case,
		test_jmap_log_case,
		test_jmap_memory_case,
		test_jmap_plan_case,
		test_jmap_set_case,
		test_log_case,
		test_log_copy_case,
		test_log_crash_case,
		test_log_damage_case,
		test_log_fault_case,
		test_log_meddle_case,
		test_log_mend_case,
		test_op_case,
		test_op_limits_case,
		test_plan_case,
		test_plan_check_case,
		test_plan_dot_case,
		test_plan_fvs_case,
		test_plan_parts_case,
		test_plan_slots_case,
		test_plan_solve_case,
		test_rebuild_case,
		test_request_case,
		test_request_fault_case,
		test_segment_case,
		test_service_case,
		test_service_fault_case,
		test_space_case,
		test_store_case,
		test_superblock_case,
		test_trim_case,
		test_wire_case,
	};

	return test_run("journal", cases, sizeof(cases) / sizeof(cases[0]));
}
