/*
 * Groups that were given up: one small file, replaced as a whole.
 *
 *	 0  8  magic "MBJSKIPS"
 *	 8  4  format version, 1
 *	12  4  entries
 *	16     the entries: account 16, LSN 8, epoch 8, 1 where done here 1
 *	       CRC32C of all before
 */
#include <mbj/skips.h>

#include <string.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

#include "store_impl.h"

static const char skips_magic[8] = {'M', 'B', 'J', 'S', 'K', 'I', 'P', 'S'};

enum {
	SKIPS_VERSION = 1,
	SKIPS_HEAD_SIZE = 16,
	SKIP_SIZE = MBJ_ID_SIZE + 8 + 8 + 1,
	SKIPS_SIZE_MAX = SKIPS_HEAD_SIZE + MBJ_SKIPS_MAX * SKIP_SIZE + 4,
};

static enum mbj_rc damaged(const char *path, struct mbj_error *err)
{
	(void)mbj_error_set(err, MBJ_ECORRUPT,
			    "%s, the record of groups that were given up, is "
			    "damaged",
			    path);
	mbj_error_at(err, path, 0, 0);
	return MBJ_ECORRUPT;
}

static enum mbj_rc skips_decode(struct mbj_bytes bytes, const char *path,
				struct mbj_skips *skips, struct mbj_error *err)
{
	struct mbj_reader reader;
	uint32_t version;
	uint32_t count;

	if (bytes.n < SKIPS_HEAD_SIZE + 4 ||
	    memcmp(bytes.p, skips_magic, sizeof(skips_magic)) != 0 ||
	    mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - 4)) !=
		    mbj_load_u32(bytes.p + bytes.n - 4))
		return damaged(path, err);
	version = mbj_load_u32(bytes.p + 8);
	if (version != SKIPS_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "%s has format %u, this program knows "
				     "format %d: use a newer one",
				     path, version, SKIPS_VERSION);
	count = mbj_load_u32(bytes.p + 12);
	if (bytes.n != SKIPS_HEAD_SIZE + (size_t)count * SKIP_SIZE + 4)
		return damaged(path, err);
	if (count == 0)
		return MBJ_OK;
	skips->items = mbj_calloc(count, sizeof(*skips->items));
	if (skips->items == NULL)
		return mbj_error_nomem(err);
	mbj_reader_init(&reader, mbj_bytes_make(bytes.p + SKIPS_HEAD_SIZE,
						bytes.n - SKIPS_HEAD_SIZE - 4));
	for (skips->count = 0; skips->count < count; skips->count++) {
		struct mbj_skip *skip = &skips->items[skips->count];

		skip->account = mbj_read_id(&reader);
		skip->lsn.v = mbj_read_u64(&reader);
		skip->epoch.v = mbj_read_u64(&reader);
		skip->is_done = mbj_read_u8(&reader) != 0;
	}
	return MBJ_OK;
}

enum mbj_rc mbj_skips_load(const struct mbj_sys *sys, const char *dir,
			   struct mbj_skips *ret_skips, struct mbj_error *err)
{
	struct mbj_skips skips = {NULL, 0};
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	struct mbj_buf bytes;
	enum mbj_rc rc;

	mbj_buf_init(&bytes, SKIPS_SIZE_MAX);
	rc = mbj_path_join(path, dir, STORE_SKIPS_NAME, &why);
	if (rc == MBJ_OK)
		rc = mbj_file_load(sys, path, SKIPS_SIZE_MAX, &bytes, &why);
	if (rc == MBJ_OK)
		rc = skips_decode(mbj_buf_view(&bytes), path, &skips, &why);
	else if (rc == MBJ_ELIMIT)
		rc = damaged(path, &why);
	mbj_buf_done(&bytes);
	if (rc == MBJ_ENOTFOUND)
		rc = MBJ_OK;
	if (rc == MBJ_OK)
		*ret_skips = skips;
	else if (err != NULL)
		*err = why;
	return rc;
}

void mbj_skips_done(struct mbj_skips *skips)
{
	mbj_free(skips->items);
	*skips = (struct mbj_skips){NULL, 0};
}

static struct mbj_skip *skip_find(const struct mbj_skips *skips,
				  struct mbj_skip skip)
{
	for (size_t i = 0; i < skips->count; i++) {
		struct mbj_skip *s = &skips->items[i];

		if (mbj_id_equal(s->account, skip.account) &&
		    s->lsn.v == skip.lsn.v && s->epoch.v == skip.epoch.v)
			return s;
	}
	return NULL;
}

bool mbj_skips_have(const struct mbj_skips *skips, struct mbj_skip skip)
{
	return skip_find(skips, skip) != NULL;
}

bool mbj_skips_name(const struct mbj_skips *skips, struct mbj_id account)
{
	for (size_t i = 0; i < skips->count; i++)
		if (mbj_id_equal(skips->items[i].account, account))
			return true;
	return false;
}

/* ---------------------------------------------------------------- writing */

enum mbj_rc store_skips_load(const struct mbj_store *store,
			     struct mbj_skips *skips, struct mbj_error *err)
{
	char from[MBJ_PATH_TEXT_MAX];
	char to[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;
	enum mbj_rc rc;

	*skips = (struct mbj_skips){NULL, 0};
	rc = mbj_skips_load(store->sys, store->dir, skips, &why);
	if (rc != MBJ_ECORRUPT) {
		if (rc < 0 && err != NULL)
			*err = why;
		return rc;
	}
	rc = mbj_path_join(from, store->dir, STORE_SKIPS_NAME, err);
	if (rc == MBJ_OK)
		rc = mbj_path_join(to, store->dir, STORE_SKIPS_DAMAGED_NAME,
				   err);
	return rc == MBJ_OK ? mbj_file_rename(store->sys, from, to, err) : rc;
}

/* Those that are of use still. */
static size_t skips_prune(struct mbj_skips *skips, struct mbj_lsn first)
{
	size_t kept = 0;

	for (size_t i = 0; i < skips->count; i++)
		if (skips->items[i].lsn.v >= first.v)
			skips->items[kept++] = skips->items[i];
	skips->count = kept;
	return kept;
}

static enum mbj_rc skips_save(struct mbj_store *store, struct mbj_skips *skips,
			      struct mbj_error *err)
{
	struct mbj_buf file;
	enum mbj_rc rc;

	if (skips_prune(skips, mbj_store_identity_copy(store).anchor.first) >
	    MBJ_SKIPS_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "%s: %d groups were given up: resync "
				     "accounts, or make a new replica",
				     store->dir, MBJ_SKIPS_MAX);
	mbj_buf_init(&file, SKIPS_SIZE_MAX);
	mbj_buf_put(&file, skips_magic, sizeof(skips_magic));
	mbj_buf_put_u32(&file, SKIPS_VERSION);
	mbj_buf_put_u32(&file, (uint32_t)skips->count);
	for (size_t i = 0; i < skips->count; i++) {
		mbj_buf_put_id(&file, skips->items[i].account);
		mbj_buf_put_u64(&file, skips->items[i].lsn.v);
		mbj_buf_put_u64(&file, skips->items[i].epoch.v);
		mbj_buf_put_u8(&file, skips->items[i].is_done);
	}
	mbj_buf_put_u32(&file, mbj_crc32c(0, mbj_buf_view(&file)));
	rc = mbj_buf_ok(&file, err);
	if (rc == MBJ_OK)
		rc = mbj_file_replace(store->sys, store->dir, STORE_SKIPS_NAME,
				      mbj_buf_view(&file), err);
	mbj_buf_done(&file);
	return rc;
}

static enum mbj_rc skips_put(struct mbj_skips *skips, struct mbj_skip skip,
			     struct mbj_error *err)
{
	void *items = skips->items;
	size_t capacity = skips->count;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&items, &capacity, skips->count + 1,
			       sizeof(*skips->items), 2 * MBJ_SKIPS_MAX, err);
	skips->items = items;
	if (rc == MBJ_OK)
		skips->items[skips->count++] = skip;
	return rc;
}

enum mbj_rc mbj_skips_add(struct mbj_store *store, struct mbj_skip skip,
			  struct mbj_error *err)
{
	struct mbj_skips skips;
	struct mbj_skip *known;
	bool is_news = true;
	enum mbj_rc rc = store_skips_load(store, &skips, err);

	known = skip_find(&skips, skip);
	if (rc == MBJ_OK && known == NULL) {
		rc = skips_put(&skips, skip, err);
	} else if (rc == MBJ_OK) {
		is_news = skip.is_done && !known->is_done;
		known->is_done |= skip.is_done;
	}
	if (rc == MBJ_OK && is_news)
		rc = skips_save(store, &skips, err);
	mbj_skips_done(&skips);
	return rc;
}

enum mbj_rc mbj_skips_drop(struct mbj_store *store, struct mbj_id account,
			   struct mbj_error *err)
{
	struct mbj_skips skips;
	size_t kept = 0;
	enum mbj_rc rc = store_skips_load(store, &skips, err);

	for (size_t i = 0; rc == MBJ_OK && i < skips.count; i++)
		if (!mbj_id_equal(skips.items[i].account, account))
			skips.items[kept++] = skips.items[i];
	if (rc == MBJ_OK && kept < skips.count) {
		skips.count = kept;
		rc = skips_save(store, &skips, err);
	}
	mbj_skips_done(&skips);
	return rc;
}

enum mbj_rc mbj_skips_adopt(struct mbj_store *store, const char *source,
			    struct mbj_error *err)
{
	struct mbj_skips theirs = {NULL, 0};
	struct mbj_skips ours;
	enum mbj_rc rc = store_skips_load(store, &ours, err);
	size_t before = ours.count;

	if (rc == MBJ_OK)
		(void)!mbj_skips_load(store->sys, source, &theirs, NULL);
	for (size_t i = 0; rc == MBJ_OK && i < theirs.count; i++) {
		theirs.items[i].is_done = false;
		if (!mbj_skips_have(&ours, theirs.items[i]))
			rc = skips_put(&ours, theirs.items[i], err);
	}
	if (rc == MBJ_OK && ours.count > before)
		rc = skips_save(store, &ours, err);
	mbj_skips_done(&theirs);
	mbj_skips_done(&ours);
	return rc;
}
