/*
 * Asking a store how it is; see status.h.
 */
#include "status.h"

#include <string.h>
#include <sys/stat.h>

#include <mbj/open.h>
#include <mbj/service.h>

/* For a service to answer whoever looks: monitoring gives up after ten. */
enum { LOOK_MS = 5000 };

/* A service does not say it; what is wrong with the store others tell. */
static void status_contents(const char *path, struct cli_status *status)
{
	status->has_contents_level =
		!cli_path_is_socket(path) &&
		mbj_store_contents_load(mbj_sys_posix(), path,
					&status->contents_level,
					NULL) == MBJ_OK;
}

static enum mbj_rc status_journal(const char *dir, struct cli_status *status,
				  struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	char path[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc;

	rc = mbj_identity_load(sys, dir, &status->store.identity, err);
	if (rc < 0)
		return rc;
	rc = mbj_store_is_owned(sys, dir, &status->is_owned, &status->pid, err);
	if (rc < 0)
		return rc;
	rc = mbj_path_join(path, dir, "journal", err);
	if (rc < 0)
		return rc;
	return mbj_log_usage_get(sys, path, &status->store.usage, err);
}

/* Reads the last segment whole, as opening the store does: not before it. */
static enum mbj_rc status_end(const char *dir, struct cli_status *status,
			      struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	enum mbj_rc rc;

	if (mbj_id_is_root(status->store.identity.lineage))
		return MBJ_OK;
	rc = mbj_store_log_reader(mbj_sys_posix(), dir, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(reader, &status->store.end, err);
	mbj_log_reader_close(&reader);
	return rc;
}

bool cli_path_is_socket(const char *path)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	mode_t mode;
	uid_t uid;

	return sys->stat(sys->ctx, path, &mode, &uid) == 0 && S_ISSOCK(mode);
}

/* The directory of whoever serves at a socket, where we see it, too. */
static enum mbj_rc service_dir(const char *socket, char dir[MBJ_PATH_TEXT_MAX],
			       struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	struct mbj_identity there = {.role = MBJ_STORE_PRIMARY};
	enum mbj_rc rc = mbj_client_connect(socket, NULL, &client, err);

	if (rc < 0)
		return rc;
	(void)snprintf(dir, MBJ_PATH_TEXT_MAX, "%s", mbj_client_dir(client));
	rc = mbj_identity_load(mbj_sys_posix(), dir, &there, err);
	if (rc < 0 || !mbj_id_equal(there.instance,
				    mbj_client_identity(client)->instance))
		rc = mbj_error_set(err, MBJ_ENOTFOUND,
				   "the service at %s has the store \"%s\", "
				   "which is not to be found from here: name "
				   "its directory",
				   socket, dir);
	mbj_client_close(&client);
	return rc;
}

enum mbj_rc cli_store_dir(const char *path, char dir[MBJ_PATH_TEXT_MAX],
			  struct mbj_error *err)
{
	struct mbj_identity identity;

	if (cli_path_is_socket(path))
		return service_dir(path, dir, err);
	if (snprintf(dir, MBJ_PATH_TEXT_MAX, "%s", path) >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT, "the path is too long");
	return mbj_identity_load(mbj_sys_posix(), dir, &identity, err);
}

/*
 * Where a socket lies is no sign of whose it is.  One that is named beside a
 * store has to be that one's; a directory that is no store here, but has the
 * socket, is taken for it.
 */
static enum mbj_rc service_is_of(const struct cli_watcher *w, const char *at,
				 struct mbj_error *err)
{
	struct mbj_identity own;

	if (w->socket == NULL &&
	    (cli_path_is_socket(w->path) ||
	     mbj_identity_load(mbj_sys_posix(), w->path, &own, NULL) < 0))
		return MBJ_OK;
	return mbj_client_is_of(w->client, at, w->path, err);
}

/* Where it listens. */
static enum mbj_rc service_path(const struct cli_watcher *w,
				char path[MBJ_PATH_TEXT_MAX],
				struct mbj_error *err)
{
	const char *at = w->socket != NULL ? w->socket : w->path;

	if (w->socket == NULL && !cli_path_is_socket(w->path))
		return mbj_path_join(path, w->path, MBJ_SERVICE_SOCKET, err);
	if (strlen(at) >= MBJ_PATH_TEXT_MAX)
		return mbj_error_set(err, MBJ_ELIMIT,
				     "the socket's name is too long: %.100s...",
				     at);
	memcpy(path, at, strlen(at) + 1);
	return MBJ_OK;
}

/* Whoever listens there may have become another one since the last look. */
static enum mbj_rc service_meet(struct cli_watcher *w, struct mbj_error *err)
{
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	char at[MBJ_PATH_TEXT_MAX];
	enum mbj_rc rc = service_path(w, at, err);

	options.timeout_ms = options.patience_ms = LOOK_MS;
	if (rc == MBJ_OK)
		rc = w->client == NULL
			     ? mbj_client_connect(at, &options, &w->client, err)
			     : mbj_client_renew(w->client, err);
	if (rc == MBJ_OK)
		rc = service_is_of(w, at, err);
	if (rc < 0)
		mbj_client_close(&w->client);
	return rc;
}

static enum mbj_rc paths_check(const char *path, const char *socket,
			       struct mbj_error *err)
{
	if (socket == NULL || !cli_path_is_socket(path))
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EINVALID,
			     "%s is a socket: --socket is given with the "
			     "store's directory",
			     path);
}

static enum mbj_rc client_ask(struct mbj_client *client,
			      struct cli_status *status, struct mbj_error *err)
{
	enum mbj_rc rc;

	rc = mbj_client_status(client, &status->store, err);
	if (rc == MBJ_OK) {
		status->is_owned = false;
		status->has_state = true;
		status->is_served = status->store.service.process != 0;
	}
	return rc;
}

static enum mbj_rc status_state(const char *path, const char *socket,
				struct cli_status *status,
				struct mbj_error *err)
{
	struct cli_watcher watcher = {.path = path, .socket = socket};
	enum mbj_rc rc = MBJ_ENOTFOUND;

	if (socket != NULL)
		rc = service_meet(&watcher, err);
	if (rc == MBJ_ENOTFOUND)
		rc = mbj_client_open(path, &watcher.client, err);
	if (rc == MBJ_EBUSY && status->is_owned)
		return MBJ_OK;
	if (rc == MBJ_OK)
		rc = client_ask(watcher.client, status, err);
	cli_watcher_done(&watcher);
	return rc;
}

static enum mbj_rc status_replicas(const char *path, struct cli_status *status,
				   struct mbj_error *err)
{
	enum mbj_rc rc;

	status->has_replicas = !cli_path_is_socket(path);
	if (!status->has_replicas)
		return MBJ_OK;
	rc = mbj_replica_notes_load(NULL, path, &status->replicas,
				    &status->replica_count,
				    &status->replicas_bad, err);
	if (rc == MBJ_OK)
		mbj_replicas_behind(NULL, path, status->store.end.lsn,
				    status->replicas, status->replica_count);
	return rc == MBJ_OK
		       ? mbj_replica_pauses_left(NULL, path, &status->pauses,
						 &status->pause_count, err)
		       : rc;
}

enum mbj_rc cli_status_load(const char *path, const char *socket,
			    struct cli_status *ret_status,
			    struct mbj_error *err)
{
	enum mbj_rc rc = paths_check(path, socket, err);

	memset(ret_status, 0, sizeof(*ret_status));
	if (rc == MBJ_OK && !cli_path_is_socket(path))
		rc = status_journal(path, ret_status, err);
	if (rc == MBJ_OK)
		rc = status_state(path, socket, ret_status, err);
	if (rc == MBJ_OK && !ret_status->has_state)
		rc = status_end(path, ret_status, err);
	status_contents(path, ret_status);
	if (rc == MBJ_OK)
		rc = status_replicas(path, ret_status, err);
	if (rc < 0)
		cli_status_done(ret_status);
	return rc;
}

enum mbj_rc cli_status_watch(struct cli_watcher *watcher,
			     struct cli_status *ret_status,
			     struct mbj_error *err)
{
	struct mbj_error *why = &ret_status->why;
	enum mbj_rc rc = paths_check(watcher->path, watcher->socket, err);

	memset(ret_status, 0, sizeof(*ret_status));
	if (rc < 0)
		return rc;
	/* The service first: a journal may change its shape under a look. */
	rc = service_meet(watcher, why);
	if (rc == MBJ_OK)
		rc = client_ask(watcher->client, ret_status, why);
	if (rc < 0) {
		cli_watcher_done(watcher);
		mbj_client_status_done(&ret_status->store);
	}
	if (rc < 0 && !cli_path_is_socket(watcher->path)) {
		rc = status_journal(watcher->path, ret_status, err);
		if (rc == MBJ_OK)
			rc = status_end(watcher->path, ret_status, err);
		ret_status->has_journal = rc == MBJ_OK;
	} else {
		rc = MBJ_OK;
	}
	status_contents(watcher->path, ret_status);
	if (rc == MBJ_OK)
		rc = status_replicas(watcher->path, ret_status, err);
	if (rc < 0)
		cli_status_done(ret_status);
	return rc;
}

void cli_watcher_done(struct cli_watcher *watcher)
{
	mbj_client_close(&watcher->client);
}

enum mbj_rc cli_status_look(const char *path, const char *socket,
			    struct cli_status *ret_status,
			    struct mbj_error *err)
{
	struct cli_watcher watcher = {.path = path, .socket = socket};
	enum mbj_rc rc = cli_status_watch(&watcher, ret_status, err);

	cli_watcher_done(&watcher);
	return rc;
}

void cli_status_done(struct cli_status *status)
{
	mbj_client_status_done(&status->store);
	mbj_free(status->replicas);
	mbj_free(status->pauses);
	status->replicas = NULL;
	status->replica_count = 0;
	status->pauses = NULL;
	status->pause_count = 0;
}

/* A clock may have gone back since. */
int64_t cli_status_intent_age(const struct mbj_client_status *status)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	int64_t now = sys->now_us(sys->ctx) / 1000000;

	if (status->intent_count == 0 || now < status->intent_oldest)
		return 0;
	return now - status->intent_oldest;
}

uint64_t cli_status_behind(const struct mbj_client_status *status)
{
	uint64_t end = status->upstream.end;

	return end > status->applied.lsn.v ? end - status->applied.lsn.v : 0;
}
