/*
 * A client's parts to each other: links to the service, and calls.
 */
#ifndef MBJ_CLIENT_IMPL_H
#define MBJ_CLIENT_IMPL_H

#include <pthread.h>

#include <mbj/client.h>

#include "dispatch.h"

/* A connection that said hello. */
struct link {
	struct link *next; /* among the idle */
	int fd;
	uint16_t version; /* that the service speaks with us */
	uint64_t number;  /* of its last request */
	bool is_late;	  /* it did not answer in time */
	bool is_unheard;  /* its last request was not read as a whole */
	bool is_long;	  /* the answer to its last request takes its time */
	uint32_t more_ms; /* or so much longer than others do */
};

/*
 * What is done in this process, for a client that took a store.  Behind
 * pointers, so that a program that only connects is not linked with the store,
 * its planner and its database.
 */
struct client_local {
	void (*close)(struct mbj_store **store);
	const struct mbj_identity *(*identity)(const struct mbj_store *store);
	/* As the functions of dispatch.h. */
	enum mbj_rc (*run)(struct dispatcher *dispatcher, enum wire_kind kind,
			   const struct wire_message *request,
			   struct mbj_buf *ret_body, struct mbj_error *err);
	void (*done)(struct dispatcher *dispatcher);
	enum mbj_rc (*submit)(struct mbj_store *store,
			      const struct mbj_edit *edit,
			      struct mbj_outcome *ret_outcome,
			      struct mbj_error *err);
	enum mbj_rc (*tree)(struct mbj_store *store, struct mbj_bytes name,
			    struct mbj_account *ret_account,
			    struct mbj_tree **ret_tree, struct mbj_error *err);
	enum mbj_rc (*status)(struct mbj_store *store,
			      struct mbj_client_status *ret_status,
			      struct mbj_error *err);
};

struct mbj_client {
	struct mbj_store *store;	  /* NULL: served */
	const struct client_local *local; /* where there is a store */
	struct mbj_client_options options;
	struct mbj_identity identity;
	char path[MBJ_PATH_TEXT_MAX]; /* the socket's */
	char dir[MBJ_PATH_TEXT_MAX];  /* the store's, or "" */
	pthread_mutex_t mutex;
	pthread_cond_t is_free; /* a link was given back */
	struct link *idle;
	uint16_t version;  /* that the last service spoke */
	size_t link_count; /* idle or not */
	int64_t waited_ms; /* all calls, together */
};

/* A call's answer. */
struct answer {
	struct mbj_buf body;
	struct mbj_arena *arena;
	uint16_t version;	     /* of who answered, 0: this process */
	struct wire_message message; /* borrows from both */
};

/* One with neither store nor link yet.  options may be NULL. */
enum mbj_rc client_new(const struct mbj_client_options *options,
		       struct mbj_client **ret_client,
		       struct mbj_error *err) MBJ_MUST_CHECK;

/*
 * A link for one call or more; waits where there are as many as allowed.
 * fresh: a new one, not one that may have been idle for long.
 */
enum mbj_rc link_take(struct mbj_client *client, bool is_fresh,
		      struct link **ret_link,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* Likewise, in the middle of a call: nobody there is MBJ_EIO. */
enum mbj_rc link_need(struct mbj_client *client, bool is_fresh,
		      struct link **ret_link,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/* Back to the idle ones, or, where it is broken, gone. */
void link_give(struct mbj_client *client, struct link **link, bool is_broken);
/*
 * One request and its answer's body.  *ret_is_broken: the link is of no more
 * use.  A refusal is its error.
 */
enum mbj_rc link_call(struct mbj_client *client, struct link *link,
		      enum wire_kind kind, const struct wire_message *request,
		      struct mbj_buf *ret_body, bool *ret_is_broken,
		      struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * link_call, by a link that is taken for it where *link is NULL, and is the
 * caller's then.  Where it turns out to be of no more use it is changed for a
 * new one, and the request made once more, if it was not heard or may be
 * carried out twice.  *link is NULL where there is no new one.
 */
enum mbj_rc link_ask(struct mbj_client *client, struct link **link,
		     enum wire_kind kind, const struct wire_message *request,
		     bool is_again, struct mbj_buf *ret_body,
		     bool *ret_is_broken, struct mbj_error *err) MBJ_MUST_CHECK;
void links_close(struct mbj_client *client);

/*
 * The service speaks that version, or there is none between; it may have been
 * upgraded since it was asked last.  what: what an earlier one does not do.
 */
enum mbj_rc client_need(struct mbj_client *client, uint16_t version,
			const char *what, struct mbj_error *err) MBJ_MUST_CHECK;

/* A call by whatever link is idle, or on the store; _done in any case. */
enum mbj_rc client_call(struct mbj_client *client, enum wire_kind kind,
			const struct wire_message *request,
			struct answer *ret_answer,
			struct mbj_error *err) MBJ_MUST_CHECK;
/* It is of this build's shape, and what it says can be meant. */
enum mbj_rc client_edit_check(const struct mbj_edit *edit,
			      struct mbj_error *err) MBJ_MUST_CHECK;
/* Nobody has to be asked, or the service speaks version 3 or more. */
bool client_can_take(struct mbj_client *client);
enum mbj_rc client_unsupported(struct mbj_error *err);
/* A body into a message. */
enum mbj_rc answer_decode(struct answer *answer, enum wire_kind kind,
			  struct mbj_error *err) MBJ_MUST_CHECK;
void answer_init(struct answer *answer);
void answer_done(struct answer *answer);

#endif
