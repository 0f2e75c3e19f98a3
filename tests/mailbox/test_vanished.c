/*
 * Which UIDs went from a mailbox, and when (state_vanished.c): what is kept,
 * and what is said of it.
 */
#include <mbj/codec.h>

#include "content_lab.h"
#include "state_priv.h"

static struct mbj_error err;

enum { LONG = MBJ_VANISHED_REVS + 3000, EACH = 4, SLACK = 1024 + EACH };

static uint64_t come(struct content_lab *lab, struct mbj_id mailbox,
		     uint32_t uid, uint64_t rev)
{
	struct mbj_message message = content_sample(uid);

	message.modseq = uid;
	test_ok(mbj_txn_message_append(lab->txn, lab->account, mailbox, rev,
				       &message, &err),
		err);
	return rev + 1;
}

/* A message comes, and each fourth time that one goes. */
static uint64_t life_go_on(struct content_lab *lab, struct mbj_id mailbox,
			   uint32_t uid, uint64_t rev)
{
	uint8_t set[MBJ_UID_RANGE_SIZE];

	rev = come(lab, mailbox, uid, rev);
	if (uid % EACH != 0)
		return rev;
	mbj_store_u32(set, uid);
	mbj_store_u32(set + 4, uid);
	test_ok(mbj_txn_message_expunge(lab->txn, lab->account, mailbox, rev++,
					mbj_bytes_make(set, sizeof(set)), uid,
					(struct mbj_lsn){1}, &err),
		err);
	return rev;
}

/* All behind modseq, or, where that may not be told, what is left of them. */
static void history_holds(struct content_lab *lab, struct mbj_id mailbox,
			  uint64_t modseq, uint32_t uid, uint64_t rev)
{
	/* A fifth of all changes is an expunge, and has each fourth UID. */
	const uint64_t kept = (uint64_t)MBJ_VANISHED_REVS * EACH / (EACH + 1);
	uint64_t all = uid / EACH - modseq / EACH;
	struct mbj_buf uids;
	bool is_whole = false;
	size_t count;

	mbj_buf_init(&uids, 1 << 20);
	test_ok(mbj_txn_vanished(lab->txn, lab->account, mailbox, modseq, &uids,
				 &is_whole, &err),
		err);
	count = mbj_uids_count(mbj_buf_view(&uids));
	if (rev <= MBJ_VANISHED_REVS || modseq + kept >= uid)
		ck_assert(is_whole);
	if (rev > MBJ_VANISHED_REVS + SLACK && modseq + kept + SLACK < uid)
		ck_assert(!is_whole);
	if (is_whole)
		ck_assert_uint_eq(count, all);
	else
		ck_assert_uint_le(count * EACH, kept + SLACK);
	for (size_t i = 0; i < count; i++) {
		struct mbj_uid_range range =
			mbj_uids_get(mbj_buf_view(&uids), count - 1 - i);

		ck_assert_uint_eq(range.first, (uid / EACH - i) * EACH);
		ck_assert_uint_eq(range.last, range.first);
	}
	mbj_buf_done(&uids);
}

/*
 * Goal: a mailbox says which UIDs went behind any modseq of its last changes,
 * and that it may not know all where the modseq is older; and it keeps no more
 * than that.  Method: many messages come, each fourth goes, by turns.
 */
START_TEST(vanished_history)
{
	struct content_lab lab;
	struct mbj_id mailbox;
	uint64_t rev;

	content_lab_begin(&lab, _i);
	mailbox = content_box_id(&lab.model->boxes[0]);
	rev = lab.model->boxes[0].rev;
	for (uint32_t uid = 1; uid <= LONG; uid++) {
		rev = life_go_on(&lab, mailbox, uid, rev);
		if (uid % 1500 != 0)
			continue;
		for (uint64_t back = 0; back <= uid; back += 1 + uid / 7)
			history_holds(&lab, mailbox, uid - back, uid, rev);
		history_holds(&lab, mailbox, 0, uid, rev);
	}
	content_lab_end(&lab);
}
END_TEST

/* How many ranges went behind modseq; each has a UID of its own. */
static size_t gone(struct content_lab *lab, struct mbj_id mailbox,
		   uint64_t modseq, bool *ret_is_whole)
{
	struct mbj_buf uids;
	size_t count;

	mbj_buf_init(&uids, 256);
	test_ok(mbj_txn_vanished(lab->txn, lab->account, mailbox, modseq, &uids,
				 ret_is_whole, &err),
		err);
	count = mbj_uids_count(mbj_buf_view(&uids));
	mbj_buf_done(&uids);
	return count;
}

/*
 * Goal: a mailbox of which long nothing went says all behind the last expunge.
 * Method: two go by turns, then so many messages come that the first is
 * dropped.
 */
START_TEST(vanished_quiet)
{
	struct content_lab lab;
	struct mbj_id mailbox;
	bool is_whole;
	uint64_t rev;

	content_lab_begin(&lab, _i);
	mailbox = content_box_id(&lab.model->boxes[0]);
	rev = lab.model->boxes[0].rev;
	for (uint32_t uid = 1; uid <= 2 * EACH; uid++)
		rev = life_go_on(&lab, mailbox, uid, rev);
	for (uint32_t uid = 2 * EACH + 1; uid <= LONG; uid++)
		rev = come(&lab, mailbox, uid, rev);
	/* Of two the latter stays, and what it says is of both. */
	ck_assert_uint_eq(gone(&lab, mailbox, EACH, &is_whole), 1);
	ck_assert(!is_whole);
	ck_assert_uint_eq(gone(&lab, mailbox, 2 * EACH, &is_whole), 0);
	ck_assert(is_whole);
	content_lab_end(&lab);
}
END_TEST

/*
 * Goal: where nothing was ever forgotten that is said.  Method: many messages
 * come, as of an import, and the last one goes.
 */
START_TEST(vanished_first)
{
	const uint32_t last = LONG - LONG % EACH;
	struct content_lab lab;
	struct mbj_id mailbox;
	bool is_whole;
	uint64_t rev;

	content_lab_begin(&lab, _i);
	mailbox = content_box_id(&lab.model->boxes[0]);
	rev = lab.model->boxes[0].rev;
	for (uint32_t uid = 1; uid < last; uid++)
		rev = come(&lab, mailbox, uid, rev);
	ck_assert_uint_eq(gone(&lab, mailbox, 0, &is_whole), 0);
	ck_assert(is_whole);
	(void)life_go_on(&lab, mailbox, last, rev);
	ck_assert_uint_eq(gone(&lab, mailbox, 0, &is_whole), 1);
	ck_assert(is_whole);
	content_lab_end(&lab);
}
END_TEST

enum { RANGES_MAX = 1 << 20 }; /* of an answer: state_vanished.c */

/* A record of so many ranges, each of one UID, from the n-th on, is there. */
static void history_put(struct content_lab *lab, struct mbj_id mailbox,
			uint64_t rev, uint32_t n, uint32_t count)
{
	struct mbj_vanished vanished = {.modseq = 5};
	struct mbj_txn *txn = lab->txn;
	struct mbj_buf uids;

	mbj_buf_init(&uids, 1 << 20);
	for (uint32_t i = n; i < n + count; i++)
		mbj_uids_put(&uids, 2 * i + 1, 2 * i + 1);
	vanished.uids = mbj_buf_view(&uids);
	key_vanished(&txn->key, lab->account, mailbox, rev);
	record_vanished_encode(&txn->value, &vanished);
	test_ok(txn_put(txn, TABLE_VANISHED, &err), err);
	mbj_buf_done(&uids);
}

/*
 * Goal: more ranges than one answer has room for are refused, not cut short,
 * and a later modseq is told all the same.  Method: as many as there may be,
 * and one more.
 */
START_TEST(vanished_many)
{
	const uint32_t each = MBJ_UID_RANGES_MAX;
	struct content_lab lab;
	struct mbj_id mailbox;
	struct mbj_buf uids;
	bool is_whole;
	uint32_t n = 0;

	content_lab_begin(&lab, _i);
	mailbox = content_box_id(&lab.model->boxes[0]);
	for (; n < RANGES_MAX; n += each)
		history_put(&lab, mailbox, n / each + 1, n, each);
	mbj_buf_init(&uids, (size_t)RANGES_MAX * MBJ_UID_RANGE_SIZE);
	test_ok(mbj_txn_vanished(lab.txn, lab.account, mailbox, 4, &uids,
				 &is_whole, &err),
		err);
	ck_assert_uint_eq(mbj_uids_count(mbj_buf_view(&uids)), RANGES_MAX);
	mbj_buf_clear(&uids);
	history_put(&lab, mailbox, n / each + 1, n, 1);
	test_rc(mbj_txn_vanished(lab.txn, lab.account, mailbox, 4, &uids,
				 &is_whole, &err),
		MBJ_ELIMIT);
	ck_assert_uint_eq(uids.n, 0);
	test_ok(mbj_txn_vanished(lab.txn, lab.account, mailbox, 5, &uids,
				 &is_whole, &err),
		err);
	ck_assert_uint_eq(uids.n, 0);
	mbj_buf_done(&uids);
	content_lab_end(&lab);
}
END_TEST

TCase *test_vanished_case(void)
{
	enum { ENGINES = MBJ_STATE_MEMORY + 1 };
	TCase *tc = tcase_create("vanished");

	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, vanished_history, 0, ENGINES);
	tcase_add_loop_test(tc, vanished_quiet, 0, ENGINES);
	tcase_add_loop_test(tc, vanished_first, 0, ENGINES);
	tcase_add_loop_test(tc, vanished_many, 0, ENGINES);
	return tc;
}
