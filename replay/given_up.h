/*
 * What groups that are given up had given out: UIDs, modseqs and UIDVALIDITY
 * values that clients and replicas may have seen.  Private to replay/.
 *
 * Threads: the caller's.
 */
#ifndef MBJ_REPLAY_GIVEN_UP_H
#define MBJ_REPLAY_GIVEN_UP_H

#include <mbj/store.h>

/* The highest of each, 0: none. */
struct given {
	struct mbj_id account;
	struct mbj_id mailbox; /* ROOT: the account itself */
	uint32_t uid;
	uint32_t uidvalidity; /* the account's only */
	uint64_t modseq;
};

struct given_up {
	struct given *list;
	size_t count;
	size_t capacity;
	struct mbj_table index;
};

/* Zeroed is empty. */
void given_up_done(struct given_up *given_up);
/* From now on it is one whose groups are given up. */
enum mbj_rc given_up_watch(struct given_up *given_up, struct mbj_id account,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What the groups from first on, or as far back as there are any, gave out for
 * the accounts that are watched.  A primitive that cannot be read hides what
 * is behind it in its group.
 */
enum mbj_rc given_up_read(struct given_up *given_up, struct mbj_store *store,
			  struct mbj_lsn first,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* NULL: nothing.  mailbox ROOT: the account itself. */
const struct given *given_up_find(const struct given_up *given_up,
				  struct mbj_id account, struct mbj_id mailbox);

#endif
