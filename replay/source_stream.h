/*
 * A stream as a source of groups and contents.  Private to replay/.
 *
 * Groups are asked for in windows; while one is applied the next is on its way
 * already.  Contents are asked for together: when one is lacking, so are
 * usually those of the groups behind it.
 *
 * Invariants:
 *   1. what is handed out continues what was handed out before it (LSN, chain)
 *      and came undamaged;
 *   2. with a group ahead of another one, memory is one group of the largest
 *      size and two windows at most;
 *   3. once the link is lost, nothing more is handed out.
 *
 * Threads: one.
 */
#ifndef MBJ_SOURCE_STREAM_H
#define MBJ_SOURCE_STREAM_H

#include <mbj/stream.h>

#include "replay_run.h"
#include "stream_link.h"
#include "wanted_pace.h"

/* Of contents, one after the other, before anything else is done. */
enum { STREAM_QUESTIONS_MAX = 4 };

/* Groups that were received, and how far they have been handed out. */
struct stream_window {
	struct mbj_buf records;
	size_t at;
	uint32_t count; /* groups that are left */
	bool is_left;	/* the source says what is left */
	struct mbj_log_behind left;
	/* Behind them; MBJ_OK: the source had no fault. */
	struct mbj_error fault;
};

struct source_stream {
	struct replay_source source; /* first */
	struct stream_link link;
	struct mbj_store *store;
	struct mbj_upstream *upstream;	  /* or NULL */
	struct mbj_bytes name;		  /* the replica's own */
	uint16_t version;		  /* that is spoken */
	unsigned level;			  /* what comes is packed at, or 0 */
	bool is_met;			  /* it was accepted */
	bool is_renewed;		  /* the replica begins anew */
	uint64_t paused_ms;		  /* by the source, 0: it is not */
	int64_t asked_ms;		  /* the last question */
	const struct mbj_stream_pin *pin; /* the source's, or NULL */
	struct mbj_identity identity;
	struct mbj_hello hello;
	struct mbj_sha256 *sha;
	struct stream_window window;
	struct stream_window ahead; /* is_here: received, too */
	bool is_asked;		    /* a fetch is on its way, for ahead */
	bool is_here;
	struct mbj_lsn fetch; /* the next one asks from here */
	struct mbj_lsn end;   /* the source's, as it said last */
	struct mbj_lsn next;  /* to be handed out */
	struct mbj_hash chain;
	bool has_chain; /* of the group before next */
	size_t held;	/* where the group handed out last begins */
	struct mbj_lsn applied;
	struct mbj_lsn parked;
	struct mbj_buf asked;  /* contents, as they were asked for */
	struct mbj_buf asking; /* and those that were behind them */
	/* Digests of those that the source has not, of the last questions in
	 * this window. */
	struct mbj_buf lost;
	struct wanted_pace pace; /* of what it did not have */
};

/*
 * Say hello, hear who the source is; a replica that has nothing, and a source
 * whose journal does not reach back to group 1: fill it from a snapshot.
 * _done in any case.
 */
enum mbj_rc source_stream_begin(struct source_stream *s,
				struct mbj_store *store,
				const struct mbj_stream_options *options,
				struct mbj_error *err) MBJ_MUST_CHECK;
void source_stream_done(struct source_stream *s);
/*
 * Wait until the source has more than was handed out, at most wait_ms.
 * Requires: all was handed out.
 */
enum mbj_rc source_stream_wait(struct source_stream *s, uint32_t wait_ms,
			       bool *ret_is_more,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* stream_greet.c */
/*
 * Say who the replica is and where it stands, and hear what the source has
 * there.  Requires: link, name and pin; no store.
 */
enum mbj_rc source_stream_hello(struct source_stream *s,
				const struct mbj_identity *identity,
				const struct mbj_watermark *where,
				struct mbj_error *err) MBJ_MUST_CHECK;
/* Say where the replica stands, or would, and hear what the source has there.
 */
enum mbj_rc source_stream_greet(struct source_stream *s,
				const struct mbj_watermark *where,
				struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What the source says is wrong with it.  Where another connection may find it
 * otherwise, this one is as good as lost.  "Not there" is no end of the groups,
 * which is what it means to who reads them here.
 */
enum mbj_rc stream_fault_take(struct source_stream *s,
			      const struct mbj_error *fault,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * All that is said first: who the replica is, how fast what comes is to be, and
 * how packed.
 */
enum mbj_rc source_stream_meet(struct source_stream *s,
			       const struct mbj_stream_options *options,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* What the peer sent is not what it should be: the connection is no use. */
enum mbj_rc source_stream_bad(struct source_stream *s, struct mbj_error *err,
			      const char *what) MBJ_MUST_CHECK;

/* What is made again from a snapshot, for whoever looks at the board. */
void stream_resync_note(struct source_stream *s, enum mbj_resync_stage stage,
			bool is_whole, uint64_t here, uint64_t size);

/* stream_seed.c */
/* A replica that has nothing, of a source that does not begin at group 1. */
bool source_stream_needs_seed(const struct source_stream *s);
/* One of whose next groups the source has trimmed. */
bool source_stream_is_behind(const struct source_stream *s);
/*
 * Fill it from a snapshot; one that is behind begins anew, and its store is to
 * be opened again: MBJ_EBUSY, with s->is_renewed.
 * Requires: it needs one.  On failure the replica has nothing, as before; what
 * came of the snapshot is kept where the connection was lost.
 */
enum mbj_rc source_stream_seed(struct source_stream *s,
			       struct mbj_error *err) MBJ_MUST_CHECK;

/* source_contents.c: an operation of the source. */
enum mbj_rc source_stream_content(struct replay_source *source,
				  struct mbj_blobs *to,
				  struct replay_content *content,
				  bool *ret_is_here, struct mbj_error *ret_why,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* Receive what was asked for ahead, so that something else can be asked. */
enum mbj_rc source_stream_settle(struct source_stream *s,
				 struct mbj_error *err) MBJ_MUST_CHECK;

#endif
