/*
 * How the register of replicas is shown, by replicas and by status.
 */
#ifndef MBJ_CLI_REPLICAS_H
#define MBJ_CLI_REPLICAS_H

#include <mbj/replicas.h>

#include "cli.h"

/* From then on a replica is away, unless somebody says otherwise. */
enum { REPLICA_AWAY_S = 300 };

/*
 * Seconds since it was heard, by the time of day where there is no other.
 * boot: mbj_boot_id(), here and below.
 */
uint64_t cli_replica_heard_s(const struct mbj_replica_note *note,
			     struct mbj_id boot);
/* Whoever serves it may have been killed: it speaks every second or so. */
bool cli_replica_is_connected(const struct mbj_replica_note *note,
			      struct mbj_id boot);
/* "connected", "away", "paused for 90 s more". */
void cli_replica_state(const struct mbj_replica_note *note, struct mbj_id boot,
		       struct mbj_buf *out);
/* Does it take a snapshot of this store now? */
bool cli_replica_is_taking(const struct mbj_replica_note *note,
			   struct mbj_id boot);
/*
 * "takes the snapshot of group 12, for all of it, 3 of 12 KiB in 4 s", or "for
 * accounts that are set aside"; nothing where it takes none.
 */
void cli_replica_take(const struct mbj_replica_note *note, struct mbj_id boot,
		      struct mbj_buf *out);
/* How many do, and how many bytes they are still to get. */
size_t cli_replicas_taking(const struct mbj_replica_note *notes, size_t count,
			   uint64_t *ret_left);
/*
 * One of those in dir, by its instance, whether it is there or not, or by a
 * name that it alone has.  Returns: MBJ_ENOTFOUND, MBJ_EINVALID.
 */
enum mbj_rc cli_replica_find(const char *dir,
			     const struct mbj_replica_note *notes, size_t count,
			     const char *text, struct mbj_id *ret_instance,
			     struct mbj_error *err) MBJ_MUST_CHECK;
/* An array. */
void cli_replicas_json(const struct mbj_replica_note *notes, size_t count,
		       struct mbj_buf *out);
/* A line each, with head before it. */
void cli_replicas_text(const char *head, const struct mbj_replica_note *notes,
		       size_t count, struct mbj_buf *out);
/* Pauses that are there without a note: an array; a line each. */
void cli_pauses_json(const struct mbj_pause_left *pauses, size_t count,
		     struct mbj_buf *out);
void cli_pauses_text(const char *head, const struct mbj_pause_left *pauses,
		     size_t count, struct mbj_buf *out);
/* "paused for 90 s more, and not registered (mbj resume ends it)" */
void cli_pause_state(const struct mbj_pause_left *pause, struct mbj_buf *out);
/*
 * How many are not known to have been current within so many milliseconds; of
 * one that is paused that is no news.
 */
size_t cli_replicas_away(const struct mbj_replica_note *notes, size_t count,
			 uint64_t ms);
/* How many have a pause that cannot be read. */
size_t cli_replicas_pause_damaged(const struct mbj_replica_note *notes,
				  size_t count);
/* How many are paused, and for how many milliseconds at most. */
size_t cli_replicas_paused(const struct mbj_replica_note *notes, size_t count,
			   uint64_t *ret_ms);
/*
 * The one that is behind least: milliseconds.  False: of none is it known how
 * far it is.
 */
bool cli_replicas_best(const struct mbj_replica_note *notes, size_t count,
		       uint64_t *ret_ms);

#endif
