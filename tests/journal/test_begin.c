/*
 * What whoever changes an account asks in one round trip: the tree where
 * nothing is in doubt, the intent about a mailbox's messages with what is
 * there, an outcome with the bytes of what it appends.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/hash.h>

#include "append_lab.h"
#include "client_impl.h"
#include "journal_cases.h"
#include "relay_lab.h"
#include "served_lab.h"
#include "socket.h"
#include "store_impl.h"

enum { LONG = WIRE_PIECE_MAX + 1 };

/* The service's last word of its version, for this client. */
static void client_speak(struct mbj_client *client, uint16_t version)
{
	client->version = version;
	if (client->idle != NULL)
		client->idle->version = version;
}

static enum mbj_rc enter_as(struct mbj_client *client, const char *name,
			    const char *producer, size_t *ret_count,
			    struct mbj_error *err)
{
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	enum mbj_rc rc =
		mbj_client_enter(client, mbj_bytes_str(name),
				 mbj_bytes_str(producer), &account, &tree, err);

	if (rc == MBJ_OK)
		*ret_count = mbj_tree_size(tree);
	mbj_tree_free(&tree);
	return rc;
}

static enum mbj_rc enter(struct mbj_client *client, const char *name,
			 size_t *ret_count, struct mbj_error *err)
{
	return enter_as(client, name, "imap", ret_count, err);
}

static void enter_try(struct mbj_client *client)
{
	struct append append;
	struct mbj_error error;
	size_t count = 0;

	SITE_OK(enter(client, "u3", &count, err));
	ck_assert_uint_eq(count, 3);
	SITE_FAILS(enter(client, "nobody", &count, err), MBJ_ENOTFOUND, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_ACCOUNT_NOT_FOUND);
	append_make(client, &append);
	SITE_OK(append_begin(client, &append, err));
	SITE_FAILS(enter(client, "u3", &count, err), MBJ_ECONFLICT, &error);
	SITE_FAILS(enter_as(client, "u3", "", &count, err), MBJ_ECONFLICT,
		   &error);
	SITE_OK(enter_as(client, "u3", "else", &count, err));
	SITE_OK(enter(client, "u4", &count, err));
	append_outcome(&append);
	SITE_OK(append_tell(client, &append, (const uint8_t *)"x", 1, err));
	SITE_OK(enter(client, "u3", &count, err));
}

/*
 * What is refused leaves nothing: another intent is open, another mailbox is
 * there, none is, the edit is something else.
 */
static void begin_try(struct mbj_client *client)
{
	struct append append, other;
	struct mbj_error error;
	struct mbj_edit good;

	append_make(client, &append);
	good = append.edit;
	append.step.mailbox = MBJ_ID_ROOT;
	SITE_FAILS(append_begin(client, &append, err), MBJ_ECONFLICT, &error);
	append.step.mailbox = append.place.mailbox.id;
	append.edit.stage = MBJ_STAGE_NONE;
	SITE_FAILS(append_begin(client, &append, err), MBJ_ECONFLICT, &error);
	append.edit = good;
	append.edit.kind = MBJ_EDIT_SET;
	SITE_FAILS(append_begin(client, &append, err), MBJ_ECONFLICT, &error);
	append.edit = good;
	append.edit.message_count = 0;
	SITE_FAILS(append_begin(client, &append, err), MBJ_ECONFLICT, &error);
	append.edit = good;
	append.edit.account = mbj_bytes_str("nobody");
	SITE_FAILS(append_begin(client, &append, err), MBJ_ENOTFOUND, &error);
	append.edit = good;
	append.edit.size = 1;
	SITE_FAILS(append_begin(client, &append, err), MBJ_EINVALID, &error);
	append.edit = good;
	ck_assert_uint_eq(intents_open(client), 0);
	SITE_OK(append_begin(client, &append, err));
	ck_assert_uint_eq(append.place.content.message_count, 1);
	ck_assert(mbj_id_equal(append.place.mailbox.id, append.step.mailbox));
	ck_assert_uint_eq(intents_open(client), 1);
	append_make(client, &other);
	SITE_FAILS(append_begin(client, &other, err), MBJ_ECONFLICT, &error);
	ck_assert_uint_eq(intents_open(client), 1);
	append_outcome(&append);
	SITE_OK(append_tell(client, &append, (const uint8_t *)"y", 1, err));
	ck_assert_uint_eq(intents_open(client), 0);
}

/*
 * Goal: what was begun is begun once, whether or not its answer came: asked
 * again it is the same intent, open and settled; another producer's intents are
 * his.  Method: as the client does where an answer is lost.
 */
static void again_try(struct mbj_client *client)
{
	struct append append, other;
	struct mbj_error error;
	struct mbj_edit lost;
	struct mbj_id intent;

	append_make(client, &append);
	lost = append.edit;
	SITE_OK(append_begin(client, &append, err));
	intent = append.edit.intent;
	append.edit = lost;
	SITE_OK(append_begin(client, &append, err));
	ck_assert(mbj_id_equal(append.edit.intent, intent));
	ck_assert_uint_eq(intents_open(client), 1);
	append_make(client, &other);
	other.edit.producer = mbj_bytes_str("else");
	SITE_OK(append_begin(client, &other, err));
	ck_assert_uint_eq(intents_open(client), 2);
	append_outcome(&other);
	SITE_OK(append_tell(client, &other, (const uint8_t *)"v", 1, err));
	append_outcome(&append);
	SITE_OK(append_tell(client, &append, (const uint8_t *)"w", 1, err));
	append.edit = lost;
	append.step.kind = MBJ_MESSAGE_DOUBT;
	append.step.time = 0;
	SITE_OK(append_begin(client, &append, err));
	ck_assert(mbj_id_equal(append.edit.intent, intent));
	ck_assert_uint_eq(intents_open(client), 0);
	/* Another edit with that request. */
	append.edit = lost;
	append.edit.producer = mbj_bytes_str("else");
	SITE_FAILS(append_begin(client, &append, err), MBJ_ECONFLICT, &error);
}

/* Goal: both, through the service and on a store of one's own. */
START_TEST(begin_calls)
{
	struct mbj_client *client = NULL;
	struct mbj_error error;
	struct append append;
	struct served s;
	size_t count;

	served_begin(&s);
	enter_try(s.client);
	begin_try(s.client);
	again_try(s.client);
	append_make(s.client, &append);
	client_speak(s.client, 2);
	SITE_FAILS(enter(s.client, "u3", &count, err), MBJ_EUNSUPPORTED,
		   &error);
	SITE_FAILS(append_begin(s.client, &append, err), MBJ_EUNSUPPORTED,
		   &error);
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	served_join(&s);
	SITE_OK(mbj_client_take(s.site.store, &client, err));
	s.site.store = NULL;
	SITE_OK(mbj_client_renew(client, err));
	append_make(client, &append);
	SITE_OK(append_begin(client, &append, err));
	SITE_FAILS(enter(client, "u3", &count, err), MBJ_ECONFLICT, &error);
	append_outcome(&append);
	SITE_OK(append_tell(client, &append, (const uint8_t *)"z", 1, err));
	SITE_OK(enter(client, "u3", &count, err));
	mbj_client_close(&client);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: of two at once one is refused, and nothing of it is done.  Method: they
 * come while no edit is carried out, and are looked at together then.
 */
START_TEST(begin_race)
{
	enum { ROUNDS = 3, MOMENT_MS = 50 };
	struct append_racer racers[2] = {{.client = NULL}, {.client = NULL}};
	struct served s;

	served_begin(&s);
	for (int i = 0; i < 2; i++)
		SITE_OK(mbj_client_connect(s.path, NULL, &racers[i].client,
					   err));
	for (int round = 0; round < ROUNDS; round++) {
		struct append_racer *winner = &racers[0];

		SITE_OK(store_turn_take(s.site.store, err));
		for (int i = 0; i < 2; i++) {
			append_make(s.client, &racers[i].append);
			racer_begin(&racers[i]);
		}
		(void)poll(NULL, 0, MOMENT_MS);
		store_turn_give(s.site.store);
		for (int i = 0; i < 2; i++)
			ck_assert_int_eq(pthread_join(racers[i].thread, NULL),
					 0);
		if (racers[0].rc != MBJ_OK)
			winner = &racers[1];
		ck_assert_int_eq(winner->rc, MBJ_OK);
		ck_assert_int_eq(racers[winner == racers].rc, MBJ_ECONFLICT);
		ck_assert_uint_eq(intents_open(s.client), 1);
		append_outcome(&winner->append);
		SITE_OK(append_tell(s.client, &winner->append,
				    (const uint8_t *)"r", 1, err));
	}
	for (int i = 0; i < 2; i++)
		mbj_client_close(&racers[i].client);
	served_end(&s);
}
END_TEST

/* Goal: whoever does not hear that it was begun asks again, and hears so. */
START_TEST(begin_lost)
{
	struct mbj_client *client = NULL;
	struct append append;
	struct relay relay;
	struct served s;

	relay_begin(&relay, &s, &client);
	append_make(s.client, &append);
	SITE_OK(append_begin(client, &append, err));
	ck_assert_uint_eq(intents_open(s.client), 1);
	append_outcome(&append);
	SITE_OK(append_tell(client, &append, (const uint8_t *)"l", 1, err));
	ck_assert_uint_eq(intents_open(s.client), 0);
	relay_end(&relay, &s, &client);
}
END_TEST

/* ------------------------------------------------------------------ bodies */

/* What came last into m2 is that. */
static void body_is_last(struct mbj_client *client, const uint8_t *body,
			 size_t n)
{
	struct mbj_bytes part = mbj_bytes_make(body, n);
	struct mbj_client_messages page = {.count = 0};
	struct mbj_body_reader *reader = NULL;
	struct mbj_sha256 *sha = NULL;
	struct mbj_hash expected;
	struct mbj_place place;
	uint64_t size;

	SITE_OK(mbj_sha256_new(&sha, err));
	SITE_OK(mbj_sha256_digest(sha, &part, 1, &expected, err));
	mbj_sha256_free(&sha);
	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u3"),
				   mbj_bytes_str("m2"), true, &place, err));
	SITE_OK(mbj_client_messages(client, place.account.id, place.mailbox.id,
				    place.last_uid, 1, 0, &page, err));
	ck_assert_uint_eq(page.count, 1);
	ck_assert_uint_eq(page.messages[0].size, n);
	ck_assert_mem_eq(&page.messages[0].blob, &expected, sizeof(expected));
	mbj_client_messages_done(&page);
	SITE_OK(mbj_body_open(client, &expected, &reader, &size, err));
	ck_assert_uint_eq(size, n);
	mbj_body_close(&reader);
}

static void body_try(struct mbj_client *client, uint16_t version,
		     const uint8_t *body, size_t n)
{
	struct append append;

	append_make(client, &append);
	SITE_OK(append_begin(client, &append, err));
	append_outcome(&append);
	client_speak(client, version);
	SITE_OK(append_tell(client, &append, body, n, err));
	client_speak(client, WIRE_VERSION);
	body_is_last(client, body, n);
}

/*
 * Goal: an outcome has the bytes that came with it, however many they are, and
 * whatever the service speaks.
 */
START_TEST(begin_bodies)
{
	static const size_t sizes[] = {0, 1, 2048, WIRE_PIECE_MAX, LONG};
	uint8_t *body = calloc(1, LONG);
	struct served s;

	ck_assert_ptr_nonnull(body);
	served_begin(&s);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		memset(body, (int)i + 1, LONG);
		body_try(s.client, WIRE_VERSION, body, sizes[i]);
		memset(body, (int)i + 33, LONG);
		body_try(s.client, 2, body, sizes[i]);
	}
	free(body);
	served_end(&s);
}
END_TEST

/* The last step appends nothing. */
static void body_refuse(struct mbj_client *client, const struct append *append)
{
	const uint8_t byte = 1;
	struct mbj_error error;

	SITE_FAILS(append_tell(client, append, &byte, 1, err), MBJ_EINVALID,
		   &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_INVALID_ARGUMENTS);
}

/*
 * Goal: bytes beside an edit that has no place for them are refused, the intent
 * stays, and nothing is left on the connection.  Method: with a service of
 * before, too, where the client says so.
 */
START_TEST(begin_bodies_refused)
{
	const uint16_t versions[] = {WIRE_VERSION, 2};
	struct append append;
	struct served s;

	served_begin(&s);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	append_outcome(&append);
	for (int i = 0; i < 2; i++) {
		struct append bad = append;

		client_speak(s.client, versions[i]);
		bad.edit.message_count = 0;
		body_refuse(s.client, &bad);
		bad.edit = append.edit;
		bad.edit.kind = MBJ_EDIT_INTENT;
		bad.edit.stage = MBJ_STAGE_FAILED;
		body_refuse(s.client, &bad);
		bad = append;
		bad.edit.messages = &bad.step;
		bad.step.kind = MBJ_MESSAGE_EXPUNGE;
		body_refuse(s.client, &bad);
	}
	client_speak(s.client, WIRE_VERSION);
	ck_assert_uint_eq(intents_open(s.client), 1);
	SITE_OK(append_tell(s.client, &append, (const uint8_t *)"x", 1, err));
	ck_assert_uint_eq(intents_open(s.client), 0);
	served_end(&s);
}
END_TEST

/*
 * Goal: bytes that have no place are refused with their outcome, whose intent
 * stays open.  Method: as much is to be kept free as no disk has.
 */
START_TEST(begin_body_no_place)
{
	struct mbj_blobs *blobs = NULL;
	struct append append;
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	append_make(s.client, &append);
	SITE_OK(append_begin(s.client, &append, err));
	append_outcome(&append);
	SITE_OK(mbj_store_blobs(s.site.store, &blobs, err));
	mbj_blobs_keep_free(blobs, UINT64_MAX);
	SITE_FAILS(append_tell(s.client, &append, (const uint8_t *)"x", 1, err),
		   MBJ_ENOSPC, &error);
	client_speak(s.client, 2);
	SITE_FAILS(append_tell(s.client, &append, (const uint8_t *)"x", 1, err),
		   MBJ_ENOSPC, &error);
	client_speak(s.client, WIRE_VERSION);
	mbj_blobs_keep_free(blobs, 0);
	ck_assert_uint_eq(intents_open(s.client), 1);
	SITE_OK(append_tell(s.client, &append, (const uint8_t *)"x", 1, err));
	served_end(&s);
}
END_TEST

/* ------------------------------------------------------------------- links */

/* Goal: an idle client that finds nobody any more says so, and can be closed.
 */
START_TEST(begin_renew)
{
	struct mbj_client *client = NULL;
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	SITE_OK(mbj_client_connect(s.path, NULL, &client, err));
	client->waited_ms = 77;
	SITE_OK(mbj_client_renew(client, err));
	ck_assert_int_eq(client->waited_ms, 0);
	served_end(&s);
	SITE_FAILS(mbj_client_renew(client, err), MBJ_ENOTFOUND, &error);
	mbj_client_close(&client);
}
END_TEST

TCase *test_begin_case(void)
{
	TCase *tc = tcase_create("begin");

	tcase_add_test(tc, begin_calls);
	tcase_add_test(tc, begin_race);
	tcase_add_test(tc, begin_lost);
	tcase_add_test(tc, begin_bodies);
	tcase_add_test(tc, begin_bodies_refused);
	tcase_add_test(tc, begin_body_no_place);
	tcase_add_test(tc, begin_renew);
	tcase_set_timeout(tc, 60);
	return tc;
}
