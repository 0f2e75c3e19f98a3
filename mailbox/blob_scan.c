/*
 * Which blobs there are, in order; see mbj/blob.h.
 *
 * Invariant: a scan holds the digests of one folder, and of as many in packs:
 * those with one first byte.
 *
 * Threads: see mbj/blob.h.
 */
#include <stdlib.h>

#include <mbj/check.h>

#include "blob_priv.h"

enum {
	FOLDER_NAMES_MAX = 64 << 20,
	FOLDER_DIGESTS_MAX = 32 << 20,
};

struct mbj_blobs_scan {
	struct mbj_blobs *blobs;
	unsigned folder;	/* the one that comes next */
	struct mbj_buf digests; /* ascending, none twice */
	size_t at;
};

/* Who is not the owner sees what there is now. */
static enum mbj_rc packs_now(struct mbj_blobs *blobs, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&blobs->mutex);
	if (!blobs->is_owner)
		rc = packs_look_again(blobs, true, err);
	pthread_mutex_unlock(&blobs->mutex);
	return rc;
}

enum mbj_rc mbj_blobs_scan_begin(struct mbj_blobs *blobs,
				 struct mbj_blobs_scan **ret_scan,
				 struct mbj_error *err)
{
	struct mbj_blobs_scan *scan;
	enum mbj_rc rc;

	MBJ_ASSERT(blobs != NULL);
	MBJ_ASSERT(ret_scan != NULL);
	scan = mbj_calloc(1, sizeof(*scan));
	if (scan == NULL)
		return mbj_error_nomem(err);
	scan->blobs = blobs;
	mbj_buf_init(&scan->digests, FOLDER_DIGESTS_MAX);
	rc = packs_now(blobs, err);
	if (rc == MBJ_OK)
		*ret_scan = scan;
	else
		mbj_blobs_scan_end(&scan);
	return rc;
}

void mbj_blobs_scan_end(struct mbj_blobs_scan **scan)
{
	if (scan == NULL || *scan == NULL)
		return;
	mbj_buf_done(&(*scan)->digests);
	mbj_free(*scan);
	*scan = NULL;
}

/* The digest of a file's name in a folder; false: it is no blob's. */
static bool name_parse(unsigned folder, const char *name,
		       struct mbj_hash *ret_digest)
{
	if (strlen(name) != MBJ_BLOB_TEXT_SIZE - 3)
		return false;
	ret_digest->b[0] = (uint8_t)folder;
	for (size_t i = 1; i < MBJ_HASH_SIZE; i++) {
		int high = blob_digit_value(name[2 * i - 2]);
		int low = blob_digit_value(name[2 * i - 1]);

		if (high < 0 || low < 0)
			return false;
		ret_digest->b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

/* The files of the next folder, none where it is not there. */
static enum mbj_rc files_fill(struct mbj_blobs_scan *scan,
			      struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, FOLDER_NAMES_MAX);
	rc = blob_folder_path(scan->blobs, scan->folder, path, err);
	if (rc == MBJ_OK)
		rc = mbj_dir_list(scan->blobs->sys, path, &names, err);
	if (rc == MBJ_ENOTFOUND) {
		mbj_buf_clear(&names);
		rc = MBJ_OK;
	}
	for (size_t at = 0; rc == MBJ_OK && at < names.n;) {
		const char *name = (const char *)names.p + at;
		struct mbj_hash digest;

		at += strlen(name) + 1;
		if (name_parse(scan->folder, name, &digest))
			mbj_buf_put(&scan->digests, digest.b, MBJ_HASH_SIZE);
	}
	mbj_buf_done(&names);
	return rc;
}

/* And those of packs. */
static enum mbj_rc packs_fill(struct mbj_blobs_scan *scan,
			      struct mbj_error *err)
{
	struct packs *packs = &scan->blobs->packs;
	enum mbj_rc rc = MBJ_OK;

	pthread_mutex_lock(&scan->blobs->mutex);
	for (size_t i = 0; rc == MBJ_OK && i < packs->count; i++) {
		struct pack *pack = packs->list[i];

		if (pack->is_missing)
			continue;
		rc = pack_load(scan->blobs, pack, err);
		for (size_t k = 0;
		     rc == MBJ_OK && !pack->is_missing && k < pack->count;
		     k++) {
			const struct pack_entry *entry = &pack->entries[k];

			if (entry->digest.b[0] == scan->folder &&
			    pack_entry_is_good(pack, entry))
				mbj_buf_put(&scan->digests, entry->digest.b,
					    MBJ_HASH_SIZE);
		}
	}
	pthread_mutex_unlock(&scan->blobs->mutex);
	return rc;
}

static int digest_compare(const void *a, const void *b)
{
	return memcmp(a, b, MBJ_HASH_SIZE);
}

/* In order, each once. */
static void digests_sort(struct mbj_buf *digests)
{
	size_t count = digests->n / MBJ_HASH_SIZE;
	size_t kept = 0;

	if (count == 0)
		return;
	qsort(digests->p, count, MBJ_HASH_SIZE, digest_compare);
	for (size_t i = 1; i < count; i++) {
		const uint8_t *next = digests->p + i * MBJ_HASH_SIZE;
		uint8_t *last = digests->p + kept * MBJ_HASH_SIZE;

		if (memcmp(last, next, MBJ_HASH_SIZE) == 0)
			continue;
		kept++;
		memmove(last + MBJ_HASH_SIZE, next, MBJ_HASH_SIZE);
	}
	digests->n = (kept + 1) * MBJ_HASH_SIZE;
}

static enum mbj_rc scan_fill(struct mbj_blobs_scan *scan, struct mbj_error *err)
{
	enum mbj_rc rc;

	mbj_buf_clear(&scan->digests);
	rc = files_fill(scan, err);
	if (rc == MBJ_OK)
		rc = packs_fill(scan, err);
	if (rc == MBJ_OK)
		rc = mbj_buf_ok(&scan->digests, err);
	if (rc < 0)
		return rc;
	digests_sort(&scan->digests);
	scan->folder++;
	scan->at = 0;
	return MBJ_OK;
}

enum mbj_rc mbj_blobs_scan_next(struct mbj_blobs_scan *scan,
				struct mbj_hash *ret_digest, bool *ret_is_there,
				struct mbj_error *err)
{
	MBJ_ASSERT(scan != NULL);
	MBJ_ASSERT(ret_digest != NULL && ret_is_there != NULL);
	while (scan->at == scan->digests.n) {
		enum mbj_rc rc;

		if (scan->folder == BLOB_FOLDERS) {
			*ret_is_there = false;
			return MBJ_OK;
		}
		rc = scan_fill(scan, err);
		if (rc < 0)
			return rc;
	}
	memcpy(ret_digest->b, scan->digests.p + scan->at, MBJ_HASH_SIZE);
	scan->at += MBJ_HASH_SIZE;
	*ret_is_there = true;
	return MBJ_OK;
}
