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

/* An open intent, and what a comparison says of it. */
struct verdict {
	struct mbj_id id;
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

static bool intent_creates(const struct mbj_intent *intent,
			   struct mbj_bytes path)
{
	struct mbj_intent_view view;
	struct mbj_doubt doubt;

	/* One that cannot be read is no witness. */
	if (mbj_intent_read(intent->body, &view, NULL) != MBJ_OK)
		return false;
	while (mbj_doubt_next(&view.doubts, &doubt))
		if ((doubt.what & MBJ_DOUBT_CREATE) &&
		    mbj_bytes_equal(doubt.after, path))
			return true;
	return false;
}

/* Another open intent was to make a mailbox there, too. */
static enum mbj_rc rival_find(struct edit_work *work, struct mbj_id id,
			      struct mbj_bytes path, bool *ret_is_found,
			      struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	enum mbj_rc rc;

	*ret_is_found = false;
	rc = mbj_scan_intents(work->context->txn, work->account.id, &scan, err);
	while (rc == MBJ_OK && !*ret_is_found) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		if (rc == MBJ_OK && !mbj_id_equal(intent.id, id))
			*ret_is_found = intent_creates(&intent, path);
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

/* Whoever is at a place was there when this was announced, and was to leave. */
static bool doubt_was_there(const struct mbj_intent_view *view,
			    struct mbj_id mailbox, struct mbj_bytes path)
{
	struct mbj_bytes doubts = view->doubts;
	struct mbj_doubt doubt;

	while (mbj_doubt_next(&doubts, &doubt))
		if (mbj_id_equal(doubt.mailbox, mailbox) &&
		    mbj_bytes_equal(doubt.before, path))
			return true;
	return false;
}

/*
 * One that was to be made: the server may have given it an id of its own.  One
 * that was there before the list is another edit's, and one that two intents
 * were to make may be either's.
 */
static enum mbj_rc created_judge(struct edit_work *work,
				 const struct mbj_intent_view *view,
				 const struct mbj_doubt *doubt,
				 struct mbj_bytes now, struct verdict *verdict,
				 struct mbj_error *err)
{
	struct mbj_mailbox mailbox;
	bool is_rivalled = false;
	enum mbj_rc rc;

	if (now.n > 0) {
		verdict->is_undone = false;
		if (!mbj_bytes_equal(now, doubt->after))
			verdict->is_done = false;
		return MBJ_OK;
	}
	rc = mbj_txn_path_find(work->context->txn, &work->account, doubt->after,
			       &mailbox, err);
	/* A name of then may be none today. */
	if (rc == MBJ_ENOTFOUND || rc == MBJ_EINVALID ||
	    (rc == MBJ_OK && doubt_was_there(view, mailbox.id, doubt->after))) {
		verdict->is_done = false;
		return MBJ_OK;
	}
	if (rc == MBJ_OK)
		rc = rival_find(work, verdict->id, doubt->after, &is_rivalled,
				err);
	if (rc < 0)
		return rc;
	if (is_rivalled ||
	    mbj_tree_find(work->draft.before, mailbox.id) != MBJ_NODE_NONE)
		verdict->is_known = false;
	verdict->is_undone = false;
	return MBJ_OK;
}

static enum mbj_rc tree_judge(struct edit_work *work,
			      const struct mbj_intent_view *view,
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
		rc = created_judge(work, view, doubt, now, verdict, err);
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
 * Messages: a UIDNEXT that has not risen, under the same UIDVALIDITY, says that
 * none came in; a mailbox that is gone has none.
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
	    change->uidnext != doubt->uidnext ||
	    mailbox.uidvalidity != doubt->uidvalidity)
		verdict->is_known = false;
	return MBJ_OK;
}

static enum mbj_rc intent_judge(struct edit_work *work,
				const struct mbj_intent *intent,
				uint8_t *scratch, struct verdict *ret_verdict,
				struct mbj_error *err)
{
	struct verdict verdict = {intent->id, true, true, true, false};
	struct mbj_intent_view view, all;
	struct mbj_doubt doubt;
	enum mbj_rc rc;

	rc = mbj_intent_read(intent->body, &view, err);
	all = view;
	/* A later version's, say: it stays open, and is told of. */
	if (rc < 0)
		return MBJ_OK;
	if (view.kind == MBJ_EDIT_METADATA)
		verdict.is_known = false;
	while (rc == MBJ_OK && verdict.is_known &&
	       mbj_doubt_next(&view.doubts, &doubt))
		rc = view.kind == MBJ_EDIT_MESSAGES
			     ? messages_judge(work, &doubt, &verdict, err)
			     : tree_judge(work, &all, &doubt, scratch, &verdict,
					  err);
	/* Of mailboxes only what was not done says it of messages too. */
	if (verdict.has_messages && !(verdict.is_undone && !verdict.is_done))
		verdict.is_known = false;
	/* It was about mailboxes, and not about their places: a role. */
	if (view.doubt_count > 0 && verdict.is_done && verdict.is_undone)
		verdict.is_known = false;
	if (rc == MBJ_OK)
		*ret_verdict = verdict;
	return rc;
}

static enum mbj_rc verdict_take(struct edit_work *work,
				const struct verdict *verdict,
				struct mbj_error *err)
{
	enum mbj_intent_result result = MBJ_INTENT_OTHER;

	if (!verdict->is_known) {
		work->outcome.intents_left++;
		return MBJ_OK;
	}
	if (verdict->is_done && !verdict->is_undone)
		result = MBJ_INTENT_DONE;
	else if (verdict->is_undone && !verdict->is_done)
		result = MBJ_INTENT_FAILED;
	work->outcome.intents_closed++;
	return edit_outcome_emit(work, verdict->id, result, true, err);
}

/*
 * All ids first: nothing else is read during a scan.  Of one that stands
 * nothing is in doubt.
 */
static enum mbj_rc ids_list(struct edit_work *work,
			    struct verdict **ret_verdicts, size_t *ret_count,
			    struct mbj_error *err)
{
	struct mbj_scan scan = {0};
	struct mbj_intent intent;
	void *verdicts = NULL;
	size_t capacity = 0;
	enum mbj_rc rc;

	rc = mbj_scan_intents(work->context->txn, work->account.id, &scan, err);
	while (rc == MBJ_OK) {
		rc = mbj_scan_next_intent(&scan, &intent, err);
		if (rc == MBJ_OK &&
		    standing_is_idle(work->context->standing, intent.id))
			continue;
		if (rc == MBJ_OK)
			rc = mbj_array_reserve(&verdicts, &capacity,
					       *ret_count + 1,
					       sizeof(**ret_verdicts),
					       MBJ_NODE_MAX, err);
		*ret_verdicts = verdicts;
		if (rc == MBJ_OK)
			(*ret_verdicts)[(*ret_count)++] =
				(struct verdict){.id = intent.id};
	}
	mbj_scan_done(&scan);
	return rc == MBJ_ENOTFOUND ? MBJ_OK : rc;
}

static enum mbj_rc id_judge(struct edit_work *work, struct verdict *verdict,
			    uint8_t *scratch, struct mbj_error *err)
{
	struct mbj_intent intent;
	bool is_found = false;
	enum mbj_rc rc;

	rc = mbj_txn_intent_seek(work->context->txn, work->account.id,
				 verdict->id, &intent, &is_found, err);
	MBJ_ASSERT(rc < 0 || is_found);
	return rc < 0 ? rc : intent_judge(work, &intent, scratch, verdict, err);
}

enum mbj_rc edit_resolve_run(struct edit_work *work, struct mbj_error *err)
{
	uint8_t *scratch =
		mbj_arena_alloc(work->context->arena, MBJ_INTENT_SIZE_MAX);
	struct verdict *verdicts = NULL;
	size_t count = 0;
	enum mbj_rc rc;

	if (scratch == NULL)
		return mbj_error_nomem(err);
	rc = ids_list(work, &verdicts, &count, err);
	/* All are judged before the first is closed: they are witnesses. */
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = id_judge(work, &verdicts[i], scratch, err);
	for (size_t i = 0; rc == MBJ_OK && i < count; i++)
		rc = verdict_take(work, &verdicts[i], err);
	mbj_free(verdicts);
	return rc;
}
