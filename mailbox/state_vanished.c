/*
 * The expunge history of a mailbox: which UIDs went with which modseq, for the
 * VANISHED of RFC 7162.
 *
 * A record for each expunge, under the revision of the content before it.  They
 * are in no digest.  Once in a while those of long ago go, so that a mailbox
 * that lives for years has no more of them than of its last changes; the latest
 * of those stays: its modseq says since when nothing is missing.
 *
 * Invariant: of the last MBJ_VANISHED_REVS changes no expunge is missing, and
 * of none behind the first record.
 */
#include <stdlib.h>

#include <mbj/check.h>
#include <mbj/codec.h>

#include "state_content.h"

enum {
	/* Changes between two looks for what may go: a scan has to see what
	 * this transaction changed, which is written for that. */
	TRIM_STEP = 1024,
	/* Records that one look drops: a store of before this was bounded
	 * comes down bit by bit. */
	TRIM_MAX = 4 * TRIM_STEP,
	RANGES_MAX = 1 << 20, /* of one answer, before they are joined */
};

_Static_assert(MBJ_VANISHED_REVS % TRIM_STEP == 0, "a look goes by revisions");

/* -------------------------------------------------------------- writing */

enum mbj_rc vanished_put(struct content_edit *edit, struct mbj_bytes uids,
			 uint64_t modseq, struct mbj_error *err)
{
	const struct mbj_vanished vanished = {modseq, uids};
	struct mbj_txn *txn = edit->txn;

	key_vanished(&txn->key, edit->account.id, edit->mailbox,
		     edit->content.rev);
	record_vanished_encode(&txn->value, &vanished);
	return txn_put(txn, TABLE_VANISHED, err);
}

enum mbj_rc vanished_put_all(struct content_edit *edit, uint64_t modseq,
			     struct mbj_error *err)
{
	uint8_t range[MBJ_UID_RANGE_SIZE];

	if (edit->content.uidnext == 1)
		return MBJ_OK;
	mbj_store_u32(range, 1);
	mbj_store_u32(range + 4, edit->content.uidnext - 1);
	return vanished_put(edit, mbj_bytes_make(range, sizeof(range)), modseq,
			    err);
}

/* Of those of before a revision all but the last; *kept is the one seen last.
 */
static enum mbj_rc trim_before(struct mbj_txn *txn, struct mbj_scan *scan,
			       uint64_t before, struct mbj_buf *kept,
			       struct mbj_error *err)
{
	struct mbj_bytes key, rest, value;
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; i <= TRIM_MAX && rc == MBJ_OK; i++) {
		rc = scan_next(scan, &key, &rest, &value, err);
		if (rc < 0 || key_rev(rest) >= before)
			break;
		if (kept->n > 0) {
			mbj_buf_clear(&txn->key);
			mbj_buf_put_bytes(&txn->key, mbj_buf_view(kept));
			rc = txn_del(txn, TABLE_VANISHED, err);
		}
		mbj_buf_clear(kept);
		mbj_buf_put_bytes(kept, key);
		if (rc == MBJ_OK)
			rc = mbj_buf_ok(kept, err);
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc vanished_trim(struct content_edit *edit, struct mbj_error *err)
{
	uint64_t rev = edit->content.rev;
	struct mbj_txn *txn = edit->txn;
	struct mbj_scan scan = {0};
	struct mbj_buf kept;
	enum mbj_rc rc;

	if (rev <= MBJ_VANISHED_REVS || rev % TRIM_STEP != 0)
		return MBJ_OK;
	mbj_buf_init(&kept, 2 * MBJ_ID_SIZE + sizeof(uint64_t));
	key_pair(&txn->key, edit->account.id, edit->mailbox.b,
		 sizeof(edit->mailbox.b));
	rc = scan_begin(txn, TABLE_VANISHED, txn->key.n, &scan, err);
	if (rc == MBJ_OK)
		rc = trim_before(txn, &scan, rev - MBJ_VANISHED_REVS, &kept,
				 err);
	mbj_scan_done(&scan);
	mbj_buf_done(&kept);
	return rc;
}

/* -------------------------------------------------------------- reading */

enum mbj_rc mbj_scan_vanished(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_id mailbox, struct mbj_scan *ret_scan,
			      struct mbj_error *err)
{
	key_pair(&txn->key, account, mailbox.b, sizeof(mailbox.b));
	return scan_begin(txn, TABLE_VANISHED, txn->key.n, ret_scan, err);
}

static enum mbj_rc next_vanished(struct mbj_scan *scan, uint64_t *ret_rev,
				 struct mbj_vanished *ret_vanished,
				 struct mbj_error *err)
{
	struct mbj_bytes key, rest, value;
	enum mbj_rc rc = scan_next(scan, &key, &rest, &value, err);

	if (rc < 0)
		return rc;
	if (!record_vanished_decode(value, ret_vanished))
		return record_damaged(TABLE_VANISHED, key, err);
	*ret_rev = key_rev(rest);
	return MBJ_OK;
}

enum mbj_rc mbj_scan_next_vanished(struct mbj_scan *scan,
				   struct mbj_vanished *ret_vanished,
				   struct mbj_error *err)
{
	uint64_t rev;

	return next_vanished(scan, &rev, ret_vanished, err);
}

/* A look that drops something leaves a record of before its bound. */
static bool is_untrimmed(uint64_t rev, uint64_t first_rev)
{
	uint64_t looked = rev - rev % TRIM_STEP;

	return looked <= MBJ_VANISHED_REVS ||
	       first_rev >= looked - MBJ_VANISHED_REVS;
}

/* What is collected of it. */
struct gathering {
	void *ranges; /* struct mbj_uid_range */
	size_t count;
	size_t capacity;
};

static enum mbj_rc ranges_take(struct gathering *g, struct mbj_bytes uids,
			       struct mbj_error *err)
{
	size_t more = mbj_uids_count(uids);
	struct mbj_uid_range *ranges;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&g->ranges, &g->capacity, g->count + more,
			       sizeof(*ranges), RANGES_MAX, err);
	if (rc < 0)
		return rc;
	ranges = g->ranges;
	for (size_t i = 0; i < more; i++)
		ranges[g->count++] = mbj_uids_get(uids, i);
	return MBJ_OK;
}

static int range_compare(const void *a, const void *b)
{
	const struct mbj_uid_range *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static void ranges_join(const struct gathering *g, struct mbj_buf *ret_uids)
{
	const struct mbj_uid_range *ranges = g->ranges;

	if (g->count > 0)
		qsort(g->ranges, g->count, sizeof(*ranges), range_compare);
	for (size_t i = 0; i < g->count; i++)
		mbj_uids_put(ret_uids, ranges[i].first, ranges[i].last);
}

/* Whether nothing of it may be forgotten, the first record says. */
static enum mbj_rc history_read(struct mbj_scan *scan, uint64_t content_rev,
				uint64_t modseq, struct gathering *g,
				bool *ret_is_whole, struct mbj_error *err)
{
	struct mbj_vanished vanished = {.modseq = 0};
	bool is_first = true;
	uint64_t rev = 0;
	enum mbj_rc rc;

	*ret_is_whole = true;
	while ((rc = next_vanished(scan, &rev, &vanished, err)) == MBJ_OK) {
		if (is_first)
			*ret_is_whole = vanished.modseq <= modseq ||
					is_untrimmed(content_rev, rev);
		is_first = false;
		if (vanished.modseq > modseq)
			rc = ranges_take(g, vanished.uids, err);
		if (rc < 0)
			return rc;
	}
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc mbj_txn_vanished(struct mbj_txn *txn, struct mbj_id account,
			     struct mbj_id mailbox, uint64_t modseq,
			     struct mbj_buf *ret_uids, bool *ret_is_whole,
			     struct mbj_error *err)
{
	struct gathering gathering = {.ranges = NULL};
	struct mbj_scan scan = {0};
	struct mbj_content content;
	enum mbj_rc rc;

	MBJ_ASSERT(ret_uids->n == 0);
	rc = mbj_txn_content_get(txn, account, mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_vanished(txn, account, mailbox, &scan, err);
	if (rc == MBJ_OK)
		rc = history_read(&scan, content.rev, modseq, &gathering,
				  ret_is_whole, err);
	mbj_scan_done(&scan);
	if (rc == MBJ_OK) {
		ranges_join(&gathering, ret_uids);
		rc = mbj_buf_ok(ret_uids, err);
	}
	mbj_free(gathering.ranges);
	return rc;
}
