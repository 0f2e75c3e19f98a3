/*
 * What a mailbox is, given by hand.  See update.h.
 *
 * Its GUID and UIDVALIDITY are the tree's, and announced as such.  UIDNEXT and
 * HIGHESTMODSEQ are its messages': an intent about all of them, and what
 * Dovecot has then.
 */
#include "update.h"

void update_tell(struct turn *turn, uint32_t node)
{
	struct account_folder folder;
	enum folder_kind kind;
	struct changes changes;
	enum mbj_rc rc;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0 ||
	    kind != FOLDER_MAILBOX) {
		turn_look_again(turn);
		return;
	}
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_replace(&changes, node, folder.id, &turn->err);
	changes_uidvalidity(&changes, folder.id, folder.uidvalidity);
	turn_done(turn, &changes, rc);
	changes_done(&changes);
}

/*
 * Under another GUID it is another mailbox to the journal, and comes in with
 * its mail: what does not now, with its next change.
 */
static void renewed_tell(struct turn *turn, uint32_t node)
{
	uint32_t uidnext;
	bool is_cut;

	update_tell(turn, node);
	turn->why = NULL;
	if (turn_compare_messages(turn, false, &uidnext, &is_cut) < 0 || is_cut)
		e_warning(turn->box->event,
			  "mbj: messages of %s wait for the next change: %s",
			  turn->at.vname,
			  turn->why != NULL ? turn->why : turn->err.message);
}

static int identity_update(struct turn *turn,
			   const struct mailbox_update *update,
			   const struct account_folder *folder,
			   struct mbj_id id, uint32_t uidvalidity)
{
	struct changes changes;
	uint32_t node;
	enum mbj_rc rc;
	int ret;

	if (turn_node(turn, FOLDER_MAILBOX, folder, &node) < 0)
		return -1;
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_replace(&changes, node, id, &turn->err);
	changes_uidvalidity(&changes, id, uidvalidity);
	ret = rc < 0 ? turn_refuse(turn) : turn_intent(turn, &changes);
	changes_done(&changes);
	if (ret < 0)
		return ret;
	ret = turn->super->update_box(turn->box, update);
	if (ret < 0)
		turn_look_again(turn);
	else
		renewed_tell(turn, node);
	return ret;
}

static bool has_counters(const struct mailbox_update *update)
{
	return update->min_next_uid != 0 || update->min_highest_modseq != 0;
}

static int folder_update(struct turn *turn, const struct mailbox_update *update)
{
	uint32_t uidvalidity = update->uid_validity;
	struct account_folder folder;
	enum folder_kind kind;
	struct mbj_id id;

	if (turn_follow(turn) < 0 ||
	    folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0)
		return turn_refuse(turn);
	id = folder.id;
	if (!guid_128_is_empty(update->mailbox_guid))
		memcpy(id.b, update->mailbox_guid, sizeof(id.b));
	if (uidvalidity == 0)
		uidvalidity = folder.uidvalidity;
	if (kind == FOLDER_MAILBOX &&
	    (!mbj_id_equal(id, folder.id) || uidvalidity != folder.uidvalidity))
		return identity_update(turn, update, &folder, id, uidvalidity);
	if (kind == FOLDER_MAILBOX && has_counters(update))
		return turn_update_counters(turn, update);
	return turn->super->update_box(turn->box, update);
}

int capture_update_box(struct mailbox *box, const struct mailbox_update *update)
{
	struct turn turn;
	int ret;

	/* What is made is told as that. */
	if (capture_user_of(box->storage->user)->is_renewing ||
	    turn_passes(box) || box->creating ||
	    (guid_128_is_empty(update->mailbox_guid) &&
	     update->uid_validity == 0 && !has_counters(update)))
		return capture_box_of(box)->module_ctx.super.update_box(box,
									update);
	if (turn_begin(&turn, box) < 0)
		return -1;
	ret = turn.is_away ? -1 : folder_update(&turn, update);
	if (turn.is_away)
		ret = turn_update_away(&turn, update);
	turn_end(&turn);
	return ret;
}
