/*
 * What is done around a transaction that changes a mailbox's messages: an
 * intent in the journal before it is committed, and after it what Dovecot has.
 *
 * Dovecot says which UIDs a transaction gave only when it is through, and not
 * always; so the intent is about all of the mailbox's messages, and the
 * outcome is read from Dovecot (mirror.h).  All of it is under the lock of the
 * user's list (turn.h): UIDs come to the journal in the order in which they
 * were given.
 *
 * Not here: what comes in before the commit (message_save.c); what only
 * synchronises, or fills caches: nothing of it is in an account.
 */
#include "kept.h"
#include "message_impl.h"
#include "touched.h"
#include "uidlist.h"

#include <mail-index-transaction-private.h>
#include <mdbox-storage.h>
#include <mdbox-sync.h>
#include <sdbox-storage.h>
#include <sdbox-sync.h>

#include <mbj/sys.h>

/* ------------------------------------------------------ the mailbox at hand */

/* What is at its name, which whoever has it open has, too. */
static bool box_guid(struct mailbox *box, struct mbj_id *ret_guid)
{
	struct uidlist_head head;

	if (box_head(box, &head) < 0 ||
	    (box->opened && box_is_behind(box, &head)))
		return false;
	*ret_guid = head.guid;
	return true;
}

/*
 * Whoever has a mailbox open goes on in its index where another one has come to
 * its name; what is saved, and all of a Maildir, goes to the latter by its
 * path.
 */
static bool box_is_replaced(const struct turn *turn,
			    const struct content *content)
{
	uint32_t uidvalidity;

	if (!turn->box->opened)
		return false;
	uidvalidity = mail_index_get_header(turn->box->view)->uid_validity;
	return uidvalidity != 0 && uidvalidity != content->uidvalidity;
}

/*
 * This process has had the mailbox compared, and nobody has left anything
 * about it: it is not opened once more before the change.
 */
static bool content_is_known(struct turn *turn, struct content *content)
{
	struct mbj_id guid;

	if (!box_guid(turn->box, &guid) || !compared_has(turn->capture, guid) ||
	    !mbj_id_is_root(account_doubt_find(turn->account, guid)) ||
	    spool_has(&turn->capture->spool, guid))
		return false;
	if (!content_look_begun(content, guid) &&
	    (content_look(content,
			  mbj_bytes_str(
				  capture_path(turn->box, turn->at.vname)),
			  &turn->err) < 0 ||
	     !mbj_id_equal(content->mailbox, guid)))
		return false;
	/* The journal's may be what it was before its UIDVALIDITY changed. */
	return !box_is_replaced(turn, content);
}

/*
 * The store does not take what came in, by a quota, say.  That waits, and the
 * change at hand does not: it may be the one that makes room.
 */
static bool settle_can_wait(struct turn *turn, struct content *content)
{
	if (turn->why != NULL || turn->err.refusal == MBJ_REFUSAL_NONE ||
	    turn->err.refusal == MBJ_REFUSAL_STATE_MISMATCH)
		return false;
	e_error(turn->box->event, "mbj: messages of %s wait: %s",
		turn->at.vname, turn->err.message);
	content_clear(content);
	return true;
}

static int another_refuse(struct turn *turn)
{
	if (name_is_linked(turn->at.list, turn->at.vname))
		return turn_refuse_text(turn, "The folder is a symbolic link "
					      "to one that the journal has "
					      "not");
	mail_storage_set_error(turn->box->storage, MAIL_ERROR_UNAVAILABLE,
			       "The mailbox has become another one, or is not "
			       "in the journal yet: try again");
	return -1;
}

/* Somebody was about to change it, or has while the service was away. */
static bool content_is_doubtful(const struct turn *turn,
				const struct content *content)
{
	return !mbj_id_is_root(
		       account_doubt_find(turn->account, content->mailbox)) ||
	       spool_has(&turn->capture->spool, content->mailbox);
}

/* Nothing about it is left, and it is even with the store's. */
static bool content_is_even(const struct turn *turn,
			    const struct content *content,
			    const struct mirror *mirror)
{
	return !content_is_doubtful(turn, content) &&
	       (compared_has(turn->capture, content->mailbox) ||
		mirror_is_even(mirror));
}

/* By the storage: which one it is, and what is not even is told. */
static int content_compare(struct turn *turn, struct content *content,
			   struct mirror *mirror)
{
	int ret = content_find(turn, turn->at,
			       content_is_doubtful(turn, content)
				       ? MIRROR_WHOLE
				       : MIRROR_STORAGE,
			       content, mirror);

	if (ret == 0)
		ret = content_find_again(turn, content, mirror);
	/* Whoever has it open has it under its old GUID. */
	if (ret <= 0 || turn->is_renewed)
		return ret < 0 ? -1 : 0;
	if (content_is_even(turn, content, mirror))
		compared_note(turn, content->mailbox);
	else if (content_settle(turn, mirror, false) < 0 &&
		 !settle_can_wait(turn, content))
		return -1;
	return 1;
}

/* So the index says that the session has open: a delivery opens no other. */
static bool content_peek_even(struct turn *turn, struct content *content)
{
	struct mirror mirror = {.content = content, .err = &turn->err};
	bool is_even;

	if (!content->is_fresh || content_is_doubtful(turn, content) ||
	    !mirror_peek(&mirror, turn->box))
		return false;
	is_even = content_is_mirrored(content, &mirror) &&
		  mirror_is_even(&mirror);
	mirror_close(&mirror);
	if (is_even)
		compared_note(turn, content->mailbox);
	return is_even;
}

/*
 * The store's mailbox, which is even with Dovecot's at this process's first
 * change of it, or once an intent about it was left open.  That it is shows in
 * the index; where it is not, the storage is looked at.
 * Returns: -1, told to the client.
 */
static int content_open(struct turn *turn, struct content *content)
{
	struct mirror mirror;
	int ret;

	if (!turn->is_renewed && content_is_known(turn, content))
		return 0;
	if (!turn->is_renewed && turn->aim != NULL &&
	    content_look_begun(content, turn->aim->mailbox) &&
	    content_peek_even(turn, content))
		return 0;
	ret = content_find(turn, turn->at, MIRROR_INDEX, content, &mirror);
	if (ret > 0 && !turn->is_renewed &&
	    content_is_even(turn, content, &mirror)) {
		compared_note(turn, content->mailbox);
	} else if (ret >= 0) {
		mirror_close(&mirror);
		ret = content_compare(turn, content, &mirror);
	}
	mirror_close(&mirror);
	if (ret > 0)
		return 0;
	if (ret == 0 && box_is_others(turn->box))
		ret = turn_defer(turn, "it is settled by its owner first");
	return ret < 0 ? turn_refuse(turn) : another_refuse(turn);
}

/* ------------------------------------------------------------ the commit */

/* Before: what is wrong is told to the client.  Returns: -1. */
static int message_announce(struct turn *turn, struct content *content)
{
	content_init(content, turn->account);
	if (turn_follow(turn) < 0)
		return turn_refuse(turn);
	if (content_open(turn, content) < 0)
		return -1;
	if (box_is_replaced(turn, content))
		return another_refuse(turn);
	content->intent = account_doubt_find(turn->account, content->mailbox);
	if (content_announce(content, &turn->err) < 0)
		return turn_refuse(turn);
	return 0;
}

/*
 * The mailbox as the change has left it.  An index that has not what was saved
 * says nothing of it: the storage is looked at, and where it has not that
 * either, whoever looks next may find it.  Returns: as content_find.
 */
static int content_find_saved(struct turn *turn, struct content *content,
			      const struct touched *touched,
			      struct mirror *mirror)
{
	int ret = content_find(turn, turn->at, touched->look, content, mirror);

	if (ret <= 0 || touched->last_saved < mirror->status.uidnext)
		return ret;
	mirror_close(mirror);
	ret = content_find(turn, turn->at, MIRROR_WHOLE, content, mirror);
	if (ret <= 0 || touched->last_saved < mirror->status.uidnext)
		return ret;
	turn->why = t_strdup_printf("message %u was saved, and is not there",
				    touched->last_saved);
	return -1;
}

/* The change itself says what is to be told, and nobody else's beside it. */
static bool content_peek(struct turn *turn, struct content *content,
			 const struct touched *touched, const struct kept *kept,
			 struct mirror *mirror)
{
	*mirror = (struct mirror){
		.content = content,
		.err = &turn->err,
		.before = touched->before,
		.kept = kept,
		.late_uid = touched->first_saved,
		.late_ms = turn->last_ms,
		.deadline_ms = turn->deadline_ms,
	};
	if (touched->look != MIRROR_INDEX || !content->is_fresh ||
	    !mirror_peek(mirror, turn->box))
		return false;
	if (content_is_mirrored(content, mirror) &&
	    touched->last_saved < mirror->status.uidnext &&
	    !mirror_has_lost(mirror, &touched->uids) &&
	    !mirror_has_changed(mirror, &touched->uids))
		return true;
	mirror_close(mirror);
	return false;
}

/* As content_find, and what is to be told of it, in steps. */
static int content_mirror(struct turn *turn, struct content *content,
			  const struct touched *touched,
			  const struct kept *kept, bool was_left,
			  struct mirror *mirror)
{
	int ret = content_find_saved(turn, content, touched, mirror);

	if (ret <= 0)
		return ret;
	mirror->is_copied = touched->is_copied || was_left;
	mirror->is_lenient = was_left;
	mirror->late_uid = touched->first_saved;
	mirror->late_ms = turn->last_ms;
	mirror->deadline_ms = turn->deadline_ms;
	mirror->before = touched->before;
	mirror->kept = kept;
	ret = mirror_has_lost(mirror, &touched->uids) ||
			      mirror_has_changed(mirror, &touched->uids)
		      ? mirror_all(mirror)
		      : mirror_some(mirror, &touched->uids);
	mirror->is_cut |= touched->is_in_memory;
	turn->why = mirror->why;
	return ret < 0 ? -1 : 1;
}

/* What Dovecot has of what was touched, and what came in. */
static int content_update(struct turn *turn, struct content *content,
			  const struct touched *touched,
			  const struct kept *kept)
{
	/* What it is about is more than what this turn knows of. */
	bool was_left = !mbj_id_is_root(
		account_doubt_find(turn->account, content->mailbox));
	struct mirror mirror;
	int ret;

	if (!was_left && content_peek(turn, content, touched, kept, &mirror)) {
		ret = mirror_some(&mirror, &touched->uids) < 0 ? -1 : 1;
		turn->why = mirror.why;
	} else {
		ret = content_mirror(turn, content, touched, kept, was_left,
				     &mirror);
	}
	if (ret > 0 &&
	    content_finish(turn, &mirror, !mirror.is_cut && !was_left) < 0)
		ret = -1;
	else if (ret == 0)
		turn->why = "it is not the same mailbox any more";
	if (ret > 0 && mirror.is_cut)
		e_warning(turn->box->event,
			  "mbj: messages of %s wait for the next change",
			  turn->at.vname);
	mirror_close(&mirror);
	return ret > 0 ? 0 : -1;
}

static void saved_note(struct touched *touched,
		       const ARRAY_TYPE(seq_range) * uids)
{
	const struct seq_range *range;

	if (!array_is_created(uids))
		return;
	array_foreach(uids, range)
	{
		if (touched->first_saved == 0 ||
		    range->seq1 < touched->first_saved)
			touched->first_saved = range->seq1;
		if (range->seq2 > touched->last_saved)
			touched->last_saved = range->seq2;
	}
}

/* The intent stays open, for the next turn. */
static void untold_log(const struct turn *turn)
{
	e_error(turn->box->event,
		"mbj: what became of messages in %s is not told yet: %s",
		turn->at.vname,
		turn->why != NULL ? turn->why : turn->err.message);
}

/*
 * Nothing is changed.  Whoever only reads is not told, since clients are
 * disconnected then: the message stays unseen.
 */
static int message_refuse(struct mailbox_transaction_context *t,
			  struct mail_transaction_commit_changes *changes)
{
	struct mailbox *box = t->box;
	struct mailbox_vfuncs *super = &capture_box_of(box)->module_ctx.super;

	if (touched_is_only_read(t)) {
		t->itrans->v.reset(t->itrans);
		if (t->itrans_pvt != NULL)
			t->itrans_pvt->v.reset(t->itrans_pvt);
		return super->transaction_commit(t, changes);
	}
	mail_storage_last_error_push(box->storage);
	super->transaction_rollback(t);
	mail_storage_last_error_pop(box->storage);
	return -1;
}

/*
 * By the mailbox in which it was asked for: the plugin quota knows there how
 * large each one was, and cannot ask a file that is gone, so that what another
 * one expunged would count for ever.  What the client sees stays as it is until
 * it asks.  A file of a Maildir has its size in its name.
 */
static void expunges_carry_out(struct mailbox *box)
{
	if (strcmp(box->storage->name, SDBOX_STORAGE_NAME) == 0)
		(void)sdbox_sync(SDBOX_MAILBOX(box), 0);
	else if (strcmp(box->storage->name, MDBOX_STORAGE_NAME) == 0)
		(void)mdbox_sync(MDBOX_MAILBOX(box), 0);
}

/*
 * Which one is to be changed, where asking about it may announce that at once.
 * Another owner's may turn out not to be told, and the intent would stay open:
 * only once it was.
 */
static bool aim_take(struct mailbox *box, struct account_aim *aim)
{
	return box_guid(box, &aim->mailbox) &&
	       (!box_is_others(box) ||
		compared_has(capture_of(box), aim->mailbox));
}

static int message_commit(struct mailbox_transaction_context *t,
			  struct mail_transaction_commit_changes *changes,
			  struct touched *touched, struct kept *kept)
{
	struct mailbox *box = t->box;
	struct capture_box *mine = capture_box_of(box);
	struct content content = {.account = NULL};
	struct account_aim aim;
	struct turn turn;
	int ret;

	ret = turn_begin_messages(&turn, box,
				  aim_take(box, &aim) ? &aim : NULL);
	if (ret == 0 && turn.is_passed) {
		turn_end(&turn);
		return mine->module_ctx.super.transaction_commit(t, changes);
	}
	if (ret == 0) {
		ret = turn.is_away ? -1 : message_announce(&turn, &content);
		if (turn.is_away)
			ret = turn_spool_box(&turn);
		if (ret < 0)
			turn_end(&turn);
	}
	if (ret < 0) {
		content_done(&content);
		return message_refuse(t, changes);
	}
	touched->before = mirror_spot(box);
	ret = mine->module_ctx.super.transaction_commit(t, changes);
	saved_note(touched, &changes->saved_uids);
	if (ret == 0 && kept != NULL)
		kept_number(kept, &changes->saved_uids, touched->save_count);
	if (ret == 0 && touched->look == MIRROR_STORAGE)
		expunges_carry_out(box);
	/* Somebody else is to give UIDs, or it is not known what was done. */
	if (ret < 0 ||
	    seq_range_count(&changes->saved_uids) != touched->save_count)
		touched->look = MIRROR_STORAGE;
	/* The storage has it once this session synchronises that. */
	touched->is_in_memory = mail_index_is_in_memory(box->index) &&
				!array_is_empty(&touched->uids);
	if (ret < 0)
		mail_storage_last_error_push(box->storage);
	turn.why = NULL;
	if (!turn.is_away && content_update(&turn, &content, touched, kept) < 0)
		untold_log(&turn);
	if (ret < 0)
		mail_storage_last_error_pop(box->storage);
	content_done(&content);
	turn_end(&turn);
	return ret;
}

int capture_messages_commit(struct mailbox_transaction_context *t,
			    struct kept *kept,
			    struct mail_transaction_commit_changes *changes)
{
	struct mailbox *box = t->box;
	struct capture_box *mine = capture_box_of(box);
	struct touched touched = {.save_count = t->save_count,
				  .is_copied = mine->is_copied_to};

	t_array_init(&touched.uids, 16);
	if (turn_passes_messages(box))
		return mine->module_ctx.super.transaction_commit(t, changes);
	touched_list(t, &touched.uids);
	if (t->save_count == 0 && array_is_empty(&touched.uids))
		return mine->module_ctx.super.transaction_commit(t, changes);
	mine->is_copied_to = false;
	/* An expunge is but asked for, until the storage is synchronised. */
	touched.look = array_is_created(&t->itrans->expunges) ? MIRROR_STORAGE
							      : MIRROR_INDEX;
	touched_sort(&touched.uids);
	return message_commit(t, changes, &touched, kept);
}

int turn_update_counters(struct turn *turn, const struct mailbox_update *update)
{
	struct content content;
	struct mirror mirror = {.box = NULL};
	int ret = message_announce(turn, &content);

	if (ret == 0) {
		ret = turn->super->update_box(turn->box, update);
		mail_storage_last_error_push(turn->box->storage);
		turn->why = NULL;
		if (content_find(turn, turn->at, MIRROR_STORAGE, &content,
				 &mirror) <= 0 ||
		    content_settle(turn, &mirror, false) < 0)
			untold_log(turn);
		mail_storage_last_error_pop(turn->box->storage);
	}
	mirror_close(&mirror);
	content_done(&content);
	return ret;
}
