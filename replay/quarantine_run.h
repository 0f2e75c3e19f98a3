/*
 * Between the pass over what waits (quarantine.c) and who begins one
 * (quarantine_try.c).  Private to replay/.
 */
#ifndef MBJ_REPLAY_QUARANTINE_RUN_H
#define MBJ_REPLAY_QUARANTINE_RUN_H

#include <mbj/quarantine.h>

/* An account that is aside. */
struct waiting {
	struct mbj_id account;
	struct mbj_lsn first;
	struct mbj_lsn last;
	uint64_t count;
	bool is_active;	 /* its next group is to be carried out */
	bool is_changed; /* since its record was written */
	bool is_over;	 /* nothing waits any more */
};

struct waiting_list {
	struct waiting *items; /* in the order of ids */
	size_t count;
};

/* All that are aside in the state, none active. */
enum mbj_rc waiting_load(struct mbj_store *store, struct waiting_list *ret_list,
			 struct mbj_error *err) MBJ_MUST_CHECK;
void waiting_done(struct waiting_list *list);
/* NULL: it is not aside. */
struct waiting *waiting_find(const struct waiting_list *list,
			     struct mbj_id account);
/* Carry out what waits for those that are active, as far as it goes. */
enum mbj_rc waiting_run(struct mbj_store *store, struct waiting_list *list,
			const struct mbj_retry_options *options,
			struct mbj_retry_result *ret_result,
			struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * When to try again what is aside, without being asked: with every try in vain
 * twice as many occasions pass.  All zero: at once.
 */
struct retry_pace {
	uint32_t gap;  /* occasions between two tries */
	uint32_t left; /* that still pass */
	uint64_t tries;
};

/* Is this occasion one to try?  Pure. */
bool retry_pace_is_due(struct retry_pace *pace);
/* What came of the try.  Pure. */
void retry_pace_note(struct retry_pace *pace, bool has_helped);

/*
 * Look at the first group that waits for each account, of some of them where
 * there are many, and carry out what waits for those that would take theirs.
 * Where nothing is aside it costs one empty scan.  *ret_result: all zero where
 * nothing was due.
 */
enum mbj_rc retry_by_itself(struct mbj_store *store, struct retry_pace *pace,
			    struct mbj_retry_result *ret_result,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
