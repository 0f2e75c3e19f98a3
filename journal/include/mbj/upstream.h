/*
 * How a replica stands to the source that it follows: a board that whoever
 * follows writes on, and whoever answers for the store reads.
 *
 * Lag is time, by one monotonic clock of this machine: how long ago the
 * replica is known to have had all that its source had.  No wall clock is in
 * it, of either side, so that a clock that is wrong by a day changes nothing.
 * It grows while the connection is cut, and while the source does not answer:
 * what is not known to be current is not called so.
 *
 * Threads: any.
 */
#ifndef MBJ_UPSTREAM_H
#define MBJ_UPSTREAM_H

#include <mbj/error.h>
#include <mbj/log.h>

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, word, what it is) */
#define MBJ_UPSTREAM_MAP(X)                                         \
	X(NONE, 0, "none", "nothing is followed")                   \
	X(CONNECTING, 1, "connecting", "the source is not met yet") \
	X(FOLLOWING, 2, "following", "connected and accepted")      \
	X(WAITING, 3, "waiting",                                    \
	  "the connection ended, another one "                      \
	  "will be made")                                           \
	X(ENDED, 4, "ended", "for good, for the reason given")

enum mbj_upstream_state {
#define X(name, number, word, what) MBJ_UPSTREAM_##name = (number),
	MBJ_UPSTREAM_MAP(X)
#undef X
		MBJ_UPSTREAM_LAST = MBJ_UPSTREAM_ENDED
};

MBJ_API const char *mbj_upstream_word(enum mbj_upstream_state state);

/*
 * What is made again from a snapshot of the source: all of a replica, that has
 * nothing or has fallen behind, or accounts that are aside.
 * X(name, number, word, what it is)
 */
#define MBJ_RESYNC_MAP(X)                                                     \
	X(NONE, 0, "none", "nothing is made again")                           \
	X(FETCHING, 1, "fetching", "the snapshot comes")                      \
	X(JUDGING, 2, "judging", "it is here, and compared with the journal") \
	X(MAKING, 3, "making", "what it has is put in place")

enum mbj_resync_stage {
#define X(name, number, word, what) MBJ_RESYNC_##name = (number),
	MBJ_RESYNC_MAP(X)
#undef X
		MBJ_RESYNC_LAST = MBJ_RESYNC_MAKING
};

MBJ_API const char *mbj_resync_word(enum mbj_resync_stage stage);

/* X(member, JSON, what it is): new ones come last, as in mbj/status.h. */
#define MBJ_UPSTREAM_NUMBERS_MAP(X)                                            \
	X(end, "sourceEnd", "the source's last group, as it said last")        \
	X(connections, "connections", "that were accepted")                    \
	X(up_ms, "upMs", "milliseconds since following began")                 \
	X(heard_ms, "heardMs", "milliseconds since the source was heard")      \
	X(lag_ms, "lagMs", "milliseconds since the replica was current")       \
	X(lost, "contentsLost", "needed here, and the source had them not")    \
	X(paused_ms, "pausedMs",                                               \
	  "milliseconds that the source pauses it for, 0: not")                \
	X(resync_here, "resyncHere", "bytes of the snapshot that are here")    \
	X(resync_size, "resyncSize", "bytes that it has")                      \
	X(level_asked, "compressAsked",                                        \
	  "level at which the source was asked to pack, 0: it was not")        \
	X(level, "compressLevel", "level at which it packs, 0: it does not")   \
	X(behind, "bytesBehind",                                               \
	  "bytes of groups that the source has more, as it said last")         \
	X(behind_bulk, "bulkBytesBehind", "of those, of imports and the like") \
	X(behind_known, "bytesBehindKnown",                                    \
	  "0: the source does not say it, 1: about so many, 2: exactly")       \
	X(refused_ms, "refusedMs",                                             \
	  "milliseconds since it cannot follow its source, 0: it can")

struct mbj_upstream_status {
	enum mbj_upstream_state state;
	bool was_met;	      /* ever, since following began; else end is 0 */
	bool was_current;     /* the same; else lag_ms is up_ms */
	bool is_resync_whole; /* of the replica, not of accounts aside */
	uint8_t resync;	      /* enum mbj_resync_stage */
#define X(member, word, what) uint64_t member;
	MBJ_UPSTREAM_NUMBERS_MAP(X)
#undef X
	char reason[MBJ_ERROR_MESSAGE_MAX]; /* of the last end, or "" */
};

struct mbj_upstream;

/* Ownership: the caller's, who outlives whoever has it. */
MBJ_API enum mbj_rc mbj_upstream_new(struct mbj_upstream **ret_upstream,
				     struct mbj_error *err) MBJ_MUST_CHECK;
/* Accepts NULL. */
MBJ_API void mbj_upstream_free(struct mbj_upstream **upstream);

/*
 * Whoever makes connections notes that one is being made, and that it ended;
 * why may be NULL.  All accept NULL for the board.
 */
MBJ_API void mbj_upstream_connect(struct mbj_upstream *upstream);
MBJ_API void mbj_upstream_part(struct mbj_upstream *upstream, bool is_for_good,
			       const struct mbj_error *why);
/*
 * It ended since the source refuses the replica, or the replica the source:
 * that is so until another connection is accepted, or ends otherwise.
 */
MBJ_API void mbj_upstream_refuse(struct mbj_upstream *upstream,
				 const struct mbj_error *why);

/* What follows is mbj_stream_follow's to note. */

/* The source was met and accepted. */
void mbj_upstream_meet(struct mbj_upstream *upstream);
/* It serves nothing for so long, or until it is met again. */
void mbj_upstream_pause(struct mbj_upstream *upstream, uint64_t ms);
/*
 * It was heard, and says that it ends there.  asked_ms: of mbj_monotonic_ms,
 * when it was asked; what it says was true no earlier, and nobody knows how
 * much later.
 */
void mbj_upstream_hear(struct mbj_upstream *upstream, struct mbj_lsn end,
		       int64_t asked_ms);
/*
 * How many bytes it has that the replica has not applied, NULL: it does not say
 * so.  None, and exactly, once the end that it said last is reached.
 */
void mbj_upstream_left(struct mbj_upstream *upstream,
		       const struct mbj_log_behind *left);
/*
 * All up to here is in the replica's state.  Where that is the source's end,
 * the replica was current when it was asked.
 */
void mbj_upstream_apply(struct mbj_upstream *upstream, struct mbj_lsn applied);
/*
 * What is made again, and how far that is.  It is over with the connection.
 */
struct mbj_resync_progress {
	enum mbj_resync_stage stage;
	bool is_whole; /* all of the replica, not accounts that are aside */
	uint64_t here;
	uint64_t size;
};
void mbj_upstream_resync(struct mbj_upstream *upstream,
			 const struct mbj_resync_progress *progress);
/*
 * At which level the source was asked to pack what it sends, 0: it was not, and
 * at which it does.  It is over with the connection.
 */
void mbj_upstream_pack(struct mbj_upstream *upstream, unsigned asked,
		       unsigned level);
/* Contents that messages here need, and the source could not give. */
void mbj_upstream_lose(struct mbj_upstream *upstream, uint64_t lost);
MBJ_API void mbj_upstream_get(struct mbj_upstream *upstream,
			      struct mbj_upstream_status *ret_status);

#ifdef __cplusplus
}
#endif

#endif
