/*
 * Who takes a snapshot of a source, as its register says while it is so.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/replicas.h>
#include <mbj/trim.h>

#include "stream_lab.h"
#include "stream_link.h"

enum { PART = 100 };

/* A source that registers a replica, which the test is. */
struct taking {
	struct lab lab;
	struct pair pair;
	pthread_t thread;
	struct mbj_sys sys;
	struct stream_link link; /* the replica's */
	const char *address;
	int64_t now;
	int64_t step; /* microseconds that go with each look at the clock */
	enum mbj_rc rc;
};

static int64_t clock_us(void *ctx)
{
	struct taking *t = ctx;

	return __atomic_add_fetch(&t->now,
				  __atomic_load_n(&t->step, __ATOMIC_RELAXED),
				  __ATOMIC_RELAXED);
}

/* From now on each piece is time to write down how far it is. */
static void hurry(struct taking *t)
{
	__atomic_store_n(&t->step, 10000000, __ATOMIC_RELAXED);
}

static void *source_run(void *context)
{
	struct mbj_stream_options options = MBJ_STREAM_OPTIONS_INIT;
	struct taking *t = context;

	options.in_fd = t->pair.near;
	options.out_fd = t->pair.near;
	options.sys = &t->sys;
	options.is_registering = true;
	options.address = t->address;
	t->rc = mbj_stream_send(t->lab.f.primary_dir, &options, NULL);
	(void)shutdown(t->pair.near, SHUT_RDWR);
	return NULL;
}

static void say(struct taking *t, enum stream_kind kind,
		const struct stream_message *m)
{
	OK(stream_link_send(&t->link, kind, m, err));
}

/* All up to the first frame of that kind. */
static struct stream_message hear(struct taking *t, enum stream_kind wanted)
{
	struct stream_message m;
	enum stream_kind kind;

	do {
		OK(stream_link_receive(&t->link, 60000, &kind, &m, err));
	} while (kind != wanted && kind != STREAM_LOST && kind != STREAM_FAULT);
	ck_assert_int_eq(kind, wanted);
	return m;
}

static void fetch(struct taking *t, uint32_t wait_ms)
{
	uint64_t last = mbj_store_end(t->lab.f.primary).lsn.v;

	say(t, STREAM_FETCH,
	    &(struct stream_message){.from = {last + 1},
				     .bytes_max = 1,
				     .wait_ms = wait_ms,
				     .received = {last},
				     .applied = {last},
				     .parked = {1}});
	(void)hear(t, STREAM_END);
}

static void part_ask(struct taking *t, uint64_t at, uint32_t bytes)
{
	struct mbj_lsn lsn = mbj_store_end(t->lab.f.primary).lsn;

	say(t, STREAM_PART,
	    &(struct stream_message){.least = lsn,
				     .snapshot = lsn,
				     .size = at,
				     .bytes_max = bytes});
}

/* As whoever looks at the source sees it. */
static struct mbj_replica_note note_get(struct taking *t)
{
	struct mbj_replica_note *notes = NULL;
	struct mbj_replica_note note;
	size_t count = 0;

	OK(mbj_replica_notes_load(NULL, t->lab.f.primary_dir, &notes, &count,
				  NULL, err));
	ck_assert_uint_eq(count, 1);
	note = notes[0];
	mbj_free(notes);
	return note;
}

/* None of it is asked for, and its size heard: time to write, in a hurry. */
static uint64_t look(struct taking *t)
{
	uint64_t size;

	part_ask(t, 0, 0);
	size = hear(t, STREAM_OFFER).size;
	(void)hear(t, STREAM_HERE);
	return size;
}

static void taking_begin(struct taking *t, const char *address)
{
	struct mbj_snapshot_result result;

	memset(t, 0, sizeof(*t));
	t->address = address;
	lab_begin(&t->lab);
	OK(mbj_store_snapshot(t->lab.f.primary, &result, err));
	pair_open(&t->pair);
	t->sys = *mbj_sys_posix();
	t->sys.now_us = clock_us;
	t->sys.ctx = t;
	t->now = 1000000000;
	OK(stream_link_begin(&t->link, t->pair.far, t->pair.far, -1, 60000,
			     STREAM_SOURCE, err));
	ck_assert_int_eq(pthread_create(&t->thread, NULL, source_run, t), 0);
	say(t, STREAM_HELLO,
	    &(struct stream_message){
		    .version_lowest = 1,
		    .version_highest = STREAM_VERSION,
		    .instance = mbj_store_identity(t->lab.f.replica)->instance,
		    .name = mbj_bytes_str("two")});
	(void)hear(t, STREAM_WELCOME);
}

static void taking_end(struct taking *t)
{
	stream_link_done(&t->link);
	(void)shutdown(t->pair.far, SHUT_RDWR);
	ck_assert_int_eq(pthread_join(t->thread, NULL), 0);
	ck_assert_uint_eq(note_get(t).take.lsn.v, 0);
	ck_assert(!note_get(t).is_connected);
	pair_close(&t->pair);
	lab_end(&t->lab);
}

/*
 * Goal: parts of a snapshot, and groups between them, are one taking of it, for
 * accounts; it is over with the last byte, and where the replica has nothing
 * more to ask.  Method: a part, a question without bytes, groups, the rest;
 * a part, and a replica that waits.
 */
START_TEST(take_parts)
{
	uint64_t last;
	struct mbj_replica_note note;
	struct taking t;
	uint64_t size;
	int64_t began;

	taking_begin(&t, "192.0.2.1 port 40112");
	last = mbj_store_end(t.lab.f.primary).lsn.v;
	fetch(&t, 0);
	note = note_get(&t);
	ck_assert_str_eq(note.address, "192.0.2.1 port 40112");
	ck_assert_uint_eq(note.take.lsn.v, 0);
	hurry(&t);
	size = look(&t);
	ck_assert_uint_eq(note_get(&t).take.lsn.v, 0);
	part_ask(&t, 0, PART);
	(void)hear(&t, STREAM_HERE);
	note = note_get(&t);
	ck_assert_uint_eq(note.take.lsn.v, last);
	ck_assert(!note.take.is_whole && note.is_connected);
	ck_assert_uint_eq(note.take.size, size);
	began = note.take.began_ms;
	fetch(&t, 0);
	part_ask(&t, PART, PART);
	(void)hear(&t, STREAM_HERE);
	note = note_get(&t);
	ck_assert_uint_eq(note.take.sent, 2 * PART);
	ck_assert_int_eq(note.take.began_ms, began);
	part_ask(&t, 2 * PART, 1 << 20);
	(void)hear(&t, STREAM_HERE);
	(void)look(&t);
	ck_assert_uint_eq(note_get(&t).take.lsn.v, 0);
	part_ask(&t, 0, PART);
	(void)hear(&t, STREAM_HERE);
	ck_assert_uint_eq(note_get(&t).take.lsn.v, last);
	fetch(&t, 1);
	(void)look(&t);
	ck_assert_uint_eq(note_get(&t).take.lsn.v, 0);
	taking_end(&t);
}
END_TEST

/*
 * Goal: who takes all of one is seen from its first byte on, and how far that
 * is, until it ends, whichever way.  Method: at a rate that would have it last,
 * of an address that is too long; the replica is gone; all of
 * it.
 */
START_TEST(take_whole)
{
	char address[MBJ_REPLICA_ADDRESS_MAX + 2] = "";
	struct mbj_replica_note note;
	struct taking t;
	uint64_t size;

	memset(address, 'a', MBJ_REPLICA_ADDRESS_MAX + 1);

	taking_begin(&t, address);
	hurry(&t);
	say(&t, STREAM_PACE,
	    &(struct stream_message){.rate = MBJ_STREAM_RATE_MIN});
	say(&t, STREAM_SNAPSHOT, &(struct stream_message){.count = 0});
	size = hear(&t, STREAM_OFFER).size;
	ck_assert_uint_gt(size, 1024);
	for (int i = 0; i < 3; i++)
		(void)hear(&t, STREAM_PIECE);
	note = note_get(&t);
	ck_assert_uint_eq(note.take.lsn.v,
			  mbj_store_end(t.lab.f.primary).lsn.v);
	ck_assert(note.take.is_whole && note.is_connected);
	ck_assert_str_eq(note.name, "two");
	ck_assert_uint_eq(strlen(note.address), MBJ_REPLICA_ADDRESS_MAX);
	ck_assert_uint_eq(note.take.size, size);
	ck_assert_uint_gt(note.take.sent, 0);
	ck_assert_uint_lt(note.take.sent, size);
	taking_end(&t);
	taking_begin(&t, NULL);
	say(&t, STREAM_SNAPSHOT, &(struct stream_message){.count = 0});
	(void)hear(&t, STREAM_HERE);
	hurry(&t);
	(void)look(&t);
	ck_assert_uint_eq(note_get(&t).take.lsn.v, 0);
	taking_end(&t);
}
END_TEST

TCase *test_take_case(void)
{
	TCase *tc = tcase_create("take");

	tcase_add_test(tc, take_parts);
	tcase_add_test(tc, take_whole);
	return tc;
}
