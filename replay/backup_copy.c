/*
 * Bringing a replica to where another store is, and proving it; see
 * backup_copy.h.
 *
 * Invariants:
 *   1. contents are judged by the state of the copy at its own last group: the
 *      source's may be further on, and have dropped what was expunged since;
 *   2. what fails here is an error, what fails at the source is a content that
 *      is lost, unless the source has come further meanwhile.
 *
 * Threads: the caller's, alone with the copy.
 */
#include "backup_copy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <mbj/blob.h>
#include <mbj/check.h>
#include <mbj/collect.h>
#include <mbj/message.h>
#include <mbj/replay.h>
#include <mbj/skips.h>

#include "backup_stale.h"
#include "quarantine_run.h"

/*
 * Between two attempts the source was collected, which its owner does alone
 * with it: more than a few times in one run is no way to use a store.
 */
enum { ATTEMPTS_MAX = 8 };

/* The store's contents bound it. */
enum { CONTENTS_MAX = 1 << 30 };

/* Contents that the copy's messages have, one by one. */
struct contents {
	struct backup_copy *copy;
	struct mbj_blobs *from;
	struct mbj_blobs *to;
	uint64_t lost;
	struct mbj_error why;	    /* of the first one lost */
	struct mbj_error left;	    /* of a log that could not be had */
	struct mbj_hash *lost_list; /* ascending */
	size_t lost_capacity;
};

static enum mbj_rc content_is_good(const struct contents *c,
				   const struct mbj_hash *blob, uint64_t size,
				   bool *ret_is_good, struct mbj_error *err)
{
	struct mbj_error why;
	enum mbj_rc rc;

	rc = mbj_blob_has(c->to, blob, size, ret_is_good, err);
	if (rc < 0 || !*ret_is_good || !c->copy->is_deep)
		return rc;
	rc = mbj_blob_verify(c->to, blob, size, &why);
	*ret_is_good = rc == MBJ_OK;
	if (rc == MBJ_OK || rc == MBJ_ECORRUPT)
		return MBJ_OK;
	if (err != NULL)
		*err = why;
	return rc;
}

/* Neither here nor at the source. */
static enum mbj_rc content_lose(struct contents *c, const struct mbj_hash *blob,
				const struct mbj_error *why,
				struct mbj_error *err)
{
	void *list = c->lost_list;
	enum mbj_rc rc;

	rc = mbj_array_reserve(&list, &c->lost_capacity, c->lost + 1,
			       sizeof(*c->lost_list), CONTENTS_MAX, err);
	c->lost_list = list;
	if (rc < 0)
		return rc;
	if (c->lost == 0)
		c->why = *why;
	c->lost_list[c->lost++] = *blob;
	return MBJ_OK;
}

/*
 * From the source, in place of what is damaged here: that goes first, as what
 * has name and size is taken for the content.
 */
static enum mbj_rc content_mend(struct contents *c, const struct mbj_hash *blob,
				uint64_t size, struct mbj_error *err)
{
	struct mbj_error why;
	struct mbj_error there;
	enum mbj_rc rc;

	rc = mbj_blob_verify(c->from, blob, size, &there);
	if (rc == MBJ_ENOMEM) {
		if (err != NULL)
			*err = there;
		return rc;
	}
	if (rc < 0)
		return content_lose(c, blob, &there, err);
	rc = mbj_blob_remove(c->to, blob, &why);
	if (rc == MBJ_OK || rc == MBJ_ENOTFOUND)
		rc = mbj_blob_duplicate(c->from, c->to, blob, size, &why);
	c->copy->result->mended += rc == MBJ_OK;
	if (rc < 0 && err != NULL)
		*err = why;
	return rc;
}

static enum mbj_rc contents_scan(struct contents *c, struct mbj_txn *txn,
				 struct mbj_error *err)
{
	struct mbj_backup_result *result = c->copy->result;
	struct mbj_scan scan = {0};
	struct mbj_hash blob;
	uint64_t count, size;
	bool is_good;
	enum mbj_rc rc;

	rc = mbj_scan_blobs(txn, false, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_blob(&scan, &blob, &count, &size, err);
		if (rc < 0 || count == 0)
			continue;
		result->contents++;
		result->size += size;
		rc = content_is_good(c, &blob, size, &is_good, err);
		if (rc == MBJ_OK && !is_good)
			rc = content_mend(c, &blob, size, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Every content of every message, and mended where it was not there. */
static enum mbj_rc contents_check(struct contents *c, struct mbj_error *err)
{
	struct mbj_backup_result *result = c->copy->result;
	struct mbj_store *store = c->copy->store;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc;

	result->contents = 0;
	result->size = 0;
	c->lost = 0;
	rc = mbj_store_blobs(store, &c->to, err);
	if (rc == MBJ_OK)
		rc = mbj_store_blobs_take(mbj_store_sys(store), c->copy->source,
					  &c->from, &c->left, err);
	if (rc == MBJ_OK)
		rc = mbj_store_read(store, &txn, err);
	if (rc == MBJ_OK)
		rc = contents_scan(c, txn, err);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK)
		rc = mbj_blobs_sync(c->to, err);
	mbj_blobs_close(&c->from);
	return rc;
}

/* A copy that has nothing, of a journal that does not begin at group 1. */
static enum mbj_rc beginning_take(struct backup_copy *copy,
				  struct mbj_error *err)
{
	struct mbj_snapshot_info info;
	struct mbj_identity source;
	enum mbj_rc rc;

	if (!mbj_id_is_root(mbj_store_identity(copy->store)->lineage))
		return MBJ_OK;
	rc = mbj_identity_load(mbj_store_sys(copy->store), copy->source,
			       &source, err);
	if (rc < 0 || source.anchor.first.v <= 1)
		return rc;
	return mbj_replica_seed(copy->store, copy->source, copy->until, &info,
				err);
}

/*
 * No replay comes that would: a state that was made anew has aside who was to
 * be given up again, or waits for one that was.
 */
static enum mbj_rc waiting_take(const struct backup_copy *copy,
				struct mbj_error *err)
{
	const struct mbj_retry_options options = MBJ_RETRY_OPTIONS_INIT;
	struct mbj_retry_result retried;
	uint64_t skipped;
	enum mbj_rc rc;

	do {
		retried = (struct mbj_retry_result){.groups = 0};
		rc = skips_carry_out(copy->store, &skipped, err);
		if (rc == MBJ_OK)
			rc = waiting_retry(copy->store, &options, false,
					   &retried, err);
	} while (rc == MBJ_OK && skipped + retried.accounts_healed > 0);
	return rc;
}

static enum mbj_rc groups_take(struct backup_copy *copy,
			       struct mbj_replay_result *ret_replayed,
			       struct mbj_error *err)
{
	struct mbj_replay_options options = MBJ_REPLAY_OPTIONS_INIT;
	enum mbj_rc rc;

	if (copy->is_taken) {
		ret_replayed->applied = mbj_store_end(copy->store).lsn;
		return waiting_take(copy, err);
	}
	options.until = copy->until;
	options.is_duplicating = true;
	rc = beginning_take(copy, err);
	if (rc == MBJ_OK)
		rc = mbj_skips_adopt(copy->store, copy->source, err);
	if (rc == MBJ_OK)
		rc = mbj_replay_journal(copy->store, copy->source, &options,
					ret_replayed, err);
	if (rc == MBJ_OK)
		rc = backup_stale_mend(copy, ret_replayed, err);
	/* What deleted mailboxes held need not be there, nor at the source. */
	if (rc == MBJ_OK)
		rc = mbj_store_reap(copy->store, err);
	return rc;
}

/* Has the source a group that this copy has not looked at? */
static enum mbj_rc source_is_further(const struct backup_copy *copy,
				     struct mbj_lsn applied, bool *ret_is,
				     struct mbj_error *err)
{
	struct mbj_log_reader *reader = NULL;
	struct mbj_log_end end = {{0}, {{0}}};
	enum mbj_rc rc;

	*ret_is = false;
	if (copy->until.v != 0)
		return MBJ_OK;
	rc = mbj_store_log_reader(mbj_store_sys(copy->store), copy->source,
				  &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_end(reader, &end, err);
	mbj_log_reader_close(&reader);
	*ret_is = rc == MBJ_OK && end.lsn.v > applied.v;
	return rc;
}

static enum mbj_rc message_lost(const struct mbj_message *message,
				struct mbj_error *err)
{
	char text[MBJ_BLOB_TEXT_SIZE];

	mbj_blob_print(&message->blob, text);
	return mbj_error_set(err, MBJ_ECORRUPT,
			     "the content %s of message UID %lu is lost", text,
			     (unsigned long)message->uid);
}

static int hash_order(const void *a, const void *b)
{
	return memcmp(a, b, MBJ_HASH_SIZE);
}

static bool content_is_lost(const struct contents *c,
			    const struct mbj_hash *blob)
{
	return bsearch(blob, c->lost_list, c->lost, sizeof(*blob),
		       hash_order) != NULL;
}

static enum mbj_rc mailbox_lost(const struct contents *c, struct mbj_txn *txn,
				struct mbj_id account, struct mbj_id mailbox,
				struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_message message;
	struct mbj_content content;
	enum mbj_rc rc;

	rc = mbj_txn_content_get(txn, account, mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_messages(txn, account, content.series, 1, &scan,
				       err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc == MBJ_OK && content_is_lost(c, &message.blob))
			rc = message_lost(&message, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* A group that waits, or was given up, may have expunged what it needs. */
static enum mbj_rc account_is_aside(struct mbj_txn *txn, struct mbj_id account,
				    bool *ret_is, struct mbj_error *err)
{
	struct mbj_skipped skipped;
	struct mbj_parked parked;
	enum mbj_rc rc = mbj_txn_parked_get(txn, account, &parked, err);

	*ret_is = rc == MBJ_OK;
	return rc == MBJ_ENOTFOUND ? mbj_txn_skipped_seek(txn, account,
							  &skipped, ret_is, err)
				   : rc;
}

static enum mbj_rc account_lost(const struct contents *c, struct mbj_txn *txn,
				struct mbj_id account, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_mailbox mailbox;
	bool is_aside = false;
	enum mbj_rc rc = account_is_aside(txn, account, &is_aside, err);

	if (rc < 0 || is_aside)
		return rc;
	rc = mbj_scan_mailboxes(txn, account, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc == MBJ_OK)
			rc = mailbox_lost(c, txn, account, mailbox.id, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* MBJ_ECORRUPT: an account that is what it is to be needs what is lost. */
static enum mbj_rc accounts_lost(const struct contents *c,
				 struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_account account;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(c->copy->store, &txn, err);

	if (rc == MBJ_OK)
		rc = mbj_scan_accounts(txn, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_account(&scan, &account, err);
		if (rc < 0)
			break;
		rc = account_lost(c, txn, account.id, err);
		if (rc < 0)
			(void)mbj_error_prefix(err, rc, "account \"%.*s\"",
					       (int)account.name.n,
					       (const char *)account.name.p);
	}
	mbj_scan_done(&scan);
	mbj_txn_abort(&txn);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc contents_lost(const struct contents *c,
				 struct mbj_lsn applied, struct mbj_error *err)
{
	if (err != NULL) {
		*err = c->why;
		/* Missing or bent: what was to be there is not to be had. */
		err->rc = MBJ_ECORRUPT;
	}
	if (c->left.rc < 0)
		return mbj_error_prefix(
			err, MBJ_ECORRUPT,
			"%" PRIu64 " contents that messages at group %" PRIu64
			" have are not in their files; %s/blobs/log.* may have "
			"them, and the store cannot be opened for that (%s); "
			"the first",
			c->lost, applied.v, c->copy->source, c->left.message);
	return mbj_error_prefix(err, MBJ_ECORRUPT,
				"%" PRIu64 " contents that messages at group "
				"%" PRIu64 " have are lost; the first",
				c->lost, applied.v);
}

static enum mbj_rc skipped_count(const struct backup_copy *copy,
				 struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(copy->store, &txn, err);

	if (rc == MBJ_OK)
		rc = mbj_txn_skipped_count(txn, &copy->result->accounts_skipped,
					   err);
	mbj_txn_abort(&txn);
	return rc;
}

static enum mbj_rc copy_run(struct backup_copy *copy, struct contents *contents,
			    struct mbj_error *err)
{
	struct mbj_replay_result replayed = {0};
	bool is_again = true;
	enum mbj_rc rc = MBJ_OK;

	for (int i = 0; rc == MBJ_OK && is_again; i++) {
		is_again = false;
		rc = groups_take(copy, &replayed, err);
		if (rc == MBJ_OK)
			rc = contents_check(contents, err);
		if (rc == MBJ_OK && contents->lost > 0 && i < ATTEMPTS_MAX)
			rc = source_is_further(copy, replayed.applied,
					       &is_again, err);
	}
	if (rc == MBJ_OK)
		rc = skipped_count(copy, err);
	if (rc < 0)
		return rc;
	copy->result->accounts_parked = replayed.accounts_parked;
	copy->result->end = replayed.applied;
	copy->result->contents_lost = contents->lost;
	if (contents->lost == 0 || copy->is_taken)
		return MBJ_OK;
	if (replayed.accounts_parked == 0 &&
	    copy->result->accounts_skipped == 0)
		return contents_lost(contents, replayed.applied, err);
	/* What is restored as a replica may have it from its source yet. */
	if (copy->until.v != 0 && !copy->is_last)
		return MBJ_OK;
	return accounts_lost(contents, err);
}

enum mbj_rc backup_copy_run(struct backup_copy *copy, struct mbj_error *err)
{
	struct contents contents = {.copy = copy};
	enum mbj_rc rc = copy_run(copy, &contents, err);

	copy->lost_list = contents.lost_list;
	copy->lost_count = contents.lost;
	return rc;
}

void backup_copy_done(struct backup_copy *copy)
{
	mbj_free(copy->lost_list);
	copy->lost_list = NULL;
	copy->lost_count = 0;
}

enum mbj_rc backup_copy_read(const struct backup_copy *copy,
			     struct mbj_log_end *ret_end, struct mbj_error *err)
{
	const struct mbj_anchor *anchor =
		&mbj_store_identity(copy->store)->anchor;
	struct mbj_log_end end = mbj_store_end(copy->store);
	struct mbj_log_reader *reader = NULL;
	struct mbj_lsn next = {copy->from.v + 1};
	struct mbj_group group;
	enum mbj_rc rc;

	*ret_end = end;
	if (next.v < anchor->first.v)
		next = anchor->first;
	rc = mbj_store_log_reader_own(copy->store, &reader, err);
	if (rc == MBJ_OK)
		rc = mbj_log_reader_seek(reader, next, err);
	while (rc == MBJ_OK) {
		rc = mbj_log_reader_next(reader, &group, err);
		if (rc == MBJ_OK && !group.is_body_good)
			rc = mbj_log_reader_fault(reader, &group, err);
		if (rc == MBJ_OK)
			next.v = group.header.lsn.v + 1;
	}
	mbj_log_reader_close(&reader);
	if (rc != MBJ_ENOTFOUND)
		return rc;
	/* The reader compares the last chain value with the published one. */
	MBJ_ASSERT(next.v == end.lsn.v + 1);
	return MBJ_OK;
}
