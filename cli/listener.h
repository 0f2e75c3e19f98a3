/*
 * Where a source listens for its replicas.  Each connection is handed to a
 * process of its own, mbj send, which alone reads what the peer says: a peer
 * that breaks it, or takes its memory, has broken nobody else.
 *
 * Where anybody may connect (TLS), the process first has the peer prove who it
 * is, and asks then for a replica's place (senders.h).
 *
 * They end when their replica hangs up, when the listener is told to stop, and
 * when it is gone, whatever ended it: the pipe that they watch then hangs up.
 *
 * Threads: one.
 */
#ifndef MBJ_CLI_LISTENER_H
#define MBJ_CLI_LISTENER_H

#include <mbj/endpoint.h>

#include "cli.h"
#include "senders.h"

enum {
	LISTENER_SENDERS_MAX = 1000,
	LISTENER_SENDERS_USUAL = 64,
	/* Open files at most: a door of each stranger, and some of its own. */
	LISTENER_FILES = SENDERS_STRANGERS_MAX + 8,
};

struct listener {
	const struct cli_call *call;
	struct mbj_listener socket;
	int stop_fd;  /* readable: stop */
	int leash[2]; /* [0] is every sender's, and hangs up with [1] */
	struct senders senders;
	bool is_crowded; /* it was said that strangers are too many */
	bool is_full;	 /* all places are taken, and that was said */
};

/* CLI_OK: it listens at address.  Else having said why not. */
int listener_begin(struct listener *l, const struct cli_call *call,
		   const char *address, size_t max, int stop_fd);
/* Until it is told to stop; then all senders are gone. */
void listener_run(struct listener *l);
/* Also where it did not begin. */
void listener_done(struct listener *l);

#endif
