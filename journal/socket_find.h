/*
 * Addresses of a host.  What asks for a name may wait for a minute, for servers
 * of names that are gone, and nothing ends that: it has a thread of its own, so
 * that whoever is told to stop does not wait for it.
 *
 * Threads: stateless.
 */
#ifndef MBJ_SOCKET_FIND_H
#define MBJ_SOCKET_FIND_H

#include <netdb.h>

#include <mbj/error.h>

/*
 * flags: of getaddrinfo(3).  stop_fd: readable, it is not waited any more; -1:
 * none.  *ret_list is for freeaddrinfo(3).
 * Returns: MBJ_ENOTFOUND (no such host), MBJ_EBUSY (told to stop), MBJ_EIO.
 */
enum mbj_rc socket_find(const char *host, const char *port, int flags,
			int stop_fd, struct addrinfo **ret_list,
			struct mbj_error *err) MBJ_MUST_CHECK;

#endif
