/*
 * A table of hashes that children share.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fault_known.h"

enum { SLOTS = 1 << 20, SLOTS_USED_MAX = SLOTS / 4 * 3, PATHS_MAX = 4 };

struct table {
	uint64_t asked;
	uint64_t found;
	size_t used;
	struct mbj_hash slots[SLOTS]; /* all zero: free */
};

struct fault_known {
	struct mbj_sha256 *sha;
	struct table *table;
};

struct fault_known *fault_known_new(void)
{
	struct fault_known *known = calloc(1, sizeof(*known));

	ck_assert_ptr_nonnull(known);
	ck_assert_int_eq(mbj_sha256_new(&known->sha, NULL), MBJ_OK);
	known->table = mmap(NULL, sizeof(*known->table), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(known->table, MAP_FAILED);
	return known;
}

void fault_known_free(struct fault_known **known)
{
	if (*known == NULL)
		return;
	(void)munmap((*known)->table, sizeof(*(*known)->table));
	mbj_sha256_free(&(*known)->sha);
	free(*known);
	*known = NULL;
}

void fault_key_make(struct fault_known *known, struct disk *disk,
		    const char *const *paths, size_t count, const void *p,
		    size_t n, struct fault_key *ret_key)
{
	struct mbj_hash hashes[PATHS_MAX] = {{{0}}};
	struct mbj_bytes parts[2];
	enum mbj_rc rc;

	ck_assert_uint_le(count, PATHS_MAX);
	for (size_t i = 0; i < count; i++) {
		if (paths[i] != NULL)
			disk_hash(disk, paths[i], known->sha, &hashes[i]);
	}
	parts[0] = mbj_bytes_make(hashes, sizeof(hashes));
	parts[1] = mbj_bytes_make(p, n);
	rc = mbj_sha256_digest(known->sha, parts, 2, &ret_key->hash, NULL);
	ck_assert_int_eq(rc, MBJ_OK);
}

/* Where it is, or where it would be. */
static struct mbj_hash *slot_find(struct table *table,
				  const struct fault_key *key)
{
	static const struct mbj_hash none = {{0}};
	size_t at;

	memcpy(&at, key->hash.b, sizeof(at));
	for (;; at++) {
		struct mbj_hash *slot = &table->slots[at % SLOTS];

		if (memcmp(slot, &none, sizeof(none)) == 0 ||
		    memcmp(slot, &key->hash, sizeof(*slot)) == 0)
			return slot;
	}
}

bool fault_known_has(struct fault_known *known, const struct fault_key *key)
{
	struct table *table = known->table;
	bool is_known = memcmp(slot_find(table, key), &key->hash,
			       sizeof(key->hash)) == 0;

	table->asked++;
	table->found += is_known;
	return is_known;
}

void fault_known_add(struct fault_known *known, const struct fault_key *key)
{
	struct table *table = known->table;
	struct mbj_hash *slot = slot_find(table, key);

	if (table->used == SLOTS_USED_MAX ||
	    memcmp(slot, &key->hash, sizeof(*slot)) == 0)
		return;
	*slot = key->hash;
	table->used++;
}

uint64_t fault_known_asked(const struct fault_known *known)
{
	return known->table->asked;
}

uint64_t fault_known_found(const struct fault_known *known)
{
	return known->table->found;
}
