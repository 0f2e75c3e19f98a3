/*
 * Who has received a group, and waiting for that: the marks beside the
 * register, which of them count, the list of those who wait, and a service of
 * which some wait.  Marks are written here as a sender writes them; real ones
 * are in tests/replay/test_received.c and tests/cli/test_received.py.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "waiters.h"
#include "wire.h"

enum { LONG_MS = MBJ_RECEIVED_WAIT_MAX, TRIES_MAX = 60000 };

static struct mbj_error error;
static const struct mbj_id lineage = {{0xaa, 1}};

/* A directory with a register, as of a store of that lineage. */
struct marks {
	char *dir;
	char path[MBJ_PATH_TEXT_MAX];
};

static struct mbj_id replica(uint8_t number)
{
	return (struct mbj_id){{0x10, number}};
}

static void registered(const char *dir, uint8_t number)
{
	struct mbj_replica_note note = {.instance = replica(number)};

	SITE_OK(mbj_replica_note_save(mbj_sys_posix(), dir, &note,
				      MBJ_NOTE_FIRST, err));
}

static void marked(const char *dir, struct mbj_id of, uint8_t number,
		   uint64_t lsn)
{
	struct mbj_received_mark mark;

	SITE_OK(mbj_received_open(&mark, mbj_sys_posix(), dir, of,
				  replica(number), err));
	SITE_OK(mbj_received_set(&mark, (struct mbj_lsn){lsn}, err));
	mbj_received_close(&mark);
}

static void marks_begin(struct marks *m)
{
	m->dir = test_tmpdir_new();
	(void)snprintf(m->path, sizeof(m->path), "%s/replicas", m->dir);
	registered(m->dir, 1);
	marked(m->dir, lineage, 1, 10);
}

static void marks_end(struct marks *m)
{
	test_tmpdir_free(&m->dir);
}

static uint64_t mark_of(const struct marks *m, uint8_t number)
{
	return received_mark_read(mbj_sys_posix(), m->path, lineage,
				  replica(number))
		.v;
}

/* How many have a group, of a journal that ends with group 100. */
static size_t count_of(const struct marks *m, uint64_t lsn)
{
	static struct received received;

	SITE_OK(received_look(mbj_sys_posix(), m->dir, lineage,
			      (struct mbj_lsn){100}, &received, err));
	return received_count(&received, (struct mbj_lsn){lsn});
}

/*
 * Goal: a mark comes back in the next session, and one that is damaged says
 * nothing.  Method: set, opened again; each byte changed, each length; another
 * lineage, another replica.
 */
START_TEST(received_marks)
{
	struct mbj_received_mark mark;
	uint8_t bytes[RECEIVED_SIZE];
	char name[MBJ_PATH_TEXT_MAX];
	struct marks m;
	int fd;

	marks_begin(&m);
	SITE_OK(mbj_received_open(&mark, mbj_sys_posix(), m.dir, lineage,
				  replica(1), err));
	ck_assert_uint_eq(mark.lsn.v, 10);
	SITE_OK(mbj_received_set(&mark, (struct mbj_lsn){12}, err));
	ck_assert_uint_eq(mark_of(&m, 1), 12);
	SITE_OK(mbj_received_set(&mark, (struct mbj_lsn){11}, err));
	ck_assert_uint_eq(mark_of(&m, 1), 11);
	(void)snprintf(name, sizeof(name), "%s", mark.file.path);
	mbj_received_close(&mark);
	ck_assert_uint_eq(mark_of(&m, 2), 0);
	ck_assert_uint_eq(received_mark_read(mbj_sys_posix(), m.path,
					     (struct mbj_id){{0xaa, 2}},
					     replica(1))
				  .v,
			  0);

	fd = open(name, O_RDWR);
	ck_assert_int_eq(pread(fd, bytes, sizeof(bytes), 0), RECEIVED_SIZE);
	for (int i = 0; i < RECEIVED_SIZE; i++) {
		bytes[i] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &bytes[i], 1, i), 1);
		ck_assert_uint_eq(mark_of(&m, 1), 0);
		bytes[i] ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &bytes[i], 1, i), 1);
		ck_assert_uint_eq(mark_of(&m, 1), 11);
	}
	for (int i = RECEIVED_SIZE - 1; i >= 0; i--) {
		ck_assert_int_eq(ftruncate(fd, i), 0);
		ck_assert_uint_eq(mark_of(&m, 1), 0);
	}
	close(fd);
	marks_end(&m);
}
END_TEST

/*
 * Goal: those count that are registered, not paused, of this lineage and within
 * the journal, each once.  Method: one more of each kind.
 */
START_TEST(received_counts)
{
	struct marks m;

	marks_begin(&m);
	ck_assert_uint_eq(count_of(&m, 10), 1);
	ck_assert_uint_eq(count_of(&m, 11), 0);
	registered(m.dir, 2);
	ck_assert_uint_eq(count_of(&m, 1), 1);
	marked(m.dir, lineage, 2, 20);
	ck_assert_uint_eq(count_of(&m, 10), 2);
	ck_assert_uint_eq(count_of(&m, 11), 1);
	ck_assert_uint_eq(count_of(&m, 20), 1);
	ck_assert_uint_eq(count_of(&m, 21), 0);
	/* Nobody has a note of it. */
	marked(m.dir, lineage, 3, 20);
	ck_assert_uint_eq(count_of(&m, 1), 2);
	/* Of another lineage; further than the journal. */
	registered(m.dir, 4);
	marked(m.dir, replica(9), 4, 20);
	registered(m.dir, 5);
	marked(m.dir, lineage, 5, 101);
	ck_assert_uint_eq(count_of(&m, 1), 2);
	SITE_OK(mbj_replica_pause(NULL, m.dir, replica(2), 60000, err));
	ck_assert_uint_eq(count_of(&m, 1), 1);
	SITE_OK(mbj_replica_pause(NULL, m.dir, replica(2), 0, err));
	ck_assert_uint_eq(count_of(&m, 1), 2);
	/* It is forgotten with what it has received. */
	SITE_OK(mbj_replica_forget(NULL, m.dir, replica(2), err));
	ck_assert_uint_eq(count_of(&m, 1), 1);
	registered(m.dir, 2);
	ck_assert_uint_eq(count_of(&m, 1), 1);
	marks_end(&m);
}
END_TEST

/* Goal: a store that nobody follows has nobody to count. */
START_TEST(received_none)
{
	char *dir = test_tmpdir_new();
	struct marks m = {.dir = dir};

	ck_assert_uint_eq(count_of(&m, 1), 0);
	test_tmpdir_free(&dir);
}
END_TEST

/* Goal: the list gives those whose time has come, and keeps the others. */
START_TEST(received_waiters)
{
	struct received received = {.count = 2, .lsns = {{20}, {10}}};
	struct waiter one = {.lsn = {20}, .replicas = 1, .until_ms = 100};
	struct waiter two = {.lsn = {20}, .replicas = 2, .until_ms = 50};
	struct waiter last = {.lsn = {21}, .replicas = 1, .until_ms = 200};
	struct waiters list = {NULL, 0};

	ck_assert_int_eq(waiters_left(&list, 7), INT64_MAX);
	ck_assert_ptr_null(waiters_take(&list, &received, INT64_MAX));
	waiters_put(&list, &last);
	waiters_put(&list, &two);
	waiters_put(&list, &one);
	ck_assert_uint_eq(list.count, 3);
	ck_assert_int_eq(waiters_left(&list, 7), 43);
	ck_assert_int_eq(waiters_left(&list, 60), 0);
	ck_assert_ptr_eq(waiters_take(&list, &received, 49), &one);
	ck_assert(one.next == NULL && waiter_is_served(&one));
	ck_assert_ptr_null(waiters_take(&list, &received, 49));
	ck_assert_ptr_eq(waiters_take(&list, &received, 50), &two);
	ck_assert(two.next == NULL && !waiter_is_served(&two));
	ck_assert_uint_eq(two.count, 1);
	received.lsns[0].v = 21;
	ck_assert_ptr_eq(waiters_take(&list, &received, 199), &last);
	ck_assert(waiter_is_served(&last));
	ck_assert(list.count == 0 && list.head == NULL);
	waiters_put(&list, &one);
	received.count = 0;
	ck_assert_ptr_eq(waiters_take(&list, &received, INT64_MAX), &one);
	ck_assert(one.count == 0 && list.count == 0);
}
END_TEST

/* What a store says who asks it in this process, or its service. */
static enum mbj_rc ask(struct mbj_client *client, uint64_t lsn,
		       uint32_t replicas, uint32_t ms, uint32_t *ret_count)
{
	return mbj_client_received(client, (struct mbj_lsn){lsn}, replicas, ms,
				   ret_count, &error);
}

static struct mbj_id site_lineage(const struct site *site)
{
	return mbj_store_identity_copy(site->store).lineage;
}

/* Goal: what cannot be waited for is refused, with words. */
static void refusals_check(struct mbj_client *client, uint64_t end)
{
	ck_assert_int_eq(ask(client, 0, 1, 0, NULL), MBJ_EINVALID);
	ck_assert_int_eq(ask(client, end + 1, 1, 0, NULL), MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "journal ends"));
	ck_assert_int_eq(ask(client, end, 0, 0, NULL), MBJ_EINVALID);
	ck_assert_int_eq(ask(client, end, MBJ_REPLICAS_MAX, 0, NULL),
			 MBJ_EUNRECEIVED);
	ck_assert_int_eq(ask(client, end, MBJ_REPLICAS_MAX + 1, 0, NULL),
			 MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "1001"));
	ck_assert_int_eq(ask(client, end, 1, LONG_MS + 1, NULL), MBJ_EINVALID);
	ck_assert_ptr_nonnull(strstr(error.message, "longest"));
}

/* Memory that fails is said, and leaves nothing behind. */
static void memory_check(struct mbj_store *store, uint64_t lsn)
{
	uint64_t counted;
	uint64_t k = 0;
	enum mbj_rc rc;

	do {
		test_alloc_fail_at(++k);
		rc = mbj_store_received(store, (struct mbj_lsn){lsn}, 1, 0,
					NULL, &error);
		counted = test_alloc_count();
		test_alloc_fail_at(0);
		ck_assert_int_eq(rc, counted < k ? MBJ_OK : MBJ_ENOMEM);
	} while (counted >= k);
	ck_assert_uint_gt(k, 2);
}

/*
 * Goal: in the process that has the store, as through a service: too few are
 * told so in time, with the group's LSN; enough are counted.  Method: one
 * replica, asked for two, each allocation failing; then the second one.
 */
START_TEST(received_here)
{
	struct mbj_client *client = NULL;
	uint32_t count = 0;
	struct site site;
	uint64_t end;

	site_begin(&site);
	site_import(site.store, 0, 3);
	end = mbj_store_end(site.store).lsn.v;
	SITE_OK(mbj_client_take(site.store, &client, err));
	refusals_check(client, end);
	registered(site.dir, 1);
	marked(site.dir, site_lineage(&site), 1, end);
	ck_assert_int_eq(ask(client, end, 2, 20, NULL), MBJ_EUNRECEIVED);
	ck_assert_uint_eq(error.lsn, end);
	ck_assert_ptr_nonnull(strstr(error.message, "20 ms 1 of 2 replicas"));
	ck_assert_int_eq(ask(client, end, 1, 0, &count), MBJ_OK);
	ck_assert_uint_eq(count, 1);
	memory_check(site.store, end);
	registered(site.dir, 2);
	marked(site.dir, site_lineage(&site), 2, end);
	ck_assert_int_eq(ask(client, end, 2, LONG_MS, &count), MBJ_OK);
	ck_assert_uint_eq(count, 2);
	site.store = NULL;
	mbj_client_close(&client);
	site_reopen(&site);
	site_end(&site);
}
END_TEST

/* Somebody who waits, in a thread. */
struct waiting {
	struct mbj_client *client;
	uint64_t lsn;
	uint32_t replicas;
	pthread_t thread;
	enum mbj_rc rc;
	struct mbj_error err;
};

/* Others may have all places for a moment. */
static void *waiting_run(void *arg)
{
	struct waiting *w = arg;

	do
		w->rc = mbj_client_received(w->client, (struct mbj_lsn){w->lsn},
					    w->replicas, LONG_MS, NULL,
					    &w->err);
	while (w->rc == MBJ_ELIMIT);
	return NULL;
}

/* All places of the service are taken, or one is free. */
static void until_full(struct served *s, uint64_t lsn, bool is_full)
{
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; i < TRIES_MAX; i++) {
		rc = ask(s->client, lsn, MBJ_REPLICAS_MAX, 0, NULL);
		if ((rc == MBJ_ELIMIT) == is_full)
			break;
		(void)poll(NULL, 0, 1);
	}
	ck_assert_int_eq(rc, is_full ? MBJ_ELIMIT : MBJ_EUNRECEIVED);
}

/* So many wait as may, each for the last group. */
static void waiting_begin(struct served *s, struct waiting *w, uint64_t lsn)
{
	for (uint32_t i = 0; i < SERVED_WAITERS; i++) {
		w[i] = (struct waiting){.client = s->client,
					.lsn = lsn,
					.replicas = 1 + i % 2};
		ck_assert_int_eq(pthread_create(&w[i].thread, NULL, waiting_run,
						&w[i]),
				 0);
	}
	until_full(s, lsn, true);
}

static void waiting_join(struct waiting *w, enum mbj_rc expected)
{
	for (int i = 0; i < SERVED_WAITERS; i++) {
		ck_assert_int_eq(pthread_join(w[i].thread, NULL), 0);
		ck_assert_msg(w[i].rc == expected, "%s", w[i].err.message);
	}
}

/*
 * Goal: as many wait as may, one more is refused with words, others are served
 * meanwhile; all are answered once the replicas have it, and their places are
 * free again.  Method: the register is made only then.
 */
START_TEST(received_limit)
{
	struct waiting waiting[SERVED_WAITERS];
	struct served s;
	uint64_t end;

	served_begin(&s);
	end = mbj_store_end(s.site.store).lsn.v;
	refusals_check(s.client, end);
	waiting_begin(&s, waiting, end);
	ck_assert_int_eq(ask(s.client, end, 1, LONG_MS, NULL), MBJ_ELIMIT);
	ck_assert_ptr_nonnull(strstr(error.message, "3 clients wait"));
	ck_assert_uint_eq(error.lsn, end);
	SITE_OK(served_rename(s.client, 0, "m2", "x", NULL, err));
	for (uint8_t i = 1; i <= 2; i++)
		served_receive(&s, i, end);
	waiting_join(waiting, MBJ_OK);
	until_full(&s, end, false);
	ck_assert_int_eq(ask(s.client, end, 2, LONG_MS, NULL), MBJ_OK);
	ck_assert_int_eq(ask(s.client, end + 1, 1, 0, NULL), MBJ_EUNRECEIVED);
	served_end(&s);
}
END_TEST

/*
 * Goal: a service that stops answers those who wait, and says why.
 */
START_TEST(received_stop)
{
	struct waiting waiting[SERVED_WAITERS];
	struct served s;
	uint64_t end;

	served_begin(&s);
	end = mbj_store_end(s.site.store).lsn.v;
	waiting_begin(&s, waiting, end);
	SITE_OK(mbj_client_stop(s.client, err));
	waiting_join(waiting, MBJ_EUNRECEIVED);
	ck_assert_ptr_nonnull(strstr(waiting[0].err.message, "stops"));
	ck_assert_uint_eq(waiting[0].err.lsn, end);
	served_join(&s);
	ck_assert_int_eq(ask(s.client, end, 1, 0, NULL), MBJ_EIO);
	mbj_client_close(&s.client);
	site_end(&s.site);
}
END_TEST

/* A frame with that body, said to the service. */
static void say(int fd, enum wire_kind kind, const struct wire_message *m)
{
	struct wire_head head = {.kind = kind, .side = WIRE_REQUEST};
	struct mbj_buf out;

	mbj_buf_init(&out, 4096);
	mbj_buf_put_zero(&out, WIRE_HEAD_SIZE);
	wire_encode(&out, kind, WIRE_REQUEST, m);
	head.size = (uint32_t)(out.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, out.p);
	ck_assert_int_eq(socket_send(fd, out.p, out.n), (ssize_t)out.n);
	mbj_buf_done(&out);
}

/* An answer of any kind is there: take it. */
static void heard(int fd)
{
	uint8_t bytes[WIRE_SMALL_MAX];
	struct pollfd p = {fd, POLLIN, 0};

	ck_assert_int_eq(poll(&p, 1, LONG_MS), 1);
	ck_assert_int_gt(socket_receive(fd, bytes, sizeof(bytes)), 0);
}

static bool is_answered(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	return poll(&p, 1, 0) == 1;
}

/*
 * Goal: a client that goes away while it waits leaves its place to others.
 * Method: clients that ask, have all places, and close.
 */
START_TEST(received_gone)
{
	static struct wire_message m;
	int fds[SERVED_WAITERS];
	struct served s;
	enum mbj_rc rc;

	served_begin(&s);
	m = (struct wire_message){.version_lowest = 1, .version_highest = 1};
	m.wait =
		(struct wire_wait){mbj_store_end(s.site.store).lsn, 1, LONG_MS};
	for (int i = 0; i < SERVED_WAITERS; i++) {
		SITE_OK(socket_connect(s.path, -1, -1, &fds[i], err));
		say(fds[i], WIRE_HELLO, &m);
		heard(fds[i]);
		say(fds[i], WIRE_RECEIVED, &m);
	}
	do {
		/* We may have had a place that one of them wanted. */
		for (int i = 0; i < SERVED_WAITERS; i++)
			if (is_answered(fds[i])) {
				heard(fds[i]);
				say(fds[i], WIRE_RECEIVED, &m);
			}
		rc = ask(s.client, m.wait.lsn.v, 1, 0, NULL);
		ck_assert(rc == MBJ_ELIMIT || rc == MBJ_EUNRECEIVED);
	} while (rc != MBJ_ELIMIT);
	for (int i = 0; i < SERVED_WAITERS; i++)
		socket_close(fds[i]);
	until_full(&s, m.wait.lsn.v, false);
	served_end(&s);
}
END_TEST

TCase *test_received_case(void)
{
	TCase *tc = tcase_create("received");

	tcase_add_test(tc, received_marks);
	tcase_add_test(tc, received_counts);
	tcase_add_test(tc, received_none);
	tcase_add_test(tc, received_waiters);
	tcase_add_test(tc, received_here);
	tcase_add_test(tc, received_limit);
	tcase_add_test(tc, received_stop);
	tcase_add_test(tc, received_gone);
	return tc;
}
