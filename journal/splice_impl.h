/*
 * What mending a journal has in its hands; splice.c begins and ends it,
 * splice_walk.c walks the segments, splice_take.c has the groups.  Private to
 * journal/.
 *
 * Threads: one at a time.
 */
#ifndef MBJ_JOURNAL_SPLICE_IMPL_H
#define MBJ_JOURNAL_SPLICE_IMPL_H

#include <mbj/repair.h>

#include "splice_file.h"
#include "splice_local.h"

/* What is to be mended, and from where. */
struct splice_job {
	const struct mbj_sys *sys;
	const char *dir; /* of the journal */
	struct mbj_identity identity;
	const char *from;	       /* for messages */
	struct mbj_log_reader *source; /* NULL: end what was begun */
	bool source_is_twin;   /* a primary of this epoch, as this one may be */
	bool source_is_astray; /* of a reign that this one's is not of */
	bool source_is_later;  /* of a reign behind this one's */
	struct mbj_log_end known; /* of state or snapshot, lsn 0: not known */
	struct mbj_lsn told;	  /* of the state, which may be the end */
	uint64_t segment_size;	  /* bytes after which a new one begins */
	bool is_dry_run;
};

struct splice {
	const struct mbj_sys *sys;
	const char *dir; /* of the journal */
	const char *from;
	bool is_dry_run;
	struct mbj_identity identity;
	struct mbj_log_end known;
	struct mbj_log_end published; /* or what is known; lsn 0: nothing is */
	struct mbj_lsn told;  /* of mark and state the furthest, as an end */
	struct mbj_lsn doubt; /* unsure, as the mend before this one said */
	struct segment_list list;
	struct segment_gaps gaps;
	size_t gaps_filled;
	struct mbj_log_reader *source;
	bool source_is_twin;
	bool source_is_astray;
	bool source_is_later;
	bool source_is_other;	  /* behind the walk it has what is not taken */
	bool source_is_fork;	  /* of our epoch, and of another chain */
	struct mbj_lsn source_at; /* the group that it reads next, 0: none */
	struct mbj_sha256 *sha;
	struct mbj_log_end end;	 /* how far the walk is */
	struct mbj_lsn unpinned; /* first fetched that nothing confirms, or 0 */
	struct segment_view view;
	struct splice_local local;
	struct mbj_group held; /* what local has next, if has_held */
	bool has_held;
	struct splice_file out;
	struct mbj_mended *mended;
};

/* As mbj_journal_mend, of a journal that is ours. */
enum mbj_rc splice_journal(const struct splice_job *job,
			   struct mbj_mended *mended,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Walk the journal: on return each damaged segment is made again beside the
 * old one, and all that was fetched is pinned.
 */
enum mbj_rc splice_walk(struct splice *splice,
			struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- splice_mark.c */

/* A mend that was begun has not come to its end. */
bool splice_mark_exists(const struct mbj_sys *sys, const char *dir);
/*
 * Begin to put into their places what is mended and on disk beside them.
 * Durability: from then on a next run brings it to its end.  Returns:
 * MBJ_ELIMIT, what too many earlier damages left of a segment is kept.
 */
enum mbj_rc splice_mark_write(const struct mbj_sys *sys, const char *dir,
			      const struct mbj_mended *mended,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Bring it to its end; mended is then as the mark says, and says which are in
 * their places, also after a failure.  Returns: MBJ_ECORRUPT, a damaged mark.
 * Durability: on return.
 */
enum mbj_rc splice_mark_carry_out(const struct mbj_sys *sys, const char *dir,
				  struct mbj_mended *mended,
				  struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------- splice_take.c */

static inline struct mbj_lsn splice_lsn_next(const struct splice *s)
{
	return (struct mbj_lsn){s->end.lsn.v + 1};
}

static inline bool splice_chain_equal(const struct mbj_hash *a,
				      const struct mbj_hash *b)
{
	return memcmp(a->b, b->b, MBJ_HASH_SIZE) == 0;
}

/* What was fetched does not lead to what is behind group lsn. */
enum mbj_rc splice_other_way(const struct splice *s, struct mbj_lsn lsn,
			     struct mbj_error *err);
/* The piece got this group from the other store. */
void splice_fetched_note(struct mbj_mended_segment *piece, struct mbj_lsn lsn);
/*
 * The next group from what is left here or, not pinned yet, from the other
 * store; noted in the piece.
 */
enum mbj_rc splice_group_pick(struct splice *s,
			      struct mbj_mended_segment *piece,
			      struct mbj_group *ret_group,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The other store's next group behind the walk, if it has one and that is this
 * primary's: it can only have been made here.  A later epoch is of who was
 * promoted; a store that is astray may have what was given up when this reign
 * began, or what a rival made.
 * Returns: MBJ_EFENCED, a twin has one, which may be an edit of its own; also
 * what kept it from being told whether there is one.
 */
enum mbj_rc splice_tail_next(struct splice *s, struct mbj_group *ret_group,
			     bool *ret_has,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* Whether what is left here goes on behind the walk. */
enum mbj_rc splice_left_look(struct splice *s, bool *ret_has,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What is left here of a group that the other store has: the same, or none.
 * Returns: MBJ_EFENCED, another one.
 */
enum mbj_rc splice_tail_compare(struct splice *s, const struct mbj_group *group,
				bool *ret_is_kept,
				struct mbj_error *err) MBJ_MUST_CHECK;

#endif
