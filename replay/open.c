/*
 * Opening a store by its path: through its service, or in this process.
 */
#include <mbj/open.h>

#include <sys/stat.h>

#include <mbj/replay.h>
#include <mbj/service.h>

/* What the service has is said by it, and may be relative to where it began. */
static enum mbj_rc service_other(const struct mbj_client *client,
				 const char *socket, const char *dir,
				 struct mbj_error *err)
{
	const char *has = mbj_client_dir(client);

	return mbj_error_set(err, MBJ_EFENCED,
			     "the service at %s is not that of %s: it has %s",
			     socket, dir, *has != '\0' ? has : "another store");
}

enum mbj_rc mbj_client_is_of(struct mbj_client *client, const char *socket,
			     const char *dir, struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_identity served;
	struct mbj_identity own;
	bool is_owned = false;
	enum mbj_rc rc;
	long pid;

	mbj_client_identity_copy(client, &served);
	rc = mbj_identity_load(sys, dir, &own, err);
	/* A copy of a store is it by all that it says of itself, but free. */
	if (rc == MBJ_OK)
		rc = mbj_store_is_owned(sys, dir, &is_owned, &pid, err);
	if (rc < 0)
		return rc;
	return is_owned && mbj_id_equal(own.instance, served.instance)
		       ? MBJ_OK
		       : service_other(client, socket, dir, err);
}

/*
 * The service at a store's own socket, which may be a link to another one's.
 * Whoever may speak to it and not read the store has to take it for what it
 * says.
 */
static enum mbj_rc service_meet(const char *socket, const char *dir,
				struct mbj_client **ret_client,
				struct mbj_error *err)
{
	struct mbj_client *client = NULL;
	enum mbj_rc rc;

	rc = mbj_client_connect(socket, NULL, &client, err);
	if (rc < 0)
		return rc;
	rc = mbj_client_is_of(client, socket, dir, err);
	if (rc == MBJ_EFENCED)
		mbj_client_close(&client);
	else
		*ret_client = client;
	return rc == MBJ_EFENCED ? rc : MBJ_OK;
}

/* MBJ_ENOTFOUND: no service is there. */
static enum mbj_rc service_try(const char *path, struct mbj_client **ret_client,
			       struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	char socket_path[MBJ_PATH_TEXT_MAX];
	mode_t mode = 0;
	uid_t uid;
	enum mbj_rc rc;

	if (sys->stat(sys->ctx, path, &mode, &uid) == 0 && S_ISSOCK(mode))
		return mbj_client_connect(path, NULL, ret_client, err);
	rc = mbj_path_join(socket_path, path, MBJ_SERVICE_SOCKET, err);
	/* What is too long for a socket's path is no service's. */
	if (rc < 0)
		return MBJ_ENOTFOUND;
	if (sys->stat(sys->ctx, socket_path, &mode, &uid) != 0)
		return MBJ_ENOTFOUND;
	rc = service_meet(socket_path, path, ret_client, err);
	/* One that stopped meanwhile owns nothing any more, nor listens. */
	if (rc == MBJ_EFENCED)
		rc = service_meet(socket_path, path, ret_client, err);
	return rc;
}

enum mbj_rc mbj_client_open(const char *path, struct mbj_client **ret_client,
			    struct mbj_error *err)
{
	struct mbj_store *store = NULL;
	enum mbj_rc rc;

	rc = service_try(path, ret_client, err);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	rc = mbj_replica_open(path, NULL, &store, err);
	if (rc == MBJ_OK)
		rc = mbj_client_take(store, ret_client, err);
	if (rc < 0)
		mbj_store_close(&store);
	return rc;
}
