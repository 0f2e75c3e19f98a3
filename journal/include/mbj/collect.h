/*
 * Collecting: what deleted mailboxes left behind is reaped to its end, and the
 * contents that no message has any more, or never had because a producer died
 * between storing and appending, go.
 *
 * Journal and digests are as they were.  A replica that lags behind may ask for
 * content that was collected here: its message is expunged further on in the
 * journal, so nobody misses it (mbj/replay.h).
 */
#ifndef MBJ_COLLECT_H
#define MBJ_COLLECT_H

#include <mbj/store.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mbj_collect_result {
	uint64_t removed; /* contents */
	uint64_t size;	  /* and their bytes */
	uint64_t kept;	  /* contents that messages have */
	uint64_t recent;  /* that none has, and that were stored of late */
};

/*
 * is_dry_run: counts what would go by what is reaped already, changes nothing.
 * Others may submit and store content meanwhile, through a client
 * (mbj/client.h): an edit whose content went is refused, and what was stored or
 * found during mbj_service_options.recent_ms stays.  Who stores content and
 * submits without a client, where no service is, does neither meanwhile.
 * Returns: MBJ_EBUSY (somebody keeps house), MBJ_EFENCED where accounts are
 * parked, whose groups may need what nobody has yet; or in a backup that was
 * stopped while it was brought forward, since what it was before may need what
 * its state no longer has. Durability: a power cut may bring back some of what
 * was removed; the next collection removes it again.  Interrupted, it has done
 * a part.
 */
MBJ_API enum mbj_rc mbj_store_collect(struct mbj_store *store, bool is_dry_run,
				      struct mbj_collect_result *ret_result,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The first half of it: of what deleted mailboxes left, nothing counts as a
 * message any more.
 */
enum mbj_rc mbj_store_reap(struct mbj_store *store,
			   struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
