/*
 * What a mailbox holds: pages of its messages; and what went.
 */
#include "dispatch.h"

#include <mbj/check.h>
#include <mbj/client.h>

enum { PAGE_SIZE_MAX = 8 << 20 };

static enum mbj_rc content_find(struct mbj_txn *txn,
				const struct wire_message *request,
				struct wire_message *answer,
				struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_get(txn, request->account_id, request->mailbox_id,
				 &mailbox, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_content_get(txn, request->account_id, mailbox.id,
					 &answer->content, err);
	return rc;
}

/* As many as the answer may have, from a UID on. */
static enum mbj_rc page_list(struct mbj_txn *txn, bool has_guids,
			     const struct wire_message *request,
			     struct wire_message *answer, struct mbj_buf *list,
			     struct mbj_error *err)
{
	uint32_t limit = request->limit;
	struct mbj_scan scan = {0};
	struct mbj_message message;
	enum mbj_rc rc;

	if (limit == 0 || limit > MBJ_CLIENT_MESSAGES_MAX)
		limit = MBJ_CLIENT_MESSAGES_MAX;
	rc = mbj_scan_messages(txn, request->account_id, answer->content.series,
			       request->uid ? request->uid : 1, &scan, err);
	while (rc == MBJ_OK && answer->count < limit &&
	       list->n < PAGE_SIZE_MAX && list->failed == MBJ_OK) {
		rc = mbj_scan_next_message(&scan, &message, err);
		if (rc < 0)
			break;
		if (!has_guids)
			message.guid = mbj_bytes_make(NULL, 0);
		wire_message_encode(list, &message);
		answer->count++;
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc dispatch_messages(struct mbj_txn *txn, bool has_guids,
			      const struct wire_message *request,
			      struct wire_message *answer, struct mbj_buf *list,
			      struct mbj_error *err)
{
	enum mbj_rc rc = content_find(txn, request, answer, err);

	if (rc < 0)
		return rc;
	if (request->rev != 0 && request->rev != answer->content.rev)
		return mbj_error_set(err, MBJ_ECONFLICT,
				     "the messages of the mailbox have changed "
				     "since its first page was read");
	return page_list(txn, has_guids, request, answer, list, err);
}

enum mbj_rc dispatch_vanished(struct mbj_txn *txn,
			      const struct wire_message *request,
			      struct wire_message *answer, struct mbj_buf *list,
			      struct mbj_error *err)
{
	enum mbj_rc rc = content_find(txn, request, answer, err);

	if (rc == MBJ_OK)
		rc = mbj_txn_vanished(txn, request->account_id,
				      request->mailbox_id, request->modseq,
				      list, &answer->is_whole, err);
	answer->count = (uint32_t)mbj_uids_count(mbj_buf_view(list));
	return rc;
}
