/*
 * How far the replicas of a store are, and waiting for that in the caller's
 * thread; see mbj/received.h.  For those who wait at a service: waiters.c,
 * service_await.c.
 *
 * A look reads the register as it is, without its lock: each file by itself is
 * whole, and what is missed is seen by the next look.
 */
#include "received_look.h"

#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>

#include "replicas_impl.h"
#include "store_impl.h"

enum { NAMES_MAX = MBJ_REPLICAS_MAX * 256 };

static int lsn_compare(const void *a, const void *b)
{
	uint64_t x = ((const struct mbj_lsn *)a)->v;
	uint64_t y = ((const struct mbj_lsn *)b)->v;

	return x < y ? 1 : x > y ? -1 : 0;
}

/* A pause that cannot be read pauses nobody. */
static bool is_paused(const struct mbj_sys *sys, const char *path,
		      struct mbj_id instance)
{
	uint64_t left = 0;

	return replica_pause_left(sys, path, instance, &left, NULL) == MBJ_OK &&
	       left > 0;
}

/* Those who are registered, from their notes' names. */
static bool instance_next(const struct mbj_buf *names, const char **name,
			  struct mbj_id *ret_instance)
{
	while ((*name = mbj_names_next(names, *name)) != NULL)
		if (mbj_id_parse(mbj_bytes_str(*name), ret_instance))
			return true;
	return false;
}

void received_forget_above(struct mbj_store *store)
{
	struct mbj_identity identity = mbj_store_identity_copy(store);
	uint64_t end = mbj_store_end(store).lsn.v;
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	struct mbj_id id;
	const char *name = NULL;

	if (replicas_path(path, store->dir, NULL) < 0 ||
	    !mbj_path_exists(store->sys, path))
		return;
	mbj_buf_init(&names, NAMES_MAX);
	if (mbj_dir_list(store->sys, path, &names, NULL) == MBJ_OK)
		while (instance_next(&names, &name, &id))
			if (received_mark_read(store->sys, path,
					       identity.lineage, id)
				    .v > end)
				(void)!received_mark_remove(store->sys, path,
							    id, NULL);
	mbj_buf_done(&names);
}

enum mbj_rc received_look(const struct mbj_sys *sys, const char *dir,
			  struct mbj_id lineage, struct mbj_lsn end,
			  struct received *ret_received, struct mbj_error *err)
{
	char path[MBJ_PATH_TEXT_MAX];
	struct mbj_buf names;
	struct mbj_id id;
	const char *name = NULL;
	enum mbj_rc rc;

	ret_received->count = 0;
	rc = replicas_path(path, dir, err);
	if (rc < 0 || !mbj_path_exists(sys, path))
		return rc;
	mbj_buf_init(&names, NAMES_MAX);
	rc = mbj_dir_list(sys, path, &names, err);
	while (rc == MBJ_OK && ret_received->count < MBJ_REPLICAS_MAX &&
	       instance_next(&names, &name, &id)) {
		struct mbj_lsn lsn = received_mark_read(sys, path, lineage, id);

		if (lsn.v > 0 && lsn.v <= end.v && !is_paused(sys, path, id))
			ret_received->lsns[ret_received->count++] = lsn;
	}
	mbj_buf_done(&names);
	qsort(ret_received->lsns, ret_received->count, sizeof(struct mbj_lsn),
	      lsn_compare);
	return rc;
}

enum mbj_rc received_look_store(struct mbj_store *store,
				struct received *ret_received,
				struct mbj_error *err)
{
	struct mbj_identity identity = mbj_store_identity_copy(store);

	return received_look(store->sys, store->dir, identity.lineage,
			     mbj_store_end(store).lsn, ret_received, err);
}

void received_watch(struct mbj_watch *watch, const struct mbj_store *store)
{
	char path[MBJ_PATH_TEXT_MAX];

	if (watch->fd < 0 && replicas_path(path, store->dir, NULL) == MBJ_OK)
		mbj_watch_open(watch, path);
}

size_t received_count(const struct received *received, struct mbj_lsn lsn)
{
	size_t count = 0;

	while (count < received->count && received->lsns[count].v >= lsn.v)
		count++;
	return count;
}

enum mbj_rc received_check(struct mbj_store *store, struct mbj_lsn lsn,
			   uint32_t replicas, uint32_t wait_ms,
			   struct mbj_error *err)
{
	uint64_t end = mbj_store_end(store).lsn.v;

	if (lsn.v == 0 || lsn.v > end)
		return mbj_error_set(err, MBJ_EINVALID,
				     "there is no group %" PRIu64
				     " to be received: the journal ends at "
				     "%" PRIu64,
				     lsn.v, end);
	if (replicas == 0 || replicas > MBJ_REPLICAS_MAX)
		return mbj_error_set(err, MBJ_EINVALID,
				     "1 to %d replicas can receive a group, "
				     "not %" PRIu32,
				     MBJ_REPLICAS_MAX, replicas);
	if (wait_ms > MBJ_RECEIVED_WAIT_MAX)
		return mbj_error_set(err, MBJ_EINVALID,
				     "%" PRIu32 " ms are longer than %d ms, "
				     "which is the longest to wait for "
				     "replicas",
				     wait_ms, MBJ_RECEIVED_WAIT_MAX);
	return MBJ_OK;
}

enum mbj_rc received_fail(struct mbj_lsn lsn, uint32_t replicas, size_t count,
			  uint32_t wait_ms, struct mbj_error *err)
{
	(void)mbj_error_set(err, MBJ_EUNRECEIVED,
			    "group %" PRIu64 " is durable here, but within "
			    "%" PRIu32 " ms %zu of %" PRIu32 " replicas have "
			    "received it",
			    lsn.v, wait_ms, count, replicas);
	mbj_error_at(err, NULL, 0, lsn.v);
	return MBJ_EUNRECEIVED;
}

enum mbj_rc received_halt(struct mbj_lsn lsn, uint32_t replicas,
			  struct mbj_error *err)
{
	(void)mbj_error_set(err, MBJ_EUNRECEIVED,
			    "group %" PRIu64 " is durable here, but the "
			    "service stops: whether %" PRIu32 " replicas "
			    "have received it is not known",
			    lsn.v, replicas);
	mbj_error_at(err, NULL, 0, lsn.v);
	return MBJ_EUNRECEIVED;
}

/* Until something is written, or for so long. */
static void wait_once(struct mbj_watch *watch, int64_t left)
{
	struct pollfd fd = {watch->fd, POLLIN, 0};
	int64_t most = watch->fd < 0 ? RECEIVED_POLL_MS : RECEIVED_TICK_MS;

	(void)poll(&fd, 1, (int)(left < most ? left : most));
	mbj_watch_drain(watch);
}

enum mbj_rc mbj_store_received(struct mbj_store *store, struct mbj_lsn lsn,
			       uint32_t replicas, uint32_t wait_ms,
			       uint32_t *ret_count, struct mbj_error *err)
{
	int64_t until = mbj_monotonic_ms() + wait_ms;
	struct mbj_watch watch = MBJ_WATCH_CLOSED;
	struct received *received;
	size_t count = 0;
	int64_t left;
	enum mbj_rc rc;

	rc = received_check(store, lsn, replicas, wait_ms, err);
	if (rc < 0)
		return rc;
	received = mbj_alloc(sizeof(*received));
	if (received == NULL)
		return mbj_error_nomem(err);
	for (;;) {
		/* First be told, then look: nothing is missed. */
		received_watch(&watch, store);
		rc = received_look_store(store, received, err);
		if (rc < 0)
			break;
		count = received_count(received, lsn);
		left = until - mbj_monotonic_ms();
		if (count >= replicas || left <= 0)
			break;
		wait_once(&watch, left);
	}
	mbj_watch_close(&watch);
	mbj_free(received);
	if (rc < 0)
		return rc;
	if (count < replicas)
		return received_fail(lsn, replicas, count, wait_ms, err);
	if (ret_count != NULL)
		*ret_count = (uint32_t)count;
	return MBJ_OK;
}
