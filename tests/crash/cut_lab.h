/*
 * The laboratory of power cuts: a primary and a replica on a disk in memory,
 * our files and Berkeley DB's in one trace; after each step the disk is cut in
 * every way that is tried, and what comes back is opened by the library and
 * compared with what a run without cuts had at the same group.
 *
 * A workload runs twice.  The first run learns the truth: what the stores hold
 * at each group.  The second one is cut.
 *
 * What must hold of each store after each cut:
 *   1. it opens, or was never promised, and can then be made again;
 *   2. it ends at or behind the last group acknowledged, and not behind the
 *      last one tried: nothing lost, nothing made up;
 *   3. each group of the journal has the chain value that it had, from the
 *      first that is left to the end;
 *   4. the state's watermark is that end, and accounts, digests, parked
 *      accounts and messages (UIDs, modseqs, flags, by their records) are those
 *      that belong to it: nothing missing, nothing twice; the content of each
 *      message is there, byte for byte;
 *   5. every account passes fsck's checks;
 *   6. it goes on: a replica replays the rest; of some, the state made anew
 *      from the journal is the same; on some, edits survive a further cut;
 *   7. the same again where power fails once more during the recovery.
 *
 * Threads: one.
 */
#ifndef TEST_CRASH_CUT_LAB_H
#define TEST_CRASH_CUT_LAB_H

#include <mbj/mbj.h>

#include "disk.h"
#include "store_lab.h"

struct cut_lab;

enum { CUT_LSN_MAX = 256 };

/* What a store holds at a group. */
struct cut_truth {
	bool is_known;
	struct mbj_hash chain;
	struct mbj_digest digest; /* of all accounts, with their LSNs */
	uint64_t parked;	  /* accounts */
	uint64_t messages;	  /* in all mailboxes */
	uint64_t message_sum;	  /* where each is, and what it is */
};

struct cut_side {
	const char *name;
	char dir[MBJ_PATH_TEXT_MAX];
	enum mbj_store_role role;
	struct mbj_store *store; /* in the workload's hands */
	bool is_tried;		 /* init was called */
	bool is_promised;	 /* and returned */
	bool is_quiet;		 /* nothing of it is changing: checked rarely */
	bool is_backup;		 /* of the primary, by mbj_backup */
	uint64_t marked;	 /* by the last one acknowledged */
	bool is_restored;	 /* by mbj_restore, from lab->backup */
	bool is_promoted;	 /* as a primary, with an account set aside */
	bool is_seeded;		 /* from a snapshot of the primary */
	uint64_t acked;		 /* the last group known to be durable */
	uint64_t tried;		 /* the last group that may be there */
	struct cut_truth truth[CUT_LSN_MAX];
};

/* Where a state comes from; what reproduces it. */
struct cut_place {
	uint64_t step; /* of the workload */
	enum disk_cut_kind kind;
	unsigned round; /* of the seeds tried for this kind */
	uint64_t again; /* step of the recovery, 0: no second cut */
	enum disk_cut_kind again_kind;
};

struct cut_counts {
	uint64_t steps;	   /* of workloads */
	uint64_t states;   /* distinct ones after a first cut */
	uint64_t again;	   /* after a second one, during recovery */
	uint64_t rebuilt;  /* states that were made anew from the journal */
	uint64_t damaged;  /* of these, damage met only when it was read */
	uint64_t torn;	   /* journals with a torn tail */
	uint64_t unmade;   /* stores that had to be made again */
	uint64_t extended; /* that were edited and cut once more */
};

struct cut_work {
	const char *name;
	/* Not cut. */
	void (*prepare)(struct cut_lab *lab);
	void (*run)(struct cut_lab *lab);
	unsigned contents_level; /* of both stores */
	bool is_logged;		 /* contents come to the primary by a log */
};

struct cut_lab {
	char *root;
	char backup[MBJ_PATH_TEXT_MAX]; /* what the replica is restored from */
	struct disk *live;
	struct disk *first;  /* after the cut */
	struct disk *second; /* after the cut during recovery */
	struct disk *third;  /* after the cut behind further edits */
	struct mbj_store_options options;
	struct cut_side primary;
	struct cut_side replica;
	const struct cut_work *work;
	bool is_learning;
	bool is_prepared;

	uint64_t seed;
	unsigned rounds;     /* seeds for each kind that draws */
	unsigned step_odds;  /* one step of so many is cut */
	unsigned again_odds; /* one step of a recovery of so many is cut */
	const struct cut_place *only; /* NULL: all */

	struct cut_place place;
	struct test_rng draws; /* of samples; never of what a cut leaves */
	struct cut_counts counts;
	char why[1024]; /* the first failure */
};

/* -------------------------------------------------------- cut_lab.c */

void cut_lab_init(struct cut_lab *lab, uint64_t seed);
void cut_lab_done(struct cut_lab *lab);
/* Learn, then cut.  Fails the test, with the command that repeats it. */
void cut_work_run(struct cut_lab *lab, const struct cut_work *work);

/* Used by workloads: each keeps account of what was promised. */
void cut_init(struct cut_lab *lab, struct cut_side *side);
void cut_open(struct cut_lab *lab, struct cut_side *side);
void cut_close(struct cut_lab *lab, struct cut_side *side);
/* Around an edit of the primary. */
void cut_edit_begin(struct cut_lab *lab);
void cut_edit_end(struct cut_lab *lab);
/* Groups up to until (0: all) onto the replica, so many in one batch. */
void cut_replay(struct cut_lab *lab, uint64_t until, uint32_t batch);

/* A mailbox of u1 moved in the state, behind the journal's back. */
void cut_diverge(struct cut_lab *lab, struct cut_side *side, unsigned mailbox);

/* From lab->backup; again, or for the first time after a cut. */
enum mbj_rc cut_restore(const struct cut_lab *lab, const char *dir,
			const struct mbj_store_options *options,
			struct mbj_error *err);

/* A replica from the primary's snapshot; again, or for the first time. */
enum mbj_rc cut_seed(const struct cut_lab *lab, const char *dir,
		     const struct mbj_store_options *options,
		     struct mbj_error *err);

/* ------------------------------------------------------ cut_check.c */

/*
 * Everything above, on a disk after a cut.  why is written on failure.
 * is_deep: also what is tried on some states only.
 */
bool cut_check(struct cut_lab *lab, struct disk *disk, bool is_deep);
/* What a store holds now. */
enum mbj_rc cut_truth_read(struct mbj_store *store, struct cut_truth *ret_truth,
			   struct mbj_error *err);

/* ---------------------------------------------------- cut_content.c */

/*
 * Add the messages of an account, and read the content of each from *blobs,
 * which is opened when the first one comes.  Content that is not there, or is
 * another one, is MBJ_EIO: it is no fault of the state.
 */
enum mbj_rc cut_content_add(struct mbj_store *store, struct mbj_txn *txn,
			    struct mbj_id account, struct mbj_blobs **blobs,
			    struct cut_truth *truth, struct mbj_error *err);
/* Store what a number stands for; the longer ones take several writes. */
enum mbj_rc cut_content_put(struct mbj_store *store, unsigned number,
			    struct mbj_hash *ret_digest, uint64_t *ret_size,
			    struct mbj_error *err);

/* ---------------------------------------------------- cut_content.c */

/* From now on by a log, where the workload wants that. */
void cut_content_log(struct cut_lab *lab, struct cut_side *side);
/* What that has comes to rest. */
void cut_content_rest(struct cut_lab *lab, bool is_all);

/* --------------------------------------------------- cut_messages.c */

void cut_messages_run(struct cut_lab *lab);
void cut_fetch_prepare(struct cut_lab *lab);
void cut_fetch_run(struct cut_lab *lab);

/* ----------------------------------------------------- cut_backup.c */

void cut_backup_prepare(struct cut_lab *lab);
void cut_backup_run(struct cut_lab *lab);
void cut_restore_prepare(struct cut_lab *lab);
void cut_restore_run(struct cut_lab *lab);
void cut_promote_prepare(struct cut_lab *lab);
void cut_promote_run(struct cut_lab *lab);

/* ------------------------------------------------------- cut_trim.c */

void cut_trim_prepare(struct cut_lab *lab);
void cut_trim_run(struct cut_lab *lab);
void cut_seed_prepare(struct cut_lab *lab);
void cut_seed_run(struct cut_lab *lab);

/* ------------------------------------------------------- cut_work.c */

/* An edit of account "uN", acknowledged. */
void cut_submit(struct cut_lab *lab, struct mbj_edit *edit, unsigned account);
void cut_rename(struct cut_lab *lab, unsigned account, const char *from,
		const char *to);
/* A primary with an account "u1": INBOX and mailboxes m2 to m6. */
void cut_primary_prepare(struct cut_lab *lab);

extern const struct cut_work cut_works[];
extern const size_t cut_work_count;

#endif
