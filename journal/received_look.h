/*
 * How far the replicas of a store are, and who waits for that.  Private to
 * journal/.
 */
#ifndef MBJ_RECEIVED_LOOK_H
#define MBJ_RECEIVED_LOOK_H

#include <mbj/received.h>
#include <mbj/replicas.h>
#include <mbj/watch.h>

enum {
	RECEIVED_SIZE = 56,
	/* Between looks: what nobody tells of, as the end of a pause; and all,
	 * where the kernel tells of nothing. */
	RECEIVED_TICK_MS = 250,
	RECEIVED_POLL_MS = 10,
};

/* LSNs that replicas have received, the highest first. */
struct received {
	size_t count;
	struct mbj_lsn lsns[MBJ_REPLICAS_MAX];
};

/* ------------------------------------------------------ received_mark.c */

/*
 * What is written of one replica.  0: nothing, or of another lineage, or it is
 * damaged, which is as good as not having heard of it.
 */
struct mbj_lsn received_mark_read(const struct mbj_sys *sys, const char *path,
				  struct mbj_id lineage,
				  struct mbj_id instance);
/* With the register's lock.  That there is none is no failure. */
enum mbj_rc received_mark_remove(const struct mbj_sys *sys, const char *path,
				 struct mbj_id instance,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------------- received.c */

/* Those that count.  What says more than the journal has says nothing. */
enum mbj_rc received_look(const struct mbj_sys *sys, const char *dir,
			  struct mbj_id lineage, struct mbj_lsn end,
			  struct received *ret_received,
			  struct mbj_error *err) MBJ_MUST_CHECK;
/* The same of a store in the caller's hands. */
enum mbj_rc received_look_store(struct mbj_store *store,
				struct received *ret_received,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * When a store is opened: who has more than its journal has it of groups that
 * were lost, and would count again for others of those numbers.
 */
void received_forget_above(struct mbj_store *store);
/* Be told when that changes, also where the register is made only then. */
void received_watch(struct mbj_watch *watch, const struct mbj_store *store);
/* How many have this group. */
size_t received_count(const struct received *received, struct mbj_lsn lsn);
/* May that be waited for?  MBJ_EINVALID. */
enum mbj_rc received_check(struct mbj_store *store, struct mbj_lsn lsn,
			   uint32_t replicas, uint32_t wait_ms,
			   struct mbj_error *err) MBJ_MUST_CHECK;
/* MBJ_EUNRECEIVED: its time is over, or nobody looks any more. */
enum mbj_rc received_fail(struct mbj_lsn lsn, uint32_t replicas, size_t count,
			  uint32_t wait_ms, struct mbj_error *err);
enum mbj_rc received_halt(struct mbj_lsn lsn, uint32_t replicas,
			  struct mbj_error *err);

#endif
