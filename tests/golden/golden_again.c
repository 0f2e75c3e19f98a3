/*
 * Everything that docs/FORMAT.md describes, decoded and encoded again.
 */
#include <mbj/codec.h>

#include "golden.h"
#include "log_impl.h"
#include "segment.h"
#include "superblock.h"

void golden_group_again(const struct mbj_group *group, struct mbj_sha256 *sha,
			struct mbj_hash *chain, struct mbj_buf *bytes)
{
	const struct mbj_group_header *header = &group->header;
	struct mbj_group_writer writer;
	struct mbj_reader reader;
	struct mbj_op op;
	uint32_t index;

	mbj_group_writer_init(&writer);
	mbj_group_writer_begin(&writer, header->lsn, header->epoch,
			       header->time_us, (enum mbj_origin)header->origin,
			       header->request);
	for (uint32_t i = 0; i < header->account_count; i++) {
		struct mbj_group_account account;

		mbj_group_account_get(group, i, &account);
		GOLDEN_OK(mbj_group_writer_account(&writer, account.id,
						   account.previous, &index,
						   err));
		mbj_group_writer_digest(&writer, index, &account.digest);
	}
	mbj_reader_init(&reader, group->body);
	for (uint32_t i = 0; i < header->op_count; i++) {
		GOLDEN_OK(mbj_group_op_next(group, &reader, &op, err));
		mbj_group_writer_op(&writer, &op);
	}
	GOLDEN_OK(mbj_group_writer_finish(&writer, sha, chain, bytes, err));
	mbj_group_writer_done(&writer);
}

/* A frame at byte at, appended to again; returns where the next one is. */
static size_t frame_again(struct mbj_bytes file, size_t at, uint64_t salt,
			  struct mbj_sha256 *sha, struct mbj_buf *again)
{
	uint8_t bytes[SEGMENT_FRAME_SIZE];
	struct segment_frame frame;
	struct mbj_hash chain;

	if (at + SEGMENT_FRAME_SIZE > file.n ||
	    !segment_frame_decode(file.p + at, salt, &frame))
		return 0;
	segment_frame_encode(&frame, salt, bytes);
	mbj_buf_put(again, bytes, sizeof(bytes));
	at += SEGMENT_FRAME_SIZE;
	ck_assert_uint_le(frame.payload_size, file.n - at);
	ck_assert_uint_eq(
		frame.payload_crc,
		mbj_crc32c(0, mbj_bytes_make(file.p + at,
					     (size_t)frame.payload_size)));
	chain = frame.chain;
	for (uint32_t i = 0; i < frame.count; i++) {
		struct mbj_group group;

		GOLDEN_OK(mbj_group_parse(mbj_bytes_make(file.p + at,
							 file.n - at),
					  &group, err));
		ck_assert_uint_eq(group.header.lsn.v, frame.first.v + i);
		golden_group_again(&group, sha, &chain, again);
		at += group.record.n;
	}
	return at;
}

void golden_segment_again(struct mbj_bytes file, const char *name,
			  struct mbj_buf *again)
{
	static const uint8_t zeroes[4096];
	uint8_t bytes[SEGMENT_HEADER_SIZE];
	struct segment_header header;
	struct mbj_sha256 *sha = NULL;
	size_t at = SEGMENT_HEADER_SIZE;
	char printed[SEGMENT_NAME_SIZE];

	GOLDEN_OK(mbj_sha256_new(&sha, err));
	GOLDEN_OK(segment_header_decode(file, name, &header, err));
	segment_name_print(header.number, header.first, printed);
	ck_assert_str_eq(printed, name);
	segment_header_encode(&header, bytes);
	mbj_buf_put(again, bytes, sizeof(bytes));
	while ((at = frame_again(file, at, header.salt, sha, again)) != 0)
		ck_assert_uint_eq(at, again->n);
	/* Reserved space. */
	ck_assert_uint_le(file.n - again->n, sizeof(zeroes));
	mbj_buf_put(again, zeroes, file.n - again->n);
	mbj_sha256_free(&sha);
}

void golden_mark_again(struct mbj_bytes file, struct mbj_buf *again)
{
	uint8_t bytes[LOG_PUBLISHED_SIZE];
	struct mbj_log_end end;

	ck_assert_uint_eq(file.n, LOG_PUBLISHED_SIZE);
	ck_assert(log_published_decode(file.p, &end));
	log_published_encode(&end, bytes);
	mbj_buf_put(again, bytes, sizeof(bytes));
}

void golden_superblock_again(struct mbj_bytes file, struct mbj_buf *again)
{
	uint8_t bytes[SUPERBLOCK_SIZE];
	struct superblock superblock;

	GOLDEN_OK(superblock_decode(file, SUPERBLOCK_NAME, &superblock, err));
	superblock_encode(&superblock, bytes);
	mbj_buf_put(again, bytes, sizeof(bytes));
}
