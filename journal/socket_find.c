/*
 * Addresses of a host; see socket_find.h.
 *
 * Both sides have what is asked until one of them is through with it; who comes
 * second frees it: the thread, where nobody waits for it any more.
 */
#include "socket_find.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <mbj/endpoint.h>
#include <mbj/memory.h>

#include "socket.h"

struct search {
	pthread_mutex_t mutex; /* of what follows */
	bool is_over;
	bool is_left; /* nobody waits for it */
	int over_fd;  /* readable: it is over */
	int flags;
	int status; /* of getaddrinfo(3) */
	int errnum;
	struct addrinfo *list;
	char host[MBJ_HOST_MAX + 1];
	char port[MBJ_PORT_DIGITS + 1];
};

static int addresses_get(const char *host, const char *port, int flags,
			 struct addrinfo **ret_list)
{
	const struct addrinfo hints = {
		.ai_flags = flags | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};

	return getaddrinfo(host, port, &hints, ret_list);
}

static enum mbj_rc status_say(const char *host, int status, int errnum,
			      struct mbj_error *err)
{
	if (status == 0)
		return MBJ_OK;
	return mbj_error_set(err,
			     status == EAI_NONAME ? MBJ_ENOTFOUND : MBJ_EIO,
			     "cannot find host %.200s: %s", host,
			     status == EAI_SYSTEM ? strerror(errnum)
						  : gai_strerror(status));
}

static void search_free(struct search *search)
{
	if (search->list != NULL)
		freeaddrinfo(search->list);
	socket_close(search->over_fd);
	(void)pthread_mutex_destroy(&search->mutex);
	mbj_free(search);
}

static void *search_run(void *context)
{
	struct search *search = context;
	struct addrinfo *list = NULL;
	bool is_left;
	int status;
	int errnum;

	status =
		addresses_get(search->host, search->port, search->flags, &list);
	errnum = errno;
	pthread_mutex_lock(&search->mutex);
	search->status = status;
	search->errnum = errnum;
	search->list = status == 0 ? list : NULL;
	search->is_over = true;
	is_left = search->is_left;
	if (!is_left)
		(void)eventfd_write(search->over_fd, 1);
	pthread_mutex_unlock(&search->mutex);
	if (is_left)
		search_free(search);
	return NULL;
}

/* Signals are for who knows of them. */
static bool thread_begin(struct search *search)
{
	pthread_attr_t attributes;
	pthread_t thread;
	sigset_t before;
	sigset_t all;
	bool is_begun;

	if (pthread_attr_init(&attributes) != 0)
		return false;
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	is_begun =
		pthread_create(&thread, &attributes, search_run, search) == 0;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	(void)pthread_attr_destroy(&attributes);
	return is_begun;
}

/* NULL: there is no memory, descriptor or thread for it. */
static struct search *search_begin(const char *host, const char *port,
				   int flags)
{
	struct search *search = mbj_calloc(1, sizeof(*search));

	if (search == NULL)
		return NULL;
	if (pthread_mutex_init(&search->mutex, NULL) != 0) {
		mbj_free(search);
		return NULL;
	}
	search->flags = flags;
	(void)snprintf(search->host, sizeof(search->host), "%s", host);
	(void)snprintf(search->port, sizeof(search->port), "%s", port);
	search->over_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (search->over_fd >= 0 && thread_begin(search))
		return search;
	search_free(search);
	return NULL;
}

/* Until it is over, or stop_fd is readable. */
static void search_wait(const struct search *search, int stop_fd)
{
	struct pollfd fds[2] = {{.fd = search->over_fd, .events = POLLIN},
				{.fd = stop_fd, .events = POLLIN}};

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		continue;
}

/* What came of it, if it is over; then it is gone, else the thread's. */
static enum mbj_rc search_end(struct search *search, struct addrinfo **ret_list,
			      struct mbj_error *err)
{
	bool is_over;
	enum mbj_rc rc;

	pthread_mutex_lock(&search->mutex);
	is_over = search->is_over;
	search->is_left = true;
	pthread_mutex_unlock(&search->mutex);
	if (!is_over)
		return mbj_error_set(err, MBJ_EBUSY, "told to stop");
	rc = status_say(search->host, search->status, search->errnum, err);
	*ret_list = search->list;
	search->list = NULL;
	search_free(search);
	return rc;
}

enum mbj_rc socket_find(const char *host, const char *port, int flags,
			int stop_fd, struct addrinfo **ret_list,
			struct mbj_error *err)
{
	struct search *search = NULL;
	int status;

	/* Nobody is asked for what is an address already. */
	status = addresses_get(host, port, flags | AI_NUMERICHOST, ret_list);
	if (status == EAI_NONAME && stop_fd >= 0)
		search = search_begin(host, port, flags);
	if (search != NULL) {
		search_wait(search, stop_fd);
		return search_end(search, ret_list, err);
	}
	if (status == EAI_NONAME)
		status = addresses_get(host, port, flags, ret_list);
	return status_say(host, status, errno, err);
}
