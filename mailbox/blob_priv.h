/*
 * The insides of the blob folder, shared by blob*.c.
 */
#ifndef MBJ_BLOB_PRIV_H
#define MBJ_BLOB_PRIV_H

#include <pthread.h>

#include <mbj/blob.h>
#include <mbj/hash.h>

#include "pack.h"

enum {
	BLOB_FOLDERS = 256,	     /* by the first byte of the digest */
	BLOB_PIECE_SIZE = 64 << 10,  /* of a file on its way through */
	BLOB_PENDING_MAX = 64 << 10, /* then storing waits for a round */
};

/* Stored or found, its entry perhaps not on disk. */
struct blob_pending {
	struct mbj_hash digest;
	uint64_t round;	  /* that will sync its folder */
	bool is_doubtful; /* a round that should have failed */
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
	uint64_t space_min;    /* set before anybody stores */
	pthread_mutex_t mutex; /* guards what follows up to the paths */
	pthread_cond_t round_over;
	bool is_leading;
	uint64_t round; /* the one that what is stored now waits for */
	struct blob_waiter *waiters;
	void *pending; /* struct blob_pending */
	size_t pending_count;
	size_t pending_capacity;
	size_t doubtful_count;
	struct packs packs;
	/* The owner: folders that there are. */
	bool has_folder[BLOB_FOLDERS];
	/* Entries that no round took up yet. */
	bool is_dirty[BLOB_FOLDERS];
	/* Of the entries, all but the pending ones are on disk. */
	bool is_clean[BLOB_FOLDERS];
	char dir[MBJ_PATH_TEXT_MAX];
	char fresh[MBJ_PATH_TEXT_MAX]; /* dir/new */
};

struct mbj_sha256;

struct mbj_blob_writer {
	struct mbj_blobs *blobs;
	struct mbj_sha256 *sha;
	struct mbj_buf bytes; /* all of it, until it is too long for a pack */
	struct mbj_file file; /* in new/ from then on */
	uint64_t size;
	bool is_link; /* of a file that is somebody else's too */
	enum mbj_rc rc;
	struct mbj_error error; /* valid where rc < 0 */
};

/* ------------------------------------------------------------- blob.c */

enum mbj_rc blob_folder_path(const struct mbj_blobs *blobs, unsigned folder,
			     char path[MBJ_PATH_TEXT_MAX],
			     struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc blob_path(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest,
		      char path[MBJ_PATH_TEXT_MAX],
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_ENOTFOUND naming the digest. */
enum mbj_rc blob_missing(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			 struct mbj_error *err);
int blob_digit_value(char c);
enum mbj_rc blob_digest(struct mbj_bytes bytes, struct mbj_hash *ret_digest,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_ECORRUPT naming the file. */
enum mbj_rc blob_damaged(const char *path, const char *what,
			 struct mbj_error *err);

/* -------------------------------------------------------- blob_sync.c */

/* The caller holds the mutex for these. */
bool blob_is_doubtful(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest);
/* Room for one note more. */
enum mbj_rc blob_note_reserve(struct mbj_blobs *blobs,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Its entry was made; the next round syncs it.  Requires: room. */
void blob_note_made(struct mbj_blobs *blobs, const struct mbj_hash *digest);
/* It was there: the same, unless it is known to be on disk. */
enum mbj_rc blob_note_found(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* It is gone. */
void blob_note_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest);

/* Without the mutex: bound what is pending. */
enum mbj_rc blob_pending_bound(struct mbj_blobs *blobs,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* What a round failed to sync is stored anew, in a pack. */
void blob_doubt_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest);

/*
 * Lead the rounds, alone, until that is given back: for who changes packs.
 * With the mutex, which is let go while it waits.
 */
void blob_lead_begin(struct mbj_blobs *blobs);
void blob_lead_end(struct mbj_blobs *blobs);

/* -------------------------------------------------------- blob_read.c */

/* Where the bytes of a blob are: a file of their own, or a piece of a pack. */
struct blob_source {
	struct pack *pack; /* NULL: file */
	struct pack_entry entry;
	struct mbj_file file;
	uint64_t at;
	uint64_t size;
};

/* Returns: MBJ_ENOTFOUND naming the digest. */
enum mbj_rc blob_source_open(struct mbj_blobs *blobs,
			     const struct mbj_hash *digest,
			     struct blob_source *ret_source,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void blob_source_close(struct mbj_blobs *blobs, struct blob_source *source);
static inline struct mbj_file *blob_source_file(struct blob_source *source)
{
	return source->pack != NULL ? &source->pack->file : &source->file;
}
/* MBJ_ECORRUPT naming file and content. */
enum mbj_rc blob_source_damaged(const struct mbj_blobs *blobs,
				const struct blob_source *source,
				const char *what, struct mbj_error *err);

/* ------------------------------------------------------- blob_write.c */

/*
 * Under the mutex: a complete file in new/, its data on disk, becomes the
 * blob, and is noted for the next round.
 */
enum mbj_rc blob_name_give(struct mbj_blobs *blobs, const char *fresh,
			   const struct mbj_hash *digest,
			   struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Under the mutex: a file of that size is there and may be relied on after
 * the next round, which it is noted for.
 */
enum mbj_rc blob_keep(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		      uint64_t size, bool *ret_is_kept,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* Enough is left to store anything. */
enum mbj_rc blob_space_check(const struct mbj_blobs *blobs,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* A content that is short enough for a pack. */
enum mbj_rc blob_store(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct mbj_bytes bytes,
		       struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc blob_fresh_path(const struct mbj_blobs *blobs,
			    char path[MBJ_PATH_TEXT_MAX],
			    struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc blob_writer_new(struct mbj_blobs *blobs,
			    struct mbj_blob_writer **ret_writer,
			    struct mbj_error *err) MBJ_MUST_CHECK;
void blob_writer_free(struct mbj_blob_writer **writer);
/* Count and hash a piece. */
enum mbj_rc blob_writer_count(struct mbj_blob_writer *writer,
			      struct mbj_bytes piece,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* *ret_is_kept: the content was there, the writer's file is not needed. */
enum mbj_rc blob_writer_place(struct mbj_blob_writer *writer,
			      const struct mbj_hash *digest, bool *ret_is_kept,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- blob_bring.c */

/* Write a doubtful blob anew, from what is read of it. */
enum mbj_rc blob_renew(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct mbj_error *err) MBJ_MUST_CHECK;

#endif
