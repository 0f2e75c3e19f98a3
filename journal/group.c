/*
 * Taking a group record apart: docs/FORMAT.md section "Group record".
 *
 * Not here: building one (group_writer.c), where it lies (log_reader.c).
 *
 * Invariants:
 *   1. total over arbitrary bytes: a size is judged before it is used, and
 *      nothing is allocated;
 *   2. the header is judged in the order magic, sizes, checksum, version,
 *      flags, values, so that "newer" is told from "damaged";
 *   3. what passes has exactly the bytes that the writer would give it, but
 *      for the compatible flags of later versions.
 *
 * Threads: pure; a struct mbj_sha256 belongs to one thread.
 */
#include "group_record.h"

#include <mbj/check.h>

#include "op_table.h"

_Static_assert(GROUP_HEADER_SIZE_MIN % GROUP_ALIGN == 0, "bodies are aligned");
_Static_assert(GROUP_ACCOUNT_SIZE % GROUP_ALIGN == 0, "bodies are aligned");
_Static_assert(GROUP_ACCOUNT_OFFSET_DIGEST + MBJ_DIGEST_SIZE ==
		       GROUP_ACCOUNT_SIZE,
	       "the digest comes last");

enum { FLAGS_INCOMPATIBLE_SHIFT = 16 };

const char *mbj_origin_name(enum mbj_origin origin)
{
	switch (origin) {
#define X(name, number, word)   \
	case MBJ_ORIGIN_##name: \
		return word;
		MBJ_ORIGIN_MAP(X)
#undef X
	}
	return NULL;
}

bool group_size_peek(struct mbj_bytes b, uint32_t *ret_header_size,
		     uint64_t *ret_record_size)
{
	uint32_t header_size, body_size;
	uint64_t size;

	MBJ_ASSERT(b.n >= GROUP_HEADER_SIZE_MIN);
	if (memcmp(b.p, GROUP_MAGIC, GROUP_OFFSET_CRC) != 0)
		return false;
	header_size = mbj_load_u32(b.p + GROUP_OFFSET_HEADER_SIZE);
	body_size = mbj_load_u32(b.p + GROUP_OFFSET_BODY_SIZE);
	if (header_size < GROUP_HEADER_SIZE_MIN ||
	    header_size % GROUP_ALIGN != 0)
		return false;
	size = group_record_size(header_size, body_size);
	if (size > MBJ_GROUP_MAX)
		return false;
	*ret_header_size = header_size;
	*ret_record_size = size;
	return true;
}

static enum mbj_rc short_record(struct mbj_bytes b, uint64_t size,
				struct mbj_error *err)
{
	return mbj_error_set(err, MBJ_ENOTFOUND,
			     "only %zu of at least %llu bytes of a group are "
			     "here",
			     b.n, (unsigned long long)size);
}

/* From magic to checksum: did some version of ours write this header? */
static enum mbj_rc header_find(struct mbj_bytes b, uint32_t *ret_header_size,
			       struct mbj_error *err)
{
	uint32_t header_size = 0;
	uint64_t size = 0;
	uint32_t crc;

	if (b.n < GROUP_HEADER_SIZE_MIN)
		return short_record(b, GROUP_HEADER_SIZE_MIN, err);
	if (!group_size_peek(b, &header_size, &size))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "not a group record, or damaged in its "
				     "first bytes");
	if (b.n < header_size)
		return short_record(b, size, err);
	crc = mbj_crc32c(0, mbj_bytes_make(b.p + GROUP_OFFSET_HEADER_SIZE,
					   header_size -
						   GROUP_OFFSET_HEADER_SIZE));
	if (crc != mbj_load_u32(b.p + GROUP_OFFSET_CRC))
		return mbj_error_set(err, MBJ_ECORRUPT,
				     "the header of a group is damaged: its "
				     "checksum does not match");
	*ret_header_size = header_size;
	return MBJ_OK;
}

/* A whole header of some version: one that this program understands? */
static enum mbj_rc version_check(const uint8_t *p, struct mbj_error *err)
{
	uint16_t version = mbj_load_u16(p + GROUP_OFFSET_VERSION);
	uint32_t flags = mbj_load_u32(p + GROUP_OFFSET_FLAGS);
	uint32_t unknown = (flags >> FLAGS_INCOMPATIBLE_SHIFT) &
			   ~(uint32_t)GROUP_FLAGS_INCOMPATIBLE_KNOWN;

	if (version != GROUP_VERSION)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "a group has format %u, this program "
				     "knows format %d: use a newer one",
				     version, GROUP_VERSION);
	if (unknown != 0)
		return mbj_error_set(err, MBJ_EUNSUPPORTED,
				     "a group uses features 0x%x that this "
				     "program does not know: use a newer one",
				     unknown);
	return MBJ_OK;
}

static void header_decode(const uint8_t *p, struct mbj_group_header *ret_header)
{
	struct mbj_group_header header = {
		.lsn = {mbj_load_u64(p + GROUP_OFFSET_LSN)},
		.epoch = {mbj_load_u64(p + GROUP_OFFSET_EPOCH)},
		.time_us = (int64_t)mbj_load_u64(p + GROUP_OFFSET_TIME),
		.origin = p[GROUP_OFFSET_ORIGIN],
		.flags = mbj_load_u32(p + GROUP_OFFSET_FLAGS),
		.account_count = mbj_load_u32(p + GROUP_OFFSET_ACCOUNT_COUNT),
		.op_count = mbj_load_u32(p + GROUP_OFFSET_OP_COUNT),
		.header_size = mbj_load_u32(p + GROUP_OFFSET_HEADER_SIZE),
		.body_size = mbj_load_u32(p + GROUP_OFFSET_BODY_SIZE),
	};

	memcpy(header.request.b, p + GROUP_OFFSET_REQUEST, MBJ_ID_SIZE);
	*ret_header = header;
}

/* Values that no primary writes together: NULL where all is well. */
static const char *header_fault(const struct mbj_group_header *header,
				const uint8_t *p)
{
	if (header->lsn.v == 0 || header->epoch.v == 0)
		return "LSN or epoch 0";
	if (p[GROUP_OFFSET_ZERO] != 0)
		return "a byte that is not zero";
	if (mbj_origin_name((enum mbj_origin)header->origin) == NULL)
		return "an unknown origin";
	if (header->account_count > MBJ_GROUP_ACCOUNTS_MAX ||
	    header->header_size !=
		    GROUP_HEADER_SIZE_MIN +
			    header->account_count * GROUP_ACCOUNT_SIZE)
		return "a number of accounts that does not fit its size";
	if (header->op_count > MBJ_GROUP_OPS_MAX ||
	    (uint64_t)header->op_count * OP_HEADER_SIZE > header->body_size ||
	    (header->op_count == 0 && header->body_size > 0))
		return "a number of primitives that does not fit its size";
	return NULL;
}

/*
 * Judged with the header, not with the body: whoever parks a group's accounts
 * must be able to rely on it before the body is looked at.  Few groups have
 * more than two; the most is MBJ_GROUP_ACCOUNTS_MAX.
 */
static bool account_is_repeated(const struct mbj_group *group, uint32_t index)
{
	const uint8_t *first = group->accounts.p;
	const uint8_t *id = first + (size_t)index * GROUP_ACCOUNT_SIZE;

	for (const uint8_t *p = first; p < id; p += GROUP_ACCOUNT_SIZE)
		if (memcmp(id, p, MBJ_ID_SIZE) == 0)
			return true;
	return false;
}

static const char *account_fault(const struct mbj_group *group, uint32_t index)
{
	struct mbj_group_account account;

	mbj_group_account_get(group, index, &account);
	if (mbj_id_is_reserved(account.id))
		return "a reserved id as an account";
	if (account.previous.v >= group->header.lsn.v)
		return "a back-link that does not lead back";
	if (account_is_repeated(group, index))
		return "an account twice";
	return NULL;
}

static enum mbj_rc values_check(const struct mbj_group *group,
				struct mbj_error *err)
{
	const char *fault = header_fault(&group->header, group->record.p);

	for (uint32_t i = 0; fault == NULL && i < group->header.account_count;
	     i++)
		fault = account_fault(group, i);
	if (fault == NULL)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the header of group %llu has %s",
			     (unsigned long long)group->header.lsn.v, fault);
}

/* Body CRC32C, chain and padding; requires the whole record. */
static void trailer_decode(struct mbj_group *group)
{
	const uint8_t *p = group->body.p + group->body.n;
	const uint8_t *end = group->record.p + group->record.n;
	uint8_t padding = 0;

	memcpy(group->chain.b, p + 4, MBJ_HASH_SIZE);
	for (const uint8_t *at = p + GROUP_TRAILER_SIZE; at < end; at++)
		padding |= *at;
	group->is_body_good =
		padding == 0 && mbj_crc32c(0, group->body) == mbj_load_u32(p);
}

enum mbj_rc group_header_parse(struct mbj_bytes b, struct mbj_group *ret_group,
			       struct mbj_error *err)
{
	struct mbj_group group = {.is_body_good = false};
	uint32_t header_size = 0;
	uint64_t size;
	enum mbj_rc rc;

	MBJ_ASSERT(b.p != NULL || b.n == 0);
	rc = header_find(b, &header_size, err);
	if (rc < 0)
		return rc;
	header_decode(b.p, &group.header);
	size = group_record_size(header_size, group.header.body_size);
	MBJ_ASSERT(size <= MBJ_GROUP_MAX);
	group.record = mbj_bytes_make(b.p, (size_t)size);
	group.accounts = mbj_bytes_make(b.p + GROUP_OFFSET_ACCOUNTS,
					header_size - GROUP_OFFSET_ACCOUNTS);
	rc = version_check(b.p, err);
	if (rc == MBJ_OK)
		rc = values_check(&group, err);
	if (rc < 0) {
		mbj_error_at(err, NULL, 0, group.header.lsn.v);
		return rc;
	}
	*ret_group = group;
	return MBJ_OK;
}

enum mbj_rc mbj_group_parse(struct mbj_bytes b, struct mbj_group *ret_group,
			    struct mbj_error *err)
{
	struct mbj_group group;
	enum mbj_rc rc;

	rc = group_header_parse(b, &group, err);
	if (rc < 0)
		return rc;
	if (b.n < group.record.n) {
		rc = short_record(b, group.record.n, err);
		mbj_error_at(err, NULL, 0, group.header.lsn.v);
		return rc;
	}
	group.body = mbj_bytes_make(b.p + group.header.header_size,
				    group.header.body_size);
	trailer_decode(&group);
	*ret_group = group;
	return MBJ_OK;
}

void mbj_group_account_get(const struct mbj_group *group, uint32_t index,
			   struct mbj_group_account *ret_account)
{
	const uint8_t *p;

	MBJ_ASSERT(index < group->header.account_count);
	MBJ_ASSERT(group->accounts.n ==
		   (size_t)group->header.account_count * GROUP_ACCOUNT_SIZE);
	p = group->accounts.p + (size_t)index * GROUP_ACCOUNT_SIZE;
	memcpy(ret_account->id.b, p, MBJ_ID_SIZE);
	ret_account->previous.v =
		mbj_load_u64(p + GROUP_ACCOUNT_OFFSET_PREVIOUS);
	mbj_digest_decode(p + GROUP_ACCOUNT_OFFSET_DIGEST,
			  &ret_account->digest);
}

bool mbj_group_names(const struct mbj_group *group, struct mbj_id account)
{
	struct mbj_group_account named;

	for (uint32_t i = 0; i < group->header.account_count; i++) {
		mbj_group_account_get(group, i, &named);
		if (mbj_id_equal(named.id, account))
			return true;
	}
	return false;
}

enum mbj_rc group_chain_make(struct mbj_sha256 *sha,
			     const struct mbj_hash *before,
			     struct mbj_bytes header, struct mbj_bytes body,
			     struct mbj_hash *ret_chain, struct mbj_error *err)
{
	struct mbj_hash body_hash;
	struct mbj_bytes parts[] = {
		mbj_bytes_make(before->b, MBJ_HASH_SIZE),
		header,
		mbj_bytes_make(body_hash.b, MBJ_HASH_SIZE),
	};
	enum mbj_rc rc;

	rc = mbj_sha256_digest(sha, &body, 1, &body_hash, err);
	if (rc < 0)
		return rc;
	return mbj_sha256_digest(sha, parts, 3, ret_chain, err);
}

enum mbj_rc mbj_group_chain_check(const struct mbj_group *group,
				  struct mbj_sha256 *sha,
				  const struct mbj_hash *chain_before,
				  struct mbj_error *err)
{
	unsigned long long lsn = group->header.lsn.v;
	struct mbj_hash chain;
	enum mbj_rc rc;

	if (!group->is_body_good) {
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "the body of group %llu is damaged", lsn);
		mbj_error_at(err, NULL, 0, lsn);
		return rc;
	}
	rc = group_chain_make(sha, chain_before,
			      mbj_bytes_make(group->record.p,
					     group->header.header_size),
			      group->body, &chain, err);
	if (rc < 0)
		return rc;
	if (memcmp(chain.b, group->chain.b, MBJ_HASH_SIZE) == 0)
		return MBJ_OK;
	rc = mbj_error_set(err, MBJ_ECORRUPT,
			   "the chain is broken at group %llu: it does not "
			   "continue the group before it",
			   lsn);
	mbj_error_at(err, NULL, 0, lsn);
	return rc;
}

enum mbj_rc mbj_group_op_next(const struct mbj_group *group,
			      struct mbj_reader *reader, struct mbj_op *ret_op,
			      struct mbj_error *err)
{
	enum mbj_rc rc;

	MBJ_ASSERT(reader->n == group->body.n);
	if (mbj_reader_is_spent(reader))
		return MBJ_ENOTFOUND;
	rc = mbj_op_decode(reader, ret_op, err);
	if (rc == MBJ_OK && ret_op->account >= group->header.account_count)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "a primitive names account %u of %u",
				   ret_op->account,
				   group->header.account_count);
	if (rc < 0) {
		rc = mbj_error_prefix(err, rc, "group %llu",
				      (unsigned long long)group->header.lsn.v);
		mbj_error_at(err, NULL, 0, group->header.lsn.v);
		return rc;
	}
	return MBJ_OK;
}

enum mbj_rc mbj_group_check(const struct mbj_group *group,
			    struct mbj_error *err)
{
	unsigned long long lsn = group->header.lsn.v;
	struct mbj_reader reader;
	uint32_t count = 0;
	struct mbj_op op;
	enum mbj_rc rc;

	if (!group->is_body_good)
		rc = mbj_error_set(err, MBJ_ECORRUPT,
				   "the body of group %llu is damaged", lsn);
	else
		rc = MBJ_OK;
	mbj_reader_init(&reader, group->body);
	while (rc == MBJ_OK) {
		rc = mbj_group_op_next(group, &reader, &op, err);
		count += rc == MBJ_OK;
	}
	if (rc != MBJ_ENOTFOUND) {
		mbj_error_at(err, NULL, 0, lsn);
		return rc;
	}
	if (count == group->header.op_count)
		return MBJ_OK;
	rc = mbj_error_set(err, MBJ_ECORRUPT,
			   "group %llu has %u primitives instead of %u", lsn,
			   count, group->header.op_count);
	mbj_error_at(err, NULL, 0, lsn);
	return rc;
}
