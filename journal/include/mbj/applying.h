/*
 * What is being applied, noted where it outlives the process: so that a group
 * which ends the program, by an assertion or a signal, is known for it when
 * the store is opened again, and sets aside its accounts instead of ending
 * every process that meets it.
 *
 * A note is written before a batch of groups is applied, and taken back when
 * that is done and before anything is waited for.  One that is still there at
 * an opening says that a process ended in that batch, which speaks against none
 * of its groups: they are applied each for itself, with a note of its own.  One
 * in which another process ends, and then one more, is a *stopper*, of the
 * version of the program that it ended; unless it went well in between.  That
 * a process was killed twice just there is all that can be taken for it, and
 * costs an account that is healed as any other one.
 *
 * The note is not synced: the page cache outlives a process, and a machine that
 * stops is no program that does.  Nothing hangs on it: where it cannot be
 * written all goes on as without.
 *
 * Threads: who feeds the replica.
 */
#ifndef MBJ_APPLYING_H
#define MBJ_APPLYING_H

#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Stoppers that a store knows at once: the oldest go. */
enum { MBJ_STOPPERS_MAX = 64 };

/*
 * See what an earlier process has left.  Requires: the store was just opened.
 */
void mbj_applying_load(struct mbj_store *store);
/*
 * Groups from lsn on are applied now, as many as usual, or this one alone where
 * something speaks against it; nothing where it is among what is noted.
 */
void mbj_applying_begin(struct mbj_store *store, struct mbj_lsn lsn,
			uint32_t usual);
/* Nothing is applied now; nothing where that was so. */
void mbj_applying_end(struct mbj_store *store);
/*
 * All that the source has was applied, and with it what was when an earlier
 * process ended: no batch is suspected any more.
 */
void mbj_applying_pass(struct mbj_store *store);
/* Groups that may be applied with one note from lsn on: usual, or one. */
uint32_t mbj_applying_span(const struct mbj_store *store, struct mbj_lsn lsn,
			   uint32_t usual);
/* Has it ended this version of the program? */
bool mbj_applying_is_stopper(const struct mbj_store *store, struct mbj_lsn lsn);
/*
 * It took effect in the transaction at hand; and once that is committed, or is
 * not.  Durability: what spoke against the group is gone for good.
 */
void mbj_applying_well(struct mbj_store *store, struct mbj_lsn lsn);
void mbj_applying_settle(struct mbj_store *store, bool is_committed);

#ifdef __cplusplus
}
#endif

#endif
