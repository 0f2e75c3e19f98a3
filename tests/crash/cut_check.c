/*
 * What must hold of a store after a power cut; see cut_lab.h.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cut_lab.h"

/* One store on one disk, being judged. */
struct judge {
	struct cut_lab *lab;
	struct disk *disk;
	struct cut_side *side;
	struct mbj_store_options options;
	struct mbj_store *store;
	struct cut_truth found;
	uint64_t end;
};

MBJ_PRINTF(2, 3)
static bool wrong(struct judge *judge, const char *format, ...)
{
	struct cut_lab *lab = judge->lab;
	va_list args;
	int n;

	/* The first failure is the one to look at. */
	if (lab->why[0] != '\0')
		return false;
	n = snprintf(lab->why, sizeof(lab->why), "%s: ", judge->side->name);
	va_start(args, format);
	/* It is initialised one line above, which the analyzer overlooks. */
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
	(void)vsnprintf(lab->why + n, sizeof(lab->why) - (size_t)n, format,
			args);
	va_end(args);
	return false;
}

/* ------------------------------------------------------- what it holds */

/* One account's own digest, after checking its records. */
static enum mbj_rc account_add(struct mbj_txn *txn,
			       const struct mbj_account *account,
			       struct cut_truth *truth, struct mbj_error *err)
{
	struct mbj_digest digest;
	enum mbj_rc rc;

	rc = mbj_txn_account_check(txn, account->id, &digest, err);
	if (rc < 0)
		return rc;
	if (!mbj_digest_equal(&digest, &account->digest))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "an account's digest is not its records'");
	for (size_t i = 0; i < 4; i++)
		truth->digest.lane[i] +=
			digest.lane[i] * (2 * account->lsn.v + 1);
	return MBJ_OK;
}

enum mbj_rc cut_truth_read(struct mbj_store *store, struct cut_truth *ret_truth,
			   struct mbj_error *err)
{
	struct cut_truth truth;
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_blobs *blobs = NULL;
	struct mbj_txn *txn = NULL;
	struct mbj_account account;
	enum mbj_rc rc;

	memset(&truth, 0, sizeof(truth)); /* compared as bytes */
	truth.is_known = true;
	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc == MBJ_OK)
			rc = account_add(txn, &account, &truth, err);
		if (rc == MBJ_OK)
			rc = cut_content_add(store, txn, account.id, &blobs,
					     &truth, err);
	}
	mbj_scan_done(&scan);
	mbj_blobs_close(&blobs);
	if (rc == MBJ_ENOTFOUND)
		rc = site_parked_sum(txn, &truth.parked, err);
	mbj_txn_abort(&txn);
	truth.chain = mbj_store_end(store).chain;
	if (rc == MBJ_OK)
		*ret_truth = truth;
	return rc;
}

/* -------------------------------------------------------------- opening */

static bool judge_open(struct judge *judge)
{
	struct cut_side *side = judge->side;
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = mbj_replica_open(side->dir, &judge->options, &judge->store, &err);
	if ((side->is_restored || side->is_seeded) && !side->is_promised &&
	    (rc == MBJ_ENOTFOUND || rc == MBJ_EFENCED)) {
		judge->lab->counts.unmade++;
		rc = side->is_seeded ? cut_seed(judge->lab, side->dir,
						&judge->options, &err)
				     : cut_restore(judge->lab, side->dir,
						   &judge->options, &err);
		if (rc < 0)
			return wrong(judge, "cannot be restored again: %s",
				     err.message);
		rc = mbj_replica_open(side->dir, &judge->options, &judge->store,
				      &err);
	} else if (rc == MBJ_ENOTFOUND && !side->is_promised) {
		judge->lab->counts.unmade++;
		rc = mbj_store_init(side->dir, side->role, &judge->options,
				    &err);
		if (rc < 0)
			return wrong(judge, "cannot be made again: %s",
				     err.message);
		rc = mbj_replica_open(side->dir, &judge->options, &judge->store,
				      &err);
	}
	if (rc < 0)
		return wrong(judge, "does not open: %s: %s", mbj_rc_name(rc),
			     err.message);
	judge->end = mbj_store_end(judge->store).lsn.v;
	return true;
}

/*
 * A page that was torn may be met only when it is read: then the state fails,
 * and the next opening makes it anew.
 */
static bool judge_read(struct judge *judge)
{
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc;

	rc = cut_truth_read(judge->store, &judge->found, &err);
	if (rc == MBJ_ECORRUPT) {
		judge->lab->counts.damaged++;
		mbj_store_close(&judge->store);
		if (!judge_open(judge))
			return false;
		if (!mbj_store_recovery_get(judge->store)->is_rebuilt)
			return wrong(judge, "a damaged state is used again: %s",
				     err.message);
		rc = cut_truth_read(judge->store, &judge->found, &err);
	}
	if (rc < 0)
		return wrong(judge, "cannot be read: %s", err.message);
	return true;
}

/* ------------------------------------------------------------ comparing */

static bool judge_journal(struct judge *judge)
{
	const struct cut_side *side = judge->side;
	struct mbj_log_reader *reader = NULL;
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_lsn first = mbj_store_identity(judge->store)->anchor.first;
	struct mbj_group group;
	uint64_t lsn;
	enum mbj_rc rc;

	if (judge->end == 0)
		return true;
	lsn = first.v - 1;
	rc = mbj_store_log_reader(judge->options.sys, side->dir, &reader, &err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, first, &err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, &err);
		if (rc < 0)
			break;
		lsn++;
		if (!group.is_body_good || lsn >= CUT_LSN_MAX ||
		    memcmp(&group.chain, &side->truth[lsn].chain,
			   sizeof(group.chain)) != 0)
			break;
	}
	mbj_log_reader_close(&reader);
	if (rc == MBJ_OK)
		return wrong(judge, "group %" PRIu64 " is another one", lsn);
	if (rc != MBJ_ENOTFOUND)
		return wrong(judge, "the journal is damaged: %s", err.message);
	if (lsn != judge->end)
		return wrong(judge,
			     "the journal reads to %" PRIu64 ", not %" PRIu64,
			     lsn, judge->end);
	return true;
}

static bool truth_is(const struct cut_truth *truth,
		     const struct cut_truth *found)
{
	return truth->is_known && truth->parked == found->parked &&
	       truth->messages == found->messages &&
	       truth->message_sum == found->message_sum &&
	       mbj_digest_equal(&truth->digest, &found->digest);
}

/* The state is what belongs to the group at which the journal ends. */
static bool judge_state(struct judge *judge)
{
	const struct cut_truth *truth = &judge->side->truth[judge->end];
	struct mbj_watermark watermark;
	struct mbj_error err = {.rc = MBJ_OK};

	if (mbj_store_applied(judge->store, &watermark, &err) < 0)
		return wrong(judge, "no watermark: %s", err.message);
	if (watermark.lsn.v != judge->end)
		return wrong(judge,
			     "the state is at %" PRIu64
			     ", the journal at %" PRIu64,
			     watermark.lsn.v, judge->end);
	if (!truth->is_known && !judge->side->is_seeded)
		return wrong(judge, "nothing is known of group %" PRIu64,
			     judge->end);
	if (truth_is(truth, &judge->found))
		return true;
	/* A replica that was bent is straight again once it is made anew. */
	if (truth_is(&judge->lab->primary.truth[judge->end], &judge->found))
		return true;
	return wrong(judge,
		     "the state at %" PRIu64 " is another one (parked %" PRIu64
		     ", not %" PRIu64 ")",
		     judge->end, judge->found.parked, truth->parked);
}

/* A backup is what its mark says, and its mark what was acknowledged. */
static bool judge_mark(struct judge *judge)
{
	const struct cut_side *side = judge->side;
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_backup_mark mark;
	enum mbj_rc rc;

	if (!side->is_backup)
		return true;
	rc = mbj_backup_mark_load(judge->options.sys, side->dir, &mark, &err);
	if (rc < 0 && rc != MBJ_ENOTFOUND)
		return wrong(judge, "no mark: %s", err.message);
	if (rc == MBJ_ENOTFOUND || !mbj_backup_is_whole(&mark))
		return side->marked == 0 ||
		       wrong(judge, "a mark that was acknowledged is lost");
	if (mark.end.lsn.v < side->marked || mark.end.lsn.v > judge->end)
		return wrong(judge,
			     "marked at %" PRIu64 ", the journal ends at "
			     "%" PRIu64 ", and %" PRIu64 " was acknowledged",
			     mark.end.lsn.v, judge->end, side->marked);
	return memcmp(&mark.end.chain, &side->truth[mark.end.lsn.v].chain,
		      sizeof(mark.end.chain)) == 0 ||
	       wrong(judge, "the mark is of another journal");
}

static bool judge_all(struct judge *judge)
{
	const struct cut_side *side = judge->side;

	if (!judge_read(judge))
		return false;
	if (judge->end < side->acked)
		return wrong(judge,
			     "ends at %" PRIu64 ", but %" PRIu64
			     " was acknowledged",
			     judge->end, side->acked);
	if (judge->end > side->tried)
		return wrong(judge,
			     "ends at %" PRIu64 ", but only %" PRIu64
			     " was tried",
			     judge->end, side->tried);
	return judge_journal(judge) && judge_state(judge) && judge_mark(judge);
}

/* ------------------------------------------------------------- promoted */

/* All that it has is its own reign's, behind all that it was made of. */
static bool promoted_journal(struct judge *judge)
{
	struct mbj_identity id = *mbj_store_identity(judge->store);
	struct mbj_log_reader *reader = NULL;
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_group group;
	uint64_t lsn = id.anchor.first.v - 1;
	enum mbj_rc rc;

	if (id.role != MBJ_STORE_PRIMARY || id.epoch.v != 2 ||
	    lsn != judge->side->tried)
		return wrong(judge, "it is no primary of group %" PRIu64, lsn);
	rc = mbj_store_log_reader(judge->options.sys, judge->side->dir, &reader,
				  &err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, id.anchor.first, &err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, &err);
		if (rc < 0 || !group.is_body_good || group.header.epoch.v != 2)
			break;
		lsn++;
	}
	mbj_log_reader_close(&reader);
	return (rc == MBJ_ENOTFOUND && lsn == judge->end &&
		lsn > judge->side->tried) ||
	       wrong(judge, "its journal reads to %" PRIu64, lsn);
}

/* Nobody is set aside, and all messages are there. */
static bool judge_promoted(struct judge *judge)
{
	const struct cut_truth *truth =
		&judge->lab->primary.truth[judge->side->tried];

	if (!judge_read(judge) || !promoted_journal(judge))
		return false;
	return (judge->found.parked == 0 &&
		judge->found.messages == truth->messages &&
		judge->found.message_sum == truth->message_sum) ||
	       wrong(judge, "its state is another one (parked %" PRIu64 ")",
		     judge->found.parked);
}

/* ------------------------------------------------------------- going on */

/* A replica takes the rest from its primary. */
static bool judge_replay(struct judge *judge)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	const struct cut_side *primary = &judge->lab->primary;
	struct mbj_replay_result result;
	struct mbj_error err = {.rc = MBJ_OK};
	struct cut_side side = *judge->side;
	struct judge after = *judge;
	bool is_right;

	if (judge->side->role != MBJ_STORE_REPLICA || !primary->is_promised)
		return true;
	if (mbj_replay_journal(judge->store, primary->dir, &options, &result,
			       &err) < 0)
		return wrong(judge, "cannot go on replaying: %s", err.message);
	side.acked = primary->acked;
	side.tried = primary->tried;
	after.side = &side;
	after.end = mbj_store_end(after.store).lsn.v;
	is_right = judge_all(&after);
	judge->store = after.store;
	judge->end = after.end;
	judge->found = after.found;
	return is_right;
}

/* The state made anew from the journal is the same. */
static bool judge_rebuild(struct judge *judge)
{
	struct cut_truth before = judge->found;

	/* Parking is local to a replica: the journal does not know of it. */
	if (before.parked != 0)
		return true;
	mbj_store_close(&judge->store);
	judge->options.is_rebuild_forced = true;
	if (!judge_open(judge))
		return false;
	judge->options.is_rebuild_forced = false;
	if (!judge_read(judge))
		return false;
	if (!mbj_digest_equal(&before.digest, &judge->found.digest) ||
	    before.message_sum != judge->found.message_sum)
		return wrong(judge, "the journal implies another state");
	return true;
}

/* A new account, whatever the others look like. */
static bool edit_once(struct judge *judge, unsigned account)
{
	const struct mbj_change inbox = {
		.kind = MBJ_CHANGE_CREATE,
		.has = MBJ_CHANGE_HAS_NAME | MBJ_CHANGE_HAS_PARENT,
		.id = site_mailbox(account, 1),
		.name = mbj_bytes_str("INBOX"),
	};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_error err = {.rc = MBJ_OK};
	char name[16];
	enum mbj_rc rc;

	(void)snprintf(name, sizeof(name), "u%u", account);
	edit.kind = MBJ_EDIT_IMPORT;
	edit.account = mbj_bytes_str(name);
	edit.policy = MBJ_NAME_POLICY_DEFAULT;
	edit.changes = &inbox;
	edit.change_count = 1;
	rc = mbj_store_submit(judge->store, &edit, &outcome, &err);
	mbj_outcome_done(&outcome);
	if (rc < 0)
		return wrong(judge, "cannot go on: %s", err.message);
	return true;
}

/*
 * Messages with content that an earlier one has, or that was begun before the
 * cut and may be there or not.
 */
static bool deliver_once(struct judge *judge)
{
	struct mbj_message_edit steps[4];
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_error err = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_OK;

	for (unsigned i = 0; i < 4 && rc == MBJ_OK; i++) {
		steps[i] = (struct mbj_message_edit){
			.kind = MBJ_MESSAGE_APPEND,
			.mailbox = site_mailbox(200, 1),
		};
		rc = cut_content_put(judge->store, 2 * i, &steps[i].blob,
				     &steps[i].size, &err);
	}
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u200");
	edit.messages = steps;
	edit.message_count = 4;
	if (rc == MBJ_OK)
		rc = mbj_store_submit(judge->store, &edit, &outcome, &err);
	mbj_outcome_done(&outcome);
	if (rc < 0)
		return wrong(judge, "cannot deliver: %s", err.message);
	return true;
}

/* Edits of a recovered primary stand, whatever a further cut leaves. */
static bool judge_extend(struct judge *judge)
{
	struct cut_lab *lab = judge->lab;
	struct disk_choice choice = {.fates = NULL};
	struct cut_truth before;
	struct mbj_error err = {.rc = MBJ_OK};
	struct mbj_log_end end;
	enum disk_cut_kind kind;
	bool is_right;

	if (judge->side->role != MBJ_STORE_PRIMARY || judge->end < 3)
		return true;
	lab->counts.extended++;
	for (unsigned i = 0; i < 3; i++) {
		if (!edit_once(judge, 200 + i))
			return false;
	}
	if (judge->found.messages > 0 && !deliver_once(judge))
		return false;
	if (cut_truth_read(judge->store, &before, &err) < 0)
		return wrong(judge, "cannot be read: %s", err.message);
	end = mbj_store_end(judge->store);
	kind = (enum disk_cut_kind)test_rng_below(&lab->draws, DISK_CUT_COUNT);
	disk_choose(judge->disk, kind, test_rng_next(&lab->draws), &choice);
	disk_cut(lab->third, judge->disk, kind, &choice);
	disk_choice_done(&choice);
	mbj_store_close(&judge->store);
	disk_db_use(lab->third);
	judge->options.sys = disk_sys(lab->third);
	is_right = judge_open(judge) && judge_read(judge);
	if (is_right && judge->end != end.lsn.v)
		is_right = wrong(judge, "later edits were lost in a cut (%s)",
				 disk_cut_name(kind));
	if (is_right &&
	    (!mbj_digest_equal(&before.digest, &judge->found.digest) ||
	     before.message_sum != judge->found.message_sum ||
	     memcmp(&before.chain, &judge->found.chain, sizeof(before.chain)) !=
		     0))
		is_right =
			wrong(judge, "later edits are others after a cut (%s)",
			      disk_cut_name(kind));
	mbj_store_close(&judge->store);
	disk_db_use(judge->disk);
	return is_right;
}

static bool side_check(struct cut_lab *lab, struct disk *disk,
		       struct cut_side *side, bool is_deep)
{
	struct judge judge = {.lab = lab, .disk = disk, .side = side};
	const struct mbj_store_recovery *recovery;
	bool is_right;

	judge.options = lab->options;
	judge.options.sys = disk_sys(disk);
	is_right = judge_open(&judge);
	if (is_right) {
		recovery = mbj_store_recovery_get(judge.store);
		lab->counts.rebuilt += recovery->is_rebuilt;
		lab->counts.torn += recovery->torn_size > 0;
		disk_watch(disk, NULL, NULL);
		is_right = side->is_promoted
				   ? judge_promoted(&judge)
				   : judge_all(&judge) && judge_replay(&judge);
	}
	if (is_right && is_deep)
		is_right = judge_rebuild(&judge) && judge_extend(&judge);
	mbj_store_close(&judge.store);
	return is_right;
}

bool cut_check(struct cut_lab *lab, struct disk *disk, bool is_deep)
{
	struct disk *before = disk_db_use(disk);
	bool is_right = true;

	/* The replica first: it needs its primary's journal as it is. */
	if (lab->replica.is_tried && (!lab->replica.is_quiet || is_deep))
		is_right = side_check(lab, disk, &lab->replica, is_deep);
	if (is_right && lab->primary.is_tried &&
	    (!lab->primary.is_quiet || is_deep))
		is_right = side_check(lab, disk, &lab->primary, is_deep);
	(void)disk_db_use(before);
	return is_right;
}
