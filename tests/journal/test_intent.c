/*
 * Intents: their stages, refusals and limits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doubt.h"
#include "intent_lab.h"
#include "journal_cases.h"

/* ---------------------------------------------------------------- stages */

/*
 * Goal: an intent changes no mailbox and says what is in doubt; its edit and
 * its outcome are one group, and it is never told twice.  Method: each way an
 * intent can end; whether it is open and what the tree is after each step.
 */
START_TEST(intent_stages)
{
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i1", "A", "N/C"));
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_INTENT), 1);
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_MAILBOX_MOVE), 0);
	ck_assert_uint_eq(intent_lab.outcome.lower_bound, 2);
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "u"),
			 "A/x=A/x A=A B=B S=S");
	ck_assert_str_eq(intent_doubts("i1"), "create >N;move A>N/C;");
	ck_assert_uint_eq(intent_open_count(), 1);

	/* As it was announced. */
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_DONE, "i1"));
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_OUTCOME), 1);
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_MAILBOX_MOVE), 1);
	ck_assert_str_eq(intent_result(), "done");
	ck_assert(mbj_id_equal(intent_lab.outcome.intent, edit_lab_id("i1")));
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "u"),
			 "!N=? B=B N/C/x=A/x N/C=A S=S");
	ck_assert_uint_eq(intent_open_count(), 0);
	EDIT_LAB_REFUSED(&intent_lab, intent_told(MBJ_STAGE_DONE, "i1"),
			 "notFound", "69310000000000000000000000000000");
	ck_assert_int_eq(intent_lab.rc, MBJ_ENOTFOUND);

	/* Another than was announced. */
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i1", "B", "D"));
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_DONE, "i1", "S", "T"));
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "u"),
			 "!N=? B=B N/C/x=A/x N/C=A T=S");

	/* Not at all. */
	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i2", "B", "D"));
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_FAILED, "i2"));
	ck_assert_str_eq(intent_result(), "failed");
	ck_assert_uint_eq(intent_open_count(), 0);
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "u"),
			 "!N=? B=B N/C/x=A/x N/C=A T=S");
}
END_TEST

/* A step that says that anything may happen to a mailbox's messages. */
static enum mbj_rc intent_doubted(enum mbj_intent_stage stage, const char *id,
				  const char *mailbox)
{
	const struct mbj_message_edit step = {.kind = MBJ_MESSAGE_DOUBT,
					      .mailbox = edit_lab_id(mailbox)};
	struct mbj_edit edit = intent_edit(stage, id);

	edit.kind = MBJ_EDIT_MESSAGES;
	edit.messages = &step;
	edit.message_count = 1;
	return edit_lab_run(&intent_lab, &edit);
}

/*
 * Goal: a server that learns UIDs afterwards can put all messages of a mailbox
 * in doubt before, and tell what came out, also nothing.  Method: what the
 * intent is about; each outcome; the step where it says nothing; a list by
 * which the mailbox is gone.
 */
START_TEST(intent_doubt)
{
	const struct intent_seen seen[] = {{"A", NULL, "A", 0, 0},
					   {"B", NULL, "B", 0, 0},
					   {"S", NULL, "S", 0, 0}};
	struct mbj_edit edit;

	EDIT_LAB_OK(&intent_lab, intent_doubted(MBJ_STAGE_INTENT, "i", "B"));
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_INTENT), 1);
	ck_assert_str_eq(intent_doubts("i"), "append messages B>B;");
	EDIT_LAB_REFUSED(&intent_lab, intent_told(MBJ_STAGE_DONE, "i"),
			 "invalidArguments",
			 "69000000000000000000000000000000");
	EDIT_LAB_OK(&intent_lab, intent_appended(MBJ_STAGE_DONE, "i", "B"));
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_MESSAGE_APPEND), 1);
	ck_assert_str_eq(intent_result(), "done");

	EDIT_LAB_OK(&intent_lab, intent_doubted(MBJ_STAGE_INTENT, "i", "B"));
	edit = intent_edit(MBJ_STAGE_DONE, "i");
	edit.kind = MBJ_EDIT_MESSAGES;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_str_eq(intent_result(), "done");
	ck_assert_uint_eq(intent_open_count(), 0);

	EDIT_LAB_REFUSED(&intent_lab,
			 intent_doubted(MBJ_STAGE_INTENT, "i", "Q"), "notFound",
			 "51000000000000000000000000000000");
	EDIT_LAB_REFUSED(&intent_lab, intent_doubted(MBJ_STAGE_NONE, "", "B"),
			 "invalidArguments",
			 "42000000000000000000000000000000");
	EDIT_LAB_OK(&intent_lab, intent_doubted(MBJ_STAGE_INTENT, "i", "B"));
	EDIT_LAB_REFUSED(&intent_lab, intent_doubted(MBJ_STAGE_DONE, "i", "B"),
			 "invalidArguments",
			 "42000000000000000000000000000000");
	ck_assert_uint_eq(intent_open_count(), 1);
	edit = intent_edit(MBJ_STAGE_FAILED, "i");
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));

	/* Which it was a list of mailboxes does not show, but that it went. */
	EDIT_LAB_OK(&intent_lab, intent_doubted(MBJ_STAGE_INTENT, "i", "A/x"));
	EDIT_LAB_OK(&intent_lab, intent_doubted(MBJ_STAGE_INTENT, "j", "S"));
	EDIT_LAB_OK(&intent_lab, intent_resolved(seen, 3, 0));
	ck_assert_uint_eq(intent_lab.outcome.intents_closed, 1);
	ck_assert_uint_eq(intent_lab.outcome.intents_left, 1);
	ck_assert_uint_eq(intent_open_count(), 1);
}
END_TEST

/*
 * Goal: what cannot be is refused while nothing has happened yet, and what is
 * refused leaves an intent as it was.  Method: edits that the state would not
 * take, wrong stages, names and ids; an outcome that does not fit.
 */
START_TEST(intent_refusals)
{
	const struct mbj_change change = {.kind = MBJ_CHANGE_DESTROY,
					  .id = edit_lab_id("A")};
	struct mbj_edit edit;
	char name[MBJ_PRODUCER_MAX + 2];

	EDIT_LAB_REFUSED(&intent_lab,
			 intent_renamed(MBJ_STAGE_INTENT, "i", "A", "B"),
			 "alreadyExists", "B");
	EDIT_LAB_REFUSED(&intent_lab,
			 intent_renamed(MBJ_STAGE_INTENT, "i", "Q", "R"),
			 "notFound", "Q");
	/* A SET is all or nothing here. */
	edit = intent_edit(MBJ_STAGE_INTENT, "i");
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "mailboxHasChild", "41000000000000000000000000000000");
	ck_assert_uint_eq(intent_open_count(), 0);

	edit = intent_edit(MBJ_STAGE_INTENT, "i");
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "invalidArguments", "");
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "invalidArguments", "");
	edit = intent_edit(MBJ_STAGE_NONE, "i");
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "invalidArguments", "");
	EDIT_LAB_REFUSED(&intent_lab,
			 intent_renamed(MBJ_STAGE_FAILED, "i", "A", "C"),
			 "invalidArguments", "");
	EDIT_LAB_REFUSED(&intent_lab,
			 intent_renamed(MBJ_STAGE_RESOLVE, "i", "A", "C"),
			 "invalidArguments", "");
	/* A list of no known time would close what was announced since. */
	edit = intent_edit(MBJ_STAGE_RESOLVE, "");
	edit.kind = MBJ_EDIT_RECONCILE;
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "invalidArguments", "");
	EDIT_LAB_REFUSED(&intent_lab,
			 intent_renamed((enum mbj_intent_stage)5, "i", "A",
					"C"),
			 "invalidArguments", "");

	/* The producer's name, at its limit and beyond. */
	memset(name, 'p', sizeof(name));
	edit = intent_edit(MBJ_STAGE_INTENT, "i");
	edit.kind = MBJ_EDIT_RENAME;
	edit.producer = mbj_bytes_make(name, MBJ_PRODUCER_MAX + 1);
	ck_assert_int_eq(edit_lab_run(&intent_lab, &edit), MBJ_EINVALID);
	ck_assert_str_eq(intent_lab.error.subject_kind, "producer");
	edit.producer.n = 0;
	ck_assert_int_eq(edit_lab_run(&intent_lab, &edit), MBJ_EINVALID);
	edit.producer.n = MBJ_PRODUCER_MAX;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "alreadyExists", "69000000000000000000000000000000");
	ck_assert_int_eq(intent_lab.rc, MBJ_EEXISTS);
	edit.intent = MBJ_ID_TEMP;
	ck_assert_int_eq(edit_lab_run(&intent_lab, &edit), MBJ_EINVALID);

	/* It did not come out like that. */
	EDIT_LAB_REFUSED(&intent_lab,
			 intent_renamed(MBJ_STAGE_DONE, "i", "A", "B"),
			 "alreadyExists", "B");
	edit = intent_edit(MBJ_STAGE_DONE, "i");
	edit.kind = MBJ_EDIT_SET;
	edit.changes = &change;
	edit.change_count = 1;
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "mailboxHasChild", "41000000000000000000000000000000");
	ck_assert_uint_eq(intent_open_count(), 1);
	EDIT_LAB_OK(&intent_lab, intent_told(MBJ_STAGE_DONE, "i"));
	ck_assert_uint_eq(intent_open_count(), 0);
}
END_TEST

/*
 * Goal: limits, at the maximum and at one more; ids of ours where none is
 * given.  Method: as many open intents as an account may have; a rename whose
 * paths fill an intent.
 */
START_TEST(intent_limits)
{
	static uint8_t long_path[MBJ_INTENT_SIZE_MAX];
	struct mbj_rename renames[2200];
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "");

	edit.kind = MBJ_EDIT_RENAME;
	for (unsigned i = 0; i < MBJ_ACCOUNT_INTENTS_MAX; i++) {
		EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
		ck_assert(!mbj_id_is_reserved(intent_lab.outcome.intent));
	}
	ck_assert_uint_eq(intent_open_count(), MBJ_ACCOUNT_INTENTS_MAX);
	EDIT_LAB_REFUSED(&intent_lab, edit_lab_run(&intent_lab, &edit),
			 "tooLarge", "");
	ck_assert_int_eq(intent_lab.rc, MBJ_ELIMIT);
	ck_assert_uint_eq(intent_open_count(), MBJ_ACCOUNT_INTENTS_MAX);
	/* Another account has its own. */
	edit_lab_import(&intent_lab, "v", "A");
	edit.account = mbj_bytes_str("v");
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	/* The edit alone is too long. */
	memset(long_path, 'x', sizeof(long_path));
	for (size_t i = 0; i < 2200; i++) {
		renames[i].source = mbj_bytes_make(long_path, 1 + i % 100);
		renames[i].target = renames[i].source;
	}
	edit.renames = renames;
	edit.rename_count = 2200;
	ck_assert_int_lt(edit_lab_run(&intent_lab, &edit), 0);
}
END_TEST

/* An entry with a value of n bytes, announced. */
static enum mbj_rc entry_of_size(size_t n)
{
	static uint8_t value[MBJ_ATTR_VALUE_MAX];
	const struct mbj_metadata_edit step = {
		.kind = MBJ_METADATA_ENTRY,
		.mailbox = edit_lab_id("B"),
		.name = mbj_bytes_str("/shared/comment"),
		.value = mbj_bytes_make(value, n)};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_INTENT, "big");

	memset(value, 'v', sizeof(value));
	edit.kind = MBJ_EDIT_METADATA;
	edit.metadata = &step;
	edit.metadata_count = 1;
	return edit_lab_run(&intent_lab, &edit);
}

/*
 * Goal: the size of an intent, at its maximum and at one more.  Method: a value
 * that is as long as can be announced, looked for by halves.
 */
START_TEST(intent_size)
{
	size_t fits = 1, over = MBJ_ATTR_VALUE_MAX;
	struct mbj_intent intent;
	bool is_found = false;

	while (over - fits > 1) {
		size_t middle = fits + (over - fits) / 2;

		if (entry_of_size(middle) == MBJ_OK) {
			EDIT_LAB_OK(&intent_lab,
				    intent_told(MBJ_STAGE_FAILED, "big"));
			fits = middle;
		} else {
			ck_assert_int_eq(intent_lab.rc, MBJ_ELIMIT);
			ck_assert_str_eq(mbj_refusal_type(
						 intent_lab.error.refusal),
					 "tooLarge");
			over = middle;
		}
	}
	EDIT_LAB_OK(&intent_lab, entry_of_size(fits));
	LAB_OK(mbj_txn_intent_seek(intent_lab.txns[1],
				   edit_lab_account(&intent_lab, "u").id,
				   edit_lab_id("big"), &intent, &is_found,
				   err));
	ck_assert(is_found);
	ck_assert_uint_eq(intent.body.n, MBJ_INTENT_SIZE_MAX);
	ck_assert_uint_eq(intent_open_count(), 1);
}
END_TEST

/*
 * Goal: intents go with their account, and follow its name.  Method: the
 * account renamed under an intent; deleted under one, and as the outcome of
 * one.
 */
START_TEST(intent_account)
{
	struct mbj_edit edit = MBJ_EDIT_INIT;
	const struct mbj_rename name = {{NULL, 0}, mbj_bytes_str("w")};

	EDIT_LAB_OK(&intent_lab,
		    intent_renamed(MBJ_STAGE_INTENT, "i", "A", "C"));
	edit.kind = MBJ_EDIT_ACCOUNT_RENAME;
	edit.account = mbj_bytes_str("u");
	edit.renames = &name;
	edit.rename_count = 1;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	edit = intent_edit(MBJ_STAGE_DONE, "i");
	edit.account = mbj_bytes_str("w");
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_str_eq(edit_lab_tree(&intent_lab, "w"),
			 "B=B C/x=A/x C=A S=S");
	edit = intent_edit(MBJ_STAGE_INTENT, "i");
	edit.account = mbj_bytes_str("w");
	edit.kind = MBJ_EDIT_RENAME;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	edit.kind = MBJ_EDIT_ACCOUNT_DELETE;
	edit.stage = MBJ_STAGE_DONE;
	EDIT_LAB_OK(&intent_lab, edit_lab_run(&intent_lab, &edit));
	ck_assert_uint_eq(edit_lab_ops(&intent_lab, MBJ_OP_OUTCOME), 1);
}
END_TEST

/*
 * Goal: a body that is damaged, or of a later version, is an error; one that
 * was written is read.  Method: every prefix and every changed byte of one.
 */
START_TEST(intent_bodies)
{
	const struct mbj_doubt doubt = {.mailbox = edit_lab_id("A"),
					.what = MBJ_DOUBT_MOVE,
					.before = mbj_bytes_str("A"),
					.after = mbj_bytes_str("C")};
	struct mbj_edit edit = intent_edit(MBJ_STAGE_NONE, "");
	struct mbj_intent_view view;
	struct mbj_buf body;
	unsigned good = 0;

	edit.kind = MBJ_EDIT_RENAME;
	mbj_buf_init(&body, MBJ_INTENT_SIZE_MAX);
	doubt_body_begin(&body, &edit, 1);
	doubt_put(&body, &doubt);
	LAB_OK(mbj_buf_ok(&body, err));
	LAB_OK(mbj_intent_read(mbj_buf_view(&body), &view, err));
	for (size_t n = 0; n < body.n; n++)
		ck_assert_int_lt(mbj_intent_read(mbj_bytes_make(body.p, n),
						 &view, NULL),
				 0);
	body.p[0] = 2;
	ck_assert_int_eq(mbj_intent_read(mbj_buf_view(&body), &view, NULL),
			 MBJ_EUNSUPPORTED);
	body.p[0] = 1;
	for (size_t i = 0; i < body.n; i++) {
		body.p[i] ^= 0x40;
		if (mbj_intent_read(mbj_buf_view(&body), &view, NULL) ==
		    MBJ_OK) {
			struct mbj_doubt read;

			good++;
			while (mbj_doubt_next(&view.doubts, &read))
				continue;
		}
		body.p[i] ^= 0x40;
	}
	/* Bytes of ids, names and numbers may be anything. */
	ck_assert_uint_gt(good, 0);
	ck_assert_uint_lt(good, body.n);
	mbj_buf_done(&body);
	ck_assert_ptr_null(mbj_intent_kind_name(MBJ_EDIT_IMPORT));
	ck_assert_ptr_null(mbj_intent_result_name(0));
	ck_assert_ptr_null(mbj_doubt_name(3));
}
END_TEST

TCase *test_intent_case(void)
{
	TCase *tc = tcase_create("intent");

	tcase_add_checked_fixture(tc, intent_lab_begin, intent_lab_end);
	tcase_add_test(tc, intent_stages);
	tcase_add_test(tc, intent_doubt);
	tcase_add_test(tc, intent_refusals);
	tcase_add_test(tc, intent_limits);
	tcase_add_test(tc, intent_size);
	tcase_add_test(tc, intent_account);
	tcase_add_test(tc, intent_bodies);
	return tc;
}
