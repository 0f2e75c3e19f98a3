/*
 * What is known of a store from outside, for status, check and metrics.
 */
#ifndef MBJ_CLI_STATUS_H
#define MBJ_CLI_STATUS_H

#include <mbj/client.h>
#include <mbj/replicas.h>

#include "cli.h"

struct cli_status {
	struct mbj_client_status store; /* of one in use: its journal only */
	bool is_owned;			/* and by no service that answers */
	bool is_served;			/* a service answered */
	bool has_state; /* what is said of the state is in store */
	long pid;
	/* Of a store by path: as it says, 0: plain. */
	unsigned contents_level;
	bool has_contents_level; /* else it is not known */
	/* Of a look at one that is not served. */
	struct mbj_error why; /* MBJ_ENOTFOUND: nobody listens */
	bool has_journal;     /* what that says is in store */
	/* The register, where path is a store. */
	struct mbj_replica_note *replicas;
	size_t replica_count;
	size_t replicas_bad; /* that cannot be read */
	struct mbj_pause_left *pauses;
	size_t pause_count;
	bool has_replicas;
};

/*
 * path: a store, or a service's socket; socket: that of the store's service,
 * where it is not in the store, or NULL.  Where nobody owns the store it is
 * opened.  Ownership: cli_status_done; on failure nothing.
 */
enum mbj_rc cli_status_load(const char *path, const char *socket,
			    struct cli_status *ret_status,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The same, opening nothing: a service that does not answer in a few seconds
 * is no failure, but is_served is false.
 */
enum mbj_rc cli_status_look(const char *path, const char *socket,
			    struct cli_status *ret_status,
			    struct mbj_error *err) MBJ_MUST_CHECK;
/* The same again and again: the connection stays. */
struct cli_watcher {
	const char *path;
	const char *socket; /* the service's, NULL: path is it, or has it */
	struct mbj_client *client;
};

enum mbj_rc cli_status_watch(struct cli_watcher *watcher,
			     struct cli_status *ret_status,
			     struct mbj_error *err) MBJ_MUST_CHECK;
void cli_watcher_done(struct cli_watcher *watcher);
void cli_status_done(struct cli_status *status);

/* Whether a path leads to a service and not to a store. */
bool cli_path_is_socket(const char *path);
/*
 * The directory of the store that path leads to: path itself, or what the
 * service there has, if that is to be found from here.
 */
enum mbj_rc cli_store_dir(const char *path, char dir[MBJ_PATH_TEXT_MAX],
			  struct mbj_error *err) MBJ_MUST_CHECK;

enum { STATUS_OUTPUT_MAX = 64 << 20 };

/* status_print.c: an object, "schema" mbj.status/1; or a line a fact. */
void cli_status_json(const struct cli_status *status, struct mbj_buf *out);
void cli_status_text(const struct cli_status *status, struct mbj_buf *out);

/* How long the oldest open intent is open, in seconds; 0: none is. */
int64_t cli_status_intent_age(const struct mbj_client_status *status);
/*
 * "all of it is made again from the source's snapshot: fetching, 3 of 12 KiB",
 * "2 accounts are ..."; nothing where nothing is.
 */
void cli_resync_text(const struct mbj_client_status *status,
		     struct mbj_buf *out);
/* "packed by zstd at level 3"; nothing where that was not asked for. */
void cli_pack_text(const struct mbj_client_status *status, struct mbj_buf *out);
/* Groups that the source is known to have and the replica has not applied. */
uint64_t cli_status_behind(const struct mbj_client_status *status);

#endif
