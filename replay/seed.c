/*
 * A replica from nothing for a store whose journal does not begin at group 1:
 * the newest good snapshot of the source is copied, the copy judged, and the
 * state filled from it; the groups behind it come by replay, as do the contents
 * of all messages, which are noted as wanted.
 *
 * Invariants:
 *   1. the source is only read: its owner may be using it;
 *   2. what the state was filled from is in the replica's own directory before
 *      its superblock says that its journal begins behind it.
 *
 * Threads: the caller's, alone with the replica.
 */
#include <mbj/check.h>
#include <mbj/replay.h>
#include <mbj/trim.h>

#include "snapshot_copy.h"

/* One that is good becomes one's own. */
static enum mbj_rc snapshot_take(struct mbj_store *replica, const char *source,
				 struct mbj_lsn lsn,
				 struct mbj_snapshot_info *ret_info,
				 struct mbj_error *err)
{
	struct snapshot_copy copy;
	enum mbj_rc rc;

	rc = snapshot_copy_make(replica, source, lsn, &copy, err);
	if (rc < 0)
		return rc;
	rc = snapshot_copy_keep(&copy, err);
	if (rc < 0)
		snapshot_copy_drop(&copy);
	else
		*ret_info = copy.info;
	return rc;
}

static enum mbj_rc none_good(const char *source, struct mbj_lsn until,
			     const struct mbj_error *why, struct mbj_error *err)
{
	if (why->rc != MBJ_OK) {
		if (err != NULL)
			*err = *why;
		return mbj_error_prefix(err, why->rc,
					"no snapshot in %s is good; the first",
					source);
	}
	if (until.v != 0)
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s has no snapshot of group %llu or one "
				     "before it",
				     source, (unsigned long long)until.v);
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s has no snapshot: \"mbj snapshot\" makes one",
			     source);
}

/* The newest good one that the source's journal, which begins there, reaches.
 */
static enum mbj_rc snapshot_find(struct mbj_store *replica, const char *source,
				 struct mbj_lsn begin, struct mbj_lsn until,
				 struct mbj_snapshot_info *ret_info,
				 struct mbj_error *err)
{
	struct mbj_error first = {.rc = MBJ_OK};
	struct mbj_lsn *lsns = NULL;
	struct mbj_error why;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_snapshots_list(mbj_store_sys(replica), source, &lsns, &count,
				err);
	if (rc < 0)
		return rc;
	rc = MBJ_ENOTFOUND;
	for (size_t i = 0; rc == MBJ_ENOTFOUND && i < count; i++) {
		/* One from before the first group has nothing. */
		if ((until.v != 0 && lsns[i].v > until.v) || lsns[i].v == 0 ||
		    lsns[i].v + 1 < begin.v)
			continue;
		rc = snapshot_take(replica, source, lsns[i], ret_info, &why);
		if (rc == MBJ_OK)
			break;
		/* Gone meanwhile, or bad: the next older one may do. */
		if (snapshot_copy_is_fault(rc)) {
			if (first.rc == MBJ_OK)
				first = why;
			rc = MBJ_ENOTFOUND;
		} else if (err != NULL) {
			*err = why;
		}
	}
	mbj_free(lsns);
	return rc == MBJ_ENOTFOUND ? none_good(source, until, &first, err) : rc;
}

static enum mbj_rc source_load(const struct mbj_sys *sys, const char *source,
			       struct mbj_identity *ret_identity,
			       struct mbj_error *err)
{
	enum mbj_rc rc = mbj_identity_load(sys, source, ret_identity, err);

	if (rc == MBJ_OK && mbj_id_is_root(ret_identity->lineage))
		rc = mbj_error_set(err, MBJ_EFENCED,
				   "%s is a replica that has not received "
				   "anything yet",
				   source);
	return rc;
}

enum mbj_rc mbj_replica_seed(struct mbj_store *replica, const char *source,
			     struct mbj_lsn until,
			     struct mbj_snapshot_info *ret_info,
			     struct mbj_error *err)
{
	struct mbj_identity identity;
	enum mbj_rc rc;

	rc = source_load(mbj_store_sys(replica), source, &identity, err);
	if (rc == MBJ_OK)
		rc = snapshot_find(replica, source, identity.anchor.first,
				   until, ret_info, err);
	if (rc == MBJ_OK)
		rc = mbj_store_adopt_snapshot(replica, &identity, ret_info,
					      err);
	return rc;
}

static const struct mbj_sys *
options_sys(const struct mbj_store_options *options)
{
	return options->sys != NULL ? options->sys : mbj_sys_posix();
}

/* A new one, or what an earlier attempt that was stopped left. */
static enum mbj_rc target_open(const char *dir, const char *source,
			       const struct mbj_store_options *options,
			       bool *ret_is_made, struct mbj_store **ret_store,
			       struct mbj_error *err)
{
	struct mbj_identity identity;
	enum mbj_rc rc;

	*ret_is_made = false;
	rc = mbj_replica_open(dir, options, ret_store, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	/* Before anything is made for it. */
	rc = source_load(options_sys(options), source, &identity, err);
	if (rc == MBJ_OK)
		rc = mbj_store_init(dir, MBJ_STORE_REPLICA, options, err);
	*ret_is_made = rc == MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_replica_open(dir, options, ret_store, err);
	return rc;
}

static enum mbj_rc target_fill(struct mbj_store *store, const char *source,
			       struct mbj_lsn *ret_lsn, struct mbj_error *err)
{
	struct mbj_snapshot_info info;
	struct mbj_lsn any = {0};
	enum mbj_rc rc = MBJ_OK;

	if (mbj_id_is_root(mbj_store_identity(store)->lineage))
		rc = mbj_replica_seed(store, source, any, &info, err);
	*ret_lsn = mbj_store_end(store).lsn;
	if (rc == MBJ_OK)
		rc = mbj_store_restored(store, MBJ_STORE_REPLICA, NULL, err);
	return rc;
}

enum mbj_rc mbj_replica_init(const char *dir, const char *source,
			     const struct mbj_store_options *options,
			     struct mbj_lsn *ret_lsn, struct mbj_error *err)
{
	struct mbj_store_options marked =
		options != NULL ? *options : MBJ_STORE_OPTIONS_INIT;
	struct mbj_store *store = NULL;
	struct mbj_lsn lsn = {0};
	bool was_there = mbj_path_exists(options_sys(&marked), dir);
	bool is_made;
	enum mbj_rc rc;

	marked.is_restoring = true;
	rc = target_open(dir, source, &marked, &is_made, &store, err);
	if (rc == MBJ_OK)
		rc = target_fill(store, source, &lsn, err);
	mbj_store_close(&store);
	if (rc < 0 && is_made)
		mbj_store_unmake(dir, marked.sys, was_there);
	if (rc == MBJ_OK)
		*ret_lsn = lsn;
	return rc;
}
