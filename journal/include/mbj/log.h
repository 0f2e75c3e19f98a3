/*
 * The log: groups on disk, in segment files that are only ever appended to.
 * The journal is the truth; the state (mbj/state.h) is what it implies.
 *
 * Directory: segments "<file number, 8 hex>-<first LSN, 16 hex>.seg", and
 * "published", the durable watermark for readers in other processes.
 *
 * Invariants:
 *   1. published bytes are never rewritten or truncated;
 *   2. a segment's header (first LSN, chain) voids what older segments hold at
 *      or above that LSN;
 *   3. LSNs are dense and the chain is unbroken from the anchor on;
 *   4. space is reserved (zeroes written and synced) before a batch is written;
 *   5. after a failed write or sync the outcome is unknown: the log refuses
 *      everything until it is opened again, and the next opening copies the
 *      verified prefix into a new segment;
 *   6. readers stop at the published LSN while somebody owns the store.
 *
 * A batch is framed on disk (FORMAT.md "Batch frame"), so that a batch torn by
 * a crash is told from damage: a frame is written only after the one before
 * it was synced, hence a bad frame followed by a good one, or at or below an
 * LSN known to be durable, is damage.
 *
 * Threads: a log and a reader belong to one thread at a time.
 */
#ifndef MBJ_LOG_H
#define MBJ_LOG_H

#include <mbj/group.h>
#include <mbj/sys.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a journal begins: the LSN of its first group, the chain before it. */
struct mbj_anchor {
	struct mbj_lsn first;
	struct mbj_hash chain;
};

struct mbj_log_options {
	uint64_t segment_size; /* bytes after which a new segment begins */
	uint64_t reserve_max;  /* largest step in which space is reserved */
};

/* Bytes of the groups of one batch: over it, MBJ_ELIMIT. */
enum { MBJ_LOG_BATCH_MAX = 4 * MBJ_GROUP_MAX };

#define MBJ_LOG_OPTIONS_DEFAULT ((struct mbj_log_options){16u << 20, 4u << 20})

struct mbj_log;

/* The end of a log: last LSN (0: none) and the chain value at it. */
struct mbj_log_end {
	struct mbj_lsn lsn;
	struct mbj_hash chain;
};

/*
 * Open for writing: verify the tail, sync it, publish it.
 * Requires: the store's lock; dir exists.  known is an LSN that was durable
 * for certain (the state's watermark); a log that ends before it, or before
 * what is published, is damaged.
 * Returns: MBJ_ECORRUPT with file, offset and LSN; MBJ_EFENCED where the
 * segments are of another lineage; MBJ_EUNSUPPORTED.
 * Durability: everything up to the end is on disk.
 */
enum mbj_rc mbj_log_open(const struct mbj_sys *sys, const char *dir,
			 struct mbj_id lineage, const struct mbj_anchor *anchor,
			 struct mbj_lsn known,
			 const struct mbj_log_options *options,
			 struct mbj_log **ret_log,
			 struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_log_close(struct mbj_log **log);
struct mbj_log_end mbj_log_end_get(const struct mbj_log *log);
/* Bytes dropped as a torn tail when it was opened, 0 for a clean one. */
uint64_t mbj_log_torn_get(const struct mbj_log *log);

/*
 * Make sure that size bytes of groups can be written without needing space.
 * Returns: MBJ_ENOSPC; the log is as before and usable.
 */
enum mbj_rc mbj_log_reserve(struct mbj_log *log, size_t size,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next group begins a segment, unless the last one is empty anyway.
 * Returns: MBJ_ENOSPC, as above.
 * Durability: the segment with its name is on disk.
 */
enum mbj_rc mbj_log_rotate(struct mbj_log *log,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Write one batch: count complete group records, in order, back to back.
 * Requires: they continue the log (LSN, chain): asserted.
 * Returns: MBJ_ENOSPC before anything was written (log usable); any other
 * failure has outcome unknown, and the log refuses all further calls.
 * Durability: on return the batch is on disk and published.
 */
enum mbj_rc mbj_log_append(struct mbj_log *log, struct mbj_bytes groups,
			   size_t count, struct mbj_error *err) MBJ_MUST_CHECK;
bool mbj_log_is_failed(const struct mbj_log *log);

/* Reading, by the owner or by anybody else, without any lock held on entry. */
struct mbj_log_reader;

/*
 * is_owned: somebody owns the store (the caller or another process), so stop
 * at the published LSN; else everything whole and verified is synced first
 * and readable.
 */
enum mbj_rc mbj_log_reader_open(const struct mbj_sys *sys, const char *dir,
				struct mbj_id lineage,
				const struct mbj_anchor *anchor, bool is_owned,
				struct mbj_log_reader **ret_reader,
				struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_log_reader_close(struct mbj_log_reader **reader);
/*
 * Stand before the group with this LSN; MBJ_ENOTFOUND where the log does not
 * reach back or up to it (lsn = last + 1 is legal: at the end).
 */
enum mbj_rc mbj_log_reader_seek(struct mbj_log_reader *reader,
				struct mbj_lsn lsn,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next group, verified (header, density, chain where the body is good;
 * a damaged body is handed out with is_body_good false).  Borrowed until the
 * next call.  Returns: MBJ_ENOTFOUND at the end (err untouched), MBJ_ECORRUPT
 * with file, offset and LSN.
 */
enum mbj_rc mbj_log_reader_next(struct mbj_log_reader *reader,
				struct mbj_group *ret_group,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Say where the group that was handed out last lies: MBJ_ECORRUPT with file,
 * offset and LSN.  Requires: its body is damaged.
 */
enum mbj_rc mbj_log_reader_fault(const struct mbj_log_reader *reader,
				 const struct mbj_group *group,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/* The end that this reader may read to, refreshed from disk. */
enum mbj_rc mbj_log_reader_end(struct mbj_log_reader *reader,
			       struct mbj_log_end *ret_end,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* What an opening sets aside, as the reader found it. */
struct mbj_log_torn {
	uint64_t size;	  /* bytes, 0: nothing */
	uint64_t at;	  /* offset in the segment */
	const char *file; /* its path; borrowed from the reader */
};

/*
 * A batch that was being written when the machine stopped, of which nobody was
 * told.  Nothing where somebody owns the store, or the journal is damaged.
 */
struct mbj_log_torn mbj_log_reader_torn(const struct mbj_log_reader *reader);

struct mbj_log_usage {
	uint64_t segments;
	uint64_t size; /* bytes of all segment files */
};

enum mbj_rc mbj_log_usage_get(const struct mbj_sys *sys, const char *dir,
			      struct mbj_log_usage *ret_usage,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* What a journal has behind one of its groups. */
struct mbj_log_behind {
	uint64_t bytes; /* of the groups' records */
	uint64_t bulk;	/* of those, of groups whose origin is bulk */
	bool is_exact;	/* else bytes is about that, reserved zeroes included,
			   and bulk too little */
};

/*
 * Of each of count groups, behind which there is all up to the group end.  The
 * newest 32 MiB are walked by headers; what is older counts by the size of its
 * segments, of a great many by that of one in so many.  Requires: count > 0.
 * Returns: MBJ_ENOTFOUND (a segment went meanwhile), MBJ_ECORRUPT (a segment's
 * header), MBJ_EIO.
 */
enum mbj_rc mbj_log_behind_get(const struct mbj_sys *sys, const char *dir,
			       struct mbj_id lineage, struct mbj_lsn end,
			       const struct mbj_lsn *after, size_t count,
			       struct mbj_log_behind *ret_behind,
			       struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
