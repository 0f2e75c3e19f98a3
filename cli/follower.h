/*
 * Following a source, through a command or where it listens: one connection
 * after the other, until told to stop, or, but for a service, until none will
 * mend it.
 */
#ifndef MBJ_CLI_FOLLOWER_H
#define MBJ_CLI_FOLLOWER_H

#include <mbj/endpoint.h>
#include <mbj/replicas.h>
#include <mbj/stream.h>

#include "cli.h"
#include "tls_name.h"

struct follower {
	const struct cli_call *call;
	struct mbj_store *store;
	const char *command;	    /* or NULL */
	struct mbj_endpoint source; /* without a command */
	const char *tls_dir;	    /* or NULL */
	struct tls_name own;	    /* our certificate's, with tls_dir */
	struct mbj_stream_options options;
	struct mbj_replay_result total;
	struct mbj_error err; /* of the connection that ended it */
	char name[MBJ_REPLICA_NAME_MAX + 1];
	int64_t backoff_ms;
	uint64_t paused_ms; /* by the source, as it said last; 0: not */
	bool is_over;
	bool is_less_said; /* that the source packs less than it was asked to */
	bool is_renewed;   /* the store is to be opened again, for more */
	bool is_refused;   /* by the source, or the source is */
	bool is_heard;	   /* the source, ever: its register may have us */
	/* What a service follows with: no failure ends it.  What answered may
	 * not have been the source, and whatever is wrong may be mended while
	 * it serves on. */
	bool is_lasting;
	/* The CRC32C of why the last connection ended, as it was said. */
	uint32_t said;
	bool is_said;
};

/*
 * By --exec or --from, one of which is there.  upstream, which may be NULL, is
 * where it is noted how the replica stands.  CLI_OK, or having said why another
 * exit status.
 */
int follower_init(struct follower *f, const struct cli_call *call, int stop_fd,
		  struct mbj_upstream *upstream);
struct carrier;

/* One connection, which f->options are for from then on.  Else f->err. */
enum mbj_rc follower_reach(struct follower *f,
			   struct carrier *ret_carrier) MBJ_MUST_CHECK;
/*
 * One that is not lasting ends with the first failure that another connection
 * would meet again.  MBJ_OK: told to stop, or, for --once, there.  Else f->err.
 */
enum mbj_rc follower_run(struct follower *f,
			 struct mbj_store *store) MBJ_MUST_CHECK;
/* One account of the replica made again, by one connection.  Else f->err. */
enum mbj_rc
follower_resync(struct follower *f, struct mbj_store *store,
		struct mbj_id account,
		struct mbj_resync_result *ret_result) MBJ_MUST_CHECK;

#endif
