/*
 * What whoever is about to change an account asks first, and an intent with it,
 * where the answers are those of the usual case: one round trip for three.
 *
 * An intent about the messages of one mailbox may be one that stands
 * (standing.h): then nothing is written, and nobody waits for the disk.
 */
#include <mbj/check.h>
#include <mbj/doubt.h>

#include "dispatch.h"
#include "store_impl.h"

enum { REUSE_GROWTH = 4096 }; /* bytes of a change that comes of it, at least */

/* except: it stood until now, and is the asker's. */
static enum mbj_rc settled_check(struct mbj_store *store, struct mbj_txn *txn,
				 struct mbj_id account,
				 struct mbj_bytes producer,
				 struct mbj_id except, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	enum mbj_rc rc = mbj_scan_intents(txn, account, &scan, err);

	while (rc == MBJ_OK) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		if (rc == MBJ_OK && !mbj_id_equal(intent.id, except) &&
		    (producer.n == 0 ||
		     mbj_bytes_equal(intent.producer, producer)) &&
		    !standing_is_idle(&store->standing, intent.id))
			rc = mbj_error_set(err, MBJ_ECONFLICT,
					   "the account has intents that are "
					   "open");
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc dispatch_settled_check(struct mbj_store *store, struct mbj_txn *txn,
				   struct mbj_id account,
				   struct mbj_bytes producer,
				   struct mbj_error *err)
{
	return settled_check(store, txn, account, producer, MBJ_ID_ROOT, err);
}

/* ------------------------------------------------------------ announcing */

bool dispatch_is_announcement(const struct mbj_edit *edit)
{
	return edit->kind == MBJ_EDIT_MESSAGES &&
	       edit->stage == MBJ_STAGE_INTENT && edit->message_count == 1 &&
	       edit->messages[0].kind == MBJ_MESSAGE_DOUBT;
}

/* It announces a change of messages of that mailbox, and of no other. */
static bool edit_is_of(const struct mbj_edit *edit, struct mbj_id mailbox)
{
	return edit->kind == MBJ_EDIT_MESSAGES &&
	       edit->stage == MBJ_STAGE_INTENT && edit->message_count == 1 &&
	       mbj_id_equal(edit->messages[0].mailbox, mailbox);
}

static struct standing_place place_of(const struct mbj_edit *edit,
				      struct mbj_id account, uint64_t asker)
{
	return (struct standing_place){
		.account = account,
		.mailbox = edit->messages[0].mailbox,
		.producer = edit->producer,
		.asker = asker,
		.is_any = dispatch_is_announcement(edit),
	};
}

/* Any edit would be refused here, for a reason that the batch is to tell. */
static bool store_is_closed(struct mbj_store *store)
{
	struct mbj_store_space space;

	if (mbj_store_identity_copy(store).role != MBJ_STORE_PRIMARY ||
	    store_check(store, NULL) < 0)
		return true;
	space = store_space_look(store);
	return store_space_check(store, &space, REUSE_GROWTH, false, NULL) < 0;
}

/* It asks for nothing that one of before has not. */
static bool edit_can_reuse(const struct mbj_edit *edit)
{
	return dispatch_is_announcement(edit) && mbj_id_is_root(edit->intent) &&
	       !edit->has_if_in_state && !edit->is_dry_run &&
	       edit->producer.n > 0;
}

/* It is open, and about the messages of that mailbox. */
static enum mbj_rc intent_is_there(struct mbj_txn *txn, struct mbj_id account,
				   struct mbj_id id, struct mbj_id mailbox,
				   bool *ret_is_there, struct mbj_error *err)
{
	struct mbj_intent_view view;
	struct mbj_intent intent;
	struct mbj_doubt doubt;
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_intent_seek(txn, account, id, &intent, &is_found, err);
	*ret_is_there = rc == MBJ_OK && is_found &&
			mbj_intent_read(intent.body, &view, NULL) == MBJ_OK &&
			view.kind == MBJ_EDIT_MESSAGES &&
			view.doubt_count == 1 &&
			mbj_doubt_next(&view.doubts, &doubt) &&
			mbj_id_equal(doubt.mailbox, mailbox);
	return rc;
}

/*
 * It is there, and, where it is_sole, nothing else of that producer is open:
 * as of now, when nobody else is given one any more.
 */
static enum mbj_rc reuse_check(struct mbj_store *store,
			       const struct standing_place *place,
			       struct mbj_id id, bool is_sole,
			       bool *ret_is_there, struct mbj_error *err)
{
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(store, &txn, err);

	*ret_is_there = false;
	if (rc == MBJ_OK)
		rc = intent_is_there(txn, place->account, id, place->mailbox,
				     ret_is_there, err);
	if (rc == MBJ_OK && *ret_is_there && is_sole)
		rc = settled_check(store, txn, place->account, place->producer,
				   id, err);
	mbj_txn_abort(&txn);
	return rc;
}

/*
 * Announced by an intent that stands: *ret_intent.  ROOT: none does, and the
 * batch is to announce it, or to refuse.
 * Returns: MBJ_ECONFLICT, something else of that producer is in doubt, and it
 * is_sole.
 */
static enum mbj_rc intent_reuse(struct mbj_store *store,
				const struct standing_place *place,
				const struct mbj_edit *edit, bool is_sole,
				struct mbj_id *ret_intent,
				struct mbj_error *err)
{
	struct standing *standing = &store->standing;
	enum standing_gift gift = STANDING_NONE;
	struct mbj_id id;
	bool is_there;
	enum mbj_rc rc;

	*ret_intent = MBJ_ID_ROOT;
	if (edit_can_reuse(edit) && !store_is_closed(store))
		gift = standing_reuse(standing, place, edit->request, &id);
	if (gift == STANDING_NONE)
		return MBJ_OK;
	rc = reuse_check(store, place, id, is_sole, &is_there, err);
	if (rc == MBJ_OK && is_there)
		*ret_intent = id;
	else if (rc == MBJ_OK)
		standing_forget(standing, id);
	else if (gift == STANDING_GIVEN)
		standing_return(standing, id);
	return rc;
}

static void outcome_of(struct mbj_outcome *outcome,
		       const struct mbj_account *account, struct mbj_id intent)
{
	*outcome = (struct mbj_outcome){
		.account = account->id,
		.old_state = account->lsn,
		.new_state = account->lsn,
		.intent = intent,
	};
}

/* By a new one, in a batch. */
static enum mbj_rc intent_make(struct mbj_store *store,
			       const struct standing_place *place,
			       const struct mbj_edit *edit, bool is_sole,
			       struct mbj_outcome *ret_outcome,
			       struct mbj_error *err)
{
	uint64_t serial =
		standing_announce(&store->standing, place, mbj_monotonic_ms());
	enum mbj_rc rc;

	rc = is_sole ? store_begin(store, edit, ret_outcome, err)
		     : store_submit(store, edit, store_removals(store),
				    ret_outcome, err);
	standing_announced(&store->standing, serial,
			   rc == MBJ_OK ? ret_outcome->intent : MBJ_ID_ROOT,
			   edit->request);
	return rc;
}

/*
 * What is there is of before the intent, or, where that is known again, of
 * now.  Whether one is open is the batch's to judge: two at once see none.
 */
enum mbj_rc dispatch_begin(struct mbj_store *store, uint64_t asker,
			   const struct wire_message *request,
			   struct wire_message *answer, struct mbj_error *err)
{
	const struct mbj_edit *edit = &request->edit;
	struct mbj_id intent = MBJ_ID_ROOT;
	struct standing_place place;
	struct mbj_txn *txn = NULL;
	enum mbj_rc rc = mbj_store_read(store, &txn, err);

	if (rc == MBJ_OK)
		rc = dispatch_mailbox_find(txn, edit->account, request, answer,
					   err);
	if (rc == MBJ_OK && !edit_is_of(edit, answer->mailbox.id))
		rc = mbj_error_set(err, MBJ_ECONFLICT,
				   "another mailbox is at that path, or it is "
				   "not an intent about its messages");
	mbj_txn_abort(&txn);
	if (rc < 0)
		return rc;
	place = place_of(edit, answer->account.id, asker);
	rc = intent_reuse(store, &place, edit, true, &intent, err);
	if (rc < 0)
		return rc;
	if (mbj_id_is_root(intent))
		return intent_make(store, &place, edit, true, &answer->outcome,
				   err);
	outcome_of(&answer->outcome, &answer->account, intent);
	return MBJ_OK;
}

/* Which account, and whether the mailbox is there: else the batch tells. */
static enum mbj_rc announcement_find(struct mbj_txn *txn,
				     const struct mbj_edit *edit,
				     struct mbj_account *ret_account,
				     struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_account_find(txn, edit->account, ret_account, err);
	if (rc == MBJ_OK)
		rc = mbj_txn_mailbox_seek(txn, ret_account->id,
					  edit->messages[0].mailbox, &mailbox,
					  &is_found, err);
	return rc == MBJ_OK && !is_found ? MBJ_ENOTFOUND : rc;
}

enum mbj_rc dispatch_announce(struct mbj_store *store, uint64_t asker,
			      const struct mbj_edit *edit,
			      struct mbj_outcome *ret_outcome,
			      struct mbj_error *err)
{
	struct mbj_id intent = MBJ_ID_ROOT;
	struct mbj_txn *txn = NULL;
	struct standing_place place;
	struct mbj_account account;
	enum mbj_rc rc = mbj_store_read(store, &txn, err);

	if (rc < 0)
		return rc;
	rc = announcement_find(txn, edit, &account, NULL);
	mbj_txn_abort(&txn);
	if (rc == MBJ_OK) {
		place = place_of(edit, account.id, asker);
		rc = intent_reuse(store, &place, edit, false, &intent, NULL);
	}
	if (rc < 0)
		return store_submit(store, edit, store_removals(store),
				    ret_outcome, err);
	if (mbj_id_is_root(intent))
		return intent_make(store, &place, edit, false, ret_outcome,
				   err);
	outcome_of(ret_outcome, &account, intent);
	return MBJ_OK;
}

enum mbj_rc dispatch_submit_as(struct dispatcher *dispatcher,
			       const struct mbj_edit *edit,
			       struct mbj_outcome *ret_outcome,
			       struct mbj_error *err)
{
	struct mbj_store *store = dispatcher->store;

	if (dispatch_is_announcement(edit))
		return dispatch_announce(store, dispatcher->asker, edit,
					 ret_outcome, err);
	return dispatch_submit(store, edit, ret_outcome, err);
}
