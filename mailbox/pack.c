/*
 * The set of packs: which there are, and their files, which are opened when
 * they are read; see pack.h.
 *
 * Not here: what is in them (pack_find.c).
 *
 * Invariants:
 *   1. the list ascends; a pack that left it lives as long as it is used;
 *   2. the file of a pack that is used stays open.
 *
 * Threads: see pack.h.
 */
#include <fcntl.h>
#include <stdio.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "blob_priv.h"

enum {
	PACKS_MAX = 1 << 20,
	PACK_NAMES_MAX = 64 << 20,
	PACK_FILES_MAX = 64, /* open at a time, but for those in use */
	PACK_TEXT_MAX = 24,
	PACK_DIGITS = 8,
};

/* ------------------------------------------------------------------- names */

enum mbj_rc pack_path(const struct mbj_blobs *blobs, uint32_t number,
		      bool is_index, char path[MBJ_PATH_TEXT_MAX],
		      struct mbj_error *err)
{
	char name[PACK_TEXT_MAX];

	(void)snprintf(name, sizeof(name), "%08x.%s", number,
		       is_index ? "index" : "pack");
	return mbj_path_join(path, blobs->packs.dir, name, err);
}

static bool name_is_leftover(const char *name)
{
	static const char end[] = ".index.new";
	size_t n = strlen(name);

	return n > sizeof(end) && strcmp(name + n + 1 - sizeof(end), end) == 0;
}

/* An index that was on its way when its owner died. */
static void leftover_remove(const struct mbj_blobs *blobs, const char *name)
{
	char path[MBJ_PATH_TEXT_MAX];

	if (blobs->is_owner && name_is_leftover(name) &&
	    mbj_path_join(path, blobs->packs.dir, name, NULL) == MBJ_OK)
		(void)blobs->sys->unlink(blobs->sys->ctx, path);
}

static bool name_parse(const char *name, uint32_t *ret_number,
		       bool *ret_is_index)
{
	uint32_t number = 0;

	for (size_t i = 0; i < PACK_DIGITS; i++) {
		int digit = blob_digit_value(name[i]);

		if (digit < 0)
			return false;
		number = number << 4 | (uint32_t)digit;
	}
	*ret_is_index = strcmp(name + PACK_DIGITS, ".index") == 0;
	*ret_number = number;
	return number > 0 &&
	       (*ret_is_index || strcmp(name + PACK_DIGITS, ".pack") == 0);
}

enum mbj_rc pack_damaged(const struct mbj_blobs *blobs, const struct pack *pack,
			 uint64_t at, const struct mbj_hash *digest,
			 const char *what, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	char text[MBJ_BLOB_TEXT_SIZE] = "content";
	enum mbj_rc rc;

	rc = pack_path(blobs, pack->number, false, path, err);
	if (rc < 0)
		return rc;
	if (digest != NULL)
		mbj_blob_print(digest, text);
	rc = mbj_error_set(err, MBJ_ECORRUPT, "%s at %llu: %s %s", path,
			   (unsigned long long)at, text, what);
	mbj_error_at(err, path, at, 0);
	return rc;
}

/* -------------------------------------------------------------- life cycle */

enum mbj_rc packs_init(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;

	packs->size_max = PACKS_SIZE_MAX;
	packs->count_max = PACKS_COUNT_MAX;
	packs->body_max = PACKS_BODY_MAX;
	packs->unsynced_max = PACKS_UNSYNCED_MAX;
	packs->index_step = PACKS_INDEX_STEP;
	packs->dead_min = PACKS_DEAD_MIN;
	mbj_buf_init(&packs->record, PACK_RECORD_SIZE + PACK_CONTENT_MAX);
	return mbj_path_join(packs->dir, blobs->dir, "packs", err);
}

static void pack_free(struct packs *packs, struct pack *pack)
{
	MBJ_ASSERT(pack->users == 0);
	packs->files -= pack->file.fd >= 0;
	mbj_file_close(&pack->file);
	pack_entries_done(pack);
	mbj_free(pack);
}

void packs_done(struct mbj_blobs *blobs)
{
	struct packs *packs = &blobs->packs;

	for (size_t i = 0; i < packs->count; i++)
		pack_free(packs, packs->list[i]);
	MBJ_ASSERT(packs->files == 0);
	mbj_free(packs->list);
	mbj_buf_done(&packs->record);
}

enum mbj_rc pack_new(struct mbj_blobs *blobs, uint32_t number,
		     struct pack **ret_pack, struct mbj_error *err)
{
	struct pack *pack = mbj_calloc(1, sizeof(*pack));
	enum mbj_rc rc;

	if (pack == NULL)
		return mbj_error_nomem(err);
	pack->number = number;
	pack->file = MBJ_FILE_CLOSED;
	pack->end = PACK_HEADER_SIZE;
	pack->synced = PACK_HEADER_SIZE;
	pack->indexed = PACK_HEADER_SIZE;
	pack->mark = PACK_HEADER_SIZE;
	mbj_table_init(&pack->table);
	rc = pack_path(blobs, number, false, pack->file.path, err);
	if (rc < 0) {
		mbj_free(pack);
		return rc;
	}
	*ret_pack = pack;
	return MBJ_OK;
}

enum mbj_rc packs_add(struct mbj_blobs *blobs, struct pack *pack,
		      struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	struct pack **list;

	if (packs->count == PACKS_MAX)
		return mbj_error_set(err, MBJ_ELIMIT, "%s has %d packs",
				     packs->dir, PACKS_MAX);
	list = mbj_realloc_array(packs->list, packs->count + 1, sizeof(void *));
	if (list == NULL)
		return mbj_error_nomem(err);
	MBJ_ASSERT(packs->count == 0 ||
		   list[packs->count - 1]->number < pack->number);
	list[packs->count++] = pack;
	packs->list = list;
	if (pack->number > packs->number_max)
		packs->number_max = pack->number;
	return MBJ_OK;
}

static void pack_leave(struct mbj_blobs *blobs, struct pack *pack)
{
	MBJ_ASSERT(pack != NULL);
	if (blobs->packs.open == pack)
		blobs->packs.open = NULL;
	pack->is_dropped = true;
	if (pack->users == 0)
		pack_free(&blobs->packs, pack);
}

void packs_drop(struct mbj_blobs *blobs, struct pack *pack)
{
	struct packs *packs = &blobs->packs;
	size_t at = 0;

	while (packs->list[at] != pack)
		at++;
	memmove(&packs->list[at], &packs->list[at + 1],
		(packs->count - at - 1) * sizeof(void *));
	packs->count--;
	pack_leave(blobs, pack);
}

/* ----------------------------------------------------------------- listing */

/* Packs as they are listed, taken from the old list where they were there. */
struct listing {
	struct pack **list;
	size_t count;
	size_t capacity;
	size_t old; /* the first one of the old list not passed */
};

static enum mbj_rc listing_pack(struct mbj_blobs *blobs,
				struct listing *listing, uint32_t number,
				struct pack **ret_pack, struct mbj_error *err)
{
	struct packs *packs = &blobs->packs;
	struct pack *pack = NULL;
	enum mbj_rc rc;

	if (listing->count > 0 &&
	    listing->list[listing->count - 1]->number == number) {
		*ret_pack = listing->list[listing->count - 1];
		return MBJ_OK;
	}
	rc = mbj_array_reserve((void **)&listing->list, &listing->capacity,
			       listing->count + 1, sizeof(void *), PACKS_MAX,
			       err);
	if (rc < 0)
		return rc;
	while (listing->old < packs->count &&
	       packs->list[listing->old]->number < number)
		listing->old++;
	if (listing->old < packs->count &&
	    packs->list[listing->old]->number == number)
		pack = packs->list[listing->old];
	else
		rc = pack_new(blobs, number, &pack, err);
	if (rc < 0)
		return rc;
	pack->is_seen = false;
	listing->list[listing->count++] = pack;
	*ret_pack = pack;
	return MBJ_OK;
}

static bool list_has(struct pack *const *list, size_t count,
		     const struct pack *pack)
{
	size_t from = 0, to = count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (list[middle]->number < pack->number)
			from = middle + 1;
		else
			to = middle;
	}
	return from < count && list[from] == pack;
}

/* The one list becomes the other; who is in the first alone leaves. */
static void listing_take(struct mbj_blobs *blobs, struct listing *listing)
{
	struct packs *packs = &blobs->packs;
	struct pack **old = packs->list;
	size_t count = packs->count;

	packs->list = listing->list;
	packs->count = listing->count;
	if (packs->count > 0 &&
	    packs->list[packs->count - 1]->number > packs->number_max)
		packs->number_max = packs->list[packs->count - 1]->number;
	for (size_t i = 0; i < packs->count; i++)
		packs->list[i]->is_missing = !packs->list[i]->is_seen;
	for (size_t i = 0; i < count; i++)
		if (!list_has(packs->list, packs->count, old[i]))
			pack_leave(blobs, old[i]);
	mbj_free(old);
	packs->is_listed = true;
}

static void listing_undo(struct mbj_blobs *blobs, struct listing *listing)
{
	struct packs *packs = &blobs->packs;

	for (size_t i = 0; i < listing->count; i++)
		if (!list_has(packs->list, packs->count, listing->list[i]))
			pack_free(packs, listing->list[i]);
	mbj_free(listing->list);
}

enum mbj_rc packs_list(struct mbj_blobs *blobs, struct mbj_error *err)
{
	struct listing listing = {NULL, 0, 0, 0};
	struct mbj_buf names;
	enum mbj_rc rc;

	mbj_buf_init(&names, PACK_NAMES_MAX);
	rc = mbj_dir_list(blobs->sys, blobs->packs.dir, &names, err);
	if (rc == MBJ_ENOTFOUND) {
		mbj_buf_clear(&names);
		rc = MBJ_OK;
	}
	for (size_t at = 0; rc == MBJ_OK && at < names.n;) {
		const char *name = (const char *)names.p + at;
		struct pack *pack = NULL;
		uint32_t number;
		bool is_index;

		at += strlen(name) + 1;
		if (!name_parse(name, &number, &is_index)) {
			leftover_remove(blobs, name);
			continue;
		}
		rc = listing_pack(blobs, &listing, number, &pack, err);
		if (rc < 0)
			break;
		pack->is_seen |= !is_index;
	}
	mbj_buf_done(&names);
	if (rc == MBJ_OK)
		listing_take(blobs, &listing);
	else
		listing_undo(blobs, &listing);
	return rc;
}

/* ------------------------------------------------------------------- files */

/* Room for one more open file, where there is one to be closed. */
static void files_bound(struct packs *packs)
{
	for (size_t i = 0; packs->files >= PACK_FILES_MAX && i < packs->count;
	     i++) {
		struct pack *pack = packs->list[i];

		if (pack->file.fd < 0 || pack->users > 0 || pack == packs->open)
			continue;
		mbj_file_close(&pack->file);
		pack->file.fd = -1;
		packs->files--;
	}
}

enum mbj_rc pack_use(struct mbj_blobs *blobs, struct pack *pack,
		     struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	if (pack->file.fd < 0) {
		files_bound(&blobs->packs);
		rc = mbj_file_open(blobs->sys, pack->file.path,
				   (blobs->is_owner ? O_RDWR : O_RDONLY) |
					   O_NOFOLLOW,
				   &pack->file, err);
		blobs->packs.files += rc == MBJ_OK;
	}
	pack->users += rc == MBJ_OK;
	return rc;
}

void pack_unuse(struct mbj_blobs *blobs, struct pack *pack)
{
	MBJ_ASSERT(pack->users > 0);
	pack->users--;
	if (pack->users == 0 && pack->is_dropped)
		pack_free(&blobs->packs, pack);
}
