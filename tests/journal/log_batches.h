/*
 * A log of batches of several groups each, over several segments, and reading
 * it from any of them: what the tests of failing calls and of changed bytes
 * share.
 */
#ifndef TEST_JOURNAL_LOG_BATCHES_H
#define TEST_JOURNAL_LOG_BATCHES_H

#include "log_lab.h"

enum { BATCHES_GROUPS = 24, BATCHES_EACH = 4 };

struct batches {
	struct disk *disk;
	struct lab_chain chain;
	uint64_t first;
	uint64_t last;
};

void batches_begin(struct batches *batches, uint64_t seed);
void batches_end(struct batches *batches);
/*
 * Open, go to lsn, read up to the end: MBJ_ENOTFOUND where all went well.
 * Every group that comes is the chain's, or the test fails.
 */
enum mbj_rc batches_read(const struct batches *batches, bool is_owned,
			 uint64_t lsn, struct mbj_error *err);

#endif
