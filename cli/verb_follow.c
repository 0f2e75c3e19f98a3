/*
 * mbj follow: keep a replica where a source on another host is.
 * mbj clone: make it first, and end where the source ends.
 */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/service.h>

#include "follower.h"
#include "number.h"

/* The replica; with is_new one that is made where there is none. */
static enum mbj_rc replica_take(struct follower *f, bool is_new,
				const struct mbj_store_options *options,
				bool *is_made, struct mbj_store **ret_store)
{
	const char *dir = f->call->operands[0];
	enum mbj_rc rc = mbj_replica_open(dir, options, ret_store, &f->err);
	struct mbj_identity identity;

	/* A part of one that is lost is another matter. */
	if (rc != MBJ_ENOTFOUND || !is_new ||
	    mbj_identity_load(mbj_sys_posix(), dir, &identity, NULL) !=
		    MBJ_ENOTFOUND)
		return rc;
	rc = mbj_store_init(dir, MBJ_STORE_REPLICA, options, &f->err);
	*is_made |= rc == MBJ_OK;
	return rc < 0 ? rc : mbj_replica_open(dir, options, ret_store, &f->err);
}

static int follow_run(struct follower *f, bool is_new,
		      const struct mbj_store_options *options)
{
	const char *dir = f->call->operands[0];
	const char *notify = getenv("NOTIFY_SOCKET");
	bool was_there = mbj_path_exists(mbj_sys_posix(), dir);
	struct mbj_store *store = NULL;
	bool is_made = false;
	enum mbj_rc rc;

	do {
		rc = replica_take(f, is_new, options, &is_made, &store);
		if (rc < 0)
			break;
		mbj_service_notify(notify, "READY=1");
		rc = follower_run(f, store);
		mbj_store_close(&store);
		if (f->is_renewed)
			cli_say(f->call, "%s", f->err.message);
	} while (f->is_renewed);
	if (rc < 0 && is_made && !f->is_heard)
		mbj_store_unmake(dir, NULL, was_there);
	mbj_service_notify(notify, "STOPPING=1");
	return rc < 0 ? cli_fail(f->call, &f->err)
		      : cli_replay_report(f->call, &f->total);
}

static int follow(const struct cli_call *call, bool is_clone)
{
	struct mbj_store_options options = MBJ_STORE_OPTIONS_INIT;
	uint64_t timeout = call->options.timeout;
	struct follower f;
	int stop_fd;
	int status;

	if (call->options.exec == NULL && call->options.from_address == NULL) {
		cli_say(call, "--exec or --from says how to connect: --exec "
			      "'ssh HOST mbj send STORE', --from unix:PATH "
			      "or tls:HOST:PORT");
		return CLI_USAGE;
	}
	if (!number_check(call, "timeout", timeout, INT_MAX) ||
	    !number_cache_read(call, &options.state.cache_size))
		return CLI_USAGE;
	status = cli_contents_take(call, call->operands[0], &options);
	if (status != CLI_OK)
		return status;
	stop_fd = cli_stop_open(call);
	if (stop_fd < 0)
		return CLI_FAILED;
	status = follower_init(&f, call, stop_fd, NULL);
	if (is_clone)
		f.options.is_once = true;
	if (timeout != 0)
		f.options.timeout_ms = (uint32_t)timeout;
	if (status == CLI_OK)
		status = follow_run(&f, is_clone, &options);
	(void)close(stop_fd);
	return status;
}

int verb_follow(const struct cli_call *call)
{
	return follow(call, false);
}

int verb_clone(const struct cli_call *call)
{
	return follow(call, true);
}
