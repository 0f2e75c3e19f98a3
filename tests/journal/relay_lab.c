/*
 * A connection that breaks.  See relay_lab.h.
 */
#include "relay_lab.h"

#include <errno.h>
#include <poll.h>

#include "socket.h"
#include "wire.h"

static void relay_carry(int client, int service, bool is_losing)
{
	struct pollfd fds[2] = {{client, POLLIN, 0}, {service, POLLIN, 0}};
	uint8_t bytes[4096];
	size_t asked = 0;

	while (poll(fds, 2, -1) > 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t n = fds[i].revents == 0
					    ? -EAGAIN
					    : socket_receive(fds[i].fd, bytes,
							     sizeof(bytes));

			if (n == -EAGAIN)
				continue;
			if (n <= 0)
				return;
			if (i == 1 && is_losing && asked > WIRE_HEAD_SIZE + 12)
				return;
			asked += i == 0 ? (size_t)n : 0;
			(void)socket_send(fds[1 - i].fd, bytes, (size_t)n);
		}
	}
}

static void *relay_run(void *arg)
{
	const struct relay *relay = arg;

	for (int i = 0; i < 2; i++) {
		struct pollfd come = {relay->listen_fd, POLLIN, 0};
		int client, service;

		ck_assert_int_eq(poll(&come, 1, -1), 1);
		client = socket_accept(relay->listen_fd);
		SITE_OK(socket_connect(relay->service, -1, -1, &service, err));
		relay_carry(client, service, i == 0);
		socket_close(client);
		socket_close(service);
	}
	return NULL;
}

void relay_begin(struct relay *relay, struct served *s,
		 struct mbj_client **ret_client)
{
	struct mbj_client_options options = MBJ_CLIENT_OPTIONS_INIT;
	char path[MBJ_PATH_TEXT_MAX];

	served_begin(s);
	site_path(&s->site, "relay", path);
	relay->service = s->path;
	SITE_OK(socket_listen(path, 0600, NULL, &relay->listen_fd, err));
	ck_assert_int_eq(pthread_create(&relay->thread, NULL, relay_run, relay),
			 0);
	options.timeout_ms = 10000;
	SITE_OK(mbj_client_connect(path, &options, ret_client, err));
}

void relay_end(struct relay *relay, struct served *s,
	       struct mbj_client **client)
{
	mbj_client_close(client);
	ck_assert_int_eq(pthread_join(relay->thread, NULL), 0);
	socket_close(relay->listen_fd);
	served_end(s);
}
