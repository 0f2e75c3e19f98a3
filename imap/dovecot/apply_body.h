/*
 * Messages' bytes, from the service into a save: short ones many at once, long
 * ones streamed.  See apply.h.
 */
#ifndef MBJ_DOVECOT_APPLY_BODY_H
#define MBJ_DOVECOT_APPLY_BODY_H

#include "apply.h"

/*
 * Messages of which many are asked for at once, in their order.  All zero:
 * none.
 */
struct body_ahead {
	const struct mbj_message *messages;
	size_t count;
	struct mbj_client_bodies got; /* of messages[first] and those behind */
	size_t first;
	bool is_refused; /* the service does not give many: one by one */
};

/* A page of them, as long as that is there. */
void body_ahead_begin(struct body_ahead *ahead,
		      const struct mbj_client_messages *page);
/* No stream of it is left. */
void body_ahead_end(struct body_ahead *ahead);

/*
 * All bytes of one, of the page or not.  Valid until the next call.
 * Ownership: the caller's.  An error of the service is the stream's, or, where
 * there is none, is told in *ret_why.
 */
struct istream *body_open(struct body_ahead *ahead, struct mbj_client *client,
			  const struct mbj_message *message,
			  const char **ret_why);

#endif
