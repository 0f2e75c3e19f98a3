/*
 * Streams: a replica on another host follows its source.
 *
 * Two processes, one on each host, with a pair of descriptors between them
 * that somebody else has made and authenticated: ssh, or whoever has made a
 * channel over them (struct mbj_stream_channel) and pinned it.  The source
 * serves one replica (mbj_stream_send); the replica pulls (mbj_stream_follow).
 * Each replica has a connection of its own; a replica may be the source of
 * others.
 *
 * A replica that has nothing yet gets the newest good snapshot of a source
 * whose journal does not begin at group 1, and the contents that it lacks; one
 * that has something, and lacks what the source has trimmed, is refused, or
 * begins anew with a snapshot (is_mending).
 *
 * The source reads superblock, segments and contents, as mbj_replay_journal
 * does: its store may be in use, or dead.  Nothing that a peer sent reaches
 * Berkeley DB but what applying a group that passed all checks puts there.
 *
 * Requires: SIGPIPE is ignored.
 *
 * Threads: one at a time per store and per connection.
 */
#ifndef MBJ_STREAM_H
#define MBJ_STREAM_H

#include <mbj/pack.h>
#include <mbj/quarantine.h>
#include <mbj/upstream.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How the bytes of a stream go, where its descriptors do not carry them as they
 * are: TLS.  Calls do at once what can be done.  Where that is nothing, *ret_n
 * is 0 and *ret_events what to wait for with poll(2), on the descriptor that is
 * read, or for POLLOUT the one that is written; 0: the peer ended in good
 * order, or, written, takes no more and may have said why.  A failure is the
 * connection's.
 */
struct mbj_stream_channel {
	void *ctx;
	enum mbj_rc (*read)(void *ctx, void *p, size_t n, size_t *ret_n,
			    short *ret_events, struct mbj_error *err);
	enum mbj_rc (*write)(void *ctx, const void *p, size_t n, size_t *ret_n,
			     short *ret_events, struct mbj_error *err);
	/* Has something come that poll(2) does not show? */
	bool (*is_pending)(void *ctx);
};

/*
 * What is certain of the peer, whatever it says.  A source serves only a store
 * of that lineage, a replica of another one is not served; a replica says no
 * other name, and no instance is its that is registered by another one.
 */
struct mbj_stream_pin {
	struct mbj_id lineage;
	const char *name; /* at most MBJ_REPLICA_NAME_MAX bytes */
};

enum { MBJ_STREAM_RATE_MIN = 1024, MBJ_STREAM_LEVEL_MAX = MBJ_PACK_LEVEL_MAX };

struct mbj_stream_options {
	size_t size;	     /* sizeof(struct mbj_stream_options) */
	int in_fd;	     /* from the peer */
	int out_fd;	     /* to the peer; may be the same */
	int stop_fd;	     /* readable: stop in good order; -1: none */
	uint32_t timeout_ms; /* for a frame, in or out */
	/* The replica's: how long the source may keep silent, having nothing;
	 * 0: at no time, and what it has counts for nobody (mbj/received.h).
	 */
	uint32_t wait_ms;
	bool is_once; /* the replica's: end where the source ends */
	/* The source's: what its files are read through; NULL: the machine. */
	const struct mbj_sys *sys;
	/* The replica's: where it is noted how it stands, or NULL. */
	struct mbj_upstream *upstream;
	/* The replica's: what people call it, at most MBJ_REPLICA_NAME_MAX
	 * bytes, or NULL. */
	const char *name;
	/* The source's: keep what the replica says of itself in the register
	 * (mbj/replicas.h), as well as that can be done. */
	bool is_registering;
	/* The replica's: make accounts that stay aside, and a replica that has
	 * fallen behind, again from a snapshot that the source has. */
	bool is_mending;
	/* Over the descriptors, which are then only waited for; NULL: none. */
	const struct mbj_stream_channel *channel;
	/* NULL: the descriptors are the peer's, and it is whom it says. */
	const struct mbj_stream_pin *pin;
	/* The source's: what it says instead of serving, or NULL. */
	const struct mbj_error *refusal;
	/*
	 * Bytes of frames a second that the source sends at most, at least
	 * MBJ_STREAM_RATE_MIN, 0: as fast as it goes.  The source's: what it
	 * sends.  The replica's: what it asks the source for, which keeps the
	 * lesser of both; one that is too old for that is MBJ_EUNSUPPORTED.
	 */
	uint64_t rate;
	/*
	 * The replica's: have what comes packed by zstd, at a level of 1 to
	 * MBJ_STREAM_LEVEL_MAX; 0: as it is.  A source that is too old for that
	 * sends it as it is, as does one that is not to pack.
	 */
	unsigned level;
	/* The source's: the most that it packs at where a replica asks for
	 * more, 0: it does not pack. */
	unsigned level_max;
	/* The source's: where its store's service listens, which is asked about
	 * the state (mbj/verify.h); NULL: in the store. */
	const char *service;
	/* The source's: where the replica connects from, as the register shows
	 * it, no more than MBJ_REPLICA_ADDRESS_MAX bytes, or NULL. */
	const char *address;
};

#define MBJ_STREAM_OPTIONS_INIT                                         \
	((struct mbj_stream_options){sizeof(struct mbj_stream_options), \
				     0,                                 \
				     1,                                 \
				     -1,                                \
				     60000,                             \
				     10000,                             \
				     false,                             \
				     NULL,                              \
				     NULL,                              \
				     NULL,                              \
				     false,                             \
				     false,                             \
				     NULL,                              \
				     NULL,                              \
				     NULL,                              \
				     0,                                 \
				     0,                                 \
				     MBJ_STREAM_LEVEL_MAX,              \
				     NULL,                              \
				     NULL})

/*
 * Serve one replica what is in the store in dir, until it hangs up or is not
 * heard of for timeout_ms, or until it is told to stop.  A replica that applies
 * a batch is silent: give it minutes.
 * Returns: MBJ_ENOTFOUND, MBJ_ECORRUPT (dir is no store, which is the answer to
 * the replica's first word), MBJ_EIO (the connection broke), MBJ_EUNSUPPORTED
 * (another protocol), MBJ_EFENCED (pinned to something else), the refusal's;
 * the replica has been told what can be told.
 */
MBJ_API enum mbj_rc mbj_stream_send(const char *dir,
				    const struct mbj_stream_options *options,
				    struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * Tell a replica that just connected to fd, which does not block, why it is not
 * served, as far as that goes without waiting, and read nothing.
 */
void mbj_stream_refuse(int fd, const struct mbj_error *why);

struct mbj_stream_result {
	struct mbj_replay_result replay; /* as of mbj_replay_journal */
	bool is_met;			 /* the source was met and accepted */
	bool is_lost;	 /* the connection failed: make another */
	bool is_stopped; /* it was told to stop: MBJ_OK, but for is_once */
	/* The replica begins anew, since the source has trimmed what it
	 * lacked (is_mending): open its store again.  MBJ_EBUSY. */
	bool is_renewed;
	/* The source has paused the replica (mbj/replicas.h), and said for how
	 * many milliseconds more.  MBJ_EBUSY, is_lost. */
	uint64_t paused_ms;
	/* At which level the source packs what it sends, 0: it does not. */
	unsigned level;
};

/*
 * Bring the replica to where the source is, and, but for is_once, keep it
 * there.  What came is applied before a failure is returned.
 * Returns: MBJ_OK (once: it is there; else it was told to stop), MBJ_EIO
 * (the connection broke, or, once, it was told to stop before), what
 * mbj_replay_journal returns; is_lost tells failures that another connection
 * may mend from those that it will not.  *ret_result is written in any case.
 * Durability: what the result counts is on disk, journal and watermark.
 */
MBJ_API enum mbj_rc mbj_stream_follow(struct mbj_store *replica,
				      const struct mbj_stream_options *options,
				      struct mbj_stream_result *ret_result,
				      struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * mbj_quarantine_resync from a source on another host: the replica is brought
 * to where it is, its newest snapshot of a group that the replica has comes
 * through the stream, unless the replica has one as new, and contents are
 * fetched last.  One that broke off goes on with what came.
 * Returns: as mbj_quarantine_resync; MBJ_EIO (the connection broke, or it was
 * told to stop), MBJ_EUNSUPPORTED (the source's version has no such thing).
 * Durability: as mbj_quarantine_resync.
 */
MBJ_API enum mbj_rc mbj_stream_resync(struct mbj_store *replica,
				      struct mbj_id account,
				      const struct mbj_stream_options *options,
				      struct mbj_resync_result *ret_result,
				      struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
