/*
 * The table of intents that stand: which one a change is given, and which one
 * is closed when.
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include <mbj/sys.h>

#include "journal_cases.h"
#include "standing.h"
#include "store_lab.h"

static struct mbj_id id_of(uint8_t kind, size_t number)
{
	struct mbj_id id = {.b = {kind}};

	id.b[14] = (uint8_t)number;
	id.b[15] = (uint8_t)(number >> 8);
	return id;
}

static struct standing_place place_of(size_t account, size_t mailbox)
{
	return (struct standing_place){
		.account = id_of('a', account),
		.mailbox = id_of('m', mailbox),
		.producer = mbj_bytes_str("imap"),
		.asker = 1,
		.is_any = true,
	};
}

/* A change of a mailbox, announced by an intent of its own. */
static struct mbj_id
announce(struct standing *s, const struct standing_place *place, int64_t now_ms)
{
	static size_t number;
	struct mbj_id intent = id_of('i', ++number);

	standing_announced(s, standing_announce(s, place, now_ms), intent,
			   id_of('r', number));
	ck_assert(!standing_is_idle(s, intent));
	return intent;
}

/* The second of two changes, one soon after the other: its intent stands. */
static struct mbj_id stand(struct standing *s,
			   const struct standing_place *place, int64_t now_ms)
{
	struct mbj_id intent = announce(s, place, now_ms);

	ck_assert(!standing_stays(s, intent, 1, now_ms));
	standing_told(s, intent, false, now_ms);
	intent = announce(s, place, now_ms);
	ck_assert(standing_stays(s, intent, 1, now_ms));
	standing_told(s, intent, true, now_ms);
	ck_assert(standing_is_idle(s, intent));
	return intent;
}

static void table_begin(struct standing *s)
{
	SITE_OK(standing_init(s, err));
	standing_begin(s);
}

/* All that stand are closed. */
static void table_end(struct standing *s, size_t left)
{
	struct mbj_id account, intent;

	standing_halt(s);
	for (; standing_close(s, &account, &intent); left--) {
		ck_assert_uint_gt(left, 0);
		ck_assert(standing_is_idle(s, intent));
		standing_closed(s, intent, true);
		ck_assert(!standing_is_idle(s, intent));
	}
	ck_assert_uint_eq(left, 0);
	standing_done(s);
}

/* Goal: one stands where changes come soon, and is given to one at a time. */
START_TEST(standing_given)
{
	struct standing_place place = place_of(1, 1);
	struct standing_place other = place_of(1, 2);
	struct mbj_id intent, given;
	struct standing s;
	uint64_t serial;

	table_begin(&s);
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	intent = stand(&s, &place, 1000);
	ck_assert(standing_reuse(&s, &place, id_of('r', 900), &given));
	ck_assert(mbj_id_equal(given, intent));
	ck_assert(!standing_is_idle(&s, intent));
	ck_assert_uint_eq(standing_count(&s), 1);
	/* In doubt: nobody else's, but the same request's again. */
	ck_assert(!standing_reuse(&s, &place, id_of('r', 901), &given));
	ck_assert(standing_reuse(&s, &place, id_of('r', 900), &given));
	ck_assert(mbj_id_equal(given, intent));
	standing_told(&s, intent, true, 2000);
	ck_assert(standing_reuse(&s, &place, id_of('r', 900), &given));
	ck_assert(standing_is_idle(&s, intent));
	ck_assert_uint_eq(standing_count(&s), 1);
	/* Another change of that producer is about to be announced. */
	serial = standing_announce(&s, &other, 2000);
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	place.producer = mbj_bytes_str("else");
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	place.producer = mbj_bytes_str("imap");
	standing_announced(&s, serial, id_of('i', 700), MBJ_ID_ROOT);
	ck_assert(standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	/* By somebody else it is told, and does not stand. */
	ck_assert(standing_stays(&s, intent, 1, 2000));
	ck_assert(!standing_stays(&s, intent, 2, 2000));
	standing_return(&s, intent);
	ck_assert_uint_eq(standing_count(&s), 1);
	ck_assert(standing_is_idle(&s, intent));
	/* What was refused and comes again is a change like any other. */
	ck_assert(standing_reuse(&s, &place, id_of('r', 902), &given));
	standing_return(&s, intent);
	ck_assert_int_eq(standing_reuse(&s, &place, id_of('r', 902), &given),
			 STANDING_GIVEN);
	ck_assert(!standing_is_idle(&s, intent));
	standing_return(&s, intent);
	/* What was lost is in doubt again. */
	standing_doubt(&s, intent);
	ck_assert(!standing_is_idle(&s, intent));
	standing_forget(&s, intent);
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	table_end(&s, 0);
}
END_TEST

/* Goal: changes far apart, of many mailboxes, or for long, are announced. */
START_TEST(standing_not)
{
	struct standing_place place = place_of(1, 1);
	struct mbj_id intent, given;
	struct standing s;

	table_begin(&s);
	intent = announce(&s, &place, 1000);
	standing_told(&s, intent, false, 1000);
	intent = announce(&s, &place, 1001 + STANDING_RECENT_MS);
	ck_assert(!standing_stays(&s, intent, 1, 1001 + STANDING_RECENT_MS));
	standing_told(&s, intent, false, 1001 + STANDING_RECENT_MS);
	for (size_t i = 0; i < STANDING_ACCOUNT_MAX; i++) {
		place.mailbox = id_of('m', 10 + i);
		(void)stand(&s, &place, 20000);
	}
	place.mailbox = id_of('m', 1);
	intent = announce(&s, &place, 20000);
	ck_assert(!standing_stays(&s, intent, 1, 20000));
	standing_told(&s, intent, false, 20000);
	/* Used again and again. */
	place = place_of(2, 1);
	intent = stand(&s, &place, 20000);
	ck_assert(standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	ck_assert(standing_stays(&s, intent, 1, 19999 + STANDING_AGE_MS));
	ck_assert(!standing_stays(&s, intent, 1, 20000 + STANDING_AGE_MS));
	standing_told(&s, intent, false, 20000 + STANDING_AGE_MS);
	/* A name that has no room. */
	place.producer = mbj_bytes_str("01234567890123456789012345678901");
	intent = announce(&s, &place, 20000);
	standing_told(&s, intent, false, 20000);
	intent = announce(&s, &place, 20000);
	ck_assert(!standing_stays(&s, intent, 1, 20000));
	table_end(&s, STANDING_ACCOUNT_MAX);
}
END_TEST

/*
 * Goal: while one is announced none is given, also where the table has no room
 * for it, and where another one is announced there.
 */
START_TEST(standing_unseen)
{
	struct standing_place place = place_of(1, 1);
	struct standing_place unknown = place_of(1, 2);
	struct mbj_id intent, given;
	uint64_t serial, late;
	struct standing s;

	table_begin(&s);
	intent = stand(&s, &place, 1000);
	unknown.producer = mbj_bytes_str("01234567890123456789012345678901");
	serial = standing_announce(&s, &unknown, 1000);
	ck_assert_uint_eq(serial, 0);
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	standing_announced(&s, serial, id_of('i', 500), MBJ_ID_ROOT);
	ck_assert(standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	ck_assert(mbj_id_equal(given, intent));
	standing_told(&s, intent, true, 1000);
	/* Two at once, in one mailbox: each of them keeps others out. */
	unknown = place_of(1, 2);
	late = standing_announce(&s, &unknown, 1000);
	serial = standing_announce(&s, &unknown, 1000);
	standing_announced(&s, serial, MBJ_ID_ROOT, MBJ_ID_ROOT);
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	standing_announced(&s, late, id_of('i', 600), MBJ_ID_ROOT);
	ck_assert(!standing_stays(&s, id_of('i', 600), 1, 1000));
	ck_assert(standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	standing_told(&s, intent, true, 1000);
	standing_told(&s, id_of('i', 600), false, 1000);
	table_end(&s, 1);
}
END_TEST

/* Goal: what is idle for long is closed, and what could not be is in doubt. */
START_TEST(standing_closes)
{
	int64_t now = mbj_monotonic_ms();
	struct standing_place place = place_of(1, 1);
	struct standing_place fresh = place_of(2, 2);
	struct mbj_id account, closing, intent, other, given;
	struct standing s;

	table_begin(&s);
	intent = stand(&s, &place, now - STANDING_IDLE_MS);
	other = stand(&s, &fresh, now);
	ck_assert(standing_close(&s, &account, &closing));
	ck_assert(mbj_id_equal(closing, intent));
	ck_assert(mbj_id_equal(account, place.account));
	/* It cannot be had any more, nor is it in doubt. */
	ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	ck_assert(standing_is_idle(&s, intent));
	standing_told(&s, intent, false, now);
	ck_assert(standing_is_idle(&s, intent));
	standing_closed(&s, intent, false);
	ck_assert(!standing_is_idle(&s, intent));
	ck_assert(standing_is_idle(&s, other));
	table_end(&s, 1);
}
END_TEST

/* By its own thread, as a service has it: one, or that it is over. */
struct closing {
	struct standing *s;
	struct mbj_id intent; /* ROOT: it is over */
};

static void *closing_main(void *arg)
{
	struct closing *closing = arg;
	struct mbj_id account;

	if (!standing_close(closing->s, &account, &closing->intent))
		closing->intent = MBJ_ID_ROOT;
	else
		standing_closed(closing->s, closing->intent, true);
	return NULL;
}

static bool is_resting(struct standing *s)
{
	bool is_resting;

	pthread_mutex_lock(&s->mutex);
	is_resting = s->is_resting;
	pthread_mutex_unlock(&s->mutex);
	return is_resting;
}

static void closing_begin(struct closing *closing, struct standing *s,
			  pthread_t *thread, bool is_to_rest)
{
	const struct timespec moment = {.tv_nsec = 10000000};

	closing->s = s;
	ck_assert_int_eq(pthread_create(thread, NULL, closing_main, closing),
			 0);
	do
		nanosleep(&moment, NULL);
	while (is_to_rest && !is_resting(s));
}

/* It is due in a moment. */
static struct mbj_id stand_due(struct standing *s, size_t number)
{
	struct standing_place place = place_of(number, 1);

	return stand(s, &place, mbj_monotonic_ms() - STANDING_IDLE_MS + 100);
}

/*
 * Goal: who closes them sleeps where there are none, and misses none: neither
 * as he sleeps, nor between two looks, nor in a service that begins anew.
 */
START_TEST(standing_woken)
{
	struct closing closing;
	struct mbj_id intent;
	struct standing s;
	pthread_t thread;

	table_begin(&s);
	closing_begin(&closing, &s, &thread, true);
	intent = stand_due(&s, 1);
	pthread_join(thread, NULL);
	ck_assert(mbj_id_equal(closing.intent, intent));
	/* A stop between two looks, and what is there at the beginning. */
	closing_begin(&closing, &s, &thread, false);
	standing_halt(&s);
	pthread_join(thread, NULL);
	ck_assert(mbj_id_is_root(closing.intent));
	standing_begin(&s);
	intent = stand_due(&s, 2);
	closing_begin(&closing, &s, &thread, false);
	pthread_join(thread, NULL);
	ck_assert(mbj_id_equal(closing.intent, intent));
	closing_begin(&closing, &s, &thread, true);
	standing_halt(&s);
	pthread_join(thread, NULL);
	ck_assert(mbj_id_is_root(closing.intent));
	table_end(&s, 0);
}
END_TEST

/* Goal: a stop does not wait for all, however many there are. */
START_TEST(standing_late_stop)
{
	struct standing_place place = place_of(1, 1);
	struct mbj_id account, intent;
	struct standing s;

	table_begin(&s);
	(void)stand(&s, &place, 1000);
	standing_halt(&s);
	s.halted_ms -= STANDING_HALT_MS;
	ck_assert(!standing_close(&s, &account, &intent));
	standing_done(&s);
}
END_TEST

/* Goal: however many mailboxes change, those that stand are kept. */
START_TEST(standing_full)
{
	struct standing_place place;
	struct mbj_id kept[STANDING_MAX / 2];
	struct mbj_id given;
	struct standing s;

	table_begin(&s);
	for (size_t i = 0; i < STANDING_MAX / 2; i++) {
		place = place_of(i, 1);
		kept[i] = stand(&s, &place, 1000);
	}
	for (size_t i = 0; i < 4 * STANDING_MAX; i++) {
		place = place_of(7000 + i, 2);
		standing_told(&s, announce(&s, &place, 1000), i % 2 > 0, 1000);
		/* One in the middle of a change, and gone. */
		if (i % 2 == 0)
			(void)announce(&s, &place, 1000);
	}
	for (size_t i = 0; i < STANDING_MAX / 2; i++) {
		place = place_of(i, 1);
		ck_assert(standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
		ck_assert(mbj_id_equal(given, kept[i]));
		standing_told(&s, given, false, 1000);
	}
	standing_halt(&s);
	while (standing_close(&s, &place.account, &given))
		standing_closed(&s, given, true);
	standing_done(&s);
}
END_TEST

/* Goal: without somebody who closes them none stands. */
START_TEST(standing_halted)
{
	struct standing_place place = place_of(1, 1);
	struct mbj_id intent, given;
	struct standing s;

	SITE_OK(standing_init(&s, err));
	for (int i = 0; i < 2; i++) {
		intent = announce(&s, &place, 1000);
		ck_assert(!standing_stays(&s, intent, 1, 1000));
		standing_told(&s, intent, false, 1000);
		ck_assert(!standing_reuse(&s, &place, MBJ_ID_ROOT, &given));
	}
	ck_assert(!standing_is_idle(NULL, intent));
	standing_begin(&s);
	(void)stand(&s, &place, 1000);
	table_end(&s, 1);
}
END_TEST

TCase *test_standing_table_case(void)
{
	TCase *tc = tcase_create("standing_table");

	tcase_add_test(tc, standing_given);
	tcase_add_test(tc, standing_not);
	tcase_add_test(tc, standing_unseen);
	tcase_add_test(tc, standing_closes);
	tcase_add_test(tc, standing_woken);
	tcase_add_test(tc, standing_late_stop);
	tcase_add_test(tc, standing_full);
	tcase_add_test(tc, standing_halted);
	tcase_set_timeout(tc, 20);
	return tc;
}
