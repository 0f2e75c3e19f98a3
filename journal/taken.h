/*
 * Edits of a service that were answered before they are durable
 * (mbj_client_outcome): how many there may be, and who has to wait for them.
 *
 * Threads: any.
 */
#ifndef MBJ_TAKEN_H
#define MBJ_TAKEN_H

#include <pthread.h>

#include <mbj/error.h>
#include <mbj/types.h>

enum {
	TAKEN_MAX = 64,		   /* of a service at once */
	TAKEN_ACCOUNT_MAX = 4,	   /* of one account */
	TAKEN_SIZE_MAX = 64 << 10, /* bytes of each, as it came */
};

struct taken_slot {
	uint64_t serial; /* 0: free */
	struct mbj_bytes account;
	bool is_carried; /* its answer was, or is to be, behind that */
};

/* What somebody waits for. */
enum taken_stage {
	TAKEN_CARRIED, /* in a batch: what is submitted now comes behind it */
	TAKEN_DURABLE, /* and can be read */
};

struct taken {
	pthread_mutex_t mutex;
	pthread_cond_t is_less;
	struct taken_slot slots[TAKEN_MAX];
	uint64_t serial; /* of the last that came */
	uint64_t count;	 /* answered before they were durable, ever */
	uint64_t lost;	 /* of those: never were */
	bool is_begun;
};

struct taken_counts {
	uint64_t count;
	uint64_t lost;
};

enum mbj_rc taken_init(struct taken *taken, struct mbj_error *err);
/* Requires: none is left.  One that was never begun, all zero, is fine. */
void taken_done(struct taken *taken);

/*
 * An edit of size bytes, of an account whose name stays where it is, is about
 * to be carried out; or, not is_carried, to be answered before that.  Returns:
 * false, there are as many as there may be, or it is too long: it is answered
 * when it is durable.
 */
bool taken_enter(struct taken *taken, struct mbj_bytes account, size_t size,
		 bool is_carried, size_t *ret_slot);
/* It was carried out. */
void taken_carry(struct taken *taken, size_t slot);
/* It was answered. */
void taken_note(struct taken *taken);
/* It is durable, or was refused; is_lost: although it was answered. */
void taken_leave(struct taken *taken, size_t slot, bool is_lost);
/* Until all that came before are, of an account, or, empty, of all. */
void taken_wait(struct taken *taken, struct mbj_bytes account,
		enum taken_stage stage);
struct taken_counts taken_counts_get(struct taken *taken);

#endif
