/*
 * What the tests of accounts that are made again through a stream share.
 */
#ifndef TEST_REPLAY_MEND_LAB_H
#define TEST_REPLAY_MEND_LAB_H

#include "between.h"
#include "resync_lab.h"

/* All that are aside, with nothing cut or bent. */
extern const struct encounter mend_all_of;

enum mbj_rc one_meet(struct fixture *f, const char *account, size_t cut,
		     struct meeting *ret);
/* As mend_all_of, which ends well. */
struct meeting mend(struct fixture *f);
/* Bytes of it that are on their way in, 0: none. */
uint64_t part_size(const struct fixture *f, uint64_t lsn);
/* A snapshot, in its middle: head and end are whole. */
void bend(const char *dir, uint64_t lsn);
/* A bit of that byte of a file. */
void bit_turn(const char *path, long at);

struct bent {
	char path[MBJ_PATH_TEXT_MAX];
	long at;
};

/* A bit in the header of a group in the replica's only segment. */
struct bent group_bend(const struct fixture *f, uint64_t lsn);
void group_unbend(const struct bent *bent);

#endif
