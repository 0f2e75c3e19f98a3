/*
 * Accounts that are set aside on a replica.
 *
 * What sets one aside here is a subscription that only the replica has, a
 * ghost: it changes the account's digest and no revision, so that it can be
 * taken back.
 */
#ifndef TEST_REPLAY_ASIDE_LAB_H
#define TEST_REPLAY_ASIDE_LAB_H

#include "fixture.h"

void aside_ghost(struct fixture *f, const char *account, bool is_there);
/*
 * So many wait for the account, from this group on, for a reason that has these
 * words; 0: it is not aside.
 */
void aside_waits(struct fixture *f, const char *account, uint64_t count,
		 uint64_t first, const char *words);
/* account NULL: all. */
struct mbj_retry_result aside_retry_with(struct fixture *f, const char *account,
					 uint32_t batch, uint64_t read_max);
struct mbj_retry_result aside_retry(struct fixture *f, const char *account);
/* Nobody is aside, and the two stores are the same. */
void aside_equal(struct fixture *f);
void aside_delete(struct fixture *f, const char *account);
/* All but the making of stores and accounts of what follows. */
void aside_rename(struct fixture *f, bool is_bob);
/*
 * Groups 3 to 8, alternately of alice and bob: alice has a ghost, and waits;
 * so does bob where it is said.
 */
void aside_begin(struct fixture *f, bool is_bob,
		 const struct mbj_store_options *options);

/* Change a byte of a group's body, or of its header, in the replica's journal.
 */
void aside_damage(struct fixture *f, uint64_t lsn, bool is_header);

/*
 * So many accounts, this one and others whose ids begin with later bytes, say
 * that a group waits for them.
 */
void aside_by_hand(struct fixture *f, unsigned count, struct mbj_id id,
		   uint64_t group);

#endif
