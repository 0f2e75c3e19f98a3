/*
 * A replica takes its primary's identity: lineage and anchor once, the epoch
 * whenever a newer reign began, another anchor where it has fallen behind what
 * the primary still has; and what was restored takes its role.
 *
 * Not here: whether a stream may be trusted (replay/).
 *
 * Invariants:
 *   1. a lineage, once taken, is never exchanged;
 *   2. epochs only rise, and one number has one owner;
 *   3. a crash leaves a replica that has adopted, with an empty state at the
 *      worst, or one that has not.
 *
 * Threads: whoever feeds the replica, in a turn (store_turn_take), since others
 * may keep house; readers are kept out of the state while it is exchanged, and
 * may be there while an epoch is taken.
 */
#include <mbj/check.h>
#include <mbj/trim.h>

#include "store_impl.h"

/* Whose reign it is. */
static void reign_put(struct superblock *superblock,
		      const struct mbj_identity *primary)
{
	superblock->identity.epoch = primary->epoch;
	superblock->identity.epoch_owner = primary->epoch_owner;
}

/* On disk, and then the store's. */
static enum mbj_rc identity_save(struct mbj_store *store,
				 const struct superblock *superblock,
				 struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = superblock_save(store->sys, store->dir, SUPERBLOCK_NAME,
			     superblock, err);
	if (rc == MBJ_OK)
		store_identity_take(store, superblock);
	return rc;
}

/* Its journal begins behind what a snapshot of the other side has. */
static void anchor_put(struct superblock *superblock,
		       const struct mbj_watermark *where)
{
	superblock->identity.anchor.first.v = where->lsn.v + 1;
	superblock->identity.anchor.chain = where->chain;
}

/* Journal and state of a lineage that this replica did not have before. */
static enum mbj_rc lineage_take(struct mbj_store *store,
				const struct superblock *superblock,
				struct mbj_error *err)
{
	const struct mbj_identity *id = &superblock->identity;
	struct mbj_lsn none = {0};
	enum mbj_rc rc;

	MBJ_ASSERT(store->log == NULL);
	mbj_state_close(&store->state);
	rc = mbj_state_destroy(store->sys, store->state_dir, err);
	if (rc == MBJ_OK)
		rc = identity_save(store, superblock, err);
	if (rc < 0)
		return rc;
	rc = mbj_state_open(store->sys, store->state_dir, id->lineage,
			    &store->options.state, &store->state, err);
	if (rc == MBJ_OK)
		rc = mbj_log_open(store->sys, store->journal_dir, id->lineage,
				  &id->anchor, none, &store->options.log,
				  &store->log, err);
	/* Else the state's entry could be lost, and the state with it. */
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(store->sys, store->dir, err);
	return rc;
}

/* snapshot, which may be NULL, is what the state is filled from. */
static enum mbj_rc lineage_adopt(struct mbj_store *store,
				 const struct mbj_identity *primary,
				 const struct mbj_snapshot_info *snapshot,
				 struct mbj_error *err)
{
	struct superblock superblock = store->superblock;
	struct mbj_store_recovery recovery = store->recovery;
	struct mbj_watermark watermark = {{0}, {0}, {{0}}};
	struct mbj_error why;
	enum mbj_rc rc;

	if (primary->anchor.first.v != 1 && snapshot == NULL)
		return mbj_error_set(
			err, MBJ_EFENCED,
			"the other side's journal begins at group %llu: %s is "
			"to be made from a snapshot of it, with \"mbj init "
			"--from-snapshot\"",
			(unsigned long long)primary->anchor.first.v,
			store->dir);
	superblock.identity.lineage = primary->lineage;
	reign_put(&superblock, primary);
	superblock.identity.anchor = primary->anchor;
	if (snapshot != NULL)
		anchor_put(&superblock, &snapshot->watermark);
	rc = store_state_swap_begin(store, err);
	if (rc < 0)
		return rc;
	rc = lineage_take(store, &superblock, &why);
	if (rc == MBJ_OK && snapshot != NULL)
		rc = store_state_fill(store, true, &watermark, &recovery, &why);
	if (rc == MBJ_OK && snapshot != NULL && watermark.lsn.v == 0)
		rc = mbj_error_set(&why, MBJ_ECORRUPT, "%s: %.400s", store->dir,
				   recovery.snapshot_fault);
	store_recovery_set(store, &recovery);
	store_state_swap_end(store);
	if (rc == MBJ_OK) {
		store_end_note(store);
		return MBJ_OK;
	}
	store_fail(store, &why);
	if (err != NULL)
		*err = why;
	return rc;
}

/* Epochs only rise, and one number has one owner. */
static enum mbj_rc epoch_check(const struct mbj_store *store,
			       const struct mbj_identity *primary,
			       struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;

	if (primary->epoch.v < id->epoch.v)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s knows epoch %llu, the other side is "
				     "in epoch %llu: it was replaced",
				     store->dir,
				     (unsigned long long)id->epoch.v,
				     (unsigned long long)primary->epoch.v);
	if (primary->epoch.v == id->epoch.v &&
	    !mbj_id_equal(primary->epoch_owner, id->epoch_owner))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s: two stores were promoted to epoch "
				     "%llu",
				     store->dir,
				     (unsigned long long)id->epoch.v);
	return MBJ_OK;
}

static enum mbj_rc epoch_adopt(struct mbj_store *store,
			       const struct mbj_identity *primary,
			       struct mbj_error *err)
{
	struct superblock superblock = store->superblock;
	const struct mbj_identity *id = &superblock.identity;
	enum mbj_rc rc = epoch_check(store, primary, err);

	if (rc < 0 || primary->epoch.v == id->epoch.v)
		return rc;
	reign_put(&superblock, primary);
	return identity_save(store, &superblock, err);
}

/* The lineage where there is none, else the epoch. */
static enum mbj_rc identity_adopt(struct mbj_store *store,
				  const struct mbj_identity *primary,
				  const struct mbj_snapshot_info *snapshot,
				  struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;
	enum mbj_rc rc = store_turn_take(store, err);

	if (rc < 0)
		return rc;
	rc = mbj_id_is_root(id->lineage)
		     ? lineage_adopt(store, primary, snapshot, err)
		     : epoch_adopt(store, primary, err);
	store_turn_give(store);
	return rc;
}

/* An epoch of its own. */
static enum mbj_rc reign_own(const struct mbj_store *store,
			     struct superblock *superblock,
			     struct mbj_error *err)
{
	struct mbj_identity *id = &superblock->identity;

	if (mbj_id_is_root(id->lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s has no lineage yet: there is nothing "
				     "to be the primary of",
				     store->dir);
	if (id->epoch.v == UINT64_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%s is in the last epoch that there is",
				     store->dir);
	id->epoch.v++;
	id->epoch_owner = id->instance;
	return MBJ_OK;
}

bool mbj_store_reign_is_begun(const struct mbj_store *store)
{
	const struct superblock *superblock = &store->superblock;

	return superblock->is_restoring &&
	       mbj_id_equal(superblock->identity.epoch_owner,
			    superblock->identity.instance);
}

enum mbj_rc mbj_store_reign_begin(struct mbj_store *store,
				  struct mbj_error *err)
{
	struct superblock superblock = store->superblock;
	enum mbj_rc rc;

	MBJ_ASSERT(superblock.is_restoring && store->batch.txn == NULL);
	if (mbj_store_reign_is_begun(store))
		return MBJ_OK;
	rc = reign_own(store, &superblock, err);
	return rc == MBJ_OK ? identity_save(store, &superblock, err) : rc;
}

enum mbj_rc mbj_store_segment_begin(struct mbj_store *store,
				    struct mbj_error *err)
{
	MBJ_ASSERT(store->superblock.is_restoring && store->batch.txn == NULL);
	return mbj_log_rotate(store->log, err);
}

/*
 * A commit that a power cut undoes would be done again without what a replica
 * knows of accounts that are set aside.
 */
static enum mbj_rc reign_settle(struct mbj_store *store,
				const struct mbj_log_end *behind,
				struct superblock *superblock,
				struct mbj_error *err)
{
	struct mbj_watermark watermark;
	struct mbj_snapshot_info info;
	enum mbj_rc rc;

	rc = store_house_checkpoint(store, "restored", &watermark, err);
	if (rc == MBJ_OK)
		rc = mbj_store_snapshot_judge(store, watermark.lsn, &info, err);
	if (rc < 0)
		return rc;
	if (watermark.lsn.v <= behind->lsn.v)
		return mbj_error_set(err, MBJ_EFENCED,
				     "an earlier attempt was to make a primary "
				     "of %s with accounts set aside, and its "
				     "state knows of none by now: remove it "
				     "and begin again",
				     store->dir);
	superblock->identity.anchor.first.v = behind->lsn.v + 1;
	superblock->identity.anchor.chain = behind->chain;
	return MBJ_OK;
}

enum mbj_rc mbj_store_restored(struct mbj_store *store,
			       enum mbj_store_role role,
			       const struct mbj_log_end *behind,
			       struct mbj_error *err)
{
	struct superblock superblock = store->superblock;
	bool is_begun = mbj_store_reign_is_begun(store);
	enum mbj_rc rc = MBJ_OK;

	MBJ_ASSERT(superblock.is_restoring && store->batch.txn == NULL);
	MBJ_ASSERT(is_begun == (behind != NULL));
	MBJ_ASSERT(!is_begun || role == MBJ_STORE_PRIMARY);
	superblock.is_restoring = false;
	if (is_begun)
		rc = reign_settle(store, behind, &superblock, err);
	else if (role == MBJ_STORE_PRIMARY)
		rc = reign_own(store, &superblock, err);
	superblock.identity.role = role;
	return rc == MBJ_OK ? identity_save(store, &superblock, err) : rc;
}

enum mbj_rc mbj_store_adopt(struct mbj_store *store,
			    const struct mbj_identity *primary,
			    struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;
	char ours[MBJ_ID_TEXT_SIZE];
	char theirs[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	MBJ_ASSERT(store->batch.txn == NULL);
	rc = store_check(store, err);
	if (rc < 0)
		return rc;
	if (id->role != MBJ_STORE_REPLICA)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a primary: it takes nobody's "
				     "lineage",
				     store->dir);
	if (mbj_id_is_reserved(primary->lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "the other side has no lineage yet");
	if (mbj_id_is_root(id->lineage) ||
	    mbj_id_equal(id->lineage, primary->lineage))
		return identity_adopt(store, primary, NULL, err);
	mbj_id_print(id->lineage, ours);
	mbj_id_print(primary->lineage, theirs);
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s is of lineage %s, the other side of lineage "
			     "%s: another store",
			     store->dir, ours, theirs);
}

enum mbj_rc mbj_store_adopt_snapshot(struct mbj_store *store,
				     const struct mbj_identity *primary,
				     const struct mbj_snapshot_info *snapshot,
				     struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;
	enum mbj_rc rc;

	MBJ_ASSERT(store->batch.txn == NULL);
	rc = store_check(store, err);
	if (rc < 0)
		return rc;
	if (id->role != MBJ_STORE_REPLICA || !mbj_id_is_root(id->lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s has something already: a snapshot "
				     "fills a new replica only",
				     store->dir);
	if (!mbj_id_equal(primary->lineage, snapshot->lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "the snapshot is of another lineage");
	return identity_adopt(store, primary, snapshot, err);
}

/* In a turn.  The superblock is the moment: before it all is as it was. */
static enum mbj_rc anew_begin(struct mbj_store *store,
			      const struct mbj_identity *primary,
			      const struct mbj_watermark *where,
			      struct mbj_error *err)
{
	struct superblock superblock = store->superblock;
	struct mbj_error done;
	enum mbj_rc rc = epoch_check(store, primary, err);

	if (rc < 0)
		return rc;
	reign_put(&superblock, primary);
	anchor_put(&superblock, where);
	rc = superblock_save(store->sys, store->dir, SUPERBLOCK_NAME,
			     &superblock, err);
	if (rc < 0)
		return rc;
	(void)mbj_error_set(&done, MBJ_EBUSY,
			    "it begins anew behind group %llu",
			    (unsigned long long)where->lsn.v);
	store_fail(store, &done);
	return MBJ_OK;
}

enum mbj_rc mbj_store_begin_anew(struct mbj_store *store,
				 const struct mbj_identity *primary,
				 const struct mbj_snapshot_info *snapshot,
				 struct mbj_error *err)
{
	const struct mbj_identity *id = &store->superblock.identity;
	enum mbj_rc rc;

	MBJ_ASSERT(store->batch.txn == NULL);
	rc = store_check(store, err);
	if (rc < 0)
		return rc;
	if (id->role != MBJ_STORE_REPLICA ||
	    !mbj_id_equal(id->lineage, primary->lineage) ||
	    !mbj_id_equal(id->lineage, snapshot->lineage) ||
	    snapshot->watermark.lsn.v <= mbj_store_end(store).lsn.v)
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is no replica of that store, or has "
				     "what the snapshot has",
				     store->dir);
	rc = store_turn_take(store, err);
	if (rc < 0)
		return rc;
	rc = anew_begin(store, primary, &snapshot->watermark, err);
	store_turn_give(store);
	return rc;
}
