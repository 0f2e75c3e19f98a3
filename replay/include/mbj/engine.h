/*
 * The replay engine: what a replica does with each thing that reaches it.
 * Pure: events in, actions out; no I/O, no clock, no Berkeley DB.  A driver
 * (replay.c) performs the actions; a simulation can perform them too.
 *
 * For one group the conversation is:
 *
 *	GROUP (header facts)  ->  APPLY | KEEP | SKIP | ASK | REFUSE
 *	APPLIED (verdict)     ->  DONE | PARK | ASK | REFUSE
 *
 *	           offer                        verdict
 *	  IDLE ------------> APPLYING ----------------------> IDLE
 *	   |  skip/ask/keep      | gap, refused
 *	   +--> IDLE             +--> IDLE | STOPPED
 *
 * Invariants:
 *   1. the watermark only rises, by exactly one group at a time, unless the
 *      driver takes back what it could not keep;
 *   2. a group that names a parked account is kept, not applied, and parks all
 *      its accounts, so the order within every account holds;
 *   3. one account's failure never stops the others: only another lineage, an
 *      older or rival epoch, a broken chain or a hole stops a stream;
 *   4. from group to group the epoch never falls.
 *
 * Threads: an engine belongs to one thread.
 */
#ifndef MBJ_ENGINE_H
#define MBJ_ENGINE_H

#include <mbj/apply.h>
#include <mbj/error.h>
#include <mbj/group.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_engine;

/* Where a replica stands when the engine begins. */
struct mbj_engine_start {
	struct mbj_id lineage; /* ROOT: none yet */
	struct mbj_epoch epoch;
	struct mbj_id epoch_owner;
	struct mbj_lsn applied;		/* the state's watermark */
	struct mbj_hash chain;		/* at that LSN */
	struct mbj_epoch applied_epoch; /* of that group, 0: none */
};

/* X(name, word) */
#define MBJ_ACTION_MAP(X)                                                  \
	X(SKIP, "skip")	    /* known already: nothing to do */             \
	X(APPLY, "apply")   /* apply it, then report the verdict */        \
	X(KEEP, "keep")	    /* into the journal, park its accounts */      \
	X(DONE, "done")	    /* the watermark moves past it */              \
	X(PARK, "park")	    /* undo, park its accounts, watermark moves */ \
	X(ASK, "ask")	    /* groups from `from` on are missing: fetch */ \
	X(REFUSE, "refuse") /* stop this stream; reason says why */

enum mbj_action_kind {
#define X(name, word) MBJ_ACTION_##name,
	MBJ_ACTION_MAP(X)
#undef X
};

MBJ_API const char *mbj_action_name(enum mbj_action_kind kind);

struct mbj_action {
	enum mbj_action_kind kind;
	struct mbj_lsn from;		    /* ASK */
	enum mbj_rc rc;			    /* REFUSE */
	char reason[MBJ_ERROR_MESSAGE_MAX]; /* REFUSE, KEEP, PARK */
};

enum mbj_rc mbj_engine_new(const struct mbj_engine_start *start,
			   struct mbj_engine **ret_engine,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_engine_free(struct mbj_engine **engine);

/* An account that was parked before: its groups are kept, not applied. */
enum mbj_rc mbj_engine_park(struct mbj_engine *engine, struct mbj_id account,
			    struct mbj_error *err) MBJ_MUST_CHECK;
bool mbj_engine_is_parked(const struct mbj_engine *engine,
			  struct mbj_id account);
size_t mbj_engine_parked_count(const struct mbj_engine *engine);
struct mbj_lsn mbj_engine_applied(const struct mbj_engine *engine);

/*
 * The other side says who it is.  Action: DONE (go on), or REFUSE with
 * MBJ_EFENCED: another lineage, an older epoch, the same epoch under another
 * owner, a replica that is ahead, or a fork (chain values differ at the LSN).
 * chain_there is its chain at our watermark; has_chain is false where it has
 * no such group.
 */
struct mbj_hello {
	struct mbj_id lineage;
	struct mbj_epoch epoch;
	struct mbj_id epoch_owner;
	struct mbj_lsn end; /* its last group */
	bool has_chain;
	struct mbj_hash chain_there;
};

void mbj_engine_hello(struct mbj_engine *engine, const struct mbj_hello *hello,
		      struct mbj_action *ret_action);

/*
 * A group is offered.  is_chained says that its recorded chain follows from
 * ours (the driver has the hash; the engine only decides).
 */
enum mbj_rc mbj_engine_group(struct mbj_engine *engine,
			     const struct mbj_group *group, bool is_chained,
			     struct mbj_action *ret_action,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* What applying the group in hand came to.  Requires: the last was APPLY. */
enum mbj_rc mbj_engine_applied_group(struct mbj_engine *engine,
				     const struct mbj_group *group,
				     const struct mbj_apply_report *report,
				     struct mbj_action *ret_action,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Where the engine stands, and back to there: what the driver was told since
 * did not come to be.  Requires: a mark of this engine, not in front of one
 * that it went back to.
 */
struct mbj_engine_mark {
	struct mbj_lsn applied;
	struct mbj_hash chain;
	struct mbj_epoch applied_epoch;
	size_t parked_count;
};

struct mbj_engine_mark mbj_engine_mark(const struct mbj_engine *engine);
void mbj_engine_back(struct mbj_engine *engine,
		     const struct mbj_engine_mark *mark);

#ifdef __cplusplus
}
#endif

#endif
