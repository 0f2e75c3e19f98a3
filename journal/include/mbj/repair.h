/*
 * Repairing a store: what is in its directory and belongs to nothing.
 *
 * Only what is provably of no use is removed: files that the library itself
 * names, on their way in when their process ended, contents that no message
 * has, and of a content that is there twice, packed and not, the file that is
 * not needed.  A directory or a device by such a name stays.  Journal, state
 * and whatever is not known by name are never touched: the state is made anew
 * by any opening that finds fault with it, and what a journal lost no repair
 * can invent.
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

#ifdef __cplusplus
}
#endif

#endif
