/*
 * What whoever is about to change an account asks first, and an intent with it,
 * where the answers are those of the usual case: one round trip for three.
 */
#include "dispatch.h"
#include "store_impl.h"

enum mbj_rc dispatch_settled_check(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	enum mbj_rc rc = mbj_scan_intents(txn, account, &scan, err);

	if (rc == MBJ_OK)
		rc = mbj_scan_next_intent(&scan, &intent, err);
	mbj_scan_done(&scan);
	if (rc == MBJ_ENOTFOUND)
		return MBJ_OK;
	return rc < 0 ? rc
		      : mbj_error_set(err, MBJ_ECONFLICT,
				      "the account has intents that are open");
}

/* It announces a change of messages of that mailbox, and of no other. */
static bool edit_is_of(const struct mbj_edit *edit, struct mbj_id mailbox)
{
	return edit->kind == MBJ_EDIT_MESSAGES &&
	       edit->stage == MBJ_STAGE_INTENT && edit->message_count == 1 &&
	       mbj_id_equal(edit->messages[0].mailbox, mailbox);
}

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
	if (rc == MBJ_OK)
		rc = dispatch_settled_check(txn, answer->account.id, err);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK && !edit_is_of(edit, answer->mailbox.id))
		rc = mbj_error_set(err, MBJ_ECONFLICT,
				   "another mailbox is at that path, or it is "
				   "not an intent about its messages");
	return rc < 0 ? rc
		      : dispatch_submit(store, edit, &answer->outcome, err);
}
