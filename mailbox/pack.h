/*
 * Packs: small contents, many to a file; see mbj/blob.h and decision 0018.
 *
 *	dir/00000001.pack	records, appended by the owner; zeroes behind
 *	dir/00000001.index	which contents it has, up to where
 *
 * The pack of the highest number takes what is stored; it is never removed, so
 * that no number comes twice.  Of one content there may be several records: the
 * last one of the highest number counts.
 *
 * Threads: under the mutex of struct mbj_blobs, unless said otherwise.
 */
#ifndef MBJ_PACK_H
#define MBJ_PACK_H

#include <mbj/hash.h>
#include <mbj/sys.h>

#include "pack_format.h"

struct mbj_blobs;

/* What a new struct mbj_blobs begins with; tests set others. */
enum {
	PACKS_BODY_MAX = 128 << 10,    /* longer contents are files */
	PACKS_SIZE_MAX = 64 << 20,     /* then the next pack begins */
	PACKS_COUNT_MAX = 64 << 10,    /* records, likewise */
	PACKS_UNSYNCED_MAX = 16 << 20, /* then storing waits for a round */
	PACKS_INDEX_STEP = 16 << 20,   /* the opening scans no more */
	PACKS_DEAD_MIN = 64 << 10,     /* not worth compacting */
};

struct pack {
	uint32_t number;
	unsigned users;	   /* that read its file without the mutex */
	bool is_dropped;   /* not of the set any more; free with the last */
	bool is_missing;   /* there is only an index */
	bool is_seen;	   /* by a listing that is under way */
	bool is_loaded;	   /* the entries are here */
	bool is_sorted;	   /* they ascend, there is a fanout; else a table */
	bool is_failed;	   /* a sync of it did: from synced on, doubts */
	bool is_torn;	   /* behind the end is something */
	bool is_trimmed;   /* the index has entries that were removed */
	bool is_index_due; /* once its doubts are over */
	struct mbj_file file;
	uint64_t salt;
	uint64_t end;	   /* of its records */
	uint64_t synced;   /* all before is on disk */
	uint64_t mark;	   /* the highest such offset that a record tells */
	uint64_t indexed;  /* all before is in the index file */
	uint64_t tried;	   /* the same, or it could not be written */
	uint64_t reserved; /* zeroes are written up to here */
	uint64_t removals; /* entries that were removed since it was loaded */
	uint64_t damage;   /* where the first damage is, 0: none seen */
	struct pack_entry *entries;
	size_t count;
	size_t capacity;
	size_t doubts; /* entries from synced on that are not renewed */
	struct mbj_table table;
	uint32_t *fanout;
	unsigned fanout_bits;
};

struct packs {
	uint64_t size_max;
	uint64_t count_max;
	uint64_t body_max;
	uint64_t unsynced_max;
	uint64_t index_step;
	uint64_t dead_min;
	bool is_listed;
	struct pack **list; /* ascending by number */
	size_t count;
	size_t files; /* open ones */
	struct pack *open;
	uint32_t number_max; /* ever seen */
	bool is_entry_new;   /* of open: not on disk yet */
	struct mbj_buf record;
	char dir[MBJ_PATH_TEXT_MAX];
};

struct pack_place {
	struct pack *pack;
	uint64_t at; /* of the record */
	uint32_t size;
};

/* ------------------------------------------------------------- pack.c */

enum mbj_rc packs_init(struct mbj_blobs *blobs,
		       struct mbj_error *err) MBJ_MUST_CHECK;
void packs_done(struct mbj_blobs *blobs);
enum mbj_rc pack_path(const struct mbj_blobs *blobs, uint32_t number,
		      bool is_index, char path[MBJ_PATH_TEXT_MAX],
		      struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc pack_new(struct mbj_blobs *blobs, uint32_t number,
		     struct pack **ret_pack,
		     struct mbj_error *err) MBJ_MUST_CHECK;
/* At the end of the list, or out of it. */
enum mbj_rc packs_add(struct mbj_blobs *blobs, struct pack *pack,
		      struct mbj_error *err) MBJ_MUST_CHECK;
void packs_drop(struct mbj_blobs *blobs, struct pack *pack);
/* What is there now, by name. */
enum mbj_rc packs_list(struct mbj_blobs *blobs,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* A pack that is used keeps its file open and is not freed. */
enum mbj_rc pack_use(struct mbj_blobs *blobs, struct pack *pack,
		     struct mbj_error *err) MBJ_MUST_CHECK;
void pack_unuse(struct mbj_blobs *blobs, struct pack *pack);
/* MBJ_ECORRUPT naming file and offset, and the content if there is one. */
enum mbj_rc pack_damaged(const struct mbj_blobs *blobs, const struct pack *pack,
			 uint64_t at, const struct mbj_hash *digest,
			 const char *what, struct mbj_error *err);

/* -------------------------------------------------------- pack_find.c */

/* Its entries, from the index or a scan. */
enum mbj_rc pack_load(struct mbj_blobs *blobs, struct pack *pack,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* Where the content is.  *ret_is_there false: in no pack. */
enum mbj_rc packs_find(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		       struct pack_place *ret_place, bool *ret_is_there,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Who is not the owner, and did not find: is there more by now?  At first only
 * what was appended; is_thorough: packs that came and went, too.
 */
enum mbj_rc packs_look_again(struct mbj_blobs *blobs, bool is_thorough,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Words for why a content is in none: a pack that is gone or damaged, or "". */
void packs_suspect(struct mbj_blobs *blobs, const struct mbj_hash *digest,
		   char *text, size_t size);

/* ----------------------------------------------------- pack_entries.c */

/* NULL where it has none. */
struct pack_entry *pack_find(const struct pack *pack,
			     const struct mbj_hash *digest);
/* In a pack that is not sorted: in place of an older one of the digest. */
enum mbj_rc pack_entry_add(struct pack *pack, const struct pack_entry *entry,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* The entry counts: it was not removed, nor is in doubt. */
bool pack_entry_is_good(const struct pack *pack,
			const struct pack_entry *entry);
/* Those that count, and are before that offset. */
enum mbj_rc pack_entries_copy(const struct pack *pack, uint64_t end,
			      struct pack_entry **ret_entries,
			      size_t *ret_count,
			      struct mbj_error *err) MBJ_MUST_CHECK;
void pack_entries_sort(struct pack_entry *entries, size_t count);
/* From now on these, which ascend and which it takes. */
enum mbj_rc pack_entries_take(struct pack *pack, struct pack_entry *entries,
			      size_t count,
			      struct mbj_error *err) MBJ_MUST_CHECK;
void pack_entries_done(struct pack *pack);

/* -------------------------------------------------------- pack_scan.c */

/*
 * Records from the pack's end on become entries.  Behind what is no record it
 * goes on where one is found that tells that all before it was on disk: what
 * is between is damage; is_thorough: that is looked for.
 */
enum mbj_rc pack_scan(struct mbj_blobs *blobs, struct pack *pack,
		      bool is_thorough, struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The owner, after a scan: what is not known to be on disk is compared with
 * its digests, written again in place and synced; from the first content on
 * that is not what it should be nothing counts.
 */
enum mbj_rc pack_settle(struct mbj_blobs *blobs, struct pack *pack,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* One record's bytes into p, compared with what it should be. */
enum mbj_rc pack_content_read(const struct mbj_blobs *blobs, struct pack *pack,
			      const struct pack_entry *entry, uint8_t *p,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* The same of the record's header alone. */
enum mbj_rc pack_record_check(const struct mbj_blobs *blobs, struct pack *pack,
			      const struct pack_entry *entry,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- pack_write.c */

/* The owner's beginning: the packs that there are, and the open one. */
enum mbj_rc packs_open(struct mbj_blobs *blobs,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* And his end. */
void packs_close(struct mbj_blobs *blobs);
/* Not there yet: counts as stored after the next round. */
enum mbj_rc packs_append(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			 struct mbj_bytes content,
			 struct mbj_error *err) MBJ_MUST_CHECK;
/* A new open pack, unless the one that there is has nothing. */
enum mbj_rc packs_begin(struct mbj_blobs *blobs,
			struct mbj_error *err) MBJ_MUST_CHECK;
bool packs_are_due(const struct mbj_blobs *blobs);

/* ------------------------------------------------------- pack_round.c */

/* A content's record may not be on disk. */
bool packs_is_pending(const struct mbj_blobs *blobs,
		      const struct mbj_hash *digest);
/* No round needs to write it anew. */
void packs_doubt_forget(struct mbj_blobs *blobs, const struct mbj_hash *digest);
bool packs_have_doubts(const struct mbj_blobs *blobs);
/*
 * Without the mutex, by who leads: what an earlier round failed to sync is
 * written anew.
 */
enum mbj_rc packs_renew(struct mbj_blobs *blobs,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* The open pack failed to be synced: its records are in doubt from synced on.
 */
void packs_doubt(struct mbj_blobs *blobs, struct pack *pack);
/* Without the mutex, by who leads, after a round: indexes that are due. */
void packs_index(struct mbj_blobs *blobs);
enum mbj_rc pack_index_write(struct mbj_blobs *blobs, struct pack *pack,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------- pack_compact.c */

/* In no pack from now on; the next compaction gives the space back. */
enum mbj_rc packs_remove(struct mbj_blobs *blobs, const struct mbj_hash *digest,
			 bool *ret_was_there,
			 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
