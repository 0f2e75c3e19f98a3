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

/* A copy of a store is it by all that it says of itself, but free. */
static enum mbj_rc dir_is_of(const char *dir, struct mbj_id instance,
			     bool *ret_is, struct mbj_error *err)
{
	const struct mbj_sys *sys = mbj_sys_posix();
	struct mbj_identity own;
	struct mbj_error why;
	bool is_owned = false;
	enum mbj_rc rc;
	long pid;

	*ret_is = false;
	rc = mbj_identity_load(sys, dir, &own, err);
	if (rc < 0 || !mbj_id_equal(own.instance, instance))
		return rc;
	rc = mbj_store_is_owned(sys, dir, &is_owned, &pid, &why);
	/* Nobody owns what was never opened. */
	if (rc < 0 && rc != MBJ_ENOTFOUND) {
		if (err != NULL)
			*err = why;
		return rc;
	}
	*ret_is = is_owned;
	return MBJ_OK;
}

/*
 * The directory that the service names is another one, and as much its store:
 * the copy is owned, too, as by a service of its own.  What it names may be
 * nothing here, or something else.
 */
static bool dir_is_copy(const char *dir, const char *served,
			struct mbj_id instance)
{
	struct stat own;
	struct stat other;
	bool is_other = false;

	return served[0] == '/' && stat(dir, &own) == 0 &&
	       stat(served, &other) == 0 &&
	       (own.st_dev != other.st_dev || own.st_ino != other.st_ino) &&
	       dir_is_of(served, instance, &is_other, NULL) == MBJ_OK &&
	       is_other;
}

static enum mbj_rc client_look(struct mbj_client *client, const char *dir,
			       bool *ret_is, struct mbj_error *err)
{
	struct mbj_identity served;
	enum mbj_rc rc;

	mbj_client_identity_copy(client, &served);
	rc = dir_is_of(dir, served.instance, ret_is, err);
	if (rc == MBJ_OK && *ret_is)
		*ret_is = !dir_is_copy(dir, mbj_client_dir(client),
				       served.instance);
	return rc;
}

enum mbj_rc mbj_client_is_of(struct mbj_client *client, const char *socket,
			     const char *dir, struct mbj_error *err)
{
	bool is_own = false;
	enum mbj_rc rc;

	rc = client_look(client, dir, &is_own, err);
	if (rc < 0 || is_own)
		return rc;
	/* One that has stopped since owns nothing, but does not listen. */
	rc = mbj_client_renew(client, err);
	if (rc == MBJ_OK)
		rc = client_look(client, dir, &is_own, err);
	if (rc == MBJ_OK && !is_own)
		rc = service_other(client, socket, dir, err);
	return rc;
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
	bool is_own = true;
	enum mbj_rc rc;

	rc = mbj_client_connect(socket, NULL, &client, err);
	if (rc == MBJ_OK && client_look(client, dir, &is_own, NULL) == MBJ_OK &&
	    !is_own)
		rc = mbj_client_is_of(client, socket, dir, err);
	if (rc < 0)
		mbj_client_close(&client);
	else
		*ret_client = client;
	return rc;
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
	return service_meet(socket_path, path, ret_client, err);
}

/* Who has it does not listen there: a service that has its socket elsewhere? */
static enum mbj_rc store_busy(const char *path, struct mbj_error *err)
{
	char socket[MBJ_PATH_TEXT_MAX];
	struct mbj_error why;

	if (err == NULL ||
	    mbj_path_join(socket, path, MBJ_SERVICE_SOCKET, NULL) < 0)
		return MBJ_EBUSY;
	why = *err;
	return mbj_error_set(err, MBJ_EBUSY,
			     "%s, and no service is at %s: if that is mbj "
			     "serve --socket, name the socket instead",
			     why.message, socket);
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
	if (rc == MBJ_EBUSY)
		rc = store_busy(path, err);
	if (rc == MBJ_OK)
		rc = mbj_client_take(store, ret_client, err);
	if (rc < 0)
		mbj_store_close(&store);
	return rc;
}
