/*
 * Who a store is: read by all, exchanged by whoever feeds it (store_adopt.c).
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
