/*
 * The source's side of a stream, shared by stream_send.c (whom it serves, and
 * groups), stream_files.c (contents and snapshots) and stream_register.c (what
 * is kept of the replica, and its pause).  Private to replay/.
 */
#ifndef MBJ_STREAM_SERVE_H
#define MBJ_STREAM_SERVE_H

#include <mbj/blob.h>
#include <mbj/client.h>
#include <mbj/log.h>
#include <mbj/received.h>
#include <mbj/stream.h>
#include <mbj/watch.h>

#include "stream_link.h"

#define STREAM_JOURNAL_NAME "journal" /* in a store (docs/FORMAT.md) */

/* A frame of data: small enough for a slow line and its deadline. */
enum { STREAM_PIECE_SIZE = 64 << 10 };
/* Between looks whether the replica is paused. */
enum { STREAM_PAUSE_MS = 1000 };

struct stream_server {
	const struct mbj_sys *sys;
	const char *dir;
	struct stream_link link;
	struct mbj_watch watch;
	struct mbj_identity identity;
	uint16_t version;		  /* that is spoken */
	struct mbj_log_reader *reader;	  /* NULL: nothing to read yet */
	struct mbj_log_reader *live;	  /* to be the next reader, or NULL */
	const struct mbj_stream_pin *pin; /* or NULL */
	const struct mbj_error *refusal;  /* or NULL */
	struct mbj_error unread; /* why the store cannot be read, or MBJ_OK */
	bool is_registering;
	bool is_live;		 /* reader reads what is published */
	bool is_seeding;	 /* a snapshot was the last that it asked */
	struct mbj_lsn next;	 /* where reader stands, 0: unknown */
	struct mbj_blobs *blobs; /* NULL: none were asked for */
	struct mbj_buf piece;
	unsigned level_max; /* that it packs at, 0: it does not */
	size_t piece_size; /* that the rate allows, STREAM_PIECE_SIZE at most */
	struct mbj_replica_note note;  /* with a board: registered */
	struct mbj_upstream *board;    /* its lag, seen from here, or NULL */
	int64_t note_ms;	       /* when it is written next */
	struct mbj_received_mark mark; /* with a board: what it has for sure */
	const char *address;	       /* the replica's, or NULL */
	bool is_sound; /* it lacks nothing that the source gave or has */
	/* A content may be here, and could not be read: that one, or more. */
	bool is_blind;
	bool is_blinder;
	struct mbj_hash blind;
	int64_t left_ms; /* when what it lacks is counted again */
	bool has_left;
	struct mbj_log_behind left; /* then */
	struct mbj_id instance;	    /* the replica's, as it says */
	int64_t look_ms;	    /* for a pause, the next time */
	uint64_t paused_ms;	    /* left of it, as of the last look */
	const char *service_path;   /* or NULL */
	struct mbj_client *service; /* NULL: was not asked yet */
	struct stream_message request;
	uint8_t asked[STREAM_CONTENTS_MAX * STREAM_CONTENT_SIZE];
};

/* ------------------------------------------------------ stream_send.c */

/*
 * What a call says is wrong, where it failed in the end: one that was helped
 * may have said something, too.
 */
void stream_why_note(enum mbj_rc rc, const struct mbj_error *said,
		     struct mbj_error *ret_why);
enum mbj_rc stream_fault_send(struct stream_server *s,
			      const struct mbj_error *why,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* What is in the piece, if anything, as a frame of that kind. */
enum mbj_rc stream_piece_flush(struct stream_server *s, enum stream_kind kind,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/* No faster than so many bytes a second, 0: as it was. */
void stream_pace_take(struct stream_server *s, uint64_t rate);
/* Another store, reign or beginning than at hello: MBJ_EBUSY. */
enum mbj_rc stream_identity_check(struct stream_server *s,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/* -------------------------------------------------- stream_register.c */

/* Whose it is, as hello says; what it says of itself is kept from then on. */
enum mbj_rc stream_register_begin(struct stream_server *s,
				  const struct stream_message *hello,
				  struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * Keep what the replica says of how far it is (received, applied, parked).
 * One that cannot be registered is not served: a trim would not know of it.
 * Later, what is there holds more than it has to, and says since when.
 */
enum mbj_rc stream_register(struct stream_server *s,
			    const struct stream_message *where,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The replica takes this snapshot, from one of its bytes on; and it has all of
 * it, or gets no more.  Written with what is written anyway, every few seconds:
 * who asks for a byte at a time costs no syncs.
 */
void stream_take_begin(struct stream_server *s, struct mbj_lsn lsn,
		       bool is_whole, uint64_t at, uint64_t size);
void stream_take_go(struct stream_server *s, uint64_t sent);
void stream_take_end(struct stream_server *s);
/* The replica is gone. */
void stream_register_end(struct stream_server *s);
/* Is this one paused?  Looks now, and after a while for the same one. */
bool stream_pause_look(struct stream_server *s, struct mbj_id instance);
/* Returns: MBJ_EBUSY it is, and the connection is over. */
enum mbj_rc stream_pause_check(struct stream_server *s,
			       struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * What a sender looks at while it sends (stream_link_look), ctx the server: is
 * the replica paused?  And one that takes what is sent is heard.
 */
enum mbj_rc stream_look(void *ctx, struct mbj_error *err) MBJ_MUST_CHECK;
/* Say so, to one that speaks up to version; never MBJ_OK. */
enum mbj_rc stream_pause_tell(struct stream_server *s, uint16_t version,
			      struct mbj_error *err) MBJ_MUST_CHECK;

/* ------------------------------------------------------ stream_left.c */

/*
 * Behind the groups that were sent, to a replica that asked for them: how many
 * bytes it lacks, where it cannot know.
 */
enum mbj_rc stream_left_tell(struct stream_server *s,
			     const struct stream_message *want,
			     const struct stream_message *sent,
			     struct mbj_error *err) MBJ_MUST_CHECK;

/* ---------------------------------------------------- stream_survey.c */

/* Answer s->request.  An error is the connection's. */
enum mbj_rc stream_survey_answer(struct stream_server *s,
				 struct mbj_error *err) MBJ_MUST_CHECK;

/* ----------------------------------------------------- stream_files.c */

/* Answer s->request.  An error is the connection's. */
enum mbj_rc stream_contents_answer(struct stream_server *s,
				   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc stream_snapshot_answer(struct stream_server *s,
				   struct mbj_error *err) MBJ_MUST_CHECK;
enum mbj_rc stream_part_answer(struct stream_server *s,
			       struct mbj_error *err) MBJ_MUST_CHECK;

#endif
