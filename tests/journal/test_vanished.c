/*
 * What was expunged, as a client of a service is told it.
 */
#include <stdlib.h>

#include "client_impl.h"
#include "journal_cases.h"
#include "served_lab.h"

enum { MESSAGES = 7, MANY = 1000 };

static struct mbj_client *asked;
static struct mbj_account account;
static struct mbj_id box;

static void change(struct mbj_message_edit *steps, size_t count,
		   struct mbj_outcome *ret_outcome)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.account = mbj_bytes_str("u1");
	edit.messages = steps;
	edit.message_count = count;
	SITE_OK(mbj_client_submit(asked, &edit, ret_outcome, err));
}

static void append(size_t count)
{
	struct mbj_message_edit *steps = calloc(count, sizeof(*steps));
	struct mbj_outcome outcome = {0};
	struct mbj_hash blob;

	ck_assert_ptr_nonnull(steps);
	SITE_OK(mbj_body_put(asked, mbj_bytes_make("x", 1), &blob, err));
	for (size_t i = 0; i < count; i++)
		steps[i] = (struct mbj_message_edit){
			.kind = MBJ_MESSAGE_APPEND,
			.mailbox = box,
			.blob = blob,
			.size = 1,
		};
	change(steps, count, &outcome);
	mbj_outcome_done(&outcome);
	free(steps);
}

/* HIGHESTMODSEQ after it. */
static uint64_t expunge(uint32_t first, uint32_t last)
{
	uint8_t set[MBJ_UID_RANGE_SIZE];
	struct mbj_message_edit step = {.kind = MBJ_MESSAGE_EXPUNGE,
					.mailbox = box};
	struct mbj_client_vanished vanished;
	struct mbj_outcome outcome = {0};
	uint64_t modseq;

	mbj_store_u32(set, first);
	mbj_store_u32(set + 4, last);
	step.uids = mbj_bytes_make(set, sizeof(set));
	change(&step, 1, &outcome);
	mbj_outcome_done(&outcome);
	SITE_OK(mbj_client_vanished(asked, account.id, box, UINT64_MAX,
				    &vanished, err));
	ck_assert_uint_eq(vanished.uids.n, 0);
	modseq = vanished.content.modseq;
	mbj_client_vanished_done(&vanished);
	return modseq;
}

/* expected: as IMAP writes it. */
static void told(uint64_t modseq, const char *expected)
{
	struct mbj_client_vanished vanished;
	struct mbj_buf text;

	SITE_OK(mbj_client_vanished(asked, account.id, box, modseq, &vanished,
				    err));
	mbj_buf_init(&text, 256);
	mbj_uids_print(&text, vanished.uids);
	ck_assert_msg(mbj_bytes_equal(mbj_buf_view(&text),
				      mbj_bytes_str(expected)),
		      "%.*s behind %llu, not %s", (int)text.n,
		      (const char *)text.p, (unsigned long long)modseq,
		      expected);
	ck_assert(vanished.is_whole);
	ck_assert_uint_eq(vanished.content.uidnext, MESSAGES + 1);
	mbj_buf_done(&text);
	mbj_client_vanished_done(&vanished);
}

static void story(struct mbj_client *client)
{
	struct mbj_client_vanished vanished;
	struct mbj_error error;
	struct mbj_place place;
	uint64_t marks[3];

	asked = client;
	SITE_OK(mbj_client_account(client, mbj_bytes_str("u1"), &account, err));
	SITE_OK(mbj_client_mailbox(client, mbj_bytes_str("u1"),
				   mbj_bytes_str("m2"), true, &place, err));
	box = place.mailbox.id;
	append(MESSAGES);
	told(0, "");
	marks[0] = expunge(6, 6);
	marks[1] = expunge(2, 3);
	marks[2] = expunge(4, 4);
	ck_assert_uint_lt(marks[0], marks[1]);
	ck_assert_uint_lt(marks[1], marks[2]);
	told(0, "2:4,6");
	told(marks[0] - 1, "2:4,6");
	told(marks[0], "2:4");
	told(marks[1], "4");
	told(marks[2], "");
	for (int i = 0; i < MBJ_VANISHED_REVS / MANY + 2; i++)
		append(MANY);
	SITE_OK(mbj_client_vanished(client, account.id, box, 0, &vanished,
				    err));
	ck_assert(!vanished.is_whole);
	mbj_client_vanished_done(&vanished);
	box.b[0] ^= 1;
	SITE_FAILS(mbj_client_vanished(client, account.id, box, 0, &vanished,
				       err),
		   MBJ_ENOTFOUND, &error);
}

/*
 * Goal: a client hears which UIDs went behind a modseq, joined, and what the
 * mailbox is then; a service of before is not asked.  Method: expunges in no
 * order; then the client takes the service for an older one.
 */
START_TEST(vanished_told)
{
	struct mbj_client_vanished vanished;
	struct mbj_error error;
	struct served s;

	served_begin(&s);
	ck_assert(mbj_client_is_served(s.client));
	story(s.client);
	s.client->version = WIRE_VERSION_VANISHED - 1;
	s.client->idle->version = WIRE_VERSION_VANISHED - 1;
	SITE_FAILS(mbj_client_vanished(s.client, account.id, box, 0, &vanished,
				       err),
		   MBJ_EUNSUPPORTED, &error);
	served_end(&s);
}
END_TEST

TCase *test_vanished_case(void)
{
	TCase *tc = tcase_create("vanished");

	tcase_add_test(tc, vanished_told);
	return tc;
}
