/*
 * Blobs: the bytes of messages, each named by its SHA-256 and stored once.
 *
 *	STORE/blobs/ab/cdef...	62 hexadecimal digits: one blob, complete
 *	STORE/blobs/ab/cdef....zst	the same, packed (mbj_blobs_pack)
 *	STORE/blobs/new/...	on its way in; swept when the owner opens
 *	STORE/blobs/log.0, .1	what is short, until it is on disk by itself
 *
 * A blob never changes.  It gets its name by rename(2), and its data are on
 * disk before, in its file or in a log (mbj_blobs_log): so after a power cut no
 * name stands for bytes that were lost, and a file that was there at opening
 * needs no reading before it is relied on, only its folder a sync.  (The other
 * way, to sync data in the round and to read what was there at opening, costs
 * as many syncs, and a reading of each blob that comes a second time.)  A
 * folder of blobs is made and synced into its parent before its first blob.
 *
 * Durability: of what mbj_blob_writer_finish, mbj_blob_put, mbj_blob_copy and
 * mbj_blob_import stored, and of what mbj_blob_has found, all is on disk once
 * mbj_blobs_sync returned MBJ_OK.  Where a sync fails, what it was about is
 * not counted as stored: mbj_blob_has says no, storing the same content writes
 * it anew, and the next round writes it anew itself; no mbj_blobs_sync is
 * MBJ_OK before that succeeded.
 *
 * Threads: a struct mbj_blobs from any; a writer, a reader, a scan from one at
 * a time.  A blob must not be removed while somebody relies on having stored
 * or found it: that is between the collector and its store.
 *
 * Errors: MBJ_ENOTFOUND names the digest, MBJ_ECORRUPT the file; MBJ_ENOSPC
 * leaves nothing behind; what was stored before stays usable after any.
 */
#ifndef MBJ_BLOB_H
#define MBJ_BLOB_H

#include <mbj/error.h>
#include <mbj/sys.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of the longest blob. */
#define MBJ_BLOB_MAX UINT32_MAX
/* Behind the name of a packed blob's file. */
#define MBJ_BLOB_PACKED_END ".zst"

enum { MBJ_BLOB_TEXT_SIZE = 2 * MBJ_HASH_SIZE + 1 };

/* 64 lower-case hexadecimal digits and a NUL. */
MBJ_API void mbj_blob_print(const struct mbj_hash *digest,
			    char text[MBJ_BLOB_TEXT_SIZE]);

/* ------------------------------------------------------------- the folder */

struct mbj_blobs;

/*
 * dir is STORE/blobs.  The owner, one process at a time, makes what is missing
 * and sweeps what a crash left in new/.  Anybody else changes nothing, and
 * finds no blobs where there is no folder.
 * Requires: sys outlives it.
 * Durability: the folder's own entry is on disk, and those in it.
 */
MBJ_API enum mbj_rc mbj_blobs_open(const struct mbj_sys *sys, const char *dir,
				   bool is_owner, struct mbj_blobs **ret_blobs,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: no writer, reader or scan of it is left.  Syncs nothing. */
MBJ_API void mbj_blobs_close(struct mbj_blobs **blobs);

/*
 * Sync the folder of this blob alone, unless that is done: for many threads at
 * once, each before a mbj_blobs_sync that would else do one folder after the
 * other; those who meet in one folder wait for each other.  Where it fails the
 * blob is not settled, and that tells why, or mends it.  MBJ_OK alone does not
 * say that it is settled: another one's sync may have failed before, and what
 * is in a log (mbj_blobs_log) is left to mbj_blobs_sync.
 */
enum mbj_rc mbj_blob_settle(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Of a blob that was stored or found here: is it on disk already, so that it
 * needs no mbj_blobs_sync?
 */
bool mbj_blob_is_settled(struct mbj_blobs *blobs,
			 const struct mbj_hash *digest);

/*
 * From now on nothing is stored where fewer bytes are left: MBJ_ENOSPC, before
 * anything is written.  What is found needs none, nor what a round writes anew.
 * Requires: nobody stores yet.
 */
void mbj_blobs_keep_free(struct mbj_blobs *blobs, uint64_t size);

/*
 * From now on what is stored is packed by zstd of this level where that takes
 * less of the disk, 0: nothing is.  What is there is read whatever it is, but
 * where it is 0 no packed file is looked for when something is stored, and none
 * comes by mbj_blob_copy.
 * Requires: nobody stores yet; the store says so where others read it.
 */
void mbj_blobs_pack(struct mbj_blobs *blobs, unsigned level);

/*
 * From now on what is short and stored one by one is synced in a log, of two
 * files of so many bytes at most, which any number of producers share: it is
 * on disk, and has its name, after the next mbj_blobs_sync, which waits for one
 * sync for all of them.  Their own files are synced later, all at once
 * (mbj_blobs_rest); until then opening the folder as its owner stores anew what
 * the log has, and a reader beside no owner may find them damaged after a power
 * cut.  What the log has no room for is stored as without it, as is all once
 * it failed, or would take of what is kept free (mbj_blobs_keep_free), until it
 * came to rest after a pause and there is room.  0: no more, and what its files
 * have is left to mbj_blobs_rest.  Others may store meanwhile.
 */
void mbj_blobs_log(struct mbj_blobs *blobs, uint64_t size);
struct mbj_blobs_log_look {
	bool is_on;	   /* what is stored goes through it, and to rest */
	uint64_t failures; /* of writing it, and of bringing it to rest */
	char reason[MBJ_ERROR_MESSAGE_MAX]; /* of the last one, or empty */
};
/* Waits for no disk. */
void mbj_blobs_log_look(struct mbj_blobs *blobs,
			struct mbj_blobs_log_look *ret_look);
/* Opening it as its owner has something to store anew, or to remove. */
bool mbj_blobs_are_logged(const struct mbj_sys *sys, const char *dir);
/*
 * For a thread that has time: wait until a file of the log is full, or what
 * failed of it is to be tried again, for which it calls mbj_blobs_rest.  false:
 * mbj_blobs_rest_halt was called.
 */
bool mbj_blobs_rest_wait(struct mbj_blobs *blobs);
void mbj_blobs_rest_halt(struct mbj_blobs *blobs);
/*
 * What full files of the log have is on disk by itself: one syncfs(2) for each.
 * is_all: of the others as well, and nothing is left of the log.  Storing
 * waits for neither.
 */
enum mbj_rc mbj_blobs_rest(struct mbj_blobs *blobs, bool is_all,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Contents that were stored here and could not be brought on disk, so that they
 * are not there: whoever found one before that counts anew looks again.
 */
uint64_t mbj_blobs_drops(const struct mbj_blobs *blobs);

/*
 * From now on remember what is stored or found here, for so many milliseconds
 * at least and twice as many at most, 0: not at all; in 4 MiB, whatever there
 * is of it.  For mbj_blob_collect.
 */
enum mbj_rc mbj_blobs_remember(struct mbj_blobs *blobs, uint32_t period_ms,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Everything stored or found before this call is on disk on return.  Callers
 * that meet share one round: each folder is synced once for all of them, and
 * all of them get its error.
 */
MBJ_API enum mbj_rc mbj_blobs_sync(struct mbj_blobs *blobs,
				   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * From now on many blobs come, or no longer.  Meanwhile storing waits for no
 * disk: the next mbj_blobs_sync syncs the file system once for the data of all
 * (syncfs(2), which waits for what others have written, too), where storing
 * syncs each file otherwise.  What was stored since the last sync cannot be
 * read before it.  If that fails, none of it is there.  false: what is left is
 * stored, not yet synced.
 */
MBJ_API enum mbj_rc mbj_blobs_bulk(struct mbj_blobs *blobs, bool is_bulk,
				   struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- storing */

struct mbj_blob_writer;

/* Requires: the owner, here and below. */
MBJ_API enum mbj_rc mbj_blob_writer_begin(struct mbj_blobs *blobs,
					  struct mbj_blob_writer **ret_writer,
					  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Any number of pieces, written as they come.  The first failure stays: all
 * that follows, finish included, returns it again.
 * Returns: MBJ_ELIMIT above MBJ_BLOB_MAX bytes.
 */
MBJ_API enum mbj_rc mbj_blob_writer_write(struct mbj_blob_writer *writer,
					  struct mbj_bytes piece,
					  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * In place under its digest, unless the same content is there already.
 * Ownership: the writer is gone, whatever is returned.
 */
MBJ_API enum mbj_rc
mbj_blob_writer_finish(struct mbj_blob_writer **writer,
		       struct mbj_hash *ret_digest, uint64_t *ret_size,
		       struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_blob_writer_abort(struct mbj_blob_writer **writer);

/* All of it in one call: what is there already needs no file on its way in. */
MBJ_API enum mbj_rc mbj_blob_put(struct mbj_blobs *blobs,
				 struct mbj_bytes bytes,
				 struct mbj_hash *ret_digest,
				 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * From another store: a hard link where the file system lets us, in the form
 * that it has there, else a copy.
 * All of it is read and compared with digest and size before it is in place.
 * Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT naming the file it comes from.
 */
MBJ_API enum mbj_rc mbj_blob_copy(struct mbj_blobs *from, struct mbj_blobs *to,
				  const struct mbj_hash *digest, uint64_t size,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same for what must outlive the original: never a link to it, and what
 * was written is read back.
 */
MBJ_API enum mbj_rc mbj_blob_duplicate(struct mbj_blobs *from,
				       struct mbj_blobs *to,
				       const struct mbj_hash *digest,
				       uint64_t size,
				       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * From a file whose owner never changes it, as in a Maildir: a hard link where
 * the file system lets us and nobody else may write to it, else a copy.
 */
MBJ_API enum mbj_rc mbj_blob_import(struct mbj_blobs *blobs, const char *path,
				    struct mbj_hash *ret_digest,
				    uint64_t *ret_size,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * For the collector.  A power cut before the next sync may bring it back.
 * Returns: MBJ_ENOTFOUND.
 */
MBJ_API enum mbj_rc mbj_blob_remove(struct mbj_blobs *blobs,
				    const struct mbj_hash *digest,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The same of one that nobody relies on who was seen here: *ret_is_recent, it
 * was stored or found a moment ago (mbj_blobs_remember), or is on its way in,
 * and stays.  is_dry_run: only say so.
 */
enum mbj_rc mbj_blob_collect(struct mbj_blobs *blobs,
			     const struct mbj_hash *digest, bool is_dry_run,
			     bool *ret_is_recent,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------------------- reading */

/*
 * A file that has its name and says that the blob has this size is there; its
 * bytes are not looked at.
 */
MBJ_API enum mbj_rc mbj_blob_has(struct mbj_blobs *blobs,
				 const struct mbj_hash *digest, uint64_t size,
				 bool *ret_is_there,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* What its file takes, both where there are two; whatever is in them. */
enum mbj_rc mbj_blob_stored_size(struct mbj_blobs *blobs,
				 const struct mbj_hash *digest,
				 uint64_t *ret_size,
				 struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_blob_reader;

/* Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT: it does not say how long it is. */
MBJ_API enum mbj_rc mbj_blob_reader_open(struct mbj_blobs *blobs,
					 const struct mbj_hash *digest,
					 struct mbj_blob_reader **ret_reader,
					 uint64_t *ret_size,
					 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The next n bytes, fewer at the end only.  The call that reaches the end
 * compares the digest; a failure stays.
 * Returns: MBJ_ECORRUPT.
 */
MBJ_API enum mbj_rc mbj_blob_reader_read(struct mbj_blob_reader *reader,
					 void *p, size_t n, size_t *ret_got,
					 struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_blob_reader_close(struct mbj_blob_reader **reader);

/* Read all of it: MBJ_ENOTFOUND, MBJ_ECORRUPT, or it is what it should be. */
MBJ_API enum mbj_rc mbj_blob_verify(struct mbj_blobs *blobs,
				    const struct mbj_hash *digest,
				    uint64_t size,
				    struct mbj_error *err) MBJ_MUST_CHECK;

struct mbj_blobs_scan;

/*
 * The digests present, in order, one folder in memory at a time; those that
 * come or go meanwhile may be among them or not.  Files with other names are
 * passed over.
 */
MBJ_API enum mbj_rc mbj_blobs_scan_begin(struct mbj_blobs *blobs,
					 struct mbj_blobs_scan **ret_scan,
					 struct mbj_error *err) MBJ_MUST_CHECK;
/* *ret_is_there false: that was the last one. */
MBJ_API enum mbj_rc mbj_blobs_scan_next(struct mbj_blobs_scan *scan,
					struct mbj_hash *ret_digest,
					bool *ret_is_there,
					struct mbj_error *err) MBJ_MUST_CHECK;
MBJ_API void mbj_blobs_scan_end(struct mbj_blobs_scan **scan);

/* Of what the scan gave last: both its files are there, packed and not. */
bool mbj_blobs_scan_is_twin(const struct mbj_blobs_scan *scan);
/*
 * Of a blob of a store that packs, both of whose files are there: is one whole,
 * so that the other is not needed?  *ret_is_packed: it is the packed one that
 * is not.  All of it is read for that.
 */
enum mbj_rc mbj_blob_spare(const struct mbj_blobs *blobs,
			   const struct mbj_hash *digest, bool *ret_is_spare,
			   bool *ret_is_packed,
			   struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
