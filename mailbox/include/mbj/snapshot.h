/*
 * Snapshots: the whole state at one group, in one file that any engine can be
 * filled from; bytes in docs/FORMAT.md, section "Snapshot".
 *
 * A snapshot is written from one reading transaction, while others go on
 * writing, then read back and judged before it gets its name.  It holds what
 * the journal up to its group implies, and what is local to the store beside
 * that (tombstones, parked accounts, counts of contents); not the bytes of
 * messages, which are in files of their own.  The records of one account are in
 * one piece, so that an account can be taken out without reading the rest.
 *
 * Judged means: every checksum, the SHA-256 of the file, the form and the order
 * of every record; for every account all that mbj_txn_account_check asks, the
 * digest that its journal recorded among it, and that it is not ahead of the
 * group; over all accounts their names, and the counts of contents against the
 * messages.  So what is good makes a good state, whoever made the file.
 *
 * Not here: when one is made, and what it is good for
 * (journal/store_snapshot.c, rebuild.c, trim.c).
 *
 * Threads: one at a time per object.
 */
#ifndef MBJ_SNAPSHOT_H
#define MBJ_SNAPSHOT_H

#include <mbj/state.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Names with their NUL: 16 hexadecimal digits, ".snap"; the same and ".part".
 */
enum { MBJ_SNAPSHOT_NAME_SIZE = 22, MBJ_SNAPSHOT_PART_SIZE = 27 };

/* One on its way in; the next one is written over it. */
#define MBJ_SNAPSHOT_TEMP_NAME "snapshot.tmp"

struct mbj_snapshot_info {
	struct mbj_id lineage;
	struct mbj_watermark watermark; /* the group that it is the state at */
	int64_t time_us;		/* when it was written */
	uint64_t size;			/* bytes of the file */
	uint64_t records;
	uint64_t accounts;
	uint64_t mailboxes;
	uint64_t messages;
	struct mbj_digest digest; /* sum of the accounts' digests */
};

MBJ_API void mbj_snapshot_name_print(struct mbj_lsn lsn,
				     char name[MBJ_SNAPSHOT_NAME_SIZE]);
/* Accepts exactly what _print writes. */
MBJ_API bool mbj_snapshot_name_parse(const char *name, struct mbj_lsn *ret_lsn);
/* The first bytes of one that is on its way in from another host. */
void mbj_snapshot_part_print(struct mbj_lsn lsn,
			     char name[MBJ_SNAPSHOT_PART_SIZE]);
bool mbj_snapshot_part_parse(const char *name, struct mbj_lsn *ret_lsn);

/*
 * Write dir/<its name>, read it back, judge it, compare it with what was
 * written, and only then give it its name; one that has that name is replaced.
 * Requires: a reading transaction; nobody else writes snapshots into dir.
 * Returns: MBJ_EBUSY, told to give up.
 * Durability: on return the file is on disk; after a crash before there may be
 * a "snapshot.tmp", which the next one overwrites.
 */
enum mbj_rc mbj_snapshot_write(const struct mbj_sys *sys, const char *dir,
			       struct mbj_txn *txn, const struct mbj_halt *halt,
			       struct mbj_snapshot_info *ret_info,
			       struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_snapshot;

/*
 * Look at a file: its head and its end only.
 * Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT, MBJ_EUNSUPPORTED (a newer format).
 */
MBJ_API enum mbj_rc mbj_snapshot_open(const struct mbj_sys *sys,
				      const char *path,
				      struct mbj_snapshot **ret_snapshot,
				      struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_snapshot_close(struct mbj_snapshot **snapshot);
/* What its head and its end say. */
MBJ_API const struct mbj_snapshot_info *
mbj_snapshot_info_get(const struct mbj_snapshot *snapshot);

/* Read and judge all of it.  Returns: MBJ_ECORRUPT, naming file and place. */
MBJ_API enum mbj_rc mbj_snapshot_verify(struct mbj_snapshot *snapshot,
					struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same a bit at a time: begin, then so many records each.
 * Returns: MBJ_ENOTFOUND (err untouched): that was all, and it is good.
 */
enum mbj_rc mbj_snapshot_verify_begin(struct mbj_snapshot *snapshot,
				      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_snapshot_verify_some(struct mbj_snapshot *snapshot,
				     unsigned records,
				     struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The account of this id and name, judged; borrowed until the next call.
 * Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT.
 */
MBJ_API enum mbj_rc
mbj_snapshot_account_get(struct mbj_snapshot *snapshot, struct mbj_id id,
			 struct mbj_account *ret_account,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* What a snapshot has of an account, and what it says of it beside that. */
struct mbj_snapshot_account {
	struct mbj_id id;
	bool is_there;		  /* else: what is left of one */
	bool is_dead;		  /* it was deleted */
	bool is_parked;		  /* it was set aside */
	bool is_skipped;	  /* groups of it were given up */
	struct mbj_lsn lsn;	  /* last group that named, or deleted, it */
	struct mbj_digest digest; /* zero where it is not there */
	uint64_t records;	  /* that are of it, dead or alive */
	/* The same as its journal has them, where groups were given up. */
	struct mbj_lsn recorded_lsn;
	struct mbj_digest recorded;
};

/*
 * All accounts, dead ones too, in the order of their ids: begin, then _next
 * until it returns MBJ_ENOTFOUND (err untouched).  Each is judged, the file as
 * a whole is not.  Nothing else may be read from the snapshot in between.
 * Returns: MBJ_ECORRUPT.
 */
enum mbj_rc mbj_snapshot_accounts_begin(struct mbj_snapshot *snapshot,
					struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc mbj_snapshot_accounts_next(struct mbj_snapshot *snapshot,
				       struct mbj_snapshot_account *ret_account,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The records of an account that a snapshot of a writing transaction would
 * have; max where there are as many or more, which are not looked at.
 */
enum mbj_rc mbj_snapshot_account_count(struct mbj_txn *txn, struct mbj_id id,
				       uint64_t max, uint64_t *ret_count,
				       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Make an account in a writing transaction what it is in the snapshot, judged
 * first: what the state has of it goes without a trace, and where the snapshot
 * has nothing of it nothing comes.  Of one that was deleted its tombstone
 * comes, and what is still to be reaped.  is_wanting: every content that its
 * messages have is noted as wanted (mbj/message.h).  On failure the transaction
 * has a part of it: roll back.
 * Requires: memory for what it had and has, about 700 bytes for each message.
 * Returns: MBJ_ECORRUPT, MBJ_ECONFLICT (another account has its name).
 */
enum mbj_rc mbj_snapshot_account_load(struct mbj_snapshot *snapshot,
				      struct mbj_id id, struct mbj_txn *txn,
				      bool is_wanting,
				      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * All of it into a state that holds nothing, judged; the watermark comes last,
 * so that a state that is filled in part never passes for one.  is_wanting:
 * every content that messages have is noted as wanted (mbj/message.h).
 * Requires: the state is of its lineage.
 * Returns: MBJ_ECORRUPT, what the engine returns: the state is to be destroyed.
 * Durability: as mbj_txn_commit; checkpoint it.
 */
enum mbj_rc mbj_snapshot_load(struct mbj_snapshot *snapshot,
			      struct mbj_state *state, bool is_wanting,
			      struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
