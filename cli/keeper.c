/*
 * Keeping house by itself; see keeper.h.
 *
 * Threads: the keeper's own, beside the service.
 */
#include "keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <mbj/collect.h>
#include <mbj/memory.h>

#include "number.h"

#define DAY_US (86400 * INT64_C(1000000))

/* --------------------------------------------------------------- options */

static int keep_option(const struct cli_call *call, const char *word,
		       const char *text, bool has_unit, uint64_t max,
		       uint64_t *number)
{
	if (text == NULL || (has_unit ? number_size_read(text, max, number)
				      : number_read(text, max, number)))
		return CLI_OK;
	cli_say(call,
		"--%s wants a number from 0 to %" PRIu64 "%s, not \"%.100s\"",
		word, max,
		has_unit ? ", maybe with K, M, G or T behind it" : "", text);
	return CLI_USAGE;
}

int keep_options(const struct cli_call *call, struct mbj_trim_options *options)
{
	const struct cli_options *o = &call->options;
	uint64_t days = 0;
	int status;

	status = keep_option(call, "keep-days", o->keep_days, false,
			     MBJ_TRIM_KEEP_US_MAX / DAY_US, &days);
	if (status == CLI_OK)
		status = keep_option(call, "keep-bytes", o->keep_bytes, true,
				     INT64_MAX, &options->keep_size);
	if (status == CLI_OK)
		status = keep_option(call, "keep-requests", o->keep_requests,
				     false, MBJ_REQUEST_WINDOW_MAX,
				     &options->keep_requests);
	if (o->keep_days != NULL)
		options->keep_us = (int64_t)days * DAY_US;
	options->is_dry_run = o->is_dry_run;
	return status;
}

/* ---------------------------------------------------------------- keeper */

struct keeper {
	const struct cli_call *call;
	struct mbj_store *store;
	struct mbj_trim_options options;
	int every_ms;
	int stop_fd;	/* ours to write */
	int service_fd; /* what stops the service */
	pthread_t thread;
};

/*
 * It is to end, or so much time has passed.  Once the service has stopped
 * nothing in the store would end what is begun then.
 */
static bool keeper_wait(const struct keeper *keeper, int ms)
{
	struct pollfd stops[] = {{keeper->stop_fd, POLLIN, 0},
				 {keeper->service_fd, POLLIN, 0}};
	int ready;

	do {
		ready = poll(stops, sizeof(stops) / sizeof(stops[0]), ms);
	} while (ready < 0);
	return ready > 0;
}

/* Once.  What is refused now is tried again the next time. */
static void house_keep(const struct keeper *keeper)
{
	struct mbj_collect_result collected;
	struct mbj_trim_result trimmed;
	struct mbj_error err;
	enum mbj_rc rc;

	rc = mbj_store_trim(keeper->store, &keeper->options, &trimmed, &err);
	if (rc < 0)
		cli_say(keeper->call, "not trimmed: %s", err.message);
	else if (trimmed.segments > 0)
		cli_say(keeper->call,
			"trimmed %" PRIu64 " segments of %" PRIu64
			" bytes; the journal begins at group %" PRIu64,
			trimmed.segments, trimmed.size, trimmed.first.v);
	/* Refused as the service stops, or as somebody else keeps house. */
	if (rc == MBJ_EBUSY || keeper_wait(keeper, 0))
		return;
	if (mbj_store_collect(keeper->store, false, &collected, &err) < 0)
		cli_say(keeper->call, "not collected: %s", err.message);
	else if (collected.removed > 0)
		cli_say(keeper->call,
			"collected %" PRIu64 " contents of %" PRIu64 " bytes",
			collected.removed, collected.size);
}

static void *keeper_run(void *context)
{
	struct keeper *keeper = context;

	while (!keeper_wait(keeper, keeper->every_ms))
		house_keep(keeper);
	return NULL;
}

static int keeper_start(struct keeper *keeper, const struct cli_call *call)
{
	uint64_t seconds = call->options.keep_house;
	int status = keep_options(call, &keeper->options);

	if (status != CLI_OK)
		return status;
	if (!number_check(call, "keep-house", seconds, INT_MAX / 1000))
		return CLI_USAGE;
	keeper->every_ms = (int)seconds * 1000;
	keeper->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (keeper->stop_fd < 0) {
		cli_say(call, "no descriptor to stop by: %s", strerror(errno));
		return CLI_FAILED;
	}
	if (pthread_create(&keeper->thread, NULL, keeper_run, keeper) == 0)
		return CLI_OK;
	cli_say(call, "no thread to keep house with");
	(void)close(keeper->stop_fd);
	return CLI_TEMPORARY;
}

int keeper_begin(const struct cli_call *call, struct mbj_store *store,
		 int service_fd, struct keeper **ret_keeper)
{
	struct keeper *keeper;
	struct mbj_error err;
	int status;

	*ret_keeper = NULL;
	if (call->options.keep_house == 0)
		return CLI_OK;
	keeper = mbj_calloc(1, sizeof(*keeper));
	if (keeper == NULL) {
		(void)mbj_error_nomem(&err);
		return cli_fail(call, &err);
	}
	keeper->call = call;
	keeper->store = store;
	keeper->service_fd = service_fd;
	keeper->options = MBJ_TRIM_OPTIONS_INIT;
	status = keeper_start(keeper, call);
	if (status == CLI_OK)
		*ret_keeper = keeper;
	else
		mbj_free(keeper);
	return status;
}

void keeper_end(struct keeper **keeper)
{
	struct keeper *k = *keeper;

	if (k == NULL)
		return;
	(void)eventfd_write(k->stop_fd, 1);
	(void)pthread_join(k->thread, NULL);
	(void)close(k->stop_fd);
	mbj_free(k);
	*keeper = NULL;
}
