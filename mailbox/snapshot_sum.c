/*
 * What the records of one account sum up to, as they come by, and whether they
 * are an account: a snapshot that passes makes a state that passes
 * mbj_txn_account_check.
 *
 * Method: an account's digest is the sum over its elements, a mailbox's digest
 * the sum over its messages.  Mailboxes and contents are gathered (gather.h),
 * messages are not.  Those of a series that waits to be reaped are in no
 * mailbox: these series come first and are kept, there are few.
 *
 * Threads: one at a time per sum.
 */
#include <mbj/check.h>

#include "snapshot_priv.h"

enum {
	ELEMENT_MAX = 1 << 20,
	SERIES_SIZE = MBJ_ID_SIZE + 4,
	/* Deleted mailboxes of one account that nobody has reaped. */
	ORPHANS_MAX = 1 << 24,
};

void snapshot_sum_init(struct snapshot_sum *sum)
{
	*sum = (struct snapshot_sum){.is_account = false};
	mbj_buf_init(&sum->name, MBJ_ACCOUNT_NAME_MAX);
	mbj_buf_init(&sum->values, ELEMENT_MAX);
	mbj_buf_init(&sum->element, ELEMENT_MAX);
	mbj_buf_init(&sum->last, ELEMENT_MAX);
}

void snapshot_sum_done(struct snapshot_sum *sum)
{
	mbj_buf_done(&sum->name);
	mbj_buf_done(&sum->values);
	mbj_buf_done(&sum->element);
	mbj_buf_done(&sum->last);
	gather_done(&sum->gather);
	mbj_free(sum->orphans);
	sum->orphans = NULL;
}

void snapshot_sum_begin(struct snapshot_sum *sum, struct mbj_id account)
{
	const struct snapshot_sum before = *sum;

	gather_done(&sum->gather);
	/* The memory stays, what was counted does not. */
	*sum = (struct snapshot_sum){
		.account.id = account,
		.name = before.name,
		.values = before.values,
		.element = before.element,
		.last = before.last,
		.orphans = before.orphans,
		.orphan_capacity = before.orphan_capacity,
	};
	mbj_buf_clear(&sum->name);
	mbj_buf_clear(&sum->last);
}

static enum mbj_rc wrong(struct mbj_error *err, const char *what)
{
	return mbj_error_set(err, MBJ_ECORRUPT, "%s", what);
}
#define wrong(...) MBJ_FAILURE(wrong(__VA_ARGS__))

/* What comes twice, the state would have once; what comes late, it misses. */
static enum mbj_rc order_check(struct snapshot_sum *sum,
			       const struct snapshot_record *record,
			       struct mbj_error *err)
{
	unsigned rank = snapshot_table_rank(record->table);

	if (sum->records > 0 &&
	    (rank < sum->rank ||
	     (rank == sum->rank &&
	      mbj_bytes_compare(mbj_buf_view(&sum->last), record->key) >= 0)))
		return wrong(err, "a record is out of order");
	sum->rank = rank;
	mbj_buf_clear(&sum->last);
	mbj_buf_put_bytes(&sum->last, record->key);
	return mbj_buf_ok(&sum->last, err);
}

/* Onto one of the digests of the sum. */
static enum mbj_rc element_add(struct snapshot_sum *sum,
			       struct mbj_digest *digest,
			       const struct snapshot_summing *with,
			       const struct snapshot_record *record,
			       struct mbj_error *err)
{
	struct mbj_buf *element = &sum->element;
	enum mbj_rc rc;

	mbj_buf_clear(element);
	mbj_buf_put_block(element, record->key);
	mbj_buf_put_bytes(element, record->value);
	rc = mbj_buf_ok(element, err);
	if (rc < 0)
		return rc;
	return mbj_digest_add(digest, with->sha, &with->key,
			      (uint8_t)record->table, mbj_buf_view(element),
			      err);
}

/* The account's own record: its element is the beginning of it. */
static enum mbj_rc account_add(struct snapshot_sum *sum,
			       const struct snapshot_summing *with,
			       const struct snapshot_record *record,
			       struct mbj_error *err)
{
	struct snapshot_record element = *record;
	struct mbj_account account;
	bool is_good;
	enum mbj_rc rc;

	is_good =
		record_account_decode(sum->account.id, record->value, &account);
	MBJ_ASSERT(is_good);
	mbj_buf_put_bytes(&sum->name, account.name);
	rc = mbj_buf_ok(&sum->name, err);
	if (rc < 0)
		return rc;
	account.name = mbj_buf_view(&sum->name);
	sum->account = account;
	sum->is_account = true;
	record_account_element(&sum->values, &account);
	element.value = mbj_buf_view(&sum->values);
	rc = mbj_buf_ok(&sum->values, err);
	if (rc < 0)
		return rc;
	return element_add(sum, &sum->digest, with, &element, err);
}

static struct mbj_series series_of(struct mbj_bytes key)
{
	struct mbj_series series;

	MBJ_ASSERT(key.n >= SERIES_SIZE);
	memcpy(series.mailbox.b, key.p, MBJ_ID_SIZE);
	series.birth = key_uid(mbj_bytes_make(key.p + MBJ_ID_SIZE, 4));
	return series;
}

static enum mbj_rc orphan_add(struct snapshot_sum *sum,
			      const struct snapshot_record *record,
			      struct mbj_error *err)
{
	void *orphans = sum->orphans;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&orphans, &sum->orphan_capacity,
			       sum->orphan_count + 1, sizeof(*sum->orphans),
			       ORPHANS_MAX, err);
	sum->orphans = orphans;
	if (rc == MBJ_OK)
		sum->orphans[sum->orphan_count++] = series_of(record->key);
	return rc;
}

static enum mbj_rc message_add(struct snapshot_sum *sum,
			       const struct snapshot_summing *with,
			       const struct snapshot_record *record,
			       struct mbj_error *err)
{
	struct mbj_series series = series_of(record->key);
	struct mbj_message message;
	struct gathered *gathered;
	bool is_good;
	enum mbj_rc rc;

	is_good = record_message_decode(snapshot_key_uid(record->key),
					record->value, &message);
	MBJ_ASSERT(is_good);
	while (sum->orphan_at < sum->orphan_count &&
	       series_compare(sum->orphans[sum->orphan_at], series) < 0)
		sum->orphan_at++;
	if (sum->orphan_at < sum->orphan_count &&
	    series_compare(sum->orphans[sum->orphan_at], series) == 0)
		return MBJ_OK;
	gathered = gather_seek(&sum->gather, series);
	if (gathered == NULL)
		return wrong(err, "messages are in no mailbox");
	rc = gather_message(gathered, &message, err);
	if (rc < 0)
		return rc;
	sum->message_count++;
	return element_add(sum, &gathered->found.digest, with, record, err);
}

/* What was judged when it was read. */
static void aside_add(struct snapshot_sum *sum,
		      const struct snapshot_record *record)
{
	struct record_aside aside;
	bool is_good;

	is_good = record_aside_decode(sum->account.id, record->value, &aside);
	MBJ_ASSERT(is_good);
	sum->is_parked = aside.is_parked;
	sum->is_skipped = aside.is_skipped;
	sum->skipped = aside.skipped;
}

static void tombstone_add(struct snapshot_sum *sum,
			  const struct snapshot_record *record)
{
	const struct mbj_id dead = DEAD_ACCOUNT;
	struct mbj_tombstone tombstone;

	if (!mbj_bytes_equal(record->key,
			     mbj_bytes_make(dead.b, sizeof(dead.b))) ||
	    !record_tombstone_decode(dead, record->value, &tombstone))
		return;
	sum->is_dead = true;
	sum->died = tombstone.lsn;
}

/* Mailboxes and contents are kept until the account is judged. */
static enum mbj_rc gather_add(struct snapshot_sum *sum,
			      const struct mbj_sys *sys,
			      const struct snapshot_record *record,
			      struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	struct mbj_content content;
	struct mbj_id id;
	enum mbj_rc rc = MBJ_OK;

	if (!sum->is_gathering)
		rc = gather_begin(&sum->gather, sys, err);
	if (rc < 0)
		return rc;
	sum->is_gathering = true;
	memcpy(id.b, record->key.p, sizeof(id.b));
	if (record->table == TABLE_MAILBOXES &&
	    record_mailbox_decode(id, record->value, &mailbox)) {
		sum->mailboxes++;
		return gather_mailbox(&sum->gather, &mailbox, err);
	}
	if (record->table == TABLE_CONTENTS &&
	    record_content_decode(record->value, &content))
		return gather_content(&sum->gather, id, &content, err);
	MBJ_UNREACHABLE();
}

enum mbj_rc snapshot_sum_add(struct snapshot_sum *sum,
			     const struct snapshot_summing *with,
			     const struct snapshot_record *record,
			     struct mbj_error *err)
{
	enum mbj_rc rc = order_check(sum, record, err);

	if (rc < 0)
		return rc;
	sum->records++;
	switch (record->table) {
	case TABLE_ACCOUNTS:
		return account_add(sum, with, record, err);
	case TABLE_MAILBOXES:
	case TABLE_CONTENTS:
		rc = gather_add(sum, with->sys, record, err);
		break;
	case TABLE_SUBSCRIPTIONS:
		sum->subscriptions++;
		break;
	case TABLE_FLOORS:
	case TABLE_ATTRIBUTES:
	case TABLE_INTENTS:
		break;
	case TABLE_ORPHANS:
		return orphan_add(sum, record, err);
	case TABLE_MESSAGES:
		return message_add(sum, with, record, err);
	case TABLE_TOMBSTONES:
		tombstone_add(sum, record);
		return MBJ_OK;
	case TABLE_PARKED:
		aside_add(sum, record);
		return MBJ_OK;
	case TABLE_META:
	case TABLE_ACCOUNT_NAMES:
	case TABLE_SLOTS:
	case TABLE_VANISHED:
	case TABLE_BLOBS:
	case TABLE_WANTED:
	case TABLE_COUNT:
		return MBJ_OK; /* in no digest */
	}
	sum->elements++;
	return rc < 0 ? rc : element_add(sum, &sum->digest, with, record, err);
}

/* What is reaped is a mailbox's no more. */
static bool orphans_are_good(struct snapshot_sum *sum)
{
	for (size_t i = 0; i < sum->orphan_count; i++)
		if (gather_has(&sum->gather, sum->orphans[i]))
			return false;
	return true;
}

/* Groups up to there are never applied: they would be lost without a word. */
static bool is_ahead(const struct snapshot_sum *sum, struct mbj_lsn at)
{
	return (sum->is_account && sum->account.lsn.v > at.v) ||
	       (sum->is_dead && sum->died.v > at.v) ||
	       (sum->is_skipped && sum->skipped.last.v > at.v);
}

enum mbj_rc snapshot_sum_judge(struct snapshot_sum *sum, struct mbj_lsn at,
			       struct mbj_error *err)
{
	const struct mbj_account *a = &sum->account;
	enum mbj_rc rc = MBJ_OK;

	if (is_ahead(sum, at))
		return wrong(err, "an account is ahead of the snapshot");

	if (sum->is_account && sum->is_dead)
		return wrong(err, "an account is there, and was deleted");
	/* Of a dead account only what is local is left. */
	if (!sum->is_account)
		return sum->elements == 0
			       ? MBJ_OK
			       : wrong(err, "records are of no account");
	if (!mbj_digest_equal(&sum->digest, &a->digest) ||
	    sum->mailboxes != a->mailbox_count ||
	    sum->subscriptions != a->subscription_count)
		return wrong(err, "the records of an account do not sum to its "
				  "digest and counts");
	if (sum->is_gathering)
		rc = gather_settle(&sum->gather, err);
	if (rc == MBJ_OK)
		rc = gather_judge(&sum->gather, a, err);
	if (rc == MBJ_OK && !orphans_are_good(sum))
		rc = wrong(err, "a mailbox has messages that wait to be "
				"reaped");
	return rc;
}
