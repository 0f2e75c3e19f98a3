/*
 * Who a store is, and where it is from: read by all, exchanged by whoever feeds
 * it (store_adopt.c); and what was settled when it was made.
 *
 * Threads: any, but for mbj_store_identity: see mbj/store.h.
 */
#include "store_impl.h"

const struct mbj_identity *mbj_store_identity(const struct mbj_store *store)
{
	return &store->superblock.identity;
}

struct mbj_identity mbj_store_identity_copy(struct mbj_store *store)
{
	struct mbj_identity identity;

	pthread_mutex_lock(&store->mutex);
	identity = store->superblock.identity;
	pthread_mutex_unlock(&store->mutex);
	return identity;
}

enum mbj_store_role store_role(struct mbj_store *store)
{
	enum mbj_store_role role;

	pthread_mutex_lock(&store->mutex);
	role = store->superblock.identity.role;
	pthread_mutex_unlock(&store->mutex);
	return role;
}

void store_identity_take(struct mbj_store *store,
			 const struct superblock *superblock)
{
	pthread_mutex_lock(&store->mutex);
	store->superblock = *superblock;
	pthread_mutex_unlock(&store->mutex);
}

struct mbj_store_recovery store_recovery_copy(struct mbj_store *store)
{
	struct mbj_store_recovery recovery;

	pthread_mutex_lock(&store->mutex);
	recovery = store->recovery;
	pthread_mutex_unlock(&store->mutex);
	return recovery;
}

void store_recovery_set(struct mbj_store *store,
			const struct mbj_store_recovery *recovery)
{
	pthread_mutex_lock(&store->mutex);
	store->recovery = *recovery;
	pthread_mutex_unlock(&store->mutex);
}

enum mbj_rc mbj_store_contents_load(const struct mbj_sys *sys, const char *dir,
				    unsigned *ret_level, struct mbj_error *err)
{
	struct superblock superblock;
	enum mbj_rc rc;

	rc = superblock_load(sys != NULL ? sys : mbj_sys_posix(), dir,
			     &superblock, err);
	if (rc == MBJ_OK)
		*ret_level = superblock.contents_level;
	return rc;
}
