/*
 * The cases of this layer's tests; main.c runs them.
 */
#ifndef TEST_JOURNAL_CASES_H
#define TEST_JOURNAL_CASES_H

#include "support.h"

TCase *test_apply_case(void);
TCase *test_apply_fault_case(void);
TCase *test_apply_op_case(void);
TCase *test_batch_case(void);
TCase *test_batch_crowd_case(void);
TCase *test_collect_case(void);
TCase *test_collect_beside_case(void);
TCase *test_edit_model_case(void);
TCase *test_edit_names_case(void);
TCase *test_edit_message_case(void);
TCase *test_edit_metadata_case(void);
TCase *test_edit_metadata_account_case(void);
TCase *test_edit_metadata_model_case(void);
TCase *test_edit_rename_case(void);
TCase *test_edit_scale_case(void);
TCase *test_edit_set_case(void);
TCase *test_edit_subscribe_case(void);
TCase *test_edit_whole_case(void);
TCase *test_group_case(void);
TCase *test_group_writer_case(void);
TCase *test_house_case(void);
TCase *test_house_mend_case(void);
TCase *test_intent_case(void);
TCase *test_intent_model_case(void);
TCase *test_intent_resolve_case(void);
TCase *test_jmap_entry_case(void);
TCase *test_jmap_json_case(void);
TCase *test_jmap_list_case(void);
TCase *test_jmap_log_case(void);
TCase *test_jmap_memory_case(void);
TCase *test_jmap_plan_case(void);
TCase *test_jmap_set_case(void);
TCase *test_limits_case(void);
TCase *test_log_case(void);
TCase *test_log_copy_case(void);
TCase *test_log_crash_case(void);
TCase *test_log_damage_case(void);
TCase *test_log_fault_case(void);
TCase *test_log_meddle_case(void);
TCase *test_log_mend_case(void);
TCase *test_op_case(void);
TCase *test_op_limits_case(void);
TCase *test_plan_case(void);
TCase *test_plan_check_case(void);
TCase *test_plan_dot_case(void);
TCase *test_plan_fvs_case(void);
TCase *test_plan_parts_case(void);
TCase *test_plan_slots_case(void);
TCase *test_plan_solve_case(void);
TCase *test_rebuild_case(void);
TCase *test_pauses_case(void);
TCase *test_received_case(void);
TCase *test_replicas_case(void);
TCase *test_request_case(void);
TCase *test_request_fault_case(void);
TCase *test_segment_case(void);
TCase *test_bulk_case(void);
TCase *test_service_case(void);
TCase *test_service_body_case(void);
TCase *test_service_fault_case(void);
TCase *test_taken_case(void);
TCase *test_taken_table_case(void);
TCase *test_space_case(void);
TCase *test_store_case(void);
TCase *test_superblock_case(void);
TCase *test_trim_case(void);
TCase *test_upstream_case(void);
TCase *test_wire_case(void);

#endif
