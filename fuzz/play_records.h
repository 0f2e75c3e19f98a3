/*
 * Two sides' records of one account, byte by byte.
 */
#ifndef FUZZ_PLAY_RECORDS_H
#define FUZZ_PLAY_RECORDS_H

#include "play.h"

/* The process ends where they differ; both transactions may write. */
void play_records_compare(struct play *play, struct mbj_txn *primary,
			  struct mbj_txn *replica, int side);

#endif
