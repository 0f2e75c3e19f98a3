/*
 * Requests for many things of one kind at once, which one by one would cost a
 * turn of two processes each: bytes of messages, what mailboxes hold.
 */
#include "dispatch.h"

#include <mbj/check.h>

#include "store_impl.h"

/*
 * All bytes of one, behind what the list has: compared with its digest as they
 * are read.  Returns: MBJ_ELIMIT where there is no room for them.
 */
static enum mbj_rc blob_put(struct mbj_blobs *blobs,
			    const struct mbj_hash *digest, struct mbj_buf *list,
			    struct mbj_error *err)
{
	struct mbj_blob_reader *reader = NULL;
	size_t max = list->max < WIRE_BLOBS_MAX ? list->max : WIRE_BLOBS_MAX;
	uint64_t size;
	size_t got = 0;
	enum mbj_rc rc;

	rc = mbj_blob_reader_open(blobs, digest, &reader, &size, err);
	if (rc == MBJ_OK && list->n + sizeof(uint32_t) + size > max)
		rc = mbj_error_set(err, MBJ_ELIMIT, "an answer is full");
	if (rc == MBJ_OK) {
		mbj_buf_put_u32(list, (uint32_t)size);
		mbj_buf_put_zero(list, (size_t)size);
		rc = mbj_buf_ok(list, err);
	}
	/* The call that reaches the end compares: this one. */
	if (rc == MBJ_OK)
		rc = mbj_blob_reader_read(reader, list->p + list->n - size,
					  (size_t)size, &got, err);
	MBJ_ASSERT(rc < 0 || got == size);
	mbj_blob_reader_close(&reader);
	return rc;
}

enum mbj_rc dispatch_blobs(struct mbj_store *store,
			   const struct wire_message *request,
			   struct mbj_buf *list, uint32_t *ret_count,
			   struct mbj_error *err)
{
	struct mbj_blobs *blobs;
	struct mbj_reader reader;
	enum mbj_rc rc;

	if (request->list.n != (size_t)request->count * MBJ_HASH_SIZE)
		return mbj_error_set(err, MBJ_EINVALID,
				     "digests of messages are %d bytes each",
				     (int)MBJ_HASH_SIZE);
	rc = mbj_store_blobs(store, &blobs, err);
	if (rc < 0)
		return rc;
	mbj_reader_init(&reader, request->list);
	for (*ret_count = 0; *ret_count < request->count; ++*ret_count) {
		struct mbj_hash digest = wire_read_hash(&reader);
		size_t before = list->n;

		/* What is wrong with it is told whoever asks for it alone. */
		if (blob_put(blobs, &digest, list, NULL) < 0) {
			list->n = before;
			break;
		}
	}
	return MBJ_OK;
}

/* The attributes of an account, by mailbox, as far as they are read. */
struct attr_walk {
	struct mbj_scan scan;
	struct mbj_attr attr;
	bool is_at_end;
};

static enum mbj_rc attr_step(struct attr_walk *walk, struct mbj_error *err)
{
	enum mbj_rc rc = mbj_scan_next_attr(&walk->scan, &walk->attr, err);

	walk->is_at_end = rc == MBJ_ENOTFOUND;
	return walk->is_at_end ? MBJ_OK : rc;
}

/* Bits of the kinds that a mailbox has.  Requires: ascending calls. */
static enum mbj_rc attr_kinds(struct attr_walk *walk, struct mbj_id mailbox,
			      uint8_t *ret_kinds, struct mbj_error *err)
{
	enum mbj_rc rc = MBJ_OK;

	*ret_kinds = 0;
	while (rc == MBJ_OK && !walk->is_at_end) {
		int order = mbj_id_compare(walk->attr.mailbox, mailbox);

		if (order > 0)
			break;
		if (order == 0)
			*ret_kinds |= (uint8_t)(1U << walk->attr.kind);
		rc = attr_step(walk, err);
	}
	return rc;
}

enum mbj_rc dispatch_contents(struct mbj_txn *txn, struct mbj_id account,
			      struct mbj_buf *list, uint32_t *ret_count,
			      struct mbj_error *err)
{
	struct attr_walk attrs = {.is_at_end = false};
	struct mbj_mailbox mailbox;
	struct mbj_content content;
	struct mbj_scan scan = {0};
	uint8_t kinds = 0;
	enum mbj_rc rc;

	rc = mbj_scan_account_attrs(txn, account, &attrs.scan, err);
	if (rc == MBJ_OK)
		rc = attr_step(&attrs, err);
	if (rc == MBJ_OK)
		rc = mbj_scan_mailboxes(txn, account, &scan, err);
	while (rc == MBJ_OK && list->failed == MBJ_OK) {
		rc = mbj_scan_next_mailbox(&scan, &mailbox, err);
		if (rc == MBJ_OK)
			rc = mbj_txn_content_get(txn, account, mailbox.id,
						 &content, err);
		if (rc == MBJ_OK)
			rc = attr_kinds(&attrs, mailbox.id, &kinds, err);
		if (rc < 0)
			break;
		mbj_buf_put_id(list, mailbox.id);
		wire_content_encode(list, &content);
		mbj_buf_put_u8(list, kinds);
		++*ret_count;
	}
	mbj_scan_done(&scan);
	mbj_scan_done(&attrs.scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}
