/*
 * What a store says of itself, the service's part left out.
 */
#include <mbj/check.h>

#include "dispatch.h"
#include "store_impl.h"

enum { PARKED_MAX = 100000, PARKED_BYTES_MAX = 128 << 20 };

static enum mbj_rc accounts_count(struct mbj_txn *txn, uint64_t *ret_count,
				  struct mbj_error *err)
{
	struct mbj_account account;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		*ret_count += rc == MBJ_OK;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* A copy in bytes; where it is, is settled when all are there. */
static struct mbj_bytes bytes_keep(struct mbj_buf *bytes, struct mbj_bytes b)
{
	struct mbj_bytes kept = {NULL, b.n};

	mbj_buf_put_bytes(bytes, b);
	return kept;
}

static void bytes_settle(const struct mbj_buf *bytes, struct mbj_bytes *b,
			 size_t *at)
{
	if (b->n > 0)
		b->p = bytes->p + *at;
	*at += b->n;
}

/* The account's name, kept; none where the store lacks it. */
static struct mbj_bytes name_keep(struct mbj_txn *txn, struct mbj_buf *bytes,
				  struct mbj_id id)
{
	struct mbj_account account;

	if (mbj_txn_account_get(txn, id, &account, NULL) == MBJ_OK)
		return bytes_keep(bytes, account.name);
	return mbj_bytes_make(NULL, 0);
}

static enum mbj_rc parked_add(struct mbj_txn *txn, struct mbj_client_status *s,
			      const struct mbj_parked *parked, size_t *capacity,
			      struct mbj_error *err)
{
	struct mbj_client_parked *p;
	void *array = s->parked;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, capacity, s->parked_count + 1,
			       sizeof(*p), PARKED_MAX, err);
	if (rc < 0)
		return rc;
	s->parked = array;
	p = &s->parked[s->parked_count++];
	p->parked = *parked;
	p->parked.reason = bytes_keep(&s->bytes, parked->reason);
	p->name = name_keep(txn, &s->bytes, parked->account);
	return MBJ_OK;
}

static enum mbj_rc parked_list(struct mbj_txn *txn, struct mbj_client_status *s,
			       struct mbj_error *err)
{
	struct mbj_parked parked;
	struct mbj_scan scan = {0};
	size_t capacity = 0;
	enum mbj_rc rc;

	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_parked(&scan, &parked, err);
		if (rc == MBJ_OK)
			rc = parked_add(txn, s, &parked, &capacity, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc skipped_add(struct mbj_txn *txn, struct mbj_client_status *s,
			       const struct mbj_skipped *skipped,
			       size_t *capacity, struct mbj_error *err)
{
	void *array = s->skipped;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&array, capacity, s->skipped_count + 1,
			       sizeof(*s->skipped), PARKED_MAX, err);
	if (rc < 0)
		return rc;
	s->skipped = array;
	s->skipped[s->skipped_count++] = (struct mbj_client_skipped){
		*skipped, name_keep(txn, &s->bytes, skipped->account)};
	return MBJ_OK;
}

static enum mbj_rc skipped_list(struct mbj_txn *txn,
				struct mbj_client_status *s,
				struct mbj_error *err)
{
	struct mbj_skipped skipped;
	struct mbj_scan scan = {0};
	size_t capacity = 0;
	enum mbj_rc rc;

	rc = mbj_scan_parked(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_skipped(&scan, &skipped, err);
		if (rc == MBJ_OK)
			rc = skipped_add(txn, s, &skipped, &capacity, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* What both lists borrow is where it is from now on. */
static enum mbj_rc lists_settle(struct mbj_client_status *s,
				struct mbj_error *err)
{
	enum mbj_rc rc = mbj_buf_ok(&s->bytes, err);
	size_t at = 0;

	for (size_t i = 0; rc == MBJ_OK && i < s->parked_count; i++) {
		bytes_settle(&s->bytes, &s->parked[i].parked.reason, &at);
		bytes_settle(&s->bytes, &s->parked[i].name, &at);
	}
	for (size_t i = 0; rc == MBJ_OK && i < s->skipped_count; i++)
		bytes_settle(&s->bytes, &s->skipped[i].name, &at);
	return rc;
}

static enum mbj_rc intents_count(struct mbj_store *store, struct mbj_txn *txn,
				 struct mbj_client_status *s,
				 struct mbj_error *err)
{
	struct mbj_lsn first = {UINT64_MAX};
	struct mbj_intent intent;
	struct mbj_scan scan = {0};
	enum mbj_rc rc;

	rc = mbj_scan_intents(txn, MBJ_ID_ROOT, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		if (rc == MBJ_OK &&
		    standing_is_idle(&store->standing, intent.id))
			continue;
		s->intent_count += rc == MBJ_OK;
		/* Clocks may go back, groups do not. */
		if (rc == MBJ_OK && intent.lsn.v < first.v) {
			first = intent.lsn;
			s->intent_oldest = intent.time;
		}
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc dispatch_status(struct mbj_store *store,
			    struct mbj_client_status *ret_status,
			    struct mbj_error *err)
{
	struct mbj_client_status s = {0};
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	mbj_buf_init(&s.bytes, PARKED_BYTES_MAX);
	s.identity = mbj_store_identity_copy(store);
	s.end = mbj_store_end(store);
	s.recovery = store_recovery_copy(store);
	s.space = mbj_store_space_get(store);
	s.house = mbj_store_house_get(store);
	rc = mbj_log_usage_get(store->sys, store->journal_dir, &s.usage, err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_watermark(txn, &s.applied, err);
	if (rc == MBJ_OK)
		rc = accounts_count(txn, &s.account_count, err);
	if (rc == MBJ_OK)
		rc = intents_count(store, txn, &s, err);
	if (rc == MBJ_OK)
		rc = parked_list(txn, &s, err);
	if (rc == MBJ_OK)
		rc = skipped_list(txn, &s, err);
	if (rc == MBJ_OK)
		rc = lists_settle(&s, err);
	mbj_txn_abort(&txn);
	if (rc < 0)
		mbj_client_status_done(&s);
	else
		*ret_status = s;
	return rc;
}
