/*
 * The superblock's bytes, and its file.  The layout is in superblock.h.
 *
 * Not here: what the fields mean to opening, promoting or streaming.
 *
 * Invariants:
 *   1. what _encode writes, _decode accepts and gives back;
 *   2. a record is judged in the order magic, size, checksum, version, flags,
 *      values, so that each message is about the first thing that is wrong.
 *
 * Threads: see superblock.h.
 */
#include "superblock.h"

#include <sys/stat.h>

#include <mbj/check.h>
#include <mbj/codec.h>
#include <mbj/hash.h>

static const char superblock_magic[8] = {'M', 'B', 'J', 'S',
					 'T', 'O', 'R', 'E'};

enum {
	SUPERBLOCK_VERSION = 1,
	INCOMPATIBLE_RESTORING = 1,
	INCOMPATIBLE_PACKED = 2,
	INCOMPATIBLE_KNOWN = INCOMPATIBLE_RESTORING | INCOMPATIBLE_PACKED,
	OFFSET_VERSION = 8,
	OFFSET_SIZE = 12,
	OFFSET_COMPATIBLE = 16,
	OFFSET_INCOMPATIBLE = 20,
	OFFSET_ROLE = 24,
	OFFSET_CONTENTS_LEVEL = 28,
	OFFSET_LINEAGE = 32,
	OFFSET_INSTANCE = 48,
	OFFSET_EPOCH = 64,
	OFFSET_EPOCH_OWNER = 72,
	OFFSET_ANCHOR_FIRST = 88,
	OFFSET_ANCHOR_CHAIN = 96,
	OFFSET_ZERO = 128,
	OFFSET_CRC = SUPERBLOCK_SIZE - 4,
	HEAD_SIZE = 16, /* what all versions share, but the checksum */
};

_Static_assert(OFFSET_ANCHOR_CHAIN + MBJ_HASH_SIZE == OFFSET_ZERO,
	       "fields are back to back");

void superblock_encode(const struct superblock *superblock,
		       uint8_t bytes[SUPERBLOCK_SIZE])
{
	const struct mbj_identity *id = &superblock->identity;

	MBJ_ASSERT(!mbj_id_is_reserved(id->instance));
	MBJ_ASSERT(id->role == MBJ_STORE_REPLICA ||
		   !mbj_id_is_root(id->lineage));
	memset(bytes, 0, SUPERBLOCK_SIZE);
	memcpy(bytes, superblock_magic, sizeof(superblock_magic));
	mbj_store_u32(bytes + OFFSET_VERSION, SUPERBLOCK_VERSION);
	mbj_store_u32(bytes + OFFSET_SIZE, SUPERBLOCK_SIZE);
	mbj_store_u32(bytes + OFFSET_COMPATIBLE, superblock->compatible);
	mbj_store_u32(bytes + OFFSET_INCOMPATIBLE,
		      (superblock->is_restoring ? INCOMPATIBLE_RESTORING : 0u) |
			      (superblock->contents_level > 0
				       ? INCOMPATIBLE_PACKED
				       : 0u));
	mbj_store_u32(bytes + OFFSET_CONTENTS_LEVEL,
		      superblock->contents_level);
	mbj_store_u32(bytes + OFFSET_ROLE, (uint32_t)id->role);
	memcpy(bytes + OFFSET_LINEAGE, id->lineage.b, MBJ_ID_SIZE);
	memcpy(bytes + OFFSET_INSTANCE, id->instance.b, MBJ_ID_SIZE);
	mbj_store_u64(bytes + OFFSET_EPOCH, id->epoch.v);
	memcpy(bytes + OFFSET_EPOCH_OWNER, id->epoch_owner.b, MBJ_ID_SIZE);
	mbj_store_u64(bytes + OFFSET_ANCHOR_FIRST, id->anchor.first.v);
	memcpy(bytes + OFFSET_ANCHOR_CHAIN, id->anchor.chain.b, MBJ_HASH_SIZE);
	mbj_store_u32(bytes + OFFSET_CRC,
		      mbj_crc32c(0, mbj_bytes_make(bytes, OFFSET_CRC)));
}

/* Magic, size and checksum: are these the bytes that some version wrote? */
static enum mbj_rc bytes_check(struct mbj_bytes bytes, struct mbj_error *err)
{
	uint32_t size;
	uint32_t crc;

	if (bytes.n < HEAD_SIZE ||
	    memcmp(bytes.p, superblock_magic, sizeof(superblock_magic)) != 0)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "not the superblock of a store, or "
				     "damaged from its first bytes on");
	size = mbj_load_u32(bytes.p + OFFSET_SIZE);
	if (size != bytes.n || size < HEAD_SIZE + 4)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the superblock is damaged: it has %zu "
				     "bytes and says %u",
				     bytes.n, size);
	crc = mbj_crc32c(0, mbj_bytes_make(bytes.p, bytes.n - 4));
	if (crc != mbj_load_u32(bytes.p + bytes.n - 4))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the superblock is damaged: its checksum "
				     "does not match");
	return MBJ_OK;
}

/* Whole bytes of some version: of one that this program understands? */
static enum mbj_rc version_check(struct mbj_bytes bytes, struct mbj_error *err)
{
	uint32_t version = mbj_load_u32(bytes.p + OFFSET_VERSION);
	uint32_t flags;

	if (version != SUPERBLOCK_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the store has format %u, this program "
				     "knows format %d: use a newer one",
				     version, SUPERBLOCK_VERSION);
	if (bytes.n != SUPERBLOCK_SIZE)
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the superblock has %zu bytes instead of "
				     "%d",
				     bytes.n, SUPERBLOCK_SIZE);
	flags = mbj_load_u32(bytes.p + OFFSET_INCOMPATIBLE);
	if ((flags & ~(uint32_t)INCOMPATIBLE_KNOWN) != 0)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "the store uses features 0x%x that this "
				     "program does not know: use a newer one",
				     flags);
	return MBJ_OK;
}

/* Values that no version of ours writes together. */
static bool identity_is_sane(const struct mbj_identity *id)
{
	bool is_adopted = !mbj_id_is_root(id->lineage);

	if (id->role != MBJ_STORE_PRIMARY && id->role != MBJ_STORE_REPLICA)
		return false;
	if (mbj_id_is_reserved(id->instance) || mbj_id_is_temp(id->lineage))
		return false;
	if (!is_adopted)
		return id->role == MBJ_STORE_REPLICA;
	return id->epoch.v > 0 && id->anchor.first.v > 0 &&
	       !mbj_id_is_reserved(id->epoch_owner);
}

/* The features that this program knows; false: values that cannot be. */
static bool features_decode(const uint8_t *p, struct superblock *superblock)
{
	uint32_t flags = mbj_load_u32(p + OFFSET_INCOMPATIBLE);
	uint32_t level = mbj_load_u32(p + OFFSET_CONTENTS_LEVEL);
	bool is_packed = (flags & INCOMPATIBLE_PACKED) != 0;

	superblock->is_restoring = (flags & INCOMPATIBLE_RESTORING) != 0;
	superblock->contents_level = is_packed ? level : 0;
	if (is_packed && (level == 0 || level > MBJ_PACK_LEVEL_MAX))
		return false;
	/* A restore makes a replica, and settles the role last. */
	return !superblock->is_restoring ||
	       superblock->identity.role == MBJ_STORE_REPLICA;
}

static void identity_decode(const uint8_t *p, struct mbj_identity *ret_id)
{
	ret_id->role = (enum mbj_store_role)mbj_load_u32(p + OFFSET_ROLE);
	memcpy(ret_id->lineage.b, p + OFFSET_LINEAGE, MBJ_ID_SIZE);
	memcpy(ret_id->instance.b, p + OFFSET_INSTANCE, MBJ_ID_SIZE);
	ret_id->epoch.v = mbj_load_u64(p + OFFSET_EPOCH);
	memcpy(ret_id->epoch_owner.b, p + OFFSET_EPOCH_OWNER, MBJ_ID_SIZE);
	ret_id->anchor.first.v = mbj_load_u64(p + OFFSET_ANCHOR_FIRST);
	memcpy(ret_id->anchor.chain.b, p + OFFSET_ANCHOR_CHAIN, MBJ_HASH_SIZE);
}

enum mbj_rc superblock_decode(struct mbj_bytes bytes, const char *path,
			      struct superblock *ret_superblock,
			      struct mbj_error *err)
{
	struct superblock superblock;
	enum mbj_rc rc;

	rc = bytes_check(bytes, err);
	if (rc == MBJ_OK)
		rc = version_check(bytes, err);
	if (rc == MBJ_OK) {
		identity_decode(bytes.p, &superblock.identity);
		superblock.compatible =
			mbj_load_u32(bytes.p + OFFSET_COMPATIBLE);
		if (!identity_is_sane(&superblock.identity) ||
		    !features_decode(bytes.p, &superblock))
			rc = mbj_error_set(err, MBJ_ECORRUPT,
					   "the superblock has values that "
					   "cannot be");
	}
	if (rc < 0) {
		mbj_error_at(err, path, 0, 0);
		return mbj_error_prefix(err, rc, "%s", path);
	}
	*ret_superblock = superblock;
	return MBJ_OK;
}

enum mbj_rc store_missing(const struct mbj_sys *sys, const char *dir,
			  struct mbj_error *err)
{
	mode_t mode = 0;
	uid_t uid = 0;

	if (sys->stat(sys->ctx, dir, &mode, &uid) == 0 && S_ISSOCK(mode))
		return mbj_error_set(err, MBJ_ENOTFOUND,
				     "%s is a socket, and no store: name the "
				     "directory of the store that is served "
				     "there",
				     dir);
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "%s is not a store (make one with init)%s", dir,
			     mbj_path_exists(sys, dir)
				     ? ""
				     : ", nor the socket of a service that "
				       "runs: nothing is there");
}

enum mbj_rc superblock_load(const struct mbj_sys *sys, const char *dir,
			    struct superblock *ret_superblock,
			    struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf bytes;
	enum mbj_rc rc;

	rc = mbj_path_join(path, dir, SUPERBLOCK_NAME, err);
	if (rc < 0)
		return rc;
	mbj_buf_init(&bytes, SUPERBLOCK_SIZE_MAX);
	rc = mbj_file_load(sys, path, SUPERBLOCK_SIZE_MAX, &bytes, err);
	/* A file in the directory's place has nothing below it, either. */
	if (rc < 0 && !mbj_path_exists(sys, path))
		rc = MBJ_ENOTFOUND;
	if (rc == MBJ_ENOTFOUND)
		rc = store_missing(sys, dir, err);
	else if (rc == MBJ_ELIMIT)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "%s: too long for the superblock of a "
				   "store",
				   path);
	if (rc == MBJ_OK)
		rc = superblock_decode(mbj_buf_view(&bytes), path,
				       ret_superblock, err);
	mbj_buf_done(&bytes);
	return rc;
}

enum mbj_rc superblock_save(const struct mbj_sys *sys, const char *dir,
			    const char *name,
			    const struct superblock *superblock,
			    struct mbj_error *err)
{
	uint8_t bytes[SUPERBLOCK_SIZE];
	struct superblock check;
	enum mbj_rc rc;

	superblock_encode(superblock, bytes);
	rc = superblock_decode(mbj_bytes_make(bytes, sizeof(bytes)), dir,
			       &check, NULL);
	MBJ_ASSERT(rc == MBJ_OK);
	return mbj_file_replace(sys, dir, name,
				mbj_bytes_make(bytes, sizeof(bytes)), err);
}

enum mbj_rc superblock_journal_fault(const struct mbj_sys *sys, const char *dir,
				     const char *journal_dir, enum mbj_rc rc,
				     struct mbj_error *err)
{
	MBJ_ASSERT(rc < 0);
	if (mbj_path_exists(sys, journal_dir))
		return rc;
	return mbj_error_set(
		err, MBJ_ENOTFOUND,
		"%s is not a whole store, it has no journal "
		"(make one with init, or this one again with restore or "
		"clone)",
		dir);
}
