/*
 * Groups that somebody gave up for an account of a replica.  What came of it
 * is in the state; this is the record from which a state that is made anew, and
 * a backup, have it again: a file of the store (docs/FORMAT.md, "Skips").
 *
 * One that is damaged, or lost, costs no account: the group fails again, and
 * its account is set aside, which is seen.
 *
 * Threads: who feeds the replica writes; reading needs no owner.
 */
#ifndef MBJ_SKIPS_H
#define MBJ_SKIPS_H

#include <mbj/error.h>
#include <mbj/sys.h>
#include <mbj/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_store;

/* Groups that are remembered as given up, of all accounts. */
enum { MBJ_SKIPS_MAX = 10000 };

struct mbj_skip {
	struct mbj_id account;
	struct mbj_lsn lsn; /* of the group: it and its epoch name it */
	struct mbj_epoch epoch;
	bool is_done; /* here: not only known of another store */
};

struct mbj_skips {
	struct mbj_skip *items;
	size_t count;
};

/*
 * Those of the store in dir; none is OK.
 * Returns: MBJ_ECORRUPT, MBJ_EUNSUPPORTED.
 */
enum mbj_rc mbj_skips_load(const struct mbj_sys *sys, const char *dir,
			   struct mbj_skips *ret_skips,
			   struct mbj_error *err) MBJ_MUST_CHECK;
void mbj_skips_done(struct mbj_skips *skips);
/* That group, of that account. */
bool mbj_skips_have(const struct mbj_skips *skips, struct mbj_skip skip);
/* Any of this account. */
bool mbj_skips_name(const struct mbj_skips *skips, struct mbj_id account);

/*
 * One more, or one that is done now.  Those of groups that the journal does not
 * have any more go. Durability: on return it is on disk. Returns: MBJ_ELIMIT
 * (MBJ_SKIPS_MAX), MBJ_EUNSUPPORTED.
 */
enum mbj_rc mbj_skips_add(struct mbj_store *store, struct mbj_skip skip,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* The account is made again: what was given up is not. Durability: likewise. */
enum mbj_rc mbj_skips_drop(struct mbj_store *store, struct mbj_id account,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Those of another store of this history, beside one's own; what cannot be
 * read there is left.  Durability: likewise.
 */
enum mbj_rc mbj_skips_adopt(struct mbj_store *store, const char *source,
			    struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
