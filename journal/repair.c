/*
 * What is in a store's directory and belongs to nothing; see mbj/repair.h.
 *
 * First all of it is found, then what may go is removed, one finding after the
 * other and nothing else: not what a collection would reap first.
 *
 * Threads: the caller's, alone with the store.
 */
#include <string.h>
#include <sys/stat.h>

#include <mbj/blob.h>
#include <mbj/check.h>
#include <mbj/repair.h>
#include <mbj/service.h>
#include <mbj/skips.h>
#include <mbj/snapshot.h>

#include "log_impl.h"
#include "segment.h"
#include "splice_file.h"
#include "store_impl.h"

enum { FINDINGS_MAX = 1000000, NAMES_MAX = 64 << 20 };

#define REPAIR_ARENA_MAX ((size_t)1 << 30)

struct repairing {
	struct mbj_store *store;
	struct mbj_repair found;
	size_t capacity;
};

const char *mbj_repair_kind_name(enum mbj_repair_kind kind)
{
	static const char *const words[] = {
#define X(name, word) [MBJ_REPAIR_##name] = (word),
		MBJ_REPAIR_MAP(X)
#undef X
	};

	MBJ_ASSERT((size_t)kind < sizeof(words) / sizeof(words[0]));
	return words[kind];
}

/* ---------------------------------------------------------------- finding */

static enum mbj_rc finding_add(struct repairing *r, enum mbj_repair_kind kind,
			       const char *dir, const char *name,
			       const struct mbj_hash *blob,
			       struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	void *list = r->found.findings;
	struct mbj_bytes copy;
	enum mbj_rc rc = MBJ_OK;

	if (dir[0] != '\0')
		rc = mbj_path_join(path, dir, name, err);
	if (rc == MBJ_OK)
		rc = mbj_array_reserve(&list, &r->capacity, r->found.count + 1,
				       sizeof(*r->found.findings), FINDINGS_MAX,
				       err);
	r->found.findings = list;
	if (rc < 0)
		return rc;
	if (dir[0] != '\0')
		name = path;
	if (!mbj_arena_dup(r->found.arena,
			   mbj_bytes_make(name, strlen(name) + 1), &copy))
		return mbj_error_nomem(err);
	r->found.findings[r->found.count++] = (struct mbj_repair_finding){
		.kind = kind,
		.path = (const char *)copy.p,
		.blob = blob != NULL ? *blob : (struct mbj_hash){{0}},
	};
	return MBJ_OK;
}

/* A directory or a device by one of our names is nothing that we made. */
static bool is_removable(const struct repairing *r, const char *dir,
			 const char *name)
{
	const struct mbj_sys *sys = r->store->sys;
	char folder[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];
	mode_t mode;
	uid_t uid;

	return mbj_path_join(folder, r->store->dir, dir, NULL) == MBJ_OK &&
	       mbj_path_join(path, folder, name, NULL) == MBJ_OK &&
	       sys->stat(sys->ctx, path, &mode, &uid) == 0 &&
	       (S_ISREG(mode) || S_ISLNK(mode) || S_ISSOCK(mode));
}

static bool is_one_of(const char *name, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(name, words[i]) == 0)
			return true;
	return false;
}

/* What a name in the store's own directory is; -1: it belongs there. */
static int store_kind(const char *name)
{
	static const char *const known[] = {
		SUPERBLOCK_NAME,     STORE_LOCK_NAME,
		STORE_JOURNAL_NAME,  STORE_STATE_NAME,
		STORE_BLOBS_NAME,    STORE_SNAPSHOTS_NAME,
		STORE_BACKUP_NAME,   STORE_OLD_NAME,
		STORE_PART_NAME,     STORE_RESERVE_NAME,
		STORE_REPLICAS_NAME, STORE_IMAGE_NAME,
		STORE_AUDIT_NAME,    STORE_AUDIT_DAMAGED_NAME,
		STORE_SKIPS_NAME,    STORE_SKIPS_DAMAGED_NAME,
		STORE_APPLYING_NAME, MBJ_SERVICE_SOCKET};
	static const char *const coming[] = {SUPERBLOCK_NAME ".new",
					     STORE_BACKUP_NAME ".new",
					     STORE_AUDIT_NAME ".new",
					     STORE_SKIPS_NAME ".new",
					     MBJ_SERVICE_SOCKET ".new"};

	if (is_one_of(name, known, sizeof(known) / sizeof(known[0])))
		return -1;
	if (is_one_of(name, coming, sizeof(coming) / sizeof(coming[0])))
		return MBJ_REPAIR_LEFTOVER;
	return MBJ_REPAIR_STRANGER;
}

static int journal_kind(const char *name)
{
	struct mbj_lsn first;
	uint32_t number;

	if (strcmp(name, LOG_PUBLISHED_NAME) == 0 ||
	    strcmp(name, LOG_SUSPECT_NAME) == 0 ||
	    strcmp(name, LOG_MENDING_NAME) == 0 ||
	    segment_name_parse(name, &number, &first))
		return -1;
	if (strcmp(name, LOG_TEMP_NAME) == 0 || splice_name_is(name) ||
	    strcmp(name, LOG_PUBLISHED_NAME ".new") == 0 ||
	    strcmp(name, LOG_MENDING_NAME ".new") == 0)
		return MBJ_REPAIR_LEFTOVER;
	return MBJ_REPAIR_STRANGER;
}

static int snapshots_kind(const char *name)
{
	struct mbj_lsn lsn;

	if (mbj_snapshot_name_parse(name, &lsn))
		return -1;
	if (strcmp(name, MBJ_SNAPSHOT_TEMP_NAME) == 0 ||
	    mbj_snapshot_part_parse(name, &lsn))
		return MBJ_REPAIR_LEFTOVER;
	return MBJ_REPAIR_STRANGER;
}

/* Everything in it is on its way in. */
static int fresh_kind(const char *name)
{
	(void)name;
	return MBJ_REPAIR_LEFTOVER;
}

static enum mbj_rc dir_look(struct repairing *r, const char *dir,
			    int (*kind_of)(const char *name),
			    struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc = MBJ_OK;

	mbj_buf_init(&names, NAMES_MAX);
	if (dir[0] != '\0')
		rc = mbj_path_join(path, r->store->dir, dir, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_list(r->store->sys,
				  dir[0] != '\0' ? path : r->store->dir, &names,
				  err);
	/* Not every store has snapshots, or contents. */
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	for (const char *name = mbj_names_next(&names, NULL);
	     rc == MBJ_OK && name != NULL;
	     name = mbj_names_next(&names, name)) {
		int kind = kind_of(name);

		if (kind == MBJ_REPAIR_LEFTOVER && !is_removable(r, dir, name))
			kind = MBJ_REPAIR_STRANGER;
		if (kind >= 0)
			rc = finding_add(r, (enum mbj_repair_kind)kind, dir,
					 name, NULL, err);
	}
	mbj_buf_done(&names);
	return rc;
}

enum { BLOB_NAME_SIZE = 2 * MBJ_HASH_SIZE + 2 + sizeof(MBJ_BLOB_PACKED_END) };

static bool blob_name_exists(const struct repairing *r, const char *name)
{
	char folder[MBJ_PATH_TEXT_MAX], path[MBJ_PATH_TEXT_MAX];

	return mbj_path_join(folder, r->store->dir, STORE_BLOBS_NAME, NULL) <
		       0 ||
	       mbj_path_join(path, folder, name, NULL) < 0 ||
	       mbj_path_exists(r->store->sys, path);
}

/* Below the contents' folder. */
static void blob_name_print(const struct mbj_hash *blob, bool is_packed,
			    char name[BLOB_NAME_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; i < MBJ_HASH_SIZE; i++) {
		static const char digits[] = "0123456789abcdef";

		name[n++] = digits[blob->b[i] >> 4];
		name[n++] = digits[blob->b[i] & 15];
		if (i == 0)
			name[n++] = '/';
	}
	name[n] = '\0';
	if (is_packed)
		memcpy(name + n, MBJ_BLOB_PACKED_END,
		       sizeof(MBJ_BLOB_PACKED_END));
}

static enum mbj_rc orphan_add(struct repairing *r, const struct mbj_hash *blob,
			      struct mbj_error *err)
{
	char name[BLOB_NAME_SIZE];

	blob_name_print(blob, false, name);
	if (!blob_name_exists(r, name))
		blob_name_print(blob, true, name);
	return finding_add(r, MBJ_REPAIR_ORPHAN, STORE_BLOBS_NAME, name, blob,
			   err);
}

/* Both files are there: one is enough, if it is whole. */
static enum mbj_rc twin_look(struct repairing *r, const struct mbj_blobs *blobs,
			     const struct mbj_hash *blob, struct mbj_error *err)
{
	char name[BLOB_NAME_SIZE];
	bool is_spare, is_packed;
	enum mbj_rc rc;

	rc = mbj_blob_spare(blobs, blob, &is_spare, &is_packed, err);
	if (rc < 0 || !is_spare)
		return rc;
	blob_name_print(blob, is_packed, name);
	return finding_add(r, MBJ_REPAIR_TWIN, STORE_BLOBS_NAME, name, blob,
			   err);
}

static enum mbj_rc orphans_look(struct repairing *r, struct mbj_error *err)
{
	struct skip_contents given_up = {NULL, 0, 0};
	struct mbj_blobs_scan *scan = NULL;
	struct mbj_blobs *blobs = NULL;
	struct mbj_txn *txn = NULL;
	struct mbj_hash blob;
	uint64_t count, size;
	/* Where nothing is packed, a packed file is nobody's. */
	bool is_packing = r->store->superblock.contents_level > 0;
	bool is_there = true;
	enum mbj_rc rc;

	/* Read only: whoever owns contents sweeps what is on its way in. */
	rc = mbj_store_blobs_read(r->store->sys, r->store->dir, &blobs, err);
	if (rc == MBJ_OK)
		rc = skip_contents_load(r->store, &given_up, err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(r->store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_blobs_scan_begin(blobs, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_blobs_scan_next(scan, &blob, &is_there, err);
		if (rc < 0 || !is_there)
			break;
		rc = mbj_txn_blob_count(txn, &blob, &count, &size, err);
		if (rc < 0)
			break;
		if (count == 0 && !skip_contents_have(&given_up, &blob))
			rc = orphan_add(r, &blob, err);
		else if (is_packing && mbj_blobs_scan_is_twin(scan))
			rc = twin_look(r, blobs, &blob, err);
	}
	mbj_blobs_scan_end(&scan);
	mbj_txn_abort(&txn);
	mbj_blobs_close(&blobs);
	skip_contents_done(&given_up);
	return rc;
}

/* --------------------------------------------------------------- removing */

static enum mbj_rc finding_remove(struct repairing *r, struct mbj_blobs *blobs,
				  struct mbj_repair_finding *finding,
				  struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	if (finding->kind == MBJ_REPAIR_ORPHAN) {
		rc = mbj_blob_remove(blobs, &finding->blob, err);
	} else {
		rc = mbj_path_join(path, r->store->dir, finding->path, err);
		if (rc == MBJ_OK)
			rc = mbj_file_remove(r->store->sys, path, err);
	}
	/* Swept by the opening of contents. */
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	finding->is_removed = rc == MBJ_OK;
	return rc;
}

static enum mbj_rc findings_remove(struct repairing *r, struct mbj_error *err)
{
	struct mbj_blobs *blobs = NULL;
	enum mbj_rc rc = MBJ_OK;

	/* The store's own, asked for only where there is something to do. */
	for (size_t i = 0; rc == MBJ_OK && i < r->found.count; i++) {
		struct mbj_repair_finding *finding = &r->found.findings[i];

		if (finding->kind == MBJ_REPAIR_STRANGER)
			continue;
		if (finding->kind == MBJ_REPAIR_ORPHAN && blobs == NULL)
			rc = mbj_store_blobs(r->store, &blobs, err);
		if (rc == MBJ_OK)
			rc = finding_remove(r, blobs, finding, err);
	}
	return rc;
}

/* Where groups are to come that may need any content. */
static enum mbj_rc repair_refuse(struct mbj_store *store, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	/* A replica that has received nothing waits for nothing. */
	if (store->state == NULL)
		return MBJ_OK;
	rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = store_parked_refuse(store, txn, "repaired", err);
	mbj_txn_abort(&txn);
	return rc == MBJ_OK ? store_backup_refuse(store, "repaired", err) : rc;
}

/* One that is damaged must not be in the way for ever. */
static enum mbj_rc skips_mend(const struct mbj_store *store,
			      struct mbj_error *err)
{
	struct mbj_skips skips = {NULL, 0};
	enum mbj_rc rc = store_skips_load(store, &skips, err);

	mbj_skips_done(&skips);
	return rc;
}

enum mbj_rc mbj_store_repair(struct mbj_store *store, bool is_dry_run,
			     struct mbj_repair *ret_repair,
			     struct mbj_error *err)
{
	struct repairing r = {.store = store};
	enum mbj_rc rc = store_check(store, err);

	if (rc == MBJ_OK)
		rc = repair_refuse(store, err);
	if (rc == MBJ_OK && !is_dry_run)
		rc = skips_mend(store, err);
	if (rc == MBJ_OK)
		rc = mbj_arena_new(REPAIR_ARENA_MAX, &r.found.arena, err);
	if (rc == MBJ_OK)
		rc = dir_look(&r, "", store_kind, err);
	if (rc == MBJ_OK)
		rc = dir_look(&r, STORE_JOURNAL_NAME, journal_kind, err);
	if (rc == MBJ_OK)
		rc = dir_look(&r, STORE_SNAPSHOTS_NAME, snapshots_kind, err);
	if (rc == MBJ_OK)
		rc = dir_look(&r, STORE_BLOBS_NAME "/new", fresh_kind, err);
	/* A replica that has received nothing has no state and no contents. */
	if (rc == MBJ_OK && store->state != NULL)
		rc = orphans_look(&r, err);
	if (rc == MBJ_OK && !is_dry_run)
		rc = findings_remove(&r, err);
	*ret_repair = r.found;
	return rc;
}

void mbj_repair_done(struct mbj_repair *repair)
{
	mbj_free(repair->findings);
	mbj_arena_free(&repair->arena);
	*repair = (struct mbj_repair){.count = 0};
}
