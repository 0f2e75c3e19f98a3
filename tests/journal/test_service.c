/*
 * The service and its clients in one process: threads of both, one store.
 * Other processes, kills and slow ones are in tests/cli/test_serve.py.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mbj/client.h>
#include <mbj/service.h>

#include "commit_fault.h"
#include "journal_cases.h"
#include "served_lab.h"
#include "socket.h"
#include "store_impl.h"
#include "wire.h"

enum {
	CLIENTS = SERVED_ACCOUNTS,
	EDITS = 10,
	BODY_SIZE = 700000,
	IDLE_MS = 50, /* after which a connection gives way, and more */
};

struct producer {
	struct served *served;
	unsigned number;
	bool is_failed;
};

static void *producer_run(void *arg)
{
	struct producer *p = arg;
	struct mbj_error err = {.rc = MBJ_OK};

	for (int i = 0; i < EDITS && !p->is_failed; i++) {
		bool is_back = i % 2 == 1;

		p->is_failed = served_rename(p->served->client, p->number,
					     is_back ? "other" : "m2",
					     is_back ? "m2" : "other", NULL,
					     &err) != MBJ_OK;
	}
	if (p->is_failed)
		(void)fprintf(stderr, "%s\n", err.message);
	return NULL;
}

/*
 * Goal: edits of many connections share syncs, and each is carried out once.
 * Method: threads of one client, syncs that take 3 ms, counted.
 */
START_TEST(test_group_commit)
{
	struct producer producers[CLIENTS];
	pthread_t threads[CLIENTS];
	struct mbj_log_end before;
	struct served s;
	long syncs;

	served_begin(&s);
	site_sys_arm(&s.sys, SITE_CALL_SYNC, 0, 0, false);
	s.sys.sync_us = 3000;
	before = mbj_store_end(s.site.store);
	for (unsigned i = 0; i < CLIENTS; i++) {
		producers[i] = (struct producer){&s, i, false};
		ck_assert_int_eq(pthread_create(&threads[i], NULL, producer_run,
						&producers[i]),
				 0);
	}
	for (int i = 0; i < CLIENTS; i++) {
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
		ck_assert(!producers[i].is_failed);
	}
	syncs = atomic_load(&s.sys.count);
	ck_assert_uint_eq(mbj_store_end(s.site.store).lsn.v - before.lsn.v,
			  (uint64_t)CLIENTS * EDITS);
	ck_assert_int_gt(syncs, 0);
	ck_assert_msg(syncs < CLIENTS * EDITS / 2, "%ld syncs", syncs);
	served_end(&s);
}
END_TEST

/*
 * Goal: all that a client can ask is answered as by the store itself.  Method:
 * a served client and, after it, one that took the store; a body in pieces and
 * from a descriptor.
 */
START_TEST(test_calls)
{
	struct mbj_client_messages page = {0};
	struct mbj_client_accounts list = {0};
	struct mbj_client_status status = {0};
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_APPEND};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_body_reader *reader = NULL;
	uint8_t *body = malloc(BODY_SIZE);
	uint8_t *back = malloc(BODY_SIZE);
	struct mbj_tree *tree = NULL;
	struct mbj_account account;
	struct mbj_place place;
	struct mbj_error error;
	struct served s;
	struct mbj_identity identity;
	uint64_t size;
	size_t at = 0;
	size_t n = 1;

	ck_assert_ptr_nonnull(body);
	ck_assert_ptr_nonnull(back);
	for (size_t i = 0; i < BODY_SIZE; i++)
		body[i] = (uint8_t)(i * 7 + i / 251);
	served_begin(&s);
	ck_assert(mbj_client_is_served(s.client));
	ck_assert_ptr_null(mbj_client_store(s.client));
	ck_assert_int_eq(mbj_client_identity(s.client)->role,
			 MBJ_STORE_PRIMARY);
	mbj_client_identity_copy(s.client, &identity);
	ck_assert(mbj_id_equal(identity.instance,
			       mbj_client_identity(s.client)->instance));
	SITE_OK(mbj_client_account(s.client, mbj_bytes_str("u1"), &account,
				   err));
	ck_assert_uint_eq(account.mailbox_count, 3);
	SITE_FAILS(mbj_client_account(s.client, mbj_bytes_str("nobody"),
				      &account, err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_ACCOUNT_NOT_FOUND);
	SITE_OK(mbj_client_accounts(s.client, &list, err));
	ck_assert_uint_eq(list.count, CLIENTS);
	mbj_client_accounts_done(&list);
	SITE_OK(mbj_client_tree(s.client, mbj_bytes_str("u1"), &account, &tree,
				err));
	ck_assert_uint_eq(mbj_tree_live_count(tree), 3);
	mbj_tree_free(&tree);
	SITE_OK(mbj_client_mailbox(s.client, mbj_bytes_str("u1"),
				   mbj_bytes_str("m2"), true, &place, err));
	SITE_FAILS(mbj_client_mailbox(s.client, mbj_bytes_str("u1"),
				      mbj_bytes_str("none"), false, &place,
				      err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_NOT_FOUND);

	/* An edit before its bytes are there is refused. */
	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.messages = &step;
	edit.message_count = 1;
	step.mailbox = place.mailbox.id;
	step.size = BODY_SIZE;
	SITE_FAILS(mbj_client_submit(s.client, &edit, &outcome, err),
		   MBJ_ENOTFOUND, &error);
	SITE_OK(mbj_body_put(s.client, mbj_bytes_make(body, BODY_SIZE),
			     &step.blob, err));
	for (int i = 0; i < 3; i++) {
		SITE_OK(mbj_client_submit(s.client, &edit, &outcome, err));
		ck_assert_uint_eq(outcome.messages[0].uid, (uint32_t)i + 1);
		mbj_outcome_done(&outcome);
	}
	SITE_OK(mbj_client_messages(s.client, account.id, place.mailbox.id, 1,
				    2, 0, &page, err));
	ck_assert_uint_eq(page.count, 2);
	ck_assert_uint_eq(page.next_uid, 3);
	n = page.content.rev;
	mbj_client_messages_done(&page);
	SITE_OK(mbj_client_messages(s.client, account.id, place.mailbox.id, 3,
				    2, n, &page, err));
	ck_assert_uint_eq(page.count, 1);
	ck_assert_uint_eq(page.next_uid, 0);
	mbj_client_messages_done(&page);
	SITE_FAILS(mbj_client_messages(s.client, account.id, place.mailbox.id,
				       1, 2, n + 1, &page, err),
		   MBJ_ECONFLICT, &error);

	SITE_OK(mbj_body_open(s.client, &step.blob, &reader, &size, err));
	ck_assert_uint_eq(size, BODY_SIZE);
	for (n = 1; n > 0; at += n)
		SITE_OK(mbj_body_read(reader, back + at,
				      BODY_SIZE - at < 1000 ? BODY_SIZE - at + 1
							    : 1000,
				      &n, err));
	mbj_body_close(&reader);
	ck_assert_uint_eq(at, BODY_SIZE);
	ck_assert_mem_eq(body, back, BODY_SIZE);

	SITE_OK(store_house_begin(s.site.store, MBJ_HOUSE_COLLECT, err));
	SITE_OK(mbj_client_status(s.client, &status, err));
	store_house_end(s.site.store);
	ck_assert_str_eq(mbj_house_word(status.house.work), "collection");
	ck_assert_uint_eq(status.service.process, (uint64_t)getpid());
	ck_assert_uint_eq(status.service.edits, 3);
	ck_assert_uint_ge(status.peer_count, 1);
	ck_assert_uint_eq(status.account_count, CLIENTS);
	mbj_client_status_done(&status);
	served_end(&s);
	free(body);
	free(back);
}
END_TEST

static void digest_of(const void *p, size_t n, struct mbj_hash *ret_digest)
{
	struct mbj_bytes part = mbj_bytes_make(p, n);
	struct mbj_sha256 *sha = NULL;

	SITE_OK(mbj_sha256_new(&sha, err));
	SITE_OK(mbj_sha256_digest(sha, &part, 1, ret_digest, err));
	mbj_sha256_free(&sha);
}

/* A body in pieces of one size; two at once, of which one is given up. */
static void body_try(struct mbj_client *client, const uint8_t *body, size_t n,
		     size_t piece)
{
	struct mbj_body_writer *writer = NULL, *other = NULL;
	struct mbj_body_reader *reader = NULL;
	struct mbj_hash expected, digest;
	uint64_t size = 0;
	struct mbj_error error;

	digest_of(body, n, &expected);
	SITE_OK(mbj_body_begin(client, &other, err));
	SITE_OK(mbj_body_write(other, mbj_bytes_make("given up", 8), err));
	SITE_OK(mbj_body_begin(client, &writer, err));
	for (size_t at = 0; at < n; at += piece) {
		size_t left = n - at;

		SITE_OK(mbj_body_write(
			writer,
			mbj_bytes_make(body + at, left < piece ? left : piece),
			err));
	}
	mbj_body_abort(&other);
	ck_assert_ptr_null(other);
	SITE_OK(mbj_body_finish(&writer, &digest, &size, err));
	ck_assert_ptr_null(writer);
	ck_assert_uint_eq(size, n);
	ck_assert_mem_eq(&digest, &expected, sizeof(digest));
	SITE_OK(mbj_body_open(client, &digest, &reader, &size, err));
	ck_assert_uint_eq(size, n);
	mbj_body_close(&reader);
	digest_of("given up", 8, &expected);
	SITE_FAILS(mbj_body_open(client, &expected, &reader, &size, err),
		   MBJ_ENOTFOUND, &error);
}

/* What a client writes of metadata, it reads. */
static void metadata_try(struct mbj_client *client, const char *name)
{
	struct mbj_client_subscriptions names = {.count = 0};
	struct mbj_client_attrs list = {.count = 0};
	struct mbj_bytes account = mbj_bytes_str("u1");
	struct mbj_metadata_edit steps[2] = {
		{.kind = MBJ_METADATA_ENTRY, .value = mbj_bytes_str("x")},
		{.kind = MBJ_METADATA_SUBSCRIBE, .name = mbj_bytes_str(name)},
	};
	struct mbj_edit edit = MBJ_EDIT_INIT;
	struct mbj_outcome outcome = {0};
	struct mbj_place place;
	struct mbj_error error;

	SITE_OK(mbj_client_mailbox(client, account, mbj_bytes_str("m2"), false,
				   &place, err));
	steps[0].mailbox = place.mailbox.id;
	steps[0].name = mbj_bytes_str("/shared/comment");
	edit.kind = MBJ_EDIT_METADATA;
	edit.account = account;
	edit.metadata = steps;
	edit.metadata_count = 2;
	SITE_OK(mbj_client_submit(client, &edit, &outcome, err));
	mbj_outcome_done(&outcome);
	SITE_OK(mbj_client_attrs(client, account, mbj_bytes_str("m2"), &list,
				 err));
	ck_assert_uint_eq(list.count, 1);
	ck_assert(mbj_id_equal(list.attrs[0].mailbox, place.mailbox.id));
	ck_assert(mbj_bytes_equal(list.attrs[0].value, steps[0].value));
	mbj_client_attrs_done(&list);
	SITE_OK(mbj_client_subscriptions(client, account, &names, err));
	ck_assert(mbj_bytes_equal(names.paths[0].stored, steps[1].name));
	mbj_client_subscriptions_done(&names);
	SITE_FAILS(mbj_client_attrs(client, account, mbj_bytes_str("none"),
				    &list, err),
		   MBJ_ENOTFOUND, &error);
	SITE_FAILS(mbj_client_subscriptions(client, mbj_bytes_str("nobody"),
					    &names, err),
		   MBJ_ENOTFOUND, &error);
	ck_assert_int_eq(error.refusal, MBJ_REFUSAL_ACCOUNT_NOT_FOUND);
}

/*
 * Goal: a body in pieces of any size is the body, through the service and on a
 * store of one's own; one that is given up is nowhere.  Metadata likewise.
 */
START_TEST(test_bodies)
{
	static const size_t pieces[] = {1000, 262144, 262145, BODY_SIZE};
	uint8_t *body = malloc(BODY_SIZE);
	struct mbj_client *client = NULL;
	struct served s;

	ck_assert_ptr_nonnull(body);
	served_begin(&s);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		memset(body, (int)i + 1, BODY_SIZE);
		body_try(s.client, body, BODY_SIZE, pieces[i]);
	}
	metadata_try(s.client, "b");
	mbj_client_close(&s.client);
	ck_assert_int_eq(write(s.stop[1], "x", 1), 1);
	served_join(&s);
	SITE_OK(mbj_client_take(s.site.store, &client, err));
	s.site.store = NULL;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++) {
		memset(body, (int)i + 11, BODY_SIZE);
		body_try(client, body, BODY_SIZE, pieces[i]);
	}
	metadata_try(client, "a");
	mbj_client_close(&client);
	free(body);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: whoever may, stops the service by asking; the answer still comes.
 * Method: the caller is its user.
 */
START_TEST(test_stop)
{
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	SITE_OK(mbj_client_stop(s.client, err));
	served_join(&s);
	SITE_FAILS(served_rename(s.client, 0, "m2", "x", NULL, err), MBJ_EIO,
		   &error);
	mbj_client_close(&s.client);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: through the service, too, a request is answered again, and one that is
 * durable where the state cannot follow is told from one whose outcome is
 * unknown; the next service answers it.  Method: commits fail.
 */
START_TEST(test_requests)
{
	struct mbj_outcome first = {0}, again = {0};
	struct site_rename rename;
	struct mbj_error error;
	struct served s;
	uint64_t end;

	served_begin(&s);
	site_rename_make(&rename, 1, "m2", "kept");
	rename.edit.request.b[0] = 1;
	SITE_OK(mbj_client_submit(s.client, &rename.edit, &first, err));
	SITE_OK(mbj_client_submit(s.client, &rename.edit, &again, err));
	end = mbj_store_end(s.site.store).lsn.v;
	ck_assert_uint_eq(first.lsn.v, end);
	ck_assert_uint_eq(again.lsn.v, end);
	ck_assert(mbj_bytes_equal(mbj_buf_view(&first.record),
				  mbj_buf_view(&again.record)));
	mbj_outcome_done(&first);
	mbj_outcome_done(&again);
	site_rename_make(&rename, 1, "m3", "behind");
	rename.edit.request.b[0] = 2;
	commit_fault_set(true);
	SITE_FAILS(mbj_client_submit(s.client, &rename.edit, &again, err),
		   MBJ_EBEHIND, &error);
	ck_assert_uint_eq(error.lsn, end + 1);
	ck_assert_int_eq(pthread_join(s.thread, NULL), 0);
	ck_assert_int_eq(s.rc, MBJ_EIO);
	commit_fault_set(false);
	mbj_client_close(&s.client);
	site_reopen(&s.site);
	SITE_OK(mbj_client_take(s.site.store, &s.client, err));
	SITE_OK(mbj_client_submit(s.client, &rename.edit, &again, err));
	ck_assert_uint_eq(again.lsn.v, end + 1);
	mbj_outcome_done(&again);
	s.site.store = NULL;
	mbj_client_close(&s.client);
	(void)close(s.stop[0]);
	(void)close(s.stop[1]);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: a store that fails ends the service, with the reason, after who asked
 * has been told; a new one goes on from what is durable.  Method: syncs fail.
 */
START_TEST(test_store_fails)
{
	struct mbj_lsn lsn = {0};
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	SITE_OK(served_rename(s.client, 1, "m2", "kept", &lsn, err));
	site_sys_arm(&s.sys, SITE_CALL_SYNC, 1, EIO, true);
	SITE_FAILS(served_rename(s.client, 1, "m3", "lost", NULL, err), MBJ_EIO,
		   &error);
	ck_assert_ptr_nonnull(strstr(error.message, "outcome unknown"));
	ck_assert_int_eq(pthread_join(s.thread, NULL), 0);
	ck_assert_int_eq(s.rc, MBJ_EIO);
	ck_assert_ptr_nonnull(strstr(s.err.message, "open it again"));
	ck_assert_int_ne(access(s.path, F_OK), 0);
	mbj_client_close(&s.client);
	site_sys_arm(&s.sys, 0, 0, 0, false);
	mbj_store_close(&s.site.store);
	SITE_OK(mbj_store_open(s.site.dir, &s.site.options, &s.site.store,
			       err));
	ck_assert_uint_ge(mbj_store_end(s.site.store).lsn.v, lsn.v);
	ck_assert(site_is_sound(s.site.store));
	(void)close(s.stop[0]);
	(void)close(s.stop[1]);
	site_end(&s.site);
}
END_TEST

/*
 * Goal: a client that dies in the middle of a request harms nobody, and what
 * it had not sent whole is not done.  Method: cut at every byte of hello and an
 * edit; then another client works.
 */
START_TEST(test_cut_at_every_byte)
{
	struct wire_message m = {.version_lowest = 1, .version_highest = 1};
	struct wire_head head = {.kind = WIRE_HELLO, .side = WIRE_REQUEST};
	struct mbj_rename rename = {mbj_bytes_str("m2"), mbj_bytes_str("gone")};
	struct mbj_lsn before;
	struct mbj_lsn lsn;
	struct mbj_buf bytes;
	struct served s;
	size_t at;
	int fd;

	served_begin(&s);
	mbj_buf_init(&bytes, 1 << 20);
	mbj_buf_put_zero(&bytes, WIRE_HEAD_SIZE);
	wire_encode(&bytes, WIRE_HELLO, WIRE_REQUEST, &m);
	head.size = (uint32_t)(bytes.n - WIRE_HEAD_SIZE);
	wire_head_encode(&head, bytes.p);
	at = bytes.n;
	m.edit = MBJ_EDIT_INIT;
	m.edit.kind = MBJ_EDIT_RENAME;
	m.edit.account = mbj_bytes_str("u3");
	m.edit.renames = &rename;
	m.edit.rename_count = 1;
	mbj_buf_put_zero(&bytes, WIRE_HEAD_SIZE);
	wire_encode(&bytes, WIRE_SUBMIT, WIRE_REQUEST, &m);
	head.kind = WIRE_SUBMIT;
	head.size = (uint32_t)(bytes.n - at - WIRE_HEAD_SIZE);
	wire_head_encode(&head, bytes.p + at);
	before = mbj_store_end(s.site.store).lsn;
	for (size_t n = 0; n < bytes.n; n++) {
		enum mbj_rc rc;

		/* More than the service takes may still be closing. */
		do {
			SITE_OK(socket_connect(s.path, -1, -1, &fd, err));
			rc = socket_send(fd, bytes.p, n) == (ssize_t)n
				     ? MBJ_OK
				     : MBJ_EIO;
			socket_close(fd);
		} while (rc != MBJ_OK);
	}
	SITE_OK(served_rename(s.client, 3, "m2", "kept", &lsn, err));
	ck_assert_uint_eq(lsn.v, before.v + 1);
	mbj_buf_done(&bytes);
	served_end(&s);
}
END_TEST

/* What a stranger's bytes are answered with. */
static enum mbj_rc strange(const char *path, const void *bytes, size_t n,
			   struct mbj_error *ret_why)
{
	uint8_t answer[4096];
	struct wire_head head;
	size_t got = 0;
	int fd;

	SITE_OK(socket_connect(path, -1, -1, &fd, err));
	if (n > 0)
		ck_assert_int_eq(socket_send(fd, bytes, n), (ssize_t)n);
	for (;;) {
		ssize_t k =
			socket_receive(fd, answer + got, sizeof(answer) - got);

		if (k == -EAGAIN) {
			(void)poll(NULL, 0, 1);
			continue;
		}
		if (k <= 0)
			break;
		got += (size_t)k;
	}
	socket_close(fd);
	ck_assert_uint_ge(got, WIRE_HEAD_SIZE);
	SITE_OK(wire_head_decode(answer, &head, err));
	ck_assert_int_eq(head.side, WIRE_REFUSAL);
	return wire_error_decode(mbj_bytes_make(answer + WIRE_HEAD_SIZE,
						head.size),
				 ret_why);
}

/*
 * Goal: strangers are told what is wrong and let go.  Method: another protocol,
 * a frame that is too long, an answer, a request before hello, a version that
 * is not spoken, too many connections.
 */
START_TEST(test_strangers)
{
	uint8_t bytes[WIRE_HEAD_SIZE + 12] = {0};
	struct wire_head head = {.kind = WIRE_HELLO,
				 .side = WIRE_REQUEST,
				 .size = 12};
	struct mbj_error why;
	struct served s;
	int fds[CLIENTS + 2];
	int count = 0;

	served_begin(&s);
	ck_assert_int_eq(strange(s.path, "GET / HTTP/1.1\r\n\r\n", 18, &why),
			 MBJ_ECORRUPT);
	wire_head_encode(&head, bytes);
	mbj_store_u32(bytes, UINT32_MAX);
	ck_assert_int_eq(strange(s.path, bytes, WIRE_HEAD_SIZE, &why),
			 MBJ_ELIMIT);
	head.side = WIRE_ANSWER;
	wire_head_encode(&head, bytes);
	ck_assert_int_eq(strange(s.path, bytes, WIRE_HEAD_SIZE, &why),
			 MBJ_ECORRUPT);
	head.side = WIRE_REQUEST;
	head.kind = WIRE_ACCOUNTS;
	head.size = 0;
	wire_head_encode(&head, bytes);
	ck_assert_int_eq(strange(s.path, bytes, WIRE_HEAD_SIZE, &why),
			 MBJ_ECORRUPT);
	ck_assert_ptr_nonnull(strstr(why.message, "hello"));
	head.kind = WIRE_HELLO;
	head.size = 12;
	wire_head_encode(&head, bytes);
	memcpy(bytes + WIRE_HEAD_SIZE, "mbj wire", 8);
	mbj_store_u16(bytes + WIRE_HEAD_SIZE + 8, WIRE_VERSION + 1);
	mbj_store_u16(bytes + WIRE_HEAD_SIZE + 10, WIRE_VERSION + 5);
	ck_assert_int_eq(strange(s.path, bytes, sizeof(bytes), &why),
			 MBJ_EUNSUPPORTED);
	/* The client's own gives way once it was idle; who asks stays. */
	(void)poll(NULL, 0, IDLE_MS);
	for (; count < CLIENTS + 2; count++) {
		fds[count] = guest_come(&s);
		guest_say(fds[count], "x", 1);
	}
	ck_assert_int_eq(strange(s.path, bytes, 0, &why), MBJ_EBUSY);
	while (count > 0)
		socket_close(fds[--count]);
	SITE_OK(served_rename(s.client, 0, "m2", "x", NULL, err));
	served_end(&s);
}
END_TEST

TCase *test_service_case(void)
{
	TCase *tc = tcase_create("service");

	tcase_add_test(tc, test_group_commit);
	tcase_add_test(tc, test_calls);
	tcase_add_test(tc, test_bodies);
	tcase_add_test(tc, test_stop);
	tcase_add_test(tc, test_requests);
	tcase_add_test(tc, test_store_fails);
	tcase_add_test(tc, test_cut_at_every_byte);
	tcase_add_test(tc, test_strangers);
	return tc;
}
