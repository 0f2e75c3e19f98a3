/*
 * Repairing a store: what is in its directory and belongs to nothing, and
 * groups of its journal that another store has.
 *
 * Only what is provably of no use is removed: files that the library itself
 * names, on their way in when their process ended, contents that no message
 * has, and of a content that is there twice, packed and not, the file that is
 * not needed.  A directory or a device by such a name stays.  State and
 * whatever is not known by name are never touched: the state is made anew by
 * any opening that finds fault with it.  What a journal lost no repair can
 * invent; it comes from a store that has it, or stays lost.
 */
#ifndef MBJ_REPAIR_H
#define MBJ_REPAIR_H

#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MBJ_REPAIR_MAP(X)                                                  \
	X(LEFTOVER, "leftover") /* on its way in when its process ended */ \
	X(ORPHAN, "orphan")	/* content that no message has */          \
	X(STRANGER, "stranger") /* nothing that is known: stays */         \
	X(TWIN, "twin")		/* the second file of a content */

enum mbj_repair_kind {
#define X(name, word) MBJ_REPAIR_##name,
	MBJ_REPAIR_MAP(X)
#undef X
};

MBJ_API const char *mbj_repair_kind_name(enum mbj_repair_kind kind);

struct mbj_repair_finding {
	enum mbj_repair_kind kind;
	bool is_removed;
	const char *path;     /* below the store, borrowed from the repair */
	struct mbj_hash blob; /* an orphan's */
};

struct mbj_repair {
	struct mbj_repair_finding *findings; /* as they were come across */
	size_t count;
	struct mbj_arena *arena;
};

/*
 * is_dry_run: finds the same and removes nothing.  Else what is found goes, if
 * it may, and nothing else does: contents of deleted accounts and mailboxes
 * that were not reaped yet are mbj_store_collect's.  A record of groups that
 * were given up (mbj/skips.h) that is damaged is put aside first.
 * Requires: what mbj_store_collect does.  Nothing is looked at twice: what
 * comes while it runs is the next one's.
 * Returns: MBJ_EFENCED where accounts are parked, or in a backup that is being
 * brought forward: their groups may need any content; nothing was looked for.
 * MBJ_ELIMIT above a million findings; nothing was removed.  Any other failure
 * comes where it comes: *ret_repair says what was found, and removed, by then.
 * Durability: a power cut may bring back what was removed.
 * Ownership: the caller calls mbj_repair_done, whatever is returned.
 */
MBJ_API enum mbj_rc mbj_store_repair(struct mbj_store *store, bool is_dry_run,
				     struct mbj_repair *ret_repair,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one that is zeroed. */
MBJ_API void mbj_repair_done(struct mbj_repair *repair);

/* A segment of a journal that is made again. */
struct mbj_mended_segment {
	uint32_t number;	 /* of the file */
	struct mbj_lsn first;	 /* as its name says */
	uint64_t kept;		 /* groups that the damaged one still had */
	uint64_t fetched;	 /* and that came from the other store, */
	struct mbj_lsn lost;	 /* from this one on, 0: none */
	struct mbj_lsn lost_end; /* up to this one */
	bool was_missing;	 /* there was no such file */
	bool is_mended;		 /* it is in its place */
};

struct mbj_mended {
	struct mbj_mended_segment *segments; /* in the journal's order */
	size_t count;
	size_t capacity;
	/*
	 * Nothing tells whether the journal had this group and more; 0: that
	 * is known, as far as can be (docs/decisions/0048).
	 */
	struct mbj_lsn unsure;
};

/*
 * Mend the journal of the store in dir by groups of the store in from, which
 * has the same lineage and may be in use.  The journal is walked from its
 * anchor: damaged segments are made again, each group byte for byte from what
 * is left of them or, where that is damaged, from the other store.  A group is
 * taken only where it continues the chain before it, and only if the chain of
 * what is good behind it (a group, a segment, the published end, the state's or
 * a primary's newest snapshot's) is met again, and what the other store has
 * behind the end of a primary, whose it must be.  Contents of messages and the
 * state are not touched, and a sound journal is not, either.  is_dry_run:
 * nothing is written, and the answer is the same but for what only the state
 * knows.
 *
 * A mend that was stopped once segments began to get their names leaves the
 * journal closed to everybody; the next one ends it first, which takes no other
 * store, and says what that one would have said.  from NULL: only that.
 *
 * sys may be NULL.  Requires: nobody has the store open (MBJ_EBUSY).
 * Returns: MBJ_EFENCED for another lineage, and where the other store went
 * another way; MBJ_ECORRUPT where it does not have what is needed; each saying
 * which group, and nothing was changed; MBJ_ELIMIT where too many earlier
 * damages of a segment are kept.  Failures behind that leave each segment the
 * old one or the mended one: *ret_mended says.
 * Durability: on return the mended segments are on disk.  What they were is
 * kept beside them, "<segment>.damaged", ".damaged1" to 9, until
 * mbj_store_repair.
 * Ownership: the caller calls mbj_mended_done, whatever is returned.
 */
MBJ_API enum mbj_rc mbj_journal_mend(const struct mbj_sys *sys, const char *dir,
				     const char *from, bool is_dry_run,
				     struct mbj_mended *ret_mended,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts one that is zeroed. */
MBJ_API void mbj_mended_done(struct mbj_mended *mended);

#ifdef __cplusplus
}
#endif

#endif
