/*
 * A log of batches; see log_batches.h.
 */
#include "log_batches.h"

void batches_begin(struct batches *f, uint64_t seed)
{
	struct mbj_log *log = NULL;

	f->disk = disk_new(seed);
	lab_chain_init(&f->chain, seed);
	f->first = f->chain.first.v;
	for (unsigned i = 0; i < BATCHES_GROUPS; i++)
		(void)lab_chain_add(&f->chain, 2);
	f->last = f->chain.end.lsn.v;
	log = lab_log_open(f->disk, f->first - 1);
	for (uint64_t at = f->first; at < f->last; at += BATCHES_EACH)
		LAB_OK(lab_append(log, &f->chain, at, at + BATCHES_EACH - 1,
				  err));
	mbj_log_close(&log);
}

void batches_end(struct batches *f)
{
	lab_chain_done(&f->chain);
	disk_free(&f->disk);
}

enum mbj_rc batches_read(const struct batches *f, bool is_owned, uint64_t lsn,
			 struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_group group;
	enum mbj_rc rc;

	rc = lab_reader_try(f->disk, is_owned, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, (struct mbj_lsn){lsn}, err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc != MBJ_OK)
			break;
		ck_assert_uint_eq(group.header.lsn.v, lsn);
		if (group.is_body_good)
			ck_assert(
				mbj_bytes_equal(group.record,
						lab_chain_get(&f->chain, lsn)));
		lsn++;
	}
	mbj_log_reader_close(&reader);
	if (rc == MBJ_ENOTFOUND)
		ck_assert_uint_eq(lsn, f->last + 1);
	return rc;
}
