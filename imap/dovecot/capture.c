/*
 * What is done around a change of a mailbox: an intent in the journal before,
 * the outcome after, and the change refused where the journal cannot have it.
 *
 * All of it is under the lock of the user's list of mailboxes, which Dovecot
 * takes for create, delete and rename anyway: so one user's changes are in one
 * order in Dovecot and in the journal, and an intent that is found open is
 * nobody's any more.  It is settled by what Dovecot has, before anything else.
 *
 * What Dovecot refuses after an intent, or turns into something else than was
 * announced, is settled the same way.
 */
#include "plugin.h"

#include <guid.h>
#include <mail-storage.h>

struct turn {
	struct capture_user *capture;
	struct account *account;
	struct mailbox *box;
	struct mailbox_vfuncs *super;
	const char *why; /* Dovecot's own failure, or NULL */
	struct mbj_error err;
};

/* ------------------------------------------------------------- refusing */

/* Nothing was changed: the client gets a NO, the log the reason. */
static int turn_refuse(struct turn *turn)
{
	struct mail_storage *storage = turn->box->storage;

	if (turn->why != NULL) {
		mail_storage_set_critical(storage, "mbj: %s", turn->why);
		return -1;
	}
	/* It is the edit that is wrong, not the journal. */
	if (turn->err.refusal != MBJ_REFUSAL_NONE)
		mail_storage_set_error(
			storage, MAIL_ERROR_NOTPOSSIBLE,
			t_strdup_printf("The journal refuses it: %s",
					turn->err.message));
	else
		mail_storage_set_error(storage, MAIL_ERROR_UNAVAILABLE,
				       "Mailboxes cannot be changed now: the "
				       "journal is not available");
	e_error(turn->box->event, "mbj: refused: %s", turn->err.message);
	return -1;
}

static int turn_refuse_text(struct turn *turn, const char *text)
{
	mail_storage_set_error(turn->box->storage, MAIL_ERROR_NOTPOSSIBLE,
			       text);
	return -1;
}

/* -------------------------------------------------------------- settling */

/* Make the account as Dovecot is, and close what is open. */
static int turn_settle(struct turn *turn)
{
	struct account_listing listing;

	if (listing_read(turn->capture, &listing, &turn->why) < 0)
		return -1;
	return account_settle(turn->account, &listing, &turn->err) < 0 ? -1 : 0;
}

/* The account and Dovecot are not the same: once, they are made so. */
static int turn_refresh(struct turn *turn)
{
	turn->account->is_stale = true;
	return turn_settle(turn);
}

/*
 * A change was announced, and what came out is not what was: its outcome is
 * what Dovecot has.  Where even that fails, the next change begins with it.
 */
static void turn_look_again(struct turn *turn)
{
	enum account_need need;

	mail_storage_last_error_push(turn->box->storage);
	turn->why = NULL;
	turn->account->is_stale = true;
	if (account_enter(turn->account, &need, &turn->err) < 0 ||
	    turn_settle(turn) < 0)
		e_error(turn->box->event,
			"mbj: the outcome of a change is not told yet: %s",
			turn->why != NULL ? turn->why : turn->err.message);
	mail_storage_last_error_pop(turn->box->storage);
}

static void turn_end(struct turn *turn)
{
	mailbox_list_unlock(turn->capture->inbox->list);
}

static int turn_begin(struct turn *turn, struct mailbox *box)
{
	struct mailbox_list *list;
	enum account_need need = ACCOUNT_READY;
	int ret = 0;

	memset(turn, 0, sizeof(*turn));
	turn->capture = capture_user_of(box->storage->user);
	turn->account = &turn->capture->account;
	turn->box = box;
	turn->super = &capture_box_of(box)->module_ctx.super;
	list = turn->capture->inbox->list;
	if (mailbox_list_lock(list) < 0) {
		mail_storage_copy_list_error(box->storage, list);
		return -1;
	}
	if (account_enter(turn->account, &need, &turn->err) < 0)
		ret = -1;
	else if (need == ACCOUNT_LISTING)
		ret = turn_settle(turn);
	if (ret < 0) {
		(void)turn_refuse(turn);
		turn_end(turn);
	}
	return ret;
}

static bool box_is_captured(struct mailbox *box)
{
	return capture_covers(box->list->ns);
}

/* --------------------------------------------------------------- stages */

static int turn_intent(struct turn *turn, const struct changes *changes)
{
	struct mbj_edit edit = account_set(turn->account, changes);

	if (account_intent(turn->account, &edit, &turn->err) < 0)
		return turn_refuse(turn);
	return 0;
}

static void turn_done(struct turn *turn, const struct changes *changes,
		      enum mbj_rc rc)
{
	struct mbj_edit edit = account_set(turn->account, changes);

	if (rc == MBJ_OK)
		rc = account_done_tell(turn->account, &edit, &turn->err);
	if (rc < 0) {
		e_warning(turn->box->event,
			  "mbj: a change is told by the list: %s",
			  turn->err.message);
		turn_look_again(turn);
	}
}

/*
 * The node of a mailbox or place that Dovecot has at a path: the same one
 * there, or none.
 */
static uint32_t node_of(const struct turn *turn, enum folder_kind kind,
			const struct account_folder *folder)
{
	const struct mbj_tree *tree = turn->account->tree;
	struct changes changes;
	uint32_t node;

	changes_init(&changes, tree, turn->account->delimiter);
	node = changes_find(&changes, folder->path);
	if (node == MBJ_NODE_NONE)
		return node;
	if (mbj_tree_get(tree, node)->is_selectable !=
		    (kind == FOLDER_MAILBOX) ||
	    (kind == FOLDER_MAILBOX &&
	     !mbj_id_equal(mbj_tree_get(tree, node)->id, folder->id)))
		return MBJ_NODE_NONE;
	return node;
}

/* As node_of; where the account is another one it is made as Dovecot is. */
static int node_find(struct turn *turn, enum folder_kind kind,
		     const struct account_folder *folder, uint32_t *ret_node)
{
	*ret_node = node_of(turn, kind, folder);
	if (*ret_node != MBJ_NODE_NONE)
		return 0;
	if (turn_refresh(turn) < 0)
		return turn_refuse(turn);
	*ret_node = node_of(turn, kind, folder);
	if (*ret_node != MBJ_NODE_NONE)
		return 0;
	return turn_refuse_text(turn, "The journal has not this mailbox; its "
				      "name may be another one in Unicode's "
				      "normal form C");
}

/* Places above that nothing keeps any more, and that Dovecot has not. */
static enum mbj_rc orphans_delete(struct turn *turn, struct changes *changes,
				  uint32_t node)
{
	struct mailbox_list *list = turn->box->list;
	enum mbj_rc rc = MBJ_OK;

	while (rc == MBJ_OK) {
		enum folder_kind kind;
		struct account_folder folder;
		struct mbj_buf path;

		node = changes_orphan(changes, node);
		if (node == MBJ_NODE_NONE)
			break;
		mbj_buf_init(&path, MBJ_PATH_MAX);
		mbj_tree_path(changes->tree, node, changes->delimiter, &path);
		mbj_buf_put_u8(&path, 0);
		rc = mbj_buf_ok(&path, &turn->err);
		if (rc == MBJ_OK && folder_look(list, (const char *)path.p,
						&kind, &folder, &turn->why) < 0)
			rc = mbj_error_set(&turn->err, MBJ_EIO, "%s",
					   turn->why);
		mbj_buf_done(&path);
		if (rc == MBJ_OK && kind != FOLDER_NONE)
			break;
		if (rc == MBJ_OK)
			rc = changes_delete(changes, node, false, &turn->err);
	}
	return rc;
}

/* ---------------------------------------------------------------- create */

/*
 * INBOX is always there in the journal.  Where Dovecot makes it, for the first
 * time or after it was given another name, it is that one.
 */
static int inbox_create(struct turn *turn, uint32_t node,
			const struct mailbox_update *update)
{
	const struct mbj_node *inbox = mbj_tree_get(turn->account->tree, node);
	struct mailbox_update given = {.uid_validity = 0};

	if (update != NULL)
		given = *update;
	if ((!guid_128_is_empty(given.mailbox_guid) &&
	     memcmp(given.mailbox_guid, inbox->id.b, MBJ_ID_SIZE) != 0) ||
	    (given.uid_validity != 0 &&
	     given.uid_validity != inbox->uidvalidity))
		return turn_refuse_text(turn, "The journal knows INBOX under "
					      "another GUID or UIDVALIDITY");
	memcpy(given.mailbox_guid, inbox->id.b, MBJ_ID_SIZE);
	given.uid_validity = inbox->uidvalidity;
	return turn->super->create_box(turn->box, &given, false);
}

static int folder_create(struct turn *turn, const struct mailbox_update *update,
			 bool directory)
{
	struct mbj_bytes path = mbj_bytes_str(turn->box->vname);
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
	    folder_look(turn->box->list, turn->box->vname, &kind, &folder,
			&turn->why) < 0 ||
	    kind == FOLDER_NONE) {
		turn_look_again(turn);
		return ret;
	}
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	if (kind == FOLDER_MAILBOX)
		id = folder.id;
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

	if (folder_look(box->list, box->vname, &kind, &folder, &turn->why) < 0)
		return turn_refuse(turn);
	/* It will refuse. */
	if (kind == FOLDER_MAILBOX || (kind == FOLDER_PLACE && directory))
		return turn->super->create_box(box, update, directory);
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	node = changes_find(&changes, folder.path);
	if (box->inbox_user && node != MBJ_NODE_NONE)
		return inbox_create(turn, node, update);
	if (node != MBJ_NODE_NONE &&
	    mbj_tree_get(turn->account->tree, node)->is_selectable &&
	    turn_refresh(turn) < 0)
		return turn_refuse(turn);
	return folder_create(turn, update, directory);
}

static int capture_create_box(struct mailbox *box,
			      const struct mailbox_update *update,
			      bool directory)
{
	struct turn turn;
	int ret;

	if (!box_is_captured(box))
		return capture_box_of(box)->module_ctx.super.create_box(
			box, update, directory);
	if (turn_begin(&turn, box) < 0)
		return -1;
	ret = create_choose(&turn, update, directory);
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

	if (folder_look(turn->box->list, turn->box->vname, &kind, &folder,
			&turn->why) < 0 ||
	    kind == FOLDER_MAILBOX) {
		turn_look_again(turn);
		return;
	}
	is_place_left =
		kind == FOLDER_PLACE || mbj_tree_child_count(tree, node) > 0;
	changes_init(&changes, tree, turn->account->delimiter);
	rc = changes_delete(&changes, node, is_place_left, &turn->err);
	if (rc == MBJ_OK && !is_place_left)
		rc = orphans_delete(turn, &changes, node);
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

	if (folder_look(box->list, box->vname, &kind, &folder, &turn->why) < 0)
		return turn_refuse(turn);
	if (kind == FOLDER_NONE)
		return turn->super->delete_box(box);
	if (node_find(turn, kind, &folder, &node) < 0)
		return -1;
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

	if (!box_is_captured(box))
		return capture_box_of(box)->module_ctx.super.delete_box(box);
	if (turn_begin(&turn, box) < 0)
		return -1;
	ret = folder_delete(&turn);
	turn_end(&turn);
	return ret;
}

/* ---------------------------------------------------------------- rename */

static void renamed_tell(struct turn *turn, struct mailbox *dest, uint32_t node)
{
	const struct mbj_node *moved = mbj_tree_get(turn->account->tree, node);
	struct account_folder folder;
	enum folder_kind kind;
	struct changes changes;
	enum mbj_rc rc;

	if (folder_look(dest->list, dest->vname, &kind, &folder, &turn->why) <
		    0 ||
	    (kind == FOLDER_MAILBOX) != moved->is_selectable ||
	    (kind == FOLDER_MAILBOX && !mbj_id_equal(folder.id, moved->id))) {
		turn_look_again(turn);
		return;
	}
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_move(&changes, node, folder.path, &turn->err);
	changes_uidvalidity(&changes, moved->id, folder.uidvalidity);
	if (rc == MBJ_OK)
		rc = orphans_delete(turn, &changes, node);
	turn_done(turn, &changes, rc);
	changes_done(&changes);
}

static int folder_rename(struct turn *turn, struct mailbox *dest)
{
	struct mailbox *src = turn->box;
	struct account_folder folder, target;
	enum folder_kind kind, target_kind;
	struct changes changes;
	uint32_t node;
	enum mbj_rc rc;
	int ret;

	if (folder_look(src->list, src->vname, &kind, &folder, &turn->why) <
		    0 ||
	    folder_look(dest->list, dest->vname, &target_kind, &target,
			&turn->why) < 0)
		return turn_refuse(turn);
	if (kind == FOLDER_NONE || target_kind == FOLDER_MAILBOX)
		return turn->super->rename_box(src, dest);
	if (node_find(turn, kind, &folder, &node) < 0)
		return -1;
	changes_init(&changes, turn->account->tree, turn->account->delimiter);
	rc = changes_move(&changes, node, target.path, &turn->err);
	ret = rc < 0 ? turn_refuse(turn) : turn_intent(turn, &changes);
	changes_done(&changes);
	if (ret < 0)
		return ret;
	ret = turn->super->rename_box(src, dest);
	if (ret < 0)
		turn_look_again(turn);
	else
		renamed_tell(turn, dest, node);
	return ret;
}

static int capture_rename_box(struct mailbox *src, struct mailbox *dest)
{
	struct turn turn;
	int ret;

	if (!box_is_captured(src) && !box_is_captured(dest))
		return capture_box_of(src)->module_ctx.super.rename_box(src,
									dest);
	turn.box = src;
	if (!box_is_captured(src) || !box_is_captured(dest))
		return turn_refuse_text(&turn,
					"Mailboxes do not leave or enter "
					"what the journal has by a "
					"rename");
	if (src->inbox_user)
		return turn_refuse_text(&turn, "INBOX cannot be renamed: the "
					       "journal cannot follow yet");
	if (turn_begin(&turn, src) < 0)
		return -1;
	ret = folder_rename(&turn, dest);
	turn_end(&turn);
	return ret;
}

/* ------------------------------------------------- subscriptions, updates */

static int capture_set_subscribed(struct mailbox *box, bool set)
{
	const struct mbj_metadata_edit step = {
		.kind = set ? MBJ_METADATA_SUBSCRIBE : MBJ_METADATA_UNSUBSCRIBE,
		.name = mbj_bytes_str(box->vname),
	};
	struct mbj_edit edit;
	struct turn turn;
	int ret;

	if (!box_is_captured(box))
		return capture_box_of(box)->module_ctx.super.set_subscribed(
			box, set);
	if (turn_begin(&turn, box) < 0)
		return -1;
	edit = account_subscribe(turn.account, &step, 1);
	if (account_intent(turn.account, &edit, &turn.err) < 0) {
		ret = turn_refuse(&turn);
	} else {
		ret = turn.super->set_subscribed(box, set);
		if (ret < 0 ||
		    account_done_tell(turn.account, &edit, &turn.err) < 0)
			turn_look_again(&turn);
	}
	turn_end(&turn);
	return ret;
}

/* A mailbox that became another one behind the journal would be lost. */
static int capture_update_box(struct mailbox *box,
			      const struct mailbox_update *update)
{
	struct turn turn = {.box = box};
	struct account_folder folder;
	enum folder_kind kind;

	if (!box_is_captured(box) || box->creating ||
	    (guid_128_is_empty(update->mailbox_guid) &&
	     update->uid_validity == 0))
		return capture_box_of(box)->module_ctx.super.update_box(box,
									update);
	if (folder_look(box->list, box->vname, &kind, &folder, &turn.why) < 0)
		return turn_refuse(&turn);
	if ((!guid_128_is_empty(update->mailbox_guid) &&
	     memcmp(update->mailbox_guid, folder.id.b, MBJ_ID_SIZE) != 0) ||
	    (update->uid_validity != 0 &&
	     update->uid_validity != folder.uidvalidity))
		return turn_refuse_text(&turn, "A mailbox in the journal keeps "
					       "its GUID and UIDVALIDITY");
	return capture_box_of(box)->module_ctx.super.update_box(box, update);
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
