/*
 * Building group records: limits at their maximum and beyond, and nothing is
 * written that a reader would refuse.
 */
#include "group_record.h"
#include "journal_cases.h"
#include "log_lab.h"

/*
 * Goal: the number of accounts at its limit, and one beyond; ids and
 * back-links that cannot be.  Method: account after account.
 */
START_TEST(group_accounts_limit)
{
	struct mbj_hash chain = lab_anchor().chain;
	struct mbj_hash before = chain;
	struct mbj_group_writer writer;
	struct mbj_buf record;
	struct lab_chain c;
	uint32_t index;

	lab_chain_init(&c, 8);
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, 1 << 20);
	lab_writer_begin(&writer, MBJ_GROUP_ACCOUNTS_MAX, &c.lab);
	LAB_FAILS(mbj_group_writer_account(&writer, lab_random_id(&c.lab),
					   (struct mbj_lsn){0}, &index, err),
		  MBJ_ELIMIT);
	LAB_OK(mbj_group_writer_finish(&writer, c.sha, &chain, &record, err));
	LAB_OK(lab_record_check(c.sha, mbj_buf_view(&record), &before, err));
	lab_writer_begin(&writer, 1, &c.lab);
	LAB_FAILS(mbj_group_writer_account(&writer, MBJ_ID_ROOT,
					   (struct mbj_lsn){0}, &index, err),
		  MBJ_EINVALID);
	LAB_FAILS(mbj_group_writer_account(&writer, MBJ_ID_TEMP,
					   (struct mbj_lsn){0}, &index, err),
		  MBJ_EINVALID);
	LAB_FAILS(mbj_group_writer_account(&writer, lab_random_id(&c.lab),
					   (struct mbj_lsn){41}, &index, err),
		  MBJ_EINVALID);
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	lab_chain_done(&c);
}
END_TEST

/* Fill a group so that its record has size bytes before it is padded. */
static void writer_fill(struct mbj_group_writer *writer, struct lab_rng *lab,
			size_t size)
{
	size_t overhead =
		GROUP_HEADER_SIZE_MIN + GROUP_ACCOUNT_SIZE + GROUP_TRAILER_SIZE;
	struct mbj_op op = lab_op(lab, MBJ_OP_MAILBOX_SET_ATTR, 1);
	struct mbj_bytes value = lab_random_text(lab, MBJ_ATTR_VALUE_MAX);
	size_t fixed;

	lab_writer_begin(writer, 1, lab);
	op.name = mbj_bytes_str("n");
	op.value = mbj_bytes_make(value.p, 0);
	mbj_group_writer_op(writer, &op);
	fixed = writer->body.n;
	lab_writer_begin(writer, 1, lab);
	while (overhead + writer->body.n < size &&
	       writer->body.failed == MBJ_OK) {
		size_t left = size - overhead - writer->body.n;

		op.value.n = left - fixed;
		if (op.value.n > MBJ_ATTR_VALUE_MAX)
			op.value.n = left < MBJ_ATTR_VALUE_MAX + 2 * fixed
					     ? left / 2 - fixed
					     : MBJ_ATTR_VALUE_MAX;
		mbj_group_writer_op(writer, &op);
	}
}

/*
 * Goal: a group of exactly the largest size is written and read, one byte
 * more is refused by its size and leaves everything as before.  Method:
 * groups of 64 MiB.
 */
START_TEST(group_size_limit)
{
	struct mbj_hash before = lab_anchor().chain;
	struct mbj_group_writer writer;
	struct mbj_error error = {.rc = MBJ_OK};
	struct mbj_hash chain = before;
	struct mbj_buf record;
	struct lab_chain c;

	lab_chain_init(&c, 9);
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, 2 * (size_t)MBJ_GROUP_MAX);
	mbj_buf_put_str(&record, "before");
	writer_fill(&writer, &c.lab, MBJ_GROUP_MAX + 1);
	ck_assert_int_eq(mbj_group_writer_finish(&writer, c.sha, &chain,
						 &record, &error),
			 MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(error.message, "67108872"));
	ck_assert_uint_eq(record.n, 6);
	ck_assert_mem_eq(chain.b, before.b, MBJ_HASH_SIZE);
	writer_fill(&writer, &c.lab, 2 * (size_t)MBJ_GROUP_MAX);
	LAB_FAILS(mbj_group_writer_finish(&writer, c.sha, &chain, &record, err),
		  MBJ_ELIMIT);
	ck_assert_uint_eq(record.n, 6);
	mbj_buf_clear(&record);
	writer_fill(&writer, &c.lab, MBJ_GROUP_MAX);
	LAB_OK(mbj_group_writer_finish(&writer, c.sha, &chain, &record, err));
	ck_assert_uint_eq(record.n, MBJ_GROUP_MAX);
	LAB_OK(lab_record_check(c.sha, mbj_buf_view(&record), &before, err));
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	lab_chain_done(&c);
}
END_TEST

/*
 * Goal: nothing is written that a replica would refuse.  Method: a primitive
 * with a bad name among good ones, then a good group with the same writer.
 */
START_TEST(group_bad_primitive)
{
	struct mbj_hash before = lab_anchor().chain;
	struct mbj_error error = {.rc = MBJ_OK};
	struct mbj_hash chain = before;
	struct mbj_group_writer writer;
	struct mbj_buf record;
	struct lab_chain c;
	struct mbj_op op;

	lab_chain_init(&c, 10);
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, 1 << 20);
	lab_writer_begin(&writer, 1, &c.lab);
	for (unsigned i = 0; i < 3; i++) {
		op = lab_op(&c.lab, MBJ_OP_ACCOUNT_DELETE, 1);
		if (i == 1)
			op.name = mbj_bytes_str("");
		mbj_group_writer_op(&writer, &op);
	}
	ck_assert_int_eq(mbj_group_writer_finish(&writer, c.sha, &chain,
						 &record, &error),
			 MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "account-delete"));
	ck_assert_int_eq(mbj_group_writer_finish(&writer, c.sha, &chain,
						 &record, NULL),
			 MBJ_EINVALID);
	ck_assert_uint_eq(record.n, 0);
	ck_assert_mem_eq(chain.b, before.b, MBJ_HASH_SIZE);
	lab_writer_begin(&writer, 1, &c.lab);
	mbj_group_writer_op(&writer, &op);
	LAB_OK(mbj_group_writer_finish(&writer, c.sha, &chain, &record, err));
	LAB_OK(lab_record_check(c.sha, mbj_buf_view(&record), &before, err));
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	lab_chain_done(&c);
}
END_TEST

/*
 * Goal: a group has at most as many primitives as its header may say.  Method:
 * a writer that has that many, and one more; the body need not hold them.
 */
START_TEST(group_ops_limit)
{
	struct mbj_error error = {.rc = MBJ_OK};
	struct mbj_hash chain = lab_anchor().chain;
	struct mbj_group_writer writer;
	struct mbj_buf record;
	struct lab_chain c;
	struct mbj_op op;

	lab_chain_init(&c, 10);
	mbj_group_writer_done(NULL);
	mbj_group_writer_init(&writer);
	mbj_buf_init(&record, 1 << 20);
	lab_writer_begin(&writer, 1, &c.lab);
	op = lab_op(&c.lab, MBJ_OP_ACCOUNT_DELETE, 1);
	writer.header.op_count = MBJ_GROUP_OPS_MAX;
	mbj_group_writer_op(&writer, &op);
	ck_assert_int_eq(mbj_group_writer_finish(&writer, c.sha, &chain,
						 &record, &error),
			 MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(error.message, "split the edit"));
	ck_assert_uint_eq(record.n, 0);
	mbj_buf_done(&record);
	mbj_group_writer_done(&writer);
	lab_chain_done(&c);
}
END_TEST

/*
 * Goal: no failed allocation yields half a record.  Method: each allocation
 * of building a group fails once; a small result buffer is too small.
 */
START_TEST(group_no_memory)
{
	struct mbj_hash before = lab_anchor().chain;
	struct mbj_hash chain = before;
	struct lab_chain c;
	struct mbj_op op;
	unsigned failures = 0;
	enum mbj_rc rc;

	lab_chain_init(&c, 11);
	op = lab_op(&c.lab, MBJ_OP_MAILBOX_MOVE, 1);
	for (uint64_t k = 1;; k++) {
		struct mbj_group_writer writer;
		struct mbj_id account = lab_random_id(&c.lab);
		struct mbj_buf record;
		uint32_t index;

		mbj_group_writer_init(&writer);
		mbj_buf_init(&record, 1 << 20);
		test_alloc_fail_at(k);
		lab_writer_begin(&writer, 0, &c.lab);
		rc = mbj_group_writer_account(&writer, account,
					      (struct mbj_lsn){0}, &index,
					      NULL);
		if (rc == MBJ_OK) {
			mbj_group_writer_op(&writer, &op);
			rc = mbj_group_writer_finish(&writer, c.sha, &chain,
						     &record, NULL);
		}
		test_alloc_fail_at(0);
		if (rc < 0) {
			ck_assert_int_eq(rc, MBJ_ENOMEM);
			ck_assert_uint_eq(record.n, 0);
			ck_assert_int_eq(record.failed, MBJ_OK);
			ck_assert_mem_eq(chain.b, before.b, MBJ_HASH_SIZE);
			failures++;
		} else {
			struct mbj_buf small;

			chain = before;
			mbj_buf_init(&small, record.n - 1);
			LAB_FAILS(mbj_group_writer_finish(&writer, c.sha,
							  &chain, &small, err),
				  MBJ_ELIMIT);
			ck_assert_uint_eq(small.n, 0);
			ck_assert_mem_eq(chain.b, before.b, MBJ_HASH_SIZE);
			mbj_buf_done(&small);
		}
		mbj_buf_done(&record);
		mbj_group_writer_done(&writer);
		if (rc == MBJ_OK)
			break;
	}
	ck_assert_uint_ge(failures, 3);
	lab_chain_done(&c);
}
END_TEST

TCase *test_group_writer_case(void)
{
	TCase *tc = tcase_create("group_writer");

	tcase_add_test(tc, group_accounts_limit);
	tcase_add_test(tc, group_size_limit);
	tcase_add_test(tc, group_bad_primitive);
	tcase_add_test(tc, group_ops_limit);
	tcase_add_test(tc, group_no_memory);
	return tc;
}
