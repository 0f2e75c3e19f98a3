/*
 * What the tests of accounts that are made again share.
 */
#ifndef TEST_REPLAY_RESYNC_LAB_H
#define TEST_REPLAY_RESYNC_LAB_H

#include "aside_lab.h"

/* Its group. */
uint64_t snapshot_make(struct mbj_store *store);
/* fixture_begin_two, and the primary has a snapshot of that, group 2. */
void resync_begin(struct fixture *f);
/* And the replica began with it: its journal begins at group 3. */
void resync_begin_seeded(struct fixture *f);
enum mbj_rc resync_try(struct fixture *f, struct mbj_id account,
		       struct mbj_resync_result *ret_result,
		       struct mbj_error *err);
struct mbj_resync_result resync(struct fixture *f, const char *account);
/* For this reason, in these words. */
void refused(struct fixture *f, const char *account, enum mbj_rc rc,
	     const char *words);
/* Of the replica's own snapshots, good or not. */
void newest_is(struct fixture *f, uint64_t lsn);
void damage(const char *dir, uint64_t lsn);
/* The replica's state. */
void rebuild(struct fixture *f);
void account_rename(struct fixture *f, const char *from, const char *to);

#endif
