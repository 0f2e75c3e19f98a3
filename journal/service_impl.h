/*
 * The service's parts to each other: connections, the pool of workers, the
 * loop.
 *
 * A connection belongs to the loop, but for BUSY ones: those are a worker's
 * until it hands them back (pool_take).
 *
 *	HEAD -> BODY -> BUSY -> WRITE -> HEAD ...
 *	       ^  |    ^  |
 *	       |  v    |  v
 *	       ROOM    LATER
 *
 * ROOM: long, and no memory left for more of it.  LATER: its answer is, and no
 * memory left for that.
 */
#ifndef MBJ_SERVICE_IMPL_H
#define MBJ_SERVICE_IMPL_H

#include <pthread.h>
#include <semaphore.h>

#include <mbj/service.h>

#include "dispatch.h"
#include "socket.h"
#include "store_impl.h"
#include "taken.h"
#include "waiters.h"

enum {
	SERVICE_SMALL_SIZE = 64 << 10, /* what a connection has in any case */
	WORK_ARENA_MAX = 512 << 20,    /* what one request is decoded into */
};

enum peer_state {
	PEER_HEAD,  /* waiting for, or reading, a head */
	PEER_BODY,  /* reading a body */
	PEER_ROOM,  /* waiting for memory */
	PEER_BUSY,  /* a worker's */
	PEER_LATER, /* waiting for memory for its answer */
	PEER_WRITE, /* its answer is being sent */
	PEER_GONE,  /* to be freed */
};

struct service;
struct peer;

/* Connections that wait for something, as they came. */
struct peer_line {
	struct peer *head;
	struct peer **tail;
};

/* One connection. */
struct peer {
	struct service *service;
	struct peer *next; /* in a queue of the pool */
	int fd;
	enum peer_state state;
	struct socket_peer who;
	struct dispatcher dispatcher;
	bool is_greeted;
	uint16_t version; /* that is spoken, once it is greeted */
	bool is_ending;	  /* its answer is the last */
	bool is_edit;	  /* its request was an edit that was carried out */
	bool is_stopping; /* its request asked the service to stop */
	bool is_waiting;  /* its request waits for replicas */
	bool is_put_off;  /* its answer would be long: it waits for room */
	bool has_share;	  /* it has room for a long answer, not there yet */
	bool is_in_doubt; /* an intent came by it, and no outcome since */
	struct waiter waiter;
	uint8_t head[WIRE_HEAD_SIZE];
	size_t head_count; /* bytes of it that are there */
	struct wire_head request;
	struct mbj_buf in;	/* the body */
	struct mbj_buf out;	/* head and body of the answer */
	size_t out_at;		/* bytes of it that are sent */
	size_t reserved;	/* of the service's memory */
	size_t kept;		/* of that for long answers */
	struct peer_line *line; /* where it waits; NULL: nowhere */
	struct peer *line_next;
	struct peer **line_at; /* what points to it there */
	int64_t line_ms;       /* since when */
	int64_t came_ms;
	int64_t began_ms; /* reading or writing */
	int64_t last_ms;  /* when it was last heard of */
	bool is_watched;  /* the kernel knows it, */
	uint32_t watched; /* and looks for these events; 0: for none */
	uint64_t request_count;
	/* Requests, and edits of them, that a worker who stayed has carried
	 * out, and the loop has not counted yet. */
	uint64_t stayed;
	uint64_t stayed_edits;
	struct mbj_client_status status; /* for STATUS: made by the loop */
};

/* A worker: its thread, and what it is woken for. */
struct worker {
	struct pool *pool;
	struct worker *next; /* among the idle */
	struct peer *peer;   /* handed to it; NULL: it is to end */
	sem_t wake;
	pthread_t thread;
};

/* Worker threads and what waits for them. */
struct pool {
	pthread_mutex_t mutex; /* guards what follows up to done_mutex */
	struct peer *queue_head;
	struct peer **queue_tail;
	struct worker *idle; /* the one that has been so longest first */
	struct worker **idle_tail;
	size_t staying; /* service_stay.c */
	bool is_halted; /* nobody stays any longer */
	bool is_ending;
	pthread_mutex_t done_mutex; /* guards done */
	struct peer *done;	    /* carried out, not yet taken back */
	/* The loop's. */
	size_t count; /* threads begun */
	size_t max;
	struct worker *workers; /* [max] */
	int wake_fd;		/* readable while done may have something */
};

/* Connections whose clients wait for replicas, and the thread that looks. */
struct awaits {
	struct mbj_store *store;
	size_t max;
	int wake_fd; /* readable: something of what is guarded changed */
	pthread_t thread;

	/* The thread's. */
	struct waiters waiters;
	struct mbj_watch watch;
	struct received *received;
	struct pollfd *fds; /* [max and a few] */

	/* Guarded. */
	pthread_mutex_t mutex;
	size_t held; /* places, from await_hold to the answer */
	struct waiter *come;
	bool is_begun;
	bool is_halted; /* nobody waits any longer */
	bool is_ending;
};

/* Memory for long answers; service_answers.c. */
struct answers {
	pthread_mutex_t mutex; /* guards what follows up to is_begun */
	size_t sum;	       /* what connections have of it */
	size_t making;	       /* shares in that: not settled yet */
	size_t waiting;	       /* connections that are put off */
	bool is_begun;
	size_t max;
	size_t share; /* of one that is being made */
	/* The loop's. */
	struct peer_line line;
	struct peer *over; /* the one that may go beyond max */
};

struct service {
	struct mbj_store *store;
	struct mbj_service_options options;
	char path[MBJ_PATH_TEXT_MAX]; /* the socket's, "" for none */
	bool is_ours;		      /* we made the file, we remove it */
	int listen_fd;		      /* -1: closed */
	struct pool pool;
	struct awaits awaits;
	struct taken taken;
	pthread_t closer; /* service_stand.c */
	bool has_closer;
	int watch_fd; /* readable: some connection has something to say */
	struct peer **peers; /* [connections_max], as they came */
	size_t peer_count;
	struct mbj_service_stats stats;
	struct answers answers;
	/* Those whose requests wait for memory, and the one beyond it. */
	struct peer_line room;
	struct peer *over;
	int64_t began_ms;
	int64_t accept_ms; /* no accepting before: out of descriptors */
	int64_t end_ms;	   /* when what is left is cut, once stopping */
	bool is_stopping;
	bool is_failed; /* the store is, for why */
	struct mbj_error failure;
	uint8_t *scratch; /* SERVICE_SMALL_SIZE */
};

/*
 * service_work.c: what a worker does with a connection.  Returns: true, it is
 * the loop's again, and not to be touched.
 */
bool work_run(struct peer *peer);
/* An answer whose body is in out, or a refusal, and as much sent as goes. */
void work_answer(struct peer *peer, enum mbj_rc rc,
		 const struct mbj_error *why);
/* The answer to who waited; *why with rc MBJ_OK: so many replicas have it. */
void work_received(struct peer *peer, size_t count,
		   const struct mbj_error *why);

/* service_take.c: work_run of a TAKE; out is ready for the answer */
bool take_run(struct peer *peer);

/* service_stand.c: who closes intents that stand for want of another change */
/* Where there is no thread for that, none stands. */
void stand_init(struct service *service);
/* All are closed.  One that was never begun is fine. */
void stand_done(struct service *service);

/* service_pool.c */
enum mbj_rc pool_init(struct pool *pool, size_t max,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* Waits for what is being carried out; all threads end. */
void pool_done(struct pool *pool);
/* Hand a connection to the workers.  Requires: nobody touches it until then. */
void pool_give(struct pool *pool, struct peer *peer);
/* Carried out: the loop's again.  Any thread that has it. */
void pool_back(struct pool *pool, struct peer *peer);
/* Those that are done, linked by next; NULL: none. */
struct peer *pool_take(struct pool *pool);
/* Something is to be done, although no connection is back.  Any thread. */
void pool_wake(struct pool *pool);

/*
 * service_stay.c: a worker with an answered connection waits for its next
 * request.  Returns: true, it is there, for work_run.
 */
bool stay_run(struct pool *pool, struct peer *peer);
void stay_halt(struct pool *pool);

/* service_await.c */
enum mbj_rc await_init(struct awaits *awaits, struct mbj_store *store,
		       size_t max, struct mbj_error *err) MBJ_MUST_CHECK;
/* Requires: nobody waits.  One that was never begun, all zero, is fine. */
void await_done(struct awaits *awaits);
/*
 * Take a place for a connection: it is to be given once the worker is done with
 * it.  Returns: MBJ_EINVALID, MBJ_ELIMIT (so many wait), MBJ_ENOMEM.
 */
enum mbj_rc await_hold(struct peer *peer, const struct wire_wait *wait,
		       struct mbj_error *err) MBJ_MUST_CHECK;
void await_give(struct peer *peer);
/* Whoever waits, or comes to, is told that the service stops. */
void await_halt(struct awaits *awaits);

/* service_peer.c */
/* Ownership of fd: the peer's.  NULL: no memory. */
struct peer *peer_new(struct service *service, int fd);
void peer_free(struct peer **peer);
/*
 * It has said nothing of a request yet, no body is on its way, and no outcome
 * of its intent is to come.
 */
bool peer_is_idle(const struct peer *peer);
/* It has not said hello, or not all of it, or was refused. */
bool peer_is_stranger(const struct peer *peer);
/*
 * Its request came in part, and the rest does not come, or slowly; so its
 * answer is read; or pieces of a body came, and no more of them for long.
 */
bool peer_is_stuck(const struct peer *peer, int64_t now);
/* Bytes may be there: read until a request is whole and given to the pool. */
void peer_read(struct peer *peer);
/* There may be room for bytes: send what is left of the answer. */
void peer_write(struct peer *peer);
/* Send as much as goes at once; any thread that has the peer. */
void peer_flush(struct peer *peer);
/* A worker has finished with it. */
void peer_back(struct peer *peer);
/* There is room for more of its body: it waits no longer. */
void peer_go_on(struct peer *peer);
/* All of its request is here: it is the workers'. */
void peer_dispatch(struct peer *peer);
/* Put an answer, or a refusal, into out.  False: no memory even for that. */
bool peer_refuse(struct peer *peer, const struct mbj_error *why);
/* It gets no further, and is to be cut off. */
bool peer_is_late(struct peer *peer, int64_t now);
/* End the one at that place; the others stay in the order they came in. */
void peer_drop(struct service *service, size_t at);

/*
 * service_place.c: there is a place for one more, or somebody gives way to it;
 * false: *why (size bytes) says why not.
 */
bool place_find(struct service *service, char *why, size_t size);
/* Who is stuck goes, or, for_memory, who is and has some.  False: nobody is. */
bool stuck_give_way(struct service *service, bool for_memory);

/* service_watch.c */
enum mbj_rc watch_init(struct service *service,
		       struct mbj_error *err) MBJ_MUST_CHECK;
/* The connections' own descriptors stay open. */
void watch_done(struct service *service);
/* All connections, as their states are now. */
void watch_all(struct service *service);
/* Those that have something to say are heard.  None is freed. */
void watch_hear(struct service *service);

/* service_room.c */
void room_init(struct service *service);
/* Bytes of its body that there is room for. */
size_t room_size(const struct peer *peer);
/* Room for more than that.  False: it is in the line, and ROOM. */
bool room_ask(struct peer *peer);
/* All of it is given back, and its place in the line. */
void room_release(struct peer *peer);
/* Those in the line for whom there is room now go on. */
void room_sweep(struct service *service);

void line_init(struct peer_line *line);
/* Requires: it waits nowhere. */
void line_enter(struct peer_line *line, struct peer *peer);
/* Nothing, where it waits nowhere. */
void line_leave(struct peer *peer);

/*
 * service_answers.c: a worker's, around what is carried out of a request.
 * Returns: false, it is put off: there is no answer, and it is to be carried
 * out again when it is its turn.
 */
void answer_begin(struct peer *peer);
bool answer_end(struct peer *peer, enum mbj_rc rc);

/* The loop's. */
enum mbj_rc answers_init(struct answers *answers,
			 const struct mbj_service_options *options,
			 struct mbj_error *err) MBJ_MUST_CHECK;
void answers_done(struct answers *answers);
size_t answers_sum(struct answers *answers);
/* Such an answer is no edit's: what it asks may be asked again. */
bool answer_may_wait(enum wire_kind kind);
/* It was put off: it waits. */
void answers_enter(struct peer *peer);
/*
 * It is answered: what turned out short, or failed before it was made, keeps no
 * share, nor the place beyond the limit, while it is read.
 */
void answers_back(struct peer *peer);
/* Its room is given back, and its place in the line. */
void answers_release(struct peer *peer);
/* Those whose turn it is go on; who does not read gives way to them. */
void answers_sweep(struct service *service, int64_t now);
/* Until one may have to; at most ms. */
int answers_left_ms(struct service *service, int64_t now, int ms);

#endif
