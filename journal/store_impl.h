/*
 * The store's insides, shared by store*.c, batch*.c and rebuild.c.
 *
 * Who may touch what:
 *   1. paths, options, lock: written while opening, before anybody else is
 *      inside; the superblock also by mbj_store_adopt and, where the journal
 *      begins, by a trim, in a turn and under the mutex: one of both has who
 *      reads it, but for mbj_store_adopt's thread and what no trim writes; what
 *      opening had to do also by mbj_store_adopt_snapshot, likewise;
 *   2. the leader (one thread at a time: store->is_led) owns the log, the
 *      state's writing transaction and the tools; so does who has a turn
 *      (store_turn_take), as a replica's batch has;
 *   3. everything under "guarded" is read and written under the mutex.
 */
#ifndef MBJ_JOURNAL_STORE_IMPL_H
#define MBJ_JOURNAL_STORE_IMPL_H

#include <pthread.h>
#include <stdatomic.h>

#include <mbj/blob.h>
#include <mbj/hash.h>
#include <mbj/store.h>

#include "applying.h"
#include "recall.h"
#include "standing.h"
#include "superblock.h"

#define STORE_LOCK_NAME		 "lock"
#define STORE_JOURNAL_NAME	 "journal"
#define STORE_STATE_NAME	 "state"
#define STORE_BLOBS_NAME	 "blobs"
#define STORE_SNAPSHOTS_NAME	 "snapshots"
#define STORE_REPLICAS_NAME	 "replicas"
#define STORE_OLD_NAME		 "state.old" /* set aside while another is made */
#define STORE_PART_NAME		 "state.part" /* an unfinished one, on its way out */
#define STORE_IMAGE_NAME	 "state.image" /* a copy that is read for long */
#define STORE_SUSPECT_NAME	 "suspect"     /* in state/: it failed in use */
#define STORE_INIT_NAME		 "mbj.init" /* the superblock of one in the making */
#define STORE_BACKUP_NAME	 "mbj.backup"
#define STORE_RESERVE_NAME	 "reserve"
#define STORE_AUDIT_NAME	 "audit"
#define STORE_AUDIT_DAMAGED_NAME "audit.damaged"
#define STORE_SKIPS_NAME	 "skips"
#define STORE_APPLYING_NAME	 "applying"
#define STORE_SKIPS_DAMAGED_NAME "skips.damaged"

enum {
	/* Records of one batch: room for one group of the largest size more. */
	BATCH_SIZE_MAX = 2 * MBJ_GROUP_MAX,
	/* What carrying out one edit may allocate besides its trees. */
	STORE_ARENA_MAX = 1 << 30,
	/* Steps of an edit whose content its producer syncs by itself. */
	STORE_SETTLE_MAX = 4,
};

/* A batch on its way: one transaction, the records for one journal write. */
struct mbj_batch {
	struct mbj_store *store;
	struct mbj_txn *txn;
	struct mbj_buf records;
	size_t count;		  /* groups in records */
	struct mbj_watermark end; /* of the last group added or noted */
	bool is_moved;		  /* end differs from the state's watermark */
	bool is_content_open;	  /* content that it needs may not be on disk */
	uint64_t drops;		  /* of contents, before it was opened */
	struct mbj_store_space space; /* when its first group came */
};

struct request; /* one waiting edit, batch_request.h */

struct mbj_store {
	const struct mbj_sys *sys;
	struct mbj_store_options options;
	char dir[MBJ_PATH_TEXT_MAX];
	char journal_dir[MBJ_PATH_TEXT_MAX];
	char state_dir[MBJ_PATH_TEXT_MAX];
	char blobs_dir[MBJ_PATH_TEXT_MAX];
	struct mbj_file lock;
	struct superblock superblock;
	struct mbj_store_recovery recovery;
	struct standing standing; /* intents that stand, of a service */

	/* The leader's. */
	struct mbj_log *log;	 /* NULL: a replica without a lineage */
	unsigned state_failures; /* since opening */
	bool is_scarce;		 /* room was made: little by little from now */
	int64_t reserve_us;	 /* when an edit last looked for it */
	struct mbj_batch batch;
	struct mbj_sha256 *sha;
	struct mbj_group_writer writer;
	struct mbj_arena *arena;
	struct mbj_sip_key table_key; /* drawn at opening */
	struct recall recall;	      /* requests of the last groups */
	bool is_recall_loaded;
	struct mbj_retry_pace pace; /* replay/'s */
	struct applying applying;   /* what is, and what ended a process */

	/* Guarded. */
	pthread_mutex_t mutex;
	struct mbj_blobs *blobs; /* opened when first asked for */
	pthread_t rest;		 /* store_blobs.c, while the store is shared */
	bool is_resting;
	pthread_cond_t is_calm;	 /* state_users fell to 0, or a swap ended */
	struct mbj_state *state; /* swapped by the leader alone */
	size_t state_users;	 /* threads beginning a read right now */
	bool is_swapping;
	struct mbj_log_end end; /* published */
	bool is_failed;
	struct mbj_error failure;
	struct request *waiting_head;
	struct request **waiting_tail;
	size_t waiting_count;
	bool is_led;
	size_t crowd; /* producers in the last batch or waiting at its end */
	enum mbj_house_work house; /* what is under way: store_house.c */
	int64_t house_ms;	   /* since when, mbj_monotonic_ms */
	atomic_bool is_halted;	   /* and is to give up; any thread, no mutex */
	bool is_shared;		   /* edits come while house is kept */
	uint32_t recent_ms; /* that content is kept which no message has */
	uint64_t removals;  /* turns in which content was removed */
};

/* ------------------------------------------------------- store_lock.c */

/*
 * dir and what is in it belong to us and nobody else may write there.
 * Returns: MBJ_ENOTFOUND (dir is not there), MBJ_EINVALID naming the path.
 */
enum mbj_rc store_owner_check(const struct mbj_sys *sys, const char *dir,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Returns: MBJ_EBUSY naming the process. */
enum mbj_rc store_lock_take(const struct mbj_sys *sys, const char *dir,
			    struct mbj_file *ret_lock,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one never taken. */
void store_lock_drop(struct mbj_file *lock);
/* With its file.  Dropped where it was; else still taken. */
enum mbj_rc store_lock_remove(const struct mbj_sys *sys, const char *dir,
			      struct mbj_file *lock) MBJ_MUST_CHECK;

/* ---------------------------------------------------------- rebuild.c */

/*
 * Bring journal and state up together: state, journal, comparison, and on a
 * primary the journal's tail; a state that is missing, damaged or does not
 * take the tail is made anew from the journal, once.
 * Requires: the lock; identity loaded.
 */
enum mbj_rc store_recover(struct mbj_store *store,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The state fell behind the journal while the store was in use: apply the
 * tail again, reopening the environment where it can do no more, making it
 * anew where that did not help for long.  A store that is left without a
 * state has failed.
 * Requires: the leader; no writing transaction.
 */
enum mbj_rc store_state_recover(struct mbj_store *store,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* A reader of the store's own journal, before the group with this LSN. */
enum mbj_rc store_log_reader_open(const struct mbj_store *store,
				  struct mbj_lsn lsn,
				  struct mbj_log_reader **ret_reader,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/* The journal's chain value at an LSN within it, or right before its first. */
enum mbj_rc store_chain_at(struct mbj_store *store, struct mbj_lsn lsn,
			   struct mbj_hash *ret_chain,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same from the files alone: by any thread, and before the log is open.
 * Returns: MBJ_ENOTFOUND (the journal ends before it).
 */
enum mbj_rc store_chain_read(struct mbj_store *store, struct mbj_lsn lsn,
			     struct mbj_hash *ret_chain,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Open the environment, or make an empty one. */
enum mbj_rc store_state_open(struct mbj_store *store,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------- store_suspect.c */

/* The next opening makes the state anew. */
void store_suspect_note(const struct mbj_store *store);
bool store_suspect_is(const struct mbj_store *store);
/* The same where it must not fail, and the end of it.  Durability: on disk. */
enum mbj_rc store_suspect_set(const struct mbj_store *store,
			      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc store_suspect_clear(const struct mbj_store *store,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- store_aside.c */

/*
 * What stands in state/ (if anything does) goes out of the way.  Where an older
 * one was set aside already and has no successor yet, that one stays, and this
 * one, which did not become its successor, goes for good: by a name of its own,
 * so that no crash leaves a half of it in state/.
 * Durability: the entries are on disk.
 */
enum mbj_rc store_aside_set(const struct mbj_store *store,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* What was set aside goes, whether it has a successor or not. */
enum mbj_rc store_aside_remove(const struct mbj_store *store,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* The state has everything: what was set aside for it goes. */
enum mbj_rc store_aside_retire(const struct mbj_store *store,
			       struct mbj_store_recovery *recovery,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* -------------------------------------------------------- store_room.c */

/* The most that one transaction of the journal's tail makes the state grow. */
uint64_t store_tail_growth_max(const struct mbj_store *store);
/*
 * Bringing the state up had no space: what can go does.  is_rebuilt: the state
 * was being made anew, and is given up; is_open: it could be opened.  True:
 * there is more room than before, or less is taken at once from now on, so try
 * again.  Requires: the state is closed.
 */
bool store_room_make(struct mbj_store *store, bool is_rebuilt, bool is_open);
/*
 * What is left, and how much a state may need where there is none, in front of
 * why.  Returns rc.
 */
enum mbj_rc store_room_say(const struct mbj_store *store,
			   struct mbj_error *err);

/* ---------------------------------------------------- store_snapshot.c */

/*
 * Fill an empty state from the newest good snapshot that lies in the journal;
 * *watermark is then its group.  Without one nothing happens.  Those that are
 * damaged are noted in *recovery.
 */
enum mbj_rc store_state_fill(struct mbj_store *store, bool is_wanting,
			     struct mbj_watermark *watermark,
			     struct mbj_store_recovery *recovery,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Where the journal alone does not make a state there must be a snapshot that
 * does, read and judged to its end, before a state is given up for this reason.
 * Returns: MBJ_EUNSUPPORTED (the newest is of another version), MBJ_ECORRUPT.
 */
enum mbj_rc store_snapshot_require(struct mbj_store *store, const char *reason,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* mbj_store_snapshot, of who keeps house already (store_house_begin). */
struct mbj_snapshot_result;
enum mbj_rc store_snapshot_run(struct mbj_store *store,
			       struct mbj_snapshot_result *ret_result,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Refuse where the store is a backup that is not what its mark says. */
enum mbj_rc store_backup_refuse(struct mbj_store *store, const char *what,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* ------------------------------------------------------------ collect.c */

/* Refuse where this transaction sees accounts that are parked. */
enum mbj_rc store_parked_refuse(const struct mbj_store *store,
				struct mbj_txn *txn, const char *what,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* -------------------------------------------------------------- skips.c */

struct mbj_skips;

/* One's own; a damaged file is put aside, so not lost, and says nothing. */
enum mbj_rc store_skips_load(const struct mbj_store *store,
			     struct mbj_skips *skips,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ skip_contents.c */

/* Contents that no message has and that stay, sorted. */
struct skip_contents {
	struct mbj_hash *list;
	size_t count;
	size_t capacity;
};

/*
 * Those of groups that were given up and that the journal still has.
 * Returns: MBJ_ELIMIT, MBJ_ECORRUPT (who was given up cannot be read, nor a
 * group): nothing may be removed then.
 */
enum mbj_rc skip_contents_load(struct mbj_store *store,
			       struct skip_contents *ret_contents,
			       struct mbj_error *err) MBJ_MUST_CHECK;
bool skip_contents_have(const struct skip_contents *contents,
			const struct mbj_hash *blob);
void skip_contents_done(struct skip_contents *contents);

/* --------------------------------------------------------------- trim.c */

/* Segments before the journal's beginning go, as well as that can be done. */
void store_trim_finish(const struct mbj_store *store);
/* The journal of before a replica began anew, where there is one. */
enum mbj_rc store_void_remove(const struct mbj_store *store,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------------- replicas.c */

/*
 * The register of replicas stays as it is until *ret_lock is closed.  Writers
 * wait for a second, no longer.
 * Returns: MBJ_EBUSY.
 */
enum mbj_rc store_replicas_lock(const struct mbj_store *store,
				struct mbj_file *ret_lock,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ store_recall.c */

/*
 * Was this request carried out before?  *ret_outcome is its outcome then; where
 * it was not, there is room for it in the window.  hash: of the edit.
 * Returns: MBJ_ECONFLICT (it was another edit), MBJ_EEXISTS (it is not known
 * what became of it); what reading the journal returns.
 */
enum mbj_rc store_recall(struct mbj_store *store, const struct mbj_batch *batch,
			 struct mbj_id request, const struct mbj_hash *hash,
			 bool *ret_is_known, struct mbj_outcome *ret_outcome,
			 struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------------ store.c */

/* The caller's options, or the standard ones for NULL, with sys filled in. */
enum mbj_rc store_options_take(const struct mbj_store_options *options,
			       struct mbj_store_options *ret_options,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* Where the journal ends, also where it holds nothing yet. */
struct mbj_log_end store_log_end(const struct mbj_store *store);
/*
 * Keep new readers out of the state and wait for those inside, so that the
 * leader can close it and open it again.
 */
enum mbj_rc store_state_swap_begin(struct mbj_store *store,
				   struct mbj_error *err) MBJ_MUST_CHECK;
void store_state_swap_end(struct mbj_store *store);
/*
 * Is all content on disk that this edit appends?  False also where that takes
 * long to say.
 */
bool store_content_is_settled(struct mbj_store *store,
			      const struct mbj_edit *edit);
/*
 * The content of messages that was stored for edits, or groups, of a batch.
 * Durability: on disk on return.
 */
enum mbj_rc store_blobs_sync(struct mbj_store *store,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Publish the journal's end to other threads. */
void store_end_note(struct mbj_store *store);
/* Close the store for everything, for this reason. */
void store_fail(struct mbj_store *store, const struct mbj_error *why);
/*
 * On a replica, close the store where its state has failed, as nothing there
 * mends it; on a primary the next edit does.
 */
void store_state_watch(struct mbj_store *store);
/* MBJ_OK, or MBJ_EIO with the reason where the store is closed. */
enum mbj_rc store_check(struct mbj_store *store,
			struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ store_space.c */

/* Without the reserve: that costs more, and nothing here asks for it. */
struct mbj_store_space store_space_look(const struct mbj_store *store);
/* The most growth that would be let in below, without the reserve. */
uint64_t store_space_room(const struct mbj_store_space *space, bool is_freeing);
/*
 * MBJ_ENOSPC where less would be left than edits leave, after growth bytes.
 * For one that makes room, half of that is enough, of which it may use all, and
 * the reserve is given up for it where that lets it in: *space follows.
 */
enum mbj_rc store_space_check(const struct mbj_store *store,
			      struct mbj_store_space *space, uint64_t growth,
			      bool is_freeing,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Where it is wanted and there is room.  Requires: the lock, and no edits. */
void store_reserve_make(struct mbj_store *store);
/* The same, at times, of who leads and found that much space. */
void store_reserve_renew(struct mbj_store *store,
			 const struct mbj_store_space *space, int64_t now_us);
/* True: there was one, and its bytes are free.  Any thread. */
bool store_reserve_give(const struct mbj_sys *sys, const char *dir);
/* Give it up where edits that make room would not be carried out either. */
void store_reserve_use(const struct mbj_store *store);

/* --------------------------------------------------- store_identity.c */

enum mbj_store_role store_role(struct mbj_store *store);
/* What opening had to do, for any thread. */
struct mbj_store_recovery store_recovery_copy(struct mbj_store *store);
void store_recovery_set(struct mbj_store *store,
			const struct mbj_store_recovery *recovery);
/* The superblock on disk is this one now. */
void store_identity_take(struct mbj_store *store,
			 const struct superblock *superblock);

/* ------------------------------------------------------ store_house.c */

/*
 * One at a time makes snapshots, trims or collects, while others use the store.
 * Returns: MBJ_EBUSY.
 */
enum mbj_rc store_house_begin(struct mbj_store *store, enum mbj_house_work work,
			      struct mbj_error *err) MBJ_MUST_CHECK;
void store_house_end(struct mbj_store *store);
/*
 * Others use the store meanwhile, however long it takes (a service): what reads
 * all of the state reads a copy of it, and content that was stored or found so
 * many milliseconds ago stays.
 */
enum mbj_rc store_share(struct mbj_store *store, uint32_t recent_ms,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* Waits for who keeps house, and lets others do so again. */
void store_unshare(struct mbj_store *store);
/*
 * Who keeps house gives up where it is, and nobody begins; until store_unshare.
 */
void store_house_halt(struct mbj_store *store);
/* MBJ_EBUSY where that was said. */
enum mbj_rc store_house_check(const struct mbj_store *store,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* The same, for what is not the store's; as long as the store. */
struct mbj_halt store_house_halting(const struct mbj_store *store);
bool store_is_shared(struct mbj_store *store);
/* The reserve, made again in a turn. */
enum mbj_rc store_house_reserve(struct mbj_store *store,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* The state at one group, for whoever reads all of it. */
struct store_view {
	struct mbj_store *store;
	struct mbj_state *image; /* NULL: the store's own */
	struct mbj_txn *txn;
};

/*
 * is_own: the state itself is read in any case.  Else a copy of it where others
 * use the store, and there is room for the copy, for as much again and for what
 * edits leave.
 */
enum mbj_rc store_view_begin(struct mbj_store *store, bool is_own,
			     struct store_view *ret_view,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void store_view_end(struct store_view *view);
/* What a killed one left goes, as well as that can be done. */
void store_view_sweep(const struct mbj_store *store);
/* The watermark, on disk from now on.  Refuses where accounts are parked. */
enum mbj_rc store_house_checkpoint(struct mbj_store *store, const char *what,
				   struct mbj_watermark *ret_watermark,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ store_blobs.c */

/*
 * Opening: what a log of contents has is brought where it belongs, before
 * anybody reads contents without asking the store.
 */
enum mbj_rc store_blobs_recover(struct mbj_store *store,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* With the mutex: many producers come from now on. */
enum mbj_rc store_blobs_share(struct mbj_store *store,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* None is left but who feeds a replica. */
void store_blobs_unshare(struct mbj_store *store);
/* Nothing of what was removed is left in a log.  Requires: they are open. */
void store_blobs_rest(struct mbj_store *store);
void store_blobs_close(struct mbj_store *store);
struct mbj_service_stats;
/*
 * What is to be said of the log of contents, and why it failed last, or
 * nothing: nothing of both before there is one.
 */
void store_content_log_note(struct mbj_store *store,
			    struct mbj_service_stats *stats,
			    char reason[MBJ_ERROR_MESSAGE_MAX]);
/* Contents that were not stored in the end: mbj_blobs_drops. */
uint64_t store_blobs_drops(struct mbj_store *store);

/* ---------------------------------------------------- store_content.c */

/* How often content was removed, or was not stored in the end. */
uint64_t store_removals(struct mbj_store *store);
void store_removal_note(struct mbj_store *store);
/* MBJ_ENOTFOUND where the bytes of a message that it appends are not there. */
enum mbj_rc store_content_check(struct mbj_store *store,
				const struct mbj_edit *edit,
				struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ batch_queue.c */

/* mbj_store_submit, of an edit whose content was there after so many removals.
 */
enum mbj_rc store_submit(struct mbj_store *store, const struct mbj_edit *edit,
			 uint64_t removals, struct mbj_outcome *ret_outcome,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same of an intent, where its producer has no other one open in the
 * account.  What was done before is known again first.  Returns: also
 * MBJ_ECONFLICT, one is open.
 */
enum mbj_rc store_begin(struct mbj_store *store, const struct mbj_edit *edit,
			struct mbj_outcome *ret_outcome,
			struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The first in two halves.  Once the first returns, the edit is in a batch,
 * behind all before it and before all behind it, and nothing but the disk can
 * still refuse it.  Nobody sees its effect before it is durable, or that it
 * failed: when the second returns, which has to follow soon, since the caller
 * may lead.  NULL: that is so already.
 * is_standing: an outcome, which leaves its intent open (standing.h).
 * Ownership: the edit stays there until then.
 */
enum mbj_rc store_take(struct mbj_store *store, const struct mbj_edit *edit,
		       uint64_t removals, bool is_standing,
		       struct request **ret_request,
		       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc store_taken_end(struct mbj_store *store, struct request **request,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Wait for a moment among the batches in which no edit is carried out and no
 * group is applied: what is the leader's is the caller's until it gives it
 * back; all that is submitted waits meanwhile, so keeping house does so soon,
 * while a replica's batch takes as long as its source does.
 * Requires: the caller has none, no batch, and no reading transaction: who
 * leads may wait for those to end, so as to mend the state.
 */
enum mbj_rc store_turn_take(struct mbj_store *store,
			    struct mbj_error *err) MBJ_MUST_CHECK;
void store_turn_give(struct mbj_store *store);

/* ------------------------------------------------------------ batch.c */

/* How far a batch that failed had come. */
enum batch_stage {
	BATCH_NOTHING, /* nothing happened: may be tried again */
	BATCH_CLOSED,  /* nothing happened, and the store is closed */
	BATCH_UNKNOWN, /* the journal write failed: the store is closed */
	BATCH_DURABLE, /* in the journal, not in the state: closed too */
};

/* Bytes that journal and state grow by at most with what is in it. */
uint64_t batch_growth(const struct mbj_batch *batch);
enum mbj_rc batch_open(struct mbj_store *store, struct mbj_batch *batch,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Reserve, flush, append and sync, commit.  The transaction is gone whatever
 * is returned.  On failure *ret_stage says what is true.
 */
enum mbj_rc batch_finish(struct mbj_batch *batch, enum batch_stage *ret_stage,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* Forget it; the buffers stay. */
void batch_drop(struct mbj_batch *batch);
/*
 * Checkpoint by volume, after the answer was given.  A failure changes no
 * promise: the next one tries again, and a state that is broken says so there.
 */
void batch_checkpoint(struct mbj_store *store);

#endif
