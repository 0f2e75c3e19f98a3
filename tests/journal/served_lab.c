/*
 * A store and its service; see served_lab.h.
 */
#include "served_lab.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "socket.h"
#include "wire.h"

static void *served_run(void *arg)
{
	struct served *s = arg;

	s->rc = mbj_service_run(s->site.store, &s->options, &s->err);
	return NULL;
}

void served_options(struct mbj_service_options *ret_options)
{
	*ret_options = MBJ_SERVICE_OPTIONS_INIT;
	ret_options->connections_max = SERVED_ACCOUNTS + 2;
	ret_options->waiters_max = SERVED_WAITERS;
}

void served_begin(struct served *s)
{
	struct mbj_service_options options;

	served_options(&options);
	served_begin_with(s, &options);
}

/* The client is there once the service is. */
void served_begin_with(struct served *s,
		       const struct mbj_service_options *options)
{
	enum mbj_rc rc = MBJ_ENOTFOUND;

	memset(s, 0, sizeof(*s));
	site_begin(&s->site);
	site_sys_init(&s->sys);
	mbj_store_close(&s->site.store);
	s->site.options.sys = &s->sys.table;
	SITE_OK(mbj_store_open(s->site.dir, &s->site.options, &s->site.store,
			       err));
	for (unsigned i = 0; i < SERVED_ACCOUNTS; i++)
		site_import(s->site.store, i, 3);
	ck_assert_int_eq(pipe(s->stop), 0);
	s->options = *options;
	s->options.stop_fd = s->stop[0];
	ck_assert_int_eq(pthread_create(&s->thread, NULL, served_run, s), 0);
	site_path(&s->site, "socket", s->path);
	for (int i = 0; i < 1000 && rc == MBJ_ENOTFOUND; i++) {
		rc = mbj_client_connect(s->path, NULL, &s->client, NULL);
		if (rc == MBJ_ENOTFOUND)
			(void)poll(NULL, 0, 5);
	}
	ck_assert_int_eq(rc, MBJ_OK);
}

void served_join(struct served *s)
{
	ck_assert_int_eq(pthread_join(s->thread, NULL), 0);
	ck_assert_msg(s->rc == MBJ_OK, "%s", s->err.message);
	(void)close(s->stop[0]);
	(void)close(s->stop[1]);
}

void served_end(struct served *s)
{
	mbj_client_close(&s->client);
	ck_assert_int_eq(write(s->stop[1], "x", 1), 1);
	served_join(s);
	ck_assert_int_ne(access(s->path, F_OK), 0);
	ck_assert(site_is_sound(s->site.store));
	site_end(&s->site);
}

void served_receive(struct served *s, uint8_t number, uint64_t lsn)
{
	struct mbj_replica_note note = {.instance = {{0x10, number}}};
	struct mbj_received_mark mark;

	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), s->site.dir, &note,
				      MBJ_NOTE_FIRST, err));
	SITE_OK(mbj_received_open(
		&mark, mbj_sys_posix(), s->site.dir,
		mbj_store_identity_copy(s->site.store).lineage, note.instance,
		err));
	SITE_OK(mbj_received_set(&mark, (struct mbj_lsn){lsn}, err));
	mbj_received_close(&mark);
}

enum mbj_rc served_rename(struct mbj_client *client, unsigned account,
			  const char *source, const char *target,
			  struct mbj_lsn *ret_lsn, struct mbj_error *err)
{
	struct mbj_outcome outcome = {0};
	struct site_rename rename;
	enum mbj_rc rc;

	site_rename_make(&rename, account, source, target);
	rc = mbj_client_submit(client, &rename.edit, &outcome, err);
	if (rc == MBJ_OK && ret_lsn != NULL)
		*ret_lsn = outcome.lsn;
	mbj_outcome_done(&outcome);
	return rc;
}

struct mbj_service_stats served_stats(struct mbj_client *client)
{
	struct mbj_client_status status = {0};
	struct mbj_service_stats stats;

	SITE_OK(mbj_client_status(client, &status, err));
	stats = status.service;
	mbj_client_status_done(&status);
	return stats;
}

static void *served_asker_run(void *arg)
{
	struct served_asker *asker = arg;
	struct mbj_client *client = NULL;

	SITE_OK(mbj_client_connect(asker->served->path, NULL, &client, err));
	asker->ask(client);
	atomic_store(&asker->is_answered, true);
	mbj_client_close(&client);
	return NULL;
}

void served_ask(struct served_asker *asker, struct served *s,
		void (*ask)(struct mbj_client *client))
{
	asker->served = s;
	asker->ask = ask;
	atomic_init(&asker->is_answered, false);
	ck_assert_int_eq(pthread_create(&asker->thread, NULL, served_asker_run,
					asker),
			 0);
}

int guest_come(const struct served *s)
{
	uint8_t hello[WIRE_HEAD_SIZE + 12];
	struct wire_head head = {.kind = WIRE_HELLO,
				 .side = WIRE_REQUEST,
				 .size = 12};
	int fd;

	wire_head_encode(&head, hello);
	memcpy(hello + WIRE_HEAD_SIZE, "mbj wire\x01\0\x03\0", 12);
	SITE_OK(socket_connect(s->path, -1, -1, &fd, err));
	ck_assert_int_eq(socket_send(fd, hello, sizeof(hello)), sizeof(hello));
	return fd;
}

int guest_hear(int fd)
{
	static uint8_t bytes[1 << 16];
	struct wire_head head = {.size = 0};
	size_t got = 0;

	while (got < WIRE_HEAD_SIZE + (size_t)head.size) {
		struct pollfd wait = {fd, POLLIN, 0};
		ssize_t n;

		(void)poll(&wait, 1, -1);
		n = socket_receive(fd, bytes + got,
				   WIRE_HEAD_SIZE + head.size - got);
		if (n == 0 || n == -ECONNRESET)
			return -1;
		ck_assert(n > 0 || n == -EAGAIN);
		got += n > 0 ? (size_t)n : 0;
		if (got == WIRE_HEAD_SIZE)
			SITE_OK(wire_head_decode(bytes, &head, err));
	}
	return (int)head.side;
}

void guest_say(int fd, const void *p, size_t n)
{
	const uint8_t *at = p;

	while (n > 0) {
		struct pollfd wait = {fd, POLLOUT, 0};
		ssize_t sent;

		(void)poll(&wait, 1, -1);
		sent = socket_send(fd, at, n);
		ck_assert(sent > 0 || sent == -EAGAIN);
		at += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
}
