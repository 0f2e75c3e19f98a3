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
	bool has_moved;	 /* since the pass began */
	uint64_t done;	 /* groups, since then */
};

struct waiting_list {
	struct waiting *items; /* in the order of ids */
	size_t count;
	bool is_asked; /* somebody wants it */
};

/* All that are aside in the state, none active. */
enum mbj_rc waiting_load(struct mbj_store *store, struct waiting_list *ret_list,
			 struct mbj_error *err) MBJ_MUST_CHECK;
void waiting_done(struct waiting_list *list);
/* NULL: it is not aside. */
struct waiting *waiting_find(const struct waiting_list *list,
			     struct mbj_id account);
/* Bytes of a group that count for another one, where reading is bounded. */
enum { RETRY_READ_SIZE = 4096 };

/* What came of a pass. */
struct waiting_outcome {
	struct mbj_retry_result result;
	uint64_t read; /* of the journal, as read_max counts, each group once */
	bool has_moved; /* somebody waits from a later group on */
	/* What somebody stopped at: damage of the journal, or want of room. */
	struct mbj_error stop;
};

/*
 * Carry out what waits for those that are active, as far as it goes.  What
 * cannot be read of the journal, and a group that has no room, are no error:
 * those who wait for it stop.
 */
enum mbj_rc waiting_run(struct mbj_store *store, struct waiting_list *list,
			const struct mbj_retry_options *options,
			struct waiting_outcome *ret_outcome,
			struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Groups that were given up before, and wait in a state that was made anew or
 * in a backup: they are given up again, where they still fail.  That memory or
 * space are lacking for it is no error: not now.
 */
enum mbj_rc skips_carry_out(struct mbj_store *store, uint64_t *ret_healed,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* mbj_quarantine_retry, by itself where nobody asked. */
enum mbj_rc waiting_retry(struct mbj_store *replica,
			  const struct mbj_retry_options *options,
			  bool is_asked, struct mbj_retry_result *ret_result,
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* Is this occasion one to try?  Pure. */
bool retry_pace_is_due(struct mbj_retry_pace *pace);
/*
 * What came of the try: with every one in vain twice as many occasions pass.
 * Pure.
 */
void retry_pace_note(struct mbj_retry_pace *pace, bool has_helped);

/*
 * Look at the first group that waits for each account, of some of them where
 * there are many, and carry out what waits for those that would take theirs,
 * within bounds.  That memory or space are lacking for it is no error: not now.
 * Of *ret_result accounts_parked is left out.
 */
enum mbj_rc retry_by_itself(struct mbj_store *store,
			    struct mbj_retry_pace *pace,
			    struct mbj_retry_result *ret_result,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#endif
