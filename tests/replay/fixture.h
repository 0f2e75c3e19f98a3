/*
 * What the tests of replay/ share: a primary and a replica in a directory of
 * their own, and edits of one account.
 */
#ifndef TEST_REPLAY_FIXTURE_H
#define TEST_REPLAY_FIXTURE_H

#include <check.h>

#include <mbj/mbj.h>

#include "support.h"

/* Fails the test with the error's text. */
#define OK(call)                                                             \
	do {                                                                 \
		struct mbj_error err_;                                       \
		struct mbj_error *err = &err_;                               \
		enum mbj_rc rc_ = (call);                                    \
		ck_assert_msg(rc_ == MBJ_OK, "%s: %s", #call, err_.message); \
	} while (0)

TCase *test_audit_case(void);
TCase *test_backup_case(void);
TCase *test_backup_disk_case(void);
TCase *test_behind_case(void);
TCase *test_engine_case(void);
TCase *test_far_case(void);
TCase *test_fault_case(void);
TCase *test_healing_case(void);
TCase *test_judge_case(void);
TCase *test_mend_case(void);
TCase *test_mend_bad_case(void);
TCase *test_mend_peer_case(void);
TCase *test_offer_case(void);
TCase *test_open_case(void);
TCase *test_outside_case(void);
TCase *test_poison_case(void);
TCase *test_promote_case(void);
TCase *test_quarantine_case(void);
TCase *test_received_case(void);
TCase *test_reign_mail_case(void);
TCase *test_replay_case(void);
TCase *test_resync_case(void);
TCase *test_seed_case(void);
TCase *test_served_case(void);
TCase *test_skip_case(void);
TCase *test_skip_end_case(void);
TCase *test_skip_reign_case(void);
TCase *test_skips_case(void);
TCase *test_source_case(void);
TCase *test_stack_case(void);
TCase *test_stream_case(void);
TCase *test_stream_channel_case(void);
TCase *test_stream_frame_case(void);
TCase *test_stream_pack_case(void);
TCase *test_stream_packed_case(void);
TCase *test_stream_left_case(void);
TCase *test_stream_peer_case(void);
TCase *test_pace_case(void);
TCase *test_take_case(void);
TCase *test_turn_case(void);
TCase *test_verify_case(void);
TCase *test_wanted_case(void);
TCase *test_wanted_pace_case(void);

struct fixture {
	char *tmpdir;
	char primary_dir[MBJ_PATH_TEXT_MAX];
	char replica_dir[MBJ_PATH_TEXT_MAX];
	struct mbj_store *primary;
	struct mbj_store *replica;
	const struct mbj_store_options *options; /* NULL: the usual */
};

/* Both stores made and open. */
void fixture_begin(struct fixture *f);
/* The same with these options, also where a store is opened again. */
void fixture_begin_with(struct fixture *f,
			const struct mbj_store_options *options);
/* And alice and bob, groups 1 and 2, each with INBOX and m2 to m4. */
void fixture_begin_two(struct fixture *f);
void fixture_end(struct fixture *f);

/* An id that is easy to read: its last byte. */
struct mbj_id fixture_id(uint8_t number);
/* Import an account with INBOX (id 1) and mailboxes m2..mN (ids 2..N). */
void fixture_import(struct fixture *f, const char *account, uint8_t count);
/* One rename by path, or the error that refused it. */
void fixture_rename(struct fixture *f, const char *account, const char *source,
		    const char *target);
/* The name of a mailbox at the top of an account, in a store. */
void fixture_name(struct mbj_store *store, const char *account,
		  struct mbj_id mailbox, char text[MBJ_NAME_MAX + 1]);
struct mbj_id fixture_account(struct mbj_store *store, const char *account);
/* Replay all there is. */
struct mbj_replay_result fixture_replay(struct fixture *f);
/*
 * Move a mailbox in the replica's state behind the journal's back: what a bug
 * or a repaired page would leave.  Closes and reopens the replica.
 */
void fixture_diverge(struct fixture *f, const char *account,
		     struct mbj_id mailbox, const char *name);
/* The same with the primary, whose groups then fit no replica. */
void fixture_diverge_primary(struct fixture *f, const char *account,
			     struct mbj_id mailbox, const char *name);
/* Park an account in the replica's state, known there or not; reopens it. */
void fixture_park(struct fixture *f, struct mbj_id account, const char *reason);
/* Differences that verify lists between the two stores. */
uint64_t fixture_differences(struct fixture *f,
			     struct mbj_verify_totals *ret_totals);

#endif
