/*
 * What the tests of the service share: a store, its service in a thread of this
 * process, a client.
 */
#ifndef TEST_JOURNAL_SERVED_LAB_H
#define TEST_JOURNAL_SERVED_LAB_H

#include <pthread.h>
#include <stdatomic.h>

#include <mbj/client.h>
#include <mbj/received.h>
#include <mbj/replicas.h>
#include <mbj/service.h>

#include "store_lab.h"

enum {
	SERVED_ACCOUNTS = 12, /* "u0" and so on, with INBOX, m2 and m3 */
	SERVED_WAITERS = 3,   /* at once, for replicas */
};

/* A store, its service in a thread of its own, and how to stop that. */
struct served {
	struct site site;
	struct site_sys sys;
	struct mbj_service_options options;
	struct mbj_client *client;
	char path[MBJ_PATH_TEXT_MAX];
	pthread_t thread;
	int stop[2];
	enum mbj_rc rc;
	struct mbj_error err;
};

/* The client is there once the service is. */
void served_begin(struct served *s);
/* One with other options, from served_options on. */
void served_options(struct mbj_service_options *ret_options);
void served_begin_with(struct served *s,
		       const struct mbj_service_options *options);
void served_join(struct served *s);
/* It stops in good order, and the store is sound. */
void served_end(struct served *s);
/* A replica with this number is registered, and says that it has that group. */
void served_receive(struct served *s, uint8_t number, uint64_t lsn);
enum mbj_rc served_rename(struct mbj_client *client, unsigned account,
			  const char *source, const char *target,
			  struct mbj_lsn *ret_lsn, struct mbj_error *err);

/* What the service counts, as a request of this client finds it. */
struct mbj_service_stats served_stats(struct mbj_client *client);

/* Somebody with a connection of his own, who has to wait. */
struct served_asker {
	struct served *served;
	void (*ask)(struct mbj_client *client);
	pthread_t thread;
	atomic_bool is_answered;
};
void served_ask(struct served_asker *asker, struct served *s,
		void (*ask)(struct mbj_client *client));

/* One who speaks by hand, and has said hello. */
int guest_come(const struct served *s);
/* The side of the next answer; its body is read.  -1: none, it was ended. */
int guest_hear(int fd);
/* All of it, however long the service takes to read it. */
void guest_say(int fd, const void *p, size_t n);

#endif
