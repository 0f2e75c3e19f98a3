/*
 * What is done around a change of a mailbox: an intent in the journal before,
 * the outcome after, and the change refused where the journal cannot have it.
 *
 * What Dovecot refuses after an intent, or turns into something else than was
 * announced, is settled by what it has (turn.h).
 */
#include "turn.h"

#include "content.h"
#include "maildir_hold.h"
#include "update.h"

#include <guid.h>
#include <mail-storage.h>
#include <mailbox-uidvalidity.h>
#include <mdbox-storage.h>

/* What becomes of it shows in a list: by its own name, if it has one. */
static bool spot_is_linked(struct spot at)
{
	return name_is_linked(at.list, at.vname);
}

/* ---------------------------------------------------------------- create */

/*
 * Which INBOX is made: the journal's, unless that has held messages, whose UIDs
 * would come again.
 */
static int inbox_choose(struct turn *turn, struct mbj_id *id)
{
	struct content content;
	enum mbj_rc rc;

	content_init(&content, turn->account);
	rc = content_look(&content, mbj_bytes_str("INBOX"), &turn->err);
	content_done(&content);
	if (rc < 0)
		return turn_refuse(turn);
	if (content.store.rev > 1)
		guid_128_generate(id->b);
	return 0;
}

/*
 * Out of the counter that Dovecot has for all of a user's mailboxes: a value
 * past it would be given once more, to the next mailbox of that name.
 */
static uint32_t uidvalidity_next(struct turn *turn, uint32_t above)
{
	enum { TRIES = 100 };
	struct mailbox_list *list = turn->at.list;
	const char *path;
	uint32_t value = 0;

	path = t_strconcat(mailbox_list_get_root_forced(
				   list, MAILBOX_LIST_PATH_TYPE_CONTROL),
			   "/dovecot-uidvalidity", NULL);
	for (int i = 0; i < TRIES && value <= above; i++)
		value = mailbox_uidvalidity_next(list, path);
	return value > above ? value : above + 1;
}

/*
 * INBOX is always there in the journal.  Where Dovecot makes it, for the first
 * time or after it was given another name, it is that one.  Its UIDs begin with
 * 1 again: under a UIDVALIDITY that no client has seen.
 */
static int inbox_create(struct turn *turn, uint32_t node,
			const struct mailbox_update *update)
{
	const struct mbj_node *inbox = mbj_tree_get(turn->account->tree, node);
	struct mailbox_update given = {.uid_validity = 0};
	struct mbj_id id = inbox->id;
	struct changes changes;
	enum mbj_rc rc;
	int ret;

	if (update != NULL)
		given = *update;
	if (!guid_128_is_empty(given.mailbox_guid) &&
	    memcmp(given.mailbox_guid, inbox->id.b, MBJ_ID_SIZE) != 0)
		return turn_refuse_text(turn, "The journal knows INBOX under "
					      "another GUID");
	if (inbox_choose(turn, &id) < 0)
		return -1;
	memcpy(given.mailbox_guid, id.b, MBJ_ID_SIZE);
	if (given.uid_validity <= inbox->uidvalidity)
		given.uid_validity = uidvalidity_next(turn, inbox->uidvalidity);
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_replace(&changes, node, id, &turn->err);
	changes_uidvalidity(&changes, id, given.uid_validity);
	ret = rc < 0 ? turn_refuse(turn) : turn_intent(turn, &changes);
	changes_done(&changes);
	if (ret < 0)
		return ret;
	ret = turn->super->create_box(turn->box, &given, false);
	if (ret < 0)
		turn_look_again(turn);
	else
		update_tell(turn, node);
	return ret;
}

static int folder_create(struct turn *turn, const struct mailbox_update *update,
			 bool directory)
{
	struct mbj_bytes path = mbj_bytes_str(turn->at.vname);
	struct mailbox_update given = {.uid_validity = 0};
	struct account_folder folder = {.uidvalidity = 0};
	enum folder_kind kind = FOLDER_NONE;
	struct changes changes;
	struct mbj_id id;
	enum mbj_rc rc;
	int ret;

	if (update != NULL)
		given = *update;
	if (guid_128_is_empty(given.mailbox_guid))
		guid_128_generate(given.mailbox_guid);
	memcpy(id.b, given.mailbox_guid, MBJ_ID_SIZE);
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_create(&changes, path, id, !directory, &turn->err);
	ret = rc < 0 ? turn_refuse(turn) : turn_intent(turn, &changes);
	changes_done(&changes);
	if (ret < 0)
		return ret;
	ret = turn->super->create_box(turn->box, &given, directory);
	if (ret < 0 ||
	    folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0 ||
	    kind == FOLDER_NONE) {
		turn_look_again(turn);
		return ret;
	}
	/* It found the index of an older one. */
	if (kind == FOLDER_MAILBOX && !mbj_id_equal(folder.id, id) &&
	    folder_renew(turn->capture, turn->at.list, turn->at.vname, id,
			 &turn->why) < 0) {
		turn_look_again(turn);
		return ret;
	}
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_create(&changes, path, id, kind == FOLDER_MAILBOX,
			    &turn->err);
	changes_uidvalidity(&changes, id, folder.uidvalidity);
	turn_done(turn, &changes, rc);
	changes_done(&changes);
	return ret;
}

static int create_choose(struct turn *turn, const struct mailbox_update *update,
			 bool directory)
{
	struct mailbox *box = turn->box;
	struct account_folder folder;
	enum folder_kind kind;
	struct changes changes;
	uint32_t node;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0)
		return turn_refuse(turn);
	/* It will refuse, or make it elsewhere. */
	if (kind == FOLDER_MAILBOX || (kind == FOLDER_PLACE && directory) ||
	    spot_is_linked(turn->at))
		return turn_unannounced(turn,
					turn->super->create_box(box, update,
								directory),
					box);
	if (turn_check_form(turn, turn->at, NULL) < 0)
		return -1;
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	node = changes_find(&changes, folder.path);
	if (box->inbox_user && node != MBJ_NODE_NONE) {
		/* The one that the journal has may have another name. */
		if (!turn->is_settled && turn_refresh(turn) < 0)
			return turn_refuse(turn);
		changes_init(&changes, turn->account->tree,
			     turn->account->delimiter);
		node = changes_find(&changes, folder.path);
		return inbox_create(turn, node, update);
	}
	if (node != MBJ_NODE_NONE &&
	    mbj_tree_get(turn->account->tree, node)->is_selectable &&
	    turn_refresh(turn) < 0)
		return turn_refuse(turn);
	return folder_create(turn, update, directory);
}

/*
 * mdbox makes indexes anew out of the files of its storage, and a mailbox for
 * what it finds of one that is gone.  Others are half made then: who opens one
 * ends in a panic.  And the list's index (LAYOUT=index) is made anew with a
 * name for each mailbox that it has lost, which the journal may have, under its
 * GUID.
 */
static bool box_is_rebuilt(struct mailbox *box)
{
	const struct mdbox_storage *storage;

	if (box->corrupted_mailbox_name)
		return true;
	if (strcmp(box->storage->name, MDBOX_STORAGE_NAME) != 0)
		return false;
	storage = MDBOX_STORAGE(box->storage);
	return storage->rebuilding_storage;
}

/* That is nobody's change: it is told with the next one. */
static int rebuilt_create(struct mailbox *box,
			  const struct mailbox_update *update, bool directory)
{
	struct mailbox_update given = {.uid_validity = 0};
	struct mbj_id id;

	if (update != NULL)
		given = *update;
	if (guid_128_is_empty(given.mailbox_guid))
		guid_128_generate(given.mailbox_guid);
	memcpy(id.b, given.mailbox_guid, MBJ_ID_SIZE);
	if (!box_is_others(box))
		spool_note(capture_of(box), id);
	return capture_box_of(box)->module_ctx.super.create_box(box, &given,
								directory);
}

static int capture_create_box(struct mailbox *box,
			      const struct mailbox_update *update,
			      bool directory)
{
	struct turn turn;
	int ret;

	if (turn_passes(box))
		return capture_box_of(box)->module_ctx.super.create_box(
			box, update, directory);
	if (box_is_rebuilt(box))
		return rebuilt_create(box, update, directory);
	if (turn_begin(&turn, box) < 0)
		return -1;
	/* Maildir++ has no places: it makes a mailbox. */
	if ((box->list->props & MAILBOX_LIST_PROP_NO_NOSELECT) != 0)
		directory = false;
	ret = turn.is_away ? -1 : create_choose(&turn, update, directory);
	if (turn.is_away)
		ret = turn_create_away(&turn, update, directory);
	turn_end(&turn);
	return ret;
}

/* ---------------------------------------------------------------- delete */

static void deleted_tell(struct turn *turn, uint32_t node)
{
	const struct mbj_tree *tree = turn->account->tree;
	struct account_folder folder;
	enum folder_kind kind;
	struct changes changes;
	bool is_place_left;
	enum mbj_rc rc;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0 ||
	    kind == FOLDER_MAILBOX ||
	    (kind == FOLDER_NONE && mbj_tree_child_count(tree, node) > 0)) {
		turn_look_again(turn);
		return;
	}
	is_place_left = kind == FOLDER_PLACE;
	changes_init(&changes, tree, turn->account->delimiter);
	rc = changes_delete(&changes, node, is_place_left, &turn->err);
	if (rc == MBJ_OK && !is_place_left)
		rc = turn_orphans(turn, &changes, node);
	turn_done(turn, &changes, rc);
	changes_done(&changes);
}

static int folder_delete(struct turn *turn)
{
	struct mailbox *box = turn->box;
	struct account_folder folder;
	struct changes changes;
	enum folder_kind kind;
	uint32_t node;
	bool has_children;
	enum mbj_rc rc;
	int ret;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0)
		return turn_refuse(turn);
	/* Of a link nothing else goes. */
	if (kind == FOLDER_NONE || spot_is_linked(turn->at))
		return turn_unannounced(turn, turn->super->delete_box(box),
					box);
	if (turn_node(turn, kind, &folder, &node) < 0)
		return -1;
	has_children = mbj_tree_child_count(turn->account->tree, node) > 0;
	/* They may have gone behind the plugin. */
	if (has_children && kind == FOLDER_PLACE) {
		if (turn_refresh(turn) < 0)
			return turn_refuse(turn);
		if (turn_node(turn, kind, &folder, &node) < 0)
			return -1;
	}
	has_children = mbj_tree_child_count(turn->account->tree, node) > 0;
	if (has_children && kind == FOLDER_PLACE)
		return turn_refuse_text(turn, "There are mailboxes below it");
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_delete(&changes, node, has_children, &turn->err);
	ret = rc < 0 ? turn_refuse(turn) : turn_intent(turn, &changes);
	changes_done(&changes);
	if (ret < 0)
		return ret;
	ret = turn->super->delete_box(box);
	if (ret < 0)
		turn_look_again(turn);
	else
		deleted_tell(turn, node);
	return ret;
}

static int capture_delete_box(struct mailbox *box)
{
	struct turn turn;
	int ret;

	if (turn_passes(box))
		return capture_box_of(box)->module_ctx.super.delete_box(box);
	if (turn_begin(&turn, box) < 0)
		return -1;
	ret = turn.is_away ? -1 : folder_delete(&turn);
	if (turn.is_away)
		ret = turn_spool(&turn, NULL, 0) < 0
			      ? -1
			      : turn.super->delete_box(box);
	turn_end(&turn);
	return ret;
}

/* ---------------------------------------------------------------- rename */

static void renamed_tell(struct turn *turn, uint32_t node)
{
	const struct mbj_node *moved = mbj_tree_get(turn->account->tree, node);
	struct account_folder folder;
	enum folder_kind kind;
	struct changes changes;
	enum mbj_rc rc;

	if (folder_look(turn->to.list, turn->to.vname, &kind, &folder,
			&turn->why) < 0 ||
	    (kind == FOLDER_MAILBOX) != moved->is_selectable ||
	    (kind == FOLDER_MAILBOX && !mbj_id_equal(folder.id, moved->id))) {
		turn_look_again(turn);
		return;
	}
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_move(&changes, node, folder.path, &turn->err);
	changes_uidvalidity(&changes, moved->id, folder.uidvalidity);
	if (rc == MBJ_OK)
		rc = turn_orphans(turn, &changes, node);
	turn_done(turn, &changes, rc);
	changes_done(&changes);
}

/* What became of one; both false where nothing did. */
struct renamed {
	bool is_announced; /* what fails has to be looked at */
	bool is_whole;	   /* all below it went along */
};

/*
 * changes: to be announced, or NULL, as renamed may be then.  Who works in a
 * Maildir is waited for before that.
 */
static int box_rename(struct turn *turn, struct mailbox *dest,
		      const struct changes *changes, struct renamed *renamed)
{
	struct hold hold;
	bool is_whole;
	int ret = 0;

	/* Dovecot moves what it finds below it, known to the journal or not. */
	if (hold_take(&hold, turn->box, true) < 0)
		return -1;
	if (changes != NULL) {
		ret = turn_intent(turn, changes);
		renamed->is_announced = ret == 0;
	}
	if (ret == 0)
		ret = turn->super->rename_box(turn->box, dest);
	is_whole = hold_drop(&hold, dest);
	if (renamed != NULL)
		renamed->is_whole = is_whole;
	return ret;
}

static int folder_rename(struct turn *turn, struct mailbox *dest)
{
	struct account_folder folder, target;
	enum folder_kind kind, target_kind;
	struct changes changes;
	struct renamed renamed = {.is_announced = false};
	uint32_t node;
	int ret;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0 ||
	    folder_look(turn->to.list, turn->to.vname, &target_kind, &target,
			&turn->why) < 0)
		return turn_refuse(turn);
	/* It will refuse. */
	if (target_kind == FOLDER_MAILBOX)
		return turn_unannounced(
			turn, turn->super->rename_box(turn->box, dest), dest);
	if (kind == FOLDER_NONE || spot_is_linked(turn->at) ||
	    spot_is_linked(turn->to))
		return turn_unannounced(turn,
					box_rename(turn, dest, NULL, NULL),
					dest);
	if (turn_node(turn, kind, &folder, &node) < 0)
		return -1;
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	if (changes_move(&changes, node, target.path, &turn->err) < 0)
		ret = turn_refuse(turn);
	else
		ret = box_rename(turn, dest, &changes, &renamed);
	changes_done(&changes);
	if (ret == 0 && renamed.is_whole)
		renamed_tell(turn, node);
	else if (renamed.is_announced)
		turn_look_again(turn);
	return ret;
}

/*
 * dbox gives INBOX's mailbox the other name, with all that is below it, and
 * makes another INBOX when somebody opens it: with the GUID that is announced
 * here (inbox_create).
 */
static void inbox_renamed_tell(struct turn *turn, uint32_t node,
			       struct mbj_id new_inbox)
{
	const struct mbj_tree *tree = turn->account->tree;
	struct account_folder folder, inbox;
	enum folder_kind kind, inbox_kind;
	struct changes changes;
	enum mbj_rc rc;

	if (folder_look(turn->to.list, turn->to.vname, &kind, &folder,
			&turn->why) < 0 ||
	    folder_look(turn->at.list, turn->at.vname, &inbox_kind, &inbox,
			&turn->why) < 0 ||
	    kind != FOLDER_MAILBOX || inbox_kind == FOLDER_MAILBOX ||
	    !mbj_id_equal(folder.id, mbj_tree_get(tree, node)->id) ||
	    mbj_tree_child_count(tree, node) > 0) {
		turn_look_again(turn);
		return;
	}
	changes_init(&changes, tree, turn->account->delimiter);
	rc = changes_inbox_move(&changes, node, folder.path, new_inbox,
				&turn->err);
	changes_uidvalidity(&changes, folder.id, folder.uidvalidity);
	turn_done(turn, &changes, rc);
	changes_done(&changes);
}

static int inbox_rename(struct turn *turn, struct mailbox *dest)
{
	struct account_folder folder, target;
	enum folder_kind kind, target_kind;
	struct changes changes;
	struct mbj_id id;
	uint32_t node;
	enum mbj_rc rc;
	int ret;

	if (folder_look(turn->at.list, turn->at.vname, &kind, &folder,
			&turn->why) < 0 ||
	    folder_look(turn->to.list, turn->to.vname, &target_kind, &target,
			&turn->why) < 0)
		return turn_refuse(turn);
	if (kind != FOLDER_MAILBOX || target_kind == FOLDER_MAILBOX)
		return turn_unannounced(
			turn, turn->super->rename_box(turn->box, dest), dest);
	/* In most layouts it is refused. */
	if (strcmp(turn->box->storage->name, "maildir") == 0)
		return turn_unannounced(turn,
					box_rename(turn, dest, NULL, NULL),
					dest);
	if (turn_node(turn, kind, &folder, &node) < 0)
		return -1;
	guid_128_generate(id.b);
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_inbox_move(&changes, node, target.path, id, &turn->err);
	ret = rc < 0 ? turn_refuse(turn) : turn_intent(turn, &changes);
	changes_done(&changes);
	if (ret < 0)
		return ret;
	ret = turn->super->rename_box(turn->box, dest);
	if (ret < 0)
		turn_look_again(turn);
	else
		inbox_renamed_tell(turn, node, id);
	return ret;
}

static int capture_rename_box(struct mailbox *src, struct mailbox *dest)
{
	struct turn turn;
	int ret = -1;

	if (turn_passes(src) && turn_passes(dest))
		return capture_box_of(src)->module_ctx.super.rename_box(src,
									dest);
	turn.box = src;
	if (src->list != dest->list && (src->list->ns->alias_for != NULL ||
					dest->list->ns->alias_for != NULL))
		return turn_refuse_text(&turn,
					"Mailboxes are renamed by names of one "
					"namespace, not of it and its alias");
	if (turn_passes(src) || turn_passes(dest))
		return turn_refuse_text(&turn,
					"Mailboxes do not leave or enter "
					"what the journal has by a "
					"rename");
	if (turn_begin(&turn, src) < 0)
		return -1;
	turn.to = turn_spot(dest);
	if (turn_check_form(&turn, turn.to, turn.at.vname) < 0)
		goto out;
	if (!turn.is_away)
		ret = src->inbox_user ? inbox_rename(&turn, dest)
				      : folder_rename(&turn, dest);
	if (turn.is_away && !path_is_storable(turn.capture, turn.to.vname))
		ret = turn_refuse_text(&turn, TURN_NAME_REFUSED);
	else if (turn.is_away)
		ret = turn_spool(&turn, NULL, 0) < 0
			      ? -1
			      : box_rename(&turn, dest, NULL, NULL);
out:
	turn_end(&turn);
	return ret;
}

/* --------------------------------------------------------- subscriptions */

static int name_subscribe(struct turn *turn, bool set)
{
	struct mbj_metadata_edit step = {
		.kind = set ? MBJ_METADATA_SUBSCRIBE : MBJ_METADATA_UNSUBSCRIBE,
		.name = mbj_bytes_str(turn->at.vname),
	};
	struct mbj_edit edit = account_metadata(turn->account, &step, 1);
	int ret;

	if (account_intent(turn->account, &edit, &turn->err) < 0)
		return turn_refuse(turn);
	ret = turn->super->set_subscribed(turn->box, set);
	/* By an alias it may have gone elsewhere. */
	if (ret < 0 || turn->box->list->ns->alias_for != NULL ||
	    account_done_tell(turn->account, &edit, &turn->err) < 0)
		turn_look_again(turn);
	return ret;
}

static int capture_set_subscribed(struct mailbox *box, bool set)
{
	struct turn turn;
	int ret;

	/* Without a list there the name goes to one of the user's own. */
	if ((!capture_covers(capture_unalias(box->list->ns)) &&
	     (box->list->ns->flags & NAMESPACE_FLAG_SUBSCRIPTIONS) == 0) ||
	    turn_passes(box))
		return capture_box_of(box)->module_ctx.super.set_subscribed(
			box, set);
	if (turn_begin(&turn, box) < 0)
		return -1;
	ret = turn.is_away ? -1 : name_subscribe(&turn, set);
	if (turn.is_away)
		ret = turn_spool(&turn, NULL, 0) < 0
			      ? -1
			      : turn.super->set_subscribed(box, set);
	turn_end(&turn);
	return ret;
}

void capture_mailbox(struct mailbox *box, struct mailbox_vfuncs *v)
{
	(void)box;
	v->create_box = capture_create_box;
	v->delete_box = capture_delete_box;
	v->rename_box = capture_rename_box;
	v->set_subscribed = capture_set_subscribed;
	v->update_box = capture_update_box;
}
