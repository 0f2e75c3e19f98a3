/*
 * Many bodies, and what all mailboxes hold, by one question each: through the
 * service and on a store of one's own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mbj/client.h>

#include "dispatch.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "wire.h"

enum {
	LONG_SIZE = WIRE_BLOBS_MAX, /* with what is around it, one too many */
	HALF_SIZE = WIRE_BLOBS_MAX / 2,
};

/* One of the bodies, by number: none is another's. */
static void body_fill(uint8_t *body, size_t n, unsigned number)
{
	for (size_t i = 0; i < n; i++)
		body[i] = (uint8_t)(i * 7 + i / 251 + number);
	if (n >= sizeof(uint16_t))
		mbj_store_u16(body, (uint16_t)number);
}

static struct mbj_hash body_put(struct mbj_client *client, uint8_t *body,
				size_t n, unsigned number)
{
	struct mbj_hash digest;

	body_fill(body, n, number);
	SITE_OK(mbj_body_put(client, mbj_bytes_make(body, n), &digest, err));
	return digest;
}

/* They come in their order, and end before the number that is given. */
static void bodies_try(struct mbj_client *client, const struct mbj_hash *list,
		       size_t count, uint8_t *body, const size_t *sizes,
		       size_t end)
{
	struct mbj_client_bodies got = {.count = 0};

	SITE_OK(mbj_client_bodies(client, list, count, &got, err));
	ck_assert_uint_eq(got.count, end);
	for (unsigned i = 0; i < got.count; i++) {
		ck_assert_uint_eq(got.bodies[i].n, sizes[i]);
		body_fill(body, sizes[i], i);
		/* No bytes have no address. */
		if (sizes[i] > 0)
			ck_assert_mem_eq(got.bodies[i].p, body, sizes[i]);
	}
	mbj_client_bodies_done(&got);
	ck_assert_uint_eq(got.count, 0);
}

static void bodies_all(struct mbj_client *client)
{
	uint8_t *body = malloc(LONG_SIZE);
	struct mbj_hash list[MBJ_CLIENT_BODIES_MAX];
	size_t sizes[MBJ_CLIENT_BODIES_MAX];

	ck_assert_ptr_nonnull(body);
	/* No bytes at all are a body, too. */
	for (unsigned i = 0; i < MBJ_CLIENT_BODIES_MAX; i++) {
		sizes[i] = i * 13;
		list[i] = body_put(client, body, sizes[i], i);
	}
	bodies_try(client, list, 1, body, sizes, 1);
	bodies_try(client, list, MBJ_CLIENT_BODIES_MAX, body, sizes,
		   MBJ_CLIENT_BODIES_MAX);
	/* What is not there ends them. */
	memset(&list[7], 0x5a, sizeof(list[7]));
	bodies_try(client, list, MBJ_CLIENT_BODIES_MAX, body, sizes, 7);
	memset(&list[0], 0x5a, sizeof(list[0]));
	bodies_try(client, list, 9, body, sizes, 0);
	/* So does what there is no room for: by one byte. */
	sizes[0] = HALF_SIZE;
	sizes[1] = WIRE_BLOBS_MAX - HALF_SIZE - 2 * sizeof(uint32_t);
	for (unsigned i = 0; i < 2; i++)
		list[i] = body_put(client, body, sizes[i], i);
	bodies_try(client, list, 2, body, sizes, 2);
	list[1] = body_put(client, body, ++sizes[1], 1);
	bodies_try(client, list, 2, body, sizes, 1);
	list[0] = body_put(client, body, LONG_SIZE, 0);
	bodies_try(client, list, 2, body, sizes, 0);
	free(body);
}

/* A byte of a body's file is another one. */
static void body_damage(const struct site *site, const struct mbj_hash *digest)
{
	char text[MBJ_BLOB_TEXT_SIZE], path[MBJ_PATH_TEXT_MAX];
	FILE *file;

	mbj_blob_print(digest, text);
	ck_assert_int_lt(snprintf(path, sizeof(path), "%s/blobs/%.2s/%s",
				  site->dir, text, text + 2),
			 (int)sizeof(path));
	ck_assert_int_eq(chmod(path, 0600), 0);
	file = fopen(path, "r+");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_eq(fputc('!', file), '!');
	ck_assert_int_eq(fclose(file), 0);
}

/* Each mailbox once, with what it has: a message in one, an entry in another.
 */
static void contents_all(struct mbj_client *client)
{
	struct mbj_client_contents list = {.count = 0};
	struct mbj_bytes account = mbj_bytes_str("u1");
	struct mbj_metadata_edit entry = {.kind = MBJ_METADATA_ENTRY,
					  .name = mbj_bytes_str("/shared/x"),
					  .value = mbj_bytes_str("y")};
	struct mbj_message_edit message = {.kind = MBJ_MESSAGE_APPEND};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_error error;
	struct mbj_place places[2];
	static const char *const paths[] = {"m2", "m3"};

	for (int i = 0; i < 2; i++)
		SITE_OK(mbj_client_mailbox(client, account,
					   mbj_bytes_str(paths[i]), false,
					   &places[i], err));
	edit.account = account;
	edit.kind = MBJ_EDIT_METADATA;
	edit.metadata = &entry;
	edit.metadata_count = 1;
	entry.mailbox = places[0].mailbox.id;
	SITE_OK(mbj_client_submit(client, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	SITE_OK(mbj_body_put(client, mbj_bytes_str("x"), &message.blob, err));
	message.size = 1;
	message.mailbox = places[1].mailbox.id;
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.metadata_count = 0;
	edit.messages = &message;
	edit.message_count = 1;
	SITE_OK(mbj_client_submit(client, &edit, &outcome, err));
	mbj_outcome_done(&outcome);

	SITE_OK(mbj_client_contents(client, account, &list, err));
	ck_assert_uint_eq(list.count, 3);
	ck_assert_uint_eq(list.account.mailbox_count, 3);
	for (size_t i = 0; i < list.count; i++) {
		const struct mbj_client_content *c = &list.contents[i];

		if (i > 0)
			ck_assert_int_lt(mbj_id_compare(c[-1].mailbox,
							c->mailbox),
					 0);
		ck_assert_uint_eq(c->attr_kinds,
				  mbj_id_equal(c->mailbox, places[0].mailbox.id)
					  ? 1U << MBJ_ATTR_METADATA
					  : 0);
		if (mbj_id_equal(c->mailbox, places[1].mailbox.id))
			ck_assert_uint_eq(c->content.message_count,
					  places[1].content.message_count + 1);
		else
			ck_assert_uint_eq(c->content.message_count, 0);
	}
	mbj_client_contents_done(&list);
	SITE_FAILS(mbj_client_contents(client, mbj_bytes_str("nobody"), &list,
				       err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_ACCOUNT_NOT_FOUND);
}

/*
 * Goal: many at once are what each is alone, and what one cannot be had for
 * ends them.  Method: sizes from none on, a digest that nobody has, an answer
 * that is full and has a byte too many; served, and on a store of one's own.
 */
START_TEST(test_many)
{
	struct mbj_client *client = NULL;
	struct served s;

	served_begin(&s);
	bodies_all(s.client);
	contents_all(s.client);
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	served_join(&s);
	SITE_OK(mbj_client_take(s.site.store, &client, err));
	s.site.store = NULL;
	bodies_all(client);
	contents_all(client);
	mbj_client_close(&client);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: bytes that are not what their digest says are given to nobody.  Method:
 * one of three is damaged on disk; a list of digests that is cut short.
 */
START_TEST(test_damaged)
{
	static const size_t sizes[] = {2, 500, 500};
	struct mbj_hash list[3];
	struct dispatcher dispatcher = {.store = NULL};
	struct wire_message request = {.count = 1};
	struct mbj_error error;
	struct mbj_buf body;
	struct served s;
	uint8_t bytes[500];

	served_begin(&s);
	for (unsigned i = 0; i < 3; i++)
		list[i] = body_put(s.client, bytes, sizes[i], i);
	bodies_try(s.client, list, 3, bytes, sizes, 3);
	body_damage(&s.site, &list[1]);
	bodies_try(s.client, list, 3, bytes, sizes, 1);
	bodies_try(s.client, &list[1], 1, bytes, sizes, 0);
	dispatcher.store = s.site.store;
	request.list = mbj_bytes_make(list, MBJ_HASH_SIZE - 1);
	mbj_buf_init(&body, WIRE_SMALL_MAX);
	SITE_FAILS(dispatch_run(&dispatcher, WIRE_BLOBS, &request, &body, err),
		   MBJ_EINVALID, &error);
	mbj_buf_done(&body);
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	served_join(&s);
	site_end(&s.site);
}
END_TEST

TCase *test_bulk_case(void)
{
	TCase *tc = tcase_create("bulk");

	tcase_add_test(tc, test_many);
	tcase_add_test(tc, test_damaged);
	return tc;
}
