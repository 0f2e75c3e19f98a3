/*
 * Intents that stand, through a service: what a change costs where they do, who
 * sees what of it, and what is in doubt where an outcome, or the service, is
 * lost.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "append_lab.h"
#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "store_impl.h"

enum { MOMENT_MS = 50 };

static const uint8_t BODY[] = "x", OTHER_BODY[] = "y";

/* Groups, and messages of m2, once all that was told of u3 is durable. */
static uint64_t groups_of(struct served *s)
{
	struct mbj_account account;

	SITE_OK(mbj_client_account(s->client, mbj_bytes_str("u3"), &account,
				   err));
	return mbj_store_end(s->site.store).lsn.v;
}

static uint64_t messages_of(struct mbj_client *client)
{
	struct mbj_place place;

	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u3"),
				   mbj_bytes_str("m2"), false, &place, err));
	return place.content.message_count;
}

static struct mbj_id append_whole(struct mbj_client *client, const char *path)
{
	struct append append;

	append_make_at(client, &append, path);
	SITE_OK(append_begin(client, &append, err));
	append_outcome(&append);
	SITE_OK(append_tell(client, &append, BODY, 1, err));
	return append.edit.intent;
}

/* From here on an intent about m2 stands. */
static struct mbj_id stand(struct served *s)
{
	(void)append_whole(s->client, "m2");
	return append_whole(s->client, "m2");
}

/* In a store of its own, once the service is over. */
static size_t intents_left(struct served *s)
{
	struct mbj_client *client = NULL;
	size_t count;

	SITE_OK(mbj_client_take(s->site.store, &client, err));
	count = intents_open(client);
	s->site.store = NULL;
	mbj_client_close(&client);
	SITE_OK(mbj_store_open(s->site.dir, &s->site.options, &s->site.store,
			       err));
	return count;
}

static void service_stop(struct served *s)
{
	mbj_client_close(&s->client);
	ck_assert_int_eq(write(s->stop[1], "x", 1), 1);
	served_join(s);
}

/*
 * Goal: of changes that come one soon after the other only the first two are
 * announced; nothing is in doubt between them; a stop closes what stands.
 */
START_TEST(standing_used)
{
	struct append append;
	struct mbj_id intent;
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	struct served s;
	uint64_t before;

	served_begin(&s);
	before = groups_of(&s);
	intent = append_whole(s.client, "m2");
	ck_assert_uint_eq(groups_of(&s), before + 2);
	ck_assert(!mbj_id_equal(append_whole(s.client, "m2"), intent));
	ck_assert_uint_eq(groups_of(&s), before + 4);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	intent = append.edit.intent;
	ck_assert_uint_eq(append.place.content.message_count, 2);
	ck_assert_uint_eq(intents_open(s.client), 1);
	append_outcome(&append);
	SITE_OK(append_tell(s.client, &append, BODY, 1, err));
	ck_assert_uint_eq(groups_of(&s), before + 5);
	ck_assert_uint_eq(messages_of(s.client), 3);
	ck_assert_uint_eq(intents_open(s.client), 0);
	SITE_OK(mbj_client_enter(s.client, mbj_bytes_str("u3"),
				 mbj_bytes_str("imap"), &account, &tree, err));
	mbj_tree_free(&tree);
	/* What was not done is no group at all. */
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	ck_assert(mbj_id_equal(append.edit.intent, intent));
	append_failed(&append);
	SITE_OK(mbj_client_outcome(s.client, &append.edit, err));
	ck_assert_uint_eq(intents_open(s.client), 0);
	ck_assert_uint_eq(groups_of(&s), before + 5);
	ck_assert_uint_eq(served_stats(s.client).stood, 2);
	service_stop(&s);
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v, before + 6);
	ck_assert_uint_eq(intents_left(&s), 0);
	ck_assert(site_is_sound(s.site.store));
	site_end(&s.site);
}
END_TEST

/* Goal: an intent that is announced by itself is given one that stands, too. */
START_TEST(standing_submitted)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct append append;
	struct mbj_id intent;
	struct served s;
	uint64_t before;

	served_begin(&s);
	intent = stand(&s);
	before = groups_of(&s);
	append_make(s.client, &append);
	SITE_OK(mbj_client_submit(s.client, &append.edit, &outcome, err));
	ck_assert(mbj_id_equal(outcome.intent, intent));
	append.edit.intent = outcome.intent;
	mbj_outcome_done(&outcome);
	ck_assert_uint_eq(groups_of(&s), before);
	ck_assert_uint_eq(intents_open(s.client), 1);
	append_outcome(&append);
	SITE_OK(append_tell(s.client, &append, BODY, 1, err));
	ck_assert_uint_eq(groups_of(&s), before + 1);
	/* Who wants one of his own has one. */
	append_make(s.client, &append);
	append.edit.intent = (struct mbj_id){.b = {1, 2, 3}};
	SITE_OK(mbj_client_submit(s.client, &append.edit, &outcome, err));
	ck_assert(mbj_id_equal(outcome.intent, append.edit.intent));
	mbj_outcome_done(&outcome);
	append_outcome(&append);
	SITE_OK(append_tell(s.client, &append, BODY, 1, err));
	ck_assert_uint_eq(groups_of(&s), before + 3);
	ck_assert_uint_eq(intents_open(s.client), 0);
	/* Nor is it given to whoever wants another mailbox, or another state.
	 */
	append_make_at(s.client, &append, "m3");
	SITE_OK(mbj_client_submit(s.client, &append.edit, &outcome, err));
	ck_assert(!mbj_id_equal(outcome.intent, intent));
	mbj_outcome_done(&outcome);
	served_end(&s);
}
END_TEST

static void ask_messages(struct mbj_client *client)
{
	ck_assert_uint_eq(messages_of(client), 3);
}

static void ask_intents(struct mbj_client *client)
{
	ck_assert_uint_eq(intents_open(client), 0);
}

/* There is no such message before. */
static void ask_flag(struct mbj_client *client)
{
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_FLAGS,
					.mode = MBJ_FLAGS_ADD,
					.flags = 1,
					.mailbox = site_mailbox(3, 2)};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_buf uids;

	mbj_buf_init(&uids, MBJ_UID_RANGE_SIZE);
	mbj_uids_put(&uids, 3, 3);
	step.uids = mbj_buf_view(&uids);
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u3");
	edit.messages = &step;
	edit.message_count = 1;
	SITE_OK(mbj_client_submit(client, &edit, &outcome, err));
	ck_assert_uint_gt(outcome.lsn.v, 0);
	mbj_outcome_done(&outcome);
	mbj_buf_done(&uids);
}

/*
 * Goal: an outcome is answered while the disk stands, and before it is carried
 * out; whoever asks about the account, or changes it, comes behind it.
 */
START_TEST(standing_order)
{
	static void (*const asks[])(struct mbj_client * client) = {
		ask_messages,
		ask_intents,
		ask_flag,
	};
	enum { ASKS = sizeof(asks) / sizeof(asks[0]) };
	struct served_asker askers[ASKS];
	struct append append;
	struct served s;

	served_begin(&s);
	(void)stand(&s);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	append_outcome(&append);
	SITE_OK(store_turn_take(s.site.store, err));
	SITE_OK(append_tell(s.client, &append, BODY, 1, err));
	for (int i = 0; i < ASKS; i++)
		served_ask(&askers[i], &s, asks[i]);
	(void)poll(NULL, 0, MOMENT_MS);
	for (int i = 0; i < ASKS; i++)
		ck_assert(!atomic_load(&askers[i].is_answered));
	store_turn_give(s.site.store);
	for (int i = 0; i < ASKS; i++)
		ck_assert_int_eq(pthread_join(askers[i].thread, NULL), 0);
	served_end(&s);
}
END_TEST

/* It is in doubt: the next one is refused, and what was lost can be told. */
static void doubt_check(struct served *s, struct append *lost)
{
	struct append next;
	struct mbj_error error;

	ck_assert_uint_eq(intents_open(s->client), 1);
	append_make(s->client, &next);
	SITE_FAILS(append_begin(s->client, &next, err), MBJ_ECONFLICT, &error);
	ck_assert_uint_eq(served_stats(s->client).taken_lost, 1);
	lost->step.uid = 0;
	SITE_OK(append_tell(s->client, lost, OTHER_BODY, 1, err));
	ck_assert_uint_eq(intents_open(s->client), 0);
	ck_assert_uint_eq(messages_of(s->client), 3);
	SITE_OK(append_begin(s->client, &next, err));
}

/*
 * Goal: an outcome that was answered and is refused, or not stored, or not made
 * durable, leaves the mailbox in doubt, and is counted.
 */
START_TEST(standing_lost)
{
	enum { REFUSED, NO_PLACE, NO_SYNC, WAYS };

	for (int way = 0; way < WAYS; way++) {
		struct mbj_blobs *blobs = NULL;
		struct append append;
		struct served s;

		served_begin(&s);
		(void)stand(&s);
		append_make(s.client, &append);
		SITE_OK(append_begin(s.client, &append, err));
		append_outcome(&append);
		SITE_OK(mbj_store_blobs(s.site.store, &blobs, err));
		if (way == REFUSED)
			append.step.uid = 1;
		else if (way == NO_PLACE)
			mbj_blobs_keep_free(blobs, UINT64_MAX);
		else
			site_sys_arm(&s.sys, SITE_CALL_SYNC, 1, EIO, true);
		SITE_OK(append_tell(s.client, &append, OTHER_BODY, 1, err));
		ck_assert_uint_eq(intents_open(s.client), 1);
		mbj_blobs_keep_free(blobs, 0);
		site_sys_arm(&s.sys, 0, 0, 0, false);
		append.edit.request.b[3]++;
		doubt_check(&s, &append);
		served_end(&s);
	}
}
END_TEST

/* Goal: what is in doubt when the service ends is in doubt afterwards. */
START_TEST(standing_left)
{
	struct append append;
	struct served s;

	served_begin(&s);
	(void)stand(&s);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	service_stop(&s);
	ck_assert_uint_eq(intents_left(&s), 1);
	ck_assert(site_is_sound(s.site.store));
	site_end(&s.site);
}
END_TEST

/* Goal: others that one closes by its id, or with its account, are gone. */
START_TEST(standing_gone)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct append append;
	struct mbj_id intent;
	struct served s;

	served_begin(&s);
	intent = stand(&s);
	edit.kind = MBJ_EDIT_INTENT;
	edit.account = mbj_bytes_str("u3");
	edit.stage = MBJ_STAGE_FAILED;
	edit.intent = intent;
	SITE_OK(mbj_client_submit(s.client, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	ck_assert(!mbj_id_equal(append.edit.intent, intent));
	append_outcome(&append);
	SITE_OK(append_tell(s.client, &append, BODY, 1, err));
	/* The store's own thread, behind the service's back. */
	edit.intent = append.edit.intent;
	SITE_OK(mbj_store_submit(s.site.store, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	ck_assert(!mbj_id_equal(append.edit.intent, edit.intent));
	append_outcome(&append);
	SITE_OK(append_tell(s.client, &append, BODY, 1, err));
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.stage = MBJ_STAGE_NONE;
	edit.intent = MBJ_ID_ROOT;
	edit.is_emptying = true;
	(void)append_whole(s.client, "m2");
	SITE_OK(mbj_client_submit(s.client, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	served_end(&s);
}
END_TEST

/*
 * Goal: of two at once one at most is begun, where one of them is given what
 * stands and the other is judged in a batch.  Method: all orders that come up
 * in 150 rounds.
 */
START_TEST(standing_race)
{
	enum { ROUNDS = 150 };
	struct append_racer racers[2] = {{.client = NULL}, {.client = NULL}};
	struct served s;

	served_begin(&s);
	(void)stand(&s);
	for (int i = 0; i < 2; i++)
		SITE_OK(mbj_client_connect(s.path, NULL, &racers[i].client,
					   err));
	for (int round = 0; round < ROUNDS; round++) {
		int begun = 0;

		append_make(s.client, &racers[0].append);
		append_make_at(s.client, &racers[1].append, "m3");
		for (int i = 0; i < 2; i++)
			racer_begin(&racers[i]);
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_join(racers[i].thread, NULL),
					 0);
		for (int i = 0; i < 2; i++) {
			if (racers[i].rc == MBJ_ECONFLICT)
				continue;
			ck_assert_int_eq(racers[i].rc, MBJ_OK);
			begun++;
		}
		ck_assert_int_le(begun, 1);
		ck_assert_uint_eq(intents_open(s.client), (size_t)begun);
		for (int i = 0; i < 2; i++) {
			if (racers[i].rc != MBJ_OK)
				continue;
			append_outcome(&racers[i].append);
			SITE_OK(append_tell(s.client, &racers[i].append, BODY,
					    1, err));
		}
		ck_assert_uint_eq(intents_open(s.client), 0);
	}
	for (int i = 0; i < 2; i++)
		mbj_client_close(&racers[i].client);
	served_end(&s);
}
END_TEST

/*
 * Goal: what comes late of a change that somebody else has settled is no
 * outcome of the change after that.
 */
START_TEST(standing_late)
{
	struct mbj_client *settler = NULL;
	struct append late, settled, next;
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	SITE_OK(mbj_client_connect(s.path, NULL, &settler, err));
	(void)stand(&s);
	append_make(s.client, &late);
	SITE_OK(append_begin(s.client, &late, err));
	append_make(settler, &settled);
	settled.edit.intent = late.edit.intent;
	append_outcome(&settled);
	SITE_OK(append_tell(settler, &settled, BODY, 1, err));
	ck_assert_uint_eq(intents_open(settler), 0);
	append_make(settler, &next);
	SITE_OK(append_begin(settler, &next, err));
	append_outcome(&late);
	SITE_FAILS(append_tell(s.client, &late, OTHER_BODY, 1, err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_uint_eq(intents_open(settler), 1);
	ck_assert_uint_eq(messages_of(settler), 3);
	append_outcome(&next);
	SITE_OK(append_tell(settler, &next, BODY, 1, err));
	ck_assert_uint_eq(intents_open(settler), 0);
	mbj_client_close(&settler);
	served_end(&s);
}
END_TEST

/* In the store itself: the service's table knows nothing of it. */
static void announce_behind(struct served *s, const struct append *append)
{
	struct mbj_outcome outcome = {.lsn = {0}};

	SITE_OK(mbj_store_submit(s->site.store, &append->edit, &outcome, err));
	mbj_outcome_done(&outcome);
}

/*
 * Goal: a change that is given what stands sees what was announced until then,
 * and not until it came.  Method: it waits for the table in between.
 */
START_TEST(standing_sees)
{
	struct append_racer racer = {.client = NULL};
	struct append other;
	struct served s;

	served_begin(&s);
	(void)stand(&s);
	append_make_at(s.client, &other, "m3");
	SITE_OK(mbj_client_connect(s.path, NULL, &racer.client, err));
	append_make(racer.client, &racer.append);
	pthread_mutex_lock(&s.site.store->standing.mutex);
	racer_begin(&racer);
	(void)poll(NULL, 0, MOMENT_MS);
	announce_behind(&s, &other);
	pthread_mutex_unlock(&s.site.store->standing.mutex);
	ck_assert_int_eq(pthread_join(racer.thread, NULL), 0);
	ck_assert_int_eq(racer.rc, MBJ_ECONFLICT);
	ck_assert_uint_eq(intents_open(s.client), 1);
	mbj_client_close(&racer.client);
	served_end(&s);
}
END_TEST

/* Goal: a request that comes again, and is refused, takes no doubt away. */
START_TEST(standing_again)
{
	struct append append, other;
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	(void)stand(&s);
	append_make(s.client, &append);
	append_make_at(s.client, &other, "m3");
	SITE_OK(append_begin(s.client, &append, err));
	announce_behind(&s, &other);
	append.edit.intent = MBJ_ID_ROOT;
	SITE_FAILS(append_begin(s.client, &append, err), MBJ_ECONFLICT, &error);
	ck_assert_uint_eq(intents_open(s.client), 2);
	served_end(&s);
}
END_TEST

/* Goal: an intent about less than whatever may happen does not stand. */
START_TEST(standing_lesser)
{
	struct append append;
	struct mbj_id intent;
	struct mbj_buf uids;
	struct served s;

	served_begin(&s);
	(void)append_whole(s.client, "m2");
	mbj_buf_init(&uids, MBJ_UID_RANGE_SIZE);
	mbj_uids_put(&uids, 1, 1);
	append_make(s.client, &append);
	append.step.kind = MBJ_MESSAGE_FLAGS;
	append.step.mode = MBJ_FLAGS_ADD;
	append.step.flags = 1;
	append.step.uids = mbj_buf_view(&uids);
	SITE_OK(append_begin(s.client, &append, err));
	intent = append.edit.intent;
	append.edit.stage = MBJ_STAGE_DONE;
	append.edit.producer = mbj_bytes_make(NULL, 0);
	append.edit.request.b[2]++;
	SITE_OK(mbj_client_outcome(s.client, &append.edit, err));
	ck_assert(!mbj_id_equal(append_whole(s.client, "m2"), intent));
	mbj_buf_done(&uids);
	served_end(&s);
}
END_TEST

TCase *test_standing_case(void)
{
	TCase *tc = tcase_create("standing");

	tcase_add_test(tc, standing_used);
	tcase_add_test(tc, standing_submitted);
	tcase_add_test(tc, standing_order);
	tcase_add_test(tc, standing_lost);
	tcase_add_test(tc, standing_left);
	tcase_add_test(tc, standing_gone);
	tcase_add_test(tc, standing_race);
	tcase_add_test(tc, standing_late);
	tcase_add_test(tc, standing_sees);
	tcase_add_test(tc, standing_again);
	tcase_add_test(tc, standing_lesser);
	tcase_set_timeout(tc, 60);
	return tc;
}
