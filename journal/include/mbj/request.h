/*
 * Request ids: how a producer whose answer was lost asks again without doing
 * anything twice.
 *
 * An edit with a request id (struct mbj_edit.request) leaves a receipt in its
 * group: which edit it was, and what became of it.  The same edit with the same
 * id is then answered with the first one's outcome, and not repeated, whoever
 * asks, in whatever process, after a crash, and after a replica with that
 * journal was made the primary: at least until request_window groups
 * (struct mbj_store_options) have come after its own.
 *
 * The same edit means equal in all that struct mbj_edit says but is_dry_run:
 * another one with the id is refused, MBJ_ECONFLICT.  What is new with each
 * attempt would make it another one:
 *   1. ids of mailboxes that it creates follow from the request id, where they
 *      come from mbj_request_sys;
 *   2. the INTERNALDATE of a message is MBJ_TIME_NOW, or the same one again.
 *
 * An edit that was refused, or had nothing to change, has no group: asked
 * again, it is judged again.  A dry run neither asks nor is remembered.
 */
#ifndef MBJ_REQUEST_H
#define MBJ_REQUEST_H

#include <mbj/error.h>
#include <mbj/sys.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Groups; what one remembered request takes in memory is under 64 bytes. */
enum { MBJ_REQUEST_WINDOW = 1 << 17, MBJ_REQUEST_WINDOW_MAX = 1 << 24 };

/*
 * The id of a request that has a name of its own, such as an MTA's queue id
 * with the recipient: any text gives one, and equal texts the same.
 */
MBJ_API enum mbj_rc mbj_request_id_make(struct mbj_bytes text,
					struct mbj_id *ret_id,
					struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * The real system, but for its random numbers, which follow from a request id:
 * for mbj_jmap_set_parse, so that a request that is parsed again creates
 * mailboxes with the same ids.
 */
struct mbj_request_sys {
	struct mbj_sys table;
	struct mbj_id request;
	uint64_t drawn; /* blocks so far */
};

/* Ownership: sys stays where it is while table is in use. */
MBJ_API void mbj_request_sys_init(struct mbj_request_sys *sys,
				  struct mbj_id request);

#ifdef __cplusplus
}
#endif

#endif
