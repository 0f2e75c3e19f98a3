/*
 * A change of u3's messages as a server with a storage of its own makes it:
 * announced, with what is there, and told with what it appends.
 */
#ifndef TEST_JOURNAL_APPEND_LAB_H
#define TEST_JOURNAL_APPEND_LAB_H

#include <pthread.h>

#include <mbj/client.h>

#include "store_lab.h"

/* One mailbox, a change of its messages, and what it appends. */
struct append {
	struct mbj_edit edit;
	struct mbj_message_edit step;
	struct mbj_place place;
	const char *path;
};

/* By "imap"; of m2, or the mailbox at that path. */
void append_make(struct mbj_client *client, struct append *append);
void append_make_at(struct mbj_client *client, struct append *append,
		    const char *path);
enum mbj_rc append_begin(struct mbj_client *client, struct append *append,
			 struct mbj_error *err);
/* It was done, and that is what came in. */
void append_outcome(struct append *append);
/* It was not. */
void append_failed(struct append *append);
enum mbj_rc append_tell(struct mbj_client *client, const struct append *append,
			const uint8_t *body, size_t n, struct mbj_error *err);
/* One of those who begin changes of the account at the same moment. */
struct append_racer {
	struct mbj_client *client;
	struct append append;
	enum mbj_rc rc; /* once the thread is over */
	pthread_t thread;
};

void racer_begin(struct append_racer *racer);

/* Those of u3 that are in doubt. */
size_t intents_open(struct mbj_client *client);

#endif
