/*
 * Messages in the state against a naive model (content_lab.h): appended,
 * marked, expunged, handed over as a whole, left behind and reaped; rolled
 * back, committed, opened again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/codec.h>

#include "content_lab.h"
#include "state_priv.h"

enum { STEPS = 700 };

static struct mbj_error err;

/*
 * Goal: the state holds what the model holds, whatever happens in whatever
 * order.  Method: random steps, all compared every 16th time, now and then
 * rolled back, committed or opened again.
 */
START_TEST(content_model)
{
	struct mbj_buf uids;
	struct content_lab lab;

	content_lab_begin(&lab, _i);
	mbj_buf_init(&uids, 1 << 12);
	for (unsigned i = 0; i < STEPS; i++) {
		if (test_rng_chance(&lab.rng, 1, 10))
			content_step_undone(&lab, &uids);
		else
			content_step(&lab, &uids);
		if (i % 16 != 0)
			continue;
		content_lab_check(&lab);
		test_ok(mbj_txn_commit(&lab.txn, &err), err);
		if (i % 128 == 0) {
			mbj_state_close(&lab.state);
			content_lab_open(&lab);
		} else {
			test_ok(mbj_txn_begin(lab.state, &lab.txn, &err), err);
		}
	}
	content_lab_check(&lab);
	for (unsigned kind = 0; kind < 6; kind++)
		ck_assert_msg(lab.done[kind] > 0, "kind %u", kind);
	mbj_buf_done(&uids);
	content_lab_end(&lab);
}
END_TEST

/* ---------------------------------------------------------- preconditions */

#define refused(lab, call)                         \
	do {                                       \
		err.message[0] = '\0';             \
		test_rc(call, MBJ_ECONFLICT);      \
		ck_assert(err.message[0] != '\0'); \
		content_lab_check(lab);            \
	} while (0)

/*
 * Goal: what does not fit is a conflict and changes nothing.  Method: each
 * expected value broken by itself, everything compared.
 */
START_TEST(content_refused)
{
	struct content_lab lab;
	struct content_box *box, *other;
	struct mbj_message message = content_sample(1);
	struct mbj_id id, away = test_id(77);
	struct mbj_lsn lsn = {9};
	uint8_t one[] = {1, 0, 0, 0, 1, 0, 0, 0};
	uint8_t two[] = {1, 0, 0, 0, 2, 0, 0, 0};
	uint8_t none[] = {2, 0, 0, 0, 1, 0, 0, 0};
	struct mbj_flags_change change = {.uids = mbj_bytes_make(one, 8),
					  .mode = MBJ_FLAGS_ADD,
					  .modseq = 5};
	struct mbj_bytes set;

	content_lab_begin(&lab, _i);
	box = &lab.model->boxes[0];
	other = &lab.model->boxes[1];
	content_append(&lab, box);
	id = content_box_id(box);
	message.uid = box->uidnext;
	message.modseq = box->modseq;
#define APPEND(account, mailbox, rev, m) \
	mbj_txn_message_append(lab.txn, account, mailbox, rev, m, &err)
	refused(&lab, APPEND(away, id, box->rev, &message));
	refused(&lab, APPEND(lab.account, away, 1, &message));
	refused(&lab, APPEND(lab.account, id, box->rev - 1, &message));
	refused(&lab, APPEND(lab.account, id, box->rev + 1, &message));
	message.uid = box->uidnext - 1;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message.uid = MBJ_UIDNEXT_MAX;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message = content_sample(box->uidnext);
	message.modseq = box->modseq - 1;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message.modseq = MBJ_MODSEQ_MAX + 1;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message.modseq = box->modseq;
	message.flags = MBJ_FLAGS_ALL + 1;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message.flags = 0;
	message.keywords = mbj_bytes_str("b");
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message.keywords.n = 0;
	message.guid = mbj_bytes_str("a b");
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	message.guid.n = 0;
	message.size = (uint64_t)UINT32_MAX + 1;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));
	/* One digest, two sizes. */
	message.blob = content_blob(box->messages[box->uidnext - 1].blob);
	message.size = 1;
	refused(&lab, APPEND(lab.account, id, box->rev, &message));

	set = mbj_bytes_make(none, 8);
#define EXPUNGE(rev, uids, modseq)                                           \
	mbj_txn_message_expunge(lab.txn, lab.account, id, rev, uids, modseq, \
				lsn, &err)
	refused(&lab, EXPUNGE(box->rev, set, box->modseq));
	two[4] = (uint8_t)box->uidnext;
	set = mbj_bytes_make(two, 8);
	refused(&lab, EXPUNGE(box->rev, set, box->modseq));
	set = mbj_bytes_make(one, 8);
	refused(&lab, EXPUNGE(box->rev + 1, set, box->modseq));
	refused(&lab, EXPUNGE(box->rev, set, box->modseq - 1));
	change.modseq = box->modseq;
	change.flags = MBJ_FLAGS_ALL + 1;
	refused(&lab, mbj_txn_message_flags(lab.txn, lab.account, id, box->rev,
					    &change, &err));
	change.flags = 0;
	change.uids = mbj_bytes_make(two, 8);
	refused(&lab, mbj_txn_message_flags(lab.txn, lab.account, id, box->rev,
					    &change, &err));

#define GUID(rev, uid, guid)                                     \
	mbj_txn_message_guid(lab.txn, lab.account, id, rev, uid, \
			     mbj_bytes_str(guid), &err)
	refused(&lab, GUID(box->rev + 1, 1, "guid"));
	refused(&lab, GUID(box->rev, 0, "guid"));
	refused(&lab, GUID(box->rev, box->uidnext, "guid"));
	refused(&lab, GUID(box->rev, 1, ""));
	refused(&lab, GUID(box->rev, 1, "a b"));

#define TAKE(rev, target)                                               \
	mbj_txn_message_take_all(lab.txn, lab.account, id, rev, target, \
				 box->modseq, &err)
	refused(&lab, TAKE(box->rev, id));
	refused(&lab, TAKE(box->rev, away));
	refused(&lab, TAKE(box->rev + 1, content_box_id(other)));
	content_append(&lab, other);
	refused(&lab, TAKE(box->rev, content_box_id(other)));
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: keywords that would be too many are refused, and messages before that
 * one in the set are as they were.
 */
START_TEST(content_keywords_full)
{
	char keywords[MBJ_KEYWORDS_MAX];
	uint8_t both[] = {1, 0, 0, 0, 2, 0, 0, 0};
	struct mbj_flags_change change = {
		.uids = mbj_bytes_make(both, 8),
		.mode = MBJ_FLAGS_ADD,
		.keywords = mbj_bytes_make("zz", 3),
		.modseq = 9,
	};
	struct mbj_content content;
	struct mbj_message message;
	struct mbj_digest summed;
	struct content_lab lab;
	struct mbj_id id;

	content_lab_begin(&lab, _i);
	id = content_box_id(&lab.model->boxes[0]);
	for (size_t i = 0; i < sizeof(keywords); i += 8)
		(void)snprintf(keywords + i, 8, "%07zu", i);
	for (uint32_t uid = 1; uid <= 2; uid++) {
		message = content_sample(uid);
		if (uid == 2)
			message.keywords =
				mbj_bytes_make(keywords, sizeof(keywords));
		test_ok(mbj_txn_message_append(lab.txn, lab.account, id, uid,
					       &message, &err),
			err);
	}
	test_rc(mbj_txn_message_flags(lab.txn, lab.account, id, 3, &change,
				      &err),
		MBJ_ECONFLICT);
	test_ok(mbj_txn_content_get(lab.txn, lab.account, id, &content, &err),
		err);
	ck_assert_uint_eq(content.rev, 3);
	test_ok(mbj_txn_message_get(lab.txn, lab.account, content.series, 1,
				    &message, &err),
		err);
	ck_assert_uint_eq(message.keywords.n, 0);
	test_ok(mbj_txn_account_check(lab.txn, lab.account, &summed, &err),
		err);
	content_lab_end(&lab);
}
END_TEST

/* One message with a long record, in a transaction that has no memory yet. */
static void long_message_begin(struct content_lab *lab, int engine)
{
	char keywords[MBJ_KEYWORDS_MAX];
	struct mbj_message message = content_sample(1);

	for (size_t i = 0; i < sizeof(keywords); i += 8)
		(void)snprintf(keywords + i, 8, "%07zu", i);
	message.keywords = mbj_bytes_make(keywords, sizeof(keywords));
	content_lab_begin(lab, engine);
	test_ok(mbj_txn_message_append(lab->txn, lab->account,
				       content_box_id(&lab->model->boxes[0]), 1,
				       &message, &err),
		err);
	test_ok(mbj_txn_commit(&lab->txn, &err), err);
	mbj_state_close(&lab->state);
	content_lab_open(lab);
}

/*
 * Goal: memory that ends is said, and never leaves a digest that is another
 * than its records sum to.  Method: each allocation of a change of flags, and
 * of an expunge, fails once, in a transaction of its own.
 */
START_TEST(content_no_memory)
{
	uint8_t uids[] = {1, 0, 0, 0, 1, 0, 0, 0};
	struct mbj_flags_change change = {
		.uids = mbj_bytes_make(uids, sizeof(uids)),
		.mode = MBJ_FLAGS_ADD,
		.flags = MBJ_FLAG_SEEN,
		.modseq = 9,
	};
	bool is_expunge = _i % 2 == 1;
	bool is_met = true;
	unsigned failed = 0;

	for (uint64_t at = 1; is_met; at++) {
		struct mbj_digest summed;
		struct content_lab lab;
		struct mbj_id id;
		enum mbj_rc rc;

		long_message_begin(&lab, _i / 2);
		id = content_box_id(&lab.model->boxes[0]);
		test_alloc_fail_at(at);
		rc = is_expunge ? mbj_txn_message_expunge(lab.txn, lab.account,
							  id, 2, change.uids, 9,
							  (struct mbj_lsn){3},
							  &err)
				: mbj_txn_message_flags(lab.txn, lab.account,
							id, 2, &change, &err);
		is_met = test_alloc_count() >= at;
		test_alloc_fail_at(0);
		failed += rc != MBJ_OK;
		ck_assert(rc == MBJ_OK || (is_met && rc == MBJ_ENOMEM));
		test_ok(mbj_txn_account_check(lab.txn, lab.account, &summed,
					      &err),
			err);
		content_lab_end(&lab);
	}
	ck_assert_uint_gt(failed, 3);
}
END_TEST

/*
 * Goal: an account that goes takes its messages along, by and by.
 */
START_TEST(content_account_deleted)
{
	uint64_t count = 0, size = 0;
	bool is_done = false;
	struct content_lab lab;

	content_lab_begin(&lab, _i);
	for (unsigned i = 0; i < 60; i++)
		content_append(&lab, &lab.model->boxes[i % CONTENT_BOXES]);
	test_ok(mbj_txn_account_delete(lab.txn, lab.account,
				       (struct mbj_lsn){5}, &err),
		err);
	test_ok(mbj_txn_reap(lab.txn, 10, (struct mbj_lsn){6}, &is_done, &err),
		err);
	ck_assert(!is_done);
	while (!is_done)
		test_ok(mbj_txn_reap(lab.txn, 10, (struct mbj_lsn){6}, &is_done,
				     &err),
			err);
	for (unsigned blob = 0; blob < CONTENT_BLOBS; blob++) {
		struct mbj_hash hash = content_blob(blob);

		test_ok(mbj_txn_blob_count(lab.txn, &hash, &count, &size, &err),
			err);
		ck_assert_uint_eq(count, 0);
	}
	test_ok(mbj_txn_commit(&lab.txn, &err), err);
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: what was reaped and came back is reaped again.  Method: reaped to the
 * end, and once more, rolled back; the same, given up.
 */
START_TEST(content_reap_undone)
{
	uint64_t count = 0, size = 0;
	bool is_done = false;
	struct content_lab lab;
	struct mbj_hash hash = content_blob(0);

	content_lab_begin(&lab, _i);
	for (unsigned i = 0; i < 60; i++)
		content_append(&lab, &lab.model->boxes[i % CONTENT_BOXES]);
	test_ok(mbj_txn_account_delete(lab.txn, lab.account,
				       (struct mbj_lsn){5}, &err),
		err);
	test_ok(mbj_txn_commit(&lab.txn, &err), err);
	for (unsigned way = 0; way < 3; way++) {
		size_t savepoint;

		test_ok(mbj_txn_begin(lab.state, &lab.txn, &err), err);
		savepoint = mbj_txn_savepoint(lab.txn);
		for (unsigned i = 0; i < 2; i++)
			test_ok(mbj_txn_reap(lab.txn, 1000, (struct mbj_lsn){6},
					     &is_done, &err),
				err);
		ck_assert(is_done);
		if (way == 0)
			mbj_txn_rollback(lab.txn, savepoint);
		if (way < 2)
			mbj_txn_abort(&lab.txn);
		else
			test_ok(mbj_txn_commit(&lab.txn, &err), err);
	}
	test_ok(mbj_txn_begin(lab.state, &lab.txn, &err), err);
	test_ok(mbj_txn_blob_count(lab.txn, &hash, &count, &size, &err), err);
	ck_assert_uint_eq(count, 0);
	ck_assert_uint_ne(size, MBJ_BLOB_UNKNOWN);
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: what is to be reaped and is damaged is met once, not in each batch from
 * then on: who reaps rolls back what could not be.  Method: a message's record
 * that is none.
 */
START_TEST(content_reap_damaged)
{
	const struct mbj_lsn lsn = {6};
	struct content_lab lab;
	struct content_box *box;
	struct mbj_series series;
	bool is_done = false;
	size_t savepoint;

	content_lab_begin(&lab, _i);
	box = &lab.model->boxes[0];
	content_append(&lab, box);
	series = (struct mbj_series){content_box_id(box), 0};
	key_message(&lab.txn->key, lab.account, series, 1);
	record_begin(&lab.txn->value);
	test_ok(txn_put(lab.txn, TABLE_MESSAGES, &err), err);
	test_ok(mbj_txn_account_delete(lab.txn, lab.account, lsn, &err), err);
	savepoint = mbj_txn_savepoint(lab.txn);
	test_rc(mbj_txn_reap(lab.txn, 1000, lsn, &is_done, &err), MBJ_ECORRUPT);
	mbj_txn_rollback(lab.txn, savepoint);
	test_ok(mbj_txn_reap(lab.txn, 1000, lsn, &is_done, &err), err);
	ck_assert(is_done);
	content_lab_end(&lab);
}
END_TEST

TCase *test_content_case(void)
{
	enum { ENGINES = MBJ_STATE_MEMORY + 1 };
	TCase *tc = tcase_create("content");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, content_model, 0, ENGINES);
	tcase_add_loop_test(tc, content_refused, 0, ENGINES);
	tcase_add_loop_test(tc, content_keywords_full, 0, ENGINES);
	tcase_add_loop_test(tc, content_no_memory, 0, 2 * ENGINES);
	tcase_add_loop_test(tc, content_account_deleted, 0, ENGINES);
	tcase_add_loop_test(tc, content_reap_undone, 0, ENGINES);
	tcase_add_loop_test(tc, content_reap_damaged, 0, ENGINES);
	return tc;
}
