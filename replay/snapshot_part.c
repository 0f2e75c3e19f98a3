/*
 * Parts of snapshots; see snapshot_part.h.
 */
#include "snapshot_part.h"

#include <fcntl.h>
#include <string.h>

#include <mbj/trim.h>

/* Of the listing of a directory that is the store's own. */
enum { NAMES_MAX = 1 << 20 };

void snapshot_part_init(struct snapshot_part *part, struct mbj_store *store)
{
	*part = (struct snapshot_part){.store = store, .file = MBJ_FILE_CLOSED};
}

bool snapshot_part_is_open(const struct snapshot_part *part)
{
	return part->file.fd >= 0;
}

void snapshot_part_close(struct snapshot_part *part)
{
	mbj_file_close(&part->file);
}

void snapshot_part_drop(struct snapshot_part *part)
{
	mbj_file_close(&part->file);
	snapshot_copy_drop(&part->copy);
	part->here = 0;
	part->is_resumed = false;
}

enum mbj_rc snapshot_part_open(struct snapshot_part *part, struct mbj_lsn lsn,
			       struct mbj_error *err)
{
	enum mbj_rc rc;

	part->lsn = lsn;
	rc = snapshot_copy_paths(part->store, lsn, true, &part->copy, err);
	if (rc == MBJ_OK)
		rc = mbj_file_open(part->copy.sys, part->copy.temp,
				   O_RDWR | O_CREAT | O_NOFOLLOW, &part->file,
				   err);
	if (rc == MBJ_OK)
		rc = mbj_file_size(&part->file, &part->here, err);
	return rc;
}

/* The newest stays, if any. */
static enum mbj_rc parts_look(struct snapshot_part *part,
			      const struct mbj_buf *names, const char *dir,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_lsn lsn;
	enum mbj_rc rc = MBJ_OK;

	for (const char *name = mbj_names_next(names, NULL); name != NULL;
	     name = mbj_names_next(names, name))
		if (mbj_snapshot_part_parse(name, &lsn) && lsn.v > part->lsn.v)
			part->lsn = lsn;
	for (const char *name = mbj_names_next(names, NULL);
	     rc == MBJ_OK && name != NULL; name = mbj_names_next(names, name)) {
		if (!mbj_snapshot_part_parse(name, &lsn) ||
		    lsn.v == part->lsn.v)
			continue;
		rc = mbj_path_join(path, dir, name, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(mbj_store_sys(part->store), path,
					     err);
	}
	return rc;
}

enum mbj_rc snapshot_part_find(struct snapshot_part *part,
			       struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_store_sys(part->store);
	char dir[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	rc = mbj_store_snapshots_make(part->store, dir, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&names, NAMES_MAX);
	rc = mbj_dir_list(sys, dir, &names, err);
	if (rc == MBJ_OK)
		rc = parts_look(part, &names, dir, err);
	mbj_buf_done(&names);
	if (rc < 0 || part->lsn.v == 0)
		return rc;
	rc = snapshot_part_open(part, part->lsn, err);
	part->is_resumed = part->here > 0;
	return rc;
}

enum mbj_rc snapshot_part_write(struct snapshot_part *part,
				struct mbj_bytes bytes, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_file_write(&part->file, part->here, bytes.p, bytes.n, err);
	if (rc == MBJ_OK)
		part->here += bytes.n;
	return rc;
}

enum mbj_rc snapshot_parts_remove(struct mbj_store *store,
				  struct mbj_error *err)
{
	struct snapshot_part part;
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_snapshot_path(dir, mbj_store_dir(store), (struct mbj_lsn){1},
			       err);
	if (rc < 0)
		return rc;
	/* Where there are none, no place is made for them. */
	*strrchr(dir, '/') = '\0';
	if (!mbj_path_exists(mbj_store_sys(store), dir))
		return MBJ_OK;
	snapshot_part_init(&part, store);
	rc = snapshot_part_find(&part, err);
	if (rc == MBJ_OK && snapshot_part_is_open(&part))
		snapshot_part_drop(&part);
	snapshot_part_close(&part);
	return rc;
}
