/*
 * Edits that wait to be carried out, and a batch of them: judged, then made
 * durable.
 *
 * Threads: the leader's (batch_queue.c).
 */
#ifndef MBJ_BATCH_REQUEST_H
#define MBJ_BATCH_REQUEST_H

#include <semaphore.h>

#include "store_impl.h"

/* A batch whose requests were carried out in its transaction, not more. */
struct judged {
	struct request *list;
	struct request *end; /* the first that is not in it */
	struct mbj_store_space space;
	int64_t time_us;
	enum mbj_rc rc; /* of that: the transaction is gone on a failure */
	struct mbj_error why;
};

/* One edit waiting for its answer; its thread's. */
struct request {
	const struct mbj_edit *edit; /* NULL: a turn */
	uint64_t removals; /* of content, when its own was looked for */
	bool is_sole;	   /* an intent, where its producer has none open */
	bool is_standing;  /* an outcome that leaves its intent open */
	struct mbj_outcome outcome;
	struct mbj_error error; /* valid where rc < 0 */
	enum mbj_rc rc;
	bool is_put_off;  /* has no room beside others: for the next batch */
	bool is_in_batch; /* its group is, of the transaction that is open */
	bool is_told_to_lead;
	/*
	 * Its thread is told as soon as it is in a batch: is_judged, and is
	 * woken once more when the batch is over.
	 */
	bool is_taking;
	bool is_judged;
	bool is_leading; /* between the two: judged has its batch */
	struct judged judged;
	struct request *next;
	sem_t wake;
};

/*
 * One batch from the head of list, of one request or of as many as fit: carried
 * out, and nothing of it durable.  Those that are to be told so are, but own.
 */
void batch_judge(struct mbj_store *store, struct request *list, bool is_alone,
		 const struct request *own, struct judged *ret_judged);
/*
 * The batch is made durable; all that it took have their rc.  Where it failed
 * before the journal was written each is tried once more by itself, so that
 * one that cannot be had does not cost the others.
 */
void batch_answer(struct mbj_store *store, const struct judged *judged,
		  const struct request *own);

#endif
