/*
 * What whoever is about to change an account asks first, and an intent with it,
 * where the answers are those of the usual case: one round trip for three.
 */
#include "dispatch.h"
#include "store_impl.h"

enum mbj_rc dispatch_settled_check(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_bytes producer,
				   struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	enum mbj_rc rc = mbj_scan_intents(txn, account, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		if (rc == MBJ_OK &&
		    (producer.n == 0 ||
		     mbj_bytes_equal(intent.producer, producer)))
			rc = mbj_error_set(err, MBJ_ECONFLICT,
					   "the account has intents that are "
					   "open");
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* It announces a change of messages of that mailbox, and of no other. */
static bool edit_is_of(const struct mbj_edit *edit, struct mbj_id mailbox)
{
	return edit->kind == MBJ_EDIT_MESSAGES &&
	       edit->stage == MBJ_STAGE_INTENT && edit->message_count == 1 &&
	       mbj_id_equal(edit->messages[0].mailbox, mailbox);
}

/*
 * What is there is of before the intent, or, where that is known again, of
 * now.  Whether one is open is the batch's to judge: two at once see none.
 */
enum mbj_rc dispatch_begin(struct mbj_store *store,
			   const struct wire_message *request,
			   struct wire_message *answer, struct mbj_error *err)
{
	const struct mbj_edit *edit = &request->edit;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(store, &txn, err);

	if (rc == MBJ_OK)
		rc = dispatch_mailbox_find(txn, edit->account, request, answer,
					   err);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK && !edit_is_of(edit, answer->mailbox.id))
		rc = mbj_error_set(err, MBJ_ECONFLICT,
				   "another mailbox is at that path, or it is "
				   "not an intent about its messages");
	return rc < 0 ? rc : store_begin(store, edit, &answer->outcome, err);
}
