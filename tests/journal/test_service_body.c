/*
 * How bodies of messages come over the wire: a short one in one request, with
 * the edit that appends it or before that, in two where a service or a client
 * is older; what fails leaves nothing.
 */
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <mbj/blob.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "relay_lab.h"
#include "served_lab.h"
#include "socket.h"
#include "store_impl.h"

enum { SHORT = 2048, LONG = WIRE_PIECE_MAX + 5, ANSWER_MS = 60000 };

static void digest_of(const void *p, size_t n, struct mbj_hash *ret_digest)
{
	struct mbj_bytes part = mbj_bytes_make(p, n);
	struct mbj_sha256 *sha = NULL;

	SITE_OK(mbj_sha256_new(&sha, err));
	SITE_OK(mbj_sha256_digest(sha, &part, 1, ret_digest, err));
	mbj_sha256_free(&sha);
}

/* ------------------------------------------------------------- frame by frame
 */

static void say(int fd, enum wire_kind kind, const struct wire_message *m)
{
	struct wire_head head = {.kind = kind, .side = WIRE_REQUEST};
	struct mbj_buf out;

	mbj_buf_init(&out, WIRE_SMALL_MAX);
	mbj_buf_put_zero(&out, WIRE_HEAD_SIZE);
	wire_encode(&out, kind, WIRE_REQUEST, m);
	head.size = (uint32_t)(out.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, out.p);
	ck_assert_int_eq(socket_send(fd, out.p, out.n), (ssize_t)out.n);
	mbj_buf_done(&out);
}

static void take(int fd, uint8_t *p, size_t n)
{
	struct pollfd ready = {fd, POLLIN, 0};

	while (n > 0) {
		ssize_t got;

		ck_assert_int_eq(poll(&ready, 1, ANSWER_MS), 1);
		got = socket_receive(fd, p, n);
		ck_assert_int_gt(got, 0);
		p += got;
		n -= (size_t)got;
	}
}

/* The body of the answer to a request of that kind. */
static void heard_bytes(int fd, enum wire_kind kind, struct mbj_buf *ret_bytes)
{
	uint8_t bytes[WIRE_SMALL_MAX];
	struct wire_head head;

	take(fd, bytes, WIRE_HEAD_SIZE);
	SITE_OK(wire_head_decode(bytes, &head, err));
	ck_assert_int_eq(head.kind, kind);
	ck_assert_int_eq(head.side, WIRE_ANSWER);
	ck_assert_uint_le(head.size, sizeof(bytes));
	take(fd, bytes, head.size);
	mbj_buf_clear(ret_bytes);
	mbj_buf_put(ret_bytes, bytes, head.size);
}

/* ret_m borrows from bytes. */
static void body_decode(const struct mbj_buf *bytes, enum wire_kind kind,
			struct wire_message *ret_m)
{
	struct mbj_arena *arena = NULL;

	SITE_OK(mbj_arena_new(1 << 16, &arena, err));
	SITE_OK(wire_decode(mbj_buf_view(bytes), kind, WIRE_ANSWER, arena,
			    ret_m, err));
	mbj_arena_free(&arena);
}

/* Its numbers and digests, that is: texts are gone on return. */
static void heard(int fd, enum wire_kind kind, struct wire_message *ret_m)
{
	struct mbj_buf bytes;

	mbj_buf_init(&bytes, WIRE_SMALL_MAX);
	heard_bytes(fd, kind, &bytes);
	body_decode(&bytes, kind, ret_m);
	mbj_buf_done(&bytes);
}

/* A connection that speaks this version at most. */
static int greet(const struct served *s, uint16_t highest)
{
	struct wire_message m = {.version_lowest = 1,
				 .version_highest = highest};
	int fd = -1;

	SITE_OK(socket_connect(s->path, -1, -1, &fd, err));
	say(fd, WIRE_HELLO, &m);
	heard(fd, WIRE_HELLO, &m);
	ck_assert_uint_eq(m.welcome.version,
			  highest < WIRE_VERSION ? highest : WIRE_VERSION);
	return fd;
}

/* From now on the client's only link speaks that version. */
static void client_speak(struct served *s, uint16_t version)
{
	struct link *link = s->client->idle;

	ck_assert_ptr_nonnull(link);
	ck_assert_ptr_null(link->next);
	/* Its last request is counted when its worker is back. */
	(void)poll(NULL, 0, 20);
	socket_close(link->fd);
	(void)poll(NULL, 0, 20);
	link->fd = greet(s, version);
	link->version = version;
}

/* ---------------------------------------------------------------- requests */

/* Requests that the service has answered, this one not among them. */
static uint64_t requests_count(struct mbj_client *client)
{
	struct mbj_client_status status = {0};
	uint64_t count;

	SITE_OK(mbj_client_status(client, &status, err));
	count = status.service.requests;
	mbj_client_status_done(&status);
	return count;
}

/* So many requests, the status apart. */
static uint64_t put_requests(struct mbj_client *client, const uint8_t *body,
			     size_t n)
{
	struct mbj_hash expected, digest;
	uint64_t before = requests_count(client);

	digest_of(body, n, &expected);
	SITE_OK(mbj_body_put(client, mbj_bytes_make(body, n), &digest, err));
	ck_assert_mem_eq(&digest, &expected, sizeof(digest));
	return requests_count(client) - before - 1;
}

/*
 * Goal: a short body is one request, a long one no more than it has pieces; a
 * service that does not know the kind is asked as before.  Method: count; the
 * client is told that the service speaks version 1.
 */
START_TEST(body_requests)
{
	uint8_t *body = calloc(1, LONG);
	struct served s;

	ck_assert_ptr_nonnull(body);
	served_begin(&s);
	ck_assert_uint_eq(put_requests(s.client, body, SHORT), 1);
	ck_assert_uint_eq(put_requests(s.client, body, 0), 1);
	ck_assert_uint_eq(put_requests(s.client, body, WIRE_PIECE_MAX), 1);
	ck_assert_uint_eq(put_requests(s.client, body, LONG), 2);
	ck_assert_uint_eq(s.client->idle->version, WIRE_VERSION);
	client_speak(&s, 1);
	ck_assert_uint_eq(put_requests(s.client, body, SHORT), 2);
	ck_assert_uint_eq(put_requests(s.client, body, 0), 1);
	ck_assert_uint_eq(put_requests(s.client, body, LONG), 3);
	free(body);
	served_end(&s);
}
END_TEST

/* An edit of u3's m2 whose only step appends. */
struct errand {
	struct mbj_edit edit;
	struct mbj_message_edit step;
};

static void errand_make(struct mbj_client *client, struct errand *errand)
{
	struct mbj_place place;

	*errand = (struct errand){.edit = MBJ_EDIT_INIT,
				  .step = {.kind = MBJ_MESSAGE_APPEND}};
	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u3"),
				   mbj_bytes_str("m2"), false, &place, err));
	errand->step.mailbox = place.mailbox.id;
	errand->edit.kind = MBJ_EDIT_MESSAGES;
	errand->edit.account = mbj_bytes_str("u3");
	errand->edit.messages = &errand->step;
	errand->edit.message_count = 1;
}

/* The last message of u3's m2 has these bytes. */
static void last_check(struct mbj_client *client, struct mbj_bytes body,
		       uint32_t uid)
{
	struct mbj_client_messages page = {0};
	struct mbj_client_bodies bodies = {0};
	struct mbj_hash expected;
	struct mbj_account account;
	struct mbj_place place;
	const struct mbj_message *last;

	digest_of(body.p, body.n, &expected);
	SITE_OK(mbj_client_account(client, mbj_bytes_str("u3"), &account, err));
	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u3"),
				   mbj_bytes_str("m2"), false, &place, err));
	SITE_OK(mbj_client_messages(client, account.id, place.mailbox.id, 1, 0,
				    0, &page, err));
	ck_assert_uint_gt(page.count, 0);
	last = &page.messages[page.count - 1];
	ck_assert_uint_eq(last->uid, uid);
	ck_assert_uint_eq(last->size, body.n);
	ck_assert_mem_eq(&last->blob, &expected, sizeof(expected));
	SITE_OK(mbj_client_bodies(client, &expected, 1, &bodies, err));
	ck_assert_uint_eq(bodies.count, 1);
	ck_assert(mbj_bytes_equal(bodies.bodies[0], body));
	mbj_client_bodies_done(&bodies);
	mbj_client_messages_done(&page);
}

/* All at once, or written in two parts. */
static enum mbj_rc body_submit(struct mbj_client *client, bool is_written,
			       const struct mbj_edit *edit,
			       struct mbj_bytes body,
			       struct mbj_outcome *ret_outcome,
			       struct mbj_error *ret_err)
{
	struct mbj_body_writer *writer = NULL;
	size_t half = body.n / 2;

	if (!is_written)
		return mbj_client_submit_body(client, edit, body, ret_outcome,
					      ret_err);
	SITE_OK(mbj_body_begin(client, &writer, err));
	SITE_OK(mbj_body_write(writer, mbj_bytes_make(body.p, half), err));
	SITE_OK(mbj_body_write(writer,
			       mbj_bytes_make(body.p + half, body.n - half),
			       err));
	return mbj_body_submit(&writer, edit, ret_outcome, ret_err);
}

/* So many requests, the status and the check apart; the same once more. */
static uint64_t submit_requests(struct mbj_client *client, bool is_written,
				struct mbj_bytes body)
{
	static uint8_t number;
	struct mbj_outcome outcome = {.lsn = {0}};
	struct errand errand;
	uint64_t before, count;
	uint32_t uid;

	errand_make(client, &errand);
	errand.edit.request.b[0] = ++number;
	before = requests_count(client);
	SITE_OK(body_submit(client, is_written, &errand.edit, body, &outcome,
			    err));
	count = requests_count(client) - before - 1;
	uid = outcome.messages[0].uid;
	mbj_outcome_done(&outcome);
	last_check(client, body, uid);
	SITE_OK(body_submit(client, is_written, &errand.edit, body, &outcome,
			    err));
	ck_assert_uint_eq(outcome.messages[0].uid, uid);
	mbj_outcome_done(&outcome);
	last_check(client, body, uid);
	return count;
}

/*
 * Goal: an edit that appends a short body is one request, whoever writes it
 * how; one that comes with a longer one is what both are, as is any to a
 * service that does not know the kind; asked again it is not done again.
 * Method: count, and read what was appended.
 */
START_TEST(body_along)
{
	uint8_t *bytes = calloc(1, LONG);
	const size_t sizes[] = {0, 1, SHORT, WIRE_PIECE_MAX, LONG};
	struct served s;

	ck_assert_ptr_nonnull(bytes);
	served_begin(&s);
	for (uint16_t version = WIRE_VERSION; version >= WIRE_VERSION_BLOB_LAST;
	     version--) {
		bool is_known = version >= WIRE_VERSION_BODY;

		client_speak(&s, version);
		s.client->version = version;
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			for (int written = 0; written < 2; written++) {
				size_t n = sizes[i];
				uint64_t count;

				bytes[0]++;
				count = submit_requests(s.client, written == 1,
							mbj_bytes_make(bytes,
								       n));
				ck_assert_uint_eq(count, n == LONG  ? 3
							 : is_known ? 1
								    : 2);
			}
	}
	free(bytes);
	served_end(&s);
}
END_TEST

/*
 * Goal: what cannot be appended leaves nothing, the writer is gone, and the
 * connection goes on.  Method: an edit that appends nothing, one of another
 * build, a mailbox that is not there, a body that has no place.
 */
START_TEST(body_along_refused)
{
	uint8_t *bytes = calloc(1, LONG);
	const size_t sizes[] = {SHORT, LONG};
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_blobs *blobs = NULL;
	struct mbj_error error;
	struct errand errand;
	struct served s;

	ck_assert_ptr_nonnull(bytes);
	served_begin(&s);
	SITE_OK(mbj_store_blobs(s.site.store, &blobs, err));
	for (int i = 0; i < 4; i++) {
		bool is_written = i / 2 == 1;
		struct mbj_bytes body = mbj_bytes_make(bytes, sizes[i % 2]);

		errand_make(s.client, &errand);
		errand.step.kind = MBJ_MESSAGE_TAKE_ALL;
		SITE_FAILS(body_submit(s.client, is_written, &errand.edit, body,
				       &outcome, err),
			   MBJ_EINVALID, &error);
		ck_assert_int_eq(error.refusal, MBJ_REFUSAL_INVALID_ARGUMENTS);
		errand_make(s.client, &errand);
		errand.edit.size--;
		SITE_FAILS(body_submit(s.client, is_written, &errand.edit, body,
				       &outcome, err),
			   MBJ_EINVALID, &error);
		errand_make(s.client, &errand);
		errand.step.mailbox.b[3] ^= 1;
		SITE_FAILS(body_submit(s.client, is_written, &errand.edit, body,
				       &outcome, err),
			   MBJ_ENOTFOUND, &error);
		errand_make(s.client, &errand);
		bytes[0]++; /* those are there by now */
		mbj_blobs_keep_free(blobs, UINT64_MAX);
		if (i < 3)
			SITE_FAILS(body_submit(s.client, is_written,
					       &errand.edit, body, &outcome,
					       err),
				   MBJ_ENOSPC, &error);
		mbj_blobs_keep_free(blobs, 0);
	}
	ck_assert_uint_eq(submit_requests(s.client, true,
					  mbj_bytes_make(bytes, SHORT)),
			  1);
	free(bytes);
	served_end(&s);
}
END_TEST

/*
 * Goal: a body that has no place is refused, whichever request that comes out
 * with, the failure stays, and the next body is not mixed with it.  Method: as
 * much is to be kept free as no disk has.
 */
START_TEST(body_refused)
{
	uint8_t *body = calloc(1, LONG);
	struct mbj_body_writer *writer = NULL;
	struct mbj_blobs *blobs = NULL;
	struct mbj_hash digest;
	struct mbj_error error;
	struct served s;
	uint64_t size;

	ck_assert_ptr_nonnull(body);
	served_begin(&s);
	SITE_OK(mbj_store_blobs(s.site.store, &blobs, err));
	mbj_blobs_keep_free(blobs, UINT64_MAX);
	SITE_FAILS(mbj_body_put(s.client, mbj_bytes_make(body, SHORT), &digest,
				err),
		   MBJ_ENOSPC, &error);
	SITE_OK(mbj_body_begin(s.client, &writer, err));
	SITE_FAILS(mbj_body_write(writer, mbj_bytes_make(body, LONG), err),
		   MBJ_ENOSPC, &error);
	SITE_FAILS(mbj_body_write(writer, mbj_bytes_make(body, 1), err),
		   MBJ_ENOSPC, &error);
	SITE_FAILS(mbj_body_finish(&writer, &digest, &size, err), MBJ_ENOSPC,
		   &error);
	mbj_blobs_keep_free(blobs, 0);
	(void)put_requests(s.client, body, SHORT);
	free(body);
	served_end(&s);
}
END_TEST

/* The bytes that came before an edit's last ones are in front of them, too. */
static void frames_along(const struct served *s, int fd)
{
	static struct wire_message m;
	struct errand errand;
	uint32_t uid;

	errand_make(s->client, &errand);
	m = (struct wire_message){.data = mbj_bytes_str("three ")};
	say(fd, WIRE_BLOB_WRITE, &m);
	heard(fd, WIRE_BLOB_WRITE, &m);
	m = (struct wire_message){.edit = errand.edit,
				  .data = mbj_bytes_str("four")};
	say(fd, WIRE_SUBMIT_BODY, &m);
	heard(fd, WIRE_SUBMIT_BODY, &m);
	uid = m.outcome.messages[0].uid;
	mbj_outcome_done(&m.outcome);
	last_check(s->client, mbj_bytes_str("three four"), uid);
}

/*
 * Goal: client and service speak the highest version that both know; the bytes
 * that came before a body's last ones are in front of them, and nothing is left
 * for the next body, in either version.
 */
START_TEST(body_frames)
{
	static struct wire_message m;
	struct mbj_hash expected;
	struct served s;
	int fd;

	served_begin(&s);
	for (unsigned highest = 1; highest < WIRE_VERSION + 3; highest++) {
		fd = greet(&s, (uint16_t)highest);
		m = (struct wire_message){.version = 0};
		m.data = mbj_bytes_str("one ");
		say(fd, WIRE_BLOB_WRITE, &m);
		heard(fd, WIRE_BLOB_WRITE, &m);
		m.data = mbj_bytes_str("two");
		say(fd, WIRE_BLOB_LAST, &m);
		heard(fd, WIRE_BLOB_LAST, &m);
		digest_of("one two", 7, &expected);
		ck_assert_mem_eq(&m.digest, &expected, sizeof(expected));
		ck_assert_uint_eq(m.size, 7);
		say(fd, WIRE_BLOB_FINISH, &m);
		heard(fd, WIRE_BLOB_FINISH, &m);
		ck_assert_uint_eq(m.size, 0);
		frames_along(&s, fd);
		socket_close(fd);
	}
	served_end(&s);
}
END_TEST

/*
 * Goal: a status is read between builds of different versions, both ways.
 * Method: a client that says hello with each version is answered with that
 * version's body, which it can read, of its size; the library's client reads it
 * by a link of each version.
 */
START_TEST(body_status)
{
	static struct wire_message m;
	struct mbj_client_status status = {0};
	size_t sizes[WIRE_VERSION + 1] = {0};
	struct mbj_buf bytes;
	struct served s;

	served_begin(&s);
	mbj_buf_init(&bytes, WIRE_SMALL_MAX);
	for (unsigned v = 1; v <= WIRE_VERSION; v++) {
		uint16_t version = (uint16_t)v;
		int fd = greet(&s, version);

		m = (struct wire_message){.version = version};
		say(fd, WIRE_STATUS, &m);
		heard_bytes(fd, WIRE_STATUS, &bytes);
		sizes[version] = bytes.n;
		body_decode(&bytes, WIRE_STATUS, &m);
		ck_assert_uint_eq(m.status.service.process, (uint64_t)getpid());
		ck_assert_uint_eq(m.status.service.memory_max,
				  s.options.memory_max);
		mbj_client_status_done(&m.status);
		socket_close(fd);
		client_speak(&s, version);
		SITE_OK(mbj_client_status(s.client, &status, err));
		ck_assert_uint_eq(status.service.process, (uint64_t)getpid());
		ck_assert_uint_eq(status.service.memory_max,
				  s.options.memory_max);
		ck_assert_int_eq(status.upstream.state, MBJ_UPSTREAM_NONE);
		ck_assert_uint_eq(s.client->idle->version, version);
		mbj_client_status_done(&status);
	}
	ck_assert_uint_eq(sizes[3], sizes[2]);
	ck_assert_uint_eq(sizes[WIRE_VERSION], sizes[3] + 4);
	ck_assert_uint_eq(sizes[1] + 2 + 14 * 8, sizes[2]);
	mbj_buf_done(&bytes);
	served_end(&s);
}
END_TEST

/*
 * Goal: GUIDs of messages are between builds that know them: others read
 * messages without, and are told where they would give some.
 */
START_TEST(body_guids)
{
	struct mbj_outcome outcome = {.lsn = {0}};
	struct mbj_client_messages page = {0};
	struct mbj_account account;
	struct mbj_error error;
	struct errand errand;
	struct served s;

	served_begin(&s);
	SITE_OK(mbj_client_account(s.client, mbj_bytes_str("u3"), &account,
				   err));
	for (uint16_t version = WIRE_VERSION_GUID;
	     version >= WIRE_VERSION_GUID - 1; version--) {
		bool is_known = version == WIRE_VERSION_GUID;

		client_speak(&s, version);
		s.client->version = version;
		errand_make(s.client, &errand);
		errand.step.guid = mbj_bytes_str("1.M2.host");
		ck_assert_int_eq(body_submit(s.client, false, &errand.edit,
					     mbj_bytes_str("x"), &outcome,
					     &error),
				 is_known ? MBJ_OK : MBJ_EUNSUPPORTED);
		mbj_outcome_done(&outcome);
		SITE_OK(mbj_client_messages(s.client, account.id,
					    errand.step.mailbox, 1, 0, 0, &page,
					    err));
		ck_assert_uint_eq(page.count, 1);
		ck_assert_uint_eq(page.messages[0].guid.n, is_known ? 9 : 0);
		ck_assert(mbj_client_knows_guids(s.client) == is_known);
		mbj_client_messages_done(&page);
	}
	served_end(&s);
}
END_TEST

/*
 * Goal: whoever does not hear whether the store has a body asks again, and who
 * does not read it goes on by the same connection.
 */
START_TEST(body_unheard)
{
	const struct mbj_hash none = {{1}};
	struct mbj_body_reader *reader = NULL;
	struct mbj_client *client = NULL;
	struct mbj_account account;
	struct mbj_hash digest;
	struct mbj_error error;
	struct relay relay;
	struct served s;
	uint64_t size;

	relay_begin(&relay, &s, &client);
	SITE_OK(mbj_body_put(s.client, mbj_bytes_str("kept"), &digest, err));
	for (int i = 0; i < 2; i++) {
		SITE_OK(mbj_body_open(client, &digest, &reader, &size, err));
		ck_assert_uint_eq(size, 4);
		mbj_body_close(&reader);
	}
	SITE_FAILS(mbj_body_open(client, &none, &reader, &size, err),
		   MBJ_ENOTFOUND, &error);
	SITE_OK(mbj_client_account(client, mbj_bytes_str("u3"), &account, err));
	relay_end(&relay, &s, &client);
}
END_TEST

TCase *test_service_body_case(void)
{
	TCase *tc = tcase_create("service_body");

	tcase_add_test(tc, body_requests);
	tcase_add_test(tc, body_along);
	tcase_add_test(tc, body_along_refused);
	tcase_add_test(tc, body_refused);
	tcase_add_test(tc, body_frames);
	tcase_add_test(tc, body_status);
	tcase_add_test(tc, body_guids);
	tcase_add_test(tc, body_unheard);
	return tc;
}
