/*
 * The tests of replay/.
 */
#include "fixture.h"

int main(void)
{
	static const test_case_fn cases[] = {
		test_audit_case,
		test_backup_case,
		test_backup_disk_case,
		test_behind_case,
		test_engine_case,
		test_fault_case,
		test_healing_case,
		test_judge_case,
		test_mend_case,
		test_mend_peer_case,
		test_open_case,
		test_quarantine_case,
		test_reign_mail_case,
		test_replay_case,
		test_seed_case,
		test_served_case,
		test_source_case,
		test_resync_case,
		test_stack_case,
		test_stream_case,
		test_stream_channel_case,
		test_stream_frame_case,
		test_stream_left_case,
		test_stream_peer_case,
		test_outside_case,
		test_turn_case,
		test_verify_case,
		test_offer_case,
		test_wanted_case,
		test_pace_case,
		test_poison_case,
		test_mend_bad_case,
		test_wanted_pace_case,
		test_promote_case,
		test_received_case,
		test_skip_case,
		test_skips_case,
		test_skip_end_case,
		test_skip_reign_case,
		test_stream_pack_case,
		test_stream_packed_case,
		test_take_case,
		test_far_case,
	};

	return test_run("replay", cases, sizeof(cases) / sizeof(*cases));
}
