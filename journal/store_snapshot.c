/*
 * Snapshots of a store: making one, finding them, filling a state from one.
 *
 * Invariants:
 *   1. a state that is being filled is marked as suspect first, and the mark
 *      goes after everything was checkpointed: what a crash leaves in between
 *      is made anew by the next opening;
 *   2. a state is filled from a snapshot of its own lineage alone, whose chain
 *      value is the journal's at that group;
 *   3. a snapshot goes only when two good ones are newer.
 *
 * Threads: making one, any, one at a time (store_house_begin), beside others;
 * the rest is the leader's.
 */
#include <stdlib.h>

#include <mbj/backup_mark.h>
#include <mbj/check.h>
#include <mbj/trim.h>

#include "store_impl.h"

enum {
	SNAPSHOTS_MAX = 4096,
	/* Their directory's listing, with room for strangers. */
	SNAPSHOT_NAMES_MAX = 1 << 20,
};

enum mbj_rc mbj_snapshot_path(char path[MBJ_PATH_TEXT_MAX], const char *dir,
			      struct mbj_lsn lsn, struct mbj_error *err)
{
	char name[sizeof(STORE_SNAPSHOTS_NAME) + MBJ_SNAPSHOT_NAME_SIZE];
	const size_t at = sizeof(STORE_SNAPSHOTS_NAME);

	memcpy(name, STORE_SNAPSHOTS_NAME "/", at);
	mbj_snapshot_name_print(lsn, name + at);
	return mbj_path_join(path, dir, name, err);
}

/* ---------------------------------------------------------------- listing */

static int newest_first(const void *a, const void *b)
{
	const struct mbj_lsn *x = a;
	const struct mbj_lsn *y = b;

	return (x->v < y->v) - (x->v > y->v);
}

static enum mbj_rc names_take(const struct mbj_buf *names,
			      struct mbj_lsn **lsns, size_t *ret_count,
			      struct mbj_error *err)
{
	void *taken = NULL;
	size_t capacity = 0;
	size_t count = 0;
	enum mbj_rc rc = MBJ_OK;

	for (const char *name = mbj_names_next(names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(names, name)) {
		struct mbj_lsn lsn = {0};

		if (!mbj_snapshot_name_parse(name, &lsn))
			continue;
		rc = mbj_array_reserve(&taken, &capacity, count + 1,
				       sizeof(lsn), SNAPSHOTS_MAX, err);
		*lsns = taken;
		if (rc == MBJ_OK)
			(*lsns)[count++] = lsn;
	}
	*ret_count = count;
	return rc;
}

enum mbj_rc mbj_snapshots_list(const struct mbj_sys *sys, const char *dir,
			       struct mbj_lsn **ret_lsns, size_t *ret_count,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	struct mbj_lsn *lsns = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	if (sys == NULL)
		sys = mbj_sys_posix();
	*ret_lsns = NULL;
	*ret_count = 0;
	rc = mbj_path_join(path, dir, STORE_SNAPSHOTS_NAME, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	mbj_buf_init(&names, SNAPSHOT_NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	if (rc == MBJ_OK)
		rc = names_take(&names, &lsns, &count, err);
	mbj_buf_done(&names);
	if (rc < 0) {
		mbj_free(lsns);
		return rc;
	}
	if (count > 0)
		qsort(lsns, count, sizeof(**ret_lsns), newest_first);
	*ret_lsns = lsns;
	*ret_count = count;
	return MBJ_OK;
}

/* ----------------------------------------------------------------- making */

/* A backup is what its mark says: it moves with the mark. */
enum mbj_rc store_backup_refuse(struct mbj_store *store, const char *what,
				struct mbj_error *err)
{
	struct mbj_backup_mark mark;
	enum mbj_rc rc;

	rc = mbj_backup_mark_load(store->sys, store->dir, &mark, err);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	if (rc < 0)
		return rc;
	if (mbj_backup_is_whole(&mark) &&
	    mark.end.lsn.v == mbj_store_end(store).lsn.v)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EFENCED,
			     "%s is a backup that was not finished: nothing is "
			     "%s before \"mbj backup\" has come to its end",
			     store->dir, what);
}

enum mbj_rc mbj_store_snapshots_make(struct mbj_store *store,
				     char dir[MBJ_PATH_TEXT_MAX],
				     struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_path_join(dir, store->dir, STORE_SNAPSHOTS_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_make(store->sys, dir, err);
	if (rc == MBJ_EEXISTS)
		return MBJ_OK;
	if (rc == MBJ_OK)
		rc = mbj_dir_sync(store->sys, store->dir, err);
	return rc;
}

/* It belongs to this journal. */
static enum mbj_rc snapshot_fits(struct mbj_store *store,
				 const struct mbj_snapshot_info *info,
				 struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_id lineage = mbj_store_identity_copy(store).lineage;
	struct mbj_hash chain;
	enum mbj_rc rc;

	if (info->watermark.lsn.v != lsn.v ||
	    !mbj_id_equal(info->lineage, lineage))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the snapshot of group %llu is another "
				     "store's, or another group's",
				     (unsigned long long)lsn.v);
	rc = store_chain_read(store, lsn, &chain, err);
	if (rc < 0 ||
	    memcmp(chain.b, info->watermark.chain.b, MBJ_HASH_SIZE) == 0)
		return rc;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the snapshot of group %llu and the journal are "
			     "different histories",
			     (unsigned long long)lsn.v);
}

enum mbj_rc mbj_store_snapshot_open(struct mbj_store *store, struct mbj_lsn lsn,
				    struct mbj_snapshot **ret_snapshot,
				    struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_snapshot_path(path, store->dir, lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_open(store->sys, path, ret_snapshot, err);
	if (rc < 0)
		return rc;
	rc = snapshot_fits(store, mbj_snapshot_info_get(*ret_snapshot), lsn,
			   err);
	if (rc < 0)
		mbj_snapshot_close(ret_snapshot);
	return rc;
}

enum mbj_rc mbj_store_snapshot_judge(struct mbj_store *store,
				     struct mbj_lsn lsn,
				     struct mbj_snapshot_info *ret_info,
				     struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = NULL;
	enum mbj_rc rc = mbj_store_snapshot_open(store, lsn, &snapshot, err);

	if (rc == MBJ_OK)
		rc = mbj_snapshot_verify(snapshot, err);
	if (rc == MBJ_OK)
		*ret_info = *mbj_snapshot_info_get(snapshot);
	mbj_snapshot_close(&snapshot);
	return rc;
}

/* Where it is the file's fault, another snapshot may be better. */
static bool fault_is_its_own(enum mbj_rc rc)
{
	return rc == MBJ_ECORRUPT || rc == MBJ_EUNSUPPORTED ||
	       rc == MBJ_ENOTFOUND;
}

static void damage_note(struct mbj_snapshot_result *result,
			const struct mbj_error *why)
{
	if (result->damaged++ == 0)
		memcpy(result->fault, why->message, sizeof(result->fault));
}

/* What two good ones make superfluous. */
static enum mbj_rc old_remove(struct mbj_store *store, const char *dir,
			      struct mbj_snapshot_result *result,
			      struct mbj_error *err)
{
	struct mbj_lsn first = mbj_store_identity_copy(store).anchor.first;
	struct mbj_snapshot_info info;
	struct mbj_lsn *lsns = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	unsigned good = 0;
	size_t count = 0;
	enum mbj_rc rc;

	rc = mbj_snapshots_list(store->sys, store->dir, &lsns, &count, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		rc = store_house_check(store, err);
		if (rc < 0)
			break;
		if (good == MBJ_SNAPSHOTS_KEPT) {
			rc = mbj_snapshot_path(path, store->dir, lsns[i], err);
			if (rc == MBJ_OK)
				rc = mbj_file_remove(store->sys, path, err);
			result->removed += rc == MBJ_OK;
			continue;
		}
		/* Of a history that was given up, or behind the journal. */
		if (lsns[i].v > result->info.watermark.lsn.v ||
		    lsns[i].v + 1 < first.v)
			continue;
		/* This one was read just now. */
		if (lsns[i].v == result->info.watermark.lsn.v) {
			good++;
			continue;
		}
		rc = mbj_store_snapshot_judge(store, lsns[i], &info, &why);
		good += rc == MBJ_OK;
		if (fault_is_its_own(rc)) {
			damage_note(result, &why);
			rc = MBJ_OK;
		} else if (rc < 0 && err != NULL) {
			*err = why;
		}
	}
	mbj_free(lsns);
	if (rc == MBJ_OK && result->removed > 0)
		rc = mbj_dir_sync(store->sys, dir, err);
	return rc;
}

/* Of the state as the view has it. */
static enum mbj_rc view_write(const struct store_view *view, const char *dir,
			      struct mbj_snapshot_result *result,
			      struct mbj_error *err)
{
	struct mbj_store *store = view->store;
	struct mbj_halt halt = store_house_halting(store);
	struct mbj_watermark watermark;
	struct mbj_error why;
	enum mbj_rc rc;

	rc = mbj_txn_watermark(view->txn, &watermark, err);
	/* What they diverged to would outlive every state made from it. */
	if (rc == MBJ_OK)
		rc = store_parked_refuse(store, view->txn, "kept", err);
	if (rc < 0)
		return rc;
	rc = mbj_store_snapshot_judge(store, watermark.lsn, &result->info,
				      &why);
	if (fault_is_its_own(rc)) {
		if (rc != MBJ_ENOTFOUND)
			damage_note(result, &why);
		result->is_new = true;
		rc = mbj_snapshot_write(store->sys, dir, view->txn, &halt,
					&result->info, err);
	} else if (rc < 0 && err != NULL) {
		*err = why;
	}
	return rc;
}

static enum mbj_rc view_try(struct mbj_store *store, bool is_own,
			    const char *dir, struct mbj_snapshot_result *result,
			    bool *ret_is_copy, struct mbj_error *err)
{
	struct store_view view;
	enum mbj_rc rc = store_view_begin(store, is_own, &view, err);

	*ret_is_copy = false;
	if (rc < 0)
		return rc;
	*ret_is_copy = view.image != NULL;
	rc = view_write(&view, dir, result, err);
	store_view_end(&view);
	return rc;
}

/* What had no room beside a copy of the state may have it alone. */
static enum mbj_rc snapshot_make(struct mbj_store *store, const char *dir,
				 struct mbj_snapshot_result *result,
				 struct mbj_error *err)
{
	const struct mbj_snapshot_result before = *result;
	bool is_copy;
	enum mbj_rc rc;

	rc = view_try(store, false, dir, result, &is_copy, err);
	if (rc != MBJ_ENOSPC || !is_copy)
		return rc;
	*result = before;
	return view_try(store, true, dir, result, &is_copy, err);
}

enum mbj_rc store_snapshot_run(struct mbj_store *store,
			       struct mbj_snapshot_result *ret_result,
			       struct mbj_error *err)
{
	struct mbj_identity identity = mbj_store_identity_copy(store);
	struct mbj_snapshot_result result = {.is_new = false};
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	if (mbj_id_is_root(identity.lineage))
		return mbj_error_set(err, MBJ_EFENCED,
				     "%s is a replica that has not received "
				     "anything yet",
				     store->dir);
	rc = store_backup_refuse(store, "kept", err);
	if (rc == MBJ_OK)
		rc = mbj_store_snapshots_make(store, dir, err);
	if (rc == MBJ_OK)
		rc = snapshot_make(store, dir, &result, err);
	if (rc == MBJ_OK)
		rc = old_remove(store, dir, &result, err);
	if (rc == MBJ_OK)
		*ret_result = result;
	return rc;
}

enum mbj_rc mbj_store_snapshot(struct mbj_store *store,
			       struct mbj_snapshot_result *ret_result,
			       struct mbj_error *err)
{
	enum mbj_rc rc = store_house_begin(store, MBJ_HOUSE_SNAPSHOT, err);

	if (rc < 0)
		return rc;
	rc = store_snapshot_run(store, ret_result, err);
	store_house_end(store);
	return rc;
}

/* ---------------------------------------------------------------- filling */

struct filling {
	struct mbj_store *store;
	bool is_wanting; /* contents may not be here */
	struct mbj_watermark *watermark;
};

static enum mbj_rc state_fill(const struct filling *filling,
			      struct mbj_snapshot *snapshot,
			      struct mbj_error *err)
{
	struct mbj_store *store = filling->store;
	enum mbj_rc rc;

	rc = store_suspect_set(store, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_load(snapshot, store->state,
				       filling->is_wanting, err);
	if (rc == MBJ_OK)
		rc = mbj_state_checkpoint(store->state, true, err);
	if (rc == MBJ_OK)
		rc = store_suspect_clear(store, err);
	if (rc == MBJ_OK)
		*filling->watermark =
			mbj_snapshot_info_get(snapshot)->watermark;
	return rc;
}

/* From this one; a state that was filled in part is made empty again. */
static enum mbj_rc snapshot_try(const struct filling *filling,
				struct mbj_lsn lsn, struct mbj_error *err)
{
	struct mbj_store *store = filling->store;
	struct mbj_snapshot *snapshot = NULL;
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc, again;

	rc = mbj_snapshot_path(path, store->dir, lsn, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_open(store->sys, path, &snapshot, err);
	if (rc == MBJ_OK)
		rc = snapshot_fits(store, mbj_snapshot_info_get(snapshot), lsn,
				   err);
	if (rc == MBJ_OK) {
		rc = state_fill(filling, snapshot, err);
		if (rc == MBJ_ECORRUPT) {
			mbj_state_close(&store->state);
			again = mbj_state_destroy(store->sys, store->state_dir,
						  NULL);
			if (again == MBJ_OK)
				again = store_state_open(store, err);
			if (again < 0)
				rc = again;
		}
	}
	mbj_snapshot_close(&snapshot);
	return rc;
}

enum mbj_rc store_state_fill(struct mbj_store *store, bool is_wanting,
			     struct mbj_watermark *watermark,
			     struct mbj_store_recovery *recovery,
			     struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &store->superblock.identity.anchor;
	const struct filling filling = {store, is_wanting, watermark};
	uint64_t end = store_log_end(store).lsn.v;
	struct mbj_lsn *lsns = NULL;
	struct mbj_error why;
	size_t count = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(watermark->lsn.v == 0 && store->state != NULL);
	rc = mbj_snapshots_list(store->sys, store->dir, &lsns, &count, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++) {
		/* Of a journal that ends before it, or begins behind it. */
		if (lsns[i].v > end || lsns[i].v + 1 < anchor->first.v ||
		    lsns[i].v == 0)
			continue;
		rc = snapshot_try(&filling, lsns[i], &why);
		if (rc == MBJ_OK) {
			recovery->snapshot = lsns[i];
			break;
		}
		if (fault_is_its_own(rc) && store->state != NULL) {
			if (recovery->snapshots_damaged++ == 0)
				memcpy(recovery->snapshot_fault, why.message,
				       sizeof(recovery->snapshot_fault));
			rc = MBJ_OK;
		} else if (err != NULL) {
			*err = why;
		}
	}
	mbj_free(lsns);
	return rc;
}

/* -------------------------------------------------------- before filling */

/* All of it can be read, and it belongs to this journal. */
static enum mbj_rc snapshot_check(struct mbj_store *store, struct mbj_lsn lsn,
				  struct mbj_error *err)
{
	struct mbj_snapshot_info info;

	return mbj_store_snapshot_judge(store, lsn, &info, err);
}

static enum mbj_rc none_refuse(const struct mbj_store *store,
			       const char *reason, const struct mbj_error *why,
			       struct mbj_error *err)
{
	enum mbj_rc rc =
		why->rc == MBJ_EUNSUPPORTED ? MBJ_EUNSUPPORTED : MBJ_ECORRUPT;

	return mbj_error_set(
		err, rc,
		"%s: the state is not made anew (%.90s), and stays as it is: "
		"the journal begins at group %llu, and no snapshot from there "
		"on is good%s%.160s",
		store->dir, reason,
		(unsigned long long)store->superblock.identity.anchor.first.v,
		why->rc == MBJ_OK ? "" : "; the newest: ",
		why->rc == MBJ_OK ? "" : why->message);
}

enum mbj_rc store_snapshot_require(struct mbj_store *store, const char *reason,
				   struct mbj_error *err)
{
	const struct mbj_anchor *anchor = &store->superblock.identity.anchor;
	struct mbj_error first = {.rc = MBJ_OK};
	struct mbj_lsn *lsns = NULL;
	struct mbj_error why;
	size_t count = 0;
	enum mbj_rc rc;

	if (anchor->first.v <= 1)
		return MBJ_OK;
	rc = mbj_snapshots_list(store->sys, store->dir, &lsns, &count, err);
	if (rc < 0)
		return rc;
	rc = MBJ_ENOTFOUND;
	for (size_t i = 0; rc == MBJ_ENOTFOUND && i < count; i++) {
		if (lsns[i].v + 1 < anchor->first.v)
			break;
		rc = snapshot_check(store, lsns[i], &why);
		if (fault_is_its_own(rc)) {
			if (first.rc == MBJ_OK)
				first = why;
			rc = MBJ_ENOTFOUND;
		} else if (rc < 0 && err != NULL) {
			*err = why;
		}
	}
	mbj_free(lsns);
	return rc == MBJ_ENOTFOUND ? none_refuse(store, reason, &first, err)
				   : rc;
}
