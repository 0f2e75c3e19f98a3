/*
 * One change of a user's mailboxes, from the lock to the outcome.  See turn.h.
 */
#include "turn.h"
#include "inbox.h"
#include "reign.h"

#include <file-lock.h>
#include <mail-storage.h>

#include <mbj/sys.h>

/* ------------------------------------------------------------- refusing */

/* Nothing was changed: the client gets a NO, the log the reason. */
int turn_refuse(struct turn *turn)
{
	struct mail_storage *storage = turn->box->storage;

	turn->is_away = turn->is_deferred || turn_can_spool(turn);
	if (turn->is_away)
		return -1;
	if (turn->why != NULL) {
		mail_storage_set_critical(storage, "mbj: %s", turn->why);
		return -1;
	}
	/* It is the edit that is wrong, not the journal: or ours. */
	if (turn->err.refusal == MBJ_REFUSAL_STATE_MISMATCH)
		mail_storage_set_error(storage, MAIL_ERROR_UNAVAILABLE,
				       "Somebody else changes these mailboxes "
				       "in the journal: try again");
	else if (turn->err.refusal != MBJ_REFUSAL_NONE)
		mail_storage_set_error(
			storage,
			turn->is_settling ? MAIL_ERROR_UNAVAILABLE
					  : MAIL_ERROR_NOTPOSSIBLE,
			t_strdup_printf("The journal refuses it: %s",
					turn->err.message));
	else
		mail_storage_set_error(storage, MAIL_ERROR_UNAVAILABLE,
				       "Mailboxes cannot be changed now: the "
				       "journal is not available");
	e_error(turn->box->event, "mbj: refused: %s", turn->err.message);
	return -1;
}

int turn_refuse_text(struct turn *turn, const char *text)
{
	mail_storage_set_error(turn->box->storage, MAIL_ERROR_NOTPOSSIBLE,
			       text);
	return -1;
}

int turn_defer(struct turn *turn, const char *why)
{
	(void)mbj_error_set(&turn->err, MBJ_ECONFLICT, "%s", why);
	turn->why = NULL;
	turn->is_deferred = true;
	return -1;
}

/* The plugin mailbox_alias has a name lead to another one's mailbox. */
static bool box_may_be_alias(const struct mailbox *box)
{
	return mail_user_plugin_getenv(box->storage->user,
				       "mailbox_alias_new") != NULL;
}

struct spot turn_spot(struct mailbox *box)
{
	struct mail_namespace *ns = box->list->ns;
	struct spot spot = {box->list, box->vname};

	if (box_is_inbox_alias(box))
		spot.vname = "INBOX";
	else if (box_may_be_alias(box))
		spot.vname =
			t_strdup(mailbox_list_get_vname(spot.list, box->name));
	if (ns->alias_for == NULL)
		return spot;
	spot.list = ns->alias_for->list;
	spot.vname = t_strdup(mailbox_list_get_vname(spot.list, box->name));
	return spot;
}

int turn_check_form(struct turn *turn, struct spot at, const char *leaves)
{
	bool is_other;

	if (path_has_other_form(at.list, at.vname, leaves, &is_other,
				&turn->why) < 0)
		return turn_refuse(turn);
	return is_other ? turn_refuse_text(turn, TURN_FORM_REFUSED) : 0;
}

bool turn_passes(struct mailbox *box)
{
	struct capture_user *capture = capture_user_of(box->storage->user);

	if (box_is_others(box))
		return false;
	if (!capture_covers(capture_unalias(box->list->ns)))
		return true;
	if (capture->is_in_turn)
		capture->is_nested = true;
	return capture->is_in_turn;
}

bool turn_passes_messages(struct mailbox *box)
{
	return capture_of(box) == NULL;
}

void turn_end(struct turn *turn)
{
	struct capture_user *capture = turn->capture;

	if (turn->is_inner)
		return;
	if (capture->is_nested && !capture->is_spooled &&
	    turn->account->client != NULL)
		turn_look_again(turn);
	else if (capture->is_nested) /* it would only wait once more */
		turn->account->is_stale = true;
	capture->is_nested = false;
	turn_drain_renewed(turn);
	turn->account->is_stale |= capture->is_nested;
	capture->is_nested = false;
	capture->has_renewed = false;
	capture->is_in_turn = false;
	capture->is_tree_free = false;
	capture->is_spooled = false;
	if (box_is_others(turn->box)) /* its owner settles it */
		turn->account->is_stale = false;
	account_leave(turn->account);
	mailbox_list_unlock(turn->locked);
	capture_idle(capture);
}

static void turn_init(struct turn *turn, struct mailbox *box)
{
	memset(turn, 0, sizeof(*turn));
	turn->capture = capture_of(box);
	if (turn->capture == NULL)
		turn->capture = capture_user_of(box->storage->user);
	turn->account = &turn->capture->account;
	turn->box = box;
	turn->at = turn_spot(box);
	turn->super = &capture_box_of(box)->module_ctx.super;
}

/* Waiting for the lock is not the service's time. */
static void turn_begin_time(struct turn *turn)
{
	int64_t now = mbj_monotonic_ms();
	uint32_t patience = turn->account->patience_ms;

	turn->begin_ms = now;
	turn->deadline_ms = now + patience / 2;
	turn->last_ms = now + patience - patience / 8;
}

/*
 * Dovecot makes the lock's file and removes it each time; one that is there it
 * takes as it is, as it does after a process was killed.  So it stays, which
 * costs a directory half a dozen changes less.  But not what is made for
 * another user, who may have no right to open it.
 */
static void lock_file_keep(const struct turn *turn)
{
	struct file_lock *lock = turn->locked->lock;

	if (lock != NULL && !box_is_others(turn->box))
		file_lock_set_unlink_on_free(lock, FALSE);
}

static int turn_lock(struct turn *turn)
{
	struct mailbox *box = turn->box;
	struct mail_namespace *ns = box->list->ns;

	/* Its two users have one name, and storages of their own. */
	if (box->storage->user->dsyncing)
		return turn_refuse_text(turn, "dsync changes nothing that the "
					      "journal has: run it with -o "
					      "mail_plugins=");
	/* Dovecot may hold it, by the list of an alias. */
	turn->locked = capture_unalias(ns) == turn->capture->inbox
			       ? ns->list
			       : turn->capture->inbox->list;
	if (mailbox_list_lock(turn->locked) < 0) {
		mail_storage_copy_list_error(box->storage, turn->locked);
		return -1;
	}
	lock_file_keep(turn);
	turn->capture->is_in_turn = true;
	turn_begin_time(turn);
	return 0;
}

/* The account as it is, and then what others have left. */
static int turn_enter(struct turn *turn)
{
	bool is_of_messages = turn->capture->is_tree_free;
	struct account *account = turn->account;
	enum account_need need = ACCOUNT_READY;
	enum mbj_rc rc;

	if (turn_spool_load(turn) < 0)
		return -1;
	if (!is_of_messages)
		rc = account_enter(account, &need, &turn->err);
	else
		rc = account_enter_messages(account,
					    spool_is_empty(
						    &turn->capture->spool)
						    ? turn->aim
						    : NULL,
					    &need, &turn->err);
	if (rc == MBJ_OK && need == ACCOUNT_LISTING && is_of_messages)
		rc = account_enter(account, &need, &turn->err);
	if (rc < 0 || turn_reign(turn) < 0 ||
	    (need == ACCOUNT_LISTING && turn_enter_settle(turn) < 0))
		return -1;
	turn_settle_messages(turn);
	turn_settle_attributes(turn);
	turn_drain(turn);
	return 0;
}

/* What the owner's next turn settles first stays the owner's. */
static int turn_enter_others(struct turn *turn)
{
	struct capture_user *capture = turn->capture;
	struct account *account = turn->account;
	enum account_need need = ACCOUNT_READY;
	bool has_spool;

	if (turn_spool_load(turn) < 0)
		return -1;
	has_spool = !spool_is_empty(&capture->spool);
	if (account_enter_messages(account,
				   has_spool || capture->mark == NULL
					   ? NULL
					   : turn->aim,
				   &need, &turn->err) < 0) {
		turn->is_passed = !others_is_known(capture);
		return turn->is_passed ? 0 : -1;
	}
	if (mbj_client_identity(account->client)->role != MBJ_STORE_PRIMARY) {
		(void)mbj_error_set(&turn->err, MBJ_EINVALID,
				    "it is a replica's");
		return -1;
	}
	turn->is_passed = !others_can_tell(turn);
	if (turn->is_passed)
		return 0;
	if (has_spool)
		return turn_defer(turn, "its owner's spool is told first");
	if (need == ACCOUNT_LISTING)
		return turn_defer(turn,
				  "its owner's folders are settled first");
	return 0;
}

static int turn_enter_or_refuse(struct turn *turn)
{
	int ret = box_is_others(turn->box) ? turn_enter_others(turn)
					   : turn_enter(turn);

	if (ret == 0)
		return 0;
	(void)turn_refuse(turn);
	if (turn->is_away)
		return 0;
	turn_end(turn);
	return -1;
}

int turn_begin(struct turn *turn, struct mailbox *box)
{
	turn->box = box;
	if (box_is_others(box))
		return turn_refuse_text(turn, "Mailboxes that are shared are "
					      "changed by their owner, in "
					      "whose journal they are");
	turn_init(turn, box);
	return turn_lock(turn) < 0 ? -1 : turn_enter_or_refuse(turn);
}

int turn_begin_messages(struct turn *turn, struct mailbox *box,
			struct account_aim *aim)
{
	turn_init(turn, box);
	if (aim != NULL)
		aim->path = mbj_bytes_str(capture_path(box, turn->at.vname));
	turn->aim = aim;
	turn->is_inner = turn->capture->is_in_turn;
	if (turn->is_inner) {
		turn_begin_time(turn);
		turn->is_away = turn->capture->is_spooled;
		return 0;
	}
	if (turn_lock(turn) < 0)
		return -1;
	turn->capture->is_tree_free = true;
	return turn_enter_or_refuse(turn);
}

bool turn_find(struct turn *turn, struct mbj_id mailbox, struct spot *ret_at)
{
	const struct mbj_tree *tree = turn->account->tree;
	uint32_t node = MBJ_NODE_NONE;
	struct mbj_buf path;

	/* It is none where it could not be read again. */
	if (tree != NULL)
		node = mbj_tree_find(tree, mailbox);
	if (node == MBJ_NODE_NONE)
		return false;
	mbj_buf_init(&path, MBJ_PATH_MAX + 1);
	mbj_tree_path(tree, node, turn->account->delimiter, &path);
	mbj_buf_put_u8(&path, 0);
	ret_at->vname =
		path.failed == MBJ_OK ? t_strdup((const char *)path.p) : "";
	mbj_buf_done(&path);
	ret_at->list = mail_namespace_find(turn->capture->user->namespaces,
					   ret_at->vname)
			       ->list;
	return true;
}

int turn_follow(struct turn *turn)
{
	struct account_folder folder;
	enum account_need need;

	if (box_is_others(turn->box) ||
	    !name_is_linked(turn->at.list, turn->at.vname))
		return 0;
	if (mailbox_look(turn->at.list, turn->at.vname, &folder, &turn->why) <
		    0 ||
	    (turn->account->tree == NULL &&
	     account_enter(turn->account, &need, &turn->err) < 0))
		return -1;
	if (turn_find(turn, folder.id, &turn->at) || turn->is_inner)
		return 0;
	if (turn_refresh(turn) < 0)
		return -1;
	(void)turn_find(turn, folder.id, &turn->at);
	return 0;
}

/* --------------------------------------------------------------- stages */

int turn_intent(struct turn *turn, const struct changes *changes)
{
	struct mbj_edit edit = account_set(turn->account, changes);

	if (account_intent(turn->account, &edit, &turn->err) < 0)
		return turn_refuse(turn);
	return 0;
}

void turn_done(struct turn *turn, const struct changes *changes, enum mbj_rc rc)
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

/* A name, and all above it, are in the account as they are in Dovecot. */
static bool name_is_told(struct turn *turn, struct mailbox *box)
{
	struct spot at = turn_spot(box);
	const char *end = at.vname;

	/* What is above a namespace is none of its folders. */
	if (strlen(at.vname) > at.list->ns->prefix_len)
		end += at.list->ns->prefix_len;

	while (*end != '\0') {
		struct account_folder folder;
		enum folder_kind kind;
		const char *name;

		end = strchr(end + 1, turn->account->delimiter);
		if (end == NULL)
			end = at.vname + strlen(at.vname);
		name = t_strdup_until(at.vname, end);
		if (folder_look(at.list, name, &kind, &folder, &turn->why) <
			    0 ||
		    (kind != FOLDER_NONE &&
		     node_of(turn, kind, &folder) == MBJ_NODE_NONE))
			return false;
	}
	return true;
}

int turn_unannounced(struct turn *turn, int ret, struct mailbox *box)
{
	bool is_told = false;

	if (ret < 0) {
		/* dbox makes the places above a name, and fails then. */
		mail_storage_last_error_push(turn->box->storage);
		is_told = name_is_told(turn, box);
		mail_storage_last_error_pop(turn->box->storage);
	}
	if (!is_told)
		turn_look_again(turn);
	return ret;
}

/* As node_of; where the account is another one it is made as Dovecot is. */
int turn_node(struct turn *turn, enum folder_kind kind,
	      const struct account_folder *folder, uint32_t *ret_node)
{
	*ret_node = node_of(turn, kind, folder);
	if (*ret_node != MBJ_NODE_NONE)
		return 0;
	if (turn_refresh(turn) < 0)
		return turn_refuse(turn);
	*ret_node = node_of(turn, kind, folder);
	/* The same name, in another form than Unicode's C. */
	if (*ret_node == MBJ_NODE_NONE && kind == FOLDER_MAILBOX)
		*ret_node = mbj_tree_find(turn->account->tree, folder->id);
	if (*ret_node != MBJ_NODE_NONE)
		return 0;
	return turn_refuse_text(turn, "The journal has not this mailbox; its "
				      "name may be another one in Unicode's "
				      "normal form C");
}

/* Places above that nothing keeps any more, and that Dovecot has not. */
enum mbj_rc turn_orphans(struct turn *turn, struct changes *changes,
			 uint32_t node)
{
	struct mailbox_list *list = turn->at.list;
	const struct mail_namespace *ns = list->ns;
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
		/* What is above a namespace is none of its folders. */
		if (rc == MBJ_OK &&
		    !str_begins((const char *)path.p, ns->prefix)) {
			mbj_buf_done(&path);
			break;
		}
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
