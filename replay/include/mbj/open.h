/*
 * Opening a store by its path, whoever owns it.
 *
 * Threads: any.
 */
#ifndef MBJ_OPEN_H
#define MBJ_OPEN_H

#include <mbj/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * path is a store, or the socket of its service.  Where the service of a store
 * answers at its socket (STORE/socket), it is used; else the store is opened in
 * this process, as mbj_replica_open does.
 * Returns: what mbj_client_connect and mbj_replica_open return; MBJ_EBUSY where
 * another process, which is no service, owns the store; MBJ_EFENCED where
 * another store's service answers there, as by a link in a copy.
 */
MBJ_API enum mbj_rc mbj_client_open(const char *path,
				    struct mbj_client **ret_client,
				    struct mbj_error *err) MBJ_MUST_CHECK;
/*
 * The service that a client speaks to at that socket is that of the store in
 * dir, not of another one, or of what dir is a copy of.  Where it is not, it
 * may have stopped just now: the client is renewed, and asked once more.
 * Returns: MBJ_EFENCED, naming both; what mbj_identity_load,
 * mbj_store_is_owned and mbj_client_renew return.
 */
MBJ_API enum mbj_rc mbj_client_is_of(struct mbj_client *client,
				     const char *socket, const char *dir,
				     struct mbj_error *err) MBJ_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
