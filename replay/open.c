/*
 * Opening a store by its path: through its service, or in this process.
 */
#include <mbj/open.h>

#include <sys/stat.h>

#include <mbj/replay.h>
#include <mbj/service.h>

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
	return mbj_client_connect(socket_path, NULL, ret_client, err);
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
