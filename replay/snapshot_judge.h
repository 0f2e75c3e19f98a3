/*
 * Is a snapshot of another store what one's own journal says?  Private to
 * replay/.
 */
#ifndef MBJ_REPLAY_SNAPSHOT_JUDGE_H
#define MBJ_REPLAY_SNAPSHOT_JUDGE_H

#include <mbj/snapshot.h>
#include <mbj/store.h>

/*
 * Judge a snapshot by itself and by the replica's own journal: lineage, chain
 * value, and of every account, there or not, that it is what the last group up
 * to the snapshot recorded.  Accounts that were last named before the journal
 * begins are to be what the replica's own oldest good snapshot from there has;
 * without one nothing can be said of them.
 *
 * Bit by bit, for who has something else to do meanwhile: groups may be
 * appended and applied in between, trimmed must none be.
 *
 * Requires: the journal has the snapshot's group, or ends before it begins.
 * Returns: MBJ_ECORRUPT, naming the accounts, and MBJ_EUNSUPPORTED: it is no
 * good; MBJ_EFENCED: nothing can be said, damage of one's own journal too;
 * after a failure only _end.
 */
struct judging;

enum mbj_rc snapshot_judging_begin(struct mbj_store *store, const char *path,
				   struct judging **ret_judging,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* One bit more; *ret_is_over: it is good. */
enum mbj_rc snapshot_judging_step(struct judging *j, bool *ret_is_over,
				  struct mbj_error *err) MBJ_MUST_CHECK;
const struct mbj_snapshot_info *
snapshot_judging_info(const struct judging *judging);
/* NULL is fine. */
void snapshot_judging_end(struct judging **judging);
/*
 * Is there anything to judge one of that group by?  Returns: MBJ_EFENCED.
 */
enum mbj_rc snapshot_judge_can(struct mbj_store *store, struct mbj_lsn lsn,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* All at once, of one that was verified. */
enum mbj_rc snapshot_judge_by_journal(struct mbj_store *store, const char *path,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/* What it has of *account, whose id is given; one that it lacks is not there.
 */
enum mbj_rc snapshot_account_find(const struct mbj_sys *sys, const char *path,
				  struct mbj_snapshot_account *account,
				  struct mbj_error *err) MBJ_MUST_CHECK;

#endif
