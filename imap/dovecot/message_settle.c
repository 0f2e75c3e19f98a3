/*
 * What Dovecot has of a mailbox's messages is told: where they are compared,
 * and where somebody left a change of them in doubt.  See turn.h.
 */
#include "message_impl.h"

#include <mbj/sys.h>

/* ------------------------------------------------------------- comparing */

bool compared_has(const struct capture_user *capture, struct mbj_id guid)
{
	const struct mbj_id *id;

	array_foreach(&capture->compared,
		      id) if (mbj_id_equal(*id, guid)) return true;
	return false;
}

void compared_note(struct turn *turn, struct mbj_id guid)
{
	if (!compared_has(turn->capture, guid))
		array_push_back(&turn->capture->compared, &guid);
}

int content_finish(struct turn *turn, struct mirror *mirror, bool is_whole)
{
	struct content *content = mirror->content;
	enum mbj_rc rc = is_whole ? content_end(content, &turn->err)
				  : content_tell(content, &turn->err);

	return rc < 0 ? -1 : 0;
}

int content_settle(struct turn *turn, struct mirror *mirror, bool is_lenient)
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

bool content_is_mirrored(const struct content *content,
			 const struct mirror *mirror)
{
	return mbj_id_equal(content->mailbox, mirror->guid) &&
	       content->uidvalidity == mirror->status.uidvalidity;
}

int content_find(struct turn *turn, struct spot at, enum mirror_look look,
		 struct content *content, struct mirror *mirror)
{
	enum mbj_rc rc = MBJ_OK;

	*mirror = (struct mirror){.content = content, .err = &turn->err};
	if (mirror_open(mirror, at.list, at.vname, look) < 0) {
		turn->why = mirror->why;
		return -1;
	}
	if (!content->is_fresh)
		rc = content_look(content,
				  mbj_bytes_str(
					  capture_path(mirror->box, at.vname)),
				  &turn->err);
	if (rc == MBJ_ENOTFOUND)
		return 0;
	if (rc < 0)
		return -1;
	return content_is_mirrored(content, mirror);
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

int content_find_again(struct turn *turn, struct content *content,
		       struct mirror *mirror)
{
	int is_renewed, ret;

	/* The turn around this one holds the tree, or its owner does. */
	if ((turn->is_inner && !turn->capture->is_tree_free) ||
	    box_is_others(turn->box))
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
