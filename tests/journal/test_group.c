/*
 * Group records: what is written comes back, what is damaged is noticed and
 * costs what it should.  What is not written is test_group_writer.c.
 */
#include <stdio.h>
#include <stdlib.h>

#include "group_record.h"
#include "journal_cases.h"
#include "log_lab.h"

enum { ROUNDS = 300, UNKNOWN_KIND = 47 };

/* Make header CRC32C, body CRC32C and chain right again after a change. */
static void record_seal(struct mbj_sha256 *sha, struct mbj_bytes record)
{
	struct mbj_hash before = lab_anchor().chain;
	uint8_t *p = (uint8_t *)(uintptr_t)record.p;
	uint32_t header_size = mbj_load_u32(p + GROUP_OFFSET_HEADER_SIZE);
	uint32_t body_size = mbj_load_u32(p + GROUP_OFFSET_BODY_SIZE);
	struct mbj_bytes body = {p + header_size, body_size};
	struct mbj_hash chain;

	ck_assert_uint_ge(record.n, group_record_size(header_size, body_size));
	mbj_store_u32(p + GROUP_OFFSET_CRC,
		      mbj_crc32c(0, mbj_bytes_make(
					    p + GROUP_OFFSET_HEADER_SIZE,
					    header_size -
						    GROUP_OFFSET_HEADER_SIZE)));
	LAB_OK(group_chain_make(sha, &before, mbj_bytes_make(p, header_size),
				body, &chain, err));
	mbj_store_u32(p + header_size + body_size, mbj_crc32c(0, body));
	memcpy(p + header_size + body_size + 4, chain.b, MBJ_HASH_SIZE);
}

/* What goes into a group, for comparing with what comes out. */
struct sample {
	struct mbj_group_header header;
	struct mbj_group_account account[9];
	struct mbj_op op[20];
};

static void sample_make(struct lab_rng *lab, unsigned round,
			struct sample *ret_sample)
{
	struct mbj_group_header *header = &ret_sample->header;
	struct test_rng *rng = &lab->rng;

	header->lsn.v = test_rng_between(rng, 1, UINT64_MAX);
	header->epoch.v = test_rng_between(rng, 1, UINT64_MAX);
	header->time_us = (int64_t)test_rng_next(rng);
	header->origin = round % 4;
	header->request = lab_random_id(lab);
	header->account_count = (uint32_t)test_rng_between(rng, 1, 9);
	header->op_count = (uint32_t)test_rng_below(rng, 20);
	for (uint32_t i = 0; i < header->account_count; i++) {
		ret_sample->account[i].id = lab_random_id(lab);
		ret_sample->account[i].previous.v =
			test_rng_below(rng, header->lsn.v);
		test_rng_fill(rng, ret_sample->account[i].digest.lane, 32);
	}
	for (uint32_t i = 0; i < header->op_count; i++)
		ret_sample->op[i] = lab_op(lab, 0, header->account_count);
}

static void sample_write(const struct sample *sample,
			 struct mbj_group_writer *writer)
{
	const struct mbj_group_header *header = &sample->header;
	uint32_t index;

	mbj_group_writer_begin(writer, header->lsn, header->epoch,
			       header->time_us, (enum mbj_origin)header->origin,
			       header->request);
	for (uint32_t i = 0; i < header->account_count; i++) {
		LAB_OK(mbj_group_writer_account(writer, sample->account[i].id,
						sample->account[i].previous,
						&index, err));
		ck_assert_uint_eq(index, i);
	}
	/* Named again: the index it has, whatever is said now. */
	LAB_OK(mbj_group_writer_account(writer, sample->account[0].id,
					(struct mbj_lsn){0}, &index, err));
	ck_assert_uint_eq(index, 0);
	for (uint32_t i = 0; i < header->op_count; i++)
		mbj_group_writer_op(writer, &sample->op[i]);
	for (uint32_t i = header->account_count; i-- > 0;)
		mbj_group_writer_digest(writer, i, &sample->account[i].digest);
}

static void sample_compare(const struct sample *sample,
			   const struct mbj_group *group)
{
	const struct mbj_group_header *header = &sample->header;
	struct mbj_group_account account;
	struct mbj_reader reader;
	struct mbj_op op;

	ck_assert_uint_eq(group->header.lsn.v, header->lsn.v);
	ck_assert_uint_eq(group->header.epoch.v, header->epoch.v);
	ck_assert_int_eq(group->header.time_us, header->time_us);
	ck_assert_uint_eq(group->header.origin, header->origin);
	ck_assert_uint_eq(group->header.flags, 0);
	ck_assert(mbj_id_equal(group->header.request, header->request));
	ck_assert_uint_eq(group->header.account_count, header->account_count);
	ck_assert_uint_eq(group->header.op_count, header->op_count);
	for (uint32_t i = 0; i < header->account_count; i++) {
		mbj_group_account_get(group, i, &account);
		ck_assert(mbj_id_equal(account.id, sample->account[i].id));
		ck_assert_uint_eq(account.previous.v,
				  sample->account[i].previous.v);
		ck_assert(mbj_digest_equal(&account.digest,
					   &sample->account[i].digest));
	}
	mbj_reader_init(&reader, group->body);
	for (uint32_t i = 0; i < header->op_count; i++) {
		LAB_OK(mbj_group_op_next(group, &reader, &op, err));
		ck_assert(mbj_op_equal(&op, &sample->op[i]));
	}
	ck_assert_int_eq(mbj_group_op_next(group, &reader, &op, NULL),
			 MBJ_ENOTFOUND);
}

/*
 * Goal: what is written comes back, every field, account and primitive.
 * Method: random groups built by hand next to a copy of what went in.
 */
START_TEST(group_round_trip)
{
	struct mbj_hash chain = {{1, 2, 3}};
	struct mbj_group_writer writer;
	struct mbj_sha256 *sha = NULL;
	struct mbj_buf record;
	struct lab_rng lab;
	struct test_rng seed;

	lab_rng_init(&lab, test_rng_seed(&seed), 0);
	LAB_OK(mbj_sha256_new(&sha, err));
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, MBJ_GROUP_MAX);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct mbj_hash before = chain;
		struct mbj_group group;
		struct sample sample;

		mbj_buf_clear(&record);
		sample_make(&lab, round, &sample);
		sample_write(&sample, &writer);
		LAB_OK(mbj_group_writer_finish(&writer, sha, &chain, &record,
					       err));
		LAB_OK(mbj_group_parse(mbj_buf_view(&record), &group, err));
		ck_assert_uint_eq(group.record.n, record.n);
		ck_assert_uint_eq(record.n % GROUP_ALIGN, 0);
		ck_assert(group.is_body_good);
		ck_assert_mem_eq(group.chain.b, chain.b, MBJ_HASH_SIZE);
		LAB_OK(mbj_group_chain_check(&group, sha, &before, err));
		LAB_FAILS(mbj_group_chain_check(&group, sha, &chain, err),
			  MBJ_ECORRUPT);
		LAB_OK(mbj_group_check(&group, err));
		sample_compare(&sample, &group);
		mbj_arena_reset(lab.arena);
	}
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	mbj_sha256_free(&sha);
	lab_rng_done(&lab);
}
END_TEST

/*
 * Goal: a record that is not all there is never taken for one.  Method: every
 * proper prefix, and the whole with more behind it.
 */
START_TEST(group_truncated)
{
	struct lab_chain chain;
	struct test_rng seed;
	struct mbj_bytes two;
	struct mbj_group group;

	lab_chain_init(&chain, test_rng_seed(&seed));
	for (unsigned i = 0; i < 20; i++)
		(void)lab_chain_add(&chain, 5);
	for (uint64_t lsn = chain.first.v; lsn < chain.end.lsn.v; lsn++) {
		struct mbj_bytes one = lab_chain_get(&chain, lsn);

		for (size_t n = 0; n < one.n; n++)
			LAB_FAILS(mbj_group_parse(mbj_bytes_make(one.p, n),
						  &group, err),
				  MBJ_ENOTFOUND);
		two = lab_chain_range(&chain, lsn, lsn + 1);
		LAB_OK(mbj_group_parse(two, &group, err));
		ck_assert_uint_eq(group.record.n, one.n);
	}
	lab_chain_done(&chain);
}
END_TEST

/* Where the parts of a record begin. */
struct parts {
	size_t body;
	size_t chain;
};

/* One bit of the record is wrong, at this byte. */
static void flip_judge(struct mbj_bytes record, size_t at,
		       const struct parts *parts, struct mbj_sha256 *sha,
		       const struct mbj_hash *before)
{
	bool is_chain = at >= parts->chain && at < parts->chain + MBJ_HASH_SIZE;
	struct mbj_group group;
	struct mbj_error error;
	enum mbj_rc rc;

	rc = mbj_group_parse(record, &group, &error);
	if (at < parts->body) {
		ck_assert(rc == MBJ_ECORRUPT || rc == MBJ_ENOTFOUND);
		return;
	}
	ck_assert_int_eq(rc, MBJ_OK);
	ck_assert_int_eq(group.is_body_good, is_chain);
	if (!is_chain)
		LAB_FAILS(mbj_group_check(&group, err), MBJ_ECORRUPT);
	LAB_FAILS(mbj_group_chain_check(&group, sha, before, err),
		  MBJ_ECORRUPT);
}

/*
 * Goal: every flipped bit is noticed: in the header the record is refused, in
 * body or padding the body is bad, in the chain the chain is broken.  Method:
 * every single bit of random records.
 */
START_TEST(group_flips)
{
	struct lab_chain chain;
	struct test_rng seed;

	lab_chain_init(&chain, test_rng_seed(&seed));
	for (unsigned i = 0; i < 12; i++) {
		struct mbj_hash before = chain.end.chain;
		struct mbj_bytes record = lab_chain_add(&chain, i % 4);
		uint8_t *p = chain.records.p + (record.p - chain.records.p);
		struct mbj_group whole;
		struct parts parts;

		LAB_OK(mbj_group_parse(record, &whole, err));
		parts.body = whole.header.header_size;
		parts.chain = parts.body + whole.body.n + 4;
		for (size_t bit = 0; bit < record.n * 8; bit++) {
			uint8_t mask = (uint8_t)(1u << bit % 8);

			p[bit / 8] ^= mask;
			flip_judge(record, bit / 8, &parts, chain.sha, &before);
			p[bit / 8] ^= mask;
		}
	}
	lab_chain_done(&chain);
}
END_TEST

/* A header field, a value that no primary writes, and what it must yield. */
struct header_fault {
	size_t offset;
	size_t size;
	uint64_t value;
	enum mbj_rc rc;
};

/*
 * Goal: values that cannot be are refused although all checksums hold, newer
 * versions are told from damage, compatible flags pass.  Method: each field
 * of a header in turn, sealed again.
 */
START_TEST(group_header_values)
{
	static const struct header_fault faults[] = {
		{GROUP_OFFSET_LSN, 8, 0, MBJ_ECORRUPT},
		{GROUP_OFFSET_EPOCH, 8, 0, MBJ_ECORRUPT},
		{GROUP_OFFSET_VERSION, 2, 0, MBJ_EUNSUPPORTED},
		{GROUP_OFFSET_VERSION, 2, 2, MBJ_EUNSUPPORTED},
		{GROUP_OFFSET_ORIGIN, 1, 4, MBJ_ECORRUPT},
		{GROUP_OFFSET_ZERO, 1, 1, MBJ_ECORRUPT},
		{GROUP_OFFSET_FLAGS, 4, 0x0000ffff, MBJ_OK},
		{GROUP_OFFSET_FLAGS, 4, 0x00010000, MBJ_EUNSUPPORTED},
		{GROUP_OFFSET_FLAGS, 4, 0x80000000, MBJ_EUNSUPPORTED},
		{GROUP_OFFSET_ACCOUNT_COUNT, 4, 0, MBJ_ECORRUPT},
		{GROUP_OFFSET_ACCOUNT_COUNT, 4, UINT32_MAX, MBJ_ECORRUPT},
		{GROUP_OFFSET_OP_COUNT, 4, 0, MBJ_ECORRUPT},
		{GROUP_OFFSET_OP_COUNT, 4, MBJ_GROUP_OPS_MAX + 1, MBJ_ECORRUPT},
		{GROUP_OFFSET_ACCOUNTS + GROUP_ACCOUNT_OFFSET_PREVIOUS, 8, 41,
		 MBJ_ECORRUPT},
		{GROUP_OFFSET_ACCOUNTS + GROUP_ACCOUNT_OFFSET_PREVIOUS, 8, 40,
		 MBJ_OK},
	};
	struct mbj_hash before = lab_anchor().chain;
	struct lab_chain chain;
	struct mbj_error error;
	uint8_t *copy;
	size_t size;

	for (uint64_t seed = 1;; seed++) {
		lab_chain_init(&chain, seed);
		if (lab_chain_add(&chain, 3).n > 400)
			break;
		lab_chain_done(&chain);
	}
	size = chain.records.n;
	copy = malloc(size);
	ck_assert_ptr_nonnull(copy);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const struct header_fault *fault = &faults[i];

		memcpy(copy, chain.records.p, size);
		for (size_t at = 0; at < fault->size; at++)
			copy[fault->offset + at] =
				(uint8_t)(fault->value >> at * 8);
		record_seal(chain.sha, mbj_bytes_make(copy, size));
		error.rc = MBJ_OK;
		ck_assert_msg(lab_record_check(chain.sha,
					       mbj_bytes_make(copy, size),
					       &before, &error) == fault->rc,
			      "fault %zu: %s", i, error.message);
		if (fault->rc != MBJ_OK && fault->offset != GROUP_OFFSET_LSN)
			ck_assert_uint_eq(error.lsn, 41);
	}
	memcpy(copy, chain.records.p, size);
	memset(copy + GROUP_OFFSET_ACCOUNTS, 0xff, MBJ_ID_SIZE);
	record_seal(chain.sha, mbj_bytes_make(copy, size));
	LAB_FAILS(lab_record_check(chain.sha, mbj_bytes_make(copy, size),
				   &before, err),
		  MBJ_ECORRUPT);
	free(copy);
	lab_chain_done(&chain);
}
END_TEST

/*
 * Goal: sizes are judged before they are used.  Method: size fields of every
 * order of magnitude, with only the header's first bytes there.
 */
START_TEST(group_sizes)
{
	struct lab_chain chain;
	struct mbj_group group;
	uint8_t head[GROUP_HEADER_SIZE_MIN];
	uint32_t header_size;
	uint64_t size;

	lab_chain_init(&chain, 6);
	memcpy(head, lab_chain_add(&chain, 1).p, sizeof(head));
	for (unsigned shift = 0; shift < 32; shift++) {
		mbj_store_u32(head + GROUP_OFFSET_HEADER_SIZE,
			      UINT32_MAX >> shift);
		LAB_FAILS(mbj_group_parse(mbj_bytes_make(head, sizeof(head)),
					  &group, err),
			  MBJ_ECORRUPT);
	}
	mbj_store_u32(head + GROUP_OFFSET_HEADER_SIZE, GROUP_HEADER_SIZE_MIN);
	mbj_store_u32(head + GROUP_OFFSET_BODY_SIZE, UINT32_MAX);
	ck_assert(!group_size_peek(mbj_bytes_make(head, sizeof(head)),
				   &header_size, &size));
	mbj_store_u32(head + GROUP_OFFSET_BODY_SIZE,
		      MBJ_GROUP_MAX - GROUP_HEADER_SIZE_MIN -
			      GROUP_TRAILER_SIZE);
	ck_assert(group_size_peek(mbj_bytes_make(head, sizeof(head)),
				  &header_size, &size));
	ck_assert_uint_eq(size, MBJ_GROUP_MAX);
	mbj_store_u32(head + GROUP_OFFSET_BODY_SIZE,
		      MBJ_GROUP_MAX - GROUP_HEADER_SIZE_MIN -
			      GROUP_TRAILER_SIZE + 1);
	ck_assert(!group_size_peek(mbj_bytes_make(head, sizeof(head)),
				   &header_size, &size));
	lab_chain_done(&chain);
}
END_TEST

/*
 * Goal: a body whose checksum holds is still not believed.  Method: a group
 * of two accounts and two primitives with an account repeated, an index out
 * of range, an unknown primitive, and another number of primitives.
 */
START_TEST(group_content)
{
	struct mbj_hash before = lab_anchor().chain;
	struct mbj_group_writer writer;
	struct mbj_buf record;
	struct mbj_hash chain;
	struct lab_chain c;
	struct mbj_op op;
	uint8_t *p;

	lab_chain_init(&c, 7);
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, 1 << 20);
	for (unsigned i = 0; i < 5; i++) {
		enum mbj_rc expected = i == 2 ? MBJ_EUNSUPPORTED : MBJ_ECORRUPT;

		mbj_buf_clear(&record);
		lab_writer_begin(&writer, 2, &c.lab);
		for (unsigned j = 0; j < 2; j++) {
			op = lab_op(&c.lab, MBJ_OP_ACCOUNT_SET, 2);
			mbj_group_writer_op(&writer, &op);
		}
		chain = before;
		LAB_OK(mbj_group_writer_finish(&writer, c.sha, &chain, &record,
					       err));
		p = record.p + GROUP_HEADER_SIZE_MIN + 2 * GROUP_ACCOUNT_SIZE;
		LAB_OK(lab_record_check(c.sha, mbj_buf_view(&record), &before,
					err));
		if (i == 0)
			memcpy(record.p + GROUP_OFFSET_ACCOUNTS +
				       GROUP_ACCOUNT_SIZE,
			       record.p + GROUP_OFFSET_ACCOUNTS, MBJ_ID_SIZE);
		else if (i == 1)
			mbj_store_u32(p + 4, 2);
		else if (i == 2)
			mbj_store_u16(p, UNKNOWN_KIND);
		else
			mbj_store_u32(record.p + GROUP_OFFSET_OP_COUNT,
				      i == 3 ? 1 : 3);
		record_seal(c.sha, mbj_buf_view(&record));
		LAB_FAILS(lab_record_check(c.sha, mbj_buf_view(&record),
					   &before, err),
			  expected);
	}
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	lab_chain_done(&c);
}
END_TEST

/*
 * Goal: every origin has its word, no other number has one.  Method: all
 * bytes.
 */
START_TEST(group_origins)
{
	static const char *const words[] = {"live", "bulk", "reconcile",
					    "salvage"};

	for (unsigned i = 0; i <= UINT8_MAX; i++) {
		const char *word = mbj_origin_name((enum mbj_origin)i);

		if (i < 4)
			ck_assert_str_eq(word, words[i]);
		else
			ck_assert_ptr_null(word);
	}
}
END_TEST

TCase *test_group_case(void)
{
	TCase *tc = tcase_create("group");

	tcase_add_test(tc, group_round_trip);
	tcase_add_test(tc, group_truncated);
	tcase_add_test(tc, group_flips);
	tcase_add_test(tc, group_header_values);
	tcase_add_test(tc, group_sizes);
	tcase_add_test(tc, group_content);
	tcase_add_test(tc, group_origins);
	return tc;
}
