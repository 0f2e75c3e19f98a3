/*
 * The insides of the blob folder, shared by blob*.c.
 */
#ifndef MBJ_BLOB_PRIV_H
#define MBJ_BLOB_PRIV_H

#include <pthread.h>

#include <mbj/blob.h>
#include <mbj/hash.h>

/* What a digest's file is: see blob_form.c. */
enum blob_form { BLOB_PLAIN, BLOB_PACKED, BLOB_FORMS };

enum {
	BLOB_HEAD_SIZE = 20,	     /* of a packed file */
	BLOB_FOLDERS = 256,	     /* by the first byte of the digest */
	BLOB_PIECE_SIZE = 64 << 10,  /* of a file on its way through */
	BLOB_PENDING_MAX = 64 << 10, /* then storing waits for a round */
	/* Of the log: blob_log.c. */
	BLOB_LOG_FILES = 2,
	BLOB_LOG_BLOCK = 4096,
	BLOB_LOG_HEADER_SIZE = 64,
	BLOB_LOG_BATCH_SIZE = 64,	 /* without its records */
	BLOB_LOG_RECORD_SIZE = 48,	 /* without the file */
	BLOB_LOG_CONTENT_MAX = 64 << 10, /* a longer file is synced by itself */
	BLOB_LOG_SIZE_MAX = 256 << 20,	 /* of one that is read */
};

#define BLOB_LOG_MAGIC	     "mbjblob1"
#define BLOB_LOG_BATCH_MAGIC "BLOB"

/* Stored or found, its entry perhaps not on disk. */
struct blob_pending {
	struct mbj_hash digest;
	uint64_t round;	  /* the next sync of its folder has that, or more */
	bool is_doubtful; /* a round that should have failed */
};

/* Complete in new/, without its digest's name. */
struct blob_deferred {
	struct mbj_hash digest;
	struct mbj_id fresh;
	uint64_t size; /* these as blob_fresh's */
	enum blob_form form;
	bool is_link;
	bool is_logged; /* what the log has is flushed with the next round */
};

/* A complete file in new/, its data on disk, that becomes a blob. */
struct blob_fresh {
	const char *path;
	uint64_t size; /* of the blob, whatever the form */
	enum blob_form form;
	bool is_link;	/* of a file that is somebody else's too */
	bool is_logged; /* or in the log, and its name with them */
};

enum blob_log_state { BLOB_LOG_FREE, BLOB_LOG_CURRENT, BLOB_LOG_FULL };

/* generation and reserved are the round's that writes, file as well. */
struct blob_log_file {
	enum blob_log_state state;
	bool is_there;	      /* somebody of this process made it */
	bool is_doubtful;     /* a sync of something in it failed */
	struct mbj_file file; /* closed: made when it is needed */
	struct mbj_id generation;
	uint64_t at;	   /* of the next batch */
	uint64_t reserved; /* written up to here at least, if by zeroes */
};

/* Until what failed is tried again, each time for longer. */
struct blob_pause {
	uint32_t ms;	  /* 0: it did not fail */
	int64_t until_ms; /* mbj_monotonic_ms */
};

struct blob_log {
	uint64_t size; /* of a file, 0: not asked for */
	/* These three: to look at, any thread, no mutex. */
	_Atomic bool is_on; /* asked for, and nothing failed since its rest */
	_Atomic bool is_failing;   /* to come to rest */
	_Atomic uint64_t failures; /* of writing, and of resting */
	/* Nobody who has it waits for anything: blob_log_fail. */
	pthread_mutex_t reason_mutex;
	char reason[MBJ_ERROR_MESSAGE_MAX]; /* of the last failure */
	bool is_halted;			    /* who rests is to end */
	bool is_resting;	/* somebody does, without the mutex */
	struct blob_pause stop; /* where it is not on */
	struct blob_pause rest; /* where that failed */
	struct mbj_file fs; /* the folder, for the syncs of all: see fs_open */
	unsigned current;
	struct blob_log_file files[BLOB_LOG_FILES];
	struct mbj_buf batch; /* of what is deferred */
	struct mbj_buf spare;
	pthread_cond_t is_due; /* a file is full, or it is over */
};

struct blob_waiter {
	uint64_t round;
	bool is_done;
	enum mbj_rc rc;
	struct mbj_error *err;
	struct blob_waiter *next;
};

struct mbj_blobs {
	const struct mbj_sys *sys;
	bool is_owner;
	struct mbj_file fs;    /* of an owner, the folder: see data_sync */
	uint64_t space_min;    /* set before anybody stores */
	unsigned level;	       /* as well: of zstd, 0: nothing is packed */
	pthread_mutex_t mutex; /* guards what follows up to the paths */
	pthread_cond_t round_over;
	pthread_cond_t sync_over; /* of some folder */
	bool is_leading;
	/* Counts rounds and syncs; what is stored now waits for this one. */
	uint64_t round;
	struct blob_waiter *waiters;
	void *pending; /* struct blob_pending */
	size_t pending_count;
	size_t pending_capacity;
	size_t doubtful_count;
	bool is_bulk;
	void *deferred; /* struct blob_deferred */
	size_t deferred_count;
	size_t deferred_capacity;
	struct mbj_table deferred_table; /* digest -> place */
	size_t deferred_doubtful;	 /* the first ones: blob_doubt_all */
	bool is_rounding;		 /* somebody stores what is deferred */
	struct blob_log log;
	/* Contents that a round could not store: any thread, no mutex. */
	_Atomic uint64_t drops;
	struct mbj_error drop;	/* why the last one of them was not */
	struct mbj_error doubt; /* the last sync that failed */
	/* How often blob_doubt_all: read without the mutex. */
	_Atomic uint32_t doubts;
	/* blob_recent.c: filters, of now and before, NULL: nothing is kept */
	uint64_t *recent[2];
	int64_t recent_ms; /* when that of now was begun */
	int64_t recent_period_ms;
	/* Noted since the last sync that went well began. */
	bool is_dirty[BLOB_FOLDERS];
	/* Somebody does, without the mutex. */
	bool is_syncing[BLOB_FOLDERS];
	/* Of the entries, all but the pending ones are on disk, or the log has
	 * them. */
	bool is_clean[BLOB_FOLDERS];
	/* Names that are given right now, without the mutex; in all folders. */
	uint32_t placing[BLOB_FOLDERS];
	size_t placing_count;
	/* Of them, those that were when a sync of the folder failed. */
	uint32_t suspect[BLOB_FOLDERS];
	/* Syncs of it that failed, or that were over. */
	uint32_t failures[BLOB_FOLDERS];
	uint32_t ends[BLOB_FOLDERS];
	/* The folder is there, and its own entry on disk. */
	bool is_made[BLOB_FOLDERS];
	/* Of one that is there it may not be: a sync of them failed. */
	bool is_any_unmade;
	char dir[MBJ_PATH_TEXT_MAX];
	char fresh[MBJ_PATH_TEXT_MAX]; /* dir/new */
};

struct mbj_sha256;
struct mbj_unpacker;

/* The bytes of a blob from a file that somebody else opened and closes. */
struct blob_source {
	struct mbj_file *file;
	const char *path; /* to name when it is damaged */
	enum blob_form form;
	uint64_t size; /* of the blob */
	uint64_t at;   /* of it, read */
	/* Where it is packed, from the first reading on. */
	struct mbj_unpacker *unpacker;
	uint8_t *piece; /* of the file, */
	struct mbj_bytes left;
	uint64_t file_at; /* which is read up to here */
	bool is_end;	  /* of the frame */
};

struct mbj_blob_writer {
	struct mbj_blobs *blobs;
	struct mbj_sha256 *sha;
	struct mbj_file file; /* in new/, under this name */
	struct mbj_id fresh;
	uint32_t doubts; /* of all, before it was written */
	uint64_t size;
	bool is_link; /* as blob_fresh's */
	enum blob_form form;
	/* Where blobs are packed: blob_pack.c */
	uint8_t *held; /* all of it so far, not in the file */
	bool is_worth; /* what was held looked as if it were */
	enum mbj_rc rc;
	struct mbj_error error; /* valid where rc < 0 */
};

/* ------------------------------------------------------------- blob.c */

enum mbj_rc blob_folder_path(const struct mbj_blobs *blobs, unsigned folder,
			     char path[MBJ_PATH_TEXT_MAX],
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_ENOTFOUND naming the digest. */
enum mbj_rc blob_missing(const struct mbj_blobs *blobs,
			 const struct mbj_hash *digest, struct mbj_error *err);
/* What failed elsewhere is the caller's failure, too. */
enum mbj_rc blob_tell(const struct mbj_error *why, struct mbj_error *err);
/* MBJ_ECORRUPT naming the file. */
enum mbj_rc blob_damaged(const char *path, const char *what,
			 struct mbj_error *err);

/* -------------------------------------------------------- blob_form.c */

enum mbj_rc blob_path(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest, enum blob_form form,
		      char path[MBJ_PATH_TEXT_MAX],
		      struct mbj_error *err) MBJ_MUST_CHECK;
enum blob_form blob_form_other(enum blob_form form);
/* Packed files are looked for first: all but the owner of a store without. */
bool blob_is_packing(const struct mbj_blobs *blobs);
/* Of so many bytes, in a file of file_size. */
void blob_head_put(uint64_t size, uint64_t file_size,
		   uint8_t head[BLOB_HEAD_SIZE]);
/*
 * Ownership: file is the caller's, and outlives the source.
 * Returns: MBJ_ECORRUPT, there is no good head, or the file is not as long as
 * that says.
 */
enum mbj_rc blob_source_begin(struct mbj_file *file, enum blob_form form,
			      struct blob_source *ret_source,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* The same of a blob in one form; MBJ_ENOTFOUND. */
enum mbj_rc blob_form_open(const struct mbj_blobs *blobs,
			   const struct mbj_hash *digest, enum blob_form form,
			   struct mbj_file *file,
			   struct blob_source *ret_source,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* In either; MBJ_ENOTFOUND names the digest. */
enum mbj_rc blob_find(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest, struct mbj_file *file,
		      struct blob_source *ret_source,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* The next n bytes, fewer at the end only: MBJ_ECORRUPT before others. */
enum mbj_rc blob_source_read(struct blob_source *source, void *p, size_t n,
			     size_t *ret_got,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Closes no file.  What was read to its end has done it by itself. */
void blob_source_done(struct blob_source *source);
/* In both; MBJ_ENOTFOUND where there is neither. */
enum mbj_rc blob_files_remove(const struct mbj_blobs *blobs,
			      const struct mbj_hash *digest,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* -------------------------------------------------------- blob_pack.c */

/* A writer is to hold what comes, until it is known how much that is. */
enum mbj_rc blob_hold(struct mbj_blob_writer *writer,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* The next piece, held or into the file, which has at bytes so far. */
enum mbj_rc blob_held_write(struct mbj_blob_writer *writer, uint64_t at,
			    struct mbj_bytes piece,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * All bytes came: into the file, packed where that takes less of the disk and
 * there is room and memory for it.
 */
enum mbj_rc blob_pack(struct mbj_blob_writer *writer,
		      struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ blob_recent.c */

/* The caller holds the mutex for these. */
void blob_recent_note(struct mbj_blobs *blobs, const struct mbj_hash *digest);
/* The same if it is recent, or nobody asks for that; false: it is not. */
bool blob_recent_renew(struct mbj_blobs *blobs, const struct mbj_hash *digest);
bool blob_is_recent(struct mbj_blobs *blobs, const struct mbj_hash *digest);
void blob_recent_drop(struct mbj_blobs *blobs);

/* -------------------------------------------------------- blob_sync.c */

/* The caller holds the mutex for these. */
bool blob_is_doubtful(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest);
/* Room for one note more. */
enum mbj_rc blob_note_reserve(struct mbj_blobs *blobs,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Its entry was made, or is_there: was there, and is all that there was to
 * make.  The next round syncs it.  Requires: room.
 */
void blob_note_made(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		    bool is_there);
/* Of one that was just made: the sync that failed may have been about it. */
void blob_note_doubt(struct mbj_blobs *blobs, const struct mbj_hash *digest);
/* It was there: the same, unless it is known to be on disk. */
enum mbj_rc blob_note_found(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * A sync of the whole file system failed, and why: it may have been about all
 * that waits for any, and no other one would tell.
 */
void blob_doubt_all(struct mbj_blobs *blobs, const struct mbj_error *why);
/* The mutex is let go meanwhile: the folders' syncs that run now are over. */
void blob_syncs_wait(struct mbj_blobs *blobs);
/* It is gone. */
void blob_note_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest);

/* Without the mutex: bound what is pending. */
enum mbj_rc blob_pending_bound(struct mbj_blobs *blobs,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* -------------------------------------------------------- blob_bulk.c */

/* The caller holds the mutex for these. */
bool blob_is_deferred(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest);
/* And the next round of all has it on disk at once. */
bool blob_is_logged(const struct mbj_blobs *blobs,
		    const struct mbj_hash *digest);
/* And has that size. */
bool blob_defers_size(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest, uint64_t size);
bool blob_may_defer(const struct mbj_blobs *blobs,
		    const struct mbj_hash *digest);
/* A round is due. */
bool blob_deferred_are_many(const struct mbj_blobs *blobs);
enum mbj_rc blob_defer(struct mbj_blobs *blobs,
		       const struct blob_deferred *deferred,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* All that is deferred gets its name, and is pending as any other. */
enum mbj_rc blob_bulk_round(struct mbj_blobs *blobs,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* At closing: what is deferred was promised to nobody. */
void blob_bulk_drop(struct mbj_blobs *blobs);

/* --------------------------------------------------------- blob_log.c */

/* What a batch of so many bytes takes: whole blocks. */
static inline uint64_t blob_log_room(uint64_t size)
{
	return (size + BLOB_LOG_BLOCK - 1) / BLOB_LOG_BLOCK * BLOB_LOG_BLOCK;
}

/* Of a record, with the bytes of its file. */
static inline uint64_t blob_log_record_size(uint64_t file_size)
{
	return (BLOB_LOG_RECORD_SIZE + file_size + 7) / 8 * 8;
}

enum mbj_rc blob_log_init(struct blob_log *log,
			  struct mbj_error *err) MBJ_MUST_CHECK;
void blob_log_done(struct blob_log *log);
enum mbj_rc blob_log_path(const struct mbj_blobs *blobs, unsigned number,
			  char path[MBJ_PATH_TEXT_MAX],
			  struct mbj_error *err) MBJ_MUST_CHECK;

/* The caller holds the mutex for these. */
/* A file of so many bytes may be added now. */
bool blob_log_takes(const struct mbj_blobs *blobs, uint64_t file_size);
/* For the next flush: the bytes of its file. */
enum mbj_rc blob_log_add(struct mbj_blobs *blobs,
			 const struct blob_deferred *deferred,
			 struct mbj_bytes bytes,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * In a round, the mutex is let go meanwhile: all that was added is on disk.
 * false: nothing of it is, the log is off.
 */
bool blob_log_flush(struct mbj_blobs *blobs);
/* A sync failed that may have been about what the log has. */
void blob_log_doubt(struct mbj_blobs *blobs);
/* No batch comes to it any more, and it is due to rest. */
void blob_log_fill(struct blob_log *log, struct blob_log_file *file);
/* It is asked for, and is off since something failed. */
static inline bool blob_log_is_stopped(const struct blob_log *log)
{
	return log->size > 0 && !log->is_on;
}
/* At rest: on again, if the pause is over and there is room. */
void blob_log_resume(struct mbj_blobs *blobs);

/* It failed, for that. */
void blob_log_fail(struct blob_log *log, const struct mbj_error *why);

void blob_pause_begin(struct blob_pause *pause);
void blob_pause_end(struct blob_pause *pause);

/* -------------------------------------------------------- blob_redo.c */

struct blob_record {
	struct mbj_hash digest;
	uint64_t size; /* of the blob */
	enum blob_form form;
	struct mbj_bytes bytes; /* of its file, lent */
};

/* From at on: BLOB_LOG_BLOCK, where the log begins. */
struct blob_log_walk {
	uint64_t at;
	struct mbj_bytes records; /* of a batch, that are left */
};

/* false: no log, or one at rest. */
bool blob_log_header_read(struct mbj_bytes log, struct mbj_id *ret_generation);
/* The next record of a whole batch; false: that was the last one. */
bool blob_log_next(struct mbj_bytes log, struct mbj_id generation,
		   struct blob_log_walk *walk, struct blob_record *ret_record);
/* Without the mutex: what this file has is stored anew, and on disk. */
enum mbj_rc blob_log_redo(struct mbj_blobs *blobs, unsigned number,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* At opening: of all files, which are not there any more then. */
enum mbj_rc blob_logs_redo(struct mbj_blobs *blobs,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- blob_place.c */

/*
 * Under the mutex: the file in new/ becomes the blob, and is noted for the next
 * round.
 */
enum mbj_rc blob_name_give(struct mbj_blobs *blobs,
			   const struct blob_fresh *fresh,
			   const struct mbj_hash *digest,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Without the mutex: a file of that size is there and may be relied on after
 * the next round, which it is noted for.  It is noted as recent as well, before
 * it was seen: no moment in which it could be taken away.
 */
enum mbj_rc blob_keep(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		      uint64_t size, bool *ret_is_kept,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Without the mutex: all bytes came, and this is their digest.  *ret_is_kept:
 * the blob was there, and the writer's file is not needed.
 */
enum mbj_rc blob_place(struct mbj_blob_writer *writer,
		       const struct mbj_hash *digest, bool *ret_is_kept,
		       struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- blob_write.c */

/* A new file in new/ under a name that nobody has. */
enum mbj_rc blob_fresh_open(struct mbj_blobs *blobs, struct mbj_file *ret_file,
			    struct mbj_id *ret_fresh,
			    struct mbj_error *err) MBJ_MUST_CHECK;

/* Write a doubtful blob anew, from what is read of it. */
enum mbj_rc blob_renew(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct mbj_error *err) MBJ_MUST_CHECK;

#endif
