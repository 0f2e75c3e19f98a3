/*
 * Between a client and a service: the answer to the first connection's first
 * request behind hello is lost, with the connection.  There is one more, and
 * who makes a third one is not answered.
 */
#ifndef TEST_JOURNAL_RELAY_LAB_H
#define TEST_JOURNAL_RELAY_LAB_H

#include "served_lab.h"

struct relay {
	const char *service;
	int listen_fd;
	pthread_t thread;
};

/* With the service, and a client that is connected through it. */
void relay_begin(struct relay *relay, struct served *s,
		 struct mbj_client **ret_client);
/* Requires: the client has lost its first connection. */
void relay_end(struct relay *relay, struct served *s,
	       struct mbj_client **client);

#endif
