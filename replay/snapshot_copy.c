/*
 * Copying snapshots; see snapshot_copy.h.
 */
#include "snapshot_copy.h"

#include <fcntl.h>

#include <mbj/trim.h>

enum { COPY_SIZE = 256 << 10 };

static enum mbj_rc bytes_copy(struct mbj_file *from, struct mbj_file *to,
			      struct mbj_error *err)
{
	uint8_t *p = mbj_alloc(COPY_SIZE);
	size_t got = COPY_SIZE;
	enum mbj_rc rc = MBJ_OK;

	if (p == NULL)
		return mbj_error_nomem(err);
	for (uint64_t at = 0; rc == MBJ_OK && got == COPY_SIZE; at += got) {
		rc = mbj_file_read(from, at, p, COPY_SIZE, &got, err);
		if (rc == MBJ_OK)
			rc = mbj_file_write(to, at, p, got, err);
	}
	mbj_free(p);
	return rc == MBJ_OK ? mbj_file_sync(to, err) : rc;
}

/* Edits come first. */
enum mbj_rc snapshot_copy_room(const struct mbj_store *store, uint64_t size,
			       struct mbj_error *err)
{
	struct mbj_store_space space = mbj_store_space_get(store);

	if (space.left >= size && space.left - size >= space.min)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ENOSPC,
			     "%s has %llu bytes left, of which %llu are kept "
			     "free, and the snapshot has %llu",
			     mbj_store_dir(store),
			     (unsigned long long)space.left,
			     (unsigned long long)space.min,
			     (unsigned long long)size);
}

static enum mbj_rc file_copy(const struct mbj_store *store, const char *from,
			     const char *to, struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_store_sys(store);
	struct mbj_file source = MBJ_FILE_CLOSED;
	struct mbj_file target = MBJ_FILE_CLOSED;
	uint64_t size = 0;
	enum mbj_rc rc;

	rc = mbj_file_open(sys, from, O_RDONLY | O_NOFOLLOW, &source, err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&source, &size, err);
	if (rc == MBJ_OK)
		rc = snapshot_copy_room(store, size, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(sys, to,
				   O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
				   &target, err);
	if (rc == MBJ_OK)
		rc = bytes_copy(&source, &target, err);
	mbj_file_close(&source);
	mbj_file_close(&target);
	return rc;
}

/* None is made where accounts are: whoever began with it would never heal. */
static enum mbj_rc aside_refuse(struct mbj_snapshot *snapshot,
				struct mbj_error *err)
{
	struct mbj_snapshot_account account;
	char id[MBJ_ID_TEXT_SIZE];
	enum mbj_rc rc;

	rc = mbj_snapshot_accounts_begin(snapshot, err);
	while (rc == MBJ_OK) {
		rc = mbj_snapshot_accounts_next(snapshot, &account, err);
		if (rc != MBJ_OK || !account.is_parked)
			continue;
		mbj_id_print(account.id, id);
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "a snapshot has account %s set aside", id);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc snapshot_copy_look(struct snapshot_copy *copy,
			       struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = NULL;
	enum mbj_rc rc;

	rc = mbj_snapshot_open(copy->sys, copy->temp, &snapshot, err);
	if (rc == MBJ_OK)
		copy->info = *mbj_snapshot_info_get(snapshot);
	mbj_snapshot_close(&snapshot);
	return rc;
}

static enum mbj_rc file_judge(const struct mbj_sys *sys, const char *path,
			      struct mbj_snapshot_info *ret_info,
			      struct mbj_error *err)
{
	struct mbj_snapshot *snapshot = NULL;
	enum mbj_rc rc;

	rc = mbj_snapshot_open(sys, path, &snapshot, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_verify(snapshot, err);
	if (rc == MBJ_OK)
		rc = aside_refuse(snapshot, err);
	if (rc == MBJ_OK)
		*ret_info = *mbj_snapshot_info_get(snapshot);
	mbj_snapshot_close(&snapshot);
	return rc;
}

enum mbj_rc snapshot_copy_judge(struct snapshot_copy *copy,
				struct mbj_error *err)
{
	return file_judge(copy->sys, copy->temp, &copy->info, err);
}

bool snapshot_copy_is_fault(enum mbj_rc rc)
{
	return rc == MBJ_ENOTFOUND || rc == MBJ_ECORRUPT ||
	       rc == MBJ_EUNSUPPORTED;
}

/* Not inlined: six paths in one frame are more than one may have. */
__attribute__((noinline)) enum mbj_rc
snapshot_copy_paths(struct mbj_store *store, struct mbj_lsn lsn, bool is_part,
		    struct snapshot_copy *ret_copy, struct mbj_error *err)
{
	struct snapshot_copy copy = {.sys = mbj_store_sys(store)};
	char part[MBJ_SNAPSHOT_PART_SIZE];
	enum mbj_rc rc;

	mbj_snapshot_part_print(lsn, part);
	rc = mbj_store_snapshots_make(store, copy.dir, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_path(copy.path, mbj_store_dir(store), lsn,
				       err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(copy.temp, copy.dir,
				   is_part ? part : MBJ_SNAPSHOT_TEMP_NAME,
				   err);
	if (rc == MBJ_OK)
		*ret_copy = copy;
	return rc;
}

/*
 * Of a copy that is no good its source is asked, too: that is the file which
 * stays, and which whoever reads of it can look at.
 */
static enum mbj_rc copy_judge(struct snapshot_copy *copy, const char *source,
			      struct mbj_error *err)
{
	enum mbj_rc rc = snapshot_copy_judge(copy, err);
	enum mbj_rc own;

	if (!snapshot_copy_is_fault(rc))
		return rc;
	own = file_judge(copy->sys, source, &copy->info, err);
	return own < 0 ? own : rc;
}

enum mbj_rc snapshot_copy_make(struct mbj_store *store, const char *source,
			       struct mbj_lsn lsn,
			       struct snapshot_copy *ret_copy,
			       struct mbj_error *err)
{
	char from[MBJ_PATH_TEXT_MAX];
	struct snapshot_copy copy;
	enum mbj_rc rc;

	rc = snapshot_copy_paths(store, lsn, false, &copy, err);
	if (rc == MBJ_OK)
		rc = mbj_snapshot_path(from, source, lsn, err);
	if (rc != MBJ_OK)
		return rc;
	rc = file_copy(store, from, copy.temp, err);
	if (rc == MBJ_OK)
		rc = copy_judge(&copy, from, err);
	if (rc < 0)
		snapshot_copy_drop(&copy);
	else
		*ret_copy = copy;
	return rc;
}

enum mbj_rc snapshot_copy_keep(const struct snapshot_copy *copy,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_file_rename(copy->sys, copy->temp, copy->path, err);
	return rc == MBJ_OK ? mbj_dir_sync(copy->sys, copy->dir, err) : rc;
}

void snapshot_copy_drop(const struct snapshot_copy *copy)
{
	(void)copy->sys->unlink(copy->sys->ctx, copy->temp);
}
