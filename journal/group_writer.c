/*
 * Building a group record: primitives are encoded as they come, the header is
 * put in front once the accounts are known, and the body is copied once.
 *
 * Not here: what the primitives do; where the record goes.
 *
 * Invariants:
 *   1. nothing is finished that mbj_group_parse and mbj_group_check would
 *      refuse: a bad primitive or a size over a limit is remembered, and
 *      _finish fails with it;
 *   2. the chain passed in changes only together with the record.
 *
 * Threads: one at a time per writer.
 */
#include "group_record.h"

#include <mbj/check.h>

void mbj_group_writer_init(struct mbj_group_writer *writer)
{
	MBJ_ASSERT(writer != NULL);
	*writer = (struct mbj_group_writer){.accounts = NULL};
	mbj_buf_init(&writer->body, MBJ_GROUP_MAX);
}

void mbj_group_writer_done(struct mbj_group_writer *writer)
{
	if (writer == NULL)
		return;
	mbj_free(writer->accounts);
	mbj_buf_done(&writer->body);
	writer->accounts = NULL;
	writer->account_capacity = 0;
}

void mbj_group_writer_begin(struct mbj_group_writer *writer, struct mbj_lsn lsn,
			    struct mbj_epoch epoch, int64_t time_us,
			    enum mbj_origin origin, struct mbj_id request)
{
	MBJ_ASSERT(lsn.v > 0 && epoch.v > 0);
	MBJ_ASSERT(mbj_origin_name(origin) != NULL);
	writer->header = (struct mbj_group_header){
		.lsn = lsn,
		.epoch = epoch,
		.time_us = time_us,
		.origin = (uint8_t)origin,
		.request = request,
	};
	writer->why.rc = MBJ_OK;
	mbj_buf_clear(&writer->body);
}

enum mbj_rc mbj_group_writer_account(struct mbj_group_writer *writer,
				     struct mbj_id account,
				     struct mbj_lsn previous,
				     uint32_t *ret_index, struct mbj_error *err)
{
	uint32_t count = writer->header.account_count;
	void *accounts = writer->accounts;
	enum mbj_rc rc;

	MBJ_ASSERT(writer->header.lsn.v > 0);
	for (uint32_t i = 0; i < count; i++) {
		if (mbj_id_equal(writer->accounts[i].id, account)) {
			*ret_index = i;
			return MBJ_OK;
		}
	}
	if (mbj_id_is_reserved(account) || previous.v >= writer->header.lsn.v)
		return mbj_error_set(err, MBJ_EINVALID,
				     "an account of a group has a reserved id "
				     "or a back-link that does not lead back");
	rc = mbj_array_reserve(&accounts, &writer->account_capacity, count + 1,
			       sizeof(*writer->accounts),
			       MBJ_GROUP_ACCOUNTS_MAX, err);
	if (rc < 0)
		return mbj_error_prefix(err, rc, "accounts of one group");
	writer->accounts = accounts;
	writer->accounts[count] = (struct mbj_group_account){
		.id = account,
		.previous = previous,
	};
	writer->header.account_count = count + 1;
	*ret_index = count;
	return MBJ_OK;
}

void mbj_group_writer_op(struct mbj_group_writer *writer,
			 const struct mbj_op *op)
{
	MBJ_ASSERT(writer->header.lsn.v > 0);
	MBJ_ASSERT(op->account < writer->header.account_count);
	if (writer->why.rc < 0)
		return;
	if (mbj_op_check(op, &writer->why) < 0)
		return;
	if (writer->header.op_count >= MBJ_GROUP_OPS_MAX) {
		mbj_error_set(&writer->why, MBJ_ELIMIT,
			      "a group would have more than %d primitives; "
			      "split the edit",
			      MBJ_GROUP_OPS_MAX);
		return;
	}
	mbj_op_encode(&writer->body, op);
	writer->header.op_count++;
}

void mbj_group_writer_digest(struct mbj_group_writer *writer, uint32_t index,
			     const struct mbj_digest *digest)
{
	MBJ_ASSERT(index < writer->header.account_count);
	MBJ_ASSERT(digest != NULL);
	writer->accounts[index].digest = *digest;
}

/* Sizes into the header, or the reason why there can be no record. */
static enum mbj_rc writer_size(struct mbj_group_writer *writer,
			       size_t *ret_size, struct mbj_error *err)
{
	struct mbj_group_header *header = &writer->header;
	uint64_t size;

	if (writer->why.rc < 0) {
		if (err != NULL)
			*err = writer->why;
		return writer->why.rc;
	}
	if (writer->body.failed == MBJ_ENOMEM)
		return mbj_error_nomem(err);
	header->header_size = GROUP_HEADER_SIZE_MIN +
			      header->account_count * GROUP_ACCOUNT_SIZE;
	header->body_size = (uint32_t)writer->body.n;
	size = group_record_size(header->header_size, header->body_size);
	if (writer->body.failed == MBJ_ELIMIT || size > MBJ_GROUP_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "a group would have %s%llu bytes, at most "
				     "%d are legal; split the edit",
				     writer->body.failed == MBJ_OK ? ""
								   : "over ",
				     (unsigned long long)size, MBJ_GROUP_MAX);
	*ret_size = (size_t)size;
	return MBJ_OK;
}

static void account_encode(const struct mbj_group_account *account, uint8_t *p)
{
	memcpy(p, account->id.b, MBJ_ID_SIZE);
	mbj_store_u64(p + GROUP_ACCOUNT_OFFSET_PREVIOUS, account->previous.v);
	mbj_digest_encode(&account->digest, p + GROUP_ACCOUNT_OFFSET_DIGEST);
}

/* Requires: p is zeroed. */
static void header_encode(const struct mbj_group_writer *writer, uint8_t *p)
{
	const struct mbj_group_header *header = &writer->header;
	uint32_t crc;

	memcpy(p, GROUP_MAGIC, GROUP_OFFSET_CRC);
	mbj_store_u32(p + GROUP_OFFSET_HEADER_SIZE, header->header_size);
	mbj_store_u32(p + GROUP_OFFSET_BODY_SIZE, header->body_size);
	mbj_store_u64(p + GROUP_OFFSET_LSN, header->lsn.v);
	mbj_store_u64(p + GROUP_OFFSET_EPOCH, header->epoch.v);
	mbj_store_u64(p + GROUP_OFFSET_TIME, (uint64_t)header->time_us);
	mbj_store_u16(p + GROUP_OFFSET_VERSION, GROUP_VERSION);
	p[GROUP_OFFSET_ORIGIN] = header->origin;
	mbj_store_u32(p + GROUP_OFFSET_FLAGS, header->flags);
	memcpy(p + GROUP_OFFSET_REQUEST, header->request.b, MBJ_ID_SIZE);
	mbj_store_u32(p + GROUP_OFFSET_ACCOUNT_COUNT, header->account_count);
	mbj_store_u32(p + GROUP_OFFSET_OP_COUNT, header->op_count);
	for (uint32_t i = 0; i < header->account_count; i++)
		account_encode(&writer->accounts[i],
			       p + GROUP_OFFSET_ACCOUNTS +
				       (size_t)i * GROUP_ACCOUNT_SIZE);
	crc = mbj_crc32c(0, mbj_bytes_make(p + GROUP_OFFSET_HEADER_SIZE,
					   header->header_size -
						   GROUP_OFFSET_HEADER_SIZE));
	mbj_store_u32(p + GROUP_OFFSET_CRC, crc);
}

/* Checksums and chain of the record at p; the body is in its place. */
static enum mbj_rc record_encode(const struct mbj_group_writer *writer,
				 struct mbj_sha256 *sha,
				 const struct mbj_hash *before, uint8_t *p,
				 struct mbj_hash *ret_chain,
				 struct mbj_error *err)
{
	const struct mbj_group_header *header = &writer->header;
	struct mbj_bytes body =
		mbj_bytes_make(p + header->header_size, header->body_size);
	uint8_t *trailer = p + header->header_size + header->body_size;
	enum mbj_rc rc;

	header_encode(writer, p);
	rc = group_chain_make(sha, before,
			      mbj_bytes_make(p, header->header_size), body,
			      ret_chain, err);
	if (rc < 0)
		return rc;
	mbj_store_u32(trailer, mbj_crc32c(0, body));
	memcpy(trailer + 4, ret_chain->b, MBJ_HASH_SIZE);
	return MBJ_OK;
}

enum mbj_rc mbj_group_writer_finish(struct mbj_group_writer *writer,
				    struct mbj_sha256 *sha,
				    struct mbj_hash *chain,
				    struct mbj_buf *ret_record,
				    struct mbj_error *err)
{
	size_t begin = ret_record->n;
	struct mbj_hash after;
	size_t size = 0;
	enum mbj_rc rc;

	MBJ_ASSERT(writer->header.lsn.v > 0);
	MBJ_ASSERT(ret_record->failed == MBJ_OK);
	rc = writer_size(writer, &size, err);
	if (rc < 0)
		return rc;
	mbj_buf_put_zero(ret_record, writer->header.header_size);
	mbj_buf_put_bytes(ret_record, mbj_buf_view(&writer->body));
	if (ret_record->failed == MBJ_OK)
		mbj_buf_put_zero(ret_record, size - (ret_record->n - begin));
	rc = mbj_buf_ok(ret_record, err);
	if (rc == MBJ_OK)
		rc = record_encode(writer, sha, chain, ret_record->p + begin,
				   &after, err);
	if (rc < 0) {
		ret_record->n = begin;
		ret_record->failed = MBJ_OK;
		return rc;
	}
	*chain = after;
	return MBJ_OK;
}
