/*
 * Messages after a power cut: what their records say, and the bytes that they
 * stand for.
 */
#include <stdlib.h>
#include <string.h>

#include <mbj/blob.h>
#include <mbj/message.h>

#include "cut_lab.h"

enum { CONTENT_MAX = 20000, PIECE = 8192, LOG_SIZE = 16384 };

/* Any order of messages comes to the same sum; no two of them to nothing. */
static uint64_t message_hash(struct mbj_id account, struct mbj_id mailbox,
			     const struct mbj_message *message)
{
	struct test_rng rng;
	uint64_t seed = message->uid;
	uint64_t part;

	for (size_t i = 0; i < MBJ_HASH_SIZE; i += sizeof(part)) {
		memcpy(&part, message->blob.b + i, sizeof(part));
		test_rng_init(&rng, seed ^ part);
		seed = test_rng_next(&rng);
	}
	memcpy(&part, account.b, sizeof(part));
	seed ^= part;
	memcpy(&part, mailbox.b + MBJ_ID_SIZE - sizeof(part), sizeof(part));
	test_rng_init(&rng, seed ^ part);
	seed = test_rng_next(&rng) ^ message->modseq;
	test_rng_init(&rng, seed ^ (uint64_t)message->flags << 56 ^
				    (uint64_t)message->keywords.n << 40);
	return test_rng_next(&rng);
}

static enum mbj_rc content_read(struct mbj_store *store,
				const struct mbj_message *message,
				struct mbj_blobs **blobs, struct mbj_error *err)
{
	struct mbj_error why = {.rc = MBJ_OK};
	enum mbj_rc rc = MBJ_OK;

	if (*blobs == NULL)
		rc = mbj_store_blobs_read(mbj_store_sys(store),
					  mbj_store_dir(store), blobs, &why);
	if (rc == MBJ_OK)
		rc = mbj_blob_verify(*blobs, &message->blob, message->size,
				     &why);
	if (rc == MBJ_OK)
		return MBJ_OK;
	return mbj_error_set(err, MBJ_EIO, "the content of message %u: %.400s",
			     message->uid, why.message);
}

/* All messages of one mailbox, ascending by UID. */
static enum mbj_rc mailbox_add(struct mbj_store *store, struct mbj_txn *txn,
			       struct mbj_id account, struct mbj_id mailbox,
			       struct mbj_blobs **blobs,
			       struct cut_truth *truth, struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_content content;
	struct mbj_message message;
	enum mbj_rc rc;

	rc = mbj_txn_content_get(txn, account, mailbox, &content, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_messages(txn, account, content.series, 1, &scan,
				       err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc < 0)
			break;
		if (message.uid >= content.uidnext ||
		    message.modseq > content.modseq)
			rc = mbj_error_set(err, MBJ_EIO,
					   "message %u is beyond its mailbox",
					   message.uid);
		else
			rc = content_read(store, &message, blobs, err);
		truth->messages++;
		truth->message_sum += message_hash(account, mailbox, &message);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc cut_content_add(struct mbj_store *store, struct mbj_txn *txn,
			    struct mbj_id account, struct mbj_blobs **blobs,
			    struct cut_truth *truth, struct mbj_error *err)
{
	struct mbj_scan scan = {.txn = NULL};
	struct mbj_mailbox mailbox;
	enum mbj_rc rc;

	rc = mbj_scan_mailboxes(txn, account, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc == MBJ_OK)
			rc = mailbox_add(store, txn, account, mailbox.id, blobs,
					 truth, err);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc cut_content_put(struct mbj_store *store, unsigned number,
			    struct mbj_hash *ret_digest, uint64_t *ret_size,
			    struct mbj_error *err)
{
	static const size_t sizes[] = {60, 700, 5000, CONTENT_MAX};
	/* No static: a check may run while the workload is in here. */
	uint8_t *bytes = malloc(CONTENT_MAX);
	size_t n = sizes[number % 4] + number;
	struct mbj_blob_writer *writer = NULL;
	struct mbj_blobs *blobs = NULL;
	struct test_rng rng;
	enum mbj_rc rc;

	if (n > CONTENT_MAX)
		n = CONTENT_MAX - number;
	ck_assert_ptr_nonnull(bytes);
	test_rng_init(&rng, number);
	test_rng_fill(&rng, bytes, n);
	/* Half as much when it is packed, where it is. */
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)('a' + bytes[i] % 16);
	rc = mbj_store_blobs(store, &blobs, err);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_begin(blobs, &writer, err);
	for (size_t at = 0; rc == MBJ_OK && at < n; at += PIECE)
		rc = mbj_blob_writer_write(writer,
					   mbj_bytes_make(bytes + at,
							  n - at < PIECE
								  ? n - at
								  : PIECE),
					   err);
	free(bytes);
	if (rc == MBJ_OK)
		rc = mbj_blob_writer_finish(&writer, ret_digest, ret_size, err);
	/* Some producers settle what they stored by themselves. */
	if (rc == MBJ_OK && number % 2 == 0)
		rc = mbj_blob_settle(blobs, ret_digest, err);
	mbj_blob_writer_abort(&writer);
	return rc;
}

void cut_content_log(struct cut_lab *lab, struct cut_side *side)
{
	struct mbj_blobs *blobs = NULL;

	if (!lab->work->is_logged || side != &lab->primary)
		return;
	SITE_OK(mbj_store_blobs(side->store, &blobs, err));
	mbj_blobs_log(blobs, LOG_SIZE);
}

void cut_content_rest(struct cut_lab *lab, bool is_all)
{
	struct mbj_blobs *blobs = NULL;

	if (!lab->work->is_logged)
		return;
	SITE_OK(mbj_store_blobs(lab->primary.store, &blobs, err));
	SITE_OK(mbj_blobs_rest(blobs, is_all, err));
}
