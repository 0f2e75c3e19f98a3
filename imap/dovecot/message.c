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
 * Not here: what only synchronises, or fills caches: nothing of it is in an
 * account.
 */
#include "mirror.h"
#include "touched.h"
#include "turn.h"

#include <mail-index-transaction-private.h>

#include <mbj/sys.h>

/* ------------------------------------------------------------- comparing */

static bool is_compared(const struct capture_user *capture, struct mbj_id guid)
{
	const struct mbj_id *id;

	array_foreach(&capture->compared,
		      id) if (mbj_id_equal(*id, guid)) return true;
	return false;
}

/* This process has had it compared, by the GUID that it has it open under. */
static bool box_is_compared(struct mailbox *box, struct mbj_id *ret_guid)
{
	struct mailbox_metadata metadata;

	if (mailbox_get_metadata(box, MAILBOX_METADATA_GUID, &metadata) < 0)
		return false;
	memcpy(ret_guid->b, metadata.guid, sizeof(ret_guid->b));
	return is_compared(capture_user_of(box->storage->user), *ret_guid);
}

static void compared_note(struct turn *turn, struct mbj_id guid)
{
	if (!is_compared(turn->capture, guid))
		array_push_back(&turn->capture->compared, &guid);
}

/* All that was found, and where nothing waits the intent about it. */
static int content_finish(struct turn *turn, struct mirror *mirror,
			  bool is_whole)
{
	struct content *content = mirror->content;
	enum mbj_rc rc = is_whole ? content_end(content, &turn->err)
				  : content_tell(content, &turn->err);

	return rc < 0 ? -1 : 0;
}

/*
 * The store's mailbox is made Dovecot's, all of it, and the intent about it is
 * closed; what would take too long waits for the next turn.  What cannot be
 * read is passed if is_lenient, or an earlier turn has stopped there.
 */
static int content_settle(struct turn *turn, struct mirror *mirror,
			  bool is_lenient)
{
	struct content *content = mirror->content;
	struct mbj_id left =
		account_doubt_find(turn->account, content->mailbox);
	int ret = 0;

	if (mbj_id_is_root(content->intent))
		content->intent = left;
	content->has_told = false;
	mirror->deadline_ms = turn->deadline_ms;
	mirror->is_copied = true;
	mirror->is_lenient = is_lenient || !mbj_id_is_root(left);
	if (spool_has(&turn->capture->spool, content->mailbox))
		ret = mirror_is_same(mirror);
	if (ret == 0)
		ret = mirror_all(mirror);
	if (ret == 0 && !mirror->is_cut)
		ret = mirror_level(mirror);
	if (ret == 0)
		ret = content_finish(turn, mirror, !mirror->is_cut);
	turn->why = mirror->why;
	turn->capture->arrivals += ret == 0 && mirror->has_new;
	if (ret == 0 && !mirror->is_cut) {
		account_doubt_forget(turn->account, left);
		compared_note(turn, content->mailbox);
	}
	return ret;
}

/*
 * The mailbox at a name, in Dovecot and in the store, where it is the same one.
 * Returns: 1, 0 it is another, or not there, -1.
 */
static int content_find(struct turn *turn, struct spot at,
			enum mirror_look look, struct content *content,
			struct mirror *mirror)
{
	enum mbj_rc rc = MBJ_OK;

	*mirror = (struct mirror){.content = content, .err = &turn->err};
	if (mirror_open(mirror, at.list, at.vname, look) < 0) {
		turn->why = mirror->why;
		return -1;
	}
	if (!content->is_fresh)
		rc = content_look(content, mbj_bytes_str(at.vname), &turn->err);
	if (rc == MBJ_ENOTFOUND)
		return 0;
	if (rc < 0)
		return -1;
	return mbj_id_equal(content->mailbox, mirror->guid) &&
	       content->uidvalidity == mirror->status.uidvalidity;
}

/*
 * Messages are of one UIDVALIDITY, in the journal.  A mailbox that has another
 * one now is another one, and gets another GUID.
 * Returns: 1, 0 it is not that, -1.
 */
static int content_renew(struct turn *turn, struct content *content,
			 struct mirror *mirror)
{
	if (!mbj_id_equal(content->mailbox, mirror->guid) ||
	    content->store.rev == 1)
		return 0;
	e_warning(turn->box->event,
		  "mbj: new GUID for %s: its UIDVALIDITY was %u and is %u",
		  turn->at.vname, content->uidvalidity,
		  mirror->status.uidvalidity);
	mirror_close(mirror);
	return turn_give_guid(turn, turn->at, content->mailbox) < 0 ? -1 : 1;
}

/*
 * Where the two are not the same the account's tree is made Dovecot's.  One
 * that has just got another GUID is not changed by who has it open under the
 * old one, and would give it to the list's index again. Returns: as
 * content_find.
 */
static int content_find_again(struct turn *turn, struct content *content,
			      struct mirror *mirror)
{
	int is_renewed, ret;

	/* The turn around this one holds the tree. */
	if (turn->is_inner && !turn->capture->is_tree_free)
		return 0;
	is_renewed = content_renew(turn, content, mirror);
	mirror_close(mirror);
	content->is_fresh = false;
	if (is_renewed < 0)
		return -1;
	ret = turn_refresh(turn);
	if (ret < 0 || is_renewed > 0)
		return ret;
	return content_find(turn, turn->at, MIRROR_WHOLE, content, mirror);
}

/*
 * This process has had the mailbox compared, and nobody has left anything
 * about it: it is not opened once more before the change.
 */
static bool content_is_known(struct turn *turn, struct content *content)
{
	struct mbj_id guid;

	if (!box_is_compared(turn->box, &guid) ||
	    !mbj_id_is_root(account_doubt_find(turn->account, guid)) ||
	    spool_has(&turn->capture->spool, guid))
		return false;
	if (content_look_begun(content, guid))
		return true;
	return content_look(content, mbj_bytes_str(turn->at.vname),
			    &turn->err) == MBJ_OK &&
	       mbj_id_equal(content->mailbox, guid);
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

/*
 * The store's mailbox, which is even with Dovecot's at this process's first
 * change of it, or once an intent about it was left open.
 * Returns: -1, told to the client.
 */
static int content_open(struct turn *turn, struct content *content)
{
	/* About which mailbox something was left shows once it is open. */
	bool is_doubtful = turn->account->doubt_count > 0 ||
			   !spool_is_empty(&turn->capture->spool);
	enum mirror_look look = is_doubtful ? MIRROR_WHOLE : MIRROR_STORAGE;
	struct mirror mirror;
	int ret;

	if (!turn->is_renewed && content_is_known(turn, content))
		return 0;
	ret = content_find(turn, turn->at, look, content, &mirror);
	if (ret == 0)
		ret = content_find_again(turn, content, &mirror);
	/* Whoever has it open has it under its old GUID. */
	if (ret > 0 && turn->is_renewed)
		ret = 0;
	if (ret > 0) {
		is_doubtful =
			!mbj_id_is_root(account_doubt_find(turn->account,
							   content->mailbox)) ||
			spool_has(&turn->capture->spool, content->mailbox);
		if (is_doubtful ||
		    (!is_compared(turn->capture, content->mailbox) &&
		     !mirror_is_even(&mirror)))
			ret = content_settle(turn, &mirror, false) < 0 &&
					      !settle_can_wait(turn, content)
				      ? -1
				      : 1;
		else
			compared_note(turn, content->mailbox);
	}
	mirror_close(&mirror);
	if (ret > 0)
		return 0;
	if (ret < 0)
		return turn_refuse(turn);
	mail_storage_set_error(turn->box->storage, MAIL_ERROR_UNAVAILABLE,
			       "The mailbox has become another one, or is not "
			       "in the journal yet: try again");
	return -1;
}

/* ------------------------------------------------------- left by somebody */

/* Its mailbox went: there is nothing to tell of it any more. */
static int doubt_drop(struct turn *turn, struct mbj_id mailbox)
{
	struct content content;
	int ret = 0;

	content_init(&content, turn->account);
	content.intent = account_doubt_find(turn->account, mailbox);
	if (content_end(&content, &turn->err) < 0)
		ret = -1;
	else
		account_doubt_forget(turn->account,
				     account_doubt_find(turn->account,
							mailbox));
	content_done(&content);
	return ret;
}

/* Where the account has it Dovecot has none, or another one. */
static bool mirror_is_absent(const struct mirror *mirror, int ret,
			     struct mbj_id mailbox)
{
	if (ret == 0)
		return !mbj_id_equal(mirror->guid, mailbox);
	return ret < 0 &&
	       mailbox_get_last_mail_error(mirror->box) == MAIL_ERROR_NOTFOUND;
}

/* The account's tree is made Dovecot's; it may have the mailbox elsewhere. */
static int doubt_look_again(struct turn *turn, struct mbj_id mailbox)
{
	turn->why = NULL;
	if (turn_refresh(turn) < 0)
		return -1;
	if (mbj_tree_find(turn->account->tree, mailbox) != MBJ_NODE_NONE)
		return 0;
	return doubt_drop(turn, mailbox);
}

/* One of them.  Returns: 0 also where it has to wait for the next turn. */
static int doubt_settle(struct turn *turn, struct mbj_id mailbox)
{
	struct content content;
	struct mirror mirror;
	struct spot at;
	bool is_absent;
	int ret;

	if (!turn_find(turn, mailbox, &at))
		return doubt_drop(turn, mailbox);
	content_init(&content, turn->account);
	ret = content_find(turn, at, MIRROR_WHOLE, &content, &mirror);
	is_absent = mirror_is_absent(&mirror, ret, mailbox);
	if (ret > 0)
		ret = content_settle(turn, &mirror, false);
	mirror_close(&mirror);
	content_done(&content);
	return is_absent ? doubt_look_again(turn, mailbox) : ret;
}

void turn_settle_messages(struct turn *turn)
{
	struct account *account = turn->account;
	int64_t deadline_ms = turn->deadline_ms;
	enum account_need need;

	if (account->doubt_count == 0)
		return;
	if (account->tree == NULL &&
	    account_enter(account, &need, &turn->err) < 0)
		return;
	/* Most are not about the mailbox at hand, whose sessions wait. */
	turn->deadline_ms = mbj_monotonic_ms() + account->patience_ms / 16;
	/* Backwards: what is settled is taken out. */
	for (size_t i = account->doubt_count; i > 0; i--)
		if (i <= account->doubt_count &&
		    doubt_settle(turn, account->doubts[i - 1].mailbox) < 0)
			e_error(turn->box->event,
				"mbj: what became of messages is not told yet: "
				"%s",
				turn->why != NULL ? turn->why
						  : turn->err.message);
	turn->why = NULL;
	turn->deadline_ms = deadline_ms;
}

int turn_compare_messages(struct turn *turn, bool is_lenient,
			  uint32_t *ret_uidnext, bool *ret_is_cut)
{
	struct content content;
	struct mirror mirror;
	int ret;

	content_init(&content, turn->account);
	ret = content_find(turn, turn->at, MIRROR_WHOLE, &content, &mirror);
	if (ret == 0)
		ret = content_find_again(turn, &content, &mirror);
	/* It got another GUID: the next turn has that. */
	*ret_is_cut = ret == 0;
	*ret_uidnext = content.store.uidnext;
	if (ret > 0) {
		ret = content_settle(turn, &mirror, is_lenient);
		*ret_is_cut = mirror.is_cut;
	}
	mirror_close(&mirror);
	content_done(&content);
	return ret;
}

int turn_tell_new(struct turn *turn, bool *ret_is_told, bool *ret_is_late)
{
	ARRAY_TYPE(uint32_t) none;
	struct content content;
	struct mirror mirror;
	int ret;

	t_array_init(&none, 1);
	content_init(&content, turn->account);
	ret = content_find(turn, turn->at, MIRROR_STORAGE, &content, &mirror);
	*ret_is_told = *ret_is_late = false;
	if (ret > 0) {
		mirror.is_copied = true;
		mirror.deadline_ms = turn->deadline_ms;
		ret = mirror_is_same(&mirror);
		if (ret == 0)
			ret = mirror_some(&mirror, &none);
		if (ret == 0)
			ret = content_finish(turn, &mirror, false);
		*ret_is_late = ret == 0 && mirror.is_cut && !mirror.is_unread;
		*ret_is_told = ret == 0 && !*ret_is_late;
		turn->capture->arrivals += ret == 0 && mirror.has_new;
		turn->why = mirror.why;
	}
	mirror_close(&mirror);
	content_done(&content);
	return ret;
}

/* ------------------------------------------------------------ the commit */

/* Before: what is wrong is told to the client.  Returns: -1. */
static int message_announce(struct turn *turn, struct content *content)
{
	content_init(content, turn->account);
	if (content_open(turn, content) < 0)
		return -1;
	content->intent = account_doubt_find(turn->account, content->mailbox);
	if (content_announce(content, &turn->err) < 0)
		return turn_refuse(turn);
	return 0;
}

/* What Dovecot has of what was touched, and what came in. */
static int content_update(struct turn *turn, struct content *content,
			  const struct touched *touched)
{
	/* What it is about is more than what this turn knows of. */
	bool was_left = !mbj_id_is_root(
		account_doubt_find(turn->account, content->mailbox));
	struct mirror mirror;
	int ret = content_find(turn, turn->at, touched->look, content, &mirror);

	if (ret == 0) {
		turn->why = "it is not the same mailbox any more";
		ret = -1;
	} else if (ret > 0) {
		mirror.is_copied = touched->is_copied || was_left;
		mirror.is_lenient = was_left;
		mirror.late_uid = touched->first_saved;
		mirror.late_ms = turn->last_ms;
		mirror.deadline_ms = turn->deadline_ms;
		ret = mirror_some(&mirror, &touched->uids);
		if (ret == 0)
			ret = content_finish(turn, &mirror,
					     !mirror.is_cut && !was_left);
		turn->why = mirror.why;
		if (ret == 0 && mirror.is_cut)
			e_warning(turn->box->event,
				  "mbj: messages of %s wait for the next "
				  "change",
				  turn->at.vname);
	}
	mirror_close(&mirror);
	return ret;
}

static uint32_t first_of(const ARRAY_TYPE(seq_range) * uids)
{
	const struct seq_range *range;
	uint32_t first = 0;

	if (array_is_created(uids))
		array_foreach(uids,
			      range) if (first == 0 || range->seq1 < first)
			first = range->seq1;
	return first;
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
		return super->transaction_commit(t, changes);
	}
	mail_storage_last_error_push(box->storage);
	super->transaction_rollback(t);
	mail_storage_last_error_pop(box->storage);
	return -1;
}

static int message_commit(struct mailbox_transaction_context *t,
			  struct mail_transaction_commit_changes *changes,
			  struct touched *touched)
{
	struct mailbox *box = t->box;
	struct capture_box *mine = capture_box_of(box);
	struct content content = {.account = NULL};
	struct account_aim aim;
	struct turn turn;
	int ret;

	ret = turn_begin_messages(&turn, box,
				  box_is_compared(box, &aim.mailbox) ? &aim
								     : NULL);
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
	ret = mine->module_ctx.super.transaction_commit(t, changes);
	touched->first_saved = first_of(&changes->saved_uids);
	/* Somebody else is to give UIDs, or it is not known what was done. */
	if (ret < 0 ||
	    seq_range_count(&changes->saved_uids) != touched->save_count)
		touched->look = MIRROR_STORAGE;
	if (ret < 0)
		mail_storage_last_error_push(box->storage);
	turn.why = NULL;
	if (!turn.is_away && content_update(&turn, &content, touched) < 0)
		untold_log(&turn);
	if (ret < 0)
		mail_storage_last_error_pop(box->storage);
	content_done(&content);
	turn_end(&turn);
	return ret;
}

int capture_messages_commit(struct mailbox_transaction_context *t,
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
	return message_commit(t, changes, &touched);
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

/* ------------------------------------------------------------ on the way */

/* A delivery to a Maildir would leave it to others to give UIDs. */
static struct mailbox_transaction_context *
capture_transaction_begin(struct mailbox *box,
			  enum mailbox_transaction_flags flags,
			  const char *reason)
{
	if (!turn_passes_messages(box))
		flags |= MAILBOX_TRANSACTION_FLAG_ASSIGN_UIDS;
	return capture_box_of(box)->module_ctx.super.transaction_begin(box,
								       flags,
								       reason);
}

static int capture_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct capture_box *mine = capture_box_of(ctx->transaction->box);

	mine->is_copied_to = true;
	return mine->module_ctx.super.copy(ctx, mail);
}

void capture_messages(struct mailbox *box, struct mailbox_vfuncs *v)
{
	(void)box;
	v->transaction_begin = capture_transaction_begin;
	v->copy = capture_copy;
}
