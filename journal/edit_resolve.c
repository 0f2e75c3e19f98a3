/*
 * Which open intents a list of the server's mailboxes settles, and how.  By
 * then the account's tree is the list's: each mailbox in doubt is compared
 * with what it was and with what it was to become.  What cannot be told from
 * that is left open, or called neither; nothing is guessed.
 *
 * Threads: as the transaction.
 */
#include <mbj/check.h>

#include "edit_intent.h"

/* What a comparison says; the first two are both true where nothing differs. */
struct verdict {
	bool is_done;	   /* all is as it was to become */
	bool is_undone;	   /* all is as it was */
	bool is_known;	   /* a list of mailboxes tells */
	bool has_messages; /* in doubt too */
};

/* What the list says of a mailbox that was there before it; NULL: nothing. */
static const struct mbj_change *change_find(const struct edit_work *work,
					    struct mbj_id id)
{
	const struct edit_draft *draft = &work->draft;
	uint32_t item = mbj_tree_find(draft->before, id);

	if (item == MBJ_NODE_NONE || draft->items[item].change == MBJ_NODE_NONE)
		return NULL;
	return &work->edit->changes[draft->items[item].change];
}

/* One that was to be made: the server may have given it an id of its own. */
static enum mbj_rc created_judge(struct edit_work *work,
				 const struct mbj_doubt *doubt,
				 struct mbj_bytes now, struct verdict *verdict,
				 struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	enum mbj_rc rc = MBJ_OK;

	if (now.n == 0)
		rc = mbj_txn_path_find(work->context->txn, &work->account,
				       doubt->after, &mailbox, err);
	/* A name of then may be none today. */
	if (rc < 0 && rc != MBJ_ENOTFOUND && rc != MBJ_EINVALID)
		return rc;
	if (rc < 0)
		verdict->is_done = false;
	else
		verdict->is_undone = false;
	if (now.n > 0 && !mbj_bytes_equal(now, doubt->after))
		verdict->is_done = false;
	return MBJ_OK;
}

static enum mbj_rc tree_judge(struct edit_work *work,
			      const struct mbj_doubt *doubt, uint8_t *scratch,
			      struct verdict *verdict, struct mbj_error *err)
{
	const struct mbj_change *change = change_find(work, doubt->mailbox);
	struct mbj_bytes now;
	enum mbj_rc rc;

	rc = edit_intent_path(work->context, work->account.id,
			      work->account.policy.delimiter, doubt->mailbox,
			      scratch, &now, err);
	if (rc < 0)
		return rc;
	if (doubt->before.n == 0) {
		rc = created_judge(work, doubt, now, verdict, err);
	} else {
		if (!mbj_bytes_equal(now, doubt->after))
			verdict->is_done = false;
		if (!mbj_bytes_equal(now, doubt->before))
			verdict->is_undone = false;
	}
	/* Made anew under its id: neither. */
	if (change != NULL && (change->has & MBJ_CHANGE_HAS_UIDVALIDITY) &&
	    doubt->uidvalidity != 0 &&
	    change->uidvalidity != doubt->uidvalidity)
		verdict->is_done = verdict->is_undone = false;
	/* A list does not show whether they moved. */
	if (doubt->what & (MBJ_DOUBT_APPEND | MBJ_DOUBT_MESSAGES))
		verdict->has_messages = true;
	return rc;
}

/*
 * Messages: a UIDNEXT that has not risen says that none came in; a mailbox
 * that is gone has none.
 */
static enum mbj_rc messages_judge(struct edit_work *work,
				  const struct mbj_doubt *doubt,
				  struct verdict *verdict,
				  struct mbj_error *err)
{
	const struct mbj_change *change = change_find(work, doubt->mailbox);
	struct mbj_mailbox mailbox;
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_mailbox_seek(work->context->txn, work->account.id,
				  doubt->mailbox, &mailbox, &is_found, err);
	if (rc < 0)
		return rc;
	verdict->is_done = false;
	if (!is_found) {
		verdict->is_undone = false;
		return MBJ_OK;
	}
	if (doubt->what != MBJ_DOUBT_APPEND || change == NULL ||
	    !(change->has & MBJ_CHANGE_HAS_UIDNEXT) ||
	    change->uidnext != doubt->uidnext)
		verdict->is_known = false;
	return MBJ_OK;
}

static enum mbj_rc intent_judge(struct edit_work *work,
				const struct mbj_intent *intent,
				uint8_t *scratch, struct verdict *ret_verdict,
				struct mbj_error *err)
{
	struct verdict verdict = {true, true, true, false};
	struct mbj_intent_view view;
	struct mbj_doubt doubt;
	enum mbj_rc rc;

	rc = mbj_intent_read(intent->body, &view, err);
	/* A later version's, say: it stays open, and is told of. */
	if (rc < 0)
		return MBJ_OK;
	if (view.kind == MBJ_EDIT_METADATA)
		verdict.is_known = false;
	while (rc == MBJ_OK && verdict.is_known &&
	       mbj_doubt_next(&view.doubts, &doubt))
		rc = view.kind == MBJ_EDIT_MESSAGES
			     ? messages_judge(work, &doubt, &verdict, err)
			     : tree_judge(work, &doubt, scratch, &verdict, err);
	/* Of mailboxes only what was not done says it of messages too. */
	if (verdict.has_messages && !(verdict.is_undone && !verdict.is_done))
		verdict.is_known = false;
	if (rc == MBJ_OK)
		*ret_verdict = verdict;
	return rc;
}

static enum mbj_rc intent_settle(struct edit_work *work, struct mbj_id id,
				 uint8_t *scratch, struct mbj_error *err)
{
	enum mbj_intent_result result = MBJ_INTENT_OTHER;
	struct mbj_intent intent;
	struct verdict verdict = {.is_known = false};
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_intent_seek(work->context->txn, work->account.id, id,
				 &intent, &is_found, err);
	if (rc == MBJ_OK && is_found)
		rc = intent_judge(work, &intent, scratch, &verdict, err);
	if (rc < 0 || !is_found)
		return rc;
	if (!verdict.is_known) {
		work->outcome.intents_left++;
		return MBJ_OK;
	}
	if (verdict.is_done && !verdict.is_undone)
		result = MBJ_INTENT_DONE;
	else if (verdict.is_undone && !verdict.is_done)
		result = MBJ_INTENT_FAILED;
	work->outcome.intents_closed++;
	return edit_outcome_emit(work, id, result, true, err);
}

/* All ids first: nothing is changed during a scan. */
static enum mbj_rc ids_list(struct edit_work *work, struct mbj_id **ret_ids,
			    size_t *ret_count, struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	size_t capacity = 0;
	void *ids = NULL;
	enum mbj_rc rc;

	rc = mbj_scan_intents(work->context->txn, work->account.id, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		if (rc == MBJ_OK)
			rc = mbj_array_reserve(&ids, &capacity, *ret_count + 1,
					       sizeof(struct mbj_id),
					       MBJ_NODE_MAX, err);
		if (rc != MBJ_OK)
			break;
		((struct mbj_id *)ids)[(*ret_count)++] = intent.id;
	}
	mbj_scan_done(&scan);
	*ret_ids = ids;
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

enum mbj_rc edit_resolve_run(struct edit_work *work, struct mbj_error *err)
{
	uint8_t *scratch =
		mbj_arena_alloc(work->context->arena, MBJ_INTENT_SIZE_MAX);
	struct mbj_id *ids = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	if (scratch == NULL)
		return mbj_error_nomem(err);
	rc = ids_list(work, &ids, &count, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = intent_settle(work, ids[i], scratch, err);
	mbj_free(ids);
	return rc;
}
